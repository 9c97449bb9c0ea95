//! One line on standard error while a run goes on: what happens, how far it is, and when it will be done.
//!
//! Only on a terminal; nothing of it reaches standard output.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(250);

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
pub struct Progress {
    is_terminal: bool,
    label: String,
    shown: Option<Instant>,
    is_dirty: bool,
}

impl Progress {
    /// Nothing is shown where standard error is no terminal.
    pub fn new() -> Progress {
        Progress {
            is_terminal: std::io::stderr().is_terminal(),
            label: String::new(),
            shown: None,
            is_dirty: false,
        }
    }

    /// What stands in front of the line from now on.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Shows the line, if it is time.
    pub fn show(&mut self, phase: &Phase) {
        if !self.is_terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        self.is_dirty = true;
        let _ = write!(std::io::stderr(), "\r\x1b[K{}{}", self.label, line(phase));
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.shown = None;
    }
}

fn line(phase: &Phase) -> String {
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
