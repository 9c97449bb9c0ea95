//! Fair shares: how a node's clients share the queue of what waits for a leader, for commit or for apply.
//!
//! Each connection is sure of a small share, [`limits::SHARE_BYTES_MIN`], out of a reserve that nobody can
//! use for more. What a connection holds beyond it comes out of the common part, by dynamic thresholds
//! (Choudhury and Hahne, 1998): it may take more while what it holds is less than what is free. So one
//! connection gets half of the common part, n get 1/(n + 1) each, and something is always free for the next
//! one. Who finds no room is not refused: its connection is paused, which its client feels as back-pressure of
//! the socket, and is called in its turn.
//!
//! Not here: what a request costs (the queues count), and the pausing itself (the driver).
//!
//! Invariants: while somebody waits, nobody else takes of the common part but those who were called; a
//! request larger than everything is let in when the common part is not used up, so the queue holds at most
//! one request more than its limits.

use std::collections::VecDeque;

use crate::limits;

/// What a request asks of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Bytes of the connection's earlier requests that are not answered.
    pub held_bytes: usize,
    /// Bytes of this one, about.
    pub bytes: usize,
    /// How long it has stood in its connection, as far as the driver knows, in microseconds; 0 if it came just
    /// now. While nobody leads, that is part of its hold.
    pub stood_us: u64,
}

/// A part of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// What connections are sure of.
    Reserved,
    /// What they share.
    #[default]
    Common,
}

/// Bytes held, by the part that they count against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Out of the reserve.
    pub reserved: usize,
    /// Out of the common part.
    pub common: usize,
}

impl Held {
    /// Both parts.
    #[inline]
    pub fn total(self) -> usize {
        self.reserved + self.common
    }

    /// So many bytes more.
    #[inline]
    pub fn add(&mut self, part: Part, bytes: usize) {
        *self.part(part) += bytes;
    }

    /// So many bytes less.
    #[inline]
    pub fn remove(&mut self, part: Part, bytes: usize) {
        *self.part(part) -= bytes;
    }

    fn part(&mut self, part: Part) -> &mut usize {
        match part {
            Part::Reserved => &mut self.reserved,
            Part::Common => &mut self.common,
        }
    }

    /// The part from which a request can be taken in now; `None` if it has to wait.
    #[inline]
    pub fn room_for(self, demand: Demand) -> Option<Part> {
        let share = demand.held_bytes + demand.bytes;
        if share <= limits::SHARE_BYTES_MIN && self.reserved < limits::RESERVED_BYTES_MAX {
            return Some(Part::Reserved);
        }
        let free = limits::HELD_BYTES_MAX.saturating_sub(self.common);
        (demand.held_bytes < free).then_some(Part::Common)
    }
}

impl std::ops::Add for Held {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reserved: self.reserved + other.reserved,
            common: self.common + other.common,
        }
    }
}

impl std::ops::SubAssign for Held {
    fn sub_assign(&mut self, other: Self) {
        self.reserved -= other.reserved;
        self.common -= other.common;
    }
}

/// The driver's name for a connection.
pub type ConnectionId = u32;

/// Connections that wait for room in the common part, in order.
#[derive(Debug, Default)]
pub struct Line {
    waiting: VecDeque<ConnectionId>,
    /// Those whose turn it is.
    called: Vec<ConnectionId>,
}

impl Line {
    /// Whether a connection may give its next request in now. If not, it stands in line from here on, and
    /// the driver gives nothing of it in until it is called.
    pub fn admits(&mut self, connection: ConnectionId, demand: Demand, held: Held) -> bool {
        let room = held.room_for(demand);
        if room == Some(Part::Reserved) {
            return true;
        }
        let place = self.called.iter().position(|&called| called == connection);
        if room.is_some() && (place.is_some() || self.waiting.is_empty()) {
            return true;
        }
        match place {
            // It was called, and others who were called took the room: it is next.
            Some(place) if demand.held_bytes == 0 => {
                self.called.swap_remove(place);
                self.waiting.push_front(connection);
            }
            Some(place) => {
                self.called.swap_remove(place);
                self.waiting.push_back(connection);
            }
            None => self.waiting.push_back(connection),
        }
        false
    }

    /// Calls the next ones, a few at once, if there is room; whoever was called before and did not come has
    /// lost its place.
    pub fn call(&mut self, held: Held) -> &[ConnectionId] {
        self.called.clear();
        if held.common < limits::HELD_BYTES_MAX {
            let count = self.waiting.len().min(limits::CALLED_MAX);
            self.called.extend(self.waiting.drain(..count));
        }
        &self.called
    }

    /// The connection is gone.
    pub fn forget(&mut self, connection: ConnectionId) {
        self.waiting.retain(|&waiting| waiting != connection);
        self.called.retain(|&called| called != connection);
    }

    /// Connections that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn demand(held_bytes: usize, bytes: usize) -> Demand {
        Demand {
            held_bytes,
            bytes,
            ..Demand::default()
        }
    }

    #[test]
    fn greedy_connections_get_equal_shares_and_leave_one_more() {
        const BYTES: usize = MIB / 32;
        for count in [1, 3, 7] {
            let (mut held, mut shares) = (Held::default(), vec![0; count]);
            for round in 0..400 {
                // Each in turn gives in what it may, and then one request of each is done.
                for turn in 0..count {
                    let share = &mut shares[(round + turn) % count];
                    while let Some(part) = held.room_for(demand(*share, MIB)) {
                        held.add(part, BYTES);
                        *share += BYTES;
                    }
                }
                assert!(held.common < limits::HELD_BYTES_MAX, "there is room for one more");
                if round == 399 {
                    break;
                }
                for share in &mut shares {
                    *share -= BYTES;
                    held.remove(Part::Common, BYTES);
                }
            }
            let fair = limits::HELD_BYTES_MAX / (count + 1);
            for share in &shares {
                assert!(share.abs_diff(fair) <= fair / 8, "{shares:?} of {count}");
            }
        }
    }

    #[test]
    fn a_small_share_is_sure_whatever_others_hold() {
        let full = Held {
            reserved: 0,
            common: limits::HELD_BYTES_MAX + limits::REPLICATED_OP_BYTES_MAX,
        };
        assert_eq!(full.room_for(demand(0, 100)), Some(Part::Reserved));
        assert_eq!(full.room_for(demand(limits::SHARE_BYTES_MIN, 1)), None);
        assert_eq!(full.room_for(demand(0, MIB)), None);
        let full = Held {
            reserved: limits::RESERVED_BYTES_MAX,
            common: 0,
        };
        assert_eq!(full.room_for(demand(0, 100)), Some(Part::Common));
    }

    #[test]
    fn who_waits_is_called_in_order_and_nobody_passes() {
        let mut line = Line::default();
        let full = Held {
            reserved: 0,
            common: limits::HELD_BYTES_MAX,
        };
        let free = Held::default();
        assert!(!line.admits(1, demand(MIB, MIB), full));
        assert!(!line.admits(2, demand(0, MIB), full));
        assert!(line.call(full).is_empty());
        assert!(!line.admits(3, demand(0, MIB), free), "others came before");
        assert!(line.admits(4, demand(0, 100), free), "a small share is sure");
        assert_eq!(line.call(free), [1, 2, 3]);
        assert!(line.admits(1, demand(MIB, MIB), free));
        assert!(!line.admits(2, demand(0, MIB), full));
        assert!(!line.admits(1, demand(2 * MIB, MIB), full));
        assert_eq!(line.call(free), [2, 1], "who found no room comes first");
        line.forget(1);
        assert!(line.is_empty());
        assert_eq!(line.len(), 0);
    }
}
