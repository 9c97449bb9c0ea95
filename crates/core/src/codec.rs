//! Reading from shared buffers without copying: peer messages, entries, snapshot headers, handshakes.
//!
//! The vocabulary is that of `packed.rs`, which reads from slices. Reading never panics and never
//! allocates by a number that the bytes claim.

use bytes::{Buf as _, Bytes};

use crate::packed::{self, Corrupt};
pub use crate::packed::{put_bytes, put_varint};

/// The bytes do not say what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<Corrupt> for Malformed {
    fn from(_: Corrupt) -> Self {
        Self
    }
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
        self.rest.advance(1);
        Ok(value)
    }

    /// One LEB128 number.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut rest: &[u8] = &self.rest;
        let value = packed::take_varint(&mut rest)?;
        let read = self.rest.len() - rest.len();
        self.rest.advance(read);
        Ok(value)
    }

    /// LEB128 numbers, one after the other.
    pub fn varints<const COUNT: usize>(&mut self) -> Result<[u64; COUNT], Malformed> {
        let mut rest: &[u8] = &self.rest;
        let mut values = [0; COUNT];
        for value in &mut values {
            *value = packed::take_varint(&mut rest)?;
        }
        let read = self.rest.len() - rest.len();
        self.rest.advance(read);
        Ok(values)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_what_was_put_and_no_more() {
        let mut out = vec![7];
        put_varint(&mut out, u64::MAX);
        put_bytes(&mut out, b"bytes");
        let mut reader = Reader::new(Bytes::from(out));
        assert_eq!((reader.u8(), reader.varint()), (Ok(7), Ok(u64::MAX)));
        assert_eq!(reader.bytes(), Ok(Bytes::from_static(b"bytes")));
        assert!(reader.is_empty() && reader.u8().is_err());
    }

    #[test]
    fn claims_longer_than_the_bytes_are_refused() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        out.push(7);
        assert_eq!(Reader::new(Bytes::from(out)).bytes(), Err(Malformed));
    }
}
