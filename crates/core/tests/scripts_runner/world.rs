//! A cluster under full control: what a step of a replica asks for is done at once, in order, unless the
//! script holds it back; nothing else ever happens.

use std::collections::{BTreeMap, BTreeSet};

use repligo_core::contract::{
    Body as Asked, Event, Input, Outputs, PeerId, ReadLevel, Request, Role, Served, Ticket,
};
use repligo_core::limits;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_proto::resp::OwnedRequest;

use super::Settings;
use super::describe;
use super::disk::{Done, Job};
use super::network::{InFlight, Network};
use super::node::{Ask, Body, Missed, Node, parsed};
use super::origin::Origin;

/// Where the clocks of a script begin.
const START: Now = Now {
    mono_us: 1_000_000,
    wall_ms: 1_700_000_000_000,
};
/// More messages than this without a pause are a loop.
const MESSAGES_MAX: usize = 100_000;

/// What a script chooses at its start.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Number of nodes.
    pub nodes: u64,
    /// Keys named `row:…` have an origin.
    pub with_origin: bool,
    /// Bytes of log kept in memory for followers that lag.
    pub log_bytes_max: u64,
}

/// A request without an answer.
#[derive(Debug)]
pub struct Open {
    pub(super) peer: PeerId,
    /// Set for a WATCH.
    watch: Option<OwnedRequest>,
    /// Counted instead of traced.
    filler: bool,
}

/// The cluster and everything around it.
#[derive(Debug)]
pub struct World {
    pub(super) settings: Settings,
    pub(super) shape: Option<Shape>,
    pub(super) now: Now,
    pub(super) nodes: BTreeMap<PeerId, Node>,
    pub(super) network: Network,
    pub(super) origin: Origin,
    pub(super) open: BTreeMap<Ticket, Open>,
    used: BTreeSet<Ticket>,
    trace: Vec<String>,
    pub(super) quiet: bool,
    pub(super) votes: bool,
}

impl World {
    /// Nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            shape: None,
            now: START,
            nodes: BTreeMap::new(),
            network: Network::default(),
            origin: Origin::new(settings),
            open: BTreeMap::new(),
            used: BTreeSet::new(),
            trace: Vec::new(),
            quiet: false,
            votes: false,
        }
    }

    /// What happened since the last call.
    pub fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    /// Adds a line with the milliseconds since the start.
    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        if !self.quiet {
            let at_ms = (self.now.mono_us - START.mono_us) / 1000;
            self.trace.push(format!("{at_ms:>5} {line}"));
        }
    }

    /// Starts all nodes with empty disks; no time passes.
    pub fn boot(&mut self, shape: Shape) {
        assert!(self.shape.is_none(), "one cluster per script");
        self.shape = Some(shape);
        self.nodes = (1..=shape.nodes).map(|peer| (peer, Node::default())).collect();
        let peers: Vec<PeerId> = self.nodes.keys().copied().collect();
        let quiet = std::mem::replace(&mut self.quiet, true);
        self.restart(&peers);
        self.quiet = quiet;
    }

    /// Lets time pass in ticks.
    pub fn run(&mut self, ms: u64) {
        let until_us = self.now.mono_us + ms * 1000;
        while self.now.mono_us < until_us {
            self.elapse(limits::TICK_US.min(until_us - self.now.mono_us) / 1000);
            for peer in self.peers() {
                self.step(peer, Input::Tick);
            }
            self.settle();
        }
    }

    /// The clocks go on and nobody looks at them yet.
    pub fn elapse(&mut self, ms: u64) {
        self.now.mono_us += ms * 1000;
        self.now.wall_ms += ms;
    }

    /// What a node's clocks show.
    pub(super) fn now_at(&self, peer: PeerId) -> Now {
        let ahead_ms = self.nodes[&peer].wall_ahead_ms;
        Now {
            wall_ms: self.now.wall_ms.saturating_add_signed(ahead_ms),
            ..self.now
        }
    }

    /// Numbers of all nodes.
    pub fn peers(&self) -> Vec<PeerId> {
        self.nodes.keys().copied().collect()
    }

    /// The leader that serves, when every node has confirmed its state too.
    pub fn settled_leader(&self) -> Option<PeerId> {
        let statuses: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|(peer, node)| Some((*peer, node.replica.as_ref()?.status(self.now))))
            .collect();
        let all = statuses.iter().all(|(_, status)| status.serving);
        let leader = statuses.iter().find(|(_, status)| status.role == Role::Leader);
        leader.filter(|_| all).map(|(peer, _)| *peer)
    }

    pub(super) fn say_lost(&mut self, lost: Vec<InFlight>) {
        for InFlight { from, to, message } in lost {
            if let Some(what) = describe::message(&message, self.votes) {
                self.say(format_args!("n{from} -> n{to} {what}, lost"));
            }
        }
    }

    /// A client asks.
    pub fn ask(&mut self, peer: PeerId, ask: Ask, filler: bool) -> Result<(), String> {
        if self.nodes[&peer].replica.is_none() {
            return Err(format!("n{peer} does not run"));
        }
        if !self.used.insert(ask.ticket) {
            return Err(format!("the number {} was used", ask.ticket));
        }
        let watch = match &ask.body {
            Body::Watch(request) => Some(request.clone()),
            Body::Command(_) | Body::Block(_) => None,
        };
        self.open.insert(ask.ticket, Open { peer, watch, filler });
        if self.nodes[&peer].frozen {
            self.node(peer).missed.push(Missed::Ask(ask));
        } else {
            self.give_in(peer, &ask);
        }
        self.settle();
        Ok(())
    }

    pub(super) fn give_in(&mut self, peer: PeerId, ask: &Ask) {
        let request = |body| {
            Input::Request(Request {
                ticket: ask.ticket,
                resp3: false,
                rides: false,
                token: None,
                level: ask.level,
                actor: Default::default(),
                demand: Demand::default(),
                body,
            })
        };
        match &ask.body {
            Body::Block(commands) => {
                let buffer = self.node(peer).block(commands);
                let transaction = &buffer.transaction();
                let locals = &[];
                self.step_once(peer, request(Asked::Transaction { transaction, locals }));
            }
            Body::Command(command) | Body::Watch(command) => {
                let command = parsed(command);
                let mut reply = Vec::new();
                let replica = self.nodes[&peer].replica.as_ref().expect("checked by the caller");
                let read_now = !command.is_write()
                    && replica.read(self.now_at(peer), &command, ask.level, false, &mut reply)
                        == Served::Done;
                if read_now {
                    return self.on_reply(ask.ticket, &reply);
                }
                self.step_once(peer, request(Asked::Command(&command)));
            }
        }
        self.step_once(peer, Input::Turn);
    }

    fn on_reply(&mut self, ticket: Ticket, reply: &[u8]) {
        let open = self.open.remove(&ticket);
        let open = open.unwrap_or_else(|| panic!("request {ticket} is answered twice or after its end"));
        if let Some(request) = open.watch {
            self.node(open.peer).keep_watched(&request, reply);
            self.say(format_args!("reply {ticket} watching"));
        } else if open.filler {
            assert_eq!(reply, b"+OK\r\n", "a filling write works");
        } else {
            self.say(format_args!("reply {ticket} {}", describe::reply(reply)));
        }
    }

    /// Requests without an answer.
    pub fn unanswered(&self) -> Vec<Ticket> {
        self.open.keys().copied().collect()
    }

    pub(super) fn node(&mut self, peer: PeerId) -> &mut Node {
        self.nodes.get_mut(&peer).expect("a node of the script")
    }

    /// One input and the end of its turn.
    pub(super) fn step(&mut self, peer: PeerId, input: Input<'_>) {
        self.step_once(peer, input);
        self.step_once(peer, Input::Turn);
        while self.node(peer).has_work() {
            self.step_once(peer, Input::Turn);
        }
    }

    fn step_once(&mut self, peer: PeerId, input: Input<'_>) {
        let now = self.now_at(peer);
        let node = self.node(peer);
        let Some(replica) = node.replica.as_mut().filter(|_| !node.frozen) else {
            return;
        };
        let mut outputs = Outputs::default();
        replica.step(now, input, &mut outputs);
        replica.invariants();
        self.say_decisions(peer, &outputs);
        outputs.join_long_replies();
        for reply in &outputs.replies {
            let bytes = &outputs.reply_bytes[reply.start as usize..reply.end as usize];
            self.on_reply(reply.ticket, bytes);
        }
        for send in outputs.sends {
            self.send(peer, send);
        }
        let disk = &mut self.node(peer).disk;
        outputs
            .snapshot
            .into_iter()
            .for_each(|piece| disk.ask(Job::Snapshot(piece)));
        outputs
            .persists
            .into_iter()
            .for_each(|persist| disk.ask(Job::Persist(persist)));
        for request in outputs.origin {
            self.on_origin_asked(peer, request);
        }
        self.report_disk(peer);
    }

    fn say_decisions(&mut self, peer: PeerId, outputs: &Outputs) {
        for event in &outputs.events {
            match event {
                Event::Role { role, term, leader } => {
                    let before = std::mem::replace(&mut self.node(peer).term, *term);
                    let role = describe::role(*role, (before, *term), *leader);
                    self.say(format_args!("n{peer} {role}"));
                }
                Event::Serving { term } => self.say(format_args!("n{peer} serves term {term}")),
                Event::LeaderGone { leader } => {
                    self.say(format_args!(
                        "n{peer} knows that a majority has found n{leader} gone"
                    ));
                }
                Event::SnapshotInstalled { index } => self.say(format_args!("n{peer} installs {index}")),
                Event::Membership => self.say(format_args!("n{peer} learns of members")),
                Event::Removed => self.say(format_args!("n{peer} is removed")),
                Event::Warning(text) => self.say(format_args!("n{peer} warns: {text}")),
                Event::PeerImplausible { peer: other, reason } => {
                    self.say(format_args!("n{peer} refuses n{other}: {reason}"));
                }
            }
        }
        let replica = self.nodes[&peer].replica.as_ref().expect("was just stepped");
        let status = replica.status(self.now);
        let entries = outputs.persists.iter().flat_map(|persist| &persist.entries);
        for entry in entries.filter(|entry| status.role == Role::Leader && entry.term == status.term) {
            self.say(format_args!("n{peer} proposes {}", describe::entry(entry)));
        }
    }

    fn send(&mut self, from: PeerId, send: repligo_core::contract::Send) {
        let runs = self.nodes[&send.to].replica.is_some();
        let flying = InFlight {
            from,
            to: send.to,
            message: send.message,
        };
        let lost = self.network.send(flying, runs);
        self.say_lost(lost.into_iter().collect());
    }

    /// Makes durable what the script does not hold, and gives the reports in, in their order.
    pub(super) fn report_disk(&mut self, peer: PeerId) {
        if std::mem::replace(&mut self.node(peer).reporting, true) {
            return;
        }
        loop {
            let node = self.node(peer);
            if !node.disk.held {
                let done = node.disk.sync();
                node.done.extend(done);
            }
            match node.done.pop_front() {
                Some(Done::Persisted(number, sends)) => {
                    sends.into_iter().for_each(|send| self.send(peer, send));
                    self.step(peer, Input::Persisted { number });
                }
                Some(Done::SnapshotSaved(index)) => self.step(peer, Input::SnapshotSaved { index }),
                None => break,
            }
        }
        self.node(peer).reporting = false;
    }

    /// Delivers messages until none can arrive.
    pub(super) fn settle(&mut self) {
        for _ in 0..MESSAGES_MAX {
            let nodes = &self.nodes;
            let Some(flying) = self.network.next(|peer| nodes[&peer].acts()) else {
                return self.check_digests();
            };
            let InFlight { from, to, message } = flying;
            if let Some(what) = describe::message(&message, self.votes) {
                self.say(format_args!("n{from} -> n{to} {what}"));
            }
            self.step(to, Input::Peer { from, message });
        }
        panic!("the nodes do not stop talking");
    }

    /// What each node has applied; equal ones together.
    pub fn state(&self) -> String {
        let mut groups: Vec<(Vec<String>, String)> = Vec::new();
        for (peer, node) in &self.nodes {
            let what = match &node.replica {
                Some(replica) => format!("applied {}", replica.status(self.now).applied_index),
                None => "down".to_owned(),
            };
            match groups.iter_mut().find(|(_, known)| *known == what) {
                Some((members, _)) => members.push(format!("n{peer}")),
                None => groups.push((vec![format!("n{peer}")], what)),
            }
        }
        let groups: Vec<String> = groups
            .into_iter()
            .map(|(members, what)| format!("{} {what}", members.join("=")))
            .collect();
        groups.join(", ")
    }

    fn check_digests(&self) {
        let mut known = BTreeMap::new();
        for (peer, node) in &self.nodes {
            let Some(replica) = &node.replica else { continue };
            let status = replica.status(self.now);
            let digest = *known.entry(status.applied_index).or_insert(status.digest);
            assert_eq!(
                digest, status.digest,
                "n{peer} diverges at {}",
                status.applied_index
            );
        }
    }

    /// The level of reads on a connection.
    pub fn level(readonly: bool) -> ReadLevel {
        if readonly {
            ReadLevel::Eventual
        } else {
            ReadLevel::Linearizable
        }
    }
}
