//! The channels that a command names.

use super::spec::KeySpec;

/// The channels that a command publishes or subscribes to, which its user must be allowed to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelUse {
    /// Where they are among the arguments.
    pub positions: KeySpec,
    /// They are patterns of channels.
    pub are_patterns: bool,
}

impl ChannelUse {
    /// No channels.
    pub const NONE: ChannelUse = ChannelUse {
        positions: KeySpec::NONE,
        are_patterns: false,
    };
}
