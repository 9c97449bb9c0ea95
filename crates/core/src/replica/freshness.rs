//! How old this replica's state can be at most: what bounded reads are judged by.
//!
//! Each question for a confirmed index, of this node or, where it leads, each of its rounds, says when it is answered:
//! whatever was committed before the question was SENT is at or below this index. So once the index is applied, the state is
//! no older than the time since the question was sent, by this node's own clock, which also runs while the machine is
//! suspended. The answer may have been on its way for long, so when it came says nothing. Nothing is compared with the
//! clock of another node.
//!
//! A confirmation stays true whoever leads, and is forgotten with the process, like all that waits.
//!
//! Invariant: confirmations ascend, strictly, both in when they were asked for and in their index.

use std::collections::VecDeque;

use crate::level::Bound;

/// An index that was confirmed to be no lower than what had been committed at a time.
#[derive(Clone, Copy, Debug)]
struct Confirmation {
    asked_us: u64,
    index: u64,
}

/// Confirmations whose index is not applied, and the latest one whose index is.
#[derive(Debug, Default)]
pub struct Freshness {
    confirmations: VecDeque<Confirmation>,
}

/// Confirmations that are remembered while apply is behind. Of more of them the oldest count, and the newest.
const CONFIRMATIONS_MAX: usize = 64;

impl Freshness {
    /// Whatever was committed at `asked_us`, by this node's monotonic clock, is at or below `index`.
    pub fn confirmed(&mut self, asked_us: u64, index: u64, applied: u64) {
        // What was overtaken by the answer to a later question tells nothing of now.
        if self
            .confirmations
            .back()
            .is_some_and(|latest| latest.asked_us >= asked_us)
        {
            return;
        }
        while self
            .confirmations
            .back()
            .is_some_and(|known| known.index >= index)
        {
            self.confirmations.pop_back();
        }
        while self.confirmations.len() >= 2 && self.confirmations[1].index <= applied {
            self.confirmations.pop_front();
        }
        self.confirmations.truncate(CONFIRMATIONS_MAX - 1);
        self.confirmations.push_back(Confirmation { asked_us, index });
    }

    /// The state up to `applied` holds everything that was committed at this time, by this node's monotonic clock.
    pub fn as_of_us(&self, applied: u64) -> Option<u64> {
        let mut latest_first = self.confirmations.iter().rev();
        latest_first
            .find(|known| known.index <= applied)
            .map(|known| known.asked_us)
    }

    /// True if that is no longer ago than the bound allows.
    pub fn is_within(&self, bound: Bound, now_us: u64, applied: u64) -> bool {
        self.as_of_us(applied)
            .is_some_and(|as_of_us| now_us.saturating_sub(as_of_us) <= bound.us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(confirmations: &[(u64, u64)]) -> Freshness {
        let mut freshness = Freshness::default();
        for &(asked_us, index) in confirmations {
            freshness.confirmed(asked_us, index, 0);
        }
        freshness
    }

    #[test]
    fn a_state_is_as_old_as_the_latest_question_whose_index_is_applied() {
        let freshness = of(&[(100, 5), (200, 5), (300, 9)]);
        assert_eq!(freshness.as_of_us(4), None);
        assert_eq!(freshness.as_of_us(5), Some(200));
        assert_eq!(freshness.as_of_us(8), Some(200));
        assert_eq!(freshness.as_of_us(9), Some(300));
        let bound = Bound::of_ms(1).expect("a bound");
        assert!(freshness.is_within(bound, 1_200, 5) && !freshness.is_within(bound, 1_201, 5));
        assert!(
            !freshness.is_within(bound, 200, 4),
            "nothing is known of that state"
        );
    }

    #[test]
    fn an_answer_that_was_overtaken_takes_nothing_back() {
        for (late, as_of_us) in [((100, 5), 300), ((100, 9), 300), ((300, 9), 300), ((400, 7), 400)] {
            let mut freshness = of(&[(300, 7)]);
            freshness.confirmed(late.0, late.1, 0);
            assert_eq!(freshness.as_of_us(9), Some(as_of_us), "{late:?}");
        }
        // Nor does it count by itself.
        let mut freshness = of(&[(300, 7)]);
        freshness.confirmed(100, 5, 0);
        assert_eq!((freshness.as_of_us(6), freshness.as_of_us(7)), (None, Some(300)));
    }

    #[test]
    fn who_is_always_behind_still_gets_on() {
        let mut freshness = Freshness::default();
        for time in 1..=10_000_u64 {
            // Apply is 500 confirmations behind.
            let applied = time.saturating_sub(500);
            freshness.confirmed(time, time, applied);
            assert!(freshness.confirmations.len() <= CONFIRMATIONS_MAX);
            let oldest = time.saturating_sub(500 + 500);
            assert!(
                time < 1_000 || freshness.as_of_us(applied) >= Some(oldest),
                "{time}"
            );
        }
    }
}
