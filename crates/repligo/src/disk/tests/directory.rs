//! Whose directory it is: locks, names, forming, unclean stops; on real directories where that matters.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use repligo_core::contract::Durability;
use repligo_core::membership::Membership;
use repligo_core::origin::{KeyspaceConfig, Mode, OriginMap, ValueConfig};

use super::fake::FakeDisk;
use super::{CLUSTER, append, entry, open, options, single};
use crate::disk::{DirectoryLock, Disk, DiskDone, DiskError, Forming, OpenOptions};

/// A directory of the operating system that goes with the test.
pub(super) struct Temporary(pub PathBuf);

impl Temporary {
    pub fn new(name: &str) -> Temporary {
        let dir = std::env::temp_dir().join(format!("repligo-disk-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Temporary(dir)
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new(&self.0, Durability::Fsync, "n1", Membership::of_count(1));
        options.segment_bytes = 256 << 10;
        options
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn refused<T>(result: Result<T, DiskError>, words: &[&str]) {
    let Err(error) = result else {
        panic!("it was not refused")
    };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}

#[test]
fn a_real_directory_keeps_what_was_reported() {
    let directory = Temporary::new("real");
    let (mut disk, recovered) = Disk::open(directory.options()).unwrap();
    assert_eq!(recovered.boot.entries, []);
    assert_eq!(
        (recovered.meta.forming, recovered.meta.incarnation),
        (Forming::Empty, 1)
    );
    disk.set_forming(Forming::Formed { cluster_id: CLUSTER }).unwrap();
    let pid: u32 = fs::read_to_string(directory.0.join("node.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(pid, std::process::id());
    let (sender, done) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let handle = disk
        .start(move |done| drop(sender.lock().unwrap().send(done)))
        .unwrap();
    for number in 1..=300 {
        // Some of them large: those are written from where they are, with several slices.
        let size = if number % 10 == 0 { 20_000 } else { 100 };
        let entries = vec![
            entry(2 * number - 1, 1, vec![number as u8; size]),
            entry(2 * number, 1, "small"),
        ];
        handle.submit(repligo_core::contract::Persist {
            number,
            ..append(entries)
        });
    }
    while !matches!(done.recv().unwrap(), DiskDone::Persisted { number: 300, .. }) {}
    handle.close().unwrap();
    assert!(!directory.0.join("node.pid").exists());

    let (disk, recovered) = Disk::open(directory.options()).unwrap();
    assert_eq!(recovered.boot.entries.len(), 600);
    assert_eq!(recovered.boot.entries[398], entry(399, 1, vec![200; 20_000]));
    assert_eq!(recovered.meta.incarnation, 2);
    disk.close().unwrap();
}

#[test]
fn two_processes_never_share_a_directory() {
    let directory = Temporary::new("lock");
    let (disk, _) = Disk::open(directory.options()).unwrap();
    let pid = std::process::id().to_string();
    refused(
        Disk::open(directory.options()),
        &["in use by process", &pid, "--data-dir"],
    );
    refused(
        DirectoryLock::acquire_without_data(&directory.0),
        &["in use by process", &pid],
    );
    drop(disk);
    Disk::open(directory.options()).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let directory = Temporary::new("foreign");
    fs::create_dir_all(&directory.0).unwrap();
    fs::write(directory.0.join("holiday.jpg"), "not a log").unwrap();
    refused(
        Disk::open(directory.options()),
        &["is not a Repligo data directory", "holiday.jpg"],
    );
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);

    fs::remove_file(directory.0.join("holiday.jpg")).unwrap();
    fs::create_dir(directory.0.join("lost+found")).unwrap();
    Disk::open(directory.options()).unwrap();
}

#[test]
fn durability_none_locks_an_empty_directory_and_refuses_data() {
    let directory = Temporary::new("none");
    let lock = DirectoryLock::acquire_without_data(&directory.0).unwrap();
    assert!(directory.0.join("node.pid").exists());
    refused(Disk::open(directory.options()), &["in use by process"]);
    lock.release();
    Disk::open(directory.options()).unwrap().0.close().unwrap();
    refused(
        DirectoryLock::acquire_without_data(&directory.0),
        &["holds data", "--data-dir"],
    );
}

#[test]
fn a_directory_stays_with_its_node_and_its_cluster() {
    let three = |node: &str, voters: &[&str]| OpenOptions {
        node: node.into(),
        ..options(Durability::Fsync, voters)
    };
    let disk = FakeDisk::default();
    open(&disk, &three("n2", &["n3", "n1", "n2"]), "boot").unwrap();
    let (again, _) = open(&disk, &three("n2", &["n1", "n2", "n3"]), "boot").unwrap();
    assert_eq!(
        (again.meta().peer, again.meta().membership.voters()),
        (2, vec![1, 2, 3])
    );
    // Who the members are is what the directory knows, whatever the line of a later start says.
    for later in [three("n2", &["n1", "n2"]), three("n2", &["n2", "n4", "n5"])] {
        let (again, _) = open(&disk, &later, "boot").unwrap();
        assert_eq!(
            (again.meta().peer, again.meta().membership.voters()),
            (2, vec![1, 2, 3])
        );
    }
    for wrong in [three("n1", &["n1", "n2", "n3"]), three("n2", &["n2"])] {
        refused(
            open(&disk, &wrong, "boot"),
            &["belongs to node n2 of the cluster of n1, n2, n3", "--data-dir"],
        );
    }
}

#[test]
fn a_directory_stays_with_the_keyspaces_that_it_began_with() {
    let map = |names: &[&str]| {
        let keyspace = |name: &&str| KeyspaceConfig {
            name: (*name).to_owned(),
            pattern: format!("{name}:{{id:int}}"),
            database: 0,
            origin: "main".to_owned(),
            mode: Mode::WriteThrough,
            table: (*name).to_owned(),
            key: vec![("id".to_owned(), "id".to_owned())],
            value: ValueConfig::Raw {
                column: "value".to_owned(),
            },
            cache_ttl_ms: None,
            negative_ttl_ms: 1000,
            flush_deadline_ms: 30_000,
            lanes: 4,
        };
        OriginMap::new(names.iter().map(keyspace).collect()).unwrap()
    };
    let with = |map: Option<OriginMap>| OpenOptions {
        map: map.map(Arc::new),
        ..options(Durability::Fsync, &["n1"])
    };
    let disk = FakeDisk::default();
    open(&disk, &with(Some(map(&["users"]))), "boot").unwrap();
    open(&disk, &with(Some(map(&["users"]))), "boot").unwrap();
    for (other, now) in [
        (map(&["users", "orders"]), "(users, orders)"),
        (map(&[]), "(none)"),
    ] {
        refused(
            open(&disk, &with(Some(other)), "boot"),
            &["other [[keyspace]] sections (users)", now, "a backup is restored"],
        );
    }
    // Tools take it as it is, and what it is is not forgotten.
    open(&disk, &with(None), "boot").unwrap();
    refused(open(&disk, &with(Some(map(&[]))), "boot"), &["(users)"]);
    open(&disk, &with(Some(map(&["users"]))), "boot").unwrap();
}

fn duplicate(original: &Temporary, copy: &Temporary) {
    fs::create_dir_all(&copy.0).unwrap();
    for entry in fs::read_dir(&original.0).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.0.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_copy_of_a_directory_without_a_cluster_asks_to_join_under_a_key_of_its_own() {
    let (original, copy) = (Temporary::new("waits"), Temporary::new("waits-copy"));
    let keyed = |directory: &Temporary, key| OpenOptions {
        key,
        ..directory.options()
    };
    let key_of = |options| {
        let (disk, _) = Disk::open(options).unwrap();
        let key = disk.meta().key;
        disk.close().unwrap();
        key
    };
    assert_eq!(key_of(keyed(&original, 5)), 5);
    duplicate(&original, &copy);
    assert_eq!(key_of(keyed(&copy, 6)), 6);
    assert_eq!(key_of(keyed(&copy, 7)), 6, "which it keeps");
    assert_eq!(key_of(keyed(&original, 8)), 5);
}

#[test]
fn a_copied_directory_is_told_from_the_original_and_set_aside() {
    let original = Temporary::new("original");
    let three = |dir: &std::path::Path| OpenOptions {
        dir: dir.to_path_buf(),
        ..options(Durability::Fsync, &["n1", "n2", "n3"])
    };
    let form = |mut disk: Disk| {
        disk.set_forming(Forming::Formed { cluster_id: 7 }).unwrap();
        disk.close().unwrap();
    };
    form(Disk::open(three(&original.0)).unwrap().0);
    let copy = Temporary::new("copy");
    duplicate(&original, &copy);
    let error = Disk::open(three(&copy.0)).err().expect("a copy is refused");
    assert!(
        error.is_forgetful() && error.to_string().contains("is a copy"),
        "{error}"
    );
    // Renaming is no copying.
    let moved = Temporary::new("moved");
    std::fs::rename(&original.0, &moved.0).unwrap();
    Disk::open(three(&moved.0)).unwrap().0.close().unwrap();
    let folder = crate::disk::set_aside(&copy.0)
        .unwrap()
        .expect("there is something");
    assert!(folder.join("meta").exists() && !copy.0.join("meta").exists());
    assert_eq!(crate::disk::set_aside(&copy.0).unwrap(), None);
    let (mut disk, recovered) = Disk::open(three(&copy.0)).unwrap();
    assert_eq!(recovered.meta.forming, Forming::Empty);
    let admission = crate::disk::Admission {
        cluster_id: 7,
        generation: 1,
        peer: 4,
        membership: Membership::of_count(5),
    };
    disk.set_member(&admission).unwrap();
    disk.close().unwrap();
    let (_, recovered) = Disk::open(three(&copy.0)).unwrap();
    assert_eq!(
        (recovered.meta.peer, recovered.meta.membership),
        (4, Membership::of_count(5))
    );
}

#[test]
fn an_unformed_directory_may_change_its_mind_and_a_prepared_one_may_not() {
    let disk = FakeDisk::default();
    let opened = |options: &OpenOptions| Disk::open_in(std::sync::Arc::new(disk.mount()), options, "boot");
    opened(&single(Durability::Os)).unwrap();
    let three = options(Durability::Os, &["n1", "n2", "n3"]);
    let (mut prepared, _) = opened(&three).unwrap();
    prepared.set_forming(Forming::Prepared { cluster_id: 5 }).unwrap();
    assert_eq!(prepared.meta().identity().unwrap().generation, 1);
    drop(prepared);
    refused(
        opened(&single(Durability::Os)),
        &["belongs to node n1 of the cluster"],
    );
    // A prepared node has promised nothing about a log: a stop of the machine does not matter.
    let (mut prepared, recovered) =
        Disk::open_in(std::sync::Arc::new(disk.mount()), &three, "other boot").unwrap();
    assert_eq!(recovered.meta.forming, Forming::Prepared { cluster_id: 5 });
    prepared.set_forming(Forming::Empty).unwrap();
    prepared.set_forming(Forming::Prepared { cluster_id: 6 }).unwrap();
    prepared.set_forming(Forming::Formed { cluster_id: 6 }).unwrap();
    assert_eq!(prepared.meta().forming, Forming::Formed { cluster_id: 6 });
}

#[test]
fn only_a_cluster_node_in_os_mode_is_refused_after_an_unclean_stop_of_the_machine() {
    for (durability, voters, clean, boot, fit) in [
        (Durability::Os, &["n1", "n2", "n3"][..], false, "boot 2", false),
        (Durability::Os, &["n1", "n2", "n3"][..], false, "boot 1", true),
        (Durability::Os, &["n1", "n2", "n3"][..], true, "boot 2", true),
        (Durability::Os, &["n1"][..], false, "boot 2", true),
        (Durability::Fsync, &["n1", "n2", "n3"][..], false, "boot 2", true),
    ] {
        let disk = FakeDisk::default();
        let options = options(durability, voters);
        let (opened, _) = open(&disk, &options, "boot 1").unwrap();
        if clean {
            opened.close().unwrap();
        } else {
            drop(opened);
        }
        // The mode of the last run counts, not the one of this start.
        for now in [Durability::Os, Durability::Fsync] {
            let result = open(
                &disk,
                &OpenOptions {
                    durability: now,
                    ..options.clone()
                },
                boot,
            );
            if fit {
                let (_, recovered) = result.unwrap();
                let doubtful = durability == Durability::Os && voters.len() == 1 && now == Durability::Os;
                assert_eq!(
                    recovered.notes.len(),
                    usize::from(doubtful),
                    "{:?}",
                    recovered.notes
                );
                break;
            }
            refused(
                result,
                &["node n1", "durability `os`", "new member", "What to do"],
            );
        }
    }
}

#[test]
fn durability_none_is_not_opened() {
    refused(
        open(&FakeDisk::default(), &single(Durability::None), "boot"),
        &["durability `none`", "`os` or `fsync`"],
    );
}
