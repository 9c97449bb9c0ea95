//! The node's clocks: one that never goes back and counts suspension, and wall time derived from it.
//!
//! Wall time is the boot clock plus an offset that is measured again at every tick. So one sample costs
//! one clock read, and a wall clock that is stepped shows within a tick.

use repligo_core::time::Now;

/// Microseconds of `CLOCK_BOOTTIME`.
pub fn boottime_us() -> u64 {
    read(libc::CLOCK_BOOTTIME) / 1000
}

/// Samples [`Now`].
#[derive(Debug)]
pub struct Clock {
    wall_offset_us: i64,
}

impl Clock {
    /// Measures the offset once.
    pub fn new() -> Self {
        let mut clock = Self { wall_offset_us: 0 };
        clock.measure();
        clock
    }

    /// Measures the distance between the wall clock and the boot clock again; at every tick. The boot clock is
    /// read first, so that wall time is never behind, and again where the two were far apart: the thread may
    /// have been stopped in between.
    pub fn measure(&mut self) {
        const APART_US_MAX: u64 = 20;
        for _ in 0..4 {
            let before_us = boottime_us();
            let wall_us = read(libc::CLOCK_REALTIME).div_ceil(1000) as i64;
            self.wall_offset_us = wall_us - before_us as i64;
            if boottime_us() - before_us <= APART_US_MAX {
                break;
            }
        }
    }

    /// One sample. Take it after the bytes that it judges were read.
    #[inline]
    pub fn now(&self) -> Now {
        self.at(boottime_us())
    }

    /// The wall time that belongs to a boot clock sample.
    #[inline]
    pub fn at(&self, mono_us: u64) -> Now {
        let wall_us = mono_us as i64 + self.wall_offset_us;
        Now {
            mono_us,
            wall_ms: wall_us.max(0) as u64 / 1000,
        }
    }

    /// Wall time in microseconds since the epoch.
    pub fn wall_us(&self) -> u64 {
        (boottime_us() as i64 + self.wall_offset_us).max(0) as u64
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`, for durations within a turn.
#[inline]
pub fn boottime_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// Nanoseconds of CPU time that the calling thread has used. A system call.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that lives through the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    debug_assert_eq!(result, 0, "these clocks exist since Linux 2.6.39");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_follows_the_system() {
        let now = Clock::new().now();
        let wall_ms = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map(|d| d.as_millis() as u64)
            .unwrap_or(0);
        assert!(wall_ms.abs_diff(now.wall_ms) < 1000);
    }

    #[test]
    fn the_boot_clock_never_goes_back() {
        let first = boottime_us();
        assert!(boottime_us() >= first);
    }
}
