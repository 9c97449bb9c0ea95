//! Which reads of a client are told again, and of what was announced.

use repligo_proto::command::resolve;
use repligo_proto::resp::OwnedRequest;

use super::*;
use crate::replies::{BufferPool, Shape};

fn row(words: &[&str]) -> &'static Spec {
    resolve(OwnedRequest::new(words).view()).expect("a command")
}

fn tracking(mode: Mode) -> Session {
    let mut session = Session::new(1, 0, 0, 1 << 20);
    let tracker = Tracker {
        mode,
        ..Tracker::default()
    };
    session.tracker = Some(Box::new(tracker));
    session
}

fn tracker(session: &mut Session) -> &mut Tracker {
    session.tracker.as_deref_mut().expect("it tracks")
}

/// A read of these keys that the core answers later; its number.
fn read(session: &mut Session, keys: &[&str]) -> u32 {
    let sequence = session.replies.expect(Shape::Plain, CommandId::MGet.number(), 0);
    let mut names = Names::default();
    keys.iter().for_each(|key| names.add(key.as_bytes()));
    tracker(session).pending.push_back(Pending::new(sequence, names));
    sequence
}

fn answer(session: &mut Session, sequence: u32) {
    session.replies.take_waiting(sequence).expect("it waits");
    session
        .replies
        .answer(sequence, b"$-1\r\n", &mut BufferPool::default());
}

#[test]
fn a_key_is_told_again_behind_each_read_of_it_and_once_before() {
    let mut session = tracking(Mode::Read);
    let keys: Vec<String> = (0..300).map(|number| format!("{number:03}")).rev().collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("007");
    let first = read(&mut session, &keys);
    for (key, expect) in [
        ("007", Mark::First),
        ("299", Mark::First),
        ("007", Mark::Again),
        ("300", Mark::Answered),
    ] {
        assert_eq!(session.mark(key.as_bytes()), expect, "{key}");
    }
    let second = read(&mut session, &["007", "300"]);
    assert_eq!(session.mark(b"007"), Mark::Again);
    assert!(session.take_settled().is_unsettled);
    answer(&mut session, first);
    let again = session.take_settled();
    assert_eq!(again.keys, ["007", "299"]);
    assert!(again.is_unsettled && !again.everything);
    answer(&mut session, second);
    let again = session.take_settled();
    assert_eq!(again.keys, ["007"]);
    assert!(!again.is_unsettled);
    assert_eq!(session.mark(b"007"), Mark::Answered);
}

#[test]
fn behind_very_many_reads_everything_is_told_as_changed() {
    let mut session = tracking(Mode::Read);
    let reads: Vec<u32> = (0..=SEARCHED_READS_MAX)
        .map(|_| read(&mut session, &["k"]))
        .collect();
    assert_eq!(session.mark(b"k"), Mark::First);
    for sequence in &reads[1..] {
        assert!(!session.take_settled().everything);
        answer(&mut session, sequence - 1);
    }
    assert!(!session.take_settled().everything);
    answer(&mut session, reads[SEARCHED_READS_MAX]);
    assert!(session.take_settled().everything);
}

#[test]
fn reads_that_were_answered_are_forgotten_unless_they_are_to_be_told_again() {
    let mut session = tracking(Mode::Read);
    let reads = [
        read(&mut session, &["a"]),
        read(&mut session, &["b"]),
        read(&mut session, &["a"]),
    ];
    assert_eq!(session.mark(b"b"), Mark::First);
    for (sequence, left) in reads.into_iter().zip([2, 2, 1]) {
        answer(&mut session, sequence);
        let (replies, Some(tracker)) = (&session.replies, &mut session.tracker) else {
            panic!("it tracks");
        };
        tracker.forget_answered(replies);
        assert_eq!(tracker.pending.len(), left);
    }
}

#[test]
fn names_that_take_too_much_are_not_kept() {
    let long = "x".repeat(NAME_BYTES_MAX);
    for (count, name, is_too_much) in [
        (1, &long[..], false),
        (1, &format!("{long}x"), true),
        (NAMES_BYTES_PER_READ / NAME_BYTES_MAX, &long, false),
        (NAMES_BYTES_PER_READ / NAME_BYTES_MAX + 1, &long, true),
        (KEYS_PER_READ, "k", false),
        (KEYS_PER_READ + 1, "k", true),
    ] {
        let mut names = Names::default();
        (0..count).for_each(|_| names.add(name.as_bytes()));
        assert_eq!(
            names.is_too_much,
            is_too_much,
            "{count} names of {} bytes",
            name.len()
        );
        assert_eq!(names.keys.is_empty(), is_too_much);
    }
}

#[test]
fn what_is_given_in_again_is_announced_still_but_not_by_a_command_of_the_connection() {
    let mut session = tracking(Mode::OptOut);
    let (get, id) = (row(&["GET", "k"]), row(&["CLIENT", "ID"]));
    tracker(&mut session).announce();
    for _ in 0..2 {
        tracker(&mut session).take_announcement(get, false);
        assert!(!tracker(&mut session).wants());
        session.defer_announcement(get);
    }
    tracker(&mut session).take_announcement(get, false);
    // It was said of the request before, whatever is given in again now.
    tracker(&mut session).take_announcement(id, false);
    session.defer_announcement(id);
    tracker(&mut session).take_announcement(get, false);
    assert!(tracker(&mut session).wants());
}

#[test]
fn what_was_announced_of_a_refused_request_is_over() {
    let mut session = tracking(Mode::OptIn);
    tracker(&mut session).announce();
    let get = row(&["GET", "k"]);
    refused(&mut session, get);
    tracker(&mut session).take_announcement(get, false);
    assert!(!tracker(&mut session).wants());
}
