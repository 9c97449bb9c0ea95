//! XINFO: what is known of a stream, its groups and its consumers.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::info_full::{Full, tell_full, weigh_full};
use super::pending::idle_ms;
use super::{counting, find, tell_entry, tell_id};
use crate::collection::{Stream, StreamEntry, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;

/// Entries that a node of Redis' tree holds.
const NODE_ENTRIES: u64 = 100;

/// The stream of a key.
///
/// # Errors
/// Redis' error if there is none.
fn existing<'a>(context: &ReadContext<'a>, key: &[u8]) -> Result<&'a Stream, CommandError> {
    find(context, key)?.ok_or(CommandError::fixed(words::NO_SUCH_KEY))
}

/// The first of the pairs that XINFO STREAM tells, with FULL or without; seven.
pub(super) fn tell_marks(stream: &Stream, reply: &mut ReplyWriter<'_>) {
    let marks = stream.marks();
    // As many as Redis would have, were all entries small.
    let nodes = stream.len().div_ceil(NODE_ENTRIES) as i64;
    let number = |reply: &mut ReplyWriter<'_>, name: &str, value: i64| {
        reply.bulk_str(name);
        reply.integer(value);
    };
    let id = |reply: &mut ReplyWriter<'_>, name: &str, value: StreamId| {
        reply.bulk_str(name);
        tell_id(reply, value);
    };
    number(reply, "length", stream.len() as i64);
    number(reply, "radix-tree-keys", nodes);
    number(reply, "radix-tree-nodes", nodes + 1);
    id(reply, "last-generated-id", marks.last);
    id(reply, "max-deleted-entry-id", marks.deleted);
    number(reply, "entries-added", marks.added as i64);
    let first = stream.first().map_or(StreamId::MIN, |first| first.id);
    id(reply, "recorded-first-entry-id", first);
}

fn parse_full(arguments: Arguments<'_>) -> Result<Option<u64>, CommandError> {
    let mut rest = arguments;
    rest.skip(1);
    let syntax = || {
        let text = words::subcommand_syntax("XINFO", b"STREAM");
        Err(CommandError::composed(text))
    };
    match rest.len() {
        0 => Ok(None),
        1 | 3 if rest.take_word("full") => {
            if rest.is_empty() {
                return Ok(Some(super::info_full::COUNT));
            }
            if !rest.take_word("count") {
                return syntax();
            }
            let count = rest.take_integer()?;
            Ok(Some(u64::try_from(count).unwrap_or(super::info_full::COUNT)))
        }
        _ => syntax(),
    }
}

/// About so many steps for what is told.
pub(super) fn weigh_stream(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let stream: Option<&Stream> = context.look(arguments.peek());
    match (stream, parse_full(arguments)) {
        (Some(stream), Ok(Some(count))) => weigh_full(stream, count),
        _ => 1,
    }
}

/// `key [FULL [COUNT count]]`: what it consists of.
pub(super) fn xinfo_stream(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let stream = existing(context, slice.all.peek())?;
    if let Some(count) = parse_full(slice.all)? {
        let is_begun = slice.kept.begun;
        let full = slice
            .kept
            .state_or(|| Ok::<_, CommandError>(Full::new(stream, count)))?;
        if !is_begun {
            reply.map(9);
            tell_marks(stream, reply);
            full.begin_telling(reply);
        }
        return Ok(tell_full(context, stream, full, reply));
    }
    reply.map(10);
    tell_marks(stream, reply);
    reply.bulk_str("groups");
    reply.integer(stream.group_count() as i64);
    for (name, entry) in [("first-entry", stream.first()), ("last-entry", stream.last())] {
        reply.bulk_str(name);
        tell_end(reply, entry);
    }
    Ok(true)
}

fn tell_end(reply: &mut ReplyWriter<'_>, entry: Option<StreamEntry<'_>>) {
    match entry {
        Some(entry) => {
            tell_entry(reply, entry);
        }
        None => reply.null(),
    }
}

/// A count that may not be known.
pub(super) fn tell_count(reply: &mut ReplyWriter<'_>, name: &str, count: Option<i64>) {
    reply.bulk_str(name);
    match count {
        Some(count) => reply.integer(count),
        None => reply.null(),
    }
}

/// `key`: its groups.
pub(super) fn xinfo_groups(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let stream = existing(context, arguments.take())?;
    context.spend(stream.group_count() as usize);
    reply.array(stream.group_count() as usize);
    for (name, group) in stream.groups_from(0) {
        reply.map(6);
        reply.bulk_str("name");
        reply.bulk(name);
        reply.bulk_str("consumers");
        reply.integer(stream.consumer_count(group.number) as i64);
        reply.bulk_str("pending");
        reply.integer(stream.pending_count(group.number) as i64);
        reply.bulk_str("last-delivered-id");
        tell_id(reply, group.last);
        tell_count(reply, "entries-read", group.read.map(|read| read as i64));
        tell_count(reply, "lag", counting::lag(stream, &group));
    }
    Ok(())
}

/// `key group`: its consumers.
pub(super) fn xinfo_consumers(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let (key, name) = (arguments.take(), arguments.take());
    let stream = existing(context, key)?;
    let Some(group) = stream.group(name) else {
        return Err(CommandError::composed(stream_words::no_group_of_key(name, key)));
    };
    let count = stream.consumer_count(group.number) as usize;
    context.spend(count);
    reply.array(count);
    for (name, consumer) in stream.consumers_from(group.number, 0) {
        reply.map(3);
        reply.bulk_str("name");
        reply.bulk(name);
        reply.bulk_str("pending");
        reply.integer(stream.owned_count(consumer.number) as i64);
        reply.bulk_str("idle");
        reply.integer(idle_ms(context.now_ms(), consumer.seen_ms).max(0));
    }
    Ok(())
}
