//! ACL SETUSER and DELUSER: changes of the users, on their way into the log.
//!
//! Invariants: a password leaves here as its hash; one that is added takes that of the node not away; nothing else of
//! the connection is executed until the change is answered, so that all that follows is judged by it.

use repligo_core::acl::{DEFAULT_USER, PasswordHash, UserChange, digits_of, merge_selectors};
use repligo_core::contract::Body;
use repligo_proto::command::CommandId;
use repligo_proto::words;

use crate::data::{self, Slot};
use crate::order::Kind;
use crate::replies::Shape;
use crate::{Call, Flow, Host, Session};

/// True for a command that changes the users.
pub(crate) fn changes_users(id: CommandId) -> bool {
    matches!(id, CommandId::AclSetUser | CommandId::AclDelUser)
}

/// Gives a change of the users in.
pub(crate) fn change(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) -> Flow {
    if let Some(refusal) = host.refusal() {
        session.reply(out).error(refusal);
        return Flow::Done;
    }
    if session.unanswered().admits(Kind::Write, host.turn()).is_none() {
        return Flow::Wait;
    }
    let (name, words) = (call.request.get(2), call.request.skip(2));
    let rules;
    let change = if call.spec.id == CommandId::AclDelUser {
        UserChange::Delete {
            names: words.iter().collect(),
        }
    } else {
        let prepared = merge_selectors(words.skip(1).iter()).map(|rules| {
            let hashed = rules
                .into_iter()
                .map(|rule| hashed(rule, &|password| host.hash(password)));
            keeping_own(name, hashed.collect(), host)
        });
        let checked = prepared.and_then(|rules| {
            let users = host.users();
            users.check(name, rules.iter().map(Vec::as_slice)).map(|()| rules)
        });
        rules = match checked {
            Ok(rules) => rules,
            Err(text) => {
                session.reply(out).error_bytes(&text);
                return Flow::Done;
            }
        };
        UserChange::Set {
            name,
            rules: rules.iter().map(Vec::as_slice).collect(),
        }
    };
    if !data::admits(session, host, session.request_bytes) {
        return Flow::Pause;
    }
    let shape = match session.is_silent() {
        true => Shape::Silent,
        false => Shape::Plain,
    };
    let ticket = data::submit(session, host, Slot::of(call, shape), Body::Users(&change));
    host.changes_users(session, call);
    host.submitted(ticket, session, call);
    #[cfg(feature = "bugs")]
    if session.has(crate::bugs::Bug::ChangeHoldsNothingBack) {
        return Flow::Given;
    }
    session.hold_back();
    Flow::Given
}

/// The rules, with the password that this node asks put before them where they add one to the default user and the log
/// has none yet: from then on the log alone says what the passwords are, and to add one must not take another away.
fn keeping_own(name: &[u8], mut rules: Vec<Vec<u8>>, host: &impl Host) -> Vec<Vec<u8>> {
    let replaces = |rule: &[u8]| {
        ["resetpass", "reset", "nopass"]
            .iter()
            .any(|word| rule.eq_ignore_ascii_case(word.as_bytes()))
    };
    let decides = |rule: &&Vec<u8>| rule.starts_with(b"#") || replaces(rule);
    let adds = rules.iter().find(decides).is_some_and(|rule| !replaces(rule));
    if name == DEFAULT_USER
        && adds
        && let Some(own) = host.own_password()
    {
        rules.insert(0, format!("#{}", digits_of(&own)).into_bytes());
    }
    rules
}

/// The rule with a password replaced by its hash.
fn hashed(rule: Vec<u8>, hash: &dyn Fn(&[u8]) -> PasswordHash) -> Vec<u8> {
    let sign = match rule.first() {
        Some(b'>') => b'#',
        Some(b'<') => b'!',
        _ => return rule,
    };
    let mut hashed = vec![sign];
    hashed.extend(digits_of(&hash(&rule[1..])).into_bytes());
    hashed
}

/// The error of a change inside a block.
pub(crate) const INSIDE_BLOCK: &str = words::acl::NOT_IN_TRANSACTION;
