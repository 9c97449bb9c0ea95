//! Commands that wait until a key has something: BLPOP and its relatives.
//!
//! Invariant: such a command is given in only when everything before it is answered, and nothing of its connection is
//! executed until it is answered, as in Redis.

use repligo_core::command::{Arguments, Call as Data};
use repligo_core::contract::Ticket;
use repligo_core::keyspace::Keyspace;
use repligo_proto::command::CommandId;

use crate::{Call, Flow, Host, Session, data};

/// False for what waits only if it says so, and does not.
pub(crate) fn waits(call: Call<'_>) -> bool {
    let is_stream = matches!(call.spec.id, CommandId::XRead | CommandId::XReadGroup);
    !is_stream
        || Keyspace::call_waits(&Data {
            spec: call.spec,
            db: 0,
            arguments: Arguments::new(call.request.skip(1)),
        })
}

/// Executes one outside of MULTI.
pub(crate) fn execute(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    if session.replies.waiting() > 0 {
        return Flow::Wait;
    }
    let sequence = session.replies.next_sequence();
    let flow = data::execute(session, host, call);
    if session.replies.waiting() > 0 {
        session.blocking = Some(sequence);
        session.hold_back();
    }
    flow
}

impl Session {
    /// The request that it waits for, if that is one whose command waits for a key.
    pub fn blocked(&self) -> Option<Ticket> {
        let sequence = self.blocking?;
        let is_last = self.replies.next_sequence() == sequence.wrapping_add(1);
        (is_last && self.replies.waiting() == 1).then(|| u64::from(self.slot) << 32 | u64::from(sequence))
    }
}
