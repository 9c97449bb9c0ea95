//! Sections of snapshots: the bytes of each kind, and what becomes of a section of a later release.

use bytes::Bytes;

use super::Fixture;
use super::replicas::{chunks_of, restored, seeded};
use crate::keyspace::{Keyspace, RestoreError};
use crate::membership::Membership;
use crate::replica::{Forwarder, SnapshotHeader};
use crate::section::{FEATURE_LEVEL, FIRST_SKIPPABLE, UnknownSection, VERSION};
use crate::table::HashSeed;

const LATER: u64 = FEATURE_LEVEL + 1;
const KNOWN: u8 = FEATURE_LEVEL as u8;

/// Names of the kinds of a keyspace's chunks, from 1 on.
const KINDS: [&str; 9] = [
    "header",
    "entries",
    "end",
    "collection",
    "part",
    "removed",
    "scripts",
    "libraries",
    "exchanges",
];

/// A keyspace whose chunks are of all kinds.
fn full() -> Fixture {
    let mut fixture = seeded();
    let members: String = (0..140).map(|member| format!(" m{member}")).collect();
    fixture.run(&format!(
        "SET text value ; SET deadline value PX 500 ; HSET hash f v ; RPUSH list a b ; SADD set 1 2 ; \
         ZADD sorted 1.5 m ; XADD stream 1-1 f v ; SADD large{members} ; SET gone 1 ; DEL gone ; \
         SCRIPT LOAD \"return 1\""
    ));
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    let request = repligo_proto::resp::OwnedRequest::new(["FUNCTION", "LOAD", library]);
    fixture.execute(&request);
    fixture.run("SWAPDB 0 3");
    fixture
}

fn header() -> SnapshotHeader {
    let forwarder = Forwarder {
        incarnation: 3,
        sequence: 9,
    };
    SnapshotHeader {
        membership: Membership::of_count(3),
        forwarders: [(2, forwarder)].into(),
        lanes: Bytes::from_static(b"lanes"),
        users: Bytes::from_static(b"users"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn the_sections_of_a_snapshot_are_those_of_the_golden_file() {
    let mut fixture = full();
    let chunks = chunks_of(&mut fixture.keyspace, 300, |_| ());
    let mut text = format!("members-and-others {}\n", hex(&header().encode()));
    for chunk in &chunks {
        text += &format!("{} {}\n", KINDS[usize::from(chunk[1]) - 1], hex(chunk));
    }
    for kind in KINDS {
        assert!(
            text.contains(&format!("\n{kind} ")),
            "no chunk of the kind {kind}"
        );
    }
    let golden = include_str!("../../../tests/golden/snapshot.txt");
    assert!(
        golden == text,
        "tests/golden/snapshot.txt is not what is written now:\n{text}"
    );
    let mut written = golden
        .lines()
        .map(|line| unhex(line.split_once(' ').expect("a name and bytes").1));
    let first = Bytes::from(written.next().expect("the replica's own chunk"));
    assert_eq!(SnapshotHeader::decode(first), Ok(header()));
    let copy = restored(&written.collect::<Vec<_>>());
    assert_eq!(copy.digest(), fixture.keyspace.digest());
}

#[test]
fn a_section_of_a_later_release_is_skipped_or_refused_with_the_level_that_it_needs() {
    let mut fixture = full();
    let chunks = chunks_of(&mut fixture.keyspace, 300, |_| ());
    let with = |at: usize, chunk: &[u8]| {
        let mut keyspace = Keyspace::new(HashSeed::from_number(1));
        let before = chunks[..at].iter().map(Vec::as_slice);
        let behind = chunks[at..].iter().map(Vec::as_slice);
        before
            .chain([chunk])
            .chain(behind)
            .try_for_each(|chunk| keyspace.restore_chunk(chunk))
            .map(|()| keyspace.digest())
    };
    let refused = |kind| Err(RestoreError::Unknown(UnknownSection { kind, level: LATER }));
    for at in 0..chunks.len() {
        let skippable = [VERSION, FIRST_SKIPPABLE, LATER as u8, 1, 2, 3];
        assert_eq!(with(at, &skippable), Ok(fixture.keyspace.digest()), "{at}");
        for kind in [1, 2, 10, FIRST_SKIPPABLE - 1] {
            assert_eq!(with(at, &[VERSION, kind, LATER as u8, 1, 2, 3]), refused(kind));
        }
        assert!(matches!(
            with(at, &[VERSION, 10, FEATURE_LEVEL as u8]),
            Err(RestoreError::Corrupt(_))
        ));
    }
}

#[test]
fn the_first_chunk_may_hold_more_than_is_known_too() {
    let with = |section: &[u8]| {
        let bytes = [&header().encode(), section].concat();
        SnapshotHeader::decode(Bytes::from(bytes))
    };
    assert_eq!(with(&[FIRST_SKIPPABLE, LATER as u8, 2, 1, 2]), Ok(header()));
    let unknown = UnknownSection {
        kind: 5,
        level: LATER,
    };
    assert_eq!(with(&[5, LATER as u8, 0]), Err(RestoreError::Unknown(unknown)));
    // Out of order, doubled, cut, and of this level, which has no such kind.
    for section in [
        &[1, KNOWN, 0][..],
        &[4, KNOWN, 0],
        &[FIRST_SKIPPABLE, KNOWN, 9, 1],
        &[5, KNOWN, 0],
    ] {
        assert!(
            matches!(with(section), Err(RestoreError::Corrupt(_))),
            "{section:?}"
        );
    }
    let members = SnapshotHeader {
        membership: Membership::default(),
        ..header()
    };
    assert!(SnapshotHeader::decode(members.encode()).is_err());
}
