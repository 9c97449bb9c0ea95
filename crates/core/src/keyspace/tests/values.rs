//! Whole values: copied, moved, sorted, counted. What Redis answers is compared elsewhere; here is what goes over slices,
//! what two copies share, and what is refused.

use super::slices::{assert_same_in_slices, encoded, run_counted};
use super::{Command, Fixture, Keyspace, check};
use crate::keyspace::ReadOutcome;
use crate::limits::VALUE_AT_ONCE_BYTES;
use repligo_proto::reply::ReplyWriter;

#[test]
fn a_command_on_whole_values_in_slices_does_what_it_does_at_once() {
    for script in [
        "COPY a new",
        "COPY large a",
        "COPY large a REPLACE",
        "COPY volatile b REPLACE DB 3",
        "COPY s new",
        "COPY nothing new",
        "COPY gone a REPLACE",
        "COPY a a",
        "MOVE large 2",
        "MOVE l 2",
        "MOVE nothing 2",
        "MOVE a 0",
        "SORT s DESC",
        "SORT l ALPHA",
        "SORT l",
        "SORT l ALPHA DESC LIMIT 1 3",
        "SORT l BY nosort LIMIT 1 3",
        "SORT l BY nosort DESC LIMIT 1 3 STORE new",
        "SORT z BY nosort DESC LIMIT 1 2",
        "SORT s BY * GET # GET h->a GET *",
        "SORT l BY * ALPHA GET # GET * STORE l",
        "SORT s DESC STORE s",
        "SORT nothing STORE a",
        "SORT a",
        "SORT_RO t ALPHA",
        "SORT_RO l BY h->*",
        "PFADD new a b c d e f g a",
        "PFADD new",
        "PFADD a x",
        "PFCOUNT new",
        "PFCOUNT new nothing",
        "PFMERGE new nothing",
        "PFMERGE a new",
        "DUMP large",
        "DUMP l",
        "DUMP h",
        "DUMP s",
        "DUMP z",
        "DUMP nothing",
    ] {
        assert_same_in_slices(script);
    }
}

#[test]
fn a_long_string_is_copied_in_pieces_and_is_the_same() {
    for script in ["COPY long new", "COPY long new DB 1 REPLACE", "MOVE long 5"] {
        let source = encoded(script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let (mut at_once, mut in_slices) = (Fixture::new(), Fixture::new());
        for fixture in [&mut at_once, &mut in_slices] {
            fixture.run(&format!(
                "SETRANGE long {} end ; PEXPIRE long 100000",
                2 * VALUE_AT_ONCE_BYTES
            ));
        }
        assert!(in_slices.keyspace.is_wide(&command), "{script}");
        let mut expected = Vec::new();
        let mut writer = ReplyWriter::new(&mut expected, false);
        at_once.keyspace.apply(&command, &mut writer);
        let task = Keyspace::begin(&command, &source);
        let (reply, slices) = run_counted(&mut in_slices.keyspace, task, 50);
        assert_eq!((&reply[..], &expected[..]), (&b":1\r\n"[..], &b":1\r\n"[..]));
        assert!(slices > 5, "{script}: {slices}");
        assert_eq!(in_slices.keyspace.digest(), at_once.keyspace.digest(), "{script}");
    }
}

#[test]
fn two_copies_of_a_large_collection_change_apart() {
    let mut f = Fixture::new();
    for number in 0..1000 {
        f.run(&format!(
            "HSET h f{number} v ; RPUSH l {number} ; SADD s m{number} ; ZADD z {number} m{number}"
        ));
    }
    let copies = "COPY h h2 ; COPY l l2 DB 1 ; COPY s s2 ; COPY z z2";
    assert_eq!(f.run(copies), "1 ; 1 ; 1 ; 1");
    f.run("HSET h f1 other ; LPOP l ; SREM s m3 ; ZADD z 5000 m0");
    f.run("HDEL h2 f2 ; SREM s2 m4 ; ZREM z2 m1");
    assert_eq!(
        f.run("HGET h f1 ; HGET h2 f1 ; HGET h f2 ; HGET h2 f2"),
        "\"other\" ; \"v\" ; \"v\" ; nil"
    );
    assert_eq!(
        f.run("SCARD s ; SCARD s2 ; ZSCORE z m0 ; ZSCORE z2 m0"),
        "999 ; 999 ; \"5000\" ; \"0\""
    );
    f.db = 1;
    assert_eq!(f.run("LLEN l2 ; LINDEX l2 0"), "1000 ; \"0\"");
    assert_eq!(f.run("FLUSHALL"), "OK");
    assert_eq!(f.keyspace.digest(), Fixture::new().keyspace.digest());
}

#[test]
fn a_set_that_is_stored_in_no_order_is_sorted_all_the_same() {
    check(
        "SADD s c a b ; SORT s BY nosort STORE l ; LRANGE l 0 -1 ; SORT s BY nosort DESC STORE l ; LRANGE l 0 -1",
        "3 ; 3 ; [\"a\", \"b\", \"c\"] ; 3 ; [\"c\", \"b\", \"a\"]",
    );
}

#[test]
fn what_sort_looks_up_may_come_due_before_it_is_read() {
    let mut f = Fixture::new();
    f.run("RPUSH l 1 2 ; SET w_1 5 PX 100 ; SET w_2 4");
    let command = encoded("SORT_RO l BY w_*");
    let command = Command::decode(&mut &command[..]).expect("just encoded");
    let mut out = Vec::new();
    let clock = crate::keyspace::ReadClock {
        now_ms: f.keyspace.time_ms() + 200,
        leader_ms: 0,
    };
    let outcome = f
        .keyspace
        .read(&command, clock, &mut ReplyWriter::new(&mut out, false));
    assert!(matches!(outcome, ReadOutcome::NeedsTime));
}

#[test]
fn a_string_that_is_no_sketch_is_refused_and_stays() {
    let mut f = Fixture::new();
    f.run("SET a abc ; SET b \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\\xfe\"");
    let before = f.keyspace.digest();
    for request in ["PFADD a x", "PFCOUNT a", "PFMERGE new a", "PFCOUNT a new"] {
        assert!(
            f.run(request).contains("WRONGTYPE Key is not a valid"),
            "{request}"
        );
    }
    for request in ["PFCOUNT b", "PFMERGE new b", "PFCOUNT b new"] {
        assert!(f.run(request).contains("INVALIDOBJ"), "{request}");
    }
    assert_eq!(f.keyspace.digest(), before);
}

/// The payload of a key.
fn dumped(f: &mut Fixture, key: &str) -> Vec<u8> {
    let request = super::requests(&format!("DUMP {key}")).remove(0);
    let reply = f.execute(&request);
    let begin = reply.iter().position(|byte| *byte == b'\n').expect("a length") + 1;
    reply[begin..reply.len() - 2].to_vec()
}

fn restore(f: &mut Fixture, key: &str, payload: &[u8]) -> String {
    let words: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", payload, b"REPLACE"];
    let request = repligo_proto::resp::OwnedRequest::new(words);
    String::from_utf8_lossy(&f.execute(&request))
        .trim_end()
        .to_owned()
}

/// A payload with its checksum made right.
fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    let end = payload.len() - 8;
    let crc = repligo_proto::rdb::checksum(0, &payload[..end]);
    payload[end..].copy_from_slice(&crc.to_le_bytes());
    payload
}

const OF_EACH_TYPE: &str = "SET a text ; SET n 12345 ; RPUSH l a 1 \"\" b ; SADD s 1 2 3 ; SADD t a b c ; \
                            HSET h f v g w ; ZADD z 1 a -inf b 2.5 c";

#[test]
fn what_was_dumped_is_restored() {
    let mut f = Fixture::new();
    f.run(OF_EACH_TYPE);
    for number in 0..500 {
        f.run(&format!(
            "RPUSH ll {number} ; SADD ss m{number} ; HSET hh f{number} v ; ZADD zz {number} m{number}"
        ));
    }
    for key in ["a", "n", "l", "s", "t", "h", "z", "ll", "ss", "hh", "zz"] {
        let payload = dumped(&mut f, key);
        assert_eq!(restore(&mut f, "copy", &payload), "+OK", "{key}");
        assert_eq!(dumped(&mut f, "copy"), payload, "{key}");
        let same = |f: &mut Fixture, command: &str| {
            let [one, other] = [key, "copy"].map(|key| f.run(&format!("{command} {key}")));
            assert_eq!(one, other, "{command} {key}");
        };
        same(&mut f, "TYPE");
        same(&mut f, "OBJECT ENCODING");
    }
}

#[test]
fn a_payload_that_was_altered_is_refused_or_a_value_and_nothing_else_is_touched() {
    let mut f = Fixture::new();
    f.run(OF_EACH_TYPE);
    f.run("SET target kept");
    let mut draws = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |end: usize| {
        draws ^= draws << 13;
        draws ^= draws >> 7;
        draws ^= draws << 17;
        draws as usize % end
    };
    let (mut taken, mut refused) = (0, 0);
    for key in ["a", "n", "l", "s", "t", "h", "z"] {
        let payload = dumped(&mut f, key);
        for round in 0..400 {
            let mut altered = payload.clone();
            for _ in 0..1 + draw(3) {
                let at = draw(altered.len() - 10);
                match draw(4) {
                    0 if altered.len() > 12 => _ = altered.remove(at),
                    1 => altered.insert(at, draw(256) as u8),
                    2 => altered[at] = [0, 0x7f, 0x80, 0xff, 1, 18][draw(6)],
                    _ => altered[at] ^= 1 << draw(8),
                }
            }
            let before = f.keyspace.digest();
            // Zeros in front of everything do not count in such a checksum.
            let counted = |payload: &[u8]| {
                let zeros = payload.iter().take_while(|byte| **byte == 0).count();
                payload[zeros..].to_vec()
            };
            if round % 2 == 0 && counted(&altered) != counted(&payload) {
                // Without a new checksum it is never taken.
                assert!(restore(&mut f, "target", &altered).contains("checksum are wrong"));
                assert_eq!(f.keyspace.digest(), before);
                continue;
            }
            match restore(&mut f, "target", &sealed(altered)).as_str() {
                "+OK" => taken += 1,
                "-ERR Bad data format" => {
                    refused += 1;
                    assert_eq!(f.keyspace.digest(), before, "nothing is lost");
                }
                other => panic!("{other}"),
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    assert_eq!(f.run("EXISTS a n l s t h z target"), "8");
}

#[test]
fn a_restored_key_has_the_deadline_that_it_is_given() {
    let mut f = Fixture::new();
    f.run(OF_EACH_TYPE);
    for key in ["a", "l"] {
        let payload = dumped(&mut f, key);
        let ask = |f: &mut Fixture, words: &[&str]| {
            let mut request: Vec<Vec<u8>> = vec![
                b"RESTORE".to_vec(),
                b"copy".to_vec(),
                words[0].into(),
                payload.clone(),
            ];
            request.extend(words[1..].iter().map(|word| word.as_bytes().to_vec()));
            let request = repligo_proto::resp::OwnedRequest::new(request);
            String::from_utf8_lossy(&f.execute(&request))
                .trim_end()
                .to_owned()
        };
        f.run("DEL copy");
        assert_eq!(ask(&mut f, &["5000"]), "+OK");
        assert_eq!(f.run("PTTL copy"), "5000");
        assert_eq!(ask(&mut f, &["0"]), "-BUSYKEY Target key name already exists.");
        assert_eq!(ask(&mut f, &["0", "REPLACE", "FREQ", "5"]), "+OK");
        assert_eq!(f.run("PTTL copy"), "-1");
        let later = (f.keyspace.time_ms() + 700).to_string();
        assert_eq!(
            ask(&mut f, &[&later, "ABSTTL", "REPLACE", "IDLETIME", "9"]),
            "+OK"
        );
        assert_eq!(f.run("PTTL copy"), "700");
        // What has passed removes what was there.
        assert_eq!(ask(&mut f, &["1000", "ABSTTL", "REPLACE"]), "+OK");
        assert_eq!(f.run("EXISTS copy"), "0");
        assert_eq!(ask(&mut f, &["-1"]), "-ERR Invalid TTL value, must be >= 0");
    }
}
