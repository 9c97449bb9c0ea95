//! Strings that are longer than what a turn copies: read for GET, GETRANGE, GETDEL, GETEX, SET … GET and MGET, and
//! written by SET, a piece at a time.
//!
//! What is read and written in pieces is what is read and written at once, version and digest included. Between two
//! pieces the value stays what it is: whoever executes such a command lets nothing else write.

use std::ops::Range;

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::write::NewValue;
use super::{Keyspace, ReadOutcome, kind};
use crate::command::{Command, Expiry, GetExpiry, SetCondition, SetReply};
use crate::limits::{STEP_BYTES, VALUE_AT_ONCE_BYTES};
use crate::table::Meta;

/// Bytes that are written with one look-up.
const PIECE_BYTES: usize = if cfg!(feature = "bugs") { 256 } else { 64 << 10 };

/// A part of a string on its way into a reply.
#[derive(Debug)]
pub(super) struct Copying {
    db: u8,
    key: Bytes,
    rest: Range<usize>,
}

impl Copying {
    /// Begins the reply; `range` lies in the string.
    pub fn begin(db: u8, key: Bytes, range: Range<usize>, reply: &mut ReplyWriter<'_>) -> Self {
        reply.bulk_header(range.len());
        Self { db, key, rest: range }
    }

    /// Copies on and takes the steps off; true when the reply is whole.
    pub fn advance(&mut self, keyspace: &Keyspace, steps: &mut usize, reply: &mut ReplyWriter<'_>) -> bool {
        // Nobody who waits for no reply needs it.
        if reply.is_discard() {
            return true;
        }
        let length = self.rest.len().min(steps.saturating_mul(STEP_BYTES));
        let end = self.rest.start + length;
        let entry = keyspace.find(self.db, &self.key);
        let value = entry.expect("nothing is written while it is copied").value;
        reply.raw(&value[self.rest.start..end]);
        self.rest.start = end;
        *steps = steps.saturating_sub(length.div_ceil(STEP_BYTES));
        let is_done = self.rest.is_empty();
        if is_done {
            reply.raw(b"\r\n");
        }
        is_done
    }
}

/// What is done with the string.
#[derive(Clone, Debug)]
enum Action {
    Get,
    Range(i64, i64),
    Delete,
    Expire(GetExpiry),
    Set {
        value: Bytes,
        expiry: Expiry,
        condition: SetCondition,
        form: SetReply,
    },
}

/// Where the command stands.
#[derive(Debug)]
enum Stage {
    Begin,
    Copy(Copying),
    Change,
    /// The new value is written up to here.
    Write(Meta, usize),
}

/// Such a command and how far it has come.
#[derive(Debug)]
pub(super) struct LongString {
    db: u8,
    key: Bytes,
    action: Action,
    stage: Stage,
}

impl LongString {
    /// The command, decoded from `source`; `None` if it is another one.
    pub fn new(command: &Command<'_>, source: &Bytes) -> Option<Self> {
        let (db, key, action) = match *command {
            Command::Get { db, key } => (db, key, Action::Get),
            Command::GetRange { db, key, start, end } => (db, key, Action::Range(start, end)),
            Command::GetDel { db, key } => (db, key, Action::Delete),
            Command::GetEx { db, key, expiry } => (db, key, Action::Expire(expiry)),
            Command::Set {
                db,
                key,
                value,
                expiry,
                condition,
                reply: form,
            } => {
                let value = source.slice_ref(value);
                let action = Action::Set {
                    value,
                    expiry,
                    condition,
                    form,
                };
                (db, key, action)
            }
            _ => return None,
        };
        Some(Self {
            db,
            key: source.slice_ref(key),
            action,
            stage: Stage::Begin,
        })
    }

    /// SET of a key without any option.
    pub fn set(db: u8, key: Bytes, value: Bytes) -> Self {
        Self {
            db,
            key,
            action: Action::Set {
                value,
                expiry: Expiry::Never,
                condition: SetCondition::Always,
                form: SetReply::Ok,
            },
            stage: Stage::Begin,
        }
    }

    /// True if it changes nothing.
    pub fn is_read(&self) -> bool {
        match self.action {
            Action::Get | Action::Range(..) => true,
            Action::Expire(expiry) => !expiry.changes_deadline(),
            Action::Delete | Action::Set { .. } => false,
        }
    }

    /// Goes on and takes the steps off; true when all is done and answered.
    pub fn advance(
        &mut self,
        keyspace: &mut Keyspace,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
    ) -> bool {
        while *steps > 0 {
            match &mut self.stage {
                Stage::Begin => {
                    *steps -= 1;
                    if !keyspace.is_long(&self.command()) {
                        keyspace.apply(&self.command(), reply);
                        return true;
                    }
                    self.begin(keyspace, reply);
                }
                Stage::Copy(copying) => {
                    if copying.advance(keyspace, steps, reply) {
                        self.stage = Stage::Change;
                    }
                }
                Stage::Change => {
                    if self.change(keyspace, steps, reply) {
                        return true;
                    }
                }
                Stage::Write(meta, at) => {
                    let Action::Set { value, form, .. } = &self.action else {
                        unreachable!("only SET writes a value")
                    };
                    let bytes_max = PIECE_BYTES.min(steps.saturating_mul(STEP_BYTES));
                    let piece = &value[*at..value.len().min(*at + bytes_max)];
                    let database = keyspace.database_mut(self.db);
                    database.overwrite(&self.key, (*at, piece), *meta);
                    *steps = steps.saturating_sub(piece.len().div_ceil(STEP_BYTES));
                    *at += piece.len();
                    if *at == value.len() {
                        answer_set(*form, true, reply);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Begins to copy what the reply is to hold, if there is anything.
    fn begin(&mut self, keyspace: &Keyspace, reply: &mut ReplyWriter<'_>) {
        let is_read_for_old = matches!(
            self.action,
            Action::Set {
                form: SetReply::Old,
                ..
            }
        );
        let old = match self.action {
            Action::Set { .. } if !is_read_for_old => None,
            // As at once, SET is no access to the old value.
            Action::Set { .. } => keyspace.find(self.db, &self.key),
            _ => keyspace.find_counted(self.db, &self.key),
        };
        let Some(old) = old else {
            if is_read_for_old {
                reply.null();
            }
            self.stage = Stage::Change;
            return;
        };
        let range = match self.action {
            Action::Range(start, end) => range_of(old.value.len(), (start, end)),
            _ => 0..old.value.len(),
        };
        self.stage = Stage::Copy(Copying::begin(self.db, self.key.clone(), range, reply));
    }

    /// What follows the reading; true when it is done and answered.
    fn change(&mut self, keyspace: &mut Keyspace, steps: &mut usize, reply: &mut ReplyWriter<'_>) -> bool {
        let (db, key) = (self.db, &self.key);
        let (value, expiry, condition, form) = match &self.action {
            Action::Get | Action::Range(..) => return true,
            Action::Delete => {
                keyspace.erase(db, key);
                return true;
            }
            Action::Expire(expiry) => {
                keyspace.expire_string(db, key, *expiry);
                return true;
            }
            Action::Set {
                value,
                expiry,
                condition,
                form,
            } => (value, *expiry, *condition, *form),
        };
        let old = keyspace.find(db, key);
        let (exists, old_deadline_ms) = (
            old.is_some(),
            old.and_then(|entry| keyspace.deadline_of(db, &entry)),
        );
        if !condition.holds(exists) {
            answer_set(form, false, reply);
            return true;
        }
        let deadline_ms = keyspace.deadline_of_set(expiry, old_deadline_ms);
        let first = match value.len() {
            length if length <= VALUE_AT_ONCE_BYTES => length,
            length => length.min(PIECE_BYTES),
        };
        keyspace.put(db, key, NewValue::string(&value[..first], deadline_ms));
        *steps = steps.saturating_sub(first.div_ceil(STEP_BYTES));
        // With a deadline that has passed there is nothing now.
        if first == value.len() || keyspace.has_passed(deadline_ms) {
            answer_set(form, true, reply);
            return true;
        }
        let meta = Meta {
            deadline_ms,
            version: keyspace.latest_version(),
            kind: kind::STRING,
        };
        keyspace.database_mut(db).reserve(key, value.len());
        self.stage = Stage::Write(meta, first);
        false
    }

    fn command(&self) -> Command<'_> {
        let (db, key) = (self.db, &self.key[..]);
        match &self.action {
            Action::Get => Command::Get { db, key },
            Action::Range(start, end) => Command::GetRange {
                db,
                key,
                start: *start,
                end: *end,
            },
            Action::Delete => Command::GetDel { db, key },
            Action::Expire(expiry) => Command::GetEx {
                db,
                key,
                expiry: *expiry,
            },
            Action::Set {
                value,
                expiry,
                condition,
                form,
            } => Command::Set {
                db,
                key,
                value,
                expiry: *expiry,
                condition: *condition,
                reply: *form,
            },
        }
    }
}

/// The reply of SET, but for the old value.
pub(super) fn answer_set(form: SetReply, writes: bool, reply: &mut ReplyWriter<'_>) {
    match form {
        SetReply::Ok if writes => reply.ok(),
        SetReply::Ok => reply.null(),
        SetReply::Old => {}
        SetReply::Flag => reply.integer(i64::from(writes)),
    }
}

/// The bytes of a string of this length that GETRANGE means.
pub(super) fn range_of(length: usize, (start, end): (i64, i64)) -> Range<usize> {
    // Negative positions count from the end; what lies before the start means the start.
    let resolve = |position: i64| match usize::try_from(position) {
        Ok(position) => position,
        Err(_) => length.saturating_sub(position.unsigned_abs() as usize),
    };
    let (first, last) = (resolve(start), resolve(end).min(length.saturating_sub(1)));
    // Redis looks at the order of two negative positions before it clamps them.
    let reversed = start < 0 && end < 0 && start > end;
    if reversed || first > last || length == 0 {
        return 0..0;
    }
    first..last + 1
}

impl Keyspace {
    /// GET, unless the value is long.
    #[inline]
    pub(super) fn get_at_once(&self, db: u8, key: &[u8], reply: &mut ReplyWriter<'_>) -> ReadOutcome {
        match self.find_counted(db, key) {
            Some(entry) if kind::is_string(entry.kind) => {
                if !reply.bulk_up_to(entry.value, VALUE_AT_ONCE_BYTES) {
                    self.uncount_hit();
                    return ReadOutcome::Long;
                }
            }
            Some(_) => reply.error(words::WRONG_TYPE),
            None => reply.null(),
        }
        ReadOutcome::Done
    }

    /// The read is repeated, and counted then.
    #[cold]
    fn uncount_hit(&self) {
        self.hits.set(self.hits.get() - 1);
    }

    /// True if the string at the key is longer than what is copied at once.
    pub(super) fn has_long_string(&self, db: u8, key: &[u8]) -> bool {
        self.string_bytes(db, key) > VALUE_AT_ONCE_BYTES
    }

    /// Length of the string at the key, 0 for what is none.
    fn string_bytes(&self, db: u8, key: &[u8]) -> usize {
        let entry = self.find(db, key).filter(|entry| kind::is_string(entry.kind));
        entry.map_or(0, |entry| entry.value.len())
    }

    /// True for a command on one string that copies more of it than is copied at once, in either direction.
    pub(super) fn is_long(&self, command: &Command<'_>) -> bool {
        match *command {
            Command::Get { db, key } | Command::GetDel { db, key } => self.has_long_string(db, key),
            Command::GetRange { db, key, start, end } => {
                range_of(self.string_bytes(db, key), (start, end)).len() > VALUE_AT_ONCE_BYTES
            }
            Command::GetEx { db, key, expiry } => {
                !matches!(expiry, GetExpiry::Refused(_)) && self.has_long_string(db, key)
            }
            Command::Set {
                db,
                key,
                value,
                condition,
                reply,
                ..
            } => {
                let reads = reply == SetReply::Old;
                if value.len() <= VALUE_AT_ONCE_BYTES {
                    return reads && self.has_long_string(db, key);
                }
                let old = self.find(db, key);
                let is_refused = reads && old.is_some_and(|entry| !kind::is_string(entry.kind));
                let writes = condition.holds(old.is_some());
                !is_refused && (writes || reads && self.has_long_string(db, key))
            }
            _ => false,
        }
    }
}
