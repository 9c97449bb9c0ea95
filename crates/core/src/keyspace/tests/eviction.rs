//! Who is chosen to be evicted under each policy, and what eviction does to the state.

use std::collections::BTreeSet;

use super::super::{Chooser, Known, Wish};
use super::*;
use crate::eviction::EvictionPolicy;
use crate::op::VictimsBuffer;

/// Chooses `bytes` worth of keys and evicts them; returns their names.
fn evict(
    keyspace: &mut Keyspace,
    chooser: &mut Chooser,
    policy: EvictionPolicy,
    bytes: u64,
) -> BTreeSet<String> {
    let wish = Wish {
        policy,
        bytes,
        count_max: 1000,
        has_rows: true,
        row_version_max: u64::MAX,
    };
    let mut victims = VictimsBuffer::default();
    let is_spared = |_, key: &[u8]| key.starts_with(b"spared");
    let freed = chooser.choose(keyspace, wish, &is_spared, &mut victims);
    assert_eq!(freed > 0, !victims.is_empty());
    let names = victims.victims().iter().map(|victim| {
        assert!(
            keyspace.evict(victim),
            "it is there, and only once among the victims"
        );
        String::from_utf8(victim.key.to_vec()).expect("a name")
    });
    names.collect()
}

/// Two databases; keys with and without deadlines, rows, negative rows, and some of each to be spared.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    for number in 0..200 {
        fixture.db = (number % 2) * 3;
        let wait = 10_000 + u64::from(number);
        fixture.run(&format!(
            "SET plain:{number} 1 ; SET volatile:{number} 1 PX {wait}"
        ));
        fixture.run(&format!("SET spared:{number} 1 PX {wait}"));
        let keyspace = &mut fixture.keyspace;
        keyspace.put_origin_value(0, format!("row:{number}").as_bytes(), Some(b"r"), None);
        keyspace.put_origin_value(0, format!("absent:{number}").as_bytes(), None, None);
    }
    fixture
}

#[test]
fn each_policy_takes_what_it_may_and_no_more() {
    for (name, policy) in EvictionPolicy::ALL {
        let mut fixture = fixture();
        let mut gone = BTreeSet::new();
        // Among many keys that must stay a sample may miss the few that may go.
        let mut chooser = Chooser::new(9);
        let mut missed = 0;
        while missed < 100 {
            let more = evict(&mut fixture.keyspace, &mut chooser, policy, 500);
            missed = if more.is_empty() { missed + 1 } else { 0 };
            gone.extend(more);
        }
        let count = |prefix: &str| gone.iter().filter(|key| key.starts_with(prefix)).count();
        let rows = count("row:") + count("absent:");
        let expected = match policy {
            EvictionPolicy::NoEviction => (0, 0, 400),
            policy if policy.takes_all_keys() => (200, 200, 400),
            _ => (0, 200, 400),
        };
        assert_eq!((count("plain:"), count("volatile:"), rows), expected, "{name}");
        assert_eq!(count("spared:"), 0, "{name}");
        let is_gone = |key: &str| fixture.keyspace.lookup(0, key.as_bytes()) == Known::Absent;
        assert!(is_gone("row:7") && is_gone("absent:7"), "{name}");
    }
}

#[test]
fn the_first_to_expire_go_first_over_all_databases() {
    let mut fixture = fixture();
    let gone = evict(
        &mut fixture.keyspace,
        &mut Chooser::new(9),
        EvictionPolicy::VolatileTtl,
        300,
    );
    let numbers: BTreeSet<u32> = gone
        .iter()
        .filter_map(|key| key.strip_prefix("volatile:")?.parse().ok())
        .collect();
    assert_eq!(numbers.len(), gone.len(), "{gone:?}");
    assert!(numbers.iter().copied().eq(0..numbers.len() as u32), "{gone:?}");
}

#[test]
fn what_was_written_since_it_was_chosen_stays() {
    let mut fixture = Fixture::new();
    fixture.run("SET k 1");
    let version = fixture.keyspace.version_of(0, b"k");
    fixture.run("SET k 2");
    let victim = crate::op::Victim {
        db: 0,
        key: b"k",
        version,
    };
    assert!(!fixture.keyspace.evict(victim));
    assert_eq!(fixture.run("GET k ; DEL k"), "\"2\" ; 1");
    assert_eq!(fixture.keyspace.digest(), 0);
}

#[test]
fn a_young_row_stays() {
    let mut fixture = Fixture::new();
    fixture.keyspace.put_origin_value(0, b"old", Some(b"r"), None);
    let row_version_max = fixture.keyspace.latest_version();
    fixture.keyspace.put_origin_value(0, b"young", Some(b"r"), None);
    for (_, policy) in EvictionPolicy::ALL {
        let wish = Wish {
            policy,
            bytes: 1000,
            count_max: 10,
            has_rows: true,
            row_version_max,
        };
        let mut victims = VictimsBuffer::default();
        Chooser::new(1).choose(&fixture.keyspace, wish, &|_, _| false, &mut victims);
        let keys: Vec<&[u8]> = victims.victims().iter().map(|victim| victim.key).collect();
        assert_eq!(keys, [b"old"], "{policy:?}");
    }
}

#[test]
fn eviction_leaves_the_digest_of_what_is_left() {
    let mut fixture = fixture();
    evict(
        &mut fixture.keyspace,
        &mut Chooser::new(9),
        EvictionPolicy::AllKeysRandom,
        20_000,
    );
    let mut left = Fixture::new();
    let mut chunks = Vec::new();
    fixture.keyspace.snapshot_begin();
    loop {
        let mut chunk = Vec::new();
        let done = fixture.keyspace.snapshot_next(&mut chunk, 1 << 16);
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
        if done {
            break;
        }
    }
    left.keyspace = Keyspace::new(HashSeed::from_number(0x5eed));
    for chunk in &chunks {
        left.keyspace.restore_chunk(chunk).expect("its own snapshot");
    }
    assert_eq!(left.keyspace.digest(), fixture.keyspace.digest());
}
