//! I/O threads of a node, simulated: the two ends of a connection that ship (`repligo_session::exchange`), between them
//! rings, and on the far side sockets that are made of memory.
//!
//! A thread runs when the world lets it, some time after there was something for it. The rings keep their order and are
//! as short as in the node; that the real ones do so between threads is for others to show (`crates/repligo/tests/ring.rs`).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use repligo_session::exchange::batch::{Address, Batch, Entry, Order, Report};
use repligo_session::exchange::seats::{Seats, Waits};
use repligo_session::exchange::{Lane, Socket};

use super::queue::Micros;

/// Batches on their way in one direction at most, as in the node.
const BATCHES_MAX: usize = 4;
/// Bytes that the system takes for a client before they leave.
const SYSTEM_BYTES: usize = 300;

/// What the host orders.
pub type Orders = Batch<Order, VirtualSocket>;
/// What an I/O thread reports.
pub type Reports = Batch<Report, VirtualSocket>;

/// What the system holds of a socket.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Bytes that have come and were not read.
    pub input: Vec<u8>,
    /// The client has closed its side.
    pub is_ended: bool,
    /// Bytes that were written and have not left.
    output: Vec<u8>,
    /// Bytes that have left.
    pub left: u64,
    /// When the latest of them reaches the client.
    pub last_reply_at: Micros,
    waker: Option<Waker>,
}

impl Pipe {
    /// Of a connection of which so many bytes have left, the latest of which reach the client then.
    pub fn new(left: u64, last_reply_at: Micros) -> Self {
        Self {
            left,
            last_reply_at,
            ..Self::default()
        }
    }

    /// Something has changed for whoever waits.
    pub fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A socket of a client, which may go from thread to thread.
#[derive(Debug)]
pub struct VirtualSocket(pub Rc<RefCell<Pipe>>);

impl Socket for VirtualSocket {
    type Unbound = Self;

    fn bind(socket: Self) -> io::Result<Self> {
        Ok(socket)
    }

    fn unbind(self) -> io::Result<Self> {
        self.0.borrow_mut().waker = None;
        Ok(self)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let pipe = &mut *self.0.borrow_mut();
        let count = pipe.input.len().min(buffer.len());
        if count == 0 && !pipe.is_ended {
            pipe.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer[..count].copy_from_slice(&pipe.input[..count]);
        pipe.input.drain(..count);
        Poll::Ready(Ok(count))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = &mut *self.0.borrow_mut();
        if pipe.input.is_empty() && !pipe.is_ended {
            pipe.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pipe = &mut *self.0.borrow_mut();
        let count = bytes.len().min(SYSTEM_BYTES - pipe.output.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.output.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = &mut *self.0.borrow_mut();
        if pipe.output.len() == SYSTEM_BYTES {
            pipe.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn has_unsent(&self) -> bool {
        false
    }

    fn send_unsent(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// As the ring of the node: what is passed on is exchanged for what was emptied.
#[derive(Debug)]
struct Ring<T> {
    places: Vec<T>,
    passed: usize,
    taken: usize,
}

impl<T: Default> Default for Ring<T> {
    fn default() -> Self {
        let places = (0..BATCHES_MAX).map(|_| T::default()).collect();
        Self {
            places,
            passed: 0,
            taken: 0,
        }
    }
}

impl<T> Ring<T> {
    fn has_room(&self) -> bool {
        self.passed - self.taken < BATCHES_MAX
    }

    fn is_empty(&self) -> bool {
        self.passed == self.taken
    }

    fn push(&mut self, item: &mut T) -> bool {
        let has_room = self.has_room();
        if has_room {
            std::mem::swap(&mut self.places[self.passed % BATCHES_MAX], item);
            self.passed += 1;
        }
        has_room
    }

    fn pop(&mut self, item: &mut T) -> bool {
        let has_come = !self.is_empty();
        if has_come {
            std::mem::swap(&mut self.places[self.taken % BATCHES_MAX], item);
            self.taken += 1;
        }
        has_come
    }
}

/// The host's end of what it shares with one I/O thread.
#[derive(Debug, Default)]
pub struct Line {
    orders: Ring<Orders>,
    reports: Ring<Reports>,
    out: Orders,
    /// Slots that found no room for their bytes.
    crowded: Vec<u32>,
    thread: IoThread,
    /// The thread will run, the world knows when.
    pub is_scheduled: bool,
}

impl Lane for Line {
    fn order(&mut self, entry: Entry<Order>) {
        self.out.push(entry);
    }

    fn write(&mut self, address: Address, credit: u32, bytes: &[u8]) -> usize {
        if !self.out.has_room() && !self.hand_over() {
            self.crowded.push(address.slot);
            return 0;
        }
        let room = self.out.room(bytes.len());
        let count = room.len();
        room.copy_from_slice(&bytes[..count]);
        self.out.push(Entry {
            address,
            credit,
            what: Order::Bytes(count as u32),
        });
        count
    }

    fn has_room(&mut self) -> bool {
        self.out.has_room() || self.orders.has_room()
    }
}

impl Line {
    /// Gives a socket away.
    pub fn adopt(&mut self, entry: Entry<Order>, socket: VirtualSocket) {
        self.out.push_socket(entry, socket);
    }

    /// Hands over what was ordered; false if the ring is full.
    pub fn hand_over(&mut self) -> bool {
        self.out.is_empty() || self.orders.push(&mut self.out)
    }

    /// The slots that may go on because there is room again.
    pub fn called(&mut self) -> Vec<u32> {
        if self.has_room() {
            return std::mem::take(&mut self.crowded);
        }
        Vec::new()
    }

    /// Whether the host has something to do here: a report to take, or an order that finds room now.
    pub fn has_business(&self) -> bool {
        !self.reports.is_empty() || !self.out.is_empty() && self.orders.has_room()
    }

    /// Whether the thread has something to do.
    pub fn is_awaited(&self) -> bool {
        let reports = !self.thread.seats.out.is_empty() && self.reports.has_room();
        !self.orders.is_empty() || reports || self.thread.tasks.iter().any(|task| task.is_woken())
    }

    /// Takes the next batch of reports in exchange for an empty one; false if none has come.
    pub fn take(&mut self, batch: &mut Reports) -> bool {
        self.reports.pop(batch)
    }

    /// One turn of the I/O thread: a batch of orders, and whatever the sockets are ready for, which may come first.
    pub fn run(&mut self, sockets_first: bool) {
        let thread = &mut self.thread;
        if sockets_first {
            thread.poll_tasks(&mut self.reports);
        }
        if self.orders.pop(&mut thread.orders) {
            thread.carry_out();
            thread.hand_over(&mut self.reports);
            thread.seats.call_paused();
        }
        thread.poll_tasks(&mut self.reports);
        thread.hand_over(&mut self.reports);
        thread.seats.call_paused();
    }
}

/// Whether the task of a connection has been woken.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The task of one connection on an I/O thread.
#[derive(Debug)]
struct Task {
    address: Address,
    flag: Arc<Flag>,
}

impl Task {
    fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }
}

/// What an I/O thread owns.
#[derive(Debug, Default)]
struct IoThread {
    seats: Seats<VirtualSocket>,
    /// Empty between two turns.
    orders: Orders,
    tasks: Vec<Task>,
}

impl IoThread {
    fn carry_out(&mut self) {
        while let Some((entry, bytes)) = self.orders.advance() {
            if self.seats.carry_out(entry, &mut self.orders, bytes) {
                let flag = Arc::new(Flag(AtomicBool::new(true)));
                let address = entry.address;
                self.tasks.push(Task { address, flag });
            }
        }
        self.orders.clear();
    }

    fn poll_tasks(&mut self, reports: &mut Ring<Reports>) {
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.retain(|task| {
            if !task.flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            if !self.seats.out.has_room() {
                self.hand_over(reports);
            }
            let waker = Waker::from(task.flag.clone());
            let waits = self.seats.poll(task.address, &mut Context::from_waker(&waker));
            waits != Waits::NoMore
        });
        self.tasks = tasks;
    }

    fn hand_over(&mut self, reports: &mut Ring<Reports>) {
        if !self.seats.out.is_empty() {
            reports.push(&mut self.seats.out);
        }
    }
}

/// What was written to a socket leaves.
pub fn leave(pipe: &Rc<RefCell<Pipe>>) -> Option<Bytes> {
    let pipe = &mut *pipe.borrow_mut();
    if pipe.output.is_empty() {
        return None;
    }
    pipe.left += pipe.output.len() as u64;
    pipe.wake();
    Some(Bytes::from(std::mem::take(&mut pipe.output)))
}
