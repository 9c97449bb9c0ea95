//! XPENDING.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::ids::{range_end, range_start};
use super::{find, tell_id};
use crate::collection::{Group, Pending, Stream, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;

/// Which pending entries are told.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: u64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// `[[IDLE min-idle-time] start end count [consumer]]`; `None` without.
    fn parse(mut arguments: Arguments<'a>) -> Result<Option<Self>, CommandError> {
        let syntax = CommandError::fixed(words::SYNTAX);
        arguments.skip(2);
        if arguments.is_empty() {
            return Ok(None);
        }
        if !(3..=6).contains(&arguments.len()) {
            return Err(syntax);
        }
        let mut min_idle_ms = 0;
        if arguments.take_word("idle") {
            min_idle_ms = arguments.take_integer()?;
            if arguments.len() < 3 {
                return Err(syntax);
            }
        }
        let (start, end) = (arguments.take(), arguments.take());
        let count = u64::try_from(arguments.take_integer()?).unwrap_or(0);
        let consumer = (!arguments.is_empty()).then(|| arguments.take());
        Ok(Some(Self {
            min_idle_ms,
            start: range_start(start)?,
            end: range_end(end)?,
            count,
            consumer,
        }))
    }
}

/// The group of a key.
///
/// # Errors
/// Redis' error if there is none.
pub(super) fn existing<'a>(
    context: &ReadContext<'a>,
    key: &[u8],
    group: &[u8],
) -> Result<(&'a Stream, Group), CommandError> {
    let stream = find(context, key)?;
    let found = stream.and_then(|stream| Some((stream, stream.group(group)?)));
    found.ok_or_else(|| CommandError::composed(stream_words::no_group(key, group)))
}

/// About so many steps for what is looked at.
pub(super) fn weigh_pending(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let Ok(filter) = Filter::parse(arguments) else {
        return 1;
    };
    let mut words = arguments;
    let stream: Option<&Stream> = context.look(words.take());
    let found = stream.and_then(|stream| Some((stream, stream.group(words.take())?)));
    let Some((stream, group)) = found else { return 1 };
    let steps = match filter {
        None => stream.consumer_count(group.number),
        Some(filter) if filter.min_idle_ms > 0 => stream.pending_count(group.number),
        Some(filter) => filter.count.min(stream.pending_count(group.number)),
    };
    usize::try_from(steps).unwrap_or(usize::MAX)
}

/// What was found of what is asked for, which is told when its number is known.
#[derive(Default)]
struct Found {
    entries: Vec<(StreamId, Pending)>,
    next: Option<StreamId>,
    told: usize,
    is_complete: bool,
}

/// `key group [[IDLE min-idle-time] start end count [consumer]]`: how many entries are pending and for whom, or which
/// ones.
pub(super) fn xpending(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let filter = Filter::parse(slice.all)?;
    let mut arguments = slice.all;
    let (key, group) = (arguments.take(), arguments.take());
    let (stream, group) = existing(context, key, group)?;
    let Some(filter) = filter else {
        summarize(context, (stream, group), reply);
        return Ok(true);
    };
    let consumer = match filter.consumer {
        None => None,
        Some(name) => {
            let Some(consumer) = stream.consumer(group.number, name) else {
                reply.array(0);
                return Ok(true);
            };
            Some(consumer.number)
        }
    };
    let found = slice.kept.state_or(|| Ok::<_, CommandError>(Found::default()))?;
    if !found.is_complete {
        search(context, (stream, group, consumer), &filter, found);
        if !found.is_complete {
            return Ok(false);
        }
        reply.array(found.entries.len());
    }
    for (id, pending) in &found.entries[found.told..] {
        if context.is_spent() {
            return Ok(false);
        }
        reply.array(4);
        tell_id(reply, *id);
        reply.bulk(stream.consumer_name(pending.consumer));
        reply.integer(idle_ms(context.now_ms(), pending.delivered_ms).max(0));
        reply.integer(pending.count as i64);
        found.told += 1;
        context.spend(1);
    }
    Ok(true)
}

/// How long ago it was delivered.
pub(super) fn idle_ms(now_ms: u64, delivered_ms: u64) -> i64 {
    (now_ms as i64).wrapping_sub(delivered_ms as i64)
}

/// Goes on to look for pending entries, as far as the steps reach.
fn search(
    context: &ReadContext<'_>,
    (stream, group, consumer): (&Stream, Group, Option<u64>),
    filter: &Filter<'_>,
    found: &mut Found,
) {
    let start = found.next.unwrap_or(filter.start);
    let pending: Box<dyn Iterator<Item = (StreamId, Pending)>> = match consumer {
        None => Box::new(stream.pending_from(group.number, start)),
        Some(consumer) => Box::new(
            stream
                .owned_from(consumer, start)
                .filter_map(|id| Some((id, stream.pending(group.number, id)?))),
        ),
    };
    let now_ms = context.now_ms();
    for (id, pending) in pending {
        if id > filter.end || found.entries.len() as u64 >= filter.count {
            break;
        }
        if context.is_spent() {
            found.next = Some(id);
            return;
        }
        context.spend(1);
        if filter.min_idle_ms == 0 || idle_ms(now_ms, pending.delivered_ms) >= filter.min_idle_ms {
            found.entries.push((id, pending));
        }
    }
    found.is_complete = true;
}

fn summarize(context: &ReadContext<'_>, (stream, group): (&Stream, Group), reply: &mut ReplyWriter<'_>) {
    reply.array(4);
    let count = stream.pending_count(group.number);
    reply.integer(count as i64);
    let first = stream.pending_from(group.number, StreamId::MIN).next();
    let (Some((first, _)), Some(last)) = (first, stream.last_pending(group.number)) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    tell_id(reply, first);
    tell_id(reply, last);
    let consumers: Vec<_> = stream
        .consumers_from(group.number, 0)
        .map(|(name, consumer)| (name, stream.owned_count(consumer.number)))
        .filter(|(_, count)| *count > 0)
        .collect();
    context.spend(consumers.len());
    reply.array(consumers.len());
    for (name, count) in consumers {
        reply.array(2);
        reply.bulk(name);
        reply.bulk(itoa::Buffer::new().format(count).as_bytes());
    }
}
