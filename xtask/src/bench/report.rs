//! Writes what a run found as a document for people, with every number beside the command that made it.

use std::fmt::Write as _;

use super::load::Sample;
use super::results::{Comparison, Goal, Results, Row, Table, spread};

/// Name of the picture, beside the document.
pub const PICTURE: &str = "failover-latency.svg";

const HOW_TO_READ: &str = "\
## How to read this

- A goal is a ratio between systems that ran on the same machine in the same run, in alternation, or a bound on our own
  CPU, memory or gap. The median of the pairs is judged; behind it, in brackets, stand the smallest and the largest.
- **CPU per operation decides**: user plus system time of the server processes (`/proc/PID/stat`; of all three nodes where
  there are three), divided by the operations. Clients and up to nine server processes share the cores of this machine,
  so throughput and latency say how well they shared; goals about them are marked as informative.
- Repligo runs with `--workers 1`, one thread as Redis has, but for the row about workers.
- Missed goals stand here as missed. Absolute times are nowhere asserted: another machine has others.
- Latencies come from the load generator. In closed loops they say little about overload; the rows about snapshots and
  faults use an open loop, in which a request counts from when it was due.
";

/// The whole document.
pub fn document(results: &Results) -> String {
    let mut out = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`; do not edit. `cargo xtask bench --report-only` writes it again from the last results.\n\n",
    );
    facts(results, &mut out);
    out.push_str(HOW_TO_READ);
    goals(results, &mut out);
    for row in &results.rows {
        section(row, &mut out);
    }
    out
}

// Writing to a string cannot fail, so results of `write!` are dropped in this file.

fn facts(results: &Results, out: &mut String) {
    let facts = &results.facts;
    let _ = writeln!(
        out,
        "Command: `{}` ({} repeats of each pair, {:.0} minutes), {}\n\nMachine: {}; {}; load average before the run: {}\n",
        facts.command,
        facts.repeats,
        (facts.seconds / 60.0).ceil(),
        facts.date,
        facts.machine,
        facts.system,
        facts.load_average
    );
    out.push_str("| program | version |\n|---|---|\n");
    for (name, version) in &facts.versions {
        let _ = writeln!(out, "| {name} | {version} |");
    }
    out.push('\n');
}

fn goals(results: &Results, out: &mut String) {
    let all: Vec<&Goal> = results.rows.iter().flat_map(|row| &row.goals).collect();
    let deciding = all.iter().filter(|goal| goal.decides).count();
    let met = all.iter().filter(|goal| goal.decides && goal.met).count();
    let _ = writeln!(
        out,
        "\n## Goals\n\n{met} of {deciding} goals that decide are met.\n\n\
         | what | goal | measured: median (min–max) | in this run |\n|---|---|---|---|"
    );
    for goal in all {
        let verdict = match (goal.met, goal.decides) {
            (true, true) => "met",
            (false, true) => "**missed**",
            (true, false) => "met (informative)",
            (false, false) => "missed (informative)",
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {verdict} |",
            goal.what, goal.goal, goal.measured
        );
    }
    for row in &results.rows {
        if let Some(failure) = &row.failure {
            let _ = writeln!(
                out,
                "| {} | | failed: {} | **not measured** |",
                row.title,
                one_cell(failure)
            );
        }
    }
}

/// A text that cannot end its cell.
fn one_cell(text: &str) -> String {
    text.replace('|', "/").replace(['\r', '\n'], " ")
}

fn section(row: &Row, out: &mut String) {
    let _ = writeln!(
        out,
        "\n## {}\n\nAgain: `cargo xtask bench --only {}` ({:.0} s)\n",
        row.title, row.name, row.seconds
    );
    if let Some(failure) = &row.failure {
        let _ = writeln!(out, "**Failed, so this is incomplete: {}**\n", one_cell(failure));
    }
    for method in &row.method {
        let _ = writeln!(out, "- {method}");
    }
    for verified in &row.verified {
        let _ = writeln!(out, "- Checked: {verified}.");
    }
    if !row.comparisons.is_empty() {
        comparisons(&row.comparisons, out);
    }
    for found in &row.tables {
        table(found, out);
    }
    if !row.timelines.is_empty() {
        let _ = writeln!(
            out,
            "\nLatency over time across a kill of the leader (the run with the median gap):\n\n\
             ![p50 and p99 of writes across a kill of the leader]({PICTURE})"
        );
    }
}

fn comparisons(all: &[Comparison], out: &mut String) {
    out.push_str(
        "\n| load | system | operations/s | CPU µs/op | p50 µs | p99 µs | max µs |\n|---|---|---|---|---|---|---|\n",
    );
    for comparison in all {
        for side in &comparison.sides {
            let of =
                |value: fn(&Sample) -> f64, digits| spread(&comparison.values(&side.name, value), digits);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                comparison.title,
                side.name,
                of(Sample::throughput, 0),
                of(Sample::cpu_us, 2),
                of(|sample| sample.latency.p50, 0),
                of(|sample| sample.latency.p99, 0),
                of(|sample| sample.latency.max, 0)
            );
        }
    }
    out.push_str(
        "\n| load | ratio | throughput | CPU per operation | p50 | p99 |\n|---|---|---|---|---|---|\n",
    );
    for comparison in all {
        let ours = &comparison.sides[0].name;
        for peer in &comparison.sides[1..] {
            let of = |value: fn(&Sample) -> f64| spread(&comparison.ratios(&peer.name, value), 2);
            let _ = writeln!(
                out,
                "| {} | {ours} / {} | {} | {} | {} | {} |",
                comparison.title,
                peer.name,
                of(Sample::throughput),
                of(Sample::cpu_us),
                of(|sample| sample.latency.p50),
                of(|sample| sample.latency.p99)
            );
        }
    }
}

fn table(table: &Table, out: &mut String) {
    let _ = writeln!(out, "\n{}:\n", table.title);
    let _ = writeln!(out, "| {} |", table.header.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(table.header.len()));
    for row in &table.rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::results::{Bound, Side};
    use super::*;

    #[test]
    fn misses_and_failures_are_said() {
        let sample = Sample {
            operations: 1000,
            seconds: 1.0,
            cpu_seconds: 0.004,
            ..Sample::default()
        };
        let side = |name: &str| Side {
            name: name.to_owned(),
            samples: vec![sample.clone()],
        };
        let measured = Row {
            title: "Speed".to_owned(),
            comparisons: vec![Comparison {
                title: "GET".to_owned(),
                sides: vec![side("repligo"), side("redis")],
            }],
            goals: vec![Goal::judge("CPU", Bound::AtMost(0.5), "×", &[1.0])],
            ..Row::default()
        };
        let failed = Row {
            title: "Memory".to_owned(),
            failure: Some("no | port\nleft".to_owned()),
            ..Row::default()
        };
        let text = document(&Results {
            facts: Facts::default(),
            rows: vec![measured, failed],
        });
        for expected in [
            "0 of 1 goals that decide are met.",
            "| CPU | ≤ 0.5× | 1.00× | **missed** |",
            "| Memory | | failed: no / port left | **not measured** |",
            "| GET | repligo | 1000 | 4.00 | 0 | 0 | 0 |",
            "| GET | repligo / redis | 1.00 | 1.00 |",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
    }
}
