//! What the driver does when the schema changes while it runs.

use super::*;

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT, name TEXT);
     INSERT INTO t VALUES (1, 'a@b.c', 'x'), (2, 'd@e.f', 'y');";

fn try_load(store: &mut SqliteStore, key: &str) -> Result<Option<Bytes>, OriginError> {
    let keys = [Bytes::copy_from_slice(key.as_bytes())];
    store.load(0, &keys).map(|mut values| values.remove(0))
}

/// A store that has loaded and written under the schema as it was.
fn store_in_use(database: &Database) -> SqliteStore {
    let mut store = database.store(&json("t:{id:int}", "t", &["email", "name"]));
    take_over(&mut store, 1, 0).unwrap();
    write(
        &mut store,
        (1, 0),
        &[&[("t:1", Some(br#"{"email":"a","name":"x"}"#))]],
    )
    .unwrap();
    assert!(load(&mut store, "t:2").is_some());
    store
}

#[test]
fn a_column_that_is_gone_is_an_error_and_never_the_text_of_its_name() {
    for change in ["RENAME COLUMN email TO mail", "DROP COLUMN email"] {
        let database = Database::new(SCHEMA);
        let mut store = store_in_use(&database);
        database
            .connection()
            .execute_batch(&format!("ALTER TABLE t {change}"))
            .unwrap();
        let loaded = try_load(&mut store, "t:2");
        let wrong = |error: &OriginError| matches!(error, OriginError::Configuration(text) if text.contains("table t has no column email"));
        assert!(loaded.as_ref().is_err_and(wrong), "{change}: {loaded:?}");
        let written = write(
            &mut store,
            (1, 1),
            &[&[("t:2", Some(br#"{"email":"z","name":"y"}"#))]],
        );
        let refused = written.as_ref().is_ok_and(|flushed| flushed.rejects.len() == 1);
        assert!(refused, "{change}: {written:?}");
        assert_eq!(database.text("SELECT name FROM t WHERE id=2"), "Text(\"y\")");
    }
}

#[test]
fn a_quoted_name_is_never_text_even_without_the_check() {
    let database = Database::new(SCHEMA);
    let connection = super::super::connection::connect(&database.path()).unwrap();
    for sql in [
        "SELECT \"gone\" FROM t",
        "SELECT \"t\".\"gone\" FROM t",
        "DELETE FROM t WHERE \"gone\"='gone'",
    ] {
        let error = connection.prepare(sql).map(drop).unwrap_err().to_string();
        assert!(error.contains("no such column"), "{sql}: {error}");
    }
}

#[test]
fn a_schema_that_fits_again_is_used_again() {
    let database = Database::new(SCHEMA);
    let mut store = store_in_use(&database);
    let alter = |sql: &str| database.connection().execute_batch(sql).unwrap();
    alter("ALTER TABLE t RENAME COLUMN email TO mail");
    assert!(try_load(&mut store, "t:2").is_err());
    alter("ALTER TABLE t RENAME COLUMN mail TO email");
    assert_eq!(
        load(&mut store, "t:2").unwrap(),
        &br#"{"email":"d@e.f","name":"y"}"#[..]
    );
    alter("ALTER TABLE t ADD COLUMN more");
    let written = write(
        &mut store,
        (1, 1),
        &[&[("t:2", Some(br#"{"email":"z","name":"y"}"#))]],
    );
    assert_eq!(written.unwrap().misfit, None);
    assert_eq!(database.text("SELECT email FROM t WHERE id=2"), "Text(\"z\")");
}

#[test]
fn a_trigger_that_comes_later_stops_the_writes_that_it_would_follow() {
    let database = Database::new(SCHEMA);
    let mut store = store_in_use(&database);
    let trigger = "CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE t SET name='n' WHERE id=2; END";
    database.connection().execute_batch(trigger).unwrap();
    let written = write(
        &mut store,
        (1, 1),
        &[&[("t:1", Some(br#"{"email":"z","name":"y"}"#))]],
    );
    let misfit = written.unwrap().misfit.expect("the trigger changes other rows");
    assert!(misfit.contains("by trigger g"), "{misfit}");
    assert_eq!(database.text("SELECT name FROM t WHERE id=2"), "Text(\"y\")");
    database.connection().execute_batch("DROP TRIGGER g").unwrap();
    write(
        &mut store,
        (1, 2),
        &[&[("t:1", Some(br#"{"email":"z","name":"y"}"#))]],
    )
    .unwrap();
}

#[test]
fn foreign_keys_stay_enforced_after_the_check() {
    let database = Database::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE t(id INTEGER PRIMARY KEY, body INT REFERENCES p(id))",
    );
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    let flushed = write(&mut store, (1, 0), &[&[("t:1", Some(b"9"))]]).unwrap();
    assert_eq!(flushed.rejects.len(), 1, "{flushed:?}");
}
