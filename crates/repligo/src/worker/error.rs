//! Why a node does not start, or has to stop.

use crate::net::options::ListenError;

/// Why a node did not start, or had to stop. Each text says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Settings contradict each other.
    #[error("{0}")]
    Settings(String),
    /// The keys of the peer links are missing or cannot be used.
    #[error("{0}")]
    Keys(String),
    /// The data directory cannot be used.
    #[error("{0}")]
    Disk(String),
    /// Forming was refused, for good.
    #[error("{0}")]
    Forming(String),
    /// This node was taken out of the cluster.
    #[error(
        "this node was removed from the cluster, so it stops. Its data directory is not needed any more; to come \
         back, start it with an empty one and --join"
    )]
    Removed,
    /// The origin cannot be used as configured.
    #[error("{0}")]
    Origin(String),
    /// The system lets the process open too few files for a single client.
    #[error(
        "the process may open {granted} files, and a node needs {needed}; raise the limit (ulimit -n, LimitNOFILE= \
         of systemd), then start the node again"
    )]
    Descriptors {
        /// Files that it may open.
        granted: u64,
        /// Files that a node needs at least.
        needed: u64,
    },
    /// The system refuses a thread, a runtime or a signal handler.
    #[error("{what}: {source}; {}", system_remedy(source))]
    System {
        /// What was tried.
        what: &'static str,
        /// From the system.
        source: std::io::Error,
    },
}

/// What to do when the system refuses something that it usually grants.
fn system_remedy(source: &std::io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            "raise the limit of open files (ulimit -n), then start the node again"
        }
        Some(libc::EAGAIN) => {
            "raise the limit of processes and threads (ulimit -u), then start the node again"
        }
        _ => "look at the limits of this user or container (ulimit -a), then start the node again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_has_a_remedy() {
        for (number, part) in [
            (libc::EMFILE, "ulimit -n"),
            (libc::EAGAIN, "ulimit -u"),
            (libc::EPERM, "ulimit -a"),
        ] {
            let source = std::io::Error::from_raw_os_error(number);
            let what = "cannot start the runtime";
            let text = NodeError::System { what, source }.to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
