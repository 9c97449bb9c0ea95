//! The small closed types that commands carry as options. Numbered variants are encoded by their number,
//! which therefore never changes.

/// What SET does to the deadline of its key. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Expiry {
    /// The key has none afterwards.
    #[default]
    Never,
    /// This long after the time of the entry that holds the command; at least 1.
    In(u64),
    /// At this time since the epoch; one that has passed leaves no key.
    At(u64),
    /// KEEPTTL: as it was.
    Keep,
}

/// What GETEX does to the deadline of its key. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GetExpiry {
    /// Nothing: a plain read.
    #[default]
    Keep,
    /// Removes it.
    Persist,
    /// As [`Expiry::In`].
    In(u64),
    /// As [`Expiry::At`].
    At(u64),
    /// The time given is no good. Redis says so only when the key exists, so apply has to answer.
    Refused(DeadlineError),
}

impl GetExpiry {
    /// False when the command only reads.
    #[inline]
    pub fn changes_deadline(self) -> bool {
        matches!(self, Self::Persist | Self::In(_) | Self::At(_))
    }
}

/// Why the time given to GETEX is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineError {
    /// It is not an integer of 64 bits.
    NotAnInteger,
    /// It is not positive or too far away.
    OutOfRange,
}

/// When SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SetCondition {
    /// Always.
    #[default]
    Always = 0,
    /// NX: only when the key is absent.
    IfAbsent = 1,
    /// XX: only when the key exists.
    IfPresent = 2,
}

impl SetCondition {
    /// Whether it holds for a key that is there or not.
    #[inline]
    pub fn holds(self, exists: bool) -> bool {
        match self {
            Self::Always => true,
            Self::IfAbsent => !exists,
            Self::IfPresent => exists,
        }
    }
}

/// What SET answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SetReply {
    /// `OK`, or null when the condition did not hold.
    #[default]
    Ok = 0,
    /// GET: the old value or null, whether the condition held or not.
    Old = 1,
    /// SETNX: 1 or 0.
    Flag = 2,
}

/// A deadline as the EXPIRE family gives it, in milliseconds; it may lie in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Relative to the time of the entry that holds the command.
    In(i64),
    /// Since the epoch.
    At(i64),
}

/// When the EXPIRE family changes a deadline: all that are set must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DeadlineCondition {
    /// NX: only when there is none.
    pub if_none: bool,
    /// XX: only when there is one.
    pub if_some: bool,
    /// GT: only when the new one is later; none counts as infinitely late.
    pub if_later: bool,
    /// LT: only when the new one is earlier; none counts as infinitely late.
    pub if_earlier: bool,
}

/// What the TTL family answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlForm {
    /// TTL: seconds from now, rounded to the nearest.
    Seconds = 0,
    /// PTTL: milliseconds from now.
    Milliseconds = 1,
    /// EXPIRETIME: seconds since the epoch, rounded to the nearest.
    DeadlineSeconds = 2,
    /// PEXPIRETIME: milliseconds since the epoch.
    DeadlineMilliseconds = 3,
}

/// What OBJECT asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectField {
    /// ENCODING: `int`, `embstr` or `raw`.
    Encoding = 0,
    /// REFCOUNT.
    RefCount = 1,
    /// IDLETIME: seconds since the last access that left a mark.
    IdleTime = 2,
    /// FREQ: an error unless the policy asks for marks of frequency.
    Frequency = 3,
}
