//! What is stored and what comes back.

use super::*;

/// Writes `value` into a raw column declared as `declared`, and gives (type in SQLite, canonical form as
/// the flush reported it or the value itself).
fn stored(declared: &str, strict: bool, value: &[u8]) -> Result<(String, Bytes), Bytes> {
    let strict = if strict { "STRICT" } else { "" };
    let database = Database::new(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body {declared}) {strict}"
    ));
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    let flushed = write(&mut store, (1, 0), &[&[("t:1", Some(value))]]).unwrap();
    if let Some((_, text)) = flushed.rejects.first() {
        assert_eq!(load(&mut store, "t:1"), None);
        return Err(text.clone());
    }
    let kind: String = database
        .connection()
        .query_row("SELECT typeof(body) FROM t", [], |row| row.get(0))
        .unwrap();
    let visible = match flushed.canonical.first() {
        Some((_, value)) => value.clone().unwrap(),
        None => Bytes::copy_from_slice(value),
    };
    assert_eq!(
        load(&mut store, "t:1"),
        Some(visible.clone()),
        "the flush reports what a load returns"
    );
    Ok((kind, visible))
}

#[test]
fn raw_values_come_back_byte_for_byte() {
    let large = vec![b'x'; 1 << 20];
    let values: [&[u8]; 6] = [
        b"",
        b"plain",
        "größe".as_bytes(),
        b"a\0b\0",
        b"\xff\xfe\0\x80",
        &large,
    ];
    for declared in ["", "BLOB", "TEXT", "VARCHAR(10)"] {
        for value in values {
            let (_, visible) = stored(declared, false, value).unwrap();
            assert_eq!(visible, value, "{declared}");
        }
    }
    assert_eq!(stored("BLOB", true, b"x").unwrap().0, "blob");
    assert_eq!(stored("BLOB", false, b"x").unwrap().0, "blob");
    assert_eq!(stored("TEXT", true, b"x").unwrap().0, "text");
    assert_eq!(stored("", false, b"x").unwrap().0, "text");
    assert_eq!(stored("", false, b"\xff").unwrap().0, "blob");
}

#[test]
fn conversions_of_the_column_are_visible() {
    let check = |declared: &str, value: &str, expect: &str| {
        let (_, visible) = stored(declared, false, value.as_bytes()).unwrap();
        assert_eq!(visible, expect.as_bytes(), "{declared} {value}");
    };
    check("INTEGER", "042", "42");
    check("INTEGER", "x", "x");
    check("NUMERIC", "1.0", "1");
    check("REAL", "7", "7.0");
    check("REAL", "1e3", "1000.0");
    assert_eq!(
        stored("INTEGER", true, b"x"),
        Err(Bytes::from_static(
            b"ERR origin rejected the write: cannot store TEXT value in INTEGER column t.body"
        ))
    );
    assert_eq!(stored("INTEGER", true, b"7").unwrap().0, "integer");
}

#[test]
fn a_row_that_a_trigger_keeps_out_reads_as_absent() {
    let database = Database::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);
         CREATE TABLE log(at, id);
         CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1, new.id); END;
         CREATE TRIGGER kept BEFORE INSERT ON t WHEN new.body='drop' BEGIN SELECT RAISE(IGNORE); END;",
    );
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    let effects: [&Effects<'_>; 2] = [&[("t:1", Some(b"abc"))], &[("t:2", Some(b"drop"))]];
    let flushed = write(&mut store, (1, 0), &effects).unwrap();
    assert_eq!(flushed.canonical, [(Bytes::from_static(b"t:2"), None)]);
    assert_eq!(database.text("SELECT count(*) FROM log"), "Integer(1)");
}

#[test]
fn json_members_are_columns() {
    let database = Database::new("CREATE TABLE u(id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INT, ok)");
    let mut store = database.store(&json("u:{id:int}", "u", &["name", "age", "ok"]));
    take_over(&mut store, 1, 0).unwrap();
    let flushed = write(
        &mut store,
        (1, 0),
        &[
            &[("u:1", Some(br#"{"name":"a","age":5,"ok":true}"#))],
            &[("u:2", Some(br#"{"name":null,"age":5,"ok":null}"#))],
            &[("u:3", Some(br#"{"name":"b","age":1.5,"ok":null}"#))],
        ],
    )
    .unwrap();
    assert_eq!(
        flushed.rejects,
        [(
            2,
            Bytes::from_static(b"ERR origin rejected the write: NOT NULL constraint failed: u.name")
        )]
    );
    assert_eq!(
        load(&mut store, "u:1").unwrap(),
        &br#"{"name":"a","age":5,"ok":1}"#[..],
        "SQLite has no boolean"
    );
    assert_eq!(
        load(&mut store, "u:3").unwrap(),
        &br#"{"name":"b","age":1.5,"ok":null}"#[..]
    );
    assert_eq!(flushed.canonical.len(), 1);
    assert_eq!(database.text("SELECT age FROM u WHERE id=1"), "Integer(5)");
}

#[test]
fn composite_and_text_keys_find_their_rows() {
    let database = Database::new(
        "CREATE TABLE \"odd \"\"name\"(shop TEXT, nr INT, body, PRIMARY KEY(nr, shop)) WITHOUT ROWID",
    );
    let mut store = database.store(&raw("o:{shop:text}/{nr:int}", "odd \"name"));
    take_over(&mut store, 1, 0).unwrap();
    write(
        &mut store,
        (1, 0),
        &[
            &[("o:a b/1", Some(b"x"))],
            &[("o:a b/2", Some(b"y"))],
            &[("o:a b/1", None)],
        ],
    )
    .unwrap();
    assert_eq!(load(&mut store, "o:a b/1"), None);
    assert_eq!(load(&mut store, "o:a b/2").unwrap(), &b"y"[..]);
}

#[test]
fn a_row_without_a_value_is_an_empty_string() {
    let database =
        Database::new("CREATE TABLE t(id INTEGER PRIMARY KEY, body); INSERT INTO t VALUES(1, NULL)");
    let mut store = database.store(&raw("t:{id:int}", "t"));
    take_over(&mut store, 1, 0).unwrap();
    assert_eq!(load(&mut store, "t:1"), Some(Bytes::new()));
    assert_eq!(load(&mut store, "t:2"), None);
}
