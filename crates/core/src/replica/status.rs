//! What a replica says of itself.

use super::Replica;
use crate::contract::{OriginsStatus, Role, Status};
use crate::time::Now;

impl Replica {
    /// A snapshot of role, progress and health for STATUS, INFO, ROLE and metrics.
    pub fn status(&self, now: Now) -> Status {
        let role = self.consensus.role();
        let leader = self.consensus.leader();
        let age_ms = |heard_us: u64| now.mono_us.saturating_sub(heard_us) / 1000;
        let heard = |peer: u64| self.peers.get(&peer).map_or(0, |peer| peer.heard_us);
        let leader_connected = self.peers.get(&leader).is_some_and(|peer| peer.connected);
        let followers = self.consensus.followers();
        Status {
            role,
            term: self.consensus.term(),
            leader,
            serving: self.lease.serving() || (role == Role::Follower && leader_connected && self.confirmed),
            applied_index: self.applied,
            commit_index: self.consensus.commit_index(),
            digest: self.digest(),
            shard_time_ms: self.keyspace.time_ms(),
            followers: followers
                .iter()
                .map(|f| (f.peer, f.matched, age_ms(heard(f.peer))))
                .collect(),
            lag_ms: if role == Role::Leader {
                0
            } else {
                age_ms(heard(leader))
            },
            too_stale_ms: self.too_stale_ms(now),
            disk_stalled_ms: self.disk_stalled_ms(),
            disk_full: self.space.is_full(),
            quorum_full: self.quorum_is_full(),
            clock_outvoted: self.outvoted,
            requests_waiting: (self.outbox.len() + self.reads.len() + self.slow.len() + self.waits.len())
                as u64,
            full_resyncs: self.snapshots.installed,
            origins_version: self.lanes.origins_version(),
            origin_writes_pending: self.lanes.pending_count() as u64,
        }
    }

    /// Term and commit index of a leader that answers linearizable reads at this time without asking anybody.
    pub fn lease_position(&self, now: Now) -> Option<(u64, u64)> {
        let position = (self.consensus.term(), self.consensus.commit_index());
        self.lease.valid(now.mono_us).then_some(position)
    }

    /// Term, and the index up to which clients of this node may have been answered.
    pub fn shown(&self) -> (u64, u64) {
        (self.consensus.term(), self.applied)
    }

    /// Begins the statistics of removing expired keys anew.
    pub fn forget_reclaim_lag(&mut self) {
        self.keyspace.forget_reclaim_lag();
    }

    /// What is known of the origins at the applied index.
    pub fn origins(&self) -> OriginsStatus {
        self.lanes.origins()
    }

    /// Order-free digest of the replicated state at the applied index.
    pub fn digest(&self) -> u128 {
        match &self.applying {
            Some(applying) => applying.digest_before(),
            None => self
                .keyspace
                .digest()
                .wrapping_add(self.lanes.digest())
                .wrapping_add(self.users.digest()),
        }
    }
}
