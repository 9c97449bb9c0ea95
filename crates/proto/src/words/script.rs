//! What is said of scripts. Clients compare most of these, so they are Redis' own.

/// EVALSHA of a name that the cache does not know.
pub const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
/// The count of keys says more than there is.
pub const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";
/// The count of keys is below zero.
pub const NEGATIVE_KEYS: &str = "ERR Number of keys can't be negative";
/// SCRIPT FLUSH with something else behind it.
pub const FLUSH_MODE: &str = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
/// SCRIPT KILL.
pub const NOTHING_TO_KILL: &str = "NOTBUSY No scripts in execution right now.";
/// SCRIPT KILL while a script is in execution.
pub const UNKILLABLE: &str =
    "UNKILLABLE the script is executed by every node and ends by its budget of instructions";
/// A first line that does not end.
pub const INVALID_SHEBANG: &str = "ERR Invalid script shebang";
/// A first line for another language; what it says follows.
pub const UNEXPECTED_ENGINE: &str = "ERR Unexpected engine in script shebang: ";
/// A first line with an option that there is not; it follows.
pub const UNKNOWN_OPTION: &str = "ERR Unknown lua shebang option: ";
/// A first line with a flag that there is not; it follows.
pub const UNEXPECTED_FLAG: &str = "ERR Unexpected flag in script shebang: ";
/// A script that says that it may write, by EVAL_RO.
pub const WRITES_BY_READ: &str = "ERR Can not execute a script with write flag using *_ro command.";
/// A script that does not say that it may run without memory.
pub const OUT_OF_MEMORY: &str =
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
/// A command with too few or too many words.
pub const WRONG_ARITY: &str = "ERR Wrong number of args calling Redis command from script";
/// A command that there is not.
pub const UNKNOWN_COMMAND: &str = "ERR Unknown Redis command called from script";
/// A command that is not for scripts.
pub const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";
/// A write in a script that only reads.
pub const READ_ONLY: &str = "ERR Write commands are not allowed from read-only scripts.";
/// The user may not run a command.
pub const DENIED_COMMAND: &str = "ERR The user executing the script can't run this command or subcommand";
/// The user may not touch a key.
pub const DENIED_KEY: &str = "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments";
/// The user may not use a channel.
pub const DENIED_CHANNEL: &str =
    "ERR The user executing the script can't publish to the channel mentioned in the command";
/// `redis.acl_check_cmd` of a command that there is not.
pub const INVALID_ACL_CHECK: &str = "ERR Invalid command passed to redis.acl_check_cmd()";
/// What to do instead of touching a key with an origin.
pub const MAPPED_REMEDY: &str =
    "scripts cannot use keys with an origin; send the command outside of the script";

/// A command whose answer is of one node alone, inside a script that every node executes.
pub fn of_one_node(command: &str) -> String {
    let command = command.to_uppercase().replace('|', " ");
    format!(
        "ERR {command} is not possible inside a script that may write: its answer is that of one node alone"
    )
}
