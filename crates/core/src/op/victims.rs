//! The keys that a leader has chosen to evict, as they go into the log.
//!
//! Each comes with the version that the leader saw: a key that was written in between stays, on every
//! replica alike.

use crate::limits::DATABASES;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};

/// A key to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim<'a> {
    /// Database.
    pub db: u8,
    /// Key.
    pub key: &'a [u8],
    /// Its version when it was chosen.
    pub version: u64,
}

/// Keys to be evicted.
///
/// Invariant: `bytes` holds exactly `count` well-formed victims, because they come from a
/// [`VictimsBuffer`] or were checked by `decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victims<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Victims<'a> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Victim<'a>> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map(move |_| take_victim(&mut rest).expect("checked when it was made"))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count as u64);
        out.extend_from_slice(self.bytes);
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let (count, bytes) = super::take_many(input, |rest| take_victim(rest).map(|_| ()))?;
        Ok(Self { count, bytes })
    }
}

fn take_victim<'a>(input: &mut &'a [u8]) -> Result<Victim<'a>, Corrupt> {
    let db = take_u8(input)?;
    if usize::from(db) >= DATABASES {
        return corrupt("a database number");
    }
    Ok(Victim {
        db,
        key: take_bytes(input)?,
        version: take_varint(input)?,
    })
}

/// Gathers [`Victims`].
#[derive(Clone, Debug, Default)]
pub struct VictimsBuffer {
    count: usize,
    bytes: Vec<u8>,
}

impl VictimsBuffer {
    /// Adds a key.
    pub fn push(&mut self, victim: Victim<'_>) {
        self.count += 1;
        self.bytes.push(victim.db);
        put_bytes(&mut self.bytes, victim.key);
        put_varint(&mut self.bytes, victim.version);
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What was gathered.
    pub fn victims(&self) -> Victims<'_> {
        Victims {
            count: self.count,
            bytes: &self.bytes,
        }
    }
}
