//! The judges. None of them knows the replica: they see what clients saw, what the replicas' digests
//! were, and what the origin holds. Each has mutation tests: corrupted histories must be rejected.

use std::fmt;

use crate::history::{Action, Operation, Outcome};

pub mod append;
pub mod bounded;
pub mod cache;
pub mod caches;
pub mod elements;
pub mod forward;
pub mod highest;
pub mod jobs;
pub mod loss;
pub mod messages;
pub mod order;
pub mod replicas;
pub mod restored;
pub mod rights;
pub mod search;
pub mod sessions;
pub mod streams;
pub mod zones;

/// A promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which judge says so.
    pub check: &'static str,
    /// What it is about, for instance a key.
    pub subject: String,
    /// What is wrong, with the operations that show it.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}", self.check, self.subject, self.explanation)
    }
}

impl Violation {
    /// A violation about one key.
    pub fn of_key(check: &'static str, key: u32, explanation: String) -> Self {
        Self {
            check,
            subject: format!("key {key}"),
            explanation,
        }
    }
}

/// Judges the whole history of one key with the strongest judge that fits it: append logs by their
/// order, scores that only rise by their values, unique-value registers by zones, everything else by search.
///
/// # Errors
/// The first violation found.
pub fn check_key(operations: &[Operation]) -> Result<Judged, Violation> {
    let any = |wanted: fn(&Operation) -> bool| operations.iter().any(wanted);
    if any(|operation| {
        matches!(operation.action, Action::Append(_)) || matches!(operation.outcome, Outcome::List(_))
    }) {
        return append::check(operations).map(|()| Judged::Exactly);
    }
    if any(|operation| matches!(operation.action, Action::Raise(_))) {
        return highest::check(operations).map(|()| Judged::Exactly);
    }
    if any(|operation| !matches!(operation.action, Action::Read | Action::Write(_))) {
        return search::check(operations, search::STEPS_MAX);
    }
    zones::check(operations).map(|()| Judged::Exactly)
}

/// How far a verdict of "no violation" goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There is none.
    Exactly,
    /// The search was given up at its limit; counted by the caller, never silent.
    GivenUp,
}
