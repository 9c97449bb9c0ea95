//! Origin drivers: execute what the core asks of databases, on threads of their own, so that nothing a
//! database does can stall a worker.
//!
//! It decides nothing: the core plans, the database decides, this carries. Per origin there are two
//! threads, since a write that waits for a lock must not hold up loads.

mod catalogue;
mod claim;
mod connection;
mod failure;
mod owner;
mod reach;
pub mod sqlite;
mod statements;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use repligo_core::origin::{OriginEvent, OriginMap, OriginRequest};

pub use owner::{Owned, clusters, owned};
pub use worker::Drivers;

/// One `[origin.NAME]` of the configuration, its path resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginConfig {
    /// NAME, as keyspaces refer to it.
    pub name: String,
    /// `sqlite:PATH`, absolute.
    pub url: String,
    /// Longest wait for a lock, and later for a statement.
    pub statement_timeout: Duration,
    /// Where it stands in which file, for messages.
    pub places: Places,
}

/// Where the configuration of an origin stands: `FILE:LINE`, or another text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The origin itself.
    pub origin: String,
    /// Its keyspaces, by name: the section, and the line of its table.
    pub keyspaces: BTreeMap<String, [String; 2]>,
}

/// What does not fit between a mapping and its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub what: String,
    /// Where the configuration says so.
    pub place: String,
    /// What to change.
    pub remedy: String,
}

impl Finding {
    /// Of a text of both halves, as the drivers and the log have it.
    fn new(place: String, text: &str) -> Finding {
        let (what, remedy) = text
            .split_once("; ")
            .unwrap_or((text, "change the database or the mapping"));
        Finding {
            what: what.to_owned(),
            place,
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// On whose behalf the drivers write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverIdentity {
    /// Cluster id.
    pub cluster: u128,
    /// Name of this node.
    pub node: String,
}

/// Takes what the drivers answer; called on their threads.
pub type OnEvent = Arc<dyn Fn(OriginEvent) + Send + Sync>;

/// The file of a `sqlite:` URL.
fn sqlite_path(url: &str) -> Result<PathBuf, String> {
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(format!(
            "'{url}' is not an origin that this build knows; write sqlite:PATH"
        )),
    }
}

/// The configuration of each origin that the map uses, in its order.
fn configured<'a>(map: &OriginMap, configs: &'a [OriginConfig]) -> Result<Vec<&'a OriginConfig>, String> {
    map.origins()
        .iter()
        .map(|name| {
            configs
                .iter()
                .find(|config| config.name == *name)
                .ok_or_else(|| format!("[origin.{name}] is missing; add it with url = \"sqlite:PATH\""))
        })
        .collect()
}

/// Checks at start whether the databases fit the mapping; empty when all is well.
pub fn check(map: &OriginMap, configs: &[OriginConfig]) -> Vec<Finding> {
    let configs = match configured(map, configs) {
        Ok(configs) => configs,
        Err(error) => return vec![Finding::new("the configuration".to_owned(), &error)],
    };
    let mut findings = Vec::new();
    for (origin, config) in (0u16..).zip(configs) {
        let found = match sqlite_path(&config.url) {
            Ok(path) => catalogue::check(&path, map, origin),
            Err(error) => vec![catalogue::Misfit::of_origin(error)],
        };
        findings.extend(found.into_iter().map(|misfit| {
            let (keyspace, text) = (misfit.keyspace, misfit.text);
            let own = keyspace.and_then(|name| config.places.keyspaces.get(name));
            let own = own.map(|places| &places[usize::from(misfit.is_table)]);
            let place = own.unwrap_or(&config.places.origin).clone();
            let named = keyspace.map_or(String::new(), |name| format!("keyspace {name}: "));
            Finding::new(place, &format!("origin {}: {named}{text}", config.name))
        }));
    }
    findings
}

/// Whether the databases are there at all, so that a finding of [`check`] is about the mapping.
pub fn reachable(configs: &[OriginConfig]) -> bool {
    let there = |config: &OriginConfig| sqlite_path(&config.url).is_ok_and(|path| path.exists());
    configs.iter().all(there)
}

/// The origin that a request is for.
fn origin_of(map: &OriginMap, request: &OriginRequest) -> usize {
    let keyspace = match request {
        OriginRequest::Takeover(takeover) => takeover.lane.keyspace,
        OriginRequest::Flush(flush) => flush.lane.keyspace,
        OriginRequest::Load(load) => load.keyspace,
    };
    usize::from(map.policy(keyspace).origin)
}

#[cfg(test)]
mod tests;
