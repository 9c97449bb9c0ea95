//! Why a request is not a command: the error that its client gets. Nothing was proposed.

use std::borrow::Cow;
use std::fmt;

/// The error line for the client, from its code word on, without the dash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl CommandError {
    /// From a fixed sentence, the code word included.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// From a sentence that quotes what the client sent, which need not be UTF-8.
    pub(crate) fn composed(text: Vec<u8>) -> Self {
        Self(Cow::Owned(text))
    }

    /// What [`repligo_proto::reply::ReplyWriter::error_bytes`] takes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for CommandError {}
