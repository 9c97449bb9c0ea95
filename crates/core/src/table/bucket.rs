//! One bucket: a cache line with twelve one-byte tags, twelve entry handles and a link.
//!
//! Invariant: the slots `0..count` are in use, the others are zero. A bucket with a link is full, so
//! only the last bucket of a chain has room.

/// Entries that fit into one bucket.
pub(super) const SLOTS: usize = 12;

/// Low bits of `link` that hold the count; the rest is the number of the next bucket of the chain.
const COUNT_BITS: u32 = 4;

/// Twelve entries of one range of hashes.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: [u8; SLOTS],
    /// Slots in use (low four bits) and the overflow bucket that continues this one (0: none).
    link: u32,
    handles: [u32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64 && SLOTS < 1 << COUNT_BITS);

impl Bucket {
    /// Number of slots in use.
    #[inline]
    pub(super) fn count(&self) -> usize {
        (self.link & ((1 << COUNT_BITS) - 1)) as usize
    }

    /// The overflow bucket that continues this one, 0 if none does.
    #[inline]
    pub(super) fn next(&self) -> u32 {
        self.link >> COUNT_BITS
    }

    /// Makes `next` the continuation of this bucket.
    pub(super) fn set_next(&mut self, next: u32) {
        assert!(
            next < 1 << (32 - COUNT_BITS),
            "overflow buckets are numbered with 28 bits"
        );
        self.link = next << COUNT_BITS | self.count() as u32;
    }

    /// The handles in use.
    #[inline]
    pub(super) fn handles(&self) -> &[u32] {
        &self.handles[..self.count()]
    }

    /// Tags and handles in use.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = (u8, u32)> {
        self.tags.iter().copied().zip(self.handles().iter().copied())
    }

    /// The handle of a slot in use.
    #[inline]
    pub(super) fn handle(&self, slot: usize) -> u32 {
        self.handles[slot]
    }

    /// Replaces the handle of a slot in use.
    pub(super) fn set_handle(&mut self, slot: usize, handle: u32) {
        debug_assert!(slot < self.count());
        self.handles[slot] = handle;
    }

    /// The slots whose tag is `tag`: a set bit 7 in the byte of each.
    #[inline]
    pub(super) fn matches(&self, tag: u8) -> Matches {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.tags;
        let low = equal_bytes(u64::from_le_bytes([a, b, c, d, e, f, g, h]), tag);
        let high = equal_bytes(u64::from(u32::from_le_bytes([i, j, k, l])), tag);
        let in_use = (1u128 << (8 * self.count())) - 1;
        Matches((u128::from(low) | u128::from(high) << 64) & in_use)
    }

    /// Adds an entry behind the others; false if the bucket is full.
    pub(super) fn push(&mut self, tag: u8, handle: u32) -> bool {
        let count = self.count();
        if count == SLOTS {
            return false;
        }
        self.tags[count] = tag;
        self.handles[count] = handle;
        self.link += 1;
        true
    }

    /// Takes the last entry out.
    pub(super) fn pop(&mut self) -> Option<(u8, u32)> {
        let last = self.count().checked_sub(1)?;
        let taken = (self.tags[last], self.handles[last]);
        self.tags[last] = 0;
        self.handles[last] = 0;
        self.link -= 1;
        Some(taken)
    }

    /// Overwrites a slot in use.
    pub(super) fn set(&mut self, slot: usize, (tag, handle): (u8, u32)) {
        debug_assert!(slot < self.count());
        self.tags[slot] = tag;
        self.handles[slot] = handle;
    }
}

/// Bit 7 of every byte of `bytes` that equals `wanted`. Exact: no borrow crosses a byte.
#[inline]
fn equal_bytes(bytes: u64, wanted: u8) -> u64 {
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let differences = bytes ^ (u64::from(wanted) * 0x0101_0101_0101_0101);
    !(((differences & LOW_BITS) + LOW_BITS) | differences | LOW_BITS)
}

/// Slots whose tag matched, in ascending order.
pub(super) struct Matches(u128);

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_exactly_the_slots_that_hold_it() {
        let mut bucket = Bucket::default();
        let tags = [0, 1, 0, 255, 254, 128, 127, 0, 0, 3, 255, 0];
        for (slot, tag) in tags.iter().enumerate() {
            assert_eq!(bucket.count(), slot);
            for wanted in 0..=255 {
                let expected: Vec<usize> = (0..slot).filter(|&slot| tags[slot] == wanted).collect();
                assert_eq!(bucket.matches(wanted).collect::<Vec<_>>(), expected);
            }
            assert!(bucket.push(*tag, slot as u32 + 1));
        }
        assert!(!bucket.push(9, 9));
        bucket.set_next(77);
        assert_eq!((bucket.next(), bucket.count()), (77, SLOTS));
        assert_eq!(bucket.pop(), Some((0, 12)));
        assert_eq!((bucket.next(), bucket.count()), (77, SLOTS - 1));
    }
}
