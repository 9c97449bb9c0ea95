//! The turn: when it is due, who runs it, and what it does.
//!
//! Everything that gave something to the core since the last turn asks for one; the turn task is woken
//! once and runs after the tasks that are ready now, so that they share one entry and one flush. It carries out
//! what the replica asks for: replies to connections, messages to links, writes to the disk, calls to the
//! origin.
//!
//! Invariants: outputs are carried out in the order of the contract (snapshot pieces before persists);
//! after a turn no reply is left behind unflushed.

use std::task::{Context, Waker};

use repligo_core::contract::{Input, LongReply, Outputs, Role};
use repligo_core::time::Now;

use super::Worker;
use super::connection::Connection;
use super::host::WorkerHost;
use crate::telemetry::clock::boottime_ns;

/// Capacity of the reply buffer that is kept between turns.
const REPLY_BYTES_KEPT: usize = 4 << 20;
/// Later than this after its begin, in nanoseconds, a turn begins no further slice of long work: what has
/// become ready meanwhile comes first.
const SLICES_NS: u64 = 2_000_000;

/// The turn's state.
#[derive(Debug, Default)]
pub struct TurnSignal {
    due: bool,
    waker: Option<Waker>,
    number: u64,
    began_ns: u64,
}

impl TurnSignal {
    /// Asks for a turn.
    #[inline]
    pub fn request(&mut self) {
        if !self.due {
            self.due = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether a turn was asked for and has not run.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Counts turns; requests given in under one number leave together.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The turn begins: what asks from now on asks for the next one.
    pub fn begin(&mut self, now_ns: u64) {
        self.due = false;
        self.number += 1;
        self.began_ns = now_ns;
    }

    /// When the present turn began, nanoseconds.
    pub fn began_ns(&self) -> u64 {
        self.began_ns
    }

    /// Who is to be woken.
    pub fn set_waker(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

impl Worker {
    /// One turn, see the module; `began_ns` is the boot clock, sampled after the last bytes were read.
    /// When the next turn is due at the latest, if it is.
    pub fn run_turn(&mut self, began_ns: u64) -> Option<u64> {
        self.busy.begin(began_ns);
        self.turn.begin(began_ns);
        self.allowance.begin_turn();
        let now = self.clock.at(began_ns / 1000);
        self.open_links();
        // A turn that only sends the replies of reads leaves the replica alone.
        if std::mem::take(&mut self.replica_due) {
            self.answered.begin();
            self.move_replica(now, began_ns);
            self.shared.metrics.turns.add(1);
            self.end_turn(began_ns);
            self.call_waiting();
        }
        self.post_events();
        self.deliver_posts();
        self.links.flush(&self.shared.metrics);
        if self.placement.is_empty() {
            self.flush_connections();
        } else {
            self.flush_to_io_threads();
        }
        self.busy.end_now("turn", began_ns, &self.shared.metrics.busy);
        self.outputs.turn_at_us.take()
    }

    /// One slice after the other while the replica has work and the turn has time; at least one.
    fn move_replica(&mut self, mut now: Now, began_ns: u64) {
        let mut slice_ns = began_ns;
        loop {
            self.outputs.steps = 0;
            if let Some(replica) = &mut self.replica {
                replica.step(now, Input::Turn, &mut self.outputs);
            }
            self.follow_users();
            if !self.outputs.spent.is_empty() {
                self.share_out(slice_ns);
            }
            while let Some(number) = self.carry_out(now) {
                now = self.clock.now();
                self.outputs.steps = 0;
                if let Some(replica) = &mut self.replica {
                    replica.step(now, Input::Persisted { number }, &mut self.outputs);
                }
                self.follow_users();
                if !self.outputs.spent.is_empty() {
                    self.share_out(now.mono_us * 1000);
                }
            }
            if !self.has_work() {
                return;
            }
            let now_ns = boottime_ns();
            if now_ns.saturating_sub(began_ns) > SLICES_NS {
                return;
            }
            slice_ns = now_ns;
            now = self.clock.at(now_ns / 1000);
        }
    }

    /// The core made steps for requests that take several turns: the time since then is theirs.
    pub(super) fn share_out(&mut self, since_ns: u64) {
        self.tracking
            .share_out(&mut self.outputs, (since_ns, boottime_ns()), &mut self.answered);
    }

    /// Carries out what the replica asks for; the number of the last log write that was done here.
    fn carry_out(&mut self, now: Now) -> Option<u64> {
        let may_write = self.may_write_log();
        let mut done = None;
        let mut outputs = std::mem::take(&mut self.outputs);
        for piece in outputs.snapshot.drain(..) {
            self.drivers.snapshot(piece);
        }
        for persist in outputs.persists.drain(..) {
            self.shared.metrics.persists.add(1);
            if let Some(persist) = self.drivers.persist(persist, may_write) {
                for send in persist.then_send {
                    self.links.send(send.to, &send.message);
                }
                done = Some(persist.number);
            }
        }
        for send in outputs.sends.drain(..) {
            self.links.send(send.to, &send.message);
        }
        for request in outputs.origin.drain(..) {
            self.drivers.origin(request);
        }
        for event in outputs.events.drain(..) {
            self.note_event(&event);
        }
        self.answer(&outputs, now);
        for reply in outputs.long_replies.drain(..) {
            self.answer_long(reply, now);
        }
        outputs.replies.clear();
        outputs.reply_bytes.clear();
        outputs.reply_bytes.shrink_to(REPLY_BYTES_KEPT);
        // Nothing above gives the replica an input, so nothing is lost here.
        debug_assert!(self.outputs.replies.is_empty() && self.outputs.persists.is_empty());
        self.outputs = outputs;
        done
    }

    /// A leader never writes its log itself: a disk that stalls must keep it from nothing, least of all from
    /// stepping down. For a follower, or a node alone, nobody waits who would not wait for the disk anyway.
    fn may_write_log(&self) -> bool {
        self.last_role == Role::Follower || self.links.is_alone()
    }

    /// Hands replies to their connections; runs of one connection are handled together.
    fn answer(&mut self, outputs: &Outputs, now: Now) {
        let mut current: Option<Box<Connection>> = None;
        for reply in &outputs.replies {
            let (slot, sequence) = ((reply.ticket >> 32) as u32, reply.ticket as u32);
            if current
                .as_ref()
                .is_none_or(|connection| connection.session.slot != slot)
            {
                if let Some(connection) = current.take() {
                    self.connections.put_back(connection);
                }
                current = self.connections.take(slot);
                if let Some(connection) = &mut current {
                    self.flush_after_turn(connection);
                }
            }
            let tracked = self.tracking.end(reply.ticket);
            if let Some(connection) = &mut current {
                let bytes = &outputs.reply_bytes[reply.start as usize..reply.end as usize];
                let Connection { session, io } = &mut **connection;
                let mut host = WorkerHost {
                    worker: self,
                    io,
                    now,
                };
                session.finish(&mut host, sequence, (tracked, bytes));
            }
        }
        if let Some(connection) = current {
            self.connections.put_back(connection);
        }
    }

    fn answer_long(&mut self, reply: LongReply, now: Now) {
        let tracked = self.tracking.end(reply.ticket);
        let Some(mut connection) = self.connections.take((reply.ticket >> 32) as u32) else {
            return;
        };
        self.flush_after_turn(&mut connection);
        let Connection { session, io } = &mut *connection;
        let mut host = WorkerHost {
            worker: self,
            io,
            now,
        };
        session.finish_long(&mut host, tracked, reply);
        self.connections.put_back(connection);
    }

    fn end_turn(&mut self, began_ns: u64) {
        let count = self.answered.len() as u64;
        if self.candidates.is_empty() && count == 0 {
            return;
        }
        let elapsed_ns = boottime_ns().saturating_sub(began_ns);
        self.answered.end(elapsed_ns, &self.shared.metrics);
        if self.candidates.is_empty() {
            return;
        }
        let share_us = self.answered.share_ns(elapsed_ns) / 1000;
        for candidate in std::mem::take(&mut self.candidates) {
            self.note_words(share_us, candidate);
        }
    }

    pub(super) fn flush_connections(&mut self) {
        while let Some(slot) = self.flush.pop() {
            if let Some(mut connection) = self.connections.take(slot) {
                connection.flush_after_turn(self);
                self.connections.put_back(connection);
            }
        }
    }
}
