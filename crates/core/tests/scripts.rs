//! Golden scripts: one theorem per file in `scripts/`, as commands and the trace that they must give.
//!
//! Real replicas are driven by hand: time passes, messages travel, disks sync and the origin answers
//! only as the script says, so that each script shows one interleaving that a reader can follow. Not a
//! search for unknown interleavings (that is the simulator's business). `scripts/README.txt` has the
//! commands.
//!
//! `UPDATE=1` writes the traces anew; read the difference before it is committed. `SCRIPT=part-of-name`
//! runs only some.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "scripts are files, and the rules are about the core itself"
)]

mod scripts_runner;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scripts_runner::{Settings, difference, replay, theorem};

/// Explains the commands; not a script.
const README: &str = "README.txt";
/// Lines of a script with its trace.
const LINES_MAX: usize = 60;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Name without extension, path and text of every script that is asked for, in order.
fn scripts() -> Vec<(String, PathBuf, String)> {
    let wanted = std::env::var("SCRIPT").unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the scripts are there") {
        let path = entry.expect("a folder can be listed").path();
        assert_eq!(
            path.extension().and_then(|end| end.to_str()),
            Some("txt"),
            "{}: only scripts belong here",
            path.display()
        );
        let name = path
            .file_stem()
            .expect("has a name")
            .to_string_lossy()
            .into_owned();
        if path.file_name().is_some_and(|file| file != README) && name.contains(&wanted) {
            let text = std::fs::read_to_string(&path).expect("a script is text");
            found.push((name, path, text));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no script is named like SCRIPT={wanted}");
    found
}

#[test]
fn every_script_gives_its_trace() {
    let update = std::env::var("UPDATE").is_ok_and(|value| value == "1");
    let mut failures = String::new();
    let mut theorems = BTreeSet::new();
    for (name, path, text) in scripts() {
        if let Some(wrong) = unreadable(&text, &mut theorems) {
            failures += &format!("\n{name}: {wrong}\n");
        }
        let replayed = match replay(&text, Settings::default()) {
            Ok(replayed) => replayed,
            Err(wrong) => {
                failures += &format!("\n{name}: {wrong}\n");
                continue;
            }
        };
        if replayed == text {
            continue;
        }
        if update {
            std::fs::write(&path, replayed).expect("a script can be written");
            continue;
        }
        failures += &format!(
            "\n{name} gives another trace (- expected, + got):\n{}\
             reproduce: SCRIPT={name} cargo test -p repligo-core --test scripts\n\
             accept:    UPDATE=1 SCRIPT={name} cargo test -p repligo-core --test scripts\n",
            difference(&text, &replayed)
        );
    }
    assert!(failures.is_empty(), "{failures}");
}

/// What makes a script readable in a minute; a sentence about it if it is not.
fn unreadable(text: &str, theorems: &mut BTreeSet<String>) -> Option<&'static str> {
    let theorem = theorem(text);
    if !theorem.ends_with('.') || !theorem.starts_with(char::is_uppercase) {
        return Some("its first line is not a sentence that states the theorem");
    }
    if !theorems.insert(theorem.to_owned()) {
        return Some("another script has the same theorem");
    }
    (text.lines().count() > LINES_MAX).then_some("it is too long to be read in a minute")
}

/// The scripts are worth something only if a wrong core gives another trace.
#[cfg(feature = "bugs")]
#[test]
fn every_planted_bug_changes_a_trace() {
    use repligo_core::bugs::Bug;
    use repligo_core::origin::plan::Bugs;

    let mut bugs: Vec<(&str, Settings)> = Vec::new();
    for (name, bug) in Bug::ALL {
        let planted = Some(bug);
        let of_origin = Bugs::default();
        bugs.push((name, Settings { planted, of_origin }));
    }
    for (name, flush_without_compare_and_set) in [
        ("flush-without-compare-and-set", true),
        ("reject-in-the-log-only", false),
    ] {
        let of_origin = Bugs {
            flush_without_compare_and_set,
            reject_in_the_log_only: !flush_without_compare_and_set,
            ..Bugs::default()
        };
        let planted = None;
        bugs.push((name, Settings { planted, of_origin }));
    }
    let all = scripts();
    let mut missed = Vec::new();
    for (bug, settings) in bugs {
        // An assertion of the replica itself is as good as a difference.
        let noticed = |text: &str| {
            let replayed = std::panic::catch_unwind(|| replay(text, settings));
            !matches!(replayed, Ok(Ok(same)) if same == text)
        };
        let by = all.iter().filter(|(_, _, text)| noticed(text));
        let by: Vec<&str> = by.map(|(name, _, _)| name.as_str()).collect();
        println!("{bug}: {}", by.join(" "));
        if by.is_empty() {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "no script notices {missed:?}");
}
