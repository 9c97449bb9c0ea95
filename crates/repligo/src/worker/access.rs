//! The users as this node's connections see them, and what of them is the node's own: `requirepass`.
//!
//! Invariant: after every input that may have applied a change of the users, and before anything else of a connection
//! is executed, every connection is judged by the new ones.

use repligo_core::acl::Users;
use repligo_core::replica::Replica;
use repligo_session::Session;

use super::Worker;
use super::connection::Connection;
use crate::session::{is_open, own_password, password_hash};
use crate::telemetry::audit::Event;

/// The users, and how this node's connections follow them.
#[derive(Debug, Default)]
pub struct Access {
    /// Those that hold while there is no replica.
    initial: Users,
    /// Changes that all connections have seen.
    seen: u32,
    /// It was said that the log has taken the place of `requirepass`.
    is_replaced: bool,
}

impl Worker {
    /// All users as this node has them.
    #[inline]
    pub fn users(&self) -> &Users {
        match &self.replica {
            Some(replica) => replica.users(),
            None => &self.access.initial,
        }
    }

    /// Makes a session that of somebody who has just connected.
    pub fn begin_session(&mut self, session: &mut Session) {
        let users = self.users();
        if is_open(users.default_user(), &self.parameters) {
            session.log_in(users, users.default_user());
        } else {
            self.expect_login(session);
            session.set_authenticated(false);
        }
    }

    /// Logs a connection in as the user that its certificate names, if there is such a user and it may log in.
    pub(super) fn begin_certified(&mut self, connection: &mut Connection) {
        let Some(name) = connection.io.certified_user() else {
            return;
        };
        let wall_us = self.clock.wall_us();
        let users = match &self.replica {
            Some(replica) => replica.users(),
            None => &self.access.initial,
        };
        let user = users.get(name).filter(|user| user.is_enabled());
        let event = Event {
            kind: "login",
            outcome: if user.is_some() { "ok" } else { "refused" },
            user: name,
            address: &connection.io.endpoints.peer(),
            wall_us,
        };
        self.guard.audit.tell(event, &[("by", "certificate".into())]);
        if let Some(user) = user {
            connection.session.log_in(users, user);
        }
    }

    /// Brings all connections to the users that the replica has now, if they have changed.
    #[inline]
    pub(super) fn follow_users(&mut self) {
        let version = self
            .replica
            .as_ref()
            .map_or(0, |replica| replica.users().version());
        if version != self.access.seen {
            self.refresh_sessions(version);
        }
    }

    #[cold]
    fn refresh_sessions(&mut self, version: u32) {
        let Some(users) = self.replica.as_ref().map(Replica::users) else {
            return;
        };
        let mut refreshed = 0;
        for connection in self.connections.iter_mut() {
            refreshed += 1;
            if connection.session.refresh(users) {
                continue;
            }
            connection.session.leave(&mut self.subscriptions);
            // Who has asked something gets the answer first: perhaps it has deleted itself.
            if connection.session.replies.waiting() > 0 {
                connection.close_gently();
            } else {
                connection.kill();
            }
        }
        let default = users.default_user();
        let is_unused = |own: &[u8]| {
            default.is_told()
                && own_password(default, &self.parameters).is_none()
                && !default.has_password(&password_hash(own))
        };
        let is_replaced = self.parameters.password().is_some_and(is_unused);
        if is_replaced && !self.access.is_replaced {
            tracing::warn!(
                "requirepass of this node is not asked of anybody: ACL SETUSER has put other passwords of the user \
                 `default` into the log, which hold on every node; log in with one of those"
            );
        }
        self.access.is_replaced = is_replaced;
        // One that is being executed follows when it is back.
        if refreshed == self.connections.len() {
            self.access.seen = version;
        }
    }
}
