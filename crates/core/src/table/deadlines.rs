//! The volatile entries of a table in the order of (deadline, key).
//!
//! A sorted sequence of leaves holds nothing but handles: deadline and key are read from the entry
//! itself, so a volatile entry costs about 5 bytes here. Only the first leaf, `front`, is sorted
//! inside; the others are sorted when they become the front, or to be split. A leaf is found by its
//! lower bound, which needs a key only where entries with one deadline fill several leaves.
//!
//! The order does not depend on handles, hashes or history, so replicas with equal contents expire
//! the same entries in the same order, a restored replica too. Cost per change: O(log n) for finding
//! the leaf, and a search in at most [`LEAF_MAX`] handles.
//!
//! Invariant: each volatile entry is here exactly once, in the leaf whose range holds it. Callers
//! remove an entry before its deadline changes or its slot is freed.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use super::arena::Arena;

/// Handles in one leaf.
const LEAF_MAX: usize = 512;
/// Leaves grow by so many handles; doubling would leave a quarter of the memory unused.
const LEAF_STEP: usize = 16;
/// A leaf with fewer handles is merged with the one before it if both fit well into one.
const LEAF_SMALL: usize = 64;
/// About what a leaf costs besides its handles: bound, vector, share of the tree's node.
const LEAF_OVERHEAD_BYTES: usize = 80;

/// What a leaf's range begins with.
#[derive(Debug, PartialEq, Eq)]
struct LowerBound {
    deadline_ms: u64,
    /// Empty where the deadline alone tells the leaf from the one before it.
    key: Box<[u8]>,
}

/// The order of entries. A trait object, so that the tree can be searched with a borrowed key.
trait Position {
    fn position(&self) -> (u64, &[u8]);
}

impl Position for LowerBound {
    fn position(&self) -> (u64, &[u8]) {
        (self.deadline_ms, &self.key)
    }
}

impl Position for (u64, &[u8]) {
    fn position(&self) -> (u64, &[u8]) {
        *self
    }
}

impl PartialEq for dyn Position + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.position() == other.position()
    }
}

impl Eq for dyn Position + '_ {}

impl PartialOrd for dyn Position + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Position + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.position().cmp(&other.position())
    }
}

impl PartialOrd for LowerBound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LowerBound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.position().cmp(&other.position())
    }
}

impl<'a> Borrow<dyn Position + 'a> for LowerBound {
    fn borrow(&self) -> &(dyn Position + 'a) {
        self
    }
}

/// The volatile entries of one table.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Everything before the first leaf of `rest`, latest first: the next to expire is the last.
    front: Vec<u32>,
    rest: BTreeMap<LowerBound, Vec<u32>>,
    len: usize,
    /// Capacity of all leaves, in handles.
    capacity: usize,
}

fn position_of(arena: &Arena, handle: u32) -> (u64, &[u8]) {
    let entry = arena.entry(handle);
    (
        entry.deadline_ms.expect("an indexed entry has a deadline"),
        entry.key,
    )
}

/// Sorts handles, latest first.
fn sort_latest_first(arena: &Arena, handles: &mut [u32]) {
    // Deadlines are read once, so that the loads overlap instead of waiting within comparisons.
    let mut keyed: Vec<(u64, u32)> = handles
        .iter()
        .map(|&handle| (position_of(arena, handle).0, handle))
        .collect();
    keyed.sort_unstable_by(|left, right| {
        right
            .0
            .cmp(&left.0)
            .then_with(|| arena.key(right.1).cmp(arena.key(left.1)))
    });
    for (slot, (_, handle)) in handles.iter_mut().zip(keyed) {
        *slot = handle;
    }
}

impl Deadlines {
    /// Number of volatile entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated, the tree's nodes estimated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.capacity * size_of::<u32>() + self.rest.len() * LEAF_OVERHEAD_BYTES
    }

    /// The entry that expires first.
    pub(super) fn first(&self) -> Option<u32> {
        self.front.last().copied()
    }

    /// Adds an entry that has a deadline.
    pub(super) fn insert(&mut self, arena: &Arena, handle: u32) {
        self.len += 1;
        let position = position_of(arena, handle);
        let probe: &dyn Position = &position;
        if let Some((_, leaf)) = self
            .rest
            .range_mut::<dyn Position, _>((Unbounded, Included(probe)))
            .next_back()
        {
            self.capacity += push(leaf, handle);
            if leaf.len() > LEAF_MAX {
                self.split(arena, position);
            }
            return;
        }
        let at = self
            .front
            .partition_point(|&other| position_of(arena, other) > position);
        if self.front.len() == self.front.capacity() {
            self.front.reserve_exact(LEAF_STEP);
            self.capacity += LEAF_STEP;
        }
        self.front.insert(at, handle);
        if self.front.len() > LEAF_MAX {
            let later = self.front.drain(..LEAF_MAX / 2).collect();
            self.insert_leaf(arena, later, self.front[0]);
            self.shrink_front();
        }
    }

    /// Removes an entry that is here under this deadline and key.
    pub(super) fn remove(&mut self, arena: &Arena, position: (u64, &[u8]), handle: u32) {
        self.len -= 1;
        let probe: &dyn Position = &position;
        let found = self
            .rest
            .range_mut::<dyn Position, _>((Unbounded, Included(probe)))
            .next_back();
        if let Some((_, leaf)) = found {
            let at = position_in(leaf, handle);
            leaf.swap_remove(at);
            if leaf.len() < LEAF_SMALL {
                self.merge(position);
            }
            return;
        }
        let at = position_in(&self.front, handle);
        self.front.remove(at);
        if self.front.is_empty() {
            self.refill(arena);
        }
    }

    /// Notes that an entry has another handle from now on.
    pub(super) fn rename(&mut self, position: (u64, &[u8]), old: u32, new: u32) {
        let probe: &dyn Position = &position;
        let found = self
            .rest
            .range_mut::<dyn Position, _>((Unbounded, Included(probe)))
            .next_back();
        let leaf = found.map_or(&mut self.front, |(_, leaf)| leaf);
        let at = position_in(leaf, old);
        leaf[at] = new;
    }

    /// Makes the first leaf of the rest the front.
    fn refill(&mut self, arena: &Arena) {
        self.capacity -= self.front.capacity();
        self.front = self.rest.pop_first().map_or_else(Vec::new, |(_, leaf)| leaf);
        sort_latest_first(arena, &mut self.front);
    }

    /// Splits the leaf that holds `position`.
    fn split(&mut self, arena: &Arena, position: (u64, &[u8])) {
        let probe: &dyn Position = &position;
        let is_last = self
            .rest
            .last_key_value()
            .is_some_and(|(bound, _)| bound.position() <= position);
        let leaf = self
            .rest
            .range_mut::<dyn Position, _>((Unbounded, Included(probe)))
            .next_back()
            .map(|(_, leaf)| leaf)
            .expect("the entry was put into this leaf");
        sort_latest_first(arena, leaf);
        // Deadlines mostly arrive in ascending order, where the earlier leaf never grows again.
        let later_count = if is_last { LEAF_MAX / 8 } else { LEAF_MAX / 2 };
        let later = leaf.drain(..later_count).collect();
        let latest_before = leaf[0];
        self.capacity -= leaf.capacity();
        leaf.shrink_to_fit();
        self.capacity += leaf.capacity();
        self.insert_leaf(arena, later, latest_before);
    }

    /// Adds a leaf, sorted latest first, all of whose entries come after `before`.
    fn insert_leaf(&mut self, arena: &Arena, leaf: Vec<u32>, before: u32) {
        let earliest = *leaf.last().expect("a leaf has entries");
        let (deadline_ms, key) = position_of(arena, earliest);
        let is_tie = position_of(arena, before).0 == deadline_ms;
        let key: Box<[u8]> = if is_tie { key.into() } else { Box::default() };
        self.capacity += leaf.capacity();
        self.rest.insert(LowerBound { deadline_ms, key }, leaf);
    }

    /// Appends the leaf that holds `position` to the one before it, or drops it if it is empty.
    fn merge(&mut self, position: (u64, &[u8])) {
        let probe: &dyn Position = &position;
        let mut leaves = self
            .rest
            .range_mut::<dyn Position, _>((Unbounded, Included(probe)));
        let (bound, leaf) = leaves.next_back().expect("the entry was in this leaf");
        let mut grown = 0;
        if !leaf.is_empty() {
            match leaves.next_back() {
                Some((_, earlier)) if earlier.len() + leaf.len() <= LEAF_MAX * 3 / 4 => {
                    for &handle in leaf.iter() {
                        grown += push(earlier, handle);
                    }
                }
                _ => return,
            }
        }
        let bound = LowerBound {
            deadline_ms: bound.deadline_ms,
            key: bound.key.clone(),
        };
        let leaf = self
            .rest
            .remove(&bound)
            .expect("the leaf was found under this bound");
        self.capacity = self.capacity + grown - leaf.capacity();
    }

    fn shrink_front(&mut self) {
        self.capacity -= self.front.capacity();
        self.front.shrink_to_fit();
        self.capacity += self.front.capacity();
    }

    /// Checks the order and the bounds; for tests.
    #[cfg(test)]
    pub(super) fn check(&self, arena: &Arena) {
        assert!(
            self.front
                .is_sorted_by_key(|&handle| std::cmp::Reverse(position_of(arena, handle)))
        );
        assert!(!self.front.is_empty() || self.rest.is_empty());
        let mut bounds = self.rest.keys();
        let mut upper = bounds.next();
        let in_range = |handles: &[u32], lower: Option<&LowerBound>, upper: Option<&LowerBound>| {
            handles.iter().all(|&handle| {
                let position = position_of(arena, handle);
                lower.is_none_or(|bound| bound.position() <= position)
                    && upper.is_none_or(|bound| position < bound.position())
            })
        };
        assert!(in_range(&self.front, None, upper));
        let mut count = self.front.len();
        let mut capacity = self.front.capacity();
        for (bound, leaf) in &self.rest {
            upper = bounds.next();
            assert!(!leaf.is_empty() && in_range(leaf, Some(bound), upper));
            count += leaf.len();
            capacity += leaf.capacity();
        }
        assert_eq!((count, capacity), (self.len, self.capacity));
    }
}

/// Appends a handle; returns by how many handles the capacity grew.
fn push(leaf: &mut Vec<u32>, handle: u32) -> usize {
    let before = leaf.capacity();
    if leaf.len() == before {
        leaf.reserve_exact(LEAF_STEP);
    }
    leaf.push(handle);
    leaf.capacity() - before
}

fn position_in(leaf: &[u32], handle: u32) -> usize {
    leaf.iter()
        .position(|&other| other == handle)
        .expect("an indexed entry is in its leaf")
}
