//! The leader's proposal for shard time: its wall clock, smoothed.
//!
//! Shard time itself is what the log carries; this only estimates the stamp of the next entry. The
//! estimate runs with the monotonic clock and is slewed towards the wall clock by at most a tenth of the
//! time that passed, so that a step of the wall clock never makes a crowd of keys expire at once.

use crate::time::Now;

/// Part of the elapsed time by which the estimate may be corrected.
const SLEW_DIVISOR: i64 = 10;

/// A slewed estimate of wall time.
#[derive(Clone, Copy, Debug)]
pub struct ShardClock {
    mono_us: u64,
    wall_us: u64,
}

impl ShardClock {
    /// Starts at the wall clock.
    pub fn new(now: Now) -> Self {
        Self {
            mono_us: now.mono_us,
            wall_us: now.wall_ms.saturating_mul(1000),
        }
    }

    /// The estimate in milliseconds since the epoch.
    pub fn estimate_ms(&self, now: Now) -> u64 {
        // Some 70,000 years, which is more than any clock shows: nothing below overflows.
        const LONGEST_US: u64 = i64::MAX as u64 / 4;
        let signed = |us: u64| us.min(LONGEST_US) as i64;
        let elapsed = signed(now.mono_us.saturating_sub(self.mono_us));
        let expected = signed(self.wall_us) + elapsed;
        let error = signed(now.wall_ms.saturating_mul(1000)) - expected;
        let slew = elapsed / SLEW_DIVISOR;
        // Whole milliseconds of the wall clock are all that is known: smaller errors are noise.
        let correction = if error.abs() < 2_000 {
            0
        } else {
            error.clamp(-slew, slew)
        };
        (expected + correction).max(0) as u64 / 1000
    }

    /// Moves the anchor to `now`; called on ticks, so that slewing is spread over time.
    pub fn advance(&mut self, now: Now) {
        let elapsed = now.mono_us.saturating_sub(self.mono_us);
        if elapsed < 1_000_000 {
            return;
        }
        let estimate_us = self.estimate_ms(now) * 1000;
        self.wall_us = estimate_us;
        self.mono_us = now.mono_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono_ms: u64, wall_ms: u64) -> Now {
        Now {
            mono_us: mono_ms * 1000,
            wall_ms,
        }
    }

    #[test]
    fn follows_a_steady_wall_clock() {
        let clock = ShardClock::new(now(0, 1_000_000));
        assert_eq!(clock.estimate_ms(now(500, 1_000_500)), 1_000_500);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_slewed() {
        let mut clock = ShardClock::new(now(0, 1_000_000));
        assert_eq!(clock.estimate_ms(now(1_000, 5_001_000)), 1_001_100);
        clock.advance(now(1_000, 5_001_000));
        assert_eq!(clock.estimate_ms(now(2_000, 5_002_000)), 1_002_200);
        // Backwards: time still advances.
        assert_eq!(clock.estimate_ms(now(2_000, 0)), 1_002_000);
    }
}
