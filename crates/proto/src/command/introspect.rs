//! The replies of `COMMAND` and its subcommands, and of the `HELP` subcommands, rendered from the table.
//!
//! Shapes are those of Redis 7.0 in both protocols. Names come in the order of the table, where Redis
//! has no order.

use super::keyword::KeyWord;
use super::lookup::{Unresolved, lookup, resolve};
use super::spec::{KeyUse, Spec, category, flag};
use super::table::COMMANDS;
use super::{CommandId, docs, syntax};
use crate::glob::{Glob, PATTERN_BYTES_MAX};
use crate::reply::ReplyWriter;
use crate::resp::ArgSlice;
use crate::words;

/// Answers `COMMAND`, any of its subcommands, or the `HELP` of any container; `spec` is what `request`
/// resolved to. Returns false, with nothing written, for every other command.
pub fn write_introspection(spec: &Spec, request: ArgSlice<'_>, writer: &mut ReplyWriter<'_>) -> bool {
    match spec.id {
        CommandId::Command => write_infos(COMMANDS.iter().map(Some), writer),
        CommandId::CommandCount => writer.integer(COMMANDS.len() as i64),
        CommandId::CommandInfo if request.len() == 2 => write_infos(COMMANDS.iter().map(Some), writer),
        CommandId::CommandInfo => write_infos(request.skip(2).iter().map(named), writer),
        CommandId::CommandDocs if request.len() == 2 => docs::write(COMMANDS.iter(), writer),
        CommandId::CommandDocs => {
            let found: Vec<_> = request.skip(2).iter().filter_map(named).collect();
            docs::write(found.into_iter(), writer);
        }
        CommandId::CommandList => write_list(request.skip(2), writer),
        CommandId::CommandGetKeys => write_keys(request.skip(2), false, writer),
        CommandId::CommandGetKeysAndFlags => write_keys(request.skip(2), true, writer),
        _ if spec.word() == "help" => write_help(spec, writer),
        _ => return false,
    }
    true
}

/// A command or subcommand by its full name, such as `get` or `client|id`, whatever its case.
pub fn named(name: &[u8]) -> Option<&'static Spec> {
    match memchr::memchr(b'|', name) {
        None => lookup(name),
        Some(bar) => lookup(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}

/// Every command, each container followed by its subcommands.
pub fn with_subcommands() -> impl Iterator<Item = &'static Spec> {
    COMMANDS
        .iter()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
}

fn write_infos<'a>(specs: impl ExactSizeIterator<Item = Option<&'a Spec>>, writer: &mut ReplyWriter<'_>) {
    writer.array(specs.len());
    for spec in specs {
        match spec {
            Some(spec) => write_info(spec, writer),
            None => writer.null(),
        }
    }
}

/// The ten elements of `COMMAND INFO`.
fn write_info(spec: &Spec, writer: &mut ReplyWriter<'_>) {
    writer.array(10);
    writer.bulk_str(spec.name);
    writer.integer(i64::from(spec.arity));
    let flags = flag::NAMES.iter().filter(|(bit, _)| spec.has(*bit));
    writer.set(flags.clone().count());
    flags.for_each(|(_, name)| writer.simple(name));
    writer.integer(i64::from(spec.keys.first));
    writer.integer(i64::from(spec.keys.last));
    writer.integer(i64::from(spec.keys.step));
    let categories = category::NAMES
        .iter()
        .filter(|(bit, _)| spec.categories() & bit != 0);
    writer.set(categories.clone().count());
    categories.for_each(|(_, name)| writer.simple(&format!("@{name}")));
    writer.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| writer.bulk_str(tip));
    writer.set(spec.key_uses.len());
    spec.key_uses
        .iter()
        .for_each(|key_use| write_key_use(key_use, writer));
    if spec.subcommands.is_empty() {
        // Redis has an empty set for none, and an array for some.
        return writer.set(0);
    }
    write_infos(spec.subcommands.iter().map(Some), writer);
}

fn write_key_use(key_use: &KeyUse, writer: &mut ReplyWriter<'_>) {
    let keys = key_use.keys;
    writer.map(if key_use.notes.is_empty() { 3 } else { 4 });
    if !key_use.notes.is_empty() {
        writer.bulk_str("notes");
        writer.bulk_str(key_use.notes);
    }
    writer.bulk_str("flags");
    write_words(key_use.flags, writer);
    if let Some(word) = key_use.word {
        return write_word(word, writer);
    }
    writer.bulk_str("begin_search");
    write_begin(key_use, writer);
    let is_counted = key_use.count_at != 0;
    writer.bulk_str("find_keys");
    writer.map(2);
    writer.bulk_str("type");
    writer.bulk_str(if is_counted { "keynum" } else { "range" });
    writer.bulk_str("spec");
    writer.map(3);
    if is_counted {
        return write_count(key_use, writer);
    }
    writer.bulk_str("lastkey");
    // Positive positions are relative to the first key here.
    writer.integer(i64::from(if keys.last < 0 {
        keys.last
    } else {
        keys.last - keys.first
    }));
    writer.bulk_str("keystep");
    writer.integer(i64::from(keys.step));
    writer.bulk_str("limit");
    // The keys are one of two halves.
    writer.integer(if key_use.keyword.is_empty() { 0 } else { 2 });
}

/// Where the search for the keys begins.
fn write_begin(key_use: &KeyUse, writer: &mut ReplyWriter<'_>) {
    let first = i64::from(key_use.keys.first);
    writer.map(2);
    writer.bulk_str("type");
    if !key_use.keyword.is_empty() {
        writer.bulk_str("keyword");
        writer.bulk_str("spec");
        writer.map(2);
        writer.bulk_str("keyword");
        writer.bulk_str(key_use.keyword);
        writer.bulk_str("startfrom");
        return writer.integer(first);
    }
    writer.bulk_str("index");
    writer.bulk_str("spec");
    writer.map(1);
    writer.bulk_str("index");
    let is_counted = key_use.count_at != 0;
    writer.integer(if is_counted {
        i64::from(key_use.count_at)
    } else {
        first
    });
}

/// How a key behind a word is found.
fn write_word(word: &KeyWord, writer: &mut ReplyWriter<'_>) {
    let part = |name: &str, kind: &str, count: usize, writer: &mut ReplyWriter<'_>| {
        writer.bulk_str(name);
        writer.map(2);
        writer.bulk_str("type");
        writer.bulk_str(kind);
        writer.bulk_str("spec");
        writer.map(count);
    };
    if word.is_unknown {
        part("begin_search", "unknown", 0, writer);
        return part("find_keys", "unknown", 0, writer);
    }
    part("begin_search", "keyword", 2, writer);
    writer.bulk_str("keyword");
    writer.bulk_str(&word.word.to_uppercase());
    writer.bulk_str("startfrom");
    writer.integer(i64::from(word.start));
    part("find_keys", "range", 3, writer);
    for (name, number) in [("lastkey", 0), ("keystep", 1), ("limit", 0)] {
        writer.bulk_str(name);
        writer.integer(number);
    }
}

/// Where the keys are behind their count, positions relative to it.
fn write_count(key_use: &KeyUse, writer: &mut ReplyWriter<'_>) {
    writer.bulk_str("keynumidx");
    writer.integer(0);
    writer.bulk_str("firstkey");
    writer.integer(i64::from(key_use.keys.first) - i64::from(key_use.count_at));
    writer.bulk_str("keystep");
    writer.integer(i64::from(key_use.keys.step));
}

fn write_words(list: &[&str], writer: &mut ReplyWriter<'_>) {
    writer.set(list.len());
    list.iter().for_each(|word| writer.simple(word));
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`; `rest` is what follows.
fn write_list(rest: ArgSlice<'_>, writer: &mut ReplyWriter<'_>) {
    let filter: Box<dyn Fn(&Spec) -> bool> = match rest.len() {
        0 => Box::new(|_| true),
        3 if rest.get(0).eq_ignore_ascii_case(b"filterby") => {
            let value = rest.get(2).to_vec();
            match rest.get(1).to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_| false),
                b"aclcat" => {
                    let bit = category::named(&value).unwrap_or(0);
                    Box::new(move |spec| spec.categories() & bit != 0)
                }
                b"pattern" if value.len() > PATTERN_BYTES_MAX => {
                    return writer.error(words::PATTERN_TOO_LONG);
                }
                b"pattern" => {
                    let pattern = Glob::new(&value.to_ascii_lowercase());
                    Box::new(move |spec| pattern.matches(spec.name.as_bytes()))
                }
                _ => return writer.error(words::SYNTAX),
            }
        }
        _ => return writer.error(words::SYNTAX),
    };
    let names: Vec<_> = with_subcommands()
        .filter(|spec| filter(spec))
        .map(|spec| spec.name)
        .collect();
    writer.array(names.len());
    names.iter().for_each(|name| writer.bulk_str(name));
}

/// `COMMAND GETKEYS` and `COMMAND GETKEYSANDFLAGS`.
fn write_keys(request: ArgSlice<'_>, and_flags: bool, writer: &mut ReplyWriter<'_>) {
    let spec = match resolve(request) {
        Ok(spec) => spec,
        Err(Unresolved::Arity(spec)) if spec.key_uses.is_empty() => {
            return writer.error(words::NO_KEY_ARGUMENTS);
        }
        Err(Unresolved::Arity(_)) => return writer.error(words::INVALID_ARGUMENT_COUNT),
        Err(_) => return writer.error(words::INVALID_COMMAND),
    };
    if !spec.key_uses.iter().any(KeyUse::is_key) {
        return writer.error(words::NO_KEY_ARGUMENTS);
    }
    let found: Vec<_> = (spec.key_uses.iter())
        .flat_map(|key_use| {
            let flags = key_use.flags_in(spec, request);
            key_use
                .positions(request.len(), |index| request.try_get(index))
                .map(move |position| (position, flags))
        })
        .collect();
    if found.is_empty() && !spec.has(flag::NO_MANDATORY_KEYS) {
        return writer.error(words::INVALID_ARGUMENTS);
    }
    writer.array(found.len());
    for (position, flags) in found {
        if and_flags {
            writer.array(2);
        }
        writer.bulk(request.get(position));
        if and_flags {
            write_words(flags, writer);
        }
    }
}

/// The `HELP` of a container: a line of syntax and a line of summary for each subcommand.
fn write_help(help: &Spec, writer: &mut ReplyWriter<'_>) {
    let container = help.name.split_once('|').map_or("", |(container, _)| container);
    let Some(spec) = lookup(container.as_bytes()) else {
        return writer.array(0);
    };
    writer.array(1 + spec.subcommands.len() * 2);
    let name = container.to_uppercase();
    writer.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for subcommand in spec.subcommands {
        let arguments = syntax::of(subcommand.arguments);
        writer.simple(format!("{} {arguments}", subcommand.word().to_uppercase()).trim_end());
        writer.simple(&format!("    {}", subcommand.summary));
    }
}

#[cfg(test)]
#[path = "introspect_tests.rs"]
mod tests;
