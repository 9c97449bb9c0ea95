//! A command in slices does what it does at once, however it is cut.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_proto::command::resolve;
use repligo_proto::glob::COMPILED_PER_BYTE_MAX;
use repligo_proto::reply::ReplyWriter;

use super::{Command, Fixture, Keyspace, parse, requests};
use crate::keyspace::digest::READ_BYTES;
use crate::keyspace::{ReadClock, ReadOutcome, Task};
use crate::limits::{SLICE_STEPS, STEP_BYTES, WORK_PER_STEP};
use crate::op::{Op, Transaction, TransactionBuffer};

pub(super) fn encoded(script: &str) -> Bytes {
    let request = requests(script).remove(0);
    let spec = resolve(request.view()).expect("a command");
    let command = parse(spec, 0, request.view()).expect("well-formed");
    let mut out = Vec::new();
    command.encode(&mut out);
    Bytes::from(out)
}

/// Executes a task in slices of so many steps; its reply.
fn run_sliced(keyspace: &mut Keyspace, task: Task, steps_per_slice: usize) -> Vec<u8> {
    run_counted(keyspace, task, steps_per_slice).0
}

/// The same, and how many slices it took.
pub(super) fn run_counted(
    keyspace: &mut Keyspace,
    mut task: Task,
    steps_per_slice: usize,
) -> (Vec<u8>, usize) {
    let mut reply = Vec::new();
    let mut slices = 0;
    loop {
        let mut steps = steps_per_slice;
        let mut writer = ReplyWriter::new(&mut reply, false);
        let done = keyspace.advance(&mut task, &mut steps, &mut writer, &mut |item, writer| {
            writer.integer(item as i64);
        });
        slices += 1;
        assert!(slices < 10_000, "each slice gets further");
        if done {
            return (reply, slices);
        }
        assert_eq!(steps, 0, "a slice ends early only when its steps are used up");
    }
}

pub(super) fn prepared() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.run("MSET a 1 b 2 c 3 d 4 e 5 ; SET volatile x PX 100 ; SET gone x PX 1");
    fixture.run(&format!("SET large {}", "y".repeat(5000)));
    fixture.run("HSET h a 1 b 2 c 3");
    fixture.run("RPUSH l a b a c a 1 b ; RPUSH m x");
    fixture.run("SADD s 1 2 3 4 5 ; SADD t 4 5 6 x ; SADD u 5 x y");
    // The other set is longer than what is left of the first one before all of it is taken out.
    fixture.run("SADD v 1 2 3 4 x ; SADD w 1 2 3 x");
    fixture.run("ZADD z 1 a 2 b 3 c 4 d 5 e ; ZADD y 10 b -inf d inf x");
    fixture
        .run("GEOADD p 12.5 41.9 rome 2.35 48.86 paris -0.13 51.5 london 13.4 52.52 berlin 9.19 45.46 milan");
    fixture.run("XGROUP CREATE x g 0 MKSTREAM ; XGROUP CREATE x other 3 ; XGROUP CREATE xx g 0 MKSTREAM");
    for id in 1..=9 {
        fixture.run(&format!("XADD x {id} f v{id} ; XADD xx {id} f v"));
    }
    fixture.run("XREADGROUP GROUP g one COUNT 4 STREAMS x > ; XREADGROUP GROUP g two COUNT 2 STREAMS x > ; XDEL x 2 5");
    fixture.keyspace.set_time(fixture.keyspace.time_ms() + 1);
    fixture
}

#[test]
fn a_command_in_slices_does_what_it_does_at_once() {
    for script in [
        "MSET a 9 new 8 b 7 a 6 gone 5",
        "MSETNX x 1 y 2 gone 3 x 4",
        "MSETNX x 1 y 2 c 3",
        "DEL a nothing b a gone large volatile",
        "EXISTS a nothing b a gone",
        "TOUCH a nothing b",
        "MGET a nothing large b gone volatile",
        "KEYS [a-c]",
        "KEYS *",
        "KEYS *a*",
        "SCAN 0 COUNT 3 MATCH [a-d]*",
        "SCAN 0 TYPE hash COUNT 100",
        "SCAN 0 COUNT 100",
        "MSETEX 3 a 9 new 8 b 7",
        "MSETEX 3 a 9 new 8 gone 7 NX",
        "MSETEX 2 new 8 gone 7 NX PX 50",
        "MSETEX 2 a 1 gone 7 XX",
        "LCS a large LEN",
        "HSET h a 9 new 8 b 7 a 6",
        "HSET new a 9 b 8 a 7",
        "HSET a x y",
        "HDEL h a nothing b a",
        "HDEL h a b c",
        "HMGET h a nothing c a",
        "HGETALL h",
        "HKEYS nothing",
        "SADD s 9 1 x 8 9",
        "SADD new 9 1 9",
        "SADD a 1 2",
        "SREM s 1 9 2",
        "SREM u 5 x y",
        "SMEMBERS t",
        "SMISMEMBER s 1 9 2",
        "SPOP s 3",
        "SPOP s 9",
        "SPOP s",
        "SPOP nothing 2",
        "SINTER s t",
        "SINTER t u s",
        "SINTER t nothing",
        "SUNION s nothing t u",
        "SDIFF s t",
        "SDIFF s t u nothing",
        "SDIFF t s u a",
        "SDIFF v w",
        "SDIFFSTORE new v w",
        "SINTERCARD 2 s t LIMIT 1",
        "SINTERSTORE s s t",
        "SINTERSTORE a s u t",
        "SUNIONSTORE new s t u",
        "SDIFFSTORE s s s",
        "SDIFFSTORE new t u",
        "RPUSH l x y z x",
        "LPUSH new x y z x",
        "RPUSH a x y",
        "LPUSHX l x y z",
        "RPUSHX new x y z",
        "LPOP l 3",
        "RPOP l 9",
        "RPOP l",
        "LPOP nothing 3",
        "LPOP a 2",
        "LMPOP 3 nothing new l RIGHT COUNT 4",
        "LMPOP 2 m l LEFT COUNT 4",
        "LMPOP 2 nothing new LEFT",
        "LMPOP 2 nothing a LEFT",
        "LRANGE l 1 -2",
        "LRANGE nothing 0 -1",
        "LTRIM l 2 -3",
        "LTRIM l 5 2",
        "LTRIM l 0 -1",
        "LTRIM nothing 0 -1",
        "LPOS l a COUNT 0",
        "LPOS l a RANK -2 COUNT 2",
        "LPOS l b RANK 2 MAXLEN 5",
        "LINSERT l AFTER c new",
        "LINSERT l BEFORE nothing new",
        "LREM l 2 a",
        "LREM l -2 a",
        "LREM l 0 b",
        "LREM m 0 x",
        "SETBIT a 60000 1",
        "SETBIT a 3 0",
        "BITCOUNT large 1 -2",
        "BITPOS large 0",
        "BITPOS large 0 2500 -1",
        "BITOP XOR new large a nothing",
        "BITOP NOT a large",
        "BITOP OR new new large",
        "BITOP AND large a b",
        "BITOP OR a nothing x",
        "BITFIELD a GET u8 0 SET u8 3 200 OVERFLOW FAIL INCRBY u8 3 100 SET i64 30000 -1",
    ] {
        assert_same_in_slices(script);
    }
}

#[test]
fn a_command_on_sorted_sets_in_slices_does_what_it_does_at_once() {
    for script in [
        "ZADD z 9 a 1 new 3 c 2 new",
        "ZADD z CH GT 0 a 7 b",
        "ZADD new XX 1 a",
        "ZADD new NX 1 a 2 a",
        "ZADD z 1 a 2 new nan c",
        "ZADD s 1 a",
        "ZADD z INCR 3 a",
        "ZINCRBY y -inf x",
        "ZREM z a nothing c",
        "ZREM z a b c d e",
        "ZMSCORE z a nothing c",
        "ZRANGE z 0 -1 WITHSCORES",
        "ZRANGE z -3 -2 REV",
        "ZRANGE z (1 +inf BYSCORE LIMIT 1 2 WITHSCORES",
        "ZREVRANGEBYSCORE z +inf 2",
        "ZRANGEBYLEX z - + LIMIT 1 3",
        "ZREMRANGEBYRANK z 1 3",
        "ZREMRANGEBYRANK z 0 -1",
        "ZREMRANGEBYSCORE z (1 4",
        "ZREMRANGEBYLEX z [b (d",
        "ZPOPMIN z 3",
        "ZPOPMAX z 9",
        "ZPOPMAX z",
        "ZPOPMIN nothing 2",
        "ZMPOP 3 nothing new z MAX COUNT 3",
        "ZMPOP 2 z y MIN COUNT 9",
        "ZMPOP 2 nothing s MIN",
        "ZMPOP 2 nothing new MIN",
        "ZRANGESTORE new z 1 -2",
        "ZRANGESTORE z z (1 4 BYSCORE",
        "ZRANGESTORE s z +inf 2 BYSCORE REV LIMIT 1 2",
        "ZRANGESTORE z nothing 0 -1",
        "ZRANGESTORE new s 0 -1",
        "ZUNION 3 z nothing y WITHSCORES",
        "ZUNION 3 t y z WEIGHTS 2 -1 inf AGGREGATE MIN WITHSCORES",
        "ZINTER 2 z y WITHSCORES",
        "ZINTER 2 z nothing",
        "ZDIFF 2 z y WITHSCORES",
        "ZDIFF 2 y z",
        "ZDIFF 2 v w",
        "ZDIFF 3 z nothing a",
        "ZINTERCARD 2 z y LIMIT 1",
        "ZINTERCARD 2 y z",
        "ZUNIONSTORE z 3 z y t WEIGHTS 1 2 3",
        "ZINTERSTORE z 2 z nothing",
        "ZINTERSTORE new 2 z y AGGREGATE MAX",
        "ZDIFFSTORE new 2 z y",
        "ZDIFFSTORE a 2 z z",
    ] {
        assert_same_in_slices(script);
    }
}

pub(super) fn assert_same_in_slices(script: &str) {
    let source = encoded(script);
    for steps in [1, 2, 3, 7, 1000] {
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let (mut at_once, mut in_slices) = (prepared(), prepared());
        let mut expected = Vec::new();
        at_once
            .keyspace
            .apply(&command, &mut ReplyWriter::new(&mut expected, false));
        let task = Keyspace::begin(&command, &source);
        assert_eq!(
            run_sliced(&mut in_slices.keyspace, task, steps),
            expected,
            "{script} by {steps}"
        );
        assert_eq!(
            in_slices.keyspace.digest(),
            at_once.keyspace.digest(),
            "{script} by {steps}"
        );
        assert_eq!(
            versions(&in_slices.keyspace, script),
            versions(&at_once.keyspace, script),
            "{script} by {steps}"
        );
    }
}

/// What the next write and WATCH of any word of a command as a key are given. A digest shows none of it before that.
fn versions(keyspace: &Keyspace, script: &str) -> (u64, Vec<u64>) {
    let of_words = script
        .split(' ')
        .map(|word| keyspace.version_of(0, word.as_bytes()));
    (keyspace.latest_version(), of_words.collect())
}

#[test]
fn a_value_that_grows_far_is_written_in_pieces_and_is_the_same() {
    let far = SLICE_STEPS * STEP_BYTES + 1;
    let long = "v".repeat(far);
    let gap = 2 * far;
    for script in [
        format!("SETRANGE longer {gap} end"),
        format!("SETRANGE large 3 {long}"),
        format!("APPEND large {long}"),
    ] {
        let source = encoded(&script);
        let name = &script[..20];
        for steps in [1, 50, SLICE_STEPS] {
            let command = Command::decode(&mut &source[..]).expect("just encoded");
            let (mut at_once, mut in_slices) = (prepared(), prepared());
            for fixture in [&mut at_once, &mut in_slices] {
                fixture.run(&format!("SETRANGE longer {far} x"));
            }
            assert!(in_slices.keyspace.is_wide(&command), "{name}");
            let mut expected = Vec::new();
            at_once
                .keyspace
                .apply(&command, &mut ReplyWriter::new(&mut expected, false));
            let task = Keyspace::begin(&command, &source);
            let (reply, slices) = run_counted(&mut in_slices.keyspace, task, steps);
            assert_eq!(reply, expected, "{name} by {steps}");
            assert!(slices > SLICE_STEPS / steps, "{name} by {steps}: {slices}");
            assert_eq!(
                in_slices.keyspace.digest(),
                at_once.keyspace.digest(),
                "{name} by {steps}"
            );
        }
    }
}

#[test]
fn what_writes_little_of_a_long_value_or_is_refused_is_done_at_once() {
    let mut fixture = prepared();
    let far = SLICE_STEPS * STEP_BYTES + 1;
    fixture.run(&format!("SETRANGE long {far} end"));
    for script in [
        format!("SETRANGE long {far} x"),
        "APPEND long x".to_owned(),
        format!("APPEND nothing {}", "v".repeat(far)),
        format!("SETRANGE nothing {} end", 512 << 20),
        "SETRANGE nothing 500000000 \"\"".to_owned(),
    ] {
        let source = encoded(&script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        assert!(!fixture.keyspace.is_wide(&command), "{}", &script[..15]);
    }
}

#[test]
fn short_ops_that_write_much_are_counted_one_by_one_and_in_blocks() {
    let fixture = prepared();
    for (length, wide) in [(STEP_BYTES, false), (16 * STEP_BYTES, true)] {
        let source = encoded(&format!("SETRANGE new {length} x"));
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        assert_eq!(fixture.keyspace.is_wide(&command), wide, "{length}");
    }
}

/// The block of these commands, encoded as an op.
pub(super) fn block_of(scripts: &[String]) -> Bytes {
    let mut buffer = TransactionBuffer::default();
    for script in scripts {
        let source = encoded(script);
        buffer.push(&Command::decode(&mut &source[..]).expect("just encoded"));
    }
    let mut out = Vec::new();
    Op::Transaction(buffer.transaction()).encode(&mut out);
    Bytes::from(out)
}

pub(super) fn decoded(source: &Bytes) -> Transaction<'_> {
    match Op::decode(&mut &source[..]) {
        Ok(Op::Transaction(block)) => block,
        _ => panic!("a block was encoded"),
    }
}

#[test]
fn a_block_that_deletes_a_long_value_before_it_writes_it_anew_is_executed_in_slices() {
    let mut fixture = prepared();
    let far = SLICE_STEPS * STEP_BYTES;
    fixture.run(&format!("SETRANGE long {far} end"));
    let append = format!("APPEND long {}", "v".repeat(2 * far));
    let source = block_of(&["DEL long".to_owned(), format!("SETRANGE long {far} x"), append]);
    let block = decoded(&source);
    assert!(fixture.keyspace.is_wide_block(&block, source.len(), true));
    let task = fixture
        .keyspace
        .begin_block(&block, &source)
        .expect("nothing is watched");
    let (reply, slices) = run_counted(&mut fixture.keyspace, task, 50);
    let (first, last) = (far + 1, 3 * far + 1);
    assert_eq!(reply, format!("*3\r\n:1\r\n:{first}\r\n:{last}\r\n").as_bytes());
    assert!(slices > 2 * SLICE_STEPS / 50, "{slices}");
}

/// Bytes of long values that were read for the digest since the last call.
fn take_read_bytes() -> usize {
    READ_BYTES.with(std::cell::Cell::take)
}

const LONG_BYTES: usize = 48 << 20;

#[test]
fn long_values_that_go_are_neither_read_nor_freed_at_once() {
    for script in [
        "DEL long other",
        "GETDEL long",
        "SET long x",
        "RENAME other long",
        "PEXPIRE long -1",
        "FLUSHDB",
        "FLUSHALL",
    ] {
        let mut fixture = prepared();
        fixture.run(&format!("SET other x ; SETRANGE long {} x", LONG_BYTES - 1));
        take_read_bytes();
        fixture.run(script);
        assert_eq!(take_read_bytes(), 0, "{script}");
        let mut releases = 0;
        while fixture.keyspace.is_releasing() {
            fixture.keyspace.release();
            releases += 1;
        }
        assert!((2..10).contains(&releases), "{script}: {releases}");
        assert_eq!(fixture.keyspace.leaving_bytes(), 0, "{script}");
    }
}

#[test]
fn a_long_value_that_expires_is_neither_read_nor_freed_at_once() {
    let mut fixture = prepared();
    fixture.run(&format!("SETRANGE long {} x ; PEXPIRE long 5", LONG_BYTES - 1));
    let digest_without = {
        let mut without = prepared();
        without.keyspace.set_time(fixture.keyspace.time_ms() + 5);
        without.keyspace.digest()
    };
    take_read_bytes();
    fixture.keyspace.set_time(fixture.keyspace.time_ms() + 5);
    assert_eq!(take_read_bytes(), 0);
    assert_eq!(fixture.keyspace.digest(), digest_without);
    assert_eq!(fixture.keyspace.leaving_bytes(), LONG_BYTES);
}

#[test]
fn a_long_value_is_moved_to_its_new_name() {
    let mut fixture = prepared();
    fixture.run(&format!("SETRANGE long {} x ; EXPIRE long 100", LONG_BYTES - 1));
    let place = |fixture: &Fixture, key: &[u8]| {
        let entry = fixture.keyspace.find(0, key).expect("it is there");
        (entry.value.as_ptr(), entry.value.len(), entry.deadline_ms)
    };
    let before = place(&fixture, b"long");
    fixture.keyspace.snapshot_begin();
    take_read_bytes();
    fixture.run("RENAME long a ; RENAMENX a new ; RENAME new volatile");
    assert_eq!(place(&fixture, b"volatile"), before);
    assert_eq!(take_read_bytes(), 0);
    // What was counted with each name is what such an entry counts for.
    let entry = fixture.keyspace.find(0, b"volatile").expect("it is there");
    let (value, meta) = (entry.value.to_vec(), entry.meta());
    let digest = fixture.keyspace.digest();
    fixture.keyspace.put_entry(0, b"volatile", (&value, meta));
    assert_eq!(fixture.keyspace.digest(), digest);
    // The walk that began before gives the value under the name that it had.
    let (mut chunks, mut restored) = (Vec::new(), Keyspace::default());
    loop {
        let is_last = fixture.keyspace.snapshot_next(&mut chunks, 1 << 20);
        restored.restore_chunk(&chunks).expect("a snapshot of its own");
        chunks.clear();
        if is_last {
            break;
        }
    }
    assert_eq!(
        restored.find(0, b"long").map(|entry| entry.value.len()),
        Some(LONG_BYTES)
    );
}

#[test]
fn zeros_behind_a_short_value_take_no_steps_and_count_as_if_they_were_written() {
    for script in [
        "SETRANGE large",
        "SETRANGE nothing",
        "SETRANGE volatile",
        "SETRANGE gone",
    ] {
        let mut fixture = prepared();
        let source = encoded(&format!("{script} {} end", LONG_BYTES - 3));
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        take_read_bytes();
        let task = Keyspace::begin(&command, &source);
        let (_, slices) = run_counted(&mut fixture.keyspace, task, SLICE_STEPS);
        assert_eq!(slices, 1, "{script}");
        assert!(take_read_bytes() < 3 * 5000, "{script}");
        let mut at_once = prepared();
        at_once.keyspace.apply(&command, &mut ReplyWriter::discard());
        assert_eq!(fixture.keyspace.digest(), at_once.keyspace.digest(), "{script}");
    }
}

/// A million elements, `x` at every hundredth place.
fn long_list() -> Fixture {
    let mut fixture = Fixture::new();
    for thousand in 0..1000 {
        let elements = (0..1000).map(|number| match number % 100 {
            99 => "x".to_owned(),
            _ => (thousand * 1000 + number).to_string(),
        });
        let elements: Vec<_> = elements.collect();
        fixture.run(&format!("RPUSH long {}", elements.join(" ")));
    }
    fixture
}

/// Two hundred thousand members, two thousand of each score.
fn long_sorted_set() -> Fixture {
    let mut fixture = Fixture::new();
    for thousand in 0..200 {
        let members = (0..1000).map(|number| format!("{} m{thousand}:{number}", number % 100));
        let members: Vec<_> = members.collect();
        fixture.run(&format!("ZADD long {}", members.join(" ")));
    }
    fixture
}

#[test]
fn a_command_over_many_elements_takes_a_bounded_part_of_them_in_each_slice() {
    let cases = [
        ("LPOS long 999998", ":999998", 1_000_000),
        ("LPOS long nothing RANK -1 COUNT 0", "*0", 1_000_000),
        ("LINSERT long BEFORE 999998 new", ":1000001", 1_000_000),
        ("LINSERT long AFTER nothing new", ":-1", 1_000_000),
        ("LREM long 0 x", ":10000", 1_000_000),
        ("LREM long -1 1", ":1", 990_000),
        ("LTRIM long 400000 -400001", "+OK", 800_000),
        ("LRANGE long 0 -1", "*190000", 190_000),
    ];
    assert_bounded(long_list(), &cases);
    let cases = [
        ("ZRANGE long 0 -1", "*200000", 200_000),
        ("ZINTERCARD 2 long long", ":200000", 400_000),
        ("ZUNIONSTORE copy 1 long", ":200000", 400_000),
        ("ZDIFF 2 copy long", "*0", 400_000),
        ("ZRANGESTORE copy long 0 99999", ":100000", 100_000),
        ("ZREVRANGEBYSCORE long 99 (49", "*100000", 100_000),
        ("ZREMRANGEBYSCORE long 0 49", ":100000", 100_000),
        ("ZPOPMAX long 50000", "*100000", 50_000),
        ("ZREMRANGEBYRANK long 0 -2", ":49999", 49_999),
    ];
    assert_bounded(long_sorted_set(), &cases);
}

/// Each command replies with what begins so, and goes past so many elements.
pub(super) fn assert_bounded(mut fixture: Fixture, cases: &[(&str, &str, usize)]) {
    // About so many elements, or blocks of some hundreds of them, are passed for one step.
    const PER_SLICE: usize = 8 * SLICE_STEPS + 4096;
    for (script, expected, passed) in cases {
        let source = encoded(script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        assert!(fixture.keyspace.is_wide(&command), "{script}");
        let task = Keyspace::begin(&command, &source);
        let (reply, slices) = run_counted(&mut fixture.keyspace, task, SLICE_STEPS);
        assert!(
            reply.starts_with(format!("{expected}\r\n").as_bytes()),
            "{script}: {}",
            String::from_utf8_lossy(&reply[..20.min(reply.len())])
        );
        assert!(slices >= passed / PER_SLICE, "{script}: {slices}");
    }
}

#[test]
fn few_elements_that_are_long_are_compared_copied_and_freed_in_slices() {
    let long = "x".repeat(100_000);
    for script in [
        format!("LPOS list {} COUNT 0", "y".repeat(100_000)),
        format!("LREM list 0 {}", "y".repeat(100_000)),
        format!("LINSERT list BEFORE {} new", "y".repeat(100_000)),
        "LRANGE list 0 -1".to_owned(),
        "LPOP list 100".to_owned(),
        "LMPOP 1 list LEFT COUNT 100".to_owned(),
        "LTRIM list 1 0".to_owned(),
    ] {
        let mut fixture = Fixture::new();
        for _ in 0..120 {
            fixture.run(&format!("RPUSH list {long}"));
        }
        let source = encoded(&script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let name = &script[..10];
        assert!(fixture.keyspace.is_wide(&command), "{name}");
        let task = Keyspace::begin(&command, &source);
        let (_, slices) = run_counted(&mut fixture.keyspace, task, SLICE_STEPS);
        assert!(slices > 1, "{name}");
    }
    let mut fixture = Fixture::new();
    fixture.run(&format!("RPUSH list {long} a b"));
    for script in ["LPOS list a", "LRANGE list 1 -1", "RPOP list"] {
        let source = encoded(script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        assert!(!fixture.keyspace.is_wide(&command), "{script}");
    }
}

#[test]
fn a_long_collection_that_goes_is_given_back_in_pieces_and_counted_until_it_is() {
    let scripts = ["DEL long", "SET long x", "FLUSHALL"];
    for (long, cut) in [
        (long_list as fn() -> Fixture, "LTRIM long 1 0"),
        (long_sorted_set, "ZREMRANGEBYRANK long 0 -1"),
    ] {
        for script in scripts {
            let mut fixture = long();
            let full = fixture.keyspace.memory().allocated;
            assert!(full > 3_000_000, "{full}");
            fixture.run(script);
            assert!(fixture.keyspace.memory().allocated > full / 2, "{script}");
            let mut releases = 0;
            while fixture.keyspace.is_releasing() {
                fixture.keyspace.release();
                releases += 1;
            }
            assert!(releases > 0, "{script}");
            assert!(fixture.keyspace.memory().allocated < full / 10, "{script}");
        }
        let mut fixture = long();
        let full = fixture.keyspace.memory().allocated;
        let source = encoded(cut);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let task = Keyspace::begin(&command, &source);
        let (_, slices) = run_counted(&mut fixture.keyspace, task, 64);
        assert!(slices > 100, "{slices}");
        assert!(fixture.keyspace.memory().allocated < full / 10, "{cut}");
    }
}

#[test]
fn a_block_tells_which_of_its_items_failed() {
    let mut fixture = prepared();
    let source = block_of(&["SET word x", "INCR word", "GET word", "INCRBYFLOAT word 1"].map(str::to_owned));
    let block = decoded(&source);
    let task = fixture.keyspace.begin_block(&block, &source);
    let mut task = task.expect("nothing is watched");
    let mut reply = Vec::new();
    let mut writer = ReplyWriter::new(&mut reply, false);
    assert!(
        fixture
            .keyspace
            .advance(&mut task, &mut 100, &mut writer, &mut |_, _| ())
    );
    let failures = task.take_failures();
    let positions: Vec<u32> = failures.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, [1, 3]);
    assert!(
        failures
            .iter()
            .all(|(_, error)| error.starts_with(b"-ERR value is not"))
    );
}

#[test]
fn a_block_in_slices_does_what_it_does_at_once() {
    let mut buffer = TransactionBuffer::default();
    for script in [
        "SET a 2",
        "GET a",
        "MSET q 1 r 2 s 3",
        "DEL a q",
        "KEYS *",
        "SCAN 0 COUNT 5",
        "INCR r",
    ] {
        let source = encoded(script);
        buffer.push(&Command::decode(&mut &source[..]).expect("just encoded"));
        buffer.push_local();
    }
    let mut out = Vec::new();
    Op::Transaction(buffer.transaction()).encode(&mut out);
    let source = Bytes::from(out);
    for steps in [1, 3, 1000] {
        let block = decoded(&source);
        let (mut at_once, mut in_slices) = (prepared(), prepared());
        let mut expected = Vec::new();
        let mut writer = ReplyWriter::new(&mut expected, false);
        at_once
            .keyspace
            .transaction(&block, &mut writer, &mut |item, writer| {
                writer.integer(item as i64);
            });
        let task = in_slices
            .keyspace
            .begin_block(&block, &source)
            .expect("nothing is watched");
        assert_eq!(run_sliced(&mut in_slices.keyspace, task, steps), expected);
        assert_eq!(in_slices.keyspace.digest(), at_once.keyspace.digest());
    }
}

/// A pattern that costs its length at each byte of a key of `a`s, and matches none.
fn costly_pattern(length: usize) -> String {
    format!("*?{}b*", "a".repeat(length))
}

#[test]
fn comparisons_of_a_walk_are_steps_within_a_single_key_too() {
    let mut fixture = Fixture::new();
    fixture.run(&format!("SET {} 1 ; SET b 1", "a".repeat(20_000)));
    for script in ["KEYS", "SCAN 0 MATCH"] {
        let source = encoded(&format!("{script} {}", costly_pattern(2_000)));
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let mut task = Keyspace::begin(&command, &source);
        let (mut reply, mut slices) = (Vec::new(), 0);
        loop {
            let mut writer = ReplyWriter::new(&mut reply, false);
            let mut steps = SLICE_STEPS;
            slices += 1;
            if fixture
                .keyspace
                .advance(&mut task, &mut steps, &mut writer, &mut |_, _| ())
            {
                break;
            }
            assert!(task.gives_way() && steps == 0);
        }
        let comparisons = 2_000 * 18_000;
        assert!(slices >= comparisons / (SLICE_STEPS * WORK_PER_STEP), "{slices}");
        assert!(reply.ends_with(b"*0\r\n"));
    }
}

#[test]
fn a_walk_that_compares_much_is_not_answered_at_once() {
    let mut fixture = Fixture::new();
    fixture.run(&format!("SET {} 1 ; SET b 1", "a".repeat(20_000)));
    let clock = ReadClock {
        now_ms: fixture.keyspace.time_ms(),
        leader_ms: 0,
    };
    for (script, expected) in [
        (format!("KEYS {}", costly_pattern(2_000)), ReadOutcome::Long),
        (
            format!("SCAN 0 MATCH {}", costly_pattern(2_000)),
            ReadOutcome::Long,
        ),
        (
            format!("SCAN 0 MATCH *[{}]c*", "b".repeat(40_000)),
            ReadOutcome::Done,
        ),
        ("KEYS *aab*".to_owned(), ReadOutcome::Done),
    ] {
        let source = encoded(&script);
        let command = Command::decode(&mut &source[..]).expect("just encoded");
        let mut reply = Vec::new();
        let outcome = fixture
            .keyspace
            .read(&command, clock, &mut ReplyWriter::new(&mut reply, false));
        assert_eq!(outcome, expected, "{}", &script[..20.min(script.len())]);
        assert_eq!(reply.is_empty(), expected == ReadOutcome::Long);
    }
}

#[test]
fn a_walk_gives_every_lasting_key_once_while_others_come_and_go() {
    let mut fixture = Fixture::new();
    for number in 0..2000 {
        fixture.run(&format!("MSET lasting:{number} x old:{number} x"));
    }
    let source = encoded("KEYS *");
    let command = Command::decode(&mut &source[..]).expect("just encoded");
    let mut task = Keyspace::begin(&command, &source);
    let (mut reply, mut round) = (Vec::new(), 0);
    loop {
        let mut writer = ReplyWriter::new(&mut reply, false);
        if fixture
            .keyspace
            .advance(&mut task, &mut 50, &mut writer, &mut |_, _| ())
        {
            break;
        }
        for number in round * 40..(round + 1) * 40 {
            fixture.run(&format!("SET new:{number} x ; DEL old:{number}"));
        }
        round += 1;
    }
    assert!(round > 20, "the walk took its time");
    let text = String::from_utf8(reply).expect("keys are text");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let keys: Vec<&str> = text.lines().filter(|line| line.contains(':')).collect();
    keys.iter().for_each(|key| *seen.entry(key).or_default() += 1);
    assert!(seen.values().all(|&count| count == 1));
    assert_eq!(
        seen.keys().filter(|key| key.starts_with("lasting:")).count(),
        2000
    );
    assert!(text.starts_with(&format!("*{}\r\n", keys.len())));
}

#[test]
fn a_walk_counts_what_it_compiles_and_copies() {
    const KEY_BYTES: usize = 5_000;
    let mut fixture = Fixture::new();
    for number in 10..22 {
        fixture.run(&format!("SET {}{number} 1", "a".repeat(KEY_BYTES)));
    }
    let source = encoded(&format!("KEYS {}", costly_pattern(500)));
    let command = Command::decode(&mut &source[..]).expect("just encoded");
    let mut task = Keyspace::begin(&command, &source);
    assert_eq!(task.held_bytes(), 0, "nothing is compiled yet");
    let (mut reply, mut held_bytes_max) = (Vec::new(), 0);
    let mut writer = ReplyWriter::new(&mut reply, false);
    while !fixture
        .keyspace
        .advance(&mut task, &mut { 10 }, &mut writer, &mut |_, _| ())
    {
        held_bytes_max = held_bytes_max.max(task.held_bytes());
    }
    let compiled_bytes = task.held_bytes();
    assert!((500..=COMPILED_PER_BYTE_MAX * 510).contains(&compiled_bytes));
    // Some bucket has several of twelve keys; while the first of them is compared the others are copies.
    assert!(
        held_bytes_max >= compiled_bytes + 2 * KEY_BYTES,
        "{held_bytes_max}"
    );
}
