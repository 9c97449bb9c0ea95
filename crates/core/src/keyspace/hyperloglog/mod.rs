//! HyperLogLog: how many different elements there were, about, in a string of a fixed size.
//!
//! The string is byte by byte that of Redis, the cached count included. PFCOUNT of one key caches its count in the
//! value, so it is an op of the log.

mod estimate;
mod sketch;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words::values as words;

use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::{Handler, Slice, long_write};
use super::slices::steps_of;
use crate::command::{Arguments, CommandError};
use estimate::{Histogram, count, place_of};
use sketch::{NoSketch, REGISTERS, Sketch};

pub(super) const HANDLERS: &[Handler] = &[
    long_write("pfadd", pfadd, weigh),
    long_write("pfcount", pfcount, weigh),
    long_write("pfmerge", pfmerge, weigh),
];

/// Steps of looking at all registers of a sketch.
const LOOK_STEPS: usize = REGISTERS / 256;

fn refusal(reason: NoSketch) -> CommandError {
    CommandError::fixed(match reason {
        NoSketch::Other => words::NO_HYPERLOGLOG,
        NoSketch::Corrupt => words::CORRUPT_HYPERLOGLOG,
    })
}

fn find(context: &mut WriteContext<'_>, key: &[u8]) -> Result<Option<Sketch>, CommandError> {
    context.looking(|context| match context.find_string(key)? {
        Some(bytes) => Sketch::parse(bytes).map(Some).map_err(refusal),
        None => Ok(None),
    })
}

/// As many steps as each argument takes at most: an element of a sparse sketch, or a look at a key.
fn weigh(_: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    arguments.len().saturating_mul(LOOK_STEPS / 16)
}

/// How far PFADD has come.
#[derive(Debug)]
struct Adding {
    sketch: Sketch,
    is_changed: bool,
}

/// `key [element ...]`: 1 if the estimate may be another one.
fn pfadd(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    let key = all.peek();
    if !kept.begun {
        rest.skip(1);
    }
    let adding = kept.state_or(|| {
        let found = find(context, key)?;
        Ok::<_, CommandError>(Adding {
            is_changed: found.is_none(),
            sketch: found.unwrap_or_else(Sketch::new),
        })
    })?;
    while !rest.is_empty() {
        if context.is_spent() {
            return Ok(None);
        }
        let element = rest.take();
        let (index, value) = place_of(element);
        adding.is_changed |= adding.sketch.raise(index, value).map_err(refusal)?;
        context.spend_bytes(element.len());
        if !adding.sketch.is_dense() {
            context.spend(1);
        }
    }
    reply.integer(i64::from(adding.is_changed));
    if adding.is_changed {
        adding.sketch.forget_cached();
        context.put_changed_string(key, adding.sketch.as_bytes());
    }
    Ok(Some(Changed::from(adding.is_changed)))
}

/// How far a look at several sketches has come.
#[derive(Debug)]
struct Merging {
    registers: Vec<u8>,
    is_dense: bool,
}

/// Takes the greatest value of each register of all sketches; `None` when the steps are spent before.
fn merge<'a>(
    context: &mut WriteContext<'_>,
    slice: &'a mut Slice<'_>,
) -> Result<Option<&'a mut Merging>, CommandError> {
    let Slice { rest, kept, .. } = slice;
    let merging = kept.state_or(|| {
        Ok::<_, CommandError>(Merging {
            registers: vec![0; REGISTERS],
            is_dense: false,
        })
    })?;
    while !rest.is_empty() {
        if context.is_spent() {
            return Ok(None);
        }
        context.spend(steps_of(0));
        let Some(sketch) = find(context, rest.take())? else {
            continue;
        };
        context.spend(LOOK_STEPS);
        merging.is_dense |= sketch.is_dense();
        let mut index = 0;
        let judged = sketch.for_each_run(|value, registers| {
            if value > 0 {
                let run = &mut merging.registers[index..index + registers];
                run.iter_mut()
                    .for_each(|register| *register = value.max(*register));
            }
            index += registers;
        });
        judged.map_err(refusal)?;
    }
    Ok(Some(merging))
}

/// `key [key ...]`: about how many different elements there were in all of them.
fn pfcount(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut histogram: Histogram = [0; 64];
    if slice.all.len() > 1 {
        // Where nobody waits for the reply of what changes nothing, there is nothing to do.
        if reply.is_discard() {
            return Ok(Some(Changed::Nothing));
        }
        let Some(merging) = merge(context, slice)? else {
            return Ok(None);
        };
        let registers = merging.registers.iter();
        registers.for_each(|value| histogram[usize::from(*value)] += 1);
        reply.integer(count(&histogram) as i64);
        return Ok(Some(Changed::Nothing));
    }
    let key = slice.all.peek();
    let Some(mut sketch) = find(context, key)? else {
        reply.integer(0);
        return Ok(Some(Changed::Nothing));
    };
    if let Some(cached) = sketch.cached() {
        reply.integer(cached as i64);
        return Ok(Some(Changed::Nothing));
    }
    context.spend(LOOK_STEPS);
    let judged = sketch.for_each_run(|value, registers| histogram[usize::from(value)] += registers as u32);
    judged.map_err(refusal)?;
    let counted = count(&histogram);
    sketch.cache(counted);
    context.put_changed_string(key, sketch.as_bytes());
    reply.integer(counted as i64);
    Ok(Some(Changed::Something))
}

/// `destkey [sourcekey ...]`: all elements of all of them are in the first one afterwards.
fn pfmerge(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let Some(merging) = merge(context, slice)? else {
        return Ok(None);
    };
    let mut sketch = find(context, key)?.unwrap_or_else(Sketch::new);
    if merging.is_dense {
        sketch.make_dense().map_err(refusal)?;
    }
    // A sparse one has at most so many registers that are not zero that this is short, and becomes dense before.
    for (index, value) in merging
        .registers
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > 0)
    {
        sketch.raise(index, *value).map_err(refusal)?;
    }
    context.spend(LOOK_STEPS);
    sketch.forget_cached();
    context.put_changed_string(key, sketch.as_bytes());
    reply.ok();
    Ok(Some(Changed::Something))
}
