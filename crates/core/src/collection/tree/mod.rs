//! A counted, copy-on-write B+ tree over blocks of packed elements: what every large collection is made of.
//!
//! A leaf is a [`Block`], some KiB of elements in order; what an element is, and how blocks are ordered among
//! each other, is the block's business. Inner nodes hold for each child how many elements it has, what
//! its elements sum up to ([`Sum`]), and what separates it from the one before. All nodes are in an
//! [`Arc`]: a clone of the tree shares them all and costs nothing; a change copies those shared nodes that lie
//! on its path and changes the others in place. So a clone is a snapshot.
//!
//! The shape of a tree depends on the order of its changes, and differs between a replica that has seen them
//! all and one that was restored. Nothing that leaves this module may depend on it.

use std::sync::Arc;

mod build;
mod edit;
mod free;
#[cfg(test)]
mod tests;
mod walk;

pub(super) use build::TreeBuilder;
pub(super) use edit::Edited;
pub use free::Remains;
pub use walk::Walk;

/// Most children of an inner node.
pub(super) const FANOUT_MAX: usize = 64;
/// An inner node that shrinks below this number is merged with a neighbour.
const FANOUT_MIN: usize = FANOUT_MAX / 4;

/// What a tree knows of a part of its elements beside their number, in their order.
pub trait Sum: Copy + Default {
    /// That of the elements of `self` and those of `right` behind them.
    #[must_use]
    fn join(self, right: Self) -> Self;
}

impl Sum for () {
    fn join(self, (): Self) {}
}

/// A leaf: packed elements in order.
pub trait Block: Clone + Default {
    /// What lies between two blocks, for the blocks that are found by it.
    type Separator: Clone + Default;
    /// What is summed up.
    type Sum: Sum;

    /// Number of elements.
    fn len(&self) -> usize;
    /// True if there are no elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What the elements sum up to.
    fn sum(&self) -> Self::Sum;
    /// Bytes that its parts have allocated, the block itself excluded.
    fn heap_bytes(&self) -> usize;
    /// True if it has to be split.
    fn is_full(&self) -> bool;
    /// True if it should be merged with a neighbour.
    fn is_sparse(&self) -> bool;
    /// Takes the second part off; with `is_last`, when nothing comes behind the block, it may be small.
    fn split_off(&mut self, is_last: bool) -> Self;
    /// Appends the elements of the block behind this one.
    fn absorb(&mut self, right: Self);
    /// What lies between this block and the next one; neither is empty.
    fn separator(&self, right: &Self) -> Self::Separator;
    /// Bytes that a separator has allocated.
    fn separator_bytes(separator: &Self::Separator) -> usize;
}

/// How to get from the root to the block of an element.
pub trait Route<B: Block> {
    /// Which of the children to go to; they are at least one.
    fn child(&mut self, children: &[Child<B>]) -> usize;
}

/// A child of an inner node.
#[derive(Clone)]
pub struct Child<B: Block> {
    /// At most the first element of this child, and more than the last one of the child before. That of a
    /// node's first child says nothing.
    pub(super) separator: B::Separator,
    pub(super) count: u64,
    sum: B::Sum,
    node: Arc<Node<B>>,
}

#[derive(Clone)]
enum Node<B: Block> {
    Leaf(B),
    Inner(Inner<B>),
}

#[derive(Clone)]
struct Inner<B: Block> {
    children: Vec<Child<B>>,
    /// What the separators have allocated.
    separator_bytes: usize,
}

/// The tree; see the module.
#[derive(Clone)]
pub struct Tree<B: Block> {
    root: Arc<Node<B>>,
    count: u64,
    /// What all nodes have allocated, whoever shares them.
    bytes: usize,
    /// What shared nodes had allocated that changes have copied since this was asked for last.
    copied_bytes: usize,
}

/// To the element with this index, from 0; to the last block if there is none.
pub(super) struct ByRank(pub u64);

impl<B: Block> Route<B> for ByRank {
    fn child(&mut self, children: &[Child<B>]) -> usize {
        let last = children.len() - 1;
        for (at, child) in children[..last].iter().enumerate() {
            if self.0 < child.count {
                return at;
            }
            self.0 -= child.count;
        }
        last
    }
}

/// To the first block.
pub(super) struct First;

impl<B: Block> Route<B> for First {
    fn child(&mut self, _: &[Child<B>]) -> usize {
        0
    }
}

/// To the last block.
pub(super) struct Last;

impl<B: Block> Route<B> for Last {
    fn child(&mut self, children: &[Child<B>]) -> usize {
        children.len() - 1
    }
}

impl<B: Block> Default for Tree<B> {
    fn default() -> Self {
        let root = Node::Leaf(B::default());
        Self {
            bytes: root.bytes(),
            root: Arc::new(root),
            count: 0,
            copied_bytes: 0,
        }
    }
}

impl<B: Block> Tree<B> {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that its nodes have allocated; nodes that are shared with clones count for each of them.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the nodes that changes had to copy since the last call, because a clone shared them: what
    /// the clones keep alone, as long as they are there.
    pub fn take_copied_bytes(&mut self) -> usize {
        std::mem::take(&mut self.copied_bytes)
    }

    /// What all elements sum up to. O([`FANOUT_MAX`]).
    pub fn sum(&self) -> B::Sum {
        self.root.sum()
    }

    /// The block that the route leads to.
    pub(super) fn block(&self, route: &mut impl Route<B>) -> &B {
        let mut node = &*self.root;
        loop {
            visits::note();
            match node {
                Node::Leaf(block) => return block,
                Node::Inner(inner) => node = &inner.children[route.child(&inner.children)].node,
            }
        }
    }

    /// As [`Tree::block`], with the number of elements in front of the block.
    pub(super) fn ranked_block(&self, route: &mut impl Route<B>) -> (&B, u64) {
        let mut node = &*self.root;
        let mut rank = 0;
        loop {
            visits::note();
            match node {
                Node::Leaf(block) => return (block, rank),
                Node::Inner(inner) => {
                    let at = route.child(&inner.children);
                    rank += inner.children[..at].iter().map(|child| child.count).sum::<u64>();
                    node = &inner.children[at].node;
                }
            }
        }
    }
}

impl<B: Block> Node<B> {
    /// Bytes that the node has allocated, those of its children excluded.
    fn bytes(&self) -> usize {
        /// Two counters.
        const ARC_BYTES: usize = 16;
        let own = allocated(size_of::<Self>() + ARC_BYTES);
        own + match self {
            Self::Leaf(block) => block.heap_bytes(),
            Self::Inner(inner) => {
                allocated(inner.children.capacity() * size_of::<Child<B>>()) + inner.separator_bytes
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Leaf(block) => block.len() as u64,
            Self::Inner(inner) => inner.children.iter().map(|child| child.count).sum(),
        }
    }

    fn sum(&self) -> B::Sum {
        match self {
            Self::Leaf(block) => block.sum(),
            Self::Inner(inner) => {
                let sums = inner.children.iter().map(|child| child.sum);
                sums.reduce(Sum::join).unwrap_or_default()
            }
        }
    }
}

impl<B: Block> Child<B> {
    fn new(separator: B::Separator, node: Node<B>) -> Self {
        Self {
            separator,
            count: node.count(),
            sum: node.sum(),
            node: Arc::new(node),
        }
    }
}

impl<B: Block> Inner<B> {
    fn new(children: Vec<Child<B>>) -> Self {
        let separators = children.iter().map(|child| B::separator_bytes(&child.separator));
        Self {
            separator_bytes: separators.sum(),
            children,
        }
    }
}

/// What the allocator takes for so many bytes: a word in front, and all in sixteens.
pub(super) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// Makes room for `additional` elements more, by an eighth at least, so that many blocks together have
/// little unused.
pub(super) fn make_room<T>(vector: &mut Vec<T>, additional: usize) {
    if vector.capacity() - vector.len() < additional {
        vector.reserve_exact(additional.max(vector.len() / 8));
    }
}

/// Gives memory back when half of it is unused.
pub(super) fn give_back<T>(vector: &mut Vec<T>) {
    if vector.capacity() > 16 && vector.len() < vector.capacity() / 2 {
        vector.shrink_to(vector.len() + vector.len() / 8);
    }
}

/// How many nodes were looked at, for tests of complexity, which must not depend on time.
pub(super) mod visits {
    #[cfg(test)]
    thread_local!(static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

    /// One more.
    #[inline(always)]
    pub(in crate::collection) fn note() {
        #[cfg(test)]
        COUNT.set(COUNT.get() + 1);
    }

    /// How many there were since the last call, on this thread.
    #[cfg(test)]
    pub(in crate::collection) fn take() -> u64 {
        COUNT.replace(0)
    }
}
