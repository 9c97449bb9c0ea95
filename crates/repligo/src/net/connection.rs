//! One client connection: bytes in, requests decoded, replies out.
//!
//! It is polled by its own task when the socket is ready and flushed by the turn when replies come from
//! the core. It owns buffering and back-pressure; what a request means is the session's business.
//!
//! Invariants: bytes are executed in order and once; nothing more is parsed while `stall` is set; an idle
//! connection holds no buffer.

mod execute;

use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, Waker};

use repligo_core::limits;
use repligo_core::shares::Demand;
use repligo_proto::resp::RequestDecoder;
use tokio::io::ReadBuf;

use super::gather::{Gathering, READ_BYTES_MAX};
use super::options;
use super::standing::{Progress, Sent, Stall, not_read};
use super::stream::ClientStream;
use crate::node::worker::Worker;
use crate::session::order::Unanswered;
use crate::session::replies::ReplyQueue;
use crate::session::{self, Session};
use crate::telemetry::clock::boottime_ns;

/// Unsent bytes above which no further request of the connection is executed until they are sent.
const BACK_PRESSURE_BYTES: usize = 1 << 20;
/// Bytes that one connection sends before others have a turn: a client that reads as fast as this node
/// writes would otherwise hold the thread until all of a long reply is sent.
const SENT_AT_ONCE_BYTES: usize = 1 << 20;
/// Requests of one connection that may wait for the core at once; the rest stays unparsed.
const WAITING_MAX: usize = 16_384;
/// Largest step by which a buffer for an incomplete request grows on the client's word alone.
const GROWTH_BYTES: usize = 1 << 20;

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
    /// What the present request asks of the node's queue, set by [`Connection::asks_for`].
    pub demand: Demand,
    /// Bytes of the present request.
    pub request_bytes: usize,
    /// Bytes of it and of what was read behind it, while it is executed.
    unread_bytes: usize,
    stream: Option<ClientStream>,
    decoder: RequestDecoder,
    /// Unconsumed bytes, from `input_start`.
    input: Vec<u8>,
    input_start: usize,
    stall: Stall,
    /// What it has read waits for its execution; until then it reads nothing more.
    gathered: bool,
    /// The socket may have more than was gathered.
    has_more: bool,
    write_blocked: bool,
    /// Something was sent since the last look of [`Connection::has_stalled`].
    has_sent: bool,
    /// Looks in a row at which there was something to send and nothing had been.
    stalled_looks: u64,
    /// Bytes that the system held for the client at the last look.
    in_flight: usize,
    waker: Option<Waker>,
}

impl Connection {
    /// A connection in its first state. `first_sequence` goes on where the last one in this slot ended.
    pub fn new(
        slot: u32,
        first_sequence: u32,
        stream: Option<ClientStream>,
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
            demand: Demand::default(),
            request_bytes: 0,
            unread_bytes: 0,
            stream,
            decoder,
            input: Vec::new(),
            input_start: 0,
            stall: Stall::None,
            gathered: false,
            has_more: false,
            write_blocked: false,
            has_sent: false,
            stalled_looks: 0,
            in_flight: 0,
            waker: None,
        }
    }

    /// Bytes read and not yet consumed, those of a request that is being executed included, and the room
    /// after them.
    pub fn query_buffer(&self) -> (usize, usize) {
        // While it is being executed, the input is elsewhere.
        let held = self.input.len().saturating_sub(self.input_start) + self.unread_bytes;
        (held, self.input.capacity() - self.input.len())
    }

    /// Memory of the arguments of an incomplete request, beside their bytes.
    pub fn arguments_bytes(&self) -> usize {
        self.decoder.heap_bytes()
    }

    /// All memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        let (held, free) = self.query_buffer();
        let multi = self.session.multi.as_deref().map_or(0, session::Multi::bytes);
        let replies = self.replies.memory();
        let names = self.session.names_bytes();
        let buffers = held + free + self.arguments_bytes() + multi + names;
        size_of::<Self>() + buffers + replies.buffer_bytes + replies.list_bytes + replies.places_bytes
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

    /// What a request of so many bytes asks of the node's queue.
    #[inline]
    pub fn asks_for(&mut self, bytes: usize) -> Demand {
        self.demand = Demand {
            held_bytes: self.replies.held_bytes(),
            bytes: bytes + limits::REQUEST_OVERHEAD_BYTES,
        };
        self.demand
    }

    /// True while it waits for room in the node's queue.
    pub fn waits_for_room(&self) -> bool {
        self.stall == Stall::Room
    }

    /// There is room in the node's queue again, and it is this connection's turn.
    pub fn call(&mut self) {
        if self.waits_for_room() {
            self.stall = Stall::Output;
            self.wake();
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
            Stall::None | Stall::Room => false,
            Stall::Answers => self.replies.waiting() == 0,
            Stall::Output => true,
            // Woken by the allowance.
            Stall::Allowance => false,
        };
        let reads_on = std::mem::take(&mut self.has_more);
        let runs = self.session.is_block_ready();
        if self.killed || self.closing || self.write_blocked || resumes || reads_on || runs {
            self.wake();
        }
    }

    /// True when the client has read nothing although there was something to send, at more than
    /// `looks_max` looks in a row.
    pub fn has_stalled(&mut self, looks_max: u64) -> bool {
        let has_sent = std::mem::take(&mut self.has_sent);
        if !self.write_blocked {
            self.stalled_looks = 0;
            return false;
        }
        // The system asks for more only once much of what it holds is read.
        let in_flight = self.stream.as_ref().map_or(0, options::bytes_in_flight);
        let moves = has_sent || in_flight < self.in_flight;
        self.in_flight = in_flight;
        self.stalled_looks = if moves { 0 } else { self.stalled_looks + 1 };
        self.stalled_looks > looks_max
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
        let mut rest = SENT_AT_ONCE_BYTES;
        while !self.replies.sendable().is_empty() {
            if rest == 0 {
                self.write_blocked = true;
                return Sent::Paused;
            }
            let sendable = self.replies.sendable();
            match stream.try_write(&sendable[..sendable.len().min(rest)]) {
                Ok(count) => {
                    self.has_sent = true;
                    rest -= count;
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
    pub fn poll(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Poll<()> {
        self.remember(cx);
        loop {
            if self.killed {
                return Poll::Ready(());
            }
            if self.gathered {
                return Poll::Pending;
            }
            if self.replies.waiting() > 0 && worker.turn.is_due() {
                // The turn that comes next has more to send: one system call instead of two.
                worker.flush_after_turn(self);
            } else {
                match self.send(worker) {
                    Sent::Broken => return Poll::Ready(()),
                    Sent::All => {}
                    Sent::Paused => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Sent::Blocked => {
                        if let Some(stream) = &self.stream
                            && stream.poll_write_ready(cx).is_ready()
                        {
                            continue;
                        }
                    }
                }
            }
            if self.session.is_block_ready() {
                if self.run_block(worker) {
                    continue;
                }
                return Poll::Pending;
            }
            if self.closing {
                let over = self.replies.waiting() == 0 && self.replies.pending_bytes() == 0;
                return if over { Poll::Ready(()) } else { Poll::Pending };
            }
            let stalled = match self.stall {
                Stall::None => false,
                Stall::Answers => self.replies.waiting() > 0,
                Stall::Output => self.holds_back(),
                Stall::Allowance => worker.allowance.is_used_up(),
                Stall::Room => true,
            };
            if stalled {
                if self.stall == Stall::Allowance {
                    worker.wait_for_allowance(self.slot, false);
                }
                return Poll::Pending;
            }
            if self.stall != Stall::None {
                self.stall = Stall::None;
                self.execute_input(worker, gathering);
                continue;
            }
            match self.read(cx, worker, gathering) {
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

    /// Runs on what the session answers of a MULTI block; false if it goes on in the next turn.
    pub fn run_block(&mut self, worker: &mut Worker) -> bool {
        if worker.allowance.is_used_up() {
            worker.wait_for_allowance(self.slot, false);
            return false;
        }
        let began_ns = boottime_ns();
        worker.busy.begin(began_ns);
        worker.batch.begin();
        session::run_block(self, worker, worker.clock.at(began_ns / 1000));
        worker.end_batch(began_ns);
        !self.session.is_block_ready()
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

    /// Reads once. Without an incomplete request before it, what was read is gathered for the next turn,
    /// else it is executed at once.
    fn read(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Progress {
        if self.stream.is_none() {
            return Progress::Waits;
        }
        if self.input.is_empty() {
            return self.gather(cx, worker, gathering);
        }
        let Some(stream) = &mut self.stream else {
            return Progress::Waits;
        };
        let missing = self.decoder.bytes_missing().max(READ_BYTES_MAX);
        self.input
            .reserve(missing.min(self.input.len().max(GROWTH_BYTES)));
        // No more than what is missing: a million words are decoded a few thousand at a time.
        let room = self.input.spare_capacity_mut();
        let most = room.len().min(missing);
        let mut buffer = ReadBuf::uninit(&mut room[..most]);
        let result = stream.poll_read(cx, &mut buffer);
        let (count, full) = (buffer.filled().len(), buffer.remaining() == 0);
        if let Some(progress) = not_read(result, count) {
            return progress;
        }
        // SAFETY: the read buffer filled exactly `count` bytes of the spare capacity.
        unsafe { self.input.set_len(self.input.len() + count) };
        worker.shared.metrics.bytes_in.add(count as u64);
        self.execute_input(worker, gathering);
        if full { Progress::Yields } else { Progress::Made }
    }

    fn gather(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Progress {
        if gathering.is_full() {
            // After the turn, which was asked for before.
            cx.waker().wake_by_ref();
            return Progress::Waits;
        }
        let Some(stream) = &mut self.stream else {
            return Progress::Waits;
        };
        let mut buffer = ReadBuf::new(gathering.room());
        let result = stream.poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        if let Some(progress) = not_read(result, count) {
            return progress;
        }
        worker.shared.metrics.bytes_in.add(count as u64);
        gathering.add(self.slot, self.session.id, count);
        self.gathered = true;
        // Only asks to be woken, unless the socket is known to have more: after a short read it is not.
        self.has_more = stream.poll_read_ready(cx).is_ready();
        worker.turn.request();
        Progress::Waits
    }
}
