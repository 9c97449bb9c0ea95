//! `docs/parameters.md`, generated from the rows. The file is committed, and a test compares.

use std::fmt::Write;

use super::form::Form;
use super::rows::{Effect, ROWS, Row};

const HEAD: &str = "\
# Parameters of CONFIG

Generated from `crates/repligo/src/session/parameters/rows.rs`; do not edit. To regenerate:
`REPLIGO_WRITE_DOCS=1 cargo test -p repligo parameters_md`.

CONFIG GET and CONFIG SET know every parameter that redis-server 7.0.15 lists, with its ranges, so that tools and
frameworks that name one find it. The node's own settings are its flags and its file, see `docs/operations.md`; what CONFIG
SET changes holds for one node until it stops. Where a name says `replica`, the older name that Redis takes is taken too.

- **at once**: the node follows it from the reply on.
- **kept**: it is kept and shown, and nothing depends on it: encodings, forks, files and buffers that do not exist here.
- **given**: it can be set only to the value that it has; the error says what to do instead.
- **fixed**: it cannot be set while a node runs, as in Redis.

| parameter | takes | setting it |
|---|---|---|
";

/// The text of the file.
fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for row in ROWS {
        let alias = if row.alias.is_empty() {
            String::new()
        } else {
            format!(", `{}`", row.alias)
        };
        let _ = writeln!(
            out,
            "| `{}`{alias} | {} | {} |",
            row.name,
            takes(row.form),
            effect(row)
        );
    }
    out
}

fn takes(form: Form) -> String {
    match form {
        Form::Flag => "yes or no".to_owned(),
        Form::Integer(least, most) => format!("an integer{}", range(least, most)),
        Form::Memory(0, u64::MAX) => "bytes".to_owned(),
        Form::Memory(least, _) if least < 2 => format!("bytes from {least}"),
        Form::Memory(least, _) => format!("bytes from {} MiB", least >> 20),
        Form::MemoryOrPercent => "bytes or a percentage".to_owned(),
        Form::Choice(names) => names.join(", "),
        Form::Policy => "an eviction policy".to_owned(),
        Form::Save => "seconds and changes in turn".to_owned(),
        Form::OutputLimits => "class, hard, soft, seconds; only the class pubsub can change".to_owned(),
        Form::Events => "letters of classes of events".to_owned(),
        Form::Percentiles => "numbers from 0 to 100".to_owned(),
        Form::OomScores => "three integers from -2000 to 2000".to_owned(),
        Form::HostName => "a host's name".to_owned(),
        Form::Text => "text".to_owned(),
    }
}

fn range(least: i64, most: i64) -> String {
    match (least, most) {
        (i64::MIN..=-1_000_000, _) => String::new(),
        (_, i64::MAX | 2_147_483_647) => format!(" from {least}"),
        _ => format!(" from {least} to {most}"),
    }
}

fn effect(row: &Row) -> String {
    match row.effect {
        Effect::Live => "at once".to_owned(),
        Effect::Kept => "kept".to_owned(),
        Effect::Given(remedy) => format!("given: {remedy}"),
        Effect::Immutable | Effect::Protected => "fixed".to_owned(),
    }
}

#[test]
fn parameters_md_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/parameters.md");
    if std::env::var_os("REPLIGO_WRITE_DOCS").is_some() {
        std::fs::write(path, markdown()).expect("docs/ exists");
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == markdown(),
        "docs/parameters.md is not current; run: REPLIGO_WRITE_DOCS=1 cargo test -p repligo parameters_md"
    );
}
