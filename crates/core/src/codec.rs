//! Little-endian, length-checked reading and writing of the core's own bytes: peer messages, entries,
//! snapshot headers. Not RESP and not the op encoding.
//!
//! Reading never panics and never allocates by a number that the bytes claim.

use bytes::Bytes;

/// The bytes do not say what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends a u64 in LEB128, 1 to 10 bytes.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of a shared buffer; slices of it share its memory.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Reads `bytes` from its start.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub fn rest(self) -> Bytes {
        self.rest
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let value = *self.rest.first().ok_or(Malformed)?;
        self.rest = self.rest.slice(1..);
        Ok(value)
    }

    /// One LEB128 number.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut rest: &[u8] = &self.rest;
        let value = take_varint(&mut rest)?;
        let read = self.rest.len() - rest.len();
        self.rest = self.rest.slice(read..);
        Ok(value)
    }

    /// The next `count` bytes, shared.
    pub fn take(&mut self, count: u64) -> Result<Bytes, Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed)?;
        if count > self.rest.len() {
            return Err(Malformed);
        }
        Ok(self.rest.split_to(count))
    }

    /// A length and that many bytes, shared.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let count = self.varint()?;
        self.take(count)
    }
}

/// Takes one LEB128 number off the front of a slice.
pub fn take_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (position, &byte) in rest.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * position as u32;
        if shift == 63 && bits > 1 {
            return Err(Malformed);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            *rest = &rest[position + 1..];
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes a length and that many bytes off the front of a slice.
pub fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let count = usize::try_from(take_varint(rest)?).map_err(|_| Malformed)?;
    if count > rest.len() {
        return Err(Malformed);
    }
    let (taken, left) = rest.split_at(count);
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                let mut rest = &out[..];
                assert_eq!(take_varint(&mut rest), Ok(value));
                assert!(rest.is_empty());
                assert_eq!(Reader::new(Bytes::from(out)).varint(), Ok(value));
            }
        }
    }

    #[test]
    fn claims_longer_than_the_bytes_are_refused() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        out.push(7);
        assert_eq!(take_bytes(&mut &out[..]), Err(Malformed));
        assert_eq!(Reader::new(Bytes::from(out)).bytes(), Err(Malformed));
        assert_eq!(take_varint(&mut &[0xffu8; 11][..]), Err(Malformed));
    }
}
