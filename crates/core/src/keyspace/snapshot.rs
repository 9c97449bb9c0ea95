//! The keyspace as a sequence of self-describing chunks.
//!
//! Taking one is a walk over the tables in small steps between which the keyspace goes on changing;
//! the chunks describe it as it was when the walk began. Chunks delimit nothing: whoever stores or
//! sends them keeps them apart and in order.
//!
//! Format, all integers varints unless said otherwise, strings with their length in front. Each chunk is one section
//! ([`crate::section`]): a version byte, a kind byte and the feature level that its layout came with. Kinds from 128 on
//! are skipped by a release that does not know them, wherever they stand; of the others one that is not known refuses
//! the snapshot. Then follows:
//!
//! | kind | chunk |
//! |---|---|
//! | 1 | header: shard time in ms, version counter, number of entries, digest (16 bytes, little-endian), then nothing, or the hash seed (32 bytes) if the log has said what it is |
//! | 2 | entries of one database: database (one byte), then to the end of the chunk: kind (one byte), version, deadline in ms plus one or 0 without, key, value |
//! | 3 | end: empty |
//! | 4 | a large collection and its first elements: database (one byte), kind, version, deadline of the key and key as above, number of elements, then to the end of the chunk elements in their order; or a long string and its first bytes, of which the number says how many there are |
//! | 5 | more elements of the collection, or bytes of the string, before: nothing else comes until it is whole |
//! | 6 | what was removed from one database: database (one byte), then to the end of the chunk, per group of keys of which any was: number of groups of which none was before it, highest version |
//! | 7 | scripts: how many ever came to be known, then to the end of the chunk, per script: its number, 1 if SCRIPT LOAD has brought it or 0, its text |
//! | 8 | libraries of functions, to the end of the chunk: name, text, number of functions, then per function: name, flags (one byte), 1 if it has a description or 0, that |
//! | 9 | databases that SWAPDB has exchanged, in front of what they hold, to the end of the chunk: place, number of the database there (one byte each), version of the last exchange |
//!
//! An element of a hash is field and value, of one whose fields have deadlines (kind 14) the deadline in ms plus one or 0
//! without, field and value, those without first; one of a set is a member, one of a list is what it holds, one of a sorted
//! set is the score without the zeros at its end and the member. A chunk is longer than the budget only when a single
//! entry is. The end checks count and digest, so a restored keyspace is the one that was saved, or an error.

mod apart;
mod error;
mod header;

use std::sync::Arc;

use crate::bugs::Bug;
use crate::limits::DATABASES;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};

use self::apart::Builder;
pub(super) use self::apart::{Apart, Rebuilding, Stream};
pub use self::error::RestoreError;
pub(super) use self::header::Header;
use super::removed::Removed;
use super::{Keyspace, kind, typed};
use crate::section::{self, SNAPSHOT_LEVEL, VERSION, Verdict};
use crate::table::{EntryRef, Meta};

const HEADER: u8 = 1;
const ENTRIES: u8 = 2;
const END: u8 = 3;
const APART: u8 = 4;
const PART: u8 = 5;
const REMOVED: u8 = 6;
const SCRIPTS: u8 = 7;
const LIBRARIES: u8 = 8;
const EXCHANGES: u8 = 9;
/// The last kind.
const LAST: u8 = EXCHANGES;
/// Bytes of a chunk of scripts.
const SCRIPT_CHUNK_BYTES: usize = 256 << 10;

/// Where a walk stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Progress {
    /// No walk is under way.
    #[default]
    Idle,
    /// The header, as of the beginning of the walk, has not been given out.
    Header(Header),
    /// The next chunk is of this database.
    Database(usize),
}

/// What the first chunk of a keyspace's snapshot tells of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Shard time when the walk began, milliseconds since the epoch.
    pub time_ms: u64,
    /// Entries of all databases.
    pub entry_count: u64,
}

/// What the first chunk of a keyspace's snapshot says.
///
/// # Errors
/// It is no such chunk.
pub fn outline(mut chunk: &[u8]) -> Result<Outline, RestoreError> {
    let input = &mut chunk;
    if take_kind(input)? != Some(HEADER) {
        return Err(RestoreError::Incomplete("chunks are out of order"));
    }
    let header = Header::decode(input)?;
    Ok(Outline {
        time_ms: header.time_ms,
        entry_count: header.entry_count,
    })
}

/// What stands in front of a chunk of this kind.
fn front(kind: u8) -> [u8; 3] {
    [VERSION, kind, SNAPSHOT_LEVEL as u8]
}

/// Takes what [`front`] made off a chunk; `None` if the chunk is to be skipped.
fn take_kind(input: &mut &[u8]) -> Result<Option<u8>, RestoreError> {
    let version = take_u8(input)?;
    if version != VERSION {
        return Err(RestoreError::OtherFormat(version));
    }
    let kind = take_u8(input)?;
    let level = take_varint(input)?;
    match section::judge(kind, level, (HEADER..=LAST).contains(&kind))? {
        Verdict::Read => Ok(Some(kind)),
        Verdict::Skip => Ok(None),
        Verdict::Refuse(unknown) => Err(RestoreError::Unknown(unknown)),
    }
}

impl Keyspace {
    /// Begins a walk over the keyspace as it is now. A walk that was under way is given up.
    pub fn snapshot_begin(&mut self) {
        self.give_up_streams();
        let mut entry_count = 0;
        self.removed_chunks.clear();
        self.walked_numbers = self.numbers();
        let mut exchanges = front(EXCHANGES).to_vec();
        self.encode_exchanges(&mut exchanges);
        if exchanges.len() > front(EXCHANGES).len() {
            self.removed_chunks.push_back(exchanges);
        }
        let scripts = self.scripts.chunks(SCRIPT_CHUNK_BYTES).into_iter();
        let scripts = scripts.map(|chunk| [&front(SCRIPTS)[..], &chunk].concat());
        self.removed_chunks.extend(scripts);
        let libraries = self.libraries.chunks(SCRIPT_CHUNK_BYTES).into_iter();
        let libraries = libraries.map(|chunk| [&front(LIBRARIES)[..], &chunk].concat());
        self.removed_chunks.extend(libraries);
        for (db, database) in self.databases.iter_mut().enumerate() {
            let Some(database) = database else { continue };
            let mut chunk = front(REMOVED).to_vec();
            chunk.push(db as u8);
            let empty = chunk.len();
            database.removed().encode(&mut chunk);
            if chunk.len() > empty {
                self.removed_chunks.push_back(chunk);
            }
            entry_count += database.table().len() as u64;
            database.snapshot_begin();
        }
        self.snapshot = Progress::Header(Header {
            time_ms: self.time_ms,
            version: self.version,
            entry_count,
            digest: self.digest(),
            hash_seed: self.is_seeded.then_some(self.hash_seed),
        });
    }

    /// Appends the next chunk of the walk to `out`, about `budget_bytes` long; true when it was the
    /// last one.
    ///
    /// # Panics
    /// When no walk is under way.
    pub fn snapshot_next(&mut self, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        match self.snapshot {
            Progress::Idle => panic!("snapshot_next without snapshot_begin"),
            Progress::Header(header) => {
                header.encode(out);
                self.snapshot = Progress::Database(0);
                false
            }
            Progress::Database(_) if !self.removed_chunks.is_empty() => {
                let chunk = self.removed_chunks.pop_front();
                out.append(&mut chunk.expect("the guard has looked"));
                false
            }
            Progress::Database(_) if !self.streams.is_empty() => {
                self.put_part(out, budget_bytes);
                false
            }
            Progress::Database(first) => {
                for db in first..DATABASES {
                    self.snapshot = Progress::Database(db);
                    let done = self.put_entries(db, out, budget_bytes);
                    if done {
                        self.snapshot = Progress::Database(db + 1);
                    }
                    if !out.is_empty() {
                        return false;
                    }
                    if !self.streams.is_empty() {
                        self.put_part(out, budget_bytes);
                        return false;
                    }
                }
                out.extend_from_slice(&front(END));
                self.databases
                    .iter_mut()
                    .flatten()
                    .for_each(|database| database.snapshot_end());
                self.snapshot = Progress::Idle;
                self.is_releasing = true;
                true
            }
        }
    }
}

impl Keyspace {
    /// Gives up the walk that is under way, if there is one, and what it keeps in memory.
    pub fn snapshot_abort(&mut self) {
        self.databases
            .iter_mut()
            .flatten()
            .for_each(|database| database.snapshot_abort());
        self.give_up_streams();
        self.removed_chunks.clear();
        self.snapshot = Progress::Idle;
        self.is_releasing = true;
    }

    /// True from the begin of a walk to its last chunk.
    #[inline]
    pub(super) fn is_snapshot_active(&self) -> bool {
        !matches!(self.snapshot, Progress::Idle)
    }

    /// Bytes of long strings that leave and that no entry has any more.
    pub(super) fn leaving_string_bytes(&self) -> usize {
        let streams = self.streams.iter().map(|stream| match &stream.content {
            Apart::String(value) if Arc::strong_count(value) == 1 => value.capacity(),
            _ => 0,
        });
        streams.sum()
    }

    fn give_up_streams(&mut self) {
        for stream in std::mem::take(&mut self.streams) {
            let place = self.place_of_walked(usize::from(stream.db));
            if let Some(database) = &mut self.databases[place] {
                database.discard(stream.content);
            }
        }
    }

    /// Appends a chunk with the next part of what leaves in parts and is in front.
    fn put_part(&mut self, out: &mut Vec<u8>, budget_bytes: usize) {
        let stream = self.streams.front_mut().expect("the caller has looked");
        if stream.next == 0 {
            out.extend_from_slice(&front(APART));
            out.push(stream.db);
            let meta = stream.content.key_meta(stream.meta);
            let entry = EntryRef::new(&stream.key, b"", meta);
            put_head(out, &entry);
            put_varint(out, stream.content.len());
        } else {
            out.extend_from_slice(&front(PART));
        }
        let first = stream.next;
        stream.next = stream.content.put_chunk(first, budget_bytes, out);
        if Bug::SnapshotLosesLastPart.is_in_force() && first > 0 && stream.next == stream.content.len() {
            out.clear();
        }
        if stream.next == stream.content.len()
            && let Some(stream) = self.streams.pop_front()
            && let place = self.place_of_walked(usize::from(stream.db))
            && let Some(database) = &mut self.databases[place]
        {
            database.discard(stream.content);
            self.is_releasing |= database.is_releasing();
        }
    }

    /// Appends a chunk with the next entries of one database, if it has any left, and tells whether
    /// they were the last.
    fn put_entries(&mut self, db: usize, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        // A database that was made after the walk began has no walk, and nothing to give out.
        let place = self.place_of_walked(db);
        let Some(database) = self.databases[place]
            .as_mut()
            .filter(|database| database.table().snapshot_active())
        else {
            return true;
        };
        let streams = &mut self.streams;
        loop {
            let done = database.snapshot_next(budget_bytes, &mut |entry, apart| {
                if let Some(content) = apart {
                    streams.push_back(Stream {
                        db: db as u8,
                        key: entry.key.into(),
                        meta: entry.meta(),
                        content,
                        next: 0,
                    });
                    return;
                }
                if out.is_empty() {
                    out.extend_from_slice(&front(ENTRIES));
                    out.push(db as u8);
                }
                put_entry(out, &entry);
            });
            if done || !out.is_empty() || !streams.is_empty() {
                return done;
            }
        }
    }

    /// True while chunks of a snapshot are missing.
    pub fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// Takes the next chunk of a snapshot into a keyspace that was made new for it. The last chunk
    /// checks the whole.
    ///
    /// # Errors
    /// The keyspace is of no use afterwards.
    pub fn restore_chunk(&mut self, mut chunk: &[u8]) -> Result<(), RestoreError> {
        let input = &mut chunk;
        let Some(kind) = take_kind(input)? else {
            return Ok(());
        };
        if self.rebuilding.is_some() != (kind == PART) {
            return Err(RestoreError::Incomplete("an entry is in parts"));
        }
        match (kind, self.restoring) {
            (HEADER, None) => {
                let header = Header::decode(input)?;
                self.time_ms = header.time_ms;
                self.version = header.version;
                if let Some(seed) = header.hash_seed {
                    self.seed(seed);
                }
                self.restoring = Some(header);
            }
            (ENTRIES, Some(header)) => self.restore_entries(header, input)?,
            (APART, Some(header)) => self.restore_apart(header, input)?,
            (PART, Some(_)) => self.restore_part(input)?,
            (REMOVED, Some(header)) => {
                let db = take_u8(input)?;
                if usize::from(db) >= DATABASES {
                    corrupt("a database number")?;
                }
                let removed = Removed::decode(input, header.version)?;
                self.database_mut(db).restore_removed(removed);
            }
            (SCRIPTS, Some(_)) => self.scripts.restore(input)?,
            (LIBRARIES, Some(_)) => self.libraries.restore(input)?,
            (EXCHANGES, Some(header)) => self.restore_exchanges(input, header.version)?,
            (END, Some(header)) => {
                let entry_count: usize = self
                    .databases
                    .iter()
                    .flatten()
                    .map(|database| database.table().len())
                    .sum();
                if entry_count as u64 != header.entry_count {
                    return Err(RestoreError::Incomplete("entries are missing"));
                }
                if self.digest() != header.digest {
                    return Err(RestoreError::Incomplete("the digest does not match"));
                }
                self.restoring = None;
            }
            _ => return Err(RestoreError::Incomplete("chunks are out of order")),
        }
        if !input.is_empty() {
            corrupt("the end of the chunk")?;
        }
        Ok(())
    }

    fn restore_entries(&mut self, header: Header, input: &mut &[u8]) -> Result<(), RestoreError> {
        let db = take_u8(input)?;
        if usize::from(db) >= DATABASES {
            corrupt("a database number")?;
        }
        while !input.is_empty() {
            let (meta, key, value) = take_entry(input)?;
            if meta.version > header.version {
                corrupt("a version that was given out")?;
            }
            typed::judge(meta.kind, value)?;
            self.put_restored(db, key, (value, meta));
        }
        Ok(())
    }

    fn put_restored(&mut self, db: u8, key: &[u8], (value, meta): (&[u8], Meta)) {
        self.put_entry(db, key, (value, meta));
        if kind::is_of_row(meta.kind) {
            self.database_mut(db).note_row();
        }
    }

    fn restore_apart(&mut self, header: Header, input: &mut &[u8]) -> Result<(), RestoreError> {
        let db = take_u8(input)?;
        if usize::from(db) >= DATABASES {
            corrupt("a database number")?;
        }
        let (meta, key) = take_head(input)?;
        if meta.version > header.version {
            corrupt("a version that was given out")?;
        }
        let count = take_varint(input)?;
        self.rebuilding = Some(Rebuilding {
            db,
            key: key.into(),
            meta,
            count,
            builder: Builder::new(meta.kind, count, self.hash_seed)?,
        });
        self.restore_part(input)
    }

    fn restore_part(&mut self, input: &mut &[u8]) -> Result<(), RestoreError> {
        let mut rebuilding = self.rebuilding.take().expect("the caller has looked");
        let before = rebuilding.builder.len();
        let part = std::mem::take(input);
        match &mut rebuilding.builder {
            Builder::Collection(builder) => builder.take_chunk(part)?,
            Builder::String(bytes) => {
                let (db, key) = (rebuilding.db, &rebuilding.key);
                let at = *bytes;
                *bytes += part.len() as u64;
                if *bytes > rebuilding.count {
                    corrupt("as many bytes as the string has")?;
                }
                if at == 0 {
                    self.put_restored(db, key, (part, rebuilding.meta));
                    self.database_mut(db).reserve(key, rebuilding.count as usize);
                } else {
                    let database = self.database_mut(db);
                    database.overwrite(key, (at as usize, part), rebuilding.meta);
                }
            }
        }
        let so_far = rebuilding.builder.len();
        if so_far == before || so_far > rebuilding.count {
            corrupt("as many elements as the collection has")?;
        }
        if so_far < rebuilding.count {
            self.rebuilding = Some(rebuilding);
        } else if let Builder::Collection(builder) = rebuilding.builder {
            self.put_collection(
                rebuilding.db,
                &rebuilding.key,
                (builder.finish(), rebuilding.meta),
            );
        }
        Ok(())
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
    put_head(out, entry);
    put_bytes(out, entry.value);
}

/// All of an entry but its value.
fn put_head(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
    out.push(entry.kind);
    put_varint(out, entry.version);
    put_varint(out, entry.deadline_ms.map_or(0, |deadline| deadline + 1));
    put_bytes(out, entry.key);
}

fn take_entry<'a>(input: &mut &'a [u8]) -> Result<(Meta, &'a [u8], &'a [u8]), Corrupt> {
    let (meta, key) = take_head(input)?;
    Ok((meta, key, take_bytes(input)?))
}

fn take_head<'a>(input: &mut &'a [u8]) -> Result<(Meta, &'a [u8]), Corrupt> {
    let kind = take_u8(input)?;
    if kind > kind::LAST {
        return corrupt("the kind of an entry");
    }
    let version = take_varint(input)?;
    let deadline_ms = take_varint(input)?.checked_sub(1);
    let meta = Meta {
        deadline_ms,
        version,
        kind,
    };
    Ok((meta, take_bytes(input)?))
}
