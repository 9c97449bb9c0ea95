//! How many elements a sketch has seen, about, and where an element counts.
//!
//! The estimate follows O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), as in Redis.
//! It adds, multiplies, divides and takes square roots, all of which are exact to the last bit everywhere: the count
//! that is cached in a value is the same on every replica.

use super::sketch::{INDEX_BITS, REGISTERS};

/// Bits of a hash that are counted.
const COUNTED_BITS: u32 = u64::BITS - INDEX_BITS;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;
const SEED: u64 = 0xadc8_3b19;

/// Registers by their value.
pub(super) type Histogram = [u32; 64];

/// The register of an element, and the value that it has at least.
pub(super) fn place_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element, SEED);
    let index = hash as usize & (REGISTERS - 1);
    let counted = hash >> INDEX_BITS | 1 << COUNTED_BITS;
    (index, counted.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A of A. Appleby, with words of which the lowest byte comes first.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// About how many different elements made registers with these values.
pub(super) fn count(histogram: &Histogram) -> u64 {
    let registers = REGISTERS as f64;
    let of = |value: u32| f64::from(histogram[value as usize]);
    let mut z = registers * tau((registers - of(COUNTED_BITS + 1)) / registers);
    for value in (1..=COUNTED_BITS).rev() {
        z += of(value);
        z *= 0.5;
    }
    z += registers * sigma(of(0) / registers);
    (ALPHA * registers * registers / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_near_what_was_counted() {
        let mut registers = vec![0_u8; REGISTERS];
        for number in 0..100_000_u32 {
            let (index, value) = place_of(&number.to_le_bytes());
            registers[index] = registers[index].max(value);
        }
        let mut histogram = [0; 64];
        registers
            .iter()
            .for_each(|value| histogram[usize::from(*value)] += 1);
        let counted = count(&histogram);
        assert!((97_000..103_000).contains(&counted), "{counted}");
    }

    #[test]
    fn the_ends_of_the_estimate_are_numbers() {
        let mut histogram = [0; 64];
        histogram[0] = REGISTERS as u32;
        assert_eq!(count(&histogram), 0);
        histogram[0] = 0;
        histogram[51] = REGISTERS as u32;
        assert_eq!(count(&histogram), u64::MAX);
    }
}
