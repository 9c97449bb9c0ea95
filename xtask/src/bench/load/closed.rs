//! The closed loop: every connection keeps `pipeline` requests under way and sends the next when all are
//! answered; or, at a fixed rate, sends each when it is due. One thread, so that it takes one core at most.
//!
//! At a fixed rate the latency counts from when a request was due, not from when it could be sent: a stalled
//! server does not hide the requests that it kept from being sent. Only the lateness of our own timer is left
//! out: a connection that was idle when its request came due counts from when it woke up.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::codec::{Codec, Kind};
use super::{Latency, Sample};
use crate::run::{Failure, Outcome};

/// A load on one server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What is asked.
    pub kind: Kind,
    /// Connections.
    pub connections: u64,
    /// Requests under way per connection.
    pub pipeline: usize,
    /// Keys that are asked for, with equal probability.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// How long.
    pub seconds: f64,
    /// Numbers that are each asked for once, instead of keys at random; the load ends after the last.
    pub turns: Option<Turns>,
    /// Requests per second of all connections together; `None`: as fast as answers come. Needs pipeline 1.
    pub rate: Option<f64>,
}

/// Numbers that are dealt to the connections in turn, so that a connection knows what its own requests have
/// done to a collection that no other connection touches.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// The first; a multiple of the connections.
    pub first: u64,
    /// How many; a multiple of the connections times the pipeline.
    pub count: u64,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When, in microseconds from the start of the load.
    pub done_us: u64,
    /// Its latency in microseconds.
    pub latency_us: u32,
}

#[derive(Debug, Default)]
struct Tally {
    answered: Vec<Answered>,
    failure: Option<String>,
}

/// A runtime of this thread alone.
pub(super) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(format!("no event loop: {error}")))
}

/// Runs a load against a port of loopback.
///
/// # Errors
/// A connection broke, or any reply was an error or wrong.
pub fn run(port: u16, load: Load) -> Outcome<Sample> {
    let answered = run_until(port, load, &Arc::default())?;
    let last = answered.iter().map(|request| request.done_us).max().unwrap_or(0);
    Ok(Sample {
        operations: answered.len() as u64,
        seconds: last as f64 / 1e6,
        cpu_seconds: 0.0,
        latency: Latency::of(answered.iter().map(|request| request.latency_us).collect()),
    })
}

/// As `run`, but ends when `stop` is set, and returns every single request.
///
/// # Errors
/// A connection broke, or any reply was an error or wrong.
pub fn run_until(port: u16, load: Load, stop: &Arc<AtomicBool>) -> Outcome<Vec<Answered>> {
    assert!(load.rate.is_none() || load.pipeline == 1);
    if let Some(turns) = load.turns {
        let round = load.connections * load.pipeline as u64;
        assert!(turns.first.is_multiple_of(load.connections) && turns.count.is_multiple_of(round));
    }
    let tally = Rc::new(RefCell::new(Tally::default()));
    let tasks = tokio::task::LocalSet::new();
    let finished = runtime()?.block_on(tasks.run_until(async {
        let mut streams = Vec::new();
        for _ in 0..load.connections {
            streams.push(connect(port, load).await?);
        }
        let start = Instant::now();
        let mut running = Vec::new();
        for (number, stream) in streams.into_iter().enumerate() {
            let connection = Connection::new(stream, load, number as u64);
            let (tally, stop) = (tally.clone(), stop.clone());
            running.push(tokio::task::spawn_local(async move {
                if let Err(error) = connection.run(start, &stop, &tally).await {
                    tally.borrow_mut().failure.get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }));
        }
        for task in running {
            let _ = task.await;
        }
        Ok::<_, std::io::Error>(())
    }));
    finished.map_err(|error| Failure::new(format!("connecting to port {port}: {error}")))?;
    let tally = std::mem::take(&mut *tally.borrow_mut());
    match tally.failure {
        Some(failure) => Err(Failure::new(format!("load on port {port}: {failure}"))),
        None => Ok(tally.answered),
    }
}

async fn connect(port: u16, load: Load) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (greeting, answer_bytes) = Codec::new(load.kind, load.value_bytes).greeting();
    stream.write_all(greeting).await?;
    let mut answer = vec![0; answer_bytes];
    stream.read_exact(&mut answer).await?;
    if answer.first() == Some(&b'-') {
        return Err(std::io::Error::other("the server refuses the greeting"));
    }
    Ok(stream)
}

struct Connection {
    stream: TcpStream,
    load: Load,
    number: u64,
    codec: Codec,
    chance: u64,
    sent: u64,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, load: Load, number: u64) -> Self {
        Self {
            stream,
            load,
            number,
            codec: Codec::new(load.kind, load.value_bytes),
            chance: (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            sent: 0,
            input: Vec::with_capacity(16 << 10),
            output: Vec::new(),
        }
    }

    async fn run(mut self, start: Instant, stop: &AtomicBool, tally: &RefCell<Tally>) -> Result<(), String> {
        let length = Duration::from_secs_f64(self.load.seconds);
        let mut count = 0;
        loop {
            let sent = match self.load.rate {
                None => Instant::now(),
                Some(rate) => {
                    let position = (count * self.load.connections + self.number) as f64;
                    self.wait_until_due(start + Duration::from_secs_f64(position / rate))
                        .await
                }
            };
            let done = self
                .load
                .turns
                .is_some_and(|turns| self.sent * self.load.connections >= turns.count);
            if done || sent.duration_since(start) >= length || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            count += 1;
            self.exchange().await?;
            let answered = Answered {
                done_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
                latency_us: u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX),
            };
            let all = &mut tally.borrow_mut().answered;
            all.extend(std::iter::repeat_n(answered, self.load.pipeline));
        }
    }

    /// Returns from when the latency counts.
    async fn wait_until_due(&self, due: Instant) -> Instant {
        if Instant::now() >= due {
            return due;
        }
        tokio::time::sleep_until(due).await;
        Instant::now()
    }

    fn next_key(&mut self) -> u64 {
        self.sent += 1;
        if let Some(turns) = self.load.turns {
            return turns.first + (self.sent - 1) * self.load.connections + self.number;
        }
        // xorshift64: quick and the same in every run.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % self.load.keys
    }

    /// Sends one pipeline and takes in its replies.
    async fn exchange(&mut self) -> Result<(), String> {
        /// Nothing here may take longer: a load that hangs would hang the whole run.
        const PATIENCE: Duration = Duration::from_secs(20);
        self.output.clear();
        for _ in 0..self.load.pipeline {
            let key = self.next_key();
            self.codec.encode(key, &mut self.output);
        }
        let broken = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(&self.output).await.map_err(broken)?;
        let mut missing = self.load.pipeline;
        let mut used = 0;
        loop {
            while let Some(length) = self.codec.decode(&self.input[used..])? {
                used += length;
                missing -= 1;
                if missing == 0 {
                    self.input.drain(..used);
                    return Ok(());
                }
            }
            self.input.drain(..used);
            used = 0;
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            match read {
                Ok(Ok(0)) => return Err("the server closed the connection".to_owned()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(broken(error)),
                Err(_) => return Err("no reply within 20 s".to_owned()),
            }
        }
    }
}
