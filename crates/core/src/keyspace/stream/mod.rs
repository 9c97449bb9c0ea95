//! Streams: entries by id, and groups of consumers.
//!
//! Ids and times of delivery follow from the stamp of the log's entry, never from a clock of this node. How long
//! something has been idle is told by the reader's clock in a read, and judged by the stamp in a write.

mod add;
mod claim;
mod counting;
mod delivery;
mod groups;
mod ids;
mod info;
mod info_full;
mod pending;
mod ranges;
mod reading;
mod trim;
pub(super) mod waiting;

use repligo_proto::reply::ReplyWriter;

use super::contexts::ReadContext;
use super::handlers::{Handler, by_arguments, long_read, long_write, read, write};
use super::slices::steps_of;
use crate::collection::{Stream, StreamEntry, StreamId};
use crate::command::{Arguments, CommandError};
use crate::limits::STEP_BYTES;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("xadd", add::xadd, add::weigh_add).checked(add::check_add),
    read("xlen", ranges::xlen),
    long_read("xrange", ranges::xrange, ranges::weigh_range),
    long_read("xrevrange", ranges::xrevrange, ranges::weigh_reverse),
    long_write("xdel", add::xdel, by_arguments),
    long_write("xtrim", trim::xtrim, trim::weigh_trim).checked(trim::check_trim),
    write("xsetid", add::xsetid).checked(add::check_set_id),
    long_read("xread", reading::xread, reading::weigh_read).checked(reading::check_read),
    long_read("xinfo|stream", info::xinfo_stream, info::weigh_stream),
    read("xinfo|groups", info::xinfo_groups),
    read("xinfo|consumers", info::xinfo_consumers),
    write("xgroup|create", groups::create).checked(groups::check_create),
    write("xgroup|setid", groups::set_id).checked(groups::check_set_id),
    long_write("xgroup|destroy", groups::destroy, groups::weigh_destroy),
    write("xgroup|createconsumer", groups::create_consumer),
    long_write(
        "xgroup|delconsumer",
        groups::delete_consumer,
        groups::weigh_delete_consumer,
    ),
    long_write("xreadgroup", delivery::xreadgroup, reading::weigh_read).checked(reading::check_read_group),
    long_write("xack", groups::xack, by_arguments),
    long_read("xpending", pending::xpending, pending::weigh_pending),
    long_write("xclaim", claim::xclaim, by_arguments),
    long_write("xautoclaim", claim::xautoclaim, claim::weigh_auto).checked(claim::check_auto),
];

/// The stream of a key, if it has one.
fn find<'a>(context: &ReadContext<'a>, key: &[u8]) -> Result<Option<&'a Stream>, CommandError> {
    context.find(key)
}

/// An id as an element of a reply.
fn tell_id(reply: &mut ReplyWriter<'_>, id: StreamId) {
    let mut text = Vec::with_capacity(41);
    text.extend_from_slice(itoa::Buffer::new().format(id.ms).as_bytes());
    text.push(b'-');
    text.extend_from_slice(itoa::Buffer::new().format(id.seq).as_bytes());
    reply.bulk(&text);
}

/// An entry: its id, and its fields and values. How many steps that takes comes back.
fn tell_entry(reply: &mut ReplyWriter<'_>, entry: StreamEntry<'_>) -> usize {
    let words = entry.words();
    reply.array(2);
    tell_id(reply, entry.id);
    reply.array(words.len());
    words.for_each(|word| reply.bulk(word));
    steps_of(entry.len())
}

/// About so many steps to tell `count` entries of a stream.
fn weigh_entries(context: &ReadContext<'_>, key: &[u8], (stream, count): (&Stream, u64)) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let bytes = context.memory_bytes(key).unwrap_or(0) / (stream.part_count() as usize).max(1);
    count.saturating_add(bytes.saturating_mul(count) / STEP_BYTES)
}

/// Elements of a reply whose number is known only when all are told.
#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    count: usize,
}

impl Page {
    /// Adds an element, unless nobody waits for the reply.
    fn tell<R: Default>(
        &mut self,
        reply: &ReplyWriter<'_>,
        tell: impl FnOnce(&mut ReplyWriter<'_>) -> R,
    ) -> R {
        self.count += 1;
        if reply.is_discard() {
            return tell(&mut ReplyWriter::discard());
        }
        tell(&mut ReplyWriter::new(&mut self.bytes, reply.is_resp3()))
    }

    /// All of them as an array.
    fn finish(&self, reply: &mut ReplyWriter<'_>) {
        reply.array(self.count);
        reply.raw(&self.bytes);
    }
}

/// The words behind the key, and the key.
fn behind_key(mut arguments: Arguments<'_>) -> (&[u8], Arguments<'_>) {
    let key = arguments.take();
    (key, arguments)
}
