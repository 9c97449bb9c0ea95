//! The running disk as the worker sees it.

use repligo_core::contract::{Persist, Send, SnapshotIo};

use super::error::DiskError;
use super::metrics::DiskMetrics;

/// What the disk reports, from its own threads.
#[derive(Debug)]
pub enum DiskDone {
    /// All persists up to and including `number` are durable by the mode: give
    /// [`Input::Persisted`](repligo_core::contract::Input::Persisted) to the core and let `sends` leave.
    Persisted {
        /// Number of the last one.
        number: u64,
        /// Their `then_send`s, in order.
        sends: Vec<Send>,
    },
    /// A snapshot is complete and durable.
    SnapshotSaved {
        /// Index of the last entry that it contains.
        index: u64,
    },
    /// The disk failed and does nothing more: log the text and stop the node. Reported once; what was
    /// submitted and not reported persisted stays unanswered.
    Fatal(DiskError),
}

/// Takes the core's persists and snapshot pieces; owned by the worker.
pub struct DiskHandle {}

impl DiskHandle {
    /// Queues a persist. Never blocks; bounded by the core's own limits.
    pub fn submit(&self, _persist: Persist) {
        todo!()
    }

    /// Queues a piece of a snapshot. Give all pieces of a step before its persists.
    pub fn snapshot(&self, _piece: SnapshotIo) {
        todo!()
    }

    /// Bytes of snapshot pieces queued and not yet written: a producer that reads from memory faster
    /// than the disk writes should pause above some limit.
    pub fn snapshot_backlog_bytes(&self) -> u64 {
        todo!()
    }

    /// A reading of the counters.
    pub fn metrics(&self) -> DiskMetrics {
        todo!()
    }

    /// Clean stop: writes and reports everything queued, syncs, sets the clean mark, removes `node.pid`
    /// and unlocks the directory. Blocks meanwhile. Dropping the handle instead counts as a crash.
    ///
    /// # Errors
    /// The last step that failed; the clean mark is then not set.
    pub fn close(self) -> Result<(), DiskError> {
        todo!()
    }
}
