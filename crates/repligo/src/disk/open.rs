//! Opening a data directory: whose is it, how did its last run end, what does it hold.

use std::path::PathBuf;

use repligo_core::contract::{Boot, Durability};

use super::error::DiskError;
use super::handle::{DiskDone, DiskHandle};
use super::meta::{Forming, Meta};

/// Bytes of one log segment.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// How to open a data directory.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The directory; made if it is missing.
    pub dir: PathBuf,
    /// [`Durability::Os`] or [`Durability::Fsync`]. With [`Durability::None`] there is nothing to open:
    /// see [`super::DirectoryLock::acquire_without_data`].
    pub durability: Durability,
    /// This node's name.
    pub node: String,
    /// Names of all voters, this node's included, in any order. One voter makes a single node.
    pub voters: Vec<String>,
    /// Size of a log segment. [`SEGMENT_BYTES`] but in tests.
    pub segment_bytes: u64,
}

impl OpenOptions {
    /// Options with the default segment size.
    pub fn new(
        dir: impl Into<PathBuf>,
        durability: Durability,
        node: &str,
        voters: &[String],
    ) -> OpenOptions {
        OpenOptions {
            dir: dir.into(),
            durability,
            node: node.into(),
            voters: voters.to_vec(),
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// What was found in a data directory.
#[derive(Debug)]
pub struct Recovered {
    /// For the core.
    pub boot: Boot,
    /// As of now: `incarnation` is already this run's.
    pub meta: Meta,
    /// What an operator should know, one sentence each: a torn tail that was cut, writes that may be gone.
    pub notes: Vec<String>,
}

/// An open data directory whose threads do not run yet.
pub struct Disk {}

impl Disk {
    /// Locks the directory, checks it and reads what it holds.
    ///
    /// A directory that is refused is left as it is. One that is accepted has its incarnation counted up
    /// and its clean mark removed, durably, before this returns.
    ///
    /// # Errors
    /// Every way in which a directory can be unfit; see [`DiskError`].
    pub fn open(_options: OpenOptions) -> Result<(Disk, Recovered), DiskError> {
        todo!()
    }

    /// The directory's metadata.
    pub fn meta(&self) -> &Meta {
        todo!()
    }

    /// Moves on in forming a cluster, durably: `Empty` → `Prepared` → `Formed`, `Prepared` → `Empty`, or
    /// `Empty` → `Formed` (a single node). Leaving `Empty` sets the generation to 1.
    ///
    /// # Errors
    /// An IO error; nothing has changed then, as far as anyone may rely on it.
    ///
    /// # Panics
    /// Leaving `Formed`, or changing a prepared cluster's id: bugs of the caller.
    pub fn set_forming(&mut self, _forming: Forming) -> Result<(), DiskError> {
        todo!()
    }

    /// Starts the disk's threads. `on_done` is called from them and must not block.
    ///
    /// # Errors
    /// IO errors while the log's first segment is made.
    ///
    /// # Panics
    /// Unless the directory is `Formed`.
    pub fn start(self, _on_done: impl Fn(DiskDone) + Send + Sync + 'static) -> Result<DiskHandle, DiskError> {
        todo!()
    }

    /// Clean stop without having started: sets the clean mark and unlocks.
    ///
    /// # Errors
    /// An IO error; the clean mark is then not set.
    pub fn close(self) -> Result<(), DiskError> {
        todo!()
    }
}
