//! Taking elements out that equal a given one, a block at a time: each block is looked at once, and made anew at most
//! once, however many of its elements go.

use super::block::{Place, View};
use super::{End, LargeList, List, small};
use crate::collection::Item;

/// What is taken out.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    /// Elements that equal this one.
    pub element: &'a [u8],
    /// The end from which they are looked for.
    pub from: End,
    /// At most so many.
    pub count: u64,
}

/// What became of a part of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Elements that were looked at.
    pub looked: u64,
    /// Those of them that were removed.
    pub removed: u64,
    /// Bytes of those that are as long as the element and were compared with it.
    pub compared_bytes: usize,
}

/// The elements of one block that go.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Their indices in the block, ascending.
    pub indices: Vec<usize>,
    looked: usize,
    compared_bytes: usize,
}

impl Found {
    fn swept(&self) -> Swept {
        Swept {
            looked: self.looked as u64,
            removed: self.indices.len() as u64,
            compared_bytes: self.compared_bytes,
        }
    }
}

impl Sweep<'_> {
    /// Goes through the `count` elements of a view from index `at` on, or from the tail through those before it.
    pub(super) fn find(&self, view: View<'_>, at: usize, count: usize) -> Found {
        let mut place = view.place(at, count);
        let mut found = Found::default();
        while (found.indices.len() as u64) < self.count {
            let item = match self.from {
                End::Head => view.next(&mut place),
                End::Tail => view.previous(&mut place),
            };
            let Some(item) = item else { break };
            found.looked += 1;
            if let Item::Bytes(bytes) = item
                && bytes.len() == self.element.len()
            {
                found.compared_bytes += bytes.len();
            }
            if item == *self.element {
                found.indices.push(match self.from {
                    End::Head => at + found.looked - 1,
                    End::Tail => at - found.looked,
                });
            }
        }
        if self.from == End::Tail {
            found.indices.reverse();
        }
        found
    }
}

/// Shows the elements of a view but those with these indices, each with the places around it.
pub(super) fn for_each_other<'a>(
    view: View<'a>,
    indices: &[usize],
    mut show: impl FnMut(Place, Place, Item<'a>),
) {
    let (mut place, mut gone) = (Place::default(), indices.iter().peekable());
    for index in 0.. {
        let before = place;
        let Some(item) = view.next(&mut place) else { return };
        if gone.next_if(|next| **next == index).is_none() {
            show(before, place, item);
        }
    }
}

impl List {
    /// Takes elements out of the next part: of those from index `at` on, or for a sweep from the tail of those before
    /// it, it looks at one block. At the end it looks at nothing.
    pub fn sweep(&mut self, at: u64, sweep: Sweep<'_>) -> Swept {
        match self {
            Self::Small(record) => small::sweep(record, at, sweep),
            Self::Large(large) => large.sweep(at, sweep),
        }
    }
}

impl LargeList {
    /// As [`List::sweep`].
    fn sweep(&mut self, at: u64, sweep: Sweep<'_>) -> Swept {
        let index = match sweep.from {
            End::Head => Some(at).filter(|at| *at < self.len()),
            End::Tail => at.min(self.len()).checked_sub(1),
        };
        let Some(index) = index else {
            return Swept::default();
        };
        let (block, at_block) = self.block_of(index);
        let behind = usize::from(sweep.from == End::Tail);
        let found = block.find(at_block + behind, sweep);
        let swept = found.swept();
        if swept.removed > 0 {
            self.edit_block_of(index, |block| block.remove_all(&found.indices));
        }
        swept
    }
}

impl small::SmallList<'_> {
    /// As [`List::sweep`], without taking anything out.
    pub(super) fn find(self, at: u64, sweep: Sweep<'_>) -> (Found, Swept) {
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(self.len());
        let found = sweep.find(self.view(), at, self.len());
        let swept = found.swept();
        (found, swept)
    }
}
