//! One client connection: bytes in, requests decoded, replies out.
//!
//! It is polled by its own task when the socket is ready and flushed by the turn when replies come from
//! the core. It owns buffering and back-pressure; what a request means is the session's business.
//!
//! Invariants: bytes are executed in order and once; nothing more is parsed while `stall` is set; an idle
//! connection holds no buffer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use repligo_proto::resp::{Args, ProtocolError, RequestDecoder};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::order::Unanswered;
use super::replies::ReplyQueue;
use crate::node::clock::boottime_ns;
use crate::node::worker::Worker;
use crate::session::{self, Flow, Session};

/// Unsent bytes above which no further request of the connection is executed until they are sent.
const BACK_PRESSURE_BYTES: usize = 1 << 20;
/// Requests of one connection that may wait for the core at once; the rest stays unparsed.
const WAITING_MAX: usize = 16_384;
/// Bytes of the read buffer that all connections share.
pub const SCRATCH_BYTES: usize = 64 << 10;
/// Largest step by which a buffer for an incomplete request grows on the client's word alone.
const GROWTH_BYTES: usize = 1 << 20;

/// Why a connection does not parse what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// It does.
    None,
    /// The next request must not be given in before all earlier ones are answered.
    Answers,
    /// Too much is unsent, or too many requests wait.
    Output,
}

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    /// Its place in the table; the high half of its tickets.
    pub slot: u32,
    /// Protocol state.
    pub session: Session,
    /// Replies in request order.
    pub replies: ReplyQueue,
    /// Nothing more is read; it ends when everything asked is answered and sent.
    pub closing: bool,
    /// It ends at once, whatever is pending.
    pub killed: bool,
    /// In the worker's list of connections to flush after the turn.
    pub flush_due: bool,
    /// What is unanswered, as far as the order of further requests is concerned.
    pub unanswered: Unanswered,
    stream: Option<TcpStream>,
    decoder: RequestDecoder,
    /// Unconsumed bytes, from `input_start`.
    input: Vec<u8>,
    input_start: usize,
    stall: Stall,
    write_blocked: bool,
    waker: Option<Waker>,
}

/// Buffers that all connections of a worker use in turn.
#[derive(Debug)]
pub struct Reader {
    scratch: Box<[u8]>,
    args: Args,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            args: Args::new(),
        }
    }
}

enum Sent {
    All,
    Blocked,
    Broken,
}

/// What came of reading.
enum Progress {
    /// Something was read and executed.
    Made,
    /// The same, and there may be more at once: let others have a turn first.
    Yields,
    /// Nothing to read now; the task will be woken.
    Waits,
    /// The client has closed its side, or the connection broke.
    Ended,
}

fn not_read(result: Poll<io::Result<()>>, count: usize) -> Option<Progress> {
    match result {
        Poll::Pending => Some(Progress::Waits),
        Poll::Ready(Ok(())) if count > 0 => None,
        Poll::Ready(_) => Some(Progress::Ended),
    }
}

impl Connection {
    /// A connection in its first state. `first_sequence` goes on where the last one in this slot ended.
    pub fn new(
        slot: u32,
        first_sequence: u32,
        stream: Option<TcpStream>,
        decoder: RequestDecoder,
        session: Session,
    ) -> Self {
        Self {
            slot,
            session,
            replies: ReplyQueue::starting_at(first_sequence),
            closing: false,
            killed: false,
            flush_due: false,
            unanswered: Unanswered::Nothing,
            stream,
            decoder,
            input: Vec::new(),
            input_start: 0,
            stall: Stall::None,
            write_blocked: false,
            waker: None,
        }
    }

    /// The peer's and the own address.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match &self.stream {
            Some(stream) => (stream.peer_addr().ok(), stream.local_addr().ok()),
            None => (None, None),
        }
    }

    /// Bytes read and not yet consumed, and the room after them.
    pub fn query_buffer(&self) -> (usize, usize) {
        let held = self.input.len() - self.input_start;
        (held, self.input.capacity() - self.input.len())
    }

    /// Lets the connection send requests of any size, or only what a handshake needs.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.session.authenticated = authenticated;
        self.decoder.set_authenticated(authenticated);
    }

    /// What is unanswered now.
    pub fn unanswered(&self) -> Unanswered {
        if self.replies.waiting() == 0 {
            Unanswered::Nothing
        } else {
            self.unanswered
        }
    }

    /// Wakes the connection's task, which then looks at its state anew.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Ends the connection at the next look of its task.
    pub fn kill(&mut self) {
        self.killed = true;
        self.wake();
    }

    /// Ends the connection once everything asked so far is answered and sent.
    pub fn close_gently(&mut self) {
        self.closing = true;
        self.wake();
    }

    /// Sends what it can without waiting; called by the turn after it answered requests. Wakes the task if
    /// there is something left to do for it.
    pub fn flush_after_turn(&mut self, worker: &mut Worker) {
        self.flush_due = false;
        if matches!(self.send(worker), Sent::Broken) {
            self.killed = true;
        }
        let resumes = match self.stall {
            Stall::None => false,
            Stall::Answers => self.replies.waiting() == 0,
            Stall::Output => true,
        };
        if self.killed || self.closing || self.write_blocked || resumes {
            self.wake();
        }
    }

    fn send(&mut self, worker: &mut Worker) -> Sent {
        if self.replies.pending_bytes() > worker.parameters.output_bytes_max() {
            worker.shared.metrics.output_limit_disconnections.add(1);
            tracing::warn!(
                client = %self.session.address(),
                bytes = self.replies.pending_bytes(),
                "client does not read its replies: disconnected (output buffer limit)"
            );
            return Sent::Broken;
        }
        let Some(stream) = &self.stream else {
            return Sent::All;
        };
        while !self.replies.sendable().is_empty() {
            match stream.try_write(self.replies.sendable()) {
                Ok(count) => {
                    worker.shared.metrics.bytes_out.add(count as u64);
                    self.replies.consume(count, &mut worker.pool);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.write_blocked = true;
                    return Sent::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Sent::Broken,
            }
        }
        self.write_blocked = false;
        Sent::All
    }

    /// Drives the connection as far as the socket and the core allow; ready when it is over.
    pub fn poll(&mut self, cx: &mut Context<'_>, worker: &mut Worker, reader: &mut Reader) -> Poll<()> {
        self.remember(cx);
        loop {
            if self.killed {
                return Poll::Ready(());
            }
            if self.replies.waiting() > 0 && worker.turn.is_due() {
                // The turn that comes next has more to send: one system call instead of two.
                worker.flush_after_turn(self);
            } else {
                match self.send(worker) {
                    Sent::Broken => return Poll::Ready(()),
                    Sent::All => {}
                    Sent::Blocked => {
                        if let Some(stream) = &self.stream
                            && stream.poll_write_ready(cx).is_ready()
                        {
                            continue;
                        }
                    }
                }
            }
            if self.closing {
                let over = self.replies.waiting() == 0 && self.replies.pending_bytes() == 0;
                return if over { Poll::Ready(()) } else { Poll::Pending };
            }
            let stalled = match self.stall {
                Stall::None => false,
                Stall::Answers => self.replies.waiting() > 0,
                Stall::Output => self.holds_back(),
            };
            if stalled {
                return Poll::Pending;
            }
            if self.stall != Stall::None {
                self.stall = Stall::None;
                self.execute_input(worker, reader);
                continue;
            }
            match self.read(cx, worker, reader) {
                Progress::Made => {}
                Progress::Ended => self.closing = true,
                Progress::Waits => return Poll::Pending,
                Progress::Yields => {
                    // A busy client must not starve the others; what it has earned is sent first.
                    cx.waker().wake_by_ref();
                    if matches!(self.send(worker), Sent::Broken) {
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Holds the next requests back until the present ones are answered.
    pub fn hold_back(&mut self) {
        self.stall = Stall::Answers;
    }

    /// Number of the socket, -1 without one.
    pub fn descriptor(&self) -> i32 {
        self.stream.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn holds_back(&self) -> bool {
        self.replies.pending_bytes() > BACK_PRESSURE_BYTES || self.replies.waiting() >= WAITING_MAX
    }

    /// Reads once and executes what is complete.
    fn read(&mut self, cx: &mut Context<'_>, worker: &mut Worker, reader: &mut Reader) -> Progress {
        let Some(stream) = &mut self.stream else {
            return Progress::Waits;
        };
        if self.input.is_empty() {
            let mut buffer = ReadBuf::new(&mut reader.scratch);
            let result = Pin::new(stream).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            if let Some(progress) = not_read(result, count) {
                return progress;
            }
            worker.shared.metrics.bytes_in.add(count as u64);
            let Reader { scratch, args } = reader;
            let consumed = self.execute(&scratch[..count], args, worker);
            if consumed < count {
                self.input = worker.pool.take();
                self.input.extend_from_slice(&scratch[consumed..count]);
            }
            return if count == SCRATCH_BYTES {
                Progress::Yields
            } else {
                Progress::Made
            };
        }
        let missing = self.decoder.bytes_missing().max(SCRATCH_BYTES);
        self.input
            .reserve(missing.min(self.input.len().max(GROWTH_BYTES)));
        let mut buffer = ReadBuf::uninit(self.input.spare_capacity_mut());
        let result = Pin::new(stream).poll_read(cx, &mut buffer);
        let (count, full) = (buffer.filled().len(), buffer.remaining() == 0);
        if let Some(progress) = not_read(result, count) {
            return progress;
        }
        // SAFETY: the read buffer filled exactly `count` bytes of the spare capacity.
        unsafe { self.input.set_len(self.input.len() + count) };
        worker.shared.metrics.bytes_in.add(count as u64);
        self.execute_input(worker, reader);
        if full { Progress::Yields } else { Progress::Made }
    }

    /// Executes the buffered input and gives the buffer back when it is used up.
    fn execute_input(&mut self, worker: &mut Worker, reader: &mut Reader) {
        let input = std::mem::take(&mut self.input);
        let start = self.input_start;
        let consumed = self.execute(&input[start..], &mut reader.args, worker);
        self.input = input;
        self.input_start = start + consumed;
        if self.input_start == self.input.len() {
            self.input_start = 0;
            worker.pool.give(std::mem::take(&mut self.input));
        } else if self.input_start > self.input.len() / 2 {
            self.input.drain(..self.input_start);
            self.input_start = 0;
        }
    }

    /// Executes the complete requests at the start of `bytes`; returns how many bytes they took. The
    /// clock is sampled here, once for all of them, after their bytes were read.
    pub fn execute(&mut self, bytes: &[u8], args: &mut Args, worker: &mut Worker) -> usize {
        let began_ns = boottime_ns();
        worker.busy.begin(began_ns);
        let now = worker.clock.at(began_ns / 1000);
        self.session.active_us = now.mono_us;
        worker.batch.begin();
        let mut position = 0;
        while position < bytes.len() {
            let taken = match self.decoder.decode(&bytes[position..], args) {
                Ok(Some(taken)) => taken,
                Ok(None) => break,
                Err(ProtocolError::CrossProtocol) => {
                    // A browser was tricked into sending it: nothing is answered that a page could read.
                    worker.shared.metrics.protocol_errors.add(1);
                    tracing::warn!(client = %self.session.address(), "a client speaks HTTP: disconnected");
                    self.killed = true;
                    break;
                }
                Err(error) => {
                    worker.shared.metrics.protocol_errors.add(1);
                    session::reply_error(self, worker, error.wire().as_bytes());
                    self.closing = true;
                    position = bytes.len();
                    break;
                }
            };
            if !args.is_empty() {
                match session::execute(self, worker, now, args.view(&bytes[position..])) {
                    Flow::Done => {}
                    Flow::Wait => {
                        self.stall = Stall::Answers;
                        break;
                    }
                    Flow::Close => {
                        self.closing = true;
                        position = bytes.len();
                        break;
                    }
                }
            }
            position += taken;
            if self.stall != Stall::None {
                break;
            }
            if self.holds_back() {
                self.stall = Stall::Output;
                break;
            }
        }
        worker.end_batch(began_ns);
        position
    }
}
