//! Why a client that waits for a key is to wait no more.

/// Why a client waits no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were up: it is told that it gets nothing.
    Nothing,
    /// It is told that somebody has ended its waiting.
    Error,
    /// It is gone.
    Gone,
}
