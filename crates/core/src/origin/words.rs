//! Sentences that clients of mapped keyspaces read: code word, what is wrong, remedy. Never a line break.

/// Longest text of the origin that is passed on to a client, in bytes.
const DETAIL_BYTES_MAX: usize = 400;

/// Makes one printable line of whatever a client or a database said.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(DETAIL_BYTES_MAX));
    for character in text.trim().chars() {
        if line.len() + character.len_utf8() > DETAIL_BYTES_MAX {
            line.push('…');
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

/// A key as it may appear in an error.
pub fn printable_key(key: &[u8]) -> String {
    one_line(&key[..key.len().min(64)].escape_ascii().to_string())
}

/// The origin refused this write and nothing of it was stored (outcome: not applied).
pub fn rejected(detail: &str) -> String {
    format!("ERR origin rejected the write: {}", one_line(detail))
}

/// The origin cannot be reached and the request was not executed (outcome: not applied).
pub fn origin_down(keyspace: &str, detail: &str) -> String {
    format!(
        "ORIGINDOWN the origin of keyspace {keyspace} does not answer ({}); nothing was done, try again later",
        one_line(detail)
    )
}

/// The mapping of the keyspace does not fit its database; the request was not executed.
pub fn origin_misconfigured(keyspace: &str, detail: &str) -> String {
    format!(
        "ORIGINDOWN the mapping of keyspace {keyspace} does not fit its origin: {}; nothing was done; change the \
         table or the mapping, the table is looked at again every second",
        one_line(detail)
    )
}

/// What an operator wants to read of one of these two errors: no code word, no advice to a client.
pub fn reason(error: &str) -> &str {
    let text = error.strip_prefix("ORIGINDOWN ").unwrap_or(error);
    text.split("; nothing was done").next().unwrap_or(text)
}

/// A row that is too large to be replicated; it stays in the origin and is not cached.
pub fn row_too_large(keyspace: &str, row_bytes: usize, bytes_max: usize) -> String {
    format!(
        "ERR the row in the origin of keyspace {keyspace} has {row_bytes} bytes, more than the {bytes_max} that can be cached; \
         read it from the database"
    )
}

/// The deadline of a pending write passed before the origin had decided it (outcome: unknown). `down` is the
/// error that other writes get meanwhile.
pub fn undecided(keyspace: &str, deadline_ms: u64, down: Option<&str>) -> String {
    let seconds = deadline_ms.div_ceil(1000);
    let why = down.map_or(String::new(), |error| format!(": {}", reason(error)));
    format!(
        "UNKNOWN the origin of keyspace {keyspace} did not decide this write within {seconds} s{why}; \
         read the key once the origin is back"
    )
}

/// What is recorded for a write that is skipped because its deadline passed.
pub const SKIPPED: &str =
    "ERR the write was dropped because the origin did not take it before its client was told UNKNOWN";

/// A row cannot be loaded before a write to it is decided (outcome: not applied).
pub fn write_undecided(keyspace: &str) -> String {
    format!(
        "ORIGINDOWN the origin of keyspace {keyspace} has not decided an earlier write to this key; nothing was done, \
         try again later"
    )
}

/// Too many undecided writes wait for the origin (outcome: not applied).
pub fn lane_full(keyspace: &str) -> String {
    format!(
        "ORIGINDOWN too many writes wait for the origin of keyspace {keyspace}; nothing was done, try again later"
    )
}

/// The command is not for mapped keys.
pub fn unsupported(command: &str, keyspace: &str, remedy: &str) -> String {
    format!(
        "ERR {} is not supported in keyspace {keyspace}: {remedy}",
        command.to_uppercase().replace('|', " ")
    )
}

/// REPLIGO.INVALIDATE within a block.
pub const INVALIDATE_ALONE: &str =
    "ERR REPLIGO.INVALIDATE is not possible in MULTI; send the command outside of MULTI";

/// REPLIGO.INVALIDATE of a key that has no row behind it.
pub fn nothing_to_invalidate(key: &[u8]) -> String {
    format!(
        "ERR REPLIGO.INVALIDATE drops cached copies of rows, and key '{}' has no row behind it: no keyspace maps it; \
         use DEL to delete it",
        printable_key(key)
    )
}

/// REPLIGO.INVALIDATE of too many keys.
pub fn too_many_to_invalidate(count: usize, count_max: usize) -> String {
    format!(
        "ERR REPLIGO.INVALIDATE takes at most {count_max} keys at once, not {count}; send several commands"
    )
}

/// The key starts like those of a keyspace but names no row.
pub fn not_canonical(key: &[u8], keyspace: &str, pattern: &str, rule: &str) -> String {
    format!(
        "ERR key '{}' does not fit the pattern {pattern} of keyspace {keyspace}: {}",
        printable_key(key),
        one_line(rule)
    )
}

/// The value cannot be mapped to columns.
pub fn unmappable(key: &[u8], keyspace: &str, rule: &str) -> String {
    format!(
        "ERR the value of '{}' does not fit keyspace {keyspace}: {}",
        printable_key(key),
        one_line(rule)
    )
}

/// Why the keys of one write cannot be decided together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart<'a> {
    /// Some have an origin, some have none.
    Mixed,
    /// They are of several keyspaces.
    Keyspaces,
    /// They are of several lanes of one, whose pattern has room for a hash tag or not.
    Lanes {
        /// As it was written.
        pattern: &'a str,
        /// A hash tag fits.
        takes_hash_tag: bool,
    },
}

/// A write names keys that cannot be decided together.
pub fn cross_lane(command: &str, why: Apart<'_>) -> String {
    let command = command.to_uppercase();
    match why {
        Apart::Mixed => format!(
            "CROSSLANE {command} mixes keys with an origin and keys without one; send one command for each"
        ),
        Apart::Keyspaces => format!(
            "CROSSLANE the keys of {command} belong to different keyspaces; send one command for each"
        ),
        Apart::Lanes {
            pattern,
            takes_hash_tag: true,
        } => format!(
            "CROSSLANE the keys of {command} belong to different lanes; use keys of {pattern} with the same text in braces, or send one command per key"
        ),
        Apart::Lanes { pattern, .. } => format!(
            "CROSSLANE the keys of {command} belong to different lanes, and keys of {pattern} have no room for a hash tag; send one command per key"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_origin_says_stays_one_short_line() {
        let text = rejected(&format!("a\r\nb\0{}", "é".repeat(1000)));
        assert!(text.starts_with("ERR origin rejected the write: a  b "));
        assert!(text.len() < 450);
        assert!(!text.contains(['\r', '\n', '\0']));
        assert_eq!(printable_key(b"a\r\n\xff"), "a\\r\\n\\xff");
        let down = origin_down("users", "the file is gone");
        assert!(down.ends_with("; nothing was done, try again later"), "{down}");
        let expect = "the origin of keyspace users does not answer (the file is gone)";
        assert_eq!(reason(&down), expect);
    }
}
