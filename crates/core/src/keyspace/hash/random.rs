//! HRANDFIELD.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::HashRef;
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::elements::below;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;

/// What HRANDFIELD was asked.
#[derive(Clone, Copy)]
struct Random {
    /// `None`: one field, not in an array. Negative: so many, and a field may come again.
    count: Option<i64>,
    with_values: bool,
}

fn parse_random(mut arguments: Arguments<'_>) -> Result<Random, CommandError> {
    arguments.take();
    if arguments.is_empty() {
        return Ok(Random {
            count: None,
            with_values: false,
        });
    }
    let count = arguments.take_integer()?;
    if count == i64::MIN {
        return Err(CommandError::composed(
            words::value_between(-i64::MAX, i64::MAX).into_bytes(),
        ));
    }
    let with_values = !arguments.is_empty();
    if with_values && !(arguments.take_word("withvalues") && arguments.is_empty()) {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::fixed(words::VALUE_OUT_OF_RANGE));
    }
    Ok(Random {
        count: Some(count),
        with_values,
    })
}

pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let count = parse_random(arguments).ok().and_then(|random| random.count);
    let len = super::weigh_all(context, arguments);
    match count {
        None => 1,
        Some(_) if len == 0 => 1,
        Some(count) if count < 0 => count.unsigned_abs() as usize,
        Some(count) => (count as usize).min(len),
    }
}

/// `key [count [WITHVALUES]]`: fields at random, by a draw of this node alone.
pub(super) fn hrandfield(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let random = parse_random(slice.all)?;
    let hash: Option<HashRef<'_>> = context.find(slice.all.peek())?;
    let Some(count) = random.count else {
        let field = hash.and_then(|hash| hash.at(below(context.draw(), hash.len())));
        match field {
            Some((field, _)) => reply.bulk(field),
            None => reply.null(),
        }
        return Ok(true);
    };
    let Some(hash) = hash else {
        reply.array(0);
        return Ok(true);
    };
    let total = if count < 0 {
        count.unsigned_abs()
    } else {
        (count as u64).min(hash.len())
    };
    if !slice.kept.begun {
        let is_flat = random.with_values && !reply.is_resp3();
        reply.array(total as usize * if is_flat { 2 } else { 1 });
    }
    // Of those that are looked at in order each is taken with the chance that makes all subsets alike.
    let seen = &mut slice.kept.state_or(|| Ok::<_, CommandError>(0u64))?;
    let mut looked_at = **seen;
    let mut given = slice.kept.tally as u64;
    let mut is_done = true;
    while given < total {
        if context.is_spent() {
            is_done = false;
            break;
        }
        context.spend(1);
        let index = if count < 0 {
            below(context.draw(), hash.len())
        } else {
            let (wanted, left) = (total - given, hash.len() - looked_at);
            looked_at += 1;
            if below(context.draw(), left) >= wanted {
                continue;
            }
            looked_at - 1
        };
        let Some((field, value)) = hash.at(index) else {
            break;
        };
        given += 1;
        if random.with_values && reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(field);
        if random.with_values {
            reply.bulk(value);
        }
        context.spend(steps_of(field.len() + value.len()) - 1);
    }
    slice.kept.tally = given as i64;
    *slice.kept.state_or(|| Ok::<_, CommandError>(0u64))? = looked_at;
    Ok(is_done)
}
