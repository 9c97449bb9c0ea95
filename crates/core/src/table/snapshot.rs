//! A consistent copy of the table, taken piece by piece while the table goes on changing.
//!
//! When a snapshot begins, the hashes are divided into cells: the buckets of that moment, each cut
//! into 64. The division stays as it is, whatever the index does meanwhile, because cells are ranges
//! of the hash and the index only ever regroups entries within the order of the hash. The walk visits
//! cell after cell. A change to an entry whose cell it has not reached first saves what the cell then
//! holds, its pre-image, and the walk skips the cell. Cells are small (a sixth of an entry on
//! average), so little is copied that does not change.
//!
//! Pre-images leave with the next pieces, before anything else, so that they do not pile up.
//! Clearing the table hands the whole storage over to the snapshot, which then walks that.

use std::collections::VecDeque;
use std::sync::Arc;

use super::arena::LargeEntry;
use super::record::Shape;
use super::{EntryRef, Store};

/// Cells per bucket: one bit of a word for each.
const CELLS_PER_BUCKET: u32 = u64::BITS;
/// Pre-images of small entries are gathered in buffers of this size.
const BUFFER_BYTES: usize = 64 << 10;
/// What the walk over an empty bucket counts against a piece's budget.
const BUCKET_BUDGET_BYTES: usize = 16;

/// A value with an allocation of its own, which can be kept as it is while the entry goes on changing.
pub type SharedValue = Arc<Vec<u8>>;
/// Is shown an entry, and its value if that can be shared.
pub type OnEntry<'a> = dyn FnMut(EntryRef<'_>, Option<&SharedValue>) + 'a;

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Number of buckets when the snapshot began.
    bucket_count: u64,
    /// The walk has visited all buckets before this one.
    visited: u64,
    /// One bit per cell: its pre-image has been saved. One word per bucket.
    saved: Vec<u64>,
    small: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer of `small` that have left already.
    small_done: usize,
    large: Vec<LargeEntry>,
    pre_image_bytes: usize,
    /// The storage as it was when the table was cleared.
    frozen: Option<Store>,
}

impl Snapshot {
    pub(super) fn new(bucket_count: u64) -> Self {
        Self {
            bucket_count,
            visited: 0,
            saved: vec![0; bucket_count as usize],
            small: VecDeque::new(),
            small_done: 0,
            large: Vec::new(),
            pre_image_bytes: 0,
            frozen: None,
        }
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.saved.capacity() * 8 + self.pre_image_bytes + self.frozen.as_ref().map_or(0, Store::memory_bytes)
    }

    /// Bucket and bit of the cell of a hash.
    fn cell(&self, hash: u64) -> (u64, u32) {
        let product = u128::from(hash) * u128::from(self.bucket_count);
        ((product >> 64) as u64, (product as u64 >> 58) as u32)
    }

    fn lowest_hash(&self, bucket: u64) -> u128 {
        (u128::from(bucket) << 64).div_ceil(u128::from(self.bucket_count))
    }

    /// To be called before anything with this hash changes.
    pub(super) fn before_change(&mut self, store: &Store, hash: u64) {
        let (bucket, bit) = self.cell(hash);
        if self.frozen.is_some() || bucket < self.visited || self.is_saved(bucket, bit) {
            return;
        }
        self.saved[bucket as usize] |= 1 << bit;
        let cells = u128::from(self.bucket_count) * u128::from(CELLS_PER_BUCKET);
        let number = u128::from(bucket) * u128::from(CELLS_PER_BUCKET) + u128::from(bit);
        // Both products stay below 2^128: a table has fewer than 2^48 buckets.
        let start = (number << 64).div_ceil(cells);
        let end = ((number + 1) << 64).div_ceil(cells);
        store.for_each_in(start..end, &mut |handle, _| self.save(store, handle));
    }

    fn is_saved(&self, bucket: u64, bit: u32) -> bool {
        self.saved[bucket as usize] & 1 << bit != 0
    }

    fn save(&mut self, store: &Store, handle: u32) {
        let Some(record) = store.arena.record(handle) else {
            let copy = store.arena.copy_large(handle);
            self.pre_image_bytes += copy.entry().key.len() + copy.entry().value.len();
            self.large.push(copy);
            return;
        };
        let fits = |buffer: &Vec<u8>| buffer.capacity() - buffer.len() >= record.len();
        if !self.small.back().is_some_and(fits) {
            self.small.push_back(Vec::with_capacity(BUFFER_BYTES));
            self.pre_image_bytes += BUFFER_BYTES;
        }
        let buffer = self.small.back_mut().expect("there is a buffer with room");
        buffer.extend_from_slice(record);
    }

    /// Keeps the storage of a table that is being cleared, or gives it back if it is not needed.
    pub(super) fn keep(&mut self, store: Store) -> Option<Store> {
        if self.frozen.is_some() {
            return Some(store);
        }
        self.frozen = Some(store);
        None
    }

    /// The storage that was kept.
    pub(super) fn into_frozen(self) -> Option<Store> {
        self.frozen
    }

    /// Hands out about `budget_bytes` of entries; true when the snapshot is complete.
    pub(super) fn next(&mut self, live: &Store, budget_bytes: usize, on_entry: &mut OnEntry<'_>) -> bool {
        let mut budget = Budget {
            left: budget_bytes.max(1),
        };
        self.drain_pre_images(&mut budget, on_entry);
        let frozen = self.frozen.take();
        let store = frozen.as_ref().unwrap_or(live);
        while self.visited < self.bucket_count && budget.left > 0 {
            let range = self.lowest_hash(self.visited)..self.lowest_hash(self.visited + 1);
            budget.take(BUCKET_BUDGET_BYTES);
            store.for_each_in(range, &mut |handle, hash| {
                let (bucket, bit) = self.cell(hash);
                if !self.is_saved(bucket, bit) {
                    budget.spend(store.arena.entry(handle), store.arena.shared(handle), on_entry);
                }
            });
            self.visited += 1;
            // While the caller encodes this bucket's entries the next one's arrive.
            store.prefetch_chain(self.lowest_hash((self.visited + 1).min(self.bucket_count) - 1) as u64);
        }
        self.frozen = frozen;
        self.visited == self.bucket_count && self.large.is_empty() && self.small.is_empty()
    }

    fn drain_pre_images(&mut self, budget: &mut Budget, on_entry: &mut OnEntry<'_>) {
        while budget.left > 0
            && let Some(entry) = self.large.pop()
        {
            self.pre_image_bytes -= entry.entry().key.len() + entry.entry().value.len();
            budget.spend(entry.entry(), Some(entry.shared()), on_entry);
        }
        while budget.left > 0
            && let Some(buffer) = self.small.front()
        {
            let record = &buffer[self.small_done..];
            let shape = Shape::read(record);
            budget.spend(shape.entry(record), None, on_entry);
            self.small_done += shape.record_bytes();
            if self.small_done == buffer.len() {
                self.small.pop_front();
                self.small_done = 0;
                self.pre_image_bytes -= BUFFER_BYTES;
            }
        }
    }
}

/// What is left of a piece's bytes.
struct Budget {
    left: usize,
}

impl Budget {
    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn spend(&mut self, entry: EntryRef<'_>, value: Option<&SharedValue>, on_entry: &mut OnEntry<'_>) {
        self.take(entry.key.len() + entry.value.len() + BUCKET_BUDGET_BYTES);
        on_entry(entry, value);
    }
}
