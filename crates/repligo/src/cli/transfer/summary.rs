//! What a transfer has done, in words and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::follow::Followed;
use super::rdb::Left;
use super::{Halt, Outcome};
use crate::cli::failure::Failure;

/// Refusals that are kept as examples.
const EXAMPLES: usize = 5;
/// Bytes of a key that is shown.
const SHOWN_BYTES: usize = 80;
/// Code words that would be said to every other entry too.
const FINAL: [&str; 8] = [
    "NOAUTH",
    "NOPERM",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "MOVED",
    "ASK",
    "CROSSSLOT",
];

/// Entries that a server did not give or take, one by one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Refusals {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Refusals {
    /// Counts one.
    ///
    /// # Errors
    /// As `explain` says, where every other entry would be refused too.
    pub fn add(&mut self, key: &[u8], text: &str, explain: impl FnOnce(&str) -> Failure) -> Outcome<()> {
        let word = text.split(' ').next().unwrap_or_default();
        let is_final =
            FINAL.contains(&word) || text.starts_with("ERR unknown command") || text == "ERR syntax error";
        if is_final {
            return Err(explain(text).into());
        }
        self.note(format!("{}: {text}", shown(key)));
        Ok(())
    }

    /// Counts one that no other follows.
    pub fn note(&mut self, text: String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }

    /// Adds those of the other side.
    pub fn join(&mut self, other: Refusals) {
        self.count += other.count;
        self.examples.extend(other.examples);
    }
}

/// A key as text, of bounded length.
pub fn shown(key: &[u8]) -> String {
    let cut = &key[..key.len().min(SHOWN_BYTES)];
    let dots = if cut.len() < key.len() { "…" } else { "" };
    format!("{}{dots}", cut.escape_ascii())
}

/// One database.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Database {
    /// Entries that were exported, or written into the target.
    pub entries: u64,
    /// Import: keys that the target had and kept.
    pub existing: u64,
    /// Import: entries that had expired.
    pub expired: u64,
    /// Keys that the server counts: the source when its walk began, the target at the end.
    pub dbsize: Option<u64>,
}

/// Libraries of functions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Libraries {
    /// Export: those that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<u64>,
    /// Those that were loaded into the target.
    pub loaded: u64,
    /// Those whose names the target had, and kept as they were.
    pub existing: u64,
}

/// What comparing has found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// `none`, `sample` or `full`.
    pub kind: &'static str,
    /// Entries that were compared, value and deadline.
    pub compared: u64,
    /// Those that have expired since.
    pub expired: u64,
    /// Those that are not there.
    pub missing: u64,
    /// Those with another value or deadline.
    pub different: u64,
    /// What is wrong, in words; the first of it.
    pub problems: Vec<String>,
}

impl Verification {
    /// Whether anything is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes one thing that is wrong.
    pub fn note(&mut self, problem: String) {
        if self.problems.len() < EXAMPLES {
            self.problems.push(problem);
        }
    }
}

/// Everything, also of a transfer that did not come to its end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// `export` or `import`.
    pub kind: &'static str,
    /// Whether it came to its end, and all that could be transferred was.
    pub complete: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// What to do about it, or how to go on.
    pub remedy: Option<String>,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// Seconds, verification included.
    pub seconds: f64,
    /// Entries of all databases.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: Option<u64>,
    /// Per database.
    pub databases: BTreeMap<u32, Database>,
    /// Libraries of functions of a file.
    pub libraries: Libraries,
    /// Keys of types that cannot be transferred yet.
    pub other_types: BTreeMap<String, u64>,
    /// Cached rows by their keyspace, which belong to its database.
    pub rows: BTreeMap<String, u64>,
    /// What of a file is no key, or a part of one, and cannot be transferred.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Keys of a file in databases that were not asked for.
    pub unasked: u64,
    /// Requests of append-only files that were applied.
    pub requests: Option<u64>,
    /// How a running source was followed.
    pub followed: Option<Followed>,
    /// See the documentation of the source.
    pub vanished: u64,
    /// Keys that were read again because somebody wrote them.
    pub changed: u64,
    /// Names that SCAN gave twice.
    pub duplicates: u64,
    /// Walks that began anew after a failover.
    pub rescans: u64,
    /// Connections that were made again.
    pub reconnects: u64,
    /// What the source did not give, or the target did not take.
    pub refusals: Refusals,
    /// What comparing has found.
    pub verification: Verification,
}

impl Summary {
    /// Notes what the source has besides entries: gone, changed, named twice, walks begun anew.
    pub fn note_found(&mut self, other_types: BTreeMap<String, u64>, counts: [u64; 4]) {
        self.other_types = other_types;
        [self.vanished, self.changed, self.duplicates, self.rescans] = counts;
    }

    /// Notes what of a file is not taken.
    pub fn note_left(&mut self, left: Left) {
        (self.other_types, self.left_out, self.unasked) = (left.other_types, left.parts, left.unasked);
    }

    /// Forgets what was written: everything is written again.
    pub fn begin_anew(&mut self) {
        self.entries = 0;
        self.databases.clear();
    }

    /// Notes how it ended.
    pub fn end(&mut self, outcome: &Outcome<()>, go_on: &str) {
        match outcome {
            Ok(()) => {
                self.complete = self.refusals.count == 0 && self.verification.is_good();
            }
            Err(Halt::Interrupted) => {
                self.error = Some("interrupted".into());
                self.remedy = Some(go_on.to_string());
            }
            Err(Halt::Failed(failure)) => {
                self.error = Some(failure.what.clone());
                self.remedy = Some(match go_on {
                    "" => failure.remedy.clone(),
                    _ => format!("{}; then {go_on}", failure.remedy),
                });
            }
        }
    }

    /// For scripts.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts always serialize")
    }

    /// For people.
    pub fn words(&self) -> String {
        let mut lines = Vec::new();
        let verb = if self.kind == "export" {
            "exported"
        } else {
            "imported"
        };
        let size = self
            .bytes
            .map_or(String::new(), |bytes| format!(", {}", size(bytes)));
        lines.push(format!(
            "{verb} {} in {:.1} s{size}: from {} to {}",
            count(self.entries, "entry", "entries"),
            self.seconds,
            self.from,
            self.to
        ));
        for (db, database) in &self.databases {
            let mut line = format!("  database {db}: {}", count(database.entries, "entry", "entries"));
            for (number, text) in [
                (database.existing, "were there already and stayed"),
                (database.expired, "had expired"),
            ] {
                if number > 0 {
                    line += &format!(", {number} {text}");
                }
            }
            if let Some(keys) = database.dbsize {
                let when = if self.kind == "export" { "had" } else { "has now" };
                line += &format!("; the server {when} {}", count(keys, "key", "keys"));
            }
            lines.push(line);
        }
        for (number, text) in [
            (self.libraries.exported.unwrap_or(0), "exported"),
            (self.libraries.loaded, "loaded"),
            (self.libraries.existing, "was there already and stayed"),
        ] {
            if number > 0 {
                let libraries = count(number, "library of functions", "libraries of functions");
                lines.push(format!("  {libraries} {text}"));
            }
        }
        if let Some(requests) = self.requests {
            lines.push(format!("  {} applied", count(requests, "request", "requests")));
        }
        if let Some(followed) = &self.followed {
            lines.push(format!(
                "  followed to offset {} of {}: {} requests applied, {} bytes behind when it was last asked; full copies: \
                 {}, connections that went on: {}",
                followed.offset,
                followed.replication_id,
                followed.requests,
                followed.lag_bytes.map_or("?".to_string(), |bytes| bytes.to_string()),
                followed.full_syncs,
                followed.resumed
            ));
        }
        for (number, text) in [
            (self.unasked, "in databases that were not asked for"),
            (self.vanished, "gone before they could be read"),
            (self.changed, "written while they were read, and read again"),
            (self.rescans, "walks begun anew because another process answered"),
            (self.reconnects, "connections made again"),
        ] {
            if number > 0 {
                lines.push(format!("  {number} {text}"));
            }
        }
        for (name, number) in &self.other_types {
            lines.push(format!(
                "  NOT transferred: {} of type {name}, which cannot be transferred yet",
                count(*number, "key", "keys")
            ));
        }
        for (keyspace, number) in &self.rows {
            lines.push(format!(
                "  {} of keyspace {keyspace} left out: rows are in its database, copy that",
                count(*number, "cached row", "cached rows")
            ));
        }
        let left_out = self.left_out.iter();
        lines.extend(left_out.map(|(what, number)| format!("  NOT transferred: {number} {what}")));
        if self.refusals.count > 0 {
            lines.push(format!(
                "  NOT transferred: {} refused",
                count(self.refusals.count, "entry", "entries")
            ));
            lines.extend(self.refusals.examples.iter().map(|text| format!("    {text}")));
        }
        lines.extend(self.verified());
        lines.join("\n") + "\n"
    }

    fn verified(&self) -> Vec<String> {
        let verification = &self.verification;
        let mut lines = Vec::new();
        if verification.compared > 0 || verification.kind == "full" {
            let kind = if verification.kind == "full" {
                "all of them"
            } else {
                "a sample"
            };
            lines.push(format!(
                "  verified {kind}: {} compared, {} missing, {} different, {} expired since",
                verification.compared, verification.missing, verification.different, verification.expired
            ));
        }
        lines.extend(
            verification
                .problems
                .iter()
                .map(|text| format!("  WRONG: {text}")),
        );
        lines
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_said_in_words_and_in_json() {
        let mut summary = Summary {
            kind: "export",
            from: "127.0.0.1:6379".into(),
            to: "a.repligo".into(),
            entries: 1,
            bytes: Some(12_345),
            other_types: BTreeMap::from([("hash".to_string(), 2)]),
            ..Summary::default()
        };
        let refuse = |refusals: &mut Refusals, text: &str| {
            refusals.add(&[b'k'; 100], text, |text| Failure::new(text, "look"))
        };
        refuse(&mut summary.refusals, "ERR too large").expect("only this entry");
        assert!(refuse(&mut summary.refusals, "OOM command not allowed").is_err());
        summary.end(&Ok(()), "");
        assert!(!summary.complete, "an entry was refused");
        let words = summary.words();
        for part in [
            "exported 1 entry",
            "12.3 kB",
            "2 keys of type hash",
            "1 entry refused",
            "…: ERR too large",
        ] {
            assert!(words.contains(part), "no `{part}` in\n{words}");
        }
        let json: serde_json::Value = serde_json::from_str(&summary.json()).expect("JSON");
        assert_eq!(json["other_types"]["hash"], 2);
        assert_eq!(json["refusals"]["count"], 1);
        assert_eq!(json["complete"], false);
    }

    #[test]
    fn an_end_before_the_end_says_how_to_go_on() {
        let mut summary = Summary::default();
        summary.end(&Err(Halt::Interrupted), "run it again");
        assert_eq!(summary.remedy.as_deref(), Some("run it again"));
        summary.end(&Err(Failure::new("full", "make room").into()), "run it again");
        assert_eq!(summary.remedy.as_deref(), Some("make room; then run it again"));
        assert!(!summary.complete);
    }
}
