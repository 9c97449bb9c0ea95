//! One life of a node's process: the shell, simulated.
//!
//! It does what the real shell does, one action at a time: read what has arrived, sample the clock,
//! step the core, hand out what came of it. Between any two actions it may be stopped for as long as the
//! world likes; what arrives meanwhile waits and then comes in a burst. The clock is sampled once per
//! turn, after reading: the oldest reading that the contract allows is the most dangerous one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use repligo_core::codec::Reader;
use repligo_core::contract::{Event, Input, MemoryInput, Outputs, PeerId, Persist, Send, Ticket};
use repligo_core::forming::{Forming, FormingOutput, FormingState};
use repligo_core::limits;
use repligo_core::origin::OriginRequest;
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::table::Connections;

use super::Context;
use super::arrival::Arrival;
use super::disk::{Disk, Done, Job};
use super::network::Frame;
use super::queue::Micros;
use super::session::{Connection, Tools};

mod effects;
mod serving;
mod sockets;

pub use sockets::Reported;

/// Something that the process has decided to do.
#[derive(Debug)]
enum Effect {
    Send(Send),
    Forming(PeerId, Bytes),
    Told(PeerId, Frame),
    Write(Job),
    Reply {
        connection: (u32, u64),
        bytes: Bytes,
    },
    /// The process closes a connection.
    Close {
        connection: (u32, u64),
    },
    Origin(OriginRequest),
}

/// What the process is in its cluster.
#[derive(Debug)]
enum Core {
    Forming(Forming),
    Running(Box<Replica>),
    /// It refused to go on; it answers nobody.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way.
    Idle,
    /// Bytes were read, the clock not yet.
    Read,
    /// The clock was sampled; arrivals are given to the core one by one.
    Step,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    me: PeerId,
    life: u32,
    core: Core,
    starter: super::Starter,
    inbox: VecDeque<Arrival>,
    batch: VecDeque<Arrival>,
    stage: Stage,
    now: Now,
    next_tick_mono_us: u64,
    outputs: Outputs,
    effects: VecDeque<Effect>,
    awaiting: VecDeque<(u64, Vec<Send>)>,
    streams: BTreeMap<PeerId, u64>,
    connections: Connections<Connection>,
    /// Place of each connection.
    slots: BTreeMap<(u32, u64), u32>,
    /// Connections that may have something to send or to execute.
    due: VecDeque<u32>,
    /// Connections that go on after the next turn.
    waiting: Vec<u32>,
    /// How many requests under a ticket are unanswered.
    tickets: BTreeMap<Ticket, usize>,
    subscriptions: Subscriptions,
    /// Nodes that do not know what clients of this one subscribe to.
    untold: BTreeSet<PeerId>,
    pool: BufferPool,
    tools: Tools,
    /// Changes of the users that all connections have seen.
    users_seen: u32,
    turn: u64,
    io: sockets::IoThreads,
    /// The wake-up that counts; others are stale.
    pub wake_at: Option<Micros>,
}

impl Process {
    /// A process that has just been started on what its disk held.
    pub fn new(starter: super::Starter, now: Now, state: FormingState) -> Self {
        let voters = starter.membership.voters();
        let core = Core::Forming(Forming::new(starter.me, &voters, state, starter.drawn_id));
        let seed = starter.seed ^ u64::from(starter.life);
        let mut process = Self {
            io: sockets::IoThreads::of_node(seed, starter.life),
            me: starter.me,
            life: starter.life,
            core,
            starter,
            inbox: VecDeque::new(),
            batch: VecDeque::new(),
            stage: Stage::Idle,
            now,
            next_tick_mono_us: now.mono_us,
            outputs: Outputs::default(),
            effects: VecDeque::new(),
            awaiting: VecDeque::new(),
            streams: BTreeMap::new(),
            connections: Connections::default(),
            slots: BTreeMap::new(),
            due: VecDeque::new(),
            waiting: Vec::new(),
            tickets: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            untold: BTreeSet::new(),
            pool: BufferPool::default(),
            tools: Tools::default(),
            users_seen: 0,
            turn: 0,
            wake_at: None,
        };
        process.start_if_formed(now);
        process
    }

    /// Which life of its machine this is.
    pub fn life(&self) -> u32 {
        self.life
    }

    /// The replica, once the cluster has formed.
    pub fn replica(&self) -> Option<&Replica> {
        match &self.core {
            Core::Running(replica) => Some(replica),
            Core::Forming(_) | Core::Refused => None,
        }
    }

    /// The same, to be asked for something.
    pub fn replica_mut(&mut self) -> Option<&mut Replica> {
        match &mut self.core {
            Core::Running(replica) => Some(replica),
            Core::Forming(_) | Core::Refused => None,
        }
    }

    /// Connections of clients, which break when the process ends; those too that it has not looked at.
    pub fn connections(&self) -> BTreeSet<(u32, u64)> {
        let unseen = self
            .batch
            .iter()
            .chain(&self.inbox)
            .filter_map(|arrival| match arrival {
                Arrival::Requests { connection, .. } => Some(*connection),
                _ => None,
            });
        self.slots.keys().copied().chain(unseen).collect()
    }

    /// True if a turn has just ended and nothing of it is left to do.
    pub fn is_between_turns(&self) -> bool {
        self.stage == Stage::Idle && self.effects.is_empty()
    }

    /// Monotonic time of the next tick.
    pub fn next_tick_mono_us(&self) -> u64 {
        self.next_tick_mono_us
    }

    /// Does one action. False when there is nothing to do before the next arrival or tick.
    pub fn act(&mut self, disk: &mut Disk, context: &mut Context, clock: &super::clock::Clock) -> bool {
        let hold_effects = !context.plan.effects_per_step && self.stage == Stage::Step;
        if !hold_effects && let Some(effect) = self.effects.pop_front() {
            self.perform(effect, disk, context);
            return true;
        }
        match self.stage {
            Stage::Idle => {
                let due = clock.read(context.queue.now()).mono_us >= self.next_tick_mono_us;
                let goes_on = !self.waiting.is_empty() || self.replica().is_some_and(Replica::has_work);
                if self.inbox.is_empty() && !due && !goes_on && !self.io.has_business() {
                    return false;
                }
                self.begin_turn();
                let count = self.inbox.len().min(64);
                self.batch.extend(self.inbox.drain(..count));
                self.stage = Stage::Read;
            }
            Stage::Read => {
                self.now = clock.read(context.queue.now());
                context.trace.number(self.now.mono_us);
                context.trace.number(self.now.wall_ms);
                self.stage = Stage::Step;
                if self.now.mono_us >= self.next_tick_mono_us {
                    self.next_tick_mono_us = self.now.mono_us + limits::TICK_US;
                    self.tick(context);
                }
            }
            Stage::Step => match self.batch.pop_front() {
                Some(arrival) => self.take(arrival, context),
                None => {
                    self.turn += 1;
                    self.due.extend(self.waiting.drain(..));
                    self.step(Input::Turn, context);
                    self.call_waiting(context);
                    self.deliver();
                    self.hand_over(context);
                    self.stage = Stage::Idle;
                    self.observe(context);
                }
            },
        }
        true
    }

    fn observe(&mut self, context: &mut Context) {
        if let Core::Running(replica) = &self.core {
            let status = replica.status(self.now);
            context.observe(self.me, &status);
        }
    }

    fn tick(&mut self, context: &mut Context) {
        match &mut self.core {
            Core::Running(_) => self.step(Input::Tick, context),
            Core::Forming(forming) => {
                let state = forming.state();
                self.announce(state);
                // A single node, or one that heard everything it needs, decides without another message.
                if let Core::Forming(forming) = &mut self.core {
                    let output = forming.announced(self.me, state);
                    self.forming_output(output, context);
                }
            }
            Core::Refused => {}
        }
    }

    fn announce(&mut self, state: FormingState) {
        let bytes = encode_forming(state);
        let peers = self.streams.keys().copied();
        self.effects
            .extend(peers.map(|peer| Effect::Forming(peer, bytes.clone())));
    }

    /// Gives one input to the replica and takes over what comes of it.
    fn step(&mut self, input: Input<'_>, context: &mut Context) {
        let Core::Running(replica) = &mut self.core else {
            return;
        };
        context.steps += 1;
        replica.step(self.now, input, &mut self.outputs);
        replica.invariants();
        self.follow_users(context);
        self.take_outputs(context);
        self.settle(context);
    }

    /// The order is the contract's: snapshot pieces before persists.
    fn take_outputs(&mut self, context: &mut Context) {
        let outputs = &mut self.outputs;
        for event in outputs.events.drain(..) {
            context.note_event(self.me, &event);
            if matches!(event, Event::Removed) {
                context.ended.push(self.me);
            }
            if let (Event::Membership, Core::Running(replica)) = (&event, &self.core) {
                let members = replica.membership().clone();
                context.members_seen(&members);
                self.effects.push_back(Effect::Write(Job::Members(members)));
            }
        }
        for send in outputs.sends.drain(..) {
            context.trace.bytes(&send.message);
            self.effects.push_back(Effect::Send(send));
        }
        for piece in outputs.snapshot.drain(..) {
            self.effects.push_back(Effect::Write(Job::Snapshot(piece)));
        }
        for mut persist in outputs.persists.drain(..) {
            context.trace.number(persist.number);
            context
                .trace
                .number(persist.entries.last().map_or(0, |entry| entry.index));
            let then_send = std::mem::take(&mut persist.then_send);
            self.awaiting.push_back((persist.number, then_send));
            self.effects
                .push_back(Effect::Write(Job::Persist(Persist { ..persist })));
        }
        for request in outputs.origin.drain(..) {
            self.effects.push_back(Effect::Origin(request));
        }
        outputs.join_long_replies();
        let replies = std::mem::take(&mut outputs.replies);
        let bytes = std::mem::take(&mut outputs.reply_bytes);
        for reply in &replies {
            let encoded = &bytes[reply.start as usize..reply.end as usize];
            context.trace.number(reply.ticket);
            context.trace.bytes(encoded);
            self.answer(reply.ticket, encoded, context);
        }
    }

    fn take(&mut self, arrival: Arrival, context: &mut Context) {
        context.trace.number(self.me << 8 | u64::from(arrival.kind()));
        match arrival {
            Arrival::StreamUp { peer, stream } => {
                self.streams.insert(peer, stream);
                self.untold.insert(peer);
                match &self.core {
                    Core::Running(_) => self.step(Input::PeerConnected { peer }, context),
                    Core::Forming(forming) => {
                        let bytes = encode_forming(forming.state());
                        self.effects.push_back(Effect::Forming(peer, bytes));
                    }
                    Core::Refused => {}
                }
            }
            Arrival::StreamDown { peer, stream } => {
                if self.streams.get(&peer) != Some(&stream) {
                    return;
                }
                self.streams.remove(&peer);
                self.untold.remove(&peer);
                self.subscriptions.forget(peer);
                if let Core::Forming(forming) = &mut self.core {
                    forming.peer_lost(peer);
                }
                self.step(Input::PeerLost { peer }, context);
            }
            Arrival::Refused { peer } => {
                if !self.streams.contains_key(&peer) {
                    self.step(Input::PeerRefused { peer }, context);
                }
            }
            Arrival::Frame { from, stream, frame } => {
                if self.streams.get(&from) == Some(&stream) {
                    self.take_frame(from, frame, context);
                }
            }
            Arrival::Disk(done) => self.take_disk(done, context),
            Arrival::Origin(event) => self.step(Input::Origin(event), context),
            Arrival::Requests {
                connection: id,
                opens,
                bytes,
            } => self.take_requests(id, (opens, bytes), context),
            Arrival::Closed(id) => self.close(id, context),
            Arrival::Io(reported) => self.take_report(reported, context),
        }
    }

    fn take_frame(&mut self, from: PeerId, frame: Frame, context: &mut Context) {
        match frame {
            Frame::Core(message) => {
                context.trace.bytes(&message);
                self.step(Input::Peer { from, message }, context);
            }
            Frame::Forming(bytes) => {
                let state = FormingState::decode(&mut Reader::new(bytes));
                let state = state.expect("frames arrive as they were sent");
                match &mut self.core {
                    Core::Forming(forming) => {
                        let output = forming.announced(from, state);
                        self.forming_output(output, context);
                    }
                    Core::Running(_) if !matches!(state, FormingState::Formed(_)) => {
                        let bytes = encode_forming(FormingState::Formed(self.starter.cluster_id));
                        self.effects.push_back(Effect::Forming(from, bytes));
                    }
                    Core::Running(_) | Core::Refused => {}
                }
            }
            Frame::Published(bytes) => {
                let taken = self.subscriptions.receive(&bytes);
                taken.expect("frames arrive as they were sent");
            }
            Frame::Subscribed(bytes) => {
                let taken = self.subscriptions.hear(from, &bytes);
                taken.expect("frames arrive as they were sent");
            }
            Frame::End => unreachable!("the network turns an end into a lost stream"),
        }
    }

    fn take_disk(&mut self, done: Done, context: &mut Context) {
        match done {
            Done::Persisted(number) => {
                while self
                    .awaiting
                    .front()
                    .is_some_and(|(awaiting, _)| *awaiting <= number)
                {
                    let (_, sends) = self.awaiting.pop_front().expect("there is a front");
                    self.effects.extend(sends.into_iter().map(Effect::Send));
                }
                self.step(Input::Persisted { number }, context);
            }
            Done::SnapshotSaved(index) => self.step(Input::SnapshotSaved { index }, context),
            Done::Full(full) => self.step(Input::DiskFull { full }, context),
            Done::SnapshotFailed => self.step(Input::SnapshotFailed, context),
            Done::Forming(state) => {
                if let Core::Forming(forming) = &mut self.core {
                    let output = forming.persisted(state);
                    self.announce(state);
                    self.forming_output(output, context);
                }
                self.start_if_formed(self.now);
                if matches!(self.core, Core::Running(_)) {
                    // Streams of the forming phase end with it, so that the replica sees whole ones only.
                    context.cluster_formed(self.me);
                    self.follow_users(context);
                    self.due.extend(self.slots.values());
                    self.settle(context);
                }
            }
        }
    }

    fn forming_output(&mut self, output: FormingOutput, context: &mut Context) {
        match output {
            FormingOutput::Wait => {}
            FormingOutput::Persist(state) => self.effects.push_back(Effect::Write(Job::Forming(state))),
            FormingOutput::Refuse(refusal) => {
                let name = format!("n{}", refusal.peer());
                context.note_refusal(self.me, &refusal.explain(&name));
                self.core = Core::Refused;
            }
        }
    }

    fn start_if_formed(&mut self, now: Now) {
        let Core::Forming(forming) = &self.core else {
            return;
        };
        if let Some(cluster_id) = forming.formed() {
            self.starter.cluster_id = cluster_id;
            let (settings, boot) = self.starter.replica();
            let mut replica = Box::new(Replica::new(settings, boot, now));
            #[cfg(feature = "bugs")]
            crate::bugs::plant(&mut replica);
            let memory = Input::Memory(MemoryInput {
                limit: self.starter.memory,
                outside_bytes: 0,
            });
            replica.step(now, memory, &mut self.outputs);
            self.core = Core::Running(replica);
        }
    }
}

fn encode_forming(state: FormingState) -> Bytes {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    Bytes::from(bytes)
}
