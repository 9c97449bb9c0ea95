//! The record of a small hash: the number of fields as a byte, then each field and its value, with their
//! lengths in front as varints, in the order in which the fields came.

use crate::collection::{SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX};
use crate::packed::{Corrupt, corrupt, put_bytes, take_bytes, take_u8};

const _: () = assert!(SMALL_COUNT_MAX <= u8::MAX as usize);
// So the length of every element is a byte.
const _: () = assert!(SMALL_ELEMENT_BYTES_MAX < 0x80);

/// A record to be read.
#[derive(Clone, Copy, Debug)]
pub struct SmallHash<'a> {
    record: &'a [u8],
}

impl<'a> SmallHash<'a> {
    /// The record without fields.
    pub(super) const EMPTY: &'static [u8] = &[0];

    /// A record that was made here or judged.
    pub fn new(record: &'a [u8]) -> Self {
        Self { record }
    }

    /// A record from a disk or a peer.
    ///
    /// # Errors
    /// If no small hash is stored as this.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        let mut rest = record;
        let count = usize::from(take_u8(&mut rest)?);
        if count > SMALL_COUNT_MAX {
            return corrupt("a small number of fields");
        }
        let mut fields = Vec::with_capacity(count);
        for _ in 0..count {
            let (field, value) = (take_bytes(&mut rest)?, take_bytes(&mut rest)?);
            if field.len().max(value.len()) > SMALL_ELEMENT_BYTES_MAX {
                return corrupt("short fields and values");
            }
            fields.push(field);
        }
        fields.sort_unstable();
        if !rest.is_empty() || fields.windows(2).any(|pair| pair[0] == pair[1]) {
            return corrupt("as many different fields as it says");
        }
        Ok(Self { record })
    }

    /// Number of fields.
    pub fn len(self) -> usize {
        self.record.first().map_or(0, |count| usize::from(*count))
    }

    /// True if there are no fields.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Fields and values in their order.
    pub fn iter(self) -> Pairs<'a> {
        Pairs {
            rest: self.record.get(1..).unwrap_or_default(),
        }
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<&'a [u8]> {
        self.iter()
            .find(|(other, _)| *other == field)
            .map(|(_, value)| value)
    }
}

/// Fields and values of a record.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let field = take_bytes(&mut self.rest).ok()?;
        let value = take_bytes(&mut self.rest).ok()?;
        Some((field, value))
    }
}

/// Where a field stands with its length, where its value does, and where that ends.
fn find(record: &[u8], field: &[u8]) -> Option<(usize, usize, usize)> {
    let mut pairs = SmallHash::new(record).iter();
    loop {
        let start = record.len() - pairs.rest.len();
        let (other, _) = pairs.next()?;
        if other == field {
            return Some((start, start + 1 + field.len(), record.len() - pairs.rest.len()));
        }
    }
}

/// Sets a field; `None`, and nothing changes, if the result would not be small.
pub(super) fn set(record: &mut Vec<u8>, field: &[u8], value: &[u8]) -> Option<bool> {
    if field.len().max(value.len()) > SMALL_ELEMENT_BYTES_MAX {
        return None;
    }
    if let Some((_, value_start, end)) = find(record, field) {
        let head = [value.len() as u8];
        record.splice(value_start..end, head.iter().chain(value).copied());
        return Some(false);
    }
    if usize::from(record[0]) == SMALL_COUNT_MAX {
        return None;
    }
    record[0] += 1;
    put_bytes(record, field);
    put_bytes(record, value);
    Some(true)
}

/// Takes a field out; false if there is none.
pub(super) fn remove(record: &mut Vec<u8>, field: &[u8]) -> bool {
    let Some((start, _, end)) = find(record, field) else {
        return false;
    };
    record.drain(start..end);
    record[0] -= 1;
    true
}
