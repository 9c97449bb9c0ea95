//! The lane for races between threads: `cargo xtask races`.
//!
//! The program of `crates/repligo/tests/races.rs`, which drives the rings between a host and its I/O threads, runs under
//! the thread sanitizer, and must be clean. Before that the sanitizer must report what it is there for: a program with a
//! known race, and the same program over a ring of which one ordering is too weak, for each ordering that carries data.
//! Everything is compiled file by file, since only programs without locks of the standard library can be judged: that
//! comes compiled without the sanitizer, which sees no order in what it does (decision 111).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::run::{Failure, Outcome, root};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// How the sanitizer begins a report.
const REPORT: &str = "WARNING: ThreadSanitizer: data race";
/// What the program is made of, from `crates/repligo` on.
const SOURCES: [&str; 3] = ["tests/races.rs", "src/net/io/ring.rs", "src/net/io/sync.rs"];
/// Runs of the program: each has other interleavings.
const RUNS: usize = 20;
/// Runs in which a ring that is too weak must be reported.
const WEAK_RUNS: usize = 10;
/// Orderings of the ring by which one side sees what the other has written.
const ORDERINGS: [(&str, &str); 4] = [
    ("slots.passed.0.store(self.passed, Ordering::Release)", "filled"),
    ("slots.taken.0.store(self.taken, Ordering::Release)", "emptied"),
    ("slots.passed.0.load(Ordering::Acquire)", "seen as filled"),
    ("slots.taken.0.load(Ordering::Acquire)", "seen as emptied"),
];

/// `cargo xtask races`.
pub fn races() -> Outcome {
    let folder = root().join("target/races");
    let canary = compile(
        &root().join("xtask/src/canaries/thread.rs"),
        &folder.join("canary"),
    )?;
    if !is_reported(&canary, 1)? {
        return Err(Failure::new(
            "the thread sanitizer reports no race, not even that of its canary",
        ));
    }
    println!("xtask: the thread sanitizer reports its canary");
    for (ordering, what) in ORDERINGS {
        let place = folder.join(what.replace(' ', "-"));
        let program = compile(&copy(&place, Some(ordering))?, &place.join("program"))?;
        if !is_reported(&program, WEAK_RUNS)? {
            return Err(Failure::new(format!(
                "a ring whose places are {what} without an ordering (`{ordering}`) is not reported"
            )));
        }
        println!("xtask: reported: places of the ring are {what} without an ordering");
    }
    let program = compile(&copy(&folder.join("as-it-is"), None)?, &folder.join("program"))?;
    for _ in 0..RUNS {
        let output = run(&program)?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || text.contains(REPORT) {
            return Err(Failure::new(format!("races: {}\n{text}", output.status)));
        }
    }
    println!("{RUNS} passed, 0 failed");
    Ok(())
}

/// The program's sources in a folder of their own, with one ordering relaxed; where the program's own is.
fn copy(folder: &Path, relaxed: Option<&str>) -> Outcome<PathBuf> {
    for source in SOURCES {
        let failed = |error: std::io::Error| Failure::new(format!("{source}: {error}"));
        let text = std::fs::read_to_string(root().join("crates/repligo").join(source)).map_err(failed)?;
        let text = match relaxed.filter(|_| source.ends_with("ring.rs")) {
            Some(ordering) => relax(&text, ordering)?,
            None => text,
        };
        let to = folder.join(source);
        std::fs::create_dir_all(to.parent().unwrap_or(folder)).map_err(failed)?;
        std::fs::write(to, text).map_err(failed)?;
    }
    Ok(folder.join(SOURCES[0]))
}

/// The text with an ordering that orders nothing.
fn relax(text: &str, ordering: &str) -> Outcome<String> {
    let weak = ordering
        .replace("Release", "Relaxed")
        .replace("Acquire", "Relaxed");
    match text.matches(ordering).count() {
        1 => Ok(text.replace(ordering, &weak)),
        count => Err(Failure::new(format!(
            "the ring has `{ordering}` {count} times, not once"
        ))),
    }
}

fn compile(source: &Path, program: &Path) -> Outcome<PathBuf> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", source.display()));
    std::fs::create_dir_all(program.parent().unwrap_or(program)).map_err(failed)?;
    let compiled = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "--target",
            TARGET,
            "-Copt-level=1",
            "-Cdebuginfo=1",
        ])
        .args([
            "-Zsanitizer=thread",
            "-Cunsafe-allow-abi-mismatch=sanitizer",
            "-o",
        ])
        .args([program, source])
        .env("RUSTC_BOOTSTRAP", "1")
        .status()
        .map_err(failed)?;
    match compiled.success() {
        true => Ok(program.to_path_buf()),
        false => Err(Failure::new(format!(
            "{} does not compile: does this toolchain have the thread sanitizer?",
            source.display()
        ))),
    }
}

fn run(program: &Path) -> Outcome<Output> {
    let output = Command::new(program)
        .env("TSAN_OPTIONS", "halt_on_error=1")
        .output();
    output.map_err(|error| Failure::new(format!("{}: {error}", program.display())))
}

/// Whether one of so many runs is reported.
fn is_reported(program: &Path, runs: usize) -> Outcome<bool> {
    for _ in 0..runs {
        let output = run(program)?;
        if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains(REPORT) {
            return Ok(true);
        }
    }
    Ok(false)
}
