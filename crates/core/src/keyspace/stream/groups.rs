//! XGROUP and XACK.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::find;
use super::ids::{loose_id, strict_id};
use crate::collection::{Consumer, Group, Stream, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;

/// What XGROUP CREATE and SETID say.
struct Making<'a> {
    key: &'a [u8],
    group: &'a [u8],
    from: &'a [u8],
    creates: bool,
    read: Option<u64>,
}

impl<'a> Making<'a> {
    fn parse(mut arguments: Arguments<'a>, may_create: bool) -> Result<Self, CommandError> {
        let mut making = Self {
            key: arguments.take(),
            group: arguments.take(),
            from: arguments.take(),
            creates: false,
            read: None,
        };
        while !arguments.is_empty() {
            if may_create && arguments.take_word("mkstream") {
                making.creates = true;
            } else if arguments.len() > 1 && arguments.take_word("entriesread") {
                making.read = match arguments.take_integer()? {
                    -1 => None,
                    count => {
                        let count = u64::try_from(count);
                        Some(count.map_err(|_| CommandError::fixed(stream_words::INVALID_READ))?)
                    }
                };
            } else {
                // As clients write it: an op does not say in which case.
                let word = if may_create { "CREATE" } else { "SETID" };
                let text = words::subcommand_syntax("XGROUP", word.as_bytes());
                return Err(CommandError::composed(text));
            }
        }
        Ok(making)
    }
}

/// The group of a stream that is there.
///
/// # Errors
/// Redis' error for a stream or a group that is not.
fn existing(context: &ReadContext<'_>, key: &[u8], group: &[u8]) -> Result<Group, CommandError> {
    let stream = find(context, key)?.ok_or(CommandError::fixed(stream_words::NO_KEY_FOR_GROUP))?;
    let found = stream.group(group);
    found.ok_or_else(|| CommandError::composed(stream_words::no_group_of_key(group, key)))
}

/// Refuses what is no XGROUP CREATE.
pub(super) fn check_create(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Making::parse(arguments, true).map(|_| ())
}

/// Refuses what is no XGROUP SETID.
pub(super) fn check_set_id(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Making::parse(arguments, false).map(|_| ())
}

/// `key group id|$ [MKSTREAM] [ENTRIESREAD count]`: OK.
pub(super) fn create(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let making = Making::parse(arguments, true)?;
    let found = context.looking(|context| {
        let stream = find(context, making.key)?;
        if stream.is_none() && !making.creates {
            return Err(CommandError::fixed(stream_words::NO_KEY_FOR_GROUP));
        }
        Ok(stream.map(|stream| (stream.marks().last, stream.group(making.group).is_some())))
    })?;
    let last = match making.from {
        b"$" => found.map_or(StreamId::MIN, |(last, _)| last),
        id => strict_id(id)?,
    };
    if found.is_some_and(|(_, is_there)| is_there) {
        return Err(CommandError::fixed(stream_words::BUSY_GROUP));
    }
    context.change(making.key, |stream: &mut Box<Stream>, _, _| {
        let group = Group {
            number: stream.give_number(),
            last,
            read: making.read,
        };
        stream.put_group(making.group, group);
        ((), Changed::Something)
    })?;
    reply.ok();
    Ok(Changed::Something)
}

/// `key group id|$ [ENTRIESREAD count]`: OK.
pub(super) fn set_id(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let making = Making::parse(arguments, false)?;
    context.looking(|context| existing(context, making.key, making.group))?;
    let from = match making.from {
        b"$" => None,
        id => Some(loose_id(id, 0)?),
    };
    context.change(making.key, |stream: &mut Box<Stream>, _, _| {
        let last = from.unwrap_or(stream.marks().last);
        let Some(group) = stream.group(making.group) else {
            return ((), Changed::Nothing);
        };
        let group = Group {
            last,
            read: making.read,
            ..group
        };
        stream.put_group(making.group, group);
        ((), Changed::Something)
    })?;
    reply.ok();
    Ok(Changed::Something)
}

/// `key group consumer`: 1 if it was made, 0 if it was there.
pub(super) fn create_consumer(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (key, group, name) = (arguments.take(), arguments.take(), arguments.take());
    let group = context.looking(|context| existing(context, key, group))?;
    let seen_ms = context.time_ms();
    let is_new = context.change(key, |stream: &mut Box<Stream>, _, _| {
        let is_new = stream.consumer(group.number, name).is_none();
        if is_new {
            let number = stream.give_number();
            stream.put_consumer(group.number, name, Consumer { number, seen_ms });
        }
        (is_new, Changed::from(is_new))
    })?;
    reply.integer(i64::from(is_new));
    Ok(Changed::from(is_new))
}

/// About so many steps for what is pending in the group.
pub(super) fn weigh_destroy(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let stream: Option<&Stream> = context.look(arguments.take());
    let found = stream.and_then(|stream| Some((stream, stream.group(arguments.take())?)));
    found.map_or(1, |(stream, group)| {
        (stream.pending_count(group.number) + stream.consumer_count(group.number)) as usize
    })
}

/// `key group`: 1 if it was there, else 0.
pub(super) fn destroy(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let (key, name) = (arguments.take(), arguments.take());
    let found = context.looking(|context| {
        let stream = find(context, key)?.ok_or(CommandError::fixed(stream_words::NO_KEY_FOR_GROUP))?;
        Ok::<_, CommandError>(stream.group(name))
    })?;
    let Some(group) = found else {
        reply.integer(0);
        return Ok(Some(Changed::Nothing));
    };
    let is_done = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        while *steps > 0 {
            let first = stream.pending_from(group.number, StreamId::MIN).next();
            let Some((id, _)) = first else { break };
            stream.remove_pending(group.number, id);
            *steps -= 1;
        }
        while *steps > 0 {
            let first = stream.consumers_from(group.number, 0).next();
            let Some(consumer) = first.map(|(name, _)| name.to_vec()) else {
                break;
            };
            stream.remove_consumer(group.number, &consumer);
            *steps -= 1;
        }
        let is_done = stream.pending_count(group.number) + stream.consumer_count(group.number) == 0;
        if is_done {
            stream.remove_group(name);
        }
        (is_done, Changed::Something)
    })?;
    if is_done {
        reply.integer(1);
    }
    Ok(is_done.then_some(Changed::Something))
}

/// About so many steps for what is pending for the consumer.
pub(super) fn weigh_delete_consumer(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let stream: Option<&Stream> = context.look(arguments.take());
    let (group, name) = (arguments.take(), arguments.take());
    let found = stream.and_then(|stream| {
        let group = stream.group(group)?;
        let consumer = stream.consumer(group.number, name)?;
        Some(stream.owned_count(consumer.number))
    });
    found.unwrap_or(1) as usize
}

/// `key group consumer`: how many entries were pending for it.
pub(super) fn delete_consumer(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let (key, group, name) = (arguments.take(), arguments.take(), arguments.take());
    let group = context.looking(|context| existing(context, key, group))?;
    let pending = &mut slice.kept.tally;
    let outcome = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let Some(consumer) = stream.consumer(group.number, name) else {
            return (Some(Changed::Nothing), Changed::Nothing);
        };
        while *steps > 0 {
            let first = stream.owned_from(consumer.number, StreamId::MIN).next();
            let Some(id) = first else { break };
            stream.remove_pending(group.number, id);
            *pending += 1;
            *steps -= 1;
        }
        if stream.owned_count(consumer.number) > 0 {
            return (None, Changed::Something);
        }
        stream.remove_consumer(group.number, name);
        (Some(Changed::Something), Changed::Something)
    })?;
    if outcome.is_some() {
        reply.integer(*pending);
    }
    Ok(outcome)
}

/// `key group id [id ...]`: how many of them were pending.
pub(super) fn xack(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let (key, name) = (arguments.take(), arguments.take());
    let group = context.looking(|context| {
        let stream = find(context, key)?;
        Ok::<_, CommandError>(stream.and_then(|stream| stream.group(name)))
    })?;
    let Some(group) = group else {
        reply.integer(0);
        return Ok(Some(Changed::Nothing));
    };
    if !slice.kept.begun {
        slice.rest.skip(2);
        slice.rest.iter().try_for_each(|id| strict_id(id).map(|_| ()))?;
    }
    let Slice { rest, kept, .. } = slice;
    context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let before = kept.tally;
        while !rest.is_empty() && *steps > 0 {
            let id = strict_id(rest.take()).unwrap_or_default();
            kept.tally += i64::from(stream.remove_pending(group.number, id));
            *steps -= 1;
        }
        ((), Changed::from(kept.tally > before))
    })?;
    if !rest.is_empty() {
        return Ok(None);
    }
    reply.integer(kept.tally);
    Ok(Some(Changed::from(kept.tally > 0)))
}
