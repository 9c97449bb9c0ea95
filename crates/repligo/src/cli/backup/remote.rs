//! The node that a backup is read from.
//!
//! A lost connection is made again, to the same node: what was read so far counts, as long as the node still holds the
//! snapshot.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use repligo_proto::resp::Value;
use serde_json::Value as Json;

use super::{Halt, Meter, Outcome};
use crate::cli::failure::Failure;
use crate::cli::login::Login;
use crate::cli::signals::StopFlag;
use crate::cli::status::remedy;
use crate::cli::wire::{Connection, WireError};
use crate::disk::BackupFacts;

/// For connecting and for each reply.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long the node may be away, or may say "later": it holds a backup for half a minute.
const PATIENCE: Duration = Duration::from_secs(25);
/// A node gives up a backup that nobody asks for, so it is asked this often however long the wait is.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A node, and what it holds for us.
pub struct Remote<'a> {
    address: String,
    login: &'a Login,
    stop: &'a StopFlag,
    connection: Option<Connection>,
    id: String,
    facts: BackupFacts,
    offset: u64,
    ready: Vec<u8>,
    /// Bytes of `ready` that were given out.
    taken: usize,
    pace: Pace,
}

/// Not more than so many bytes per second.
struct Pace {
    bytes_per_second: Option<u64>,
    start: Instant,
    bytes: u64,
}

impl Pace {
    /// How long to wait until these bytes may come too.
    fn wait(&mut self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        self.bytes += bytes as u64;
        let due = Duration::from_secs_f64(self.bytes as f64 / rate.max(1) as f64);
        due.saturating_sub(now.saturating_duration_since(self.start))
    }
}

/// Picks the node to ask: of several, the first follower that answers, else whoever answers.
pub fn pick(addresses: &[String], login: &Login) -> Outcome<String> {
    let mut found = None;
    let mut failed = None;
    for address in addresses {
        let role = login
            .open(address, TIMEOUT)
            .and_then(|mut connection| match addresses.len() {
                1 => Ok(Value::Null),
                _ => connection.expect(&["ROLE"]),
            });
        match role {
            // A leader tells its followers, a follower its leader.
            Ok(role) if role.as_array().is_some_and(|role| role.len() > 3) => return Ok(address.clone()),
            Ok(_) => found = found.or(Some(address)),
            Err(error) => failed = failed.or(Some(refused(address, &error))),
        }
    }
    match (found, failed) {
        (Some(address), _) => Ok(address.clone()),
        (None, Some(failure)) => Err(failure.into()),
        (None, None) => Err(Failure::new("no address is given", "give --addr HOST:PORT").into()),
    }
}

fn refused(address: &str, error: &WireError) -> Failure {
    match error {
        WireError::Refused(text) if text.starts_with("NOPERM") => Failure::new(
            format!("{address}: {text}"),
            "log in as a user that may: `ACL SETUSER backup on >PASSWORD +repligo.backup +dbsize +role`",
        ),
        WireError::Refused(text) if text.starts_with("ERR unknown command") => Failure::new(
            format!("{address} is no node of Repligo that can be backed up: {text}"),
            "give the RESP address of a node; `repligo export` reads other servers",
        ),
        WireError::Refused(text) if !text.contains("AUTH") && !text.starts_with("WRONGPASS") => Failure::new(
            format!("{address}: {}", text.trim_start_matches("ERR ")),
            "do what it says, or ask another node with --addr",
        ),
        error => Failure::new(format!("{error}\n  where: --addr {address}"), remedy(error)),
    }
}

impl<'a> Remote<'a> {
    /// Nothing was asked for yet.
    pub fn new(address: String, login: &'a Login, (stop, rate): (&'a StopFlag, Option<u64>)) -> Remote<'a> {
        Remote {
            address,
            login,
            stop,
            connection: None,
            id: String::new(),
            facts: BackupFacts::default(),
            offset: 0,
            ready: Vec::new(),
            taken: 0,
            pace: Pace {
                bytes_per_second: rate,
                start: Instant::now(),
                bytes: 0,
            },
        }
    }

    /// The point that it is of, once [`Remote::begin`] has succeeded.
    pub fn facts(&self) -> &BackupFacts {
        &self.facts
    }

    /// When it is taken, by this machine's clock, milliseconds since the epoch.
    pub fn stamp(&mut self, taken_ms: u64) {
        self.facts.taken_ms = taken_ms;
    }

    /// The node has applied everything that was acknowledged before now.
    ///
    /// # Errors
    /// It cannot know, because it is cut off or nobody leads.
    pub fn catch_up(&mut self) -> Outcome<()> {
        let words = ["DBSIZE".to_owned()];
        self.ask(&words).map(drop).map_err(|halt| match halt {
            Halt::Failed(failure) if failure.what.contains("NOLEADER") => Halt::Failed(Failure::new(
                failure.what,
                "wait until the cluster serves, or take what this node has with --stale",
            )),
            halt => halt,
        })
    }

    /// Asks for a snapshot, and waits until it is on the node's disk.
    ///
    /// # Errors
    /// There will be none, or the end was asked for.
    pub fn begin(&mut self) -> Outcome<()> {
        let mut state = self.ask_json(&["BEGIN"])?;
        self.id = state["id"].to_string();
        let mut meter = Meter::new("the node writes a snapshot: ", None);
        while state["ready"] != true {
            meter.show(state["written_bytes"].as_u64().unwrap_or(0));
            std::thread::sleep(PAUSE);
            if self.stop.is_set() {
                return Err(Halt::Interrupted);
            }
            let id = self.id.clone();
            state = self.ask_json(&["STATE", &id])?;
        }
        self.facts = facts_of(&state).ok_or_else(|| {
            Failure::new(
                format!("{}: the answer cannot be understood: {state}", self.address),
                "use the release of the node",
            )
        })?;
        self.pace.start = Instant::now();
        Ok(())
    }

    /// The node may forget it.
    pub fn end(&mut self) {
        if let (Some(connection), false) = (&mut self.connection, self.id.is_empty()) {
            // It forgets it by itself, only later.
            let _ = connection.call(&["REPLIGO.BACKUP", "END", &self.id]);
        }
    }

    fn ask_json(&mut self, words: &[&str]) -> Outcome<Json> {
        let words = [&["REPLIGO.BACKUP"], words].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let value = self.ask(&words)?;
        let parsed = serde_json::from_str(value.as_str().unwrap_or_default());
        parsed.map_err(|error| {
            let what = format!("{}: the answer is no JSON: {error}", self.address);
            Failure::new(what, "use the release of the node").into()
        })
    }

    /// Asks until there is an answer, over broken connections.
    fn ask(&mut self, words: &[String]) -> Outcome<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.stop.is_set() {
                return Err(Halt::Interrupted);
            }
            let error = match self.ask_once(words) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_passing = match &error {
                WireError::Refused(text) => text.starts_with("TRYAGAIN") || text.starts_with("BUSY"),
                WireError::Protocol(_) => false,
                WireError::Broken(_) | WireError::Connect { .. } => {
                    self.connection = None;
                    // What never answered will not do so while somebody waits for it.
                    !self.id.is_empty()
                }
            };
            if !is_passing || Instant::now() > deadline {
                return Err(refused(&self.address, &error).into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ask_once(&mut self, words: &[String]) -> Result<Value, WireError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.login.open(&self.address, TIMEOUT)?),
        };
        connection.expect(words)
    }

    fn fetch(&mut self) -> Outcome<()> {
        let words = ["REPLIGO.BACKUP", "READ", &self.id, &self.offset.to_string()].map(str::to_owned);
        let Value::Bulk(bytes) = self.ask(&words)? else {
            let what = format!("{}: the answer is none of a backup", self.address);
            return Err(Failure::new(what, "use the release of the node").into());
        };
        self.offset += bytes.len() as u64;
        let left = self.pace.wait(bytes.len(), Instant::now());
        self.wait(left)?;
        (self.ready, self.taken) = (bytes, 0);
        Ok(())
    }

    /// Lets time pass, and the node know that it is not forgotten.
    fn wait(&mut self, mut left: Duration) -> Outcome<()> {
        let mut asked = Instant::now();
        while !left.is_zero() && !self.stop.is_set() {
            let nap = left.min(PAUSE);
            std::thread::sleep(nap);
            left -= nap;
            if asked.elapsed() >= KEEP_ALIVE {
                let id = self.id.clone();
                self.ask_json(&["STATE", &id])?;
                asked = Instant::now();
            }
        }
        Ok(())
    }
}

impl Read for Remote<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len() {
            self.fetch().map_err(|halt| match halt {
                Halt::Interrupted => io::Error::other("interrupted"),
                Halt::Failed(failure) => io::Error::other(failure.to_string()),
            })?;
        }
        let count = buffer.len().min(self.ready.len() - self.taken);
        buffer[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

fn facts_of(state: &Json) -> Option<BackupFacts> {
    let number = |name: &str| state[name].as_u64();
    Some(BackupFacts {
        cluster_id: u128::from_str_radix(state["cluster"].as_str()?, 16).ok()?,
        generation: number("generation")?,
        index: number("index")?,
        term: number("term")?,
        time_ms: number("time_ms")?,
        key_count: number("keys")?,
        snapshot_bytes: number("bytes")?,
        taken_ms: 0,
        node: state["node"].as_str()?.to_owned(),
        release: state["release"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_the_whole() {
        let start = Instant::now();
        let mut pace = Pace {
            bytes_per_second: Some(1000),
            start,
            bytes: 0,
        };
        assert_eq!(pace.wait(500, start), Duration::from_millis(500));
        assert_eq!(
            pace.wait(500, start + Duration::from_millis(700)),
            Duration::from_millis(300)
        );
        assert_eq!(pace.wait(500, start + Duration::from_secs(2)), Duration::ZERO);
        pace.bytes_per_second = None;
        assert_eq!(pace.wait(1 << 30, start), Duration::ZERO);
    }
}
