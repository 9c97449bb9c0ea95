//! `cargo xtask dist`: what is handed out. A stripped binary with completions, manual pages and a bill of
//! materials, as a tarball and as a Debian package, with checksums, in `target/dist`.
//!
//! The same sources and the same binary give the same bytes: owners, modes, order and times are fixed. It
//! publishes nothing.

mod archive;
mod debian;
mod materials;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Failure, Outcome, root, run, shown};

const USAGE: &str =
    "dist takes --out DIR (default: target/dist) and --binary FILE (default: a release build)";

/// What is made, from what, and where.
pub struct Plan {
    /// Where the results go.
    out: PathBuf,
    /// Folder for what they are made of.
    staging: PathBuf,
    /// The stripped program.
    binary: PathBuf,
    version: String,
    /// Target triple, as rustc says it.
    target: String,
    /// Seconds since 1970 that every file gets: the time of the commit.
    epoch: String,
}

impl Plan {
    /// `repligo-VERSION-TARGET`.
    fn name(&self) -> String {
        format!("repligo-{}-{}", self.version, self.target)
    }

    /// The folder with completions, by shell.
    fn completions(&self) -> PathBuf {
        self.staging.join("completions")
    }

    /// The folder with manual pages.
    fn pages(&self) -> PathBuf {
        self.staging.join("man")
    }

    /// The bill of materials.
    fn materials(&self) -> PathBuf {
        self.staging.join("repligo.cdx.json")
    }
}

/// `cargo xtask dist [--out DIR] [--binary FILE]`.
pub fn dist(arguments: &[String]) -> Outcome {
    let (out, binary) = options(arguments)?;
    let binary = match binary {
        Some(binary) => binary,
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let build = ["build", "--release", "--locked", "--package", "repligo"];
            run(Command::new(cargo).args(build))?;
            root().join("target/release/repligo")
        }
    };
    let plan = prepare(out, &binary)?;
    for shell in ["bash", "zsh", "fish"] {
        let script = said(Command::new(&plan.binary).args(["completions", shell]))?;
        write(&plan.completions().join(format!("repligo.{shell}")), &script)?;
    }
    run(Command::new(&plan.binary)
        .arg("man")
        .arg("--dir")
        .arg(plan.pages()))?;
    write(&plan.materials(), &materials::bill(&plan)?)?;
    let made = [
        archive::tarball(&plan)?,
        debian::package(&plan)?,
        own_copy(&plan)?,
    ];
    sum_up(&plan, &made)?;
    fs::remove_dir_all(&plan.staging).map_err(|error| failed(&plan.staging, error))?;
    for path in made {
        println!("xtask: made {}", path.display());
    }
    Ok(())
}

fn options(arguments: &[String]) -> Outcome<(PathBuf, Option<PathBuf>)> {
    let mut out = root().join("target/dist");
    let mut binary = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--out", Some(path)) => out = absolute(path)?,
            ("--binary", Some(path)) => binary = Some(absolute(path)?),
            _ => {
                return Err(Failure {
                    message: USAGE.to_owned(),
                    code: 2,
                });
            }
        }
    }
    Ok((out, binary))
}

fn absolute(path: &str) -> Outcome<PathBuf> {
    std::path::absolute(path).map_err(|error| failed(Path::new(path), error))
}

/// Makes the folders and strips a copy of the binary.
fn prepare(out: PathBuf, binary: &Path) -> Outcome<Plan> {
    let staging = out.join("staging");
    let _ = fs::remove_dir_all(&staging);
    fs::create_dir_all(&staging).map_err(|error| failed(&staging, error))?;
    let stripped = staging.join("repligo");
    fs::copy(binary, &stripped).map_err(|error| failed(binary, error))?;
    run(Command::new("strip").arg(&stripped))?;
    let version = said(Command::new(&stripped).args(["version", "--json"]))?;
    let version: serde_json::Value =
        serde_json::from_str(&version).map_err(|error| Failure::new(format!("version --json: {error}")))?;
    let rustc = said(Command::new("rustc").arg("-vV"))?;
    let target = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(Plan {
        out,
        staging,
        binary: stripped,
        version: version["version"].as_str().unwrap_or_default().to_owned(),
        target: target.unwrap_or("unknown").to_owned(),
        epoch: epoch()?,
    })
}

/// What builders agreed on for this, or the time of the commit.
fn epoch() -> Outcome<String> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(given);
    }
    said(Command::new("git").args(["log", "-1", "--format=%ct"])).map(|text| text.trim().to_owned())
}

/// The bill of materials stands beside the packages too, for whoever does not unpack them.
fn own_copy(plan: &Plan) -> Outcome<PathBuf> {
    let path = plan.out.join(format!("{}.cdx.json", plan.name()));
    copy(&plan.materials(), &path)?;
    Ok(path)
}

/// `SHA256SUMS`, in the form that `sha256sum --check` reads.
fn sum_up(plan: &Plan, made: &[PathBuf]) -> Outcome {
    let names = made.iter().filter_map(|path| path.file_name());
    let sums = said(
        Command::new("sha256sum")
            .arg("--")
            .args(names)
            .current_dir(&plan.out),
    )?;
    write(&plan.out.join("SHA256SUMS"), &sums)
}

/// Standard output of a command that must succeed.
fn said(command: &mut Command) -> Outcome<String> {
    let line = shown(command);
    if command.get_current_dir().is_none() {
        command.current_dir(root());
    }
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("cannot start `{line}`: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "`{line}` failed ({}): {said}",
            output.status
        )));
    }
    String::from_utf8(output.stdout).map_err(|error| Failure::new(format!("`{line}`: {error}")))
}

fn failed(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

/// Writes a file and the folders above it, readable for everybody.
fn write(path: &Path, text: &str) -> Outcome {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    }
    fs::write(path, text).map_err(|error| failed(path, error))
}

/// Copies a file and makes the folders above its new place.
fn copy(from: &Path, to: &Path) -> Outcome {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    }
    fs::copy(from, to).map(drop).map_err(|error| failed(from, error))
}

/// Copies the files of a folder, not its subfolders, in the order of their names.
fn copy_files(from: &Path, to: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(from).map_err(|error| failed(from, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    for file in &files {
        copy(file, &to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(files)
}
