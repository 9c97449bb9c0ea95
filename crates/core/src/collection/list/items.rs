//! Elements of a list in either direction, through both forms.

use super::block::{ListBlock, Place, View};
use super::large::LargeList;
use super::small::SmallList;
use crate::collection::Walk;
use crate::collection::item::Item;
use crate::collection::tree::Block;

/// Elements in their order.
#[derive(Clone)]
pub struct ListItems<'a> {
    view: View<'a>,
    place: Place,
    around: Around<'a>,
}

/// What comes before and behind a view.
#[derive(Clone)]
enum Around<'a> {
    /// Nothing.
    Nothing,
    /// It is the head.
    Head(&'a LargeList),
    /// It is a block of the tree.
    Tree(&'a LargeList, Walk<'a, ListBlock>),
    /// It is the tail.
    Tail(&'a LargeList),
}

impl<'a> ListItems<'a> {
    pub(super) fn small(list: SmallList<'a>, index: u64) -> Self {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Self {
            view: list.view(),
            place: list.place(index),
            around: Around::Nothing,
        }
    }

    pub(super) fn large(list: &'a LargeList, index: u64) -> Self {
        let head = list.head().len() as u64;
        let (block, index, around) = if index < head {
            (list.head(), index as usize, Around::Head(list))
        } else if index - head < list.tree_len() {
            let (walk, at) = list.walk(index - head);
            (walk.block(), at, Around::Tree(list, walk))
        } else {
            let behind = index.min(list.len()) - head - list.tree_len();
            (list.tail(), behind as usize, Around::Tail(list))
        };
        let view = block.view();
        Self {
            place: view.place(index, block.len()),
            view,
            around,
        }
    }

    /// Moves to the next block; false, and it stays, at the last one.
    fn forward(&mut self) -> bool {
        let (view, around) = match std::mem::replace(&mut self.around, Around::Nothing) {
            Around::Head(list) if list.tree_len() > 0 => {
                let (walk, _) = list.walk(0);
                (walk.block().view(), Around::Tree(list, walk))
            }
            Around::Tree(list, mut walk) => match walk.forward() {
                true => (walk.block().view(), Around::Tree(list, walk)),
                false => (list.tail().view(), Around::Tail(list)),
            },
            Around::Head(list) => (list.tail().view(), Around::Tail(list)),
            end => {
                self.around = end;
                return false;
            }
        };
        (self.view, self.place, self.around) = (view, Place::default(), around);
        true
    }

    /// Moves to the end of the block before; false, and it stays, at the first one.
    fn backward(&mut self) -> bool {
        let (view, around) = match std::mem::replace(&mut self.around, Around::Nothing) {
            Around::Tail(list) if list.tree_len() > 0 => {
                let (walk, _) = list.walk(list.tree_len() - 1);
                (walk.block().view(), Around::Tree(list, walk))
            }
            Around::Tree(list, mut walk) => match walk.backward() {
                true => (walk.block().view(), Around::Tree(list, walk)),
                false => (list.head().view(), Around::Head(list)),
            },
            Around::Tail(list) => (list.head().view(), Around::Head(list)),
            end => {
                self.around = end;
                return false;
            }
        };
        (self.view, self.place, self.around) = (view, view.end(), around);
        true
    }
}

impl<'a> Iterator for ListItems<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(item) = self.view.next(&mut self.place) {
                return Some(item);
            }
            if !self.forward() {
                return None;
            }
        }
    }
}

/// Elements from the last to the first one.
#[derive(Clone)]
pub struct BackListItems<'a> {
    items: ListItems<'a>,
}

impl<'a> BackListItems<'a> {
    pub(super) fn new(items: ListItems<'a>) -> Self {
        Self { items }
    }
}

impl<'a> Iterator for BackListItems<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            if let Some(item) = self.items.view.previous(&mut self.items.place) {
                return Some(item);
            }
            if !self.items.backward() {
                return None;
            }
        }
    }
}
