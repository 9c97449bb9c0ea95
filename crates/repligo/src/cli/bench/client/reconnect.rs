//! How a client's connection ends, and how it gets another one.
//!
//! Invariant: whatever ends a connection ends every request that was in flight on it.

use mio::Interest;
use mio::net::TcpStream;
use repligo_proto::resp::{ReplyDecoder, Value};

use super::{Client, Context, RETRY_NS, State};
use crate::cli::bench::replies::Request;
use crate::cli::bench::socket::Socket;

impl Client {
    /// Takes the replies to the greeting, and returns how many bytes they were.
    pub(super) fn greet(&mut self, context: &Context, bytes: &[u8]) -> Result<usize, String> {
        let mut at = 0;
        while let State::Greeting(left) = self.state {
            let decoded = ReplyDecoder::new().decode(&bytes[at..]);
            match decoded.map_err(|error| format!("BROKEN the answer is not RESP: {error}"))? {
                None => break,
                Some((Value::Error(text), _)) => return Err(text),
                Some((_, length)) => {
                    at += length;
                    self.set_greeting(context, left - 1);
                }
            }
        }
        Ok(at)
    }

    fn set_greeting(&mut self, context: &Context, left: usize) {
        self.state = if left == 0 {
            State::Ready
        } else {
            State::Greeting(left)
        };
        self.free_ns = context.now_ns;
    }

    /// Gives the connection up; what was in flight ends with this error.
    pub(super) fn break_off(&mut self, context: &mut Context, why: &str) {
        let now_ns = context.now_ns;
        for start_ns in self.unconfirmed.drain(..) {
            context.tally.record_error(start_ns, now_ns, why);
        }
        while let Some(request) = self.pending.pop_front() {
            if request != Request::WAIT {
                let start_ns = self.take_start(context.plan);
                context.tally.record_error(start_ns, now_ns, why);
            }
        }
        let was_ready = self.state == State::Ready;
        self.hang_up(context, RETRY_NS);
        // A connection that had worked is made again at once, at the next address.
        if was_ready && !context.closing {
            self.connect(context);
        }
    }

    /// Closes, and goes on with the next address after a while.
    pub(super) fn hang_up(&mut self, context: &mut Context, delay_ns: u64) {
        if let Some(mut socket) = self.socket.take() {
            // It is closed anyway.
            let _ = context.registry.deregister(socket.tcp());
        }
        self.carry.clear();
        self.unsent.clear();
        self.move_on = false;
        self.address = (self.address + 1) % context.plan.addresses.len();
        self.state = State::Down {
            retry_ns: context.now_ns + delay_ns,
        };
    }

    /// Called now and then: gives up a silent connection, and makes a new one when it is time.
    pub fn look_after(&mut self, context: &mut Context) {
        let waits = match self.state {
            State::Down { retry_ns } => {
                if context.now_ns >= retry_ns && !(context.closing && self.is_idle()) {
                    self.connect(context);
                }
                return;
            }
            State::Connecting | State::Greeting(_) => true,
            State::Ready => !self.pending.is_empty(),
        };
        let silence_ns = context.now_ns.saturating_sub(self.heard_ns);
        if waits && silence_ns > context.plan.timeout_ns {
            let text = format!("TIMEOUT no reply for {} ms", context.plan.timeout_ns / 1_000_000);
            self.break_off(context, &text);
        }
    }

    fn connect(&mut self, context: &mut Context) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let made = TcpStream::connect(context.plan.addresses[self.address]).and_then(|mut socket| {
            context.registry.register(&mut socket, self.token, interest)?;
            Socket::made(socket, context.plan.tls(self.address))
        });
        match made {
            Ok(socket) => {
                self.socket = Some(socket);
                self.state = State::Connecting;
                self.heard_ns = context.now_ns;
            }
            Err(_) => self.hang_up(context, RETRY_NS),
        }
    }

    pub(super) fn on_connected(&mut self, context: &mut Context) {
        let Some(socket) = self.socket.as_mut().map(Socket::tcp) else {
            return;
        };
        let failed = !matches!(socket.take_error(), Ok(None));
        if failed {
            self.hang_up(context, RETRY_NS);
        } else if socket.peer_addr().is_ok() {
            let _ = socket.set_nodelay(true);
            context.tally.reconnects += 1;
            self.set_greeting(context, context.plan.greeting_replies);
            let plan = context.plan;
            if !plan.greeting.is_empty() {
                self.send(context, &plan.greeting);
            }
        }
    }
}
