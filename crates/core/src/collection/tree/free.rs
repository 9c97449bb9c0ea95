//! Giving the memory of trees back in bounded steps, since a large one takes long.

use std::sync::Arc;

use super::{Block, Node, Tree};

/// A node with more than this has parts of its own, and counts for several.
const NODE_BYTES_MAX: usize = 32 << 10;

/// What is left of trees that nobody reads any more.
#[derive(Default)]
pub struct Remains {
    parts: Vec<Box<dyn Part>>,
}

trait Part: Send + Sync {
    /// Frees about `count` nodes; returns how many it did not need.
    fn free(&mut self, count: usize) -> usize;
    fn memory_bytes(&self) -> usize;
}

struct Nodes<B: Block> {
    nodes: Vec<Arc<Node<B>>>,
    bytes: usize,
}

impl<B: Block + Send + Sync + 'static> Part for Nodes<B>
where
    B::Separator: Send + Sync,
    B::Sum: Send + Sync,
{
    fn free(&mut self, mut count: usize) -> usize {
        while count > 0
            && let Some(node) = self.nodes.pop()
        {
            let bytes = node.bytes();
            count = count.saturating_sub((bytes / NODE_BYTES_MAX).max(1));
            self.bytes = self.bytes.saturating_sub(bytes);
            // What a clone shares stays, with everything below it.
            if let Some(Node::Inner(inner)) = Arc::into_inner(node) {
                self.nodes
                    .extend(inner.children.into_iter().map(|child| child.node));
            }
        }
        count
    }

    fn memory_bytes(&self) -> usize {
        if self.nodes.is_empty() { 0 } else { self.bytes }
    }
}

impl Remains {
    /// Takes a tree over.
    pub(in crate::collection) fn add<B: Block + Send + Sync + 'static>(&mut self, tree: Tree<B>)
    where
        B::Separator: Send + Sync,
        B::Sum: Send + Sync,
    {
        self.parts.push(Box::new(Nodes {
            bytes: tree.bytes,
            nodes: vec![tree.root],
        }));
    }

    /// Takes over what is left of others.
    pub fn append(&mut self, other: Self) {
        self.parts.extend(other.parts);
    }

    /// Frees about `count` nodes, each some KiB and some allocations; true when nothing is left.
    pub fn free(&mut self, mut count: usize) -> bool {
        while count > 0
            && let Some(part) = self.parts.last_mut()
        {
            count = part.free(count);
            if count > 0 {
                self.parts.pop();
            }
        }
        self.parts.is_empty()
    }

    /// Bytes that are still to be freed, at most.
    pub fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.memory_bytes()).sum()
    }
}
