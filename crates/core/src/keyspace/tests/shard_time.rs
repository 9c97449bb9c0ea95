//! Expiry is judged by shard time, and a reader whose clock is ahead asks for time.

use super::{Fixture, Keyspace, START_MS, check};
use crate::limits::RECLAIMED_PER_ENTRY;
use crate::table::HashSeed;

/// Lets shard time pass.
fn wait(fixture: &mut Fixture, ms: u64) {
    fixture.keyspace.set_time(fixture.keyspace.time_ms() + ms);
}

#[test]
fn a_key_lives_until_its_deadline_and_not_a_moment_longer() {
    let mut fixture = Fixture::new();
    fixture.run("SET a 1 PX 100 ; SET b 1");
    wait(&mut fixture, 99);
    assert_eq!(fixture.run("GET a ; PTTL a ; DBSIZE"), "\"1\" ; 1 ; 2");
    wait(&mut fixture, 1);
    assert_eq!(
        fixture.run("GET a ; EXISTS a ; DBSIZE ; KEYS * ; SCAN 0"),
        "nil ; 0 ; 1 ; [\"b\"] ; [\"0\", [\"b\"]]"
    );
    assert_eq!(fixture.run("SET a 2 XX ; SETNX a 3 ; TTL a"), "nil ; 1 ; -1");
    assert_eq!(fixture.keyspace.counters().expired, 1);
}

#[test]
fn times_to_live_round_to_the_nearest_second() {
    check(
        "SET a 1 PX 1499 ; TTL a ; SET a 1 PX 1500 ; TTL a ; SET a 1 PX 499 ; TTL a",
        "OK ; 1 ; OK ; 2 ; OK ; 0",
    );
    check(
        "SET a 1 PX 1499 ; PTTL a ; PEXPIRETIME a",
        "OK ; 1499 ; 1700000001499",
    );
    check(
        "SET a 1 PXAT 1700000001500 ; EXPIRETIME a ; PTTL a",
        "OK ; 1700000002 ; 1500",
    );
}

#[test]
fn time_never_goes_back() {
    let mut fixture = Fixture::new();
    fixture.keyspace.set_time(START_MS - 5);
    assert_eq!(fixture.keyspace.time_ms(), START_MS);
    assert_eq!(fixture.run("SET a 1 PXAT 1699999999999 ; EXISTS a"), "OK ; 0");
}

#[test]
fn all_that_is_due_goes_at_once_in_every_database() {
    let mut fixture = Fixture::new();
    for number in 0..2000u64 {
        fixture.db = (number % 16) as u8;
        fixture.run(&format!("SET key:{number} x PX {}", 1 + number));
    }
    assert_eq!(fixture.keyspace.next_deadline(), Some(START_MS + 1));
    wait(&mut fixture, 1000);
    assert_eq!(fixture.keyspace.next_deadline(), Some(START_MS + 1001));
    assert_eq!(
        (0..16).map(|db| fixture.keyspace.summary(db).keys).sum::<u64>(),
        1000
    );
    wait(&mut fixture, 1000);
    assert_eq!(fixture.keyspace.next_deadline(), None);
    while fixture.keyspace.has_expired_keys() {
        wait(&mut fixture, 0);
    }
    assert_eq!(fixture.keyspace.digest(), 0);
    assert_eq!(fixture.keyspace.counters().expired, 2000);
}

/// More keys than one entry removes, all with one deadline, and five that live on.
fn crowd() -> (Fixture, usize) {
    let mut fixture = Fixture::new();
    let count = RECLAIMED_PER_ENTRY * 2 + 10;
    for number in 0..count {
        fixture.run(&format!("SET crowd:{number} x PX 100"));
    }
    for number in 0..5 {
        fixture.run(&format!("SET later:{number} y PX {}", 200 + number));
    }
    wait(&mut fixture, 100);
    (fixture, count)
}

#[test]
fn a_crowd_of_expired_keys_is_absent_at_once_and_removed_in_bounded_steps() {
    let (mut fixture, count) = crowd();
    let steps = count.div_ceil(RECLAIMED_PER_ENTRY);
    for step in 1..=steps {
        let removed = (RECLAIMED_PER_ENTRY * step).min(count);
        assert_eq!(fixture.keyspace.counters().expired, removed as u64);
        let summary = fixture.keyspace.summary(0);
        assert_eq!((summary.keys, summary.volatile_keys), (5, 5));
        assert_eq!(fixture.keyspace.next_deadline(), Some(START_MS + 200));
        assert_eq!(fixture.keyspace.has_expired_keys(), step < steps);
        let last = count - 1;
        assert_eq!(
            fixture.run(&format!(
                "DBSIZE ; EXISTS crowd:{last} later:0 ; TTL crowd:9 ; GET crowd:9 ; SET crowd:9 n XX"
            )),
            "5 ; 1 ; -2 ; nil ; nil"
        );
        assert_eq!(
            fixture.run(&format!(
                "DEL crowd:{last} ; RENAME crowd:8 z ; PERSIST crowd:8 ; STRLEN crowd:8"
            )),
            "0 ; -ERR no such key ; 0 ; 0"
        );
        assert_eq!(fixture.run("KEYS crowd:*"), "[]");
        assert!(fixture.run("RANDOMKEY").starts_with("\"later:"));
        wait(&mut fixture, 0);
    }
    assert_eq!(fixture.keyspace.counters().expired, count as u64);
}

#[test]
fn a_write_to_an_expired_key_makes_a_new_one() {
    let (mut fixture, count) = crowd();
    let last = count - 1;
    let script =
        format!("INCR crowd:{last} ; TTL crowd:{last} ; APPEND crowd:8 z ; SETNX crowd:7 n ; DBSIZE");
    assert_eq!(fixture.run(&script), "1 ; -1 ; 1 ; 1 ; 8");
    while fixture.keyspace.has_expired_keys() {
        wait(&mut fixture, 0);
    }
    assert_eq!(fixture.run(&format!("GET crowd:{last} ; DBSIZE")), "\"1\" ; 8");
}

#[test]
fn a_snapshot_carries_expired_keys_that_are_not_removed_yet() {
    let (mut fixture, _) = crowd();
    let mut restored = Keyspace::new(HashSeed::from_number(0x5eed));
    fixture.keyspace.snapshot_begin();
    let mut done = false;
    while !done {
        let mut chunk = Vec::new();
        done = fixture.keyspace.snapshot_next(&mut chunk, 64 << 10);
        restored.restore_chunk(&chunk).expect("it was just made");
    }
    while fixture.keyspace.has_expired_keys() {
        assert_eq!(restored.digest(), fixture.keyspace.digest());
        assert!(restored.has_expired_keys());
        fixture.keyspace.set_time(START_MS + 100);
        restored.set_time(START_MS + 100);
    }
    assert_eq!(restored.digest(), fixture.keyspace.digest());
    assert_eq!(restored.summary(0).keys, 5);
}

#[test]
fn a_reader_ahead_of_time_is_not_kept_waiting_by_what_has_expired_already() {
    let (mut fixture, count) = crowd();
    fixture.ahead_ms = 50;
    assert_eq!(
        fixture.run(&format!("GET crowd:{} ; DBSIZE", count - 1)),
        "nil ; 5"
    );
    fixture.ahead_ms = 100;
    assert_eq!(fixture.run("DBSIZE ; GET later:0"), "NEEDSTIME ; NEEDSTIME");
}

#[test]
fn a_reader_past_a_deadline_of_its_key_needs_time() {
    let mut fixture = Fixture::new();
    fixture.run("SET due 1 PX 100 ; SET later 1 PX 1000 ; SET never 1");
    fixture.ahead_ms = 100;
    for script in [
        "GET due",
        "MGET never due",
        "EXISTS due",
        "TTL due",
        "STRLEN due",
        "TYPE due",
        "OBJECT ENCODING due",
    ] {
        assert_eq!(fixture.run(script), "NEEDSTIME", "{script}");
    }
    for script in ["DBSIZE", "KEYS *", "SCAN 0", "RANDOMKEY"] {
        assert_eq!(fixture.run(script), "NEEDSTIME", "{script}");
    }
    assert_eq!(
        fixture.run("GET never ; GET later ; GET absent ; EXISTS later"),
        "\"1\" ; \"1\" ; nil ; 1"
    );
    // Its own clock counts down the time to live.
    assert_eq!(
        fixture.run("PTTL later ; PEXPIRETIME later"),
        "900 ; 1700000001000"
    );
    fixture.db = 1;
    assert_eq!(fixture.run("DBSIZE"), "0");
    fixture.db = 0;
    wait(&mut fixture, 100);
    fixture.ahead_ms = 0;
    assert_eq!(fixture.run("GET due ; DBSIZE"), "nil ; 2");
}

#[test]
fn a_reader_behind_shard_time_reads_at_shard_time() {
    let mut fixture = Fixture::new();
    fixture.run("SET a 1 PX 500");
    let mut out = Vec::new();
    let command = crate::command::Command::Ttl {
        db: 0,
        key: b"a",
        form: crate::command::TtlForm::Milliseconds,
    };
    let clock = super::ReadClock {
        now_ms: 0,
        leader_ms: 0,
    };
    let mut writer = super::ReplyWriter::new(&mut out, false);
    assert_eq!(
        fixture.keyspace.read(&command, clock, &mut writer),
        super::ReadOutcome::Done
    );
    assert_eq!(out, b":500\r\n");
}

#[test]
fn deadlines_stay_inside_the_signed_range() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.run("SET a 1 PX 9223367000000000000 ; PEXPIRETIME a"),
        "OK ; 9223368700000000000"
    );
    assert_eq!(
        fixture.run("PEXPIRE a 9223367000000000000 ; PEXPIRETIME a"),
        "1 ; 9223368700000000000"
    );
}
