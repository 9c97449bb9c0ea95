//! Theorem: segments that the log no longer needs take no more room than the log had, and none that a large write
//! made longer is kept.

use repligo_core::contract::Durability;

use super::fake::FakeDisk;
use super::{SEGMENT, append, entry, single};

/// Files of the log, and of those how many wait to be used again.
fn counts(disk: &FakeDisk) -> (usize, usize) {
    let names = disk.names();
    let starting = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    (starting("wal-") + starting("free-"), starting("free-"))
}

#[test]
fn as_many_segments_are_kept_as_were_given_back_at_once() {
    let disk = FakeDisk::default();
    let (opened, _) = super::open(&disk, &single(Durability::Fsync), "boot-1").unwrap();
    let mut wal = opened.into_parts().wal;
    let mut next = 1;
    let mut write = |wal: &mut crate::disk::wal::Wal, segments: u64| {
        for _ in 0..segments * 4 {
            let bytes = vec![7; SEGMENT as usize / 4 - 512];
            wal.append(&[append(vec![entry(next, 1, bytes)])]).unwrap();
            next += 1;
        }
        next - 1
    };
    // A long log leaves a few files, a short one then only what it needs itself.
    let last = write(&mut wal, 9);
    wal.drop_to(last).unwrap();
    let (_, free) = counts(&disk);
    assert_eq!(free, 4);
    for _ in 0..5 {
        let last = write(&mut wal, 2);
        let (before, free_before) = counts(&disk);
        wal.drop_to(last).unwrap();
        let (after, free) = counts(&disk);
        let given_back = (before - free_before) - (after - free);
        assert!(
            after <= before && free <= given_back,
            "{before} {after} {free} {given_back}"
        );
    }
    // One write that needs a segment of its own size.
    let index = write(&mut wal, 1) + 1;
    let bytes = vec![7; 3 * SEGMENT as usize];
    wal.append(&[append(vec![entry(index, 1, bytes)])]).unwrap();
    wal.append(&[append(vec![entry(index + 1, 1, vec![7; SEGMENT as usize / 2])])])
        .unwrap();
    wal.drop_to(index).unwrap();
    for name in disk.names() {
        assert!(
            disk.read(&name).len() <= SEGMENT as usize,
            "{name} is longer than a segment"
        );
    }
}
