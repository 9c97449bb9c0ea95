//! Append-only files: one file with or without a snapshot in front, or the files that a manifest names.
//!
//! All of them are read to their end before anything is written. Their requests are applied in order and exactly once, as
//! those of a source that is followed; a target must have no keys for that.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};

use super::deadlines::PutOff;
use super::follow::apply::Applier;
use super::follow::judge_empty;
use super::follow::requests::{Step, Unit, Units};
use super::import::{Place, judge_databases, transfer};
use super::libraries;
use super::options::Import;
use super::rdb::{Left, MAGIC, RdbInput};
use super::server::Server;
use super::settle::settle;
use super::summary::Summary;
use super::{Halt, Input, Outcome, Work};
use crate::cli::failure::Failure;

/// Units of one transaction.
const BATCH_UNITS: usize = 256;
const READ_BYTES: usize = 256 << 10;
const REMEDY: &str = "take another copy of the files, or let redis-check-aof judge them";

const REWRITE: &str =
    "let the server write its files anew (BGREWRITEAOF) and give the new ones, or an RDB file";

/// The files in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Files(Vec<PathBuf>);

impl Files {
    /// What a path means: a folder with a manifest, a manifest, or one file; `None` if it is something else.
    ///
    /// # Errors
    /// The manifest cannot be read, or there are several.
    pub fn find(path: &str) -> Result<Option<Files>, Failure> {
        let failed = |what: String| Failure::new(format!("{path}: {what}"), "give the manifest of the files");
        let mut path = PathBuf::from(path);
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).map_err(|error| failed(error.to_string()))?;
            let names = entries.flatten().map(|entry| entry.path());
            let mut found: Vec<PathBuf> = names.filter(|name| has_end(name, "manifest")).collect();
            path = match (found.pop(), found.is_empty()) {
                (Some(one), true) => one,
                (Some(_), false) => return Err(failed("it holds several manifests".into())),
                (None, _) => return Ok(None),
            };
        }
        if path.to_string_lossy().ends_with(".incr.aof") {
            return Err(failed(
                "it goes on behind another file, and holds only what was written since".into(),
            ));
        }
        if has_end(&path, "aof") {
            return Ok(Some(Files(vec![path])));
        }
        if !has_end(&path, "manifest") {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let names = parse(&text).ok_or_else(|| failed("it is no manifest of append-only files".into()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Some(Files(names.iter().map(|name| folder.join(name)).collect())))
    }
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|found| found == end)
}

/// The names in a manifest, the base first; what is history is left out.
fn parse(text: &str) -> Option<Vec<String>> {
    let (mut base, mut rest) = (None, Vec::new());
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, numbers) = match line.strip_prefix("file \"") {
            Some(quoted) => quoted.split_once('"')?,
            None => line.strip_prefix("file ")?.split_once(' ')?,
        };
        let words: Vec<&str> = numbers.split_whitespace().collect();
        let ["seq", number, "type", kind] = words.as_slice() else {
            return None;
        };
        let number: u64 = number.parse().ok()?;
        // A name leads nowhere but beside the manifest.
        (!name.contains(['/', '\\'])).then_some(())?;
        match *kind {
            "b" if base.is_none() => base = Some(name.to_string()),
            "i" => rest.push((number, name.to_string())),
            "h" => {}
            _ => return None,
        }
    }
    rest.sort();
    let names: Vec<String> = base
        .into_iter()
        .chain(rest.into_iter().map(|(_, name)| name))
        .collect();
    (!names.is_empty()).then_some(names)
}

/// What becomes of what is read.
trait Sink {
    fn snapshot(&mut self, input: &mut RdbInput<File>) -> Outcome<()>;
    fn units(&mut self, units: &[Unit]) -> Outcome<()>;
}

/// Counts it.
struct Check<'a> {
    work: &'a mut Work,
    contents: std::collections::BTreeMap<u32, u64>,
    left: Left,
}

impl Sink for Check<'_> {
    fn snapshot(&mut self, input: &mut RdbInput<File>) -> Outcome<()> {
        while let Some(batch) = input.next()? {
            *self.contents.entry(batch.db).or_default() += batch.entries.len() as u64;
            if self.work.stop.is_set() {
                return Err(Halt::Interrupted);
            }
        }
        self.left = std::mem::take(&mut input.left);
        Ok(())
    }

    fn units(&mut self, units: &[Unit]) -> Outcome<()> {
        for db in units.iter().flat_map(Unit::databases) {
            self.contents.entry(db).or_default();
        }
        match self.work.stop.is_set() {
            true => Err(Halt::Interrupted),
            false => Ok(()),
        }
    }
}

/// Writes it.
struct Write<'a> {
    options: &'a Import,
    work: &'a mut Work,
    target: &'a mut Server,
    summary: &'a mut Summary,
    applier: Applier,
}

impl Sink for Write<'_> {
    fn snapshot(&mut self, input: &mut RdbInput<File>) -> Outcome<()> {
        let mut place = Place::default();
        self.applier.forget();
        let ends = (&mut *self.target, &mut *self.summary, &mut place);
        transfer(self.options, &mut *self.work, PutOff(&mut *input), ends)?;
        let ends = (&mut *self.target, &mut *self.summary);
        libraries::load(ends, &input.libraries, self.options.existing)
    }

    fn units(&mut self, units: &[Unit]) -> Outcome<()> {
        self.work.pace.wait(units.len())?;
        self.applier.apply(self.target, units)?;
        let applied = self.applier.applied;
        self.work.progress.show(|| format!("{applied} requests"));
        Ok(())
    }
}

impl Input for &mut RdbInput<File> {
    fn next(&mut self) -> Outcome<Option<super::Batch>> {
        (**self).next()
    }
}

/// Imports the files into a server without keys.
pub fn run(
    (options, files): (&Import, &Files),
    work: &mut Work,
    (target, summary, place): (&mut Server, &mut Summary, &mut Place),
) -> Outcome<()> {
    summary.verification.kind = "none";
    target.connect()?;
    work.progress.label("checking: ");
    let mut check = Check {
        work,
        contents: std::collections::BTreeMap::new(),
        left: Left::default(),
    };
    let left_out = walk(files, options.choice.db, &mut check).map_err(|halt| match halt {
        Halt::Failed(failure) => Halt::Failed(Failure::new(
            format!("{}; nothing was imported", failure.what),
            failure.remedy,
        )),
        Halt::Interrupted => Halt::Interrupted,
    })?;
    let (contents, left) = (check.contents, check.left);
    summary.note_left(left);
    for (what, count) in left_out {
        *summary.left_out.entry(what).or_default() += count;
    }
    judge_empty(target, options.choice.db)?;
    judge_databases(target, contents.keys())?;
    place.needs_empty = true;
    work.total = Some(contents.values().sum());
    work.progress.label("importing: ");
    let mut write = Write {
        applier: Applier::new(options.choice.db.unwrap_or(0), options.common.patience),
        options,
        work,
        target,
        summary,
    };
    let outcome = walk(files, options.choice.db, &mut write);
    let Write {
        mut applier,
        target,
        summary,
        ..
    } = write;
    let ended = applier
        .end(target)
        .and_then(|()| settle(target, options.choice.db));
    summary.requests = Some(applier.applied);
    summary.refusals.join(applier.refusals);
    outcome?;
    ended
}

/// Reads all files; counts what of their requests is not taken.
fn walk(
    files: &Files,
    only: Option<u32>,
    sink: &mut dyn Sink,
) -> Outcome<std::collections::BTreeMap<&'static str, u64>> {
    let mut left = std::collections::BTreeMap::new();
    // Each unit ends at a place of its own, in whichever file.
    let mut before = 0;
    for path in &files.0 {
        let shown = path.display();
        let unreadable =
            |error: std::io::Error| Failure::new(format!("{shown}: {error}"), "check the file and the disk");
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut head = Vec::new();
        file.by_ref()
            .take(MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        let mut position = 0;
        let mut rest: Box<dyn Read> = if head == MAGIC {
            let mut input = RdbInput::new(file, 1, only).preamble();
            sink.snapshot(&mut input).map_err(|halt| named(halt, path))?;
            let (rest, read) = input.into_rest();
            position = read;
            Box::new(rest)
        } else {
            Box::new(file)
        };
        let mut units = Units::new(before + position, 0, only);
        requests(&mut *rest, &mut units, sink).map_err(|halt| named(halt, path))?;
        if !units.is_whole() {
            let what = format!(
                "{shown}: at offset {}: the file ends within a request or a transaction: it was cut",
                units.place().0 - before
            );
            return Err(Failure::new(what, REMEDY).into());
        }
        for (what, count) in units.left {
            *left.entry(what).or_default() += count;
        }
        before += length;
    }
    Ok(left)
}

fn named(halt: Halt, path: &Path) -> Halt {
    match halt {
        Halt::Failed(failure) => {
            Failure::new(format!("{}: {}", path.display(), failure.what), failure.remedy).into()
        }
        Halt::Interrupted => Halt::Interrupted,
    }
}

/// Reads requests to the end of a file.
fn requests(input: &mut dyn Read, units: &mut Units, sink: &mut dyn Sink) -> Outcome<()> {
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let count = input
            .read(&mut chunk)
            .map_err(|error| Failure::new(error.to_string(), "check the file and the disk"))?;
        if count == 0 {
            return Ok(());
        }
        units.feed(&chunk[..count]);
        let mut batch = Vec::new();
        loop {
            let (what, remedy) = match units.next() {
                Step::Unit(unit) => {
                    batch.push(unit);
                    if batch.len() >= BATCH_UNITS {
                        sink.units(&std::mem::take(&mut batch))?;
                    }
                    continue;
                }
                Step::Wait => break,
                Step::Anew(why) => (why, REWRITE),
                Step::Broken => ("there is something else than requests", REMEDY),
            };
            return Err(Failure::new(format!("behind offset {}: {what}", units.place().0), remedy).into());
        }
        sink.units(&batch)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_the_files_in_their_order() {
        let text = "file a.1.base.rdb seq 1 type b\nfile \"a b.3\" seq 3 type i\nfile a.2 seq 2 type i\nfile old seq 1 type h\n";
        let names = ["a.1.base.rdb", "a.2", "a b.3"].map(String::from).to_vec();
        assert_eq!(parse(text), Some(names));
        for text in [
            "",
            "file a seq x type b",
            "file a seq 1 type z",
            "file ../a seq 1 type b",
            "file a seq 1 type b\nfile b seq 2 type b",
            "nothing",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
