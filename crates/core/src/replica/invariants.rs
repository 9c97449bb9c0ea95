//! What holds after every step, whatever happened; for tests and the simulator.

use super::Replica;
use crate::contract::Role;

impl Replica {
    /// Checks what must always hold; panics where it does not. Called after each step in tests.
    pub fn invariants(&self) {
        assert!(
            self.applied <= self.consensus.commit_index(),
            "applied what is not committed"
        );
        assert!(
            self.applied_term <= self.consensus.term(),
            "applied an entry of the future"
        );
        assert!(
            !self.lease.serving() || self.consensus.role() == Role::Leader,
            "serves without leading"
        );
        assert!(
            !(self.lease.serving() && self.lease.holds()),
            "serves while it holds entries back"
        );
        assert!(
            !(self.removed && self.lease.serving()),
            "serves without being a member"
        );
        assert!(
            self.inbound.is_empty() || self.consensus.role() == Role::Leader,
            "collects without leading"
        );
        assert!(
            self.keyspace.is_seeded() || self.keyspace.is_untouched(),
            "hashes keys with a seed that is not the cluster's"
        );
        assert!(
            self.waiters.is_empty() || self.consensus.role() == Role::Leader,
            "serves who waits without leading"
        );
        assert!(
            self.serving.is_empty() || self.applying.is_some(),
            "serves who waits without an entry"
        );
        if let Some(first) = self.held.front() {
            assert_eq!(
                first.index,
                self.applied + 1 + u64::from(self.applying.is_some()),
                "held entries continue what is applied"
            );
        }
    }
}
