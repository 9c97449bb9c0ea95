//! Tests of the keyspace, from requests to replies. `redis.cases` holds what Redis itself answers;
//! here is what Redis does not have or what depends on time.

mod bits;
mod eviction;
mod fields;
mod handlers;
mod long_strings;
mod origin_rows;
mod places;
mod replicas;
mod scripts;
mod sections;
mod shard_time;
mod slices;
mod sorted_sets;
mod streams;
mod swap;
mod transactions;
mod values;

use repligo_proto::command::resolve;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;
use repligo_proto::words;

use super::{Keyspace, ReadClock, ReadOutcome};
use crate::command::{Command, parse};
use crate::table::HashSeed;

/// Shard time when a test begins: some day in 2023.
const START_MS: u64 = 1_700_000_000_000;

/// A keyspace as a client sees it.
struct Fixture {
    keyspace: Keyspace,
    resp3: bool,
    db: u8,
    /// What the reader's clock is ahead of shard time.
    ahead_ms: u64,
}

impl Fixture {
    fn new() -> Self {
        let mut keyspace = Keyspace::new(HashSeed::from_number(0x5eed));
        keyspace.set_time(START_MS);
        Self {
            keyspace,
            resp3: false,
            db: 0,
            ahead_ms: 0,
        }
    }

    /// Executes a script and renders its replies as `redis.cases` has them.
    fn run(&mut self, script: &str) -> String {
        let replies: Vec<String> = requests(script)
            .iter()
            .map(|request| {
                let mut rest = &self.execute(request)[..];
                let text = render(&mut rest);
                assert!(rest.is_empty(), "one reply to {script}");
                text
            })
            .collect();
        replies.join(" ; ")
    }

    /// The reply's bytes. Each command makes the trip through its encoding.
    fn execute(&mut self, request: &OwnedRequest) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, self.resp3);
        let view = request.view();
        let parsed = resolve(view)
            .map_err(|reason| words::unresolved(reason, view))
            .and_then(|spec| parse(spec, self.db, view).map_err(|error| error.as_bytes().to_vec()));
        match parsed {
            Err(error) => writer.error_bytes(&error),
            Ok(command) => {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                let decoded = Command::decode(&mut &bytes[..]).expect("what was encoded decodes");
                assert_eq!(decoded, command);
                if decoded.is_write() {
                    self.keyspace.apply(&decoded, &mut writer);
                } else {
                    let clock = ReadClock {
                        now_ms: self.keyspace.time_ms() + self.ahead_ms,
                        leader_ms: 0,
                    };
                    match self.keyspace.read(&decoded, clock, &mut writer) {
                        ReadOutcome::Done => {}
                        ReadOutcome::NeedsTime => writer.simple("NEEDSTIME"),
                        ReadOutcome::Long => self.keyspace.apply(&decoded, &mut writer),
                        ReadOutcome::Waits => writer.simple("WAITS"),
                    }
                }
            }
        }
        out
    }
}

/// Runs a script on an empty keyspace, in both protocols.
fn check(script: &str, expect: &str) {
    for resp3 in [false, true] {
        let mut fixture = Fixture {
            resp3,
            ..Fixture::new()
        };
        assert_eq!(
            fixture.run(script),
            expect,
            "{script} (RESP{})",
            2 + u8::from(resp3)
        );
    }
}

/// The requests of a script: words and double-quoted strings with `\r`, `\n`, `\"`, `\\` and `\xNN`.
fn requests(script: &str) -> Vec<OwnedRequest> {
    let mut requests = vec![Vec::new()];
    let mut rest = script.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b' ' => rest = after,
            b';' => {
                requests.push(Vec::new());
                rest = after;
            }
            b'"' => {
                let (word, after) = quoted(after);
                requests.last_mut().expect("never empty").push(word);
                rest = after;
            }
            _ => {
                let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
                requests
                    .last_mut()
                    .expect("never empty")
                    .push(rest[..end].to_vec());
                rest = &rest[end..];
            }
        }
    }
    requests.iter().map(OwnedRequest::new).collect()
}

fn quoted(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    loop {
        rest = match rest {
            [b'"', after @ ..] => return (word, after),
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("two hexadecimal digits");
                word.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => panic!("a quote is not closed"),
        };
    }
}

/// Takes one reply off the front and renders it.
fn render(rest: &mut &[u8]) -> String {
    let end = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .expect("a reply ends its line");
    let line = String::from_utf8(rest[1..end].to_vec()).expect("a line is text");
    let mark = rest[0];
    *rest = &rest[end + 2..];
    let count = || line.parse::<i64>().expect("a count");
    match mark {
        b'+' | b':' => line,
        b'-' => format!("-{line}"),
        b'_' => "nil".to_owned(),
        b'$' | b'*' if count() < 0 => "nil".to_owned(),
        b'$' => {
            let (bulk, after) = rest.split_at(count() as usize);
            *rest = after.strip_prefix(b"\r\n").expect("a bulk string ends its line");
            escape(bulk)
        }
        b'*' => {
            let items: Vec<String> = (0..count()).map(|_| render(rest)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => panic!("unknown reply {}", char::from(mark)),
    }
}

fn escape(bulk: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bulk {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            32..127 => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + "\""
}

#[test]
fn replies_are_those_of_redis_7() {
    let mut scripts = 0;
    for line in include_str!("redis.cases").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (script, expect) = line
            .split_once(" => ")
            .expect("each line has a script and its replies");
        check(script, expect);
        scripts += 1;
    }
    assert!(scripts > 200, "{scripts} scripts were run");
}

#[test]
fn nulls_differ_between_the_protocols() {
    for (resp3, expect) in [(false, "$-1\r\n"), (true, "_\r\n")] {
        let mut fixture = Fixture {
            resp3,
            ..Fixture::new()
        };
        for script in [
            "GET a",
            "GETDEL a",
            "GETEX a",
            "GETSET a 1",
            "SET b 1 XX",
            "OBJECT ENCODING c",
        ] {
            let reply = fixture.execute(&requests(script)[0]);
            assert_eq!(String::from_utf8_lossy(&reply), expect, "{script}");
        }
    }
}

#[test]
fn a_string_grows_to_its_limit_and_not_further() {
    let mut fixture = Fixture::new();
    assert_eq!(
        fixture.run("SETRANGE a 536870911 x ; STRLEN a"),
        "536870912 ; 536870912"
    );
    let error = format!("-{}", words::STRING_TOO_LONG);
    assert_eq!(fixture.run("APPEND a x"), error);
    assert_eq!(fixture.run("SETRANGE a 536870911 xy"), error);
    assert_eq!(
        fixture.run("APPEND a \"\" ; GETRANGE a -1 -1"),
        "536870912 ; \"x\""
    );
}

#[test]
fn databases_are_apart() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run("SET a 0"), "OK");
    fixture.db = 15;
    assert_eq!(
        fixture.run("EXISTS a ; SET a 15 ; DBSIZE ; FLUSHDB ; DBSIZE"),
        "0 ; OK ; 1 ; OK ; 0"
    );
    assert_eq!(fixture.run("SET a 15"), "OK");
    fixture.db = 0;
    assert_eq!(fixture.run("GET a ; FLUSHALL ; GET a"), "\"0\" ; OK ; nil");
    fixture.db = 15;
    assert_eq!(fixture.run("GET a"), "nil");
}

#[test]
fn a_scan_gives_every_key_in_steps_of_about_its_count() {
    let mut fixture = Fixture::new();
    for number in 0..1000 {
        fixture.run(&format!("SET key:{number} x"));
    }
    for (count, calls) in [(1, 50..1001), (10, 10..101), (100, 2..11), (100_000, 1..2)] {
        let (mut cursor, mut keys, mut called) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let reply = fixture.run(&format!("SCAN {cursor} COUNT {count}"));
            let (next, found) = reply[2..].split_once("\", [").expect("a cursor and keys");
            keys.extend(
                found
                    .trim_end_matches(']')
                    .split(", ")
                    .filter(|key| !key.is_empty())
                    .map(str::to_owned),
            );
            called += 1;
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 1000);
        assert!(calls.contains(&called), "{called} calls with COUNT {count}");
    }
}

#[test]
fn random_keys_come_from_everywhere() {
    let mut fixture = Fixture::new();
    fixture.run("MSET a 1 b 2 c 3 d 4");
    let mut seen: Vec<String> = (0..200).map(|_| fixture.run("RANDOMKEY")).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["\"a\"", "\"b\"", "\"c\"", "\"d\""]);
}

#[test]
fn reads_of_keys_are_counted() {
    let mut fixture = Fixture::new();
    fixture.run("SET a 1 ; GET a ; GET b ; MGET a b c ; EXISTS a b ; DBSIZE");
    let counters = fixture.keyspace.counters();
    assert_eq!((counters.hits, counters.misses), (3, 4));
}
