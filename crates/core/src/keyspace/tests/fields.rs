//! Deadlines of hash fields: what Redis 7.4 and 8.0 answer by their documentation, and what time does to fields.

use proptest::prelude::*;
use repligo_proto::resp::OwnedRequest;

use super::slices::{assert_same_in_slices, encoded};
use super::{Fixture, START_MS, check, requests};
use crate::command::Command;
use crate::eviction::EvictionPolicy;
use crate::keyspace::{Chooser, EventClasses, Wish};
use crate::limits::{RECLAIMED_PER_ENTRY, RECLAIMED_STEP_BYTES, SLICE_STEPS, STEP_BYTES};
use crate::op::VictimsBuffer;

/// Changes of fields and their deadlines, for histories at random.
pub(super) fn step(key: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<String> {
    let fields = (0..40u8, 1..30u8).prop_map(|(first, count)| {
        let names: Vec<_> = (first..first + count).map(|field| format!("f{field}")).collect();
        format!("FIELDS {count} {}", names.join(" "))
    });
    let pairs = (0..40u8, 1..30u8).prop_map(|(first, count)| {
        let pairs: Vec<_> = (first..first + count)
            .map(|field| format!("f{field} v"))
            .collect();
        format!("FIELDS {count} {}", pairs.join(" "))
    });
    prop_oneof![
        (key.clone(), 0..400u16, fields.clone())
            .prop_map(|(key, ms, fields)| format!("HPEXPIRE {key} {ms} {fields}")),
        (key.clone(), 0..400u16, fields.clone())
            .prop_map(|(key, ms, fields)| format!("HPEXPIRE {key} {ms} GT {fields}")),
        (key.clone(), 1..400u16, pairs.clone())
            .prop_map(|(key, ms, pairs)| format!("HSETEX {key} PX {ms} {pairs}")),
        (key.clone(), pairs).prop_map(|(key, pairs)| format!("HSETEX {key} KEEPTTL {pairs}")),
        (key.clone(), fields.clone()).prop_map(|(key, fields)| format!("HPERSIST {key} {fields}")),
        (key.clone(), fields.clone()).prop_map(|(key, fields)| format!("HGETDEL {key} {fields}")),
        (key.clone(), fields).prop_map(|(key, fields)| format!("HGETEX {key} PX 90 {fields}")),
        (key.clone(), key).prop_map(|(from, to)| format!("COPY {from} {to} REPLACE")),
    ]
    .boxed()
}

fn wait(fixture: &mut Fixture, ms: u64) {
    fixture.keyspace.set_time(fixture.keyspace.time_ms() + ms);
}

#[test]
fn a_field_lives_until_its_deadline_and_not_a_moment_longer() {
    let mut f = Fixture::new();
    f.run("HSET h a 1 b 2 c 3 ; HPEXPIRE h 100 FIELDS 2 a b");
    wait(&mut f, 99);
    assert_eq!(
        f.run("HLEN h ; HPTTL h FIELDS 3 a b c ; HGET h a"),
        "3 ; [1, 1, -1] ; \"1\""
    );
    wait(&mut f, 1);
    assert_eq!(
        f.run(
            "HLEN h ; HGETALL h ; HGET h a ; HEXISTS h b ; HSTRLEN h a ; HKEYS h ; HVALS h ; HRANDFIELD h 5"
        ),
        "1 ; [\"c\", \"3\"] ; nil ; 0 ; 0 ; [\"c\"] ; [\"3\"] ; [\"c\"]"
    );
    assert_eq!(
        f.run("HMGET h a b c ; HSCAN h 0"),
        "[nil, nil, \"3\"] ; [\"0\", [\"c\", \"3\"]]"
    );
    assert_eq!(
        f.run("HSCAN h 0 NOVALUES ; HSCAN h 0 MATCH x NOVALUES"),
        "[\"0\", [\"c\"]] ; [\"0\", []]"
    );
    assert_eq!(
        f.run("HTTL h FIELDS 2 a c ; EXISTS h ; TTL h"),
        "[-2, -1] ; 1 ; -1"
    );
    assert_eq!(f.keyspace.counters().expired_fields, 2);
    assert_eq!(
        f.run("HSETNX h a 5 ; HSET h b 6 ; HTTL h FIELDS 2 a b"),
        "1 ; 1 ; [-1, -1]"
    );
}

#[test]
fn a_hash_goes_with_its_last_field() {
    let mut f = Fixture::new();
    f.run("HSET h a 1 b 2 ; HPEXPIRE h 50 FIELDS 1 a ; HPEXPIRE h 100 FIELDS 1 b ; SET other 1");
    assert_eq!(f.keyspace.next_deadline(), Some(START_MS + 50));
    wait(&mut f, 50);
    assert_eq!(f.run("EXISTS h ; DBSIZE"), "1 ; 2");
    assert_eq!(f.keyspace.next_deadline(), Some(START_MS + 100));
    wait(&mut f, 50);
    assert_eq!(
        f.run("EXISTS h ; TYPE h ; DBSIZE ; KEYS * ; HGETALL h"),
        "0 ; none ; 1 ; [\"other\"] ; []"
    );
    f.run("DEL other");
    assert_eq!((f.keyspace.digest(), f.keyspace.next_deadline()), (0, None));
}

/// More fields than one entry removes, with one deadline that has come, and two that live on.
fn crowd() -> (Fixture, usize) {
    let mut f = Fixture::new();
    let count = RECLAIMED_PER_ENTRY * 2 + 10;
    for first in (0..count).step_by(100) {
        let pairs: Vec<_> = (first..count.min(first + 100))
            .map(|field| format!("f{field} v"))
            .collect();
        f.run(&format!(
            "HSETEX h PX 100 FIELDS {} {}",
            pairs.len(),
            pairs.join(" ")
        ));
    }
    f.run("HSET h lasting x ; HSETEX h PX 200 FIELDS 1 later y ; HSETEX gone PX 100 FIELDS 1 a b");
    wait(&mut f, 100);
    (f, count)
}

#[test]
fn what_has_expired_and_is_not_removed_yet_is_not_there() {
    let (mut f, count) = crowd();
    assert!(f.keyspace.has_expired_keys());
    assert_eq!(
        f.run("HLEN h ; HGETALL h ; HGET h f0 ; HRANDFIELD h -3 ; HSCAN h 0 COUNT 100000 ; DBSIZE")
            .matches('f')
            .count(),
        f.run("HRANDFIELD h -3").matches('f').count(),
        "none of those that are over"
    );
    assert_eq!(
        f.run("HLEN h ; HKEYS h ; HGET h f0"),
        "2 ; [\"lasting\", \"later\"] ; nil"
    );
    assert_eq!(
        f.run("HDEL h f1 ; HSETNX h f2 new ; HINCRBY h f3 7 ; HLEN h"),
        "0 ; 1 ; 7 ; 4"
    );
    assert_eq!(
        f.run("HPEXPIRE h 10 FIELDS 1 f4 ; HPERSIST h FIELDS 1 f5"),
        "[-2] ; [-2]"
    );
    assert_eq!(f.run("COPY h copy ; HLEN copy ; DUMP nothing"), "1 ; 4 ; nil");
    f.ahead_ms = 99;
    assert_eq!(f.run("HGET h later"), "\"y\"");
    f.ahead_ms = 100;
    assert_eq!(f.run("HGET h later"), "NEEDSTIME");
    f.ahead_ms = 0;
    let mut turns = 0;
    while f.keyspace.has_expired_keys() {
        wait(&mut f, 0);
        turns += 1;
    }
    assert!((2..10).contains(&turns), "{turns} turns");
    assert_eq!(f.run("HLEN h ; HLEN copy ; EXISTS gone"), "4 ; 4 ; 0");
    assert!(f.keyspace.counters().expired_fields as usize >= count);
}

#[test]
fn a_key_whose_fields_have_all_expired_is_absent_before_it_is_removed() {
    let mut f = Fixture::new();
    for number in 0..RECLAIMED_PER_ENTRY + 5 {
        f.run(&format!("HSETEX h{number:06} PX 100 FIELDS 1 a b"));
    }
    wait(&mut f, 100);
    assert_eq!(f.run("DBSIZE ; KEYS * ; RANDOMKEY"), "0 ; [] ; nil");
    let last = format!("h{:06}", RECLAIMED_PER_ENTRY + 4);
    assert!(f.keyspace.has_expired_keys());
    assert_eq!(
        f.run(&format!(
            "EXISTS {last} ; DEL {last} ; EXPIRE {last} 5 ; RENAME {last} x ; HSETNX {last} a 1 ; DBSIZE"
        )),
        "0 ; 0 ; 0 ; -ERR no such key ; 1 ; 1"
    );
    wait(&mut f, 0);
    assert_eq!(f.run(&format!("HGETALL {last} ; DBSIZE")), "[\"a\", \"1\"] ; 1");
}

#[test]
fn conditions_and_their_replies() {
    check(
        "HSET h a 1 b 2 ; HEXPIRE h 100 NX FIELDS 2 a c ; HEXPIRE h 50 GT FIELDS 2 a b ; HEXPIRE h 100 GT FIELDS 1 a",
        "2 ; [1, -2] ; [0, 0] ; [0]",
    );
    check(
        "HSET h a 1 b 2 ; HEXPIRE h 9 LT FIELDS 1 b ; HEXPIRE h 9 LT FIELDS 1 b ; HEXPIRE h 8 LT FIELDS 1 b ; HTTL h FIELDS 1 b",
        "2 ; [1] ; [0] ; [1] ; [8]",
    );
    check(
        "HSET h a 1 ; HEXPIRE h 9 XX FIELDS 1 a ; HEXPIRE h 9 FIELDS 1 a ; HEXPIRE h 20 XX FIELDS 1 a ; HTTL h FIELDS 1 a",
        "1 ; [0] ; [1] ; [1] ; [20]",
    );
    check(
        "HSET h a 1 b 2 c 3 ; HPEXPIREAT h 1 FIELDS 1 a ; HEXPIRE h 0 FIELDS 2 b a ; HLEN h ; HPEXPIRE h 0 FIELDS 1 c ; EXISTS h",
        "3 ; [2] ; [2, -2] ; 1 ; [2] ; 0",
    );
    check(
        "HPEXPIREAT h 1700000001500 FIELDS 1 a ; HSET h a 1 ; HPEXPIREAT h 1700000001500 FIELDS 1 a ; HPEXPIRETIME h FIELDS 1 a ; HEXPIRETIME h FIELDS 1 a ; HPTTL h FIELDS 1 a ; HTTL h FIELDS 1 a",
        "[-2] ; 1 ; [1] ; [1700000001500] ; [1700000002] ; [1500] ; [2]",
    );
    check(
        "HPERSIST h FIELDS 1 a ; HSET h a 1 b 2 ; HEXPIRE h 9 FIELDS 1 a ; HPERSIST h FIELDS 3 a b c ; HTTL h FIELDS 1 a",
        "[-2] ; 2 ; [1] ; [1, -1, -2] ; [-1]",
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let count = "-ERR Parameter `numFields` should be greater than 0";
    let positive = "-ERR Number of fields must be a positive integer";
    let place = "-ERR Mandatory argument FIELDS is missing or not at the right position";
    let mismatch = "-ERR The `numfields` parameter must match the number of arguments";
    let negative = "-ERR invalid expire time, must be >= 0";
    for (request, error) in [
        ("HEXPIRE h 1 FIELDS 0 a", count),
        ("HEXPIRE h 1 FIELDS x a", count),
        ("HEXPIRE h 1 FIELD 1 a", place),
        ("HEXPIRE h 1 NX XX FIELDS 1 a", place),
        ("HEXPIRE h 1 FIELDS 2 a", mismatch),
        ("HEXPIRE h 1 FIELDS 1 a b", mismatch),
        ("HEXPIRE h -1 FIELDS 1 a", negative),
        (
            "HEXPIRE h x FIELDS 1 a",
            "-ERR value is not an integer or out of range",
        ),
        (
            "HEXPIREAT h 70368744178 FIELDS 1 a",
            "-ERR invalid expire time in 'hexpireat' command",
        ),
        (
            "HPEXPIRE h 70368744177663 FIELDS 1 a",
            "-ERR invalid expire time in 'hpexpire' command",
        ),
        ("HTTL h FIELDS 0 a", positive),
        ("HTTL h FIELD 1 a", place),
        ("HPERSIST h FIELDS 2 a", mismatch),
        ("HGETDEL h FIELDS 0 a", positive),
        ("HGETEX h PXAT 1 1 a", place),
        ("HGETEX h PERSIST 1 FIELDS 1 a", place),
        ("HGETEX h EX -1 FIELDS 1 a", negative),
        (
            "HSETEX h FIELDS 2 a b",
            "-ERR wrong number of arguments for 'hsetex' command",
        ),
        ("HSETEX h NX FIELDS 1 a b", "-ERR unknown argument: NX"),
        (
            "HSETEX h FXX FNX FIELDS 1 a b",
            "-ERR Only one of FXX or FNX arguments can be specified",
        ),
        (
            "HSETEX h EX 1 KEEPTTL FIELDS 1 a b",
            "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
        ),
        (
            "HSETEX h EX FIELDS 1 a b",
            "-ERR value is not an integer or out of range",
        ),
        ("HSETEX h FIELDS 0 a b", "-ERR invalid number of fields"),
    ] {
        check(request, error);
        check(
            &format!("HSET h a 1 ; {request} ; HGET h a"),
            &format!("1 ; {error} ; \"1\""),
        );
    }
    check(
        "SET s x ; HEXPIRE s 1 FIELDS 1 a ; HTTL s FIELDS 1 a ; HGETDEL s FIELDS 1 a ; HSETEX s FNX FIELDS 1 a b",
        "OK ; -WRONGTYPE Operation against a key holding the wrong kind of value ; -WRONGTYPE Operation against a key holding the wrong kind of value ; -WRONGTYPE Operation against a key holding the wrong kind of value ; -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn what_keeps_a_deadline_and_what_drops_it() {
    let mut f = Fixture::new();
    f.run("HSETEX h EX 100 FIELDS 5 a 1 b 1 c 1.5 d 1 e 1");
    f.run("HSET h a 2 ; HINCRBY h b 1 ; HINCRBYFLOAT h c 1 ; HSETEX h KEEPTTL FIELDS 1 d 9 ; HSETEX h FIELDS 1 e 9");
    assert_eq!(f.run("HTTL h FIELDS 5 a b c d e"), "[-1, 100, 100, 100, -1]");
    assert_eq!(
        f.run("HMGET h a b c d e"),
        "[\"2\", \"2\", \"2.5\", \"9\", \"9\"]"
    );
    f.run("EXPIRE h 50 ; RENAME h r ; COPY r copy ; COPY r copy DB 3");
    assert_eq!(
        f.run("TTL r ; HTTL r FIELDS 2 b e ; TTL copy ; HTTL copy FIELDS 2 b e"),
        "50 ; [100, -1] ; 50 ; [100, -1]"
    );
    f.run("PERSIST r");
    assert_eq!(
        f.run("TTL r ; HTTL r FIELDS 1 b ; OBJECT ENCODING r"),
        "-1 ; [100] ; \"hashtable\""
    );
    wait(&mut f, 50_000);
    assert_eq!(
        f.run("EXISTS copy ; HLEN r ; MOVE r 5 ; EXISTS r"),
        "0 ; 5 ; 1 ; 0"
    );
    f.db = 5;
    wait(&mut f, 50_000);
    assert_eq!(f.run("HLEN r ; HMGET r a b"), "2 ; [\"2\", nil]");
}

#[test]
fn the_deadline_of_the_key_is_not_that_of_its_fields() {
    let mut f = Fixture::new();
    f.run("HSETEX h PX 100 FIELDS 1 a 1 ; HSET h b 2 ; PEXPIRE h 1000");
    assert_eq!(
        f.run("PTTL h ; PEXPIRE h 500 GT ; PEXPIRE h 2000 GT ; PTTL h"),
        "1000 ; 0 ; 1 ; 2000"
    );
    wait(&mut f, 100);
    assert_eq!(f.run("HGETALL h ; PTTL h"), "[\"b\", \"2\"] ; 1900");
    f.run("HSETEX h PX 50 FIELDS 1 c 3 ; SET h string KEEPTTL");
    assert_eq!(f.run("PTTL h"), "1900");
    f.run("DEL h ; HSETEX h PX 300 FIELDS 1 a 1 ; HSET h b 2 ; PEXPIRE h 100");
    wait(&mut f, 100);
    assert_eq!(f.run("EXISTS h ; DBSIZE"), "0 ; 0");
    assert_eq!(f.keyspace.summary(0).volatile_keys, 0);
}

#[test]
fn fields_are_read_and_written_with_deadlines() {
    check(
        "HSET h a 1 b 2 ; HGETEX h EX 10 FIELDS 2 a x ; HTTL h FIELDS 2 a b ; HGETEX h FIELDS 1 a ; HGETEX h PERSIST FIELDS 1 a ; HTTL h FIELDS 1 a",
        "2 ; [\"1\", nil] ; [10, -1] ; [\"1\"] ; [\"1\"] ; [-1]",
    );
    check(
        "HSET h a 1 b 2 ; HGETEX h PXAT 1 FIELDS 1 a ; HGETDEL h FIELDS 3 a b b ; EXISTS h ; HGETDEL h FIELDS 1 a ; HGETEX h FIELDS 1 a",
        "2 ; [\"1\"] ; [nil, \"2\", nil] ; 0 ; [nil] ; [nil]",
    );
    check(
        "HSETEX h FXX FIELDS 1 a 1 ; EXISTS h ; HSETEX h FNX EX 9 FIELDS 2 a 1 b 2 ; HSETEX h FNX FIELDS 2 c 1 b 2 ; HEXISTS h c ; HSETEX h FXX FIELDS 2 a 3 c 4 ; HSETEX h FXX PX 1500 FIELDS 2 a 3 b 4 ; HPTTL h FIELDS 2 a b",
        "0 ; 0 ; 1 ; 0 ; 0 ; 0 ; 1 ; [1500, 1500]",
    );
    check(
        "HSET h a 1 b 2 ; HSETEX h PXAT 1 FIELDS 1 a 5 ; HKEYS h ; HSETEX h EX 0 FIELDS 2 b 1 c 1 ; EXISTS h ; HSETEX new EX 0 FIELDS 1 a b ; EXISTS new",
        "2 ; 1 ; [\"b\"] ; 1 ; 0 ; 1 ; 0",
    );
}

#[test]
fn deadlines_survive_a_payload() {
    let mut f = Fixture::new();
    f.run(
        "HSETEX h PX 200 FIELDS 1 a 1 ; HSETEX h PX 100 FIELDS 2 b 2 c 3 ; HSET h lasting x ; HSET plain a 1",
    );
    let restore = |f: &mut Fixture, key: &str, to: &str| {
        let dumped = f.execute(&requests(&format!("DUMP {key}"))[0]);
        let start = dumped
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let payload = dumped[start..dumped.len() - 2].to_vec();
        let request = OwnedRequest::new([&b"RESTORE"[..], to.as_bytes(), b"0", &payload]);
        assert_eq!(f.execute(&request), b"+OK\r\n");
        payload
    };
    let payload = restore(&mut f, "h", "there");
    assert_eq!(
        payload[..9],
        [&[24][..], &(START_MS + 100).to_le_bytes()].concat()
    );
    assert_eq!(payload[payload.len() - 10..][..2], [12, 0]);
    assert_eq!(
        f.run("HLEN there ; HPTTL there FIELDS 4 a b c lasting"),
        "4 ; [200, 100, 100, -1]"
    );
    let payload = restore(&mut f, "plain", "other");
    assert_eq!((payload[0], payload[payload.len() - 10]), (4, 10));
    wait(&mut f, 150);
    assert_eq!(f.run("HLEN there ; HLEN h"), "2 ; 2");
    restore(&mut f, "h", "again");
    assert_eq!(f.run("HPTTL again FIELDS 3 a b lasting"), "[50, -2, -1]");
}

/// What Redis 7.4 writes for small hashes: three elements per field, in a listpack, with the earliest deadline in front.
#[test]
fn payloads_of_redis_with_deadlines_are_read() {
    let payload = |kind: u8, time: &str, earliest: bool| {
        let mut list = vec![0; 6];
        for element in ["f", "v", time, "g", "w", "0"] {
            list.push(0x80 | element.len() as u8);
            list.extend_from_slice(element.as_bytes());
            list.push(1 + element.len() as u8);
        }
        list.push(0xff);
        let length = list.len() as u32;
        list[..4].copy_from_slice(&length.to_le_bytes());
        list[4..6].copy_from_slice(&6u16.to_le_bytes());
        let mut bytes = vec![kind];
        if earliest {
            bytes.extend_from_slice(&(START_MS + 300).to_le_bytes());
        }
        bytes.push(list.len() as u8);
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(&12u16.to_le_bytes());
        let crc = repligo_proto::rdb::checksum(0, &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    };
    let late = (START_MS + 300).to_string();
    for (kind, earliest) in [(25, true), (23, false)] {
        let mut f = Fixture::new();
        let request = OwnedRequest::new([&b"RESTORE"[..], b"h", b"0", &payload(kind, &late, earliest)]);
        assert_eq!(f.execute(&request), b"+OK\r\n");
        assert_eq!(
            f.run("HPTTL h FIELDS 2 f g ; HMGET h f g"),
            "[300, -1] ; [\"v\", \"w\"]"
        );
        let request = OwnedRequest::new([&b"RESTORE"[..], b"past", b"0", &payload(kind, "7", earliest)]);
        assert_eq!(f.execute(&request), b"+OK\r\n");
        assert_eq!(f.run("HGETALL past"), "[\"g\", \"w\"]");
    }
}

#[test]
fn a_watched_hash_has_changed_when_a_field_expires() {
    let (mut f, _) = crowd();
    let mut last = f.keyspace.version_of(0, b"h");
    while f.keyspace.has_expired_keys() {
        wait(&mut f, 0);
        let version = f.keyspace.version_of(0, b"h");
        assert_ne!(version, last);
        last = version;
    }
    assert_eq!(f.keyspace.version_of(0, b"h"), last);
    f.run("HEXPIRE h 5 FIELDS 1 nothing ; HPERSIST h FIELDS 1 lasting ; HGETEX h FIELDS 1 lasting");
    assert_eq!(f.keyspace.version_of(0, b"h"), last);
    f.run("HEXPIRE h 5 FIELDS 1 lasting");
    assert_ne!(f.keyspace.version_of(0, b"h"), last);
}

/// Runs a script, and tells the events of which who listens is told meanwhile.
fn events(f: &mut Fixture, script: &str) -> String {
    let mut told = Vec::new();
    for request in requests(script) {
        let view = request.view();
        let spec = repligo_proto::command::resolve(view).expect("a command");
        let command = crate::command::parse(spec, 0, view).expect("its arity fits");
        f.keyspace.name(None, || crate::keyspace::Naming::of(&command));
        f.execute(&request);
    }
    for group in f.keyspace.take_changes(false) {
        group.for_each_event(&mut |event| told.push(event.name));
    }
    told.join(" ")
}

#[test]
fn who_listens_is_told_of_fields_and_their_hash() {
    let mut f = Fixture::new();
    let all = EventClasses::parse("KEAn").expect("letters");
    f.keyspace.observe(all, false);
    assert_eq!(events(&mut f, "HSETEX h EX 10 FIELDS 1 a 1"), "new hset hexpire");
    assert_eq!(events(&mut f, "HSETEX h FIELDS 1 b 1"), "hset");
    assert_eq!(events(&mut f, "HEXPIRE h 5 FIELDS 2 a x"), "hexpire");
    assert_eq!(events(&mut f, "HEXPIRE h 5 FIELDS 1 x"), "");
    assert_eq!(events(&mut f, "HPERSIST h FIELDS 1 a"), "hpersist");
    assert_eq!(events(&mut f, "HGETEX h PX 50 FIELDS 1 a"), "hexpire");
    assert_eq!(events(&mut f, "HGETEX h FIELDS 1 a"), "");
    assert_eq!(events(&mut f, "HEXPIRE h 0 FIELDS 1 b"), "hdel");
    assert_eq!(events(&mut f, "HGETDEL h FIELDS 1 a"), "hdel del");
    assert_eq!(
        events(
            &mut f,
            "HSETEX h PX 50 FIELDS 1 a 1 ; HSETEX h PX 20 FIELDS 1 b 1"
        ),
        "new hset hexpire hset hexpire"
    );
    wait(&mut f, 20);
    assert_eq!(events(&mut f, "HGET h a"), "hexpired");
    wait(&mut f, 30);
    assert_eq!(events(&mut f, "HGET h a"), "hexpired del");
}

#[test]
fn only_a_key_with_a_deadline_of_its_own_is_volatile() {
    for policy in [EvictionPolicy::VolatileTtl, EvictionPolicy::VolatileRandom] {
        let mut f = Fixture::new();
        f.run("HSETEX fields EX 10 FIELDS 1 a 1 ; HSETEX both EX 10 FIELDS 1 a 1 ; EXPIRE both 900 ; HSET none a 1");
        let mut victims = VictimsBuffer::default();
        let wish = Wish {
            policy,
            bytes: u64::MAX,
            count_max: 10,
            has_rows: false,
            row_version_max: u64::MAX,
        };
        Chooser::new(1).choose(&f.keyspace, wish, &|_, _| false, &mut victims);
        let keys: Vec<_> = victims
            .victims()
            .iter()
            .map(|victim| victim.key.to_vec())
            .collect();
        assert_eq!(keys, [b"both"]);
        assert_eq!(f.keyspace.summary(0).volatile_keys, 1);
    }
}

#[test]
fn commands_on_fields_in_slices_do_what_they_do_at_once() {
    for script in [
        "HSETEX h PX 9 FIELDS 3 a 1 new 2 b 3",
        "HSETEX h FNX FIELDS 3 x 1 y 2 b 3",
        "HSETEX h FXX KEEPTTL FIELDS 3 a 1 b 2 c 3",
        "HSETEX h EXAT 1 FIELDS 3 a 1 b 2 c 3",
        "HEXPIRE h 5 FIELDS 4 a nothing b c",
        "HPEXPIREAT h 1 FIELDS 3 a b c",
        "HTTL h FIELDS 4 a nothing b c",
        "HPERSIST h FIELDS 3 a b c",
        "HGETEX h EX 5 FIELDS 4 a nothing b c",
        "HGETDEL h FIELDS 4 a nothing b a",
        "HGETDEL h FIELDS 3 a b c",
    ] {
        assert_same_in_slices(script);
    }
}

#[test]
fn no_deadline_is_overlooked_while_fields_wait_for_their_removal() {
    let (mut f, _) = crowd();
    f.run("HDEL h lasting ; RPUSH l h");
    let now_ms = f.keyspace.time_ms();
    let next_ms = f.keyspace.next_deadline().expect("a field is there that ends");
    assert!((now_ms + 1..=now_ms + 100).contains(&next_ms));
    f.ahead_ms = 100;
    for read in [
        "DBSIZE",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "SORT_RO l BY nosort GET *->later",
    ] {
        assert_eq!(f.run(read), "NEEDSTIME", "{read}");
    }
    while f.keyspace.has_expired_keys() {
        wait(&mut f, 0);
    }
    assert_eq!(f.keyspace.next_deadline(), Some(START_MS + 200));
}

#[test]
fn an_entry_removes_fields_of_bounded_size() {
    let mut f = Fixture::new();
    let value = "v".repeat(RECLAIMED_STEP_BYTES * RECLAIMED_PER_ENTRY / 4);
    for field in 0..7 {
        f.run(&format!("HSETEX h{} PX 100 FIELDS 1 f{field} {value}", field % 2));
    }
    f.run(&format!("HSETEX longer PX 100 FIELDS 1 a {}", value.repeat(5)));
    wait(&mut f, 100);
    let mut turns = vec![f.keyspace.counters().expired_fields];
    assert_eq!(f.run("HLEN h0 ; HGET h1 f5 ; DBSIZE"), "0 ; nil ; 0");
    while f.keyspace.has_expired_keys() {
        wait(&mut f, 0);
        turns.push(f.keyspace.counters().expired_fields);
    }
    assert_eq!(turns, [3, 6, 7, 8]);
}

#[test]
fn commands_on_long_values_are_weighed_and_charged_by_them() {
    let value = "v".repeat(SLICE_STEPS * STEP_BYTES / 2);
    for begin in ["HEXPIRE h 5", "HPERSIST h", "HGETDEL h", "HGETEX h EX 5"] {
        let mut f = Fixture::new();
        f.run(&format!("HSETEX h EX 9 FIELDS 3 a {value} b {value} c {value}"));
        for (count, names) in [(1, "a"), (3, "a b c")] {
            let script = format!("{begin} FIELDS {count} {names}");
            let source = encoded(&script);
            let command = Command::decode(&mut &source[..]).expect("just encoded");
            assert_eq!(f.keyspace.is_wide(&command), count == 3, "{script}");
        }
        f.keyspace.take_work_steps();
        f.run(&format!("{begin} FIELDS 3 a b c"));
        assert!(f.keyspace.take_work_steps() >= SLICE_STEPS, "{begin}");
    }
}

#[test]
fn the_key_that_ends_first_is_evicted_first_whatever_its_fields_do() {
    let mut f = Fixture::new();
    f.run("HSETEX h PX 1000 FIELDS 1 a 1 ; EXPIRE h 900 ; SET s x EX 10 ; SET later x EX 800");
    let mut victims = VictimsBuffer::default();
    let wish = Wish {
        policy: EvictionPolicy::VolatileTtl,
        bytes: 1,
        count_max: 1,
        has_rows: false,
        row_version_max: u64::MAX,
    };
    Chooser::new(1).choose(&f.keyspace, wish, &|_, _| false, &mut victims);
    let keys: Vec<_> = victims
        .victims()
        .iter()
        .map(|victim| victim.key.to_vec())
        .collect();
    assert_eq!(keys, [b"s"]);
}

#[test]
fn keys_with_deadlines_are_counted_right_while_fields_wait_for_their_removal() {
    let (mut f, _) = crowd();
    f.run("SET s x PX 5000 ; HSETEX fields PX 5000 FIELDS 1 a b");
    assert_eq!(f.keyspace.summary(0).volatile_keys, 1);
    f.run("PEXPIRE h 5000");
    assert_eq!(f.keyspace.summary(0).volatile_keys, 2);
}

#[test]
fn a_watched_hash_has_changed_with_each_field_that_waits_for_its_removal() {
    let (mut f, _) = crowd();
    for first in 0..RECLAIMED_PER_ENTRY / 4 {
        let names: Vec<_> = (0..5).map(|field| format!("g{first}:{field} v")).collect();
        f.run(&format!("HSETEX h PX 1 FIELDS 5 {}", names.join(" ")));
    }
    f.run("HSETEX i PX 10 FIELDS 1 a 1 ; HSETEX i PX 20 FIELDS 1 b 2 ; HSET i c 3");
    let written = f.keyspace.latest_version();
    let mut versions = vec![f.keyspace.version_of(0, b"i")];
    for expect in ["[nil, \"2\"]", "[nil, nil]"] {
        wait(&mut f, 10);
        assert_eq!(f.run("HMGET i a b"), expect);
        versions.push(f.keyspace.version_of(0, b"i"));
    }
    assert_eq!(
        f.keyspace.latest_version(),
        written + 2,
        "it is not reached, `h` is"
    );
    versions.dedup();
    assert_eq!(versions.len(), 3);
}

#[test]
fn a_hash_goes_with_the_last_field_that_had_not_expired() {
    let (mut f, _) = crowd();
    let all = EventClasses::parse("KEA").expect("letters");
    f.keyspace.observe(all, false);
    assert_eq!(events(&mut f, "HDEL h lasting later"), "hdel del");
    let expired = f.keyspace.counters().expired_fields;
    wait(&mut f, 0);
    assert!(!f.keyspace.has_expired_keys());
    assert_eq!(events(&mut f, "HLEN h"), "");
    assert_eq!(f.keyspace.counters().expired_fields, expired);
    assert_eq!(f.keyspace.digest(), 0);
}
