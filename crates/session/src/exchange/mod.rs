//! What two threads tell each other of a connection whose session is on one of them, the host, and whose socket on the
//! other, an I/O thread.
//!
//! The session's end is a [`remote::RemoteEnd`], the socket's end a [`seat::Seat`] among the [`seats::Seats`] of its
//! thread, and what goes between them are whole [`batch::Batch`]es: pieces of bytes and events, in order. How batches
//! get from thread to thread, who wakes whom, and what a socket is, is the business of whoever hosts the two ends: the
//! shell has threads, rings and sockets, the simulator has none of them and drives the same ends.
//!
//! Invariants: both directions have a window per connection, so nothing grows that nobody counts; the host alone says
//! when a connection is over; a socket changes its thread only while nothing of it is on its way.

pub mod batch;
pub mod remote;
mod seat;
pub mod seats;

use std::io;
use std::task::{Context, Poll};

use batch::{Address, Entry, Order};

/// A socket as an I/O thread needs it.
pub trait Socket: Sized {
    /// The socket on its way from one thread to another.
    type Unbound;

    /// The socket on this thread.
    ///
    /// # Errors
    /// The system does not let it be waited for.
    fn bind(socket: Self::Unbound) -> io::Result<Self>;

    /// Takes the socket away from this thread.
    ///
    /// # Errors
    /// The system refuses; the socket is closed then.
    fn unbind(self) -> io::Result<Self::Unbound>;

    /// Reads once; 0 bytes: the client has closed its side.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Asks to be woken when there is something to read.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes what fits without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: nothing fits; anything else: the connection is broken.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Asks to be woken when there is room to write.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes that were taken have not left yet.
    fn has_unsent(&self) -> bool;

    /// Sends bytes that were taken before; true when all have left.
    ///
    /// # Errors
    /// The connection is broken.
    fn send_unsent(&mut self) -> io::Result<bool>;
}

/// Where the host puts what one I/O thread is to do.
pub trait Lane {
    /// Orders something that is no bytes.
    fn order(&mut self, entry: Entry<Order>);

    /// Orders bytes to be written, as many as there is room for; the slot is called later if there is none.
    fn write(&mut self, address: Address, credit: u32, bytes: &[u8]) -> usize;

    /// Whether bytes can be ordered to be written.
    fn has_room(&mut self) -> bool;
}
