//! How long the worker thread is busy without a break: by the wall clock, and by the CPU time it took.
//!
//! A stretch is what runs between two moments at which the thread could turn to something else: a batch
//! of one connection, a turn, a tick, the messages of one peer. Heartbeats wait for the longest one.
//! Wall time is known anyway, because each stretch reads the clock at its begin and end. The CPU clock
//! costs a system call, so it is read only when the last reading is older than a millisecond, and at the
//! end of a long stretch. What is counted as a stretch's CPU time is therefore too much by what ran in
//! the millisecond before it, at most, and never too little.
//!
//! Invariant: stretches do not overlap.

use super::clock::{boottime_ns, thread_cpu_ns};
use super::metrics::Counter;

/// No stretch should take more CPU time than this, nanoseconds.
const BUSY_GOAL_NS: u64 = 10_000_000;
/// Bounds in nanoseconds above which stretches are counted.
pub const BUSY_BOUNDS_NS: [u64; 7] = [
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
];
/// A reading of the CPU clock serves the stretches that begin within this time after it.
const READING_AGE_NS: u64 = 1_000_000;

/// How long the stretches of one thread were, since the last reset.
#[derive(Debug, Default)]
pub struct BusyStat {
    /// Longest one, nanoseconds of the wall clock.
    pub nanoseconds_max: Counter,
    /// The same, nanoseconds of CPU time.
    pub cpu_nanoseconds_max: Counter,
    /// How many were longer than each of [`BUSY_BOUNDS_NS`] by the wall clock.
    pub longer: [Counter; BUSY_BOUNDS_NS.len()],
    /// The same by CPU time.
    pub cpu_longer: [Counter; BUSY_BOUNDS_NS.len()],
}

impl BusyStat {
    /// What `CONFIG RESETSTAT` clears.
    pub fn reset(&self) {
        let most = [&self.nanoseconds_max, &self.cpu_nanoseconds_max];
        for counter in self.longer.iter().chain(&self.cpu_longer).chain(most) {
            counter.set(0);
        }
    }
}

/// Measures stretches; see the module.
#[derive(Debug, Default)]
pub struct Busy {
    /// Boot clock at the last reading of the CPU clock.
    read_ns: u64,
    cpu_ns: u64,
}

impl Busy {
    /// A stretch begins; `began_ns` is the boot clock.
    #[inline]
    pub fn begin(&mut self, began_ns: u64) {
        if began_ns.saturating_sub(self.read_ns) > READING_AGE_NS {
            self.cpu_ns = thread_cpu_ns();
            self.read_ns = began_ns;
        }
    }

    /// A stretch that began at `began_ns` ends at `ended_ns`.
    /// `what` it was is for the log.
    #[inline]
    pub fn end(&mut self, what: &'static str, (began_ns, ended_ns): (u64, u64), stat: &BusyStat) {
        let wall_ns = ended_ns.saturating_sub(began_ns);
        if wall_ns > stat.nanoseconds_max.get() || wall_ns > BUSY_BOUNDS_NS[0] {
            self.end_long(what, (wall_ns, ended_ns), stat);
        }
    }

    /// As [`Busy::end`], now.
    #[inline]
    pub fn end_now(&mut self, what: &'static str, began_ns: u64, stat: &BusyStat) {
        self.end(what, (began_ns, boottime_ns()), stat);
    }

    #[cold]
    fn end_long(&mut self, what: &'static str, (wall_ns, ended_ns): (u64, u64), stat: &BusyStat) {
        let before_ns = std::mem::replace(&mut self.cpu_ns, thread_cpu_ns());
        self.read_ns = ended_ns;
        let cpu_ns = (self.cpu_ns - before_ns).min(wall_ns);
        if cpu_ns > BUSY_GOAL_NS {
            tracing::debug!(
                what,
                cpu_us = cpu_ns / 1000,
                wall_us = wall_ns / 1000,
                "a long turn"
            );
        }
        stat.nanoseconds_max.raise(wall_ns);
        stat.cpu_nanoseconds_max.raise(cpu_ns);
        for (bound, bound_ns) in BUSY_BOUNDS_NS.into_iter().enumerate() {
            stat.longer[bound].add(u64::from(wall_ns > bound_ns));
            stat.cpu_longer[bound].add(u64::from(cpu_ns > bound_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn waiting_counts_as_wall_time_and_work_as_both() {
        let (mut busy, stat) = (Busy::default(), BusyStat::default());
        let began_ns = boottime_ns();
        busy.begin(began_ns);
        std::thread::sleep(Duration::from_millis(30));
        busy.end_now("test", began_ns, &stat);
        assert!(stat.nanoseconds_max.get() >= 30_000_000);
        assert!(stat.cpu_nanoseconds_max.get() < 10_000_000);
        assert_eq!((stat.longer[2].get(), stat.cpu_longer[2].get()), (1, 0));

        let began_ns = boottime_ns();
        busy.begin(began_ns);
        let cpu_ns = thread_cpu_ns();
        let patience = Instant::now();
        while thread_cpu_ns() - cpu_ns < 11_000_000 && patience.elapsed() < Duration::from_secs(30) {}
        busy.end_now("test", began_ns, &stat);
        assert!(stat.cpu_nanoseconds_max.get() >= 11_000_000);
        assert_eq!(stat.cpu_longer[2].get(), 1);
    }

    #[test]
    fn a_short_stretch_reads_no_cpu_clock() {
        let (mut busy, stat) = (Busy::default(), BusyStat::default());
        busy.begin(5_000_000_000);
        stat.nanoseconds_max.set(1_000_000);
        let read = busy.cpu_ns;
        busy.end("test", (5_000_000_000, 5_000_900_000), &stat);
        busy.begin(5_000_900_000);
        assert_eq!(busy.cpu_ns, read);
    }
}
