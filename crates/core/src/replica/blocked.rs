//! Clients of this node that wait for keys (BLPOP and its relatives), until they are served or told that they are not.
//!
//! The leader knows them by what it was told over the peer link ([`super::waiters`]); nothing of it is in the log. A
//! new leader is told again, but only when an entry of its term is applied here: then all that earlier leaders have
//! put into the log for these clients is known.
//!
//! Invariant: a client is told that it gets nothing only when nothing that is taken for it can be in the log behind
//! what is applied here: it was never registered, or the leader it was registered with has cancelled it and its place
//! is applied, or an entry of a newer term is applied. Where that cannot be known in time, the outcome is unknown.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use repligo_proto::words;

use super::waiters::call_of;
use super::{Replica, answer, fail};
use crate::acl::Actor;
use crate::bugs::Bug;
use crate::command::{Call, Command};
use crate::contract::{Outputs, Request, Role, Send, Ticket, Unblock};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::message::{Message, WaiterChange};
use crate::origin::Route;
use crate::time::Now;

/// A client that waits.
#[derive(Debug)]
struct Client {
    ticket: Ticket,
    resp3: bool,
    actor: Actor,
    command: Bytes,
    deadline_us: Option<u64>,
    /// Latest term in which the leader was told of it; 0 for never.
    term: u64,
    /// Set when it is to be told no more than what became of it.
    ending: Option<Ending>,
}

/// A client that is not to be served any more.
#[derive(Debug)]
struct Ending {
    how: Unblock,
    since_us: u64,
    /// Nothing is taken for it behind this index.
    index: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    latest: u64,
    clients: BTreeMap<u64, Client>,
    by_ticket: BTreeMap<Ticket, u64>,
    deadlines: BTreeSet<(u64, u64)>,
    endings: BTreeSet<u64>,
    /// Of whom the present leader is to be told something.
    untold: BTreeSet<u64>,
    /// It is told when this index is applied.
    told_from: u64,
    bytes: usize,
}

impl Blocked {
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// There is a new leader, or a new stream to it: it knows nothing.
    pub fn tell_again(&mut self) {
        self.untold = self.clients.keys().copied().collect();
    }

    fn remove(&mut self, number: u64) -> Option<Client> {
        let client = self.clients.remove(&number)?;
        self.by_ticket.remove(&client.ticket);
        if let Some(deadline_us) = client.deadline_us {
            self.deadlines.remove(&(deadline_us, number));
        }
        self.endings.remove(&number);
        self.untold.remove(&number);
        self.bytes -= client_bytes(&client.command);
        Some(client)
    }

    /// A client is served: its ticket and protocol, if it is still here.
    pub fn take(&mut self, number: u64) -> Option<(Ticket, bool)> {
        let client = self.remove(number)?;
        Some((client.ticket, client.resp3))
    }
}

/// About what a waiting client takes, here and at the leader alike.
pub(super) fn client_bytes(command: &[u8]) -> usize {
    let arguments = call_of(command).map_or(0, |call| call.arguments.len());
    limits::BLOCKED_OVERHEAD_BYTES + limits::BLOCKED_ARGUMENT_BYTES * arguments + 2 * command.len()
}

impl Replica {
    /// How many clients of this node wait for keys.
    pub fn blocked_clients(&self) -> usize {
        self.blocked.len()
    }

    /// Bytes of memory of clients that wait, those of other nodes included where this one leads.
    pub(super) fn blocked_bytes(&self) -> usize {
        self.blocked.bytes() + self.waiters.bytes()
    }

    /// A command that waits until one of its keys has something.
    pub(super) fn block(&mut self, now: Now, request: &Request<'_>, call: &Call<'_>, outputs: &mut Outputs) {
        let (ticket, resp3) = (request.ticket, request.resp3);
        let timeout_ms = match Keyspace::check_call(call).and_then(|()| Keyspace::timeout_ms(call)) {
            Ok(timeout_ms) => timeout_ms,
            Err(error) => {
                return answer(outputs, ticket, resp3, |writer| {
                    writer.error_bytes(error.as_bytes());
                });
            }
        };
        match self.settings.origin.clone().route(&Command::Call(*call)) {
            Route::Plain => {}
            Route::Refused(text) => return fail(outputs, ticket, resp3, &text),
            // Origins have no collections, so there is nothing else.
            Route::Read | Route::Write(_) => return fail(outputs, ticket, resp3, words::MALFORMED_OP),
        }
        let mut encoded = Vec::new();
        Command::Call(*call).encode(&mut encoded);
        self.wait(
            now,
            (ticket, resp3),
            (request.actor, encoded, timeout_ms),
            outputs,
        );
    }

    /// A read that waits, and found nothing in the state that it may be answered from. What is written behind that state
    /// is seen by the leader, which looks when it is told of the client.
    pub(super) fn block_read(
        &mut self,
        now: Now,
        client: (Ticket, bool),
        command: &Command<'_>,
        outputs: &mut Outputs,
    ) {
        let Command::Call(call) = command else {
            return fail(outputs, client.0, client.1, words::MALFORMED_OP);
        };
        let timeout_ms = Keyspace::timeout_ms(call).unwrap_or_default();
        let encoded = self.keyspace.resolved(call);
        let actor = self.outbox.actor();
        self.wait(now, client, (actor, encoded, timeout_ms), outputs);
    }

    /// A client waits from now on.
    fn wait(
        &mut self,
        now: Now,
        (ticket, resp3): (Ticket, bool),
        (actor, encoded, timeout_ms): (Actor, Vec<u8>, Option<u64>),
        outputs: &mut Outputs,
    ) {
        if !self.may_replicate(encoded.len(), (ticket, resp3), outputs) {
            return;
        }
        let bytes = client_bytes(&encoded);
        if self.blocked.bytes + bytes > limits::BLOCKED_BYTES_MAX {
            return fail(outputs, ticket, resp3, words::OVERLOADED);
        }
        let deadline_us = timeout_ms.map(|ms| now.mono_us.saturating_add(ms.saturating_mul(1_000)));
        let blocked = &mut self.blocked;
        blocked.latest += 1;
        blocked.bytes += bytes;
        let number = blocked.latest;
        blocked.by_ticket.insert(ticket, number);
        blocked.untold.insert(number);
        if let Some(deadline_us) = deadline_us {
            blocked.deadlines.insert((deadline_us, number));
        }
        let client = Client {
            ticket,
            resp3,
            actor,
            command: Bytes::from(encoded),
            deadline_us,
            term: 0,
            ending: None,
        };
        blocked.clients.insert(number, client);
    }

    /// A client is to wait no more, or is gone.
    pub(super) fn on_unblock(&mut self, now: Now, ticket: Ticket, how: Unblock, outputs: &mut Outputs) {
        if let Some(&number) = self.blocked.by_ticket.get(&ticket) {
            return self.end_waiting(now, number, how, outputs);
        }
        // A read that would wait, and has not been executed.
        if let Some(read) = self.reads.take(ticket) {
            tell_nothing(outputs, (ticket, read.resp3), (how, true));
        }
    }

    fn end_waiting(&mut self, now: Now, number: u64, how: Unblock, outputs: &mut Outputs) {
        let Some(client) = self.blocked.clients.get_mut(&number) else {
            return;
        };
        if let Some(ending) = &mut client.ending {
            // What it is told is decided; only one that is gone is told nothing.
            if how == Unblock::Gone {
                ending.how = how;
            }
            return;
        }
        client.ending = Some(Ending {
            how,
            since_us: now.mono_us,
            index: None,
        });
        if let Some(deadline_us) = client.deadline_us.take() {
            self.blocked.deadlines.remove(&(deadline_us, number));
        }
        self.blocked.endings.insert(number);
        self.blocked.untold.insert(number);
        self.end_if_certain(number, outputs);
    }

    /// Answers a client that gets nothing, if that is certain.
    fn end_if_certain(&mut self, number: u64, outputs: &mut Outputs) -> bool {
        let Some(client) = self.blocked.clients.get(&number) else {
            return true;
        };
        let Some(ending) = &client.ending else {
            return false;
        };
        let is_cancelled = ending.index.is_some_and(|index| index <= self.applied);
        let is_certain = client.term == 0 || client.term < self.applied_term || is_cancelled;
        // An entry that is partly applied may hold it.
        let is_certain = is_certain && self.applying.is_none();
        if !is_certain && !self.has(Bug::PopAfterNil) {
            return false;
        }
        let (how, was_told) = (ending.how, client.term != 0);
        if let Some(client) = self.blocked.take(number) {
            tell_nothing(outputs, client, (how, was_told));
        }
        true
    }

    /// Every turn: answers who is certain to get nothing.
    pub(super) fn end_certain(&mut self, outputs: &mut Outputs) {
        if self.blocked.endings.is_empty() {
            return;
        }
        for number in self.blocked.endings.clone() {
            self.end_if_certain(number, outputs);
        }
    }

    /// With every tick: whose time is up gets nothing, and whose outcome cannot be known is told so.
    pub(super) fn time_out_blocked(&mut self, now: Now, outputs: &mut Outputs) {
        while let Some(&(deadline_us, number)) = self.blocked.deadlines.first()
            && deadline_us <= now.mono_us
        {
            self.end_waiting(now, number, Unblock::Nothing, outputs);
            self.blocked.deadlines.remove(&(deadline_us, number));
        }
        let is_over = |since_us: u64| now.mono_us.saturating_sub(since_us) >= limits::FORWARD_HOLD_US;
        let clients = &self.blocked.clients;
        let ending = |number: &u64| clients[number].ending.as_ref();
        let given_up: Vec<u64> = self
            .blocked
            .endings
            .iter()
            .filter(|number| ending(number).is_some_and(|ending| is_over(ending.since_us)))
            .copied()
            .collect();
        for number in given_up {
            if let Some((ticket, resp3)) = self.blocked.take(number) {
                fail(outputs, ticket, resp3, words::UNKNOWN_IN_TIME);
            }
        }
    }

    /// A snapshot has skipped entries in which some may have been served.
    pub(super) fn give_up_blocked(&mut self, outputs: &mut Outputs) {
        let skipped = self.blocked.clients.iter().filter(|(_, client)| client.term != 0);
        let skipped: Vec<u64> = skipped.map(|(number, _)| *number).collect();
        for number in skipped {
            if let Some((ticket, resp3)) = self.blocked.take(number) {
                fail(outputs, ticket, resp3, words::UNKNOWN_SKIPPED);
            }
        }
    }

    /// Whoever leads, or the stream to them, is new.
    pub(super) fn tell_waiters_again(&mut self) {
        if !self.has(Bug::WaiterForgottenAtChange) {
            self.blocked.tell_again();
        }
        self.blocked.told_from = 0;
    }

    /// What the leader is to be told, if it may be told now.
    fn take_untold(&mut self) -> Vec<WaiterChange> {
        let term = self.consensus.term();
        // Then everything that earlier leaders have put into the log for them is known here.
        let is_current = self.applied_term == term && self.applied >= self.blocked.told_from;
        let mut changes = Vec::new();
        let mut kept = BTreeSet::new();
        for number in std::mem::take(&mut self.blocked.untold) {
            let Some(client) = self.blocked.clients.get_mut(&number) else {
                continue;
            };
            if client.ending.is_some() {
                if client.term == term {
                    changes.push(WaiterChange::Cancel { number });
                }
            } else if is_current {
                changes.push(WaiterChange::Register {
                    number,
                    actor: client.actor,
                    is_first: client.term == 0,
                    command: client.command.clone(),
                });
                client.term = term;
            } else {
                kept.insert(number);
            }
        }
        self.blocked.untold = kept;
        changes
    }

    /// Tells the leader, another node or this one, who waits and who does not any more.
    pub(super) fn tell_waiters(&mut self, outputs: &mut Outputs) {
        if self.blocked.untold.is_empty() {
            return;
        }
        let (me, incarnation) = (self.settings.identity.peer, self.settings.identity.incarnation);
        let (leader, term) = (self.consensus.leader(), self.consensus.term());
        if self.consensus.role() == Role::Leader {
            let changes = self.take_untold();
            self.take_waiters((me, incarnation), self.applied, changes, outputs);
        } else if self.peers.get(&leader).is_some_and(|peer| peer.connected) {
            let applied = self.applied;
            let changes = self.take_untold();
            if !changes.is_empty() {
                let message = Message::Waiters {
                    term,
                    applied,
                    incarnation,
                    changes,
                };
                outputs.sends.push(Send {
                    to: leader,
                    message: message.encode(),
                });
            }
        }
    }

    /// The leader has cancelled some, or wants to be told of all again.
    pub(super) fn on_waiters_reply(&mut self, again: Option<u64>, cancelled: &[(u64, u64)]) {
        if let Some(index) = again {
            self.blocked.told_from = self.blocked.told_from.max(index);
            self.blocked.tell_again();
        }
        for &(number, index) in cancelled {
            let client = self.blocked.clients.get_mut(&number);
            if let Some(ending) = client.and_then(|client| client.ending.as_mut()) {
                ending.index = Some(index);
            }
        }
    }
}

/// Nobody has looked at the keys of a client that no leader was told of, so it is not told that there is nothing.
fn tell_nothing(outputs: &mut Outputs, (ticket, resp3): (Ticket, bool), (how, was_told): (Unblock, bool)) {
    answer(outputs, ticket, resp3, |writer| match how {
        Unblock::Nothing if !was_told => writer.error(words::NO_LEADER_IN_TIME),
        Unblock::Nothing | Unblock::Gone => writer.null_array(),
        Unblock::Error => writer.error(words::UNBLOCKED),
    });
}
