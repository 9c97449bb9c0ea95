//! What takes several turns: reads such as KEYS, others with thousands of keys or a long value, and which ops do.
//!
//! Reads are executed one after the other, a slice per turn; a walk in the middle of one key that takes long
//! gives way to the others. While one that must see one state is under way
//! nothing is applied: the log goes on, is written and acknowledged, and only what becomes of it waits. Such reads and
//! entries take turns, so that neither waits for an end of the others. A walk does not hold apply up.
//!
//! Invariant: one that must see one state is not executed while an entry is partly applied, and no entry is
//! begun while it is executed.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::{Replica, fail};
use crate::acl::Actor;
use crate::command::{Command, is_short_and_long};
use crate::contract::{LongReply, Outputs, Spent, Ticket};
use crate::keyspace::{Keyspace, ScriptRights, Task, steps_of};
use crate::limits;
use crate::op::Op;
use crate::packed::Corrupt;
use crate::pieces::Pieces;
use crate::shares::Held;
use crate::time::Now;

/// A read under execution.
#[derive(Debug)]
pub struct SlowRead {
    client: (Ticket, bool),
    /// The encoded command.
    source: Bytes,
    /// Nothing for one that only waits.
    task: Option<Task>,
    reply: Pieces,
    /// By what its commands are judged, if it is a script.
    rights: ScriptRights,
    /// By whose rights it was let through: asked once more when it begins.
    actor: Actor,
    /// A slice of it was executed.
    has_begun: bool,
}

/// The connection that a ticket is of.
pub fn connection_of(ticket: Ticket) -> u32 {
    (ticket >> 32) as u32
}

impl SlowRead {
    /// Nothing of it is done.
    pub fn new(
        client: (Ticket, bool),
        command: &Command<'_>,
        source: Bytes,
        (actor, rights): (Actor, ScriptRights),
    ) -> Self {
        let mut task = Keyspace::begin(command, &source).alone();
        task.set_rights(&rights);
        Self {
            client,
            task: Some(task),
            rights,
            source,
            reply: Pieces::default(),
            actor,
            has_begun: false,
        }
    }

    /// It takes no longer than others, but stands behind one of its connection: it is executed anew when that one is
    /// done.
    pub fn behind_another(client: (Ticket, bool), source: Bytes, actor: Actor) -> Self {
        Self {
            client,
            task: None,
            rights: ScriptRights::default(),
            source,
            reply: Pieces::default(),
            actor,
            has_begun: false,
        }
    }

    fn stands_behind(&self) -> bool {
        self.task.is_none()
    }

    fn held_bytes(&self) -> usize {
        let task = self.task.as_ref().map_or(0, Task::held_bytes);
        self.source.len() + task + limits::REQUEST_OVERHEAD_BYTES
    }
}

/// All of them, in the order in which they are executed.
#[derive(Debug, Default)]
pub struct SlowReads {
    reads: VecDeque<SlowRead>,
    /// How many of each connection take long, and how many stand behind those.
    connections: BTreeMap<u32, [usize; 2]>,
    bytes: usize,
    /// An entry was begun since the last one that must see one state began: it is the turn of such a read.
    is_next: bool,
}

impl SlowReads {
    /// One more.
    pub fn push(&mut self, read: SlowRead) {
        self.bytes += read.held_bytes();
        let counts = self.connections.entry(connection_of(read.client.0)).or_default();
        counts[usize::from(read.stands_behind())] += 1;
        self.reads.push_back(read);
    }

    /// One more, in front of those that its connection has given in behind it.
    pub fn push_in_order(&mut self, read: SlowRead) {
        let ticket = read.client.0;
        let is_later = |other: &SlowRead| {
            let of = other.client.0;
            connection_of(of) == connection_of(ticket) && (of as u32).wrapping_sub(ticket as u32) as i32 > 0
        };
        let place = self.reads.iter().position(is_later);
        self.push(read);
        if let Some(place) = place
            && let Some(read) = self.reads.pop_back()
        {
            self.reads.insert(place, read);
        }
    }

    /// An entry is begun.
    pub fn entry_begun(&mut self) {
        self.is_next = true;
    }

    /// True if there is one of this ticket's connection.
    pub fn has_of(&self, ticket: Ticket) -> bool {
        !self.connections.is_empty() && self.connections.contains_key(&connection_of(ticket))
    }

    /// True if there is one that takes long.
    fn has_long_of(&self, ticket: Ticket) -> bool {
        let counts = self.connections.get(&connection_of(ticket));
        counts.is_some_and(|[long, _]| *long > 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.reads.len()
    }

    /// What they hold: the commands as they came, and what walks have compiled and copied.
    pub fn held(&self) -> Held {
        Held {
            reserved: 0,
            common: self.bytes,
        }
    }

    fn pop(&mut self) -> Option<SlowRead> {
        let read = self.reads.pop_front()?;
        self.bytes -= read.held_bytes();
        if let Entry::Occupied(mut counts) = self.connections.entry(connection_of(read.client.0)) {
            counts.get_mut()[usize::from(read.stands_behind())] -= 1;
            if *counts.get() == [0, 0] {
                counts.remove();
            }
        }
        Some(read)
    }

    /// True if no entry may be begun now: the first one sees one state until its end, or it is its turn to begin. One
    /// that stands behind a read which has given way is not executed before that one is, and holds up nothing.
    pub fn pins_state(&self) -> bool {
        self.reads.front().is_some_and(|read| match &read.task {
            Some(task) => !task.is_walk() && (read.has_begun || self.is_next),
            None => self.is_next && !self.has_long_of(read.client.0),
        })
    }

    /// True if the first one may go on, or begin.
    fn may_go_on(&self, (is_whole, is_applied): (bool, bool)) -> bool {
        self.reads.front().is_some_and(|read| match &read.task {
            Some(task) if task.is_walk() || read.has_begun => true,
            None if self.has_long_of(read.client.0) => true,
            _ => is_whole && (self.is_next || is_applied),
        })
    }

    /// The first one lets the others come first for a turn, if it is long by a single key.
    fn rotate(&mut self) {
        let gives_way = |read: &SlowRead| read.task.as_ref().is_some_and(Task::gives_way);
        if self.reads.front().is_some_and(gives_way) {
            self.reads.rotate_left(1);
        }
    }

    /// The state was replaced: what had begun begins again.
    pub fn restart(&mut self) {
        for read in &mut self.reads {
            if read.task.is_none() {
                continue;
            }
            let command = Command::decode(&mut &read.source[..]).expect("it was decoded before");
            self.bytes -= read.held_bytes();
            let mut task = Keyspace::begin(&command, &read.source).alone();
            task.set_rights(&read.rights);
            read.task = Some(task);
            read.has_begun = false;
            self.bytes += read.held_bytes();
            read.reply.clear();
        }
    }
}

impl Replica {
    /// Executes the slice of this turn.
    pub(super) fn run_slow_reads(&mut self, now: Now, outputs: &mut Outputs) {
        while self.read_steps > 0
            && self
                .slow
                .may_go_on((self.is_whole(), self.held.is_empty() || self.lease.holds()))
            && let Some(read) = self.slow.reads.front()
        {
            let (actor, client) = (read.actor, read.client);
            if !read.has_begun && self.has_lost_rights(actor) {
                fail(outputs, client.0, client.1, words::acl::RIGHTS_CHANGED);
                self.slow.pop();
                self.read_steps -= 1;
                continue;
            }
            let read = self.slow.reads.front_mut().expect("it was there above");
            let Some(task) = &mut read.task else {
                self.execute_behind(now, outputs);
                continue;
            };
            let begins = !std::mem::replace(&mut read.has_begun, true);
            // By what it is now: some see one state only in their first slices.
            let takes_turn = begins && !task.is_walk();
            if read.reply.len().max(task.found_bytes()) > limits::REPLY_BYTES_MAX {
                fail(outputs, read.client.0, read.client.1, words::REPLY_TOO_LONG);
                self.slow.pop();
                continue;
            }
            self.slow.is_next &= !takes_turn;
            let (before, found_bytes) = (self.read_steps, task.held_bytes());
            let mut writer = ReplyWriter::new(read.reply.room(), read.client.1);
            let steps = &mut self.read_steps;
            let is_done = self.keyspace.advance(task, steps, &mut writer, &mut |_, _| ());
            let steps = before - self.read_steps;
            let ticket = read.client.0;
            self.slow.bytes = self.slow.bytes - found_bytes + task.held_bytes();
            outputs.spent.push(Spent { ticket, steps });
            if !is_done {
                self.slow.rotate();
                return;
            }
            let read = self.slow.pop().expect("it is in front");
            outputs.long_replies.push(LongReply {
                ticket: read.client.0,
                pieces: read.task.and_then(Task::into_found).unwrap_or(read.reply),
                failures: Vec::new(),
            });
        }
    }

    /// Executes the first one, which stands behind others of its connection, if none of those is left.
    fn execute_behind(&mut self, now: Now, outputs: &mut Outputs) {
        let Some(read) = self.slow.pop() else { return };
        if self.slow.has_long_of(read.client.0) {
            // The one before it has given way.
            self.read_steps -= 1;
            return self.slow.push(read);
        }
        self.outbox.set_actor(read.actor);
        let command = Command::decode(&mut &read.source[..]).expect("it was decoded before");
        let before = outputs.reply_bytes.len();
        self.execute(now, read.client, (&command, &read.source), outputs);
        let steps = command.further_keys() + steps_of(outputs.reply_bytes.len() - before);
        self.read_steps = self.read_steps.saturating_sub(steps);
        if self.read_steps == 0 {
            self.slow.is_next = false;
        }
    }

    /// The op as a task, if it is too long to be executed at once.
    pub(super) fn task_of(
        &self,
        ops: &Bytes,
        (op, decoded): (&[u8], &Result<Op<'_>, Corrupt>),
        replies: bool,
    ) -> Option<Task> {
        let is_block = op.first() == Some(&Op::TRANSACTION_TAG);
        if !is_block && op.len() < limits::SLICE_STEPS && !is_short_and_long(op) {
            return None;
        }
        match decoded.as_ref().ok()? {
            // What is refused is answered at once.
            Op::Command(command) if self.refuses_command(command) => None,
            Op::Transaction(block) if self.refuses_transaction(block) => None,
            Op::Command(command) if self.keyspace.is_wide(command) && command.is_write() => {
                Some(Keyspace::begin(command, ops))
            }
            Op::Transaction(block) if self.keyspace.is_wide_block(block, op.len(), replies) => {
                self.keyspace.begin_block(block, ops)
            }
            _ => None,
        }
    }

    /// True when there is something to do that no input announces: give another turn soon, after what is
    /// ready to be read.
    pub fn has_work(&self) -> bool {
        let applies = self.applying.is_some() || !(self.held.is_empty() || self.lease.holds());
        let reads = self.slow.len() > 0 || self.reads.has_due();
        applies || reads || self.wants_reclaim() || self.can_make_room()
    }
}
