//! Client sessions: what a request means to its connection before, or instead of, going to the core.
//!
//! [`execute`] takes one decoded request. Data commands are typed by the core's parser and given to the
//! replica; everything else (handshake, CLIENT, CONFIG, INFO, MULTI, …) is answered here. It knows no
//! socket: replies go into the connection's queue, and tests drive it without one.
//!
//! Invariants: each request gets one reply, or none where the client asked for none; a request that must
//! wait ([`Flow::Wait`], [`Flow::Pause`]) has changed nothing and is given in again, whole.

mod block;
mod client;
mod data;
mod endpoints;
mod errors;
mod handshake;
mod info;
pub mod order;
mod parameters;
pub mod replies;
mod server;
mod slowlog;
mod transaction;
pub mod window;

use repligo_core::contract::ReadLevel;
use repligo_core::limits::REPLY_BUFFER_KEPT_BYTES_MAX;
use repligo_core::time::Now;
use repligo_proto::command::{CommandId, Spec, Unresolved, flag};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use crate::net::connection::Connection;
use crate::node::worker::Worker;
use crate::session::window::Resolved;

pub use block::run_block;
pub use data::{finish, finish_long};
pub use endpoints::Endpoints;
pub use errors::ErrorStats;
pub use handshake::decoder;
pub use parameters::Parameters;
pub use slowlog::{Slow, Slowlog, kept_arguments};
pub use transaction::Multi;

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
    /// Send what is due, then close.
    Close,
}

impl Flow {
    /// The request was not executed and will be given in again.
    fn is_later(self) -> bool {
        matches!(self, Self::Wait | Self::Pause)
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

/// Protocol state of one connection.
#[derive(Debug, Default)]
pub struct Session {
    /// Number of the client, unique since start.
    pub id: u64,
    /// Name it gave itself.
    pub name: Box<[u8]>,
    /// Library name, from `CLIENT SETINFO`.
    pub library_name: Box<[u8]>,
    /// Library version, from `CLIENT SETINFO`.
    pub library_version: Box<[u8]>,
    /// Where the client is, and where it connected to.
    pub endpoints: Endpoints,
    /// Clock when it connected, microseconds.
    pub connected_us: u64,
    /// Clock when it last sent something, microseconds.
    pub active_us: u64,
    /// Selected database.
    pub database: u8,
    /// RESP3 was agreed.
    pub resp3: bool,
    /// No password is needed, or it was given.
    pub authenticated: bool,
    /// `READONLY` was said: reads may be answered by this node whatever its role.
    pub readonly: bool,
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
}

impl Session {
    /// A session in its first state, open to everybody.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            authenticated: true,
            ..Self::default()
        }
    }

    /// Memory of its names.
    pub fn names_bytes(&self) -> usize {
        self.name.len() + self.library_name.len() + self.library_version.len()
    }

    /// The client's address as text.
    pub fn address(&self) -> String {
        self.endpoints.peer()
    }

    /// Level of this session's reads.
    #[inline]
    pub fn read_level(&self) -> ReadLevel {
        if self.readonly {
            ReadLevel::Eventual
        } else {
            ReadLevel::Linearizable
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
    fn is_queueing(&self) -> bool {
        self.multi.as_ref().is_some_and(|multi| multi.is_open())
    }
}

/// A request that is answered here.
pub(crate) struct Local<'a> {
    pub connection: &'a mut Connection,
    pub worker: &'a mut Worker,
    pub now: Now,
    pub spec: &'static Spec,
}

impl Local<'_> {
    fn session(&mut self) -> &mut Session {
        &mut self.connection.session
    }

    fn reply<'b>(&self, out: &'b mut Vec<u8>) -> ReplyWriter<'b> {
        ReplyWriter::new(out, self.connection.session.resp3)
    }
}

/// Executes one request.
#[inline]
pub fn execute(connection: &mut Connection, worker: &mut Worker, now: Now, resolved: Resolved<'_>) -> Flow {
    let request = resolved.request;
    let session = &mut connection.session;
    let silence_before = session.silence;
    session.silence.skipping = std::mem::take(&mut session.silence.skip_next);
    let spec = match resolved.spec {
        Ok(spec) => spec,
        Err(reason) => {
            let mut text = words::unresolved(reason, request);
            if request.get(0).eq_ignore_ascii_case(b"EXEC") {
                // A refused EXEC ends its transaction, as in Redis.
                session.multi = None;
                text = words::exec_abort_because(&text);
            }
            // As in Redis a wrong number of arguments is counted with the command.
            let spec = match reason {
                Unresolved::Arity(spec) => Some(spec),
                Unresolved::Command | Unresolved::Subcommand(_) => None,
            };
            return reject(connection, worker, spec, &text);
        }
    };
    session.last_command = Some(spec.id);
    if !session.authenticated && !spec.has(flag::NO_AUTH) {
        let mut text = words::NO_AUTH.as_bytes().to_vec();
        if spec.id == CommandId::Exec {
            text = words::exec_abort_because(&text);
        }
        return reject(connection, worker, Some(spec), &text);
    }
    let flow = if session.multi.is_some() && session.is_queueing() && !transaction::runs_inside(spec.id) {
        transaction::queue(connection, worker, spec, request)
    } else if spec.flags & (flag::WRITE | flag::READONLY) != 0 {
        data::execute(connection, worker, now, spec, request)
    } else {
        execute_local(connection, worker, now, spec, request)
    };
    if flow.is_later() {
        connection.session.silence = silence_before;
    }
    flow
}

/// Arguments of a command that is answered here in one go; those with keys go to the core, in slices.
const LOCAL_ARGUMENTS_MAX: usize = 1024;

fn is_too_long(spec: &Spec, request: ArgSlice<'_>) -> bool {
    use CommandId as Id;
    let names_keys = matches!(
        spec.id,
        Id::Watch | Id::CommandGetKeys | Id::CommandGetKeysAndFlags
    );
    request.len() > LOCAL_ARGUMENTS_MAX && !names_keys
}

fn execute_local(
    connection: &mut Connection,
    worker: &mut Worker,
    now: Now,
    spec: &'static Spec,
    request: ArgSlice<'_>,
) -> Flow {
    if is_too_long(spec, request) {
        let text = words::too_many_arguments(spec.name, LOCAL_ARGUMENTS_MAX);
        return reject(connection, worker, Some(spec), text.as_bytes());
    }
    let timer = worker
        .batch
        .start(spec, request.len(), worker.slowlog.threshold_us);
    let mut out = std::mem::take(&mut worker.local_reply);
    out.clear();
    let mut local = Local {
        connection,
        worker,
        now,
        spec,
    };
    let flow = dispatch(&mut local, request, &mut out);
    if !flow.is_later() {
        worker.count_reply(spec.id, &out);
        if !connection.session.is_silent() {
            connection.replies.push(&out, &mut worker.pool);
        }
        if flow != Flow::Given {
            let took = worker.batch.stop(spec, timer);
            worker.allowance.charge(took);
            worker.note_slow(took, connection, spec, request);
        }
    }
    keep_buffer(worker, out);
    flow
}

/// Answers a command that is not the core's; appends its reply.
fn dispatch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    use CommandId as Id;
    match local.spec.id {
        Id::Ping | Id::Echo => handshake::ping(local, request, out),
        Id::Hello => handshake::hello(local, request, out),
        Id::Auth => handshake::auth(local, request, out),
        Id::Select => handshake::select(local, request, out),
        Id::ReadOnly | Id::ReadWrite => handshake::read_mode(local, out),
        Id::Reset => handshake::reset(local, out),
        Id::Quit => {
            local.reply(out).ok();
            return Flow::Close;
        }
        Id::Multi => transaction::multi(local, out),
        Id::Discard => transaction::discard(local, out),
        Id::Unwatch => transaction::unwatch(local, out),
        Id::Watch => return transaction::watch(local, request, out),
        Id::Exec => return transaction::exec(local, out),
        Id::ClientList | Id::ClientInfo | Id::ClientId | Id::ClientGetName | Id::ClientSetName => {
            client::describe(local, request, out)
        }
        Id::ClientSetInfo | Id::ClientReply | Id::ClientNoEvict | Id::ClientNoTouch => {
            client::change(local, request, out)
        }
        Id::ClientKill => return client::kill(local, request, out),
        Id::ConfigGet => parameters::get(local, request, out),
        Id::ConfigSet => parameters::set(local, request, out),
        Id::Info => info::info(local, request, out),
        _ => server::dispatch(local, request, out),
    }
    Flow::Done
}

/// Answers with an error a request that is not executed; spoils an open MULTI.
fn reject(
    connection: &mut Connection,
    worker: &mut Worker,
    spec: Option<&'static Spec>,
    text: &[u8],
) -> Flow {
    if let Some(spec) = spec {
        worker.shared.metrics.commands[spec.id.index()].rejected.add(1);
    }
    if let Some(multi) = &mut connection.session.multi {
        multi.spoil();
    }
    reply_error(connection, worker, text);
    Flow::Done
}

/// Keeps the buffer for the next reply, unless a long one made it so large that it would be missed elsewhere.
#[inline]
fn keep_buffer(worker: &mut Worker, buffer: Vec<u8>) {
    if buffer.capacity() <= REPLY_BUFFER_KEPT_BYTES_MAX {
        worker.local_reply = buffer;
    }
}

/// Renders an error reply, counted by its code word.
pub fn reply_error(connection: &mut Connection, worker: &mut Worker, text: &[u8]) {
    let mut out = std::mem::take(&mut worker.local_reply);
    out.clear();
    ReplyWriter::new(&mut out, connection.session.resp3).error_bytes(text);
    worker.count_error(&out);
    if !connection.session.is_silent() {
        connection.replies.push(&out, &mut worker.pool);
    }
    keep_buffer(worker, out);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
