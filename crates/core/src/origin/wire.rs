//! What the encodings of the origin have in common beyond `packed.rs`: flags, optional and owned bytes,
//! and counts that cannot reserve more memory than their input justifies.

use bytes::Bytes;

pub use crate::packed::Corrupt;
pub(crate) use crate::packed::{put_bytes, put_varint, take_bytes, take_u8, take_varint};

/// The bytes are not what was expected here.
pub(crate) fn corrupt(expected: &'static str) -> Corrupt {
    Corrupt { expected }
}

/// Absent is 0, present is 1 followed by the bytes.
pub(crate) fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put_bytes(out, bytes);
    }
}

pub(crate) fn take_optional<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Corrupt> {
    Ok(if take_bool(input)? {
        Some(take_bytes(input)?)
    } else {
        None
    })
}

pub(crate) fn take_bool(input: &mut &[u8]) -> Result<bool, Corrupt> {
    match take_u8(input)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(corrupt("a flag")),
    }
}

pub(crate) fn take_u16(input: &mut &[u8]) -> Result<u16, Corrupt> {
    u16::try_from(take_varint(input)?).map_err(|_| corrupt("a number below 65536"))
}

pub(crate) fn take_owned(input: &mut &[u8]) -> Result<Bytes, Corrupt> {
    take_bytes(input).map(Bytes::copy_from_slice)
}

/// Text that this crate wrote.
pub(crate) fn take_text(input: &mut &[u8]) -> Result<String, Corrupt> {
    String::from_utf8(take_bytes(input)?.to_vec()).map_err(|_| corrupt("text in UTF-8"))
}

/// A count of things that take at least one byte each.
pub(crate) fn take_count(input: &mut &[u8]) -> Result<usize, Corrupt> {
    let count = take_varint(input)?;
    if count > input.len() as u64 {
        return Err(corrupt("as many items as the count says"));
    }
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_bytes_come_back() {
        let mut out = Vec::new();
        put_optional(&mut out, None);
        put_optional(&mut out, Some(b""));
        put_optional(&mut out, Some(b"\0\xff"));
        let mut input = &out[..];
        assert_eq!(take_optional(&mut input), Ok(None));
        assert_eq!(take_optional(&mut input), Ok(Some(&b""[..])));
        assert_eq!(take_optional(&mut input), Ok(Some(&b"\0\xff"[..])));
        assert!(input.is_empty());
    }

    #[test]
    fn counts_beyond_the_input_are_corrupt() {
        assert!(take_count(&mut &[9, 1][..]).is_err());
        assert!(take_bool(&mut &[2][..]).is_err());
        assert!(take_u16(&mut &[0xff, 0xff, 0x7f][..]).is_err());
    }
}
