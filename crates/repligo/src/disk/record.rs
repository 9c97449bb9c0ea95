//! The byte format of log segments: segment header, record header, and the encoding of a persist.
//!
//! Encodes without copying large payloads: a [`Batch`] is a list of pieces, some in a scratch buffer that
//! is kept between batches, some the very buffers that replication sends.
//! It knows no files; `docs/storage-format.md` has the layout byte by byte.
//!
//! Invariants: a record begins at a multiple of 8; its header's checksum covers the segment's sequence and
//! the record's offset, so no byte sequence is a record anywhere but where it was written; the records of
//! one persist are contiguous in one segment and only the last one has [`FLAG_LAST`].

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;
use repligo_core::contract::{HardState, LogEntry, Persist};
use repligo_core::section::FEATURE_LEVEL;
use repligo_proto::frame::SHARD;

use super::codec::Fields;
use super::meta::FORMAT;

/// Where the records of a segment begin: its header has a page for itself, so that no torn record write
/// can harm it.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 4096;
/// Bytes of a record header.
pub(super) const RECORD_HEADER_BYTES: usize = 24;
/// Record flag: the persist ends here.
pub(super) const FLAG_LAST: u8 = 1;
/// Bytes before each entry's data.
const ENTRY_HEADER_BYTES: usize = 16;
/// Bytes before the entries in an entries record.
const ENTRIES_HEADER_BYTES: usize = 16;
/// Data up to this size is copied into the scratch buffer: cheaper than one more slice to write.
const INLINE_BYTES_MAX: usize = 1024;
const SEGMENT_MAGIC: &[u8; 8] = b"RPLGWAL\0";
const SEGMENT_FIELD_BYTES: usize = 96;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Entries to append.
    Entries = 1,
    /// New hard state.
    HardState = 2,
    /// Entries from an index on are removed.
    Truncate = 3,
    /// The log restarts after a snapshot.
    Install = 4,
    /// Nothing but the header's known-synced position.
    Synced = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [
            Kind::Entries,
            Kind::HardState,
            Kind::Truncate,
            Kind::Install,
            Kind::Synced,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// The first bytes of a segment file. Complete and durable before the file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Grows by one per segment; never used twice.
    pub sequence: u64,
    /// Log position of the segment's first record: all record bytes of all segments before it.
    pub start: u64,
    /// Bytes that the file may use.
    pub size: u64,
    /// Whose log this is.
    pub cluster_id: u128,
    /// Index that the next appended entry would get where this segment begins.
    pub next_index: u64,
    /// Hard state where this segment begins.
    pub hard_state: HardState,
}

/// Why a segment header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Not a segment, or changed bytes.
    Damaged,
    /// Of this format, which is not the present one.
    OtherFormat(u32),
    /// What it holds needs this feature level, which is above that of this release.
    LaterLevel(u64),
}

impl SegmentHeader {
    /// The log position of a file offset.
    pub(super) fn position(&self, offset: u64) -> u64 {
        self.start + (offset - SEGMENT_HEADER_BYTES)
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_FIELD_BYTES] {
        let mut out = [0; SEGMENT_FIELD_BYTES];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let numbers = [self.sequence, self.start, self.size];
        for (place, number) in numbers.into_iter().enumerate() {
            out[16 + 8 * place..24 + 8 * place].copy_from_slice(&number.to_le_bytes());
        }
        out[40..56].copy_from_slice(&self.cluster_id.to_le_bytes());
        let hard = self.hard_state;
        for (place, number) in [self.next_index, hard.term, hard.vote, hard.commit]
            .into_iter()
            .enumerate()
        {
            out[56 + 8 * place..64 + 8 * place].copy_from_slice(&number.to_le_bytes());
        }
        out[88..96].copy_from_slice(&FEATURE_LEVEL.to_le_bytes());
        let crc = crc32c::crc32c(&out[16..]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let mut fields = Fields(bytes.get(..SEGMENT_FIELD_BYTES).ok_or(HeaderError::Damaged)?);
        if fields.bytes(8) != Some(SEGMENT_MAGIC) {
            return Err(HeaderError::Damaged);
        }
        let format = fields.u32().ok_or(HeaderError::Damaged)?;
        if format != FORMAT {
            return Err(HeaderError::OtherFormat(format));
        }
        if fields.u32() != Some(crc32c::crc32c(fields.0)) {
            return Err(HeaderError::Damaged);
        }
        let parse = |fields: &mut Fields<'_>| {
            let header = SegmentHeader {
                sequence: fields.u64()?,
                start: fields.u64()?,
                size: fields.u64()?,
                cluster_id: fields.u128()?,
                next_index: fields.u64()?,
                hard_state: hard_state(fields)?,
            };
            Some((header, fields.u64()?))
        };
        match parse(&mut fields) {
            Some((header, level)) if level <= FEATURE_LEVEL => Ok(header),
            Some((_, level)) => Err(HeaderError::LaterLevel(level)),
            None => Err(HeaderError::Damaged),
        }
    }
}

fn hard_state(fields: &mut Fields<'_>) -> Option<HardState> {
    Some(HardState {
        term: fields.u64()?,
        vote: fields.u64()?,
        commit: fields.u64()?,
    })
}

/// Where a record is, and what was known to be synced when it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The segment's sequence.
    pub sequence: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Log position up to which everything was synced.
    pub synced: u64,
}

/// Header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Checksum of the payload without padding.
    pub payload_crc: u32,
    /// Payload bytes without padding.
    pub length: u32,
    /// Meaning of the payload.
    pub kind: Kind,
    /// The persist ends with this record.
    pub last: bool,
    /// The shard whose log it is of.
    pub shard: u16,
    /// Log position up to which everything was synced when this was written.
    pub synced: u64,
}

impl RecordHeader {
    /// Bytes of the whole record, padding included.
    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.length as usize)
    }

    fn encode(&self, sequence: u64, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        out[4..8].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12] = self.kind as u8;
        out[13] = if self.last { FLAG_LAST } else { 0 };
        out[14..16].copy_from_slice(&self.shard.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        let crc = header_crc(sequence, offset, &out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if these bytes were not written as a record at this place of this segment.
    pub(super) fn decode(bytes: &[u8], sequence: u64, offset: u64) -> Option<RecordHeader> {
        let bytes = bytes.first_chunk::<RECORD_HEADER_BYTES>()?;
        // Cheap tests first: a search for records looks at millions of places.
        let kind = Kind::from_byte(bytes[12])?;
        if bytes[13] & !FLAG_LAST != 0 {
            return None;
        }
        let mut fields = Fields(bytes);
        if fields.u32()? != header_crc(sequence, offset, &bytes[4..]) {
            return None;
        }
        let (payload_crc, length) = (fields.u32()?, fields.u32()?);
        fields.bytes(2)?;
        Some(RecordHeader {
            payload_crc,
            length,
            kind,
            last: bytes[13] & FLAG_LAST != 0,
            shard: fields.u16()?,
            synced: fields.u64()?,
        })
    }
}

fn header_crc(sequence: u64, offset: u64, bytes: &[u8]) -> u32 {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&sequence.to_le_bytes());
    seed[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), bytes)
}

fn record_bytes(payload: usize) -> u64 {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(8) as u64
}

/// A decoded payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Entries(Vec<LogEntry>),
    HardState(HardState),
    Truncate { from: u64 },
    Install { index: u64 },
    Synced,
}

/// Decodes a payload whose checksum was right; `None` means that it was written wrong.
pub(super) fn decode_payload(kind: Kind, payload: &[u8]) -> Option<Content> {
    let mut fields = Fields(payload);
    let content = match kind {
        Kind::Entries => {
            let (first, count, _) = (fields.u64()?, fields.u32()?, fields.u32()?);
            let entry = |index| {
                let (term, length, kind) = (fields.u64()?, fields.u32()?, fields.u32()?);
                let data = Bytes::copy_from_slice(fields.bytes(length as usize)?);
                Some(LogEntry {
                    index,
                    term,
                    kind: u8::try_from(kind).ok()?,
                    data,
                })
            };
            Content::Entries(
                (first..first.checked_add(u64::from(count))?)
                    .map(entry)
                    .collect::<Option<_>>()?,
            )
        }
        Kind::HardState => Content::HardState(hard_state(&mut fields)?),
        Kind::Truncate => Content::Truncate { from: fields.u64()? },
        Kind::Install => Content::Install { index: fields.u64()? },
        Kind::Synced => Content::Synced,
    };
    fields.0.is_empty().then_some(content)
}

/// What a persist turns into, given the log that it meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Index from which on entries are removed first.
    pub truncate: Option<u64>,
    /// Index of the next entry after it.
    pub next_index: u64,
    /// Bytes of its records.
    pub bytes: u64,
    records: u32,
}

impl Plan {
    /// # Panics
    /// When the entries would leave a gap in the log, or are not contiguous: bugs of the core.
    pub(super) fn new(persist: &Persist, next_index: u64) -> Plan {
        let mut plan = Plan {
            truncate: None,
            next_index,
            bytes: 0,
            records: 0,
        };
        let mut add = |payload: usize| {
            plan.bytes += record_bytes(payload);
            plan.records += 1;
        };
        if let Some(index) = persist.install {
            add(8);
            plan.next_index = index + 1;
        }
        if let (Some(first), Some(last)) = (persist.entries.first(), persist.entries.last()) {
            assert!(first.index <= plan.next_index, "entries leave a gap in the log");
            assert!(
                last.index - first.index + 1 == persist.entries.len() as u64,
                "entries not contiguous"
            );
            if first.index < plan.next_index {
                assert!(
                    persist.install.is_none(),
                    "entries go on behind the snapshot that is installed"
                );
                add(8);
                plan.truncate = Some(first.index);
            }
            let data: usize = persist
                .entries
                .iter()
                .map(|entry| ENTRY_HEADER_BYTES + entry.data.len())
                .sum();
            assert!(
                u32::try_from(ENTRIES_HEADER_BYTES + data).is_ok(),
                "a persist of 4 GiB"
            );
            add(ENTRIES_HEADER_BYTES + data);
            plan.next_index = last.index + 1;
        }
        if persist.hard_state.is_some() {
            add(24);
        }
        plan
    }
}

#[derive(Debug)]
enum Piece {
    Scratch(Range<usize>),
    Data(Bytes),
}

/// Encoded records on their way to one write call. Keeps its buffers when cleared.
#[derive(Debug, Default)]
pub(super) struct Batch {
    scratch: Vec<u8>,
    pieces: Vec<Piece>,
    /// Bytes of `scratch` that are already in `pieces`.
    cut: usize,
    bytes: u64,
    payload_crc: u32,
    payload_bytes: usize,
}

impl Batch {
    /// Bytes of all records in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.scratch.clear();
        self.pieces.clear();
        self.cut = 0;
        self.bytes = 0;
    }

    /// Appends a persist; `place.offset` is where it will begin.
    pub(super) fn persist(&mut self, persist: &Persist, plan: &Plan, mut place: Place) {
        let before = self.bytes;
        let mut left = plan.records;
        let mut record = |batch: &mut Batch, kind, payload: &dyn Fn(&mut Batch)| {
            left -= 1;
            place.offset += batch.record(kind, left == 0, place, payload);
        };
        if let Some(index) = persist.install {
            record(self, Kind::Install, &|batch| batch.put(&index.to_le_bytes()));
        }
        if let Some(from) = plan.truncate {
            record(self, Kind::Truncate, &|batch| batch.put(&from.to_le_bytes()));
        }
        if !persist.entries.is_empty() {
            record(self, Kind::Entries, &|batch| batch.entries(&persist.entries));
        }
        if let Some(hard) = persist.hard_state {
            record(self, Kind::HardState, &|batch| {
                for number in [hard.term, hard.vote, hard.commit] {
                    batch.put(&number.to_le_bytes());
                }
            });
        }
        assert!(
            left == 0 && self.bytes - before == plan.bytes,
            "a persist has the size that was planned"
        );
    }

    /// Appends a record that says nothing but what is synced.
    pub(super) fn synced(&mut self, place: Place) {
        self.record(Kind::Synced, true, place, &|_| {});
    }

    fn entries(&mut self, entries: &[LogEntry]) {
        let first = entries.first().map_or(0, |entry| entry.index);
        self.put(&first.to_le_bytes());
        self.put(&(entries.len() as u32).to_le_bytes());
        self.put(&[0; 4]);
        for entry in entries {
            let mut header = [0; ENTRY_HEADER_BYTES];
            header[..8].copy_from_slice(&entry.term.to_le_bytes());
            header[8..12].copy_from_slice(&(entry.data.len() as u32).to_le_bytes());
            header[12] = entry.kind;
            self.put(&header);
            self.data(&entry.data);
        }
    }

    fn record(&mut self, kind: Kind, last: bool, place: Place, payload: &dyn Fn(&mut Batch)) -> u64 {
        let at = self.scratch.len();
        self.scratch.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        (self.payload_crc, self.payload_bytes) = (0, 0);
        payload(self);
        let header = RecordHeader {
            payload_crc: self.payload_crc,
            length: self.payload_bytes as u32,
            kind,
            last,
            shard: SHARD,
            synced: place.synced,
        };
        let bytes = header.record_bytes();
        let padding = bytes as usize - RECORD_HEADER_BYTES - self.payload_bytes;
        self.scratch.extend_from_slice(&[0; 8][..padding]);
        self.scratch[at..at + RECORD_HEADER_BYTES]
            .copy_from_slice(&header.encode(place.sequence, place.offset));
        self.bytes += bytes;
        bytes
    }

    fn put(&mut self, bytes: &[u8]) {
        self.payload_crc = crc32c::crc32c_append(self.payload_crc, bytes);
        self.payload_bytes += bytes.len();
        self.scratch.extend_from_slice(bytes);
    }

    fn data(&mut self, data: &Bytes) {
        if data.len() <= INLINE_BYTES_MAX {
            return self.put(data);
        }
        self.payload_crc = crc32c::crc32c_append(self.payload_crc, data);
        self.payload_bytes += data.len();
        // Nothing is left to be added when it is written again.
        if self.cut < self.scratch.len() {
            self.pieces.push(Piece::Scratch(self.cut..self.scratch.len()));
            self.cut = self.scratch.len();
        }
        self.pieces.push(Piece::Data(data.clone()));
    }

    /// Hands the bytes to `write` in order, some slices at a time.
    pub(super) fn write<E>(
        &mut self,
        mut write: impl FnMut(&mut [IoSlice<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pieces.push(Piece::Scratch(self.cut..self.scratch.len()));
        self.cut = self.scratch.len();
        for pieces in self.pieces.chunks(SLICES_MAX) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(match piece {
                    Piece::Scratch(range) => &self.scratch[range.clone()],
                    Piece::Data(data) => data,
                });
            }
            write(&mut slices[..pieces.len()])?;
        }
        Ok(())
    }
}

/// Slices per write call; they live on the stack.
const SLICES_MAX: usize = 64;
