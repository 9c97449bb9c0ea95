//! Where the replica meets the origin: routing of mapped commands, apply of origin ops, and the flusher
//! of a serving leader.

use std::collections::BTreeSet;

use bytes::Bytes;
use repligo_proto::words;

use super::loads::{Parked, ParkedRequest, PendingClient, Row};
use super::outbox::Waiter;
use super::reads::WaitingRead;
use super::{Replica, answer, fail};
use crate::codec::Malformed;
use crate::command::Command;
use crate::contract::{Event, Outputs, PeerId, ReadLevel, Send, Ticket};
use crate::keyspace::Known;
use crate::limits;
use crate::message::Message;
use crate::op::Op;
use crate::origin::{Answer, Applied, Completion, Intent, Invalidate, OriginOp, Requester, Route};
use crate::shares::Part;
use crate::time::Now;

/// What a completed write says, without borrowing from the lanes.
enum Verdict {
    Stored,
    Deleted(u64),
    Error(Vec<u8>),
}

/// A completion taken out of the lanes.
struct Decided {
    requester: Option<Requester>,
    verdict: Verdict,
    /// False when only the client's patience ended.
    settled: bool,
    keyspace: u16,
    effects: Vec<crate::origin::Effect>,
}

impl Decided {
    fn new(completion: &Completion<'_>) -> Self {
        let verdict = match completion.answer {
            Answer::Stored => Verdict::Stored,
            Answer::Deleted(count) => Verdict::Deleted(count),
            Answer::Rejected(text) => Verdict::Error(text.to_vec()),
            Answer::Undecided(text) => Verdict::Error(text.as_bytes().to_vec()),
        };
        Self {
            requester: completion.requester,
            verdict,
            settled: !matches!(completion.answer, Answer::Undecided(_)),
            keyspace: completion.lane.keyspace,
            effects: completion.effects.to_vec(),
        }
    }
}

impl Replica {
    /// True when a read cannot be answered from the state alone.
    pub(super) fn needs_origin(&self, command: &Command<'_>) -> bool {
        match self.settings.origin.route(command) {
            Route::Plain => false,
            Route::Read => !self.missing_rows(command).is_empty(),
            Route::Write(_) | Route::Refused(_) => true,
        }
    }

    /// Mapped keys of a read of which nothing is known here.
    pub(super) fn missing_rows(&self, command: &Command<'_>) -> BTreeSet<Row> {
        let mut missing = BTreeSet::new();
        let db = command.db().unwrap_or(0);
        self.settings.origin.for_each_mapped(command, |lane, key| {
            if self.keyspace.lookup(db, key) == Known::Absent {
                missing.insert((lane.keyspace, Bytes::copy_from_slice(key)));
            }
        });
        missing
    }

    /// Gives in a write; mapped ones become intents, or are refused before anything is proposed.
    pub(super) fn submit_write(
        &mut self,
        now: Now,
        command: &Command<'_>,
        client: (Ticket, bool),
        outputs: &mut Outputs,
    ) {
        let (ticket, resp3) = client;
        let map = self.settings.origin.clone();
        if let Command::Invalidate { db, keys } = *command {
            return match map.invalidation(db, keys) {
                Ok(invalidate) => self.submit_invalidation(now, invalidate, client, outputs),
                Err(text) => fail(outputs, ticket, resp3, &text),
            };
        }
        match map.route(command) {
            Route::Plain | Route::Read => {
                let waiter = Waiter::Write {
                    ticket,
                    resp3,
                    locals: Vec::new(),
                };
                self.submit(now, &Op::Command(*command), waiter, outputs);
            }
            Route::Refused(text) => fail(outputs, ticket, resp3, &text),
            Route::Write(intent) => self.submit_intent(now, intent, client, outputs),
        }
    }

    fn submit_intent(&mut self, now: Now, intent: Intent<'_>, client: (Ticket, bool), outputs: &mut Outputs) {
        let (ticket, resp3) = client;
        if let Some(text) = self.lanes.refusal(intent.lane.keyspace) {
            return fail(outputs, ticket, resp3, text);
        }
        let missing = self.unknown_rows(&intent);
        let mut op = Vec::new();
        OriginOp::Intent(intent).encode(&mut op);
        if !self.may_replicate(op.len(), client, outputs) {
            return;
        }
        if missing.is_empty() {
            let waiter = Waiter::Write {
                ticket,
                resp3,
                locals: Vec::new(),
            };
            return self.outbox.push_op(&op, waiter, now.mono_us);
        }
        let request = ParkedRequest {
            ticket,
            resp3,
            what: Parked::Write(op),
            since_us: now.mono_us,
            actor: self.outbox.actor(),
        };
        self.waits.park(request, missing);
    }

    fn submit_invalidation(
        &mut self,
        now: Now,
        invalidate: Invalidate<'_>,
        client: (Ticket, bool),
        outputs: &mut Outputs,
    ) {
        let (ticket, resp3) = client;
        let mut op = Vec::new();
        OriginOp::Invalidate(invalidate).encode(&mut op);
        if self.may_replicate(op.len(), client, outputs) {
            let waiter = Waiter::Write {
                ticket,
                resp3,
                locals: Vec::new(),
            };
            self.outbox.push_op(&op, waiter, now.mono_us);
        }
    }

    /// The rows were changed by somebody else.
    fn apply_invalidate(
        &mut self,
        invalidate: &Invalidate<'_>,
        client: Option<(Ticket, bool)>,
        outputs: &mut Outputs,
    ) {
        let dropped = self.lanes.apply_invalidate(&mut self.keyspace, invalidate);
        for (keyspace, key) in &invalidate.rows {
            self.flusher.on_evict(*keyspace, key);
        }
        if let Some((ticket, resp3)) = client {
            let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
            answer(outputs, ticket, resp3, |writer| writer.integer(dropped));
        }
    }

    fn unknown_rows(&self, intent: &Intent<'_>) -> BTreeSet<Row> {
        let keys = self.lanes.unknown_keys(&self.keyspace, intent).into_iter();
        keys.map(|key| (intent.lane.keyspace, Bytes::copy_from_slice(key)))
            .collect()
    }

    /// Parks a read until its rows are known; false when they are.
    pub(super) fn park_read(&mut self, now: Now, client: (Ticket, bool), command: &Command<'_>) -> bool {
        if self.settings.origin.is_empty() {
            return false;
        }
        let missing = self.missing_rows(command);
        if missing.is_empty() {
            return false;
        }
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        let what = Parked::Read(encoded);
        self.waits.park(
            ParkedRequest {
                ticket: client.0,
                resp3: client.1,
                what,
                since_us: now.mono_us,
                actor: self.outbox.actor(),
            },
            missing,
        );
        true
    }

    /// Applies an op of the origin.
    pub(super) fn apply_origin_op(
        &mut self,
        now: Now,
        op: &[u8],
        requester: Requester,
        client: Option<(Ticket, bool)>,
        outputs: &mut Outputs,
    ) -> Result<(), Malformed> {
        let mut rest = op;
        let decoded = OriginOp::decode(&mut rest).map_err(|_| Malformed)?;
        // Another node may say anything, and what is in the log is met at every start.
        if !decoded.is_known(&self.settings.origin) {
            return Err(Malformed);
        }
        match decoded {
            OriginOp::Intent(intent) => self.apply_intent(now, (op, &intent), requester, client, outputs),
            OriginOp::Resolved(resolved) => {
                let mut decided = Vec::new();
                let time_ms = self.keyspace.time_ms();
                let mut complete = |completion: Completion<'_>| decided.push(Decided::new(&completion));
                self.lanes
                    .apply_resolved(time_ms, &mut self.keyspace, &resolved, &mut complete);
                self.complete(now, decided, outputs);
            }
            OriginOp::Fill(fill) => {
                let time_ms = self.keyspace.time_ms();
                self.lanes.apply_fill(time_ms, &mut self.keyspace, &fill);
                self.flusher.on_fill(&fill);
                self.wake(now, &(fill.keyspace, fill.key));
            }
            OriginOp::Health(health) => self.lanes.apply_health(&health),
            OriginOp::Invalidate(invalidate) => self.apply_invalidate(&invalidate, client, outputs),
            OriginOp::Raise(raise) => {
                self.lanes.apply_raise(&mut self.keyspace, &raise);
            }
        }
        Ok(())
    }

    fn apply_intent(
        &mut self,
        now: Now,
        (op, intent): (&[u8], &Intent<'_>),
        requester: Requester,
        client: Option<(Ticket, bool)>,
        outputs: &mut Outputs,
    ) {
        if self.refuses_intent(intent) {
            if let Some((ticket, resp3)) = client {
                fail(outputs, ticket, resp3, words::OUT_OF_MEMORY);
            }
            return;
        }
        let time_ms = self.keyspace.time_ms();
        let applied = self
            .lanes
            .apply_intent(time_ms, &self.keyspace, requester, intent);
        if matches!(applied, Applied::Pending { .. }) {
            self.flusher.on_intent(intent);
        }
        let Some((ticket, resp3)) = client else { return };
        match applied {
            Applied::Pending { .. } => {
                let waiting = PendingClient {
                    ticket,
                    resp3,
                    since_us: now.mono_us,
                };
                self.waits.pending.insert(requester.sequence, waiting);
            }
            Applied::Refused(text) => fail(outputs, ticket, resp3, &text),
            Applied::NeedsLoad => {
                let missing = self.unknown_rows(intent);
                let what = Parked::Write(op.to_vec());
                self.waits.park(
                    ParkedRequest {
                        ticket,
                        resp3,
                        what,
                        since_us: now.mono_us,
                        actor: self.outbox.actor(),
                    },
                    missing,
                );
            }
        }
    }

    /// To be called at every entry after shard time was set.
    pub(super) fn expire_intents(&mut self, now: Now, outputs: &mut Outputs) {
        if self.settings.origin.is_empty() {
            return;
        }
        let mut decided = Vec::new();
        let time_ms = self.keyspace.time_ms();
        self.lanes
            .expire(time_ms, &mut |completion| decided.push(Decided::new(&completion)));
        self.complete(now, decided, outputs);
    }

    fn complete(&mut self, now: Now, decided: Vec<Decided>, outputs: &mut Outputs) {
        let identity = self.settings.identity;
        for one in decided {
            let mine = |r: &Requester| (r.node, r.incarnation) == (identity.peer, identity.incarnation);
            let client = one
                .requester
                .filter(mine)
                .and_then(|r| self.waits.pending.remove(&r.sequence));
            if let Some(client) = client {
                answer(outputs, client.ticket, client.resp3, |writer| {
                    match &one.verdict {
                        Verdict::Stored => writer.ok(),
                        Verdict::Deleted(count) => writer.integer(i64::try_from(*count).unwrap_or(i64::MAX)),
                        Verdict::Error(text) => writer.error_bytes(text),
                    }
                });
            }
            if one.settled {
                self.flusher.on_decided(one.keyspace, &one.effects);
                for effect in one.effects {
                    self.wake(now, &(one.keyspace, effect.key));
                }
            }
        }
    }

    fn wake(&mut self, now: Now, row: &Row) {
        for request in self.waits.wake(row) {
            self.start_over(now, request);
        }
    }

    fn start_over(&mut self, now: Now, request: ParkedRequest) {
        let ParkedRequest {
            ticket,
            resp3,
            what,
            since_us,
            actor,
        } = request;
        match what {
            Parked::Read(command) => {
                self.reads.push(WaitingRead {
                    ticket: Some(ticket),
                    resp3,
                    command,
                    // Whatever its connection has seen is in it.
                    level: ReadLevel::Linearizable,
                    after: None,
                    since_us,
                    part: Part::Common,
                    actor,
                });
            }
            Parked::Write(op) => {
                let waiter = Waiter::Write {
                    ticket,
                    resp3,
                    locals: Vec::new(),
                };
                self.outbox.set_actor(actor);
                self.outbox.push_op(&op, waiter, now.mono_us);
            }
        }
    }

    /// Lets the flusher of a serving leader work, and asks for rows.
    pub(super) fn pump_origin(&mut self, now: Now, outputs: &mut Outputs) {
        if self.settings.origin.is_empty() {
            return;
        }
        if self.lease.serving() {
            self.waits.take_in_peers(self.applied);
            for (keyspace, key) in self.waits.take_unasked() {
                self.flusher.want_load(now, keyspace, &key);
            }
            self.flusher.poll(now, &self.lanes, &mut self.flusher_output);
            let mut output = std::mem::take(&mut self.flusher_output);
            outputs.origin.append(&mut output.requests);
            for proposal in output.proposals.drain(..) {
                let mut op = Vec::new();
                proposal.encode(&mut op);
                self.system.push_back(op);
            }
            for failed in output.failed_loads.drain(..) {
                self.fail_load(&(failed.keyspace, failed.key), failed.error.as_bytes(), outputs);
            }
            outputs
                .events
                .extend(output.warnings.drain(..).map(Event::Warning));
            self.flusher_output = output;
            return;
        }
        let leader = self.consensus.leader();
        if self.waits.has_unasked() && self.peers.get(&leader).is_some_and(|peer| peer.connected) {
            for (keyspace, key) in self.waits.take_unasked() {
                if key.len() > limits::REPLICATED_OP_BYTES_MAX {
                    let text = words::too_large_to_replicate(key.len(), limits::REPLICATED_OP_BYTES_MAX);
                    self.fail_load(&(keyspace, key), text.as_bytes(), outputs);
                    continue;
                }
                outputs.sends.push(Send {
                    to: leader,
                    message: Message::Load {
                        index: self.applied,
                        keyspace,
                        key,
                    }
                    .encode(),
                });
            }
        }
    }

    /// A follower wants a row.
    pub(super) fn on_load(&mut self, from: PeerId, index: u64, row: Row) {
        let known = usize::from(row.0) < self.settings.origin.policies().len();
        if known && self.consensus.role() == crate::contract::Role::Leader {
            self.waits.peer_wants(from, index, row);
        }
    }

    /// A row cannot be loaded now.
    pub(super) fn fail_load(&mut self, row: &Row, error: &[u8], outputs: &mut Outputs) {
        let (requests, peers) = self.waits.fail(row);
        for request in requests {
            answer(outputs, request.ticket, request.resp3, |writer| {
                writer.error_bytes(error)
            });
        }
        for to in peers {
            let (keyspace, key) = row.clone();
            let message = Message::LoadFailed {
                keyspace,
                key,
                error: Bytes::copy_from_slice(error),
            };
            outputs.sends.push(Send {
                to,
                message: message.encode(),
            });
        }
    }

    /// Ends the patience of what waits for the origin on this node.
    pub(super) fn give_up_origin_waits(&mut self, now: Now, outputs: &mut Outputs) {
        let since_us = now.mono_us.saturating_sub(limits::FORWARD_HOLD_US);
        for (keyspace, request) in self.waits.take_overdue(since_us) {
            let known = self.lanes.refusal(keyspace);
            fail(
                outputs,
                request.ticket,
                request.resp3,
                known.unwrap_or(words::ORIGIN_SLOW),
            );
        }
        // The lanes end a client's wait by shard time; this is for a node that no entry reaches any more.
        let policies = self.settings.origin.policies().iter();
        let deadline_ms = policies.map(|policy| policy.flush_deadline_ms).max().unwrap_or(0);
        let limit_us = limits::FORWARD_HOLD_US + deadline_ms.saturating_mul(1000);
        let overdue = |client: &PendingClient| now.mono_us.saturating_sub(client.since_us) > limit_us;
        for (_, client) in self.waits.pending.extract_if(.., |_, client| overdue(client)) {
            fail(outputs, client.ticket, client.resp3, words::UNKNOWN_IN_TIME);
        }
    }

    /// A snapshot replaced the state: what it decided meanwhile left no reply, the rest starts over.
    pub(super) fn restart_origin_waits(&mut self, now: Now, outputs: &mut Outputs) {
        let identity = self.settings.identity;
        let mut still_pending = BTreeSet::new();
        for (_, lane) in self.lanes.iter() {
            let mine = lane.pending_above(0).filter(|pending| {
                (pending.requester.node, pending.requester.incarnation)
                    == (identity.peer, identity.incarnation)
            });
            still_pending.extend(mine.map(|pending| pending.requester.sequence));
        }
        for (_, client) in self
            .waits
            .pending
            .extract_if(.., |sequence, _| !still_pending.contains(sequence))
        {
            fail(outputs, client.ticket, client.resp3, words::UNKNOWN_SKIPPED);
        }
        for request in self.waits.take_all() {
            self.start_over(now, request);
        }
    }
}
