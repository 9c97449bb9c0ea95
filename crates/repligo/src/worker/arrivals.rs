//! The task that takes what I/O threads report and hands over to them what is ordered outside of a turn.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::Thread;
use crate::net::io::Reports;
use crate::net::io::line::SharedLine;

/// The batch that is being taken, and from whom the next one is.
#[derive(Default)]
struct Arrivals {
    /// Those of the worker, from the first look on.
    lines: Vec<SharedLine>,
    batch: Reports,
    next: usize,
}

/// Runs for as long as the worker does.
pub async fn exchange_with_io_threads(thread: Rc<Thread>) {
    let mut arrivals = Arrivals::default();
    std::future::poll_fn(|cx| arrivals.poll(cx, &thread)).await
}

impl Arrivals {
    fn poll(&mut self, cx: &mut Context<'_>, thread: &Thread) -> Poll<()> {
        let worker = &mut *thread.worker.borrow_mut();
        let gathering = &mut *thread.gathering.borrow_mut();
        if self.lines.is_empty() {
            worker.placement.set_waker(cx.waker());
            self.lines = worker.placement.lines().to_vec();
        }
        let lines = &self.lines;
        let mut idle = 0;
        // One batch of each in turn, so that none is always last.
        while idle < lines.len() {
            while self.batch.peek().is_some() {
                if !worker.take_io_report(&mut self.batch, gathering) {
                    // After the turn, which was asked for before.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            self.batch.clear();
            let line = &lines[self.next];
            self.next = (self.next + 1) % lines.len();
            let has_come = line.borrow_mut().take(&mut self.batch);
            idle = if has_come { 0 } else { idle + 1 };
        }
        let mut sleeps = true;
        for line in lines {
            let called = {
                let mut line = line.borrow_mut();
                line.hand_over();
                line.called()
            };
            for slot in called {
                if let Some(connection) = worker.connections.get_mut(slot) {
                    connection.wake();
                }
            }
            sleeps &= line.borrow_mut().sleeps();
        }
        if !sleeps {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
