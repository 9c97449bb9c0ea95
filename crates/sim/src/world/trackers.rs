//! Clients that cache what they read and are told when it has changed, by CLIENT TRACKING.
//!
//! In a part of the seeds. Each writes, reads in pipelines of single reads and blocks, at any node and at both levels,
//! and believes what it is told as a simple client does: a reply is cached, whatever came before it. Whenever nothing
//! is on its way to it, its cache must be what its node holds.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::keyspace::Known;
use repligo_proto::resp::{Value, request};

use super::incoming::Incoming;
use super::queue::Micros;
use super::{Event, Phase, World};
use crate::check::Violation;
use crate::check::caches::{Cached, check};
use crate::random::Random;

/// Their numbers begin here, beyond those of all other clients.
pub const FIRST: u32 = 1 << 22;
const COUNT: u32 = 4;
/// Seeds in which there are any, of a thousand.
const SEEDS_PER_MILLE: u64 = 200;
const THINK_US_MAX: u64 = 40_000;
const KEYS: u64 = 4;
const DUE_MAX: usize = 12;

type Connection = (u32, u64);

/// What is due on a connection.
#[derive(Clone, Debug)]
enum Due {
    /// A reply that is not cached.
    Any,
    /// The value of this key.
    Read(String),
    /// The values of these keys, read by one block.
    Block(Vec<String>),
}

#[derive(Debug)]
struct Tracker {
    random: Random,
    node: PeerId,
    serial: u64,
    written: u64,
    is_connected: bool,
    incoming: Incoming,
    due: VecDeque<Due>,
    sent_until: Micros,
    cached: Cached,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Trackers {
    all: Vec<Tracker>,
    /// Values in caches that were compared with what a node holds.
    judged: usize,
}

impl Trackers {
    /// Those of a seed. They draw from a source of their own, so that other seeds stay as they are.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7472_6163_6b65_7273);
        let count = if random.chance(SEEDS_PER_MILLE) { COUNT } else { 0 };
        let tracker = |_| Tracker {
            random: random.fork(),
            node: 0,
            serial: 0,
            written: 0,
            is_connected: false,
            incoming: Incoming::default(),
            due: VecDeque::new(),
            sent_until: 0,
            cached: Cached::new(),
        };
        Self {
            all: (0..count).map(tracker).collect(),
            judged: 0,
        }
    }

    /// The number of each.
    pub fn ids(&self) -> std::ops::Range<u32> {
        FIRST..FIRST + self.all.len() as u32
    }

    /// True if nothing is due.
    pub fn is_idle(&self) -> bool {
        self.all.iter().all(|tracker| tracker.due.is_empty())
    }

    /// True unless there are some and nothing of what they have cached was ever judged.
    pub fn are_done(&self) -> bool {
        self.all.is_empty() || self.judged > 0
    }

    /// What is due on which connection.
    pub fn progress(&self) -> String {
        let due = self
            .all
            .iter()
            .map(|tracker| (tracker.node, tracker.serial, &tracker.due));
        format!(
            "due per tracker {:?}, judged {}",
            due.collect::<Vec<_>>(),
            self.judged
        )
    }

    fn of(&mut self, (id, serial): Connection) -> Option<&mut Tracker> {
        let tracker = self.all.get_mut(id.checked_sub(FIRST)? as usize)?;
        (tracker.is_connected && tracker.serial == serial).then_some(tracker)
    }
}

impl World {
    /// A tracker looks at what it has, and asks for something.
    pub(super) fn on_tracker(&mut self, id: u32) {
        self.judge_cache(id);
        let nodes = self.nodes_alive();
        let tracker = &mut self.trackers.all[(id - FIRST) as usize];
        let delay = tracker.random.between(1, THINK_US_MAX);
        self.context.queue.after(delay, Event::Think { client: id });
        let leaves = tracker.random.chance(10) && tracker.due.is_empty();
        if tracker.is_connected && (leaves || !nodes.contains(&tracker.node)) {
            let connection = (id, tracker.serial);
            tracker.disconnect();
            let hangup = Event::Hangup {
                node: tracker.node,
                connection,
            };
            self.context.queue.at(tracker.sent_until + 1, hangup);
            return;
        }
        if self.phase >= Phase::Draining || tracker.due.len() > DUE_MAX || nodes.is_empty() {
            return;
        }
        let opens = !tracker.is_connected;
        if opens {
            tracker.node = *tracker.random.pick(&nodes);
            tracker.serial += 1;
            tracker.is_connected = true;
        }
        let connection = (id, tracker.serial);
        let bytes = tracker.speak(id, opens);
        let at = self.context.queue.now() + tracker.random.skewed(10, 1_000);
        tracker.sent_until = at.max(tracker.sent_until);
        let event = Event::Requests {
            node: tracker.node,
            connection,
            opens,
            bytes: Bytes::from(bytes),
        };
        self.context.queue.at(tracker.sent_until, event);
    }

    /// Compares its cache with what its node holds, if nothing is on its way from there.
    fn judge_cache(&mut self, id: u32) {
        let now = self.context.queue.now();
        let tracker = &self.trackers.all[(id - FIRST) as usize];
        let connection = (id, tracker.serial);
        let Some(process) = self
            .machines
            .get((tracker.node as usize).wrapping_sub(1))
            .and_then(|machine| machine.process.as_ref())
            .filter(|process| tracker.is_connected && process.has_told_all(connection, now))
        else {
            return;
        };
        let Some(replica) = process.replica() else { return };
        // What is half done is told when it is done, and what has expired when it is removed.
        if replica.has_work() || replica.keyspace().has_expired_keys() {
            return;
        }
        let held = |key: &str| match replica.keyspace().lookup(0, key.as_bytes()) {
            Known::Value(value) => Some(String::from_utf8_lossy(value).into_owned()),
            Known::Absent | Known::Negative => None,
        };
        let judged = check(connection, &tracker.cached, held);
        self.trackers.judged += tracker.cached.len();
        if let Err(violation) = judged {
            self.context.fail(violation);
        }
    }

    pub(super) fn on_tracker_reply(&mut self, connection: Connection, bytes: &Bytes) {
        if let Some(tracker) = self.trackers.of(connection) {
            tracker.incoming.receive(connection.1, bytes);
        }
        while let Some(tracker) = self.trackers.of(connection) {
            let taken = match tracker.incoming.take() {
                Ok(Some(value)) => tracker.take(&value),
                Ok(None) => return,
                Err(explanation) => Err(explanation),
            };
            if let Err(explanation) = taken {
                self.context.fail(Violation {
                    check: "invalidations stand between replies",
                    subject: format!("client {} on its connection {}", connection.0, connection.1),
                    explanation,
                });
                return;
            }
        }
    }

    pub(super) fn on_tracker_disconnected(&mut self, connection: Connection) {
        if let Some(tracker) = self.trackers.of(connection) {
            tracker.disconnect();
        }
    }
}

impl Tracker {
    fn disconnect(&mut self) {
        self.is_connected = false;
        self.due.clear();
        self.cached.clear();
    }

    /// What it says next.
    fn speak(&mut self, id: u32, opens: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut due = Vec::new();
        let mut say = |words: &[&str], what: Due| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            bytes.extend_from_slice(&request(&words));
            due.push(what);
        };
        if opens {
            say(&["HELLO", "3"], Due::Any);
            match self.random.below(4) {
                0 => say(
                    &["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "track:"],
                    Due::Any,
                ),
                _ => say(&["CLIENT", "TRACKING", "ON"], Due::Any),
            }
            if self.random.chance(500) {
                say(&["READONLY"], Due::Any);
            }
        }
        for _ in 0..self.random.between(1, 3) {
            let (key, other) = (self.key(), self.key());
            match self.random.below(10) {
                0..3 => {
                    self.written += 1;
                    let value = format!("{id}.{}.{}", self.serial, self.written);
                    match self.random.below(4) {
                        0 => say(&["SET", &key, &value, "PX", "150"], Due::Any),
                        1 => say(&["DEL", &key], Due::Any),
                        _ => say(&["SET", &key, &value], Due::Any),
                    }
                }
                3 => {
                    say(&["MULTI"], Due::Any);
                    let is_local = self.random.chance(500);
                    say(&["GET", &key], Due::Any);
                    say(&["GET", &other], Due::Any);
                    if is_local {
                        say(&["ECHO", "e"], Due::Any);
                    }
                    say(&["EXEC"], Due::Block(vec![key, other]));
                }
                _ => say(&["GET", &key], Due::Read(key.clone())),
            }
        }
        self.due.extend(due);
        bytes
    }

    fn key(&mut self) -> String {
        format!("track:{}", self.random.below(KEYS))
    }

    /// Follows what it is told.
    fn take(&mut self, value: &Value) -> Result<(), String> {
        if let Value::Push(parts) = value {
            return match parts.as_slice() {
                [word, Value::Array(keys)] if word.as_str() == Some("invalidate") => {
                    for key in keys.iter().filter_map(Value::as_str) {
                        self.cached.remove(key);
                    }
                    Ok(())
                }
                [word, Value::Null] if word.as_str() == Some("invalidate") => {
                    self.cached.clear();
                    Ok(())
                }
                _ => Err(format!("a push that nobody knows: {value:?}")),
            };
        }
        match self.due.pop_front() {
            None => return Err(format!("got {value:?}, and nothing is due")),
            Some(Due::Any) => {}
            Some(Due::Read(key)) => self.keep(key, value),
            Some(Due::Block(keys)) => {
                if let Value::Array(values) = value {
                    for (key, value) in keys.into_iter().zip(values) {
                        self.keep(key, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: &Value) {
        if value.as_error().is_none() {
            self.cached.insert(key, value.as_str().map(str::to_owned));
        }
    }
}
