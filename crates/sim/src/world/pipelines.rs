//! What only a session can get wrong: requests that do not wait for the answers before them.
//!
//! A pipeline on one key, with ECHO between, whose answers must come at their places; more reads while a write is
//! unanswered; and a compare-and-set on a key that nobody else uses, which therefore must succeed.

use repligo_proto::resp::Value;

use super::client::Kind;
use super::keys::Class;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Workload, request};
use super::{Event, Phase, World};
use crate::history::Operation;
use crate::random::Random;

/// Requests of such a pipeline.
const REQUESTS_MAX: u64 = 10;
/// Until a client asks for more although it was not answered.
const FOLLOW_UP_US_MAX: Micros = 3_000_000;

/// A key of one client's, used once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    number: u64,
    /// SET was answered with OK.
    is_set: bool,
}

/// What is expected of an answer about such a key.
#[derive(Clone, Copy, Debug)]
pub enum OwnStep {
    /// SET.
    Set(u64),
    /// GET behind SET and WATCH.
    Get(u64),
    /// EXEC.
    Exec {
        /// When it was asked.
        asked_at: Micros,
    },
}

impl Workload {
    /// Requests on one key that do not wait for each other; false where no class of keys allows it.
    pub(super) fn use_pipeline(&mut self, client: u32, random: &mut Random, now: Micros) -> bool {
        let in_use = |class: &&Class| self.is_in_use(**class);
        // Of those whose judges need no search.
        let classes = [Class::Register, Class::Log, Class::Mapped];
        let classes: Vec<Class> = classes.iter().filter(in_use).copied().collect();
        if classes.is_empty() {
            return false;
        }
        let class = *random.pick(&classes);
        let key = self.choose_key(class, random);
        for _ in 0..random.between(2, REQUESTS_MAX) {
            if random.chance(200) {
                let text = format!("echo-{}", self.token());
                self.thought
                    .push((Ask::Command(request(&["ECHO", &text])), Expected::Echo(text)));
            }
            match class {
                Class::Log => self.use_log(client, key, random, now),
                _ => self.use_register(client, key, random, now),
            }
        }
        true
    }

    /// SET, WATCH and GET of a key of its own in one pipeline; the compare-and-set follows when they are answered.
    pub(super) fn use_own(&mut self) {
        let number = self.token();
        let (key, value) = (own_name(number), number.to_string());
        for (words, expected) in [
            (&["SET", &key, &value][..], Expected::Own(OwnStep::Set(number))),
            (&["WATCH", &key], Expected::Accepted),
            (&["GET", &key], Expected::Own(OwnStep::Get(number))),
        ] {
            self.thought.push((Ask::Command(request(words)), expected));
        }
    }

    /// The compare-and-set, if everything before it went well.
    pub(super) fn finish_own(&mut self, own: Own, now: Micros) {
        let key = own_name(own.number);
        self.thought.push((
            Ask::Transaction(vec![request(&["SET", &key, "changed"]), request(&["DEL", &key])]),
            Expected::Own(OwnStep::Exec { asked_at: now }),
        ));
    }

    /// More of the key that is being written: the read must see that write.
    fn read_behind(&mut self, client: u32, open: &Operation, now: Micros) {
        let key = open.key;
        self.read(client, key, now);
    }
}

fn own_name(number: u64) -> String {
    format!("own:{number}")
}

impl Own {
    /// Judges an answer; true if it was a refusal.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(own: &mut Option<Self>, step: OwnStep, value: &Value) -> Result<bool, String> {
        if value.as_error().is_some() {
            *own = None;
            return Ok(true);
        }
        match step {
            OwnStep::Set(number) => {
                *own = Some(Self {
                    number,
                    is_set: false,
                })
            }
            OwnStep::Get(number) => {
                let Some(own) = own.as_mut().filter(|own| own.number == number) else {
                    return Ok(false);
                };
                let seen = value.as_bytes().map(|bytes| bytes.to_vec());
                if seen != Some(number.to_string().into_bytes()) {
                    return Err(format!("{} holds {seen:?} behind its own SET", own_name(number)));
                }
                own.is_set = true;
            }
            OwnStep::Exec { .. } if value.is_null() => {
                return Err("EXEC was refused although nobody else has changed the watched key".to_owned());
            }
            OwnStep::Exec { .. } => {}
        }
        Ok(false)
    }

    /// Whether the compare-and-set comes next.
    pub fn is_ready(&self) -> bool {
        self.is_set
    }
}

impl World {
    /// Whether the client asks again before it is answered, and when.
    pub(super) fn plan_follow_up(&mut self, connection: (u32, u64)) {
        let client = &mut self.clients[connection.0 as usize];
        if self.phase == Phase::Faults && client.kind() == Kind::Writer && client.random.chance(300) {
            let delay = client.random.skewed(1_000, FOLLOW_UP_US_MAX);
            self.context.queue.after(delay, Event::FollowUp { connection });
        }
    }

    pub(super) fn on_follow_up(&mut self, connection: (u32, u64)) {
        let now = self.context.queue.now();
        let Some(client) = self.client_of(connection) else {
            return;
        };
        let Some(index) = client.open_operation() else {
            return;
        };
        let open = self.workload.history[index].clone();
        if !open.is_write() || Class::of(open.key) == Class::Pair {
            return;
        }
        self.workload.read_behind(connection.0, &open, now);
        let batch = self.workload.drain().collect();
        self.send(connection, false, batch);
    }
}
