//! The rings between a host and its I/O threads with real threads: everything comes back, in order, and nobody sleeps
//! for ever. A program without a test harness and without locks, so that `cargo xtask races` can run it under the
//! thread sanitizer: the locks and channels of the standard library are not compiled for it, and look like races.

#[path = "../src/net/io/ring.rs"]
mod ring;
#[path = "../src/net/io/sync.rs"]
mod sync;

use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use ring::{Consumer, Passed, Producer, ring};

/// I/O threads of four workers.
const THREADS: usize = 3;
/// Numbers that go to each of them and come back.
const NUMBERS: u64 = 30_000;
/// Batches in a ring, as in the node.
const PLACES: usize = 4;
/// Whoever sleeps for longer was not woken.
const PATIENCE: Duration = Duration::from_secs(60);

type Batch = Vec<u64>;

/// What one thread shares with another: a ring each way, and what it has not handed over yet.
struct End {
    to: Producer<Batch>,
    from: Consumer<Batch>,
    out: Batch,
    taken: Batch,
    other: Thread,
}

impl End {
    fn new(to: Producer<Batch>, from: Consumer<Batch>, other: Thread) -> Self {
        let (out, taken) = (Batch::new(), Batch::new());
        Self {
            to,
            from,
            out,
            taken,
            other,
        }
    }

    fn wake(&self, passed: Passed) {
        if passed == Passed::Wakes {
            self.other.unpark();
        }
    }

    /// Hands over what there is; how many numbers went.
    fn hand_over(&mut self) -> u64 {
        let count = self.out.len() as u64;
        if count == 0 {
            return 0;
        }
        match self.to.push(&mut self.out) {
            Passed::No => 0,
            passed => {
                assert!(self.out.is_empty(), "what comes back is emptied");
                self.wake(passed);
                count
            }
        }
    }

    /// Takes the next batch into `taken`.
    fn take(&mut self) -> bool {
        self.taken.clear();
        let passed = self.from.pop(&mut self.taken);
        self.wake(passed);
        passed != Passed::No
    }

    /// Whether there is nothing to do before the other side wakes this one.
    fn sleeps(&mut self) -> bool {
        let is_stuck = self.out.is_empty() || self.to.sleeps();
        is_stuck && self.from.sleeps()
    }
}

fn park() {
    let began = Instant::now();
    thread::park_timeout(PATIENCE);
    assert!(began.elapsed() < PATIENCE, "nobody woke a thread that sleeps");
}

/// An I/O thread: sends everything back.
fn echo(mut end: End) {
    let mut echoed = 0;
    while echoed < NUMBERS {
        let came = end.take();
        end.out.extend_from_slice(&end.taken);
        let handed_over = end.hand_over();
        echoed += handed_over;
        if !came && handed_over == 0 && echoed < NUMBERS && end.sleeps() {
            park();
        }
    }
}

/// One of the host's threads, and how far its numbers have come.
struct Line {
    end: End,
    thread: JoinHandle<()>,
    sent: u64,
    heard: u64,
}

impl Line {
    fn start() -> Self {
        let (orders, their_orders) = ring(PLACES);
        let (their_reports, reports) = ring(PLACES);
        let host = thread::current();
        let thread = thread::spawn(move || echo(End::new(their_reports, their_orders, host)));
        let end = End::new(orders, reports, thread.thread().clone());
        Self {
            end,
            thread,
            sent: 0,
            heard: 0,
        }
    }

    /// One turn; false if nothing happened.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        while self.end.take() {
            for number in &self.end.taken {
                assert_eq!(*number, self.heard, "numbers come back in their order, each once");
                self.heard += 1;
            }
            moved = true;
        }
        // Batches of different lengths, now and then none.
        let count = self.heard % 7;
        let last = NUMBERS.min(self.sent + count.max(u64::from(self.sent == self.heard)));
        if self.end.out.is_empty() {
            self.end.out.extend(self.sent..last);
            self.sent = last;
        }
        moved | (self.end.hand_over() > 0)
    }
}

fn main() {
    let mut lines: Vec<Line> = (0..THREADS).map(|_| Line::start()).collect();
    while lines.iter().any(|line| line.heard < NUMBERS) {
        let moved = lines.iter_mut().fold(false, |moved, line| line.turn() | moved);
        // As in the node: each of them says that the host sleeps, or none of it counts.
        if !moved
            && lines
                .iter_mut()
                .all(|line| line.heard == NUMBERS || line.end.sleeps())
        {
            park();
        }
    }
    for line in lines {
        line.thread.join().expect("the thread has ended well");
    }
    println!("{THREADS} threads have sent {NUMBERS} numbers back, each once and in order");
}
