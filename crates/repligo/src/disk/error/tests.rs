//! Every error of the data directory says what to do.

use super::*;

/// What the text of an error tells to do. A new variant does not compile without a remedy here.
fn told(error: &DiskError) -> &'static str {
    match error {
        DiskError::Io { .. } => "Let the user that runs the node",
        DiskError::Full { .. } => "Free space",
        DiskError::SyncFailed { .. } => "Check the disk",
        DiskError::Locked { .. } => "Stop that process",
        DiskError::NotADataDirectory { .. } => "Give an empty directory",
        DiskError::MetaMissing { .. } => "start the other nodes",
        DiskError::HalfRestored { .. } => "Remove the directory and restore again",
        DiskError::OtherNode { .. } => "Start it with the name",
        DiskError::OtherCluster { .. } => "Put the right file back",
        DiskError::LaterLevel { .. } | DiskError::OtherShard { .. } => "Start it with the release",
        DiskError::NewerFormat { .. } => "Start it with the release",
        DiskError::OlderFormat { .. } => "form a new cluster from empty directories",
        DiskError::UncleanStop { .. } | DiskError::Copied { .. } => "start the other nodes",
        DiskError::Corrupt { .. } => "start the other nodes",
        DiskError::LogGap { .. } => "start the other nodes",
        DiskError::DataWithoutDurability { .. } => "Start with the durability",
        DiskError::Usage(_) => "give each its own",
        DiskError::Poisoned => "start the node again",
        DiskError::OtherKeyspaces { .. } => "a backup is restored under the new sections",
        DiskError::PlainKeys { .. } => "rename or delete them",
    }
}

fn every_variant() -> Vec<DiskError> {
    let (dir, path) = (PathBuf::from("/data"), PathBuf::from("/data/wal"));
    let source = || io::Error::from_raw_os_error(libc::EACCES);
    let text = || "x".to_owned();
    vec![
        DiskError::io("open", &path, source()),
        DiskError::io("write", &path, io::Error::from_raw_os_error(libc::ENOSPC)),
        DiskError::SyncFailed {
            path: path.clone(),
            source: source(),
        },
        DiskError::Locked {
            dir: dir.clone(),
            pid: text(),
        },
        DiskError::NotADataDirectory {
            dir: dir.clone(),
            found: text(),
        },
        DiskError::MetaMissing {
            dir: dir.clone(),
            found: text(),
        },
        DiskError::HalfRestored { dir: dir.clone() },
        DiskError::OtherKeyspaces {
            dir: dir.clone(),
            then: text(),
            now: text(),
        },
        DiskError::PlainKeys {
            dir: dir.clone(),
            misfit: Misfit::PlainKeys {
                count: 2,
                example: (0, b"user:7".to_vec()),
            },
        },
        DiskError::OtherNode {
            dir: dir.clone(),
            recorded: text(),
            started: text(),
        },
        DiskError::OtherCluster {
            path: path.clone(),
            found: 1,
            expected: 2,
        },
        DiskError::NewerFormat {
            path: path.clone(),
            found: 2,
            supported: 1,
        },
        DiskError::OlderFormat {
            path: path.clone(),
            found: 0,
            supported: 1,
        },
        DiskError::later_level(path.clone(), 99),
        DiskError::OtherShard {
            path: path.clone(),
            offset: 1,
            shard: 3,
        },
        DiskError::UncleanStop {
            node: text(),
            dir: dir.clone(),
        },
        DiskError::Copied {
            node: text(),
            dir: dir.clone(),
        },
        DiskError::corrupt(&path, 1, "x"),
        DiskError::LogGap {
            dir: dir.clone(),
            why: text(),
        },
        DiskError::DataWithoutDurability { dir },
        DiskError::Usage("two nodes of the cluster line have the same name; give each its own".into()),
        DiskError::Poisoned,
    ]
}

#[test]
fn every_error_says_what_to_do() {
    for error in every_variant() {
        let text = error.to_string();
        assert!(text.contains(told(&error)), "{text}");
        assert!(
            !text.contains("acknowledged had"),
            "no write was under way: {text}"
        );
    }
}

#[test]
fn only_a_disk_in_use_speaks_of_acknowledged_writes() {
    for error in every_variant() {
        let speaks = error
            .while_running()
            .contains("What it acknowledged had been written before");
        let writes = matches!(error, DiskError::Io { .. } | DiskError::Full { .. });
        assert_eq!(speaks, writes, "{error}");
    }
}

#[test]
fn the_remedy_fits_the_answer_of_the_system() {
    let check = |number: i32, part: &str| {
        let error = DiskError::io("open", Path::new("/data"), io::Error::from_raw_os_error(number));
        assert!(error.to_string().contains(part), "{error}");
    };
    check(libc::EACCES, "uid");
    check(libc::EROFS, "Mount that file system for writing");
    check(libc::ENOTDIR, "another kind");
    check(libc::EEXIST, "another kind");
    check(libc::ENOENT, "exists or can be made");
    check(libc::ENAMETOOLONG, "shorter path");
    check(libc::EMFILE, "ulimit -n");
    check(libc::EAGAIN, "ulimit -u");
    check(libc::EIO, "kernel's log");
    check(libc::EDQUOT, "quota");
}
