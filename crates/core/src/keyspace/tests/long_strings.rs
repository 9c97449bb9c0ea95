//! What is read and written of long strings in pieces is what is read and written at once.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use super::slices::{block_of, decoded, encoded, run_counted};
use super::{Command, Fixture, Keyspace};
use crate::keyspace::{ReadClock, ReadOutcome};
use crate::limits::{SLICE_STEPS, STEP_BYTES, VALUE_AT_ONCE_BYTES};
use crate::table::HashSeed;

const LONG_BYTES: usize = VALUE_AT_ONCE_BYTES + STEP_BYTES + 1;

fn prepared() -> Fixture {
    let mut fixture = Fixture::new();
    for key in ["long", "volatile"] {
        // Not all of it equal, so that a piece in the wrong place is seen.
        fixture.run(&format!("SETRANGE {key} {} end", LONG_BYTES - 3));
        fixture.run(&format!("SETRANGE {key} 10 begin"));
    }
    fixture.run("PEXPIRE volatile 100000 ; SET short v ; HSET hash a 1");
    fixture
}

fn command(source: &Bytes) -> Command<'_> {
    Command::decode(&mut &source[..]).expect("just encoded")
}

/// The command at once in one keyspace and in slices in another one, which must be the same afterwards; how many
/// slices it took.
fn compare(script: &str, steps: usize) -> usize {
    let source = encoded(script);
    let name = &script[..script.len().min(30)];
    let (mut at_once, mut in_slices) = (prepared(), prepared());
    let mut expected = Vec::new();
    let mut writer = ReplyWriter::new(&mut expected, false);
    at_once.keyspace.apply(&command(&source), &mut writer);
    let task = Keyspace::begin(&command(&source), &source);
    let (reply, slices) = run_counted(&mut in_slices.keyspace, task, steps);
    assert!(reply == expected, "{name} by {steps}: {} bytes", reply.len());
    let states = [&in_slices, &at_once].map(|fixture| {
        let keyspace = &fixture.keyspace;
        (keyspace.digest(), keyspace.next_deadline(), keyspace.counters())
    });
    assert_eq!(states[0], states[1], "{name} by {steps}");
    slices
}

fn check(script: &str, is_long: bool) {
    let source = encoded(script);
    let name = &script[..script.len().min(30)];
    assert_eq!(prepared().keyspace.is_long(&command(&source)), is_long, "{name}");
    for steps in [7, SLICE_STEPS] {
        let slices = compare(script, steps);
        let is_cut = slices > VALUE_AT_ONCE_BYTES / STEP_BYTES / steps / 2;
        assert_eq!(is_cut, is_long, "{name} by {steps}");
    }
}

#[test]
fn a_long_string_that_has_expired_when_it_is_written_removes_what_was_there() {
    let new = "v".repeat(LONG_BYTES);
    assert_eq!(compare(&format!("SET short {new} PXAT 1 GET"), 7), 1);
}

#[test]
fn a_long_string_is_read_and_written_in_pieces_as_at_once() {
    let new = "v".repeat(LONG_BYTES);
    for script in [
        "GET long".to_owned(),
        format!("GETRANGE long 5 {}", LONG_BYTES - 2),
        format!("GETRANGE long -{} -2", LONG_BYTES - 9),
        "GETDEL long".to_owned(),
        "GETDEL volatile".to_owned(),
        "GETEX volatile PERSIST".to_owned(),
        "GETEX long PX 5000".to_owned(),
        "GETEX long PXAT 1".to_owned(),
        "GETEX long".to_owned(),
        "SET long short GET".to_owned(),
        "SET long short NX GET".to_owned(),
        format!("SET long {new} GET"),
        format!("SET long {new}"),
        format!("SET volatile {new} KEEPTTL"),
        format!("SET short {new} PX 5000"),
        format!("SET new {new} GET"),
        format!("SET new {new} NX"),
        format!("SETNX new {new}"),
        format!("SET hash {new}"),
    ] {
        check(&script, true);
    }
}

#[test]
fn mset_writes_each_long_value_in_pieces() {
    let new = "v".repeat(LONG_BYTES);
    for script in [
        format!("MSET short {new} long x volatile {new} hash {new}"),
        format!("MSET new {new} new {new} new2 y"),
        format!("MSETNX new {new} new2 {new}"),
    ] {
        let source = encoded(&script);
        assert!(prepared().keyspace.is_wide(&command(&source)));
        for steps in [7, SLICE_STEPS] {
            let slices = compare(&script, steps);
            assert!(
                slices > 2 * LONG_BYTES / STEP_BYTES / steps / 2,
                "{slices} by {steps}"
            );
        }
    }
    assert_eq!(compare(&format!("MSETNX new {new} short {new}"), 7), 1);
}

#[test]
fn what_is_short_refused_or_missing_is_done_at_once() {
    let new = "v".repeat(LONG_BYTES);
    for script in [
        "GET short".to_owned(),
        "GET hash".to_owned(),
        "GET nothing".to_owned(),
        "GETRANGE long 5 9".to_owned(),
        "GETRANGE long 9 5".to_owned(),
        "GETDEL hash".to_owned(),
        "SET hash x GET".to_owned(),
        format!("SET hash {new} GET"),
        format!("SET short {new} NX"),
        format!("SETNX short {new}"),
        format!("SET nothing {new} XX"),
        "SET short x GET".to_owned(),
    ] {
        check(&script, false);
    }
}

#[test]
fn a_read_says_that_a_string_is_long_before_it_writes_anything() {
    let fixture = prepared();
    let hits = fixture.keyspace.counters().hits;
    for (script, expected) in [
        ("GET long", ReadOutcome::Long),
        ("MGET short long", ReadOutcome::Long),
        ("MGET long", ReadOutcome::Long),
        ("GET short", ReadOutcome::Done),
    ] {
        let source = encoded(script);
        let mut reply = b"before".to_vec();
        let outcome = fixture.keyspace.read(
            &command(&source),
            ReadClock::at(fixture.keyspace.time_ms()),
            &mut ReplyWriter::new(&mut reply, false),
        );
        assert_eq!(outcome, expected, "{script}");
        assert_eq!(reply == b"before", outcome == ReadOutcome::Long, "{script}");
    }
    assert!(fixture.keyspace.counters().hits > hits);
    let source = encoded("GETRANGE long 0 -1");
    assert!(fixture.keyspace.is_wide(&command(&source)));
}

#[test]
fn mget_copies_each_long_value_in_pieces() {
    let mut fixture = prepared();
    let source = encoded("MGET short long nothing long");
    let task = Keyspace::begin(&command(&source), &source);
    let (reply, slices) = run_counted(&mut fixture.keyspace, task, 7);
    let mut expected = Vec::new();
    fixture
        .keyspace
        .apply(&command(&source), &mut ReplyWriter::new(&mut expected, false));
    assert!(reply == expected);
    assert!(slices > 2 * VALUE_AT_ONCE_BYTES / STEP_BYTES / 7, "{slices}");
}

#[test]
fn a_block_reads_in_pieces_what_is_long_when_its_turn_comes() {
    for scripts in [
        ["GET long", "GETDEL long", "GET long"],
        ["RENAME long other", "GET other", "SET other short GET"],
    ] {
        let (mut at_once, mut in_slices) = (prepared(), prepared());
        let source = block_of(&scripts.map(str::to_owned));
        let block = decoded(&source);
        assert!(in_slices.keyspace.is_wide_block(&block, source.len(), true));
        let mut expected = Vec::new();
        let mut writer = ReplyWriter::new(&mut expected, false);
        at_once.keyspace.transaction(&block, &mut writer, &mut |_, _| ());
        let task = in_slices
            .keyspace
            .begin_block(&block, &source)
            .expect("nothing is watched");
        let (reply, slices) = run_counted(&mut in_slices.keyspace, task, 7);
        assert!(reply == expected, "{scripts:?}");
        assert!(slices > 2 * VALUE_AT_ONCE_BYTES / STEP_BYTES / 7, "{slices}");
        assert_eq!(
            in_slices.keyspace.digest(),
            at_once.keyspace.digest(),
            "{scripts:?}"
        );
    }
}

/// All that is left of a snapshot that was begun before, restored.
fn rest_of_snapshot(keyspace: &mut Keyspace) -> Keyspace {
    let mut restored = Keyspace::new(HashSeed::from_number(1));
    let mut is_last = false;
    while !is_last {
        let mut chunk = Vec::new();
        is_last = keyspace.snapshot_next(&mut chunk, 1 << 16);
        restored.restore_chunk(&chunk).expect("its own snapshot");
    }
    restored
}

#[test]
fn a_long_value_that_a_snapshot_shares_is_copied_in_pieces_before_it_is_changed() {
    for script in [
        "APPEND long tail",
        "SETRANGE long 5 mid",
        "SETBIT long 8 1",
        "BITFIELD volatile SET u8 0 7 INCRBY u8 8 1",
    ] {
        let source = encoded(script);
        let (mut alone, mut shared) = (prepared(), prepared());
        assert!(!alone.keyspace.is_wide(&command(&source)), "{script}");
        let mut expected = Vec::new();
        let mut writer = ReplyWriter::new(&mut expected, false);
        alone.keyspace.apply(&command(&source), &mut writer);

        let before = shared.keyspace.digest();
        shared.keyspace.snapshot_begin();
        assert!(shared.keyspace.is_wide(&command(&source)), "{script}");
        let task = Keyspace::begin(&command(&source), &source);
        let (reply, slices) = run_counted(&mut shared.keyspace, task, 100);
        assert_eq!(reply, expected, "{script}");
        assert!(slices >= LONG_BYTES / STEP_BYTES / 100, "{script}: {slices}");
        assert_eq!(shared.keyspace.digest(), alone.keyspace.digest(), "{script}");

        // Nothing shares it any more, so the next change takes one slice.
        let task = Keyspace::begin(&command(&source), &source);
        assert_eq!(run_counted(&mut shared.keyspace, task, 100).1, 1, "{script}");
        assert_eq!(
            rest_of_snapshot(&mut shared.keyspace).digest(),
            before,
            "{script}"
        );
    }
}

#[test]
fn a_copy_that_is_not_whole_when_the_snapshot_ends_is_counted_and_given_up() {
    for ends in [true, false] {
        let mut fixture = prepared();
        let (before, digest) = (fixture.keyspace.memory().allocated, fixture.keyspace.digest());
        fixture.keyspace.snapshot_begin();
        let source = encoded("APPEND long tail");
        let mut task = Keyspace::begin(&command(&source), &source);
        let mut reply = Vec::new();
        let mut steps = 100;
        let mut writer = ReplyWriter::new(&mut reply, false);
        assert!(
            !fixture
                .keyspace
                .advance(&mut task, &mut steps, &mut writer, &mut |_, _| ())
        );
        assert!(fixture.keyspace.memory().allocated > before + LONG_BYTES as u64 / 2);
        if ends {
            assert_eq!(rest_of_snapshot(&mut fixture.keyspace).digest(), digest);
        } else {
            fixture.keyspace.snapshot_abort();
        }
        let (_, slices) = run_counted(&mut fixture.keyspace, task, 100);
        assert_eq!(slices, 1, "nothing shares it any more");
        while fixture.keyspace.is_releasing() {
            fixture.keyspace.release();
        }
        let after = fixture.keyspace.memory().allocated;
        assert!(after < before + LONG_BYTES as u64 / 2, "{before} {after}");
    }
}

#[test]
fn what_is_refused_copies_nothing() {
    let mut fixture = prepared();
    fixture.keyspace.snapshot_begin();
    for script in [
        "APPEND hash x",
        "SETRANGE long 536870912 x",
        "SETBIT hash 8 1",
        "APPEND short x",
    ] {
        let source = encoded(script);
        assert!(!fixture.keyspace.is_wide(&command(&source)), "{script}");
    }
}

#[test]
fn a_long_string_leaves_a_snapshot_in_chunks_of_the_budget_as_it_was_when_the_walk_began() {
    const BUDGET_BYTES: usize = 64 << 10;
    let mut fixture = prepared();
    fixture.run(&format!("SET origin {}", "r".repeat(VALUE_AT_ONCE_BYTES)));
    let (before, mut restored) = (fixture.keyspace.digest(), Keyspace::new(HashSeed::from_number(1)));
    fixture.keyspace.snapshot_begin();
    let (mut chunks, mut is_last) = (0, false);
    while !is_last {
        let mut chunk = Vec::new();
        is_last = fixture.keyspace.snapshot_next(&mut chunk, BUDGET_BYTES);
        assert!(chunk.len() < BUDGET_BYTES + 100 || chunks == 0, "{}", chunk.len());
        restored.restore_chunk(&chunk).expect("its own snapshot");
        chunks += 1;
        // Also while one of them is on its way out.
        match chunks % 8 {
            3 => fixture.run("SETRANGE long 7 x ; APPEND volatile y"),
            5 => fixture.run("DEL volatile ; APPEND long z"),
            _ => String::new(),
        };
    }
    assert!(chunks > 2 * LONG_BYTES / BUDGET_BYTES, "{chunks}");
    assert_eq!(restored.digest(), before);
    assert_ne!(fixture.keyspace.digest(), before);
}

#[test]
fn a_long_string_that_does_not_come_as_it_was_announced_is_refused() {
    let mut fixture = prepared();
    fixture.keyspace.snapshot_begin();
    let mut chunks = Vec::new();
    let mut is_last = false;
    while !is_last {
        let mut chunk = Vec::new();
        is_last = fixture.keyspace.snapshot_next(&mut chunk, 100_000);
        chunks.push(chunk);
    }
    let first = chunks
        .iter()
        .position(|chunk| chunk[1] == 5)
        .expect("a string has several chunks");
    let restore = |chunks: &[Vec<u8>]| {
        let mut restored = Keyspace::new(HashSeed::from_number(1));
        let mut results = chunks.iter().map(|chunk| restored.restore_chunk(chunk));
        results.find_map(Result::err)
    };
    assert!(restore(&chunks).is_none());
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = chunks.clone();
        change(&mut changed);
        restore(&changed)
    };
    for (what, error) in [
        ("a missing part", changed(&|chunks| drop(chunks.remove(first)))),
        ("no end", changed(&|chunks| chunks.truncate(first + 1))),
        ("an empty part", changed(&|chunks| chunks[first].truncate(2))),
        (
            "a part too many",
            changed(&|chunks| chunks.insert(first, chunks[first].clone())),
        ),
        ("a changed byte", changed(&|chunks| chunks[first][50] ^= 1)),
    ] {
        // Whoever reads a snapshot that just ends finds no last chunk.
        assert_eq!(error.is_some(), what != "no end", "{what}: {error:?}");
    }
}
