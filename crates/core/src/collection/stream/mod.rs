//! Streams: entries in the order of their ids, and groups of consumers that share them out.
//!
//! A stream has no small form, since even an empty one is more than its entries: the id that was given last, and how
//! many there ever were. Entries lie packed in the blocks of one tree, in the order of their ids. Whoever has groups has
//! the trees of [`groups`] beside it. So a clone costs nothing, as with other large collections.

mod chunks;
mod groups;
mod id;
#[cfg(test)]
mod tests;

pub use chunks::StreamBuilder;
pub use groups::{Consumer, Group, Pending};
pub use id::StreamId;

use self::groups::Groups;
use self::id::{IdKey, seq_of};
use super::ordered::Element;
use super::ordered_tree::{BackElements, Elements, OrderedTree};
use super::tree::allocated;
use super::{Remains, element_digest};
use crate::packed::{put_bytes, put_varint, take_bytes, take_varint};

/// What a stream knows beside its entries and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The id that was given last.
    pub last: StreamId,
    /// The highest id of an entry that was deleted on its own.
    pub deleted: StreamId,
    /// How many entries there ever were.
    pub added: u64,
    /// The number that a group or consumer got last; none is given twice.
    numbered: u64,
}

/// A stream.
#[derive(Clone, Default)]
pub struct Stream {
    marks: Marks,
    entries: OrderedTree<u64, true>,
    /// Sum over the entries.
    digest: u128,
    groups: Option<Box<Groups>>,
}

/// An entry of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    /// What it is called.
    pub id: StreamId,
    /// Number of words, then each with its length in front.
    packed: &'a [u8],
}

impl<'a> StreamEntry<'a> {
    fn of(element: Element<'a, u64>) -> Self {
        Self {
            id: StreamId {
                ms: element.head,
                seq: seq_of(element.key),
            },
            packed: element.value,
        }
    }

    /// Fields and values in turn.
    pub fn words(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let mut rest = self.packed;
        let count = take_varint(&mut rest).expect("an entry begins with a count") as usize;
        (0..count).map(move |_| take_bytes(&mut rest).expect("an entry has as many words as it says"))
    }

    /// Bytes of its words, about.
    pub fn len(self) -> usize {
        self.packed.len()
    }

    /// Never: an entry has a field.
    pub fn is_empty(self) -> bool {
        self.packed.is_empty()
    }
}

fn entry_digest_of(id: StreamId, packed: &[u8]) -> u128 {
    element_digest(&IdKey::of(id), packed)
}

/// So many words as an entry has them.
pub fn pack_words<'a>(count: usize, words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut packed = Vec::new();
    put_varint(&mut packed, count as u64);
    words.for_each(|word| put_bytes(&mut packed, word));
    packed
}

impl Stream {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it knows beside entries and groups.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// Says what it knows; its entries must have lower ids.
    pub fn set_marks(&mut self, last: StreamId, added: u64, deleted: StreamId) {
        self.marks = Marks {
            last,
            deleted,
            added,
            ..self.marks
        };
    }

    /// Appends an entry, whose words [`pack_words`] has packed. O(log n).
    ///
    /// # Panics
    /// If its id is not behind the one that was given last.
    pub fn append(&mut self, id: StreamId, packed: &[u8]) {
        assert!(id > self.marks.last, "ids ascend");
        self.marks.last = id;
        self.marks.added = self.marks.added.wrapping_add(1);
        self.put(id, packed);
    }

    fn put(&mut self, id: StreamId, packed: &[u8]) {
        self.entries.insert(id.ms, &IdKey::of_seq(id.seq), packed, |_| ());
        self.digest = self.digest.wrapping_add(entry_digest_of(id, packed));
    }

    /// Deletes an entry; false if there is none. O(log n).
    pub fn delete(&mut self, id: StreamId) -> bool {
        let digest = &mut self.digest;
        let is_there = self.entries.remove(id.ms, &IdKey::of_seq(id.seq), |packed| {
            *digest = digest.wrapping_sub(entry_digest_of(id, packed));
        });
        if is_there {
            self.marks.deleted = self.marks.deleted.max(id);
        }
        is_there
    }

    /// Takes up to `count` entries off the front, at most those of one block; returns how many, and their bytes.
    pub fn trim(&mut self, count: u64) -> (u64, usize) {
        let (digest, mut bytes) = (&mut self.digest, 0);
        let trimmed = self.entries.remove_at(0, count, &mut |element| {
            let entry = StreamEntry::of(element);
            *digest = digest.wrapping_sub(entry_digest_of(entry.id, entry.packed));
            bytes += entry.packed.len();
        });
        (trimmed, bytes)
    }

    /// The entry of this id. O(log n).
    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        let packed = self.entries.get(id.ms, &IdKey::of_seq(id.seq))?;
        Some(StreamEntry { id, packed })
    }

    /// How many entries have a lower id. O(log n).
    pub fn count_below(&self, id: StreamId) -> u64 {
        self.entries.rank(id.ms, &IdKey::of_seq(id.seq)).0
    }

    /// How many entries have ids from `first` to `last`, both included. O(log n).
    pub fn count_between(&self, first: StreamId, last: StreamId) -> u64 {
        let end = last.next().map_or(self.len(), |next| self.count_below(next));
        end.saturating_sub(self.count_below(first))
    }

    /// The entries from this id on. O(log n) for the first one.
    pub fn from(&self, id: StreamId) -> StreamEntries<'_> {
        StreamEntries(self.entries.from(self.count_below(id)))
    }

    /// The entries from this id, itself included, back to the first one. O(log n) for the first one.
    pub fn back_from(&self, id: StreamId) -> BackStreamEntries<'_> {
        let end = id.next().map_or(self.len(), |next| self.count_below(next));
        BackStreamEntries(self.entries.back_from(end))
    }

    /// The first entry.
    pub fn first(&self) -> Option<StreamEntry<'_>> {
        self.entries.at(0).map(StreamEntry::of)
    }

    /// The last entry.
    pub fn last(&self) -> Option<StreamEntry<'_>> {
        let last = self.len().checked_sub(1)?;
        self.entries.at(last).map(StreamEntry::of)
    }

    /// Number of parts of which a snapshot consists: the marks, entries, groups, consumers and pending entries.
    pub fn part_count(&self) -> u64 {
        let groups = self.groups.as_ref().map_or(0, |groups| groups.part_count());
        1 + self.entries.len() + groups
    }

    /// Stands for all that the stream holds.
    pub fn digest(&self) -> u128 {
        let groups = self.groups.as_ref().map_or(0, |groups| groups.digest());
        let mut marks = Vec::new();
        chunks::put_marks(&mut marks, self.marks);
        element_digest(b"marks", &marks)
            .wrapping_add(self.digest)
            .wrapping_add(groups)
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, |groups| groups.memory_bytes());
        allocated(size_of::<Self>()) + self.entries.memory_bytes() + groups
    }

    /// Bytes that clones keep since changes had to copy them, see
    /// [`Tree::take_copied_bytes`](crate::collection::Tree::take_copied_bytes).
    pub fn take_copied_bytes(&mut self) -> usize {
        let groups = self
            .groups
            .as_mut()
            .map_or(0, |groups| groups.take_copied_bytes());
        self.entries.take_copied_bytes() + groups
    }

    /// Gives up everything, to be freed in slices.
    pub fn discard(self, remains: &mut Remains) {
        remains.add(self.entries);
        if let Some(groups) = self.groups {
            groups.discard(remains);
        }
    }
}

/// Entries in their order.
pub struct StreamEntries<'a>(Elements<'a, u64, true>);

impl<'a> Iterator for StreamEntries<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        self.0.next().map(StreamEntry::of)
    }
}

/// Entries from the last to the first one.
pub struct BackStreamEntries<'a>(BackElements<'a, u64, true>);

impl<'a> Iterator for BackStreamEntries<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        self.0.next().map(StreamEntry::of)
    }
}
