//! `repligo export` and `repligo import`: what keys hold, with deadlines, from one server into a file, from a file into a
//! server, or from server to server, over RESP; RDB files go in as well.
//!
//! `source.rs`, `file.rs` and `rdb/mod.rs` give batches of entries, `target.rs` and `file.rs` take them, and everything else is one
//! loop between the two. Invariants: nothing is left out in silence, and the exit code says so; a file has its name
//! only when it is whole; of a file nothing is written before its checksums were checked; what was asked to end leaves
//! a valid state and says how to go on.

mod aof;
mod content;
mod deadlines;
mod export;
mod facts;
mod file;
mod follow;
mod format;
mod import;
mod libraries;
pub mod options;
mod pace;
mod rdb;
mod rows;
mod server;
mod settle;
mod source;
mod staging;
mod stream;
mod summary;
mod target;
mod verify;

use std::process::ExitCode;
use std::time::Instant;

use clap::ArgMatches;

use self::format::{Batch, Entry};
use self::pace::Pace;
use self::summary::Summary;
use super::failure::Failure;
use super::progress::Progress;
use super::signals::StopFlag;

/// All that can be was transferred, but there are keys of other types.
const INCOMPLETE: u8 = 3;
/// Ended by ^C.
const INTERRUPTED: u8 = 130;

/// Why a transfer ended before its end.
#[derive(Debug)]
pub enum Halt {
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

/// What every part of a transfer returns.
pub type Outcome<T> = Result<T, Halt>;

/// Gives batches of entries until there are no more.
trait Input {
    fn next(&mut self) -> Outcome<Option<Batch>>;
}

impl Input for Box<dyn Input + '_> {
    fn next(&mut self) -> Outcome<Option<Batch>> {
        (**self).next()
    }
}

/// Takes entries of one database.
trait Output {
    fn take(&mut self, db: u32, entries: &[Entry]) -> Outcome<()>;
}

/// What a transfer needs besides its two ends.
struct Work {
    stop: StopFlag,
    pace: Pace,
    progress: Progress,
    start: Instant,
    /// Entries that there should be, where that is known.
    total: Option<u64>,
}

impl Work {
    fn new(rate: Option<u64>, stop: StopFlag) -> Work {
        Work {
            pace: Pace::new(rate, stop.clone()),
            stop,
            progress: Progress::new(),
            start: Instant::now(),
            total: None,
        }
    }

    /// Moves everything from one end to the other; `seen` is told of every batch in front of its first entry, and of
    /// each part of it when it was taken.
    fn pump(
        &mut self,
        input: &mut dyn Input,
        output: &mut dyn Output,
        mut seen: impl FnMut(&Batch, &[Entry]),
    ) -> Outcome<()> {
        let start = Instant::now();
        let mut done = 0u64;
        while let Some(batch) = input.next()? {
            seen(&batch, &[]);
            for part in batch.entries.chunks(self.pace.chunk()) {
                self.pace.wait(part.len())?;
                output.take(batch.db, part)?;
                seen(&batch, part);
                done += part.len() as u64;
                let total = self.total;
                self.progress
                    .show(|| line(done, total, start.elapsed().as_secs_f64()));
            }
            if self.stop.is_set() {
                return Err(Halt::Interrupted);
            }
        }
        self.progress.clear();
        Ok(())
    }
}

fn line(done: u64, total: Option<u64>, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(0.001);
    match total.filter(|total| *total > 0) {
        None => format!("{done} entries, {rate:.0}/s"),
        Some(total) => {
            let share = (done as f64 / total as f64).min(1.0) * 100.0;
            let left = total.saturating_sub(done) as f64 / rate.max(0.001);
            format!("{share:3.0} %, {done} entries, {rate:.0}/s, {left:.0} s left")
        }
    }
}

/// `repligo export`.
pub fn run_export(matches: &ArgMatches) -> ExitCode {
    run(options::Export::from_matches(matches), |options, stop| {
        let to_stdout = options.output == file::STANDARD;
        let summary = export::run(options, Work::new(options.common.rate, stop));
        report(&summary, options.common.json, to_stdout)
    })
}

/// `repligo import`.
pub fn run_import(matches: &ArgMatches) -> ExitCode {
    run(options::Import::from_matches(matches), |options, stop| {
        let summary = import::run(options, Work::new(options.common.rate, stop));
        report(&summary, options.common.json, false)
    })
}

/// Works on what was asked for, until done or a signal.
fn run<O>(options: Result<O, Failure>, work: impl FnOnce(&O, StopFlag) -> ExitCode) -> ExitCode {
    let options = match options {
        Ok(options) => options,
        Err(failure) => return super::fail(super::WRONG_USAGE, failure),
    };
    match StopFlag::install() {
        Ok(stop) => work(&options, stop),
        Err(error) => super::fail(super::FAILED, format_args!("signals: {error}")),
    }
}

/// Prints the summary; `is_taken`: standard output belongs to the data.
fn report(summary: &Summary, json: bool, is_taken: bool) -> ExitCode {
    let text = if json {
        summary.json() + "\n"
    } else {
        summary.words()
    };
    // Of what has done nothing there is nothing to tell but the reason.
    let is_silent = summary.error.is_some() && summary.entries == 0 && !json;
    match is_taken {
        _ if is_silent => {}
        true => eprint!("{text}"),
        false => super::print(text),
    }
    let interrupted = summary.error.as_deref() == Some("interrupted");
    if let Some(error) = &summary.error {
        let remedy = summary.remedy.as_deref().unwrap_or_default();
        let code = if interrupted { INTERRUPTED } else { super::FAILED };
        return super::fail(code, format_args!("{error}\n  do: {remedy}"));
    }
    let is_all = summary.other_types.is_empty() && summary.left_out.is_empty();
    match (summary.complete, is_all) {
        (false, _) => ExitCode::from(super::FAILED),
        (true, false) => ExitCode::from(INCOMPLETE),
        (true, true) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_line_says_what_is_left() {
        assert_eq!(line(500, Some(1000), 5.0), " 50 %, 500 entries, 100/s, 5 s left");
        assert_eq!(
            line(2000, Some(1000), 5.0),
            "100 %, 2000 entries, 400/s, 0 s left"
        );
        assert_eq!(line(0, None, 0.0), "0 entries, 0/s");
    }
}
