//! The hash of one entry for the keyspace's digest.
//!
//! An entry's digest is a sum of 128-bit products, one for every sixteen bytes of the value and two for
//! everything else. The factors are words of the entry, each masked by a word that follows from database,
//! key and position. So one changed bit changes the sum, equal words in other places give other products,
//! a change of a deadline does not read the value, and a change inside a long value reads only the part
//! that it touches.
//!
//! A value longer than [`WHOLE_BYTES_MAX`] has a content of its own: the same sum with masks that do not depend on
//! the key, in which sixteen zeros count nothing. Whoever keeps that content knows the entry's digest without
//! reading the value: it can be removed, replaced or renamed, and zeros can be appended, at the cost of a short one.
//!
//! Products do not wait for each other, which makes this cheaper than a chained hash.
//!
//! Digests are sums over entries, so their order does not matter. They are compared between replicas of
//! any version and platform: nothing here may change without a new snapshot format. They find accidents,
//! not adversaries.

use crate::table::{Meta, NOTED_BYTES_MIN};

/// Longer values have a content, which is noted with the entry.
pub(super) const WHOLE_BYTES_MAX: usize = 4096;
const _: () = assert!(WHOLE_BYTES_MAX + 1 >= NOTED_BYTES_MIN);

/// Bytes of a value that go into one product.
const CHUNK_BYTES: usize = 16;

/// Constants without structure (the fractional parts of square roots of primes).
const SEEDS: [u64; 4] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
];
/// What the masks differ by from one chunk to the next; odd, so that they never repeat.
const STEPS: [u64; 2] = [0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f];

/// The digests of one key's entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyDigest {
    masks: [u64; 2],
}

impl KeyDigest {
    /// For entries of `key` in database `db`.
    #[inline]
    pub fn new(db: u8, key: &[u8]) -> Self {
        let mut masks = [SEEDS[0], SEEDS[1]];
        let (chunks, rest) = key.as_chunks::<CHUNK_BYTES>();
        chunks.iter().for_each(|chunk| mix(&mut masks, words(chunk)));
        mix(&mut masks, tail_words(rest));
        mix(&mut masks, [key.len() as u64, u64::from(db)]);
        mix(&mut masks, [SEEDS[2], SEEDS[3]]);
        Self { masks }
    }

    /// The whole entry, with the value's [`content`].
    #[inline]
    pub fn entry(&self, value: &[u8], content: u128, meta: Meta) -> u128 {
        self.meta(value.len(), meta)
            .wrapping_add(self.value(value, content))
    }

    #[inline]
    fn value(&self, value: &[u8], content: u128) -> u128 {
        if value.len() > WHOLE_BYTES_MAX {
            self.of_content(content)
        } else {
            self.part(value, 0, value.len())
        }
    }

    /// The part of a long value that has this content.
    pub fn of_content(&self, content: u128) -> u128 {
        let [first, second] = self.masks;
        let words = [content as u64, (content >> 64) as u64];
        product([first.rotate_left(53), second.rotate_left(11)], words)
    }

    /// The part of version, deadline, kind and length of the value.
    #[inline]
    pub fn meta(&self, value_bytes: usize, meta: Meta) -> u128 {
        let [first, second] = self.masks;
        let times = [meta.version, meta.deadline_ms.unwrap_or(u64::MAX)];
        let shape = [value_bytes as u64, u64::from(meta.kind)];
        // Rotated, the masks have nothing to do with those of any chunk.
        product([first.rotate_left(17), second.rotate_left(31)], times)
            .wrapping_add(product([second.rotate_left(43), first.rotate_left(7)], shape))
    }

    /// The part of those bytes of a short value that a write from `start` to before `end` changes or has
    /// changed, with their surroundings. The value may end before `end`; a write that makes it longer or
    /// shorter starts at the shorter end or before.
    #[inline]
    pub fn part(&self, value: &[u8], start: usize, end: usize) -> u128 {
        sum(self.masks, value, (start, end), product)
    }
}

/// What a value longer than [`WHOLE_BYTES_MAX`] counts for, whatever its key; 0 for a shorter one, whose content nobody
/// needs.
#[inline]
pub(crate) fn content(value: &[u8]) -> u128 {
    if value.len() <= WHOLE_BYTES_MAX {
        return 0;
    }
    content_part(value, 0, value.len())
}

/// As [`KeyDigest::part`], of the content of a long value.
pub(super) fn content_part(value: &[u8], start: usize, end: usize) -> u128 {
    #[cfg(test)]
    READ_BYTES.with(|bytes| bytes.set(bytes.get() + end.min(value.len()).saturating_sub(start)));
    sum(
        [SEEDS[2], SEEDS[3]],
        value,
        (start, end),
        |masks, words| match words {
            [0, 0] => 0,
            _ => product(masks, words),
        },
    )
}

#[cfg(test)]
thread_local! {
    /// Bytes of long values that were read for their contents.
    pub(super) static READ_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The sum over the chunks that a write from `start` to before `end` touches.
#[inline(always)]
fn sum(
    masks: [u64; 2],
    value: &[u8],
    (start, end): (usize, usize),
    term: impl Fn([u64; 2], [u64; 2]) -> u128,
) -> u128 {
    let first = start / CHUNK_BYTES;
    let last_byte = end.next_multiple_of(CHUNK_BYTES).min(value.len());
    let Some(touched) = value.get(first * CHUNK_BYTES..last_byte) else {
        return 0;
    };
    let mut masks = [0, 1].map(|at| masks[at].wrapping_add(STEPS[at].wrapping_mul(first as u64)));
    let (chunks, rest) = touched.as_chunks::<CHUNK_BYTES>();
    let mut sum = 0u128;
    for chunk in chunks {
        sum = sum.wrapping_add(term(masks, words(chunk)));
        masks = [0, 1].map(|at| masks[at].wrapping_add(STEPS[at]));
    }
    if !rest.is_empty() {
        sum = sum.wrapping_add(term(masks, tail_words(rest)));
    }
    sum
}

#[inline(always)]
fn product(masks: [u64; 2], words: [u64; 2]) -> u128 {
    u128::from(masks[0] ^ words[0]) * u128::from(masks[1] ^ words[1])
}

/// Makes the masks depend on two more words.
#[inline(always)]
fn mix(masks: &mut [u64; 2], words: [u64; 2]) {
    let mixed = product(*masks, words);
    // The words are added again, so that a factor of zero does not wipe out the other.
    masks[0] = (mixed as u64).wrapping_add(words[1]).rotate_left(23) ^ SEEDS[2];
    masks[1] = ((mixed >> 64) as u64 ^ words[0]).wrapping_add(SEEDS[3]);
}

#[inline(always)]
fn words(chunk: &[u8; CHUNK_BYTES]) -> [u64; 2] {
    let both = u128::from_le_bytes(*chunk);
    [both as u64, (both >> 64) as u64]
}

/// At most fifteen bytes as two words, which overlap where there are not enough bytes for both. Their
/// number is hashed elsewhere.
#[inline(always)]
fn tail_words(bytes: &[u8]) -> [u64; 2] {
    if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        [u64::from_le_bytes(*head), u64::from_le_bytes(*tail)]
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        [u32::from_le_bytes(*head), u32::from_le_bytes(*tail)].map(u64::from)
    } else {
        let at = |index: usize| bytes.get(index).map_or(0, |&byte| u64::from(byte));
        [at(0) | at(1) << 8 | at(2) << 16, 0]
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
            KeyDigest::new(db, key.as_bytes()).entry(value.as_bytes(), 0, meta)
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
        assert_eq!(digest.entry(b"value", 0, META), FIXED_SHORT);
        let long = [b'x'; 10_000];
        assert_eq!(
            digest.entry(
                &long,
                content(&long),
                Meta {
                    deadline_ms: None,
                    ..META
                }
            ),
            FIXED_LONG
        );
    }
    const FIXED_SHORT: u128 = 326298872018405897089586597861472565383;
    const FIXED_LONG: u128 = 118362555423063065398621330675880507543;

    #[test]
    fn zeros_behind_a_long_value_change_nothing_but_its_length() {
        let mut value = vec![b'x'; WHOLE_BYTES_MAX + 16];
        let before = content(&value);
        value.resize(100_001, 0);
        assert_eq!(content(&value), before);
        value[70_000] = 1;
        assert_ne!(content(&value), before);
    }

    #[test]
    fn a_part_is_what_a_change_touches() {
        let digest = KeyDigest::new(0, b"key");
        let old: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
        for (start, written, new_length) in [
            (0, 1, 10_000),
            (15, 2, 10_000),
            (16, 16, 10_000),
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
                .part(&old, 0, old.len())
                .wrapping_sub(digest.part(&old, start, end))
                .wrapping_add(digest.part(&new, start, end));
            assert_eq!(changed, digest.part(&new, 0, new.len()), "{start} {written}");
            let changed = content(&old)
                .wrapping_sub(content_part(&old, start, end))
                .wrapping_add(content_part(&new, start, end));
            assert_eq!(changed, content(&new), "{start} {written}");
        }
        // To every length from every length, through each kind of tail.
        for from in 0..40 {
            for to in from..40 {
                let (short, long) = (&old[..from], &old[..to]);
                let grown = digest
                    .part(short, 0, from)
                    .wrapping_sub(digest.part(short, from, to));
                assert_eq!(
                    grown.wrapping_add(digest.part(long, from, to)),
                    digest.part(long, 0, to)
                );
            }
        }
    }
}
