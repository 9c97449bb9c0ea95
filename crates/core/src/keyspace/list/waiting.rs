//! The forms of the commands at the ends of lists that wait outside of MULTI; here they do not.

use repligo_proto::reply::ReplyWriter;

use super::ends;
use crate::collection::{End, List};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::waiting::{check_last, first_of, take_timeout};

/// `key [key ...] timeout`: the first key with a list, and the element at its front.
pub(super) fn blpop(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    pop_first(context, arguments, End::Head, reply)
}

/// As [`blpop`], at the other end.
pub(super) fn brpop(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    pop_first(context, arguments, End::Tail, reply)
}

fn pop_first(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    end: End,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    first_of(context, arguments, reply, |list: &mut List, key, reply| {
        reply.array(2);
        reply.bulk(key);
        list.pop(end, |element| element.with(|element| reply.bulk(element)));
    })
}

/// Refuses what is no BLMOVE.
pub(super) fn check_move(arguments: Arguments<'_>) -> Result<(), CommandError> {
    ends::check_move(arguments)?;
    check_last(arguments)
}

/// `source destination LEFT|RIGHT LEFT|RIGHT timeout`: the element, or null.
pub(super) fn blmove(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    check_move(arguments)?;
    ends::lmove(context, arguments, reply)
}

/// `source destination timeout`: the element, or null.
pub(super) fn brpoplpush(
    context: &mut WriteContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    check_last(arguments)?;
    ends::rpoplpush(context, arguments, reply)
}

/// Refuses what is no BLMPOP.
pub(super) fn check_multiple(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    take_timeout(&mut arguments)?;
    ends::check_multiple(arguments)
}

/// About how many keys BLMPOP looks at and how many elements it takes.
pub(super) fn weigh_multiple(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    arguments.skip(1);
    ends::weigh_multiple(context, arguments)
}

/// `timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`: as LMPOP.
pub(super) fn blmpop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    take_timeout(&mut slice.all)?;
    if !slice.kept.begun {
        slice.rest.skip(1);
    }
    ends::lmpop(context, slice, reply)
}
