//! The sanitizer lane: `cargo xtask asan`.
//!
//! Tests run again in a build that watches memory, in a target directory of its own. Threads have a lane of another
//! kind, see `races.rs`: the test harness's own channel would be reported as a race. Sanitizers are not stable in this compiler, so the lanes switch its gate open for
//! themselves. Each lane first runs a program with a known bug: a sanitizer that does not report it proves
//! nothing, and the lane fails.

use std::process::Command;

use crate::run::{Counts, Failure, Outcome, root, run_counted};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// One sanitizer and what it watches.
struct Lane {
    /// As the compiler names it.
    sanitizer: &'static str,
    /// What a report of the canary's bug says.
    reports: &'static str,
    /// Arguments of `cargo test`.
    tests: &'static [&'static str],
    /// Where the sanitizer's options are read from, and the options.
    options: (&'static str, &'static str),
}

/// Everything of core and codec: the table and the keyspace among them, and the decoder of requests.
const ADDRESS: Lane = Lane {
    sanitizer: "address",
    reports: "AddressSanitizer: heap-buffer-overflow",
    tests: &["--package", "repligo-proto", "--package", "repligo-core", "--lib"],
    options: ("ASAN_OPTIONS", "detect_leaks=1:halt_on_error=1"),
};

/// `cargo xtask asan`.
pub fn address() -> Outcome {
    ADDRESS.run()
}

impl Lane {
    fn run(&self) -> Outcome {
        self.catches_its_canary()?;
        let target = root().join("target").join(self.sanitizer);
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--quiet", "--target", TARGET, "--target-dir"]);
        command.arg(target).args(self.tests);
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", self.flags().join(" "));
        let (variable, options) = self.options;
        let (counts, outcome) = run_counted(command.env(variable, options));
        outcome?;
        let Counts {
            passed,
            failed,
            skipped,
            ..
        } = counts;
        println!(
            "{} lane: {passed} passed, {failed} failed, {skipped} skipped",
            self.sanitizer
        );
        if passed == 0 {
            return Err(Failure::new("no test ran"));
        }
        Ok(())
    }

    fn flags(&self) -> [String; 2] {
        [
            format!("-Zsanitizer={}", self.sanitizer),
            "-Cunsafe-allow-abi-mismatch=sanitizer".to_owned(),
        ]
    }

    /// The sanitizer reports a bug that is known to be there.
    fn catches_its_canary(&self) -> Outcome {
        let failed = |error: std::io::Error| Failure::new(format!("{} canary: {error}", self.sanitizer));
        let program = root().join(format!("target/canary-{}", self.sanitizer));
        let source = root().join(format!("xtask/src/canaries/{}.rs", self.sanitizer));
        let compiled = Command::new("rustc")
            .args(["--edition", "2024", "--target", TARGET, "-o"])
            .args([&program, &source])
            .args(self.flags())
            .env("RUSTC_BOOTSTRAP", "1")
            .status()
            .map_err(failed)?;
        if !compiled.success() {
            return Err(Failure::new(format!(
                "the canary of the {} lane does not compile: does this toolchain have the sanitizer?",
                self.sanitizer
            )));
        }
        let output = Command::new(&program).output().map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !text.contains(self.reports) {
            return Err(Failure::new(format!(
                "the {} sanitizer did not report the bug of its canary ({}), so it would report no other",
                self.sanitizer, output.status
            )));
        }
        println!("xtask: the {} sanitizer reports its canary", self.sanitizer);
        Ok(())
    }
}
