//! What more threads cost, what the executing one spends, and what a Unix domain socket saves.

use std::cell::RefCell;
use std::time::Duration;

use super::single::{self, VALUE_BYTES};
use super::{Extent, System, alternate};
use crate::bench::load::fill::{check_sample, fill};
use crate::bench::load::{Sample, codec::Kind, redis_benchmark};
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row, sorted};
use crate::bench::servers::{Group, repligo};
use crate::run::{Failure, Outcome};

const LOADS: [(&str, u32); 4] = [("get", 1), ("set", 1), ("get", 16), ("set", 16)];
/// Names of the sides.
const TWO: &str = "repligo, 2 workers";
const ONE: &str = "repligo, 1 worker";
const UNIX: &str = "repligo, Unix domain socket";
const TCP: &str = "repligo, TCP";

/// CPU of two workers against one, of the executing thread alone, and of a client through the socket file against TCP.
///
/// # Errors
/// A server failed, or a check.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    let keys = extent.pick(1_000_000, 100_000);
    let (two, _) = repligo::single_with_workers(2)?;
    let (one, socket) = repligo::single_with_workers(1)?;
    let mut groups = [two, one];
    let threads = [System::of(TWO, &groups[0]), System::of(ONE, &groups[1])];
    let sockets = [System::of(UNIX, &groups[1]), System::of(TCP, &groups[1])];
    for system in &threads {
        note(&format!("filling {}", system.name));
        fill(system.port, Kind::Set, keys, VALUE_BYTES)?;
    }
    describe(extent, row, keys);
    for (test, pipeline) in LOADS {
        let options = single::options(extent, (test, pipeline), keys);
        let title = format!("{}, pipeline {pipeline}", test.to_ascii_uppercase());
        let executing = RefCell::new(Vec::new());
        let comparison = alternate(&title, extent.repeats, &threads, |system| {
            let before = executing_seconds(system.port)?;
            let sample = redis_benchmark::run(system.port, options)?;
            if system.name == TWO {
                let spent = executing_seconds(system.port)? - before;
                executing
                    .borrow_mut()
                    .push(spent / sample.operations as f64 * 1e6);
            }
            Ok(sample)
        })?;
        row.comparisons.push(comparison);
        judge_threads(row, &title, pipeline, executing.into_inner());
    }
    for (test, pipeline) in LOADS {
        let options = single::options(extent, (test, pipeline), keys);
        let title = format!(
            "{}, pipeline {pipeline}, on the same machine",
            test.to_ascii_uppercase()
        );
        let comparison = alternate(&title, extent.repeats, &sockets, |system| match system.name {
            UNIX => redis_benchmark::run_through(&socket, options),
            _ => redis_benchmark::run(system.port, options),
        })?;
        row.comparisons.push(comparison);
        judge_socket(row, &title, pipeline);
    }
    for system in &threads {
        let samples = check_sample(system.port, keys, VALUE_BYTES, false)?;
        let name = system.name;
        row.verified.push(format!(
            "{samples} keys of {name} read by a second client are right at the end"
        ));
    }
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

fn describe(extent: Extent, row: &mut Row, keys: u64) {
    row.method.push(format!(
        "{keys} keys of 16 bytes with values of {VALUE_BYTES} bytes, `--durability none`. Two workers have all sockets on the \
         second one from the start (`--workers-busy-percent 0`). `{}` and so on; through the socket file with `-s FILE` \
         in place of `-p PORT`.",
        single::options(extent, LOADS[0], keys).command("PORT")
    ));
    row.method.push(
        "The executing thread's own CPU is that of worker 0 in `INFO server`, before and after each run with two workers.".to_owned(),
    );
}

/// CPU seconds of the thread that executes, which the node looks at ten times a second.
fn executing_seconds(port: u16) -> Outcome<f64> {
    std::thread::sleep(Duration::from_millis(250));
    let line = Client::connect(port)?.info("worker0")?.unwrap_or_default();
    let field = line.split(',').find_map(|field| field.strip_prefix("cpu_ms="));
    let seconds = field.and_then(|text| Some(text.parse::<f64>().ok()? / 1e3));
    seconds.ok_or_else(|| Failure::new(format!("INFO tells no CPU of worker 0: {line}")))
}

fn judge_threads(row: &mut Row, title: &str, pipeline: u32, executing: Vec<f64>) {
    let comparison = row.comparisons.last().expect("it was just measured");
    let bound = if pipeline == 1 { 1.15 } else { 1.25 };
    let ratios = comparison.ratios(ONE, Sample::cpu_us);
    row.goals.push(Goal::judge(
        format!("{title}: CPU of one with 2 workers against 1"),
        Bound::AtMost(bound),
        "×",
        &ratios,
    ));
    let bound = match (pipeline, title.starts_with("GET")) {
        (16, true) => 0.25,
        (16, false) => 0.6,
        _ => return,
    };
    row.goals.push(Goal::judge(
        format!("{title}: own CPU of the executing thread"),
        Bound::AtMost(bound),
        "µs",
        &sorted(executing),
    ));
}

fn judge_socket(row: &mut Row, title: &str, pipeline: u32) {
    let comparison = row.comparisons.last().expect("it was just measured");
    let goal = Goal::judge(
        format!("{title}: CPU through a Unix domain socket against TCP"),
        Bound::AtMost(0.65),
        "×",
        &comparison.ratios(TCP, Sample::cpu_us),
    );
    row.goals
        .push(if pipeline == 1 { goal } else { goal.informative() });
}
