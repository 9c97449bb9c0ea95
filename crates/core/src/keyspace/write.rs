//! The few ways in which entries come, change and go. Everything that alters a table is here, so that
//! version counter, digest, deadline bound and negative count cannot fall behind it.

use super::digest::entry_digest;
use super::{Database, Keyspace, kind};
use crate::table::{Meta, Table};

/// How many expired keys are removed per call into a table.
const EXPIRE_BATCH: usize = 256;

/// A value as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewValue<'a> {
    pub value: &'a [u8],
    pub deadline_ms: Option<u64>,
    pub kind: u8,
}

impl<'a> NewValue<'a> {
    /// A string as SET writes it.
    #[inline]
    pub fn string(value: &'a [u8], deadline_ms: Option<u64>) -> Self {
        Self {
            value,
            deadline_ms,
            kind: kind::STRING,
        }
    }
}

impl Keyspace {
    /// Writes a key, whatever was there before. With a deadline that has passed it removes the key.
    #[inline]
    pub(super) fn put(&mut self, db: u8, key: &[u8], new: NewValue<'_>) {
        if new.deadline_ms.is_some_and(|deadline| deadline <= self.time_ms) {
            self.erase(db, key);
            return;
        }
        self.version += 1;
        let meta = Meta {
            deadline_ms: new.deadline_ms,
            version: self.version,
            kind: new.kind,
        };
        self.put_entry(db, key, (new.value, meta));
    }

    /// Writes an entry with a version that is given: [`Keyspace::put`] and restoring a snapshot.
    #[inline]
    pub(super) fn put_entry(&mut self, db: u8, key: &[u8], (value, meta): (&[u8], Meta)) {
        let hash_seed = self.hash_seed;
        let database = self.databases[usize::from(db)].get_or_insert_with(|| new_database(hash_seed));
        let hash = database.table.hash(key);
        if let Some(old) = database.table.get(hash, key) {
            database.digest = database
                .digest
                .wrapping_sub(entry_digest(db, key, (old.value, old.meta())));
            database.negative_count -= usize::from(old.kind == kind::NEGATIVE);
        }
        database.table.insert(hash, key, value, meta);
        database.negative_count += usize::from(meta.kind == kind::NEGATIVE);
        database.digest = database.digest.wrapping_add(entry_digest(db, key, (value, meta)));
        if let Some(deadline) = meta.deadline_ms {
            self.earliest_deadline_ms = self.earliest_deadline_ms.min(deadline);
        }
    }

    /// Gives a key that exists another deadline, which counts as a write. One that has passed removes it.
    pub(super) fn put_deadline(&mut self, db: u8, key: &[u8], deadline_ms: Option<u64>) {
        if deadline_ms.is_some_and(|deadline| deadline <= self.time_ms) {
            self.erase(db, key);
            return;
        }
        let Some(database) = self.databases[usize::from(db)].as_mut() else {
            return;
        };
        let hash = database.table.hash(key);
        let Some(old) = database.table.get(hash, key) else {
            return;
        };
        self.version += 1;
        let meta = Meta {
            deadline_ms,
            version: self.version,
            kind: old.kind,
        };
        let removed = entry_digest(db, key, (old.value, old.meta()));
        let added = entry_digest(db, key, (old.value, meta));
        database.digest = database.digest.wrapping_sub(removed).wrapping_add(added);
        database.table.set_meta(hash, key, meta);
        if let Some(deadline) = deadline_ms {
            self.earliest_deadline_ms = self.earliest_deadline_ms.min(deadline);
        }
    }

    /// Removes a key; true when it was there. A negative row stays and counts as absent.
    pub(super) fn erase(&mut self, db: u8, key: &[u8]) -> bool {
        self.erase_if(db, key, |kind| kind != kind::NEGATIVE)
    }

    /// Removes an entry if its kind is accepted; true when it was removed.
    pub(super) fn erase_if(&mut self, db: u8, key: &[u8], accepts: impl FnOnce(u8) -> bool) -> bool {
        let Some(database) = self.databases[usize::from(db)].as_mut() else {
            return false;
        };
        let hash = database.table.hash(key);
        let Some(old) = database.table.get(hash, key).filter(|old| accepts(old.kind)) else {
            return false;
        };
        database.digest = database
            .digest
            .wrapping_sub(entry_digest(db, key, (old.value, old.meta())));
        database.negative_count -= usize::from(old.kind == kind::NEGATIVE);
        database.table.remove(hash, key);
        true
    }

    /// Removes every entry of a database, negative rows too.
    pub(super) fn clear_database(&mut self, db: u8) {
        let Some(database) = self.databases[usize::from(db)].as_mut() else {
            return;
        };
        database.table.clear();
        database.negative_count = 0;
        database.digest = 0;
    }

    /// Removes every entry whose deadline is not after shard time, and moves the deadline bound.
    #[cold]
    pub(super) fn remove_expired(&mut self) {
        let mut earliest = u64::MAX;
        for (db, database) in (0u8..).zip(&mut self.databases) {
            let Some(database) = database else { continue };
            let Database {
                table,
                negative_count,
                digest,
            } = &mut **database;
            loop {
                let count = table.expire_due(self.time_ms, EXPIRE_BATCH, &mut |entry| {
                    let removed = entry_digest(db, entry.key, (entry.value, entry.meta()));
                    *digest = digest.wrapping_sub(removed);
                    if entry.kind == kind::NEGATIVE {
                        *negative_count -= 1;
                    } else {
                        self.expired += 1;
                    }
                });
                if count < EXPIRE_BATCH {
                    break;
                }
            }
            earliest = earliest.min(table.next_deadline().unwrap_or(u64::MAX));
        }
        self.earliest_deadline_ms = earliest;
    }

    /// Empties the scratch buffer, lends it to `build`, writes what was built and gives the buffer back.
    pub(super) fn put_built(
        &mut self,
        db: u8,
        key: &[u8],
        build: impl FnOnce(&Self, &mut Vec<u8>) -> BuiltMeta,
    ) {
        const KEPT_BYTES_MAX: usize = 64 << 10;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let BuiltMeta { deadline_ms, kind } = build(self, &mut scratch);
        self.put(
            db,
            key,
            NewValue {
                value: &scratch,
                deadline_ms,
                kind,
            },
        );
        scratch.shrink_to(KEPT_BYTES_MAX);
        self.scratch = scratch;
    }
}

/// What goes with a value that was built.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltMeta {
    pub deadline_ms: Option<u64>,
    pub kind: u8,
}

#[cold]
fn new_database(hash_seed: u64) -> Box<Database> {
    Box::new(Database {
        table: Table::new(hash_seed),
        negative_count: 0,
        digest: 0,
    })
}
