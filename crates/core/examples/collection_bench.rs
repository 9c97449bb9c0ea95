//! Measures large collections: `cargo run --release -p repligo-core --example collection_bench [COUNT]`.
//!
//! Prints bytes per element of each type, as the structure counts them and as the process has grown, and
//! nanoseconds of this thread per operation at random places. Members, fields and values have 16 bytes, list elements 10.
//! Numbers are for comparing two versions on one quiet machine; nothing asserts on a time.

// A benchmark reads the clock, its arguments and its memory; the core itself must not.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::hint::black_box;

use repligo_core::collection::{End, Hashed, LargeList, LargeSortedSet, Score};
use repligo_core::table::HashSeed;

/// Operations per measurement.
const ROUNDS: u64 = 200_000;

fn member(number: u64) -> [u8; 16] {
    let mut text = *b"member:000000000";
    let (mut at, mut rest) = (15, number);
    while rest > 0 && at >= 7 {
        text[at] = b'0' + (rest % 10) as u8;
        (at, rest) = (at - 1, rest / 10);
    }
    text
}

/// A permutation of the numbers below `count` without locality, and beyond.
fn scattered(number: u64, count: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// What this thread has run for so far.
fn thread_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn time(name: &str, mut operation: impl FnMut(u64)) {
    let start = thread_ns();
    (0..ROUNDS).for_each(&mut operation);
    println!("    {name:<28} {:>7} ns", (thread_ns() - start) / ROUNDS);
}

fn size(name: &str, count: u64, counted: usize, before: u64) {
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "{name}: {:.1} bytes per element counted, {:.1} resident",
        counted as f64 / count as f64,
        grown as f64 / count as f64
    );
}

fn hash(count: u64, seed: HashSeed) {
    let before = resident_bytes();
    let mut hash = Hashed::<true>::new(seed);
    for number in 0..count {
        hash.insert(&member(number), &member(number));
    }
    size("hash", count, hash.memory_bytes(), before);
    time("get", |number| {
        black_box(hash.get(&member(scattered(number, count))));
    });
    time("set", |number| {
        hash.insert(&member(scattered(number, count)), &member(number));
    });
    let clone = hash.clone();
    time("set while a clone is kept", |number| {
        hash.insert(&member(scattered(number, count)), &member(number));
    });
    drop(clone);
    time("by index", |number| {
        black_box(hash.at(scattered(number, count)));
    });
}

fn set(count: u64, seed: HashSeed) {
    let before = resident_bytes();
    let mut set = Hashed::<false>::new(seed);
    for number in 0..count {
        set.insert(&member(number), &[]);
    }
    size("set", count, set.memory_bytes(), before);
    time("contains", |number| {
        black_box(set.get(&member(scattered(number, count))));
    });
    time("remove, insert", |number| {
        let member = member(scattered(number, count));
        set.remove(&member);
        set.insert(&member, &[]);
    });
}

fn sorted_set(count: u64, seed: HashSeed) {
    let before = resident_bytes();
    let mut set = LargeSortedSet::new(seed);
    let score = |number: u64| Score::new(number as f64).expect("it is a number");
    for number in 0..count {
        set.insert(&member(number), score(scattered(number, count)));
    }
    size("sorted set", count, set.memory_bytes(), before);
    time("score", |number| {
        black_box(set.score(&member(scattered(number, count))));
    });
    time("rank", |number| {
        black_box(set.rank(&member(scattered(number, count))));
    });
    time("100 from a rank", |number| {
        black_box(set.from(scattered(number, count)).take(100).count());
    });
    time("change a score", |number| {
        set.insert(&member(scattered(number, count)), score(number));
    });
}

fn list(count: u64) {
    let before = resident_bytes();
    let mut list = LargeList::default();
    for number in 0..count {
        list.push(End::Tail, &member(number)[6..]);
    }
    size("list", count, list.memory_bytes(), before);
    time("push, pop", |number| {
        list.push(End::Tail, &member(number)[6..]);
        list.pop(End::Head, |item| _ = black_box(item));
    });
    time("push at the head", |number| {
        list.push(End::Head, &member(number)[6..])
    });
    time("by index", |number| {
        black_box(list.get(scattered(number, count)));
    });
    time("100 from an index", |number| {
        black_box(list.from(scattered(number, count)).take(100).count());
    });
    time("insert in the middle", |number| {
        list.insert(scattered(number, count), &member(number)[6..]);
    });
}

fn main() {
    let argument = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let count: u64 = argument.unwrap_or(1_000_000);
    let seed = HashSeed::from_number(1);
    hash(count, seed);
    set(count, seed);
    sorted_set(count, seed);
    list(count);
}
