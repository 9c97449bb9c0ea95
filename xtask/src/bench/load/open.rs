//! The open loop through a fault: writes at a fixed rate, each repeated until it is acknowledged. The
//! latency of a write counts from when it was due, so an outage shows as long as users would wait.
//!
//! Every write has a key of its own, so that afterwards each acknowledged one can be looked for. Writes are
//! SETs of the same value, so repeating one whose fate is unknown is harmless.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::closed::runtime;
use super::target::{PATIENCE, Target};
use crate::run::{Failure, Outcome};

/// Writes per second of all clients together.
pub const RATE: u64 = 1_000;
/// Clients, each with one connection and one write under way.
pub const CLIENTS: u64 = 20;
/// Pause of a client that found no server.
const PAUSE: Duration = Duration::from_millis(20);

/// One acknowledged write.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Its number, which is in its key.
    pub number: u64,
    /// When it was due, in microseconds from the start.
    pub due_us: u64,
    /// When it was acknowledged, in microseconds from the start.
    pub done_us: u64,
}

/// Key of a write.
pub fn key(number: u64) -> String {
    format!("fault:{number:010}")
}

/// Runs for `seconds`; `fault` is called on another thread after `fault_after` seconds. Writes that are still
/// not acknowledged 1 s after the end are given up.
///
/// # Errors
/// No connection at the start, or the fault could not be made.
pub fn run(
    target: &Target,
    seconds: f64,
    fault_after: f64,
    fault: impl FnOnce() -> Outcome + Send + 'static,
) -> Outcome<Vec<Acknowledged>> {
    let acknowledged = Rc::new(RefCell::new(Vec::new()));
    let changes = Rc::new(Cell::new(0));
    let tasks = tokio::task::LocalSet::new();
    let faulted = runtime()?.block_on(tasks.run_until(async {
        let start = Instant::now();
        tokio::task::spawn_local(target.clone().watch(changes.clone()));
        for number in 0..CLIENTS {
            let client = Client {
                target: target.clone(),
                number,
                start,
                attempts: 0,
                changes: changes.clone(),
                change_seen: 0,
                stream: None,
            };
            tokio::task::spawn_local(client.run(seconds, acknowledged.clone()));
        }
        let injector = tokio::task::spawn_blocking(move || {
            std::thread::sleep(Duration::from_secs_f64(fault_after));
            fault()
        });
        let end = start + Duration::from_secs_f64(seconds + 1.0);
        tokio::time::sleep_until(end).await;
        injector.await
    }));
    drop(tasks);
    faulted.map_err(|error| Failure::new(format!("the fault: {error}")))??;
    let mut acknowledged = std::mem::take(&mut *acknowledged.borrow_mut());
    acknowledged.sort_unstable_by_key(|write: &Acknowledged| write.done_us);
    if acknowledged.is_empty() {
        return Err(Failure::new("no write was acknowledged"));
    }
    Ok(acknowledged)
}

struct Client {
    target: Target,
    number: u64,
    start: Instant,
    attempts: usize,
    /// How often the watched primary changed, and how often this client has followed.
    changes: Rc<Cell<u64>>,
    change_seen: u64,
    stream: Option<TcpStream>,
}

impl Client {
    async fn run(mut self, seconds: f64, acknowledged: Rc<RefCell<Vec<Acknowledged>>>) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        for count in 0.. {
            let number = count * CLIENTS + self.number;
            let mut due = Duration::from_micros(number * 1_000_000 / RATE);
            if due.as_secs_f64() >= seconds {
                return;
            }
            if self.start.elapsed() < due {
                tokio::time::sleep_until(self.start + due).await;
                // The lateness of our timer is not the server's.
                due = self.start.elapsed();
            }
            while !self.write(number).await {
                self.stream = None;
                self.attempts += 1;
            }
            acknowledged.borrow_mut().push(Acknowledged {
                number,
                due_us: us(due),
                done_us: us(self.start.elapsed()),
            });
        }
    }

    /// One try; true if it was acknowledged.
    async fn write(&mut self, number: u64) -> bool {
        if self.changes.get() != self.change_seen {
            self.change_seen = self.changes.get();
            self.stream = None;
        }
        if self.stream.is_none() {
            self.stream = self.target.connect(self.attempts).await.ok();
        }
        let Some(stream) = &mut self.stream else {
            tokio::time::sleep(PAUSE).await;
            return false;
        };
        let answered = tokio::time::timeout(PATIENCE, exchange(stream, number)).await;
        let done = matches!(answered, Ok(Ok(true)));
        if matches!(answered, Ok(Ok(false))) {
            // An error reply: whoever answers so soon must not be asked again at once.
            tokio::time::sleep(PAUSE).await;
        }
        done
    }
}

/// True for `+OK`, false for any other reply.
async fn exchange(stream: &mut TcpStream, number: u64) -> std::io::Result<bool> {
    let (key, value) = (key(number), number.to_string());
    let request = format!(
        "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
        key.len(),
        value.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n") {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(reply == b"+OK\r\n")
}

/// The longest time without any acknowledgement from `fault_us` on, in seconds, and the longest that one write
/// due after then minus a second took.
pub fn gap_seconds(acknowledged: &[Acknowledged], fault_us: u64) -> (f64, f64) {
    let from = fault_us.saturating_sub(1_000_000);
    let late: Vec<&Acknowledged> = acknowledged
        .iter()
        .filter(|write| write.done_us >= from)
        .collect();
    let gap = late
        .windows(2)
        .map(|two| two[1].done_us - two[0].done_us)
        .max()
        .unwrap_or(0);
    let longest = late
        .iter()
        .map(|write| write.done_us - write.due_us)
        .max()
        .unwrap_or(0);
    (gap as f64 / 1e6, longest as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_silence() {
        let write = |due_ms: u64, done_ms: u64| Acknowledged {
            number: due_ms,
            due_us: due_ms * 1000,
            done_us: done_ms * 1000,
        };
        let acknowledged = [
            write(0, 1),
            write(3000, 3001),
            write(3010, 3511),
            write(3020, 3512),
        ];
        assert_eq!(gap_seconds(&acknowledged, 3_005_000), (0.51, 0.501));
    }
}
