//! The socket file for clients of the same machine, as it is configured.

use std::path::PathBuf;

/// Longest path that the system takes for a socket: `sun_path` of unix(7), less its final zero.
pub const PATH_BYTES_MAX: usize = 107;

/// A socket file for clients of the same machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

impl UnixSocket {
    /// Whether every user of the machine may connect.
    pub fn is_open(&self) -> bool {
        const OTHERS_WRITE: u32 = 0o002;
        self.mode & OTHERS_WRITE != 0
    }
}
