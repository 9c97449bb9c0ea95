//! Sentences about deadlines of hash fields.

/// A deadline before the epoch.
pub const NEGATIVE_EXPIRE_TIME: &str = "ERR invalid expire time, must be >= 0";
/// HSETEX with an option that needs a time at its end.
pub const NO_EXPIRE_TIME: &str = "ERR missing expire time";
/// The word in front of the fields is not where it belongs.
pub const NO_FIELDS: &str = "ERR Mandatory argument FIELDS is missing or not at the right position";
/// The HEXPIRE family with a count that is none.
pub const FIELD_COUNT_TOO_LOW: &str = "ERR Parameter `numFields` should be greater than 0";
/// The others with a count that is none.
pub const FIELD_COUNT_NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";
/// HSETEX with a count that is none.
pub const INVALID_FIELD_COUNT: &str = "ERR invalid number of fields";
/// More or fewer fields than the count says.
pub const FIELD_COUNT_MISMATCH: &str = "ERR The `numfields` parameter must match the number of arguments";
/// HSETEX with two conditions.
pub const ONE_FIELD_CONDITION: &str = "ERR Only one of FXX or FNX arguments can be specified";
/// HSETEX with two deadlines.
pub const ONE_FIELD_EXPIRY: &str = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";

/// HSETEX with a word that it does not know.
pub fn unknown_argument(word: &[u8]) -> Vec<u8> {
    [b"ERR unknown argument: ", super::until_zero(word)].concat()
}
