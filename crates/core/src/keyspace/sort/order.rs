//! Merging runs in slices: what is sorted stays in its order where two elements are equal, wherever a slice ends.

use std::cmp::Ordering;

/// Elements that are sorted at once.
const RUN: usize = 32;

/// Places of elements, on their way into an order.
#[derive(Debug)]
pub(in crate::keyspace) struct Sorting {
    places: Vec<u32>,
    merged: Vec<u32>,
    /// Length of the runs that are in order.
    width: usize,
    /// Where the two runs that are being merged stand, and where both end.
    left: usize,
    right: usize,
}

impl Sorting {
    /// Of so many elements, in the order that they have.
    ///
    /// # Panics
    /// If there are more than four thousand million.
    pub fn new(count: usize) -> Self {
        let count = u32::try_from(count).expect("memory holds no more elements");
        Self {
            places: (0..count).collect(),
            merged: Vec::with_capacity(count as usize),
            width: 0,
            left: 0,
            right: 0,
        }
    }

    /// Goes on until all is in order, or `may_go_on` says no, which is asked before about [`RUN`] elements each; true
    /// when all is in order.
    pub fn advance(&mut self, may_go_on: impl Fn() -> bool, compare: impl Fn(u32, u32) -> Ordering) -> bool {
        while self.width < self.places.len() {
            if !may_go_on() {
                return false;
            }
            match self.width {
                0 => self.sort_run(&compare),
                _ => self.merge_some(&compare),
            }
        }
        true
    }

    /// The places in their order.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    fn sort_run(&mut self, compare: &impl Fn(u32, u32) -> Ordering) {
        let end = self.places.len().min(self.left + RUN);
        self.places[self.left..end].sort_by(|one, other| compare(*one, *other));
        self.left = end;
        if end == self.places.len() {
            self.width = RUN;
            self.begin_pair(0);
        }
    }

    /// The two runs that begin at an index are next.
    fn begin_pair(&mut self, start: usize) {
        self.left = start;
        self.right = self.places.len().min(start + self.width);
    }

    fn merge_some(&mut self, compare: &impl Fn(u32, u32) -> Ordering) {
        let start = self.merged.len() / (2 * self.width) * (2 * self.width);
        let middle = self.places.len().min(start + self.width);
        let end = self.places.len().min(start + 2 * self.width);
        let until = end.min(self.merged.len() + RUN);
        while self.merged.len() < until {
            let (left, right) = (self.places.get(self.left), self.places.get(self.right));
            let takes_left = match (
                left.filter(|_| self.left < middle),
                right.filter(|_| self.right < end),
            ) {
                (Some(left), Some(right)) => compare(*left, *right) != Ordering::Greater,
                (left, _) => left.is_some(),
            };
            let from = if takes_left {
                &mut self.left
            } else {
                &mut self.right
            };
            self.merged.push(self.places[*from]);
            *from += 1;
        }
        if self.merged.len() == end {
            self.begin_pair(end);
        }
        if self.merged.len() == self.places.len() {
            std::mem::swap(&mut self.places, &mut self.merged);
            self.merged.clear();
            self.width *= 2;
            self.begin_pair(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_merged_in_slices_is_what_a_stable_sort_makes() {
        for count in [0, 1, 2, 31, 32, 33, 64, 65, 100, 1000, 4097] {
            let keys: Vec<u32> = (0..count).map(|place| place * 7919 % 53).collect();
            let mut sorting = Sorting::new(keys.len());
            let by_key = |one: u32, other: u32| keys[one as usize].cmp(&keys[other as usize]);
            let mut slices = 0;
            loop {
                let asked = Cell::new(0);
                let looks = 1 + slices % 3;
                let may_go_on = || asked.replace(asked.get() + 1) < looks;
                slices += 1;
                assert!(slices < 10_000);
                if sorting.advance(may_go_on, by_key) {
                    break;
                }
            }
            let mut expect: Vec<u32> = (0..count).collect();
            expect.sort_by_key(|place| keys[*place as usize]);
            assert_eq!(sorting.places(), expect, "{count}");
        }
    }
}
