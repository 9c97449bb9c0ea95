//! ACL, as far as it only looks: users as they are, and what they may do.
//!
//! Changes go through the log, see `crates/session/src/users.rs`.

use repligo_core::acl::{DEFAULT_USER, Denied, PasswordHash, Selector, User, digits_of};
use repligo_core::command::parse_i64;
use repligo_proto::command::{CommandId, Unresolved, category, resolve, with_subcommands};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::client::user_of;
use super::{Local, Parameters, acl_log};

/// Bits that ACL GENPASS draws unless it is told how many.
const PASSWORD_BITS: i64 = 256;
/// Most bits that it draws.
const PASSWORD_BITS_MAX: i64 = 4096;

/// SHA-256 of a password, as users have it.
pub fn password_hash(password: &[u8]) -> PasswordHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, password);
    let mut hash = PasswordHash::default();
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// The password that this node asks of the default user: its own, until the log says what the passwords are. A node
/// that must not be open asks for its own one also where the log says that none is needed.
pub fn own_password<'a>(default: &User, parameters: &'a Parameters) -> Option<&'a [u8]> {
    let is_left_open = default.needs_no_password() && parameters.needs_password();
    parameters
        .password()
        .filter(|_| !default.is_told() || is_left_open)
}

/// True if connections begin as the default user without a password.
pub fn is_open(default: &User, parameters: &Parameters) -> bool {
    default.is_enabled() && default.needs_no_password() && own_password(default, parameters).is_none()
}

/// True for a command of this file.
pub(super) fn answers(id: CommandId) -> bool {
    use CommandId as Id;
    matches!(
        id,
        Id::AclGetUser
            | Id::AclList
            | Id::AclUsers
            | Id::AclWhoAmI
            | Id::AclCat
            | Id::AclGenPass
            | Id::AclDryRun
            | Id::AclLoad
            | Id::AclSave
            | Id::AclLog
    )
}

/// Answers a command of this file.
pub(super) fn dispatch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    match local.spec.id {
        CommandId::AclGetUser => get_user(local, request.get(2), out),
        CommandId::AclList => list(local, out),
        CommandId::AclUsers => {
            let users = local.node.users();
            let mut reply = local.reply(out);
            reply.array(users.iter().len());
            users.iter().for_each(|user| reply.bulk(user.name()));
        }
        CommandId::AclCat => categories(local, request, out),
        CommandId::AclGenPass => draw_password(local, request, out),
        CommandId::AclDryRun => dry_run(local, request, out),
        CommandId::AclLog => acl_log::answer(local, request, out),
        CommandId::AclLoad | CommandId::AclSave => local.reply(out).error(words::acl::NO_FILE),
        _ => local.reply(out).bulk(user_of(local.session)),
    }
}

/// The hash of the password that this node asks of the default user, if this is it and the log does not say.
fn own_hash(local: &Local<'_>, user: &User) -> Option<PasswordHash> {
    let is_default = user.name() == DEFAULT_USER;
    let own = own_password(user, local.node.parameters()).filter(|_| is_default);
    own.map(password_hash)
}

/// ACL LIST.
fn list(local: &Local<'_>, out: &mut Vec<u8>) {
    let users = local.node.users();
    let mut reply = local.reply(out);
    reply.array(users.iter().len());
    for user in users.iter() {
        let rules = user.describe(own_hash(local, user).as_ref());
        reply.bulk(&[b"user ", user.name(), b" ", &rules].concat());
    }
}

/// ACL GETUSER name.
fn get_user(local: &Local<'_>, name: &[u8], out: &mut Vec<u8>) {
    let mut reply = local.reply(out);
    let Some(user) = local.node.users().get(name) else {
        return reply.null();
    };
    let own = own_hash(local, user);
    let flags = [
        Some(if user.is_enabled() { "on" } else { "off" }),
        (user.needs_no_password() && own.is_none()).then_some("nopass"),
    ];
    let profile = user.profile();
    reply.map(6 + usize::from(!profile.is_default()));
    reply.bulk_str("flags");
    reply.set(flags.iter().flatten().count());
    flags.iter().flatten().for_each(|flag| reply.bulk_str(flag));
    reply.bulk_str("passwords");
    let own = own.as_ref().map(digits_of);
    reply.array(user.password_digits().len() + usize::from(own.is_some()));
    own.into_iter()
        .chain(user.password_digits())
        .for_each(|digits| reply.bulk_str(&digits));
    let Some((root, others)) = user.selectors().split_first() else {
        return;
    };
    put_selector(root, &mut reply);
    reply.bulk_str("selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(3);
        put_selector(selector, &mut reply);
    }
    if !profile.is_default() {
        reply.bulk_str("consistency");
        reply.bulk_str(&profile.describe());
    }
}

fn put_selector(selector: &Selector, reply: &mut repligo_proto::reply::ReplyWriter<'_>) {
    reply.bulk_str("commands");
    reply.bulk(&selector.described_commands());
    reply.bulk_str("keys");
    reply.bulk(&selector.described_keys());
    reply.bulk_str("channels");
    reply.bulk(&selector.described_channels());
}

/// ACL CAT [category].
fn categories(local: &Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let mut reply = local.reply(out);
    match (request.try_get(2), request.len()) {
        (None, _) => {
            reply.array(category::names().len());
            category::names().for_each(|name| reply.bulk_str(name));
        }
        (Some(name), 3) => match category::named(name) {
            None => reply.error_bytes(&words::acl::unknown_category(name)),
            Some(bit) => {
                let fits = |spec: &&repligo_proto::command::Spec| spec.categories() & bit != 0;
                reply.array(with_subcommands().filter(fits).count());
                with_subcommands()
                    .filter(fits)
                    .for_each(|spec| reply.bulk_str(spec.name));
            }
        },
        _ => reply.error_bytes(&words::subcommand_syntax("ACL", request.get(1))),
    }
}

/// ACL GENPASS [bits].
fn draw_password(local: &Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let mut reply = local.reply(out);
    if request.len() > 3 {
        return reply.error_bytes(&words::subcommand_syntax("ACL", request.get(1)));
    }
    let bits = match request.try_get(2) {
        None => PASSWORD_BITS,
        Some(text) => match parse_i64(text) {
            None => return reply.error(words::NOT_AN_INTEGER),
            Some(bits @ 1..=PASSWORD_BITS_MAX) => bits,
            Some(_) => return reply.error(words::acl::PASSWORD_BITS),
        },
    };
    let digits = (bits as usize).div_ceil(4);
    let mut drawn = vec![0; digits.div_ceil(2)];
    if getrandom(&mut drawn).is_err() {
        return reply.error(words::acl::NO_RANDOMNESS);
    }
    let text: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
    reply.bulk_str(&text[..digits]);
}

fn getrandom(room: &mut [u8]) -> Result<(), ring::error::Unspecified> {
    use ring::rand::SecureRandom as _;
    ring::rand::SystemRandom::new().fill(room)
}

/// ACL DRYRUN user command [argument…].
fn dry_run(local: &Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let mut reply = local.reply(out);
    let Some(user) = local.node.users().get(request.get(2)) else {
        return reply.error_bytes(&words::acl::user_not_found(request.get(2)));
    };
    let asked = request.skip(3);
    let spec = match resolve(asked) {
        Ok(spec) => spec,
        Err(Unresolved::Arity(spec)) => return reply.error(&words::wrong_arity(spec.name)),
        Err(_) => return reply.error_bytes(&words::acl::command_not_found(asked.get(0))),
    };
    match user.judge(spec, asked) {
        Ok(()) => reply.ok(),
        Err(Denied::Command) => reply.bulk(&words::acl::dry_run_denied(spec.name)),
        Err(Denied::Key(at)) => reply.bulk(&words::acl::dry_run_denied_argument(asked.get(at), "key")),
        Err(Denied::Channel(at)) => {
            reply.bulk(&words::acl::dry_run_denied_argument(asked.get(at), "channel"));
        }
    }
}
