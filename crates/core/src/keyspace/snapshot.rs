//! The keyspace as a sequence of self-describing chunks.
//!
//! Taking one is a walk over the tables in small steps between which the keyspace goes on changing;
//! the chunks describe it as it was when the walk began. Chunks delimit nothing: whoever stores or
//! sends them keeps them apart and in order.
//!
//! Format, all integers varints unless said otherwise, strings with their length in front. Each chunk
//! starts with a version byte ([`VERSION`]) and a kind byte:
//!
//! | kind | chunk |
//! |---|---|
//! | 1 | header: shard time in ms, version counter, number of entries, digest (16 bytes, little-endian), then nothing, or the hash seed (32 bytes) if the log has said what it is |
//! | 2 | entries of one database: database (one byte), then to the end of the chunk: kind (one byte), version, deadline in ms plus one or 0 without, key, value |
//! | 3 | end: empty |
//!
//! A chunk is longer than the budget only when a single entry is. The end checks count and digest, so
//! a restored keyspace is the one that was saved, or an error.

use std::fmt;

use crate::limits::DATABASES;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_array, take_bytes, take_u8, take_varint};

use super::{Keyspace, kind};
use crate::table::{EntryRef, HashSeed, Meta};

const VERSION: u8 = 3;
const HEADER: u8 = 1;
const ENTRIES: u8 = 2;
const END: u8 = 3;

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

/// What the header chunk says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    time_ms: u64,
    version: u64,
    entry_count: u64,
    digest: u128,
    hash_seed: Option<HashSeed>,
}

/// Why a chunk was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Written by another release: the version byte is given.
    OtherFormat(u8),
    /// The bytes of the chunk are not those of a chunk.
    Corrupt(Corrupt),
    /// The chunks are each well-formed, but not one complete snapshot in order.
    Incomplete(&'static str),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFormat(version) => {
                write!(
                    formatter,
                    "snapshot format {version}: this release reads {VERSION}"
                )
            }
            Self::Corrupt(corrupt) => write!(formatter, "snapshot chunk: {corrupt}"),
            Self::Incomplete(what) => write!(formatter, "snapshot: {what}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<Corrupt> for RestoreError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl Keyspace {
    /// Begins a walk over the keyspace as it is now. A walk that was under way is given up.
    pub fn snapshot_begin(&mut self) {
        let mut entry_count = 0;
        for database in self.databases.iter_mut().flatten() {
            entry_count += database.table().len() as u64;
            database.table_for_snapshot().snapshot_abort();
            database.table_for_snapshot().snapshot_begin();
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
                }
                out.extend_from_slice(&[VERSION, END]);
                self.snapshot = Progress::Idle;
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
            .for_each(|database| database.table_for_snapshot().snapshot_abort());
        self.snapshot = Progress::Idle;
    }

    /// Appends a chunk with the next entries of one database, if it has any left, and tells whether
    /// they were the last.
    fn put_entries(&mut self, db: usize, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        // A database that was made after the walk began has no walk, and nothing to give out.
        let Some(database) = self.databases[db]
            .as_mut()
            .filter(|database| database.table().snapshot_active())
        else {
            return true;
        };
        loop {
            let done = database
                .table_for_snapshot()
                .snapshot_next(budget_bytes, &mut |entry| {
                    if out.is_empty() {
                        out.extend_from_slice(&[VERSION, ENTRIES, db as u8]);
                    }
                    put_entry(out, &entry);
                });
            if done || !out.is_empty() {
                return done;
            }
        }
    }

    /// Takes the next chunk of a snapshot into a keyspace that was made new for it. The last chunk
    /// checks the whole.
    ///
    /// # Errors
    /// The keyspace is of no use afterwards.
    pub fn restore_chunk(&mut self, mut chunk: &[u8]) -> Result<(), RestoreError> {
        let input = &mut chunk;
        let version = take_u8(input)?;
        if version != VERSION {
            return Err(RestoreError::OtherFormat(version));
        }
        match (take_u8(input)?, self.restoring) {
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
            (HEADER | ENTRIES | END, _) => return Err(RestoreError::Incomplete("chunks are out of order")),
            _ => corrupt("the kind of a chunk")?,
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
            self.put_entry(db, key, (value, meta));
        }
        Ok(())
    }
}

impl Header {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, HEADER]);
        put_varint(out, self.time_ms);
        put_varint(out, self.version);
        put_varint(out, self.entry_count);
        out.extend_from_slice(&self.digest.to_le_bytes());
        if let Some(seed) = self.hash_seed {
            out.extend_from_slice(&seed.to_bytes());
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            time_ms: take_varint(input)?,
            version: take_varint(input)?,
            entry_count: take_varint(input)?,
            digest: u128::from_le_bytes(take_array(input)?),
            hash_seed: match input.is_empty() {
                true => None,
                false => Some(HashSeed::from_bytes(&take_array(input)?)),
            },
        })
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
    out.push(entry.kind);
    put_varint(out, entry.version);
    put_varint(out, entry.deadline_ms.map_or(0, |deadline| deadline + 1));
    put_bytes(out, entry.key);
    put_bytes(out, entry.value);
}

fn take_entry<'a>(input: &mut &'a [u8]) -> Result<(Meta, &'a [u8], &'a [u8]), Corrupt> {
    let kind = take_u8(input)?;
    if kind > kind::LAST {
        return corrupt("the kind of an entry");
    }
    let version = take_varint(input)?;
    let deadline_ms = take_varint(input)?.checked_sub(1);
    let key = take_bytes(input)?;
    let value = take_bytes(input)?;
    Ok((
        Meta {
            deadline_ms,
            version,
            kind,
        },
        key,
        value,
    ))
}
