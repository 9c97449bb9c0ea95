//! The options of SET and GETEX, and the times that they and SETEX take.

use repligo_proto::command::Spec;
use repligo_proto::resp::ArgSlice;

use super::{Unit, integer, invalid_expire_time, parse_i64, text};
use crate::command::options::{DeadlineError, Expiry, GetExpiry, SetCondition, SetReply};
use crate::command::{Arguments, Command, CommandError};

/// Redis refuses a TTL that leads past the end of its time range, by its clock. The parser has no clock
/// and takes this one (the year 2109) instead, so that the answer is the same on every node; apply
/// saturates. The two differ only for deadlines 292 million years away.
pub(super) const LATEST_NOW_MS: i64 = 1 << 42;

/// A time option as written: its word decides unit and meaning, the time itself is checked later.
#[derive(Clone, Copy, Debug)]
struct TimeOption<'a> {
    relative: bool,
    unit: Unit,
    text: &'a [u8],
}

/// The time options EX, PX, EXAT and PXAT by their words.
fn time_option(word: &[u8]) -> Option<(bool, Unit)> {
    const WORDS: [(&[u8], bool, Unit); 4] = [
        (b"ex", true, Unit::Seconds),
        (b"px", true, Unit::Milliseconds),
        (b"exat", false, Unit::Seconds),
        (b"pxat", false, Unit::Milliseconds),
    ];
    let found = WORDS
        .iter()
        .find(|(known, ..)| word.eq_ignore_ascii_case(known))?;
    Some((found.1, found.2))
}

/// The time of a `TimeOption` in milliseconds, positive and representable as a deadline.
fn time_ms(option: TimeOption<'_>) -> Result<u64, DeadlineError> {
    let number = parse_i64(option.text).ok_or(DeadlineError::NotAnInteger)?;
    let scaled = match option.unit {
        Unit::Seconds => number.checked_mul(1000),
        Unit::Milliseconds => Some(number),
    };
    let headroom = if option.relative { LATEST_NOW_MS } else { 0 };
    scaled
        .filter(|&time| time > 0 && time <= i64::MAX - headroom)
        .map(|time| time as u64)
        .ok_or(DeadlineError::OutOfRange)
}

fn time_error(error: DeadlineError, command: &str) -> CommandError {
    match error {
        DeadlineError::NotAnInteger => text::NOT_AN_INTEGER,
        DeadlineError::OutOfRange => invalid_expire_time(command),
    }
}

/// What SET and its relatives say behind their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// What becomes of the deadline.
    pub expiry: Expiry,
    /// When nothing is written.
    pub condition: SetCondition,
    /// GET was among them.
    pub returns_old: bool,
}

impl WriteOptions {
    /// Takes all of `rest` as options of `command`. The same option may come twice and the last time counts; different
    /// ones about time, and NX with XX, exclude each other.
    ///
    /// # Errors
    /// Redis' error for what is no option, and for a time that is none.
    pub fn take(mut rest: Arguments<'_>, command: &str) -> Result<Self, CommandError> {
        let mut time: Option<(&[u8], TimeOption<'_>)> = None;
        let mut keep = false;
        let mut options = Self::default();
        while !rest.is_empty() {
            let word = rest.take();
            if word.eq_ignore_ascii_case(b"nx") && options.condition != SetCondition::IfPresent {
                options.condition = SetCondition::IfAbsent;
            } else if word.eq_ignore_ascii_case(b"xx") && options.condition != SetCondition::IfAbsent {
                options.condition = SetCondition::IfPresent;
            } else if word.eq_ignore_ascii_case(b"get") {
                options.returns_old = true;
            } else if word.eq_ignore_ascii_case(b"keepttl") && time.is_none() {
                keep = true;
            } else {
                let text = (!rest.is_empty()).then(|| rest.take());
                let option = time_with((word, text), time.map(|(known, _)| known)).filter(|_| !keep);
                time = Some(option.ok_or(text::SYNTAX)?);
            }
        }
        options.expiry = match time {
            Some((_, option)) => {
                let time = time_ms(option).map_err(|error| time_error(error, command))?;
                if option.relative {
                    Expiry::In(time)
                } else {
                    Expiry::At(time)
                }
            }
            None if keep => Expiry::Keep,
            None => Expiry::Never,
        };
        Ok(options)
    }
}

/// SET with options.
pub(super) fn parse_set(db: u8, args: ArgSlice<'_>) -> Result<Command<'_>, CommandError> {
    let options = WriteOptions::take(Arguments::new(args.skip(3)), "set")?;
    Ok(Command::Set {
        db,
        key: args.get(1),
        value: args.get(2),
        expiry: options.expiry,
        condition: options.condition,
        reply: if options.returns_old {
            SetReply::Old
        } else {
            SetReply::Ok
        },
    })
}

/// The time option of a word with its argument; `None` when the word is none, its argument is missing, or
/// another time option came before (`known`).
fn time_with<'a>(
    (word, text): (&'a [u8], Option<&'a [u8]>),
    known: Option<&[u8]>,
) -> Option<(&'a [u8], TimeOption<'a>)> {
    let (relative, unit) = time_option(word)?;
    if known.is_some_and(|known| !known.eq_ignore_ascii_case(word)) {
        return None;
    }
    let text = text?;
    Some((word, TimeOption { relative, unit, text }))
}

/// SETEX and PSETEX: key, time, value.
pub(super) fn parse_set_with_time<'a>(
    db: u8,
    args: ArgSlice<'a>,
    (unit, spec): (Unit, &'static Spec),
) -> Result<Command<'a>, CommandError> {
    let time = time_ms(TimeOption {
        relative: true,
        unit,
        text: args.get(2),
    })
    .map_err(|error| time_error(error, spec.name))?;
    Ok(Command::Set {
        db,
        key: args.get(1),
        value: args.get(3),
        expiry: Expiry::In(time),
        condition: SetCondition::Always,
        reply: SetReply::Ok,
    })
}

/// GETEX. Redis looks at the time only when the key exists, so a bad one is no error yet.
pub(super) fn parse_get_and_expire(db: u8, args: ArgSlice<'_>) -> Result<Command<'_>, CommandError> {
    let mut time: Option<(&[u8], TimeOption<'_>)> = None;
    let mut persist = false;
    let mut index = 2;
    while index < args.len() {
        if args.get(index).eq_ignore_ascii_case(b"persist") && time.is_none() {
            persist = true;
            index += 1;
        } else {
            let known = time.map(|(known, _)| known);
            time = Some(
                time_with((args.get(index), args.try_get(index + 1)), known)
                    .filter(|_| !persist)
                    .ok_or(text::SYNTAX)?,
            );
            index += 2;
        }
    }
    let expiry = match time {
        Some((_, option)) => match time_ms(option) {
            Ok(time) if option.relative => GetExpiry::In(time),
            Ok(time) => GetExpiry::At(time),
            Err(error) => GetExpiry::Refused(error),
        },
        None if persist => GetExpiry::Persist,
        None => GetExpiry::Keep,
    };
    Ok(Command::GetEx {
        db,
        key: args.get(1),
        expiry,
    })
}

/// The integer of EXPIRE and its relatives in milliseconds; it may be negative.
pub(super) fn signed_time_ms(text: &[u8], unit: Unit, relative: bool) -> Result<Option<i64>, CommandError> {
    let number = integer(text)?;
    let scaled = match unit {
        Unit::Seconds => number.checked_mul(1000),
        Unit::Milliseconds => Some(number),
    };
    let headroom = if relative { LATEST_NOW_MS } else { 0 };
    Ok(scaled.filter(|&time| time <= i64::MAX - headroom))
}
