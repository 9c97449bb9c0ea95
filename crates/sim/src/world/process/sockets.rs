//! Whose sockets are on which I/O thread of a process, how they get there and back, and what those threads report.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use repligo_session::exchange::batch::{Address, Entry, Report};
use repligo_session::exchange::remote::RemoteEnd;

use super::super::lines::{Line, Pipe, Reports, VirtualSocket, leave};
use super::super::queue::Micros;
use super::super::session::Remote;
use super::super::{Context, Event};
use super::{Arrival, Effect, Process};
use crate::random::Random;

/// Time from something for a thread to its turn, microseconds; long ones are rare.
const AWAKE_US: (Micros, Micros) = (1, 2_000);
/// In a thousand turns of a thread so many come late, and how late, microseconds.
const PAUSED_PERMILLE: u64 = 3;
const PAUSED_US: (Micros, Micros) = (2_000, 300_000);
/// When a thread is late, the host disconnects one of its clients so often, of a thousand, while there are faults.
const KILLS_PERMILLE: u64 = 100;
/// In a thousand turns of the host so many begin with a move of a socket.
const MOVES_PERMILLE: u64 = 150;
/// Of a thousand connections so many begin on an I/O thread.
const BEGINS_REMOTE_PERMILLE: u64 = 300;
/// Of a thousand looks at what was kept so many come a turn later.
const READS_LATE_PERMILLE: u64 = 200;

/// A socket that is on an I/O thread.
#[derive(Debug)]
struct Place {
    line: usize,
    pipe: Rc<RefCell<Pipe>>,
}

/// The I/O threads of a process.
#[derive(Debug)]
pub struct IoThreads {
    lines: Vec<Line>,
    places: BTreeMap<(u32, u64), Place>,
    random: Random,
    /// Empty between two looks.
    batch: Reports,
}

/// What an I/O thread reports.
#[derive(Debug)]
pub struct Reported {
    line: usize,
    entry: Entry<Report>,
    bytes: Bytes,
    socket: Option<VirtualSocket>,
}

impl IoThreads {
    /// As many as this node's number of workers, 1 to 4, leaves beside the host.
    pub fn of_node(seed: u64, life: u32) -> Self {
        let workers = Random::new(seed ^ 0x0010_71E5).between(1, 4);
        Self {
            lines: (1..workers).map(|_| Line::default()).collect(),
            places: BTreeMap::new(),
            random: Random::new(seed ^ u64::from(life) ^ 0x0010_71E6),
            batch: Reports::default(),
        }
    }

    /// Whether the host has something to do here.
    pub fn has_business(&self) -> bool {
        self.lines.iter().any(Line::has_business)
    }

    /// What arrives for a socket on an I/O thread stands in the socket; given back if that is not so.
    fn arrive(&self, arrival: Arrival) -> Option<Arrival> {
        let (id, bytes) = match &arrival {
            Arrival::Requests {
                connection, bytes, ..
            } => (*connection, Some(bytes)),
            Arrival::Closed(connection) => (*connection, None),
            _ => return Some(arrival),
        };
        let Some(place) = self.places.get(&id) else {
            return Some(arrival);
        };
        let pipe = &mut *place.pipe.borrow_mut();
        match bytes {
            Some(bytes) => pipe.input.extend_from_slice(bytes),
            None => pipe.is_ended = true,
        }
        pipe.wake();
        None
    }
}

impl Process {
    /// Takes note of something that the kernel has received for it; whether the host is to look at it.
    pub fn arrive(&mut self, arrival: Arrival, context: &mut Context) -> bool {
        let arrival = self.io.arrive(arrival);
        let is_the_hosts = arrival.is_some();
        self.inbox.extend(arrival);
        if !is_the_hosts {
            self.wake_threads(context);
        }
        is_the_hosts
    }

    /// The host ends a turn: whatever was ordered is handed over where there is room.
    pub(super) fn hand_over(&mut self, context: &mut Context) {
        for line in &mut self.io.lines {
            line.hand_over();
            self.due.extend(line.called());
        }
        self.settle(context);
        self.wake_threads(context);
    }

    /// Threads that have something to do run soon.
    fn wake_threads(&mut self, context: &mut Context) {
        let (node, life, io) = (self.me, self.life, &mut self.io);
        for (thread, line) in io.lines.iter_mut().enumerate() {
            if line.is_scheduled || !line.is_awaited() {
                continue;
            }
            line.is_scheduled = true;
            let is_late = io.random.chance(PAUSED_PERMILLE);
            let (low, high) = if is_late { PAUSED_US } else { AWAKE_US };
            let delay = io.random.skewed(low, high);
            context.queue.after(delay, Event::IoThread { node, life, thread });
            // What the thread reads until it hears of that is of nobody, or of whoever has the slot then.
            let has_faults = context.queue.now() < context.plan.faults_us;
            if is_late && has_faults && io.random.chance(KILLS_PERMILLE) {
                let own = io.places.iter().filter(|(_, place)| place.line == thread);
                let (idle, busy): (Vec<_>, Vec<_>) =
                    own.partition(|(_, place)| place.pipe.borrow().input.is_empty());
                if let Some((id, _)) = busy.first().or(idle.first()) {
                    self.effects.push_back(Effect::Close { connection: **id });
                }
            }
        }
    }

    /// A turn of an I/O thread; how long it takes until the host hears of it, if it is to hear of something.
    pub fn run_thread(&mut self, thread: usize, context: &mut Context) -> Option<Micros> {
        context.trace.number(self.me << 16 | thread as u64);
        let line = &mut self.io.lines[thread];
        line.is_scheduled = false;
        let sockets_first = self.io.random.chance(500);
        line.run(sockets_first);
        let has_business = line.has_business();
        for (id, place) in self.io.places.iter().filter(|(_, place)| place.line == thread) {
            if let Some(bytes) = leave(&place.pipe) {
                let not_before = place.pipe.borrow().last_reply_at;
                place.pipe.borrow_mut().last_reply_at = context.reply(*id, not_before, bytes);
            }
        }
        self.wake_threads(context);
        has_business.then(|| self.io.random.skewed(AWAKE_US.0, AWAKE_US.1))
    }

    /// The host begins a turn: takes a batch of each thread, and moves a socket now and then.
    pub(super) fn begin_turn(&mut self) {
        let io = &mut self.io;
        for (number, line) in io.lines.iter_mut().enumerate() {
            if !line.take(&mut io.batch) {
                continue;
            }
            while let Some((entry, range)) = io.batch.advance() {
                let bytes = Bytes::copy_from_slice(io.batch.bytes(range));
                let socket = (entry.what == Report::Returned).then(|| io.batch.take_socket());
                self.batch.push_back(Arrival::Io(Reported {
                    line: number,
                    entry,
                    bytes,
                    socket: socket.flatten(),
                }));
            }
            io.batch.clear();
        }
        if !io.lines.is_empty() && io.random.chance(MOVES_PERMILLE) && !self.slots.is_empty() {
            let number = io.random.below(self.slots.len() as u64) as usize;
            let line = io.random.below(io.lines.len() as u64) as usize;
            if let Some((&id, &slot)) = self.slots.iter().nth(number) {
                self.move_socket(id, slot, line);
            }
        }
    }

    /// Moves a socket to an I/O thread, or asks for it if it is on one, if the moment is a quiet one.
    fn move_socket(&mut self, id: (u32, u64), slot: u32, line: usize) {
        let Some(connection) = self.connections.get_mut(slot).filter(|own| own.is_quiet()) else {
            return;
        };
        if let Some(remote) = &mut connection.remote {
            if remote.end.is_quiet() {
                remote.end.ask_back(&mut self.io.lines[remote.line]);
            }
            return;
        }
        let pipe = Rc::new(RefCell::new(Pipe::new(connection.sent, connection.last_reply_at)));
        let address = Address {
            client: connection.session.id,
            slot,
        };
        let end = RemoteEnd::new(address);
        self.io.lines[line].adopt(end.adoption(), VirtualSocket(pipe.clone()));
        connection.remote = Some(Remote { end, line });
        self.io.places.insert(id, Place { line, pipe });
        // What nobody has read stands in the socket.
        for unread in [&mut self.batch, &mut self.inbox] {
            let arrivals = std::mem::take(unread).into_iter();
            *unread = arrivals.filter_map(|arrival| self.io.arrive(arrival)).collect();
        }
    }

    /// Places a connection that has just come, and what has come with it, which is read next.
    pub(super) fn place(&mut self, (id, slot): ((u32, u64), u32), bytes: Bytes) {
        self.batch.push_front(Arrival::Requests {
            connection: id,
            opens: false,
            bytes,
        });
        if !self.io.lines.is_empty() && self.io.random.chance(BEGINS_REMOTE_PERMILLE) {
            let line = self.io.random.below(self.io.lines.len() as u64) as usize;
            self.move_socket(id, slot, line);
        }
    }

    /// Takes what an I/O thread reports of a connection.
    pub(super) fn take_report(&mut self, reported: Reported, context: &mut Context) {
        let Reported { line, entry, .. } = reported;
        let connection = self.connections.get_mut(entry.address.slot);
        let connection = connection.filter(|own| entry.address.is_of(own.session.id));
        let Some(connection) = connection else { return };
        let (slot, id, is_free) = (entry.address.slot, connection.id, connection.is_free());
        let Some(remote) = &mut connection.remote else {
            return;
        };
        if let Report::Bytes(count) = entry.what {
            if is_free && remote.end.takes_at_once() {
                remote.end.took(count as usize, &mut self.io.lines[line]);
                connection.read(&reported.bytes);
            } else {
                remote.end.keep(&reported.bytes);
            }
        }
        if let Some(remote) = &mut connection.remote {
            remote.end.note(entry);
        }
        match entry.what {
            Report::Returned => self.come_back((id, slot), reported.socket),
            Report::Broken => connection.session.closing = true,
            _ => {}
        }
        self.due.push_back(slot);
        self.settle(context);
    }

    fn come_back(&mut self, (id, slot): ((u32, u64), u32), socket: Option<VirtualSocket>) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.remote = None;
        self.io.places.remove(&id);
        let Some(VirtualSocket(pipe)) = socket else {
            connection.session.closing = true;
            return;
        };
        let pipe = pipe.borrow();
        connection.last_reply_at = pipe.last_reply_at;
        if !pipe.input.is_empty() {
            // It is read with the next turn.
            self.inbox.push_back(Arrival::Requests {
                connection: id,
                opens: false,
                bytes: Bytes::copy_from_slice(&pipe.input),
            });
        }
        if pipe.is_ended {
            self.inbox.push_back(Arrival::Closed(id));
        }
    }

    /// Reads on what has come and was kept; whether there was something.
    pub(super) fn read_on(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let Some(remote) = &mut connection.remote else {
            return false;
        };
        let session = &mut connection.session;
        if session.closing || session.is_block_ready() {
            return false;
        }
        if session.is_stalled() || session.blocked().is_some() {
            // A client that waits for a key and hangs up waits no more.
            let is_over = remote.end.is_readable() && remote.end.inbox_bytes() == 0;
            session.closing |= is_over && session.blocked().is_some();
            return false;
        }
        if remote.end.is_readable() && self.io.random.chance(READS_LATE_PERMILLE) {
            // Its task runs after the next turn.
            self.waiting.push(slot);
            return false;
        }
        let input = &mut connection.input;
        let line = &mut self.io.lines[remote.line];
        match remote
            .end
            .read(usize::MAX, line, |bytes| input.extend_from_slice(bytes))
        {
            None => false,
            Some(0) => {
                session.closing = true;
                false
            }
            Some(_) => true,
        }
    }

    /// Sends what a connection on an I/O thread may send; true if its socket can be closed.
    pub(super) fn send_remotely(&mut self, slot: u32) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else {
            return false;
        };
        let Some(remote) = &mut connection.remote else {
            return true;
        };
        let line = &mut self.io.lines[remote.line];
        let session = &mut connection.session;
        while !session.replies.sendable().is_empty() {
            let count = remote.end.write(session.replies.sendable(), line);
            if count == 0 {
                return false;
            }
            connection.sent += count as u64;
            session.replies.consume(count, &mut self.pool);
        }
        let is_answered = session.replies.waiting() == 0 && session.replies.pending_bytes() == 0;
        session.closing && is_answered && remote.end.close(line)
    }

    /// A connection is over: its I/O thread lets go of its socket.
    pub(super) fn abandon(&mut self, id: (u32, u64), remote: Option<Remote>) {
        if let Some(mut remote) = remote {
            remote.end.abandon(&mut self.io.lines[remote.line]);
        }
        self.io.places.remove(&id);
    }

    /// When the latest reply that has left reaches the client, and how many bytes have left by an I/O thread.
    pub(super) fn left(&self, id: (u32, u64)) -> Option<(Micros, u64)> {
        let pipe = self.io.places.get(&id)?.pipe.borrow();
        Some((pipe.last_reply_at, pipe.left))
    }
}
