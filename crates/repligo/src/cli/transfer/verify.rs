//! Compares entries with what a server holds.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};

use repligo_proto::resp::Value;

use super::content::Content;
use super::facts::{Deadline, Seen};
use super::format::Entry;
use super::rows;
use super::server::{Requests, Server};
use super::summary::{Verification, shown};
use super::target::Existing;
use super::{Outcome, Output};
use crate::cli::failure::Failure;

/// Entries of a sample.
const SAMPLE: usize = 1000;
/// Longer values are in no sample, so that it takes 64 MiB at most.
pub const SAMPLE_VALUE_BYTES: usize = 64 << 10;
/// Bytes of values that are asked for at once.
const VALUE_BYTES: usize = 4 << 20;
/// What a deadline may be off by where a server tells only the time that is left.
const ESTIMATE_MS: u64 = 1000;

/// Some of the entries that went by, each with the same chance.
#[derive(Default)]
pub struct Sample {
    chance: RandomState,
    offered: u64,
    /// With their databases.
    pub entries: Vec<(u32, Entry)>,
}

impl Sample {
    /// An entry goes by.
    pub fn offer(&mut self, db: u32, entry: &Entry) {
        if entry.content.bytes() > SAMPLE_VALUE_BYTES {
            return;
        }
        self.put(|| (db, entry.clone()));
    }

    /// A key goes by, whatever it holds.
    pub fn offer_key(&mut self, db: u32, key: &[u8]) {
        if key.len() > SAMPLE_VALUE_BYTES {
            return;
        }
        self.put(|| {
            let entry = Entry {
                key: key.to_vec(),
                content: Content::string(Vec::new()),
                deadline_ms: None,
            };
            (db, entry)
        });
    }

    fn put(&mut self, make: impl FnOnce() -> (u32, Entry)) {
        self.offered += 1;
        if self.entries.len() < SAMPLE {
            self.entries.push(make());
            return;
        }
        let place = (self.chance.hash_one(self.offered) % self.offered) as usize;
        if place < SAMPLE {
            self.entries[place] = make();
        }
    }

    /// The keys per database, each once.
    pub fn keys(&self) -> BTreeMap<u32, BTreeSet<Vec<u8>>> {
        let mut sorted: BTreeMap<u32, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (db, entry) in &self.entries {
            sorted.entry(*db).or_default().insert(entry.key.clone());
        }
        sorted
    }

    /// The entries per database.
    pub fn by_database(self) -> BTreeMap<u32, Vec<Entry>> {
        let mut sorted = BTreeMap::new();
        for (db, entry) in self.entries {
            sorted.entry(db).or_insert_with(Vec::new).push(entry);
        }
        sorted
    }
}

/// Takes entries and compares them.
pub struct Compare<'a> {
    /// Who must have them.
    pub server: &'a mut Server,
    /// Keys that nobody has written, per database.
    pub untouched: &'a BTreeMap<u32, Seen>,
    /// What was found.
    pub result: &'a mut Verification,
}

impl Compare<'_> {
    fn compare(&mut self, db: u32, entries: &[&Entry]) -> Outcome<()> {
        let command = self.server.deadline_command();
        let estimate = match self.server.has_deadlines() {
            true => None,
            false => Some(self.server.now_ms()?),
        };
        let replies = self.server.ask(Requests {
            db,
            count: entries.len(),
            width: 2,
            push: &|at, connection| {
                connection.push(&entries[at].content.kind.read(&entries[at].key));
                connection.push(&[command.as_bytes(), &entries[at].key]);
            },
        })?;
        let now_ms = self.server.now_ms()?;
        for (entry, reply) in entries.iter().zip(replies) {
            self.result.compared += 1;
            let deadline = Deadline::read(&reply.values[1], estimate);
            let is_row = reply.values[1].as_error().and_then(rows::keyspace_of).is_some();
            // The clock that we know may be a little behind the server's.
            let has_expired = entry.deadline_ms.is_some_and(|ms| ms <= now_ms + ESTIMATE_MS);
            let what = match Content::from_reply(entry.content.kind, &reply.values[0]) {
                Some(content) if content.is_absent() && has_expired => {
                    self.result.expired += 1;
                    continue;
                }
                Some(content) if content.is_absent() => {
                    self.result.missing += 1;
                    "is not there".to_string()
                }
                Some(content) if !is_equal(&content, &entry.content, is_row) => {
                    self.result.different += 1;
                    "has another value".to_string()
                }
                Some(_) if has_expired => continue,
                Some(_) => {
                    let found = deadline.and_then(Deadline::ms);
                    if is_near(found, entry.deadline_ms, estimate.map_or(0, |_| ESTIMATE_MS)) {
                        continue;
                    }
                    self.result.different += 1;
                    format!("expires at {found:?}, not at {:?}", entry.deadline_ms)
                }
                None => {
                    self.result.different += 1;
                    let error = reply.values[0].as_error();
                    format!("cannot be read: {}", error.unwrap_or("another type"))
                }
            };
            self.result
                .note(format!("database {db}: {} {what}", shown(&entry.key)));
        }
        Ok(())
    }
}

/// Whether both are the same to a client; rows are, where they mean the same.
fn is_equal(one: &Content, two: &Content, is_row: bool) -> bool {
    one.is_same(two) || (is_row && rows::are_same(one, two))
}

fn is_near(one: Option<u64>, two: Option<u64>, tolerance_ms: u64) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one.abs_diff(two) <= tolerance_ms,
        _ => one == two,
    }
}

impl Output for Compare<'_> {
    fn take(&mut self, db: u32, entries: &[Entry]) -> Outcome<()> {
        let untouched = self.untouched.get(&db);
        let ours = |entry: &&Entry| untouched.is_none_or(|keys| !keys.contains(&entry.key));
        let mut some: Vec<&Entry> = Vec::new();
        let mut bytes = 0;
        for entry in entries.iter().filter(ours) {
            some.push(entry);
            bytes += entry.bytes();
            if bytes >= VALUE_BYTES {
                self.compare(db, &std::mem::take(&mut some))?;
                bytes = 0;
            }
        }
        self.compare(db, &some)
    }
}

/// Takes entries and checks that no key is there yet, and that none is a row, which can only be overwritten.
pub struct Absent<'a> {
    /// Who must not have them.
    pub server: &'a mut Server,
}

impl Output for Absent<'_> {
    fn take(&mut self, db: u32, entries: &[Entry]) -> Outcome<()> {
        let command = self.server.deadline_command();
        let replies = self.server.ask(Requests {
            db,
            count: entries.len(),
            width: 2,
            push: &|at, connection| {
                connection.push(&[b"EXISTS".as_slice(), &entries[at].key]);
                connection.push(&[command.as_bytes(), &entries[at].key]);
            },
        })?;
        for (entry, reply) in entries.iter().zip(replies) {
            let error = reply.values[1].as_error();
            if let Some(text) = error.filter(|text| rows::keyspace_of(text).is_some()) {
                let (why, remedy) = rows::refused(entry, Existing::Fail, text);
                let key = shown(&entry.key);
                let name = self.server.name();
                let what = format!("{name}: database {db}: {key}: {why}; nothing was imported");
                return Err(Failure::new(what, remedy).into());
            }
            match reply.value() {
                Value::Integer(0) => {}
                Value::Error(text) => return Err(self.server.refused("EXISTS", text).into()),
                _ => {
                    let what = format!(
                        "{}: database {db} has the key {} already; nothing was imported",
                        self.server.name(),
                        shown(&entry.key)
                    );
                    let remedy = "choose what happens to such keys: --skip-existing or --replace";
                    return Err(Failure::new(what, remedy).into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_and_spread_over_what_went_by() {
        let mut sample = Sample::default();
        for number in 0..20_000u32 {
            let entry = Entry {
                key: number.to_be_bytes().to_vec(),
                content: Content::string(Vec::new()),
                deadline_ms: None,
            };
            sample.offer(number % 2, &entry);
        }
        let long = Entry {
            key: b"long".to_vec(),
            content: Content::string(vec![0; SAMPLE_VALUE_BYTES + 1]),
            deadline_ms: None,
        };
        sample.offer(0, &long);
        assert_eq!(sample.entries.len(), SAMPLE);
        let late = sample
            .entries
            .iter()
            .filter(|(_, entry)| entry.key >= 10_000u32.to_be_bytes().to_vec());
        let late = late.count();
        assert!((300..700).contains(&late), "{late} of the second half");
        let sorted = sample.by_database();
        assert_eq!(sorted.len(), 2);
        assert_eq!(sorted.values().map(Vec::len).sum::<usize>(), SAMPLE);
    }
}
