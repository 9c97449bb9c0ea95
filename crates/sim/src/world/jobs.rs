//! Jobs in lists: pushers put them in, and workers at any node wait for them, with and without an end.
//!
//! Every job is a unique token. What workers got, what is left in the end and what was refused is judged by
//! [`crate::check::jobs`]. When clients have stopped, a feeder pushes enough for everybody who still waits: whoever is
//! forgotten is found because nothing answers.

use std::collections::VecDeque;

use repligo_proto::resp::{OwnedRequest, Value};
use repligo_proto::words;

use super::client::{Client, Kind};
use super::plan::Plan;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Thinker, Workload, request};
use super::{Event, World};
use crate::check::jobs::{Action, Job, Left, Outcome};
use crate::history::Token;
use crate::random::Random;

/// Lists of jobs.
const LISTS: u32 = 3;
/// A worker is so patient with a node that does not answer, at least.
const PATIENCE_US_MIN: Micros = 4_000_000;

/// All jobs.
#[derive(Debug, Default)]
pub struct Jobs {
    enabled: bool,
    pub(super) history: Vec<Job>,
    pub(super) left: Left,
}

/// What is expected of an answer about jobs.
#[derive(Clone, Copy, Debug)]
pub enum JobStep {
    /// A push, a pop, or a move.
    Job(usize),
    /// What is left of a list, or of what was moved from it.
    Left {
        /// Its number.
        list: u32,
        /// Of what was moved.
        moved: bool,
    },
}

impl Jobs {
    /// No job yet; none at all where keys may be evicted.
    pub fn new(plan: &Plan) -> Self {
        Self {
            enabled: plan.memory.bytes_max == 0,
            ..Self::default()
        }
    }

    /// Clients of each kind.
    pub fn clients(plan: &Plan) -> [(Kind, usize); 2] {
        let enabled = usize::from(plan.memory.bytes_max == 0);
        let some = 1 + (plan.seed % 3) as usize;
        [
            (Kind::Pusher, enabled * (1 + some / 2)),
            (Kind::Worker, enabled * (2 + some)),
        ]
    }

    fn record(&mut self, client: u32, action: Action, now: Micros) -> usize {
        self.history.push(Job {
            client,
            action,
            invoked: now,
            returned: None,
            outcome: Outcome::Unknown,
        });
        self.history.len() - 1
    }

    /// When it was asked for.
    pub fn asked_at(&self, step: JobStep) -> Micros {
        match step {
            JobStep::Job(index) => self.history[index].invoked,
            JobStep::Left { .. } => 0,
        }
    }

    /// Takes an answer in; true if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with an answer that makes no sense.
    pub fn take_reply(&mut self, step: JobStep, value: &Value, now: Micros) -> Result<bool, String> {
        let index = match step {
            JobStep::Left { .. } if value.as_error().is_some() => return Ok(true),
            JobStep::Left { list, moved } => return self.take_left((list, moved), value),
            JobStep::Job(index) => index,
        };
        let job = &mut self.history[index];
        job.returned = Some(now);
        if let Some(error) = value.as_error() {
            job.outcome = match words::outcome(error.as_bytes()) {
                words::Outcome::NotApplied => Outcome::Refused,
                words::Outcome::Applied => Outcome::Done,
                words::Outcome::Unknown => Outcome::Unknown,
            };
            return Ok(true);
        }
        job.outcome = match (&job.action, value) {
            (Action::Push(_), _) => Outcome::Done,
            (Action::Pop { .. } | Action::Move { .. }, value) if value.is_null() => Outcome::Nothing,
            (Action::Pop { .. }, Value::Array(pair)) => match &pair[..] {
                [list, token] => Outcome::Got(number(list)?, number(token)?.into()),
                _ => return Err(format!("{value:?} to [{job:?}]")),
            },
            (Action::Move { list }, token) => Outcome::Got(*list, number(token)?.into()),
            _ => return Err(format!("{value:?} to [{job:?}]")),
        };
        Ok(false)
    }

    fn take_left(&mut self, place: (u32, bool), value: &Value) -> Result<bool, String> {
        let Value::Array(tokens) = value else {
            return Err(format!("{value:?} is no list"));
        };
        let tokens: Result<Vec<Token>, String> = tokens
            .iter()
            .map(|token| number(token).map(Token::from))
            .collect();
        let tokens = tokens?;
        let known = self.left.entry(place).or_insert_with(|| tokens.clone());
        match *known == tokens {
            true => Ok(false),
            false => Err(format!(
                "list {place:?} holds {tokens:?} here and {known:?} elsewhere"
            )),
        }
    }
}

fn number(value: &Value) -> Result<u32, String> {
    let digits = value.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
    let digits = digits.strip_prefix(b"job:").unwrap_or(&digits);
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits
        .parse()
        .map_err(|_| format!("{value:?} is no number of a list or a job"))
}

fn name(list: u32) -> String {
    format!("job:{list}")
}

fn moved(list: u32) -> String {
    format!("moved:{list}")
}

impl Workload {
    /// Thinks of the next request of a pusher or a worker.
    pub(super) fn use_jobs(&mut self, thinker: &Thinker, random: &mut Random) {
        let Thinker {
            client, kind, now, ..
        } = *thinker;
        if kind == Kind::Pusher {
            return self.push_jobs(client, random, now);
        }
        let timeout = *random.pick(&["0", "0", "0.03", "0.3", "2"]);
        let list = random.below(u64::from(LISTS)) as u32;
        if random.chance(200) {
            let index = self.jobs.record(client, Action::Move { list }, now);
            let words = ["BLMOVE", &name(list), &moved(list), "RIGHT", "LEFT", timeout];
            return self.ask(request(&words), Expected::Jobs(JobStep::Job(index)));
        }
        let mut lists = vec![list];
        if random.chance(500) {
            lists.push((list + 1) % LISTS);
        }
        let names: Vec<String> = lists.iter().map(|list| name(*list)).collect();
        let index = self.jobs.record(client, Action::Pop { lists }, now);
        let words = ["BRPOP"]
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .chain([timeout]);
        let words: Vec<&str> = words.collect();
        self.ask(request(&words), Expected::Jobs(JobStep::Job(index)));
    }

    /// One job, several at once, or several in a block.
    fn push_jobs(&mut self, client: u32, random: &mut Random, now: Micros) {
        let count = random.skewed(1, 6);
        let list = random.below(u64::from(LISTS)) as u32;
        let apart = random.chance(300);
        let jobs: Vec<(u32, Token)> = (0..count as u32)
            .map(|offset| {
                let list = if apart { (list + offset) % LISTS } else { list };
                (list, self.token())
            })
            .collect();
        let index = self.jobs.record(client, Action::Push(jobs.clone()), now);
        let expected = Expected::Jobs(JobStep::Job(index));
        let push = |list: u32, tokens: &[Token]| {
            let words = ["LPUSH".to_owned(), name(list)].into_iter();
            OwnedRequest::new(
                words
                    .chain(tokens.iter().map(Token::to_string))
                    .collect::<Vec<_>>(),
            )
        };
        if apart {
            let block = jobs.iter().map(|(list, token)| push(*list, &[*token])).collect();
            self.thought.push((Ask::Transaction(block), expected));
        } else {
            let tokens: Vec<Token> = jobs.iter().map(|(_, token)| *token).collect();
            self.ask(push(list, &tokens), expected);
        }
    }

    /// As many jobs in every list as there are workers, and more.
    fn feed(&mut self, client: u32, workers: usize, now: Micros) -> VecDeque<(Ask, Expected)> {
        for list in 0..LISTS {
            for _ in 0..2 * workers {
                let token = self.token();
                let index = self.jobs.record(client, Action::Push(vec![(list, token)]), now);
                let words = ["LPUSH", &name(list), &token.to_string()];
                self.ask(request(&words), Expected::Jobs(JobStep::Job(index)));
            }
        }
        self.thought.drain(..).collect()
    }

    /// Reads what is left of every list.
    pub(super) fn read_jobs(&mut self) {
        if !self.jobs.enabled {
            return;
        }
        for list in 0..LISTS {
            for (key, moved) in [(name(list), false), (moved(list), true)] {
                let step = JobStep::Left { list, moved };
                self.ask(request(&["LRANGE", &key, "0", "-1"]), Expected::Jobs(step));
            }
        }
    }
}

impl World {
    /// Clients have stopped: whoever still waits is to get something.
    pub(super) fn feed_workers(&mut self) {
        let workers = self.clients.iter().filter(|client| client.kind() == Kind::Worker);
        let connections: Vec<_> = workers.map(Client::connection).collect();
        let count = connections.len();
        if count == 0 {
            return;
        }
        for (node, connection) in connections.into_iter().flatten() {
            // What was on its way to a process that ended is answered by nobody; a system would reset the connection.
            let process = self.machine(node).process.as_ref();
            if !process.is_some_and(|process| process.has_connection(connection)) {
                self.on_disconnected(connection);
            }
        }
        let now = self.context.queue.now();
        let id = self.clients.len() as u32;
        // What is pushed at a node that is gone would be lost with the connection.
        let Some(&node) = self.nodes_alive().first() else {
            return;
        };
        let mut feeder = Client::new(id, Kind::Feeder, self.context.random.fork()).at(node);
        feeder.script = self.workload.feed(id, count, now);
        self.clients.push(feeder);
        self.context.queue.after(1, Event::Think { client: id });
    }

    /// Some workers leave although they may be served at any moment; none that waits does so often, or their leaving
    /// would explain every loss.
    pub(super) fn worker_patience(random: &mut Random) -> Option<Micros> {
        let leaves = random.chance(60);
        let patience = random.between(PATIENCE_US_MIN, 4 * PATIENCE_US_MIN);
        leaves.then_some(patience)
    }
}
