//! XREAD, and what it has in common with XREADGROUP.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::ids::strict_id;
use super::{find, tell_entry, weigh_entries};
use crate::collection::{Stream, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;

/// What XREAD says to be told the last entry.
pub(super) const LAST: &[u8] = b"+";

/// What XREAD or XREADGROUP says.
#[derive(Clone, Copy, Debug)]
pub(in crate::keyspace) struct Reading<'a> {
    /// Most entries of each stream; 0 for all.
    pub count: u64,
    /// How many milliseconds it waits, 0 for ever, if it does.
    pub block_ms: Option<u64>,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    pub is_unacknowledged: bool,
    /// Number of streams.
    pub streams: usize,
    /// Keys, and behind them as many ids.
    rest: Arguments<'a>,
}

impl<'a> Reading<'a> {
    /// Of `xread` or `xreadgroup`.
    ///
    /// # Errors
    /// Redis' error for what is neither.
    pub fn parse(command: &str, mut arguments: Arguments<'a>) -> Result<Self, CommandError> {
        let is_group = command == "xreadgroup";
        let mut reading = Self {
            count: 0,
            block_ms: None,
            group: None,
            is_unacknowledged: false,
            streams: 0,
            rest: arguments,
        };
        let mut has_streams = false;
        while !arguments.is_empty() {
            let has_more = arguments.len() > 1;
            if has_more && arguments.take_word("block") {
                reading.block_ms = Some(parse_block(arguments.take())?);
            } else if has_more && arguments.take_word("count") {
                reading.count = u64::try_from(arguments.take_integer()?).unwrap_or(0);
            } else if has_more && arguments.take_word("streams") {
                if arguments.len() % 2 == 1 {
                    return Err(CommandError::fixed(stream_words::UNBALANCED));
                }
                has_streams = true;
                break;
            } else if arguments.len() > 2 && arguments.take_word("group") {
                if !is_group {
                    return Err(CommandError::fixed(stream_words::GROUP_WITHOUT_GROUP));
                }
                reading.group = Some((arguments.take(), arguments.take()));
            } else if arguments.take_word("noack") {
                if !is_group {
                    return Err(CommandError::fixed(stream_words::NOACK_WITHOUT_GROUP));
                }
                reading.is_unacknowledged = true;
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        if !has_streams {
            return Err(CommandError::fixed(words::SYNTAX));
        }
        if is_group && reading.group.is_none() {
            return Err(CommandError::fixed(stream_words::MISSING_GROUP));
        }
        reading.streams = arguments.len() / 2;
        reading.rest = arguments;
        Ok(reading)
    }

    /// Each key with what is said of where to begin.
    pub fn streams(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let keys = self.rest.iter().take(self.streams);
        keys.zip(self.rest.iter().skip(self.streams))
    }

    /// At most so many of `there` entries.
    pub fn limited(&self, there: u64) -> u64 {
        match self.count {
            0 => there,
            count => count.min(there),
        }
    }
}

/// How many milliseconds BLOCK says.
fn parse_block(text: &[u8]) -> Result<u64, CommandError> {
    let number = crate::command::parse_i64(text).ok_or(CommandError::fixed(stream_words::NOT_A_TIMEOUT))?;
    u64::try_from(number).map_err(|_| CommandError::fixed(words::NEGATIVE_TIMEOUT))
}

/// Refuses what is no XREAD.
pub(super) fn check_read(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Reading::parse("xread", arguments).map(|_| ())
}

/// Refuses what is no XREADGROUP.
pub(super) fn check_read_group(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Reading::parse("xreadgroup", arguments).map(|_| ())
}

/// How many entries are told of a stream.
fn count_behind(stream: &Stream, reading: &Reading<'_>, from: &[u8]) -> u64 {
    let there = match reading.group {
        None if from == LAST => u64::from(!stream.is_empty()),
        None => {
            let id = strict_id(from).unwrap_or(StreamId::MAX);
            id.next()
                .map_or(0, |next| stream.count_between(next, StreamId::MAX))
        }
        Some((group, consumer)) => {
            let Some(group) = stream.group(group) else {
                return 0;
            };
            match (strict_id(from), stream.consumer(group.number, consumer)) {
                (Err(_), _) => stream.len() - stream.count_below(group.last),
                (Ok(id), Some(consumer)) => stream.owned_count_from(consumer.number, id),
                (Ok(_), None) => 0,
            }
        }
    };
    reading.limited(there)
}

/// About so many steps for the streams that are looked at and the entries that are told.
pub(super) fn weigh_read(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    // Which of the two it is shows in whether it names a group.
    let reading = Reading::parse("xreadgroup", arguments).or_else(|_| Reading::parse("xread", arguments));
    let Ok(reading) = reading else { return 1 };
    let mut steps = reading.streams;
    for (key, from) in reading.streams() {
        let stream: Option<&Stream> = context.look(key);
        if let Some(stream) = stream {
            let count = count_behind(stream, &reading, from);
            steps = steps.saturating_add(weigh_entries(context, key, (stream, count)));
        }
    }
    steps
}

/// The head of what is told of one stream.
pub(super) fn tell_stream(reply: &mut ReplyWriter<'_>, key: &[u8], count: u64) {
    if !reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(key);
    reply.array(count as usize);
}

/// The head of a reply about so many streams.
pub(super) fn tell_streams(reply: &mut ReplyWriter<'_>, count: usize) {
    if reply.is_resp3() {
        reply.map(count);
    } else {
        reply.array(count);
    }
}

/// A stream of which something is told.
struct Served {
    /// Which of the streams that were asked for.
    index: usize,
    next: StreamId,
    left: u64,
    is_begun: bool,
}

/// What is told of each stream.
fn plan(context: &ReadContext<'_>, reading: &Reading<'_>) -> Result<Vec<Served>, CommandError> {
    let mut served = Vec::new();
    for (index, (key, from)) in reading.streams().enumerate() {
        context.spend(1);
        let stream = find(context, key)?;
        let behind = match from {
            // The last entry there is, however many there were behind it.
            LAST => {
                let last = stream.and_then(Stream::last);
                last.and_then(|last| last.id.previous()).unwrap_or(StreamId::MAX)
            }
            b"$" => StreamId::MAX,
            b">" => return Err(CommandError::fixed(stream_words::NEW_WITHOUT_GROUP)),
            from => strict_id(from)?,
        };
        let Some((stream, next)) = stream.zip(behind.next()) else {
            continue;
        };
        let left = reading.limited(stream.count_between(next, StreamId::MAX));
        if left > 0 {
            served.push(Served {
                index,
                next,
                left,
                is_begun: false,
            });
        }
    }
    // What is told last is taken off the end.
    served.reverse();
    Ok(served)
}

/// `[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]`: the entries behind the ids, or the last one for
/// `+`, of each stream that has any; a null array if none has. It does not wait.
pub(super) fn xread(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let reading = Reading::parse("xread", slice.all)?;
    let is_begun = slice.kept.begun;
    let served = slice.kept.state_or(|| plan(context, &reading))?;
    if !is_begun {
        if served.is_empty() {
            reply.null_array();
        } else {
            tell_streams(reply, served.len());
        }
    }
    while let Some(stream) = served.last_mut() {
        let (key, _) = reading.streams().nth(stream.index).unwrap_or_default();
        if !stream.is_begun {
            stream.is_begun = true;
            tell_stream(reply, key, stream.left);
        }
        let found = find(context, key)?;
        for entry in found.iter().flat_map(|found| found.from(stream.next)) {
            if stream.left == 0 {
                break;
            }
            if context.is_spent() {
                stream.next = entry.id;
                return Ok(false);
            }
            context.spend(tell_entry(reply, entry));
            stream.left -= 1;
        }
        served.pop();
    }
    Ok(true)
}
