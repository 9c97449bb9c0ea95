//! Clients of all nodes that wait for keys, as the leader knows them: who comes first is served first.
//!
//! They are told over the peer links and are in no log; a new leader is told again. What the leader does put into the
//! log is [`crate::op::Serve`], in front of a batch that names a key somebody waits for (tried again behind each of its
//! ops), or alone, when something is there and somebody waits for it.
//!
//! Invariants: who is in an entry that is not applied ("offered") is in no queue, so nobody is in two; who may have
//! been served without its node knowing is not taken in again. After an entry whose offers found nothing, and for a
//! client that has just come, keys are looked at once everything is applied that was in the log by then: what comes
//! later is seen when it is proposed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::Replica;
use super::blocked::client_bytes;
use crate::acl::Actor;
use crate::command::{Call, Command};
use crate::contract::{Outputs, PeerId, Role, Send};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::message::{Message, WaiterChange};
use crate::op::{Op, Serve};

mod serve;

/// A client, by its node and its number there.
pub(super) type WaiterId = (PeerId, u64);
/// A key of a database.
pub(super) type Place = (u8, Bytes);

#[derive(Debug)]
struct Waiter {
    incarnation: u64,
    actor: Actor,
    command: Bytes,
    /// Place in every queue.
    order: u64,
    /// It has just come, and its keys were not looked at.
    is_first: bool,
    /// It is in an entry that is not applied.
    is_offered: bool,
    /// It is not to be served any more; its node waits to hear of it.
    is_cancelled: bool,
    /// The stream to its node is gone.
    is_lost: bool,
}

#[derive(Debug, Default)]
struct Node {
    incarnation: u64,
    /// Highest number that was told.
    latest: u64,
    /// Highest index at which one of its clients was served.
    served_index: u64,
    bytes: usize,
}

/// All of them; empty where this node does not lead.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    all: BTreeMap<WaiterId, Waiter>,
    queues: BTreeMap<Place, BTreeMap<u64, WaiterId>>,
    latest_order: u64,
    nodes: BTreeMap<PeerId, Node>,
    /// To be looked at when the index is applied.
    due_waiters: VecDeque<(u64, WaiterId)>,
    due_places: VecDeque<(u64, Place)>,
    /// Where the next sweep goes on.
    swept: Option<Place>,
    bytes: usize,
    /// Cancelled while they were offered, and decided since: of whom, and from which index on it is certain.
    decided: Vec<(WaiterId, u64)>,
}

/// Who is put into an entry that is being built.
#[derive(Clone, Debug, Default)]
pub(super) struct Offers {
    chosen: BTreeSet<WaiterId>,
    /// How far each queue was gone through.
    cursors: BTreeMap<Place, u64>,
    bytes: usize,
}

/// The keys that a command waits for, and all that it names.
fn places_of(command: &[u8], all: bool) -> Vec<Place> {
    let Some(call) = call_of(command) else {
        return Vec::new();
    };
    let mut keys = Keyspace::waited_keys(&call);
    if all {
        keys.clear();
        call.for_each_key(|key| keys.push(key));
    }
    let places = keys.into_iter().map(|key| (call.db, Bytes::copy_from_slice(key)));
    places.collect()
}

/// The call that an encoded command is, if it is one that waits.
pub(super) fn call_of(mut command: &[u8]) -> Option<Call<'_>> {
    match Command::decode(&mut command) {
        Ok(Command::Call(call)) if Keyspace::waits(&Command::Call(call)) && command.is_empty() => Some(call),
        _ => None,
    }
}

impl Waiters {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// This node leads no more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn queue(&mut self, id: WaiterId) {
        let waiter = &self.all[&id];
        let order = waiter.order;
        for place in places_of(&waiter.command, false) {
            self.queues.entry(place).or_default().insert(order, id);
        }
    }

    fn dequeue(&mut self, id: WaiterId) {
        let waiter = &self.all[&id];
        let order = waiter.order;
        for place in places_of(&waiter.command, false) {
            if let Some(queue) = self.queues.get_mut(&place) {
                queue.remove(&order);
                if queue.is_empty() {
                    self.queues.remove(&place);
                }
            }
        }
    }

    fn remove(&mut self, id: WaiterId) {
        self.dequeue(id);
        if let Some(waiter) = self.all.remove(&id) {
            let bytes = client_bytes(&waiter.command);
            self.bytes -= bytes;
            if let Some(node) = self.nodes.get_mut(&id.0) {
                node.bytes -= bytes;
            }
        }
    }

    /// The stream to a node is gone: none of its clients is served any more until it tells of them again.
    pub fn lose(&mut self, node: PeerId) {
        let ids = self.all.range((node, 0)..=(node, u64::MAX));
        for (id, is_offered) in ids
            .map(|(id, waiter)| (*id, waiter.is_offered))
            .collect::<Vec<_>>()
        {
            if is_offered {
                self.all.get_mut(&id).expect("it was just seen").is_lost = true;
            } else {
                self.remove(id);
            }
        }
    }

    /// A node is no member any more.
    pub fn forget(&mut self, node: PeerId) {
        let ids = self.all.range((node, 0)..=(node, u64::MAX));
        for id in ids.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.remove(id);
        }
        self.nodes.remove(&node);
    }

    /// A client of a node waits. False if the node has more of them than any may have.
    fn register(&mut self, id: WaiterId, new: Waiter, seen_index: u64) -> bool {
        if let Some(known) = self.all.get_mut(&id) {
            // It was lost and is here again; if it is in an entry, that decides first.
            known.is_lost = false;
            return true;
        }
        let node = self.nodes.entry(id.0).or_default();
        let bytes = client_bytes(&new.command);
        if node.bytes + bytes > limits::BLOCKED_BYTES_MAX {
            return false;
        }
        node.bytes += bytes;
        node.latest = node.latest.max(id.1);
        self.bytes += bytes;
        self.latest_order += 1;
        let order = self.latest_order;
        self.all.insert(id, Waiter { order, ..new });
        self.queue(id);
        self.due_waiters.push_back((seen_index, id));
        true
    }

    /// A client is not to be served any more: from which index on that is certain, if it is known now.
    /// Whoever is not known was served, or found nothing, by `decided` at the latest.
    fn cancel(&mut self, id: WaiterId, decided: u64) -> Option<u64> {
        match self.all.get_mut(&id) {
            None => Some(decided),
            // Who has just come is told that there is nothing only when somebody has looked.
            Some(waiter) if waiter.is_offered || waiter.is_first => {
                waiter.is_cancelled = true;
                None
            }
            Some(_) => {
                self.remove(id);
                Some(0)
            }
        }
    }

    /// An entry has put a client through: it was served at this index, or found nothing.
    pub fn decide(&mut self, id: WaiterId, (is_served, index): (bool, u64), last_index: u64) {
        let Some(waiter) = self.all.get_mut(&id) else {
            return;
        };
        let (is_cancelled, is_lost) = (waiter.is_cancelled, waiter.is_lost);
        waiter.is_offered = false;
        // Others may get what it has left, or what it has moved.
        for place in places_of(&waiter.command, true) {
            if self.queues.contains_key(&place) {
                self.due_places.push_back((last_index, place));
            }
        }
        if is_served && let Some(node) = self.nodes.get_mut(&id.0) {
            node.served_index = node.served_index.max(index);
        }
        if is_cancelled {
            self.decided.push((id, index));
        }
        if is_served || is_cancelled || is_lost {
            return self.remove(id);
        }
        self.queue(id);
        self.due_waiters.push_back((last_index, id));
    }

    fn offered(&mut self, id: WaiterId) {
        self.dequeue(id);
        if let Some(waiter) = self.all.get_mut(&id) {
            waiter.is_offered = true;
        }
    }

    /// These are in an entry that was proposed.
    pub fn proposed(&mut self, offers: &Offers) {
        offers.chosen.iter().for_each(|id| self.offered(*id));
    }

    fn encode(&self, id: WaiterId, out: &mut Vec<u8>) {
        let waiter = &self.all[&id];
        let serve = Serve {
            node: id.0,
            incarnation: waiter.incarnation,
            number: id.1,
            actor: waiter.actor,
            is_first: waiter.is_first,
            command: &waiter.command,
        };
        Op::Serve(serve).encode(out);
    }

    /// Chooses up to `count` clients that wait for a key, and whoever may get what these move on, for an entry.
    pub fn choose(&self, place: Place, count: usize, offers: &mut Offers) -> Vec<Vec<u8>> {
        let mut ops = Vec::new();
        let mut wanted = vec![(place, count)];
        while let Some((place, count)) = wanted.pop() {
            let Some(queue) = self.queues.get(&place) else {
                continue;
            };
            let from = offers.cursors.get(&place).map_or(0, |order| order + 1);
            let mut left = count;
            for (order, id) in queue.range(from..) {
                if left == 0
                    || offers.chosen.len() >= limits::OFFERS_MAX
                    || offers.bytes >= limits::OFFERS_BYTES_MAX
                {
                    break;
                }
                offers.cursors.insert(place.clone(), *order);
                if !offers.chosen.insert(*id) {
                    continue;
                }
                // Whoever only reads leaves everything to others.
                left -= usize::from(call_of(&self.all[id].command).is_none_or(|call| call.spec.is_write()));
                let mut op = Vec::new();
                self.encode(*id, &mut op);
                offers.bytes += op.len();
                ops.push(op);
                let moved = places_of(&self.all[id].command, true).into_iter();
                wanted.extend(moved.filter(|moved| *moved != place).map(|moved| (moved, 1)));
            }
        }
        ops
    }
}

impl Replica {
    /// A node tells of its clients that wait.
    pub(super) fn on_waiters(&mut self, from: PeerId, message: Message, outputs: &mut Outputs) {
        let Message::Waiters {
            term,
            applied,
            incarnation,
            changes,
        } = message
        else {
            return;
        };
        if self.consensus.role() != Role::Leader || self.consensus.term() != term {
            // It finds out, and tells whoever leads.
            return;
        }
        self.take_waiters((from, incarnation), applied, changes, outputs);
    }

    /// Takes in what a node, which has applied up to `applied`, tells of its clients.
    pub(super) fn take_waiters(
        &mut self,
        (from, incarnation): (PeerId, u64),
        applied: u64,
        changes: Vec<WaiterChange>,
        outputs: &mut Outputs,
    ) {
        if self
            .waiters
            .nodes
            .get(&from)
            .is_none_or(|node| node.incarnation != incarnation)
        {
            self.waiters.forget(from);
            let node = Node {
                incarnation,
                ..Node::default()
            };
            self.waiters.nodes.insert(from, node);
        }
        let (mut again, mut cancelled) = (None, Vec::new());
        // An entry that is partly applied may have served somebody: it decides when it is applied everywhere.
        let decided = self.applied + u64::from(self.applying.is_some());
        for change in changes {
            match change {
                WaiterChange::Cancel { number } => {
                    let index = self.waiters.cancel((from, number), decided);
                    cancelled.extend(index.map(|index| (number, index)));
                }
                WaiterChange::Register {
                    number,
                    actor,
                    is_first,
                    command,
                } => {
                    if call_of(&command).is_none() {
                        return self.refuse_peer(from, "a client that waits by no command", outputs);
                    }
                    let node = &self.waiters.nodes[&from];
                    if number <= node.latest && applied < node.served_index {
                        again = Some(node.served_index);
                        continue;
                    }
                    let waiter = Waiter {
                        incarnation,
                        actor,
                        command,
                        order: 0,
                        is_first,
                        is_offered: false,
                        is_cancelled: false,
                        is_lost: false,
                    };
                    let seen_index = self.consensus.last_index();
                    if !self.waiters.register((from, number), waiter, seen_index) {
                        return self.refuse_peer(from, "more waiting clients than a node may have", outputs);
                    }
                }
            }
        }
        self.answer_waiters(from, (again, cancelled), outputs);
    }

    fn answer_waiters(
        &mut self,
        to: PeerId,
        (again, cancelled): (Option<u64>, Vec<(u64, u64)>),
        outputs: &mut Outputs,
    ) {
        if to == self.settings.identity.peer {
            self.on_waiters_reply(again, &cancelled);
        } else if again.is_some() || !cancelled.is_empty() {
            outputs.sends.push(Send {
                to,
                message: Message::WaitersReply { again, cancelled }.encode(),
            });
        }
    }

    /// Tells nodes what became of clients that were cancelled while they were offered.
    fn tell_decided(&mut self, outputs: &mut Outputs) {
        let mut by_node: BTreeMap<PeerId, Vec<(u64, u64)>> = BTreeMap::new();
        for ((node, number), index) in std::mem::take(&mut self.waiters.decided) {
            by_node.entry(node).or_default().push((number, index));
        }
        for (node, cancelled) in by_node {
            self.answer_waiters(node, (None, cancelled), outputs);
        }
    }
}
