//! Cargo.lock against the RustSec advisories that lie beside the project, offline; and the crate count.
//!
//! Without advisories nothing was audited. `cargo xtask audit` fails then; a run of all checks says so and counts it
//! as skipped. Crates that nobody maintains are named, and fail nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{Counts, Failure, Outcome, root};

/// Advisories that do not concern us, each with the reason.
const ALLOWED: [(&str, &str); 1] = [(
    "RUSTSEC-2024-0437",
    "protobuf's parser: never called, consensus/encoding.rs has its own codec (architecture: raft 0.7 links it)",
)];

/// Crates that the binary may consist of.
const CRATES_MAX: usize = 180;

/// Where the advisories are looked for unless a file is named.
const ADVISORIES: &str = "../shared/data/advisories.json";

/// `cargo xtask audit [--advisories FILE]`.
pub fn command(arguments: &[String]) -> Outcome {
    let file = match arguments {
        [] => None,
        [flag, file] if flag == "--advisories" => Some(Path::new(file)),
        _ => {
            return Err(Failure {
                message: "audit takes nothing, or --advisories FILE".to_owned(),
                code: 2,
            });
        }
    };
    let mut counts = Counts::default();
    let outcome = check(file, &mut counts);
    println!("audit: {} passed, {} skipped", counts.passed, counts.skipped);
    outcome?;
    whole(&counts)
}

/// Somebody asked for an audit: one that looked for nothing is none.
fn whole(counts: &Counts) -> Outcome {
    match counts.skipped {
        0 => Ok(()),
        _ => Err(Failure::new(
            "audit: there are no advisories to look into; name a file: cargo xtask audit --advisories FILE",
        )),
    }
}

/// Checks advisories and the crate count. `file` was named by somebody, so it must be there.
pub fn check(file: Option<&Path>, counts: &mut Counts) -> Outcome {
    match advisories(file)? {
        Some(advisories) => {
            let lock = fs::read_to_string(root().join("Cargo.lock"))
                .map_err(|error| Failure::new(format!("Cargo.lock: {error}")))?;
            check_advisories(&advisories, &lock)?;
            for note in unmaintained(&advisories, &lock) {
                println!("xtask: audit: unmaintained: {note}");
            }
            println!(
                "xtask: audit: {} advisories, none concerns us",
                list(&advisories).len()
            );
            counts.passed += 1;
        }
        None => {
            counts.skipped += 1;
            println!(
                "xtask: AUDIT SKIPPED: no advisory file {ADVISORIES} beside this checkout, so no known vulnerability \
                 was looked for; name one: cargo xtask audit --advisories FILE"
            );
        }
    }
    check_crate_count()?;
    counts.passed += 1;
    Ok(())
}

/// The advisories, or `None` where there is no file and none was named.
fn advisories(file: Option<&Path>) -> Outcome<Option<Value>> {
    let path = file.map_or_else(|| root().join(ADVISORIES), Path::to_path_buf);
    let refused = |why: &dyn std::fmt::Display| Failure::new(format!("advisories {}: {why}", path.display()));
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => return Ok(None),
        Err(error) => return Err(refused(&error)),
    };
    let advisories: Value = serde_json::from_str(&text).map_err(|error| refused(&error))?;
    if list(&advisories).is_empty() {
        return Err(refused(&"the file holds no list of advisories"));
    }
    Ok(Some(advisories))
}

fn check_advisories(advisories: &Value, lock: &str) -> Outcome {
    let mut found = Vec::new();
    for (name, version) in locked(lock) {
        for advisory in list(advisories) {
            let id = advisory["id"].as_str().unwrap_or_default();
            // "Unmaintained" is a note to the team, not a fault of the code.
            let note = matches!(
                advisory["informational"].as_str(),
                Some("unmaintained" | "notice")
            );
            let concerns =
                !note && advisory["package"].as_str() == Some(&name) && !is_safe(advisory, version);
            if concerns && !ALLOWED.iter().any(|(allowed, _)| *allowed == id) {
                found.push(format!("{name} {}.{}.{}: {id}", version.0, version.1, version.2));
            }
        }
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("advisories: {}", found.join("; "))))
    }
}

/// Crates of the lock file that nobody maintains any more.
fn unmaintained(advisories: &Value, lock: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, version) in locked(lock) {
        let of_crate = list(advisories).iter().filter(|advisory| {
            advisory["package"].as_str() == Some(&name)
                && advisory["informational"].as_str() == Some("unmaintained")
                && !is_safe(advisory, version)
        });
        let ids: Vec<&str> = of_crate.filter_map(|advisory| advisory["id"].as_str()).collect();
        if !ids.is_empty() {
            found.push(format!(
                "{name} {}.{}.{} ({})",
                version.0,
                version.1,
                version.2,
                ids.join(", ")
            ));
        }
    }
    found
}

fn list(advisories: &Value) -> &[Value] {
    advisories.as_array().map_or(&[], Vec::as_slice)
}

type Version = (u64, u64, u64);

fn locked(lock: &str) -> Vec<(String, Version)> {
    let mut packages = Vec::new();
    let mut name = String::new();
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = value.trim_matches('"').to_owned();
        } else if let Some(value) = line.strip_prefix("version = ") {
            packages.push((name.clone(), parse(value.trim_matches('"'))));
        }
    }
    packages
}

fn parse(text: &str) -> Version {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|number| number.trim().parse().unwrap_or(0));
    (
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
    )
}

fn is_safe(advisory: &Value, version: Version) -> bool {
    ["patched", "unaffected"].iter().any(|kind| {
        let ranges = advisory[*kind].as_array().map_or(&[][..], Vec::as_slice);
        ranges
            .iter()
            .filter_map(Value::as_str)
            .any(|range| matches(range, version))
    })
}

/// A comma-separated list of comparisons, all of which must hold.
fn matches(range: &str, version: Version) -> bool {
    range.split(',').map(str::trim).all(|part| {
        let (operator, bound) = part.split_at(part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len()));
        let bound = parse(bound);
        match operator.trim() {
            ">=" => version >= bound,
            ">" => version > bound,
            "<" => version < bound,
            "<=" => version <= bound,
            "^" => version >= bound && compatible(version, bound),
            "~" => version >= bound && (version.0, version.1) == (bound.0, bound.1),
            _ => version == bound,
        }
    })
}

fn compatible(version: Version, bound: Version) -> bool {
    if bound.0 > 0 {
        version.0 == bound.0
    } else {
        (version.0, version.1) == (bound.0, bound.1)
    }
}

fn check_crate_count() -> Outcome {
    let arguments = [
        "tree",
        "-p",
        "repligo",
        "--target",
        "x86_64-unknown-linux-gnu",
        "-e",
        "normal,build",
        "--prefix",
        "none",
    ];
    let output = Command::new("cargo").args(arguments).current_dir(root()).output();
    let output = output.map_err(|error| Failure::new(format!("cargo tree: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut crates: Vec<&str> = text
        .lines()
        .map(|line| line.split(" (").next().unwrap_or(line))
        .collect();
    crates.sort_unstable();
    crates.dedup();
    println!(
        "xtask: the binary consists of {} crates (limit {CRATES_MAX})",
        crates.len()
    );
    if crates.len() <= CRATES_MAX {
        Ok(())
    } else {
        Err(Failure::new("too many crates"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_that_is_missing_or_empty_is_a_failure() {
        let folder = std::env::temp_dir().join(format!("repligo-audit-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let missing = folder.join("nowhere.json");
        let failure = advisories(Some(&missing)).expect_err("it was named");
        assert!(failure.message.contains("nowhere.json"), "{}", failure.message);
        let empty = folder.join("empty.json");
        fs::write(&empty, "[]").expect("written");
        assert!(advisories(Some(&empty)).is_err());
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_vulnerable_version_is_found_and_a_patched_one_is_not() {
        let advisories = serde_json::json!([
            { "id": "RUSTSEC-0000-0001", "package": "one", "patched": [">=1.2.0"], "unaffected": [] },
            { "id": "RUSTSEC-2024-0437", "package": "protobuf", "patched": [">=3.7.2"], "unaffected": [] },
        ]);
        let lock = |version: &str| {
            format!("name = \"one\"\nversion = \"{version}\"\nname = \"protobuf\"\nversion = \"2.28.0\"\n")
        };
        assert!(check_advisories(&advisories, &lock("1.2.0")).is_ok());
        let failure = check_advisories(&advisories, &lock("1.1.9")).expect_err("vulnerable");
        assert!(
            failure.message.contains("one 1.1.9: RUSTSEC-0000-0001"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_audit_without_advisories_fails_and_one_with_them_names_what_nobody_maintains() {
        let skipped = Counts {
            skipped: 1,
            ..Counts::default()
        };
        assert!(whole(&skipped).is_err() && whole(&Counts::default()).is_ok());
        let advisories = serde_json::json!([
            { "id": "RUSTSEC-0000-0002", "package": "old", "informational": "unmaintained", "patched": [] },
            { "id": "RUSTSEC-0000-0003", "package": "young", "informational": "unmaintained", "patched": [] },
        ]);
        let lock = "name = \"old\"\nversion = \"0.2.1\"\nname = \"other\"\nversion = \"1.0.0\"\n";
        assert_eq!(unmaintained(&advisories, lock), ["old 0.2.1 (RUSTSEC-0000-0002)"]);
        assert!(check_advisories(&advisories, lock).is_ok());
    }

    #[test]
    fn version_ranges() {
        let check = |range: &str, version: &str, expect: bool| {
            assert_eq!(matches(range, parse(version)), expect, "{range} {version}");
        };
        check(">=3.7.2", "2.28.0", false);
        check(">=3.7.2", "3.7.2", true);
        check(">=1.0.0, <1.2.0", "1.1.9", true);
        check("^0.4.1", "0.4.9", true);
        check("^0.4.1", "0.5.0", false);
        check("<0.3.0", "0.2.9", true);
    }
}
