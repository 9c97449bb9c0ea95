//! The hash of one entry for the keyspace's digest.
//!
//! An entry's digest is a sum of parts: one for everything but the value, and one for each block of
//! [`BLOCK_BYTES`] of the value. Every part depends on database and key; a block's part depends on its
//! position too. So a change of a deadline does not read the value, and a change inside a long value
//! reads only the blocks that it touches. Digests are sums over entries, so their order does not matter.
//!
//! They are compared between replicas of any version and platform: nothing here may change without a
//! new snapshot format. They find accidents, not adversaries.

use crate::table::Meta;

/// Bytes of a value that are hashed together.
const BLOCK_BYTES: usize = 4096;

/// Constants without structure (the fractional parts of square roots of primes).
const SEEDS: [u64; 4] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];

/// The digests of one key's entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyDigest(State);

impl KeyDigest {
    /// For entries of `key` in database `db`.
    #[inline]
    pub fn new(db: u8, key: &[u8]) -> Self {
        let mut state = State {
            low: SEEDS[0],
            high: SEEDS[1],
        };
        state.feed(key.len() as u64, u64::from(db));
        state.feed_bytes(key);
        Self(state)
    }

    /// The whole entry.
    #[inline]
    pub fn entry(&self, value: &[u8], meta: Meta) -> u128 {
        self.meta(value.len(), meta).wrapping_add(self.value(value))
    }

    /// The part of version, deadline, kind and length of the value.
    #[inline]
    pub fn meta(&self, value_bytes: usize, meta: Meta) -> u128 {
        let mut state = self.0;
        state.feed(meta.version, meta.deadline_ms.unwrap_or(u64::MAX));
        state.feed(value_bytes as u64, u64::from(meta.kind));
        state.finish()
    }

    /// The parts of all blocks of a value.
    #[inline]
    pub fn value(&self, value: &[u8]) -> u128 {
        match value.len() {
            0 => 0,
            1..=BLOCK_BYTES => self.block(0, value),
            length => self.blocks(value, 0, length),
        }
    }

    /// The parts of those blocks of a value that a write from `start` to before `end` changes or that it
    /// has changed; the value may end before `end`.
    pub fn blocks(&self, value: &[u8], start: usize, end: usize) -> u128 {
        let first = start / BLOCK_BYTES;
        let touched = &value[(first * BLOCK_BYTES).min(value.len())..];
        let touched = &touched[..touched
            .len()
            .min(end.next_multiple_of(BLOCK_BYTES) - first * BLOCK_BYTES)];
        (first..)
            .zip(touched.chunks(BLOCK_BYTES))
            .fold(0, |sum: u128, (index, block)| {
                sum.wrapping_add(self.block(index, block))
            })
    }

    #[inline]
    fn block(&self, index: usize, block: &[u8]) -> u128 {
        let mut state = self.0;
        state.feed(SEEDS[2] ^ index as u64, block.len() as u64);
        state.feed_bytes(block);
        state.finish()
    }
}

/// Two words, mixed with sixteen bytes at a time by one full multiplication.
#[derive(Clone, Copy, Debug)]
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
        u128::from(self.low) | u128::from(self.high) << 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta {
        deadline_ms: Some(7),
        version: 1,
        kind: 0,
    };

    #[test]
    fn every_field_counts_and_nothing_else() {
        let digest = |db, key: &str, value: &str, meta| {
            KeyDigest::new(db, key.as_bytes()).entry(value.as_bytes(), meta)
        };
        let mut seen = vec![
            digest(0, "key", "value", META),
            digest(1, "key", "value", META),
            digest(0, "kez", "value", META),
            digest(0, "keyv", "alue", META),
            digest(0, "key", "valuf", META),
            digest(0, "key", "value\0", META),
            digest(0, "key", "", META),
            digest(0, "", "key", META),
            digest(0, "key", "value", Meta { version: 2, ..META }),
            digest(0, "key", "value", Meta { kind: 1, ..META }),
            digest(
                0,
                "key",
                "value",
                Meta {
                    deadline_ms: None,
                    ..META
                },
            ),
            digest(
                0,
                "key",
                "value",
                Meta {
                    deadline_ms: Some(8),
                    ..META
                },
            ),
        ];
        assert_eq!(seen[0], digest(0, "key", "value", META));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 12);
    }

    /// Replicas of different releases compare these.
    #[test]
    fn the_digest_never_changes() {
        let digest = KeyDigest::new(3, b"user:7");
        assert_eq!(digest.entry(b"value", META), FIXED_SHORT);
        assert_eq!(
            digest.entry(
                &[b'x'; 10_000],
                Meta {
                    deadline_ms: None,
                    ..META
                }
            ),
            FIXED_LONG
        );
    }
    const FIXED_SHORT: u128 = 327744619484185332929256271596902349512;
    const FIXED_LONG: u128 = 21070252344883396905904334206008931970;

    #[test]
    fn blocks_are_those_that_a_change_touches() {
        let digest = KeyDigest::new(0, b"key");
        let old: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        for (start, written, new_length) in [
            (0, 1, 10_000),
            (4095, 2, 10_000),
            (4096, 4096, 10_000),
            (8192, 1, 10_000),
            (9_999, 1, 10_000),
            (10_000, 1, 10_001),
            (9_000, 5_000, 14_000),
            (10_000, 50_000, 60_000),
        ] {
            let mut new = old.clone();
            new.resize(new_length, 0);
            new[start..start + written].fill(0xff);
            let end = start + written;
            let changed = digest
                .value(&old)
                .wrapping_sub(digest.blocks(&old, start, end))
                .wrapping_add(digest.blocks(&new, start, end));
            assert_eq!(changed, digest.value(&new), "{start} {written}");
        }
        // Up to a block's border and on from there.
        let (short, long) = (&old[..4096], &old[..5000]);
        let grown = digest.value(short).wrapping_sub(digest.blocks(short, 4096, 5000));
        assert_eq!(
            grown.wrapping_add(digest.blocks(long, 4096, 5000)),
            digest.value(long)
        );
    }
}
