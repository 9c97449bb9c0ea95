//! XREAD and XREADGROUP with BLOCK: what they find, and how they go on waiting.

use std::borrow::Cow;

use repligo_proto::words::stream as stream_words;

use super::ids::strict_id;
use super::reading::{LAST, Reading};
use crate::collection::{Stream, StreamId};
use crate::command::{Call, CommandError};
use crate::keyspace::Keyspace;
use crate::keyspace::typed::TypedRef;
use crate::keyspace::waiting::{Supply, encode_with};

/// Entries that a client which has waited gets at most, if it has not said how many.
const WAITED_COUNT: &[u8] = b"1000";

/// What such a command says.
///
/// # Errors
/// Redis' error for what it does not take.
pub(in crate::keyspace) fn reading<'a>(call: &Call<'a>) -> Result<Reading<'a>, CommandError> {
    Reading::parse(call.spec.name, call.arguments)
}

/// True for a command that says BLOCK.
pub(in crate::keyspace) fn says_block(call: &Call<'_>) -> bool {
    reading(call).is_ok_and(|reading| reading.block_ms.is_some())
}

/// From where on a key is read; of one that is named more than once, Redis waits for the first.
fn said_of<'a>(reading: &Reading<'a>, key: &[u8]) -> &'a [u8] {
    let mut streams = reading.streams();
    streams.find(|(other, _)| *other == key).map_or(b"", |(_, id)| id)
}

/// What a key has for the command.
pub(in crate::keyspace) fn supply(keyspace: &Keyspace, call: &Call<'_>, key: &[u8]) -> Supply {
    let Ok(reading) = reading(call) else {
        return Supply::Nothing;
    };
    let entry = keyspace.find(call.db, key);
    let found = entry.zip(keyspace.database(call.db));
    let gone = |text| match reading.group {
        Some(_) => Supply::Gone(text),
        None => Supply::Nothing,
    };
    let Some((entry, database)) = found else {
        return gone(stream_words::STREAM_GONE);
    };
    let stream: Option<&Stream> = TypedRef::of(&entry, database.collections(), keyspace.time_ms());
    let Some(stream) = stream else {
        return match reading.group {
            Some(_) => Supply::Gone(stream_words::STREAM_GONE),
            None => Supply::Other,
        };
    };
    let last = stream.last().map(|last| last.id);
    let from = said_of(&reading, key);
    let Some((name, _)) = reading.group else {
        // Whoever reads takes nothing away from others.
        let behind = strict_id(from).unwrap_or(StreamId::MAX);
        return match last.is_some_and(|last| last > behind) {
            true => Supply::Elements(u64::MAX),
            false => Supply::Nothing,
        };
    };
    let Some(group) = stream.group(name) else {
        return gone(stream_words::GROUP_GONE);
    };
    let is_history = strict_id(from).is_ok_and(|id| id != StreamId::MAX);
    let new = group.last.next();
    let new = new.map_or(0, |next| stream.count_between(next, StreamId::MAX));
    match is_history {
        true => Supply::Elements(new.max(1)),
        false if new > 0 => Supply::Elements(new),
        false => Supply::Nothing,
    }
}

/// The words of the command with these streams; with BLOCK as it is, or without.
fn words<'a>(
    reading: &Reading<'a>,
    streams: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    keeps_block: bool,
) -> Vec<Cow<'a, [u8]>> {
    let mut words: Vec<Cow<'a, [u8]>> = Vec::new();
    let mut put = |word: &'a [u8]| words.push(Cow::Borrowed(word));
    if let Some((group, consumer)) = reading.group {
        [b"GROUP", group, consumer].into_iter().for_each(&mut put);
    }
    if reading.is_unacknowledged {
        put(b"NOACK");
    }
    let number = |number: u64| Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec());
    if reading.count > 0 || !keeps_block {
        words.push(Cow::Borrowed(b"COUNT"));
        words.push(match reading.count {
            0 => Cow::Borrowed(WAITED_COUNT),
            count => number(count),
        });
    }
    if let Some(block_ms) = reading.block_ms.filter(|_| keeps_block) {
        words.push(Cow::Borrowed(b"BLOCK"));
        words.push(number(block_ms));
    }
    words.push(Cow::Borrowed(b"STREAMS"));
    words.extend(streams.iter().map(|(key, _)| Cow::Borrowed(*key)));
    words.extend(streams.into_iter().map(|(_, id)| id));
    words
}

fn encode(call: &Call<'_>, words: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| &**word).collect();
    encode_with(call, &words)
}

/// As [`Keyspace::narrowed`].
pub(in crate::keyspace) fn narrowed(call: &Call<'_>, key: &[u8]) -> Vec<u8> {
    let Ok(reading) = reading(call) else {
        return encode_with(call, &call.arguments.iter().collect::<Vec<_>>());
    };
    // The key in the words of the client, which outlive what was looked up.
    let key = reading.streams().find(|(other, _)| *other == key);
    let streams = key.map(|(key, id)| (key, Cow::Borrowed(id))).into_iter();
    encode(call, &words(&reading, streams.collect(), false))
}

/// An XREAD that found nothing, with the last id of each stream in place of `$` and `+`: only later entries end its wait.
pub(in crate::keyspace) fn resolved(keyspace: &Keyspace, call: &Call<'_>) -> Vec<u8> {
    let Ok(reading) = reading(call) else {
        return encode_with(call, &call.arguments.iter().collect::<Vec<_>>());
    };
    let last = |key: &[u8]| {
        let found = keyspace.find(call.db, key).zip(keyspace.database(call.db));
        let stream = found
            .and_then(|(entry, database)| <&Stream>::of(&entry, database.collections(), keyspace.time_ms));
        stream.map_or(StreamId::MIN, |stream| stream.marks().last)
    };
    let streams = reading.streams().map(|(key, id)| match id {
        b"$" | LAST => (key, Cow::Owned(last(key).to_string().into_bytes())),
        id => (key, Cow::Borrowed(id)),
    });
    encode(call, &words(&reading, streams.collect(), true))
}
