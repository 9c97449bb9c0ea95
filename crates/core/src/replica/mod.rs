//! The replica: one node's copy of a shard, and every decision about it.
//!
//! `step` is the only way in for anything that changes it; `read` is the fast path for what the level
//! allows to be answered at once. The parts, each with its own invariants: `reply` (answers to tickets), `outbox` (this node's writes
//! until they are applied), `inbound` (what followers forwarded), `requests` (how they come in and give up), `reads` (reads until they may be answered), `lease` (who may answer them), `freshness` (how old the state can be), `sessions` (what connections have seen elsewhere),
//! `pump` (what leaves at the end of a step), `apply` (entries to state and replies), `snapshots`,
//! `memory` (the limit, and who goes when it is reached), `transfers` (snapshots to and from peers), `loads` and `origin` (what waits for the origin), `slow` (reads over several turns), `settle`
//! (consensus and roles after every input), `clock` (the stamp of the next entry), `agreement` (whose wall clock
//! is right), `blocked`, `waiters` and `serving` (clients that wait for keys), `handover` (who leads instead), `departed` (a leader whose process has ended),
//! `space` (full disks), `peers` (what other nodes say).
//!
//! It knows nothing of sockets, disks, RESP parsing, or how the consensus library works.

mod agreement;
mod announce;
mod apply;
mod backup;
mod blocked;
mod clock;
mod departed;
mod execute;
mod flight;
mod freshness;
mod handover;
mod inbound;
mod invariants;
mod lease;
mod loads;
mod members;
mod memory;
mod observing;
mod ops;
mod origin;
mod outbox;
mod peers;
mod pump;
mod reads;
mod reply;
mod requests;
mod serving;
mod sessions;
mod settle;
mod slow;
mod snapshots;
mod space;
mod status;
mod transfers;
mod users;
mod waiters;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use self::agreement::Agreement;
use self::apply::Applying;
pub use self::backup::NoSnapshot;
use self::blocked::Blocked;
use self::clock::{LeaderClock, ShardClock};
use self::departed::Departed;
use self::flight::Flight;
use self::freshness::Freshness;
use self::inbound::Inbound;
use self::lease::Lease;
use self::loads::OriginWaits;
pub use self::members::MemberRequest;
pub(crate) use self::members::snapshot_membership;
use self::memory::Memory;
pub use self::memory::MemoryStatus;
use self::outbox::Outbox;
use self::reads::Reads;
use self::reply::{answer, fail};
use self::serving::Serving;
use self::slow::SlowReads;
pub(crate) use self::snapshots::Header as SnapshotHeader;
use self::snapshots::Snapshots;
use self::space::Space;
use self::waiters::Waiters;
use crate::acl::Users;
use crate::bugs::Bug;
use crate::command::{Command, ROOM_BYTES};
use crate::consensus::Consensus;
use crate::contract::{
    Boot, Durability, Input, LogEntry, Outputs, PeerId, ReadLevel, Role, Served, Settings,
};
use crate::driven::Driven;
use crate::keyspace::{Keyspace, ReadClock, ReadOutcome};
use crate::limits;
use crate::membership::Membership;
use crate::origin::{Flusher, FlusherOutput, Lanes};
use crate::shares::Line;
use crate::time::Now;

/// What is known of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    connected: bool,
    heard_us: u64,
    /// Waits to be told that everything up to this index is committed; 0 for nothing.
    awaits_commit: u64,
}

/// Latest batch of a node that was applied: copies at or below it are discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forwarder {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
}

/// One node's copy of a shard.
#[derive(Debug)]
pub struct Replica {
    settings: Settings,
    consensus: Consensus,
    keyspace: Keyspace,
    users: Users,
    /// Apply looks at every op before it executes it: keys have no seed, or the default user has lost rights.
    examines: bool,
    forwarders: BTreeMap<PeerId, Forwarder>,
    applied: u64,
    applied_term: u64,
    /// Committed entries that are not applied: a new leader must not expose them yet, or the turn's steps
    /// did not reach so far.
    held: VecDeque<LogEntry>,
    /// The entry behind `applied`, when it is partly applied.
    applying: Option<Applying>,
    /// Reads that take several turns.
    slow: SlowReads,
    /// Connections of which a read waits for the time that the log says; see `execute`.
    riding: BTreeSet<u32>,
    /// Steps that apply may still make in this turn.
    apply_steps: usize,
    /// Steps that long reads may still make in this turn.
    read_steps: usize,
    clock: ShardClock,
    leader_clock: LeaderClock,
    agreement: Agreement,
    /// The wall clock of this node is outvoted, as of the last tick.
    outvoted: bool,
    /// It keeps this node from leading.
    barred_by_clock: bool,
    /// Ticks since the disk last finished something, while it has something to do.
    disk_wait_ticks: u32,
    /// To whom this leader offered leadership last, and when.
    offered: Option<(PeerId, u64)>,
    /// When leadership was offered last for that reason.
    handed_over_us: Option<u64>,
    /// Stamp of the latest entry this leader proposed.
    stamped_ms: u64,
    outbox: Outbox,
    /// Since when this node knows of no leader, if it knows of none.
    leaderless_us: Option<u64>,
    /// Requests may have to be refused: nobody leads, or disks are full. One test for both, since it is on the way of
    /// every write.
    impeded: bool,
    /// Which disks are full.
    space: Space,
    /// Connections that wait for room in it.
    line: Line,
    /// Batches of followers for this leader's term, not yet proposed.
    inbound: Inbound,
    /// Ops of the leader itself, not yet proposed.
    system: VecDeque<Vec<u8>>,
    /// What this leader has proposed and not seen committed.
    flight: Flight,
    /// Commit index of which followers have been thought.
    commit_seen: u64,
    lease: Lease,
    freshness: Freshness,
    reads: Reads,
    snapshots: Snapshots,
    lanes: Lanes,
    flusher: Flusher,
    flusher_output: FlusherOutput,
    waits: OriginWaits,
    memory: Memory,
    /// Who has found the leader gone.
    departed: Departed,
    /// Clients of this node that wait for keys.
    blocked: Blocked,
    /// Those of all nodes, as this leader knows them.
    waiters: Waiters,
    /// Those whom the entry that is being applied may serve.
    serving: Serving,
    peers: BTreeMap<PeerId, Peer>,
    membership: Membership,
    /// This node is no member any more.
    removed: bool,
    seen: (Role, u64, PeerId),
    last_tick_us: u64,
    /// This replica has applied an index that a leader confirmed after this start.
    confirmed: bool,
    /// Own question whether the state is confirmed is on its way.
    confirming: bool,
    next_context: u64,
    /// When the leader was last known to lead: its last message here, or our own last confirmed round.
    leader_heard_us: u64,
    /// That was too long ago for an eventual read, as of the last tick that looked.
    was_stale: bool,
    scratch: Vec<u8>,
    driven: Driven,
    #[cfg(feature = "bugs")]
    planted: Option<Bug>,
}

impl Replica {
    /// Builds a replica from what the disk held.
    ///
    /// # Panics
    /// If the disk's contents do not fit together: the driver has checked them byte by byte, so that is
    /// a bug and not an operating error.
    pub fn new(settings: Settings, boot: Boot, now: Now) -> Self {
        let me = settings.identity.peer;
        let volatile = settings.durability == Durability::None;
        let membership = members::at_start(&settings, &boot);
        let consensus = Consensus::new(me, &membership, &boot, volatile);
        let single_voter = membership.decides_alone(me);
        let others = membership.iter().filter(|(peer, _)| *peer != me);
        let peers = others.map(|(peer, _)| (peer, Peer::default())).collect();
        let mut replica = Self {
            consensus,
            keyspace: Keyspace::new(settings.hash_seed),
            users: Users::default(),
            examines: true,
            forwarders: BTreeMap::new(),
            applied: 0,
            applied_term: 0,
            held: VecDeque::new(),
            applying: None,
            slow: SlowReads::default(),
            riding: BTreeSet::new(),
            apply_steps: limits::SLICE_STEPS,
            read_steps: limits::SLICE_STEPS,
            clock: ShardClock::new(now),
            leader_clock: LeaderClock::default(),
            agreement: Agreement::default(),
            outvoted: false,
            barred_by_clock: false,
            disk_wait_ticks: 0,
            offered: None,
            handed_over_us: None,
            stamped_ms: 0,
            outbox: Outbox::new(me, settings.identity.incarnation),
            leaderless_us: Some(now.mono_us),
            impeded: true,
            space: Space::default(),
            inbound: Inbound::default(),
            line: Line::default(),
            system: VecDeque::new(),
            flight: Flight::default(),
            commit_seen: 0,
            lease: Lease::new(single_voter),
            freshness: Freshness::default(),
            reads: Reads::default(),
            snapshots: Snapshots::default(),
            lanes: Lanes::new(settings.origin.clone()),
            flusher: Flusher::new(settings.origin.clone()),
            flusher_output: FlusherOutput::default(),
            waits: OriginWaits::default(),
            memory: Memory::new(settings.seed),
            departed: Departed::default(),
            blocked: Blocked::default(),
            waiters: Waiters::default(),
            serving: Serving::default(),
            peers,
            membership,
            removed: false,
            seen: (Role::Follower, 0, 0),
            last_tick_us: now.mono_us,
            confirmed: false,
            confirming: false,
            // Distinct from those of this node's earlier lives.
            next_context: settings.identity.incarnation << 32,
            leader_heard_us: now.mono_us,
            was_stale: false,
            scratch: vec![0; ROOM_BYTES],
            driven: Driven::default(),
            #[cfg(feature = "bugs")]
            planted: None,
            settings,
        };
        if let Some((index, term, chunks)) = &boot.snapshot {
            replica.restore(*index, *term, chunks);
        }
        replica
    }

    /// Plants a bug, for the simulator.
    #[cfg(feature = "bugs")]
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(bug);
        self.consensus.plant(bug);
    }

    #[cfg(feature = "bugs")]
    fn has(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    #[cfg(not(feature = "bugs"))]
    #[inline(always)]
    fn has(&self, _bug: Bug) -> bool {
        false
    }

    /// Takes one input and appends what follows from it to `outputs`.
    pub fn step(&mut self, now: Now, input: Input<'_>, outputs: &mut Outputs) {
        let ticked = self.deliver_ticks(now);
        if ticked {
            // A leader that has lost its quorum must not seem to serve until the turn ends.
            self.observe_role(now, outputs);
            self.observe_staleness(now);
        }
        let turn = matches!(input, Input::Turn);
        if turn {
            self.apply_steps = limits::SLICE_STEPS;
            self.read_steps = limits::SLICE_STEPS;
        }
        if self.keyspace.is_releasing() && (turn || ticked) {
            self.keyspace.release();
        }
        let steps_before = self.apply_steps + self.read_steps;
        match input {
            // Requests of a turn only gather; the turn's end lets them leave together.
            Input::Request(request) => return self.on_request(now, request, outputs),
            Input::Memory(input) => return self.on_memory(input),
            Input::Turn => {}
            Input::Tick => self.on_tick(now, outputs),
            Input::Peer { from, message } => self.on_peer(now, from, message, outputs),
            Input::PeerConnected { peer } => self.on_peer_connected(now, peer, outputs),
            Input::PeerLost { peer } => self.on_peer_lost(peer),
            Input::PeerRefused { peer } => self.on_peer_refused(peer, outputs),
            Input::Persisted { number } => {
                self.disk_wait_ticks = 0;
                self.consensus.persisted(number);
            }
            Input::SnapshotSaved { index } => self.snapshots.saved(index),
            Input::DiskFull { full } => self.on_disk_full(now, full, outputs),
            Input::SnapshotFailed => self.on_snapshot_failed(now, outputs),
            Input::Unblock(ticket, how) => return self.on_unblock(now, ticket, how, outputs),
            Input::Origin(event) => self.flusher.on_event(now, event, &self.lanes),
        }
        // Every other input was settled when it came.
        if !turn || ticked || self.has_work() || self.consensus.has_ready() {
            self.settle(now, outputs);
            self.drop_refused_snapshot(outputs);
        }
        if turn {
            outputs.turn_at_us = None;
            self.look_after_memory();
            self.snapshot_turn(now, outputs);
            self.pump(now, outputs);
            self.settle(now, outputs);
            if self.announce_commits() {
                self.settle(now, outputs);
            }
            self.judge_memory_again();
        }
        outputs.steps += steps_before.saturating_sub(self.apply_steps + self.read_steps);
    }

    /// Serves a read straight away if its level allows; the fast path.
    ///
    /// `now` must have been sampled after the read's bytes arrived. The connection must have no
    /// unanswered earlier requests, and at level session no token that is not [passed](Self::judge_token).
    #[inline]
    pub fn read(
        &self,
        now: Now,
        command: &Command<'_>,
        level: ReadLevel,
        resp3: bool,
        reply: &mut Vec<u8>,
    ) -> Served {
        let clock = match level {
            ReadLevel::Linearizable if self.current(now) => ReadClock::at(self.clock.estimate_ms(now)),
            ReadLevel::Eventual if self.confirmed && self.is_whole() => {
                if let Some(age_ms) = self.too_stale_ms(now) {
                    ReplyWriter::new(reply, resp3).error(&words::stale(age_ms));
                    return Served::Done;
                }
                ReadClock {
                    now_ms: self.keyspace.time_ms(),
                    leader_ms: self.leader_time_ms(now),
                }
            }
            ReadLevel::Bounded(bound) => match self.local_clock(now, Some(bound)) {
                Some(clock) => clock,
                None => return Served::NotYet,
            },
            ReadLevel::Session(bound) => match self.local_clock(now, bound) {
                Some(clock) => clock,
                None => return Served::NotYet,
            },
            ReadLevel::Linearizable | ReadLevel::Eventual => return Served::NotYet,
        };
        if !self.settings.origin.is_empty() && self.needs_origin(command) {
            return Served::NotYet;
        }
        if self.keyspace.is_wide(command) {
            return Served::NotYet;
        }
        match self
            .keyspace
            .read(command, clock, &mut ReplyWriter::new(reply, resp3))
        {
            ReadOutcome::Done => Served::Done,
            ReadOutcome::NeedsTime if self.has(Bug::ExpiryByLocalClock) => {
                ReplyWriter::new(reply, resp3).null();
                Served::Done
            }
            ReadOutcome::NeedsTime | ReadOutcome::Long | ReadOutcome::Waits => Served::NotYet,
        }
    }

    /// All users at the applied index.
    #[inline]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The state, for introspection.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// One counter for rounds and questions: an answer to a question of this node's time as a follower
    /// must never pass for one of its rounds as a leader.
    fn draw_context(&mut self) -> u64 {
        self.next_context += 1;
        self.next_context
    }

    /// True unless an entry is partly applied: a state that nobody may see.
    fn is_whole(&self) -> bool {
        self.applying.is_none() || self.has(Bug::ReadBetweenSlices)
    }

    /// True when the applied state may answer linearizable reads. An entry can be committed by the
    /// others before it is durable and applied here, and a follower may have answered its client already.
    fn current(&self, now: Now) -> bool {
        let leads =
            self.lease.valid(now.mono_us) || (self.has(Bug::LeaseWithoutQuorum) && self.lease.serving());
        leads && (self.applied == self.consensus.commit_index() || self.has(Bug::ReadBehindCommit))
    }

    /// Ticks that fell due are delivered before anything else, so that a process that was stopped judges
    /// what it reads by the time at which it reads it.
    /// True if there were any.
    fn deliver_ticks(&mut self, now: Now) -> bool {
        let due = now.mono_us.saturating_sub(self.last_tick_us) / limits::TICK_US;
        if due == 0 || self.removed {
            return false;
        }
        self.last_tick_us += due * limits::TICK_US;
        // Beyond a few election timeouts nothing new can come due.
        let enough =
            4 * (limits::ELECTION_TICKS + limits::VOTERS_MAX * limits::ELECTION_STAGGER_TICKS) as u64;
        for _ in 0..due.min(enough) {
            self.consensus.tick();
        }
        true
    }

    fn on_tick(&mut self, now: Now, outputs: &mut Outputs) {
        self.keep_time(now, outputs);
        self.judge_space(now);
        self.judge_disk(outputs);
        self.age_versions(now);
        self.keyspace.begin_second((now.mono_us / 1_000_000) as u32);
        self.reads.sort_out_sessions(self.applied);
        self.give_up_overdue(now, outputs);
        self.give_up_origin_waits(now, outputs);
        self.reads
            .ask_stale_again(now.mono_us.saturating_sub(limits::READ_RETRY_US));
        self.confirm_state(now);
        self.propose_due_deadlines(now);
        self.snapshot_tick(now, outputs);
        self.time_out_blocked(now, outputs);
        self.sweep_waiters();
        self.await_commit(None, self.consensus.commit_index());
        self.promote_if_caught_up(now);
    }
}
