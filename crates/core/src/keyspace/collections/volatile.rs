//! Hashes whose fields may have deadlines, among the large collections: found, counted, and with two deadlines each.

use super::{Collections, Large, Reference};
use crate::collection::VolatileHash;
use crate::keyspace::kind;
use crate::table::{EntryRef, Meta};

impl Large {
    /// The hash, if it is one whose fields may have deadlines.
    pub fn volatile(&self) -> Option<&VolatileHash> {
        match self {
            Self::Volatile(hash) => Some(hash),
            _ => None,
        }
    }

    /// As [`Large::volatile`], to be changed.
    pub fn volatile_mut(&mut self) -> Option<&mut VolatileHash> {
        match self {
            Self::Volatile(hash) => Some(hash),
            _ => None,
        }
    }

    /// What the key has, by what its entry has.
    pub fn key_meta(&self, meta: Meta) -> Meta {
        match self.volatile() {
            None => meta,
            Some(hash) => Meta {
                deadline_ms: hash.key_deadline_ms(),
                ..meta
            },
        }
    }

    /// The deadline of the entry of a key that has this deadline: the first of its fields may come before.
    pub fn entry_deadline_ms(&mut self, key_deadline_ms: Option<u64>) -> Option<u64> {
        let Some(hash) = self.volatile_mut() else {
            return key_deadline_ms;
        };
        hash.set_key_deadline(key_deadline_ms);
        hash.earliest_deadline_ms()
    }
}

impl Collections {
    /// The hash of an entry, if it is one whose fields may have deadlines.
    pub fn volatile(&self, entry: &EntryRef<'_>) -> Option<&VolatileHash> {
        match entry.kind {
            kind::HASH_VOLATILE => self.get(Reference::of(entry)?).volatile(),
            _ => None,
        }
    }

    /// True while there are hashes whose fields may have deadlines.
    pub fn has_volatile(&self) -> bool {
        self.volatile_count > 0
    }

    /// Number of hashes whose entries have deadlines, though their keys have none.
    pub fn fields_only_count(&self) -> usize {
        self.fields_only_count
    }

    /// Counts a collection in or out.
    #[inline]
    pub(super) fn count(&mut self, large: &Large, with: fn(usize, usize) -> usize) {
        if let Some(hash) = large.volatile() {
            let is_fields_only = hash.volatile_count() > 0 && hash.key_deadline_ms().is_none();
            self.volatile_count = with(self.volatile_count, 1);
            self.fields_only_count = with(self.fields_only_count, usize::from(is_fields_only));
        }
    }
}
