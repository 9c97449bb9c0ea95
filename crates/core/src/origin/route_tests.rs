//! Tests of the ways that commands go.

use repligo_proto::command::lookup;
use repligo_proto::resp::OwnedRequest;

use super::super::map::tests::raw;
use super::super::map::{KeyspaceConfig, ValueConfig};
use super::*;
use crate::command::parse;
use crate::op::TransactionBuffer;

fn map() -> OriginMap {
    let json = KeyspaceConfig {
        value: ValueConfig::Json {
            fields: vec![("a".to_owned(), "a".to_owned())],
        },
        ..raw("json")
    };
    let reading = KeyspaceConfig {
        mode: Mode::ReadThrough,
        ..raw("reading")
    };
    let tagged = KeyspaceConfig {
        pattern: "tag:{t:text}".to_owned(),
        ..raw("tag")
    };
    OriginMap::new(vec![raw("user"), json, reading, tagged]).expect("valid")
}

fn route(request: &str, judge: impl FnOnce(Route<'_>)) {
    let words: Vec<&str> = request.split(' ').collect();
    let owned = OwnedRequest::new(&words);
    let spec = lookup(words[0].as_bytes()).expect("a command");
    let command = parse(spec, 0, owned.view()).expect("well-formed");
    judge(map().route(&command));
}

fn plain(request: &str) {
    route(request, |route| assert_eq!(route, Route::Plain, "{request}"));
}

fn read(request: &str) {
    route(request, |route| assert_eq!(route, Route::Read, "{request}"));
}

fn refused(request: &str, expect: &str) {
    route(request, |route| match route {
        Route::Refused(error) => assert!(error.starts_with(expect), "{request}: {error}"),
        other => panic!("{request}: {other:?}"),
    });
}

fn write(request: &str, kind: IntentKind, expect: &[(&str, Option<&str>)]) {
    route(request, |route| {
        let Route::Write(intent) = route else {
            panic!("{request}: {route:?}");
        };
        let effects: Vec<_> = intent
            .effects
            .iter()
            .map(|e| (e.key, e.value.as_deref()))
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)))
            .collect();
        assert_eq!((intent.kind, effects), (kind, expect), "{request}");
    });
}

#[test]
fn commands_without_mapped_keys_pass_by() {
    for request in [
        "GET other",
        "SET use 1",
        "INCR x",
        "DBSIZE",
        "SCAN 0",
        "KEYS user:*",
        "FLUSHALL",
        "FLUSHDB",
        "RANDOMKEY",
        "RENAME a b",
    ] {
        plain(request);
    }
}

#[test]
fn reads_may_span_lanes_and_mix() {
    for request in [
        "GET user:1",
        "MGET user:1 user:2 json:3 plain",
        "EXISTS user:1 plain",
        "STRLEN user:1",
        "GETRANGE user:1 0 1",
        "TTL user:1",
        "TYPE user:1",
        "GET reading:1",
    ] {
        read(request);
    }
}

#[test]
fn writes_become_intents_of_one_lane() {
    write("SET user:1 x", IntentKind::Store, &[("user:1", Some("x"))]);
    write("DEL user:1", IntentKind::Delete, &[("user:1", None)]);
    write(
        "UNLINK user:1 user:1",
        IntentKind::Delete,
        &[("user:1", None), ("user:1", None)],
    );
    write(
        "MSET tag:{x}1 a tag:{x}2 b",
        IntentKind::Store,
        &[("tag:{x}1", Some("a")), ("tag:{x}2", Some("b"))],
    );
    write(
        "SET json:1 {\"a\":1.50}",
        IntentKind::Store,
        &[("json:1", Some("{\"a\":1.5}"))],
    );
}

#[test]
fn a_refusal_names_the_command_as_it_was_sent() {
    for (request, expect) in [
        ("SETEX user:1 10 x", "ERR SETEX is not supported in keyspace user"),
        ("EXPIRE user:1 10", "ERR EXPIRE is not supported in keyspace user"),
        (
            "EXPIRETIME user:1",
            "ERR EXPIRETIME is not supported in keyspace user",
        ),
        ("INCR user:1", "ERR INCR is not supported in keyspace user"),
        ("UNLINK user:1 json:1", "CROSSLANE the keys of UNLINK"),
    ] {
        let owned = OwnedRequest::new(request.split(' '));
        let spec = lookup(request.split(' ').next().unwrap_or("").as_bytes()).expect("a command");
        let command = parse(spec, 0, owned.view()).expect("well-formed");
        let error = map().refuse(&command, spec.name).expect("it is refused");
        assert!(error.starts_with(expect), "{request}: {error}");
    }
}

#[test]
fn what_a_mapped_keyspace_cannot_do_is_refused_before_it_is_proposed() {
    refused(
        "MSET user:1 a user:2 b user:3 c user:4 d user:5 e",
        "CROSSLANE the keys of MSET belong to different lanes, and keys of user:{id:int} have no room for a hash \
         tag; send one command per key",
    );
    refused("MSET user:1 a plain b", "CROSSLANE MSET mixes");
    refused(
        "DEL user:1 json:1",
        "CROSSLANE the keys of DEL belong to different keyspaces",
    );
    for request in [
        "INCR user:1",
        "APPEND user:1 x",
        "SET user:1 x EX 10",
        "SET user:1 x NX",
        "SET user:1 x GET",
        "SET user:1 x KEEPTTL",
        "SETEX user:1 10 x",
        "SETNX user:1 x",
        "GETSET user:1 x",
        "GETDEL user:1",
        "GETEX user:1",
        "EXPIRE user:1 10",
        "PERSIST user:1",
        "PTTL user:1",
        "MSETNX user:1 a",
        "SETRANGE user:1 0 x",
        "RENAME plain user:1",
        "TOUCH plain user:1",
        "WATCH user:1",
        "INCR user:007",
    ] {
        route(request, |route| match route {
            Route::Refused(error) => {
                assert!(error.starts_with("ERR "), "{error}");
                assert!(
                    error.contains(" is not supported in keyspace user: use "),
                    "{error}"
                );
            }
            other => panic!("{request}: {other:?}"),
        });
    }
    refused("GET user:007", "ERR key 'user:007' does not fit the pattern");
    refused("MGET user:1 user:x", "ERR key 'user:x' does not fit");
    refused("SET user: x", "ERR key 'user:' does not fit");
    refused(
        "SET reading:1 x",
        "ERR SET is not supported in keyspace reading: its mode is read-through",
    );
    refused(
        "SET json:1 {\"b\":1}",
        "ERR the value of 'json:1' does not fit keyspace json: member 'b' is not mapped",
    );
}

#[test]
fn blocks_that_hold_a_mapped_key_are_refused() {
    let mut block = TransactionBuffer::default();
    block.push(&Command::Get { db: 0, key: b"plain" });
    assert_eq!(map().refuse_transaction(&block.transaction()), None);
    block.push(&Command::Get {
        db: 0,
        key: b"user:1",
    });
    let error = map()
        .refuse_transaction(&block.transaction())
        .expect("a mapped key");
    assert!(
        error.starts_with("ERR MULTI is not supported in keyspace user"),
        "{error}"
    );
    assert_eq!(
        OriginMap::default().refuse_transaction(&block.transaction()),
        None
    );
    let mut other = TransactionBuffer::default();
    other.push(&Command::Get {
        db: 3,
        key: b"user:1",
    });
    assert_eq!(map().refuse_transaction(&other.transaction()), None);
}

#[test]
fn a_database_with_a_mapped_keyspace_is_not_exchanged() {
    for request in ["SWAPDB 0 1", "SWAPDB 5 0", "swapdb 0 15"] {
        refused(request, "ERR SWAPDB is not supported in keyspace ");
    }
    plain("SWAPDB 1 2");
    plain("SWAPDB 0 0");
    let map = map();
    for (words, is_refused) in [(["SWAPDB", "0", "1"], true), (["SWAPDB", "1", "2"], false)] {
        let owned = OwnedRequest::new(words);
        let spec = lookup(b"swapdb").expect("a command");
        let mut block = TransactionBuffer::default();
        block.push(&parse(spec, 9, owned.view()).expect("well-formed"));
        assert_eq!(map.refuse_transaction(&block.transaction()).is_some(), is_refused);
    }
}
