//! Scores: numbers of 64 bits in the order that sorted sets have them in.

/// A score that is no NaN, and positive where it is zero: two that are equal are the same bits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Score(f64);

impl Score {
    /// The greatest.
    pub const INFINITY: Self = Self(f64::INFINITY);
    /// The least.
    pub const NEG_INFINITY: Self = Self(f64::NEG_INFINITY);

    /// The number as a score; `None` for what is no number.
    pub fn new(number: f64) -> Option<Self> {
        // Adding zero makes a negative zero positive, and changes nothing else.
        (!number.is_nan()).then_some(Self(number + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// A number in the order of the scores, less than [`u64::MAX`].
    pub(super) fn to_order(self) -> u64 {
        let bits = self.0.to_bits();
        if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
    }

    /// The score with this number.
    pub(super) fn from_order(order: u64) -> Self {
        let bits = if order >> 63 == 1 {
            order & !(1 << 63)
        } else {
            !order
        };
        Self(f64::from_bits(bits))
    }

    /// Its bytes without the zeros at the end: whole numbers have few.
    pub(super) fn to_short(self) -> ([u8; 8], usize) {
        let bits = self.0.to_bits();
        (bits.to_be_bytes(), 8 - bits.trailing_zeros().min(64) as usize / 8)
    }

    /// The score with these bytes; `None` if they are not those of one.
    pub(super) fn from_short(bytes: &[u8]) -> Option<Self> {
        let mut all = [0; 8];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let score = Self::new(f64::from_bits(u64::from_be_bytes(all)))?;
        let (same, length) = score.to_short();
        (same[..length] == *bytes).then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_ordered_as_numbers() {
        let numbers = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -f64::MIN_POSITIVE,
            -5e-324,
            -0.0,
            5e-324,
            0.1,
            1.0,
            1_700_000_000.0,
            f64::MAX,
            f64::INFINITY,
        ];
        let scores = numbers.map(|number| Score::new(number).unwrap());
        assert!(scores.is_sorted_by(|left, right| left.to_order() < right.to_order()));
        for score in scores {
            assert_eq!(Score::from_order(score.to_order()), score);
            let (bytes, length) = score.to_short();
            assert_eq!(Score::from_short(&bytes[..length]), Some(score));
            assert!(score.to_order() < u64::MAX);
        }
        let (zero, negative) = (Score::new(0.0).unwrap(), Score::new(-0.0).unwrap());
        assert_eq!(zero.to_order(), negative.to_order());
        assert_eq!(negative.get().to_bits(), 0);
        assert_eq!(Score::new(1_000.0).unwrap().to_short().1, 3);
        assert!(Score::new(f64::NAN).is_none());
        for refused in [&[0x80][..], &[0], &[0x7f, 0xf8], &[0x40, 0], &[1; 9]] {
            assert_eq!(Score::from_short(refused), None, "{refused:?}");
        }
    }
}
