//! Members at random: SPOP takes them out by draws that are the same on every replica, SRANDMEMBER tells them by
//! draws of this node alone.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::{Set, SetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::{below, weigh_all};
use crate::keyspace::handlers::Slice;
use crate::keyspace::random::{self, Drawn, Wanted};
use crate::keyspace::slices::steps_of;

/// How many are asked for; `None` for one that is not in an array.
fn pop_count(mut arguments: Arguments<'_>) -> Result<Option<u64>, CommandError> {
    arguments.skip(1);
    if arguments.is_empty() {
        return Ok(None);
    }
    if arguments.len() > 1 {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    let count = arguments
        .take_integer()
        .ok()
        .and_then(|count| u64::try_from(count).ok());
    count.map(Some).ok_or(CommandError::fixed(words::NOT_POSITIVE))
}

/// Refuses what is no SPOP.
pub(super) fn check_pop(arguments: Arguments<'_>) -> Result<(), CommandError> {
    pop_count(arguments).map(|_| ())
}

/// About how many members SPOP takes out.
pub(super) fn weigh_pop(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let count = pop_count(arguments).ok().flatten().unwrap_or(1);
    count.min(weigh_all::<Set>(context, arguments) as u64) as usize
}

/// One step of SplitMix64 from `state`: draws of one command.
fn nth(first: u64, index: u64) -> u64 {
    let mut mixed = first.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// `key [count]`: members, which are taken out.
pub(super) fn spop(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let count = pop_count(slice.all)?;
    let len = context.looking(|context| {
        let set: Option<SetRef<'_>> = context.find(key)?;
        Ok(set.map_or(0, SetRef::len))
    })?;
    let kept = &mut *slice.kept;
    let wanted = count.unwrap_or(1).min(len + kept.tally as u64);
    if !kept.begun {
        match count {
            Some(_) => reply.set(wanted as usize),
            None if wanted == 0 => reply.null(),
            None => (),
        }
    }
    let first = context.draw(key);
    let first = *kept.state_or(|| Ok::<_, CommandError>(first))?;
    if wanted == 0 {
        return Ok(Some(Changed::Nothing));
    }
    context.change(key, |set: &mut Set, _, steps| {
        while (kept.tally as u64) < wanted && *steps > 0 {
            let index = below(nth(first, kept.tally as u64), set.as_ref().len());
            let Some(member) = set.as_ref().at(index).map(|member| member.to_vec()) else {
                break;
            };
            set.remove(&member);
            reply.bulk(&member);
            kept.tally += 1;
            *steps = steps.saturating_sub(steps_of(member.len()));
        }
        ((), Changed::Something)
    })?;
    Ok((kept.tally as u64 == wanted).then_some(Changed::Something))
}

impl<'a> Drawn<'a> for SetRef<'a> {
    fn tell_at(self, index: u64, _: bool, reply: &mut ReplyWriter<'_>) -> usize {
        self.at(index).map_or(0, |member| {
            member.with(|member| {
                reply.bulk(member);
                member.len()
            })
        })
    }
}

fn wanted(arguments: Arguments<'_>) -> Result<Wanted, CommandError> {
    match arguments.len() {
        0..=2 => Wanted::parse(arguments, ""),
        _ => Err(CommandError::fixed(words::SYNTAX)),
    }
}

/// Refuses what is no SRANDMEMBER.
pub(super) fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    wanted(arguments).map(|_| ())
}

/// About how many members SRANDMEMBER looks at.
pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    random::weigh::<Set>(context, arguments, wanted(arguments))
}

/// `key [count]`: members at random, by draws of this node alone.
pub(super) fn srandmember(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    random::tell::<Set>(context, slice, wanted(slice.all)?, reply)
}
