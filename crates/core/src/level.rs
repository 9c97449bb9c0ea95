//! How fresh a read must be: the levels, and their names.

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadLevel {
    /// Real-time order per key.
    #[default]
    Linearizable,
    /// Some committed value of this replica, which only moves forward.
    Eventual,
}

/// Why a word is no level that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLevel {
    /// No level has this name.
    Unknown,
    /// A level of this name is designed, and this release does not have it.
    NotBuilt,
}

/// The part of a level's name in front of its argument, as in `bounded:200ms`.
fn kind_of(word: &[u8]) -> &[u8] {
    let end = word.iter().position(|byte| *byte == b':');
    &word[..end.unwrap_or(word.len())]
}

fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

impl ReadLevel {
    /// All levels with their names.
    const NAMES: [(&'static str, Self); 2] =
        [("linearizable", Self::Linearizable), ("eventual", Self::Eventual)];

    /// The level of this name, case-insensitive.
    ///
    /// # Errors
    /// There is none.
    pub fn named(word: &[u8]) -> Result<Self, NoLevel> {
        let known = Self::NAMES
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        match known {
            Some((_, level)) => Ok(*level),
            None if is_one_of(kind_of(word), &["bounded", "session", "origin"]) => Err(NoLevel::NotBuilt),
            None => Err(NoLevel::Unknown),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Eventual => "eventual",
        }
    }

    /// The weakest level that gives what both give.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Eventual, Self::Eventual) => Self::Eventual,
            _ => Self::Linearizable,
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

    #[test]
    fn levels_are_known_by_their_names() {
        for (name, level) in ReadLevel::NAMES {
            assert_eq!(
                (level.name(), ReadLevel::named(name.as_bytes())),
                (name, Ok(level))
            );
            assert_eq!(ReadLevel::named(name.to_uppercase().as_bytes()), Ok(level));
        }
        for word in ["bounded", "bounded:200ms", "Session", "origin"] {
            assert_eq!(
                ReadLevel::named(word.as_bytes()),
                Err(NoLevel::NotBuilt),
                "{word}"
            );
        }
        for word in ["", "eventual:1", "even", "quorum", ":bounded"] {
            assert_eq!(ReadLevel::named(word.as_bytes()), Err(NoLevel::Unknown), "{word}");
        }
        assert_eq!(judge_write_level(b"QUORUM"), Ok(()));
        assert_eq!(judge_write_level(b"async"), Err(NoLevel::NotBuilt));
        assert_eq!(judge_write_level(b"all"), Err(NoLevel::NotBuilt));
        assert_eq!(judge_write_level(b"eventual"), Err(NoLevel::Unknown));
    }

    #[test]
    fn two_levels_together_are_no_weaker_than_either() {
        use ReadLevel::{Eventual, Linearizable};
        assert_eq!(Eventual.and(Eventual), Eventual);
        for (one, other) in [
            (Eventual, Linearizable),
            (Linearizable, Eventual),
            (Linearizable, Linearizable),
        ] {
            assert_eq!(one.and(other), Linearizable);
        }
    }
}
