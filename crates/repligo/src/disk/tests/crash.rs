//! Theorem: whatever the moment and kind of a crash, the disk comes back as it was after some persist, not
//! earlier than the last one that was reported durable, and with a snapshot not older than the last saved.
//!
//! A random run drives the log and the snapshot writer directly, without threads; the process is killed
//! inside a random operation, the power may fail, syncs may fail, the disk may be full; then the directory
//! is opened again and compared with the model, several times over.
//! `REPLIGO_DISK_SEEDS=first..end` runs other seeds.

use bytes::Bytes;
use repligo_core::contract::{Boot, Durability, HardState, LogEntry, Persist, SnapshotIo};

use super::fake::{FakeDisk, Faults};
use super::{Random, SEGMENT, append, entry, open, options};
use crate::disk::DiskError;
use crate::disk::handle::Parts;
use crate::disk::snapshot::{Snapshot, SnapshotWriter};

/// The log after a persist.
#[derive(Clone, Debug, Default, PartialEq)]
struct LogState {
    hard_state: HardState,
    /// Index of `entries[0]`.
    base: u64,
    entries: Vec<LogEntry>,
}

impl LogState {
    fn next_index(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        let place = index.checked_sub(self.base)?;
        self.entries.get(place as usize).map(|entry| entry.term)
    }

    fn apply(&mut self, persist: &Persist) {
        if let Some(index) = persist.install {
            self.entries.clear();
            self.base = index + 1;
        }
        if let Some(first) = persist.entries.first() {
            self.entries.truncate((first.index - self.base) as usize);
            self.entries.extend(persist.entries.iter().cloned());
        }
        self.hard_state = persist.hard_state.unwrap_or(self.hard_state);
    }

    /// What the core must be given for this log and a snapshot.
    fn boot(&self, (index, term): (u64, u64)) -> (HardState, Vec<LogEntry>) {
        let leads_on = self.base == index + 1 || self.term_at(index) == Some(term);
        let entries: Vec<LogEntry> = if leads_on {
            self.entries
                .iter()
                .filter(|entry| entry.index > index)
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        let commit = self.hard_state.commit.clamp(index, index + entries.len() as u64);
        let vote = if self.hard_state.term < term {
            0
        } else {
            self.hard_state.vote
        };
        (
            HardState {
                term: self.hard_state.term.max(term),
                vote,
                commit,
            },
            entries,
        )
    }
}

/// How the last run ended, as far as the directory can know.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clean {
    Yes,
    No,
    Unknown,
}

/// What the runs of all seeds have met: a test that never gets there proves nothing.
#[derive(Debug, Default)]
struct Coverage {
    opens: u64,
    torn: u64,
    segments: u64,
    recycled: u64,
    installs: u64,
    snapshots: u64,
    behind_snapshot: u64,
    unclean: u64,
    lost_unsynced: u64,
    full: u64,
    sync_failed: u64,
}

struct Model<'a> {
    random: Random,
    disk: FakeDisk,
    durability: Durability,
    cluster: bool,
    boot_number: u64,
    /// Log states since the last open; one of them must come back.
    states: Vec<LogState>,
    /// The earliest state that may come back after a process crash, and after a power loss.
    written: usize,
    synced: usize,
    /// Snapshots since the last open, the one found then first; `saved` is the earliest that may come back.
    snapshots: Vec<Option<Snapshot>>,
    saved: usize,
    power_lost: bool,
    clean: Clean,
    coverage: &'a mut Coverage,
}

impl Model<'_> {
    fn log(&self) -> &LogState {
        &self.states[self.states.len() - 1]
    }

    fn snapshot_index(&self) -> u64 {
        self.snapshots
            .last()
            .and_then(Option::as_ref)
            .map_or(0, |(index, ..)| *index)
    }

    fn data(&mut self) -> Bytes {
        let most = match self.random.below(100) {
            0..70 => 200,
            70..90 => 1500,
            90..99 => 5000,
            _ => 2 * SEGMENT,
        };
        let (length, byte) = (self.random.below(most), self.random.next() as u8);
        (0..length)
            .map(|place| byte ^ place as u8)
            .collect::<Vec<u8>>()
            .into()
    }

    fn persist(&mut self, log: &LogState) -> Persist {
        let mut hard = log.hard_state;
        let next = log.next_index();
        // A new leader may replace what is not committed.
        let lowest = (hard.commit + 1).max(log.base);
        let truncates = lowest < next && self.random.chance(15);
        if truncates || self.random.chance(5) {
            hard.term += 1 + self.random.below(2);
            hard.vote = self.random.below(4);
        }
        let first = if truncates {
            lowest + self.random.below(next - lowest)
        } else {
            next
        };
        let count = self.random.below(4);
        let entries = (first..first + count).map(|index| entry(index, hard.term, self.data()));
        let persist = append(entries.collect());
        let last = if count > 0 { first + count - 1 } else { next - 1 };
        if self.random.chance(40) && last > hard.commit {
            hard.commit += self.random.below(last - hard.commit + 1);
        }
        let must_sync = (hard.term, hard.vote) != (log.hard_state.term, log.hard_state.vote);
        let hard_state = (hard != log.hard_state || self.random.chance(5)).then_some(hard);
        Persist {
            hard_state,
            must_sync,
            ..persist
        }
    }

    fn write(&mut self, parts: &mut Parts, group: &[Persist]) -> Result<(), DiskError> {
        for persist in group {
            let mut log = self.log().clone();
            log.apply(persist);
            self.states.push(log);
        }
        parts.wal.append(group)?;
        self.written = self.states.len() - 1;
        if self.durability == Durability::Fsync || group.iter().any(|persist| persist.must_sync) {
            self.sync(parts)?;
        }
        Ok(())
    }

    fn sync(&mut self, parts: &mut Parts) -> Result<(), DiskError> {
        parts.wal.sync()?;
        self.synced = self.written;
        Ok(())
    }

    fn save_snapshot(
        &mut self,
        writer: &mut SnapshotWriter,
        index: u64,
        term: u64,
        drop_log_to: u64,
    ) -> Result<(), DiskError> {
        if self.random.chance(10) {
            writer.execute(SnapshotIo::Begin {
                index: index + 1,
                term,
            })?;
            writer.execute(SnapshotIo::Chunk(Bytes::from_static(b"given up")))?;
            writer.execute(SnapshotIo::Abort)?;
        }
        let chunks: Vec<Bytes> = (0..self.random.below(4)).map(|_| self.data()).collect();
        self.snapshots.push(Some((index, term, chunks.clone())));
        writer.execute(SnapshotIo::Begin { index, term })?;
        for chunk in chunks {
            writer.execute(SnapshotIo::Chunk(chunk))?;
        }
        writer.execute(SnapshotIo::End { index, drop_log_to })?;
        self.saved = self.snapshots.len() - 1;
        self.coverage.snapshots += 1;
        Ok(())
    }

    /// One random thing that a node does with its disk.
    fn act(&mut self, parts: &mut Parts, writer: &mut SnapshotWriter) -> Result<(), DiskError> {
        match self.random.below(100) {
            0..70 => {
                let mut log = self.log().clone();
                let mut group = Vec::new();
                for _ in 0..=self.random.below(4) {
                    let persist = self.persist(&log);
                    log.apply(&persist);
                    group.push(persist);
                }
                self.write(parts, &group)
            }
            70..80 => self.sync(parts),
            80..85 => parts.wal.mark_synced(),
            85..93 => {
                let (commit, before) = (self.log().hard_state.commit, self.snapshot_index());
                if commit <= before {
                    return Ok(());
                }
                let index = before + 1 + self.random.below(commit - before);
                let Some(term) = self.log().term_at(index) else {
                    return Ok(());
                };
                let drop_log_to = index - self.random.below(index.min(4));
                self.save_snapshot(writer, index, term, drop_log_to)?;
                parts.wal.drop_to(drop_log_to)
            }
            93..97 => self.install(parts, writer),
            _ => {
                self.sync(parts)?;
                parts.wal.mark_synced()
            }
        }
    }

    /// The leader's snapshot replaces the state.
    fn install(&mut self, parts: &mut Parts, writer: &mut SnapshotWriter) -> Result<(), DiskError> {
        let log = self.log().clone();
        let index = log.hard_state.commit + 1 + self.random.below(20);
        let term = log.hard_state.term + self.random.below(2);
        if self.random.chance(50) {
            // As a leader of a new term that was heard of before.
            self.write(parts, &[super::vote(term, 0, log.hard_state.commit)])?;
        }
        self.save_snapshot(writer, index, term, index)?;
        if self.random.chance(10) {
            // The most delicate place: the snapshot is there, the install record is not.
            self.disk.set_faults(Faults {
                kill_in: Some(0),
                ..Faults::default()
            });
        }
        let hard_state = Some(HardState {
            term,
            vote: 0,
            commit: index,
        });
        let entries =
            (index + 1..index + 1 + self.random.below(3)).map(|index| entry(index, term, self.data()));
        let entries: Vec<LogEntry> = entries.collect();
        let persist = Persist {
            install: Some(index),
            hard_state,
            entries,
            must_sync: true,
            ..Persist::default()
        };
        self.write(parts, &[persist])?;
        self.coverage.installs += 1;
        parts.wal.drop_to(index)
    }

    /// The recovered state must be one that may come back; the model goes on from it.
    fn check(&mut self, boot: &Boot) {
        let position = self
            .snapshots
            .iter()
            .rposition(|snapshot| *snapshot == boot.snapshot);
        let position = position.expect("the snapshot is one that was written");
        assert!(position >= self.saved, "a saved snapshot was lost");
        let at = boot
            .snapshot
            .as_ref()
            .map_or((0, 0), |(index, term, _)| (*index, *term));
        let earliest = if self.power_lost {
            self.synced
        } else {
            self.written
        };
        let found = (earliest..self.states.len())
            .rev()
            .find(|place| self.states[*place].boot(at) == (boot.hard_state, boot.entries.clone()));
        let Some(found) = found else {
            panic!(
                "recovered {:?}, snapshot {at:?}, entries {:?}: not a state from {earliest} on of {:#?}",
                boot.hard_state,
                boot.entries
                    .iter()
                    .map(|entry| (entry.index, entry.term))
                    .collect::<Vec<_>>(),
                self.states
                    .iter()
                    .map(|state| {
                        let entries: Vec<_> = state
                            .entries
                            .iter()
                            .map(|entry| (entry.index, entry.term))
                            .collect();
                        format!("{:?} base {} {entries:?}", state.hard_state, state.base)
                    })
                    .collect::<Vec<_>>()
            );
        };
        self.coverage.lost_unsynced += u64::from(found < self.written);
        // The snapshot had become durable, its install record had not.
        let older = self.states[found].base <= at.0 && self.states[found].term_at(at.0) != Some(at.1);
        self.coverage.behind_snapshot += u64::from(older);
        let log = LogState {
            hard_state: boot.hard_state,
            base: at.0 + 1,
            entries: boot.entries.clone(),
        };
        (self.states, self.written, self.synced) = (vec![log], 0, 0);
        (self.snapshots, self.saved) = (vec![boot.snapshot.clone()], 0);
        self.power_lost = false;
    }

    fn faults(&mut self) -> Faults {
        let mut faults = Faults::default();
        if self.random.chance(80) {
            let most = if self.random.chance(30) { 30 } else { 300 };
            faults.kill_in = Some(self.random.below(most));
        }
        if self.random.chance(10) {
            faults.fail_sync_in = Some(self.random.below(60));
        }
        if self.random.chance(10) {
            faults.capacity = Some(SEGMENT * (1 + self.random.below(6)) + self.random.below(SEGMENT));
        }
        faults
    }

    /// One run of a process, from open to its end. False: the directory was lawfully refused for good.
    fn run(&mut self) -> bool {
        let names: &[&str] = if self.cluster {
            &["n1", "n2", "n3"]
        } else {
            &["n1"]
        };
        let faults = self.faults();
        self.disk.set_faults(faults);
        let opened = open(
            &self.disk,
            &options(self.durability, names),
            &format!("boot {}", self.boot_number),
        );
        let refusable = self.cluster && self.durability == Durability::Os && self.power_lost;
        let (disk, recovered) = match opened {
            Ok(opened) => opened,
            Err(DiskError::UncleanStop { .. }) => {
                assert!(refusable && self.clean != Clean::Yes, "refused without a reason");
                self.coverage.unclean += 1;
                return false;
            }
            Err(error) => {
                self.expected(&error, faults);
                if self.clean == Clean::Yes {
                    self.clean = Clean::Unknown;
                }
                return true;
            }
        };
        assert!(
            !refusable || self.clean != Clean::No,
            "an unclean stop was not noticed"
        );
        self.coverage.opens += 1;
        self.coverage.torn += u64::from(recovered.notes.iter().any(|note| note.contains("not finished")));
        self.check(&recovered.boot);
        self.clean = Clean::No;
        let mut parts = disk.into_parts();
        let mut writer = parts.snapshot_writer();
        for _ in 0..self.random.below(60) {
            if let Err(error) = self.act(&mut parts, &mut writer) {
                self.expected(&error, faults);
                return true;
            }
        }
        self.coverage.segments += self
            .disk
            .names()
            .iter()
            .filter(|name| name.starts_with("wal-"))
            .count() as u64;
        self.coverage.recycled += self
            .disk
            .names()
            .iter()
            .filter(|name| name.starts_with("free-"))
            .count() as u64;
        if self.random.chance(30) {
            self.clean = Clean::Unknown;
            match crate::disk::open::close(&*parts.storage, parts.meta, Some(parts.wal), None) {
                Ok(()) => (self.clean, self.synced) = (Clean::Yes, self.written),
                Err(error) => self.expected(&error, faults),
            }
        }
        true
    }

    /// Only what was planned may go wrong.
    fn expected(&mut self, error: &DiskError, faults: Faults) {
        match error {
            DiskError::Full { .. } => self.coverage.full += 1,
            DiskError::Io { .. } | DiskError::SyncFailed { .. } => {
                self.coverage.sync_failed += u64::from(!error.to_string().contains("killed"));
            }
            other => panic!("{other} with {faults:?}"),
        }
    }
}

fn run_seed(seed: u64, coverage: &mut Coverage) {
    let mut random = Random(seed);
    let durability = if random.chance(50) {
        Durability::Fsync
    } else {
        Durability::Os
    };
    let cluster = random.chance(50);
    let fresh = LogState {
        base: 1,
        ..LogState::default()
    };
    let mut model = Model {
        random,
        disk: FakeDisk::default(),
        durability,
        cluster,
        boot_number: 0,
        states: vec![fresh],
        written: 0,
        synced: 0,
        snapshots: vec![None],
        saved: 0,
        power_lost: false,
        clean: Clean::Unknown,
        coverage,
    };
    for _ in 0..8 {
        if !model.run() {
            return;
        }
        if model.random.chance(40) {
            let disk = model.disk.clone();
            disk.lose_power(&mut model.random);
            model.power_lost = true;
            model.boot_number += 1;
        }
    }
}

#[test]
fn whatever_was_reported_durable_comes_back_after_any_crash() {
    let range = std::env::var("REPLIGO_DISK_SEEDS").unwrap_or_else(|_| "0..1500".into());
    let (first, end) = range.split_once("..").expect("first..end");
    let seeds = first.parse().expect("a number")..end.parse().expect("a number");
    let mut coverage = Coverage::default();
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| run_seed(seed, &mut coverage));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!(
                "reproduce: REPLIGO_DISK_SEEDS={seed}..{} cargo test -p repligo disk::tests::crash",
                seed + 1
            );
            std::panic::resume_unwind(panic);
        }
    }
    println!("{coverage:?}");
    if range == "0..1500" {
        let Coverage {
            opens,
            torn,
            segments,
            recycled,
            installs,
            snapshots,
            ..
        } = coverage;
        let Coverage {
            behind_snapshot,
            unclean,
            lost_unsynced,
            full,
            sync_failed,
            ..
        } = coverage;
        let met = [
            opens,
            torn,
            segments,
            recycled,
            installs,
            snapshots,
            behind_snapshot,
            unclean,
        ];
        assert!(
            met.iter()
                .chain(&[lost_unsynced, full, sync_failed])
                .all(|count| *count >= 50)
        );
    }
}
