//! One connection on an I/O thread: its socket, and what the system has not taken yet.
//!
//! Invariant: nothing more is read than the window admits, and nothing is read while the batch has no room.

use std::io;
use std::task::{Context, Poll, Waker};

use super::Socket;
use super::batch::{Address, Batch, Entry, INPUT_WINDOW, OUTPUT_WINDOW, Report};
#[cfg(feature = "bugs")]
use crate::bugs::Bug;

/// A buffer of unwritten bytes that is kept once it is empty.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub struct Seat<S> {
    /// Whose it is.
    pub address: Address,
    stream: S,
    /// Bytes to be written, from `out_start`.
    out: Vec<u8>,
    out_start: usize,
    /// Bytes read that the session has not taken, as far as this side knows.
    untaken: usize,
    /// Bytes written and not reported.
    written: usize,
    /// The host was told that the system does not take everything.
    is_stuck: bool,
    is_closing: bool,
    /// Nothing more is read: the client has closed its side, or the connection is broken.
    is_over: bool,
    is_broken: bool,
    waker: Option<Waker>,
}

/// Why a seat waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// For its socket, or for an order.
    Longer,
    /// For room in the batch.
    ForRoom,
    /// It is over.
    NoMore,
}

impl<S: Socket> Seat<S> {
    /// Takes over a socket.
    ///
    /// # Errors
    /// The system does not let it be waited for.
    pub fn new(address: Address, socket: S::Unbound) -> io::Result<Self> {
        Ok(Self {
            address,
            stream: S::bind(socket)?,
            out: Vec::new(),
            out_start: 0,
            untaken: 0,
            written: 0,
            is_stuck: false,
            is_closing: false,
            is_over: false,
            is_broken: false,
            waker: None,
        })
    }

    /// Wakes its task.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// The session has taken so many bytes.
    pub fn grant(&mut self, bytes: u32) {
        let was_held = self.untaken >= INPUT_WINDOW;
        self.untaken = self.untaken.saturating_sub(bytes as usize);
        if was_held && bytes > 0 {
            self.wake();
        }
    }

    /// Writes bytes, or keeps them for when the system takes them.
    pub fn send(&mut self, bytes: &[u8], reports: &mut Batch<Report, S::Unbound>) {
        if self.is_broken {
            return;
        }
        let mut rest = bytes;
        if self.unsent() == 0 && !self.stream.has_unsent() {
            match self.stream.try_write(bytes) {
                Ok(count) => {
                    self.written += count;
                    rest = &bytes[count..];
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => return self.break_off(reports),
            }
        }
        self.out.extend_from_slice(rest);
        if self.unsent() > 0 || self.stream.has_unsent() {
            self.wake();
        }
        self.tell_sent(reports);
    }

    /// Closes the socket once everything is written.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.wake();
    }

    /// Whether the socket can be handed back.
    pub fn is_quiet(&self) -> bool {
        #[cfg(feature = "bugs")]
        if Bug::MovesWithUntaken.is_in_force() {
            return !self.is_over && !self.is_closing;
        }
        let writes = self.unsent() > 0 || self.stream.has_unsent();
        !writes && self.untaken == 0 && !self.is_over && !self.is_closing
    }

    /// The socket, for another thread.
    ///
    /// # Errors
    /// The system refuses; it is closed then.
    pub fn unbind(self) -> io::Result<S::Unbound> {
        self.wake();
        self.stream.unbind()
    }

    fn unsent(&self) -> usize {
        self.out.len() - self.out_start
    }

    fn report(&mut self, what: Report) -> Entry<Report> {
        Entry {
            address: self.address,
            credit: std::mem::take(&mut self.written) as u32,
            what,
        }
    }

    /// Tells the host what was written, if it may wait for that.
    fn tell_sent(&mut self, reports: &mut Batch<Report, S::Unbound>) {
        let unsent = self.unsent();
        let changes = unsent > 0 && (!self.is_stuck || self.written > 0) || unsent == 0 && self.is_stuck;
        if changes || self.written >= OUTPUT_WINDOW / 2 {
            self.is_stuck = unsent > 0;
            let entry = self.report(Report::Sent(unsent as u32));
            reports.push(entry);
        }
    }

    fn break_off(&mut self, reports: &mut Batch<Report, S::Unbound>) {
        self.is_over = true;
        self.is_broken = true;
        self.out = Vec::new();
        self.out_start = 0;
        let entry = self.report(Report::Broken);
        reports.push(entry);
        self.wake();
    }

    /// Writes and reads as far as the socket and the windows allow.
    pub fn poll(&mut self, cx: &mut Context<'_>, reports: &mut Batch<Report, S::Unbound>) -> Waits {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        let all_is_sent = self.is_broken || self.flush(cx, reports);
        if self.is_closing {
            if !all_is_sent {
                return Waits::Longer;
            }
            let entry = self.report(Report::Closed);
            reports.push(entry);
            return Waits::NoMore;
        }
        let most = INPUT_WINDOW.saturating_sub(self.untaken);
        if self.is_over || most == 0 {
            return Waits::Longer;
        }
        if !reports.has_room() {
            return Waits::ForRoom;
        }
        self.read(cx, (reports, most));
        Waits::Longer
    }

    fn read(&mut self, cx: &mut Context<'_>, (reports, most): (&mut Batch<Report, S::Unbound>, usize)) {
        let result = self.stream.poll_read(cx, reports.room(most));
        let what = match result {
            Poll::Pending => return,
            Poll::Ready(Ok(count)) if count > 0 => {
                self.untaken += count;
                // Only asks to be woken, unless the socket is known to have more: others come first.
                if self.stream.poll_read_ready(cx).is_ready() && count < most {
                    cx.waker().wake_by_ref();
                }
                Report::Bytes(count as u32)
            }
            Poll::Ready(_) => {
                self.is_over = true;
                Report::Ended
            }
        };
        let entry = self.report(what);
        reports.push(entry);
    }

    /// Writes what waits; true when nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>, reports: &mut Batch<Report, S::Unbound>) -> bool {
        if self.unsent() == 0 && !self.stream.has_unsent() {
            return true;
        }
        loop {
            let result = if self.unsent() > 0 {
                self.stream.try_write(&self.out[self.out_start..])
            } else {
                self.stream.send_unsent().map(|_| 0)
            };
            match result {
                Ok(count) => {
                    self.written += count;
                    self.out_start += count;
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => {
                    self.break_off(reports);
                    return true;
                }
            }
            let is_all = self.unsent() == 0 && !self.stream.has_unsent();
            if is_all || self.stream.poll_write_ready(cx).is_pending() {
                break;
            }
        }
        if self.unsent() == 0 {
            self.out_start = 0;
            self.out.clear();
            self.out.shrink_to(KEPT_BYTES_MAX);
        } else if self.out_start > self.unsent() {
            self.out.drain(..self.out_start);
            self.out_start = 0;
        }
        self.tell_sent(reports);
        self.unsent() == 0 && !self.stream.has_unsent()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
