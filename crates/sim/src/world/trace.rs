//! The hash of everything that went in and came out, in order. Two runs of a seed must agree on it.

/// A running hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0x005E_ED0F_7ACE)
    }
}

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

impl Trace {
    /// Takes in one number.
    pub fn number(&mut self, number: u64) {
        let folded = u128::from(self.0 ^ number) * u128::from(MULTIPLIER);
        self.0 = (folded as u64)
            .wrapping_add((folded >> 64) as u64)
            .rotate_left(23)
            ^ number;
    }

    /// Takes in bytes and their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    /// The hash so far.
    pub fn hash(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    #[test]
    fn order_and_length_count() {
        let of = |parts: &[&[u8]]| {
            let mut trace = Trace::default();
            parts.iter().for_each(|part| trace.bytes(part));
            trace.hash()
        };
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"ab"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
    }
}
