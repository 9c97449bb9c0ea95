//! One worker thread: everything that it owns, its tasks, and the turn that moves it ([`turn`]).
//!
//! Sockets put requests and messages into the replica; one turn per readiness lets them leave together
//! and carries out what the replica asks for. It decides nothing about correctness, and nothing here waits.
//! It knows the sockets and sessions below it and nothing of the node that starts and stops it.

mod access;
mod admission;
pub mod alarm;
pub mod allowance;
pub mod arrivals;
pub mod backups;
pub mod connection;
pub mod dial;
pub mod drivers;
mod error;
pub mod formation;
pub mod gather;
mod heap;
mod host;
pub mod join;
mod journal;
pub mod listener;
mod members;
mod memory;
mod origins;
pub mod placement;
mod probe;
mod progress;
mod publish;
mod scrutiny;
mod standing;
mod statistics;
pub mod turn;
mod view;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use repligo_core::contract::{
    Identity, Input, OriginsStatus, Outputs, PeerId, Request, Role, Status, Ticket, Unblock,
};
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_session::Session;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::table::Connections;
use repligo_session::tracked::Words;

use self::access::Access;
use self::admission::Admission;
use self::allowance::Allowance;
use self::backups::Backups;
use self::connection::Connection;
use self::drivers::{Drivers, Report};
pub use self::error::NodeError;
use self::formation::Formation;
use self::gather::Gathering;
use self::heap::Heap;
use self::journal::WaitingTold;
use self::memory::Buffers;
use self::origins::OriginWatch;
use self::placement::Placement;
use self::turn::TurnSignal;
use crate::disk::DiskDone;
use crate::net::link_log::LinkLog;
use crate::net::links::Links;
use crate::net::stream::ClientStream;
use crate::session::{Endpoints, ErrorStats, Guard, Parameters, Slowlog};
use crate::telemetry::Facts;
use crate::telemetry::clock::Clock;
use crate::telemetry::rates::Rates;
use crate::telemetry::stalls::Busy;
use crate::telemetry::status::{Phase, Shared};
use crate::telemetry::timing::Batch;
use crate::telemetry::tracked::Tracking;
use crate::tls::clients::ClientKeyStore;
use crate::tls::keys::KeyStore;

/// What the tasks of one worker thread share.
pub struct Thread {
    /// Everything that the thread owns.
    pub worker: RefCell<Worker>,
    /// What clients have sent since the last turn, apart so that both can be borrowed together.
    pub gathering: RefCell<Gathering>,
    /// Keys of the listener for clients over TLS, if there is one.
    pub client_keys: Option<Arc<ClientKeyStore>>,
    /// Keys of the peer links; `None` on a single node, and where they are plain.
    pub peer_keys: Option<Arc<KeyStore>>,
}

/// Everything that the worker thread owns; see the module.
pub struct Worker {
    pub facts: Facts,
    pub clock: Clock,
    /// Asks for huge pages as memory grows.
    pub heap: Heap,
    pub shared: Arc<Shared>,
    /// Lines about clients that speak another protocol.
    pub foreign: LinkLog,
    pub connections: Connections<Connection>,
    /// Who subscribes to what, and what was published since the last turn.
    pub subscriptions: Subscriptions,
    /// The replica notes what is done to keys.
    observes: bool,
    /// Nodes that do not know all of what this node's clients subscribe to.
    untold: BTreeSet<PeerId>,
    /// CLIENT PAUSE and MONITOR.
    watching: scrutiny::Watching,
    /// I/O threads, and whose sockets they have.
    pub placement: Placement,
    pub links: Links,
    pub pool: BufferPool,
    pub parameters: Parameters,
    /// The users, as far as this node's connections have followed them.
    pub(super) access: Access,
    /// Memory of clients, and who has not logged in.
    admission: Admission,
    pub slowlog: Slowlog,
    /// ACL LOG, failed logins, and the audit log.
    pub guard: Guard,
    pub errors: ErrorStats,
    pub batch: Batch,
    pub turn: TurnSignal,
    /// What commands that may take long may still take before the next turn.
    pub allowance: Allowance,
    /// Measures how long the thread is busy without a break.
    pub busy: Busy,
    pub rates: Rates,
    pub phase: Phase,
    /// Disk and origin.
    pub drivers: Drivers,
    /// The backup that is read from here.
    pub backups: Backups,
    /// Forming, until it is over.
    pub formation: Option<Formation>,
    /// Set when the node is to stop, and why.
    pub verdict: Option<Result<(), NodeError>>,
    /// The cluster line: addresses that an operator has given.
    pub line: Vec<(String, String)>,
    /// Addresses of members are to be compared with it.
    heal_addresses: bool,
    replica: Option<Replica>,
    refusal: String,
    identity: Identity,
    outputs: Outputs,
    /// The replica was given something since its last turn.
    replica_due: bool,
    /// Requests answered in the present turn.
    answered: Batch,
    /// Requests that the core answers later, and what is to be told of them then.
    pub tracking: Tracking,
    /// Answered in the present turn, for the slow log if their share of it is long.
    candidates: Vec<Words>,
    flush: Vec<u32>,
    next_client: u64,
    used_memory_bytes: u64,
    used_memory_peak_bytes: u64,
    buffers: Buffers,
    keyspace_base: (u64, u64, u64),
    expired_fields_base: u64,
    evicted_base: u64,
    /// What is known of the origins as of the last tick, and by which version.
    pub origins: Arc<OriginsStatus>,
    origins_version: Option<u64>,
    origin_watch: OriginWatch,
    last_term: u64,
    last_role: Role,
    /// When the replica was last seen serving.
    served_us: Option<u64>,
    waiting_told: WaitingTold,
    idle_checked_us: u64,
    sockets_seen_us: u64,
}

impl Worker {
    /// A worker without a replica: every data command is refused until [`Self::start_replica`].
    pub fn new(facts: Facts, parameters: Parameters, shared: Arc<Shared>, links: Links) -> Self {
        let number = |name| parameters.value(name).and_then(|value| value.parse().ok());
        let guard = Guard::new(number("acllog-max-len").unwrap_or(128) as usize);
        let slowlog = Slowlog::new(
            number("slowlog-log-slower-than").unwrap_or(10_000),
            number("slowlog-max-len").unwrap_or(128) as usize,
        );
        let mut subscriptions = Subscriptions::default();
        let keys_max = number("tracking-table-max-keys").unwrap_or(0) as usize;
        subscriptions.tracking_mut().limit_keys(keys_max);
        Self {
            facts,
            clock: Clock::new(),
            heap: Heap::new(),
            foreign: LinkLog::default(),
            shared,
            connections: Connections::default(),
            subscriptions,
            observes: false,
            untold: BTreeSet::new(),
            watching: scrutiny::Watching::default(),
            placement: Placement::default(),
            links,
            pool: BufferPool::default(),
            parameters,
            access: Access::default(),
            admission: Admission::default(),
            slowlog,
            guard,
            errors: ErrorStats::default(),
            batch: Batch::default(),
            turn: TurnSignal::default(),
            allowance: Allowance::default(),
            busy: Busy::default(),
            rates: Rates::default(),
            phase: Phase::Starting,
            drivers: Drivers::default(),
            backups: Backups::default(),
            formation: None,
            verdict: None,
            line: Vec::new(),
            heal_addresses: false,
            replica: None,
            refusal: "LOADING the node is starting; retry".to_owned(),
            identity: Identity {
                cluster_id: 0,
                generation: 0,
                peer: 0,
                incarnation: 0,
            },
            outputs: Outputs::default(),
            replica_due: false,
            answered: Batch::default(),
            tracking: Tracking::default(),
            candidates: Vec::new(),
            flush: Vec::new(),
            next_client: 1,
            used_memory_bytes: 0,
            used_memory_peak_bytes: 0,
            buffers: Buffers::at_start(),
            keyspace_base: (0, 0, 0),
            expired_fields_base: 0,
            evicted_base: 0,
            origins: Arc::default(),
            origins_version: None,
            origin_watch: OriginWatch::default(),
            last_term: 0,
            last_role: Role::Follower,
            served_us: None,
            waiting_told: WaitingTold::default(),
            idle_checked_us: 0,
            sockets_seen_us: 0,
        }
    }

    /// The replica exists: data commands are executed from now on.
    pub fn start_replica(&mut self, identity: Identity, replica: Replica) {
        self.identity = identity;
        self.replica = Some(replica);
        self.tell_memory();
        self.follow_events();
        self.phase = Phase::Running;
        self.links.set_identity(identity);
        if let Some(replica) = &self.replica {
            let membership = replica.membership().clone();
            self.links.adopt(&membership, &self.line);
        }
        // What it has read from its disk may be other users than those that hold without it.
        self.follow_users();
        self.request_turn();
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
            self.outputs.steps = 0;
            replica.step(now, input, &mut self.outputs);
            if !self.outputs.spent.is_empty() {
                self.share_out(now.mono_us * 1000);
            }
            self.request_turn();
            self.follow_users();
        }
    }

    /// Gives a request to the replica, which applies nothing before the turn that is asked for.
    #[inline]
    pub fn submit(&mut self, now: Now, request: Request<'_>) {
        if let Some(replica) = &mut self.replica {
            self.outputs.steps = 0;
            replica.step(now, Input::Request(request), &mut self.outputs);
            if !self.outputs.spent.is_empty() {
                self.share_out(now.mono_us * 1000);
            }
            self.request_turn();
        }
    }

    /// Whether a connection may give its next request in, see [`Replica::admits`].
    #[inline]
    pub fn admits(&mut self, connection: u32, demand: Demand) -> bool {
        self.replica
            .as_mut()
            .is_none_or(|replica| replica.admits(connection, demand))
    }

    /// Lets connections go on for whose requests there is room again.
    fn call_waiting(&mut self) {
        if let Some(replica) = &mut self.replica {
            for &slot in replica.call_waiting() {
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.call();
                }
            }
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
    pub fn role(&self) -> Role {
        self.last_role
    }

    /// Bytes of requests of this node's clients that wait, bytes that other nodes have forwarded to it, and
    /// connections that wait for room.
    pub fn queued(&self) -> [usize; 3] {
        let of = |replica: &Replica| {
            [
                replica.held().total(),
                replica.forwarded_bytes(),
                replica.waiting_connections(),
            ]
        };
        self.replica.as_ref().map_or([0; 3], of)
    }

    /// A client has connected.
    pub fn open_connection(&mut self, stream: Option<ClientStream>, endpoints: Endpoints) -> u32 {
        let now_us = self.clock.now().mono_us;
        let bulk_bytes_max = self.parameters.proto_max_bulk_bytes();
        let id = self.next_client;
        self.next_client += 1;
        self.shared.metrics.connections_received.add(1);
        let slot = self.connections.insert(|slot, first_sequence| {
            let mut session = Session::new(id, slot, first_sequence, bulk_bytes_max);
            session.connected_us = now_us;
            session.active_us = now_us;
            Connection::new(session, stream, endpoints)
        });
        if let Some(mut connection) = self.connections.take(slot) {
            connection.session.set_scrutiny(self.watching.scrutiny(), now_us);
            self.begin_session(&mut connection.session);
            self.begin_certified(&mut connection);
            self.connections.put_back(connection);
        }
        self.shared
            .metrics
            .connections_open
            .set(self.connections.len() as u64);
        slot
    }

    /// A connection that was taken out is over.
    pub fn close_connection(&mut self, mut connection: Box<Connection>) {
        connection.session.leave(&mut self.subscriptions);
        if connection.session.waits_for_room() {
            let session = &connection.session;
            self.guard.logins.forget((session.slot, session.id));
            if let Some(replica) = &mut self.replica {
                replica.forget_connection(session.slot);
            }
        }
        if let Some(ticket) = connection.session.blocked() {
            self.unblock(ticket, Unblock::Gone);
        }
        self.connections.remove(&connection);
        self.shared
            .metrics
            .connections_open
            .set(self.connections.len() as u64);
    }

    /// The request of a client that waits for a key is to wait no more.
    pub fn unblock(&mut self, ticket: Ticket, how: Unblock) {
        let now = self.clock.now();
        self.step(now, Input::Unblock(ticket, how));
    }

    /// Clients that wait for keys, or for the end of a pause, as Redis counts them.
    pub fn blocked_clients(&self) -> usize {
        let waiting = self.replica.as_ref().map_or(0, Replica::blocked_clients);
        waiting + self.held_back()
    }

    /// The connection is to be flushed by the turn that is due.
    pub fn flush_after_turn(&mut self, connection: &mut Connection) {
        if !connection.io.flush_due {
            connection.io.flush_due = true;
            self.flush.push(connection.session.slot);
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
                self.drivers.persisted(number);
                self.step(now, Input::Persisted { number });
            }
            Report::Disk(DiskDone::SnapshotSaved { index }) => {
                self.step(now, Input::SnapshotSaved { index });
                self.look_after_backup(now);
            }
            Report::Disk(DiskDone::Full(full)) => self.step(now, Input::DiskFull { full }),
            Report::Disk(DiskDone::SnapshotFailed) => self.step(now, Input::SnapshotFailed),
            Report::Disk(DiskDone::Fatal(error)) => {
                self.verdict = Some(Err(NodeError::Disk(error.while_running())))
            }
            Report::Origin(event) => self.step(now, Input::Origin(event)),
            Report::Backup(report) => self.take_backup_report(report),
        }
    }

    /// Asks for a turn in which the replica has its say.
    pub fn request_turn(&mut self) {
        self.replica_due = true;
        self.turn.request();
    }

    /// True when the replica goes on in another turn without an input.
    pub fn has_work(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::has_work)
    }

    /// The connection has more to execute than this turn's allowance admits; whether it got some of it.
    pub fn wait_for_allowance(&mut self, slot: u32, is_served: bool) {
        self.allowance.wait(slot, is_served);
        self.turn.request();
    }

    /// Others have come first: who waited for the next turn's allowance goes on.
    pub fn renew_allowance(&mut self) {
        for slot in self.allowance.renew() {
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.wake();
            }
        }
    }
}
