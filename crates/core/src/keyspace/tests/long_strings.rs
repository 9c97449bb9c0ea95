//! What is read and written of long strings in pieces is what is read and written at once.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use super::slices::{block_of, decoded, encoded, run_counted};
use super::{Command, Fixture, Keyspace};
use crate::keyspace::{ReadClock, ReadOutcome};
use crate::limits::{SLICE_STEPS, STEP_BYTES, VALUE_AT_ONCE_BYTES};

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
