//! `cargo xtask chaos`: real processes under real faults, by seed, judged by the simulator's checkers. What happens
//! is in `tests/chaos`; this builds what it needs and starts it.

use std::path::PathBuf;
use std::process::Command;

use crate::install::{install, python};
use crate::run::{Failure, Outcome, root, run};

/// Takes `--binary release|dev|FILE` (release unless told) and passes the other arguments on.
pub fn command(arguments: &[String]) -> Outcome {
    let mut rest = arguments.to_vec();
    let mut binary = "release".to_owned();
    if let Some(place) = rest.iter().position(|word| word == "--binary") {
        if place + 1 == rest.len() {
            return Err(Failure {
                message: "--binary wants release, dev or a file".to_owned(),
                code: 2,
            });
        }
        binary = rest.remove(place + 1);
        rest.remove(place);
    }
    install()?;
    let is_release = binary != "dev";
    let is_file = !["release", "dev"].contains(&binary.as_str());
    if !is_file {
        build("repligo", is_release)?;
    }
    build("repligo-sim", is_release)?;
    let folder = root().join(if is_release {
        "target/release"
    } else {
        "target/debug"
    });
    let program = match is_file {
        true => std::path::absolute(&binary).unwrap_or_else(|_| PathBuf::from(&binary)),
        false => folder.join("repligo"),
    };
    let mut chaos = Command::new(python());
    chaos
        .args(["-m", "chaos"])
        .args(rest)
        .env("PYTHONPATH", root().join("tests"))
        .env("REPLIGO_BINARY", program)
        .env("REPLIGO_JUDGE", folder.join("repligo-sim"));
    run(&mut chaos)
}

fn build(package: &str, is_release: bool) -> Outcome {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", package]);
    if is_release {
        cargo.arg("--release");
    }
    if package == "repligo-sim" {
        cargo.args(["--features", "bugs"]);
    }
    run(&mut cargo)
}
