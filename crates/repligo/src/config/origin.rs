//! `[origin.NAME]` and `[[keyspace]]`: from text to checked sections with every default filled in.
//!
//! What a pattern or a mapping means is decided in the core; here stand names, defaults, references
//! and file paths. A relative SQLite path is relative to the configuration file, so that nodes started in
//! different directories open the same database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use repligo_core::origin::{KeyspaceConfig, LANES, LANES_MAX, Mode, OriginMap, ValueConfig};

use super::error::{Origin, Problem, Problems};
use super::file::{ConfigFile, Section};
use super::units::parse_duration;
use super::url;
use crate::suggest;

/// One database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginSection {
    /// NAME of `[origin.NAME]`.
    pub name: String,
    /// `sqlite:PATH` with an absolute or file-relative path resolved.
    pub url: String,
    /// Connections.
    pub pool: u64,
    /// Longest statement.
    pub statement_timeout: Duration,
    /// Line of its URL, for messages.
    pub line: usize,
}

/// One mapped keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceSection {
    /// Line of the section, for messages.
    pub line: usize,
    /// Line of its `table`, for messages.
    pub table_line: usize,
    /// Its name in errors and metrics.
    pub name: String,
    /// Key pattern with placeholders.
    pub pattern: String,
    /// Database number.
    pub db: u8,
    /// Name of the origin.
    pub origin: String,
    /// `read-through` or `write-through`.
    pub mode: String,
    /// Table.
    pub table: String,
    /// Placeholder → column, in file order.
    pub key: Vec<(String, String)>,
    /// `raw` or `json`.
    pub value: String,
    /// Column of a `raw` value.
    pub value_column: Option<String>,
    /// JSON member → column, in file order.
    pub fields: Vec<(String, String)>,
    /// Lanes.
    pub lanes: u16,
    /// How long a cached row lives; `None` for ever.
    pub cache_ttl: Option<Duration>,
    /// How long an absent row is remembered.
    pub negative_ttl: Duration,
    /// When an unresolved write becomes unknown.
    pub flush_deadline: Duration,
}

/// All origins and keyspaces of a file.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// In file order.
    pub origins: Vec<OriginSection>,
    /// In file order: the position is the number of a keyspace on every node.
    pub keyspaces: Vec<KeyspaceSection>,
    /// What the core made of the keyspaces.
    pub map: Arc<OriginMap>,
}

impl KeyspaceSection {
    /// As the core wants it. Modes and value kinds that the core does not know were refused before.
    fn config(&self) -> KeyspaceConfig {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        KeyspaceConfig {
            name: self.name.clone(),
            pattern: self.pattern.clone(),
            database: self.db,
            lanes: self.lanes,
            origin: self.origin.clone(),
            mode: if self.mode == "read-through" {
                Mode::ReadThrough
            } else {
                Mode::WriteThrough
            },
            table: self.table.clone(),
            key: self.key.clone(),
            value: match &self.value_column {
                Some(column) if self.value == "raw" => ValueConfig::Raw {
                    column: column.clone(),
                },
                _ => ValueConfig::Json {
                    fields: self.fields.clone(),
                },
            },
            cache_ttl_ms: self.cache_ttl.map(milliseconds),
            negative_ttl_ms: milliseconds(self.negative_ttl),
            flush_deadline_ms: milliseconds(self.flush_deadline),
        }
    }
}

/// Keys that are specified but not built: refusing them beats ignoring them.
const NOT_YET: &[(&str, &str)] = &[
    ("refresh_after", "reloading before expiry"),
    ("serve_stale_if_error", "answering from an old value"),
    ("on_expire", "a TTL on mapped keys"),
    ("expires_at", "a TTL on mapped keys"),
];

/// Checks and completes the sections of a file.
///
/// # Errors
/// Every missing key, bad value and dangling reference.
pub fn settle(file: &ConfigFile) -> Result<Origins, Problems> {
    let mut settler = Settler {
        file,
        problems: Vec::new(),
    };
    let mut origins = Origins::default();
    for section in &file.origins {
        origins.origins.extend(settler.origin(section));
    }
    let names: Vec<&str> = file.origins.iter().map(|section| section.name.as_str()).collect();
    let mut used = BTreeSet::new();
    for section in &file.keyspaces {
        if let Some(keyspace) = settler.keyspace(section, &names) {
            if !used.insert(keyspace.name.clone()) {
                let what = format!("two keyspaces are called `{}`", keyspace.name);
                settler.problem(section.line, what, "give every keyspace its own name");
            }
            origins.keyspaces.push(keyspace);
        }
    }
    if settler.problems.is_empty() {
        origins.map = Arc::new(settler.map(&origins.keyspaces));
    }
    if settler.problems.is_empty() {
        Ok(origins)
    } else {
        Err(Problems(settler.problems))
    }
}

struct Settler<'a> {
    file: &'a ConfigFile,
    problems: Vec<Problem>,
}

impl Settler<'_> {
    /// Lets the core judge the mappings; a refusal names its line.
    fn map(&mut self, keyspaces: &[KeyspaceSection]) -> OriginMap {
        let configs = keyspaces.iter().map(KeyspaceSection::config).collect();
        OriginMap::build(configs).unwrap_or_else(|(position, text)| {
            let line = keyspaces.get(position).map_or(1, |keyspace| keyspace.line);
            let remedy = "change the mapping; `repligo config check` judges it again";
            self.problem(line, text, remedy);
            OriginMap::default()
        })
    }

    fn problem(&mut self, line: usize, what: String, remedy: impl Into<String>) {
        let place = Origin::File {
            path: self.file.path.clone(),
            line,
        };
        self.problems.push(Problem::new(place, what, remedy));
    }

    fn required(&mut self, section: &Section, key: &str, title: &str, example: &str) -> Option<String> {
        let found = section
            .scalars
            .get(key)
            .map(|(text, _)| text.clone())
            .filter(|text| !text.is_empty());
        if found.is_none() {
            self.problem(
                section.line,
                format!("{title} has no `{key}`"),
                format!("add {key} = \"{example}\""),
            );
        }
        found
    }

    fn choice(&mut self, section: &Section, key: &str, words: &[&str]) -> String {
        let Some((text, line)) = section.scalars.get(key) else {
            return words[0].to_string();
        };
        if !words.contains(&text.as_str()) {
            let remedy = suggest::remedy(
                text,
                words.iter().copied(),
                &format!("write one of {}", words.join(", ")),
            );
            self.problem(
                *line,
                format!("{key} = \"{text}\" is not one of {}", words.join(", ")),
                remedy,
            );
        }
        text.clone()
    }

    fn duration(&mut self, section: &Section, key: &str, default: Option<Duration>) -> Option<Duration> {
        let Some((text, line)) = section.scalars.get(key) else {
            return default;
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(what) => {
                self.problem(
                    *line,
                    format!("{key}: {what}"),
                    "write it in quotes with its unit",
                );
                default
            }
        }
    }

    fn number(&mut self, section: &Section, key: &str, (default, min, max): (u64, u64, u64)) -> u64 {
        let Some((text, line)) = section.scalars.get(key) else {
            return default;
        };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                self.problem(
                    *line,
                    format!("{key} = {text} is not a whole number"),
                    format!("choose {min} to {max}"),
                );
                default
            }
        }
    }

    fn origin(&mut self, section: &Section) -> Option<OriginSection> {
        let title = format!("[origin.{}]", section.name);
        let pool = self.number(section, "pool", (8, 1, 1000));
        let statement_timeout = self.duration(section, "statement_timeout", Some(Duration::from_secs(5)))?;
        let url = self.required(section, "url", &title, "sqlite:app.db")?;
        let line = section.scalars.get("url").map_or(section.line, |(_, line)| *line);
        match url::resolve(&url, &self.file.path) {
            Ok(url) => Some(OriginSection {
                name: section.name.clone(),
                url,
                pool,
                statement_timeout,
                line,
            }),
            Err((what, remedy)) => {
                self.problem(line, what, remedy);
                None
            }
        }
    }

    fn keyspace(&mut self, section: &Section, origins: &[&str]) -> Option<KeyspaceSection> {
        let title = match section.scalars.get("name") {
            Some((name, _)) => format!("keyspace `{name}`"),
            None => "[[keyspace]]".to_string(),
        };
        for (key, what) in NOT_YET {
            if let Some((_, line)) = section.scalars.get(*key) {
                self.problem(
                    *line,
                    format!("{key} is not possible yet: {what} is not built"),
                    "remove the line",
                );
            }
        }
        let mode = self.choice(
            section,
            "mode",
            &["write-through", "read-through", "write-behind", "none"],
        );
        if mode == "write-behind" {
            self.problem(
                section.line,
                format!("{title}: write-behind is not built yet"),
                "use write-through",
            );
        }
        if mode == "none" {
            return None;
        }
        let down = self.choice(section, "on_origin_down", &["reject", "queue"]);
        if down == "queue" {
            self.problem(
                section.line,
                format!("{title}: on_origin_down = \"queue\" is not built yet"),
                "use \"reject\"",
            );
        }
        let value = self.choice(section, "value", &["raw", "json", "hash"]);
        if value == "hash" {
            self.problem(
                section.line,
                format!("{title}: value = \"hash\" needs the hash commands, which are not built yet"),
                "use \"json\" or \"raw\"",
            );
        }
        let origin = self.required(section, "origin", &title, "main");
        if let Some(origin) = origin.as_deref().filter(|origin| !origins.contains(origin)) {
            let remedy = suggest::remedy(
                origin,
                origins.iter().copied(),
                &format!("add [origin.{origin}] with its url"),
            );
            self.problem(
                section.line,
                format!("{title} refers to origin `{origin}`, which does not exist"),
                remedy,
            );
        }
        if value == "raw" && !section.scalars.contains_key("value_column") {
            self.problem(
                section.line,
                format!("{title} has no `value_column`"),
                "add value_column = \"body\"",
            );
        }
        if value == "json" && section.scalars.contains_key("value_column") {
            self.problem(
                section.line,
                format!("{title}: a JSON value has `fields`, not `value_column`"),
                "remove one",
            );
        }
        let pairs = |key: &str| {
            section
                .tables
                .get(key)
                .map(|(pairs, _)| pairs.clone())
                .unwrap_or_default()
        };
        Some(KeyspaceSection {
            line: section.line,
            table_line: section
                .scalars
                .get("table")
                .map_or(section.line, |(_, line)| *line),
            db: self.number(section, "db", (0, 0, 15)) as u8,
            lanes: self.number(section, "lanes", (u64::from(LANES), 1, u64::from(LANES_MAX))) as u16,
            cache_ttl: self.duration(section, "cache_ttl", None),
            negative_ttl: self.duration(section, "negative_ttl", Some(Duration::from_secs(2)))?,
            flush_deadline: self.duration(section, "flush_deadline", Some(Duration::from_secs(30)))?,
            value_column: section.scalars.get("value_column").map(|(text, _)| text.clone()),
            key: pairs("key"),
            fields: pairs("fields"),
            mode,
            value,
            name: self.required(section, "name", &title, "users")?,
            pattern: self.required(section, "pattern", &title, "user:{id:int}")?,
            table: self.required(section, "table", &title, "users")?,
            origin: origin?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use std::path::Path;

    use super::*;

    const GOOD: &str = "[origin.main]\nurl = \"sqlite:app.db\"\n[[keyspace]]\nname = \"users\"\n\
        pattern = \"user:{id:int}\"\norigin = \"main\"\nmode = \"write-through\"\ntable = \"users\"\n\
        key = { id = \"id\" }\nvalue = \"raw\"\nvalue_column = \"body\"\ncache_ttl = \"1h\"\n";

    fn settle_text(text: &str) -> Result<Origins, Problems> {
        settle(&parse(Path::new("/etc/repligo/r.toml"), text)?)
    }

    #[test]
    fn a_relative_database_lies_beside_the_file() {
        let origins = settle_text(GOOD).expect("valid");
        assert_eq!(origins.origins[0].url, "sqlite:/etc/repligo/app.db");
        let keyspace = &origins.keyspaces[0];
        assert_eq!(keyspace.cache_ttl, Some(Duration::from_secs(3600)));
        assert_eq!(keyspace.flush_deadline, Duration::from_secs(30));
        assert_eq!(keyspace.key, [("id".to_string(), "id".to_string())]);
    }

    #[test]
    fn refused() {
        let check = |text: &str, parts: &[&str]| {
            let problems = settle_text(text).expect_err(text).to_string();
            for part in parts {
                assert!(
                    problems.contains(part),
                    "{text}\ngave\n{problems}\nwithout `{part}`"
                );
            }
        };
        check(
            &GOOD.replace("origin = \"main\"", "origin = \"mian\""),
            &["`mian`", "did you mean `main`?"],
        );
        check(
            &GOOD.replace("table = \"users\"\n", ""),
            &["keyspace `users` has no `table`"],
        );
        check(&GOOD.replace("write-through", "write-behind"), &["not built yet"]);
        check(&GOOD.replace("\"raw\"", "\"rwa\""), &["did you mean `raw`?"]);
        check(&GOOD.replace("\"raw\"", "\"hash\""), &["hash commands"]);
        check(&GOOD.replace("1h", "1"), &["not a duration", "r.toml:12"]);
        check(&format!("{GOOD}refresh_after = \"5s\"\n"), &["not possible yet"]);
        check(&format!("{GOOD}on_origin_down = \"queue\"\n"), &["not built yet"]);
        check(
            &GOOD.replace("value_column = \"body\"\n", ""),
            &["no `value_column`"],
        );
        check(&GOOD.replace("{id:int}", "{id:float}"), &["r.toml:3", "float"]);
        check(&GOOD.replace("key = { id", "key = { nr"), &["r.toml:3"]);
        check("[origin.main]\npool = 0\n", &["choose 1 to 1000", "has no `url`"]);
    }
}
