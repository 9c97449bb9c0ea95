//! From hashes to handles: buckets in the order of the hash, and their incremental growth.
//!
//! A region of `n` buckets splits the 64-bit hashes into `n` equal ranges: bucket = ⌊hash · n / 2⁶⁴⌋,
//! and the next eight bits of that product are the tag. So every region, however large, holds its
//! entries in the same order, which is what scan cursors and snapshots rest on. `n` need not be a
//! power of two: growth by a quarter keeps the load between 9 and 11 entries per bucket.
//!
//! While the table grows or shrinks there are two regions. `current` is drained from its first
//! bucket on, one or two buckets per change of the table, into `target`; ranges below `migrated` are
//! looked up in `target`, the others in `current`. Regions consist of segments, allocated when the
//! migration reaches them and freed when it has left them, so no step is longer than filling one.
//!
//! Invariants: an entry is in exactly one chain, the one that [`Index::route`] names for its hash;
//! chains are dense (see `bucket.rs`); `target` is empty unless a migration is under way.

use std::ops::Range;

use super::bucket::Bucket;
use super::region::{Region, SEGMENT_BUCKETS, new_buckets};

/// Entries per bucket at which the table grows. Chains then are 11 entries long on average, and about
/// a third of the buckets has an overflow bucket; memory per entry is flat around this load.
const LOAD_MAX: usize = 11;
/// Entries per bucket below which the table shrinks.
const LOAD_MIN: usize = 3;
/// Entries per bucket after shrinking.
const LOAD_SHRUNK: usize = 8;
/// Segments left behind that are kept to be filled again: allocators cannot put one into another's hole.
const SPARE_SEGMENTS_MAX: usize = 4;
/// Overflow buckets per allocation: few, because small tables need few.
const OVERFLOW_BUCKETS: usize = 1 << OVERFLOW_BITS;
const OVERFLOW_BITS: usize = 6;

/// Which bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Current(usize),
    Target(usize),
    Overflow(u32),
}

/// Where an entry's handle is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) spot: Spot,
    pub(super) slot: usize,
}

/// The hash index of one table.
#[derive(Debug)]
pub(super) struct Index {
    current: Region,
    target: Region,
    /// Buckets of `current` that have been moved to `target`.
    migrated: u64,
    /// Whole segments without entries, kept while a migration is under way.
    spare: Vec<Box<[Bucket]>>,
    overflow: Vec<Box<[Bucket]>>,
    /// First unused overflow bucket; they are linked through [`Bucket::next`].
    overflow_free: u32,
    /// Overflow buckets from here on have never been used.
    overflow_fresh: u32,
    overflow_used: usize,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        let mut current = Region::new(1);
        current.allocate(0, &mut Vec::new());
        Self {
            current,
            target: Region::new(0),
            migrated: 0,
            spare: Vec::new(),
            overflow: Vec::new(),
            overflow_free: 0,
            overflow_fresh: 1,
            overflow_used: 0,
            len: 0,
        }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of ranges that the hashes are divided into, for the snapshot's own division.
    pub(super) fn bucket_count(&self) -> u64 {
        self.current.bucket_count.max(self.target.bucket_count)
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let overflow_buckets = self.overflow.len() * OVERFLOW_BUCKETS;
        self.current.memory_bytes()
            + self.target.memory_bytes()
            + self.spare.len() * SEGMENT_BUCKETS * size_of::<Bucket>()
            + overflow_buckets * size_of::<Bucket>()
            + self.overflow.capacity() * size_of::<Box<[Bucket]>>()
    }

    /// The first bucket and the tag of a hash.
    #[inline]
    pub(super) fn route(&self, hash: u64) -> (Spot, u8) {
        let (index, tag) = self.current.locate(hash);
        if (index as u64) < self.migrated {
            let (index, tag) = self.target.locate(hash);
            (Spot::Target(index), tag)
        } else {
            (Spot::Current(index), tag)
        }
    }

    /// The bucket at a spot.
    #[inline]
    pub(super) fn bucket(&self, spot: Spot) -> &Bucket {
        match spot {
            Spot::Current(index) => self.current.bucket(index),
            Spot::Target(index) => self.target.bucket(index),
            Spot::Overflow(number) => {
                &self.overflow[number as usize >> OVERFLOW_BITS][number as usize & (OVERFLOW_BUCKETS - 1)]
            }
        }
    }

    #[inline]
    fn bucket_mut(&mut self, spot: Spot) -> &mut Bucket {
        match spot {
            Spot::Current(index) => self.current.bucket_mut(index),
            Spot::Target(index) => self.target.bucket_mut(index),
            Spot::Overflow(number) => {
                &mut self.overflow[number as usize >> OVERFLOW_BITS][number as usize & (OVERFLOW_BUCKETS - 1)]
            }
        }
    }

    /// The entry with this hash that `is_wanted` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_wanted: impl FnMut(u32) -> bool) -> Option<Place> {
        let (mut spot, tag) = self.route(hash);
        loop {
            let bucket = self.bucket(spot);
            for slot in bucket.matches(tag) {
                if is_wanted(bucket.handle(slot)) {
                    return Some(Place { spot, slot });
                }
            }
            match bucket.next() {
                0 => return None,
                next => spot = Spot::Overflow(next),
            }
        }
    }

    /// The handle at a place.
    #[inline]
    pub(super) fn handle(&self, place: Place) -> u32 {
        self.bucket(place.spot).handle(place.slot)
    }

    /// Replaces the handle at a place.
    pub(super) fn set_handle(&mut self, place: Place, handle: u32) {
        self.bucket_mut(place.spot).set_handle(place.slot, handle);
    }

    /// Adds an entry that is not in the index yet.
    pub(super) fn insert(&mut self, hash: u64, handle: u32) {
        let (spot, tag) = self.route(hash);
        self.push(spot, tag, handle);
        self.len += 1;
        self.consider_resize();
    }

    /// Takes out the entry at `place`, which was found under `hash`.
    pub(super) fn remove(&mut self, hash: u64, place: Place) {
        let (mut last, _) = self.route(hash);
        let mut before_last = None;
        while self.bucket(last).next() != 0 {
            before_last = Some(last);
            last = Spot::Overflow(self.bucket(last).next());
        }
        let filler = self
            .bucket_mut(last)
            .pop()
            .expect("the last bucket of a chain has entries");
        if last != place.spot || self.bucket(last).count() != place.slot {
            self.bucket_mut(place.spot).set(place.slot, filler);
        }
        if let (Some(before_last), Spot::Overflow(number)) = (before_last, last)
            && self.bucket(last).count() == 0
        {
            self.bucket_mut(before_last).set_next(0);
            self.free_overflow(number);
        }
        self.len -= 1;
        self.consider_resize();
    }

    /// True while the table grows or shrinks.
    #[inline]
    pub(super) fn is_migrating(&self) -> bool {
        self.target.bucket_count != 0
    }

    /// Moves one or two buckets of a migration under way. Returns the number of entries moved.
    pub(super) fn advance(&mut self, mut hash_of: impl FnMut(u32) -> u64) -> usize {
        if !self.is_migrating() {
            return 0;
        }
        // Shrinking has to be done before the few entries left can outgrow the target.
        let buckets = if self.target.bucket_count < self.current.bucket_count {
            2
        } else {
            1
        };
        let mut moved = 0;
        for _ in 0..buckets {
            if self.is_migrating() {
                moved += self.migrate_bucket(&mut hash_of);
            }
        }
        moved
    }

    /// The handles that the next [`Index::advance`] will read, for a prefetch.
    pub(super) fn next_to_move(&self) -> &[u32] {
        if !self.is_migrating() {
            return &[];
        }
        self.current.bucket(self.migrated as usize).handles()
    }

    fn migrate_bucket(&mut self, hash_of: &mut impl FnMut(u32) -> u64) -> usize {
        let source = self.migrated as usize;
        self.migrated += 1;
        let last_hash = self.current.lowest_hash(self.migrated) - 1;
        for hash in [self.current.lowest_hash(source as u64) as u64, last_hash as u64] {
            self.target.allocate(self.target.locate(hash).0, &mut self.spare);
        }
        let mut moved = 0;
        let mut bucket = std::mem::take(self.current.bucket_mut(source));
        loop {
            for &handle in bucket.handles() {
                let (index, tag) = self.target.locate(hash_of(handle));
                self.push(Spot::Target(index), tag, handle);
                moved += 1;
            }
            match bucket.next() {
                0 => break,
                next => {
                    bucket = std::mem::take(self.bucket_mut(Spot::Overflow(next)));
                    self.free_overflow(next);
                }
            }
        }
        if self.migrated as usize & (SEGMENT_BUCKETS - 1) == 0 {
            self.spare.push(self.current.take(source));
            self.spare.truncate(SPARE_SEGMENTS_MAX);
        }
        if self.migrated == self.current.bucket_count {
            self.current = std::mem::replace(&mut self.target, Region::new(0));
            self.migrated = 0;
            self.spare = Vec::new();
        }
        moved
    }

    /// Starts a migration if the load asks for one and none is under way.
    fn consider_resize(&mut self) {
        let bucket_count = self.current.bucket_count;
        if self.is_migrating() {
            return;
        }
        let wanted = if self.len as u64 > bucket_count * LOAD_MAX as u64 {
            // A tiny table doubles: a quarter of it would be no progress.
            bucket_count
                + if bucket_count < 64 {
                    bucket_count
                } else {
                    bucket_count / 4
                }
        } else if (self.len as u64) < bucket_count * LOAD_MIN as u64 && bucket_count > 1 {
            ((self.len / LOAD_SHRUNK) as u64).max(1)
        } else {
            return;
        };
        self.target = Region::new(wanted);
    }

    fn push(&mut self, mut spot: Spot, tag: u8, handle: u32) {
        loop {
            let bucket = self.bucket_mut(spot);
            if bucket.push(tag, handle) {
                return;
            }
            let mut next = bucket.next();
            if next == 0 {
                next = self.take_overflow();
                self.bucket_mut(spot).set_next(next);
            }
            spot = Spot::Overflow(next);
        }
    }

    fn take_overflow(&mut self) -> u32 {
        self.overflow_used += 1;
        if self.overflow_free != 0 {
            let number = self.overflow_free;
            let bucket = self.bucket_mut(Spot::Overflow(number));
            let following = bucket.next();
            bucket.set_next(0);
            self.overflow_free = following;
            return number;
        }
        let number = self.overflow_fresh;
        if number as usize >> OVERFLOW_BITS == self.overflow.len() {
            self.overflow.push(new_buckets(OVERFLOW_BUCKETS));
        }
        self.overflow_fresh += 1;
        number
    }

    fn free_overflow(&mut self, number: u32) {
        let following = self.overflow_free;
        let bucket = self.bucket_mut(Spot::Overflow(number));
        debug_assert_eq!(bucket.count(), 0);
        bucket.set_next(following);
        self.overflow_free = number;
        self.overflow_used -= 1;
        // Any bucket can be the one in use that keeps an allocation, so they go all at once or not.
        if self.overflow_used == 0 {
            self.overflow.clear();
            (self.overflow_free, self.overflow_fresh) = (0, 1);
        }
    }

    /// Frees up to `count` segments of an index that is no longer in use; true when none is left.
    pub(super) fn discard(&mut self, count: usize) -> bool {
        // Most of an index is one region or the other, and overflow buckets are a sixth of it.
        self.current.truncate(count);
        self.target.truncate(count);
        self.overflow.truncate(self.overflow.len().saturating_sub(count));
        self.current.is_discarded() && self.target.is_discarded() && self.overflow.is_empty()
    }

    /// The chain that holds `hash`, and the lowest hash behind that chain's range (2⁶⁴ at the end).
    pub(super) fn span(&self, hash: u64) -> (Spot, u128) {
        let (spot, _) = self.route(hash);
        let end = match spot {
            Spot::Current(index) => self.current.lowest_hash(index as u64 + 1),
            // The hashes above the boundary are still in `current`.
            Spot::Target(index) => {
                let boundary = self.current.lowest_hash(self.migrated);
                self.target.lowest_hash(index as u64 + 1).min(boundary)
            }
            Spot::Overflow(_) => unreachable!("no hash is routed to an overflow bucket"),
        };
        (spot, end)
    }

    /// The handles in one chain that can have a hash in `range`, as far as tags tell, and where that
    /// chain's range ends.
    pub(super) fn candidates(&self, range: &Range<u128>) -> (impl Iterator<Item = u32>, u128) {
        let (_, first_tag) = self.route(range.start as u64);
        let (spot, end) = self.span(range.start as u64);
        let last_tag = if range.end < end {
            self.route((range.end - 1) as u64).1
        } else {
            u8::MAX
        };
        let wanted = first_tag..=last_tag;
        (
            self.tagged_chain(spot)
                .filter(move |(tag, _)| wanted.contains(tag))
                .map(|(_, handle)| handle),
            end,
        )
    }

    /// The handles of a chain.
    pub(super) fn chain(&self, first: Spot) -> impl Iterator<Item = u32> {
        self.tagged_chain(first).map(|(_, handle)| handle)
    }

    fn tagged_chain(&self, first: Spot) -> impl Iterator<Item = (u8, u32)> {
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let bucket = self.bucket(next?);
            next = (bucket.next() != 0).then(|| Spot::Overflow(bucket.next()));
            Some(bucket.entries())
        })
        .flatten()
    }

    /// The first buckets of all chains, in the order of their hashes.
    pub(super) fn spots(&self) -> impl Iterator<Item = Spot> {
        let target_end = if self.migrated == 0 {
            0
        } else {
            let last_hash = self.current.lowest_hash(self.migrated) - 1;
            self.target.locate(last_hash as u64).0 + 1
        };
        let rest = self.migrated as usize..self.current.bucket_count as usize;
        (0..target_end).map(Spot::Target).chain(rest.map(Spot::Current))
    }

    /// Checks every invariant of the index; for tests.
    #[cfg(test)]
    pub(super) fn check(&self, mut hash_of: impl FnMut(u32) -> u64) {
        let mut count = 0;
        for first in self.spots() {
            let mut spot = first;
            loop {
                let bucket = self.bucket(spot);
                for (tag, handle) in bucket.entries() {
                    assert_eq!(self.route(hash_of(handle)), (first, tag));
                    count += 1;
                }
                if bucket.next() == 0 {
                    assert!(bucket.count() > 0 || spot == first);
                    break;
                }
                assert_eq!(bucket.count(), super::bucket::SLOTS);
                spot = Spot::Overflow(bucket.next());
            }
        }
        assert_eq!(count, self.len);
    }
}
