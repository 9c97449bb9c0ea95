//! Requests of this node's clients: how they are taken in, and how they end when nothing else ends them.

use repligo_proto::words;

use super::outbox::{Sealed, Waiter};
use super::reads::WaitingRead;
use super::{Replica, answer, fail};
use crate::command::{Command, LongOp, ROOM_BYTES};
use crate::contract::{Body, Outputs, ReadLevel, Request, Ticket, Token};
use crate::keyspace::Keyspace;
use crate::limits::{self, ENTRY_BYTES_MAX};
use crate::op::Op;
use crate::origin::Route;
use crate::shares::{ConnectionId, Demand, Held, Part};
use crate::time::Now;

/// Room that is kept for the next op; one large value must not hold its size forever.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl Replica {
    pub(super) fn on_request(&mut self, now: Now, request: Request<'_>, outputs: &mut Outputs) {
        self.outbox.set_actor(request.actor);
        // A driver that asks first is not refused for its clients' load; only what waits for an origin has no
        // other bound.
        let is_full = self.reads.len() + self.waits.len() >= limits::READS_WAITING_MAX;
        let mut since = now;
        if self.impeded {
            if let Some(leaderless_us) = self.leaderless_us {
                since.mono_us = hold_begins_us(now, request.demand.stood_us, leaderless_us);
            }
            if let Some(text) = self.impediment(now, since, &request) {
                return answer(outputs, request.ticket, request.resp3, |writer| {
                    writer.error_bytes(&text);
                });
            }
        }
        match self.held().room_for(request.demand) {
            Some(part) if !is_full => {
                let before = self.outbox.held().common;
                self.take_in((now, since), request, part, outputs);
                if part == Part::Reserved {
                    self.outbox.reserve(self.outbox.held().common - before);
                }
            }
            _ => fail(outputs, request.ticket, request.resp3, words::OVERLOADED),
        }
    }

    /// Whether a connection may give its next request in now; if not, it stands in line until
    /// [`Self::call_waiting`] calls it.
    #[inline]
    pub fn admits(&mut self, connection: ConnectionId, demand: Demand) -> bool {
        let held = self.held();
        held.room_for(demand) == Some(Part::Reserved) || self.line.admits(connection, demand, held)
    }

    /// Connections that may give their next requests in again; to be asked after every turn.
    #[inline]
    pub fn call_waiting(&mut self) -> &[ConnectionId] {
        if self.line.is_empty() {
            return &[];
        }
        let held = self.held();
        self.line.call(held)
    }

    /// The connection is gone: it does not wait any more.
    pub fn forget_connection(&mut self, connection: ConnectionId) {
        self.line.forget(connection);
    }

    /// What this node's requests hold.
    #[inline]
    pub fn held(&self) -> Held {
        self.outbox.held() + self.reads.held() + self.slow.held()
    }

    /// What this leader holds of others and has not proposed.
    pub fn forwarded_bytes(&self) -> usize {
        self.inbound.bytes()
    }

    /// Connections that wait for room.
    pub fn waiting_connections(&self) -> usize {
        self.line.len()
    }

    /// Since when nobody leads, as far as this node knows: what a driver holds back then is to be given in with
    /// the time that it has stood, see [`Demand::stood_us`].
    #[inline]
    pub fn leaderless_us(&self) -> Option<u64> {
        self.leaderless_us
    }

    /// Why a request is refused at once, if it is.
    #[cold]
    fn impediment(&self, now: Now, since: Now, request: &Request<'_>) -> Option<Vec<u8>> {
        if self.refuses_writes() && is_logged(&request.body) {
            let text = words::DISK_FULL.as_bytes();
            return Some(match request.body {
                Body::Transaction { .. } => words::exec_abort_because(text),
                _ => text.to_vec(),
            });
        }
        let is_late = self.leaderless_us.is_some() && is_over(now, since);
        (is_late && self.needs_a_leader(now, request)).then(|| match request.body {
            Body::Command(command) if !command.is_write() => {
                let text = self.read_overdue(now, request.level, request.token);
                text.into_owned().into()
            }
            _ => words::NO_LEADER_IN_TIME.into(),
        })
    }

    fn needs_a_leader(&self, now: Now, request: &Request<'_>) -> bool {
        match request.body {
            Body::Command(command) if Keyspace::waits(command) => false,
            Body::Command(command) => {
                command.is_write() || !self.reads_alone(now, request.level, request.token)
            }
            Body::Long(..) | Body::Transaction { .. } | Body::Users(_) => true,
        }
    }

    /// At this level only the middle of an entry and many keys make a read wait.
    fn reads_alone(&self, now: Now, level: ReadLevel, token: Option<&Token>) -> bool {
        let is_fresh = match level {
            ReadLevel::Linearizable => false,
            ReadLevel::Eventual => self.confirmed,
            ReadLevel::Bounded(bound) => self.is_fresh(now, bound),
            ReadLevel::Session(bound) => self.has_seen(now, bound, token),
        };
        is_fresh && self.settings.origin.is_empty()
    }

    /// Takes a read in that is neither answered at once nor rides.
    fn take_read_in(&mut self, now: Now, read: WaitingRead) {
        let token = read.after.as_deref().map(|after| &after.token);
        if self.reads_alone(now, read.level, token) {
            let index = self.applied + u64::from(self.applying.is_some());
            return self.reads.push_ready(index, read);
        }
        match read.level {
            // A question that is on its way says nothing of what its connection has seen since.
            _ if token.is_some() => self.reads.push(read),
            ReadLevel::Bounded(bound) | ReadLevel::Session(Some(bound)) => {
                self.reads.push_bounded(read, bound, now.mono_us);
            }
            ReadLevel::Linearizable | ReadLevel::Eventual | ReadLevel::Session(None) => self.reads.push(read),
        }
    }

    /// Takes a request in whose hold began at `since`.
    fn take_in(&mut self, (now, since): (Now, Now), request: Request<'_>, part: Part, outputs: &mut Outputs) {
        let (ticket, resp3) = (request.ticket, request.resp3);
        match request.body {
            Body::Command(command) if !command.is_write() => {
                if let Route::Refused(text) = self.settings.origin.route(command) {
                    return fail(outputs, ticket, resp3, &text);
                }
                if let Some(text) = self.token_refusal(request.level, request.token) {
                    return fail(outputs, ticket, resp3, &text);
                }
                if !(request.rides
                    && self
                        .outbox
                        .push_read((ticket, resp3), false, |out| command.encode(out)))
                {
                    let mut encoded = Vec::new();
                    command.encode(&mut encoded);
                    let read = WaitingRead {
                        ticket: Some(ticket),
                        resp3,
                        command: encoded,
                        level: request.level,
                        after: self.after_of(&request),
                        since_us: since.mono_us,
                        part,
                        actor: request.actor,
                    };
                    self.take_read_in(now, read);
                }
            }
            Body::Command(command) if command.may_grow() && self.has_no_room_for(grown_bytes(command)) => {
                fail(outputs, ticket, resp3, words::OUT_OF_MEMORY);
            }
            Body::Command(Command::Call(call)) if Keyspace::call_waits(call) => {
                self.block(since, &request, call, outputs);
            }
            Body::Command(command) => {
                if let Command::Call(call) = command
                    && let Err(error) = Keyspace::check_call(call)
                {
                    return answer(outputs, ticket, resp3, |writer| {
                        writer.error_bytes(error.as_bytes())
                    });
                }
                self.submit_write(since, command, (ticket, resp3), outputs);
            }
            Body::Long(command, op) => self.take_long_in(since, &request, (command, op.take()), outputs),
            Body::Transaction { transaction, locals } => {
                if let Some(text) = self.settings.origin.refuse_transaction(transaction) {
                    return fail(outputs, ticket, resp3, &text);
                }
                if transaction.may_grow() && self.refuses_growth() {
                    let text = words::exec_abort_because(words::OUT_OF_MEMORY.as_bytes());
                    return answer(outputs, ticket, resp3, |writer| writer.error_bytes(&text));
                }
                let waiter = Waiter::Write {
                    ticket,
                    resp3,
                    locals: locals.to_vec(),
                };
                self.submit(since, &Op::Transaction(*transaction), waiter, outputs);
            }
            Body::Users(change) => {
                let mut encoded = Vec::new();
                change.encode(&mut encoded);
                let waiter = Waiter::Write {
                    ticket,
                    resp3,
                    locals: Vec::new(),
                };
                self.submit(since, &Op::Users(&encoded), waiter, outputs);
            }
        }
    }

    /// Takes in a write that its session has encoded.
    #[cold]
    fn take_long_in(
        &mut self,
        since: Now,
        request: &Request<'_>,
        (command, op): (&Command<'_>, LongOp),
        outputs: &mut Outputs,
    ) {
        let (ticket, resp3) = (request.ticket, request.resp3);
        if command.may_grow() && self.has_no_room_for(grown_bytes(command)) {
            return fail(outputs, ticket, resp3, words::OUT_OF_MEMORY);
        }
        if let Command::Call(call) = command
            && let Err(error) = Keyspace::check_call(call)
        {
            return answer(outputs, ticket, resp3, |writer| {
                writer.error_bytes(error.as_bytes())
            });
        }
        if !matches!(self.settings.origin.route(command), Route::Plain) {
            return self.submit_write(since, command, (ticket, resp3), outputs);
        }
        let buffer = op.finish();
        if self.may_replicate(buffer.len() - ROOM_BYTES, (ticket, resp3), outputs) {
            let waiter = Waiter::Write {
                ticket,
                resp3,
                locals: Vec::new(),
            };
            self.outbox.push_long(buffer, waiter, since.mono_us);
        }
    }

    pub(super) fn submit(&mut self, since: Now, op: &Op<'_>, waiter: Waiter, outputs: &mut Outputs) {
        self.scratch.truncate(ROOM_BYTES);
        op.encode(&mut self.scratch);
        if self.scratch.capacity() > KEPT_BYTES_MAX {
            return self.submit_long(since, waiter, outputs);
        }
        match waiter {
            Waiter::Write { ticket, resp3, .. }
                if !self.may_replicate(self.scratch.len() - ROOM_BYTES, (ticket, resp3), outputs) => {}
            waiter => {
                let op = &self.scratch[ROOM_BYTES..];
                self.outbox.push_op(op, waiter, since.mono_us);
            }
        }
    }

    /// Submits what is in the scratch buffer; a long op takes the buffer with it.
    #[cold]
    fn submit_long(&mut self, since: Now, waiter: Waiter, outputs: &mut Outputs) {
        let buffer = std::mem::replace(&mut self.scratch, vec![0; ROOM_BYTES]);
        let op = &buffer[ROOM_BYTES..];
        match waiter {
            Waiter::Write { ticket, resp3, .. }
                if !self.may_replicate(op.len(), (ticket, resp3), outputs) => {}
            waiter if op.len() > ENTRY_BYTES_MAX => self.outbox.push_long(buffer, waiter, since.mono_us),
            waiter => self.outbox.push_op(op, waiter, since.mono_us),
        }
    }

    /// Whether an op is small enough for this cluster; if it is not, its client is told, and nothing is
    /// proposed: a message that is too large for the links would cost the leader, again after every start.
    pub(super) fn may_replicate(
        &self,
        op_bytes: usize,
        (ticket, resp3): (Ticket, bool),
        outputs: &mut Outputs,
    ) -> bool {
        let fits = self.membership.is_alone() || op_bytes <= limits::REPLICATED_OP_BYTES_MAX;
        if !fits {
            let text = words::too_large_to_replicate(op_bytes, limits::REPLICATED_OP_BYTES_MAX);
            fail(outputs, ticket, resp3, &text);
        }
        fits
    }

    /// Answers what has waited for too long, with the outcome that is known.
    pub(super) fn give_up_overdue(&mut self, now: Now, outputs: &mut Outputs) {
        let since_us = now.mono_us.saturating_sub(limits::FORWARD_HOLD_US);
        if since_us == 0 {
            return;
        }
        self.outbox.seal();
        while let Some(sealed) = self.outbox.take_overdue(since_us) {
            let text = if sealed.maybe_applied() {
                words::UNKNOWN_IN_TIME
            } else {
                words::NO_LEADER_IN_TIME
            };
            self.fail_batch(sealed, text, outputs);
        }
        for read in self.reads.take_overdue(since_us) {
            match read.ticket {
                Some(ticket) => {
                    let token = read.after.as_deref().map(|after| &after.token);
                    let text = self.read_overdue(now, read.level, token);
                    fail(outputs, ticket, read.resp3, &text);
                }
                None => self.confirming = false,
            }
        }
    }

    pub(super) fn fail_batch(&mut self, sealed: Sealed, write_error: &str, outputs: &mut Outputs) {
        for waiter in sealed.waiters {
            match waiter {
                Waiter::Silent => {}
                Waiter::Write { ticket, resp3, .. } => fail(outputs, ticket, resp3, write_error),
                // A read has no effect: whatever became of the ops before it, it was not answered.
                Waiter::Read { ticket, resp3, .. } => {
                    fail(outputs, ticket, resp3, words::NO_LEADER_IN_TIME);
                }
            }
        }
    }
}

/// Whether a request becomes an entry of the log whatever it finds.
fn is_logged(body: &Body<'_>) -> bool {
    match body {
        Body::Command(command) => command.is_write(),
        Body::Long(..) | Body::Transaction { .. } | Body::Users(_) => true,
    }
}

/// When the hold of a request began: when it came to the node, unless there was a leader then.
#[cold]
fn hold_begins_us(now: Now, stood_us: u64, leaderless_us: u64) -> u64 {
    now.mono_us
        .saturating_sub(stood_us)
        .max(leaderless_us)
        .min(now.mono_us)
}

fn is_over(now: Now, since: Now) -> bool {
    now.mono_us - since.mono_us >= limits::FORWARD_HOLD_US
}

/// How much memory a command can add, about; for one that does not fit at all.
fn grown_bytes(command: &Command<'_>) -> usize {
    match *command {
        Command::Set { value, .. } | Command::Append { value, .. } => value.len(),
        Command::SetRange { offset, value, .. } => {
            value.len() + usize::try_from(offset).unwrap_or(usize::MAX / 2)
        }
        Command::MSet { pairs, .. } | Command::MSetNx { pairs, .. } => {
            pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
        }
        Command::Call(call) => call.arguments.total_bytes(),
        _ => 0,
    }
}
