//! Ops as bytes: the golden file with one of each kind, and the escape.

use std::borrow::Cow;

use bytes::Bytes;

use super::*;
use crate::acl::UserChange;
use crate::entry::{Batch, EntryBuilder, EntryReader};
use crate::origin::{
    Fill, Health, Intent, IntentEffect, IntentKind, Invalidate, LaneId, OriginOp, Raise, Resolved,
};

fn plain_ops() -> Vec<(&'static str, Vec<u8>)> {
    let command = Command::Get { db: 2, key: b"k" };
    let mut block = TransactionBuffer::default();
    block.watch(Watched {
        db: 1,
        key: b"w",
        version: 300,
    });
    block.push(&command);
    block.push_local();
    let mut victims = VictimsBuffer::default();
    victims.push(Victim {
        db: 3,
        key: b"v",
        version: 7,
    });
    let mut users = Vec::new();
    let change = UserChange::Set {
        name: b"alice",
        rules: vec![b"on", b"+@all"],
    };
    change.encode(&mut users);
    let mut waits = Vec::new();
    command.encode(&mut waits);
    let ops = [
        ("command", Op::Command(command)),
        ("time", Op::Time),
        ("transaction", Op::Transaction(block.transaction())),
        ("evict", Op::Evict(victims.victims())),
        ("memory-full", Op::MemoryFull),
        ("hash-seed", Op::HashSeed(HashSeed::from_number(5))),
        ("users", Op::Users(&users)),
        (
            "serve",
            Op::Serve(Serve {
                node: 2,
                incarnation: 3,
                number: 4,
                actor: Actor::of_numbers([5, 6]),
                is_first: true,
                command: &waits,
            }),
        ),
    ];
    let encoded = |(name, op): (&'static str, Op<'_>)| {
        let mut out = Vec::new();
        op.encode(&mut out);
        assert_eq!(Op::decode(&mut &out[..]), Ok(op));
        (name, out)
    };
    let mut encoded: Vec<_> = ops.into_iter().map(encoded).collect();
    let mut out = Vec::new();
    put_actor(&mut out, Actor::of_numbers([5, 300]));
    let mut rest = &out[..];
    assert_eq!(take_actor(&mut rest), Ok(Some(Actor::of_numbers([5, 300]))));
    assert!(rest.is_empty());
    encoded.push(("actor", out));
    encoded
}

fn origin_ops() -> Vec<(&'static str, Vec<u8>)> {
    let lane = LaneId {
        keyspace: 1,
        lane: 300,
    };
    let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
    let ops = [
        (
            "intent",
            OriginOp::Intent(Intent {
                lane,
                kind: IntentKind::Store,
                effects: vec![IntentEffect {
                    key: b"k",
                    value: Some(Cow::Borrowed(b"v")),
                }],
            }),
        ),
        (
            "resolved",
            OriginOp::Resolved(Resolved {
                lane,
                generation: 2,
                upto: 9,
                rejects: vec![(8, Bytes::from_static(b"ERR no"))],
                canonical: vec![(key.clone(), None)],
                forget: true,
            }),
        ),
        (
            "fill",
            OriginOp::Fill(Fill {
                keyspace: 1,
                key,
                value: Some(value),
                invalidations: 4,
            }),
        ),
        (
            "health",
            OriginOp::Health(Health {
                keyspace: 1,
                down: Some("it is down".to_owned()),
            }),
        ),
        (
            "raise",
            OriginOp::Raise(Raise {
                lane,
                generation: 3,
                applied: 10,
            }),
        ),
        (
            "invalidate",
            OriginOp::Invalidate(Invalidate {
                rows: vec![(1, b"k"), (2, b"l")],
            }),
        ),
    ];
    let encoded = |(name, op): (&'static str, OriginOp<'_>)| {
        let mut out = Vec::new();
        op.encode(&mut out);
        assert_eq!(OriginOp::decode(&mut &out[..]), Ok(op));
        (name, out)
    };
    ops.into_iter().map(encoded).collect()
}

/// An entry with one batch of one op.
fn entry() -> (&'static str, Vec<u8>) {
    let batch = Batch {
        node: 1,
        incarnation: 5,
        first_sequence: 100,
        count: 1,
        ops: Bytes::from_static(&[1, tag::TIME]),
    };
    let mut builder = EntryBuilder::new(1_700_000_000_000, 0);
    builder.push(&batch);
    let bytes = builder.finish();
    let mut reader = EntryReader::new(Bytes::from(bytes.clone())).expect("it was encoded just now");
    assert_eq!(reader.time_ms, 1_700_000_000_000);
    assert_eq!(reader.next_batch(), Ok(Some(batch)));
    assert_eq!(reader.next_batch(), Ok(None));
    ("entry", bytes)
}

/// What is decoded above is what the file holds.
#[test]
fn ops_are_those_of_the_golden_file() {
    let mut text = String::new();
    for (name, bytes) in plain_ops().into_iter().chain(origin_ops()).chain([entry()]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{name} {hex}\n");
    }
    let golden = include_str!("../../tests/golden/ops.txt");
    assert!(
        golden == text,
        "tests/golden/ops.txt is not what is written now:\n{text}"
    );
}

#[test]
fn no_tag_is_used_twice_and_the_escape_leads_to_numbers_that_are_not_known_yet() {
    let firsts: Vec<u8> = plain_ops()
        .iter()
        .chain(&origin_ops())
        .map(|(_, op)| op[0])
        .collect();
    let mut distinct = firsts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), firsts.len());
    assert!(!distinct.contains(&tag::ESCAPE));
    for number in [0, 127, 128, u64::MAX] {
        let mut op = vec![tag::ESCAPE];
        put_varint(&mut op, number);
        let error = Op::decode(&mut &op[..]).expect_err("no number is known");
        assert!(error.to_string().contains("number of an op"), "{error}");
    }
    assert!(Op::decode(&mut &[tag::ESCAPE][..]).is_err());
}
