//! What a host holds back of what its connections ask, and what it shows to others: CLIENT PAUSE and MONITOR.
//!
//! Both are rare, and no request may get slower for them: while neither is in force, the flag that says that nothing
//! of a connection is to be judged says that nothing of it is to be held back or shown, too.

use repligo_core::command;
use repligo_core::keyspace::Keyspace;
use repligo_proto::command::{CommandId, flag};
use repligo_proto::words;

use crate::execute::{reject, run};
use crate::input::Stall;
use crate::{Call, Flow, Host, Session, access, pubsub, tracking};

/// Which requests are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// None.
    #[default]
    None,
    /// Those that may change the data, or publish.
    Writes,
    /// All but those that log in, and those of CLIENT.
    All,
}

/// What is done with the requests of every connection of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrutiny {
    /// Which are held back.
    pub pause: Pause,
    /// What is executed is shown to somebody.
    pub is_monitored: bool,
}

impl Session {
    /// The host holds other requests back, or shows them, from this time on by its clock in microseconds. True if one
    /// that was held back is to be given in again.
    pub fn set_scrutiny(&mut self, scrutiny: Scrutiny, now_us: u64) -> bool {
        if self.scrutiny == scrutiny {
            return false;
        }
        self.scrutiny = scrutiny;
        self.update_free();
        let was_held = self.is_held();
        if was_held {
            self.stall = Stall::Output;
            // Its client was not idle: it was made to wait.
            self.active_us = now_us;
        }
        was_held
    }

    /// True while its next request is held back by CLIENT PAUSE.
    pub fn is_held(&self) -> bool {
        self.stall == Stall::Held
    }

    /// Shows its client what others ask, from now on.
    pub fn monitor(&mut self) {
        self.monitors = true;
    }

    /// True if its client is shown what others ask.
    pub fn is_monitor(&self) -> bool {
        self.monitors
    }

    /// True if its client is sent what it has not asked for.
    pub fn hears_others(&self) -> bool {
        self.is_subscribed() || self.monitors
    }
}

/// Executes a request of a connection of which not everything is simply executed.
#[cold]
pub(crate) fn execute<const LONG: bool>(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    if !session.is_free() {
        if let Some(flow) = access::admit(session, host, call) {
            // Its keys are none of its client's business, nor is what becomes of them.
            tracking::refused(session, call.spec);
            return flow;
        }
        tracking::before(session, host, call);
    }
    if session.monitors && (call.spec.is_data() || pubsub::publishes(call.spec.id)) {
        // It is told lines that could not be told from replies.
        return reject(
            session,
            host,
            Some(call.spec),
            words::watching::MONITOR_ASKS.as_bytes(),
        );
    }
    if is_held_back(session, host, call) {
        return Flow::Hold;
    }
    let flow = run::<LONG>(session, host, call);
    if session.scrutiny.is_monitored && !flow.is_later() && !call.spec.has(flag::ADMIN) {
        host.monitored(session, call);
    }
    flow
}

/// Whether the pause that is in force holds this request back.
fn is_held_back(session: &Session, host: &impl Host, call: Call<'_>) -> bool {
    match session.scrutiny.pause {
        Pause::None => false,
        // Whoever connects can log in, say who it is, look who has asked for the pause, and end it.
        Pause::All => !call.spec.has(flag::NO_AUTH) && !call.spec.name.starts_with("client|"),
        Pause::Writes => may_change(session, host, call),
    }
}

/// Whether a request may change the data, or is heard by others.
fn may_change(session: &Session, host: &impl Host, call: Call<'_>) -> bool {
    let Call { spec, request } = call;
    // A script that is only remembered changes no data, as in Redis.
    let called = request.try_get(1).unwrap_or_default();
    let reads = |keyspace: &Keyspace| keyspace.calls_reader(spec.name, called);
    if spec.name == "script|load" || host.keyspace().is_some_and(reads) {
        return false;
    }
    if spec.id == CommandId::Exec {
        return session.multi.as_deref().is_some_and(|multi| multi.changes_data());
    }
    // What a script says of itself, and what options say, counts only where Redis' own row calls it no write.
    let is_write = || match command::parse(spec, session.database, request) {
        Ok(command) => command.is_write(),
        Err(_) => false,
    };
    spec.has(flag::WRITE) || pubsub::publishes(spec.id) || spec.is_write() && is_write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriptions::{Kind, Subscriptions};

    #[test]
    fn only_who_waits_for_nothing_and_hears_nothing_is_idle() {
        let new = || Session::new(1, 0, 0, 1 << 20);
        assert!(new().is_idle(11, 10) && !new().is_idle(10, 10));
        let mut subscriber = new();
        subscriber.listen(&mut Subscriptions::default(), Kind::Channel, b"c");
        assert!(!subscriber.is_idle(11, 10));
        let mut monitor = new();
        monitor.monitor();
        assert!(!monitor.is_idle(11, 10));
    }

    #[test]
    fn who_was_held_back_was_not_idle() {
        let mut session = Session::new(1, 0, 0, 1 << 20);
        let paused = Scrutiny {
            pause: Pause::All,
            ..Scrutiny::default()
        };
        assert!(!session.set_scrutiny(paused, 1));
        session.stall = Stall::Held;
        assert!(!session.is_idle(1_000, 10));
        assert!(session.set_scrutiny(Scrutiny::default(), 1_000));
        assert!(!session.is_idle(1_010, 10) && session.is_idle(1_011, 10));
    }
}
