//! How a process serves its clients: it hosts their sessions, as the worker of the shell does.

use std::collections::BTreeSet;

use bytes::Bytes;
use repligo_core::contract::{Input, Ticket, Unblock};
use repligo_session::Session;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Sessions;
use repligo_session::table::Connections;

use super::super::Context;
use super::super::network::Frame;
use super::super::queue::Micros;
use super::super::session::{Connection, ProcessHost, Tools};
use super::{Core, Effect, Process};
use crate::check::Violation;

/// The connections of a process, and which of them were handed something.
struct Reached<'a> {
    connections: &'a mut Connections<Connection>,
    pool: &'a mut BufferPool,
    slots: BTreeSet<u32>,
}

impl Sessions for Reached<'_> {
    fn reach(&mut self, slot: u32) -> Option<(&mut Session, &mut BufferPool)> {
        let connection = self.connections.get_mut(slot)?;
        self.slots.insert(slot);
        Some((&mut connection.session, self.pool))
    }
}

impl Process {
    /// Lets connections go on for whose requests there is room again.
    pub(super) fn call_waiting(&mut self, context: &mut Context) {
        if let Core::Running(replica) = &mut self.core {
            for &slot in replica.call_waiting() {
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.session.call();
                    self.due.push_back(slot);
                }
            }
        }
        self.settle(context);
    }

    /// Hands an answer to the connection in whose slot it was asked.
    pub(super) fn answer(&mut self, ticket: Ticket, encoded: &[u8], context: &mut Context) {
        match self.tickets.get_mut(&ticket) {
            Some(1) => drop(self.tickets.remove(&ticket)),
            Some(count) => *count -= 1,
            None => {
                context.fail(Violation {
                    check: "one answer per request",
                    subject: format!("node {} ticket {ticket}", self.me),
                    explanation: "it was answered twice, or never asked".to_owned(),
                });
                return;
            }
        }
        let slot = (ticket >> 32) as u32;
        self.host(slot, |connection, host, _| {
            connection.session.finish(host, ticket as u32, (None, encoded));
        });
        self.due.push_back(slot);
    }

    /// Runs the session in a slot, if there is one and a replica.
    fn host(&mut self, slot: u32, run: impl FnOnce(&mut Connection, &mut ProcessHost<'_>, &mut Tools)) {
        let Core::Running(replica) = &mut self.core else {
            return;
        };
        let Some(mut connection) = self.connections.take(slot) else {
            return;
        };
        let mut host = ProcessHost {
            replica,
            outputs: &mut self.outputs,
            subscriptions: &mut self.subscriptions,
            pool: &mut self.pool,
            origin: &self.starter.origin,
            now: self.now,
            turn: self.turn,
            waiting: &mut self.waiting,
            submitted: Vec::new(),
        };
        run(&mut connection, &mut host, &mut self.tools);
        for ticket in std::mem::take(&mut host.submitted) {
            *self.tickets.entry(ticket).or_default() += 1;
        }
        self.connections.put_back(connection);
    }

    /// Goes on with all connections for which something may have changed, until nothing does.
    pub(super) fn settle(&mut self, context: &mut Context) {
        while let Some(slot) = self.due.pop_front() {
            let before = self.tickets.len();
            loop {
                self.host(slot, |connection, host, tools| connection.go_on(host, tools));
                if !self.read_on(slot) {
                    break;
                }
            }
            context.steps += self.tickets.len().saturating_sub(before) as u64;
            self.hand_out(slot);
            self.take_outputs(context);
        }
    }

    fn hand_out(&mut self, slot: u32) {
        let may_close = self.send_remotely(slot);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let id = connection.id;
        if connection.remote.is_none()
            && let Some(bytes) = connection.take_output(&mut self.pool)
        {
            self.effects.push_back(Effect::Reply {
                connection: id,
                bytes,
            });
        }
        let session = &connection.session;
        let is_over = may_close && session.replies.waiting() == 0;
        if session.closing && (is_over || session.blocked().is_some()) {
            self.effects.push_back(Effect::Close { connection: id });
        }
    }

    /// Brings all connections to the users that the replica has now, if they have changed.
    pub(super) fn follow_users(&mut self, context: &mut Context) {
        let Core::Running(replica) = &self.core else {
            return;
        };
        let users = replica.users();
        if users.version() == self.users_seen {
            return;
        }
        self.users_seen = users.version();
        context.observe_users(self.me, users);
        for connection in self.connections.iter_mut() {
            if !connection.session.refresh(users) {
                // Who has asked something gets the answer first.
                connection.session.leave(&mut self.subscriptions);
                connection.session.closing = true;
                self.due.push_back(connection.session.slot);
            }
        }
    }

    /// Tells of what was done to keys, hands over what was published in this turn, and tells the other nodes, as the
    /// worker does.
    pub(super) fn deliver(&mut self) {
        if !matches!(self.core, Core::Running(_)) {
            return;
        }
        let mut frames: Vec<Frame> = Vec::new();
        frames.extend(
            self.subscriptions
                .take_changes()
                .into_iter()
                .map(Frame::Subscribed),
        );
        frames.extend(self.subscriptions.take_frames().into_iter().map(Frame::Published));
        for peer in std::mem::take(&mut self.untold) {
            let everything = self.subscriptions.everything().into_iter();
            let told = everything.map(|frame| Effect::Told(peer, Frame::Subscribed(frame)));
            self.effects.extend(told);
        }
        for frame in frames {
            let peers = self.streams.keys();
            self.effects
                .extend(peers.map(|peer| Effect::Told(*peer, frame.clone())));
        }
        let mut reached = Reached {
            connections: &mut self.connections,
            pool: &mut self.pool,
            slots: BTreeSet::new(),
        };
        if let (Core::Running(replica), true) = (&mut self.core, self.subscriptions.tracking().is_used()) {
            let tracking = self.subscriptions.tracking_mut();
            tracking.tell(&replica.take_changes(), &mut reached);
        }
        self.subscriptions.deliver(&mut reached, usize::MAX);
        for slot in reached.slots {
            self.hand_out(slot);
        }
    }

    pub(super) fn open(&mut self, id: (u32, u64)) -> u32 {
        let slot = self.connections.insert(|slot, first_sequence| {
            #[cfg_attr(
                not(feature = "bugs"),
                expect(unused_mut, reason = "bugs are planted into it")
            )]
            let mut connection = Connection::new(id, slot, first_sequence);
            #[cfg(feature = "bugs")]
            crate::bugs::plant_session(&mut connection.session);
            connection
        });
        self.slots.insert(id, slot);
        slot
    }

    /// Whether a client's connection has been sent all that follows from what was done here, and has received it.
    pub fn has_told_all(&self, id: (u32, u64), now: Micros) -> bool {
        let slot = self.slots.get(&id).copied();
        let connection = slot.and_then(|slot| self.connections.get(slot));
        self.is_between_turns()
            && connection.is_some_and(|connection| {
                let (last_reply_at, left) = self
                    .left(id)
                    .unwrap_or((connection.last_reply_at, connection.sent));
                let has_sent = connection.session.replies.pending_bytes() == 0 && left == connection.sent;
                last_reply_at < now && has_sent
            })
    }

    /// Whether it has such a connection.
    pub fn has_connection(&self, id: (u32, u64)) -> bool {
        self.slots.contains_key(&id)
    }

    pub(super) fn close(&mut self, id: (u32, u64), context: &mut Context) {
        let slot = self.slots.remove(&id);
        let Some(mut connection) = slot.and_then(|slot| self.connections.take(slot)) else {
            return;
        };
        let remote = connection.remote.take();
        self.abandon(id, remote);
        connection.session.leave(&mut self.subscriptions);
        if let Core::Running(replica) = &mut self.core
            && connection.session.waits_for_room()
        {
            replica.forget_connection(connection.session.slot);
        }
        self.connections.remove(&connection);
        if let Some(ticket) = connection.session.blocked() {
            self.step(Input::Unblock(ticket, Unblock::Gone), context);
        }
    }

    pub(super) fn take_requests(&mut self, id: (u32, u64), sent: (bool, Bytes), context: &mut Context) {
        let (opens, bytes) = sent;
        let Some(&slot) = self.slots.get(&id) else {
            // Else it was sent to a process that is gone.
            if opens {
                let slot = self.open(id);
                self.place((id, slot), bytes);
            }
            return;
        };
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.read(&bytes);
        }
        self.due.push_back(slot);
        self.settle(context);
    }
}
