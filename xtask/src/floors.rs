//! The floors of the shell: a module imports from floors below its own, never from one above.
//!
//! `tidy` keeps crates apart by their manifests; inside `crates/repligo` only this does.

use std::collections::{BTreeMap, BTreeSet};

/// Modules of `crates/repligo/src` by floor, top to bottom. Modules of one floor do not know each other.
const FLOORS: [&[&str]; 8] = [
    &["main", "cli"],
    &["admin", "node"],
    &["worker"],
    &["net"],
    &["session"],
    &["telemetry", "config", "disk"],
    &["origin", "tls"],
    &["private", "suggest"],
];

/// Collects imports between modules of the shell, file by file.
#[derive(Debug, Default)]
pub struct Imports {
    files: BTreeMap<(String, String), BTreeSet<String>>,
    unknown: BTreeSet<String>,
}

impl Imports {
    /// Takes a source file in, by its path from the repository's root.
    pub fn add(&mut self, name: &str, text: &str) {
        let Some(rest) = name.strip_prefix("crates/repligo/src/") else {
            return;
        };
        let from = rest.split(['/', '.']).next().unwrap_or_default();
        if from == "lib" || rest.split('/').any(|part| part == "tests" || part == "tests.rs") {
            return;
        }
        if floor(from).is_none() {
            self.unknown.insert(from.to_owned());
        }
        // What tests import decides nothing about the structure.
        let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for path in code.flat_map(|line| line.split("crate::").skip(1)) {
            let end = path
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(path.len());
            let to = &path[..end];
            if to != from && floor(to).is_some() {
                let edge = (from.to_owned(), to.to_owned());
                self.files.entry(edge).or_default().insert(rest.to_owned());
            }
        }
    }

    /// Imports that do not point down, with their files.
    fn wrong_way(&self) -> impl Iterator<Item = (&(String, String), &BTreeSet<String>)> {
        self.files
            .iter()
            .filter(|((from, to), _)| floor(from) >= floor(to))
    }

    /// What is not as [`FLOORS`] says.
    pub fn judge(&self, wrong: &mut Vec<String>) {
        for module in &self.unknown {
            wrong.push(format!(
                "crates/repligo/src/{module}: on no floor; name it in xtask/src/floors.rs"
            ));
        }
        for ((from, to), files) in self.wrong_way() {
            let files = files.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            wrong.push(format!(
                "crates/repligo/src: {from} imports {to}, which is not below it ({files}): give it what it needs, \
                 or move the code down"
            ));
        }
    }

    /// The picture: floors from top to bottom, each module with what it imports.
    pub fn picture(&self) -> String {
        let mut text = String::from("floors of the shell, and what each module imports (files)\n");
        for modules in FLOORS {
            for module in modules {
                let mut line = format!("  {module:<10}");
                for ((_, to), files) in self.files.iter().filter(|((from, _), _)| from == module) {
                    let mark = if floor(module) >= floor(to) { "^" } else { "" };
                    line += &format!(" {mark}{to}({})", files.len());
                }
                text += line.trim_end();
                text.push('\n');
            }
        }
        text + "  ^ does not point down, which fails this step"
    }
}

/// Number of a module's floor from the top.
fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with such files.
    fn judged(files: &[(&str, &str)]) -> Vec<String> {
        let mut imports = Imports::default();
        for (name, text) in files {
            imports.add(&format!("crates/repligo/src/{name}"), text);
        }
        let mut wrong = Vec::new();
        imports.judge(&mut wrong);
        wrong
    }

    #[test]
    fn an_import_that_points_up_or_aside_is_named() {
        let up = judged(&[("disk/wal.rs", "use crate::session::Session;\n")]);
        assert!(up.len() == 1 && up[0].contains("disk/wal.rs"), "{up:?}");
        let aside = judged(&[("disk/wal.rs", "let x = crate::telemetry::clock::now();\n")]);
        assert_eq!(aside.len(), 1, "{aside:?}");
        let stranger = judged(&[("attic/x.rs", "use crate::disk::Disk;\n")]);
        assert!(
            stranger.len() == 1 && stranger[0].contains("attic"),
            "{stranger:?}"
        );
    }

    #[test]
    fn imports_that_point_down_comments_and_tests_are_fine() {
        let text =
            "// crate::cli\nuse crate::origin::X;\n\n#[cfg(test)]\nmod tests {\nuse crate::cli::Y;\n}\n";
        assert_eq!(judged(&[("net/links.rs", text)]), Vec::<String>::new());
    }
}
