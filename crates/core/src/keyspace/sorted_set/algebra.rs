//! What several sorted sets and sets have together: unions, intersections, differences, told or stored.
//!
//! The result is made key by key, so the work can stop anywhere: at first every key is looked at, then the members
//! that the result begins with are copied, then the others add to them or take from them, then those that are left are
//! put in order. Scores are added up in the order in which Redis does it, from the smallest set to the largest: sums
//! of fractions depend on it.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::{each_in, number, tell_count, tell_member};
use crate::collection::{Hashed, Score, SetRef, SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, ReadContext, WriteContext};
use crate::keyspace::elements::store_in;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;
use crate::table::HashSeed;

/// What is done with the keys; the words are the names of the command, without and with STORE.
#[derive(Debug, PartialEq, Eq)]
struct Operation {
    kind: Kind,
    names: [&'static str; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Union,
    Intersection,
    Difference,
    /// An intersection of which only the size is wanted.
    Count,
}

static OPERATIONS: [Operation; 4] = [
    Operation {
        kind: Kind::Union,
        names: ["zunion", "zunionstore"],
    },
    Operation {
        kind: Kind::Intersection,
        names: ["zinter", "zinterstore"],
    },
    Operation {
        kind: Kind::Difference,
        names: ["zdiff", "zdiffstore"],
    },
    Operation {
        kind: Kind::Count,
        names: ["zintercard", ""],
    },
];
pub const UNION: usize = 0;
pub const INTERSECTION: usize = 1;
pub const DIFFERENCE: usize = 2;
const COUNT: usize = 3;

/// How two scores of one member become one.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn join(self, score: f64, other: f64) -> f64 {
        match self {
            Self::Sum => zero_for_none(score + other),
            Self::Min if other < score => other,
            Self::Max if other > score => other,
            Self::Min | Self::Max => score,
        }
    }
}

/// Redis takes zero for what is no number, such as infinity less infinity.
fn zero_for_none(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A key to read from.
struct Source {
    key: Box<[u8]>,
    len: u64,
    weight: f64,
}

/// What the arguments behind the keys say.
struct Options {
    aggregate: Aggregate,
    with_scores: bool,
    /// Most that is counted.
    limit: u64,
}

/// What is done at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Look,
    Combine,
    Order,
    Done,
}

/// How far a command has come.
struct Progress {
    phase: Phase,
    sources: Vec<Source>,
    options: Options,
    /// Index of the source that is gone through.
    at: usize,
    /// Index of the next member, of whatever is gone through.
    next: u64,
    /// The members of a source are taken out, not those of the result looked up: for a source and all its slices.
    subtracts: bool,
    /// Members with the bytes of their scores.
    members: Hashed<true>,
    result: SortedSet,
}

/// Members of a set have the score one.
#[derive(Clone, Copy)]
enum Input<'a> {
    Set(SetRef<'a>),
    SortedSet(SortedSetRef<'a>),
}

impl<'a> Input<'a> {
    fn find(context: &ReadContext<'a>, key: &[u8]) -> Result<Option<Self>, CommandError> {
        match context.find(key) {
            Ok(set) => Ok(set.map(Self::SortedSet)),
            Err(error) => context.look(key).map(|set| Some(Self::Set(set))).ok_or(error),
        }
    }

    fn len(self) -> u64 {
        match self {
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::SortedSet(set) => set.score(member).map(Score::get),
        }
    }

    /// Shows members from index `next` on and counts it up; false if the steps are spent before the end.
    fn each(self, context: &ReadContext<'_>, next: &mut u64, mut show: impl FnMut(&[u8], f64)) -> bool {
        let first = *next;
        let mut show = |member: &[u8], score| {
            if context.is_spent() {
                return false;
            }
            context.spend(steps_of(member.len()));
            show(member, score);
            *next += 1;
            true
        };
        match self {
            Self::Set(set) => set
                .from(first)
                .all(|member| member.with(|member| show(member, 1.0))),
            Self::SortedSet(set) => set.from(first).all(|(member, score)| show(member, score.get())),
        }
    }
}

fn score_of(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(bytes.try_into().expect("a score has eight bytes"))
}

impl Progress {
    fn new(seed: HashSeed) -> Self {
        Self {
            phase: Phase::Look,
            sources: Vec::new(),
            options: Options {
                aggregate: Aggregate::Sum,
                with_scores: false,
                limit: u64::MAX,
            },
            at: 0,
            next: 0,
            subtracts: false,
            members: Hashed::new(seed),
            result: SortedSet::default(),
        }
    }

    fn put(&mut self, member: &[u8], score: f64) {
        self.members.insert(member, &score.to_le_bytes());
    }

    /// Goes on with one source; false when the steps are spent before it is done.
    fn combine(&mut self, context: &ReadContext<'_>, kind: Kind, input: Option<Input<'_>>) -> bool {
        let weight = self.sources[self.at].weight;
        let aggregate = self.options.aggregate;
        if self.next == 0 {
            // Not again while the result shrinks: `next` counts members of one of the two.
            self.subtracts = input.is_some_and(|input| input.len() < self.members.len());
        }
        match (kind, input) {
            (Kind::Intersection | Kind::Count, None) => {
                self.members = Hashed::new(context.hash_seed());
                true
            }
            (_, None) => true,
            (Kind::Union, Some(input)) => self.add(context, input),
            (_, Some(input)) if self.at == 0 => self.add(context, input),
            (Kind::Difference, Some(input)) if self.subtracts => {
                let mut next = self.next;
                let is_done = input.each(context, &mut next, |member, _| _ = self.members.remove(member));
                self.next = next;
                is_done
            }
            (Kind::Difference, Some(input)) => self.keep(context, |member, score| {
                input.score(member).is_none().then_some(score)
            }),
            (Kind::Intersection | Kind::Count, Some(input)) => self.keep(context, |member, score| {
                let other = input.score(member)?;
                Some(aggregate.join(score, other * weight))
            }),
        }
    }

    /// Takes the members of a source in.
    fn add(&mut self, context: &ReadContext<'_>, input: Input<'_>) -> bool {
        let weight = self.sources[self.at].weight;
        let mut next = self.next;
        let is_done = input.each(context, &mut next, |member, score| {
            let score = zero_for_none(score * weight);
            let joined = match self.members.get(member) {
                Some(bytes) => self.options.aggregate.join(score_of(bytes), score),
                None => score,
            };
            self.put(member, joined);
        });
        self.next = next;
        is_done
    }

    /// Gives the members other scores, and takes those out that get none.
    fn keep(&mut self, context: &ReadContext<'_>, rate: impl Fn(&[u8], f64) -> Option<f64>) -> bool {
        while let Some(element) = self.members.at(self.next) {
            if context.is_spent() {
                return false;
            }
            context.spend(1);
            let old = score_of(element.value);
            let new = rate(element.key, old);
            // By their bits: the sum of a negative zero and a positive one is the positive one, and is told.
            if new.map(f64::to_bits) == Some(old.to_bits()) {
                self.next += 1;
                continue;
            }
            let member = element.key.to_vec();
            match new {
                Some(score) => {
                    self.put(&member, score);
                    self.next += 1;
                }
                None => _ = self.members.remove(&member),
            }
        }
        true
    }

    /// Puts the members in order.
    fn order(&mut self, context: &ReadContext<'_>) -> bool {
        for element in self.members.from(self.next) {
            if context.is_spent() {
                return false;
            }
            context.spend(steps_of(element.key.len()));
            let score = Score::new(score_of(element.value)).expect("sums of scores are numbers");
            self.result.insert(element.key, score, context.hash_seed());
            self.next += 1;
        }
        true
    }
}

/// Takes what comes before the keys, and says how many these are.
fn take_count(arguments: &mut Arguments<'_>, name: &str) -> Result<usize, CommandError> {
    let count = arguments.take_integer()?;
    if count < 1 {
        return Err(CommandError::composed(words::no_input_key(name).into_bytes()));
    }
    let count = usize::try_from(count).ok();
    let fitting = count.filter(|count| *count <= arguments.len());
    fitting.ok_or(CommandError::fixed(words::SYNTAX))
}

/// Reads what comes behind the keys.
fn take_options(
    mut arguments: Arguments<'_>,
    (kind, is_stored): (Kind, bool),
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let is_rated = matches!(kind, Kind::Union | Kind::Intersection);
    let Progress { sources, options, .. } = progress;
    while !arguments.is_empty() {
        let left = arguments.len();
        if is_rated && left > sources.len() && arguments.take_word("weights") {
            for source in &mut *sources {
                let weight = number::score(arguments.take());
                source.weight = weight.map_err(|_| CommandError::fixed(words::WEIGHT_NOT_A_FLOAT))?;
            }
        } else if is_rated && left > 1 && arguments.take_word("aggregate") {
            options.aggregate = match arguments.take() {
                word if word.eq_ignore_ascii_case(b"sum") => Aggregate::Sum,
                word if word.eq_ignore_ascii_case(b"min") => Aggregate::Min,
                word if word.eq_ignore_ascii_case(b"max") => Aggregate::Max,
                _ => return Err(CommandError::fixed(words::SYNTAX)),
            };
        } else if kind != Kind::Count && !is_stored && arguments.take_word("withscores") {
            options.with_scores = true;
        } else if kind == Kind::Count && left > 1 && arguments.take_word("limit") {
            let limit = arguments.take_integer().ok();
            let limit = limit.and_then(|limit| u64::try_from(limit).ok());
            options.limit = match limit.ok_or(CommandError::fixed(words::NEGATIVE_LIMIT))? {
                0 => u64::MAX,
                limit => limit,
            };
        } else {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    Ok(())
}

/// Goes on; false when the steps are spent before the result is made. `is_stored`: the first argument is a destination.
fn advance(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    operation: &Operation,
    is_stored: bool,
) -> Result<bool, CommandError> {
    let Slice { all, rest, kept } = slice;
    let mut keys = *all;
    keys.skip(usize::from(is_stored));
    let count = take_count(&mut keys, operation.names[usize::from(is_stored)])?;
    if !kept.begun {
        *rest = keys;
    }
    let progress = kept.state_or(|| Ok::<_, CommandError>(Progress::new(context.hash_seed())))?;
    while progress.phase != Phase::Done {
        if context.is_spent() {
            return Ok(false);
        }
        match progress.phase {
            Phase::Look if progress.sources.len() < count => {
                let key = rest.take();
                let len = Input::find(context, key)?.map_or(0, Input::len);
                progress.sources.push(Source {
                    key: key.into(),
                    len,
                    weight: 1.0,
                });
                context.spend(1);
            }
            Phase::Look => {
                take_options(*rest, (operation.kind, is_stored), progress)?;
                if operation.kind != Kind::Difference {
                    progress.sources.sort_by_key(|source| source.len);
                }
                progress.phase = Phase::Combine;
            }
            Phase::Combine => {
                let Some(source) = progress.sources.get(progress.at) else {
                    progress.phase = Phase::Order;
                    continue;
                };
                let input = Input::find(context, &source.key)?;
                if progress.combine(context, operation.kind, input) {
                    progress.at += 1;
                    progress.next = 0;
                    context.spend(1);
                }
            }
            Phase::Order => {
                if operation.kind == Kind::Count || progress.order(context) {
                    progress.phase = Phase::Done;
                }
            }
            Phase::Done => {}
        }
    }
    Ok(true)
}

/// About how many members the sets have in all.
pub fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let lens = arguments.iter().map(|key| {
        let set: Option<SortedSetRef<'_>> = context.look(key);
        let len = match set {
            Some(set) => set.len(),
            None => context.look(key).map_or(0, SetRef::len),
        };
        1 + len as usize
    });
    lens.sum()
}

/// Refuses what names no keys.
pub fn check<const OPERATION: usize>(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    take_count(&mut arguments, OPERATIONS[OPERATION].names[0]).map(|_| ())
}

/// As [`check`], where a destination comes first.
pub fn check_store<const OPERATION: usize>(mut arguments: Arguments<'_>) -> Result<(), CommandError> {
    arguments.skip(1);
    take_count(&mut arguments, OPERATIONS[OPERATION].names[1]).map(|_| ())
}

/// Refuses what is no ZINTERCARD.
pub fn check_card(arguments: Arguments<'_>) -> Result<(), CommandError> {
    check::<COUNT>(arguments)
}

/// `numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`: the members of the result.
pub fn tell<const OPERATION: usize>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    if !advance(context, slice, &OPERATIONS[OPERATION], false)? {
        return Ok(false);
    }
    let is_told = slice.kept.is_detached;
    slice.kept.is_detached = true;
    let mut told = slice.kept.tally as u64;
    let progress = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Progress::new(context.hash_seed())))?;
    let (result, with_scores) = (progress.result.as_ref(), progress.options.with_scores);
    if !is_told {
        tell_count(result.len(), with_scores, reply);
    }
    let is_done = each_in(result, (0..result.len(), false), &mut told, |(name, score)| {
        let is_spent = context.is_spent();
        if !is_spent {
            // What has not been in a sorted set may be a negative zero, and is told as such.
            let exact = match score.get() {
                0.0 => progress.members.get(name).map_or(0.0, score_of),
                score => score,
            };
            context.spend(steps_of(tell_member((name, exact), with_scores, reply)));
        }
        !is_spent
    });
    slice.kept.tally = told as i64;
    Ok(is_done)
}

/// `destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`: how many members are stored.
pub fn store<const OPERATION: usize>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let operation = &OPERATIONS[OPERATION];
    if !context.looking(|context| advance(context, slice, operation, true))? {
        return Ok(None);
    }
    let seed = context.hash_seed();
    let progress = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Progress::new(seed)))?;
    let result = std::mem::take(&mut progress.result);
    store_in(context, slice.all.peek(), result, reply).map(Some)
}

/// `numkeys key [key ...] [LIMIT limit]`: how many members all have, at most `limit`.
pub fn zintercard(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    if !advance(context, slice, &OPERATIONS[COUNT], false)? {
        return Ok(false);
    }
    let progress = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Progress::new(context.hash_seed())))?;
    reply.integer(progress.members.len().min(progress.options.limit) as i64);
    Ok(true)
}
