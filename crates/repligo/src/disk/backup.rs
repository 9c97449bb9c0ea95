//! Backups: a snapshot file of a node, byte for byte, behind a preamble that says whose it is.
//!
//! [`SnapshotSource`] opens the snapshot that a running node has on its disk; [`BackupReader`] reads a backup from its
//! start and checks every byte of it on the way. The layout is in `docs/storage-format.md`.
//!
//! Invariant: what a reader has given out was checked, and its end is told only when the whole was.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::keyspace::outline;
use repligo_core::section::FEATURE_LEVEL;

use super::codec::{Fields, put_text};
use super::error::DiskError;
use super::meta::FORMAT;
use super::snapshot::{
    CHUNK_HEADER_BYTES, FOOTER_BYTES, FOOTER_MARK, HEADER_BYTES, MAGIC as SNAPSHOT_MAGIC, SNAPSHOT_FILE,
    chunk_crc,
};
use super::storage::{Storage, StorageFile};

const MAGIC: &[u8; 8] = b"RPLGBKUP";
/// Of the preamble.
const VERSION: u32 = 1;
/// Magic, version, CRC and length.
const HEAD_BYTES: usize = 20;
/// No preamble is longer.
const PREAMBLE_BYTES_MAX: u32 = 4096;
/// How the files begin that are often taken for backups.
const OTHERS: [(&[u8], &str); 4] = [
    // As RESP, so that any server takes it.
    (b"*2\r\n$4\r\nECHO\r\n", "an export: `repligo import` reads it"),
    (b"REDIS", "an RDB file of Redis"),
    (b"RPLGMETA", "the `meta` file of a data directory"),
    (
        SNAPSHOT_MAGIC,
        "the bare snapshot of a data directory, which is none without its log",
    ),
];

/// The point that a backup is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupFacts {
    /// The cluster.
    pub cluster_id: u128,
    /// Its generation.
    pub generation: u64,
    /// The last entry in it.
    pub index: u64,
    /// The term of that entry.
    pub term: u64,
    /// Shard time of that entry, milliseconds since the epoch.
    pub time_ms: u64,
    /// Number of keys of all databases.
    pub key_count: u64,
    /// Bytes behind the preamble.
    pub snapshot_bytes: u64,
    /// When it was taken, by the clock of the machine that did, milliseconds since the epoch.
    pub taken_ms: u64,
    /// Name of the node that it was read from.
    pub node: String,
    /// Release of the program that wrote the preamble.
    pub release: String,
}

/// Why a file is no backup that could be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupFlaw {
    /// Something else.
    #[error("it is no backup of Repligo: {found}")]
    Foreign {
        /// What it looks like.
        found: String,
    },
    /// Written by another release.
    #[error(
        "it has format {found}, and this release reads {readable}: use the release that wrote it ({release})"
    )]
    OtherFormat {
        /// In the file.
        found: u32,
        /// Of this release.
        readable: u32,
        /// As far as it is known.
        release: String,
    },
    /// Written by a later release, in the same format, but with something in it that this one does not know.
    #[error(
        "it needs feature level {found}, and this release has {FEATURE_LEVEL}: use the release that wrote it ({release}) \
         or a later one"
    )]
    LaterLevel {
        /// In the file.
        found: u64,
        /// As far as it is known.
        release: String,
    },
    /// It ends too early.
    #[error("it is cut: it ends at byte {offset}, {why}")]
    Cut {
        /// Its length.
        offset: u64,
        /// What is missing.
        why: &'static str,
    },
    /// Bytes have changed.
    #[error("it is damaged near byte {offset}: {why}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What does not fit.
        why: String,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl BackupFacts {
    /// The preamble.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.cluster_id.to_le_bytes());
        for number in [
            self.generation,
            self.index,
            self.term,
            self.time_ms,
            self.key_count,
            self.snapshot_bytes,
            self.taken_ms,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(&mut out, &self.node);
        put_text(&mut out, &self.release);
        let length = (out.len() - HEAD_BYTES) as u32;
        out[16..20].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let facts = Self {
            cluster_id: fields.u128()?,
            generation: fields.u64()?,
            index: fields.u64()?,
            term: fields.u64()?,
            time_ms: fields.u64()?,
            key_count: fields.u64()?,
            snapshot_bytes: fields.u64()?,
            taken_ms: fields.u64()?,
            node: fields.text()?,
            release: fields.text()?,
        };
        fields.0.is_empty().then_some(facts)
    }
}

/// Counts what is read and tells a cut from a failure.
struct Input<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Input<R> {
    fn exact(&mut self, buffer: &mut [u8], why: &'static str) -> Result<(), BackupFlaw> {
        let mut done = 0;
        while done < buffer.len() {
            match self.input.read(&mut buffer[done..]) {
                Ok(0) => {
                    let offset = self.offset;
                    return Err(BackupFlaw::Cut { offset, why });
                }
                Ok(count) => {
                    done += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// No more memory than what is really there: the length may be damaged.
    fn bytes(&mut self, count: u32, why: &'static str) -> Result<Vec<u8>, BackupFlaw> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(u64::from(count)).read_to_end(&mut bytes)?;
        self.offset += read as u64;
        match read == count as usize {
            true => Ok(bytes),
            false => Err(BackupFlaw::Cut {
                offset: self.offset,
                why,
            }),
        }
    }

    fn damaged(&self, why: impl Into<String>) -> BackupFlaw {
        BackupFlaw::Damaged {
            offset: self.offset,
            why: why.into(),
        }
    }
}

/// A backup that is read from its start to its end.
pub struct BackupReader<R> {
    input: Input<R>,
    facts: BackupFacts,
    /// Where the snapshot begins.
    start: u64,
    count: u64,
    bytes: u64,
    crc: u32,
}

impl<R: Read> BackupReader<R> {
    /// Reads what says whose it is.
    ///
    /// # Errors
    /// It is no backup, or is damaged already here.
    pub fn open(input: R) -> Result<Self, BackupFlaw> {
        let mut input = Input { input, offset: 0 };
        let facts = read_preamble(&mut input)?;
        let start = input.offset;
        let mut reader = Self {
            input,
            facts,
            start,
            count: 0,
            bytes: 0,
            crc: 0,
        };
        reader.read_header()?;
        Ok(reader)
    }

    /// Whose it is, and of when.
    pub fn facts(&self) -> &BackupFacts {
        &self.facts
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset
    }

    /// The header of the snapshot must be that of what the preamble says.
    fn read_header(&mut self) -> Result<(), BackupFlaw> {
        let mut header = [0; HEADER_BYTES];
        self.input
            .exact(&mut header, "within the header of its snapshot")?;
        let mut fields = Fields(&header);
        let (magic, format, crc) = (fields.bytes(8), fields.u32(), fields.u32());
        if magic != Some(SNAPSHOT_MAGIC) {
            return Err(self.input.damaged("no snapshot follows"));
        }
        if format != Some(FORMAT) {
            return Err(BackupFlaw::OtherFormat {
                found: format.unwrap_or_default(),
                readable: FORMAT,
                release: self.facts.release.clone(),
            });
        }
        if crc != Some(crc32c::crc32c(fields.0)) {
            return Err(self
                .input
                .damaged("the checksum of the snapshot's header does not match"));
        }
        let place = (fields.u128(), fields.u64(), fields.u64());
        let facts = &self.facts;
        if place != (Some(facts.cluster_id), Some(facts.index), Some(facts.term)) {
            return Err(self
                .input
                .damaged("the snapshot is another one than the preamble says"));
        }
        if let Some(found) = fields.u64().filter(|level| *level > FEATURE_LEVEL) {
            let release = self.facts.release.clone();
            return Err(BackupFlaw::LaterLevel { found, release });
        }
        Ok(())
    }

    /// The next chunk; `None` when everything was read and checked.
    ///
    /// # Errors
    /// It is cut or damaged.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, BackupFlaw> {
        let input = &mut self.input;
        let mut head = [0; CHUNK_HEADER_BYTES];
        input.exact(&mut head, "before its end was reached")?;
        let mut fields = Fields(&head);
        let (length, check) = (fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default());
        if length == FOOTER_MARK {
            return self.read_footer(check).map(|()| None);
        }
        let chunk = input.bytes(length, "within a chunk")?;
        if chunk_crc(self.count, &chunk) != check {
            return Err(input.damaged(format!("the checksum of chunk {} does not match", self.count)));
        }
        self.count += 1;
        self.bytes += u64::from(length);
        self.crc = crc32c::crc32c_append(self.crc, &chunk);
        if self.count == 2 {
            self.check_outline(&chunk)?;
        }
        Ok(Some(Bytes::from(chunk)))
    }

    fn check_outline(&self, chunk: &[u8]) -> Result<(), BackupFlaw> {
        let found = outline(chunk).map_err(|error| self.input.damaged(error.to_string()))?;
        match (found.time_ms, found.entry_count) == (self.facts.time_ms, self.facts.key_count) {
            true => Ok(()),
            false => Err(self
                .input
                .damaged("time and keys are others than the preamble says")),
        }
    }

    fn read_footer(&mut self, check: u32) -> Result<(), BackupFlaw> {
        let input = &mut self.input;
        let mut footer = [0; FOOTER_BYTES - CHUNK_HEADER_BYTES];
        input.exact(&mut footer, "within its footer")?;
        if crc32c::crc32c(&footer) != check {
            return Err(input.damaged("the checksum of the footer does not match"));
        }
        let mut fields = Fields(&footer);
        let counted = (fields.u64(), fields.u64(), fields.u32());
        if counted != (Some(self.count), Some(self.bytes), Some(self.crc)) {
            return Err(input.damaged("the footer does not fit the chunks"));
        }
        if input.offset - self.start != self.facts.snapshot_bytes {
            return Err(input.damaged("it has another length than the preamble says"));
        }
        if input.input.read(&mut [0])? != 0 {
            return Err(input.damaged("something follows its end"));
        }
        Ok(())
    }
}

fn read_preamble(input: &mut Input<impl Read>) -> Result<BackupFacts, BackupFlaw> {
    let mut head = [0; HEAD_BYTES];
    let read = input.exact(&mut head, "within its first bytes");
    if !head.starts_with(MAGIC) {
        let other = OTHERS.iter().find(|(magic, _)| head.starts_with(magic));
        let found = other.map_or("it does not begin as one", |(_, what)| what);
        return Err(BackupFlaw::Foreign {
            found: found.to_owned(),
        });
    }
    read?;
    let mut fields = Fields(&head[8..]);
    let (version, crc, length) = (fields.u32(), fields.u32(), fields.u32().unwrap_or_default());
    if version != Some(VERSION) {
        return Err(BackupFlaw::OtherFormat {
            found: version.unwrap_or_default(),
            readable: VERSION,
            release: "a later one".to_owned(),
        });
    }
    if length > PREAMBLE_BYTES_MAX {
        return Err(input.damaged("the preamble has an impossible length"));
    }
    let payload = input.bytes(length, "within its preamble")?;
    let found = crc32c::crc32c_append(crc32c::crc32c(&head[16..]), &payload);
    if crc != Some(found) {
        return Err(input.damaged("the checksum of the preamble does not match"));
    }
    let facts = BackupFacts::decode(&payload);
    facts.ok_or_else(|| input.damaged("the preamble does not decode"))
}

/// The snapshot on the disk of a running node.
#[derive(Clone)]
pub struct SnapshotSource {
    storage: Arc<dyn Storage>,
}

/// That snapshot, held although a later one may take its place.
pub struct OpenSnapshot {
    file: Arc<dyn StorageFile>,
}

impl SnapshotSource {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Opens it and says what it is of: cluster, place, time, keys and length.
    ///
    /// # Errors
    /// It cannot be read, or does not begin as a snapshot.
    pub fn open(&self) -> Result<(OpenSnapshot, BackupFacts), DiskError> {
        let path = self.storage.path(SNAPSHOT_FILE);
        let failed = |error| DiskError::io("read", &path, error);
        let file = self.storage.open(SNAPSHOT_FILE).map_err(failed)?;
        let snapshot_bytes = file.len().map_err(failed)?;
        let snapshot = OpenSnapshot { file };
        let read = |offset, count| snapshot.read(offset, count).map_err(failed);
        let header = read(0, HEADER_BYTES)?;
        let damaged = |offset| DiskError::corrupt(&path, offset, "it does not begin as a snapshot");
        let mut fields = Fields(header.get(16..).ok_or_else(|| damaged(0))?);
        let place = (fields.u128(), fields.u64(), fields.u64());
        let (Some(cluster_id), Some(index), Some(term)) = place else {
            return Err(damaged(16));
        };
        // The replica's own chunk comes first, then the first one of the keyspace.
        let mut offset = HEADER_BYTES as u64;
        let mut chunk = Bytes::new();
        for _ in 0..2 {
            let head = read(offset, CHUNK_HEADER_BYTES)?;
            let length = Fields(&head).u32().ok_or_else(|| damaged(offset))?;
            offset += CHUNK_HEADER_BYTES as u64;
            chunk = read(offset, length as usize)?;
            offset += u64::from(length);
        }
        let outline = outline(&chunk).map_err(|_| damaged(offset))?;
        let facts = BackupFacts {
            cluster_id,
            index,
            term,
            time_ms: outline.time_ms,
            key_count: outline.entry_count,
            snapshot_bytes,
            ..BackupFacts::default()
        };
        Ok((snapshot, facts))
    }
}

impl OpenSnapshot {
    /// Up to `count` bytes from `offset` on; fewer at the end.
    ///
    /// # Errors
    /// An IO error.
    pub fn read(&self, offset: u64, count: usize) -> io::Result<Bytes> {
        let left = self.file.len()?.saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            match self.file.read_at(&mut bytes[done..], offset + done as u64)? {
                0 => break,
                more => done += more,
            }
        }
        bytes.truncate(done);
        Ok(Bytes::from(bytes))
    }
}
