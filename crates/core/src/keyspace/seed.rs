//! What keys are hashed with: agreed on in the log, before the first key.
//!
//! Every node draws a seed of its own; the leader puts its one in front of what it proposes for as long as
//! its own state has none. So the first entry that holds anything begins with a seed, which is that of
//! the cluster from then on, and travels in snapshots.

use super::Keyspace;
use crate::table::HashSeed;

impl Keyspace {
    /// Takes the seed that the log holds. The first one counts: a leader gives its own before it knows what the
    /// log holds already.
    ///
    /// # Panics
    /// If something was written before it, which apply refuses.
    pub fn seed(&mut self, hash_seed: HashSeed) {
        if self.is_seeded {
            return;
        }
        assert!(
            self.is_untouched(),
            "the hash seed comes before what is hashed with it"
        );
        self.hash_seed = hash_seed;
        self.is_seeded = true;
    }

    /// True once the log, or a snapshot of what it held, has said what the hash seed is.
    pub fn is_seeded(&self) -> bool {
        self.is_seeded
    }

    /// True while nothing was ever written.
    pub(crate) fn is_untouched(&self) -> bool {
        self.databases.iter().all(Option::is_none)
    }

    /// True if both hash keys alike, so that a scan that began at one goes on at the other; without a seed
    /// from the log there are no keys.
    pub fn hashes_like(&self, other: &Self) -> bool {
        let known = |keyspace: &Self| keyspace.is_seeded.then_some(keyspace.hash_seed);
        known(self) == known(other)
    }
}
