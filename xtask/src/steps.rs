//! The steps of `test`, `check`, `fix` and `sim`, in the order in which they fail fastest.

use std::process::Command;
use std::time::Instant;

use crate::install::install;
use crate::run::{Counts, Failure, Outcome, root, run, run_counted, run_reported};
use crate::unsteady::second_try;
use crate::{audit, instructions, processes, soak, tidy};

/// Seeds that every run of the tests simulates; longer runs have a command of their own.
const SEEDS: u64 = 200;
/// Seeds within which a planted bug must be found, unless fewer suffice.
const BUG_SEEDS: u64 = 10_000;
/// Exit code of the simulator when a check failed.
const SIMULATOR_FOUND: i32 = 1;
/// What `crates/core/src/bugs.rs`, `crates/session/src/bugs.rs` and the origin's plan can plant, each with
/// the seeds within which it must be found; but for `lease-kept-in-handover` and `session-token-behind-answers`, see
/// `docs/simulation.md`.
const PLANTED_BUGS: [(&str, u64); 59] = [
    ("ack-before-durability", BUG_SEEDS),
    ("missing-noop", BUG_SEEDS),
    ("lease-without-quorum", BUG_SEEDS),
    ("expiry-by-local-clock", BUG_SEEDS),
    ("forward-without-deduplication", BUG_SEEDS),
    ("read-behind-commit", BUG_SEEDS),
    ("read-between-slices", BUG_SEEDS),
    ("evict-locally", BUG_SEEDS),
    ("flush-without-compare-and-set", BUG_SEEDS),
    ("reject-in-the-log-only", BUG_SEEDS),
    ("data-error-final-at-once", BUG_SEEDS),
    ("tenth-of-the-lifetime", BUG_SEEDS),
    ("outvoted-clock-leads", BUG_SEEDS),
    ("stalled-disk-leads", BUG_SEEDS),
    ("no-lease-wait", BUG_SEEDS),
    ("lease-from-confirmation", BUG_SEEDS),
    ("one-majority-in-joint", BUG_SEEDS),
    ("reuse-number", BUG_SEEDS),
    ("refused-though-proposed", 300),
    ("learner-counts", BUG_SEEDS),
    ("promote-at-once", BUG_SEEDS),
    ("forgetful-voter", BUG_SEEDS),
    ("read-overtakes-write", 300),
    ("ride-behind-earlier-turn", 300),
    ("sequence-not-continued", 300),
    ("watch-before-writes", 300),
    ("exec-forgets-watch", 300),
    ("message-overtakes-reply", 300),
    ("pop-after-nil", 300),
    ("waiter-forgotten-at-change", 300),
    ("snapshot-without-image", 300),
    ("snapshot-loses-last-part", 300),
    ("replaced-stays-in-digest", 300),
    ("writes-into-long-read", BUG_SEEDS),
    ("pop-by-local-draw", 300),
    ("slice-skips-element", 300),
    ("greater-takes-lower", 300),
    ("id-by-own-clock", 300),
    ("given-out-twice", 300),
    ("rights-judged-on-arrival", 300),
    ("snapshot-without-users", 300),
    ("profile-forgotten-in-snapshot", 300),
    ("readonly-below-floor", 300),
    ("field-deadline-lost-in-snapshot", 300),
    ("change-holds-nothing-back", 300),
    ("invalidation-before-apply", 300),
    ("change-told-once", 300),
    ("commit-shown-in-wait", 300),
    ("vote-before-durability", 300),
    ("copies-outlive-claim", 300),
    ("probe-time-at-answer", BUG_SEEDS),
    ("bounded-without-apply", 300),
    ("session-without-apply", 300),
    ("session-token-ignores-generation", 300),
    ("session-token-forgotten-on-read", 300),
    ("arrival-overtakes-inbox", 300),
    ("address-without-client", 300),
    ("batch-handed-over-twice", 300),
    ("moves-with-untaken", 300),
];

/// Those that take a good part of a minute each: `cargo xtask bugs` looks for them too, `test` does not.
const SLOW_BUGS: [&str; 9] = [
    "read-between-slices",
    "flush-without-compare-and-set",
    "writes-into-long-read",
    "one-majority-in-joint",
    "reuse-number",
    "stalled-disk-leads",
    "readonly-below-floor",
    "copies-outlive-claim",
    "probe-time-at-answer",
];

/// One step of `test`: a name for `--only`, and what it runs.
type Step = (&'static str, fn(&mut Counts) -> Outcome);

const STEPS: [Step; 9] = [
    ("check", check_counted),
    ("unit", unit),
    ("build", |_| build()),
    ("table", table_limits),
    ("instructions", instructions::check),
    ("simulate", simulate),
    ("bugs", quick_bugs),
    ("processes", processes::test),
    ("soak", soak_canary),
];

/// Everything, or with `--only` some of the steps.
pub fn test(arguments: &[String]) -> Outcome {
    let only = match arguments {
        [] => None,
        [flag, names] if flag == "--only" => Some(names.split(',').collect::<Vec<_>>()),
        _ => {
            return Err(Failure {
                message: "test takes nothing, or --only NAME[,NAME…]".to_owned(),
                code: 2,
            });
        }
    };
    for name in only.iter().flatten() {
        if !STEPS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
            return Err(Failure {
                message: format!("no step {name}; there are: {}", known.join(", ")),
                code: 2,
            });
        }
    }
    install()?;
    let mut counts = Counts::default();
    for (name, step) in STEPS {
        if only.as_ref().is_some_and(|only| !only.contains(&name)) {
            continue;
        }
        println!("xtask: {name}");
        let start = Instant::now();
        if let Err(failure) = step(&mut counts) {
            summary(&counts, 1);
            let again = format!("again: cargo xtask test --only {name}");
            return Err(Failure {
                message: format!("{}; {again}", failure.message),
                code: failure.code,
            });
        }
        println!("xtask: {name} took {} s", start.elapsed().as_secs());
    }
    summary(&counts, 0);
    if counts.passed == 0 {
        Err(Failure::new("no test ran"))
    } else {
        Ok(())
    }
}

/// The closing line; a step that failed without a failed test counts as one.
fn summary(counts: &Counts, at_least_failed: u64) {
    let failed = counts.failed.max(at_least_failed);
    let unsteady = match counts.unsteady {
        0 => String::new(),
        count => format!(", {count} of the passed ones at the second try"),
    };
    println!(
        "{} passed, {failed} failed, {} skipped{unsteady}",
        counts.passed, counts.skipped
    );
}

/// Formatting, lints, layering, documents, advisories.
pub fn check() -> Outcome {
    check_counted(&mut Counts::default())
}

fn check_counted(counts: &mut Counts) -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    tidy::check()?;
    instructions::check_record()?;
    audit::check(None, counts)
}

/// Formatting and generated documents.
pub fn fix() -> Outcome {
    run(&mut cargo(&["fmt", "--all"]))?;
    for (package, test) in [("repligo-proto", "commands_md"), ("repligo", "parameters_md")] {
        run(cargo(&["test", "--quiet", "--package", package, test]).env("REPLIGO_WRITE_DOCS", "1"))?;
    }
    Ok(())
}

/// Passes its arguments to the simulator.
pub fn sim(arguments: &[String]) -> Outcome {
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--release",
        "--package",
        "repligo-sim",
        "--features",
        "bugs",
        "--",
    ]);
    run(command.args(arguments))
}

/// Random and mutated messages on authenticated links, as many as somebody asks for.
pub fn hostile(arguments: &[String]) -> Outcome {
    let count = match arguments {
        [] => 1_000_000,
        [count] => count.parse::<u64>().map_err(|_| Failure {
            message: format!("hostile takes a number of messages, not {count}"),
            code: 2,
        })?,
        _ => {
            return Err(Failure {
                message: "hostile takes nothing, or a number of messages".to_owned(),
                code: 2,
            });
        }
    };
    let mut command = cargo(&[
        "test",
        "--package",
        "repligo-core",
        "--test",
        "hostile_peer",
        "no_random_or_mutated_message",
        "--",
        "--nocapture",
    ]);
    run(command.env("REPLIGO_TEST_HOSTILE_MESSAGES", count.to_string()))
}

/// Tests of every crate. The second try builds what the first one has built.
fn unit(counts: &mut Counts) -> Outcome {
    let first = run_reported(&mut cargo(&["test", "--quiet", "--workspace", "--no-fail-fast"]));
    let report = second_try(first, |names| {
        let mut command = cargo(&["test", "--quiet", "--workspace", "--", "--exact"]);
        command.args(names);
        command
    });
    counts.add(report.counts);
    report.outcome
}

fn build() -> Outcome {
    run(&mut cargo(&["build", "--release", "--package", "repligo"]))?;
    // As `unit` builds it, so that nothing is built a second time with features of its own.
    run(&mut cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--no-run",
        "--test",
        "client_drivers",
    ]))?;
    build_simulator()
}

fn build_simulator() -> Outcome {
    run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "repligo-sim",
        "--features",
        "bugs",
    ]))
}

/// What the table promises at full size, which takes a debug build too long.
fn table_limits(counts: &mut Counts) -> Outcome {
    let example = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "repligo-core",
        "--example",
        "table_limits",
    ];
    count(counts, &mut cargo(&example))
}

fn simulate(counts: &mut Counts) -> Outcome {
    let outcome = run(simulator().args(["--seeds", &format!("0..{SEEDS}")]));
    match &outcome {
        Ok(()) => counts.passed += SEEDS,
        Err(_) => counts.failed += 1,
    }
    outcome
}

/// `cargo xtask bugs`: every planted bug is found.
pub fn bugs() -> Outcome {
    build_simulator()?;
    let mut counts = Counts::default();
    let outcome = find_bugs(&mut counts, &PLANTED_BUGS);
    summary(&counts, u64::from(outcome.is_err()));
    outcome
}

/// Those planted bugs that are found in seconds.
fn quick_bugs(counts: &mut Counts) -> Outcome {
    let is_quick = |(name, _): &(&str, u64)| !SLOW_BUGS.contains(name);
    let quick: Vec<_> = PLANTED_BUGS.into_iter().filter(is_quick).collect();
    println!("xtask: left to `cargo xtask bugs`: {}", SLOW_BUGS.join(", "));
    find_bugs(counts, &quick)
}

/// Each planted bug must make some seed fail, or the simulator proves nothing.
fn find_bugs(counts: &mut Counts, bugs: &[(&str, u64)]) -> Outcome {
    for (name, count) in bugs {
        println!("xtask: planted bug {name}");
        let seeds = format!("0..{count}");
        let status = simulator().args(["--seeds", &seeds, "--bug", name]).status();
        // A simulator that knows no such bug, or does not run at all, has found nothing either.
        if !status.is_ok_and(|status| status.code() == Some(SIMULATOR_FOUND)) {
            counts.failed += 1;
            let again = format!("cargo xtask sim --seeds {seeds} --bug {name}");
            return Err(Failure::new(format!(
                "the planted bug {name} is not found; again: {again}"
            )));
        }
        counts.passed += 1;
    }
    Ok(())
}

fn simulator() -> Command {
    Command::new(root().join("target/release/repligo-sim"))
}

fn soak_canary(counts: &mut Counts) -> Outcome {
    let outcome = soak::canary();
    match &outcome {
        Ok(()) => counts.passed += 1,
        Err(_) => counts.failed += 1,
    }
    outcome
}

fn count(counts: &mut Counts, command: &mut Command) -> Outcome {
    let (counted, outcome) = run_counted(command);
    counts.add(counted);
    outcome
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}
