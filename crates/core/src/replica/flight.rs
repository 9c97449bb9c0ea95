//! Entries in flight: what a leader has proposed and does not know to be committed, how long the next one is held back
//! to gather more ops, and who waits for the commit.
//!
//! Invariants: indexes grow; empty without leadership.

use std::collections::VecDeque;

use crate::contract::PeerId;
use crate::limits;

/// One entry in flight.
#[derive(Debug)]
pub struct InFlight {
    /// Its index.
    pub index: u64,
    /// When it was proposed, in microseconds.
    pub proposed_us: u64,
    /// Ops in it.
    pub ops: u64,
    /// Nodes whose clients wait for it, this one left out.
    pub waiting: Vec<PeerId>,
    /// Holds ops of the shard itself, on which any node may have somebody waiting.
    pub system: bool,
}

impl InFlight {
    /// Whether every follower is to hear at once that it is committed.
    pub fn concerns_all(&self) -> bool {
        self.system || self.ops <= limits::PROMPT_OPS_MAX
    }
}

/// All entries in flight.
#[derive(Debug, Default)]
pub struct Flight {
    entries: VecDeque<InFlight>,
    /// When the last one was proposed and how many ops it held, also when it is committed by now.
    last: (u64, u64),
}

impl Flight {
    /// An entry was proposed.
    pub fn proposed(&mut self, entry: InFlight) {
        debug_assert!(self.entries.back().is_none_or(|last| last.index < entry.index));
        self.last = (entry.proposed_us, entry.ops);
        self.entries.push_back(entry);
    }

    /// The next entry that is committed when everything up to `index` is.
    pub fn committed(&mut self, index: u64) -> Option<InFlight> {
        self.entries.pop_front_if(|entry| entry.index <= index)
    }

    /// The next entry with few ops is not to be proposed before.
    pub fn next_us(&self) -> u64 {
        let (proposed_us, ops) = self.last;
        if ops < limits::BATCHING_OPS_MIN {
            return 0;
        }
        proposed_us + limits::BATCHING_DELAY_US_MAX.min(ops * limits::BATCHING_DELAY_PER_OP_US)
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
    fn entries_are_in_flight_from_proposal_to_commit() {
        let mut flight = Flight::default();
        let entry = |index, ops| InFlight {
            index,
            proposed_us: 1000,
            ops,
            waiting: Vec::new(),
            system: false,
        };
        flight.proposed(entry(5, 3));
        flight.proposed(entry(6, 4));
        assert!(flight.committed(4).is_none());
        assert_eq!(flight.committed(5).map(|entry| entry.ops), Some(3));
        assert!(flight.committed(5).is_none());
        flight.clear();
        assert!(flight.committed(u64::MAX).is_none());
    }

    #[test]
    fn the_batching_delay_grows_with_the_load_up_to_a_limit() {
        let mut flight = Flight::default();
        let mut next_after = |ops| {
            flight.proposed(InFlight {
                index: ops,
                proposed_us: 1000,
                ops,
                waiting: Vec::new(),
                system: false,
            });
            flight.next_us()
        };
        assert_eq!(
            next_after(limits::BATCHING_OPS_MIN - 1),
            0,
            "no other op is to be expected"
        );
        assert_eq!(next_after(10), 1000 + 10 * limits::BATCHING_DELAY_PER_OP_US);
        assert_eq!(next_after(1_000_000), 1000 + limits::BATCHING_DELAY_US_MAX);
    }
}
