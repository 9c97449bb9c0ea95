//! DUMP and RESTORE: values as bytes, in the format that Redis 7.0 writes and reads, and that of 7.4 for hash fields with
//! deadlines.
//!
//! A payload is the number of a type, the value, the version of the format and a checksum. Written is the plainest form
//! of each type; read are all forms that Redis 7.0 has for strings, lists, sets, hashes and sorted sets, those of
//! earlier versions included. A payload is checked, unpacked and judged element by element before anything of the
//! keyspace is touched, in slices.

mod load;
mod save;

use repligo_proto::rdb::{END_BYTES, checksum, split};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words as common;
use repligo_proto::words::values as words;

use self::load::{Loader, Value};
pub(super) use self::save::put_string;
use self::save::{Saving, Source};
use super::contexts::{Changed, Copying, ReadContext, WriteContext};
use super::handlers::{Handler, Slice, long_read, long_write};
use super::slices::steps_of;
use super::typed::Typed;
use crate::command::{Arguments, CommandError, parse_i64};
use crate::limits::STEP_BYTES;

pub(super) const HANDLERS: &[Handler] = &[
    long_read("dump", dump, weigh_dump),
    long_write("restore", restore, weigh_restore).checked(check_restore),
];

/// Bytes that are checked or told at once.
const PIECE_BYTES: usize = 16 * STEP_BYTES;

/// How far DUMP has come.
#[derive(Debug, Default)]
struct Dumping {
    saving: Saving,
    /// Bytes of the reply.
    told: Option<usize>,
}

fn weigh_dump(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let source = Source::find(context, arguments.peek()).ok().flatten();
    source.map_or(1, |source| source.weight())
}

/// `key`: the payload, or null.
fn dump(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let Some(source) = Source::find(context, slice.all.peek())? else {
        reply.null();
        return Ok(true);
    };
    let dumping = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Dumping::default()))?;
    if !dumping.saving.advance(context, &source) {
        return Ok(false);
    }
    let payload = dumping.saving.payload();
    if dumping.told.is_none() {
        reply.bulk_header(payload.len());
    }
    let told = dumping.told.get_or_insert(0);
    while *told < payload.len() {
        if context.is_spent() {
            return Ok(false);
        }
        let end = payload.len().min(*told + PIECE_BYTES);
        reply.raw(&payload[*told..end]);
        context.spend(steps_of(end - *told));
        *told = end;
    }
    reply.raw(b"\r\n");
    Ok(true)
}

/// What stands behind key, time to live and payload.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
}

/// How often and how lately the key was used is read and judged: nodes remember uses of their own alone.
fn parse(mut arguments: Arguments<'_>) -> Result<Options, CommandError> {
    arguments.skip(3);
    let (mut options, mut idle, mut frequency) = (Options::default(), None, None);
    while !arguments.is_empty() {
        if arguments.take_word("replace") {
            options.replaces = true;
        } else if arguments.take_word("absttl") {
            options.is_absolute = true;
        } else if arguments.len() > 1 && frequency.is_none() && arguments.take_word("idletime") {
            let seconds = arguments.take_integer()?;
            if seconds < 0 {
                return Err(CommandError::fixed(words::NEGATIVE_IDLE_TIME));
            }
            idle = Some(seconds);
        } else if arguments.len() > 1 && idle.is_none() && arguments.take_word("freq") {
            let number = arguments.take_integer()?;
            if !(0..=255).contains(&number) {
                return Err(CommandError::fixed(words::NO_FREQUENCY));
            }
            frequency = Some(number);
        } else {
            return Err(CommandError::fixed(common::SYNTAX));
        }
    }
    Ok(options)
}

fn check_restore(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse(arguments).map(|_| ())
}

fn weigh_restore(_: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    arguments.skip(2);
    // An element has two bytes at least, and more where it is packed.
    1 + arguments.take().len() / 2
}

/// How far RESTORE has come.
#[derive(Default)]
struct Restoring {
    checksum: u64,
    checked: usize,
    loader: Option<Loader>,
    value: Option<Value>,
    copying: Copying,
    /// There was something in the place of the value.
    replaces: bool,
}

/// `key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`.
fn restore(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let options = parse(slice.all)?;
    let mut arguments = slice.all;
    let (key, time, payload) = (arguments.take(), arguments.take(), arguments.take());
    let is_first = slice.kept.state.is_none();
    if is_first && !options.replaces && context.exists(key) {
        return Err(CommandError::fixed(words::BUSY_KEY));
    }
    let time = parse_i64(time).ok_or(CommandError::fixed(common::NOT_AN_INTEGER))?;
    let time = u64::try_from(time).map_err(|_| CommandError::fixed(words::NEGATIVE_TTL))?;
    let bad_end = CommandError::fixed(words::BAD_PAYLOAD_END);
    let Some((value, expected)) = split(payload) else {
        return Err(bad_end);
    };
    let replaces = context.exists(key);
    let restoring = slice.kept.state_or(|| {
        Ok::<_, CommandError>(Restoring {
            replaces,
            ..Restoring::default()
        })
    })?;
    let checked = &payload[..payload.len() - END_BYTES + 2];
    while restoring.checked < checked.len() {
        if context.is_spent() {
            return Ok(None);
        }
        let end = checked.len().min(restoring.checked + PIECE_BYTES);
        let piece = &checked[restoring.checked..end];
        restoring.checksum = checksum(restoring.checksum, piece);
        restoring.checked = end;
        context.spend_bytes(piece.len());
    }
    if restoring.checksum != expected {
        return Err(bad_end);
    }
    let bad = |_| CommandError::fixed(words::BAD_PAYLOAD);
    if restoring.value.is_none() {
        let mut loader = match restoring.loader.take() {
            Some(loader) => loader,
            None => Loader::new(value).map_err(bad)?,
        };
        if !loader.advance(context, value).map_err(bad)? {
            restoring.loader = Some(loader);
            return Ok(None);
        }
        restoring.value = Some(loader.finish());
    }
    let deadline_ms = match time {
        0 => None,
        time if options.is_absolute => Some(time),
        time => Some(context.deadline_in(time)),
    };
    if !write(context, key, restoring, deadline_ms)? {
        return Ok(None);
    }
    reply.ok();
    Ok(Some(Changed::from(restoring.replaces || context.exists(key))))
}

/// Puts the value into its place; false when the steps are spent before.
fn write(
    context: &mut WriteContext<'_>,
    key: &[u8],
    restoring: &mut Restoring,
    deadline_ms: Option<u64>,
) -> Result<bool, CommandError> {
    match restoring.value.take() {
        None => return Ok(true),
        Some(Value::String(string)) => {
            let is_done = context.put_long_string(key, (&string, deadline_ms), &mut restoring.copying);
            restoring.value = (!is_done).then_some(Value::String(string));
            return Ok(is_done);
        }
        Some(Value::List(list)) => replace(context, key, list),
        Some(Value::Set(set)) => replace(context, key, set),
        Some(Value::Hash(hash)) => replace(context, key, hash),
        Some(Value::SortedSet(sorted)) => replace(context, key, sorted),
    }?;
    if deadline_ms.is_some() && context.exists(key) {
        context.put_deadline(key, deadline_ms);
    }
    Ok(true)
}

fn replace<T: Typed>(context: &mut WriteContext<'_>, key: &[u8], collection: T) -> Result<(), CommandError> {
    context.remove(key);
    context.change(key, |stored: &mut T, _, _| {
        *stored = collection;
        ((), Changed::Something)
    })
}
