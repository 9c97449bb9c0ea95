//! Where entries live, addressed by 32-bit handles.
//!
//! A small entry is one record (see `record.rs`) in a slot of a page (see `pages.rs`). A large entry
//! has its own allocations; its handle has the top bit set (see `arena/large.rs`).

mod large;

use std::cell::Cell;
use std::sync::Arc;

use super::class::{SMALL_BYTES_MAX, class_bytes, class_of};
use super::ghosts::Ghosts;
use super::leaving::Leaving;
use super::marks::{EPOCHS_PER_LOOK, Mark, Marker};
use super::pages::Pages;
use super::record::{self, Shape};
use super::{EntryRef, Meta, Noted};
use crate::eviction::Tracking;
use large::Copying;
pub(super) use large::LargeEntry;

/// Bit of a handle that marks a large entry; the others then are its number.
const LARGE: u32 = 1 << 31;
/// Bytes of long values that are freed as one allocation of an arena that is no longer in use.
const DISCARD_BYTES: usize = 64 << 10;

/// All entries of one table.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pages: Pages,
    large: Vec<Option<Box<LargeEntry>>>,
    unused_large: Vec<u32>,
    large_bytes: usize,
    copying: Option<Copying>,
    leaving: Leaving,
    /// Where [`Arena::end_second`] goes on.
    looked_at_large: usize,
    marker: Marker,
    ghosts: Ghosts,
}

impl Arena {
    /// An empty arena.
    pub(super) fn new(marker: Marker) -> Self {
        let mut new = Self {
            marker,
            ..Self::default()
        };
        new.pages.keep_marks(new.marker.is_on());
        new
    }

    /// What is remembered of accesses.
    pub(super) fn tracking(&self) -> Tracking {
        self.marker.tracking()
    }

    /// Remembers something else of accesses from now on. What was remembered before means little then,
    /// until the entries have been used again.
    pub(super) fn track(&mut self, tracking: Tracking) {
        self.marker = Marker::new(tracking);
        self.ghosts = Ghosts::default();
        self.pages.keep_marks(self.marker.is_on());
    }

    /// Notes an access to an entry.
    #[inline]
    pub(super) fn touch(&self, handle: u32) {
        if self.marker.is_on()
            && let Some(mark) = self.mark(handle)
        {
            self.marker.touch(mark);
        }
    }

    /// How soon the entry is to be evicted.
    pub(super) fn rank(&self, handle: u32) -> u16 {
        self.mark(handle).map_or(0, |mark| self.marker.rank(mark))
    }

    /// How often the entry was accessed of late.
    pub(super) fn frequency(&self, handle: u32) -> u8 {
        self.mark(handle).map_or(0, |mark| self.marker.frequency(mark))
    }

    /// The second in which the entry was accessed last; `None` if no second has ended since.
    pub(super) fn accessed(&self, handle: u32) -> Option<u32> {
        self.mark(handle).and_then(|mark| self.marker.accessed(mark))
    }

    /// A second is over. Looks at a part of all marks, so that none is overtaken.
    pub(super) fn end_second(&mut self, second: u32) {
        let epochs = self.marker.end_second(second);
        if epochs == 0 {
            return;
        }
        let part = |len: usize| (len as u64 * epochs).div_ceil(EPOCHS_PER_LOOK) as usize;
        self.pages.look_at_marks(part(self.pages.len()), |mark| {
            self.marker.rank(mark);
        });
        let count = part(self.large.len()).min(self.large.len());
        for _ in 0..count {
            self.looked_at_large = (self.looked_at_large + 1) % self.large.len();
            if let Some(entry) = &self.large[self.looked_at_large] {
                self.marker.rank(&entry.mark);
            }
        }
    }

    /// The table has a new entry and is of `len` now.
    #[inline]
    pub(super) fn note_inserted(&mut self, hash: u64, handle: u32, len: usize) {
        if self.marker.is_on() {
            self.marker.note_inserted(len);
            if let Some(frequency) = self.ghosts.recall(hash)
                && let Some(mark) = self.mark(handle)
            {
                self.marker.resume(mark, frequency);
            }
        }
    }

    /// An entry of a table of `len` was evicted that had this frequency.
    pub(super) fn note_evicted(&mut self, hash: u64, frequency: u8, len: usize) {
        if self.marker.tracking() == Tracking::Frequency {
            self.marker.note_evicted(frequency, len);
            self.ghosts.remember(hash, frequency, len);
        }
    }

    #[inline]
    fn mark(&self, handle: u32) -> Option<&Mark> {
        if handle & LARGE != 0 {
            return Some(&self.large(handle).mark);
        }
        self.pages.mark(handle)
    }

    fn set_mark(&self, handle: u32, value: u16) {
        if let Some(mark) = self.mark(handle) {
            mark.set(value);
        }
    }

    /// Bytes in slots that no entry uses.
    pub(super) fn free_bytes(&self) -> usize {
        self.pages.free_bytes()
    }

    /// Looks for a page that is worth evacuating when memory is short; true if one is being evacuated.
    pub(super) fn press(&mut self) -> bool {
        self.pages.press()
    }

    /// Bytes allocated, free slots included.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.memory_bytes()
            + self.large_bytes
            + self.copying_bytes()
            + self.large.capacity() * size_of::<Option<Box<LargeEntry>>>()
            + self.unused_large.capacity() * 4
            + self.ghosts.memory_bytes()
    }

    /// Bytes that this entry takes.
    pub(super) fn entry_bytes(&self, handle: u32) -> usize {
        if handle & LARGE != 0 {
            size_of::<Option<Box<LargeEntry>>>() + self.large(handle).heap_bytes()
        } else {
            class_bytes(self.pages.class(handle))
        }
    }

    /// Stores an entry.
    pub(super) fn insert(&mut self, key: &[u8], Noted { value, note }: Noted<'_>, meta: Meta) -> u32 {
        let bytes = record::record_bytes(key.len(), value.len(), meta.deadline_ms);
        if bytes <= SMALL_BYTES_MAX
            && let Some(handle) = self.pages.take(bytes)
        {
            record::write(self.pages.slot_mut(handle), key, value, meta);
            self.set_mark(handle, self.marker.fresh());
            return handle;
        }
        self.insert_large(LargeEntry {
            meta,
            key: key.into(),
            value: Arc::new(value.to_vec()),
            note,
            mark: Cell::new(self.marker.fresh()),
        })
    }

    /// Frees an entry.
    pub(super) fn remove(&mut self, handle: u32) {
        if handle & LARGE != 0 {
            let number = handle & !LARGE;
            let entry = self.large[number as usize]
                .take()
                .expect("a handle in use names an entry");
            self.large_bytes -= entry.heap_bytes();
            self.leaving.push(entry.value);
            self.unused_large.push(number);
        } else {
            self.pages.free(handle);
        }
    }

    /// The entry of a handle in use.
    #[inline]
    pub(super) fn entry(&self, handle: u32) -> EntryRef<'_> {
        if handle & LARGE != 0 {
            return self.large(handle).entry();
        }
        let slot = self.pages.slot(handle);
        Shape::read(slot).entry(slot)
    }

    /// The key of a handle in use.
    #[inline]
    pub(super) fn key(&self, handle: u32) -> &[u8] {
        if handle & LARGE != 0 {
            return &self.large(handle).key;
        }
        let slot = self.pages.slot(handle);
        Shape::read(slot).key(slot)
    }

    /// The deadline of a handle in use.
    #[inline]
    pub(super) fn deadline_ms(&self, handle: u32) -> Option<u64> {
        if handle & LARGE != 0 {
            return self.large(handle).meta.deadline_ms;
        }
        let slot = self.pages.slot(handle);
        Shape::read(slot).deadline_ms(slot)
    }

    /// The value of a handle in use, to be changed in place.
    pub(super) fn value_mut(&mut self, handle: u32) -> &mut [u8] {
        if handle & LARGE != 0 {
            // A snapshot may share it: the copy has no room behind the value, which counts.
            self.change_large(handle, |entry, _| _ = Arc::make_mut(&mut entry.value));
            return Arc::make_mut(&mut self.large_mut(handle).value).as_mut_slice();
        }
        let slot = self.pages.slot_mut(handle);
        Shape::read(slot).value_mut(slot)
    }

    /// Replaces value and meta data of a small entry where they lie, after it has shown the old entry,
    /// and returns the old deadline; `None`, and nothing is shown or changed, if that is not possible.
    #[inline]
    pub(super) fn overwrite(
        &mut self,
        handle: u32,
        value: &[u8],
        meta: Meta,
        show: &mut impl FnMut(EntryRef<'_>),
    ) -> Option<Option<u64>> {
        if handle & LARGE != 0 {
            return None;
        }
        record::overwrite(self.pages.slot_mut(handle), value, meta, show)
    }

    /// Replaces value and meta data of an entry whose key is `key`; returns its handle from now on.
    pub(super) fn replace(&mut self, handle: u32, key: &[u8], new: Noted<'_>, meta: Meta) -> u32 {
        let value = new.value;
        let bytes = record::record_bytes(key.len(), value.len(), meta.deadline_ms);
        if handle & LARGE != 0 {
            if bytes > SMALL_BYTES_MAX {
                self.change_large(handle, |entry, leaving| {
                    match Arc::get_mut(&mut entry.value) {
                        // A vector that is much too long would keep its memory forever, and one that is too
                        // short would copy what is overwritten anyway.
                        Some(old) if (value.len()..=2 * value.len()).contains(&old.capacity()) => {
                            old.clear();
                            old.extend_from_slice(value);
                        }
                        _ => leaving.push(std::mem::replace(&mut entry.value, Arc::new(value.to_vec()))),
                    }
                    entry.note = new.note;
                    entry.meta = meta;
                });
                return handle;
            }
        } else if bytes <= SMALL_BYTES_MAX && class_of(bytes) == self.pages.class(handle) {
            record::write(self.pages.slot_mut(handle), key, value, meta);
            return handle;
        }
        let mark = self.mark(handle).map(Cell::get);
        self.remove(handle);
        let handle = self.insert(key, new, meta);
        mark.into_iter().for_each(|mark| self.set_mark(handle, mark));
        handle
    }

    /// Replaces the meta data; returns the entry's handle from now on.
    pub(super) fn set_meta(&mut self, handle: u32, meta: Meta) -> u32 {
        if handle & LARGE != 0 {
            self.large_mut(handle).meta = meta;
            return handle;
        }
        if record::write_meta(self.pages.slot_mut(handle), meta) {
            return handle;
        }
        let copy = self.pages.slot(handle).to_vec();
        let entry = Shape::read(&copy).entry(&copy);
        self.replace(handle, entry.key, Noted::plain(entry.value), meta)
    }

    /// Changes the length of the value: cut, or continued by `tail`. Returns the entry's handle from
    /// now on. Repeated growth of a large value is amortised.
    pub(super) fn resize(&mut self, handle: u32, kept: usize, tail: &[u8]) -> u32 {
        if handle & LARGE != 0 {
            self.change_large(handle, |entry, _| {
                let value = Arc::make_mut(&mut entry.value);
                value.truncate(kept);
                let needed = kept + tail.len();
                if needed > value.capacity() {
                    value.reserve_exact(tail.len() + needed / 8);
                }
                value.extend_from_slice(tail);
            });
            return handle;
        }
        let slot = self.pages.slot(handle);
        let shape = Shape::read(slot);
        let old = shape.entry(slot);
        let kept = kept.min(old.value.len());
        let mut value = Vec::with_capacity(kept + tail.len());
        value.extend_from_slice(&old.value[..kept]);
        value.extend_from_slice(tail);
        let (key, meta) = (old.key.to_vec(), old.meta());
        self.replace(handle, &key, Noted::plain(&value), meta)
    }

    /// The record of a small entry, for a byte-wise copy; `None` for a large one.
    pub(super) fn record(&self, handle: u32) -> Option<&[u8]> {
        if handle & LARGE != 0 {
            return None;
        }
        let slot = self.pages.slot(handle);
        Some(&slot[..Shape::read(slot).record_bytes()])
    }

    /// The first bytes of the entry's memory, for a prefetch; `None` for a large one.
    #[inline]
    pub(super) fn memory_of(&self, handle: u32) -> Option<&[u8]> {
        (handle & LARGE == 0).then(|| self.pages.slot(handle))
    }

    /// True while [`Arena::next_to_relocate`] has something to do.
    #[inline]
    pub(super) fn is_evacuating(&self) -> bool {
        self.pages.is_evacuating()
    }

    /// An entry that has to move so that its page can be freed.
    pub(super) fn next_to_relocate(&mut self) -> Option<u32> {
        self.pages.next_to_relocate()
    }

    /// Moves what [`Arena::next_to_relocate`] named; returns its handle from now on.
    pub(super) fn relocate(&mut self, handle: u32) -> u32 {
        self.pages.relocate(handle)
    }

    /// Frees about `count` allocations, whatever they hold, of an arena that is no longer in use.
    /// True when none is left.
    pub(super) fn discard(&mut self, count: usize) -> bool {
        let first = self.large.len().saturating_sub(count);
        for entry in self.large.drain(first..).flatten() {
            self.large_bytes -= entry.heap_bytes();
            self.leaving.push(entry.value);
        }
        self.leaving.release(count.saturating_mul(DISCARD_BYTES));
        self.pages.discard(count) && self.large.is_empty() && self.leaving.bytes() == 0
    }
}

#[cfg(test)]
impl Arena {
    /// Checks the bookkeeping; for tests.
    pub(super) fn check(&self) {
        self.pages.check();
        let large: usize = self.large.iter().flatten().map(|entry| entry.heap_bytes()).sum();
        assert_eq!(large, self.large_bytes);
    }
}
