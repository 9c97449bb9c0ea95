//! GEOSEARCH and its relatives: members whose places a circle or a box covers, told or stored.
//!
//! At first the scores that such places can have are gone through, and members found are copied, then these are put in
//! order, then told or stored; each of these goes in slices. Members that are as far from the center stay in the order
//! in which they were found.

use std::cell::Cell as Counter;

use repligo_proto::reply::ReplyWriter;

use super::areas::score_ranges;
use super::cells::{Cell, signed};
use super::request::{Form, Given, Order, Request};
use super::{tell_coordinates, tell_distance};
use crate::collection::{Score, SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::store_in;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;
use crate::keyspace::sort::{COMPARED_PER_STEP, Sorting};

/// The commands of the family.
const FORMS: [Form; 6] = {
    const fn form(given: Given, may_store: bool, stores: bool) -> Form {
        Form {
            given,
            may_store,
            stores,
        }
    }
    [
        form(Given::Options, false, false),
        form(Given::Options, false, true),
        form(Given::Place, true, false),
        form(Given::Place, false, false),
        form(Given::Member, true, false),
        form(Given::Member, false, false),
    ]
};
pub(super) const SEARCH: usize = 0;
pub(super) const SEARCH_STORE: usize = 1;
pub(super) const RADIUS: usize = 2;
pub(super) const RADIUS_READ: usize = 3;
pub(super) const BY_MEMBER: usize = 4;
pub(super) const BY_MEMBER_READ: usize = 5;

/// A member that the shape covers.
struct Found {
    member: Box<[u8]>,
    score: Score,
    distance_m: f64,
}

/// How far a command has come.
struct Progress {
    request: Request,
    ranges: Vec<(f64, f64)>,
    /// Index of the range that is gone through.
    at: usize,
    /// Members of it that were looked at.
    looked: u64,
    found: Vec<Found>,
    sorting: Option<Sorting>,
    /// All is in order, and the telling has begun.
    is_begun: bool,
    /// Members that are told or stored.
    told: usize,
    /// What is stored.
    result: SortedSet,
}

impl Progress {
    fn new(
        form: Form,
        arguments: Arguments<'_>,
        set: Option<SortedSetRef<'_>>,
    ) -> Result<Self, CommandError> {
        let request = Request::parse(form, arguments, set)?;
        let ranges = match set {
            Some(_) => score_ranges(&request.shape),
            None => Vec::new(),
        };
        Ok(Self {
            request,
            ranges,
            at: 0,
            looked: 0,
            found: Vec::new(),
            sorting: None,
            is_begun: false,
            told: 0,
            result: SortedSet::default(),
        })
    }

    fn has_enough(&self) -> bool {
        let Request { takes_any, count, .. } = self.request;
        takes_any && count.is_some_and(|count| self.found.len() >= count)
    }

    /// Goes through the ranges; false when the steps are spent before the end.
    fn look(&mut self, context: &ReadContext<'_>, set: SortedSetRef<'_>) -> bool {
        while let Some(range) = self.ranges.get(self.at) {
            if self.has_enough() {
                break;
            }
            if context.is_spent() {
                return false;
            }
            let ranks = ranks_of(set, *range);
            let left = (ranks.end - ranks.start).saturating_sub(self.looked);
            let is_done = set
                .from(ranks.start + self.looked)
                .take(left as usize)
                .all(|(member, score)| {
                    if context.is_spent() {
                        return false;
                    }
                    context.spend(1);
                    self.looked += 1;
                    if let Some(distance_m) = self.request.shape.covers(Cell::of_score(score.get()).place()) {
                        context.spend(steps_of(member.len()));
                        self.found.push(Found {
                            member: member.into(),
                            score,
                            distance_m,
                        });
                    }
                    !self.has_enough()
                });
            if !is_done && !self.has_enough() {
                return false;
            }
            context.spend(1);
            self.at += 1;
            self.looked = 0;
        }
        self.at = self.ranges.len();
        true
    }

    /// Puts what was found in order; false when the steps are spent before the end.
    fn order(&mut self, context: &ReadContext<'_>) -> bool {
        let Some(order) = self.request.order else {
            return true;
        };
        let Self { sorting, found, .. } = self;
        let sorting = sorting.get_or_insert_with(|| Sorting::new(found.len()));
        let compared = Counter::new(0_usize);
        let compare = |one: u32, other: u32| {
            compared.set(compared.get() + 1);
            let distance = |at: u32| found[at as usize].distance_m;
            let (one, other) = match order {
                Order::Ascending => (one, other),
                Order::Descending => (other, one),
            };
            distance(one).total_cmp(&distance(other))
        };
        let may_go_on = || {
            context.spend(compared.take().div_ceil(COMPARED_PER_STEP));
            !context.is_spent()
        };
        sorting.advance(may_go_on, compare)
    }

    /// How many are told or stored.
    fn count(&self) -> usize {
        let count = self.request.count.unwrap_or(usize::MAX);
        self.found.len().min(count)
    }

    /// The next one that is told or stored.
    fn next(&self) -> Option<&Found> {
        let place = match &self.sorting {
            _ if self.told >= self.count() => return None,
            Some(sorting) => sorting.places()[self.told] as usize,
            None => self.told,
        };
        Some(&self.found[place])
    }
}

/// Ranks of the members with these scores.
fn ranks_of(set: SortedSetRef<'_>, (first, end): (f64, f64)) -> std::ops::Range<u64> {
    let rank = |score| set.count_below(Score::new(score).expect("cells have scores"), false);
    let start = rank(first);
    start..rank(end).max(start)
}

/// The key that is searched.
fn source<'a>(form: Form, mut arguments: Arguments<'a>) -> &'a [u8] {
    arguments.skip(usize::from(form.stores));
    arguments.peek()
}

/// A few steps for each member that has one of the scores.
pub(super) fn weigh<const FORM: usize>(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let form = FORMS[FORM];
    let set: Option<SortedSetRef<'_>> = context.look(source(form, arguments));
    let Some((set, progress)) = set.zip(Progress::new(form, arguments, set).ok()) else {
        return 1;
    };
    let members = |range: &(f64, f64)| {
        let ranks = ranks_of(set, *range);
        ranks.end - ranks.start
    };
    let members: u64 = progress.ranges.iter().map(members).sum();
    3 * members as usize
}

/// Searches and sorts; false when the steps are spent before the end.
fn advance<'p>(
    context: &ReadContext<'_>,
    slice: &'p mut Slice<'_>,
    form: Form,
) -> Result<(&'p mut Progress, bool), CommandError> {
    let set: Option<SortedSetRef<'_>> = context.find(source(form, slice.all))?;
    let all = slice.all;
    let progress = slice.kept.state_or(|| Progress::new(form, all, set))?;
    let is_done = set.is_none_or(|set| progress.look(context, set)) && progress.order(context);
    Ok((progress, is_done))
}

/// Tells what was found; false when the steps are spent before the end.
fn tell(context: &ReadContext<'_>, progress: &mut Progress, reply: &mut ReplyWriter<'_>) -> bool {
    if !progress.is_begun {
        progress.is_begun = true;
        reply.array(progress.count());
    }
    let request = &progress.request;
    let parts = [request.with_distance, request.with_score, request.with_place];
    let parts = parts.into_iter().filter(|part| *part).count();
    while let Some(found) = progress.next() {
        if context.is_spent() {
            return false;
        }
        context.spend(steps_of(found.member.len()));
        if parts > 0 {
            reply.array(1 + parts);
        }
        reply.bulk(&found.member);
        if progress.request.with_distance {
            tell_distance(found.distance_m / progress.request.shape.unit_m, reply);
        }
        if progress.request.with_score {
            reply.integer(signed(found.score.get()));
        }
        if progress.request.with_place {
            tell_coordinates(Cell::of_score(found.score.get()).place(), reply);
        }
        progress.told += 1;
    }
    true
}

/// Puts what was found into what is stored; false when the steps are spent before the end.
fn gather(context: &ReadContext<'_>, progress: &mut Progress) -> bool {
    while let Some(found) = progress.next() {
        if context.is_spent() {
            return false;
        }
        context.spend(steps_of(found.member.len()));
        let score = match progress.request.stores_distance {
            true => Score::new(found.distance_m / progress.request.shape.unit_m),
            false => Some(found.score),
        };
        let score = score.expect("distances are numbers");
        let member = found.member.clone();
        progress.result.insert(&member, score, context.hash_seed());
        progress.told += 1;
    }
    true
}

/// The members that are searched for, as GEOSEARCH and the commands that cannot store tell them.
pub(super) fn read<const FORM: usize>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let (progress, is_done) = advance(context, slice, FORMS[FORM])?;
    Ok(is_done && tell(context, progress, reply))
}

/// As [`read`], or how many of them are stored.
pub(super) fn write<const FORM: usize>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let form = FORMS[FORM];
    let stored = context.looking(|context| {
        let (progress, is_found) = advance(context, slice, form)?;
        let stores = progress.request.store.is_some();
        let is_done = is_found
            && match stores {
                true => gather(context, progress),
                // Where nobody waits for the reply of what changes nothing, there is nothing to do.
                false => reply.is_discard() || tell(context, progress, reply),
            };
        Ok::<_, CommandError>(is_done.then(|| {
            let key = progress.request.store.take();
            key.map(|key| (key, std::mem::take(&mut progress.result)))
        }))
    })?;
    match stored {
        None => Ok(None),
        Some(None) => Ok(Some(Changed::Nothing)),
        Some(Some((key, result))) => store_in(context, &key, result, reply).map(Some),
    }
}
