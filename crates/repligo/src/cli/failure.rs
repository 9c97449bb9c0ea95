//! Why a tool could not do what it was asked: what is wrong, and what to do.

/// Printed as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  do: {remedy}")]
pub struct Failure {
    /// What is wrong, and where.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Failure {
    /// Both sentences begin in lower case and end without a stop.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}
