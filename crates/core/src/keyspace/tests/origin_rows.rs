//! Negative rows are known to the origin lanes and to nobody else.

use super::{Fixture, START_MS};
use crate::keyspace::ABSENT;
use crate::keyspace::Known;

#[test]
fn no_plain_command_sees_a_negative_row() {
    let mut fixture = Fixture::new();
    fixture.run("SET plain 1");
    fixture
        .keyspace
        .put_origin_value(0, b"row", None, Some(START_MS + 100));
    assert_eq!(fixture.keyspace.lookup(0, b"row"), Known::Negative);
    assert_eq!(
        fixture.run("GET row ; EXISTS row ; DBSIZE ; KEYS *"),
        "nil ; 0 ; 1 ; [\"plain\"]"
    );
    assert_eq!(
        fixture.run("SCAN 0 ; STRLEN row ; TTL row ; TYPE row"),
        "[\"0\", [\"plain\"]] ; 0 ; -2 ; none"
    );
    assert_eq!(
        fixture.run("OBJECT ENCODING row ; MEMORY USAGE row ; DEL row"),
        "nil ; nil ; 0"
    );
    assert_eq!(
        fixture.run("RENAME row other ; SET row 1 XX ; PERSIST row"),
        "-ERR no such key ; nil ; 0"
    );
    assert!((0..50).all(|_| fixture.run("RANDOMKEY") == "\"plain\""));
    assert_ne!(fixture.keyspace.version_of(0, b"row") & ABSENT, 0);
    assert_eq!(fixture.keyspace.lookup(0, b"row"), Known::Negative);
    fixture.run("DEL plain");
    assert_eq!(fixture.run("RANDOMKEY ; DBSIZE"), "nil ; 0");
}

#[test]
fn a_row_is_known_until_its_cache_deadline() {
    let mut fixture = Fixture::new();
    let keyspace = &mut fixture.keyspace;
    assert_eq!(keyspace.lookup(0, b"row"), Known::Absent);
    keyspace.put_origin_value(0, b"row", Some(b"value"), Some(START_MS + 100));
    keyspace.put_origin_value(0, b"none", None, Some(START_MS + 50));
    keyspace.put_origin_value(0, b"always", Some(b""), None);
    assert_eq!(keyspace.lookup(0, b"row"), Known::Value(b"value"));
    keyspace.set_time(START_MS + 50);
    assert_eq!(keyspace.lookup(0, b"none"), Known::Absent);
    keyspace.set_time(START_MS + 100);
    assert_eq!(keyspace.lookup(0, b"row"), Known::Absent);
    assert_eq!(keyspace.lookup(0, b"always"), Known::Value(b""));
    assert_eq!(
        keyspace.counters().expired,
        1,
        "a negative row is no key that expires"
    );
}

#[test]
fn what_is_known_replaces_what_was_known() {
    let mut fixture = Fixture::new();
    let keyspace = &mut fixture.keyspace;
    let empty = keyspace.digest();
    keyspace.put_origin_value(0, b"row", Some(b"value"), None);
    keyspace.put_origin_value(0, b"row", None, None);
    assert_eq!(keyspace.lookup(0, b"row"), Known::Negative);
    keyspace.put_origin_value(0, b"row", Some(b"again"), Some(START_MS));
    assert_eq!(
        keyspace.lookup(0, b"row"),
        Known::Absent,
        "the deadline had passed"
    );
    keyspace.put_origin_value(0, b"row", None, None);
    assert!(keyspace.forget(0, b"row"));
    assert!(!keyspace.forget(0, b"row"));
    assert_eq!(keyspace.digest(), empty);
    keyspace.put_origin_value(0, b"row", None, None);
    assert_eq!(
        fixture.run("SET row 1 ; DBSIZE ; DEL row ; DBSIZE"),
        "OK ; 1 ; 1 ; 0"
    );
    fixture.keyspace.put_origin_value(0, b"row", None, None);
    assert_eq!(fixture.run("FLUSHALL ; DBSIZE"), "OK ; 0");
    assert_eq!(fixture.keyspace.lookup(0, b"row"), Known::Absent);
}
