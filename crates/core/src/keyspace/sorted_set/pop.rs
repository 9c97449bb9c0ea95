//! ZPOPMIN and ZPOPMAX.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::{tell_count, tell_member};
use crate::collection::{SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::weigh_all;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;

/// The end of a sorted set that members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Min,
    Max,
}

/// How many are asked for; `None` for one, which is told as RESP2 tells it.
fn pop_count(mut arguments: Arguments<'_>) -> Result<Option<u64>, CommandError> {
    arguments.skip(1);
    if arguments.is_empty() {
        return Ok(None);
    }
    if arguments.len() > 1 {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    let count = arguments.take_integer().ok();
    let count = count.and_then(|count| u64::try_from(count).ok());
    count.map(Some).ok_or(CommandError::fixed(words::NOT_POSITIVE))
}

/// Refuses what is no ZPOPMIN or ZPOPMAX.
pub fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    pop_count(arguments).map(|_| ())
}

/// About how many members are taken out.
pub fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let count = pop_count(arguments).ok().flatten().unwrap_or(1);
    count.min(weigh_all::<SortedSet>(context, arguments) as u64) as usize
}

/// Takes members out, so many in all slices together, and tells each; false if the steps are spent before that.
fn take(
    context: &mut WriteContext<'_>,
    (key, place, is_nested): (&[u8], Place, bool),
    (taken, count): (&mut i64, u64),
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    context.change(key, |set: &mut SortedSet, _, steps| {
        while (*taken as u64) < count && *steps > 0 {
            let rank = match place {
                Place::Min => 0,
                Place::Max => set.as_ref().len().saturating_sub(1),
            };
            let mut bytes = 0;
            set.remove_at(rank, 1, &mut |name, score| {
                if is_nested {
                    bytes = tell_member((name, score), true, reply);
                } else {
                    reply.bulk(name);
                    reply.double(score.get());
                    bytes = name.len();
                }
            });
            *taken += 1;
            *steps = steps.saturating_sub(steps_of(bytes));
        }
        (*taken as u64 == count, Changed::Something)
    })
}

fn pop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    place: Place,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let wanted = pop_count(slice.all)?;
    let kept = &mut *slice.kept;
    let count = *kept.state_or(|| {
        context.looking(|context| {
            let set: Option<SortedSetRef<'_>> = context.find(key)?;
            let len = set.map_or(0, SortedSetRef::len);
            Ok::<_, CommandError>(wanted.unwrap_or(1).min(len))
        })
    })?;
    let is_nested = wanted.is_some();
    if !kept.begun {
        match is_nested {
            true => tell_count(count, true, reply),
            false => reply.array(count as usize * 2),
        }
    }
    if count == 0 {
        return Ok(Some(Changed::Nothing));
    }
    let is_done = take(context, (key, place, is_nested), (&mut kept.tally, count), reply)?;
    Ok(is_done.then_some(Changed::Something))
}

/// `key [count]`: the members with the lowest scores and their scores, which are taken out.
pub fn zpopmin(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    pop(context, slice, Place::Min, reply)
}

/// `key [count]`: the members with the highest scores and their scores, which are taken out.
pub fn zpopmax(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    pop(context, slice, Place::Max, reply)
}
