//! Open files: clients get what the node itself does not need.

use super::NodeError;
use crate::telemetry::descriptors;

/// As many clients as there are descriptors for; says so where those are fewer.
///
/// # Errors
/// [`NodeError::Descriptors`] if there are none for any client.
pub fn fit(maxclients: usize) -> Result<usize, NodeError> {
    match descriptors::fit(maxclients) {
        Err(granted) => Err(NodeError::Descriptors {
            granted,
            needed: descriptors::OWN_FILES + 1,
        }),
        Ok(fitting) => {
            if fitting < maxclients {
                let files = fitting as u64 + descriptors::OWN_FILES;
                tracing::warn!(
                    "the process may open {files} files, and {maxclients} clients need {}: maxclients is {fitting}. \
                     Raise the limit (ulimit -n, LimitNOFILE= of systemd), or give a lower --maxclients",
                    maxclients as u64 + descriptors::OWN_FILES
                );
            }
            Ok(fitting)
        }
    }
}
