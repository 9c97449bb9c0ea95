//! What a release can read: its feature level, and the sections of a snapshot that are judged by it.
//!
//! A snapshot is a run of sections: those of its first chunk ([`crate::replica`]), and each chunk of its keyspace. A
//! section begins with its kind and the feature level that its layout came with. So whoever does not know it can tell
//! whether it may be skipped, and else which release would know it.

use std::fmt;

use crate::packed::{Corrupt, corrupt};

/// The highest feature level that this release reads, and what it writes: raised with each op, message or section that
/// the release before does not know. Nodes of different levels do not talk.
pub const FEATURE_LEVEL: u64 = 11;

/// The feature level that a release must have to read the snapshots of this one: raised with each section that must not
/// be skipped. Sections of all kinds of this release came, as they are, with this level.
pub const SNAPSHOT_LEVEL: u64 = 11;

/// Version of the layout in front of each chunk's sections.
pub(crate) const VERSION: u8 = 4;

/// Kinds from here on are skipped by a release that does not know them. The state is the same without what they hold.
pub const FIRST_SKIPPABLE: u8 = 0x80;

const _: () = assert!(SNAPSHOT_LEVEL <= FEATURE_LEVEL, "a release reads what it writes");
const _: () = assert!(SNAPSHOT_LEVEL < 0x80, "the level of a section is one byte here");

/// A section that this release does not know and must not skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSection {
    /// Its kind.
    pub kind: u8,
    /// The feature level that it came with.
    pub level: u64,
}

impl fmt::Display for UnknownSection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, level } = self;
        write!(
            formatter,
            "it has a section of kind {kind}, which needs feature level {level}, and this release has \
             {FEATURE_LEVEL}: use the release that wrote it or a later one"
        )
    }
}

impl std::error::Error for UnknownSection {}

/// What becomes of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is read.
    Read,
    /// It is passed over.
    Skip,
    /// Nothing of the snapshot can be used.
    Refuse(UnknownSection),
}

/// Judges a section by what stands in front of it; its kind is one of this release, or not.
///
/// # Errors
/// A section of this level or below would be known.
pub(crate) fn judge(kind: u8, level: u64, is_known: bool) -> Result<Verdict, Corrupt> {
    match is_known && level <= FEATURE_LEVEL {
        true => Ok(Verdict::Read),
        false if kind >= FIRST_SKIPPABLE => Ok(Verdict::Skip),
        false if level <= FEATURE_LEVEL => corrupt("the kind of a section"),
        false => Ok(Verdict::Refuse(UnknownSection { kind, level })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_skipped_or_refused_with_the_level_that_it_needs() {
        let later = FEATURE_LEVEL + 1;
        assert_eq!(judge(1, SNAPSHOT_LEVEL, true), Ok(Verdict::Read));
        let refused = |kind| Ok(Verdict::Refuse(UnknownSection { kind, level: later }));
        // A known kind whose layout has grown is as unknown as another kind.
        assert_eq!(judge(1, later, true), refused(1));
        assert_eq!(judge(99, later, false), refused(99));
        assert!(judge(99, FEATURE_LEVEL, false).is_err());
        for level in [1, FEATURE_LEVEL, later] {
            assert_eq!(judge(FIRST_SKIPPABLE, level, false), Ok(Verdict::Skip));
        }
        let text = UnknownSection {
            kind: 99,
            level: later,
        }
        .to_string();
        assert!(text.contains(&format!("feature level {later}")), "{text}");
    }
}
