//! Backups: what a node's snapshot becomes, every way in which one can be unfit, and the directory made of one.

use std::path::PathBuf;
use std::sync::Arc;

use repligo_core::contract::{Boot, Durability, HashSeed, Identity, Input, Outputs, Settings, SnapshotIo};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::time::Now;

use super::super::backup::{BackupFacts, BackupFlaw, BackupReader, SnapshotSource};
use super::super::metrics::Counters;
use super::super::open::{Disk, OpenOptions};
use super::super::restore::{Founder, RestoreError, restore};
use super::super::snapshot::SnapshotWriter;
use super::super::{Forming, META_FILE};
use super::CLUSTER;
use super::fake::FakeDisk;

/// The pieces of a snapshot as a replica gives them out.
fn pieces() -> Vec<SnapshotIo> {
    let mut now = Now {
        mono_us: 1_000_000,
        wall_ms: 1_700_000_000_000,
    };
    let settings = Settings {
        identity: Identity {
            cluster_id: CLUSTER,
            generation: 1,
            peer: 1,
            incarnation: 1,
        },
        membership: Membership::of_count(1),
        durability: Durability::Os,
        seed: 1,
        hash_seed: HashSeed::from_number(1),
        origin: Arc::new(OriginMap::default()),
        log_bytes_max: 1 << 20,
    };
    let mut replica = Replica::new(settings, Boot::default(), now);
    let mut pieces = Vec::new();
    let mut is_asked = false;
    for _ in 0..400 {
        now.mono_us += 25_000;
        now.wall_ms += 25;
        let mut outputs = Outputs::default();
        replica.step(now, Input::Tick, &mut outputs);
        replica.step(now, Input::Turn, &mut outputs);
        let mut numbers: Vec<u64> = outputs.persists.drain(..).map(|persist| persist.number).collect();
        while let Some(number) = numbers.pop() {
            replica.step(now, Input::Persisted { number }, &mut outputs);
            numbers.extend(outputs.persists.drain(..).map(|persist| persist.number));
        }
        pieces.append(&mut outputs.snapshot);
        if matches!(pieces.last(), Some(SnapshotIo::End { .. })) {
            return pieces;
        }
        is_asked = is_asked || replica.ask_for_snapshot().is_ok();
    }
    panic!("a replica that is alone writes a snapshot when it is asked for one");
}

/// A backup of a node that has such a snapshot on its disk.
fn backup() -> (BackupFacts, Vec<u8>) {
    let disk = FakeDisk::default();
    let storage = Arc::new(disk.mount());
    let mut writer = SnapshotWriter::new(storage.clone(), Arc::new(Counters::new()), CLUSTER);
    for piece in pieces() {
        writer.execute(piece).unwrap();
    }
    let (snapshot, facts) = SnapshotSource::new(storage).open().unwrap();
    let facts = BackupFacts {
        generation: 4,
        taken_ms: 5,
        node: "n2".to_owned(),
        release: "1".to_owned(),
        ..facts
    };
    let mut bytes = facts.encode();
    let mut offset = 0;
    loop {
        let more = snapshot.read(offset, 50).unwrap();
        if more.is_empty() {
            assert_eq!(offset, facts.snapshot_bytes);
            return (facts, bytes);
        }
        offset += more.len() as u64;
        bytes.extend_from_slice(&more);
    }
}

/// Reads it to its end; how many chunks there were.
fn read(bytes: &[u8]) -> Result<usize, BackupFlaw> {
    let mut reader = BackupReader::open(bytes)?;
    let mut count = 0;
    while reader.next_chunk()?.is_some() {
        count += 1;
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    Ok(count)
}

#[test]
fn a_backup_is_read_whole_and_every_cut_and_every_changed_bit_is_found() {
    let (facts, bytes) = backup();
    assert_eq!(BackupReader::open(&bytes[..]).unwrap().facts(), &facts);
    assert_eq!((facts.cluster_id, facts.key_count), (CLUSTER, 0));
    assert!(facts.index > 0 && facts.term > 0);
    assert!(read(&bytes).unwrap() >= 3);
    for cut in 0..bytes.len() {
        let flaw = read(&bytes[..cut]).unwrap_err();
        assert!(
            matches!(flaw, BackupFlaw::Cut { .. }) || cut < 8 && matches!(flaw, BackupFlaw::Foreign { .. }),
            "{cut}: {flaw}"
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&changed).is_err(), "bit {bit}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(
        read(&longer)
            .unwrap_err()
            .to_string()
            .contains("something follows")
    );
}

#[test]
fn what_is_no_backup_is_told_as_what_it_is() {
    for (bytes, part) in [
        (&b""[..], "no backup"),
        (
            b"*2\r\n$4\r\nECHO\r\n$53\r\nrepligo-export version=1 created-ms=1 crc32c=00000000\r\n",
            "repligo import",
        ),
        (b"REDIS0010\xfa\tredis-ver", "RDB"),
        (b"RPLGSNAP\x03\0\0\0 and so on, and so on", "bare snapshot"),
        (b"RPLGBKUP\x02\0\0\0 and so on, and so on", "format 2"),
    ] {
        let text = read(bytes).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("repligo-backup-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn founder(&self) -> Founder {
        Founder {
            dir: self.0.clone(),
            node: "n1".to_owned(),
            address: "h:1".to_owned(),
            cluster_id: 9,
            key: 8,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_made_of_a_backup_is_the_first_one_of_another_cluster() {
    let (facts, bytes) = backup();
    let folder = Folder::new("made");
    let reader = BackupReader::open(&bytes[..]).unwrap();
    let generation = restore(reader, &folder.founder(), &mut |_| true).unwrap();
    assert_eq!(generation, facts.generation + 1);
    assert!(!folder.0.join("restoring").exists());
    let options = OpenOptions::new(&folder.0, Durability::Fsync, "n1", Membership::of_count(1));
    let (disk, recovered) = Disk::open(options).unwrap();
    let meta = disk.meta();
    assert_eq!(meta.forming, Forming::Formed { cluster_id: 9 });
    assert_eq!((meta.generation, meta.peer, meta.incarnation), (generation, 1, 1));
    assert_eq!(
        meta.membership.get(1).map(|member| member.address.as_str()),
        Some("h:1")
    );
    let (index, term, _) = recovered.boot.snapshot.as_ref().unwrap();
    assert_eq!((*index, *term), (facts.index, facts.term));
    assert_eq!(recovered.boot.hard_state.commit, facts.index);
    assert!(
        recovered.boot.entries.is_empty() && recovered.notes.is_empty(),
        "{:?}",
        recovered.notes
    );
    disk.close().unwrap();
    // A second time it is in the way.
    let reader = BackupReader::open(&bytes[..]).unwrap();
    let text = restore(reader, &folder.founder(), &mut |_| true)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("is not empty") && text.contains("nothing is ever overwritten"),
        "{text}"
    );
    assert!(folder.0.join(META_FILE).exists());
}

#[test]
fn what_cannot_be_finished_leaves_nothing_behind() {
    let (_, bytes) = backup();
    let folder = Folder::new("unfinished");
    for cut in [bytes.len() - 1, bytes.len() - 40] {
        let reader = BackupReader::open(&bytes[..cut]).unwrap();
        let error = restore(reader, &folder.founder(), &mut |_| true).unwrap_err();
        assert!(
            matches!(error, RestoreError::Flaw(BackupFlaw::Cut { .. })),
            "{error}"
        );
        assert!(!folder.0.exists());
    }
    // A process that is killed leaves what there is at that moment, which is no empty directory to a node.
    let (killed, mut founder) = (Folder::new("killed"), folder.founder());
    founder.dir = killed.0.clone();
    let left = Folder::new("left");
    let reader = BackupReader::open(&bytes[..]).unwrap();
    let interrupted = restore(reader, &founder, &mut |_| {
        std::fs::create_dir(&left.0).unwrap();
        for entry in std::fs::read_dir(&killed.0).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), left.0.join(entry.file_name())).unwrap();
        }
        false
    });
    assert!(matches!(interrupted, Err(RestoreError::Interrupted)));
    let options = OpenOptions::new(&left.0, Durability::Fsync, "n1", Membership::of_count(1));
    let text = Disk::open(options).err().expect("refused").to_string();
    assert!(text.contains("restore again"), "{text}");
    // What was there stays there, empty as it was.
    std::fs::create_dir(&folder.0).unwrap();
    let reader = BackupReader::open(&bytes[..]).unwrap();
    let error = restore(reader, &folder.founder(), &mut |_| false).unwrap_err();
    assert!(matches!(error, RestoreError::Interrupted));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
}
