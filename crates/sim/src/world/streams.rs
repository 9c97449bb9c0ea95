//! Streams with a group of consumers each: entries are appended, given out and acknowledged; judged by
//! [`crate::check::streams`].

use repligo_proto::resp::Value;
use repligo_proto::words;

use super::elements::Element;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Workload, request};
use crate::check::Violation;
use crate::check::streams::{self, Action, Id, Left, Outcome, Step};
use crate::history::Token;
use crate::random::Random;

/// Streams.
const STREAMS: usize = 2;
/// Entries that one read asks for, at most.
const READ_MAX: u64 = 20;
/// Entries that are acknowledged at once, at most.
const ACKNOWLEDGED_MAX: usize = 8;

/// What is expected of an answer about a stream.
#[derive(Clone, Copy, Debug)]
pub enum StreamStep {
    /// That its group is made.
    Group(usize),
    /// The outcome of a step.
    Step(usize, usize),
    /// All entries, at the end.
    Entries(usize),
    /// All that is pending.
    Pending(usize),
    /// The group.
    Delivered(usize),
}

/// What is known of one stream.
#[derive(Debug, Default)]
struct Stream {
    has_group: bool,
    steps: Vec<Step>,
    /// What some reader was told of and nobody has begun to acknowledge.
    open: Vec<Id>,
    entries: Option<Vec<(Id, Token)>>,
    pending: Option<Vec<Id>>,
    delivered: Option<Id>,
}

/// All streams.
#[derive(Debug, Default)]
pub struct Streams([Stream; STREAMS]);

fn name(stream: usize) -> String {
    format!("stream:{stream}")
}

fn text(value: &Value) -> Result<&str, String> {
    let bytes = value.as_bytes().unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| format!("{value:?} is no text"))
}

fn id(value: &Value) -> Result<Id, String> {
    let parsed = text(value)?.split_once('-');
    let parsed = parsed.and_then(|(ms, seq)| Some((ms.parse().ok()?, seq.parse().ok()?)));
    parsed.ok_or_else(|| format!("{value:?} is no id"))
}

fn items(value: &Value) -> Result<&[Value], String> {
    match value {
        value if value.is_null() => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(format!("{value:?} is no array")),
    }
}

/// Entries, each with one field whose value is its token.
fn entries(value: &Value) -> Result<Vec<(Id, Token)>, String> {
    let entry = |entry: &Value| match items(entry)? {
        [name, fields] => match items(fields)? {
            [_, token] => {
                let token = text(token)?.parse();
                Ok((id(name)?, token.map_err(|_| format!("{fields:?} has no token"))?))
            }
            _ => Err(format!("{fields:?} is not one field")),
        },
        _ => Err(format!("{entry:?} is no entry")),
    };
    items(value)?.iter().map(entry).collect()
}

/// Keeps what the first node said; the others must say the same.
fn agree<T: PartialEq + std::fmt::Debug>(known: &mut Option<T>, told: T) -> Result<bool, String> {
    match known {
        Some(known) if *known != told => Err(format!("a stream is {told:?} here and {known:?} elsewhere")),
        _ => {
            *known = Some(told);
            Ok(false)
        }
    }
}

impl Streams {
    /// Takes in an answer that came at `now`; true if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take_reply(&mut self, step: StreamStep, value: &Value, now: Micros) -> Result<bool, String> {
        let error = value.as_error().map(str::as_bytes);
        match step {
            StreamStep::Group(stream) => {
                let is_there = error.is_none_or(|error| words::code(error) == b"BUSYGROUP");
                self.0[stream].has_group |= is_there;
                Ok(!is_there)
            }
            StreamStep::Step(stream, index) => self.0[stream].conclude(index, value, now),
            _ if error.is_some() => Ok(true),
            StreamStep::Entries(stream) => agree(&mut self.0[stream].entries, entries(value)?),
            StreamStep::Pending(stream) => {
                let pending = items(value)?.iter();
                let pending: Result<Vec<Id>, String> = pending
                    .map(|pending| id(items(pending)?.first().unwrap_or(&Value::Null)))
                    .collect();
                agree(&mut self.0[stream].pending, pending?)
            }
            StreamStep::Delivered(stream) => {
                let groups = items(value)?;
                let Some(group) = groups.first() else {
                    return Ok(false);
                };
                let last = items(group)?.get(7).map(id).transpose()?;
                agree(&mut self.0[stream].delivered, last.unwrap_or_default())
            }
        }
    }

    /// Judges everything, when everything has been read.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Violation> {
        for (number, stream) in self.0.iter().enumerate() {
            // Not in use, or a reading was refused.
            let (Some(entries), Some(pending), Some(delivered)) =
                (&stream.entries, &stream.pending, stream.delivered)
            else {
                continue;
            };
            let left = Left {
                entries: entries.clone(),
                pending: pending.clone(),
                delivered,
            };
            streams::check(&name(number), &stream.steps, &left)?;
        }
        Ok(())
    }
}

impl Stream {
    fn conclude(&mut self, index: usize, value: &Value, now: Micros) -> Result<bool, String> {
        let step = &mut self.steps[index];
        step.returned = Some(now);
        if let Some(error) = value.as_error() {
            step.outcome = match words::outcome(error.as_bytes()) {
                words::Outcome::NotApplied => Outcome::Refused,
                words::Outcome::Applied | words::Outcome::Unknown => Outcome::Unknown,
            };
            return Ok(true);
        }
        step.outcome = match &step.action {
            Action::Append(_) => Outcome::Appended(id(value)?),
            Action::Acknowledge(_) => match value.as_integer() {
                Some(count) => Outcome::Acknowledged(count as usize),
                None => return Err(format!("{value:?} is no count")),
            },
            Action::Read(_) => {
                let streams = items(value)?;
                let told = streams.first().map(|stream| match items(stream)? {
                    [_, told] => entries(told),
                    _ => Err(format!("{stream:?} is no stream")),
                });
                let told = told.transpose()?.unwrap_or_default();
                self.open.extend(told.iter().map(|(id, _)| *id));
                Outcome::Got(told)
            }
        };
        Ok(false)
    }
}

impl Workload {
    fn ask_stream(&mut self, words: &[&str], step: StreamStep) {
        let expected = Expected::Element(Element::Stream(step));
        self.thought.push((Ask::Command(request(words)), expected));
    }

    /// A request on a stream.
    pub(super) fn use_stream(&mut self, random: &mut Random, now: Micros) {
        let number = random.below(STREAMS as u64) as usize;
        let key = name(number);
        if !self.elements.streams.0[number].has_group {
            let words = ["XGROUP", "CREATE", &key, "g", "0", "MKSTREAM"];
            return self.ask_stream(&words, StreamStep::Group(number));
        }
        let token = self.token();
        let stream = &mut self.elements.streams.0[number];
        let choice = random.below(10);
        let (action, words) = if choice < 5 {
            let words = ["XADD", &key, "*", "t", &token.to_string()].map(str::to_owned);
            (Action::Append(token), words.to_vec())
        } else if choice < 8 || stream.open.is_empty() {
            let count = random.skewed(1, READ_MAX);
            let consumer = format!("c{}", random.below(3));
            let words = ["XREADGROUP", "GROUP", "g", &consumer, "COUNT", &count.to_string()];
            let words = words.into_iter().chain(["STREAMS", &key, ">"]);
            (Action::Read(count as usize), words.map(str::to_owned).collect())
        } else {
            let count = stream.open.len().min(ACKNOWLEDGED_MAX);
            let ids: Vec<Id> = stream.open.drain(..count).collect();
            let words = ["XACK", &key, "g"].map(str::to_owned).into_iter();
            let words = words
                .chain(ids.iter().map(|(ms, seq)| format!("{ms}-{seq}")))
                .collect();
            (Action::Acknowledge(ids), words)
        };
        stream.steps.push(Step {
            invoked: now,
            returned: None,
            action,
            outcome: Outcome::Unknown,
        });
        let step = StreamStep::Step(number, stream.steps.len() - 1);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.ask_stream(&words, step);
    }

    /// Reads all of every stream that is in use.
    pub(super) fn read_streams(&mut self) {
        for number in 0..STREAMS {
            if !self.elements.streams.0[number].has_group {
                continue;
            }
            let key = name(number);
            self.ask_stream(&["XRANGE", &key, "-", "+"], StreamStep::Entries(number));
            let words = ["XPENDING", &key, "g", "-", "+", "100000"];
            self.ask_stream(&words, StreamStep::Pending(number));
            self.ask_stream(&["XINFO", "GROUPS", &key], StreamStep::Delivered(number));
        }
    }
}
