//! The memory of a machine: one region, and an allocator that gives the same offsets for the same requests.
//!
//! Lua hashes a table that is a key by the low 32 bits of its address. The region begins at a multiple of 4 GiB, so
//! these are the offset in it, which follows from what the script did before: the order in which `pairs` visits such
//! keys is the same on every replica. A planted bug of the simulator begins elsewhere.
//!
//! Invariants: a block is as long as its class says; a free block begins with the offset of the next one of its class.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

/// The part of an address that Lua hashes.
const HASHED_BYTES: usize = 1 << 32;
/// Room in the region: what a single answer of a command may add to the limit of a script is far less.
pub const REGION_BYTES: usize = 2 << 30;
/// Blocks up to this size have a class for every [`GRAIN`] bytes, longer ones four for every doubling.
const SMALL_BYTES_MAX: usize = 512;
const GRAIN: usize = 16;
const SMALL_CLASSES: usize = SMALL_BYTES_MAX / GRAIN + 1;
const CLASSES: usize = SMALL_CLASSES + 4 * 23;
/// Where the first block is: no offset is 0.
const FIRST: u32 = 64;
/// What a script touched beyond this is given back to the system before the next one.
const KEPT_BYTES: usize = 1 << 20;

/// What is free and what is used; part of an image.
#[derive(Clone, Copy, Debug)]
struct Books {
    end: u32,
    used: u64,
    asked: u64,
    free: [u32; CLASSES],
}

/// The memory of one machine.
#[derive(Debug)]
pub struct Arena {
    base: *mut u8,
    mapping: *mut c_void,
    mapped_bytes: usize,
    end: Cell<u32>,
    used: Cell<u64>,
    free: [Cell<u32>; CLASSES],
    /// Bytes that were ever asked for since the machine was new: what a script pays for.
    asked: Cell<u64>,
    /// Above it nothing is given to a script.
    limit: Cell<u64>,
    /// Rust code of this crate runs, which must not be left by an error of the allocator: the limit does not hold.
    is_patient: Cell<bool>,
}

/// All of a machine's memory at one moment.
#[derive(Debug)]
pub struct Image {
    bytes: Box<[u8]>,
    books: Books,
}

impl Arena {
    /// An empty region; `skew` bytes away from where it should be, for the planted bug.
    ///
    /// # Panics
    /// If the system has no such address space.
    pub fn new(skew: usize) -> Self {
        let mapped_bytes = HASHED_BYTES + REGION_BYTES + skew;
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping at an address of the system's choice touches no other memory.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), mapped_bytes, access, kind, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED, "there is address space for a script");
        let before = mapping.addr().next_multiple_of(HASHED_BYTES) - mapping.addr();
        let base = mapping.cast::<u8>().wrapping_add(before + skew);
        Self {
            base,
            mapping,
            mapped_bytes,
            end: Cell::new(FIRST),
            used: Cell::new(0),
            free: [const { Cell::new(0) }; CLASSES],
            asked: Cell::new(0),
            limit: Cell::new(u64::MAX),
            is_patient: Cell::new(true),
        }
    }

    /// Bytes that a script may use from now on.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.set(bytes);
    }

    /// Whether allocations beyond the limit are granted from here on; returns whether they were.
    pub fn set_patient(&self, is_patient: bool) -> bool {
        self.is_patient.replace(is_patient)
    }

    /// True if more is used than a script may.
    pub fn is_overdrawn(&self) -> bool {
        self.used.get() > self.limit.get()
    }

    /// True if so many bytes more are within the limit.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.used.get() + bytes as u64 <= self.limit.get()
    }

    /// Bytes that are in use.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Bytes that were asked for since the machine was new.
    pub fn asked(&self) -> u64 {
        self.asked.get()
    }

    /// The offset of an address, as scripts may see it.
    pub fn offset_of(&self, pointer: *const c_void) -> usize {
        pointer.addr() % HASHED_BYTES
    }

    /// As Lua wants it: a block of another size, with what was in the old one, or none.
    pub fn reallocate(&self, old: *mut u8, old_bytes: usize, bytes: usize) -> *mut u8 {
        if bytes == 0 {
            if !old.is_null() && old_bytes > 0 {
                self.release(old, old_bytes);
            }
            return ptr::null_mut();
        }
        if old.is_null() || old_bytes == 0 {
            return self.allocate(bytes);
        }
        if class_of(old_bytes) == class_of(bytes) {
            self.asked
                .set(self.asked.get() + bytes.saturating_sub(old_bytes) as u64);
            return old;
        }
        let new = self.allocate(bytes);
        // Lua counts on it that a block can always become smaller: it is left as it is.
        if new.is_null() {
            return if bytes <= old_bytes { old } else { new };
        }
        // SAFETY: both are blocks of this arena, different ones, and at least so long.
        unsafe { ptr::copy_nonoverlapping(old, new, old_bytes.min(bytes)) };
        self.release(old, old_bytes);
        new
    }

    fn allocate(&self, bytes: usize) -> *mut u8 {
        let (class, size) = class_of(bytes);
        let refused = !self.is_patient.get() && !self.has_room_for(size);
        if class >= CLASSES || refused {
            return ptr::null_mut();
        }
        let first = self.free[class].get();
        let offset = if first != 0 {
            // SAFETY: a free block begins with the offset of the next one.
            self.free[class].set(unsafe { self.base.wrapping_add(first as usize).cast::<u32>().read() });
            first
        } else {
            let begin = self.end.get();
            if begin as usize + size > REGION_BYTES {
                return ptr::null_mut();
            }
            self.end.set(begin + size as u32);
            begin
        };
        self.used.set(self.used.get() + size as u64);
        self.asked.set(self.asked.get() + bytes as u64);
        self.base.wrapping_add(offset as usize)
    }

    fn release(&self, block: *mut u8, bytes: usize) {
        let (class, size) = class_of(bytes);
        let offset = (block.addr() - self.base.addr()) as u32;
        // SAFETY: the block is of this arena and has at least a grain; nobody uses it any more.
        unsafe { block.cast::<u32>().write(self.free[class].get()) };
        self.free[class].set(offset);
        self.used.set(self.used.get() - size as u64);
    }

    /// All of the memory as it is.
    pub fn image(&self) -> Image {
        let end = self.end.get();
        // SAFETY: so much of the region is in use, and nothing else writes to it now.
        let bytes = unsafe { std::slice::from_raw_parts(self.base, end as usize) };
        Image {
            bytes: bytes.into(),
            books: Books {
                end,
                used: self.used.get(),
                asked: self.asked.get(),
                free: std::array::from_fn(|class| self.free[class].get()),
            },
        }
    }

    /// Makes the memory what it was when the image of it was taken.
    pub fn restore(&self, image: &Image) {
        let (kept, touched) = (image.bytes.len() + KEPT_BYTES, self.end.get() as usize);
        if touched > kept {
            // Whole pages of whatever size systems have.
            let from = kept.next_multiple_of(64 << 10);
            if touched > from {
                let begin = self.base.wrapping_add(from).cast::<c_void>();
                // SAFETY: these pages are of the region, and what is in them is not needed any more.
                unsafe { libc::madvise(begin, touched - from, libc::MADV_DONTNEED) };
            }
        }
        // SAFETY: the region is longer than every image of it.
        unsafe { ptr::copy_nonoverlapping(image.bytes.as_ptr(), self.base, image.bytes.len()) };
        self.end.set(image.books.end);
        self.used.set(image.books.used);
        for (free, was) in self.free.iter().zip(image.books.free) {
            free.set(was);
        }
        self.asked.set(image.books.asked);
    }
}

impl Image {
    /// Bytes that were asked for until it was taken.
    pub fn asked(&self) -> u64 {
        self.books.asked
    }

    /// Bytes that it takes.
    pub fn held_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, and whoever used it goes with it.
        unsafe { libc::munmap(self.mapping, self.mapped_bytes) };
    }
}

/// The class of a block of so many bytes, and how long its blocks are.
fn class_of(bytes: usize) -> (usize, usize) {
    if bytes <= SMALL_BYTES_MAX {
        let class = bytes.div_ceil(GRAIN).max(1);
        return (class, class * GRAIN);
    }
    let bits = (usize::BITS - (bytes - 1).leading_zeros()) as usize;
    let step = 1 << (bits - 3);
    let size = bytes.next_multiple_of(step);
    let class = SMALL_CLASSES + (bits - 10) * 4 + (size - (1 << (bits - 1))) / step - 1;
    (class, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_asked_for() {
        let mut last = (0, 0);
        for bytes in (1..4096)
            .chain((1 << 20) - 3..(1 << 20) + 3)
            .chain([(1 << 31) - 1])
        {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && class < CLASSES, "{bytes}");
            assert!((class, size) >= last, "{bytes}");
            assert_eq!(class_of(size), (class, size), "{bytes}");
            last = (class, size);
        }
    }

    #[test]
    fn equal_requests_get_equal_offsets_and_an_image_brings_them_back() {
        let run = |arena: &Arena| {
            let mut offsets = Vec::new();
            let mut blocks = Vec::new();
            for round in 1..200usize {
                let bytes = round * 37 % 1500 + 1;
                let block = arena.reallocate(ptr::null_mut(), 0, bytes);
                offsets.push(arena.offset_of(block.cast()));
                blocks.push((block, bytes));
                if round % 3 == 0 {
                    let (block, bytes) = blocks.swap_remove(round % blocks.len());
                    arena.reallocate(block, bytes, 0);
                }
            }
            offsets
        };
        let (left, right) = (Arena::new(0), Arena::new(0));
        let (image, first) = (left.image(), run(&left));
        assert_eq!(first, run(&right));
        left.restore(&image);
        assert_eq!(first, run(&left));
        let skewed = Arena::new(4096);
        assert_ne!(first, run(&skewed));
    }

    #[test]
    fn a_script_gets_no_more_than_its_limit() {
        let arena = Arena::new(0);
        arena.set_limit(1000);
        arena.set_patient(false);
        let block = arena.reallocate(ptr::null_mut(), 0, 600);
        assert!(!block.is_null() && arena.reallocate(ptr::null_mut(), 0, 600).is_null());
        arena.set_patient(true);
        assert!(!arena.reallocate(ptr::null_mut(), 0, 600).is_null() && arena.is_overdrawn());
    }
}
