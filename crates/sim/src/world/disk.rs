//! A node's disk: what was asked, what is written, what would survive.
//!
//! Not the real format (that is `repligo::disk`); only its promises: persists become durable in order,
//! a snapshot replaces the old one when it is complete, the log restarts after an installed snapshot, and
//! what a crash cuts off is a suffix. One batch is in flight at a time, as with group commit; a crash keeps
//! a random prefix of it, which covers both a write that was on its way and a torn tail.
//!
//! In `fsync` mode nothing outside the batch in flight is ever reported and unsynced, so losing the power
//! and losing the process differ only in the clock. In `os` mode losing the power marks the disk
//! [`Disk::unclean`]: that node must not start again.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_core::contract::{Boot, HardState, LogEntry, Persist, SnapshotIo};
use repligo_core::forming::FormingState;
use repligo_core::membership::Membership;

use super::room::Room;
use crate::random::Random;

/// One thing that the process asked of its disk.
#[derive(Debug)]
pub enum Job {
    /// A log write.
    Persist(Persist),
    /// A piece of a snapshot.
    Snapshot(SnapshotIo),
    /// What the node is in its cluster.
    Forming(FormingState),
    /// Who the members are.
    Members(Membership),
}

/// What the disk reports when something is durable.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// Persists up to this number.
    Persisted(u64),
    /// A snapshot of this index.
    SnapshotSaved(u64),
    /// The forming state.
    Forming(FormingState),
    /// There is no room for the log but a reserve, or there is again.
    Full(bool),
    /// There is no room for a snapshot.
    SnapshotFailed,
}

/// A snapshot on disk.
#[derive(Clone, Debug)]
pub(super) struct SavedSnapshot {
    pub(super) index: u64,
    term: u64,
    chunks: Vec<Bytes>,
}

impl SavedSnapshot {
    /// Index, term, and content.
    pub(super) fn into_parts(self) -> (u64, u64, Vec<Bytes>) {
        (self.index, self.term, self.chunks)
    }
}

/// One machine's disk. Outlives the processes on it.
#[derive(Debug)]
pub struct Disk {
    hard_state: HardState,
    pub(super) snapshot: Option<SavedSnapshot>,
    unfinished: Option<SavedSnapshot>,
    /// Contiguous.
    log: VecDeque<LogEntry>,
    forming: FormingState,
    incarnation: u64,
    /// The members as they were kept last; as the cluster formed if never.
    pub members: Option<Membership>,
    pub(super) waiting: VecDeque<Job>,
    pub(super) in_flight: VecDeque<Job>,
    /// Set while there is little.
    pub room: Option<Room>,
    /// It was said that the snapshot in work finds none.
    pub(super) snapshot_failed: bool,
    /// The machine stopped uncleanly in a mode that does not survive it.
    pub unclean: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            hard_state: HardState::default(),
            snapshot: None,
            unfinished: None,
            log: VecDeque::new(),
            forming: FormingState::Empty,
            incarnation: 0,
            members: None,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            room: None,
            snapshot_failed: false,
            unclean: false,
        }
    }
}

impl Disk {
    /// Queues a job behind all earlier ones.
    pub fn ask(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Starts the next batch if none is in flight: everything that waits. True if there is one now
    /// that was not there before; the caller completes it later.
    pub fn start_batch(&mut self) -> bool {
        if !self.in_flight.is_empty() || self.waiting.is_empty() {
            return false;
        }
        self.in_flight = std::mem::take(&mut self.waiting);
        true
    }

    /// True if the batch in flight is to be synced whatever the mode.
    pub fn must_sync(&self) -> bool {
        self.in_flight.iter().any(|job| match job {
            Job::Persist(persist) => persist.must_sync || persist.install.is_some(),
            Job::Snapshot(SnapshotIo::End { .. }) | Job::Forming(_) | Job::Members(_) => true,
            Job::Snapshot(_) => false,
        })
    }

    /// The batch in flight is durable, but for what finds no room: that stays in flight. Log and snapshots do not wait
    /// for each other, unless a snapshot is to replace the log.
    pub fn finish_batch(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        self.drop_aborted();
        let (mut log_waits, mut pieces_wait) = (false, false);
        for job in std::mem::take(&mut self.in_flight) {
            let waits = match &job {
                Job::Snapshot(_) => &mut pieces_wait,
                _ => &mut log_waits,
            };
            *waits = *waits || !self.fits(&job, &mut done);
            if *waits {
                self.in_flight.push_back(job);
            } else {
                done.extend(self.write(job));
            }
        }
        done
    }

    /// The process stopped, and nothing of what was not reported made it.
    pub fn lose_unwritten(&mut self) {
        self.waiting.clear();
        self.in_flight.clear();
        self.unfinished = None;
    }

    /// The process or the machine stopped: a prefix of the batch in flight made it.
    pub fn crash(&mut self, random: &mut Random) {
        self.waiting.clear();
        let kept = random.below(self.in_flight.len() as u64 + 1);
        for _ in 0..kept {
            let job = self
                .in_flight
                .pop_front()
                .expect("the prefix is no longer than the batch");
            if !self.fits(&job, &mut Vec::new()) {
                break;
            }
            self.write(job);
        }
        self.snapshot_failed = false;
        self.in_flight.clear();
        self.unfinished = None;
    }

    /// (index, term) of what the log holds.
    pub fn log(&self) -> Vec<(u64, u64)> {
        self.log.iter().map(|entry| (entry.index, entry.term)).collect()
    }

    /// An empty disk of a node that was admitted to a cluster.
    pub fn admitted(cluster_id: u128, members: Membership) -> Self {
        Self {
            forming: FormingState::Formed(cluster_id),
            members: Some(members),
            ..Self::default()
        }
    }

    /// What is durable, as somebody copies it who does not ask.
    pub fn copy(&self) -> Self {
        Self {
            hard_state: self.hard_state,
            snapshot: self.snapshot.clone(),
            log: self.log.clone(),
            forming: self.forming,
            incarnation: self.incarnation,
            members: self.members.clone(),
            ..Self::default()
        }
    }

    /// Index of the last entry that is durable.
    pub fn last_index(&self) -> u64 {
        let saved = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        self.log.back().map_or(0, |entry| entry.index).max(saved)
    }

    /// The cluster that the node belongs to.
    pub fn cluster_id(&self) -> Option<u128> {
        match self.forming {
            FormingState::Formed(id) => Some(id),
            _ => None,
        }
    }

    /// The node belongs to a formed cluster.
    pub fn is_formed(&self) -> bool {
        matches!(self.forming, FormingState::Formed(_))
    }

    /// What a starting process finds, and its new incarnation.
    pub fn boot(&mut self) -> (Boot, FormingState, u64) {
        self.incarnation += 1;
        let after = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let entries: Vec<LogEntry> = self
            .log
            .iter()
            .filter(|entry| entry.index > after)
            .cloned()
            .collect();
        if let Some(first) = entries.first() {
            assert_eq!(
                first.index,
                after + 1,
                "the log on disk has a gap after the snapshot"
            );
        }
        let boot = Boot {
            hard_state: self.hard_state,
            snapshot: self
                .snapshot
                .as_ref()
                .map(|snapshot| (snapshot.index, snapshot.term, snapshot.chunks.clone())),
            entries,
        };
        (boot, self.forming, self.incarnation)
    }

    fn write(&mut self, job: Job) -> Option<Done> {
        match job {
            Job::Persist(persist) => {
                let number = persist.number;
                self.write_log(persist);
                Some(Done::Persisted(number))
            }
            Job::Snapshot(piece) => self.write_snapshot(piece),
            Job::Members(members) => {
                self.members = Some(members);
                None
            }
            Job::Forming(state) => {
                self.forming = state;
                Some(Done::Forming(state))
            }
        }
    }

    fn write_log(&mut self, persist: Persist) {
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(index) = persist.install {
            let saved = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
            assert!(
                saved >= index,
                "a log restarts after a snapshot that is not on disk: {index} > {saved}"
            );
            self.log.clear();
        }
        for entry in persist.entries {
            if let Some(last) = self.log.back().map(|last| last.index) {
                assert!(
                    entry.index <= last + 1,
                    "the log on disk gets a gap: {} after {last}",
                    entry.index
                );
            }
            while self.log.back().is_some_and(|last| last.index >= entry.index) {
                self.log.pop_back();
            }
            self.log.push_back(entry);
        }
    }

    fn write_snapshot(&mut self, piece: SnapshotIo) -> Option<Done> {
        match piece {
            SnapshotIo::Begin { index, term } => {
                self.unfinished = Some(SavedSnapshot {
                    index,
                    term,
                    chunks: Vec::new(),
                });
                None
            }
            SnapshotIo::Chunk(bytes) => {
                let unfinished = self.unfinished.as_mut();
                unfinished.expect("a chunk follows a begin").chunks.push(bytes);
                None
            }
            SnapshotIo::End { index, drop_log_to } => {
                let finished = self.unfinished.take().expect("an end follows a begin");
                assert_eq!(finished.index, index, "an end belongs to its begin");
                assert!(drop_log_to <= index, "the log may not go beyond the snapshot");
                let saved = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
                assert!(
                    saved <= index,
                    "a snapshot replaces a newer one: {index} < {saved}"
                );
                self.restart_log_if_foreign(&finished);
                self.snapshot = Some(finished);
                while self.log.front().is_some_and(|first| first.index <= drop_log_to) {
                    self.log.pop_front();
                }
                Some(Done::SnapshotSaved(index))
            }
            SnapshotIo::Abort => {
                self.unfinished = None;
                None
            }
        }
    }

    /// A snapshot that the log does not lead up to (received from a leader) makes that log worthless:
    /// after a crash before the install is written there must be no gap and no foreign tail.
    fn restart_log_if_foreign(&mut self, snapshot: &SavedSnapshot) {
        let fits = self
            .log
            .iter()
            .any(|entry| entry.index == snapshot.index && entry.term == snapshot.term);
        let again = self
            .snapshot
            .as_ref()
            .is_some_and(|saved| (saved.index, saved.term) == (snapshot.index, snapshot.term));
        if !fits && !again {
            self.log.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, Done, Job};
    use crate::random::Random;
    use bytes::Bytes;
    use repligo_core::contract::{LogEntry, Persist, SnapshotIo};

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry {
            index,
            term,
            kind: 0,
            data: Bytes::new(),
        }
    }

    fn persist(number: u64, entries: Vec<LogEntry>) -> Job {
        Job::Persist(Persist {
            number,
            entries,
            ..Persist::default()
        })
    }

    fn terms(disk: &mut Disk) -> Vec<(u64, u64)> {
        let (boot, _, _) = disk.boot();
        boot.entries
            .iter()
            .map(|entry| (entry.index, entry.term))
            .collect()
    }

    #[test]
    fn an_overlapping_append_truncates() {
        let mut disk = Disk::default();
        disk.ask(persist(1, vec![entry(1, 1), entry(2, 1), entry(3, 1)]));
        disk.ask(persist(2, vec![entry(2, 2)]));
        assert!(disk.start_batch());
        assert_eq!(disk.finish_batch(), [Done::Persisted(1), Done::Persisted(2)]);
        assert_eq!(terms(&mut disk), [(1, 1), (2, 2)]);
    }

    #[test]
    fn a_crash_keeps_what_was_reported_and_a_prefix_of_the_rest() {
        let mut lengths = [0; 4];
        for seed in 0..100 {
            let mut disk = Disk::default();
            disk.ask(persist(1, vec![entry(1, 1)]));
            disk.start_batch();
            disk.finish_batch();
            disk.ask(persist(2, vec![entry(2, 1)]));
            disk.ask(persist(3, vec![entry(3, 1)]));
            disk.start_batch();
            disk.ask(persist(4, vec![entry(4, 1)]));
            disk.crash(&mut Random::new(seed));
            lengths[terms(&mut disk).len()] += 1;
        }
        assert_eq!(lengths[0], 0);
        assert!(lengths[1..].iter().all(|count| *count > 10), "{lengths:?}");
    }

    #[test]
    fn a_received_snapshot_restarts_the_log() {
        let mut disk = Disk::default();
        disk.ask(persist(1, vec![entry(1, 1), entry(2, 1)]));
        disk.ask(Job::Snapshot(SnapshotIo::Begin { index: 9, term: 3 }));
        disk.ask(Job::Snapshot(SnapshotIo::Chunk(Bytes::from_static(b"x"))));
        disk.ask(Job::Snapshot(SnapshotIo::End {
            index: 9,
            drop_log_to: 9,
        }));
        disk.ask(Job::Persist(Persist {
            number: 2,
            install: Some(9),
            entries: vec![entry(10, 3)],
            ..Persist::default()
        }));
        disk.start_batch();
        assert!(disk.must_sync());
        disk.finish_batch();
        assert_eq!(terms(&mut disk), [(10, 3)]);
    }
}
