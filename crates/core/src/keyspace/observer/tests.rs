//! Events of commands, of time and of reads, without a log.

use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;

use super::*;
use crate::command::parse;
use crate::keyspace::Keyspace;

fn observed(letters: &str) -> Keyspace {
    let mut keyspace = Keyspace::default();
    keyspace.observe(EventClasses::parse(letters).expect("letters of classes"), false);
    keyspace
}

/// What follows from commands, one a line, each told when it is done.
fn told(keyspace: &mut Keyspace, lines: &str) -> Vec<String> {
    let mut events = Vec::new();
    for line in lines.lines() {
        let request = OwnedRequest::new(line.split_whitespace());
        let spec = repligo_proto::command::resolve(request.view()).expect("a command of the table");
        let command = parse(spec, 0, request.view()).expect("a data command");
        keyspace.name_inner(&command);
        keyspace.apply(&command, &mut ReplyWriter::new(&mut Vec::new(), true));
        events.append(&mut taken(keyspace));
    }
    events
}

fn taken(keyspace: &mut Keyspace) -> Vec<String> {
    let mut events = Vec::new();
    for group in keyspace.take_changes(false) {
        group.for_each_event(&mut |event| {
            events.push(format!("{} {}", event.name, String::from_utf8_lossy(event.key)));
        });
    }
    events
}

#[test]
fn a_list_that_ends_is_told_as_taken_and_deleted() {
    let mut keyspace = observed("KA");
    let events = told(
        &mut keyspace,
        "RPUSH a 1\nLMOVE a b LEFT LEFT\nLMOVE b b LEFT RIGHT",
    );
    let wanted = [
        "new a", "rpush a", "new b", "lpush b", "lpop a", "del a", "rpush b", "lpop b",
    ];
    assert_eq!(events, wanted);
}

#[test]
fn mset_tells_of_a_key_as_often_as_it_is_named() {
    let mut keyspace = observed("KA");
    let events = told(&mut keyspace, "MSET a 1 b 2 a 3\nMSETNX c 1 c 2");
    let wanted = [
        "new a", "set a", "new b", "set b", "set a", "new c", "set c", "set c",
    ];
    assert_eq!(events, wanted);
}

#[test]
fn what_expired_and_is_written_again_is_told_as_both() {
    let mut keyspace = observed("KA");
    assert_eq!(
        told(&mut keyspace, "SET a 1 PX 10"),
        ["new a", "set a", "expire a"]
    );
    keyspace.set_time(5);
    assert_eq!(taken(&mut keyspace), [""; 0]);
    keyspace.set_time(20);
    assert_eq!(taken(&mut keyspace), ["expired a"]);
    assert_eq!(told(&mut keyspace, "SET a 1"), ["new a", "set a"]);
}

#[test]
fn a_command_that_changes_nothing_is_not_told() {
    let mut keyspace = observed("KA");
    told(&mut keyspace, "SET a 1\nSADD s a");
    assert_eq!(
        told(&mut keyspace, "SET a 2 NX\nSADD s a\nDEL none\nPERSIST a\nGET a"),
        [""; 0]
    );
}

#[test]
fn nothing_is_noted_that_nobody_wants() {
    let mut keyspace = observed("A");
    assert!(!keyspace.is_observed(), "there is no channel to tell it on");
    assert_eq!(told(&mut keyspace, "SET a 1"), [""; 0]);
    keyspace.observe(EventClasses::parse("Em").expect("letters"), false);
    assert_eq!(told(&mut keyspace, "GET none\nGET a"), ["keymiss none"]);
    keyspace.observe(EventClasses::default(), false);
    assert_eq!(told(&mut keyspace, "GET none\nSET a 2"), [""; 0]);
}

#[test]
fn classes_are_shown_as_redis_shows_them() {
    for (letters, shown) in [
        ("", ""),
        ("KEA", "AKE"),
        ("g$lshzxetdKE", "AKE"),
        ("mKx", "xKm"),
        ("nKg", "gnK"),
        ("$gE", "g$E"),
    ] {
        let classes = EventClasses::parse(letters).expect("letters of classes");
        assert_eq!(classes.to_string(), shown, "{letters}");
    }
    assert_eq!(EventClasses::parse("Kq"), None);
}

#[test]
fn what_takes_the_place_of_a_state_clears_everything() {
    let mut keyspace = Keyspace::default();
    keyspace.observe(EventClasses::default(), true);
    told(&mut keyspace, "SET a 1");
    let mut next = Keyspace::default();
    next.observe_as(&keyspace);
    let groups = next.take_changes(false);
    assert!(groups.len() == 1 && groups[0].clears());
    assert_eq!(next.take_changes(false).len(), 0);
    let mut unwatched = Keyspace::default();
    unwatched.observe_as(&Keyspace::default());
    assert!(!unwatched.is_observed() && unwatched.take_changes(false).is_empty());
}

#[test]
fn keys_are_shown_with_who_has_changed_them_whatever_events_tell() {
    let mut keyspace = Keyspace::default();
    keyspace.observe(EventClasses::default(), true);
    let mut changed = |writer, line: &str| {
        let request = OwnedRequest::new(line.split_whitespace());
        let spec = repligo_proto::command::resolve(request.view()).expect("a command of the table");
        let command = parse(spec, 0, request.view()).expect("a data command");
        keyspace.name(writer, || Naming::of(&command));
        keyspace.apply(&command, &mut ReplyWriter::discard());
        let mut shown = Vec::new();
        for group in keyspace.take_changes(false) {
            assert_eq!(group.writer(), writer);
            shown.extend(group.clears().then(|| "*".to_owned()));
            group.for_each_key(&mut |key| shown.push(String::from_utf8_lossy(key).into_owned()));
        }
        shown.join(" ")
    };
    assert_eq!(changed(Some(7), "MSET a 1 b 2"), "a b");
    assert_eq!(changed(None, "RENAME a c"), "a c");
    assert_eq!(changed(Some(1), "GET none"), "");
    assert_eq!(changed(Some(1), "PFADD h x"), "h");
    // It tells no event, and changes bytes that GET shows.
    assert_eq!(changed(Some(1), "PFCOUNT h"), "h");
    assert_eq!(changed(Some(1), "FLUSHDB"), "*");
}
