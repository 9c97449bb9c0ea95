//! Strings as bits: bit 0 is the highest one of the first byte.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::bits as words;

mod count;
mod field;
mod operation;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::{Handler, Slice, long_read, long_write, read};
use super::slices::steps_of;
use crate::command::{Arguments, CommandError, parse_i64};
use crate::limits::STRING_BYTES_MAX;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("setbit", setbit, weigh_set).checked(check_set),
    read("getbit", getbit),
    long_read("bitcount", count::bitcount, count::weigh),
    long_read("bitpos", count::bitpos, count::weigh),
    long_write("bitop", operation::bitop, operation::weigh).checked(operation::check),
    long_write("bitfield", field::bitfield, field::weigh).checked(field::check),
    read("bitfield_ro", field::bitfield_ro).checked(field::check_read),
];

const fn refused<T>(text: &'static str) -> Result<T, CommandError> {
    Err(CommandError::fixed(text))
}

/// The place of a bit; with a hash in front it counts fields of so many bits.
fn parse_offset(text: &[u8], field_bits: Option<u32>) -> Result<u64, CommandError> {
    let (text, factor) = match (text, field_bits) {
        ([b'#', rest @ ..], Some(bits)) => (rest, i64::from(bits)),
        _ => (text, 1),
    };
    // Redis multiplies without a look at the range.
    let offset = parse_i64(text).map(|offset| offset.wrapping_mul(factor));
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    match offset.filter(|offset| offset / 8 < STRING_BYTES_MAX as u64) {
        Some(offset) => Ok(offset),
        None => refused(words::BIT_OFFSET),
    }
}

/// The byte with a bit, and the bit in it.
fn place(offset: u64) -> (usize, u8) {
    ((offset / 8) as usize, 0x80 >> (offset % 8))
}

/// Steps of making a string so long, and of copying it before if a snapshot shares it.
fn growth(context: &ReadContext<'_>, key: &[u8], bytes: usize) -> usize {
    let there = context.string_bytes(key).unwrap_or(0);
    let copied = if context.may_share(key) { there } else { 0 };
    steps_of(copied + bytes.saturating_sub(there))
}

fn parse_set(mut arguments: Arguments<'_>) -> Result<(u64, bool), CommandError> {
    arguments.skip(1);
    let offset = parse_offset(arguments.take(), None)?;
    match parse_i64(arguments.take()) {
        Some(bit @ 0..=1) => Ok((offset, bit == 1)),
        _ => refused(words::BIT_VALUE),
    }
}

fn check_set(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_set(arguments).map(|_| ())
}

fn weigh_set(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    parse_set(arguments).map_or(1, |(offset, _)| {
        growth(context, arguments.peek(), place(offset).0 + 1)
    })
}

/// `key offset value`: the bit as it was.
fn setbit(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let (offset, is_set) = parse_set(slice.all)?;
    let (byte, mask) = place(offset);
    let (len, old) = context.looking(|context| {
        let value = context.find_string(key)?;
        let old = value.and_then(|value| value.get(byte)).copied();
        Ok((value.map_or(0, <[u8]>::len), old.unwrap_or(0)))
    })?;
    slice.kept.tally |= i64::from(len <= byte);
    if !context.grow_string(key, byte + 1) {
        return Ok(None);
    }
    let was_set = old & mask != 0;
    if was_set != is_set {
        context.overwrite_string(key, (byte, &[old ^ mask]));
    }
    reply.integer(i64::from(was_set));
    Ok(Some(Changed::from(was_set != is_set || slice.kept.tally != 0)))
}

/// `key offset`: the bit.
fn getbit(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let key = arguments.take();
    let (byte, mask) = place(parse_offset(arguments.take(), None)?);
    let value = context.find_string(key)?.unwrap_or(b"");
    reply.integer(i64::from(value.get(byte).is_some_and(|byte| byte & mask != 0)));
    Ok(())
}
