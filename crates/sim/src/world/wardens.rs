//! Clients that change users, and clients that are those users.
//!
//! In a part of the seeds. A warden changes one user of its own and one that it shares with the other warden, logs in
//! as it in the same pipeline, and uses its rights. Holders log in as those users at any node and use what they have.
//! When all is well again, each warden shows at every node that its changes hold there.
//!
//! The users have consistency profiles: who is the first one reads at level linearizable whatever it asks for, the second
//! one at level eventual, and the shared one is changed between both.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use repligo_core::acl::{PasswordHash, Users, digits_of};
use repligo_core::contract::PeerId;
use repligo_proto::resp::{Value, request};
use repligo_proto::words;

use super::incoming::Incoming;
use super::queue::Micros;
use super::{Event, Phase, World};
use crate::check::Violation;
use crate::check::rights::{self, Answer, Change, Kind, Right, States, Token, Use};
use crate::random::Random;

/// Their numbers begin here, beyond those of all other clients.
pub const FIRST: u32 = 1 << 21;
const WARDENS: u32 = 2;
const HOLDERS: u32 = 3;
/// The user that all wardens change; each has the one of its own number, too.
const SHARED: u32 = WARDENS;
/// Seeds in which there are any, of a thousand.
const SEEDS_PER_MILLE: u64 = 300;
const THINK_US_MAX: u64 = 120_000;
const DUE_MAX: usize = 8;

type Connection = (u32, u64);

/// What is due on a connection.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// An answer that says nothing about rights.
    Any,
    /// To a change, by its number.
    Change(usize),
    /// To a login as this user.
    Login(u32),
    /// To something that needs a right.
    Use {
        right: Right,
        invoked: Micros,
        behind: Option<usize>,
    },
}

#[derive(Debug)]
struct Guest {
    random: Random,
    node: PeerId,
    serial: u64,
    is_connected: bool,
    /// As whom it is logged in, and since when; `None` for the default user.
    user: Option<(u32, Micros)>,
    incoming: Incoming,
    due: VecDeque<Due>,
    sent_until: Micros,
}

/// All of them, and what came of what they did.
#[derive(Debug, Default)]
pub struct Wardens {
    all: Vec<Guest>,
    changes: Vec<Change>,
    uses: Vec<Use>,
    /// The latest token of each user that is known to be in force.
    latest: [Token; SHARED as usize + 1],
    /// Warden, node and kind of the changes that were shown to hold when all was well.
    shown: BTreeSet<(u32, PeerId, bool)>,
}

/// What stands for SHA-256 where no secret has to be kept: the password itself.
pub fn hash(password: &[u8]) -> PasswordHash {
    let mut hash = PasswordHash::default();
    hash[..password.len()].copy_from_slice(password);
    hash
}

fn password(token: Token) -> String {
    format!("t{token}.")
}

fn name(user: u32) -> String {
    format!("u{user}")
}

/// The user that can never read anything old.
fn has_floor(user: u32) -> bool {
    user == 0
}

/// The rule of a user's profile.
fn profile(user: u32, random: &mut Random) -> &'static str {
    match user {
        _ if has_floor(user) => "read-floor=linearizable",
        SHARED if random.chance(500) => "read=linearizable",
        _ => "read=eventual",
    }
}

/// All users as a replica has them, in words.
pub fn describe(users: &Users) -> String {
    let lines = users.iter().map(|user| {
        let rules = user.describe(None);
        let (name, rules) = (
            String::from_utf8_lossy(user.name()),
            String::from_utf8_lossy(&rules),
        );
        format!("{name} {rules}\n")
    });
    lines.collect()
}

impl Wardens {
    /// Those of a seed. They draw from a source of their own, so that other seeds stay as they are.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7761_7264_656e_7321);
        let count = match random.chance(SEEDS_PER_MILLE) {
            true => WARDENS + HOLDERS,
            false => 0,
        };
        let guest = |_| Guest {
            random: random.fork(),
            node: 0,
            serial: 0,
            is_connected: false,
            user: None,
            incoming: Incoming::default(),
            due: VecDeque::new(),
            sent_until: 0,
        };
        Self {
            all: (0..count).map(guest).collect(),
            ..Self::default()
        }
    }

    /// The number of each.
    pub fn ids(&self) -> std::ops::Range<u32> {
        FIRST..FIRST + self.all.len() as u32
    }

    /// True if nothing is due.
    pub fn is_idle(&self) -> bool {
        self.all.iter().all(|guest| guest.due.is_empty())
    }

    /// True if each warden has shown at each of these nodes that its changes hold.
    pub fn are_done(&self, nodes: &[PeerId]) -> bool {
        self.all.is_empty() || (0..WARDENS).all(|warden| self.next_to_show(warden, nodes).is_none())
    }

    fn next_to_show(&self, warden: u32, nodes: &[PeerId]) -> Option<(PeerId, bool)> {
        let all = nodes.iter().flat_map(|&node| [(node, true), (node, false)]);
        all.into_iter()
            .find(|(node, grants)| !self.shown.contains(&(warden, *node, *grants)))
    }

    /// What is due, and what was shown.
    pub fn progress(&self) -> String {
        let due: Vec<usize> = self.all.iter().map(|guest| guest.due.len()).collect();
        format!("due per warden and holder {due:?}, shown {:?}", self.shown)
    }

    /// Judges everything; `states` are those of the users that nodes were seen in.
    ///
    /// # Errors
    /// The first broken promise.
    pub fn check(&self, states: &States) -> Result<(), Violation> {
        rights::check(&self.changes, &self.uses)?;
        let mark = |token| digits_of(&hash(password(token).as_bytes()));
        states.check_order(&self.changes, mark)
    }

    fn of(&mut self, (id, serial): Connection) -> Option<&mut Guest> {
        let guest = self.all.get_mut(id.checked_sub(FIRST)? as usize)?;
        (guest.is_connected && guest.serial == serial).then_some(guest)
    }

    /// A change of a user by this warden, with what follows it in the pipeline.
    fn change(&mut self, warden: u32, wanted: (u32, Kind), now: Micros, script: &mut Script) {
        let (user, kind) = wanted;
        let (number, token) = (self.changes.len(), self.changes.len() as Token + 1);
        self.changes.push(Change {
            user,
            token,
            kind,
            invoked: now,
            returned: now,
            answer: Answer::Unknown,
        });
        let (name, secret) = (name(user), password(token));
        let added = format!(">{secret}");
        let random = &mut self.all[warden as usize].random;
        let mut words = vec!["ACL", "SETUSER", &name, "on", "resetpass", &added];
        match kind {
            Kind::Grant => words.extend(["+@all", "~*", "&*"]),
            Kind::ReadOnly => words.extend(["+@all", "~*", "-set"]),
            Kind::Nothing if random.chance(500) => words.extend(["+@all", "resetkeys", "~none:*"]),
            Kind::Nothing => words.extend(["-@all", "+auth", "+acl", "+multi", "+exec"]),
            Kind::Delete => words = vec!["ACL", "DELUSER", &name],
        }
        if kind != Kind::Delete {
            words.push(profile(user, random));
        }
        script.say(&words, Due::Change(number));
        if kind != Kind::Delete {
            script.say(&["AUTH", &name, &secret], Due::Login(user));
            script.use_rights(random, now, Some(number));
        }
    }

    fn conclude(&mut self, number: usize, value: &Value, now: Micros) {
        let change = &mut self.changes[number];
        change.returned = now;
        let error = value.as_error().map(|error| words::outcome(error.as_bytes()));
        change.answer = match error {
            None => Answer::Done,
            Some(words::Outcome::NotApplied) => Answer::Refused,
            Some(words::Outcome::Applied) => Answer::Done,
            Some(words::Outcome::Unknown) => Answer::Unknown,
        };
        if change.kind == Kind::Delete && *value == Value::Integer(0) {
            // There was no such user: nothing has changed, and no connection has ended.
            change.answer = Answer::Refused;
        }
        if change.answer == Answer::Done && change.kind != Kind::Delete {
            self.latest[change.user as usize] = change.token;
        }
    }
}

/// What a client says in one go.
#[derive(Default)]
struct Script {
    bytes: Vec<u8>,
    due: Vec<Due>,
}

impl Script {
    fn say(&mut self, words: &[&str], due: Due) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.bytes.extend_from_slice(&request(&words));
        self.due.push(due);
    }

    fn use_rights(&mut self, random: &mut Random, invoked: Micros, behind: Option<usize>) {
        let due = |right| Due::Use {
            right,
            invoked,
            behind,
        };
        if random.chance(100) {
            self.say(&["READONLY"], Due::Any);
        }
        for _ in 0..random.between(1, 3) {
            match random.below(5) {
                0 => {
                    self.say(&["MULTI"], Due::Any);
                    self.say(&["SET", "rights:k", "v"], Due::Any);
                    self.say(&["EXEC"], due(Right::Write));
                }
                1 | 2 => self.say(&["GET", "rights:k"], due(Right::Read)),
                _ => self.say(&["SET", "rights:k", "v"], due(Right::Write)),
            }
        }
    }
}

/// Whether something was executed, or refused for want of a right; `None` if its answer says neither.
fn is_allowed(value: &Value) -> Option<bool> {
    match value {
        Value::Array(items) => is_allowed(items.first()?),
        Value::Error(text) => (words::code(text.as_bytes()) == b"NOPERM").then_some(false),
        _ => Some(true),
    }
}

impl World {
    /// A warden or a holder says something, now and then.
    pub(super) fn on_guest(&mut self, id: u32) {
        let nodes = self.nodes_alive();
        let (index, now) = ((id - FIRST) as usize, self.context.queue.now());
        let (phase, wardens) = (self.phase, &mut self.wardens);
        let is_warden = (index as u32) < WARDENS;
        let to_show = (phase == Phase::Reading && is_warden)
            .then(|| wardens.next_to_show(index as u32, &nodes))
            .flatten();
        let guest = &mut wardens.all[index];
        let delay = guest.random.between(1, THINK_US_MAX);
        self.context.queue.after(delay, Event::Think { client: id });
        let is_elsewhere = to_show.is_some_and(|(node, _)| node != guest.node) && guest.due.is_empty();
        let is_over = phase >= Phase::Draining && !nodes.contains(&guest.node);
        if guest.is_connected && (is_over || is_elsewhere || guest.random.chance(30)) {
            guest.is_connected = false;
            guest.due.clear();
            let hangup = Event::Hangup {
                node: guest.node,
                connection: (id, guest.serial),
            };
            self.context.queue.at(guest.sent_until + 1, hangup);
            return;
        }
        let is_silent = phase >= Phase::Draining && to_show.is_none();
        if is_silent || guest.due.len() > DUE_MAX || nodes.is_empty() {
            return;
        }
        let opens = !guest.is_connected;
        if opens {
            guest.node = to_show.map_or_else(|| *guest.random.pick(&nodes), |(node, _)| node);
            guest.serial += 1;
            (guest.is_connected, guest.user) = (true, None);
        }
        let mut script = Script::default();
        let wanted = match to_show {
            Some(_) if !guest.due.is_empty() => return,
            Some((_, true)) => (index as u32, Kind::Grant),
            Some((_, false)) => (index as u32, Kind::Nothing),
            None => guest.random_change(index as u32),
        };
        if is_warden {
            wardens.change(index as u32, wanted, now, &mut script);
        } else {
            let token = wardens.latest[wanted.0 as usize];
            guest.use_what_it_has((wanted.0, token), now, &mut script);
        }
        let guest = &mut self.wardens.all[index];
        guest.due.extend(script.due);
        let at = now + guest.random.skewed(10, 1_000);
        guest.sent_until = at.max(guest.sent_until);
        let event = Event::Requests {
            node: guest.node,
            connection: (id, guest.serial),
            opens,
            bytes: Bytes::from(script.bytes),
        };
        self.context.queue.at(guest.sent_until, event);
    }

    pub(super) fn on_guest_reply(&mut self, connection: Connection, bytes: &Bytes) {
        if let Some(guest) = self.wardens.of(connection) {
            guest.incoming.receive(connection.1, bytes);
        }
        while let Some(guest) = self.wardens.of(connection) {
            match guest.incoming.take() {
                Ok(Some(value)) => self.take_guest_reply(connection, &value),
                Ok(None) => return,
                Err(explanation) => {
                    return self.context.fail(Violation {
                        check: "replies to changes of users",
                        subject: format!("client {} on its connection {}", connection.0, connection.1),
                        explanation,
                    });
                }
            }
        }
    }

    fn take_guest_reply(&mut self, connection: Connection, value: &Value) {
        let (now, is_well) = (self.context.queue.now(), self.phase >= Phase::Reading);
        let wardens = &mut self.wardens;
        let Some(guest) = wardens.of(connection) else {
            return;
        };
        let (node, user) = (guest.node, guest.user);
        match guest.due.pop_front() {
            Some(Due::Login(user)) if value.as_error().is_none() => guest.user = Some((user, now)),
            Some(Due::Change(number)) => wardens.conclude(number, value, now),
            Some(Due::Use {
                right,
                invoked,
                behind,
            }) => {
                let warden = connection.0 - FIRST;
                let Some((user, logged_in)) = user else { return };
                let own = behind.map(|number| wardens.changes[number]);
                // Without a login in between, the change does not speak of who this is.
                let behind =
                    behind.filter(|_| own.is_some_and(|own| own.user == user && logged_in >= own.returned));
                if is_well && let Some(own) = own.filter(|own| own.user == warden && behind.is_some()) {
                    wardens.shown.insert((warden, node, own.kind == Kind::Grant));
                }
                let Some(allowed) = is_allowed(value) else { return };
                wardens.uses.push(Use {
                    user,
                    right,
                    may_be_old: !has_floor(user) && right == Right::Read,
                    logged_in,
                    invoked,
                    returned: now,
                    allowed,
                    behind,
                });
            }
            Some(Due::Any | Due::Login(_)) => {}
            None => self.context.fail(Violation {
                check: "one answer per request",
                subject: format!("client {} on its connection {}", connection.0, connection.1),
                explanation: format!("{value:?}, and nothing is due"),
            }),
        }
    }

    pub(super) fn on_guest_disconnected(&mut self, connection: Connection) {
        if let Some(guest) = self.wardens.of(connection) {
            guest.is_connected = false;
            guest.due.clear();
        }
    }
}

impl Guest {
    fn random_change(&mut self, warden: u32) -> (u32, Kind) {
        let user = match warden < WARDENS && self.random.chance(700) {
            true => warden,
            false => self.random.below(u64::from(SHARED) + 1) as u32,
        };
        let user = match warden < WARDENS && user != warden {
            true => SHARED,
            false => user,
        };
        let kind = match self.random.below(20) {
            0..10 => Kind::Grant,
            10..14 => Kind::ReadOnly,
            14..17 => Kind::Nothing,
            _ => Kind::Delete,
        };
        (user, kind)
    }

    fn use_what_it_has(&mut self, (user, token): (u32, Token), now: Micros, script: &mut Script) {
        if self.user.is_none() || self.random.chance(50) {
            // Until the answer it is unknown who this is.
            self.user = None;
            script.say(&["AUTH", &name(user), &password(token)], Due::Login(user));
        }
        script.use_rights(&mut self.random, now, None);
    }
}
