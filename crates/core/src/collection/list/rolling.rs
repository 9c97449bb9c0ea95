//! The digest of a sequence: a polynomial of the digests of its elements.
//!
//! It says which elements there are and in what order, and needs no position to be stored: those of two parts
//! give that of the whole, and an element at either end is added or taken away in O(1). A clash is an
//! accident of one in about 2¹²⁸, except for sequences made for it, which nobody can gain from: digests are
//! compared between replicas that have applied the same log.

use crate::collection::tree::Sum;

/// What a position weighs more than the one behind it: odd, so that it can be divided by.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
/// One divided by [`FACTOR`], modulo 2¹²⁸.
const INVERSE: u128 = inverse(FACTOR);

/// By Newton's method: every round doubles the number of right bits, and an odd number has three.
const fn inverse(odd: u128) -> u128 {
    let mut result = odd;
    let mut round = 0;
    while round < 6 {
        result = result.wrapping_mul(2u128.wrapping_sub(odd.wrapping_mul(result)));
        round += 1;
    }
    result
}

const _: () = assert!(FACTOR.wrapping_mul(INVERSE) == 1);

/// The digest of a sequence, and the weight of what would stand in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    digest: u128,
    weight: u128,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { digest: 0, weight: 1 }
    }
}

impl Sum for Rolling {
    fn join(self, right: Self) -> Self {
        Self {
            digest: self.digest.wrapping_mul(right.weight).wrapping_add(right.digest),
            weight: self.weight.wrapping_mul(right.weight),
        }
    }
}

impl Rolling {
    /// Of one element.
    pub(super) fn of(element_digest: u128) -> Self {
        Self {
            digest: element_digest,
            weight: FACTOR,
        }
    }

    pub(super) fn digest(self) -> u128 {
        self.digest
    }

    /// What is left of `self` without its part `left` in front.
    pub(super) fn without_left(self, left: Self, right_weight: u128) -> Self {
        Self {
            digest: self.digest.wrapping_sub(left.digest.wrapping_mul(right_weight)),
            weight: right_weight,
        }
    }

    /// Without the last element.
    pub(super) fn without_last(self, element_digest: u128) -> Self {
        Self {
            digest: self.digest.wrapping_sub(element_digest).wrapping_mul(INVERSE),
            weight: self.weight.wrapping_mul(INVERSE),
        }
    }

    /// Without the first element.
    pub(super) fn without_first(self, element_digest: u128) -> Self {
        self.without_left(Self::of(element_digest), self.weight.wrapping_mul(INVERSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_the_whole_and_the_whole_gives_parts() {
        let all = [3u128, 1 << 127, 99, u128::MAX, 7];
        let sum = |part: &[u128]| {
            part.iter()
                .fold(Rolling::default(), |sum, element| sum.join(Rolling::of(*element)))
        };
        for cut in 0..=all.len() {
            let (left, right) = all.split_at(cut);
            assert_eq!(sum(left).join(sum(right)), sum(&all));
            assert_eq!(sum(&all).without_left(sum(left), sum(right).weight), sum(right));
        }
        assert_eq!(sum(&all).without_first(3), sum(&all[1..]));
        assert_eq!(sum(&all).without_last(7), sum(&all[..4]));
        assert_ne!(sum(&[1, 2]).digest(), sum(&[2, 1]).digest());
    }
}
