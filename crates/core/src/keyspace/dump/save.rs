//! Payloads of values: every element by itself and uncompressed, which each version of Redis reads. A hash of which
//! fields have deadlines is written as Redis 7.4 does it.

use repligo_proto::rdb::{VERSION, VERSION_OF_FIELD_DEADLINES, checksum};

use crate::collection::{HashRef, ListRef, SetRef, SortedSetRef};
use crate::command::CommandError;
use crate::keyspace::contexts::{ReadContext, WRONG_TYPE};
use crate::keyspace::slices::steps_of;
use crate::keyspace::typed::TypedRef;
use crate::limits::STEP_BYTES;

/// Bytes of a string that are copied at once.
const PIECE_BYTES: usize = 64 << 10;

/// A value to be written.
pub(super) enum Source<'a> {
    String(&'a [u8]),
    List(ListRef<'a>),
    Set(SetRef<'a>),
    Hash(HashRef<'a>),
    SortedSet(SortedSetRef<'a>),
}

impl<'a> Source<'a> {
    /// What a key holds.
    ///
    /// # Errors
    /// If that is of a type that no payload has.
    pub fn find(context: &ReadContext<'a>, key: &[u8]) -> Result<Option<Self>, CommandError> {
        if let Ok(string) = context.find_string(key) {
            return Ok(string.map(Self::String));
        }
        let found = (context.look(key).map(Self::List))
            .or_else(|| context.look(key).map(Self::Set))
            .or_else(|| context.look(key).map(Self::Hash))
            .or_else(|| context.look(key).map(Self::SortedSet));
        found.map(Some).ok_or(WRONG_TYPE)
    }

    /// The number of its type, and how many elements, or bytes, it has.
    fn head(&self) -> (u8, u64) {
        match self {
            Self::String(string) => (0, string.len() as u64),
            Self::List(list) => (1, list.count()),
            Self::Set(set) => (2, set.count()),
            Self::Hash(hash) => (if self.earliest_ms().is_some() { 24 } else { 4 }, hash.count()),
            Self::SortedSet(sorted) => (5, sorted.count()),
        }
    }

    /// The earliest deadline of a field, if it is a hash with one.
    fn earliest_ms(&self) -> Option<u64> {
        match self {
            Self::Hash(HashRef::Volatile(hash)) => hash.earliest_ms(),
            _ => None,
        }
    }

    /// About how many steps it takes to write it.
    pub fn weight(&self) -> usize {
        match self {
            Self::String(string) => steps_of(string.len()),
            _ => self.head().1 as usize,
        }
    }
}

/// A payload that is being written.
#[derive(Debug, Default)]
pub(super) struct Saving {
    out: Vec<u8>,
    /// Elements, or bytes of a string, that are written.
    done: u64,
    checksum: u64,
    checked: usize,
    is_whole: bool,
}

impl Saving {
    /// Goes on; true when the payload is whole. The same value each time.
    pub fn advance(&mut self, context: &ReadContext<'_>, source: &Source<'_>) -> bool {
        if self.is_whole {
            return true;
        }
        if self.out.is_empty() {
            let (kind, count) = source.head();
            self.out.push(kind);
            if let Some(earliest_ms) = source.earliest_ms() {
                self.out.extend_from_slice(&earliest_ms.to_le_bytes());
            }
            put_length(&mut self.out, count);
        }
        let is_done = self.put_elements(context, source);
        self.checksum = checksum(self.checksum, &self.out[self.checked..]);
        self.checked = self.out.len();
        if !is_done {
            return false;
        }
        let version = match source.earliest_ms() {
            None => VERSION,
            Some(_) => VERSION_OF_FIELD_DEADLINES,
        };
        let version = version.to_le_bytes();
        self.checksum = checksum(self.checksum, &version);
        self.out.extend_from_slice(&version);
        self.out.extend_from_slice(&self.checksum.to_le_bytes());
        self.is_whole = true;
        true
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.out
    }

    fn put_elements(&mut self, context: &ReadContext<'_>, source: &Source<'_>) -> bool {
        match source {
            Source::String(string) => self.put_bytes(context, string),
            Source::List(list) => list
                .from(self.done)
                .all(|item| self.put(context, |out| item.with(|element| put_string(out, element)))),
            Source::Set(set) => set
                .from(self.done)
                .all(|item| self.put(context, |out| item.with(|member| put_string(out, member)))),
            Source::Hash(HashRef::Volatile(hash)) if source.earliest_ms().is_some() => {
                let earliest_ms = source.earliest_ms().unwrap_or_default();
                hash.timed_from(self.done).all(|(deadline_ms, field, value)| {
                    self.put(context, |out| {
                        put_length(
                            out,
                            deadline_ms.map_or(0, |deadline_ms| deadline_ms - earliest_ms + 1),
                        );
                        put_string(out, field);
                        put_string(out, value);
                    })
                })
            }
            Source::Hash(hash) => hash.from(self.done).all(|(field, value)| {
                self.put(context, |out| {
                    put_string(out, field);
                    put_string(out, value);
                })
            }),
            Source::SortedSet(sorted) => sorted.from(self.done).all(|(member, score)| {
                self.put(context, |out| {
                    put_string(out, member);
                    out.extend_from_slice(&score.get().to_le_bytes());
                })
            }),
        }
    }

    /// Writes one element; false when the steps are spent before.
    fn put(&mut self, context: &ReadContext<'_>, put: impl FnOnce(&mut Vec<u8>)) -> bool {
        if context.is_spent() {
            return false;
        }
        let before = self.out.len();
        put(&mut self.out);
        self.done += 1;
        context.spend(steps_of(self.out.len() - before));
        true
    }

    fn put_bytes(&mut self, context: &ReadContext<'_>, string: &[u8]) -> bool {
        while let Some(rest) = string.get(self.done as usize..).filter(|rest| !rest.is_empty()) {
            if context.is_spent() {
                return false;
            }
            let piece = &rest[..rest
                .len()
                .min(PIECE_BYTES)
                .min(context.steps().saturating_mul(STEP_BYTES))];
            self.out.extend_from_slice(piece);
            self.done += piece.len() as u64;
            context.spend(steps_of(piece.len()));
        }
        true
    }
}

pub(in crate::keyspace) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_length(out, string.len() as u64);
    out.extend_from_slice(string);
}

/// Six bits, fourteen, 32 or 64, the highest first.
fn put_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..=0x3f => out.push(length as u8),
        0x40..=0x3fff => out.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
        _ => match u32::try_from(length) {
            Ok(length) => {
                out.push(0x80);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&length.to_be_bytes());
            }
        },
    }
}
