//! Ids of entries as clients write them.

use repligo_proto::words::stream as words;

use crate::collection::StreamId;
use crate::command::{CommandError, parse_i64};

/// Longer texts are no ids.
const TEXT_BYTES_MAX: usize = 127;

pub(super) const INVALID_ID: CommandError = CommandError::fixed(words::INVALID_ID);

/// An id, or the milliseconds of one whose number follows from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Whole(StreamId),
    Milliseconds(u64),
}

/// A number as Redis reads it here: what no plain integer is goes through C's `strtoull`, which takes spaces in front,
/// a sign, and zeros, and negates a number without a sign.
fn parse_number(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | 9..=13);
    let spaces = text.iter().take_while(|byte| is_space(byte)).count();
    let (is_negated, digits) = match &text[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(if is_negated { number.wrapping_neg() } else { number })
}

/// An id of which a number may be missing, or, where `may_follow`, be a star.
fn parse(text: &[u8], missing_seq: u64, may_follow: bool) -> Option<Written> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    // Redis reads it as a text of C.
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    let Some(dash) = text.iter().position(|&byte| byte == b'-') else {
        let ms = parse_number(text)?;
        return Some(Written::Whole(StreamId { ms, seq: missing_seq }));
    };
    let (ms, seq) = (parse_number(&text[..dash])?, &text[dash + 1..]);
    if may_follow && seq == b"*" {
        return Some(Written::Milliseconds(ms));
    }
    let seq = parse_number(seq)?;
    Some(Written::Whole(StreamId { ms, seq }))
}

/// An id, where no end of a range is one.
///
/// # Errors
/// Redis' error for what is none.
pub(super) fn strict_id(text: &[u8]) -> Result<StreamId, CommandError> {
    match parse(text, 0, false) {
        Some(Written::Whole(id)) => Ok(id),
        _ => Err(INVALID_ID),
    }
}

/// As XADD takes it.
///
/// # Errors
/// Redis' error for what is none.
pub(super) fn new_id(text: &[u8]) -> Result<Written, CommandError> {
    parse(text, 0, true).ok_or(INVALID_ID)
}

/// An id, or `-` or `+` for the ends.
///
/// # Errors
/// Redis' error for what is none.
pub(super) fn loose_id(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => match parse(text, missing_seq, false) {
            Some(Written::Whole(id)) => Ok(id),
            _ => Err(INVALID_ID),
        },
    }
}

/// Where a range begins.
///
/// # Errors
/// Redis' error for what is no begin.
pub(super) fn range_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let next = strict_id(id)?.next();
            next.ok_or(CommandError::fixed(words::INVALID_START))
        }
        id => loose_id(id, 0),
    }
}

/// Where a range ends.
///
/// # Errors
/// Redis' error for what is no end.
pub(super) fn range_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let id = match parse(id, u64::MAX, false) {
                Some(Written::Whole(id)) => id,
                _ => return Err(INVALID_ID),
            };
            id.previous().ok_or(CommandError::fixed(words::INVALID_END))
        }
        id => loose_id(id, u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_by_redis() {
        for (text, ms, seq) in [
            ("1", 1, 0),
            ("1-2", 1, 2),
            ("18446744073709551615-18446744073709551615", u64::MAX, u64::MAX),
            ("007-+3", 7, 3),
            (" 7- 8", 7, 8),
            ("5--0", 5, 0),
            ("5--05", 5, 5u64.wrapping_neg()),
            ("5\0x", 5, 0),
        ] {
            assert_eq!(strict_id(text.as_bytes()), Ok(StreamId { ms, seq }), "{text}");
        }
        for text in [
            "",
            "-",
            "+",
            "x",
            "1-",
            "-1",
            "1-x",
            "1-*",
            "1-2-3",
            "18446744073709551616",
            "5--5",
        ] {
            assert!(strict_id(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(new_id(b"7-*"), Ok(Written::Milliseconds(7)));
        assert_eq!(range_end(b"7"), Ok(StreamId { ms: 7, seq: u64::MAX }));
        assert_eq!(range_start(b"(7"), Ok(StreamId { ms: 7, seq: 1 }));
        assert_eq!(range_end(b"(7-0"), Ok(StreamId { ms: 6, seq: u64::MAX }));
        assert!(range_start(b"(-").is_err() && range_end(b"(0-0").is_err());
    }
}
