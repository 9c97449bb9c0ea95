//! Classes of events, as `notify-keyspace-events` names them by letters.

use std::fmt;

/// A set of classes, and which of the two kinds of channels are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u32);

impl EventClasses {
    /// K: channels that are named after the key.
    pub const BY_KEY: Self = Self(1 << 0);
    /// E: channels that are named after the event.
    pub const BY_EVENT: Self = Self(1 << 1);
    /// g: commands of no type in particular.
    pub const GENERIC: Self = Self(1 << 2);
    /// $: strings.
    pub const STRING: Self = Self(1 << 3);
    /// l: lists.
    pub const LIST: Self = Self(1 << 4);
    /// s: sets.
    pub const SET: Self = Self(1 << 5);
    /// h: hashes.
    pub const HASH: Self = Self(1 << 6);
    /// z: sorted sets.
    pub const SORTED_SET: Self = Self(1 << 7);
    /// x: keys that have expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// e: keys that were evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// t: streams.
    pub const STREAM: Self = Self(1 << 10);
    /// m: keys that were looked for and not found.
    pub const MISSED: Self = Self(1 << 11);
    /// d: modules, of which there are none.
    pub const MODULE: Self = Self(1 << 12);
    /// n: keys that were not there before.
    pub const NEW: Self = Self(1 << 13);
    /// A: all classes but `m` and `n`.
    pub const ALL: Self = Self(0b1_0111_1111_1100);

    /// Letters in the order in which Redis tells them.
    const LETTERS: [(char, Self); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::SORTED_SET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW),
        ('K', Self::BY_KEY),
        ('E', Self::BY_EVENT),
        ('m', Self::MISSED),
    ];

    /// Reads letters; `None` if one of them is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self::default(), |classes, letter| {
            let known = Self::LETTERS.iter().find(|(known, _)| *known == letter);
            let class = match letter {
                'A' => Self::ALL,
                _ => known?.1,
            };
            Some(classes.with(class))
        })
    }

    /// All of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has all of the others.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether somebody may be told of anything: there are channels to tell it on.
    pub const fn tells(self) -> bool {
        self.0 & (Self::BY_KEY.0 | Self::BY_EVENT.0) != 0
    }
}

impl fmt::Display for EventClasses {
    /// As CONFIG GET shows it: with `A`, what is in it and `n` are not told.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_all = self.has(Self::ALL);
        if is_all {
            formatter.write_str("A")?;
        }
        for (letter, class) in Self::LETTERS {
            let is_in_all = Self::ALL.with(Self::NEW).has(class);
            if self.has(class) && !(is_all && is_in_all) {
                write!(formatter, "{letter}")?;
            }
        }
        Ok(())
    }
}
