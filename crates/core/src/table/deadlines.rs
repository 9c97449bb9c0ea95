//! The volatile entries of a table in the order of (deadline, key).
//!
//! A sorted sequence of leaves holds nothing but handles: deadline and key are read from the entry
//! itself, so a volatile entry costs about 5 bytes here. Only the first leaf, `front`, is sorted
//! inside; the others are sorted when they become the front. A leaf is found by binary search in an
//! array of deadlines, small enough to stay in the cache; keys matter only where entries with one
//! deadline fill several leaves. Inserting a leaf moves half of that array at most: 16 bytes for each
//! 300 entries, once in 128 additions, which is cheaper than the cache misses of a tree.
//!
//! The order does not depend on handles, hashes or history, so replicas with equal contents expire
//! the same entries in the same order, a restored replica too. Cost per change: O(log n) for finding
//! the leaf, and a search in at most [`LEAF_MAX`] handles.
//!
//! Invariant: each volatile entry is here exactly once, in the leaf whose range holds it. An entry
//! whose deadline or handle has changed is removed or renamed before anything else is asked here;
//! [`Deadlines::remove`] and [`Deadlines::rename`] do not read the entry itself.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::arena::Arena;

/// Handles in one leaf; with one more it is split, which just fits into its capacity.
const LEAF_MAX: usize = 8 * LEAF_STEP - 1;
/// Capacities are multiples of so many handles. Doubling would leave a quarter of the memory unused, and
/// steps much finer than this leave holes of every size in the allocator's memory: with steps of 8 and
/// ascending deadlines they came to 20 bytes per entry.
const LEAF_STEP: usize = 32;
/// A leaf with fewer handles is merged with the one before it if both fit well into one.
const LEAF_SMALL: usize = 64;
/// Handles in a merged leaf: well below the maximum, or the next addition would split it again.
const LEAF_MERGED_MAX: usize = LEAF_MAX * 3 / 4;
/// What an allocator adds to a leaf and to its handles.
const LEAF_OVERHEAD_BYTES: usize = 16;

/// Entries of one range of the order.
#[derive(Debug)]
struct Leaf {
    handles: Vec<u32>,
    /// The lower bound of the range, where the leaf before this one begins with the same deadline or
    /// ends with it; otherwise empty, the deadline alone is the bound.
    first_key: Box<[u8]>,
}

/// Where an entry stands in the order: its deadline in milliseconds and its key.
pub(super) type Position<'a> = (u64, &'a [u8]);

/// The volatile entries of one table.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Everything before the first leaf, latest first: the next to expire is the last.
    front: Vec<u32>,
    /// The deadline that each leaf begins with.
    bounds_ms: VecDeque<u64>,
    leaves: VecDeque<Box<Leaf>>,
    len: usize,
    /// Capacity of front and leaves, in handles.
    capacity: usize,
}

impl Deadlines {
    /// Number of volatile entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated; keys of bounds, which are rare, left out.
    pub(super) fn memory_bytes(&self) -> usize {
        self.capacity * size_of::<u32>()
            + self.leaves.len() * (size_of::<Leaf>() + LEAF_OVERHEAD_BYTES)
            + self.leaves.capacity() * size_of::<Box<Leaf>>()
            + self.bounds_ms.capacity() * size_of::<u64>()
    }

    /// The entry that expires first.
    pub(super) fn first(&self) -> Option<u32> {
        self.front.last().copied()
    }

    /// Number of entries whose deadline is `now_ms` or earlier. Costs a step per leaf that is due as a
    /// whole, and a look at the entries of one more.
    pub(super) fn due_len(&self, arena: &Arena, now_ms: u64) -> usize {
        let is_due = |&&handle: &&u32| position_of(arena, handle).0 <= now_ms;
        let begun = self.bounds_ms.partition_point(|&bound_ms| bound_ms <= now_ms);
        let Some(last) = begun.checked_sub(1) else {
            return self.front.iter().filter(is_due).count();
        };
        let whole = self.leaves.range(..last).map(|leaf| leaf.handles.len());
        let partly = self.leaves[last].handles.iter().filter(is_due).count();
        self.front.len() + whole.sum::<usize>() + partly
    }

    /// Every entry whose deadline is `now_ms` or earlier, and a few others.
    pub(super) fn up_to(&self, now_ms: u64) -> impl Iterator<Item = u32> {
        let begun = self.bounds_ms.partition_point(|&bound_ms| bound_ms <= now_ms);
        let leaves = self.leaves.range(..begun).flat_map(|leaf| &leaf.handles);
        self.front.iter().chain(leaves).copied()
    }

    /// The earliest deadline after `now_ms`. Looks at the entries of two leaves at most.
    pub(super) fn next_after(&self, arena: &Arena, now_ms: u64) -> Option<u64> {
        let begun = self.bounds_ms.partition_point(|&bound_ms| bound_ms <= now_ms);
        let handles = |position: usize| match position.checked_sub(1) {
            None => Some(&self.front[..]),
            Some(leaf) => self.leaves.get(leaf).map(|leaf| &leaf.handles[..]),
        };
        // The leaf that `now_ms` falls into, or else the one behind it, which begins later.
        [begun, begun + 1]
            .into_iter()
            .filter_map(handles)
            .find_map(|handles| {
                let deadlines = handles.iter().map(|&handle| position_of(arena, handle).0);
                deadlines.filter(|&deadline_ms| deadline_ms > now_ms).min()
            })
    }

    /// All entries: those of the front in their order, the others in the order of their leaves.
    pub(super) fn handles(&self) -> impl Iterator<Item = u32> {
        let front = self.front.iter().rev();
        front
            .chain(self.leaves.iter().flat_map(|leaf| &leaf.handles))
            .copied()
    }

    /// A few neighbours, chosen by `draw`.
    pub(super) fn sample(&self, draw: u64) -> &[u32] {
        /// Handles that are taken from one leaf.
        const NEIGHBOURS: usize = 8;
        let leaf = (draw as u32 as usize) % (self.leaves.len() + 1);
        let handles = match leaf.checked_sub(1) {
            Some(index) => &self.leaves[index].handles,
            None => &self.front,
        };
        if handles.len() <= NEIGHBOURS {
            return handles;
        }
        let start = (draw >> 32) as usize % (handles.len() - NEIGHBOURS + 1);
        &handles[start..start + NEIGHBOURS]
    }

    /// Adds an entry that has a deadline.
    pub(super) fn insert(&mut self, arena: &Arena, handle: u32) {
        self.len += 1;
        let position = position_of(arena, handle);
        let Some(index) = self.leaf_of(position) else {
            self.insert_into_front(arena, position, handle);
            return;
        };
        let leaf = &mut self.leaves[index].handles;
        self.capacity += push(leaf, handle);
        if leaf.len() > LEAF_MAX {
            self.split(arena, index);
        }
    }

    fn insert_into_front(&mut self, arena: &Arena, position: Position<'_>, handle: u32) {
        let at = self
            .front
            .partition_point(|&other| position_of(arena, other) > position);
        let before = self.front.capacity();
        if self.front.len() == before {
            self.front.reserve_exact(LEAF_STEP);
        }
        self.front.insert(at, handle);
        let mut later = Vec::new();
        if self.front.len() > LEAF_MAX {
            later = with_room_for(&self.front[..LEAF_MAX / 2]);
            self.front = with_room_for(&self.front[LEAF_MAX / 2..]);
        }
        self.capacity = self.capacity - before + self.front.capacity();
        if let Some(&earliest) = later.last() {
            self.insert_leaf(arena, 0, later, [self.front[0], earliest]);
        }
    }

    /// Removes an entry that is here under this deadline and key.
    pub(super) fn remove(&mut self, arena: &Arena, position: Position<'_>, handle: u32) {
        self.len -= 1;
        let Some(index) = self.leaf_of(position) else {
            self.front.remove(index_in(&self.front, handle));
            if self.front.is_empty() {
                self.refill(arena);
            }
            return;
        };
        let leaf = &mut self.leaves[index].handles;
        leaf.swap_remove(index_in(leaf, handle));
        if leaf.len() < LEAF_SMALL {
            self.merge(index);
        }
    }

    /// Notes that an entry has another handle from now on.
    pub(super) fn rename(&mut self, position: Position<'_>, old: u32, new: u32) {
        let leaf = match self.leaf_of(position) {
            Some(index) => &mut self.leaves[index].handles,
            None => &mut self.front,
        };
        let index = index_in(leaf, old);
        leaf[index] = new;
    }

    /// Drops up to `count` leaves of an order that is no longer in use; true when none is left.
    pub(super) fn discard(&mut self, count: usize) -> bool {
        self.leaves.truncate(self.leaves.len().saturating_sub(count));
        self.leaves.is_empty()
    }

    /// The leaf whose range holds `position`; `None` if that is the front.
    #[inline]
    fn leaf_of(&self, position: Position<'_>) -> Option<usize> {
        let (deadline_ms, key) = position;
        let mut end = self
            .bounds_ms
            .partition_point(|&bound_ms| bound_ms <= deadline_ms);
        let last = end.checked_sub(1)?;
        if self.bounds_ms[last] == deadline_ms && *self.leaves[last].first_key > *key {
            let mut start = self.bounds_ms.partition_point(|&bound_ms| bound_ms < deadline_ms);
            while start < end {
                let middle = (start + end) / 2;
                if *self.leaves[middle].first_key > *key {
                    end = middle;
                } else {
                    start = middle + 1;
                }
            }
        }
        end.checked_sub(1)
    }

    /// Makes the first leaf the front.
    fn refill(&mut self, arena: &Arena) {
        self.capacity -= self.front.capacity();
        self.front = if self.leaves.is_empty() {
            Vec::new()
        } else {
            self.take_leaf(0)
        };
        let mut sorted = with_deadlines(arena, &self.front);
        sorted.sort_unstable_by(|left, right| latest_first(arena, left, right));
        self.front
            .iter_mut()
            .zip(sorted)
            .for_each(|(slot, (_, handle))| *slot = handle);
    }

    /// Splits a leaf.
    fn split(&mut self, arena: &Arena, index: usize) {
        // Deadlines mostly arrive in ascending order, where the earlier leaf never grows again.
        let is_last = index + 1 == self.leaves.len();
        let later_count = if is_last { LEAF_MAX / 16 } else { LEAF_MAX / 2 };
        let leaf = &mut self.leaves[index].handles;
        let mut parted = with_deadlines(arena, leaf);
        parted.select_nth_unstable_by(later_count, |left, right| latest_first(arena, left, right));
        let (later, earlier) = parted.split_at(later_count);
        self.capacity -= leaf.capacity();
        let earlier_handles: Vec<u32> = earlier.iter().map(|&(_, handle)| handle).collect();
        *leaf = with_room_for(&earlier_handles);
        self.capacity += leaf.capacity();
        let (_, latest_before) = earlier[0];
        let earliest = later
            .iter()
            .max_by(|left, right| latest_first(arena, left, right));
        let &(_, earliest) = earliest.expect("a part has entries");
        let later: Vec<u32> = later.iter().map(|&(_, handle)| handle).collect();
        self.insert_leaf(arena, index + 1, with_room_for(&later), [latest_before, earliest]);
    }

    /// Adds a leaf; `border` are the last entry before it, and its own first one.
    fn insert_leaf(&mut self, arena: &Arena, index: usize, handles: Vec<u32>, border: [u32; 2]) {
        let [(before_ms, _), (bound_ms, key)] = border.map(|handle| position_of(arena, handle));
        let first_key = if before_ms == bound_ms {
            key.into()
        } else {
            Box::default()
        };
        self.capacity += handles.capacity();
        self.bounds_ms.insert(index, bound_ms);
        self.leaves.insert(index, Box::new(Leaf { handles, first_key }));
    }

    /// Takes a leaf out; its handles still count as capacity.
    fn take_leaf(&mut self, index: usize) -> Vec<u32> {
        let leaf = self.leaves.remove(index).expect("the leaf is there");
        self.bounds_ms.remove(index);
        let len = self.leaves.len();
        if len * 4 < self.leaves.capacity() {
            self.leaves.shrink_to(len * 2);
            self.bounds_ms.shrink_to(len * 2);
        }
        leaf.handles
    }

    /// Appends a leaf to the one before it if both fit well into one; drops it if it is empty.
    fn merge(&mut self, index: usize) {
        let len = self.leaves[index].handles.len();
        let fits = index > 0 && self.leaves[index - 1].handles.len() + len <= LEAF_MERGED_MAX;
        if len > 0 && !fits {
            return;
        }
        let leaf = self.take_leaf(index);
        self.capacity -= leaf.capacity();
        if !leaf.is_empty() {
            let earlier = &mut self.leaves[index - 1].handles;
            self.capacity += leaf.iter().map(|&handle| push(earlier, handle)).sum::<usize>();
        }
    }

    /// Checks the order and the bounds; for tests.
    #[cfg(test)]
    pub(super) fn check(&self, arena: &Arena) {
        let latest_first = |&handle: &u32| std::cmp::Reverse(position_of(arena, handle));
        assert!(self.front.is_sorted_by_key(latest_first));
        assert!(!self.front.is_empty() || self.leaves.is_empty());
        assert_eq!(self.bounds_ms.len(), self.leaves.len());
        let bound = |index: usize| Some((*self.bounds_ms.get(index)?, &*self.leaves[index].first_key));
        let in_range = |handles: &[u32], lower: Option<Position<'_>>, upper: Option<Position<'_>>| {
            handles.iter().all(|&handle| {
                let position = position_of(arena, handle);
                lower.is_none_or(|bound| bound <= position) && upper.is_none_or(|bound| position < bound)
            })
        };
        assert!(in_range(&self.front, None, bound(0)));
        let mut count = self.front.len();
        let mut capacity = self.front.capacity();
        for (index, leaf) in self.leaves.iter().enumerate() {
            assert!(!leaf.handles.is_empty() && in_range(&leaf.handles, bound(index), bound(index + 1)));
            count += leaf.handles.len();
            capacity += leaf.handles.capacity();
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

/// A copy of the handles in an allocation of its own, of one of the few sizes that leaves have.
fn with_room_for(handles: &[u32]) -> Vec<u32> {
    let mut leaf = Vec::with_capacity(handles.len().next_multiple_of(LEAF_STEP));
    leaf.extend_from_slice(handles);
    leaf
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
