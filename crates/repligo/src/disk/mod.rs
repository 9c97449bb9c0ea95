//! The disk: write-ahead log, snapshots, metadata, recovery.
//!
//! [`Disk::open`] locks a data directory, judges it, and returns what it holds as
//! [`contract::Boot`](repligo_core::contract::Boot). [`Disk::start`] then runs the threads that execute
//! the core's [`Persist`](repligo_core::contract::Persist)s and snapshot pieces and report what is
//! durable. Nothing here decides about consensus: it stores, and says what is stored.
//!
//! Invariants:
//! 1. Nothing is reported persisted that is not on disk as the durability mode demands.
//! 2. A persist is all or nothing: recovery ends between two persists, never inside one.
//! 3. Bytes that were known to be synced and changed are never cut off, skipped or overwritten: the
//!    directory is refused as it is.
//! 4. After the first failed write or sync nothing more is written; the node has to stop. A write that found no room
//!    is no failure: it waits ([`space`]).
//!
//! The formats are in `docs/storage-format.md`.

mod aside;
mod backup;
mod codec;
mod direct;
mod error;
mod handle;
mod judge;
mod keyspaces;
mod lock;
mod members;
mod meta;
mod metrics;
mod open;
mod pieces;
mod record;
mod recover;
mod recycle;
mod repair;
mod replay;
mod restore;
mod segment;
mod snapshot;
mod space;
mod storage;
mod wal;

pub use aside::set_aside;
pub use backup::{BackupFacts, BackupFlaw, BackupReader, OpenSnapshot, SnapshotSource};
pub use error::DiskError;
pub use handle::{DiskDone, DiskHandle};
pub use lock::{DirectoryLock, LOCK_FILE, PID_FILE};
pub use members::is_member;
pub use meta::{FORMAT, Forming, META_FILE, Meta, NAME_BYTES_MAX};
pub use metrics::DiskMetrics;
pub use open::{Admission, BOOT_ID_VARIABLE, Disk, OpenOptions, Recovered, SEGMENT_BYTES};
pub use recover::Survivor;
pub use restore::{Founder, RestoreError, restore};

#[cfg(test)]
mod tests;
