//! How reads and time meet: shard time advances with entries, readers bring their own clock.

use crate::command::Command;

use super::database::{self, Due};
use super::observer::Naming;
use super::{Keyspace, LagHistogram, kind};
use crate::limits::RECLAIMED_PER_ENTRY;
use crate::table::EntryRef;

/// The time of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadClock {
    /// Milliseconds since the epoch. A follower, and a read that rides in an entry, give shard time:
    /// then no read ever needs time.
    pub now_ms: u64,
    /// The leader's estimate of now, milliseconds since the epoch, as late as it may be: what is left of a time
    /// to live is what is left by it, or by shard time where that is ahead.
    pub leader_ms: u64,
}

impl ReadClock {
    /// The clock of the leader itself, whose estimate is up to a millisecond behind: wall time reaches it in whole
    /// milliseconds.
    #[inline]
    pub fn at(now_ms: u64) -> Self {
        Self {
            now_ms,
            leader_ms: now_ms + 1,
        }
    }
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The reply was written.
    Done,
    /// The read may touch a key whose deadline lies after shard time and at or before the reader's clock.
    /// Whether the key is gone is decided by the log: have a Time op applied, then read again.
    NeedsTime,
    /// The reply is long: execute it in slices, see [`Keyspace::begin`].
    Long,
    /// The command waits until there is something to read, and there is nothing.
    Waits,
}

impl Keyspace {
    /// Moves shard time to `time_ms`, unless it is there already or past it. Every key whose deadline has
    /// come is absent from now on; up to [`RECLAIMED_PER_ENTRY`] of them are removed, the earliest
    /// first, and the others by the calls that follow. Long values of fields count as several.
    #[inline]
    pub fn set_time(&mut self, time_ms: u64) {
        self.set_time_seen_at(time_ms, time_ms);
    }

    /// As [`Keyspace::set_time`], with the present time of whoever measures how late keys are removed;
    /// returns how much work it was, in keys.
    #[inline]
    pub fn set_time_seen_at(&mut self, time_ms: u64, wall_ms: u64) -> usize {
        self.time_ms = self.time_ms.max(time_ms);
        if self.time_ms >= self.earliest_deadline_ms {
            self.remove_expired(wall_ms)
        } else {
            0
        }
    }

    /// Tells the reads of the entry that is applied next what time it is, see [`ReadClock::leader_ms`].
    #[inline]
    pub fn set_present(&mut self, leader_ms: u64) {
        self.present_ms = leader_ms;
    }

    /// From now on lifetimes are a tenth of what was asked for.
    #[cfg(feature = "bugs")]
    pub fn cut_lifetimes(&mut self) {
        self.cuts_lifetimes = true;
    }

    /// A time to live as it was asked for.
    #[inline(always)]
    pub(super) fn lifetime(&self, time_ms: i64) -> i64 {
        #[cfg(feature = "bugs")]
        if self.cuts_lifetimes {
            return time_ms / 10;
        }
        time_ms
    }

    /// Begins the statistics of how late expired keys are removed anew.
    pub fn forget_reclaim_lag(&mut self) {
        self.reclaim_lag = LagHistogram::default();
    }

    /// True while keys that have expired may still have to be removed: have an entry applied.
    #[inline]
    pub fn has_expired_keys(&self) -> bool {
        self.earliest_deadline_ms <= self.time_ms
    }

    /// True unless the deadline of the entry has come: what expired and is not yet removed is absent.
    #[inline]
    pub(super) fn is_alive(&self, db: u8, entry: &EntryRef<'_>) -> bool {
        entry
            .deadline_ms
            .is_none_or(|deadline_ms| deadline_ms > self.time_ms || self.outlives(db, entry))
    }

    /// As [`Keyspace::is_alive`], of an entry whose deadline has come, which may be that of some fields alone.
    #[cold]
    fn outlives(&self, db: u8, entry: &EntryRef<'_>) -> bool {
        let database = self.database(db);
        database.is_some_and(|database| database::is_alive(entry, database.collections(), self.time_ms))
    }

    /// The deadline of a key, by its entry.
    #[inline]
    pub(super) fn deadline_of(&self, db: u8, entry: &EntryRef<'_>) -> Option<u64> {
        match entry.kind {
            kind::HASH_VOLATILE => self.database(db)?.key_deadline_ms(entry),
            _ => entry.deadline_ms,
        }
    }

    /// Removes keys whose deadline is not after shard time, at most [`RECLAIMED_PER_ENTRY`], and moves
    /// the deadline bound.
    #[cold]
    fn remove_expired(&mut self, wall_ms: u64) -> usize {
        self.earliest_deadline_ms = u64::MAX;
        let mut rest = RECLAIMED_PER_ENTRY;
        if self.is_observed() {
            self.name(None, Naming::default);
        }
        let databases = self.databases.iter_mut().zip(0_u8..);
        for (database, number) in
            databases.filter_map(|(database, number)| Some((database.as_mut()?, number)))
        {
            let mut record = |deadline_ms: u64| self.reclaim_lag.record(wall_ms.saturating_sub(deadline_ms));
            rest -= database.remove_due((self.time_ms, rest), &mut self.version, &mut |due| match due {
                Due::Entry(entry) => {
                    self.expired += u64::from(entry.kind != kind::NEGATIVE);
                    if let Some(observer) = &mut self.observer
                        && entry.kind != kind::NEGATIVE
                    {
                        observer.expired(number, entry.key);
                    }
                    record(entry.deadline_ms.unwrap_or(wall_ms));
                }
                Due::Field(deadline_ms) => {
                    self.expired_fields += 1;
                    record(deadline_ms);
                }
                Due::Hash(key, is_gone) => {
                    if let Some(observer) = &mut self.observer {
                        observer.fields_expired(number, key, is_gone);
                    }
                }
            });
            self.is_releasing |= database.is_releasing();
            let earliest = database.table().next_deadline().unwrap_or(u64::MAX);
            self.earliest_deadline_ms = self.earliest_deadline_ms.min(earliest);
        }
        RECLAIMED_PER_ENTRY - rest
    }

    /// True when the command touches a key whose deadline lies after shard time and at or before
    /// `now_ms`. One that looks at many keys is taken to touch every key of its database: to find out would
    /// take as long as the command.
    #[cold]
    pub(super) fn meets_deadline(&self, command: &Command<'_>, now_ms: u64) -> bool {
        let Some(database) = command.db().and_then(|db| self.database(db)) else {
            return false;
        };
        let table = database.table();
        let comes_due = || {
            let next = database.next_deadline_after(self.time_ms);
            next.is_some_and(|deadline_ms| deadline_ms <= now_ms)
        };
        match command {
            Command::Keys { .. }
            | Command::Scan { .. }
            | Command::RandomKey { .. }
            | Command::DbSize { .. } => comes_due(),
            Command::Call(call) if call.looks_further() => comes_due(),
            _ if self.is_wide(command) => comes_due(),
            _ => {
                let mut met = false;
                command.for_each_key(|key| {
                    let entry = table.get(table.hash(key), key);
                    let deadline = entry.filter(|entry| entry.kind != kind::NEGATIVE);
                    let deadline = deadline.and_then(|entry| database.next_deadline_of(&entry, self.time_ms));
                    met |= deadline.is_some_and(|deadline| deadline <= now_ms);
                });
                met
            }
        }
    }
}
