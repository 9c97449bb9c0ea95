//! Theorem: bytes that were safely on disk and changed are noticed, named and left alone; only what may
//! never have been synced is cut off.

use bytes::Bytes;
use repligo_core::contract::{Boot, Durability, SnapshotIo};

use super::fake::FakeDisk;
use super::{CLUSTER, Random, SEGMENT, append, entry, open, single, vote};
use crate::disk::{DiskError, Forming};

/// A log of several segments and a snapshot; stopped cleanly or not.
fn directory(durability: Durability, clean: bool) -> FakeDisk {
    let disk = FakeDisk::default();
    let (opened, _) = open(&disk, &single(durability), "boot 1").unwrap();
    let mut parts = opened.into_parts();
    let mut writer = parts.snapshot_writer();
    parts.wal.append(&[vote(1, 1, 0)]).unwrap();
    for index in 1..=20 {
        parts
            .wal
            .append(&[append(vec![entry(index, 1, vec![index as u8; 900])])])
            .unwrap();
        if durability == Durability::Fsync {
            parts.wal.sync().unwrap();
        }
        if index == 5 {
            for piece in [
                SnapshotIo::Begin { index: 3, term: 1 },
                SnapshotIo::Chunk(Bytes::from(vec![1; 300])),
                SnapshotIo::Chunk(Bytes::from_static(b"end")),
                SnapshotIo::End {
                    index: 3,
                    drop_log_to: 3,
                },
            ] {
                writer.execute(piece).unwrap();
            }
        }
    }
    if clean {
        crate::disk::open::close(&*parts.storage, parts.meta, Some(parts.wal), None).unwrap();
    }
    disk
}

fn copy(disk: &FakeDisk) -> FakeDisk {
    let copy = FakeDisk::default();
    for name in disk.names() {
        copy.replace(&name, disk.read(&name));
    }
    copy
}

fn content(disk: &FakeDisk) -> Vec<(String, Vec<u8>)> {
    disk.names()
        .into_iter()
        .map(|name| (name.clone(), disk.read(&name)))
        .collect()
}

fn boot(disk: &FakeDisk, boot: &str) -> Result<Boot, DiskError> {
    open(disk, &single(Durability::Fsync), boot).map(|(_, recovered)| recovered.boot)
}

/// Opens a copy with one byte changed. It must be refused, naming the file and an offset at or before the
/// byte and leaving everything alone; or, where the byte means nothing, come back whole.
#[track_caller]
fn check_flip(disk: &FakeDisk, name: &str, offset: usize, boot_id: &str) -> bool {
    let expected = boot(&copy(disk), boot_id).unwrap();
    let damaged = copy(disk);
    let mut bytes = damaged.read(name);
    bytes[offset] ^= 0x10;
    damaged.replace(name, bytes);
    let before = content(&damaged);
    match boot(&damaged, boot_id) {
        Ok(found) => {
            assert_eq!(found.entries, expected.entries, "byte {offset} of {name}");
            assert_eq!(
                (found.hard_state, found.snapshot),
                (expected.hard_state, expected.snapshot)
            );
            false
        }
        Err(DiskError::Corrupt { path, offset: at, .. }) => {
            assert!(
                path.ends_with(name) && at <= offset as u64,
                "{path:?} {at}, byte {offset} of {name}"
            );
            assert_eq!(content(&damaged), before, "a refused directory is left alone");
            true
        }
        Err(DiskError::NewerFormat { path, .. }) => {
            assert!(path.ends_with(name) && (8..12).contains(&offset));
            true
        }
        Err(other) => panic!("byte {offset} of {name}: {other}"),
    }
}

/// End of what the last segment uses.
fn used(disk: &FakeDisk, name: &str) -> usize {
    let bytes = disk.read(name);
    bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()
}

fn segments(disk: &FakeDisk) -> Vec<String> {
    disk.names()
        .into_iter()
        .filter(|name| name.starts_with("wal-"))
        .collect()
}

#[test]
fn a_changed_byte_of_a_cleanly_stopped_log_is_refused() {
    for durability in [Durability::Os, Durability::Fsync] {
        let disk = directory(durability, true);
        let names = segments(&disk);
        assert!(names.len() >= 3);
        for name in names {
            let mut refused = 0;
            for offset in (0..96).chain((4096..used(&disk, &name)).step_by(7)) {
                refused += usize::from(check_flip(&disk, &name, offset, "boot 2"));
            }
            // Only padding means nothing; there is next to none in this log.
            assert!(refused * 100 > 98 * (used(&disk, &name) - 4096) / 7);
        }
    }
}

#[test]
fn a_changed_byte_in_the_middle_after_a_kill_is_refused() {
    for durability in [Durability::Os, Durability::Fsync] {
        let disk = directory(durability, false);
        let names = segments(&disk);
        for name in &names {
            // The last record may be a write that the kill interrupted.
            let end = if Some(name) == names.last() {
                used(&disk, name) - 1000
            } else {
                used(&disk, name)
            };
            let refused = (4096..end)
                .step_by(11)
                .filter(|at| check_flip(&disk, name, *at, "boot 1"))
                .count();
            assert!(refused * 100 > 98 * (end - 4096) / 11);
        }
    }
}

#[test]
fn a_synced_byte_that_changed_is_refused_after_a_power_loss() {
    let disk = directory(Durability::Fsync, false);
    let name = segments(&disk).pop().unwrap();
    // Nothing is written behind the last batch: it alone may be an unfinished write.
    for offset in (4096..used(&disk, &name) - 1000).step_by(11) {
        check_flip(&disk, &name, offset, "boot 2");
    }
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    for same_boot in [true, false] {
        let disk = directory(Durability::Fsync, false);
        let name = segments(&disk).pop().unwrap();
        let mut bytes = disk.read(&name);
        let end = used(&disk, &name);
        bytes[end - 300..end].fill(0);
        disk.replace(&name, bytes);
        let boot = if same_boot { "boot 1" } else { "boot 2" };
        let (opened, recovered) = open(&disk, &single(Durability::Fsync), boot).unwrap();
        assert_eq!(recovered.boot.entries.last().unwrap().index, 19);
        assert!(
            recovered.notes[0].contains("was cut off the log"),
            "{:?}",
            recovered.notes
        );
        drop(opened);
        let (_, again) = open(&disk, &single(Durability::Fsync), boot).unwrap();
        assert_eq!(
            (again.boot.entries.len(), again.notes.len()),
            (recovered.boot.entries.len(), 0)
        );
    }
}

/// Counterexample to writing on behind a cut without wiping: record 2 was lost and record 3 survived; a new
/// record 2 of the same length would bring the old record 3 back.
#[test]
fn what_lies_behind_a_cut_never_comes_back() {
    let disk = FakeDisk::default();
    let (opened, _) = open(&disk, &single(Durability::Os), "boot 1").unwrap();
    let mut parts = opened.into_parts();
    for index in 1..=3 {
        parts
            .wal
            .append(&[append(vec![entry(index, 1, "same length")])])
            .unwrap();
    }
    let name = segments(&disk).pop().unwrap();
    let mut bytes = disk.read(&name);
    let record = (used(&disk, &name) - 4096).next_multiple_of(8) / 3;
    bytes[4096 + record..4096 + 2 * record].fill(0);
    disk.replace(&name, bytes);
    let (opened, recovered) = open(&disk, &single(Durability::Os), "boot 2").unwrap();
    assert_eq!(recovered.boot.entries.len(), 1);
    let mut parts = opened.into_parts();
    parts
        .wal
        .append(&[append(vec![entry(2, 1, "SAME LENGTH")])])
        .unwrap();
    let (_, recovered) = open(&disk, &single(Durability::Os), "boot 2").unwrap();
    assert_eq!(recovered.boot.entries.len(), 2);
}

/// Counterexample to giving segments back at once: the first segment's entries 2 and up were replaced by a
/// truncation in the second that is not synced; without both the log would begin behind the snapshot.
#[test]
fn a_segment_goes_only_after_what_made_it_superfluous_is_synced() {
    for seed in 0..50 {
        let disk = FakeDisk::default();
        let (opened, _) = open(&disk, &single(Durability::Os), "boot 1").unwrap();
        let mut parts = opened.into_parts();
        let mut writer = parts.snapshot_writer();
        for index in 1..=10 {
            parts
                .wal
                .append(&[append(vec![entry(index, 1, vec![1; 900])])])
                .unwrap();
        }
        assert_eq!(segments(&disk).len(), 2);
        parts
            .wal
            .append(&[append(vec![entry(2, 2, "replaced"), entry(3, 2, "replaced")])])
            .unwrap();
        for piece in [
            SnapshotIo::Begin { index: 3, term: 2 },
            SnapshotIo::End {
                index: 3,
                drop_log_to: 3,
            },
        ] {
            writer.execute(piece).unwrap();
        }
        parts.wal.drop_to(3).unwrap();
        assert_eq!(segments(&disk).len(), 1);
        disk.lose_power(&mut Random(seed));
        assert_eq!(boot(&disk, "boot 2").unwrap().snapshot.unwrap().0, 3);
    }
}

#[test]
fn a_changed_byte_of_snapshot_or_meta_is_refused() {
    let disk = directory(Durability::Fsync, true);
    for offset in 0..disk.read("snapshot").len() {
        assert!(check_flip(&disk, "snapshot", offset, "boot 2"), "byte {offset}");
    }
    for offset in 0..disk.read("meta").len() {
        assert!(check_flip(&disk, "meta", offset, "boot 2"), "byte {offset}");
    }
}

#[test]
fn missing_files_are_refused() {
    let disk = directory(Durability::Fsync, true);
    let names = segments(&disk);
    for (place, name) in names.iter().enumerate() {
        let holed = copy(&disk);
        holed.delete(name);
        let error = boot(&holed, "boot 2").unwrap_err();
        let last = place + 1 == names.len();
        assert!(
            matches!(error, DiskError::LogGap { .. }) || last && matches!(error, DiskError::Corrupt { .. })
        );
    }
    let check = |missing: &[&str], words: &str| {
        let holed = copy(&disk);
        for name in missing {
            holed.delete(name);
        }
        let text = boot(&holed, "boot 2").unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    check(&["meta"], "has lost its `meta` file");
    check(
        &["snapshot", names[0].as_str()],
        "there is no snapshot of what was before",
    );
    check(
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
        "there is no log file at all",
    );
}

#[test]
fn files_of_another_cluster_are_refused() {
    let disk = directory(Durability::Fsync, true);
    let other = FakeDisk::default();
    let mount = std::sync::Arc::new(other.mount());
    let (mut opened, _) = crate::disk::Disk::open_in(mount, &single(Durability::Fsync), "boot 1").unwrap();
    opened
        .set_forming(Forming::Formed {
            cluster_id: CLUSTER + 1,
        })
        .unwrap();
    opened.close().unwrap();
    for name in ["wal-0000000000000001", "snapshot"] {
        let mixed = copy(&other);
        mixed.replace(name, disk.read(name));
        let error = boot(&mixed, "boot 2").unwrap_err();
        assert!(
            matches!(error, DiskError::OtherCluster { found: CLUSTER, .. }),
            "{error}"
        );
    }
}

/// Whatever the bytes are, opening ends with an answer.
#[test]
fn no_damage_makes_it_panic() {
    let original = directory(Durability::Fsync, true);
    for seed in 0..2000 {
        let mut random = Random(seed);
        let disk = copy(&original);
        let names = disk.names();
        for _ in 0..=random.below(3) {
            let name = &names[random.below(names.len() as u64) as usize];
            let mut bytes = disk.read(name);
            match random.below(4) {
                0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
                1 => bytes.resize(bytes.len() + random.below(SEGMENT) as usize, random.next() as u8),
                2 => {
                    let at = random.below(bytes.len() as u64) as usize;
                    let end = (at + random.below(5000) as usize).min(bytes.len());
                    bytes[at..end].fill_with(|| random.next() as u8);
                }
                _ => {
                    let other = disk.read(&names[random.below(names.len() as u64) as usize]);
                    bytes = other;
                }
            }
            disk.replace(name, bytes);
        }
        let _ = boot(&disk, "boot 2");
    }
}
