//! From a file or another server into a server.

use std::fs::File;
use std::io::{Read as _, Seek as _};

use super::aof;
use super::facts::{Seen, databases};
use super::file::{Contents, FileInput, STANDARD, open};
use super::follow;
use super::libraries;
use super::options::{From, Import, Side, Verify};
use super::rdb::{self, RdbInput};
use super::server::Server;
use super::source::Source;
use super::summary::{Summary, Verification};
use super::target::{Existing, Target, Written};
use super::verify::{Absent, Compare, Sample};
use super::{Halt, Input, Outcome, Output as _, Work};
use crate::cli::failure::Failure;
use crate::cli::signals::StopFlag;

/// Where an import stands, for whoever goes on with it.
#[derive(Default)]
pub(super) struct Place {
    /// Of a file: the block that is being written.
    block: Option<u64>,
    /// Anything was written.
    is_begun: bool,
    /// It begins only with a target that has no keys.
    pub needs_empty: bool,
}

/// Runs it, and says what it did, however it ended.
pub fn run(options: &Import, mut work: Work) -> Summary {
    let mut summary = Summary {
        kind: "import",
        from: match &options.from {
            From::File(path) => path.clone(),
            From::Server(side) => side.addresses.join(","),
        },
        to: options.target.addresses.join(","),
        ..Summary::default()
    };
    summary.verification.kind = options.common.verify.name();
    let mut target = match &options.follow {
        None => server(options, &options.target, &work),
        // The end is asked for by somebody who wants the target to be whole.
        Some(_) => Server::new(
            options.target.addresses.clone(),
            options.target.login.clone(),
            options.common.patience,
            StopFlag::default(),
        ),
    };
    let mut place = Place::default();
    let outcome = import(options, &mut target, &mut work, (&mut summary, &mut place));
    work.progress.clear();
    summary.reconnects += target.reconnects;
    summary.seconds = work.start.elapsed().as_secs_f64();
    summary.end(&outcome, &go_on(options, &place));
    summary
}

fn server(options: &Import, side: &Side, work: &Work) -> Server {
    Server::new(
        side.addresses.clone(),
        side.login.clone(),
        options.common.patience,
        work.stop.clone(),
    )
}

/// Entries are written whole and in order, so what is there is right, and the rest can follow.
fn go_on(options: &Import, place: &Place) -> String {
    if place.needs_empty {
        return "empty the target, and run the same command again: it begins with everything".into();
    }
    if !place.is_begun {
        return String::new();
    }
    let existing = match options.existing {
        Existing::Replace => "--replace",
        Existing::Fail | Existing::Skip => "--skip-existing",
    };
    match (place.block, &options.from) {
        (Some(block), From::File(path)) if path != STANDARD => {
            format!("go on with the same command and --from-block {block} {existing}")
        }
        _ => format!("run the same command again with {existing}: what was written is right and stays"),
    }
}

fn import(
    options: &Import,
    server: &mut Server,
    work: &mut Work,
    (summary, place): (&mut Summary, &mut Place),
) -> Outcome<()> {
    match &options.from {
        From::Server(side) => {
            if let Some(follow) = &options.follow {
                return follow::run((options, follow, side), work, (server, summary, place));
            }
            server.connect()?;
            copy(options, side, work, (server, summary, place))
        }
        From::File(path) if path == STANDARD => {
            server.connect()?;
            let mut input = FileInput::new(std::io::stdin(), options.first_block, options.choice.db);
            libraries::load(
                (&mut *server, &mut *summary),
                &input.libraries()?,
                options.existing,
            )?;
            let (sample, kept) = transfer(options, work, input, (server, summary, place))?;
            compare(
                options,
                (server, work, summary),
                (sample, kept),
                None::<FileInput<File>>,
            )
        }
        From::File(path) => import_file(options, path, work, (server, summary, place)),
    }
}

/// Reads a file to its end before anything of it is written.
fn import_file(
    options: &Import,
    path: &str,
    work: &mut Work,
    (server, summary, place): (&mut Server, &mut Summary, &mut Place),
) -> Outcome<()> {
    let unreadable = |error| Failure::new(format!("{path}: {error}"), "give a file, not a pipe");
    if let Some(files) = aof::Files::find(path)? {
        return aof::run((options, &files), work, (server, summary, place));
    }
    // What is here is looked at before anybody else is asked.
    let mut file = open(path)?;
    let is_rdb = begins_with(&mut file, rdb::MAGIC).map_err(unreadable)?;
    server.connect()?;
    work.progress.label("checking: ");
    let checked = match is_rdb {
        true => rdb::check(&file, RdbInput::new(&file, 1, options.choice.db), work),
        false => Contents::check(&file)
            .map(|mut contents| rdb::Checked {
                libraries: std::mem::take(&mut contents.libraries),
                contents,
                ..rdb::Checked::default()
            })
            .map_err(Halt::from),
    };
    let rdb::Checked {
        contents,
        left,
        libraries,
        ..
    } = checked.map_err(|halt| match halt {
        Halt::Failed(failure) => Halt::Failed(Failure::new(
            format!("{path}: {}; nothing was imported", failure.what),
            failure.remedy,
        )),
        Halt::Interrupted => Halt::Interrupted,
    })?;
    summary.bytes = Some(contents.bytes);
    summary.note_left(left);
    let mut again = || -> Outcome<Box<dyn Input>> {
        file.rewind().map_err(unreadable)?;
        let file = file.try_clone().map_err(unreadable)?;
        let (first_block, db) = (options.first_block, options.choice.db);
        Ok(match is_rdb {
            true => Box::new(RdbInput::new(file, first_block, db)),
            false => Box::new(FileInput::new(file, first_block, db)),
        })
    };
    work.total = Some(contents.entries.values().sum());
    if is_rdb {
        judge_databases(server, contents.entries.keys())?;
    }
    if options.existing == Existing::Fail {
        work.pump(&mut again()?, &mut Absent { server }, |_, _| {})?;
    }
    work.progress.label("importing: ");
    libraries::load((&mut *server, &mut *summary), &libraries, options.existing)?;
    let (sample, kept) = transfer(options, work, again()?, (server, summary, place))?;
    compare(options, (server, work, summary), (sample, kept), Some(again()?))
}

/// Whether a file begins with these bytes; it is at its start afterwards.
fn begins_with(file: &mut File, bytes: &[u8]) -> std::io::Result<bool> {
    let mut head = Vec::new();
    file.by_ref().take(bytes.len() as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head == bytes)
}

/// A server may have more databases than another one; that is told before anything is written.
pub(super) fn judge_databases<'a>(
    server: &mut Server,
    databases: impl Iterator<Item = &'a u32>,
) -> Outcome<()> {
    for db in databases {
        server.ask_one(*db, &["PING"]).map_err(|halt| match halt {
            Halt::Failed(failure) => Halt::Failed(Failure::new(
                format!(
                    "database {db} of the file: {}; nothing was imported",
                    failure.what
                ),
                "give --db N to import one database of those that the target has",
            )),
            Halt::Interrupted => Halt::Interrupted,
        })?;
    }
    Ok(())
}

/// Both are connected. Nothing is copied from a server onto itself.
pub(super) fn judge_different(source: &Server, target: &Server) -> Outcome<()> {
    if source.replication_id().is_none() || source.replication_id() != target.replication_id() {
        return Ok(());
    }
    Err(Failure::new(
        format!("{} and {} hold the same data", source.name(), target.name()),
        "give the addresses of two different servers",
    )
    .into())
}

/// From server to server.
fn copy(
    options: &Import,
    side: &Side,
    work: &mut Work,
    (target, summary, place): (&mut Server, &mut Summary, &mut Place),
) -> Outcome<()> {
    let mut server = self::server(options, side, work);
    server.connect()?;
    judge_different(&server, target)?;
    let libraries = libraries::read(&mut server, summary)?;
    libraries::load((&mut *target, &mut *summary), &libraries, options.existing)?;
    let mut source = Source::new(&mut server, options.choice.clone(), work.pace.chunk())?;
    work.total = Some(source.found.total());
    let result = transfer(options, work, &mut source, (&mut *target, &mut *summary, place));
    source
        .lost()
        .into_iter()
        .for_each(|text| summary.verification.note(text));
    let found = source.found;
    summary.note_found(
        found.other_types,
        [found.vanished, found.changed, found.duplicates, found.rescans],
    );
    summary.rows = found.rows;
    summary.refusals.join(found.refusals);
    summary.reconnects += server.reconnects;
    let (sample, kept) = result?;
    let again = match options.common.verify {
        Verify::Full => Some(Source::new(
            &mut server,
            options.choice.clone(),
            work.pace.chunk(),
        )?),
        _ => None,
    };
    compare(options, (target, work, summary), (sample, kept), again)
}

impl Input for &mut Source<'_> {
    fn next(&mut self) -> Outcome<Option<super::Batch>> {
        (**self).next()
    }
}

pub(super) type Kept = std::collections::BTreeMap<u32, Seen>;

/// Writes everything, and returns a sample of it and what was not touched.
pub(super) fn transfer(
    options: &Import,
    work: &mut Work,
    mut input: impl Input,
    (server, summary, place): (&mut Server, &mut Summary, &mut Place),
) -> Outcome<(Sample, Kept)> {
    let mut target = Target::new(server, options.existing);
    let mut sample = Sample::default();
    let samples = options.common.verify == Verify::Sample;
    let outcome = work.pump(&mut input, &mut target, |batch, entries| {
        place.is_begun = true;
        place.block = (batch.block > 0).then_some(batch.block);
        if samples {
            entries.iter().for_each(|entry| sample.offer(batch.db, entry));
        }
    });
    for (db, written) in &target.written {
        let database = summary.databases.entry(*db).or_default();
        database.entries = written.entries;
        database.existing = written.existing;
        database.expired = written.expired;
        summary.entries += written.entries;
    }
    summary.refusals.join(target.refusals);
    // Where the way to go on is told with the reason, no other one is.
    place.is_begun &= !target.is_told;
    outcome?;
    let written = target.written;
    let kept = target.kept;
    count(server, &written, summary)?;
    // From here on nothing is left to be done.
    *place = Place::default();
    Ok((sample, kept))
}

/// The target must count at least what was written and has not expired.
fn count(
    server: &mut Server,
    written: &std::collections::BTreeMap<u32, Written>,
    summary: &mut Summary,
) -> Outcome<()> {
    let counted = databases(server)?;
    let now_ms = server.now_ms()?;
    for (db, written) in written {
        let keys = counted.get(db).map_or(0, |counted| counted.keys);
        summary.databases.entry(*db).or_default().dbsize = Some(keys);
        let all_live = written.first_deadline_ms.is_none_or(|ms| ms > now_ms + 1000);
        let expected = if all_live {
            written.entries
        } else {
            written.lasting
        };
        if keys < expected {
            summary.verification.note(format!(
                "database {db}: {expected} entries were written that have not expired, and the server counts {keys} \
                 keys: it has lost, evicted or deleted some"
            ));
        }
    }
    Ok(())
}

/// Compares the target with what was written.
fn compare(
    options: &Import,
    (server, work, summary): (&mut Server, &mut Work, &mut Summary),
    (sample, kept): (Sample, Kept),
    again: Option<impl Input>,
) -> Outcome<()> {
    let result: &mut Verification = &mut summary.verification;
    let mut compare = Compare {
        server,
        untouched: &kept,
        result,
    };
    for (db, entries) in sample.by_database() {
        compare.take(db, &entries)?;
    }
    if let Some(mut again) = again.filter(|_| options.common.verify == Verify::Full) {
        work.progress.label("comparing: ");
        work.pump(&mut again, &mut compare, |_, _| {})?;
    }
    Ok(())
}
