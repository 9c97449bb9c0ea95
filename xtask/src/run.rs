//! Running other programs: output passes through and is counted, failures say how to reproduce them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command of xtask ended badly.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong, and what to do.
    pub message: String,
    /// Exit code.
    pub code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }
}

/// Result of a step.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Tests that a program reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped, each with a reason in the output.
    pub skipped: u64,
    /// Passed at the second try, see `unsteady.rs`; among the passed ones too.
    pub unsteady: u64,
}

/// What a run of tests came to.
#[derive(Debug)]
pub struct Report {
    /// How many tests ended how.
    pub counts: Counts,
    /// Names of those that failed, as the program that ran them takes them; each once. None if more is wrong than
    /// what they say: a program that ended in the middle of its tests, or did not compile.
    pub failed_names: Vec<String>,
    /// Whether all is well.
    pub outcome: Outcome,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.unsteady += other.unsteady;
    }
}

/// Root of the repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// A command line as a person would type it.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs a command from the root and lets its output through.
pub fn run(command: &mut Command) -> Outcome {
    command.current_dir(root()).stdin(Stdio::null());
    let line = shown(command);
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("cannot start `{line}`: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{line}` failed ({status})")))
    }
}

/// Runs a test command from the root, lets its output through, and counts what it reports.
pub fn run_counted(command: &mut Command) -> (Counts, Outcome) {
    let report = run_reported(command);
    (report.counts, report.outcome)
}

/// As [`run_counted`], with the names of what failed.
pub fn run_reported(command: &mut Command) -> Report {
    command
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let line = shown(command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Report {
                counts: Counts::default(),
                failed_names: Vec::new(),
                outcome: Err(Failure::new(format!("cannot start `{line}`: {error}"))),
            };
        }
    };
    let mut counts = Counts::default();
    let mut failures = Failures::default();
    let stdout = child.stdout.take().expect("stdout is piped");
    for text in BufReader::new(stdout).lines().map_while(Result::ok) {
        counts.add(counted(&text));
        println!("{text}");
        failures.see(text);
    }
    let told = failures.told(&format!("`{line}` failed"));
    let (code, outcome) = match child.wait() {
        Ok(status) if status.success() => (status.code(), Ok(())),
        Ok(status) => (status.code(), Err(Failure::new(format!("{told} ({status})")))),
        Err(error) => (
            None,
            Err(Failure::new(format!("cannot wait for `{line}`: {error}"))),
        ),
    };
    Report {
        counts,
        failed_names: failures.all_names(code),
        outcome,
    }
}

/// Lines of a run that are said again behind its failure: whoever keeps the end of a long output alone still
/// learns which tests failed, and how.
const SAID_AGAIN: usize = 120;
/// Exit codes of pytest and of cargo test when tests failed and nothing else is wrong.
const TESTS_FAILED: [i32; 2] = [1, 101];

/// What a test program said about its failures: the sections of pytest and of cargo test that tell them.
#[derive(Default)]
struct Failures {
    inside: bool,
    lines: std::collections::VecDeque<String>,
    names: Vec<String>,
    /// Programs of cargo test that began and have not told how their tests ended.
    unfinished: i64,
}

impl Failures {
    fn see(&mut self, line: String) {
        if line.starts_with("running ") && line.trim_end().ends_with(" tests") || line == "running 1 test" {
            self.unfinished += 1;
        } else if line.starts_with("test result:") {
            self.unfinished -= 1;
        }
        let heading = line.trim().trim_matches('=').trim();
        match heading {
            "FAILURES" | "ERRORS" | "short test summary info" | "failures:" => self.inside = true,
            _ if heading.starts_with("slowest ") || heading.starts_with("test result:") => {
                self.inside = false
            }
            _ => {}
        }
        if self.inside {
            let name = failed_name(&line).filter(|name| !self.names.iter().any(|known| known == name));
            self.names.extend(name.map(str::to_owned));
            if self.lines.len() == SAID_AGAIN {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    /// The names, if they are all that is wrong with a run that ended with this code.
    fn all_names(self, code: Option<i32>) -> Vec<String> {
        let ended = code.is_some_and(|code| TESTS_FAILED.contains(&code));
        if ended && self.unfinished == 0 {
            self.names
        } else {
            Vec::new()
        }
    }

    /// The failure's message with what was said, if anything was.
    fn told(&self, message: &str) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text + message
    }
}

/// The test whose failure a line tells: `---- NAME stdout ----` of cargo test, `FAILED NAME - why` of pytest.
fn failed_name(line: &str) -> Option<&str> {
    let heading = line
        .strip_prefix("---- ")
        .and_then(|rest| rest.strip_suffix(" stdout ----"));
    heading.or_else(|| {
        let rest = line
            .strip_prefix("FAILED ")
            .or_else(|| line.strip_prefix("ERROR "))?;
        let name = rest.split(" - ").next()?.trim();
        name.contains("::").then_some(name)
    })
}

/// What one line of output says about tests: the closing lines of cargo test, pytest, and the plain
/// `N passed, N failed` form.
fn counted(line: &str) -> Counts {
    let plain = line.trim().trim_matches('=').trim();
    let closing = plain.starts_with("test result:")
        || plain
            .split(' ')
            .next()
            .is_some_and(|word| word.parse::<u64>().is_ok())
        || plain.starts_with("sim:");
    if !closing || !(plain.contains(" passed") || plain.contains(" failed")) {
        return Counts::default();
    }
    let before = |label: &str| -> u64 {
        let Some(at) = plain.find(label) else { return 0 };
        let number = plain[..at]
            .trim_end()
            .rsplit(|c: char| !c.is_ascii_digit())
            .next();
        number.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    let skipped = before(" skipped").max(before(" ignored"));
    Counts {
        passed: before(" passed"),
        failed: before(" failed"),
        skipped,
        unsteady: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_the_program_said_about_it() {
        let mut failures = Failures::default();
        let output = "..F.\n=== FAILURES ===\n__ test_a __\nassert 1 == 2\n== slowest 15 durations ==\n1 s\n\
                      == short test summary info ==\nFAILED tests/a.py::test_a\n";
        for line in output.lines() {
            failures.see(line.to_owned());
        }
        let told = failures.told("`pytest` failed");
        assert!(
            told.contains("assert 1 == 2") && told.contains("FAILED tests/a.py::test_a"),
            "{told}"
        );
        assert!(
            !told.contains("1 s\n") && told.ends_with("\n`pytest` failed"),
            "{told}"
        );
        assert_eq!(failures.names, ["tests/a.py::test_a"]);
        for line in 0..SAID_AGAIN {
            failures.see(line.to_string());
        }
        assert_eq!(
            failures.told("").lines().count(),
            SAID_AGAIN,
            "the last lines alone"
        );
    }

    #[test]
    fn a_program_that_ended_in_the_middle_leaves_no_names() {
        let names = |lines: &[&str], code| {
            let mut failures = Failures::default();
            for line in lines {
                failures.see((*line).to_owned());
            }
            failures.all_names(code)
        };
        let failed = [
            "running 2 tests",
            "failures:",
            "---- a stdout ----",
            "test result: FAILED. 1 passed; 1 failed",
        ];
        assert_eq!(names(&failed, Some(101)), ["a"]);
        let aborted = [&failed[..], &["running 3 tests"]].concat();
        assert!(names(&aborted, Some(101)).is_empty());
        assert!(names(&failed, Some(2)).is_empty());
        assert!(names(&failed, None).is_empty());
    }

    #[test]
    fn failed_tests_are_known_by_name() {
        assert_eq!(failed_name("---- a::b stdout ----"), Some("a::b"));
        assert_eq!(
            failed_name("FAILED tests/a.py::test_a[x y] - assert 1 == 2"),
            Some("tests/a.py::test_a[x y]")
        );
        assert_eq!(
            failed_name("ERROR tests/a.py::test_b - no port"),
            Some("tests/a.py::test_b")
        );
        assert_eq!(failed_name("ERROR repligo: something that a node said"), None);
        assert_eq!(failed_name("test a ... FAILED"), None);
    }

    #[test]
    fn closing_lines_are_counted() {
        let check = |line: &str, passed, failed, skipped| {
            assert_eq!(
                counted(line),
                Counts {
                    passed,
                    failed,
                    skipped,
                    unsteady: 0
                },
                "{line}"
            );
        };
        check(
            "test result: ok. 15 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out",
            15,
            2,
            1,
        );
        check(
            "================== 3 failed, 12 passed, 4 skipped in 1.23s ==================",
            12,
            3,
            4,
        );
        check("12 passed in 0.10s", 12, 0, 0);
        check("2000 passed, 0 failed", 2000, 0, 0);
        check("sim: 2000 passed, 0 failed", 2000, 0, 0);
        check("test some_passed ... ok", 0, 0, 0);
        check("I have passed 3 exams", 0, 0, 0);
    }
}
