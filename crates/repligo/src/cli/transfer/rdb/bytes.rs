//! Bytes of an RDB file as they come, with their place and their checksum.

use std::io::{BufReader, Read};

use repligo_proto::rdb::{Bad, Length, STRING_BYTES_MAX, checksum, little_endian, unpack};

/// Room that is made for bytes before any of them was read.
const ROOM_BYTES: usize = 64 << 10;

/// Why there is no value.
#[derive(Debug)]
pub enum Broken {
    /// The bytes end before it does.
    Cut,
    /// They are something else; what is wrong.
    Damaged(&'static str),
    /// They may be right, but not for this program; what it is, and what to do.
    Foreign(String, &'static str),
    /// They cannot be read.
    Unreadable(std::io::Error),
}

impl From<Bad> for Broken {
    fn from(_: Bad) -> Broken {
        Broken::Damaged("this is no value of its type")
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Broken {
        Broken::Unreadable(error)
    }
}

/// A file or a part of one, read from its start.
pub struct Bytes<R: Read> {
    input: BufReader<R>,
    /// Bytes that were read.
    pub position: u64,
    /// Of all bytes that were read.
    pub checksum: u64,
}

impl<R: Read> Bytes<R> {
    /// Nothing is read yet.
    pub fn new(input: R) -> Bytes<R> {
        Bytes {
            input: BufReader::with_capacity(256 << 10, input),
            position: 0,
            checksum: 0,
        }
    }

    /// So many bytes. Memory is taken for those that are there, not for those that are asked for.
    pub fn take(&mut self, count: u64) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::with_capacity(count.min(ROOM_BYTES as u64) as usize);
        self.input.by_ref().take(count).read_to_end(&mut bytes)?;
        self.position += bytes.len() as u64;
        self.checksum = checksum(self.checksum, &bytes);
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(Broken::Cut),
        }
    }

    /// The next bytes, of which there are always so many.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut bytes = [0; N];
        self.input
            .read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Broken::Cut,
                _ => Broken::Unreadable(error),
            })?;
        self.position += N as u64;
        self.checksum = checksum(self.checksum, &bytes);
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8, Broken> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length, or a count.
    pub fn length(&mut self) -> Result<u64, Broken> {
        match Length::read(|| self.byte())? {
            Length::Plain(length) => Ok(length),
            _ => Err(Broken::Damaged("there should be a length")),
        }
    }

    fn string_length(&mut self, length: u64) -> Result<u64, Broken> {
        match length <= STRING_BYTES_MAX as u64 {
            true => Ok(length),
            false => Err(Broken::Damaged("a string is longer than 512 MiB")),
        }
    }

    /// A string, unpacked.
    pub fn string(&mut self) -> Result<Vec<u8>, Broken> {
        match Length::read(|| self.byte())? {
            Length::Plain(length) => {
                let length = self.string_length(length)?;
                self.take(length)
            }
            Length::Integer(size) => {
                let number = little_endian(&self.take(size as u64)?);
                Ok(number.to_string().into_bytes())
            }
            Length::Compressed => {
                let packed = self.length()?;
                let packed = self.string_length(packed)?;
                let length = self.length()?;
                let length = self.string_length(length)?;
                Ok(unpack(&self.take(packed)?, length as usize)?)
            }
        }
    }

    /// A point in time in milliseconds since 1970. One before that has passed like any other.
    pub fn time_ms(&mut self) -> Result<u64, Broken> {
        let time = i64::from_le_bytes(self.array()?);
        Ok(u64::try_from(time).unwrap_or(0))
    }

    /// Whether nothing follows.
    pub fn is_ended(&mut self) -> Result<bool, Broken> {
        use std::io::BufRead as _;
        Ok(self.input.fill_buf()?.is_empty())
    }

    /// What follows, with what was read ahead.
    pub fn into_rest(self) -> BufReader<R> {
        self.input
    }
}
