//! ACL SETUSER and DELUSER: changes of the users, on their way into the log.
//!
//! Invariant: a password leaves here as its hash; nothing else of the connection is executed until the change is
//! answered, so that all that follows is judged by it.

use repligo_core::acl::{PasswordHash, UserChange, merge_selectors};
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
            hashed.collect::<Vec<_>>()
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

/// The rule with a password replaced by its hash.
fn hashed(rule: Vec<u8>, hash: &dyn Fn(&[u8]) -> PasswordHash) -> Vec<u8> {
    let sign = match rule.first() {
        Some(b'>') => b'#',
        Some(b'<') => b'!',
        _ => return rule,
    };
    let mut hashed = vec![sign];
    hashed.extend(repligo_core::acl::digits_of(&hash(&rule[1..])).into_bytes());
    hashed
}

/// The error of a change inside a block.
pub(crate) const INSIDE_BLOCK: &str = words::acl::NOT_IN_TRANSACTION;
