//! BITFIELD: integers of 1 to 64 bits at any bit of a string.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::SYNTAX;
use repligo_proto::words::bits as words;

use super::{growth, parse_offset, refused};
use crate::command::{Arguments, CommandError, parse_i64};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;

/// Bytes that the bits of one field touch, at most.
const FIELD_BYTES_MAX: usize = 9;

/// How wide a field is, and whether it has a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    bits: u32,
    is_signed: bool,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let (is_signed, number) = match text {
            [b'i', number @ ..] => (true, number),
            [b'u', number @ ..] => (false, number),
            _ => return refused(words::BITFIELD_TYPE),
        };
        let bits_max = if is_signed { 64 } else { 63 };
        let bits = parse_i64(number).filter(|bits| (1..=bits_max).contains(bits));
        match bits {
            Some(bits) => Ok(Self {
                bits: bits as u32,
                is_signed,
            }),
            None => refused(words::BITFIELD_TYPE),
        }
    }

    fn max(self) -> i128 {
        (1 << (self.bits - u32::from(self.is_signed))) - 1
    }

    fn min(self) -> i128 {
        match self.is_signed {
            true => -self.max() - 1,
            false => 0,
        }
    }

    /// The number whose lowest bits these are.
    fn wrap(self, number: i128) -> i128 {
        let modulus = 1_i128 << self.bits;
        let number = number.rem_euclid(modulus);
        match number > self.max() {
            true => number - modulus,
            false => number,
        }
    }

    /// The end that a number passes when it is increased, by nothing if it is set. For signed numbers this counts in
    /// 64 bits as Redis does: the room up to an end wraps around where the number is far off, and so does the verdict.
    fn passed(self, number: i128, increment: i64) -> Option<End> {
        if !self.is_signed {
            let sum = number + i128::from(increment);
            return match number > self.max() || increment > 0 && sum > self.max() {
                true => Some(End::Greatest),
                false => (increment < 0 && sum < 0).then_some(End::Least),
            };
        }
        let (number, is_whole) = (number as i64, self.bits == i64::BITS);
        let (max, min) = (self.max() as i64, self.min() as i64);
        let (up, down) = (max.wrapping_sub(number), min.wrapping_sub(number));
        let counts_up = !is_whole || number >= 0 && increment > 0;
        let counts_down = !is_whole || number < 0 && increment < 0;
        if number > max || counts_up && increment > up {
            Some(End::Greatest)
        } else if number < min || counts_down && increment < down {
            Some(End::Least)
        } else {
            None
        }
    }

    /// What is stored for an increased number, unless that fails.
    fn fit(self, number: i128, increment: i64, overflow: Overflow) -> Option<i128> {
        let sum = number + i128::from(increment);
        match (self.passed(number, increment), overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Wrap) => Some(self.wrap(sum)),
            (Some(End::Greatest), Overflow::Saturate) => Some(self.max()),
            (Some(End::Least), Overflow::Saturate) => Some(self.min()),
            (Some(_), Overflow::Fail) => None,
        }
    }
}

/// An end of the numbers of a width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Greatest,
    Least,
}

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

/// One field and what is done with it.
#[derive(Clone, Copy, Debug)]
struct Step {
    action: Action,
    width: Width,
    offset: u64,
    overflow: Overflow,
}

impl Step {
    /// Bytes that a string needs for the field.
    fn end(&self) -> usize {
        ((self.offset + u64::from(self.width.bits) - 1) / 8 + 1) as usize
    }
}

/// Takes the next operation; `None` at the end. OVERFLOW holds for all behind it.
fn take_step(arguments: &mut Arguments<'_>, overflow: &mut Overflow) -> Result<Option<Step>, CommandError> {
    while arguments.len() > 1 && arguments.take_word("overflow") {
        *overflow = match arguments.take() {
            word if word.eq_ignore_ascii_case(b"wrap") => Overflow::Wrap,
            word if word.eq_ignore_ascii_case(b"sat") => Overflow::Saturate,
            word if word.eq_ignore_ascii_case(b"fail") => Overflow::Fail,
            _ => return refused(words::BITFIELD_OVERFLOW),
        };
    }
    if arguments.is_empty() {
        return Ok(None);
    }
    let (is_set, is_get) = match arguments.len() {
        3.. if arguments.take_word("get") => (false, true),
        4.. if arguments.take_word("set") => (true, false),
        4.. if arguments.take_word("incrby") => (false, false),
        _ => return refused(SYNTAX),
    };
    let width = Width::parse(arguments.take())?;
    let offset = parse_offset(arguments.take(), Some(width.bits))?;
    let action = match (is_get, is_set) {
        (true, _) => Action::Get,
        (_, true) => Action::Set(arguments.take_integer()?),
        _ => Action::Increment(arguments.take_integer()?),
    };
    Ok(Some(Step {
        action,
        width,
        offset,
        overflow: *overflow,
    }))
}

/// The bytes that a string needs for all that is written, `None` if nothing is.
fn written(mut arguments: Arguments<'_>) -> Result<Option<usize>, CommandError> {
    arguments.skip(1);
    let (mut overflow, mut end) = (Overflow::Wrap, None);
    while let Some(step) = take_step(&mut arguments, &mut overflow)? {
        if step.action != Action::Get {
            end = end.max(Some(step.end()));
        }
    }
    Ok(end)
}

/// Refuses what is no BITFIELD.
pub(super) fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    written(arguments).map(|_| ())
}

/// Refuses what is no BITFIELD_RO.
pub(super) fn check_read(arguments: Arguments<'_>) -> Result<(), CommandError> {
    match written(arguments)? {
        Some(_) => refused(words::BITFIELD_RO_WRITES),
        None => Ok(()),
    }
}

/// As many steps as there are operations, and those of growth.
pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let end = written(arguments).ok().flatten().unwrap_or(0);
    arguments.len() + growth(context, arguments.peek(), end)
}

/// The bits of a field, in the lowest bits of a number, and those around it in the bytes that it touches.
#[derive(Clone, Copy, Debug)]
struct Window {
    bits: u128,
    first_byte: usize,
    bytes: usize,
    shift: u32,
}

impl Window {
    /// Of a string that goes on with zeros behind its end.
    fn of(value: &[u8], step: &Step) -> Self {
        let first_byte = (step.offset / 8) as usize;
        let bytes = step.end() - first_byte;
        debug_assert!(bytes <= FIELD_BYTES_MAX);
        let at = |index: usize| value.get(first_byte + index).copied().unwrap_or(0);
        let bits = (0..bytes).fold(0, |bits, index| bits << 8 | u128::from(at(index)));
        let shift = bytes as u32 * 8 - (step.offset % 8) as u32 - step.width.bits;
        Self {
            bits,
            first_byte,
            bytes,
            shift,
        }
    }

    fn number(self, width: Width) -> i128 {
        let field = (self.bits >> self.shift) & ((1 << width.bits) - 1);
        width.wrap(field as i128)
    }

    /// The bytes with another number in the field.
    fn with(self, width: Width, number: i128) -> [u8; FIELD_BYTES_MAX] {
        let mask: u128 = (1 << width.bits) - 1;
        let bits = self.bits & !(mask << self.shift) | (number as u128 & mask) << self.shift;
        let mut bytes = [0; FIELD_BYTES_MAX];
        for (index, byte) in bytes[..self.bytes].iter_mut().enumerate() {
            *byte = (bits >> ((self.bytes - 1 - index) * 8)) as u8;
        }
        bytes
    }
}

/// `key [GET encoding offset ...]`: the numbers.
pub(super) fn bitfield_ro(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    check_read(arguments)?;
    let value = context.find_string(arguments.peek())?.unwrap_or(b"");
    let (mut rest, mut overflow, mut numbers) = (arguments, Overflow::Wrap, Vec::new());
    rest.skip(1);
    while let Some(step) = take_step(&mut rest, &mut overflow)? {
        numbers.push(Window::of(value, &step).number(step.width));
    }
    reply.array(numbers.len());
    numbers
        .into_iter()
        .for_each(|number| reply.integer(number as i64));
    Ok(())
}

/// How far a command has come.
#[derive(Debug)]
struct Progress {
    overflow: Overflow,
    /// Bytes that the string must have first.
    end: Option<usize>,
    is_changed: bool,
}

/// `key [GET|SET|INCRBY|OVERFLOW ...]`: a number, or null, for each field.
pub(super) fn bitfield(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    let key = all.peek();
    let len = context.looking(|context| Ok(context.find_string(key)?.map_or(0, <[u8]>::len)))?;
    let is_begun = kept.begun;
    let progress = kept.state_or(|| {
        Ok::<_, CommandError>(Progress {
            overflow: Overflow::Wrap,
            end: written(*all)?,
            is_changed: false,
        })
    })?;
    if !is_begun {
        rest.skip(1);
        reply.array(count_steps(*rest)?);
    }
    if let Some(end) = progress.end {
        progress.is_changed |= len < end;
        if !context.grow_string(key, end) {
            return Ok(None);
        }
    }
    while !rest.is_empty() {
        if context.is_spent() {
            return Ok(None);
        }
        let Some(step) = take_step(rest, &mut progress.overflow)? else {
            break;
        };
        progress.is_changed |= perform(context, key, &step, reply)?;
        context.spend(1);
    }
    Ok(Some(Changed::from(progress.is_changed)))
}

fn count_steps(mut arguments: Arguments<'_>) -> Result<usize, CommandError> {
    let (mut overflow, mut count) = (Overflow::Wrap, 0);
    while take_step(&mut arguments, &mut overflow)?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// One operation, answered; true if it changed the string.
fn perform(
    context: &mut WriteContext<'_>,
    key: &[u8],
    step: &Step,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let width = step.width;
    let window = context.looking(|context| {
        let value = context.find_string(key)?;
        Ok::<_, CommandError>(Window::of(value.unwrap_or(b""), step))
    })?;
    let old = window.number(width);
    let (new, is_told_new) = match step.action {
        Action::Get => (Some(old), true),
        // A field without sign takes a negative number for the great one with the same bits.
        Action::Set(number) if !width.is_signed => {
            (width.fit(i128::from(number as u64), 0, step.overflow), false)
        }
        Action::Set(number) => (width.fit(i128::from(number), 0, step.overflow), false),
        Action::Increment(number) => (width.fit(old, number, step.overflow), true),
    };
    let Some(new) = new else {
        reply.null();
        return Ok(false);
    };
    reply.integer(if is_told_new { new } else { old } as i64);
    if new != old {
        let bytes = window.with(width, new);
        context.overwrite_string(key, (window.first_byte, &bytes[..window.bytes]));
    }
    Ok(new != old)
}
