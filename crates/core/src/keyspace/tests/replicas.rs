//! What replicas must agree on: the same ops give the same state, and a snapshot carries all of it.

use proptest::prelude::*;
use repligo_proto::reply::ReplyWriter;

use super::{Fixture, START_MS, requests};
use crate::collection::{End, HashRef, Hashed, LargeList, ListRef, SetRef, SortedSetRef};
use crate::collection::{Stream, StreamBuilder, VolatileHash, VolatileRef};
use crate::keyspace::database::Database;
use crate::keyspace::digest::{KeyDigest, content};
use crate::keyspace::typed::TypedRef;
use crate::keyspace::{Keyspace, RestoreError, kind};
use crate::packed::{put_bytes, put_varint, take_bytes, take_varint};
use crate::section::{SNAPSHOT_LEVEL, VERSION};
use crate::table::{EntryRef, HashSeed};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Command(u8, String),
    Wait(u64),
    Row(u8, bool),
}

fn key() -> impl Strategy<Value = String> {
    (0..12u8).prop_map(|number| format!("key:{number}"))
}

fn command() -> impl Strategy<Value = String> {
    prop_oneof![
        (key(), any::<u16>()).prop_map(|(key, value)| format!("SET {key} {value}")),
        (key(), 1..500u16).prop_map(|(key, ms)| format!("SET {key} volatile PX {ms}")),
        (key(), 0..9000u16).prop_map(|(key, length)| format!("SETRANGE {key} {length} x")),
        (key(), 1..5000usize).prop_map(|(key, length)| format!("APPEND {key} {}", "y".repeat(length))),
        (key(), key()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        (key(), key()).prop_map(|(first, second)| format!("DEL {first} {second}")),
        (key(), 0..500u16).prop_map(|(key, ms)| format!("PEXPIRE {key} {ms}")),
        key().prop_map(|key| format!("PERSIST {key}")),
        key().prop_map(|key| format!("INCR {key}")),
        key().prop_map(|key| format!("INCRBYFLOAT {key} 0.1")),
        (key(), 0..40u8, 0..80usize)
            .prop_map(|(key, field, length)| format!("HSET {key} f{field} {}", "v".repeat(length) + "v")),
        (key(), 0..60u8, 100..140usize).prop_map(|(key, first, count)| {
            let pairs: Vec<_> = (0..count)
                .map(|at| format!("f{} v{at}", usize::from(first) + at))
                .collect();
            format!("HSET {key} {}", pairs.join(" "))
        }),
        (key(), 0..60u8, 1..140usize).prop_map(|(key, first, count)| {
            let fields: Vec<_> = (0..count)
                .map(|at| format!("f{}", usize::from(first) + at))
                .collect();
            format!("HDEL {key} {}", fields.join(" "))
        }),
        key().prop_map(|key| format!("HINCRBY {key} n 3")),
        key().prop_map(|key| format!("HSETNX {key} f1 v")),
        super::fields::step(key().boxed()),
        set_step(),
        list_step(),
        sorted_set_step(),
        super::streams::step(key()),
        Just("FLUSHDB".to_owned()),
        (0..4u8, 0..4u8).prop_map(|(one, other)| format!("SWAPDB {one} {other}")),
    ]
}

/// Sets of all forms, and what becomes of two of them.
fn set_step() -> impl Strategy<Value = String> {
    let members = (0..2u8, 0..600usize, 1..200usize).prop_map(|(kind, first, count)| {
        let members: Vec<_> = (first..first + count)
            .map(|member| match kind {
                0 => member.to_string(),
                _ => format!("m{member}"),
            })
            .collect();
        members.join(" ")
    });
    prop_oneof![
        (key(), members.clone()).prop_map(|(key, members)| format!("SADD {key} {members}")),
        (key(), members.clone()).prop_map(|(key, members)| format!("SADD {key} {members}")),
        (key(), members).prop_map(|(key, members)| format!("SREM {key} {members}")),
        (key(), 0..300u16).prop_map(|(key, count)| format!("SPOP {key} {count}")),
        (key(), key()).prop_map(|(from, to)| format!("SMOVE {from} {to} 7")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("SUNIONSTORE {to} {one} {other}")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("SINTERSTORE {to} {one} {other}")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("SDIFFSTORE {to} {one} {other}")),
    ]
}

/// Lists of both forms, changed at their ends and in between.
fn list_step() -> impl Strategy<Value = String> {
    let elements = (0..3usize, 1..60usize, 1..400usize).prop_map(|(kind, count, length)| {
        let elements: Vec<_> = (0..count)
            .map(|number| match kind {
                0 => (number % 7).to_string(),
                1 => "e".repeat(length),
                _ => "long".repeat(length * usize::from(number == 3)) + "x",
            })
            .collect();
        elements.join(" ")
    });
    prop_oneof![
        (key(), elements.clone()).prop_map(|(key, elements)| format!("RPUSH {key} {elements}")),
        (key(), elements).prop_map(|(key, elements)| format!("LPUSH {key} {elements}")),
        (key(), 0..90u8).prop_map(|(key, count)| format!("LPOP {key} {count}")),
        (key(), 0..90u8).prop_map(|(key, count)| format!("RPOP {key} {count}")),
        (key(), key()).prop_map(|(from, to)| format!("RPOPLPUSH {from} {to}")),
        (key(), -40..40i8).prop_map(|(key, index)| format!("LSET {key} {index} other")),
        (key(), 0..7u8).prop_map(|(key, pivot)| format!("LINSERT {key} BEFORE {pivot} new")),
        (key(), -3..3i8, 0..7u8).prop_map(|(key, count, element)| format!("LREM {key} {count} {element}")),
        (key(), 0..30u8, 0..30u8).prop_map(|(key, start, behind)| format!("LTRIM {key} {start} -{behind}")),
    ]
}

/// Places in sorted sets, and searches whose results are stored.
fn place_step() -> impl Strategy<Value = String> {
    let places = (0..300usize, 1..100usize).prop_map(|(first, count)| {
        let places: Vec<_> = (first..first + count)
            .map(|member| format!("{} {} m{member}", member * 7 % 179, member * 5 % 83))
            .collect();
        places.join(" ")
    });
    let stored = prop_oneof![
        Just(""),
        Just(" STOREDIST"),
        Just(" COUNT 20 ANY"),
        Just(" COUNT 20")
    ];
    prop_oneof![
        (key(), places).prop_map(|(key, places)| format!("GEOADD {key} {places}")),
        (key(), key(), 1..9000u16, stored).prop_map(|(to, from, radius, stored)| {
            format!("GEOSEARCHSTORE {to} {from} FROMLONLAT 20 30 BYRADIUS {radius} km{stored}")
        }),
    ]
}

/// Sorted sets of both forms.
fn sorted_set_step() -> impl Strategy<Value = String> {
    let pairs = (0..300usize, 1..200usize, 1..50usize).prop_map(|(first, count, scores)| {
        let pairs: Vec<_> = (first..first + count)
            .map(|member| format!("{} m{member}", member % scores))
            .collect();
        pairs.join(" ")
    });
    prop_oneof![
        (key(), pairs.clone()).prop_map(|(key, pairs)| format!("ZADD {key} {pairs}")),
        (key(), pairs.clone()).prop_map(|(key, pairs)| format!("ZADD {key} GT CH {pairs}")),
        (key(), pairs).prop_map(|(key, pairs)| format!("ZREM {key} {pairs}")),
        (key(), 0..300u16).prop_map(|(key, member)| format!("ZINCRBY {key} 1.5 m{member}")),
        (key(), 0..300u16).prop_map(|(key, count)| format!("ZPOPMAX {key} {count}")),
        (key(), key()).prop_map(|(one, other)| format!("ZMPOP 2 {one} {other} MIN COUNT 40")),
        (key(), key(), 0..99u8).prop_map(|(to, from, first)| format!("ZRANGESTORE {to} {from} {first} 200")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("ZUNIONSTORE {to} 2 {one} {other}")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("ZINTERSTORE {to} 2 {one} {other}")),
        (key(), key(), key()).prop_map(|(to, one, other)| format!("ZDIFFSTORE {to} 2 {one} {other}")),
        place_step(),
        (key(), 0..60u8, 0..60u8)
            .prop_map(|(key, first, last)| format!("ZREMRANGEBYSCORE {key} {first} {last}")),
        (key(), 0..60u8, 0..200u8)
            .prop_map(|(key, first, last)| format!("ZREMRANGEBYRANK {key} {first} {last}")),
    ]
}

/// A fixture whose seed is that of the log, as when anything is applied.
pub(super) fn seeded() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.keyspace = Keyspace::new(HashSeed::from_number(7));
    fixture.keyspace.seed(HashSeed::from_number(8));
    fixture.keyspace.set_time(START_MS);
    fixture
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3u8, command()).prop_map(|(db, command)| Step::Command(db, command)),
        3 => (0..200u64).prop_map(Step::Wait),
        2 => (0..12u8, any::<bool>()).prop_map(|(key, exists)| Step::Row(key, exists)),
    ]
}

fn take(fixture: &mut Fixture, step: &Step) {
    match step {
        Step::Command(db, script) => {
            fixture.db = *db;
            fixture.run(script);
        }
        Step::Wait(ms) => fixture.keyspace.set_time(fixture.keyspace.time_ms() + ms),
        Step::Row(key, exists) => {
            let deadline = Some(fixture.keyspace.time_ms() + u64::from(*key) * 20);
            let value = exists.then_some(&b"row"[..]);
            fixture
                .keyspace
                .put_origin_value(0, format!("key:{key}").as_bytes(), value, deadline);
        }
    }
}

/// A large hash or set as its fields or members and values in an order of their own, a large list as its elements; any
/// other value as it is.
fn value_of(database: &Database, entry: &EntryRef<'_>) -> Vec<u8> {
    let collections = database.collections();
    if let Some(ListRef::Large(list)) = ListRef::of(entry, collections, 0) {
        let mut bytes = Vec::new();
        let elements = list.from(0);
        elements.for_each(|element| element.with(|element| put_bytes(&mut bytes, element)));
        return bytes;
    }
    if let Some(stream) = <&Stream>::of(entry, collections, 0) {
        let mut chunk = Vec::new();
        stream.put_chunk(0, usize::MAX, &mut chunk);
        return chunk;
    }
    if let Some(hash) = collections.volatile(entry) {
        let mut fields: Vec<_> = VolatileRef::new(hash, 0).timed_from(0).collect();
        fields.sort_unstable();
        let mut bytes = Vec::new();
        put_varint(
            &mut bytes,
            hash.key_deadline_ms().map_or(0, |deadline_ms| deadline_ms + 1),
        );
        for (deadline_ms, field, value) in fields {
            put_varint(&mut bytes, deadline_ms.map_or(0, |deadline_ms| deadline_ms + 1));
            put_bytes(&mut bytes, field);
            put_bytes(&mut bytes, value);
        }
        return bytes;
    }
    let mut fields: Vec<_> = if let Some(HashRef::Large(hash)) = HashRef::of(entry, collections, 0) {
        hash.from(0).map(|field| (field.key, field.value)).collect()
    } else if let Some(SetRef::Large(set)) = SetRef::of(entry, collections, 0) {
        set.from(0).map(|member| (member.key, member.value)).collect()
    } else if let Some(SortedSetRef::Large(set)) = SortedSetRef::of(entry, collections, 0) {
        let mut chunk = Vec::new();
        set.put_chunk(0, usize::MAX, &mut chunk);
        return members_and_scores(&chunk);
    } else {
        return entry.value.to_vec();
    };
    fields.sort_unstable();
    let mut bytes = Vec::new();
    for (field, value) in fields {
        put_bytes(&mut bytes, field);
        put_bytes(&mut bytes, value);
    }
    bytes
}

/// A chunk of a sorted set as members with their scores, in an order of their own.
fn members_and_scores(mut chunk: &[u8]) -> Vec<u8> {
    let mut members = Vec::new();
    while !chunk.is_empty() {
        let score = take_bytes(&mut chunk).expect("it was put");
        members.push((take_bytes(&mut chunk).expect("it was put"), score));
    }
    members.sort_unstable();
    let mut bytes = Vec::new();
    for (member, score) in members {
        put_bytes(&mut bytes, member);
        put_bytes(&mut bytes, score);
    }
    bytes
}

/// All keys of all databases with value, deadline, version and kind, in order.
fn contents(keyspace: &Keyspace) -> Vec<(usize, Vec<u8>, Vec<u8>, crate::table::Meta)> {
    let mut entries: Vec<_> = (keyspace.databases.iter().enumerate())
        .filter_map(|(db, database)| Some((db, database.as_ref()?)))
        .flat_map(|(db, database)| database.table().iter().map(move |entry| (db, database, entry)))
        .map(|(db, database, entry)| (db, entry.key.to_vec(), value_of(database, &entry), entry.meta()))
        .collect();
    entries.sort_unstable_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    entries
}

/// The digest by its definition.
fn recomputed(keyspace: &Keyspace) -> u128 {
    let of = |(db, key, value, meta): &(usize, Vec<u8>, Vec<u8>, crate::table::Meta)| {
        let key_digest = KeyDigest::new(keyspace.numbers()[*db], key);
        if !kind::is_large(meta.kind) {
            return key_digest.entry(value, content(value), *meta);
        }
        let mut rest = &value[..];
        if meta.kind == kind::STREAM {
            let mut builder = StreamBuilder::default();
            builder.take_chunk(rest).expect("it was put");
            let content = key_digest.of_content(builder.finish().digest());
            return key_digest.meta(8, *meta).wrapping_add(content);
        }
        if meta.kind == kind::LIST_LARGE {
            let mut list = LargeList::default();
            while !rest.is_empty() {
                list.push(End::Tail, take_bytes(&mut rest).expect("they were put"));
            }
            let content = key_digest.of_content(list.digest());
            return key_digest.meta(8, *meta).wrapping_add(content);
        }
        if meta.kind == kind::HASH_VOLATILE {
            let content = key_digest.of_content(volatile_hash(rest).digest());
            return key_digest.meta(8, *meta).wrapping_add(content);
        }
        let mut hash = Hashed::<true>::new(HashSeed::from_number(3));
        while !rest.is_empty() {
            let field = take_bytes(&mut rest).expect("they were put");
            hash.insert(field, take_bytes(&mut rest).expect("they were put"));
        }
        key_digest
            .meta(8, *meta)
            .wrapping_add(key_digest.of_content(hash.digest()))
    };
    let exchanges = keyspace.exchanges_digest();
    contents(keyspace)
        .iter()
        .map(of)
        .fold(exchanges, u128::wrapping_add)
}

/// A hash from what `value_of` told of it.
fn volatile_hash(mut bytes: &[u8]) -> VolatileHash {
    let seed = HashSeed::from_number(3);
    let mut hash = VolatileHash::new(Hashed::new(seed), seed);
    let number = |bytes: &mut &[u8]| take_varint(bytes).expect("it was put").checked_sub(1);
    hash.set_key_deadline(number(&mut bytes));
    while !bytes.is_empty() {
        let deadline_ms = number(&mut bytes);
        let field = take_bytes(&mut bytes).expect("it was put");
        let value = take_bytes(&mut bytes).expect("it was put");
        match deadline_ms {
            None => assert!(hash.set(field, value)),
            Some(deadline_ms) => hash.set_volatile(field, value, deadline_ms),
        }
    }
    hash
}

pub(super) fn chunks_of(
    keyspace: &mut Keyspace,
    budget_bytes: usize,
    mut between: impl FnMut(&mut Keyspace),
) -> Vec<Vec<u8>> {
    keyspace.snapshot_begin();
    let mut chunks = Vec::new();
    loop {
        let mut chunk = Vec::new();
        let done = keyspace.snapshot_next(&mut chunk, budget_bytes);
        chunks.push(chunk);
        if done {
            return chunks;
        }
        between(keyspace);
    }
}

pub(super) fn restored(chunks: &[Vec<u8>]) -> Keyspace {
    // Another hash seed: what is not of the log is not in the chunks.
    let mut keyspace = Keyspace::new(HashSeed::from_number(1));
    for chunk in chunks {
        keyspace.restore_chunk(chunk).expect("what was saved is restored");
    }
    keyspace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_history_gives_the_same_state(steps in prop::collection::vec(step(), 1..120)) {
        let (mut here, mut there) = (Fixture::new(), Fixture::new());
        there.keyspace = Keyspace::new(HashSeed::from_number(99));
        there.keyspace.set_time(START_MS);
        // Members at random follow from the secret of the cluster, which differs here to show that nothing else does.
        let is_drawn = |step: &&Step| matches!(step, Step::Command(_, script) if script.starts_with("SPOP"));
        for step in steps.iter().filter(|step| !is_drawn(step)) {
            take(&mut here, step);
            take(&mut there, step);
            prop_assert_eq!(here.keyspace.digest(), there.keyspace.digest());
        }
        prop_assert_eq!(contents(&here.keyspace), contents(&there.keyspace));
        prop_assert_eq!(here.keyspace.digest(), recomputed(&here.keyspace));
        prop_assert_eq!(here.keyspace.next_deadline().is_some(), there.keyspace.next_deadline().is_some());
    }

    #[test]
    fn a_snapshot_is_the_state_when_it_began(
        before in prop::collection::vec(step(), 1..80),
        during in prop::collection::vec(step(), 1..80),
        budget_bytes in 1..4000usize,
    ) {
        let mut fixture = seeded();
        before.iter().for_each(|step| take(&mut fixture, step));
        let (expect, digest) = (contents(&fixture.keyspace), fixture.keyspace.digest());
        let (time_ms, version) = (fixture.keyspace.time_ms(), fixture.keyspace.version);
        let mut during = during.iter();
        let mut keyspace = std::mem::take(&mut fixture.keyspace);
        let chunks = chunks_of(&mut keyspace, budget_bytes, |keyspace| {
            std::mem::swap(&mut fixture.keyspace, keyspace);
            during.by_ref().take(3).for_each(|step| take(&mut fixture, step));
            std::mem::swap(&mut fixture.keyspace, keyspace);
        });
        let copy = restored(&chunks);
        prop_assert_eq!(contents(&copy), expect);
        prop_assert_eq!((copy.digest(), copy.time_ms(), copy.version), (digest, time_ms, version));
    }

    #[test]
    fn a_restored_replica_goes_on_as_the_others_do(
        before in prop::collection::vec(step(), 1..60),
        after in prop::collection::vec(step(), 1..60),
    ) {
        let (mut here, mut there) = (seeded(), seeded());
        before.iter().for_each(|step| take(&mut here, step));
        there.keyspace = restored(&chunks_of(&mut here.keyspace, 1 << 16, |_| ()));
        for step in &after {
            take(&mut here, step);
            take(&mut there, step);
        }
        prop_assert_eq!(contents(&here.keyspace), contents(&there.keyspace));
        prop_assert_eq!(here.keyspace.digest(), there.keyspace.digest());
    }

    #[test]
    fn restoring_anything_is_an_error_at_worst(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..=9u8) {
        let mut fixture = Fixture::new();
        fixture.run("SET a 1 ; SET b 2 PX 500");
        let chunks = chunks_of(&mut fixture.keyspace, 1 << 16, |_| ());
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        let _ = keyspace.restore_chunk(&bytes);
        keyspace.restore_chunk(&chunks[0]).expect("the header");
        let _ = keyspace.restore_chunk(&[&[VERSION, kind, SNAPSHOT_LEVEL as u8][..], &bytes].concat());
    }
}

/// Fills a key, takes a snapshot while it changes, goes and everything goes, and compares.
pub(super) fn check_cuts(fill: impl Fn(usize) -> String, change: impl Fn(usize) -> String) {
    let mut fixture = seeded();
    (0..40).for_each(|part| drop(fixture.run(&fill(part))));
    fixture.run("HSET small a 1 ; SET string x ; RPUSH list a 1");
    let (expect, digest) = (contents(&fixture.keyspace), fixture.keyspace.digest());
    let mut keyspace = std::mem::take(&mut fixture.keyspace);
    let mut turn = 0;
    let chunks = chunks_of(&mut keyspace, 4000, |keyspace| {
        turn += 1;
        std::mem::swap(&mut fixture.keyspace, keyspace);
        fixture.run(&match turn {
            20 => "RENAME large renamed".to_owned(),
            30 => "DEL renamed".to_owned(),
            40 => "FLUSHALL".to_owned(),
            _ => change(turn),
        });
        fixture.keyspace.release();
        std::mem::swap(&mut fixture.keyspace, keyspace);
    });
    assert!(chunks.len() > 50 && chunks.iter().all(|chunk| chunk.len() < 5000));
    let copy = restored(&chunks);
    assert_eq!(contents(&copy), expect);
    assert_eq!(copy.digest(), digest);
    while keyspace.is_releasing() {
        keyspace.release();
    }
    assert!(keyspace.memory().allocated < 400_000, "{:?}", keyspace.memory());
}

#[test]
fn a_snapshot_cuts_inside_a_large_hash_and_goes_on_while_it_changes() {
    check_cuts(
        |part| {
            let pairs = (part * 500..(part + 1) * 500).map(|at| format!("field:{at} value:{at}"));
            format!("HSET large {}", pairs.collect::<Vec<_>>().join(" "))
        },
        |turn| format!("HSET large field:{turn} changed ; HDEL large field:{}", turn * 3),
    );
}

#[test]
fn a_snapshot_cuts_inside_a_large_list_and_goes_on_while_it_changes() {
    check_cuts(
        |part| {
            let elements = (part * 500..(part + 1) * 500).map(|at| format!("element:{at}"));
            format!("RPUSH large {}", elements.collect::<Vec<_>>().join(" "))
        },
        |turn| {
            format!(
                "LPUSH large x y ; RPOP large 7 ; LSET large {} changed ; LREM large -1 element:{} ; \
                 LTRIM large {turn} -1",
                turn * 90,
                turn * 200
            )
        },
    );
}

#[test]
fn a_large_collection_in_a_chunk_is_judged() {
    for (command, first, second) in [("HSET", "f", "v"), ("ZADD", "-1.", "m")] {
        let pairs: Vec<_> = (0..200).map(|at| format!("{first}{at} {second}{at}")).collect();
        let mut fixture = seeded();
        fixture.run(&format!("{command} k {}", pairs.join(" ")));
        assert_is_judged(fixture);
    }
}

pub(super) fn assert_is_judged(mut fixture: Fixture) {
    let chunks = chunks_of(&mut fixture.keyspace, 400, |_| ());
    assert!(chunks.len() > 4);
    let restore = |chunks: &[Vec<u8>]| {
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        chunks.iter().try_for_each(|chunk| keyspace.restore_chunk(chunk))
    };
    assert_eq!(restore(&chunks), Ok(()));
    for (first, second) in [(2, 3), (1, 2)] {
        let mut swapped = chunks.clone();
        swapped.swap(first, second);
        assert!(restore(&swapped).is_err());
    }
    for missing in 1..chunks.len() - 1 {
        let mut cut = chunks.clone();
        cut.remove(missing);
        assert!(restore(&cut).is_err(), "chunk {missing}");
    }
    for byte in 0..chunks[1].len() {
        let mut damaged = chunks.clone();
        damaged[1][byte] ^= 0x10;
        assert!(restore(&damaged).is_err(), "byte {byte}");
    }
}

#[test]
fn a_snapshot_carries_the_hash_seed_that_the_log_gave() {
    let mut fixture = Fixture::new();
    let unseeded = chunks_of(&mut fixture.keyspace, 100, |_| ());
    assert!(!restored(&unseeded).is_seeded());
    fixture.keyspace.seed(HashSeed::from_number(5));
    fixture.keyspace.seed(HashSeed::from_number(6));
    fixture.run("SET a 1 ; SET b 2");
    let copy = restored(&chunks_of(&mut fixture.keyspace, 100, |_| ()));
    assert!(copy.is_seeded() && copy.hashes_like(&fixture.keyspace));
    let mut first = Keyspace::default();
    first.seed(HashSeed::from_number(5));
    assert!(copy.hashes_like(&first), "the first one counts");
}

#[test]
fn a_snapshot_that_is_not_whole_is_refused() {
    let mut fixture = Fixture::new();
    for number in 0..50 {
        fixture.run(&format!("SET key:{number} value"));
    }
    let chunks = chunks_of(&mut fixture.keyspace, 100, |_| ());
    assert!(chunks.len() > 5);
    let restore = |chunks: &[Vec<u8>]| {
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        chunks.iter().try_for_each(|chunk| keyspace.restore_chunk(chunk))
    };
    let order = Err(RestoreError::Incomplete("chunks are out of order"));
    assert_eq!(restore(&chunks), Ok(()));
    assert_eq!(restore(&chunks[1..]), order);
    assert_eq!(restore(&[chunks[0].clone(), chunks[0].clone()]), order);
    let mut missing = chunks.clone();
    missing.remove(2);
    assert_eq!(
        restore(&missing),
        Err(RestoreError::Incomplete("entries are missing"))
    );
    let mut damaged = chunks.clone();
    let last = damaged[2].len() - 1;
    damaged[2][last] ^= 1;
    assert_eq!(
        restore(&damaged),
        Err(RestoreError::Incomplete("the digest does not match"))
    );
    for other in [3, 5] {
        let mut chunks = chunks.clone();
        chunks[0][0] = other;
        assert_eq!(restore(&chunks), Err(RestoreError::OtherFormat(other)));
    }
    let mut cut = chunks;
    cut[2].pop();
    assert!(matches!(restore(&cut), Err(RestoreError::Corrupt(_))));
}

#[test]
fn a_walk_can_be_given_up_and_begun_again() {
    let mut fixture = Fixture::new();
    fixture.run("MSET a 1 b 2 c 3");
    fixture.keyspace.snapshot_begin();
    let mut chunk = Vec::new();
    fixture.keyspace.snapshot_next(&mut chunk, 1);
    fixture.keyspace.snapshot_abort();
    fixture.keyspace.snapshot_begin();
    fixture.run("SET d 4");
    let chunks = chunks_of(&mut fixture.keyspace, 1, |_| ());
    assert_eq!(restored(&chunks).digest(), fixture.keyspace.digest());
}

#[test]
fn replies_that_nobody_waits_for_change_nothing() {
    let (mut here, mut there) = (Fixture::new(), Fixture::new());
    for script in [
        "SET a 1 GET",
        "GET a",
        "INCRBYFLOAT a 1",
        "GETDEL a",
        "MSET a 1 b 2",
        "GETEX b EX 5",
        "KEYS *",
    ] {
        here.run(script);
        let request = &requests(script)[0];
        let spec = repligo_proto::command::resolve(request.view()).expect("a command of the table");
        let command = crate::command::parse(spec, 0, request.view()).expect("a well-formed command");
        there.keyspace.apply(&command, &mut ReplyWriter::discard());
    }
    assert_eq!(contents(&here.keyspace), contents(&there.keyspace));
}
