//! Sets of members.
//!
//! A command over many members counts each as a step, and goes on in the next slice. Members are told in the order
//! of [`SetRef::from`], the same on every replica.

mod algebra;
mod random;

use repligo_proto::reply::ReplyWriter;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::elements::{Scanned, change_each, count, scan, tell_each, weigh_all};
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read, write};
use super::slices::steps_of;
use crate::collection::{Set, SetRef};
use crate::command::{Arguments, CommandError};

pub(super) const HANDLERS: &[Handler] = &[
    long_write("sadd", sadd, by_arguments),
    long_write("srem", srem, by_arguments),
    long_read("smembers", smembers, weigh_all::<Set>),
    read("sismember", sismember),
    long_read("smismember", smismember, by_arguments),
    read("scard", count::<Set>),
    write("smove", smove),
    read("sscan", scan::<Set>),
    long_write("spop", random::spop, random::weigh_pop).checked(random::check_pop),
    long_read("srandmember", random::srandmember, random::weigh).checked(random::check),
    long_read("sinter", algebra::sinter, algebra::weigh),
    long_read("sunion", algebra::sunion, algebra::weigh),
    long_read("sdiff", algebra::sdiff, algebra::weigh),
    long_read("sintercard", algebra::sintercard, algebra::weigh).checked(algebra::check_card),
    long_write("sinterstore", algebra::sinterstore, algebra::weigh),
    long_write("sunionstore", algebra::sunionstore, algebra::weigh),
    long_write("sdiffstore", algebra::sdiffstore, algebra::weigh),
];

/// `key member [member ...]`: how many are new.
fn sadd(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    change_each(context, slice, reply, |set: &mut Set, member, seed| {
        set.insert(member, seed)
    })
}

/// `key member [member ...]`: how many there were.
fn srem(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    change_each(context, slice, reply, |set: &mut Set, member, _| {
        set.remove(member)
    })
}

/// `key`: all members.
fn smembers(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let set: Option<SetRef<'_>> = context.find(slice.all.peek())?;
    if !slice.kept.begun {
        reply.set(set.map_or(0, SetRef::len) as usize);
    }
    match set {
        Some(set) => Ok(tell(context, set, &mut slice.kept.tally, reply)),
        None => Ok(true),
    }
}

/// Tells the members from index `next` on; false if the steps are spent before the end.
fn tell(context: &ReadContext<'_>, set: SetRef<'_>, next: &mut i64, reply: &mut ReplyWriter<'_>) -> bool {
    for member in set.from(*next as u64) {
        if context.is_spent() {
            return false;
        }
        member.with(|member| {
            reply.bulk(member);
            context.spend(steps_of(member.len()));
        });
        *next += 1;
    }
    true
}

/// `key member`: 1 or 0.
fn sismember(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let set: Option<SetRef<'_>> = context.find(arguments.take())?;
    let is_member = set.is_some_and(|set| set.contains(arguments.take()));
    reply.integer(i64::from(is_member));
    Ok(())
}

/// `key member [member ...]`: 1 or 0 for each.
fn smismember(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_each::<Set>(context, slice, reply, |set, member, reply| {
        reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
        0
    })
}

/// `source destination member`: 1, or 0 where it is no member of the source.
fn smove(
    context: &mut WriteContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Changed, CommandError> {
    let (from, to, member) = (arguments.take(), arguments.take(), arguments.take());
    let is_member = context.looking(|context| {
        let Some(source) = context.find::<SetRef<'_>>(from)? else {
            return Ok(false);
        };
        context.find::<SetRef<'_>>(to)?;
        Ok(source.contains(member))
    })?;
    let changed = Changed::from(is_member && from != to);
    if changed == Changed::Something {
        context.change(from, |set: &mut Set, _, _| {
            ((), Changed::from(set.remove(member)))
        })?;
        context.change(to, |set: &mut Set, seed, _| {
            ((), Changed::from(set.insert(member, seed)))
        })?;
    }
    reply.integer(i64::from(is_member));
    Ok(changed)
}

impl<'a> Scanned<'a> for SetRef<'a> {
    fn scan_parts(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[&[u8]])) -> u64 {
        self.scan(cursor, count, &mut |member| show(&[member]))
    }
}
