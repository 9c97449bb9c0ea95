//! One client: its connection, what it has in flight, and how it goes on when the connection breaks.
//!
//! Invariants: replies settle requests in the order in which they were sent; every request that was taken from
//! the schedule ends exactly once, as right, missing, wrong, error or unanswered; while bytes wait to be
//! sent, nothing more is composed.

mod reconnect;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};

use mio::{Interest, Registry, Token};
use repligo_proto::resp::encode_request;

use super::choice::Random;
use super::dataset::Stamp;
use super::plan::{Plan, Work};
use super::replies::{Request, Verdict, judge};
use super::socket::Socket;
use super::tally::Tally;
use crate::cli::tls::Stream;

/// Before a connection is tried again that could not be made, in nanoseconds.
const RETRY_NS: u64 = 20_000_000;
/// What a client with an incomplete reply reads at once.
const CARRY_READ_BYTES: usize = 64 << 10;
/// Milliseconds that WAIT may take.
const WAIT_MS: &str = "10000";
/// Code words of a node that cannot serve now, while another one may.
const MOVE_ON: [&str; 2] = ["READONLY", "LOADING"];

/// What the clients of one thread share.
pub struct Context<'a> {
    pub plan: &'a Plan<'a>,
    pub registry: Registry,
    pub tally: Tally,
    pub now_ns: u64,
    pub epoch: std::time::Instant,
    /// Nothing new is begun.
    pub closing: bool,
    /// Measured requests that may still be sent; `None`: time decides.
    pub quota: Option<u64>,
    /// Everything is read into and composed in these, so that they stay in the cache.
    pub input: Vec<u8>,
    pub output: Vec<u8>,
}

impl Context<'_> {
    /// Samples the clock.
    pub fn tick(&mut self) {
        self.now_ns = self.epoch.elapsed().as_nanos() as u64;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    /// So many replies to the greeting are missing.
    Greeting(usize),
    Ready,
    Down {
        retry_ns: u64,
    },
}

/// One client.
pub struct Client {
    number: u32,
    token: Token,
    socket: Option<Socket>,
    state: State,
    address: usize,
    random: Random,
    version: u64,
    unsent: Vec<u8>,
    /// The beginning of a reply.
    carry: Vec<u8>,
    pending: VecDeque<Request>,
    /// Starts of SETs that were answered and wait for WAIT.
    unconfirmed: Vec<u64>,
    /// Closed loop: when the batch in flight was sent.
    batch_start_ns: u64,
    /// Open loop: requests that have become due, were sent, and have ended.
    released: u64,
    sent: u64,
    ended: u64,
    /// Since when nothing was in flight, and since when nothing was heard.
    free_ns: u64,
    heard_ns: u64,
    /// The node said that it cannot serve: try another one when nothing is in flight.
    move_on: bool,
}

impl Client {
    /// A client with a connection that has been greeted.
    ///
    /// # Errors
    /// The socket cannot be registered.
    pub fn new(
        (number, token): (u32, Token),
        (stream, address): (Stream, usize),
        context: &Context,
    ) -> std::io::Result<Client> {
        let mut socket = Socket::of(stream)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        context.registry.register(socket.tcp(), token, interest)?;
        Ok(Client {
            number,
            token,
            socket: Some(socket),
            state: State::Ready,
            address,
            random: Random::new(context.plan.seed, u64::from(number)),
            version: 0,
            unsent: Vec::new(),
            carry: Vec::new(),
            pending: VecDeque::new(),
            unconfirmed: Vec::new(),
            batch_start_ns: 0,
            released: 0,
            sent: 0,
            ended: 0,
            free_ns: 0,
            heard_ns: 0,
            move_on: false,
        })
    }

    /// Open loop: one more request is due.
    pub fn release(&mut self) {
        self.released += 1;
    }

    /// Nothing is in flight, and nothing that is due waits.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.unconfirmed.is_empty() && self.ended == self.released
    }

    /// Whether it has a connection on which it could send.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Sends what may be sent now.
    pub fn pump(&mut self, context: &mut Context) {
        if self.state != State::Ready || !self.unsent.is_empty() || self.move_on {
            return;
        }
        let in_flight = self.pending.len() + self.unconfirmed.len();
        let plan = context.plan;
        let mut output = std::mem::take(&mut context.output);
        output.clear();
        match (&plan.schedule, &plan.work) {
            (Some(schedule), _) => {
                let room = plan.pipeline.saturating_sub(in_flight) as u64;
                let count = room.min(self.released - self.sent);
                if count > 0 && in_flight == 0 {
                    let due = schedule.due_ns(u64::from(self.number), self.sent);
                    if context.tally.counts(due) {
                        let since = due.max(self.free_ns);
                        context
                            .tally
                            .lag
                            .saturating_record(context.now_ns.saturating_sub(since));
                    }
                }
                self.sent += count;
                self.draw(plan, count, &mut output);
            }
            (None, _) if in_flight > 0 || context.closing => {}
            (None, Work::Fill(next)) => {
                let count = plan.pipeline as u64;
                let first = next.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                let keys = plan.written.keys();
                for key in first.min(keys)..(first + count).min(keys) {
                    plan.dataset.push_set(&mut output, key, Stamp::new(0, 0));
                    self.pending.push_back(Request::set(key));
                }
            }
            (None, Work::Drawn { .. }) => {
                let count = claim(context);
                self.draw(plan, count, &mut output);
            }
        }
        if !output.is_empty() {
            if in_flight == 0 {
                self.batch_start_ns = context.now_ns;
                self.heard_ns = context.now_ns;
            }
            self.send(context, &output);
        }
        context.output = output;
    }

    /// Composes `count` requests.
    fn draw(&mut self, plan: &Plan, count: u64, output: &mut Vec<u8>) {
        let Work::Drawn { reads } = plan.work else {
            return;
        };
        let mut sets = 0;
        for _ in 0..count {
            let key = plan.chooser.draw(&mut self.random);
            if self.random.bits() >> 32 < reads {
                plan.dataset.push_get(output, key);
                self.pending
                    .push_back(Request::get(key, plan.written.contains(key)));
            } else {
                self.version += 1;
                plan.dataset
                    .push_set(output, key, Stamp::new(self.number + 1, self.version));
                self.pending.push_back(Request::set(key));
                sets += 1;
            }
        }
        if let Some(replicas) = plan.wait_replicas.filter(|_| sets > 0) {
            encode_request(output, &["WAIT", &replicas.to_string(), WAIT_MS]);
            self.pending.push_back(Request::WAIT);
        }
    }

    fn send(&mut self, context: &mut Context, bytes: &[u8]) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        match socket.write(bytes) {
            Ok(count) => self.unsent.extend_from_slice(&bytes[count..]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.unsent.extend_from_slice(bytes);
            }
            Err(error) => self.break_off(context, &format!("BROKEN {error}")),
        }
    }

    /// Sends what is encrypted and waits for room.
    fn flush(&mut self, context: &mut Context) {
        if self.state != State::Connecting
            && let Some(Err(error)) = self.socket.as_mut().map(|socket| socket.flush())
        {
            self.break_off(context, &format!("BROKEN {error}"));
        }
    }

    /// The socket is ready for something.
    pub fn on_event(&mut self, context: &mut Context, readable: bool, writable: bool) {
        if self.state == State::Connecting && writable {
            self.on_connected(context);
        }
        if writable {
            self.flush(context);
        }
        if writable && !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(context, &unsent);
        }
        if readable && self.state != State::Connecting {
            self.read(context);
        }
        self.pump(context);
    }

    fn read(&mut self, context: &mut Context) {
        // A short read has emptied the socket; the next bytes make a new event.
        while let Some(socket) = &mut self.socket {
            let is_fresh = self.carry.is_empty();
            let mut buffer = std::mem::take(if is_fresh {
                &mut context.input
            } else {
                &mut self.carry
            });
            let start = if is_fresh { 0 } else { buffer.len() };
            if !is_fresh {
                buffer.resize(start + CARRY_READ_BYTES, 0);
            }
            let result = socket.read(&mut buffer[start..]);
            context.tick();
            let count = *result.as_ref().unwrap_or(&0);
            let is_interrupted = matches!(&result, Err(error) if error.kind() == ErrorKind::Interrupted);
            let is_drained = start + count < buffer.len() && !is_interrupted;
            let used = match result {
                Ok(0) => Err("BROKEN the server closed the connection".to_string()),
                Ok(_) => self.digest(context, &buffer[..start + count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
                Err(error) => Err(format!("BROKEN {error}")),
            };
            let used_bytes = *used.as_ref().unwrap_or(&0);
            if is_fresh {
                self.carry.extend_from_slice(&buffer[used_bytes..count]);
                context.input = buffer;
            } else {
                buffer.truncate(start + count);
                buffer.drain(..used_bytes);
                self.carry = buffer;
            }
            if let Err(why) = used {
                self.break_off(context, &why);
                return;
            }
            if self.move_on && self.pending.is_empty() {
                self.hang_up(context, RETRY_NS);
            }
            if is_drained {
                return;
            }
        }
    }

    /// Judges all complete replies in `bytes`, and returns how many bytes they were.
    fn digest(&mut self, context: &mut Context, bytes: &[u8]) -> Result<usize, String> {
        self.heard_ns = context.now_ns;
        let mut at = self.greet(context, bytes)?;
        // Of the batch in flight, all with the same start.
        let mut right = 0;
        let mut broken = None;
        while at < bytes.len() && broken.is_none() {
            let Some(request) = self.pending.front().copied() else {
                let text = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 40)]).into_owned();
                context
                    .tally
                    .record_wrong(|| format!("{text:?} answers no request"));
                broken = Some("BROKEN a reply too many".to_string());
                break;
            };
            match judge(context.plan, request, &bytes[at..]) {
                Ok(None) => break,
                Ok(Some((verdict, length))) => {
                    at += length;
                    self.pending.pop_front();
                    right += self.settle(context, request, verdict);
                }
                Err(error) => {
                    context
                        .tally
                        .record_wrong(|| format!("the answer is not RESP: {error}"));
                    broken = Some("BROKEN the answer is not RESP".to_string());
                }
            }
        }
        context.tally.record(self.batch_start_ns, context.now_ns, right);
        if self.pending.is_empty() {
            self.free_ns = context.now_ns;
        }
        broken.map_or(Ok(at), Err)
    }

    /// Ends one request. Returns 1 where the caller is to record it with its batch.
    fn settle(&mut self, context: &mut Context, request: Request, verdict: Verdict) -> u64 {
        if request == Request::WAIT {
            self.settle_wait(context, verdict);
            return 0;
        }
        let start_ns = self.take_start(context.plan);
        let now_ns = context.now_ns;
        match verdict {
            Verdict::Right | Verdict::Missing => {
                if context.tally.counts(start_ns) {
                    context.tally.gets += u64::from(!request.is_set());
                    context.tally.sets += u64::from(request.is_set());
                    context.tally.misses += u64::from(verdict == Verdict::Missing);
                }
                if request.is_set() {
                    context.plan.written.insert(request.key());
                    if context.plan.wait_replicas.is_some() {
                        self.unconfirmed.push(start_ns);
                        return 0;
                    }
                }
                if context.plan.schedule.is_none() {
                    return 1;
                }
                context.tally.record(start_ns, now_ns, 1);
            }
            Verdict::Error(text) => {
                self.move_on |=
                    context.plan.addresses.len() > 1 && MOVE_ON.iter().any(|code| text.starts_with(code));
                context.tally.record_error(start_ns, now_ns, &text);
            }
            Verdict::Wrong(text) => context.tally.record_wrong(|| text),
            Verdict::Replicas(count) => context.tally.record_wrong(|| format!("{count} answers no WAIT")),
        }
        0
    }

    fn settle_wait(&mut self, context: &mut Context, verdict: Verdict) {
        let wanted = i64::from(context.plan.wait_replicas.unwrap_or(0));
        let text = match verdict {
            Verdict::Replicas(count) if count >= wanted => None,
            Verdict::Replicas(count) => Some(format!("WAIT reached {count} replicas, not {wanted}")),
            Verdict::Error(text) => Some(text),
            Verdict::Wrong(text) => {
                context.tally.record_wrong(|| text);
                Some("WAIT gave no number".to_string())
            }
            Verdict::Right | Verdict::Missing => Some("WAIT gave no number".to_string()),
        };
        for start_ns in self.unconfirmed.drain(..) {
            match &text {
                None => context.tally.record(start_ns, context.now_ns, 1),
                Some(text) => context.tally.record_error(start_ns, context.now_ns, text),
            }
        }
    }

    /// When the next request to end began.
    fn take_start(&mut self, plan: &Plan) -> u64 {
        match &plan.schedule {
            None => self.batch_start_ns,
            Some(schedule) => {
                self.ended += 1;
                schedule.due_ns(u64::from(self.number), self.ended - 1)
            }
        }
    }

    /// Patience has ended: what has become due and has no answer is counted as such.
    pub fn abandon(&mut self, context: &mut Context) {
        let (plan, now_ns) = (context.plan, context.now_ns);
        for start_ns in self.unconfirmed.drain(..) {
            context.tally.record_unanswered(start_ns, now_ns);
        }
        match &plan.schedule {
            Some(_) => {
                while self.ended < self.released {
                    let start_ns = self.take_start(plan);
                    context.tally.record_unanswered(start_ns, now_ns);
                }
            }
            None => {
                for _ in self.pending.iter().filter(|request| **request != Request::WAIT) {
                    context.tally.record_unanswered(self.batch_start_ns, now_ns);
                }
            }
        }
    }
}

/// Closed loop: how many requests may be sent now.
fn claim(context: &mut Context) -> u64 {
    let batch = context.plan.pipeline as u64;
    if context.now_ns < context.plan.measure_start_ns {
        return batch;
    }
    match &mut context.quota {
        None => batch,
        Some(left) => {
            let count = batch.min(*left);
            *left -= count;
            count
        }
    }
}
