//! The keyspace: sixteen databases, shard time, and the meaning of every data command.
//!
//! It is the deterministic state machine under the log: [`Keyspace::apply`] and
//! [`Keyspace::transaction`] change it, [`Keyspace::set_time`] moves its time, [`Keyspace::read`] only
//! looks. It knows no log, no term, no client and no clock; times come from entries and readers.
//!
//! Invariants:
//! - Shard time never goes back. A key with `deadline <= shard time` is absent for every command. Each
//!   `set_time` removes a bounded number of such entries in the order of deadline and key, so all replicas
//!   hold the same ones; a write whose deadline has passed removes its key instead.
//! - Each write of a key gets the next number of one counter as the key's version; the counter is part
//!   of the replicated state. Equal version means: not written in between, not even with an equal value.
//! - Each database's digest is the sum of the hashes of its entries, kept up with each change.
//! - A negative row (an origin key that is known to have no row) is an entry that no plain command sees.

mod bits;
mod calls;
mod clock;
mod collections;
mod contexts;
mod copy;
mod database;
pub(crate) mod digest;
mod dump;
mod elements;
mod evict;
mod extended;
mod fields;
mod geo;
mod handlers;
mod hash;
mod hyperloglog;
mod keys;
mod kind;
mod known;
mod lag;
mod list;
mod long_strings;
mod multiple;
mod natural;
mod observer;
mod random;
mod removed;
mod scan;
mod script;
mod seed;
mod set;
mod slices;
mod snapshot;
mod sort;
mod sorted_set;
mod stream;
mod stretch;
mod strings;
mod summary;
mod swap;
mod typed;
mod waiting;
mod walk;
mod write;

use std::cell::Cell;
use std::collections::VecDeque;

use crate::command::Command;
use crate::eviction::Tracking;
use crate::limits::DATABASES;
use crate::op::{Item, Transaction, Watched};
use crate::table::{EntryRef, HashSeed, timeline::Timeline};
use repligo_proto::reply::ReplyWriter;

pub use clock::{ReadClock, ReadOutcome};
pub(crate) use copy::{copied_elsewhere, moved_elsewhere};
use database::Database;
pub use evict::{Chooser, KeyspaceMemory, Wish};
pub use known::Known;
pub use lag::{LAG_BOUNDS_MS, LagHistogram};
pub(crate) use observer::Naming;
pub use observer::{Event, EventClasses, Group};
pub use script::ScriptRights;
pub(crate) use script::says_no_writes;
pub use slices::{Task, steps_of};
pub use snapshot::{Outline, RestoreError, outline};
pub use summary::{DatabaseSummary, KeyspaceCounters};
pub(crate) use swap::exchanged;
pub use waiting::Supply;

/// In a version: the key is absent. Versions of writes never come that far.
pub const ABSENT: u64 = 1 << 63;
/// In a version: fields of the hash have expired that are not removed yet.
const PARTLY_EXPIRED: u64 = 1 << 62;

/// Sixteen databases and shard time.
#[derive(Debug)]
pub struct Keyspace {
    /// Made at the first write, since most of them are never used.
    databases: [Option<Box<Database>>; DATABASES],
    /// What keys are hashed with. Until the log has said so it is this replica's own, and nothing is hashed.
    hash_seed: HashSeed,
    /// The log, or a snapshot of what it held, has said what the hash seed is.
    is_seeded: bool,
    /// What this node remembers of accesses.
    tracking: Tracking,
    time_ms: u64,
    /// Planted by the simulator.
    #[cfg(feature = "bugs")]
    cuts_lifetimes: bool,
    /// As [`ReadClock::leader_ms`], for the reads of an entry. Not replicated: it decides nothing but replies.
    present_ms: u64,
    /// Version of the latest write of any key.
    version: u64,
    /// Versions at the ends of seconds of this node's clock, and the last of these. Not replicated.
    written: Timeline,
    second: u32,
    /// Not later than any deadline in any table; `u64::MAX` when there is none. It may be earlier: a
    /// key that is deleted does not move it.
    earliest_deadline_ms: u64,
    hits: Cell<u64>,
    misses: Cell<u64>,
    expired: u64,
    expired_fields: u64,
    reclaim_lag: LagHistogram,
    /// Advances with each RANDOMKEY, so that one does not follow from another. Not replicated: it
    /// decides nothing but replies. Nothing of the hash seed is in it: its draws are seen.
    draws: Cell<u64>,
    /// Steps that commands took beside what their arguments and replies tell, since they were asked for.
    work_steps: usize,
    /// Some database has memory to give back, or there are buffers.
    is_releasing: bool,
    /// Buffers that were never in a database.
    buffers: crate::table::Leaving,
    scratch: Vec<u8>,
    snapshot: snapshot::Progress,
    /// Which database was in which place when the walk of a snapshot began.
    walked_numbers: [u8; DATABASES],
    /// Set while somebody wants to be told of changes.
    observer: Option<Box<observer::Observer>>,
    scripts: script::ScriptCache,
    libraries: script::Libraries,
    machines: script::Machines,
    streams: VecDeque<snapshot::Stream>,
    /// Chunks about what had been removed when the walk began.
    removed_chunks: VecDeque<Vec<u8>>,
    /// The header of the snapshot that is being restored.
    restoring: Option<snapshot::Header>,
    /// The large collection of it that is not whole.
    rebuilding: Option<snapshot::Rebuilding>,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self::new(HashSeed::from_number(0))
    }
}

impl Keyspace {
    /// An empty keyspace at time 0. Keys are hashed with `hash_seed` unless [`Keyspace::seed`] or a snapshot
    /// gives another one first; it must be equal on all replicas because scan cursors depend on it.
    pub fn new(hash_seed: HashSeed) -> Self {
        Self {
            databases: [const { None }; DATABASES],
            hash_seed,
            is_seeded: false,
            tracking: Tracking::Off,
            time_ms: 0,
            #[cfg(feature = "bugs")]
            cuts_lifetimes: false,
            present_ms: 0,
            version: 0,
            written: Timeline::default(),
            second: 0,
            earliest_deadline_ms: u64::MAX,
            hits: Cell::new(0),
            misses: Cell::new(0),
            expired: 0,
            expired_fields: 0,
            reclaim_lag: LagHistogram::default(),
            draws: Cell::new(0),
            work_steps: 0,
            is_releasing: false,
            buffers: crate::table::Leaving::default(),
            scratch: Vec::new(),
            snapshot: snapshot::Progress::default(),
            walked_numbers: [0; DATABASES],
            observer: None,
            streams: VecDeque::new(),
            removed_chunks: VecDeque::new(),
            scripts: script::ScriptCache::default(),
            libraries: script::Libraries::default(),
            machines: script::Machines::default(),
            restoring: None,
            rebuilding: None,
        }
    }

    /// Shard time: milliseconds since the epoch, as of the last applied entry.
    #[inline]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// A time after shard time and at or before the earliest deadline of all keys that have not expired,
    /// or `None` without any. No read before it can need [`ReadOutcome::NeedsTime`].
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.has_expired_keys() {
            let databases = self.databases.iter().flatten();
            return databases
                .filter_map(|database| database.next_deadline_after(self.time_ms))
                .min();
        }
        (self.earliest_deadline_ms != u64::MAX).then_some(self.earliest_deadline_ms)
    }

    /// Version of a key for WATCH: of its latest write, or, with [`ABSENT`], of what was removed before it was absent.
    pub fn version_of(&self, db: u8, key: &[u8]) -> u64 {
        match self.find(db, key) {
            // Some of its fields are gone and still here: it changes with each one, and when they are removed.
            Some(entry) if self.has_passed(entry.deadline_ms) => {
                let hash = self
                    .database(db)
                    .and_then(|database| database.collections().volatile(&entry));
                let gone = hash.map_or(0, |hash| hash.due_count(self.time_ms));
                (self.seen_version(db, &entry) ^ (gone << 40 & (PARTLY_EXPIRED - 1))) | PARTLY_EXPIRED
            }
            Some(entry) => self.seen_version(db, &entry),
            None => {
                ABSENT
                    | self
                        .database(db)
                        .map_or(0, |database| database.removed_version(key))
            }
        }
    }

    /// Version of the latest write of any key.
    pub fn latest_version(&self) -> u64 {
        self.version
    }

    /// Sum over all entries of a 128-bit hash of (database, key, kind, value, deadline, version). Equal
    /// on replicas that applied the same log, whatever the order of their tables; costs nothing to ask.
    pub fn digest(&self) -> u128 {
        let digests = self.databases.iter().flatten().map(|database| database.digest());
        let scripts = self.scripts.digest().wrapping_add(self.libraries.digest());
        digests.fold(scripts.wrapping_add(self.exchanges_digest()), u128::wrapping_add)
    }

    /// Starts loading the part of the index that a lookup of the key will read, and returns the key's hash.
    /// Meant for a batch of requests: prefetch all keys, prefetch all entries, execute all.
    #[inline]
    pub fn prefetch_key(&self, db: u8, key: &[u8]) -> Option<u64> {
        let table = self.database(db)?.table();
        let hash = table.hash(key);
        table.prefetch(hash);
        Some(hash)
    }

    /// Starts loading the entry that a lookup of this hash will read; waits for what
    /// [`Keyspace::prefetch_key`] asked for.
    #[inline]
    pub fn prefetch_entry(&self, db: u8, hash: u64) {
        if let Some(database) = self.database(db) {
            database.table().prefetch_entry(hash);
        }
    }

    /// Answers a command that [`Command::is_write`] says is none. With another outcome than
    /// [`ReadOutcome::Done`] nothing was appended.
    #[inline]
    pub fn read(&self, command: &Command<'_>, clock: ReadClock, reply: &mut ReplyWriter<'_>) -> ReadOutcome {
        if self.needs_time(command, clock) {
            return ReadOutcome::NeedsTime;
        }
        match *command {
            Command::Get { db, key } => return self.get_at_once(db, key, reply),
            Command::MGet { db, keys } => return self.get_many_at_once(db, keys, reply),
            Command::Keys { .. } | Command::Scan { .. } => return self.walk_at_once(command, reply),
            Command::Call(ref call) => return self.read_call_at_once(call, clock, reply),
            _ => self.answer(
                command,
                clock.now_ms.max(clock.leader_ms).max(self.time_ms),
                reply,
            ),
        }
        ReadOutcome::Done
    }

    /// True if [`Keyspace::read`] would answer [`ReadOutcome::NeedsTime`].
    #[inline]
    pub fn needs_time(&self, command: &Command<'_>, clock: ReadClock) -> bool {
        clock.now_ms >= self.earliest_deadline_ms && self.meets_deadline(command, clock.now_ms)
    }

    /// Applies a command of an entry, a read as well as a write, and writes its reply.
    #[inline]
    pub fn apply(&mut self, command: &Command<'_>, reply: &mut ReplyWriter<'_>) {
        match *command {
            Command::Set {
                db,
                key,
                value,
                expiry,
                condition,
                reply: form,
            } => {
                self.set(
                    db,
                    key,
                    strings::Set {
                        value,
                        expiry,
                        condition,
                        form,
                    },
                    reply,
                );
            }
            Command::GetDel { db, key } => self.get_and_delete(db, key, reply),
            Command::GetEx { db, key, expiry } => self.get_and_expire(db, key, expiry, reply),
            Command::MSet { db, pairs } => self.set_many(db, pairs, reply),
            Command::MSetNx { db, pairs } => self.set_many_if_absent(db, pairs, reply),
            Command::IncrBy { db, key, delta } => self.increment(db, key, delta, reply),
            Command::IncrByFloat { db, key, increment } => self.increment_float(db, key, increment, reply),
            Command::Append { db, key, value } => self.append(db, key, value, reply),
            Command::SetRange {
                db,
                key,
                offset,
                value,
            } => {
                self.set_range(db, key, strings::Range { offset, value }, reply);
            }
            Command::Del { db, keys } => self.delete(db, keys, reply),
            Command::Expire {
                db,
                key,
                deadline,
                condition,
            } => {
                self.expire(db, key, (deadline, condition), reply);
            }
            // In a block, where it cannot be: outside of one it never gets here.
            Command::Invalidate { .. } => reply.error(crate::origin::words::INVALIDATE_ALONE),
            Command::Rename {
                db,
                from,
                to,
                only_if_absent,
            } => {
                self.rename(
                    db,
                    keys::Rename {
                        from,
                        to,
                        only_if_absent,
                    },
                    reply,
                );
            }
            Command::FlushDb { db } => {
                self.clear_database(db);
                reply.ok();
            }
            Command::FlushAll => {
                (0..DATABASES as u8).for_each(|db| self.clear_database(db));
                reply.ok();
            }
            Command::Call(ref call) => self.apply_call(call, reply),
            // A read between writes; where nobody waits for its reply there is nothing to do.
            _ if reply.is_discard() => {}
            _ => self.answer(command, self.present_ms.max(self.time_ms), reply),
        }
    }

    /// Applies a MULTI … EXEC block: nothing and a null when a watched key has changed, else all items
    /// in order and an array of their replies. `locals` writes the reply of the item with the given
    /// position, which the session answers itself, or nothing when `reply` discards.
    pub fn transaction(
        &mut self,
        transaction: &Transaction<'_>,
        reply: &mut ReplyWriter<'_>,
        locals: &mut dyn FnMut(usize, &mut ReplyWriter<'_>),
    ) {
        if self.has_changed(transaction) {
            return reply.null_array();
        }
        reply.array(transaction.len());
        for (index, item) in transaction.items().enumerate() {
            match item {
                Item::Command(command) => {
                    self.name_inner(&command);
                    self.apply(&command, reply);
                }
                Item::Local => locals(index, reply),
            }
        }
    }

    /// True if a key that the block watches was written since.
    fn has_changed(&self, transaction: &Transaction<'_>) -> bool {
        let changed = |watched: Watched<'_>| match (watched.version, self.version_of(watched.db, watched.key))
        {
            // Logs of earlier builds know of an absent key only that it was.
            (0, version) => version & ABSENT == 0,
            (watched, version) => version != watched,
        };
        transaction.watched().any(changed)
    }

    /// The reply of a read at `now_ms`, which is not before shard time.
    #[inline]
    fn answer(&self, command: &Command<'_>, now_ms: u64, reply: &mut ReplyWriter<'_>) {
        match *command {
            Command::Get { db, key } => self.get(db, key, reply),
            _ => self.answer_other(command, now_ms, reply),
        }
    }

    fn answer_other(&self, command: &Command<'_>, now_ms: u64, reply: &mut ReplyWriter<'_>) {
        match *command {
            Command::MGet { db, keys } => self.get_many(db, keys, reply),
            Command::GetEx { db, key, expiry } => self.get_unchanged(db, key, expiry, reply),
            Command::StrLen { db, key } => self.string_length(db, key, reply),
            Command::GetRange { db, key, start, end } => self.get_range(db, key, (start, end), reply),
            Command::Exists { db, keys } => self.count_existing(db, keys, reply),
            Command::Touch { db, keys } => self.touch(db, keys, reply),
            Command::Ttl { db, key, form } => self.time_to_live(db, key, (form, now_ms), reply),
            Command::Type { db, key } => self.type_name(db, key, reply),
            Command::Keys { .. } | Command::Scan { .. } => {
                self.walk(command, usize::MAX, reply);
            }
            Command::RandomKey { db } => self.random_key(db, reply),
            Command::Object { db, key, field } => self.object(db, key, field, reply),
            Command::DbSize { db } => {
                let count = self
                    .database(db)
                    .map_or(0, |database| database.live_len(self.time_ms));
                reply.integer(count as i64);
            }
            Command::Watch { db, keys } => {
                keys.iter()
                    .for_each(|key| reply.raw(&self.version_of(db, key).to_le_bytes()));
            }
            _ => unreachable!("{} is a write, and writes go through the log", command.name()),
        }
    }

    #[inline]
    fn database(&self, db: u8) -> Option<&Database> {
        self.databases[usize::from(db)].as_deref()
    }

    /// The entry of a key, unless it is absent.
    #[inline]
    fn find(&self, db: u8, key: &[u8]) -> Option<EntryRef<'_>> {
        let table = self.database(db)?.table();
        table
            .get(table.hash(key), key)
            .filter(|entry| self.is_key(db, entry))
    }

    /// True for an entry that commands see: neither a negative row nor expired.
    #[inline]
    fn is_key(&self, db: u8, entry: &EntryRef<'_>) -> bool {
        entry.kind != kind::NEGATIVE && self.is_alive(db, entry)
    }

    /// As `find`, counted for INFO and as an access to the key.
    #[inline]
    fn find_counted(&self, db: u8, key: &[u8]) -> Option<EntryRef<'_>> {
        let entry = self.database(db).and_then(|database| {
            let table = database.table();
            table
                .get_touched(table.hash(key), key)
                .filter(|entry| self.is_key(db, entry))
        });
        self.count((db, key), entry)
    }

    /// As `find`, counted for INFO, but no access: the command asks about the key, not for its value.
    fn find_aside(&self, db: u8, key: &[u8]) -> Option<EntryRef<'_>> {
        self.count((db, key), self.find(db, key))
    }

    #[inline]
    fn count<'a>(&self, place: (u8, &[u8]), entry: Option<EntryRef<'a>>) -> Option<EntryRef<'a>> {
        let counter = if entry.is_some() { &self.hits } else { &self.misses };
        counter.set(counter.get() + 1);
        if entry.is_none() && self.is_observed() {
            self.note_miss(place);
        }
        entry
    }
}

#[cfg(test)]
mod tests;
