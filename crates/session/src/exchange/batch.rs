//! What two threads tell each other of the connections between them, many at once: bytes one behind the other, and an
//! entry for each piece and each event. It knows neither sockets nor sessions.
//!
//! Invariant: entries of one connection keep their order, and the pieces lie in the buffer in the order of the entries.

use std::collections::VecDeque;
use std::ops::Range;

#[cfg(feature = "bugs")]
use crate::bugs::Bug;

/// Bytes of the buffer of one batch.
const BATCH_BYTES: usize = if cfg!(feature = "bugs") {
    1 << 10
} else {
    256 << 10
};
/// Pieces in one batch at most: each is a system call for whoever sends them on.
const PIECES_MAX: usize = if cfg!(feature = "bugs") { 6 } else { 512 };
/// With less room than this a batch takes no further piece.
const ROOM_BYTES_MIN: usize = if cfg!(feature = "bugs") { 64 } else { 16 << 10 };
/// Bytes of one connection that the I/O thread may have read and the session not taken.
pub const INPUT_WINDOW: usize = if cfg!(feature = "bugs") { 200 } else { 64 << 10 };
/// Bytes of one connection that the session may have sent and the I/O thread not written.
pub const OUTPUT_WINDOW: usize = if cfg!(feature = "bugs") { 400 } else { 256 << 10 };

const _: () = assert!(ROOM_BYTES_MIN <= INPUT_WINDOW && INPUT_WINDOW <= BATCH_BYTES / 2);

/// What an I/O thread reports of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// So many bytes were read.
    Bytes(u32),
    /// Something was written, and so many bytes are left that the system does not take now.
    Sent(u32),
    /// The client has closed its side.
    Ended,
    /// The connection is broken.
    Broken,
    /// As ordered, everything was written and the socket is closed.
    Closed,
    /// As ordered, the socket is handed back; it is the next one of the batch.
    Returned,
    /// The socket is not handed back: it is in use.
    Kept,
}

/// What an I/O thread is to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take the next socket of the batch over.
    Adopt,
    /// Write so many bytes.
    Bytes(u32),
    /// Nothing but what the credit says.
    Grant,
    /// Write what is left, and close the socket.
    Close,
    /// Close the socket at once.
    Drop,
    /// Hand the socket back if nothing was read that this credit does not cover, and nothing is left to write.
    Return,
}

/// What may stand for a piece of the buffer.
pub trait Piece {
    /// Its bytes.
    fn piece_bytes(&self) -> usize;
}

impl Piece for Report {
    fn piece_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => *bytes as usize,
            _ => 0,
        }
    }
}

impl Piece for Order {
    fn piece_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => *bytes as usize,
            _ => 0,
        }
    }
}

/// Which connection: a slot may have a new tenant, so the number of the client belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Number of the client.
    pub client: u64,
    /// Its slot.
    pub slot: u32,
}

impl Address {
    /// Whether the present tenant of the slot, this client, is meant.
    #[inline]
    pub fn is_of(self, client: u64) -> bool {
        #[cfg(feature = "bugs")]
        if Bug::AddressWithoutClient.is_in_force() {
            return true;
        }
        self.client == client
    }
}

/// One piece or event.
#[derive(Clone, Copy, Debug)]
pub struct Entry<K> {
    /// Of whom.
    pub address: Address,
    /// So many bytes of the other direction are done with.
    pub credit: u32,
    /// What.
    pub what: K,
}

/// See the module.
#[derive(Debug)]
pub struct Batch<K, U> {
    /// Empty until it is first used, then as long as ever.
    buffer: Vec<u8>,
    used: usize,
    pieces: usize,
    entries: Vec<Entry<K>>,
    sockets: VecDeque<U>,
    /// Entries that were looked at, and the bytes that belong to them.
    seen: (usize, usize),
}

impl<K, U> Default for Batch<K, U> {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            used: 0,
            pieces: 0,
            entries: Vec::new(),
            sockets: VecDeque::new(),
            seen: (0, 0),
        }
    }
}

impl<K: Copy + Piece, U> Batch<K, U> {
    /// Entries that it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it takes another piece.
    pub fn has_room(&self) -> bool {
        self.pieces < PIECES_MAX && self.used + ROOM_BYTES_MIN <= BATCH_BYTES
    }

    /// Where at most so many bytes of the next piece go.
    pub fn room(&mut self, most: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BATCH_BYTES];
        }
        let end = BATCH_BYTES.min(self.used + most);
        &mut self.buffer[self.used..end]
    }

    /// Adds a piece that was written into [`Self::room`], or an event.
    pub fn push(&mut self, entry: Entry<K>) {
        let bytes = entry.what.piece_bytes();
        self.used += bytes;
        self.pieces += usize::from(bytes > 0);
        debug_assert!(self.used <= BATCH_BYTES);
        self.entries.push(entry);
    }

    /// Adds an event that brings a socket with it.
    pub fn push_socket(&mut self, entry: Entry<K>, socket: U) {
        self.entries.push(entry);
        self.sockets.push_back(socket);
    }

    /// The entry that comes next, without going on.
    pub fn peek(&self) -> Option<Entry<K>> {
        self.entries.get(self.seen.0).copied()
    }

    /// Goes on to the next entry; where its piece is.
    pub fn advance(&mut self) -> Option<(Entry<K>, Range<usize>)> {
        let entry = self.peek()?;
        let start = self.seen.1;
        self.seen = (self.seen.0 + 1, start + entry.what.piece_bytes());
        Some((entry, start..self.seen.1))
    }

    /// The bytes of a piece.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The socket of an event.
    pub fn take_socket(&mut self) -> Option<U> {
        self.sockets.pop_front()
    }

    /// Makes it an empty one, which keeps its memory.
    pub fn clear(&mut self) {
        self.seen = (0, 0);
        #[cfg(feature = "bugs")]
        if Bug::BatchHandedOverTwice.is_in_force() {
            return;
        }
        self.used = 0;
        self.pieces = 0;
        self.entries.clear();
        self.sockets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_as_they_went_in_and_events_keep_their_place() {
        let mut batch = Batch::<_, ()>::default();
        let entry = |slot, what| Entry {
            address: Address { client: 7, slot },
            credit: slot,
            what,
        };
        for round in 0..2 {
            assert!(batch.is_empty());
            for (slot, text) in [(1, &b"one"[..]), (2, b"second")] {
                batch.room(100)[..text.len()].copy_from_slice(text);
                batch.push(entry(slot, Report::Bytes(text.len() as u32)));
                batch.push(entry(slot, Report::Ended));
            }
            let mut seen = Vec::new();
            while let Some((entry, range)) = batch.advance() {
                seen.push((entry.address.slot, entry.what, batch.bytes(range).to_vec()));
            }
            let expected = [
                (1, Report::Bytes(3), b"one".to_vec()),
                (1, Report::Ended, Vec::new()),
                (2, Report::Bytes(6), b"second".to_vec()),
                (2, Report::Ended, Vec::new()),
            ];
            assert_eq!(seen, expected, "round {round}");
            batch.clear();
        }
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_and_by_its_pieces() {
        let mut batch = Batch::<_, ()>::default();
        let address = Address { client: 1, slot: 1 };
        let mut add = |bytes: usize| {
            let bytes = batch.room(bytes).len() as u32;
            batch.push(Entry {
                address,
                credit: 0,
                what: Order::Bytes(bytes),
            });
            batch.has_room()
        };
        assert!((1..).take_while(|_| add(INPUT_WINDOW)).count() < BATCH_BYTES / INPUT_WINDOW);
        let mut batch = Batch::<_, ()>::default();
        let mut pieces = 0;
        while batch.has_room() {
            batch.room(1)[0] = 1;
            batch.push(Entry {
                address,
                credit: 0,
                what: Order::Bytes(1),
            });
            pieces += 1;
        }
        assert_eq!(pieces, PIECES_MAX);
    }
}
