//! What a node keeps of who was refused and who changed something: ACL LOG, failed logins, the audit log.

use repligo_session::Call;
use serde_json::Value;

use super::acl_log::{AclLog, Reason, Refused};
use super::client::{describe_one, user_of};
use super::logins::{Address, Logins};
use super::{Client, Local};
use crate::telemetry::Metrics;
use crate::telemetry::audit::{Audit, Event, shown};

/// Characters of a user's name in a log line.
const NAME_CHARS_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Guard {
    /// ACL LOG.
    pub log: AclLog,
    /// Failed logins by address.
    pub logins: Logins,
    /// The audit log.
    pub audit: Audit,
}

impl Guard {
    /// A guard that has seen nothing; ACL LOG has at most so many entries.
    pub fn new(entries_max: usize) -> Self {
        Self {
            log: AclLog::new(entries_max),
            logins: Logins::default(),
            audit: Audit::default(),
        }
    }
}

/// A refusal, before it is known how its client is shown.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// Why.
    pub reason: Reason,
    /// What ACL LOG calls the object.
    pub object: &'a [u8],
    /// Who was refused, if that is not the user of the connection.
    pub user: Option<&'a [u8]>,
    /// Bytes of the arguments of the request.
    pub argument_bytes: usize,
}

/// A refusal as ACL LOG keeps it, and as metrics count it.
pub fn note_denial(
    guard: &mut Guard,
    metrics: &Metrics,
    client: Client<'_>,
    (denial, now): (Denial<'_>, repligo_core::time::Now),
) {
    let counter = match denial.reason {
        Reason::Auth => &metrics.denied_logins,
        Reason::Command => &metrics.denied_commands,
        Reason::Key => &metrics.denied_keys,
        Reason::Channel => &metrics.denied_channels,
    };
    counter.add(1);
    let mut line = String::new();
    describe_one(&mut line, client, denial.argument_bytes, now);
    guard.log.note(&Refused {
        reason: denial.reason,
        in_block: client.session.is_in_block(),
        object: denial.object,
        user: denial.user.unwrap_or_else(|| user_of(client.session)),
        client: line.trim_end(),
        wall_ms: now.wall_ms,
    });
}

/// Writes the audit line of a change of the users that is on its way into the log. No word that has a password, or
/// the hash of one, is shown.
pub fn audit_users(audit: &mut Audit, client: Client<'_>, call: Call<'_>, wall_us: u64) {
    if !audit.is_on() {
        return;
    }
    let rule = |rule: &[u8]| match rule.first() {
        Some(sign @ (b'>' | b'<' | b'#' | b'!')) => format!("{}(hidden)", char::from(*sign)).into(),
        _ => shown(rule),
    };
    let words = call.request.skip(1).iter().enumerate();
    let words: Vec<Value> = words
        .map(|(position, word)| if position < 2 { shown(word) } else { rule(word) })
        .collect();
    let event = Event {
        kind: "acl",
        outcome: "requested",
        user: user_of(client.session),
        address: &client.socket.endpoints.peer(),
        wall_us,
    };
    audit.tell(event, &[("change", words.into())]);
}

impl Local<'_> {
    /// From where this client comes.
    pub(super) fn address(&self) -> Address {
        Address::from(self.socket.endpoints)
    }

    /// Writes an audit line about this client.
    pub(super) fn audit(
        &mut self,
        (kind, outcome): (&'static str, &'static str),
        user: Option<&[u8]>,
        more: &[(&str, Value)],
    ) {
        let wall_us = self.node.wall_us();
        let audit = &mut self.node.guard().audit;
        if !audit.is_on() {
            return;
        }
        let event = Event {
            kind,
            outcome,
            user: user.unwrap_or_else(|| user_of(self.session)),
            address: &self.socket.endpoints.peer(),
            wall_us,
        };
        audit.tell(event, more);
    }

    /// This client has failed to log in as somebody.
    pub(super) fn login_failed(&mut self, word: &[u8], user: &[u8], argument_bytes: usize) {
        let (now, address) = (self.now(), self.address());
        let client = Client {
            session: self.session,
            socket: self.socket,
        };
        let denial = Denial {
            reason: Reason::Auth,
            object: word,
            user: Some(user),
            argument_bytes,
        };
        self.node.note_denial(client, denial);
        let untold = self.node.guard().logins.fail(address, now.mono_us);
        if let Some(count) = untold {
            let name = String::from_utf8_lossy(user);
            let name: String = name
                .chars()
                .take(NAME_CHARS_MAX)
                .flat_map(char::escape_debug)
                .collect();
            tracing::warn!(
                client = %self.socket.endpoints.peer(),
                user = %name,
                count,
                "login failed: wrong user or password (further failures of this address are counted, and told \
                 every ten seconds)"
            );
        }
        self.audit(("login", "refused"), Some(user), &[]);
    }
}
