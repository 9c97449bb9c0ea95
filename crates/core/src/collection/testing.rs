//! Repeatable choices for the tests of collections.

use crate::table::HashSeed;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// So many random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A length that is mostly short and sometimes longer than a block.
    pub fn length(&mut self) -> usize {
        match self.below(100) {
            0 => self.below(9_000) as usize,
            1..=4 => self.below(1_200) as usize,
            5..=20 => self.below(130) as usize,
            _ => self.below(24) as usize,
        }
    }

    /// Changes some bytes, or the length, of what was valid.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            match self.below(4) {
                0 => bytes.truncate(self.below(bytes.len() as u64 + 1) as usize),
                1 => bytes.push(self.next() as u8),
                _ if bytes.is_empty() => (),
                _ => {
                    let at = self.below(bytes.len() as u64) as usize;
                    bytes[at] = self.next() as u8;
                }
            }
        }
    }
}

/// A seed that is the same in all tests.
pub(super) fn seed() -> HashSeed {
    HashSeed::from_number(7)
}
