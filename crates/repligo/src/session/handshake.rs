//! The connection itself: HELLO, AUTH, RESET.

use repligo_core::acl::{DEFAULT_USER, Users};
use repligo_core::contract::{ReadLevel, Role};
use repligo_core::level::NoLevel;
use repligo_core::limits::CLIENT_NAME_BYTES_MAX;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;
use repligo_session::Flow;

use super::Local;
use super::acl::{own_password, password_hash};
use super::logins::Turn;

/// The version of Redis whose features clients may switch on.
pub const REDIS_VERSION: &str = "7.4.2";

/// HELLO [version [AUTH user password] [SETNAME name]].
pub(super) fn hello(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    match try_hello(local, request, out) {
        Some(Outcome::Later) => Flow::Pause,
        Some(outcome) => {
            local.reply(out).error(outcome.error());
            Flow::Done
        }
        None => Flow::Done,
    }
}

/// HELLO, but for the answer to a login that has not succeeded.
fn try_hello(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Option<Outcome> {
    let (mut version, mut name) = (None, None);
    if let Some(text) = request.try_get(1) {
        match repligo_core::command::parse_i64(text) {
            None => return refuse(local, out, words::PROTOCOL_NOT_AN_INTEGER),
            Some(number @ 2..=3) => version = Some(number),
            Some(_) => return refuse(local, out, words::UNSUPPORTED_PROTOCOL),
        }
    }
    let mut position = 2;
    while let Some(option) = request.try_get(position) {
        let more = request.len() - position - 1;
        if option.eq_ignore_ascii_case(b"AUTH") && more >= 2 {
            let (user, password) = (request.get(position + 1), request.get(position + 2));
            let outcome = log_in(local, request, (user, password));
            if outcome != Outcome::In {
                return Some(outcome);
            }
            position += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && more >= 1 {
            let given = request.get(position + 1);
            if let Err(text) = check_name(given) {
                return refuse(local, out, text);
            }
            // As in Redis it holds although a later option may be wrong, but a stranger names nothing.
            if local.session.is_authenticated() {
                local.session.name = given.into();
            } else {
                name = Some(given);
            }
            position += 2;
        } else {
            local.reply(out).error_bytes(&words::hello_option(option));
            return None;
        }
    }
    if !local.session.is_authenticated() {
        return refuse(local, out, words::NO_AUTH_HELLO);
    }
    if let Some(name) = name {
        local.session.name = name.into();
    }
    if let Some(version) = version {
        local.session.speak(version == 3);
    }
    greet(local, out);
    None
}

fn refuse(local: &Local<'_>, out: &mut Vec<u8>, text: &str) -> Option<Outcome> {
    local.reply(out).error(text);
    None
}

fn greet(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let role = match local.node.role() {
        Role::Leader => words::LEADER_ROLE,
        _ => words::FOLLOWER_HELLO_ROLE,
    };
    let session = &*local.session;
    let (id, resp3) = (session.id, session.resp3);
    let mut reply = local.reply(out);
    reply.map(8);
    reply.bulk_str("server");
    reply.bulk_str("redis");
    reply.bulk_str("version");
    reply.bulk_str(REDIS_VERSION);
    reply.bulk_str("repligo_version");
    reply.bulk_str(env!("CARGO_PKG_VERSION"));
    reply.bulk_str("proto");
    reply.integer(if resp3 { 3 } else { 2 });
    reply.bulk_str("id");
    reply.integer(id as i64);
    reply.bulk_str("mode");
    reply.bulk_str("standalone");
    reply.bulk_str("role");
    reply.bulk_str(role);
    reply.bulk_str("modules");
    reply.array(0);
}

/// AUTH [user] password.
pub(super) fn auth(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    let given = match request.len() {
        2 if needs_no_password(local) => {
            local.reply(out).error(words::NO_PASSWORD_SET);
            return Flow::Done;
        }
        2 => (DEFAULT_USER, request.get(1)),
        3 => (request.get(1), request.get(2)),
        _ => {
            local.reply(out).error(words::SYNTAX);
            return Flow::Done;
        }
    };
    match log_in(local, request, given) {
        Outcome::In => local.reply(out).ok(),
        Outcome::Later => return Flow::Pause,
        outcome => local.reply(out).error(outcome.error()),
    }
    Flow::Done
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    In,
    Refused,
    /// The password is right, and the level of reads behind the name is one that this release does not have.
    NoSuchLevel,
    /// The password is right, and what follows `bounded:` behind the name is no bound.
    NoSuchBound,
    /// Too many logins of this address wait to be judged.
    Crowded,
    /// It is not its turn to be judged.
    Later,
}

impl Outcome {
    fn error(self) -> &'static str {
        match self {
            Self::Crowded | Self::Later => words::acl::TOO_MANY_LOGINS,
            Self::NoSuchLevel => words::acl::LOGIN_LEVEL,
            Self::NoSuchBound => words::acl::LOGIN_BOUND,
            Self::In | Self::Refused => words::WRONG_PASSWORD,
        }
    }
}

fn needs_no_password(local: &Local<'_>) -> bool {
    let default = local.node.users().default_user();
    default.needs_no_password() && own_password(default, local.node.parameters()).is_none()
}

/// Logs the session in as this user, if the password is right and the user may log in.
fn log_in(local: &mut Local<'_>, request: ArgSlice<'_>, (name, password): (&[u8], &[u8])) -> Outcome {
    let connection = (local.session.slot, local.session.id);
    let (address, now_us) = (local.address(), local.now().mono_us);
    match local.node.guard().logins.admit(address, connection, now_us) {
        Turn::Now => {}
        // An item of a block cannot wait.
        Turn::Later if !local.session.is_in_block() => return Outcome::Later,
        Turn::Later => {
            local.node.guard().logins.forget(connection);
            return Outcome::Crowded;
        }
        Turn::Refused => return Outcome::Crowded,
    }
    let outcome = judge(local, name, password);
    let user = local.session.user();
    match outcome {
        Outcome::In if user.is_some_and(|user| user.name() != DEFAULT_USER) => {
            local.audit(("login", "ok"), None, &[]);
        }
        Outcome::Refused => local.login_failed(request.get(0), name, request.total_bytes()),
        _ => {}
    }
    outcome
}

/// A name to log in by as that of a user and the level of reads behind a plus sign, if both are in it: `app+eventual`.
fn name_and_level<'a>(users: &Users, given: &'a [u8]) -> (&'a [u8], Option<Result<ReadLevel, NoLevel>>) {
    if users.get(given).is_some() {
        return (given, None);
    }
    // A level may have a plus sign in it, and so may a name.
    let parts = (0..given.len()).filter(|at| given[*at] == b'+');
    let mut parts = parts.map(|at| (&given[..at], ReadLevel::named(&given[at + 1..])));
    let part = parts.find(|(name, level)| users.get(name).is_some() && *level != Err(NoLevel::Unknown));
    part.map_or((given, None), |(name, level)| (name, Some(level)))
}

/// Makes it a session of this user, if the password is right and the user may log in.
fn judge(local: &mut Local<'_>, given: &[u8], password: &[u8]) -> Outcome {
    // Whoever it is, and whether there is such a user, takes as long.
    let hash = password_hash(password);
    let users = local.node.users();
    let (name, level) = name_and_level(users, given);
    let Some(user) = users.get(name) else {
        return Outcome::Refused;
    };
    let own = match name == DEFAULT_USER {
        true => own_password(user, local.node.parameters()),
        false => None,
    };
    let fits = match own {
        Some(secret) => equal_in_constant_time(secret, password),
        None => user.needs_no_password() | user.has_password(&hash),
    };
    match level.transpose() {
        _ if !fits || !user.is_enabled() => Outcome::Refused,
        Err(NoLevel::NoBound) => Outcome::NoSuchBound,
        Err(NoLevel::NotBuilt | NoLevel::Unknown) => Outcome::NoSuchLevel,
        Ok(level) => {
            local.session.log_in_at(users, user, level);
            Outcome::In
        }
    }
}

/// Compares without telling by its duration how much was right; the length may show.
fn equal_in_constant_time(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = secret.len() ^ given.len();
    for (position, byte) in given.iter().enumerate() {
        let expected = secret.get(position).copied().unwrap_or(!byte);
        difference |= usize::from(byte ^ expected);
    }
    difference == 0
}

/// A name must have no character that CLIENT LIST could not show, and each entry of the slow log has a copy of it.
/// An empty one takes the name away.
pub(super) fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name.len() {
        _ if !is_visible(name) => Err(words::INVALID_CLIENT_NAME),
        CLIENT_NAME_BYTES_MAX.. => Err(words::LONG_CLIENT_NAME),
        _ => Ok(()),
    }
}

/// No space, no control character, nothing beyond ASCII: what CLIENT LIST can show.
pub(super) fn is_visible(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// RESET: as if the client had just connected, but under the same number.
pub(super) fn reset(local: &mut Local<'_>, out: &mut Vec<u8>) {
    local.session.reset();
    local.node.begin_session(local.session);
    local.reply(out).simple("RESET");
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn passwords_are_compared_whole() {
        assert!(equal_in_constant_time(b"secret", b"secret"));
        for wrong in ["", "secre", "secrets", "Secret"] {
            assert!(!equal_in_constant_time(b"secret", wrong.as_bytes()), "{wrong}");
        }
        assert!(equal_in_constant_time(b"", b""));
    }
}
