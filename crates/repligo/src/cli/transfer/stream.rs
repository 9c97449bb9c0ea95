//! Streams as requests that make them again, and from where they come: the reply of XINFO STREAM … FULL, or an RDB file.
//!
//! The requests of equal streams are equal. Entries that a group waits for and that are deleted are added and deleted
//! again, since a group can be given only entries that are there. Each request may be sent again, but XADD and XGROUP
//! CREATE then say that it was there already, and what deletes such entries must not stand in one transaction with what
//! gives them to groups ([`ends_claims`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use repligo_proto::resp::Value;

use super::content::{Content, Kind, PIECE_PARTS};

/// Entries of one XCLAIM.
const CLAIMED: usize = PIECE_PARTS / 2;

/// The number of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub ms: u64,
    pub sequence: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

impl FromStr for Id {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Id, Self::Err> {
        let (ms, sequence) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Id {
            ms: ms.parse()?,
            sequence: sequence.parse()?,
        })
    }
}

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Fields and values in turn, by number.
    pub entries: Vec<(Id, Vec<Vec<u8>>)>,
    /// The highest number that was given.
    pub last: Id,
    /// The highest number that was deleted, and how many were ever added; servers before 7.0 do not know.
    pub deleted_and_added: Option<(Id, u64)>,
    pub groups: Vec<Group>,
}

/// One of its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub name: Vec<u8>,
    /// The highest number that it has delivered.
    pub last: Id,
    /// How many entries it has delivered, where that is known.
    pub read: Option<u64>,
    pub consumers: Vec<Vec<u8>>,
    pub pending: Vec<Pending>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: Vec<u8>,
    pub id: Id,
    /// When it was last delivered, in milliseconds since 1970.
    pub time_ms: u64,
    /// How often.
    pub count: u64,
}

type Request = Vec<Vec<u8>>;

fn words<const N: usize>(words: [&[u8]; N]) -> Request {
    words.map(<[u8]>::to_vec).into()
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

impl Stream {
    /// Whether its numbers ascend, and none is above the last one.
    pub fn is_sound(&self) -> bool {
        let lowest = Id { ms: 0, sequence: 1 };
        let mut pending = self.groups.iter().flat_map(|group| &group.pending);
        self.entries.is_sorted_by(|one, two| one.0 < two.0)
            && self
                .entries
                .iter()
                .all(|(id, fields)| (lowest..=self.last).contains(id) && !fields.is_empty())
            && pending.all(|pending| (lowest..=self.last).contains(&pending.id))
    }

    /// What it is as requests.
    pub fn into_content(self) -> Content {
        let mut parts = Vec::new();
        for request in self.requests() {
            parts.push(text(request.len()));
            parts.extend(request);
        }
        Content {
            kind: Kind::Stream,
            parts,
        }
    }

    /// Without the key.
    fn requests(mut self) -> Vec<Request> {
        self.groups.sort_by(|one, two| one.name.cmp(&two.name));
        let held: BTreeSet<Id> = self.entries.iter().map(|(id, _)| *id).collect();
        let pending = self.groups.iter().flat_map(|group| &group.pending);
        let gone: BTreeSet<Id> = pending
            .map(|pending| pending.id)
            .filter(|id| !held.contains(id))
            .collect();
        let mut entries: BTreeMap<Id, Vec<Vec<u8>>> =
            gone.iter().map(|id| (*id, vec![Vec::new(); 2])).collect();
        entries.extend(std::mem::take(&mut self.entries));
        let mut requests = Vec::new();
        for (id, fields) in entries {
            let mut request = vec![b"XADD".to_vec(), text(id)];
            request.extend(fields);
            requests.push(request);
        }
        if requests.is_empty() && self.groups.is_empty() {
            // Only with a group there is an empty stream.
            requests.push(words([b"XGROUP", b"CREATE", b"none", b"0", b"MKSTREAM"]));
            requests.push(words([b"XGROUP", b"DESTROY", b"none"]));
        }
        self.groups.iter_mut().for_each(|group| group.put(&mut requests));
        put_deletions(&mut requests, held.first().copied(), &gone);
        let mut last = words([b"XSETID", text(self.last).as_slice()]);
        if let Some((deleted, added)) = self.deleted_and_added {
            last.extend([
                b"ENTRIESADDED".to_vec(),
                text(added),
                b"MAXDELETEDID".to_vec(),
                text(deleted),
            ]);
        }
        requests.push(last);
        requests
    }
}

/// Takes out what was added for groups alone. What stands below the first entry is trimmed, which is not remembered as
/// a deletion.
fn put_deletions(requests: &mut Vec<Request>, first: Option<Id>, gone: &BTreeSet<Id>) {
    if gone.is_empty() {
        return;
    }
    let Some(first) = first else {
        requests.push(words([b"XTRIM", b"MAXLEN", b"0"]));
        return;
    };
    requests.push(words([b"XTRIM", b"MINID", text(first).as_slice()]));
    let above: Vec<Vec<u8>> = gone.range(first..).map(text).collect();
    for some in above.chunks(CLAIMED) {
        let mut request = words([b"XDEL"]);
        request.extend_from_slice(some);
        requests.push(request);
    }
}

impl Group {
    fn put(&mut self, requests: &mut Vec<Request>) {
        let mut create = words([b"XGROUP", b"CREATE", &self.name, &text(self.last), b"MKSTREAM"]);
        if let Some(read) = self.read {
            create.extend([b"ENTRIESREAD".to_vec(), text(read)]);
        }
        requests.push(create);
        self.consumers.sort();
        for consumer in &self.consumers {
            requests.push(words([b"XGROUP", b"CREATECONSUMER", &self.name, consumer]));
        }
        self.pending
            .sort_by(|one, two| (&one.consumer, one.id).cmp(&(&two.consumer, two.id)));
        let alike = |one: &Pending, two: &Pending| {
            one.consumer == two.consumer && (one.time_ms, one.count) == (two.time_ms, two.count)
        };
        for some in self.pending.chunk_by(alike).flat_map(|some| some.chunks(CLAIMED)) {
            let mut request = words([b"XCLAIM", &self.name, &some[0].consumer, b"0"]);
            request.extend(some.iter().map(|pending| text(pending.id)));
            request.extend([b"TIME".to_vec(), text(some[0].time_ms)]);
            request.extend([b"RETRYCOUNT".to_vec(), text(some[0].count)]);
            request.extend(words([b"FORCE", b"JUSTID"]));
            requests.push(request);
        }
    }
}

/// The requests in the parts of a stream, each without its key.
///
/// # Panics
/// If the parts are not those of [`Stream::into_content`], which nobody else makes.
pub fn split(mut parts: &[Vec<u8>]) -> Vec<&[Vec<u8>]> {
    let mut requests = Vec::new();
    while let Some((count, rest)) = parts.split_first() {
        let count = std::str::from_utf8(count).ok().and_then(|text| text.parse().ok());
        let (request, others) = rest.split_at(count.expect("a count stands in front of each request"));
        requests.push(request);
        parts = others;
    }
    requests
}

/// Where the key stands in a request that makes streams; `None` for another one.
pub fn key_place(request: &[&[u8]]) -> Option<usize> {
    match request.first()? {
        &b"XGROUP" => match request.get(1)? {
            &b"CREATE" | &b"CREATECONSUMER" | &b"DESTROY" => Some(2),
            _ => None,
        },
        &b"XADD" | &b"XCLAIM" | &b"XTRIM" | &b"XDEL" | &b"XSETID" => Some(1),
        _ => None,
    }
}

/// A request with its key.
pub fn with_key<'a>(request: &'a [Vec<u8>], key: &'a [u8]) -> Vec<&'a [u8]> {
    let mut words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    let place = key_place(&words).expect("requests of streams have a key");
    words.insert(place, key);
    words
}

/// Whether it takes out entries that groups were given before.
pub fn ends_claims(request: &[Vec<u8>]) -> bool {
    [b"XTRIM".as_slice(), b"XDEL"].contains(&request[0].as_slice())
}

/// Whether it is the last request of a stream.
pub fn is_last(request: &[Vec<u8>]) -> bool {
    request[0] == b"XSETID"
}

/// What a request says that was executed by an earlier sending of itself.
pub fn is_done_already(error: &str) -> bool {
    error.starts_with("BUSYGROUP ") || error.starts_with("ERR The ID specified in XADD is equal or smaller")
}

/// Whether both are the same to a client, as far as both tell: older servers do not count entries.
pub fn is_same(one: &Content, two: &Content) -> bool {
    let (one, two) = (split(&one.parts), split(&two.parts));
    one.len() == two.len()
        && one.iter().zip(two).all(|(one, two)| {
            let told = one.len().min(two.len());
            let may_lack = is_last(one) || (one[0] == b"XGROUP" && one[1] == b"CREATE");
            one[..told] == two[..told] && (may_lack || one.len() == two.len())
        })
}

/// From the reply to XINFO STREAM key FULL COUNT 0; `None` if it is none.
pub fn from_reply(reply: &Value) -> Option<Stream> {
    let all = reply.as_array()?;
    let deleted: Option<Id> = field(all, "max-deleted-entry-id").and_then(id);
    let added = field(all, "entries-added").and_then(Value::as_integer);
    let entries = field(all, "entries")?.as_array()?.iter().map(|entry| {
        let [number, fields] = entry.as_array()? else {
            return None;
        };
        let fields = fields
            .as_array()?
            .iter()
            .map(|word| Some(word.as_bytes()?.to_vec()));
        Some((id(number)?, fields.collect::<Option<_>>()?))
    });
    Some(Stream {
        entries: entries.collect::<Option<_>>()?,
        last: id(field(all, "last-generated-id")?)?,
        deleted_and_added: deleted.zip(added.map(|added| added as u64)),
        groups: field(all, "groups")?
            .as_array()?
            .iter()
            .map(group_from_reply)
            .collect::<Option<_>>()?,
    })
}

fn group_from_reply(reply: &Value) -> Option<Group> {
    let all = reply.as_array()?;
    let pending = field(all, "pending")
        .or_else(|| field(all, "pel"))?
        .as_array()?
        .iter()
        .map(|entry| {
            let [number, consumer, time, count] = entry.as_array()? else {
                return None;
            };
            Some(Pending {
                id: id(number)?,
                consumer: consumer.as_bytes()?.to_vec(),
                time_ms: time.as_integer()?.max(0) as u64,
                count: count.as_integer()?.max(0) as u64,
            })
        });
    let consumers = field(all, "consumers")?.as_array()?.iter();
    let consumers = consumers.map(|one| Some(field(one.as_array()?, "name")?.as_bytes()?.to_vec()));
    Some(Group {
        name: field(all, "name")?.as_bytes()?.to_vec(),
        last: id(field(all, "last-delivered-id")?)?,
        read: field(all, "entries-read")
            .and_then(Value::as_integer)
            .and_then(|read| u64::try_from(read).ok()),
        consumers: consumers.collect::<Option<_>>()?,
        pending: pending.collect::<Option<_>>()?,
    })
}

/// What stands behind a name.
fn field<'a>(all: &'a [Value], name: &str) -> Option<&'a Value> {
    let pair = all
        .chunks_exact(2)
        .find(|pair| pair[0].as_bytes() == Some(name.as_bytes()))?;
    Some(&pair[1])
}

fn id(value: &Value) -> Option<Id> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stream: Stream) -> Vec<String> {
        let content = stream.into_content();
        let requests = split(&content.parts).into_iter();
        let line =
            |request: &[Vec<u8>]| String::from_utf8_lossy(&with_key(request, b"K").join(&b' ')).into_owned();
        requests.map(line).collect()
    }

    fn id(text: &str) -> Id {
        text.parse().expect("a number")
    }

    fn pending(consumer: &str, number: &str, time_ms: u64) -> Pending {
        Pending {
            consumer: consumer.into(),
            id: id(number),
            time_ms,
            count: 2,
        }
    }

    #[test]
    fn a_stream_is_made_again_with_what_its_groups_wait_for() {
        let fields = || vec![b"f".to_vec(), b"v".to_vec()];
        let stream = Stream {
            entries: vec![(id("5-0"), fields()), (id("7-1"), fields())],
            last: id("9-0"),
            deleted_and_added: Some((id("6-0"), 8)),
            groups: vec![Group {
                name: b"g".to_vec(),
                last: id("7-1"),
                read: Some(6),
                consumers: vec![b"two".to_vec(), b"one".to_vec()],
                pending: vec![
                    pending("two", "6-0", 11),
                    pending("one", "7-1", 10),
                    pending("one", "3", 10),
                ],
            }],
        };
        assert!(stream.is_sound());
        let expected = [
            "XADD K 3-0  ",
            "XADD K 5-0 f v",
            "XADD K 6-0  ",
            "XADD K 7-1 f v",
            "XGROUP CREATE K g 7-1 MKSTREAM ENTRIESREAD 6",
            "XGROUP CREATECONSUMER K g one",
            "XGROUP CREATECONSUMER K g two",
            "XCLAIM K g one 0 3-0 7-1 TIME 10 RETRYCOUNT 2 FORCE JUSTID",
            "XCLAIM K g two 0 6-0 TIME 11 RETRYCOUNT 2 FORCE JUSTID",
            "XTRIM K MINID 5-0",
            "XDEL K 6-0",
            "XSETID K 9-0 ENTRIESADDED 8 MAXDELETEDID 6-0",
        ];
        assert_eq!(shown(stream), expected);
    }

    #[test]
    fn an_empty_stream_is_one() {
        let expected = [
            "XGROUP CREATE K none 0 MKSTREAM",
            "XGROUP DESTROY K none",
            "XSETID K 0-0",
        ];
        assert_eq!(shown(Stream::default()), expected);
        let waiting = Group {
            name: b"g".to_vec(),
            pending: vec![pending("c", "1-1", 5)],
            ..Group::default()
        };
        let stream = Stream {
            last: id("1-1"),
            groups: vec![waiting],
            ..Stream::default()
        };
        let shown = shown(stream.clone());
        assert!(shown.contains(&"XTRIM K MAXLEN 0".to_string()), "{shown:?}");
        let unsound = Stream {
            last: id("1-0"),
            ..stream
        };
        assert!(!unsound.is_sound());
    }

    #[test]
    fn what_an_older_server_does_not_tell_makes_no_difference() {
        let of = |deleted_and_added, last: &str| {
            let last = id(last);
            Stream {
                last,
                deleted_and_added,
                ..Stream::default()
            }
            .into_content()
        };
        let told = of(Some((id("0-0"), 5)), "4-0");
        assert!(is_same(&told, &of(None, "4-0")) && is_same(&of(None, "4-0"), &told));
        assert!(!is_same(&told, &of(Some((id("0-0"), 6)), "4-0")));
        assert!(!is_same(&told, &of(None, "5-0")));
    }
}
