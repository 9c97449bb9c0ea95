//! What commands on deadlines of hash fields ask for, read from their arguments.
//!
//! What depends on the time is not judged here but by [`Renewal::new`], when the command is applied.

use repligo_proto::words;
use repligo_proto::words::fields as field_words;

use crate::command::{Arguments, CommandError, parse_i64};
use crate::keyspace::contexts::WriteContext;
use crate::table::HashSeed;

/// No field ends later, in milliseconds since the epoch: the limit of Redis, in the year 4199.
const DEADLINE_MAX_MS: u64 = (1 << 46) - 1;

/// When something is to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// Milliseconds from the time of the entry or from the epoch.
    ms: u64,
    is_from_now: bool,
    /// The command, as an error names it.
    name: &'static str,
}

impl Time {
    fn parse(
        text: &[u8],
        (in_seconds, is_from_now): (bool, bool),
        name: &'static str,
    ) -> Result<Self, CommandError> {
        let number = parse_i64(text).ok_or(CommandError::fixed(words::NOT_AN_INTEGER))?;
        let number =
            u64::try_from(number).map_err(|_| CommandError::fixed(field_words::NEGATIVE_EXPIRE_TIME))?;
        let unit_ms = if in_seconds { 1000 } else { 1 };
        if number > DEADLINE_MAX_MS / unit_ms {
            return Err(too_late(name));
        }
        Ok(Self {
            ms: number * unit_ms,
            is_from_now,
            name,
        })
    }

    /// Takes one of EX, PX, EXAT and PXAT, and what stands behind it.
    fn take(arguments: &mut Arguments<'_>, name: &'static str) -> Result<Option<Self>, CommandError> {
        let forms = [
            ("ex", (true, true)),
            ("px", (false, true)),
            ("exat", (true, false)),
            ("pxat", (false, false)),
        ];
        let Some((_, form)) = forms.into_iter().find(|(word, _)| arguments.take_word(word)) else {
            return Ok(None);
        };
        Self::parse(arguments.take(), form, name).map(Some)
    }
}

fn too_late(name: &str) -> CommandError {
    CommandError::composed(words::invalid_expire_time(name).into_bytes())
}

/// What is done with the deadlines of fields, now that the time is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// The deadline that they get, in milliseconds of shard time, or none.
    pub deadline_ms: Option<u64>,
    /// For a hash whose first field gets one.
    pub seed: HashSeed,
    is_past: bool,
}

impl Renewal {
    /// # Errors
    /// If it lies too far ahead.
    pub fn new(context: &WriteContext<'_>, time: Option<Time>) -> Result<Self, CommandError> {
        let deadline_ms = match time {
            Some(time) if time.is_from_now => {
                if time.ms > DEADLINE_MAX_MS.saturating_sub(context.time_ms()) {
                    return Err(too_late(time.name));
                }
                Some(context.deadline_in(time.ms))
            }
            time => time.map(|time| time.ms),
        };
        Ok(Self {
            deadline_ms,
            seed: context.hash_seed(),
            is_past: deadline_ms.is_some_and(|deadline_ms| deadline_ms <= context.time_ms()),
        })
    }

    /// Whether it takes fields away.
    pub fn is_past(&self) -> bool {
        self.is_past
    }
}

/// Takes `FIELDS count`, behind which so many groups of arguments are left.
fn take_count(arguments: &mut Arguments<'_>, not_positive: &'static str) -> Result<u64, CommandError> {
    if !arguments.take_word("fields") {
        return Err(CommandError::fixed(field_words::NO_FIELDS));
    }
    let count = parse_i64(arguments.take()).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::fixed(not_positive))?;
    match count == arguments.len() as i64 {
        true => Ok(count as u64),
        false => Err(CommandError::fixed(field_words::FIELD_COUNT_MISMATCH)),
    }
}

/// The fields of `key FIELDS numfields field [field ...]`.
///
/// # Errors
/// Redis' errors for what is none.
pub(super) fn names_of(mut arguments: Arguments<'_>) -> Result<Arguments<'_>, CommandError> {
    arguments.skip(1);
    take_count(&mut arguments, field_words::FIELD_COUNT_NOT_POSITIVE)?;
    Ok(arguments)
}

pub(super) fn check_names(arguments: Arguments<'_>) -> Result<(), CommandError> {
    names_of(arguments).map(|_| ())
}

/// Which fields get another deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// All.
    Always,
    /// NX: those without one.
    IfNone,
    /// XX: those with one.
    IfSome,
    /// GT: those whose deadline is earlier.
    IfLater,
    /// LT: those whose deadline is later; none counts as infinitely late.
    IfEarlier,
}

impl Condition {
    fn take(arguments: &mut Arguments<'_>) -> Self {
        let words = [
            ("nx", Self::IfNone),
            ("xx", Self::IfSome),
            ("gt", Self::IfLater),
            ("lt", Self::IfEarlier),
        ];
        let found = words.into_iter().find(|(word, _)| arguments.take_word(word));
        found.map_or(Self::Always, |(_, condition)| condition)
    }

    /// Whether a field that has `old` may get `new`.
    pub fn holds(self, old: Option<u64>, new: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::IfNone => old.is_none(),
            Self::IfSome => old.is_some(),
            Self::IfLater => old.is_some_and(|old| new.is_some_and(|new| new > old)),
            Self::IfEarlier => old.is_none_or(|old| new.is_some_and(|new| new < old)),
        }
    }
}

/// HEXPIRE and its relatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiring<'a> {
    pub time: Time,
    pub condition: Condition,
    pub fields: Arguments<'a>,
}

impl<'a> Expiring<'a> {
    /// # Errors
    /// Redis' errors for what is none.
    pub fn parse<const IN_SECONDS: bool, const IS_FROM_NOW: bool>(
        mut arguments: Arguments<'a>,
    ) -> Result<Self, CommandError> {
        let name = match (IN_SECONDS, IS_FROM_NOW) {
            (true, true) => "hexpire",
            (false, true) => "hpexpire",
            (true, false) => "hexpireat",
            (false, false) => "hpexpireat",
        };
        arguments.skip(1);
        let time = Time::parse(arguments.take(), (IN_SECONDS, IS_FROM_NOW), name)?;
        let condition = Condition::take(&mut arguments);
        take_count(&mut arguments, field_words::FIELD_COUNT_TOO_LOW)?;
        Ok(Self {
            time,
            condition,
            fields: arguments,
        })
    }
}

pub(super) fn check_expire<const IN_SECONDS: bool, const IS_FROM_NOW: bool>(
    arguments: Arguments<'_>,
) -> Result<(), CommandError> {
    Expiring::parse::<IN_SECONDS, IS_FROM_NOW>(arguments).map(|_| ())
}

/// HGETEX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Getting<'a> {
    /// Whether deadlines change.
    pub renews: bool,
    /// The one that they become; none with PERSIST.
    pub time: Option<Time>,
    pub fields: Arguments<'a>,
}

impl<'a> Getting<'a> {
    /// # Errors
    /// Redis' errors for what is none.
    pub fn parse(mut arguments: Arguments<'a>) -> Result<Self, CommandError> {
        arguments.skip(1);
        let time = Time::take(&mut arguments, "hgetex")?;
        let renews = time.is_some() || arguments.take_word("persist");
        take_count(&mut arguments, field_words::FIELD_COUNT_NOT_POSITIVE)?;
        Ok(Self {
            renews,
            time,
            fields: arguments,
        })
    }
}

pub(super) fn check_get(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Getting::parse(arguments).map(|_| ())
}

/// What HSETEX asks of the fields that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existence {
    /// FXX: all are there.
    All,
    /// FNX: none is there.
    None,
}

/// HSETEX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub existence: Option<Existence>,
    pub time: Option<Time>,
    /// Fields keep the deadlines that they have.
    pub keeps: bool,
    /// Fields and values in turn.
    pub pairs: Arguments<'a>,
}

impl<'a> Setting<'a> {
    /// # Errors
    /// Redis' errors for what is none.
    pub fn parse(mut arguments: Arguments<'a>) -> Result<Self, CommandError> {
        let wrong_arity = || CommandError::composed(words::wrong_arity("hsetex").into_bytes());
        arguments.skip(1);
        let (mut existence, mut time, mut keeps) = (None, None, false);
        while !arguments.is_empty() {
            let word = arguments.peek();
            if arguments.take_word("fields") {
                if arguments.len() < 3 {
                    return Err(wrong_arity());
                }
                let count = parse_i64(arguments.take())
                    .filter(|count| (1..=i64::from(i32::MAX)).contains(count))
                    .ok_or(CommandError::fixed(field_words::INVALID_FIELD_COUNT))?;
                if arguments.len() as i64 != count * 2 {
                    return Err(wrong_arity());
                }
                return Ok(Self {
                    existence,
                    time,
                    keeps,
                    pairs: arguments,
                });
            }
            let condition = match () {
                () if arguments.take_word("fxx") => Some(Existence::All),
                () if arguments.take_word("fnx") => Some(Existence::None),
                () => None,
            };
            if condition.is_some() {
                if existence.is_some() {
                    return Err(CommandError::fixed(field_words::ONE_FIELD_CONDITION));
                }
                existence = condition;
                continue;
            }
            let is_timed = ["ex", "px", "exat", "pxat"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
            if !is_timed && !word.eq_ignore_ascii_case(b"keepttl") {
                return Err(CommandError::composed(field_words::unknown_argument(word)));
            }
            if time.is_some() || keeps {
                return Err(CommandError::fixed(field_words::ONE_FIELD_EXPIRY));
            }
            if is_timed && arguments.len() < 2 {
                return Err(CommandError::fixed(field_words::NO_EXPIRE_TIME));
            }
            time = Time::take(&mut arguments, "hsetex")?;
            keeps = time.is_none() && arguments.take_word("keepttl");
        }
        // Redis has no answer to this: it ends its process.
        Err(CommandError::fixed(field_words::NO_FIELDS))
    }
}

pub(super) fn check_set(arguments: Arguments<'_>) -> Result<(), CommandError> {
    Setting::parse(arguments).map(|_| ())
}
