//! Sets, lists and sorted sets under unique elements that come, move and are popped; judged by
//! [`crate::check::elements`]. Streams, which belong to them here, are in [`super::streams`]. What else collections are used for is in [`super::collections`].

use repligo_proto::resp::{OwnedRequest, Value};

use super::queue::Micros;
use super::session::Ask;
use super::streams::{StreamStep, Streams};
use super::workload::{Expected, Workload, request};
use crate::check::Violation;
use crate::check::elements::{self, Step};
use crate::history::{Outcome, Token};
use crate::random::Random;

/// Elements that one request adds, at most: some keys become large collections.
const ADDS_MAX: u64 = 40;
/// Elements that one request pops, at most.
const POPS_MAX: u64 = 20;

/// Keys between which elements move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// SADD, SPOP and SMOVE between two sets.
    Sets,
    /// RPUSH, LPOP, RPOP and LMOVE between two lists.
    Lists,
    /// RPUSH and LPOP.
    Queue,
    /// ZADD and ZPOPMIN of two sorted sets.
    SortedSets,
}

const GROUPS: [Group; 4] = [Group::Sets, Group::Lists, Group::Queue, Group::SortedSets];

impl Group {
    fn key(self, number: u64) -> String {
        let name = match self {
            Self::Sets => "set",
            Self::Lists => "list",
            Self::Queue => "queue",
            Self::SortedSets => "sorted",
        };
        format!("{name}:{number}")
    }

    fn keys(self) -> u64 {
        match self {
            Self::Queue => 1,
            Self::Sets | Self::Lists | Self::SortedSets => 2,
        }
    }

    fn add(self, key: &str, tokens: &[Token]) -> OwnedRequest {
        let mut words = vec![
            match self {
                Self::Sets => "SADD",
                Self::Lists | Self::Queue => "RPUSH",
                Self::SortedSets => "ZADD",
            }
            .to_owned(),
            key.to_owned(),
        ];
        for token in tokens {
            if self == Self::SortedSets {
                words.push((token % 7).to_string());
            }
            words.push(token.to_string());
        }
        OwnedRequest::new(&words)
    }

    fn all(self, key: &str) -> OwnedRequest {
        match self {
            Self::Sets => request(&["SMEMBERS", key]),
            Self::Lists | Self::Queue => request(&["LRANGE", key, "0", "-1"]),
            Self::SortedSets => request(&["ZRANGE", key, "0", "-1"]),
        }
    }
}

/// What is expected of an answer about such a key.
#[derive(Clone, Copy, Debug)]
pub enum Element {
    /// The outcome of a step.
    Step(Group, usize),
    /// All elements of a key, at the end.
    All(Group, u64),
    /// Something about a stream.
    Stream(StreamStep),
}

/// All that was done with such keys.
#[derive(Debug, Default)]
pub struct Elements {
    steps: [Vec<Step>; GROUPS.len()],
    /// By group and key: what the first one saw who read everything.
    left: [[Option<Vec<Token>>; 2]; GROUPS.len()],
    pub(super) streams: Streams,
}

impl Elements {
    /// Takes in an answer that came at `now`; true if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take_reply(&mut self, element: Element, value: &Value, now: Micros) -> Result<bool, String> {
        let refused = value
            .as_error()
            .map(|error| repligo_proto::words::outcome(error.as_bytes()));
        match element {
            Element::Stream(step) => return self.streams.take_reply(step, value, now),
            Element::Step(group, index) => {
                let step = &mut self.steps[group as usize][index];
                step.returned = Some(now);
                step.outcome = match refused {
                    Some(repligo_proto::words::Outcome::NotApplied) => Outcome::Refused,
                    Some(repligo_proto::words::Outcome::Applied) => Outcome::Ok,
                    Some(repligo_proto::words::Outcome::Unknown) => Outcome::Unknown,
                    None if step.pops_max > 0 => Outcome::List(popped(group, value)?),
                    None => Outcome::Ok,
                };
            }
            Element::All(group, key) if refused.is_none() => {
                let mut seen = tokens(value)?;
                if group == Group::Sets {
                    seen.sort_unstable();
                }
                let left = &mut self.left[group as usize][key as usize];
                if left.get_or_insert_with(|| seen.clone()) != &seen {
                    return Err(format!(
                        "{} is not the same at all nodes: {seen:?}, {left:?}",
                        group.key(key)
                    ));
                }
            }
            Element::All(..) => {}
        }
        Ok(refused.is_some())
    }

    /// Judges everything, when everything has been read.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Violation> {
        self.streams.check()?;
        for group in GROUPS {
            let left = &self.left[group as usize][..group.keys() as usize];
            // Not in use, or a reading was refused.
            let left: Option<Vec<Vec<Token>>> = left.iter().cloned().collect();
            if let Some(left) = left {
                let steps = &self.steps[group as usize];
                elements::check(&group.key(0), steps, &left, group == Group::Queue)?;
            }
        }
        Ok(())
    }
}

fn tokens(value: &Value) -> Result<Vec<Token>, String> {
    let wrong = || format!("{value:?} is no answer with elements");
    let token = |value: &Value| {
        let text = value.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
    };
    match value.as_array() {
        Some(items) => items.iter().map(token).collect(),
        None if value.is_null() => Ok(Vec::new()),
        None => token(value).map(|token| vec![token]),
    }
}

/// ZPOPMIN tells scores behind the members.
fn popped(group: Group, value: &Value) -> Result<Vec<Token>, String> {
    let all = tokens(value)?;
    Ok(match group {
        Group::SortedSets => all.into_iter().step_by(2).collect(),
        Group::Sets | Group::Lists | Group::Queue => all,
    })
}

impl Workload {
    /// A request on such a key.
    pub(super) fn use_elements(&mut self, random: &mut Random, now: Micros) {
        let group = *random.pick(&GROUPS);
        let key = group.key(random.below(group.keys()));
        let choice = random.below(10);
        let mut step = Step {
            invoked: now,
            returned: None,
            adds: Vec::new(),
            pops_max: 0,
            outcome: Outcome::Unknown,
        };
        let request = if choice < 6 {
            step.adds = (0..random.skewed(1, ADDS_MAX)).map(|_| self.token()).collect();
            group.add(&key, &step.adds)
        } else if choice < 9 {
            let count = random.skewed(1, POPS_MAX);
            step.pops_max = count as usize;
            let command = match group {
                Group::Sets => "SPOP",
                Group::Lists if random.chance(500) => "RPOP",
                Group::Lists | Group::Queue => "LPOP",
                Group::SortedSets => "ZPOPMIN",
            };
            request(&[command, &key, &count.to_string()])
        } else {
            return self.move_element(group, random);
        };
        let steps = &mut self.elements.steps[group as usize];
        steps.push(step);
        let expected = Expected::Element(Element::Step(group, steps.len() - 1));
        self.thought.push((Ask::Command(request), expected));
    }

    /// From one key of the group to the other: nothing comes or goes.
    fn move_element(&mut self, group: Group, random: &mut Random) {
        let from = random.below(2);
        let (from, to) = (group.key(from), group.key(1 - from));
        let request = match group {
            Group::Sets => {
                let added = self.elements.steps[group as usize].iter();
                let known: Vec<Token> = added.flat_map(|step| step.adds.iter().copied()).collect();
                let member = if known.is_empty() { 0 } else { *random.pick(&known) };
                request(&["SMOVE", &from, &to, &member.to_string()])
            }
            Group::Lists => request(&["LMOVE", &from, &to, "LEFT", "RIGHT"]),
            Group::Queue => group.all(&group.key(0)),
            Group::SortedSets => group.all(&from),
        };
        self.thought.push((Ask::Command(request), Expected::Accepted));
    }

    /// Reads all of every such key.
    pub(super) fn read_elements(&mut self) {
        self.read_streams();
        for group in GROUPS {
            for key in 0..group.keys() {
                let request = group.all(&group.key(key));
                let expected = Expected::Element(Element::All(group, key));
                self.thought.push((Ask::Command(request), expected));
            }
        }
    }
}
