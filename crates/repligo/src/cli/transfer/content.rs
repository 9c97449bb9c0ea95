//! What keys hold, type by type: how it is asked for, read from a reply, written in pieces, and compared.

use repligo_proto::resp::Value;

use super::stream;

/// Bytes of parts in one request, or a single part.
const PIECE_BYTES: usize = 1 << 20;
/// Parts of one request; even, so that fields stay with their values.
pub const PIECE_PARTS: usize = 1024;

/// Types that are transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    String,
    /// Fields and values.
    Hash,
    /// Elements in their order.
    List,
    /// Members.
    Set,
    /// Members with scores.
    SortedSet,
    /// Entries and groups, as the requests that make them.
    Stream,
}

/// Each type with the name that TYPE gives it, the request that reads all of it, what stands behind the key there, and
/// the request that adds to it.
type Row = (
    Kind,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

const ROWS: [Row; 6] = [
    (Kind::String, "string", "GET", &[], "SET"),
    (Kind::Hash, "hash", "HGETALL", &[], "HSET"),
    (Kind::List, "list", "LRANGE", &["0", "-1"], "RPUSH"),
    (Kind::Set, "set", "SMEMBERS", &[], "SADD"),
    (
        Kind::SortedSet,
        "zset",
        "ZRANGE",
        &["0", "-1", "WITHSCORES"],
        "ZADD",
    ),
    (Kind::Stream, "stream", "XINFO", &["FULL", "COUNT", "0"], "XADD"),
];

impl Kind {
    fn row(self) -> Row {
        ROWS[self as usize]
    }

    /// The type that TYPE gives this name.
    pub fn named(name: &str) -> Option<Kind> {
        let row = ROWS.iter().find(|row| row.1 == name)?;
        Some(row.0)
    }

    /// The name that TYPE gives it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The collection that is added to by this request, which says nothing else.
    pub fn written_by(request: &[u8]) -> Option<Kind> {
        let row = ROWS.iter().find(|row| row.4.as_bytes() == request)?;
        Some(row.0).filter(|kind| !matches!(kind, Kind::String | Kind::Stream))
    }

    /// The request that reads all that a key holds.
    pub fn read(self, key: &[u8]) -> Vec<&[u8]> {
        let (_, _, name, behind, _) = self.row();
        let behind = behind.iter().map(|word| word.as_bytes());
        let mut words: Vec<&[u8]> = [name.as_bytes(), key].into_iter().chain(behind).collect();
        if self == Kind::Stream {
            words.insert(1, b"STREAM");
        }
        words
    }

    /// The request that writes it: of a collection, that adds to it.
    pub fn write(self) -> &'static str {
        self.row().4
    }

    /// How many parts belong together.
    pub fn parts_per_element(self) -> usize {
        match self {
            Kind::Hash | Kind::SortedSet => 2,
            Kind::String | Kind::List | Kind::Set | Kind::Stream => 1,
        }
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its type.
    pub kind: Kind,
    /// One for a string; of a hash fields and values in turn, of a sorted set scores and members; members; elements; of
    /// a stream requests without their key, each behind the number of its words. In an entry never none. Any bytes.
    pub parts: Vec<Vec<u8>>,
}

impl Content {
    /// That of a string.
    pub fn string(value: Vec<u8>) -> Content {
        Content {
            kind: Kind::String,
            parts: vec![value],
        }
    }

    /// From the reply to [`Kind::read`]. `None` if it says something else; an absent key has no parts.
    pub fn from_reply(kind: Kind, reply: &Value) -> Option<Content> {
        let parts = match (kind, reply) {
            (Kind::String, Value::Bulk(value)) => vec![value.clone()],
            (Kind::String, Value::Null) => Vec::new(),
            (Kind::String, _) => return None,
            (Kind::Stream, Value::Error(text)) if text.starts_with("ERR no such key") => Vec::new(),
            (Kind::Stream, _) => return Some(stream::from_reply(reply)?.into_content()),
            _ => {
                let parts = reply.as_array()?.iter();
                let parts: Option<Vec<_>> = parts.map(|part| Some(part.as_bytes()?.to_vec())).collect();
                let mut parts = parts.filter(|parts| parts.len().is_multiple_of(kind.parts_per_element()))?;
                if kind == Kind::SortedSet {
                    // As it is written: the score in front.
                    parts.chunks_mut(2).for_each(<[Vec<u8>]>::reverse);
                }
                parts
            }
        };
        Some(Content { kind, parts })
    }

    /// True for what an absent key gives.
    pub fn is_absent(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Whether both are the same to a client: fields and members have no order, and a score may be told in several
    /// ways.
    pub fn is_same(&self, other: &Content) -> bool {
        self.kind == other.kind
            && match self.kind {
                Kind::String | Kind::List => self.parts == other.parts,
                Kind::Hash | Kind::Set | Kind::SortedSet => self.sorted() == other.sorted(),
                Kind::Stream => stream::is_same(self, other),
            }
    }

    fn sorted(&self) -> Vec<Vec<Vec<u8>>> {
        let elements = self.parts.chunks(self.kind.parts_per_element());
        let mut elements: Vec<Vec<Vec<u8>>> = elements.map(<[Vec<u8>]>::to_vec).collect();
        if self.kind == Kind::SortedSet {
            elements.iter_mut().for_each(|element| {
                let score = std::str::from_utf8(&element[0]);
                if let Some(score) = score.ok().and_then(|text| text.parse::<f64>().ok()) {
                    // Adding zero takes the sign of a zero off, which some servers keep and some do not.
                    element[0] = (score + 0.0).to_be_bytes().to_vec();
                }
            });
        }
        elements.sort_unstable();
        elements
    }

    /// The parts in pieces, each for one request, or of a stream for one transaction.
    pub fn pieces(&self) -> Vec<&[Vec<u8>]> {
        let elements: Vec<&[Vec<u8>]> = match self.kind {
            Kind::Stream => stream::split(&self.parts),
            kind => self.parts.chunks(kind.parts_per_element()).collect(),
        };
        // Of a stream, the number of words stands in front of each request.
        let head = usize::from(self.kind == Kind::Stream);
        let mut pieces = Vec::new();
        let (mut start, mut at, mut bytes) = (0, 0, 0);
        let mut ends_claims = false;
        for element in elements {
            let element_bytes: usize = element.iter().map(Vec::len).sum();
            let is_full = bytes + element_bytes > PIECE_BYTES || at - start + element.len() > PIECE_PARTS;
            let begins = self.kind == Kind::Stream && !ends_claims && stream::ends_claims(element);
            ends_claims |= begins;
            if at > start && (is_full || begins) {
                pieces.push(&self.parts[start..at]);
                (start, bytes) = (at, 0);
            }
            at += head + element.len();
            bytes += element_bytes;
        }
        pieces.push(&self.parts[start..]);
        pieces
    }
}

/// The requests that write a piece under a key.
pub fn write_piece<'a>(kind: Kind, key: &'a [u8], piece: &'a [Vec<u8>]) -> Vec<Vec<&'a [u8]>> {
    if kind == Kind::Stream {
        let requests = stream::split(piece).into_iter();
        return requests.map(|request| stream::with_key(request, key)).collect();
    }
    let parts = piece.iter().map(Vec::as_slice);
    vec![[kind.write().as_bytes(), key].into_iter().chain(parts).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulks(parts: &[&str]) -> Value {
        let bulks = parts.iter().map(|part| Value::Bulk(part.as_bytes().to_vec()));
        Value::Array(bulks.collect())
    }

    #[test]
    fn fields_and_members_have_no_order_and_elements_have_one() {
        let read = |kind, parts: &[&str]| Content::from_reply(kind, &bulks(parts)).expect("a reply");
        let same = |kind, one: &[&str], two: &[&str]| read(kind, one).is_same(&read(kind, two));
        assert!(same(Kind::Hash, &["a", "1", "b", "2"], &["b", "2", "a", "1"]));
        assert!(!same(Kind::Hash, &["a", "1", "b", "2"], &["a", "2", "b", "1"]));
        assert!(!same(Kind::Hash, &["a", "1"], &["a", "1", "b", "2"]));
        assert!(same(Kind::Set, &["a", "b"], &["b", "a"]));
        assert!(!same(Kind::Set, &["a", "b"], &["a", "c"]));
        assert!(same(Kind::List, &["a", "b"], &["a", "b"]));
        assert!(!same(Kind::List, &["a", "b"], &["b", "a"]));
        assert!(!read(Kind::List, &["a"]).is_same(&read(Kind::Set, &["a"])));
        let scores = &["a", "0.10000000000000001", "b", "-inf"];
        assert!(same(Kind::SortedSet, scores, &["b", "-inf", "a", "0.1"]));
        assert!(same(Kind::SortedSet, &["a", "-0"], &["a", "0"]));
        assert!(!same(Kind::SortedSet, scores, &["a", "-inf", "b", "0.1"]));
        assert_eq!(read(Kind::SortedSet, &["a", "1"]).parts, [b"1", b"a"]);
        assert!(read(Kind::Set, &[]).is_absent());
        assert_eq!(Content::from_reply(Kind::Hash, &bulks(&["a"])), None);
        assert_eq!(Content::from_reply(Kind::List, &Value::Integer(1)), None);
        assert_eq!(Content::from_reply(Kind::String, &bulks(&["a"])), None);
    }

    #[test]
    fn every_type_is_named_read_and_written() {
        for (at, (kind, name, ..)) in ROWS.into_iter().enumerate() {
            assert_eq!((kind as usize, Kind::named(name)), (at, Some(kind)));
            let collection = Some(kind).filter(|kind| !matches!(kind, Kind::String | Kind::Stream));
            assert_eq!(Kind::written_by(kind.write().as_bytes()), collection);
        }
        assert_eq!(Kind::List.read(b"k"), [b"LRANGE", &b"k"[..], b"0", b"-1"]);
        let stream = Kind::Stream.read(b"k");
        assert_eq!(stream, [b"XINFO", &b"STREAM"[..], b"k", b"FULL", b"COUNT", b"0"]);
        assert_eq!(Kind::named("vectorset"), None);
    }

    #[test]
    fn pieces_are_bounded_and_are_the_whole() {
        for (kind, count, bytes, pieces) in [
            (Kind::List, 1, 0, 1),
            (Kind::List, PIECE_PARTS, 1, 1),
            (Kind::List, PIECE_PARTS + 1, 1, 2),
            (Kind::Hash, 2 * PIECE_PARTS, 1, 2),
            (Kind::Hash, 8, PIECE_BYTES / 2, 4),
            (Kind::Hash, 6, PIECE_BYTES, 3),
            (Kind::Set, 3, 3 * PIECE_BYTES, 3),
        ] {
            let content = Content {
                kind,
                parts: vec![vec![b'x'; bytes]; count],
            };
            let cut = content.pieces();
            assert_eq!(cut.len(), pieces, "{kind:?} {count} {bytes}");
            assert_eq!(cut.concat(), content.parts);
            assert!(
                cut.iter()
                    .all(|piece| piece.len() % kind.parts_per_element() == 0)
            );
        }
    }
}
