//! The simulator about itself: a seed is a whole run.

use repligo_sim::run;

#[test]
fn a_seed_replays_to_the_same_trace() {
    for seed in 0..12 {
        let (first, second) = (run::seed(seed, None, false), run::seed(seed, None, false));
        assert_eq!(first.failure, None, "reproduce: {}", run::command(seed, None));
        assert_ne!(first.trace, 0);
        assert_eq!(first.trace, second.trace, "seed {seed} does not replay");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(run::seed(1, None, false).trace, run::seed(2, None, false).trace);
}
