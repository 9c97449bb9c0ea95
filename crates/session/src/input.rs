//! Executing what a connection has read: decoded a window at a time, in order, until a request has to wait.

use repligo_proto::resp::ProtocolError;

use crate::execute::{execute, reply_error};
use crate::window::{Ending, REQUESTS_MAX, Window};
use crate::{Flow, Host, Session};

/// Unsent bytes above which no further request of the connection is executed until they are sent.
const BACK_PRESSURE_BYTES: usize = 1 << 20;
/// Requests of one connection that may wait for the core at once; the rest stays unparsed.
const WAITING_MAX: usize = 16_384;

/// Why a connection does not execute what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stall {
    /// It does.
    #[default]
    None,
    /// The next request must not be given in before all earlier ones are answered.
    Answers,
    /// Too much is unsent, or too many requests wait.
    Output,
    /// The next request finds no room in the node's queue; the connection is called when it does.
    Room,
    /// The next request may take long, and this turn's allowance for those is used up.
    Allowance,
    /// A part of the next request was encoded in this turn; the next one goes on.
    Turn,
    /// The host's clients are paused; see [`crate::Scrutiny`].
    Held,
}

impl Session {
    /// Executes the complete requests at the start of `bytes`; returns how many bytes they took. The rest is to be
    /// given in again, with what was read behind it, when [`Session::may_go_on`]; if nothing stalls, only then
    /// when more was read.
    pub fn receive(&mut self, host: &mut impl Host, window: &mut Window, bytes: &[u8]) -> usize {
        let consumed = self.execute_all(host, window, bytes);
        self.unread_bytes = 0;
        consumed
    }

    /// True while something keeps it from executing its next request, whether or not there is one.
    #[inline]
    pub fn is_stalled(&self) -> bool {
        self.stall != Stall::None
    }

    /// Whether requests that are left can be executed now; if it only waits for a turn, it says so to its host.
    pub fn may_go_on(&mut self, host: &mut impl Host) -> bool {
        let stalls = match self.stall {
            Stall::None => false,
            Stall::Answers => self.replies.waiting() > 0,
            Stall::Output => self.holds_back(),
            Stall::Allowance => host.is_used_up(),
            Stall::Turn => self
                .encoding
                .as_ref()
                .is_some_and(|encoding| encoding.turn == host.turn()),
            Stall::Room | Stall::Held => true,
        };
        if !stalls {
            self.stall = Stall::None;
        } else if matches!(self.stall, Stall::Allowance | Stall::Turn) {
            host.wait_for_turn(self.slot, false);
        }
        !stalls
    }

    /// True if what it waited for may have happened by an answer or by sending.
    pub fn may_resume(&self) -> bool {
        match self.stall {
            Stall::None | Stall::Room | Stall::Held => false,
            Stall::Answers => self.replies.waiting() == 0,
            Stall::Output => true,
            // Called after the turn.
            Stall::Allowance | Stall::Turn => false,
        }
    }

    /// Whether bytes that come now are executed at once, unless others stand before them.
    #[inline]
    pub fn takes_input(&self) -> bool {
        !self.killed && !self.closing && !self.is_stalled() && !self.is_block_ready()
    }

    /// Nothing is unanswered or unsent, and nothing holds the next request back: as far as the session goes, its
    /// socket may change its thread.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.takes_input() && self.replies.waiting() == 0 && self.replies.pending_bytes() == 0
    }

    /// True while it waits for room in the node's queue.
    pub fn waits_for_room(&self) -> bool {
        self.stall == Stall::Room
    }

    /// There is room in the node's queue again, and it is this connection's turn. False if it did not wait.
    pub fn call(&mut self) -> bool {
        let waited = self.waits_for_room();
        if waited {
            self.stall = Stall::Output;
        }
        waited
    }

    /// Holds the next requests back until the present ones are answered.
    pub(crate) fn hold_back(&mut self) {
        self.stall = Stall::Answers;
    }

    /// Executes nothing more while too much is unsent or unanswered.
    #[inline]
    pub(crate) fn stall_if_full(&mut self) {
        if self.stall == Stall::None && self.holds_back() {
            self.stall = Stall::Output;
        }
    }

    fn holds_back(&self) -> bool {
        self.replies.pending_bytes() > BACK_PRESSURE_BYTES || self.replies.waiting() >= WAITING_MAX
    }

    fn execute_all(&mut self, host: &mut impl Host, window: &mut Window, bytes: &[u8]) -> usize {
        self.active_us = host.now().mono_us;
        let mut position = 0;
        let mut is_served = false;
        while position < bytes.len() {
            // What an unauthenticated client may send depends on the request before.
            let ahead = if self.is_authenticated() { REQUESTS_MAX } else { 1 };
            window.fill(&mut self.decoder, (bytes, position), ahead);
            if let Some(keyspace) = host.keyspace() {
                window.prefetch(keyspace, self.database, bytes);
            }
            for index in 0..window.count() {
                let (start, end) = window.range(index);
                position = end;
                if let Some(resolved) = window.get(index, bytes) {
                    if host.is_used_up() && resolved.may_stand_out() {
                        self.stall = Stall::Allowance;
                        host.wait_for_turn(self.slot, is_served);
                        self.decoder.restart();
                        return start;
                    }
                    is_served = true;
                    self.request_bytes = end - start;
                    self.unread_bytes = bytes.len() - start;
                    match execute::<false>(self, host, resolved) {
                        Flow::Done | Flow::Given => {}
                        Flow::Wait => {
                            self.stall = Stall::Answers;
                            position = start;
                        }
                        Flow::Pause => {
                            self.stall = Stall::Room;
                            position = start;
                        }
                        Flow::Hold => {
                            self.stall = Stall::Held;
                            position = start;
                        }
                        Flow::Turn => unreachable!("only a long request takes several turns"),
                        Flow::Close => {
                            self.closing = true;
                            return bytes.len();
                        }
                    }
                    self.stall_if_full();
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
                    self.break_off(host, error);
                    return bytes.len();
                }
            }
        }
        position
    }

    #[cold]
    fn break_off(&mut self, host: &mut impl Host, error: ProtocolError) {
        host.broken(self, &error);
        if error == ProtocolError::CrossProtocol {
            // A browser was tricked into sending it: nothing is answered that a page could read.
            self.killed = true;
        } else {
            reply_error(self, host, error.wire().as_bytes());
            self.closing = true;
        }
    }
}
