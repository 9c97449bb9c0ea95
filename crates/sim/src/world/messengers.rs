//! Clients that publish and subscribe, over RESP3 so that writes and messages meet on one connection.
//!
//! In a part of the seeds. They write beside it, and subscribe behind writes that are not answered yet, so that
//! messages arrive while replies wait. When all is well again, each must hear of every other one.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_proto::resp::{Value, request};

use super::incoming::Incoming;
use super::queue::Micros;
use super::{Event, Phase, World};
use crate::check::Violation;
use crate::check::messages::{Connection, Messages};
use crate::random::Random;

/// Their numbers begin here, beyond those of all other clients.
pub const FIRST: u32 = 1 << 20;
const COUNT: u32 = 3;
/// Seeds in which there are any, of a thousand.
const SEEDS_PER_MILLE: u64 = 250;
const THINK_US_MAX: u64 = 120_000;
const CHANNEL: &str = "talk";

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A reply, whatever it says.
    Reply,
    /// To be told whether it listens.
    Confirmation(bool),
}

#[derive(Debug)]
struct Messenger {
    random: Random,
    node: PeerId,
    serial: u64,
    is_connected: bool,
    incoming: Incoming,
    due: VecDeque<Due>,
    sent_until: Micros,
}

/// All of them, and what they have heard.
#[derive(Debug, Default)]
pub struct Messengers {
    all: Vec<Messenger>,
    messages: Messages,
    /// Listener and publisher of messages that were heard when all was well.
    well_heard: BTreeSet<(u32, u32)>,
}

impl Messengers {
    /// Those of a seed. They draw from a source of their own, so that other seeds stay as they are.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6d65_7373_656e_6765);
        let count = if random.chance(SEEDS_PER_MILLE) { COUNT } else { 0 };
        let messenger = |_| Messenger {
            random: random.fork(),
            node: 0,
            serial: 0,
            is_connected: false,
            incoming: Incoming::default(),
            due: VecDeque::new(),
            sent_until: 0,
        };
        Self {
            all: (0..count).map(messenger).collect(),
            ..Self::default()
        }
    }

    /// The number of each.
    pub fn ids(&self) -> std::ops::Range<u32> {
        FIRST..FIRST + self.all.len() as u32
    }

    /// True if nothing is due that could still change the state.
    pub fn is_idle(&self) -> bool {
        self.all.iter().all(|messenger| messenger.due.is_empty())
    }

    /// True if each has heard of each since all is well.
    pub fn are_done(&self) -> bool {
        self.well_heard.len() == self.all.len() * self.all.len()
    }

    /// Who has heard of whom since then.
    pub fn progress(&self) -> String {
        let due: Vec<usize> = self.all.iter().map(|messenger| messenger.due.len()).collect();
        format!("due per messenger {due:?}, heard {:?}", self.well_heard)
    }

    fn of(&mut self, (id, serial): Connection) -> Option<&mut Messenger> {
        let messenger = self.all.get_mut(id.checked_sub(FIRST)? as usize)?;
        (messenger.is_connected && messenger.serial == serial).then_some(messenger)
    }
}

impl World {
    /// A messenger says something, now and then.
    pub(super) fn on_messenger(&mut self, id: u32) {
        let nodes = self.nodes_alive();
        let messenger = &mut self.messengers.all[(id - FIRST) as usize];
        let delay = messenger.random.between(1, THINK_US_MAX);
        self.context.queue.after(delay, Event::Think { client: id });
        let is_over = self.phase >= Phase::Draining && !nodes.contains(&messenger.node);
        if messenger.is_connected && is_over {
            let connection = (id, messenger.serial);
            messenger.is_connected = false;
            messenger.due.clear();
            let hangup = Event::Hangup {
                node: messenger.node,
                connection,
            };
            self.context.queue.at(messenger.sent_until + 1, hangup);
            return;
        }
        if messenger.due.len() > 8 || nodes.is_empty() {
            return;
        }
        let opens = !messenger.is_connected;
        if opens {
            messenger.node = *messenger.random.pick(&nodes);
            messenger.serial += 1;
            messenger.is_connected = true;
        }
        let connection = (id, messenger.serial);
        let mut bytes = Vec::new();
        let mut say = |words: &[&str], due: Due| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            bytes.extend_from_slice(&request(&words));
            messenger.due.push_back(due);
        };
        if opens {
            say(&["HELLO", "3"], Due::Reply);
        }
        let messages = &mut self.messengers.messages;
        if self.phase >= Phase::Draining {
            if !messages.is_listening(connection) {
                say(&["SUBSCRIBE", CHANNEL], Due::Confirmation(true));
            }
            let text = messages.publish(connection);
            say(&["PUBLISH", CHANNEL, &text], Due::Reply);
        } else {
            let (key, choice) = (format!("talk:{id}"), self.context.queue.now() % 5);
            if choice < 4 {
                say(&["SET", &key, "v"], Due::Reply);
                say(&["ECHO", "e"], Due::Reply);
            }
            match choice {
                0 => say(&["UNSUBSCRIBE", CHANNEL], Due::Confirmation(false)),
                1 | 2 => say(&["SUBSCRIBE", CHANNEL], Due::Confirmation(true)),
                _ => {
                    for _ in 0..3 {
                        let text = messages.publish(connection);
                        say(&["PUBLISH", CHANNEL, &text], Due::Reply);
                    }
                }
            }
        }
        let at = self.context.queue.now() + messenger.random.skewed(10, 1_000);
        messenger.sent_until = at.max(messenger.sent_until);
        let event = Event::Requests {
            node: messenger.node,
            connection,
            opens,
            bytes: Bytes::from(bytes),
        };
        self.context.queue.at(messenger.sent_until, event);
    }

    pub(super) fn on_messenger_reply(&mut self, connection: Connection, bytes: &Bytes) {
        if let Some(messenger) = self.messengers.of(connection) {
            messenger.incoming.receive(connection.1, bytes);
        }
        while let Some(messenger) = self.messengers.of(connection) {
            let judged = match messenger.incoming.take() {
                Ok(Some(value)) => self.judge_messenger(connection, &value),
                Ok(None) => return,
                Err(explanation) => Err(explanation),
            };
            if let Err(explanation) = judged {
                self.context.fail(Violation {
                    check: "messages stand between replies",
                    subject: format!("client {} on its connection {}", connection.0, connection.1),
                    explanation,
                });
                return;
            }
        }
    }

    fn judge_messenger(&mut self, connection: Connection, value: &Value) -> Result<(), String> {
        let is_well = self.phase >= Phase::Reading;
        let Value::Push(parts) = value else {
            let messenger = self.messengers.of(connection).ok_or("it is gone")?;
            return match messenger.due.pop_front() {
                Some(Due::Reply) => Ok(()),
                due => Err(format!("got {value:?} where {due:?} is due")),
            };
        };
        let words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        match words.as_slice() {
            ["message", CHANNEL, text] => match self.messengers.messages.hear(connection, text) {
                Ok(publisher) if is_well => {
                    self.messengers.well_heard.insert((connection.0, publisher.0));
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(violation) => Err(violation.explanation),
            },
            [word @ ("subscribe" | "unsubscribe"), CHANNEL] => {
                let listens = *word == "subscribe";
                let messenger = self.messengers.of(connection).ok_or("it is gone")?;
                match messenger.due.pop_front() {
                    Some(Due::Confirmation(due)) if due == listens => {
                        self.messengers.messages.confirm(connection, listens);
                        Ok(())
                    }
                    due => Err(format!("told to {word} where {due:?} is due")),
                }
            }
            _ => Err(format!("a push that nobody knows: {value:?}")),
        }
    }

    pub(super) fn on_messenger_disconnected(&mut self, connection: Connection) {
        if let Some(messenger) = self.messengers.of(connection) {
            messenger.is_connected = false;
            messenger.due.clear();
        }
        self.messengers.messages.confirm(connection, false);
    }
}
