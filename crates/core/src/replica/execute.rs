//! Executing reads whose turn has come: under the lease, after a confirmed index, or at apply.

use bytes::Bytes;
use repligo_proto::words;

use super::outbox::Waiter;
use super::reads::WaitingRead;
use super::slow::SlowRead;
use super::{Replica, answer, fail};
use crate::command::Command;
use crate::contract::{Outputs, Ticket};
use crate::keyspace::{ReadClock, ReadOutcome};
use crate::op::Op;
use crate::time::Now;

impl Replica {
    /// Executes reads whose confirmed index is applied.
    pub(super) fn run_ready_reads(&mut self, now: Now, outputs: &mut Outputs) {
        if self.is_whole() && self.reads.has_ready() {
            let ready = self.reads.take_ready(self.applied);
            self.execute_all(now, ready, outputs);
        }
    }

    /// Executes reads that may be answered from the applied state.
    pub(super) fn execute_all(&mut self, now: Now, reads: Vec<WaitingRead>, outputs: &mut Outputs) {
        for read in reads {
            let Some(ticket) = read.ticket else {
                self.confirmed = true;
                self.confirming = false;
                continue;
            };
            let source = Bytes::from(read.command);
            match Command::decode(&mut &source[..]) {
                Ok(command) => self.execute(now, (ticket, read.resp3), (&command, &source), outputs),
                Err(_) => fail(outputs, ticket, read.resp3, words::MALFORMED_OP),
            }
        }
    }

    /// On a serving leader a deadline between shard time and now is decided by the log: the read rides
    /// on a time op. Elsewhere shard time alone decides.
    fn execute(
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
        let clock = ReadClock { now_ms };
        if self.keyspace.is_wide(command) {
            if !self.keyspace.needs_time(command, clock) {
                return self.slow.push(SlowRead::new(client, command, source.clone()));
            }
        } else if self.answer_read(client, command, clock, outputs) == ReadOutcome::Done {
            return;
        }
        self.submit(now, &Op::Time, Waiter::Silent, outputs);
        let rides = self
            .outbox
            .push_read(client.0, client.1, |out| command.encode(out));
        assert!(rides, "an op was just given in");
    }

    /// At apply, shard time is the time of the entry itself.
    pub(super) fn execute_at_apply(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        command: &Command<'_>,
        outputs: &mut Outputs,
    ) {
        if self.park_read(now, client, command) {
            return;
        }
        let clock = ReadClock {
            now_ms: self.keyspace.time_ms(),
        };
        let outcome = self.answer_read(client, command, clock, outputs);
        assert_eq!(
            outcome,
            ReadOutcome::Done,
            "no deadline lies between shard time and itself"
        );
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
}
