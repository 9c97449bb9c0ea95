//! Where a leader stands with each lane and each keyspace of its origins. Volatile; [`super::flusher`] moves it.

use super::request::LaneId;

/// Where a lane stands with its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The lane row has to be read and fenced, not before `at_us`.
    Takeover { at_us: u64 },
    /// That is in flight.
    TakingOver,
    /// The numbering does not fit; waits for a [`super::op::Raise`] to this generation to be applied.
    Raising { generation: u64 },
    /// The lane row stands at `applied`.
    Ready { applied: u64 },
    /// Everything from `applied` on is in flight.
    Flushing { applied: u64 },
    /// The intent after `applied` met a data error; it is tried again when all lanes of the origin have
    /// flushed what stands before it in the log.
    Held { applied: u64 },
    /// The lane row stands at `applied`, and the mapping did not fit. It is looked at again at `at_us`. What
    /// is pending until then is flushed, so that the database takes it or rejects it.
    Misfit { applied: u64, at_us: u64 },
}

/// Whether a takeover may write the first lane row of this cluster into a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// No: copies may be cached that are older than the stay of another cluster.
    Unknown,
    /// Copies of all its lanes are about to be dropped: the new generations are proposed.
    Dropping,
    /// They are dropped, and nothing has been loaded since.
    Allowed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub id: LaneId,
    pub phase: Phase,
    /// Highest `upto` proposed in this leadership and generation.
    pub proposed: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct KeyspaceState {
    /// The whole error for clients while the mapping does not fit.
    pub misconfigured: Option<String>,
    /// A health that was proposed and not applied yet: true is down.
    pub proposed_down: Option<bool>,
}
