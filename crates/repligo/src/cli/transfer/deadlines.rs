//! Deadlines in a target that has not taken all requests yet.
//!
//! A server expires nothing while it loads a file or follows another one: a request that comes later may take a
//! deadline back that has passed. So every deadline is written later by [`PUT_OFF_MS`], and none comes meanwhile. The
//! target itself then does with them what commands do (RENAME, COPY, KEEPTTL, PERSIST, LT, a list that loses its last
//! element), and [`settle`](super::settle::settle) sets the true ones when all requests are applied.
//!
//! Those of fields of hashes cannot be put off, since no field may have one so late: they are left out.

use std::time::{SystemTime, UNIX_EPOCH};

use super::follow::requests::Request;
use super::format::Batch;
use super::{Input, Outcome};

/// By how much deadlines are put off, in milliseconds: a million years, so that each is told from a true one.
pub const PUT_OFF_MS: u64 = 1 << 55;

/// When a key expires meanwhile that should at this time, in milliseconds since 1970. A deadline further away than
/// [`PUT_OFF_MS`] is brought forward to that.
pub fn put_off(at_ms: u64) -> u64 {
    at_ms.clamp(1, PUT_OFF_MS - 1) + PUT_OFF_MS
}

/// The deadline of a key whose deadline was put off; `None` if it was not.
pub fn settled(at_ms: u64) -> Option<u64> {
    at_ms.checked_sub(PUT_OFF_MS)
}

/// What [`rewrite`] reckons from.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

/// Entries whose deadlines are put off.
pub struct PutOff<I>(pub I);

impl<I: Input> Input for PutOff<I> {
    fn next(&mut self) -> Outcome<Option<Batch>> {
        let mut batch = self.0.next()?;
        let entries = batch.iter_mut().flat_map(|batch| &mut batch.entries);
        entries.for_each(|entry| entry.deadline_ms = entry.deadline_ms.map(put_off));
        Ok(batch)
    }
}

/// How a number tells a deadline.
#[derive(Clone, Copy)]
struct Time {
    ms: i64,
    is_left: bool,
}

const SECONDS_LEFT: Time = Time {
    ms: 1000,
    is_left: true,
};
const MS_LEFT: Time = Time { ms: 1, is_left: true };
const SECONDS: Time = Time {
    ms: 1000,
    is_left: false,
};
const MS: Time = Time {
    ms: 1,
    is_left: false,
};

/// Requests with a deadline behind the key.
const BEHIND_KEY: [(&str, Time); 6] = [
    ("EXPIRE", SECONDS_LEFT),
    ("PEXPIRE", MS_LEFT),
    ("EXPIREAT", SECONDS),
    ("PEXPIREAT", MS),
    ("SETEX", SECONDS_LEFT),
    ("PSETEX", MS_LEFT),
];
/// Requests in which a deadline may stand behind one of [`WORDS`], and where these may begin.
const WITH_WORDS: [(&str, usize); 2] = [("SET", 3), ("GETEX", 2)];
/// Words in front of a deadline.
const WORDS: [(&str, Time); 4] = [
    ("EX", SECONDS_LEFT),
    ("PX", MS_LEFT),
    ("EXAT", SECONDS),
    ("PXAT", MS),
];

fn find<T: Copy>(rows: &[(&str, T)], word: &[u8]) -> Option<T> {
    let row = rows
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
    row.map(|(_, value)| *value)
}

/// The time as digits, put off; `None` if it is no number: the target refuses what is none.
fn written(word: &[u8], time: Time, now_ms: u64) -> Option<Vec<u8>> {
    let number: i64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    let from = if time.is_left { now_ms as i64 } else { 0 };
    let at_ms = number.saturating_mul(time.ms).saturating_add(from);
    Some(put_off(at_ms.max(0) as u64).to_string().into_bytes())
}

/// Puts off the deadline that a request sets, if it does. Conditions stay: all deadlines of the target are put off alike.
pub fn rewrite(request: &mut Request, now_ms: u64) {
    let Some(name) = request.first() else {
        return;
    };
    if let Some(time) = find(&BEHIND_KEY, name) {
        let Some(at) = request.get(2).and_then(|word| written(word, time, now_ms)) else {
            return;
        };
        if name.to_ascii_uppercase().ends_with(b"SETEX") {
            if let [_, key, _, value] = request.as_mut_slice() {
                let (key, value) = (std::mem::take(key), std::mem::take(value));
                *request = vec![b"SET".to_vec(), key, value, b"PXAT".to_vec(), at];
            }
            return;
        }
        request[0] = b"PEXPIREAT".to_vec();
        request[2] = at;
    } else if let Some(begin) = find(&WITH_WORDS, name) {
        for at in begin..request.len() {
            let time = find(&WORDS, &request[at]);
            let Some((time, word)) = time.zip(request.get(at + 1)) else {
                continue;
            };
            if let Some(deadline) = written(word, time, now_ms) {
                request[at] = b"PXAT".to_vec();
                request[at + 1] = deadline;
            }
            return;
        }
    } else if name.eq_ignore_ascii_case(b"RESTORE") {
        rewrite_restore(request, now_ms);
    }
}

/// Requests that do nothing with a hash but change the deadlines of its fields.
const OF_FIELDS_ALONE: [&str; 6] = [
    "HEXPIRE",
    "HPEXPIRE",
    "HEXPIREAT",
    "HPEXPIREAT",
    "HPERSIST",
    "HGETEX",
];

/// Takes the deadlines of fields out of a request; nothing of it is left if there is nothing else in it. True if there
/// were some.
pub fn leave_out_of_fields(request: &mut Request) -> bool {
    let Some(name) = request.first() else {
        return false;
    };
    if OF_FIELDS_ALONE
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    {
        request.clear();
        return true;
    }
    if !name.eq_ignore_ascii_case(b"HSETEX") {
        return false;
    }
    // Its condition held at the source, or it would not have been sent.
    let mut words = request.iter().skip(2);
    let Some(fields) = words.position(|word| word.eq_ignore_ascii_case(b"FIELDS")) else {
        return false;
    };
    let options = request.drain(2..(2 + fields + 2).min(request.len()));
    let had_some = options.into_iter().any(|word| find(&WORDS, &word).is_some());
    request[0] = b"HSET".to_vec();
    had_some
}

/// RESTORE key time payload […]: a time of 0 is none.
fn rewrite_restore(request: &mut Request, now_ms: u64) {
    let is_absolute = is_absolute(request);
    let time = if is_absolute { MS } else { MS_LEFT };
    let Some(word) = request.get(2).filter(|word| word.as_slice() != b"0") else {
        return;
    };
    if let Some(at) = written(word, time, now_ms) {
        request[2] = at;
        if !is_absolute {
            request.push(b"ABSTTL".to_vec());
        }
    }
}

/// Whether the time of a RESTORE is a point in time.
fn is_absolute(request: &Request) -> bool {
    let mut words = request.iter().skip(4);
    words.any(|word| word.eq_ignore_ascii_case(b"ABSTTL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn check(request: &str, expect: &str) {
        let words = request.split(' ').map(|word| word.as_bytes().to_vec());
        let mut request: Request = words.collect();
        rewrite(&mut request, NOW_MS);
        let shown = String::from_utf8(request.join(&b' ')).expect("text");
        // What was put off is shown as it was, behind a plus.
        let words = shown.split(' ').map(|word| {
            let time = word.parse().ok().and_then(settled);
            time.map_or(word.to_string(), |time| format!("+{time}"))
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), expect);
    }

    #[test]
    fn every_request_that_sets_a_deadline_sets_one_that_does_not_come() {
        check("EXPIRE k 10", "PEXPIREAT k +1700000010000");
        check("pexpire k 10 GT", "PEXPIREAT k +1700000000010 GT");
        check("EXPIREAT k 1800000000", "PEXPIREAT k +1800000000000");
        check("PEXPIREAT k 5 NX", "PEXPIREAT k +5 NX");
        check("setex k 10 v", "SET k v PXAT +1700000010000");
        check("PSETEX k 10 v", "SET k v PXAT +1700000000010");
        check("SET k v EX 10", "SET k v PXAT +1700000010000");
        check("SET k v NX px 10 GET", "SET k v NX PXAT +1700000000010 GET");
        check("SET k EX EXAT 7", "SET k EX PXAT +7000");
        check("SET PX PX pxat 7", "SET PX PX PXAT +7");
        check("GETEX k PXAT 7", "GETEX k PXAT +7");
        check("RESTORE k 10 p", "RESTORE k +1700000000010 p ABSTTL");
        check("RESTORE k 10 p REPLACE absttl", "RESTORE k +10 p REPLACE absttl");
        check("RESTORE k 10 absttl", "RESTORE k +1700000000010 absttl ABSTTL");
    }

    #[test]
    fn what_sets_no_deadline_stays_as_it_is() {
        for same in [
            "SET k v",
            "SET k 5 KEEPTTL",
            "SET EX 10",
            "SET k v EX",
            "SET k v EX ten",
            "EXPIRE k",
            "EXPIRE k ten",
            "SETEX k 10",
            "PERSIST k",
            "GETEX k PERSIST",
            "RESTORE k 0 p",
            "HSET EX 10 PX 10",
            "RPUSH l EX 10",
        ] {
            check(same, same);
        }
        rewrite(&mut Vec::new(), NOW_MS);
    }

    #[test]
    fn deadlines_of_fields_are_left_out_and_the_fields_are_not() {
        for (request, expect, had_some) in [
            ("HPEXPIREAT h 5 FIELDS 1 n", "", true),
            ("hexpire h 5 NX FIELDS 1 n", "", true),
            ("HPERSIST h FIELDS 1 n", "", true),
            ("HGETEX h PXAT 5 FIELDS 1 n", "", true),
            ("HSETEX h PXAT 5 FIELDS 2 a 1 b 2", "HSET h a 1 b 2", true),
            ("hsetex h FNX ex 5 fields 1 FIELDS PX", "HSET h FIELDS PX", true),
            ("HSETEX h KEEPTTL FIELDS 1 a EX", "HSET h a EX", false),
            ("HSETEX h EX 5", "HSETEX h EX 5", false),
            ("HGETDEL h FIELDS 1 a", "HGETDEL h FIELDS 1 a", false),
            ("EXPIRE h 5", "EXPIRE h 5", false),
        ] {
            let mut words: Request = request.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(leave_out_of_fields(&mut words), had_some, "{request}");
            assert_eq!(String::from_utf8_lossy(&words.join(&b' ')), expect, "{request}");
        }
    }

    #[test]
    fn a_deadline_that_was_put_off_is_known_and_comes_back() {
        for at_ms in [1, NOW_MS, PUT_OFF_MS - 1] {
            assert_eq!(settled(at_ms), None);
            assert_eq!(settled(put_off(at_ms)), Some(at_ms));
        }
        // One that has passed long ago, and one that never comes.
        assert_eq!(settled(put_off(0)), Some(1));
        assert_eq!(settled(put_off(i64::MAX as u64)), Some(PUT_OFF_MS - 1));
        check("PEXPIREAT k -9223372036854775808", "PEXPIREAT k +1");
        check(
            "EXPIRE k 9223372036854775807",
            &format!("PEXPIREAT k +{}", PUT_OFF_MS - 1),
        );
    }
}
