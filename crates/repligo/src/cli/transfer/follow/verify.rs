//! Compares a sample of keys, and how many there are, with a source that is in use.
//!
//! A key is read from the source, then the target takes all that the source had by then, and is compared. A key that
//! differs is read from the source again: only if it is still what it was, something is wrong. The sample holds keys of
//! the snapshot and keys of requests; what the source has not, the target must not have either.

use super::link::Reading;
use super::{Following, Stretch, offset_of};
use crate::cli::transfer::deadlines::{PutOff, now_ms, settled};
use crate::cli::transfer::facts::{Deadline, databases, deadlines, parse_keyspace};
use crate::cli::transfer::format::Entry;
use crate::cli::transfer::server::Server;
use crate::cli::transfer::source::Source;
use crate::cli::transfer::summary::{Verification, shown};
use crate::cli::transfer::verify::{Compare, SAMPLE_VALUE_BYTES};
use crate::cli::transfer::{Input as _, Outcome, Output as _};

/// Attempts to see both sides at the same moment, of which somebody who writes takes some.
const ROUNDS: usize = 5;

impl Following<'_> {
    /// The last thing before the end.
    pub(super) fn compare(&mut self, reading: &Reading) -> Outcome<Stretch> {
        let mut sample = self.sample.keys();
        for (db, keys) in self.written.keys() {
            sample.entry(db).or_default().extend(keys);
        }
        for (db, keys) in sample {
            let keys: Vec<Vec<u8>> = keys.into_iter().collect();
            let before = self.read_source(db, keys.clone())?;
            if let Some(end) = self.catch_up(reading)? {
                return Ok(end);
            }
            let found = self.differing(db, &before)?;
            self.summary.verification.compared += before.len() as u64;
            if !found.is_empty() {
                self.judge_differing(db, found)?;
            }
            if let Some(end) = self.compare_absent(reading, db, keys)? {
                return Ok(end);
            }
        }
        Ok(self.compare_counts(reading)?.unwrap_or(Stretch::Done))
    }

    fn judge_differing(&mut self, db: u32, found: Vec<Entry>) -> Outcome<()> {
        let again = self.read_source(db, found.iter().map(|entry| entry.key.clone()).collect())?;
        for entry in found {
            let is_still = |now: &Entry| now.key == entry.key && now.content.is_same(&entry.content);
            if again
                .iter()
                .any(|now| is_still(now) && now.deadline_ms == entry.deadline_ms)
            {
                let result = &mut self.summary.verification;
                result.different += 1;
                result.note(format!(
                    "database {db}: {} is not what it is in the source",
                    shown(&entry.key)
                ));
            }
        }
        Ok(())
    }

    /// Keys that the source has not.
    fn compare_absent(
        &mut self,
        reading: &Reading,
        db: u32,
        mut keys: Vec<Vec<u8>>,
    ) -> Outcome<Option<Stretch>> {
        for _ in 0..ROUNDS {
            keys = existing(&mut self.source, (db, false), keys)?;
            if keys.is_empty() {
                return Ok(None);
            }
            if let Some(end) = self.catch_up(reading)? {
                return Ok(Some(end));
            }
            keys = existing(self.target, (db, true), keys)?;
        }
        for key in keys {
            let result = &mut self.summary.verification;
            result.different += 1;
            result.note(format!(
                "database {db}: {} is there, and the source has it not",
                shown(&key)
            ));
        }
        Ok(None)
    }

    /// How many keys there are, where all of them were taken and nobody writes for a moment.
    fn compare_counts(&mut self, reading: &Reading) -> Outcome<Option<Stretch>> {
        let summary = &self.summary;
        let is_all = summary.other_types.is_empty()
            && summary.left_out.is_empty()
            && self.units.left.is_empty()
            && summary.refusals.count + self.applier.refusals.count == 0;
        for _ in 0..if is_all { ROUNDS } else { 0 } {
            // Keys and offset of one moment.
            let info = self.source.ask_one(0, &["INFO"])?;
            let info = info.as_str().unwrap_or_default();
            let Some(goal) = offset_of(info) else {
                return Ok(None);
            };
            if let Some(end) = self.catch_up_to(reading, goal)? {
                return Ok(Some(end));
            }
            if self.units.place().0 == goal {
                self.judge_counts(info)?;
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn judge_counts(&mut self, info: &str) -> Outcome<()> {
        let there = parse_keyspace(info);
        let mut all: Vec<u32> = there
            .keys()
            .copied()
            .chain(databases(self.target)?.into_keys())
            .collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|db| self.options.choice.db.is_none_or(|only| only == *db));
        for db in all {
            let counted = self.target.ask_one(db, &["DBSIZE"])?.as_integer().unwrap_or(0);
            let keys = (counted.max(0) as u64).saturating_sub(self.applier.names(self.target, db)?);
            let expected = there.get(&db).map_or(0, |counted| counted.keys);
            if keys != expected {
                self.summary.verification.note(format!(
                    "database {db}: the source counts {expected} keys, and the target {keys}"
                ));
            }
        }
        Ok(())
    }

    /// Keys of a sample that the source has, as they are now; their deadlines as the target has them.
    fn read_source(&mut self, db: u32, keys: Vec<Vec<u8>>) -> Outcome<Vec<Entry>> {
        let mut source = PutOff(Source::of_keys(&mut self.source, db, keys));
        let mut entries = Vec::new();
        while let Some(batch) = source.next()? {
            let short = |entry: &Entry| entry.content.bytes() <= SAMPLE_VALUE_BYTES;
            entries.extend(batch.entries.into_iter().filter(short));
        }
        Ok(entries)
    }

    /// Takes all that the source has by now.
    fn catch_up(&mut self, reading: &Reading) -> Outcome<Option<Stretch>> {
        let goal = self.ask_source()?;
        self.catch_up_to(reading, goal)
    }

    fn catch_up_to(&mut self, reading: &Reading, goal: u64) -> Outcome<Option<Stretch>> {
        while self.units.place().0 < goal {
            match reading.next() {
                Ok(bytes) => self.units.feed(&bytes),
                Err(why) => return Ok(Some(Stretch::Broken(why))),
            }
            if let Some(end) = self.apply_units()? {
                return Ok(Some(end));
            }
            let (offset, _) = self.units.place();
            reading.applied(offset);
            self.settle(offset);
        }
        Ok(None)
    }

    /// Those of the entries that the target has not, or has otherwise.
    fn differing(&mut self, db: u32, entries: &[Entry]) -> Outcome<Vec<Entry>> {
        let mut differing = Vec::new();
        if self.has(db, entries)? {
            return Ok(differing);
        }
        for entry in entries {
            if !self.has(db, std::slice::from_ref(entry))? {
                differing.push(entry.clone());
            }
        }
        Ok(differing)
    }

    /// Whether the target has all of them as they are.
    fn has(&mut self, db: u32, entries: &[Entry]) -> Outcome<bool> {
        let untouched = std::collections::BTreeMap::new();
        let mut result = Verification::default();
        let mut compare = Compare {
            server: self.target,
            untouched: &untouched,
            result: &mut result,
        };
        compare.take(db, entries)?;
        Ok(result.is_good())
    }
}

/// Those of the keys that a server has, or has not. One whose deadline was put off and has passed is none that it has.
fn existing(server: &mut Server, (db, wanted): (u32, bool), keys: Vec<Vec<u8>>) -> Outcome<Vec<Vec<u8>>> {
    let found = deadlines(server, db, &keys)?;
    let now_ms = now_ms();
    let is_there = |deadline: Option<Deadline>| match deadline {
        Some(Deadline::Gone) | None => false,
        Some(Deadline::Never) => true,
        Some(Deadline::At(ms)) => settled(ms).is_none_or(|ms| ms > now_ms),
    };
    let both = keys.into_iter().zip(found);
    let chosen = both.filter(|(_, deadline)| is_there(*deadline) == wanted);
    Ok(chosen.map(|(key, _)| key).collect())
}
