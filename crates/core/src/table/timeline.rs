//! When a counter that only grows had which value: to the second at first, and within a 64th of its age later,
//! since points that are closer together than that are thinned out whenever there are too many.

use std::collections::VecDeque;

/// Most points; the memory of one timeline is some 32 KiB.
const POINTS_MAX: usize = 2048;
/// Part of the age of a point by which it may be away from the next one. Half of the points then reach back for
/// half a year, and all of them for longer than seconds can be counted.
const GAP_DIVISOR: u64 = 64;

/// Values of a counter at the ends of seconds.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Value and second, both growing.
    points: VecDeque<(u64, u32)>,
}

impl Timeline {
    /// The counter has this value at the end of `second`.
    pub(crate) fn note(&mut self, value: u64, second: u32) {
        if let Some(last) = self.points.back_mut()
            && (last.0 >= value || last.1 >= second)
        {
            return;
        }
        if self.points.len() == POINTS_MAX {
            self.thin_out(second);
        }
        self.points.push_back((value, second));
    }

    /// Drops points that are close together for their age.
    fn thin_out(&mut self, now: u32) {
        let mut kept = VecDeque::with_capacity(POINTS_MAX);
        let mut next = now;
        for &(value, second) in self.points.iter().rev() {
            if kept.is_empty() || u64::from(next - second) * GAP_DIVISOR >= u64::from(now - second) {
                kept.push_front((value, second));
                next = second;
            }
        }
        self.points = kept;
    }

    /// The value last noted.
    pub(crate) fn latest(&self) -> u64 {
        self.points.back().map_or(0, |&(value, _)| value)
    }

    /// The second in which the counter got to `value`, or a later one by a part of the time since; `None` if
    /// it has done so since the last note.
    pub(crate) fn second_of(&self, value: u64) -> Option<u32> {
        let at = self.points.partition_point(|&(known, _)| known < value);
        self.points.get(at).map(|&(_, second)| second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_seconds_are_exact_and_older_ones_nearly() {
        let mut timeline = Timeline::default();
        for second in 0..1_000_000u32 {
            timeline.note(u64::from(second) * 10 + 9, second);
        }
        assert!(timeline.points.len() <= POINTS_MAX);
        assert_eq!(timeline.second_of(9_999_999), Some(999_999));
        assert_eq!(timeline.second_of(10_000_000), None);
        for age in [1u32, 10, 100, 1_000, 10_000, 100_000, 900_000] {
            let second = 999_999 - age;
            let found = timeline.second_of(u64::from(second) * 10).expect("it was noted");
            assert!(
                (second..=second + age / 32).contains(&found),
                "{found} for {second}"
            );
        }
    }

    #[test]
    fn what_did_not_change_takes_no_point() {
        let mut timeline = Timeline::default();
        (0..100).for_each(|second| timeline.note(7, second));
        assert_eq!((timeline.points.len(), timeline.second_of(7)), (1, Some(0)));
    }
}
