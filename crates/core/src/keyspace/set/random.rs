//! Members at random: SPOP takes them out by draws that are the same on every replica, SRANDMEMBER tells them by
//! draws of this node alone.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::{Set, SetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::below;
use crate::keyspace::handlers::Slice;
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
    count.min(super::weigh_all(context, arguments) as u64) as usize
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

/// How many are asked for; negative: a member may come again; `None` for one that is not in an array.
fn count_of(mut arguments: Arguments<'_>) -> Result<Option<i64>, CommandError> {
    arguments.skip(1);
    if arguments.is_empty() {
        return Ok(None);
    }
    if arguments.len() > 1 {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    match arguments.take_integer()? {
        i64::MIN => {
            let range = words::value_between(-i64::MAX, i64::MAX);
            Err(CommandError::composed(range.into_bytes()))
        }
        count => Ok(Some(count)),
    }
}

/// Refuses what is no SRANDMEMBER.
pub(super) fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    count_of(arguments).map(|_| ())
}

/// About how many members SRANDMEMBER looks at.
pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    match (count_of(arguments), super::weigh_all(context, arguments)) {
        (_, 0) | (Ok(None) | Err(_), _) => 1,
        (Ok(Some(count)), _) if count < 0 => count.unsigned_abs() as usize,
        (Ok(Some(_)), len) => len,
    }
}

/// `key [count]`: members at random, by draws of this node alone.
pub(super) fn srandmember(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let count = count_of(slice.all)?;
    let set: Option<SetRef<'_>> = context.find(slice.all.peek())?;
    let Some(count) = count else {
        match set.and_then(|set| set.at(below(context.draw(), set.len()))) {
            Some(member) => member.with(|member| reply.bulk(member)),
            None => reply.null(),
        }
        return Ok(true);
    };
    let Some(set) = set else {
        reply.array(0);
        return Ok(true);
    };
    let total = match count < 0 {
        true => count.unsigned_abs(),
        false => (count as u64).min(set.len()),
    };
    let kept = &mut *slice.kept;
    if !kept.begun {
        reply.array(total as usize);
    }
    let mut given = kept.tally as u64;
    // Of those that are looked at in order each is taken with the chance that makes all subsets alike.
    let looked_at = kept.state_or(|| Ok::<_, CommandError>(0u64))?;
    while given < total && !context.is_spent() {
        context.spend(1);
        let mut index = *looked_at;
        if count < 0 {
            index = below(context.draw(), set.len());
        } else {
            *looked_at += 1;
            if below(context.draw(), set.len() - index) >= total - given {
                continue;
            }
        }
        let Some(member) = set.at(index) else { break };
        member.with(|member| {
            reply.bulk(member);
            context.spend(steps_of(member.len()) - 1);
        });
        given += 1;
    }
    kept.tally = given as i64;
    Ok(given == total)
}
