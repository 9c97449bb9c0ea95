//! Hashes, lists, sets and sorted sets under the workload: what an element holds is a register, a counter or a score
//! that rises; a list is a log; and what is written together is read together. All of it is in the history.
//!
//! Beside that collections that nobody judges but the comparison of replicas grow, shrink, expire, are overwritten,
//! renamed, combined and evicted. Elements that come, move and are popped are in [`super::elements`].

use repligo_proto::resp::{OwnedRequest, Value};

use super::keys::{Class, name, token_of};
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Workload, request};
use crate::history::{Action, Operation, Token};
use crate::random::Random;

/// Elements of a collection that is written as a whole: a large one of several blocks, and several slices.
const WHOLE_ELEMENTS: usize = 40;
/// Keys of each type that nobody judges.
const UNJUDGED_KEYS: u64 = 3;
/// Elements that one request adds to such a key, at most.
const UNJUDGED_ADDED_MAX: u64 = 40;
/// Longest value of such an element.
const UNJUDGED_BYTES_MAX: u64 = 100;

const CLASSES: [Class; 8] = [
    Class::List,
    Class::Field,
    Class::Score,
    Class::Highest,
    Class::FieldCounter,
    Class::ScoreCounter,
    Class::Whole,
    // A whole collection says most per request.
    Class::Whole,
];

/// The key of the collection whose element a key of the history is.
fn collection(class: Class) -> &'static str {
    match class {
        Class::Field => "h:registers",
        Class::FieldCounter => "h:counters",
        Class::Score => "z:registers",
        Class::Highest => "z:highest",
        Class::ScoreCounter => "z:counters",
        _ => unreachable!("{class:?} has keys of its own"),
    }
}

/// Types of a whole collection, by the number of its key.
#[derive(Clone, Copy)]
enum Type {
    Hash,
    List,
    Set,
    SortedSet,
}

const TYPES: [Type; 4] = [Type::Hash, Type::List, Type::Set, Type::SortedSet];

fn type_of(key: u32) -> Type {
    TYPES[key as usize % TYPES.len()]
}

/// What reads a key of the history; those that can be read in two ways take turns by the number of the operation.
pub fn read_request(key: u32, operation: usize) -> OwnedRequest {
    let (class, wire) = (Class::of(key), name(key, ""));
    match class {
        Class::List => request(&["LRANGE", &wire, "0", "-1"]),
        Class::Field | Class::FieldCounter => request(&["HGET", collection(class), &wire]),
        Class::Score | Class::Highest | Class::ScoreCounter => request(&["ZSCORE", collection(class), &wire]),
        Class::Whole => match (type_of(key), operation % 2) {
            (Type::Hash, _) => request(&["HGETALL", &wire]),
            (Type::List, _) => request(&["LRANGE", &wire, "0", "-1"]),
            (Type::Set, 0) => request(&["SMEMBERS", &wire]),
            (Type::Set, _) => request(&["SUNION", &wire, "nothing"]),
            (Type::SortedSet, 0) => request(&["ZRANGE", &wire, "0", "-1"]),
            (Type::SortedSet, _) => request(&["ZUNION", "2", &wire, "nothing"]),
        },
        _ => request(&["GET", &wire]),
    }
}

/// The one token of all elements of a whole collection.
///
/// # Errors
/// If they have several, or some are missing.
pub fn together(operation: &Operation, value: &Value) -> Result<Option<Token>, String> {
    let wrong = || format!("half of a write is visible: {value:?} to [{operation}]");
    let items = value.as_array().ok_or_else(wrong)?;
    if items.is_empty() {
        return Ok(None);
    }
    let parts: Vec<&Value> = match type_of(operation.key) {
        Type::Hash => items.iter().skip(1).step_by(2).collect(),
        Type::List | Type::Set | Type::SortedSet => items.iter().collect(),
    };
    let tokens: Option<Vec<Token>> = parts
        .iter()
        .map(|part| part.as_bytes().and_then(token_of))
        .collect();
    let tokens = tokens.ok_or_else(wrong)?;
    let is_whole = tokens.len() == WHOLE_ELEMENTS && tokens.windows(2).all(|pair| pair[0] == pair[1]);
    is_whole.then_some(tokens.first().copied()).ok_or_else(wrong)
}

/// `command key`, and what `element` says of each number below `count`.
fn listing(command: &str, key: &str, count: usize, element: impl Fn(usize) -> Vec<String>) -> OwnedRequest {
    let words = [command.to_owned(), key.to_owned()];
    let words: Vec<String> = words.into_iter().chain((0..count).flat_map(element)).collect();
    OwnedRequest::new(&words)
}

/// A score of its own for each token, as often lower as higher than the one before.
fn scattered(token: Token) -> Token {
    const PRIME: u64 = 1_000_003;
    assert!(token < PRIME, "a run has fewer tokens");
    token * 7_919 % PRIME
}

impl Workload {
    /// Requests on collections; false where none are used.
    pub(super) fn use_collections(&mut self, client: u32, random: &mut Random, now: Micros) -> bool {
        if self.limited {
            if self.evicts_all {
                self.use_unjudged(random);
            }
            return self.evicts_all;
        }
        for _ in 0..random.between(1, self.pipeline_max) {
            match random.below(10) {
                0..=5 => self.use_collection(client, random, now),
                6..=7 => self.use_elements(random, now),
                8 => self.use_stream(random, now),
                _ => self.use_unjudged(random),
            }
        }
        true
    }

    fn use_collection(&mut self, client: u32, random: &mut Random, now: Micros) {
        let class = *random.pick(&CLASSES);
        let key = self.choose_key(class, random);
        if random.chance(400) {
            return self.read(client, key, now);
        }
        if class == Class::Whole {
            return self.write_whole(client, key, random, now);
        }
        let token = self.token();
        let (text, wire) = (token.to_string(), name(key, ""));
        let (action, request) = match class {
            Class::List => (Action::Append(token), request(&["RPUSH", &wire, &text])),
            Class::Field => {
                let value = Self::value(token, false, random);
                let words = ["HSET", collection(class), &wire, &value];
                (Action::Write(token), request(&words))
            }
            Class::Score => {
                let words = ["ZADD", collection(class), &text, &wire];
                (Action::Write(token), request(&words))
            }
            Class::Highest => {
                let score = scattered(token);
                let words = ["ZADD", collection(class), "GT", &score.to_string(), &wire];
                (Action::Raise(score), request(&words))
            }
            Class::FieldCounter => {
                let words = ["HINCRBY", collection(class), &wire, "1"];
                (Action::Increment, request(&words))
            }
            _ => {
                let words = ["ZINCRBY", collection(class), "1", &wire];
                (Action::Increment, request(&words))
            }
        };
        let operation = self.record(client, key, action, now);
        self.ask(request, Expected::Operation(operation));
    }

    /// Replaces all elements of a collection, in one command or one block.
    fn write_whole(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        let token = self.token();
        let operation = self.record(client, key, Action::Write(token), now);
        let expected = Expected::Operation(operation);
        let wire = name(key, "");
        let part = |number: usize| vec![format!("{token}:{number}")];
        let (command, each): (_, Box<dyn Fn(usize) -> Vec<String>>) = match type_of(key) {
            Type::Hash => {
                let field = |number: usize| vec![format!("f{number}"), token.to_string()];
                let request = listing("HSET", &wire, WHOLE_ELEMENTS, field);
                return self.ask(request, expected);
            }
            Type::List => ("RPUSH", Box::new(move |_| vec![token.to_string()])),
            Type::Set => ("SADD", Box::new(part)),
            Type::SortedSet => (
                "ZADD",
                Box::new(move |number| vec![(number % 7).to_string(), format!("{token}:{number}")]),
            ),
        };
        let side = format!("{wire}:side");
        let fill = |key: &str| listing(command, key, WHOLE_ELEMENTS, &each);
        let block = match random.below(3) {
            0 => vec![request(&["DEL", &wire]), fill(&wire)],
            1 => vec![
                request(&["DEL", &side]),
                fill(&side),
                request(&["RENAME", &side, &wire]),
            ],
            _ => {
                let store = match type_of(key) {
                    Type::Set => request(&["SUNIONSTORE", &wire, &side, "nothing"]),
                    Type::SortedSet => request(&["ZUNIONSTORE", &wire, "2", &side, "nothing"]),
                    Type::Hash | Type::List => request(&["RENAME", &side, &wire]),
                };
                vec![request(&["DEL", &side]), fill(&side), store]
            }
        };
        self.thought.push((Ask::Transaction(block), expected));
    }

    /// Something with a collection that only the comparison of replicas judges.
    fn use_unjudged(&mut self, random: &mut Random) {
        let kind = *random.pick(&TYPES);
        let prefix = match kind {
            Type::Hash => "uh",
            Type::List => "ul",
            Type::Set => "us",
            Type::SortedSet => "uz",
        };
        let key = format!("{prefix}:{}", random.below(UNJUDGED_KEYS));
        let other = format!("{prefix}:{}", random.below(UNJUDGED_KEYS));
        let request = match random.below(12) {
            0..=4 => fill_unjudged(kind, &key, random),
            5 => request(&["DEL", &key]),
            6 => request(&["PEXPIRE", &key, &random.skewed(1, 3_000).to_string()]),
            7 => request(&["SET", &key, "overwritten", "PX", "20"]),
            8 => request(&["RENAME", &key, &other]),
            9 | 10 => shrink_unjudged(kind, &key, random),
            _ => match kind {
                Type::Set => request(&["SUNIONSTORE", &key, &key, &other]),
                Type::SortedSet => request(&["ZUNIONSTORE", &key, "2", &key, &other]),
                Type::List => request(&["LMOVE", &key, &other, "LEFT", "RIGHT"]),
                Type::Hash => request(&["HGETALL", &key]),
            },
        };
        self.ask(request, Expected::Accepted);
    }
}

fn fill_unjudged(kind: Type, key: &str, random: &mut Random) -> OwnedRequest {
    let first = random.below(200) as usize;
    let count = random.skewed(1, UNJUDGED_ADDED_MAX) as usize;
    let value = "x".repeat(random.skewed(0, UNJUDGED_BYTES_MAX) as usize);
    let score = random.below(9);
    if matches!(kind, Type::Hash) && first.is_multiple_of(3) {
        return time_unjudged(key, (first, count), score);
    }
    let score = score.to_string();
    let command = match kind {
        Type::Hash => "HSET",
        Type::List => "RPUSH",
        Type::Set => "SADD",
        Type::SortedSet => "ZADD",
    };
    listing(command, key, count, |number| {
        let number = (first + number).to_string();
        match kind {
            Type::Hash => vec![number, value.clone()],
            Type::List => vec![value.clone()],
            Type::Set => vec![number],
            Type::SortedSet => vec![score.clone(), number],
        }
    })
}

/// Something with deadlines of so many fields from one on, which end after 0 to 3 s.
fn time_unjudged(key: &str, (first, count): (usize, usize), nth: u64) -> OwnedRequest {
    let time = (nth * nth * 47).to_string();
    let (head, has_values) = match first / 3 % 6 {
        0 | 1 => (vec!["HSETEX", key, "PX", &time], true),
        2 => (vec!["HSETEX", key, "KEEPTTL"], true),
        3 => (vec!["HPEXPIRE", key, &time], false),
        4 => (vec!["HPERSIST", key], false),
        _ => (vec!["HGETEX", key, "PX", &time], false),
    };
    let mut words: Vec<String> = head.into_iter().map(str::to_owned).collect();
    words.extend(["FIELDS".to_owned(), count.to_string()]);
    for field in first..first + count {
        words.push(field.to_string());
        words.extend(has_values.then(|| "timed".to_owned()));
    }
    OwnedRequest::new(&words)
}

fn shrink_unjudged(kind: Type, key: &str, random: &mut Random) -> OwnedRequest {
    let count = random.skewed(1, UNJUDGED_ADDED_MAX);
    match kind {
        Type::Hash => {
            let first = random.below(200) as usize;
            listing("HDEL", key, count as usize, |number| {
                vec![(first + number).to_string()]
            })
        }
        Type::List => request(&["LTRIM", key, &count.to_string(), "-2"]),
        Type::Set => request(&["SPOP", key, &count.to_string()]),
        Type::SortedSet => request(&["ZREMRANGEBYRANK", key, "0", &count.to_string()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;

    #[test]
    fn half_of_a_collection_is_found() {
        let operation = |kind: u32| Operation {
            client: 0,
            key: Class::Whole.key(kind),
            invoked: 0,
            returned: None,
            action: Action::Read,
            outcome: Outcome::Unknown,
        };
        let bulk = |text: String| Value::Bulk(text.into_bytes());
        let set = 2;
        let members = |count: usize| (0..count).map(|number| bulk(format!("7:{number}"))).collect();
        let judge = |items: Vec<Value>| together(&operation(set), &Value::Array(items));
        assert_eq!(judge(members(WHOLE_ELEMENTS)), Ok(Some(7)));
        assert_eq!(judge(Vec::new()), Ok(None));
        assert!(judge(members(WHOLE_ELEMENTS - 1)).is_err(), "one is missing");
        let mut mixed = members(WHOLE_ELEMENTS);
        mixed[5] = bulk("8:5".to_owned());
        assert!(judge(mixed).is_err(), "of two writes");
    }
}
