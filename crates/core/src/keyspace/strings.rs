//! Strings: SET and GET in all forms, counters, ranges.
//!
//! A value may be at most [`STRING_BYTES_MAX`] long; a command that would make a longer one changes
//! nothing. Counters work on the decimal text of the value and keep its deadline.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::command::{DeadlineError, Expiry, GetExpiry, Pairs, SetCondition, SetReply, parse_i64};
use crate::limits::{READ_AT_ONCE_BYTES, STRING_BYTES_MAX, VALUE_AT_ONCE_BYTES};
use crate::table::EntryRef;

mod lcs;
mod msetex;

use super::extended::Extended;
use super::handlers::{Handler, by_arguments, long_read, long_write};
use super::long_strings::{answer_set, range_of};
use super::write::{BuiltMeta, NewValue};
use super::{Keyspace, ReadOutcome, kind};

pub(super) const HANDLERS: &[Handler] = &[
    long_read("lcs", lcs::lcs, lcs::weigh),
    long_write("msetex", msetex::msetex, by_arguments).checked(msetex::check),
];

/// The arguments of SET.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    pub value: &'a [u8],
    pub expiry: Expiry,
    pub condition: SetCondition,
    pub form: SetReply,
}

/// The arguments of SETRANGE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    pub offset: u64,
    pub value: &'a [u8],
}

/// A key holds another type than the command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WrongType;

#[cold]
fn wrong_type(reply: &mut ReplyWriter<'_>) {
    reply.error(words::WRONG_TYPE);
}

impl Keyspace {
    #[inline]
    pub(super) fn get(&self, db: u8, key: &[u8], reply: &mut ReplyWriter<'_>) {
        match self.find_counted(db, key) {
            Some(entry) if kind::is_string(entry.kind) => reply.bulk(entry.value),
            Some(_) => wrong_type(reply),
            None => reply.null(),
        }
    }

    /// As [`Keyspace::get`], for MGET: what is no string is answered like what is not there. False, and nothing is
    /// written, if the value is longer than `bytes_max`.
    fn get_if_string(&self, (db, key): (u8, &[u8]), bytes_max: usize, reply: &mut ReplyWriter<'_>) -> bool {
        match self.find_counted(db, key) {
            Some(entry) if kind::is_string(entry.kind) => reply.bulk_up_to(entry.value, bytes_max),
            _ => {
                reply.null();
                true
            }
        }
    }

    pub(super) fn get_many(&self, db: u8, keys: crate::command::Keys<'_>, reply: &mut ReplyWriter<'_>) {
        reply.array(keys.len());
        for key in keys.iter() {
            self.get_if_string((db, key), usize::MAX, reply);
        }
    }

    /// A string to be changed, unless there is none.
    fn find_string(&self, db: u8, key: &[u8]) -> Result<Option<EntryRef<'_>>, WrongType> {
        match self.find(db, key) {
            Some(entry) if !kind::is_string(entry.kind) => Err(WrongType),
            found => Ok(found),
        }
    }

    /// As [`Keyspace::get_many`], unless that takes long.
    pub(super) fn get_many_at_once(
        &self,
        db: u8,
        keys: crate::command::Keys<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> ReadOutcome {
        let begin = reply.position();
        reply.array(keys.len());
        for (number, key) in keys.iter().enumerate() {
            let is_short = self.get_if_string((db, key), VALUE_AT_ONCE_BYTES, reply);
            let is_much = reply.position() - begin > READ_AT_ONCE_BYTES && number + 1 < keys.len();
            if !is_short || is_much {
                reply.rewind(begin);
                return ReadOutcome::Long;
            }
        }
        ReadOutcome::Done
    }

    #[inline]
    pub(super) fn set(&mut self, db: u8, key: &[u8], set: Set<'_>, reply: &mut ReplyWriter<'_>) {
        if matches!(
            set,
            Set {
                expiry: Expiry::Never,
                condition: SetCondition::Always,
                form: SetReply::Ok,
                ..
            }
        ) {
            self.put(db, key, NewValue::string(set.value, None));
            reply.ok();
        } else {
            self.set_with_options(db, key, set, reply);
        }
    }

    fn set_with_options(&mut self, db: u8, key: &[u8], set: Set<'_>, reply: &mut ReplyWriter<'_>) {
        let old = self.find(db, key);
        let (exists, old_deadline) = (
            old.is_some(),
            old.as_ref().and_then(|entry| self.deadline_of(db, entry)),
        );
        if set.form == SetReply::Old {
            match old {
                Some(entry) if !kind::is_string(entry.kind) => return wrong_type(reply),
                Some(entry) => reply.bulk(entry.value),
                None => reply.null(),
            }
        }
        let writes = set.condition.holds(exists);
        if writes {
            let deadline_ms = self.deadline_of_set(set.expiry, old_deadline);
            self.put(db, key, NewValue::string(set.value, deadline_ms));
        }
        answer_set(set.form, writes, reply);
    }

    /// The deadline of what SET writes over what had `old_ms`.
    #[inline]
    pub(super) fn deadline_of_set(&self, expiry: Expiry, old_ms: Option<u64>) -> Option<u64> {
        match expiry {
            Expiry::Never => None,
            Expiry::In(time) => Some(self.deadline_in(time)),
            Expiry::At(time) => Some(time),
            Expiry::Keep => old_ms,
        }
    }

    /// The deadline that lies `time` milliseconds after shard time, kept inside Redis' signed range.
    pub(super) fn deadline_in(&self, time: u64) -> u64 {
        let time = self.lifetime(time as i64) as u64;
        self.time_ms.saturating_add(time).min(i64::MAX as u64)
    }

    pub(super) fn get_and_delete(&mut self, db: u8, key: &[u8], reply: &mut ReplyWriter<'_>) {
        self.get(db, key, reply);
        if self.find_string(db, key).is_ok() {
            self.erase(db, key);
        }
    }

    pub(super) fn get_and_expire(
        &mut self,
        db: u8,
        key: &[u8],
        expiry: GetExpiry,
        reply: &mut ReplyWriter<'_>,
    ) {
        self.get_unchanged(db, key, expiry, reply);
        self.expire_string(db, key, expiry);
    }

    /// What GETEX changes.
    pub(super) fn expire_string(&mut self, db: u8, key: &[u8], expiry: GetExpiry) {
        let Ok(Some(entry)) = self.find_string(db, key) else {
            return;
        };
        match expiry {
            GetExpiry::Keep | GetExpiry::Refused(_) => {}
            GetExpiry::Persist if entry.deadline_ms.is_none() => {}
            GetExpiry::Persist => self.put_deadline(db, key, None),
            GetExpiry::In(time) => self.put_deadline(db, key, Some(self.deadline_in(time))),
            GetExpiry::At(time) => self.put_deadline(db, key, Some(time)),
        }
    }

    /// The reply of GETEX, which is all of it where the deadline stays.
    pub(super) fn get_unchanged(&self, db: u8, key: &[u8], expiry: GetExpiry, reply: &mut ReplyWriter<'_>) {
        match (self.find_counted(db, key), expiry) {
            (None, _) => reply.null(),
            (Some(entry), _) if !kind::is_string(entry.kind) => wrong_type(reply),
            (Some(_), GetExpiry::Refused(DeadlineError::NotAnInteger)) => reply.error(words::NOT_AN_INTEGER),
            (Some(_), GetExpiry::Refused(DeadlineError::OutOfRange)) => {
                reply.error(&words::invalid_expire_time("getex"))
            }
            (Some(entry), _) => reply.bulk(entry.value),
        }
    }

    pub(super) fn set_many(&mut self, db: u8, pairs: Pairs<'_>, reply: &mut ReplyWriter<'_>) {
        pairs
            .iter()
            .for_each(|(key, value)| _ = self.put(db, key, NewValue::string(value, None)));
        reply.ok();
    }

    pub(super) fn set_many_if_absent(&mut self, db: u8, pairs: Pairs<'_>, reply: &mut ReplyWriter<'_>) {
        if pairs.iter().any(|(key, _)| self.find(db, key).is_some()) {
            return reply.integer(0);
        }
        pairs
            .iter()
            .for_each(|(key, value)| _ = self.put(db, key, NewValue::string(value, None)));
        reply.integer(1);
    }

    pub(super) fn increment(&mut self, db: u8, key: &[u8], delta: i64, reply: &mut ReplyWriter<'_>) {
        let (current, deadline_ms) = match self.find_string(db, key) {
            Err(WrongType) => return wrong_type(reply),
            Ok(Some(entry)) => (parse_i64(entry.value), entry.deadline_ms),
            Ok(None) => (Some(0), None),
        };
        let Some(current) = current else {
            return reply.error(words::NOT_AN_INTEGER);
        };
        let Some(sum) = current.checked_add(delta) else {
            return reply.error(words::INCREMENT_OVERFLOW);
        };
        let mut buffer = itoa::Buffer::new();
        self.put(
            db,
            key,
            NewValue::string(buffer.format(sum).as_bytes(), deadline_ms),
        );
        reply.integer(sum);
    }

    pub(super) fn increment_float(
        &mut self,
        db: u8,
        key: &[u8],
        increment: &[u8],
        reply: &mut ReplyWriter<'_>,
    ) {
        let (current, deadline_ms) = match self.find_string(db, key) {
            Err(WrongType) => return wrong_type(reply),
            Ok(Some(entry)) => (Extended::parse(entry.value), entry.deadline_ms),
            Ok(None) => (Some(Extended::ZERO), None),
        };
        let Some((current, increment)) = current.zip(Extended::parse(increment)) else {
            return reply.error(words::NOT_A_FLOAT);
        };
        let Some(sum) = current.checked_add(increment) else {
            return reply.error(words::INCREMENT_NOT_FINITE);
        };
        let value = sum.to_text();
        self.put(
            db,
            key,
            NewValue {
                value: value.as_bytes(),
                deadline_ms,
                kind: kind::STRING_FLOAT,
            },
        );
        reply.bulk(value.as_bytes());
    }

    pub(super) fn append(&mut self, db: u8, key: &[u8], value: &[u8], reply: &mut ReplyWriter<'_>) {
        let length = match self.find_string(db, key) {
            Err(WrongType) => return wrong_type(reply),
            Ok(Some(entry)) => entry.value.len(),
            Ok(None) => {
                self.put(db, key, NewValue::string(value, None));
                return reply.integer(value.len() as i64);
            }
        };
        if length + value.len() > STRING_BYTES_MAX {
            return reply.error(words::STRING_TOO_LONG);
        }
        self.overwrite(db, key, (length, value));
        reply.integer((length + value.len()) as i64);
    }

    pub(super) fn string_length(&self, db: u8, key: &[u8], reply: &mut ReplyWriter<'_>) {
        match self.find_counted(db, key) {
            Some(entry) if !kind::is_string(entry.kind) => wrong_type(reply),
            Some(entry) => reply.integer(entry.value.len() as i64),
            None => reply.integer(0),
        }
    }

    pub(super) fn get_range(
        &self,
        db: u8,
        key: &[u8],
        (start, end): (i64, i64),
        reply: &mut ReplyWriter<'_>,
    ) {
        let value = match self.find_counted(db, key) {
            Some(entry) if !kind::is_string(entry.kind) => return wrong_type(reply),
            Some(entry) => entry.value,
            None => b"",
        };
        reply.bulk(&value[range_of(value.len(), (start, end))]);
    }

    pub(super) fn set_range(&mut self, db: u8, key: &[u8], range: Range<'_>, reply: &mut ReplyWriter<'_>) {
        let old_length = match self.find_string(db, key) {
            Err(WrongType) => return wrong_type(reply),
            Ok(old) => old.map(|entry| entry.value.len()),
        };
        if range.value.is_empty() {
            return reply.integer(old_length.unwrap_or(0) as i64);
        }
        let end = range.offset.saturating_add(range.value.len() as u64);
        if end > STRING_BYTES_MAX as u64 {
            return reply.error(words::STRING_TOO_LONG);
        }
        let (start, end) = (range.offset as usize, end as usize);
        if old_length.is_some_and(|length| start <= length) {
            self.overwrite(db, key, (start, range.value));
        } else {
            // The gap between the old end and the first byte written is filled with zeros.
            self.put_built(db, key, |keyspace, built| {
                let entry = keyspace.find(db, key);
                built.extend_from_slice(entry.as_ref().map_or(b"", |entry| entry.value));
                built.resize(start, 0);
                built.extend_from_slice(range.value);
                BuiltMeta {
                    deadline_ms: entry.and_then(|entry| entry.deadline_ms),
                    kind: kind::STRING_CHANGED,
                }
            });
        }
        reply.integer(old_length.unwrap_or(0).max(end) as i64);
    }
}
