//! One thread of the generator: some clients and one epoll loop.
//!
//! It allocates nothing per request, samples the clock once per read, and waits only when there is nothing to do.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::client::{Client, Context};
use super::nap;
use super::plan::{Plan, Work};
use super::schedule::Releases;
use super::tally::Tally;
use crate::cli::tls::Stream;

/// Between two looks at silent and broken connections, in nanoseconds.
const LOOK_NS: u64 = 5_000_000;
/// How long answers are waited for after the end.
pub const DRAIN_NS: u64 = 10_000_000_000;
/// How long all connections may be down before the run is given up.
const GIVE_UP_NS: u64 = 30_000_000_000;
const EVENTS: usize = 1024;
const INPUT_BYTES: usize = 256 << 10;

/// The clients of one thread.
pub struct Share {
    /// Number of the first one among all clients.
    pub first: u32,
    /// Greeted connections, each with the position of its address.
    pub streams: Vec<(Stream, usize)>,
    /// Measured requests of this thread; `None`: time decides.
    pub quota: Option<u64>,
}

/// How a thread ended.
pub struct Ended {
    pub tally: Tally,
    /// All connections were down for so long that it gave up.
    pub gave_up: bool,
}

struct Engine<'a> {
    poll: Poll,
    clients: Vec<Client>,
    context: Context<'a>,
    releases: Option<Releases>,
    /// Clients that may have something to send.
    awake: Vec<usize>,
    looked_ns: u64,
    /// When a client last had a connection.
    connected_ns: u64,
    closing_ns: u64,
    /// What was added to the live counts.
    shown: (u64, u64, u64),
}

/// Runs until the plan is done, stopped or hopeless.
///
/// # Errors
/// The system refuses epoll.
pub fn run(plan: &Plan, share: Share, epoch: Instant) -> std::io::Result<Ended> {
    let mut engine = Engine::new(plan, share, epoch)?;
    let mut events = Events::with_capacity(EVENTS);
    nap::be_punctual();
    engine.awake.extend(0..engine.clients.len());
    let gave_up = loop {
        engine.context.tick();
        engine.release();
        engine.pump();
        engine.look();
        if engine.is_done() {
            break false;
        }
        if engine.context.now_ns > engine.connected_ns + GIVE_UP_NS {
            break true;
        }
        let at_most = engine.patience();
        nap::wait(&mut engine.poll, &mut events, at_most)?;
        engine.context.tick();
        for event in &events {
            let (readable, writable) = (event.is_readable() || event.is_read_closed(), event.is_writable());
            if let Some(client) = engine.clients.get_mut(event.token().0) {
                client.on_event(&mut engine.context, readable, writable);
            }
        }
        engine.show();
    };
    engine.context.tick();
    for client in &mut engine.clients {
        client.abandon(&mut engine.context);
    }
    engine.show();
    Ok(Ended {
        tally: engine.context.tally,
        gave_up,
    })
}

impl<'a> Engine<'a> {
    fn new(plan: &'a Plan<'a>, share: Share, epoch: Instant) -> std::io::Result<Engine<'a>> {
        let poll = Poll::new()?;
        let count = share.streams.len();
        let context = Context {
            plan,
            registry: poll.registry().try_clone()?,
            tally: Tally::new(plan.measure_start_ns, plan.interval_ns),
            now_ns: 0,
            epoch,
            closing: false,
            quota: share.quota,
            input: vec![0; INPUT_BYTES],
            output: Vec::with_capacity(plan.pipeline * plan.dataset.request_bytes().min(4096)),
        };
        let mut clients = Vec::with_capacity(count);
        for (position, connection) in share.streams.into_iter().enumerate() {
            let number = share.first + position as u32;
            clients.push(Client::new((number, Token(position)), connection, &context)?);
        }
        let releases = plan
            .schedule
            .map(|schedule| Releases::new(schedule, u64::from(share.first), count as u64, plan.end_ns));
        Ok(Engine {
            poll,
            clients,
            context,
            releases,
            awake: Vec::with_capacity(count),
            looked_ns: 0,
            connected_ns: epoch.elapsed().as_nanos() as u64,
            closing_ns: u64::MAX,
            shown: (0, 0, 0),
        })
    }

    /// Open loop: hands out what has become due.
    fn release(&mut self) {
        let Some(releases) = &mut self.releases else {
            return;
        };
        while let Some(position) = releases.release(self.context.now_ns) {
            self.clients[position].release();
            self.awake.push(position);
        }
    }

    fn pump(&mut self) {
        for position in self.awake.drain(..) {
            self.clients[position].pump(&mut self.context);
        }
    }

    /// Now and then: the end, silent and broken connections.
    fn look(&mut self) {
        let now_ns = self.context.now_ns;
        if now_ns < self.looked_ns + LOOK_NS && now_ns < self.context.plan.end_ns {
            return;
        }
        self.looked_ns = now_ns;
        let is_over = now_ns >= self.context.plan.end_ns || self.context.plan.stop.is_set();
        if is_over && !self.context.closing {
            self.context.closing = true;
            self.closing_ns = now_ns;
            if let Some(releases) = &mut self.releases {
                releases.stop(now_ns);
            }
        }
        let mut connected = false;
        for client in &mut self.clients {
            client.look_after(&mut self.context);
            connected |= client.is_ready();
        }
        if connected {
            self.connected_ns = now_ns;
        }
    }

    fn is_done(&self) -> bool {
        let exhausted = match &self.context.plan.work {
            Work::Fill(next) => next.load(Ordering::Relaxed) >= self.context.plan.written.keys(),
            Work::Drawn { .. } => self.context.quota == Some(0),
        };
        let nothing_more = match &self.releases {
            Some(releases) => releases.next_ns().is_none(),
            None => self.context.closing || exhausted,
        };
        let out_of_patience = self.context.now_ns.saturating_sub(self.closing_ns) > DRAIN_NS;
        (nothing_more && self.clients.iter().all(Client::is_idle)) || out_of_patience
    }

    /// How long the next wait may be.
    fn patience(&self) -> Duration {
        let now_ns = self.context.now_ns;
        let due_ns = self
            .releases
            .as_ref()
            .and_then(Releases::next_ns)
            .unwrap_or(u64::MAX);
        let end_ns = if self.context.closing {
            u64::MAX
        } else {
            self.context.plan.end_ns
        };
        let wake_ns = due_ns.min(end_ns).min(now_ns + LOOK_NS);
        Duration::from_nanos(wake_ns.saturating_sub(now_ns))
    }

    /// Tells the progress line.
    fn show(&mut self) {
        let tally = &self.context.tally;
        let now = (tally.ops(), tally.errors, tally.wrong);
        let shown = std::mem::replace(&mut self.shown, now);
        if now != shown {
            self.context
                .plan
                .live
                .add(now.0 - shown.0, now.1 - shown.1, now.2 - shown.2);
        }
    }
}
