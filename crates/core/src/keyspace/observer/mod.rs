//! What is done to keys, for clients that want to be told: keyspace notifications, and what they may have cached.
//!
//! Off unless somebody wants to know, and then every change is noted where the keyspace is changed, so that no command
//! can pass it by. Changes of one command are a group with a [`Naming`], from which the events follow that Redis
//! would publish. All of it is of this node alone: nothing replicated depends on it.
//!
//! Invariants: a group holds each key once; a change says whether the key was there before the group and is there
//! afterwards, by what commands see.

mod classes;
mod events;
mod naming;

use std::cell::RefCell;

use bytes::Bytes;

pub use classes::EventClasses;
pub use events::Event;
pub(crate) use naming::Naming;

use super::{Keyspace, kind};
use crate::command::Command;
use crate::contract::Ticket;

/// What has become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was written.
    There,
    /// It is gone, unless it was not there.
    Gone,
    Expired,
    Evicted,
    /// A read has not found it.
    Missed,
    /// Something with a name of its own has happened to it.
    Also(EventClasses, &'static str),
}

#[derive(Clone, Debug)]
struct Change {
    db: u8,
    key: Bytes,
    was_there: bool,
    fate: Fate,
}

/// What one command, or the coming of a time, has done to keys.
#[derive(Debug, Default)]
pub struct Group {
    naming: Naming,
    changes: Vec<Change>,
    /// Under which ticket it was asked for, if a client of this node has asked.
    writer: Option<Ticket>,
    /// Any key may be another one now: a database was cleared, or the state replaced.
    clears: bool,
}

/// Keys noted as missed until somebody asks. Reads are told of as far as that: they come without a log that bounds them.
const MISSES_MAX: usize = 10_000;

impl Group {
    fn of_misses(misses: Vec<(u8, Bytes)>) -> Self {
        let missed = |(db, key)| Change {
            db,
            key,
            was_there: false,
            fate: Fate::Missed,
        };
        Self {
            changes: misses.into_iter().map(missed).collect(),
            ..Self::default()
        }
    }

    /// Under which ticket it was asked for, if a client of this node has asked for it.
    pub fn writer(&self) -> Option<Ticket> {
        self.writer
    }

    /// Whether any key may have changed, also those that are not shown.
    pub fn clears(&self) -> bool {
        self.clears
    }

    /// Shows all keys that may be others than before, in order; one that was changed twice is shown twice.
    pub fn for_each_key<'a>(&'a self, visit: &mut dyn FnMut(&'a [u8])) {
        let changed = self.changes.iter().filter(|change| change.fate != Fate::Missed);
        changed.for_each(|change| visit(&change.key));
    }
}

/// What was noted and not yet asked for.
#[derive(Debug, Default)]
pub(super) struct Observer {
    naming: Naming,
    writer: Option<Ticket>,
    groups: Vec<Group>,
    /// The next change belongs to the last group.
    is_open: bool,
    /// Keys that reads have not found, if that is wanted.
    misses: Option<RefCell<Vec<(u8, Bytes)>>>,
}

impl Observer {
    /// The group to which the next change belongs.
    fn open(&mut self) -> &mut Group {
        if !std::mem::replace(&mut self.is_open, true) {
            self.groups.push(Group {
                naming: self.naming.clone(),
                writer: self.writer,
                ..Group::default()
            });
        }
        self.groups.last_mut().expect("it is open")
    }

    fn note(&mut self, (db, key): (u8, &[u8]), was_there: bool, fate: Fate) {
        let group = self.open();
        let merges = group.naming.form != naming::Form::Each;
        match group.changes.last_mut() {
            Some(last) if merges && last.db == db && last.key == key && fate_follows(last.fate, fate) => {
                last.fate = fate;
            }
            _ => group.changes.push(Change {
                db,
                key: Bytes::copy_from_slice(key),
                was_there,
                fate,
            }),
        }
    }

    /// A key is removed because its time has come.
    pub fn expired(&mut self, db: u8, key: &[u8]) {
        self.note((db, key), true, Fate::Expired);
    }

    /// Fields of a hash are removed because their time has come, and the hash with its last one.
    pub fn fields_expired(&mut self, db: u8, key: &[u8], is_gone: bool) {
        self.note((db, key), true, Fate::Also(EventClasses::HASH, "hexpired"));
        if is_gone {
            self.note((db, key), true, Fate::Also(EventClasses::GENERIC, "del"));
        }
    }
}

/// Whether a fate replaces the one before: what has expired may be written anew by the same command.
fn fate_follows(last: Fate, next: Fate) -> bool {
    let is_of_command = |fate| matches!(fate, Fate::There | Fate::Gone);
    is_of_command(last) && is_of_command(next)
}

/// What commands see of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Key,
    /// Its time has come, and it is not yet removed.
    Expired,
}

impl Keyspace {
    /// Changes are noted from now on, or no more: if events of these classes are to be told, or if clients `track` what
    /// they have cached.
    pub fn observe(&mut self, classes: EventClasses, tracks: bool) {
        let is_wanted = classes.tells() || tracks;
        if is_wanted != self.is_observed() {
            self.observer = is_wanted.then(Box::default);
        }
        if let Some(observer) = &mut self.observer {
            let wants_misses = classes.tells() && classes.has(EventClasses::MISSED);
            observer.misses = wants_misses.then(|| observer.misses.take().unwrap_or_default());
        }
    }

    /// Any key may be another one from now on.
    #[cold]
    pub(crate) fn note_clear(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.open().clears = true;
        }
    }

    /// A read has not found this key.
    #[cold]
    pub(super) fn note_miss(&self, (db, key): (u8, &[u8])) {
        let misses = self
            .observer
            .as_ref()
            .and_then(|observer| observer.misses.as_ref());
        if let Some(mut misses) = misses.map(RefCell::borrow_mut)
            && misses.len() < MISSES_MAX
        {
            misses.push((db, Bytes::copy_from_slice(key)));
        }
    }

    /// What reads have not found since the last call.
    fn take_misses(&mut self) -> Vec<(u8, Bytes)> {
        let misses = self
            .observer
            .as_mut()
            .and_then(|observer| observer.misses.as_mut());
        misses.map_or_else(Vec::new, |misses| std::mem::take(misses.get_mut()))
    }

    /// A keyspace that replaces another one takes over whether changes are noted, and which.
    pub(crate) fn observe_as(&mut self, other: &Self) {
        let of = |observer: &Observer| Observer {
            misses: observer.misses.as_ref().map(|_| RefCell::default()),
            ..Observer::default()
        };
        self.observer = other.observer.as_deref().map(|observer| Box::new(of(observer)));
        self.note_clear();
    }

    /// Whether changes are noted.
    #[inline]
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// What follows is done by this command, which was asked for under this ticket, if by a client of this node.
    #[cold]
    pub(crate) fn name(&mut self, writer: Option<Ticket>, naming: impl FnOnce() -> Naming) {
        if let Some(observer) = &mut self.observer {
            observer.naming = naming();
            observer.writer = writer;
            observer.is_open = false;
        }
    }

    /// As [`Keyspace::name`], for a command of a block or of a script.
    #[inline]
    pub(super) fn name_inner(&mut self, command: &Command<'_>) {
        if let Some(writer) = self.observer.as_ref().map(|observer| observer.writer) {
            self.name(writer, || Naming::of(command));
        }
    }

    /// What was noted since the last call. With `keeps_last`, a command that is in its middle is told as a whole later.
    pub fn take_changes(&mut self, keeps_last: bool) -> Vec<Group> {
        let misses = self.take_misses();
        let Some(observer) = &mut self.observer else {
            return Vec::new();
        };
        let mut kept = Vec::new();
        if keeps_last && observer.is_open {
            kept.extend(observer.groups.pop());
        }
        observer.is_open = !kept.is_empty();
        let mut groups = std::mem::replace(&mut observer.groups, kept);
        if !misses.is_empty() {
            groups.push(Group::of_misses(misses));
        }
        groups
    }

    /// What commands see under this key, if changes are noted.
    pub(super) fn seen(&self, db: u8, key: &[u8]) -> Seen {
        let table = self.database(db).map(|database| database.table());
        let entry = table.and_then(|table| table.get(table.hash(key), key));
        match entry {
            Some(entry) if entry.kind == kind::NEGATIVE => Seen::Nothing,
            Some(entry) if self.is_alive(db, &entry) => Seen::Key,
            Some(_) => Seen::Expired,
            None => Seen::Nothing,
        }
    }

    /// A key is about to be written, whatever is there.
    #[cold]
    pub(super) fn note_put(&mut self, db: u8, key: &[u8], kind: u8) {
        let before = self.seen(db, key);
        let after = if kind == kind::NEGATIVE {
            Seen::Nothing
        } else {
            Seen::Key
        };
        self.note_change((db, key), before, after);
    }

    /// Something was done to a key, from what was seen before to what is seen now.
    #[cold]
    pub(super) fn note_change(&mut self, place: (u8, &[u8]), before: Seen, after: Seen) {
        let Some(observer) = &mut self.observer else {
            return;
        };
        if before == Seen::Expired {
            observer.note(place, true, Fate::Expired);
        }
        let was_there = before == Seen::Key;
        match after {
            Seen::Key => observer.note(place, was_there, Fate::There),
            Seen::Nothing | Seen::Expired if was_there => observer.note(place, true, Fate::Gone),
            Seen::Nothing | Seen::Expired => {}
        }
    }

    /// Something more has happened to a key than its command is called after.
    #[cold]
    pub(super) fn note_also(&mut self, place: (u8, &[u8]), (class, name): (EventClasses, &'static str)) {
        if let Some(observer) = &mut self.observer {
            observer.note(place, true, Fate::Also(class, name));
        }
    }

    /// An entry was evicted under which this had been seen.
    #[cold]
    pub(super) fn note_eviction(&mut self, place: (u8, &[u8]), before: Seen) {
        if let Some(observer) = &mut self.observer
            && before != Seen::Nothing
        {
            observer.note(place, true, Fate::Evicted);
        }
    }
}

#[cfg(test)]
mod tests;
