//! Executing one request: what is refused, queued in a block, given to the core, or answered here.

use repligo_core::command::parse_i64;
use repligo_core::contract::ReadLevel;
use repligo_core::limits::DATABASES;
use repligo_proto::command::{CommandId, Spec, Unresolved, flag};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use crate::window::Resolved;
use crate::{
    Flow, Host, Session, blocking, consistency, data, long, pubsub, scrutiny, token, tracking, transaction,
    users,
};

/// A request with its row in the command table.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The row.
    pub spec: &'static Spec,
    /// The words, the command's name included.
    pub request: ArgSlice<'a>,
}

/// Executes one request. A `LONG` one may take several turns.
#[inline]
pub(crate) fn execute<const LONG: bool>(
    session: &mut Session,
    host: &mut impl Host,
    resolved: Resolved<'_>,
) -> Flow {
    let request = resolved.request;
    let silence_before = session.silence;
    session.silence.skipping = std::mem::take(&mut session.silence.skip_next);
    let spec = match resolved.spec {
        Ok(spec) => spec,
        Err(reason) => return unresolved(session, host, reason, request),
    };
    let call = Call { spec, request };
    session.last_command = Some(spec.id);
    let flow = match session.is_direct {
        true => run::<LONG>(session, host, call),
        false => scrutiny::execute::<LONG>(session, host, call),
    };
    if flow.is_later() {
        session.silence = silence_before;
        session.defer_announcement(spec);
    }
    flow
}

/// Executes a request that is let through.
#[inline]
pub(crate) fn run<const LONG: bool>(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    let spec = call.spec;
    if session.multi.is_some() && session.is_queueing() && !transaction::runs_inside(spec.id) {
        transaction::queue(session, host, call)
    } else {
        match spec.flags & (flag::DATA | flag::BLOCKING) {
            flag::WRITE | flag::READONLY | flag::STATE_WRITE | flag::STATE_READ => {
                if LONG {
                    long::execute_long(session, host, call)
                } else {
                    data::execute(session, host, call)
                }
            }
            0 => execute_local(session, host, call),
            _ if !blocking::waits(call) => data::execute(session, host, call),
            _ => blocking::execute(session, host, call),
        }
    }
}

#[cold]
fn unresolved(
    session: &mut Session,
    host: &mut impl Host,
    reason: Unresolved,
    request: ArgSlice<'_>,
) -> Flow {
    session.end_announcement();
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
    reject(session, host, spec, &text)
}

/// Arguments of a command that is answered here in one go; those with keys go to the core, in slices.
const LOCAL_ARGUMENTS_MAX: usize = 1024;

fn is_too_long(call: Call<'_>) -> bool {
    use CommandId as Id;
    let names_keys = matches!(
        call.spec.id,
        Id::Watch | Id::CommandGetKeys | Id::CommandGetKeysAndFlags
    );
    // Who connects again subscribes to everything at once; that has a limit of its own.
    call.request.len() > LOCAL_ARGUMENTS_MAX && !names_keys && !pubsub::confirms(call.spec.id)
}

fn execute_local(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    let spec = call.spec;
    if is_too_long(call) {
        let text = words::too_many_arguments(spec.name, LOCAL_ARGUMENTS_MAX);
        return reject(session, host, Some(spec), text.as_bytes());
    }
    if pubsub::publishes(spec.id) && session.replies.waiting() > 0 {
        // Whoever hears of it must find what the client has written before.
        return Flow::Wait;
    }
    let began_ns = host.begin(spec, call.request.len());
    let mut out = host.pool().take_rendering();
    let flow = dispatch(session, host, call, &mut out);
    if !flow.is_later() {
        host.replied(spec.id, &out);
        if !session.is_silent() || pubsub::confirms(spec.id) {
            session.replies.push(&out, host.pool());
        }
        if flow != Flow::Given {
            host.end(session, call, began_ns);
        }
    }
    host.pool().give_rendering(out);
    flow
}

/// Answers a command that is not the core's; appends its reply.
pub(crate) fn dispatch(
    session: &mut Session,
    host: &mut impl Host,
    call: Call<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    use CommandId as Id;
    match call.spec.id {
        Id::Ping | Id::Echo => ping(session, call, out),
        Id::Select => select(session, call.request, out),
        Id::ReadOnly | Id::ReadWrite => {
            session.ask_for_level(match call.spec.id {
                Id::ReadOnly => ReadLevel::Eventual,
                _ => ReadLevel::Linearizable,
            });
            session.reply(out).ok();
        }
        Id::RepligoSession => return token::execute(session, host, call, out),
        Id::RepligoConsistency => consistency::execute(session, call, out),
        Id::ClientReply => change_silence(session, call.request.get(2), out),
        Id::Quit => {
            session.reply(out).ok();
            return Flow::Close;
        }
        Id::Multi => transaction::multi(session, out),
        Id::Discard => transaction::discard(session, out),
        Id::Unwatch => transaction::unwatch(session, out),
        Id::Watch => return transaction::watch(session, host, call, out),
        Id::Exec => return transaction::exec(session, host, call, out),
        Id::Reset => {
            session.leave(host.subscriptions());
            return host.local(session, call, out);
        }
        id if pubsub::answers(id) => pubsub::execute(session, host, call, out),
        id if tracking::answers(id) => tracking::execute(session, host, call, out),
        id if users::changes_users(id) => return users::change(session, host, call, out),
        _ => return host.local(session, call, out),
    }
    Flow::Done
}

/// PING [message] and ECHO message.
fn ping(session: &Session, call: Call<'_>, out: &mut Vec<u8>) {
    let mut reply = session.reply(out);
    if session.is_restricted() && call.request.len() <= 2 {
        // In the form of a message.
        reply.array(2);
        reply.bulk_str("pong");
        return reply.bulk(call.request.try_get(1).unwrap_or_default());
    }
    match (call.request.try_get(1), call.request.len()) {
        (None, _) => reply.simple("PONG"),
        (Some(message), 2) => reply.bulk(message),
        _ => reply.error(&words::wrong_arity(call.spec.name)),
    }
}

/// SELECT index.
fn select(session: &mut Session, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    match parse_database(request.get(1)) {
        Ok(database) => {
            session.database = database;
            session.reply(out).ok();
        }
        Err(text) => session.reply(out).error(text),
    }
}

/// The database that SELECT names.
///
/// # Errors
/// The error text, if it names none.
pub fn parse_database(text: &[u8]) -> Result<u8, &'static str> {
    match parse_i64(text) {
        None => Err(words::NOT_AN_INTEGER),
        Some(number) if (0..DATABASES as i64).contains(&number) => Ok(number as u8),
        Some(number) if i32::try_from(number).is_err() => Err(words::NOT_A_C_INT),
        Some(_) => Err(words::DATABASE_OUT_OF_RANGE),
    }
}

/// CLIENT REPLY ON, OFF, SKIP.
fn change_silence(session: &mut Session, word: &[u8], out: &mut Vec<u8>) {
    let silence = &mut session.silence;
    if word.eq_ignore_ascii_case(b"ON") {
        silence.off = false;
        silence.skipping = false;
        session.reply(out).ok();
    } else if word.eq_ignore_ascii_case(b"OFF") {
        silence.off = true;
    } else if word.eq_ignore_ascii_case(b"SKIP") {
        silence.skip_next = !silence.off;
    } else {
        session.reply(out).error(words::SYNTAX);
    }
}

/// Answers with an error a request that is not executed; aborts an open MULTI.
pub(crate) fn reject(
    session: &mut Session,
    host: &mut impl Host,
    spec: Option<&'static Spec>,
    text: &[u8],
) -> Flow {
    if let Some(spec) = spec {
        host.rejected(spec);
    }
    if let Some(multi) = &mut session.multi {
        multi.abort();
    }
    reply_error(session, host, text);
    Flow::Done
}

/// Renders an error reply, counted by its code word.
pub fn reply_error(session: &mut Session, host: &mut impl Host, text: &[u8]) {
    let mut out = host.pool().take_rendering();
    session.reply(&mut out).error_bytes(text);
    host.error(&out);
    if !session.is_silent() {
        session.replies.push(&out, host.pool());
    }
    host.pool().give_rendering(out);
}

impl Session {
    /// Renders a reply in the session's protocol.
    #[inline]
    pub fn reply<'a>(&self, out: &'a mut Vec<u8>) -> ReplyWriter<'a> {
        ReplyWriter::new(out, self.resp3)
    }
}
