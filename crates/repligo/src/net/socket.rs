//! The stream of one peer link: queued frames out, bytes in.
//!
//! It knows frames only by their length; what they mean is decided by `dial` and the core.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use repligo_core::forming::FormingState;
use repligo_proto::frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::outgoing::Outgoing;
use super::peer_stream::PeerStream;
use crate::telemetry::Metrics;

/// Bytes that may wait for one peer; more than that tears the link down.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Free room that a read asks for.
const READ_BYTES: usize = 64 << 10;
/// A link that has read or sent so much gives way to others.
pub const AT_ONCE_BYTES: usize = 1 << 20;
/// Capacity that an idle link keeps.
const KEPT_BYTES: usize = 1 << 20;

/// The stream to one peer.
#[derive(Debug)]
pub struct Socket {
    /// Told apart from earlier streams to the same peer.
    pub epoch: u64,
    /// Run of the peer's process.
    pub incarnation: u64,
    /// The peer's forming state, as it last said.
    pub theirs: FormingState,
    /// Replication flows.
    pub open: bool,
    pub(super) stream: PeerStream,
    /// Bytes read since the link gave way to others.
    pub read_bytes: usize,
    pub(super) input: Vec<u8>,
    pub(super) out: Outgoing,
    pub(super) broken: bool,
    pub(super) waker: Option<Waker>,
}

impl Socket {
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Whether everything has left.
    pub(super) fn is_sent(&self) -> bool {
        self.out.is_empty() && !self.stream.has_unsent()
    }

    /// Sends what the socket takes; true if it has given way to others before.
    pub(super) fn flush(&mut self, metrics: &Metrics) -> bool {
        let mut sent = 0;
        while !self.is_sent() && sent < AT_ONCE_BYTES {
            let mut slices = Outgoing::no_slices();
            match self.stream.try_write_vectored(self.out.slices(&mut slices)) {
                Ok(count) => {
                    metrics.peer_bytes_out.add(count as u64);
                    self.out.consume(count);
                    sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.broken = true;
                    return false;
                }
            }
        }
        let left = self.out.len();
        if left > QUEUE_BYTES_MAX {
            tracing::warn!(bytes = left, "peer does not take its messages: link torn down");
            self.broken = true;
        }
        sent >= AT_ONCE_BYTES
    }

    /// Sends and reads as far as possible; the frames that are complete afterwards are in
    /// [`Self::next_frame`]. Ready with false when the stream is over.
    pub fn poll(&mut self, cx: &mut Context<'_>, metrics: &Metrics) -> Poll<bool> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
        loop {
            let gives_way = self.flush(metrics);
            if self.broken {
                return Poll::Ready(false);
            }
            if gives_way {
                cx.waker().wake_by_ref();
                break;
            }
            if self.is_sent() || self.stream.poll_write_ready(cx).is_pending() {
                break;
            }
        }
        let missing = frame::bytes_missing(&self.input).max(READ_BYTES);
        self.input.reserve(missing);
        let room = self.input.spare_capacity_mut();
        // What follows a long frame is not read with it, so that the buffer can be handed on as it is.
        let most = if missing > READ_BYTES {
            missing.min(AT_ONCE_BYTES)
        } else {
            room.len()
        };
        let mut buffer = ReadBuf::uninit(&mut room[..most]);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        match result {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if count > 0 => {}
            Poll::Ready(_) => return Poll::Ready(false),
        }
        // SAFETY: the read buffer filled exactly `count` bytes of the spare capacity.
        unsafe { self.input.set_len(self.input.len() + count) };
        metrics.peer_bytes_in.add(count as u64);
        self.read_bytes += count;
        Poll::Ready(true)
    }

    /// Whether what has been read begins with a whole frame that is long.
    pub fn has_long_frame(&self) -> bool {
        self.input.len() > AT_ONCE_BYTES && frame::is_long(&self.input, AT_ONCE_BYTES)
    }

    /// What has been read, to be decoded by the caller; give it back with [`Self::give_input`].
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// The rest of the input after its complete frames.
    pub fn give_input(&mut self, mut input: Vec<u8>, consumed: usize) {
        input.drain(..consumed);
        if input.is_empty() {
            input.shrink_to(KEPT_BYTES);
        }
        self.input = input;
    }
}
