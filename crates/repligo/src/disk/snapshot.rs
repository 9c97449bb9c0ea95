//! Snapshot files: written in pieces beside the current one, renamed over it when durable, read whole.
//!
//! There is at most one complete snapshot, `snapshot`, and at most one unfinished, `snapshot.tmp`. The
//! chunks are opaque. The layout is in `docs/storage-format.md`.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::contract::SnapshotIo;
use repligo_core::section::{FEATURE_LEVEL, SNAPSHOT_LEVEL};

use super::codec::Fields;
use super::error::DiskError;
use super::meta::FORMAT;
use super::metrics::Counters;
use super::storage::{Storage, StorageFile};

/// The complete snapshot.
pub(super) const SNAPSHOT_FILE: &str = "snapshot";
/// The unfinished one.
pub(super) const SNAPSHOT_TEMPORARY: &str = "snapshot.tmp";
pub(super) const MAGIC: &[u8; 8] = b"RPLGSNAP";
pub(super) const HEADER_BYTES: usize = 56;
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
pub(super) const FOOTER_BYTES: usize = 32;
/// In place of a chunk's length: the footer.
pub(super) const FOOTER_MARK: u32 = u32::MAX;
/// Synced every so many bytes, so that the last sync is short and the log's syncs, which share the device,
/// are not held up by a flood.
const SYNC_STEP_BYTES: u64 = 8 << 20;

/// A snapshot that became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// Index of the last entry in it.
    pub index: u64,
    /// The log may go up to and including this index.
    pub drop_log_to: u64,
}

struct Draft {
    file: Arc<dyn StorageFile>,
    index: u64,
    offset: u64,
    synced: u64,
    chunk_count: u64,
    chunk_bytes: u64,
    crc: u32,
}

/// Executes [`SnapshotIo`]s.
pub(super) struct SnapshotWriter {
    storage: Arc<dyn Storage>,
    counters: Arc<Counters>,
    cluster_id: u128,
    draft: Option<Draft>,
}

impl SnapshotWriter {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        counters: Arc<Counters>,
        cluster_id: u128,
    ) -> SnapshotWriter {
        SnapshotWriter {
            storage,
            counters,
            cluster_id,
            draft: None,
        }
    }

    /// Executes one piece; returns what `End` made durable. Where there is no room, the same piece may be executed
    /// again later.
    ///
    /// # Panics
    /// On pieces out of order, or when more of the log would be dropped than the snapshot holds: bugs of
    /// the core.
    pub(super) fn execute(&mut self, piece: SnapshotIo) -> Result<Option<Saved>, DiskError> {
        let storage = self.storage.clone();
        let failed = |error| DiskError::io("write the snapshot", &storage.path(SNAPSHOT_TEMPORARY), error);
        match piece {
            SnapshotIo::Begin { index, term } => self.begin(index, term).map_err(failed)?,
            SnapshotIo::Chunk(chunk) => self.chunk(&chunk).map_err(failed)?,
            SnapshotIo::End { index, drop_log_to } => {
                let draft = self.draft.as_ref().expect("a snapshot ends after it began");
                assert!(
                    draft.index == index && drop_log_to <= index,
                    "the snapshot that began ends"
                );
                self.end(draft).map_err(failed)?;
                self.draft = None;
                return Ok(Some(Saved { index, drop_log_to }));
            }
            SnapshotIo::Abort => {
                if self.draft.take().is_some() {
                    self.storage.remove(SNAPSHOT_TEMPORARY).map_err(failed)?;
                }
            }
        }
        Ok(None)
    }

    fn begin(&mut self, index: u64, term: u64) -> io::Result<()> {
        let file = self.storage.create(SNAPSHOT_TEMPORARY)?;
        file.write_at(
            &mut [IoSlice::new(&encode_header(self.cluster_id, index, term))],
            0,
        )?;
        self.draft = Some(Draft {
            file,
            index,
            offset: HEADER_BYTES as u64,
            synced: 0,
            chunk_count: 0,
            chunk_bytes: 0,
            crc: 0,
        });
        Ok(())
    }

    fn chunk(&mut self, chunk: &Bytes) -> io::Result<()> {
        let draft = self.draft.as_mut().expect("chunks come between begin and end");
        let mut header = [0; CHUNK_HEADER_BYTES];
        let length = u32::try_from(chunk.len())
            .ok()
            .filter(|length| *length != FOOTER_MARK);
        header[..4].copy_from_slice(&length.expect("a chunk is below 4 GiB").to_le_bytes());
        header[4..].copy_from_slice(&chunk_crc(draft.chunk_count, chunk).to_le_bytes());
        draft
            .file
            .write_at(&mut [IoSlice::new(&header), IoSlice::new(chunk)], draft.offset)?;
        let bytes = (CHUNK_HEADER_BYTES + chunk.len()) as u64;
        draft.offset += bytes;
        draft.chunk_count += 1;
        draft.chunk_bytes += chunk.len() as u64;
        draft.crc = crc32c::crc32c_append(draft.crc, chunk);
        if draft.offset - draft.synced >= SYNC_STEP_BYTES {
            draft.file.sync().map_err(unsynced)?;
            draft.synced = draft.offset;
        }
        self.counters.snapshot_bytes(bytes);
        Ok(())
    }

    fn end(&self, draft: &Draft) -> io::Result<()> {
        let mut footer = [0; FOOTER_BYTES];
        footer[..4].copy_from_slice(&FOOTER_MARK.to_le_bytes());
        footer[8..16].copy_from_slice(&draft.chunk_count.to_le_bytes());
        footer[16..24].copy_from_slice(&draft.chunk_bytes.to_le_bytes());
        footer[24..28].copy_from_slice(&draft.crc.to_le_bytes());
        let crc = crc32c::crc32c(&footer[8..]);
        footer[4..8].copy_from_slice(&crc.to_le_bytes());
        draft.file.write_at(&mut [IoSlice::new(&footer)], draft.offset)?;
        draft.file.sync().map_err(unsynced)?;
        self.storage.rename(SNAPSHOT_TEMPORARY, SNAPSHOT_FILE)?;
        self.storage.sync_dir()?;
        self.counters.snapshot();
        Ok(())
    }
}

fn encode_header(cluster_id: u128, index: u64, term: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..32].copy_from_slice(&cluster_id.to_le_bytes());
    out[32..40].copy_from_slice(&index.to_le_bytes());
    out[40..48].copy_from_slice(&term.to_le_bytes());
    out[48..56].copy_from_slice(&SNAPSHOT_LEVEL.to_le_bytes());
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// What a sync could not write may be gone, and no later sync would say so: not even a full disk is waited for then.
fn unsynced(error: io::Error) -> io::Error {
    io::Error::other(format!("the sync failed: {error}"))
}

/// Covers the chunk's place, so that exchanged chunks are found.
pub(super) fn chunk_crc(ordinal: u64, chunk: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&ordinal.to_le_bytes()), chunk)
}

/// A snapshot as the core takes it: index, term, chunks.
pub(super) type Snapshot = (u64, u64, Vec<Bytes>);

/// Reads the complete snapshot; `None` if there is none.
pub(super) fn read(storage: &dyn Storage, cluster_id: u128) -> Result<Option<Snapshot>, DiskError> {
    let path = storage.path(SNAPSHOT_FILE);
    let bytes = match storage.open(SNAPSHOT_FILE).and_then(|file| file.read_all()) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::io("read", &path, error)),
    };
    let damaged = |offset: usize, why: &str| DiskError::corrupt(&path, offset as u64, why);
    let header = bytes
        .get(..HEADER_BYTES)
        .ok_or_else(|| damaged(0, "the header is not complete"))?;
    let mut fields = Fields(header);
    let (magic, format, crc) = (fields.bytes(8), fields.u32(), fields.u32());
    let (Some(magic), Some(format)) = (magic, format) else {
        return Err(damaged(0, "the header is not complete"));
    };
    if magic != MAGIC {
        return Err(damaged(0, "it does not begin as a snapshot"));
    }
    if format != FORMAT {
        return Err(DiskError::other_format(path, format));
    }
    if crc != Some(crc32c::crc32c(fields.0)) {
        return Err(damaged(12, "the checksum of the header does not match"));
    }
    let (Some(found), Some(index), Some(term)) = (fields.u128(), fields.u64(), fields.u64()) else {
        return Err(damaged(16, "the header is not complete"));
    };
    if let Some(level) = fields.u64().filter(|level| *level > FEATURE_LEVEL) {
        return Err(DiskError::later_level(path, level));
    }
    if found != cluster_id {
        return Err(DiskError::OtherCluster {
            path,
            found,
            expected: cluster_id,
        });
    }
    let chunks = read_chunks(&bytes).map_err(|(offset, why)| damaged(offset, why))?;
    Ok(Some((index, term, chunks)))
}

fn read_chunks(bytes: &Bytes) -> Result<Vec<Bytes>, (usize, &'static str)> {
    let mut chunks = Vec::new();
    let (mut offset, mut total, mut crc) = (HEADER_BYTES, 0, 0);
    loop {
        let mut fields = Fields(bytes.get(offset..).unwrap_or_default());
        let (Some(length), Some(check)) = (fields.u32(), fields.u32()) else {
            return Err((offset, "the file ends before the footer"));
        };
        if length == FOOTER_MARK {
            let footer = fields.0;
            if footer.len() != FOOTER_BYTES - 8 || crc32c::crc32c(footer) != check {
                return Err((offset, "the footer is damaged"));
            }
            let counted = (fields.u64(), fields.u64(), fields.u32());
            if counted != (Some(chunks.len() as u64), Some(total), Some(crc)) {
                return Err((offset, "the footer does not fit the chunks"));
            }
            return Ok(chunks);
        }
        let Some(chunk) = fields.bytes(length as usize) else {
            return Err((offset, "a chunk is longer than the file"));
        };
        if chunk_crc(chunks.len() as u64, chunk) != check {
            return Err((offset, "the checksum of a chunk does not match"));
        }
        total += u64::from(length);
        crc = crc32c::crc32c_append(crc, chunk);
        let start = offset + CHUNK_HEADER_BYTES;
        offset = start + length as usize;
        chunks.push(bytes.slice(start..offset));
    }
}
