//! A connection's stream at the host while its socket is on an I/O thread.
//!
//! It behaves as a socket does, see [`RemoteEnd`]. The session's thread alone decides when the connection is over, so
//! its descriptor stays valid here until it says so.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::Poll;

use repligo_session::exchange::Lane;
use repligo_session::exchange::batch::{Address, Entry, Report};
use repligo_session::exchange::remote::RemoteEnd;
use tokio::io::ReadBuf;

use super::line::SharedLine;
use crate::net::stream::ClientStream;

/// See the module.
#[derive(Debug)]
pub struct RemoteStream {
    line: SharedLine,
    end: RemoteEnd,
    descriptor: RawFd,
    is_tls: bool,
}

impl RemoteStream {
    /// Gives the socket of a connection to an I/O thread.
    ///
    /// # Errors
    /// It cannot be taken out of this thread's runtime, and is closed.
    pub fn hand_out(stream: ClientStream, address: Address, line: SharedLine) -> io::Result<Self> {
        let (descriptor, is_tls) = (stream.as_raw_fd(), stream.is_tls());
        let socket = stream.unbind()?;
        let end = RemoteEnd::new(address);
        line.borrow_mut().adopt(end.adoption(), socket);
        Ok(Self {
            line,
            end,
            descriptor,
            is_tls,
        })
    }

    /// See [`ClientStream::is_tls`].
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Bytes that have come and were not taken.
    pub fn inbox_bytes(&self) -> usize {
        self.end.inbox_bytes()
    }

    /// Memory that it takes here and on the I/O thread, without what [`Self::inbox_bytes`] counts.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.end.memory_bytes()
    }

    /// True if the system took not all that was sent.
    pub fn is_stuck(&self) -> bool {
        self.end.is_stuck()
    }

    /// True when neither direction holds anything that this side knows of.
    pub fn is_quiet(&self) -> bool {
        self.end.is_quiet()
    }

    /// See [`RemoteEnd::takes_at_once`].
    pub fn takes_at_once(&self) -> bool {
        self.end.takes_at_once()
    }

    /// Bytes have come that cannot be executed at once.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.end.keep(bytes);
    }

    /// So many bytes were taken: others may follow.
    pub fn took(&mut self, bytes: usize) {
        self.end.took(bytes, &mut *self.line.borrow_mut());
    }

    /// Takes note of what the I/O thread reports.
    pub fn note(&mut self, entry: Entry<Report>) {
        self.end.note(entry);
    }

    /// Asks for the socket.
    pub fn ask_back(&mut self) {
        self.end.ask_back(&mut *self.line.borrow_mut());
    }

    /// Has the socket closed once everything is written; true when that has happened.
    pub fn close(&mut self) -> bool {
        self.end.close(&mut *self.line.borrow_mut())
    }

    /// As a socket would be read.
    pub fn poll_read(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = &mut *self.line.borrow_mut();
        let most = buffer.remaining();
        match self.end.read(most, line, |bytes| buffer.put_slice(bytes)) {
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// Whether a read would find something. Who asks is woken by whoever hands arrivals to the connection.
    pub fn poll_read_ready(&self) -> Poll<io::Result<()>> {
        if self.end.is_readable() {
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
        match self.end.write(bytes, &mut *self.line.borrow_mut()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Whether a write would take something. Who asks is woken when a report opens the window or the line calls.
    pub fn poll_write_ready(&self) -> Poll<io::Result<()>> {
        if self.end.window() > 0 && self.line.borrow_mut().has_room() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl AsRawFd for RemoteStream {
    fn as_raw_fd(&self) -> RawFd {
        if self.end.has_socket() {
            self.descriptor
        } else {
            -1
        }
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        let line = &mut *self.line.borrow_mut();
        self.end.abandon(line);
        line.leave();
    }
}
