//! KEYS and SCAN: a walk over the keys of a database that compares each with a pattern.
//!
//! What a walk does is counted as it is done: a step for each bucket and each key, and more for long keys and
//! for what the comparison with the pattern takes, which can be thousands of times as much. So it may be
//! left in the middle of one key; that key and the others of its bucket are then kept as copies, and what is
//! written in between changes nothing for them.
//!
//! Invariant: a key that is there from the begin to the end of KEYS is given exactly once, by SCAN at least
//! once; neither depends on how the walk is cut.

use std::collections::VecDeque;

use repligo_proto::glob::{Glob, Progress};
use repligo_proto::reply::ReplyWriter;

use super::slices::steps_of;
use super::{Keyspace, kind};
use crate::command::Command;
use crate::limits::WORK_PER_STEP;
use crate::pieces::Pieces;
use crate::table::EntryRef;

/// SCAN looks at no more than this many table cursors per entry that was asked for, so that a sparse
/// table cannot make one call long (Redis has the same bound).
const CURSORS_PER_ENTRY: u64 = 10;
/// SCAN gives no more entries than about this in one call, whatever COUNT says: it is a hint, and the
/// client calls again.
const SCANNED_MAX: u64 = 4096;
/// Room for the header of the reply, which is known at the end.
const HEADER_BYTES: usize = 64;

/// How the walk goes from bucket to bucket, and when it ends.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// To the end, by hash.
    Keys { from: Option<u64> },
    /// For a while, by cursor.
    Scan {
        cursor: u64,
        rest_entries: u64,
        rest_cursors: u64,
    },
}

/// A walk and how far it has come; `P` holds the pattern's bytes.
#[derive(Debug)]
pub(super) struct Walk<P> {
    db: u8,
    /// The number of the database that is walked, which stays the same when it goes to another place.
    number: Option<u8>,
    course: Course,
    is_over: bool,
    /// `None` for everything.
    pattern: Option<P>,
    glob: Glob,
    /// SCAN asked for keys of one type; of none that there is if the inner one is `None`.
    kind: Option<Option<&'static str>>,
    /// Keys of the last bucket that are not compared yet, the first of them perhaps in half.
    pending: VecDeque<Box<[u8]>>,
    /// Bytes of these.
    pending_bytes: usize,
    progress: Progress,
    /// Room for the header, then the keys.
    found: Pieces,
    count: usize,
}

impl<P: AsRef<[u8]>> Walk<P> {
    /// A walk at its begin; `None` if the command is neither KEYS nor SCAN. `hold` keeps the pattern.
    pub fn new<'a>(command: &Command<'a>, hold: impl FnOnce(&'a [u8]) -> P) -> Option<Self> {
        let (db, pattern, course, kind) = match *command {
            Command::Keys { db, pattern } => (db, Some(pattern), Course::Keys { from: Some(0) }, None),
            Command::Scan {
                db,
                cursor,
                count,
                pattern,
                kind,
            } => {
                let rest_entries = count.min(SCANNED_MAX);
                let course = Course::Scan {
                    cursor,
                    rest_entries,
                    rest_cursors: rest_entries.saturating_mul(CURSORS_PER_ENTRY),
                };
                (db, pattern, course, kind)
            }
            _ => return None,
        };
        Some(Self {
            db,
            number: None,
            course,
            is_over: false,
            // As in Redis this is everything before anything is compared, the empty key too.
            pattern: pattern.filter(|pattern| *pattern != b"*").map(hold),
            glob: Glob::default(),
            kind: kind.map(type_named),
            pending: VecDeque::new(),
            pending_bytes: 0,
            progress: Progress::default(),
            found: Pieces::from(vec![0; HEADER_BYTES]),
            count: 0,
        })
    }

    /// True while it is in the middle of a key that takes long.
    pub fn is_in_key(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Bytes of memory that it holds beside its command and its reply: the compiled pattern and copies of keys.
    pub fn held_bytes(&self) -> usize {
        self.glob.memory_bytes() + self.pending_bytes
    }

    /// Bytes of the reply so far.
    pub fn found_bytes(&self) -> usize {
        self.found.len()
    }

    /// The reply, once the walk is done.
    pub fn into_found(self) -> Pieces {
        self.found
    }

    /// The same, to be copied.
    pub fn found(&self) -> &Pieces {
        &self.found
    }

    /// Walks on for about so many steps and takes them off; true when the reply is complete.
    pub fn advance(&mut self, keyspace: &Keyspace, steps: &mut usize) -> bool {
        let mut work = steps.saturating_mul(WORK_PER_STEP);
        let is_done = self.advance_by(keyspace, &mut work);
        *steps = work / WORK_PER_STEP;
        if is_done {
            self.write_header();
        }
        is_done
    }

    fn advance_by(&mut self, keyspace: &Keyspace, work: &mut usize) -> bool {
        if let Some(pattern) = &self.pattern
            && !self.glob.compile(pattern.as_ref(), work)
        {
            return false;
        }
        loop {
            while let Some(key) = self.pending.pop_front() {
                let Some(matched) = self.compare(&key, work) else {
                    self.pending.push_front(key);
                    return false;
                };
                self.pending_bytes -= key.len();
                if matched {
                    self.give(&key, work);
                }
            }
            if self.is_over {
                return true;
            }
            if *work < WORK_PER_STEP {
                return false;
            }
            self.visit_bucket(keyspace, work);
        }
    }

    /// Whether the key is given, once that is known.
    fn compare(&mut self, key: &[u8], work: &mut usize) -> Option<bool> {
        let Some(pattern) = &self.pattern else {
            return Some(true);
        };
        // Redis' matcher finds that an empty text matches an empty pattern only.
        if key.is_empty() {
            return Some(pattern.as_ref().is_empty());
        }
        let matched = self.glob.advance(key, &mut self.progress, work)?;
        self.progress = Progress::default();
        Some(matched)
    }

    fn give(&mut self, key: &[u8], work: &mut usize) {
        self.count += 1;
        ReplyWriter::new(self.found.room(), false).bulk(key);
        take_copy(work, key.len());
    }

    fn visit_bucket(&mut self, keyspace: &Keyspace, work: &mut usize) {
        *work -= WORK_PER_STEP;
        let is_it = |number| keyspace.database(self.db).is_some_and(|it| it.number() == number);
        if let Some(number) = self.number.filter(|number| !is_it(*number)) {
            self.db = keyspace.place_of(number);
        }
        let Some(database) = keyspace.database(self.db) else {
            if let Course::Scan { cursor, .. } = &mut self.course {
                *cursor = 0;
            }
            self.is_over = true;
            return;
        };
        self.number = Some(database.number());
        let (mut seen, db) = (0, self.db);
        let mut course = self.course;
        let mut on_entry = |entry: EntryRef<'_>| {
            seen += 1;
            *work = work.saturating_sub(WORK_PER_STEP);
            let is_wanted = self
                .kind
                .is_none_or(|name| name == Some(kind::type_name(entry.kind)));
            if !is_wanted || !keyspace.is_key(db, &entry) {
                return;
            }
            // Behind one that is not done all others wait, so that the work of a step stays bounded.
            let matched = match self.pending.is_empty() {
                true => self.compare(entry.key, work),
                false => None,
            };
            match matched {
                Some(true) => self.give(entry.key, work),
                Some(false) => {}
                None => {
                    self.pending.push_back(entry.key.into());
                    self.pending_bytes += entry.key.len();
                    take_copy(work, entry.key.len());
                }
            }
        };
        self.is_over = match &mut course {
            Course::Keys { from } => {
                *from = from.and_then(|at| database.table().visit(at, &mut on_entry));
                from.is_none()
            }
            Course::Scan {
                cursor,
                rest_entries,
                rest_cursors,
            } => {
                *cursor = database.table().scan(*cursor, &mut on_entry);
                *rest_entries = rest_entries.saturating_sub(seen);
                *rest_cursors = rest_cursors.saturating_sub(1);
                *cursor == 0 || *rest_entries == 0 || *rest_cursors == 0
            }
        };
        self.course = course;
    }

    fn write_header(&mut self) {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        let mut writer = ReplyWriter::new(&mut header, false);
        if let Course::Scan { cursor, .. } = self.course {
            writer.array(2);
            writer.bulk(itoa::Buffer::new().format(cursor).as_bytes());
        }
        writer.array(self.count);
        if let Some(first) = self.found.first_mut() {
            first.splice(..HEADER_BYTES, header);
        }
    }
}

/// The type of this name, whatever its case.
fn type_named(name: &[u8]) -> Option<&'static str> {
    (0..=kind::LAST)
        .map(kind::type_name)
        .find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Takes off what copying so many bytes costs beside the step for the key.
fn take_copy(work: &mut usize, bytes: usize) {
    *work = work.saturating_sub((steps_of(bytes) - 1) * WORK_PER_STEP);
}
