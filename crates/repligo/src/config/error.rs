//! What is wrong with a configuration, where it stands, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command line flag.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Built in.
    Default,
    /// Computed from other keys, as this text says.
    Derived(&'static str),
}

impl Origin {
    /// One lower case word for scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Origin::Flag(_) => "flag",
            Origin::Environment(_) => "environment",
            Origin::File { .. } => "file",
            Origin::Default => "default",
            Origin::Derived(_) => "derived",
        }
    }

    /// True when a person or a script has set the value.
    pub fn is_explicit(&self) -> bool {
        matches!(
            self,
            Origin::Flag(_) | Origin::Environment(_) | Origin::File { .. }
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "flag {flag}"),
            Origin::Environment(variable) => write!(f, "environment variable {variable}"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Default => f.write_str("default"),
            Origin::Derived(how) => write!(f, "derived ({how})"),
        }
    }
}

/// One problem. Printed as three lines: what, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong; one sentence without a full stop.
    pub what: String,
    /// Where it stands.
    pub place: String,
    /// What to do; imperative.
    pub remedy: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: impl fmt::Display, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Problem {
            what: what.into(),
            place: place.to_string(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  where: {}\n  do: {}", self.what, self.place, self.remedy)
    }
}

/// Everything that is wrong with a configuration, so that it can be mended in one go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}
