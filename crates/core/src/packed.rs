//! The byte-level vocabulary of everything the core encodes: varints, zigzag integers and
//! length-prefixed byte strings, read without copying and without panicking.
//!
//! It knows no tags and no messages; those live beside the types they encode. Decoding is total: any
//! input gives a value or [`Corrupt`]. Encoding is canonical: one value has one encoding, and a varint
//! that is longer than needed is refused, so equal ops have equal bytes.

use std::fmt;

/// The bytes are not what an encoder of this crate wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What was expected at the place where decoding stopped.
    pub expected: &'static str,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "corrupt encoding: expected {}", self.expected)
    }
}

impl std::error::Error for Corrupt {}

/// Shorthand for a decoding failure.
#[inline]
pub(crate) fn corrupt<T>(expected: &'static str) -> Result<T, Corrupt> {
    Err(Corrupt { expected })
}

/// What an encoding is appended to.
pub trait Sink {
    /// Appends a byte.
    fn push(&mut self, byte: u8);
    /// Appends bytes.
    fn extend_from_slice(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline(always)]
    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Longest encoding of a varint in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends an unsigned LEB128 varint.
#[inline]
pub fn put_varint(out: &mut impl Sink, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer, zigzagged so that small magnitudes stay short.
#[inline]
pub fn put_signed(out: &mut impl Sink, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a byte string with its length in front.
#[inline]
pub fn put_bytes(out: &mut impl Sink, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes one byte off the front.
#[inline]
pub fn take_u8(input: &mut &[u8]) -> Result<u8, Corrupt> {
    match input.split_first() {
        Some((&byte, rest)) => {
            *input = rest;
            Ok(byte)
        }
        None => corrupt("a byte"),
    }
}

/// Takes a varint off the front.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Result<u64, Corrupt> {
    match input.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *input = rest;
            Ok(u64::from(byte))
        }
        _ => take_long_varint(input),
    }
}

fn take_long_varint(input: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let overflows = index == VARINT_BYTES_MAX - 1 && byte > 1;
            let overlong = byte == 0 && index > 0;
            if overflows || overlong {
                return corrupt("a canonical varint");
            }
            *input = &input[index + 1..];
            return Ok(value);
        }
    }
    corrupt("a varint")
}

/// Takes a signed integer off the front.
#[inline]
pub fn take_signed(input: &mut &[u8]) -> Result<i64, Corrupt> {
    let value = take_varint(input)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// Takes a byte string off the front; it borrows from the input.
#[inline]
pub fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let length = take_varint(input)?;
    if length > input.len() as u64 {
        return corrupt("as many bytes as the length says");
    }
    let (bytes, rest) = input.split_at(length as usize);
    *input = rest;
    Ok(bytes)
}

/// Takes a fixed number of bytes off the front.
#[inline]
pub fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    match input.split_first_chunk::<N>() {
        Some((chunk, rest)) => {
            *input = rest;
            Ok(*chunk)
        }
        None => corrupt("a fixed-size field"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_have_one_encoding() {
        for (value, bytes) in [
            (0u64, &[0u8][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (
                u64::MAX,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(take_varint(&mut &out[..]), Ok(value));
        }
        for refused in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert!(take_varint(&mut &refused[..]).is_err(), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_is_taken(number in any::<u64>(), signed in any::<i64>(), bytes in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            put_signed(&mut out, signed);
            put_bytes(&mut out, &bytes);
            let mut input = &out[..];
            prop_assert_eq!(take_varint(&mut input), Ok(number));
            prop_assert_eq!(take_signed(&mut input), Ok(signed));
            prop_assert_eq!(take_bytes(&mut input), Ok(&bytes[..]));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn decoding_is_total(bytes in any::<Vec<u8>>()) {
            let _ = take_varint(&mut &bytes[..]);
            let _ = take_bytes(&mut &bytes[..]);
            let _ = take_array::<8>(&mut &bytes[..]);
        }
    }
}
