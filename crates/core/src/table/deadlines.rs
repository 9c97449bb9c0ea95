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
//! Invariant: each volatile entry is here exactly once, in the leaf whose range holds it. An entry
//! whose deadline or handle has changed is removed or renamed before anything else is asked here;
//! [`Deadlines::remove`] and [`Deadlines::rename`] do not read the entry itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::arena::Arena;

/// Handles in one leaf.
const LEAF_MAX: usize = 512;
/// Leaves grow by so many handles; doubling would leave a quarter of the memory unused.
const LEAF_STEP: usize = 16;
/// A leaf with fewer handles is merged with the one before it if both fit well into one.
const LEAF_SMALL: usize = 128;
/// Handles in a merged leaf: well below the maximum, or the next addition would split it again.
const LEAF_MERGED_MAX: usize = LEAF_MAX * 3 / 4;
/// About what a leaf costs besides its handles: bound, vector, share of the tree's node.
const LEAF_OVERHEAD_BYTES: usize = 80;

/// What a leaf's range begins with; ordered by deadline, then key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LowerBound {
    deadline_ms: u64,
    /// Empty where the deadline alone tells the leaf from the one before it.
    key: Box<[u8]>,
}

impl LowerBound {
    fn position(&self) -> Position<'_> {
        (self.deadline_ms, &self.key)
    }
}

/// Where an entry stands in the order: its deadline in milliseconds and its key.
pub(super) type Position<'a> = (u64, &'a [u8]);

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
        if let Some((_, leaf)) = self.leaf_of(position) {
            let (grown, is_full) = (push(leaf, handle), leaf.len() > LEAF_MAX);
            self.capacity += grown;
            if is_full {
                self.split(arena, position);
            }
            return;
        }
        let at = self
            .front
            .partition_point(|&other| position_of(arena, other) > position);
        let before = self.front.capacity();
        if self.front.len() == before {
            self.front.reserve_exact(LEAF_STEP);
        }
        self.front.insert(at, handle);
        let is_full = self.front.len() > LEAF_MAX;
        let later: Vec<u32> = self
            .front
            .drain(..if is_full { LEAF_MAX / 2 } else { 0 })
            .collect();
        if is_full {
            self.front.shrink_to_fit();
        }
        self.capacity = self.capacity - before + self.front.capacity();
        if let Some(&earliest) = later.last() {
            self.insert_leaf(arena, later, [self.front[0], earliest]);
        }
    }

    /// Removes an entry that is here under this deadline and key.
    pub(super) fn remove(&mut self, arena: &Arena, position: Position<'_>, handle: u32) {
        self.len -= 1;
        if let Some((_, leaf)) = self.leaf_of(position) {
            leaf.swap_remove(index_in(leaf, handle));
            if leaf.len() < LEAF_SMALL {
                self.merge(position);
            }
            return;
        }
        self.front.remove(index_in(&self.front, handle));
        if self.front.is_empty() {
            self.refill(arena);
        }
    }

    /// Notes that an entry has another handle from now on.
    pub(super) fn rename(&mut self, position: Position<'_>, old: u32, new: u32) {
        let leaf = match self.leaf_of(position) {
            Some((_, leaf)) => leaf,
            None => &mut self.front,
        };
        let index = index_in(leaf, old);
        leaf[index] = new;
    }

    /// Drops up to `count` leaves of an order that is no longer in use; true when none is left.
    pub(super) fn discard(&mut self, count: usize) -> bool {
        (0..count).for_each(|_| drop(self.rest.pop_last()));
        self.rest.is_empty()
    }

    /// The leaf of `rest` whose range holds `position`; `None` if that is the front.
    fn leaf_of(&mut self, position: Position<'_>) -> Option<(&LowerBound, &mut Vec<u32>)> {
        let (deadline_ms, key) = position;
        // The last leaf that begins with this deadline or an earlier one is nearly always the right
        // one, and finding it needs no copy of the key.
        let behind = deadline_ms.checked_add(1).map(|deadline_ms| LowerBound {
            deadline_ms,
            key: Box::default(),
        });
        let until_behind = (Unbounded, behind.as_ref().map_or(Unbounded, Excluded));
        let (last, _) = self.rest.range::<LowerBound, _>(until_behind).next_back()?;
        if last.position() <= position {
            return self.rest.range_mut::<LowerBound, _>(until_behind).next_back();
        }
        let exact = LowerBound {
            deadline_ms,
            key: key.into(),
        };
        self.rest
            .range_mut::<LowerBound, _>((Unbounded, Included(&exact)))
            .next_back()
    }

    /// Makes the first leaf of the rest the front.
    fn refill(&mut self, arena: &Arena) {
        self.capacity -= self.front.capacity();
        self.front = self.rest.pop_first().map_or_else(Vec::new, |(_, leaf)| leaf);
        let mut sorted = with_deadlines(arena, &self.front);
        sorted.sort_unstable_by(|left, right| latest_first(arena, left, right));
        self.front
            .iter_mut()
            .zip(sorted)
            .for_each(|(slot, (_, handle))| *slot = handle);
    }

    /// Splits the leaf that holds `position`.
    fn split(&mut self, arena: &Arena, position: Position<'_>) {
        let is_last = self
            .rest
            .last_key_value()
            .is_some_and(|(bound, _)| bound.position() <= position);
        let (_, leaf) = self
            .leaf_of(position)
            .expect("the entry was put into a leaf of the rest");
        // Deadlines mostly arrive in ascending order, where the earlier leaf never grows again.
        let later_count = if is_last { LEAF_MAX / 8 } else { LEAF_MAX / 2 };
        let mut parted = with_deadlines(arena, leaf);
        parted.select_nth_unstable_by(later_count, |left, right| latest_first(arena, left, right));
        let (later, earlier) = parted.split_at(later_count);
        let capacity_before = leaf.capacity();
        leaf.clear();
        leaf.shrink_to(earlier.len());
        leaf.extend(earlier.iter().map(|&(_, handle)| handle));
        let capacity_after = leaf.capacity();
        self.capacity = self.capacity - capacity_before + capacity_after;
        let (_, latest_before) = earlier[0];
        let earliest = later
            .iter()
            .max_by(|left, right| latest_first(arena, left, right));
        let &(_, earliest) = earliest.expect("a part has entries");
        self.insert_leaf(
            arena,
            later.iter().map(|&(_, handle)| handle).collect(),
            [latest_before, earliest],
        );
    }

    /// Adds a leaf; `border` are the last entry before it, and its own first one.
    fn insert_leaf(&mut self, arena: &Arena, leaf: Vec<u32>, border: [u32; 2]) {
        let [(deadline_before_ms, _), (deadline_ms, key)] = border.map(|handle| position_of(arena, handle));
        let key: Box<[u8]> = if deadline_before_ms == deadline_ms {
            key.into()
        } else {
            Box::default()
        };
        self.capacity += leaf.capacity();
        self.rest.insert(LowerBound { deadline_ms, key }, leaf);
    }

    /// Appends the leaf that holds `position` to the one before it if both fit well into one, and
    /// drops it if it is empty.
    fn merge(&mut self, position: Position<'_>) {
        let (bound, leaf) = self
            .leaf_of(position)
            .expect("the entry was in a leaf of the rest");
        let (bound, leaf_len) = (bound.clone(), leaf.len());
        let before = (Unbounded, Excluded(&bound));
        let earlier_len = self
            .rest
            .range::<LowerBound, _>(before)
            .next_back()
            .map(|(_, leaf)| leaf.len());
        if leaf_len > 0 && earlier_len.is_none_or(|earlier_len| earlier_len + leaf_len > LEAF_MERGED_MAX) {
            return;
        }
        let leaf = self
            .rest
            .remove(&bound)
            .expect("the leaf was found under this bound");
        self.capacity -= leaf.capacity();
        if let Some((_, earlier)) = self.rest.range_mut::<LowerBound, _>(before).next_back() {
            self.capacity += leaf.iter().map(|&handle| push(earlier, handle)).sum::<usize>();
        }
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

fn position_of(arena: &Arena, handle: u32) -> Position<'_> {
    let entry = arena.entry(handle);
    (
        entry.deadline_ms.expect("an indexed entry has a deadline"),
        entry.key,
    )
}

/// Handles with their deadlines, which are read at once, so that the loads overlap instead of
/// waiting within comparisons.
fn with_deadlines(arena: &Arena, handles: &[u32]) -> Vec<(u64, u32)> {
    handles
        .iter()
        .map(|&handle| (position_of(arena, handle).0, handle))
        .collect()
}

fn latest_first(arena: &Arena, left: &(u64, u32), right: &(u64, u32)) -> Ordering {
    right
        .0
        .cmp(&left.0)
        .then_with(|| arena.key(right.1).cmp(arena.key(left.1)))
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

fn index_in(leaf: &[u32], handle: u32) -> usize {
    /// Handles compared at once, which the compiler turns into vector instructions.
    const BLOCK: usize = 32;
    let blocks = leaf.chunks(BLOCK);
    let start = blocks.map(|block| {
        block
            .iter()
            .fold(false, |found, &other| found | (other == handle))
    });
    let start = start
        .enumerate()
        .find(|&(_, found)| found)
        .map_or(0, |(block, _)| block * BLOCK);
    let within = leaf[start..].iter().position(|&other| other == handle);
    start + within.expect("an indexed entry is in its leaf")
}
