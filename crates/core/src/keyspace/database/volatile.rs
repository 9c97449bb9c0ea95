//! Hashes whose fields have deadlines, in a database: who is alive, what is due, and the two deadlines of such an entry.
//!
//! The entry of a volatile hash has the earliest of the deadlines of its key and of its fields, so that it stands in the
//! order of deadlines where something is to be done. What commands call the deadline of the key is the hash's own.

use super::super::collections::{Collections, Reference};
use super::super::digest::KeyDigest;
use super::super::kind;
use super::{Database, entry_digest};
use crate::table::{EntryRef, Meta};

/// Whether commands see an entry at this shard time: what is due of a hash may be some of its fields.
#[inline]
pub(in crate::keyspace) fn is_alive(entry: &EntryRef<'_>, collections: &Collections, time_ms: u64) -> bool {
    entry
        .deadline_ms
        .is_none_or(|deadline_ms| deadline_ms > time_ms || outlives(entry, collections, time_ms))
}

#[cold]
fn outlives(entry: &EntryRef<'_>, collections: &Collections, time_ms: u64) -> bool {
    let hash = collections.volatile(entry);
    hash.is_some_and(|hash| hash.is_alive(time_ms))
}

/// Something whose deadline has come.
#[derive(Clone, Copy, Debug)]
pub(in crate::keyspace) enum Due<'a> {
    /// An entry, which goes.
    Entry(EntryRef<'a>),
    /// A field, which went, by its deadline in milliseconds.
    Field(u64),
    /// A hash some of whose fields went, and whether it went with its last one.
    Hash(&'a [u8], bool),
}

impl Database {
    /// The deadline of a key, by its entry.
    pub fn key_deadline_ms(&self, entry: &EntryRef<'_>) -> Option<u64> {
        match self.collections.volatile(entry) {
            None => entry.deadline_ms,
            Some(hash) => hash.key_deadline_ms(),
        }
    }

    /// Number of keys with deadlines of their own later than `now_ms`, negative rows included.
    pub fn volatile_len(&self, now_ms: u64) -> usize {
        let later = self.table.volatile_len() - self.table.due_len(now_ms);
        if !self.collections.has_volatile() {
            return later;
        }
        let (mut staying, mut later_fields_only) = (0, self.collections.fields_only_count());
        for hash in self
            .table
            .due(now_ms)
            .filter_map(|entry| self.collections.volatile(&entry))
        {
            match hash.key_deadline_ms() {
                Some(_) => staying += usize::from(hash.is_alive(now_ms)),
                None => later_fields_only -= 1,
            }
        }
        (later + staying).saturating_sub(later_fields_only)
    }

    /// The earliest deadline after a time, of a key or of one of its fields, by its entry.
    pub fn next_deadline_of(&self, entry: &EntryRef<'_>, time_ms: u64) -> Option<u64> {
        match self.collections.volatile(entry) {
            None => entry.deadline_ms.filter(|deadline_ms| *deadline_ms > time_ms),
            Some(hash) => hash.next_deadline_after(time_ms),
        }
    }

    /// A time after this one and at or before the earliest deadline of what is alive then. While fields wait for their
    /// removal it is the next instant: a hash stands in the order where the first of them was due, so that where the
    /// next of its fields ends is not known there.
    pub fn next_deadline_after(&self, time_ms: u64) -> Option<u64> {
        let is_behind = || {
            let earliest = self.table.next_deadline();
            earliest.is_some_and(|deadline_ms| deadline_ms <= time_ms)
        };
        match self.collections.has_volatile() && is_behind() {
            true => Some(time_ms.saturating_add(1)),
            false => self.table.next_deadline_after(time_ms),
        }
    }

    /// The earliest deadline that an entry got from its fields since the last call.
    #[inline]
    pub fn take_new_deadline(&mut self) -> Option<u64> {
        self.new_deadline_ms.take()
    }

    #[inline]
    pub(super) fn note_new_deadline(&mut self, kind: u8, deadline_ms: Option<u64>) {
        if kind == kind::HASH_VOLATILE {
            self.new_deadline_ms = self.new_deadline_ms.into_iter().chain(deadline_ms).min();
        }
    }

    /// As [`Database::set_meta`], of a hash whose fields may have deadlines.
    #[cold]
    pub(super) fn set_volatile_meta(
        &mut self,
        (key, hash): (&[u8], u64),
        (reference, entry_meta): (Reference, Meta),
        change: impl FnOnce(Meta) -> Meta,
    ) {
        let digest_before = self.digest_of(key, hash);
        let meta = self.collections.change(reference, |mut large| {
            let deadline_ms = large.volatile().and_then(|hash| hash.key_deadline_ms());
            let meta = change(Meta {
                deadline_ms,
                ..entry_meta
            });
            let deadline_ms = large.entry_deadline_ms(meta.deadline_ms);
            (large, Meta { deadline_ms, ..meta })
        });
        self.table.set_meta(hash, key, meta);
        self.note_new_deadline(meta.kind, meta.deadline_ms);
        let digest_after = self.digest_of(key, hash);
        self.digest = self.digest.wrapping_sub(digest_before).wrapping_add(digest_after);
    }

    /// What the digest has for a key with a large collection.
    fn digest_of(&self, key: &[u8], hash: u64) -> u128 {
        let entry = self.table.get(hash, key).expect("the caller has looked");
        entry_digest(&KeyDigest::new(self.number, key), (&entry, 0), &self.collections)
    }

    /// Removes what is due at `now_ms` or earlier, entries and fields, at most `limit` together, in the order of deadline
    /// and key; returns how many, where a long field counts as several, and shows each. A hash that has lost fields gets
    /// the next `version`, as after a write.
    pub fn remove_due(
        &mut self,
        (now_ms, limit): (u64, usize),
        version: &mut u64,
        on_due: &mut dyn FnMut(Due<'_>),
    ) -> usize {
        let mut removed = 0;
        loop {
            removed += self.remove_due_entries(now_ms, limit - removed, on_due);
            let next = self.table.next_due().filter(|entry| {
                entry.kind == kind::HASH_VOLATILE
                    && entry.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms)
            });
            let Some(key) = next.map(|entry| Box::<[u8]>::from(entry.key)) else {
                return removed;
            };
            if removed == limit {
                return removed;
            }
            // However long the first one is, each entry gets further.
            let within = (limit - removed, removed == 0);
            let used = self.remove_due_of(&key, (now_ms, within), version, on_due);
            if used == 0 {
                return removed;
            }
            removed += used;
        }
    }

    /// Removes entries that are due up to the first hash of which only fields may be.
    fn remove_due_entries(&mut self, now_ms: u64, limit: usize, on_due: &mut dyn FnMut(Due<'_>)) -> usize {
        let Self {
            table,
            collections,
            negative_count,
            digest,
            number,
            removed: noted,
            ..
        } = self;
        table.expire_due(now_ms, limit, &mut |hash, entry, note| {
            if entry.kind == kind::HASH_VOLATILE {
                return false;
            }
            noted.note(hash, entry.version);
            let removed = entry_digest(&KeyDigest::new(*number, entry.key), (&entry, note), collections);
            *digest = digest.wrapping_sub(removed);
            if let Some(reference) = Reference::of(&entry) {
                collections.remove(reference);
            }
            *negative_count -= usize::from(entry.kind == kind::NEGATIVE);
            on_due(Due::Entry(entry));
            true
        })
    }

    /// Removes a volatile hash whose key is due, or those of its fields that are and fit into the limit, see
    /// [`VolatileHash::remove_due`](crate::collection::VolatileHash::remove_due); returns how much of it is used up.
    fn remove_due_of(
        &mut self,
        key: &[u8],
        (now_ms, (limit, takes_one)): (u64, (usize, bool)),
        version: &mut u64,
        on_due: &mut dyn FnMut(Due<'_>),
    ) -> usize {
        let hash = self.table.hash(key);
        let entry = self.table.get(hash, key).expect("it is the next one due");
        let (reference, old_meta) = (Reference::of(&entry), entry.meta());
        let reference = reference.expect("a volatile hash is referred to");
        if self
            .key_deadline_ms(&entry)
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            on_due(Due::Entry(entry));
            self.remove_if(key, |_, _| true);
            return 1;
        }
        let digest_before = self.digest_of(key, hash);
        let (count, deadline_ms, is_empty) = self.collections.change(reference, |mut large| {
            let fields = large.volatile_mut().expect("its kind says so");
            let count = fields.remove_due(now_ms, (limit as u64, takes_one), &mut |deadline_ms| {
                on_due(Due::Field(deadline_ms));
            });
            let left = (count, fields.earliest_deadline_ms(), fields.is_empty());
            (large, left)
        });
        if count == 0 {
            return 0;
        }
        *version += 1;
        let meta = Meta {
            deadline_ms,
            version: *version,
            ..old_meta
        };
        self.table.set_meta(hash, key, meta);
        let digest_after = self.digest_of(key, hash);
        self.digest = self.digest.wrapping_sub(digest_before).wrapping_add(digest_after);
        on_due(Due::Hash(key, is_empty));
        if is_empty {
            self.remove_if(key, |_, _| true);
        }
        count as usize
    }
}
