//! Where entries live, addressed by 32-bit handles.
//!
//! A small entry is one record (see `record.rs`) in a slot of a page; all slots of a page have the
//! size of its class. A large entry has its own allocation. Freed slots are used again by the next
//! entry of their class, an empty page goes back to the allocator.
//!
//! Invariants: handle 0 is never given out. The used slots of a page are those whose first byte has
//! the live bit. A page is in its class's list of open pages exactly while it has a free slot.
//! Nothing here depends on addresses: the same calls give the same handles.

use super::class::{CLASSES, SMALL_BYTES_MAX, class_bytes, class_of};
use super::record::{self, LIVE, Shape};
use super::{EntryRef, Meta};

/// Bit of a handle that marks a large entry; the others then are its number.
const LARGE: u32 = 1 << 31;
/// Low bits of a small entry's handle that hold the slot; the rest is the page.
const SLOT_BITS: u32 = 11;
/// Slots of one page.
const PAGE_SLOTS_MAX: usize = 1 << SLOT_BITS;
/// Pages of one arena. When all are in use further entries are stored like large ones.
const PAGES_MAX: usize = 1 << (31 - SLOT_BITS);
/// A class starts with a page of this size and doubles it, so that a small database stays small.
const PAGE_BYTES_MIN: usize = 1 << 10;
/// The largest page: below the size at which allocators start to map every allocation of its own.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Marks the end of a list of free slots.
const NO_SLOT: u16 = u16::MAX;

const _: () = assert!(PAGE_BYTES_MAX / SMALL_BYTES_MAX >= 8 && PAGE_SLOTS_MAX < NO_SLOT as usize);

/// An entry with its own allocation.
#[derive(Debug)]
pub(super) struct LargeEntry {
    meta: Meta,
    key: Box<[u8]>,
    value: Vec<u8>,
}

impl LargeEntry {
    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.capacity()
    }

    /// The whole entry.
    pub(super) fn entry(&self) -> EntryRef<'_> {
        EntryRef {
            key: &self.key,
            value: &self.value,
            deadline_ms: self.meta.deadline_ms,
            version: self.meta.version,
            kind: self.meta.kind,
        }
    }
}

#[derive(Debug)]
struct Page {
    /// Empty if this page number is not in use.
    data: Box<[u8]>,
    slot_bytes: u16,
    class: u16,
    slot_count: u16,
    used_count: u16,
    /// Slots from here on have never been used.
    fresh: u16,
    /// First of the freed slots; each holds the next one's number in its bytes 1 and 2.
    free: u16,
    /// Where this page is in its class's list of open pages, if it has a free slot.
    open_position: u32,
}

#[derive(Debug, Default)]
struct Class {
    /// Pages with at least one free slot; entries go to the last of them.
    open_pages: Vec<u32>,
    page_bytes: usize,
    free_slots: usize,
}

/// Pages, large entries and the bookkeeping of both.
#[derive(Debug)]
pub(super) struct Arena {
    pages: Vec<Page>,
    unused_pages: Vec<u32>,
    classes: Box<[Class]>,
    large: Vec<Option<Box<LargeEntry>>>,
    unused_large: Vec<u32>,
    page_bytes: usize,
    large_bytes: usize,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            pages: Vec::new(),
            unused_pages: Vec::new(),
            classes: Box::default(),
            large: Vec::new(),
            unused_large: Vec::new(),
            page_bytes: 0,
            large_bytes: 0,
        }
    }

    /// Bytes allocated, free slots included.
    pub(super) fn memory_bytes(&self) -> usize {
        let open: usize = self
            .classes
            .iter()
            .map(|class| class.open_pages.capacity() * 4)
            .sum();
        self.page_bytes
            + self.large_bytes
            + open
            + self.classes.len() * size_of::<Class>()
            + self.pages.capacity() * size_of::<Page>()
            + self.large.capacity() * size_of::<Option<Box<LargeEntry>>>()
            + (self.unused_pages.capacity() + self.unused_large.capacity()) * 4
    }

    /// Bytes that this entry takes.
    pub(super) fn entry_bytes(&self, handle: u32) -> usize {
        if handle & LARGE != 0 {
            size_of::<Option<Box<LargeEntry>>>() + self.large(handle).heap_bytes()
        } else {
            usize::from(self.page(handle).slot_bytes)
        }
    }

    /// Stores an entry.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8], meta: Meta) -> u32 {
        let bytes = record::record_bytes(key.len(), value.len(), meta.deadline_ms);
        if bytes <= SMALL_BYTES_MAX
            && let Some(handle) = self.take_slot(bytes)
        {
            record::write(self.slot_mut(handle), key, value, meta);
            return handle;
        }
        self.insert_large(LargeEntry {
            meta,
            key: key.into(),
            value: value.to_vec(),
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
            self.unused_large.push(number);
        } else {
            self.free_slot(handle);
        }
    }

    /// The entry of a handle in use.
    #[inline]
    pub(super) fn entry(&self, handle: u32) -> EntryRef<'_> {
        if handle & LARGE != 0 {
            return self.large(handle).entry();
        }
        let slot = self.slot(handle);
        Shape::read(slot).entry(slot)
    }

    /// The key of a handle in use.
    #[inline]
    pub(super) fn key(&self, handle: u32) -> &[u8] {
        if handle & LARGE != 0 {
            return &self.large(handle).key;
        }
        let slot = self.slot(handle);
        Shape::read(slot).key(slot)
    }

    /// The deadline of a handle in use.
    #[inline]
    pub(super) fn deadline_ms(&self, handle: u32) -> Option<u64> {
        if handle & LARGE != 0 {
            return self.large(handle).meta.deadline_ms;
        }
        let slot = self.slot(handle);
        Shape::read(slot).deadline_ms(slot)
    }

    /// The value of a handle in use, to be changed in place.
    pub(super) fn value_mut(&mut self, handle: u32) -> &mut [u8] {
        if handle & LARGE != 0 {
            return &mut self.large_mut(handle).value;
        }
        let slot = self.slot_mut(handle);
        Shape::read(slot).value_mut(slot)
    }

    /// Replaces value and meta data of an entry whose key is `key`; returns its handle from now on.
    pub(super) fn replace(&mut self, handle: u32, key: &[u8], value: &[u8], meta: Meta) -> u32 {
        let bytes = record::record_bytes(key.len(), value.len(), meta.deadline_ms);
        if handle & LARGE != 0 {
            if bytes > SMALL_BYTES_MAX {
                self.change_large(handle, |entry| {
                    // A vector that is much too long would keep its memory forever.
                    if entry.value.capacity() / 2 > value.len() {
                        entry.value = Vec::new();
                    }
                    entry.value.clear();
                    entry.value.reserve_exact(value.len());
                    entry.value.extend_from_slice(value);
                    entry.meta = meta;
                });
                return handle;
            }
        } else if bytes <= SMALL_BYTES_MAX && class_of(bytes) == usize::from(self.page(handle).class) {
            record::write(self.slot_mut(handle), key, value, meta);
            return handle;
        }
        self.remove(handle);
        self.insert(key, value, meta)
    }

    /// Replaces the meta data; returns the entry's handle from now on.
    pub(super) fn set_meta(&mut self, handle: u32, meta: Meta) -> u32 {
        if handle & LARGE != 0 {
            self.large_mut(handle).meta = meta;
            return handle;
        }
        if record::write_meta(self.slot_mut(handle), meta) {
            return handle;
        }
        let copy = self.slot(handle).to_vec();
        let entry = Shape::read(&copy).entry(&copy);
        self.replace(handle, entry.key, entry.value, meta)
    }

    /// Changes the length of the value: cut, or continued by `tail`. Returns the entry's handle from
    /// now on. Repeated growth of a large value is amortised.
    pub(super) fn resize(&mut self, handle: u32, kept: usize, tail: &[u8]) -> u32 {
        if handle & LARGE != 0 {
            self.change_large(handle, |entry| {
                entry.value.truncate(kept);
                let needed = kept + tail.len();
                if needed > entry.value.capacity() {
                    entry.value.reserve_exact(tail.len() + needed / 8);
                }
                entry.value.extend_from_slice(tail);
            });
            return handle;
        }
        let slot = self.slot(handle);
        let shape = Shape::read(slot);
        let old = shape.entry(slot);
        let kept = kept.min(old.value.len());
        let mut value = Vec::with_capacity(kept + tail.len());
        value.extend_from_slice(&old.value[..kept]);
        value.extend_from_slice(tail);
        let (key, meta) = (old.key.to_vec(), old.meta());
        self.replace(handle, &key, &value, meta)
    }

    /// The record of a small entry, for a byte-wise copy; `None` for a large one.
    pub(super) fn record(&self, handle: u32) -> Option<&[u8]> {
        if handle & LARGE != 0 {
            return None;
        }
        let slot = self.slot(handle);
        Some(&slot[..Shape::read(slot).record_bytes()])
    }

    /// A copy of a large entry.
    ///
    /// # Panics
    /// If the entry is a small one.
    pub(super) fn copy_large(&self, handle: u32) -> LargeEntry {
        let LargeEntry { meta, key, value } = self.large(handle);
        LargeEntry {
            meta: *meta,
            key: key.clone(),
            value: value.clone(),
        }
    }

    /// The first bytes of the entry's memory, for a prefetch; `None` for a large one.
    #[inline]
    pub(super) fn memory_of(&self, handle: u32) -> Option<&[u8]> {
        (handle & LARGE == 0).then(|| self.slot(handle))
    }

    #[inline]
    fn page(&self, handle: u32) -> &Page {
        &self.pages[(handle >> SLOT_BITS) as usize]
    }

    #[inline]
    fn slot(&self, handle: u32) -> &[u8] {
        let page = self.page(handle);
        let bytes = usize::from(page.slot_bytes);
        let at = (handle as usize & (PAGE_SLOTS_MAX - 1)) * bytes;
        &page.data[at..at + bytes]
    }

    #[inline]
    fn slot_mut(&mut self, handle: u32) -> &mut [u8] {
        let page = &mut self.pages[(handle >> SLOT_BITS) as usize];
        let bytes = usize::from(page.slot_bytes);
        let at = (handle as usize & (PAGE_SLOTS_MAX - 1)) * bytes;
        &mut page.data[at..at + bytes]
    }

    fn large(&self, handle: u32) -> &LargeEntry {
        self.large[(handle & !LARGE) as usize]
            .as_ref()
            .expect("a handle in use names an entry")
    }

    fn large_mut(&mut self, handle: u32) -> &mut LargeEntry {
        self.large[(handle & !LARGE) as usize]
            .as_mut()
            .expect("a handle in use names an entry")
    }

    fn change_large(&mut self, handle: u32, change: impl FnOnce(&mut LargeEntry)) {
        let entry = self.large_mut(handle);
        let before = entry.heap_bytes();
        change(entry);
        let after = entry.heap_bytes();
        self.large_bytes = self.large_bytes - before + after;
    }

    fn insert_large(&mut self, entry: LargeEntry) -> u32 {
        self.large_bytes += entry.heap_bytes();
        let number = self.unused_large.pop().unwrap_or_else(|| {
            self.large.push(None);
            self.large.len() as u32 - 1
        });
        assert!(number < LARGE, "fewer than 2^31 large entries");
        self.large[number as usize] = Some(Box::new(entry));
        LARGE | number
    }

    /// A free slot for a record of this size; `None` if no page is left.
    fn take_slot(&mut self, bytes: usize) -> Option<u32> {
        let class_index = class_of(bytes);
        if self.classes.is_empty() {
            self.classes = (0..CLASSES).map(|_| Class::default()).collect();
        }
        let number = match self.classes[class_index].open_pages.last() {
            Some(&number) => number,
            None => self.open_page(class_index)?,
        };
        let class = &mut self.classes[class_index];
        let page = &mut self.pages[number as usize];
        let slot = if page.free != NO_SLOT {
            let slot = page.free;
            let at = usize::from(slot) * usize::from(page.slot_bytes);
            page.free = u16::from_le_bytes([page.data[at + 1], page.data[at + 2]]);
            slot
        } else {
            page.fresh += 1;
            page.fresh - 1
        };
        page.used_count += 1;
        class.free_slots -= 1;
        if page.used_count == page.slot_count {
            let closed = class.open_pages.pop();
            assert_eq!(closed, Some(number), "entries go to the last open page");
        }
        Some(number << SLOT_BITS | u32::from(slot))
    }

    /// Allocates a page for this class and opens it.
    fn open_page(&mut self, class_index: usize) -> Option<u32> {
        // Page 0 stays unused, so that no handle is 0.
        if self.pages.is_empty() {
            self.pages.push(Page::unused());
        }
        let number = match self.unused_pages.pop() {
            Some(number) => number,
            None if self.pages.len() == PAGES_MAX => return None,
            None => {
                self.pages.push(Page::unused());
                self.pages.len() as u32 - 1
            }
        };
        let class = &mut self.classes[class_index];
        let slot_bytes = class_bytes(class_index);
        let wanted_bytes = class.page_bytes.clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX);
        let slot_count = (wanted_bytes / slot_bytes).clamp(1, PAGE_SLOTS_MAX);
        let page_bytes = slot_bytes * slot_count;
        class.page_bytes += page_bytes;
        class.free_slots += slot_count;
        class.open_pages.push(number);
        self.page_bytes += page_bytes;
        self.pages[number as usize] = Page {
            data: vec![0; page_bytes].into_boxed_slice(),
            slot_bytes: slot_bytes as u16,
            class: class_index as u16,
            slot_count: slot_count as u16,
            used_count: 0,
            fresh: 0,
            free: NO_SLOT,
            open_position: class.open_pages.len() as u32 - 1,
        };
        Some(number)
    }

    fn free_slot(&mut self, handle: u32) {
        let number = handle >> SLOT_BITS;
        let slot = handle & (PAGE_SLOTS_MAX as u32 - 1);
        let page = &mut self.pages[number as usize];
        let class = &mut self.classes[usize::from(page.class)];
        let at = slot as usize * usize::from(page.slot_bytes);
        assert!(page.data[at] & LIVE != 0, "a slot is freed once");
        page.data[at] = 0;
        page.data[at + 1..at + 3].copy_from_slice(&page.free.to_le_bytes());
        page.free = slot as u16;
        if page.used_count == page.slot_count {
            page.open_position = class.open_pages.len() as u32;
            class.open_pages.push(number);
        }
        page.used_count -= 1;
        class.free_slots += 1;
        // One more empty page's worth of slots stays, or a single entry could allocate and free a
        // page with every change.
        let slot_count = usize::from(page.slot_count);
        if page.used_count == 0 && class.free_slots >= slot_count + slot_count / 2 {
            self.release_page(number);
        }
    }

    /// Gives an empty page back to the allocator.
    fn release_page(&mut self, number: u32) {
        let page = std::mem::replace(&mut self.pages[number as usize], Page::unused());
        let class = &mut self.classes[usize::from(page.class)];
        let position = page.open_position as usize;
        assert_eq!(class.open_pages.swap_remove(position), number);
        if let Some(&moved) = class.open_pages.get(position) {
            self.pages[moved as usize].open_position = position as u32;
        }
        class.free_slots -= usize::from(page.slot_count);
        class.page_bytes -= page.data.len();
        self.page_bytes -= page.data.len();
        self.unused_pages.push(number);
    }
}

impl Page {
    fn unused() -> Self {
        Self {
            data: Box::default(),
            slot_bytes: 0,
            class: 0,
            slot_count: 0,
            used_count: 0,
            fresh: 0,
            free: NO_SLOT,
            open_position: 0,
        }
    }
}

#[cfg(test)]
impl Arena {
    /// Checks the bookkeeping; for tests.
    pub(super) fn check(&self) {
        let mut page_bytes = 0;
        let mut free_slots = vec![0; self.classes.len()];
        for (number, page) in self
            .pages
            .iter()
            .enumerate()
            .filter(|(_, page)| !page.data.is_empty())
        {
            let slots = page.data.chunks_exact(usize::from(page.slot_bytes));
            let used = slots.filter(|slot| slot[0] & LIVE != 0).count();
            assert_eq!(used, usize::from(page.used_count));
            page_bytes += page.data.len();
            let class = usize::from(page.class);
            free_slots[class] += usize::from(page.slot_count) - used;
            let position = self.classes[class]
                .open_pages
                .iter()
                .position(|&open| open as usize == number);
            assert_eq!(position.is_some(), used < usize::from(page.slot_count));
            assert!(position.is_none_or(|position| position == page.open_position as usize));
        }
        assert_eq!(page_bytes, self.page_bytes);
        assert!(self.classes.iter().map(|class| class.free_slots).eq(free_slots));
        let large: usize = self.large.iter().flatten().map(|entry| entry.heap_bytes()).sum();
        assert_eq!(large, self.large_bytes);
    }
}
