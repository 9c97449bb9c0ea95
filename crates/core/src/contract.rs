//! The contract between the core and whoever drives it (shell or simulator).
//!
//! [`crate::replica::Replica::step`] takes one [`Input`] and appends to [`Outputs`]; it is synchronous,
//! total and bounded. Requests of one turn are collected and leave together at [`Input::Turn`].
//! The driver owns every effect; the core owns every decision.
//!
//! Rules for the driver:
//! 1. `Now` is sampled after the bytes of the input were read.
//! 2. [`Persist`]s are written in order; `then_send` leaves only when the persist is durable by the
//!    node's mode, then [`Input::Persisted`] with its number is given back.
//! 3. Messages to one peer leave in order on one stream; on any gap the stream is torn down and both
//!    ends learn it as [`Input::PeerLost`].
//! 4. Every [`Ticket`] handed in gets exactly one [`Reply`].
//! 5. After any other input an [`Input::Turn`] follows soon: only then requests, questions and work for
//!    the origin leave.
//! 6. A turn does a bounded amount of work, far less than a driver may spend at once. While
//!    [`crate::replica::Replica::has_work`] another one follows: at once while the driver's own clock
//!    allows, then soon, after what has arrived meanwhile has been given in.
//! 7. Before a request is given in, [`crate::replica::Replica::admits`] is asked. If it says no, the driver
//!    gives nothing more of that connection in until [`crate::replica::Replica::call_waiting`], which it
//!    asks after every turn, names it.

use std::cell::RefCell;

use bytes::Bytes;

pub use crate::acl::Actor;
use crate::acl::UserChange;
use crate::command::{Command, LongOp};
use crate::eviction::MemoryLimit;
pub use crate::level::ReadLevel;
use crate::membership::Membership;
use crate::op::Transaction;
use crate::pieces::Pieces;
use crate::shares::Demand;
pub use crate::table::HashSeed;
pub use crate::token::Token;
pub use crate::unblock::Unblock;

mod status;

pub use status::{OriginTrouble, OriginsStatus, Status};

/// Number of a member of the cluster, from 1, allocated by its [`Membership`]. Never used again for another data
/// directory.
pub type PeerId = u64;

/// The driver's name for one request; returned with its reply. The core never looks inside.
pub type Ticket = u64;

/// Who a node is; part of every peer frame. A mismatch is refused before the core sees the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Drawn when the cluster formed.
    pub cluster_id: u128,
    /// Raised at forming, restore and majority-loss recovery.
    pub generation: u64,
    /// This node's number.
    pub peer: PeerId,
    /// Grows with every start of the process (persisted counter), or is drawn where nothing persists.
    pub incarnation: u64,
}

/// What of the disk an acknowledgement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is written. Single nodes only until membership changes exist.
    None,
    /// Written to the kernel before the acknowledgement; synced every second. Term and vote synced.
    Os,
    /// Synced before the acknowledgement, in groups.
    Fsync,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// One data command, read or write.
    Command(&'a Command<'a>),
    /// A write on keys without an origin and its whole op, which its session has encoded in several turns.
    Long(&'a Command<'a>, &'a RefCell<LongOp>),
    /// A MULTI … EXEC block with its watched versions; one op.
    Transaction {
        /// The block.
        transaction: &'a Transaction<'a>,
        /// Encoded replies of its local items, in their order, in the protocol of the request.
        locals: &'a [Bytes],
    },
    /// A change of the users. Nothing else of its connection may be given in until it is answered.
    Users(&'a UserChange<'a>),
}

/// One client request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Comes back with the reply.
    pub ticket: Ticket,
    /// Render the reply in RESP3 (else RESP2).
    pub resp3: bool,
    /// The connection has unanswered earlier writes, all of them given in since the last
    /// [`Input::Turn`], none of them on origin keys: a read then rides behind them to apply instead of
    /// being served from the state before them. Otherwise a read waits in the connection until all
    /// earlier writes are answered; and behind an unanswered read that does not ride, the connection
    /// gives in nothing but further reads of the same turn, because such a read is executed later.
    pub rides: bool,
    /// Level of a read; ignored for writes.
    pub level: ReadLevel,
    /// What its connection has brought along from elsewhere and this replica may lack: a read at level session waits
    /// for it, and must not ride.
    pub token: Option<&'a Token>,
    /// By whose rights the driver has let it through: it is refused where it is executed if these have shrunk.
    pub actor: Actor,
    /// What it asks of the queue, as [`crate::replica::Replica::admits`] was asked. A driver that does not
    /// ask, or gives nothing in here, has what it may not hold refused.
    pub demand: Demand,
    /// What is asked.
    pub body: Body<'a>,
}

/// Everything nondeterministic that can happen to a replica.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client asks.
    Request(Request<'a>),
    /// The driver has read everything that was ready: propose, forward and hand out what was gathered.
    Turn,
    /// Time passed; given at least every [`crate::limits::TICK_US`]. The core counts due ticks itself.
    Tick,
    /// A message of a peer, whole and in stream order.
    Peer {
        /// Sender, checked against its identity by the driver.
        from: PeerId,
        /// As given out in [`Send::message`].
        message: Bytes,
    },
    /// A fresh ordered stream to and from a peer exists.
    PeerConnected {
        /// The peer.
        peer: PeerId,
    },
    /// The stream is gone; everything in flight on it may be lost.
    PeerLost {
        /// The peer.
        peer: PeerId,
    },
    /// After its stream was lost: nobody listens where the peer did, and its machine says so. Most probably its
    /// process has ended; nothing that is promised may depend on it.
    PeerRefused {
        /// The peer.
        peer: PeerId,
    },
    /// All persists up to and including this number are durable by the node's mode.
    Persisted {
        /// As in [`Persist::number`].
        number: u64,
    },
    /// A snapshot given out in [`SnapshotIo`] is durable on disk, and the log before it may go.
    SnapshotSaved {
        /// As in [`SnapshotIo::Begin`].
        index: u64,
    },
    /// The disk has no room for the log but a reserve, or has room again. What was given out before is written all
    /// the same, later if need be; the driver says so again only when it changes.
    DiskFull {
        /// No room.
        full: bool,
    },
    /// There is no room for the snapshot that is being written: an unfinished one of this replica's own state, or one
    /// that was not taken in yet, is to be given up. One that was taken in is written when there is room.
    SnapshotFailed,
    /// The memory limit, and what the driver holds itself. Given at the start, whenever the limit changes,
    /// and now and then for the rest; without it there is no limit.
    Memory(MemoryInput),
    /// A request whose command waits for a key is to wait no more; what its client is told, unless it was served before.
    Unblock(Ticket, Unblock),
    /// The origin driver answers; see [`crate::origin`].
    Origin(crate::origin::OriginEvent),
}

/// What the driver knows of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryInput {
    /// The limit.
    pub limit: MemoryLimit,
    /// Bytes that count against it and that the core does not see: buffers of connections, links, disk.
    pub outside_bytes: u64,
}

/// An answer to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's ticket.
    pub ticket: Ticket,
    /// The encoded reply is `Outputs::reply_bytes[start..end]`.
    pub start: u32,
    /// End of the range.
    pub end: u32,
}

/// An answer to a ticket with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongReply {
    /// The request's ticket.
    pub ticket: Ticket,
    /// The encoded reply.
    pub pieces: Pieces,
    /// Of a MULTI block: the items that failed and the encoded errors, so that nobody has to search a
    /// long reply for them.
    pub failures: Vec<Failure>,
}

/// An item of a MULTI block that failed: its position and its encoded error.
pub type Failure = (u32, Box<[u8]>);

/// Steps made for a request that takes several turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The request's ticket.
    pub ticket: Ticket,
    /// How many.
    pub steps: usize,
}

/// One entry of the replicated log as it goes to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Position, from 1.
    pub index: u64,
    /// Term in which it was proposed.
    pub term: u64,
    /// The consensus library's entry type (0 = normal, 1 and 2 = membership).
    pub kind: u8,
    /// Payload; empty for the no-op of a new term.
    pub data: Bytes,
}

/// What consensus must never forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HardState {
    /// Latest term seen.
    pub term: u64,
    /// Vote in that term, 0 for none.
    pub vote: PeerId,
    /// Known commit index; may lag.
    pub commit: u64,
}

/// One ordered write to the log, and what may happen only after it.
#[derive(Clone, Debug, Default)]
pub struct Persist {
    /// Grows by one per persist.
    pub number: u64,
    /// New hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Entries to append. If the first index is not one past the end of the log on disk, everything
    /// from that index on is truncated first.
    pub entries: Vec<LogEntry>,
    /// Set when a snapshot received from the leader replaces state and log: its saved index. The
    /// driver has been given its chunks before as [`SnapshotIo`]; the log on disk restarts after it.
    pub install: Option<u64>,
    /// Term or vote changed: to be synced in every mode but `none`.
    pub must_sync: bool,
    /// Leaves when this persist is durable.
    pub then_send: Vec<Send>,
}

/// A message to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Receiver.
    pub to: PeerId,
    /// Opaque to the driver.
    pub message: Bytes,
}

/// A snapshot on its way to this node's disk, in order: one `Begin`, chunks, one `End` (or `Abort`).
#[derive(Clone, Debug)]
pub enum SnapshotIo {
    /// Start a new snapshot file beside the current one.
    Begin {
        /// Index of the last entry it contains.
        index: u64,
        /// Term of that entry.
        term: u64,
    },
    /// Next piece.
    Chunk(Bytes),
    /// Complete: sync, rename over the old one, then answer [`Input::SnapshotSaved`].
    End {
        /// Index given in `Begin`.
        index: u64,
        /// The log on disk may be dropped up to and including this index.
        drop_log_to: u64,
    },
    /// Throw the unfinished file away.
    Abort,
}

/// Something an operator may want to read in the log; never a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Role or term of this replica changed.
    Role {
        /// New role.
        role: Role,
        /// Its term.
        term: u64,
        /// Known leader, 0 for none.
        leader: PeerId,
    },
    /// A majority has found that the leader's process has ended: this replica asks for votes.
    LeaderGone {
        /// Who led.
        leader: PeerId,
    },
    /// The lease wait of a new leader is over: it serves.
    Serving {
        /// Term.
        term: u64,
    },
    /// Members, or what they are for, have changed: to be kept beside the log, see [`Settings::membership`].
    Membership,
    /// This node is no member any more: it serves nothing and is to end.
    Removed,
    /// A received snapshot replaced the state.
    SnapshotInstalled {
        /// Its index.
        index: u64,
    },
    /// Something unusual; one sentence.
    Warning(String),
    /// A peer has said what no correct peer says. Nothing has changed; the stream to it is to be torn down.
    PeerImplausible {
        /// Whose stream.
        peer: PeerId,
        /// What it was.
        reason: &'static str,
    },
}

/// Role of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Follows a leader or waits for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads its term.
    Leader,
}

/// Everything effectful that a step asks for. Reused between steps: the driver drains it.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Answers, in the order in which they were decided.
    pub replies: Vec<Reply>,
    /// Bytes of the answers.
    pub reply_bytes: Vec<u8>,
    /// Answers that took several turns, decided after those above: handed over as they are, because they
    /// may be long.
    pub long_replies: Vec<LongReply>,
    /// What was done for requests that take several turns, whether or not they are answered by now: the driver,
    /// which has a clock, charges them with the time. To be forgotten by whoever wants no statistics.
    pub spent: Vec<Spent>,
    /// All steps that were made, those of `spent` included.
    pub steps: usize,
    /// Messages that may leave at once.
    pub sends: Vec<Send>,
    /// Log writes, in order. Empty in [`Durability::None`].
    pub persists: Vec<Persist>,
    /// Snapshot file pieces, in order, and in order with `persists` by being handled before them.
    pub snapshot: Vec<SnapshotIo>,
    /// Calls for the origin driver.
    pub origin: Vec<crate::origin::OriginRequest>,
    /// For the operator.
    pub events: Vec<Event>,
    /// Set by each turn: ops wait out the batching delay, and the next turn is due at this time, in microseconds of
    /// [`crate::time::Now::mono_us`], should none come before. A driver without so fine a clock gives it with the
    /// next tick.
    pub turn_at_us: Option<u64>,
}

impl Outputs {
    /// Puts the long replies among the others, for a driver that does not mind copying them and keeps no
    /// statistics.
    ///
    /// # Panics
    /// If all replies together are 4 GiB or more.
    pub fn join_long_replies(&mut self) {
        self.spent.clear();
        self.steps = 0;
        for LongReply { ticket, pieces, .. } in self.long_replies.drain(..) {
            let position = |at: usize| u32::try_from(at).expect("replies of one step stay below 4 GiB");
            let begin = position(self.reply_bytes.len());
            pieces
                .iter()
                .for_each(|piece| self.reply_bytes.extend_from_slice(piece));
            let end = position(self.reply_bytes.len());
            self.replies.push(Reply {
                ticket,
                start: begin,
                end,
            });
        }
    }
}

/// What a node found on its disk.
#[derive(Debug, Default)]
pub struct Boot {
    /// Last hard state.
    pub hard_state: HardState,
    /// Latest complete snapshot: (index, term, chunks as they were given out).
    pub snapshot: Option<(u64, u64, Vec<Bytes>)>,
    /// Log after the snapshot, contiguous.
    pub entries: Vec<LogEntry>,
}

/// Static settings of a replica.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this is.
    pub identity: Identity,
    /// The members as the driver knows them: as the cluster formed, as this node was told when it joined, or as
    /// [`crate::replica::Replica::membership`] was last kept. A later one in snapshot or log replaces it.
    pub membership: Membership,
    /// Durability mode.
    pub durability: Durability,
    /// Seed of everything that must look random. Not replicated.
    pub seed: u64,
    /// What keys are to be hashed with if the log does not say it yet: drawn by the driver from a source
    /// that nobody can guess. The cluster keeps the seed of the leader that wrote first.
    pub hash_seed: HashSeed,
    /// Keyspace policies with an origin.
    pub origin: std::sync::Arc<crate::origin::OriginMap>,
    /// Bytes of log kept in memory for followers that lag; a snapshot is taken when it is passed.
    pub log_bytes_max: u64,
}

/// Result of [`crate::replica::Replica::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The reply was appended.
    Done,
    /// Not now: give it in as [`Input::Request`]. Nothing was appended.
    NotYet,
}
