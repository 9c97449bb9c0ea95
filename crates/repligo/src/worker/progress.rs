//! What came of reading from a client's socket, and of sending to it.

use std::io;
use std::task::Poll;

/// What came of sending.
#[derive(Debug)]
pub(super) enum Sent {
    /// Nothing is left.
    All,
    /// The system takes no more for now.
    Blocked,
    /// There is more to send, and others come first.
    Paused,
    /// The connection is over.
    Broken,
}

/// What came of reading.
#[derive(Debug)]
pub(super) enum Progress {
    /// Something was read and executed.
    Made,
    /// The same, and there may be more at once: let others have a turn first.
    Yields,
    /// Nothing to read now; the task will be woken.
    Waits,
    /// The client has closed its side, or the connection broke.
    Ended,
}

/// What a read that brought nothing means.
pub(super) fn not_read(result: Poll<io::Result<()>>, count: usize) -> Option<Progress> {
    match result {
        Poll::Pending => Some(Progress::Waits),
        Poll::Ready(Ok(())) if count > 0 => None,
        Poll::Ready(_) => Some(Progress::Ended),
    }
}
