//! Tests of the SQLite driver on real files.
#![allow(clippy::unwrap_used)]

mod catalogue;
mod lanes;
mod schema;
mod threads;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use repligo_core::origin::plan::{LaneStore, flush};
use repligo_core::origin::{
    Effect, Fence, Flush, FlushIntent, Flushed, KeyspaceConfig, LANES, LaneId, Mode, OriginError, OriginMap,
    TakenOver, Takeover, ValueConfig,
};
use rusqlite::Connection;

use super::sqlite::{SqliteStore, StoreSettings};

/// Effects of one intent: (key, value or none to delete).
pub type Effects<'a> = [(&'a str, Option<&'a [u8]>)];

pub const LANE: LaneId = LaneId { keyspace: 0, lane: 0 };

/// A database file that goes when the test ends.
pub struct Database {
    folder: PathBuf,
}

impl Database {
    pub fn new(schema: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("repligo-origin-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let new = Self { folder };
        Connection::open(new.path())
            .unwrap()
            .execute_batch(schema)
            .unwrap();
        new
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("app.db")
    }

    pub fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    pub fn text(&self, sql: &str) -> String {
        self.connection()
            .query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{value:?}"))
            .unwrap()
    }

    pub fn store(&self, map: &Arc<OriginMap>) -> SqliteStore {
        SqliteStore::new(settings(&self.path(), map))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn settings(path: &Path, map: &Arc<OriginMap>) -> StoreSettings {
    StoreSettings {
        path: path.to_owned(),
        timeout: Duration::from_millis(300),
        cluster: "c1".to_owned(),
        owner: "n1".to_owned(),
        map: Arc::clone(map),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

pub fn config(pattern: &str, table: &str, value: ValueConfig) -> KeyspaceConfig {
    KeyspaceConfig {
        name: "mapped".to_owned(),
        pattern: pattern.to_owned(),
        database: 0,
        lanes: LANES,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: table.to_owned(),
        key: Vec::new(),
        value,
        cache_ttl_ms: None,
        negative_ttl_ms: 2_000,
        flush_deadline_ms: 30_000,
    }
}

pub fn raw(pattern: &str, table: &str) -> Arc<OriginMap> {
    let column = "body".to_owned();
    map(config(pattern, table, ValueConfig::Raw { column }))
}

pub fn json(pattern: &str, table: &str, members: &[&str]) -> Arc<OriginMap> {
    let fields = members
        .iter()
        .map(|m| ((*m).to_owned(), (*m).to_owned()))
        .collect();
    map(config(pattern, table, ValueConfig::Json { fields }))
}

pub fn map(config: KeyspaceConfig) -> Arc<OriginMap> {
    Arc::new(OriginMap::new(vec![config]).unwrap())
}

pub fn fence(term: u64) -> Fence {
    Fence { generation: 1, term }
}

pub fn take_over(store: &mut SqliteStore, term: u64, resolved: u64) -> Result<TakenOver, OriginError> {
    store.takeover(&Takeover {
        lane: LANE,
        fence: fence(term),
        resolved,
        claim: true,
    })
}

/// Intents `from + 1 …`, each one a list of (key, value or none to delete).
pub fn request(term: u64, from: u64, intents: &[&Effects<'_>]) -> Flush {
    let intents = intents.iter().zip(from + 1..);
    Flush {
        keyspace_name: "rows".to_owned(),
        lane: LANE,
        fence: fence(term),
        from,
        intents: intents
            .map(|(effects, sequence)| FlushIntent {
                sequence,
                skip: None,
                effects: effects
                    .iter()
                    .map(|(key, value)| Effect {
                        key: Bytes::copy_from_slice(key.as_bytes()),
                        value: value.map(Bytes::copy_from_slice),
                    })
                    .collect(),
            })
            .collect(),
        final_upto: u64::MAX,
    }
}

pub fn write(
    store: &mut SqliteStore,
    (term, from): (u64, u64),
    intents: &[&Effects<'_>],
) -> Result<Flushed, OriginError> {
    flush(store, &request(term, from, intents))
}

pub fn load(store: &mut SqliteStore, key: &str) -> Option<Bytes> {
    let keys = [Bytes::copy_from_slice(key.as_bytes())];
    store.load(0, &keys).unwrap().remove(0)
}
