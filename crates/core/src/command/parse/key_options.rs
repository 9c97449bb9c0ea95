//! The options of the commands on keys and databases.

use repligo_proto::command::{CommandId, Spec};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::set_options::signed_time_ms;
use super::{Unit, integer, invalid_expire_time, text};
use crate::command::options::{Deadline, DeadlineCondition};
use crate::command::{Command, CommandError};

/// How many entries SCAN looks at when it is not told.
const SCAN_COUNT: u64 = 10;

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT: key, time, conditions. Conditions are judged before the time.
pub(super) fn parse_expire<'a>(
    spec: &'static Spec,
    db: u8,
    args: ArgSlice<'a>,
) -> Result<Command<'a>, CommandError> {
    let (unit, relative) = match spec.id {
        CommandId::Expire => (Unit::Seconds, true),
        CommandId::PExpire => (Unit::Milliseconds, true),
        CommandId::ExpireAt => (Unit::Seconds, false),
        _ => (Unit::Milliseconds, false),
    };
    let condition = deadline_condition(args.skip(3))?;
    let time = signed_time_ms(args.get(2), unit, relative)?.ok_or_else(|| invalid_expire_time(spec.name))?;
    let deadline = if relative {
        Deadline::In(time)
    } else {
        Deadline::At(time)
    };
    Ok(Command::Expire {
        db,
        key: args.get(1),
        deadline,
        condition,
    })
}

fn deadline_condition(words: ArgSlice<'_>) -> Result<DeadlineCondition, CommandError> {
    let mut condition = DeadlineCondition::default();
    for word in words.iter() {
        let flag = match word.to_ascii_lowercase().as_slice() {
            b"nx" => &mut condition.if_none,
            b"xx" => &mut condition.if_some,
            b"gt" => &mut condition.if_later,
            b"lt" => &mut condition.if_earlier,
            _ => return Err(CommandError::composed(words::unsupported_option(word))),
        };
        *flag = true;
    }
    let DeadlineCondition {
        if_none,
        if_some,
        if_later,
        if_earlier,
    } = condition;
    if if_none && (if_some || if_later || if_earlier) {
        return Err(text::NX_WITH_OTHERS);
    }
    if if_later && if_earlier {
        return Err(text::GT_WITH_LT);
    }
    Ok(condition)
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type].
pub(super) fn parse_scan(db: u8, args: ArgSlice<'_>) -> Result<Command<'_>, CommandError> {
    let cursor = scan_cursor(args.get(1)).ok_or(text::CURSOR)?;
    let (mut count, mut pattern, mut kind) = (SCAN_COUNT, None, None);
    let mut rest = args.skip(2);
    while let Some(word) = rest.try_get(0) {
        let value = rest.try_get(1).ok_or(text::SYNTAX)?;
        if word.eq_ignore_ascii_case(b"count") {
            count = u64::try_from(integer(value)?)
                .ok()
                .filter(|&count| count > 0)
                .ok_or(text::SYNTAX)?;
        } else if word.eq_ignore_ascii_case(b"match") {
            pattern = Some(super::pattern(value)?);
        } else if word.eq_ignore_ascii_case(b"type") {
            kind = Some(value);
        } else {
            return Err(text::SYNTAX);
        }
        rest = rest.skip(2);
    }
    Ok(Command::Scan {
        db,
        cursor,
        count,
        pattern,
        kind,
    })
}

/// Reads a cursor like C's `strtoul`, which Redis uses: one sign is allowed, a minus wraps, nothing at
/// all is 0.
pub fn scan_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return text.is_empty().then_some(0);
    }
    let mut cursor = 0u64;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        cursor = cursor.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { cursor.wrapping_neg() } else { cursor })
}

/// FLUSHDB and FLUSHALL take SYNC or ASYNC, which make no difference here: dropping a table is an op
/// like any other.
pub(super) fn check_flush_mode(args: ArgSlice<'_>) -> Result<(), CommandError> {
    match args.try_get(1) {
        None => Ok(()),
        Some(word) if args.len() == 2 => {
            let known = word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async");
            known.then_some(()).ok_or(text::SYNTAX)
        }
        Some(_) => Err(text::SYNTAX),
    }
}
