//! The worker as the host of its sessions: the replica's port, and what is told of requests.

use repligo_core::acl::{Denied, PasswordHash, Users};
use repligo_core::command::Command;
use repligo_core::contract::{ReadLevel, Request, Served, Ticket, Token};
use repligo_core::keyspace::Keyspace;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_core::token::Standing;
use repligo_proto::command::{CommandId, Spec};
use repligo_proto::resp::ProtocolError;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::tracked::{Tracked, Words};
use repligo_session::{Call, Flow, Host, Session, Telemetry};

use super::Worker;
use super::connection::Io;
use super::view::WorkerView;
use crate::session::{Client, Denial, Local, audit_users, note_denial, own_password, password_hash};
use crate::telemetry::clock::boottime_ns;

/// A worker while one of its sessions runs, whose connection has been taken out.
pub struct WorkerHost<'a> {
    /// The worker.
    pub worker: &'a mut Worker,
    /// The rest of the session's connection.
    pub io: &'a Io,
    /// See [`Host::now`].
    pub now: Now,
}

impl WorkerHost<'_> {
    /// What is asked where nothing is refused.
    fn replica(&self) -> &Replica {
        self.worker
            .replica
            .as_ref()
            .expect("without a replica there is a refusal")
    }
}

impl Host for WorkerHost<'_> {
    #[inline]
    fn now(&self) -> Now {
        self.now
    }

    #[inline]
    fn pool(&mut self) -> &mut BufferPool {
        &mut self.worker.pool
    }

    fn output_bytes_max(&self) -> usize {
        self.worker.parameters.output_bytes_max()
    }

    #[inline]
    fn refusal(&self) -> Option<&str> {
        self.worker.refusal()
    }

    #[inline]
    fn origin(&self) -> &OriginMap {
        &self.worker.facts.origin
    }

    #[inline]
    fn keyspace(&self) -> Option<&Keyspace> {
        self.worker.replica.as_ref().map(Replica::keyspace)
    }

    fn users(&self) -> &Users {
        self.worker.users()
    }

    fn hash(&self, password: &[u8]) -> PasswordHash {
        password_hash(password)
    }

    fn own_password(&self) -> Option<PasswordHash> {
        own_password(self.worker.users().default_user(), &self.worker.parameters).map(password_hash)
    }

    #[inline]
    fn turn(&self) -> u64 {
        self.worker.turn.number()
    }

    fn refuses_growth(&self) -> bool {
        self.worker.refuses_growth()
    }

    #[inline]
    fn admits(&mut self, slot: u32, demand: Demand) -> bool {
        self.worker.admits(slot, demand)
    }

    #[inline]
    fn read(&self, command: &Command<'_>, level: ReadLevel, resp3: bool, out: &mut Vec<u8>) -> Served {
        match &self.worker.replica {
            Some(replica) => replica.read(self.now, command, level, resp3, out),
            None => Served::NotYet,
        }
    }

    fn token(&self) -> Token {
        self.replica().token()
    }

    fn judge(&self, token: &Token) -> Standing {
        self.replica().judge_token(token)
    }

    #[inline]
    fn submit(&mut self, request: Request<'_>) {
        self.worker.submit(self.now, request);
    }

    fn subscriptions(&mut self) -> &mut Subscriptions {
        &mut self.worker.subscriptions
    }

    fn find(&self, id: u64) -> Option<u32> {
        let mut sessions = self
            .worker
            .connections
            .iter()
            .map(|connection| &connection.session);
        sessions
            .find(|session| session.id == id)
            .map(|session| session.slot)
    }

    fn tracked(&mut self) {
        self.worker.follow_events();
    }

    fn posted(&mut self) {
        self.worker.turn.request();
    }

    #[inline]
    fn is_used_up(&self) -> bool {
        self.worker.allowance.is_used_up()
    }

    fn wait_for_turn(&mut self, slot: u32, is_served: bool) {
        self.worker.wait_for_allowance(slot, is_served);
    }

    fn local(&mut self, session: &mut Session, call: Call<'_>, out: &mut Vec<u8>) -> Flow {
        let mut node = WorkerView {
            worker: self.worker,
            now: self.now,
        };
        Local::answer((session, self.io.socket()), &mut node, call, out)
    }
}

impl Telemetry for WorkerHost<'_> {
    #[inline]
    fn begin(&self, spec: &Spec, argument_count: usize) -> u64 {
        self.worker
            .batch
            .start(spec, argument_count, self.worker.slowlog.threshold_us)
    }

    #[inline]
    fn end(&mut self, session: &Session, call: Call<'_>, began_ns: u64) {
        let took_ns = self.worker.batch.stop(call.spec, began_ns);
        if took_ns > 0 {
            self.worker.allowance.charge(took_ns);
            self.worker.note_slow(took_ns, (session, self.io), call);
        }
    }

    fn clock_ns(&self) -> u64 {
        boottime_ns()
    }

    fn charge(&mut self, took_ns: u64) {
        self.worker.allowance.charge(took_ns);
    }

    fn denied(&mut self, session: &Session, call: Call<'_>, denied: Denied) {
        let client = Client {
            session,
            socket: self.io.socket(),
        };
        let denial = Denial {
            reason: denied.into(),
            object: match denied {
                Denied::Command => call.spec.name.as_bytes(),
                Denied::Key(position) | Denied::Channel(position) => call.request.get(position),
            },
            user: None,
            argument_bytes: call.request.total_bytes(),
        };
        let Worker { guard, shared, .. } = &mut *self.worker;
        note_denial(guard, &shared.metrics, client, (denial, self.now));
    }

    fn monitored(&mut self, session: &Session, call: Call<'_>) {
        self.worker.show(session, self.io, call);
    }

    fn changes_users(&mut self, session: &Session, call: Call<'_>) {
        let client = Client {
            session,
            socket: self.io.socket(),
        };
        let wall_us = self.worker.clock.wall_us();
        audit_users(&mut self.worker.guard.audit, client, call, wall_us);
    }

    fn rejected(&mut self, spec: &Spec) {
        self.worker.shared.metrics.commands[spec.id.index()]
            .rejected
            .add(1);
    }

    fn failed(&mut self, spec: &Spec) {
        self.worker.shared.metrics.commands[spec.id.index()].failed.add(1);
        self.worker.batch.count(spec);
    }

    fn error(&mut self, reply: &[u8]) {
        self.worker.count_error(reply);
    }

    #[inline]
    fn replied(&mut self, id: CommandId, reply: &[u8]) {
        self.worker.count_reply(id, reply);
    }

    #[inline]
    fn submitted(&mut self, ticket: Ticket, session: &Session, call: Call<'_>) {
        self.worker.track(ticket, (session, self.io), call);
    }

    fn block_submitted(&mut self, ticket: Ticket, session: &Session, items: Vec<u16>) {
        self.worker.track_block(ticket, (session, self.io), items);
    }

    fn block_words(&self, session: &Session) -> Option<Words> {
        Some(super::statistics::block_words((session, self.io)))
    }

    #[inline]
    fn answered(&mut self, id: u16, tracked: Option<Tracked>, reply: &[u8]) {
        self.worker.count_answer(id, tracked, reply);
    }

    fn items_executed(&mut self, tracked: &Tracked) {
        self.worker.count_items(tracked);
    }

    fn item_failed(&mut self, tracked: &Tracked, index: usize, error: &[u8]) {
        self.worker.count_failure(&tracked.items, index, error);
    }

    fn item_replied(&mut self, id: CommandId, reply: &[u8], took_ns: u64) {
        self.worker.count_reply(id, reply);
        self.worker.batch.count_timed(id.number(), took_ns);
        self.worker.batch.exclude(took_ns);
    }

    fn block_replied(&mut self, words: Option<Words>, reply: &[u8], took_ns: u64) {
        self.worker.count_reply(CommandId::Exec, reply);
        self.worker.batch.count_timed(CommandId::Exec.number(), took_ns);
        if let Some(words) = words {
            self.worker.note_words(took_ns / 1000, words);
        }
    }

    fn broken(&mut self, _session: &Session, error: &ProtocolError) {
        self.worker.shared.metrics.protocol_errors.add(1);
        let spoken = match error {
            ProtocolError::CrossProtocol => "HTTP",
            ProtocolError::Tls => "TLS, which --tls-listen is for, on a port of plain text",
            _ => return,
        };
        if self.worker.foreign.admits() {
            tracing::warn!(client = %self.io.endpoints.peer(), "a client speaks {spoken}: disconnected");
        }
    }
}
