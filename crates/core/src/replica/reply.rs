//! Replies to tickets, written into the outputs of a step.

use repligo_proto::reply::ReplyWriter;

use crate::contract::{Outputs, Reply, Ticket};

/// Answers a ticket with an error.
pub(super) fn fail(outputs: &mut Outputs, ticket: Ticket, resp3: bool, text: &str) {
    answer(outputs, ticket, resp3, |writer| writer.error(text));
}

/// Answers a ticket with whatever `write` writes.
pub(super) fn answer<T>(
    outputs: &mut Outputs,
    ticket: Ticket,
    resp3: bool,
    write: impl FnOnce(&mut ReplyWriter<'_>) -> T,
) -> T {
    let start = outputs.reply_bytes.len();
    let result = write(&mut ReplyWriter::new(&mut outputs.reply_bytes, resp3));
    let end = outputs.reply_bytes.len();
    let position = |at: usize| u32::try_from(at).expect("replies of one step stay below 4 GiB");
    outputs.replies.push(Reply {
        ticket,
        start: position(start),
        end: position(end),
    });
    result
}
