//! A large hash or set: elements in the order of a seeded hash of their key.
//!
//! That order does not depend on the order of the changes, so it is the same on every replica; an index into
//! it that is drawn at random is a fair choice, and a place in it is a cursor that stays good while elements come
//! and go. The hash has 32 bits; the few elements that share one are told apart by their keys.

use super::ordered::Element;
use super::ordered_tree::{Elements, OrderedBuilder, OrderedTree};
use super::{Remains, element_digest};
use crate::bugs::Bug;
use crate::packed::{Corrupt, corrupt, put_bytes, take_bytes};
use crate::table::{HashSeed, KeyHasher};

/// Elements by the hash of their key; `VALUED` in a hash, not in a set.
#[derive(Clone)]
pub struct Hashed<const VALUED: bool> {
    hasher: KeyHasher,
    tree: OrderedTree<u32, VALUED>,
    /// Sum over the elements.
    digest: u128,
}

impl<const VALUED: bool> Hashed<VALUED> {
    /// Without elements. Replicas must use one seed, which clients must not know.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            hasher: KeyHasher::new(seed),
            tree: OrderedTree::default(),
            digest: 0,
        }
    }

    #[inline]
    fn head(&self, key: &[u8]) -> u32 {
        (self.hasher.hash(key) >> 32) as u32
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// The value of an element, empty in a set. O(log n).
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.tree.get(self.head(key), key)
    }

    /// Puts an element in or replaces its value; true if there was none. O(log n).
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let head = self.head(key);
        let mut digest = self.digest.wrapping_add(element_digest(key, value));
        let is_new = self.tree.insert(head, key, value, |old| {
            if Bug::ReplacedStaysInDigest.is_in_force() {
                return;
            }
            digest = digest.wrapping_sub(element_digest(key, old));
        });
        self.digest = digest;
        is_new
    }

    /// Takes an element out; false if there is none. O(log n).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let head = self.head(key);
        let digest = &mut self.digest;
        self.tree.remove(head, key, |old| {
            *digest = digest.wrapping_sub(element_digest(key, old));
        })
    }

    /// The element with this index. O(log n).
    pub fn at(&self, index: u64) -> Option<Element<'_, u32>> {
        self.tree.at(index)
    }

    /// The elements from this index on. O(log n) for the first one.
    pub fn from(&self, index: u64) -> Elements<'_, u32, VALUED> {
        self.tree.from(index)
    }

    /// Shows about `count` elements from a cursor on, at first 0, and returns the next one, 0 at the end. What
    /// is there all the time between a scan's first and last call is shown; elements that share a hash are shown
    /// by one call.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, show: &mut dyn FnMut(Element<'a, u32>)) -> u64 {
        let Ok(first) = u32::try_from(cursor) else {
            return 0;
        };
        let (rank, _) = self.tree.rank(first, &[]);
        let mut last = None;
        for (shown, element) in self.tree.from(rank).enumerate() {
            if shown >= count.max(1) && last != Some(element.head) {
                return u64::from(element.head);
            }
            last = Some(element.head);
            show(element);
        }
        0
    }

    /// Sum over the elements.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        super::tree::allocated(size_of::<Self>()) + self.tree.memory_bytes()
    }

    /// Bytes that clones keep since changes had to copy them, see
    /// [`Tree::take_copied_bytes`](super::Tree::take_copied_bytes).
    pub fn take_copied_bytes(&mut self) -> usize {
        self.tree.take_copied_bytes()
    }

    /// Gives up everything, to be freed in slices.
    pub fn discard(self, remains: &mut Remains) {
        remains.add(self.tree);
    }

    /// Appends a chunk of the elements from this index on, about `budget_bytes` long and at least one
    /// element, and returns the index behind it. There is nothing to append at the index [`Hashed::len`].
    pub fn put_chunk(&self, index: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        let end = out.len() + budget_bytes;
        let mut next = index;
        for element in self.tree.from(index) {
            put_bytes(out, element.key);
            if VALUED {
                put_bytes(out, element.value);
            }
            next += 1;
            if out.len() >= end {
                break;
            }
        }
        next
    }
}

/// Rebuilds a large hash or set from its chunks in order.
pub struct HashedBuilder<const VALUED: bool> {
    hasher: KeyHasher,
    tree: OrderedBuilder<u32, VALUED>,
    digest: u128,
}

impl<const VALUED: bool> HashedBuilder<VALUED> {
    /// For chunks that were made with this seed.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            hasher: KeyHasher::new(seed),
            tree: OrderedBuilder::default(),
            digest: 0,
        }
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// If it is not one, or its elements do not follow those before it in order.
    pub fn take_chunk(&mut self, mut chunk: &[u8]) -> Result<(), Corrupt> {
        while !chunk.is_empty() {
            let key = take_bytes(&mut chunk)?;
            let value = if VALUED { take_bytes(&mut chunk)? } else { &[] };
            self.push(key, value)?;
        }
        Ok(())
    }

    /// Takes the next element.
    ///
    /// # Errors
    /// If it does not follow those before it in order.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let head = (self.hasher.hash(key) >> 32) as u32;
        if !self.tree.push(head, key, value) {
            return corrupt("elements in the order of their hashes");
        }
        self.digest = self.digest.wrapping_add(element_digest(key, value));
        Ok(())
    }

    /// Number of elements so far.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// True as long as there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the elements so far have allocated.
    pub fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes()
    }

    /// What was rebuilt.
    pub fn finish(self) -> Hashed<VALUED> {
        Hashed {
            hasher: self.hasher,
            tree: self.tree.finish(),
            digest: self.digest,
        }
    }
}
