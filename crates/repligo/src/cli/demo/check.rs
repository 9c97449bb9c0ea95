//! The judge: after the run it re-reads every key on every node and every row of the database, and
//! compares them with the history. It knows nothing of what the workload believed.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use repligo_proto::resp::Value;

use super::history::Ledger;
use crate::cli::process::NodeSpec;
use crate::cli::status;
use crate::cli::wire::{Connection, WireError};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the nodes may take to agree after the last write.
const AGREE_WITHIN: Duration = Duration::from_secs(45);
/// The state counts as settled when its index has not moved for this long.
const SETTLED_FOR: Duration = Duration::from_millis(300);
/// How long a read may go on being refused.
const READABLE_WITHIN: Duration = Duration::from_secs(15);
/// Keys in one pipeline.
const BATCH: usize = 500;
/// At most this many single findings are listed.
const FINDINGS_MAX: usize = 20;

/// What the judge found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Keys that do not hold their last acknowledged value, or a later unknown one, on some node.
    pub lost: u64,
    /// Keys that hold something nobody may have written, though nothing was acknowledged.
    pub phantoms: u64,
    /// Whether all nodes reached the same index with the same digest.
    pub replicas_equal: bool,
    /// Rows of this run in the database.
    pub origin_rows: u64,
    /// Rows that are missing, hold something else than the history allows, or differ from the cache.
    pub origin_mismatches: u64,
    /// The first findings in words.
    pub words: Vec<String>,
}

impl Findings {
    fn say(&mut self, text: String) {
        if self.words.len() < FINDINGS_MAX {
            self.words.push(text);
        }
    }
}

/// Judges a run.
///
/// # Errors
/// A node cannot be read at all.
pub fn judge(nodes: &[NodeSpec], ledger: &Ledger, rows: &BTreeMap<i64, String>) -> Result<Findings, String> {
    let mut findings = Findings {
        origin_rows: rows.len() as u64,
        ..Default::default()
    };
    let mut keys: Vec<&str> = ledger.keys.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut on_nodes = Vec::new();
    for node in nodes {
        let values = read_all(node, &keys).map_err(|error| format!("{}: {error}", node.name))?;
        on_nodes.push((node.name.as_str(), values));
    }
    for key in &keys {
        let fate = &ledger.keys[*key];
        for (node, values) in &on_nodes {
            let value = values.get(key).map(String::as_str);
            if fate.allows(value) {
                continue;
            }
            if fate.acknowledged.is_some() {
                findings.lost += 1;
            } else {
                findings.phantoms += 1;
            }
            findings.say(format!("{node}: {key} holds {value:?}, may hold {fate:?}"));
            break;
        }
    }
    judge_rows(&mut findings, ledger, rows, &on_nodes[0].1);
    Ok(findings)
}

/// Compares the database with the history and with the cache.
fn judge_rows(
    findings: &mut Findings,
    ledger: &Ledger,
    rows: &BTreeMap<i64, String>,
    cached: &HashMap<&str, String>,
) {
    let mut known = BTreeMap::new();
    for (key, fate) in &ledger.keys {
        let Some(row) = fate.row else { continue };
        known.insert(row, ());
        let stored = rows.get(&row).map(String::as_str);
        let cache = cached.get(key.as_str()).map(String::as_str);
        if !fate.allows(stored) || stored != cache {
            findings.origin_mismatches += 1;
            findings.say(format!(
                "database: {key} is {stored:?}, the cache has {cache:?}, may hold {fate:?}"
            ));
        }
    }
    for row in rows.keys().filter(|row| !known.contains_key(row)) {
        findings.origin_mismatches += 1;
        findings.say(format!("database: row {row} was never written"));
    }
}

/// Every key of one node, by its own state (`READONLY`). A key whose read is refused is asked for again
/// until [`READABLE_WITHIN`] has passed; then the refusal stands for its value, which no history allows.
fn read_all<'a>(node: &NodeSpec, keys: &[&'a str]) -> Result<HashMap<&'a str, String>, WireError> {
    let mut connection = Connection::open(&node.resp.to_string(), TIMEOUT)?;
    connection.expect(&["READONLY"])?;
    let deadline = Instant::now() + READABLE_WITHIN;
    let mut values = HashMap::with_capacity(keys.len());
    let mut open: Vec<&'a str> = keys.to_vec();
    loop {
        let mut refused = Vec::new();
        for batch in open.chunks(BATCH) {
            for key in batch {
                connection.push(&["GET", key]);
            }
            connection.flush()?;
            for key in batch {
                match connection.receive()? {
                    Value::Null => drop(values.remove(key)),
                    Value::Error(text) => {
                        refused.push(*key);
                        values.insert(*key, format!("(refused: {text})"));
                    }
                    value => {
                        values.insert(*key, value.as_str().unwrap_or("(not text)").to_string());
                    }
                }
            }
        }
        if refused.is_empty() || Instant::now() > deadline {
            return Ok(values);
        }
        open = refused;
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until all nodes have the same index and digest and nothing moves any more. `Ok(false)` when they
/// have the same index and different digests, or do not come to rest.
///
/// # Errors
/// A node does not answer.
pub fn wait_until_equal(nodes: &[NodeSpec]) -> Result<bool, String> {
    let deadline = Instant::now() + AGREE_WITHIN;
    let mut settled: Option<(u64, Instant)> = None;
    loop {
        let states = nodes.iter().map(own_state).collect::<Result<Vec<_>, _>>();
        match states {
            Ok(states) => {
                let (index, digest) = &states[0];
                let same_index = states.iter().all(|(other, _)| other == index);
                if !same_index || settled.is_none_or(|(before, _)| before != *index) {
                    settled = same_index.then(|| (*index, Instant::now()));
                } else if settled.is_some_and(|(_, since)| since.elapsed() > SETTLED_FOR) {
                    return Ok(states.iter().all(|(_, other)| other == digest));
                }
                if Instant::now() > deadline {
                    return Ok(false);
                }
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => settled = None,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Applied index and digest of a node, by its own word.
fn own_state(node: &NodeSpec) -> Result<(u64, String), String> {
    let asked = Connection::open(&node.resp.to_string(), TIMEOUT)
        .and_then(|mut connection| status::ask(&mut connection));
    let report = asked.map_err(|error| format!("{}: {error}", node.name))?;
    let own = report
        .own()
        .filter(|own| own.healthy)
        .ok_or_else(|| format!("{} does not serve", node.name))?;
    Ok((own.applied_index, own.digest.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::history::{Fate, Record};
    use super::*;

    fn ledger(records: &[(&str, i64, &str, Fate)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (key, row, value, fate) in records {
            ledger.add(Record {
                client: "c1".into(),
                key: key.to_string(),
                value: value.to_string(),
                row: Some(*row),
                sent_us: 0,
                done_us: 0,
                fate: *fate,
                error: None,
            });
        }
        ledger
    }

    #[test]
    fn every_difference_between_database_cache_and_history_counts() {
        let ledger = ledger(&[
            ("user:1", 1, "a", Fate::Acknowledged),
            ("user:2", 2, "b", Fate::Unknown),
        ]);
        let check = |rows: &[(i64, &str)], cached: &[(&'static str, &str)], mismatches: u64| {
            let rows: BTreeMap<i64, String> = rows
                .iter()
                .map(|(row, value)| (*row, value.to_string()))
                .collect();
            let cached: HashMap<&str, String> = cached
                .iter()
                .map(|(key, value)| (*key, value.to_string()))
                .collect();
            let mut findings = Findings::default();
            judge_rows(&mut findings, &ledger, &rows, &cached);
            assert_eq!(
                findings.origin_mismatches, mismatches,
                "{rows:?} {cached:?}: {:?}",
                findings.words
            );
        };
        check(&[(1, "a")], &[("user:1", "a")], 0);
        check(&[(1, "a"), (2, "b")], &[("user:1", "a"), ("user:2", "b")], 0);
        check(&[(1, "a"), (2, "b")], &[("user:1", "a")], 1);
        check(&[], &[("user:1", "a")], 1);
        check(&[(1, "x")], &[("user:1", "x")], 1);
        check(&[(1, "a"), (9, "z")], &[("user:1", "a")], 1);
    }
}
