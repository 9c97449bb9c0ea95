//! A reply that may be long, in pieces that follow each other: none of them is moved to make room for the
//! others, and none is so large that its memory has to be new.

/// A piece of this length or more is followed by another one.
pub const PIECE_BYTES: usize = 64 << 10;

/// The pieces; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    /// Where the reply goes on. What is written between two calls stays in one piece.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.0.last().is_none_or(|last| last.len() >= PIECE_BYTES) {
            self.0.push(Vec::new());
        }
        self.0.last_mut().expect("there is one now")
    }

    /// A piece more.
    pub fn push(&mut self, piece: Vec<u8>) {
        self.0.push(piece);
    }

    /// The first piece.
    pub fn first_mut(&mut self) -> Option<&mut Vec<u8>> {
        self.0.first_mut()
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// All bytes in one piece, copied unless they are.
    pub fn join(mut self) -> Vec<u8> {
        match self.0.len() {
            0 | 1 => self.0.pop().unwrap_or_default(),
            _ => self.0.concat(),
        }
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Self {
        Self(vec![bytes])
    }
}

impl IntoIterator for Pieces {
    type Item = Vec<u8>;
    type IntoIter = std::vec::IntoIter<Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_piece_is_followed_by_another_one() {
        let mut pieces = Pieces::default();
        pieces.room().extend_from_slice(b"head");
        pieces.room().extend(std::iter::repeat_n(b'x', PIECE_BYTES));
        pieces.room().extend_from_slice(b"tail");
        let lengths: Vec<usize> = pieces.iter().map(<[u8]>::len).collect();
        assert_eq!(lengths, [PIECE_BYTES + 4, 4]);
        assert!(pieces.clone().join().ends_with(b"xtail"));
        pieces.clear();
        assert_eq!(pieces.join(), b"");
    }
}
