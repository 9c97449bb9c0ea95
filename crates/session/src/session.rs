//! The state of one connection, as far as its protocol is concerned.

use repligo_core::contract::{ReadLevel, Token};
use repligo_core::limits;
use repligo_core::shares::Demand;
use repligo_proto::command::CommandId;
use repligo_proto::resp::{Limits, RequestDecoder};

use crate::Stall;
use crate::access::Access;
#[cfg(feature = "bugs")]
use crate::bugs::Bug;
use crate::long::Encoding;
use crate::order::Unanswered;
use crate::replies::ReplyQueue;
use crate::scrutiny::Scrutiny;
use crate::subscriber::Subscriber;
use crate::tracking::Tracker;
use crate::transaction::Multi;

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Next request.
    Done,
    /// The same; the request is counted when it is answered.
    Given,
    /// Not now: give the same request in again when all earlier ones are answered.
    Wait,
    /// The node's queue has no room for it: give the same request in again when there is.
    Pause,
    /// Not now: give the same request in again in the next turn, which goes on with it.
    Turn,
    /// Not now: the host's clients are paused. Give the same request in again when they are no more.
    Hold,
    /// Send what is due, then close.
    Close,
}

impl Flow {
    /// The request was not executed and will be given in again.
    pub(crate) fn is_later(self) -> bool {
        matches!(self, Self::Wait | Self::Pause | Self::Turn | Self::Hold)
    }
}

/// What `CLIENT REPLY` asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// `OFF` is in force.
    pub off: bool,
    /// `SKIP` was asked by the present request, for the next one.
    pub skip_next: bool,
    /// `SKIP` is in force for the present request.
    pub skipping: bool,
}

/// State of one connection; see the crate.
#[derive(Debug, Default)]
pub struct Session {
    /// Number of the client, unique since start.
    pub id: u64,
    /// Its place in the host's table; the high half of its tickets.
    pub slot: u32,
    /// Name it gave itself.
    pub name: Box<[u8]>,
    /// Library name, from `CLIENT SETINFO`.
    pub library_name: Box<[u8]>,
    /// Library version, from `CLIENT SETINFO`.
    pub library_version: Box<[u8]>,
    /// Clock when it connected, microseconds.
    pub connected_us: u64,
    /// Clock when it last sent something, microseconds.
    pub active_us: u64,
    /// Selected database.
    pub database: u8,
    /// RESP3 was agreed; changed by [`Session::speak`].
    pub resp3: bool,
    /// No password is needed, or it was given.
    authenticated: bool,
    /// The same, and nothing that it asks has to be looked at: it is the default user as every cluster begins with it,
    /// may send whatever it likes, and tracks nothing.
    is_free: bool,
    /// It is free, and the host holds nothing back and shows nothing to others.
    pub(crate) is_direct: bool,
    /// What the host does with its requests.
    pub(crate) scrutiny: Scrutiny,
    /// Its client is shown what others ask.
    pub(crate) monitors: bool,
    /// As whom it is logged in.
    pub(crate) access: Access,
    /// The level of reads that it has asked for: READONLY, READWRITE and REPLIGO.CONSISTENCY.
    asked_level: Option<ReadLevel>,
    /// The level of its reads, which follows from that and from its user.
    read_level: ReadLevel,
    /// What it has brought along from another connection and its node may lack, see [`crate::token`].
    pub(crate) token: Option<Box<Token>>,
    /// `CLIENT NO-EVICT ON`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH ON`.
    pub no_touch: bool,
    /// `CLIENT REPLY`.
    pub silence: Silence,
    /// Last command, for CLIENT LIST.
    pub last_command: Option<CommandId>,
    /// MULTI and WATCH.
    pub multi: Option<Box<Multi>>,
    /// What it subscribes to, if anything.
    pub(crate) subscriber: Option<Box<Subscriber>>,
    /// What it is told of that it may have cached, if it tracks.
    pub(crate) tracker: Option<Box<Tracker>>,
    /// Replies in request order.
    pub replies: ReplyQueue,
    /// Nothing more is executed; the connection ends when everything asked is answered and sent.
    pub closing: bool,
    /// The connection ends at once, whatever is pending.
    pub killed: bool,
    /// An item of its block runs.
    pub(crate) runs_item: bool,
    /// What is unanswered, as far as the order of further requests is concerned.
    pub(crate) unanswered: Unanswered,
    /// What the present request asks of the node's queue.
    pub(crate) demand: Demand,
    /// Bytes of the present request.
    pub(crate) request_bytes: usize,
    /// How long what is executed has stood in the connection, microseconds; see [`Session::set_stood`].
    stood_us: u64,
    /// Bytes of it and of what was read behind it, while it is executed.
    pub(crate) unread_bytes: usize,
    pub(crate) decoder: RequestDecoder,
    pub(crate) stall: Stall,
    /// The next request, as far as it is encoded, if it is a long one.
    pub(crate) encoding: Option<Box<Encoding>>,
    /// Sequence number of the latest request whose command waits for a key.
    pub(crate) blocking: Option<u32>,
    #[cfg(feature = "bugs")]
    pub(crate) bug: Option<Bug>,
}

impl Session {
    /// A session in its first state, in a slot whose next sequence number is `first_sequence`; open to everybody
    /// until [`Session::set_authenticated`] says otherwise.
    pub fn new(id: u64, slot: u32, first_sequence: u32, bulk_bytes_max: usize) -> Self {
        let limits = Limits {
            bulk_bytes_max,
            ..Limits::default()
        };
        let mut session = Self {
            id,
            slot,
            replies: ReplyQueue::starting_at(first_sequence),
            decoder: RequestDecoder::new(limits),
            ..Self::default()
        };
        session.set_authenticated(true);
        session
    }

    /// Compiles a known bug into this session.
    #[cfg(feature = "bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.bug = Some(bug);
    }

    /// True if this bug is in force; never in a build without the feature.
    #[inline]
    #[cfg(feature = "bugs")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// True if no password is needed, or it was given.
    #[inline]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// True if everything that it asks may be executed without being looked at.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.is_free
    }

    /// Lets the connection send requests of any size, or only what a handshake needs.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
        self.update_free();
        self.decoder.set_authenticated(authenticated);
    }

    /// Answers in this version of the protocol from now on.
    pub fn speak(&mut self, resp3: bool) {
        self.resp3 = resp3;
        self.update_free();
    }

    /// A subscriber in RESP2, which may send little else.
    pub(crate) fn is_restricted(&self) -> bool {
        self.is_subscribed() && !self.resp3
    }

    pub(crate) fn update_free(&mut self) {
        let is_plain = self.actor().is_plain() && self.tracker.is_none();
        self.is_free = self.authenticated && is_plain && !self.is_restricted();
        self.is_direct = self.is_free && self.scrutiny == Scrutiny::default();
    }

    /// What is given in next came so many microseconds ago and was held back; 0 for what comes just now.
    pub fn set_stood(&mut self, stood_us: u64) {
        self.stood_us = stood_us;
    }

    /// As if the client had just connected, but under the same number (RESET).
    pub fn reset(&mut self) {
        self.multi = None;
        self.database = 0;
        self.resp3 = false;
        self.name = Box::default();
        self.asked_level = None;
        self.token = None;
        self.no_evict = false;
        self.no_touch = false;
        self.monitors = false;
        self.silence = Silence::default();
        self.access = Access::default();
        self.update_level();
    }

    /// Memory of its names.
    pub fn names_bytes(&self) -> usize {
        self.name.len() + self.library_name.len() + self.library_version.len()
    }

    /// Memory of the arguments of an incomplete request, beside their bytes.
    pub fn arguments_bytes(&self) -> usize {
        self.decoder.heap_bytes()
    }

    /// Bytes that it lacks to decode its next request, as far as it knows.
    pub fn bytes_missing(&self) -> usize {
        self.decoder.bytes_missing()
    }

    /// Bytes of the request that is being executed, and of what was read behind it.
    pub fn unread_bytes(&self) -> usize {
        self.unread_bytes
    }

    /// Memory beyond the size of this type, without what was read and not executed.
    pub fn heap_bytes(&self) -> usize {
        let multi = self.multi.as_deref().map_or(0, Multi::bytes);
        let replies = self.replies.memory();
        let buffers = replies.buffer_bytes + replies.list_bytes + replies.places_bytes;
        let names = self.subscriber.as_deref().map_or(0, Subscriber::memory_bytes);
        let encoding = self.encoding.as_deref().map_or(0, Encoding::heap_bytes);
        let tracker = self.tracker.as_deref().map_or(0, Tracker::memory_bytes);
        let token = self.token.as_deref().map_or(0, size_of_val);
        self.arguments_bytes() + token + multi + self.names_bytes() + names + buffers + encoding + tracker
    }

    /// Level of this session's reads.
    #[inline]
    pub fn read_level(&self) -> ReadLevel {
        self.read_level
    }

    /// READONLY, READWRITE and REPLIGO.CONSISTENCY: it asks for this level from now on, whatever its user's connections start with.
    pub(crate) fn ask_for_level(&mut self, level: ReadLevel) {
        self.asked_level = Some(level);
        self.update_level();
    }

    /// What it has asked for, or its user, has changed.
    pub(crate) fn update_level(&mut self) {
        self.read_level = self.access.read_level(self.asked_level);
        #[cfg(feature = "bugs")]
        if let (true, Some(asked)) = (self.has(Bug::ReadOnlyBelowFloor), self.asked_level) {
            self.read_level = asked;
        }
    }

    /// Whether the present request's reply is thrown away.
    #[inline]
    pub fn is_silent(&self) -> bool {
        self.silence.off || self.silence.skipping
    }

    /// A block waits for its local items to be run.
    #[inline]
    pub fn is_block_ready(&self) -> bool {
        self.multi.as_ref().is_some_and(|multi| multi.is_ready())
    }

    /// Between MULTI and EXEC.
    #[inline]
    pub(crate) fn is_queueing(&self) -> bool {
        self.multi.as_ref().is_some_and(|multi| multi.is_open())
    }

    /// Between MULTI and EXEC, or an item of a block runs.
    pub fn is_in_block(&self) -> bool {
        self.runs_item || self.is_queueing()
    }

    /// True if its client has asked nothing for longer than so many microseconds, and neither waits for something nor
    /// is sent what it has not asked for.
    pub fn is_idle(&self, now_us: u64, idle_us_max: u64) -> bool {
        let waits = self.replies.waiting() > 0 || self.waits_for_room() || self.is_held();
        now_us.saturating_sub(self.active_us) > idle_us_max && !waits && !self.hears_others()
    }

    /// What is unanswered now.
    #[inline]
    pub(crate) fn unanswered(&self) -> Unanswered {
        if self.replies.waiting() == 0 {
            Unanswered::Nothing
        } else {
            self.unanswered
        }
    }

    /// What a request of so many bytes asks of the node's queue.
    #[inline]
    pub(crate) fn asks_for(&mut self, bytes: usize) -> Demand {
        self.demand = Demand {
            held_bytes: self.replies.held_bytes(),
            bytes: bytes + limits::REQUEST_OVERHEAD_BYTES,
            stood_us: self.stood_us,
        };
        self.demand
    }
}
