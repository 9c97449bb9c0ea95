//! MSETEX: several strings under one condition and with one deadline.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::command::{Arguments, CommandError, SetCondition, WriteOptions};
use crate::keyspace::contexts::{Changed, WriteContext};
use crate::keyspace::handlers::Slice;

/// Highest count of keys that is taken for one.
const COUNT_MAX: i64 = i32::MAX as i64;

/// `numkeys key value [key value ...] [NX | XX] [EX seconds | …]`: 1, or 0 and nothing written.
pub(super) fn msetex(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let all = slice.all;
    let (count, options) = *slice.kept.state_or(|| parse(all))?;
    let pairs_end = 1 + 2 * count;
    if !slice.kept.begun && slice.rest.taken() == 0 {
        slice.rest.skip(1);
    }
    // First all keys are looked at, then all are written.
    let looks = options.condition != SetCondition::Always && slice.kept.tally == 0;
    if looks {
        let wanted = options.condition == SetCondition::IfPresent;
        while left(slice, pairs_end) > 0 {
            if context.is_spent() {
                return Ok(None);
            }
            let key = slice.rest.take();
            slice.rest.skip(1);
            context.spend(1);
            if context.exists(key) != wanted {
                reply.integer(0);
                return Ok(Some(Changed::Nothing));
            }
        }
        slice.rest = slice.all;
        slice.rest.skip(1);
        slice.kept.tally = 1;
    }
    let mut changed = Changed::Nothing;
    while left(slice, pairs_end) > 0 {
        if context.is_spent() {
            return Ok(None);
        }
        let (key, value) = (slice.rest.take(), slice.rest.take());
        changed = changed.or(context.put_string(key, value, options.expiry));
    }
    reply.integer(1);
    Ok(Some(changed))
}

/// Arguments of pairs that are not done.
fn left(slice: &Slice<'_>, pairs_end: usize) -> usize {
    let behind = slice.all.len() - pairs_end;
    slice.rest.len().saturating_sub(behind)
}

/// Refuses what is no MSETEX.
pub(super) fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse(arguments).map(|_| ())
}

/// How many pairs there are, and what is said behind them.
fn parse(mut arguments: Arguments<'_>) -> Result<(usize, WriteOptions), CommandError> {
    let count = arguments
        .take_integer()
        .ok()
        .filter(|count| (1..=COUNT_MAX).contains(count));
    let count = count.ok_or(CommandError::fixed(words::INVALID_KEY_COUNT))? as usize;
    if arguments.len() < 2 * count {
        return Err(CommandError::fixed(words::WRONG_PAIR_COUNT));
    }
    arguments.skip(2 * count);
    let options = WriteOptions::take(arguments, "msetex")?;
    if options.returns_old {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    Ok((count, options))
}
