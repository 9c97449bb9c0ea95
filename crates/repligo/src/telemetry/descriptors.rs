//! Open files: how many clients fit, so that the log, the links and admin HTTP always have theirs.
//!
//! Every listener has a limit, and all of them together with what the node itself opens stay below the limit of the
//! system. So nobody who connects can take the descriptor with which the next segment of the log is opened.

use repligo_core::limits;

use super::process;

/// Open files that a node needs besides its clients': what it opens itself, connections that are being accepted or
/// closed, and those of the other listeners.
pub const OWN_FILES: u64 = 256
    + limits::PEER_HANDSHAKES_MAX as u64
    + limits::CLIENT_HANDSHAKES_MAX as u64
    + limits::ADMIN_CONNECTIONS_MAX as u64;

/// How many of so many clients fit: raises the limit of open files as far as allowed.
///
/// # Errors
/// Not one fits: the number of files that may be open.
pub fn fit(maxclients: usize) -> Result<usize, u64> {
    let granted = process::raise_open_files(maxclients as u64 + OWN_FILES);
    match granted.checked_sub(OWN_FILES) {
        None | Some(0) => Err(granted),
        Some(rest) => Ok(maxclients.min(usize::try_from(rest).unwrap_or(usize::MAX))),
    }
}
