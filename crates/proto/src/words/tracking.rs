//! What the wire says of CLIENT TRACKING, in the words of Redis 7.0.15 where it has any.

/// REDIRECT, twice.
pub const ONE_REDIRECT: &str = "ERR A client can only redirect to a single other client";
/// REDIRECT to nobody.
pub const NO_SUCH_REDIRECT: &str = "ERR The client ID you want redirect to does not exist";
/// PREFIX without BCAST.
pub const PREFIX_WITHOUT_BROADCAST: &str = "ERR PREFIX option requires BCAST mode to be enabled";
/// BCAST where it was not, or the reverse.
pub const OTHER_BROADCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
                                   and then re-enabling it with a different mode.";
/// BCAST with OPTIN or OPTOUT.
pub const BROADCAST_AND_CHOICE: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
/// OPTIN with OPTOUT.
pub const BOTH_CHOICES: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
/// OPTIN where OPTOUT was, or the reverse.
pub const OTHER_CHOICE: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and \
                                then re-enabling it with a different mode.";
/// CLIENT CACHING without tracking.
pub const CACHING_WITHOUT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode \
                                            with OPTIN or OPTOUT mode enabled";
/// CLIENT CACHING YES in another mode.
pub const YES_WITHOUT_OPTIN: &str =
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
/// CLIENT CACHING NO in another mode.
pub const NO_WITHOUT_OPTOUT: &str =
    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";

/// A prefix that overlaps with one that is there: `which` says whether it was there before.
pub fn overlaps(prefix: &[u8], which: &str, other: &[u8]) -> Vec<u8> {
    let which = format!("' overlaps with {which} prefix '").into_bytes();
    let end = b"'. Prefixes for a single client must not overlap.";
    [b"ERR Prefix '", prefix, &which, other, end].concat()
}

/// More prefixes than each change of a key is compared with.
pub fn too_many_prefixes(count_max: usize) -> String {
    format!("ERR a client may track at most {count_max} prefixes")
}

/// Longer prefixes than are compared at once.
pub fn too_long_prefixes(bytes_max: usize) -> String {
    format!(
        "ERR the prefixes of a client may have at most {bytes_max} bytes; take shorter ones, or several connections"
    )
}
