//! The database of the demo: one table for the write-through keyspace, made and read without Repligo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::config::url;

/// Table of the mapped keyspace. It is made if it does not exist, and never dropped.
const TABLE: &str = "repligo_demo";
/// Rows of one run lie in a block of their own, so that a database can be used again.
const BLOCK: i64 = 1_000_000_000;

/// The database file and this run's block of rows.
#[derive(Clone, Debug)]
pub struct DemoDatabase {
    /// `sqlite:PATH` with an absolute path.
    pub url: String,
    path: PathBuf,
    /// First row number of this run.
    pub first_row: i64,
}

impl DemoDatabase {
    /// Opens or makes the database: the one that was asked for, or a new one in the folder.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn prepare(url: Option<&str>, folder: &Path) -> Result<DemoDatabase, String> {
        let given = url.unwrap_or("sqlite:origin.db");
        // A path on the command line is relative to the working directory, the default to the folder.
        let base = if url.is_some() {
            PathBuf::from("command-line")
        } else {
            folder.join("demo.toml")
        };
        let url = url::resolve(given, &base)
            .map_err(|(what, remedy)| format!("{what}\n  where: --origin {given}\n  do: {remedy}"))?;
        let path = PathBuf::from(url.trim_start_matches("sqlite:"));
        judge_owner(&path, given)?;
        let failed = |error: rusqlite::Error| {
            format!(
                "the database cannot be used: {error}\n  where: {}\n  do: give another --origin",
                path.display()
            )
        };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS {TABLE} (id INTEGER PRIMARY KEY, body TEXT NOT NULL);"
            ))
            .map_err(failed)?;
        let highest: i64 = connection
            .query_row(&format!("SELECT coalesce(max(id), 0) FROM {TABLE}"), [], |row| {
                row.get(0)
            })
            .map_err(failed)?;
        let first_row = (highest / BLOCK + 1) * BLOCK;
        Ok(DemoDatabase { url, path, first_row })
    }

    /// The configuration file of the nodes.
    pub fn configuration(&self) -> String {
        // TOML's literal strings take a path as it is; a quote in it would end them.
        format!(
            "# Written by `repligo demo`.\n[origin.main]\nurl = {}\n\n[[keyspace]]\nname = \"users\"\n\
             pattern = \"user:{{id:int}}\"\norigin = \"main\"\nmode = \"write-through\"\ntable = \"{TABLE}\"\n\
             key = {{ id = \"id\" }}\nvalue = \"raw\"\nvalue_column = \"body\"\n",
            toml::Value::String(self.url.clone())
        )
    }

    /// What is left in a database that was given, in words.
    pub fn left_behind(&self) -> String {
        format!(
            "{} keeps the table {TABLE} and the tables repligo_lane and repligo_reject: drop them when they are not \
             wanted",
            self.path.display()
        )
    }

    /// All rows of this run.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn rows(&self) -> Result<BTreeMap<i64, String>, String> {
        let read = || -> rusqlite::Result<BTreeMap<i64, String>> {
            let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            let mut statement =
                connection.prepare(&format!("SELECT id, body FROM {TABLE} WHERE id >= ?1"))?;
            let rows = statement.query_map([self.first_row], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|error| {
            format!(
                "the database cannot be read: {error}\n  where: {}",
                self.path.display()
            )
        })
    }
}

/// The nodes of this run are a new cluster, and refuse a database that another one has written to.
fn judge_owner(path: &Path, given: &str) -> Result<(), String> {
    // A database that is not there yet, or has no lanes, belongs to nobody.
    let clusters = crate::origin::clusters(path).unwrap_or_default();
    let Some(cluster) = clusters.first() else {
        return Ok(());
    };
    Err(format!(
        "the database belongs to cluster {cluster}, and two clusters must not write one database\n  where: --origin \
         {given}\n  do: give another file; if that cluster is gone for good, as that of an earlier demo is: sqlite3 {} \
         \"DELETE FROM repligo_lane\"",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_can_be_used_again_without_mixing_runs() {
        let folder = std::env::temp_dir().join(format!("repligo-demo-database-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let first = DemoDatabase::prepare(None, &folder).expect("new database");
        let connection = Connection::open(&first.path).expect("open");
        connection
            .execute(
                &format!("INSERT INTO {TABLE} VALUES (?1, 'x')"),
                [first.first_row + 5],
            )
            .expect("inserted");
        assert_eq!(first.rows().expect("readable").len(), 1);
        let second = DemoDatabase::prepare(None, &folder).expect("same database");
        assert!(second.first_row > first.first_row + 5);
        assert!(second.rows().expect("readable").is_empty());
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_database_of_another_cluster_is_refused() {
        let folder = std::env::temp_dir().join(format!("repligo-demo-foreign-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let path = folder.join("app.db");
        let connection = Connection::open(&path).expect("open");
        connection
            .execute_batch(
                "CREATE TABLE repligo_lane(cluster TEXT); INSERT INTO repligo_lane VALUES ('abcd');",
            )
            .expect("lanes");
        let url = format!("sqlite:{}", path.display());
        let text = DemoDatabase::prepare(Some(&url), &folder).expect_err("another cluster's");
        assert!(
            text.contains("cluster abcd") && text.contains("do: give another file"),
            "{text}"
        );
        let made: i64 = connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = ?1",
                [TABLE],
                |row| row.get(0),
            )
            .expect("readable");
        assert_eq!(made, 0, "nothing was made in it");
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn the_configuration_is_valid() {
        let folder = std::env::temp_dir().join(format!("repligo-demo-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let database = DemoDatabase::prepare(None, &folder).expect("new database");
        let path = folder.join("demo.toml");
        std::fs::write(&path, database.configuration()).expect("written");
        let settings = crate::config::check_file(&path).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(settings.origins.keyspaces[0].pattern, "user:{id:int}");
        let _ = std::fs::remove_dir_all(&folder);
    }
}
