//! When bytes came that stand in a socket because nothing is read from it.
//!
//! While nobody leads, a request is refused when it has waited for the hold, counted from when it came to the node. Of
//! what stands in a socket the system does not tell when it came. So the worker looks now and then how much stands
//! there: what one look finds more than the one before came between the two, and is taken for the younger, so that
//! nothing is refused before its time. What is read behind all that a look has seen came later, or was kept back by
//! the client's own system while the socket was full; it is taken for as old as the youngest that was seen, until the
//! socket is empty. Where so much stood that it may have been full, the client's system needs a moment to go on: the
//! first look after a read finds what was kept back, and one empty read does not tell that nothing was. What came after
//! the last look is taken for older than it is by the time between two looks at most, unless the socket was full.

use std::collections::VecDeque;

/// Looks that are remembered, more than one hold of them; further ones are merged into the last one.
const LOOKS_MAX: usize = 32;

/// With less than this, a socket is not full.
const FULL_BYTES_MIN: usize = 16 << 10;

/// Everything up to a place in the stream had come at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// Bytes of the stream, counted from the first look.
    end: u64,
    at_us: u64,
}

/// What is known of the bytes in one socket; see the module.
#[derive(Debug, Default)]
pub struct Standing {
    /// Bytes that have been read since the first look.
    read: u64,
    looks: VecDeque<Look>,
    /// A look has found so much that the client's system may have kept more back.
    was_full: bool,
    /// Something was read since the last look.
    was_read: bool,
}

impl Standing {
    /// So many bytes stand in the socket at this time, in microseconds.
    pub fn look(&mut self, bytes: usize, at_us: u64) {
        let end = self.read + bytes as u64;
        let was_kept_back = std::mem::take(&mut self.was_read) && self.was_full;
        self.was_full |= bytes >= FULL_BYTES_MIN;
        let is_full = self.looks.len() == LOOKS_MAX;
        match self.looks.back_mut() {
            Some(last) if last.end >= end => {}
            Some(last) if was_kept_back => last.end = end,
            Some(last) if is_full => *last = Look { end, at_us },
            _ => self.looks.push_back(Look { end, at_us }),
        }
    }

    /// Whether a read that found no more bytes shows that nothing stands there any more.
    pub fn ends_with_a_read(&self) -> bool {
        !self.was_full
    }

    /// So many bytes were read (`None` if what is read cannot be compared with what stands in the socket): when the
    /// last of them came, in microseconds.
    pub fn read(&mut self, bytes: Option<usize>) -> Option<u64> {
        self.was_read = true;
        let Some(bytes) = bytes else {
            return self.looks.back().map(|look| look.at_us);
        };
        self.read += bytes as u64;
        while self.looks.len() > 1 && self.looks.front().is_some_and(|look| look.end < self.read) {
            self.looks.pop_front();
        }
        self.looks.front().map(|look| look.at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_old_as_the_first_look_that_saw_them() {
        let mut standing = Standing::default();
        for (bytes, at_us) in [(100, 1), (100, 2), (150, 3), (400, 4)] {
            standing.look(bytes, at_us);
        }
        assert_eq!(standing.read(Some(60)), Some(1));
        assert_eq!(standing.read(Some(50)), Some(3), "the youngest byte counts");
        assert_eq!(standing.read(Some(40)), Some(3));
        // 150 are read and 250 stand there.
        standing.look(350, 5);
        assert_eq!(standing.read(Some(100)), Some(4));
        assert_eq!(standing.read(Some(200)), Some(5));
    }

    #[test]
    fn what_a_full_socket_kept_out_is_as_old_as_what_filled_it() {
        let mut standing = Standing::default();
        for (bytes, at_us) in [(90, 1), (100, 2), (100, 3), (100, 9)] {
            standing.look(bytes, at_us);
        }
        assert_eq!(standing.read(Some(100)), Some(2));
        assert_eq!(standing.read(Some(5_000)), Some(2));
        assert!(standing.ends_with_a_read());
        standing.look(FULL_BYTES_MIN, 10);
        assert!(!standing.ends_with_a_read());
        standing.read(Some(10_000));
        standing.look(FULL_BYTES_MIN, 11);
        assert_eq!(standing.read(Some(FULL_BYTES_MIN)), Some(10), "it was kept back");
        standing.look(100, 12);
        standing.look(200, 13);
        assert_eq!(standing.read(Some(200)), Some(13), "it came later");
    }

    #[test]
    fn what_cannot_be_counted_is_as_young_as_it_may_be() {
        let mut standing = Standing::default();
        assert_eq!(standing.read(None), None);
        for (bytes, at_us) in [(90, 1), (100, 2)] {
            standing.look(bytes, at_us);
        }
        assert_eq!(standing.read(None), Some(2));
    }

    #[test]
    fn looks_are_few_however_long_it_lasts() {
        let mut standing = Standing::default();
        for number in 1..10_000 {
            standing.look(number, number as u64);
        }
        assert_eq!(standing.looks.len(), LOOKS_MAX);
        assert_eq!(standing.read(Some(20)), Some(20));
        assert_eq!(standing.read(Some(9_000)), Some(9_999));
    }
}
