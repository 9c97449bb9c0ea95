//! XLEN, XRANGE and XREVRANGE.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::ids::{range_end, range_start};
use super::{behind_key, find, tell_entry, weigh_entries};
use crate::collection::{Stream, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;

/// `key`: number of entries.
pub(super) fn xlen(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let stream = find(context, arguments.take())?;
    reply.integer(stream.map_or(0, |stream| stream.len() as i64));
    Ok(())
}

/// What XRANGE says behind the key; the ends are both included.
struct Range {
    start: StreamId,
    end: StreamId,
    /// `None` for all.
    count: Option<u64>,
}

impl Range {
    fn parse(arguments: Arguments<'_>, is_reverse: bool) -> Result<Self, CommandError> {
        let (_, mut rest) = behind_key(arguments);
        let (first, second) = (rest.take(), rest.take());
        let (start, end) = if is_reverse {
            (second, first)
        } else {
            (first, second)
        };
        let mut range = Self {
            start: range_start(start)?,
            end: range_end(end)?,
            count: None,
        };
        while !rest.is_empty() {
            if rest.len() < 2 || !rest.take_word("count") {
                return Err(CommandError::fixed(words::SYNTAX));
            }
            range.count = Some(u64::try_from(rest.take_integer()?).unwrap_or(0));
        }
        Ok(range)
    }

    /// How many entries it tells.
    fn count_in(&self, stream: &Stream) -> u64 {
        let there = stream.count_between(self.start, self.end);
        self.count.map_or(there, |count| count.min(there))
    }
}

fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>, is_reverse: bool) -> usize {
    let stream: Option<&Stream> = context.look(arguments.peek());
    match (Range::parse(arguments, is_reverse), stream) {
        (Ok(range), Some(stream)) => {
            weigh_entries(context, arguments.peek(), (stream, range.count_in(stream)))
        }
        _ => 1,
    }
}

/// About so many steps for the entries that XRANGE tells.
pub(super) fn weigh_range(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    weigh(context, arguments, false)
}

/// About so many steps for the entries that XREVRANGE tells.
pub(super) fn weigh_reverse(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    weigh(context, arguments, true)
}

/// `key start end [COUNT count]`: the entries.
pub(super) fn xrange(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_range(context, slice, false, reply)
}

/// `key end start [COUNT count]`: the entries, the last one first.
pub(super) fn xrevrange(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_range(context, slice, true, reply)
}

/// Where the telling of a range goes on, and how many entries are left.
struct Place {
    next: StreamId,
    left: u64,
}

fn tell_range(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    is_reverse: bool,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let range = Range::parse(slice.all, is_reverse)?;
    let stream = find(context, slice.all.peek())?;
    let Some(stream) = stream else {
        reply.array(0);
        return Ok(true);
    };
    if range.count == Some(0) {
        reply.null_array();
        return Ok(true);
    }
    let is_begun = slice.kept.begun;
    let place = slice.kept.state_or(|| {
        Ok::<_, CommandError>(Place {
            next: if is_reverse { range.end } else { range.start },
            left: range.count_in(stream),
        })
    })?;
    if !is_begun {
        reply.array(place.left as usize);
    }
    let entries: Box<dyn Iterator<Item = _>> = match is_reverse {
        false => Box::new(stream.from(place.next)),
        true => Box::new(stream.back_from(place.next)),
    };
    for entry in entries {
        if place.left == 0 {
            break;
        }
        if context.is_spent() {
            place.next = entry.id;
            return Ok(false);
        }
        context.spend(tell_entry(reply, entry));
        place.left -= 1;
    }
    Ok(true)
}
