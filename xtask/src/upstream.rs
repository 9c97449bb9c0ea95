//! `cargo xtask upstream --suite DIR`: the test suite of Redis against one node, scored. It is fetched by
//! whoever runs it; `tests/upstream/suite.py` says what counts.

use std::process::Command;

use crate::install::{install, python};
use crate::run::{Outcome, root, run};

/// Passes its arguments on.
pub fn command(arguments: &[String]) -> Outcome {
    install()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["build", "--release", "--package", "repligo"]))?;
    let mut suite = Command::new(python());
    suite
        .args(["-m", "upstream.suite"])
        .args(arguments)
        .env("PYTHONPATH", root().join("tests"));
    run(&mut suite)
}
