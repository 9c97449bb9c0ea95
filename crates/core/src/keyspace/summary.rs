//! What INFO says of the keyspace.

use super::{Keyspace, LagHistogram};

/// Counts for INFO; of this process only, neither replicated nor in snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceCounters {
    /// Reads of a key that was there.
    pub hits: u64,
    /// Reads of a key that was not.
    pub misses: u64,
    /// Keys removed because their deadline came.
    pub expired: u64,
    /// Fields of hashes removed because theirs came.
    pub expired_fields: u64,
    /// How long after their deadlines they were removed.
    pub reclaim_lag: LagHistogram,
}

/// What INFO says of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSummary {
    /// Number of keys.
    pub keys: u64,
    /// Number of keys that have a deadline.
    pub volatile_keys: u64,
    /// Memory of its table in bytes.
    pub bytes: u64,
}

impl Keyspace {
    /// What this process counted.
    pub fn counters(&self) -> KeyspaceCounters {
        KeyspaceCounters {
            hits: self.hits.get(),
            misses: self.misses.get(),
            expired: self.expired,
            expired_fields: self.expired_fields,
            reclaim_lag: self.reclaim_lag,
        }
    }

    /// What INFO says of database `db`.
    pub fn summary(&self, db: u8) -> DatabaseSummary {
        self.database(db)
            .map_or_else(DatabaseSummary::default, |database| DatabaseSummary {
                keys: database.live_len(self.time_ms) as u64,
                volatile_keys: database.volatile_len(self.time_ms) as u64,
                bytes: database.memory_bytes() as u64,
            })
    }
}
