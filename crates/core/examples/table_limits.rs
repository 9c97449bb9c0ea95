//! Asserts what the table promises at full size: `cargo run --release -p repligo-core --example table_limits`.
//!
//! - Memory per entry (performance.md's goals) at every fill level of a whole cycle of growth from one
//!   million entries on, by the table's own count and by the resident memory of a process of its own.
//! - Growth without pauses: while a table grows to ten million entries and shrinks again, no change moves
//!   more than a few entries, allocates more than a bounded piece, or allocates more than a few pieces.
//!
//! Counts and bytes are asserted, times are only printed. It runs in `cargo xtask test`, in release mode,
//! because ten million entries take a debug build too long.

// An example reads the clock, the process's memory and its arguments; the core itself must not.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use repligo_core::table::{HashSeed, Meta, Table};

/// Value bytes, with a deadline or without, bytes per entry at most.
const GOALS: [(usize, bool, f64); 4] = [
    (32, false, 75.0),
    (100, false, 140.0),
    (32, true, 80.0),
    (100, true, 146.0),
];
/// What the allocator may add: leaves of deadlines that are spread out change their sizes all the time.
const ALLOCATOR_SHARE: f64 = 0.01;
/// Where the cycle of growth begins and ends: the index grows by a quarter.
const FEWEST: u64 = 1_000_000;
const MOST: u64 = 1_300_000;
/// Entries of the table whose growth is watched.
const GROWN: u64 = 10_000_000;
/// Entries that one change may move: chains are eleven entries long, the longest of a million about 32.
const MOVED_MAX: usize = 44;
/// Largest piece that one change may ask for. The lists of pages and segments are what grows with the
/// table: 32 bytes for 64 KiB of entries, 16 bytes for 256 buckets.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// Pieces that one change may ask for: at most two segments, an overflow block, a page, and their lists.
const PIECES_MAX: usize = 8;

/// Counts what is asked of the system's allocator.
struct Counting;

static PIECES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn count(bytes: usize) {
    PIECES.fetch_add(1, Relaxed);
    LARGEST.fetch_max(bytes, Relaxed);
}

// SAFETY: every call is passed to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

fn insert(table: &mut Table, number: u64, value: &[u8], deadline_ms: Option<u64>) {
    let key = key_of(number);
    let meta = Meta {
        deadline_ms,
        version: number,
        kind: 1,
    };
    table.insert(table.hash(&key), &key, value, meta);
}

fn resident_bytes() -> usize {
    const PAGE_BYTES: usize = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells a process its memory");
    let pages = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number are resident pages") * PAGE_BYTES
}

/// Fills one table over a cycle of growth; in a process of its own, whose memory is then the table's.
fn memory(goal: usize, spread: u64) {
    let (value_bytes, volatile, goal) = GOALS[goal];
    let before = resident_bytes();
    let mut table = Table::new(HashSeed::from_number(1));
    let value = vec![1; value_bytes];
    let (mut counted, mut resident): (f64, f64) = (0.0, 0.0);
    for number in 0..MOST {
        // Deadlines either ascend as they do when keys are set with one lifetime, or are spread out.
        let later = if spread > 0 {
            number.wrapping_mul(0x9e37_79b9) % spread
        } else {
            number / 100
        };
        let deadline_ms = volatile.then_some(1_700_000_000_000 + later);
        insert(&mut table, number, &value, deadline_ms);
        if number >= FEWEST && number % 5_000 == 0 {
            counted = counted.max(table.memory_bytes() as f64 / number as f64);
            resident = resident.max((resident_bytes() - before) as f64 / number as f64);
        }
    }
    println!(
        "16-byte key, {value_bytes}-byte value{}: at most {counted:.1} B per entry counted, {resident:.1} B resident, goal {goal} B",
        match (volatile, spread) {
            (false, _) => "",
            (true, 0) => ", ascending deadlines",
            (true, _) => ", spread deadlines",
        }
    );
    assert!(counted <= goal, "{counted} B per entry counted");
    assert!(
        resident <= goal * (1.0 + ALLOCATOR_SHARE),
        "{resident} B per entry resident"
    );
}

/// What single changes cost at most.
#[derive(Default)]
struct Worst {
    pieces: usize,
    took: Duration,
}

impl Worst {
    fn watch(&mut self, change: impl FnOnce()) {
        let (pieces, start) = (PIECES.load(Relaxed), Instant::now());
        change();
        self.took = self.took.max(start.elapsed());
        self.pieces = self.pieces.max(PIECES.load(Relaxed) - pieces);
    }
}

fn growth() {
    let mut table = Table::new(HashSeed::from_number(2));
    let mut worst = Worst::default();
    LARGEST.store(0, Relaxed);
    for number in 0..GROWN {
        // Every eighth entry is volatile, so that the order of deadlines grows too.
        let deadline_ms = number.is_multiple_of(8).then_some(number);
        worst.watch(|| insert(&mut table, number, b"", deadline_ms));
    }
    report("growing", &table, &worst);
    let grown_bytes = table.memory_bytes();
    let mut worst = Worst::default();
    LARGEST.store(0, Relaxed);
    for number in 0..GROWN - GROWN / 1_000 {
        let key = key_of(number);
        let hash = table.hash(&key);
        worst.watch(|| assert!(table.remove(hash, &key)));
    }
    report("shrinking", &table, &worst);
    assert!(
        table.memory_bytes() < grown_bytes / 50,
        "memory follows the contents down"
    );
}

fn report(what: &str, table: &Table, worst: &Worst) {
    let (moved, largest) = (table.moved_per_change_max(), LARGEST.load(Relaxed));
    println!(
        "{what}, to {} entries: a change moves at most {moved} entries, asks for at most {} pieces of at most {largest} B, took at most {} µs",
        table.len(),
        worst.pieces,
        worst.took.as_micros()
    );
    assert!(moved <= MOVED_MAX, "{moved} entries moved by one change");
    assert!(largest <= PIECE_BYTES_MAX, "a piece of {largest} B");
    assert!(
        worst.pieces <= PIECES_MAX,
        "{} pieces in one change",
        worst.pieces
    );
}

fn main() -> ExitCode {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|word| word.parse().expect("arguments are numbers"))
        .collect();
    match arguments[..] {
        [goal, spread] => memory(goal as usize, spread),
        _ => {
            let own = std::env::current_exe().expect("a process knows its program");
            let (mut passed, mut failed) = (0, 0);
            let runs = [(0, 0), (1, 0), (2, 0), (2, 100_000), (3, 0), (3, 100_000)];
            for (goal, spread) in runs {
                let mut child = Command::new(&own);
                let status = child.args([goal.to_string(), spread.to_string()]).status();
                let is_met = status.is_ok_and(|status| status.success());
                passed += u64::from(is_met);
                failed += u64::from(!is_met);
            }
            growth();
            passed += 1;
            println!("{passed} passed, {failed} failed");
            return ExitCode::from(u8::from(failed > 0));
        }
    }
    ExitCode::SUCCESS
}
