//! ZPOPMIN, ZPOPMAX and ZMPOP.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::{SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::weigh_all;
use crate::keyspace::handlers::Slice;
use crate::keyspace::multiple::{Multiple, Search};
use crate::keyspace::slices::steps_of;

/// The end of a sorted set that members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Min,
    Max,
}

/// How many are asked for; `None` for one, which both protocols tell alike.
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
                    reply.array(2);
                }
                reply.bulk(name);
                reply.double(score.get());
                bytes = name.len();
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
    let is_nested = wanted.is_some() && reply.is_resp3();
    if !kept.begun {
        reply.array(count as usize * if is_nested { 1 } else { 2 });
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

fn take_place(arguments: &mut Arguments<'_>) -> Result<Place, CommandError> {
    if arguments.take_word("min") {
        Ok(Place::Min)
    } else if arguments.take_word("max") {
        Ok(Place::Max)
    } else {
        Err(CommandError::fixed(words::SYNTAX))
    }
}

fn parse_multiple(arguments: Arguments<'_>) -> Result<Multiple<Place>, CommandError> {
    Multiple::parse(arguments, take_place)
}

/// Refuses what is no ZMPOP.
pub fn check_multiple(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_multiple(arguments).map(|_| ())
}

/// About how many keys ZMPOP looks at and how many members it takes.
pub fn weigh_multiple(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    parse_multiple(arguments).map_or(1, |asked| asked.weigh::<SortedSet>(context, arguments))
}

/// `numkeys key [key ...] MIN|MAX [COUNT count]`: the first key with a sorted set, and members of it with their scores,
/// which are taken out; a null array if no key has one.
pub fn zmpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let asked = parse_multiple(slice.all)?;
    let count = match asked.search::<SortedSet>(context, slice)? {
        Search::Unfinished => return Ok(None),
        Search::Nothing => {
            reply.null_array();
            return Ok(Some(Changed::Nothing));
        }
        Search::Found { len, is_new } => {
            let count = asked.count.min(len);
            if is_new {
                reply.array(2);
                reply.bulk(slice.rest.peek());
                reply.array(count as usize);
            }
            count
        }
    };
    let key = slice.rest.peek();
    let is_done = take(
        context,
        (key, asked.end, true),
        (&mut slice.kept.tally, count),
        reply,
    )?;
    Ok(is_done.then_some(Changed::Something))
}
