//! A tree from blocks in order, in one pass from below.

use std::sync::Arc;

use super::{Block, Child, FANOUT_MAX, Inner, Node, Tree};

/// Children of an inner node that is built; some room is left for what comes later.
const FANOUT_BUILT: usize = FANOUT_MAX - FANOUT_MAX / 8;

/// Takes the blocks of a tree from the first to the last one.
pub(in crate::collection) struct TreeBuilder<B: Block> {
    /// Nodes without parent: of the leaves, of those above them, and so on.
    levels: Vec<Vec<Child<B>>>,
    bytes: usize,
    count: u64,
}

impl<B: Block> Default for TreeBuilder<B> {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            bytes: 0,
            count: 0,
        }
    }
}

impl<B: Block> TreeBuilder<B> {
    /// Number of elements so far.
    pub(in crate::collection) fn len(&self) -> u64 {
        self.count
    }

    /// Bytes that the nodes so far have allocated.
    pub(in crate::collection) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a block that is not empty, and what separates it from the one before.
    pub(in crate::collection) fn push(&mut self, separator: B::Separator, block: B) {
        assert!(!block.is_empty(), "no tree has empty blocks");
        self.count += block.len() as u64;
        self.place(0, separator, Node::Leaf(block));
    }

    fn place(&mut self, level: usize, separator: B::Separator, node: Node<B>) {
        self.bytes += node.bytes();
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(Child::new(separator, node));
        if self.levels[level].len() == FANOUT_BUILT {
            self.close(level);
        }
    }

    /// Puts a parent above the nodes of this level.
    fn close(&mut self, level: usize) {
        let children = std::mem::take(&mut self.levels[level]);
        let Some(first) = children.first() else { return };
        let separator = first.separator.clone();
        self.place(level + 1, separator, Node::Inner(Inner::new(children)));
    }

    /// The tree.
    pub(in crate::collection) fn finish(mut self) -> Tree<B> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            self.close(level);
            level += 1;
        }
        let Some(mut top) = self.levels.pop() else {
            return Tree::default();
        };
        let root = if top.len() == 1 {
            top.pop().expect("there is one").node
        } else {
            let node = Node::Inner(Inner::new(top));
            self.bytes += node.bytes();
            Arc::new(node)
        };
        Tree {
            root,
            count: self.count,
            bytes: self.bytes,
            copied_bytes: 0,
        }
    }
}
