//! The running disk: order of reports, group commit, the two queues together, the clean stop, the fatal one.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use repligo_core::contract::{Durability, HardState, Persist, Send, SnapshotIo};

use super::fake::{FakeDisk, Faults};
use super::{Random, append, entry, open, options, single, vote};
use crate::disk::{DiskDone, DiskError, DiskHandle};

pub(super) fn start(disk: &FakeDisk, durability: Durability) -> (DiskHandle, Receiver<DiskDone>) {
    let (opened, _) = open(disk, &single(durability), "boot").unwrap();
    let (sender, receiver) = channel();
    let sender = std::sync::Mutex::new(sender);
    let handle = opened
        .start(move |done| drop(sender.lock().unwrap().send(done)))
        .unwrap();
    (handle, receiver)
}

pub(super) fn numbered(number: u64, persist: Persist) -> Persist {
    let send = Send {
        to: 2,
        message: Bytes::copy_from_slice(&number.to_le_bytes()),
    };
    Persist {
        number,
        then_send: vec![send],
        ..persist
    }
}

pub(super) fn next(done: &Receiver<DiskDone>) -> DiskDone {
    done.recv_timeout(Duration::from_secs(20))
        .expect("the disk reports")
}

/// Collects reports up to a number; the sends must be exactly those of the persists, in order.
pub(super) fn wait_for(done: &Receiver<DiskDone>, mut first: u64, last: u64) {
    while first <= last {
        match next(done) {
            DiskDone::Persisted { number, sends } => {
                let expected: Vec<Vec<u8>> = (first..=number)
                    .map(|number| number.to_le_bytes().to_vec())
                    .collect();
                assert_eq!(
                    sends.iter().map(|send| send.message.to_vec()).collect::<Vec<_>>(),
                    expected
                );
                first = number + 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn everything_reported_is_there_after_a_clean_stop_and_after_a_drop() {
    for (durability, clean) in [
        (Durability::Os, true),
        (Durability::Os, false),
        (Durability::Fsync, true),
        (Durability::Fsync, false),
    ] {
        let disk = FakeDisk::default();
        let (handle, done) = start(&disk, durability);
        for number in 1..=200 {
            handle.submit(numbered(
                number,
                append(vec![entry(number, 1, vec![7; number as usize])]),
            ));
        }
        wait_for(&done, 1, 200);
        let metrics = handle.metrics();
        assert_eq!(metrics.persists, 200);
        assert!(metrics.batches <= 200 && metrics.log_bytes > 200 * 100 && metrics.segments > 1);
        if clean {
            handle.close().unwrap();
        } else {
            drop(handle);
        }
        let (opened, recovered) = open(&disk, &single(durability), "boot").unwrap();
        assert_eq!(recovered.boot.entries.len(), 200);
        assert_eq!(recovered.boot.entries[41], entry(42, 1, vec![7; 42]));
        assert_eq!(opened.meta().incarnation, 2);
        assert_eq!(recovered.notes, Vec::<String>::new());
    }
}

#[test]
fn os_mode_syncs_votes_at_once_and_the_rest_within_the_period() {
    let disk = FakeDisk::default();
    let (handle, done) = start(&disk, Durability::Os);
    let before = disk.syncs();
    handle.submit(numbered(1, append(vec![entry(1, 1, "a")])));
    wait_for(&done, 1, 1);
    assert_eq!(disk.syncs(), before);
    handle.submit(numbered(2, vote(2, 1, 0)));
    wait_for(&done, 2, 2);
    assert_eq!(disk.syncs(), before + 1);
    handle.submit(numbered(3, append(vec![entry(2, 2, "b")])));
    wait_for(&done, 3, 3);
    let begun = std::time::Instant::now();
    while disk.syncs() < before + 2 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(disk.syncs() >= before + 2);
}

#[test]
fn an_installed_snapshot_restarts_the_log_and_gives_its_segments_back() {
    let disk = FakeDisk::default();
    let (handle, done) = start(&disk, Durability::Fsync);
    for number in 1..=100 {
        handle.submit(numbered(number, append(vec![entry(number, 1, vec![1; 500])])));
    }
    wait_for(&done, 1, 100);
    assert!(handle.metrics().segments > 3);
    handle.snapshot(SnapshotIo::Begin { index: 1000, term: 5 });
    handle.snapshot(SnapshotIo::Chunk(Bytes::from(vec![3; 100_000])));
    handle.snapshot(SnapshotIo::Chunk(Bytes::from_static(b"end")));
    handle.snapshot(SnapshotIo::End {
        index: 1000,
        drop_log_to: 1000,
    });
    let hard_state = HardState {
        term: 5,
        vote: 0,
        commit: 1000,
    };
    let install = Persist {
        install: Some(1000),
        hard_state: Some(hard_state),
        must_sync: true,
        ..Persist::default()
    };
    handle.submit(numbered(101, install));
    handle.submit(numbered(102, append(vec![entry(1001, 5, "after")])));
    assert!(matches!(next(&done), DiskDone::SnapshotSaved { index: 1000 }));
    wait_for(&done, 101, 102);
    assert_eq!(handle.snapshot_backlog_bytes(), 0);
    handle.close().unwrap();
    assert!(
        disk.names()
            .iter()
            .filter(|name| name.starts_with("wal-"))
            .count()
            <= 2
    );

    let (_, recovered) = open(&disk, &single(Durability::Fsync), "boot").unwrap();
    let (index, term, chunks) = recovered.boot.snapshot.unwrap();
    assert_eq!(
        (index, term, chunks.len(), chunks[0].len()),
        (1000, 5, 2, 100_000)
    );
    assert_eq!(recovered.boot.entries, [entry(1001, 5, "after")]);
    assert_eq!(recovered.boot.hard_state, hard_state);
}

#[test]
fn a_failed_sync_stops_everything_and_is_reported_once() {
    let disk = FakeDisk::default();
    let (handle, done) = start(&disk, Durability::Fsync);
    handle.submit(numbered(1, append(vec![entry(1, 1, "kept")])));
    wait_for(&done, 1, 1);
    disk.set_faults(Faults {
        fail_sync_in: Some(0),
        ..Faults::default()
    });
    handle.submit(numbered(2, append(vec![entry(2, 1, "lost")])));
    let DiskDone::Fatal(error) = next(&done) else {
        panic!("expected a fatal error")
    };
    assert!(matches!(error, DiskError::SyncFailed { .. }), "{error}");
    handle.submit(numbered(3, append(vec![entry(3, 1, "refused")])));
    handle.snapshot(SnapshotIo::Begin { index: 1, term: 1 });
    assert!(matches!(handle.close(), Err(DiskError::Poisoned)));
    assert!(
        done.try_recv().is_err(),
        "nothing is reported after the fatal error"
    );

    let (_, recovered) = open(&disk, &single(Durability::Fsync), "boot").unwrap();
    assert_eq!(recovered.boot.entries[0], entry(1, 1, "kept"));
    assert!(recovered.boot.entries.len() <= 2);
}

/// The kernel may have dropped acknowledged pages: to a cluster that is like a stop of the machine.
#[test]
fn after_a_failed_sync_in_os_mode_a_cluster_node_does_not_come_back() {
    let disk = FakeDisk::default();
    let cluster = options(Durability::Os, &["n1", "n2", "n3"]);
    let (opened, _) = open(&disk, &cluster, "boot").unwrap();
    let (sender, done) = channel();
    let sender = std::sync::Mutex::new(sender);
    let handle = opened
        .start(move |done| drop(sender.lock().unwrap().send(done)))
        .unwrap();
    handle.submit(numbered(1, vote(1, 1, 0)));
    wait_for(&done, 1, 1);
    disk.set_faults(Faults {
        fail_sync_in: Some(0),
        ..Faults::default()
    });
    handle.submit(numbered(2, vote(2, 1, 0)));
    assert!(matches!(
        next(&done),
        DiskDone::Fatal(DiskError::SyncFailed { .. })
    ));
    drop(handle);
    let again = open(&disk, &cluster, "boot");
    assert!(matches!(again.map(|_| ()), Err(DiskError::UncleanStop { .. })));
}

#[test]
fn a_snapshot_is_given_up_with_the_disk_that_ends() {
    let disk = FakeDisk::default();
    let (handle, _done) = start(&disk, Durability::Os);
    handle.snapshot(SnapshotIo::Begin { index: 5, term: 1 });
    handle.snapshot(SnapshotIo::Chunk(Bytes::from_static(b"half")));
    handle.close().unwrap();
    let (_, recovered) = open(&disk, &single(Durability::Os), "boot").unwrap();
    assert!(recovered.boot.snapshot.is_none());
    assert!(!disk.names().contains(&"snapshot.tmp".to_owned()));
}

/// The power fails while all threads are at work: what they have reported by then is there.
#[test]
fn what_the_threads_reported_survives_a_power_loss_at_any_moment() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let disk = FakeDisk::default();
        let (handle, done) = start(&disk, Durability::Fsync);
        disk.set_faults(Faults {
            kill_in: Some(random.below(400)),
            ..Faults::default()
        });
        let (mut index, mut reported, mut saved) = (0, 0, 0);
        for number in 1..=random.below(120) {
            let mut persist = Persist::default();
            if random.chance(8) {
                // Alternately the own snapshot and one of the leader.
                let installs = random.chance(50);
                index += if installs { 10 } else { 0 };
                if index > 0 {
                    handle.snapshot(SnapshotIo::Begin { index, term: 1 });
                    handle.snapshot(SnapshotIo::Chunk(Bytes::from(vec![
                        1;
                        random.below(9000) as usize
                    ])));
                    let drop_log_to = index;
                    handle.snapshot(SnapshotIo::End { index, drop_log_to });
                }
                persist.install = installs.then_some(index);
            }
            index += 1;
            persist.entries = vec![entry(index, 1, vec![2; random.below(900) as usize])];
            // The number says up to which index the log reaches.
            handle.submit(Persist {
                number: index,
                ..persist
            });
            if number % 16 == 0 && random.chance(50) {
                std::thread::yield_now();
            }
        }
        if random.chance(50) {
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
        disk.lose_power(&mut random);
        drop(handle);
        for done in done.try_iter() {
            match done {
                DiskDone::Persisted { number, .. } => reported = number,
                DiskDone::SnapshotSaved { index } => saved = index,
                DiskDone::Fatal(error) => assert!(error.to_string().contains("killed"), "{error}"),
                full => panic!("there is room for all: {full:?}"),
            }
        }
        disk.set_faults(Faults::default());
        let (_, recovered) = open(&disk, &single(Durability::Fsync), "boot 2").unwrap();
        let at = recovered.boot.snapshot.map_or(0, |(index, ..)| index);
        let last = at + recovered.boot.entries.len() as u64;
        assert!(
            last >= reported && at >= saved,
            "seed {seed}: {at} {last}, reported {saved} {reported}"
        );
    }
}

/// Writes as the worker does. The thread reports before it lets go of the log, so it may still hold it.
fn write_soon(handle: &DiskHandle, persist: &Persist) {
    let begun = std::time::Instant::now();
    while !handle.write_now(persist) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never written");
        std::thread::yield_now();
    }
}

#[test]
fn the_worker_writes_only_what_keeps_the_order_and_needs_no_sync() {
    let disk = FakeDisk::default();
    let (handle, done) = start(&disk, Durability::Os);
    assert!(
        !handle.write_now(&numbered(1, vote(1, 1, 0))),
        "a vote is synced by the thread"
    );
    handle.submit(numbered(1, vote(1, 1, 0)));
    assert!(
        !handle.write_now(&numbered(2, append(vec![entry(1, 1, "a")]))),
        "the first one is not known to be done"
    );
    wait_for(&done, 1, 1);
    handle.taken(1);
    write_soon(&handle, &numbered(2, append(vec![entry(1, 1, "a")])));
    handle.submit(numbered(3, append(vec![entry(2, 1, "b")])));
    wait_for(&done, 3, 3);
    handle.taken(3);
    write_soon(&handle, &numbered(4, append(vec![entry(3, 1, "c")])));
    handle.close().unwrap();
    let (_, recovered) = open(&disk, &single(Durability::Os), "boot").unwrap();
    let data: Vec<&[u8]> = recovered
        .boot
        .entries
        .iter()
        .map(|entry| &entry.data[..])
        .collect();
    assert_eq!(data, [b"a", b"b", b"c"]);
}

#[test]
fn with_fsync_the_worker_never_writes() {
    let disk = FakeDisk::default();
    let (handle, _done) = start(&disk, Durability::Fsync);
    assert!(!handle.write_now(&numbered(1, append(vec![entry(1, 1, "a")]))));
    handle.close().unwrap();
}
