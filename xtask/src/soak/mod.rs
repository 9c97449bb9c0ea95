//! `cargo xtask soak`: three real nodes at full load, with churn, expiry, eviction and slow
//! commands, and a verdict.
//!
//! The load comes over several connections to every node; a sampler reads the nodes' memory and metrics
//! meanwhile. At the end the load stops, the nodes apply the rest, and their digests are compared. The
//! verdict is one JSON object on stdout. It fails when memory goes on growing after the warm-up, when a
//! turn of a worker, of the host or of an I/O thread, took more CPU time than allowed, when an answer was wrong, or when replicas differ. Times
//! by the wall clock, how late expired keys are removed among them, are reported and never judged: nodes and
//! load want more processors than there are.

mod cluster;
mod control;
mod load;
mod samples;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::cluster::Cluster;
use self::control::Control;
use self::load::Load;
use self::samples::{Judged, Samples};
use crate::run::{Failure, Outcome};

/// Length without an option.
const MINUTES: u64 = 10;
/// Below this length memory has not reached its steady state, so it is reported and not judged.
const MEMORY_JUDGED_FROM_SECONDS: u64 = 300;
/// Below this length one disturbance of the machine decides about the longest turn, so it is not judged either.
const TURNS_JUDGED_FROM_SECONDS: u64 = 60;
/// Seconds that belong to every test of everything.
const CANARY_SECONDS: u64 = 20;
/// Distance between two samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Connections beside those under full load, where nodes have several workers.
const CROWD: usize = 1000;
/// Patience for equal applied indexes after the load.
const QUIET_PATIENCE: Duration = Duration::from_secs(60);

/// Runs the soak that the arguments ask for.
pub fn soak(arguments: &[String]) -> Outcome {
    let usage = || Failure {
        message: "soak takes --minutes N or --seconds N, and --workers N".to_owned(),
        code: 2,
    };
    let mut asked = Asked::default();
    let pairs = arguments.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(usage());
    }
    for pair in pairs {
        let number: u64 = pair[1].parse().map_err(|_| usage())?;
        match pair[0].as_str() {
            "--minutes" => asked.seconds = number * 60,
            "--seconds" => asked.seconds = number,
            "--workers" if (1..=64).contains(&number) => asked.workers = number,
            _ => return Err(usage()),
        }
    }
    run(asked)
}

/// What a soak is asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    seconds: u64,
    /// Of each node. With more than one, a crowd of connections is on the others.
    workers: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            seconds: MINUTES * 60,
            workers: 1,
        }
    }
}

/// A short one, for wrong answers, replicas that differ, and load that evicts and expires nothing.
pub fn canary() -> Outcome {
    run(Asked {
        seconds: CANARY_SECONDS,
        ..Asked::default()
    })
}

/// Starts nodes and load, samples for so many seconds, prints the verdict.
fn run(Asked { seconds, workers }: Asked) -> Outcome {
    let cluster = Cluster::start(workers)?;
    let crowd = if workers > 1 {
        CROWD.div_ceil(cluster.nodes.len())
    } else {
        0
    };
    let load = Load::start(&cluster.addresses(), crowd).map_err(Failure::new)?;
    let control = Control::start();
    let began = Instant::now();
    let mut samples = Samples::new(&cluster);
    while began.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(SAMPLE_EVERY);
        samples.take(&cluster)?;
        if std::io::stderr().is_terminal() {
            eprint!(
                "\rsoak: {} of {seconds} s, {} operations",
                began.elapsed().as_secs(),
                load.progress.operations.load(Ordering::Relaxed)
            );
        }
    }
    let elapsed = began.elapsed();
    let control = control.stop();
    let progress = Arc::clone(&load.progress);
    let complaints = load.stop();
    let quiet = cluster.wait_until_equal(QUIET_PATIENCE);
    samples.take(&cluster)?;

    let mut failed = complaints;
    failed.extend(samples.judge(Judged {
        turns: seconds >= TURNS_JUDGED_FROM_SECONDS,
        memory: seconds >= MEMORY_JUDGED_FROM_SECONDS,
    }));
    let states = match quiet {
        Ok(states) => states,
        Err(text) => {
            failed.push(text);
            Vec::new()
        }
    };
    let operations = progress.operations.load(Ordering::Relaxed);
    if operations < seconds * 1000 {
        failed.push(format!("only {operations} operations: that is no load"));
    }
    let verdict = json!({
        "seconds": elapsed.as_secs(),
        "workers": workers,
        "connections_in_crowd": crowd * cluster.nodes.len(),
        "operations": operations,
        "operations_per_second": operations / elapsed.as_secs().max(1),
        "slow_commands": progress.slow_commands.load(Ordering::Relaxed),
        "error_replies": progress.errors.load(Ordering::Relaxed),
        "control": {
            "pieces_of_1_ms": control.pieces,
            "disturbed": control.disturbed,
            "excess_cpu_seconds_max": control.excess_seconds_max,
            "stolen_seconds": control.stolen_seconds,
        },
        "nodes": samples.report(),
        "replicas": states.iter().map(|(name, applied, digest)| {
            json!({ "name": name, "applied_index": applied, "digest": digest })
        }).collect::<Vec<Value>>(),
        "failed": failed,
        "passed": failed.is_empty(),
    });
    println!("{verdict:#}");
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "soak: {}; logs: {}; again: cargo xtask soak --seconds {seconds} --workers {workers}",
            failed.join("; "),
            cluster.keep().display()
        )))
    }
}
