//! Clients: closed loops with a connection to some node, which learn what became of their requests only
//! from replies. Whatever is open when the connection goes is of unknown outcome.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_proto::resp::{OwnedRequest, Value};

use super::incoming::Incoming;
use super::pipelines::Own;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Thinker};
use super::{Event, Phase, World};
use crate::check::Violation;
use crate::random::Random;

/// Longest way of a request from a client to its node.
const REQUEST_DELAY_US_MAX: u64 = 1_000;

/// Pieces in which the bytes of a pipeline arrive, at most.
const PIECES_MAX: u64 = 3;

/// Longest pause of a [`Kind::Reader`] between two reads.
const READER_THINKS_US: Micros = 60_000;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads and writes, at any node.
    Writer,
    /// Reads linearizably and quickly, at one node. Never held up by a write, it is there to see what a
    /// deposed leader answers.
    Reader,
    /// Reads at level eventual, or bounded.
    Watcher,
    /// Reads at level session, and takes its token from node to node.
    Traveller,
    /// Pushes jobs into lists.
    Pusher,
    /// Waits for jobs, at any node.
    Worker,
    /// Pushes jobs for workers that wait when all others have stopped.
    Feeder,
    /// Reads every key once at the end, at one node.
    Auditor,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    id: u32,
    kind: Kind,
    /// It connects only there.
    home: Option<PeerId>,
    pub(super) random: Random,
    node: PeerId,
    connected: bool,
    /// Of its connection; answers to older ones are not for it any more.
    serial: u64,
    /// When the last bytes that it sent arrive.
    sent_until: Micros,
    incoming: Incoming,
    open: VecDeque<Expected>,
    /// What it will send next, before it thinks of something new.
    pub(super) script: VecDeque<(Ask, Expected)>,
    /// WATCH and GET of a compare-and-set were answered: (key, value seen).
    pub(super) watched: Option<(u32, Option<u64>)>,
    /// A key of its own that it is about to change.
    own: Option<Own>,
}

impl Client {
    /// A client that has no connection yet.
    pub fn new(id: u32, kind: Kind, random: Random) -> Self {
        Self {
            id,
            kind,
            home: None,
            random,
            node: 0,
            connected: false,
            serial: 0,
            sent_until: 0,
            incoming: Incoming::default(),
            open: VecDeque::new(),
            script: VecDeque::new(),
            watched: None,
            own: None,
        }
    }

    /// Its number, if it reads everything at the end.
    pub fn auditor(&self) -> Option<u32> {
        (self.kind == Kind::Auditor).then_some(self.id)
    }

    /// What it does.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The same client, which connects to this node only.
    pub(super) fn at(self, node: PeerId) -> Self {
        Self {
            home: Some(node),
            ..self
        }
    }

    /// Its connection, and the node that it is one to.
    pub(super) fn connection(&self) -> Option<(PeerId, (u32, u64))> {
        self.connected.then_some((self.node, (self.id, self.serial)))
    }

    /// The latest operation of the history that it waits for.
    pub(super) fn open_operation(&self) -> Option<usize> {
        self.open.iter().rev().find_map(|expected| match expected {
            Expected::Operation(index) => Some(*index),
            _ => None,
        })
    }

    /// Requests without an answer.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// True if it has sent all it had to and got all its answers.
    pub fn is_done(&self) -> bool {
        self.script.is_empty() && self.open.is_empty()
    }

    fn forget_connection(&mut self) {
        self.connected = false;
        self.watched = None;
        self.own = None;
        self.open.clear();
    }
}

impl World {
    pub(super) fn on_think(&mut self, id: u32) {
        let client = &mut self.clients[id as usize];
        if !client.open.is_empty() {
            return;
        }
        let is_late = matches!(client.kind, Kind::Auditor | Kind::Feeder);
        let stopped = self.phase >= Phase::Draining && !is_late;
        let is_halfway = client.watched.is_some() || client.own.is_some();
        if stopped && (!is_halfway || !client.connected) {
            return;
        }
        let mut batch: Vec<(Ask, Expected)> = Vec::new();
        let opens = !client.connected;
        if opens {
            let nodes = self.context.plan.nodes as u64;
            client.node = match (client.home, client.kind) {
                (Some(node), _) => node,
                (None, Kind::Reader) => 1 + u64::from(client.id) % nodes,
                (None, _) => client.random.between(1, nodes),
            };
            client.serial += 1;
            client.connected = true;
            if client.kind == Kind::Watcher {
                let level = self.context.plan.bound_ms.map(|ms| format!("bounded:{ms}ms"));
                let ask = level.map_or(Ask::ReadOnly, |level| {
                    Ask::Command(OwnedRequest::new(["REPLIGO.CONSISTENCY", "READ", &level]))
                });
                batch.push((ask, Expected::Accepted));
            }
            if client.kind == Kind::Traveller {
                let bound = self.context.plan.bound_ms;
                let level = bound.map_or("session".to_owned(), |ms| format!("session+bounded:{ms}ms"));
                let thinker = Thinker {
                    client: client.id,
                    kind: client.kind,
                    node: client.node,
                    now: self.context.queue.now(),
                };
                batch = self.workload.arrive(&thinker, &level, &mut client.random);
            }
        }
        if let Some(own) = client.own.take().filter(Own::is_ready) {
            self.workload.finish_own(own, self.context.queue.now());
            client.script.extend(self.workload.drain());
        }
        if client.script.is_empty() && !is_late {
            let thinker = Thinker {
                client: client.id,
                kind: client.kind,
                node: client.node,
                now: self.context.queue.now(),
            };
            self.workload
                .think(&thinker, &mut client.watched, &mut client.random);
            client.script.extend(self.workload.drain());
        }
        let count = client.script.len().min(16);
        batch.extend(client.script.drain(..count));
        if batch.is_empty() {
            return;
        }
        let connection = (client.id, client.serial);
        self.send(connection, opens, batch);
        self.plan_follow_up(connection);
        if self.phase == Phase::Faults {
            let client = &mut self.clients[id as usize];
            let patience = match client.kind {
                Kind::Worker => Self::worker_patience(&mut client.random),
                _ => Some(client.random.between(1_000_000, 12_000_000)),
            };
            if let Some(patience) = patience {
                self.context.queue.after(patience, Event::Timeout { connection });
            }
        }
    }

    /// Sends requests, and expects their answers behind those that are expected already.
    pub(super) fn send(&mut self, connection: (u32, u64), opens: bool, batch: Vec<(Ask, Expected)>) {
        let client = &mut self.clients[connection.0 as usize];
        self.context.counts.operations += batch.len() as u64;
        let mut bytes = Vec::new();
        for (ask, expected) in batch {
            ask.encode(&mut bytes);
            let before = std::iter::repeat_n(Expected::Accepted, ask.replies_before());
            client.open.extend(before.chain([expected]));
        }
        self.send_bytes(connection, opens, Bytes::from(bytes));
    }

    /// Sends bytes in up to three pieces, cut anywhere: a node may have turns in between.
    fn send_bytes(&mut self, connection: (u32, u64), opens: bool, mut bytes: Bytes) {
        let client = &mut self.clients[connection.0 as usize];
        let node = client.node;
        let now = self.context.queue.now();
        let count = client.random.between(1, PIECES_MAX);
        let mut times: Vec<Micros> = (0..count)
            .map(|_| now + client.random.skewed(10, REQUEST_DELAY_US_MAX))
            .collect();
        times.sort_unstable();
        for (number, at) in times.into_iter().enumerate() {
            // A stream keeps its order.
            client.sent_until = at.max(client.sent_until);
            let is_last = number as u64 + 1 == count;
            let length = if is_last {
                bytes.len()
            } else {
                client.random.below(bytes.len() as u64 + 1) as usize
            };
            let event = Event::Requests {
                node,
                connection,
                opens: opens && number == 0,
                bytes: bytes.split_to(length),
            };
            self.context.queue.at(client.sent_until, event);
        }
    }

    pub(super) fn client_of(&mut self, (id, serial): (u32, u64)) -> Option<&mut Client> {
        let client = self.clients.get_mut(id as usize)?;
        (client.connected && client.serial == serial).then_some(client)
    }

    pub(super) fn on_reply(&mut self, connection: (u32, u64), bytes: &Bytes) {
        if let Some(client) = self.client_of(connection) {
            client.incoming.receive(connection.1, bytes);
        }
        while let Some(client) = self.client_of(connection) {
            let node = client.node;
            let explanation = match client.incoming.take() {
                Ok(Some(value)) => {
                    self.on_value(connection.0, &value);
                    continue;
                }
                Ok(None) if client.open.is_empty() && !client.incoming.rest().is_empty() => {
                    format!("{:?} is left", client.incoming.rest().escape_ascii().to_string())
                }
                Ok(None) => return self.after_reply(connection.0),
                Err(explanation) => explanation,
            };
            return self.context.fail(Violation {
                check: "replies are whole",
                subject: format!("client {} at node {node}", connection.0),
                explanation,
            });
        }
    }

    fn on_value(&mut self, id: u32, value: &Value) {
        let now = self.context.queue.now();
        let client = &mut self.clients[id as usize];
        let node = client.node;
        let Some(expected) = client.open.pop_front() else {
            self.context.fail(Violation {
                check: "one answer per request",
                subject: format!("client {id} at node {node}"),
                explanation: format!("got {value:?} without having asked"),
            });
            return;
        };
        let taken = match &expected {
            Expected::Own(step) => Own::judge(&mut client.own, *step, value),
            _ => self
                .workload
                .take_reply(&expected, value, now, &mut client.watched),
        };
        match taken {
            // Who is no member any more refuses for good.
            Ok(refused)
                if refused
                    && self.context.members.get(node).is_some()
                    && self.is_inexcusable(&expected, value) =>
            {
                self.context.fail(Violation {
                    check: "liveness",
                    subject: format!("client {id} at node {node}"),
                    explanation: format!("refused although all is well: {value:?} to {expected:?}"),
                });
            }
            Ok(_) => {}
            Err(explanation) => {
                self.context.fail(Violation {
                    check: "replies make sense",
                    subject: format!("client {id} at node {node}"),
                    explanation,
                });
            }
        }
    }

    fn after_reply(&mut self, id: u32) {
        let client = &self.clients[id as usize];
        if !client.open.is_empty() {
            return;
        }
        if self.workload.travellers.leaves(id) {
            return self.hang_up((client.id, client.serial));
        }
        let think_max = self.context.plan.think_us_max;
        let bound = self.context.plan.bound_us();
        let client = &mut self.clients[id as usize];
        let impatient = client.watched.is_some() || client.own.is_some() || !client.script.is_empty();
        let delay = if impatient {
            1
        } else if matches!(client.kind, Kind::Reader | Kind::Traveller) {
            client.random.between(1, READER_THINKS_US)
        } else if let (Kind::Watcher, Some(bound)) = (client.kind, bound) {
            // Again while the state may count as fresh, now and then after it.
            client
                .random
                .between(1, think_max.min(2 * bound.max(READER_THINKS_US / 10)))
        } else {
            client.random.between(1, think_max)
        };
        self.context.queue.after(delay, Event::Think { client: id });
    }

    pub(super) fn on_disconnected(&mut self, connection: (u32, u64)) {
        if let Some(client) = self.client_of(connection) {
            client.forget_connection();
            let delay = client.random.skewed(1_000, 50_000);
            self.context
                .queue
                .after(delay, Event::Think { client: connection.0 });
        }
    }

    pub(super) fn on_timeout(&mut self, connection: (u32, u64)) {
        if self.phase == Phase::Faults
            && self
                .client_of(connection)
                .is_some_and(|client| !client.open.is_empty())
        {
            self.hang_up(connection);
        }
    }

    /// The client closes its connection and goes elsewhere.
    pub(super) fn hang_up(&mut self, connection: (u32, u64)) {
        if let Some(client) = self.client_of(connection) {
            let node = client.node;
            // After every request that is still on its way: a stream is closed behind its bytes.
            let delay = REQUEST_DELAY_US_MAX + 1;
            self.context
                .queue
                .after(delay, Event::Hangup { node, connection });
            self.on_disconnected(connection);
        }
    }

    /// The connection of a client chosen at random, if it has one.
    pub(super) fn some_connection(&mut self) -> Option<(u32, u64)> {
        let count = self.clients.len() as u64;
        let client = &self.clients[self.context.random.below(count) as usize];
        client.connected.then_some((client.id, client.serial))
    }

    /// One client per node that reads every key at the end.
    pub(super) fn add_auditors(&mut self) {
        let now = self.context.queue.now();
        for node in self.nodes_alive() {
            let id = self.clients.len() as u32;
            let mut client = Client::new(id, Kind::Auditor, self.context.random.fork());
            client.home = Some(node);
            client.script = self.workload.read_everything(id, now);
            self.clients.push(client);
            self.context.queue.after(1, Event::Think { client: id });
        }
    }
}
