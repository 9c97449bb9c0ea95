//! Lengths, strings and numbers of a payload, and compressed strings, which are unpacked in slices.

use std::borrow::Cow;

use super::{Bad, STRING_BYTES_MAX};

/// A length, or what is in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A length, or a count.
    Plain(u64),
    /// A number of so many bytes follows, the lowest one first.
    Integer(usize),
    /// A compressed string follows: its length, the length that it has unpacked, its bytes.
    Compressed,
}

impl Length {
    /// Reads one, byte by byte.
    ///
    /// # Errors
    /// If there is none, and those of `take`.
    pub fn read<E: From<Bad>>(mut take: impl FnMut() -> Result<u8, E>) -> Result<Length, E> {
        let first = take()?;
        let mut number = |bytes: usize, high: u8| {
            (0..bytes).try_fold(u64::from(high), |number, _| {
                Ok::<_, E>(number << 8 | u64::from(take()?))
            })
        };
        Ok(match (first >> 6, first & 0x3f) {
            (0, low) => Length::Plain(u64::from(low)),
            (1, high) => Length::Plain(number(1, high)?),
            (2, 0) => Length::Plain(number(4, 0)?),
            (2, 1) => Length::Plain(number(8, 0)?),
            (3, size @ 0..=2) => Length::Integer(1 << size),
            (3, 3) => Length::Compressed,
            _ => return Err(Bad.into()),
        })
    }
}

/// A string that is being unpacked: what is done of it, and what follows.
#[derive(Debug, Default)]
pub struct Unpacking {
    out: Vec<u8>,
    /// Bytes of the compressed form that are done.
    at: usize,
}

/// Bytes, and how far they are read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// All of them.
    pub bytes: &'a [u8],
    /// Those that are read.
    pub at: usize,
}

impl<'a> Reader<'a> {
    /// The next bytes.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Bad> {
        let end = self.at.checked_add(count).ok_or(Bad)?;
        let taken = self.bytes.get(self.at..end).ok_or(Bad)?;
        self.at = end;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// If there is none.
    pub fn byte(&mut self) -> Result<u8, Bad> {
        self.take(1).map(|taken| taken[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        self.take(N)?.try_into().map_err(|_| Bad)
    }

    fn length_or_encoding(&mut self) -> Result<Length, Bad> {
        Length::read(|| self.byte())
    }

    /// A count.
    ///
    /// # Errors
    /// If there is none.
    pub fn length(&mut self) -> Result<u64, Bad> {
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            _ => Err(Bad),
        }
    }

    fn string_length(&mut self) -> Result<usize, Bad> {
        let length = usize::try_from(self.length()?).map_err(|_| Bad)?;
        (length <= STRING_BYTES_MAX).then_some(length).ok_or(Bad)
    }

    /// A string; `None` when `budget_bytes` are spent before it is unpacked, and it is to be asked for again.
    ///
    /// # Errors
    /// If there is none, or a longer one than there may be.
    pub fn string(
        &mut self,
        unpacking: &mut Unpacking,
        budget_bytes: usize,
    ) -> Result<Option<Cow<'a, [u8]>>, Bad> {
        let begin = self.at;
        match self.length_or_encoding()? {
            Length::Plain(length) => {
                let length = usize::try_from(length).map_err(|_| Bad)?;
                if length > STRING_BYTES_MAX {
                    return Err(Bad);
                }
                Ok(Some(Cow::Borrowed(self.take(length)?)))
            }
            Length::Integer(size) => {
                let number = little_endian(self.take(size)?);
                Ok(Some(Cow::Owned(number.to_string().into_bytes())))
            }
            Length::Compressed => {
                let (packed, length) = (self.string_length()?, self.string_length()?);
                let packed = self.take(packed)?;
                if !unpacking.advance(packed, length, budget_bytes)? {
                    self.at = begin;
                    return Ok(None);
                }
                Ok(Some(Cow::Owned(std::mem::take(unpacking).out)))
            }
        }
    }

    /// A score of eight bytes.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn score(&mut self) -> Result<f64, Bad> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A score as a text with its length in front; some lengths stand for what is no number, or infinite.
    ///
    /// # Errors
    /// If it is none.
    pub fn text_score(&mut self) -> Result<f64, Bad> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            length => {
                let text = std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| Bad)?;
                text.parse().map_err(|_| Bad)
            }
        }
    }
}

/// All of a string in M. Lehmann's LZF. Memory grows with what is unpacked, not with `length`.
///
/// # Errors
/// If it is no such string, or has another length.
pub fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, Bad> {
    let mut unpacking = Unpacking::default();
    match unpacking.advance(packed, length, usize::MAX)? {
        true => Ok(unpacking.out),
        false => Err(Bad),
    }
}

/// A number with a sign, the lowest byte first.
///
/// # Panics
/// If it has more than eight.
pub fn little_endian(bytes: &[u8]) -> i64 {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = if is_negative { [0xff; 8] } else { [0; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

impl Unpacking {
    /// Goes on with a string in M. Lehmann's LZF: literal runs, and copies of what came before. True when all of
    /// `length` bytes are there.
    ///
    /// # Errors
    /// If it is no such string, or has another length.
    pub fn advance(&mut self, packed: &[u8], length: usize, budget_bytes: usize) -> Result<bool, Bad> {
        let pause = self.out.len().saturating_add(budget_bytes);
        let mut reader = Reader {
            bytes: packed,
            at: self.at,
        };
        while reader.at < packed.len() {
            if self.out.len() >= pause {
                self.at = reader.at;
                return Ok(false);
            }
            let first = reader.byte()?;
            let count = match first {
                0..=31 => usize::from(first) + 1,
                _ if first >> 5 == 7 => usize::from(reader.byte()?) + 9,
                _ => usize::from(first >> 5) + 2,
            };
            if self.out.len() + count > length {
                return Err(Bad);
            }
            if first < 32 {
                self.out.extend_from_slice(reader.take(count)?);
                continue;
            }
            let back = (usize::from(first & 0x1f) << 8 | usize::from(reader.byte()?)) + 1;
            let from = self.out.len().checked_sub(back).ok_or(Bad)?;
            // It may copy what it has just written.
            (from..from + count).for_each(|at| self.out.push(self.out[at]));
        }
        match self.out.len() == length {
            true => Ok(true),
            false => Err(Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(bytes: &[u8], budget_bytes: usize) -> Result<Vec<u8>, Bad> {
        let (mut reader, mut unpacking) = (Reader { bytes, at: 0 }, Unpacking::default());
        for _ in 0..1000 {
            if let Some(string) = reader.string(&mut unpacking, budget_bytes)? {
                return Ok(string.into_owned());
            }
        }
        panic!("each call gets further")
    }

    #[test]
    fn strings_are_read_in_every_form() {
        for (bytes, expect) in [
            (&b"\x03abc"[..], &b"abc"[..]),
            (b"\x40\x02ab", b"ab"),
            (b"\x80\0\0\0\x01x", b"x"),
            (b"\x81\0\0\0\0\0\0\0\x01x", b"x"),
            (b"\xc0\xff", b"-1"),
            (b"\xc1\x00\x80", b"-32768"),
            (b"\xc2\x01\0\0\0", b"1"),
            (b"\xc3\x05\x0a\x00a\xe0\x00\x00", b"aaaaaaaaaa"),
        ] {
            for budget in [1, 3, 1000] {
                assert_eq!(unpacked(bytes, budget).as_deref(), Ok(expect), "{bytes:?}");
            }
        }
        for bytes in [
            &b""[..],
            b"\x03ab",
            b"\x82",
            b"\xc4",
            b"\xc3\x02\x03\x00a",
            b"\xc3\x03\x03\x20\x00\x00",
            b"\xc3\x02\x01\x01a",
            b"\xc3\x81\0\0\0\xff\0\0\0\0\x01",
        ] {
            assert_eq!(unpacked(bytes, 1000), Err(Bad), "{bytes:?}");
        }
    }
}
