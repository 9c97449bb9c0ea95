//! Trees of ordered elements: found by head and key or by index, told in both directions, built in order.

use super::ordered::{At, BLOCK_BYTES_BUILT, Element, Head, Ordered, Separator};
use super::tree::{Block, ByRank, Edited, Tree, TreeBuilder, Walk};

/// A tree of elements in order.
pub(super) type OrderedTree<H, const VALUED: bool> = Tree<Ordered<H, VALUED>>;

impl<H: Head, const VALUED: bool> OrderedTree<H, VALUED> {
    /// The value of an element, empty where there are none; `None` if there is no such element.
    pub(super) fn get(&self, head: H, key: &[u8]) -> Option<&[u8]> {
        let block = self.block(&mut At(head, key));
        let at = block.search(head, key).ok()?;
        Some(block.element(at).value)
    }

    /// Puts an element in; `on_old` sees the value that it replaces. True if there was none.
    pub(super) fn insert(&mut self, head: H, key: &[u8], value: &[u8], on_old: impl FnOnce(&[u8])) -> bool {
        self.edit(At(head, key), |block, _| match block.search(head, key) {
            Ok(at) => {
                on_old(block.element(at).value);
                if VALUED {
                    block.set_value(at, value);
                }
                Edited::alone(false)
            }
            Err(at) => {
                block.insert(at, head, key, value);
                Edited::alone(true)
            }
        })
    }

    /// Takes an element out; `on_old` sees its value. False, and nothing is copied, if there is none.
    pub(super) fn remove(&mut self, head: H, key: &[u8], on_old: impl FnOnce(&[u8])) -> bool {
        let Some(value) = self.get(head, key) else {
            return false;
        };
        on_old(value);
        self.edit(At(head, key), |block, _| {
            let at = block.search(head, key).expect("it was found above");
            block.remove(at);
            Edited::alone(true)
        })
    }

    /// Takes the element with this index out and up to `count - 1` behind it that are in the same block;
    /// each is shown before. Returns their number, 0 behind the last element.
    pub fn remove_at(&mut self, rank: u64, count: u64, on_old: &mut dyn FnMut(Element<'_, H>)) -> u64 {
        if rank >= self.len() || count == 0 {
            return 0;
        }
        self.edit(ByRank(rank), |block, route| {
            let at = route.0 as usize;
            let count = count.min((block.len() - at) as u64);
            (at..at + count as usize).for_each(|at| on_old(block.element(at)));
            block.remove_many(at, count as usize);
            Edited::alone(count)
        })
    }

    /// How many elements come before this head and key, and whether it is there itself.
    pub(super) fn rank(&self, head: H, key: &[u8]) -> (u64, bool) {
        let (block, before) = self.ranked_block(&mut At(head, key));
        match block.search(head, key) {
            Ok(at) => (before + at as u64, true),
            Err(at) => (before + at as u64, false),
        }
    }

    /// The element with this index.
    pub(super) fn at(&self, rank: u64) -> Option<Element<'_, H>> {
        if rank >= self.len() {
            return None;
        }
        let mut route = ByRank(rank);
        let block = self.block(&mut route);
        Some(block.element(route.0 as usize))
    }

    /// The elements from this index on.
    pub fn from(&self, rank: u64) -> Elements<'_, H, VALUED> {
        let mut route = ByRank(rank.min(self.len()));
        let walk = self.walk(&mut route);
        Elements {
            next: (route.0 as usize).min(walk.block().len()),
            walk,
        }
    }

    /// The elements from the one before this index back to the first one.
    pub fn back_from(&self, rank: u64) -> BackElements<'_, H, VALUED> {
        let Elements { walk, next } = self.from(rank);
        BackElements { walk, end: next }
    }
}

/// Elements of a tree in order.
pub struct Elements<'a, H: Head, const VALUED: bool> {
    walk: Walk<'a, Ordered<H, VALUED>>,
    /// Index of the next one in the block.
    next: usize,
}

impl<'a, H: Head, const VALUED: bool> Iterator for Elements<'a, H, VALUED> {
    type Item = Element<'a, H>;

    fn next(&mut self) -> Option<Element<'a, H>> {
        if self.next == self.walk.block().len() {
            if !self.walk.forward() {
                return None;
            }
            self.next = 0;
        }
        self.next += 1;
        Some(self.walk.block().element(self.next - 1))
    }
}

/// Elements of a tree from the last to the first one.
pub struct BackElements<'a, H: Head, const VALUED: bool> {
    walk: Walk<'a, Ordered<H, VALUED>>,
    /// Index behind the next one in the block.
    end: usize,
}

impl<'a, H: Head, const VALUED: bool> Iterator for BackElements<'a, H, VALUED> {
    type Item = Element<'a, H>;

    fn next(&mut self) -> Option<Element<'a, H>> {
        if self.end == 0 {
            if !self.walk.backward() {
                return None;
            }
            self.end = self.walk.block().len();
        }
        self.end -= 1;
        Some(self.walk.block().element(self.end))
    }
}

/// Builds a tree from elements in order.
#[derive(Default)]
pub(super) struct OrderedBuilder<H: Head, const VALUED: bool> {
    tree: TreeBuilder<Ordered<H, VALUED>>,
    /// The last full block, whose successor has not begun.
    full: Option<(Separator<H>, Ordered<H, VALUED>)>,
    block: Ordered<H, VALUED>,
}

impl<H: Head, const VALUED: bool> OrderedBuilder<H, VALUED> {
    /// Takes the next element; false, and nothing changes, if it does not come behind all others.
    pub(super) fn push(&mut self, head: H, key: &[u8], value: &[u8]) -> bool {
        let full = self.full.as_ref().map(|(_, block)| block);
        let last = [Some(&self.block), full]
            .into_iter()
            .flatten()
            .find(|block| block.len() > 0);
        if let Some(block) = last {
            let last = block.element(block.len() - 1);
            if (last.head, last.key) >= (head, key) {
                return false;
            }
        }
        self.block.insert(self.block.len(), head, key, value);
        if self.block.used_bytes() > BLOCK_BYTES_BUILT {
            self.close();
        }
        true
    }

    /// Number of elements so far.
    pub(super) fn len(&self) -> u64 {
        let full = self.full.as_ref().map_or(0, |(_, block)| block.len());
        self.tree.len() + full as u64 + self.block.len() as u64
    }

    /// Bytes that is allocated for the elements so far.
    pub(super) fn memory_bytes(&self) -> usize {
        let full = self.full.as_ref().map_or(0, |(_, block)| block.heap_bytes());
        self.tree.memory_bytes() + full + self.block.heap_bytes()
    }

    fn close(&mut self) {
        let mut block = std::mem::take(&mut self.block);
        if block.len() == 0 {
            return;
        }
        block.close();
        let separator = match &self.full {
            Some((_, before)) => before.separator(&block),
            None => Separator::default(),
        };
        if let Some((separator, before)) = self.full.replace((separator, block)) {
            self.tree.push(separator, before);
        }
    }

    /// The tree.
    pub(super) fn finish(mut self) -> OrderedTree<H, VALUED> {
        self.close();
        if let Some((separator, block)) = self.full.take() {
            self.tree.push(separator, block);
        }
        self.tree.finish()
    }
}
