//! Hashes: values by field.

mod small;
#[cfg(test)]
mod tests;

pub use small::SmallHash;

use super::Hashed;
use super::ordered_tree::Elements;
use crate::packed::Corrupt;
use crate::table::HashSeed;

/// A hash to be changed.
#[derive(Clone)]
pub enum Hash {
    /// The record of a small one.
    Small(Vec<u8>),
    /// A large one.
    Large(Box<Hashed<true>>),
}

/// A hash to be read.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// A small one.
    Small(SmallHash<'a>),
    /// A large one.
    Large(&'a Hashed<true>),
}

impl Default for Hash {
    fn default() -> Self {
        Self::Small(SmallHash::EMPTY.to_vec())
    }
}

impl Hash {
    /// To be read.
    pub fn as_ref(&self) -> HashRef<'_> {
        match self {
            Self::Small(record) => HashRef::small(record),
            Self::Large(large) => HashRef::Large(large),
        }
    }

    /// Sets a field; true if there was none. The seed is for a hash that becomes large.
    pub fn set(&mut self, field: &[u8], value: &[u8], seed: HashSeed) -> bool {
        if let Self::Small(record) = self {
            if let Some(is_new) = small::set(record, field, value) {
                return is_new;
            }
            let mut large = Box::new(Hashed::new(seed));
            for (field, value) in SmallHash::new(record).iter() {
                large.insert(field, value);
            }
            *self = Self::Large(large);
        }
        match self {
            Self::Small(_) => unreachable!("it has become large"),
            Self::Large(large) => large.insert(field, value),
        }
    }

    /// Takes a field out; false if there is none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Self::Small(record) => small::remove(record, field),
            Self::Large(large) => large.remove(field),
        }
    }
}

impl<'a> HashRef<'a> {
    /// What a record holds.
    pub fn small(record: &'a [u8]) -> Self {
        Self::Small(SmallHash::new(record))
    }

    /// What a record from a disk or a peer holds.
    ///
    /// # Errors
    /// If it is not what a small hash is stored as.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        SmallHash::judge(record).map(Self::Small)
    }

    /// Number of fields.
    pub fn len(self) -> u64 {
        match self {
            Self::Small(small) => small.len() as u64,
            Self::Large(large) => large.len(),
        }
    }

    /// True if there are no fields.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<&'a [u8]> {
        match self {
            Self::Small(small) => small.get(field),
            Self::Large(large) => large.get(field),
        }
    }

    /// Field and value with this index.
    pub fn at(self, index: u64) -> Option<(&'a [u8], &'a [u8])> {
        match self {
            Self::Small(small) => small.iter().nth(usize::try_from(index).ok()?),
            Self::Large(large) => large.at(index).map(|element| (element.key, element.value)),
        }
    }

    /// Fields and values from this index on: in the order of their insertion, or, in a large hash, in the order
    /// of their hashes.
    pub fn from(self, index: u64) -> Fields<'a> {
        match self {
            Self::Small(small) => {
                let mut pairs = small.iter();
                (0..index).take_while(|_| pairs.next().is_some()).for_each(drop);
                Fields::Small(pairs)
            }
            Self::Large(large) => Fields::Large(large.from(index)),
        }
    }

    /// As [`Hashed::scan`]; a small hash is shown at once.
    pub fn scan(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8], &[u8])) -> u64 {
        match self {
            Self::Small(small) => {
                small.iter().for_each(|(field, value)| show(field, value));
                0
            }
            Self::Large(large) => large.scan(cursor, count, &mut |element| show(element.key, element.value)),
        }
    }
}

/// Fields and values.
pub enum Fields<'a> {
    /// Of a small hash.
    Small(small::Pairs<'a>),
    /// Of a large one.
    Large(Elements<'a, u32, true>),
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(pairs) => pairs.next(),
            Self::Large(elements) => elements.next().map(|element| (element.key, element.value)),
        }
    }
}
