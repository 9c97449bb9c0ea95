//! The worker: everything that one thread owns, and the turn that moves it.
//!
//! Sockets put requests and messages into the replica; one turn per readiness lets them leave together
//! and carries out what the replica asks for: replies to connections, messages to links, writes to the
//! disk, calls to the origin. It decides nothing about correctness.
//!
//! Invariants: outputs are carried out in the order of the contract (snapshot pieces before persists);
//! after a turn no reply is left behind unflushed; nothing here waits.

use std::net::SocketAddr;
use std::sync::Arc;

use repligo_core::command::Command;
use repligo_core::contract::{Event, Identity, Input, Outputs, ReadLevel, Role, Served, Status};
use repligo_core::limits::DATABASES;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_proto::command::{CommandId, Spec, flag};
use repligo_proto::resp::{ArgSlice, OwnedRequest};
use tokio::net::TcpStream;

use super::NodeError;
use super::batch::Batch;
use super::clock::{Clock, boottime_ns};
use super::drivers::{Drivers, Report};
use super::formation::Formation;
use super::rates::Rates;
use super::shared::{DatabaseStatus, PeerStatus, Phase, Shared};
use super::turn::TurnSignal;
use crate::disk::DiskDone;
use crate::net::connection::Connection;
use crate::net::links::Links;
use crate::net::replies::BufferPool;
use crate::net::table::Connections;
use crate::session::{self, ErrorStats, Parameters, Session, Slow, Slowlog};

/// Arguments of a slow command that are kept until its turn has shown how long it took.
const CANDIDATES_MAX: usize = 64;
/// Capacity of the reply buffer that is kept between turns.
const REPLY_BYTES_KEPT: usize = 4 << 20;

/// What does not change after the start.
#[derive(Debug)]
pub struct Facts {
    /// Name of the node.
    pub name: String,
    /// Random per start, 40 hex digits.
    pub run_id: String,
    /// Port of the RESP listener.
    pub client_port: u16,
    /// What clients and other nodes are told.
    pub client_address: String,
    /// For INFO.
    pub config_file: String,
    /// Wall clock at start.
    pub started_wall_ms: u64,
    /// Boot clock at start.
    pub started_us: u64,
    /// Keys with an origin.
    pub origin: Arc<OriginMap>,
}

/// A write that may turn out slow.
#[derive(Debug)]
struct Candidate {
    address: String,
    name: Box<[u8]>,
    request: OwnedRequest,
}

/// Everything that the worker thread owns; see the module.
pub struct Worker {
    pub facts: Facts,
    pub clock: Clock,
    pub shared: Arc<Shared>,
    pub connections: Connections,
    pub links: Links,
    pub pool: BufferPool,
    pub parameters: Parameters,
    pub slowlog: Slowlog,
    pub errors: ErrorStats,
    pub batch: Batch,
    pub turn: TurnSignal,
    pub rates: Rates,
    /// Buffer for replies that the session renders.
    pub local_reply: Vec<u8>,
    pub phase: Phase,
    /// Disk and origin.
    pub drivers: Drivers,
    /// Forming, until it is over.
    pub formation: Option<Formation>,
    /// Set when the node is to stop, and why.
    pub verdict: Option<Result<(), NodeError>>,
    replica: Option<Replica>,
    refusal: String,
    identity: Identity,
    outputs: Outputs,
    /// Requests answered in the present turn.
    answered: Batch,
    candidates: Vec<Candidate>,
    flush: Vec<u32>,
    next_client: u64,
    used_memory_bytes: u64,
    used_memory_peak_bytes: u64,
    keyspace_base: (u64, u64, u64),
    last_term: u64,
    last_role: Role,
    idle_checked_us: u64,
}

impl Worker {
    /// A worker without a replica: every data command is refused until [`Self::start_replica`].
    pub fn new(facts: Facts, parameters: Parameters, shared: Arc<Shared>, links: Links) -> Self {
        let number = |name| parameters.value(name).and_then(|value| value.parse().ok());
        let slowlog = Slowlog::new(
            number("slowlog-log-slower-than").unwrap_or(10_000),
            number("slowlog-max-len").unwrap_or(128) as usize,
        );
        Self {
            facts,
            clock: Clock::new(),
            shared,
            connections: Connections::default(),
            links,
            pool: BufferPool::default(),
            parameters,
            slowlog,
            errors: ErrorStats::default(),
            batch: Batch::default(),
            turn: TurnSignal::default(),
            rates: Rates::default(),
            local_reply: Vec::new(),
            phase: Phase::Starting,
            drivers: Drivers::default(),
            formation: None,
            verdict: None,
            replica: None,
            refusal: "LOADING the node is starting; retry".to_owned(),
            identity: Identity {
                cluster_id: 0,
                generation: 0,
                peer: 0,
                incarnation: 0,
            },
            outputs: Outputs::default(),
            answered: Batch::default(),
            candidates: Vec::new(),
            flush: Vec::new(),
            next_client: 1,
            used_memory_bytes: 0,
            used_memory_peak_bytes: 0,
            keyspace_base: (0, 0, 0),
            last_term: 0,
            last_role: Role::Follower,
            idle_checked_us: 0,
        }
    }

    /// The replica exists: data commands are executed from now on.
    pub fn start_replica(&mut self, identity: Identity, replica: Replica) {
        self.identity = identity;
        self.replica = Some(replica);
        self.phase = Phase::Running;
        self.links.set_identity(identity);
        self.turn.request();
    }

    /// Why data commands cannot be executed at all now, as an error text.
    #[inline]
    pub fn refusal(&self) -> Option<&str> {
        match self.replica {
            Some(_) => None,
            None => Some(&self.refusal),
        }
    }

    /// Sets the sentence of [`Self::refusal`].
    pub fn set_refusal(&mut self, text: String) {
        self.refusal = text;
    }

    /// Who this node is; zeroes before forming.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The replica, once there is one.
    pub fn replica(&mut self) -> Option<&mut Replica> {
        self.replica.as_mut()
    }

    /// Gives an input to the replica and asks for a turn.
    #[inline]
    pub fn step(&mut self, now: Now, input: Input<'_>) {
        if let Some(replica) = &mut self.replica {
            replica.step(now, input, &mut self.outputs);
            self.turn.request();
        }
    }

    /// The fast path of a read, see [`Replica::read`].
    #[inline]
    pub fn read(
        &self,
        now: Now,
        command: &Command<'_>,
        level: ReadLevel,
        resp3: bool,
        out: &mut Vec<u8>,
    ) -> Served {
        match &self.replica {
            Some(replica) => replica.read(now, command, level, resp3, out),
            None => Served::NotYet,
        }
    }

    /// What the replica says of itself.
    pub fn status(&self, now: Now) -> Status {
        self.replica
            .as_ref()
            .map(|replica| replica.status(now))
            .unwrap_or_default()
    }

    /// The replica's role as of the last tick.
    pub fn role(&self, _now: Now) -> Role {
        self.last_role
    }

    /// Whether a command touches a key with an origin.
    #[inline]
    pub fn is_mapped(&self, command: &Command<'_>) -> bool {
        if self.facts.origin.is_empty() {
            return false;
        }
        let mut mapped = false;
        self.facts.origin.for_each_mapped(command, |_, _| mapped = true);
        mapped
    }

    /// A client has connected.
    pub fn open_connection(&mut self, stream: Option<TcpStream>) -> u32 {
        let authenticated = self.parameters.password().is_none();
        let decoder = session::decoder(self.parameters.proto_max_bulk_bytes(), authenticated);
        let now_us = self.clock.now().mono_us;
        let address =
            |side: fn(&TcpStream) -> std::io::Result<SocketAddr>| stream.as_ref().and_then(|s| side(s).ok());
        let session = Session {
            id: self.next_client,
            authenticated,
            peer_address: address(TcpStream::peer_addr),
            local_address: address(TcpStream::local_addr),
            connected_us: now_us,
            active_us: now_us,
            ..Session::default()
        };
        self.next_client += 1;
        self.shared.metrics.connections_received.add(1);
        let slot = self
            .connections
            .insert(|slot, first| Connection::new(slot, first, stream, decoder, session));
        self.shared
            .metrics
            .connections_open
            .set(self.connections.len() as u64);
        slot
    }

    /// A connection that was taken out is over.
    pub fn close_connection(&mut self, connection: Box<Connection>) {
        self.connections.remove(connection);
        self.shared
            .metrics
            .connections_open
            .set(self.connections.len() as u64);
    }

    /// The connection is to be flushed by the turn that is due.
    pub fn flush_after_turn(&mut self, connection: &mut Connection) {
        if !connection.flush_due {
            connection.flush_due = true;
            self.flush.push(connection.slot);
        }
    }

    /// A thread of the disk or of the origin reports.
    pub fn take_report(&mut self, report: Report) {
        let now = self.clock.now();
        match report {
            Report::Disk(DiskDone::Persisted { number, sends }) => {
                for send in sends {
                    self.links.send(send.to, &send.message);
                }
                self.step(now, Input::Persisted { number });
            }
            Report::Disk(DiskDone::SnapshotSaved { index }) => self.step(now, Input::SnapshotSaved { index }),
            Report::Disk(DiskDone::Fatal(error)) => {
                self.verdict = Some(Err(NodeError::Disk(error.to_string())))
            }
            Report::Origin(event) => self.step(now, Input::Origin(event)),
        }
    }

    /// One turn, see the module.
    pub fn run_turn(&mut self) {
        let began_ns = boottime_ns();
        self.turn.begin(began_ns);
        let now = self.clock.at(began_ns / 1000);
        self.open_links();
        if let Some(replica) = &mut self.replica {
            replica.step(now, Input::Turn, &mut self.outputs);
        }
        self.answered.begin();
        self.carry_out(now);
        self.shared.metrics.turns.add(1);
        self.end_turn(began_ns);
        self.links.flush(&self.shared.metrics);
        self.flush_connections();
    }

    fn carry_out(&mut self, now: Now) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for piece in outputs.snapshot.drain(..) {
            self.drivers.snapshot(piece);
        }
        for persist in outputs.persists.drain(..) {
            self.shared.metrics.persists.add(1);
            self.drivers.persist(persist);
        }
        for send in outputs.sends.drain(..) {
            self.links.send(send.to, &send.message);
        }
        for request in outputs.origin.drain(..) {
            self.drivers.origin(request);
        }
        for event in outputs.events.drain(..) {
            self.note_event(&event);
        }
        self.answer(now, &outputs);
        outputs.replies.clear();
        outputs.reply_bytes.clear();
        outputs.reply_bytes.shrink_to(REPLY_BYTES_KEPT);
        // Nothing above gives the replica an input, so nothing is lost here.
        debug_assert!(self.outputs.replies.is_empty() && self.outputs.persists.is_empty());
        self.outputs = outputs;
    }

    /// Hands replies to their connections; runs of one connection are handled together.
    fn answer(&mut self, now: Now, outputs: &Outputs) {
        let mut current: Option<Box<Connection>> = None;
        for reply in &outputs.replies {
            let (slot, sequence) = ((reply.ticket >> 32) as u32, reply.ticket as u32);
            if current.as_ref().is_none_or(|connection| connection.slot != slot) {
                if let Some(connection) = current.take() {
                    self.connections.put_back(connection);
                }
                current = self.connections.take(slot);
                if let Some(connection) = &mut current {
                    self.flush_after_turn(connection);
                }
            }
            if let Some(connection) = &mut current {
                let bytes = &outputs.reply_bytes[reply.start as usize..reply.end as usize];
                session::finish(connection, self, now, sequence, bytes);
            }
        }
        if let Some(connection) = current {
            self.connections.put_back(connection);
        }
    }

    fn end_turn(&mut self, began_ns: u64) {
        let count = self.answered.len() as u64;
        if self.candidates.is_empty() && count == 0 {
            return;
        }
        let elapsed_ns = boottime_ns().saturating_sub(began_ns);
        self.answered.end(elapsed_ns, &self.shared.metrics);
        let longest = &self.shared.metrics.turn_nanoseconds_max;
        longest.set(longest.get().max(elapsed_ns));
        if self.candidates.is_empty() {
            return;
        }
        let share_us = elapsed_ns / 1000 / count.max(1);
        for candidate in std::mem::take(&mut self.candidates) {
            if self.slowlog.takes(share_us) {
                let slow = Slow {
                    wall_seconds: self.clock.wall_us() / 1_000_000,
                    microseconds: share_us,
                    client_address: &candidate.address,
                    client_name: &candidate.name,
                };
                self.slowlog.record(slow, candidate.request.view(), false);
            }
        }
    }

    fn flush_connections(&mut self) {
        while let Some(slot) = self.flush.pop() {
            if let Some(mut connection) = self.connections.take(slot) {
                connection.flush_after_turn(self);
                self.connections.put_back(connection);
            }
        }
    }

    fn note_event(&mut self, event: &Event) {
        session::log_event(event);
        if let Event::Role { role, term, .. } = event {
            let metrics = &self.shared.metrics;
            metrics.elections.add(u64::from(*term != self.last_term));
            let leads_now = *role == Role::Leader && self.last_role != Role::Leader;
            metrics.leader_changes.add(u64::from(leads_now));
            self.last_term = *term;
            self.last_role = *role;
        }
    }

    /// Ends the statistics of a batch of one connection.
    #[inline]
    pub fn end_batch(&mut self, began_ns: u64) {
        if !self.batch.is_empty() {
            let took_ns = boottime_ns().saturating_sub(began_ns);
            self.batch.end(took_ns, &self.shared.metrics);
        }
    }

    /// Counts a reply of a session command.
    #[inline]
    pub fn count_reply(&mut self, id: CommandId, reply: &[u8]) {
        if reply.first() == Some(&b'-') {
            self.shared.metrics.commands[id as usize].failed.add(1);
            self.count_error(reply);
        }
    }

    /// Counts the core's answer to a request.
    #[inline]
    pub fn count_answer(&mut self, id: u16, reply: &[u8]) {
        // Their call was counted when they were given in.
        if id != CommandId::Exec as u16 && id != CommandId::Watch as u16 {
            self.answered.count_id(id);
        }
        if reply.first() == Some(&b'-') {
            self.shared.metrics.commands[id as usize].failed.add(1);
            self.count_error(reply);
        }
    }

    /// Counts an error reply by its code word.
    #[cold]
    pub fn count_error(&mut self, reply: &[u8]) {
        self.shared.metrics.error_replies.add(1);
        self.errors.count(reply);
    }

    /// Keeps a command that took long, by what its own timer showed.
    pub fn note_slow(&mut self, took_ns: u64, connection: &Connection, spec: &Spec, request: ArgSlice<'_>) {
        let microseconds = took_ns / 1000;
        if took_ns == 0 || !self.slowlog.takes(microseconds) || spec.has(flag::SKIP_SLOWLOG) {
            return;
        }
        let slow = Slow {
            wall_seconds: self.clock.wall_us() / 1_000_000,
            microseconds,
            client_address: &connection.session.address(),
            client_name: &connection.session.name,
        };
        let secret = matches!(spec.id, CommandId::Auth | CommandId::Hello | CommandId::ConfigSet);
        self.slowlog.record(slow, request, secret);
    }

    /// Remembers a write that may turn out slow in its turn.
    #[inline]
    pub fn note_candidate(&mut self, connection: &Connection, spec: &Spec, request: ArgSlice<'_>) {
        let precise = (0..1000).contains(&self.slowlog.threshold_us);
        let heavy =
            request.len() > CANDIDATES_MAX || matches!(spec.id, CommandId::FlushDb | CommandId::FlushAll);
        if (precise || heavy) && self.candidates.len() < CANDIDATES_MAX {
            self.candidates.push(Candidate {
                address: connection.session.address(),
                name: connection.session.name.clone(),
                request: OwnedRequest::from(request),
            });
        }
    }

    /// CONFIG SET has changed parameters.
    pub fn parameters_changed(&mut self) {
        let number = |name| self.parameters.value(name).and_then(|value| value.parse().ok());
        self.slowlog.threshold_us = number("slowlog-log-slower-than").unwrap_or(-1);
        self.slowlog.entries_max = number("slowlog-max-len").unwrap_or(0) as usize;
    }

    /// CONFIG RESETSTAT.
    pub fn reset_statistics(&mut self) {
        self.shared.metrics.reset();
        self.errors.reset();
        if let Some(replica) = &self.replica {
            let counters = replica.keyspace().counters();
            self.keyspace_base = (counters.hits, counters.misses, counters.expired);
        }
    }

    /// Milliseconds since the node started.
    pub fn uptime_ms(&self, now: Now) -> u64 {
        now.mono_us.saturating_sub(self.facts.started_us) / 1000
    }

    /// Bytes of the tables, as of now.
    pub fn used_memory_bytes(&self) -> u64 {
        let Some(replica) = &self.replica else { return 0 };
        (0..DATABASES as u8)
            .map(|number| replica.keyspace().summary(number).bytes)
            .sum()
    }

    /// Most of it since start.
    pub fn used_memory_peak_bytes(&self) -> u64 {
        self.used_memory_peak_bytes.max(self.used_memory_bytes())
    }

    /// Size of a database.
    pub fn database(&self, number: u8) -> DatabaseStatus {
        let summary = self
            .replica
            .as_ref()
            .map(|replica| replica.keyspace().summary(number));
        let summary = summary.unwrap_or_default();
        DatabaseStatus {
            database: number,
            keys: summary.keys,
            volatile_keys: summary.volatile_keys,
        }
    }

    /// Every node of the cluster as this one knows it.
    pub fn nodes(&self) -> Vec<PeerStatus> {
        self.shared.status().nodes.clone()
    }

    /// The regular tick: core time, statistics, status for other threads.
    pub fn tick(&mut self) {
        self.clock.measure();
        let now = self.clock.now();
        self.step(now, Input::Tick);
        self.rates.sample(now.mono_us, &self.shared.metrics);
        self.links.tick(now);
        self.close_idle(now);
        self.publish(now);
    }

    /// Disconnects clients that have been idle for longer than `timeout`; about once a second.
    fn close_idle(&mut self, now: Now) {
        let limit_us = self.parameters.timeout_seconds() * 1_000_000;
        if limit_us == 0 || now.mono_us.saturating_sub(self.idle_checked_us) < 1_000_000 {
            return;
        }
        self.idle_checked_us = now.mono_us;
        for connection in self.connections.iter_mut() {
            let idle_us = now.mono_us.saturating_sub(connection.session.active_us);
            if idle_us > limit_us && connection.replies.waiting() == 0 {
                connection.kill();
            }
        }
    }

    /// Replaces the status that other threads see.
    pub fn publish(&mut self, now: Now) {
        let status = self.status(now);
        self.last_role = status.role;
        self.used_memory_bytes = self.used_memory_bytes();
        self.used_memory_peak_bytes = self.used_memory_peak_bytes.max(self.used_memory_bytes);
        if let Some(replica) = &self.replica {
            let counters = replica.keyspace().counters();
            let (metrics, base) = (&self.shared.metrics, self.keyspace_base);
            metrics.keyspace_hits.set(counters.hits.saturating_sub(base.0));
            metrics
                .keyspace_misses
                .set(counters.misses.saturating_sub(base.1));
            metrics.expired_keys.set(counters.expired.saturating_sub(base.2));
            metrics.clients_waiting.set(status.requests_waiting);
        }
        let databases = (0..DATABASES as u8)
            .map(|number| self.database(number))
            .filter(|d| d.keys > 0)
            .collect();
        let ready = self.phase == Phase::Running && status.serving;
        let own = self
            .links
            .announce(now, &status, ready, &self.facts.client_address);
        let nodes = self.links.nodes(now, own);
        self.shared.publish(now.mono_us, |target| {
            target.name.clone_from(&self.facts.name);
            target.peer = self.links.own_peer();
            target.cluster_id = self.identity.cluster_id;
            target.generation = self.identity.generation;
            target.incarnation = self.identity.incarnation;
            target.run_id.clone_from(&self.facts.run_id);
            target.client_address.clone_from(&self.facts.client_address);
            target.phase.clone_from(&self.phase);
            target.replica = status;
            target.nodes = nodes;
            target.databases = databases;
            target.used_memory_bytes = self.used_memory_bytes;
            target.used_memory_peak_bytes = self.used_memory_peak_bytes;
            target.maxmemory_bytes = self.parameters.maxmemory_bytes();
            target.maxclients = self.parameters.maxclients() as u64;
            target.started_wall_ms = self.facts.started_wall_ms;
            target.uptime_ms = self.uptime_ms(now);
            target.errors = self.errors.to_vec();
        });
    }
}
