//! Large collections in a database: changed, handed out to snapshots, taken in, counted.

use std::sync::Arc;

use super::super::collections::{Large, Reference};
use super::super::contexts::{Changed, WRONG_TYPE};
use super::super::digest::KeyDigest;
use super::super::kind;
use super::super::snapshot::Apart;
use super::super::typed::{Parts, Typed};
use super::{Database, is_alive};
use crate::command::CommandError;
use crate::table::{EntryRef, HashSeed, Meta, Prepared};

impl Database {
    /// Changes the collection of a key with this hash, an empty one where at `time_ms` there is no such key; an empty
    /// one afterwards removes the key. `version` is asked for if anything changes, also where nothing is left: a command
    /// that is cut may leave something in one slice and nothing in the next one, and each replica cuts in its own places.
    ///
    /// # Errors
    /// If the key holds another type; nothing is called then.
    pub fn change<T: Typed, R>(
        &mut self,
        (key, hash, time_ms): (&[u8], u64, u64),
        version: impl FnOnce() -> u64,
        change: impl FnOnce(&mut T, HashSeed) -> (R, Changed),
    ) -> Result<R, CommandError> {
        let seed = self.hash_seed;
        let Self {
            table, collections, ..
        } = self;
        let old = table
            .prepare(hash, key)
            .filter(|(_, old)| old.kind != kind::NEGATIVE && is_alive(old, collections, time_ms));
        let (mut collection, deadline_ms) = match old {
            None => (T::default(), None),
            Some((_, old)) if old.kind == T::KIND => (T::from_record(old.value.to_vec()), old.deadline_ms),
            Some((place, old)) if T::is_large(old.kind) => {
                let reference = Reference::of(&old).expect("what is large is referred to");
                let old = (place, reference, old.meta());
                let change = |large, seed| {
                    let mut collection = T::from_large(large, time_ms);
                    (change(&mut collection, seed), collection)
                };
                return Ok(self.change_large((key, time_ms), old, (version, change)));
            }
            Some(_) => return Err(WRONG_TYPE),
        };
        let (result, changed) = change(&mut collection, seed);
        if changed == Changed::Nothing {
            return Ok(result);
        }
        let meta = |kind, deadline_ms| Meta {
            deadline_ms,
            version: version(),
            kind,
        };
        if collection.count() == 0 {
            self.remove_changed((key, hash), meta(T::KIND, None).version);
            return Ok(result);
        }
        match collection.into_parts() {
            Parts::Record(record) => self.put(key, &record, meta(T::KIND, deadline_ms)),
            Parts::Large(mut large) => {
                let kind = large.kind();
                let deadline_ms = large.entry_deadline_ms(deadline_ms);
                self.note_new_deadline(kind, deadline_ms);
                let reference = self.collections.insert(large);
                self.put(key, &reference.to_bytes(), meta(kind, deadline_ms));
            }
        }
        Ok(result)
    }

    fn change_large<T: Typed, R>(
        &mut self,
        (key, time_ms): (&[u8], u64),
        (place, reference, old_meta): (Prepared, Reference, Meta),
        (version, change): (
            impl FnOnce() -> u64,
            impl FnOnce(Large, HashSeed) -> ((R, Changed), T),
        ),
    ) -> R {
        let key_digest = KeyDigest::new(self.number, key);
        let of = |digest, meta| {
            let value_bytes = reference.to_bytes().len();
            key_digest
                .meta(value_bytes, meta)
                .wrapping_add(key_digest.of_content(digest))
        };
        let before = of(self.collections.get(reference).digest(), old_meta);
        let seed = self.hash_seed;
        let ((result, changed), (kind, deadline_ms)) = self.collections.change(reference, |large| {
            let key_deadline_ms = match large.volatile() {
                Some(hash) => hash.key_deadline_ms(),
                None => old_meta.deadline_ms,
            };
            let (result, collection) = change(large, seed);
            let Parts::Large(mut large) = collection.into_parts() else {
                unreachable!("what is large stays large")
            };
            let shape = (large.kind(), large.entry_deadline_ms(key_deadline_ms));
            (large, (result, shape))
        });
        if changed == Changed::Nothing {
            return result;
        }
        let large = self.collections.get(reference);
        // Where only fields are left that have expired, there is nothing to wait for.
        let is_over = large.volatile().is_some_and(|hash| !hash.is_alive(time_ms));
        if large.len() == 0 || is_over {
            // What is removed is taken off as it is now.
            let empty = of(self.collections.get(reference).digest(), old_meta);
            self.digest = self.digest.wrapping_sub(before).wrapping_add(empty);
            let hash = self.table.hash(key);
            self.remove_changed((key, hash), version());
            return result;
        }
        self.note_new_deadline(kind, deadline_ms);
        let meta = Meta {
            version: version(),
            deadline_ms,
            kind,
        };
        let after = of(self.collections.get(reference).digest(), meta);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.table.set_meta_at(place, key, meta);
        result
    }

    /// Removes a key of which a write of this version has left nothing.
    fn remove_changed(&mut self, (key, hash): (&[u8], u64), version: u64) {
        self.remove_if(key, |_, _| true);
        self.removed.note(hash, version);
    }

    /// Begins a snapshot; one that was under way is given up.
    pub fn snapshot_begin(&mut self) {
        self.snapshot_abort();
        self.table.snapshot_begin();
        self.collections.snapshot_begin();
    }

    /// The last chunk of the keyspace's snapshot has left: nothing is shared any more.
    pub fn snapshot_end(&mut self) {
        self.table.give_up_copy();
    }

    /// Gives up a snapshot, if one is under way.
    pub fn snapshot_abort(&mut self) {
        self.table.snapshot_abort();
        self.table.give_up_copy();
        self.collections.snapshot_end();
    }

    /// Hands out the next entries of the snapshot, and with them what has to leave in parts; true when they were the
    /// last.
    pub fn snapshot_next(
        &mut self,
        budget_bytes: usize,
        on_entry: &mut dyn FnMut(EntryRef<'_>, Option<Apart>),
    ) -> bool {
        let Self {
            table, collections, ..
        } = self;
        let is_done = table.snapshot_next(budget_bytes, &mut |entry, value| {
            let apart = match Reference::of(&entry) {
                Some(reference) => Some(Apart::Collection(collections.met(reference))),
                None => value
                    .filter(|value| kind::is_string(entry.kind) && value.len() > budget_bytes)
                    .map(|value| Apart::String(Arc::clone(value))),
            };
            on_entry(entry, apart);
        });
        if is_done {
            collections.snapshot_end();
        }
        is_done
    }

    /// Takes in an entry with a large collection, of a snapshot or of another key; the deadline is that of the key.
    pub fn restore(&mut self, key: &[u8], mut large: Large, meta: Meta) {
        let deadline_ms = large.entry_deadline_ms(meta.deadline_ms);
        self.note_new_deadline(meta.kind, deadline_ms);
        let meta = Meta { deadline_ms, ..meta };
        let reference = self.collections.insert(large);
        self.put(key, &reference.to_bytes(), meta);
    }

    /// Gives up what a snapshot has read to its end.
    pub fn discard(&mut self, apart: Apart) {
        match apart {
            Apart::Collection(large) => self.collections.discard(large),
            Apart::String(value) => self.table.leave(value),
        }
    }

    /// True while there is storage that is no longer in use and not yet given back.
    #[inline]
    pub fn is_releasing(&self) -> bool {
        self.table.is_releasing() || self.collections.has_remains()
    }

    /// Bytes of memory of the table and all that it refers to.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.collections.memory_bytes() + self.removed.memory_bytes()
    }

    /// Bytes of the large collection of an entry, beside the entry.
    pub fn collection_bytes(&self, entry: &EntryRef<'_>) -> usize {
        let large = Reference::of(entry).map(|reference| self.collections.get(reference));
        large.map_or(0, Large::memory_bytes)
    }
}
