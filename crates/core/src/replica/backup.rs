//! A snapshot on this node's disk that somebody asks for, to read it from there; and lanes of a state that was
//! restored from one.
//!
//! What is asked for is a snapshot that holds everything that is applied now. If the one on disk does not, a walk
//! begins, whoever leads; a walk that has begun before may hold enough too.

use super::Replica;
use crate::contract::Durability;
use crate::limits::DATABASES;
use crate::origin::Lanes;

/// Why there will be no snapshot on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSnapshot {
    /// Durability `none` writes nothing.
    Volatile,
    /// Nothing has been applied here yet.
    Empty,
    /// This node is no member any more.
    Removed,
    /// The disk is full.
    Full,
}

impl NoSnapshot {
    /// One sentence and the remedy.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Volatile => {
                "this node runs with durability `none` and keeps no files to back up: use `repligo export`"
            }
            Self::Empty => "this node holds nothing yet: try again when it serves, or ask another node",
            Self::Removed => "this node is no member of the cluster any more: ask another node",
            Self::Full => {
                "the disk of this node is full, so no snapshot can be written: free space, or ask another node"
            }
        }
    }
}

impl Replica {
    /// Asks for a snapshot on disk that holds everything that is applied now, and gives the index that it has at
    /// least: it is there as soon as [`Replica::snapshot_index`] is that.
    ///
    /// # Errors
    /// Why there will be none.
    pub fn ask_for_snapshot(&mut self) -> Result<u64, NoSnapshot> {
        if self.settings.durability == Durability::None {
            return Err(NoSnapshot::Volatile);
        }
        if self.removed {
            return Err(NoSnapshot::Removed);
        }
        if self.applied == 0 {
            return Err(NoSnapshot::Empty);
        }
        if self.space.is_full() {
            return Err(NoSnapshot::Full);
        }
        self.snapshots.asked_index = self.snapshots.asked_index.max(self.applied);
        Ok(self.applied)
    }

    /// Index of the snapshot on disk, 0 for none.
    pub fn snapshot_index(&self) -> u64 {
        self.snapshots.saved_index
    }

    /// Bytes that the walk that is under way has given out so far, 0 without one.
    pub fn snapshot_walked_bytes(&self) -> u64 {
        self.snapshots.walk.as_ref().map_or(0, |walk| walk.bytes)
    }

    /// Lanes of a new history. The origins have the rows: what the state holds of them is of another time, and goes,
    /// also that of keyspaces which are not configured any more.
    pub(super) fn begin_lanes(&mut self) {
        for database in 0..DATABASES as u8 {
            self.keyspace.forget_rows_where(database, &|_| true);
        }
        self.lanes = Lanes::new(self.settings.origin.clone());
    }
}
