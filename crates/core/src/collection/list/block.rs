//! Elements of a list that follow each other, packed: a small list as a whole, or a leaf of a large one's tree.

use std::sync::Arc;

use super::entry::{self, Entry};
use super::rolling::Rolling;
use super::sweep::{Found, Sweep, for_each_other};
use crate::collection::element_digest;
use crate::collection::item::Item;
use crate::collection::tree::{Block, Sum, allocated, give_back, make_room};

/// A block with more bytes than this is split.
pub(super) const BLOCK_BYTES_MAX: usize = if cfg!(feature = "bugs") { 512 } else { 8 << 10 };
const BLOCK_BYTES_MIN: usize = BLOCK_BYTES_MAX / 4;
/// Longest element in a block's buffer.
pub(super) const INLINE_BYTES_MAX: usize = if cfg!(feature = "bugs") { 64 } else { 1 << 10 };
/// So many bytes that are stored apart count as one of the block: it is freed at once, so they are a MiB at most, or a
/// single element.
const APART_PER_BYTE: usize = (1 << 20) / BLOCK_BYTES_MAX;

/// A leaf.
#[derive(Clone, Default)]
pub struct ListBlock {
    bytes: Vec<u8>,
    /// Where the first element begins; what is before is room for others.
    start: usize,
    count: usize,
    sum: Rolling,
    /// The elements that are stored apart, in order.
    long: Vec<Arc<[u8]>>,
}

/// Packed elements to be read.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub bytes: &'a [u8],
    pub long: &'a [Arc<[u8]>],
}

/// A place between two elements of a view: its byte, and how many before it are stored apart.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub byte: usize,
    pub long: usize,
}

impl<'a> View<'a> {
    /// The place behind the last element.
    pub(super) fn end(self) -> Place {
        Place {
            byte: self.bytes.len(),
            long: self.long.len(),
        }
    }

    /// The element behind the place, which moves behind it.
    pub(super) fn next(self, place: &mut Place) -> Option<Item<'a>> {
        if place.byte >= self.bytes.len() {
            return None;
        }
        let (entry, end) = entry::read(self.bytes, place.byte).ok()?;
        place.byte = end;
        Some(match entry {
            Entry::Item(item) => item,
            Entry::Apart => {
                place.long += 1;
                Item::Bytes(&self.long[place.long - 1])
            }
        })
    }

    /// The element before the place, which moves before it.
    pub(super) fn previous(self, place: &mut Place) -> Option<Item<'a>> {
        if place.byte == 0 {
            return None;
        }
        place.byte = entry::start_of(self.bytes, place.byte);
        let (entry, _) = entry::read(self.bytes, place.byte).ok()?;
        Some(match entry {
            Entry::Item(item) => item,
            Entry::Apart => {
                place.long -= 1;
                Item::Bytes(&self.long[place.long])
            }
        })
    }

    /// The place in front of the element with this index, of `count`; from the end that is nearer.
    pub(super) fn place(self, index: usize, count: usize) -> Place {
        if index <= count / 2 {
            let mut place = Place::default();
            (0..index).for_each(|_| _ = self.next(&mut place));
            place
        } else {
            let mut place = self.end();
            (index..count).for_each(|_| _ = self.previous(&mut place));
            place
        }
    }
}

/// What an element that is stored apart counts for in its block, beside its entry.
fn apart_bytes(element: &[u8]) -> usize {
    size_of::<Arc<[u8]>>() + element.len() / APART_PER_BYTE
}

fn digest_of(item: Item<'_>) -> u128 {
    item.with(|bytes| element_digest(bytes, &[]))
}

/// Bytes of the entry of an element.
fn encode(element: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(element.len().min(INLINE_BYTES_MAX) + 5);
    entry::put(&mut bytes, (element.len() <= INLINE_BYTES_MAX).then_some(element));
    bytes
}

impl ListBlock {
    /// To be read.
    pub(super) fn view(&self) -> View<'_> {
        View {
            bytes: &self.bytes[self.start..],
            long: &self.long,
        }
    }

    fn used_bytes(&self) -> usize {
        let apart: usize = self.long.iter().map(|element| apart_bytes(element)).sum();
        self.bytes.len() - self.start + apart
    }

    /// True if it can take this element without having to be split.
    pub(super) fn has_room(&self, element: &[u8]) -> bool {
        let more = match element.len() {
            length if length <= INLINE_BYTES_MAX => length + 5,
            _ => 2 + apart_bytes(element),
        };
        self.used_bytes() + more <= BLOCK_BYTES_MAX
    }

    /// The element with this index.
    pub(super) fn get(&self, index: usize) -> Option<Item<'_>> {
        let view = self.view();
        view.next(&mut view.place(index, self.count))
    }

    pub(super) fn push_back(&mut self, element: &[u8]) {
        make_room(&mut self.bytes, element.len().min(INLINE_BYTES_MAX) + 5);
        let is_apart = element.len() > INLINE_BYTES_MAX;
        entry::put(&mut self.bytes, (!is_apart).then_some(element));
        if is_apart {
            make_room(&mut self.long, 1);
            self.long.push(element.into());
        }
        self.count += 1;
        self.sum = self.sum.join(Rolling::of(element_digest(element, &[])));
    }

    pub(super) fn push_front(&mut self, element: &[u8]) {
        let entry = encode(element);
        if self.start < entry.len() {
            // Room for as much as there is, so that each byte is moved once or twice in all.
            let used = &self.bytes[self.start..];
            let gap = used
                .len()
                .clamp(entry.len().max(32), BLOCK_BYTES_MAX / 4)
                .max(entry.len());
            let mut bytes = Vec::with_capacity(gap + used.len());
            bytes.resize(gap, 0);
            bytes.extend_from_slice(used);
            (self.bytes, self.start) = (bytes, gap);
        }
        self.start -= entry.len();
        self.bytes[self.start..][..entry.len()].copy_from_slice(&entry);
        if element.len() > INLINE_BYTES_MAX {
            make_room(&mut self.long, 1);
            self.long.insert(0, element.into());
        }
        self.count += 1;
        self.sum = Rolling::of(element_digest(element, &[])).join(self.sum);
    }

    /// Takes the last element out, after it was shown.
    pub(super) fn pop_back<R>(&mut self, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let view = self.view();
        let mut place = view.end();
        let item = view.previous(&mut place)?;
        let digest = digest_of(item);
        let result = show(item);
        self.bytes.truncate(self.start + place.byte);
        self.long.truncate(place.long);
        self.sum = self.sum.without_last(digest);
        self.count -= 1;
        self.give_back();
        Some(result)
    }

    /// Takes the first element out, after it was shown.
    pub(super) fn pop_front<R>(&mut self, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        let view = self.view();
        let mut place = Place::default();
        let item = view.next(&mut place)?;
        let digest = digest_of(item);
        let result = show(item);
        self.start += place.byte;
        self.long.drain(..place.long);
        self.sum = self.sum.without_first(digest);
        self.count -= 1;
        self.give_back();
        Some(result)
    }

    fn give_back(&mut self) {
        // Elements that went from the front leave a gap, which must not be most of the block.
        if self.start > 256 && self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
            give_back(&mut self.bytes);
        } else if self.start == 0 {
            give_back(&mut self.bytes);
        }
        give_back(&mut self.long);
    }

    /// The sums of the elements before the place with this index, and from it on.
    fn sums(&self, index: usize) -> (Rolling, Rolling) {
        let view = self.view();
        let mut place = Place::default();
        let left = (0..index).map_while(|_| view.next(&mut place)).map(digest_of);
        let left = left.fold(Rolling::default(), |sum, digest| sum.join(Rolling::of(digest)));
        let right = (index..self.count)
            .map_while(|_| view.next(&mut place))
            .map(digest_of);
        let right = right.fold(Rolling::default(), |sum, digest| sum.join(Rolling::of(digest)));
        (left, right)
    }

    /// Puts an element in front of the one with this index.
    pub(super) fn insert(&mut self, index: usize, element: &[u8]) {
        let (left, right) = self.sums(index);
        let place = self.view().place(index, self.count);
        let entry = encode(element);
        let byte = self.start + place.byte;
        make_room(&mut self.bytes, entry.len());
        self.bytes.splice(byte..byte, entry);
        if element.len() > INLINE_BYTES_MAX {
            make_room(&mut self.long, 1);
            self.long.insert(place.long, element.into());
        }
        self.count += 1;
        self.sum = left.join(Rolling::of(element_digest(element, &[]))).join(right);
    }

    /// Takes the element with this index out, after it was shown.
    pub(super) fn remove<R>(&mut self, index: usize, show: impl FnOnce(Item<'_>) -> R) -> R {
        let (left, right) = self.sums(index);
        let view = self.view();
        let start = view.place(index, self.count);
        let mut end = start;
        let item = view.next(&mut end).expect("the index is one of an element");
        let right = right.without_first(digest_of(item));
        let result = show(item);
        self.bytes.drain(self.start + start.byte..self.start + end.byte);
        self.long.drain(start.long..end.long);
        self.count -= 1;
        self.sum = left.join(right);
        self.give_back();
        result
    }

    /// What a sweep finds from this index on.
    pub(super) fn find(&self, at: usize, sweep: Sweep<'_>) -> Found {
        sweep.find(self.view(), at, self.count)
    }

    /// Takes the elements with these indices out, which ascend.
    pub(super) fn remove_all(&mut self, indices: &[usize]) {
        let mut others = Self {
            bytes: Vec::with_capacity(self.bytes.len() - self.start),
            ..Self::default()
        };
        for_each_other(self.view(), indices, |before, behind, item| {
            let bytes = &self.bytes[self.start..][before.byte..behind.byte];
            others.bytes.extend_from_slice(bytes);
            others
                .long
                .extend_from_slice(&self.long[before.long..behind.long]);
            others.count += 1;
            others.sum = others.sum.join(Rolling::of(digest_of(item)));
        });
        others.close();
        *self = others;
    }

    /// Gives back what is unused.
    pub(super) fn close(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.shrink_to_fit();
        self.long.shrink_to_fit();
    }
}

impl Block for ListBlock {
    type Separator = ();
    type Sum = Rolling;

    fn len(&self) -> usize {
        self.count
    }

    fn sum(&self) -> Rolling {
        self.sum
    }

    fn heap_bytes(&self) -> usize {
        // What is stored apart has two counters in front.
        let long = self.long.iter().map(|bytes| allocated(bytes.len() + 16));
        allocated(self.bytes.capacity())
            + allocated(self.long.capacity() * size_of::<Arc<[u8]>>())
            + long.sum::<usize>()
    }

    fn is_full(&self) -> bool {
        self.used_bytes() > BLOCK_BYTES_MAX && self.count > 1
    }

    fn is_sparse(&self) -> bool {
        self.used_bytes() < BLOCK_BYTES_MIN
    }

    fn split_off(&mut self, _is_last: bool) -> Self {
        let view = self.view();
        let half = self.used_bytes() / 2;
        let (mut place, mut index, mut apart) = (Place::default(), 0, 0);
        let mut left = Rolling::default();
        while index + 1 < self.count && (index == 0 || place.byte + apart < half) {
            let long = place.long;
            let Some(item) = view.next(&mut place) else { break };
            let passed = &self.long[long..place.long];
            apart += passed.iter().map(|element| apart_bytes(element)).sum::<usize>();
            left = left.join(Rolling::of(digest_of(item)));
            index += 1;
        }
        let mut right = Self {
            bytes: view.bytes[place.byte..].to_vec(),
            start: 0,
            count: self.count - index,
            sum: Rolling::default(),
            long: self.long.split_off(place.long),
        };
        right.sum = right.sums(0).1;
        self.bytes.truncate(self.start + place.byte);
        self.count = index;
        self.sum = left;
        self.close();
        right
    }

    fn absorb(&mut self, right: Self) {
        self.bytes.reserve_exact(right.bytes.len() - right.start);
        self.bytes.extend_from_slice(&right.bytes[right.start..]);
        self.long.extend(right.long);
        self.count += right.count;
        self.sum = self.sum.join(right.sum);
    }

    fn separator(&self, _right: &Self) {}

    fn separator_bytes((): &()) -> usize {
        0
    }
}
