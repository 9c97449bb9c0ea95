//! The leader's proposal for shard time: its wall clock, smoothed.
//!
//! Shard time itself is what the log carries; this only estimates the stamp of the next entry. The
//! estimate runs with the monotonic clock and is slewed towards the wall clock by at most a tenth of the
//! time that passed, so that a step of the wall clock never makes a crowd of keys expire at once.

use crate::limits;
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
        self.estimate_us(now) / 1000
    }

    fn estimate_us(&self, now: Now) -> u64 {
        // Some 70,000 years, which is more than any clock shows: nothing below overflows.
        const LONGEST_US: u64 = i64::MAX as u64 / 4;
        let signed = |us: u64| us.min(LONGEST_US) as i64;
        let elapsed = signed(now.mono_us.saturating_sub(self.mono_us));
        let expected = signed(self.wall_us) + elapsed;
        // Whole milliseconds of the wall clock are all that is known: anywhere within one there is no error.
        let wall = signed(now.wall_ms.saturating_mul(1000));
        let error = expected.clamp(wall, wall + 999) - expected;
        let slew = elapsed / SLEW_DIVISOR;
        (expected + error.clamp(-slew, slew)).max(0) as u64
    }

    /// Moves the anchor to `now`; called on ticks, so that slewing is spread over time.
    pub fn advance(&mut self, now: Now) {
        let elapsed = now.mono_us.saturating_sub(self.mono_us);
        if elapsed < 1_000_000 {
            return;
        }
        self.wall_us = self.estimate_us(now);
        self.mono_us = now.mono_us;
    }
}

/// The latest time that the leader's wall clock may show, as a follower knows it from an answer that the leader
/// stamped: it was stamped after the question was asked, so no more time has passed since than since then.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaderClock {
    asked_us: u64,
    /// When the leader answered, rounded up; 0: no leader has.
    wall_us: u64,
}

/// Part of the time since the question by which two clocks may have drifted apart.
const DRIFT_DIVISOR: u64 = 2_000;

impl LeaderClock {
    /// The leader answered what was asked at `asked_us` of this node's clock.
    pub fn heard(&mut self, asked_us: u64, wall_ms: u64) {
        self.asked_us = asked_us;
        self.wall_us = wall_ms.saturating_add(1).saturating_mul(1000);
    }

    /// Time to ask again.
    pub fn is_old(&self, now: Now) -> bool {
        now.mono_us.saturating_sub(self.asked_us) > limits::LEADER_CLOCK_US_MAX
    }

    /// In milliseconds since the epoch; by this node's own wall clock if no leader was heard.
    pub fn latest_ms(&self, now: Now) -> u64 {
        if self.wall_us == 0 {
            return now.wall_ms;
        }
        let elapsed = now.mono_us.saturating_sub(self.asked_us);
        self.wall_us
            .saturating_add(elapsed)
            .saturating_add(elapsed / DRIFT_DIVISOR)
            / 1000
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
    fn no_fraction_of_a_millisecond_is_lost() {
        let at = |mono_us: u64| Now {
            mono_us,
            wall_ms: (1_000_000_000 + mono_us) / 1000,
        };
        let mut clock = ShardClock::new(at(700));
        for mono_us in (700..60_000_000).step_by(1_234_567) {
            clock.advance(at(mono_us));
            let (estimate, wall) = (clock.estimate_ms(at(mono_us)), at(mono_us).wall_ms);
            assert!(
                wall - estimate <= u64::from(mono_us < 20_000),
                "{estimate} at {wall}"
            );
        }
    }

    #[test]
    fn errors_of_two_milliseconds_are_corrected_too() {
        let mut clock = ShardClock::new(now(0, 1_000_000));
        clock.advance(now(1_000, 1_001_002));
        assert_eq!(clock.estimate_ms(now(1_100, 1_001_102)), 1_001_102);
    }

    #[test]
    fn a_follower_never_takes_the_leaders_clock_to_be_earlier_than_it_is() {
        let mut clock = LeaderClock::default();
        assert_eq!(clock.latest_ms(now(5, 77)), 77);
        // Asked at 100 ms; the leader's clock said 1,000.9 ms when it answered, at 100.1 ms.
        clock.heard(100_000, 1_000);
        let at = |mono_us| Now { mono_us, wall_ms: 0 };
        for later_us in [0, 50, 100, 101, 900, 10_000, 3_600_000_000] {
            let leader_ms = (1_000_900 + later_us) / 1000;
            assert!(clock.latest_ms(at(100_100 + later_us)) >= leader_ms);
        }
        assert!(clock.latest_ms(at(110_000)) <= 1_011);
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
