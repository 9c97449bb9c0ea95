//! A connection whose socket is on an I/O thread: what that thread reports of it, and how it gets there and back.
//!
//! Invariant: a socket changes its thread only while nothing is unanswered, unsent or read and not executed.

use repligo_session::exchange::batch::{Address, Entry, Report};

use super::Connection;
use crate::net::io::Reports;
use crate::net::io::line::SharedLine;
use crate::net::io::remote::RemoteStream;
use crate::net::options;
use crate::net::stream::{ClientStream, Unbound};
use crate::worker::Worker;
use crate::worker::gather::Gathering;

impl Connection {
    /// Whether its socket is on an I/O thread.
    pub fn is_remote(&self) -> bool {
        let stream = self.io.stream.as_ref();
        stream.is_some_and(|stream| stream.remote().is_some())
    }

    fn remote_mut(&mut self) -> Option<&mut RemoteStream> {
        self.io.stream.as_mut()?.remote_mut()
    }

    /// Nothing is unanswered, unsent, or read and not executed.
    fn is_quiet(&self) -> bool {
        let io = &self.io;
        let is_executed = !io.gathered && !io.has_more && io.input.is_empty() && io.standing.is_none();
        self.session.is_quiet() && is_executed && !io.write_blocked
    }

    /// Gives its socket to an I/O thread if it is here and the moment is a quiet one; whether it did.
    pub fn hand_out(&mut self, line: &SharedLine) -> bool {
        let is_here = self
            .io
            .stream
            .as_ref()
            .is_some_and(|stream| stream.remote().is_none() && !stream.has_unsent());
        if !is_here || !self.is_quiet() {
            return false;
        }
        let address = Address {
            client: self.session.id,
            slot: self.session.slot,
        };
        let Some(stream) = self.io.stream.take() else {
            return false;
        };
        match RemoteStream::hand_out(stream, address, line.clone()) {
            Ok(stream) => self.io.stream = Some(ClientStream::Remote(Box::new(stream))),
            Err(error) => {
                tracing::warn!(client = %self.io.endpoints.peer(), %error, "a client could not be moved: disconnected");
                self.kill();
            }
        }
        true
    }

    /// Asks for its socket if it is on an I/O thread and the moment is a quiet one; whether it did.
    pub fn ask_back(&mut self) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let remote = self.remote_mut().filter(|remote| remote.is_quiet());
        remote.map(RemoteStream::ask_back).is_some()
    }

    /// Whether the socket may be let go of: one on an I/O thread has to have written what is left.
    pub(super) fn is_sent_off(&mut self) -> bool {
        self.remote_mut().is_none_or(RemoteStream::close)
    }

    /// Whether bytes that come now are executed in the next turn, without a look of its task.
    fn executes_at_once(&self) -> bool {
        let io = &self.io;
        let is_free = !io.gathered && io.input.is_empty() && io.standing.is_none();
        let has_read_all = io.stream.as_ref().and_then(|stream| stream.remote());
        self.session.takes_input() && is_free && has_read_all.is_some_and(RemoteStream::takes_at_once)
    }

    /// There is something to read for its task, at once or after the turn.
    fn reads_on(&mut self) {
        if self.io.gathered {
            self.io.has_more = true;
        } else {
            self.wake();
        }
    }

    fn note(&mut self, entry: Entry<Report>) {
        let Some(remote) = self.remote_mut() else { return };
        remote.note(entry);
        match entry.what {
            Report::Bytes(_) | Report::Returned => {}
            Report::Sent(_) => self.io.has_sent |= entry.credit > 0,
            Report::Ended => self.reads_on(),
            Report::Broken => self.kill(),
            Report::Closed | Report::Kept => self.wake(),
        }
        if self.io.write_blocked {
            self.wake();
        }
    }
}

impl Worker {
    /// Takes the next report of a batch; false if it has to wait for the turn, because what clients have sent is
    /// gathered in a buffer that is full.
    pub(in crate::worker) fn take_io_report(
        &mut self,
        batch: &mut Reports,
        gathering: &mut Gathering,
    ) -> bool {
        let Some(entry) = batch.peek() else { return true };
        let address = entry.address;
        let connection = self.connections.get_mut(address.slot);
        // The slot may have a new tenant.
        let connection = connection.filter(|connection| address.is_of(connection.session.id));
        let Some(connection) = connection else {
            batch.advance();
            if entry.what == Report::Returned {
                batch.take_socket();
            }
            return true;
        };
        if let Report::Bytes(count) = entry.what {
            let count = count as usize;
            let at_once = connection.executes_at_once();
            if at_once && !gathering.takes(count) {
                return false;
            }
            let Some((_, range)) = batch.advance() else {
                return true;
            };
            let bytes = batch.bytes(range);
            if at_once {
                self.shared.metrics.bytes_in.add(count as u64);
                gathering.room()[..count].copy_from_slice(bytes);
                gathering.add(address.slot, address.client, count);
                connection.io.gathered = true;
                if let Some(remote) = connection.remote_mut() {
                    remote.took(count);
                }
                self.turn.request();
            } else if let Some(remote) = connection.remote_mut() {
                remote.keep(bytes);
                connection.reads_on();
            }
        } else {
            batch.advance();
        }
        if entry.what == Report::Returned {
            connection.come_back(entry, batch);
        } else {
            connection.note(entry);
        }
        true
    }
}

impl Connection {
    fn come_back(&mut self, entry: Entry<Report>, batch: &mut Reports) {
        let bound = batch.take_socket().map(Unbound::bind);
        if let Some(remote) = self.remote_mut() {
            remote.note(entry);
        }
        match bound {
            Some(Ok(stream)) => {
                self.io.stream = Some(stream);
                self.wake();
            }
            _ => self.kill(),
        }
    }

    /// What its socket holds for it that was not read, as far as it is known.
    pub(super) fn bytes_before_session(&self) -> usize {
        self.io.stream.as_ref().map_or(0, |stream| {
            let inbox = stream.remote().map_or(0, RemoteStream::inbox_bytes);
            options::bytes_unread(stream) + inbox
        })
    }
}
