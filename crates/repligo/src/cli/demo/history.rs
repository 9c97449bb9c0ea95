//! `history.jsonl`: one line per finished write (and per stale read), and what follows from all of them.
//!
//! Every key has one writer, which gives in the next write of a key only after it knows the outcome of
//! the one before; a key with an unknown write is never written again. So after the run a key must hold the
//! last acknowledged value or a later unknown one, and nothing else.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What became of a write, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The node said OK.
    Acknowledged,
    /// The connection broke, or the node said that it does not know.
    Unknown,
    /// The node said that it did not happen.
    NotApplied,
    /// Not a write: a linearizable read that was older than an acknowledged write.
    StaleRead,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Client process and its writer.
    pub client: String,
    /// The key.
    pub key: String,
    /// The unique value.
    pub value: String,
    /// Row number where the key is mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<i64>,
    /// Boot clock when it was sent, microseconds.
    pub sent_us: u64,
    /// Boot clock when the answer was there, microseconds.
    pub done_us: u64,
    /// Outcome.
    pub fate: Fate,
    /// Error text, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Appends records to the shared file. Each flush is one `write` of whole lines in append mode, so that
/// several processes can share the file.
#[derive(Debug)]
pub struct HistoryWriter {
    file: File,
    lines: Vec<u8>,
}

impl HistoryWriter {
    /// Opens the file for appending.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<HistoryWriter> {
        let file = crate::private::options().create(true).append(true).open(path)?;
        Ok(HistoryWriter {
            file,
            lines: Vec::new(),
        })
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        serde_json::to_writer(&mut self.lines, record).expect("writing JSON into memory cannot fail");
        self.lines.push(b'\n');
    }

    /// Writes what was added.
    ///
    /// # Errors
    /// The file cannot be written; the history is then of no use.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let written = self.file.write(&self.lines)?;
        if written != self.lines.len() {
            // A second write could land behind another process' lines and tear a record in two.
            return Err(std::io::Error::other(
                "the history file took only a part of a batch; the disk is full",
            ));
        }
        self.lines.clear();
        Ok(())
    }
}

/// What a key may hold after the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFate {
    /// Last acknowledged value.
    pub acknowledged: Option<String>,
    /// Unknown writes after it.
    pub unknown: Vec<String>,
    /// Row number where the key is mapped.
    pub row: Option<i64>,
}

impl KeyFate {
    /// Whether the key may hold this after the run.
    pub fn allows(&self, value: Option<&str>) -> bool {
        match value {
            None => self.acknowledged.is_none(),
            Some(value) => {
                self.acknowledged.as_deref() == Some(value)
                    || self.unknown.iter().any(|unknown| unknown == value)
            }
        }
    }
}

/// The whole history, summed up.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every key that was ever written.
    pub keys: HashMap<String, KeyFate>,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Those of them in the mapped keyspace.
    pub mapped_acknowledged: u64,
    /// Writes with an unknown outcome.
    pub unknown: u64,
    /// Writes that the nodes refused.
    pub not_applied: u64,
    /// Linearizable reads that were too old.
    pub stale_reads: u64,
    /// Longest time between two acknowledgements anywhere, milliseconds.
    pub longest_gap_ms: u64,
    /// One text per kind of refusal, with how often it came.
    pub refusals: HashMap<String, u64>,
}

impl Ledger {
    /// Reads a history file.
    ///
    /// # Errors
    /// The file cannot be read or holds something else.
    pub fn read(path: &Path) -> std::io::Result<Ledger> {
        let mut ledger = Ledger::default();
        let mut acknowledged_us = Vec::new();
        for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
            let record: Record = serde_json::from_str(&line?).map_err(|error| {
                std::io::Error::other(format!("line {} is no record: {error}", number + 1))
            })?;
            if record.fate == Fate::Acknowledged {
                acknowledged_us.push(record.done_us);
            }
            ledger.add(record);
        }
        acknowledged_us.sort_unstable();
        ledger.longest_gap_ms = acknowledged_us
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0)
            / 1000;
        Ok(ledger)
    }

    /// Adds one record; records of one key come in the order in which they were given in.
    pub fn add(&mut self, record: Record) {
        if record.fate == Fate::StaleRead {
            self.stale_reads += 1;
            return;
        }
        let key = self.keys.entry(record.key).or_default();
        key.row = record.row;
        match record.fate {
            Fate::Acknowledged => {
                key.acknowledged = Some(record.value);
                key.unknown.clear();
                self.acknowledged += 1;
                self.mapped_acknowledged += u64::from(record.row.is_some());
            }
            Fate::Unknown => {
                key.unknown.push(record.value);
                self.unknown += 1;
            }
            Fate::NotApplied => {
                self.not_applied += 1;
                if let Some(error) = record.error {
                    *self.refusals.entry(error).or_default() += 1;
                }
            }
            Fate::StaleRead => unreachable!("handled above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str, fate: Fate) -> Record {
        Record {
            client: "c1".into(),
            key: key.into(),
            value: value.into(),
            row: None,
            sent_us: 0,
            done_us: 0,
            fate,
            error: None,
        }
    }

    fn fate_of(records: &[(&str, Fate)]) -> KeyFate {
        let mut ledger = Ledger::default();
        for (value, fate) in records {
            ledger.add(record("k", value, *fate));
        }
        ledger.keys["k"].clone()
    }

    #[test]
    fn a_key_holds_the_last_acknowledged_value_or_a_later_unknown_one() {
        use Fate::{Acknowledged, NotApplied, Unknown};
        let check = |records: &[(&str, Fate)], allowed: &[Option<&str>], refused: &[Option<&str>]| {
            let fate = fate_of(records);
            for value in allowed {
                assert!(fate.allows(*value), "{records:?} must allow {value:?}");
            }
            for value in refused {
                assert!(!fate.allows(*value), "{records:?} must not allow {value:?}");
            }
        };
        check(&[("1", Acknowledged)], &[Some("1")], &[None, Some("0")]);
        check(
            &[("1", Acknowledged), ("2", Acknowledged)],
            &[Some("2")],
            &[Some("1"), None],
        );
        check(
            &[("1", Acknowledged), ("2", Unknown)],
            &[Some("1"), Some("2")],
            &[None],
        );
        check(
            &[("1", Unknown), ("2", Acknowledged)],
            &[Some("2")],
            &[Some("1"), None],
        );
        check(&[("1", Unknown)], &[None, Some("1")], &[Some("2")]);
        check(&[("1", NotApplied)], &[None], &[Some("1")]);
        check(
            &[("1", Acknowledged), ("2", NotApplied)],
            &[Some("1")],
            &[Some("2"), None],
        );
    }

    #[test]
    fn two_writers_share_a_file_and_gaps_are_found() {
        let path = std::env::temp_dir().join(format!("repligo-history-{}.jsonl", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut one = HistoryWriter::open(&path).expect("file");
        let mut two = HistoryWriter::open(&path).expect("file");
        for (position, done_us) in [1_000_000, 1_200_000, 2_000_000].into_iter().enumerate() {
            let writer = if position % 2 == 0 { &mut one } else { &mut two };
            let key = format!("k{position}");
            writer.add(&Record {
                done_us,
                row: Some(1),
                ..record(&key, "v", Fate::Acknowledged)
            });
            writer.flush().expect("written");
        }
        one.add(&record("k9", "v", Fate::StaleRead));
        one.flush().expect("written");
        let ledger = Ledger::read(&path).expect("readable");
        assert_eq!(
            (ledger.acknowledged, ledger.mapped_acknowledged, ledger.keys.len()),
            (3, 3, 3)
        );
        assert_eq!((ledger.longest_gap_ms, ledger.stale_reads), (800, 1));
        let _ = std::fs::remove_file(&path);
    }
}
