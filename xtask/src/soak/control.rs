//! What the machine itself does to the CPU time of a thread: the control of the experiment.
//!
//! A thread does the same small work over and over, and its longest CPU time is kept. Where a processor is
//! virtual, the time that the host takes away counts as CPU time of whoever was running, so a turn that seems
//! long may be none. What the control shows for work that cannot take long tells how much of that there was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// CPU time that one piece of work is meant to take, nanoseconds.
const WORK_NS: u64 = 1_000_000;
const PAUSE: Duration = Duration::from_millis(10);
/// A piece counts as disturbed from so many times its usual CPU time on.
const DISTURBED: u64 = 5;

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Pieces of work.
    pub pieces: u64,
    /// Of these, such that took more than five times the usual CPU time.
    pub disturbed: u64,
    /// The longest CPU time of one, beyond the usual, in seconds.
    pub excess_seconds_max: f64,
    /// What the host took away from all processors meanwhile, as far as the kernel knows, in seconds.
    pub stolen_seconds: f64,
}

/// The running thread.
#[derive(Debug)]
pub struct Control {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Control {
    /// Begins.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        Self {
            stop,
            thread: std::thread::spawn(move || observe(&asked)),
        }
    }

    /// Ends it.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn observe(stop: &AtomicBool) -> Seen {
    let mut rounds = 1000;
    while cost_ns(rounds) < WORK_NS {
        rounds *= 2;
    }
    let stolen_before = stolen_seconds();
    let mut usual_ns = u64::MAX;
    let mut longest_ns = 0;
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let took_ns = cost_ns(rounds);
        usual_ns = usual_ns.min(took_ns);
        longest_ns = longest_ns.max(took_ns);
        seen.pieces += 1;
        seen.disturbed += u64::from(took_ns > DISTURBED * usual_ns);
    }
    seen.stolen_seconds = stolen_seconds() - stolen_before;
    seen.excess_seconds_max = longest_ns.saturating_sub(usual_ns) as f64 / 1e9;
    seen
}

/// Time that the host has taken away since boot; 0 where the kernel does not say. It counts hundredths.
fn stolen_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(8)?.parse::<f64>().ok());
    ticks.unwrap_or(0.0) / 100.0
}

/// CPU time of so many rounds of work that needs no memory.
fn cost_ns(rounds: u64) -> u64 {
    let began_ns = cpu_ns();
    let mut value = began_ns;
    for _ in 0..rounds {
        value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    std::hint::black_box(value);
    cpu_ns() - began_ns
}

/// CPU time of the calling thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_works_and_sees_more_work_as_more_time() {
        let control = Control::start();
        std::thread::sleep(Duration::from_millis(200));
        let seen = control.stop();
        assert!(seen.pieces > 2 && seen.disturbed < seen.pieces);
        assert!(cost_ns(10_000_000) > cost_ns(100_000));
    }
}
