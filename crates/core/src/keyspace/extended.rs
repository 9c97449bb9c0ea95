//! The numbers of INCRBYFLOAT: binary floating point with a 64-bit mantissa and a 15-bit exponent, the
//! `long double` that Redis computes with on x86-64, done with integers alone.
//!
//! So results do not depend on the machine, the compiler or a C library, and texts equal those of
//! Redis: parsing, addition and formatting (`%.17Lf` without trailing zeros) are each rounded once, to
//! the nearest, ties to even.

use std::cmp::Ordering;

use super::natural::Natural;

/// Longest text that Redis parses as a number, plus one.
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Digits after the point in a text.
const DECIMALS: u32 = 17;
/// Weight of the lowest bit of the smallest numbers.
const EXPONENT_MIN: i32 = -16_445;
/// A number is finite when it is below two to this power.
const EXPONENT_END: i32 = 16_384;
/// No number of this many decimal digits before the point is finite, and none that begins this many
/// places behind it differs from zero.
const DECIMAL_MAGNITUDE_MAX: i64 = 5_000;

/// A number, which may be infinite but always is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extended {
    /// `mantissa * 2^exponent`. The highest bit of the mantissa is set, unless the number is zero or the
    /// exponent is [`EXPONENT_MIN`].
    Finite {
        negative: bool,
        mantissa: u64,
        exponent: i32,
    },
    /// Written as such; no operation gives it.
    Infinite,
}

impl Extended {
    pub const ZERO: Self = Self::Finite {
        negative: false,
        mantissa: 0,
        exponent: EXPONENT_MIN,
    };

    /// Reads what C's `strtold` reads, a space before it and "not a number" excepted: a decimal or a
    /// hexadecimal number, with or without point and exponent, or the word for infinity. `None` for anything
    /// else and for numbers out of range, on the side of zero too.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite);
        }
        let (mantissa, exponent) = if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
            let hexadecimal = Hexadecimal::parse(digits)?;
            if hexadecimal.mantissa == 0 {
                return Some(Self::ZERO);
            }
            hexadecimal.to_binary()?
        } else {
            let decimal = Decimal::parse(unsigned)?;
            if decimal.digits.is_zero() {
                return Some(Self::ZERO);
            }
            decimal.to_binary()?
        };
        (mantissa != 0).then_some(Self::Finite {
            negative,
            mantissa,
            exponent,
        })
    }

    /// The number `factor` times, rounded as every result is, then up to an integer; `None` where that has more than
    /// 127 bits.
    pub fn times_rounded_up(self, factor: u32) -> Option<i128> {
        let Self::Finite {
            negative,
            mantissa,
            exponent,
        } = self
        else {
            return None;
        };
        if mantissa == 0 {
            return Some(0);
        }
        let (mantissa, exponent) = round(u128::from(mantissa) * u128::from(factor), exponent, false)?;
        let product = i128::from(mantissa) * if negative { -1 } else { 1 };
        match exponent {
            0..=62 => Some(product << exponent),
            63.. => None,
            _ => Some(-(-product >> exponent.unsigned_abs().min(126))),
        }
    }

    /// True for a number.
    pub fn is_finite(self) -> bool {
        matches!(self, Self::Finite { .. })
    }

    /// The sum, or `None` when it is not finite.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let Self::Finite {
            negative,
            mantissa,
            exponent,
        } = self
        else {
            return None;
        };
        let Self::Finite {
            negative: other_negative,
            mantissa: other_mantissa,
            exponent: other_exponent,
        } = other
        else {
            return None;
        };
        if exponent < other_exponent {
            return other.checked_add(self);
        }
        // One bit of room above for the carry; below, bits are lost only where the other number is so
        // much smaller that they cannot do more than decide the rounding.
        let large = u128::from(mantissa) << 63;
        let widened = u128::from(other_mantissa) << 63;
        let shift = exponent.abs_diff(other_exponent);
        let small = widened.checked_shr(shift).unwrap_or(0);
        let lost = small.checked_shl(shift).unwrap_or(0) != widened;
        let (negative, sum) = match (negative == other_negative, large.cmp(&small)) {
            (true, _) => (negative, large + small),
            // What was lost makes the difference a little smaller than it looks.
            (false, Ordering::Greater) => (negative, large - small - u128::from(lost)),
            (false, Ordering::Less) => (other_negative, small - large),
            (false, Ordering::Equal) => return Some(Self::ZERO),
        };
        let (mantissa, exponent) = round(sum, exponent - 63, lost)?;
        Some(Self::Finite {
            negative,
            mantissa,
            exponent,
        })
    }

    /// At most seventeen decimals, none of them a trailing zero, no exponent however long it gets.
    pub fn to_text(self) -> String {
        let Self::Finite {
            negative,
            mantissa,
            exponent,
        } = self
        else {
            return "inf".to_owned();
        };
        let text = match u32::try_from(exponent) {
            Ok(shift) => Natural::from(mantissa).shifted_left(shift).into_text(),
            Err(_) => fraction_text(mantissa, exponent.unsigned_abs()),
        };
        if negative && text != "0" {
            format!("-{text}")
        } else {
            text
        }
    }
}

/// `mantissa / 2^shift` with [`DECIMALS`] decimals, rounded, without trailing zeros.
fn fraction_text(mantissa: u64, shift: u32) -> String {
    const SCALE: u128 = 10u128.pow(DECIMALS);
    // Below 2^121, so a shift past the width leaves less than a half.
    let scaled = u128::from(mantissa) * SCALE;
    let mut units = scaled.checked_shr(shift).unwrap_or(0);
    if shift < u128::BITS {
        let (rest, half) = (scaled - (units << shift), 1u128 << (shift - 1));
        if rest > half || (rest == half && units % 2 == 1) {
            units += 1;
        }
    }
    let text = format!("{}.{:017}", units / SCALE, units % SCALE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Rounds `mantissa * 2^exponent`, and a little more if `more`, to the nearest number, ties to even;
/// `None` when it is not finite. With `more` the mantissa must have more than 65 bits.
fn round(mantissa: u128, exponent: i32, more: bool) -> Option<(u64, i32)> {
    let bits = (u128::BITS - mantissa.leading_zeros()) as i32;
    debug_assert!(
        !more || bits > 65,
        "what is cut off decides more than the rounding"
    );
    let drop = (bits - 64).max(EXPONENT_MIN - exponent);
    let exponent = exponent + drop;
    let rounded = if drop <= 0 {
        mantissa << drop.unsigned_abs()
    } else if drop >= 128 {
        0
    } else {
        let kept = mantissa >> drop;
        let (rest, half) = (mantissa - (kept << drop), 1u128 << (drop - 1));
        let up = rest > half || (rest == half && (more || kept % 2 == 1));
        kept + u128::from(up)
    };
    // Rounding up may carry into a 65th bit; then all others are zero.
    let (mantissa, exponent) = match u64::try_from(rounded) {
        Ok(mantissa) => (mantissa, exponent),
        Err(_) => ((rounded >> 1) as u64, exponent + 1),
    };
    (mantissa == 0 || exponent + 64 <= EXPONENT_END).then_some((mantissa, exponent))
}

/// A decimal number as written: `digits * 10^exponent`.
#[derive(Debug)]
struct Decimal {
    digits: Natural,
    exponent: i64,
}

impl Decimal {
    /// Digits with an optional point among, before or behind them, and an optional exponent.
    fn parse(text: &[u8]) -> Option<Self> {
        let mark = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e'));
        let (number, written_exponent) = match mark {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (mut digits, mut exponent) = (Natural::from(0), written_exponent);
        let (mut digit_count, mut point) = (0, false);
        for &byte in number {
            match byte {
                b'0'..=b'9' => {
                    digits.push_digit(byte - b'0');
                    digit_count += 1;
                    exponent -= i64::from(point);
                }
                b'.' if !point => point = true,
                _ => return None,
            }
        }
        (digit_count > 0).then_some(Self { digits, exponent })
    }

    /// The nearest number; its mantissa is 0 when that is zero. `None` when it is not finite.
    fn to_binary(&self) -> Option<(u64, i32)> {
        // Three decimal digits are less than ten bits and more than nine.
        let digits_min = i64::from(self.digits.bits()) * 3 / 10;
        if digits_min + self.exponent > DECIMAL_MAGNITUDE_MAX {
            return None;
        }
        let digits_max = i64::from(self.digits.bits()) / 3 + 1;
        if digits_max + self.exponent < -DECIMAL_MAGNITUDE_MAX {
            return Some((0, EXPONENT_MIN));
        }
        let power = Natural::power_of_ten(self.exponent.unsigned_abs() as u32);
        let (numerator, denominator) = if self.exponent < 0 {
            (self.digits.clone(), power)
        } else {
            (self.digits.times(&power), Natural::from(1))
        };
        // Aligned so that the quotient has 66 or 67 bits: the mantissa's and those that round it.
        let shift = 66 + denominator.bits() as i32 - numerator.bits() as i32;
        let (quotient, exact) = if shift >= 0 {
            numerator.shifted_left(shift.unsigned_abs()).divide(denominator)
        } else {
            numerator.divide(denominator.shifted_left(shift.unsigned_abs()))
        };
        round(quotient, -shift, !exact)
    }
}

/// A hexadecimal number as written: `mantissa * 2^exponent`, and a little more if `more`.
#[derive(Debug)]
pub(super) struct Hexadecimal {
    pub mantissa: u128,
    pub exponent: i64,
    pub more: bool,
}

impl Hexadecimal {
    /// What follows `0x`: digits with an optional point among, before or behind them, and an optional binary
    /// exponent.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mark = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p'));
        let (number, written_exponent) = match mark {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (mut mantissa, mut exponent, mut more) = (0u128, written_exponent, false);
        let (mut has_digits, mut point) = (false, false);
        for &byte in number {
            if byte == b'.' && !point {
                point = true;
                continue;
            }
            let digit = u128::from(char::from(byte).to_digit(16)?);
            has_digits = true;
            exponent -= if point { 4 } else { 0 };
            // Digits beyond these decide the rounding only.
            if mantissa >> (u128::BITS - 4) == 0 {
                mantissa = mantissa << 4 | digit;
            } else {
                exponent += 4;
                more |= digit != 0;
            }
        }
        has_digits.then_some(Self {
            mantissa,
            exponent,
            more,
        })
    }

    /// The nearest number; its mantissa is 0 when that is zero. `None` when it is not finite.
    fn to_binary(&self) -> Option<(u64, i32)> {
        // Beyond these nothing is finite, or anything but zero.
        const EXPONENT_MAGNITUDE_MAX: i64 = 40_000;
        let limit = EXPONENT_MAGNITUDE_MAX;
        round(
            self.mantissa,
            self.exponent.clamp(-limit, limit) as i32,
            self.more,
        )
    }
}

/// An exponent with its sign; it saturates far outside of what is finite.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const SATURATED: i64 = 1_000_000;
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(SATURATED)
    });
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(left: &str, right: &str) -> Option<String> {
        let (left, right) = (
            Extended::parse(left.as_bytes())?,
            Extended::parse(right.as_bytes())?,
        );
        left.checked_add(right).map(Extended::to_text)
    }

    #[test]
    fn sums_are_those_of_redis_7() {
        // Right side: what redis-server 7.0.15 answers to SET k <left>, INCRBYFLOAT k <middle>.
        let cases = [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0", "0.1", "0.1"),
            ("0.1", "0.2", "0.3"),
            ("3.0", "-3", "0"),
            ("-0", "-0.0", "0"),
            ("1e20", "1", "100000000000000000000"),
            ("1e-18", "0", "0"),
            ("1", "1e-17", "1.00000000000000001"),
            ("9007199254740993", "0", "9007199254740993"),
            ("18446744073709551615", "1", "18446744073709551616"),
            (".5", "5.", "5.5"),
            ("230538.57614319996", "1e+5", "330538.57614319996000063"),
            ("510.3", "213472517662e-18", "510.30000021347251765"),
            ("99.9", "+94e-4951", "99.9"),
            ("1.9e-4951", "0.3889679989233741", "0.3889679989233741"),
            ("730.3", "-8.872898759192832591e-3943", "730.29999999999999999"),
            ("1e+5", "+800385.7962752564", "900385.7962752564000084"),
            ("38.6", "+2.514976041337565541e-2998", "38.6"),
            ("1e-19", "+10.8", "10.8"),
            ("-402.01", "0.9038247091813043", "-401.1061752908186957"),
            (
                "966716.2189252522",
                "-0.7581845371687517",
                "966715.46074071503124969",
            ),
            ("-295147905179352825853", "660.01", "-295147905179352825200"),
            ("+40477e27", "-172746e13", "40476999999998272539593717841920"),
            (
                "+0.0692682474259646",
                "734074.0000000000000000879",
                "734074.06926824742595272",
            ),
            ("-1152921504606846975", "-7.1", "-1152921504606846982.125"),
            (
                "+295147905179352825857",
                "260512.75430829902",
                "295147905179353086368",
            ),
            ("2015117262e16", "465.5", "20151172619999999999082496"),
            ("+96.8", "590295810358705651713", "590295810358705651840"),
            (
                "-426783.2526167995",
                "41663.73623297348",
                "-385119.51638382601998956",
            ),
        ];
        for (left, right, expect) in cases {
            assert_eq!(sum(left, right).as_deref(), Some(expect), "{left} + {right}");
        }
    }

    #[test]
    fn what_strtold_refuses_is_refused() {
        let refused = [
            "",
            ".",
            "-",
            "e5",
            "1e",
            "1e+",
            " 1",
            "1 ",
            "1x",
            "nan",
            "--1",
            "1.2.3",
            "1e5000",
            "1e-5000",
            "\u{1}",
            "0x",
            "0xp4",
            "0x1p",
            "0x1e+2",
            "0x1..2",
            "0x1g",
            "1p4",
            "0x1p16384",
            "0x1p-16446",
            "nan()",
            "0x1p99999999999999999999",
            "0x1p-99999999999999999999",
            " 0x1",
            "0x 1",
            "0x-1",
            "infin",
        ];
        for text in refused {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Extended::parse(&[b'1'; TEXT_BYTES_MAX]), None);
        assert!(Extended::parse(&[b'0'; TEXT_BYTES_MAX - 1]).is_some());
        assert!(Extended::parse(b"0e99999999999999999999").is_some());
    }

    #[test]
    fn hexadecimal_numbers_are_read_as_by_strtold() {
        // What redis-server 7.0.15 answers to INCRBYFLOAT of an absent key.
        let long = format!("0x1{}.8", "0".repeat(40));
        let cases = [
            ("0x10", "16"),
            ("0X1F", "31"),
            ("-0x10", "-16"),
            ("+0x10", "16"),
            ("0x.8", "0.5"),
            ("0x1.8", "1.5"),
            ("0x1.p1", "2"),
            ("0x1p4", "16"),
            ("0x1p-2", "0.25"),
            ("0x1P+3", "8"),
            ("0x1e2", "482"),
            ("0x1.ffffffffffffffffff", "2"),
            ("0x0", "0"),
            ("0x0p99999", "0"),
            ("0x1p-16445", "0"),
            (long.as_str(), "1461501637330902918203684832716283019655932542976"),
        ];
        for (text, expect) in cases {
            assert_eq!(sum("0", text).as_deref(), Some(expect), "{text}");
        }
    }

    #[test]
    fn only_finite_sums_are_sums() {
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1.1e4932", "1e4932"), None);
        assert!(sum("1.1e4932", "1e4930").is_some_and(|text| text.len() == 4933));
    }
}
