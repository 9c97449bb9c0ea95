//! Sets of members.

mod small;
#[cfg(test)]
mod tests;

pub use small::SmallSet;

use super::ordered_tree::Elements;
use super::{Hashed, Item};
use crate::packed::Corrupt;
use crate::table::HashSeed;

/// A set to be changed.
#[derive(Clone)]
pub enum Set {
    /// The record of a small one.
    Small(Vec<u8>),
    /// A large one.
    Large(Box<Hashed<false>>),
}

/// A set to be read.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    /// A small one.
    Small(SmallSet<'a>),
    /// A large one.
    Large(&'a Hashed<false>),
}

impl Default for Set {
    fn default() -> Self {
        Self::Small(SmallSet::EMPTY.to_vec())
    }
}

impl Set {
    /// To be read.
    pub fn as_ref(&self) -> SetRef<'_> {
        match self {
            Self::Small(record) => SetRef::small(record),
            Self::Large(large) => SetRef::Large(large),
        }
    }

    /// Puts a member in; false if it is there. The seed is for a set that becomes large.
    pub fn insert(&mut self, member: &[u8], seed: HashSeed) -> bool {
        if let Self::Small(record) = self {
            if let Some(is_new) = small::insert(record, member) {
                return is_new;
            }
            let mut large = Box::new(Hashed::new(seed));
            for member in SmallSet::new(record).iter() {
                member.with(|member| large.insert(member, &[]));
            }
            *self = Self::Large(large);
        }
        match self {
            Self::Small(_) => unreachable!("it has become large"),
            Self::Large(large) => large.insert(member, &[]),
        }
    }

    /// Takes a member out; false if it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Self::Small(record) => small::remove(record, member),
            Self::Large(large) => large.remove(member),
        }
    }
}

impl<'a> SetRef<'a> {
    /// What a record holds.
    pub fn small(record: &'a [u8]) -> Self {
        Self::Small(SmallSet::new(record))
    }

    /// What a record from a disk or a peer holds.
    ///
    /// # Errors
    /// If it is not what a small set is stored as.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        SmallSet::judge(record).map(Self::Small)
    }

    /// Number of members.
    pub fn len(self) -> u64 {
        match self {
            Self::Small(small) => small.len() as u64,
            Self::Large(large) => large.len(),
        }
    }

    /// True if there are no members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// True for a small set of integers alone.
    pub fn is_integers(self) -> bool {
        matches!(self, Self::Small(SmallSet::Integers(_)))
    }

    /// True if this is a member.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Small(small) => small.contains(member),
            Self::Large(large) => large.get(member).is_some(),
        }
    }

    /// The member with this index.
    pub fn at(self, index: u64) -> Option<Item<'a>> {
        match self {
            Self::Small(small) => small.iter().nth(usize::try_from(index).ok()?),
            Self::Large(large) => large.at(index).map(|element| Item::Bytes(element.key)),
        }
    }

    /// The members from this index on: integers in their order, or others in that of their insertion, or, in a
    /// large set, in that of their hashes.
    pub fn from(self, index: u64) -> Members<'a> {
        match self {
            Self::Small(small) => {
                let mut members = small.iter();
                (0..index).take_while(|_| members.next().is_some()).for_each(drop);
                Members::Small(members)
            }
            Self::Large(large) => Members::Large(large.from(index)),
        }
    }

    /// As [`Hashed::scan`]; a small set is shown at once.
    pub fn scan(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8])) -> u64 {
        match self {
            Self::Small(small) => {
                small.iter().for_each(|member| member.with(&mut *show));
                0
            }
            Self::Large(large) => large.scan(cursor, count, &mut |element| show(element.key)),
        }
    }
}

/// Members of a set.
pub enum Members<'a> {
    /// Of a small one.
    Small(small::SmallMembers<'a>),
    /// Of a large one.
    Large(Elements<'a, u32, false>),
}

impl<'a> Iterator for Members<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Small(members) => members.next(),
            Self::Large(elements) => elements.next().map(|element| Item::Bytes(element.key)),
        }
    }
}
