//! Whose sockets are on which worker thread.
//!
//! With little load one thread is best: what it reads it executes, and nothing is handed over. So a connection begins
//! with the host. When the host is busy, connections move to I/O threads, at moments when nothing of them is under
//! way, until the host is about as busy as they are; when all of them together have little to do, they come back.
//!
//! It decides by the CPU time of the threads in the last tenth of a second.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use super::Worker;
use crate::net::io::line::{Line, SharedLine};
use crate::telemetry::clock::thread_cpu_ns;
use crate::telemetry::{Metrics, Shared};

/// Distance between two looks at the load.
const LOOK_EVERY_US: u64 = 100_000;
/// Each look moves at most this part of the connections, and in a turn no more than so many.
const MOVED_DIVISOR: usize = 8;
const MOVED_IN_A_TURN_MAX: usize = 16;
/// An I/O thread gets more only while it is less busy than the host by this many thousandths.
const DISTANCE_PERMILLE: u64 = 100;
/// Connections that are asked back at each look.
const RETURNED_AT_ONCE: usize = 64;

/// How busy a thread was between the last two looks.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    cpu_ns: u64,
    permille: u64,
}

impl Load {
    fn look(&mut self, cpu_ns: u64, elapsed_us: u64) -> u64 {
        let used_ns = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        self.permille = (used_ns / elapsed_us.max(1)).min(1000);
        self.permille
    }
}

/// The I/O threads of a worker, none if it is alone; see the module.
#[derive(Debug, Default)]
pub struct Placement {
    lines: Vec<SharedLine>,
    loads: Vec<Load>,
    host: Load,
    /// From here on the host counts as busy, thousandths; 0: it never has a socket.
    busy_permille: u64,
    looked_us: u64,
    /// Connections that are to move.
    leaving: usize,
    /// Those of them that may move in the present turn.
    leaving_now: usize,
    /// Connections that are to come back.
    returning: usize,
}

impl Placement {
    /// Starts all I/O threads of so many workers. The host counts as busy from `busy_percent` of a core on; 0 puts
    /// all connections on I/O threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(workers: usize, busy_percent: u64, shared: &Arc<Shared>) -> io::Result<Self> {
        let lines =
            (1..workers).map(|number| Ok(SharedLine::new(Line::start(number, shared.clone())?.into())));
        let lines: Vec<SharedLine> = lines.collect::<io::Result<_>>()?;
        Ok(Self {
            loads: vec![Load::default(); lines.len()],
            lines,
            busy_permille: busy_percent * 10,
            ..Self::default()
        })
    }

    /// True if there is nobody but the host.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// One for each I/O thread.
    pub fn lines(&self) -> &[SharedLine] {
        &self.lines
    }

    /// Who is woken when an I/O thread has something to say.
    pub fn set_waker(&self, waker: &Waker) {
        self.lines
            .iter()
            .for_each(|line| line.borrow_mut().set_waker(waker));
    }

    /// The thread that gets the next connection, if one is to get it.
    fn next(&self) -> Option<&SharedLine> {
        let busy = |(number, line): &(usize, &SharedLine)| {
            let permille = self.loads[*number].permille;
            (permille / DISTANCE_PERMILLE, line.borrow().connections())
        };
        let (number, line) = self.lines.iter().enumerate().min_by_key(busy)?;
        let is_better = self.loads[number].permille + DISTANCE_PERMILLE < self.host.permille;
        let is_host_busy = self.host.permille >= self.busy_permille;
        (self.busy_permille == 0 || is_host_busy && is_better).then_some(line)
    }

    /// Looks at the load now and then, and decides how many connections are to move.
    fn look(&mut self, now_us: u64, (metrics, connections): (&Metrics, usize)) {
        let elapsed_us = now_us.saturating_sub(self.looked_us);
        if elapsed_us < LOOK_EVERY_US {
            return;
        }
        self.looked_us = now_us;
        let cpu_ns = thread_cpu_ns();
        let mut sum = self.host.look(cpu_ns, elapsed_us);
        let mut remote = 0;
        for ((load, line), stat) in self.loads.iter_mut().zip(&self.lines).zip(&metrics.threads[1..]) {
            let permille = load.look(stat.cpu_nanoseconds.get(), elapsed_us);
            sum += permille;
            remote += line.borrow().connections();
            stat.busy_permille.set(permille);
            stat.connections.set(line.borrow().connections());
        }
        let here = (connections as u64).saturating_sub(remote);
        let own = &metrics.threads[0];
        own.cpu_nanoseconds.set(cpu_ns);
        own.busy_permille.set(self.host.permille);
        own.connections.set(here);
        self.leaving = match self.next() {
            Some(_) if self.busy_permille == 0 => here as usize,
            Some(_) => (here as usize).div_ceil(MOVED_DIVISOR),
            None => 0,
        };
        let is_idle = sum < self.busy_permille / 2;
        self.returning = if is_idle { RETURNED_AT_ONCE } else { 0 };
    }
}

impl Worker {
    /// Places a connection that has just come.
    pub fn place(&mut self, slot: u32) {
        if let Some(line) = self.placement.next()
            && let Some(connection) = self.connections.get_mut(slot)
        {
            connection.hand_out(line);
        }
    }

    /// With every tick.
    pub(super) fn look_after_placement(&mut self, now_us: u64) {
        if !self.placement.is_empty() {
            let seen = (&self.shared.metrics, self.connections.len());
            self.placement.look(now_us, seen);
            if self.placement.leaving > 0 {
                self.turn.request();
            }
            self.ask_back();
        }
    }

    fn ask_back(&mut self) {
        let asked = std::mem::take(&mut self.placement.returning);
        if asked > 0 {
            let connections = self.connections.iter_mut();
            connections
                .filter_map(|connection| connection.ask_back().then_some(()))
                .take(asked)
                .for_each(drop);
        }
    }

    /// The end of a turn with I/O threads: what they are to do is ordered at once.
    #[cold]
    pub(super) fn flush_to_io_threads(&mut self) {
        self.placement
            .lines
            .iter()
            .for_each(|line| line.borrow_mut().begin_flush());
        self.flush_connections();
        // Nothing is gathered now, so most connections are quiet.
        self.placement.leaving_now = self.placement.leaving.min(MOVED_IN_A_TURN_MAX);
        if self.placement.leaving_now > 0 {
            self.move_out();
        }
        self.placement
            .lines
            .iter()
            .for_each(|line| line.borrow_mut().end_flush());
    }

    fn move_out(&mut self) {
        for connection in self.connections.iter_mut() {
            let Some(line) = self.placement.next() else { break };
            if connection.hand_out(line) {
                self.placement.leaving = self.placement.leaving.saturating_sub(1);
                self.placement.leaving_now -= 1;
            }
            if self.placement.leaving_now == 0 {
                break;
            }
        }
    }
}
