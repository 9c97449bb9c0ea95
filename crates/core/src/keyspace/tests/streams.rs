//! Streams: what replicas agree on, what slices do, and times that follow from the log.

use proptest::prelude::*;

use super::replicas::{assert_is_judged, check_cuts, seeded};
use super::slices::{assert_bounded, assert_same_in_slices, prepared};
use super::{Fixture, START_MS};

/// A change of a stream or its groups.
pub(super) fn step(key: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let id = || (0..60u64, 0..3u64).prop_map(|(ms, seq)| format!("{ms}-{seq}"));
    let group = || prop_oneof![Just("g"), Just("h")];
    let consumer = || prop_oneof![Just("one"), Just("two"), Just("three")];
    (key, id(), group(), consumer(), 0..40u32, 0..14u8).prop_map(
        |(key, id, group, consumer, count, which)| match which {
            0 => format!("XADD {key} * f {count}"),
            1 => format!("XADD {key} {id} f {count}"),
            2 => format!(
                "XADD {key} MAXLEN {count} * field value{count} g {}",
                "w".repeat(count as usize * 9)
            ),
            3 => format!("XDEL {key} {id} {count}-0 {count}-1"),
            4 => format!("XTRIM {key} MINID {id}"),
            5 => format!("XSETID {key} {id}"),
            6 => format!("XGROUP CREATE {key} {group} {id} MKSTREAM"),
            7 => format!("XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} >"),
            8 => format!("XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS {key} {id}"),
            9 => format!("XACK {key} {group} {id} {count}-0 {count}-1"),
            10 => format!("XCLAIM {key} {group} {consumer} 0 {id} {count}-0 FORCE"),
            11 => format!("XAUTOCLAIM {key} {group} {consumer} {count} {id} COUNT 3"),
            12 => format!("XGROUP DELCONSUMER {key} {group} {consumer}"),
            _ if count == 0 => format!("XGROUP DESTROY {key} {group}"),
            _ => format!("XGROUP CREATECONSUMER {key} {group} {consumer}"),
        },
    )
}

#[test]
fn a_command_on_streams_in_slices_does_what_it_does_at_once() {
    for script in [
        "XADD x 10 f v g w",
        "XADD x MAXLEN 3 10 f v",
        "XADD new MAXLEN 0 10 f v",
        "XADD x 1 f v",
        "XADD a 1 f v",
        "XTRIM x MAXLEN 2",
        "XTRIM x MINID 100",
        "XDEL x 1 1 3 9 20",
        "XDEL x 1 x",
        "XRANGE x - +",
        "XRANGE x 2 8 COUNT 4",
        "XREVRANGE x + - COUNT 5",
        "XREVRANGE x + -",
        "XREAD COUNT 3 STREAMS x nothing xx 3 0 8",
        "XREAD STREAMS x xx 9 9",
        "XREAD STREAMS x a 0 0",
        "XINFO STREAM x",
        "XINFO STREAM x FULL",
        "XINFO STREAM x FULL COUNT 2",
        "XINFO STREAM x FULL COUNT 0",
        "XREADGROUP GROUP g two STREAMS x >",
        "XREADGROUP GROUP g two COUNT 2 STREAMS x xx > >",
        "XREADGROUP GROUP g one STREAMS x xx 0 >",
        "XREADGROUP GROUP g one COUNT 1 STREAMS x x x > 0 >",
        "XREADGROUP GROUP g new NOACK STREAMS x >",
        "XREADGROUP GROUP g new STREAMS x nothing > >",
        "XACK x g 1 2 3 4 99",
        "XACK x g 1 x",
        "XPENDING x g",
        "XPENDING x g - + 3",
        "XPENDING x g IDLE 1 - + 100 two",
        "XCLAIM x g three 0 1 2 3 4 5",
        "XCLAIM x g three 1 1 2 7 FORCE JUSTID RETRYCOUNT 5",
        "XCLAIM x g three 100 1 2 3 LASTID 8",
        "XAUTOCLAIM x g three 0 0",
        "XAUTOCLAIM x g three 0 2 COUNT 2 JUSTID",
        "XAUTOCLAIM x g three 100 0 COUNT 1",
        "XGROUP DELCONSUMER x g one",
        "XGROUP DELCONSUMER x g nobody",
        "XGROUP DESTROY x g",
        "XGROUP DESTROY x nothing",
    ] {
        assert_same_in_slices(script);
    }
}

/// A hundred thousand entries, all of them pending.
fn long_stream() -> Fixture {
    let mut fixture = Fixture::new();
    for id in 1..=100_000 {
        fixture.run(&format!("XADD long {id} f v"));
    }
    fixture.run("XGROUP CREATE long g 0 ; XGROUP CREATE long h 0");
    fixture
}

#[test]
fn a_command_over_many_entries_takes_a_bounded_part_of_them_in_each_slice() {
    let cases = [
        ("XRANGE long - +", "*100000", 100_000),
        ("XREAD STREAMS long 0", "*1", 100_000),
        ("XREADGROUP GROUP g one STREAMS long >", "*1", 100_000),
        ("XREADGROUP GROUP g one STREAMS long 0", "*1", 100_000),
        ("XPENDING long g - + 100000", "*100000", 200_000),
        ("XAUTOCLAIM long g two 0 0 COUNT 50000 JUSTID", "*3", 50_000),
        ("XINFO STREAM long FULL COUNT 0", "*18", 300_000),
        ("XGROUP DELCONSUMER long g two", ":50000", 50_000),
        ("XGROUP DESTROY long g", ":1", 50_000),
        ("XTRIM long MAXLEN 100", ":99900", 99_900),
    ];
    assert_bounded(long_stream(), &cases);
}

#[test]
fn a_snapshot_cuts_inside_a_stream_and_goes_on_while_it_changes() {
    let id = |part: usize, at: usize| part * 100 + at + 1;
    check_cuts(
        |part| {
            let entry = |at| format!("XADD large {} f {}", id(part, at), "v".repeat(140));
            let entries: Vec<_> = (0..60).map(entry).collect();
            let group = format!("XGROUP CREATE large g{part} 0");
            let read = format!("XREADGROUP GROUP g{part} c{part} COUNT 20 STREAMS large >");
            [entries.join(" ; "), group, read].join(" ; ")
        },
        |turn| {
            let first = turn * 7;
            format!(
                "XDEL large {first} {} ; XADD large * f new ; XACK large g1 {first} ; XGROUP DESTROY large g{turn}",
                first + 1
            )
        },
    );
}

#[test]
fn a_stream_in_a_chunk_is_judged() {
    let mut fixture = seeded();
    for id in 1..=60 {
        fixture.run(&format!("XADD k {id} f v"));
    }
    fixture.run("XGROUP CREATE k g 0 ; XREADGROUP GROUP g c STREAMS k >");
    assert_is_judged(fixture);
}

#[test]
fn ids_and_times_are_those_of_the_log() {
    let mut fixture = Fixture::new();
    fixture.run("XGROUP CREATE s g 0 MKSTREAM");
    assert_eq!(fixture.run("XADD s * f v"), format!("\"{START_MS}-0\""));
    assert_eq!(fixture.run("XADD s * f v"), format!("\"{START_MS}-1\""));
    fixture.keyspace.set_time(START_MS + 5);
    assert_eq!(fixture.run("XADD s * f v"), format!("\"{}-0\"", START_MS + 5));
    fixture.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    // A reader's clock goes on where no entry comes.
    fixture.ahead_ms = 70;
    let pending = format!("[[\"{START_MS}-0\", \"c\", 70, 1]]");
    assert_eq!(fixture.run("XPENDING s g - + 10"), pending);
    assert_eq!(fixture.run("XPENDING s g IDLE 71 - + 10"), "[]");
    // A write is judged by its stamp.
    assert_eq!(fixture.run(&format!("XCLAIM s g d 70 {START_MS}-0 JUSTID")), "[]");
    fixture.keyspace.set_time(START_MS + 75);
    let claimed = format!("[\"{START_MS}-0\"]");
    assert_eq!(
        fixture.run(&format!("XCLAIM s g d 70 {START_MS}-0 JUSTID")),
        claimed
    );
}

#[test]
fn memory_is_counted_and_given_back() {
    let mut fixture = Fixture::new();
    let before = fixture.keyspace.memory().allocated;
    for id in 1..=20_000 {
        fixture.run(&format!("XADD s {id} field value{id}"));
    }
    fixture.run("XGROUP CREATE s g 0 ; XREADGROUP GROUP g c STREAMS s >");
    let full = fixture.keyspace.memory().allocated - before;
    // Fields and values alone are half a million bytes, what is pending at least as much.
    assert!((700_000..4_000_000).contains(&full), "{full}");
    fixture.run("XACK s g 1 ; DEL s");
    while fixture.keyspace.is_releasing() {
        fixture.keyspace.release();
    }
    assert!(fixture.keyspace.memory().allocated < before + 100_000);
}

#[test]
fn a_read_that_waits_says_so_and_what_finds_something_does_not() {
    let mut fixture = prepared();
    assert_eq!(fixture.run("XREAD BLOCK 0 STREAMS x $"), "WAITS");
    assert_eq!(fixture.run("XREAD BLOCK 0 STREAMS nothing 0"), "WAITS");
    assert!(fixture.run("XREAD BLOCK 0 STREAMS x 8").contains("v9"));
    assert!(!fixture.run("XREAD STREAMS x $").contains("WAITS"));
}
