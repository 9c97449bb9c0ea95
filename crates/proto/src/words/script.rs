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
/// FCALL of a function that there is not.
pub const NO_FUNCTION: &str = "ERR Function not found";
/// FCALL with something else than a number of keys.
pub const BAD_KEY_COUNT: &str = "ERR Bad number of keys provided";
/// FUNCTION DELETE of a library that there is not.
pub const NO_LIBRARY: &str = "ERR Library not found";
/// FUNCTION LOAD with something else than REPLACE, which follows.
pub const UNKNOWN_LOAD_OPTION: &str = "ERR Unknown option given: ";
/// A library without a first line that says what it is.
pub const MISSING_METADATA: &str = "ERR Missing library metadata";
/// A library whose first line does not end or has quotes without their other half.
pub const INVALID_METADATA: &str = "ERR Invalid library metadata";
/// A first line of a library with a word that means nothing; it follows.
pub const INVALID_METADATA_VALUE: &str = "ERR Invalid metadata value given: ";
/// A first line of a library with two names.
pub const NAMES_GIVEN: &str = "ERR Invalid metadata value, name argument was given multiple times";
/// A first line of a library without a name.
pub const NO_NAME: &str = "ERR Library name was not given";
/// A name of a library with other characters.
pub const BAD_NAME: &str = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
/// A library that registers nothing.
pub const NO_FUNCTIONS: &str = "ERR No functions registered";
/// FUNCTION FLUSH with something else behind it.
pub const FUNCTION_FLUSH_MODE: &str = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
/// FUNCTION LIST LIBRARYNAME without a pattern.
pub const NO_PATTERN: &str = "ERR library name argument was not given";
/// FUNCTION LIST with a word that means nothing, or a second time; it follows.
pub const UNKNOWN_LIST_ARGUMENT: &str = "ERR Unknown argument ";
/// FUNCTION RESTORE with another policy.
pub const RESTORE_POLICY: &str =
    "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";

/// A script or a library that is too long.
pub fn text_too_long(bytes_max: usize) -> Vec<u8> {
    format!(
        "ERR the text of a script or a library may have {bytes_max} bytes; give what is longer as an argument"
    )
    .into_bytes()
}

/// Libraries that would take more than all may.
pub fn libraries_too_large(bytes_max: usize) -> String {
    format!(
        "ERR all libraries of functions may take {bytes_max} bytes together; FUNCTION DELETE those that nobody calls"
    )
}

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
