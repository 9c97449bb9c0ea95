//! What leaves at the end of a step: proposals and lease rounds of a leader, forwarded batches and
//! questions of a follower.

use bytes::Bytes;

use super::Replica;
use super::flight::InFlight;
use super::inbound::Forwarded;
use super::reads::{Question, WaitingRead};
use super::serving::for_each_written;
use super::waiters::Offers;
use crate::acl::Actor;
use crate::codec::put_bytes;
use crate::contract::{Outputs, PeerId, ReadLevel, Role, Send};
use crate::entry::{Batch, EntryBuilder, SYSTEM_NODE, next_op};
use crate::limits;
use crate::message::Message;
use crate::op::{Op, holds_bookkeeping, is_bookkeeping};
use crate::shares::Part;
use crate::time::Now;

mod long;

/// Batches of one entry while disks are full.
const CONFINED_BATCHES_MAX: usize = 64;

impl Replica {
    /// Lets everything leave that may.
    pub(super) fn pump(&mut self, now: Now, outputs: &mut Outputs) {
        self.end_certain(outputs);
        self.tell_waiters(outputs);
        if self.outbox.has_long() {
            self.outbox.forget_rooms();
        }
        if self.consensus.role() == Role::Leader {
            self.propose_reclaim();
            self.serve_fresh_reads(now, outputs);
            // Of reads that go on to wait.
            self.tell_waiters(outputs);
            self.start_round_if_needed(now);
            self.pump_origin(now, outputs);
            if self.lease.serving() {
                self.serve_waiters(outputs);
                self.propose_waiting(now, outputs);
            }
        } else {
            self.pump_origin(now, outputs);
            self.outbox.seal();
            self.forward_to_leader(now, outputs);
        }
    }

    fn serve_fresh_reads(&mut self, now: Now, outputs: &mut Outputs) {
        if !self.reads.has_fresh() || !self.lease.valid(now.mono_us) {
            return;
        }
        let index = self.consensus.commit_index();
        self.reads.confirm_fresh(index);
        self.run_ready_reads(now, outputs);
        let peers = self.reads.take_peers();
        self.answer_peers(now, peers, index, outputs);
    }

    /// Tells followers a confirmed index. They judge expiry by shard time alone, so a deadline that has
    /// passed by this leader's clock is put into the log first: a read that started after it must not
    /// see the value.
    pub(super) fn answer_peers(&mut self, now: Now, peers: Vec<Question>, index: u64, outputs: &mut Outputs) {
        let earliest = self.keyspace.next_deadline();
        let is_early = |question: &Question| earliest.is_none_or(|deadline| question.arrived_ms < deadline);
        let (peers, late): (Vec<Question>, Vec<Question>) = peers.into_iter().partition(is_early);
        if !late.is_empty() {
            self.propose_due_deadlines(now);
            self.reads.put_back_peers(late);
        }
        // A round's index may be older than the time entry that settled a deadline.
        let index = index.max(self.applied);
        for Question {
            peer: to, context, ..
        } in peers
        {
            self.await_commit(Some(to), index);
            let message = Message::ReadIndexReply {
                context,
                index,
                time_ms: self.clock.estimate_ms(now),
            };
            outputs.sends.push(Send {
                to,
                message: message.encode(),
            });
        }
    }

    /// Rounds keep the lease alive; a read that found none waits for a round that starts after it.
    fn start_round_if_needed(&mut self, now: Now) {
        let reads_wait = self.reads.has_fresh() && self.lease.serving();
        if !self.consensus.committed_in_term() || !(reads_wait || self.lease.round_due(now.mono_us)) {
            return;
        }
        let context = self.draw_context();
        self.lease.start_round(context, now.mono_us);
        self.consensus.read_index(context);
        if self.lease.serving() {
            self.reads.asked(context, now.mono_us);
        }
    }

    /// Group commit: an entry costs its messages and its log writes whatever is in it, so when many clients
    /// write, an entry does not follow the last one at once but after a batching delay that grows with the load.
    /// Until when ops are held back, or `None` if what waits is to leave now.
    fn gathers_until(&self, now: Now) -> Option<u64> {
        let is_single = self.membership.is_alone();
        let until_us = self.flight.next_us();
        if is_single || !self.system.is_empty() || now.mono_us >= until_us {
            return None;
        }
        let (mut ops, mut bytes) = self.outbox.waiting();
        ops += self.inbound.ops();
        bytes += self.inbound.bytes();
        let few = (1..limits::GATHERED_OPS_MAX).contains(&ops) && bytes < limits::GATHERED_BYTES_MAX;
        few.then_some(until_us)
    }

    fn propose_waiting(&mut self, now: Now, outputs: &mut Outputs) {
        outputs.turn_at_us = self.gathers_until(now);
        self.note_held_back(false);
        if outputs.turn_at_us.is_some() {
            return;
        }
        self.outbox.seal();
        self.make_room();
        loop {
            if self.outbox.has_long() {
                match self.propose_long(now) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(_) => return,
                }
            }
            let Some((entry, taken)) = self.build_entry(now) else {
                break;
            };
            let stamped_ms = self.stamp(now);
            let bytes = entry.len();
            if self.consensus.propose(entry).is_err() {
                return;
            }
            self.note_proposed(now, (stamped_ms, bytes), &taken);
        }
        self.note_held_back(true);
    }

    #[inline]
    fn note_proposed(&mut self, now: Now, (stamped_ms, bytes): (u64, usize), taken: &Taken) {
        self.stamped_ms = stamped_ms;
        self.note_flight(now, taken);
        self.memory.proposed(bytes);
        self.waiters.proposed(&taken.offers);
        self.system.drain(..taken.system);
        self.outbox.mark_sent(taken.own, self.consensus.term());
        self.inbound.proposed(&taken.inbound);
        self.inbound.next_source = taken.next_source;
    }

    /// Sealed batches are here that have not been proposed.
    pub(super) fn waits_to_be_proposed(&self) -> bool {
        !self.inbound.is_empty() || self.outbox.unsent().next().is_some()
    }

    fn note_flight(&mut self, now: Now, taken: &Taken) {
        let queues = self.inbound.queues().zip(&taken.inbound);
        let served = queues.filter(|(_, count)| **count > 0);
        let waiting: Vec<PeerId> = served.map(|((node, _), _)| node).collect();
        self.flight.proposed(InFlight {
            index: self.consensus.last_index(),
            ops: taken.ops,
            waiting,
            proposed_us: now.mono_us,
            system: taken.system > 0,
        });
    }

    fn stamp(&self, now: Now) -> u64 {
        self.clock.estimate_ms(now).max(self.stamped_ms)
    }

    /// The next entry from what waits and finds room, and how much of it; nothing is taken out before it is
    /// proposed.
    fn build_entry(&self, now: Now) -> Option<(Vec<u8>, Taken)> {
        let waits = self.waits_to_be_proposed();
        if !waits && self.system.is_empty() {
            return None;
        }
        let own: usize = self.outbox.unsent().map(Batch::encoded_bytes_max).sum();
        let bytes = own + self.inbound.bytes() + 64;
        let confined = self.impeded && self.refuses_writes();
        let mut builder = EntryBuilder::new(self.stamp(now), bytes.min(limits::ENTRY_BYTES_MAX));
        let mut taken = Taken {
            system: self.system.len(),
            ops: self.system.len() as u64,
            ..Taken::default()
        };
        if confined {
            return self.build_confined(builder);
        }
        let full = waits && self.is_full();
        if let Some((batch, system)) = self.system_batch(full) {
            taken.system = system;
            builder.push(&batch);
        }
        self.take_turns(&mut builder, &mut taken);
        // A seed alone goes nowhere: what waits for room would propose one after the other.
        let batches = taken.own + taken.inbound.iter().sum::<usize>();
        let holds = full || taken.system + batches > 0;
        holds.then(|| (builder.finish(), taken))
    }

    /// The next entry while disks are full: nothing but what keeps time, of which the reserve holds plenty.
    fn build_confined(&self, mut builder: EntryBuilder) -> Option<(Vec<u8>, Taken)> {
        let mut taken = Taken::default();
        let system = self.system.iter().take_while(|op| is_bookkeeping(op));
        taken.system = system.count();
        taken.inbound = vec![0; self.inbound.queues().count()];
        if taken.system > 0 {
            let mut ops = Vec::new();
            let system = self.system.iter().take(taken.system);
            system.for_each(|op| put_bytes(&mut ops, op));
            builder.push(&system_batch(ops, taken.system as u64));
        }
        let own = self
            .outbox
            .unsent()
            .take_while(|batch| holds_bookkeeping(&batch.ops));
        for batch in own.take(CONFINED_BATCHES_MAX) {
            builder.push(batch);
            taken.own += 1;
            taken.ops += batch.count;
        }
        taken.ops += taken.system as u64;
        (taken.ops > 0).then(|| (builder.finish(), taken))
    }

    /// Fills an entry with batches of this node and its followers, one of each in turn, until the next one
    /// finds no room.
    fn take_turns(&self, builder: &mut EntryBuilder, taken: &mut Taken) {
        let mut own = self.outbox.unsent().take(self.outbox.short_count());
        let queues: Vec<&Forwarded> = self.inbound.queues().map(|(_, queue)| queue).collect();
        taken.inbound = vec![0; queues.len()];
        taken.next_source = self.inbound.next_source % (queues.len() + 1);
        let mut room = self.room_bytes();
        let mut empty = 0;
        while empty <= queues.len() && builder.len() < limits::ENTRY_BYTES_MAX {
            let follower = taken.next_source.checked_sub(1);
            let next = match follower {
                None => own.next(),
                Some(follower) => queues[follower].get(taken.inbound[follower]),
            };
            match next {
                Some(batch) => {
                    let bytes = batch.ops.len() as u64;
                    if bytes > room {
                        return;
                    }
                    room -= bytes;
                    if !self.waiters.is_empty() {
                        self.offer(batch, builder, &mut taken.offers);
                    }
                    builder.push(batch);
                    taken.ops += batch.count;
                    *follower.map_or(&mut taken.own, |follower| &mut taken.inbound[follower]) += 1;
                    empty = 0;
                }
                None => empty += 1,
            }
            taken.next_source = (taken.next_source + 1) % (queues.len() + 1);
        }
    }

    /// Puts who waits for what a batch may bring in front of it.
    fn offer(&self, batch: &Batch, builder: &mut EntryBuilder, offers: &mut Offers) {
        let (mut ops, mut count) = (Vec::new(), 0);
        let mut rest = &batch.ops[..];
        while let Ok(op) = next_op(&mut rest) {
            for_each_written(op, |place, most| {
                for serve in self.waiters.choose(place, most, offers) {
                    put_bytes(&mut ops, &serve);
                    count += 1;
                }
            });
        }
        if count > 0 {
            builder.push(&system_batch(ops, count));
        }
    }

    /// The batch that comes first in the next entry.
    pub(super) fn next_batch(&self) -> Option<&Batch> {
        let queues: Vec<&Forwarded> = self.inbound.queues().map(|(_, queue)| queue).collect();
        let sources = queues.len() + 1;
        let in_turn = (0..sources).map(|step| (self.inbound.next_source + step) % sources);
        in_turn
            .filter_map(|source| match source.checked_sub(1) {
                None => self.outbox.unsent().next(),
                Some(follower) => queues[follower].get(0),
            })
            .next()
    }

    /// The ops of no client, and how many of those that wait they are: what keys are hashed with is said in
    /// front of them, where this state does not hold it yet, and that there is no room behind them, for all
    /// that follows in the entry.
    fn system_batch(&self, full: bool) -> Option<(Batch, usize)> {
        let seeds = !self.keyspace.is_seeded();
        if self.system.is_empty() && !full && !seeds {
            return None;
        }
        // Rows that were loaded at once can come to more than an entry may hold.
        let (mut ops, mut system) = (Vec::new(), 0);
        if seeds {
            let mut op = Vec::new();
            Op::HashSeed(self.settings.hash_seed).encode(&mut op);
            put_bytes(&mut ops, &op);
        }
        for op in &self.system {
            if ops.len() >= limits::ENTRY_BYTES_MAX {
                break;
            }
            put_bytes(&mut ops, op);
            system += 1;
        }
        if full {
            let mut op = Vec::new();
            Op::MemoryFull.encode(&mut op);
            put_bytes(&mut ops, &op);
        }
        let count = system as u64 + u64::from(full) + u64::from(seeds);
        Some((system_batch(ops, count), system))
    }

    /// Deadlines fall due on an idle shard too.
    pub(super) fn propose_due_deadlines(&mut self, now: Now) {
        if !self.lease.serving() {
            return;
        }
        let deadlines = [self.keyspace.next_deadline(), self.lanes.next_deadline_ms()];
        let earliest = deadlines.into_iter().flatten().min();
        let due = earliest.filter(|&deadline| deadline <= self.clock.estimate_ms(now));
        let is_new = due.is_some_and(|deadline| deadline > self.stamped_ms);
        if is_new || self.has_overdue_writes() {
            self.propose_time();
        }
    }

    /// True when a write to an origin waits longer than it may, and no entry is on its way that would answer it: an
    /// origin that is found to be down shortens the wait, so that a deadline can come to lie before the last entry.
    fn has_overdue_writes(&self) -> bool {
        let is_idle = self.applied == self.consensus.log().last_index();
        let is_over = |deadline_ms| deadline_ms <= self.keyspace.time_ms();
        is_idle && self.lanes.next_deadline_ms().is_some_and(is_over)
    }

    /// Every entry removes a bounded number of expired keys. While some are left, there is always one on
    /// its way.
    fn propose_reclaim(&mut self) {
        if self.wants_reclaim() {
            self.propose_time();
        }
    }

    /// True when expired keys wait for an entry and there is none on its way.
    pub(super) fn wants_reclaim(&self) -> bool {
        let idle = self.applied == self.consensus.log().last_index();
        self.keyspace.has_expired_keys() && self.lease.serving() && idle
    }

    fn propose_time(&mut self) {
        if self.system.is_empty() {
            let mut op = Vec::new();
            Op::Time.encode(&mut op);
            self.system.push_back(op);
        }
    }

    fn forward_to_leader(&mut self, now: Now, outputs: &mut Outputs) {
        let leader = self.consensus.leader();
        if !self.peers.get(&leader).is_some_and(|peer| peer.connected) {
            return;
        }
        self.forward_batches(leader, outputs);
        if self.reads.has_fresh() {
            let context = self.draw_context();
            self.reads.asked(context, now.mono_us);
            outputs.sends.push(Send {
                to: leader,
                message: Message::ReadIndex { context }.encode(),
            });
        }
    }

    fn forward_batches(&mut self, leader: PeerId, outputs: &mut Outputs) {
        let term = self.consensus.term();
        loop {
            let mut batches = Vec::new();
            let mut bytes = 0;
            for batch in self.outbox.unsent() {
                if bytes >= limits::ENTRY_BYTES_MAX {
                    break;
                }
                bytes += batch.ops.len();
                batches.push(batch.clone());
            }
            if batches.is_empty() {
                return;
            }
            self.outbox.mark_sent(batches.len(), term);
            outputs.sends.push(Send {
                to: leader,
                message: Message::Forward { term, batches }.encode(),
            });
        }
    }

    /// A restarted replica serves nothing before it has applied an index that the leader confirmed
    /// after the restart: it asks like a read does.
    pub(super) fn confirm_state(&mut self, now: Now) {
        if self.confirming || self.confirmed {
            return;
        }
        self.confirming = true;
        self.reads.push(WaitingRead {
            ticket: None,
            resp3: false,
            command: Vec::new(),
            level: ReadLevel::Linearizable,
            after: None,
            since_us: now.mono_us,
            part: Part::Common,
            actor: Actor::default(),
        });
    }
}

/// So many ops of no client.
fn system_batch(ops: Vec<u8>, count: u64) -> Batch {
    Batch {
        node: SYSTEM_NODE,
        incarnation: 0,
        first_sequence: 0,
        count,
        ops: Bytes::from(ops),
    }
}

/// How much of what waits went into an entry.
#[derive(Clone, Debug, Default)]
struct Taken {
    system: usize,
    own: usize,
    /// For each follower, in the order of [`super::inbound::Inbound::queues`].
    inbound: Vec<usize>,
    ops: u64,
    next_source: usize,
    offers: Offers,
}
