//! Eviction: which keys are to go when memory is short, and their removal.
//!
//! Choosing is the leader's and looks at what this node alone knows ([`crate::table::Table::track`]);
//! removing is apply's, by key and version, and the same on every replica.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::database::Database;
use super::{Keyspace, kind};
use crate::eviction::{EvictionPolicy, Tracking};
use crate::limits::DATABASES;
use crate::op::{Victim, VictimsBuffer};
use crate::table::{Candidate, EntryRef};

/// Candidates that are looked at for each key that is to go.
const SAMPLES_PER_VICTIM: usize = 8;
/// Candidates that are looked at even for one.
const SAMPLES_MIN: usize = 32;
/// Places that are looked at before it is said that nothing may go.
const LOOKS_MAX: usize = 4096;
/// Entries that one call looks at where those that may go are not easily found.
const WALK_ENTRIES_MAX: usize = 4096;

/// Memory of all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceMemory {
    /// Bytes allocated.
    pub allocated: u64,
    /// Bytes of these that are free for entries of the sizes that were there before.
    pub free: u64,
}

/// What is to be evicted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Which keys may go.
    pub policy: EvictionPolicy,
    /// How much is to be free afterwards, in bytes.
    pub bytes: u64,
    /// Most keys.
    pub count_max: usize,
    /// There may be copies of origin rows.
    pub has_rows: bool,
    /// A row with a later version stays: whoever waits for it may not have seen it yet.
    pub row_version_max: u64,
}

/// Where the choice goes on next time, and its chance. Not replicated.
#[derive(Clone, Debug)]
pub struct Chooser {
    draws: u64,
    /// Database and cursor of the walk.
    hand: (usize, u64),
}

/// A candidate with its database.
#[derive(Clone, Copy, Debug)]
struct Choice<'a> {
    db: u8,
    candidate: Candidate<'a>,
}

impl<'a> Choice<'a> {
    fn new(db: u8, candidate: Candidate<'a>, database: &Database) -> Self {
        let bytes = candidate.bytes + database.collection_bytes(&candidate.entry);
        let entry = EntryRef {
            deadline_ms: database.key_deadline_ms(&candidate.entry),
            ..candidate.entry
        };
        let candidate = Candidate {
            bytes,
            entry,
            ..candidate
        };
        Self { db, candidate }
    }
}

impl Chooser {
    /// A chooser whose chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            draws: seed,
            hand: (0, 0),
        }
    }

    fn draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.draws
    }

    /// Appends what is to go to `out`, and returns about how many bytes that makes free. `is_spared` says
    /// which keys must stay whatever the policy. The work is bounded by `count_max`.
    pub fn choose(
        &mut self,
        keyspace: &Keyspace,
        wish: Wish,
        is_spared: &dyn Fn(u8, &[u8]) -> bool,
        out: &mut VictimsBuffer,
    ) -> u64 {
        let mut chosen = Vec::new();
        let accepts = |choice: &Choice<'_>| {
            let entry = &choice.candidate.entry;
            let is_row = matches!(entry.kind, kind::ROW | kind::NEGATIVE);
            if is_row && entry.version > wish.row_version_max {
                return false;
            }
            let fits = is_row
                || wish.policy.takes_all_keys()
                || (wish.policy.takes_volatile_keys() && entry.deadline_ms.is_some());
            fits && !is_spared(choice.db, entry.key)
        };
        if wish.policy == EvictionPolicy::VolatileTtl {
            first_to_expire(keyspace, wish, &accepts, &mut chosen);
            if chosen.is_empty() {
                // Hashes whose fields expire, but not they themselves, are first in the order.
                self.sample(keyspace, wish, &accepts, &mut chosen);
            }
        } else if wish.policy != EvictionPolicy::NoEviction {
            self.sample(keyspace, wish, &accepts, &mut chosen);
        }
        if wish.has_rows && !wish.policy.takes_all_keys() && bytes_of(&chosen) < wish.bytes {
            self.walk(keyspace, wish, &accepts, &mut chosen);
        }
        let mut bytes = 0;
        // A sample and the walk may meet the same entry; no two entries have the same version.
        let mut taken = BTreeSet::new();
        for Choice { db, candidate } in chosen {
            if bytes >= wish.bytes || taken.len() >= wish.count_max {
                break;
            }
            let (key, version) = (candidate.entry.key, candidate.entry.version);
            if taken.insert(version) {
                bytes += candidate.bytes as u64;
                out.push(Victim { db, key, version });
            }
        }
        bytes
    }

    /// The best of several samples per key that is to go.
    fn sample<'a>(
        &mut self,
        keyspace: &'a Keyspace,
        wish: Wish,
        accepts: &dyn Fn(&Choice<'a>) -> bool,
        chosen: &mut Vec<Choice<'a>>,
    ) {
        let volatile = wish.policy.takes_volatile_keys();
        let databases: Vec<(u8, &Database, usize)> = keyspace
            .with_numbers()
            .map(|(db, database)| {
                let table = database.table();
                let len = if volatile {
                    table.volatile_len()
                } else {
                    table.len()
                };
                (db, database, len)
            })
            .collect();
        let entries: usize = databases.iter().map(|(_, _, len)| len).sum();
        if entries == 0 {
            return;
        }
        let mean_bytes = (keyspace.memory().allocated / keyspace.entry_count().max(1)).max(1);
        let wanted = (wish.bytes / mean_bytes + 1).min(wish.count_max as u64) as usize;
        let count = (wanted * SAMPLES_PER_VICTIM).max(SAMPLES_MIN);
        let mut seen = 0;
        // A bucket shows ten entries on average, but may show none, or none that may go: few do where most
        // of a table was deleted.
        for look in 0..count.max(LOOKS_MAX) {
            if seen >= count || (look >= count && !chosen.is_empty()) {
                break;
            }
            let (place, draw) = (self.draw(), self.draw());
            let mut place = ((u128::from(mixed(place)) * entries as u128) >> 64) as usize;
            let at = databases.iter().find(|(_, _, len)| {
                let is_here = place < *len;
                place = place.wrapping_sub(*len);
                is_here
            });
            let Some(&(db, database, _)) = at else { break };
            let mut consider = |candidate| {
                seen += 1;
                let choice = Choice::new(db, candidate, database);
                if accepts(&choice) {
                    chosen.push(choice);
                }
            };
            if volatile {
                database.table().sample_volatile(draw, &mut consider);
            } else {
                database.table().sample(draw, &mut consider);
            }
        }
        let order = |choice: &Choice<'_>| {
            let Candidate { entry, rank, .. } = choice.candidate;
            (Reverse(rank), entry.version)
        };
        if wish.policy.tracking() == Tracking::Off {
            // At random: an order that has nothing to do with the entries' age.
            chosen.sort_by_key(|choice| mixed(choice.candidate.entry.version));
        } else {
            chosen.sort_unstable_by_key(order);
        }
    }

    /// Goes through the entries in turn: for rows, which samples would seldom meet.
    fn walk<'a>(
        &mut self,
        keyspace: &'a Keyspace,
        wish: Wish,
        accepts: &dyn Fn(&Choice<'a>) -> bool,
        chosen: &mut Vec<Choice<'a>>,
    ) {
        let mut bytes = bytes_of(chosen);
        let mut seen = 0;
        let mut visited = 0;
        while visited < DATABASES && seen < WALK_ENTRIES_MAX && bytes < wish.bytes {
            let (db, cursor) = self.hand;
            let Some(database) = keyspace.database(db as u8) else {
                self.hand = ((db + 1) % DATABASES, 0);
                visited += 1;
                continue;
            };
            let next = database.table().scan_candidates(cursor, &mut |candidate| {
                seen += 1;
                let choice = Choice::new(db as u8, candidate, database);
                if accepts(&choice) {
                    bytes += choice.candidate.bytes as u64;
                    chosen.push(choice);
                }
            });
            self.hand = if next == 0 {
                visited += 1;
                ((db + 1) % DATABASES, 0)
            } else {
                (db, next)
            };
        }
    }
}

fn bytes_of(chosen: &[Choice<'_>]) -> u64 {
    chosen.iter().map(|choice| choice.candidate.bytes as u64).sum()
}

/// Those that expire first, of every database, merged.
fn first_to_expire<'a>(
    keyspace: &'a Keyspace,
    wish: Wish,
    accepts: &dyn Fn(&Choice<'a>) -> bool,
    chosen: &mut Vec<Choice<'a>>,
) {
    for (db, database) in keyspace.with_numbers() {
        // A hash stands where the first of its fields ends, and its key may end later than those behind it.
        let mut early = BinaryHeap::new();
        let (mut bytes, mut count) = (0, 0);
        for candidate in database
            .table()
            .by_deadline()
            .take(WALK_ENTRIES_MAX.max(wish.count_max))
        {
            let at_ms = candidate.entry.deadline_ms;
            while let Some(&Reverse((deadline_ms, its_bytes))) = early.peek()
                && deadline_ms <= at_ms
            {
                early.pop();
                (bytes, count) = (bytes + its_bytes as u64, count + 1);
            }
            if bytes >= wish.bytes || count >= wish.count_max {
                break;
            }
            let choice = Choice::new(db, candidate, database);
            if accepts(&choice) {
                early.push(Reverse((
                    choice.candidate.entry.deadline_ms,
                    choice.candidate.bytes,
                )));
                chosen.push(choice);
            }
        }
    }
    chosen.sort_by_key(|choice| choice.candidate.entry.deadline_ms);
}

/// SplitMix64's output step.
fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Keyspace {
    /// Memory of all tables.
    pub fn memory(&self) -> KeyspaceMemory {
        let mut memory = KeyspaceMemory::default();
        for database in self.databases.iter().flatten() {
            memory.allocated += database.memory_bytes() as u64;
            memory.free += database.table().free_bytes() as u64;
        }
        memory.allocated += self.leaving_string_bytes() as u64;
        memory
    }

    /// Remembers accesses as a policy needs them, on this node alone.
    pub fn track(&mut self, tracking: Tracking) {
        self.tracking = tracking;
        for database in self.databases.iter_mut().flatten() {
            database.track(tracking);
        }
    }

    /// This second of the node's clock has begun: what is used from now on was used later than what was before.
    pub fn begin_second(&mut self, second: u32) {
        if second <= self.second {
            return;
        }
        self.second = second;
        let ended = second - 1;
        self.written.note(self.version, ended);
        if self.tracking == Tracking::Recency {
            for database in self.databases.iter_mut().flatten() {
                database.end_second(ended);
            }
        }
    }

    /// Seconds since the last access that this node knows of to a key with this version: since the last write
    /// where reads leave no marks. What was there when the node started counts from then.
    pub(super) fn idle_seconds(&self, db: u8, key: &[u8], version: u64) -> u32 {
        let written = self.written.second_of(version);
        let accessed = match self.tracking {
            Tracking::Recency => {
                let table = self.database(db).map(Database::table);
                written.zip(table.and_then(|table| table.accessed(table.hash(key), key)))
            }
            _ => written.map(|second| (second, second)),
        };
        // `None`: it was accessed in a second that is not over.
        accessed.map_or(0, |(written, read)| {
            self.second - written.max(read).min(self.second)
        })
    }

    /// Moves up to `count` entries so that memory that is partly free can be given back.
    pub fn compact(&mut self, count: usize) {
        let mut left = count;
        for database in self.databases.iter_mut().flatten() {
            left -= database.compact(left);
        }
    }

    /// Removes a key that still has this version; true when it was there.
    pub fn evict(&mut self, victim: Victim<'_>) -> bool {
        let is_observed = self.is_observed();
        let seen = is_observed.then(|| self.seen(victim.db, victim.key));
        let Some(database) = self.databases[usize::from(victim.db)].as_mut() else {
            return false;
        };
        let is_evicted = database.evict(victim.key, victim.version);
        self.is_releasing |= database.is_releasing();
        if let Some(seen) = seen.filter(|_| is_evicted) {
            self.note_eviction((victim.db, victim.key), seen);
        }
        is_evicted
    }

    /// The databases that exist, with their numbers.
    fn with_numbers(&self) -> impl Iterator<Item = (u8, &Database)> {
        let databases = self.databases.iter().enumerate();
        databases.filter_map(|(db, database)| Some((db as u8, database.as_deref()?)))
    }

    fn entry_count(&self) -> u64 {
        self.with_numbers()
            .map(|(_, database)| database.table().len() as u64)
            .sum()
    }
}
