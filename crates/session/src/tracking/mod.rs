//! CLIENT TRACKING: which keys clients may have cached, and who is told when one of them has changed.
//!
//! A key is remembered for a client before its read is executed, so a change behind the read always finds it. What the
//! host has applied is told once a turn, behind all answers of the turn ([`Tracking::tell`]): an
//! invalidation never comes before the write is visible here, and stands behind every answer that may show what was
//! there before. A read that is unanswered by then may have been executed on either side of the change and be answered
//! later: its key stays remembered, and its client is told again behind the answer. So a client is told too often at
//! times, and never too late.
//!
//! All of it is of one node. Whoever is connected to another one, or connects again, has nothing cached by this one.
//!
//! Invariants: every client that tracks is in `clients`; the table holds at most as many keys as it is limited to, and
//! [`TABLE_BYTES_MAX`] bytes; what has no room is told as changed.

mod commands;
mod push;
mod tracker;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use repligo_core::contract::Ticket;
use repligo_core::keyspace::Group;

pub(crate) use commands::{answers, execute};
use tracker::Mark;
pub use tracker::{Mode, Redirect, Tracker};
pub(crate) use tracker::{before, refused};

use crate::Session;
use crate::subscriptions::Sessions;

/// Bytes of the names that are remembered, with what remembering them takes beside.
pub const TABLE_BYTES_MAX: usize = 256 << 20;
/// Keys that are dropped in one turn when the limit was lowered.
const DROPPED_PER_TURN: usize = 10_000;
/// What a key takes beside its name, and what each client takes that may have it: places in trees.
const KEY_OVERHEAD_BYTES: usize = 240;
const CLIENT_OVERHEAD_BYTES: usize = 24;

/// Who may have a key.
#[derive(Debug)]
struct Remembered {
    /// Numbers of clients.
    clients: BTreeSet<u64>,
    /// Its place in the order of age.
    age: u64,
}

/// Who has changed a key, if it was one client and not several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Changed {
    only_by: Option<u64>,
}

/// What clients of a host track; see the module.
#[derive(Debug)]
pub struct Tracking {
    keys: BTreeMap<Bytes, Remembered>,
    /// The same keys by age.
    ages: BTreeMap<u64, Bytes>,
    next_age: u64,
    keys_max: usize,
    bytes: usize,
    items: usize,
    /// Slots of the clients that track, by their numbers.
    clients: BTreeMap<u64, u32>,
    /// Clients in broadcast mode by the prefix that they asked for.
    prefixes: BTreeMap<Bytes, BTreeSet<u64>>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    prefix_bytes: usize,
    /// Keys that fit a prefix and have changed since the last turn.
    changed: BTreeMap<Bytes, Changed>,
    /// Keys that had no room, and who may have them.
    dropped: Vec<(Bytes, BTreeSet<u64>)>,
    /// Clients that are to be told again of something.
    unsettled: BTreeSet<u64>,
    /// A planted bug: writes of which clients were told when they were given in.
    #[cfg(feature = "bugs")]
    told_early: BTreeSet<Ticket>,
    #[cfg(feature = "bugs")]
    early: Vec<Bytes>,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            ages: BTreeMap::new(),
            next_age: 0,
            keys_max: usize::MAX,
            bytes: 0,
            items: 0,
            clients: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            lengths: BTreeMap::new(),
            prefix_bytes: 0,
            changed: BTreeMap::new(),
            dropped: Vec::new(),
            unsettled: BTreeSet::new(),
            #[cfg(feature = "bugs")]
            told_early: BTreeSet::new(),
            #[cfg(feature = "bugs")]
            early: Vec::new(),
        }
    }
}

impl Tracking {
    /// Whether some client tracks.
    #[inline]
    pub fn is_used(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Clients that track.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Keys that clients may have cached.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The same keys, each counted for every client that may have it.
    pub fn item_count(&self) -> usize {
        self.items
    }

    /// Prefixes of clients in broadcast mode.
    pub fn prefix_count(&self) -> usize {
        self.prefixes.len()
    }

    /// What it takes, about.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.prefix_bytes
    }

    /// At most so many keys are remembered from now on; 0: as many as have room in [`TABLE_BYTES_MAX`].
    pub fn limit_keys(&mut self, keys_max: usize) {
        self.keys_max = if keys_max == 0 { usize::MAX } else { keys_max };
    }

    fn remember(&mut self, id: u64, key: &[u8]) {
        if let Some(remembered) = self.keys.get_mut(key) {
            if remembered.clients.insert(id) {
                self.bytes += CLIENT_OVERHEAD_BYTES;
                self.items += 1;
            }
            return;
        }
        let (key, age) = (Bytes::copy_from_slice(key), self.next_age);
        self.next_age += 1;
        self.bytes += key.len() + KEY_OVERHEAD_BYTES + CLIENT_OVERHEAD_BYTES;
        self.items += 1;
        self.ages.insert(age, key.clone());
        let clients = BTreeSet::from([id]);
        self.keys.insert(key, Remembered { clients, age });
        // What is one too many goes at once, so that the table is never larger than it may be.
        if self.is_overfull() {
            self.drop_oldest();
        }
    }

    fn is_overfull(&self) -> bool {
        self.keys.len() > self.keys_max || self.bytes > TABLE_BYTES_MAX
    }

    fn drop_oldest(&mut self) {
        if let Some(key) = self.ages.first_key_value().map(|(_, key)| key.clone()) {
            let clients = self.forget(&key);
            self.dropped.push((key, clients));
        }
    }

    /// Nobody is known to have the key any more; who was.
    fn forget(&mut self, key: &[u8]) -> BTreeSet<u64> {
        let Some(remembered) = self.keys.remove(key) else {
            return BTreeSet::new();
        };
        self.ages.remove(&remembered.age);
        let count = remembered.clients.len();
        self.bytes -= key.len() + KEY_OVERHEAD_BYTES + CLIENT_OVERHEAD_BYTES * count;
        self.items -= count;
        remembered.clients
    }

    /// Tells of what commands have done, or the coming of a time; in the order in which it was done, and behind all
    /// answers that are known. Sessions are reached as for messages, while none of them runs. Owed to each turn, also
    /// if nothing was done.
    pub fn tell(&mut self, groups: &[Group], sessions: &mut impl Sessions) {
        // Who is told that everything has changed need not be told what has before.
        let first = groups.iter().rposition(Group::clears).unwrap_or(0);
        groups[first..]
            .iter()
            .for_each(|group| self.tell_group(group, sessions));
        self.settle(sessions);
    }

    fn tell_group(&mut self, group: &Group, sessions: &mut impl Sessions) {
        #[cfg(feature = "bugs")]
        if group
            .writer()
            .is_some_and(|ticket| self.told_early.remove(&ticket))
        {
            return;
        }
        let writer = group.writer().and_then(|ticket| self.writer(ticket, sessions));
        if group.clears() {
            self.tell_all(sessions);
        }
        group.for_each_key(&mut |key| {
            for id in self.forget(key) {
                if self.tell_one(id, key, writer, sessions) {
                    self.remember(id, key);
                }
            }
            if self.fits_prefix(key) {
                self.note_changed(key, writer);
            }
        });
    }

    /// The client that asked for something under this ticket, if it tracks since before that.
    fn writer(&self, ticket: Ticket, sessions: &mut impl Sessions) -> Option<u64> {
        let (slot, sequence) = ((ticket >> 32) as u32, ticket as u32);
        let (session, _) = sessions.reach(slot)?;
        let tracker = session.tracker()?;
        tracker.is_since(sequence).then_some(session.id)
    }

    /// Any key may have changed.
    fn tell_all(&mut self, sessions: &mut impl Sessions) {
        self.keys.clear();
        self.ages.clear();
        (self.bytes, self.items) = (0, 0);
        self.changed.clear();
        self.dropped.clear();
        for (id, slot) in self.clients.clone() {
            let Some((session, _)) = sessions.reach(slot).filter(|(session, _)| session.id == id) else {
                continue;
            };
            // Their keys are told again one by one, and forgotten here: what they show may be older.
            if session.mark_all() {
                self.unsettled.insert(id);
            }
            push::send(slot, &[], sessions);
        }
    }

    /// Tells a client of a key that it may have; true if that is to be remembered still.
    fn tell_one(&mut self, id: u64, key: &[u8], writer: Option<u64>, sessions: &mut impl Sessions) -> bool {
        let Some(slot) = self.clients.get(&id).copied() else {
            return false;
        };
        let Some((session, _)) = sessions.reach(slot).filter(|(session, _)| session.id == id) else {
            return false;
        };
        let Some(tracker) = session
            .tracker()
            .filter(|tracker| tracker.mode != Mode::Broadcast)
        else {
            return false;
        };
        if writer == Some(id) && tracker.no_loop {
            // It knows what it has written, and is to be told when another client writes behind it.
            return true;
        }
        let mark = session.mark(key);
        if mark != Mark::Answered {
            self.unsettled.insert(id);
        }
        if mark != Mark::Again {
            push::send(slot, &[key], sessions);
        }
        mark != Mark::Answered
    }

    fn fits_prefix(&self, key: &[u8]) -> bool {
        let mut lengths = self.lengths.keys().take_while(|length| **length <= key.len());
        lengths.any(|length| self.prefixes.contains_key(&key[..*length]))
    }

    fn note_changed(&mut self, key: &[u8], writer: Option<u64>) {
        match self.changed.get_mut(key) {
            Some(known) if known.only_by != writer => known.only_by = None,
            Some(_) => {}
            None => {
                let changed = Changed { only_by: writer };
                self.changed.insert(Bytes::copy_from_slice(key), changed);
            }
        }
    }

    /// Ends a turn: tells clients in broadcast mode, who has a key that had no room, and again
    /// those whose reads have been answered meanwhile.
    fn settle(&mut self, sessions: &mut impl Sessions) {
        for _ in 0..DROPPED_PER_TURN {
            if !self.is_overfull() {
                break;
            }
            self.drop_oldest();
        }
        for (key, clients) in std::mem::take(&mut self.dropped) {
            for id in clients {
                self.tell_one(id, &key, None, sessions);
            }
        }
        #[cfg(feature = "bugs")]
        for key in std::mem::take(&mut self.early) {
            for id in self.forget(&key) {
                self.tell_one(id, &key, None, sessions);
            }
            self.note_changed(&key, None);
        }
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() {
            self.broadcast(&changed, sessions);
        }
        for id in std::mem::take(&mut self.unsettled) {
            self.tell_again(id, sessions);
        }
    }

    /// A planted bug: tells of a write in this turn, whenever it is applied.
    #[cfg(feature = "bugs")]
    pub(crate) fn tell_early(&mut self, ticket: Ticket, command: &repligo_core::command::Command<'_>) {
        if self.is_used() && command.is_write() {
            self.told_early.insert(ticket);
            command.for_each_key(|key| self.early.push(Bytes::copy_from_slice(key)));
        }
    }

    fn broadcast(&mut self, changed: &BTreeMap<Bytes, Changed>, sessions: &mut impl Sessions) {
        for (prefix, clients) in &self.prefixes {
            let from = changed
                .range::<[u8], _>((std::ops::Bound::Included(&prefix[..]), std::ops::Bound::Unbounded));
            let fitting: Vec<_> = from.take_while(|(key, _)| key.starts_with(prefix)).collect();
            for id in clients.iter().filter(|_| !fitting.is_empty()) {
                let Some(slot) = self.clients.get(id).copied() else {
                    continue;
                };
                let Some((session, _)) = sessions.reach(slot).filter(|(session, _)| session.id == *id) else {
                    continue;
                };
                let is_silent = session.tracker().is_some_and(|tracker| tracker.no_loop);
                let mut keys: Vec<&[u8]> = Vec::with_capacity(fitting.len());
                for (key, changed) in &fitting {
                    if is_silent && changed.only_by == Some(*id) {
                        continue;
                    }
                    let mark = session.mark(key);
                    if mark != Mark::Answered {
                        self.unsettled.insert(*id);
                    }
                    if mark != Mark::Again {
                        keys.push(key);
                    }
                }
                if !keys.is_empty() {
                    push::send(slot, &keys, sessions);
                }
            }
        }
    }

    /// Tells a client of changes that came before reads that are answered now, and remembers it for those that are not.
    fn tell_again(&mut self, id: u64, sessions: &mut impl Sessions) {
        let Some(slot) = self.clients.get(&id).copied() else {
            return;
        };
        let Some((session, _)) = sessions.reach(slot).filter(|(session, _)| session.id == id) else {
            return;
        };
        let again = session.take_settled();
        if again.is_unsettled {
            self.unsettled.insert(id);
        }
        if again.everything {
            push::send(slot, &[], sessions);
        } else if !again.keys.is_empty() {
            let keys: Vec<&[u8]> = again.keys.iter().map(|key| &key[..]).collect();
            push::send(slot, &keys, sessions);
        }
    }

    fn add_prefix(&mut self, prefix: &Bytes, id: u64) {
        let clients = self.prefixes.entry(prefix.clone()).or_default();
        if clients.is_empty() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.prefix_bytes += prefix.len() + KEY_OVERHEAD_BYTES;
        }
        clients.insert(id);
    }

    fn remove_prefix(&mut self, prefix: &Bytes, id: u64) {
        let Some(clients) = self.prefixes.get_mut(prefix) else {
            return;
        };
        clients.remove(&id);
        if !clients.is_empty() {
            return;
        }
        self.prefixes.remove(prefix);
        self.prefix_bytes -= prefix.len() + KEY_OVERHEAD_BYTES;
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }
}

impl Session {
    /// What it tracks, if it does.
    pub fn tracker(&self) -> Option<&Tracker> {
        self.tracker.as_deref()
    }

    /// Tracks so from now on; it keeps the prefixes that it has.
    fn track(&mut self, all: &mut Tracking, tracker: Tracker) {
        let mut tracker = Box::new(tracker);
        match self.tracker.take() {
            Some(known) => tracker.follow(*known),
            None => tracker.begin(self.replies.next_sequence()),
        }
        if self.runs_item {
            // Nothing is asked behind a block until it is answered.
            tracker.begin_inside(self.replies.next_sequence().wrapping_sub(1));
            all.unsettled.insert(self.id);
        }
        for prefix in &tracker.prefixes {
            all.add_prefix(prefix, self.id);
        }
        all.clients.insert(self.id, self.slot);
        self.tracker = Some(tracker);
        self.update_free();
    }

    /// Tracks nothing any more. Whoever ends a session owes this to the host's [`Tracking`], by [`Session::leave`].
    pub(crate) fn untrack(&mut self, all: &mut Tracking) {
        let Some(tracker) = self.tracker.take() else {
            return;
        };
        for prefix in &tracker.prefixes {
            all.remove_prefix(prefix, self.id);
        }
        all.clients.remove(&self.id);
        if all.clients.is_empty() {
            let keys_max = all.keys_max;
            *all = Tracking::default();
            all.keys_max = keys_max;
        }
        self.update_free();
    }
}
