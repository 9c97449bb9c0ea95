//! Apply: committed entries become state, and replies for the clients of this node.
//!
//! Total and deterministic: an op that does not decode (a bug, or a newer version that the feature level
//! should have kept away) changes nothing and answers an error, the same on every replica.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::outbox::{Sealed, Waiter};
use super::{Forwarder, Replica, answer, fail};
use crate::bugs::Bug;
use crate::contract::{LogEntry, Outputs, Ticket};
use crate::entry::{Batch, EntryReader, SYSTEM_NODE, next_op};
use crate::op::Op;
use crate::origin::{OriginOp, Requester};
use crate::time::Now;

impl Replica {
    /// Applies what is committed and not held back.
    pub(super) fn apply_held(&mut self, now: Now, outputs: &mut Outputs) {
        if self.lease.holds() {
            return;
        }
        while let Some(entry) = self.held.pop_front() {
            self.apply_entry(now, &entry, outputs);
        }
    }

    fn apply_entry(&mut self, now: Now, entry: &LogEntry, outputs: &mut Outputs) {
        assert_eq!(entry.index, self.applied + 1, "entries are applied without gap");
        if !entry.data.is_empty() {
            self.apply_payload(now, entry, outputs);
        }
        self.applied = entry.index;
        self.consensus.applied(entry.index);
        self.memory.applied(entry.data.len());
        self.snapshots.applied_bytes += entry.data.len() as u64;
        if entry.term > self.applied_term {
            assert!(entry.term > 0, "terms start at one");
            self.applied_term = entry.term;
            self.outbox.term_applied(entry.term);
        }
    }

    fn apply_payload(&mut self, now: Now, entry: &LogEntry, outputs: &mut Outputs) {
        let mut reader = EntryReader::new(entry.data.clone())
            .expect("an entry that this version cannot read must not be skipped: replicas would diverge");
        // What is replayed or caught up with was not reclaimed late here.
        let seen_ms = if self.confirmed {
            self.clock.estimate_ms(now)
        } else {
            reader.time_ms
        };
        self.keyspace.set_time_seen_at(reader.time_ms, seen_ms);
        self.memory.refuses = false;
        self.expire_intents(now, outputs);
        while let Some(batch) = reader
            .next_batch()
            .expect("entries were checked when they were built")
        {
            self.apply_batch(now, &batch, outputs);
        }
    }

    fn apply_batch(&mut self, now: Now, batch: &Batch, outputs: &mut Outputs) {
        if batch.node == SYSTEM_NODE {
            return self.apply_ops(now, batch, None, outputs);
        }
        if !self.first_copy(batch) && !self.has(Bug::ForwardWithoutDeduplication) {
            return;
        }
        let identity = self.settings.identity;
        if (batch.node, batch.incarnation) != (identity.peer, identity.incarnation) {
            return self.apply_ops(now, batch, None, outputs);
        }
        let mut never = Vec::new();
        let sealed = self.outbox.take_applied(batch.first_sequence, &mut never);
        for lost in never {
            self.fail_batch(lost, words::OVERTAKEN, outputs);
        }
        self.apply_ops(now, batch, sealed, outputs);
    }

    /// Remembers the batch as applied; false for a copy of one that already was, or of a node's earlier
    /// life.
    fn first_copy(&mut self, batch: &Batch) -> bool {
        let latest = Forwarder {
            incarnation: batch.incarnation,
            sequence: batch.last_sequence(),
        };
        if let Some(known) = self.forwarders.get(&batch.node) {
            let older_life = batch.incarnation < known.incarnation;
            let same_life = batch.incarnation == known.incarnation;
            if older_life || (same_life && batch.first_sequence <= known.sequence) {
                return false;
            }
        }
        self.forwarders.insert(batch.node, latest);
        true
    }

    fn apply_ops(&mut self, now: Now, batch: &Batch, sealed: Option<Sealed>, outputs: &mut Outputs) {
        let (waiters, reads) =
            sealed.map_or((Vec::new(), Vec::new()), |sealed| (sealed.waiters, sealed.reads));
        let mut waiters = waiters.into_iter().peekable();
        let mut ops = &batch.ops[..];
        for position in 0..batch.count {
            let Ok(op) = next_op(&mut ops) else { break };
            let waiter = waiters.next().unwrap_or(Waiter::Silent);
            if op.first().is_some_and(|&first| OriginOp::is_first(first)) {
                let requester = Requester {
                    node: batch.node,
                    incarnation: batch.incarnation,
                    sequence: batch.first_sequence + position,
                };
                self.apply_origin_for(now, op, requester, &waiter, outputs);
            } else if let Waiter::Write {
                ticket,
                resp3,
                locals,
            } = waiter
            {
                self.apply_for_client(op, (ticket, resp3), &locals, outputs);
            } else {
                self.apply_op(op, &[], &mut ReplyWriter::discard());
            }
            while let Some(Waiter::Read {
                ticket,
                resp3,
                start,
                end,
            }) = waiters.next_if(|waiter| matches!(waiter, Waiter::Read { .. }))
            {
                self.execute_riding(now, (ticket, resp3), &reads[start..end], outputs);
            }
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

    fn apply_for_client(
        &mut self,
        op: &[u8],
        client: (Ticket, bool),
        locals: &[bytes::Bytes],
        outputs: &mut Outputs,
    ) {
        let (ticket, resp3) = client;
        answer(outputs, ticket, resp3, |writer| self.apply_op(op, locals, writer));
    }

    fn apply_op(&mut self, op: &[u8], locals: &[bytes::Bytes], writer: &mut ReplyWriter<'_>) {
        let mut rest = op;
        match Op::decode(&mut rest) {
            Ok(Op::Command(command)) if self.refuses_command(&command) => writer.error(words::OUT_OF_MEMORY),
            Ok(Op::Command(command)) => self.keyspace.apply(&command, writer),
            Ok(Op::Transaction(transaction)) if self.refuses_transaction(&transaction) => {
                writer.error_bytes(&words::exec_abort_because(words::OUT_OF_MEMORY.as_bytes()));
            }
            Ok(Op::Transaction(transaction)) => {
                let mut next = locals.iter();
                let mut local = |_item: usize, writer: &mut ReplyWriter<'_>| {
                    if let Some(bytes) = next.next() {
                        writer.raw(bytes);
                    }
                };
                self.keyspace.transaction(&transaction, writer, &mut local);
            }
            Ok(Op::Time) => {}
            Ok(Op::Evict(victims)) => self.apply_evict(victims),
            Ok(Op::MemoryFull) => self.memory.refuses = true,
            Err(_) => writer.error(words::MALFORMED_OP),
        }
    }

    pub(super) fn execute_riding(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        command: &[u8],
        outputs: &mut Outputs,
    ) {
        let mut rest = command;
        match crate::command::Command::decode(&mut rest) {
            Ok(command) => self.execute_at_apply(now, client, &command, outputs),
            Err(_) => fail(outputs, client.0, client.1, words::MALFORMED_OP),
        }
    }
}
