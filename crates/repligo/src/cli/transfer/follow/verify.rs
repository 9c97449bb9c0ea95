//! Compares a sample of keys with a source that is in use.
//!
//! A key is read from the source, then the target takes all that the source had by then, and is compared. A key that
//! differs is read from the source again: only if it is still what it was, something is wrong.

use super::link::Reading;
use super::{Following, Stretch};
use crate::cli::transfer::format::Entry;
use crate::cli::transfer::source::Source;
use crate::cli::transfer::summary::{Verification, shown};
use crate::cli::transfer::verify::Compare;
use crate::cli::transfer::{Input as _, Outcome, Output as _};

impl Following<'_> {
    /// The last thing before the end.
    pub(super) fn compare(&mut self, reading: &Reading) -> Outcome<Stretch> {
        for (db, keys) in self.sample.keys() {
            let before = self.read_source(db, keys)?;
            if let Some(end) = self.catch_up(reading)? {
                return Ok(end);
            }
            let found = self.differing(db, &before)?;
            self.summary.verification.compared += before.len() as u64;
            if found.is_empty() {
                continue;
            }
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
        }
        Ok(Stretch::Done)
    }

    /// Keys of a sample that the source has, as they are now.
    fn read_source(&mut self, db: u32, keys: Vec<Vec<u8>>) -> Outcome<Vec<Entry>> {
        let mut source = Source::of_keys(&mut self.source, db, keys);
        let mut entries = Vec::new();
        while let Some(batch) = source.next()? {
            entries.extend(batch.entries);
        }
        Ok(entries)
    }

    /// Takes all that the source has by now.
    fn catch_up(&mut self, reading: &Reading) -> Outcome<Option<Stretch>> {
        let goal = self.ask_source()?;
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
