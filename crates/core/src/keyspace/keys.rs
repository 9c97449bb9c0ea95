//! Commands on keys whatever their type: existence, deadlines, names, introspection.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::SetRef;
use crate::command::{
    Arguments, CommandError, Deadline, DeadlineCondition, Keys, ObjectField, TtlForm, parse_i64,
};

use crate::eviction::Tracking;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::{Handler, read, write};
use super::{Keyspace, kind};

/// Longest value that Redis keeps in one allocation with its header (`embstr`).
const EMBEDDED_BYTES_MAX: usize = 44;
/// Redis shares its objects for integers below this one, and OBJECT REFCOUNT says so.
const SHARED_INTEGERS: i64 = 10_000;
/// What OBJECT REFCOUNT says of a shared object.
const SHARED_REFERENCE_COUNT: i64 = i32::MAX as i64;

pub(super) const HANDLERS: &[Handler] = &[write("persist", persist), read("memory|usage", memory_usage)];

/// `key`: 1 when a deadline was removed.
fn persist(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let key = arguments.take();
    let is_volatile = context.deadline_ms(key).is_some();
    if is_volatile {
        context.put_deadline(key, None);
    }
    reply.integer(i64::from(is_volatile));
    Ok(Changed::from(is_volatile))
}

/// `key [SAMPLES count]`: bytes that the key takes, or null. Nothing is sampled, the bytes are known.
fn memory_usage(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let key = arguments.take();
    while !arguments.is_empty() {
        let has_count = arguments.len() > 1 && arguments.take_word("samples");
        if !has_count || arguments.take_integer()? < 0 {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    match context.memory_bytes(key) {
        Some(bytes) => reply.integer(bytes as i64),
        None => reply.null(),
    }
    Ok(())
}

/// The arguments of RENAME.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rename<'a> {
    pub from: &'a [u8],
    pub to: &'a [u8],
    pub only_if_absent: bool,
}

impl Keyspace {
    pub(super) fn delete(&mut self, db: u8, keys: Keys<'_>, reply: &mut ReplyWriter<'_>) {
        let count: i64 = keys.iter().map(|key| i64::from(self.erase(db, key))).sum();
        reply.integer(count);
    }

    pub(super) fn count_existing(&self, db: u8, keys: Keys<'_>, reply: &mut ReplyWriter<'_>) {
        let count = keys
            .iter()
            .filter(|key| self.find_aside(db, key).is_some())
            .count();
        reply.integer(count as i64);
    }

    pub(super) fn touch(&self, db: u8, keys: Keys<'_>, reply: &mut ReplyWriter<'_>) {
        let count = keys
            .iter()
            .filter(|key| self.find_counted(db, key).is_some())
            .count();
        reply.integer(count as i64);
    }

    pub(super) fn expire(
        &mut self,
        db: u8,
        key: &[u8],
        (deadline, condition): (Deadline, DeadlineCondition),
        reply: &mut ReplyWriter<'_>,
    ) {
        let Some(entry) = self.find(db, key) else {
            return reply.integer(0);
        };
        let new_ms = match deadline {
            Deadline::In(time) => (self.time_ms as i64).saturating_add(self.lifetime(time)),
            Deadline::At(time) => time,
        };
        let refused = match self.deadline_of(db, &entry) {
            Some(current) => {
                condition.if_none
                    || (condition.if_later && new_ms <= current as i64)
                    || (condition.if_earlier && new_ms >= current as i64)
            }
            // No deadline counts as infinitely late.
            None => condition.if_some || condition.if_later,
        };
        if refused {
            return reply.integer(0);
        }
        self.put_deadline(db, key, Some(new_ms.max(0) as u64));
        reply.integer(1);
    }

    pub(super) fn time_to_live(
        &self,
        db: u8,
        key: &[u8],
        (form, now_ms): (TtlForm, u64),
        reply: &mut ReplyWriter<'_>,
    ) {
        let Some(entry) = self.find_aside(db, key) else {
            return reply.integer(-2);
        };
        let deadline_ms = self.deadline_of(db, &entry);
        let Some(deadline) = deadline_ms.filter(|_| entry.kind != kind::ROW) else {
            return reply.integer(-1);
        };
        let rest = deadline.saturating_sub(now_ms);
        // Redis rounds seconds to the nearest.
        let answer = match form {
            TtlForm::Seconds => rest.saturating_add(500) / 1000,
            TtlForm::Milliseconds => rest,
            TtlForm::DeadlineSeconds => deadline.saturating_add(500) / 1000,
            TtlForm::DeadlineMilliseconds => deadline,
        };
        reply.integer(answer as i64);
    }

    pub(super) fn type_name(&self, db: u8, key: &[u8], reply: &mut ReplyWriter<'_>) {
        let entry = self.find_aside(db, key);
        reply.simple(entry.map_or("none", |entry| kind::type_name(entry.kind)));
    }

    pub(super) fn rename(&mut self, db: u8, rename: Rename<'_>, reply: &mut ReplyWriter<'_>) {
        let Rename {
            from,
            to,
            only_if_absent,
        } = rename;
        if self.find(db, from).is_none() {
            return reply.error(words::NO_SUCH_KEY);
        }
        if only_if_absent && self.find(db, to).is_some() {
            return reply.integer(0);
        }
        // Under the same name nothing happens, and nobody who watches it is to notice.
        if from != to {
            self.move_entry(db, from, to);
        }
        if only_if_absent {
            reply.integer(1)
        } else {
            reply.ok()
        }
    }

    pub(super) fn object(&self, db: u8, key: &[u8], field: ObjectField, reply: &mut ReplyWriter<'_>) {
        let Some(entry) = self.find_aside(db, key) else {
            return reply.null();
        };
        match field {
            ObjectField::Encoding => reply.bulk_str(encoding_name(entry.kind, entry.value)),
            ObjectField::RefCount => {
                let shared = encoding_name(entry.kind, entry.value) == "int"
                    && parse_i64(entry.value).is_some_and(|value| (0..SHARED_INTEGERS).contains(&value));
                reply.integer(if shared { SHARED_REFERENCE_COUNT } else { 1 });
            }
            ObjectField::IdleTime if self.tracking == Tracking::Frequency => {
                reply.error(words::LFU_POLICY);
            }
            ObjectField::IdleTime => {
                let idle = self.idle_seconds(db, key, entry.version);
                reply.integer(i64::from(idle));
            }
            ObjectField::Frequency if self.tracking == Tracking::Frequency => {
                let table = self.database(db).map(super::database::Database::table);
                let frequency = table.and_then(|table| table.frequency(table.hash(key), key));
                reply.integer(i64::from(frequency.unwrap_or(0)));
            }
            ObjectField::Frequency => reply.error(words::NO_LFU_POLICY),
        }
    }
}

/// How Redis would keep the value.
fn encoding_name(kind: u8, value: &[u8]) -> &'static str {
    match kind {
        kind::HASH | kind::SORTED_SET => "listpack",
        kind::SET if SetRef::small(value).is_integers() => "intset",
        kind::HASH_LARGE | kind::HASH_VOLATILE | kind::SET | kind::SET_LARGE => "hashtable",
        kind::LIST | kind::LIST_LARGE => "quicklist",
        kind::SORTED_SET_LARGE => "skiplist",
        kind::STREAM => "stream",
        kind::STRING_CHANGED => "raw",
        kind::STRING if parse_i64(value).is_some() => "int",
        _ if value.len() <= EMBEDDED_BYTES_MAX => "embstr",
        _ => "raw",
    }
}
