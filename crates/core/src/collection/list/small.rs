//! The record of a small list: the number of elements in two bytes, little-endian, and each as an entry.

use super::block::{Place, View};
use super::entry;
use super::large::End;
use super::sweep::{Sweep, Swept, for_each_other};
use crate::collection::SMALL_LIST_BYTES_MAX;
use crate::collection::item::Item;
use crate::packed::{Corrupt, corrupt, take_array};

/// Bytes of the number of elements.
const HEAD_BYTES: usize = 2;
// No element is shorter than two bytes.
const _: () = assert!(SMALL_LIST_BYTES_MAX / 2 <= u16::MAX as usize);
const _: () = assert!(SMALL_LIST_BYTES_MAX <= entry::ENTRY_BYTES_MAX);

/// A record to be read.
#[derive(Clone, Copy)]
pub struct SmallList<'a> {
    count: usize,
    entries: &'a [u8],
}

impl<'a> SmallList<'a> {
    /// The record without elements.
    pub(super) const EMPTY: &'static [u8] = &[0, 0];

    /// A record that was made here or judged.
    pub fn new(record: &'a [u8]) -> Self {
        match record {
            [low, high, entries @ ..] => Self {
                count: usize::from(u16::from_le_bytes([*low, *high])),
                entries,
            },
            _ => Self {
                count: 0,
                entries: &[],
            },
        }
    }

    /// A record from a disk or a peer.
    ///
    /// # Errors
    /// If no small list is stored as this.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        let mut entries = record;
        let count = u16::from_le_bytes(take_array(&mut entries)?);
        if record.len() > SMALL_LIST_BYTES_MAX || entry::judge(entries)? != usize::from(count) {
            return corrupt("as many elements as it says, and not too many");
        }
        Ok(Self::new(record))
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        self.count
    }

    /// True if there are no elements.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(super) fn view(self) -> View<'a> {
        View {
            bytes: self.entries,
            long: &[],
        }
    }

    /// The place in front of the element with this index.
    pub(super) fn place(self, index: usize) -> Place {
        self.view().place(index.min(self.count), self.count)
    }

    /// The element with this index.
    pub fn get(self, index: usize) -> Option<Item<'a>> {
        (index < self.count).then(|| self.view().next(&mut self.place(index)))?
    }
}

fn set_count(record: &mut [u8], count: usize) {
    record[..HEAD_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
}

/// Puts an element in front of the one with this index; false, and nothing changes, if the result would not
/// be small.
pub(super) fn insert(record: &mut Vec<u8>, index: usize, element: &[u8]) -> bool {
    if record.len() + element.len() > SMALL_LIST_BYTES_MAX {
        return false;
    }
    let small = SmallList::new(record);
    assert!(index <= small.count, "there is no such place");
    let (count, byte) = (small.count, HEAD_BYTES + small.place(index).byte);
    let mut entry = Vec::with_capacity(element.len() + 5);
    entry::put(&mut entry, Some(element));
    if record.len() + entry.len() > SMALL_LIST_BYTES_MAX {
        return false;
    }
    record.splice(byte..byte, entry);
    set_count(record, count + 1);
    true
}

/// Takes the element with this index out, after it was shown; `None` if there is none.
pub(super) fn remove<R>(record: &mut Vec<u8>, index: usize, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
    let small = SmallList::new(record);
    if index >= small.count {
        return None;
    }
    let start = small.place(index);
    let mut end = start;
    let result = show(small.view().next(&mut end)?);
    let count = small.count - 1;
    record.drain(HEAD_BYTES + start.byte..HEAD_BYTES + end.byte);
    set_count(record, count);
    Some(result)
}

/// Takes out what equals a given element, as [`super::List::sweep`] does.
pub(super) fn sweep(record: &mut Vec<u8>, at: u64, sweep: Sweep<'_>) -> Swept {
    let small = SmallList::new(record);
    let (found, swept) = small.find(at, sweep);
    if swept.removed > 0 {
        let mut others = Vec::with_capacity(record.len());
        others.extend_from_slice(&record[..HEAD_BYTES]);
        for_each_other(small.view(), &found.indices, |before, behind, _| {
            others.extend_from_slice(&small.entries[before.byte..behind.byte]);
        });
        set_count(&mut others, small.count - found.indices.len());
        *record = others;
    }
    swept
}

/// Removes up to `count` elements at an end; returns how many.
pub(super) fn trim(record: &mut Vec<u8>, end: End, count: u64) -> u64 {
    let small = SmallList::new(record);
    let removed = small.len().min(usize::try_from(count).unwrap_or(usize::MAX));
    let left = small.len() - removed;
    match end {
        End::Head => {
            let byte = small.place(removed).byte;
            record.drain(HEAD_BYTES..HEAD_BYTES + byte);
        }
        End::Tail => {
            let byte = small.place(left).byte;
            record.truncate(HEAD_BYTES + byte);
        }
    }
    set_count(record, left);
    removed as u64
}
