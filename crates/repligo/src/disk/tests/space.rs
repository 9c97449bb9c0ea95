//! Full disks: what waits, what the reserve is for, how it ends.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;
use repligo_core::contract::{Durability, Persist, SnapshotIo};

use super::fake::{FakeDisk, Faults};
use super::threads::{next, numbered, start, wait_for};
use super::{append, entry, open, single, vote};
use crate::disk::{DiskDone, DiskError, DiskHandle};

/// A disk whose reserves are there, with so many bytes beside them.
fn begin(durability: Durability, bytes: u64) -> (FakeDisk, DiskHandle, Receiver<DiskDone>) {
    let disk = FakeDisk::default();
    let (handle, done) = start(&disk, durability);
    handle.submit(numbered(0, vote(1, 1, 0)));
    wait_for(&done, 0, 0);
    assert!(disk.names().contains(&"reserve".to_owned()), "{:?}", disk.names());
    limit(&disk, Some(disk.used() + bytes));
    (disk, handle, done)
}

fn limit(disk: &FakeDisk, capacity: Option<u64>) {
    disk.set_faults(Faults {
        capacity,
        ..Faults::default()
    });
}

fn write(handle: &DiskHandle, number: u64, bytes: usize) {
    let persist = numbered(number, append(vec![entry(number, 1, vec![1; bytes])]));
    if !handle.write_now(&persist) {
        handle.submit(persist);
    } else {
        handle.taken(number);
    }
}

/// Writes one at a time until the disk says that it is full; the last persist that was reported by then.
fn fill(handle: &DiskHandle, done: &Receiver<DiskDone>) -> (u64, u64) {
    let mut reported = 0;
    for number in 1..1000 {
        handle.submit(numbered(number, append(vec![entry(number, 1, vec![1; 400])])));
        match next(done) {
            DiskDone::Persisted { number, .. } => reported = number,
            DiskDone::Full(true) => return (number, reported),
            other => panic!("{other:?}"),
        }
    }
    panic!("the disk does not get full")
}

#[test]
fn what_finds_no_room_waits_and_is_written_in_order_when_there_is_some() {
    for durability in [Durability::Os, Durability::Fsync] {
        let (disk, handle, done) = begin(durability, 10 << 10);
        let (last, mut reported) = fill(&handle, &done);
        for number in last + 1..=last + 200 {
            write(&handle, number, 1000);
        }
        let (last, mut full) = (last + 200, true);
        while let Ok(report) = done.recv_timeout(Duration::from_millis(400)) {
            match report {
                DiskDone::Persisted { number, .. } => reported = number,
                other => panic!("{other:?}"),
            }
        }
        assert!(reported < last, "{reported}");
        limit(&disk, None);
        while reported < last || full {
            match next(&done) {
                DiskDone::Persisted { number, .. } => reported = number,
                DiskDone::Full(now) => full = now,
                other => panic!("{other:?}"),
            }
        }
        assert!(!full, "there is room again");
        drop(handle);
        let (_, recovered) = open(&disk, &single(durability), "boot").unwrap();
        let indexes: Vec<u64> = recovered.boot.entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, (1..=last).collect::<Vec<u64>>());
        assert_eq!(recovered.notes, Vec::<String>::new());
    }
}

#[test]
fn votes_are_written_in_the_reserve() {
    let (disk, handle, done) = begin(Durability::Os, 0);
    let mut number = 1;
    let mut full = false;
    while !full {
        handle.submit(numbered(number, append(vec![entry(number, 1, vec![1; 400])])));
        loop {
            match next(&done) {
                DiskDone::Full(true) => full = true,
                DiskDone::Persisted { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        number += 1;
    }
    assert!(!disk.names().contains(&"reserve".to_owned()), "it is in use");
    handle.submit(numbered(number, vote(7, 2, 0)));
    wait_for(&done, number, number);
    drop(handle);
    let (_, recovered) = open(&disk, &single(Durability::Os), "boot").unwrap();
    assert_eq!(
        (recovered.boot.hard_state.term, recovered.boot.hard_state.vote),
        (7, 2)
    );
}

#[test]
fn a_crash_on_a_full_disk_loses_nothing_that_was_reported_and_the_node_starts_again() {
    let (disk, handle, done) = begin(Durability::Os, 10 << 10);
    let (_, reported) = fill(&handle, &done);
    drop(handle);
    let (opened, recovered) = open(&disk, &single(Durability::Os), "boot").unwrap();
    assert!(recovered.boot.entries.len() as u64 >= reported);
    opened.close().unwrap();
}

#[test]
fn a_clean_stop_does_not_wait_for_room() {
    let (_disk, handle, done) = begin(Durability::Os, 10 << 10);
    let (last, _) = fill(&handle, &done);
    for number in last + 1..last + 100 {
        handle.submit(numbered(number, append(vec![entry(number, 1, vec![1; 1000])])));
    }
    let refused = handle.close();
    assert!(matches!(refused, Err(DiskError::Poisoned)), "{refused:?}");
    let fatal = std::iter::from_fn(|| done.try_recv().ok()).last();
    let Some(DiskDone::Fatal(error)) = fatal else {
        panic!("{fatal:?}")
    };
    assert!(
        error.to_string().contains("Free space on that file system"),
        "{error}"
    );
}

fn snapshot(handle: &DiskHandle, index: u64) {
    handle.snapshot(SnapshotIo::Begin { index, term: 1 });
    handle.snapshot(SnapshotIo::Chunk(Bytes::from(vec![3; 20_000])));
    handle.snapshot(SnapshotIo::Chunk(Bytes::from(vec![4; 20_000])));
    handle.snapshot(SnapshotIo::End {
        index,
        drop_log_to: index,
    });
}

#[test]
fn a_snapshot_without_room_is_given_up_and_the_next_one_takes_its_place() {
    let (disk, handle, done) = begin(Durability::Os, 30 << 10);
    handle.submit(numbered(1, append(vec![entry(1, 1, "one"), entry(2, 1, "two")])));
    wait_for(&done, 1, 1);
    snapshot(&handle, 1);
    assert!(matches!(next(&done), DiskDone::SnapshotFailed));
    handle.snapshot(SnapshotIo::Abort);
    // The log is not hindered: what the unfinished one took is free again.
    handle.submit(numbered(2, append(vec![entry(3, 1, "three")])));
    wait_for(&done, 2, 2);
    limit(&disk, None);
    snapshot(&handle, 2);
    let saved = next(&done);
    assert!(matches!(saved, DiskDone::SnapshotSaved { index: 2 }), "{saved:?}");
    assert_eq!(handle.snapshot_backlog_bytes(), 0);
    handle.close().unwrap();
    assert!(!disk.names().contains(&"snapshot.tmp".to_owned()));
    let (_, recovered) = open(&disk, &single(Durability::Os), "boot").unwrap();
    assert_eq!(recovered.boot.snapshot.map(|(index, ..)| index), Some(2));
    assert_eq!(recovered.boot.entries, [entry(3, 1, "three")]);
}

#[test]
fn a_snapshot_that_has_replaced_the_state_waits_for_room() {
    let (disk, handle, done) = begin(Durability::Fsync, 30 << 10);
    handle.submit(numbered(1, append(vec![entry(1, 1, "one")])));
    wait_for(&done, 1, 1);
    snapshot(&handle, 9);
    let install = Persist {
        install: Some(9),
        must_sync: true,
        ..Persist::default()
    };
    handle.submit(numbered(2, install));
    // A later one is given up; that is not this one.
    handle.snapshot(SnapshotIo::Begin { index: 10, term: 1 });
    handle.snapshot(SnapshotIo::Abort);
    assert!(matches!(next(&done), DiskDone::SnapshotFailed));
    assert!(done.recv_timeout(Duration::from_millis(300)).is_err(), "it waits");
    limit(&disk, None);
    assert!(matches!(next(&done), DiskDone::SnapshotSaved { index: 9 }));
    wait_for(&done, 2, 2);
}
