//! What the wire says of publishing and subscribing, in the words of Redis 7.0.15 where it has any.

/// A channel that its user may not use.
pub const NO_CHANNEL_PERMISSION: &str =
    "NOPERM this user has no permissions to access one of the channels used as arguments";

/// A command that a subscriber may not send in RESP2, whose replies could not be told from messages.
pub fn only_for_subscribers(name: &str) -> String {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
         in this context"
    )
}

/// A connection that subscribes to more than it may; nothing of the command was done.
pub fn too_many_subscriptions(count_max: usize, bytes_max: usize) -> String {
    format!(
        "ERR a connection may subscribe to at most {count_max} channels and patterns, whose names may have \
         {bytes_max} bytes in all; use several connections"
    )
}

/// PSUBSCRIBE with a long pattern.
pub fn pattern_too_long(bytes_max: usize) -> String {
    format!("ERR a pattern of channels may have at most {bytes_max} bytes")
}

/// PUBLISH of more than a node passes on.
pub fn message_too_long(bytes_max: usize) -> String {
    format!(
        "ERR a channel and its message may have at most {bytes_max} bytes; not published; send it in parts, or \
         store it and publish its key"
    )
}
