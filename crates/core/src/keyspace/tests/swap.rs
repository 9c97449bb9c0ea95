//! SWAPDB: what commands, blocks that watch, and snapshots see of it.

use std::sync::Arc;

use bytes::Bytes;
use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;

use super::replicas::{chunks_of, restored, seeded};
use super::slices::encoded;
use super::{Fixture, START_MS, check, render};
use crate::command::{Command, parse};
use crate::keyspace::{Keyspace, RestoreError, ScriptRights};
use crate::origin::{KeyspaceConfig, LANES, Mode, OriginMap, ValueConfig};
use crate::section::{SNAPSHOT_LEVEL, VERSION};
use crate::table::HashSeed;

fn in_database(fixture: &mut Fixture, db: u8, script: &str) -> String {
    fixture.db = db;
    let replies = fixture.run(script);
    fixture.db = 0;
    replies
}

#[test]
fn arguments_are_judged_as_in_redis() {
    for (script, expect) in [
        ("SWAPDB 0 0", "OK"),
        ("SWAPDB 0 15", "OK"),
        ("SWAPDB x y", "-ERR invalid first DB index"),
        ("SWAPDB 1 y", "-ERR invalid second DB index"),
        ("SWAPDB 4294967296 0", "-ERR invalid first DB index"),
        ("SWAPDB 0 16", "-ERR DB index is out of range"),
        ("SWAPDB -1 y", "-ERR invalid second DB index"),
    ] {
        check(script, expect);
    }
}

#[test]
fn databases_exchange_all_that_they_hold() {
    let mut fixture = seeded();
    let members: String = (0..400).map(|member| format!(" m{member}")).collect();
    fixture.run(&format!(
        "SET a 1 ; SADD large{members} ; SET due x PX 50 ; HSET h f v"
    ));
    in_database(&mut fixture, 3, "SET b 2");
    let before = fixture.keyspace.digest();
    assert_eq!(
        fixture.run("SWAPDB 0 3 ; GET b ; DBSIZE ; EXISTS a large"),
        "OK ; \"2\" ; 1 ; 0"
    );
    let there = "GET a ; SCARD large ; DBSIZE ; PTTL due ; RANDOMKEY";
    assert!(in_database(&mut fixture, 3, there).starts_with("\"1\" ; 400 ; 4 ; 50 ; \""));
    assert_ne!(fixture.keyspace.digest(), before);
    fixture.keyspace.set_time(START_MS + 50);
    assert_eq!(in_database(&mut fixture, 3, "EXISTS due ; DBSIZE"), "0 ; 3");
    // What is emptied, written and exchanged again is still apart.
    assert_eq!(in_database(&mut fixture, 3, "FLUSHDB ; SET c 3"), "OK ; OK");
    assert_eq!(
        fixture.run("SWAPDB 3 7 ; SWAPDB 7 0 ; GET c ; GET b"),
        "OK ; OK ; \"3\" ; nil"
    );
    assert_eq!(in_database(&mut fixture, 7, "GET b ; GET c"), "\"2\" ; nil");
    assert_eq!(in_database(&mut fixture, 3, "DBSIZE"), "0");
}

#[test]
fn a_watched_key_of_either_database_is_touched() {
    for (script, back) in [("SWAPDB 0 1", false), ("SWAPDB 1 0", false), ("SWAPDB 0 1", true)] {
        for key in ["here", "both", "there", "removed", "nowhere"] {
            let mut fixture = seeded();
            fixture.run("SET here 1 ; SET both 1 ; SET removed 1 ; DEL removed");
            in_database(&mut fixture, 1, "SET both 1 ; SET there 1");
            let version = fixture.version(key);
            let other = in_database(&mut fixture, 5, "GET x");
            assert_eq!(other, "nil");
            fixture.run(script);
            if back {
                fixture.run(script);
            }
            assert_eq!(fixture.exec(&[(key, version)], "GET a"), "nil", "{key} {script}");
            let version = fixture.version(key);
            fixture.run("SWAPDB 2 3 ; SWAPDB 0 0");
            assert_eq!(fixture.exec(&[(key, version)], "GET a"), "[nil]", "{key}");
            fixture.run(&format!("SET {key} 5"));
            assert_eq!(
                fixture.exec(&[(key, version)], "GET a"),
                "nil",
                "{key} is written"
            );
        }
    }
}

#[test]
fn a_snapshot_tells_of_each_database_where_it_was() {
    let mut fixture = seeded();
    let elements: String = (0..900).map(|at| format!(" element:{at}")).collect();
    for db in 0..4 {
        in_database(
            &mut fixture,
            db,
            &format!("SET k {db} ; RPUSH large{elements} {db}"),
        );
    }
    fixture.run("SWAPDB 0 1 ; SWAPDB 1 2");
    let (digest, version) = (fixture.keyspace.digest(), fixture.version("k"));
    let mut turn = 0;
    let mut keyspace = std::mem::take(&mut fixture.keyspace);
    let chunks = chunks_of(&mut keyspace, 300, |keyspace| {
        std::mem::swap(&mut fixture.keyspace, keyspace);
        turn += 1;
        fixture.run(&format!("SWAPDB {} {}", turn % 5, turn * 3 % 7));
        std::mem::swap(&mut fixture.keyspace, keyspace);
    });
    assert!(chunks.len() > 50, "{}", chunks.len());
    let mut copy = Fixture::new();
    copy.keyspace = restored(&chunks);
    assert_eq!((copy.keyspace.digest(), copy.version("k")), (digest, version));
    for (db, held) in [(0, 1), (1, 2), (2, 0), (3, 3)] {
        let replies = in_database(&mut copy, db, "GET k ; LINDEX large -1");
        assert_eq!(replies, format!("\"{held}\" ; \"{held}\""));
    }
}

#[test]
fn exchanges_that_none_has_made_are_refused() {
    let mut fixture = seeded();
    fixture.run("SET k 1 ; SWAPDB 0 1");
    let chunks = chunks_of(&mut fixture.keyspace, 300, |_| ());
    let with = |chunk: &[u8]| {
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        keyspace.restore_chunk(&chunks[0]).expect("the header");
        keyspace.restore_chunk(&[&[VERSION, 9, SNAPSHOT_LEVEL as u8], chunk].concat())
    };
    assert_eq!(with(&[0, 1, 2, 1, 0, 2]), Ok(()));
    for wrong in [
        &[0, 1, 2][..],
        &[0, 1, 2, 1, 1, 2],
        &[0, 1, 2, 0, 1, 2],
        &[0, 16, 2, 16, 0, 2],
        &[0, 1, 0, 1, 0, 0],
        &[0, 1, 3, 1, 0, 2],
        &[0, 1, 2, 1, 0],
    ] {
        assert!(matches!(with(wrong), Err(RestoreError::Corrupt(_))), "{wrong:?}");
    }
    let mut late = Keyspace::new(HashSeed::from_number(1));
    for chunk in chunks.iter().filter(|chunk| chunk[1] != 9) {
        if chunk[1] == 3 {
            break;
        }
        late.restore_chunk(chunk).expect("its own snapshot");
    }
    let exchanges = chunks.iter().find(|chunk| chunk[1] == 9).expect("it is told");
    assert!(late.restore_chunk(exchanges).is_err(), "behind the entries");
}

/// What a script answers where keys that begin with `row:` have an origin in database 0.
fn beside_an_origin(fixture: &mut Fixture, script: &str) -> String {
    let mapped = KeyspaceConfig {
        name: "row".to_owned(),
        pattern: "row:{id:int}".to_owned(),
        database: 0,
        lanes: LANES,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: "row".to_owned(),
        key: Vec::new(),
        value: ValueConfig::Raw {
            column: "body".to_owned(),
        },
        cache_ttl_ms: None,
        negative_ttl_ms: 2_000,
        flush_deadline_ms: 30_000,
    };
    let rights = ScriptRights {
        origin: Some(Arc::new(OriginMap::new(vec![mapped]).expect("valid"))),
        ..ScriptRights::default()
    };
    let request = OwnedRequest::new(["EVAL", script, "0"]);
    let spec = resolve(request.view()).expect("it is a command");
    let mut bytes = Vec::new();
    parse(spec, 0, request.view())
        .expect("it parses")
        .encode(&mut bytes);
    let source = Bytes::from(bytes);
    let command = Command::decode(&mut &source[..]).expect("it was encoded just now");
    let mut task = Keyspace::begin(&command, &source);
    task.set_rights(&rights);
    let mut out = Vec::new();
    let mut writer = ReplyWriter::new(&mut out, false);
    while !(fixture.keyspace).advance(&mut task, &mut 1000, &mut writer, &mut |_, _| ()) {}
    render(&mut &out[..])
}

#[test]
fn a_script_exchanges_no_mapped_database_and_writes_no_mapped_key_of_another_one() {
    let mut fixture = seeded();
    in_database(&mut fixture, 5, "SET row:1 plain ; SET other 1");
    for call in [
        "'SWAPDB', 0, 5",
        "'SWAPDB', 5, 0",
        "'COPY', 'row:1', 'row:2', 'DB', 0",
        "'MOVE', 'row:1', 0",
    ] {
        let script = format!("redis.call('SELECT', 5) return redis.call({call})");
        let answer = beside_an_origin(&mut fixture, &script);
        assert!(
            answer.contains("is not supported in keyspace row"),
            "{call}: {answer}"
        );
    }
    let script = "redis.call('SELECT', 5) redis.call('MOVE', 'other', 0) redis.call('SWAPDB', 5, 6) \
                  redis.call('SELECT', 6) return redis.call('GET', 'row:1')";
    assert_eq!(beside_an_origin(&mut fixture, script), "\"plain\"");
    assert_eq!(fixture.run("GET other ; EXISTS row:1 row:2"), "\"1\" ; 0");
}

#[test]
fn a_walk_that_has_begun_stays_with_its_database_wherever_that_goes() {
    let mut fixture = Fixture::new();
    for number in 0..500 {
        fixture.run(&format!("SET here:{number} x"));
        in_database(&mut fixture, 1, &format!("SET there:{number} x"));
    }
    for script in ["KEYS *", "SCAN 0 COUNT 4000"] {
        let source = encoded(script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let mut task = Keyspace::begin(&command, &source);
        let (mut reply, mut exchanges) = (Vec::new(), 0);
        loop {
            let mut writer = ReplyWriter::new(&mut reply, false);
            if fixture
                .keyspace
                .advance(&mut task, &mut 50, &mut writer, &mut |_, _| ())
            {
                break;
            }
            fixture.run("SWAPDB 0 1");
            exchanges += 1;
        }
        assert!(exchanges > 5, "the walk took its time");
        let text = String::from_utf8(reply).expect("keys are text");
        let count = |name: &str| text.matches(name).count();
        assert_eq!((count("here:"), count("there:")), (500, 0), "{script}");
        // Back to where they were.
        if exchanges % 2 == 1 {
            fixture.run("SWAPDB 0 1");
        }
    }
}
