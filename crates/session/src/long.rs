//! Requests that are longer than what a turn copies: a write becomes its op a piece at a time, one in each turn, while
//! its connection waits with the request where it is.
//!
//! Only bytes that have been kept are looked at, since no longer request is whole where it was read.
//!
//! Not here: requests that the core copies into other forms, which are blocks, and writes to an origin.

use std::cell::RefCell;

use repligo_core::command::{self, Command, LongOp};
use repligo_core::contract::Body;
use repligo_core::limits::{ENCODED_AT_ONCE_BYTES, LONG_REQUEST_BYTES};
use repligo_proto::command::resolve;
use repligo_proto::resp::Args;

use crate::data;
use crate::execute::execute;
use crate::order::Kind;
use crate::window::{Resolved, Window};
use crate::{Call, Flow, Host, Session, Stall};

/// The op of the next request, as far as it is encoded.
#[derive(Debug)]
pub(crate) struct Encoding {
    op: LongOp,
    /// Turn of the last piece.
    pub turn: u64,
}

impl Encoding {
    /// Memory that it holds.
    pub fn heap_bytes(&self) -> usize {
        self.op.heap_bytes()
    }
}

/// What the bytes begin with.
enum Begin {
    /// A long request, of which so many bytes are done with.
    Long(usize),
    /// Something else.
    Other,
    /// Not even one request.
    Incomplete,
}

impl Session {
    /// As [`Session::receive`], for bytes that were not executed when they were read: a request among them may be
    /// long.
    pub fn receive_kept(&mut self, host: &mut impl Host, window: &mut Window, bytes: &[u8]) -> usize {
        let mut position = 0;
        loop {
            let rest = &bytes[position..];
            if rest.len() <= LONG_REQUEST_BYTES {
                return position + self.receive(host, window, rest);
            }
            match self.receive_long(host, rest) {
                Begin::Long(consumed) => position += consumed,
                Begin::Incomplete => return position,
                Begin::Other => {
                    let before_long = &rest[..LONG_REQUEST_BYTES];
                    let consumed = self.receive(host, window, before_long);
                    if consumed == 0 && !self.is_stalled() && !self.closing && !self.killed {
                        // It is no request at all, which is found out at its end only.
                        return position + self.receive(host, window, rest);
                    }
                    position += consumed;
                }
            }
            if self.closing || self.killed {
                return bytes.len();
            }
            if self.is_stalled() {
                return position;
            }
        }
    }

    #[cold]
    fn receive_long(&mut self, host: &mut impl Host, bytes: &[u8]) -> Begin {
        let mut args = Args::new();
        let taken = match self.decoder.decode(bytes, &mut args) {
            Ok(Some(taken)) if taken > LONG_REQUEST_BYTES => taken,
            Ok(None) => return Begin::Incomplete,
            Ok(Some(_)) | Err(_) => {
                self.decoder.restart();
                return Begin::Other;
            }
        };
        if args.is_empty() {
            return Begin::Long(taken);
        }
        if host.is_used_up() {
            self.stall = Stall::Allowance;
            host.wait_for_turn(self.slot, false);
            return Begin::Long(0);
        }
        let request = args.view(bytes);
        let resolved = Resolved {
            request,
            spec: resolve(request),
        };
        self.active_us = host.now().mono_us;
        self.request_bytes = taken;
        self.unread_bytes = bytes.len();
        let flow = execute::<true>(self, host, resolved);
        self.unread_bytes = 0;
        match flow {
            Flow::Done | Flow::Given => {}
            Flow::Wait => self.stall = Stall::Answers,
            Flow::Pause => self.stall = Stall::Room,
            Flow::Turn => self.stall = Stall::Turn,
            Flow::Hold => self.stall = Stall::Held,
            Flow::Close => self.closing = true,
        }
        if flow.is_later() {
            return Begin::Long(0);
        }
        self.encoding = None;
        self.stall_if_full();
        Begin::Long(taken)
    }
}

/// Executes one data command outside of MULTI, a piece of it if that is all that a turn has time for.
pub(crate) fn execute_long(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    let command = match command::parse(call.spec, session.database, call.request) {
        Ok(command) if is_encoded_here(host, call, &command) => command,
        _ => return data::execute(session, host, call),
    };
    if session.unanswered().admits(Kind::Write, host.turn()).is_none() {
        return Flow::Wait;
    }
    if !data::admits(session, host, session.request_bytes) {
        return Flow::Pause;
    }
    let began_ns = host.clock_ns();
    let encoding = session.encoding.get_or_insert_with(|| {
        Box::new(Encoding {
            op: LongOp::begin(&command),
            turn: 0,
        })
    });
    let is_whole = encoding.op.advance(&command, ENCODED_AT_ONCE_BYTES);
    encoding.turn = host.turn();
    host.charge(host.clock_ns().saturating_sub(began_ns));
    if !is_whole {
        host.wait_for_turn(session.slot, true);
        return Flow::Turn;
    }
    let encoding = session.encoding.take().expect("it is whole");
    let op = RefCell::new(encoding.op);
    data::submit_body(session, host, call, Body::Long(&command, &op));
    Flow::Done
}

/// Whether this is a write whose op is the command and nothing else. What is refused at once is not encoded.
fn is_encoded_here(host: &impl Host, call: Call<'_>, command: &Command<'_>) -> bool {
    let is_refused =
        host.refusal().is_some() || data::refused_name(host.origin(), call.spec, command).is_some();
    let is_plain = !matches!(command, Command::Invalidate { .. });
    !is_refused && is_plain && Kind::of_command(command, host.origin()) == Kind::Write
}
