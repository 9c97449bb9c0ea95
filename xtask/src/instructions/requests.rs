//! The requests that are counted, and the one right reply of each.

/// Keys of strings, fields of hashes and members of sorted sets that are written before.
pub const KEYS: u64 = 4_000;
const VALUE: &str = "0123456789abcdef0123456789abcdef";
/// Elements of each hash and each small sorted set.
const FEW: u64 = 10;
/// Elements of a range, and of the lists that ranges are read from.
const RANGE: u64 = 100;
/// Lists, streams, and lists that ranges are read from.
const LISTS: u64 = 16;
/// Members of the sorted set that ranges are read from.
const RANKED: u64 = 1_120;
const SCRIPT: &str =
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('GET', KEYS[1])";

/// What a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Nothing,
    Get,
    Set,
    /// Replaces the value of a field.
    HashSet,
    HashGet,
    ListPush,
    ListRange,
    /// A new member.
    SetAdd,
    /// Another score.
    SortedSetAdd,
    SortedSetRange,
    /// With an id of ours, so that the reply is known.
    StreamAdd,
    Script,
    /// Before the count: ten fields or members of a key, a list for ranges, ten members of one sorted set.
    FillHash,
    FillSortedSet,
    FillRange,
    FillRanked,
}

impl Request {
    /// All that are counted, each in a node of its own, after the node that is asked nothing.
    pub const COUNTED: [Self; 11] = [
        Self::Get,
        Self::Set,
        Self::HashSet,
        Self::HashGet,
        Self::ListPush,
        Self::ListRange,
        Self::SetAdd,
        Self::SortedSetAdd,
        Self::SortedSetRange,
        Self::StreamAdd,
        Self::Script,
    ];

    /// What every node is asked first, so that it holds the same and is warm.
    pub const FIRST: [(Self, u64); 6] = [
        (Self::Set, KEYS),
        (Self::Get, KEYS),
        (Self::FillHash, KEYS / FEW),
        (Self::FillSortedSet, KEYS / FEW),
        (Self::FillRange, LISTS),
        (Self::FillRanked, RANKED / FEW),
    ];

    /// As the record calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Get => "GET",
            Self::Set => "SET",
            Self::HashSet | Self::FillHash => "HSET",
            Self::HashGet => "HGET",
            Self::ListPush => "LPUSH",
            Self::ListRange => "LRANGE of 100",
            Self::SetAdd => "SADD",
            Self::SortedSetAdd | Self::FillSortedSet | Self::FillRanked => "ZADD",
            Self::SortedSetRange => "ZRANGE of 100",
            Self::StreamAdd => "XADD",
            Self::Script => "EVAL",
            Self::FillRange => "RPUSH",
        }
    }

    /// How many are counted: fewer of those that cost more, so that each node is done in about the same time.
    /// A multiple of the pipeline.
    pub fn counted(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Get | Self::Set => 64_000,
            Self::ListRange | Self::SortedSetRange | Self::Script => 2_000,
            _ => 8_000,
        }
    }

    /// Appends the request with that number.
    pub fn put(self, out: &mut String, number: u64) {
        let at = number % KEYS;
        let (key, list, few) = (format!("key:{at:012}"), number % LISTS, at / FEW);
        let group = number * FEW..(number + 1) * FEW;
        let element = |number: u64| format!("element:{number:08}");
        let words: Vec<String> = match self {
            Self::Nothing => return,
            Self::Get => vec!["GET".to_owned(), key],
            Self::Set => vec!["SET".to_owned(), key, VALUE.to_owned()],
            Self::HashSet => {
                let key = format!("hash:{few:011}");
                vec!["HSET".to_owned(), key, element(at), VALUE.to_owned()]
            }
            Self::FillHash => {
                let pairs = group.flat_map(|number| [element(number), VALUE.to_owned()]);
                let head = ["HSET".to_owned(), format!("hash:{number:011}")];
                head.into_iter().chain(pairs).collect()
            }
            Self::HashGet => vec!["HGET".to_owned(), format!("hash:{few:011}"), element(at)],
            Self::ListPush => vec!["LPUSH".to_owned(), format!("list:{list:011}"), VALUE.to_owned()],
            Self::ListRange => {
                vec![
                    "LRANGE".to_owned(),
                    format!("range:{list:010}"),
                    "0".to_owned(),
                    "99".to_owned(),
                ]
            }
            Self::SetAdd => vec!["SADD".to_owned(), format!("set:{few:012}"), element(number)],
            Self::SortedSetAdd => {
                // A score that no earlier request has given to this member.
                let (key, score) = (format!("zset:{few:011}"), (number + KEYS).to_string());
                vec!["ZADD".to_owned(), key, score, element(at)]
            }
            Self::FillSortedSet | Self::FillRanked => {
                let key = match self {
                    Self::FillRanked => "zset:ranked".to_owned(),
                    _ => format!("zset:{number:011}"),
                };
                let pairs = group.flat_map(|number| [number.to_string(), element(number)]);
                ["ZADD".to_owned(), key].into_iter().chain(pairs).collect()
            }
            Self::SortedSetRange => {
                let first = number % (RANKED - RANGE);
                let last = first + RANGE - 1;
                vec![
                    "ZRANGE".to_owned(),
                    "zset:ranked".to_owned(),
                    first.to_string(),
                    last.to_string(),
                ]
            }
            Self::StreamAdd => {
                let id = format!("{}-1", number + 1);
                vec![
                    "XADD".to_owned(),
                    format!("stream:{list:09}"),
                    id,
                    element(0),
                    VALUE.to_owned(),
                ]
            }
            Self::Script => {
                let counter = format!("count:{at:010}");
                let head = ["EVAL", SCRIPT, "2"].map(str::to_owned);
                head.into_iter().chain([key, counter, VALUE.to_owned()]).collect()
            }
            Self::FillRange => {
                let values = (0..RANGE).map(|_| VALUE.to_owned());
                ["RPUSH".to_owned(), format!("range:{list:010}")]
                    .into_iter()
                    .chain(values)
                    .collect()
            }
        };
        out.push_str(&format!("*{}\r\n", words.len()));
        words.iter().for_each(|word| bulk(out, word));
    }

    /// Appends the reply that the request with that number must have.
    pub fn put_reply(self, out: &mut String, number: u64) {
        match self {
            Self::Nothing => {}
            Self::Get | Self::HashGet | Self::Script => bulk(out, VALUE),
            Self::Set => out.push_str("+OK\r\n"),
            Self::HashSet | Self::SortedSetAdd => out.push_str(":0\r\n"),
            Self::SetAdd => out.push_str(":1\r\n"),
            Self::FillHash | Self::FillSortedSet | Self::FillRanked => out.push_str(&format!(":{FEW}\r\n")),
            Self::ListPush => out.push_str(&format!(":{}\r\n", number / LISTS + 1)),
            Self::FillRange => out.push_str(&format!(":{RANGE}\r\n")),
            Self::ListRange => {
                out.push_str(&format!("*{RANGE}\r\n"));
                (0..RANGE).for_each(|_| bulk(out, VALUE));
            }
            Self::SortedSetRange => {
                let first = number % (RANKED - RANGE);
                out.push_str(&format!("*{RANGE}\r\n"));
                (first..first + RANGE).for_each(|number| bulk(out, &format!("element:{number:08}")));
            }
            Self::StreamAdd => bulk(out, &format!("{}-1", number + 1)),
        }
    }
}

fn bulk(out: &mut String, text: &str) {
    out.push_str(&format!("${}\r\n{text}\r\n", text.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_whole() {
        for request in Request::COUNTED {
            let (mut sent, mut reply) = (String::new(), String::new());
            request.put(&mut sent, 57);
            request.put_reply(&mut reply, 57);
            let command = request.name().split(' ').next().unwrap_or_default();
            assert!(
                sent.contains(&format!("${}\r\n{command}\r\n", command.len())),
                "{sent:?}"
            );
            assert!(sent.ends_with("\r\n") && reply.ends_with("\r\n"), "{request:?}");
            assert_eq!(request.counted() % 16, 0);
        }
        let mut reply = String::new();
        Request::ListPush.put_reply(&mut reply, 57);
        assert_eq!(reply, ":4\r\n");
    }
}
