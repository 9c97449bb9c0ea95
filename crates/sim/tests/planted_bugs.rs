//! The simulator proves itself: each planted bug is found within 10,000 seeds, and the same build without
//! a bug passes the seed that found it. Run with
//! `cargo test --release -p repligo-sim --features bugs --test planted_bugs`.
#![cfg(feature = "bugs")]

use std::sync::atomic::{AtomicU64, Ordering};

use repligo_sim::run;

const SEEDS_MAX: u64 = 10_000;

/// The lowest seed that finds the bug, searched by two threads in ascending order.
fn first_seed(bug: &str) -> Option<u64> {
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS_MAX.min(found.load(Ordering::Relaxed)) {
                        return;
                    }
                    if run::seed(seed, Some(bug), false).failure.is_some() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(found.load(Ordering::Relaxed)).filter(|seed| *seed != u64::MAX)
}

#[test]
fn every_planted_bug_is_found() {
    let names = run::bug_names();
    assert!(names.len() >= 5);
    for bug in names {
        let seed = first_seed(bug).unwrap_or_else(|| panic!("{bug} was not found in {SEEDS_MAX} seeds"));
        let healthy = run::seed(seed, None, false);
        assert_eq!(
            healthy.failure,
            None,
            "the seed fails without {bug} too: {}",
            run::command(seed, None)
        );
        println!("{bug}: found by seed {seed}; {}", run::command(seed, Some(bug)));
    }
}
