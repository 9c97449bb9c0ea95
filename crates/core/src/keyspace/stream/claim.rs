//! XCLAIM and XAUTOCLAIM: a consumer takes over what is pending for others.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;
use repligo_proto::words::stream as stream_words;

use super::delivery::{NEW_CONSUMER, hear_of};
use super::ids::{range_start, strict_id};
use super::pending::{existing, idle_ms};
use super::{Page, tell_entry, tell_id};
use crate::collection::{Group, Pending, Stream, StreamId};
use crate::command::{Arguments, CommandError, parse_i64};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::handlers::Slice;

/// Pending entries that XAUTOCLAIM looks at for each one that it is to claim.
const ATTEMPTS: u64 = 10;
/// Entries that XAUTOCLAIM claims if it is not said.
const COUNT: u64 = 100;
/// Most that it may be told.
const COUNT_MAX: i64 = i64::MAX / 16;

/// What XCLAIM says behind the ids.
#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    min_idle_ms: i64,
    /// How many ids there are.
    ids: usize,
    delivered: Option<Delivered>,
    count: Option<u64>,
    is_forced: bool,
    is_ids_alone: bool,
    last: StreamId,
}

/// When the entries count as delivered.
#[derive(Clone, Copy, Debug)]
enum Delivered {
    /// So long ago.
    Ago(i64),
    At(i64),
}

fn number_of(arguments: &mut Arguments<'_>, what: &str, command: &str) -> Result<i64, CommandError> {
    let number = parse_i64(arguments.take());
    number.ok_or_else(|| {
        let text = stream_words::invalid_number(what, command);
        CommandError::composed(text.into_bytes())
    })
}

impl Claim {
    fn parse(mut arguments: Arguments<'_>) -> Result<Self, CommandError> {
        arguments.skip(3);
        let mut claim = Self {
            min_idle_ms: number_of(&mut arguments, "min-idle-time", "XCLAIM")?.max(0),
            ..Self::default()
        };
        while !arguments.is_empty() && strict_id(arguments.peek()).is_ok() {
            arguments.take();
            claim.ids += 1;
        }
        while !arguments.is_empty() {
            let has_more = arguments.len() > 1;
            let number = |arguments: &mut Arguments<'_>, what: &str| {
                number_of(arguments, &format!("{what} option"), "XCLAIM")
            };
            if arguments.take_word("force") {
                claim.is_forced = true;
            } else if arguments.take_word("justid") {
                claim.is_ids_alone = true;
            } else if has_more && arguments.take_word("idle") {
                claim.delivered = Some(Delivered::Ago(number(&mut arguments, "IDLE")?));
            } else if has_more && arguments.take_word("time") {
                claim.delivered = Some(Delivered::At(number(&mut arguments, "TIME")?));
            } else if has_more && arguments.take_word("retrycount") {
                claim.count = u64::try_from(number(&mut arguments, "RETRYCOUNT")?).ok();
            } else if has_more && arguments.take_word("lastid") {
                claim.last = strict_id(arguments.take())?;
            } else {
                let text = stream_words::unrecognized_claim(arguments.peek());
                return Err(CommandError::composed(text));
            }
        }
        Ok(claim)
    }

    /// When the entries count as delivered; what cannot be is now.
    fn delivered_ms(&self, now_ms: u64) -> u64 {
        let at = match self.delivered {
            None => now_ms as i64,
            Some(Delivered::Ago(ms)) => (now_ms as i64).wrapping_sub(ms),
            Some(Delivered::At(ms)) => ms,
        };
        u64::try_from(at).map_or(now_ms, |at| if at > now_ms { now_ms } else { at })
    }
}

/// Who claims, and when.
#[derive(Clone, Copy)]
struct Claimer<'a> {
    group: u64,
    name: &'a [u8],
    now_ms: u64,
}

impl Claimer<'_> {
    /// Its consumer is there.
    fn exists(&self, stream: &Stream) -> bool {
        stream.consumer(self.group, self.name).is_some()
    }

    /// Gives it an entry, which makes the consumer at the first one, as in Redis 7.0: who gets nothing is not heard of.
    fn take(&self, stream: &mut Stream, id: StreamId, (old, new): (Option<Pending>, Pending)) -> Changed {
        let (consumer, heard) = hear_of(stream, (self.group, self.name), self.now_ms);
        let new = Pending { consumer, ..new };
        stream.put_pending(self.group, id, new);
        heard.or(Changed::from(old != Some(new)))
    }
}

/// Tells an entry that was claimed; how many steps that takes comes back.
fn tell_claimed(
    (page, reply): (&mut Page, &ReplyWriter<'_>),
    (stream, id): (&Stream, StreamId),
    is_ids_alone: bool,
) -> usize {
    page.tell(reply, |reply| match stream.get(id) {
        Some(entry) if !is_ids_alone => 1 + tell_entry(reply, entry),
        _ => {
            tell_id(reply, id);
            1
        }
    })
}

/// `key group consumer min-idle-time id [id ...] [IDLE ms] [TIME ms] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]`: the
/// entries that were claimed.
pub(super) fn xclaim(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let mut arguments = slice.all;
    let (key, name, consumer) = (arguments.take(), arguments.take(), arguments.take());
    let group = context.looking(|context| existing(context, key, name).map(|(_, group)| group))?;
    let claim = Claim::parse(slice.all)?;
    let is_begun = slice.kept.begun;
    if !is_begun {
        slice.rest.skip(4);
    }
    let now_ms = context.time_ms();
    let (rest, kept) = (&mut slice.rest, &mut *slice.kept);
    let page = kept.state_or(|| Ok::<_, CommandError>(Page::default()))?;
    let left_behind = slice.all.len() - 4 - claim.ids;
    let mut is_new = false;
    let (is_done, changed) = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let mut changed = Changed::Nothing;
        if !is_begun && claim.last > group.last {
            let last = claim.last;
            stream.put_group(name, Group { last, ..group });
            changed = Changed::Something;
        }
        let claimer = Claimer {
            group: group.number,
            name: consumer,
            now_ms,
        };
        let was_there = claimer.exists(stream);
        while rest.len() > left_behind && *steps > 0 {
            let id = strict_id(rest.take()).unwrap_or_default();
            *steps -= 1;
            let (is_claimed, claimed) = claim_one(stream, claimer, &claim, id);
            changed = changed.or(claimed);
            if is_claimed {
                let spent = tell_claimed((page, reply), (stream, id), claim.is_ids_alone);
                *steps = steps.saturating_sub(spent);
            }
        }
        is_new = !was_there && claimer.exists(stream);
        ((rest.len() == left_behind, changed), changed)
    })?;
    if is_new {
        context.tell_also(key, NEW_CONSUMER);
    }
    if is_done {
        page.finish(reply);
    }
    kept.tally |= i64::from(changed == Changed::Something);
    Ok(is_done.then_some(Changed::from(kept.tally > 0)))
}

/// Claims one entry, if it may be; whether it was, and whether anything changed.
fn claim_one(stream: &mut Stream, claimer: Claimer<'_>, claim: &Claim, id: StreamId) -> (bool, Changed) {
    let old = stream.pending(claimer.group, id);
    if stream.get(id).is_none() {
        // What was deleted is not pending any more once somebody asks for it.
        return (false, Changed::from(stream.remove_pending(claimer.group, id)));
    }
    let pending = match old {
        Some(old) => {
            if claim.min_idle_ms > 0 && idle_ms(claimer.now_ms, old.delivered_ms) < claim.min_idle_ms {
                return (false, Changed::Nothing);
            }
            old
        }
        None if claim.is_forced => Pending {
            consumer: 0,
            delivered_ms: claimer.now_ms,
            count: 1,
        },
        None => return (false, Changed::Nothing),
    };
    let counted = match claim.is_ids_alone {
        true => pending.count,
        false => pending.count.wrapping_add(1),
    };
    let new = Pending {
        delivered_ms: claim.delivered_ms(claimer.now_ms),
        count: claim.count.unwrap_or(counted),
        ..pending
    };
    (true, claimer.take(stream, id, (old, new)))
}

/// What XAUTOCLAIM says.
struct AutoClaim {
    min_idle_ms: i64,
    start: StreamId,
    count: u64,
    is_ids_alone: bool,
}

impl AutoClaim {
    fn parse(mut arguments: Arguments<'_>) -> Result<Self, CommandError> {
        arguments.skip(3);
        let mut claim = Self {
            min_idle_ms: number_of(&mut arguments, "min-idle-time", "XAUTOCLAIM")?.max(0),
            start: range_start(arguments.take())?,
            count: COUNT,
            is_ids_alone: false,
        };
        while !arguments.is_empty() {
            if arguments.len() > 1 && arguments.take_word("count") {
                let count = parse_i64(arguments.take()).filter(|count| (1..=COUNT_MAX).contains(count));
                let count = count.ok_or(CommandError::fixed(stream_words::NO_CLAIM_COUNT))?;
                claim.count = count.unsigned_abs();
            } else if arguments.take_word("justid") {
                claim.is_ids_alone = true;
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        Ok(claim)
    }
}

/// Refuses what is no XAUTOCLAIM.
pub(super) fn check_auto(arguments: Arguments<'_>) -> Result<(), CommandError> {
    AutoClaim::parse(arguments).map(|_| ())
}

/// About so many steps for what is looked at.
pub(super) fn weigh_auto(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let Ok(claim) = AutoClaim::parse(arguments) else {
        return 1;
    };
    let stream: Option<&Stream> = context.look(arguments.take());
    let found = stream.and_then(|stream| Some((stream, stream.group(arguments.take())?)));
    let there = found.map_or(1, |(stream, group)| stream.pending_count(group.number));
    usize::try_from(claim.count.saturating_mul(ATTEMPTS).min(there)).unwrap_or(usize::MAX)
}

/// How far XAUTOCLAIM has come.
struct Progress {
    next: StreamId,
    attempts: u64,
    /// How many more it may claim or find deleted.
    left: u64,
    claimed: Page,
    deleted: Vec<StreamId>,
}

/// `key group consumer min-idle-time start [COUNT count] [JUSTID]`: where to go on, the entries that were claimed, and the
/// ids of those that were pending and are deleted.
pub(super) fn xautoclaim(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let claim = AutoClaim::parse(slice.all)?;
    let mut arguments = slice.all;
    let (key, name, consumer) = (arguments.take(), arguments.take(), arguments.take());
    let group = context.looking(|context| existing(context, key, name).map(|(_, group)| group))?;
    let now_ms = context.time_ms();
    let kept = &mut *slice.kept;
    let progress = kept.state_or(|| {
        Ok::<_, CommandError>(Progress {
            next: claim.start,
            attempts: claim.count.saturating_mul(ATTEMPTS),
            left: claim.count,
            claimed: Page::default(),
            deleted: Vec::new(),
        })
    })?;
    let mut is_new = false;
    let (cursor, changed) = context.change(key, |stream: &mut Box<Stream>, _, steps| {
        let claimer = Claimer {
            group: group.number,
            name: consumer,
            now_ms,
        };
        let was_there = claimer.exists(stream);
        let (cursor, changed) = claim_idle(stream, (claimer, &claim), (progress, reply), steps);
        is_new = !was_there && claimer.exists(stream);
        ((cursor, changed), changed)
    })?;
    if is_new {
        context.tell_also(key, NEW_CONSUMER);
    }
    let deleted = std::mem::take(&mut progress.deleted);
    if let Some(cursor) = cursor {
        reply.array(3);
        tell_id(reply, cursor);
        progress.claimed.finish(reply);
        reply.array(deleted.len());
        deleted.iter().for_each(|id| tell_id(reply, *id));
    } else {
        progress.deleted = deleted;
    }
    kept.tally |= i64::from(changed == Changed::Something);
    Ok(cursor.is_some().then_some(Changed::from(kept.tally > 0)))
}

/// Claims what has been idle for long enough, as far as the steps reach; the cursor when it is done.
fn claim_idle(
    stream: &mut Stream,
    (claimer, claim): (Claimer<'_>, &AutoClaim),
    (progress, reply): (&mut Progress, &ReplyWriter<'_>),
    steps: &mut usize,
) -> (Option<StreamId>, Changed) {
    let mut changed = Changed::Nothing;
    loop {
        let Some((id, old)) = stream.pending_from(claimer.group, progress.next).next() else {
            return (Some(StreamId::MIN), changed);
        };
        if progress.attempts == 0 || progress.left == 0 {
            return (Some(id), changed);
        }
        if *steps == 0 {
            return (None, changed);
        }
        *steps -= 1;
        progress.attempts -= 1;
        if stream.get(id).is_none() {
            stream.remove_pending(claimer.group, id);
            progress.deleted.push(id);
            progress.left -= 1;
            changed = Changed::Something;
        } else if claim.min_idle_ms == 0 || idle_ms(claimer.now_ms, old.delivered_ms) >= claim.min_idle_ms {
            let new = Pending {
                delivered_ms: claimer.now_ms,
                count: old.count.wrapping_add(u64::from(!claim.is_ids_alone)),
                ..old
            };
            changed = changed.or(claimer.take(stream, id, (Some(old), new)));
            progress.left -= 1;
            let told = (&mut progress.claimed, reply);
            *steps = steps.saturating_sub(tell_claimed(told, (stream, id), claim.is_ids_alone));
        }
        match id.next() {
            Some(next) => progress.next = next,
            None => return (Some(StreamId::MIN), changed),
        }
    }
}
