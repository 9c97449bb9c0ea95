//! A connection's end at the host while its socket is on an I/O thread.
//!
//! It behaves as a socket does whose buffers are two windows: what has come and was not taken, and what was sent and
//! not yet written.

use super::Lane;
use super::batch::{Address, Entry, INPUT_WINDOW, OUTPUT_WINDOW, Order, Report};
#[cfg(feature = "bugs")]
use crate::bugs::Bug;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Asked back; nothing is sent until the answer is there.
    Returning,
    /// What is left is written, then the socket is closed.
    Closing,
    /// The I/O thread has let go of it.
    Gone,
}

/// See the module.
#[derive(Debug)]
pub struct RemoteEnd {
    address: Address,
    state: State,
    /// What has come, from `inbox_start`.
    inbox: Vec<u8>,
    inbox_start: usize,
    /// Bytes taken of which the I/O thread has not been told.
    ungranted: usize,
    /// The client has closed its side.
    is_over: bool,
    /// Bytes sent of which the I/O thread has not told that they are written.
    in_flight: usize,
    /// Bytes that the system does not take now, as last told.
    unwritten: usize,
}

impl RemoteEnd {
    /// The end of a connection whose socket is being given to an I/O thread.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            state: State::Open,
            inbox: Vec::new(),
            inbox_start: 0,
            ungranted: 0,
            is_over: false,
            in_flight: 0,
            unwritten: 0,
        }
    }

    /// The order that gives the socket away, which goes with it.
    pub fn adoption(&self) -> Entry<Order> {
        Entry {
            address: self.address,
            credit: 0,
            what: Order::Adopt,
        }
    }

    /// Bytes that have come and were not taken.
    pub fn inbox_bytes(&self) -> usize {
        self.inbox.len() - self.inbox_start
    }

    /// Heap memory beside what [`Self::inbox_bytes`] counts, and what the I/O thread holds.
    pub fn memory_bytes(&self) -> usize {
        self.inbox.capacity() - self.inbox_bytes() + self.unwritten
    }

    /// True if the system took not all that was sent.
    pub fn is_stuck(&self) -> bool {
        self.unwritten > 0
    }

    /// True when neither direction holds anything that this side knows of.
    pub fn is_quiet(&self) -> bool {
        self.state == State::Open && self.inbox_bytes() == 0 && self.unwritten == 0 && !self.is_over
    }

    /// Whether the socket is there, as far as this side knows.
    pub fn has_socket(&self) -> bool {
        matches!(self.state, State::Open | State::Returning)
    }

    /// Whether bytes that come now may be executed without being kept, by a session that could do so.
    pub fn takes_at_once(&self) -> bool {
        #[cfg(feature = "bugs")]
        if Bug::ArrivalOvertakesInbox.is_in_force() {
            return true;
        }
        self.inbox_bytes() == 0
    }

    /// Bytes have come that cannot be executed at once.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// So many bytes were taken: others may follow.
    pub fn took(&mut self, bytes: usize, lane: &mut impl Lane) {
        self.ungranted += bytes;
        if self.ungranted >= INPUT_WINDOW / 2 {
            self.order(Order::Grant, lane);
        }
    }

    /// Takes note of what the I/O thread reports. Bytes are given to [`Self::keep`] or [`Self::took`], and a socket
    /// that comes back is the host's business.
    pub fn note(&mut self, entry: Entry<Report>) {
        let written = entry.credit as usize;
        debug_assert!(written <= self.in_flight, "nothing else was written");
        self.in_flight -= written;
        match entry.what {
            Report::Bytes(_) | Report::Broken => {}
            Report::Sent(unwritten) => self.unwritten = unwritten as usize,
            Report::Ended => self.is_over = true,
            Report::Closed | Report::Returned => self.state = State::Gone,
            Report::Kept => {
                if self.state == State::Returning {
                    self.state = State::Open;
                }
            }
        }
    }

    /// Asks for the socket.
    pub fn ask_back(&mut self, lane: &mut impl Lane) {
        self.state = State::Returning;
        self.order(Order::Return, lane);
    }

    /// Has the socket closed once everything is written; true when that has happened.
    pub fn close(&mut self, lane: &mut impl Lane) -> bool {
        if self.state == State::Open {
            self.state = State::Closing;
            self.order(Order::Close, lane);
        }
        self.state == State::Gone
    }

    /// The connection is over, and the socket with it.
    pub fn abandon(&mut self, lane: &mut impl Lane) {
        if self.state != State::Gone {
            self.order(Order::Drop, lane);
        }
    }

    /// Takes so many of the bytes that have come, at most, through `take`. `None`: there are none now; 0: there will be
    /// no more.
    pub fn read(&mut self, most: usize, lane: &mut impl Lane, take: impl FnOnce(&[u8])) -> Option<usize> {
        let count = self.inbox_bytes().min(most);
        if count == 0 {
            return (self.is_over && self.inbox_bytes() == 0).then_some(0);
        }
        let end = self.inbox_start + count;
        take(&self.inbox[self.inbox_start..end]);
        self.inbox_start = end;
        if self.inbox_bytes() == 0 {
            self.inbox = Vec::new();
            self.inbox_start = 0;
        }
        self.took(count, lane);
        Some(count)
    }

    /// Whether a read would find something.
    pub fn is_readable(&self) -> bool {
        self.inbox_bytes() > 0 || self.is_over
    }

    /// Sends as many bytes as there is room for; 0: a window is used up, or the I/O thread does not keep pace.
    pub fn write(&mut self, bytes: &[u8], lane: &mut impl Lane) -> usize {
        let most = self.window().min(bytes.len());
        if most == 0 && !bytes.is_empty() {
            return 0;
        }
        let count = lane.write(self.address, self.ungranted as u32, &bytes[..most]);
        if count > 0 {
            self.ungranted = 0;
            self.in_flight += count;
        }
        count
    }

    /// Bytes that may be sent now. What the system does not take stays with the session, which counts it.
    pub fn window(&self) -> usize {
        if self.state != State::Open || self.is_stuck() {
            return 0;
        }
        OUTPUT_WINDOW.saturating_sub(self.in_flight)
    }

    fn order(&mut self, what: Order, lane: &mut impl Lane) {
        let credit = std::mem::take(&mut self.ungranted) as u32;
        let address = self.address;
        lane.order(Entry {
            address,
            credit,
            what,
        });
    }
}
