//! What several sets have together: intersections, unions, differences, told or stored.
//!
//! The result is a set that is made key by key, so the work can stop anywhere: at first every key is looked at,
//! then the set that the result begins with is copied, then the others add to it or take from it.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::collection::{Set, SetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::store_in;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

/// What is done at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Look,
    Copy,
    Combine,
    Done,
}

/// How far a command has come.
struct Progress {
    phase: Phase,
    /// The key that the result begins with, and how many members it has.
    start: (Box<[u8]>, u64),
    /// Index of the next member, of whichever set is gone through.
    next: u64,
    /// The members of the other set are taken out, not those of the result looked up: for a set and all its slices.
    subtracts: bool,
    result: Set,
}

impl Progress {
    fn new() -> Self {
        Self {
            phase: Phase::Look,
            start: (Box::default(), u64::MAX),
            next: 0,
            subtracts: false,
            result: Set::default(),
        }
    }

    /// Notes the set of a key as the one to begin with, if it is the first one, or smaller for an
    /// intersection.
    fn look(&mut self, operation: Operation, key: &[u8], len: u64) {
        let is_first = self.start.1 == u64::MAX;
        if is_first || operation == Operation::Intersection && len < self.start.1 {
            self.start = (key.into(), len);
        }
    }

    /// Goes on with the set of one key; false when the steps are spent before it is done.
    fn combine(&mut self, context: &ReadContext<'_>, operation: Operation, set: Option<SetRef<'_>>) -> bool {
        if self.next == 0 {
            // Not again while the result shrinks: `next` counts members of one of the two.
            self.subtracts = set.is_some_and(|set| set.len() < self.result.as_ref().len());
        }
        let is_done = match (operation, set) {
            (Operation::Intersection, None) => {
                self.result = Set::default();
                true
            }
            (_, None) => true,
            (Operation::Union, Some(set)) => self.add(context, set),
            (Operation::Difference, Some(set)) if self.subtracts => self.subtract(context, set),
            (Operation::Difference, Some(set)) => self.keep(context, |member| !set.contains(member)),
            (Operation::Intersection, Some(set)) => self.keep(context, |member| set.contains(member)),
        };
        if is_done {
            self.next = 0;
        }
        is_done
    }

    fn add(&mut self, context: &ReadContext<'_>, set: SetRef<'_>) -> bool {
        for member in set.from(self.next) {
            if context.is_spent() {
                return false;
            }
            self.next += 1;
            member.with(|member| {
                self.result.insert(member, context.hash_seed());
                context.spend(steps_of(member.len()));
            });
        }
        true
    }

    fn subtract(&mut self, context: &ReadContext<'_>, set: SetRef<'_>) -> bool {
        for member in set.from(self.next) {
            if context.is_spent() {
                return false;
            }
            self.next += 1;
            member.with(|member| self.result.remove(member));
            context.spend(1);
        }
        true
    }

    /// Keeps the members of the result that are accepted.
    fn keep(&mut self, context: &ReadContext<'_>, accepts: impl Fn(&[u8]) -> bool) -> bool {
        while self.next < self.result.as_ref().len() {
            // Those that stay are gone through in one walk, up to the next one that goes.
            let mut refused = None;
            for member in self.result.as_ref().from(self.next) {
                if context.is_spent() {
                    return false;
                }
                context.spend(1);
                if !member.with(&accepts) {
                    refused = Some(member.to_vec());
                    break;
                }
                self.next += 1;
            }
            if let Some(member) = refused {
                self.result.remove(&member);
            }
        }
        true
    }
}

/// The `count` keys behind the first `skipped` arguments, combined; false when the steps are spent before
/// [`Progress`] is done.
fn advance(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    operation: Operation,
    (skipped, count): (usize, usize),
) -> Result<bool, CommandError> {
    let Slice { all, rest, kept } = slice;
    if !kept.begun {
        rest.skip(skipped);
    }
    let behind = all.len() - skipped - count;
    let progress = kept.state_or(|| Ok::<_, CommandError>(Progress::new()))?;
    loop {
        if progress.phase == Phase::Done {
            return Ok(true);
        }
        if context.is_spent() {
            return Ok(false);
        }
        let is_behind = rest.len() <= behind;
        match progress.phase {
            Phase::Look if !is_behind => {
                let key = rest.take();
                let set: Option<SetRef<'_>> = context.find(key)?;
                progress.look(operation, key, set.map_or(0, SetRef::len));
                context.spend(1);
            }
            Phase::Look => {
                *rest = *all;
                rest.skip(skipped);
                progress.phase = Phase::Copy;
            }
            Phase::Copy => {
                let set: Option<SetRef<'_>> = context.find(&progress.start.0)?;
                if progress.combine(context, Operation::Union, set) {
                    progress.phase = Phase::Combine;
                    // The result of the others begins with the first set.
                    rest.skip(usize::from(operation != Operation::Intersection));
                }
            }
            Phase::Combine if !is_behind => {
                let set: Option<SetRef<'_>> = context.find(rest.peek())?;
                if progress.combine(context, operation, set) {
                    rest.take();
                    context.spend(1);
                }
            }
            Phase::Combine | Phase::Done => progress.phase = Phase::Done,
        }
    }
}

/// Tells the result.
fn tell(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    operation: Operation,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let keys = (0, slice.all.len());
    if !advance(context, slice, operation, keys)? {
        return Ok(false);
    }
    let is_told = slice.kept.is_detached;
    slice.kept.is_detached = true;
    let mut next = slice.kept.tally;
    let progress = slice.kept.state_or(|| Ok::<_, CommandError>(Progress::new()))?;
    let result = progress.result.as_ref();
    if !is_told {
        reply.set(result.len() as usize);
    }
    let is_done = super::tell(context, result, &mut next, reply);
    slice.kept.tally = next;
    Ok(is_done)
}

/// Stores the result.
fn store(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    operation: Operation,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let keys = (1, slice.all.len() - 1);
    if !context.looking(|context| advance(context, slice, operation, keys))? {
        return Ok(None);
    }
    let progress = slice.kept.state_or(|| Ok::<_, CommandError>(Progress::new()))?;
    let result = std::mem::take(&mut progress.result);
    store_in(context, slice.all.peek(), result, reply).map(Some)
}

/// About how many members the sets have in all; other types and counts that are no keys say little.
pub(super) fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let lens = arguments.iter().map(|key| {
        let set: Option<SetRef<'_>> = context.look(key);
        1 + set.map_or(0, |set| set.len() as usize)
    });
    lens.sum()
}

/// `key [key ...]`: members of all.
pub(super) fn sinter(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell(context, slice, Operation::Intersection, reply)
}

/// `key [key ...]`: members of any.
pub(super) fn sunion(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell(context, slice, Operation::Union, reply)
}

/// `key [key ...]`: members of the first and of no other.
pub(super) fn sdiff(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell(context, slice, Operation::Difference, reply)
}

/// `destination key [key ...]`: how many members are stored.
pub(super) fn sinterstore(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    store(context, slice, Operation::Intersection, reply)
}

/// `destination key [key ...]`: how many members are stored.
pub(super) fn sunionstore(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    store(context, slice, Operation::Union, reply)
}

/// `destination key [key ...]`: how many members are stored.
pub(super) fn sdiffstore(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    store(context, slice, Operation::Difference, reply)
}

/// The number of keys, and the most that is counted.
fn parse_card(mut arguments: Arguments<'_>) -> Result<(usize, u64), CommandError> {
    let count = arguments.take_integer().ok().filter(|count| *count > 0);
    let count = count.ok_or(CommandError::fixed(words::NO_KEY_COUNT))?;
    let keys = usize::try_from(count)
        .ok()
        .filter(|count| *count <= arguments.len());
    let count = keys.ok_or(CommandError::fixed(words::KEY_COUNT_TOO_HIGH))?;
    arguments.skip(count);
    let mut limit = 0;
    while !arguments.is_empty() {
        if !(arguments.len() > 1 && arguments.take_word("limit")) {
            return Err(CommandError::fixed(words::SYNTAX));
        }
        let given = arguments
            .take_integer()
            .ok()
            .and_then(|limit| u64::try_from(limit).ok());
        limit = given.ok_or(CommandError::fixed(words::NEGATIVE_LIMIT))?;
    }
    Ok((count, if limit == 0 { u64::MAX } else { limit }))
}

/// Refuses what is no SINTERCARD.
pub(super) fn check_card(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_card(arguments).map(|_| ())
}

/// `numkeys key [key ...] [LIMIT limit]`: how many members all have, at most `limit`.
pub(super) fn sintercard(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let (count, limit) = parse_card(slice.all)?;
    if !advance(context, slice, Operation::Intersection, (1, count))? {
        return Ok(false);
    }
    let progress = slice.kept.state_or(|| Ok::<_, CommandError>(Progress::new()))?;
    reply.integer(progress.result.as_ref().len().min(limit) as i64);
    Ok(true)
}
