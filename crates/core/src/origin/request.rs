//! What goes to the origin driver and what comes back. The driver (shell or simulator) executes
//! [`OriginRequest`]s in the order in which they were given out, and answers each with one
//! [`OriginEvent`].

use bytes::Bytes;

/// Names one lane: a keyspace (by its position in the configuration) and a lane number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// Lane number, below [`super::LANES`].
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
    /// The lane row has a higher fence or another position; nothing was written. Only for a flush.
    Fenced,
    /// No lane row of this cluster is in the database, so nothing keeps other clusters from writing it; nothing
    /// was written or read. For a load, and for a takeover that may not claim the database.
    Unclaimed,
    /// The database has lane rows of another cluster, which may write; nothing was written or read. An operator
    /// must act. Not for a flush, which is [`OriginError::Fenced`] then.
    Foreign(String),
    /// The mapping does not fit the database; an operator must act.
    Configuration(String),
}

/// A call for the origin driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginRequest {
    /// Fence the lane and read where the database stands.
    Takeover(Takeover),
    /// Transactions over a contiguous run of intents; see [`super::plan`].
    Flush(Flush),
    /// Read one row.
    Load(Load),
}

/// Fence the lane and read where the database stands. A row whose fence is above `fence` is reported as
/// it is and not changed; any other gets `fence`. A lane without a row gets one with `applied` 0, but the first
/// lane row of a cluster in a database only by a takeover that may claim it.
///
/// It must be a write even where nothing changes: a plain read sees a stale row while a zombie's
/// transaction is open, a write waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// Lane.
    pub lane: LaneId,
    /// Own fence.
    pub fence: Fence,
    /// Report rejects above this sequence; those up to it may be deleted.
    pub resolved: u64,
    /// May write the first lane row of this cluster. Where it may not and none is there, it is
    /// [`OriginError::Unclaimed`]: other clusters may have written the rows that are cached.
    pub claim: bool,
}

/// Transactions over a contiguous run of intents of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Lane.
    pub lane: LaneId,
    /// Name of its keyspace, for the error of writes that its mapping cannot take.
    pub keyspace_name: String,
    /// Own fence.
    pub fence: Fence,
    /// `applied` in the lane row must be this.
    pub from: u64,
    /// The run, ascending, first is `from + 1`; never empty.
    pub intents: Vec<FlushIntent>,
    /// A data error of an intent up to here is final. That of a later one may come from rows that an
    /// earlier write of another lane has yet to change: it is held, and the run ends before it.
    pub final_upto: u64,
}

/// Read one row. Where the keyspace is written through, the row counts only if in the same state of the database
/// there is a lane row of this cluster and none of another: then nobody else writes what is cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Comes back with the answer; unique within a process.
    pub id: u64,
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// The whole key; it fits the keyspace's pattern.
    pub key: Bytes,
}

/// Where the database stands after a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Highest intent that the database has decided.
    pub applied: u64,
    /// Fence in the lane row before the takeover, or the own one where there was no row. If it is above
    /// the own one, nothing was changed.
    pub stored: Fence,
    /// Rejects of the own generation above the asked sequence, ascending: (sequence, error text).
    pub rejects: Vec<(u64, Bytes)>,
    /// Why the mapping of the keyspace does not fit its table, if so; the lane is taken over all the same.
    pub misfit: Option<String>,
}

/// What a flush did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Flushed {
    /// Everything up to here is decided. May be below the end of the run when the origin went down in
    /// the middle of it; never below its first intent, unless that is held.
    pub upto: u64,
    /// The next intent met a data error that is not final; see [`Flush::final_upto`].
    pub held: bool,
    /// Rejected intents, ascending: (sequence, error text).
    pub rejects: Vec<(u64, Bytes)>,
    /// Rows whose stored form differs from what was sent: (key, what a load would return). At most one
    /// per key, as it stands after `upto`.
    pub canonical: Vec<(Bytes, Option<Bytes>)>,
    /// Why the mapping of the keyspace does not fit its table: the rest of the run was rejected for it.
    pub misfit: Option<String>,
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
