//! Data commands: typed, then read from the replica at once or submitted as a request.
//!
//! This is the hot path. A read that the level allows costs one parse and one look into the table, and
//! its reply is rendered into the connection's send buffer. Everything else opens a slot in the reply
//! queue and leaves with the host's next turn.

use repligo_core::command::{self, Command};
use repligo_core::contract::{Body, LongReply, ReadLevel, Request, Served, Ticket};
use repligo_core::origin::OriginMap;
use repligo_proto::command::Spec;

#[cfg(feature = "bugs")]
use crate::bugs::Bug;
use crate::execute::reply_error;
use crate::order::Kind;
#[cfg(feature = "bugs")]
use crate::order::Unanswered;
use crate::replies::Shape;
use crate::tracked::Tracked;
use crate::{Call, Flow, Host, Session, block, transaction};

/// Requests of one connection behind which no further read rides: their replies are rendered together, when
/// the writes before them are applied, and only then seen by the output limit. A read that waits instead is
/// answered at once afterwards, under back-pressure.
const RIDDEN_MAX: usize = 128;

/// Executes one data command outside of MULTI.
#[inline]
pub(crate) fn execute(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    let command = match command::parse(call.spec, session.database, call.request) {
        Ok(command) => command,
        Err(error) => {
            reply_error(session, host, error.as_bytes());
            host.failed(call.spec);
            return Flow::Done;
        }
    };
    if let Some(text) = refused_name(host.origin(), call.spec, &command) {
        reply_error(session, host, text.as_bytes());
        host.failed(call.spec);
        return Flow::Done;
    }
    if let Some(refusal) = host.refusal() {
        let refusal = refusal.to_owned();
        reply_error(session, host, refusal.as_bytes());
        host.rejected(call.spec);
        return Flow::Done;
    }
    if !command.is_write() {
        return read(session, host, call, &command);
    }
    let kind = Kind::of_command(&command, host.origin());
    if session.unanswered().admits(kind, host.turn()).is_none() {
        return Flow::Wait;
    }
    submit_command(session, host, call, &command)
}

/// Why the command cannot go to an origin, if the core would name it otherwise than the client did.
#[inline]
pub(crate) fn refused_name(origin: &OriginMap, spec: &Spec, command: &Command<'_>) -> Option<String> {
    if origin.is_empty() || spec.name == command.name() {
        return None;
    }
    origin.refuse(command, &spec.name.replace('|', " "))
}

/// Submits a command that may come now, if the queue has room for it.
#[inline]
fn submit_command(
    session: &mut Session,
    host: &mut impl Host,
    call: Call<'_>,
    command: &Command<'_>,
) -> Flow {
    if !admits(session, host, session.request_bytes) {
        return Flow::Pause;
    }
    submit_body(session, host, call, Body::Command(command));
    Flow::Done
}

/// Submits a command that was admitted.
#[inline]
pub(crate) fn submit_body(session: &mut Session, host: &mut impl Host, call: Call<'_>, body: Body<'_>) {
    let shape = if session.is_silent() {
        Shape::Silent
    } else {
        Shape::Plain
    };
    let ticket = submit(session, host, Slot::of(call, shape), body);
    host.submitted(ticket, session, call);
}

#[inline]
fn read(session: &mut Session, host: &mut impl Host, call: Call<'_>, command: &Command<'_>) -> Flow {
    if session.reads_behind_token() && !may_read(session, host) {
        return read_behind_token(session, host, call, command);
    }
    if session.replies.waiting() > 0 {
        #[cfg(feature = "bugs")]
        if overtakes(session, host, command) {
            return Flow::Done;
        }
        let kind = Kind::of_command(command, host.origin()).at(session.read_level());
        if admitted(session, kind, host.turn()).is_none() || session.replies.waiting() >= RIDDEN_MAX {
            return Flow::Wait;
        }
        return submit_command(session, host, call, command);
    }
    let began_ns = host.begin(call.spec, call.request.len());
    let (level, resp3) = (session.read_level(), session.resp3);
    let silent = session.is_silent();
    let out = session.replies.direct(host.pool());
    let start = out.len();
    match host.read(command, level, resp3, out) {
        Served::Done => {
            if out[start] == b'-' {
                host.replied(call.spec.id, &out[start..]);
            }
            if silent {
                out.truncate(start);
            }
            host.end(session, call, began_ns);
            Flow::Done
        }
        Served::NotYet => submit_command(session, host, call, command),
    }
}

/// Whether the token of a connection asks for no more than its node has.
#[cold]
fn may_read(session: &mut Session, host: &impl Host) -> bool {
    #[cfg(feature = "bugs")]
    if session.has(Bug::TokenForgottenOnRead) {
        session.token = None;
    }
    session.has_passed_token(host)
}

/// A read that waits for what its connection has brought along. It does not ride, since nobody would look at its token.
#[cold]
fn read_behind_token(
    session: &mut Session,
    host: &mut impl Host,
    call: Call<'_>,
    command: &Command<'_>,
) -> Flow {
    let admitted = session.unanswered().admits(Kind::LoneWeakRead, host.turn());
    if admitted.is_none() || session.replies.waiting() >= RIDDEN_MAX {
        return Flow::Wait;
    }
    submit_command(session, host, call, command)
}

/// Whether a request may come now, and if so, whether it rides.
#[inline]
fn admitted(session: &Session, kind: Kind, turn: u64) -> Option<bool> {
    let unanswered = session.unanswered();
    #[cfg(feature = "bugs")]
    if session.has(Bug::RideBehindEarlierTurn)
        && kind == Kind::Read
        && matches!(unanswered, Unanswered::Writes { origin: false, .. })
    {
        return Some(true);
    }
    unanswered.admits(kind, turn)
}

/// A planted bug: the read does not wait for the connection's own writes.
#[cfg(feature = "bugs")]
fn overtakes(session: &mut Session, host: &mut impl Host, command: &Command<'_>) -> bool {
    let mut out = Vec::new();
    let overtaken = session.has(Bug::ReadOvertakesWrite)
        && host.read(command, session.read_level(), session.resp3, &mut out) == Served::Done;
    if overtaken {
        session.replies.push(&out, host.pool());
    }
    overtaken
}

/// Whether the node's queue has room for a request of so many bytes. If not, the connection stands in line,
/// and the caller must answer [`Flow::Pause`].
#[inline]
pub(crate) fn admits(session: &mut Session, host: &mut impl Host, bytes: usize) -> bool {
    let demand = session.asks_for(bytes);
    host.admits(session.slot, demand)
}

/// The slot that a request opens in the reply queue.
pub(crate) struct Slot {
    command: u16,
    shape: Shape,
}

impl Slot {
    /// For the answer to this request.
    #[inline]
    pub(crate) fn of(call: Call<'_>, shape: Shape) -> Self {
        Self {
            command: call.spec.id.number(),
            shape,
        }
    }
}

/// Gives a request that was admitted to the replica; its reply comes with a turn, under the ticket that is
/// returned.
#[inline]
pub(crate) fn submit(session: &mut Session, host: &mut impl Host, slot: Slot, body: Body<'_>) -> Ticket {
    let turn = host.turn();
    // A WATCH on an old version would let a change pass unseen.
    let (kind, level) = match slot.shape {
        Shape::Watch => (Kind::LoneRead, ReadLevel::Linearizable),
        _ => {
            let level = session.read_level();
            (Kind::of(&body, host.origin()).at(level), level)
        }
    };
    let mut unanswered = session.unanswered();
    let rides = admitted(session, kind, turn).expect("callers wait until the request is admitted");
    unanswered.given(kind, turn);
    session.unanswered = unanswered;
    let demand = session.demand;
    let sequence = session.replies.expect(slot.shape, slot.command, demand.bytes);
    let ticket = u64::from(session.slot) << 32 | u64::from(sequence);
    #[cfg(feature = "bugs")]
    if let (true, Body::Command(command)) = (session.has(Bug::InvalidationBeforeApply), &body) {
        host.subscriptions().tracking_mut().tell_early(ticket, command);
    }
    host.submit(Request {
        ticket,
        resp3: session.resp3,
        rides,
        level,
        token: session.token.as_deref(),
        actor: session.actor(),
        demand,
        body,
    });
    ticket
}

impl Session {
    /// Takes the core's answer to the request with this sequence number, the low half of its ticket.
    pub fn finish(
        &mut self,
        host: &mut impl Host,
        sequence: u32,
        (tracked, reply): (Option<Tracked>, &[u8]),
    ) {
        let Some(waiting) = self.replies.take_waiting(sequence) else {
            return;
        };
        if let Some(tracked) = &tracked
            && !tracked.items.is_empty()
        {
            block::count_executed(host, tracked, reply);
        }
        if matches!(waiting.shape, Shape::Transaction) {
            return block::finish_exec(self, host, (sequence, tracked), reply.to_vec().into());
        }
        host.answered(waiting.command, tracked, reply);
        match waiting.shape {
            Shape::Plain => self.replies.answer(sequence, reply, host.pool()),
            Shape::Silent => self.replies.answer(sequence, b"", host.pool()),
            Shape::Watch | Shape::Transaction => transaction::finish_watch(self, host, sequence, reply),
        }
    }

    /// As [`Session::finish`], with an answer that may be long and is not copied.
    pub fn finish_long(&mut self, host: &mut impl Host, tracked: Option<Tracked>, reply: LongReply) {
        let LongReply {
            ticket,
            pieces,
            failures,
        } = reply;
        let sequence = ticket as u32;
        let Some(waiting) = self.replies.take_waiting(sequence) else {
            return;
        };
        if let Some(tracked) = &tracked {
            host.items_executed(tracked);
            for (index, error) in &failures {
                host.item_failed(tracked, *index as usize, error);
            }
        }
        if matches!(waiting.shape, Shape::Transaction) {
            return block::finish_exec(self, host, (sequence, tracked), pieces);
        }
        host.answered(waiting.command, tracked, pieces.iter().next().unwrap_or_default());
        match waiting.shape {
            Shape::Plain => self.replies.answer_long(sequence, pieces, host.pool()),
            Shape::Silent => self.replies.answer(sequence, b"", host.pool()),
            Shape::Watch | Shape::Transaction => {
                transaction::finish_watch(self, host, sequence, &pieces.join());
            }
        }
    }
}
