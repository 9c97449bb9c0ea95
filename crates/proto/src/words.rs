//! Every sentence of the wire: the error texts of Redis, our own error words with their outcome, and
//! the words master and slave, which are written in this file only.
//!
//! Texts start with the code word that clients switch on, without the dash that the encoder adds.
//! Those that Redis has are Redis 7.0's to the letter; ours end with the remedy.

use crate::command::{Spec, Unresolved, is_known_elsewhere};
use crate::resp::ArgSlice;

pub mod acl;
pub mod bits;
pub mod fields;
pub mod geo;
pub mod level;
pub mod pubsub;
pub mod script;
pub mod stream;
pub mod tracking;
pub mod values;
pub mod watching;

// Values and types.
/// The key holds another type.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// Options that do not fit.
pub const SYNTAX: &str = "ERR syntax error";
/// A number beyond 32 bits where Redis takes a C `int`.
pub const NOT_A_C_INT: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
/// Not a 64-bit integer, or outside of what the command takes.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// Not a floating-point number.
pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// INCR and its relatives left the range of 64 bits.
pub const INCREMENT_OVERFLOW: &str = "ERR increment or decrement would overflow";
/// DECRBY by the smallest integer, which has no negation.
pub const DECREMENT_OVERFLOW: &str = "ERR decrement would overflow";
/// INCRBYFLOAT left the finite numbers.
pub const INCREMENT_NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";
/// RENAME of an absent key, and others.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// HINCRBY of a field that is none.
pub const HASH_VALUE_NOT_AN_INTEGER: &str = "ERR hash value is not an integer";
/// HINCRBYFLOAT of a field that is none.
pub const HASH_VALUE_NOT_A_FLOAT: &str = "ERR hash value is not a float";
/// A number that is to be added is infinite.
pub const NOT_FINITE: &str = "ERR value is NaN or Infinity";
/// A count that its command cannot double.
pub const VALUE_OUT_OF_RANGE: &str = "ERR value is out of range";

/// A number outside of what its command takes.
pub fn value_between(least: i64, most: i64) -> String {
    format!("ERR value is out of range, value must between {least} and {most}")
}

/// A count that may not be negative.
pub const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
/// SINTERCARD and others with a count of keys that is none.
pub const NO_KEY_COUNT: &str = "ERR numkeys should be greater than 0";
/// SINTERCARD and others with fewer keys than they say.
pub const KEY_COUNT_TOO_HIGH: &str = "ERR Number of keys can't be greater than number of args";
/// SINTERCARD and others with a limit that is none.
pub const NEGATIVE_LIMIT: &str = "ERR LIMIT can't be negative";
/// LMPOP and others with a count that is none.
pub const NO_COUNT: &str = "ERR count should be greater than 0";
/// LSET beyond the ends of a list.
pub const INDEX_OUT_OF_RANGE: &str = "ERR index out of range";
/// LPOS with a rank that is none.
pub const ZERO_RANK: &str = "ERR RANK can't be zero: use 1 to start from the first match, \
    2 from the second ... or use negative to start from the end of the list";
/// LPOS with a count that is none.
pub const NEGATIVE_COUNT: &str = "ERR COUNT can't be negative";
/// LPOS with a length that is none.
pub const NEGATIVE_LENGTH: &str = "ERR MAXLEN can't be negative";
/// ZCOUNT and others with a range of scores that is none.
pub const NO_SCORE_RANGE: &str = "ERR min or max is not a float";
/// ZLEXCOUNT and others with a range of names that is none.
pub const NO_NAME_RANGE: &str = "ERR min or max not valid string range item";
/// ZINCRBY that adds one infinity to the other.
pub const SCORE_NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";
/// ZADD with conditions that exclude each other.
pub const XX_AND_NX: &str = "ERR XX and NX options at the same time are not compatible";
/// ZADD with comparisons that exclude each other.
pub const GT_LT_AND_NX: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
/// ZADD INCR with several members.
pub const ONE_INCREMENT: &str = "ERR INCR option supports a single increment-element pair";
/// ZRANGE by rank with LIMIT.
pub const LIMIT_OF_RANKS: &str =
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
/// ZRANGE BYLEX WITHSCORES.
pub const SCORES_BY_NAME: &str = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
/// ZUNION and others with a weight that is no number.
pub const WEIGHT_NOT_A_FLOAT: &str = "ERR weight value is not a float";

/// ZUNION and others without a key, by the name of the command.
pub fn no_input_key(name: &str) -> String {
    format!("ERR at least 1 input key is needed for '{name}' command")
}

/// MSETEX with a count of keys that is none.
pub const INVALID_KEY_COUNT: &str = "ERR invalid numkeys value";
/// MSETEX with fewer pairs than it says.
pub const WRONG_PAIR_COUNT: &str = "ERR wrong number of key-value pairs";
/// LCS with both LEN and IDX.
pub const LCS_LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";
/// LCS of keys of another type.
pub const LCS_NOT_STRINGS: &str = "ERR The specified keys must contain string values";
/// LCS of strings whose lengths multiply to too much work.
pub const LCS_TOO_LONG: &str = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
/// SETRANGE with a negative offset.
pub const OFFSET_OUT_OF_RANGE: &str = "ERR offset is out of range";
/// A string would exceed 512 MiB.
pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
/// SCAN with something that is no cursor.
pub const INVALID_CURSOR: &str = "ERR invalid cursor";
/// A pattern beyond [`crate::glob::PATTERN_BYTES_MAX`].
pub const PATTERN_TOO_LONG: &str = "ERR pattern is longer than 65536 bytes";
/// SELECT beyond the last database.
pub const DATABASE_OUT_OF_RANGE: &str = "ERR DB index is out of range";
/// EXPIRE with NX and another condition.
pub const EXPIRE_NX_WITH_OTHERS: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
/// EXPIRE with both GT and LT.
pub const EXPIRE_GT_WITH_LT: &str = "ERR GT and LT options at the same time are not compatible";
/// OBJECT FREQ without an LFU policy.
pub const NO_LFU_POLICY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
/// OBJECT IDLETIME with an LFU policy.
pub const LFU_POLICY: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
/// A write while memory is used up.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// A request that a cluster cannot replicate (outcome: not applied).
pub fn too_large_to_replicate(bytes: usize, bytes_max: usize) -> String {
    format!(
        "ERR the request takes {bytes} bytes, more than the {bytes_max} that a cluster replicates at once; \
         not applied; split the value, for example by APPEND, or use a single node"
    )
}

/// A command with more arguments than are worked on at once.
pub fn too_many_arguments(command: &str, arguments_max: usize) -> String {
    format!(
        "ERR too many arguments for '{command}': at most {arguments_max} at once; ask in several requests"
    )
}

// Transactions.
/// The reply of every command between MULTI and EXEC.
pub const QUEUED: &str = "QUEUED";
/// EXEC after a command that could not be queued.
pub const EXEC_ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";
/// EXEC outside of MULTI.
pub const EXEC_WITHOUT_MULTI: &str = "ERR EXEC without MULTI";
/// DISCARD outside of MULTI.
pub const DISCARD_WITHOUT_MULTI: &str = "ERR DISCARD without MULTI";
/// MULTI inside of MULTI.
pub const NESTED_MULTI: &str = "ERR MULTI calls can not be nested";
/// WATCH inside of MULTI.
pub const WATCH_INSIDE_MULTI: &str = "ERR WATCH inside MULTI is not allowed";

// Connection and authentication.
/// Any command before authentication.
pub const NO_AUTH: &str = "NOAUTH Authentication required.";
/// HELLO without AUTH before authentication.
pub const NO_AUTH_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise \
    the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
    protocol version at the same time";
/// AUTH with a wrong user or password.
pub const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
/// AUTH with one argument while no password is set.
pub const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the default \
    user. Are you sure your configuration is correct?";
/// HELLO with another version than 2 or 3.
pub const UNSUPPORTED_PROTOCOL: &str = "NOPROTO unsupported protocol version";
/// HELLO with something that is no number.
pub const PROTOCOL_NOT_AN_INTEGER: &str = "ERR Protocol version is not an integer or out of range";
/// CLIENT SETNAME with other than visible characters.
pub const INVALID_CLIENT_NAME: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";
/// A name that would take more memory than names are for.
pub const LONG_CLIENT_NAME: &str = "ERR Client names must be shorter than 1024 bytes.";
/// CLIENT KILL of an address that nobody has.
pub const NO_SUCH_CLIENT: &str = "ERR No such client";
/// CLIENT KILL ID with something that is no identifier.
pub const CLIENT_ID_NOT_POSITIVE: &str = "ERR client-id should be greater than 0";
/// CLIENT KILL MAXAGE with something that is no number.
pub const MAX_AGE_NOT_AN_INTEGER: &str = "ERR maxage is not an integer or out of range";
/// CLIENT KILL MAXAGE of no time.
pub const MAX_AGE_NOT_POSITIVE: &str = "ERR maxage should be greater than 0";
/// CLIENT UNBLOCK with a third word that is none.
pub const UNBLOCK_REASON: &str = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
/// To a client that CLIENT UNBLOCK has ended the waiting of.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
/// How long to wait, as no number.
pub const NOT_A_TIMEOUT: &str = "ERR timeout is not a float or out of range";
/// How long to wait, below zero.
pub const NEGATIVE_TIMEOUT: &str = "ERR timeout is negative";
/// CLIENT LIST ID with something that is no identifier.
pub const INVALID_CLIENT_ID: &str = "ERR Invalid client ID";
/// More connections than `maxclients`.
pub const TOO_MANY_CLIENTS: &str = "ERR max number of clients reached";

// Introspection.
/// COMMAND GETKEYS of an unknown command.
pub const INVALID_COMMAND: &str = "ERR Invalid command specified";
/// COMMAND GETKEYS of a command without keys.
pub const NO_KEY_ARGUMENTS: &str = "ERR The command has no key arguments";
/// COMMAND GETKEYS of a request with the wrong number of arguments.
pub const INVALID_ARGUMENT_COUNT: &str = "ERR Invalid number of arguments specified for command";
/// COMMAND GETKEYS of a request whose count of keys is none.
pub const INVALID_ARGUMENTS: &str = "ERR Invalid arguments specified for command";
/// SLOWLOG GET with a negative count.
pub const SLOWLOG_COUNT: &str = "ERR count should be greater than or equal to -1";

// Words for the roles, which Redis' replies require.
/// What ROLE, HELLO and INFO call the leader.
pub const LEADER_ROLE: &str = "master";
/// CONFIG's parameter for the password that a follower would give its leader.
pub const LEADER_PASSWORD_PARAMETER: &str = "masterauth";
/// CONFIG's parameter for the user as whom it would do so.
pub const LEADER_USER_PARAMETER: &str = "masteruser";
/// What ROLE and INFO call a follower.
pub const FOLLOWER_ROLE: &str = "slave";
/// Code word of Redis' follower that has lost its leader.
pub const LEADER_DOWN: &str = "MASTERDOWN";
/// What HELLO calls a follower.
pub const FOLLOWER_HELLO_ROLE: &str = "replica";
/// CLIENT LIST TYPE of a link to the leader.
pub const LEADER_TYPE: &str = "MASTER";
/// Old CLIENT LIST TYPE of a link to a follower; the new one is `REPLICA`.
pub const FOLLOWER_TYPE: &str = "SLAVE";
/// The old name of REPLICAOF.
pub const FOLLOW_COMMAND: &str = "slaveof";
/// The flag that scripts know for changes that go to followers.
pub const SCRIPT_FOLLOWER_FLAG: &str = "REPL_SLAVE";
/// The old name of CLUSTER REPLICAS.
pub const CLUSTER_FOLLOWERS_COMMAND: &str = "cluster|slaves";
/// INFO field: followers of a leader.
pub const INFO_CONNECTED_FOLLOWERS: &str = "connected_slaves";
/// INFO field of a follower: host of its leader.
pub const INFO_LEADER_HOST: &str = "master_host";
/// INFO field of a follower: port of its leader.
pub const INFO_LEADER_PORT: &str = "master_port";
/// INFO field of a follower: `up` or `down`.
pub const INFO_LEADER_LINK_STATUS: &str = "master_link_status";
/// INFO field of a follower: seconds since it heard its leader.
pub const INFO_LEADER_LAST_IO_SECONDS_AGO: &str = "master_last_io_seconds_ago";
/// INFO field of a follower: 1 while it installs a snapshot.
pub const INFO_LEADER_SYNC_IN_PROGRESS: &str = "master_sync_in_progress";
/// INFO field of a follower: its position in the log.
pub const INFO_FOLLOWER_OFFSET: &str = "slave_repl_offset";
/// INFO field of a follower: whether it may be elected, as a number.
pub const INFO_FOLLOWER_PRIORITY: &str = "slave_priority";
/// INFO field of a follower: whether it refuses writes, as 0 or 1.
pub const INFO_FOLLOWER_READ_ONLY: &str = "slave_read_only";
/// INFO field: identity of the replication history.
pub const INFO_REPLICATION_ID: &str = "master_replid";
/// INFO field: identity of the replication history before the last failover.
pub const INFO_REPLICATION_ID_2: &str = "master_replid2";
/// INFO field: position in the log.
pub const INFO_REPLICATION_OFFSET: &str = "master_repl_offset";
/// INFO field: state of a failover by command.
pub const INFO_FAILOVER_STATE: &str = "master_failover_state";
/// INFO field: keys with an expiry that a writable follower tracks on its own.
pub const INFO_FOLLOWER_EXPIRES_TRACKED: &str = "slave_expires_tracked_keys";
/// INFO field of a leader: one follower, numbered from 0.
pub fn info_follower(number: usize) -> String {
    format!("slave{number}")
}

// Our own error words. The text before the first space is the word; `outcome` tells what it means.
/// The node holds as many requests as it may; nothing was proposed.
pub const OVERLOADED: &str = "OVERLOADED this node holds as many waiting requests as it may, so this one was not taken; \
    not applied; retry after a pause, and send less at once";
/// No leader took the request within the hold time; no copy of it can be in any log.
pub const NO_LEADER_IN_TIME: &str = "NOLEADER no leader took the request in time; not applied; retry, and check that a \
    majority of the nodes is up";
/// A full disk: this node's, or those of so many that no majority could store the write.
pub const DISK_FULL: &str = "DISKFULL the disk of this node, or of too many nodes, is full; not applied; free space \
    there (writes go on by themselves then), or write at another node";
/// A read that needs what this node's full disk cannot take.
pub const DISK_FULL_READ: &str = "DISKFULL the disk of this node is full, so that its copy does not follow the others; \
    nothing was read; ask another node, or read here at level eventual (READONLY), or free space";
/// A later request of the node was applied before this one, which therefore never will be.
pub const OVERTAKEN: &str = "NOLEADER the request was lost on its way to the leader; not applied; retry";
/// The request was proposed and its commit was not seen in time.
pub const UNKNOWN_IN_TIME: &str = "UNKNOWN the request was proposed but its commit was not seen in time; it may or may not be \
    applied; read before you retry";
/// A snapshot replaced the place in the log at which the request was applied.
pub const UNKNOWN_SKIPPED: &str = "UNKNOWN this node caught up by a snapshot that skipped the reply; the request may or may \
    not be applied; read before you retry";
/// The reply to a read passed what one reply may have.
pub const REPLY_TOO_LONG: &str =
    "ERR the reply would have more than 1 GiB; ask for less at once, or use SCAN instead of KEYS";
/// The same of a command or block that also writes.
pub const WRITTEN_REPLY_TOO_LONG: &str = "UNKNOWN the reply would have more than 1 GiB and was dropped; what was asked for is applied; read less at once";
/// An op in the log does not decode; it changed nothing on any replica.
pub const MALFORMED_OP: &str = "ERR internal: the op does not decode; not applied; report this as a bug";
/// The answer to a read that allows less staleness than the replica has.
pub fn stale(age_ms: u64) -> String {
    format!(
        "STALE {age_ms} ms since this replica heard of a leader, more than the read allows; ask another node"
    )
}
/// Rows that a command needs did not come.
pub const ORIGIN_SLOW: &str = "ORIGINDOWN the rows of this command did not come from their origin within 5 s; nothing was done, retry later";

/// What became of a write whose reply is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It never took and never will take effect: safe to retry.
    NotApplied,
    /// It took effect.
    Applied,
    /// It may have taken, or may still take, effect.
    Unknown,
}

/// The outcome that an error reply tells, with or without its leading dash.
pub fn outcome(error: &[u8]) -> Outcome {
    match code(error) {
        b"UNKNOWN" | b"REQEXPIRED" => Outcome::Unknown,
        b"NOTALL" => Outcome::Applied,
        _ => Outcome::NotApplied,
    }
}

/// The code word of an error: what stands before the first space, without the leading dash.
pub fn code(error: &[u8]) -> &[u8] {
    let error = error.strip_prefix(b"-").unwrap_or(error);
    let end = error
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'))
        .unwrap_or(error.len());
    &error[..end]
}

/// Wrong number of arguments for a command; subcommands are named `container|word`.
pub fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// An expiry that is not positive or overflows.
pub fn invalid_expire_time(name: &str) -> String {
    format!("ERR invalid expire time in '{name}' command")
}

/// What Redis quotes of a client's bytes: its formats take C strings, which end at the first zero byte.
fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// A subcommand with a number of arguments that it does not take, where Redis finds out late.
pub fn subcommand_syntax(container: &str, word: &[u8]) -> Vec<u8> {
    let before: &[u8] = b"ERR unknown subcommand or wrong number of arguments for '";
    [
        before,
        until_zero(word),
        b"'. Try ",
        container.as_bytes(),
        b" HELP.",
    ]
    .concat()
}

/// EXEC that was refused for `error` and has dropped its transaction.
pub fn exec_abort_because(error: &[u8]) -> Vec<u8> {
    let reason = error.strip_prefix(b"ERR ").unwrap_or(error);
    [b"EXECABORT Transaction discarded because of: ", reason].concat()
}

/// EXPIRE with an unknown option.
pub fn unsupported_option(option: &[u8]) -> Vec<u8> {
    // Redis also takes line ends off the end of what it formats; only here do the client's bytes stand there.
    let mut option = until_zero(option);
    while let [rest @ .., b'\r' | b'\n'] = option {
        option = rest;
    }
    [b"ERR Unsupported option ", option].concat()
}

/// HELLO with an unknown option.
pub fn hello_option(option: &[u8]) -> Vec<u8> {
    [b"ERR Syntax error in HELLO option '", until_zero(option), b"'"].concat()
}

/// CLIENT LIST or KILL with an unknown type.
pub fn unknown_client_type(name: &[u8]) -> Vec<u8> {
    [b"ERR Unknown client type '", until_zero(name), b"'"].concat()
}

/// CONFIG SET of a parameter that does not exist.
pub fn unknown_parameter(name: &[u8]) -> Vec<u8> {
    [
        b"ERR Unknown option or number of arguments for CONFIG SET - '",
        until_zero(name),
        b"'",
    ]
    .concat()
}

/// CONFIG SET that failed.
pub fn config_set_failed(name: &[u8], why: &str) -> Vec<u8> {
    [
        b"ERR CONFIG SET failed (possibly related to argument '",
        until_zero(name),
        b"') - ",
        why.as_bytes(),
    ]
    .concat()
}

/// Why CONFIG SET maxclients takes no more than so many.
pub fn too_many_descriptors(fitting: usize) -> String {
    format!("The operating system is not able to handle the specified number of clients, try with {fitting}")
}

/// A subcommand that the container does not have.
pub fn unknown_subcommand(container: &str, word: &[u8]) -> Vec<u8> {
    let quoted = quoted_part(word, QUOTED_BYTES_MAX);
    let container = container.to_uppercase();
    let elsewhere = match is_known_elsewhere(Some(&container), word) {
        true => " Redis has it, this version of Repligo does not yet.",
        false => "",
    };
    let remedy = format!("'.{elsewhere} Try {container} HELP.");
    [b"ERR unknown subcommand '", quoted, remedy.as_bytes()].concat()
}

/// Bytes of a request that an error quotes, as in Redis.
const QUOTED_BYTES_MAX: usize = 128;

/// At most `room` bytes of what Redis would quote.
fn quoted_part(bytes: &[u8], room: usize) -> &[u8] {
    let bytes = until_zero(bytes);
    &bytes[..bytes.len().min(room)]
}

/// A command that does not exist; quotes the start of the request. One that Redis has is told as such.
pub fn unknown_command(request: ArgSlice<'_>) -> Vec<u8> {
    let name = request.try_get(0).unwrap_or_default();
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted_part(name, QUOTED_BYTES_MAX));
    if is_known_elsewhere(None, name) {
        text.extend_from_slice(
            b"': Redis has it, this version of Repligo does not yet; COMMAND LIST and docs/commands.md have what there is",
        );
        return text;
    }
    text.extend_from_slice(b"', with args beginning with: ");
    let start = text.len();
    for argument in request.skip(1).iter() {
        let Some(room) = QUOTED_BYTES_MAX
            .checked_sub(text.len() - start)
            .filter(|&room| room > 0)
        else {
            break;
        };
        text.push(b'\'');
        text.extend_from_slice(quoted_part(argument, room));
        text.extend_from_slice(b"' ");
    }
    text
}

/// The sentence for a request that names no executable command; see [`crate::command::resolve`].
pub fn unresolved(reason: Unresolved, request: ArgSlice<'_>) -> Vec<u8> {
    let arity = |spec: &Spec| wrong_arity(spec.name).into_bytes();
    match reason {
        Unresolved::Command => unknown_command(request),
        Unresolved::Subcommand(spec) => unknown_subcommand(spec.name, request.try_get(1).unwrap_or_default()),
        Unresolved::Arity(spec) => arity(spec),
    }
}

/// A command that an origin keyspace does not have.
pub fn not_supported_in_keyspace(command: &str, keyspace: &str) -> String {
    format!(
        "ERR {} is not supported in keyspace {keyspace}; use GET, SET, DEL or MSET",
        command.to_uppercase()
    )
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
