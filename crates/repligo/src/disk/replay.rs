//! Reading the log at open: which bytes are the log, which are a torn tail, and what they add up to.
//!
//! It changes nothing on disk; [`super::repair`] does, once everything was judged fit.
//!
//! The rule. All segments but the last were complete and synced before their successor was made, and the
//! successor's header says where they end: anything wrong in them is corruption. In the last segment the
//! first bad record ends the log if everything from it on may never have been synced: if no record of the
//! segment, before or behind it, and no clean mark says that the log was synced beyond it, it is a torn
//! tail; else it is corruption. Within one boot of the machine the kernel loses nothing that was written,
//! in no durability mode, so then a later record behind a bad one is corruption as well: only the very last
//! write can be incomplete.

use std::collections::VecDeque;
use std::path::Path;

use repligo_core::contract::LogEntry;
use repligo_proto::frame::SHARD;

use super::error::DiskError;
use super::record::{
    Content, HeaderError, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    decode_payload,
};
use super::storage::Storage;
use super::wal::{Segment, Tail, is_free_name, parse_segment_name, segment_name};

/// What is known before the log is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Cluster of the directory.
    pub cluster_id: u128,
    /// Index and term of the snapshot, zeros without one.
    pub snapshot: (u64, u64),
    /// End of the log at the last clean stop, if that was the last thing that happened.
    pub clean: Option<u64>,
    /// The last run was in the current boot of the machine.
    pub same_boot: bool,
}

/// The log of a directory.
pub(super) struct Log {
    /// Where to go on.
    pub tail: Tail,
    /// Entries after the snapshot that the log holds, contiguous.
    pub entries: Vec<LogEntry>,
    /// Index from which on the log is complete.
    pub base: u64,
    /// Term of the entry at the snapshot's index, where the log holds it.
    pub term_at_snapshot: Option<u64>,
    /// Offset in the last segment up to which everything is known to be synced.
    pub synced_end: u64,
    /// Offsets in the last segment of record headers behind the end, ascending. They are wiped before
    /// anything is written, or a later record might end where one of them begins and bring it back.
    pub stale: Vec<u64>,
    /// Segments before a hole that a snapshot covers; to be removed.
    pub orphans: Vec<String>,
}

/// Reads the log; `None` if there is no segment.
pub(super) fn read(storage: &dyn Storage, names: &[String], known: Known) -> Result<Option<Log>, DiskError> {
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    sequences.sort_unstable();
    // Segments are given back oldest first, but a crash may make that durable in any order: what lies
    // before a hole was given back. Whether the hole is lawful is judged against the snapshot.
    let mut first = sequences.len().saturating_sub(1);
    while first > 0 && sequences[first - 1] + 1 == sequences[first] {
        first -= 1;
    }
    let orphans = sequences[..first]
        .iter()
        .map(|sequence| segment_name(*sequence))
        .collect();
    let sequences = &sequences[first..];
    let Some(first) = sequences.first() else {
        return Ok(None);
    };
    let mut header = read_header(storage, *first, known.cluster_id)?;
    let mut replay = Replay::new(&header, known.snapshot.0);
    for sequence in &sequences[1..] {
        let next = read_header(storage, *sequence, known.cluster_id)?;
        let bytes = read_segment(storage, header.sequence)?;
        replay.closed_segment(
            &storage.path(&segment_name(header.sequence)),
            &bytes,
            &header,
            &next,
        )?;
        header = next;
    }
    let bytes = read_segment(storage, header.sequence)?;
    let last = replay.last_segment(
        &storage.path(&segment_name(header.sequence)),
        &bytes,
        &header,
        known,
    )?;
    let free = names.iter().filter(|name| is_free_name(name)).cloned().collect();
    Ok(Some(Log {
        entries: replay.entries,
        base: replay.base,
        term_at_snapshot: replay.term_at_snapshot,
        synced_end: (SEGMENT_HEADER_BYTES + last.synced.saturating_sub(header.start)).min(last.end),
        stale: last.stale,
        orphans,
        tail: Tail {
            segments: replay.segments,
            header,
            end: last.end,
            next_index: replay.next_index,
            hard_state: replay.hard_state,
            free,
        },
    }))
}

/// True if there is no log, or only a first segment in which nothing was ever written.
pub(super) fn is_unused(storage: &dyn Storage, names: &[String]) -> Result<bool, DiskError> {
    let sequences: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    match sequences[..] {
        [] => Ok(true),
        [1] => {
            let bytes = read_segment(storage, 1)?;
            let header = bytes.get(SEGMENT_HEADER_BYTES as usize..).unwrap_or_default();
            Ok(RecordHeader::decode(header, 1, SEGMENT_HEADER_BYTES).is_none())
        }
        _ => Ok(false),
    }
}

fn read_segment(storage: &dyn Storage, sequence: u64) -> Result<Vec<u8>, DiskError> {
    let name = segment_name(sequence);
    let bytes = storage.open(&name).and_then(|file| file.read_all());
    bytes.map_err(|error| DiskError::io("read", &storage.path(&name), error))
}

fn read_header(storage: &dyn Storage, sequence: u64, cluster_id: u128) -> Result<SegmentHeader, DiskError> {
    let path = storage.path(&segment_name(sequence));
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = storage
        .open(&segment_name(sequence))
        .and_then(|file| file.read_at(&mut bytes, 0));
    let count = read.map_err(|error| DiskError::io("read", &path, error))?;
    let header = match SegmentHeader::decode(&bytes[..count]) {
        Ok(header) => header,
        Err(HeaderError::OtherFormat(found)) => return Err(DiskError::other_format(path, found)),
        Err(HeaderError::LaterLevel(found)) => return Err(DiskError::later_level(path, found)),
        Err(HeaderError::Damaged) => {
            return Err(DiskError::corrupt(&path, 0, "the segment header is not valid"));
        }
    };
    if header.cluster_id != cluster_id {
        return Err(DiskError::OtherCluster {
            path,
            found: header.cluster_id,
            expected: cluster_id,
        });
    }
    if header.sequence != sequence {
        let why = format!("the header says that this is segment {}", header.sequence);
        return Err(DiskError::corrupt(&path, 16, why));
    }
    Ok(header)
}

/// How the last segment ends.
struct End {
    end: u64,
    synced: u64,
    stale: Vec<u64>,
}

/// The log as far as it has been read.
struct Replay {
    snapshot_index: u64,
    entries: Vec<LogEntry>,
    next_index: u64,
    base: u64,
    term_at_snapshot: Option<u64>,
    hard_state: repligo_core::contract::HardState,
    segments: VecDeque<Segment>,
    /// Contents of the persist that is being read, with their offsets.
    open: Vec<(u64, Content)>,
}

impl Replay {
    fn new(header: &SegmentHeader, snapshot_index: u64) -> Replay {
        Replay {
            snapshot_index,
            entries: Vec::new(),
            next_index: header.next_index,
            base: header.next_index,
            term_at_snapshot: None,
            hard_state: header.hard_state,
            segments: VecDeque::new(),
            open: Vec::new(),
        }
    }

    /// Begins a segment; its header must agree with what was read before.
    fn enter(&mut self, path: &Path, header: &SegmentHeader) -> Result<(), DiskError> {
        if header.next_index != self.next_index || header.hard_state != self.hard_state {
            return Err(DiskError::corrupt(
                path,
                56,
                "the segment header does not continue the segment before",
            ));
        }
        self.segments.push_back(Segment {
            sequence: header.sequence,
            last_index: 0,
        });
        Ok(())
    }

    fn closed_segment(
        &mut self,
        path: &Path,
        bytes: &[u8],
        header: &SegmentHeader,
        next: &SegmentHeader,
    ) -> Result<(), DiskError> {
        self.enter(path, header)?;
        let length = next.start.checked_sub(header.start);
        let Some(end) = length
            .map(|length| SEGMENT_HEADER_BYTES + length)
            .filter(|end| *end <= header.size)
        else {
            return Err(DiskError::corrupt(
                path,
                24,
                "the next segment does not begin where this one can end",
            ));
        };
        let bytes = &bytes[..bytes.len().min(end as usize)];
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < end {
            let (record, payload) = record_at(bytes, header.sequence, offset)
                .map_err(|why| DiskError::corrupt(path, offset, why))?;
            self.take(path, offset, &record, payload)?;
            offset += record.record_bytes();
        }
        if offset != end || !self.open.is_empty() {
            return Err(DiskError::corrupt(path, end, "the segment ends inside a write"));
        }
        Ok(())
    }

    fn last_segment(
        &mut self,
        path: &Path,
        bytes: &[u8],
        header: &SegmentHeader,
        known: Known,
    ) -> Result<End, DiskError> {
        self.enter(path, header)?;
        let bytes = &bytes[..bytes
            .len()
            .min(usize::try_from(header.size).unwrap_or(usize::MAX))];
        let mut synced = known.clean.unwrap_or(0).max(header.start);
        let (mut end, mut offset) = (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES);
        let mut stale = Vec::new();
        let why = loop {
            match record_at(bytes, header.sequence, offset) {
                Ok((record, payload)) => {
                    synced = synced.max(record.synced);
                    self.take(path, offset, &record, payload)?;
                    stale.push(offset);
                    offset += record.record_bytes();
                    if record.last {
                        end = offset;
                        stale.clear();
                    }
                }
                Err(why) => break why,
            }
        };
        self.open.clear();
        if RecordHeader::decode(tail_of(bytes, offset), header.sequence, offset).is_some() {
            stale.push(offset);
        }
        let behind = find_records(bytes, header.sequence, offset + 8);
        synced = behind
            .iter()
            .fold(synced, |synced, (_, record)| synced.max(record.synced));
        if header.position(end) < synced {
            let why = format!("{why}, although the log was synced up to position {synced}");
            return Err(DiskError::corrupt(path, offset, why));
        }
        if let (Some((later, _)), true) = (behind.first(), known.same_boot) {
            let why = format!("{why}, although a record written later follows at offset {later}");
            return Err(DiskError::corrupt(path, offset, why));
        }
        stale.extend(behind.iter().map(|(offset, _)| offset));
        Ok(End { end, synced, stale })
    }

    fn take(
        &mut self,
        path: &Path,
        offset: u64,
        record: &RecordHeader,
        payload: &[u8],
    ) -> Result<(), DiskError> {
        if record.shard != SHARD {
            return Err(DiskError::OtherShard {
                path: path.to_path_buf(),
                offset,
                shard: record.shard,
            });
        }
        let content = decode_payload(record.kind, payload).ok_or_else(|| {
            DiskError::corrupt(path, offset, "the record's payload has an impossible layout")
        })?;
        self.open.push((offset, content));
        if record.last {
            for (offset, content) in std::mem::take(&mut self.open) {
                self.apply(content)
                    .map_err(|why| DiskError::corrupt(path, offset, why))?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, content: Content) -> Result<(), String> {
        match content {
            Content::Entries(entries) => self.append(entries)?,
            Content::HardState(hard_state) => self.hard_state = hard_state,
            Content::Truncate { from } => {
                if from >= self.next_index {
                    return Err(format!(
                        "entries from {from} on are removed, but {} is next",
                        self.next_index
                    ));
                }
                self.keep_below(from);
                self.next_index = from;
            }
            Content::Install { index } => {
                self.keep_below(0);
                (self.base, self.next_index) = (index + 1, index + 1);
            }
            Content::Synced => {}
        }
        Ok(())
    }

    fn append(&mut self, entries: Vec<LogEntry>) -> Result<(), String> {
        for entry in entries {
            if entry.index != self.next_index {
                return Err(format!(
                    "entry {} follows where {} is next",
                    entry.index, self.next_index
                ));
            }
            self.next_index += 1;
            if let Some(segment) = self.segments.back_mut() {
                segment.last_index = entry.index;
            }
            if entry.index == self.snapshot_index {
                self.term_at_snapshot = Some(entry.term);
            }
            if entry.index > self.snapshot_index {
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// Forgets entries from `from` on.
    fn keep_below(&mut self, from: u64) {
        let kept = self.entries.partition_point(|entry| entry.index < from);
        self.entries.truncate(kept);
        if from <= self.snapshot_index {
            self.term_at_snapshot = None;
        }
        self.base = self.base.min(from);
        for segment in &mut self.segments {
            segment.last_index = segment.last_index.min(from.saturating_sub(1));
        }
    }
}

fn tail_of(bytes: &[u8], offset: u64) -> &[u8] {
    bytes.get(offset as usize..).unwrap_or_default()
}

/// The record at an offset, or why there is none.
fn record_at(bytes: &[u8], sequence: u64, offset: u64) -> Result<(RecordHeader, &[u8]), &'static str> {
    let rest = tail_of(bytes, offset);
    let header = RecordHeader::decode(rest, sequence, offset).ok_or("there is no valid record header")?;
    let body = &rest[RECORD_HEADER_BYTES..];
    if header.record_bytes() > rest.len() as u64 {
        return Err("the record is longer than the segment");
    }
    let payload = &body[..header.length as usize];
    if crc32c::crc32c(payload) != header.payload_crc {
        return Err("the checksum of the record's payload does not match");
    }
    Ok((header, payload))
}

/// All record headers of this segment from an offset on. The segment's old life and client data cannot
/// look like one, because the header's checksum covers sequence and offset.
fn find_records(bytes: &[u8], sequence: u64, from: u64) -> Vec<(u64, RecordHeader)> {
    let places = (from..bytes.len() as u64).step_by(8);
    places
        .filter_map(|offset| {
            Some((
                offset,
                RecordHeader::decode(tail_of(bytes, offset), sequence, offset)?,
            ))
        })
        .collect()
}
