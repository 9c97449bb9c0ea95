//! From a server into a file.

use std::collections::BTreeMap;

use super::facts::Found;
use super::file::{FileInput, FileOutput, STANDARD};
use super::libraries;
use super::options::{Export, Verify};
use super::server::Server;
use super::source::Source;
use super::summary::{Database, Summary};
use super::verify::{Compare, Sample};
use super::{Outcome, Output as _, Work};

/// Runs it, and says what it did, however it ended.
pub fn run(options: &Export, mut work: Work) -> Summary {
    let mut summary = Summary {
        kind: "export",
        from: options.source.addresses.join(","),
        to: options.output.clone(),
        ..Summary::default()
    };
    summary.verification.kind = options.common.verify.name();
    let mut server = Server::new(
        options.source.addresses.clone(),
        options.source.login.clone(),
        options.common.patience,
        work.stop.clone(),
    );
    let outcome = export(options, &mut server, &mut work, &mut summary);
    work.progress.clear();
    summary.reconnects = server.reconnects;
    summary.seconds = work.start.elapsed().as_secs_f64();
    let go_on = match options.output.as_str() {
        STANDARD => "run the same command again: what was written has no end, and an import refuses it",
        _ => "run the same command again: no file was left behind",
    };
    summary.end(&outcome, if summary.bytes.is_some() { "" } else { go_on });
    summary
}

fn export(options: &Export, server: &mut Server, work: &mut Work, summary: &mut Summary) -> Outcome<()> {
    server.connect()?;
    let libraries = libraries::read(server, summary)?;
    let mut output = FileOutput::create(&options.output, options.overwrite, &libraries)?;
    summary.libraries.exported = Some(libraries.len() as u64);
    let mut sample = Sample::default();
    let mut counts = BTreeMap::new();
    let mut source = Source::new(server, options.choice.clone(), work.pace.chunk())?;
    work.total = Some(source.found.total());
    let samples = options.common.verify == Verify::Sample;
    let outcome = work.pump(&mut source, &mut output, |batch, entries| {
        if !entries.is_empty() {
            *counts.entry(batch.db).or_default() += entries.len() as u64;
        }
        if samples {
            entries.iter().for_each(|entry| sample.offer(batch.db, entry));
        }
    });
    let lost = source.lost();
    note(summary, source.found, &counts);
    lost.into_iter().for_each(|text| summary.verification.note(text));
    outcome?;
    summary.bytes = Some(output.finish(&counts)?);
    compare(options, server, work, (sample, summary))
}

/// Compares the source with what was written.
fn compare(
    options: &Export,
    server: &mut Server,
    work: &mut Work,
    (sample, summary): (Sample, &mut Summary),
) -> Outcome<()> {
    let untouched = BTreeMap::new();
    let mut compare = Compare {
        server,
        untouched: &untouched,
        result: &mut summary.verification,
    };
    for (db, entries) in sample.by_database() {
        compare.take(db, &entries)?;
    }
    if options.common.verify == Verify::Full {
        work.progress.label("comparing: ");
        let mut again = FileInput::new(FileOutput::reopen(&options.output)?, 1, None);
        work.pump(&mut again, &mut compare, |_, _| {})?;
    }
    Ok(())
}

fn note(summary: &mut Summary, found: Found, counts: &BTreeMap<u32, u64>) {
    for (db, counted) in found.counted {
        summary.databases.insert(
            db,
            Database {
                dbsize: Some(counted.keys),
                ..Database::default()
            },
        );
    }
    for (db, entries) in counts {
        summary.databases.entry(*db).or_default().entries = *entries;
        summary.entries += entries;
    }
    summary.note_found(
        found.other_types,
        [found.vanished, found.changed, found.duplicates, found.rescans],
    );
    summary.rows = found.rows;
    summary.refusals.join(found.refusals);
}
