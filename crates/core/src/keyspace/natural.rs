//! Natural numbers of any size: just enough arithmetic to turn decimal texts into binary numbers and
//! back, exactly. Sizes are bounded by the longest text that is parsed, so plain methods do.

use std::cmp::Ordering;

/// The largest power of ten in a limb.
const LIMB_POWER: u64 = 10_000_000_000_000_000_000;
/// Its exponent.
const LIMB_DIGITS: u32 = 19;

/// A natural number; limbs in little-endian order, the last one not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural {
    limbs: Vec<u64>,
}

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        Self {
            limbs: if value == 0 { Vec::new() } else { vec![value] },
        }
    }
}

impl Natural {
    pub fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// Position of the highest bit that is set, from 1; 0 for zero.
    pub fn bits(&self) -> u32 {
        self.limbs.last().map_or(0, |last| {
            self.limbs.len() as u32 * u64::BITS - last.leading_zeros()
        })
    }

    pub fn power_of_ten(exponent: u32) -> Self {
        let mut power = Self::from(10u64.pow(exponent % LIMB_DIGITS));
        (0..exponent / LIMB_DIGITS).for_each(|_| power.multiply_add(LIMB_POWER, 0));
        power
    }

    /// Continues the decimal text of the number by one digit.
    pub fn push_digit(&mut self, digit: u8) {
        self.multiply_add(10, u64::from(digit));
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            (*limb, carry) = (product as u64, (product >> 64) as u64);
        }
        if carry > 0 {
            self.limbs.push(carry);
        }
    }

    pub fn times(&self, other: &Self) -> Self {
        let mut product = vec![0u64; self.limbs.len() + other.limbs.len()];
        for (at, &limb) in self.limbs.iter().enumerate() {
            let mut carry = 0u64;
            for (other_at, &other_limb) in other.limbs.iter().enumerate() {
                let place = &mut product[at + other_at];
                let sum = u128::from(limb) * u128::from(other_limb) + u128::from(*place) + u128::from(carry);
                (*place, carry) = (sum as u64, (sum >> 64) as u64);
            }
            product[at + other.limbs.len()] = carry;
        }
        Self { limbs: product }.trimmed()
    }

    pub fn shifted_left(&self, shift: u32) -> Self {
        if self.is_zero() {
            return self.clone();
        }
        let (limb_shift, bit_shift) = ((shift / u64::BITS) as usize, shift % u64::BITS);
        let mut limbs = vec![0; limb_shift];
        let mut carry = 0;
        for &limb in &self.limbs {
            limbs.push(limb << bit_shift | carry);
            carry = limb.checked_shr(u64::BITS - bit_shift).unwrap_or(0);
        }
        limbs.push(carry);
        Self { limbs }.trimmed()
    }

    /// Quotient, and whether the division leaves no rest. The quotient must be below 2^67.
    pub fn divide(mut self, divisor: Self) -> (u128, bool) {
        let mut shifted = divisor.shifted_left(67);
        let mut quotient = 0u128;
        for _ in 0..67 {
            shifted.halve();
            quotient <<= 1;
            if self.compare(&shifted) != Ordering::Less {
                self.subtract(&shifted);
                quotient |= 1;
            }
        }
        (quotient, self.is_zero())
    }

    pub fn into_text(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            let mut rest = 0u64;
            for limb in self.limbs.iter_mut().rev() {
                let value = u128::from(rest) << 64 | u128::from(*limb);
                *limb = (value / u128::from(LIMB_POWER)) as u64;
                rest = (value % u128::from(LIMB_POWER)) as u64;
            }
            groups.push(rest);
            self = self.trimmed();
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        groups
            .iter()
            .rev()
            .for_each(|group| text.push_str(&format!("{group:019}")));
        text
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.limbs.iter_mut().rev() {
            (*limb, carry) = (*limb >> 1 | carry, *limb << 63);
        }
        if self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.limbs
            .len()
            .cmp(&other.limbs.len())
            .then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()))
    }

    /// Takes away a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, limb) in self.limbs.iter_mut().enumerate() {
            let (difference, first) = limb.overflowing_sub(other.limbs.get(at).copied().unwrap_or(0));
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
        assert!(!borrow, "the other number is not larger");
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    fn trimmed(mut self) -> Self {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        self
    }
}
