//! What eviction rests on: memory comes back when entries go, marks follow their entries, and samples
//! reach every entry.

use std::collections::BTreeSet;

use super::*;
use crate::eviction::Tracking;

fn filled(count: u64, value_bytes: usize) -> Table {
    let mut table = Table::new(HashSeed::from_number(0x5eed));
    for number in 0..count {
        let key = format!("key:{number:012}");
        let meta = Meta {
            deadline_ms: number.is_multiple_of(3).then_some(1_000_000 + number),
            version: number + 1,
            kind: 0,
        };
        table.insert(
            table.hash(key.as_bytes()),
            key.as_bytes(),
            &vec![1; value_bytes],
            meta,
        );
    }
    table
}

fn remove(table: &mut Table, number: u64) {
    let key = format!("key:{number:012}");
    assert!(table.remove(table.hash(key.as_bytes()), key.as_bytes()));
}

#[test]
fn compaction_gives_memory_back_that_removals_alone_do_not() {
    for tracking in [Tracking::Off, Tracking::Recency] {
        let mut table = filled(20_000, 100);
        table.track(tracking);
        // A seventh of the entries, spread evenly: too little for pages to be given back by themselves.
        (0..20_000)
            .step_by(7)
            .for_each(|number| remove(&mut table, number));
        let (before, free) = (table.memory_bytes(), table.free_bytes());
        assert!(free > 20_000 / 7 * 100, "{free}");
        let mut steps = 0;
        while table.compact(256) == 256 {
            steps += 1;
        }
        table.check();
        let given_back = before - table.memory_bytes();
        assert!(given_back > free / 3, "{given_back} of {free} in {steps} steps");
        assert_eq!(table.len(), 20_000 - 20_000_usize.div_ceil(7));
    }
}

#[test]
fn marks_follow_their_entries() {
    let mut table = filled(3_000, 20);
    table.track(Tracking::Recency);
    let key = b"key:000000000005";
    let hash = table.hash(key);
    let rank = |table: &Table| {
        let mut found = None;
        let mut cursor = 0;
        loop {
            cursor = table.scan_candidates(cursor, &mut |candidate| {
                if candidate.entry.key == key {
                    found = Some(candidate.rank);
                }
            });
            if cursor == 0 {
                return found.expect("it is there");
            }
        }
    };
    let mut come = 0..;
    let mut pass = |table: &mut Table| {
        for number in come.by_ref().take(3_000) {
            let key = format!("new:{number}");
            table.insert(table.hash(key.as_bytes()), key.as_bytes(), b"", Meta::default());
        }
    };
    pass(&mut table);
    let aged = rank(&table);
    assert!(aged >= 30, "{aged}");
    // Neither moving it nor looking aside is an access.
    (0..3_000).filter(|number| number % 5 != 0).for_each(|number| {
        if number % 4 == 0 {
            remove(&mut table, number);
        }
    });
    while table.compact(64) == 64 {}
    assert!(table.get(hash, key).is_some());
    assert_eq!(rank(&table), aged);
    assert!(table.get_touched(hash, key).is_some());
    assert_eq!(rank(&table), 0);
    // Another size is another slot.
    pass(&mut table);
    table.insert(hash, key, &[0; 5000], Meta::default());
    assert_eq!(rank(&table), 0);
    table.check();
}

#[test]
fn samples_reach_every_entry() {
    let table = filled(500, 10);
    let (mut all, mut volatile) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..5_000 {
        table.sample(seed, &mut |candidate| {
            all.insert(candidate.entry.key);
        });
        table.sample_volatile(seed, &mut |candidate| {
            assert!(candidate.entry.deadline_ms.is_some());
            volatile.insert(candidate.entry.key);
        });
    }
    assert_eq!((all.len(), volatile.len()), (500, table.volatile_len()));
    let deadlines = table.by_deadline().map(|candidate| candidate.entry.deadline_ms);
    assert_eq!(deadlines.count(), table.volatile_len());
}
