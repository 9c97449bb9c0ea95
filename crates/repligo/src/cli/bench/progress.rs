//! The progress line of a run: what happens, how far it is, and when it will be done.

pub use crate::cli::progress::Progress;

/// Where a run stands. Times in nanoseconds since it began.
pub struct Phase {
    pub is_load: bool,
    pub now_ns: u64,
    pub start_ns: u64,
    pub end_ns: u64,
    pub ops: u64,
    /// Where a number of requests is the end.
    pub ops_total: Option<u64>,
    pub errors: u64,
    pub wrong: u64,
}

/// The line.
pub fn line(phase: &Phase) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    if phase.now_ns < phase.start_ns {
        return format!("warming up, {:.1} s left", seconds(phase.start_ns - phase.now_ns));
    }
    let elapsed = seconds(phase.now_ns - phase.start_ns);
    let what = if phase.is_load { "loading" } else { "measuring" };
    let (done, left) = match phase.ops_total {
        Some(total) => {
            let left = total.saturating_sub(phase.ops) as f64 * elapsed / phase.ops.max(1) as f64;
            (phase.ops as f64 / total.max(1) as f64, left)
        }
        None => {
            let length = seconds(phase.end_ns - phase.start_ns);
            (elapsed / length, length - elapsed)
        }
    };
    let rate = phase.ops as f64 / elapsed.max(0.001);
    let mut line = format!(
        "{what}: {:3.0} %, {} requests, {rate:.0}/s, {:.0} s left",
        done.min(1.0) * 100.0,
        phase.ops,
        left.max(0.0)
    );
    if phase.errors > 0 {
        line.push_str(&format!(", {} errors", phase.errors));
    }
    if phase.wrong > 0 {
        line.push_str(&format!(", {} WRONG", phase.wrong));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_left() {
        let mut phase = Phase {
            is_load: false,
            now_ns: 500_000_000,
            start_ns: 1_000_000_000,
            end_ns: 11_000_000_000,
            ops: 0,
            ops_total: None,
            errors: 0,
            wrong: 0,
        };
        assert_eq!(line(&phase), "warming up, 0.5 s left");
        (phase.now_ns, phase.ops) = (6_000_000_000, 5000);
        assert_eq!(line(&phase), "measuring:  50 %, 5000 requests, 1000/s, 5 s left");
        (phase.ops_total, phase.is_load, phase.wrong) = (Some(20_000), true, 2);
        assert_eq!(
            line(&phase),
            "loading:  25 %, 5000 requests, 1000/s, 15 s left, 2 WRONG"
        );
    }
}
