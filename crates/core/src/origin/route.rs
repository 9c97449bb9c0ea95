//! Which way a command goes: past the origin, to the cache, into a lane, or back with an error. Decided
//! before anything is proposed.

use std::borrow::Cow;

use super::map::{Mode, OriginMap, Place, Policy};
use super::op::{Intent, IntentEffect, IntentKind, Invalidate};
use super::pattern::Pattern;
use super::request::LaneId;
use super::words;
use crate::command::{Command, Expiry, Keys, SetCondition, SetReply, TtlForm};
use crate::limits::INVALIDATED_KEYS_MAX;
use crate::op::{Item, Transaction};

/// What a mapped keyspace can do.
const SUPPORTED: &str =
    "use GET, SET without options, MGET, MSET, DEL, UNLINK, EXISTS, STRLEN, GETRANGE, TTL or TYPE";

/// What to do instead of exchanging a database that has a mapped keyspace.
const NOT_EXCHANGED: &str =
    "its keys stand for rows and stay in their database; exchange databases without an origin";

/// Which way a command goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// None of its keys is mapped.
    Plain,
    /// A read of at least one mapped key: it may be executed when every mapped key is known.
    Read,
    /// A write of mapped keys only, all of one lane: propose this instead.
    Write(Intent<'a>),
    /// Not possible; the whole error, code word first. Nothing was done.
    Refused(String),
}

/// What a command does to its keys, as far as the origin cares.
enum Access {
    Read,
    Write,
    Unsupported(&'static str),
}

impl OriginMap {
    /// Which way `command` goes. One branch when nothing is mapped.
    #[inline]
    pub fn route<'a>(&self, command: &Command<'a>) -> Route<'a> {
        if self.is_empty() {
            return Route::Plain;
        }
        self.route_mapped(command, command.name())
    }

    /// The error for a command that can go no way, which names it as the client does: several of Redis'
    /// commands are one here.
    pub fn refuse(&self, command: &Command<'_>, name: &str) -> Option<String> {
        match self.route_mapped(command, name) {
            Route::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// What the log gets for a REPLIGO.INVALIDATE of these keys, or the error.
    pub fn invalidation<'a>(&self, database: u8, keys: Keys<'a>) -> Result<Invalidate<'a>, String> {
        if keys.len() > INVALIDATED_KEYS_MAX {
            return Err(words::too_many_to_invalidate(keys.len(), INVALIDATED_KEYS_MAX));
        }
        let rows = keys.iter().map(|key| match self.place(database, key) {
            Place::Mapped(lane) => Ok((lane.keyspace, key)),
            Place::Plain => Err(words::nothing_to_invalidate(key)),
            Place::NotCanonical(policy) => Err(policy.not_canonical(key)),
        });
        Ok(Invalidate {
            rows: rows.collect::<Result<_, _>>()?,
        })
    }

    /// The error for a block that holds a mapped key, or `None`.
    pub fn refuse_transaction(&self, transaction: &Transaction<'_>) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let watched = transaction
            .watched()
            .find_map(|watched| self.candidate(watched.db, watched.key));
        let candidate = watched.or_else(|| {
            transaction.items().find_map(|item| match item {
                Item::Command(command) => self.first_candidate(&command),
                Item::Local => None,
            })
        });
        candidate
            .map(|(_, policy)| words::unsupported("MULTI", &policy.name, "send the command outside of MULTI"))
    }

    /// The mapped keys of a command, with the number of their keyspace. Keys that do not fit their
    /// pattern are left out: [`OriginMap::route`] has refused them.
    pub fn for_each_mapped<'a>(&self, command: &Command<'a>, mut visit: impl FnMut(LaneId, &'a [u8])) {
        let Some(database) = command.db().filter(|_| !self.is_empty()) else {
            return;
        };
        command.for_each_key(|key| {
            if let Place::Mapped(lane) = self.place(database, key) {
                visit(lane, key);
            }
        });
    }

    /// The first keyspace that a command has to do with, without a look at the rest of its keys: that of a key, or of
    /// a database that it exchanges.
    pub fn first_candidate(&self, command: &Command<'_>) -> Option<(u16, &Policy)> {
        let database = command.db()?;
        let mut first = None;
        command.for_each_key(|key| first = first.or_else(|| self.candidate(database, key)));
        first.or_else(|| {
            let Command::Call(call) = command else { return None };
            if let Some(exchanged) = call.exchanged() {
                return exchanged.iter().find_map(|database| self.first_of(*database));
            }
            let (database, key) = call.key_elsewhere()?;
            self.candidate(database, key)
        })
    }

    fn route_mapped<'a>(&self, command: &Command<'a>, name: &str) -> Route<'a> {
        let (Some(database), Some((_, policy))) = (command.db(), self.first_candidate(command)) else {
            return Route::Plain;
        };
        let access = access(command);
        if let Access::Unsupported(remedy) = access {
            return Route::Refused(words::unsupported(name, &policy.name, remedy));
        }
        let mut places = Places::default();
        let mut stray = None;
        command.for_each_key(|key| match self.place(database, key) {
            Place::Plain => places.plain = true,
            Place::Mapped(lane) => places.add(lane),
            Place::NotCanonical(policy) => {
                stray.get_or_insert_with(|| policy.not_canonical(key));
            }
        });
        if let Some(error) = stray {
            return Route::Refused(error);
        }
        if matches!(access, Access::Read) {
            return Route::Read;
        }
        match places.only() {
            Some(lane) => self.intent(command, name, lane),
            None => Route::Refused(words::cross_lane(name, places.apart(&policy.pattern))),
        }
    }

    fn intent<'a>(&self, command: &Command<'a>, name: &str, lane: LaneId) -> Route<'a> {
        let policy = self.policy(lane.keyspace);
        if policy.mode == Mode::ReadThrough {
            return Route::Refused(words::unsupported(
                name,
                &policy.name,
                "its mode is read-through; write to the origin, or set mode = \"write-through\"",
            ));
        }
        let store = |key: &'a [u8], value: &'a [u8]| match policy.value.canonical(value) {
            Ok(canonical) => Ok(IntentEffect {
                key,
                value: Some(canonical.map_or(Cow::Borrowed(value), Cow::Owned)),
            }),
            Err(rule) => Err(words::unmappable(key, &policy.name, &rule)),
        };
        let (kind, effects) = match *command {
            Command::Set { key, value, .. } => (IntentKind::Store, store(key, value).map(|one| vec![one])),
            Command::MSet { pairs, .. } => (
                IntentKind::Store,
                pairs.iter().map(|(key, value)| store(key, value)).collect(),
            ),
            Command::Del { keys, .. } => (
                IntentKind::Delete,
                Ok(keys.iter().map(|key| IntentEffect { key, value: None }).collect()),
            ),
            _ => unreachable!("access() calls nothing else a write"),
        };
        match effects {
            Ok(effects) => Route::Write(Intent { lane, kind, effects }),
            Err(error) => Route::Refused(error),
        }
    }
}

fn access(command: &Command<'_>) -> Access {
    match command {
        Command::Get { .. }
        | Command::MGet { .. }
        | Command::Exists { .. }
        | Command::StrLen { .. }
        | Command::GetRange { .. }
        | Command::Type { .. }
        | Command::Ttl {
            form: TtlForm::Seconds,
            ..
        } => Access::Read,
        Command::Set {
            expiry: Expiry::Never,
            condition: SetCondition::Always,
            reply: SetReply::Ok,
            ..
        }
        | Command::MSet { .. }
        | Command::Del { .. } => Access::Write,
        Command::Call(call) if call.exchanged().is_some() => Access::Unsupported(NOT_EXCHANGED),
        Command::Set { .. } => Access::Unsupported("use SET without options"),
        Command::Ttl { .. } => Access::Unsupported("use TTL"),
        _ => Access::Unsupported(SUPPORTED),
    }
}

/// Where the keys of one command live.
#[derive(Default)]
struct Places {
    plain: bool,
    first: Option<LaneId>,
    several: bool,
    keyspaces: bool,
}

impl Places {
    fn add(&mut self, lane: LaneId) {
        let first = *self.first.get_or_insert(lane);
        self.several |= first != lane;
        self.keyspaces |= first.keyspace != lane.keyspace;
    }

    /// Why they are not in one lane; `pattern` is that of a mapped key among them.
    fn apart<'a>(&self, pattern: &'a Pattern) -> words::Apart<'a> {
        if self.plain {
            words::Apart::Mixed
        } else if self.keyspaces {
            words::Apart::Keyspaces
        } else {
            words::Apart::Lanes {
                pattern: pattern.source(),
                takes_hash_tag: pattern.takes_hash_tag(),
            }
        }
    }

    /// The lane, if all keys live in one.
    fn only(&self) -> Option<LaneId> {
        self.first.filter(|_| !self.plain && !self.several)
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
