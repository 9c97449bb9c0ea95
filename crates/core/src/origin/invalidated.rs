//! When which rows were invalidated last. Part of the replicated state.
//!
//! A load that began before an invalidation may read the row as it was before somebody else changed it, and
//! its fill may come after the invalidation in the log. It is void then. Keys share places, so the memory
//! is bounded; a fill that is void for another key's sake costs one load more.

use super::lane::hash;
use super::wire::{Corrupt, corrupt, put_varint, take_count, take_varint};
use crate::limits::INVALIDATED_PLACES;

/// When which rows were invalidated last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// Ops that invalidated something.
    count: u64,
    /// Per place: number of the last such op. Empty until the first one.
    places: Vec<u64>,
    /// Sum over all places.
    digest: u128,
}

fn place(keyspace: u16, key: &[u8]) -> usize {
    (hash(&(keyspace, key)) % INVALIDATED_PLACES as u128) as usize
}

impl Invalidated {
    /// Ops that invalidated something.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next such op begins.
    pub fn begin(&mut self) {
        self.count += 1;
        self.places.resize(INVALIDATED_PLACES, 0);
    }

    /// It is about this row, too.
    pub fn add(&mut self, keyspace: u16, key: &[u8]) {
        let place = place(keyspace, key);
        let part = |number: u64| hash(&(place, number));
        let old = std::mem::replace(&mut self.places[place], self.count);
        self.digest = self.digest.wrapping_sub(part(old)).wrapping_add(part(self.count));
    }

    /// The row may have been invalidated after `count` such ops.
    pub fn is_after(&self, count: u64, keyspace: u16, key: &[u8]) -> bool {
        self.places
            .get(place(keyspace, key))
            .is_some_and(|last| *last > count)
    }

    /// Content hash.
    pub fn digest(&self) -> u128 {
        self.digest.wrapping_add(u128::from(self.count))
    }

    /// Appends it for a snapshot.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        put_varint(out, self.places.len() as u64);
        self.places.iter().for_each(|number| put_varint(out, *number));
    }

    /// What [`Invalidated::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut new = Self {
            count: take_varint(input)?,
            ..Self::default()
        };
        let places = take_count(input)?;
        if places != 0 && places != INVALIDATED_PLACES {
            return Err(corrupt("as many places as this version has"));
        }
        for place in 0..places {
            let number = take_varint(input)?;
            new.places.push(number);
            if number != 0 {
                let zero = hash(&(place, 0u64));
                new.digest = new.digest.wrapping_sub(zero).wrapping_add(hash(&(place, number)));
            }
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_began_before_is_void_and_snapshots_keep_it() {
        let mut invalidated = Invalidated::default();
        assert!(!invalidated.is_after(0, 0, b"k:1"));
        invalidated.begin();
        invalidated.add(0, b"k:1");
        invalidated.add(0, b"k:1");
        assert!(invalidated.is_after(0, 0, b"k:1"));
        assert!(!invalidated.is_after(invalidated.count(), 0, b"k:1"));
        assert!(!invalidated.is_after(0, 0, b"k:2") && !invalidated.is_after(0, 1, b"k:1"));
        let mut bytes = Vec::new();
        invalidated.encode(&mut bytes);
        let mut input = &bytes[..];
        assert_eq!(Invalidated::decode(&mut input), Ok(invalidated));
        assert!(input.is_empty());
    }
}
