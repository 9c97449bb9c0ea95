//! Executing what a connection has read: decoded a window at a time, in order, until a request has to wait.
//!
//! Invariant: the bytes of a request that has to wait stay where they are, with all behind them.

use repligo_core::time::Now;
use repligo_proto::resp::ProtocolError;

use super::{Connection, Stall};
use crate::net::gather::Gathering;
use crate::node::worker::Worker;
use crate::session::window::{Ending, REQUESTS_MAX, Window};
use crate::session::{self, Flow};

impl Connection {
    /// Executes what was gathered from this connection, and keeps what is incomplete.
    pub fn execute_gathered(&mut self, bytes: &[u8], with: (&mut Window, Now), worker: &mut Worker) {
        self.gathered = false;
        let consumed = self.execute(bytes, with, worker);
        if consumed < bytes.len() {
            self.input = worker.pool.take();
            self.input.extend_from_slice(&bytes[consumed..]);
        }
        worker.flush_after_turn(self);
    }

    /// Executes the buffered input and gives the buffer back when it is used up.
    pub(super) fn execute_input(&mut self, worker: &mut Worker, gathering: &mut Gathering) {
        let input = std::mem::take(&mut self.input);
        let start = self.input_start;
        let consumed = gathering.execute_alone(self, &input[start..], worker);
        self.input = input;
        self.input_start = start + consumed;
        if self.input_start == self.input.len() {
            self.input_start = 0;
            worker.pool.give(std::mem::take(&mut self.input));
        } else if self.input_start > self.input.len() / 2 {
            self.input.drain(..self.input_start);
            self.input_start = 0;
        }
    }

    /// Executes the complete requests at the start of `bytes`; returns how many bytes they took. The
    /// clock was sampled after their bytes were read.
    pub fn execute(&mut self, bytes: &[u8], (window, now): (&mut Window, Now), worker: &mut Worker) -> usize {
        let consumed = self.execute_all(bytes, (window, now), worker);
        self.unread_bytes = 0;
        consumed
    }

    fn execute_all(&mut self, bytes: &[u8], (window, now): (&mut Window, Now), worker: &mut Worker) -> usize {
        self.session.active_us = now.mono_us;
        let mut position = 0;
        let mut is_served = false;
        while position < bytes.len() {
            // What an unauthenticated client may send depends on the request before.
            let ahead = if self.session.authenticated {
                REQUESTS_MAX
            } else {
                1
            };
            window.fill(&mut self.decoder, (bytes, position), ahead);
            if let Some(replica) = worker.replica() {
                window.prefetch(replica.keyspace(), self.session.database, bytes);
            }
            for index in 0..window.count() {
                let (start, end) = window.range(index);
                position = end;
                if let Some(resolved) = window.get(index, bytes) {
                    if worker.allowance.is_used_up() && resolved.may_stand_out() {
                        self.stall = Stall::Allowance;
                        worker.wait_for_allowance(self.slot, is_served);
                        self.decoder.restart();
                        return start;
                    }
                    is_served = true;
                    self.request_bytes = end - start;
                    self.unread_bytes = bytes.len() - start;
                    match session::execute(self, worker, now, resolved) {
                        Flow::Done | Flow::Given => {}
                        Flow::Wait => {
                            self.stall = Stall::Answers;
                            position = start;
                        }
                        Flow::Pause => {
                            self.stall = Stall::Room;
                            position = start;
                        }
                        Flow::Close => {
                            self.closing = true;
                            return bytes.len();
                        }
                    }
                    if self.stall == Stall::None && self.holds_back() {
                        self.stall = Stall::Output;
                    }
                }
                if self.stall != Stall::None {
                    self.decoder.restart();
                    return position;
                }
            }
            match *window.ending() {
                Ending::Full => {}
                Ending::Incomplete => break,
                Ending::Broken(error) => {
                    self.break_off(error, worker);
                    return bytes.len();
                }
            }
        }
        position
    }

    #[cold]
    fn break_off(&mut self, error: ProtocolError, worker: &mut Worker) {
        worker.shared.metrics.protocol_errors.add(1);
        if error == ProtocolError::CrossProtocol {
            // A browser was tricked into sending it: nothing is answered that a page could read.
            tracing::warn!(client = %self.session.address(), "a client speaks HTTP: disconnected");
            self.killed = true;
        } else {
            session::reply_error(self, worker, error.wire().as_bytes());
            self.closing = true;
        }
    }
}
