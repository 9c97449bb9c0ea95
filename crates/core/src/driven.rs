//! What consensus tells the replica, in our own words.

use bytes::Bytes;

use crate::contract::{LogEntry, PeerId, Persist, Send};

/// What a drive of the state machine produced, in the order in which the replica handles it.
#[derive(Debug, Default)]
pub struct Driven {
    /// May leave at once (leader's appends, all heartbeats and their answers).
    pub sends: Vec<Send>,
    /// Snapshot messages, held back until the chunks before them are delivered: (peer, index, message).
    pub snapshot_sends: Vec<(PeerId, u64, Bytes)>,
    /// To be made durable, in order.
    pub persists: Vec<Persist>,
    /// Committed entries, in order, without gap.
    pub committed: Vec<LogEntry>,
    /// Contexts of confirmed ReadIndex rounds with their commit index.
    pub reads: Vec<(u64, u64)>,
    /// A snapshot that consensus accepted: (index, term). Comes before any entry in `committed`.
    pub installed: Option<(u64, u64)>,
}

impl Driven {
    /// True when nothing follows.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.snapshot_sends.is_empty()
            && self.persists.is_empty()
            && self.committed.is_empty()
            && self.reads.is_empty()
            && self.installed.is_none()
    }
}

/// Progress of one follower as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    /// The follower.
    pub peer: PeerId,
    /// It holds the log up to here.
    pub matched: u64,
}
