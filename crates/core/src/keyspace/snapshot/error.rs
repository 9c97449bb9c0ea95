//! Why a chunk is not restored.

use std::fmt;

use crate::packed::Corrupt;
use crate::section::{UnknownSection, VERSION};

/// Why a chunk was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// Written by another release: the version byte is given.
    OtherFormat(u8),
    /// A later release wrote it, and what this one does not know must not be skipped.
    Unknown(UnknownSection),
    /// The bytes of the chunk are not those of a chunk.
    Corrupt(Corrupt),
    /// The chunks are each well-formed, but not one complete snapshot in order.
    Incomplete(&'static str),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFormat(version) => {
                write!(
                    formatter,
                    "snapshot format {version}: this release reads {VERSION}"
                )
            }
            Self::Unknown(unknown) => write!(formatter, "snapshot: {unknown}"),
            Self::Corrupt(corrupt) => write!(formatter, "snapshot chunk: {corrupt}"),
            Self::Incomplete(what) => write!(formatter, "snapshot: {what}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<Corrupt> for RestoreError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}
