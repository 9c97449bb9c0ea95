//! The outbox: this node's own client writes between arrival and apply.
//!
//! Writes of one turn gather in the open batch and are sealed into a [`Batch`] with sequence numbers of
//! this node and incarnation. A sealed batch stays until this node has applied it (its clients are
//! answered from that apply), until it is proven never to be applied, or until its time is up. It may be
//! sent any number of times: apply discards all but the first copy, and because every copy of every
//! batch is sent in sequence order, first copies are applied in order.
//!
//! Invariants: sequences are contiguous from the front of `sealed` to the open batch, except where a
//! batch was given up; `held` is what all batches hold together.

mod long;

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use self::long::Long;

use crate::acl::Actor;
use crate::codec::put_bytes;
use crate::contract::{PeerId, Ticket};
use crate::entry::Batch;
use crate::limits;
use crate::op::put_actor;
use crate::shares::{Held, Part};

/// Bytes of ops for which a buffer is kept from turn to turn.
const KEPT_BYTES: usize = 16 << 10;

/// Who waits for an op, or rides behind it.
#[derive(Debug)]
pub enum Waiter {
    /// Nobody: a time op that a read rides on.
    Silent,
    /// The client whose op this is.
    Write {
        /// Its ticket.
        ticket: Ticket,
        /// Protocol of the reply.
        resp3: bool,
        /// Replies of a transaction's local items, rendered at EXEC.
        locals: Vec<Bytes>,
    },
    /// A read behind the op before it.
    Read {
        /// Its ticket.
        ticket: Ticket,
        /// Protocol of the reply.
        resp3: bool,
        /// What it asks, and why it rides.
        read: RidingRead,
        /// By whose rights it was let through.
        actor: Actor,
    },
}

/// A read that rides behind an op.
#[derive(Debug)]
pub struct RidingRead {
    /// Its encoded command in the reads of the batch.
    pub place: Range<usize>,
    /// It rides for the time that the op brings, not to be executed behind the op of its connection.
    pub for_time: bool,
}

/// What one turn gathers.
#[derive(Debug, Default)]
struct Open {
    ops: Vec<u8>,
    count: u64,
    waiters: Vec<Waiter>,
    reads: Vec<u8>,
    since_us: u64,
    held: Held,
}

/// A batch on its way.
#[derive(Debug)]
pub struct Sealed {
    /// What is replicated.
    pub batch: Batch,
    /// One per op in order, each followed by the reads that ride behind it.
    pub waiters: Vec<Waiter>,
    /// Encoded commands of the riding reads.
    pub reads: Vec<u8>,
    /// When the hold of its last request began.
    pub since_us: u64,
    /// Proposed, or sent to the leader over the present stream.
    sent: bool,
    /// Latest term in which a copy left; 0 while no copy can be in any log.
    last_term: u64,
    held: Held,
}

impl Sealed {
    /// True if a copy may be in somebody's log, so that the outcome is unknown.
    pub fn maybe_applied(&self) -> bool {
        self.last_term != 0
    }
}

/// This node's writes between arrival and apply.
#[derive(Debug)]
pub struct Outbox {
    node: PeerId,
    incarnation: u64,
    next_sequence: u64,
    open: Open,
    sealed: VecDeque<Sealed>,
    held: Held,
    /// By whose rights what is given in next was let through.
    actor: Actor,
    long: Long,
}

impl Outbox {
    /// An empty outbox of this node and incarnation.
    pub fn new(node: PeerId, incarnation: u64) -> Self {
        Self {
            node,
            incarnation,
            next_sequence: 1,
            open: Open::default(),
            sealed: VecDeque::new(),
            held: Held::default(),
            actor: Actor::default(),
            long: Long::default(),
        }
    }

    /// By whose rights what is given in next was let through.
    #[inline]
    pub fn set_actor(&mut self, actor: Actor) {
        self.actor = actor;
    }

    /// What [`Self::set_actor`] was told last.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// What all batches hold.
    #[inline]
    pub fn held(&self) -> Held {
        self.held
    }

    /// Requests held.
    pub fn len(&self) -> usize {
        self.open.waiters.len()
            + self
                .sealed
                .iter()
                .map(|sealed| sealed.waiters.len())
                .sum::<usize>()
    }

    /// Adds an encoded op to the open batch; its hold began at `since_us`.
    pub fn push_op(&mut self, op: &[u8], waiter: Waiter, since_us: u64) {
        if self.actor.is_plain() || matches!(waiter, Waiter::Silent) {
            return self.push_encoded(op, waiter, since_us);
        }
        let mut acted = Vec::with_capacity(op.len() + 16);
        put_actor(&mut acted, self.actor);
        acted.extend_from_slice(op);
        self.push_encoded(&acted, waiter, since_us);
    }

    #[inline]
    fn push_encoded(&mut self, op: &[u8], waiter: Waiter, since_us: u64) {
        if self.open.count > 0 && self.open.ops.len() + op.len() > limits::ENTRY_BYTES_MAX {
            self.seal();
        }
        put_bytes(&mut self.open.ops, op);
        self.count(op.len(), waiter, since_us);
    }

    /// Counts an op of the open batch.
    #[inline]
    fn count(&mut self, op_bytes: usize, waiter: Waiter, since_us: u64) {
        // All of them wait until the hold of the last one is over: none is refused before its time.
        self.open.since_us = self.open.since_us.max(since_us);
        let bytes = op_bytes + limits::REQUEST_OVERHEAD_BYTES;
        self.open.held.add(Part::Common, bytes);
        self.held.add(Part::Common, bytes);
        self.open.count += 1;
        self.open.waiters.push(waiter);
    }

    /// Lets a read ride behind the last op given in since the last turn. Returns false if there is none.
    pub fn push_read(
        &mut self,
        (ticket, resp3): (Ticket, bool),
        for_time: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let (waiters, reads, held) = if self.open.count > 0 {
            (&mut self.open.waiters, &mut self.open.reads, &mut self.open.held)
        } else {
            match self.sealed.back_mut() {
                Some(last) if !last.sent && last.last_term == 0 => {
                    (&mut last.waiters, &mut last.reads, &mut last.held)
                }
                _ => return false,
            }
        };
        let start = reads.len();
        encode(reads);
        let end = reads.len();
        let bytes = end - start + limits::REQUEST_OVERHEAD_BYTES;
        held.add(Part::Common, bytes);
        self.held.add(Part::Common, bytes);
        waiters.push(Waiter::Read {
            ticket,
            resp3,
            read: RidingRead {
                place: start..end,
                for_time,
            },
            actor: self.actor,
        });
        true
    }

    /// Counts `bytes` of what was given in last against the reserve instead.
    pub fn reserve(&mut self, bytes: usize) {
        let held = if self.open.count > 0 {
            &mut self.open.held
        } else if let Some(last) = self.sealed.back_mut() {
            &mut last.held
        } else {
            return;
        };
        for held in [held, &mut self.held] {
            held.remove(Part::Common, bytes);
            held.add(Part::Reserved, bytes);
        }
    }

    /// Ends the open batch.
    pub fn seal(&mut self) {
        if self.open.count == 0 {
            return;
        }
        let open = &mut self.open;
        // The buffer stays for the next turn, unless it is large.
        let ops = if open.ops.capacity() <= KEPT_BYTES {
            let ops = Bytes::copy_from_slice(&open.ops);
            open.ops.clear();
            ops
        } else {
            Bytes::from(std::mem::take(&mut open.ops))
        };
        self.seal_with(ops);
    }

    /// Ends the open batch, whose ops are these.
    fn seal_with(&mut self, ops: Bytes) {
        let open = &mut self.open;
        let count = std::mem::take(&mut open.count);
        let batch = Batch {
            node: self.node,
            incarnation: self.incarnation,
            first_sequence: self.next_sequence,
            count,
            ops,
        };
        self.next_sequence += count;
        self.sealed.push_back(Sealed {
            batch,
            waiters: std::mem::take(&mut open.waiters),
            reads: std::mem::take(&mut open.reads),
            since_us: std::mem::take(&mut open.since_us),
            sent: false,
            last_term: 0,
            held: std::mem::take(&mut open.held),
        });
    }

    /// Ops and their bytes that have not left.
    pub fn waiting(&self) -> (u64, usize) {
        let open = (self.open.count, self.open.ops.len());
        let unsent = self.sealed.iter().rev().take_while(|sealed| !sealed.sent);
        unsent.fold(open, |(ops, bytes), sealed| {
            (ops + sealed.batch.count, bytes + sealed.batch.ops.len())
        })
    }

    /// Unsent batches in order.
    pub fn unsent(&self) -> impl Iterator<Item = &Batch> {
        self.sealed
            .iter()
            .filter(|sealed| !sealed.sent)
            .map(|sealed| &sealed.batch)
    }

    /// Bytes of all ops that have not left, those of the open batch included.
    pub fn unsent_bytes(&self) -> usize {
        self.open.ops.len() + self.unsent().map(|batch| batch.ops.len()).sum::<usize>()
    }

    /// The first `count` unsent batches left in `term`.
    pub fn mark_sent(&mut self, count: usize, term: u64) {
        assert!(term > 0, "nothing is sent before there is a term");
        for sealed in self.sealed.iter_mut().filter(|sealed| !sealed.sent).take(count) {
            sealed.sent = true;
            sealed.last_term = term;
        }
    }

    /// The stream or the leader is gone: everything that is not applied has to be sent again.
    pub fn send_again(&mut self) {
        self.sealed.iter_mut().for_each(|sealed| sealed.sent = false);
    }

    /// An entry of `term` was applied: copies that left in older terms are in no log any more.
    pub fn term_applied(&mut self, term: u64) {
        for sealed in &mut self.sealed {
            if sealed.last_term < term && sealed.last_term != 0 {
                sealed.last_term = 0;
                sealed.sent = false;
            }
        }
    }

    /// The batch with this first sequence was applied: takes it out. Batches before it can never be
    /// applied any more and are put into `never`.
    pub fn take_applied(&mut self, first_sequence: u64, never: &mut Vec<Sealed>) -> Option<Sealed> {
        while let Some(front) = self.sealed.front() {
            if front.batch.first_sequence > first_sequence {
                return None;
            }
            let sealed = self.pop_front().expect("the front was just seen");
            if sealed.batch.first_sequence == first_sequence {
                return Some(sealed);
            }
            never.push(sealed);
        }
        None
    }

    /// Takes out every batch whose sequences are all at or below `sequence`: a snapshot skipped them.
    pub fn take_skipped(&mut self, sequence: u64) -> Vec<Sealed> {
        let mut skipped = Vec::new();
        while self
            .sealed
            .front()
            .is_some_and(|front| front.batch.last_sequence() <= sequence)
        {
            skipped.extend(self.pop_front());
        }
        skipped
    }

    /// Takes out the first batch if its hold began at or before `since_us`.
    pub fn take_overdue(&mut self, since_us: u64) -> Option<Sealed> {
        if self.sealed.front()?.since_us > since_us {
            None
        } else {
            self.pop_front()
        }
    }

    /// Takes out the last batches as long as no copy of them has left, oldest first.
    pub fn take_never_sent(&mut self) -> Vec<Sealed> {
        self.seal();
        let sent = self.sealed.iter().rposition(Sealed::maybe_applied);
        let never = self.sealed.split_off(sent.map_or(0, |last| last + 1));
        for sealed in &never {
            self.held -= sealed.held;
        }
        never.into()
    }

    fn pop_front(&mut self) -> Option<Sealed> {
        let sealed = self.sealed.pop_front()?;
        self.held -= sealed.held;
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ticket: Ticket) -> Waiter {
        Waiter::Write {
            ticket,
            resp3: false,
            locals: Vec::new(),
        }
    }

    fn outbox_with(batches: u64) -> Outbox {
        let mut outbox = Outbox::new(1, 1);
        for ticket in 0..batches {
            outbox.push_op(b"op", write(ticket), ticket);
            outbox.seal();
        }
        outbox
    }

    #[test]
    fn an_applied_batch_proves_earlier_ones_never_applied() {
        let mut outbox = outbox_with(3);
        let mut never = Vec::new();
        assert_eq!(
            outbox
                .take_applied(2, &mut never)
                .map(|sealed| sealed.batch.first_sequence),
            Some(2)
        );
        assert_eq!(never.len(), 1);
        assert!(outbox.take_applied(2, &mut never).is_none());
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn a_newer_term_proves_older_copies_gone_and_resends_them() {
        let mut outbox = outbox_with(2);
        outbox.mark_sent(2, 5);
        assert_eq!(outbox.unsent().count(), 0);
        outbox.term_applied(5);
        assert_eq!(outbox.unsent().count(), 0);
        outbox.term_applied(6);
        assert_eq!(outbox.unsent().count(), 2);
        assert!(!outbox.take_overdue(u64::MAX).expect("held").maybe_applied());
    }

    #[test]
    fn a_lost_stream_resends_but_the_outcome_stays_open() {
        let mut outbox = outbox_with(1);
        outbox.mark_sent(1, 5);
        outbox.send_again();
        assert_eq!(outbox.unsent().count(), 1);
        assert!(outbox.take_overdue(u64::MAX).expect("held").maybe_applied());
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn reads_ride_only_behind_ops_of_this_turn() {
        let mut outbox = Outbox::new(1, 1);
        assert!(!outbox.push_read((1, false), false, |out| out.push(1)));
        outbox.push_op(b"op", write(2), 0);
        assert!(outbox.push_read((3, false), false, |out| out.push(1)));
        outbox.seal();
        assert!(outbox.push_read((4, false), false, |out| out.push(1)));
        outbox.mark_sent(1, 1);
        assert!(!outbox.push_read((5, false), false, |out| out.push(1)));
    }
}
