//! What looks for elements by what they are: LPOS, LINSERT, LREM.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::PASSED_PER_STEP;
use crate::collection::{End, Item, List, ListRef, Sweep};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;

/// Compares an element and counts the work.
fn equals(context: &ReadContext<'_>, passed: u64, (item, element): (Item<'_>, &[u8])) -> bool {
    if passed.is_multiple_of(PASSED_PER_STEP) {
        context.spend(1);
    }
    // Only what is as long is compared byte by byte.
    if let Item::Bytes(bytes) = item
        && bytes.len() == element.len()
    {
        context.spend(steps_of(bytes.len()) - 1);
    }
    item == *element
}

/// What LPOS was asked.
#[derive(Clone, Copy)]
struct Position<'a> {
    element: &'a [u8],
    from: End,
    rank: i64,
    /// `None`: one position, not in an array; 0: all.
    count: Option<i64>,
    /// 0: no bound.
    len_max: u64,
}

fn parse_position(mut arguments: Arguments<'_>) -> Result<Position<'_>, CommandError> {
    arguments.skip(1);
    let mut asked = Position {
        element: arguments.take(),
        from: End::Head,
        rank: 1,
        count: None,
        len_max: 0,
    };
    while !arguments.is_empty() {
        let has_value = arguments.len() > 1;
        if has_value && arguments.take_word("rank") {
            asked.rank = arguments.take_integer()?;
            if asked.rank == 0 {
                return Err(CommandError::fixed(words::ZERO_RANK));
            }
        } else if has_value && arguments.take_word("count") {
            let count = arguments.take_integer().ok().filter(|count| *count >= 0);
            asked.count = Some(count.ok_or(CommandError::fixed(words::NEGATIVE_COUNT))?);
        } else if has_value && arguments.take_word("maxlen") {
            let len = arguments.take_integer().ok();
            let len = len.and_then(|len| u64::try_from(len).ok());
            asked.len_max = len.ok_or(CommandError::fixed(words::NEGATIVE_LENGTH))?;
        } else {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    if asked.rank < 0 {
        // As in Redis: the one rank that has no negation stays below every match.
        (asked.rank, asked.from) = (asked.rank.wrapping_neg(), End::Tail);
    }
    Ok(asked)
}

/// Refuses what is no LPOS.
pub(super) fn check_position(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_position(arguments).map(|_| ())
}

/// How far LPOS has come.
#[derive(Default)]
struct Search {
    passed: u64,
    matches: i64,
    found: Vec<u64>,
}

impl Search {
    /// Goes on through the elements; false when the steps are spent before the end.
    fn advance<'a>(
        &mut self,
        context: &ReadContext<'_>,
        (asked, len): (Position<'_>, u64),
        mut items: impl Iterator<Item = Item<'a>>,
    ) -> bool {
        loop {
            if asked.len_max != 0 && self.passed >= asked.len_max {
                return true;
            }
            if context.is_spent() {
                return false;
            }
            let Some(item) = items.next() else { return true };
            let index = match asked.from {
                End::Head => self.passed,
                End::Tail => len - 1 - self.passed,
            };
            let is_match = equals(context, self.passed, (item, asked.element));
            self.passed += 1;
            if !is_match {
                continue;
            }
            self.matches += 1;
            if self.matches < asked.rank {
                continue;
            }
            self.found.push(index);
            let beyond_rank = self.matches.wrapping_sub(asked.rank).wrapping_add(1);
            let is_last = |count| count != 0 && beyond_rank >= count;
            if asked.count.is_none_or(is_last) {
                return true;
            }
        }
    }
}

/// `key element [RANK rank] [COUNT num-matches] [MAXLEN len]`: an index or null, or an array of indices.
pub(super) fn lpos(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let asked = parse_position(slice.all)?;
    let list: Option<ListRef<'_>> = context.find(slice.all.peek())?;
    let search = slice.kept.state_or(|| Ok::<_, CommandError>(Search::default()))?;
    if let Some(list) = list {
        let (len, passed) = (list.len(), search.passed);
        let is_done = match asked.from {
            End::Head => search.advance(context, (asked, len), list.from(passed)),
            End::Tail => search.advance(context, (asked, len), list.back_from(len - passed)),
        };
        if !is_done {
            return Ok(false);
        }
    }
    match (asked.count, search.found.first()) {
        (None, Some(index)) => reply.integer(*index as i64),
        (None, None) => reply.null(),
        (Some(_), _) => {
            reply.array(search.found.len());
            search.found.iter().for_each(|index| reply.integer(*index as i64));
        }
    }
    Ok(true)
}

/// `key BEFORE|AFTER pivot element`: by how much the new element is behind the pivot, then both.
fn parse_insert(mut arguments: Arguments<'_>) -> Result<(u64, &[u8], &[u8]), CommandError> {
    arguments.skip(1);
    let behind = if arguments.take_word("after") {
        1
    } else if arguments.take_word("before") {
        0
    } else {
        return Err(CommandError::fixed(words::SYNTAX));
    };
    Ok((behind, arguments.take(), arguments.take()))
}

/// Refuses what is no LINSERT.
pub(super) fn check_insert(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_insert(arguments).map(|_| ())
}

/// What became of looking for an element.
enum Sought {
    /// There is no list.
    NoList,
    /// It has no such element.
    Missing,
    At(u64),
    /// The steps are spent.
    Later,
}

/// `key BEFORE|AFTER pivot element`: the new length, -1 without a pivot, 0 without a list.
pub(super) fn linsert(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let (behind, pivot, element) = parse_insert(slice.all)?;
    let key = slice.all.peek();
    let passed = &mut slice.kept.tally;
    let sought = context.looking(|context| {
        let Some(list) = context.find::<ListRef<'_>>(key)? else {
            return Ok(Sought::NoList);
        };
        for item in list.from(*passed as u64) {
            if context.is_spent() {
                return Ok(Sought::Later);
            }
            if equals(context, *passed as u64, (item, pivot)) {
                return Ok(Sought::At(*passed as u64));
            }
            *passed += 1;
        }
        Ok::<_, CommandError>(Sought::Missing)
    })?;
    let index = match sought {
        Sought::Later => return Ok(None),
        Sought::NoList | Sought::Missing => {
            reply.integer(if matches!(sought, Sought::NoList) { 0 } else { -1 });
            return Ok(Some(Changed::Nothing));
        }
        Sought::At(index) => index,
    };
    let len = context.change(key, |list: &mut List, _, _| {
        list.insert(index + behind, element);
        (list.as_ref().len(), Changed::Something)
    })?;
    context.spend_bytes(element.len());
    reply.integer(len as i64);
    Ok(Some(Changed::Something))
}

/// `key count element`: how many from which end.
fn parse_remove(mut arguments: Arguments<'_>) -> Result<Sweep<'_>, CommandError> {
    arguments.skip(1);
    let count = arguments.take_integer()?;
    Ok(Sweep {
        element: arguments.take(),
        from: if count < 0 { End::Tail } else { End::Head },
        count: match count {
            0 => u64::MAX,
            _ => count.unsigned_abs(),
        },
    })
}

/// Refuses what is no LREM.
pub(super) fn check_remove(arguments: Arguments<'_>) -> Result<(), CommandError> {
    parse_remove(arguments).map(|_| ())
}

/// `key count element`: how many were removed.
pub(super) fn lrem(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let key = slice.all.peek();
    let sweep = parse_remove(slice.all)?;
    // Where the next part begins, or ends for a sweep from the tail, and how many were removed.
    let (at, removed) = slice.kept.state_or(|| {
        let from_tail = sweep.from == End::Tail;
        Ok::<_, CommandError>((if from_tail { u64::MAX } else { 0 }, 0))
    })?;
    let is_done = context.change(key, |list: &mut List, _, steps| {
        let before = *removed;
        let is_done = loop {
            if *steps == 0 {
                break false;
            }
            let len = list.as_ref().len();
            let count = sweep.count - *removed;
            let swept = list.sweep(*at, Sweep { count, ..sweep });
            if swept.looked == 0 {
                break true;
            }
            *removed += swept.removed;
            *at = match sweep.from {
                End::Head => *at + swept.looked - swept.removed,
                End::Tail => len.min(*at) - swept.looked,
            };
            let passed = (swept.looked / PASSED_PER_STEP) as usize;
            *steps = steps.saturating_sub(passed + steps_of(swept.compared_bytes));
        };
        (is_done, Changed::from(*removed > before))
    })?;
    if is_done {
        reply.integer(*removed as i64);
    }
    Ok(is_done.then_some(Changed::from(*removed > 0)))
}
