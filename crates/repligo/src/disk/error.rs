//! What can go wrong with the data directory. Every text says what is wrong, where, and what to do.
//!
//! None of these errors is retried: those of [`super::Disk::open`] refuse to start the node and leave
//! the directory as it was; those of a running disk poison it and the node stops.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use repligo_core::mapping_fit::Misfit;
use repligo_core::section::FEATURE_LEVEL;
use repligo_proto::frame::SHARD;

/// An operating error of the data directory.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A system call failed.
    #[error("cannot {action} {}: {source}. {}", path.display(), remedy(source))]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error(
        "no space left for {}: {source}. Free space on that file system, or raise the quota, or move the \
         directory to a larger one, then start the node again",
        path.display()
    )]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync of the log failed.
    #[error(
        "cannot sync {}: {source}. The kernel may have thrown away what it could not write, so the node stops \
         and does not try again; nothing unsynced counts as synced. Check the disk (the kernel's log says \
         more), then start the node again",
        path.display()
    )]
    SyncFailed {
        /// The log segment.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error(
        "the data directory {} is in use by process {pid}. Stop that process, or start this node with \
         another --data-dir",
        dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Process id found in the lock file, or `unknown`.
        pid: String,
    },
    /// The directory holds something, but not our data.
    #[error(
        "{} is not a Repligo data directory: it is not empty and has no `meta` file (found `{found}`). \
         Give an empty directory, or one that Repligo has written, with --data-dir",
        dir.display()
    )]
    NotADataDirectory {
        /// The directory.
        dir: PathBuf,
        /// One of the files that we do not know.
        found: String,
    },
    /// Log or snapshot without the file that says whose they are.
    #[error(
        "the data directory {} has lost its `meta` file (`{found}` is there). Without it nobody knows whose \
         data this is, so it is not used. A node of a cluster comes back as a new member as soon as a majority \
         runs: start the other nodes. For a single node put the file back if you have it",
        dir.display()
    )]
    MetaMissing {
        /// The directory.
        dir: PathBuf,
        /// A data file that was found.
        found: String,
    },
    /// The data was made under other `[[keyspace]]` sections.
    #[error(
        "the data in {} was made with other [[keyspace]] sections ({then}) than this start has ({now}); what a key is \
         depends on them, so they stay as they are for as long as the data does. Start with the configuration of before; \
         to change it, see `Change what is mapped` in docs/operations.md: a backup is restored under the new sections",
        dir.display()
    )]
    OtherKeyspaces {
        /// The directory.
        dir: PathBuf,
        /// Names of the sections of the data.
        then: String,
        /// Names of those of the start.
        now: String,
    },
    /// Restored keys would become rows that are in no table.
    #[error(
        "the data in {} cannot be used with these [[keyspace]] sections: {misfit}. They are in no table, and would hide its \
         rows. Start without the sections and rename or delete them, then take a new backup; or give the keyspace \
         another pattern",
        dir.display()
    )]
    PlainKeys {
        /// The directory.
        dir: PathBuf,
        /// What is in the way.
        misfit: Misfit,
    },
    /// A restore was killed.
    #[error(
        "the data directory {} is half of a restore that did not end, and a node that started with it would found an empty \
         cluster. Remove the directory and restore again",
        dir.display()
    )]
    HalfRestored {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory belongs to another node or another set of nodes.
    #[error(
        "the data directory {} belongs to {recorded}, but this node was started as {started}. Start it with \
         the name and the cluster line that the directory was made with, or give another --data-dir",
        dir.display()
    )]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Name and cluster in the directory.
        recorded: String,
        /// Name and cluster of the command line.
        started: String,
    },
    /// A file of another cluster lies in the directory.
    #[error(
        "{} belongs to cluster {found:032x}, but the directory's `meta` says cluster {expected:032x}. Files of \
         two clusters were mixed. Put the right file back from a copy of the directory, or start with an \
         empty directory",
        path.display()
    )]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// Cluster id in it.
        found: u128,
        /// Cluster id in `meta`.
        expected: u128,
    },
    /// Written by a later release.
    #[error(
        "{} has storage format {found}; this release reads format {supported}. Start it with the \
         release that wrote it or a later one",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read here.
        supported: u32,
    },
    /// Written by a later release, in the same format, but with something in it that this one does not know.
    #[error(
        "{} needs feature level {found}; this release has {supported}. Start it with the release that wrote it or a \
         later one",
        path.display()
    )]
    LaterLevel {
        /// The file.
        path: PathBuf,
        /// The level that it needs.
        found: u64,
        /// The level of this release.
        supported: u64,
    },
    /// The log of a node with several shards.
    #[error(
        "{} has a record of shard {shard} at byte {offset}; this release has one shard, number {SHARD}. Start it with \
         the release that wrote it or a later one",
        path.display()
    )]
    OtherShard {
        /// The segment.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Its shard.
        shard: u16,
    },
    /// Written by an earlier release, in a format that is no longer read.
    #[error(
        "{} has storage format {found}, of an earlier release; this one reads format {supported}. \
         What to do: start the directory with the release that wrote it; to change to this one, \
         form a new cluster from empty directories (another --data-dir) and load it from the old one or from \
         the source of its data",
        path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read here.
        supported: u32,
    },
    /// The machine went down under a cluster node that runs without syncs.
    #[error(
        "the machine stopped (or a sync failed) while node {node} was running with durability `os`, so the last \
         second of its log in {} may be gone. A node that has forgotten what it promised must not vote or count: it \
         comes back as a new member that learns everything from the others, as soon as a majority of the cluster \
         runs. What to do: start the other nodes. If no majority of them is left, see `repligo cluster recover --help`. Use \
         --durability fsync where machines lose power",
        dir.display()
    )]
    UncleanStop {
        /// The node's name.
        node: String,
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory is not where it was written.
    #[error(
        "the data directory {} is a copy of that of node {node}: a copy may lack what the node acknowledged after \
         it was made, and must not vote or count. It comes back as a new member that learns everything from the \
         others, as soon as a majority of the cluster runs. What to do: start the other nodes, and never run a \
         copy beside its original",
        dir.display()
    )]
    Copied {
        /// The node's name.
        node: String,
        /// The data directory.
        dir: PathBuf,
    },
    /// Bytes that were safely on disk have changed.
    #[error(
        "{} is damaged at offset {offset}: {why}. This was written and kept before, so it is not an unfinished \
         write, and nothing is cut off or skipped. The directory was left as it was. Check the disk. A node of a \
         cluster comes back as a new member as soon as a majority runs: start the other nodes, they hold every \
         acknowledged write",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Byte offset in the file.
        offset: u64,
        /// What does not fit.
        why: String,
    },
    /// The log does not reach back to the snapshot, or a whole file is gone.
    #[error(
        "the log in {} is not complete: {why}. The directory was left as it is. A node of a cluster comes back as \
         a new member as soon as a majority runs: start the other nodes, they hold every acknowledged write. For a \
         single node put the missing file back if you have it",
        dir.display()
    )]
    LogGap {
        /// The directory.
        dir: PathBuf,
        /// What is missing.
        why: String,
    },
    /// `--durability none` on a directory that holds data.
    #[error(
        "the data directory {} holds data, and with durability `none` the node would neither load nor update \
         it. Start with the durability it was written with, or give another --data-dir",
        dir.display()
    )]
    DataWithoutDurability {
        /// The directory.
        dir: PathBuf,
    },
    /// The command line does not fit together.
    #[error("{0}")]
    Usage(String),
    /// An earlier error stopped this disk.
    #[error(
        "the disk of this node stopped after an earlier error (see the log above). It writes nothing more; \
         start the node again once the cause is removed"
    )]
    Poisoned,
}

impl DiskError {
    /// The directory may have forgotten what its node promised, while the other nodes may have it.
    pub fn is_forgetful(&self) -> bool {
        matches!(
            self,
            Self::UncleanStop { .. }
                | Self::Copied { .. }
                | Self::Corrupt { .. }
                | Self::LogGap { .. }
                | Self::MetaMissing { .. }
        )
    }

    /// Wraps the failure of a system call; a full disk gets its own text.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> DiskError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full { path, source },
            _ => DiskError::Io { action, path, source },
        }
    }

    /// A file of another format than the one that is read here.
    pub(super) fn other_format(path: PathBuf, found: u32) -> DiskError {
        let supported = super::meta::FORMAT;
        if found < supported {
            DiskError::OlderFormat {
                path,
                found,
                supported,
            }
        } else {
            DiskError::NewerFormat {
                path,
                found,
                supported,
            }
        }
    }

    /// A file that a later release wrote with more in it than this one knows.
    pub(super) fn later_level(path: PathBuf, found: u64) -> DiskError {
        DiskError::LaterLevel {
            path,
            found,
            supported: FEATURE_LEVEL,
        }
    }

    /// The text for a disk that was in use, with what became of the writes.
    pub fn while_running(&self) -> String {
        match self {
            DiskError::Io { .. } | DiskError::Full { .. } => format!(
                "{self}. The node stops. What it acknowledged had been written before; what it had not answered may \
                 or may not be applied"
            ),
            _ => self.to_string(),
        }
    }

    /// Damage at an offset of a file.
    pub(super) fn corrupt(path: &Path, offset: u64, why: impl Into<String>) -> DiskError {
        DiskError::Corrupt {
            path: path.to_path_buf(),
            offset,
            why: why.into(),
        }
    }
}

/// What to do about the system's answer.
fn remedy(source: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match (source.kind(), source.raw_os_error()) {
        (Kind::PermissionDenied, _) => {
            let user = std::fs::metadata("/proc/self")
                .map_or_else(|_| "unknown".into(), |own| own.uid().to_string());
            format!(
                "Let the user that runs the node (uid {user}) read and write there, or give another directory with \
                 --data-dir"
            )
        }
        (Kind::ReadOnlyFilesystem, _) => {
            "Mount that file system for writing, or give a directory on another one with --data-dir".into()
        }
        (Kind::NotADirectory | Kind::AlreadyExists | Kind::IsADirectory, _) => {
            "Something of another kind has that name: remove it, or give another directory with --data-dir"
                .into()
        }
        (Kind::NotFound, _) => "Give a directory that exists or can be made with --data-dir".into(),
        (_, Some(libc::EMFILE | libc::ENFILE)) => {
            "Raise the limit of open files (ulimit -n), then start the node again".into()
        }
        (_, Some(libc::ENAMETOOLONG)) => "Give a shorter path with --data-dir".into(),
        (Kind::WouldBlock, _) => {
            "Raise the limit of processes and threads (ulimit -u), then start the node again".into()
        }
        _ => "Check the disk and its mount (the kernel's log says more), then start the node again".into(),
    }
}

#[cfg(test)]
mod tests;
