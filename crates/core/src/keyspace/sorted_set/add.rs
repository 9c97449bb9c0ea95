//! ZADD, ZINCRBY and GEOADD.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::number;
use crate::bugs::Bug;
use crate::collection::{Score, SortedSet};
use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::{Changed, WriteContext};
use crate::keyspace::geo;
use crate::keyspace::handlers::Slice;
use crate::keyspace::slices::steps_of;
use crate::table::HashSeed;

/// Options by their words, each a bit.
const OPTIONS: [(&str, u8); 6] = [
    ("nx", NEW),
    ("xx", OLD),
    ("gt", GREATER),
    ("lt", LESS),
    ("ch", CHANGES),
    ("incr", INCREMENT),
];
/// Only members that are not there.
const NEW: u8 = 1;
/// Only members that are there.
const OLD: u8 = 1 << 1;
/// Members that are there only to a greater score.
const GREATER: u8 = 1 << 2;
/// Members that are there only to a lesser score.
const LESS: u8 = 1 << 3;
/// Changed scores are counted, too.
const CHANGES: u8 = 1 << 4;
/// The score is added, and the sum is told.
const INCREMENT: u8 = 1 << 5;

/// Scores that are judged before anything is proposed.
const JUDGED_EARLY: usize = 64;

/// How a command gives members their scores.
struct Form {
    /// Takes key and options; scores and members are left.
    options: fn(&mut Arguments<'_>) -> Result<u8, CommandError>,
    /// Takes what says a score.
    score: fn(&mut Arguments<'_>) -> Result<f64, CommandError>,
}

const ADD: Form = Form {
    options: |arguments| take_options(arguments, 0),
    score: take_score,
};
const INCREASE: Form = Form {
    options: |arguments| take_options(arguments, INCREMENT),
    score: take_score,
};
const PLACE: Form = Form {
    options: take_place_options,
    score: geo::take_score,
};

fn take_score(arguments: &mut Arguments<'_>) -> Result<f64, CommandError> {
    number::score(arguments.take())
}

/// As [`take_options`], for places instead of scores.
fn take_place_options(arguments: &mut Arguments<'_>) -> Result<u8, CommandError> {
    const TAKEN: u8 = NEW | OLD | CHANGES;
    /// Words of one member.
    const WORDS: usize = 3;
    arguments.skip(1);
    let mut options = 0;
    let taken = OPTIONS.iter().filter(|(_, option)| TAKEN & option != 0);
    while let Some((_, option)) = taken.clone().find(|(word, _)| arguments.take_word(word)) {
        options |= option;
    }
    let excludes = NEW | OLD;
    let is_whole = !arguments.is_empty() && arguments.len().is_multiple_of(WORDS);
    if !is_whole || options & excludes == excludes {
        return Err(CommandError::fixed(words::SYNTAX));
    }
    Ok(options)
}

/// Takes key and options of ZADD.
fn take_options(arguments: &mut Arguments<'_>, given: u8) -> Result<u8, CommandError> {
    arguments.skip(1);
    let mut options = given;
    while let Some((_, option)) = OPTIONS.iter().find(|(word, _)| arguments.take_word(word)) {
        options |= option;
    }
    let refused = |text| Err(CommandError::fixed(text));
    if arguments.is_empty() || !arguments.len().is_multiple_of(2) {
        return refused(words::SYNTAX);
    }
    let is_several = |set: u8| (options & set).count_ones() > 1;
    if is_several(NEW | OLD) {
        return refused(words::XX_AND_NX);
    }
    if is_several(GREATER | NEW) || is_several(LESS | NEW) || is_several(GREATER | LESS) {
        return refused(words::GT_LT_AND_NX);
    }
    if options & INCREMENT != 0 && arguments.len() > 2 {
        return refused(words::ONE_INCREMENT);
    }
    Ok(options)
}

fn check(mut arguments: Arguments<'_>, form: &Form) -> Result<(), CommandError> {
    (form.options)(&mut arguments)?;
    for _ in 0..JUDGED_EARLY {
        if arguments.is_empty() {
            break;
        }
        (form.score)(&mut arguments)?;
        arguments.take();
    }
    Ok(())
}

/// Refuses what is no ZADD.
pub fn check_add(arguments: Arguments<'_>) -> Result<(), CommandError> {
    check(arguments, &ADD)
}

/// Refuses what is no ZINCRBY.
pub fn check_increment(arguments: Arguments<'_>) -> Result<(), CommandError> {
    check(arguments, &INCREASE)
}

/// Refuses what is no GEOADD.
pub fn check_places(arguments: Arguments<'_>) -> Result<(), CommandError> {
    check(arguments, &PLACE)
}

/// How far a command has come.
#[derive(Default)]
struct Progress {
    /// All scores are numbers, so nothing is refused any more in the middle.
    is_judged: bool,
    is_changed: bool,
    /// The score of the last member, as it is told; `None` if an option has kept the member from it.
    told: Option<f64>,
}

/// What became of one member.
enum Outcome {
    New(f64),
    Other(f64),
    Same(f64),
    /// An option has forbidden it.
    Kept,
}

fn put(
    set: &mut SortedSet,
    (member, number): (&[u8], f64),
    options: u8,
    seed: HashSeed,
) -> Result<Outcome, CommandError> {
    let has = |option| options & option != 0 && !(option == GREATER && Bug::GreaterTakesLower.is_in_force());
    let current = set.as_ref().score(member).map(Score::get);
    let wanted = match current {
        Some(current) if has(INCREMENT) => current + number,
        _ => number,
    };
    let Some(score) = Score::new(wanted) else {
        return Err(CommandError::fixed(words::SCORE_NOT_A_NUMBER));
    };
    let outcome = match current {
        None if has(OLD) => Outcome::Kept,
        None => Outcome::New(wanted),
        Some(_) if has(NEW) => Outcome::Kept,
        Some(current) if has(GREATER) && wanted <= current || has(LESS) && wanted >= current => Outcome::Kept,
        Some(current) if wanted == current => Outcome::Same(wanted),
        Some(_) => Outcome::Other(wanted),
    };
    if matches!(outcome, Outcome::New(_) | Outcome::Other(_)) {
        set.insert(member, score, seed);
    }
    Ok(outcome)
}

fn run(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    form: &Form,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let Slice { all, rest, kept } = slice;
    let mut pairs = *all;
    let options = (form.options)(&mut pairs)?;
    if !kept.begun {
        *rest = pairs;
    }
    let mut tally = kept.tally;
    let progress = kept.state_or(|| Ok::<_, CommandError>(Progress::default()))?;
    while !progress.is_judged {
        if rest.is_empty() {
            *rest = pairs;
            progress.is_judged = true;
        } else if context.is_spent() {
            return Ok(None);
        } else {
            (form.score)(rest)?;
            rest.take();
            context.spend(1);
        }
    }
    context.change(all.peek(), |set: &mut SortedSet, seed, steps| {
        let mut is_changed = false;
        while !rest.is_empty() && *steps > 0 {
            let (score, member) = ((form.score)(rest), rest.take());
            let outcome = match score.and_then(|score| put(set, (member, score), options, seed)) {
                Ok(outcome) => outcome,
                Err(error) => return (Err(error), Changed::from(is_changed)),
            };
            let (counted, told) = match outcome {
                Outcome::New(score) => (1, Some(score)),
                Outcome::Other(score) => (i64::from(options & CHANGES != 0), Some(score)),
                Outcome::Same(score) => (0, Some(score)),
                Outcome::Kept => (0, None),
            };
            is_changed |= matches!(outcome, Outcome::New(_) | Outcome::Other(_));
            tally += counted;
            progress.told = told;
            *steps = steps.saturating_sub(steps_of(member.len()));
        }
        progress.is_changed |= is_changed;
        (Ok(()), Changed::from(is_changed))
    })??;
    let (told, is_changed) = (progress.told, progress.is_changed);
    kept.tally = tally;
    if !rest.is_empty() {
        return Ok(None);
    }
    match told {
        _ if options & INCREMENT == 0 => reply.integer(tally),
        Some(score) => reply.double(score),
        None => reply.null(),
    }
    Ok(Some(Changed::from(is_changed)))
}

/// `key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]`: how many are new, with CH or changed, or with
/// INCR the score.
pub fn zadd(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    run(context, slice, &ADD, reply)
}

/// `key increment member`: the score.
pub fn zincrby(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    run(context, slice, &INCREASE, reply)
}

/// `key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]`: how many are new, with CH or changed.
pub fn geoadd(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    run(context, slice, &PLACE, reply)
}
