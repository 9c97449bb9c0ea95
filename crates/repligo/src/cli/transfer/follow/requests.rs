//! The requests that a server sends to its replicas, or writes into its append-only file: in whole units, each of which
//! is one request or one transaction.

use std::collections::BTreeMap;

use repligo_proto::resp::{Args, Limits, RequestDecoder};

use super::restore;
use crate::cli::transfer::deadlines::{leave_out_of_fields, now_ms, rewrite};

/// The words of a request.
pub type Request = Vec<Vec<u8>>;

/// What is to be applied as one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Requests with their databases.
    pub requests: Vec<(u32, Request)>,
    /// Where the next unit begins.
    pub end: u64,
}

impl Unit {
    /// About what it takes.
    pub fn bytes(&self) -> usize {
        let words = self.requests.iter().flat_map(|(_, request)| request);
        words.map(|word| word.len() + 8).sum()
    }

    /// Databases that its requests are for, or name.
    pub fn databases(&self) -> impl Iterator<Item = u32> {
        let all = self.requests.iter();
        all.flat_map(|(db, request)| [Some(*db), named_database(request)])
            .flatten()
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Unit(Unit),
    /// Bytes are missing.
    Wait,
    /// What follows cannot be applied; why. A new copy of the data is needed.
    Anew(&'static str),
    /// These bytes are no requests.
    Broken,
}

/// What becomes of a request.
enum Fate {
    Applied,
    /// It changes no data.
    Ignored,
    /// It changes something that is not transferred.
    Left(&'static str),
    Anew(&'static str),
}

/// Cuts bytes into units.
pub struct Units {
    decoder: RequestDecoder,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done.
    done: usize,
    /// Where the buffer's next byte stands.
    offset: u64,
    /// Behind the last unit that was given out, or that had nothing in it.
    settled: u64,
    db: u32,
    /// The database behind that unit.
    settled_db: u32,
    only: Option<u32>,
    /// A transaction that is not whole yet.
    open: Option<Unit>,
    /// Changes that are not transferred.
    pub left: BTreeMap<&'static str, u64>,
}

impl Units {
    /// Begins at this offset in this database; of `only` one database if it is said which.
    pub fn new(offset: u64, db: u32, only: Option<u32>) -> Units {
        Units {
            decoder: RequestDecoder::new(Limits {
                request_bytes_max: u32::MAX as usize,
                ..Limits::default()
            }),
            buffer: Vec::new(),
            done: 0,
            offset,
            settled: offset,
            db,
            settled_db: db,
            only,
            open: None,
            left: BTreeMap::new(),
        }
    }

    /// More bytes have come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Where to go on after what was received is lost: offset and database.
    pub fn place(&self) -> (u64, u32) {
        (self.settled, self.settled_db)
    }

    /// Whether nothing of a unit is there that is not whole.
    pub fn is_whole(&self) -> bool {
        self.open.is_none() && self.done == self.buffer.len()
    }

    /// The next unit.
    pub fn next(&mut self) -> Step {
        let mut args = Args::new();
        loop {
            let rest = &self.buffer[self.done..];
            let taken = match self.decoder.decode(rest, &mut args) {
                Ok(Some(taken)) => taken,
                Ok(None) => return Step::Wait,
                Err(_) => return Step::Broken,
            };
            let request: Request = args.view(rest).iter().map(<[u8]>::to_vec).collect();
            self.done += taken;
            self.offset += taken as u64;
            let Some(name) = request.first().map(|name| name.to_ascii_lowercase()) else {
                continue;
            };
            match self.take(&name, request) {
                Ok(Some(mut unit)) => {
                    (self.settled, self.settled_db) = (self.offset, self.db);
                    unit.end = self.offset;
                    if !unit.requests.is_empty() {
                        return Step::Unit(unit);
                    }
                }
                Ok(None) if self.open.is_none() => (self.settled, self.settled_db) = (self.offset, self.db),
                Ok(None) => {}
                Err(why) => return Step::Anew(why),
            }
        }
    }

    /// One request; the unit that it ends, if it does.
    fn take(&mut self, name: &[u8], request: Request) -> Result<Option<Unit>, &'static str> {
        match name {
            b"select" => {
                let db = request
                    .get(1)
                    .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
                self.db = db.ok_or("SELECT of no database")?;
                return Ok(None);
            }
            b"multi" => {
                self.open = Some(Unit::default());
                return Ok(None);
            }
            b"exec" => return Ok(self.open.take()),
            // A note beside the requests of a file.
            _ if name.starts_with(b"#") => return Ok(None),
            _ => {}
        }
        match fate(name, &request) {
            Fate::Ignored => Ok(None),
            Fate::Anew(why) => Err(why),
            Fate::Left(what) => {
                *self.left.entry(what).or_default() += 1;
                Ok(None)
            }
            Fate::Applied => Ok(self.choose(name, request)?.and_then(|chosen| self.put(chosen))),
        }
    }

    /// What of a request is for the databases that are taken; why that cannot be told.
    fn choose(&self, name: &[u8], mut request: Request) -> Result<Option<(u32, Request)>, &'static str> {
        let Some(only) = self.only else {
            return Ok(Some((self.db, request)));
        };
        if name == b"flushall" {
            request[0] = b"FLUSHDB".to_vec();
            return Ok(Some((only, request)));
        }
        let other = named_database(&request).filter(|named| *named != self.db);
        Ok(match (self.db == only, other) {
            (false, Some(named)) if named == only => {
                return Err("MOVE or COPY has put a key of another database into the one that is taken");
            }
            (false, _) => None,
            (true, None) => Some((only, request)),
            (true, Some(_)) if name == b"move" => Some((only, vec![b"DEL".to_vec(), request.swap_remove(1)])),
            (true, Some(_)) => None,
        })
    }

    fn put(&mut self, (db, mut request): (u32, Request)) -> Option<Unit> {
        if leave_out_of_fields(&mut request) {
            *self.left.entry("deadlines of hash fields").or_default() += 1;
        }
        if request.is_empty() {
            return None;
        }
        rewrite(&mut request, now_ms());
        let requests = restore::unpack(&request).unwrap_or_else(|| vec![request]);
        let requests = requests.into_iter().map(|request| (db, request));
        if let Some(open) = &mut self.open {
            open.requests.extend(requests);
            return None;
        }
        Some(Unit {
            requests: requests.collect(),
            end: 0,
        })
    }
}

/// The database that a request names as the one into which it puts a key.
fn named_database(request: &Request) -> Option<u32> {
    let name = request.first()?;
    let word = if name.eq_ignore_ascii_case(b"MOVE") {
        request.get(2)?
    } else if name.eq_ignore_ascii_case(b"COPY") {
        let mut words = request.iter().skip(3);
        words.find(|word| word.eq_ignore_ascii_case(b"DB"))?;
        words.next()?
    } else {
        return None;
    };
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn fate(name: &[u8], request: &Request) -> Fate {
    match name {
        b"ping" | b"replconf" | b"publish" | b"spublish" => Fate::Ignored,
        b"script" => match request.get(1) {
            Some(word) if word.eq_ignore_ascii_case(b"load") => Fate::Applied,
            _ => Fate::Ignored,
        },
        b"function" => Fate::Left("changes of function libraries"),
        b"swapdb" => Fate::Anew("SWAPDB has exchanged databases"),
        _ if name.contains(&b'.') => Fate::Left("requests of modules"),
        _ => Fate::Applied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(requests: &[&str]) -> Vec<u8> {
        let words = |request: &&str| repligo_proto::resp::request(&request.split(' ').collect::<Vec<_>>());
        requests.iter().flat_map(words).collect()
    }

    /// The units as text, with the place behind each.
    fn units(units: &mut Units) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        while let Step::Unit(unit) = units.next() {
            let shown = unit
                .requests
                .iter()
                .map(|(db, request)| format!("{db}:{}", String::from_utf8_lossy(&request.join(&b' '))));
            all.push((shown.collect::<Vec<_>>().join(" | "), unit.end));
        }
        all
    }

    #[test]
    fn a_transaction_is_one_unit_and_is_begun_again_when_it_was_cut() {
        let first = stream(&["SELECT 3", "SET a 1", "PING"]);
        let second = stream(&["MULTI", "INCR a", "SELECT 4", "INCR b", "EXEC"]);
        let all = [first.as_slice(), &second].concat();
        let (begin, middle) = (100, 100 + first.len() as u64);
        let expected = [
            ("3:SET a 1".to_string(), middle - stream(&["PING"]).len() as u64),
            ("3:INCR a | 4:INCR b".to_string(), 100 + all.len() as u64),
        ];
        for cut in 0..all.len() {
            let mut one = Units::new(begin, 0, None);
            one.feed(&all[..cut]);
            let mut found = units(&mut one);
            let (offset, db) = one.place();
            let mut other = Units::new(offset, db, None);
            other.feed(&all[(offset - begin) as usize..]);
            found.extend(units(&mut other));
            assert_eq!(found, expected, "cut at {cut}");
            assert_eq!(other.place(), (100 + all.len() as u64, 4));
        }
    }

    #[test]
    fn keys_that_go_from_one_database_to_another_are_judged_by_the_one_that_is_taken() {
        let one = |request: &str, only| {
            let mut one = Units::new(0, 0, only);
            one.feed(&stream(&["SELECT 3", request]));
            match one.next() {
                Step::Unit(unit) => {
                    let databases: Vec<u32> = unit.databases().collect();
                    let (db, request) = &unit.requests[0];
                    let words = String::from_utf8(request.join(&b' ')).expect("text");
                    format!("{db}:{words} {databases:?}")
                }
                Step::Wait => "nothing".into(),
                Step::Anew(_) => "anew".into(),
                Step::Broken => "broken".into(),
            }
        };
        for (request, all, into, out_of, beside) in [
            ("MOVE k 5", "3:MOVE k 5 [3, 5]", "anew", "3:DEL k [3]", "nothing"),
            (
                "copy k l DB 5",
                "3:copy k l DB 5 [3, 5]",
                "anew",
                "nothing",
                "nothing",
            ),
            (
                "COPY k DB REPLACE db 5",
                "3:COPY k DB REPLACE db 5 [3, 5]",
                "anew",
                "nothing",
                "nothing",
            ),
            (
                "COPY k l DB 3",
                "3:COPY k l DB 3 [3, 3]",
                "nothing",
                "3:COPY k l DB 3 [3, 3]",
                "nothing",
            ),
            (
                "COPY k l",
                "3:COPY k l [3]",
                "nothing",
                "3:COPY k l [3]",
                "nothing",
            ),
        ] {
            for (only, expect) in [(None, all), (Some(5), into), (Some(3), out_of), (Some(7), beside)] {
                assert_eq!(one(request, only), expect, "{request} {only:?}");
            }
        }
    }

    #[test]
    fn deadlines_of_fields_are_left_out_and_counted_where_they_are_taken() {
        let all = stream(&[
            "HSET h n 5",
            "HPEXPIREAT h 1 FIELDS 1 n",
            "HINCRBY h n 1",
            "MULTI",
            "HPERSIST h FIELDS 1 n",
            "HSETEX h PXAT 1 FIELDS 1 m 2",
            "EXEC",
            "SELECT 7",
            "HPERSIST h FIELDS 1 n",
        ]);
        for (only, counted) in [(None, 4), (Some(0), 3)] {
            let mut one = Units::new(0, 0, only);
            one.feed(&all);
            let found: Vec<_> = units(&mut one).into_iter().map(|(unit, _)| unit).collect();
            assert_eq!(found, ["0:HSET h n 5", "0:HINCRBY h n 1", "0:HSET h m 2"]);
            assert_eq!(one.left, BTreeMap::from([("deadlines of hash fields", counted)]));
            assert_eq!(one.place().0, all.len() as u64);
        }
    }

    #[test]
    fn what_is_no_data_is_left_out_and_told() {
        let all = stream(&[
            "PUBLISH c m",
            "FUNCTION LOAD x",
            "JSON.SET k $ 1",
            "REPLCONF GETACK *",
            "flushall",
            "SELECT 2",
            "SET a 1",
        ]);
        let mut one = Units::new(0, 0, Some(1));
        one.feed(&all);
        let found = units(&mut one);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "1:FLUSHDB");
        assert_eq!(one.left.values().sum::<u64>(), 2);
        assert!(one.is_whole());
        one.feed(&stream(&["SWAPDB 0 1"]));
        assert!(matches!(one.next(), Step::Anew(_)));
        let mut other = Units::new(0, 0, None);
        other.feed(b"*x\r\n");
        assert_eq!(other.next(), Step::Broken);
    }
}
