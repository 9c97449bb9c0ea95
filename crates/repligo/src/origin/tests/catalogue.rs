//! What the check at start finds.

use super::super::{OriginConfig, check};
use super::*;

fn findings(schema: &str, map: &Arc<OriginMap>) -> Vec<String> {
    let database = Database::new(schema);
    let config = OriginConfig {
        name: "main".to_owned(),
        url: format!("sqlite:{}", database.path().display()),
        statement_timeout: Duration::from_secs(1),
    };
    check(map, &[config])
}

fn fits(schema: &str) {
    assert_eq!(
        findings(schema, &raw("t:{id:int}", "t")),
        Vec::<String>::new(),
        "{schema}"
    );
}

fn finds(schema: &str, expect: &str) {
    let found = findings(schema, &raw("t:{id:int}", "t")).join("\n");
    assert!(found.contains(expect), "{schema}: {found}");
}

#[test]
fn tables_that_fit() {
    fits("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    fits("CREATE TABLE T(ID INT NOT NULL PRIMARY KEY, BODY TEXT) WITHOUT ROWID");
    fits(
        "CREATE TABLE t(nr INTEGER PRIMARY KEY, id INT UNIQUE, body NOT NULL, at TEXT NOT NULL DEFAULT 'now')",
    );
    fits("CREATE TABLE t(id INT, body, x AS (body), y); CREATE UNIQUE INDEX i ON t(id)");
}

#[test]
fn tables_that_do_not_fit() {
    finds(
        "CREATE TABLE x(y)",
        "origin main: keyspace mapped: table t does not exist; create it, for instance: CREATE TABLE \"t\" (\"id\" INTEGER NOT NULL, \"body\", PRIMARY KEY (\"id\"))",
    );
    finds("CREATE VIEW t AS SELECT 1 AS id, 2 AS body", "is a view");
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, text)",
        "table t has no column body (it has: id, text)",
    );
    finds(
        "CREATE TABLE t(id INT, body)",
        "CREATE UNIQUE INDEX \"t_key\" ON \"t\"(\"id\")",
    );
    finds(
        "CREATE TABLE t(id INT, b, body, UNIQUE(id, b))",
        "no unique index of exactly",
    );
    finds(
        "CREATE TABLE t(id INT, body); CREATE UNIQUE INDEX i ON t(id) WHERE body>1",
        "no unique index of exactly",
    );
    finds("CREATE TABLE t(id REAL PRIMARY KEY, body)", "declare it INTEGER");
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body, at TEXT NOT NULL)",
        "column t.at is NOT NULL, has no default and is not mapped",
    );
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x, body AS (x))",
        "is generated",
    );
}

#[test]
fn text_keys_must_be_told_apart_by_the_column() {
    let map = raw("p:{name:text}", "p");
    assert!(findings("CREATE TABLE p(name TEXT PRIMARY KEY, body)", &map).is_empty());
    assert!(findings("CREATE TABLE p(name PRIMARY KEY, body)", &map).is_empty());
    let folded = findings("CREATE TABLE p(name TEXT COLLATE NOCASE PRIMARY KEY, body)", &map).join("");
    assert!(folded.contains("compares with NOCASE"), "{folded}");
    let number = findings("CREATE TABLE p(name INT PRIMARY KEY, body)", &map).join("");
    assert!(number.contains("declare it TEXT"), "{number}");
}

#[test]
fn databases_and_origins_that_are_missing() {
    let map = raw("t:{id:int}", "t");
    let config = |url: &str| OriginConfig {
        name: "main".to_owned(),
        url: url.to_owned(),
        statement_timeout: Duration::from_secs(1),
    };
    let one = |configs: &[OriginConfig]| check(&map, configs).join("\n");
    assert!(one(&[]).contains("[origin.main] is missing"));
    assert!(one(&[config("postgres://x")]).contains("write sqlite:PATH"));
    assert!(one(&[config("sqlite:/nowhere/app.db")]).contains("does not exist"));
    let database = Database::new("CREATE TABLE x(y)");
    let other = database.path().with_extension("txt");
    std::fs::write(&other, vec![b'x'; 4096]).unwrap();
    let found = one(&[config(&format!("sqlite:{}", other.display()))]);
    assert!(found.contains("file is not a database"), "{found}");
}
