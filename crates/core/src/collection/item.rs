//! A member or an element as it is read: bytes, or an integer that is stored as one.

/// Longest text of an integer.
const INTEGER_BYTES_MAX: usize = 20;

/// Borrows from the collection that it was read from.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// As they were given.
    Bytes(&'a [u8]),
    /// Was given as its shortest decimal text.
    Integer(i64),
}

impl Item<'_> {
    /// Shows the bytes.
    pub fn with<R>(&self, show: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Bytes(bytes) => show(bytes),
            Self::Integer(integer) => show(itoa::Buffer::new().format(*integer).as_bytes()),
        }
    }

    /// A copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }
}

impl PartialEq<[u8]> for Item<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        match self {
            Self::Bytes(bytes) => *bytes == other,
            Self::Integer(integer) => integer_of(other) == Some(*integer),
        }
    }
}

/// The integer whose shortest decimal text this is.
pub(super) fn integer_of(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_short = match digits {
        [] => false,
        [b'0'] => digits.len() == text.len(),
        [first, ..] => (b'1'..=b'9').contains(first) && text.len() <= INTEGER_BYTES_MAX,
    };
    if !is_short || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_text_is_an_integer() {
        for (text, integer) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            ("", None),
            ("-", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(integer_of(text.as_bytes()), integer, "{text}");
            if let Some(integer) = integer {
                assert_eq!(Item::Integer(integer).to_vec(), text.as_bytes());
                assert!(Item::Integer(integer) == *text.as_bytes());
            }
        }
    }
}
