//! Sorted sets: members with scores, in the order of score and name.
//!
//! A command over many members counts each as a step, and goes on in the next slice: ranks are asked for anew in each
//! slice, which is cheap, and nothing is written in between.

pub(super) mod add;
mod algebra;
pub(super) mod number;
mod pop;
mod ranges;
mod waiting;

use std::ops::Range;

use repligo_proto::reply::{ReplyWriter, double_text};
use repligo_proto::words;

use self::algebra::{DIFFERENCE, INTERSECTION, UNION};
use self::ranges::{By, Form, Request, Span};
use super::contexts::{Changed, ReadContext, WriteContext};
use super::elements::{Scanned, change_each, count, scan, store_in, tell_each};
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read, write};
use super::random::{self, Drawn, Wanted};
use super::slices::steps_of;
use super::waiting::check_last;
use crate::collection::{Score, SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};

pub(super) const HANDLERS: &[Handler] = &[
    long_write("zadd", add::zadd, by_arguments).checked(add::check_add),
    long_write("zincrby", add::zincrby, by_arguments).checked(add::check_increment),
    long_write("zrem", zrem, by_arguments),
    read("zscore", zscore),
    long_read("zmscore", zmscore, by_arguments),
    read("zcard", count::<SortedSet>),
    read("zcount", count_scores).checked(check_span::<BY_SCORE>),
    read("zlexcount", count_names).checked(check_span::<BY_NAME>),
    read("zrank", zrank),
    read("zrevrank", zrevrank),
    long_read("zrange", tell_range::<ZRANGE>, weigh_range::<ZRANGE>).checked(check_range::<ZRANGE>),
    long_read("zrangebyscore", tell_range::<SCORES>, weigh_range::<SCORES>).checked(check_range::<SCORES>),
    long_read("zrevrange", tell_range::<BACK>, weigh_range::<BACK>).checked(check_range::<BACK>),
    long_read(
        "zrevrangebyscore",
        tell_range::<SCORES_BACK>,
        weigh_range::<SCORES_BACK>,
    )
    .checked(check_range::<SCORES_BACK>),
    long_read("zrangebylex", tell_range::<NAMES>, weigh_range::<NAMES>).checked(check_range::<NAMES>),
    long_read(
        "zrevrangebylex",
        tell_range::<NAMES_BACK>,
        weigh_range::<NAMES_BACK>,
    )
    .checked(check_range::<NAMES_BACK>),
    long_write("zremrangebyrank", remove::<BY_RANK>, weigh_span::<BY_RANK>).checked(check_span::<BY_RANK>),
    long_write("zremrangebyscore", remove::<BY_SCORE>, weigh_span::<BY_SCORE>)
        .checked(check_span::<BY_SCORE>),
    long_write("zremrangebylex", remove::<BY_NAME>, weigh_span::<BY_NAME>).checked(check_span::<BY_NAME>),
    long_write("zpopmin", pop::zpopmin, pop::weigh).checked(pop::check),
    long_write("zpopmax", pop::zpopmax, pop::weigh).checked(pop::check),
    long_write("zmpop", pop::zmpop, pop::weigh_multiple).checked(pop::check_multiple),
    write("bzpopmin", waiting::bzpopmin).checked(check_last),
    write("bzpopmax", waiting::bzpopmax).checked(check_last),
    long_write("bzmpop", waiting::bzmpop, waiting::weigh_multiple).checked(waiting::check_multiple),
    long_write("zrangestore", zrangestore, weigh_store).checked(check_store),
    long_read("zunion", algebra::tell::<UNION>, algebra::weigh).checked(algebra::check::<UNION>),
    long_read("zinter", algebra::tell::<INTERSECTION>, algebra::weigh)
        .checked(algebra::check::<INTERSECTION>),
    long_read("zdiff", algebra::tell::<DIFFERENCE>, algebra::weigh).checked(algebra::check::<DIFFERENCE>),
    long_read("zintercard", algebra::zintercard, algebra::weigh).checked(algebra::check_card),
    long_write("zunionstore", algebra::store::<UNION>, algebra::weigh).checked(algebra::check_store::<UNION>),
    long_write("zinterstore", algebra::store::<INTERSECTION>, algebra::weigh)
        .checked(algebra::check_store::<INTERSECTION>),
    long_write("zdiffstore", algebra::store::<DIFFERENCE>, algebra::weigh)
        .checked(algebra::check_store::<DIFFERENCE>),
    long_read("zrandmember", zrandmember, weigh_random),
    read("zscan", scan::<SortedSet>),
];

const BYS: [By; 3] = [By::Rank, By::Score, By::Name];
const BY_RANK: usize = 0;
const BY_SCORE: usize = 1;
const BY_NAME: usize = 2;

/// The members of the family of ZRANGE.
const FORMS: [Form; 6] = {
    const fn form(by: Option<By>, is_reverse: Option<bool>) -> Form {
        Form {
            by,
            is_reverse,
            is_stored: false,
        }
    }
    [
        form(None, None),
        form(Some(By::Rank), Some(true)),
        form(Some(By::Score), Some(false)),
        form(Some(By::Score), Some(true)),
        form(Some(By::Name), Some(false)),
        form(Some(By::Name), Some(true)),
    ]
};
const ZRANGE: usize = 0;
const BACK: usize = 1;
const SCORES: usize = 2;
const SCORES_BACK: usize = 3;
const NAMES: usize = 4;
const NAMES_BACK: usize = 5;

/// What ZRANDMEMBER is asked for scores by.
const WITH_SCORES: &str = "withscores";

/// Tells a member, with its score if that is wanted: in RESP3 the two are an array. Returns how many bytes to count.
fn tell_member(member: (&[u8], f64), with_score: bool, reply: &mut ReplyWriter<'_>) -> usize {
    let (name, score) = member;
    if with_score && reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(name);
    if with_score {
        reply.double(score);
    }
    name.len()
}

/// The header of so many members.
fn tell_count(count: u64, with_scores: bool, reply: &mut ReplyWriter<'_>) {
    let is_flat = with_scores && !reply.is_resp3();
    reply.array(count as usize * if is_flat { 2 } else { 1 });
}

/// `key member [member ...]`: how many there were.
fn zrem(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    change_each(context, slice, reply, |set: &mut SortedSet, member, _| {
        set.remove(member).is_some()
    })
}

fn score_or_null(set: Option<SortedSetRef<'_>>, member: &[u8], reply: &mut ReplyWriter<'_>) -> usize {
    match set.and_then(|set| set.score(member)) {
        Some(score) => reply.double(score.get()),
        None => reply.null(),
    }
    0
}

/// `key member`: the score, or null.
fn zscore(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let set: Option<SortedSetRef<'_>> = context.find(arguments.take())?;
    score_or_null(set, arguments.take(), reply);
    Ok(())
}

/// `key member [member ...]`: scores and nulls.
fn zmscore(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_each::<SortedSet>(context, slice, reply, score_or_null)
}

fn check_span<const BY: usize>(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    arguments.skip(1);
    Span::take(BYS[BY], &mut arguments).map(|_| ())
}

/// `key least most`: how many members are in the range.
fn count_span(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    by: By,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let key = arguments.take();
    let span = Span::take(by, &mut arguments)?;
    let set: Option<SortedSetRef<'_>> = context.find(key)?;
    let ranks = set.map_or(0..0, |set| span.ranks(set));
    reply.integer((ranks.end - ranks.start) as i64);
    Ok(())
}

fn count_scores(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    count_span(context, arguments, By::Score, reply)
}

fn count_names(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    count_span(context, arguments, By::Name, reply)
}

/// `key member [WITHSCORE]`: how many members come before, and the score; or null.
fn zrank(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    tell_rank(context, arguments, |rank, _| rank, reply)
}

/// `key member [WITHSCORE]`: how many members come behind, and the score; or null.
fn zrevrank(
    context: &ReadContext<'_>,
    arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    tell_rank(context, arguments, |rank, len| len - 1 - rank, reply)
}

fn tell_rank(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    told: fn(u64, u64) -> u64,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let (key, member) = (arguments.take(), arguments.take());
    let with_score = !arguments.is_empty();
    if with_score && !(arguments.take_word("withscore") && arguments.is_empty()) {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    let set: Option<SortedSetRef<'_>> = context.find(key)?;
    let found = set.and_then(|set| Some((set.rank(member)?, set.len())));
    match found {
        None if with_score => reply.null_array(),
        None => reply.null(),
        Some(((rank, score), len)) => {
            if with_score {
                reply.array(2);
            }
            reply.integer(told(rank, len) as i64);
            if with_score {
                reply.double(score.get());
            }
        }
    }
    Ok(())
}

fn request<const FORM: usize>(mut arguments: Arguments<'_>) -> Result<Request<'_>, CommandError> {
    arguments.skip(1);
    Request::parse(FORMS[FORM], arguments)
}

fn check_range<const FORM: usize>(arguments: Arguments<'_>) -> Result<(), CommandError> {
    request::<FORM>(arguments).map(|_| ())
}

fn weigh_range<const FORM: usize>(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let set: Option<SortedSetRef<'_>> = context.look(arguments.peek());
    let ranks = set.zip(request::<FORM>(arguments).ok());
    let ranks = ranks.map_or(0..0, |(set, request)| request.ranks(set));
    (ranks.end - ranks.start) as usize
}

/// `key from to [options]`: the members in the range, with their scores if that is wanted.
fn tell_range<const FORM: usize>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let request = request::<FORM>(slice.all)?;
    let set: Option<SortedSetRef<'_>> = context.find(slice.all.peek())?;
    let ranks = set.map_or(0..0, |set| request.ranks(set));
    if !slice.kept.begun {
        tell_count(ranks.end - ranks.start, request.with_scores, reply);
    }
    let mut told = slice.kept.tally as u64;
    let is_done = set.is_none_or(|set| {
        each_in(set, (ranks, request.is_reverse), &mut told, |(name, score)| {
            let is_spent = context.is_spent();
            if !is_spent {
                let member = (name, score.get());
                context.spend(steps_of(tell_member(member, request.with_scores, reply)));
            }
            !is_spent
        })
    });
    slice.kept.tally = told as i64;
    Ok(is_done)
}

/// What ZRANGESTORE is: as ZRANGE, behind a destination.
const STORED: Form = Form {
    is_stored: true,
    ..FORMS[ZRANGE]
};

fn store_request(mut arguments: Arguments<'_>) -> Result<Request<'_>, CommandError> {
    arguments.skip(2);
    Request::parse(STORED, arguments)
}

fn check_store(arguments: Arguments<'_>) -> Result<(), CommandError> {
    store_request(arguments).map(|_| ())
}

fn weigh_store(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let request = store_request(arguments).ok();
    arguments.skip(1);
    let set: Option<SortedSetRef<'_>> = context.look(arguments.peek());
    let ranks = set.zip(request).map_or(0..0, |(set, request)| request.ranks(set));
    (ranks.end - ranks.start) as usize
}

/// `destination source from to [options]`: how many members are stored.
fn zrangestore(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let request = store_request(slice.all)?;
    let mut keys = slice.all;
    let (destination, source) = (keys.take(), keys.take());
    let mut taken = slice.kept.tally as u64;
    let result = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(SortedSet::default()))?;
    let is_done = context.looking(|context| {
        let set: Option<SortedSetRef<'_>> = context.find(source)?;
        let Some(set) = set else { return Ok(true) };
        let ranks = (request.ranks(set), request.is_reverse);
        Ok(each_in(set, ranks, &mut taken, |(name, score)| {
            let is_spent = context.is_spent();
            if !is_spent {
                context.spend(steps_of(name.len()));
                result.insert(name, score, context.hash_seed());
            }
            !is_spent
        }))
    })?;
    if !is_done {
        slice.kept.tally = taken as i64;
        return Ok(None);
    }
    let result = std::mem::take(result);
    store_in(context, destination, result, reply).map(Some)
}

/// Shows the members with these ranks, in order or from the last to the first, but for the first `shown`, until one is
/// refused; false if one was. Counts those that are not.
fn each_in(
    set: SortedSetRef<'_>,
    (ranks, is_reverse): (Range<u64>, bool),
    shown: &mut u64,
    mut show: impl FnMut((&[u8], Score)) -> bool,
) -> bool {
    let left = (ranks.end - ranks.start).saturating_sub(*shown) as usize;
    let mut show = |member| {
        let is_taken = show(member);
        *shown += u64::from(is_taken);
        is_taken
    };
    match is_reverse {
        false => set.from(ranks.end - left as u64).take(left).all(&mut show),
        true => set.back_from(ranks.start + left as u64).take(left).all(&mut show),
    }
}

fn weigh_span<const BY: usize>(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let set: Option<SortedSetRef<'_>> = context.look(arguments.take());
    let ranks = set.zip(Span::take(BYS[BY], &mut arguments).ok());
    let ranks = ranks.map_or(0..0, |(set, span)| span.ranks(set));
    (ranks.end - ranks.start) as usize
}

/// `key least most`: how many members were in the range.
fn remove<const BY: usize>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let key = arguments.take();
    let span = Span::take(BYS[BY], &mut arguments)?;
    let kept = &mut *slice.kept;
    let ranks = kept.state_or(|| {
        context.looking(|context| {
            let set: Option<SortedSetRef<'_>> = context.find(key)?;
            Ok::<_, CommandError>(set.map_or(0..0, |set| span.ranks(set)))
        })
    })?;
    let (first, count) = (ranks.start, ranks.end - ranks.start);
    let mut removed = kept.tally as u64;
    if count > 0 {
        context.change(key, |set: &mut SortedSet, _, steps| {
            while removed < count && *steps > 0 {
                let removed_now = set.remove_at(first, count - removed, &mut |_, _| ());
                removed += removed_now;
                *steps = steps.saturating_sub(removed_now as usize);
            }
            ((), Changed::Something)
        })?;
    }
    kept.tally = removed as i64;
    if removed < count {
        return Ok(None);
    }
    reply.integer(count as i64);
    Ok(Some(Changed::from(count > 0)))
}

impl<'a> Scanned<'a> for SortedSetRef<'a> {
    fn scan_parts(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[&[u8]])) -> u64 {
        // Redis keeps whole numbers of a small sorted set as integers of 64 bits, and shows them as such here.
        let is_small = matches!(self, Self::Small(_));
        self.scan(cursor, count, &mut |member, score| {
            const WHOLE_MAX: f64 = (1u64 << 62) as f64;
            let score = score.get();
            let is_integer = is_small && score.abs() <= WHOLE_MAX && score.fract() == 0.0;
            let text = match is_integer {
                true => (score as i64).to_string(),
                false => double_text(score),
            };
            show(&[member, text.as_bytes()]);
        })
    }
}

impl<'a> Drawn<'a> for SortedSetRef<'a> {
    fn tell_at(self, index: u64, with_score: bool, reply: &mut ReplyWriter<'_>) -> usize {
        let Some((name, score)) = self.at(index) else {
            return 0;
        };
        reply.bulk(name);
        if with_score {
            reply.double(score.get());
        }
        name.len()
    }
}

/// `key [count [WITHSCORES]]`: members at random.
fn zrandmember(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let wanted = Wanted::parse(slice.all, WITH_SCORES)?;
    random::tell::<SortedSet>(context, slice, wanted, reply)
}

fn weigh_random(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    random::weigh::<SortedSet>(context, arguments, Wanted::parse(arguments, WITH_SCORES))
}
