//! Between entries of the table and the structures of [`crate::collection`]: which kinds of entries a type has, and
//! how it is read and changed.

use super::collections::{Collections, Large, Reference};
use super::kind;
use crate::collection::{Hash, HashRef, Set, SetRef};
use crate::table::EntryRef;

/// A collection after a change.
pub(super) enum Parts {
    /// A small one.
    Record(Vec<u8>),
    Large(Large),
}

/// A type of collection to be changed.
pub(super) trait Typed: Default {
    /// Kind of the entry of a small one; that of a large one is [`kind::LARGE`] higher.
    const KIND: u8;

    /// A small one.
    fn from_record(record: Vec<u8>) -> Self;

    /// A large one.
    ///
    /// # Panics
    /// If it is of another type.
    fn from_large(large: Large) -> Self;

    /// True without elements.
    fn is_empty(&self) -> bool;

    /// What is to be stored.
    fn into_parts(self) -> Parts;
}

/// A type of collection to be read.
pub(super) trait TypedRef<'a>: Sized {
    /// As [`Typed::KIND`].
    const KIND: u8;

    /// A small one.
    fn from_record(record: &'a [u8]) -> Self;

    /// A large one, if it is of this type.
    fn from_large(large: &'a Large) -> Option<Self>;

    /// The collection of an entry; `None` if that is of another type.
    fn of(entry: &EntryRef<'a>, collections: &'a Collections) -> Option<Self> {
        match Reference::of(entry) {
            None => (entry.kind == Self::KIND).then(|| Self::from_record(entry.value)),
            Some(reference) => Self::from_large(collections.get(reference)),
        }
    }
}

impl Typed for Hash {
    const KIND: u8 = kind::HASH;

    fn from_record(record: Vec<u8>) -> Self {
        Self::Small(record)
    }

    fn from_large(large: Large) -> Self {
        match large {
            Large::Hash(hash) => Self::Large(hash),
            Large::Set(_) => panic!("finders refuse other types"),
        }
    }

    fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    fn into_parts(self) -> Parts {
        match self {
            Self::Small(record) => Parts::Record(record),
            Self::Large(hash) => Parts::Large(Large::Hash(hash)),
        }
    }
}

impl<'a> TypedRef<'a> for HashRef<'a> {
    const KIND: u8 = kind::HASH;

    fn from_record(record: &'a [u8]) -> Self {
        Self::small(record)
    }

    fn from_large(large: &'a Large) -> Option<Self> {
        match large {
            Large::Hash(hash) => Some(Self::Large(hash)),
            Large::Set(_) => None,
        }
    }
}

impl Typed for Set {
    const KIND: u8 = kind::SET;

    fn from_record(record: Vec<u8>) -> Self {
        Self::Small(record)
    }

    fn from_large(large: Large) -> Self {
        match large {
            Large::Set(set) => Self::Large(set),
            Large::Hash(_) => panic!("finders refuse other types"),
        }
    }

    fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }

    fn into_parts(self) -> Parts {
        match self {
            Self::Small(record) => Parts::Record(record),
            Self::Large(set) => Parts::Large(Large::Set(set)),
        }
    }
}

impl<'a> TypedRef<'a> for SetRef<'a> {
    const KIND: u8 = kind::SET;

    fn from_record(record: &'a [u8]) -> Self {
        Self::small(record)
    }

    fn from_large(large: &'a Large) -> Option<Self> {
        match large {
            Large::Set(set) => Some(Self::Large(set)),
            Large::Hash(_) => None,
        }
    }
}
