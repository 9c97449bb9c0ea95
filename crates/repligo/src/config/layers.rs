//! The layers of a configuration: flag over environment over file over default.
//!
//! For every key it remembers where the winning value came from, and checks the losers too: a
//! misspelt value in the file is reported even while a flag hides it.

use std::ffi::OsString;
use std::path::Path;

use super::error::{Origin, Problem, Problems};
use super::file::{self, ConfigFile};
use super::keys::{self, KEYS, Key};
use super::redis;
use super::value::{self, Value};
use crate::suggest;

/// What the outside says, before it is understood.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`, if given.
    pub config: Option<String>,
    /// Flags: (key name, text). A switch that is present has the text `true`.
    pub flags: Vec<(String, String)>,
    /// The environment, whole; only `REPLIGO_…` is looked at.
    pub environment: Vec<(OsString, OsString)>,
}

/// One key with its value and where that came from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Checked value; `None` where nobody gave one and there is no plain default.
    pub value: Option<Value>,
    /// Where it came from.
    pub origin: Origin,
}

/// All keys, resolved, in table order, with the file they may have come from.
#[derive(Clone, Debug, Default)]
pub struct Layered {
    /// One per key of the table.
    pub settings: Vec<Setting>,
    /// The file, if there was one.
    pub file: Option<ConfigFile>,
    /// What is ignored and yet worth a line, such as a variable that looks like one of ours.
    pub warnings: Vec<String>,
}

/// What our variables begin with.
const PREFIX: &str = "REPLIGO_";
/// The variable, without the prefix, that is no key: where the file is.
const CONFIG: &str = "CONFIG";
/// Variables without the prefix that other commands read.
const OF_OTHER_COMMANDS: &[&str] = &["FROM_PASSWORD"];

impl Layered {
    /// Reads the layers and merges them.
    ///
    /// # Errors
    /// Every unknown key and bad value of every layer.
    pub fn read(sources: &Sources) -> Result<Layered, Problems> {
        let mut problems = Vec::new();
        let environment = Environment::read(&sources.environment, &mut problems);
        let file = match sources.config.as_deref().or(environment.config.as_deref()) {
            Some(path) => match file::read(Path::new(path)) {
                Ok(file) => Some(file),
                Err(more) => {
                    problems.extend(more.0);
                    None
                }
            },
            None => None,
        };
        let mut layered = Layered {
            settings: Vec::new(),
            file,
            warnings: environment.warnings,
        };
        for key in KEYS {
            let setting = layered.merge(key, sources, &environment.values, &mut problems);
            layered.settings.push(setting);
        }
        if problems.is_empty() {
            Ok(layered)
        } else {
            Err(Problems(problems))
        }
    }

    /// A file alone, over the defaults, for `config check`.
    ///
    /// # Errors
    /// As [`Layered::read`].
    pub fn of_file(path: &Path) -> Result<Layered, Problems> {
        Layered::read(&Sources {
            config: Some(path.display().to_string()),
            ..Default::default()
        })
    }

    /// The setting of a key.
    pub fn get(&self, name: &str) -> &Setting {
        self.settings
            .iter()
            .find(|setting| setting.key.name == name)
            .expect("every caller names a key of the table, and all of them are settings")
    }

    fn merge(
        &self,
        key: &'static Key,
        sources: &Sources,
        environment: &[(&'static Key, String)],
        problems: &mut Vec<Problem>,
    ) -> Setting {
        let mut candidates: Vec<(Origin, &str)> = Vec::new();
        for (name, text) in &sources.flags {
            if name == key.name {
                candidates.push((Origin::Flag(format!("--{name}")), text));
            }
        }
        for (variable, text) in environment {
            if variable.name == key.name {
                candidates.push((Origin::Environment(key.environment()), text));
            }
        }
        if let Some(file) = &self.file {
            for (in_file, text, line) in &file.values {
                if in_file.name == key.name {
                    candidates.push((
                        Origin::File {
                            path: file.path.clone(),
                            line: *line,
                        },
                        text,
                    ));
                }
            }
        }
        if let Some(default) = key.default {
            candidates.push((Origin::Default, default));
        }
        let mut winner = None;
        for (origin, text) in candidates {
            match value::parse(key.kind, text) {
                Ok(value) => {
                    winner.get_or_insert(Setting {
                        key,
                        value: Some(value),
                        origin,
                    });
                }
                Err(bad) => problems.push(Problem::new(
                    &origin,
                    format!("{}: {}", key.name, bad.what),
                    bad.remedy,
                )),
            }
        }
        let nothing = Setting {
            key,
            value: None,
            origin: key.derived.map_or(Origin::Default, Origin::Derived),
        };
        winner.unwrap_or(nothing)
    }
}

/// Our variables of an environment.
#[derive(Debug, Default)]
pub struct Environment {
    values: Vec<(&'static Key, String)>,
    config: Option<String>,
    /// What looks like one of ours and is ignored.
    pub warnings: Vec<String>,
}

impl Environment {
    /// Picks our variables out of all.
    pub fn read(environment: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Self {
        let mut found = Self::default();
        for (name, text) in environment {
            let Some((name, word)) = name
                .to_str()
                .and_then(|name| Some((name, name.strip_prefix(PREFIX)?)))
            else {
                continue;
            };
            let key = KEYS.iter().find(|key| key.environment() == name);
            let place = Origin::Environment(name.to_string());
            match (key, text.to_str()) {
                (Some(key), Some(text)) => found.values.push((key, text.to_string())),
                (None, Some(text)) if word == CONFIG => found.config = Some(text.to_string()),
                (None, _) if word != CONFIG => found.unknown((name, word), text, problems),
                _ => problems.push(Problem::new(
                    place,
                    "the value is not UTF-8",
                    "set it to plain text",
                )),
            }
        }
        found
    }

    /// A slip of the pen must not be ignored; what is like none of ours belongs to somebody else, and a node
    /// that does not start for its sake helps nobody.
    fn unknown(&mut self, (name, word): (&str, &str), text: &OsString, problems: &mut Vec<Problem>) {
        if is_foreign(word, &text.to_string_lossy()) {
            return;
        }
        let word = word.replace('_', "-").to_ascii_lowercase();
        let known = KEYS.iter().map(|key| key.name).chain(["config"]);
        if let Some(candidate) = suggest::nearest(&word, known) {
            let candidate = candidate.replace('-', "_").to_ascii_uppercase();
            problems.push(Problem::new(
                Origin::Environment(name.to_string()),
                format!("unknown configuration variable {name}"),
                format!("did you mean {PREFIX}{candidate}?"),
            ));
            return;
        }
        let remedy = match redis::instead(&word) {
            Some(instead) => instead.remedy(redis::Form::Variable),
            None => "`repligo config show` lists all keys".to_string(),
        };
        self.warnings.push(format!(
            "the environment variable {name} is not one of ours and is ignored; {remedy}"
        ));
    }
}

/// Kubernetes sets variables of this form in every container for a service called "repligo": they are
/// nobody's mistake. Test hooks are read where they are used.
fn is_foreign(word: &str, text: &str) -> bool {
    word.starts_with("TEST_")
        || OF_OTHER_COMMANDS.contains(&word)
        || word == "SERVICE_HOST"
        || word.starts_with("SERVICE_PORT")
        || word.starts_with("PORT_")
        || (word == "PORT" && text.contains("://"))
        || (word.ends_with("_SERVICE_HOST") || word.contains("_SERVICE_PORT"))
        || (word.ends_with("_PORT") && text.contains("://"))
        || word.contains("_PORT_")
}

/// Names that `--flag` may have; for tests and completions.
pub fn flag_names() -> impl Iterator<Item = &'static str> {
    keys::KEYS.iter().map(|key| key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(flags: &[(&str, &str)], environment: &[(&str, &str)], config: Option<&str>) -> Sources {
        Sources {
            config: config.map(str::to_string),
            flags: flags
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string()))
                .collect(),
            environment: environment
                .iter()
                .map(|(name, text)| (name.into(), text.into()))
                .collect(),
        }
    }

    /// A file in a folder of its own; removed when dropped.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str) -> Scratch {
            let folder = std::env::temp_dir().join(format!("repligo-layers-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("temporary folder");
            std::fs::write(folder.join("r.toml"), text).expect("temporary file");
            Scratch(folder)
        }

        fn path(&self) -> String {
            self.0.join("r.toml").display().to_string()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let file = Scratch::new(
            "precedence",
            "maxclients = 3\nmaxmemory = \"3kb\"\nlog-level = \"warn\"\n",
        );
        let environment = [("REPLIGO_MAXCLIENTS", "2"), ("REPLIGO_MAXMEMORY", "2kb")];
        let layered =
            Layered::read(&sources(&[("maxclients", "1")], &environment, Some(&file.path()))).expect("valid");
        let check = |name: &str, value: Value, origin: &str| {
            let setting = layered.get(name);
            assert_eq!(setting.value.as_ref(), Some(&value), "{name}");
            assert_eq!(setting.origin.word(), origin, "{name}");
        };
        check("maxclients", Value::Number(1), "flag");
        check("maxmemory", Value::Number(2048), "environment");
        check("log-level", Value::Text("warn".into()), "file");
        check("log-format", Value::Text("text".into()), "default");
        assert_eq!(layered.get("peer-listen").value, None);
        assert_eq!(layered.get("peer-listen").origin.word(), "derived");
    }

    #[test]
    fn the_file_may_come_from_the_environment_and_the_flag_wins() {
        let one = Scratch::new("one", "maxclients = 1\n");
        let two = Scratch::new("two", "maxclients = 2\n");
        let environment = [("REPLIGO_CONFIG", &*one.path())].map(|(a, b)| (a, b.to_string()));
        let environment: Vec<(&str, &str)> = environment.iter().map(|(a, b)| (*a, b.as_str())).collect();
        let from_variable = Layered::read(&sources(&[], &environment, None)).expect("valid");
        assert_eq!(from_variable.get("maxclients").value, Some(Value::Number(1)));
        let from_flag = Layered::read(&sources(&[], &environment, Some(&two.path()))).expect("valid");
        assert_eq!(from_flag.get("maxclients").value, Some(Value::Number(2)));
    }

    #[test]
    fn mistakes_in_any_layer_are_reported_together() {
        let file = Scratch::new("mistakes", "maxclients = 0\n");
        let problems = Layered::read(&sources(
            &[("durability", "fsnyc"), ("maxclients", "5")],
            &[("REPLIGO_MAXMEMROY", "1"), ("REPLIGO_LISTEN", "nowhere")],
            Some(&file.path()),
        ))
        .expect_err("four mistakes")
        .to_string();
        for part in [
            "did you mean `fsync`?",
            "flag --durability",
            "unknown configuration variable REPLIGO_MAXMEMROY",
            "did you mean REPLIGO_MAXMEMORY?",
            "environment variable REPLIGO_LISTEN",
            "maxclients: `0` is not a whole number",
            "r.toml:1",
        ] {
            assert!(problems.contains(part), "no `{part}` in\n{problems}");
        }
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        let environment = [
            ("REPLIGO_SERVICE_HOST", "10.0.0.1"),
            ("REPLIGO_SERVICE_PORT_RESP", "6379"),
            ("REPLIGO_PORT", "tcp://10.0.0.1:6379"),
            ("REPLIGO_PORT_6379_TCP", "x"),
            ("REPLIGO_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("REPLIGO_ADMIN_PORT", "tcp://10.0.0.1:7379"),
            ("REPLIGO_TEST_BOOT_ID", "x"),
            ("REPLIGO_FROM_PASSWORD", "x"),
            ("HOME", "/"),
        ];
        let layered = Layered::read(&sources(&[], &environment, None)).expect("nothing of ours is wrong");
        assert_eq!(layered.warnings, [""; 0]);
    }

    #[test]
    fn a_variable_that_is_like_none_of_ours_is_ignored_aloud() {
        let check = |name: &str, text: &str, part: &str| {
            let layered = Layered::read(&sources(&[], &[(name, text)], None)).expect("the node starts");
            let warnings = layered.warnings.join("\n");
            assert!(
                warnings.contains(name) && warnings.contains(part),
                "{name}: {warnings}"
            );
        };
        check("REPLIGO_PORT", "6380", "use REPLIGO_LISTEN=IP:PORT");
        check("REPLIGO_DIR", "/data", "use REPLIGO_DATA_DIR=DIR");
        check("REPLIGO_VERSION", "0.1.0", "`repligo config show`");
        check("REPLIGO_IMAGE", "x", "ignored");
        check("REPLIGO_HOME", "/opt", "ignored");
    }

    #[test]
    fn a_near_miss_ends_the_start() {
        for (name, meant) in [
            ("REPLIGO_LISTENS", "REPLIGO_LISTEN"),
            ("REPLIGO_PEER_LISEN", "REPLIGO_PEER_LISTEN"),
            ("REPLIGO_CONFG", "REPLIGO_CONFIG"),
            ("REPLIGO_DATADIR", "REPLIGO_DATA_DIR"),
        ] {
            let problems = Layered::read(&sources(&[], &[(name, "1")], None)).expect_err(name);
            let text = problems.to_string();
            assert!(text.contains(&format!("did you mean {meant}?")), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let problems = Layered::read(&sources(&[], &[], Some("/nowhere/r.toml")))
            .expect_err("missing")
            .to_string();
        assert!(
            problems.contains("/nowhere/r.toml") && problems.contains("--config"),
            "{problems}"
        );
    }
}
