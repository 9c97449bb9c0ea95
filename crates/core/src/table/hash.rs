//! The table's hash of a key: 64 bits that depend on the seed and the key's bytes, nothing else.
//!
//! It belongs to the family of wyhash: sixteen bytes per step, each step one 64 × 64 → 128 bit
//! multiplication. It is written out here, rather than taken from a crate, because scan cursors are
//! ranges of this hash and travel between replicas: foldhash reserves the right to change between
//! versions and platforms. [`KeyHasher`] never may; the test with fixed vectors holds it to that.
//!
//! Clients choose the keys, so every factor of every product has a secret word of its own in it: with a
//! factor that is known, a key can make it zero, and all keys with that half have one hash. Two
//! different keys of up to sixteen bytes and of equal length share the first product for at most one in
//! 2⁶⁴ seeds (NH of UMAC, Black et al. 1999: both halves are added to secrets, and the product is kept
//! whole); the second product mixes. Not cryptographic: whoever sees hashes may learn the seed.

use std::fmt;

/// What a cluster's keys are hashed with: 256 bits that nobody outside the cluster may learn, or clients
/// could choose keys that share one hash. It has no display and its debug form does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashSeed([u64; 4]);

impl HashSeed {
    /// Bytes of a seed.
    pub const BYTES: usize = 32;

    /// The seed with these bytes, which the operating system's random source must have drawn.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self([0, 8, 16, 24].map(|at| word(bytes, at)))
    }

    /// A seed for tests and simulations, which have to be repeatable. It is no secret: 64 bits are too few.
    pub fn from_number(number: u64) -> Self {
        let mut state = number;
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    /// The bytes, for log and snapshot.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (out, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

impl fmt::Debug for HashSeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashSeed(secret)")
    }
}

/// Hashes keys with a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher {
    seed: HashSeed,
}

impl KeyHasher {
    /// A hasher for this seed; the same seed gives the same hashes on every machine.
    pub(crate) fn new(seed: HashSeed) -> Self {
        Self { seed }
    }

    /// The hash of `key`.
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let [first, second, third, fourth] = self.seed.0;
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
                let (lower, upper) = multiply(word(rest, 0) ^ second, word(rest, 8) ^ state);
                // The secret again: what a block leaves behind must be no public number, whatever is in it.
                state = lower ^ upper ^ fourth;
                rest = &rest[16..];
            }
            // The last sixteen bytes, which may overlap the block before them.
            (word(key, length - 16), word(key, length - 8))
        };
        let (lower, upper) = multiply(low.wrapping_add(second), high.wrapping_add(state));
        let (lower, upper) = multiply(lower ^ third, upper ^ fourth ^ length as u64);
        lower ^ upper
    }
}

/// Both halves of the product.
#[inline]
fn multiply(left: u64, right: u64) -> (u64, u64) {
    let product = u128::from(left) * u128::from(right);
    (product as u64, (product >> 64) as u64)
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
