//! BITCOUNT and BITPOS: bits of a range of a string.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::SYNTAX;
use repligo_proto::words::bits as words;

use super::refused;
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;
use crate::limits::STEP_BYTES;

/// Bytes that are looked at with one look at the steps.
const PIECE_BYTES: usize = 4 * STEP_BYTES;

/// Bits of a string, from one to another one, both included; none if the last one is before the first one.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: i64,
    last: i64,
    /// The client named the last one.
    is_exact: bool,
}

/// A position that may count from the end, as one that is in the string or before it.
fn resolve(position: i64, total: i64) -> i64 {
    match position {
        0.. => position,
        _ => total.saturating_add(position).max(0),
    }
}

/// Takes `[start [end [BYTE|BIT]]]`, for a string of `len` bytes; `end` may be left out if `may_end` says so.
fn take_range(arguments: &mut Arguments<'_>, len: usize, may_end: bool) -> Result<Range, CommandError> {
    let (mut first, mut last) = (0, -1);
    let (count, mut is_bits) = (arguments.len(), false);
    if count > 3 || count == 1 && !may_end {
        return refused(SYNTAX);
    }
    if count > 0 {
        first = arguments.take_integer()?;
    }
    // Of BITPOS Redis reads the unit first, of BITCOUNT the end.
    let mut unit = *arguments;
    unit.skip(1);
    let mut take_unit = || match () {
        () if count < 3 => Ok(()),
        () if unit.take_word("byte") => Ok(()),
        () if unit.take_word("bit") => {
            is_bits = true;
            Ok(())
        }
        () => refused(SYNTAX),
    };
    if may_end {
        take_unit()?;
    }
    if count > 1 {
        last = arguments.take_integer()?;
        let is_reversed = first < 0 && last < 0 && first > last;
        if !may_end && is_reversed {
            return Ok(Range {
                first: 0,
                last: -1,
                is_exact: true,
            });
        }
    }
    if !may_end {
        take_unit()?;
    }
    let unit_bits = if is_bits { 1 } else { 8 };
    let total = len as i64 * 8 / unit_bits;
    let first = resolve(first, total);
    let last = resolve(last, total).min(total - 1);
    if first > last {
        return Ok(Range {
            first: 0,
            last: -1,
            is_exact: true,
        });
    }
    Ok(Range {
        first: first * unit_bits,
        last: last * unit_bits + unit_bits - 1,
        is_exact: count > 1,
    })
}

/// A byte of a string without the bits that are outside of a range, which are 0 then.
fn byte_in(value: &[u8], at: usize, range: Range) -> u8 {
    let begin = at as i64 * 8;
    let from = (range.first - begin).clamp(0, 8) as u32;
    let behind = (begin + 7 - range.last).clamp(0, 8) as u32;
    let mask = (0xff_u32 >> from) & (0xff_u32 << behind);
    value[at] & mask as u8
}

/// About how many steps a look at all bits takes.
pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    1 + context.string_bytes(arguments.peek()).unwrap_or(0) / PIECE_BYTES
}

fn ones(bytes: &[u8]) -> i64 {
    let (words, rest) = bytes.as_chunks();
    let of_words: u32 = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones())
        .sum();
    let of_rest: u32 = rest.iter().map(|byte| byte.count_ones()).sum();
    i64::from(of_words + of_rest)
}

/// `key [start end [BYTE|BIT]]`: how many bits are set.
pub(super) fn bitcount(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let mut arguments = slice.all;
    let Some(value) = context.find_string(arguments.take())? else {
        reply.integer(0);
        return Ok(true);
    };
    let range = take_range(&mut arguments, value.len(), false)?;
    if range.first > range.last {
        reply.integer(0);
        return Ok(true);
    }
    let (first, last) = ((range.first / 8) as usize, (range.last / 8) as usize);
    let mut count = slice.kept.tally;
    let at = slice.kept.state_or(|| Ok::<_, CommandError>(first))?;
    while *at <= last {
        if context.is_spent() {
            slice.kept.tally = count;
            return Ok(false);
        }
        // The bytes at both ends count in part.
        if *at == first || *at == last {
            count += i64::from(byte_in(value, *at, range).count_ones());
            *at += 1;
            continue;
        }
        let end = last.min(*at + PIECE_BYTES);
        count += ones(&value[*at..end]);
        *at = end;
        context.spend(1);
    }
    reply.integer(count);
    Ok(true)
}

/// The first bit of a byte that is set, with the bits outside of the range left out.
fn first_in(value: &[u8], at: usize, range: Range, is_set: bool) -> Option<i64> {
    let wanted = match is_set {
        true => byte_in(value, at, range),
        false => byte_in(
            &[!value[at]],
            0,
            Range {
                first: range.first - at as i64 * 8,
                last: range.last - at as i64 * 8,
                ..range
            },
        ),
    };
    (wanted != 0).then(|| at as i64 * 8 + i64::from(wanted.leading_zeros()))
}

/// `key bit [start [end [BYTE|BIT]]]`: the place of the first such bit, or -1.
pub(super) fn bitpos(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let mut arguments = slice.all;
    let key = arguments.take();
    let is_set = match arguments.take_integer()? {
        0 => false,
        1 => true,
        _ => return refused(words::BIT_WANTED),
    };
    let Some(value) = context.find_string(key)? else {
        reply.integer(if is_set { -1 } else { 0 });
        return Ok(true);
    };
    let range = take_range(&mut arguments, value.len(), true)?;
    if range.first > range.last {
        reply.integer(-1);
        return Ok(true);
    }
    let (first, last) = ((range.first / 8) as usize, (range.last / 8) as usize);
    let skipped = if is_set { 0x00 } else { 0xff };
    let at = slice.kept.state_or(|| Ok::<_, CommandError>(first))?;
    while *at <= last {
        if context.is_spent() {
            return Ok(false);
        }
        let end = (last + 1).min(*at + PIECE_BYTES);
        let piece = &value[*at..end];
        let is_end = |index: usize| *at + index == first || *at + index == last;
        let found = piece
            .iter()
            .enumerate()
            .filter(|(index, byte)| is_end(*index) || **byte != skipped)
            .find_map(|(index, _)| first_in(value, *at + index, range, is_set));
        if let Some(found) = found {
            reply.integer(found);
            return Ok(true);
        }
        *at = end;
        context.spend(steps_of(0));
    }
    // Behind the end of a string zeros go on, unless the client has said where the range ends.
    reply.integer(if is_set || range.is_exact {
        -1
    } else {
        range.last + 1
    });
    Ok(true)
}
