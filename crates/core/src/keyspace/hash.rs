//! Hashes: fields with values.
//!
//! A command over many fields counts each as a step, and goes on in the next slice. Fields are told in the order of
//! [`HashRef::from`], the same on every replica.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::elements::{Scanned, change_each, count, scan, tell_each, weigh_all};
use super::extended::Extended;
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read, write};
use super::random::{self, Drawn, Wanted};
use super::slices::steps_of;
use crate::collection::{Hash, HashRef};
use crate::command::{Arguments, CommandError, parse_i64};

pub(super) const HANDLERS: &[Handler] = &[
    long_write("hset", hset, by_arguments).checked(check_pairs::<HSET>),
    long_write("hmset", hmset, by_arguments).checked(check_pairs::<HMSET>),
    write("hsetnx", hsetnx),
    read("hget", hget),
    long_read("hmget", hmget, by_arguments),
    long_write("hdel", hdel, by_arguments),
    read("hlen", count::<Hash>),
    read("hexists", hexists),
    read("hstrlen", hstrlen),
    long_read("hgetall", hgetall, weigh_all::<Hash>),
    long_read("hkeys", hkeys, weigh_all::<Hash>),
    long_read("hvals", hvals, weigh_all::<Hash>),
    write("hincrby", hincrby).checked(check_increment),
    write("hincrbyfloat", hincrbyfloat).checked(check_fraction),
    long_read("hrandfield", hrandfield, weigh_random),
    read("hscan", scan::<Hash>),
];

/// What HRANDFIELD is asked for values by.
const WITH_VALUES: &str = "withvalues";

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
    tell_each::<Hash>(context, slice, reply, value_or_null)
}

/// `key field [field ...]`: how many there were.
fn hdel(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    change_each(context, slice, reply, |hash: &mut Hash, field, _| {
        hash.remove(field)
    })
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
            hash.set_keeping(field, itoa::Buffer::new().format(sum).as_bytes(), seed);
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
            hash.set_keeping(field, text.as_bytes(), seed);
        }
        let changed = Changed::from(text.is_ok());
        (text, changed)
    })??;
    reply.bulk(text.as_bytes());
    Ok(Changed::Something)
}

impl<'a> Scanned<'a> for HashRef<'a> {
    const HAS_VALUES: bool = true;

    fn scan_parts(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[&[u8]])) -> u64 {
        self.scan(cursor, count, &mut |field, value| show(&[field, value]))
    }
}

impl<'a> Drawn<'a> for HashRef<'a> {
    fn tell_at(self, index: u64, with_value: bool, reply: &mut ReplyWriter<'_>) -> usize {
        let (field, value) = self.at(index).unwrap_or_default();
        reply.bulk(field);
        if with_value {
            reply.bulk(value);
        }
        field.len() + value.len()
    }
}

/// `key [count [WITHVALUES]]`: fields at random.
fn hrandfield(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let wanted = Wanted::parse(slice.all, WITH_VALUES)?;
    random::tell::<Hash>(context, slice, wanted, reply)
}

fn weigh_random(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    random::weigh::<Hash>(context, arguments, Wanted::parse(arguments, WITH_VALUES))
}
