//! A large list: a tree of blocks by position, and beside it a block at either end.
//!
//! Pushes and pops touch the end blocks alone; a block that is full goes into the tree, and one comes out when an
//! end has become empty.

use super::ListItems;
use super::block::ListBlock;
use super::rolling::Rolling;
use crate::collection::item::Item;
use crate::collection::tree::{Block, ByRank, Edited, Sum, Tree, allocated};
use crate::collection::{Remains, Walk};
use crate::packed::{Corrupt, put_bytes, take_bytes};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Index 0.
    Head,
    /// The last index.
    Tail,
}

/// Elements by position.
#[derive(Clone, Default)]
pub struct LargeList {
    head: ListBlock,
    tree: Tree<ListBlock>,
    /// What the tree sums up to.
    tree_sum: Rolling,
    tail: ListBlock,
}

/// Where an element is.
enum Part {
    Head(usize),
    Tree(u64),
    Tail(usize),
}

impl LargeList {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.tree.len() + self.tail.len() as u64
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, index: u64) -> Part {
        let (head, tree) = (self.head.len() as u64, self.tree.len());
        if index < head {
            Part::Head(index as usize)
        } else if index - head < tree {
            Part::Tree(index - head)
        } else {
            Part::Tail((index - head - tree) as usize)
        }
    }

    /// Puts an element at an end. O(1), amortised, but for every few hundredth, which is O(log n).
    pub fn push(&mut self, end: End, element: &[u8]) {
        match end {
            End::Head => {
                if !self.head.has_room(element) && !self.head.is_empty() {
                    let mut full = std::mem::take(&mut self.head);
                    full.close();
                    self.tree.push_front(full);
                    self.tree_sum = self.tree.sum();
                }
                self.head.push_front(element);
            }
            End::Tail => {
                if !self.tail.has_room(element) && !self.tail.is_empty() {
                    let mut full = std::mem::take(&mut self.tail);
                    full.close();
                    self.tree.push_back(full);
                    self.tree_sum = self.tree.sum();
                }
                self.tail.push_back(element);
            }
        }
    }

    /// Takes the element at an end out, after it was shown; `None` if there is none. As cheap as a push.
    pub fn pop<R>(&mut self, end: End, show: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        self.refill(end);
        match end {
            End::Head if self.head.is_empty() => self.tail.pop_front(show),
            End::Head => self.head.pop_front(show),
            End::Tail if self.tail.is_empty() => self.head.pop_back(show),
            End::Tail => self.tail.pop_back(show),
        }
    }

    /// Takes a block out of the tree for an end that is empty.
    fn refill(&mut self, end: End) {
        let place = match end {
            End::Head => &mut self.head,
            End::Tail => &mut self.tail,
        };
        if place.is_empty() && !self.tree.is_empty() {
            *place = match end {
                End::Head => self.tree.pop_front(),
                End::Tail => self.tree.pop_back(),
            };
            self.tree_sum = self.tree.sum();
        }
    }

    /// The block of the element with this index, and its index there.
    pub(super) fn block_of(&self, index: u64) -> (&ListBlock, usize) {
        match self.part(index) {
            Part::Head(at) => (&self.head, at),
            Part::Tail(at) => (&self.tail, at),
            Part::Tree(rank) => {
                let mut route = ByRank(rank);
                let block = self.tree.block(&mut route);
                (block, route.0 as usize)
            }
        }
    }

    /// Takes elements out of the block of the element with this index.
    pub(super) fn edit_block_of(&mut self, index: u64, edit: impl FnOnce(&mut ListBlock)) {
        match self.part(index) {
            Part::Head(_) => edit(&mut self.head),
            Part::Tail(_) => edit(&mut self.tail),
            Part::Tree(rank) => {
                self.tree.edit(ByRank(rank), |block, _| {
                    edit(block);
                    Edited::alone(())
                });
                self.tree_sum = self.tree.sum();
            }
        }
    }

    /// The element with this index. O(log n), and O(1) near the ends.
    pub fn get(&self, index: u64) -> Option<Item<'_>> {
        let (block, at) = self.block_of(index);
        block.get(at)
    }

    /// Puts an element in front of the one with this index, or at the end. O(log n).
    ///
    /// # Panics
    /// If the index is greater than the length.
    pub fn insert(&mut self, index: u64, element: &[u8]) {
        assert!(index <= self.len(), "there is no such place");
        match self.part(index) {
            Part::Head(at) => {
                self.head.insert(at, element);
                if self.head.is_full() {
                    let right = self.head.split_off(false);
                    self.tree.push_front(right);
                }
            }
            Part::Tree(rank) => self.tree.edit(ByRank(rank), |block, route| {
                block.insert(route.0 as usize, element);
                Edited::alone(())
            }),
            Part::Tail(at) => {
                self.tail.insert(at, element);
                if self.tail.is_full() {
                    let right = self.tail.split_off(false);
                    let left = std::mem::replace(&mut self.tail, right);
                    self.tree.push_back(left);
                }
            }
        }
        self.tree_sum = self.tree.sum();
    }

    /// Takes the element with this index out, after it was shown. O(log n).
    ///
    /// # Panics
    /// If there is none.
    pub fn remove<R>(&mut self, index: u64, show: impl FnOnce(Item<'_>) -> R) -> R {
        assert!(index < self.len(), "there is no such element");
        match self.part(index) {
            Part::Head(at) => self.head.remove(at, show),
            Part::Tail(at) => self.tail.remove(at, show),
            Part::Tree(rank) => {
                let result = self.tree.edit(ByRank(rank), |block, route| {
                    Edited::alone(block.remove(route.0 as usize, show))
                });
                self.tree_sum = self.tree.sum();
                result
            }
        }
    }

    /// Replaces the element with this index. O(log n).
    ///
    /// # Panics
    /// If there is none.
    pub fn set(&mut self, index: u64, element: &[u8]) {
        self.remove(index, |_| ());
        self.insert(index, element);
    }

    /// Removes about `count` elements at an end, at most one block of some KiB; returns how many.
    pub fn trim(&mut self, end: End, count: u64) -> u64 {
        self.refill(end);
        let place = match end {
            End::Head if self.head.is_empty() => &mut self.tail,
            End::Head => &mut self.head,
            End::Tail if self.tail.is_empty() => &mut self.head,
            End::Tail => &mut self.tail,
        };
        let length = place.len() as u64;
        if count >= length {
            *place = ListBlock::default();
            return length;
        }
        for _ in 0..count {
            match end {
                End::Head => place.pop_front(|_| ()),
                End::Tail => place.pop_back(|_| ()),
            };
        }
        count
    }

    /// The elements from this index on. O(log n) for the first one.
    pub fn from(&self, index: u64) -> ListItems<'_> {
        ListItems::large(self, index)
    }

    /// The blocks of the list by their order: at first the head, at last the tail.
    pub(super) fn head(&self) -> &ListBlock {
        &self.head
    }

    pub(super) fn tail(&self) -> &ListBlock {
        &self.tail
    }

    pub(super) fn walk(&self, rank: u64) -> (Walk<'_, ListBlock>, usize) {
        let mut route = ByRank(rank);
        let walk = self.tree.walk(&mut route);
        (walk, route.0 as usize)
    }

    /// Number of elements in the tree.
    pub(super) fn tree_len(&self) -> u64 {
        self.tree.len()
    }

    /// Of all elements in their order.
    pub fn digest(&self) -> u128 {
        let sum = self.head.sum().join(self.tree_sum).join(self.tail.sum());
        sum.digest()
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        allocated(size_of::<Self>())
            + self.head.heap_bytes()
            + self.tree.memory_bytes()
            + self.tail.heap_bytes()
    }

    /// Bytes that clones keep since changes had to copy them, see [`Tree::take_copied_bytes`].
    pub fn take_copied_bytes(&mut self) -> usize {
        self.tree.take_copied_bytes()
    }

    /// Gives up everything, to be freed in slices.
    pub fn discard(mut self, remains: &mut Remains) {
        for end in [self.head, self.tail].into_iter().filter(|end| !end.is_empty()) {
            self.tree.push_back(end);
        }
        remains.add(self.tree);
    }

    /// Appends a chunk of the elements from this index on, about `budget_bytes` long and at least one
    /// element, and returns the index behind it.
    pub fn put_chunk(&self, index: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        let end = out.len() + budget_bytes;
        let mut next = index;
        for item in self.from(index) {
            item.with(|bytes| put_bytes(out, bytes));
            next += 1;
            if out.len() >= end {
                break;
            }
        }
        next
    }

    /// Takes the next chunk of a list that is rebuilt.
    ///
    /// # Errors
    /// If it is not one.
    pub fn take_chunk(&mut self, mut chunk: &[u8]) -> Result<(), Corrupt> {
        while !chunk.is_empty() {
            self.push(End::Tail, take_bytes(&mut chunk)?);
        }
        Ok(())
    }
}
