//! What a leader has proposed and does not know to be committed: how much company a write has on its way,
//! and who waits to hear that it has arrived.
//!
//! Invariants: indexes grow; empty without leadership.

use std::collections::VecDeque;

use crate::contract::PeerId;
use crate::limits;

/// One entry on its way.
#[derive(Debug)]
pub struct Flying {
    /// Its index.
    pub index: u64,
    /// When it was proposed, in microseconds.
    pub left_us: u64,
    /// Ops in it.
    pub ops: u64,
    /// Nodes whose clients wait for it, this one left out.
    pub waiting: Vec<PeerId>,
    /// Holds ops of the shard itself, on which any node may have somebody waiting.
    pub system: bool,
}

impl Flying {
    /// Whether every follower is to hear at once that it is committed.
    pub fn concerns_all(&self) -> bool {
        self.system || self.ops <= limits::PROMPT_OPS_MAX
    }
}

/// All entries on their way.
#[derive(Debug, Default)]
pub struct Flight {
    entries: VecDeque<Flying>,
    /// When the last one left and how many ops it held, also when it has landed.
    last: (u64, u64),
}

impl Flight {
    /// An entry was proposed.
    pub fn left(&mut self, entry: Flying) {
        debug_assert!(self.entries.back().is_none_or(|last| last.index < entry.index));
        self.last = (entry.left_us, entry.ops);
        self.entries.push_back(entry);
    }

    /// The next entry that is committed when everything up to `index` is.
    pub fn landed(&mut self, index: u64) -> Option<Flying> {
        self.entries.pop_front_if(|entry| entry.index <= index)
    }

    /// The next entry with few ops is not to leave before.
    pub fn next_us(&self) -> u64 {
        let (left_us, ops) = self.last;
        if ops < limits::CROWD_OPS_MIN {
            return 0;
        }
        left_us + limits::GAP_US_MAX.min(ops * limits::GAP_PER_OP_US)
    }

    /// Leadership is over: what becomes of the entries is for others to say.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.last = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fly_from_proposal_to_commit() {
        let mut flight = Flight::default();
        let entry = |index, ops| Flying {
            index,
            left_us: 1000,
            ops,
            waiting: Vec::new(),
            system: false,
        };
        flight.left(entry(5, 3));
        flight.left(entry(6, 4));
        assert!(flight.landed(4).is_none());
        assert_eq!(flight.landed(5).map(|entry| entry.ops), Some(3));
        assert!(flight.landed(5).is_none());
        flight.clear();
        assert!(flight.landed(u64::MAX).is_none());
    }

    #[test]
    fn the_gap_grows_with_the_crowd_up_to_a_limit() {
        let mut flight = Flight::default();
        let mut next_after = |ops| {
            flight.left(Flying {
                index: ops,
                left_us: 1000,
                ops,
                waiting: Vec::new(),
                system: false,
            });
            flight.next_us()
        };
        assert_eq!(
            next_after(limits::CROWD_OPS_MIN - 1),
            0,
            "no company is to be expected"
        );
        assert_eq!(next_after(10), 1000 + 10 * limits::GAP_PER_OP_US);
        assert_eq!(next_after(1_000_000), 1000 + limits::GAP_US_MAX);
    }
}
