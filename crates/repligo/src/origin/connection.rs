//! Connections to a SQLite file and transactions on them: durability settings, the wait for the write
//! lock, and the certainty that what was not committed is rolled back.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::{Failure, Stage, sort};
use super::sqlite::StoreSettings;

/// Pause between two attempts to get the write lock. Short against a transaction, so that the lock is
/// taken soon after it is free; SQLite's own back-off goes up to 100 ms.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// How long a look at the catalogue waits for a lock.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// Statements kept prepared per connection.
const STATEMENTS: usize = 256;

/// Opens a file that exists, with the settings that every connection of this driver has.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_millis(20))?;
    // Readers go on beside a writer. A file system without shared memory keeps its journal mode.
    let _: rusqlite::Result<String> = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0));
    // An acknowledged write must survive a power loss of the database's machine.
    connection.execute_batch("PRAGMA synchronous=FULL")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens a file that exists to look at it: it stays as it is, its journal mode too.
pub fn connect_to_look(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(LOOK_PATIENCE)?;
    Ok(connection)
}

fn open(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Without this SQLite reads the quoted name of a column that is gone as the text of that name.
    for quirk in [
        DbConfig::SQLITE_DBCONFIG_DQS_DML,
        DbConfig::SQLITE_DBCONFIG_DQS_DDL,
    ] {
        connection.set_db_config(quirk, false)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    Ok(connection)
}

/// Takes the write lock, waiting as long as the settings allow.
pub fn begin(connection: &Connection, settings: &StoreSettings) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let error = match connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        let stopped = settings.stop.load(Ordering::Relaxed);
        if !busy || stopped || started.elapsed() >= settings.timeout {
            return Err(sort(&error, Stage::Frame));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// A transaction that is rolled back unless it is committed.
pub struct Ongoing<'a> {
    pub connection: &'a Connection,
}

impl Ongoing<'_> {
    /// Makes it durable; after an error of the file nobody knows whether it is.
    pub fn commit(self) -> Result<(), Failure> {
        self.connection
            .execute_batch("COMMIT")
            .map_err(|error| sort(&error, Stage::Commit))
    }
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // Should this fail, the connection is dropped, which rolls back as well.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
