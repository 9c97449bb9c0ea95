//! Reads what a server holds: SCAN, then the type of each key and all of it.
//!
//! A walk over a live server gives every key that lasts through it exactly once, as it was at some moment of it; what
//! was made or removed meanwhile may be in it or not. Invariants: value and deadline of an entry were true at one
//! moment, a collection in one request: the deadline is asked for before and behind it, and where the two differ, both are
//! read again in one transaction; a key is given once, however often SCAN names it; values in flight have a bounded size.

use std::collections::VecDeque;
use std::time::Instant;

use repligo_proto::resp::Value;

use super::content::{Content, Kind};
use super::facts::{Counted, Deadline, Found, Seen, databases};
use super::format::{Batch, Entry};
use super::rows::keyspace_of;
use super::server::{Reply, Requests, Server};
use super::{Input, Outcome};
use crate::cli::failure::Failure;

/// COUNT of SCAN.
const SCAN_COUNT: &str = "512";
/// Keys that are asked for at once, where it is said which.
const KEYS_AT_ONCE: usize = 512;
/// Bytes of values that are asked for at once.
const VALUE_BYTES: usize = 4 << 20;
/// What a reading of a deadline from a time that is left may be off by, besides the time the replies took.
const ESTIMATE_MS: u64 = 10;

/// Which keys.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only this database.
    pub db: Option<u32>,
    /// Only what SCAN finds with it.
    pub pattern: Option<String>,
}

/// A key whose type, length and deadline are known.
struct Measured {
    key: Vec<u8>,
    kind: Kind,
    bytes: usize,
    deadline: Deadline,
}

/// The walk.
pub struct Source<'a> {
    pub server: &'a mut Server,
    choice: Choice,
    chunk: usize,
    databases: VecDeque<u32>,
    db: Option<u32>,
    seen: Seen,
    cursor: Option<String>,
    incarnation: u64,
    named: VecDeque<Vec<u8>>,
    measured: VecDeque<Measured>,
    measured_at: Instant,
    /// What was found so far.
    pub found: Found,
}

impl<'a> Source<'a> {
    /// Asks which databases have keys.
    ///
    /// # Errors
    /// The server does not tell.
    pub fn new(server: &'a mut Server, choice: Choice, chunk: usize) -> Outcome<Source<'a>> {
        let counted = databases(server)?;
        let databases = match choice.db {
            Some(db) => VecDeque::from([db]),
            None => counted.keys().copied().collect(),
        };
        let incarnation = server.incarnation;
        Ok(Source {
            server,
            chunk,
            databases,
            db: None,
            seen: Seen::default(),
            cursor: None,
            incarnation,
            named: VecDeque::new(),
            measured: VecDeque::new(),
            measured_at: Instant::now(),
            found: Found {
                counted: counted
                    .into_iter()
                    .filter(|(db, _)| choice.db.is_none_or(|chosen| chosen == *db))
                    .collect(),
                ..Found::default()
            },
            choice,
        })
    }

    /// Reads these keys alone.
    pub fn of_keys(server: &'a mut Server, db: u32, keys: Vec<Vec<u8>>) -> Source<'a> {
        let incarnation = server.incarnation;
        Source {
            server,
            choice: Choice::default(),
            chunk: KEYS_AT_ONCE,
            databases: VecDeque::new(),
            db: Some(db),
            seen: Seen::default(),
            cursor: None,
            incarnation,
            named: keys.into(),
            measured: VecDeque::new(),
            measured_at: Instant::now(),
            found: Found::default(),
        }
    }

    /// Databases in which fewer keys were found than must have been there. Somebody may delete keys meanwhile, so this
    /// is looked at only where another process answered that does not go on with the data of the first one.
    pub fn lost(&self) -> Vec<String> {
        if !self.server.is_replaced || self.choice.pattern.is_some() {
            return Vec::new();
        }
        let missing = |(db, counted): (&u32, &Counted)| {
            let named = self.found.named.get(db).copied().unwrap_or(0);
            let lasting = counted.keys.saturating_sub(counted.volatile);
            (named < lasting).then(|| {
                format!(
                    "database {db}: another process with other data has answered since, and fewer keys were found \
                     ({named}) than there were at first ({lasting})"
                )
            })
        };
        self.found.counted.iter().filter_map(missing).collect()
    }

    /// Names some keys; `false` when there are no more in any database.
    fn scan(&mut self) -> Outcome<bool> {
        let db = match (self.db, &self.cursor) {
            (Some(db), Some(_)) => db,
            // The first walk, or the one before has ended.
            _ => {
                let Some(db) = self.databases.pop_front() else {
                    return Ok(false);
                };
                self.db = Some(db);
                self.seen = Seen::default();
                self.cursor = Some("0".into());
                self.incarnation = self.server.incarnation;
                db
            }
        };
        let cursor = self.cursor.clone().unwrap_or_default();
        let mut words = vec!["SCAN", &cursor];
        if let Some(pattern) = &self.choice.pattern {
            words.extend(["MATCH", pattern]);
        }
        words.extend(["COUNT", SCAN_COUNT]);
        let reply = self.server.ask_one(db, &words)?;
        if self.server.incarnation != self.incarnation {
            // The cursor was another process's: from the start, without the keys that are done.
            self.incarnation = self.server.incarnation;
            self.cursor = Some("0".into());
            self.found.rescans += 1;
            return Ok(true);
        }
        let malformed = || {
            Failure::new(
                format!("{}: SCAN gave no page", self.server.name()),
                "check the address",
            )
        };
        let Some([next, names]) = reply.as_array() else {
            return Err(malformed().into());
        };
        let (Some(next), Some(names)) = (next.as_str(), names.as_array()) else {
            return Err(malformed().into());
        };
        self.cursor = (next != "0").then(|| next.to_string());
        for name in names {
            let Some(key) = name.as_bytes() else {
                return Err(malformed().into());
            };
            if self.seen.insert(key) {
                *self.found.named.entry(db).or_default() += 1;
                self.named.push_back(key.to_vec());
            } else if self.found.rescans == 0 {
                self.found.duplicates += 1;
            }
        }
        Ok(true)
    }

    /// Asks for length and deadline of keys that were named.
    fn measure(&mut self, db: u32) -> Outcome<()> {
        let count = self.named.len().min(self.chunk);
        let keys: Vec<Vec<u8>> = self.named.drain(..count).collect();
        let now_ms = self.estimate_now()?;
        self.measured_at = Instant::now();
        let command = self.server.deadline_command();
        let replies = self.server.ask(Requests {
            db,
            count: keys.len(),
            width: 2,
            push: &|at, connection| {
                connection.push(&[command.as_bytes(), &keys[at]]);
                connection.push(&[b"STRLEN".as_slice(), &keys[at]]);
            },
        })?;
        let mut others = Vec::new();
        for (key, reply) in keys.into_iter().zip(replies) {
            let error = reply.values.iter().find_map(Value::as_error);
            if let Some(keyspace) = reply.values[0].as_error().and_then(keyspace_of) {
                *self.found.rows.entry(keyspace.to_string()).or_default() += 1;
                continue;
            }
            let deadline = Deadline::read(&reply.values[0], now_ms);
            if let Some(deadline) = deadline
                && error.is_some_and(|text| text.starts_with("WRONGTYPE"))
            {
                others.push((key, deadline));
                continue;
            }
            match (deadline, reply.values[1].as_integer()) {
                (Some(deadline), Some(bytes)) => self.measured.push_back(Measured {
                    key,
                    kind: Kind::String,
                    bytes: bytes.max(0) as usize,
                    deadline,
                }),
                _ => self.refuse(&key, &reply)?,
            }
        }
        self.measure_others(db, others)
    }

    /// The server's time where deadlines have to be reckoned from it.
    fn estimate_now(&mut self) -> Outcome<Option<u64>> {
        if self.server.has_deadlines() {
            return Ok(None);
        }
        self.server.now_ms().map(Some)
    }

    /// Asks for type and length of keys that are no strings.
    fn measure_others(&mut self, db: u32, keys: Vec<(Vec<u8>, Deadline)>) -> Outcome<()> {
        let replies = self.server.ask(Requests {
            db,
            count: keys.len(),
            width: 2,
            push: &|at, connection| {
                connection.push(&[b"TYPE".as_slice(), &keys[at].0]);
                connection.push(&[b"MEMORY".as_slice(), b"USAGE", &keys[at].0]);
            },
        })?;
        for ((key, deadline), reply) in keys.into_iter().zip(replies) {
            let name = reply.value().as_str().unwrap_or("unknown");
            match Kind::named(name) {
                Some(kind) => self.measured.push_back(Measured {
                    key,
                    kind,
                    // Where the server does not tell, what it has is asked for alone.
                    bytes: reply.values[1]
                        .as_integer()
                        .map_or(VALUE_BYTES, |bytes| bytes.max(0) as usize),
                    deadline,
                }),
                None if name == "none" => self.found.vanished += 1,
                None => *self.found.other_types.entry(name.to_string()).or_default() += 1,
            }
        }
        Ok(())
    }

    fn refuse(&mut self, key: &[u8], reply: &Reply) -> Outcome<()> {
        let error = reply.values.iter().find_map(Value::as_error);
        let text = error.unwrap_or("the reply has another type than asked for");
        self.found
            .refusals
            .add(key, text, |text| self.server.refused("reading", text))
    }

    /// Asks for the values of some keys that were measured.
    fn read(&mut self, db: u32) -> Outcome<Vec<Entry>> {
        let mut asked: Vec<Measured> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.measured.pop_front() {
            bytes += next.bytes;
            asked.push(next);
            if bytes >= VALUE_BYTES {
                break;
            }
        }
        let now_ms = self.estimate_now()?;
        let command = self.server.deadline_command();
        let replies = self.server.ask(Requests {
            db,
            count: asked.len(),
            width: 2,
            push: &|at, connection| {
                connection.push(&asked[at].kind.read(&asked[at].key));
                connection.push(&[command.as_bytes(), &asked[at].key]);
            },
        })?;
        let tolerance_ms = match now_ms {
            None => 0,
            Some(_) => self.measured_at.elapsed().as_millis() as u64 + ESTIMATE_MS,
        };
        let mut entries = Vec::with_capacity(asked.len());
        for (measured, reply) in asked.into_iter().zip(replies) {
            let key = measured.key;
            let content = Content::from_reply(measured.kind, &reply.values[0]);
            let deadline = Deadline::read(&reply.values[1], now_ms);
            match (content, deadline) {
                (Some(content), _) if content.is_absent() => self.found.vanished += 1,
                (Some(content), Some(deadline)) if deadline.is_near(measured.deadline, tolerance_ms) => {
                    entries.push(Entry {
                        key,
                        content,
                        deadline_ms: deadline.ms(),
                    });
                }
                (Some(_), Some(_)) => {
                    self.found.changed += 1;
                    entries.extend(self.read_at_once(db, key, measured.kind)?);
                }
                _ if has_other_type(&reply.values[0]) => self.look_again(key),
                _ => self.refuse(&key, &reply)?,
            }
        }
        Ok(entries)
    }

    /// A key that holds another type than a moment ago.
    fn look_again(&mut self, key: Vec<u8>) {
        self.found.changed += 1;
        self.named.push_back(key);
    }

    /// A key that somebody writes: value and deadline in one transaction.
    fn read_at_once(&mut self, db: u32, key: Vec<u8>, kind: Kind) -> Outcome<Option<Entry>> {
        let now_ms = self.estimate_now()?;
        let command = self.server.deadline_command();
        let replies = self.server.ask(Requests {
            db,
            count: 1,
            width: 4,
            push: &|_, connection| {
                connection.push(&["MULTI"]);
                connection.push(&kind.read(&key));
                connection.push(&[command.as_bytes(), &key]);
                connection.push(&["EXEC"]);
            },
        })?;
        let reply = replies.into_iter().next().expect("one reply for one request");
        if let Some([value, deadline]) = reply.values[3].as_array() {
            let content = Content::from_reply(kind, value);
            match (content, Deadline::read(deadline, now_ms)) {
                (Some(content), _) if content.is_absent() => {
                    self.found.vanished += 1;
                    return Ok(None);
                }
                (Some(content), Some(deadline)) => {
                    let deadline_ms = deadline.ms();
                    return Ok(Some(Entry {
                        key,
                        content,
                        deadline_ms,
                    }));
                }
                _ if has_other_type(value) => {
                    self.look_again(key);
                    return Ok(None);
                }
                _ => {}
            }
        }
        self.refuse(&key, &reply)?;
        Ok(None)
    }
}

fn has_other_type(reply: &Value) -> bool {
    reply.as_error().is_some_and(|text| text.starts_with("WRONGTYPE"))
}

impl Input for Source<'_> {
    fn next(&mut self) -> Outcome<Option<Batch>> {
        loop {
            if let Some(db) = self.db {
                if !self.measured.is_empty() {
                    let entries = self.read(db)?;
                    return Ok(Some(Batch {
                        block: 0,
                        db,
                        entries,
                    }));
                }
                if !self.named.is_empty() {
                    self.measure(db)?;
                    continue;
                }
            }
            if !self.scan()? {
                return Ok(None);
            }
        }
    }
}
