//! What the check at start finds.

use super::super::{OriginConfig, Places, check};
use super::*;

fn findings(schema: &str, map: &Arc<OriginMap>) -> Vec<String> {
    let database = Database::new(schema);
    let config = OriginConfig {
        name: "main".to_owned(),
        url: format!("sqlite:{}", database.path().display()),
        statement_timeout: Duration::from_secs(1),
        places: Places::default(),
    };
    let found = check(map, &[config]);
    found.iter().map(ToString::to_string).collect()
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
        "origin main: keyspace mapped: table t does not exist; did you mean `x`? The database has: x. Or create it, for instance: CREATE TABLE \"t\" (\"id\" INTEGER NOT NULL, \"body\", PRIMARY KEY (\"id\"))",
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
fn a_table_that_changes_rows_behind_us_is_refused() {
    let t = "CREATE TABLE t(id INTEGER PRIMARY KEY, body, other INT);";
    let with = |more: &str| format!("{t} {more}");
    finds(
        &with("CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE t SET body=1 WHERE id=7; END"),
        "also changes column t.body by trigger g, and keyspace mapped would keep the cached rows",
    );
    finds(
        &with("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t WHERE id<new.id; END"),
        "rows of table t by trigger g",
    );
    // Through a table that nobody maps.
    finds(
        &with(
            "CREATE TABLE log(x); CREATE TRIGGER one AFTER DELETE ON t BEGIN INSERT INTO log VALUES (1); END;
             CREATE TRIGGER two AFTER INSERT ON log BEGIN UPDATE t SET body=2; END",
        ),
        "column t.body by trigger two",
    );
    finds(
        &with("CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE OR REPLACE t SET other=1; END"),
        "rows of table t by trigger g",
    );
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body, up INT REFERENCES t(id) ON DELETE CASCADE)",
        "rows of table t by the action of a foreign key",
    );
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body INT REFERENCES t(id) ON DELETE SET NULL)",
        "column t.body by the action of a foreign key",
    );
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body UNIQUE REFERENCES t(body) ON UPDATE CASCADE)",
        "column t.body by the action of a foreign key",
    );
    finds(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body, mail UNIQUE ON CONFLICT REPLACE)",
        "rows of table t by ON CONFLICT REPLACE",
    );
}

#[test]
fn triggers_and_foreign_keys_that_touch_nothing_cached_are_fine() {
    let t = "CREATE TABLE t(id INTEGER PRIMARY KEY, body, at INT);";
    let with = |more: &str| format!("{t} {more}");
    fits(&with(
        "CREATE TABLE log(x); CREATE TRIGGER g AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END",
    ));
    fits(&with(
        "CREATE TRIGGER g AFTER UPDATE ON t BEGIN UPDATE t SET at=1 WHERE id=new.id; END",
    ));
    fits(&with(
        "CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no') WHERE new.body=1; END",
    ));
    fits(&with("CREATE TABLE c(t INT REFERENCES t(id) ON DELETE CASCADE)"));
    fits("CREATE TABLE t(id INTEGER PRIMARY KEY, body, up INT REFERENCES t(id))");
    fits("CREATE TABLE t(id INTEGER PRIMARY KEY, body NOT NULL ON CONFLICT REPLACE DEFAULT 'x')");
}

/// Keyspace `mapped` over table t, and `other` over table o in the given mode.
fn two(schema: &str, mode: Mode) -> String {
    let raw = |name: &str, table: &str| KeyspaceConfig {
        name: name.to_owned(),
        ..config(
            &format!("{table}{name}:{{id:int}}"),
            table,
            ValueConfig::Raw {
                column: "body".to_owned(),
            },
        )
    };
    let other = KeyspaceConfig {
        mode,
        ..raw("other", "o")
    };
    let map = Arc::new(OriginMap::new(vec![raw("mapped", "t"), other]).unwrap());
    findings(schema, &map).join("\n")
}

#[test]
fn what_one_keyspace_writes_no_other_may_have_cached() {
    let tables = "CREATE TABLE t(id INTEGER PRIMARY KEY, body);";
    let o = "CREATE TABLE o(id INTEGER PRIMARY KEY, body, t INT REFERENCES t(id)";
    for mode in [Mode::WriteThrough, Mode::ReadThrough] {
        assert_eq!(two(&format!("{tables} {o})"), mode), "");
        let found = two(&format!("{tables} {o} ON DELETE CASCADE)"), mode);
        assert!(
            found.contains("keyspace mapped: a write to table t also changes rows of table o"),
            "{found}"
        );
        let found = two(&format!("{tables} {o} ON DELETE SET NULL)"), mode);
        assert_eq!(found, "", "the column is not cached");
    }
    let view = format!("{tables} CREATE VIEW o AS SELECT id, body FROM t");
    let found = two(&view, Mode::ReadThrough);
    assert!(
        found.contains("keyspace mapped: a write changes table t, which keyspace other reads too"),
        "{found}"
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
        places: Places::default(),
    };
    let one = |configs: &[OriginConfig]| {
        let found = check(&map, configs);
        found
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(one(&[]).contains("[origin.main] is missing"));
    assert!(one(&[config("postgres://x")]).contains("write sqlite:PATH"));
    assert!(one(&[config("sqlite:/nowhere/app.db")]).contains("does not exist"));
    let database = Database::new("CREATE TABLE x(y)");
    let other = database.path().with_extension("txt");
    std::fs::write(&other, vec![b'x'; 4096]).unwrap();
    let found = one(&[config(&format!("sqlite:{}", other.display()))]);
    assert!(found.contains("file is not a database"), "{found}");
}
