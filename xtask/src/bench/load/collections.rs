//! Requests about hashes, sets, sorted sets, lists, streams and scripts, and the replies that they must have.
//!
//! Elements are numbered. With [`Size::Few`] ten neighbours share a collection of their own, with
//! [`Size::Many`] one collection holds all. Keys, fields and members have 16 bytes and tell their number, as
//! values do, so that each reply shows whether it belongs to its question.

use super::codec::{exactly, line, unexpected, value, words};

/// Elements of a small collection.
pub const FEW: u64 = 10;
/// Elements of a list of [`Request::FillRanges`], and of the ranges that are read.
pub const RANGE: u64 = 100;
/// Queues and streams, one per connection, so that the length of each is known to who writes it.
pub const QUEUES: u64 = 50;
/// Number of the first member that [`Request::SetAdd`] adds: above all that are filled in.
const FIRST_ADDED: u64 = 1 << 40;
/// Scores are below this.
const SCORES: u64 = 1_000_000;
/// Three commands; the reply is what the first has stored.
pub const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('GET', KEYS[1])";

/// How elements are divided into collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Ten in each.
    Few,
    /// All in one.
    Many,
}

/// What holds elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Fields with values.
    Hash,
    /// Members.
    Set,
    /// Members; the score of each is its number.
    SortedSet,
    /// Values.
    List,
}

impl Type {
    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Set => "set",
            Self::SortedSet => "sorted set",
            Self::List => "list",
        }
    }
}

/// What is asked about an element, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writes the ten elements of that group.
    Fill(Type, Size),
    /// RPUSH of the hundred elements of that group to a list of their own.
    FillRanges,
    /// HSET of a field that is there.
    HashSet(Size),
    /// HGET.
    HashGet(Size),
    /// HGETALL of the ten around it.
    HashAll,
    /// LPUSH to a queue; in turn.
    ListPush,
    /// RPOP of what was pushed as this number; in turn.
    ListPop,
    /// LRANGE of the hundred around it.
    ListRange,
    /// SADD of a new member; in turn, among so many sets.
    SetAdd(Size, u64),
    /// SISMEMBER of a member.
    SetIsMember(Size),
    /// ZADD of a member with another score, which the number of the run changes.
    SortedSetAdd(Size, u64),
    /// ZRANGE of the hundred from its rank on, in a sorted set of all.
    SortedSetRange,
    /// ZRANK in a sorted set of all.
    SortedSetRank,
    /// XADD of one field; in turn.
    StreamAdd,
    /// EVAL of [`SCRIPT`].
    Script,
}

/// The key of a collection.
pub fn collection(letter: char, size: Size, number: u64) -> String {
    match size {
        Size::Few => format!("{letter}:{:014}", number / FEW),
        Size::Many => format!("{letter}:all-elements--"),
    }
}

/// The key of a queue (`q`) or stream (`x`).
pub fn queue(letter: char, number: u64) -> String {
    format!("{letter}:{:014}", number % QUEUES)
}

/// The key in which [`SCRIPT`] counts.
pub fn counter(number: u64) -> String {
    format!("n:{number:014}")
}

/// The name of a field or a member.
fn element(number: u64) -> String {
    format!("e:{number:014}")
}

/// Appends one request. Values have so many bytes.
pub fn encode(request: Request, number: u64, bytes: usize, out: &mut Vec<u8>) {
    match request {
        Request::Fill(kind, size) => fill(kind, size, number, (bytes, out)),
        Request::FillRanges => {
            let values = (number * RANGE..(number + 1) * RANGE).map(|number| value(number, bytes));
            let key = format!("r:{number:014}");
            send(out, ["RPUSH".to_owned(), key].into_iter().chain(values));
        }
        Request::HashSet(size) => {
            let key = collection('h', size, number);
            words(out, &["HSET", &key, &element(number), &value(number, bytes)]);
        }
        Request::HashGet(size) => words(out, &["HGET", &collection('h', size, number), &element(number)]),
        Request::HashAll => words(out, &["HGETALL", &collection('h', Size::Few, number)]),
        Request::ListPush => words(out, &["LPUSH", &queue('q', number), &value(number, bytes)]),
        Request::ListPop => words(out, &["RPOP", &queue('q', number)]),
        Request::ListRange => words(out, &["LRANGE", &format!("r:{:014}", number / RANGE), "0", "99"]),
        Request::SetAdd(size, sets) => {
            let key = collection('s', size, number % sets * FEW);
            words(out, &["SADD", &key, &element(FIRST_ADDED + number)]);
        }
        Request::SetIsMember(size) => {
            words(
                out,
                &["SISMEMBER", &collection('s', size, number), &element(number)],
            );
        }
        Request::SortedSetAdd(size, run) => {
            let score = (number.wrapping_mul(7_919) + run * 104_729) % SCORES;
            let key = collection('z', size, number);
            words(out, &["ZADD", &key, &score.to_string(), &element(number)]);
        }
        Request::SortedSetRange => {
            let (key, last) = (collection('z', Size::Many, number), number + RANGE - 1);
            words(out, &["ZRANGE", &key, &number.to_string(), &last.to_string()]);
        }
        Request::SortedSetRank => {
            words(
                out,
                &["ZRANK", &collection('z', Size::Many, number), &element(number)],
            );
        }
        Request::StreamAdd => {
            let (key, value) = (queue('x', number), value(number, bytes));
            words(out, &["XADD", &key, "*", &element(0), &value]);
        }
        Request::Script => {
            let (key, value) = (format!("v:{number:014}"), value(number, bytes));
            words(out, &["EVAL", SCRIPT, "2", &key, &counter(number), &value]);
        }
    }
}

/// The ten elements of a group in one request.
fn fill(kind: Type, size: Size, group: u64, (bytes, out): (usize, &mut Vec<u8>)) {
    let (command, letter) = match kind {
        Type::Hash => ("HSET", 'h'),
        Type::Set => ("SADD", 's'),
        Type::SortedSet => ("ZADD", 'z'),
        Type::List => ("RPUSH", 'l'),
    };
    let first = group * FEW;
    let mut all = vec![command.to_owned(), collection(letter, size, first)];
    for number in first..first + FEW {
        match kind {
            Type::Hash => all.extend([element(number), value(number, bytes)]),
            Type::Set => all.push(element(number)),
            Type::SortedSet => all.extend([number.to_string(), element(number)]),
            Type::List => all.push(value(number, bytes)),
        }
    }
    send(out, all.into_iter());
}

fn send(out: &mut Vec<u8>, all: impl Iterator<Item = String>) {
    let all: Vec<String> = all.collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    words(out, &all);
}

/// Bytes of the whole reply to a request; `None` if it is not all there.
///
/// # Errors
/// It is another one than it must be.
pub fn decode(request: Request, number: u64, bytes: usize, input: &[u8]) -> Result<Option<usize>, String> {
    let one = |text: String| exactly(input, format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    let count = |count: u64| exactly(input, format!(":{count}\r\n").as_bytes());
    match request {
        Request::Fill(Type::List, Size::Many) => count((number + 1) * FEW),
        Request::Fill(..) => count(FEW),
        Request::FillRanges => count(RANGE),
        Request::HashSet(_) | Request::SortedSetAdd(..) => count(0),
        Request::SetAdd(..) | Request::SetIsMember(_) => count(1),
        Request::HashGet(_) | Request::ListPop | Request::Script => one(value(number, bytes)),
        Request::HashAll => {
            let first = number / FEW * FEW;
            let pairs = (first..first + FEW).flat_map(|number| [element(number), value(number, bytes)]);
            exactly(input, &many(2 * FEW, pairs))
        }
        Request::ListPush => count(number / QUEUES + 1),
        Request::ListRange => {
            let first = number / RANGE * RANGE;
            let values = (first..first + RANGE).map(|number| value(number, bytes));
            exactly(input, &many(RANGE, values))
        }
        Request::SortedSetRange => exactly(input, &many(RANGE, (number..number + RANGE).map(element))),
        Request::SortedSetRank => count(number),
        Request::StreamAdd => id(input),
    }
}

/// An array of so many bulk strings.
fn many(count: u64, all: impl Iterator<Item = String>) -> Vec<u8> {
    let mut out = format!("*{count}\r\n").into_bytes();
    for text in all {
        out.extend_from_slice(b"$");
        out.extend_from_slice(text.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// An id that the server has made: milliseconds, a hyphen, a sequence.
fn id(input: &[u8]) -> Result<Option<usize>, String> {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let Some((length, start)) = line(input, b"$")? else {
        return Ok(None);
    };
    if !digits(length) {
        return Err(unexpected(input));
    }
    let Some((id, length)) = line(&input[start..], b"")? else {
        return Ok(None);
    };
    match id.split(|byte| *byte == b'-').collect::<Vec<_>>().as_slice() {
        [milliseconds, sequence] if digits(milliseconds) && digits(sequence) => Ok(Some(start + length)),
        _ => Err(unexpected(input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: Request, sent: &str, reply: &str) {
        let mut out = Vec::new();
        encode(request, 57, 16, &mut out);
        assert_eq!(String::from_utf8_lossy(&out).replace("\r\n", " "), sent);
        let decoded = |input: &str| decode(request, 57, 16, input.as_bytes());
        assert_eq!(
            decoded(&format!("{reply}:7")),
            Ok(Some(reply.len())),
            "{request:?}"
        );
        assert_eq!(decoded(&reply[..reply.len() - 1]), Ok(None), "{request:?}");
        assert!(decoded("-ERR no\r\n").is_err() && decoded("$-1\r\n").is_err());
    }

    #[test]
    fn requests_have_one_right_reply() {
        check(
            Request::HashGet(Size::Few),
            "*3 $4 HGET $16 h:00000000000005 $16 e:00000000000057 ",
            "$16\r\nv:000000000057:x\r\n",
        );
        check(
            Request::ListPop,
            "*2 $4 RPOP $16 q:00000000000007 ",
            "$16\r\nv:000000000057:x\r\n",
        );
        check(
            Request::ListPush,
            "*3 $5 LPUSH $16 q:00000000000007 $16 v:000000000057:x ",
            ":2\r\n",
        );
        check(
            Request::SortedSetRank,
            "*3 $5 ZRANK $16 z:all-elements-- $16 e:00000000000057 ",
            ":57\r\n",
        );
        check(
            Request::StreamAdd,
            "*5 $4 XADD $16 x:00000000000007 $1 * $16 e:00000000000000 $16 v:000000000057:x ",
            "$15\r\n1700000000000-0\r\n",
        );
    }

    #[test]
    fn ranges_must_be_whole_and_in_order() {
        let right = many(
            20,
            (50..60).flat_map(|number| [element(number), value(number, 16)]),
        );
        assert_eq!(decode(Request::HashAll, 57, 16, &right), Ok(Some(right.len())));
        let wrong = many(
            20,
            (51..61).flat_map(|number| [element(number), value(number, 16)]),
        );
        assert!(decode(Request::HashAll, 57, 16, &wrong).is_err());
        let right = many(100, (57..157).map(element));
        assert_eq!(
            decode(Request::SortedSetRange, 57, 16, &right),
            Ok(Some(right.len()))
        );
        assert!(decode(Request::ListRange, 57, 16, &right).is_err());
        assert!(decode(Request::StreamAdd, 57, 16, b"$3\r\n1-x\r\n").is_err());
    }
}
