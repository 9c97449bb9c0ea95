//! `docs/commands.md`, generated from the table. The file is committed, and a test compares.

use std::fmt::Write;

use super::spec::{Group, Spec};
use super::table::COMMANDS;
use super::{syntax, with_subcommands};

const HEAD: &str = "\
# Commands

Generated from the command table (`crates/proto/src/command/table`); do not edit. To regenerate:
`REPLIGO_WRITE_DOCS=1 cargo test -p repligo-proto commands_md`.

`since` is the version of Redis that had the command first, but for Repligo's own commands. A command
that is not in this table is answered with `ERR unknown command`; if Redis has it, the error says so.
";

const GROUPS: [(Group, &str); 17] = [
    (Group::Connection, "Connection"),
    (Group::Generic, "Keys"),
    (Group::String, "Strings"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Geo, "Places"),
    (Group::Stream, "Streams"),
    (Group::PubSub, "Publish and subscribe"),
    (Group::Bitmap, "Bitmaps"),
    (Group::HyperLogLog, "HyperLogLog"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts"),
    (Group::Server, "Server and introspection"),
    (Group::Cluster, "Read routing"),
    (Group::Repligo, "Own commands"),
];

/// The compatibility table: every command with its syntax, running time and origin.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    let total = with_subcommands().count();
    let _ = write!(
        out,
        "\n{} commands, {total} with their subcommands.\n",
        COMMANDS.len()
    );
    for (group, title) in GROUPS {
        if !with_subcommands().any(|spec| spec.group == group) {
            continue;
        }
        let _ = write!(
            out,
            "\n## {title}\n\n| command | since | time | what it does |\n|---|---|---|---|\n"
        );
        // A container is described by its subcommands, unless it does something on its own.
        let rows = with_subcommands()
            .filter(|spec| spec.group == group && (spec.subcommands.is_empty() || spec.arity == -1));
        for spec in rows {
            row(spec, &mut out);
        }
    }
    out
}

fn row(spec: &Spec, out: &mut String) {
    let name = spec.name.to_uppercase().replace('|', " ");
    let usage = format!("{name} {}", syntax::of(spec.arguments));
    let note = match spec.deprecated {
        Some(deprecated) => format!(" (deprecated: use {})", deprecated.replaced_by),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "| `{}` | {} | {} | {}{} |",
        usage.trim_end().replace('|', "\\|"),
        spec.since,
        short(spec.complexity),
        spec.summary.trim_end_matches('.'),
        note.replace('!', ""),
    );
}

/// The first sentence of a running time; the others explain it.
fn short(complexity: &str) -> &str {
    complexity
        .split_once(". ")
        .map_or(complexity, |(first, _)| first)
        .trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test compares with a file")]
    fn commands_md_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
        if std::env::var_os("REPLIGO_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).expect("docs/ exists");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == markdown(),
            "docs/commands.md is not current; run: REPLIGO_WRITE_DOCS=1 cargo test -p repligo-proto commands_md"
        );
    }

    #[test]
    fn every_command_is_in_it_once() {
        let text = markdown();
        for spec in with_subcommands().filter(|spec| spec.subcommands.is_empty()) {
            let name = spec.name.to_uppercase().replace('|', " ");
            let usage = format!("{name} {}", syntax::of(spec.arguments))
                .trim_end()
                .replace('|', "\\|");
            assert_eq!(text.matches(&format!("| `{usage}` |")).count(), 1, "{name}");
        }
    }
}
