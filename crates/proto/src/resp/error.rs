//! What may be wrong with bytes on the wire.
//!
//! Both kinds of error end the conversation: after one, the position in the stream is unknown.

use std::fmt;

/// Why a request cannot be decoded. The text is the one Redis answers with before it hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// `*` is followed by something that is not a number, or by more arguments than allowed.
    InvalidMultibulkLength,
    /// `$` is followed by something that is not a number, or by a size that is negative or too large.
    InvalidBulkLength,
    /// An argument does not start with `$` but with this byte.
    ExpectedDollar(u8),
    /// An argument is not followed by CRLF: its size was wrong.
    ExpectedTerminator,
    /// An inline request without an end of line inside the limit.
    TooBigInline,
    /// Quotes of an inline request do not match.
    UnbalancedQuotes,
    /// The line that starts with `*` has no end inside the limit.
    TooBigMultibulkCount,
    /// The line that starts with `$` has no end inside the limit.
    TooBigBulkCount,
    /// Too many arguments for a connection that has not authenticated.
    UnauthenticatedMultibulkLength,
    /// Too large an argument for a connection that has not authenticated.
    UnauthenticatedBulkLength,
    /// The whole request exceeds its limit.
    TooBigRequest,
    /// A line of an HTTP request: a browser that was tricked into talking to this port.
    CrossProtocol,
    /// The first bytes of TLS, on a port that speaks plain text.
    Tls,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::ExpectedDollar(byte) => {
                let shown = if matches!(byte, b'\r' | b'\n') {
                    ' '
                } else {
                    char::from(byte)
                };
                return write!(f, "Protocol error: expected '$', got '{shown}'");
            }
            ProtocolError::ExpectedTerminator => "expected CRLF after bulk",
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooBigMultibulkCount => "too big mbulk count string",
            ProtocolError::TooBigBulkCount => "too big bulk count string",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::TooBigRequest => "too big request",
            ProtocolError::CrossProtocol => "this is not an HTTP server",
            ProtocolError::Tls => "this port speaks plain text, not TLS",
        };
        write!(f, "Protocol error: {text}")
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// The error reply, for [`crate::reply::ReplyWriter::error`]: `ERR Protocol error: …`.
    pub fn wire(&self) -> String {
        format!("ERR {self}")
    }
}

/// Why a reply cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// An element starts with a byte that is no RESP type.
    UnknownType(u8),
    /// A number, boolean or double is malformed.
    InvalidNumber,
    /// A size or count is malformed or exceeds its limit.
    InvalidLength,
    /// A line has no end inside the limit.
    TooLongLine,
    /// A string is not followed by CRLF.
    ExpectedTerminator,
    /// Aggregates are nested deeper than [`crate::resp::REPLY_DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::UnknownType(byte) => write!(f, "unknown RESP type {:?}", char::from(*byte)),
            ReplyError::InvalidNumber => f.write_str("malformed number in a reply"),
            ReplyError::InvalidLength => f.write_str("malformed or too large length in a reply"),
            ReplyError::TooLongLine => f.write_str("a line of a reply is too long"),
            ReplyError::ExpectedTerminator => f.write_str("a string of a reply does not end in CRLF"),
            ReplyError::TooDeep => f.write_str("a reply is nested too deeply"),
        }
    }
}

impl std::error::Error for ReplyError {}
