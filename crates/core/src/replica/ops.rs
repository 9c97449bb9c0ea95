//! What an op that is executed at once does to the state, and its reply.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::{Replica, answer};
use crate::contract::{Outputs, Ticket};
use crate::op::Op;
use crate::packed::Corrupt;

impl Replica {
    #[inline]
    pub(super) fn apply_for_client(
        &mut self,
        op: Result<Op<'_>, Corrupt>,
        client: (Ticket, bool),
        locals: &[bytes::Bytes],
        outputs: &mut Outputs,
    ) {
        let (ticket, resp3) = client;
        answer(outputs, ticket, resp3, |writer| self.apply_op(op, locals, writer));
    }

    #[inline]
    pub(super) fn apply_op(
        &mut self,
        op: Result<Op<'_>, Corrupt>,
        locals: &[bytes::Bytes],
        writer: &mut ReplyWriter<'_>,
    ) {
        match op {
            Ok(Op::Command(command)) if self.refuses_command(&command) => writer.error(words::OUT_OF_MEMORY),
            Ok(Op::Command(command)) => {
                self.keyspace.apply(&command, writer);
                self.spend_keys(&command);
                let work = self.keyspace.take_work_steps();
                self.apply_steps = self.apply_steps.saturating_sub(work);
            }
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
                self.apply_steps = self.apply_steps.saturating_sub(transaction.len());
            }
            Ok(Op::Time) => {}
            Ok(Op::Evict(victims)) => self.apply_evict(victims),
            Ok(Op::MemoryFull) => self.memory.refuses = true,
            Ok(Op::HashSeed(seed)) => {
                self.keyspace.seed(seed);
                self.judge_examining();
            }
            Ok(Op::Users(change)) => self.apply_users(change, writer),
            // One of a client batch, which no correct node makes.
            Ok(Op::Serve(_)) | Err(_) => writer.error(words::MALFORMED_OP),
        }
    }
}
