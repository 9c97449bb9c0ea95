//! XADD, XDEL and XSETID.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::ids::{Written, new_id, strict_id};
use super::trim::{Trim, TrimOptions, trim_some};
use super::{behind_key, find, tell_id};
use crate::collection::{Stream, StreamId, pack_words};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;

/// Most bytes of an entry, as in Redis.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// What XADD says behind the key.
struct Addition<'a> {
    /// `None` for the next one.
    id: Option<Written>,
    creates: bool,
    trim: Option<Trim>,
    /// Fields and values in turn.
    words: Arguments<'a>,
}

impl<'a> Addition<'a> {
    fn parse(arguments: Arguments<'a>) -> Result<Self, CommandError> {
        let (_, mut rest) = behind_key(arguments);
        let mut options = TrimOptions::default();
        let mut creates = true;
        let mut id = None;
        let mut has_id = false;
        while !rest.is_empty() {
            if rest.peek() == b"*" {
                rest.take();
                has_id = true;
                break;
            }
            if options.take(&mut rest)? {
                continue;
            }
            if rest.take_word("nomkstream") {
                creates = false;
                continue;
            }
            id = Some(new_id(rest.take())?);
            has_id = true;
            break;
        }
        let trim = options.finish()?;
        if !has_id || rest.is_empty() || rest.len() % 2 == 1 {
            return Err(CommandError::composed(words::wrong_arity("xadd").into_bytes()));
        }
        if id == Some(Written::Whole(StreamId::MIN)) {
            return Err(CommandError::fixed(stream_words::ID_ZERO));
        }
        Ok(Self {
            id,
            creates,
            trim,
            words: rest,
        })
    }

    /// The id of the new entry behind `last`.
    fn id_behind(&self, last: StreamId, time_ms: u64) -> Result<StreamId, CommandError> {
        if last == StreamId::MAX {
            return Err(CommandError::fixed(stream_words::EXHAUSTED));
        }
        let id = match self.id {
            None if time_ms > last.ms => Some(StreamId { ms: time_ms, seq: 0 }),
            None => last.next(),
            Some(Written::Milliseconds(ms)) if ms == last.ms => {
                // Redis' words for a millisecond that is full.
                let seq = last.seq.checked_add(1);
                let seq = seq.ok_or(CommandError::fixed(stream_words::TOO_LARGE))?;
                Some(StreamId { ms, seq })
            }
            Some(Written::Milliseconds(ms)) => Some(StreamId { ms, seq: 0 }),
            Some(Written::Whole(id)) => Some(id),
        };
        let id = id.filter(|id| *id > last);
        id.ok_or(CommandError::fixed(stream_words::ID_NOT_GREATER))
    }
}

/// Refuses what is no XADD.
pub(super) fn check_add(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Addition::parse(arguments).map(|_| ())
}

/// About so many steps for the words that come and the entries that go.
pub(super) fn weigh_add(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let words = arguments.len() / 8;
    let Ok(Addition { trim: Some(trim), .. }) = Addition::parse(arguments) else {
        return words;
    };
    let stream: Option<&Stream> = context.look(arguments.peek());
    words + stream.map_or(0, |stream| trim.weigh(stream))
}

/// `key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value [field value ...]`: the id of the new
/// entry.
pub(super) fn xadd(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let addition = Addition::parse(slice.all)?;
    let key = slice.all.peek();
    if !addition.creates && !context.exists(key) {
        reply.null();
        return Ok(Some(Changed::Nothing));
    }
    let time_ms = context.time_ms();
    let is_begun = slice.kept.begun;
    let mut trims = slice.kept.tally > 0;
    let left = slice.kept.state_or(|| Ok::<_, CommandError>(0u64))?;
    let added = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        if !is_begun {
            let id = match addition.id_behind(stream.marks().last, time_ms) {
                Ok(id) if addition.words.total_bytes() <= ENTRY_BYTES_MAX => id,
                Ok(_) => {
                    return (
                        Err(CommandError::fixed(stream_words::TOO_LARGE)),
                        Changed::Nothing,
                    );
                }
                Err(error) => return (Err(error), Changed::Nothing),
            };
            let packed = pack_words(addition.words.len(), addition.words.iter());
            *steps = steps.saturating_sub(steps_of(packed.len()));
            stream.append(id, &packed);
            tell_id(reply, id);
            *left = addition.trim.map_or(0, |trim| trim.count_in(stream));
            trims = *left > 0;
        }
        *left = trim_some(stream, *left, steps);
        (Ok(()), Changed::Something)
    })?;
    added?;
    let is_done = *left == 0;
    slice.kept.tally = i64::from(trims);
    if is_done && trims {
        context.tell_also(key, "xtrim");
    }
    Ok(is_done.then_some(Changed::Something))
}

/// `key id [id ...]`: how many entries were there.
pub(super) fn xdel(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    if !slice.kept.begun {
        slice.rest.skip(1);
        let is_there = context.looking(|context| find(context, key).map(|stream| stream.is_some()))?;
        if !is_there {
            reply.integer(0);
            return Ok(Some(Changed::Nothing));
        }
        slice.rest.iter().try_for_each(|id| strict_id(id).map(|_| ()))?;
    }
    let Slice { rest, kept, .. } = slice;
    context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let before = kept.tally;
        while !rest.is_empty() && *steps > 0 {
            let id = strict_id(rest.take()).unwrap_or_default();
            kept.tally += i64::from(stream.delete(id));
            *steps -= 1;
        }
        ((), Changed::from(kept.tally > before))
    })?;
    if !rest.is_empty() {
        return Ok(None);
    }
    reply.integer(kept.tally);
    Ok(Some(Changed::from(kept.tally > 0)))
}

/// What XSETID says behind the key.
struct Marking {
    last: StreamId,
    added: Option<u64>,
    deleted: StreamId,
}

fn parse_set_id(arguments: Arguments<'_>) -> Result<Marking, CommandError> {
    let (_, mut rest) = behind_key(arguments);
    let mut marking = Marking {
        last: strict_id(rest.take())?,
        added: None,
        deleted: StreamId::MIN,
    };
    while !rest.is_empty() {
        if rest.len() > 1 && rest.take_word("entriesadded") {
            let added = u64::try_from(rest.take_integer()?);
            let added = added.map_err(|_| CommandError::fixed(stream_words::NEGATIVE_ADDED))?;
            marking.added = Some(added);
        } else if rest.len() > 1 && rest.take_word("maxdeletedid") {
            marking.deleted = strict_id(rest.take())?;
            if marking.last < marking.deleted {
                return Err(CommandError::fixed(stream_words::ID_BELOW_GIVEN_DELETED));
            }
        } else {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    Ok(marking)
}

/// Refuses what is no XSETID.
pub(super) fn check_set_id(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_set_id(arguments).map(|_| ())
}

/// `key last-id [ENTRIESADDED count] [MAXDELETEDID id]`: OK.
pub(super) fn xsetid(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let marking = parse_set_id(arguments)?;
    let key = arguments.peek();
    context.looking(|context| {
        let stream = find(context, key)?.ok_or(CommandError::fixed(words::NO_SUCH_KEY))?;
        let Some(last) = stream.last() else { return Ok(()) };
        if marking.last < last.id {
            return Err(CommandError::fixed(stream_words::ID_BELOW_LAST));
        }
        match marking.added.is_some_and(|added| added < stream.len()) {
            true => Err(CommandError::fixed(stream_words::ADDED_BELOW_LENGTH)),
            false => Ok(()),
        }
    })?;
    context.change(key, |stream: &mut Box<Stream>, _, _| {
        let marks = stream.marks();
        let added = marking.added.unwrap_or(marks.added);
        let deleted = match marking.deleted {
            StreamId::MIN => marks.deleted,
            deleted => deleted,
        };
        stream.set_marks(marking.last, added, deleted);
        ((), Changed::Something)
    })?;
    reply.ok();
    Ok(Changed::Something)
}
