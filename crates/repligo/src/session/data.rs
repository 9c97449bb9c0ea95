//! Data commands: typed, then read from the replica at once or given in as a request.
//!
//! This is the hot path. A read that the level allows costs one parse and one look into the table, and
//! its reply is rendered into the connection's send buffer. Everything else opens a slot in the reply
//! queue and leaves with the worker's next turn.

use repligo_core::command::{self, Command};
use repligo_core::contract::{Body, Input, LongReply, ReadLevel, Request, Served, Ticket};
use repligo_core::time::Now;
use repligo_proto::command::Spec;
use repligo_proto::resp::ArgSlice;

use super::{Flow, Session, block, transaction};
use crate::net::connection::Connection;
use crate::node::worker::Worker;
use crate::session::order::Kind;
use crate::session::replies::Shape;
use crate::telemetry::tracked::Tracked;

/// Requests of one connection behind which no further read rides: their replies are rendered together, when
/// the writes before them are applied, and only then seen by the output limit. A read that waits instead is
/// answered at once afterwards, under back-pressure.
const RIDDEN_MAX: usize = 128;

/// Executes one data command outside of MULTI.
pub(super) fn execute(
    connection: &mut Connection,
    worker: &mut Worker,
    now: Now,
    spec: &'static Spec,
    request: ArgSlice<'_>,
) -> Flow {
    let command = match command::parse(spec, connection.session.database, request) {
        Ok(command) => command,
        Err(error) => {
            super::reply_error(connection, worker, error.as_bytes());
            worker.shared.metrics.commands[spec.id.index()].failed.add(1);
            worker.batch.count(spec);
            return Flow::Done;
        }
    };
    if let Some(text) = refused_name(worker, spec, &command) {
        super::reply_error(connection, worker, text.as_bytes());
        worker.shared.metrics.commands[spec.id.index()].failed.add(1);
        worker.batch.count(spec);
        return Flow::Done;
    }
    if let Some(refusal) = worker.refusal() {
        let refusal = refusal.to_owned();
        super::reply_error(connection, worker, refusal.as_bytes());
        worker.shared.metrics.commands[spec.id.index()].rejected.add(1);
        return Flow::Done;
    }
    if !command.is_write() {
        return read(connection, worker, now, (spec, request), &command);
    }
    let kind = worker.kind(&Body::Command(&command));
    if connection
        .unanswered()
        .admits(kind, worker.turn.number())
        .is_none()
    {
        return Flow::Wait;
    }
    if !admits(connection, worker, connection.request_bytes) {
        return Flow::Pause;
    }
    let shape = shape(&connection.session);
    let ticket = give_in(connection, worker, now, (spec, shape), Body::Command(&command));
    worker.track(ticket, connection, (spec, request));
    Flow::Done
}

/// Why the command cannot go to an origin, if the core would name it otherwise than the client did.
fn refused_name(worker: &Worker, spec: &Spec, command: &Command<'_>) -> Option<String> {
    let origin = &worker.facts.origin;
    if origin.is_empty() || spec.name == command.name() {
        return None;
    }
    origin.refuse(command, &spec.name.replace('|', " "))
}

fn shape(session: &Session) -> Shape {
    if session.is_silent() {
        Shape::Silent
    } else {
        Shape::Plain
    }
}

fn read(
    connection: &mut Connection,
    worker: &mut Worker,
    now: Now,
    (spec, request): (&'static Spec, ArgSlice<'_>),
    command: &Command<'_>,
) -> Flow {
    if connection.replies.waiting() > 0 {
        let kind = worker.kind(&Body::Command(command));
        let admitted = connection.unanswered().admits(kind, worker.turn.number());
        if admitted.is_none() || connection.replies.waiting() >= RIDDEN_MAX {
            return Flow::Wait;
        }
        if !admits(connection, worker, connection.request_bytes) {
            return Flow::Pause;
        }
        let shape = shape(&connection.session);
        let ticket = give_in(connection, worker, now, (spec, shape), Body::Command(command));
        worker.track(ticket, connection, (spec, request));
        return Flow::Done;
    }
    let timer = worker
        .batch
        .start(spec, request.len(), worker.slowlog.threshold_us);
    let (level, resp3) = (connection.session.read_level(), connection.session.resp3);
    let silent = connection.session.is_silent();
    let out = connection.replies.direct(&mut worker.pool);
    let start = out.len();
    match worker.read(now, command, level, resp3, out) {
        Served::Done => {
            if out[start] == b'-' {
                let text = out[start..].to_vec();
                worker.count_reply(spec.id, &text);
            }
            if silent {
                out.truncate(start);
            }
            let took = worker.batch.stop(spec, timer);
            if took > 0 {
                worker.allowance.charge(took);
                worker.note_slow(took, connection, spec, request);
            }
        }
        Served::NotYet => {
            if !admits(connection, worker, connection.request_bytes) {
                return Flow::Pause;
            }
            let shape = shape(&connection.session);
            let ticket = give_in(connection, worker, now, (spec, shape), Body::Command(command));
            worker.track(ticket, connection, (spec, request));
        }
    }
    Flow::Done
}

/// Whether the node's queue has room for a request of so many bytes. If not, the connection stands in line,
/// and the caller must answer [`Flow::Pause`].
#[inline]
pub(super) fn admits(connection: &mut Connection, worker: &mut Worker, bytes: usize) -> bool {
    let demand = connection.asks_for(bytes);
    worker.admits(connection.slot, demand)
}

/// Gives a request that was admitted to the replica; its reply comes with a turn, under the ticket that is
/// returned.
pub(super) fn give_in(
    connection: &mut Connection,
    worker: &mut Worker,
    now: Now,
    (spec, shape): (&'static Spec, Shape),
    body: Body<'_>,
) -> Ticket {
    let turn = worker.turn.number();
    let kind = match shape {
        Shape::Watch => Kind::LoneRead,
        _ => worker.kind(&body),
    };
    let mut unanswered = connection.unanswered();
    let rides = unanswered
        .admits(kind, turn)
        .expect("callers wait until the request is admitted");
    unanswered.given(kind, turn);
    connection.unanswered = unanswered;
    // A WATCH on an old version would let a change pass unseen.
    let level = match shape {
        Shape::Watch => ReadLevel::Linearizable,
        _ => connection.session.read_level(),
    };
    let demand = connection.demand;
    let sequence = connection.replies.expect(shape, spec.id.number(), demand.bytes);
    let ticket = u64::from(connection.slot) << 32 | u64::from(sequence);
    let request = Request {
        ticket,
        resp3: connection.session.resp3,
        rides,
        level,
        demand,
        body,
    };
    worker.step(now, Input::Request(request));
    ticket
}

/// Takes an answer of the core that may be long.
pub fn finish_long(
    connection: &mut Connection,
    worker: &mut Worker,
    tracked: Option<Tracked>,
    reply: LongReply,
) {
    let LongReply {
        ticket,
        pieces,
        failures,
    } = reply;
    let sequence = ticket as u32;
    let Some(waiting) = connection.replies.take_waiting(sequence) else {
        return;
    };
    if let Some(tracked) = &tracked {
        worker.count_items(tracked);
        for (index, error) in &failures {
            worker.count_failure(&tracked.items, *index as usize, error);
        }
    }
    if matches!(waiting.shape, Shape::Transaction) {
        return block::finish_exec(connection, worker, (sequence, tracked), pieces.join());
    }
    worker.count_answer(waiting.command, tracked, pieces.iter().next().unwrap_or_default());
    match waiting.shape {
        Shape::Plain => connection.replies.answer_long(sequence, pieces, &mut worker.pool),
        Shape::Silent => connection.replies.answer(sequence, b"", &mut worker.pool),
        Shape::Watch | Shape::Transaction => {
            transaction::finish_watch(connection, worker, sequence, &pieces.join());
        }
    }
}

/// Takes the core's answer to a request of this connection.
pub fn finish(
    connection: &mut Connection,
    worker: &mut Worker,
    (sequence, tracked): (u32, Option<Tracked>),
    reply: &[u8],
) {
    let Some(waiting) = connection.replies.take_waiting(sequence) else {
        return;
    };
    if let Some(tracked) = &tracked
        && !tracked.items.is_empty()
    {
        block::count_executed(worker, tracked, reply);
    }
    if matches!(waiting.shape, Shape::Transaction) {
        return block::finish_exec(connection, worker, (sequence, tracked), reply.to_vec());
    }
    worker.count_answer(waiting.command, tracked, reply);
    match waiting.shape {
        Shape::Plain => connection.replies.answer(sequence, reply, &mut worker.pool),
        Shape::Silent => connection.replies.answer(sequence, b"", &mut worker.pool),
        Shape::Watch | Shape::Transaction => {
            transaction::finish_watch(connection, worker, sequence, reply);
        }
    }
}
