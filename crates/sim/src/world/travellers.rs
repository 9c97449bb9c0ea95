//! Clients that read at level session and take their tokens from node to node.
//!
//! A traveller counts and reads over a connection, asks for its token now and then, and goes on at another node, most
//! of the time with the token in front of its first requests. Now and then it shows a token that says nothing here, which
//! must be refused.

use std::collections::{BTreeSet, HashMap};

use repligo_core::token::Token;
use repligo_proto::resp::Value;

use super::keys::{Class, name};
use super::outcome::single;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Thinker, Workload, request};
use crate::check::sessions::{Sight, Step};
use crate::history::{Action, Outcome};
use crate::random::Random;

/// What a traveller makes of an answer.
#[derive(Clone, Debug)]
pub enum Stop {
    /// REPLIGO.SESSION: its token.
    Token {
        /// When it was asked.
        asked: Micros,
    },
    /// REPLIGO.SESSION with the token that it was told last.
    TakeIn {
        /// When it was asked.
        asked: Micros,
    },
    /// REPLIGO.SESSION with what must be refused so.
    Wrong(&'static str),
    /// A write of its own.
    Write {
        /// The operation that it is.
        operation: usize,
        /// When it was asked.
        asked: Micros,
    },
    /// A read at level session.
    Read {
        /// Where.
        node: u64,
        /// Which key.
        key: u32,
        /// When it was asked.
        asked: Micros,
    },
}

/// All travellers.
#[derive(Debug, Default)]
pub struct Travellers {
    /// What each of them was told, in order.
    pub journeys: HashMap<u32, Vec<Step>>,
    tokens: HashMap<u32, String>,
    leaving: BTreeSet<u32>,
}

impl Travellers {
    /// True, once, if this client goes to another node now.
    pub fn leaves(&mut self, client: u32) -> bool {
        self.leaving.remove(&client)
    }

    fn note(&mut self, client: u32, step: Step) {
        self.journeys.entry(client).or_default().push(step);
    }
}

impl Workload {
    /// The first requests of a traveller's new connection, which reads at this level.
    pub(super) fn arrive(
        &mut self,
        thinker: &Thinker,
        level: &str,
        random: &mut Random,
    ) -> Vec<(Ask, Expected)> {
        let client = thinker.client;
        self.travellers.note(client, Step::Connected);
        let session = |words: &[&str], stop: Stop| {
            let words = [&["REPLIGO.SESSION"], words].concat();
            (Ask::Command(request(&words)), Expected::Travel(client, stop))
        };
        let choose = request(&["REPLIGO.CONSISTENCY", "READ", level]);
        let mut first = vec![(Ask::Command(choose), Expected::Accepted)];
        let Some(token) = self.travellers.tokens.get(&client) else {
            return first;
        };
        if random.chance(100) {
            let (word, code) = wrong_token(token, random);
            first.push(session(&[&word], Stop::Wrong(code)));
        }
        if random.chance(900) {
            first.push(session(&[token], Stop::TakeIn { asked: thinker.now }));
        }
        first
    }

    /// The next requests of a traveller.
    pub(super) fn travel(&mut self, thinker: &Thinker, random: &mut Random) {
        let Thinker {
            client, node, now, ..
        } = *thinker;
        for _ in 0..random.between(1, 4) {
            let class = match random.chance(800) {
                true => Class::Counter,
                false => Class::Register,
            };
            let key = self.choose_key(class, random);
            let wire = name(key, "");
            if !random.chance(350) {
                let stop = Stop::Read {
                    node,
                    key,
                    asked: now,
                };
                self.ask(request(&["GET", &wire]), Expected::Travel(client, stop));
                continue;
            }
            let (action, words) = match class {
                Class::Counter => (Action::Increment, request(&["INCR", &wire])),
                _ => {
                    let token = self.token();
                    let words = request(&["SET", &wire, &token.to_string()]);
                    (Action::Write(token), words)
                }
            };
            let operation = self.record(client, key, action, now);
            let stop = Stop::Write {
                operation,
                asked: now,
            };
            self.ask(words, Expected::Travel(client, stop));
        }
        if random.chance(400) {
            let stop = Stop::Token { asked: now };
            self.ask(request(&["REPLIGO.SESSION"]), Expected::Travel(client, stop));
            if random.chance(700) {
                self.travellers.leaving.insert(client);
            }
        }
    }

    /// Takes an answer to a traveller in. True if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn arrived(
        &mut self,
        client: u32,
        stop: &Stop,
        (value, now): (&Value, Micros),
    ) -> Result<bool, String> {
        let error = value.as_error();
        if let Stop::Wrong(code) = stop {
            let is_refused = error.is_some_and(|error| error.starts_with(code));
            return match is_refused {
                true => Ok(false),
                false => Err(format!(
                    "a token that says nothing here is answered with {value:?}, not {code}"
                )),
            };
        }
        if let Stop::Write { operation, .. } = *stop {
            let refused = self.conclude(operation, value, now)?;
            let operation = &self.history[operation];
            let value = match (operation.action, &operation.outcome) {
                (Action::Increment, Outcome::Count(number)) => Some(*number),
                (Action::Write(token), Outcome::Ok) => Some(token),
                _ => return Ok(refused),
            };
            let key = operation.key;
            self.travellers.note(client, Step::Wrote(Sight { key, value }));
            return Ok(refused);
        }
        if let Some(error) = error {
            return match error.starts_with("LOSTWRITE") {
                // Nothing that was acknowledged is ever lost here.
                true => Err(format!("{error} to {stop:?}")),
                false => Ok(true),
            };
        }
        match stop {
            Stop::Token { .. } => {
                let word = value.as_bytes().ok_or("a token is a string")?;
                let word = String::from_utf8(word.to_vec()).map_err(|_| "a token is text")?;
                self.travellers.tokens.insert(client, word);
                self.travellers.note(client, Step::Told);
            }
            Stop::TakeIn { .. } => self.travellers.note(client, Step::TookIn),
            Stop::Read { node, key, .. } => {
                let value = single(value)?;
                let sight = Sight { key: *key, value };
                self.travellers.note(client, Step::Read(*node, sight));
            }
            Stop::Wrong(_) | Stop::Write { .. } => {}
        }
        Ok(false)
    }
}

impl Stop {
    /// When it was asked, as far as its refusal has to be excused.
    pub fn asked_at(&self) -> Micros {
        match self {
            Self::Token { asked } | Self::TakeIn { asked } => *asked,
            Self::Write { asked, .. } | Self::Read { asked, .. } => *asked,
            Self::Wrong(_) => 0,
        }
    }
}

/// A token that must be refused, made of this one, and the code of its error.
fn wrong_token(word: &str, random: &mut Random) -> (String, &'static str) {
    let token = Token::decode(word.as_bytes()).expect("a node gave it out");
    let with = |change: fn(&mut Token)| {
        let mut token = token;
        change(&mut token);
        token.encode()
    };
    match random.below(5) {
        0 => (with(|token| token.generation -= 1), "LOSTWRITE"),
        1 => (with(|token| token.generation += 1), "STALE"),
        2 => (with(|token| token.cluster ^= 1), "ERR"),
        3 => (with(|token| token.index += 1 << 50), "ERR"),
        _ => (word[1..].to_owned(), "ERR"),
    }
}
