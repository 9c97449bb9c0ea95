//! The workload: one process with a writer of plain keys, a writer of mapped keys, and a reader.
//!
//! It talks RESP like any client, prefers one node, and goes to the next when its connection breaks. It
//! knows nothing of roles. What was acknowledged goes into the history before it is counted.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use repligo_proto::resp::Value;
use repligo_proto::words::{Outcome, outcome};
use serde::{Deserialize, Serialize};

use super::history::{Fate, HistoryWriter, Record};
use crate::cli::link::Link;
use crate::cli::login::Login;
use crate::cli::signals::StopFlag;
use crate::cli::wire::Connection;
use crate::telemetry::clock::boottime_us;

/// Longer than a node holds a request while there is no leader.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How one writer works.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Writes per second that it aims at.
    per_second: u64,
    /// Writes in one pipeline at most.
    batch_max: usize,
    /// Keys that it writes in turn.
    keys: usize,
}

const PLAIN: Pace = Pace {
    per_second: 2000,
    batch_max: 256,
    keys: 1000,
};
const MAPPED: Pace = Pace {
    per_second: 200,
    batch_max: 48,
    keys: 200,
};

/// Counters of one client process; one line of JSON on stdout for the live view.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Acknowledged writes.
    pub acked: u64,
    /// Those of them in the mapped keyspace.
    pub mapped: u64,
    /// Writes with an unknown outcome.
    pub unknown: u64,
    /// Refused writes.
    pub refused: u64,
    /// Linearizable reads that were checked.
    pub reads: u64,
    /// Those of them that were older than an acknowledged write.
    pub stale_reads: u64,
}

#[derive(Debug, Default)]
struct Counters {
    acked: AtomicU64,
    mapped: AtomicU64,
    unknown: AtomicU64,
    refused: AtomicU64,
    reads: AtomicU64,
    stale_reads: AtomicU64,
}

impl Counters {
    fn progress(&self) -> Progress {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            acked: get(&self.acked),
            mapped: get(&self.mapped),
            unknown: get(&self.unknown),
            refused: get(&self.refused),
            reads: get(&self.reads),
            stale_reads: get(&self.stale_reads),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// What all threads of the process share.
#[derive(Debug)]
struct Client {
    name: String,
    nodes: Vec<String>,
    first_node: usize,
    history: PathBuf,
    first_row: i64,
    stop: StopFlag,
    counters: Counters,
    /// Last acknowledged sequence per plain key, for the reader.
    read_pool: Mutex<Vec<(String, u64)>>,
}

/// `repligo demo-client …`, started by `demo` only.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let text = |name: &str| matches.get_one::<String>(name).expect("clap requires it").clone();
    let stop = match StopFlag::install() {
        Ok(stop) => stop,
        Err(error) => return crate::cli::fail(crate::cli::FAILED, error),
    };
    let name = text("client");
    // Client c1 prefers the first node, c2 the second, …
    let number: usize = name.trim_start_matches('c').parse().unwrap_or(1);
    let client = Arc::new(Client {
        first_node: number.saturating_sub(1),
        name,
        nodes: text("nodes").split(',').map(str::to_string).collect(),
        history: text("history").into(),
        first_row: *matches.get_one::<i64>("first-row").expect("clap requires it"),
        stop,
        counters: Counters::default(),
        read_pool: Mutex::new(Vec::new()),
    });
    let workers: Vec<_> = [Client::write_plain, Client::write_mapped, Client::read]
        .into_iter()
        .map(|work| {
            let client = client.clone();
            std::thread::spawn(move || {
                let done = work(&client);
                if done.is_err() {
                    client.stop.set();
                }
                done
            })
        })
        .collect();
    while !client.stop.is_set() {
        std::thread::sleep(REPORT_EVERY);
        client.report();
    }
    let mut code = ExitCode::SUCCESS;
    for worker in workers {
        match worker.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                code = crate::cli::fail(
                    crate::cli::FAILED,
                    format_args!("client {}: {error}", client.name),
                )
            }
            Err(_) => code = ExitCode::from(crate::cli::FAILED),
        }
    }
    client.report();
    code
}

/// The connection, or `None` after a short pause when the node cannot be reached.
fn reach(link: &mut Link) -> Option<&mut Connection> {
    match link.get() {
        Ok(connection) => Some(connection),
        Err(_) => {
            std::thread::sleep(RECONNECT_PAUSE);
            None
        }
    }
}

impl Client {
    /// A connection of its own, to the node at this place behind the one that this process prefers.
    fn link(&self, offset: usize) -> Link {
        let first = self.first_node + offset;
        Link::new(self.nodes.clone(), first, Login::default(), REPLY_TIMEOUT)
    }

    fn report(&self) {
        let line = serde_json::to_string(&self.counters.progress()).expect("numbers always serialize");
        // When nobody reads any more, the parent has gone and this process ends with it.
        if writeln!(std::io::stdout(), "{line}").is_err() {
            self.stop.set();
        }
    }

    fn write_plain(&self) -> std::io::Result<()> {
        let new_key = |number: u64| (format!("demo:{}:{number}", self.name), None);
        Writer::new(self, "p", PLAIN, &new_key)?.run()
    }

    fn write_mapped(&self) -> std::io::Result<()> {
        let new_key = |number: u64| {
            let row = self.first_row + number as i64;
            (format!("user:{row}"), Some(row))
        };
        Writer::new(self, "m", MAPPED, &new_key)?.run()
    }

    /// Reads keys of this process through another node: each value must be at least as new as the write
    /// that was acknowledged before the read began.
    fn read(&self) -> std::io::Result<()> {
        let mut history = HistoryWriter::open(&self.history)?;
        let mut link = self.link(1);
        let mut turn = 0usize;
        while !self.stop.is_set() {
            std::thread::sleep(Duration::from_millis(5));
            let sample: Vec<(String, u64)> = {
                let pool = self.read_pool.lock().unwrap_or_else(PoisonError::into_inner);
                let chosen = (0..8.min(pool.len())).map(|step| (turn * 7 + step * 131) % pool.len());
                chosen.map(|position| pool[position].clone()).collect()
            };
            turn += 1;
            let Some(connection) = reach(&mut link) else {
                continue;
            };
            let sent_us = boottime_us();
            for (key, _) in &sample {
                connection.push(&["GET", key]);
            }
            if connection.flush().is_err() {
                link.lost();
                continue;
            }
            for (key, acknowledged) in sample {
                let value = match reach(&mut link).map(Connection::receive) {
                    Some(Ok(value)) => value,
                    _ => {
                        link.lost();
                        break;
                    }
                };
                if value.as_error().is_some() {
                    continue;
                }
                add(&self.counters.reads, 1);
                let seen = value.as_str().and_then(sequence_of).unwrap_or(0);
                if seen < acknowledged {
                    add(&self.counters.stale_reads, 1);
                    history.add(&Record {
                        client: format!("{}r", self.name),
                        key,
                        value: value.as_str().unwrap_or("(nil)").to_string(),
                        row: None,
                        sent_us,
                        done_us: boottime_us(),
                        fate: Fate::StaleRead,
                        error: Some(format!("write {acknowledged} was acknowledged before")),
                    });
                }
            }
            history.flush()?;
        }
        Ok(())
    }
}

/// Values are `CLIENT-KIND-SEQUENCE-padding`.
fn value_of(client: &str, kind: &str, sequence: u64) -> String {
    format!("{client}-{kind}-{sequence}-{:->24}", "")
}

fn sequence_of(value: &str) -> Option<u64> {
    value.split('-').nth(2)?.parse().ok()
}

/// A key of a writer.
#[derive(Clone, Debug)]
struct OwnKey {
    key: String,
    row: Option<i64>,
}

type NewKey<'a> = &'a dyn Fn(u64) -> (String, Option<i64>);

/// Writes its keys in turn, in pipelines, and knows the outcome of each before it writes the key again.
struct Writer<'a> {
    client: &'a Client,
    kind: &'static str,
    pace: Pace,
    new_key: NewKey<'a>,
    keys: Vec<OwnKey>,
    keys_made: u64,
    next: usize,
    sequence: u64,
    history: HistoryWriter,
}

/// A write on its way.
struct Pending {
    position: usize,
    sequence: u64,
    value: String,
}

impl<'a> Writer<'a> {
    fn new(
        client: &'a Client,
        kind: &'static str,
        pace: Pace,
        new_key: NewKey<'a>,
    ) -> std::io::Result<Writer<'a>> {
        let history = HistoryWriter::open(&client.history)?;
        let mut writer = Writer {
            client,
            kind,
            pace,
            new_key,
            keys: Vec::new(),
            keys_made: 0,
            next: 0,
            sequence: 0,
            history,
        };
        for _ in 0..pace.keys {
            let key = writer.fresh_key();
            writer.keys.push(key);
        }
        if kind == "p" {
            let mut pool = client.read_pool.lock().unwrap_or_else(PoisonError::into_inner);
            *pool = writer.keys.iter().map(|own| (own.key.clone(), 0)).collect();
        }
        Ok(writer)
    }

    fn fresh_key(&mut self) -> OwnKey {
        let (key, row) = (self.new_key)(self.keys_made);
        self.keys_made += 1;
        OwnKey { key, row }
    }

    fn run(&mut self) -> std::io::Result<()> {
        let mut link = self.client.link(0);
        let started = Instant::now();
        let mut given_in = 0u64;
        while !self.client.stop.is_set() {
            // What an election kept from being written is written afterwards, in pipelines of bounded
            // length, so the total does not depend on how long the election took.
            let due = started.elapsed().as_millis() as u64 * self.pace.per_second / 1000;
            let count = (due.saturating_sub(given_in) as usize).min(self.pace.batch_max);
            if count == 0 {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if reach(&mut link).is_none() {
                continue;
            }
            given_in += self.write(&mut link, count) as u64;
            self.history.flush()?;
        }
        Ok(())
    }

    /// One pipeline; returns how many writes were given in.
    fn write(&mut self, link: &mut Link, count: usize) -> usize {
        let Some(connection) = reach(link) else { return 0 };
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count.min(self.keys.len()) {
            self.sequence += 1;
            let value = value_of(&self.client.name, self.kind, self.sequence);
            connection.push(&["SET", &self.keys[self.next].key, &value]);
            batch.push(Pending {
                position: self.next,
                sequence: self.sequence,
                value,
            });
            self.next = (self.next + 1) % self.keys.len();
        }
        let sent_us = boottime_us();
        let mut open = connection.flush().is_ok();
        let given_in = batch.len();
        for pending in batch {
            let reply = if open {
                reach(link).and_then(|connection| connection.receive().ok())
            } else {
                None
            };
            open = reply.is_some();
            self.settle(pending, reply, sent_us);
        }
        if !open {
            link.lost();
        }
        given_in
    }

    /// Records the outcome of one write.
    fn settle(&mut self, pending: Pending, reply: Option<Value>, sent_us: u64) {
        let counters = &self.client.counters;
        let own = self.keys[pending.position].clone();
        let error = reply.as_ref().and_then(Value::as_error).map(str::to_string);
        let fate = match (&reply, &error) {
            (None, _) => Fate::Unknown,
            (Some(_), None) => Fate::Acknowledged,
            (Some(_), Some(text)) => match outcome(text.as_bytes()) {
                Outcome::NotApplied => Fate::NotApplied,
                Outcome::Applied => Fate::Acknowledged,
                Outcome::Unknown => Fate::Unknown,
            },
        };
        self.history.add(&Record {
            client: format!("{}{}", self.client.name, self.kind),
            key: own.key.clone(),
            value: pending.value,
            row: own.row,
            sent_us,
            done_us: boottime_us(),
            fate,
            error,
        });
        match fate {
            Fate::Acknowledged => {
                add(&counters.acked, 1);
                add(&counters.mapped, u64::from(own.row.is_some()));
                self.publish(pending.position, &own.key, pending.sequence);
            }
            Fate::Unknown => {
                add(&counters.unknown, 1);
                let fresh = self.fresh_key();
                self.publish(pending.position, &fresh.key, 0);
                self.keys[pending.position] = fresh;
            }
            Fate::NotApplied | Fate::StaleRead => add(&counters.refused, 1),
        }
    }

    /// Tells the reader what a key must hold from now on.
    fn publish(&self, position: usize, key: &str, sequence: u64) {
        if self.kind == "p" {
            let mut pool = self
                .client
                .read_pool
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            pool[position] = (key.to_string(), sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unique_and_carry_their_sequence() {
        let value = value_of("c1", "p", 42);
        assert_eq!(sequence_of(&value), Some(42));
        assert_ne!(value, value_of("c1", "m", 42));
        assert_ne!(value, value_of("c2", "p", 42));
        assert_eq!(sequence_of("something else"), None);
    }
}
