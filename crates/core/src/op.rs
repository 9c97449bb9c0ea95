//! Ops: what the log holds.

/// A MULTI … EXEC block.
#[derive(Clone, Debug, Default)]
pub struct Transaction<'a> {
    /// Keeps the lifetime until the items are here.
    pub bytes: &'a [u8],
}
