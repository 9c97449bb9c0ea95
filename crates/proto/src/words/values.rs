//! Sentences about whole values: copied, sorted, dumped, counted.

/// SWAPDB of what is no number.
pub const NO_FIRST_INDEX: &str = "ERR invalid first DB index";
/// SWAPDB with what is no number.
pub const NO_SECOND_INDEX: &str = "ERR invalid second DB index";
/// COPY and MOVE of a key onto itself.
pub const SAME_OBJECT: &str = "ERR source and destination objects are the same";
/// SORT by what is no number.
pub const NOT_SORTABLE: &str = "ERR One or more scores can't be converted into double";
/// A string that does not begin as a HyperLogLog does.
pub const NO_HYPERLOGLOG: &str = "WRONGTYPE Key is not a valid HyperLogLog string value.";
/// A HyperLogLog whose registers are none.
pub const CORRUPT_HYPERLOGLOG: &str = "INVALIDOBJ Corrupted HLL object detected";
/// RESTORE of a key that is there.
pub const BUSY_KEY: &str = "BUSYKEY Target key name already exists.";
/// RESTORE with a negative time to live.
pub const NEGATIVE_TTL: &str = "ERR Invalid TTL value, must be >= 0";
/// RESTORE with a negative time without use.
pub const NEGATIVE_IDLE_TIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
/// RESTORE with a frequency of use that is none.
pub const NO_FREQUENCY: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";
/// RESTORE of a later format, or of bytes that were altered.
pub const BAD_PAYLOAD_END: &str = "ERR DUMP payload version or checksum are wrong";
/// RESTORE of bytes that are no value.
pub const BAD_PAYLOAD: &str = "ERR Bad data format";
