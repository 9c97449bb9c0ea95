//! One database: a table, and what is known of all its entries together.
//!
//! Everything that alters a table is here, so that digest and negative count cannot fall behind it.
//! Versions and time are the keyspace's business.

use super::collections::{Collections, Reference};
use super::digest::{self, KeyDigest, WHOLE_BYTES_MAX};
use super::kind;
use super::removed::Removed;
use crate::eviction::Tracking;
use crate::table::{EntryRef, HashSeed, Meta, Noted, Table};

mod change;
mod volatile;

pub(super) use volatile::{Due, is_alive};

/// One of the sixteen.
#[derive(Debug)]
pub(super) struct Database {
    /// Under which it was made; its place may be another one since.
    number: u8,
    /// Version of the last exchange, 0 without one.
    exchange_version: u64,
    table: Table,
    hash_seed: HashSeed,
    /// What entries of the table refer to.
    collections: Collections,
    /// How many entries of the table are negative rows.
    negative_count: usize,
    /// Something was known of a row since it was cleared last.
    has_had_rows: bool,
    /// Sum of [`KeyDigest::entry`] over all entries; kept per database so that FLUSHDB has not to walk
    /// what it drops.
    digest: u128,
    removed: Removed,
    /// The earliest deadline that an entry got from its fields, until somebody asks.
    new_deadline_ms: Option<u64>,
}

impl Database {
    #[cold]
    pub fn new(number: u8, hash_seed: HashSeed, tracking: Tracking) -> Box<Self> {
        let mut table = Table::new(hash_seed);
        table.track(tracking);
        Box::new(Self {
            number,
            exchange_version: 0,
            table,
            hash_seed,
            collections: Collections::default(),
            negative_count: 0,
            has_had_rows: false,
            digest: 0,
            removed: Removed::default(),
            new_deadline_ms: None,
        })
    }

    /// The number under which it was made.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Version of the last exchange with another database, 0 without one.
    #[inline]
    pub fn exchange_version(&self) -> u64 {
        self.exchange_version
    }

    /// It takes another place.
    pub fn note_exchange(&mut self, version: u64) {
        self.exchange_version = version;
    }

    /// Takes what a snapshot says of exchanges, while it is empty.
    pub fn restore_exchange(&mut self, number: u8, version: u64) {
        assert_eq!(self.table.len(), 0, "digests of entries depend on the number");
        (self.number, self.exchange_version) = (number, version);
    }

    /// To look at. Changes go through the functions below.
    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The large collections, to look at.
    #[inline]
    pub fn collections(&self) -> &Collections {
        &self.collections
    }

    /// Number of keys, expired ones that are still here included; negative rows are none.
    #[inline]
    fn len(&self) -> usize {
        self.table.len() - self.negative_count
    }

    #[inline]
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Writes an entry, whatever was there before.
    #[inline]
    pub fn put(&mut self, key: &[u8], value: &[u8], meta: Meta) {
        let Self {
            table,
            collections,
            negative_count,
            digest,
            ..
        } = self;
        let key_digest = KeyDigest::new(self.number, key);
        let hash = table.hash(key);
        let note = digest::content(value);
        let new = EntryRef::new(key, value, meta);
        *digest = digest.wrapping_add(entry_digest(&key_digest, (&new, note), collections));
        *negative_count += usize::from(meta.kind == kind::NEGATIVE);
        table.insert_over(hash, (key, Noted { value, note }), meta, |old, note| {
            *digest = digest.wrapping_sub(entry_digest(&key_digest, (&old, note), collections));
            if let Some(reference) = Reference::of(&old) {
                collections.remove(reference);
            }
            *negative_count -= usize::from(old.kind == kind::NEGATIVE);
        });
    }

    /// Changes everything but the value of an entry that exists and whose kind stays what it is; the deadline is that of
    /// the key.
    pub fn set_meta(&mut self, key: &[u8], change: impl FnOnce(Meta) -> Meta) {
        let hash = self.table.hash(key);
        let Some(old) = self.table.get(hash, key) else {
            return;
        };
        let (old_meta, length) = (old.meta(), old.value.len());
        if let Some(reference) = Reference::of(&old).filter(|_| old_meta.kind == kind::HASH_VOLATILE) {
            return self.set_volatile_meta((key, hash), (reference, old_meta), change);
        }
        let meta = change(old_meta);
        debug_assert_eq!(meta.kind, old_meta.kind, "the negative count depends on it");
        let key_digest = KeyDigest::new(self.number, key);
        let removed = key_digest.meta(length, old_meta);
        self.digest = self
            .digest
            .wrapping_sub(removed)
            .wrapping_add(key_digest.meta(length, meta));
        self.table.set_meta(hash, key, meta);
    }

    /// Overwrites a part of the value of a string that exists, or continues it; `offset` lies in the
    /// value or at its end. The work depends on the length of `bytes`, not on that of the value.
    pub fn overwrite(&mut self, key: &[u8], (offset, bytes): (usize, &[u8]), meta: Meta) {
        let Self {
            table, digest: sum, ..
        } = self;
        let (key_digest, hash) = (KeyDigest::new(self.number, key), table.hash(key));
        let end = offset + bytes.len();
        let Some(old) = table.get(hash, key) else { return };
        let length = old.value.len();
        assert!(
            offset <= length && old.kind != kind::NEGATIVE && kind::is_string(old.kind),
            "there is a string that reaches the offset"
        );
        let (was_long, is_long) = (length > WHOLE_BYTES_MAX, length.max(end) > WHOLE_BYTES_MAX);
        let mut note = if was_long { table.note(hash, key) } else { 0 };
        let removed = key_digest
            .meta(length, old.meta())
            .wrapping_add(match (was_long, is_long) {
                (true, _) => {
                    let removed = key_digest.of_content(note);
                    note = note.wrapping_sub(digest::content_part(old.value, offset, end));
                    removed
                }
                (false, true) => key_digest.part(old.value, 0, length),
                (false, false) => key_digest.part(old.value, offset, end),
            });
        let (inside, behind) = bytes.split_at(bytes.len().min(length - offset));
        if !inside.is_empty() {
            let value = table.value_mut(hash, key).expect("it was found above");
            value[offset..offset + inside.len()].copy_from_slice(inside);
        }
        if !behind.is_empty() {
            table.append(hash, key, behind);
        }
        table.set_meta(hash, key, meta);
        let new = table.get(hash, key).expect("it was found above");
        let added = key_digest.meta(new.value.len(), meta).wrapping_add(if is_long {
            let (from, to) = if was_long {
                (offset, end)
            } else {
                (0, new.value.len())
            };
            note = note.wrapping_add(digest::content_part(new.value, from, to));
            key_digest.of_content(note)
        } else {
            key_digest.part(new.value, offset, end)
        });
        if is_long {
            table.set_note(hash, key, note);
        }
        *sum = sum.wrapping_sub(removed).wrapping_add(added);
    }

    /// Copies up to `bytes_max` bytes of a value that a snapshot shares; true when nothing shares it.
    pub fn unshare(&mut self, key: &[u8], bytes_max: usize) -> bool {
        let hash = self.table.hash(key);
        self.table.unshare(hash, key, bytes_max)
    }

    /// Makes room for a value of so many bytes behind what there is of a long one.
    pub fn reserve(&mut self, key: &[u8], length: usize) {
        self.table.reserve(self.table.hash(key), key, length);
    }

    /// Continues the value of a string that exists by zeros to `length` bytes, more than [`WHOLE_BYTES_MAX`]. The work
    /// depends on what is there, not on the zeros.
    pub fn stretch(&mut self, key: &[u8], length: usize, meta: Meta) {
        let (key_digest, hash) = (KeyDigest::new(self.number, key), self.table.hash(key));
        let Some(old) = self.table.get(hash, key) else {
            return;
        };
        let kept = old.value.len();
        assert!(
            kept <= length && length > WHOLE_BYTES_MAX,
            "it becomes a long one"
        );
        let removed = key_digest.entry(old.value, self.table.note(hash, key), old.meta());
        self.table.stretch(hash, key, length);
        self.table.set_meta(hash, key, meta);
        let new = self.table.get(hash, key).expect("it was found above");
        // What is behind is zeros, which count nothing.
        let note = digest::content_part(new.value, 0, kept);
        let added = key_digest.entry(new.value, note, meta);
        self.table.set_note(hash, key, note);
        self.digest = self.digest.wrapping_sub(removed).wrapping_add(added);
    }

    /// Moves the value of a key to another one, over what is there; the new entry has this version. No effect without
    /// such an entry. A long value is neither read nor copied.
    pub fn rename(&mut self, from: &[u8], to: &[u8], version: u64) {
        let [from_hash, to_hash] = [from, to].map(|key| self.table.hash(key));
        let Some(old) = self.table.get(from_hash, from) else {
            return;
        };
        let note = self.table.note(from_hash, from);
        let meta = Meta {
            version,
            ..old.meta()
        };
        let old_version = old.version;
        let new = EntryRef::new(to, old.value, meta);
        let digests = [(from, &old), (to, &new)].map(|(key, entry)| {
            entry_digest(
                &KeyDigest::new(self.number, key),
                (entry, note),
                &self.collections,
            )
        });
        let [removed, added] = digests;
        self.remove_if(to, |_, _| true);
        self.table.rename((from_hash, from), (to_hash, to), meta);
        self.removed.note(from_hash, old_version);
        self.digest = self.digest.wrapping_sub(removed).wrapping_add(added);
    }

    /// Removes an entry if it is accepted; true when it was removed.
    pub fn remove_if(
        &mut self,
        key: &[u8],
        accepts: impl FnOnce(&EntryRef<'_>, &Collections) -> bool,
    ) -> bool {
        let hash = self.table.hash(key);
        let old = self.table.get(hash, key);
        let Some(old) = old.filter(|old| accepts(old, &self.collections)) else {
            return false;
        };
        let note = match old.value.len() {
            0..=WHOLE_BYTES_MAX => 0,
            _ => self.table.note(hash, key),
        };
        let key_digest = KeyDigest::new(self.number, key);
        let removed = entry_digest(&key_digest, (&old, note), &self.collections);
        self.digest = self.digest.wrapping_sub(removed);
        self.removed.note(hash, old.version);
        self.negative_count -= usize::from(old.kind == kind::NEGATIVE);
        if let Some(reference) = Reference::of(&old) {
            self.collections.remove(reference);
        }
        self.table.remove(hash, key);
        true
    }

    /// Removes an entry, a negative row too, that still has this version; true when it was removed.
    pub fn evict(&mut self, key: &[u8], version: u64) -> bool {
        let hash = self.table.hash(key);
        let frequency = self.table.frequency(hash, key).unwrap_or(0);
        let is_evicted = self.remove_if(key, |old, _| old.version == version);
        if is_evicted {
            self.table.note_evicted(hash, frequency);
        }
        is_evicted
    }

    /// What is remembered of accesses, see [`Table::track`].
    pub fn track(&mut self, tracking: Tracking) {
        self.table.track(tracking);
    }

    /// See [`Table::end_second`].
    pub fn end_second(&mut self, second: u32) {
        self.table.end_second(second);
    }

    /// See [`Table::release`].
    pub fn release(&mut self, bytes: usize) {
        self.table.release(bytes);
        // A node is several allocations.
        self.collections.free(bytes / 2);
    }

    /// See [`Table::compact`].
    pub fn compact(&mut self, count: usize) -> usize {
        self.table.compact(count)
    }

    /// The highest version that an entry of this key, which is absent, may have had.
    pub fn removed_version(&self, key: &[u8]) -> u64 {
        let hash = self.table.hash(key);
        let expired = self
            .table
            .get(hash, key)
            .filter(|entry| entry.kind != kind::NEGATIVE);
        let expired_version = expired.map_or(0, |entry| entry.version);
        let removed_version = self.removed.latest(hash).max(expired_version);
        removed_version.max(self.exchange_version)
    }

    /// What was removed.
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Takes what was removed before a snapshot was taken.
    pub fn restore_removed(&mut self, removed: Removed) {
        self.removed = removed;
    }

    /// Removes every entry, negative rows too; `version` is the latest that was given out.
    pub fn clear(&mut self, version: u64) {
        self.removed.note_all(version);
        self.table.clear();
        self.collections.clear();
        self.negative_count = 0;
        self.has_had_rows = false;
        self.digest = 0;
    }

    /// An entry that tells of a row of an origin was put.
    pub fn note_row(&mut self) {
        self.has_had_rows = true;
    }

    /// False if nothing can be known of a row of an origin.
    pub fn may_have_rows(&self) -> bool {
        self.has_had_rows
    }

    /// Number of keys whose deadline is later than `now_ms` or that have none; negative rows are none.
    pub fn live_len(&self, now_ms: u64) -> usize {
        let due = self.table.due_len(now_ms);
        if due == 0 {
            return self.len();
        }
        // Negative rows are not counted by `len`, and of a hash only fields may be due.
        let stays =
            |entry: &EntryRef<'_>| entry.kind == kind::NEGATIVE || is_alive(entry, &self.collections, now_ms);
        let due_staying = match self.negative_count > 0 || self.collections.has_volatile() {
            false => 0,
            true => self.table.due(now_ms).filter(stays).count(),
        };
        self.len() - (due - due_staying)
    }
}

/// The digest of an entry with what is noted with it; a large collection stands for its value where it refers to one.
#[inline]
fn entry_digest(
    key_digest: &KeyDigest,
    (entry, note): (&EntryRef<'_>, u128),
    collections: &Collections,
) -> u128 {
    match Reference::of(entry) {
        None => key_digest.entry(entry.value, note, entry.meta()),
        Some(reference) => key_digest
            .meta(entry.value.len(), entry.meta())
            .wrapping_add(key_digest.of_content(collections.get(reference).digest())),
    }
}
