//! What happens at the ends of lists: pushes, pops, and elements that go from one list to another.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::weigh_copies;
use crate::collection::{End, List, ListRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::multiple::{Multiple, Search};
use crate::keyspace::slices::steps_of;

/// Whether a push makes a list where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    Create,
    Leave,
}

/// `key element [element ...]`: the new length.
pub(super) fn lpush(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    push(context, slice, (End::Head, Absent::Create), reply)
}

/// As [`lpush`], at the other end.
pub(super) fn rpush(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    push(context, slice, (End::Tail, Absent::Create), reply)
}

/// As [`lpush`], or 0 where there is no list.
pub(super) fn lpushx(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    push(context, slice, (End::Head, Absent::Leave), reply)
}

/// As [`rpush`], or 0 where there is no list.
pub(super) fn rpushx(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    push(context, slice, (End::Tail, Absent::Leave), reply)
}

fn push(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    (end, absent): (End, Absent),
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    let key = all.peek();
    if absent == Absent::Leave && !kept.begun && list_len(context, key)?.is_none() {
        reply.integer(0);
        return Ok(Some(Changed::Nothing));
    }
    if !kept.begun {
        rest.skip(1);
    }
    let len = context.change(key, |list: &mut List, _, steps| {
        while !rest.is_empty() && *steps > 0 {
            let element = rest.take();
            list.push(end, element);
            *steps = steps.saturating_sub(steps_of(element.len()));
        }
        (list.as_ref().len(), Changed::Something)
    })?;
    if !rest.is_empty() {
        return Ok(None);
    }
    reply.integer(len as i64);
    Ok(Some(Changed::Something))
}

/// Length of a list; `None` where there is none.
fn list_len(context: &mut WriteContext<'_>, key: &[u8]) -> Result<Option<u64>, CommandError> {
    context.looking(|context| {
        let list: Option<ListRef<'_>> = context.find(key)?;
        Ok(list.map(ListRef::len))
    })
}

/// How many are asked for; `None` for one that is not in an array.
fn pop_count(mut arguments: Arguments<'_>, name: &str) -> Result<Option<u64>, CommandError> {
    arguments.skip(1);
    if arguments.is_empty() {
        return Ok(None);
    }
    if arguments.len() > 1 {
        return Err(CommandError::composed(words::wrong_arity(name).into_bytes()));
    }
    let count = arguments.take_integer().ok();
    let count = count.and_then(|count| u64::try_from(count).ok());
    count.map(Some).ok_or(CommandError::fixed(words::NOT_POSITIVE))
}

/// Refuses what is no LPOP.
pub(super) fn check_lpop(arguments: Arguments<'_>) -> Result<(), CommandError> {
    pop_count(arguments, "lpop").map(|_| ())
}

/// Refuses what is no RPOP.
pub(super) fn check_rpop(arguments: Arguments<'_>) -> Result<(), CommandError> {
    pop_count(arguments, "rpop").map(|_| ())
}

/// About how many elements LPOP and RPOP take.
pub(super) fn weigh_pop(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    // One element is copied at once, however long it is.
    let Some(count) = pop_count(arguments, "").ok().flatten() else {
        return 1;
    };
    weigh_copies(context, arguments.peek(), count)
}

/// `key [count]`: elements, which are taken out.
pub(super) fn lpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let count = pop_count(slice.all, "lpop")?;
    pop_of_one(context, slice, (End::Head, count), reply)
}

/// As [`lpop`], at the other end.
pub(super) fn rpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let count = pop_count(slice.all, "rpop")?;
    pop_of_one(context, slice, (End::Tail, count), reply)
}

fn pop_of_one(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    (end, count): (End, Option<u64>),
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let Some(count) = count else {
        return pop_alone(context, (key, end), reply).map(Some);
    };
    if !slice.kept.begun {
        match list_len(context, key)? {
            None => reply.null_array(),
            Some(len) => reply.array(count.min(len) as usize),
        }
    }
    pop(context, slice, (key, end, count), reply)
}

/// Takes one element out, or tells null.
fn pop_alone(
    context: &mut WriteContext<'_>,
    (key, end): (&[u8], End),
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    context.change(key, |list: &mut List, _, steps| {
        let popped = list.pop(end, |element| {
            element.with(|element| {
                reply.bulk(element);
                *steps = steps.saturating_sub(steps_of(element.len()));
            })
        });
        let changed = Changed::from(popped.is_some());
        if popped.is_none() {
            reply.null();
        }
        (changed, changed)
    })
}

/// Takes up to `count` elements out; `None` if the steps are spent before.
fn pop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    (key, end, count): (&[u8], End, u64),
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let popped = &mut slice.kept.tally;
    let is_done = context.change(key, |list: &mut List, _, steps| {
        let before = *popped;
        while (*popped as u64) < count && *steps > 0 {
            let bytes = list.pop(end, |element| {
                element.with(|element| {
                    reply.bulk(element);
                    element.len()
                })
            });
            let Some(bytes) = bytes else { break };
            *popped += 1;
            *steps = steps.saturating_sub(steps_of(bytes));
        }
        let is_done = *popped as u64 >= count || list.as_ref().is_empty();
        (is_done, Changed::from(*popped > before))
    })?;
    Ok(is_done.then_some(Changed::from(*popped > 0)))
}

/// The end that an argument names.
fn take_end(arguments: &mut Arguments<'_>) -> Result<End, CommandError> {
    if arguments.take_word("left") {
        Ok(End::Head)
    } else if arguments.take_word("right") {
        Ok(End::Tail)
    } else {
        Err(CommandError::fixed(words::SYNTAX))
    }
}

/// `source destination from to`, without the keys.
fn parse_move(mut arguments: Arguments<'_>) -> Result<(End, End), CommandError> {
    arguments.skip(2);
    Ok((take_end(&mut arguments)?, take_end(&mut arguments)?))
}

/// Refuses what is no LMOVE.
pub(super) fn check_move(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_move(arguments).map(|_| ())
}

/// `source destination LEFT|RIGHT LEFT|RIGHT`: the element, or null.
pub(super) fn lmove(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let ends = parse_move(arguments)?;
    transfer(context, arguments, ends, reply)
}

/// `source destination`: the element, or null.
pub(super) fn rpoplpush(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    transfer(context, arguments, (End::Tail, End::Head), reply)
}

fn transfer(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    (from, to): (End, End),
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (source, destination) = (arguments.take(), arguments.take());
    if list_len(context, source)?.is_none() {
        reply.null();
        return Ok(Changed::Nothing);
    }
    list_len(context, destination)?;
    let element = context.change(source, |list: &mut List, _, _| {
        let element = list.pop(from, |element| element.to_vec());
        // A list that is turned never becomes empty on the way: it keeps its deadline.
        if source == destination
            && let Some(element) = &element
        {
            list.push(to, element);
        }
        let changed = Changed::from(element.is_some());
        (element.unwrap_or_default(), changed)
    })?;
    if source != destination {
        context.change(destination, |list: &mut List, _, _| {
            list.push(to, &element);
            ((), Changed::Something)
        })?;
    }
    context.spend_bytes(element.len());
    reply.bulk(&element);
    Ok(Changed::Something)
}

fn parse_multiple(arguments: Arguments<'_>) -> Result<Multiple<End>, CommandError> {
    Multiple::parse(arguments, take_end)
}

/// Refuses what is no LMPOP.
pub(super) fn check_multiple(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_multiple(arguments).map(|_| ())
}

/// About how many keys LMPOP looks at and how many elements it takes.
pub(super) fn weigh_multiple(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let Ok(asked) = parse_multiple(arguments) else {
        return 1;
    };
    arguments.skip(1);
    let keys = arguments.iter().take(asked.key_count);
    let most = keys.map(|key| weigh_copies(context, key, asked.count)).max();
    most.unwrap_or(0).saturating_add(asked.key_count)
}

/// `numkeys key [key ...] LEFT|RIGHT [COUNT count]`: the first key with a list, and elements of it, which are taken
/// out; a null array if no key has one.
pub(super) fn lmpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let asked = parse_multiple(slice.all)?;
    match asked.search::<List>(context, slice)? {
        Search::Unfinished => return Ok(None),
        Search::Nothing => {
            reply.null_array();
            return Ok(Some(Changed::Nothing));
        }
        Search::Found { len, is_new } if is_new => {
            reply.array(2);
            reply.bulk(slice.rest.peek());
            reply.array(asked.count.min(len) as usize);
        }
        Search::Found { .. } => {}
    }
    let key = slice.rest.peek();
    pop(context, slice, (key, asked.end, asked.count), reply)
}
