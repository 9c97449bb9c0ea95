//! Entries that leave a snapshot, and come in, over several chunks: large collections and long strings.

use std::fmt;

use super::super::collections::{Large, LargeBuilder};
use super::super::kind;
use crate::limits::STRING_BYTES_MAX;
use crate::packed::{Corrupt, corrupt};
use crate::table::{HashSeed, Meta, SharedValue};

/// What of an entry leaves in parts.
pub(in crate::keyspace) enum Apart {
    Collection(Large),
    /// As it was when the walk came to it: whoever writes to the key meanwhile copies it.
    String(SharedValue),
}

impl Apart {
    /// Elements, or bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Collection(large) => large.len(),
            Self::String(value) => value.len() as u64,
        }
    }

    /// What the entry has beside its content, with the deadline of the key alone.
    pub fn key_meta(&self, meta: Meta) -> Meta {
        match self {
            Self::Collection(large) => large.key_meta(meta),
            Self::String(_) => meta,
        }
    }

    /// Appends about `budget_bytes` of it from this place on, at least one element or byte; returns the place behind.
    pub fn put_chunk(&self, first: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        match self {
            Self::Collection(large) => large.put_chunk(first, budget_bytes, out),
            Self::String(value) => {
                let rest = &value[first as usize..];
                let taken = &rest[..rest.len().min(budget_bytes.max(1))];
                out.extend_from_slice(taken);
                first + taken.len() as u64
            }
        }
    }
}

/// An entry on its way out, as it was when the walk began.
pub(in crate::keyspace) struct Stream {
    /// The place of its database when the walk began.
    pub db: u8,
    pub key: Box<[u8]>,
    pub meta: Meta,
    pub content: Apart,
    /// Place that leaves next.
    pub next: u64,
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.next, self.content.len())
    }
}

/// How far the content of an entry has come in.
pub(super) enum Builder {
    Collection(Box<LargeBuilder>),
    /// So many bytes are in the table.
    String(u64),
}

/// An entry on its way in.
pub(in crate::keyspace) struct Rebuilding {
    pub(super) db: u8,
    pub(super) key: Box<[u8]>,
    pub(super) meta: Meta,
    /// Elements or bytes that it has when it is whole.
    pub(super) count: u64,
    pub(super) builder: Builder,
}

impl fmt::Debug for Rebuilding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.builder.len(), self.count)
    }
}

impl Builder {
    /// For an entry of this kind with so many elements or bytes.
    pub fn new(kind: u8, count: u64, seed: HashSeed) -> Result<Self, Corrupt> {
        if kind::is_string(kind) && kind != kind::NEGATIVE {
            return match count {
                1..=STRING_BYTES_MAX_U64 => Ok(Self::String(0)),
                _ => corrupt("the length of a string"),
            };
        }
        match LargeBuilder::new(kind, seed) {
            Some(builder) => Ok(Self::Collection(Box::new(builder))),
            None => corrupt("the kind of a collection"),
        }
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Collection(builder) => builder.len(),
            Self::String(bytes) => *bytes,
        }
    }
}

const STRING_BYTES_MAX_U64: u64 = STRING_BYTES_MAX as u64;
