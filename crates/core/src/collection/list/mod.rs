//! Lists: elements by position.

mod block;
mod entry;
mod items;
mod large;
mod rolling;
mod small;
mod sweep;
#[cfg(test)]
mod tests;

pub use block::ListBlock;
pub use items::{BackListItems, ListItems};
pub use large::{End, LargeList};
pub use rolling::Rolling;
pub use small::SmallList;
pub use sweep::{Sweep, Swept};

use super::Item;
use crate::packed::Corrupt;

/// A list to be changed.
#[derive(Clone)]
pub enum List {
    /// The record of a small one.
    Small(Vec<u8>),
    /// A large one.
    Large(Box<LargeList>),
}

/// A list to be read.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    /// A small one.
    Small(SmallList<'a>),
    /// A large one.
    Large(&'a LargeList),
}

impl Default for List {
    fn default() -> Self {
        Self::Small(SmallList::EMPTY.to_vec())
    }
}

impl List {
    /// To be read.
    pub fn as_ref(&self) -> ListRef<'_> {
        match self {
            Self::Small(record) => ListRef::small(record),
            Self::Large(large) => ListRef::Large(large),
        }
    }

    /// Puts an element at an end.
    pub fn push(&mut self, end: End, element: &[u8]) {
        let index = match end {
            End::Head => 0,
            End::Tail => self.as_ref().len(),
        };
        match self {
            Self::Large(large) => large.push(end, element),
            Self::Small(_) => self.insert(index, element),
        }
    }

    /// Takes the element at an end out, after it was shown; `None` if there is none.
    pub fn pop<R>(&mut self, end: End, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let index = match end {
            End::Head => 0,
            End::Tail => self.as_ref().len().checked_sub(1)?,
        };
        match self {
            Self::Large(large) => large.pop(end, show),
            Self::Small(record) => small::remove(record, index as usize, show),
        }
    }

    /// Puts an element in front of the one with this index, or at the end.
    ///
    /// # Panics
    /// If the index is greater than the length.
    pub fn insert(&mut self, index: u64, element: &[u8]) {
        if let Self::Small(record) = self {
            if small::insert(record, index as usize, element) {
                return;
            }
            self.enlarge();
        }
        match self {
            Self::Small(_) => unreachable!("it has become large"),
            Self::Large(large) => large.insert(index, element),
        }
    }

    /// Takes the element with this index out, after it was shown; `None` if there is none.
    pub fn remove<R>(&mut self, index: u64, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        match self {
            Self::Small(record) => small::remove(record, usize::try_from(index).ok()?, show),
            Self::Large(large) => (index < large.len()).then(|| large.remove(index, show)),
        }
    }

    /// Replaces the element with this index; false if there is none.
    pub fn set(&mut self, index: u64, element: &[u8]) -> bool {
        if index >= self.as_ref().len() {
            return false;
        }
        match self {
            Self::Small(_) => {
                self.remove(index, |_| ());
                self.insert(index, element);
            }
            Self::Large(large) => large.set(index, element),
        }
        true
    }

    /// Removes `count` elements at an end, or a part of them if they are many; returns how many.
    pub fn trim(&mut self, end: End, count: u64) -> u64 {
        match self {
            Self::Small(record) => small::trim(record, end, count),
            Self::Large(large) => large.trim(end, count),
        }
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Small(record) => record.capacity(),
            Self::Large(large) => large.memory_bytes(),
        }
    }

    fn enlarge(&mut self) {
        let mut large = Box::new(LargeList::default());
        for item in self.as_ref().from(0) {
            item.with(|element| large.push(End::Tail, element));
        }
        *self = Self::Large(large);
    }
}

impl<'a> ListRef<'a> {
    /// What a record holds.
    pub fn small(record: &'a [u8]) -> Self {
        Self::Small(SmallList::new(record))
    }

    /// What a record from a disk or a peer holds.
    ///
    /// # Errors
    /// If it is not what a small list is stored as.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        SmallList::judge(record).map(Self::Small)
    }

    /// Number of elements.
    pub fn len(self) -> u64 {
        match self {
            Self::Small(small) => small.len() as u64,
            Self::Large(large) => large.len(),
        }
    }

    /// True if there are no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element with this index.
    pub fn get(self, index: u64) -> Option<Item<'a>> {
        match self {
            Self::Small(small) => small.get(usize::try_from(index).ok()?),
            Self::Large(large) => large.get(index),
        }
    }

    /// The elements from this index on.
    pub fn from(self, index: u64) -> ListItems<'a> {
        match self {
            Self::Small(small) => ListItems::small(small, index),
            Self::Large(large) => ListItems::large(large, index),
        }
    }

    /// The elements from the one before this index back to the first one.
    pub fn back_from(self, index: u64) -> BackListItems<'a> {
        BackListItems::new(self.from(index))
    }
}
