//! Executing reads whose turn has come: under the lease, after a confirmed index, or at apply.

use std::borrow::Cow;

use bytes::Bytes;
use repligo_proto::words;

use super::apply::{OpenBatch, Running};
use super::outbox::{RidingRead, Waiter};
use super::reads::WaitingRead;
use super::sessions::Due;
use super::slow::{SlowRead, connection_of};
use super::{Replica, answer, fail};
use crate::bugs::Bug;
use crate::command::Command;
use crate::contract::{Outputs, PeerId, ReadLevel, Ticket, Token};
use crate::keyspace::{Keyspace, ReadClock, ReadOutcome, steps_of};
use crate::level::Bound;
use crate::limits;
use crate::message::Message;
use crate::op::Op;
use crate::time::Now;

impl Replica {
    /// Executes reads whose confirmed index is applied, as far as this turn's steps reach.
    pub(super) fn run_ready_reads(&mut self, now: Now, outputs: &mut Outputs) {
        if !self.is_whole() {
            return;
        }
        self.reads.sort_out(self.applied);
        let none_is_late = !self.reads.has_due() && self.slow.len() == 0;
        if none_is_late || self.outbox.len() == 0 {
            self.riding.clear();
        }
        while self.read_steps > 0
            && let Some(read) = self.reads.take_due()
        {
            let before = outputs.reply_bytes.len();
            let further_keys = self.execute_due(now, read, outputs);
            let steps = further_keys + steps_of(outputs.reply_bytes.len() - before);
            self.read_steps = self.read_steps.saturating_sub(steps);
        }
    }

    /// Executes a read that may be answered from the applied state; how many keys it named beside the first.
    fn execute_due(&mut self, now: Now, read: WaitingRead, outputs: &mut Outputs) -> usize {
        let Some(ticket) = read.ticket else {
            self.confirmed = true;
            self.confirming = false;
            return 0;
        };
        if self.has_lost_rights(read.actor) {
            fail(outputs, ticket, read.resp3, words::acl::RIGHTS_CHANGED);
            return 0;
        }
        match self.judge_due(&read) {
            Due::Run => {}
            Due::Wait => {
                let index = read.after.as_deref().map_or(0, |after| after.token.index);
                self.reads.push_ready(index, read);
                return 0;
            }
            Due::Fail(text) => {
                fail(outputs, ticket, read.resp3, &text);
                return 0;
            }
        }
        // Should it have to wait again, it does so by the same rights.
        self.outbox.set_actor(read.actor);
        let source = Bytes::from(read.command);
        let Ok(command) = Command::decode(&mut &source[..]) else {
            fail(outputs, ticket, read.resp3, words::MALFORMED_OP);
            return 0;
        };
        let client = (ticket, read.resp3);
        if self.slow.has_of(ticket) {
            self.slow
                .push(SlowRead::behind_another(client, source, read.actor));
            return 0;
        }
        self.execute(now, client, (&command, &source), outputs);
        command.further_keys()
    }

    /// On a serving leader a deadline between shard time and now is decided by the log: the read rides
    /// on a time op. Elsewhere shard time alone decides.
    ///
    /// Reads of one connection that wait together see states in their order: behind one that takes several turns,
    /// or that rides, the others come later as well.
    pub(super) fn execute(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        (command, source): (&Command<'_>, &Bytes),
        outputs: &mut Outputs,
    ) {
        if self.park_read(now, client, command) {
            return;
        }
        let now_ms = if self.lease.serving() {
            self.clock.estimate_ms(now)
        } else {
            self.keyspace.time_ms()
        };
        let clock = ReadClock {
            now_ms,
            leader_ms: self.leader_time_ms(now),
        };
        let connection = connection_of(client.0);
        let outcome = if self.riding.contains(&connection) {
            ReadOutcome::NeedsTime
        } else if !self.keyspace.is_wide(command) {
            self.answer_read(client, command, clock, outputs)
        } else if self.keyspace.needs_time(command, clock) {
            ReadOutcome::NeedsTime
        } else {
            ReadOutcome::Long
        };
        match outcome {
            ReadOutcome::Done => return,
            ReadOutcome::Long => {
                let read = self.slow_read(client, command, source.clone());
                return self.slow.push(read);
            }
            ReadOutcome::Waits => return self.block_read(now, client, command, outputs),
            ReadOutcome::NeedsTime => {}
        }
        self.riding.insert(connection);
        self.submit(now, &Op::Time, Waiter::Silent, outputs);
        let rides = self.outbox.push_read(client, true, |out| command.encode(out));
        assert!(rides, "an op was just given in");
    }

    /// A read that takes several turns, by the rights of what was executed last.
    fn slow_read(&self, client: (Ticket, bool), command: &Command<'_>, source: Bytes) -> SlowRead {
        let actor = self.outbox.actor();
        SlowRead::new(client, command, source, (actor, self.script_rights(actor)))
    }

    /// At apply, shard time is the time of the entry itself. False if the reply is long and the read is to
    /// be executed in slices.
    pub(super) fn execute_at_apply(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        command: &Command<'_>,
        outputs: &mut Outputs,
    ) -> bool {
        if self.park_read(now, client, command) {
            return true;
        }
        let clock = ReadClock {
            now_ms: self.keyspace.time_ms(),
            leader_ms: self.leader_time_ms(now),
        };
        let outcome = self.answer_read(client, command, clock, outputs);
        assert_ne!(
            outcome,
            ReadOutcome::NeedsTime,
            "no deadline lies between shard time and itself"
        );
        if outcome == ReadOutcome::Waits {
            self.block_read(now, client, command, outputs);
            return true;
        }
        outcome == ReadOutcome::Done
    }

    /// The leader confirmed an index, and says what time it is.
    pub(super) fn on_read_index_reply(&mut self, now: Now, from: PeerId, reply: &Message) {
        let Message::ReadIndexReply {
            context,
            index,
            time_ms,
        } = *reply
        else {
            return;
        };
        if let Some(asked_us) = self.reads.answered(context, index) {
            self.leader_clock.heard(asked_us, time_ms);
            self.note_fresh(now, asked_us, index);
            if from == self.consensus.leader() {
                self.clock.heard(now, asked_us, time_ms);
            }
        }
    }

    /// The leader's estimate of now, as late as it may be.
    pub(super) fn leader_time_ms(&self, now: Now) -> u64 {
        let told = if self.lease.serving() {
            None
        } else {
            self.leader_clock.latest_ms(now)
        };
        told.unwrap_or_else(|| ReadClock::at(self.clock.estimate_ms(now)).leader_ms)
    }

    /// How long this replica has not heard of its leader, if that is too long for an eventual read.
    pub(super) fn too_stale_ms(&self, now: Now) -> Option<u64> {
        let age_us = now.mono_us.saturating_sub(self.leader_heard_us);
        let is_single = self.membership.is_alone();
        (!is_single && age_us > limits::STALENESS_US_MAX).then_some(age_us / 1000)
    }

    /// Whatever was committed when this was asked is at or below the index.
    pub(super) fn note_fresh(&mut self, now: Now, asked_us: u64, index: u64) {
        let asked_us = match self.has(Bug::ProbeTimeAtAnswer) {
            true => now.mono_us,
            false => asked_us,
        };
        self.freshness.confirmed(asked_us, index, self.applied);
    }

    /// The index up to which bounded reads see.
    fn seen(&self) -> u64 {
        match self.has(Bug::BoundedWithoutApply) {
            true => u64::MAX,
            false => self.applied,
        }
    }

    /// True if the applied state may answer bounded reads by itself.
    pub(super) fn is_fresh(&self, now: Now, bound: Bound) -> bool {
        self.confirmed && self.freshness.is_within(bound, now.mono_us, self.seen())
    }

    /// The clock by which a read that is bounded, or is to see what its connection has seen here, is answered at once: by
    /// the lease as a linearizable one, or else from a state that is fresh enough.
    pub(super) fn local_clock(&self, now: Now, bound: Option<Bound>) -> Option<ReadClock> {
        if self.current(now) {
            return Some(ReadClock::at(self.clock.estimate_ms(now)));
        }
        (self.is_whole() && self.has_seen(now, bound, None)).then(|| ReadClock {
            now_ms: self.keyspace.time_ms(),
            leader_ms: self.leader_time_ms(now),
        })
    }

    /// The error of a read for which no leader has answered in time.
    pub(super) fn read_overdue(
        &self,
        now: Now,
        level: ReadLevel,
        token: Option<&Token>,
    ) -> Cow<'static, str> {
        match level {
            _ if self.disk_is_full() => words::DISK_FULL_READ.into(),
            ReadLevel::Session(_) => self.session_overdue(level, token).into(),
            ReadLevel::Bounded(_) => {
                let as_of_us = self.freshness.as_of_us(self.applied);
                let age_ms = as_of_us.map(|as_of_us| now.mono_us.saturating_sub(as_of_us) / 1000);
                words::level::out_of_bounds(&level.to_string(), age_ms).into()
            }
            ReadLevel::Linearizable | ReadLevel::Eventual => words::NO_LEADER_IN_TIME.into(),
        }
    }

    fn answer_read(
        &mut self,
        client: (Ticket, bool),
        command: &Command<'_>,
        clock: ReadClock,
        outputs: &mut Outputs,
    ) -> ReadOutcome {
        let (ticket, resp3) = client;
        let replies = outputs.replies.len();
        let outcome = answer(outputs, ticket, resp3, |writer| {
            self.keyspace.read(command, clock, writer)
        });
        if outcome != ReadOutcome::Done {
            outputs.replies.truncate(replies);
        }
        outcome
    }

    /// Executes a read at its place between the ops of its connection. One that is long is executed in
    /// slices while apply waits; where it only rode for the time, it leaves the entry and lets apply go on.
    pub(super) fn execute_riding(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        (open, riding): (&mut OpenBatch, RidingRead),
        outputs: &mut Outputs,
    ) {
        let encoded = &open.reads[riding.place];
        if riding.for_time && self.slow.has_of(client.0) {
            // One of its connection that rode in front of it has left the entry.
            let (source, actor) = (Bytes::copy_from_slice(encoded), self.outbox.actor());
            let read = SlowRead::behind_another(client, source, actor);
            return self.slow.push_in_order(read);
        }
        let mut rest = encoded;
        let Ok(command) = Command::decode(&mut rest) else {
            return fail(outputs, client.0, client.1, words::MALFORMED_OP);
        };
        if !self.keyspace.is_wide(&command) {
            let before = outputs.reply_bytes.len();
            let is_done = self.execute_at_apply(now, client, &command, outputs);
            self.spend(outputs.reply_bytes.len() - before);
            self.spend_keys(&command);
            if is_done {
                return;
            }
        } else if self.park_read(now, client, &command) {
            return;
        }
        let source = Bytes::copy_from_slice(encoded);
        let command = Command::decode(&mut &source[..]).expect("it was decoded above");
        let mut task = Keyspace::begin(&command, &source);
        task.set_rights(&self.script_rights(self.outbox.actor()));
        if riding.for_time && task.is_walk() {
            let read = self.slow_read(client, &command, source.clone());
            self.slow.push(read);
        } else {
            open.running = Some(Running::new(task, Some(client)));
        }
    }
}
