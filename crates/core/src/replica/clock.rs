//! The time that goes into the next entry: an estimate of wall time that all replicas keep, and no replica's
//! own clock.
//!
//! Shard time itself is what the log carries. The leader's estimate runs with its monotonic clock and is slewed
//! towards wall time by at most a tenth of the time that passes, in both directions: it neither stands still nor
//! leaps, whatever the wall clock does. Followers keep the same estimate from what the leader says of it, so that
//! a new leader goes on where the old one stopped. Only the first leader after a start of the whole cluster begins
//! at wall time, and that as a quorum sees it ([`super::agreement`]).

use crate::limits;
use crate::time::Now;

/// The estimate of shard time.
#[derive(Clone, Copy, Debug)]
pub struct ShardClock {
    mono_us: u64,
    time_us: u64,
    /// By how much wall time was ahead of the estimate at `mono_us`; negative if it was behind.
    error_us: i64,
    /// A leader of this process's time has told the estimate, or this replica has led.
    known: bool,
}

/// Some 70,000 years, which is more than any clock shows: sums of it do not overflow.
const LONGEST_US: u64 = i64::MAX as u64 / 4;

fn micros(ms: u64) -> u64 {
    ms.saturating_mul(1000).min(LONGEST_US)
}

impl ShardClock {
    /// Starts at the wall clock.
    pub fn new(now: Now) -> Self {
        Self {
            mono_us: now.mono_us,
            time_us: micros(now.wall_ms),
            error_us: 0,
            known: false,
        }
    }

    /// The estimate in milliseconds since the epoch.
    #[inline]
    pub fn estimate_ms(&self, now: Now) -> u64 {
        self.estimate_us(now) / 1000
    }

    #[inline]
    fn estimate_us(&self, now: Now) -> u64 {
        let elapsed = now.mono_us.saturating_sub(self.mono_us).min(LONGEST_US) as i64;
        let slew = elapsed / limits::CLOCK_SLEW_DIVISOR;
        (self.time_us as i64 + elapsed + self.error_us.clamp(-slew, slew)) as u64
    }

    /// A leader's clock at `now`, when wall time is `wall_ms`: the estimate is slewed towards it from here on.
    /// To be called on ticks, so that a step of the wall clock is seen soon.
    pub fn slew(&mut self, now: Now, wall_ms: u64) {
        self.time_us = self.estimate_us(now);
        self.mono_us = now.mono_us;
        let (wall, time) = (micros(wall_ms) as i64, self.time_us as i64);
        // Whole milliseconds of the wall clock are all that is known: anywhere within one there is no error.
        self.error_us = time.clamp(wall, wall + 999) - time;
    }

    /// A follower's clock at `now`: it runs on, and while no leader has told the estimate it is the wall clock.
    /// Shard time is a time that the leader's estimate had when it made the entry, so it is no later than that.
    pub fn follow(&mut self, now: Now, shard_time_ms: u64) {
        let time_us = if self.known {
            self.estimate_us(now)
        } else {
            micros(now.wall_ms)
        };
        self.set(now, time_us.max(micros(shard_time_ms)));
    }

    /// The leader's estimate was `time_ms` at some time between `asked_us` of this node's clock and now.
    pub fn heard(&mut self, now: Now, asked_us: u64, time_ms: u64) {
        let elapsed = now.mono_us.saturating_sub(asked_us).min(LONGEST_US);
        let (low, high) = (micros(time_ms), micros(time_ms + 1) + elapsed);
        let time_us = self.estimate_us(now).clamp(low, high);
        self.set(now, time_us);
        self.known = true;
    }

    /// This replica leads. If no leader has told the estimate it begins at `wall_ms`; in no case before shard
    /// time.
    pub fn lead(&mut self, now: Now, wall_ms: u64, shard_time_ms: u64) {
        if !self.known {
            self.set(now, micros(wall_ms));
        }
        self.set(now, self.estimate_us(now).max(micros(shard_time_ms)));
        self.known = true;
    }

    fn set(&mut self, now: Now, time_us: u64) {
        self.time_us = time_us.min(LONGEST_US);
        self.mono_us = now.mono_us;
        self.error_us = 0;
    }
}

/// The latest time that the leader's estimate may be, as a follower knows it from an answer that the leader
/// stamped: it was stamped after the question was asked, so no more time has passed since than since then.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaderClock {
    asked_us: u64,
    /// When the leader answered, rounded up; 0: no leader has.
    time_us: u64,
}

/// Part of the time since the question by which two clocks may have drifted apart.
const DRIFT_DIVISOR: u64 = 2_000;

impl LeaderClock {
    /// The leader answered what was asked at `asked_us` of this node's clock.
    pub fn heard(&mut self, asked_us: u64, time_ms: u64) {
        self.asked_us = asked_us;
        self.time_us = time_ms.saturating_add(1).saturating_mul(1000);
    }

    /// In milliseconds since the epoch; `None` if no leader was heard.
    pub fn latest_ms(&self, now: Now) -> Option<u64> {
        if self.time_us == 0 {
            return None;
        }
        let elapsed = now.mono_us.saturating_sub(self.asked_us);
        let latest = self.time_us.saturating_add(elapsed);
        Some(latest.saturating_add(elapsed / DRIFT_DIVISOR) / 1000)
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
        let mut clock = ShardClock::new(now(0, 1_000_000));
        assert_eq!(clock.estimate_ms(now(500, 1_000_500)), 1_000_500);
        clock.slew(now(1_000, 1_001_000), 1_001_000);
        assert_eq!(clock.estimate_ms(now(1_500, 1_001_500)), 1_001_500);
    }

    #[test]
    fn no_fraction_of_a_millisecond_is_lost() {
        let at = |mono_us: u64| Now {
            mono_us,
            wall_ms: (1_000_000_000 + mono_us) / 1000,
        };
        let mut clock = ShardClock::new(at(700));
        for mono_us in (700..60_000_000).step_by(1_234_567) {
            clock.slew(at(mono_us), at(mono_us).wall_ms);
            let (estimate, wall) = (clock.estimate_ms(at(mono_us)), at(mono_us).wall_ms);
            assert!(wall - estimate <= 1, "{estimate} at {wall}");
        }
    }

    #[test]
    fn a_follower_never_takes_the_leaders_clock_to_be_earlier_than_it_is() {
        let mut clock = LeaderClock::default();
        assert_eq!(clock.latest_ms(now(5, 77)), None);
        // Asked at 100 ms; the leader's clock said 1,000.9 ms when it answered, at 100.1 ms.
        clock.heard(100_000, 1_000);
        let at = |mono_us| Now { mono_us, wall_ms: 0 };
        for later_us in [0, 50, 100, 101, 900, 10_000, 3_600_000_000] {
            let leader_ms = (1_000_900 + later_us) / 1000;
            assert!(clock.latest_ms(at(100_100 + later_us)) >= Some(leader_ms));
        }
        assert!(clock.latest_ms(at(110_000)) <= Some(1_011));
    }

    #[test]
    fn the_estimate_is_slewed_by_a_tenth_in_both_directions() {
        for (wall_ms, after_1_s, after_2_s) in [(5_000_000, 1_001_100, 1_002_200), (0, 1_000_900, 1_001_800)]
        {
            let mut clock = ShardClock::new(now(0, 1_000_000));
            clock.slew(now(0, wall_ms), wall_ms);
            assert_eq!(clock.estimate_ms(now(1_000, wall_ms)), after_1_s);
            clock.slew(now(1_000, wall_ms + 1_000), wall_ms + 1_000);
            assert_eq!(clock.estimate_ms(now(2_000, wall_ms)), after_2_s);
        }
    }

    #[test]
    fn slewing_ends_where_wall_time_is() {
        let mut clock = ShardClock::new(now(0, 1_000_000));
        clock.slew(now(0, 1_000_002), 1_000_002);
        assert_eq!(clock.estimate_ms(now(1_000, 1_001_002)), 1_001_002);
        clock.slew(now(0, 999_998), 999_998);
        assert_eq!(
            clock.estimate_ms(now(1_000, 0)),
            1_000_998,
            "within a millisecond"
        );
    }

    #[test]
    fn a_follower_goes_on_where_its_leader_stopped() {
        let mut clock = ShardClock::new(now(0, 9_000_000));
        clock.follow(now(10, 9_000_010), 0);
        assert_eq!(clock.estimate_ms(now(10, 9_000_010)), 9_000_010);
        // Asked at 10 ms; the answer says 1,000,000 and comes at 30 ms.
        clock.heard(now(30, 9_000_030), 10_000, 1_000_000);
        assert_eq!(clock.estimate_ms(now(30, 0)), 1_000_021, "as late as it can be");
        clock.heard(now(40, 0), 35_000, 1_000_015);
        assert_eq!(clock.estimate_ms(now(40, 0)), 1_000_021);
        clock.lead(now(50, 9_000_050), 9_000_050, 1_000_000);
        assert_eq!(clock.estimate_ms(now(50, 0)), 1_000_031);
        clock.lead(now(50, 0), 0, 2_000_000);
        assert_eq!(
            clock.estimate_ms(now(50, 0)),
            2_000_000,
            "never before shard time"
        );
    }

    #[test]
    fn nothing_overflows_at_the_ends_of_time() {
        let mut clock = ShardClock::new(now(0, u64::MAX));
        clock.slew(now(0, 0), 0);
        let end = Now {
            mono_us: u64::MAX,
            wall_ms: u64::MAX,
        };
        clock.slew(end, u64::MAX);
        clock.heard(end, 0, u64::MAX - 1);
        clock.follow(end, u64::MAX);
        assert!(clock.estimate_ms(end) > 0);
    }
}
