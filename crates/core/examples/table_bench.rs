//! Measures the table: `cargo run --release -p repligo-core --example table_bench [KEYS]`.
//!
//! Prints nanoseconds of this thread per operation, one operation at a time and in batches of 32
//! whose buckets and entries are prefetched, and bytes per entry. Keys have 16 bytes, values 32.
//! Numbers are for comparing two versions on one quiet machine; nothing asserts on a time.

// A benchmark reads the clock and its arguments; the core itself must not.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use repligo_core::table::{HashSeed, Meta, Table};

const BATCH: usize = 32;
/// Most entries that one insertion may move: the longest of a million chains has about 32, and a full
/// bucket more is allowed. The only thing asserted here, for the counts that are too large for tests.
const MOVED_MAX: usize = 44;
const VALUE: [u8; 32] = [7; 32];

/// Keys in an order without locality: an odd factor permutes the numbers below a power of two.
struct Keys {
    count: u64,
    mask: u64,
    next: u64,
}

impl Keys {
    fn new(count: u64) -> Self {
        Self {
            count,
            mask: count.next_power_of_two() - 1,
            next: 0,
        }
    }
}

impl Iterator for Keys {
    type Item = [u8; 16];

    fn next(&mut self) -> Option<[u8; 16]> {
        loop {
            if self.next > self.mask {
                return None;
            }
            let number = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) & self.mask;
            self.next += 1;
            if number < self.count {
                return Some(key_of(number));
            }
        }
    }
}

fn key_of(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let (mut at, mut rest) = (15, number);
    while rest > 0 {
        key[at] += (rest % 10) as u8;
        rest /= 10;
        at -= 1;
    }
    key
}

fn report(name: &str, count: u64, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!(
        "{name:<34} {:>7.1} ns",
        start.elapsed().as_nanos() as f64 / count as f64
    );
}

/// Runs `execute` over all keys in batches, with both prefetches before each batch.
fn batched(table: &mut Table, count: u64, mut execute: impl FnMut(&mut Table, u64, &[u8])) {
    let mut keys = Keys::new(count);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.clear();
        batch.extend(keys.by_ref().take(BATCH).map(|key| (table.hash(&key), key)));
        if batch.is_empty() {
            return;
        }
        batch.iter().for_each(|(hash, _)| table.prefetch(*hash));
        batch.iter().for_each(|(hash, _)| table.prefetch_entry(*hash));
        batch.iter().for_each(|(hash, key)| execute(table, *hash, key));
    }
}

/// Not inlined, so that `valgrind --tool=callgrind --toggle-collect='*::get_one'` can count it.
#[inline(never)]
fn get_one(table: &Table, hash: u64, key: &[u8]) {
    let found = table.get(hash, key);
    assert_eq!(black_box(found).map(|entry| entry.value.len()), Some(VALUE.len()));
}

#[inline(never)]
fn replace_one(table: &mut Table, hash: u64, key: &[u8]) {
    assert!(table.insert(hash, key, &VALUE, meta(None)));
}

fn meta(deadline_ms: Option<u64>) -> Meta {
    Meta {
        deadline_ms,
        version: 1,
        kind: 0,
    }
}

fn main() {
    let count: u64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let mut table = Table::new(HashSeed::from_number(42));
    report("keys alone", count, || {
        Keys::new(count).for_each(|key| _ = black_box(key))
    });
    report("insert into a growing table", count, || {
        for key in Keys::new(count) {
            table.insert(table.hash(&key), &key, &VALUE, meta(None));
        }
    });
    assert!(table.moved_per_change_max() <= MOVED_MAX, "growth is incremental");
    println!(
        "{:.1} B per entry, at most {} entries moved by one insertion",
        table.memory_bytes() as f64 / count as f64,
        table.moved_per_change_max()
    );
    for _ in 0..2 {
        report("get", count, || {
            for key in Keys::new(count) {
                get_one(&table, table.hash(&key), &key);
            }
        });
        report("get, batches of 32", count, || {
            batched(&mut table, count, |table, hash, key| {
                get_one(table, hash, key);
            });
        });
        report("replace", count, || {
            for key in Keys::new(count) {
                let hash = table.hash(&key);
                replace_one(&mut table, hash, &key);
            }
        });
        report("replace, batches of 32", count, || {
            batched(&mut table, count, |table, hash, key| {
                replace_one(table, hash, key);
            });
        });
    }
    bench_volatile(&mut table, count);
    bench_walks(&mut table, count);
    report("remove, batches of 32", count, || {
        batched(&mut table, count, |table, hash, key| {
            assert!(table.remove(hash, key))
        });
    });
    println!("{} B when empty again", table.memory_bytes());
}

fn bench_volatile(table: &mut Table, count: u64) {
    let mut deadline_ms = 1_700_000_000_000;
    report("give a random deadline, batches", count, || {
        batched(table, count, |table, hash, key| {
            table.insert(hash, key, &VALUE, meta(Some(deadline_ms + (hash >> 44))));
        });
    });
    println!(
        "{:.1} B per volatile entry",
        table.memory_bytes() as f64 / count as f64
    );
    report("give a later deadline, batches", count, || {
        batched(table, count, |table, hash, key| {
            deadline_ms += 1;
            table.insert(hash, key, &VALUE, meta(Some(deadline_ms)));
        });
    });
    println!(
        "{:.1} B per volatile entry",
        table.memory_bytes() as f64 / count as f64
    );
    report("expire, 100 at a time", count, || {
        while table.expire_due(u64::MAX, 100, &mut |_, key, _| black_box(key).version < u64::MAX) > 0 {}
    });
    report("insert again, batches of 32", count, || {
        batched(table, count, |table, hash, key| {
            table.insert(hash, key, &VALUE, meta(None));
        });
    });
}

fn bench_walks(table: &mut Table, count: u64) {
    report("scan", count, || {
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, &mut |entry| _ = black_box(entry));
            if cursor == 0 {
                break;
            }
        }
    });
    report("snapshot", count, || {
        table.snapshot_begin();
        while !table.snapshot_next(256 << 10, &mut |entry, _| _ = black_box(entry)) {}
    });
    report("replace before a snapshot's walk", count, || {
        table.snapshot_begin();
        batched(table, count, |table, hash, key| {
            table.insert(hash, key, &VALUE, meta(None));
        });
        while !table.snapshot_next(256 << 10, &mut |entry, _| _ = black_box(entry)) {}
    });
}
