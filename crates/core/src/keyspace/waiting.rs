//! Commands that wait until a key has something: what they wait for, for how long, and what they do at once.
//!
//! Here they are executed as inside MULTI: without waiting. Who waits, and when it is served, is decided in
//! `crate::replica::waiters`.

use repligo_proto::command::{category, flag};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, WriteContext};
use super::extended::Extended;
use super::typed::{Typed, TypedRef};
use super::{Keyspace, kind, stream};
use crate::collection::{List, SortedSet};
use crate::command::{Arguments, Call, Command, CommandError};
use crate::packed::put_bytes;

/// Where a command that waits names its keys, and whether its timeout stands in front of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `key [key ...] timeout`
    Keys,
    /// `source destination ... timeout`
    Move,
    /// `timeout numkeys key [key ...] ...`
    Counted,
    /// `[BLOCK milliseconds] ... STREAMS key [key ...] id [id ...]`
    Streams,
}

fn form(call: &Call<'_>) -> Form {
    match call.spec.name {
        "blmove" | "brpoplpush" => Form::Move,
        "xread" | "xreadgroup" => Form::Streams,
        _ if call.spec.has(flag::MOVABLE_KEYS) => Form::Counted,
        _ => Form::Keys,
    }
}

/// What a key has for a command that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// No such key.
    Nothing,
    /// Elements, so many.
    Elements(u64),
    /// It holds another type.
    Other,
    /// What the command needs to wait is not there, or not any more; what is said to a client that has waited.
    Gone(&'static str),
}

impl Keyspace {
    /// True for a command that waits outside of MULTI.
    pub fn waits(command: &Command<'_>) -> bool {
        matches!(command, Command::Call(call) if Self::call_waits(call))
    }

    /// True for a call that waits outside of MULTI.
    pub fn call_waits(call: &Call<'_>) -> bool {
        call.spec.has(flag::BLOCKING) && (form(call) != Form::Streams || stream::waiting::says_block(call))
    }

    /// An XREAD that found nothing, as it goes on to wait: with ids in place of `$`.
    pub fn resolved(&self, call: &Call<'_>) -> Vec<u8> {
        stream::waiting::resolved(self, call)
    }

    /// True for a command that, when it has just come, is executed with all of its keys if one of them has something.
    pub fn takes_all_keys(call: &Call<'_>) -> bool {
        form(call) == Form::Streams
    }

    /// The keys that a command waits for, in its order.
    pub fn waited_keys<'a>(call: &Call<'a>) -> Vec<&'a [u8]> {
        let mut keys = Vec::new();
        call.for_each_key(|key| keys.push(key));
        if form(call) == Form::Move {
            keys.truncate(1);
        }
        keys
    }

    /// How long it waits, in milliseconds; `None` for ever.
    ///
    /// # Errors
    /// Redis' error for a timeout that is none.
    pub fn timeout_ms(call: &Call<'_>) -> Result<Option<u64>, CommandError> {
        let text = match form(call) {
            Form::Streams => {
                let block_ms = stream::waiting::reading(call)?.block_ms;
                return Ok(block_ms.filter(|ms| *ms > 0));
            }
            Form::Counted => call.arguments.peek(),
            Form::Keys | Form::Move => call.arguments.iter().last().unwrap_or(b""),
        };
        parse_timeout(text)
    }

    /// What a key has for this command, at shard time.
    pub fn supply(&self, call: &Call<'_>, key: &[u8]) -> Supply {
        if form(call) == Form::Streams {
            return stream::waiting::supply(self, call, key);
        }
        let Some(entry) = self.find(call.db, key) else {
            return Supply::Nothing;
        };
        let Some(database) = self.database(call.db) else {
            return Supply::Nothing;
        };
        let collections = database.collections();
        let is_of_lists = call.spec.extra_categories & category::LIST != 0;
        let count = match entry.kind {
            kind::LIST | kind::LIST_LARGE if is_of_lists => {
                <List as Typed>::Ref::of(&entry, collections, self.time_ms).map(TypedRef::count)
            }
            kind::SORTED_SET | kind::SORTED_SET_LARGE if !is_of_lists => {
                <SortedSet as Typed>::Ref::of(&entry, collections, self.time_ms).map(TypedRef::count)
            }
            _ => None,
        };
        count.map_or(Supply::Other, Supply::Elements)
    }

    /// The same command with one of its keys alone, encoded: what is executed when that key has something.
    pub fn narrowed(call: &Call<'_>, key: &[u8]) -> Vec<u8> {
        let keys = Self::waited_keys(call).len();
        let mut arguments: Vec<&[u8]> = call.arguments.iter().collect();
        match form(call) {
            Form::Streams => return stream::waiting::narrowed(call, key),
            Form::Move => {}
            Form::Keys => drop(arguments.splice(..keys, [key])),
            Form::Counted => drop(arguments.splice(1..2 + keys, [&b"1"[..], key])),
        }
        encode_with(call, &arguments)
    }
}

/// The call with other arguments, encoded.
pub(super) fn encode_with(call: &Call<'_>, arguments: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::new();
    arguments
        .iter()
        .for_each(|argument| put_bytes(&mut encoded, argument));
    let changed = Command::Call(Call {
        arguments: Arguments::from_encoded((arguments.len(), &encoded)),
        ..*call
    });
    let mut out = Vec::new();
    changed.encode(&mut out);
    out
}

/// Seconds with a part, as Redis reads them.
fn parse_timeout(text: &[u8]) -> Result<Option<u64>, CommandError> {
    let seconds = Extended::parse(text).ok_or(CommandError::fixed(words::NOT_A_TIMEOUT))?;
    // What is beyond any count becomes a negative one there.
    let milliseconds = seconds
        .times_rounded_up(1_000)
        .and_then(|count| i64::try_from(count).ok());
    match milliseconds {
        Some(0) => Ok(None),
        Some(count) if count > 0 => Ok(Some(count.unsigned_abs())),
        _ => Err(CommandError::fixed(words::NEGATIVE_TIMEOUT)),
    }
}

/// Refuses a last argument that is no timeout.
pub(super) fn check_last(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_timeout(arguments.iter().last().unwrap_or(b"")).map(|_| ())
}

/// Takes the timeout off the front of `timeout numkeys key [key ...] …`. More keys than there are words is refused
/// before a timeout that is none, as Redis does.
///
/// # Errors
/// Redis' error for either.
pub(super) fn take_timeout(arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let mut counted = *arguments;
    counted.skip(1);
    match counted.take_integer() {
        Ok(count) if usize::try_from(count).is_ok_and(|count| count > counted.len()) => {
            Err(CommandError::fixed(words::SYNTAX))
        }
        _ => parse_timeout(arguments.take()).map(|_| ()),
    }
}

/// `key [key ...] timeout`: takes what `take` takes from the first key that has elements; a null array if none has.
pub(super) fn first_of<T: Typed>(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
    take: impl FnOnce(&mut T, &[u8], &mut ReplyWriter<'_>),
) -> Result<Changed, CommandError> {
    check_last(arguments)?;
    let keys = arguments.len().saturating_sub(1);
    for key in arguments.iter().take(keys) {
        context.spend(1);
        let is_there = context.looking(|context| {
            let found: Option<T::Ref<'_>> = context.find(key)?;
            Ok::<_, CommandError>(found.is_some())
        })?;
        if is_there {
            context.change(key, |collection: &mut T, _, _| {
                take(collection, key, reply);
                ((), Changed::Something)
            })?;
            return Ok(Changed::Something);
        }
    }
    reply.null_array();
    Ok(Changed::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_redis() {
        let read = |text: &str| parse_timeout(text.as_bytes()).map_err(|error| error.as_bytes().to_vec());
        for (text, milliseconds) in [
            ("0", None),
            ("-0.0001", None),
            ("0.0001", Some(1)),
            ("1", Some(1_000)),
            ("0x1", Some(1_000)),
            ("5e-1", Some(500)),
            // A product that is not rounded before it is rounded up would be a millisecond more.
            ("1e-1", Some(100)),
            ("0.0011", Some(2)),
            ("2.5", Some(2_500)),
            ("9223372036854775", Some(9_223_372_036_854_775_000)),
        ] {
            assert_eq!(read(text), Ok(milliseconds), "{text}");
        }
        for text in ["abc", "nan", "", " 1", "1 "] {
            assert_eq!(read(text), Err(words::NOT_A_TIMEOUT.into()), "{text}");
        }
        for text in ["-1", "-inf", "inf", "9300000000000000"] {
            assert_eq!(read(text), Err(words::NEGATIVE_TIMEOUT.into()), "{text}");
        }
    }
}
