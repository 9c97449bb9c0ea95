//! The world: nodes, network, disks, clocks, clients and a fake origin, driven by one seed on one thread
//! through one event heap.
//!
//! Two phases. First faults, and only safety is judged. Then everything is healed, and within a bounded
//! virtual time every request must be answered, every node must serve, and all replicas must be
//! equal at the same index. Nothing here decides what is correct: that is [`crate::check`].

use std::collections::BTreeMap;
use std::sync::Arc;

use repligo_core::acl::Users;
use repligo_core::contract::{Durability, Event as CoreEvent, PeerId, Role, Status};
use repligo_core::membership::Membership;

use crate::check::{Violation, replicas::Digests, rights};
use crate::random::Random;

mod arrival;
mod backups;
mod cached;
pub mod client;
pub mod clock;
mod collections;
mod directed;
pub mod disk;
mod elements;
mod event;
mod faults;
mod handover;
mod incoming;
mod jobs;
mod judge;
mod keys;
mod lasting;
mod leases;
mod lines;
mod machine;
mod members;
mod messengers;
pub mod network;
pub mod origin;
mod outcome;
mod pairs;
mod pipelines;
pub mod plan;
pub mod process;
pub mod queue;
mod room;
mod session;
mod starter;
mod streams;
mod tenant;
pub mod trace;
mod trackers;
mod travellers;
mod wardens;
mod watchers;
pub mod workload;

use arrival::Arrival;
use client::Client;
use disk::Disk;
pub use event::Event;
use machine::Machine;
use network::{Frame, Network};
use plan::Plan;
use queue::{Micros, Queue};
use starter::Starter;
use trace::Trace;

/// Where the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Faults happen.
    Faults,
    /// No more faults; clients go on for a while.
    Calm,
    /// Clients have stopped; what is open must be answered.
    Draining,
    /// Everything is read once more, everywhere.
    Reading,
    /// All is judged.
    Over,
}

/// Counts of one run, for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests by clients.
    pub operations: u64,
    /// Elections that somebody won.
    pub elections: u64,
    /// Snapshots received from a leader.
    pub snapshots: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Searches given up at their limit.
    pub given_up: u64,
    /// Keys that were evicted, counted by one node.
    pub evicted: u64,
    /// Backups that were taken and restored.
    pub backups: u64,
}

/// What everybody in the world shares.
#[derive(Debug)]
pub struct Context {
    /// The plan.
    pub plan: Plan,
    /// Chance.
    pub random: Random,
    /// Time.
    pub queue: Queue<Event>,
    /// Streams.
    pub network: Network,
    /// Hash of all that happened.
    pub trace: Trace,
    /// Steps of all cores.
    pub steps: u64,
    /// Counts.
    pub counts: Counts,
    /// First broken promise.
    pub violation: Option<Violation>,
    /// Print what happens.
    pub verbose: bool,
    digests: Digests,
    users: rights::States,
    observed: BTreeMap<PeerId, Status>,
    leaders: BTreeMap<u64, PeerId>,
    /// Extra delay of each disk.
    slow_disk_until: Vec<Micros>,
    /// The latest members that any node has applied.
    members: Membership,
    /// Who became a voter by which entry, to be judged.
    promoted: Vec<(PeerId, u64)>,
    /// A change of voters that needs both majorities has just begun, and who is new in it.
    joint_began: Option<Vec<PeerId>>,
    /// The last member whose removal was accepted.
    removal: Option<String>,
    /// Whose each number was first, by the key of its directory.
    keys_seen: BTreeMap<PeerId, u128>,
    /// Processes that end, since their nodes were removed.
    ended: Vec<PeerId>,
}

impl Context {
    /// Records a broken promise; the first one counts.
    pub fn fail(&mut self, violation: Violation) {
        self.say(|| format!("VIOLATION {violation}"));
        self.violation.get_or_insert(violation);
    }

    /// Prints in verbose runs.
    pub fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            let now = self.queue.now();
            println!("{:>4}.{:06} {}", now / 1_000_000, now % 1_000_000, text());
        }
    }

    fn note_event(&mut self, node: PeerId, event: &CoreEvent) {
        self.say(|| format!("n{node} {event:?}"));
        match event {
            CoreEvent::Role {
                role: Role::Leader,
                term,
                ..
            } => {
                self.counts.elections += 1;
                let leader = *self.leaders.entry(*term).or_insert(node);
                if leader != node {
                    self.fail(Violation {
                        check: "one leader per term",
                        subject: format!("term {term}"),
                        explanation: format!("nodes {leader} and {node} both lead it"),
                    });
                }
            }
            CoreEvent::SnapshotInstalled { .. } => self.counts.snapshots += 1,
            CoreEvent::PeerImplausible { peer, reason } => self.fail(Violation {
                check: "correct peers are believed",
                subject: format!("node {node} about node {peer}"),
                explanation: (*reason).to_owned(),
            }),
            _ => {}
        }
    }

    fn note_refusal(&mut self, node: PeerId, reason: &str) {
        self.fail(Violation {
            check: "forming",
            subject: format!("node {node}"),
            explanation: format!("refused although its disk is whole: {reason}"),
        });
    }

    fn observe(&mut self, node: PeerId, status: &Status) {
        let before = self.observed.get(&node).map(|status| status.applied_index);
        if before != Some(status.applied_index)
            && let Err(violation) = self.digests.observe(node, status.applied_index, status.digest)
        {
            self.fail(violation);
        }
        // It has to notice, and to find somebody who takes over.
        if status.role == Role::Leader && status.disk_stalled_ms > 2_000 {
            self.fail(Violation {
                check: "a stalled disk does not lead",
                subject: format!("node {node} in term {}", status.term),
                explanation: format!("its disk has been stalled for {} ms", status.disk_stalled_ms),
            });
        }
        self.observed.insert(node, status.clone());
    }

    fn observe_users(&mut self, node: PeerId, users: &Users) {
        let text = wardens::describe(users);
        if let Err(violation) = self.users.observe(node, users.version(), &text) {
            self.fail(violation);
        }
    }

    fn send(&mut self, from: PeerId, to: PeerId, frame: Frame) {
        let now = self.queue.now();
        if let Some((stream, at)) = self.network.send((from, to), frame, now, &mut self.random) {
            self.queue.at(at, Event::Deliver { from, to, stream });
        }
    }

    /// Sends an answer to a client, not before the one before it; gives when it arrives.
    fn reply(&mut self, connection: (u32, u64), not_before: Micros, bytes: bytes::Bytes) -> Micros {
        let at = (self.queue.now() + self.random.skewed(10, 1_000)).max(not_before);
        self.queue.at(at, Event::Reply { connection, bytes });
        at
    }

    fn start_disk(&mut self, node: PeerId, life: u32, disk: &mut Disk) {
        if !disk.start_batch() {
            return;
        }
        let delays = self.plan.disk;
        let mut delay = self.random.skewed(delays.low_us, delays.high_us);
        if self.plan.durability != Durability::Fsync && !disk.must_sync() {
            delay = 1 + delay / 20;
        }
        let slow_until = self.slow_disk_until[node as usize - 1];
        let at = (self.queue.now() + delay).max(slow_until);
        self.queue.at(at, Event::DiskDone { node, life });
    }

    /// A node went from forming to running.
    fn cluster_formed(&mut self, node: PeerId) {
        self.say(|| format!("n{node} formed"));
        for peer in 1..=self.plan.machines() as PeerId {
            if peer != node {
                self.tear(node, peer, (100, 10_000));
            }
        }
    }

    /// Tears a stream; both ends learn it within the given bounds.
    fn tear(&mut self, one: PeerId, other: PeerId, (low, high): (Micros, Micros)) {
        if let Some(stream) = self.network.tear(one, other) {
            for (at, peer) in [(one, other), (other, one)] {
                let delay = self.random.skewed(low, high);
                self.queue.after(delay, Event::StreamDown { at, peer, stream });
            }
        }
    }
}

/// Everything.
#[derive(Debug)]
pub struct World {
    context: Context,
    machines: Vec<Machine>,
    clients: Vec<Client>,
    workload: workload::Workload,
    messengers: messengers::Messengers,
    wardens: wardens::Wardens,
    trackers: trackers::Trackers,
    origin: origin::Origin,
    backups: backups::Backups,
    phase: Phase,
    phase_began: Micros,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    /// First broken promise.
    pub violation: Option<Violation>,
    /// Hash of all that happened.
    pub trace: u64,
    /// Counts.
    pub counts: Counts,
    /// What clients saw, one operation per line.
    pub history: String,
}

impl World {
    /// The world of a plan.
    pub fn new(plan: Plan, verbose: bool) -> Self {
        let seed = plan.seed;
        let mut random = Random::new(seed);
        let network = Network::new(plan.machines(), plan.network);
        let map = Arc::new(origin::map(&plan));
        let machines = (1..=plan.machines() as PeerId)
            .map(|id| Machine::new(id, &plan, map.clone(), &mut random))
            .collect();
        let workload = workload::Workload::new(&plan);
        let kinds = [
            (client::Kind::Writer, plan.clients),
            (client::Kind::Reader, plan.readers),
            (client::Kind::Watcher, plan.watchers),
        ];
        let travellers = std::iter::repeat_n(client::Kind::Traveller, plan.travellers);
        let clients = kinds
            .into_iter()
            .chain(jobs::Jobs::clients(&plan))
            .flat_map(|(kind, count)| std::iter::repeat_n(kind, count))
            .chain(travellers)
            .enumerate()
            .map(|(id, kind)| Client::new(id as u32, kind, random.fork()))
            .collect();
        let context = Context {
            slow_disk_until: vec![0; plan.machines()],
            members: Membership::of_count(plan.nodes as u64),
            promoted: Vec::new(),
            joint_began: None,
            removal: None,
            keys_seen: BTreeMap::new(),
            ended: Vec::new(),
            random,
            queue: Queue::default(),
            network,
            trace: Trace::default(),
            steps: 0,
            counts: Counts::default(),
            violation: None,
            verbose,
            digests: Digests::default(),
            users: rights::States::default(),
            observed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            plan,
        };
        Self {
            context,
            machines,
            clients,
            workload,
            messengers: messengers::Messengers::of_seed(seed),
            wardens: wardens::Wardens::of_seed(seed),
            trackers: trackers::Trackers::of_seed(seed),
            origin: origin::Origin::default(),
            backups: backups::Backups::of_seed(seed),
            phase: Phase::Faults,
            phase_began: 0,
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Ending {
        self.begin();
        while self.context.violation.is_none() && self.phase != Phase::Over {
            let Some((_, event)) = self.context.queue.pop() else {
                break;
            };
            self.handle(event);
        }
        let history = self
            .workload
            .history
            .iter()
            .map(|operation| format!("{operation}\n"));
        Ending {
            history: if self.context.violation.is_some() || self.context.verbose {
                history.collect()
            } else {
                String::new()
            },
            violation: self.context.violation,
            trace: self.context.trace.hash(),
            counts: self.context.counts,
        }
    }

    fn begin(&mut self) {
        let queue = &mut self.context.queue;
        for machine in &self.machines {
            queue.at(0, Event::Start { node: machine.id });
        }
        for (one, other) in self.context.network.pairs() {
            let at = self.context.random.below(20_000);
            queue.at(at, Event::Dial { one, other });
        }
        for client in 0..self.clients.len() as u32 {
            queue.at(self.context.random.below(500_000), Event::Think { client });
        }
        let (wardens, trackers) = (self.wardens.ids(), self.trackers.ids());
        for client in self.messengers.ids().chain(wardens).chain(trackers) {
            queue.at(200_000 + u64::from(client % 7), Event::Think { client });
        }
        if !self.context.plan.faults.is_empty() {
            queue.at(self.context.random.below(3_000_000), Event::Fault);
        }
        queue.at(self.context.plan.faults_us, Event::Heal);
        if let Some(at) = self.backups.first_at {
            queue.at(at, Event::Backup);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Run { node, life } => self.on_run(node, life),
            Event::IoThread { node, life, thread } => self.on_io_thread(node, life, thread),
            Event::Deliver { from, to, stream } => self.on_deliver(from, to, stream),
            Event::StreamUp { at, peer, stream } => self.on_stream_up(at, peer, stream),
            Event::StreamDown { at, peer, stream } => self.on_stream_down(at, peer, stream),
            Event::Probe { at, peer } => self.on_probe(at, peer),
            Event::Refuse { at, peer } => self.arrive(at, Arrival::Refused { peer }),
            Event::Patience { one, other, stream } => self.on_patience(one, other, stream),
            Event::Dial { one, other } => self.on_dial(one, other),
            Event::DiskDone { node, life } => self.on_disk_done(node, life),
            Event::Start { node } => self.on_start(node),
            Event::OriginAsked { node, life, request } => self.on_origin_asked(node, life, request),
            Event::OriginWork { id } => self.on_origin_work(id),
            Event::OriginAnswer { node, life, event } => self.on_origin_answer(node, life, event),
            Event::OriginZombie(zombie) => self.on_origin_zombie(&zombie),
            Event::OriginUp => self.origin.set_down(false),
            Event::Backup => self.on_backup(),
            Event::Tenant(step) => self.on_tenant(step),
            Event::Join(joiner) => self.on_join(joiner),
            Event::Ask(request) => self.on_ask(&request),
            Event::RestoreCopy { node, leader } => self.on_restore_copy(node, leader),
            Event::Think { client } if client >= trackers::FIRST => self.on_tracker(client),
            Event::Think { client } if client >= wardens::FIRST => self.on_guest(client),
            Event::Think { client } if client >= messengers::FIRST => self.on_messenger(client),
            Event::Think { client } => self.on_think(client),
            Event::Requests {
                node,
                connection,
                opens,
                bytes,
            } => self.on_requests(node, connection, (opens, bytes)),
            Event::Hangup { node, connection } => self.on_hangup(node, connection),
            Event::Reply { connection, bytes } if connection.0 >= trackers::FIRST => {
                self.on_tracker_reply(connection, &bytes);
            }
            Event::Reply { connection, bytes } if connection.0 >= wardens::FIRST => {
                self.on_guest_reply(connection, &bytes);
            }
            Event::Reply { connection, bytes } if connection.0 >= messengers::FIRST => {
                self.on_messenger_reply(connection, &bytes);
            }
            Event::Reply { connection, bytes } => self.on_reply(connection, &bytes),
            Event::Disconnected { connection } if connection.0 >= trackers::FIRST => {
                self.on_tracker_disconnected(connection);
            }
            Event::Disconnected { connection } if connection.0 >= wardens::FIRST => {
                self.on_guest_disconnected(connection);
            }
            Event::Disconnected { connection } if connection.0 >= messengers::FIRST => {
                self.on_messenger_disconnected(connection);
            }
            Event::Disconnected { connection } => self.on_disconnected(connection),
            Event::Timeout { connection } => self.on_timeout(connection),
            Event::FollowUp { connection } => self.on_follow_up(connection),
            Event::Fault => self.on_fault(),
            Event::Relief(relief) => self.on_relief(relief),
            Event::Heal => self.on_heal(),
            Event::Judge => self.on_judge(),
        }
    }
}
