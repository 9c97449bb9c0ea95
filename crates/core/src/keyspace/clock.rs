//! How reads and time meet: shard time advances with entries, readers bring their own clock.

use crate::command::Command;

use super::{Keyspace, kind};

/// The time of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadClock {
    /// Milliseconds since the epoch. A follower, and a read that rides in an entry, give shard time:
    /// then no read ever needs time.
    pub now_ms: u64,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The reply was written.
    Done,
    /// The read touches a key whose deadline lies after shard time and at or before the reader's clock.
    /// Whether the key is gone is decided by the log: have a Time op applied, then read again.
    NeedsTime,
}

impl Keyspace {
    /// Moves shard time to `time_ms`, unless it is there already or past it, and removes every key
    /// whose deadline has come.
    #[inline]
    pub fn set_time(&mut self, time_ms: u64) {
        if time_ms > self.time_ms {
            self.time_ms = time_ms;
            if time_ms >= self.earliest_deadline_ms {
                self.remove_expired();
            }
        }
    }

    /// True when the command touches a key with a deadline at or before `now_ms`. Such a deadline lies
    /// after shard time, because expired keys are removed at once.
    #[cold]
    pub(super) fn meets_deadline(&self, command: &Command<'_>, now_ms: u64) -> bool {
        let Some(database) = command.db().and_then(|db| self.database(db)) else {
            return false;
        };
        let table = database.table();
        match command {
            Command::Keys { .. }
            | Command::Scan { .. }
            | Command::RandomKey { .. }
            | Command::DbSize { .. } => table.next_deadline().is_some_and(|deadline| deadline <= now_ms),
            _ => {
                let mut met = false;
                command.for_each_key(|key| {
                    let deadline = table
                        .get(table.hash(key), key)
                        .and_then(|entry| match entry.kind {
                            kind::NEGATIVE => None,
                            _ => entry.deadline_ms,
                        });
                    met |= deadline.is_some_and(|deadline| deadline <= now_ms);
                });
                met
            }
        }
    }
}
