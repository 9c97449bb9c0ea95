//! One division of the hashes into equal ranges, a bucket for each, in segments that come and go with
//! the migration.

use super::bucket::Bucket;

/// Buckets per segment: 16 KiB.
pub(super) const SEGMENT_BUCKETS: usize = 1 << SEGMENT_BITS;
const SEGMENT_BITS: usize = 8;

/// One division of the hashes into buckets.
#[derive(Debug)]
pub(super) struct Region {
    /// Buckets that the hashes are divided into; 0: this region is not in use.
    pub(super) bucket_count: u64,
    /// Segments outside of what the migration has reached, or not yet left, are empty.
    segments: Vec<Box<[Bucket]>>,
    /// Buckets in all segments.
    allocated: usize,
}

impl Region {
    pub(super) fn new(bucket_count: u64) -> Self {
        let segment_count = (bucket_count as usize).div_ceil(SEGMENT_BUCKETS);
        Self {
            bucket_count,
            segments: (0..segment_count).map(|_| Box::default()).collect(),
            allocated: 0,
        }
    }

    /// Bucket and tag of a hash.
    #[inline]
    pub(super) fn locate(&self, hash: u64) -> (usize, u8) {
        let product = u128::from(hash) * u128::from(self.bucket_count);
        ((product >> 64) as usize, (product as u64 >> 56) as u8)
    }

    /// The lowest hash of a bucket; 2⁶⁴ for the one behind the last.
    pub(super) fn lowest_hash(&self, bucket: u64) -> u128 {
        (u128::from(bucket) << 64).div_ceil(u128::from(self.bucket_count))
    }

    #[inline]
    pub(super) fn bucket(&self, index: usize) -> &Bucket {
        &self.segments[index >> SEGMENT_BITS][index & (SEGMENT_BUCKETS - 1)]
    }

    #[inline]
    pub(super) fn bucket_mut(&mut self, index: usize) -> &mut Bucket {
        &mut self.segments[index >> SEGMENT_BITS][index & (SEGMENT_BUCKETS - 1)]
    }

    /// Makes sure that this bucket's segment exists, which is one of the spare ones if possible.
    pub(super) fn allocate(&mut self, index: usize, spare: &mut Vec<Box<[Bucket]>>) {
        let segment = index >> SEGMENT_BITS;
        if self.segments[segment].is_empty() {
            let behind = self.bucket_count as usize - segment * SEGMENT_BUCKETS;
            self.segments[segment] = match spare.pop() {
                Some(spare) if behind >= SEGMENT_BUCKETS => spare,
                _ => new_buckets(behind.min(SEGMENT_BUCKETS)),
            };
            self.allocated += self.segments[segment].len();
        }
    }

    /// Takes away the segment of this bucket, which holds no entries any more.
    pub(super) fn take(&mut self, index: usize) -> Box<[Bucket]> {
        let segment = std::mem::take(&mut self.segments[index >> SEGMENT_BITS]);
        self.allocated -= segment.len();
        segment
    }

    /// Frees up to `count` segments from the end on.
    pub(super) fn truncate(&mut self, count: usize) {
        let from = self.segments.len().saturating_sub(count);
        self.allocated -= self
            .segments
            .drain(from..)
            .map(|segment| segment.len())
            .sum::<usize>();
    }

    /// True when no segment is left.
    pub(super) fn is_discarded(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.allocated * size_of::<Bucket>() + self.segments.capacity() * size_of::<Box<[Bucket]>>()
    }
}

pub(super) fn new_buckets(count: usize) -> Box<[Bucket]> {
    vec![Bucket::default(); count].into_boxed_slice()
}
