//! SORT and SORT_RO: the elements of a list, set or sorted set in another order, told or stored as a list.
//!
//! At first the elements are copied, then what each is sorted by is looked up, then they are sorted, then told; each
//! of these goes in slices. Elements that are equal in what they are sorted by are sorted by their bytes if that was a
//! number, and else stay in the order in which the collection has them, which is the same on every replica.

mod order;
mod pattern;

use std::cmp::Ordering;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::contexts::{Changed, ReadContext, WRONG_TYPE, WriteContext};
use super::elements::store_in;
use super::handlers::{Handler, Slice, long_read, long_write};
use super::slices::steps_of;
use super::sorted_set::number;
use super::typed::TypedRef;
use crate::collection::{End, List, ListRef, SetRef, SortedSetRef};
use crate::command::{Arguments, CommandError};
pub(super) use order::Sorting;
use pattern::Pattern;

/// Comparisons that cost as much as one key.
pub(super) const COMPARED_PER_STEP: usize = 16;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("sort", sort, weigh).checked(check),
    long_read("sort_ro", sort_ro, weigh).checked(check_read),
];

/// What stands behind the key.
#[derive(Clone, Debug, Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    is_descending: bool,
    is_alphabetic: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(mut arguments: Arguments<'a>, may_store: bool) -> Result<Self, CommandError> {
        arguments.skip(1);
        let mut options = Self::default();
        while !arguments.is_empty() {
            let behind = arguments.len() - 1;
            if arguments.take_word("asc") {
                options.is_descending = false;
            } else if arguments.take_word("desc") {
                options.is_descending = true;
            } else if arguments.take_word("alpha") {
                options.is_alphabetic = true;
            } else if behind > 1 && arguments.take_word("limit") {
                options.limit = Some((arguments.take_integer()?, arguments.take_integer()?));
            } else if behind > 0 && may_store && arguments.take_word("store") {
                options.store = Some(arguments.take());
            } else if behind > 0 && arguments.take_word("by") {
                options.by = Some(arguments.take());
            } else if behind > 0 && arguments.take_word("get") {
                options.gets.push(arguments.take());
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        Ok(options)
    }

    /// False for BY with what is no pattern: the elements keep their order.
    fn sorts(&self) -> bool {
        self.by.is_none_or(|by| by.contains(&b'*'))
    }

    /// Which of so many elements are told, counted in the order in which they are.
    fn told(&self, count: usize) -> std::ops::Range<usize> {
        let Some((skipped, taken)) = self.limit else {
            return 0..count;
        };
        let start = usize::try_from(skipped).unwrap_or(0).min(count);
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        start..start.saturating_add(taken).min(count)
    }
}

/// What an element is sorted by.
#[derive(Debug)]
enum Weight {
    /// Nothing was found.
    None,
    Number(f64),
    Text(Box<[u8]>),
}

/// How far a command has come.
#[derive(Default)]
struct Progress {
    elements: Vec<Box<[u8]>>,
    is_loaded: bool,
    /// Only those that are told were copied.
    is_cut: bool,
    /// All is in order, and the telling has begun.
    is_begun: bool,
    /// One for each element, as far as they are found.
    weights: Vec<Weight>,
    sorting: Option<Sorting>,
    /// Elements that are told or stored.
    told: usize,
    /// Patterns of GET that are done of the next element.
    gets: usize,
    /// For STORE.
    result: List,
}

/// A collection of a type that can be sorted.
enum Source<'a> {
    List(ListRef<'a>),
    Set(SetRef<'a>),
    Sorted(SortedSetRef<'a>),
    Nothing,
}

impl<'a> Source<'a> {
    fn find(context: &ReadContext<'a>, key: &[u8]) -> Result<Self, CommandError> {
        let list = context.find(key);
        Ok(match list {
            Ok(Some(list)) => Self::List(list),
            Ok(None) => Self::Nothing,
            Err(_) => match (context.look::<SetRef<'_>>(key), context.look(key)) {
                (Some(set), _) => Self::Set(set),
                (_, Some(sorted)) => Self::Sorted(sorted),
                _ => return Err(WRONG_TYPE),
            },
        })
    }

    fn len(&self) -> usize {
        (match self {
            Self::List(list) => list.count(),
            Self::Set(set) => set.count(),
            Self::Sorted(sorted) => sorted.count(),
            Self::Nothing => 0,
        }) as usize
    }

    /// Shows the elements behind the first `skipped`, from the end if told so, until `show` says no.
    fn show(&self, skipped: usize, is_backwards: bool, mut show: impl FnMut(&[u8]) -> bool) {
        let (skipped, from_end) = (skipped as u64, (self.len() - skipped.min(self.len())) as u64);
        match (self, is_backwards) {
            (Self::List(list), false) => _ = list.from(skipped).all(|item| item.with(&mut show)),
            (Self::List(list), true) => _ = list.back_from(from_end).all(|item| item.with(&mut show)),
            (Self::Set(set), _) => _ = set.from(skipped).all(|item| item.with(&mut show)),
            (Self::Sorted(sorted), false) => _ = sorted.from(skipped).all(|(member, _)| show(member)),
            (Self::Sorted(sorted), true) => _ = sorted.back_from(from_end).all(|(member, _)| show(member)),
            (Self::Nothing, _) => {}
        }
    }
}

fn check(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Options::parse(arguments, true).map(|_| ())
}

fn check_read(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Options::parse(arguments, false).map(|_| ())
}

/// A few steps for each element.
fn weigh(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let source = Source::find(context, arguments.peek());
    source.map_or(1, |source| source.len().saturating_mul(2 + arguments.len()))
}

/// Copies the elements, finds what they are sorted by, and sorts them; false when the steps are spent before.
fn prepare(
    context: &ReadContext<'_>,
    (key, options): (&[u8], &Options<'_>),
    progress: &mut Progress,
) -> Result<bool, CommandError> {
    if !progress.is_loaded {
        let source = Source::find(context, key)?;
        // The order of a set says nothing, so what is stored of it is sorted all the same.
        progress.is_cut = !options.sorts() && !matches!(source, Source::Set(_));
        let wanted = match progress.is_cut {
            true => options.told(source.len()),
            false => 0..source.len(),
        };
        let is_backwards = !options.sorts() && options.is_descending;
        let left = wanted.len() - progress.elements.len();
        let mut is_spent = false;
        if left > 0 {
            source.show(wanted.start + progress.elements.len(), is_backwards, |element| {
                is_spent = context.is_spent();
                if !is_spent {
                    progress.elements.push(element.into());
                    context.spend(steps_of(element.len()));
                }
                !is_spent && progress.elements.len() < wanted.len()
            });
        }
        if is_spent {
            return Ok(false);
        }
        progress.is_loaded = true;
        let sorts = options.sorts() || matches!(source, Source::Set(_)) && options.store.is_some();
        progress.sorting = sorts.then(|| Sorting::new(progress.elements.len()));
    }
    Ok(find_weights(context, options, progress)? && put_in_order(context, options, progress))
}

fn find_weights(
    context: &ReadContext<'_>,
    options: &Options<'_>,
    progress: &mut Progress,
) -> Result<bool, CommandError> {
    // By themselves, as texts, they are sorted as they are.
    let is_by_itself = !options.sorts() || options.by.is_none() && options.is_alphabetic;
    if progress.sorting.is_none() || is_by_itself {
        return Ok(true);
    }
    let pattern = options.by.map_or(Pattern::Element, Pattern::parse);
    while let Some(element) = progress.elements.get(progress.weights.len()) {
        if context.is_spent() {
            return Ok(false);
        }
        let weight = pattern.with(context, element, |found| match found {
            None if options.is_alphabetic => Ok(Weight::None),
            None => Ok(Weight::Number(0.0)),
            Some(text) if options.is_alphabetic => Ok(Weight::Text(text.into())),
            Some(text) => match number::weight(text) {
                Some(number) => Ok(Weight::Number(number)),
                None => Err(CommandError::fixed(words::values::NOT_SORTABLE)),
            },
        })?;
        context.spend(match &weight {
            Weight::Text(text) => steps_of(text.len()),
            _ => 1,
        });
        progress.weights.push(weight);
    }
    Ok(true)
}

fn put_in_order(context: &ReadContext<'_>, options: &Options<'_>, progress: &mut Progress) -> bool {
    let Progress {
        elements,
        weights,
        sorting: Some(sorting),
        ..
    } = progress
    else {
        return true;
    };
    let compared = std::cell::Cell::new(0_usize);
    let compare = |one: u32, other: u32| {
        let (one, other) = (one as usize, other as usize);
        let elements = || elements[one].cmp(&elements[other]);
        compared.set(compared.get() + 1);
        let order = match (weights.get(one), weights.get(other)) {
            (Some(Weight::Number(one)), Some(Weight::Number(other))) => one
                .partial_cmp(other)
                .unwrap_or(Ordering::Equal)
                .then_with(elements),
            (Some(Weight::Text(one)), Some(Weight::Text(other))) => one.cmp(other),
            (Some(Weight::None), Some(Weight::Text(_))) => Ordering::Less,
            (Some(Weight::Text(_)), Some(Weight::None)) => Ordering::Greater,
            (Some(_), Some(_)) => Ordering::Equal,
            _ => elements(),
        };
        if options.is_descending {
            order.reverse()
        } else {
            order
        }
    };
    let may_go_on = || {
        context.spend(compared.take().div_ceil(COMPARED_PER_STEP));
        !context.is_spent()
    };
    sorting.advance(may_go_on, compare)
}

/// Shows what is to be told, element by element and pattern by pattern, from where it stands; false when the steps are
/// spent before the end.
fn tell(
    context: &ReadContext<'_>,
    options: &Options<'_>,
    progress: &mut Progress,
    mut show: impl FnMut(Option<&[u8]>),
) -> bool {
    let told = told_of(options, progress);
    let only = [&b"#"[..]];
    let gets = match options.gets.is_empty() {
        true => &only[..],
        false => &options.gets,
    };
    while progress.told < told.len() {
        if context.is_spent() {
            return false;
        }
        let place = told.start + progress.told;
        let place = match &progress.sorting {
            Some(sorting) => sorting.places()[place] as usize,
            None => place,
        };
        let bytes = Pattern::parse(gets[progress.gets]).with(context, &progress.elements[place], |found| {
            show(found);
            found.map_or(0, <[u8]>::len)
        });
        context.spend(steps_of(bytes));
        progress.gets += 1;
        if progress.gets == gets.len() {
            progress.gets = 0;
            progress.told += 1;
        }
    }
    true
}

/// Which of the elements that were copied are told.
fn told_of(options: &Options<'_>, progress: &Progress) -> std::ops::Range<usize> {
    let count = progress.elements.len();
    match progress.is_cut {
        true => 0..count,
        false => options.told(count),
    }
}

/// All of it but STORE; false when the steps are spent before the end.
fn answer(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    options: &Options<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let key = slice.all.peek();
    let progress = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Progress::default()))?;
    if !progress.is_begun {
        if !prepare(context, (key, options), progress)? {
            return Ok(false);
        }
        // Nothing is told before all that may be refused is known.
        progress.is_begun = true;
        reply.array(told_of(options, progress).len() * options.gets.len().max(1));
    }
    Ok(tell(context, options, progress, |found| match found {
        Some(found) => reply.bulk(found),
        None => reply.null(),
    }))
}

/// Puts what is told into the list that is stored; false when the steps are spent before the end.
fn gather(
    context: &ReadContext<'_>,
    (key, options): (&[u8], &Options<'_>),
    progress: &mut Progress,
) -> Result<bool, CommandError> {
    if !progress.is_begun {
        if !prepare(context, (key, options), progress)? {
            return Ok(false);
        }
        progress.is_begun = true;
    }
    let mut result = std::mem::take(&mut progress.result);
    let is_done = tell(context, options, progress, |found| {
        result.push(End::Tail, found.unwrap_or(b""));
    });
    progress.result = result;
    Ok(is_done)
}

/// `key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]`.
fn sort(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let options = Options::parse(slice.all, true)?;
    let Some(destination) = options.store else {
        // Where nobody waits for the reply of what changes nothing, there is nothing to do.
        let is_done =
            reply.is_discard() || context.looking(|context| answer(context, slice, &options, reply))?;
        return Ok(is_done.then_some(Changed::Nothing));
    };
    let key = slice.all.peek();
    let progress = slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Progress::default()))?;
    if !context.looking(|context| gather(context, (key, &options), progress))? {
        return Ok(None);
    }
    let result = std::mem::take(&mut progress.result);
    store_in(context, destination, result, reply).map(Some)
}

/// As SORT, but for STORE.
fn sort_ro(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let options = Options::parse(slice.all, false)?;
    answer(context, slice, &options, reply)
}
