//! Incremental decoder of requests: RESP arrays of bulk strings, and inline commands.
//!
//! It sees the unconsumed bytes of a connection again whenever more have arrived, and remembers how far
//! it came, so that a request that trickles in byte by byte costs linear time. It holds no bytes.
//!
//! Invariants: arguments are ranges into the buffer of the call that completed the request; memory
//! grows only with bytes received, never with a claimed count or size.

use super::args::{Args, KEPT_ARGUMENTS_MAX, Span};
use super::error::ProtocolError;
use super::inline;

/// Digits of a length that the fast path reads; no limit needs more.
const FAST_DIGITS_MAX: usize = 10;
/// `bulk_bytes` while the next line to read is a `$` line.
const NO_BULK: usize = usize::MAX;
/// No argument takes fewer bytes.
const SHORTEST_ARGUMENT: &[u8] = b"$0\r\n\r\n";
/// Arguments of a request on a connection that has not authenticated, as in Redis.
const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// Bytes of an argument on a connection that has not authenticated, as in Redis.
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16_384;

/// What an argument counts beside its bytes against the limit of the whole request, which otherwise would be
/// no bound for requests with millions of tiny arguments: neither for their memory (where each is, what it
/// is typed as, its place in what is replicated) nor for the time that passing over all of them takes, which
/// no slice cuts: 60 ms for the four million that fit into 1 GiB.
pub const ARGUMENT_OVERHEAD_BYTES: usize = 256;

/// What a peer may send. Defaults are those of Redis; it bounds a request by its query buffer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a line: an inline request, or a `*` or `$` line.
    pub line_bytes_max: usize,
    /// Arguments of a request.
    pub arguments_max: usize,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Bytes of a whole request as encoded, with [`ARGUMENT_OVERHEAD_BYTES`] for each argument
    /// (`client-query-buffer-limit`). Values above 4 GiB - 1 act as that, because ranges have 32 bits.
    pub request_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_bytes_max: 64 << 10,
            arguments_max: i32::MAX as usize,
            bulk_bytes_max: 512 << 20,
            request_bytes_max: 1 << 30,
        }
    }
}

/// Where a request goes on. All positions count from the first byte of the request.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// First byte not decoded yet.
    position: usize,
    /// No end of line exists between `position` and here.
    scanned: usize,
    /// Arguments still to come; 0 before the `*` line is complete.
    arguments_left: usize,
    /// Size of the argument that starts at `position`, or [`NO_BULK`].
    bulk_bytes: usize,
}

const START: Progress = Progress {
    position: 0,
    scanned: 0,
    arguments_left: 0,
    bulk_bytes: NO_BULK,
};

/// A length line at some position of the buffer.
enum Line {
    /// Its number, and where the next line starts.
    Complete(i64, usize),
    /// No end of line yet.
    Incomplete,
    /// Something that is not a number.
    Malformed,
    /// No end of line inside the limit.
    TooLong,
}

/// Decoder of one connection's requests.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: Limits,
    authenticated: bool,
    progress: Progress,
    /// Arguments decoded so far of an incomplete request.
    partial: Vec<Span>,
    bytes_missing: usize,
}

impl Default for RequestDecoder {
    fn default() -> Self {
        RequestDecoder::new(Limits::default())
    }
}

impl RequestDecoder {
    /// A decoder at the start of a stream, for a connection that counts as authenticated.
    pub fn new(limits: Limits) -> Self {
        let request_bytes_max = limits.request_bytes_max.min(u32::MAX as usize);
        RequestDecoder {
            limits: Limits {
                request_bytes_max,
                ..limits
            },
            authenticated: true,
            progress: START,
            partial: Vec::new(),
            bytes_missing: 0,
        }
    }

    /// Says whether the connection has authenticated, or need not: until then requests must be small.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Changes the limits; they hold from the next argument on.
    pub fn set_limits(&mut self, limits: Limits) {
        let request_bytes_max = limits.request_bytes_max.min(u32::MAX as usize);
        self.limits = Limits {
            request_bytes_max,
            ..limits
        };
    }

    /// Forgets how far it came into an incomplete request: the next buffer starts with another one. For a
    /// caller that decoded ahead and then has to go back.
    pub fn restart(&mut self) {
        self.progress = START;
        self.partial.clear();
        self.partial.shrink_to(KEPT_ARGUMENTS_MAX);
        self.bytes_missing = 0;
    }

    /// True unless the connection must authenticate first.
    #[inline]
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// After `Ok(None)`: how many bytes at least are missing. Large while a large argument arrives, so
    /// that the connection may grow its buffer in few steps; it should still cap each step, since the
    /// number is the peer's claim.
    pub fn bytes_missing(&self) -> usize {
        self.bytes_missing
    }

    /// Memory that it holds for an incomplete request, the request's own bytes not among it.
    pub fn heap_bytes(&self) -> usize {
        self.partial.capacity() * size_of::<Span>()
    }

    /// Decodes the request at the start of `buffer`.
    ///
    /// Returns the bytes it took, or `None` if it is incomplete. Then call again with a buffer that
    /// starts with the same bytes and has more. A request without arguments (blank line, `*0`) is
    /// consumed with `args` empty: skip it, it gets no reply.
    ///
    /// # Errors
    /// After an error the stream cannot be continued: answer [`ProtocolError::wire`] and hang up.
    #[inline]
    pub fn decode(&mut self, buffer: &[u8], args: &mut Args) -> Result<Option<usize>, ProtocolError> {
        args.clear();
        if self.is_at_start()
            && let Some(taken) = self.decode_whole(buffer, args)
        {
            // A cut inside of the first line has left a mark that is not the next request's.
            self.progress.scanned = 0;
            return Ok(Some(taken));
        }
        self.decode_general(buffer, args)
    }

    #[inline]
    fn is_at_start(&self) -> bool {
        self.progress.position == 0 && self.authenticated
    }

    /// The hot path: a complete and valid array of bulk strings, in about 40 instructions per argument.
    /// Returns `None` for whatever else, which [`RequestDecoder::decode_general`] then decodes again.
    #[inline]
    fn decode_whole(&self, buffer: &[u8], args: &mut Args) -> Option<usize> {
        // Whatever ends inside of this window also keeps the limit of the whole request.
        let buffer = &buffer[..buffer.len().min(self.limits.request_bytes_max)];
        let (count, mut bytes, mut start) = whole_opening(buffer)?;
        if count > self.limits.arguments_max {
            return None;
        }
        let mut arguments_left = count;
        loop {
            if bytes > self.limits.bulk_bytes_max {
                return None;
            }
            let end = start + bytes;
            if buffer.get(end..end + 2)? != b"\r\n" {
                return None;
            }
            args.push(start, end);
            arguments_left -= 1;
            if arguments_left == 0 {
                let fits = end + 2 + count * ARGUMENT_OVERHEAD_BYTES <= self.limits.request_bytes_max;
                return fits.then_some(end + 2);
            }
            (bytes, start) = whole_length(buffer, end + 2, b'$')?;
        }
    }

    /// Everything that [`RequestDecoder::decode_whole`] leaves: incomplete, inline, unusual or wrong.
    #[inline(never)]
    fn decode_general(&mut self, buffer: &[u8], args: &mut Args) -> Result<Option<usize>, ProtocolError> {
        args.clear();
        if self.progress.position == 0 && buffer.first() != Some(&b'*') {
            return self.decode_inline(buffer, args);
        }
        if !self.partial.is_empty() {
            std::mem::swap(&mut args.spans, &mut self.partial);
        }
        let mut progress = self.progress;
        if progress.position == 0 {
            match length_line(buffer, 1, progress.scanned, self.limits.line_bytes_max) {
                Line::Complete(count, next) => {
                    if count <= 0 {
                        self.progress = START;
                        return Ok(Some(next));
                    }
                    progress.arguments_left = self.check_count(count)?;
                    progress.position = next;
                }
                Line::Incomplete => return self.suspend(progress, buffer.len(), 1, args),
                Line::Malformed => return Err(ProtocolError::InvalidMultibulkLength),
                Line::TooLong => return Err(ProtocolError::TooBigMultibulkCount),
            }
        }
        while progress.arguments_left > 0 {
            if progress.bulk_bytes == NO_BULK {
                match buffer.get(progress.position) {
                    Some(b'$') => {}
                    Some(&other) => return Err(ProtocolError::ExpectedDollar(other)),
                    None => return self.suspend(progress, buffer.len(), 1, args),
                }
                let start = progress.position + 1;
                match length_line(buffer, start, progress.scanned, self.limits.line_bytes_max) {
                    Line::Complete(bytes, next) => {
                        let arguments = args.len() + progress.arguments_left;
                        progress.bulk_bytes = self.check_bulk(bytes, next, arguments)?;
                        progress.position = next;
                    }
                    Line::Incomplete => return self.suspend(progress, buffer.len(), 1, args),
                    Line::Malformed => return Err(ProtocolError::InvalidBulkLength),
                    Line::TooLong => return Err(ProtocolError::TooBigBulkCount),
                }
            }
            let end = progress.position + progress.bulk_bytes;
            let Some(terminator) = buffer.get(end..end + 2) else {
                let missing = end + 2 - buffer.len();
                return self.suspend(progress, buffer.len(), missing, args);
            };
            if terminator != b"\r\n" {
                return Err(ProtocolError::ExpectedTerminator);
            }
            args.push(progress.position, end);
            progress.position = end + 2;
            progress.bulk_bytes = NO_BULK;
            progress.arguments_left -= 1;
        }
        self.progress = START;
        self.partial.shrink_to(KEPT_ARGUMENTS_MAX);
        Ok(Some(progress.position))
    }

    #[cold]
    fn suspend(
        &mut self,
        progress: Progress,
        scanned: usize,
        missing: usize,
        args: &mut Args,
    ) -> Result<Option<usize>, ProtocolError> {
        self.progress = Progress { scanned, ..progress };
        self.bytes_missing = missing;
        std::mem::swap(&mut args.spans, &mut self.partial);
        args.clear();
        Ok(None)
    }

    #[inline]
    fn check_count(&self, count: i64) -> Result<usize, ProtocolError> {
        let count = count as usize;
        if count > self.limits.arguments_max {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if !self.authenticated && count > UNAUTHENTICATED_ARGUMENTS_MAX {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        // Said at once, and not when a gigabyte has been sent.
        if count.saturating_mul(ARGUMENT_OVERHEAD_BYTES + SHORTEST_ARGUMENT.len())
            > self.limits.request_bytes_max
        {
            return Err(ProtocolError::TooBigRequest);
        }
        Ok(count)
    }

    #[inline]
    fn check_bulk(&self, bytes: i64, start: usize, arguments: usize) -> Result<usize, ProtocolError> {
        let bytes = usize::try_from(bytes).map_err(|_| ProtocolError::InvalidBulkLength)?;
        if bytes > self.limits.bulk_bytes_max {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if !self.authenticated && bytes > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        let end = start.saturating_add(bytes).saturating_add(2);
        if end.saturating_add(arguments * ARGUMENT_OVERHEAD_BYTES) > self.limits.request_bytes_max {
            return Err(ProtocolError::TooBigRequest);
        }
        Ok(bytes)
    }

    fn decode_inline(&mut self, buffer: &[u8], args: &mut Args) -> Result<Option<usize>, ProtocolError> {
        // Whoever speaks TLS waits for an answer: this is no line that may end later.
        if buffer.starts_with(&TLS_HANDSHAKE) {
            return Err(ProtocolError::Tls);
        }
        let limit = self.limits.line_bytes_max;
        let window = &buffer[..buffer.len().min(limit + 1)];
        let Some(found) = memchr::memchr(b'\n', &window[self.progress.scanned.min(window.len())..]) else {
            if buffer.len() > limit {
                return Err(ProtocolError::TooBigInline);
            }
            return self.suspend(START, buffer.len(), 1, args);
        };
        let end = self.progress.scanned + found;
        self.progress = START;
        let line = &buffer[..end];
        inline::split(line.strip_suffix(b"\r").unwrap_or(line), args)?;
        if let Some(name) = args.view(buffer).try_get(0)
            && (name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:"))
        {
            return Err(ProtocolError::CrossProtocol);
        }
        Ok(Some(end + 1))
    }
}

/// How a connection over TLS begins: a handshake record, of a version that begins with 3 (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// Reads the `*` line and the first `$` line, if both are there and plain: the count (not 0), the first
/// argument's size, and where it starts.
#[inline(always)]
fn whole_opening(buffer: &[u8]) -> Option<(usize, usize, usize)> {
    const SHAPE: u64 = u64::from_le_bytes(*b"*\0\r\n$\0\r\n");
    const DIGITS: u64 = u64::from_le_bytes(*b"\0\xff\0\0\0\xff\0\0");
    // One comparison for two lines of one digit each, which is how nearly every request starts.
    let word = u64::from_le_bytes(*buffer.first_chunk()?);
    let count = (word >> 8 & 0xff).wrapping_sub(u64::from(b'0'));
    let bytes = (word >> 40 & 0xff).wrapping_sub(u64::from(b'0'));
    if word & !DIGITS == SHAPE && (1..=9).contains(&count) && bytes <= 9 {
        return Some((count as usize, bytes as usize, 8));
    }
    let (count, position) = whole_length(buffer, 0, b'*')?;
    let (bytes, start) = whole_length(buffer, position, b'$')?;
    (count > 0).then_some((count, bytes, start))
}

/// Reads a length line that starts with `mark` at `position`, if all of it is there and it is plain:
/// its number, and where the next line starts.
#[inline(always)]
fn whole_length(buffer: &[u8], position: usize, mark: u8) -> Option<(usize, usize)> {
    const CRLF: u32 = u16::from_le_bytes(*b"\r\n") as u32;
    // One comparison for the mark and the line end around a single digit, which most lengths have.
    let word = u32::from_le_bytes(*buffer.get(position..)?.first_chunk()?);
    let digit = (word >> 8 & 0xff).wrapping_sub(u32::from(b'0'));
    if word & 0xffff_00ff == CRLF << 16 | u32::from(mark) && digit <= 9 {
        return Some((digit as usize, position + 4));
    }
    if word & 0xff != u32::from(mark) {
        return None;
    }
    let second = (word >> 16 & 0xff).wrapping_sub(u32::from(b'0'));
    let is_two = word >> 24 == u32::from(b'\r') && second <= 9 && (1..=9).contains(&digit);
    if is_two && buffer.get(position + 4) == Some(&b'\n') {
        return Some(((digit * 10 + second) as usize, position + 5));
    }
    whole_length_of_many_digits(buffer, position + 1)
}

#[inline(never)]
fn whole_length_of_many_digits(buffer: &[u8], start: usize) -> Option<(usize, usize)> {
    let digits = &buffer[start..buffer.len().min(start + FAST_DIGITS_MAX + 2)];
    let mut value = 0;
    for (index, &byte) in digits.iter().enumerate() {
        let digit = usize::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            let is_plain = index > 0 && digits[0] != b'0' && digits[index..].starts_with(b"\r\n");
            return is_plain.then_some((value, start + index + 2));
        }
        value = value * 10 + digit;
    }
    None
}

/// Reads the number between `start` and the next CRLF. `scanned` is how far earlier calls looked.
fn length_line(buffer: &[u8], start: usize, scanned: usize, line_bytes_max: usize) -> Line {
    let from = start.max(scanned.saturating_sub(1)).min(buffer.len());
    let Some(found) = memchr::memchr(b'\r', &buffer[from..]) else {
        let line_bytes = buffer.len().saturating_sub(start);
        return if line_bytes > line_bytes_max {
            Line::TooLong
        } else {
            Line::Incomplete
        };
    };
    let end = from + found;
    if end - start > line_bytes_max {
        return Line::TooLong;
    }
    match buffer.get(end + 1) {
        None => Line::Incomplete,
        Some(b'\n') => {
            parse_length(&buffer[start..end]).map_or(Line::Malformed, |n| Line::Complete(n, end + 2))
        }
        Some(_) => Line::Malformed,
    }
}

/// A decimal integer in the one form Redis accepts: no plus sign, no leading zeros, no `-0`.
pub(super) fn parse_length(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let canonical = match digits {
        [b'0'] => !negative,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical || digits.len() > 19 {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
