//! Integers as Redis reads them from arguments and values: decimal, no sign but a minus, no leading
//! zeros, no spaces, 64 bits.

/// Reads a 64-bit integer, or `None` when the text is not exactly the one that would be written for it.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (&first, rest) = digits.split_first()?;
    if first == b'0' {
        return (rest.is_empty() && !negative).then_some(0);
    }
    if !first.is_ascii_digit() || rest.len() > 18 {
        return None;
    }
    // At most nineteen digits, so the magnitude fits into 64 unsigned bits.
    let mut magnitude = u64::from(first - b'0');
    for &byte in rest {
        if !byte.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(byte - b'0');
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::parse_i64;

    #[test]
    fn only_the_canonical_form_is_an_integer() {
        for value in [
            0,
            1,
            -1,
            10,
            42,
            -99,
            i64::MAX,
            i64::MIN,
            i64::MAX - 1,
            i64::MIN + 1,
        ] {
            assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }
        let refused = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "00",
            "-01",
            "0x10",
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "--1",
            "abc",
            "1a",
        ];
        for text in refused {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }
}
