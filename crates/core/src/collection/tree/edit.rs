//! Changes of a tree: one block after the other, and everything above it in order again.

use std::sync::Arc;

use super::{Block, Child, FANOUT_MAX, FANOUT_MIN, First, Inner, Last, Node, Route, Tree, visits};

/// What a change of a block comes back with.
pub struct Edited<B, R> {
    /// For the caller.
    pub result: R,
    /// A block that is to follow the changed one.
    pub follower: Option<B>,
}

impl<B, R> Edited<B, R> {
    /// Only the block itself was changed.
    pub fn alone(result: R) -> Self {
        Self {
            result,
            follower: None,
        }
    }
}

/// What a change adds to and takes from the tree's sums.
struct Books {
    added_bytes: usize,
    removed_bytes: usize,
    copied_bytes: usize,
    /// True while everything on the path was the last child.
    is_last: bool,
}

impl Books {
    /// The node, alone: copied first if it is shared. Its bytes count as removed until [`Books::keep`].
    fn take<'n, B: Block>(&mut self, node: &'n mut Arc<Node<B>>) -> &'n mut Node<B> {
        visits::note();
        let bytes = node.bytes();
        self.removed_bytes += bytes;
        if Arc::get_mut(node).is_none() {
            self.copied_bytes += bytes;
            *node = Arc::new((**node).clone());
        }
        Arc::get_mut(node).expect("it is not shared, or a copy")
    }

    fn keep<B: Block>(&mut self, node: &Node<B>) {
        self.added_bytes += node.bytes();
    }
}

impl<B: Block> Tree<B> {
    /// Changes the block that the route leads to, by at most one element more or any number less, or gives
    /// it a block to follow.
    pub(in crate::collection) fn edit<T: Route<B>, R>(
        &mut self,
        mut route: T,
        change: impl FnOnce(&mut B, &T) -> Edited<B, R>,
    ) -> R {
        let mut books = Books {
            added_bytes: 0,
            removed_bytes: 0,
            copied_bytes: 0,
            is_last: true,
        };
        let (result, split) = descend(&mut self.root, &mut route, change, &mut books);
        if let Some(right) = split {
            self.raise(right, &mut books);
        }
        self.count = self.root.count();
        self.lower(&mut books);
        self.bytes = self.bytes + books.added_bytes - books.removed_bytes;
        self.copied_bytes += books.copied_bytes;
        result
    }

    /// Puts a block in front of all others.
    pub fn push_front(&mut self, block: B) {
        self.edit(First, |first, _| Edited {
            result: (),
            follower: Some(std::mem::replace(first, block)),
        });
    }

    /// Puts a block behind all others.
    pub fn push_back(&mut self, block: B) {
        self.edit(Last, |last, _| {
            // The block of a tree without elements stays in front of no other.
            if last.is_empty() {
                *last = block;
                return Edited::alone(());
            }
            Edited {
                result: (),
                follower: Some(block),
            }
        });
    }

    /// Takes the first block out.
    pub fn pop_front(&mut self) -> B {
        self.edit(First, |first, _| Edited::alone(std::mem::take(first)))
    }

    /// Takes the last block out.
    pub fn pop_back(&mut self) -> B {
        self.edit(Last, |last, _| Edited::alone(std::mem::take(last)))
    }

    /// A root above the root and its new neighbour.
    fn raise(&mut self, right: Child<B>, books: &mut Books) {
        let left = Child {
            separator: B::Separator::default(),
            count: self.root.count(),
            sum: self.root.sum(),
            node: Arc::clone(&self.root),
        };
        let root = Node::Inner(Inner::new(vec![left, right]));
        books.keep(&root);
        self.root = Arc::new(root);
    }

    /// As long as the root has a single child, that is the root; nothing is an empty block.
    fn lower(&mut self, books: &mut Books) {
        while let Node::Inner(inner) = &*self.root
            && let [only] = &inner.children[..]
        {
            books.removed_bytes += self.root.bytes();
            self.root = Arc::clone(&only.node);
        }
        if self.count == 0 {
            books.removed_bytes += self.root.bytes();
            let root = Node::Leaf(B::default());
            books.keep(&root);
            self.root = Arc::new(root);
        }
    }
}

/// Changes a node and what is below it; what it had to be split into comes back.
fn descend<B: Block, T: Route<B>, R>(
    node: &mut Arc<Node<B>>,
    route: &mut T,
    change: impl FnOnce(&mut B, &T) -> Edited<B, R>,
    books: &mut Books,
) -> (R, Option<Child<B>>) {
    let node = books.take(node);
    let (result, split) = match node {
        Node::Leaf(block) => change_block(block, route, change, books.is_last),
        Node::Inner(inner) => change_inner(inner, route, change, books),
    };
    books.keep(node);
    if let Some(right) = &split {
        books.keep(&right.node);
    }
    (result, split)
}

fn change_block<B: Block, T, R>(
    block: &mut B,
    route: &T,
    change: impl FnOnce(&mut B, &T) -> Edited<B, R>,
    is_last: bool,
) -> (R, Option<Child<B>>) {
    let Edited { result, follower } = change(block, route);
    let right = follower
        .filter(|follower| !follower.is_empty())
        .or_else(|| block.is_full().then(|| block.split_off(is_last)));
    let right = right.map(|right| {
        let separator = match block.len() {
            0 => B::Separator::default(),
            _ => block.separator(&right),
        };
        Child::new(separator, Node::Leaf(right))
    });
    (result, right)
}

fn change_inner<B: Block, T: Route<B>, R>(
    inner: &mut Inner<B>,
    route: &mut T,
    change: impl FnOnce(&mut B, &T) -> Edited<B, R>,
    books: &mut Books,
) -> (R, Option<Child<B>>) {
    let at = route.child(&inner.children);
    books.is_last &= at == inner.children.len() - 1;
    let child = &mut inner.children[at];
    let before = child.count;
    let (result, split) = descend(&mut child.node, route, change, books);
    child.count = child.node.count();
    child.sum = child.node.sum();
    let (count, has_split) = (child.count, split.is_some());
    if let Some(right) = split {
        inner.insert(at + 1, right);
    }
    if count == 0 && inner.children.len() > 1 {
        let emptied = inner.remove(at);
        books.removed_bytes += emptied.node.bytes();
    } else if count < before && !has_split && inner.children.len() > 1 && is_sparse(&inner.children[at].node)
    {
        inner.merge(at.min(inner.children.len() - 2), books);
    }
    (result, inner.split())
}

fn is_sparse<B: Block>(node: &Node<B>) -> bool {
    match node {
        Node::Leaf(block) => block.is_sparse(),
        Node::Inner(inner) => inner.children.len() < FANOUT_MIN,
    }
}

impl<B: Block> Inner<B> {
    fn insert(&mut self, at: usize, child: Child<B>) {
        self.separator_bytes += B::separator_bytes(&child.separator);
        super::make_room(&mut self.children, 1);
        self.children.insert(at, child);
    }

    fn remove(&mut self, at: usize) -> Child<B> {
        let child = self.children.remove(at);
        self.separator_bytes -= B::separator_bytes(&child.separator);
        super::give_back(&mut self.children);
        child
    }

    /// The second half, if there are too many children.
    fn split(&mut self) -> Option<Child<B>> {
        if self.children.len() <= FANOUT_MAX {
            return None;
        }
        let right = Self::new(self.children.split_off(self.children.len() / 2));
        self.separator_bytes -= right.separator_bytes;
        self.children.shrink_to_fit();
        let separator = right.children[0].separator.clone();
        Some(Child::new(separator, Node::Inner(right)))
    }

    /// Merges the child with the next one. What is too much for one node then is split evenly.
    fn merge(&mut self, at: usize, books: &mut Books) {
        let mut right = self.remove(at + 1);
        let left = &mut self.children[at];
        books.take(&mut right.node);
        let node = books.take(&mut left.node);
        let right_node = Arc::into_inner(right.node).expect("it is not shared");
        let split = match (&mut *node, right_node) {
            (Node::Leaf(block), Node::Leaf(next)) => {
                block.absorb(next);
                block.is_full().then(|| {
                    let next = block.split_off(false);
                    Child::new(block.separator(&next), Node::Leaf(next))
                })
            }
            (Node::Inner(inner), Node::Inner(next)) => {
                inner.absorb(next, right.separator);
                inner.split()
            }
            _ => unreachable!("all leaves are equally deep"),
        };
        books.keep(node);
        left.count = left.node.count();
        left.sum = left.node.sum();
        if let Some(right) = split {
            books.keep(&right.node);
            self.insert(at + 1, right);
        }
    }

    /// Appends the children of the next node, which `separator` separates from this one.
    fn absorb(&mut self, mut next: Self, separator: B::Separator) {
        if let Some(first) = next.children.first_mut() {
            next.separator_bytes -= B::separator_bytes(&first.separator);
            next.separator_bytes += B::separator_bytes(&separator);
            first.separator = separator;
        }
        self.separator_bytes += next.separator_bytes;
        self.children.reserve_exact(next.children.len());
        self.children.append(&mut next.children);
    }
}
