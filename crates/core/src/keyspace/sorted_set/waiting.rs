//! The forms of the commands at the ends of sorted sets that wait outside of MULTI; here they do not.

use repligo_proto::reply::ReplyWriter;

use super::pop;
use crate::collection::SortedSet;
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::waiting::{first_of, take_timeout};

/// `key [key ...] timeout`: the first key with a sorted set, its member with the lowest score, and that.
pub fn bzpopmin(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    pop_first(context, arguments, |_| 0, reply)
}

/// As [`bzpopmin`], the highest score.
pub fn bzpopmax(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    pop_first(context, arguments, |len| len.saturating_sub(1), reply)
}

fn pop_first(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    rank: impl FnOnce(u64) -> u64,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    first_of(context, arguments, reply, |set: &mut SortedSet, key, reply| {
        reply.array(3);
        reply.bulk(key);
        let rank = rank(set.as_ref().len());
        set.remove_at(rank, 1, &mut |name, score| {
            reply.bulk(name);
            reply.double(score.get());
        });
    })
}

/// Refuses what is no BZMPOP.
pub fn check_multiple(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    take_timeout(&mut arguments)?;
    pop::check_multiple(arguments)
}

/// About how many keys BZMPOP looks at and how many members it takes.
pub fn weigh_multiple(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    arguments.skip(1);
    pop::weigh_multiple(context, arguments)
}

/// `timeout numkeys key [key ...] MIN|MAX [COUNT count]`: as ZMPOP.
pub fn bzmpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    take_timeout(&mut slice.all)?;
    if !slice.kept.begun {
        slice.rest.skip(1);
    }
    pop::zmpop(context, slice, reply)
}
