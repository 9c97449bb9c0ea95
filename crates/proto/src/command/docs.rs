//! The reply of `COMMAND DOCS`, rendered from the table. There is no element `history`: what changed between
//! versions of Redis is documented there, and what changed here in CHANGELOG.md.

use super::spec::{Argument, ArgumentKind, Spec};
use crate::reply::ReplyWriter;

/// Answers with the documentation of these commands.
pub(super) fn write<'a>(specs: impl ExactSizeIterator<Item = &'a Spec>, writer: &mut ReplyWriter<'_>) {
    writer.map(specs.len());
    for spec in specs {
        writer.bulk_str(spec.name);
        write_one(spec, writer);
    }
}

fn write_one(spec: &Spec, writer: &mut ReplyWriter<'_>) {
    let optional = [!spec.arguments.is_empty(), !spec.subcommands.is_empty()];
    let count = optional.iter().filter(|is_there| **is_there).count();
    writer.map(4 + count + if spec.deprecated.is_some() { 3 } else { 0 });
    pair("summary", spec.summary, writer);
    pair("since", spec.since, writer);
    pair("group", spec.group.name(), writer);
    pair("complexity", spec.complexity, writer);
    if let Some(deprecated) = spec.deprecated {
        writer.bulk_str("doc_flags");
        writer.set(1);
        writer.simple("deprecated");
        pair("deprecated_since", deprecated.since, writer);
        pair("replaced_by", deprecated.replaced_by, writer);
    }
    if !spec.arguments.is_empty() {
        write_arguments(spec.arguments, writer);
    }
    if !spec.subcommands.is_empty() {
        writer.bulk_str("subcommands");
        write(spec.subcommands.iter(), writer);
    }
}

/// The element `arguments` of a command or of an argument.
fn write_arguments(arguments: &[Argument], writer: &mut ReplyWriter<'_>) {
    writer.bulk_str("arguments");
    writer.array(arguments.len());
    for argument in arguments {
        write_argument(argument, writer);
    }
}

fn write_argument(argument: &Argument, writer: &mut ReplyWriter<'_>) {
    let flags: Vec<_> = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ]
    .iter()
    .filter_map(|(is_set, name)| is_set.then_some(*name))
    .collect();
    let optional = [
        matches!(
            argument.kind,
            ArgumentKind::Key(_) | ArgumentKind::PatternOfKeys(_)
        ),
        !argument.token.is_empty(),
        !argument.since.is_empty(),
        !flags.is_empty(),
        !argument.arguments.is_empty(),
    ];
    writer.map(2 + optional.iter().filter(|is_there| **is_there).count());
    pair("name", argument.name, writer);
    pair("type", kind_name(argument.kind), writer);
    if let ArgumentKind::Key(index) | ArgumentKind::PatternOfKeys(index) = argument.kind {
        writer.bulk_str("key_spec_index");
        writer.integer(i64::from(index));
    }
    if !argument.token.is_empty() {
        pair("token", argument.token, writer);
    }
    if !argument.since.is_empty() {
        pair("since", argument.since, writer);
    }
    if !flags.is_empty() {
        writer.bulk_str("flags");
        writer.set(flags.len());
        flags.iter().for_each(|name| writer.simple(name));
    }
    if !argument.arguments.is_empty() {
        write_arguments(argument.arguments, writer);
    }
}

fn kind_name(kind: ArgumentKind) -> &'static str {
    match kind {
        ArgumentKind::String => "string",
        ArgumentKind::Integer => "integer",
        ArgumentKind::Double => "double",
        ArgumentKind::Key(_) => "key",
        ArgumentKind::Pattern | ArgumentKind::PatternOfKeys(_) => "pattern",
        ArgumentKind::UnixTime => "unix-time",
        ArgumentKind::PureToken => "pure-token",
        ArgumentKind::OneOf => "oneof",
        ArgumentKind::Block => "block",
    }
}

fn pair(name: &str, value: &str, writer: &mut ReplyWriter<'_>) {
    writer.bulk_str(name);
    writer.bulk_str(value);
}
