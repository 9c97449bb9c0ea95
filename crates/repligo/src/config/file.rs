//! The configuration file: TOML with the keys of [`super::keys`], `[origin.NAME]` tables and
//! `[[keyspace]]` entries. It checks form and names; what origins and keyspaces mean is checked in
//! [`super::origin`].
//!
//! Both `peer-listen` and `peer_listen` are understood, because the flags have hyphens and TOML people
//! write underscores; the same key in both spellings is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem, Problems};
use super::keys::{self, Key};
use super::redis;
use crate::suggest;

/// A file that was read and whose keys are all known.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    /// As given.
    pub path: PathBuf,
    /// Plain keys: (key, text of the value, line).
    pub values: Vec<(&'static Key, String, usize)>,
    /// `[origin.NAME]`, by name.
    pub origins: Vec<Section>,
    /// `[[keyspace]]`, in file order: their position is their number on every node.
    pub keyspaces: Vec<Section>,
}

/// One `[origin.NAME]` table or `[[keyspace]]` entry, still as text.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// NAME of `[origin.NAME]`; empty for a keyspace.
    pub name: String,
    /// Line of its first key, or of its header.
    pub line: usize,
    /// Scalars: key → (text, line).
    pub scalars: BTreeMap<String, (String, usize)>,
    /// Inline tables: key → (pairs in file order, line).
    pub tables: BTreeMap<String, (Vec<(String, String)>, usize)>,
}

/// Keys of `[origin.NAME]`.
const ORIGIN_KEYS: &[&str] = &["url", "pool", "statement_timeout"];
/// Keys of `[[keyspace]]` with one value.
const KEYSPACE_SCALARS: &[&str] = &[
    "name",
    "pattern",
    "db",
    "origin",
    "mode",
    "table",
    "value",
    "value_column",
    "lanes",
    "cache_ttl",
    "refresh_after",
    "negative_ttl",
    "serve_stale_if_error",
    "on_origin_down",
    "on_expire",
    "expires_at",
    "flush_deadline",
];
/// Keys of `[[keyspace]]` that are tables of text.
const KEYSPACE_TABLES: &[&str] = &["key", "fields"];

/// Reads and parses a file.
///
/// # Errors
/// The file cannot be read, is not TOML, or holds unknown keys.
pub fn read(path: &Path) -> Result<ConfigFile, Problems> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Problem::new(
            path.display(),
            format!("the configuration file cannot be read: {error}"),
            "give the path of a readable TOML file; a node takes it with --config",
        )
    })?;
    parse(path, &text)
}

/// Parses the text of a file; `path` is only for messages and relative paths.
///
/// # Errors
/// The text is not TOML, or holds unknown keys.
pub fn parse(path: &Path, text: &str) -> Result<ConfigFile, Problems> {
    let table = DeTable::parse(text).map_err(|error| {
        if let Some((line, remedy)) = redis::redis_conf(text) {
            let path = path.to_path_buf();
            return Problem::new(
                Origin::File { path, line },
                "this is a redis.conf, and the configuration file of Repligo is TOML",
                remedy,
            );
        }
        let line = error
            .span()
            .map_or(1, |span| line_of(&line_ends(text), span.start));
        let place = Origin::File {
            path: path.to_path_buf(),
            line,
        };
        let message = error.message().trim();
        let twice = error.span().filter(|_| message == "duplicate key");
        let key = twice.and_then(|span| text.get(span));
        let which = key.map_or_else(String::new, |key| format!(" `{}`", key.trim()));
        Problem::new(
            place,
            format!("not valid TOML: {message}{which}"),
            "correct the line; settings look like: listen = \"127.0.0.1:6379\"",
        )
    })?;
    let mut reader = Reader {
        path,
        line_ends: line_ends(text),
        problems: Vec::new(),
        file: ConfigFile {
            path: path.to_path_buf(),
            ..Default::default()
        },
    };
    for (name, value) in in_file_order(table.get_ref()) {
        reader.top_level(name, value);
    }
    if reader.problems.is_empty() {
        Ok(reader.file)
    } else {
        Err(Problems(reader.problems))
    }
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

/// The parser's map is sorted by name; column order and keyspace order must be the file's.
fn in_file_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<Entry<'a, 'i>> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// Where the lines of a text end.
fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

/// The line, from 1, in which the byte at `offset` stands.
fn line_of(line_ends: &[usize], offset: usize) -> usize {
    line_ends.partition_point(|end| *end < offset) + 1
}

/// Text of a scalar; `None` for tables, arrays and dates.
fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_string()),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

struct Reader<'a> {
    path: &'a Path,
    /// Kept, since every key of the file asks for its line.
    line_ends: Vec<usize>,
    problems: Vec<Problem>,
    file: ConfigFile,
}

impl Reader<'_> {
    fn line(&self, span: std::ops::Range<usize>) -> usize {
        line_of(&self.line_ends, span.start)
    }

    fn problem(&mut self, line: usize, what: String, remedy: impl Into<String>) {
        let place = Origin::File {
            path: self.path.to_path_buf(),
            line,
        };
        self.problems.push(Problem::new(place, what, remedy));
    }

    fn top_level(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let line = self.line(name.span());
        let spelling = name.get_ref().replace('_', "-");
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("origin", DeValue::Table(origins)) => {
                for (name, section) in in_file_order(origins) {
                    self.origin(name, section);
                }
            }
            ("origin", _) => {
                self.problem(
                    line,
                    "`origin` is not a table".into(),
                    "write [origin.main] with url = \"sqlite:app.db\"",
                );
            }
            ("keyspace", DeValue::Array(keyspaces)) => {
                for section in keyspaces.iter() {
                    self.keyspace(section);
                }
            }
            ("keyspace", _) => {
                self.problem(
                    line,
                    "`keyspace` is not a list of tables".into(),
                    "write [[keyspace]], in double brackets",
                );
            }
            ("config", _) => {
                self.problem(
                    line,
                    "a file cannot name another file".into(),
                    "remove the key `config`",
                );
            }
            _ => match keys::find(&spelling) {
                Some(key) => self.plain(key, line, value.get_ref()),
                None => {
                    let known = keys::KEYS
                        .iter()
                        .map(|key| key.name)
                        .chain(["origin", "keyspace"]);
                    let remedy = match redis::instead(&spelling) {
                        Some(instead) => instead.remedy(redis::Form::File),
                        None => suggest::remedy(
                            &spelling,
                            known,
                            "remove it; `repligo config show` lists all keys",
                        ),
                    };
                    self.problem(line, format!("unknown key `{}`", name.get_ref()), remedy);
                }
            },
        }
    }

    fn plain(&mut self, key: &'static Key, line: usize, value: &DeValue<'_>) {
        if self
            .file
            .values
            .iter()
            .any(|(other, _, _)| other.name == key.name)
        {
            self.problem(
                line,
                format!("`{}` stands twice, with hyphens and with underscores", key.name),
                "keep one of the two",
            );
            return;
        }
        match scalar_text(value) {
            Some(text) => self.file.values.push((key, text, line)),
            None => {
                let what = format!(
                    "`{}` holds {}, not one value",
                    key.name,
                    article(value.type_str())
                );
                self.problem(line, what, format!("write {} = \"{}\"", key.name, key.value_name));
            }
        }
    }

    fn origin(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, section: &Spanned<DeValue<'_>>) {
        let line = self.line(name.span());
        let DeValue::Table(table) = section.get_ref() else {
            let what = format!("`origin.{}` is not a table", name.get_ref());
            self.problem(line, what, format!("write [origin.{}]", name.get_ref()));
            return;
        };
        let title = format!("[origin.{}]", name.get_ref());
        let mut parsed = self.section(&title, line, table, (ORIGIN_KEYS, &[]));
        parsed.name = name.get_ref().to_string();
        self.file.origins.push(parsed);
    }

    fn keyspace(&mut self, section: &Spanned<DeValue<'_>>) {
        let line = self.line(section.span());
        let DeValue::Table(table) = section.get_ref() else {
            self.problem(
                line,
                "`keyspace` holds something that is not a table".into(),
                "write [[keyspace]] entries",
            );
            return;
        };
        let parsed = self.section("[[keyspace]]", line, table, (KEYSPACE_SCALARS, KEYSPACE_TABLES));
        self.file.keyspaces.push(parsed);
    }

    fn section(
        &mut self,
        title: &str,
        line: usize,
        table: &DeTable<'_>,
        (scalars, tables): (&[&'static str], &[&'static str]),
    ) -> Section {
        let mut section = Section {
            line,
            ..Default::default()
        };
        for (name, value) in in_file_order(table) {
            let line = self.line(name.span());
            let name = name.get_ref().as_ref();
            if scalars.contains(&name) {
                match scalar_text(value.get_ref()) {
                    Some(text) => drop(section.scalars.insert(name.to_string(), (text, line))),
                    None => {
                        let what = format!(
                            "`{name}` in {title} holds {}",
                            article(value.get_ref().type_str())
                        );
                        self.problem(line, what, "write one value");
                    }
                }
            } else if tables.contains(&name) {
                let pairs = self.text_table(title, name, value.get_ref(), line);
                section.tables.insert(name.to_string(), (pairs, line));
            } else {
                let known = scalars.iter().chain(tables.iter()).copied();
                let remedy = suggest::remedy(name, known.clone(), "");
                let remedy = if keys::find(&name.replace('_', "-")).is_some() {
                    "it is a key of the node: move it above the first [ ] of the file".to_owned()
                } else if remedy.is_empty() {
                    format!("remove it; known are {}", known.collect::<Vec<_>>().join(", "))
                } else {
                    remedy
                };
                self.problem(line, format!("unknown key `{name}` in {title}"), remedy);
            }
        }
        section
    }

    /// A table of text such as `key = { id = "id" }`, in file order.
    fn text_table(
        &mut self,
        title: &str,
        name: &str,
        value: &DeValue<'_>,
        line: usize,
    ) -> Vec<(String, String)> {
        let DeValue::Table(table) = value else {
            let what = format!("`{name}` in {title} holds {}", article(value.type_str()));
            self.problem(line, what, format!("write {name} = {{ name = \"column\" }}"));
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (left, right) in in_file_order(table) {
            match right.get_ref().as_str() {
                Some(text) => pairs.push((left.get_ref().to_string(), text.to_string())),
                None => {
                    let line = self.line(right.span());
                    let what = format!("`{name}.{}` in {title} is not text", left.get_ref());
                    self.problem(line, what, "write the name of a column in quotes");
                }
            }
        }
        pairs
    }
}

fn article(type_name: &str) -> String {
    let an = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if an { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_refused_say_where_and_what_to_do() {
        let check = |text: &str, parts: &[&str]| {
            let problems = parse(Path::new("r.toml"), text).expect_err(text).to_string();
            for part in parts {
                assert!(
                    problems.contains(part),
                    "{text}\ngave\n{problems}\nwithout `{part}`"
                );
            }
        };
        check("listen = ", &["not valid TOML", "r.toml:1"]);
        check(
            "name = \"a\"\nname = \"b\"",
            &["not valid TOML: duplicate key `name`", "r.toml:2"],
        );
        check(
            "\n\nlisen = \"x\"",
            &["unknown key `lisen`", "r.toml:3", "did you mean `listen`?"],
        );
        check(
            "port = 6380",
            &["unknown key `port`", "write listen = \"IP:PORT\""],
        );
        check(
            "# comment\nport 6380\n",
            &["redis.conf", "TOML", "r.toml:2", "for `port` write listen"],
        );
        check("frobnicate = 1", &["unknown key `frobnicate`", "remove it"]);
        check("listen = [\"a\"]", &["an array", "listen = \"IP:PORT\""]);
        check("config = \"x\"", &["cannot name another file"]);
        check(
            "peer-listen = \"a\"\npeer_listen = \"b\"",
            &["stands twice", "r.toml:2"],
        );
        check("origin = 1", &["[origin.main]"]);
        check("[keyspace]\nname = \"a\"", &["double brackets"]);
        check(
            "[origin.main]\nurll = \"x\"",
            &["unknown key `urll` in [origin.main]", "did you mean `url`?"],
        );
        check(
            "[[keyspace]]\npatern = \"x\"",
            &["unknown key `patern`", "`pattern`", "r.toml:2"],
        );
        check("[[keyspace]]\nzzzzzzzzzzzzzzz = 1", &["known are name, pattern"]);
        check(
            "[[keyspace]]\nlisten = \"127.0.0.1:1\"",
            &[
                "unknown key `listen` in [[keyspace]]",
                "move it above the first [ ]",
            ],
        );
        check("[[keyspace]]\nkey = \"id\"", &["key = { name = \"column\" }"]);
        check("[[keyspace]]\nfields = { a = 1 }", &["`fields.a`", "is not text"]);
        check("a1 = 1\nb2 = 2", &["`a1`", "`b2`"]);
    }

    #[test]
    fn order_of_fields_and_keyspaces_is_the_order_of_the_file() {
        let text = "maxclients = 7\n[origin.main]\nurl = \"sqlite:a.db\"\n\
                    [[keyspace]]\nname = \"z\"\nfields = { zeta = \"z\", alpha = \"a\" }\n\
                    [[keyspace]]\nname = \"a\"\n";
        let file = parse(Path::new("r.toml"), text).expect("valid");
        assert_eq!(file.values.len(), 1);
        assert_eq!(
            (file.values[0].0.name, file.values[0].1.as_str(), file.values[0].2),
            ("maxclients", "7", 1)
        );
        assert_eq!(file.origins[0].name, "main");
        let names: Vec<&str> = file
            .keyspaces
            .iter()
            .map(|k| k.scalars["name"].0.as_str())
            .collect();
        assert_eq!(names, ["z", "a"]);
        let fields: Vec<&str> = file.keyspaces[0].tables["fields"]
            .0
            .iter()
            .map(|(left, _)| left.as_str())
            .collect();
        assert_eq!(fields, ["zeta", "alpha"]);
    }
}
