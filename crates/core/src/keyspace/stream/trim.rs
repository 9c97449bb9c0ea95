//! XTRIM, and what XADD trims.
//!
//! Redis with `~` deletes whole nodes of a hundred entries. Where blocks end is this replica's own here, so hundreds are
//! counted from the first entry on.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::behind_key;
use super::ids::strict_id;
use crate::collection::{Stream, StreamId};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;

/// Entries that go together with `~`.
const TOGETHER: u64 = 100;
/// Entries that `~` deletes at most, if it is not said.
const LIMIT: u64 = 100 * TOGETHER;
/// Entries that are deleted for one step: it takes less than to tell one.
const TRIMMED_PER_STEP: u64 = 8;

/// What is to remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    MaxLen(u64),
    MinId(StreamId),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trim {
    strategy: Strategy,
    is_rough: bool,
    /// 0 for none.
    limit: u64,
}

/// The options of XADD and XTRIM as far as they were read.
#[derive(Debug, Default)]
pub(super) struct TrimOptions {
    strategy: Option<Strategy>,
    is_rough: bool,
    limit: Option<u64>,
}

impl TrimOptions {
    /// Takes an option, if one is next.
    ///
    /// # Errors
    /// Redis' error for one that says nothing that can be done.
    pub fn take(&mut self, arguments: &mut Arguments<'_>) -> Result<bool, CommandError> {
        if arguments.len() < 2 {
            return Ok(false);
        }
        if arguments.take_word("maxlen") {
            self.take_threshold(arguments, |arguments| {
                let count = u64::try_from(arguments.take_integer()?);
                let count = count.map_err(|_| CommandError::fixed(stream_words::NEGATIVE_MAXLEN))?;
                Ok(Strategy::MaxLen(count))
            })?;
        } else if arguments.take_word("minid") {
            self.take_threshold(arguments, |arguments| {
                strict_id(arguments.take()).map(Strategy::MinId)
            })?;
        } else if arguments.take_word("limit") {
            let limit = u64::try_from(arguments.take_integer()?);
            let limit = limit.map_err(|_| CommandError::fixed(stream_words::NEGATIVE_LIMIT))?;
            self.limit = Some(limit);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn take_threshold(
        &mut self,
        arguments: &mut Arguments<'_>,
        take: impl FnOnce(&mut Arguments<'_>) -> Result<Strategy, CommandError>,
    ) -> Result<(), CommandError> {
        if self.strategy.is_some() {
            return Err(CommandError::fixed(stream_words::MAXLEN_AND_MINID));
        }
        self.is_rough = false;
        if arguments.len() >= 2 {
            self.is_rough = arguments.take_word("~");
            if !self.is_rough {
                arguments.take_word("=");
            }
        }
        self.strategy = Some(take(arguments)?);
        Ok(())
    }

    /// What they say together; `None` if nothing is trimmed.
    ///
    /// # Errors
    /// Redis' error for what does not go together.
    pub fn finish(self) -> Result<Option<Trim>, CommandError> {
        let Some(strategy) = self.strategy else {
            return match self.limit.unwrap_or(0) {
                0 => match self.limit {
                    None => Ok(None),
                    Some(_) => Err(CommandError::fixed(stream_words::LIMIT_WITHOUT_TILDE)),
                },
                _ => Err(CommandError::fixed(stream_words::LIMIT_WITHOUT_STRATEGY)),
            };
        };
        if self.limit.is_some() && !self.is_rough {
            return Err(CommandError::fixed(stream_words::LIMIT_WITHOUT_TILDE));
        }
        Ok(Some(Trim {
            strategy,
            is_rough: self.is_rough,
            limit: match self.is_rough {
                true => self.limit.unwrap_or(LIMIT),
                false => 0,
            },
        }))
    }
}

impl Trim {
    /// How many entries go.
    pub fn count_in(&self, stream: &Stream) -> u64 {
        let len = stream.len();
        let beyond = match self.strategy {
            Strategy::MaxLen(most) => len.saturating_sub(most),
            Strategy::MinId(id) => stream.count_below(id),
        };
        if !self.is_rough {
            return beyond;
        }
        let is_limited = self.limit > 0 && self.limit < beyond;
        let most = if is_limited { self.limit } else { beyond };
        match most == len {
            true => len,
            false => most / TOGETHER * TOGETHER,
        }
    }

    /// About so many steps to trim a stream.
    pub fn weigh(&self, stream: &Stream) -> usize {
        (self.count_in(stream) / TRIMMED_PER_STEP) as usize
    }
}

/// Takes up to `left` entries off the front, as far as the steps reach; returns how many are left to take.
pub(super) fn trim_some(stream: &mut Stream, mut left: u64, steps: &mut usize) -> u64 {
    while left > 0 && *steps > 0 {
        let (trimmed, _) = stream.trim(left);
        if trimmed == 0 {
            return 0;
        }
        left -= trimmed;
        *steps = steps.saturating_sub(1 + (trimmed / TRIMMED_PER_STEP) as usize);
    }
    left
}

fn parse_trim(arguments: Arguments<'_>) -> Result<Trim, CommandError> {
    let (_, mut rest) = behind_key(arguments);
    let mut options = TrimOptions::default();
    while !rest.is_empty() {
        if !options.take(&mut rest)? {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    let has_limit = options.limit.is_some_and(|limit| limit > 0);
    if options.strategy.is_none() && !has_limit {
        return Err(CommandError::fixed(stream_words::NO_STRATEGY));
    }
    let trim = options.finish()?;
    trim.ok_or(CommandError::fixed(stream_words::NO_STRATEGY))
}

/// Refuses what is no XTRIM.
pub(super) fn check_trim(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_trim(arguments).map(|_| ())
}

/// About so many steps for the entries that go.
pub(super) fn weigh_trim(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let stream: Option<&Stream> = context.look(arguments.peek());
    match (parse_trim(arguments), stream) {
        (Ok(trim), Some(stream)) => trim.weigh(stream),
        _ => 1,
    }
}

/// `key MAXLEN|MINID [=|~] threshold [LIMIT count]`: how many entries went.
pub(super) fn xtrim(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let trim = parse_trim(slice.all)?;
    let is_begun = slice.kept.begun;
    let left = slice.kept.state_or(|| Ok::<_, CommandError>(0u64))?;
    let (is_done, gone) = context.change(slice.all.peek(), |stream: &mut Box<Stream>, _, steps| {
        if !is_begun {
            *left = trim.count_in(stream);
        }
        let before = *left;
        *left = trim_some(stream, before, steps);
        let gone = before - *left;
        ((*left == 0, gone), Changed::from(gone > 0))
    })?;
    let trimmed = &mut slice.kept.tally;
    *trimmed += gone as i64;
    if is_done {
        reply.integer(*trimmed);
    }
    Ok(is_done.then_some(Changed::from(*trimmed > 0)))
}
