//! Scores as texts: what C's `strtod` reads from arguments, so that texts mean what they mean to Redis.

use repligo_proto::words;

use crate::command::CommandError;
use crate::keyspace::extended::Hexadecimal;

/// A number, and whether it is one that a 64-bit number comes near.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parsed {
    value: f64,
    is_in_range: bool,
}

/// Reads a text as a whole: a decimal or hexadecimal number, or the word for infinity. No space, no "not a number".
fn parse(text: &[u8]) -> Option<Parsed> {
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let Parsed { value, is_in_range } =
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            Parsed {
                value: f64::INFINITY,
                is_in_range: true,
            }
        } else if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
            from_hexadecimal(&Hexadecimal::parse(digits)?)
        } else {
            from_decimal(unsigned)?
        };
    Some(Parsed {
        value: if is_negative { -value } else { value },
        is_in_range,
    })
}

fn from_decimal(text: &[u8]) -> Option<Parsed> {
    // What begins so is a number to both; words and a second sign are none here.
    if !matches!(text.first(), Some(b'0'..=b'9' | b'.')) {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let is_zero = mantissa.all(|byte| matches!(byte, b'0' | b'.'));
    Some(Parsed {
        value,
        is_in_range: value.is_finite() && (value != 0.0 || is_zero),
    })
}

/// Rounds once, to the nearest, ties to even.
fn from_hexadecimal(number: &Hexadecimal) -> Parsed {
    const MANTISSA_BITS: i64 = f64::MANTISSA_DIGITS as i64;
    const EXPONENT_MIN: i64 = f64::MIN_EXP as i64 - 1;
    let of = |bits: u64, is_in_range| Parsed {
        value: f64::from_bits(bits),
        is_in_range,
    };
    if number.mantissa == 0 {
        return of(0, true);
    }
    let mantissa = number.mantissa << number.mantissa.leading_zeros();
    // Of the highest bit.
    let exponent = number.exponent + i64::from(number.mantissa.ilog2());
    if exponent >= i64::from(f64::MAX_EXP) {
        return of(f64::INFINITY.to_bits(), false);
    }
    let kept = MANTISSA_BITS - (EXPONENT_MIN - exponent).max(0);
    if kept < 0 {
        return of(0, false);
    }
    let kept = kept as u32;
    let high = mantissa.checked_shr(u128::BITS - kept).unwrap_or(0);
    let (rest, half) = (mantissa << kept, 1 << (u128::BITS - 1));
    let is_up = rest > half || rest == half && (number.more || high & 1 == 1);
    let rounded = high as u64 + u64::from(is_up);
    // The highest bit of a mantissa adds one to the exponent, and so does the carry out of it.
    let scale = (exponent - EXPONENT_MIN).max(0) as u64;
    let value = f64::from_bits((scale << (MANTISSA_BITS - 1)) + rounded);
    Parsed {
        value,
        is_in_range: value.is_finite() && value != 0.0,
    }
}

/// A score, increment or weight.
///
/// # Errors
/// Redis' error for what is none.
pub fn score(text: &[u8]) -> Result<f64, CommandError> {
    let parsed = parse(text).filter(|parsed| parsed.is_in_range);
    let parsed = parsed.ok_or(CommandError::fixed(words::NOT_A_FLOAT))?;
    Ok(parsed.value)
}

/// What SORT sorts by. As Redis reads it: up to a zero byte, behind spaces, and nothing at all for zero.
pub(in crate::keyspace) fn weight(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let parsed = parse(text.trim_ascii_start()).filter(|parsed| parsed.is_in_range);
    parsed.map(|parsed| parsed.value)
}

/// An end of a range of scores, and whether it is outside of the range.
pub fn bound(text: &[u8]) -> Option<(f64, bool)> {
    let (text, is_excluded) = match text {
        [b'(', rest @ ..] => (rest, true),
        text => (text, false),
    };
    // Here Redis reads up to a zero byte, skips spaces, and takes nothing at all for zero.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some((0.0, is_excluded));
    }
    let spaces = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r'));
    parse(&text[spaces.count()..]).map(|parsed| (parsed.value, is_excluded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_by_strtod() {
        for (text, expect) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("0e999", 0.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("5e-324", 5e-324),
            ("0x1p-2", 0.25),
            ("0X.8", 0.5),
            ("-0x1f", -31.0),
            ("0x0", 0.0),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8),
            ("0x1.00000000000008p0", 1.0),
            (
                "0x1.000000000000080000000000000000000000001p0",
                1.000_000_000_000_000_2,
            ),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0x0.fffffffffffffp-1022", f64::from_bits((1 << 52) - 1)),
            ("0x1.fffffffffffffp1023", f64::MAX),
        ] {
            let read = score(text.as_bytes()).map(f64::to_bits);
            assert_eq!(read, Ok(expect.to_bits()), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "-nan",
            "nan(1)",
            "--1",
            "1e",
            "1e+",
            ".",
            "e5",
            "1e400",
            "1e-400",
            "0x",
            "0x1p1024",
            "0x1p-1075",
            "0x1p-9999999999999999999",
            "infin",
            "1\0",
            "1_0",
            "\u{661}",
            "+-1",
            "0x-1",
        ] {
            assert!(score(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ends_of_ranges_are_read_more_freely() {
        for (text, expect) in [
            ("", Some((0.0, false))),
            ("(", Some((0.0, true))),
            (" \t1", Some((1.0, false))),
            ("( 1", Some((1.0, true))),
            ("(-inf", Some((f64::NEG_INFINITY, true))),
            ("1e999", Some((f64::INFINITY, false))),
            ("1e-999", Some((0.0, false))),
            ("1\0x", Some((1.0, false))),
            (" ", None),
            ("((1", None),
            ("1 ", None),
            ("nan", None),
            ("[1", None),
        ] {
            assert_eq!(bound(text.as_bytes()), expect, "{text:?}");
        }
    }
}
