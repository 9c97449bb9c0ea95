//! The log writer: appends persists to the active segment, rolls to the next, and takes segments back
//! once a snapshot covers them.
//!
//! It reads nothing but what it needs to repair at open ([`super::replay`] reads), and it has no thread of
//! its own: the disk thread owns it.
//!
//! Invariants:
//! 1. A segment is synced before the next one exists, so only the last one can have an unsynced tail.
//! 2. A segment file gets its name after its header is durable, and records after its name is.
//! 3. Records are only written to bytes that the file already has (zero-filled ahead, or recycled), so a
//!    sync need not change the file's size, and a full disk shows before a record is begun.
//! 4. A segment is given back only when the log after it, including whatever made its entries
//!    superfluous, is synced.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use repligo_core::contract::{HardState, Persist};

use super::error::DiskError;
use super::metrics::Counters;
use super::record::{Batch, Place, Plan, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::recycle;
use super::segment::{FILL_BYTES, fill, make_segment};
use super::storage::{Storage, StorageFile};

const SEGMENT_PREFIX: &str = "wal-";
const FREE_PREFIX: &str = "free-";

/// File name of a segment.
pub(super) fn segment_name(sequence: u64) -> String {
    format!("{SEGMENT_PREFIX}{sequence:016}")
}

pub(super) fn free_name(sequence: u64) -> String {
    format!("{FREE_PREFIX}{sequence:016}")
}

/// Sequence in the name of a segment.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()
}

/// True for a segment that waits to be used again.
pub(super) fn is_free_name(name: &str) -> bool {
    name.strip_prefix(FREE_PREFIX)
        .is_some_and(|rest| rest.parse::<u64>().is_ok())
}

/// A segment that is part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// As in its header and name.
    pub sequence: u64,
    /// Highest index of an entry in it that is still part of the log, 0 for none.
    pub last_index: u64,
}

/// What the syncing thread needs to know of the active segment.
pub(super) struct Active {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    written: u64,
}

/// How far the log is written and synced; shared with the syncing thread.
pub(super) struct Progress {
    active: Mutex<Active>,
    syncing: AtomicBool,
    synced: AtomicU64,
    counters: Arc<Counters>,
}

impl Progress {
    /// Log position up to which everything is durable.
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// A sync is under way, and writes might wait for it.
    pub(super) fn is_syncing(&self) -> bool {
        self.syncing.load(Ordering::Acquire)
    }

    /// Syncs what is written when it is called, unless that is synced already.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        let (file, path, written) = {
            let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            (active.file.clone(), active.path.clone(), active.written)
        };
        if written <= self.synced() {
            return Ok(());
        }
        let begun = Instant::now();
        self.syncing.store(true, Ordering::Release);
        let synced = file.sync();
        self.syncing.store(false, Ordering::Release);
        synced.map_err(|source| DiskError::SyncFailed { path, source })?;
        self.counters.sync(begun.elapsed());
        // Never back: the other thread may have synced more meanwhile. What lies before this segment was
        // synced before the segment existed.
        self.synced.fetch_max(written, Ordering::AcqRel);
        Ok(())
    }
}

/// Bytes of the active segment that are not written yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Zero-filled, or left from an earlier use.
    filled: u64,
    /// Those that the file does not have yet.
    unfilled: u64,
}

impl Room {
    /// Time to extend the file.
    pub(super) fn is_low(self) -> bool {
        self.filled < FILL_BYTES / 2 && self.unfilled > 0
    }
}

/// The state of a log, as recovery found it or as it begins.
pub(super) struct Tail {
    /// All segments, the active one last.
    pub segments: VecDeque<Segment>,
    /// Header of the active one.
    pub header: SegmentHeader,
    /// Offset in it at which the next record goes.
    pub end: u64,
    /// Index of the next entry.
    pub next_index: u64,
    /// Latest hard state.
    pub hard_state: HardState,
    /// Files to use again.
    pub free: Vec<String>,
}

/// The log, open for writing.
pub(super) struct Wal {
    storage: Arc<dyn Storage>,
    counters: Arc<Counters>,
    progress: Arc<Progress>,
    segment_bytes: u64,
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    /// Bytes that the active file has.
    filled: u64,
    tail: Tail,
    batch: Batch,
    /// Persists were written after the last record that carries a synced position behind them.
    unmarked: bool,
    /// An append that found no room has taken the persists up to this number: they are in the log or in `batch`.
    taken: Option<u64>,
}

impl Wal {
    /// Starts the log of an empty directory.
    pub(super) fn create(
        storage: Arc<dyn Storage>,
        counters: Arc<Counters>,
        cluster_id: u128,
        segment_bytes: u64,
    ) -> Result<Wal, DiskError> {
        let header = SegmentHeader {
            sequence: 1,
            start: 0,
            size: segment_bytes,
            cluster_id,
            next_index: 1,
            hard_state: HardState::default(),
        };
        let (file, filled) = make_segment(&*storage, &header, None)?;
        let tail = Tail {
            segments: VecDeque::from([Segment {
                sequence: 1,
                last_index: 0,
            }]),
            header,
            end: SEGMENT_HEADER_BYTES,
            next_index: 1,
            hard_state: HardState::default(),
            free: Vec::new(),
        };
        Ok(Wal::assemble(
            storage,
            counters,
            segment_bytes,
            (file, filled, tail),
        ))
    }

    /// Goes on at the end of a log that was read and synced.
    pub(super) fn resume(
        storage: Arc<dyn Storage>,
        counters: Arc<Counters>,
        segment_bytes: u64,
        tail: Tail,
    ) -> Result<Wal, DiskError> {
        let name = segment_name(tail.header.sequence);
        let open = || {
            let file = storage.open(&name)?;
            let filled = file.len()?;
            Ok((file, filled))
        };
        let (file, filled) = open().map_err(|error| DiskError::io("open", &storage.path(&name), error))?;
        Ok(Wal::assemble(
            storage,
            counters,
            segment_bytes,
            (file, filled, tail),
        ))
    }

    fn assemble(
        storage: Arc<dyn Storage>,
        counters: Arc<Counters>,
        segment_bytes: u64,
        (file, filled, tail): (Arc<dyn StorageFile>, u64, Tail),
    ) -> Wal {
        let path = storage.path(&segment_name(tail.header.sequence));
        let written = tail.header.position(tail.end);
        let active = Active {
            file: file.clone(),
            path: path.clone(),
            written,
        };
        let progress = Progress {
            active: Mutex::new(active),
            syncing: AtomicBool::new(false),
            synced: AtomicU64::new(written),
            counters: counters.clone(),
        };
        counters.segments(tail.segments.len());
        Wal {
            storage,
            counters,
            progress: Arc::new(progress),
            segment_bytes,
            file,
            path,
            filled,
            tail,
            batch: Batch::default(),
            unmarked: false,
            taken: None,
        }
    }

    /// Shared with the syncing thread.
    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Log position behind the last record.
    pub(super) fn written(&self) -> u64 {
        self.tail.header.position(self.tail.end)
    }

    /// There are persists that no later record calls synced: [`Wal::mark_synced`] will have something to do.
    pub(super) fn unmarked(&self) -> bool {
        self.unmarked
    }

    /// Room in the active segment.
    pub(super) fn room(&self) -> Room {
        Room {
            filled: self.filled - self.tail.end,
            unfilled: self.tail.header.size.saturating_sub(self.filled),
        }
    }

    /// Whether a persist can be written with nothing but one write to bytes that the file has.
    pub(super) fn fits(&self, persist: &Persist) -> bool {
        let end = self.tail.end + Plan::new(persist, self.tail.next_index).bytes;
        end <= self.filled.min(self.tail.header.size)
    }

    /// Extends the file ahead of the writer by one step, if it may grow.
    pub(super) fn fill_ahead(&mut self) -> Result<(), DiskError> {
        if !self.room().is_low() {
            return Ok(());
        }
        let size = self.tail.header.size;
        self.filled = fill(&*self.file, self.filled, (self.filled + 1).min(size), size)
            .map_err(|error| DiskError::io("extend the log", &self.path, error))?;
        Ok(())
    }

    /// Writes persists, in order, with as few calls as segments allow. Does not sync. Where there is no room, it is to
    /// be called again with the same persists, or with those that it was not called with, later.
    ///
    /// # Panics
    /// When entries would leave a gap in the log: a bug of the core.
    pub(super) fn append(&mut self, persists: &[Persist]) -> Result<(), DiskError> {
        let synced = self.progress.synced();
        let before = self.taken;
        for persist in persists {
            if before.is_some_and(|taken| persist.number <= taken) {
                continue;
            }
            let plan = Plan::new(persist, self.tail.next_index);
            if self.tail.end + self.batch.bytes() + plan.bytes > self.tail.header.size {
                self.flush()?;
                self.roll(plan.bytes)?;
            }
            let offset = self.tail.end + self.batch.bytes();
            let place = Place {
                sequence: self.tail.header.sequence,
                offset,
                synced,
            };
            self.batch.persist(persist, &plan, place);
            self.note(persist, &plan);
            self.taken = Some(persist.number);
        }
        self.unmarked |= self.batch.bytes() > 0;
        self.flush()?;
        self.taken = None;
        Ok(())
    }

    /// Keeps what is known of the log in step with a persist.
    fn note(&mut self, persist: &Persist, plan: &Plan) {
        let last_kept = match (persist.install, plan.truncate) {
            (Some(_), _) => Some(0),
            (None, Some(from)) => Some(from - 1),
            (None, None) => None,
        };
        if let Some(last_kept) = last_kept {
            for segment in &mut self.tail.segments {
                segment.last_index = segment.last_index.min(last_kept);
            }
        }
        if let (Some(entry), Some(segment)) = (persist.entries.last(), self.tail.segments.back_mut()) {
            segment.last_index = entry.index;
        }
        self.tail.next_index = plan.next_index;
        self.tail.hard_state = persist.hard_state.unwrap_or(self.tail.hard_state);
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let end = self.tail.end + self.batch.bytes();
        if end == self.tail.end {
            return Ok(());
        }
        let (file, mut offset) = (&self.file, self.tail.end);
        let mut write = || {
            self.filled = fill(&**file, self.filled, end, self.tail.header.size)?;
            self.batch.write(|slices| {
                let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
                file.write_at(slices, offset)?;
                offset += bytes as u64;
                Ok(())
            })
        };
        write().map_err(|error| DiskError::io("write the log", &self.path, error))?;
        assert!(offset == end, "a batch has the size that it says");
        self.counters.log_bytes(self.batch.bytes());
        self.batch.clear();
        self.tail.end = end;
        let written = self.written();
        self.progress
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .written = written;
        Ok(())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        self.progress.sync()
    }

    /// In a pause after persists have been synced: writes a record that says so, or the last batch before
    /// a pause could not be told from a torn write for as long as the pause lasts.
    pub(super) fn mark_synced(&mut self) -> Result<(), DiskError> {
        let synced = self.progress.synced();
        if !self.unmarked || synced < self.written() || self.batch.bytes() > 0 {
            return Ok(());
        }
        self.unmarked = false;
        let place = Place {
            sequence: self.tail.header.sequence,
            offset: self.tail.end,
            synced,
        };
        self.batch.synced(place);
        if self.tail.end + self.batch.bytes() > self.tail.header.size {
            // No room: the next segment's header will say it.
            self.batch.clear();
            return Ok(());
        }
        self.flush()
    }

    /// Closes the active segment and opens the next, large enough for `bytes` of records.
    fn roll(&mut self, bytes: u64) -> Result<(), DiskError> {
        self.sync()?;
        let header = SegmentHeader {
            sequence: self.tail.header.sequence + 1,
            start: self.written(),
            size: self.segment_bytes.max(SEGMENT_HEADER_BYTES + bytes),
            next_index: self.tail.next_index,
            hard_state: self.tail.hard_state,
            ..self.tail.header
        };
        let free = self.tail.free.pop();
        let made = make_segment(&*self.storage, &header, free.clone());
        if made.is_err() {
            // It is there still unless it has got its new name.
            self.tail
                .free
                .extend(free.filter(|name| self.storage.open(name).is_ok()));
        }
        let (file, filled) = made?;
        (self.file, self.filled) = (file, filled);
        self.path = self.storage.path(&segment_name(header.sequence));
        self.tail.header = header;
        self.tail.end = SEGMENT_HEADER_BYTES;
        self.tail.segments.push_back(Segment {
            sequence: header.sequence,
            last_index: 0,
        });
        self.counters.segments(self.tail.segments.len());
        let active = Active {
            file: self.file.clone(),
            path: self.path.clone(),
            written: header.start,
        };
        *self
            .progress
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = active;
        Ok(())
    }

    /// Removes the files that are kept to be used again: room for what is needed now. True if there were any.
    pub(super) fn drop_free(&mut self) -> bool {
        let free = std::mem::take(&mut self.tail.free);
        // One that cannot be removed is found at the next start.
        free.iter()
            .filter(|name| self.storage.remove(name).is_ok())
            .count()
            > 0
    }

    /// Gives back the segments, from the oldest on, whose entries all have an index up to `index`; a
    /// durable snapshot must cover them.
    pub(super) fn drop_to(&mut self, index: u64) -> Result<(), DiskError> {
        let segments = &self.tail.segments;
        let older = segments.len() - 1;
        let count = segments
            .iter()
            .take(older)
            .take_while(|segment| segment.last_index <= index)
            .count();
        if count == 0 {
            return Ok(());
        }
        self.sync()?;
        let sequences = self.tail.segments.drain(..count).map(|segment| segment.sequence);
        recycle::give_back(&*self.storage, sequences, &mut self.tail.free, self.segment_bytes)?;
        // Before the file is written again, or a crash could show its new content under its old name.
        let synced = self.storage.sync_dir();
        synced.map_err(|error| DiskError::io("sync", self.storage.dir(), error))?;
        self.counters.segments(self.tail.segments.len());
        Ok(())
    }
}
