//! The floors of the shell: a module imports from floors below its own, never from one above.
//!
//! `tidy` keeps crates apart by their manifests; inside `crates/repligo` only this does. Imports that still
//! point up are listed with the number of files that have them: the list may only become shorter.

use std::collections::{BTreeMap, BTreeSet};

/// Modules of `crates/repligo/src` by floor, top to bottom. Modules of one floor do not know each other.
const FLOORS: [&[&str]; 7] = [
    &["main", "cli"],
    &["admin", "node"],
    &["net"],
    &["session"],
    &["telemetry", "config", "disk"],
    &["origin", "tls"],
    &["private"],
];

/// Imports that point up or aside, and how many files have them. The worker is what they want: it still
/// travels through sockets (ARCHITECTURE.md, code map).
const KNOWN: &[(&str, &str, usize)] = &[("net", "node", 8)];

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

    /// What is not as [`FLOORS`] and [`KNOWN`] say.
    pub fn judge(&self, wrong: &mut Vec<String>) {
        for module in &self.unknown {
            wrong.push(format!(
                "crates/repligo/src/{module}: on no floor; name it in xtask/src/floors.rs"
            ));
        }
        for ((from, to), files) in self.wrong_way() {
            let known = KNOWN.iter().find(|known| (known.0, known.1) == (from, to));
            let allowed = known.map_or(0, |known| known.2);
            if files.len() > allowed {
                let files = files.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                wrong.push(format!(
                    "crates/repligo/src: {from} imports {to}, which is not below it, in more than {allowed} files \
                     ({files}): give it what it needs, or move the code down"
                ));
            } else if files.len() < allowed {
                wrong.push(format!(
                    "xtask/src/floors.rs: {from} imports {to} in {} files only; lower the number of {allowed}",
                    files.len()
                ));
            }
        }
        for (from, to, allowed) in KNOWN {
            let edge = ((*from).to_owned(), (*to).to_owned());
            if !self.files.contains_key(&edge) {
                wrong.push(format!(
                    "xtask/src/floors.rs: {from} no longer imports {to}; remove its line of {allowed}"
                ));
            }
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
        text + "  ^ does not point down; known ones are counted in xtask/src/floors.rs"
    }
}

/// Number of a module's floor from the top.
fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with such files, but for what they lack of the known imports.
    fn judged(files: &[(&str, &str)]) -> Vec<String> {
        let mut imports = Imports::default();
        for (name, text) in files {
            imports.add(&format!("crates/repligo/src/{name}"), text);
        }
        let mut wrong = Vec::new();
        imports.judge(&mut wrong);
        wrong.retain(|line| !line.starts_with("xtask/"));
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
