//! How commands change the keyspace: versions are counted, deadlines that have passed remove instead,
//! and the bound on the earliest deadline is kept.

use super::collections::{Collections, Large};
use super::database::{Database, is_alive};
use super::observer::Seen;
use super::{Keyspace, kind};
use crate::limits::RELEASED_BYTES;
use crate::table::{EntryRef, Meta};

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
    /// Writes a key, whatever was there before. With a deadline that has passed it removes what was
    /// there. False if neither changed anything.
    #[inline]
    pub(super) fn put(&mut self, db: u8, key: &[u8], new: NewValue<'_>) -> bool {
        if self.has_passed(new.deadline_ms) {
            return self.erase_if(db, key, |_, _| true);
        }
        if self.is_observed() {
            self.note_put(db, key, new.kind);
        }
        let meta = Meta {
            deadline_ms: new.deadline_ms,
            version: self.next_version(),
            kind: new.kind,
        };
        self.put_entry(db, key, (new.value, meta));
        true
    }

    /// Writes an entry with a version that is given: [`Keyspace::put`] and restoring a snapshot.
    #[inline]
    pub(super) fn put_entry(&mut self, db: u8, key: &[u8], (value, meta): (&[u8], Meta)) {
        let (hash_seed, tracking) = (self.hash_seed, self.tracking);
        let database =
            self.databases[usize::from(db)].get_or_insert_with(|| Database::new(db, hash_seed, tracking));
        database.put(key, value, meta);
        self.is_releasing |= database.is_releasing();
        self.note_deadline(meta.deadline_ms);
    }

    /// Writes an entry that refers to a large collection, of a snapshot or of another key; the deadline is that of the key.
    pub(super) fn put_collection(&mut self, db: u8, key: &[u8], (large, meta): (Large, Meta)) {
        let database = self.database_mut(db);
        database.restore(key, large, meta);
        let earliest_ms = database.take_new_deadline();
        self.note_deadline(earliest_ms.or(meta.deadline_ms));
    }

    /// The database, made if it was not there.
    pub(super) fn database_mut(&mut self, db: u8) -> &mut Database {
        let (hash_seed, tracking) = (self.hash_seed, self.tracking);
        self.databases[usize::from(db)].get_or_insert_with(|| Database::new(db, hash_seed, tracking))
    }

    /// Gives a key that exists another deadline, which counts as a write. One that has passed removes it.
    pub(super) fn put_deadline(&mut self, db: u8, key: &[u8], deadline_ms: Option<u64>) {
        if self.has_passed(deadline_ms) {
            self.erase(db, key);
            return;
        }
        if self.is_observed() {
            self.note_put(db, key, kind::STRING);
        }
        let version = self.next_version();
        if let Some(database) = self.databases[usize::from(db)].as_mut() {
            database.set_meta(key, |old| Meta {
                deadline_ms,
                version,
                ..old
            });
        }
        self.note_deadline(deadline_ms);
    }

    /// Overwrites a part of a string that exists, from `offset` on, which is at most its length.
    pub(super) fn overwrite(&mut self, db: u8, key: &[u8], (offset, bytes): (usize, &[u8])) {
        if self.is_observed() {
            self.note_put(db, key, kind::STRING_CHANGED);
        }
        let version = self.next_version();
        let deadline_ms = self.find(db, key).and_then(|entry| entry.deadline_ms);
        if let Some(database) = self.databases[usize::from(db)].as_mut() {
            let meta = Meta {
                deadline_ms,
                version,
                kind: kind::STRING_CHANGED,
            };
            database.overwrite(key, (offset, bytes), meta);
        }
    }

    /// Removes a key; true when it was there. A negative row and an expired key stay and count as absent.
    pub(super) fn erase(&mut self, db: u8, key: &[u8]) -> bool {
        let time_ms = self.time_ms;
        self.erase_if(db, key, |entry, collections| {
            entry.kind != kind::NEGATIVE && is_alive(entry, collections, time_ms)
        })
    }

    /// Removes an entry if it is accepted; true when it was removed.
    pub(super) fn erase_if(
        &mut self,
        db: u8,
        key: &[u8],
        accepts: impl FnOnce(&EntryRef<'_>, &Collections) -> bool,
    ) -> bool {
        let seen = if self.is_observed() {
            self.seen(db, key)
        } else {
            Seen::Nothing
        };
        let Some(database) = self.databases[usize::from(db)].as_mut() else {
            return false;
        };
        let is_removed = database.remove_if(key, accepts);
        self.is_releasing |= database.is_releasing();
        if is_removed && seen != Seen::Nothing {
            self.note_change((db, key), seen, Seen::Nothing);
        }
        is_removed
    }

    /// True while there is memory that is no longer in use and not yet given back: call [`Keyspace::release`].
    #[inline]
    pub fn is_releasing(&self) -> bool {
        self.is_releasing
    }

    /// Bytes of long values and buffers that are no longer in use and not yet given back.
    pub fn leaving_bytes(&self) -> usize {
        let databases = self.databases.iter().flatten();
        let values: usize = databases.map(|database| database.table().leaving_bytes()).sum();
        values + self.buffers.bytes()
    }

    /// A buffer is used no more; if it is long, its memory is given back in pieces.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        self.buffers.push_buffer(buffer);
        self.is_releasing |= self.buffers.bytes() > 0;
    }

    /// Gives back up to [`RELEASED_BYTES`] per database of what is no longer in use.
    #[cold]
    pub fn release(&mut self) {
        self.buffers.release(RELEASED_BYTES);
        self.is_releasing = self.buffers.bytes() > 0;
        for database in self.databases.iter_mut().flatten() {
            database.release(RELEASED_BYTES);
            self.is_releasing |= database.is_releasing();
        }
    }

    /// Gives the value of a key that exists another name, over what has that one.
    pub(super) fn move_entry(&mut self, db: u8, from: &[u8], to: &[u8]) {
        if self.is_observed() {
            self.note_change((db, from), Seen::Key, Seen::Nothing);
            self.note_put(db, to, kind::STRING);
        }
        let version = self.next_version();
        if let Some(database) = self.databases[usize::from(db)].as_mut() {
            database.rename(from, to, version);
            self.is_releasing |= database.is_releasing();
        }
    }

    /// Removes every entry of a database, negative rows too.
    pub(super) fn clear_database(&mut self, db: u8) {
        if self.is_observed() {
            self.note_clear();
        }
        if let Some(database) = self.databases[usize::from(db)].as_mut() {
            database.clear(self.version);
            self.is_releasing |= database.is_releasing();
        }
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
        let value = &scratch;
        self.put(
            db,
            key,
            NewValue {
                value,
                deadline_ms,
                kind,
            },
        );
        // Only an empty buffer lets go of what is beyond: a long value must not be held twice.
        scratch.clear();
        scratch.shrink_to(KEPT_BYTES_MAX);
        self.scratch = scratch;
    }

    #[inline]
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    #[inline]
    pub(super) fn has_passed(&self, deadline_ms: Option<u64>) -> bool {
        deadline_ms.is_some_and(|deadline| deadline <= self.time_ms)
    }

    #[inline]
    pub(super) fn note_deadline(&mut self, deadline_ms: Option<u64>) {
        if let Some(deadline) = deadline_ms {
            self.earliest_deadline_ms = self.earliest_deadline_ms.min(deadline);
        }
    }
}

/// What goes with a value that was built.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltMeta {
    pub deadline_ms: Option<u64>,
    pub kind: u8,
}
