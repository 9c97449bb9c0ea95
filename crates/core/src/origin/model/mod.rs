//! The lane protocol against a hostile database: several leaders with rising terms, zombies among them,
//! transactions that are delayed, lost in limbo or of unknown outcome, rejects, downtime, snapshots.
//!
//! Consensus is a perfect log here: what it does is tested elsewhere. The theorem: at every point of the
//! log, what a cache says of a key is what the decided writes before it make of it; and at rest the
//! database holds exactly that; and a write is refused only when the database has every write that the
//! log has before it, of whatever lane. Planted bugs in the flush must be found by the same test.

mod node;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::plan::Bugs;
use node::Plan;
use world::World;

/// Seeds per run; more by hand.
const SEEDS: u64 = 400;

fn run(seed: u64, bugs: Bugs) {
    let plan = Plan::draw(seed);
    let mut world = World::new(seed, plan, bugs);
    world.run();
}

#[test]
fn cache_and_origin_never_drift_apart() {
    for seed in 0..SEEDS {
        let result = catch_unwind(AssertUnwindSafe(|| run(seed, Bugs::default())));
        assert!(result.is_ok(), "seed {seed} failed; the reason is above");
    }
}

fn found(bugs: Bugs) -> bool {
    (0..SEEDS).any(|seed| catch_unwind(AssertUnwindSafe(|| run(seed, bugs))).is_err())
}

/// Runs quietly what is expected to panic.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    // The hook is the process's; other tests of this binary may lose a message meanwhile, not a failure.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let value = work();
    std::panic::set_hook(hook);
    value
}

#[test]
fn the_test_finds_planted_bugs() {
    let (unguarded, forgetful, hasty) = quietly(|| {
        let unguarded = found(Bugs {
            flush_without_compare_and_set: true,
            ..Bugs::default()
        });
        let forgetful = found(Bugs {
            reject_in_the_log_only: true,
            ..Bugs::default()
        });
        let hasty = found(Bugs {
            data_error_final_at_once: true,
            ..Bugs::default()
        });
        (unguarded, forgetful, hasty)
    });
    assert!(unguarded, "a flush without compare-and-set was not found");
    assert!(forgetful, "a reject that only the log knows was not found");
    assert!(
        hasty,
        "a reject before earlier writes of other lanes was not found"
    );
}

#[test]
fn a_seed_replays_to_the_same_end() {
    for seed in 0..20 {
        let ends: Vec<u128> = (0..2)
            .map(|_| {
                let mut world = World::new(seed, Plan::draw(seed), Bugs::default());
                world.run();
                world.fingerprint()
            })
            .collect();
        assert_eq!(ends[0], ends[1], "seed {seed}");
    }
}
