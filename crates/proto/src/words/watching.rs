//! Sentences about pauses and about being shown what others ask.

/// CLIENT PAUSE with a third word that is none.
pub const PAUSE_MODE: &str = "ERR CLIENT PAUSE mode must be WRITE or ALL";
/// How long to pause, as no number.
pub const NO_PAUSE_TIME: &str = "ERR timeout is not an integer or out of range";
/// A pause beyond what a clock can count.
pub const PAUSE_TOO_LONG: &str = "ERR timeout is out of range";
/// MONITOR in a block.
pub const MONITOR_IN_BLOCK: &str = "ERR MONITOR isn't allowed for DENY BLOCKING client";
/// A client that is shown what others ask and asks for data itself.
pub const MONITOR_ASKS: &str = "ERR Replica can't interact with the keyspace";
