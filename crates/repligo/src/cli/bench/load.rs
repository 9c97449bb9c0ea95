//! `--load`: writes every key, then checks that they are there.
//!
//! The check has two parts. The number of keys that the server tells must have grown to at least the number
//! written (some may have been there before). And a sample is read back and judged like any other reply.

use serde::Serialize;

use super::choice::Random;
use super::progress::Progress;
use super::run::Bench;
use super::server::{self, BenchError};
use crate::cli::wire::{Connection, WireError};

/// Keys that are read back.
const SAMPLES: u64 = 1000;
/// Requests that the check has in flight.
const SAMPLE_BATCH: u64 = 100;

/// What loading has done.
#[derive(Clone, Debug, Serialize)]
pub struct Loaded {
    pub keys: u64,
    pub seconds: f64,
    /// Keys in the database before and after; null with several addresses, or where the server does not tell.
    pub dbsize_before: Option<u64>,
    pub dbsize_after: Option<u64>,
    /// Keys that were read back and judged.
    pub sampled: u64,
    /// Resident memory of the server's processes before and after; null as for CPU time.
    pub rss_bytes_before: Option<u64>,
    pub rss_bytes_after: Option<u64>,
}

impl Bench<'_> {
    /// Writes all keys and checks them. `None`: interrupted.
    ///
    /// # Errors
    /// A key could not be written, is missing, or has a wrong value; with a remedy.
    pub fn load(&self, progress: &mut Progress) -> Result<Option<Loaded>, BenchError> {
        let keys = self.settings.keys;
        let dbsize_before = self.dbsize()?;
        let rss_bytes_before = rss_bytes(&self.server.cpu_pids);
        let measured = self.fill(progress)?;
        if measured.interrupted {
            return Ok(None);
        }
        let tally = &measured.tally;
        if tally.ops() != keys || tally.wrong > 0 {
            let mut what = format!("loading: {} of {keys} keys were written", tally.ops());
            for text in tally.error_examples.iter().chain(&tally.wrong_examples) {
                what.push_str(&format!("\n  {text}"));
            }
            return Err(BenchError::new(
                what,
                "look at the first error: memory limit, read-only node, wrong address?",
            ));
        }
        let dbsize_after = self.dbsize()?;
        if dbsize_after.is_some_and(|count| count < keys) {
            return Err(BenchError::new(
                format!(
                    "loading: {keys} keys were acknowledged, but DBSIZE says {}",
                    dbsize_after.unwrap_or(0)
                ),
                "check the server's memory limit and eviction policy, or use fewer --keys",
            ));
        }
        let rss_bytes_after = rss_bytes(&self.server.cpu_pids);
        let sampled = self.sample()?;
        Ok(Some(Loaded {
            keys,
            seconds: measured.seconds,
            dbsize_before,
            dbsize_after,
            sampled,
            rss_bytes_before,
            rss_bytes_after,
        }))
    }

    fn open_first(&self) -> Result<Connection, BenchError> {
        server::open(&self.target.addresses[0], self.target)
    }

    /// The database of several nodes may be one or many: then it is not asked.
    fn dbsize(&self) -> Result<Option<u64>, BenchError> {
        if self.target.addresses.len() > 1 {
            return Ok(None);
        }
        Ok(server::key_count(&mut self.open_first()?))
    }

    /// Reads some keys back, and returns how many.
    fn sample(&self) -> Result<u64, BenchError> {
        let address = &self.target.addresses[0];
        let failed = |error: WireError| server::explain(address, &error);
        let mut connection = self.open_first()?;
        let keys = self.settings.keys;
        let mut random = Random::new(self.settings.seed, u64::MAX);
        let all = keys <= SAMPLES;
        let count = keys.min(SAMPLES);
        let chosen: Vec<u64> = (0..count)
            .map(|key| if all { key } else { random.below(keys) })
            .collect();
        for batch in chosen.chunks(SAMPLE_BATCH as usize) {
            for key in batch {
                connection.push(&["GET", &self.dataset.key_text(*key)]);
            }
            connection.flush().map_err(failed)?;
            for key in batch {
                let value = connection.receive().map_err(failed)?;
                let bytes = value.as_bytes().unwrap_or_default();
                if !self.dataset.is_value_of(*key, bytes) {
                    let what = match value.is_null() {
                        true => format!("GET {} gave nil", self.dataset.key_text(*key)),
                        false => self.dataset.explain(*key, bytes),
                    };
                    return Err(BenchError::new(
                        format!("loading: a key that was acknowledged is not there: {what}"),
                        "check eviction, other writers and whether all addresses belong to one database",
                    ));
                }
            }
        }
        Ok(count)
    }
}

/// Resident memory of these processes together.
fn rss_bytes(pids: &[u32]) -> Option<u64> {
    if pids.is_empty() {
        return None;
    }
    let each = pids.iter().map(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024)
    });
    each.sum()
}
