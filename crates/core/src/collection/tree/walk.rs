//! A place in a tree that moves block by block.

use super::{Block, Inner, Node, Route, Tree, visits};

/// Stands at one block of a tree, which is not changed meanwhile.
pub struct Walk<'a, B: Block> {
    /// The inner nodes above the block, from the root, each with the child that was taken.
    path: Vec<(&'a Inner<B>, usize)>,
    block: &'a B,
}

impl<B: Block> Clone for Walk<'_, B> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            block: self.block,
        }
    }
}

impl<B: Block> Tree<B> {
    /// Begins at the block that the route leads to.
    pub fn walk(&self, route: &mut impl Route<B>) -> Walk<'_, B> {
        let mut path = Vec::new();
        let mut node = &*self.root;
        loop {
            visits::note();
            match node {
                Node::Leaf(block) => return Walk { path, block },
                Node::Inner(inner) => {
                    let at = route.child(&inner.children);
                    path.push((inner, at));
                    node = &inner.children[at].node;
                }
            }
        }
    }
}

impl<'a, B: Block> Walk<'a, B> {
    /// The block where it stands.
    pub fn block(&self) -> &'a B {
        self.block
    }

    /// Moves to the next block; false, and it stays, behind the last one.
    pub fn forward(&mut self) -> bool {
        self.turn(|at, len| (at + 1 < len).then_some(at + 1), |_| 0)
    }

    /// Moves to the block before; false, and it stays, in front of the first one.
    pub fn backward(&mut self) -> bool {
        self.turn(|at, _| at.checked_sub(1), |len| len - 1)
    }

    fn turn(&mut self, step: fn(usize, usize) -> Option<usize>, enter: fn(usize) -> usize) -> bool {
        let turning = self
            .path
            .iter()
            .rposition(|(inner, at)| step(*at, inner.children.len()).is_some());
        let Some(depth) = turning else { return false };
        self.path.truncate(depth + 1);
        let (inner, at) = &mut self.path[depth];
        *at = step(*at, inner.children.len()).expect("it was asked above");
        let mut node = &*inner.children[*at].node;
        loop {
            visits::note();
            match node {
                Node::Leaf(block) => {
                    self.block = block;
                    return true;
                }
                Node::Inner(inner) => {
                    let at = enter(inner.children.len());
                    self.path.push((inner, at));
                    node = &inner.children[at].node;
                }
            }
        }
    }
}
