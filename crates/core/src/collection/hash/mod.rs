//! Hashes: values by field.

mod small;
#[cfg(test)]
mod tests;
mod volatile;

pub use small::SmallHash;
pub use volatile::{VolatileHash, VolatileHashBuilder, VolatileRef};

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
    /// One whose fields may have deadlines, as of this shard time.
    Volatile(Box<VolatileHash>, u64),
}

/// A hash to be read.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// A small one.
    Small(SmallHash<'a>),
    /// A large one.
    Large(&'a Hashed<true>),
    /// One whose fields may have deadlines.
    Volatile(VolatileRef<'a>),
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
            Self::Volatile(hash, time_ms) => HashRef::Volatile(VolatileRef::new(hash, *time_ms)),
        }
    }

    /// Sets a field, which has no deadline afterwards; true if there was none. The seed is for a hash that becomes
    /// large.
    pub fn set(&mut self, field: &[u8], value: &[u8], seed: HashSeed) -> bool {
        if let Self::Small(record) = self {
            if let Some(is_new) = small::set(record, field, value) {
                return is_new;
            }
            *self = Self::Large(Box::new(large_of(record, seed)));
        }
        match self {
            Self::Small(_) => unreachable!("it has become large"),
            Self::Large(large) => large.insert(field, value),
            Self::Volatile(hash, time_ms) => {
                let was_there = VolatileRef::new(hash, *time_ms).get(field).is_some();
                hash.set(field, value);
                !was_there
            }
        }
    }

    /// As [`Hash::set`], but a deadline that the field has stays.
    pub fn set_keeping(&mut self, field: &[u8], value: &[u8], seed: HashSeed) -> bool {
        let Self::Volatile(hash, time_ms) = self else {
            return self.set(field, value, seed);
        };
        match VolatileRef::new(hash, *time_ms).get(field) {
            Some((_, Some(deadline_ms))) => {
                hash.set_volatile(field, value, deadline_ms);
                false
            }
            _ => self.set(field, value, seed),
        }
    }

    /// Sets a field that has this deadline afterwards. The seed is for a hash whose first field gets one.
    pub fn set_with_deadline(&mut self, (field, value): (&[u8], &[u8]), deadline_ms: u64, seed: HashSeed) {
        self.volatile(seed).set_volatile(field, value, deadline_ms);
    }

    /// Gives a field that is there another deadline, or none; false if it has that already or is not there. The seed
    /// is for a hash whose first field gets one.
    pub fn set_deadline(&mut self, field: &[u8], deadline_ms: Option<u64>, seed: HashSeed) -> bool {
        let Some((value, old_ms)) = self.as_ref().get_with_deadline(field) else {
            return false;
        };
        if old_ms == deadline_ms {
            return false;
        }
        let value = value.to_vec();
        let hash = self.volatile(seed);
        match deadline_ms {
            Some(deadline_ms) => hash.set_volatile(field, &value, deadline_ms),
            None => {
                hash.set(field, &value);
            }
        }
        true
    }

    /// Makes it one whose fields may have deadlines. None of what is there has one, so that no time is known by which it
    /// were to be judged.
    fn volatile(&mut self, seed: HashSeed) -> &mut VolatileHash {
        if !matches!(self, Self::Volatile(..)) {
            let lasting = match std::mem::take(self) {
                Self::Small(record) => large_of(&record, seed),
                Self::Large(large) => *large,
                Self::Volatile(..) => unreachable!("it is none"),
            };
            *self = Self::Volatile(Box::new(VolatileHash::new(lasting, seed)), 0);
        }
        match self {
            Self::Volatile(hash, _) => hash,
            _ => unreachable!("it has become one"),
        }
    }

    /// Takes a field out; false if there is none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Self::Small(record) => small::remove(record, field),
            Self::Large(large) => large.remove(field),
            Self::Volatile(hash, time_ms) => {
                let is_there = VolatileRef::new(hash, *time_ms).get(field).is_some();
                is_there && hash.remove(field)
            }
        }
    }
}

fn large_of(record: &[u8], seed: HashSeed) -> Hashed<true> {
    let mut large = Hashed::new(seed);
    for (field, value) in SmallHash::new(record).iter() {
        large.insert(field, value);
    }
    large
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
            Self::Volatile(hash) => hash.len(),
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
            Self::Volatile(hash) => hash.get(field).map(|(value, _)| value),
        }
    }

    /// The value of a field, and its deadline if it has one.
    pub fn get_with_deadline(self, field: &[u8]) -> Option<(&'a [u8], Option<u64>)> {
        match self {
            Self::Volatile(hash) => hash.get(field),
            _ => self.get(field).map(|value| (value, None)),
        }
    }

    /// Field and value with this index.
    pub fn at(self, index: u64) -> Option<(&'a [u8], &'a [u8])> {
        match self {
            Self::Small(small) => small.iter().nth(usize::try_from(index).ok()?),
            Self::Large(large) => large.at(index).map(|element| (element.key, element.value)),
            Self::Volatile(hash) => hash.at(index),
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
            Self::Volatile(hash) => hash.from(index),
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
            Self::Volatile(hash) => hash.scan(cursor, count, show),
        }
    }
}

/// Fields and values.
pub enum Fields<'a> {
    /// Of a small hash.
    Small(small::Pairs<'a>),
    /// Of a large one.
    Large(Elements<'a, u32, true>),
    /// Of a volatile one.
    Volatile {
        /// Those without a deadline, which come first.
        lasting: Elements<'a, u32, true>,
        /// Those with one.
        volatile: Elements<'a, u64, true>,
    },
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(pairs) => pairs.next(),
            Self::Large(elements) => elements.next().map(|element| (element.key, element.value)),
            Self::Volatile { lasting, volatile } => {
                let lasting = lasting.next().map(|element| (element.key, element.value));
                lasting.or_else(|| volatile.next().map(|element| (element.key, element.value)))
            }
        }
    }
}
