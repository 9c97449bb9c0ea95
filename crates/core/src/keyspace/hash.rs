//! Hashes: fields with values.
//!
//! A command over many fields counts each as a step, and goes on in the next slice. Fields are told in the order of
//! [`HashRef::from`], the same on every replica.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

mod random;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::elements::{ScanOptions, take_cursor, tell_page};
use super::extended::Extended;
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read, write};
use super::slices::steps_of;
use crate::collection::{Hash, HashRef};
use crate::command::{Arguments, CommandError, parse_i64};
use crate::limits::STRING_BYTES_MAX;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("hset", hset, by_arguments).checked(check_pairs::<HSET>),
    long_write("hmset", hmset, by_arguments).checked(check_pairs::<HMSET>),
    write("hsetnx", hsetnx),
    read("hget", hget),
    long_read("hmget", hmget, by_arguments),
    long_write("hdel", hdel, by_arguments),
    read("hlen", hlen),
    read("hexists", hexists),
    read("hstrlen", hstrlen),
    long_read("hgetall", hgetall, weigh_all),
    long_read("hkeys", hkeys, weigh_all),
    long_read("hvals", hvals, weigh_all),
    write("hincrby", hincrby).checked(check_increment),
    write("hincrbyfloat", hincrbyfloat).checked(check_fraction),
    long_read("hrandfield", random::hrandfield, random::weigh),
    read("hscan", hscan),
];

const HSET: bool = false;
const HMSET: bool = true;

fn wrong_arity(name: &str) -> CommandError {
    CommandError::composed(words::wrong_arity(name).into_bytes())
}

fn name_of(is_hmset: bool) -> &'static str {
    if is_hmset { "hmset" } else { "hset" }
}

fn check_pairs<const IS_HMSET: bool>(arguments: Arguments<'_>) -> Result<(), CommandError> {
    match arguments.len().is_multiple_of(2) {
        true => Err(wrong_arity(name_of(IS_HMSET))),
        false => Ok(()),
    }
}

/// `key field value [field value ...]`: how many fields are new.
fn hset(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Some(changed) = set_fields::<HSET>(context, slice)? else {
        return Ok(None);
    };
    reply.integer(slice.kept.tally);
    Ok(Some(changed))
}

/// `key field value [field value ...]`: always OK.
fn hmset(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Some(changed) = set_fields::<HMSET>(context, slice)? else {
        return Ok(None);
    };
    reply.ok();
    Ok(Some(changed))
}

fn set_fields<const IS_HMSET: bool>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
) -> Result<Option<Changed>, CommandError> {
    check_pairs::<IS_HMSET>(slice.all)?;
    let Slice { all, rest, kept } = slice;
    if !kept.begun {
        rest.skip(1);
    }
    context.change(all.peek(), |hash: &mut Hash, seed, steps| {
        while !rest.is_empty() && *steps > 0 {
            let (field, value) = (rest.take(), rest.take());
            kept.tally += i64::from(hash.set(field, value, seed));
            *steps = steps.saturating_sub(steps_of(field.len() + value.len()));
        }
        ((), Changed::Something)
    })?;
    Ok(rest.is_empty().then_some(Changed::Something))
}

/// `key field value`: 1, or 0 and nothing written where there is such a field.
fn hsetnx(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (key, field, value) = (arguments.take(), arguments.take(), arguments.take());
    let is_new = context.change(key, |hash: &mut Hash, seed, _| {
        let is_new = hash.as_ref().get(field).is_none();
        if is_new {
            hash.set(field, value, seed);
        }
        (is_new, Changed::from(is_new))
    })?;
    reply.integer(i64::from(is_new));
    Ok(Changed::from(is_new))
}

/// `key field`: the value, or null.
fn hget(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let hash: Option<HashRef<'_>> = context.find(arguments.take())?;
    value_or_null(hash, arguments.take(), reply);
    Ok(())
}

fn value_or_null(hash: Option<HashRef<'_>>, field: &[u8], reply: &mut ReplyWriter<'_>) -> usize {
    match hash.and_then(|hash| hash.get(field)) {
        Some(value) => {
            reply.bulk(value);
            value.len()
        }
        None => {
            reply.null();
            0
        }
    }
}

/// `key field [field ...]`: values and nulls.
fn hmget(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let hash: Option<HashRef<'_>> = context.find(slice.all.peek())?;
    if !slice.kept.begun {
        slice.rest.skip(1);
        reply.array(slice.rest.len());
    }
    while !slice.rest.is_empty() {
        if context.is_spent() {
            return Ok(false);
        }
        let bytes = value_or_null(hash, slice.rest.take(), reply);
        context.spend(steps_of(bytes));
    }
    Ok(true)
}

/// `key field [field ...]`: how many there were.
fn hdel(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    if !kept.begun {
        rest.skip(1);
    }
    context.change(all.peek(), |hash: &mut Hash, _, steps| {
        let before = kept.tally;
        while !rest.is_empty() && *steps > 0 {
            kept.tally += i64::from(hash.remove(rest.take()));
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

/// `key`: number of fields.
fn hlen(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let hash: Option<HashRef<'_>> = context.find(arguments.take())?;
    reply.integer(hash.map_or(0, |hash| hash.len() as i64));
    Ok(())
}

/// `key field`: 1 or 0.
fn hexists(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let hash: Option<HashRef<'_>> = context.find(arguments.take())?;
    let is_there = hash.is_some_and(|hash| hash.get(arguments.take()).is_some());
    reply.integer(i64::from(is_there));
    Ok(())
}

/// `key field`: length of the value.
fn hstrlen(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let hash: Option<HashRef<'_>> = context.find(arguments.take())?;
    let value = hash.and_then(|hash| hash.get(arguments.take()));
    reply.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

/// What is told of each field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Field,
    Value,
    Both,
}

fn hgetall(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    all_fields(context, slice, Part::Both, reply)
}

fn hkeys(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    all_fields(context, slice, Part::Field, reply)
}

fn hvals(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    all_fields(context, slice, Part::Value, reply)
}

fn all_fields(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    part: Part,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let hash: Option<HashRef<'_>> = context.find(slice.all.peek())?;
    let len = hash.map_or(0, HashRef::len);
    if !slice.kept.begun {
        match part {
            Part::Both => reply.map(len as usize),
            Part::Field | Part::Value => reply.array(len as usize),
        }
    }
    let Some(hash) = hash else { return Ok(true) };
    for (field, value) in hash.from(slice.kept.tally as u64) {
        if context.is_spent() {
            return Ok(false);
        }
        let mut bytes = 0;
        for (text, other) in [(field, Part::Value), (value, Part::Field)] {
            if part != other {
                reply.bulk(text);
                bytes += text.len();
            }
        }
        slice.kept.tally += 1;
        context.spend(steps_of(bytes));
    }
    Ok(true)
}

fn weigh_all(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let hash: Option<HashRef<'_>> = context.look(arguments.peek());
    hash.map_or(0, |hash| hash.len() as usize)
}

fn check_increment(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    arguments.skip(2);
    arguments.take_integer().map(|_| ())
}

/// `key field increment`: the new value.
fn hincrby(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (key, field) = (arguments.take(), arguments.take());
    let increment = arguments.take_integer()?;
    let sum = context.change(key, |hash: &mut Hash, seed, _| {
        let current = hash.as_ref().get(field).map_or(Some(0), parse_i64);
        let sum = match current {
            None => Err(CommandError::fixed(words::HASH_VALUE_NOT_AN_INTEGER)),
            Some(current) => current
                .checked_add(increment)
                .ok_or(CommandError::fixed(words::INCREMENT_OVERFLOW)),
        };
        if let Ok(sum) = sum {
            hash.set(field, itoa::Buffer::new().format(sum).as_bytes(), seed);
        }
        let changed = Changed::from(sum.is_ok());
        (sum, changed)
    })??;
    reply.integer(sum);
    Ok(Changed::Something)
}

fn fraction(mut arguments: Arguments<'_>) -> Result<Extended, CommandError> {
    arguments.skip(2);
    let fraction = Extended::parse(arguments.take()).ok_or(CommandError::fixed(words::NOT_A_FLOAT))?;
    match fraction.is_finite() {
        true => Ok(fraction),
        false => Err(CommandError::fixed(words::NOT_FINITE)),
    }
}

fn check_fraction(arguments: Arguments<'_>) -> Result<(), CommandError> {
    fraction(arguments).map(|_| ())
}

/// `key field increment`: the new value as text.
fn hincrbyfloat(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let increment = fraction(arguments)?;
    let (key, field) = (arguments.take(), arguments.take());
    let text = context.change(key, |hash: &mut Hash, seed, _| {
        let current = hash
            .as_ref()
            .get(field)
            .map_or(Some(Extended::ZERO), Extended::parse);
        let text = match current {
            None => Err(CommandError::fixed(words::HASH_VALUE_NOT_A_FLOAT)),
            Some(current) => match current.checked_add(increment) {
                None => Err(CommandError::fixed(words::INCREMENT_NOT_FINITE)),
                Some(sum) => Ok(sum.to_text()),
            },
        };
        if let Ok(text) = &text {
            hash.set(field, text.as_bytes(), seed);
        }
        let changed = Changed::from(text.is_ok());
        (text, changed)
    })??;
    reply.bulk(text.as_bytes());
    Ok(Changed::Something)
}

/// `key cursor [MATCH pattern] [COUNT count]`: the next cursor, fields and values in turn.
fn hscan(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let key = arguments.take();
    let cursor = take_cursor(&mut arguments)?;
    let Some(hash) = context.find::<HashRef<'_>>(key)? else {
        tell_page(0, (0, &[]), reply);
        return Ok(());
    };
    let options = ScanOptions::take(&mut arguments)?;
    let matches = options.matcher();
    let (mut found, mut bytes, mut count) = (Vec::new(), 0, 0);
    let mut writer = ReplyWriter::new(&mut found, reply.is_resp3());
    let next = hash.scan(cursor, options.count, &mut |field, value| {
        if matches(field) && bytes <= STRING_BYTES_MAX {
            writer.bulk(field);
            writer.bulk(value);
            bytes += field.len() + value.len();
            count += 2;
        }
    });
    context.spend(steps_of(bytes) + count);
    tell_page(next, (count, &found), reply);
    Ok(())
}
