//! Elements of a collection at random, told by draws of this node alone: what HRANDFIELD, SRANDMEMBER and
//! ZRANDMEMBER share.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::ReadContext;
use super::elements::{below, weigh_all};
use super::handlers::Slice;
use super::slices::steps_of;
use super::typed::{Typed, TypedRef};
use crate::command::{Arguments, CommandError};

/// What was asked for behind the key.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// `None`: one element, not in an array. Negative: so many, and an element may come again.
    count: Option<i64>,
    /// What belongs to an element is told, too.
    with_other: bool,
}

impl Wanted {
    /// Reads `key [count [WORD]]`.
    ///
    /// # Errors
    /// Redis' error for what is no such request.
    pub fn parse(mut arguments: Arguments<'_>, word: &str) -> Result<Self, CommandError> {
        arguments.skip(1);
        if arguments.is_empty() {
            return Ok(Self {
                count: None,
                with_other: false,
            });
        }
        let count = arguments.take_integer()?;
        if count == i64::MIN {
            let range = words::value_between(-i64::MAX, i64::MAX);
            return Err(CommandError::composed(range.into_bytes()));
        }
        let with_other = !arguments.is_empty();
        if with_other && !(arguments.take_word(word) && arguments.is_empty()) {
            return Err(CommandError::fixed(words::SYNTAX));
        }
        if with_other && count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err(CommandError::fixed(words::VALUE_OUT_OF_RANGE));
        }
        Ok(Self {
            count: Some(count),
            with_other,
        })
    }
}

/// About how many elements are looked at.
pub(super) fn weigh<T: Typed>(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    wanted: Result<Wanted, CommandError>,
) -> usize {
    let count = wanted.ok().and_then(|wanted| wanted.count);
    match (count, weigh_all::<T>(context, arguments)) {
        (None, _) | (_, 0) => 1,
        (Some(count), _) if count < 0 => count.unsigned_abs() as usize,
        (Some(_), len) => len,
    }
}

/// A type whose elements are told at random.
pub(super) trait Drawn<'a>: TypedRef<'a> {
    /// Tells the element with this index, and what belongs to it if that is asked for; returns how many bytes that
    /// were.
    fn tell_at(self, index: u64, with_other: bool, reply: &mut ReplyWriter<'_>) -> usize;
}

/// Tells elements of the collection of the first argument.
pub(super) fn tell<T>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    wanted: Wanted,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError>
where
    T: Typed,
    for<'a> T::Ref<'a>: Drawn<'a>,
{
    let found: Option<T::Ref<'_>> = context.find(slice.all.peek())?;
    let (collection, count) = match (found, wanted.count) {
        (Some(collection), Some(count)) => (collection, count),
        (Some(collection), None) => {
            collection.tell_at(below(context.draw(), collection.count()), false, reply);
            return Ok(true);
        }
        (None, Some(_)) => {
            reply.array(0);
            return Ok(true);
        }
        (None, None) => {
            reply.null();
            return Ok(true);
        }
    };
    let len = collection.count();
    let total = match count < 0 {
        true => count.unsigned_abs(),
        false => (count as u64).min(len),
    };
    let kept = &mut *slice.kept;
    if !kept.begun {
        let is_flat = wanted.with_other && !reply.is_resp3();
        reply.array(total as usize * if is_flat { 2 } else { 1 });
    }
    let mut given = kept.tally as u64;
    // Of those that are looked at in order each is taken with the chance that makes all subsets alike.
    let looked_at = kept.state_or(|| Ok::<_, CommandError>(0u64))?;
    while given < total && !context.is_spent() {
        context.spend(1);
        let mut index = *looked_at;
        if count < 0 {
            index = below(context.draw(), len);
        } else {
            *looked_at += 1;
            if below(context.draw(), len - index) >= total - given {
                continue;
            }
        }
        if wanted.with_other && reply.is_resp3() {
            reply.array(2);
        }
        let bytes = collection.tell_at(index, wanted.with_other, reply);
        context.spend(steps_of(bytes) - 1);
        given += 1;
    }
    kept.tally = given as i64;
    Ok(given == total)
}
