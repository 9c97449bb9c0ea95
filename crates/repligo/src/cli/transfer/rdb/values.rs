//! What keys hold, in all forms that versions 7 to 12 of the format have for it.

use std::io::Read;

use repligo_proto::rdb::{Blob, Form, Reader};

use super::bytes::{Broken, Bytes};
use super::modules;
use super::streams;
use crate::cli::transfer::content::{Content, Kind};

/// What was read.
#[derive(Debug, PartialEq)]
pub enum Value {
    Content(Content),
    /// Of a type that is not transferred, with its name.
    Other(String),
    /// A collection without elements, or a hash whose fields have all expired.
    Empty,
}

/// Reads values of one file.
pub struct Values {
    /// Fields of hashes that were over by then are left out.
    pub now_ms: u64,
    /// Deadlines of fields, which are not transferred.
    pub field_deadlines: u64,
    /// Bytes of fields that were left out.
    pub expired_bytes: usize,
}

impl Values {
    /// Nothing is read yet.
    pub fn new(now_ms: u64) -> Values {
        Values {
            now_ms,
            field_deadlines: 0,
            expired_bytes: 0,
        }
    }

    /// The value of this type, the number of which was read.
    pub fn read<R: Read>(&mut self, bytes: &mut Bytes<R>, number: u8) -> Result<Value, Broken> {
        let (kind, parts) = match number {
            0 => (Kind::String, vec![bytes.string()?]),
            1 => (Kind::List, strings(bytes, 1)?),
            2 => (Kind::Set, strings(bytes, 1)?),
            3 => (Kind::SortedSet, scores(bytes, true)?),
            4 => (Kind::Hash, strings(bytes, 2)?),
            5 => (Kind::SortedSet, scores(bytes, false)?),
            6 => return Err(modules::ancient()),
            7 => return modules::read_value(bytes).map(Value::Other),
            9 => (Kind::Hash, zipmap(&bytes.string()?)?),
            10 => (Kind::List, packed(bytes, Form::Ziplist)?),
            11 => (Kind::Set, packed(bytes, Form::Integers)?),
            12 => (Kind::SortedSet, packed_scores(bytes, Form::Ziplist)?),
            13 => (Kind::Hash, packed_pairs(bytes, Form::Ziplist)?),
            14 => (Kind::List, nodes(bytes, false)?),
            15 | 19 | 21 => {
                let version = match number {
                    15 => 1,
                    19 => 2,
                    _ => 3,
                };
                return streams::read(bytes, version).map(|stream| Value::Content(stream.into_content()));
            }
            16 => (Kind::Hash, packed_pairs(bytes, Form::Listpack)?),
            17 => (Kind::SortedSet, packed_scores(bytes, Form::Listpack)?),
            18 => (Kind::List, nodes(bytes, true)?),
            20 => (Kind::Set, packed(bytes, Form::Listpack)?),
            22 | 24 => (Kind::Hash, self.timed_pairs(bytes, number == 24)?),
            23 | 25 => (Kind::Hash, self.packed_timed_pairs(bytes, number == 25)?),
            _ => return Err(Broken::Damaged("there is no such type")),
        };
        match kind != Kind::String && parts.is_empty() {
            true => Ok(Value::Empty),
            false => Ok(Value::Content(Content { kind, parts })),
        }
    }

    /// Fields with the times at which they expire, relative to the first of them where that is told.
    fn timed_pairs<R: Read>(
        &mut self,
        bytes: &mut Bytes<R>,
        is_relative: bool,
    ) -> Result<Vec<Vec<u8>>, Broken> {
        let first_ms = match is_relative {
            true => bytes.time_ms()?,
            false => 1,
        };
        let mut parts = Vec::new();
        for _ in 0..bytes.length()? {
            let time = bytes.length()?;
            let (field, value) = (bytes.string()?, bytes.string()?);
            let deadline_ms = match time {
                0 => 0,
                time => (time - 1).saturating_add(first_ms),
            };
            self.put_timed(&mut parts, (field, value), deadline_ms);
        }
        Ok(parts)
    }

    fn packed_timed_pairs<R: Read>(
        &mut self,
        bytes: &mut Bytes<R>,
        has_first: bool,
    ) -> Result<Vec<Vec<u8>>, Broken> {
        if has_first {
            bytes.time_ms()?;
        }
        let mut parts = Vec::new();
        let mut all = packed(bytes, Form::Listpack)?.into_iter();
        while let Some(field) = all.next() {
            let (Some(value), Some(time)) = (all.next(), all.next()) else {
                return Err(Broken::Damaged("a field has no value or no time"));
            };
            let text = std::str::from_utf8(&time).ok();
            let time: i64 = (text.and_then(|text| text.parse().ok()))
                .ok_or(Broken::Damaged("the time of a field is no number"))?;
            self.put_timed(&mut parts, (field, value), time.max(0) as u64);
        }
        Ok(parts)
    }

    fn put_timed(&mut self, parts: &mut Vec<Vec<u8>>, (field, value): (Vec<u8>, Vec<u8>), deadline_ms: u64) {
        if deadline_ms > 0 && deadline_ms <= self.now_ms {
            self.expired_bytes += field.len() + value.len();
            return;
        }
        self.field_deadlines += u64::from(deadline_ms > 0);
        parts.extend([field, value]);
    }
}

/// Strings, so many of each element.
fn strings<R: Read>(bytes: &mut Bytes<R>, of_each: u64) -> Result<Vec<Vec<u8>>, Broken> {
    let count = bytes.length()?.checked_mul(of_each);
    let count = count.ok_or(Broken::Damaged("there cannot be so many elements"))?;
    (0..count).map(|_| bytes.string()).collect()
}

/// Members with their scores, as they are written: the score in front.
fn scores<R: Read>(bytes: &mut Bytes<R>, are_texts: bool) -> Result<Vec<Vec<u8>>, Broken> {
    let mut parts = Vec::new();
    for _ in 0..bytes.length()? {
        let member = bytes.string()?;
        let score = match are_texts {
            false => f64::from_le_bytes(bytes.array()?),
            true => {
                let length = bytes.byte()?;
                let mut text = vec![length];
                if length < 253 {
                    text.extend(bytes.take(u64::from(length))?);
                }
                Reader { bytes: &text, at: 0 }.text_score()?
            }
        };
        parts.extend([score_text(score)?, member]);
    }
    Ok(parts)
}

/// A score that every server reads to the last bit.
fn score_text(score: f64) -> Result<Vec<u8>, Broken> {
    if score.is_nan() {
        return Err(Broken::Damaged("a score is no number"));
    }
    let text = match score.abs() {
        0.0 | 1e-5..1e17 => score.to_string(),
        _ if score.is_infinite() => score.to_string(),
        _ => format!("{score:e}"),
    };
    Ok(text.into_bytes())
}

/// The elements of one string.
fn packed<R: Read>(bytes: &mut Bytes<R>, form: Form) -> Result<Vec<Vec<u8>>, Broken> {
    let mut parts = Vec::new();
    unpack_into(&mut parts, form, bytes.string()?)?;
    Ok(parts)
}

fn unpack_into(parts: &mut Vec<Vec<u8>>, form: Form, string: Vec<u8>) -> Result<(), Broken> {
    let mut blob = Blob::new(form, string)?;
    while let Some(element) = blob.next()? {
        parts.push(element.into_owned());
    }
    Ok(())
}

fn packed_pairs<R: Read>(bytes: &mut Bytes<R>, form: Form) -> Result<Vec<Vec<u8>>, Broken> {
    let parts = packed(bytes, form)?;
    match parts.len().is_multiple_of(2) {
        true => Ok(parts),
        false => Err(Broken::Damaged("the last element is only half there")),
    }
}

/// Members with scores, the score in front and told in one way.
fn packed_scores<R: Read>(bytes: &mut Bytes<R>, form: Form) -> Result<Vec<Vec<u8>>, Broken> {
    let mut parts = packed_pairs(bytes, form)?;
    for pair in parts.chunks_mut(2) {
        let score = std::str::from_utf8(&pair[1])
            .ok()
            .and_then(|text| text.parse().ok());
        pair[1] = score_text(score.unwrap_or(f64::NAN))?;
        pair.reverse();
    }
    Ok(parts)
}

/// A list in nodes: strings of elements, or single elements where a number in front says so.
fn nodes<R: Read>(bytes: &mut Bytes<R>, are_told: bool) -> Result<Vec<Vec<u8>>, Broken> {
    let mut parts = Vec::new();
    for _ in 0..bytes.length()? {
        let form = match are_told {
            false => Form::Ziplist,
            true => match bytes.length()? {
                1 => {
                    parts.push(bytes.string()?);
                    continue;
                }
                2 => Form::Listpack,
                _ => return Err(Broken::Damaged("there is no such node of a list")),
            },
        };
        unpack_into(&mut parts, form, bytes.string()?)?;
    }
    Ok(parts)
}

/// Fields and values as Redis packed them before 2.6: lengths of one byte, or of four behind 254, and unused bytes
/// behind a value.
fn zipmap(string: &[u8]) -> Result<Vec<Vec<u8>>, Broken> {
    const LONG: u8 = 254;
    const END: u8 = 255;
    let mut reader = Reader { bytes: string, at: 1 };
    let length = |reader: &mut Reader<'_>, first: u8| match first {
        LONG => {
            let long = reader.take(4)?;
            Ok::<_, Broken>(
                long.iter()
                    .rev()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte)),
            )
        }
        first => Ok(usize::from(first)),
    };
    let mut parts = Vec::new();
    loop {
        let first = reader.byte()?;
        if first == END {
            break;
        }
        let field_bytes = length(&mut reader, first)?;
        let field = reader.take(field_bytes)?.to_vec();
        let first = reader.byte()?;
        let value_bytes = length(&mut reader, first)?;
        let unused = reader.byte()?;
        let value = reader.take(value_bytes)?.to_vec();
        reader.take(usize::from(unused))?;
        parts.extend([field, value]);
    }
    match reader.at == string.len() {
        true => Ok(parts),
        false => Err(Broken::Damaged("there is something behind the last field")),
    }
}
