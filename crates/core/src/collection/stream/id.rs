//! What an entry of a stream is called: a time in milliseconds and a number within it.

use std::fmt;

/// Ids are ordered by time, then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds since the epoch, or whatever a client says.
    pub ms: u64,
    /// Number among the entries of one millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Below all that an entry can have.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last one.
    pub const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The one behind; `None` behind the last one.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| Self { ms, seq: 0 }),
        }
    }

    /// The one before; `None` before the first one.
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => self.ms.checked_sub(1).map(|ms| Self { ms, seq: u64::MAX }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.ms, self.seq)
    }
}

/// Bytes that are in the order of ids: as few as the numbers need, with their count in front of each.
#[derive(Clone, Copy)]
pub(super) struct IdKey {
    bytes: [u8; 18],
    length: usize,
}

impl IdKey {
    /// Of the number within a millisecond alone; nothing for the first one.
    pub fn of_seq(seq: u64) -> Self {
        let mut key = Self {
            bytes: [0; 18],
            length: 0,
        };
        if seq > 0 {
            key.put(seq);
        }
        key
    }

    /// Of a whole id.
    pub fn of(id: StreamId) -> Self {
        let mut key = Self {
            bytes: [0; 18],
            length: 0,
        };
        key.put(id.ms);
        key.put(id.seq);
        key
    }

    fn put(&mut self, number: u64) {
        let zeros = number.leading_zeros() as usize / 8;
        let count = 8 - zeros;
        self.bytes[self.length] = count as u8;
        self.bytes[self.length + 1..self.length + 1 + count].copy_from_slice(&number.to_be_bytes()[zeros..]);
        self.length += 1 + count;
    }
}

impl std::ops::Deref for IdKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The number at the front of a key, and what follows.
fn take(key: &[u8]) -> (u64, &[u8]) {
    let Some((&count, rest)) = key.split_first() else {
        return (0, key);
    };
    let (number, rest) = rest.split_at(usize::from(count));
    let number = number
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    (number, rest)
}

/// The reverse of [`IdKey::of_seq`].
pub(super) fn seq_of(key: &[u8]) -> u64 {
    take(key).0
}

/// The reverse of [`IdKey::of`].
pub(super) fn id_of(key: &[u8]) -> StreamId {
    let (ms, rest) = take(key);
    StreamId {
        ms,
        seq: seq_of(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_ids() {
        let numbers = [0, 1, 2, 255, 256, 257, 65_535, 65_536, u64::MAX - 1, u64::MAX];
        let ids = numbers
            .iter()
            .flat_map(|&ms| numbers.map(|seq| StreamId { ms, seq }));
        let ids: Vec<_> = ids.collect();
        for pair in ids.windows(2) {
            assert!(
                *IdKey::of(pair[0]) < *IdKey::of(pair[1]),
                "{} {}",
                pair[0],
                pair[1]
            );
        }
        for id in ids {
            assert_eq!(id_of(&IdKey::of(id)), id);
            assert_eq!(seq_of(&IdKey::of_seq(id.seq)), id.seq);
            assert_eq!(
                id.next().and_then(StreamId::previous),
                (id != StreamId::MAX).then_some(id)
            );
        }
        assert_eq!(StreamId::MIN.previous(), None);
    }
}
