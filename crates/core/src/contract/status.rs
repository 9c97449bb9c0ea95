//! What a replica says of itself, for those who look after it.

use super::{PeerId, Role};

/// What a replica says of itself for STATUS, INFO, ROLE and metrics.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Role.
    pub role: Role,
    /// Term.
    pub term: u64,
    /// Known leader, 0 for none.
    pub leader: PeerId,
    /// True when a leader serves (lease wait passed), or a follower has a connected serving leader.
    pub serving: bool,
    /// Applied index.
    pub applied_index: u64,
    /// Commit index.
    pub commit_index: u64,
    /// Logical digest of the state at `applied_index`.
    pub digest: u128,
    /// Shard time, milliseconds since the epoch.
    pub shard_time_ms: u64,
    /// On the leader, per follower: (peer, matched index, milliseconds since it was last heard).
    pub followers: Vec<(PeerId, u64, u64)>,
    /// Milliseconds since this replica last heard of its leader (0 on the leader).
    pub lag_ms: u64,
    /// So many milliseconds it has not heard of a leader, where eventual reads are refused for that (STALE).
    pub too_stale_ms: Option<u64>,
    /// The disk has finished nothing for so long that this node does not lead: milliseconds, 0 if it is well.
    pub disk_stalled_ms: u64,
    /// The disk has no room: this node takes no writes.
    pub disk_full: bool,
    /// So many nodes say so that no majority could store a write.
    pub quorum_full: bool,
    /// The wall clock disagrees with that of a majority, so that this node does not lead.
    pub clock_outvoted: bool,
    /// Requests waiting for a leader or for commit.
    pub requests_waiting: u64,
    /// Snapshots installed from a leader since start.
    pub full_resyncs: u64,
    /// Changes whenever [`crate::replica::Replica::origins`] does.
    pub origins_version: u64,
    /// Writes to mapped keys that their origin has not decided.
    pub origin_writes_pending: u64,
}

/// What is known of the databases behind mapped keys: the same on all nodes that applied the same entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginsStatus {
    /// Mapped keyspaces.
    pub keyspaces: usize,
    /// Every origin, and whether all its keyspaces can be used.
    pub origins: Vec<(String, bool)>,
    /// The keyspaces that cannot.
    pub troubles: Vec<OriginTrouble>,
}

/// A keyspace whose origin does not answer, or whose mapping does not fit it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginTrouble {
    /// Name of the keyspace.
    pub keyspace: String,
    /// Name of the origin.
    pub origin: String,
    /// Why, in one line.
    pub reason: String,
}
