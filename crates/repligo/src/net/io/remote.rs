//! A connection's stream at the host while its socket is on an I/O thread.
//!
//! It behaves as a socket does whose buffers are two windows: what has come and was not taken, and what was sent and
//! not yet written. The session's thread alone decides when the connection is over, so its descriptor stays valid here
//! until it says so.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::Poll;

use tokio::io::ReadBuf;

use super::batch::{Address, Entry, INPUT_WINDOW, OUTPUT_WINDOW, Order};
use super::line::SharedLine;
use crate::net::stream::ClientStream;

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
pub struct RemoteStream {
    line: SharedLine,
    address: Address,
    descriptor: RawFd,
    is_tls: bool,
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

impl RemoteStream {
    /// Gives the socket of a connection to an I/O thread.
    ///
    /// # Errors
    /// It cannot be taken out of this thread's runtime, and is closed.
    pub fn hand_out(stream: ClientStream, address: Address, line: SharedLine) -> io::Result<Self> {
        let (descriptor, is_tls) = (stream.as_raw_fd(), stream.is_tls());
        let socket = stream.unbind()?;
        let entry = Entry {
            address,
            credit: 0,
            what: Order::Adopt,
        };
        line.borrow_mut().adopt(entry, socket);
        Ok(Self {
            line,
            address,
            descriptor,
            is_tls,
            state: State::Open,
            inbox: Vec::new(),
            inbox_start: 0,
            ungranted: 0,
            is_over: false,
            in_flight: 0,
            unwritten: 0,
        })
    }

    /// See [`ClientStream::is_tls`].
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Bytes that have come and were not taken.
    pub fn inbox_bytes(&self) -> usize {
        self.inbox.len() - self.inbox_start
    }

    /// Memory that it takes here and on the I/O thread, without what [`Self::inbox_bytes`] counts.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.inbox.capacity() - self.inbox_bytes() + self.unwritten
    }

    /// True if the system took not all that was sent.
    pub fn is_stuck(&self) -> bool {
        self.unwritten > 0
    }

    /// True when neither direction holds anything that this side knows of.
    pub fn is_quiet(&self) -> bool {
        self.state == State::Open && self.inbox_bytes() == 0 && self.unwritten == 0 && !self.is_over
    }

    /// Bytes have come that cannot be executed at once.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// So many bytes were taken: others may follow.
    pub fn took(&mut self, bytes: usize) {
        self.ungranted += bytes;
        if self.ungranted >= INPUT_WINDOW / 2 {
            self.order(Order::Grant);
        }
    }

    /// The client has closed its side.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// The I/O thread has written so many bytes.
    pub fn written(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.in_flight);
        self.in_flight -= bytes;
    }

    /// The I/O thread has so many bytes that the system does not take now.
    pub fn set_unwritten(&mut self, bytes: usize) {
        self.unwritten = bytes;
    }

    /// The socket will not be handed back now.
    pub fn stay(&mut self) {
        if self.state == State::Returning {
            self.state = State::Open;
        }
    }

    /// The I/O thread has closed the socket, or handed it back.
    pub fn let_go(&mut self) {
        self.state = State::Gone;
    }

    /// Asks for the socket.
    pub fn ask_back(&mut self) {
        self.state = State::Returning;
        self.order(Order::Return);
    }

    /// Has the socket closed once everything is written; true when that has happened.
    pub fn close(&mut self) -> bool {
        if self.state == State::Open {
            self.state = State::Closing;
            self.order(Order::Close);
        }
        self.state == State::Gone
    }

    /// As a socket would be read.
    pub fn poll_read(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.inbox_bytes().min(buffer.remaining());
        if count == 0 {
            return if self.is_over && self.inbox_bytes() == 0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        }
        let end = self.inbox_start + count;
        buffer.put_slice(&self.inbox[self.inbox_start..end]);
        self.inbox_start = end;
        if self.inbox_bytes() == 0 {
            self.inbox = Vec::new();
            self.inbox_start = 0;
        }
        self.took(count);
        Poll::Ready(Ok(()))
    }

    /// Whether a read would find something. Who asks is woken by whoever hands arrivals to the connection.
    pub fn poll_read_ready(&self) -> Poll<io::Result<()>> {
        if self.inbox_bytes() > 0 || self.is_over {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// As a socket would be written to.
    ///
    /// # Errors
    /// `WouldBlock`: a window is used up, or the I/O thread does not keep pace.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.window().min(bytes.len());
        if most == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut line = self.line.borrow_mut();
        let count = line.write(self.address, self.ungranted as u32, &bytes[..most]);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.ungranted = 0;
        self.in_flight += count;
        Ok(count)
    }

    /// Whether a write would take something. Who asks is woken when a report opens the window or the line calls.
    pub fn poll_write_ready(&self) -> Poll<io::Result<()>> {
        if self.window() > 0 && self.line.borrow_mut().has_room() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// What the system does not take stays with the session, which counts it.
    fn window(&self) -> usize {
        if self.state != State::Open || self.is_stuck() {
            return 0;
        }
        OUTPUT_WINDOW.saturating_sub(self.in_flight)
    }

    fn order(&mut self, what: Order) {
        let credit = std::mem::take(&mut self.ungranted) as u32;
        let address = self.address;
        self.line.borrow_mut().order(Entry {
            address,
            credit,
            what,
        });
    }
}

impl AsRawFd for RemoteStream {
    fn as_raw_fd(&self) -> RawFd {
        if matches!(self.state, State::Open | State::Returning) {
            self.descriptor
        } else {
            -1
        }
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        if self.state != State::Gone {
            self.order(Order::Drop);
        }
        self.line.borrow_mut().leave();
    }
}
