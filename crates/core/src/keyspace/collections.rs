//! The large collections of one database, by reference.
//!
//! An entry of the table that holds a large collection has a reference of eight bytes for its value. References are
//! this replica's own: no digest, snapshot or op has them, and none is used again for another collection in the
//! life of a snapshot.
//!
//! While a snapshot walks over the table, a collection that it has not met is cloned before its first change, and
//! kept when its key goes; a clone shares all nodes with the collection, so that costs nothing but what is
//! changed later. What nobody reads any more is freed in slices, and counted until it is.

mod volatile;

use std::collections::BTreeMap;

use super::kind;
use crate::bugs::Bug;
use crate::collection::{Hashed, HashedBuilder, LargeList, LargeSortedSet, Remains, Stream, StreamBuilder};
use crate::collection::{VolatileHash, VolatileHashBuilder};
use crate::packed::Corrupt;
use crate::table::{EntryRef, HashSeed};

/// About what a node of a tree has allocated.
const NODE_BYTES: usize = 4 << 10;
/// Slots of a cleared database that are looked at each time.
const SLOTS_FREED: usize = 256;

/// Does the same with whichever collection it is.
macro_rules! each {
    ($any:expr, $large:ident => $result:expr) => {
        match $any {
            Self::Hash($large) => $result,
            Self::Set($large) => $result,
            Self::List($large) => $result,
            Self::SortedSet($large) => $result,
            Self::Stream($large) => $result,
            Self::Volatile($large) => $result,
        }
    };
}

/// A large collection of any type.
#[derive(Clone)]
pub(super) enum Large {
    Hash(Box<Hashed<true>>),
    Set(Box<Hashed<false>>),
    List(Box<LargeList>),
    SortedSet(Box<LargeSortedSet>),
    Stream(Box<Stream>),
    Volatile(Box<VolatileHash>),
}

impl Large {
    /// Kind of the entry that refers to it.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Hash(_) => kind::HASH_LARGE,
            Self::Set(_) => kind::SET_LARGE,
            Self::List(_) => kind::LIST_LARGE,
            Self::SortedSet(_) => kind::SORTED_SET_LARGE,
            Self::Stream(_) => kind::STREAM,
            Self::Volatile(_) => kind::HASH_VOLATILE,
        }
    }

    /// Number of elements, of which a snapshot consists.
    pub fn len(&self) -> u64 {
        match self {
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::List(list) => list.len(),
            Self::SortedSet(set) => set.len(),
            Self::Stream(stream) => stream.part_count(),
            Self::Volatile(hash) => hash.len(),
        }
    }

    /// What the digest of its entry has for its value.
    pub fn digest(&self) -> u128 {
        each!(self, large => large.digest())
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        each!(self, large => large.memory_bytes())
    }

    fn take_copied_bytes(&mut self) -> usize {
        each!(self, large => large.take_copied_bytes())
    }

    fn discard(self, remains: &mut Remains) {
        each!(self, large => large.discard(remains));
    }

    /// Appends elements from this index on, about `budget_bytes` and at least one; returns the index behind them.
    pub fn put_chunk(&self, index: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        each!(self, large => large.put_chunk(index, budget_bytes, out))
    }
}

/// Rebuilds a large collection from what [`Large::put_chunk`] wrote.
pub(super) enum LargeBuilder {
    Hash(HashedBuilder<true>),
    Set(HashedBuilder<false>),
    List(Box<LargeList>),
    SortedSet(Box<LargeSortedSet>),
    Stream(Box<StreamBuilder>),
    Volatile(Box<VolatileHashBuilder>),
}

impl LargeBuilder {
    /// For an entry of this kind; `None` if such entries refer to no collection.
    pub fn new(kind: u8, seed: HashSeed) -> Option<Self> {
        Some(match kind {
            kind::HASH_LARGE => Self::Hash(HashedBuilder::new(seed)),
            kind::SET_LARGE => Self::Set(HashedBuilder::new(seed)),
            kind::LIST_LARGE => Self::List(Box::default()),
            kind::SORTED_SET_LARGE => Self::SortedSet(Box::new(LargeSortedSet::new(seed))),
            kind::STREAM => Self::Stream(Box::default()),
            kind::HASH_VOLATILE => Self::Volatile(Box::new(VolatileHashBuilder::new(seed))),
            _ => return None,
        })
    }

    /// Takes the next elements.
    ///
    /// # Errors
    /// If they are none, or not in order.
    pub fn take_chunk(&mut self, chunk: &[u8]) -> Result<(), Corrupt> {
        each!(self, builder => builder.take_chunk(chunk))
    }

    /// Number of elements so far.
    pub fn len(&self) -> u64 {
        each!(self, builder => builder.len())
    }

    /// What was rebuilt.
    pub fn finish(self) -> Large {
        match self {
            Self::Hash(builder) => Large::Hash(Box::new(builder.finish())),
            Self::Set(builder) => Large::Set(Box::new(builder.finish())),
            Self::List(list) => Large::List(list),
            Self::SortedSet(set) => Large::SortedSet(set),
            Self::Stream(builder) => Large::Stream(Box::new(builder.finish())),
            Self::Volatile(builder) => Large::Volatile(Box::new(builder.finish())),
        }
    }
}

/// What the value of an entry says of its collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference(u64);

impl Reference {
    /// The collection of an entry, if it has a large one.
    pub fn of(entry: &EntryRef<'_>) -> Option<Self> {
        if !kind::is_large(entry.kind) {
            return None;
        }
        let bytes = entry.value.try_into().expect("a reference has eight bytes");
        Some(Self(u64::from_le_bytes(bytes)))
    }

    /// The value of the entry.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    fn slot(self) -> usize {
        self.0 as u32 as usize
    }
}

struct Held {
    large: Large,
    reference: Reference,
    /// Number of the snapshot that needs nothing of it any more: it has met it, has a clone, or began before it.
    saved: u64,
    /// What is counted for it.
    bytes: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Collections {
    slots: Vec<Option<Held>>,
    unused: Vec<u32>,
    /// Of the reference that was given out last.
    generation: u32,
    /// Bytes of all collections that entries refer to.
    bytes: usize,
    /// How many of them are hashes whose fields may have deadlines.
    volatile_count: usize,
    /// How many of these have such fields, but no deadline of their key.
    fields_only_count: usize,
    /// Number of the snapshot that is or was last under way.
    snapshot: u64,
    is_walked: bool,
    /// As they were when the snapshot began.
    images: BTreeMap<Reference, Large>,
    /// What the images and the snapshot's clones keep alone.
    image_bytes: usize,
    /// All there was when the database was cleared under a snapshot.
    frozen: Vec<Option<Held>>,
    /// Of cleared databases.
    cleared: Vec<Option<Held>>,
    cleared_bytes: usize,
    remains: Remains,
}

impl std::fmt::Debug for Collections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Collections")
            .field("slots", &self.slots.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Collections {
    /// The collection of a reference.
    ///
    /// # Panics
    /// If there is none: an entry refers to what is not there.
    pub fn get(&self, reference: Reference) -> &Large {
        &self.held(reference).large
    }

    fn held(&self, reference: Reference) -> &Held {
        let held = self.slots.get(reference.slot()).and_then(Option::as_ref);
        held.filter(|held| held.reference == reference)
            .expect("an entry refers to a collection that is there")
    }

    /// Takes a collection in.
    pub fn insert(&mut self, large: Large) -> Reference {
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than four thousand million collections")
        });
        self.generation = self.generation.wrapping_add(1);
        let reference = Reference(u64::from(self.generation) << 32 | u64::from(slot));
        let bytes = large.memory_bytes();
        self.bytes += bytes;
        self.count(&large, usize::wrapping_add);
        self.slots[slot as usize] = Some(Held {
            large,
            reference,
            saved: self.snapshot,
            bytes,
        });
        reference
    }

    /// Lends a collection to be changed; nothing else may look at it meanwhile. To be given back by `give_back`.
    pub fn change<R>(&mut self, reference: Reference, change: impl FnOnce(Large) -> (Large, R)) -> R {
        let slot = &mut self.slots[reference.slot()];
        let mut held = slot
            .take()
            .expect("an entry refers to a collection that is there");
        if self.is_walked && held.saved != self.snapshot {
            held.saved = self.snapshot;
            if !Bug::SnapshotWithoutImage.is_in_force() {
                self.images.insert(reference, held.large.clone());
            }
        }
        self.count(&held.large, usize::wrapping_sub);
        let (mut large, result) = change(held.large);
        self.count(&large, usize::wrapping_add);
        if self.is_walked {
            self.image_bytes += large.take_copied_bytes();
        }
        let bytes = large.memory_bytes();
        self.bytes = self.bytes + bytes - held.bytes;
        self.slots[reference.slot()] = Some(Held { large, bytes, ..held });
        result
    }

    /// The entry of a collection is gone.
    pub fn remove(&mut self, reference: Reference) {
        let held = self.slots[reference.slot()].take();
        let held = held.expect("an entry refers to a collection that is there");
        self.unused.push(reference.slot() as u32);
        self.bytes -= held.bytes;
        self.count(&held.large, usize::wrapping_sub);
        if self.is_walked && held.saved != self.snapshot {
            self.image_bytes += held.bytes;
            self.images.insert(reference, held.large);
        } else {
            held.large.discard(&mut self.remains);
        }
    }

    /// All entries are gone at once.
    pub fn clear(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        self.unused.clear();
        (self.volatile_count, self.fields_only_count) = (0, 0);
        let bytes = std::mem::take(&mut self.bytes);
        if self.is_walked && self.frozen.is_empty() {
            self.frozen = slots;
            self.image_bytes += bytes;
        } else {
            self.cleared.extend(slots);
            self.cleared_bytes += bytes;
        }
    }

    /// A snapshot begins to walk over the table.
    pub fn snapshot_begin(&mut self) {
        self.snapshot_end();
        self.snapshot += 1;
        self.is_walked = true;
    }

    /// The walk is over, or is given up.
    pub fn snapshot_end(&mut self) {
        self.is_walked = false;
        self.image_bytes = 0;
        for large in std::mem::take(&mut self.images).into_values() {
            large.discard(&mut self.remains);
        }
        self.cleared.append(&mut self.frozen);
    }

    /// What a reference that the walk has met referred to when the snapshot began.
    pub fn met(&mut self, reference: Reference) -> Large {
        if let Some(image) = self.images.remove(&reference) {
            return image;
        }
        let (frozen, slots) = (&mut self.frozen, &mut self.slots);
        let found = [frozen, slots].into_iter().find_map(|held| {
            let held = held.get_mut(reference.slot())?.as_mut()?;
            (held.reference == reference).then_some(held)
        });
        let held = found.expect("what a snapshot has not met is kept");
        held.saved = self.snapshot;
        held.large.clone()
    }

    /// Gives up what a snapshot has read to its end.
    pub fn discard(&mut self, large: Large) {
        large.discard(&mut self.remains);
    }

    /// True while something is to be freed.
    #[inline]
    pub fn has_remains(&self) -> bool {
        !self.cleared.is_empty() || self.remains.memory_bytes() > 0
    }

    /// Gives back about so many bytes of what nobody reads any more.
    pub fn free(&mut self, bytes: usize) {
        for _ in 0..SLOTS_FREED.min(self.cleared.len()) {
            if let Some(held) = self.cleared.pop().flatten() {
                self.cleared_bytes = self.cleared_bytes.saturating_sub(held.bytes);
                held.large.discard(&mut self.remains);
            }
        }
        self.remains.free(bytes / NODE_BYTES);
    }

    /// Bytes of memory, what is still to be freed and what a snapshot keeps included.
    pub fn memory_bytes(&self) -> usize {
        let slots = self.slots.capacity() + self.frozen.capacity() + self.cleared.capacity();
        self.bytes
            + self.image_bytes
            + self.cleared_bytes
            + self.remains.memory_bytes()
            + slots * size_of::<Option<Held>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: u32) -> Large {
        let mut hash = Hashed::new(HashSeed::from_number(1));
        for field in 0..fields {
            hash.insert(&field.to_le_bytes(), b"value");
        }
        Large::Hash(Box::new(hash))
    }

    fn add(collections: &mut Collections, reference: Reference, field: &[u8]) {
        collections.change(reference, |large| {
            let Large::Hash(mut hash) = large else {
                panic!("a hash was put in")
            };
            hash.insert(field, b"new");
            (Large::Hash(hash), ())
        });
    }

    #[test]
    fn a_snapshot_meets_what_was_there_when_it_began() {
        let mut collections = Collections::default();
        let [changed, removed, met, cleared] = [0, 1, 2, 3].map(|_| collections.insert(hash(1000)));
        let before = collections.get(changed).digest();
        collections.snapshot_begin();
        assert_eq!(collections.met(met).digest(), before);
        for reference in [changed, met] {
            add(&mut collections, reference, b"more");
            assert_ne!(collections.get(reference).digest(), before);
        }
        collections.remove(removed);
        let reused = collections.insert(hash(1));
        collections.clear();
        let after = collections.insert(hash(2));
        for reference in [changed, removed, cleared] {
            assert_eq!(collections.met(reference).digest(), before);
        }
        assert_ne!(reused, removed, "a reference is not used again");
        assert_eq!(collections.get(after).len(), 2);
    }

    #[test]
    fn memory_is_counted_until_it_is_freed() {
        let mut collections = Collections::default();
        let reference = collections.insert(hash(100_000));
        let full = collections.memory_bytes();
        assert!(full > 1_000_000, "{full}");
        collections.remove(reference);
        assert!(collections.memory_bytes() > full / 2);
        let mut calls = 0;
        while collections.has_remains() {
            collections.free(64 << 10);
            calls += 1;
        }
        assert!(calls > 10, "{calls} slices");
        assert!(
            collections.memory_bytes() < 10_000,
            "{}",
            collections.memory_bytes()
        );
    }
}
