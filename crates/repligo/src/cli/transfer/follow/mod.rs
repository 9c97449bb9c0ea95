//! Following a running server as a replica of it, until its clients are moved over.
//!
//! First its snapshot is imported like a file, then every request that changes its data is applied, in its order and
//! exactly once (`apply.rs`). A broken connection goes on where it was; where the server cannot do that, because it has
//! restarted or remembers too little, everything begins anew, into an emptied target. Invariants: the target had no keys
//! when it began, so that all keys it has are the source's; what was applied is known to the byte.

pub(super) mod apply;
mod copies;
mod link;
pub(super) mod requests;
mod restore;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use repligo_proto::words::INFO_REPLICATION_OFFSET;
use serde::Serialize;

use self::apply::Applier;
use self::copies::Copies;
use self::link::{Begin, Dial, Place, Reading};
use self::requests::{Step, Unit, Units};
use super::deadlines::PutOff;
use super::facts::databases;
use super::libraries;
use super::options::{Import, Side, Verify};
use super::rdb::{self, RdbInput};
use super::server::Server;
use super::settle::settle;
use super::summary::Summary;
use super::target::Existing;
use super::verify::Sample;
use super::{Halt, Outcome, Work};
use crate::cli::failure::Failure;
use crate::cli::signals::StopFlag;
use crate::cli::wire::WireError;

/// Units of one transaction, and bytes of them.
const BATCH_UNITS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Before a broken connection is made again.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Between two questions how far the source is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What to do beside copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// End by itself when everything is there that the source had a moment ago.
    pub until_caught_up: bool,
    /// Where snapshots are kept while they come.
    pub folder: PathBuf,
}

/// How it went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Followed {
    /// The source's data.
    pub replication_id: String,
    /// All up to there is applied.
    pub offset: u64,
    /// Bytes that the source was ahead when it was last asked.
    pub lag_bytes: Option<u64>,
    /// Requests that were applied behind the snapshot.
    pub requests: u64,
    /// Times that everything was copied.
    pub full_syncs: u64,
    /// Times that a broken connection went on where it was.
    pub resumed: u64,
}

/// How a stretch of the stream ended.
enum Stretch {
    /// Everything is done.
    Done,
    /// The connection broke.
    Broken(String),
    /// What follows cannot be applied.
    Anew(String),
}

/// Both ends, and what is known of them.
pub struct Following<'a> {
    options: &'a Import,
    follow: &'a Follow,
    side: &'a Side,
    work: &'a mut Work,
    target: &'a mut Server,
    /// Asked how far it is, and what it holds, over a connection of its own.
    source: Server,
    summary: &'a mut Summary,
    applier: Applier,
    copies: Copies,
    place: Option<Place>,
    units: Units,
    /// Entries of the snapshot.
    sample: Sample,
    /// Keys of requests.
    written: Sample,
    /// The source was last asked then, and was there.
    asked: Option<(Instant, u64)>,
    at: usize,
}

/// Imports and follows until it is caught up, or the end is asked for.
pub fn run(
    (options, follow, side): (&Import, &Follow, &Side),
    work: &mut Work,
    (target, summary, place): (&mut Server, &mut Summary, &mut super::import::Place),
) -> Outcome<()> {
    // What is asked for the end is asked for by somebody who wants to hear how it ended.
    let patience = options.common.patience;
    let mut source = Server::new(
        side.addresses.clone(),
        side.login.clone(),
        patience,
        StopFlag::default(),
    );
    source.connect()?;
    target.connect()?;
    super::import::judge_different(&source, target)?;
    judge_empty(target, options.choice.db)?;
    summary.followed = Some(Followed::default());
    place.needs_empty = true;
    let mut following = Following {
        applier: Applier::new(options.choice.db.unwrap_or(0), patience),
        copies: Copies::default(),
        units: Units::new(0, 0, options.choice.db),
        options,
        follow,
        side,
        work,
        target,
        source,
        summary,
        place: None,
        sample: Sample::default(),
        written: Sample::default(),
        asked: None,
        at: 0,
    };
    let outcome = following.run();
    // Also of what has failed, the target keeps no name of ours and no deadline that was put off, if it can be reached.
    let ended = match following.place {
        Some(_) => (following.applier.end(following.target))
            .and_then(|()| settle(following.target, options.choice.db)),
        None => Ok(()),
    };
    following.note();
    outcome.and(ended)
}

/// Whoever writes what depends on what was there needs a target without keys.
pub(super) fn judge_empty(target: &mut Server, db: Option<u32>) -> Outcome<()> {
    let counted = databases(target)?;
    match counted
        .iter()
        .find(|(at, counted)| counted.keys > 0 && db.is_none_or(|db| db == **at))
    {
        None => Ok(()),
        Some((db, counted)) => Err(Failure::new(
            format!("{}: database {db} has {} keys", target.name(), counted.keys),
            "the target becomes what the source is: give one without keys, or --db N for one database of it",
        )
        .into()),
    }
}

impl Following<'_> {
    fn run(&mut self) -> Outcome<()> {
        let mut broken: Option<Instant> = None;
        loop {
            let (begin, wire) = match self.begin()? {
                Ok(begun) => begun,
                Err(error) => {
                    let since = *broken.get_or_insert_with(Instant::now);
                    self.judge(&error, since)?;
                    std::thread::sleep(PAUSE);
                    self.at += 1;
                    continue;
                }
            };
            broken = None;
            let applied = match &begin {
                Begin::Full(place, _) | Begin::Continue(place) => place.offset,
            };
            // The source is told from now on that somebody listens, while the snapshot is imported.
            let reading = wire
                .run(applied)
                .map_err(|error| Failure::new(error.to_string(), "free resources"))?;
            match begin {
                Begin::Full(place, file) => self.import(place, &file)?,
                Begin::Continue(place) => self.resume(place),
            }
            match self.apply(&reading)? {
                Stretch::Done => return Ok(()),
                Stretch::Broken(why) => {
                    self.copies.broken(self.address(), &why)?;
                    std::thread::sleep(SHORT_PAUSE);
                    let line = format!("{}: {why}; connecting again", self.address());
                    self.work.progress.note(&line);
                }
                Stretch::Anew(why) => {
                    self.work.progress.note(&why);
                    std::thread::sleep(SHORT_PAUSE);
                    self.place = self.place.take().map(|place| Place {
                        id: "?".into(),
                        ..place
                    });
                }
            }
        }
    }

    fn address(&self) -> &str {
        &self.side.addresses[self.at % self.side.addresses.len()]
    }

    fn begin(&mut self) -> Outcome<Result<(Begin, link::Wire), WireError>> {
        if self.work.stop.is_set() {
            return Err(Halt::Interrupted);
        }
        let address = &self.side.addresses[self.at % self.side.addresses.len()];
        let dial = Dial {
            address,
            login: &self.side.login,
            patience: self.options.common.patience,
            stop: self.work.stop.clone(),
            folder: &self.follow.folder,
        };
        let place = self.place.as_ref().filter(|place| place.id != "?");
        let progress = &mut self.work.progress;
        progress.label("receiving: ");
        dial.begin(place, &mut |bytes| {
            progress.show(|| format!("{bytes} bytes of the snapshot"))
        })
    }

    /// Whether another attempt may help.
    fn judge(&self, error: &WireError, since: Instant) -> Outcome<()> {
        let text = error.to_string();
        let is_final = matches!(error, WireError::Refused(text)
            if ["NOAUTH", "NOPERM", "WRONGPASS", "ERR"].iter().any(|word| text.starts_with(word)));
        if !is_final && since.elapsed() < self.options.common.patience {
            return Ok(());
        }
        if text.contains("unknown command") {
            return Err(Failure::new(
                format!("{}: it has no PSYNC, so it cannot be followed: {text}", self.address()),
                "a Repligo is copied without --follow, while nobody writes to it; a Redis or Valkey must allow PSYNC",
            )
            .into());
        }
        Err(Failure::new(
            format!("{}: PSYNC: {text}", self.address()),
            "the source must be a Redis or Valkey whose user may run PSYNC and REPLCONF",
        )
        .into())
    }

    /// The snapshot, into a target that has no keys.
    /// Requests follow, so that no field has ended yet.
    fn input<'f>(&self, file: &'f File) -> RdbInput<&'f File> {
        RdbInput::new(file, 1, self.options.choice.db).preamble()
    }

    fn import(&mut self, place: Place, file: &File) -> Outcome<()> {
        self.work.progress.label("checking: ");
        let rdb::Checked {
            contents,
            left,
            libraries,
            stream_db,
        } = rdb::check(file, self.input(file), self.work)?;
        // What an earlier copy has left out is in this one, or is told of it.
        self.summary.note_left(left);
        super::import::judge_databases(self.target, contents.entries.keys())?;
        let total = contents.entries.values().sum();
        if self.place.is_some() {
            self.empty(total)?;
        }
        self.summary.followed.get_or_insert_default().full_syncs += 1;
        self.work.total = Some(total);
        rewind(file)?;
        self.work.progress.label("importing: ");
        // Those of an earlier copy are its own.
        let existing = match self.place {
            None => self.options.existing,
            Some(_) => Existing::Replace,
        };
        let ends = (&mut *self.target, &mut *self.summary);
        libraries::load(ends, &libraries, existing)?;
        // From the first key on, the target has to be emptied before everything begins anew.
        self.place = Some(place.clone());
        let input = self.input(file);
        let mut begun = super::import::Place::default();
        self.summary.begin_anew();
        let ends = (&mut *self.target, &mut *self.summary, &mut begun);
        let (sample, _) = super::import::transfer(self.options, &mut *self.work, PutOff(input), ends)?;
        (self.sample, self.written) = (sample, Sample::default());
        self.applier.forget();
        self.copies.copied();
        self.units = Units::new(place.offset, stream_db, self.options.choice.db);
        let line = format!("the snapshot is there; following from offset {}", place.offset);
        self.work.progress.note(&line);
        Ok(())
    }

    /// Removes what an earlier copy has written, for another one of so many entries.
    fn empty(&mut self, entries: u64) -> Outcome<()> {
        let name = self.address().to_string();
        if entries == 0 {
            return Err(Failure::new(
                format!("{name}: it cannot go on where it was, and has no keys any more"),
                "it may have restarted without its data: the target keeps what it has",
            )
            .into());
        }
        let line = format!(
            "{name}: it cannot go on where it was: the target is emptied, and everything copied anew"
        );
        self.work.progress.note(&line);
        let counted = databases(self.target)?;
        for db in counted
            .into_keys()
            .filter(|db| self.options.choice.db.is_none_or(|only| only == *db))
        {
            self.target.ask_one(db, &["FLUSHDB"])?;
        }
        Ok(())
    }

    fn resume(&mut self, place: Place) {
        let (offset, db) = self.units.place();
        debug_assert_eq!(offset, place.offset);
        self.note_left();
        self.units = Units::new(offset, db, self.options.choice.db);
        self.work
            .progress
            .note(&format!("the connection goes on from offset {offset}"));
        self.summary.followed.get_or_insert_default().resumed += 1;
        self.place = Some(place);
    }

    /// Applies what comes.
    fn apply(&mut self, reading: &Reading) -> Outcome<Stretch> {
        self.work.progress.label("following: ");
        let mut goal: Option<u64> = None;
        loop {
            let bytes = match reading.next() {
                Ok(bytes) => bytes,
                Err(why) => return Ok(Stretch::Broken(why)),
            };
            self.units.feed(&bytes);
            if let Some(stretch) = self.apply_units()? {
                return Ok(stretch);
            }
            let (offset, _) = self.units.place();
            reading.applied(offset);
            self.settle(offset);
            if reading.is_drained() {
                self.copies.caught_up();
            }
            let is_asked = self.follow.until_caught_up || self.work.stop.is_set();
            // Once the end is asked for, everything that the source has by then is waited for.
            if is_asked && goal.is_none() {
                goal = Some(self.ask_source()?);
            }
            if goal.is_some_and(|goal| offset >= goal) {
                self.summary.followed.get_or_insert_default().lag_bytes =
                    Some(self.ask_source()?.saturating_sub(offset));
                return self.compare(reading);
            }
            if self.asked.is_none_or(|(when, _)| when.elapsed() > ASK_EVERY) {
                self.ask_source()?;
            }
            self.show(offset, reading.held());
        }
    }

    fn settle(&mut self, offset: u64) {
        if let Some(place) = &mut self.place {
            place.offset = offset;
        }
    }

    fn show(&mut self, offset: u64, held: u64) {
        let behind = self.asked.map_or(held, |(_, there)| there.saturating_sub(offset));
        let requests = self.applier.applied;
        self.work
            .progress
            .show(|| format!("{requests} requests, offset {offset}, {behind} bytes behind; ^C ends it"));
    }

    /// Writes all whole units that are there; what ends the stretch, if something does.
    fn apply_units(&mut self) -> Outcome<Option<Stretch>> {
        loop {
            let mut batch: Vec<Unit> = Vec::new();
            let (mut bytes, mut end) = (0, None);
            while batch.len() < BATCH_UNITS && bytes < BATCH_BYTES && end.is_none() {
                match self.units.next() {
                    Step::Unit(unit) => {
                        bytes += unit.bytes();
                        batch.push(unit);
                    }
                    Step::Wait => end = Some(None),
                    Step::Anew(why) => end = Some(Some(Stretch::Anew(why.into()))),
                    Step::Broken => {
                        let what = format!("{}: it sends something else than requests", self.address());
                        return Err(Failure::new(what, "look at the source's log").into());
                    }
                }
            }
            self.applier.apply(self.target, &batch)?;
            self.offer(&batch);
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Most requests have a key behind their name; what is none is a key that neither side has.
    fn offer(&mut self, batch: &[Unit]) {
        if self.options.common.verify != Verify::Sample {
            return;
        }
        for (db, request) in batch.iter().flat_map(|unit| &unit.requests) {
            if let Some(key) = request.get(1) {
                self.written.offer_key(*db, key);
            }
        }
    }

    /// How far the source is.
    fn ask_source(&mut self) -> Outcome<u64> {
        let info = self.source.ask_one(0, &["INFO", "replication"])?;
        let offset = info.as_str().and_then(offset_of).ok_or_else(|| {
            let what = format!("{}: INFO does not tell its offset", self.source.name());
            Failure::new(what, "the source must be a Redis or Valkey")
        })?;
        self.asked = Some((Instant::now(), offset));
        Ok(offset)
    }

    /// Notes what of the requests was left out, before they are counted anew.
    fn note_left(&mut self) {
        let left: BTreeMap<&'static str, u64> = std::mem::take(&mut self.units.left);
        for (what, count) in left {
            *self.summary.left_out.entry(what).or_default() += count;
        }
    }

    /// Notes how it went.
    fn note(&mut self) {
        let followed = self.summary.followed.get_or_insert_default();
        followed.requests = self.applier.applied;
        if let Some(place) = &self.place {
            (followed.replication_id, followed.offset) = (place.id.clone(), place.offset);
        }
        self.note_left();
        self.summary
            .refusals
            .join(std::mem::take(&mut self.applier.refusals));
        self.summary.reconnects += self.source.reconnects;
    }
}

/// What INFO says of how far it is.
fn offset_of(info: &str) -> Option<u64> {
    let mut lines = info.lines();
    let line = lines.find_map(|line| line.strip_prefix(INFO_REPLICATION_OFFSET))?;
    line.trim_start_matches(':').trim().parse().ok()
}

fn rewind(mut file: &File) -> Outcome<()> {
    use std::io::Seek as _;
    file.rewind()
        .map_err(|error| Failure::new(format!("the snapshot cannot be read: {error}"), "check the disk"))?;
    Ok(())
}
