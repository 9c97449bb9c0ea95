//! A client's connection inside a node: the session that ships, with the simulated process as its host.
//!
//! Clients send bytes of requests and read bytes of replies, as over a socket; nothing here knows what is in
//! them. The host keeps no statistics, has no allowance that could be used up, and answers no command of its own.

use bytes::Bytes;
use repligo_core::acl::{PasswordHash, Users};
use repligo_core::command::Command;
use repligo_core::contract::{Input, Outputs, ReadLevel, Request, Served, Ticket, Token};
use repligo_core::keyspace::{EventClasses, Keyspace};
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_core::token::Standing;
use repligo_proto::command::CommandId;
use repligo_proto::resp::OwnedRequest;
use repligo_proto::words;
use repligo_session::exchange::remote::RemoteEnd;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Subscriptions;
use repligo_session::table::HasSession;
use repligo_session::{Call, Flow, Host, Session, Telemetry};

use super::queue::Micros;
use super::wardens;

/// Longest bulk string of a request.
const BULK_BYTES_MAX: usize = 1 << 20;

/// What a client sends.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One command.
    Command(OwnedRequest),
    /// WATCH of keys, answered with nothing but `+OK`.
    Watch(OwnedRequest),
    /// MULTI, these commands, EXEC.
    Transaction(Vec<OwnedRequest>),
    /// READONLY: reads at level eventual from here on.
    ReadOnly,
}

impl Ask {
    /// Its bytes on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let word = |word: &str| OwnedRequest::new([word]);
        match self {
            Self::Command(request) | Self::Watch(request) => encode(request, out),
            Self::Transaction(requests) => {
                encode(&word("MULTI"), out);
                requests.iter().for_each(|request| encode(request, out));
                encode(&word("EXEC"), out);
            }
            Self::ReadOnly => encode(&word("READONLY"), out),
        }
    }

    /// Replies that come before the one that is its answer.
    pub fn replies_before(&self) -> usize {
        match self {
            Self::Transaction(requests) => 1 + requests.len(),
            Self::Command(_) | Self::Watch(_) | Self::ReadOnly => 0,
        }
    }
}

fn encode(request: &OwnedRequest, out: &mut Vec<u8>) {
    let words: Vec<&[u8]> = request.view().iter().collect();
    out.extend_from_slice(&repligo_proto::resp::request(&words));
}

/// A connection's end of what it shares with an I/O thread.
#[derive(Debug)]
pub struct Remote {
    /// It.
    pub end: RemoteEnd,
    /// The thread.
    pub line: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Client and serial number.
    pub id: (u32, u64),
    /// What its requests mean.
    pub session: Session,
    /// Bytes that were read and not executed.
    pub input: Vec<u8>,
    /// Its socket is on an I/O thread.
    pub remote: Option<Remote>,
    /// Bytes that it has sent.
    pub sent: u64,
    /// When the latest answer reaches the client; the next one comes after it.
    pub last_reply_at: Micros,
}

impl HasSession for Connection {
    fn session(&self) -> &Session {
        &self.session
    }
}

impl Connection {
    /// A fresh connection in a slot whose next sequence number is `first_sequence`.
    pub fn new(id: (u32, u64), slot: u32, first_sequence: u32) -> Self {
        let number = u64::from(id.0) << 32 | id.1;
        let session = Session::new(number, slot, first_sequence, BULK_BYTES_MAX);
        Self {
            id,
            session,
            input: Vec::new(),
            remote: None,
            sent: 0,
            last_reply_at: 0,
        }
    }

    /// Whether bytes that come now are executed at once.
    pub fn is_free(&self) -> bool {
        self.session.takes_input() && self.input.is_empty()
    }

    /// Nothing is unanswered, unsent, or read and not executed.
    pub fn is_quiet(&self) -> bool {
        self.session.is_quiet() && self.input.is_empty()
    }

    /// Takes in what the client sent.
    pub fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Executes what the session admits now.
    pub fn go_on(&mut self, host: &mut ProcessHost<'_>, tools: &mut Tools) {
        // Nothing is ever used up here, so that it ends at once.
        if self.session.is_block_ready() {
            self.session.run_block(host);
        }
        while !self.session.closing && self.session.may_go_on(host) {
            if self.input.is_empty() {
                return;
            }
            let consumed = match self.id.0 % 2 {
                0 => self.session.receive_kept(host, &mut tools.window, &self.input),
                _ => self.session.receive(host, &mut tools.window, &self.input),
            };
            self.input.drain(..consumed);
            if !self.session.is_stalled() {
                // What is left is incomplete.
                return;
            }
        }
    }

    /// Bytes that may be sent now.
    pub fn take_output(&mut self, pool: &mut BufferPool) -> Option<Bytes> {
        let mut bytes = Vec::new();
        while !self.session.replies.sendable().is_empty() {
            let sendable = self.session.replies.sendable();
            let count = sendable.len();
            bytes.extend_from_slice(sendable);
            self.session.replies.consume(count, pool);
        }
        self.sent += bytes.len() as u64;
        (!bytes.is_empty()).then(|| Bytes::from(bytes))
    }
}

/// What all sessions of a process share.
#[derive(Debug, Default)]
pub struct Tools {
    /// Requests decoded ahead.
    pub window: repligo_session::window::Window,
}

/// A process while one of its sessions runs.
pub struct ProcessHost<'a> {
    /// Its replica.
    pub replica: &'a mut Replica,
    /// What came of its steps.
    pub outputs: &'a mut Outputs,
    /// Who subscribes to what.
    pub subscriptions: &'a mut Subscriptions,
    /// Buffers.
    pub pool: &'a mut BufferPool,
    /// Keys with an origin.
    pub origin: &'a OriginMap,
    /// When everything of this turn had been read.
    pub now: Now,
    /// Number of the turn.
    pub turn: u64,
    /// Connections that go on after the next turn.
    pub waiting: &'a mut Vec<u32>,
    /// Requests submitted, which the process has to expect answers to.
    pub submitted: Vec<Ticket>,
}

impl Host for ProcessHost<'_> {
    fn now(&self) -> Now {
        self.now
    }

    fn pool(&mut self) -> &mut BufferPool {
        self.pool
    }

    fn output_bytes_max(&self) -> usize {
        usize::MAX
    }

    fn refusal(&self) -> Option<&str> {
        None
    }

    fn origin(&self) -> &OriginMap {
        self.origin
    }

    fn keyspace(&self) -> Option<&Keyspace> {
        None
    }

    fn users(&self) -> &Users {
        self.replica.users()
    }

    fn hash(&self, password: &[u8]) -> PasswordHash {
        wardens::hash(password)
    }

    fn turn(&self) -> u64 {
        self.turn
    }

    fn refuses_growth(&self) -> bool {
        self.replica.refuses_growth()
    }

    fn admits(&mut self, slot: u32, demand: Demand) -> bool {
        self.replica.admits(slot, demand)
    }

    fn read(&self, command: &Command<'_>, level: ReadLevel, resp3: bool, out: &mut Vec<u8>) -> Served {
        self.replica.read(self.now, command, level, resp3, out)
    }

    fn token(&self) -> Token {
        self.replica.token()
    }

    fn judge(&self, token: &Token) -> Standing {
        self.replica.judge_token(token)
    }

    fn submit(&mut self, request: Request<'_>) {
        self.submitted.push(request.ticket);
        self.replica.step(self.now, Input::Request(request), self.outputs);
        self.replica.invariants();
    }

    fn subscriptions(&mut self) -> &mut Subscriptions {
        self.subscriptions
    }

    fn find(&self, _id: u64) -> Option<u32> {
        None
    }

    fn tracked(&mut self) {
        let tracks = self.subscriptions.tracking().is_used();
        self.replica.observe(EventClasses::default(), tracks);
    }

    fn posted(&mut self) {}

    fn is_used_up(&self) -> bool {
        false
    }

    fn wait_for_turn(&mut self, slot: u32, _is_served: bool) {
        self.waiting.push(slot);
    }

    fn local(&mut self, session: &mut Session, call: Call<'_>, out: &mut Vec<u8>) -> Flow {
        if call.spec.id == CommandId::Hello {
            // What it greets with is the shell's.
            session.speak(true);
            session.reply(out).ok();
            return Flow::Done;
        }
        if call.spec.id == CommandId::Auth {
            let users = self.replica.users();
            let hash = wardens::hash(call.request.get(2));
            let user = users.get(call.request.get(1));
            match user.filter(|user| user.is_enabled() && user.has_password(&hash)) {
                Some(user) => {
                    session.log_in(users, user);
                    session.reply(out).ok();
                }
                None => session.reply(out).error(words::WRONG_PASSWORD),
            }
            return Flow::Done;
        }
        let text = format!("ERR a simulated node does not answer {}", call.spec.name);
        session.reply(out).error(&text);
        Flow::Done
    }
}

impl Telemetry for ProcessHost<'_> {}
