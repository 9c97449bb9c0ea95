//! The lane protocol on a SQLite file: one connection, one transaction at a time.
//!
//! It decides nothing: `repligo_core::origin::plan` says what goes into a transaction. Invariants: every
//! write transaction is `BEGIN IMMEDIATE`, so it reads what it changes under the write lock; after every
//! failure the transaction is rolled back or the connection is dropped; a file that was replaced under an
//! open connection is never written; what a transaction reads or writes fits the schema that it sees.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use repligo_core::origin::plan::{LaneStore, LaneTransaction, Row, TransactionOutcome};
use repligo_core::origin::{Fence, LaneId, Mode, OriginError, OriginMap, Policy, TakenOver, Takeover};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::catalogue;
use super::claim::is_ours;
use super::connection::{Ongoing, begin, connect};
use super::failure::{Failure, Stage, sort};
use super::reach::Readers;
use super::statements::{Statements, bind_key, bind_value, read_value};

const LANE_TABLES: &str = "
CREATE TABLE IF NOT EXISTS repligo_lane(
  cluster TEXT NOT NULL, keyspace TEXT NOT NULL, lane INTEGER NOT NULL,
  gen INTEGER NOT NULL, term INTEGER NOT NULL, applied INTEGER NOT NULL, owner TEXT NOT NULL,
  PRIMARY KEY(cluster, keyspace, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repligo_reject(
  cluster TEXT NOT NULL, keyspace TEXT NOT NULL, lane INTEGER NOT NULL,
  gen INTEGER NOT NULL, sequence INTEGER NOT NULL, error BLOB NOT NULL,
  PRIMARY KEY(cluster, keyspace, lane, gen, sequence)) WITHOUT ROWID;";

/// Where a store is and on whose behalf it writes.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The file.
    pub path: PathBuf,
    /// Longest wait for the write lock.
    pub timeout: Duration,
    /// The cluster's id as text; lane rows of another cluster in the file are an error.
    pub cluster: String,
    /// This node's name; for people who read the lane table.
    pub owner: String,
    /// The mapping.
    pub map: Arc<OriginMap>,
    /// Set to make a wait for the lock end at once.
    pub stop: Arc<AtomicBool>,
}

/// A SQLite file as a [`LaneStore`].
#[derive(Debug)]
pub struct SqliteStore {
    settings: StoreSettings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Device and inode of the file.
    identity: (u64, u64),
    /// What was found to fit, under the schema of `schema_version`.
    fitting: Fitting,
    /// The lane tables exist.
    lane_tables: bool,
}

/// The keyspaces that were found to fit one version of the schema.
#[derive(Debug, Default)]
struct Fitting {
    /// SQLite counts every change of a schema in the file.
    schema_version: Option<i64>,
    /// Per keyspace, as far as used.
    statements: BTreeMap<u16, Statements>,
    /// Which keyspaces read which columns, once it was asked.
    readers: Option<Readers>,
}

impl Fitting {
    /// To be called first in a transaction: what was found under another schema says nothing any more.
    fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version: i64 = connection
            .prepare_cached("PRAGMA schema_version")?
            .query_row([], |row| row.get(0))?;
        if self.schema_version != Some(version) {
            *self = Self {
                schema_version: Some(version),
                ..Self::default()
            };
        }
        Ok(())
    }

    /// The statements of a keyspace, after its mapping was found to fit.
    fn statements(
        &mut self,
        connection: &Connection,
        map: &OriginMap,
        keyspace: u16,
    ) -> Result<Statements, Failure> {
        if let Some(found) = self.statements.get(&keyspace) {
            return Ok(found.clone());
        }
        let inspected = catalogue::inspect(connection, map, keyspace, &mut self.readers);
        match inspected.map_err(|error| sort(&error, Stage::Frame))? {
            Ok(found) => Ok(self.statements.entry(keyspace).or_insert(found).clone()),
            Err(findings) => Err(Failure::Origin(OriginError::Configuration(findings.join("; ")))),
        }
    }
}

impl SqliteStore {
    /// Opens nothing yet.
    pub fn new(settings: StoreSettings) -> Self {
        Self { settings, open: None }
    }

    fn identity(&self) -> Option<(u64, u64)> {
        let metadata = std::fs::metadata(&self.settings.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// The connection, opened anew if the file was replaced.
    fn open(&mut self) -> Result<&mut Open, Failure> {
        let identity = self.identity();
        if self
            .open
            .as_ref()
            .is_some_and(|open| Some(open.identity) != identity)
        {
            self.open = None;
        }
        let Some(identity) = identity else {
            let text = format!("{} does not exist", self.settings.path.display());
            return Err(Failure::Origin(OriginError::Down(text)));
        };
        if self.open.is_none() {
            let connection = connect(&self.settings.path).map_err(|error| sort(&error, Stage::Frame))?;
            self.open = Some(Open {
                connection,
                identity,
                fitting: Fitting::default(),
                lane_tables: false,
            });
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    /// Runs `work` in one write transaction. Nothing is written unless it returns `Ok`.
    fn write<T>(&mut self, work: impl FnOnce(&mut Work<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let settings = self.settings.clone();
        let result = self.open().and_then(|open| open.write(&settings, work));
        // After anything unexpected the next attempt starts from a new connection and a new look at the
        // catalogue; data errors and lost races are everyday and leave a rolled back connection.
        let expected = matches!(
            result,
            Ok(_)
                | Err(Failure::Data(..))
                | Err(Failure::Origin(OriginError::Fenced | OriginError::Unclaimed))
        );
        let clean = |open: &Open| open.connection.is_autocommit();
        if !expected || !self.open.as_ref().is_some_and(clean) {
            self.open = None;
        }
        result
    }
}

impl Open {
    fn write<T>(
        &mut self,
        settings: &StoreSettings,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        begin(&self.connection, settings)?;
        let transaction = Ongoing {
            connection: &self.connection,
        };
        self.fitting
            .refresh(&self.connection)
            .map_err(|error| sort(&error, Stage::Frame))?;
        if !self.lane_tables {
            self.connection
                .execute_batch(LANE_TABLES)
                .map_err(|error| sort(&error, Stage::Frame))?;
        }
        let mut frame = Work {
            connection: transaction.connection,
            fitting: &mut self.fitting,
            settings,
        };
        let value = work(&mut frame)?;
        transaction.commit()?;
        self.lane_tables = true;
        Ok(value)
    }
}

/// One transaction at work.
struct Work<'a> {
    connection: &'a Connection,
    fitting: &'a mut Fitting,
    settings: &'a StoreSettings,
}

impl Work<'_> {
    fn statements(&mut self, keyspace: u16) -> Result<Statements, Failure> {
        self.fitting
            .statements(self.connection, &self.settings.map, keyspace)
    }

    fn name(&self, lane: LaneId) -> &str {
        &self.settings.map.policy(lane.keyspace).name
    }

    /// Advances the lane row if it is where it must be; false when it is not.
    fn advance(&self, transaction: &LaneTransaction<'_>) -> rusqlite::Result<bool> {
        assert!(
            transaction.compare_and_set,
            "planted bugs are for stores of tests"
        );
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE repligo_lane SET gen=?1, term=?2, applied=?3, owner=?4 \
                 WHERE cluster=?5 AND keyspace=?6 AND lane=?7 AND applied=?8 AND (gen, term)<=(?1, ?2)",
            )?
            .execute(params![
                transaction.fence.generation as i64,
                transaction.fence.term as i64,
                transaction.upto as i64,
                self.settings.owner,
                self.settings.cluster,
                self.name(transaction.lane),
                transaction.lane.lane,
                transaction.from as i64,
            ])?;
        Ok(changed == 1)
    }

    fn record_rejects(&self, transaction: &LaneTransaction<'_>) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO repligo_reject VALUES(?1,?2,?3,?4,?5,?6)")?;
        for (sequence, text) in &transaction.rejects {
            statement.execute(params![
                self.settings.cluster,
                self.name(transaction.lane),
                transaction.lane.lane,
                transaction.fence.generation as i64,
                *sequence as i64,
                text,
            ])?;
        }
        Ok(())
    }

    /// Writes the rows and reads them back: defaults, triggers and conversions count.
    fn write_rows(&mut self, lane: LaneId, rows: &[Row<'_>]) -> Result<Vec<(Bytes, Option<Bytes>)>, Failure> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let statements = self.statements(lane.keyspace)?;
        let policy = self.settings.map.policy(lane.keyspace);
        let prepare = |sql: &str| {
            self.connection
                .prepare_cached(sql)
                .map_err(|error| sort(&error, Stage::Frame))
        };
        let mut upsert = prepare(&statements.upsert)?;
        let mut delete = prepare(&statements.delete)?;
        for (at, row) in rows.iter().enumerate() {
            let written = match row.value {
                Some(value) => bind_key(&mut upsert, policy, row.key).and_then(|bound| {
                    bind_value(&mut upsert, (policy, statements.blob), bound, value)?;
                    upsert.raw_execute()
                }),
                None => bind_key(&mut delete, policy, row.key).and_then(|_| delete.raw_execute()),
            };
            written.map_err(|error| sort(&error, Stage::Row(at)))?;
        }
        let mut select = prepare(&statements.select)?;
        let mut canonical = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let stored = read(&mut select, policy, row.key).map_err(|error| sort(&error, Stage::Row(at)))?;
            if stored.as_deref() != row.value {
                canonical.push((Bytes::copy_from_slice(row.key), stored));
            }
        }
        Ok(canonical)
    }

    fn take_over(&mut self, takeover: &Takeover) -> Result<TakenOver, Failure> {
        let frame = |error: rusqlite::Error| sort(&error, Stage::Frame);
        if !is_ours(self.connection, self.settings)? && !takeover.claim {
            return Err(Failure::Origin(OriginError::Unclaimed));
        }
        // A mapping that does not fit is found before any write depends on it, and keeps nobody from the lane:
        // what is pending is rejected in the lane's own tables.
        let misfit = match self.statements(takeover.lane.keyspace) {
            Ok(_) => None,
            Err(Failure::Origin(OriginError::Configuration(detail))) => Some(detail),
            Err(failure) => return Err(failure),
        };
        let row = self.lane_row(takeover.lane).map_err(frame)?;
        let (stored, applied) = row.unwrap_or((takeover.fence, 0));
        if stored <= takeover.fence {
            self.fence(takeover).map_err(frame)?;
            self.forget_rejects(takeover).map_err(frame)?;
        }
        let rejects = self.rejects(takeover, applied).map_err(frame)?;
        Ok(TakenOver {
            applied,
            stored,
            rejects,
            misfit,
        })
    }

    fn lane_row(&self, lane: LaneId) -> rusqlite::Result<Option<(Fence, u64)>> {
        self.connection
            .prepare_cached(
                "SELECT gen, term, applied FROM repligo_lane WHERE cluster=?1 AND keyspace=?2 AND lane=?3",
            )?
            .query_row(
                params![self.settings.cluster, self.name(lane), lane.lane],
                |row| {
                    let fence = Fence {
                        generation: row.get::<_, i64>(0)? as u64,
                        term: row.get::<_, i64>(1)? as u64,
                    };
                    Ok((fence, row.get::<_, i64>(2)? as u64))
                },
            )
            .optional()
    }

    fn fence(&self, takeover: &Takeover) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached(
                "INSERT INTO repligo_lane VALUES(?1,?2,?3,?4,?5,0,?6) ON CONFLICT DO UPDATE \
                 SET gen=excluded.gen, term=excluded.term, owner=excluded.owner",
            )?
            .execute(params![
                self.settings.cluster,
                self.name(takeover.lane),
                takeover.lane.lane,
                takeover.fence.generation as i64,
                takeover.fence.term as i64,
                self.settings.owner,
            ])
    }

    /// Rejects that the log knows, and those of earlier numberings.
    fn forget_rejects(&self, takeover: &Takeover) -> rusqlite::Result<usize> {
        self.connection
            .prepare_cached(
                "DELETE FROM repligo_reject WHERE cluster=?1 AND keyspace=?2 AND lane=?3 \
                 AND (gen<?4 OR gen=?4 AND sequence<=?5)",
            )?
            .execute(params![
                self.settings.cluster,
                self.name(takeover.lane),
                takeover.lane.lane,
                takeover.fence.generation as i64,
                takeover.resolved as i64,
            ])
    }

    fn rejects(&self, takeover: &Takeover, applied: u64) -> rusqlite::Result<Vec<(u64, Bytes)>> {
        self.connection
            .prepare_cached(
                "SELECT sequence, error FROM repligo_reject WHERE cluster=?1 AND keyspace=?2 AND lane=?3 \
                 AND gen=?4 AND sequence>?5 AND sequence<=?6 ORDER BY sequence",
            )?
            .query_map(
                params![
                    self.settings.cluster,
                    self.name(takeover.lane),
                    takeover.lane.lane,
                    takeover.fence.generation as i64,
                    takeover.resolved as i64,
                    applied as i64,
                ],
                |row| {
                    Ok((
                        row.get::<_, i64>(0)? as u64,
                        Bytes::from(row.get::<_, Vec<u8>>(1)?),
                    ))
                },
            )?
            .collect()
    }
}

fn read(
    select: &mut rusqlite::Statement<'_>,
    policy: &Policy,
    key: &[u8],
) -> rusqlite::Result<Option<Bytes>> {
    bind_key(select, policy, key)?;
    let mut rows = select.raw_query();
    rows.next()?.map(|row| read_value(row, &policy.value)).transpose()
}

impl LaneStore for SqliteStore {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        let result = self.write(|work| {
            let ours = work
                .advance(transaction)
                .map_err(|error| sort(&error, Stage::Frame))?;
            if !ours {
                return Err(Failure::Origin(OriginError::Fenced));
            }
            let canonical = work.write_rows(transaction.lane, &transaction.rows)?;
            work.record_rejects(transaction)
                .map_err(|error| sort(&error, Stage::Frame))?;
            Ok(canonical)
        });
        result.map_or_else(TransactionOutcome::from, TransactionOutcome::Committed)
    }

    fn takeover(&mut self, takeover: &Takeover) -> Result<TakenOver, OriginError> {
        self.write(|work| work.take_over(takeover))
            .map_err(OriginError::from)
    }

    fn load(&mut self, keyspace: u16, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        let settings = self.settings.clone();
        let map = &settings.map;
        let result = self.open().and_then(|open| {
            let policy = map.policy(keyspace);
            let frame = |error: rusqlite::Error| sort(&error, Stage::Frame);
            let transaction: Transaction<'_> = open.connection.unchecked_transaction().map_err(frame)?;
            open.fitting.refresh(&transaction).map_err(frame)?;
            // A lane row of this cluster, and none of another, keeps everybody else from writing what is cached.
            if policy.mode == Mode::WriteThrough && !is_ours(&transaction, &settings)? {
                return Err(Failure::Origin(OriginError::Unclaimed));
            }
            let statements = open.fitting.statements(&transaction, map, keyspace)?;
            let mut select = transaction.prepare_cached(&statements.select).map_err(frame)?;
            keys.iter()
                .map(|key| read(&mut select, policy, key).map_err(frame))
                .collect()
        });
        let of_connection = !matches!(
            result,
            Ok(_) | Err(Failure::Origin(OriginError::Unclaimed | OriginError::Foreign(_)))
        );
        if of_connection {
            self.open = None;
        }
        result.map_err(OriginError::from)
    }
}
