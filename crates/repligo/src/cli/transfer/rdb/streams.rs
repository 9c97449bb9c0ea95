//! Streams: entries packed into listpacks under the first of their numbers, then the groups.

use std::collections::BTreeMap;
use std::io::Read;

use repligo_proto::rdb::{Blob, Form};

use super::bytes::{Broken, Bytes};
use crate::cli::transfer::stream::{Group, Id, Pending, Stream};

/// Marks of an entry: it was deleted; it has the fields of the first one.
const DELETED: u64 = 1;
const SAME_FIELDS: u64 = 2;
/// Bytes that the entries of one listpack may unpack to: each may have fields that stand there once.
const UNPACKED_BYTES_MAX: usize = 1 << 30;
/// Stands for a group that does not know how many entries it has read.
const UNKNOWN: u64 = u64::MAX;

/// The value of a type whose form has this version, from 1 to 3.
pub fn read<R: Read>(bytes: &mut Bytes<R>, version: u32) -> Result<Stream, Broken> {
    let mut stream = Stream::default();
    for _ in 0..bytes.length()? {
        let first = raw_id(&bytes.string()?)?;
        let blob = Blob::new(Form::Listpack, bytes.string()?)?;
        Packed { blob, first }.read(&mut stream)?;
    }
    let count = bytes.length()?;
    if count != stream.entries.len() as u64 {
        return Err(Broken::Damaged(
            "a stream has another number of entries than it says",
        ));
    }
    stream.last = id(bytes)?;
    if version > 1 {
        // The first entry, which the entries tell themselves.
        id(bytes)?;
        stream.deleted_and_added = Some((id(bytes)?, bytes.length()?));
    }
    for _ in 0..bytes.length()? {
        stream.groups.push(group(bytes, version)?);
    }
    match stream.is_sound() {
        true => Ok(stream),
        false => Err(Broken::Damaged("the entries of a stream contradict each other")),
    }
}

fn id<R: Read>(bytes: &mut Bytes<R>) -> Result<Id, Broken> {
    Ok(Id {
        ms: bytes.length()?,
        sequence: bytes.length()?,
    })
}

/// Sixteen bytes, the highest first.
fn raw_id(raw: &[u8]) -> Result<Id, Broken> {
    let raw: [u8; 16] = raw
        .try_into()
        .map_err(|_| Broken::Damaged("the number of an entry has not 16 bytes"))?;
    let number = u128::from_be_bytes(raw);
    Ok(Id {
        ms: (number >> 64) as u64,
        sequence: number as u64,
    })
}

fn group<R: Read>(bytes: &mut Bytes<R>, version: u32) -> Result<Group, Broken> {
    let mut group = Group {
        name: bytes.string()?,
        last: id(bytes)?,
        ..Group::default()
    };
    if version > 1 {
        group.read = Some(bytes.length()?).filter(|read| *read != UNKNOWN);
    }
    let mut delivered = BTreeMap::new();
    for _ in 0..bytes.length()? {
        let id = raw_id(&bytes.array::<16>()?)?;
        let time_ms = bytes.time_ms()?;
        delivered.insert(id, (time_ms, bytes.length()?));
    }
    for _ in 0..bytes.length()? {
        let consumer = bytes.string()?;
        // When it was seen, and when it was active: no command can say that.
        bytes.time_ms()?;
        if version > 2 {
            bytes.time_ms()?;
        }
        for _ in 0..bytes.length()? {
            let id = raw_id(&bytes.array::<16>()?)?;
            let (time_ms, count) = delivered
                .remove(&id)
                .ok_or(Broken::Damaged("a consumer has an entry that its group has not"))?;
            group.pending.push(Pending {
                consumer: consumer.clone(),
                id,
                time_ms,
                count,
            });
        }
        group.consumers.push(consumer);
    }
    match delivered.is_empty() {
        true => Ok(group),
        false => Err(Broken::Damaged("an entry was delivered to nobody")),
    }
}

/// One listpack of entries.
struct Packed {
    blob: Blob,
    /// What the numbers of entries count from.
    first: Id,
}

impl Packed {
    fn element(&mut self) -> Result<Vec<u8>, Broken> {
        let element = self
            .blob
            .next()?
            .ok_or(Broken::Damaged("an entry of a stream is not whole"))?;
        Ok(element.into_owned())
    }

    /// A number, which may be negative and counts round then.
    fn number(&mut self) -> Result<u64, Broken> {
        let element = self.element()?;
        let number: Option<i64> = std::str::from_utf8(&element)
            .ok()
            .and_then(|text| text.parse().ok());
        number
            .map(|number| number as u64)
            .ok_or(Broken::Damaged("there should be a number in a stream"))
    }

    fn read(&mut self, stream: &mut Stream) -> Result<(), Broken> {
        let (living, deleted) = (self.number()?, self.number()?);
        let mut fields = Vec::new();
        for _ in 0..self.number()? {
            fields.push(self.element()?);
        }
        self.number()?;
        let mut unpacked_bytes = 0usize;
        for _ in 0..living.saturating_add(deleted) {
            let marks = self.number()?;
            let id = Id {
                ms: self.first.ms.wrapping_add(self.number()?),
                sequence: self.first.sequence.wrapping_add(self.number()?),
            };
            let mut words = Vec::new();
            if marks & SAME_FIELDS != 0 {
                for field in &fields {
                    words.extend([field.clone(), self.element()?]);
                }
            } else {
                for _ in 0..self.number()? {
                    words.extend([self.element()?, self.element()?]);
                }
            }
            // How many elements this entry takes, for walks from the end.
            self.number()?;
            unpacked_bytes += words.iter().map(Vec::len).sum::<usize>();
            if unpacked_bytes > UNPACKED_BYTES_MAX {
                return Err(Broken::Damaged("a part of a stream is longer than 1 GiB"));
            }
            if marks & DELETED == 0 {
                stream.entries.push((id, words));
            }
        }
        match self.blob.next()? {
            None => Ok(()),
            Some(_) => Err(Broken::Damaged("a stream has more entries than it says")),
        }
    }
}
