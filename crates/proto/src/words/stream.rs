//! What is said of streams. Clients compare most of these, so they are Redis' own.

use super::until_zero;

/// What is no id.
pub const INVALID_ID: &str = "ERR Invalid stream ID specified as stream command argument";
/// An open range that begins behind the last id.
pub const INVALID_START: &str = "ERR invalid start ID for the interval";
/// An open range that ends before the first id.
pub const INVALID_END: &str = "ERR invalid end ID for the interval";
/// XADD or XTRIM with both ways to trim.
pub const MAXLEN_AND_MINID: &str =
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
/// XADD or XTRIM to less than nothing.
pub const NEGATIVE_MAXLEN: &str = "ERR The MAXLEN argument must be >= 0.";
/// XADD or XTRIM of less than nothing.
pub const NEGATIVE_LIMIT: &str = "ERR The LIMIT argument must be >= 0.";
/// XADD or XTRIM with LIMIT, but without a way to trim.
pub const LIMIT_WITHOUT_STRATEGY: &str =
    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
/// XADD or XTRIM with LIMIT, but exactly.
pub const LIMIT_WITHOUT_TILDE: &str = "ERR syntax error, LIMIT cannot be used without the special ~ option";
/// XTRIM without a way to trim.
pub const NO_STRATEGY: &str = "ERR syntax error, XTRIM must be called with a trimming strategy";
/// XADD of the id that none may have.
pub const ID_ZERO: &str = "ERR The ID specified in XADD must be greater than 0-0";
/// XADD behind the last id.
pub const EXHAUSTED: &str = "ERR The stream has exhausted the last possible ID, unable to add more items";
/// XADD of an id that does not ascend.
pub const ID_NOT_GREATER: &str =
    "ERR The ID specified in XADD is equal or smaller than the target stream top item";
/// XADD of more than an entry may have.
pub const TOO_LARGE: &str = "ERR Elements are too large to be stored";
/// XSETID with a count that is none.
pub const NEGATIVE_ADDED: &str = "ERR entries_added must be positive";
/// XSETID below what it says was deleted.
pub const ID_BELOW_GIVEN_DELETED: &str =
    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
/// XSETID below an entry.
pub const ID_BELOW_LAST: &str = "ERR The ID specified in XSETID is smaller than the target stream top item";
/// XSETID with fewer entries than there are.
pub const ADDED_BELOW_LENGTH: &str =
    "ERR The entries_added specified in XSETID is smaller than the target stream length";
/// XREAD with GROUP.
pub const GROUP_WITHOUT_GROUP: &str =
    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
/// XREAD with NOACK.
pub const NOACK_WITHOUT_GROUP: &str =
    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
/// XREADGROUP without GROUP.
pub const MISSING_GROUP: &str = "ERR Missing GROUP option for XREADGROUP";
/// XREADGROUP from `$` on.
pub const LAST_IN_GROUP: &str = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the \
    history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return \
    an empty result set.";
/// XREADGROUP of the last entry.
pub const LAST_ENTRY_IN_GROUP: &str = "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the \
    history of this consumer by specifying a proper ID, or use the > ID to get new messages. The + ID would just return \
    an empty result set.";
/// XREAD from `>` on.
pub const NEW_WITHOUT_GROUP: &str =
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.";
/// How many milliseconds to wait, as no number.
pub const NOT_A_TIMEOUT: &str = "ERR timeout is not an integer or out of range";
/// XGROUP with a count that is none.
pub const INVALID_READ: &str = "ERR value for ENTRIESREAD must be positive or -1";
/// XGROUP of an absent key.
pub const NO_KEY_FOR_GROUP: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you \
    may want to use the MKSTREAM option to create an empty stream automatically.";
/// XGROUP CREATE of what is there.
pub const BUSY_GROUP: &str = "BUSYGROUP Consumer Group name already exists";
/// XAUTOCLAIM with a count that is none.
pub const NO_CLAIM_COUNT: &str = "ERR COUNT must be > 0";
/// To a client that waited for a group that was destroyed.
pub const GROUP_GONE: &str = "NOGROUP the consumer group this client was blocked on no longer exists";
/// To a client that waited for a stream that was removed.
pub const STREAM_GONE: &str = "UNBLOCKED the stream key no longer exists";

/// Streams without an id for each.
pub const UNBALANCED: &str =
    "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.";

/// XREAD or XREADGROUP with BLOCK in a script; `command` as the script wrote it.
pub fn block_in_script(command: &[u8]) -> Vec<u8> {
    [
        b"ERR ",
        until_zero(command),
        b" command is not allowed with BLOCK option from scripts",
    ]
    .concat()
}

/// A number that an option of this command does not take.
pub fn invalid_number(what: &str, command: &str) -> String {
    format!("ERR Invalid {what} argument for {command}")
}

/// XCLAIM with a word that is no option.
pub fn unrecognized_claim(option: &[u8]) -> Vec<u8> {
    [b"ERR Unrecognized XCLAIM option '", until_zero(option), b"'"].concat()
}

/// XREADGROUP of what is not there.
pub fn no_group_to_read(key: &[u8], group: &[u8]) -> Vec<u8> {
    [&no_group(key, group)[..], b" in XREADGROUP with GROUP option"].concat()
}

/// XPENDING, XCLAIM and XAUTOCLAIM of what is not there.
pub fn no_group(key: &[u8], group: &[u8]) -> Vec<u8> {
    [
        b"NOGROUP No such key '",
        until_zero(key),
        b"' or consumer group '",
        until_zero(group),
        b"'",
    ]
    .concat()
}

/// XGROUP and XINFO of a group that a stream does not have.
pub fn no_group_of_key(group: &[u8], key: &[u8]) -> Vec<u8> {
    [
        b"NOGROUP No such consumer group '",
        until_zero(group),
        b"' for key name '",
        until_zero(key),
        b"'",
    ]
    .concat()
}
