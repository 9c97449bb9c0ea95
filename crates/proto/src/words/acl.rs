//! What the wire says of users and their rights, in the words of Redis 7.0.15 where it has any.

use super::until_zero;

/// A command that reaches a key which its user may not.
pub const NO_KEY_PERMISSION: &str =
    "NOPERM this user has no permissions to access one of the keys used as arguments";
/// A request that was on its way when the rights of its user shrank (outcome: not applied).
pub const RIGHTS_CHANGED: &str = "NOPERM the rights of this user were reduced while the request was on its way; \
    not applied; send it again if it is still allowed";
/// Why EXEC does not run an item any more: its command.
pub const NO_LONGER_COMMAND: &str = "no permission to execute the command or subcommand";
/// Why EXEC does not run an item any more: one of its channels.
pub const NO_LONGER_CHANNEL: &str =
    "no permission to access one of the channels used as arguments to the command";
/// Why EXEC does not run an item any more: one of its keys.
pub const NO_LONGER_KEY: &str = "no permission to touch the specified keys";
/// ACL SETUSER of a name that no user can have.
pub const INVALID_USER_NAME: &str = "ERR Usernames can't contain spaces or null characters";
/// ACL DELUSER default.
pub const DEFAULT_USER_STAYS: &str = "ERR The 'default' user cannot be removed";
/// ACL SETUSER or DELUSER between MULTI and EXEC.
pub const NOT_IN_TRANSACTION: &str = "ERR Command not allowed inside a transaction";
/// CONFIG SET requirepass after ACL SETUSER has said what the passwords of the default user are.
pub const PASSWORDS_IN_LOG: &str =
    "the passwords of the default user are in the log: use ACL SETUSER default";

/// A login of an address of which too many have failed and too many wait.
pub const TOO_MANY_LOGINS: &str =
    "ERR too many failed logins from this address; nothing was judged; try again in a second";

/// A login that asks for a level of reads behind the name, as in `app+origin`, which is not there.
pub const LOGIN_LEVEL: &str = "ERR this level of reads is not in this release: log in as NAME+linearizable, \
    NAME+session, NAME+bounded:DURATION or NAME+eventual, or as NAME alone for the level of the user";
/// A login that asks for bounded reads without a bound that there is.
pub const LOGIN_BOUND: &str = "ERR the bound of reads behind the name is a whole number with its unit, ms or s, from \
    1ms to 10s: log in as NAME+bounded:200ms, or as NAME alone for the level of the user";

/// The users were changed as often as they can be.
pub const NO_MORE_CHANGES: &str = "ERR the users of this cluster cannot be changed any more";

/// ACL LOAD and SAVE.
pub const NO_FILE: &str = "ERR users are not kept in an ACL file here: ACL SETUSER and DELUSER write them into the \
    replicated log, which every node keeps and reads at its start";
/// ACL GENPASS of too many bits, or none.
pub const PASSWORD_BITS: &str = "ERR ACL GENPASS argument must be the number of bits for the output password, a \
    positive number up to 4096";
/// ACL GENPASS without a source of randomness.
pub const NO_RANDOMNESS: &str = "ERR the system gives no random numbers; retry";

/// ACL CAT of a category that does not exist.
pub fn unknown_category(name: &[u8]) -> Vec<u8> {
    [b"ERR Unknown category '", until_zero(name), b"'"].concat()
}

/// ACL DRYRUN of a user that does not exist.
pub fn user_not_found(name: &[u8]) -> Vec<u8> {
    [b"ERR User '", until_zero(name), b"' not found"].concat()
}

/// ACL DRYRUN of a command that does not exist.
pub fn command_not_found(name: &[u8]) -> Vec<u8> {
    [b"ERR Command '", until_zero(name), b"' not found"].concat()
}

/// What ACL DRYRUN answers of a command that the user may not use.
pub fn dry_run_denied(name: &str) -> Vec<u8> {
    format!("This user has no permissions to run the '{name}' command").into_bytes()
}

/// What ACL DRYRUN answers of a `key` or `channel` that the user may not use.
pub fn dry_run_denied_argument(argument: &[u8], kind: &str) -> Vec<u8> {
    let before: &[u8] = b"This user has no permissions to access the '";
    [before, until_zero(argument), b"' ", kind.as_bytes()].concat()
}

/// A command that its user may not run.
pub fn no_command_permission(name: &str) -> String {
    format!("NOPERM this user has no permissions to run the '{name}' command")
}

/// An item of a block that was allowed when it was queued and is not when it is executed.
pub fn no_longer_allowed(reason: &str) -> String {
    format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
         This command is no longer allowed for the following reason: {reason}"
    )
}

/// ACL SETUSER with a rule that is refused.
pub fn refused_rule(rule: &[u8], why: &str) -> Vec<u8> {
    let before: &[u8] = b"ERR Error in ACL SETUSER modifier '";
    [before, until_zero(rule), b"': ", why.as_bytes()].concat()
}

/// ACL SETUSER with a selector that does not end.
pub fn open_selector(start: &[u8]) -> Vec<u8> {
    let before: &[u8] = b"ERR Unmatched parenthesis in acl selector starting at '";
    [before, until_zero(start), b"'."].concat()
}

/// More users, or longer rules, than the replicated state takes.
pub fn too_many_users(bytes_max: usize) -> String {
    format!("ERR the users and their rules would take more than {bytes_max} bytes; nothing was changed")
}
