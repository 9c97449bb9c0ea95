//! Lists: elements by position.
//!
//! A command over many elements counts each as a step, and goes on in the next slice at the position that it has
//! come to: nothing else is applied in between.

mod ends;
mod search;
mod waiting;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::elements::{count, weigh_all};
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read, write};
use super::slices::steps_of;
use super::waiting::check_last;
use crate::collection::{End, List, ListRef};
use crate::command::{Arguments, CommandError};
use crate::limits::STEP_BYTES;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("lpush", ends::lpush, by_arguments),
    long_write("rpush", ends::rpush, by_arguments),
    long_write("lpushx", ends::lpushx, by_arguments),
    long_write("rpushx", ends::rpushx, by_arguments),
    long_write("lpop", ends::lpop, ends::weigh_pop).checked(ends::check_lpop),
    long_write("rpop", ends::rpop, ends::weigh_pop).checked(ends::check_rpop),
    write("lmove", ends::lmove).checked(ends::check_move),
    write("rpoplpush", ends::rpoplpush),
    long_write("lmpop", ends::lmpop, ends::weigh_multiple).checked(ends::check_multiple),
    write("blpop", waiting::blpop).checked(check_last),
    write("brpop", waiting::brpop).checked(check_last),
    write("blmove", waiting::blmove).checked(waiting::check_move),
    write("brpoplpush", waiting::brpoplpush).checked(check_last),
    long_write("blmpop", waiting::blmpop, waiting::weigh_multiple).checked(waiting::check_multiple),
    read("llen", count::<List>),
    long_read("lrange", lrange, weigh_range).checked(check_range),
    read("lindex", lindex),
    write("lset", lset),
    long_write("ltrim", ltrim, weigh_trim).checked(check_range),
    long_read("lpos", search::lpos, weigh_search).checked(search::check_position),
    long_write("linsert", search::linsert, weigh_search).checked(search::check_insert),
    long_write("lrem", search::lrem, weigh_search).checked(search::check_remove),
];

/// About so many elements are gone through for one step: to compare or to drop one is less than to copy one.
const PASSED_PER_STEP: u64 = 8;

/// To free so many bytes takes as long as to copy one.
const FREED_PER_BYTE: usize = 16;

/// About so many steps to go through a list; what is long is compared byte by byte with what is as long.
fn weigh_search(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let is_long = arguments.iter().skip(1).any(|word| word.len() > STEP_BYTES);
    let bytes = is_long.then(|| context.memory_bytes(arguments.peek())).flatten();
    let passed = weigh_all::<List>(context, arguments) / PASSED_PER_STEP as usize;
    passed + bytes.unwrap_or(0) / STEP_BYTES
}

/// About so many steps to copy `count` elements of a list, or as many as it has.
fn weigh_copies(context: &ReadContext<'_>, key: &[u8], count: u64) -> usize {
    let list: Option<ListRef<'_>> = context.look(key);
    let len = list.map_or(0, ListRef::len);
    let count = count.min(len) as usize;
    let bytes = context.memory_bytes(key).unwrap_or(0) / (len as usize).max(1);
    count.saturating_add(bytes.saturating_mul(count) / STEP_BYTES)
}

/// The index of an element, where a negative one counts from the end; `None` beyond either end.
fn index_in(index: i64, len: u64) -> Option<u64> {
    let index = match index {
        0.. => index.unsigned_abs(),
        _ => len.checked_sub(index.unsigned_abs())?,
    };
    (index < len).then_some(index)
}

/// The first index of a range, and how many elements it has, where negative indices count from the end.
fn range_in((start, stop): (i64, i64), len: u64) -> (u64, u64) {
    let from_front = |index: i64| match index {
        0.. => Some(index.unsigned_abs()),
        _ => len.checked_sub(index.unsigned_abs()),
    };
    let start = from_front(start).unwrap_or(0);
    let end = from_front(stop).map_or(0, |stop| (stop + 1).min(len));
    (start, end.saturating_sub(start))
}

/// `key start stop`, without the key.
fn parse_range(mut arguments: Arguments<'_>) -> Result<(i64, i64), CommandError> {
    arguments.skip(1);
    Ok((arguments.take_integer()?, arguments.take_integer()?))
}

fn check_range(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_range(arguments).map(|_| ())
}

fn weigh_range(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let list: Option<ListRef<'_>> = context.look(arguments.peek());
    match (list, parse_range(arguments)) {
        (Some(list), Ok(range)) => {
            let count = range_in(range, list.len()).1;
            weigh_copies(context, arguments.peek(), count)
        }
        _ => 1,
    }
}

/// `key start stop`: the elements from index `start` to `stop`, both included.
fn lrange(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let range = parse_range(slice.all)?;
    let list: Option<ListRef<'_>> = context.find(slice.all.peek())?;
    let (start, count) = list.map_or((0, 0), |list| range_in(range, list.len()));
    if !slice.kept.begun {
        reply.array(count as usize);
    }
    let told = &mut slice.kept.tally;
    let Some(list) = list else { return Ok(true) };
    let rest = (count - *told as u64) as usize;
    for element in list.from(start + *told as u64).take(rest) {
        if context.is_spent() {
            return Ok(false);
        }
        element.with(|element| {
            reply.bulk(element);
            context.spend(steps_of(element.len()));
        });
        *told += 1;
    }
    Ok(true)
}

/// `key index`: the element, or null.
fn lindex(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let Some(list) = context.find::<ListRef<'_>>(arguments.take())? else {
        reply.null();
        return Ok(());
    };
    let index = index_in(arguments.take_integer()?, list.len());
    match index.and_then(|index| list.get(index)) {
        Some(element) => element.with(|element| {
            reply.bulk(element);
            context.spend(steps_of(element.len()));
        }),
        None => reply.null(),
    }
    Ok(())
}

/// `key index element`: OK.
fn lset(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let key = arguments.take();
    let list_len = |context: &ReadContext<'_>| {
        let list: Option<ListRef<'_>> = context.find(key)?;
        list.map(ListRef::len)
            .ok_or(CommandError::fixed(words::NO_SUCH_KEY))
    };
    let len = context.looking(list_len)?;
    let index = index_in(arguments.take_integer()?, len);
    let index = index.ok_or(CommandError::fixed(words::INDEX_OUT_OF_RANGE))?;
    let element = arguments.take();
    context.change(key, |list: &mut List, _, _| {
        (list.set(index, element), Changed::Something)
    })?;
    context.spend_bytes(element.len());
    reply.ok();
    Ok(Changed::Something)
}

/// About so many steps for the elements that go, as if all bytes went where some do.
fn weigh_trim(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let key = arguments.peek();
    let list: Option<ListRef<'_>> = context.look(key);
    let (Some(list), Ok(range)) = (list, parse_range(arguments)) else {
        return 1;
    };
    let gone = list.len() - range_in(range, list.len()).1;
    if gone == 0 {
        return 1;
    }
    let bytes = context.memory_bytes(key).unwrap_or(0);
    (gone / PASSED_PER_STEP) as usize + steps_of(bytes / FREED_PER_BYTE)
}

/// `key start stop`: OK. What remains is from index `start` to `stop`, both included.
fn ltrim(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let range = parse_range(slice.all)?;
    let list_len = |context: &ReadContext<'_>| {
        let list: Option<ListRef<'_>> = context.find(key)?;
        Ok::<_, CommandError>(list.map(ListRef::len))
    };
    let Some(len) = context.looking(list_len)? else {
        reply.ok();
        return Ok(Some(Changed::Nothing));
    };
    // What is left to remove at the head and at the tail.
    let left = slice.kept.state_or(|| {
        let (start, count) = range_in(range, len);
        Ok::<_, CommandError>(match count {
            0 => (len, 0),
            _ => (start, len - start - count),
        })
    })?;
    let is_done = context.change(key, |list: &mut List, _, steps| {
        for (end, left) in [(End::Head, &mut left.0), (End::Tail, &mut left.1)] {
            while *left > 0 && *steps > 0 {
                let before = list.memory_bytes();
                let trimmed = list.trim(end, *left);
                *left -= trimmed;
                let freed = before.saturating_sub(list.memory_bytes());
                let passed = (trimmed / PASSED_PER_STEP) as usize;
                *steps = steps.saturating_sub(passed + steps_of(freed / FREED_PER_BYTE));
            }
        }
        // As in Redis, who watches the key is told even if nothing went.
        (*left == (0, 0), Changed::Something)
    })?;
    if is_done {
        reply.ok();
    }
    Ok(is_done.then_some(Changed::Something))
}
