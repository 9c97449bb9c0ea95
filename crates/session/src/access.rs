//! Who a connection is, and what it may do: judged where a request arrives.
//!
//! A connection that may do everything as the default user as it starts is never judged: one flag says so. Every
//! other request is judged by the user that the connection logged in as, as this node has it, and carries that user
//! along, so that it is judged again where it is executed if the users have changed until then.

use std::sync::Arc;

use repligo_core::acl::{Actor, Denied, Profile, User, Users};
use repligo_core::contract::ReadLevel;
use repligo_proto::command::{CommandId, Spec, flag, resolve};
use repligo_proto::resp::{ArgSlice, OwnedRequest};
use repligo_proto::words;

use crate::execute::reject;
use crate::{Call, Flow, Host, Session, pubsub};

/// As whom a connection is logged in.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `None`: the default user as every cluster begins with it.
    user: Option<Arc<User>>,
    actor: Actor,
    /// The user may do everything.
    is_unrestricted: bool,
    /// The level of reads that it asked for with its login.
    level: Option<ReadLevel>,
}

impl Access {
    /// The level of reads of a connection that has asked for this one since, or for none.
    pub(crate) fn read_level(&self, asked: Option<ReadLevel>) -> ReadLevel {
        self.profile().read_level(asked.or(self.level))
    }

    /// What its reads never go below.
    pub(crate) fn read_floor(&self) -> ReadLevel {
        self.profile().floor()
    }

    fn profile(&self) -> Profile {
        self.user.as_ref().map(|user| user.profile()).unwrap_or_default()
    }
}

impl Session {
    /// As whom it is logged in; `None` for the default user as every cluster begins with it.
    pub fn user(&self) -> Option<&User> {
        self.access.user.as_deref()
    }

    /// By whose rights its requests are let through.
    #[inline]
    pub(crate) fn actor(&self) -> Actor {
        self.access.actor
    }

    /// Makes it a connection of this user, which has shown that it may be. If it was shown what others ask, and this
    /// user may not be, it is shown nothing more. It reads as its user does unless it has said otherwise.
    pub fn log_in(&mut self, users: &Users, user: &Arc<User>) {
        self.log_in_at(users, user, None);
    }

    /// The same; it asks for this level of reads instead of that of its user, until it logs in again.
    pub fn log_in_at(&mut self, users: &Users, user: &Arc<User>, level: Option<ReadLevel>) {
        self.monitors = self.monitors && self.may_monitor(user);
        self.access = Access {
            actor: users.actor(user),
            is_unrestricted: user.is_unrestricted(),
            user: Some(Arc::clone(user)),
            level,
        };
        self.set_authenticated(true);
        self.update_level();
    }

    /// The users have changed. False if the connection is to end: its user is gone, and it may do nothing any more,
    /// or it listens to a channel that is its user's no longer, and may have missed a message.
    pub fn refresh(&mut self, users: &Users) -> bool {
        let user = match &self.access.user {
            None => Some(users.default_user()),
            Some(user) => users.get(user.name()).filter(|now| now.is_same(user)),
        };
        let Some(user) = user.cloned() else {
            self.access = Access::default();
            self.set_authenticated(false);
            self.update_level();
            return false;
        };
        let may_stay = self.may_listen(&user) && (!self.monitors || self.may_monitor(&user));
        if self.is_authenticated() {
            self.log_in_at(users, &user, self.access.level);
        }
        may_stay
    }

    /// Whether its user may still be shown what others ask.
    fn may_monitor(&self, user: &User) -> bool {
        const WORDS: [&str; 1] = ["monitor"];
        let request = OwnedRequest::new(WORDS);
        let row = resolve(request.view());
        user.is_unrestricted() || row.is_ok_and(|row| user.judge(row, request.view()).is_ok())
    }

    /// Whether its user may run this command with these words.
    pub(crate) fn judge(&self, spec: &Spec, request: ArgSlice<'_>) -> Result<(), Denied> {
        match &self.access.user {
            Some(user) if !self.access.is_unrestricted => user.judge(spec, request),
            _ => Ok(()),
        }
    }

    /// True if everything that it asks is let through by rights that cover everything.
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.access.is_unrestricted || self.access.user.is_none()
    }
}

/// Judges a request of a connection that may not do everything: `None` if it may go on.
#[cold]
pub(crate) fn admit(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Option<Flow> {
    let Call { spec, request } = call;
    let restricted = session.is_restricted() && !pubsub::is_for_subscribers(spec.id);
    let only = || words::pubsub::only_for_subscribers(spec.name);
    if spec.has(flag::NO_AUTH) {
        return restricted.then(|| reject(session, host, Some(spec), only().as_bytes()));
    }
    let text = if !session.is_authenticated() {
        words::NO_AUTH.as_bytes().to_vec()
    } else {
        match session.judge(spec, request) {
            Ok(()) if restricted => only().into_bytes(),
            Ok(()) => return None,
            Err(denied) => {
                host.denied(session, call, denied);
                refusal(spec, denied)
            }
        }
    };
    if spec.id == CommandId::Exec {
        if session.is_authenticated() {
            // A refused EXEC ends its transaction, as in Redis.
            session.multi = None;
        }
        return Some(reject(
            session,
            host,
            Some(spec),
            &words::exec_abort_because(&text),
        ));
    }
    Some(reject(session, host, Some(spec), &text))
}

/// The error of a refused request.
fn refusal(spec: &Spec, denied: Denied) -> Vec<u8> {
    match denied {
        Denied::Command => words::acl::no_command_permission(spec.name).into_bytes(),
        Denied::Key(_) => words::acl::NO_KEY_PERMISSION.as_bytes().to_vec(),
        Denied::Channel(_) => words::pubsub::NO_CHANNEL_PERMISSION.as_bytes().to_vec(),
    }
}

/// The error of an item of a block that was allowed when it was queued.
pub(crate) fn late_refusal(denied: Denied) -> Vec<u8> {
    let reason = match denied {
        Denied::Command => words::acl::NO_LONGER_COMMAND,
        Denied::Key(_) => words::acl::NO_LONGER_KEY,
        Denied::Channel(_) => words::acl::NO_LONGER_CHANNEL,
    };
    words::acl::no_longer_allowed(reason).into_bytes()
}

#[cfg(test)]
mod tests {
    use repligo_core::acl::UserChange;
    use repligo_proto::reply::ReplyWriter;

    use super::*;

    fn apply(users: &mut Users, change: &UserChange<'_>) {
        let mut reply = Vec::new();
        users.apply(change, &mut ReplyWriter::new(&mut reply, false));
        assert_ne!(reply.first(), Some(&b'-'), "{}", reply.escape_ascii());
    }

    fn set(users: &mut Users, rules: &[&str]) {
        let rules = rules.iter().map(|rule| rule.as_bytes()).collect();
        apply(users, &UserChange::Set { name: b"u", rules });
    }

    #[test]
    fn a_connection_follows_its_user_and_not_another_of_that_name() {
        let mut users = Users::default();
        set(&mut users, &["on", "nopass", "~*", "+@all"]);
        let mut session = Session::new(1, 0, 0, 1 << 20);
        session.log_in(&users, &users.get(b"u").expect("made above").clone());
        set(&mut users, &["-set"]);
        assert!(session.refresh(&users) && session.is_authenticated());
        // Deleted and made anew, both between two looks.
        apply(&mut users, &UserChange::Delete { names: vec![b"u"] });
        set(&mut users, &["on", "nopass", "~*", "+@all"]);
        assert!(!session.refresh(&users));
        assert!(!session.is_authenticated() && session.user().is_none());
    }

    #[test]
    fn a_connection_reads_as_its_user_does_unless_it_has_asked_for_a_level() {
        use ReadLevel::{Eventual, Linearizable};
        let mut users = Users::default();
        set(&mut users, &["on", "nopass", "~*", "+@all", "read=eventual"]);
        let user = |users: &Users| users.get(b"u").expect("made above").clone();
        let mut session = Session::new(1, 0, 0, 1 << 20);
        session.log_in(&users, &user(&users));
        assert_eq!(session.read_level(), Eventual);
        // A change of the profile holds for whoever is connected and has said nothing.
        set(&mut users, &["read=linearizable"]);
        assert!(session.refresh(&users));
        assert_eq!(session.read_level(), Linearizable);
        session.ask_for_level(Eventual);
        assert_eq!(session.read_level(), Eventual);
        // A floor holds for those, too, and leaves what they have asked for to what comes behind it.
        set(&mut users, &["read-floor=linearizable"]);
        assert!(session.refresh(&users));
        assert_eq!(session.read_level(), Linearizable);
        set(&mut users, &["read-floor=eventual"]);
        assert!(session.refresh(&users));
        assert_eq!(session.read_level(), Eventual);
        session.reset();
        assert_eq!(session.read_level(), Linearizable);
        // What is asked for with a login holds until the next one, and over changes of the user.
        session.log_in_at(&users, &user(&users), Some(Eventual));
        assert!(session.refresh(&users));
        assert_eq!(session.read_level(), Eventual);
        session.ask_for_level(Linearizable);
        assert_eq!(session.read_level(), Linearizable);
        session.reset();
        set(&mut users, &["read=eventual"]);
        session.log_in_at(&users, &user(&users), Some(Linearizable));
        assert_eq!(session.read_level(), Linearizable);
        session.log_in(&users, &user(&users));
        assert_eq!(session.read_level(), Eventual);
        apply(&mut users, &UserChange::Delete { names: vec![b"u"] });
        assert!(!session.refresh(&users));
        assert_eq!(session.read_level(), Linearizable);
    }

    #[test]
    fn whoever_logs_in_as_a_user_that_may_not_monitor_is_shown_nothing_more() {
        let mut users = Users::default();
        set(&mut users, &["on", "nopass", "~*", "+@all"]);
        let mut session = Session::new(1, 0, 0, 1 << 20);
        session.monitor();
        session.log_in(&users, &users.get(b"u").expect("made above").clone());
        assert!(session.is_monitor());
        set(&mut users, &["-monitor"]);
        session.log_in(&users, &users.get(b"u").expect("made above").clone());
        assert!(!session.is_monitor());
        // Who loses the right while monitoring is disconnected.
        let mut session = Session::new(2, 0, 0, 1 << 20);
        set(&mut users, &["+monitor"]);
        session.log_in(&users, &users.get(b"u").expect("made above").clone());
        session.monitor();
        assert!(session.refresh(&users));
        set(&mut users, &["-monitor"]);
        assert!(!session.refresh(&users));
    }
}
