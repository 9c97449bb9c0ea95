//! One client connection: bytes in, requests decoded, replies out.
//!
//! It is polled by its own task when the socket is ready and flushed by the turn when replies come from
//! the core. It owns the socket and its bytes; what they mean, and when they may be executed, is the session's
//! business.
//!
//! Invariants: nothing more is read while the session stalls, unless its client waits for a key; an idle connection holds no buffer.

mod blocked;
mod execute;
mod remote;

use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, Waker};

use repligo_session::Session;
use repligo_session::table::HasSession;
use tokio::io::ReadBuf;

use super::gather::{Gathering, READ_BYTES_MAX};
use super::progress::{Progress, Sent, not_read};
use super::standing::Standing;
use crate::net::io::remote::RemoteStream;
use crate::net::options;
use crate::net::stream::ClientStream;
use crate::session::{Client, Endpoints, OutputLimit, Socket};
use crate::telemetry::clock::boottime_ns;
use crate::worker::Worker;
use crate::worker::host::WorkerHost;

/// Bytes that one connection sends before others have a turn: a client that reads as fast as this node
/// writes would otherwise hold the thread until all of a long reply is sent.
const SENT_AT_ONCE_BYTES: usize = 1 << 20;
/// Largest step by which a buffer for an incomplete request grows on the client's word alone.
const GROWTH_BYTES: usize = 1 << 20;

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    /// What its requests mean, and the order of its replies.
    pub session: Session,
    /// The socket and its bytes.
    pub io: Io,
}

/// The socket of a connection and its bytes. Its session's host sees it while the session runs.
#[derive(Debug)]
pub struct Io {
    /// Where the client is, and where it connected to.
    pub endpoints: Endpoints,
    /// In the worker's list of connections to flush after the turn.
    pub flush_due: bool,
    stream: Option<ClientStream>,
    /// Unconsumed bytes, from `input_start`.
    input: Vec<u8>,
    input_start: usize,
    /// When they came, by the clock in microseconds, if they were held back.
    input_us: u64,
    /// What is known of bytes that wait in the socket while it reads nothing and nobody leads.
    standing: Option<Box<Standing>>,
    /// What it has read waits for its execution; until then it reads nothing more.
    gathered: bool,
    /// The socket may have more than was gathered.
    has_more: bool,
    write_blocked: bool,
    /// Something was sent since the last look of [`Connection::has_stalled`].
    has_sent: bool,
    /// Looks in a row at which there was something to send and nothing had been.
    stalled_looks: u64,
    /// Since when, by the clock in microseconds, a subscriber has left more unread than the soft limit.
    over_soft_since_us: Option<u64>,
    /// Bytes that the system held for the client at the last look.
    in_flight: usize,
    waker: Option<Waker>,
}

impl HasSession for Connection {
    fn session(&self) -> &Session {
        &self.session
    }
}

impl Io {
    /// So many bytes were read, as many as were asked for or all there are: when they came, if it is known that they
    /// have stood in the socket.
    fn came(&mut self, count: usize, full: bool) -> Option<u64> {
        let standing = self.standing.as_mut()?;
        // What arrives encrypted is longer than what is read: it cannot be counted.
        let countable = self.stream.as_ref().is_some_and(|stream| !stream.is_tls());
        let came_us = standing.read(countable.then_some(count));
        if !full && standing.ends_with_a_read() {
            self.standing = None;
        }
        came_us
    }

    /// The user that the client's certificate names.
    pub fn certified_user(&self) -> Option<&[u8]> {
        self.stream.as_ref().and_then(ClientStream::certified_user)
    }

    /// What others may see of it.
    pub fn socket(&self) -> Socket<'_> {
        let remote = self.stream.as_ref().and_then(ClientStream::remote);
        Socket {
            endpoints: &self.endpoints,
            descriptor: self.stream.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            // While it is being executed, the input is elsewhere.
            input_bytes: self.input.len().saturating_sub(self.input_start)
                + remote.map_or(0, RemoteStream::inbox_bytes),
            free_bytes: self.input.capacity() - self.input.len(),
            fixed_bytes: size_of::<Connection>() + remote.map_or(0, RemoteStream::memory_bytes),
        }
    }
}

impl Connection {
    /// A connection in its first state.
    pub fn new(session: Session, stream: Option<ClientStream>, endpoints: Endpoints) -> Self {
        let io = Io {
            endpoints,
            flush_due: false,
            stream,
            input: Vec::new(),
            input_start: 0,
            input_us: 0,
            standing: None,
            gathered: false,
            has_more: false,
            write_blocked: false,
            has_sent: false,
            stalled_looks: 0,
            over_soft_since_us: None,
            in_flight: 0,
            waker: None,
        };
        Self { session, io }
    }

    /// As CLIENT LIST shows it.
    pub fn client(&self) -> Client<'_> {
        Client {
            session: &self.session,
            socket: self.io.socket(),
        }
    }

    /// All memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.client().memory_bytes()
    }

    /// There is room in the node's queue again, and it is this connection's turn.
    pub fn call(&mut self) {
        if self.session.call() {
            self.wake();
        }
    }

    /// Looks at what has come to the socket while nobody leads and the session stalls, see [`Standing`].
    pub fn look_at_socket(&mut self, now_us: u64) {
        if self.io.stream.is_none() {
            return;
        }
        if self.session.is_stalled() {
            let bytes = self.bytes_before_session();
            let standing = self.io.standing.get_or_insert_default();
            standing.look(bytes, now_us);
        } else if self.io.standing.is_some() && self.io.input.is_empty() && self.bytes_before_session() == 0 {
            self.io.standing = None;
        }
    }

    /// Somebody leads again: what came when is of no use any more.
    pub fn forget_standing(&mut self) {
        self.io.standing = None;
    }

    /// Wakes the connection's task, which then looks at its state anew.
    pub fn wake(&self) {
        if let Some(waker) = &self.io.waker {
            waker.wake_by_ref();
        }
    }

    /// Ends the connection at the next look of its task.
    pub fn kill(&mut self) {
        self.session.killed = true;
        self.wake();
    }

    /// Ends the connection once everything asked so far is answered and sent.
    pub fn close_gently(&mut self) {
        self.session.closing = true;
        // Who waits for a key may do so for ever.
        self.session.killed |= self.session.blocked().is_some();
        self.wake();
    }

    /// Sends what it can without waiting; called by the turn after it answered requests. Wakes the task if
    /// there is something left to do for it.
    pub fn flush_after_turn(&mut self, worker: &mut Worker) {
        self.io.flush_due = false;
        if matches!(self.send(worker), Sent::Broken) {
            self.session.killed = true;
        }
        let resumes = self.session.may_resume();
        let reads_on = std::mem::take(&mut self.io.has_more);
        let watches = self.session.blocked().is_some() || self.session.is_held();
        let runs = self.session.is_block_ready() || watches;
        if self.session.killed || self.session.closing || self.io.write_blocked || resumes || reads_on || runs
        {
            self.wake();
        }
    }

    /// True when more than a subscriber may leave unread has been so for too long.
    pub fn is_over_soft_limit(&mut self, limit: OutputLimit, now_us: u64) -> bool {
        if !self.session.hears_others() || self.session.replies.pending_bytes() <= limit.soft_bytes {
            self.io.over_soft_since_us = None;
            return false;
        }
        let since_us = *self.io.over_soft_since_us.get_or_insert(now_us);
        now_us.saturating_sub(since_us) > limit.soft_seconds * 1_000_000
    }

    /// True when the client has read nothing although there was something to send, at more than
    /// `looks_max` looks in a row.
    pub fn has_stalled(&mut self, looks_max: u64) -> bool {
        let has_sent = std::mem::take(&mut self.io.has_sent);
        let remote = self.io.stream.as_ref().and_then(ClientStream::remote);
        if !self.io.write_blocked && !remote.is_some_and(RemoteStream::is_stuck) {
            self.io.stalled_looks = 0;
            return false;
        }
        // The system asks for more only once much of what it holds is read.
        let in_flight = self.io.stream.as_ref().map_or(0, options::bytes_in_flight);
        let moves = has_sent || in_flight < self.io.in_flight;
        self.io.in_flight = in_flight;
        self.io.stalled_looks = if moves { 0 } else { self.io.stalled_looks + 1 };
        self.io.stalled_looks > looks_max
    }

    fn send(&mut self, worker: &mut Worker) -> Sent {
        if self.session.replies.pending_bytes() > worker.unsent_bytes_max(&self.session) {
            worker.shared.metrics.output_limit_disconnections.add(1);
            tracing::warn!(
                client = %self.io.endpoints.peer(),
                bytes = self.session.replies.pending_bytes(),
                "client does not read its replies: disconnected (output buffer limit)"
            );
            return Sent::Broken;
        }
        let Some(stream) = &mut self.io.stream else {
            return Sent::All;
        };
        let mut rest = SENT_AT_ONCE_BYTES;
        while !self.session.replies.sendable().is_empty() {
            if rest == 0 {
                self.io.write_blocked = true;
                return Sent::Paused;
            }
            let sendable = self.session.replies.sendable();
            match stream.try_write(&sendable[..sendable.len().min(rest)]) {
                Ok(count) => {
                    self.io.has_sent = true;
                    rest -= count;
                    worker.shared.metrics.bytes_out.add(count as u64);
                    self.session.replies.consume(count, &mut worker.pool);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.io.write_blocked = true;
                    return Sent::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Sent::Broken,
            }
        }
        self.io.write_blocked = stream.has_unsent() && !matches!(stream.send_unsent(), Ok(true));
        if self.io.write_blocked {
            Sent::Blocked
        } else {
            Sent::All
        }
    }

    /// Drives the connection as far as the socket and the core allow; ready when it is over.
    pub fn poll(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Poll<()> {
        self.remember(cx);
        loop {
            if self.session.killed {
                return Poll::Ready(());
            }
            if self.io.gathered {
                return Poll::Pending;
            }
            if self.session.replies.waiting() > 0 && worker.turn.is_due() {
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
                        if let Some(stream) = &self.io.stream
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
            if self.session.closing {
                let replies = &self.session.replies;
                let over = replies.waiting() == 0 && replies.pending_bytes() == 0 && !self.io.write_blocked;
                let over = over && self.is_sent_off();
                return if over { Poll::Ready(()) } else { Poll::Pending };
            }
            if self.session.is_stalled() {
                if !self.may_go_on(worker) {
                    return self.watch_blocked(cx, worker);
                }
                let came_us = self.io.input_us;
                self.execute_input(worker, gathering, Some(came_us));
                continue;
            }
            match self.read(cx, worker, gathering) {
                Progress::Made => {}
                Progress::Ended => self.session.closing = true,
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
            worker.wait_for_allowance(self.session.slot, false);
            return false;
        }
        let began_ns = boottime_ns();
        worker.busy.begin(began_ns);
        worker.batch.begin();
        let now = worker.clock.at(began_ns / 1000);
        let io = &self.io;
        self.session.run_block(&mut WorkerHost { worker, io, now });
        worker.end_batch(began_ns);
        !self.session.is_block_ready()
    }

    fn may_go_on(&mut self, worker: &mut Worker) -> bool {
        let now = worker.clock.at(worker.turn.began_ns() / 1000);
        let io = &self.io;
        self.session.may_go_on(&mut WorkerHost { worker, io, now })
    }

    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.io.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.io.waker = Some(cx.waker().clone()),
        }
    }

    /// Reads once. Without an incomplete request before it, what was read is gathered for the next turn,
    /// else it is executed at once.
    fn read(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Progress {
        if self.io.input.is_empty() && self.io.standing.is_none() {
            return self.gather(cx, worker, gathering);
        }
        let Some(stream) = &mut self.io.stream else {
            return Progress::Waits;
        };
        let missing = self.session.bytes_missing().max(READ_BYTES_MAX);
        self.io
            .input
            .reserve(missing.min(self.io.input.len().max(GROWTH_BYTES)));
        // No more than what is missing: a million words are decoded a few thousand at a time.
        let room = self.io.input.spare_capacity_mut();
        let most = room.len().min(missing);
        let mut buffer = ReadBuf::uninit(&mut room[..most]);
        let result = stream.poll_read(cx, &mut buffer);
        let (count, full) = (buffer.filled().len(), buffer.remaining() == 0);
        let came_us = self.io.came(count, full);
        if let Some(progress) = not_read(result, count) {
            if self.io.input.is_empty() {
                worker.pool.give(std::mem::take(&mut self.io.input));
            }
            return progress;
        }
        // SAFETY: the read buffer filled exactly `count` bytes of the spare capacity.
        unsafe { self.io.input.set_len(self.io.input.len() + count) };
        worker.shared.metrics.bytes_in.add(count as u64);
        self.execute_input(worker, gathering, came_us);
        if full { Progress::Yields } else { Progress::Made }
    }

    fn gather(&mut self, cx: &mut Context<'_>, worker: &mut Worker, gathering: &mut Gathering) -> Progress {
        if gathering.is_full() {
            // After the turn, which was asked for before.
            cx.waker().wake_by_ref();
            return Progress::Waits;
        }
        let Some(stream) = &mut self.io.stream else {
            return Progress::Waits;
        };
        let mut buffer = ReadBuf::new(gathering.room());
        let result = stream.poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        if let Some(progress) = not_read(result, count) {
            return progress;
        }
        worker.shared.metrics.bytes_in.add(count as u64);
        gathering.add(self.session.slot, self.session.id, count);
        self.io.gathered = true;
        // Only asks to be woken, unless the socket is known to have more: after a short read it is not.
        self.io.has_more = stream.poll_read_ready(cx).is_ready();
        worker.turn.request();
        Progress::Waits
    }
}
