//! What clients ask, and what they conclude from the answers: the history.
//!
//! Each class of keys is used in one way only, because each judge needs that. Values are unique tokens;
//! keys that a search must judge are left after a while for fresh ones, so that it stays small.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use repligo_core::contract::PeerId;
use repligo_proto::resp::{OwnedRequest, Value};
use repligo_proto::words;

use super::client::Kind;
use super::collections::read_request;
use super::elements::{Element, Elements};
use super::handover::Handovers;
use super::jobs::{JobStep, Jobs};
use super::keys::{Class, classes, name};
use super::lasting::{Lasting, Look};
use super::outcome::{outcome, single};
use super::pipelines::OwnStep;
use super::plan::Plan;
use super::queue::Micros;
use super::session::Ask;
use super::travellers::{Stop, Travellers};
use crate::check::forward::EventualRead;
use crate::history::{Action, Operation, Outcome, Token};
use crate::random::Random;

/// Operations on a key that a search judges, before clients move to the next one.
const SEARCHED_OPERATIONS: u32 = 120;
/// Registers that are elements of one collection, which is a large one when all are in use.
const SHARED_COLLECTION: u32 = 24;

/// What a client makes of the answer that comes next on its connection.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Only that it is no error.
    Accepted,
    /// Something about a key that expires on time.
    Lasting(Look),
    /// The outcome of an operation of the history.
    Operation(usize),
    /// Something about elements that come and go.
    Element(Element),
    /// ECHO: exactly this.
    Echo(String),
    /// Something about a key that only this client uses.
    Own(OwnStep),
    /// Something about jobs.
    Jobs(JobStep),
    /// WATCH before a compare-and-set whose read is this operation.
    Watch(usize),
    /// GET after WATCH.
    WatchedRead {
        /// The operation that it is.
        operation: usize,
        /// The key, to be changed if it is unchanged.
        key: u32,
    },
    /// Something that this traveller is told.
    Travel(u32, Stop),
    /// A read at level eventual.
    Eventual {
        /// Where.
        node: PeerId,
        /// Which key.
        key: u32,
        /// When it was asked.
        invoked: Micros,
    },
}

/// A client that thinks of something to ask.
#[derive(Clone, Copy, Debug)]
pub struct Thinker {
    /// Its number.
    pub client: u32,
    /// What it does.
    pub kind: Kind,
    /// The node to which it is connected.
    pub node: PeerId,
    /// When.
    pub now: Micros,
}

/// All that clients did.
#[derive(Debug)]
pub struct Workload {
    /// The history.
    pub history: Vec<Operation>,
    /// Reads at level eventual.
    pub eventual: Vec<EventualRead>,
    /// Reads whose WATCH was refused.
    unwatched: BTreeSet<usize>,
    next_token: Token,
    /// Classes in use.
    classes: Vec<Class>,
    /// Keys without a deadline may be evicted, too.
    pub(super) evicts_all: bool,
    /// Watchers read at level bounded.
    pub(super) is_bounded: bool,
    /// Writes may be refused for want of memory.
    pub(super) limited: bool,
    pub(super) pipeline_max: u64,
    /// Operations per class so far, from which the current key follows.
    used: BTreeMap<Class, u32>,
    handovers: Handovers,
    pub(super) thought: Vec<(Ask, Expected)>,
    pub(super) lasting: Lasting,
    pub(super) jobs: Jobs,
    pub(super) elements: Elements,
    pub(super) travellers: Travellers,
}

pub(super) fn request(arguments: &[&str]) -> OwnedRequest {
    OwnedRequest::new(arguments)
}

impl Workload {
    /// Nothing has been done yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            history: Vec::new(),
            unwatched: BTreeSet::new(),
            eventual: Vec::new(),
            next_token: 1,
            classes: classes(plan),
            evicts_all: plan.memory.policy.takes_all_keys(),
            is_bounded: plan.bound_ms.is_some(),
            limited: plan.memory.bytes_max > 0,
            pipeline_max: plan.pipeline_max,
            used: BTreeMap::new(),
            handovers: Handovers::default(),
            thought: Vec::new(),
            lasting: Lasting::new(plan),
            jobs: Jobs::new(plan),
            elements: Elements::default(),
            travellers: Travellers::default(),
        }
    }

    /// What [`Workload::think`] came up with.
    pub fn drain(&mut self) -> std::vec::Drain<'_, (Ask, Expected)> {
        self.thought.drain(..)
    }

    pub(super) fn token(&mut self) -> Token {
        self.next_token += 1;
        self.next_token
    }

    pub(super) fn is_in_use(&self, class: Class) -> bool {
        self.classes.contains(&class)
    }

    pub(super) fn record(&mut self, client: u32, key: u32, action: Action, now: Micros) -> usize {
        self.history.push(Operation {
            client,
            key,
            invoked: now,
            returned: None,
            action,
            outcome: Outcome::Unknown,
        });
        self.history.len() - 1
    }

    /// The next key of a class: a few at the same time, moving on when they have been used enough.
    pub(super) fn choose_key(&mut self, class: Class, random: &mut Random) -> u32 {
        let used = self.used.entry(class).or_default();
        *used += 1;
        let (width, lifetime) = match class {
            Class::Register | Class::Pair | Class::Mapped => (3, u32::MAX),
            Class::Mixed | Class::Counter | Class::MappedMixed => (2, SEARCHED_OPERATIONS),
            Class::Log | Class::List => (2, 400),
            Class::Field | Class::Score | Class::Highest => (SHARED_COLLECTION, u32::MAX),
            Class::FieldCounter | Class::ScoreCounter => (2, SEARCHED_OPERATIONS),
            Class::Whole => (4, u32::MAX),
            Class::Cached => (30, SEARCHED_OPERATIONS),
            Class::Handover => unreachable!("a client has keys of its own for that"),
        };
        let generation = *used / lifetime.saturating_mul(width);
        // Of those that share one collection some are used much more than others.
        let number = match width {
            SHARED_COLLECTION => random.skewed(0, u64::from(width)),
            _ => random.below(u64::from(width)),
        };
        class.key(generation * width + number as u32)
    }

    /// Thinks of the next requests of a client.
    pub fn think(
        &mut self,
        thinker: &Thinker,
        watched: &mut Option<(u32, Option<Token>)>,
        random: &mut Random,
    ) {
        let Thinker {
            client, kind, now, ..
        } = *thinker;
        match kind {
            Kind::Pusher | Kind::Worker => return self.use_jobs(thinker, random),
            Kind::Watcher => return self.watch(thinker, random),
            Kind::Traveller => return self.travel(thinker, random),
            _ => {}
        }
        if kind == Kind::Reader {
            let class = *random.pick(&[Class::Register, Class::Register, Class::Counter, Class::Mixed]);
            let key = self.choose_key(class, random);
            return self.read(client, key, now);
        }
        if let Some((key, expected)) = watched.take() {
            self.compare_and_set(client, key, expected, now);
            return;
        }
        if random.chance(60) && self.use_lasting(random, now) {
            return;
        }
        if random.chance(10) {
            return self.use_many(random);
        }
        if random.chance(60) && self.use_pipeline(client, random, now) {
            return;
        }
        if !self.limited && random.chance(30) {
            return self.use_own();
        }
        if random.chance(200) && self.use_collections(client, random, now) {
            return;
        }
        for _ in 0..random.between(1, self.pipeline_max) {
            let mut class = *random.pick(&self.classes);
            if class == Class::Handover {
                if self.hand_over(client, now) {
                    continue;
                }
                class = Class::Mapped;
            }
            let key = self.choose_key(class, random);
            match class {
                Class::Register | Class::Mapped => self.use_register(client, key, random, now),
                Class::Mixed | Class::MappedMixed => self.use_mixed(client, key, random, now),
                Class::Counter => self.use_counter(client, key, random, now),
                Class::Log => self.use_log(client, key, random, now),
                Class::Pair => self.use_pair(client, key, random, now),
                Class::Cached => self.use_cached(client, key, random, now),
                _ => unreachable!("it is not among the classes of the workload, or has been used above"),
            }
            // WATCH and its read stay alone: what follows them depends on the answer.
            if self
                .thought
                .iter()
                .any(|(_, expected)| matches!(expected, Expected::Watch(_)))
            {
                return;
            }
        }
    }

    pub(super) fn ask(&mut self, request: OwnedRequest, expected: Expected) {
        self.thought.push((Ask::Command(request), expected));
    }

    pub(super) fn read(&mut self, client: u32, key: u32, now: Micros) {
        let operation = self.record(client, key, Action::Read, now);
        self.ask(read_request(key, operation), Expected::Operation(operation));
    }

    pub(super) fn value(token: Token, mapped: bool, random: &mut Random) -> String {
        if mapped && random.chance(100) {
            return format!("{token}!");
        }
        let padding = random.skewed(0, 200) as usize;
        format!("{token}{}", "x".repeat(padding))
    }

    pub(super) fn use_register(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        if random.chance(500) {
            return self.read(client, key, now);
        }
        let token = self.token();
        let operation = self.record(client, key, Action::Write(token), now);
        let value = Self::value(token, Class::of(key).is_mapped(), random);
        self.ask(
            request(&["SET", &name(key, ""), &value]),
            Expected::Operation(operation),
        );
    }

    /// One row gives a unique value up and the next takes it, in one pipeline.
    /// False when the client has used up its pairs.
    fn hand_over(&mut self, client: u32, now: Micros) -> bool {
        let Some((writes, unique)) = self.handovers.next(client) else {
            return false;
        };
        for (key, takes) in writes {
            let token = self.token();
            let operation = self.record(client, key, Action::Write(token), now);
            self.handovers.expect(client, operation);
            let value = if takes {
                format!("{token}{unique}")
            } else {
                token.to_string()
            };
            self.ask(
                request(&["SET", &name(key, ""), &value]),
                Expected::Operation(operation),
            );
        }
        true
    }

    fn use_mixed(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        let mapped = Class::of(key).is_mapped();
        let wire = name(key, "");
        match random.below(10) {
            0..=3 => self.read(client, key, now),
            4 | 5 => {
                let token = self.token();
                let operation = self.record(client, key, Action::Write(token), now);
                let value = Self::value(token, mapped, random);
                self.ask(request(&["SET", &wire, &value]), Expected::Operation(operation));
            }
            6 => {
                let operation = self.record(client, key, Action::Delete, now);
                self.ask(request(&["DEL", &wire]), Expected::Operation(operation));
            }
            7 if !mapped => {
                let token = self.token();
                let operation = self.record(client, key, Action::WriteVolatile(token), now);
                let lifetime = random.skewed(1, 3_000).to_string();
                let request = request(&["SET", &wire, &token.to_string(), "PX", &lifetime]);
                self.ask(request, Expected::Operation(operation));
            }
            // Nobody else changes rows: it costs a load and nothing more.
            7 => self.ask(request(&["REPLIGO.INVALIDATE", &wire]), Expected::Accepted),
            _ if !mapped => {
                let operation = self.record(client, key, Action::Read, now);
                self.thought
                    .push((Ask::Watch(request(&["WATCH", &wire])), Expected::Watch(operation)));
                self.ask(request(&["GET", &wire]), Expected::WatchedRead { operation, key });
            }
            _ => self.read(client, key, now),
        }
    }

    fn compare_and_set(&mut self, client: u32, key: u32, expected: Option<Token>, now: Micros) {
        let new = self.token();
        let operation = self.record(client, key, Action::CompareAndSet { expected, new }, now);
        let set = request(&["SET", &name(key, ""), &new.to_string()]);
        self.thought
            .push((Ask::Transaction(vec![set]), Expected::Operation(operation)));
    }

    pub(super) fn use_counter(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        if random.chance(300) {
            return self.read(client, key, now);
        }
        self.increment(client, key, now);
    }

    pub(super) fn increment(&mut self, client: u32, key: u32, now: Micros) {
        let operation = self.record(client, key, Action::Increment, now);
        self.ask(request(&["INCR", &name(key, "")]), Expected::Operation(operation));
    }

    pub(super) fn use_log(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        if random.chance(300) {
            return self.read(client, key, now);
        }
        let token = self.token();
        let operation = self.record(client, key, Action::Append(token), now);
        let value = format!("{token:08};");
        self.ask(
            request(&["APPEND", &name(key, ""), &value]),
            Expected::Operation(operation),
        );
    }

    /// Reads of every key that was ever used.
    pub fn read_everything(&mut self, client: u32, now: Micros) -> VecDeque<(Ask, Expected)> {
        let mut keys: Vec<u32> = self.history.iter().map(|operation| operation.key).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            if Class::of(key) == Class::Pair {
                let operation = self.record(client, key, Action::Read, now);
                let request = request(&["MGET", &name(key, "x"), &name(key, "y")]);
                self.ask(request, Expected::Operation(operation));
            } else {
                self.read(client, key, now);
            }
        }
        self.read_jobs();
        if !self.limited {
            self.read_elements();
        }
        self.thought.drain(..).collect()
    }

    /// Takes an answer in. True if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with an answer that makes no sense.
    pub fn take_reply(
        &mut self,
        expected: &Expected,
        value: &Value,
        now: Micros,
        watched: &mut Option<(u32, Option<Token>)>,
    ) -> Result<bool, String> {
        let error = value.as_error();
        match expected {
            Expected::Accepted => Ok(error.is_some()),
            Expected::Watch(operation) => {
                if error.is_some() {
                    self.unwatched.insert(*operation);
                }
                Ok(error.is_some())
            }
            Expected::Lasting(look) => self.lasting.judge(*look, value, now),
            Expected::Jobs(step) => self.jobs.take_reply(*step, value, now),
            Expected::Travel(client, stop) => self.arrived(*client, stop, (value, now)),
            Expected::Element(element) => self.elements.take_reply(*element, value, now),
            Expected::Own(_) => unreachable!("judged by the client"),
            Expected::Echo(text) if value.as_bytes() == Some(text.as_bytes()) => Ok(false),
            Expected::Echo(text) => Err(format!("{value:?} is no answer to ECHO {text}")),
            Expected::Operation(index) => self.conclude(*index, value, now),
            Expected::WatchedRead { operation, key } => {
                let refused = self.conclude(*operation, value, now)?;
                // Without the WATCH nothing would protect the write.
                let is_watched = !self.unwatched.remove(operation);
                if let Outcome::Value(seen) = self.history[*operation].outcome
                    && is_watched
                {
                    *watched = Some((*key, seen));
                }
                Ok(refused)
            }
            Expected::Eventual { node, key, invoked } => {
                if error.is_some() {
                    return Ok(true);
                }
                self.eventual.push(EventualRead {
                    node: *node,
                    key: *key,
                    invoked: *invoked,
                    returned: now,
                    value: single(value)?,
                });
                Ok(false)
            }
        }
    }

    /// When the request was made whose answer is expected.
    pub fn asked_at(&self, expected: &Expected) -> Micros {
        match expected {
            Expected::Accepted
            | Expected::Watch(_)
            | Expected::Echo(_)
            | Expected::Own(_)
            | Expected::Element(_) => 0,
            Expected::Lasting(look) => look.asked_at(),
            Expected::Jobs(step) => self.jobs.asked_at(*step),
            Expected::Travel(_, stop) => stop.asked_at(),
            Expected::Operation(index) => self.history[*index].invoked,
            Expected::WatchedRead { operation, .. } => self.history[*operation].invoked,
            Expected::Eventual { invoked, .. } => *invoked,
        }
    }

    pub(super) fn conclude(&mut self, index: usize, value: &Value, now: Micros) -> Result<bool, String> {
        self.handovers.conclude(index, value)?;
        let operation = &mut self.history[index];
        operation.returned = Some(now);
        if let Some(error) = value.as_error() {
            let own: [&[u8]; 4] = [b"NOLEADER", b"UNKNOWN", b"ORIGINDOWN", b"DISKFULL"];
            let of_memory: [&[u8]; 2] = [b"OOM", b"EXECABORT"];
            let code = words::code(error.as_bytes());
            let known = own.contains(&code)
                || (self.limited && of_memory.contains(&code))
                || error.ends_with(words::DISK_FULL)
                || Class::of(operation.key).is_mapped();
            if !known {
                return Err(format!("unexpected error {error:?} to [{operation}]"));
            }
            operation.outcome = match words::outcome(error.as_bytes()) {
                words::Outcome::NotApplied => Outcome::Refused,
                words::Outcome::Applied => Outcome::Ok,
                words::Outcome::Unknown => Outcome::Unknown,
            };
            return Ok(true);
        }
        operation.outcome = outcome(operation, value)?;
        Ok(false)
    }
}
