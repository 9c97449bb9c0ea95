//! What an entry of a table is: four bits of it.

/// A string as it was set.
pub const STRING: u8 = 0;
/// Not a key: an origin key known to have no row.
pub const NEGATIVE: u8 = 1;
/// A string that APPEND or SETRANGE changed; Redis keeps such a one in its `raw` encoding.
pub const STRING_CHANGED: u8 = 2;
/// A string that INCRBYFLOAT wrote; Redis never keeps such a one in its `int` encoding.
pub const STRING_FLOAT: u8 = 3;
/// A copy of an origin row: its deadline ends the copy, not the key, so TTL does not see it.
pub const ROW: u8 = 4;
/// A hash in one record. What follows is no string.
pub const HASH: u8 = 5;
/// A set in one record.
pub const SET: u8 = 6;
/// A list in one record.
pub const LIST: u8 = 7;
/// A sorted set in one record.
pub const SORTED_SET: u8 = 8;
/// A reference to a large hash. What follows is a reference, too.
pub const HASH_LARGE: u8 = HASH + LARGE;
/// A reference to a large set.
pub const SET_LARGE: u8 = SET + LARGE;
/// A reference to a large list.
pub const LIST_LARGE: u8 = LIST + LARGE;
/// A reference to a large sorted set.
pub const SORTED_SET_LARGE: u8 = SORTED_SET + LARGE;
/// A reference to a stream, which has no other form.
pub const STREAM: u8 = 13;
/// A reference to a hash of which fields have, or had, deadlines; it has no other form.
pub const HASH_VOLATILE: u8 = 14;
/// What no entry is: the kind of the small form of a type that has none.
pub const NO_SMALL_FORM: u8 = u8::MAX;
/// From a type's kind in one record to that of a reference.
pub const LARGE: u8 = 4;
/// The last one there is.
pub const LAST: u8 = HASH_VOLATILE;

/// True for a string, in whatever form.
#[inline]
pub const fn is_string(kind: u8) -> bool {
    kind < HASH
}

/// True for what is known of a row of an origin.
#[inline]
pub const fn is_of_row(kind: u8) -> bool {
    matches!(kind, ROW | NEGATIVE)
}

/// True for a reference to a large collection.
#[inline]
pub const fn is_large(kind: u8) -> bool {
    kind >= HASH_LARGE
}

/// As TYPE names it.
pub const fn type_name(kind: u8) -> &'static str {
    match kind {
        HASH | HASH_LARGE | HASH_VOLATILE => "hash",
        SET | SET_LARGE => "set",
        LIST | LIST_LARGE => "list",
        SORTED_SET | SORTED_SET_LARGE => "zset",
        STREAM => "stream",
        _ => "string",
    }
}
