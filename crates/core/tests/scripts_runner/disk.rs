//! A node's disk with a border between what is written and what is synced, which a script can hold.
//!
//! Not the real format. Jobs become durable in order. While the disk is held nothing is synced or
//! reported: killing the process then keeps what was written, losing the power does not.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_core::contract::{Boot, HardState, LogEntry, Persist, Send, SnapshotIo};

/// One thing that the process asked of its disk.
#[derive(Debug)]
pub enum Job {
    /// A log write.
    Persist(Persist),
    /// A piece of a snapshot.
    Snapshot(SnapshotIo),
}

/// Something that is durable now, for the process.
#[derive(Debug)]
pub enum Done {
    /// Persists up to this number, and what may leave now.
    Persisted(u64, Vec<Send>),
    /// A snapshot of this index.
    SnapshotSaved(u64),
}

#[derive(Debug)]
struct Saved {
    index: u64,
    term: u64,
    chunks: Vec<Bytes>,
}

/// One disk; outlives the processes on it.
#[derive(Debug, Default)]
pub struct Disk {
    hard_state: HardState,
    snapshot: Option<Saved>,
    unfinished: Option<Saved>,
    log: Vec<LogEntry>,
    waiting: VecDeque<Job>,
    /// Nothing is synced until the script says so.
    pub held: bool,
}

impl Disk {
    /// Queues a job behind all earlier ones.
    pub fn ask(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Makes everything durable that waits now; what the process has to hear, in order.
    pub fn sync(&mut self) -> Vec<Done> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().filter_map(|job| self.write(job)).collect()
    }

    /// Log writes that are not durable.
    pub fn not_synced(&self) -> impl Iterator<Item = &Persist> {
        self.waiting.iter().filter_map(|job| match job {
            Job::Persist(persist) => Some(persist),
            Job::Snapshot(_) => None,
        })
    }

    /// The process was killed: what it wrote is in the kernel and reaches the disk.
    pub fn on_kill(&mut self) {
        self.sync();
        self.unfinished = None;
    }

    /// The machine lost its power.
    pub fn on_power_loss(&mut self) {
        self.waiting.clear();
        self.unfinished = None;
    }

    /// What a starting process finds.
    pub fn boot(&self) -> Boot {
        let after = self.snapshot.as_ref().map_or(0, |saved| saved.index);
        let entries: Vec<LogEntry> = self
            .log
            .iter()
            .filter(|entry| entry.index > after)
            .cloned()
            .collect();
        let snapshot = self.snapshot.as_ref();
        Boot {
            hard_state: self.hard_state,
            snapshot: snapshot.map(|saved| (saved.index, saved.term, saved.chunks.clone())),
            entries,
        }
    }

    /// What is durable and what waits, in one line.
    pub fn show(&self) -> String {
        let mut parts = Vec::new();
        if let Some(saved) = &self.snapshot {
            parts.push(format!("snapshot {}", saved.index));
        }
        if !self.log.is_empty() || parts.is_empty() {
            parts.push(ranges(&self.log));
        }
        let waiting: Vec<LogEntry> = self
            .not_synced()
            .flat_map(|persist| persist.entries.clone())
            .collect();
        if !waiting.is_empty() {
            parts.push(format!("not synced: {}", ranges(&waiting)));
        }
        parts.join(", ")
    }

    fn write(&mut self, job: Job) -> Option<Done> {
        match job {
            Job::Persist(persist) => {
                self.write_log(persist.hard_state, persist.install, persist.entries);
                Some(Done::Persisted(persist.number, persist.then_send))
            }
            Job::Snapshot(piece) => self.write_snapshot(piece),
        }
    }

    fn write_log(&mut self, hard_state: Option<HardState>, install: Option<u64>, entries: Vec<LogEntry>) {
        if let Some(hard_state) = hard_state {
            self.hard_state = hard_state;
        }
        if let Some(index) = install {
            let saved = self.snapshot.as_ref().map_or(0, |saved| saved.index);
            assert!(
                saved >= index,
                "the log restarts after a snapshot that is not on disk"
            );
            self.log.clear();
        }
        for entry in entries {
            self.log.retain(|old| old.index < entry.index);
            let follows = self.log.last().is_none_or(|last| last.index + 1 == entry.index);
            assert!(follows, "the log on disk gets a gap before {}", entry.index);
            self.log.push(entry);
        }
    }

    fn write_snapshot(&mut self, piece: SnapshotIo) -> Option<Done> {
        match piece {
            SnapshotIo::Begin { index, term } => {
                let chunks = Vec::new();
                self.unfinished = Some(Saved { index, term, chunks });
            }
            SnapshotIo::Chunk(chunk) => {
                let unfinished = self.unfinished.as_mut();
                unfinished.expect("a chunk follows a begin").chunks.push(chunk);
            }
            SnapshotIo::Abort => self.unfinished = None,
            SnapshotIo::End { index, drop_log_to } => {
                let saved = self.unfinished.take().expect("an end follows a begin");
                assert_eq!(saved.index, index, "an end belongs to its begin");
                let place = (saved.index, saved.term);
                if !self.log.iter().any(|entry| (entry.index, entry.term) == place) {
                    // The log does not lead up to it: a received one replaces the log.
                    self.log.clear();
                }
                self.snapshot = Some(saved);
                self.log.retain(|entry| entry.index > drop_log_to);
                return Some(Done::SnapshotSaved(index));
            }
        }
        None
    }
}

/// `1..3 of term 1, 4 of term 2`.
fn ranges(entries: &[LogEntry]) -> String {
    let of_term = |run: &[LogEntry]| match run {
        [] => String::new(),
        [one] => format!("{} of term {}", one.index, one.term),
        [first, .., last] => format!("{}..{} of term {}", first.index, last.index, first.term),
    };
    let runs: Vec<String> = entries.chunk_by(|a, b| a.term == b.term).map(of_term).collect();
    if runs.is_empty() {
        "nothing".to_owned()
    } else {
        runs.join(", ")
    }
}
