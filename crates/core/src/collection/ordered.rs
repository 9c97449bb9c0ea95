//! Elements in the order of a number and a byte string, in blocks of some KiB: the leaves of the trees of hashes,
//! sets and sorted sets.
//!
//! An element has a head, a key and, in a block that is `VALUED`, a value. No two have the same head and key.
//! Heads stand together, so that a search reads few cache lines; keys and values follow each other in one
//! buffer. What is longer than [`INLINE_BYTES_MAX`] has an allocation of its own, which a copy of the block
//! shares.

use std::sync::Arc;

use super::tree::{Block, Child, Route, allocated, give_back, make_room};
use crate::packed::{put_varint, take_varint};

/// A block with more bytes than this is split.
pub(super) const BLOCK_BYTES_MAX: usize = if cfg!(feature = "bugs") { 256 } else { 4 << 10 };
/// A block that shrinks below this is merged with a neighbour.
const BLOCK_BYTES_MIN: usize = BLOCK_BYTES_MAX / 4;
/// Bytes up to which a block that is built is filled.
pub(super) const BLOCK_BYTES_BUILT: usize = BLOCK_BYTES_MAX - BLOCK_BYTES_MAX / 16;
/// Longest element in a block's buffer.
pub(super) const INLINE_BYTES_MAX: usize = if cfg!(feature = "bugs") { 64 } else { 1 << 10 };
/// Set in the end of an element that is stored on its own.
const LONG: u16 = 1 << 15;
const _: () = assert!(BLOCK_BYTES_MAX + INLINE_BYTES_MAX < LONG as usize);

/// The number that comes first in the order.
pub trait Head: Copy + Ord + Default + Send + Sync + 'static {}

impl Head for u32 {}
impl Head for u64 {}

/// Packed elements in order.
#[derive(Clone, Default)]
pub struct Ordered<H: Head, const VALUED: bool> {
    heads: Vec<H>,
    /// Where each element ends in `bytes`, with [`LONG`].
    ends: Vec<u16>,
    bytes: Vec<u8>,
    /// The elements that are stored on their own, in order.
    long: Vec<Arc<[u8]>>,
    /// True if the last insertion was one at the end.
    is_appended: bool,
}

/// An element of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a, H> {
    /// The number that comes first in the order.
    pub head: H,
    /// What comes second.
    pub key: &'a [u8],
    /// Empty in a tree without values.
    pub value: &'a [u8],
}

/// What lies between two blocks: as much of a key as tells it from all before.
#[derive(Clone, Default)]
pub struct Separator<H> {
    head: H,
    key: Box<[u8]>,
}

/// To the block where an element with this head and key is or belongs.
#[derive(Clone, Copy)]
pub(super) struct At<'k, H>(pub H, pub &'k [u8]);

impl<H: Head, const VALUED: bool> Route<Ordered<H, VALUED>> for At<'_, H> {
    fn child(&mut self, children: &[Child<Ordered<H, VALUED>>]) -> usize {
        children[1..]
            .partition_point(|child| (child.separator.head, &*child.separator.key) <= (self.0, self.1))
    }
}

impl<H: Head, const VALUED: bool> Ordered<H, VALUED> {
    fn start(&self, at: usize) -> usize {
        match at {
            0 => 0,
            _ => usize::from(self.ends[at - 1] & !LONG),
        }
    }

    /// Number of elements stored on their own before this one.
    fn long_before(&self, at: usize) -> usize {
        match self.long.is_empty() {
            true => 0,
            false => self.ends[..at].iter().filter(|end| **end & LONG != 0).count(),
        }
    }

    fn raw(&self, at: usize) -> &[u8] {
        let end = self.ends[at];
        match end & LONG {
            0 => &self.bytes[self.start(at)..usize::from(end)],
            _ => &self.long[self.long_before(at)],
        }
    }

    /// The element at this index.
    pub(super) fn element(&self, at: usize) -> Element<'_, H> {
        let (key, value) = split::<VALUED>(self.raw(at));
        Element {
            head: self.heads[at],
            key,
            value,
        }
    }

    fn key(&self, at: usize) -> &[u8] {
        split::<VALUED>(self.raw(at)).0
    }

    /// Where the element is, or where it belongs.
    pub(super) fn search(&self, head: H, key: &[u8]) -> Result<usize, usize> {
        let first = self.heads.partition_point(|other| *other < head);
        let (mut low, mut high) = (first, first);
        // Runs of equal heads are short where heads are hashes.
        if self.heads.get(first) == Some(&head) {
            high = first + 1;
            if self.heads.get(high) == Some(&head) {
                high += self.heads[high..].partition_point(|other| *other <= head);
            }
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub(super) fn insert(&mut self, at: usize, head: H, key: &[u8], value: &[u8]) {
        self.is_appended = at == self.heads.len();
        make_room(&mut self.heads, 1);
        self.heads.insert(at, head);
        make_room(&mut self.ends, 1);
        let start = self.start(at);
        let long_before = self.long_before(at);
        self.ends.insert(at, start as u16);
        self.put_raw(at, long_before, key, value);
    }

    /// Stores the bytes of the element at this index, which has none.
    fn put_raw(&mut self, at: usize, long_before: usize, key: &[u8], value: &[u8]) {
        let (head, head_bytes) = length_head::<VALUED>(key);
        let length = head_bytes + key.len() + value.len();
        let parts = [&head[..head_bytes], key, value];
        if length > INLINE_BYTES_MAX {
            make_room(&mut self.long, 1);
            self.long.insert(long_before, parts.concat().into());
            self.ends[at] |= LONG;
            return;
        }
        let start = self.start(at);
        let old_length = self.bytes.len();
        make_room(&mut self.bytes, length);
        self.bytes.resize(old_length + length, 0);
        self.bytes.copy_within(start..old_length, start + length);
        let mut place = &mut self.bytes[start..start + length];
        for part in parts {
            let (here, rest) = place.split_at_mut(part.len());
            here.copy_from_slice(part);
            place = rest;
        }
        self.ends[at..].iter_mut().for_each(|end| *end += length as u16);
    }

    /// Takes the bytes of an element away.
    fn take_raw(&mut self, at: usize) {
        let start = self.start(at);
        if self.ends[at] & LONG != 0 {
            self.long.remove(self.long_before(at));
            give_back(&mut self.long);
            self.ends[at] = start as u16;
            return;
        }
        let end = usize::from(self.ends[at]);
        self.bytes.drain(start..end);
        let length = (end - start) as u16;
        self.ends[at..].iter_mut().for_each(|end| *end -= length);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.take_raw(at);
        self.heads.remove(at);
        self.ends.remove(at);
        self.give_back();
    }

    /// Removes elements from this index on; returns how many are left.
    pub(super) fn remove_many(&mut self, at: usize, count: usize) {
        (0..count).rev().for_each(|offset| self.take_raw(at + offset));
        self.heads.drain(at..at + count);
        self.ends.drain(at..at + count);
        self.give_back();
    }

    pub(super) fn set_value(&mut self, at: usize, value: &[u8]) {
        let (key, old) = split::<VALUED>(self.raw(at));
        if self.ends[at] & LONG == 0 && old.len() == value.len() {
            let end = usize::from(self.ends[at]);
            self.bytes[end - value.len()..end].copy_from_slice(value);
            return;
        }
        let key = key.to_vec();
        self.take_raw(at);
        self.put_raw(at, self.long_before(at), &key, value);
        give_back(&mut self.bytes);
    }

    /// Gives back what is unused: nothing is expected to come into it soon.
    pub(super) fn close(&mut self) {
        self.heads.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.long.shrink_to_fit();
    }

    fn give_back(&mut self) {
        give_back(&mut self.heads);
        give_back(&mut self.ends);
        give_back(&mut self.bytes);
    }

    /// What all elements take, their places included.
    pub(super) fn used_bytes(&self) -> usize {
        self.bytes.len()
            + self.heads.len() * (size_of::<H>() + size_of::<u16>())
            + self.long.len() * size_of::<Arc<[u8]>>()
    }
}

/// How many bytes the key has, in front of it where a value follows.
fn length_head<const VALUED: bool>(key: &[u8]) -> ([u8; 10], usize) {
    let mut head = [0; 10];
    if !VALUED {
        return (head, 0);
    }
    if key.len() < 0x80 {
        head[0] = key.len() as u8;
        return (head, 1);
    }
    let mut bytes = Vec::new();
    put_varint(&mut bytes, key.len() as u64);
    head[..bytes.len()].copy_from_slice(&bytes);
    (head, bytes.len())
}

/// Key and value of an element's bytes.
fn split<const VALUED: bool>(raw: &[u8]) -> (&[u8], &[u8]) {
    if !VALUED {
        return (raw, &[]);
    }
    let mut rest = raw;
    let length = take_varint(&mut rest).expect("an element begins with a length");
    rest.split_at(length as usize)
}

impl<H: Head, const VALUED: bool> Block for Ordered<H, VALUED> {
    type Separator = Separator<H>;
    type Sum = ();

    fn len(&self) -> usize {
        self.heads.len()
    }

    fn sum(&self) {}

    fn heap_bytes(&self) -> usize {
        // What is stored on its own has two counters in front.
        let long = self.long.iter().map(|bytes| allocated(bytes.len() + 16));
        allocated(self.heads.capacity() * size_of::<H>())
            + allocated(self.ends.capacity() * size_of::<u16>())
            + allocated(self.bytes.capacity())
            + allocated(self.long.capacity() * size_of::<Arc<[u8]>>())
            + long.sum::<usize>()
    }

    fn is_full(&self) -> bool {
        self.used_bytes() > BLOCK_BYTES_MAX && self.heads.len() > 1
    }

    fn is_sparse(&self) -> bool {
        self.used_bytes() < BLOCK_BYTES_MIN
    }

    fn split_off(&mut self, is_last: bool) -> Self {
        let count = self.heads.len();
        // Elements that come in order fill one block after the other.
        let at = match is_last && self.is_appended {
            true => count - 1,
            false => {
                let half = self.bytes.len() / 2;
                let by_bytes = self.ends.partition_point(|end| usize::from(end & !LONG) <= half);
                let at = if self.long.is_empty() { by_bytes } else { count / 2 };
                at.clamp(1, count - 1)
            }
        };
        let start = self.start(at);
        let long_at = self.long_before(at);
        let shift = |end: &u16| (end & LONG) | ((end & !LONG) - start as u16);
        let right = Self {
            heads: self.heads[at..].to_vec(),
            ends: self.ends[at..].iter().map(shift).collect(),
            bytes: self.bytes[start..].to_vec(),
            long: self.long.split_off(long_at),
            is_appended: true,
        };
        self.heads.truncate(at);
        self.ends.truncate(at);
        self.bytes.truncate(start);
        self.close();
        self.is_appended = false;
        right
    }

    fn absorb(&mut self, right: Self) {
        let start = self.bytes.len() as u16;
        self.heads.reserve_exact(right.heads.len());
        self.heads.extend_from_slice(&right.heads);
        self.ends.reserve_exact(right.ends.len());
        self.ends.extend(right.ends.iter().map(|end| end + start));
        self.bytes.reserve_exact(right.bytes.len());
        self.bytes.extend_from_slice(&right.bytes);
        self.long.reserve_exact(right.long.len());
        self.long.extend(right.long);
        self.is_appended = false;
    }

    fn separator(&self, right: &Self) -> Separator<H> {
        let last = self.element(self.heads.len() - 1);
        let first = right.element(0);
        let head = first.head;
        if last.head < head {
            return Separator {
                head,
                key: Box::default(),
            };
        }
        let common = last
            .key
            .iter()
            .zip(first.key)
            .take_while(|(left, right)| left == right);
        let length = (common.count() + 1).min(first.key.len());
        Separator {
            head,
            key: first.key[..length].into(),
        }
    }

    fn separator_bytes(separator: &Separator<H>) -> usize {
        allocated(separator.key.len())
    }
}
