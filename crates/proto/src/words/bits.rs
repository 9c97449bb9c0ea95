//! Sentences about bits of strings.

/// Not a place of a bit in a string of any length that is allowed.
pub const BIT_OFFSET: &str = "ERR bit offset is not an integer or out of range";
/// SETBIT with what is neither 0 nor 1.
pub const BIT_VALUE: &str = "ERR bit is not an integer or out of range";
/// BITPOS for what is neither 0 nor 1.
pub const BIT_WANTED: &str = "ERR The bit argument must be 1 or 0.";
/// BITOP NOT of several strings.
pub const BITOP_NOT_ONE: &str = "ERR BITOP NOT must be called with a single source key.";
/// BITFIELD with an unknown width.
pub const BITFIELD_TYPE: &str =
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
/// BITFIELD with an unknown way to overflow.
pub const BITFIELD_OVERFLOW: &str = "ERR Invalid OVERFLOW type specified";
/// BITFIELD_RO with anything but GET.
pub const BITFIELD_RO_WRITES: &str = "ERR BITFIELD_RO only supports the GET subcommand";
