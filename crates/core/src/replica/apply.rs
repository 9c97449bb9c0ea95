//! Apply: committed entries become state, and replies for the clients of this node.
//!
//! Total and deterministic: an op that does not decode (a bug, or a newer version that the feature level
//! should have kept away) changes nothing and answers an error, the same on every replica.
//! A turn applies a bounded number of steps ([`limits::SLICE_STEPS`]); an entry that is longer goes on in
//! the next turn, if need be in the middle of an op.
//!
//! Invariants: `applied` names the last entry that is applied as a whole, and every read but one that rides
//! in the entry waits while one is partly applied; a turn ends an entry where its steps end, so what is
//! visible never depends on them.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::outbox::{Sealed, Waiter};
use super::{Replica, fail};
use crate::acl::Actor;
use crate::bugs::Bug;
use crate::command::Command;
use crate::contract::{LogEntry, LongReply, Outputs, Spent, Ticket};
use crate::entry::{Batch, EntryReader, SYSTEM_NODE, next_op};
use crate::keyspace::{Task, steps_of};
use crate::limits;
use crate::op::Op;
use crate::origin::{OriginOp, Requester};
use crate::pieces::Pieces;
use crate::time::Now;

/// An entry that is partly applied.
#[derive(Debug)]
pub struct Applying {
    entry: LogEntry,
    /// `None` for the no-op of a new term.
    reader: Option<EntryReader>,
    batch: Option<OpenBatch>,
    /// The state's digest before this entry: what `applied` stands for.
    digest_before: Option<u128>,
}

impl Applying {
    /// A command is in its middle.
    pub(super) fn is_in_command(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.running.is_some())
    }

    /// The entry.
    pub(super) fn entry(&self) -> &LogEntry {
        &self.entry
    }

    /// The state's digest before this entry.
    pub fn digest_before(&self) -> u128 {
        self.digest_before
            .expect("it is noted when an entry is left in its middle")
    }
}

/// A batch that is partly applied.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) batch: Batch,
    /// Bytes of `batch.ops` that are done.
    pub(super) at: usize,
    /// Up to where who waits was served behind them.
    pub(super) looked_at: usize,
    position: u64,
    waiters: std::iter::Peekable<std::vec::IntoIter<Waiter>>,
    pub(super) reads: Vec<u8>,
    pub(super) running: Option<Running>,
}

/// An op, or a read that rides, in the middle of its execution.
#[derive(Debug)]
pub(super) struct Running {
    task: Task,
    client: Option<(Ticket, bool)>,
    locals: std::vec::IntoIter<Bytes>,
    reply: Pieces,
}

impl Running {
    /// A task for a client, if there is one here.
    pub(super) fn new(task: Task, client: Option<(Ticket, bool)>) -> Self {
        Self {
            task,
            client,
            locals: Vec::new().into_iter(),
            reply: Pieces::default(),
        }
    }
}

impl Replica {
    /// Applies what is committed and not held back, as far as this turn's steps reach.
    pub(super) fn apply_held(&mut self, now: Now, outputs: &mut Outputs) {
        while self.applying.is_some() || !self.held.is_empty() {
            if self.apply_steps == 0 || self.releases_first() {
                return;
            }
            let mut applying = match self.applying.take() {
                // What has begun ends, whoever leads now: its commit was known before.
                Some(applying) => applying,
                // A read in slices must see one state from its begin to its end.
                None if self.lease.holds() || self.slow.pins_state() => return,
                None => match self.held.pop_front() {
                    Some(entry) => self.begin_entry(now, entry, outputs),
                    None => return,
                },
            };
            self.keyspace.set_present(self.leader_time_ms(now));
            if !self.advance_entry(now, &mut applying, outputs) {
                self.applying = Some(applying);
                return;
            }
            self.finish_entry(now, &applying.entry, outputs);
        }
    }

    /// True while so much memory waits to be given back that apply waits for it.
    fn releases_first(&self) -> bool {
        self.keyspace.is_releasing() && self.keyspace.leaving_bytes() > limits::LEAVING_BYTES_MAX
    }

    fn begin_entry(&mut self, now: Now, entry: LogEntry, outputs: &mut Outputs) -> Applying {
        assert_eq!(entry.index, self.applied + 1, "entries are applied without gap");
        let mut applying = Applying {
            reader: None,
            batch: None,
            digest_before: None,
            entry,
        };
        self.apply_steps -= 1;
        self.slow.entry_begun();
        if applying.entry.data.is_empty() || applying.entry.kind != 0 {
            return applying;
        }
        let reader = EntryReader::new(applying.entry.data.clone())
            .expect("an entry that this version cannot read must not be skipped: replicas would diverge");
        // What is replayed or caught up with was not reclaimed late here.
        let seen_ms = if self.confirmed {
            self.clock.estimate_ms(now)
        } else {
            reader.time_ms
        };
        // A digest by the entry's end, should it be left in its middle, is one without these keys.
        applying.digest_before = Some(self.digest());
        let reclaimed = self.keyspace.set_time_seen_at(reader.time_ms, seen_ms);
        self.apply_steps = self.apply_steps.saturating_sub(reclaimed);
        self.memory.refuses = false;
        self.expire_intents(now, outputs);
        applying.reader = Some(reader);
        applying
    }

    fn advance_entry(&mut self, now: Now, applying: &mut Applying, outputs: &mut Outputs) -> bool {
        let Some(reader) = &mut applying.reader else {
            return true;
        };
        loop {
            if applying.batch.is_none() {
                let next = reader.next_batch();
                let Some(batch) = next.expect("entries were checked when they were built") else {
                    return true;
                };
                applying.batch = self.open_batch(batch, outputs);
            }
            if let Some(batch) = &mut applying.batch
                && !self.advance_batch(now, batch, outputs)
            {
                return false;
            }
            applying.batch = None;
        }
    }

    fn finish_entry(&mut self, now: Now, entry: &LogEntry, outputs: &mut Outputs) {
        if !self.serving.is_empty() {
            self.end_serving();
        }
        self.applied = entry.index;
        // Before consensus hears of it: only then it leaves a joint configuration.
        self.apply_change(now, entry, outputs);
        self.consensus.applied(entry.index);
        self.memory.applied(entry.data.len());
        self.snapshots.applied_bytes += entry.data.len() as u64 + limits::DISK_ENTRY_BYTES;
        if entry.term > self.applied_term {
            assert!(entry.term > 0, "terms start at one");
            self.applied_term = entry.term;
            self.outbox.term_applied(entry.term);
        }
    }

    /// A snapshot replaces the state in the middle of an entry, which it contains.
    pub(super) fn abandon_entry(&mut self, outputs: &mut Outputs) {
        self.serving.clear();
        let Some(batch) = self.applying.take().and_then(|applying| applying.batch) else {
            return;
        };
        let begun = batch.running.and_then(|running| running.client);
        let waiting = batch.waiters.filter_map(|waiter| match waiter {
            Waiter::Silent => None,
            Waiter::Write { ticket, resp3, .. } | Waiter::Read { ticket, resp3, .. } => Some((ticket, resp3)),
        });
        for (ticket, resp3) in begun.into_iter().chain(waiting) {
            fail(outputs, ticket, resp3, words::UNKNOWN_SKIPPED);
        }
    }

    /// The batch with those who wait for it here; `None` for a copy that is to be skipped.
    fn open_batch(&mut self, batch: Batch, outputs: &mut Outputs) -> Option<OpenBatch> {
        let mut sealed = None;
        if batch.node != SYSTEM_NODE {
            if !self.first_copy(&batch) && !self.has(Bug::ForwardWithoutDeduplication) {
                return None;
            }
            let identity = self.settings.identity;
            if (batch.node, batch.incarnation) == (identity.peer, identity.incarnation) {
                let mut never = Vec::new();
                sealed = self.outbox.take_applied(batch.first_sequence, &mut never);
                for lost in never {
                    self.fail_batch(lost, words::OVERTAKEN, outputs);
                }
            }
        }
        let (waiters, reads) = sealed.map_or((Vec::new(), Vec::new()), |sealed: Sealed| {
            (sealed.waiters, sealed.reads)
        });
        Some(OpenBatch {
            batch,
            at: 0,
            looked_at: 0,
            position: 0,
            waiters: waiters.into_iter().peekable(),
            reads,
            running: None,
        })
    }

    /// Applies ops and executes the reads behind them; false when the steps of the turn end before.
    fn advance_batch(&mut self, now: Now, open: &mut OpenBatch, outputs: &mut Outputs) -> bool {
        loop {
            if !self.advance_running(&mut open.running, outputs) {
                return false;
            }
            // Behind every op: who is served must not depend on where a turn ends.
            if !self.serving.is_empty() {
                self.serve_behind(open, outputs);
                if open.running.is_some() {
                    continue;
                }
            }
            let at_read = matches!(open.waiters.peek(), Some(Waiter::Read { .. }));
            if !at_read && open.position == open.batch.count {
                return true;
            }
            if self.apply_steps == 0 {
                return false;
            }
            if let Some(Waiter::Read {
                ticket,
                resp3,
                read,
                actor,
            }) = open
                .waiters
                .next_if(|waiter| matches!(waiter, Waiter::Read { .. }))
            {
                if self.has_lost_rights(actor) {
                    fail(outputs, ticket, resp3, words::acl::RIGHTS_CHANGED);
                    continue;
                }
                self.outbox.set_actor(actor);
                self.execute_riding(now, (ticket, resp3), (open, read), outputs);
                continue;
            }
            let ops = open.batch.ops.clone();
            let mut rest = &ops[open.at..];
            let Ok(op) = next_op(&mut rest) else { return true };
            open.at = ops.len() - rest.len();
            let waiter = open.waiters.next().unwrap_or(Waiter::Silent);
            let before = outputs.reply_bytes.len();
            self.apply_next(now, open, (&ops, op), waiter, outputs);
            self.spend(op.len() + outputs.reply_bytes.len() - before);
            open.position += 1;
        }
    }

    /// Continues what was left in its middle; true when nothing is.
    fn advance_running(&mut self, running: &mut Option<Running>, outputs: &mut Outputs) -> bool {
        let Some(Running {
            task,
            client,
            locals,
            reply,
        }) = running
        else {
            return true;
        };
        let is_overlong = reply.len() > limits::REPLY_BYTES_MAX;
        let mut writer = match client {
            Some((_, resp3)) if !is_overlong => ReplyWriter::new(reply.room(), *resp3),
            _ => ReplyWriter::discard(),
        };
        let mut local = |_item: usize, writer: &mut ReplyWriter<'_>| {
            if let Some(bytes) = locals.next() {
                writer.raw(&bytes);
            }
        };
        let before = self.apply_steps;
        let is_done = self
            .keyspace
            .advance(task, &mut self.apply_steps, &mut writer, &mut local);
        if let Some((ticket, _)) = *client {
            let steps = before - self.apply_steps;
            outputs.spent.push(Spent { ticket, steps });
        }
        if !is_done {
            return false;
        }
        match *client {
            Some((ticket, resp3)) if reply.len() > limits::REPLY_BYTES_MAX => {
                let text = if task.is_read() {
                    words::REPLY_TOO_LONG
                } else {
                    words::WRITTEN_REPLY_TOO_LONG
                };
                fail(outputs, ticket, resp3, text);
            }
            Some((ticket, _)) => outputs.long_replies.push(LongReply {
                ticket,
                pieces: std::mem::take(reply),
                failures: task.take_failures(),
            }),
            None => {}
        }
        *running = None;
        true
    }

    fn apply_next(
        &mut self,
        now: Now,
        open: &mut OpenBatch,
        (ops, op): (&Bytes, &[u8]),
        waiter: Waiter,
        outputs: &mut Outputs,
    ) {
        let (mut op, mut actor) = (op, Actor::default());
        if self.examines || op.first().is_some_and(|&first| first >= Op::FIRST_RARE_TAG) {
            match (self.examine(open.batch.node, &mut op), &waiter) {
                (Ok(of), _) => actor = of,
                (Err(text), Waiter::Write { ticket, resp3, .. }) => {
                    return fail(outputs, *ticket, *resp3, text);
                }
                (Err(_), _) => return,
            }
            if op.first() == Some(&Op::SERVE_TAG) {
                return self.apply_serve(op, open, outputs);
            }
            if op.first().is_some_and(|&first| OriginOp::is_first(first)) {
                self.name_origin_op(op);
                let requester = Requester {
                    node: open.batch.node,
                    incarnation: open.batch.incarnation,
                    sequence: open.batch.first_sequence + open.position,
                };
                return self.apply_origin_for(now, op, requester, &waiter, outputs);
            }
            self.name_op(op, &waiter);
        }
        let (client, locals) = match waiter {
            Waiter::Write {
                ticket,
                resp3,
                locals,
            } => (Some((ticket, resp3)), locals),
            Waiter::Silent | Waiter::Read { .. } => (None, Vec::new()),
        };
        let decoded = Op::decode(&mut { op });
        if let Some(mut task) = self.task_of(ops, (op, &decoded), client.is_some()) {
            task.set_rights(&self.script_rights(actor));
            open.running = Some(Running {
                locals: locals.into_iter(),
                ..Running::new(task, client)
            });
        } else if let Some(client) = client {
            self.apply_for_client(decoded, client, &locals, outputs);
        } else {
            self.apply_op(decoded, &[], &mut ReplyWriter::discard());
        }
    }

    fn apply_origin_for(
        &mut self,
        now: Now,
        op: &[u8],
        requester: Requester,
        waiter: &Waiter,
        outputs: &mut Outputs,
    ) {
        let client = match *waiter {
            Waiter::Write { ticket, resp3, .. } => Some((ticket, resp3)),
            Waiter::Silent | Waiter::Read { .. } => None,
        };
        let applied = self.apply_origin_op(now, op, requester, client, outputs);
        if let (Err(_), Some((ticket, resp3))) = (applied, client) {
            fail(outputs, ticket, resp3, words::MALFORMED_OP);
        }
    }

    /// An op of so many bytes, its reply counted with it, was executed in this turn.
    #[inline]
    pub(super) fn spend(&mut self, bytes: usize) {
        self.apply_steps = self.apply_steps.saturating_sub(steps_of(bytes));
    }

    /// It named so many keys more than its first.
    #[inline]
    pub(super) fn spend_keys(&mut self, command: &Command<'_>) {
        self.apply_steps = self.apply_steps.saturating_sub(command.further_keys());
    }
}
