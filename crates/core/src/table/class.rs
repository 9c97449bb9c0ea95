//! The sizes of slots: steps of 4 bytes up to 256, then sixteen steps per doubling up to 4096.
//!
//! Fine steps keep the memory per entry low: on average 2 bytes, later 3 %, are lost to rounding.

/// The largest record kept in a page; beyond it an entry has its own allocation.
pub(super) const SMALL_BYTES_MAX: usize = 4096;
/// Number of classes.
pub(super) const CLASSES: usize = FINE_CLASSES + 16 * 4 + 1;

const FINE_STEP: usize = 4;
const FINE_BYTES_MAX: usize = 256;
const FINE_CLASSES: usize = FINE_BYTES_MAX / FINE_STEP;

/// The class of a record of `bytes` bytes, 1 to [`SMALL_BYTES_MAX`].
#[inline]
pub(super) fn class_of(bytes: usize) -> usize {
    debug_assert!((1..=SMALL_BYTES_MAX).contains(&bytes));
    if bytes <= FINE_BYTES_MAX {
        return bytes.div_ceil(FINE_STEP);
    }
    let doubling = (bytes - 1).ilog2();
    let step = 1 << (doubling - 4);
    FINE_CLASSES + (doubling as usize - 8) * 16 + (bytes - (1 << doubling)).div_ceil(step)
}

/// Bytes of a slot of this class.
pub(super) fn class_bytes(class: usize) -> usize {
    if class <= FINE_CLASSES {
        return class * FINE_STEP;
    }
    let coarse = class - FINE_CLASSES - 1;
    let doubling = coarse / 16 + 8;
    (1 << doubling) + (coarse % 16 + 1) * (1 << (doubling - 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for bytes in 1..=SMALL_BYTES_MAX {
            let class = class_of(bytes);
            assert!(class < CLASSES && class_bytes(class) >= bytes, "{bytes}");
            assert!(class_bytes(class - 1) < bytes, "{bytes}");
        }
        assert_eq!(class_bytes(CLASSES - 1), SMALL_BYTES_MAX);
    }
}
