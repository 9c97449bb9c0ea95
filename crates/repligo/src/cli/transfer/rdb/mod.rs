//! Files of Redis and Valkey, versions 7 to 12 of the format: entries as they come, and what of a file is not taken.
//!
//! Invariants: every byte is read, and the checksum at the end goes over all of them; a place is told for what is wrong;
//! memory grows with bytes that were read, never with numbers that a file claims.

mod bytes;
mod modules;
mod streams;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};

use self::bytes::{Broken, Bytes};
use self::values::{Value, Values};
use super::content::Content;
use super::deadlines::now_ms;
use super::file::Contents;
use super::format::{Batch, Entry};
use super::{Halt, Input, Outcome, Work};
use crate::cli::failure::Failure;

/// What a file begins with.
pub const MAGIC: &[u8; 5] = b"REDIS";
/// Versions that are read.
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=12;
/// A batch is given out when it has so many bytes, or so many entries.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ENTRIES: usize = 512;
const REMEDY: &str = "take another copy of the file, or let the server save it again";

/// Marks in front of what is no key.
mod mark {
    pub const SLOT: u8 = 0xf4;
    pub const FUNCTION: u8 = 0xf5;
    pub const EARLY_FUNCTION: u8 = 0xf6;
    pub const MODULE: u8 = 0xf7;
    pub const IDLE: u8 = 0xf8;
    pub const FREQUENCY: u8 = 0xf9;
    pub const AUX: u8 = 0xfa;
    pub const SIZES: u8 = 0xfb;
    pub const EXPIRES_MS: u8 = 0xfc;
    pub const EXPIRES: u8 = 0xfd;
    pub const DATABASE: u8 = 0xfe;
    pub const END: u8 = 0xff;
}

/// What of a file is not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Keys by the name of their type.
    pub other_types: BTreeMap<String, u64>,
    /// What is no key, or a part of one.
    pub parts: BTreeMap<&'static str, u64>,
    /// Keys of databases that were not asked for.
    pub unasked: u64,
}

impl Left {
    fn add(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.parts.entry(what).or_default() += count;
        }
    }
}

/// One thing of a file.
enum Item {
    Entry(Entry),
    /// A key that is not taken.
    Key,
    Database(u32),
    Other,
    End,
}

/// Reads one file from its start to its end.
pub struct RdbInput<R: Read> {
    bytes: Bytes<R>,
    values: Values,
    first_block: u64,
    only: Option<u32>,
    db: u32,
    blocks: u64,
    is_begun: bool,
    is_ended: bool,
    /// Where what is being read begins.
    place: u64,
    /// Something may follow the end.
    is_preamble: bool,
    /// The database in which the requests behind the file begin.
    pub stream_db: u32,
    /// What was not taken so far.
    pub left: Left,
    /// Codes of the libraries of functions that were read so far.
    pub libraries: Vec<Vec<u8>>,
}

impl<R: Read> RdbInput<R> {
    /// Batches in front of the first one are read and left out, and so are other databases.
    pub fn new(input: R, first_block: u64, only: Option<u32>) -> RdbInput<R> {
        RdbInput {
            bytes: Bytes::new(input),
            values: Values::new(now_ms()),
            first_block,
            only,
            db: 0,
            blocks: 0,
            is_begun: false,
            is_ended: false,
            place: 0,
            is_preamble: false,
            stream_db: 0,
            left: Left::default(),
            libraries: Vec::new(),
        }
    }

    /// The same, at the start of something longer, whose requests may give a field more time: none has expired.
    pub fn preamble(self) -> RdbInput<R> {
        RdbInput {
            is_preamble: true,
            values: Values::new(0),
            ..self
        }
    }

    /// What follows the end, once that was reached, and where it begins.
    pub fn into_rest(self) -> (BufReader<R>, u64) {
        let position = self.bytes.position;
        (self.bytes.into_rest(), position)
    }

    /// Bytes that were read.
    pub fn position(&self) -> u64 {
        self.bytes.position
    }

    /// Entries of one database; `None` behind the last.
    fn batch(&mut self) -> Result<Option<Batch>, Broken> {
        if !self.is_begun {
            self.header()?;
            self.is_begun = true;
        }
        let mut entries = Vec::new();
        let (mut keys, mut bytes) = (0, 0);
        let db = self.db;
        // What is not taken counts as well: another run, for which more has expired, must cut at the same keys.
        while !self.is_ended && keys < BATCH_ENTRIES && bytes < BATCH_BYTES {
            let before = self.values.expired_bytes;
            let item = self.item()?;
            keys += usize::from(matches!(item, Item::Entry(_) | Item::Key));
            bytes += self.values.expired_bytes - before;
            match item {
                Item::Entry(entry) => {
                    bytes += entry.bytes();
                    entries.push(entry);
                }
                Item::Key => {}
                Item::Database(db) => {
                    self.db = db;
                    break;
                }
                Item::Other => {}
                Item::End => self.is_ended = true,
            }
        }
        if keys == 0 && self.is_ended {
            return Ok(None);
        }
        self.blocks += u64::from(keys > 0);
        Ok(Some(Batch {
            block: self.blocks,
            db,
            entries,
        }))
    }

    fn header(&mut self) -> Result<(), Broken> {
        let head: [u8; 9] = self.bytes.array()?;
        if head.starts_with(b"VALKEY") {
            return Err(Broken::Foreign(
                "the format of Valkey 9 and newer, which this program does not read".into(),
                "copy from the running server instead: --from HOST:PORT without --follow",
            ));
        }
        let text = head.strip_prefix(MAGIC.as_slice());
        let text = text.and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(version) = text.and_then(|digits| digits.parse::<u32>().ok()) else {
            return Err(Broken::Damaged("this is no RDB file"));
        };
        match VERSIONS.contains(&version) {
            true => Ok(()),
            false => Err(Broken::Foreign(
                format!("the file has version {version} of the format, and this program reads 7 to 12"),
                "copy from the running server instead: --from HOST:PORT without --follow",
            )),
        }
    }

    fn item(&mut self) -> Result<Item, Broken> {
        self.place = self.bytes.position;
        let mut deadline_ms = None;
        let mut number = self.bytes.byte()?;
        loop {
            match number {
                mark::EXPIRES_MS => deadline_ms = Some(self.bytes.time_ms()?),
                mark::EXPIRES => {
                    let seconds = i32::from_le_bytes(self.bytes.array()?);
                    deadline_ms = Some(u64::try_from(seconds).unwrap_or(0) * 1000);
                }
                // How lately and how often it was used, which nodes remember of their own uses alone.
                mark::IDLE => drop(self.bytes.length()?),
                mark::FREQUENCY => drop(self.bytes.byte()?),
                _ => break,
            }
            number = self.bytes.byte()?;
        }
        match number {
            mark::DATABASE => {
                let db = self.bytes.length()?;
                let db = u32::try_from(db).map_err(|_| Broken::Damaged("there is no such database"))?;
                Ok(Item::Database(db))
            }
            mark::END => self.end(),
            mark::SLOT..=mark::SIZES => self.other(number),
            _ => self.entry(number, deadline_ms),
        }
    }

    /// What is no key.
    fn other(&mut self, number: u8) -> Result<Item, Broken> {
        match number {
            mark::AUX => {
                let (name, value) = (self.bytes.string()?, self.bytes.string()?);
                if name == b"repl-stream-db" {
                    // Below zero there is none yet.
                    let db = std::str::from_utf8(&value)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    self.stream_db = db.unwrap_or(0);
                }
            }
            mark::SIZES => {
                self.bytes.length()?;
                self.bytes.length()?;
            }
            mark::SLOT => {
                for _ in 0..3 {
                    self.bytes.length()?;
                }
            }
            mark::FUNCTION => {
                let code = self.bytes.string()?;
                self.libraries.push(code);
            }
            mark::MODULE => {
                modules::read_aux(&mut self.bytes)?;
                self.left.add("data of modules beside their keys", 1);
            }
            mark::EARLY_FUNCTION => {
                return Err(Broken::Foreign(
                    "a function of a Redis before 7.0 was released".into(),
                    "let a released server save the file again",
                ));
            }
            _ => return Err(Broken::Damaged("nothing in a file begins like that")),
        }
        Ok(Item::Other)
    }

    fn entry(&mut self, number: u8, deadline_ms: Option<u64>) -> Result<Item, Broken> {
        let key = self.bytes.string()?;
        let before = self.values.field_deadlines;
        let value = self.values.read(&mut self.bytes, number)?;
        if self.only.is_some_and(|db| db != self.db) {
            self.values.field_deadlines = before;
            self.left.unasked += 1;
            return Ok(Item::Key);
        }
        self.left.add(
            "deadlines of hash fields, whose fields were taken",
            self.values.field_deadlines - before,
        );
        match value {
            Value::Content(content) => {
                return Ok(Item::Entry(Entry {
                    key,
                    content,
                    // A time that is over is told by a number that commands take.
                    deadline_ms: deadline_ms.map(|ms| ms.clamp(1, i64::MAX as u64)),
                }));
            }
            Value::Other(name) => *self.left.other_types.entry(name).or_default() += 1,
            Value::Empty => self.left.add("keys without elements", 1),
        }
        Ok(Item::Key)
    }

    fn end(&mut self) -> Result<Item, Broken> {
        let counted = self.bytes.checksum;
        let told = u64::from_le_bytes(self.bytes.array()?);
        // Servers that compute none write a zero.
        if told != 0 && told != counted {
            return Err(Broken::Damaged(
                "the checksum of the file does not fit: bytes were changed",
            ));
        }
        match self.is_preamble || self.bytes.is_ended()? {
            true => Ok(Item::End),
            false => Err(Broken::Damaged("there is something behind the end")),
        }
    }

    fn explain(&self, broken: Broken) -> Failure {
        let what = match broken {
            Broken::Cut => "the file ends here: it was cut",
            Broken::Damaged(what) => what,
            Broken::Foreign(what, remedy) => {
                return Failure::new(format!("at offset {}: {what}", self.place), remedy);
            }
            Broken::Unreadable(error) => {
                let what = format!(
                    "the input cannot be read at offset {}: {error}",
                    self.bytes.position
                );
                return Failure::new(what, "check the file and the disk");
            }
        };
        let what = format!(
            "at offset {}, read to {}: {what}",
            self.place, self.bytes.position
        );
        Failure::new(what, REMEDY)
    }
}

impl<R: Read> Input for RdbInput<R> {
    fn next(&mut self) -> Outcome<Option<Batch>> {
        loop {
            match self.batch().map_err(|broken| self.explain(broken))? {
                Some(batch) if batch.entries.is_empty() || batch.block < self.first_block => {}
                batch => return Ok(batch),
            }
        }
    }
}

/// The value that stands alone in these bytes, behind its type, with fields that have expired: requests that follow may
/// give them more time. `None` if it cannot be read or transferred.
pub fn read_value(bytes: &[u8]) -> Option<Content> {
    let (number, rest) = bytes.split_first()?;
    let mut bytes = Bytes::new(rest);
    let value = Values::new(0).read(&mut bytes, *number);
    match (value, bytes.is_ended()) {
        (Ok(Value::Content(content)), Ok(true)) => Some(content),
        _ => None,
    }
}

/// What a whole file says.
#[derive(Default)]
pub struct Checked {
    /// What it holds.
    pub contents: Contents,
    /// What of it is not taken.
    pub left: Left,
    /// See [`RdbInput::libraries`].
    pub libraries: Vec<Vec<u8>>,
    /// See [`RdbInput::stream_db`].
    pub stream_db: u32,
}

/// Reads a whole file, of which this is the input that it will be imported by.
///
/// # Errors
/// It is cut, damaged or something else, or the end was asked for.
pub fn check(file: &File, mut input: RdbInput<&File>, work: &mut Work) -> Outcome<Checked> {
    let length = file.metadata().map_or(0, |facts| facts.len()).max(1);
    let mut contents = Contents::default();
    while let Some(batch) = input.next()? {
        *contents.entries.entry(batch.db).or_default() += batch.entries.len() as u64;
        let position = input.position();
        work.progress
            .show(|| format!("{} %, {position} bytes", position * 100 / length));
        if work.stop.is_set() {
            return Err(Halt::Interrupted);
        }
    }
    contents.bytes = input.position();
    Ok(Checked {
        contents,
        left: input.left,
        libraries: input.libraries,
        stream_db: input.stream_db,
    })
}

#[cfg(test)]
mod tests;
