//! The replies of one connection, in request order.
//!
//! Requests are answered at different times: session commands at once, reads from the owning thread's
//! memory at once, writes when their turn is applied. The queue keeps a slot per unanswered request and
//! lets bytes out only up to the first hole.
//!
//! Invariants: while nothing waits, replies are rendered straight into the bytes to be sent (the fast
//! path: no slot, no copy); the front slot is never an answered one; while anything is unsent, the first
//! buffer is not sent as a whole; a sequence number names one slot and
//! is never reused while an answer to it can still come.

use std::collections::VecDeque;

use repligo_core::limits::REPLY_BUFFER_KEPT_BYTES_MAX;
use repligo_core::pieces::Pieces;

/// What to do with an answer of the core.
#[derive(Debug)]
pub enum Shape {
    /// Send it.
    Plain,
    /// Throw it away (`CLIENT REPLY OFF` or `SKIP`).
    Silent,
    /// Versions of watched keys; the session takes them and renders the reply itself.
    Watch,
    /// A transaction; the session splices in what it answers itself.
    Transaction,
}

#[derive(Debug)]
enum Slot {
    Waiting {
        shape: Shape,
        command: u16,
        /// What the request holds.
        bytes: u32,
    },
    Ready(Vec<u8>),
    Long(Pieces),
}

/// What [`ReplyQueue::take_waiting`] found under a sequence number.
#[derive(Debug)]
pub struct Waiting {
    /// How to render the answer.
    pub shape: Shape,
    /// The command, for its statistics.
    pub command: u16,
}

/// Replies of one connection; see the module.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    out: Vec<u8>,
    sent: usize,
    /// What is to be sent behind `out`: long replies as they came, and what followed them.
    further: VecDeque<Vec<u8>>,
    slots: VecDeque<Slot>,
    /// Sequence number of the front slot.
    front: u32,
    waiting: usize,
    /// What the waiting requests hold.
    held_bytes: usize,
    parked_bytes: usize,
    /// Most bytes of `out` in this period, and in the one before.
    peaks: [usize; 2],
}

/// What a reply queue takes, for CLIENT LIST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyMemory {
    /// Capacity of the buffer that is being sent.
    pub buffer_bytes: usize,
    /// Most of it that was in use lately.
    pub buffer_peak_bytes: usize,
    /// Bytes of it that are to be sent.
    pub sendable_bytes: usize,
    /// Replies beside it: long ones, and those that wait for an earlier one.
    pub list_length: usize,
    /// What these take.
    pub list_bytes: usize,
    /// Places of requests that are not answered.
    pub places_bytes: usize,
}

impl ReplyQueue {
    /// A queue whose first slot will have this sequence number. A connection that takes over the place of
    /// a closed one goes on counting, so that late answers to the closed one match nothing.
    pub fn starting_at(sequence: u32) -> Self {
        Self {
            front: sequence,
            ..Self::default()
        }
    }

    /// The sequence number that the next slot will have.
    pub fn next_sequence(&self) -> u32 {
        self.front.wrapping_add(self.slots.len() as u32)
    }

    /// Requests that the core has not answered.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// What they hold: the connection's share of the node's queue.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes that can be sent now.
    #[inline]
    pub fn sendable(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// Bytes held for this connection, sendable or behind a hole.
    #[inline]
    pub fn pending_bytes(&self) -> usize {
        let further: usize = self.further.iter().map(Vec::len).sum();
        self.out.len() - self.sent + further + self.parked_bytes
    }

    /// What it takes.
    pub fn memory(&self) -> ReplyMemory {
        let parked = self
            .slots
            .iter()
            .filter(|slot| !matches!(slot, Slot::Waiting { .. }));
        let further: usize = self.further.iter().map(Vec::capacity).sum();
        let places = self.slots.capacity() * size_of::<Slot>();
        ReplyMemory {
            buffer_bytes: self.out.capacity(),
            buffer_peak_bytes: self.peaks[0].max(self.peaks[1]).max(self.out.len()),
            sendable_bytes: self.out.len() - self.sent,
            list_length: self.further.len() + parked.count(),
            list_bytes: further + self.parked_bytes,
            places_bytes: places,
        }
    }

    /// A period of [`ReplyMemory::buffer_peak_bytes`] ends.
    pub fn age_peak(&mut self) {
        self.peaks = [self.out.len(), self.peaks[0]];
    }

    /// Where to render the next reply while nothing waits.
    ///
    /// # Panics
    /// If a request waits: its reply would be overtaken.
    #[inline]
    pub fn direct(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        assert!(
            self.slots.is_empty(),
            "a direct reply would overtake one that waits"
        );
        self.tail(pool)
    }

    /// Where bytes to be sent are appended.
    #[inline]
    fn tail(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        if let Some(last) = self.further.back_mut() {
            return last;
        }
        if self.out.capacity() == 0 {
            self.out = pool.take();
        }
        &mut self.out
    }

    /// Appends a reply that is known now; it leaves after the replies to everything asked before.
    #[inline]
    pub fn push(&mut self, reply: &[u8], pool: &mut BufferPool) {
        if self.slots.is_empty() {
            self.direct(pool).extend_from_slice(reply);
        } else if !reply.is_empty() {
            self.park(reply);
        }
    }

    #[cold]
    fn park(&mut self, reply: &[u8]) {
        self.parked_bytes += reply.len();
        if let Some(Slot::Ready(bytes)) = self.slots.back_mut() {
            bytes.extend_from_slice(reply);
        } else {
            self.slots.push_back(Slot::Ready(reply.to_vec()));
        }
    }

    /// Opens a slot for a request that the core will answer and that holds so many bytes; returns its
    /// sequence number.
    #[inline]
    pub fn expect(&mut self, shape: Shape, command: u16, bytes: usize) -> u32 {
        let sequence = self.next_sequence();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.slots.push_back(Slot::Waiting {
            shape,
            command,
            bytes,
        });
        self.waiting += 1;
        self.held_bytes += bytes as usize;
        sequence
    }

    /// What waits under a sequence number and is answered now; `None` if it was or belongs to a closed
    /// connection.
    #[inline]
    pub fn take_waiting(&mut self, sequence: u32) -> Option<Waiting> {
        let position = sequence.wrapping_sub(self.front) as usize;
        match self.slots.get_mut(position)? {
            Slot::Ready(_) | Slot::Long(_) => None,
            Slot::Waiting {
                shape,
                command,
                bytes,
            } => {
                self.held_bytes -= std::mem::take(bytes) as usize;
                Some(Waiting {
                    shape: std::mem::replace(shape, Shape::Plain),
                    command: *command,
                })
            }
        }
    }

    /// True if the request with this sequence number waits for an answer to be sent as it is.
    pub fn waits_plainly(&self, sequence: u32) -> bool {
        let position = sequence.wrapping_sub(self.front) as usize;
        matches!(
            self.slots.get(position),
            Some(Slot::Waiting {
                shape: Shape::Plain,
                ..
            })
        )
    }

    /// Fills the slot found by [`Self::take_waiting`] with its rendered reply.
    #[inline]
    pub fn answer(&mut self, sequence: u32, reply: &[u8], pool: &mut BufferPool) {
        let position = sequence.wrapping_sub(self.front) as usize;
        self.waiting -= 1;
        if position > 0 {
            self.parked_bytes += reply.len();
            self.slots[position] = Slot::Ready(reply.to_vec());
            return;
        }
        self.tail(pool).extend_from_slice(reply);
        self.release(pool);
    }

    /// As [`Self::answer`], with a reply that may be long and is not copied.
    pub fn answer_long(&mut self, sequence: u32, pieces: Pieces, pool: &mut BufferPool) {
        let position = sequence.wrapping_sub(self.front) as usize;
        self.waiting -= 1;
        if position > 0 {
            self.parked_bytes += bytes_of(&pieces);
            self.slots[position] = Slot::Long(pieces);
        } else {
            self.append_long(pieces, pool);
            self.release(pool);
        }
    }

    fn append_long(&mut self, pieces: Pieces, pool: &mut BufferPool) {
        self.further
            .extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
        self.next_buffer(pool);
    }

    /// The front slot was answered: it goes, and with it what was answered behind it.
    #[inline]
    fn release(&mut self, pool: &mut BufferPool) {
        self.pop_front();
        while let Some(Slot::Ready(_) | Slot::Long(_)) = self.slots.front() {
            match self.pop_front() {
                Some(Slot::Ready(bytes)) => {
                    self.parked_bytes -= bytes.len();
                    self.tail(pool).extend_from_slice(&bytes);
                }
                Some(Slot::Long(pieces)) => {
                    self.parked_bytes -= bytes_of(&pieces);
                    self.append_long(pieces, pool);
                }
                Some(Slot::Waiting { .. }) | None => {}
            }
        }
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front();
        self.front = self.front.wrapping_add(1);
        if self.slots.is_empty() && self.slots.capacity() > 256 {
            self.slots = VecDeque::new();
        }
        slot
    }

    /// Goes on to the next buffer once the first one is sent.
    #[inline]
    fn next_buffer(&mut self, pool: &mut BufferPool) {
        if self.sent == self.out.len()
            && let Some(next) = self.further.pop_front()
        {
            pool.give(std::mem::replace(&mut self.out, next));
            self.sent = 0;
        }
    }

    /// So many of [`Self::sendable`] have been sent; gives the buffer back once all are.
    #[inline]
    pub fn consume(&mut self, count: usize, pool: &mut BufferPool) {
        self.sent += count;
        self.peaks[0] = self.peaks[0].max(self.out.len());
        debug_assert!(self.sent <= self.out.len());
        if self.sent == self.out.len() {
            self.sent = 0;
            pool.give(std::mem::take(&mut self.out));
            self.next_buffer(pool);
        } else if self.sent > 1 << 20 && self.out.len() - self.sent < self.sent / 4 {
            // Moving the rest is paid for by what was sent, however long the whole is.
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }
}

fn bytes_of(pieces: &Pieces) -> usize {
    pieces.iter().map(<[u8]>::len).sum()
}

/// Buffers that idle connections have given back, so that an idle connection holds none and a busy one
/// allocates none.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Vec<u8>>,
    /// What replies of the session are rendered into, one after the other.
    rendering: Vec<u8>,
}

impl BufferPool {
    /// Larger buffers are freed instead of kept.
    const KEPT_BYTES_MAX: usize = 64 << 10;
    /// Buffers kept at most.
    const KEPT_COUNT_MAX: usize = 128;
    /// Many idle clients that come at once take one each until its replies are sent, and what an allocator got
    /// for them it rarely gives back. Those that are kept have grown to what replies need.
    const FRESH_BYTES: usize = 1 << 10;

    /// An empty buffer with capacity.
    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        self.free
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(Self::FRESH_BYTES))
    }

    /// The buffer for a reply that the session renders, empty.
    #[inline]
    pub fn take_rendering(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.rendering);
        buffer.clear();
        buffer
    }

    /// Capacity of the buffer that is kept for rendering.
    pub fn rendering_bytes(&self) -> usize {
        self.rendering.capacity()
    }

    /// Keeps the buffer for the next reply, unless a long one made it so large that it would be missed elsewhere.
    #[inline]
    pub fn give_rendering(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= REPLY_BUFFER_KEPT_BYTES_MAX {
            self.rendering = buffer;
        }
    }

    /// Takes a buffer back.
    #[inline]
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity > 0 && capacity <= Self::KEPT_BYTES_MAX && self.free.len() < Self::KEPT_COUNT_MAX {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(queue: &mut ReplyQueue, pool: &mut BufferPool, text: &str) {
        queue.push(text.as_bytes(), pool);
    }

    #[test]
    fn replies_leave_in_request_order_whatever_the_order_of_answers() {
        let (mut queue, mut pool) = (ReplyQueue::starting_at(u32::MAX - 1), BufferPool::default());
        say(&mut queue, &mut pool, "a");
        let second = queue.expect(Shape::Plain, 0, 10);
        say(&mut queue, &mut pool, "c");
        say(&mut queue, &mut pool, "d");
        let fifth = queue.expect(Shape::Plain, 0, 10);
        let sixth = queue.expect(Shape::Plain, 0, 10);
        assert_eq!((queue.pending_bytes(), queue.held_bytes()), (3, 30));
        assert!(queue.take_waiting(sixth).is_some());
        assert_eq!(queue.held_bytes(), 20);
        queue.answer(sixth, b"f", &mut pool);
        assert_eq!(queue.sendable(), b"a");
        queue.answer(second, b"b", &mut pool);
        assert_eq!(queue.sendable(), b"abcd");
        assert_eq!(queue.waiting(), 1);
        queue.answer(fifth, b"e", &mut pool);
        assert_eq!(queue.sendable(), b"abcdef");
        assert_eq!(queue.pending_bytes(), 6);
        assert!(queue.take_waiting(fifth).is_none());
    }

    #[test]
    fn a_long_reply_keeps_its_place_and_is_not_copied() {
        let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
        let first = queue.expect(Shape::Plain, 0, 10);
        let second = queue.expect(Shape::Plain, 0, 10);
        say(&mut queue, &mut pool, "c");
        assert!(queue.waits_plainly(second));
        queue.answer_long(second, long(&[b"sec", b"ond"]), &mut pool);
        assert_eq!(queue.sendable(), b"");
        assert_eq!(queue.pending_bytes(), 7);
        queue.answer_long(first, long(&[b"first"]), &mut pool);
        assert_eq!(queue.sendable(), b"first");
        assert_eq!(queue.pending_bytes(), 12);
        say(&mut queue, &mut pool, "d");
        for expected in ["first", "sec", "ondcd"] {
            assert_eq!(queue.sendable(), expected.as_bytes());
            queue.consume(expected.len(), &mut pool);
        }
        assert_eq!(queue.pending_bytes(), 0);
        let third = queue.expect(Shape::Plain, 0, 10);
        let bytes = vec![b'x'; 3 << 20];
        let kept = bytes.as_ptr();
        queue.answer_long(third, Pieces::from(bytes), &mut pool);
        assert_eq!(queue.sendable().as_ptr(), kept);
        queue.consume((2 << 20) + 5, &mut pool);
        assert_eq!(queue.pending_bytes(), (1 << 20) - 5);
        queue.consume((1 << 20) - 6, &mut pool);
        assert_eq!(queue.sendable(), b"x");
    }

    fn long(pieces: &[&[u8]]) -> Pieces {
        let mut made = Pieces::default();
        for piece in pieces {
            made.push(piece.to_vec());
        }
        made
    }

    #[test]
    fn a_late_answer_of_a_closed_connection_matches_nothing() {
        let mut queue = ReplyQueue::default();
        let old = queue.expect(Shape::Plain, 0, 10);
        let mut next = ReplyQueue::starting_at(queue.next_sequence());
        assert!(next.take_waiting(old).is_none());
        next.expect(Shape::Plain, 0, 10);
        assert!(next.take_waiting(old).is_none());
    }

    #[test]
    fn the_buffer_of_a_long_reply_is_let_go() {
        let mut pool = BufferPool::default();
        pool.give_rendering(Vec::with_capacity(REPLY_BUFFER_KEPT_BYTES_MAX + 1));
        assert_eq!(pool.take_rendering().capacity(), 0);
        pool.give_rendering(b"short".to_vec());
        let kept = pool.take_rendering();
        assert!(kept.capacity() > 0 && kept.is_empty());
    }

    #[test]
    fn an_idle_queue_holds_no_buffer() {
        let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
        say(&mut queue, &mut pool, "hello");
        queue.consume(2, &mut pool);
        assert_eq!(queue.sendable(), b"llo");
        queue.consume(3, &mut pool);
        assert_eq!(queue.pending_bytes(), 0);
        assert_eq!(queue.out.capacity(), 0);
        assert_eq!(pool.free.len(), 1);
        assert_eq!(queue.memory().buffer_peak_bytes, 5);
        queue.age_peak();
        queue.age_peak();
        assert_eq!(queue.memory(), ReplyMemory::default());
    }
}
