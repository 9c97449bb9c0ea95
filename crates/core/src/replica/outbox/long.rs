//! Long ops in the outbox: each is a batch of its own, and is not copied on its way into an entry.
//!
//! A long op lies behind room in its buffer. What stands in front of its batch in an entry is written into that room,
//! and batch and entry are views of the one buffer. That needs the buffer for itself, so it is done once, as the entry
//! is proposed: should the batch have to be proposed again, or sent to another node, it is copied like any other.
//!
//! Invariant: who has room is unsent, and no copy of it is in any log.

use bytes::Bytes;

use super::{Outbox, Waiter};
use crate::codec::put_varint;
use crate::command::ROOM_BYTES;
use crate::entry::{Batch, EntryBuilder};
use crate::op::put_actor;

/// What is known of batches that are one long op.
#[derive(Debug, Default)]
pub(super) struct Long {
    /// Their sequence numbers, and their buffers with the room.
    rooms: Vec<(u64, Bytes)>,
    /// The last entry was one of them, so that others come first if there are any.
    was_last: bool,
}

impl Outbox {
    /// As [`Outbox::push_op`], for an op that is a batch alone and lies in `buffer` behind [`ROOM_BYTES`] of room: it
    /// is not copied.
    pub fn push_long(&mut self, mut buffer: Vec<u8>, waiter: Waiter, since_us: u64) {
        self.seal();
        let mut actor = Vec::new();
        if !self.actor.is_plain() {
            put_actor(&mut actor, self.actor);
        }
        let op_bytes = actor.len() + buffer.len() - ROOM_BYTES;
        let mut head = Vec::new();
        put_varint(&mut head, op_bytes as u64);
        head.append(&mut actor);
        let start = ROOM_BYTES - head.len();
        buffer[start..ROOM_BYTES].copy_from_slice(&head);
        self.count(op_bytes, waiter, since_us);
        let whole = Bytes::from(buffer);
        let ops = whole.slice(start..);
        self.long.rooms.push((self.next_sequence, whole));
        self.seal_with(ops);
    }

    /// True while there may be a long op whose entry can be made where it lies.
    #[inline]
    pub fn has_long(&self) -> bool {
        !self.long.rooms.is_empty()
    }

    /// Unsent batches before the first one whose entry is to be made where it lies.
    #[inline]
    pub fn short_count(&self) -> usize {
        if self.has_long() {
            self.count_short()
        } else {
            usize::MAX
        }
    }

    #[cold]
    fn count_short(&self) -> usize {
        let mut unsent = self.unsent();
        unsent
            .position(|batch| self.room_of(batch).is_some())
            .unwrap_or(usize::MAX)
    }

    fn room_of(&self, batch: &Batch) -> Option<usize> {
        let mut rooms = self.long.rooms.iter();
        rooms.position(|(sequence, _)| *sequence == batch.first_sequence)
    }

    /// The batch that is to be proposed next, if its entry can be made where it lies.
    pub fn next_long(&self) -> Option<&Batch> {
        self.unsent().next().filter(|batch| self.room_of(batch).is_some())
    }

    /// Whether batches of others, if there are any, come before the next long one: every other time.
    pub fn gives_way(&mut self) -> bool {
        std::mem::take(&mut self.long.was_last)
    }

    /// Makes the entry of the next long batch, which begins as `entry` does. `None` if that needs more room than there
    /// is, or if somebody else holds the buffer: the batch has none any more and is copied.
    pub fn place(&mut self, entry: EntryBuilder) -> Option<Bytes> {
        let sealed = self.sealed.iter_mut().find(|sealed| !sealed.sent)?;
        let sequence = sealed.batch.first_sequence;
        let rooms = &mut self.long.rooms;
        let room = rooms.iter().position(|(of, _)| *of == sequence)?;
        let (_, whole) = rooms.swap_remove(room);
        let ops_bytes = sealed.batch.ops.len();
        let ops_start = whole.len() - ops_bytes;
        sealed.batch.ops = Bytes::new();
        let head = entry.finish_before(&sealed.batch, ops_bytes);
        let start = ops_start.checked_sub(head.len());
        let (whole, start) = match (start, whole.try_into_mut()) {
            (Some(start), Ok(mut whole)) => {
                whole[start..ops_start].copy_from_slice(&head);
                (whole.freeze(), Some(start))
            }
            (_, Ok(whole)) => (whole.freeze(), None),
            (_, Err(whole)) => (whole, None),
        };
        sealed.batch.ops = whole.slice(ops_start..);
        let start = start?;
        let entry = whole.slice(start..);
        self.long.rooms.push((sequence, whole));
        Some(entry)
    }

    /// The entry that was made last has been proposed.
    pub fn placed(&mut self) {
        self.long.was_last = true;
        self.forget_rooms();
    }

    /// Forgets the rooms of batches that have been sent or given up.
    #[cold]
    pub fn forget_rooms(&mut self) {
        let mut rooms = std::mem::take(&mut self.long.rooms);
        rooms.retain(|(sequence, _)| {
            let mut unsent = self
                .sealed
                .iter()
                .filter(|sealed| !sealed.sent && sealed.last_term == 0);
            unsent.any(|sealed| sealed.batch.first_sequence == *sequence)
        });
        self.long.rooms = rooms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Actor;
    use crate::codec::put_bytes;
    use crate::limits::REQUEST_OVERHEAD_BYTES;

    fn write(ticket: u64) -> Waiter {
        Waiter::Write {
            ticket,
            resp3: false,
            locals: Vec::new(),
        }
    }

    fn with_room(op: &[u8]) -> Vec<u8> {
        [&[0; ROOM_BYTES], op].concat()
    }

    #[test]
    fn a_long_op_is_a_batch_of_its_own_that_is_like_any_other() {
        let op = vec![7; 300];
        let mut outbox = Outbox::new(1, 1);
        outbox.push_op(b"before", write(1), 5);
        outbox.push_long(with_room(&op), write(2), 9);
        assert!(outbox.push_read((3, false), false, |out| out.push(1)));
        outbox.push_op(b"behind", write(4), 5);
        outbox.seal();
        let batches: Vec<_> = outbox.unsent().cloned().collect();
        let mut expected = Vec::new();
        put_bytes(&mut expected, &op);
        assert_eq!(batches[1].ops, expected);
        let sequences: Vec<_> = batches.iter().map(|batch| batch.first_sequence).collect();
        assert_eq!(sequences, [1, 2, 3]);
        assert_eq!(
            outbox.held().total(),
            6 + 300 + 1 + 6 + 4 * REQUEST_OVERHEAD_BYTES
        );
        assert_eq!(outbox.short_count(), 1);
        outbox.mark_sent(3, 1);
        outbox.forget_rooms();
        assert!(!outbox.has_long());
        let sealed = outbox.take_applied(2, &mut Vec::new()).expect("it was sealed");
        assert_eq!((sealed.waiters.len(), sealed.since_us), (2, 9));
    }

    /// The entry as it is built where the batch is copied.
    fn copied(outbox: &Outbox, before: &Batch) -> Vec<u8> {
        let mut entry = EntryBuilder::new(77, 0);
        entry.push(before);
        entry.push(outbox.unsent().next().expect("it waits"));
        entry.finish()
    }

    fn placed(outbox: &mut Outbox, before: &Batch) -> Option<Bytes> {
        let mut entry = EntryBuilder::new(77, 0);
        entry.push(before);
        outbox.place(entry)
    }

    fn batch_before(bytes: usize) -> Batch {
        Batch {
            node: 0,
            incarnation: 0,
            first_sequence: 0,
            count: 1,
            ops: Bytes::from(vec![3; bytes]),
        }
    }

    #[test]
    fn an_entry_made_in_place_is_the_entry_that_a_copy_makes() {
        for actor in [Actor::default(), Actor::of_numbers([3, 70_000])] {
            let mut outbox = Outbox::new(1, 1);
            outbox.set_actor(actor);
            let buffer = with_room(&[7; 300]);
            let place = buffer.as_ptr() as usize;
            outbox.push_long(buffer, write(1), 0);
            let before = batch_before(20);
            // Again, as where it was not taken.
            for _ in 0..2 {
                let expected = copied(&outbox, &before);
                let entry = placed(&mut outbox, &before).expect("there is room");
                assert_eq!(entry, expected);
                assert_eq!(copied(&outbox, &before), expected, "the batch is still there");
                let end = entry.as_ptr() as usize + entry.len();
                assert_eq!(end, place + ROOM_BYTES + 300, "nothing was copied");
            }
            outbox.mark_sent(1, 1);
            outbox.placed();
            assert!(!outbox.has_long() && outbox.gives_way() && !outbox.gives_way());
        }
    }

    #[test]
    fn what_finds_no_room_or_is_shared_is_left_to_be_copied() {
        let mut outbox = Outbox::new(1, 1);
        outbox.push_long(with_room(&[7; 300]), write(1), 0);
        assert_eq!(placed(&mut outbox, &batch_before(ROOM_BYTES)), None);
        assert!(!outbox.has_long() && outbox.unsent().next().is_some_and(|batch| batch.ops.len() == 302));
        let mut outbox = Outbox::new(1, 1);
        outbox.push_long(with_room(&[7; 300]), write(1), 0);
        let shared = outbox.next_long().expect("it waits").clone();
        assert_eq!(placed(&mut outbox, &batch_before(1)), None);
        assert_eq!(outbox.unsent().next(), Some(&shared));
    }
}
