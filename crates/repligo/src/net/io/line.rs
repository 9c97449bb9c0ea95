//! The host's end of what it shares with one I/O thread: orders that gather until the turn ends, and reports that come.
//!
//! Invariant: whatever is ordered leaves without another event, at the end of the turn or by the waker.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread::JoinHandle;

use repligo_session::exchange::Lane;
use repligo_session::exchange::batch::{Address, Entry, Order};

use super::ring::{Consumer, Passed, Producer, ring};
use super::thread::{self, Ends};
use super::{Orders, Reports};
use crate::net::stream::Unbound;
use crate::telemetry::Shared;

/// Batches on their way in one direction at most.
const BATCHES_MAX: usize = 4;

/// What both threads see beside the rings.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The I/O thread is to end.
    is_over: AtomicBool,
    host: OnceLock<Waker>,
    thread: OnceLock<Waker>,
}

impl Exchange {
    /// Whether the I/O thread is to end.
    pub fn is_over(&self) -> bool {
        // Behind `set_thread`: either this sees the end, or the host sees whom to wake.
        fence(Ordering::SeqCst);
        self.is_over.load(Ordering::Acquire)
    }

    /// Who is woken for the I/O thread; said once.
    pub fn set_thread(&self, waker: &Waker) {
        let _ = self.thread.set(waker.clone());
    }

    /// Wakes the host if the ring says so.
    pub fn wake_host(&self, passed: Passed) {
        if passed == Passed::Wakes
            && let Some(waker) = self.host.get()
        {
            waker.wake_by_ref();
        }
    }

    fn wake_thread(&self) {
        if let Some(waker) = self.thread.get() {
            waker.wake_by_ref();
        }
    }
}

/// See the module.
pub struct Line {
    orders: Producer<Orders>,
    reports: Consumer<Reports>,
    out: Orders,
    exchange: Arc<Exchange>,
    thread: Option<JoinHandle<()>>,
    /// The turn hands over what is ordered now.
    is_flushing: bool,
    /// Slots that found no room for their bytes.
    crowded: Vec<u32>,
    connections: u64,
    /// Its number among the workers; the host is 0.
    number: usize,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// Starts an I/O thread, the worker with this number.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime for it.
    pub fn start(number: usize, shared: Arc<Shared>) -> std::io::Result<Self> {
        let (orders, their_orders) = ring(BATCHES_MAX);
        let (their_reports, reports) = ring(BATCHES_MAX);
        let exchange = Arc::new(Exchange::default());
        let ends = Ends {
            orders: their_orders,
            reports: their_reports,
            exchange: exchange.clone(),
            shared,
            number,
        };
        let thread = thread::start(ends)?;
        Ok(Self {
            orders,
            reports,
            out: Orders::default(),
            exchange,
            thread: Some(thread),
            is_flushing: false,
            crowded: Vec::new(),
            connections: 0,
            number,
        })
    }

    /// Its number among the workers.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Connections whose sockets are there.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Who is woken when reports have come, when there is room again, and when something is to be handed over.
    pub fn set_waker(&mut self, waker: &Waker) {
        let _ = self.exchange.host.set(waker.clone());
    }

    fn wake_host(&self) {
        if let Some(waker) = self.exchange.host.get() {
            waker.wake_by_ref();
        }
    }

    /// What is ordered from now on is handed over by the turn.
    pub fn begin_flush(&mut self) {
        self.is_flushing = true;
    }

    /// The turn is over: hands over what was ordered, at once or when the ring is not full any more.
    pub fn end_flush(&mut self) {
        self.is_flushing = false;
        if !self.hand_over() {
            self.wake_host();
        }
    }

    /// Hands over what was ordered; false if the ring is full.
    pub fn hand_over(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        match self.orders.push(&mut self.out) {
            Passed::No => return false,
            Passed::Done => {}
            Passed::Wakes => self.exchange.wake_thread(),
        }
        if !self.crowded.is_empty() {
            self.wake_host();
        }
        true
    }

    /// Takes the next batch of reports in exchange for an empty one; false if none has come.
    pub fn take(&mut self, batch: &mut Reports) -> bool {
        let passed = self.reports.pop(batch);
        if passed == Passed::Wakes {
            self.exchange.wake_thread();
        }
        passed != Passed::No
    }

    /// True if nothing is to be done before the waker wakes.
    pub fn sleeps(&mut self) -> bool {
        let is_stuck = self.out.is_empty() || self.orders.sleeps();
        is_stuck && self.reports.sleeps()
    }

    /// The slots that may go on because there is room again.
    pub fn called(&mut self) -> Vec<u32> {
        if self.crowded.is_empty() || !self.has_room() {
            return Vec::new();
        }
        std::mem::take(&mut self.crowded)
    }

    /// Gives a socket away.
    pub(super) fn adopt(&mut self, entry: Entry<Order>, socket: Unbound) {
        self.connections += 1;
        self.out.push_socket(entry, socket);
        self.ordered();
    }

    /// A connection is over, or its socket has been handed back.
    pub(super) fn leave(&mut self) {
        self.connections -= 1;
    }

    fn ordered(&mut self) {
        if !self.is_flushing && self.out.len() == 1 {
            self.wake_host();
        }
    }
}

impl Lane for Line {
    fn order(&mut self, entry: Entry<Order>) {
        self.out.push(entry);
        self.ordered();
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
        self.ordered();
        count
    }

    fn has_room(&mut self) -> bool {
        self.out.has_room() || self.orders.has_room()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What was ordered last may be the ends of connections.
        self.hand_over();
        self.exchange.is_over.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.exchange.wake_thread();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A line that the streams on it share with the worker.
pub type SharedLine = Rc<std::cell::RefCell<Line>>;
