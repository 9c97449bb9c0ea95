//! Requests and replies of one connection under load, for each protocol that is measured. Every reply is
//! checked: a fast wrong answer is no answer.
//!
//! Keys are 16 bytes (`key:000000000007`, as `redis-benchmark -r` writes them), values are derived from the
//! key, so that a reply shows whether it belongs to the question.

use std::collections::VecDeque;

use super::collections::{self, Request};
use super::grpc::Stream;

/// What is asked, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET of the Redis protocol.
    Get,
    /// GET after READONLY: what a follower may answer from its own state.
    GetReadonly,
    /// SET.
    Set,
    /// SET with an expiry in seconds.
    SetExpiring(u32),
    /// SET, then WAIT for one replica; both are one operation.
    SetWait,
    /// `get` of memcached's text protocol.
    MemcachedGet,
    /// `set` of memcached's text protocol, with an expiry in seconds (0: none).
    MemcachedSet(u32),
    /// Put of etcd's gRPC protocol.
    EtcdPut,
    /// About a collection; the number is that of an element.
    Collection(Request),
}

/// A key of the load.
pub fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// The value that the load writes to a key.
///
/// # Panics
/// If it is to be shorter than 16 bytes: it would not tell its key.
pub fn value(number: u64, bytes: usize) -> String {
    assert!(bytes >= 16, "a value of {bytes} bytes does not tell its key");
    let mut text = format!("v:{number:012}:");
    text.extend(std::iter::repeat_n('x', bytes - text.len()));
    text
}

/// What `redis-benchmark -t set` writes to every key: 7.0 fills it from a generator with a fixed seed.
pub fn redis_benchmark_value(bytes: usize) -> Vec<u8> {
    let mut state: u32 = 1234;
    let next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        b'0' + (state >> 16 & 63) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// True for what a key may hold: our value, or that of `redis-benchmark`.
pub fn is_right_value(number: u64, found: &[u8], bytes: usize) -> bool {
    found == value(number, bytes).as_bytes() || found == redis_benchmark_value(bytes)
}

/// One connection's state.
#[derive(Debug)]
pub struct Codec {
    kind: Kind,
    value_bytes: usize,
    waiting: VecDeque<u64>,
    stream: Stream,
}

impl Codec {
    /// A connection that has sent nothing.
    pub fn new(kind: Kind, value_bytes: usize) -> Self {
        Self {
            kind,
            value_bytes,
            waiting: VecDeque::new(),
            stream: Stream::default(),
        }
    }

    /// What is sent first, and how many bytes of answer that has.
    pub fn greeting(&self) -> (&'static [u8], usize) {
        match self.kind {
            Kind::GetReadonly => (b"*1\r\n$8\r\nREADONLY\r\n", b"+OK\r\n".len()),
            Kind::EtcdPut => (Stream::PREFACE, 0),
            _ => (b"", 0),
        }
    }

    /// Appends one request.
    pub fn encode(&mut self, number: u64, out: &mut Vec<u8>) {
        self.waiting.push_back(number);
        if let Kind::Collection(request) = self.kind {
            return collections::encode(request, number, self.value_bytes, out);
        }
        let key = key(number);
        match self.kind {
            Kind::Collection(_) => unreachable!("encoded above"),
            Kind::Get | Kind::GetReadonly => words(out, &["GET", &key]),
            Kind::Set => words(out, &["SET", &key, &value(number, self.value_bytes)]),
            Kind::SetExpiring(seconds) => {
                let value = value(number, self.value_bytes);
                words(out, &["SET", &key, &value, "EX", &seconds.to_string()]);
            }
            Kind::SetWait => {
                words(out, &["SET", &key, &value(number, self.value_bytes)]);
                words(out, &["WAIT", "1", "5000"]);
            }
            Kind::MemcachedGet => out.extend(format!("get {key}\r\n").into_bytes()),
            Kind::MemcachedSet(expiry) => {
                let value = value(number, self.value_bytes);
                out.extend(format!("set {key} 0 {expiry} {}\r\n{value}\r\n", value.len()).into_bytes());
            }
            Kind::EtcdPut => self
                .stream
                .put(key.as_bytes(), value(number, self.value_bytes).as_bytes(), out),
        }
    }

    /// Bytes of the next whole reply; `None` if it is not all there.
    ///
    /// # Errors
    /// It is an error, or the answer to another question.
    pub fn decode(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        let bytes = self.value_bytes;
        let number = *self.waiting.front().ok_or("a reply that nobody asked for")?;
        let found = match self.kind {
            Kind::Get | Kind::GetReadonly => bulk(input, number, bytes)?,
            Kind::Set | Kind::SetExpiring(_) => exactly(input, b"+OK\r\n")?,
            Kind::SetWait => match exactly(input, b"+OK\r\n")? {
                Some(first) => waited(&input[first..])?.map(|second| first + second),
                None => None,
            },
            Kind::MemcachedGet => memcached_value(input, number, bytes)?,
            Kind::MemcachedSet(_) => exactly(input, b"STORED\r\n")?,
            Kind::EtcdPut => self.stream.decode(input)?,
            Kind::Collection(request) => collections::decode(request, number, bytes, input)?,
        };
        if found.is_some() {
            self.waiting.pop_front();
        }
        Ok(found)
    }
}

pub(super) fn words(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn unexpected(input: &[u8]) -> String {
    let start = &input[..input.len().min(80)];
    format!("unexpected reply {:?}", String::from_utf8_lossy(start))
}

pub(super) fn exactly(input: &[u8], expected: &[u8]) -> Result<Option<usize>, String> {
    if input.starts_with(expected) {
        Ok(Some(expected.len()))
    } else if expected.starts_with(input) {
        Ok(None)
    } else {
        Err(unexpected(input))
    }
}

/// The rest after a line of this start, when the line is there.
pub(super) fn line<'a>(input: &'a [u8], start: &[u8]) -> Result<Option<(&'a [u8], usize)>, String> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    match input[..end].strip_prefix(start) {
        Some(rest) => Ok(Some((rest, end + 2))),
        None => Err(unexpected(input)),
    }
}

fn waited(input: &[u8]) -> Result<Option<usize>, String> {
    let Some((count, length)) = line(input, b":")? else {
        return Ok(None);
    };
    match count {
        b"1" | b"2" => Ok(Some(length)),
        _ => Err("WAIT did not reach a replica within 5 s".to_owned()),
    }
}

fn body(input: &[u8], start: usize, number: u64, bytes: usize) -> Result<Option<usize>, String> {
    let end = start + bytes + 2;
    if input.len() < end {
        return Ok(None);
    }
    if is_right_value(number, &input[start..start + bytes], bytes) && &input[end - 2..end] == b"\r\n" {
        Ok(Some(end))
    } else {
        Err(format!("{} has the value of another key", key(number)))
    }
}

fn bulk(input: &[u8], number: u64, bytes: usize) -> Result<Option<usize>, String> {
    let Some((length, start)) = line(input, b"$")? else {
        return Ok(None);
    };
    if length != bytes.to_string().as_bytes() {
        return Err(format!("{}: {}", key(number), unexpected(input)));
    }
    body(input, start, number, bytes)
}

fn memcached_value(input: &[u8], number: u64, bytes: usize) -> Result<Option<usize>, String> {
    let expected = format!("VALUE {} 0 {bytes}\r\n", key(number));
    let Some(start) = exactly(&input[..input.len().min(expected.len())], expected.as_bytes())? else {
        return Ok(None);
    };
    match body(input, start, number, bytes)? {
        Some(end) => Ok(exactly(&input[end..], b"END\r\n")?.map(|last| end + last)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, reply: &[u8], expect: Result<Option<usize>, ()>) {
        let mut codec = Codec::new(kind, 16);
        codec.encode(7, &mut Vec::new());
        let found = codec.decode(reply).map_err(|_| ());
        assert_eq!(found, expect, "{kind:?} {:?}", String::from_utf8_lossy(reply));
    }

    #[test]
    fn right_replies_are_taken_whole_and_wrong_ones_refused() {
        check(Kind::Get, b"$16\r\nv:000000000007:x\r\n+", Ok(Some(23)));
        let theirs = [b"$16\r\n", &redis_benchmark_value(16)[..], b"\r\n"].concat();
        check(Kind::Get, &theirs, Ok(Some(23)));
        check(Kind::Get, b"$16\r\nxxxxxxxxxxxxxxxx\r\n", Err(()));
        check(Kind::Get, b"$16\r\nv:0000", Ok(None));
        check(Kind::Get, b"$16\r\nv:000000000008:x\r\n", Err(()));
        check(Kind::Get, b"$-1\r\n", Err(()));
        check(Kind::Get, b"-NOLEADER none\r\n", Err(()));
        check(Kind::Set, b"+OK\r\n", Ok(Some(5)));
        check(Kind::Set, b"+O", Ok(None));
        check(Kind::Set, b"-ERR\r\n", Err(()));
        check(Kind::SetWait, b"+OK\r\n", Ok(None));
        check(Kind::SetWait, b"+OK\r\n:2\r\n", Ok(Some(9)));
        check(Kind::SetWait, b"+OK\r\n:0\r\n", Err(()));
        let right = b"VALUE key:000000000007 0 16\r\nv:000000000007:x\r\nEND\r\n";
        check(Kind::MemcachedGet, right, Ok(Some(right.len())));
        check(Kind::MemcachedGet, &right[..30], Ok(None));
        check(Kind::MemcachedGet, b"END\r\n", Err(()));
        check(Kind::MemcachedSet(0), b"STORED\r\n", Ok(Some(8)));
    }

    #[test]
    fn requests_are_what_the_protocols_say() {
        let encoded = |kind| {
            let mut out = Vec::new();
            Codec::new(kind, 16).encode(7, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(
            encoded(Kind::Get),
            "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n"
        );
        assert!(encoded(Kind::SetWait).ends_with("*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n"));
        assert_eq!(
            encoded(Kind::MemcachedSet(5)),
            "set key:000000000007 0 5 16\r\nv:000000000007:x\r\n"
        );
    }
}
