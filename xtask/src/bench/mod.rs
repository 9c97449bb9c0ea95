//! `cargo xtask bench`: the goals table against installed peers, in one run, into `docs/benchmarks.md`.
//!
//! Everything runs on loopback with data in `target/bench`. A row that fails is reported as failed and does
//! not stop the others; the document is written at the end only, and only by a whole run.

mod facts;
mod load;
mod plot;
mod process;
mod progress;
mod report;
mod resp;
mod results;
mod rows;
mod servers;

use std::fs;
use std::process::Command;
use std::time::Instant;

use self::facts::Facts;
use self::progress::{expect_seconds, note};
use self::results::{Results, Row};
use self::rows::{Definition, Extent, ROWS};
pub use self::servers::constant::{COMMAND as CONSTANT_SERVER, serve as constant_server};
use crate::run::{Failure, Outcome, root, run};

const USAGE: &str = "usage: cargo xtask bench [--repeats N] [--only ROW[,ROW…]] [--quick] [--report-only]
  --repeats N    of each pair, in alternation (default 5)
  --only ROWS    some rows only; writes target/bench/benchmarks.md
  --quick        less of everything, to see whether it works; writes target/bench/benchmarks.md
  --report-only  writes docs/benchmarks.md again from the results of the last whole run";

#[derive(Debug)]
struct Options {
    extent: Extent,
    only: Option<Vec<String>>,
    report_only: bool,
}

/// Runs the benchmark.
///
/// # Errors
/// Wrong arguments, nothing to measure with, or a row failed (after the report was written).
pub fn bench(arguments: &[String]) -> Outcome {
    let options = parse(arguments)?;
    if cfg!(debug_assertions) {
        return again_in_release(arguments);
    }
    if options.report_only {
        return write(&results::load()?, "docs");
    }
    crate::install::install_bench()?;
    build()?;
    process::remove_old_folders();
    let folder = process::run_folder();
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let measured = measure(&options, arguments);
    let _ = fs::remove_dir_all(&folder);
    if options.only.is_none() && !options.extent.quick {
        results::save(&measured)?;
        write(&measured, "docs")?;
    } else {
        write(&measured, "target/bench")?;
    }
    let failed: Vec<&str> = measured
        .rows
        .iter()
        .filter(|row| row.failure.is_some())
        .map(|row| row.name.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "these rows failed: {0}; again: cargo xtask bench --only {1}",
        failed.join(", "),
        failed.join(",")
    )))
}

/// The client must not be slower than the servers that it loads.
fn again_in_release(arguments: &[String]) -> Outcome {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench"]);
    run(command.args(arguments))
}

fn build() -> Outcome {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    run(command.args(["build", "--release", "--package", "repligo"]))
}

fn parse(arguments: &[String]) -> Outcome<Options> {
    let wrong = |message: String| Failure {
        message: format!("{message}\n{USAGE}"),
        code: 2,
    };
    let mut options = Options {
        extent: Extent {
            repeats: 5,
            quick: false,
        },
        only: None,
        report_only: false,
    };
    let mut repeats = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| wrong(format!("{word} needs a value")));
        match word.as_str() {
            "--repeats" => {
                let text = value()?;
                let number = text
                    .parse()
                    .ok()
                    .filter(|number| (1..=100).contains(number))
                    .ok_or_else(|| wrong(format!("--repeats takes 1 to 100, not {text}")))?;
                repeats = Some(number);
            }
            "--only" => options.only = Some(value()?.split(',').map(str::to_owned).collect()),
            "--quick" => options.extent.quick = true,
            "--report-only" => options.report_only = true,
            _ => return Err(wrong(format!("unknown argument {word}"))),
        }
    }
    options.extent.repeats = repeats.unwrap_or_else(|| options.extent.pick(5, 2));
    for name in options.only.iter().flatten() {
        if !ROWS.iter().any(|row| row.name == name) {
            let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            return Err(wrong(format!("no row {name}; there are: {}", known.join(", "))));
        }
    }
    Ok(options)
}

fn measure(options: &Options, arguments: &[String]) -> Results {
    let start = Instant::now();
    let mut command = vec!["cargo xtask bench".to_owned()];
    command.extend(arguments.iter().cloned());
    let mut facts = Facts::gather(command.join(" "), options.extent.repeats);
    let chosen: Vec<&Definition> = ROWS
        .iter()
        .filter(|row| {
            let only = options.only.as_ref();
            only.is_none_or(|only| only.iter().any(|name| name == row.name))
        })
        .collect();
    let mut rows = Vec::new();
    for (index, definition) in chosen.iter().enumerate() {
        let left: f64 = chosen[index..]
            .iter()
            .map(|row| expected_seconds(row, options.extent))
            .sum();
        expect_seconds(left);
        note(&format!(
            "row {} of {}: {}",
            index + 1,
            chosen.len(),
            definition.title
        ));
        rows.push(one_row(definition, options.extent));
    }
    facts.seconds = start.elapsed().as_secs_f64();
    Results { facts, rows }
}

fn expected_seconds(row: &Definition, extent: Extent) -> f64 {
    if extent.quick {
        row.seconds_quick * f64::from(extent.repeats) / 2.0
    } else {
        row.seconds * f64::from(extent.repeats) / 5.0
    }
}

fn one_row(definition: &Definition, extent: Extent) -> Row {
    let start = Instant::now();
    let mut row = Row {
        name: definition.name.to_owned(),
        title: definition.title.to_owned(),
        ..Row::default()
    };
    if let Err(failure) = (definition.run)(extent, &mut row) {
        note(&format!("row {} FAILED: {}", definition.name, failure.message));
        row.failure = Some(failure.message);
    }
    row.seconds = start.elapsed().as_secs_f64();
    row
}

/// Writes document and picture into a folder of the repository.
fn write(results: &Results, folder: &str) -> Outcome {
    let folder = root().join(folder);
    let save = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    };
    let timelines: Vec<_> = results
        .rows
        .iter()
        .flat_map(|row| row.timelines.clone())
        // Half a minute of nothing would make the others too small to read.
        .filter(|timeline| timeline.gap_seconds < 10.0)
        .collect();
    if !timelines.is_empty() {
        save(report::PICTURE, plot::svg(&timelines))?;
    }
    save("benchmarks.md", report::document(results))?;
    println!("bench: wrote {}", folder.join("benchmarks.md").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expect: Result<(u32, bool), &str>) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let parsed = parse(&words);
        match (parsed, expect) {
            (Ok(options), Ok(expect)) => {
                assert_eq!(
                    (options.extent.repeats, options.extent.quick),
                    expect,
                    "{words:?}"
                );
            }
            (Err(failure), Err(expect)) => {
                assert!(failure.message.starts_with(expect), "{}", failure.message);
                assert_eq!(failure.code, 2);
            }
            (found, expect) => panic!("{words:?}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn arguments_are_checked() {
        check(&[], Ok((5, false)));
        check(&["--quick"], Ok((2, true)));
        check(&["--repeats", "3", "--only", "memory,get-set"], Ok((3, false)));
        check(&["--repeats", "0"], Err("--repeats takes 1 to 100, not 0"));
        check(&["--repeats"], Err("--repeats needs a value"));
        check(&["--only", "nothing"], Err("no row nothing; there are: get-set"));
        check(&["--slow"], Err("unknown argument --slow"));
    }
}
