//! How fresh a read must be: the levels, and their names.
//!
//! A level is named by a word, `bounded` with a duration behind it: `bounded:200ms`. A bound is at most what eventual reads
//! may lag behind at most, so that a bounded read is never weaker than an eventual one.
//!
//! Levels are in no one order: `session` says nothing about age, and `bounded` nothing about what a connection has seen.
//! Where both are asked for, a read has to be both: `session+bounded:200ms`.

use std::fmt;

use crate::limits;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadLevel {
    /// Real-time order per key.
    #[default]
    Linearizable,
    /// Some committed value of this replica, which only moves forward.
    Eventual,
    /// Every write that was acknowledged so long before the read, or longer.
    Bounded(Bound),
    /// Every write that its connection was acknowledged, and nothing older than it has read, with the tokens that it
    /// has taken in; where there is a bound, what is bounded by it, too.
    Session(Option<Bound>),
}

/// What a bounded read may lag behind: whole milliseconds, from [`Bound::MIN`] to [`Bound::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bound {
    ms: u32,
}

/// Why a word is no level that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLevel {
    /// No level has this name.
    Unknown,
    /// A level of this name is designed, and this release does not have it.
    NotBuilt,
    /// It is `bounded`, and what follows is no bound.
    NoBound,
}

impl Bound {
    /// The least, below which any read has to ask the leader anyway.
    pub const MIN: Self = Self { ms: 1 };
    /// The most: no eventual read may be older.
    pub const MAX: Self = Self {
        ms: (limits::STALENESS_US_MAX / 1000) as u32,
    };
    /// That of `bounded` alone.
    pub const DEFAULT: Self = Self { ms: 1_000 };

    /// A bound of so many milliseconds, if there is one.
    pub fn of_ms(ms: u64) -> Option<Self> {
        let ms = u32::try_from(ms).ok()?;
        (Self::MIN.ms..=Self::MAX.ms).contains(&ms).then_some(Self { ms })
    }

    /// In milliseconds.
    pub fn ms(self) -> u64 {
        u64::from(self.ms)
    }

    /// In microseconds.
    pub fn us(self) -> u64 {
        self.ms() * 1000
    }

    /// Decimal digits with the unit `ms` or `s` behind them, case-insensitive.
    fn named(word: &[u8]) -> Option<Self> {
        let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, unit) = word.split_at(digits);
        let factor = match unit {
            _ if is_one_of(unit, &["ms"]) => 1,
            _ if is_one_of(unit, &["s"]) => 1000,
            _ => return None,
        };
        let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        Self::of_ms(number.checked_mul(factor)?)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            ms if ms % 1000 == 0 => write!(formatter, "{}s", ms / 1000),
            ms => write!(formatter, "{ms}ms"),
        }
    }
}

fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

impl ReadLevel {
    /// The level of this name, case-insensitive.
    ///
    /// # Errors
    /// There is none.
    pub fn named(word: &[u8]) -> Result<Self, NoLevel> {
        let end = word.iter().position(|byte| *byte == b':');
        let kind = &word[..end.unwrap_or(word.len())];
        let argument = end.map(|end| &word[end + 1..]);
        match argument {
            None if is_one_of(kind, &["linearizable"]) => Ok(Self::Linearizable),
            None if is_one_of(kind, &["eventual"]) => Ok(Self::Eventual),
            None if is_one_of(kind, &["bounded"]) => Ok(Self::Bounded(Bound::DEFAULT)),
            None if is_one_of(kind, &["session"]) => Ok(Self::Session(None)),
            None if is_one_of(kind, &["session+bounded"]) => Ok(Self::Session(Some(Bound::DEFAULT))),
            Some(bound) if is_one_of(kind, &["bounded"]) => {
                Bound::named(bound).map(Self::Bounded).ok_or(NoLevel::NoBound)
            }
            Some(bound) if is_one_of(kind, &["session+bounded"]) => {
                let bound = Bound::named(bound).ok_or(NoLevel::NoBound)?;
                Ok(Self::Session(Some(bound)))
            }
            _ if is_one_of(kind, &["origin"]) => Err(NoLevel::NotBuilt),
            _ => Err(NoLevel::Unknown),
        }
    }

    /// How old an answer may be at most, if that is bounded.
    fn bound(self) -> Option<Bound> {
        match self {
            Self::Bounded(bound) => Some(bound),
            Self::Session(bound) => bound,
            Self::Linearizable | Self::Eventual => None,
        }
    }

    /// The weakest level that gives what both give.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Linearizable || other == Self::Linearizable {
            return Self::Linearizable;
        }
        let bounds = self.bound().into_iter().chain(other.bound());
        let bound = bounds.min();
        match (self, other) {
            (Self::Session(_), _) | (_, Self::Session(_)) => Self::Session(bound),
            _ => bound.map_or(Self::Eventual, Self::Bounded),
        }
    }
}

impl fmt::Display for ReadLevel {
    /// Its name, as [`ReadLevel::named`] takes it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => formatter.write_str("linearizable"),
            Self::Eventual => formatter.write_str("eventual"),
            Self::Bounded(bound) => write!(formatter, "bounded:{bound}"),
            Self::Session(None) => formatter.write_str("session"),
            Self::Session(Some(bound)) => write!(formatter, "session+bounded:{bound}"),
        }
    }
}

/// Judges the name of a level of writes, case-insensitive. There is one, `quorum`.
///
/// # Errors
/// It is another word.
pub fn judge_write_level(word: &[u8]) -> Result<(), NoLevel> {
    match word {
        _ if is_one_of(word, &["quorum"]) => Ok(()),
        _ if is_one_of(word, &["async", "all"]) => Err(NoLevel::NotBuilt),
        _ => Err(NoLevel::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(ms: u64) -> ReadLevel {
        ReadLevel::Bounded(Bound::of_ms(ms).expect("a bound"))
    }

    fn session(ms: u64) -> ReadLevel {
        ReadLevel::Session(Bound::of_ms(ms))
    }

    #[test]
    fn levels_are_known_by_their_names() {
        for (name, level) in [
            ("linearizable", ReadLevel::Linearizable),
            ("eventual", ReadLevel::Eventual),
            ("bounded:1ms", bounded(1)),
            ("bounded:1500ms", bounded(1_500)),
            ("bounded:10s", bounded(10_000)),
            ("session", ReadLevel::Session(None)),
            ("session+bounded:200ms", session(200)),
        ] {
            assert_eq!(level.to_string(), name);
            for word in [name.to_owned(), name.to_uppercase()] {
                assert_eq!(ReadLevel::named(word.as_bytes()), Ok(level), "{word}");
            }
        }
        for (word, ms) in [
            ("bounded", 1_000),
            ("bounded:2000ms", 2_000),
            ("bounded:0010ms", 10),
        ] {
            assert_eq!(ReadLevel::named(word.as_bytes()), Ok(bounded(ms)), "{word}");
        }
        assert_eq!(ReadLevel::named(b"session+bounded"), Ok(session(1_000)));
        assert_eq!(ReadLevel::named(b"session+bounded:0s"), Err(NoLevel::NoBound));
        for word in ["Origin", "origin:1"] {
            assert_eq!(
                ReadLevel::named(word.as_bytes()),
                Err(NoLevel::NotBuilt),
                "{word}"
            );
        }
        for word in [
            "",
            "session:1s",
            "session+",
            "session+eventual",
            "bounded+session",
            "eventual:1",
            "even",
            "quorum",
            ":bounded",
            "linearizable:",
        ] {
            assert_eq!(ReadLevel::named(word.as_bytes()), Err(NoLevel::Unknown), "{word}");
        }
        assert_eq!(judge_write_level(b"QUORUM"), Ok(()));
        assert_eq!(judge_write_level(b"async"), Err(NoLevel::NotBuilt));
        assert_eq!(judge_write_level(b"all"), Err(NoLevel::NotBuilt));
        assert_eq!(judge_write_level(b"eventual"), Err(NoLevel::Unknown));
    }

    #[test]
    fn a_bound_has_a_unit_and_is_neither_nothing_nor_more_than_eventual_reads_may_lag() {
        for bound in [
            "",
            "0ms",
            "0s",
            "10001ms",
            "11s",
            "200",
            "ms",
            "s",
            "200us",
            "1m",
            "1.5s",
            "-1s",
            "+1s",
            "1 s",
            "1s:",
            "99999999999999999999s",
            "18446744073709552s",
        ] {
            let word = format!("bounded:{bound}");
            assert_eq!(ReadLevel::named(word.as_bytes()), Err(NoLevel::NoBound), "{word}");
        }
    }

    #[test]
    fn two_levels_together_are_no_weaker_than_either() {
        use ReadLevel::{Eventual, Linearizable};
        let from_strongest = [Linearizable, bounded(1), bounded(200), bounded(10_000), Eventual];
        for (place, one) in from_strongest.into_iter().enumerate() {
            for (other_place, other) in from_strongest.into_iter().enumerate() {
                assert_eq!(one.and(other), from_strongest[place.min(other_place)]);
            }
        }
    }

    #[test]
    fn what_is_in_no_order_is_asked_for_together() {
        use ReadLevel::{Eventual, Linearizable, Session};
        for (one, other, both) in [
            (Session(None), Session(None), Session(None)),
            (Session(None), Eventual, Session(None)),
            (Session(None), Linearizable, Linearizable),
            (Session(None), bounded(200), session(200)),
            (session(1_000), bounded(200), session(200)),
            (session(200), bounded(1_000), session(200)),
            (session(200), Eventual, session(200)),
            (session(200), Session(None), session(200)),
            (session(200), Linearizable, Linearizable),
        ] {
            assert_eq!((one.and(other), other.and(one)), (both, both));
        }
        assert_eq!(size_of::<ReadLevel>(), 8, "it is handed over with each read");
    }
}
