//! Full disks in the simulator: what finds room, what waits for it.

use repligo_core::contract::SnapshotIo;

use super::disk::{Disk, Done, Job};

/// What is left of a disk that is full, or about to be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Of what anybody may use.
    pub left: u64,
    /// Kept for the log, and used once nothing else is left.
    pub reserve: u64,
    /// It is in use.
    pub full: bool,
}

impl Disk {
    /// Something waits for room; what was asked since then may find some.
    pub fn waits_for_room(&mut self) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.in_flight.extend(waiting);
        true
    }

    /// There is room again; true if it was said that there is none.
    pub fn regain_room(&mut self) -> bool {
        self.room.take().is_some_and(|room| room.full)
    }

    /// A snapshot that is to be aborted waits for no room.
    pub(super) fn drop_aborted(&mut self) {
        let next = self
            .in_flight
            .iter()
            .position(|job| matches!(job, Job::Snapshot(SnapshotIo::Begin { .. } | SnapshotIo::Abort)));
        let abort = next.filter(|at| matches!(self.in_flight[*at], Job::Snapshot(SnapshotIo::Abort)));
        if let Some(abort) = abort.filter(|_| self.snapshot_failed) {
            let behind = self.in_flight.split_off(abort);
            self.in_flight.retain(|job| !matches!(job, Job::Snapshot(_)));
            self.in_flight.extend(behind);
        }
    }

    pub(super) fn fits(&mut self, job: &Job, done: &mut Vec<Done>) -> bool {
        let saved = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let cost = match job {
            Job::Persist(persist) if persist.install.is_some_and(|index| index > saved) => return false,
            Job::Persist(persist) => {
                let bytes = persist.entries.iter().map(|entry| 32 + entry.data.len() as u64);
                16 + bytes.sum::<u64>()
            }
            Job::Snapshot(SnapshotIo::Begin { .. } | SnapshotIo::Abort) => {
                self.snapshot_failed = false;
                return true;
            }
            Job::Snapshot(SnapshotIo::Chunk(chunk)) => chunk.len() as u64,
            Job::Snapshot(SnapshotIo::End { .. }) | Job::Forming(_) | Job::Members(_) => return true,
        };
        let Some(room) = &mut self.room else { return true };
        if cost <= room.left {
            room.left -= cost;
            return true;
        }
        if let Job::Snapshot(_) = job {
            if !std::mem::replace(&mut self.snapshot_failed, true) {
                done.push(Done::SnapshotFailed);
            }
            return false;
        }
        if !std::mem::replace(&mut room.full, true) {
            done.push(Done::Full(true));
        }
        let fits = cost <= room.reserve;
        if fits {
            room.reserve -= cost;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use repligo_core::contract::{LogEntry, Persist};

    use super::*;

    fn entry(index: u64) -> LogEntry {
        LogEntry {
            index,
            term: 1,
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

    #[test]
    fn what_finds_no_room_waits_in_order_and_votes_fit_the_reserve() {
        let mut disk = Disk::default();
        disk.ask(persist(1, vec![entry(1)]));
        disk.room = Some(Room {
            left: 10,
            reserve: 100,
            full: false,
        });
        disk.ask(persist(2, vec![entry(2), entry(3)]));
        disk.ask(persist(3, vec![]));
        assert!(disk.start_batch());
        assert_eq!(disk.finish_batch(), [Done::Full(true), Done::Persisted(1)]);
        assert!(disk.waits_for_room());
        assert_eq!(disk.finish_batch(), []);
        assert!(disk.regain_room());
        assert_eq!(disk.finish_batch(), [Done::Persisted(2), Done::Persisted(3)]);
        assert!(!disk.waits_for_room());
    }

    #[test]
    fn a_snapshot_without_room_is_dropped_when_it_is_aborted() {
        let mut disk = Disk::default();
        disk.ask(Job::Snapshot(SnapshotIo::Begin { index: 9, term: 3 }));
        disk.room = Some(Room {
            left: 0,
            reserve: 100,
            full: false,
        });
        disk.ask(Job::Snapshot(SnapshotIo::Chunk(Bytes::from_static(b"x"))));
        disk.ask(persist(1, vec![]));
        disk.start_batch();
        assert_eq!(
            disk.finish_batch(),
            [Done::SnapshotFailed, Done::Full(true), Done::Persisted(1)]
        );
        disk.ask(Job::Snapshot(SnapshotIo::Abort));
        assert!(disk.waits_for_room());
        assert_eq!(disk.finish_batch(), []);
        assert!(!disk.waits_for_room());
    }
}
