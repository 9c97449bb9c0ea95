//! An I/O thread: its runtime, the task of each connection, and the task that takes orders and hands reports over.
//!
//! The latter is woken by the first report after it has run and runs behind the tasks that are ready now, so that
//! what they have read leaves as one batch. It carries out one batch of orders at a time, and others come in between.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use repligo_session::exchange::batch::Address;
use repligo_session::exchange::seats::{Seats, Waits};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use super::line::Exchange;
use super::ring::{Consumer, Passed, Producer};
use super::{Orders, Reports};
use crate::net::stream::ClientStream;
use crate::telemetry::Shared;
use crate::telemetry::clock::{boottime_ns, thread_cpu_ns};
use crate::telemetry::stalls::Busy;

/// Distance between two readings of this thread's CPU time, nanoseconds.
const CPU_EVERY_NS: u64 = 10_000_000;

/// What an I/O thread is given.
pub struct Ends {
    /// From the host.
    pub orders: Consumer<Orders>,
    /// To the host.
    pub reports: Producer<Reports>,
    /// Beside the rings.
    pub exchange: Arc<Exchange>,
    /// Where its figures are.
    pub shared: Arc<Shared>,
    /// Its number among the workers; the host is 0.
    pub number: usize,
}

/// Everything that the thread owns.
struct IoThread {
    ends: Ends,
    seats: Seats<ClientStream>,
    /// Of the task that hands it over.
    waker: Option<Waker>,
    busy: Busy,
    /// When the present turn began, 0 between turns.
    began_ns: u64,
    cpu_read_ns: u64,
}

/// Starts it.
///
/// # Errors
/// The system gives no thread, or no runtime for it.
pub fn start(ends: Ends) -> io::Result<JoinHandle<()>> {
    let (told, made) = mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("repligo-io-{}", ends.number));
    let handle = thread.spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = told.send(Ok(()));
                run(&runtime, ends);
            }
            Err(error) => {
                let _ = told.send(Err(error));
            }
        }
    })?;
    made.recv().unwrap_or_else(|error| Err(io::Error::other(error)))?;
    Ok(handle)
}

fn run(runtime: &LocalRuntime, ends: Ends) {
    let thread = Rc::new(RefCell::new(IoThread {
        ends,
        seats: Seats::default(),
        waker: None,
        busy: Busy::default(),
        began_ns: 0,
        cpu_read_ns: 0,
    }));
    runtime.block_on(async move {
        let exchanging = tokio::task::spawn_local(Exchanging {
            thread,
            orders: Orders::default(),
        });
        let _ = exchanging.await;
    });
}

impl IoThread {
    fn begin_turn(&mut self) {
        if self.began_ns == 0 {
            self.began_ns = boottime_ns();
            self.busy.begin(self.began_ns);
        }
    }

    fn end_turn(&mut self) {
        let began_ns = std::mem::take(&mut self.began_ns);
        if began_ns == 0 {
            return;
        }
        let now_ns = boottime_ns();
        let reads_cpu = now_ns.saturating_sub(self.cpu_read_ns) > CPU_EVERY_NS;
        if reads_cpu {
            self.cpu_read_ns = now_ns;
        }
        if let Some(stat) = self.ends.shared.metrics.threads.get(self.ends.number) {
            self.busy.end("sockets", (began_ns, now_ns), &stat.busy);
            if reads_cpu {
                stat.cpu_nanoseconds.set(thread_cpu_ns());
            }
        }
    }

    /// The task that hands over is to run.
    fn request_turn(&mut self) {
        self.begin_turn();
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Hands the reports over, unless the ring is full.
    fn hand_over(&mut self) {
        if !self.seats.out.is_empty() {
            let passed = self.ends.reports.push(&mut self.seats.out);
            self.ends.exchange.wake_host(passed);
        }
    }
}

/// Takes orders and hands reports over, until the host is gone.
struct Exchanging {
    thread: Rc<RefCell<IoThread>>,
    /// Empty between two polls.
    orders: Orders,
}

impl Future for Exchanging {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let thread = &mut *this.thread.borrow_mut();
        if thread.waker.is_none() {
            thread.waker = Some(cx.waker().clone());
            thread.ends.exchange.set_thread(cx.waker());
        }
        loop {
            let passed = thread.ends.orders.pop(&mut this.orders);
            thread.ends.exchange.wake_host(passed);
            if passed == Passed::No {
                break;
            }
            thread.begin_turn();
            while let Some((entry, bytes)) = this.orders.advance() {
                if thread.seats.carry_out(entry, &mut this.orders, bytes) {
                    tokio::task::spawn_local(SeatTask {
                        thread: this.thread.clone(),
                        address: entry.address,
                    });
                }
            }
            this.orders.clear();
            thread.hand_over();
            thread.seats.call_paused();
            thread.end_turn();
            if !thread.ends.orders.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        thread.hand_over();
        thread.seats.call_paused();
        thread.end_turn();
        // With orders carried out, the host may let go.
        if thread.ends.exchange.is_over() && thread.ends.orders.is_empty() {
            thread.seats.clear();
            return Poll::Ready(());
        }
        let is_stuck = thread.seats.out.is_empty() || thread.ends.reports.sleeps();
        if !is_stuck || !thread.ends.orders.sleeps() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Drives one connection until it is over or handed back.
struct SeatTask {
    thread: Rc<RefCell<IoThread>>,
    address: Address,
}

impl Future for SeatTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let thread = &mut *self.thread.borrow_mut();
        if !thread.seats.out.has_room() {
            thread.hand_over();
        }
        let before = thread.seats.out.len();
        let waits = thread.seats.poll(self.address, cx);
        if thread.seats.out.len() > before || waits == Waits::ForRoom {
            thread.request_turn();
        }
        match waits {
            Waits::NoMore => Poll::Ready(()),
            Waits::ForRoom | Waits::Longer => Poll::Pending,
        }
    }
}
