//! A MULTI block on its way to its reply: what the core answered, and what the session answers in between.
//!
//! The core renders a placeholder for each item that is not its own. Those run here, one after the other, as far as
//! a turn's allowance reaches, and the reply is put together from both. Other clients come in between: what the
//! core executes is atomic, what the session answers is not.
//!
//! Invariant: the connection gives in nothing else until such a block is answered.

use repligo_core::pieces::{PIECE_BYTES, Pieces};
use repligo_proto::command::{CommandId, Spec};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::{OwnedRequest, reply_length};

use crate::access::late_refusal;
use crate::execute::dispatch;
use crate::tracked::{Tracked, Words};
use crate::transaction::Multi;
use crate::{Call, Flow, Host, Session};

/// What the core renders for a local item, until its reply is spliced in.
pub(super) const PLACEHOLDER: &[u8] = b"+\r\n";

/// An item that the session answers.
#[derive(Debug)]
pub enum LocalItem {
    /// A command of the session, run when the block's result is known.
    Request(&'static Spec, OwnedRequest),
    /// A data command that its parser refused: the error, as EXEC reports it.
    Refused(&'static Spec, Vec<u8>),
}

/// A block that was given in, until it is answered.
#[derive(Debug)]
pub struct Running {
    sequence: u32,
    silent: bool,
    locals: std::iter::Peekable<std::vec::IntoIter<(usize, LocalItem)>>,
    /// What the core answered, with a placeholder for each local item; empty until it has.
    answer: Vec<u8>,
    /// Bytes of the answer that are done.
    at: usize,
    /// Items that are done.
    position: usize,
    reply: Pieces,
    reply_bytes: usize,
    /// What it took so far, nanoseconds.
    spent_ns: u64,
    /// For the slow log.
    words: Option<Words>,
}

/// What the core would answer to a block of so many local items.
pub(super) fn all_placeholders(count: usize) -> Vec<u8> {
    let mut answer = Vec::with_capacity(16 + count * PLACEHOLDER.len());
    ReplyWriter::new(&mut answer, false).array(count);
    (0..count).for_each(|_| answer.extend_from_slice(PLACEHOLDER));
    answer
}

/// Runs a block that needs nothing of the core, or begins to.
pub(super) fn begin_block(session: &mut Session, host: &mut impl Host, running: Running) -> Flow {
    session.multi = Some(Box::new(Multi::running(running)));
    session.run_block(host);
    if session.is_block_ready() {
        session.hold_back();
    }
    Flow::Given
}

/// The core has answered a block with local items: the connection runs them next.
pub(super) fn finish_exec(
    session: &mut Session,
    host: &mut impl Host,
    (sequence, tracked): (u32, Option<Tracked>),
    reply: Pieces,
) {
    let running = session.multi.as_mut().and_then(|multi| multi.running.as_mut());
    let Some(running) = running.filter(|running| running.sequence == sequence) else {
        let first = reply.iter().next().unwrap_or_default();
        host.answered(CommandId::Exec.number(), tracked, first);
        if reply.len() < PIECE_BYTES {
            // A short one goes out together with others.
            return session.replies.answer(sequence, &reply.join(), host.pool());
        }
        return session.replies.answer_long(sequence, reply, host.pool());
    };
    let tracked = tracked.unwrap_or_default();
    running.spent_ns += tracked.spent_ns;
    running.set_answer(reply.join(), tracked.words);
}

impl Session {
    /// Runs on the local items of a block that the core has answered, as far as this turn's allowance reaches.
    pub fn run_block(&mut self, host: &mut impl Host) {
        let Some(mut running) = self.multi.take().and_then(|multi| multi.running) else {
            return;
        };
        match running.advance(self, host) {
            Some(reply) => {
                let first = reply.iter().next().unwrap_or_default();
                host.block_replied(running.words.take(), first, running.spent_ns.max(1));
                let pieces = if running.silent { Pieces::default() } else { reply };
                self.replies.answer_long(running.sequence, pieces, host.pool());
                if self.tracker.is_some() {
                    // Of changes since the core has answered, its client is told again only now.
                    host.posted();
                }
            }
            None => {
                host.wait_for_turn(self.slot, true);
                self.multi = Some(Box::new(Multi::running(running)));
            }
        }
    }
}

/// Counts what the core has executed of a block, and which of it failed; nothing if it answered no array.
pub(super) fn count_executed(host: &mut impl Host, tracked: &Tracked, reply: &[u8]) {
    let Some(mut rest) = elements(reply) else { return };
    host.items_executed(tracked);
    let mut index = 0;
    while let Some(length) = reply_length(rest).filter(|_| !rest.is_empty()) {
        if rest[0] == b'-' {
            host.item_failed(tracked, index, &rest[..length]);
        }
        rest = &rest[length..];
        index += 1;
    }
}

/// The elements of an array, not a null one.
fn elements(reply: &[u8]) -> Option<&[u8]> {
    let header = reply.iter().position(|byte| *byte == b'\n')? + 1;
    let is_array = reply[0] == b'*' && reply.get(1) != Some(&b'-');
    is_array.then(|| &reply[header..])
}

impl Running {
    /// A block under this sequence number, without an answer.
    pub(super) fn new(sequence: u32, silent: bool, locals: Vec<(usize, LocalItem)>) -> Self {
        Self {
            sequence,
            silent,
            locals: locals.into_iter().peekable(),
            answer: Vec::new(),
            at: 0,
            position: 0,
            reply: Pieces::default(),
            reply_bytes: 0,
            spent_ns: 0,
            words: None,
        }
    }

    /// True once the core has answered.
    pub(super) fn is_answered(&self) -> bool {
        !self.answer.is_empty()
    }

    /// The core's answer, and what is to be told of it.
    pub(super) fn set_answer(&mut self, answer: Vec<u8>, words: Option<Words>) {
        self.answer = answer;
        self.words = words;
    }

    /// Puts the reply together; `None` when this turn's allowance ends before.
    fn advance(&mut self, session: &mut Session, host: &mut impl Host) -> Option<Pieces> {
        if self.at == 0 {
            let Some(rest) = elements(&self.answer) else {
                // Null or an error instead of an array: nothing was executed.
                return Some(Pieces::from(std::mem::take(&mut self.answer)));
            };
            self.at = self.answer.len() - rest.len();
            self.reply.room().extend_from_slice(&self.answer[..self.at]);
        }
        let bytes_max = host.output_bytes_max();
        // What is beyond the output limit disconnects the client when it is sent.
        while self.at < self.answer.len() && self.reply_bytes <= bytes_max {
            if host.is_used_up() {
                return None;
            }
            let began_ns = host.clock_ns();
            let rest = &self.answer[self.at..];
            let length = reply_length(rest).expect("the core renders whole replies");
            let out = self.reply.room();
            let before = out.len();
            match self.locals.next_if(|(at, _)| *at == self.position) {
                Some((_, item)) => run_local(session, host, &item, out),
                None => out.extend_from_slice(&rest[..length]),
            }
            self.reply_bytes += out.len() - before;
            self.at += length;
            self.position += 1;
            let took_ns = host.clock_ns().saturating_sub(began_ns);
            self.spent_ns += took_ns;
            host.charge(took_ns);
        }
        Some(std::mem::take(&mut self.reply))
    }
}

fn run_local(session: &mut Session, host: &mut impl Host, item: &LocalItem, out: &mut Vec<u8>) {
    let start = out.len();
    let began_ns = host.clock_ns();
    let spec = match item {
        LocalItem::Refused(spec, text) => {
            session.reply(out).error_bytes(text);
            spec
        }
        LocalItem::Request(spec, request) => {
            let request = request.view();
            let call = Call { spec, request };
            session.runs_item = true;
            match session.judge(spec, request) {
                Ok(()) => {
                    dispatch(session, host, call, out);
                }
                Err(denied) => {
                    host.denied(session, call, denied);
                    session.reply(out).error_bytes(&late_refusal(denied));
                }
            }
            session.runs_item = false;
            spec
        }
    };
    let took_ns = host.clock_ns().saturating_sub(began_ns);
    host.item_replied(spec.id, &out[start..], took_ns);
}
