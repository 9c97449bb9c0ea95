//! SETRANGE and APPEND that write much of a value, a piece at a time.
//!
//! One SETRANGE of a few bytes can make a value half a gigabyte longer, all of it zeros that have to be
//! written and hashed. What is written in pieces is what is written at once, version and digest included.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use super::digest::WHOLE_BYTES_MAX;
use super::slices::steps_of;
use super::{Keyspace, kind};
use crate::command::Command;
use crate::limits::{SLICE_STEPS, STEP_BYTES, STRING_BYTES_MAX, VALUE_AT_ONCE_BYTES};
use crate::table::Meta;

/// Bytes that are written with one look-up.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// Bytes that a SETRANGE writes at once. It is a short op whatever it writes, so as many of them as a slice has
/// steps must still be little work.
const AT_ONCE_BYTES: usize = STEP_BYTES * if SLICE_STEPS < 16 { SLICE_STEPS } else { 16 };
/// A value of no more bytes is copied to memory that is zero already, instead of being continued by zeros.
pub(super) const COPIED_BYTES_MAX: usize = SLICE_STEPS * STEP_BYTES;
pub(super) static ZEROS: [u8; PIECE_BYTES] = [0; PIECE_BYTES];

/// Such a command and how far it has come.
#[derive(Debug)]
pub(super) struct Stretch {
    db: u8,
    key: Bytes,
    /// `None` for the end of what is there.
    offset: Option<usize>,
    value: Bytes,
    begun: Option<Begun>,
}

/// What is known once it has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    meta: Meta,
    /// Where the value goes.
    start: usize,
    /// Bytes up to here are written.
    at: usize,
    /// Length of the string at the end.
    length: usize,
}

impl Stretch {
    /// The command, decoded from `source`; `None` if it is another one.
    pub fn new(command: &Command<'_>, source: &Bytes) -> Option<Self> {
        let Written {
            db,
            key,
            offset,
            value,
        } = Written::of(command)?;
        Some(Self {
            db,
            key: source.slice_ref(key),
            offset: offset.map(|offset| offset as usize),
            value: source.slice_ref(value),
            begun: None,
        })
    }

    /// Writes on and takes the steps off; true when all is written and answered.
    pub fn advance(
        &mut self,
        keyspace: &mut Keyspace,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
    ) -> bool {
        if *steps == 0 {
            return false;
        }
        if self.begun.is_none() && !keyspace.unshare(self.db, &self.key, steps) {
            return false;
        }
        let mut begun = match self.begun {
            Some(begun) => begun,
            None => self.begin(keyspace),
        };
        let end = begun.start + self.value.len();
        while *steps > 0 && begun.at < end {
            let bytes_max = PIECE_BYTES.min(steps.saturating_mul(STEP_BYTES));
            let piece = match begun.at.checked_sub(begun.start) {
                Some(done) => &self.value[done..self.value.len().min(done + bytes_max)],
                None => &ZEROS[..bytes_max.min(begun.start - begun.at)],
            };
            let database = keyspace.databases[usize::from(self.db)].as_mut();
            let database = database.expect("there is an entry from the begin on");
            database.overwrite(&self.key, (begun.at, piece), begun.meta);
            begun.at += piece.len();
            *steps = steps.saturating_sub(steps_of(piece.len()));
        }
        self.begun = Some(begun);
        let is_done = begun.at == end;
        if is_done {
            reply.integer(begun.length as i64);
        }
        is_done
    }

    fn begin(&self, keyspace: &mut Keyspace) -> Begun {
        if keyspace.is_observed() {
            keyspace.note_put(self.db, &self.key, kind::STRING_CHANGED);
        }
        let old = keyspace.find(self.db, &self.key);
        let old = old.map(|entry| (entry.value.len(), entry.deadline_ms));
        let (old_length, deadline_ms) = old.unwrap_or_default();
        let meta = Meta {
            deadline_ms,
            version: keyspace.next_version(),
            kind: kind::STRING_CHANGED,
        };
        if old.is_none() {
            keyspace.put_entry(self.db, &self.key, (b"", meta));
        }
        let start = self.offset.unwrap_or(old_length);
        let length = old_length.max(start + self.value.len());
        let mut at = start.min(old_length);
        if at < start && old_length <= COPIED_BYTES_MAX && length > WHOLE_BYTES_MAX {
            let database = keyspace.databases[usize::from(self.db)].as_mut();
            let database = database.expect("there is an entry by now");
            database.stretch(&self.key, length, meta);
            at = start;
        }
        Begun {
            meta,
            start,
            at,
            length,
        }
    }
}

/// What a SETRANGE writes, or an APPEND, which has no offset.
struct Written<'a> {
    db: u8,
    key: &'a [u8],
    offset: Option<u64>,
    value: &'a [u8],
}

impl<'a> Written<'a> {
    fn of(command: &Command<'a>) -> Option<Self> {
        let (db, key, offset, value) = match *command {
            Command::SetRange {
                db,
                key,
                offset,
                value,
            } => (db, key, Some(offset), value),
            Command::Append { db, key, value } => (db, key, None, value),
            _ => return None,
        };
        Some(Self {
            db,
            key,
            offset,
            value,
        })
    }
}

/// True for a SETRANGE that may write much, whatever is there when its turn comes.
pub(super) fn may_stretch(command: &Command<'_>) -> bool {
    let Command::SetRange { offset, value, .. } = *command else {
        return false;
    };
    !value.is_empty() && offset.saturating_add(value.len() as u64) > AT_ONCE_BYTES as u64
}

impl Keyspace {
    /// True for a string so long that it is copied in slices if a snapshot that is being taken shares it.
    pub(super) fn may_share(&self, db: u8, key: &[u8]) -> bool {
        self.is_snapshot_active()
            && self
                .find(db, key)
                .is_some_and(|entry| kind::is_string(entry.kind) && entry.value.len() > VALUE_AT_ONCE_BYTES)
    }

    /// Copies a string that a snapshot shares and takes the steps off; true when nothing shares it.
    pub(super) fn unshare(&mut self, db: u8, key: &[u8], steps: &mut usize) -> bool {
        if !self.may_share(db, key) {
            return true;
        }
        while *steps > 0 {
            let bytes_max = PIECE_BYTES.min(steps.saturating_mul(STEP_BYTES));
            if self.database_mut(db).unshare(key, bytes_max) {
                return true;
            }
            *steps = steps.saturating_sub(steps_of(bytes_max));
        }
        false
    }

    /// True for a SETRANGE or APPEND that changes a string which may have to be copied first, and is not refused.
    pub(super) fn copies_first(&self, command: &Command<'_>) -> bool {
        let Some(written) = Written::of(command) else {
            return false;
        };
        if written.value.is_empty() || !self.may_share(written.db, written.key) {
            return false;
        }
        let old = self.find(written.db, written.key);
        let length = old.map_or(0, |entry| entry.value.len());
        let start = written.offset.unwrap_or(length as u64);
        start.saturating_add(written.value.len() as u64) <= STRING_BYTES_MAX as u64
    }

    /// True for a SETRANGE that writes much, or an APPEND that writes more bytes than one slice has steps for, and
    /// that is not refused.
    pub(super) fn stretches_far(&self, command: &Command<'_>) -> bool {
        const SLICE_BYTES: usize = SLICE_STEPS * STEP_BYTES;
        let length = |db, key: &[u8]| self.find(db, key).map(|entry| entry.value.len());
        let is_refused = |db, key: &[u8]| {
            let entry = self.find(db, key);
            entry.is_some_and(|entry| !kind::is_string(entry.kind))
        };
        match *command {
            Command::SetRange {
                db,
                key,
                offset,
                value,
            } => {
                let end = offset.saturating_add(value.len() as u64);
                if !may_stretch(command) || end > STRING_BYTES_MAX as u64 {
                    return false;
                }
                if is_refused(db, key) {
                    return false;
                }
                let at = length(db, key).unwrap_or(0).min(offset as usize);
                end as usize - at > AT_ONCE_BYTES
            }
            Command::Append { db, key, value } if value.len() > SLICE_BYTES => {
                // Where nothing is, it is a SET.
                !is_refused(db, key)
                    && length(db, key).is_some_and(|length| length + value.len() <= STRING_BYTES_MAX)
            }
            _ => false,
        }
    }
}
