//! Slots for small entries: pages cut into slots of one size each, and their evacuation.
//!
//! A freed slot is used again by the next entry of its class; an empty page goes back to the
//! allocator. When more than a quarter of a class is free, its emptier pages are evacuated: the
//! caller moves the entries of one page after the other elsewhere, a few with each change of the
//! table. So memory follows the contents down, which eviction needs to make progress.
//!
//! Invariants: handle 0 is never given out. The used slots of a page are those whose first byte has
//! the live bit. A page is in its class's list of open pages exactly while it has a free slot and is
//! not being evacuated. Nothing here depends on addresses: the same calls give the same handles.

use std::cell::Cell;

use super::class::{CLASSES, SMALL_BYTES_MAX, class_bytes, class_of};
use super::marks::Mark;
use super::record::LIVE;

/// Low bits of a handle that hold the slot; the rest is the page. The top bit stays clear.
const SLOT_BITS: u32 = 11;
const SLOT_MASK: usize = PAGE_SLOTS_MAX - 1;
/// Slots of one page.
const PAGE_SLOTS_MAX: usize = 1 << SLOT_BITS;
/// Pages of one arena: 64 GiB of the largest pages.
const PAGES_MAX: usize = 1 << (31 - SLOT_BITS);
/// The smallest page. A class's next page has a quarter of the bytes the class has, so that a small
/// database with entries of many sizes stays small.
const PAGE_BYTES_MIN: usize = 1 << 10;
/// The largest page: below the size at which allocators start to map every allocation of its own.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// Marks the end of a list of free slots.
const NO_SLOT: u16 = u16::MAX;
/// Marks a page that is not in its class's list of open pages.
const NOT_OPEN: u32 = u32::MAX;
/// One in so many slots of a class must be free before pages are evacuated. At a quarter, a table that
/// only loses entries moves at most three for each it has lost.
const EVACUATION_FREE_DIVISOR: usize = 4;
/// The same when memory is short: each page that becomes free costs the moves of up to fifteen others.
const EVACUATION_FREE_DIVISOR_PRESSED: usize = 16;
/// Open pages of which the emptiest is evacuated.
const EVACUATION_CANDIDATES: usize = 8;

const _: () = assert!(PAGE_BYTES_MAX / SMALL_BYTES_MAX >= 8 && PAGE_SLOTS_MAX < NO_SLOT as usize);

#[derive(Debug)]
struct Page {
    /// Empty if this page number is not in use.
    data: Box<[u8]>,
    /// One per slot, or none: how the entry there was used, see `marks.rs`.
    marks: Box<[Mark]>,
    slot_bytes: u16,
    class: u16,
    slot_count: u16,
    used_count: u16,
    /// Slots from here on have never been used.
    fresh: u16,
    /// First of the freed slots; each holds the next one's number in its bytes 1 and 2.
    free: u16,
    /// Where this page is in its class's list of open pages.
    open_position: u32,
}

impl Page {
    fn unused() -> Self {
        Self {
            data: Box::default(),
            marks: Box::default(),
            slot_bytes: 0,
            class: 0,
            slot_count: 0,
            used_count: 0,
            fresh: 0,
            free: NO_SLOT,
            open_position: NOT_OPEN,
        }
    }

    fn slot_range(&self, handle: u32) -> std::ops::Range<usize> {
        let bytes = usize::from(self.slot_bytes);
        let at = (handle as usize & SLOT_MASK) * bytes;
        at..at + bytes
    }
}

#[derive(Debug, Default)]
struct Class {
    /// Pages with free slots; entries go to the last of them.
    open_pages: Vec<u32>,
    slot_count: usize,
    free_slots: usize,
    /// Where the search for the next page to evacuate begins.
    evacuation_cursor: usize,
}

/// A page whose entries are being moved elsewhere.
#[derive(Clone, Copy, Debug)]
struct Evacuation {
    page: u32,
    /// The slots before this one are free.
    slot: u32,
}

/// All pages of one arena.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: Vec<Page>,
    unused_pages: Vec<u32>,
    classes: Box<[Class]>,
    evacuation: Option<Evacuation>,
    /// Bytes of all pages, marks included.
    data_bytes: usize,
    /// Bytes of slots that are free.
    free_bytes: usize,
    keeps_marks: bool,
    /// Where [`Pages::look_at_marks`] goes on.
    looked_at: usize,
    /// The class that [`Pages::press`] looks at next.
    pressed_class: usize,
}

impl Pages {
    /// Bytes allocated, free slots included.
    pub(super) fn memory_bytes(&self) -> usize {
        // A page can be in one list of open pages.
        self.data_bytes
            + self.classes.len() * size_of::<Class>()
            + self.pages.capacity() * (size_of::<Page>() + 4)
            + self.unused_pages.capacity() * 4
    }

    /// Bytes of slots that are free.
    pub(super) fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Whether pages have marks from now on.
    pub(super) fn keep_marks(&mut self, keeps_marks: bool) {
        self.keeps_marks = keeps_marks;
        for page in &mut self.pages {
            self.data_bytes -= size_of_val(&*page.marks);
            page.marks = new_marks(if keeps_marks { page.slot_count } else { 0 });
            self.data_bytes += size_of_val(&*page.marks);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Shows the marks of the next `count` pages, of all of them if there are no more.
    pub(super) fn look_at_marks(&mut self, count: usize, look: impl Fn(&Mark)) {
        for _ in 0..count.min(self.pages.len()) {
            self.looked_at = (self.looked_at + 1) % self.pages.len();
            self.pages[self.looked_at].marks.iter().for_each(&look);
        }
    }

    /// The mark of the entry in a slot, if marks are kept.
    #[inline]
    pub(super) fn mark(&self, handle: u32) -> Option<&Mark> {
        let page = &self.pages[(handle >> SLOT_BITS) as usize];
        page.marks.get(handle as usize & SLOT_MASK)
    }

    /// The slot of a handle in use.
    #[inline]
    pub(super) fn slot(&self, handle: u32) -> &[u8] {
        let page = &self.pages[(handle >> SLOT_BITS) as usize];
        &page.data[page.slot_range(handle)]
    }

    /// The slot of a handle in use.
    #[inline]
    pub(super) fn slot_mut(&mut self, handle: u32) -> &mut [u8] {
        let page = &mut self.pages[(handle >> SLOT_BITS) as usize];
        let range = page.slot_range(handle);
        &mut page.data[range]
    }

    /// The class of the slot of a handle in use.
    #[inline]
    pub(super) fn class(&self, handle: u32) -> usize {
        usize::from(self.pages[(handle >> SLOT_BITS) as usize].class)
    }

    /// A free slot for a record of this size; `None` if no page is left.
    pub(super) fn take(&mut self, bytes: usize) -> Option<u32> {
        if self.classes.is_empty() {
            self.classes = (0..CLASSES).map(|_| Class::default()).collect();
        }
        self.take_from(class_of(bytes))
    }

    fn take_from(&mut self, class_index: usize) -> Option<u32> {
        let number = match self.classes[class_index].open_pages.last() {
            Some(&number) => number,
            None => self.open_page(class_index)?,
        };
        let class = &mut self.classes[class_index];
        let page = &mut self.pages[number as usize];
        let slot = if page.free != NO_SLOT {
            let slot = page.free;
            let at = page.slot_range(u32::from(slot)).start;
            page.free = u16::from_le_bytes([page.data[at + 1], page.data[at + 2]]);
            slot
        } else {
            page.fresh += 1;
            page.fresh - 1
        };
        page.used_count += 1;
        class.free_slots -= 1;
        self.free_bytes -= usize::from(page.slot_bytes);
        if page.used_count == page.slot_count {
            page.open_position = NOT_OPEN;
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
        let wanted_bytes = (class.slot_count * slot_bytes / 4).clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX);
        let slot_count = (wanted_bytes / slot_bytes).clamp(1, PAGE_SLOTS_MAX);
        class.slot_count += slot_count;
        class.free_slots += slot_count;
        class.open_pages.push(number);
        let marks = new_marks(if self.keeps_marks { slot_count as u16 } else { 0 });
        self.data_bytes += slot_bytes * slot_count + size_of_val(&*marks);
        self.free_bytes += slot_bytes * slot_count;
        self.pages[number as usize] = Page {
            data: vec![0; slot_bytes * slot_count].into_boxed_slice(),
            marks,
            slot_bytes: slot_bytes as u16,
            class: class_index as u16,
            slot_count: slot_count as u16,
            open_position: class.open_pages.len() as u32 - 1,
            ..Page::unused()
        };
        Some(number)
    }

    /// Frees a slot.
    pub(super) fn free(&mut self, handle: u32) {
        let number = handle >> SLOT_BITS;
        let is_evacuated = self
            .evacuation
            .is_some_and(|evacuation| evacuation.page == number);
        let page = &mut self.pages[number as usize];
        let class_index = usize::from(page.class);
        let class = &mut self.classes[class_index];
        let at = page.slot_range(handle).start;
        assert!(page.data[at] & LIVE != 0, "a slot is freed once");
        page.data[at] = 0;
        page.data[at + 1..at + 3].copy_from_slice(&page.free.to_le_bytes());
        page.free = (handle as usize & SLOT_MASK) as u16;
        if page.used_count == page.slot_count && !is_evacuated {
            page.open_position = class.open_pages.len() as u32;
            class.open_pages.push(number);
        }
        page.used_count -= 1;
        class.free_slots += 1;
        self.free_bytes += usize::from(page.slot_bytes);
        if page.used_count == 0 {
            // Half a page of free slots stays, or a single entry could allocate and free a page with
            // every change.
            let slot_count = usize::from(page.slot_count);
            if is_evacuated || class.free_slots >= slot_count + slot_count / 2 {
                self.release_page(number);
            }
        }
        self.consider_evacuation(class_index, EVACUATION_FREE_DIVISOR);
    }

    /// Gives an empty page back to the allocator.
    fn release_page(&mut self, number: u32) {
        let page = std::mem::replace(&mut self.pages[number as usize], Page::unused());
        if self
            .evacuation
            .is_some_and(|evacuation| evacuation.page == number)
        {
            self.evacuation = None;
        } else {
            self.close_page(usize::from(page.class), page.open_position);
        }
        let class = &mut self.classes[usize::from(page.class)];
        class.free_slots -= usize::from(page.slot_count);
        class.slot_count -= usize::from(page.slot_count);
        self.data_bytes -= page.data.len() + size_of_val(&*page.marks);
        self.free_bytes -= page.data.len();
        self.unused_pages.push(number);
    }

    /// Takes a page out of the list of open pages; returns its number.
    fn close_page(&mut self, class_index: usize, open_position: u32) -> u32 {
        let class = &mut self.classes[class_index];
        let number = class.open_pages.swap_remove(open_position as usize);
        if let Some(&moved) = class.open_pages.get(open_position as usize) {
            self.pages[moved as usize].open_position = open_position;
        }
        self.pages[number as usize].open_position = NOT_OPEN;
        number
    }

    /// Chooses a page to evacuate if none is being evacuated and too much of this class is free.
    fn consider_evacuation(&mut self, class_index: usize, free_divisor: usize) {
        let class = &mut self.classes[class_index];
        let open_count = class.open_pages.len();
        if self.evacuation.is_some() || class.free_slots * free_divisor < class.slot_count || open_count < 2 {
            return;
        }
        let first = class.evacuation_cursor;
        class.evacuation_cursor = (first + EVACUATION_CANDIDATES) % open_count;
        let candidates = (first..first + EVACUATION_CANDIDATES).map(|position| position % open_count);
        let emptiest = candidates.min_by_key(|&position| {
            let page = &self.pages[class.open_pages[position] as usize];
            (u32::from(page.used_count) << 16) / u32::from(page.slot_count)
        });
        let position = emptiest.expect("there are open pages");
        let number = class.open_pages[position];
        let page = &self.pages[number as usize];
        let used_count = usize::from(page.used_count);
        let free_elsewhere = class.free_slots + used_count - usize::from(page.slot_count);
        if used_count == 0 {
            self.release_page(number);
        } else if free_elsewhere >= used_count + usize::from(page.slot_count) / free_divisor {
            self.close_page(class_index, position as u32);
            self.evacuation = Some(Evacuation {
                page: number,
                slot: 0,
            });
        }
    }

    /// Chooses a page to evacuate, in the next class where a small part is free; true if one is being
    /// evacuated.
    pub(super) fn press(&mut self) -> bool {
        for _ in 0..self.classes.len() {
            if self.evacuation.is_some() {
                return true;
            }
            self.pressed_class = (self.pressed_class + 1) % self.classes.len();
            self.consider_evacuation(self.pressed_class, EVACUATION_FREE_DIVISOR_PRESSED);
        }
        self.evacuation.is_some()
    }

    /// True while entries have to be moved elsewhere.
    #[inline]
    pub(super) fn is_evacuating(&self) -> bool {
        self.evacuation.is_some()
    }

    /// An entry that has to be moved elsewhere; the caller passes it to [`Pages::relocate`].
    pub(super) fn next_to_relocate(&mut self) -> Option<u32> {
        let evacuation = self.evacuation.as_mut()?;
        let page = &mut self.pages[evacuation.page as usize];
        let class = &mut self.classes[usize::from(page.class)];
        if class.open_pages.is_empty() {
            // The free slots have been used up meanwhile: keep the page.
            page.open_position = 0;
            class.open_pages.push(evacuation.page);
            self.evacuation = None;
            return None;
        }
        let is_live = |slot: &u32| page.data[page.slot_range(*slot).start] & LIVE != 0;
        let slot = (evacuation.slot..u32::from(page.fresh)).find(is_live);
        let slot = slot.expect("an evacuation ends when its page is empty");
        evacuation.slot = slot;
        Some(evacuation.page << SLOT_BITS | slot)
    }

    /// Moves the record of `handle` to another slot of its class; returns the handle of that one.
    pub(super) fn relocate(&mut self, handle: u32) -> u32 {
        let moved = self
            .take_from(self.class(handle))
            .expect("the class has an open page");
        let pages = [handle >> SLOT_BITS, moved >> SLOT_BITS].map(|number| number as usize);
        let [from, to] = self
            .pages
            .get_disjoint_mut(pages)
            .expect("an evacuated page is not open");
        let (source, target) = (from.slot_range(handle), to.slot_range(moved));
        to.data[target].copy_from_slice(&from.data[source]);
        let [old, new] = [handle, moved].map(|handle| handle as usize & SLOT_MASK);
        if let (Some(from), Some(to)) = (from.marks.get(old), to.marks.get(new)) {
            to.set(from.get());
        }
        self.free(handle);
        moved
    }

    /// Frees up to `count` pages whatever they hold, for storage that is no longer in use. True when
    /// none is left.
    pub(super) fn discard(&mut self, count: usize) -> bool {
        for page in self.pages.drain(self.pages.len().saturating_sub(count)..) {
            self.data_bytes -= page.data.len() + size_of_val(&*page.marks);
        }
        self.pages.is_empty()
    }
}

fn new_marks(count: u16) -> Box<[Mark]> {
    vec![Cell::new(0); usize::from(count)].into_boxed_slice()
}

#[cfg(test)]
impl Pages {
    /// Checks the bookkeeping; for tests.
    pub(super) fn check(&self) {
        let mut data_bytes = 0;
        let mut free_bytes = 0;
        let mut free_slots = vec![0; self.classes.len()];
        let evacuated = self.evacuation.map(|evacuation| evacuation.page as usize);
        for (number, page) in self
            .pages
            .iter()
            .enumerate()
            .filter(|(_, page)| !page.data.is_empty())
        {
            let slots = page.data.chunks_exact(usize::from(page.slot_bytes));
            let used = slots.filter(|slot| slot[0] & LIVE != 0).count();
            assert_eq!(used, usize::from(page.used_count));
            data_bytes += page.data.len() + size_of_val(&*page.marks);
            free_bytes += page.data.len() - used * usize::from(page.slot_bytes);
            let class = usize::from(page.class);
            free_slots[class] += usize::from(page.slot_count) - used;
            let position = self.classes[class]
                .open_pages
                .iter()
                .position(|&open| open as usize == number);
            let is_open = used < usize::from(page.slot_count) && evacuated != Some(number);
            assert_eq!(position.is_some(), is_open);
            assert_eq!(
                position.map_or(NOT_OPEN, |position| position as u32),
                page.open_position
            );
        }
        assert_eq!((data_bytes, free_bytes), (self.data_bytes, self.free_bytes));
        assert!(self.classes.iter().map(|class| class.free_slots).eq(free_slots));
    }
}
