//! The hash of one entry for the keyspace's digest.
//!
//! Digests are sums of these, so the order of entries does not matter and a change costs one
//! subtraction and one addition. They are compared between replicas of any version and platform:
//! [`entry_digest`] never changes without a new snapshot version. It finds accidents, not adversaries.

use crate::table::Meta;

/// Odd constants without structure (the fractional parts of square roots of primes).
const SEEDS: [u64; 4] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];

/// 128 bits that depend on every bit of database, key, value, kind, deadline and version.
#[inline]
pub(super) fn entry_digest(db: u8, key: &[u8], (value, meta): (&[u8], Meta)) -> u128 {
    let mut state = State {
        low: SEEDS[0],
        high: SEEDS[1],
    };
    // Both lengths and all of the small fields, so that no two entries feed the same words.
    state.feed(
        key.len() as u64 | u64::from(db) << 40 | u64::from(meta.kind) << 48,
        value.len() as u64,
    );
    state.feed(meta.version, meta.deadline_ms.unwrap_or(u64::MAX));
    state.feed_bytes(key);
    state.feed_bytes(value);
    state.finish()
}

/// Two words, mixed with sixteen bytes at a time by one full multiplication.
#[derive(Clone, Copy)]
struct State {
    low: u64,
    high: u64,
}

impl State {
    #[inline(always)]
    fn feed(&mut self, first: u64, second: u64) {
        let product = u128::from(first ^ self.low) * u128::from(second ^ self.high);
        // The inputs are added again, so that a factor of zero does not wipe out the other.
        self.low = (product as u64).wrapping_add(second).rotate_left(23) ^ SEEDS[2];
        self.high = ((product >> 64) as u64 ^ first).wrapping_add(SEEDS[3]);
    }

    #[inline(always)]
    fn feed_bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let words = u128::from_le_bytes(*chunk);
            self.feed(words as u64, (words >> 64) as u64);
        }
        if !rest.is_empty() {
            let mut padded = [0u8; 16];
            padded[..rest.len()].copy_from_slice(rest);
            let words = u128::from_le_bytes(padded);
            self.feed(words as u64, (words >> 64) as u64);
        }
    }

    #[inline(always)]
    fn finish(mut self) -> u128 {
        self.feed(SEEDS[1], SEEDS[0]);
        self.feed(SEEDS[3], SEEDS[2]);
        u128::from(self.low) | u128::from(self.high) << 64
    }
}
