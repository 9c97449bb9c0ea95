//! COPY and MOVE: a whole value under another name, or in another database.
//!
//! A large collection is not read: its copy shares all its parts, and each of the two gets its own of what it changes
//! later. A long string is copied a piece at a time.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, Copying, ReadContext, WriteContext};
use super::handlers::{Handler, Slice, long_write};
use super::slices::steps_of;
use crate::command::{Arguments, CommandError, parse_i64};
use crate::limits::DATABASES;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("copy", copy, weigh).checked(check_copy),
    long_write("move", move_key, weigh).checked(check_move),
];

/// The number of a database.
pub(super) fn parse_database(text: &[u8]) -> Result<u8, CommandError> {
    let number = parse_i64(text).ok_or(CommandError::fixed(words::NOT_AN_INTEGER))?;
    let number = i32::try_from(number).map_err(|_| CommandError::fixed(words::NOT_A_C_INT))?;
    match u8::try_from(number) {
        Ok(number) if usize::from(number) < DATABASES => Ok(number),
        _ => Err(CommandError::fixed(words::DATABASE_OUT_OF_RANGE)),
    }
}

/// What COPY says behind its keys.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    database: Option<u8>,
    replaces: bool,
}

fn parse_copy(mut arguments: Arguments<'_>) -> Result<Options, CommandError> {
    arguments.skip(2);
    let mut options = Options::default();
    while !arguments.is_empty() {
        if arguments.take_word("replace") {
            options.replaces = true;
        } else if arguments.len() > 1 && arguments.take_word("db") {
            options.database = Some(parse_database(arguments.take())?);
        } else {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    Ok(options)
}

fn check_copy(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_copy(arguments).map(|_| ())
}

fn check_move(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    arguments.skip(1);
    parse_database(arguments.take()).map(|_| ())
}

/// The database that COPY writes to if it says so, and the key there.
pub(crate) fn copied_elsewhere(arguments: Arguments<'_>) -> Option<(u8, &[u8])> {
    let database = parse_copy(arguments).ok()?.database?;
    Some((database, arguments.get(1)?))
}

/// The database that MOVE writes to, and the key there.
pub(crate) fn moved_elsewhere(mut arguments: Arguments<'_>) -> Option<(u8, &[u8])> {
    let key = arguments.take();
    Some((parse_database(arguments.take()).ok()?, key))
}

/// As many steps as the value has kibibytes, if it is a string.
fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    steps_of(context.string_bytes(arguments.peek()).unwrap_or(0))
}

/// Copies a value, unless there is none or its place is taken: `None` while it goes on, then whether it was copied.
fn copy_to(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    (from, to): (&[u8], (u8, &[u8])),
    replaces: bool,
) -> Result<Option<bool>, CommandError> {
    if context.database() == to.0 && from == to.1 {
        return Err(CommandError::fixed(words::values::SAME_OBJECT));
    }
    if slice.kept.state.is_none() {
        let is_taken = !replaces && context.exists_in(to.0, to.1);
        if is_taken || !context.exists(from) {
            return Ok(Some(false));
        }
    }
    let copying = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Copying::default()))?;
    Ok(context.copy_value(from, to, copying).then_some(true))
}

/// `source destination [DB destination-db] [REPLACE]`: 1 if the value was copied.
fn copy(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let options = parse_copy(slice.all)?;
    let mut keys = slice.all;
    let (from, to) = (keys.take(), keys.take());
    let to = (options.database.unwrap_or(context.database()), to);
    let copied = copy_to(context, slice, (from, to), options.replaces)?;
    Ok(copied.map(|is_copied| {
        reply.integer(i64::from(is_copied));
        Changed::from(is_copied)
    }))
}

/// `key db`: 1 if the value is in the other database now.
fn move_key(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let (key, number) = (arguments.take(), arguments.take());
    let database = parse_database(number)?;
    let Some(is_moved) = copy_to(context, slice, (key, (database, key)), false)? else {
        return Ok(None);
    };
    if is_moved {
        context.remove(key);
    }
    reply.integer(i64::from(is_moved));
    Ok(Some(Changed::from(is_moved)))
}
