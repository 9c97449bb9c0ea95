//! Decoder of replies into a value tree: for the command line tools, the client and tests.
//!
//! Not for the server's hot path, which decodes requests without building anything. It reads RESP2 and
//! RESP3, keeps its own stack instead of recursing, and remembers its progress between calls.
//!
//! Invariants: nesting never exceeds [`REPLY_DEPTH_MAX`], so dropping a value cannot overflow the stack;
//! memory grows with bytes received, never with claimed counts.

use super::error::ReplyError;
use super::request::parse_length;

/// Deepest nesting of aggregates; Redis itself stays below ten.
pub const REPLY_DEPTH_MAX: usize = 64;
/// Bytes of one string, as `proto-max-bulk-len` has it by default.
const STRING_BYTES_MAX: i64 = 512 << 20;
/// Bytes of a line: simple strings, errors, numbers.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Elements of one aggregate.
const ELEMENTS_MAX: i64 = i32::MAX as i64;

/// One reply, or an element of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`.
    Simple(String),
    /// `-ERR …`, or `!` of RESP3, without the mark.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// `$…`.
    Bulk(Vec<u8>),
    /// `$-1` of RESP2, `_` of RESP3.
    Null,
    /// `*-1` of RESP2.
    NullArray,
    /// `*…`.
    Array(Vec<Value>),
    /// `,1.5`.
    Double(f64),
    /// `#t`, `#f`.
    Boolean(bool),
    /// `(123…`.
    BigNumber(String),
    /// `=…` with its three-letter format.
    Verbatim(String, Vec<u8>),
    /// `%…` in the order received.
    Map(Vec<(Value, Value)>),
    /// `~…` in the order received.
    Set(Vec<Value>),
    /// `>…`, which answers no request.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string of any kind.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => Some(bytes),
            Value::Simple(text) | Value::BigNumber(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text of a string of any kind, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The number of an integer reply.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(list) | Value::Set(list) | Value::Push(list) => Some(list),
            _ => None,
        }
    }

    /// The text of an error reply.
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Value::Error(text) => Some(text),
            _ => None,
        }
    }

    /// True for both kinds of null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullArray)
    }
}

/// Kinds of aggregates.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Set,
    Push,
    Map,
    /// Out-of-band data in front of an element; read and dropped.
    Attribute,
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Open {
    kind: Kind,
    elements_left: u64,
    elements: Vec<Value>,
}

/// What stands at a position.
enum Element {
    Whole(Value),
    Header(Kind, u64),
}

/// Incremental decoder of one stream of replies.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    position: usize,
    /// The element at `position` cannot be complete before the buffer has this many bytes.
    needed_bytes: usize,
    /// No end of line exists between `position` and here.
    scanned: usize,
    open: Vec<Open>,
}

impl ReplyDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        ReplyDecoder::default()
    }

    /// Decodes the reply at the start of `buffer` and says how many bytes it took, or `None` if it is
    /// incomplete: then call again with a buffer that starts with the same bytes and has more.
    ///
    /// # Errors
    /// After an error the stream cannot be continued.
    pub fn decode(&mut self, buffer: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
        loop {
            if buffer.len() < self.needed_bytes {
                return Ok(None);
            }
            let Some((element, next)) = self.element(buffer)? else {
                return Ok(None);
            };
            self.position = next;
            self.scanned = next;
            let whole = match element {
                Element::Whole(value) => Some(value),
                Element::Header(kind, count) => self.open(kind, count)?,
            };
            if let Some(value) = whole.and_then(|value| self.close(value)) {
                let taken = self.position;
                *self = ReplyDecoder::new();
                return Ok(Some((value, taken)));
            }
        }
    }

    /// Starts an aggregate; an empty one is whole at once.
    fn open(&mut self, kind: Kind, count: u64) -> Result<Option<Value>, ReplyError> {
        if self.open.len() >= REPLY_DEPTH_MAX {
            return Err(ReplyError::TooDeep);
        }
        let elements_left = match kind {
            Kind::Map | Kind::Attribute => count * 2,
            _ => count,
        };
        let open = Open {
            kind,
            elements_left,
            elements: Vec::new(),
        };
        if elements_left > 0 {
            self.open.push(open);
            return Ok(None);
        }
        Ok(open.finish())
    }

    /// Puts a whole value where it belongs; returns the reply if that completes it.
    fn close(&mut self, mut value: Value) -> Option<Value> {
        while let Some(top) = self.open.last_mut() {
            top.elements.push(value);
            top.elements_left -= 1;
            if top.elements_left > 0 {
                return None;
            }
            let done = self.open.pop().expect("there was a last one");
            value = done.finish()?;
        }
        Some(value)
    }

    /// The element at the current position and where the next one starts, or `None` if incomplete.
    fn element(&mut self, buffer: &[u8]) -> Result<Option<(Element, usize)>, ReplyError> {
        let Some(&mark) = buffer.get(self.position) else {
            return Ok(None);
        };
        if !b"+-:$*_,#(!=%~>|".contains(&mark) {
            return Err(ReplyError::UnknownType(mark));
        }
        let Some((line, next)) = self.line(buffer)? else {
            return Ok(None);
        };
        let header = |kind| aggregate(line, kind).map(|element| Some((element, next)));
        let value = match mark {
            b'+' => Value::Simple(text(line)),
            b'-' => Value::Error(text(line)),
            b'(' => Value::BigNumber(text(line)),
            b':' => Value::Integer(number(line)?),
            b',' => Value::Double(double(line)?),
            b'_' => Value::Null,
            b'#' => match line {
                b"t" => Value::Boolean(true),
                b"f" => Value::Boolean(false),
                _ => return Err(ReplyError::InvalidNumber),
            },
            b'$' | b'!' | b'=' => return self.string(buffer, mark, line, next),
            b'*' if line == b"-1" => Value::NullArray,
            b'*' => return header(Kind::Array),
            b'~' => return header(Kind::Set),
            b'>' => return header(Kind::Push),
            b'%' => return header(Kind::Map),
            _ => return header(Kind::Attribute),
        };
        Ok(Some((Element::Whole(value), next)))
    }

    fn line<'a>(&mut self, buffer: &'a [u8]) -> Result<Option<(&'a [u8], usize)>, ReplyError> {
        let start = self.position + 1;
        let from = self.scanned.max(start).min(buffer.len());
        let Some(found) = memchr::memchr(b'\n', &buffer[from..]) else {
            self.scanned = buffer.len();
            let too_long = buffer.len() - self.position > LINE_BYTES_MAX;
            return if too_long {
                Err(ReplyError::TooLongLine)
            } else {
                Ok(None)
            };
        };
        let end = from + found;
        let line = buffer[start..end]
            .strip_suffix(b"\r")
            .ok_or(ReplyError::ExpectedTerminator)?;
        Ok(Some((line, end + 1)))
    }

    fn string(
        &mut self,
        buffer: &[u8],
        mark: u8,
        line: &[u8],
        start: usize,
    ) -> Result<Option<(Element, usize)>, ReplyError> {
        if mark == b'$' && line == b"-1" {
            return Ok(Some((Element::Whole(Value::Null), start)));
        }
        let bytes = parse_length(line).filter(|bytes| (0..=STRING_BYTES_MAX).contains(bytes));
        let end = start + bytes.ok_or(ReplyError::InvalidLength)? as usize;
        let Some(terminator) = buffer.get(end..end + 2) else {
            self.needed_bytes = end + 2;
            return Ok(None);
        };
        if terminator != b"\r\n" {
            return Err(ReplyError::ExpectedTerminator);
        }
        let string = &buffer[start..end];
        let value = match mark {
            b'$' => Value::Bulk(string.to_vec()),
            b'!' => Value::Error(text(string)),
            _ => verbatim(string)?,
        };
        Ok(Some((Element::Whole(value), end + 2)))
    }
}

impl Open {
    /// The value of a complete aggregate; `None` for an attribute, which is dropped.
    fn finish(self) -> Option<Value> {
        Some(match self.kind {
            Kind::Array => Value::Array(self.elements),
            Kind::Set => Value::Set(self.elements),
            Kind::Push => Value::Push(self.elements),
            Kind::Attribute => return None,
            Kind::Map => {
                let mut pairs = Vec::with_capacity(self.elements.len() / 2);
                let mut elements = self.elements.into_iter();
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
        })
    }
}

/// Decodes one whole reply at the start of `buffer`; see [`ReplyDecoder::decode`].
///
/// # Errors
/// If the bytes are no reply.
pub fn decode_reply(buffer: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
    ReplyDecoder::new().decode(buffer)
}

/// Bytes of the reply at the start of `buffer`, without looking at its contents; `None` if it is incomplete
/// or none.
pub fn reply_length(buffer: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0usize, 1u64);
    while open > 0 {
        let rest = buffer.get(at..)?;
        let end = memchr::memchr(b'\n', rest)?;
        let (kind, line) = rest[..end].strip_suffix(b"\r")?.split_first()?;
        at += end + 1;
        open -= 1;
        let count = || u64::try_from(parse_length(line).unwrap_or(-1)).ok();
        match kind {
            b'$' | b'=' | b'!' => at += count().map_or(0, |bytes| bytes as usize + 2),
            b'*' | b'~' | b'>' => open += count().unwrap_or(0),
            b'%' => open += count().unwrap_or(0).checked_mul(2)?,
            _ => {}
        }
    }
    (at <= buffer.len()).then_some(at)
}

fn aggregate(line: &[u8], kind: Kind) -> Result<Element, ReplyError> {
    let count = parse_length(line).filter(|count| (0..=ELEMENTS_MAX).contains(count));
    Ok(Element::Header(
        kind,
        count.ok_or(ReplyError::InvalidLength)? as u64,
    ))
}

fn verbatim(string: &[u8]) -> Result<Value, ReplyError> {
    match string.split_at_checked(3) {
        Some((format, [b':', rest @ ..])) => Ok(Value::Verbatim(text(format), rest.to_vec())),
        _ => Err(ReplyError::InvalidLength),
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn number(line: &[u8]) -> Result<i64, ReplyError> {
    parse_length(line.strip_prefix(b"+").unwrap_or(line)).ok_or(ReplyError::InvalidNumber)
}

fn double(line: &[u8]) -> Result<f64, ReplyError> {
    let text = std::str::from_utf8(line).map_err(|_| ReplyError::InvalidNumber)?;
    text.parse().map_err(|_| ReplyError::InvalidNumber)
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
