//! The words of ACL SETUSER, one rule each.

use repligo_proto::words::{acl as words, level};

use super::PasswordHash;

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// No such rule.
    Syntax,
    /// It names no command and no category.
    Unknown,
    /// It narrows a subcommand further.
    ArgumentOfSubcommand,
    /// A pattern of keys behind all keys.
    AfterAllKeys,
    /// A pattern of channels behind all channels.
    AfterAllChannels,
    /// A password to be removed that the user does not have.
    NoSuchPassword,
    /// Not 64 hexadecimal digits.
    NotAHash,
    /// No level of reads has this name.
    UnknownReadLevel,
    /// This release does not have this level of reads.
    ReadLevelNotBuilt,
    /// What follows `bounded:` is no bound.
    NoBound,
    /// No level of writes has this name.
    UnknownWriteLevel,
    /// This release does not have this level of writes.
    WriteLevelNotBuilt,
    /// Connections would start at a level that is weaker than the floor.
    BelowFloor,
}

impl RuleError {
    /// The sentence of Redis, where it has such a rule.
    pub fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::ArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have \
                 any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Self::NotAHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::UnknownReadLevel => level::UNKNOWN_READ_LEVEL,
            Self::ReadLevelNotBuilt => level::READ_LEVEL_NOT_BUILT,
            Self::NoBound => level::NO_BOUND,
            Self::UnknownWriteLevel => level::UNKNOWN_WRITE_LEVEL,
            Self::WriteLevelNotBuilt => level::WRITE_LEVEL_NOT_BUILT,
            Self::BelowFloor => {
                "Connections would start to read at a weaker level than the floor: raise read= first, or lower \
                 read-floor= first"
            }
        }
    }

    /// True if the same rule may be right for another state of the user: only the log can tell.
    pub fn depends_on_state(self) -> bool {
        matches!(
            self,
            Self::AfterAllKeys | Self::AfterAllChannels | Self::NoSuchPassword | Self::BelowFloor
        )
    }
}

/// The hash that 64 lower-case hexadecimal digits say.
pub(super) fn hash_of(text: &[u8]) -> Result<PasswordHash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RuleError::NotAHash),
    };
    let mut hash = PasswordHash::default();
    if text.len() != 2 * hash.len() {
        return Err(RuleError::NotAHash);
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(hash)
}

/// The hash as 64 digits, as the rules have it.
pub fn digits_of(hash: &PasswordHash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let both = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
    hash.iter().flat_map(both).collect()
}

/// Joins the words of each selector, from the one that begins with a parenthesis to the one that ends with its
/// partner, as ACL SETUSER takes them.
///
/// # Errors
/// The error text, if one has no end.
pub fn merge_selectors<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut merged = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for word in words {
        let rule = match open.take() {
            Some(mut selector) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                selector
            }
            None => word.to_vec(),
        };
        if rule.first() == Some(&b'(') && rule.last() != Some(&b')') {
            open = Some(rule);
        } else {
            merged.push(rule);
        }
    }
    match open {
        Some(start) => Err(words::open_selector(&start)),
        None => Ok(merged),
    }
}
