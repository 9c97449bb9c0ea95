//! Keys and values of the workload: classes of keys, each used in one way, and unique tokens in values.

use super::plan::Plan;
use crate::history::Token;

/// How the keys of a class are used. A key's number is its class times this plus its number in the class.
const CLASS_SIZE: u32 = 1_000_000;

/// A class of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// SET and GET of unique values.
    Register,
    /// SET, SET PX, GET, DEL and compare-and-set by WATCH.
    Mixed,
    /// INCR and GET.
    Counter,
    /// APPEND and GET.
    Log,
    /// RPUSH and LRANGE of a list.
    List,
    /// HSET and HGET of unique values, all in fields of one hash.
    Field,
    /// ZADD and ZSCORE of unique scores, all of members of one sorted set.
    Score,
    /// ZADD GT and ZSCORE.
    Highest,
    /// HINCRBY and HGET of a field.
    FieldCounter,
    /// ZINCRBY and ZSCORE of a member.
    ScoreCounter,
    /// A collection whose elements are written together and read together: one register.
    Whole,
    /// Two keys that MSET or MULTI write together and MGET reads together: one register.
    Pair,
    /// SET with and without PX, GET and DEL of a key that may be evicted; only where memory is limited.
    Cached,
    /// SET and GET of a mapped key.
    Mapped,
    /// SET, GET and DEL of a mapped key.
    MappedMixed,
    /// Two mapped keys of one client that hand a unique value over to each other.
    Handover,
}

/// All classes; the mapped ones last.
pub const CLASSES: [Class; 16] = [
    Class::Register,
    Class::Mixed,
    Class::Counter,
    Class::Log,
    Class::List,
    Class::Field,
    Class::Score,
    Class::Highest,
    Class::FieldCounter,
    Class::ScoreCounter,
    Class::Whole,
    Class::Pair,
    Class::Cached,
    Class::Mapped,
    Class::MappedMixed,
    Class::Handover,
];

impl Class {
    /// Class of a key.
    pub fn of(key: u32) -> Self {
        CLASSES[(key / CLASS_SIZE) as usize]
    }

    /// A key of this class.
    pub fn key(self, number: u32) -> u32 {
        self as u32 * CLASS_SIZE + number
    }

    /// True for what [`super::collections`] uses.
    pub fn is_collection(self) -> bool {
        matches!(
            self,
            Self::List
                | Self::Field
                | Self::Score
                | Self::Highest
                | Self::FieldCounter
                | Self::ScoreCounter
                | Self::Whole
        )
    }

    /// True if the origin holds the rows.
    pub fn is_mapped(self) -> bool {
        matches!(self, Self::Mapped | Self::MappedMixed | Self::Handover)
    }
}

/// The classes that a run uses beside those of collections: where any key may be evicted, only what can bear it: keys that may vanish, and rows.
pub fn classes(plan: &Plan) -> Vec<Class> {
    let limited = plan.memory.bytes_max > 0;
    let in_use = |class: &Class| match class {
        Class::Mapped | Class::MappedMixed | Class::Handover => plan.origin,
        Class::Cached => limited,
        _ if class.is_collection() => false,
        _ => !(limited && plan.memory.policy.takes_all_keys()),
    };
    CLASSES.into_iter().filter(in_use).collect()
}

/// Name of a key on the wire, or of an element of the collection of its class. A pair has two, by its ending.
pub fn name(key: u32, ending: &str) -> String {
    let number = key % CLASS_SIZE;
    match Class::of(key) {
        Class::Register => format!("r{number}"),
        Class::Mixed => format!("m{number}"),
        Class::Counter => format!("c{number}"),
        Class::Log => format!("l{number}"),
        Class::List => format!("q{number}"),
        Class::Field | Class::FieldCounter => format!("f{number}"),
        Class::Score | Class::Highest | Class::ScoreCounter => format!("z{number}"),
        Class::Whole => format!("w{number}"),
        Class::Pair => format!("p{number}:{ending}"),
        Class::Cached => format!("e{number}"),
        Class::Mapped => format!("user:{number}"),
        Class::MappedMixed => format!("user:{}", CLASS_SIZE + number),
        Class::Handover => format!("user:{}", 2 * CLASS_SIZE + number),
    }
}

/// The token that a value carries; the rest of it is padding.
pub fn token_of(value: &[u8]) -> Option<Token> {
    let digits = value.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What of a value only one row of the fake origin may have.
pub fn unique_part(value: &[u8]) -> Option<&[u8]> {
    value.iter().position(|byte| *byte == b'@').map(|at| &value[at..])
}

/// What the fake origin refuses to store.
pub fn is_forbidden(value: &[u8]) -> bool {
    value.ends_with(b"!")
}
