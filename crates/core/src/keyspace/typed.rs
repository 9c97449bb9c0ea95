//! Between entries of the table and the structures of [`crate::collection`]: which kinds of entries a type has, and
//! how it is read and changed. A type is one line of [`typed`], here and nowhere else.

use super::collections::{Collections, Large, Reference};
use super::kind;
use crate::collection::VolatileRef;
use crate::collection::{Hash, HashRef, List, ListRef, Set, SetRef, SortedSet, SortedSetRef, Stream};
use crate::packed::{Corrupt, corrupt};
use crate::table::EntryRef;

/// A collection after a change.
pub(super) enum Parts {
    /// A small one.
    Record(Vec<u8>),
    Large(Large),
}

/// A type of collection to be changed.
pub(super) trait Typed: Default {
    /// Kind of the entry of a small one.
    const KIND: u8;

    /// Kind of the entry that refers to a large one.
    const KIND_LARGE: u8;

    /// The same type to be read.
    type Ref<'a>: TypedRef<'a>;

    /// Whether an entry of this kind refers to a large one.
    fn is_large(kind: u8) -> bool {
        kind == Self::KIND_LARGE
    }

    /// A small one.
    fn from_record(record: Vec<u8>) -> Self;

    /// A large one, at this shard time.
    ///
    /// # Panics
    /// If it is of another type.
    fn from_large(large: Large, time_ms: u64) -> Self;

    /// Number of elements.
    fn count(&self) -> u64;

    /// What is to be stored.
    fn into_parts(self) -> Parts;
}

/// A type of collection to be read.
pub(super) trait TypedRef<'a>: Copy {
    /// As [`Typed::KIND`].
    const KIND: u8;

    /// A small one.
    fn from_record(record: &'a [u8]) -> Self;

    /// A large one, at this shard time, if it is of this type.
    fn from_large(large: &'a Large, time_ms: u64) -> Option<Self>;

    /// Number of elements.
    fn count(self) -> u64;

    /// The collection of an entry at this shard time; `None` if that is of another type.
    fn of(entry: &EntryRef<'a>, collections: &'a Collections, time_ms: u64) -> Option<Self> {
        match Reference::of(entry) {
            None => (entry.kind == Self::KIND).then(|| Self::from_record(entry.value)),
            Some(reference) => Self::from_large(collections.get(reference), time_ms),
        }
    }
}

/// Types by what they are changed and read through; the first name is that of their variant of [`Large`], too.
macro_rules! typed {
    ($($owned:ident, $borrowed:ident, $kind:ident;)*) => {
        $(
            impl Typed for $owned {
                const KIND: u8 = kind::$kind;

                const KIND_LARGE: u8 = kind::$kind + kind::LARGE;

                type Ref<'a> = $borrowed<'a>;

                fn from_record(record: Vec<u8>) -> Self {
                    Self::Small(record)
                }

                fn from_large(large: Large, _: u64) -> Self {
                    match large {
                        Large::$owned(large) => Self::Large(large),
                        _ => panic!("finders refuse other types"),
                    }
                }

                fn count(&self) -> u64 {
                    self.as_ref().len()
                }

                fn into_parts(self) -> Parts {
                    match self {
                        Self::Small(record) => Parts::Record(record),
                        Self::Large(large) => Parts::Large(Large::$owned(large)),
                    }
                }
            }

            impl<'a> TypedRef<'a> for $borrowed<'a> {
                const KIND: u8 = kind::$kind;

                fn from_record(record: &'a [u8]) -> Self {
                    Self::small(record)
                }

                fn from_large(large: &'a Large, _: u64) -> Option<Self> {
                    match large {
                        Large::$owned(large) => Some(Self::Large(large)),
                        _ => None,
                    }
                }

                fn count(self) -> u64 {
                    self.len()
                }
            }
        )*
    };
}

/// Refuses a value that no entry of this kind has.
pub(super) fn judge(kind: u8, value: &[u8]) -> Result<(), Corrupt> {
    let is_empty = match kind {
        kind::HASH => HashRef::judge(value)?.is_empty(),
        kind::SET => SetRef::judge(value)?.is_empty(),
        kind::LIST => ListRef::judge(value)?.is_empty(),
        kind::SORTED_SET => SortedSetRef::judge(value)?.is_empty(),
        kind if kind::is_string(kind) => false,
        _ => return corrupt("a kind of entries with values"),
    };
    match is_empty {
        true => corrupt("a collection with elements"),
        false => Ok(()),
    }
}

typed! {
    Set, SetRef, SET;
    List, ListRef, LIST;
    SortedSet, SortedSetRef, SORTED_SET;
}

/// Hashes have a second large form, for fields with deadlines.
impl Typed for Hash {
    const KIND: u8 = kind::HASH;

    const KIND_LARGE: u8 = kind::HASH_LARGE;

    type Ref<'a> = HashRef<'a>;

    fn is_large(kind: u8) -> bool {
        matches!(kind, kind::HASH_LARGE | kind::HASH_VOLATILE)
    }

    fn from_record(record: Vec<u8>) -> Self {
        Self::Small(record)
    }

    fn from_large(large: Large, time_ms: u64) -> Self {
        match large {
            Large::Hash(large) => Self::Large(large),
            Large::Volatile(hash) => Self::Volatile(hash, time_ms),
            _ => panic!("finders refuse other types"),
        }
    }

    fn count(&self) -> u64 {
        self.as_ref().len()
    }

    fn into_parts(self) -> Parts {
        match self {
            Self::Small(record) => Parts::Record(record),
            Self::Large(large) => Parts::Large(Large::Hash(large)),
            Self::Volatile(hash, _) => Parts::Large(Large::Volatile(hash)),
        }
    }
}

impl<'a> TypedRef<'a> for HashRef<'a> {
    const KIND: u8 = kind::HASH;

    fn from_record(record: &'a [u8]) -> Self {
        Self::small(record)
    }

    fn from_large(large: &'a Large, time_ms: u64) -> Option<Self> {
        match large {
            Large::Hash(large) => Some(Self::Large(large)),
            Large::Volatile(hash) => Some(match hash.lasting() {
                Some(lasting) => Self::Large(lasting),
                None => Self::Volatile(VolatileRef::new(hash, time_ms)),
            }),
            _ => None,
        }
    }

    fn count(self) -> u64 {
        self.len()
    }
}

/// Streams have no small form.
impl Typed for Box<Stream> {
    const KIND: u8 = kind::NO_SMALL_FORM;

    const KIND_LARGE: u8 = kind::STREAM;

    type Ref<'a> = &'a Stream;

    fn from_record(_: Vec<u8>) -> Self {
        unreachable!("no entry has this kind")
    }

    fn from_large(large: Large, _: u64) -> Self {
        match large {
            Large::Stream(stream) => stream,
            _ => panic!("finders refuse other types"),
        }
    }

    /// Its parts: a stream without entries is there, too.
    fn count(&self) -> u64 {
        self.part_count()
    }

    fn into_parts(self) -> Parts {
        Parts::Large(Large::Stream(self))
    }
}

impl<'a> TypedRef<'a> for &'a Stream {
    const KIND: u8 = kind::NO_SMALL_FORM;

    fn from_record(_: &'a [u8]) -> Self {
        unreachable!("no entry has this kind")
    }

    fn from_large(large: &'a Large, _: u64) -> Option<Self> {
        match large {
            Large::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn count(self) -> u64 {
        self.part_count()
    }
}
