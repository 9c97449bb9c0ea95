//! The origin: the system of record behind a keyspace, and the lane protocol
//! (intent → flush → resolved) that keeps cache and database one.
//!
//! Pure: the driver (shell or simulator) executes [`OriginRequest`]s and answers with [`OriginEvent`]s.

use bytes::Bytes;

/// Names one lane: a keyspace (by its position in the configuration) and a lane number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// Lane number.
    pub lane: u16,
}

/// What the database compares against: nobody with a smaller fence may write any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence {
    /// Generation of the lane.
    pub generation: u64,
    /// Term of the leader that flushes.
    pub term: u64,
}

/// What one intent does to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The whole key as the client wrote it.
    pub key: Bytes,
    /// New value, or `None` to delete the row.
    pub value: Option<Bytes>,
}

/// One pending intent as it goes to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushIntent {
    /// Its number in the lane, from 1.
    pub sequence: u64,
    /// Its rows; all or none.
    pub effects: Vec<Effect>,
    /// Decided already (deadline passed): record this reject instead of writing.
    pub skip: Option<Bytes>,
}

/// Why the origin did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// Not reachable or busy; nothing was written.
    Down(String),
    /// The transaction's fate is not known: ask the lane row.
    Unknown(String),
    /// Somebody with a higher fence, or at another position, owns the lane now.
    Fenced,
    /// The mapping does not fit the database; an operator must act.
    Configuration(String),
}

/// A call for the origin driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRequest {
    /// Fence the lane and read where the database stands.
    Takeover {
        /// Lane.
        lane: LaneId,
        /// Own fence.
        fence: Fence,
        /// Report rejects above this sequence.
        resolved: u64,
    },
    /// One transaction over a contiguous run of intents, starting after `from`.
    Flush {
        /// Lane.
        lane: LaneId,
        /// Own fence.
        fence: Fence,
        /// `applied` in the lane row must be this.
        from: u64,
        /// The run, ascending, first is `from + 1`.
        intents: Vec<FlushIntent>,
    },
    /// Read one row.
    Load {
        /// Comes back with the answer.
        id: u64,
        /// Position of the keyspace in the configuration.
        keyspace: u16,
        /// The whole key.
        key: Bytes,
    },
}

/// Where the database stands after a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// Highest intent the database has decided.
    pub applied: u64,
    /// Generation stored in the lane row.
    pub generation: u64,
    /// Rejects above the asked sequence: (sequence, error text).
    pub rejects: Vec<(u64, Bytes)>,
}

/// What a flush did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Flushed {
    /// Everything up to here is decided.
    pub upto: u64,
    /// Rejected intents: (sequence, error text).
    pub rejects: Vec<(u64, Bytes)>,
    /// Rows whose stored form differs from what was sent: (key, what a load would return).
    pub canonical: Vec<(Bytes, Option<Bytes>)>,
}

/// The driver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginEvent {
    /// To [`OriginRequest::Takeover`].
    TakenOver {
        /// Lane.
        lane: LaneId,
        /// Fence of the request.
        fence: Fence,
        /// Outcome.
        result: Result<TakenOver, OriginError>,
    },
    /// To [`OriginRequest::Flush`].
    Flushed {
        /// Lane.
        lane: LaneId,
        /// Fence of the request.
        fence: Fence,
        /// Outcome.
        result: Result<Flushed, OriginError>,
    },
    /// To [`OriginRequest::Load`].
    Loaded {
        /// As in the request.
        id: u64,
        /// The value a GET would return, or `None` when there is no row.
        result: Result<Option<Bytes>, OriginError>,
    },
}

/// Which keys are mapped, and how; equal on all nodes.
#[derive(Clone, Debug, Default)]
pub struct OriginMap {}
