//! What a server says of its keys, and what a walk over them has met.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use repligo_proto::resp::Value;

use super::Outcome;
use super::server::{Requests, Server};
use super::summary::Refusals;

/// What was found besides entries.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Keys per type other than strings.
    pub other_types: BTreeMap<String, u64>,
    /// Cached rows by their keyspace: they belong to its database.
    pub rows: BTreeMap<String, u64>,
    /// Keys that were gone before their value was read.
    pub vanished: u64,
    /// Keys that were written while they were read, and were read again.
    pub changed: u64,
    /// Names that SCAN gave more than once.
    pub duplicates: u64,
    /// Walks that began anew because another process answered.
    pub rescans: u64,
    /// Keys that could not be read.
    pub refusals: Refusals,
    /// Keys of each database when the walk began.
    pub counted: BTreeMap<u32, Counted>,
    /// Keys that SCAN has named.
    pub named: BTreeMap<u32, u64>,
}

impl Found {
    /// Keys of all databases when the walk began.
    pub fn total(&self) -> u64 {
        self.counted.values().map(|counted| counted.keys).sum()
    }
}

/// What a server says of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Its keys, with those that have expired and were not removed yet.
    pub keys: u64,
    /// Those of them that have a deadline.
    pub volatile: u64,
}

/// Keys that were seen, as two hashes under random seeds: 16 bytes, and no two keys that anybody will meet are equal.
#[derive(Default)]
pub struct Seen {
    seeds: [RandomState; 2],
    keys: HashSet<u128>,
}

impl Seen {
    /// Whether it was not there yet.
    pub fn insert(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        self.keys.insert(hash)
    }

    /// Whether it was inserted.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains(&self.hash(key))
    }

    fn hash(&self, bytes: &[u8]) -> u128 {
        let [high, low] = self.seeds.each_ref().map(|seed| u128::from(seed.hash_one(bytes)));
        high << 64 | low
    }
}

/// An answer to PEXPIRETIME or PTTL, as a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// There is no such key.
    Gone,
    /// It does not expire.
    Never,
    /// It expires, in milliseconds since 1970.
    At(u64),
}

impl Deadline {
    /// From a reply; `now_ms` is the server's time where it tells the time that is left.
    pub fn read(value: &Value, now_ms: Option<u64>) -> Option<Deadline> {
        Some(match value.as_integer()? {
            -2 => Deadline::Gone,
            -1 => Deadline::Never,
            number => Deadline::At(u64::try_from(number).ok()? + now_ms.unwrap_or(0)),
        })
    }

    /// Whether both name the same time, as far as they tell.
    pub fn is_near(self, other: Deadline, tolerance_ms: u64) -> bool {
        match (self, other) {
            (Deadline::At(one), Deadline::At(two)) => one.abs_diff(two) <= tolerance_ms,
            _ => self == other,
        }
    }

    /// For an entry.
    pub fn ms(self) -> Option<u64> {
        match self {
            Deadline::At(ms) => Some(ms),
            _ => None,
        }
    }
}

/// How many keys each database has, where there are any.
///
/// # Errors
/// The server refuses INFO.
pub fn databases(server: &mut Server) -> Outcome<BTreeMap<u32, Counted>> {
    let info = server.ask_one(0, &["INFO", "keyspace"])?;
    Ok(parse_keyspace(info.as_str().unwrap_or_default()))
}

/// The same, from what INFO says.
pub fn parse_keyspace(info: &str) -> BTreeMap<u32, Counted> {
    let parse = |line: &str| {
        let (name, fields) = line.trim_end().split_once(':')?;
        let db = name.strip_prefix("db")?.parse().ok()?;
        let number = |field: &str| {
            let mut all = fields.split(',');
            let text = all.find_map(|one| one.strip_prefix(field)?.strip_prefix('='))?;
            text.parse().ok()
        };
        let keys = number("keys")?;
        let volatile = number("expires").unwrap_or(0);
        Some((db, Counted { keys, volatile }))
    };
    info.lines().filter_map(parse).collect()
}

/// Deadlines of keys, in their order; `None` for a reply that tells none.
///
/// # Errors
/// As [`Server::ask`], and where the server refuses the request.
pub fn deadlines(server: &mut Server, db: u32, keys: &[Vec<u8>]) -> Outcome<Vec<Option<Deadline>>> {
    let command = server.deadline_command();
    // A server that tells the time that is left alone.
    let estimate_ms = match server.has_deadlines() {
        true => None,
        false => Some(server.now_ms()?),
    };
    let replies = server.ask(Requests {
        db,
        count: keys.len(),
        width: 1,
        push: &|at, connection| connection.push(&[command.as_bytes(), &keys[at]]),
    })?;
    if let Some(text) = replies.iter().find_map(|reply| reply.value().as_error()) {
        return Err(server.refused(command, text).into());
    }
    let told = replies.iter();
    Ok(told
        .map(|reply| Deadline::read(reply.value(), estimate_ms))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read_from_info() {
        let info = "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb15:keys=12,expires=0\r\ndbx:keys=1\r\n";
        assert_eq!(
            parse_keyspace(info),
            BTreeMap::from([
                (0, Counted { keys: 3, volatile: 1 }),
                (
                    15,
                    Counted {
                        keys: 12,
                        volatile: 0
                    }
                )
            ])
        );
        assert_eq!(parse_keyspace(""), BTreeMap::new());
    }

    #[test]
    fn deadlines_are_points_in_time_whatever_the_server_tells() {
        let read = |number, now_ms| Deadline::read(&Value::Integer(number), now_ms);
        assert_eq!(read(-2, None), Some(Deadline::Gone));
        assert_eq!(read(-1, Some(5000)), Some(Deadline::Never));
        assert_eq!(read(1000, None), Some(Deadline::At(1000)));
        assert_eq!(read(1000, Some(5000)), Some(Deadline::At(6000)));
        assert_eq!(read(-3, None), None);
        assert_eq!(Deadline::read(&Value::Null, None), None);
        assert!(Deadline::At(10).is_near(Deadline::At(12), 2));
        assert!(!Deadline::At(10).is_near(Deadline::At(13), 2));
        assert!(!Deadline::At(10).is_near(Deadline::Never, u64::MAX));
    }

    #[test]
    fn a_key_is_seen_once() {
        let mut seen = Seen::default();
        assert!(seen.insert(b"a") && seen.insert(b"") && seen.insert(b"b\0"));
        assert!(!seen.insert(b"a") && !seen.insert(b""));
        assert!(seen.contains(b"b\0") && !seen.contains(b"b"));
    }
}
