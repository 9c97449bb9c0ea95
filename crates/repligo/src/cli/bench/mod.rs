//! `repligo bench`: loads any RESP server, judges every reply, and reports what it measured.
//!
//! It shares nothing with the server but the codec. `options.rs` is what can be asked, `engine.rs` and `client.rs`
//! are the loop that sends and receives, `replies.rs` and `dataset.rs` judge, `tally.rs` counts, `run.rs` is one
//! run, `compare.rs` alternates between two servers, and `report.rs` documents the JSON.
//!
//! Invariants: results go to standard output, everything else to standard error; with `--json` standard output is one
//! document, whatever happens; a wrong reply is never only a number in a report, it is the exit code.

mod choice;
mod client;
mod compare;
mod dataset;
mod engine;
#[cfg(test)]
mod fake;
mod load;
mod nap;
pub mod options;
mod plan;
mod progress;
mod replies;
mod report;
mod run;
mod schedule;
mod screen;
mod server;
mod socket;
mod tally;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Value, json};

use self::compare::Side;
use self::options::Settings;
use self::progress::Progress;
use self::report::Report;
use self::run::Bench;
use self::server::BenchError;
use super::signals::StopFlag;

/// `repligo bench`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let settings = match Settings::from_matches(matches) {
        Ok(settings) => settings,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    let stop = match StopFlag::install() {
        Ok(stop) => stop,
        Err(error) => return super::fail(super::FAILED, format_args!("signals: {error}")),
    };
    let outcome = match &settings.compare {
        None => measure(&settings, &stop),
        Some(_) => compare(&settings, &stop),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(super::FAILED),
        Err(error) => {
            if settings.json {
                print_json(&json!({ "kind": "error", "error": error.what, "remedy": error.remedy }));
            }
            super::fail(super::FAILED, error)
        }
    }
}

fn print_json(document: &Value) {
    super::print(format_args!("{document}\n"));
}

/// Says what happens, where that does not disturb a script.
fn say(settings: &Settings, text: &str) {
    if !settings.json {
        super::print(format_args!("{text}\n"));
    }
}

fn say_left(settings: &Settings) {
    if let Some(text) = screen::left(settings) {
        say(settings, text);
    }
}

/// One server. Returns whether the answer is yes.
fn measure(settings: &Settings, stop: &StopFlag) -> Result<bool, BenchError> {
    let mut progress = Progress::new();
    let bench = Bench::new(settings, &settings.target, stop)?;
    say(settings, &screen::server(&bench.server));
    let load = match settings.load {
        true => Some(bench.load(&mut progress)?.ok_or_else(interrupted)?),
        false => None,
    };
    if let Some(load) = &load {
        say(settings, &screen::loaded(load));
    }
    say(settings, &screen::plan(settings));
    let report = Report::new(settings, bench.measure(&mut progress)?);
    if settings.json {
        print_json(&report::document(settings, &bench.server, load.as_ref(), &report));
    } else {
        super::print(screen::run(settings, &bench.server, &report));
    }
    say_left(settings);
    Ok(report.is_good())
}

/// Two servers. Returns whether the answer is yes.
fn compare(settings: &Settings, stop: &StopFlag) -> Result<bool, BenchError> {
    let mut progress = Progress::new();
    let other = settings.compare.as_ref().expect("asked for");
    let side = |target| {
        Bench::new(settings, target, stop).map(|bench| Side {
            bench,
            load: None,
            runs: Vec::new(),
        })
    };
    let mut sides = [side(&settings.target)?, side(other)?];
    if settings.load {
        for side in &mut sides {
            progress.label(format!("{}: ", side.bench.server.name));
            side.load = Some(side.bench.load(&mut progress)?.ok_or_else(interrupted)?);
        }
    }
    say(settings, &screen::plan(settings));
    compare::alternate(&mut sides, &mut progress)?;
    if settings.json {
        print_json(&compare::document(&sides));
    } else {
        super::print(compare::table(&sides));
    }
    say_left(settings);
    Ok(sides.iter().all(|side| side.runs.iter().all(Report::is_good)))
}

fn interrupted() -> BenchError {
    BenchError::new(
        "interrupted while loading: nothing was measured",
        "run it again; keys that were written stay",
    )
}
