//! The event heap: what happens when, first asked first served at the same instant.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Virtual microseconds since the world began.
pub type Micros = u64;

#[derive(Debug)]
struct Scheduled<E> {
    at: Micros,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    /// Reversed: the heap gives out its greatest, and the earliest shall come first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// Future events.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Scheduled<E>>,
    sequence: u64,
    now: Micros,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
            now: 0,
        }
    }
}

impl<E> Queue<E> {
    /// The time of the event given out last.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Schedules an event; one in the past happens now.
    pub fn at(&mut self, at: Micros, event: E) {
        self.sequence += 1;
        self.heap.push(Scheduled {
            at: at.max(self.now),
            sequence: self.sequence,
            event,
        });
    }

    /// Schedules an event so many microseconds from now.
    pub fn after(&mut self, delay: Micros, event: E) {
        self.at(self.now + delay, event);
    }

    /// The next event; time moves to it.
    pub fn pop(&mut self) -> Option<(Micros, E)> {
        let scheduled = self.heap.pop()?;
        self.now = scheduled.at;
        Some((scheduled.at, scheduled.event))
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn time_orders_events_and_ties_keep_their_order() {
        let mut queue = Queue::default();
        queue.at(5, 'c');
        queue.at(1, 'a');
        queue.at(5, 'd');
        queue.at(2, 'b');
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 'a'), (2, 'b'), (5, 'c'), (5, 'd')]);
        queue.at(0, 'e');
        assert_eq!(queue.pop(), Some((5, 'e')));
    }
}
