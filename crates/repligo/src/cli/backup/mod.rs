//! `repligo backup` and `repligo restore`: a snapshot of a running cluster into a file, and a file into the first data
//! directory of a new cluster.
//!
//! Invariants: a file has its name only when every byte of it was checked; nothing is overwritten; of a backup that is
//! cut, damaged or something else, nothing is made.

mod output;
mod remote;
mod restore;
mod take;

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use repligo_core::backup::{Contents, Inspection};
use repligo_core::contract::HashSeed;
use serde_json::{Value, json};

use super::failure::Failure;
use super::flags::{addresses, switch, value};
use super::login;
use super::progress::Progress;
use super::signals::StopFlag;
use crate::config::units::{parse_size, show_size};
use crate::disk::{BackupFacts, BackupReader};
use crate::telemetry::audit::time;
use crate::telemetry::process;

/// Ended by ^C.
const INTERRUPTED: u8 = 130;

/// Why there is no result.
#[derive(Debug)]
enum Halt {
    /// Something is wrong.
    Failed(Failure),
    /// Somebody asked for the end.
    Interrupted,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Halt {
        Halt::Failed(failure)
    }
}

type Outcome<T> = Result<T, Halt>;

/// `repligo backup`.
pub fn backup_command() -> Command {
    Command::new("backup")
        .about("Take a consistent backup of a running cluster, or check one")
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .arg(
            addresses(
                "addr",
                "RESP addresses of nodes; of several, a follower is taken if one answers [default: 127.0.0.1:6379]",
            ),
        )
        .arg(value("output", "FILE", "Where it goes, `-` for standard output"))
        .arg(
            value("rate", "BYTES", "At most so many bytes per second, such as 50MiB [default: no limit]")
                .value_parser(parse_size),
        )
        .arg(switch("stale", "Take what the node has, though it may lag behind or be cut off"))
        .args(login::arguments())
        .args(login::secure_arguments())
        .arg(super::flags::json())
        .subcommand(
            Command::new("verify")
                .about("Read a backup to its end, as a node would, and say what it holds")
                .arg(Arg::new("file").value_name("FILE").required(true))
                .arg(super::flags::json()),
        )
}

/// `repligo restore`.
pub fn restore_command() -> Command {
    restore::command()
}

/// `repligo backup …`.
pub fn run_backup(matches: &ArgMatches) -> ExitCode {
    if let Some(("verify", arguments)) = matches.subcommand() {
        let file = arguments
            .get_one::<String>("file")
            .expect("clap demands it")
            .clone();
        return run(arguments, false, |stop| {
            let checked = check(&file, stop)?;
            Ok((verified(&file, &checked), checked.json()))
        });
    }
    let Some(output) = matches.get_one::<String>("output") else {
        let failure = Failure::new(
            "it is not said where the backup goes",
            "give --output FILE, or --output -",
        );
        return super::fail(super::WRONG_USAGE, failure);
    };
    let to_stdout = output == output::STANDARD;
    run(matches, to_stdout, |stop| take::run(matches, stop))
}

/// `repligo restore …`.
pub fn run_restore(matches: &ArgMatches) -> ExitCode {
    run(matches, false, |stop| restore::run(matches, stop))
}

/// Works until done or a signal, and tells the result in words or as JSON; `is_taken`: standard output has the data.
fn run(
    matches: &ArgMatches,
    is_taken: bool,
    work: impl FnOnce(&StopFlag) -> Outcome<(String, Value)>,
) -> ExitCode {
    let stop = match StopFlag::install() {
        Ok(stop) => stop,
        Err(error) => return super::fail(super::FAILED, format_args!("signals: {error}")),
    };
    match work(&stop) {
        Ok((words, value)) => {
            let text = match matches.get_flag("json") {
                true => format!("{value}\n"),
                false => words,
            };
            match is_taken {
                true => eprint!("{text}"),
                false => super::print(text),
            }
            ExitCode::SUCCESS
        }
        Err(Halt::Failed(failure)) => super::fail(super::FAILED, failure),
        Err(Halt::Interrupted) => super::fail(INTERRUPTED, "interrupted: nothing is left of it"),
    }
}

/// A backup that was read to its end.
struct Checked {
    facts: BackupFacts,
    contents: Contents,
    bytes: u64,
}

impl Checked {
    fn json(&self) -> Value {
        let Contents {
            members, user_count, ..
        } = &self.contents;
        let mut value = point_json(&self.facts);
        value["bytes"] = self.bytes.into();
        value["members"] = json!(members);
        value["users"] = (*user_count).into();
        value
    }
}

/// The point that a backup is of, for scripts.
fn point_json(facts: &BackupFacts) -> Value {
    json!({
        "cluster": format!("{:032x}", facts.cluster_id),
        "generation": facts.generation,
        "node": facts.node,
        "release": facts.release,
        "term": facts.term,
        "index": facts.index,
        "time_ms": facts.time_ms,
        "taken_ms": facts.taken_ms,
        "keys": facts.key_count,
    })
}

/// The same for people.
fn point(facts: &BackupFacts) -> String {
    format!(
        "cluster {:032x}, generation {}, from node {} ({}) at {}\n  point: entry {} of term {}, time {}, {} keys",
        facts.cluster_id,
        facts.generation,
        facts.node,
        facts.release,
        time(facts.taken_ms * 1000),
        facts.index,
        facts.term,
        time(facts.time_ms * 1000),
        facts.key_count,
    )
}

fn verified(file: &str, checked: &Checked) -> String {
    let Contents {
        members, user_count, ..
    } = &checked.contents;
    format!(
        "{file}: {}\n  of members {}, with {user_count} users beside the default one, {} bytes\n  whole and \
         undamaged\n",
        point(&checked.facts),
        members.join(", "),
        checked.bytes,
    )
}

fn open(file: &str) -> Outcome<BackupReader<BufReader<File>>> {
    let opened = File::open(file).map_err(|error| {
        Failure::new(
            format!("{file}: it cannot be opened: {error}"),
            "give the file of a backup",
        )
    })?;
    BackupReader::open(BufReader::with_capacity(1 << 20, opened)).map_err(|flaw| unfit(file, &flaw).into())
}

fn unfit(file: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        format!("{file}: {why}"),
        "use another backup; nothing was made of this one",
    )
}

/// Reads a backup to its end, as a node would that starts with it.
fn check(file: &str, stop: &StopFlag) -> Outcome<Checked> {
    let mut backup = open(file)?;
    let mut inspection = Inspection::new(HashSeed::from_bytes(&process::random()));
    let mut meter = Meter::new("checking: ", Some(backup.facts().snapshot_bytes));
    loop {
        match backup.next_chunk() {
            Ok(None) => break,
            Ok(Some(chunk)) => inspection.take(&chunk).map_err(|why| unfit(file, &why))?,
            Err(flaw) => return Err(unfit(file, &flaw).into()),
        }
        meter.show(backup.offset());
        if stop.is_set() {
            return Err(Halt::Interrupted);
        }
    }
    let contents = inspection.finish().map_err(|why| unfit(file, &why))?;
    Ok(Checked {
        facts: backup.facts().clone(),
        contents,
        bytes: backup.offset(),
    })
}

/// How far something is, on a terminal.
struct Meter {
    line: Progress,
    total: Option<u64>,
    start: Instant,
}

impl Meter {
    fn new(label: &str, total: Option<u64>) -> Meter {
        let mut line = Progress::new();
        line.label(label);
        Meter {
            line,
            total,
            start: Instant::now(),
        }
    }

    fn show(&mut self, bytes: u64) {
        let (total, elapsed) = (self.total, self.start.elapsed());
        self.line.show(|| metered(bytes, total, elapsed));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.line.clear();
    }
}

fn metered(bytes: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let shown = |bytes: f64| show_size((bytes as u64) >> 20 << 20);
    match total.filter(|total| *total > 0) {
        None => format!("{}, {}/s", shown(bytes as f64), shown(rate)),
        Some(total) => {
            let share = (bytes as f64 / total as f64).min(1.0) * 100.0;
            let left = total.saturating_sub(bytes) as f64 / rate.max(1.0);
            format!(
                "{share:3.0} %, {}, {}/s, {left:.0} s left",
                shown(bytes as f64),
                shown(rate)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_left() {
        let second = Duration::from_secs(1);
        let half = metered(5 << 20, Some(10 << 20), second);
        assert_eq!(half, " 50 %, 5MiB, 5MiB/s, 1 s left");
        assert_eq!(metered(3 << 20, None, second), "3MiB, 3MiB/s");
    }
}
