//! Tests of real processes, in pytest. Most of their time is waiting: for elections, deadlines, restarts. Areas
//! that judge what is right run beside each other in two lanes; areas that judge how long something takes, or
//! how much memory it needs, run alone afterwards.
//!
//! An area is a folder of `tests/` with tests in it. One that no lane names runs alone, so that none is forgotten.

use std::process::Command;

use crate::install::python;
use crate::run::{Counts, Failure, Outcome, Report, root, run_reported};
use crate::unsteady::second_try;

/// Areas that run beside each other, in two lanes of about the same length. What uses the ports that documents
/// name is in one lane.
const LANES: [&[&str]; 2] = [
    &[
        "documents",
        "distribution",
        "demo",
        "transfer",
        "frameworks",
        "bad_input",
    ],
    &[
        "differential",
        "clients",
        "security",
        "membership",
        "feed",
        "blocking",
        "origin",
        "pubsub",
        "chaos",
        "backup",
    ],
];

/// The two lanes, then the rest, then a second try for what failed.
pub fn test(counts: &mut Counts) -> Outcome {
    let rest = rest()?;
    let mut reports: Vec<Report> = std::thread::scope(|scope| {
        let lanes = LANES.map(|areas| scope.spawn(move || run_reported(&mut pytest(&folders(areas)))));
        lanes
            .map(|lane| lane.join().expect("a lane only runs a program"))
            .into()
    });
    reports.push(run_reported(&mut pytest(&folders(&rest))));
    let report = second_try(together(reports), pytest);
    counts.add(report.counts);
    report.outcome
}

/// Several reports as one.
fn together(reports: Vec<Report>) -> Report {
    let mut counts = Counts::default();
    let (mut failed_names, mut messages) = (Vec::new(), Vec::new());
    let unexplained = |report: &Report| report.outcome.is_err() && report.failed_names.is_empty();
    let all_explained = !reports.iter().any(unexplained);
    for report in reports {
        counts.add(report.counts);
        failed_names.extend(report.failed_names);
        messages.extend(report.outcome.err().map(|failure| failure.message));
    }
    if !all_explained {
        failed_names.clear();
    }
    let outcome = if messages.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(messages.join("\n")))
    };
    Report {
        counts,
        failed_names,
        outcome,
    }
}

/// Areas that no lane names. Fails if a lane names one that does not exist.
fn rest() -> Outcome<Vec<String>> {
    let unreadable = |error: std::io::Error| Failure::new(format!("tests/ cannot be read: {error}"));
    let mut areas = Vec::new();
    for folder in std::fs::read_dir(root().join("tests")).map_err(unreadable)? {
        let folder = folder.map_err(unreadable)?;
        let Ok(files) = std::fs::read_dir(folder.path()) else {
            continue;
        };
        let has_tests = files.flatten().any(|file| {
            let name = file.file_name();
            name.to_string_lossy().starts_with("test_")
        });
        if has_tests {
            areas.push(folder.file_name().to_string_lossy().into_owned());
        }
    }
    areas.sort();
    for area in LANES.iter().copied().flatten() {
        if !areas.iter().any(|known| known == area) {
            return Err(Failure::new(format!("no area tests/{area}, which a lane names")));
        }
    }
    areas.retain(|area| !LANES.iter().any(|lane| lane.contains(&area.as_str())));
    Ok(areas)
}

/// The folders of areas.
fn folders(areas: &[impl AsRef<str>]) -> Vec<String> {
    let folder = |area: &_| format!("tests/{}", AsRef::<str>::as_ref(area));
    areas.iter().map(folder).collect()
}

/// Runs folders, or single tests by their names.
fn pytest(tests: &[String]) -> Command {
    let mut command = Command::new(python());
    command.args(["-m", "pytest", "-q", "-rfEs", "--tb=short", "--durations=15"]);
    command.args(tests);
    command.env("REPLIGO_BINARY", root().join("target/release/repligo"));
    command
}
