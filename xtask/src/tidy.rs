//! What no compiler checks: layering (with `floors`), file sizes, headers, words, and that paths named in documents
//! exist. Every rule says why it is there and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::floors::Imports;
use crate::run::{Failure, Outcome, root};

/// Lines that a source file may have; longer ones hold more than one thing.
const LINES_MAX: usize = 500;
/// Lines that a file of tests may have.
const TEST_LINES_MAX: usize = 800;

/// What each crate may depend on besides crates of its own field (see ARCHITECTURE.md).
const LAYERS: [(&str, &[&str]); 6] = [
    (
        "crates/proto",
        &[
            "repligo-core",
            "repligo-session",
            "repligo-sim",
            "repligo",
            "tokio",
            "raft",
        ],
    ),
    (
        "crates/script",
        &[
            "repligo-core",
            "repligo-session",
            "repligo-sim",
            "repligo",
            "tokio",
            "raft",
        ],
    ),
    (
        "crates/core",
        &[
            "repligo-session",
            "repligo-sim",
            "repligo",
            "tokio",
            "rusqlite",
            "libc",
        ],
    ),
    (
        "crates/session",
        &["repligo-sim", "repligo", "tokio", "raft", "rusqlite", "libc"],
    ),
    ("crates/sim", &["repligo", "tokio", "raft"]),
    ("crates/repligo", &["repligo-sim", "raft"]),
];

/// The only files that may name the consensus library.
const CONSENSUS_FILE: &str = "crates/core/src/consensus.rs";
/// Its part that reads and writes the library\'s messages.
const CONSENSUS_ENCODING_FILE: &str = "crates/core/src/consensus/encoding.rs";
/// Its part that judges them.
const CONSENSUS_JUDGE_FILE: &str = "crates/core/src/consensus/judge.rs";
/// Its part that changes the members.
const CONSENSUS_MEMBERS_FILE: &str = "crates/core/src/consensus/members.rs";

/// Unfinished work, and debugging that was left behind.
const BANNED: [&str; 6] = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "TODO", "#[ignore]"];

/// Files that may use Redis' words for leader and follower: one in proto, the README's one sentence, the
/// generated tables of commands and parameters, and tests and scripts that talk to Redis itself.
const REDIS_ROLE_FILES: [&str; 7] = [
    "crates/proto/src/words.rs",
    "README.md",
    "docs/commands.md",
    "docs/parameters.md",
    "tests/",
    "xtask/src/tidy.rs",
    "xtask/src/bench/servers/redis.rs",
];

/// The only files that may hold `unsafe` code, which clippy wants justified block by block: calls of the
/// operating system, buffers that a read has filled, prefetch hints, a counting allocator of a test.
const UNSAFE_FILES: &[&str] = &[
    "crates/core/examples/table_limits.rs",
    "crates/core/src/table/prefetch.rs",
    "crates/script/src/",
    "crates/repligo/src/cli/bench/",
    "crates/repligo/src/cli/demo/terminal.rs",
    "crates/repligo/src/cli/process.rs",
    "crates/repligo/src/disk/storage.rs",
    "crates/repligo/src/net/io/ring.rs",
    "crates/repligo/src/net/options.rs",
    "crates/repligo/src/net/socket.rs",
    "crates/repligo/src/net/unix.rs",
    "crates/repligo/src/telemetry/clock.rs",
    "crates/repligo/src/node/listeners.rs",
    "crates/repligo/src/telemetry/process.rs",
    "crates/repligo/src/origin/catalogue.rs",
    "crates/repligo/src/worker/alarm.rs",
    "crates/repligo/src/worker/connection.rs",
    "crates/repligo/src/worker/heap.rs",
    "crates/repligo/tests/clients.rs",
    "xtask/src/bench/servers/constant.rs",
    "xtask/src/canaries/",
    "xtask/src/soak/control.rs",
];

/// Runs all rules and reports all violations together.
pub fn check() -> Outcome {
    let files = sources();
    let mut wrong = Vec::new();
    let mut imports = Imports::default();
    for path in &files {
        let text =
            fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let name = relative(path);
        if name.ends_with(".rs") {
            check_source(&name, &text, &mut wrong);
            imports.add(&name, &text);
        }
        if name.ends_with(".md") {
            check_document(&name, &text, &mut wrong);
        }
        if name == "docs/decisions.md" {
            check_index(&name, &text, &mut wrong);
        }
        if name == "docs/consistency.md" {
            check_named_tests(&name, &text, &mut wrong);
        }
        check_words(&name, &text, &mut wrong);
    }
    check_layers(&mut wrong)?;
    imports.judge(&mut wrong);
    println!("{}", imports.picture());
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "tidy found {} violations:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    )))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// Files that git tracks or would track, of the kinds that the rules are about.
fn sources() -> Vec<PathBuf> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = std::process::Command::new("git")
        .args(list)
        .current_dir(root())
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let wanted = |name: &&str| {
        [".rs", ".md", ".py", ".toml", ".txt"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    text.lines()
        .filter(wanted)
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect()
}

fn check_source(name: &str, text: &str, wrong: &mut Vec<String>) {
    if !text.trim_start().starts_with("//!") {
        wrong.push(format!(
            "{name}: begins without a //! header: say what it is, what it is not, its invariants"
        ));
    }
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
    // The wall around the library cannot be split: nothing else may name it.
    let limit = if is_test || name == CONSENSUS_FILE {
        TEST_LINES_MAX
    } else {
        LINES_MAX
    };
    let lines = text.lines().count();
    if lines > limit {
        wrong.push(format!(
            "{name}: {lines} lines, more than {limit}: split it by what it knows"
        ));
    }
    let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl"]
        .iter()
        .any(|form| text.contains(form));
    if is_unsafe && name != "xtask/src/tidy.rs" && !UNSAFE_FILES.iter().any(|file| name.starts_with(file)) {
        wrong.push(format!(
            "{name}: unsafe code; measure that it matters, justify it, and add the file to UNSAFE_FILES"
        ));
    }
    let names_library = text.contains("use raft") || text.contains("raft::eraftpb");
    let is_walled_in = [
        CONSENSUS_FILE,
        CONSENSUS_ENCODING_FILE,
        CONSENSUS_JUDGE_FILE,
        CONSENSUS_MEMBERS_FILE,
    ]
    .contains(&name);
    if !is_walled_in && !name.starts_with("xtask/") && names_library {
        wrong.push(format!(
            "{name}: names the consensus library; only {CONSENSUS_FILE} may"
        ));
    }
}

fn check_words(name: &str, text: &str, wrong: &mut Vec<String>) {
    if name.starts_with("xtask/src/tidy.rs") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        if let Some(word) = BANNED
            .iter()
            .find(|word| name.ends_with(".rs") && line.contains(*word))
        {
            wrong.push(format!("{place}: {word}: finish it, or open an issue"));
        }
        let lower = line.to_ascii_lowercase();
        let roles = lower.contains("master") || lower.contains("slave");
        if roles && !REDIS_ROLE_FILES.iter().any(|allowed| name.starts_with(allowed)) {
            wrong.push(format!(
                "{place}: Redis' words for leader and follower belong into crates/proto/src/words.rs"
            ));
        }
    }
}

/// Paths in backticks that look like files of this repository must exist.
fn check_document(name: &str, text: &str, wrong: &mut Vec<String>) {
    const ROOTS: [&str; 7] = [
        "crates/",
        "docs/",
        "packaging/",
        "tests/",
        "xtask/",
        ".ci/",
        ".cargo/",
    ];
    for (number, line) in text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let path = quoted.split([' ', ':', '#']).next().unwrap_or_default();
            let named =
                ROOTS.iter().any(|start| path.starts_with(start)) && !path.contains(['*', '<', '{', 'N']);
            if named && !root().join(path).exists() {
                wrong.push(format!("{name}:{}: {path} does not exist", number + 1));
            }
        }
    }
}

/// Every numbered heading has a row in the index, with the same title.
fn check_index(name: &str, text: &str, wrong: &mut Vec<String>) {
    let headings = text
        .lines()
        .filter_map(|line| line.strip_prefix("## ")?.split_once(". "));
    for (number, title) in headings {
        if !text.contains(&format!("\n| {number} | {title} | ")) {
            wrong.push(format!("{name}: decision {number} has no row in the index"));
        }
    }
}

/// A test that a document names behind its file, as in "`FILE`: `test`", must be in that file.
fn check_named_tests(name: &str, text: &str, wrong: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let parts: Vec<&str> = line.split('`').collect();
        for window in parts.windows(4).skip(1).step_by(2) {
            let [file, between, test, _] = window else {
                continue;
            };
            if *between != ": " {
                continue;
            }
            let found = fs::read_to_string(root().join(file))
                .is_ok_and(|source| source.contains(&format!(" {test}(")));
            if !found {
                wrong.push(format!("{name}:{}: {file} has no {test}", number + 1));
            }
        }
    }
}

fn check_layers(wrong: &mut Vec<String>) -> Outcome {
    for (folder, forbidden) in LAYERS {
        let path = root().join(folder).join("Cargo.toml");
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let names = text.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names.filter(|name| forbidden.contains(name)) {
            wrong.push(format!(
                "{folder}/Cargo.toml: must not depend on {name} (ARCHITECTURE.md, crates)"
            ));
        }
    }
    for folder in ["crates/proto", "crates/script", "crates/core", "crates/session"] {
        if !root().join(folder).join("clippy.toml").exists() {
            wrong.push(format!(
                "{folder}/clippy.toml is missing: it keeps clocks, files and threads out"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        if let Err(failure) = check() {
            panic!("{}", failure.message);
        }
    }

    #[test]
    fn rules_bite() {
        let mut wrong = Vec::new();
        check_source("crates/core/src/x.rs", "use raft::Config;\n", &mut wrong);
        check_source("crates/core/src/y.rs", "//! Y.\nunsafe { f() }\n", &mut wrong);
        check_words("crates/core/src/x.rs", "// TODO: the slave\n", &mut wrong);
        check_document("docs/x.md", "see `docs/none.md`\n", &mut wrong);
        let named = "`xtask/src/tidy.rs`: `rules_bite`, `xtask/src/tidy.rs`: `rules_sleep`\n";
        check_named_tests("docs/x.md", named, &mut wrong);
        check_index(
            "docs/x.md",
            "\n| 1 | One | stands |\n## 1. One\n## 2. Two\n",
            &mut wrong,
        );
        assert_eq!(wrong.len(), 8, "{wrong:?}");
    }
}
