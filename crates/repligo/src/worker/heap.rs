//! The heap in huge pages.
//!
//! A lookup in a large table misses the cache and, with pages of 4 KiB, also the processor's table of
//! pages; on a virtual machine that second miss costs as much as several of the first. Most systems give
//! huge pages to whoever asks, so the heap of the worker, which is the main thread's, is asked for as it
//! grows. There is no fork whose copies huge pages would make expensive.
//!
//! It asks for address space a step ahead, so that memory is advised before it is touched. It changes
//! nothing but speed, and where the system refuses, nothing at all.
//!
//! Where memory is limited and what is free is given back page by page, huge pages are broken up as soon as
//! they are there, and a new one is cleared as a whole, which takes milliseconds on a virtual machine that
//! has to find the memory first. So with a small limit there are none, and with any limit memory that was
//! given back is taken again in small pages.

use std::ops::Range;

/// By so much the heap grows at once; what is not touched costs nothing. A tick's worth of allocation.
const STEP_BYTES: libc::c_int = 8 << 20;
/// Free memory at the end of the heap above this goes back to the system.
const TRIM_BYTES: libc::c_int = 16 << 20;
/// Allocations from here on are mapped alone and go back to the system at once.
const MAPPED_BYTES: libc::c_int = 1 << 20;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// With a smaller memory limit huge pages do not last.
const LIMIT_BYTES_MIN: u64 = 1 << 30;

const _: () = assert!(STEP_BYTES < TRIM_BYTES && MAPPED_BYTES < STEP_BYTES);

/// How far the heap was advised.
#[derive(Debug)]
pub struct Heap {
    advised_to: usize,
    /// What lies below was given back to the system once.
    given_back_to: usize,
}

impl Heap {
    /// Sets the allocator's steps. To be called once, early.
    pub fn new() -> Self {
        #[cfg(target_env = "gnu")]
        // SAFETY: these parameters are plain numbers, and an unknown one is refused.
        unsafe {
            libc::mallopt(libc::M_TOP_PAD, STEP_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        }
        Self {
            advised_to: heap_end(),
            given_back_to: 0,
        }
    }

    /// Asks for huge pages where the heap has grown; at every tick. `limit_bytes` is the memory limit, 0 for
    /// none.
    pub fn advise(&mut self, limit_bytes: u64) {
        if (1..LIMIT_BYTES_MIN).contains(&limit_bytes) {
            return;
        }
        let end = heap_end();
        // What the allocator let go by itself and takes again is new memory.
        self.advised_to = self.advised_to.min(end).max(self.given_back_to);
        let range = whole_pages(self.advised_to, end);
        if range.is_empty() {
            return;
        }
        // SAFETY: the range lies within the heap, and the advice changes no contents.
        unsafe {
            libc::madvise(
                std::ptr::with_exposed_provenance_mut(range.start),
                range.len(),
                libc::MADV_HUGEPAGE,
            );
        }
        self.advised_to = range.end;
    }

    /// Gives what is free inside of the heap and at its end back to the system.
    pub fn give_back(&mut self) {
        self.given_back_to = self.given_back_to.max(heap_end());
        #[cfg(target_env = "gnu")]
        // SAFETY: it returns free pages to the system and touches nothing that is in use; any thread may.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

fn heap_end() -> usize {
    // SAFETY: an increment of zero only tells the end of the heap.
    unsafe { libc::sbrk(0) }.expose_provenance()
}

/// The whole huge pages between two addresses.
fn whole_pages(from: usize, to: usize) -> Range<usize> {
    from.next_multiple_of(HUGE_PAGE_BYTES)..to / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_huge_pages_are_advised() {
        let page = HUGE_PAGE_BYTES;
        assert_eq!(whole_pages(page + 1, 4 * page - 1), 2 * page..3 * page);
        assert_eq!(whole_pages(page, 3 * page), page..3 * page);
        assert!(whole_pages(page + 1, 2 * page - 1).is_empty());
    }

    #[test]
    fn the_heap_is_advised_as_it_grows() {
        let mut heap = Heap::new();
        let before = heap.advised_to;
        let kept: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 1000]).collect();
        heap.advise(0);
        assert!(heap.advised_to >= before && heap.advised_to <= heap_end());
        let end = heap_end();
        heap.advise(LIMIT_BYTES_MIN - 1);
        assert!(heap.advised_to <= end);
        heap.give_back();
        heap.advise(0);
        assert!(heap.given_back_to >= end && heap.advised_to >= heap.given_back_to);
        heap.given_back_to = 0;
        drop(kept);
        heap.advise(0);
        assert!(heap.advised_to <= heap_end());
    }
}
