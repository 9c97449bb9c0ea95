//! A connection whose client waits for a key, or is paused: what it sends is kept for later, and its end is seen.

use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::Connection;
use crate::worker::Worker;

/// Bytes that are kept at most; what is behind them, and the end, stays in the socket.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;

impl Connection {
    /// While the session stalls: nothing, unless its client waits for a key or is paused; then what comes is read and not executed.
    /// Ready if the client is gone.
    pub(super) fn watch_blocked(&mut self, cx: &mut Context<'_>, worker: &mut Worker) -> Poll<()> {
        let watches = self.session.blocked().is_some() || self.session.is_held();
        while watches && self.io.input.len() - self.io.input_start < KEPT_BYTES_MAX {
            let Some(stream) = &mut self.io.stream else {
                return Poll::Pending;
            };
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match stream.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    if self.io.input.capacity() == 0 {
                        self.io.input = worker.pool.take();
                    }
                    self.io.input.extend_from_slice(buffer.filled());
                    worker.shared.metrics.bytes_in.add(buffer.filled().len() as u64);
                }
                // It is gone, or it has closed its side, which Redis takes for the same.
                Poll::Ready(_) => {
                    self.session.killed = true;
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }
}
