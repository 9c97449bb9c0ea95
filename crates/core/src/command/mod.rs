//! Typed data commands: parsed from requests, encoded into ops.

/// One data command.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// GET.
    Get {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
    },
}
