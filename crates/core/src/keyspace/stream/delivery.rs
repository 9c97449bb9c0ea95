//! XREADGROUP: entries that no other consumer of the group was given, or again those that are pending.

use std::collections::BTreeMap;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::stream as stream_words;

use super::ids::strict_id;
use super::reading::{LAST, Reading, tell_stream, tell_streams};
use super::{counting, find, tell_entry, tell_id};
use crate::bugs::Bug;
use crate::collection::{Consumer, Pending, Stream, StreamId};
use crate::command::CommandError;
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;

/// Where a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// What nobody was given.
    New,
    /// What it was given itself and is pending, from this id on.
    History(StreamId),
}

/// A stream of which something is told.
struct Served {
    /// Which of the streams that were asked for.
    index: usize,
    from: From,
    left: u64,
    is_begun: bool,
}

/// Refuses what cannot be read; tells where each stream is read.
fn judge(context: &ReadContext<'_>, reading: &Reading<'_>) -> Result<Vec<From>, CommandError> {
    let (name, _) = reading.group.unwrap_or_default();
    let mut from = Vec::new();
    for (key, id) in reading.streams() {
        context.spend(1);
        let stream = find(context, key)?;
        if stream.and_then(|stream| stream.group(name)).is_none() {
            return Err(CommandError::composed(stream_words::no_group_to_read(key, name)));
        }
        from.push(match id {
            b"$" => return Err(CommandError::fixed(stream_words::LAST_IN_GROUP)),
            LAST => return Err(CommandError::fixed(stream_words::LAST_ENTRY_IN_GROUP)),
            b">" => From::New,
            // Redis marks that new ones are asked for by the last id there is.
            id => match strict_id(id)?.next() {
                None => From::New,
                Some(next) => From::History(next),
            },
        });
    }
    Ok(from)
}

/// What those are told who listen when a consumer is made.
pub(super) const NEW_CONSUMER: &str = "xgroup-createconsumer";

/// The number of a consumer that is heard of now; it is made if it was not there.
pub(super) fn hear_of(stream: &mut Stream, (group, name): (u64, &[u8]), time_ms: u64) -> (u64, Changed) {
    let known = stream.consumer(group, name);
    if known.is_some_and(|consumer| consumer.seen_ms == time_ms) {
        return (known.map_or(0, |consumer| consumer.number), Changed::Nothing);
    }
    let number = known.map_or_else(|| stream.give_number(), |consumer| consumer.number);
    let consumer = Consumer {
        number,
        seen_ms: time_ms,
    };
    stream.put_consumer(group, name, consumer);
    (number, Changed::Something)
}

/// What is told of each stream; makes the consumer where something is told and there is none.
fn plan(
    context: &mut WriteContext<'_>,
    reading: &Reading<'_>,
) -> Result<(Vec<Served>, Changed), CommandError> {
    let (group, consumer) = reading.group.unwrap_or_default();
    let time_ms = context.time_ms();
    let from = context.looking(|context| judge(context, reading))?;
    // What the same command takes of a stream that it names more than once.
    let mut taken: BTreeMap<&[u8], u64> = BTreeMap::new();
    let (mut served, mut changed) = (Vec::new(), Changed::Nothing);
    for (index, ((key, _), from)) in reading.streams().zip(from).enumerate() {
        let mut is_new = false;
        let left = context.change(key, |stream: &mut Box<Stream>, _, _| {
            let Some(group) = stream.group(group) else {
                return (None, Changed::Nothing);
            };
            let left = match from {
                From::History(_) => 0,
                From::New => {
                    let there = group.last.next();
                    let there = there.map_or(0, |next| stream.count_between(next, StreamId::MAX));
                    let taken = taken.entry(key).or_default();
                    let left = reading.limited(there.saturating_sub(*taken));
                    if left == 0 {
                        // As in Redis 7.0, who gets nothing is not heard of.
                        return (None, Changed::Nothing);
                    }
                    *taken += left;
                    left
                }
            };
            is_new = stream.consumer(group.number, consumer).is_none();
            let (_, heard) = hear_of(stream, (group.number, consumer), time_ms);
            changed = changed.or(heard);
            (Some(left), heard)
        })?;
        if is_new {
            context.tell_also(key, NEW_CONSUMER);
        }
        let Some(left) = left else { continue };
        served.push(Served {
            index,
            from,
            left,
            is_begun: false,
        });
    }
    // What is told last is taken off the end.
    served.reverse();
    Ok((served, changed))
}

/// `GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]`: entries, of each
/// stream that has any; a null array if none has. It does not wait.
pub(super) fn xreadgroup(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let reading = Reading::parse("xreadgroup", slice.all)?;
    if !slice.kept.begun {
        let (served, changed) = plan(context, &reading)?;
        slice.kept.tally = i64::from(changed == Changed::Something);
        if served.is_empty() {
            reply.null_array();
        } else {
            tell_streams(reply, served.len());
        }
        slice.kept.state_or(|| Ok::<_, CommandError>(served))?;
    }
    let served = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Vec::<Served>::new()))?;
    let mut changed = Changed::Nothing;
    while let Some(stream) = served.last_mut() {
        let (key, _) = reading.streams().nth(stream.index).unwrap_or_default();
        let told = match stream.from {
            From::New => deliver(context, &reading, (key, stream), reply)?,
            From::History(_) => repeat(context, &reading, (key, stream), reply)?,
        };
        changed = changed.or(told);
        if stream.left > 0 {
            break;
        }
        served.pop();
    }
    let is_done = served.is_empty();
    let tally = &mut slice.kept.tally;
    *tally |= i64::from(changed == Changed::Something);
    Ok(is_done.then_some(Changed::from(*tally > 0)))
}

/// Gives the consumer the next entries of the stream, as far as the steps reach.
fn deliver(
    context: &mut WriteContext<'_>,
    reading: &Reading<'_>,
    (key, served): (&[u8], &mut Served),
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (name, consumer) = reading.group.unwrap_or_default();
    let time_ms = context.time_ms();
    if !served.is_begun {
        served.is_begun = true;
        tell_stream(reply, key, served.left);
    }
    context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let Some(mut group) = stream.group(name) else {
            served.left = 0;
            return ((), Changed::Nothing);
        };
        let owner = stream.consumer(group.number, consumer);
        let owner = owner.map_or(0, |consumer| consumer.number);
        let mut given = Vec::new();
        let next = group.last.next().unwrap_or(StreamId::MAX);
        for entry in stream.from(next) {
            if served.left == 0 || *steps == 0 {
                break;
            }
            counting::advance(stream, &mut group, entry.id);
            *steps = steps.saturating_sub(1 + tell_entry(reply, entry));
            served.left -= 1;
            given.push(entry.id);
        }
        if *steps > 0 {
            served.left = 0;
        }
        if Bug::GivenOutTwice.is_in_force()
            && let [.., before, _] = given[..]
        {
            group.last = before;
        }
        stream.put_group(name, group);
        if !reading.is_unacknowledged {
            for id in &given {
                let pending = Pending {
                    consumer: owner,
                    delivered_ms: time_ms,
                    count: 1,
                };
                stream.put_pending(group.number, *id, pending);
            }
        }
        ((), Changed::from(!given.is_empty()))
    })?;
    Ok(Changed::Something)
}

/// Tells the consumer again what is pending for it, as far as the steps reach.
fn repeat(
    context: &mut WriteContext<'_>,
    reading: &Reading<'_>,
    (key, served): (&[u8], &mut Served),
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (name, consumer) = reading.group.unwrap_or_default();
    let time_ms = context.time_ms();
    let From::History(mut next) = served.from else {
        return Ok(Changed::Nothing);
    };
    let changed = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let group = stream.group(name);
        let owner = group.and_then(|group| stream.consumer(group.number, consumer));
        let (Some(group), Some(owner)) = (group, owner) else {
            return (Changed::Nothing, Changed::Nothing);
        };
        if !served.is_begun {
            served.is_begun = true;
            served.left = reading.limited(stream.owned_count_from(owner.number, next));
            tell_stream(reply, key, served.left);
        }
        let mut told = Vec::new();
        for id in stream.owned_from(owner.number, next) {
            if served.left == 0 || *steps == 0 {
                next = id;
                break;
            }
            served.left -= 1;
            let Some(entry) = stream.get(id) else {
                // It was deleted, and is pending all the same.
                *steps -= 1;
                reply.array(2);
                tell_id(reply, id);
                reply.null_array();
                continue;
            };
            *steps = steps.saturating_sub(1 + tell_entry(reply, entry));
            told.push(id);
        }
        if *steps > 0 {
            served.left = 0;
        }
        for id in &told {
            let Some(old) = stream.pending(group.number, *id) else {
                continue;
            };
            let pending = Pending {
                delivered_ms: time_ms,
                count: old.count.wrapping_add(1),
                ..old
            };
            stream.put_pending(group.number, *id, pending);
        }
        let changed = Changed::from(!told.is_empty());
        (changed, changed)
    })?;
    served.from = From::History(next);
    Ok(changed)
}
