//! The replies of one connection, in request order.
//!
//! Requests are answered at different times: session commands at once, reads from the owning thread's
//! memory at once, writes when their turn is applied. The queue keeps a slot per unanswered request and
//! lets bytes out only up to the first hole.
//!
//! What nobody asked for, a message to a subscriber, comes behind the last reply that is known and before those that
//! are not: never inside a reply, and never before one that it could have come after.
//!
//! Invariants: while nothing waits, replies are rendered straight into the bytes to be sent (the fast
//! path: no slot, no copy); the front slot is never an answered one; while anything is unsent, the first
//! buffer is not sent as a whole, unless a shared one is next; a sequence number names one slot and
//! is never reused while an answer to it can still come.

use std::collections::VecDeque;

use bytes::Bytes;
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

/// A message from here on is not copied for each of its receivers.
const SHARED_BYTES_MIN: usize = 4 << 10;

/// A buffer that is sent behind another one.
#[derive(Debug)]
enum Buffer {
    Own(Vec<u8>),
    /// A message that others are sent, too.
    Shared(Bytes),
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }

    /// What it takes; of what is shared, as if it were not.
    fn capacity(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.capacity(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// Replies of one connection; see the module.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    out: Vec<u8>,
    sent: usize,
    /// What is to be sent behind `out`: long replies as they came, and what followed them.
    further: VecDeque<Buffer>,
    /// Bytes of the first of `further` that were sent, if it is a shared one and `out` is empty.
    shared_sent: usize,
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

    /// Whether the place that was opened under this sequence number still holds back what is behind it; false if none
    /// was opened.
    pub fn awaits(&self, sequence: u32) -> bool {
        (sequence.wrapping_sub(self.front) as usize) < self.slots.len()
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
        match self.further.front() {
            Some(Buffer::Shared(bytes)) if self.out.is_empty() => &bytes[self.shared_sent..],
            _ => &self.out[self.sent..],
        }
    }

    /// Bytes held for this connection, sendable or behind a hole.
    #[inline]
    pub fn pending_bytes(&self) -> usize {
        let further: usize = self.further.iter().map(Buffer::len).sum();
        self.out.len() - self.sent + further - self.shared_sent + self.parked_bytes
    }

    /// What it takes.
    pub fn memory(&self) -> ReplyMemory {
        let parked = self
            .slots
            .iter()
            .filter(|slot| !matches!(slot, Slot::Waiting { .. }));
        let further: usize = self.further.iter().map(Buffer::capacity).sum();
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
        if !self.further.is_empty() {
            return self.tail_behind(pool);
        }
        if self.out.capacity() == 0 {
            self.out = pool.take();
        }
        &mut self.out
    }

    fn tail_behind(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        if let Some(Buffer::Shared(_)) = self.further.back() {
            self.further.push_back(Buffer::Own(pool.take()));
        }
        match self.further.back_mut() {
            Some(Buffer::Own(last)) => last,
            Some(Buffer::Shared(_)) | None => unreachable!("an own buffer is the last one"),
        }
    }

    /// A planted bug: a message takes no notice of replies that wait.
    #[cfg(feature = "bugs")]
    pub(crate) fn push_early(&mut self, message: &Bytes, pool: &mut BufferPool) {
        self.tail(pool).extend_from_slice(message);
    }

    /// Appends what nobody asked for, see the module.
    pub fn push_message(&mut self, message: &Bytes, pool: &mut BufferPool) {
        let is_known = |slot: &Slot| !matches!(slot, Slot::Waiting { .. });
        if self.slots.len() > self.waiting
            && let Some(last) = self.slots.iter().rposition(is_known)
        {
            self.parked_bytes += message.len();
            match &mut self.slots[last] {
                Slot::Ready(bytes) => bytes.extend_from_slice(message),
                Slot::Long(pieces) => pieces.push(message.to_vec()),
                Slot::Waiting { .. } => {}
            }
        } else if message.len() < SHARED_BYTES_MIN {
            self.tail(pool).extend_from_slice(message);
        } else {
            self.further.push_back(Buffer::Shared(message.clone()));
        }
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
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        self.further.extend(pieces.map(Buffer::Own));
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
            && let Some(Buffer::Own(next)) = self.further.front_mut()
        {
            pool.give(std::mem::replace(&mut self.out, std::mem::take(next)));
            self.further.pop_front();
            self.sent = 0;
        }
    }

    fn consume_shared(&mut self, count: usize, pool: &mut BufferPool) {
        self.shared_sent += count;
        let length = self.further.front().map_or(0, Buffer::len);
        debug_assert!(self.shared_sent <= length);
        if self.shared_sent == length {
            self.shared_sent = 0;
            self.further.pop_front();
            self.next_buffer(pool);
        }
    }

    /// So many of [`Self::sendable`] have been sent; gives the buffer back once all are.
    #[inline]
    pub fn consume(&mut self, count: usize, pool: &mut BufferPool) {
        if self.out.is_empty() {
            return self.consume_shared(count, pool);
        }
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
#[path = "replies_tests.rs"]
mod tests;
