//! The command table and the handlers name each other, and calls are judged wherever they come from.

use repligo_proto::command::{CommandId, category, flag, numbered, with_subcommands};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::OwnedRequest;

use super::super::handlers;
use super::{Fixture, requests};
use crate::command::{CALL_TAG, Call, Command, parse};
use crate::keyspace::Keyspace;
use crate::packed::{put_bytes, put_varint};

/// A request of the row's smallest size, of words that no command takes for another type.
fn smallest(arity: i32) -> OwnedRequest {
    OwnedRequest::new(std::iter::repeat_n("1", arity.unsigned_abs() as usize))
}

#[test]
fn every_data_command_has_a_layout_of_its_own_or_a_handler() {
    for spec in with_subcommands() {
        let is_data = spec.is_data();
        let request = smallest(spec.arity);
        let is_call = is_data && matches!(parse(spec, 0, request.view()), Ok(Command::Call(_)));
        let handler = handlers::of(spec.id);
        assert_eq!(handler.is_some(), is_call, "{}", spec.name);
        let Some(handler) = handler else { continue };
        assert_eq!(handler.name, spec.name);
        if spec.extra_categories & category::SCRIPTING != 0 {
            continue;
        }
        assert_eq!(handler.is_read(), !spec.is_write(), "{}", spec.name);
        assert_ne!(spec.has(flag::WRITE), spec.has(flag::READONLY), "{}", spec.name);
        // The origin of SWAPDB is refused by the databases that it names.
        assert!(
            !spec.key_uses.is_empty() || spec.name == "swapdb",
            "{}: the origin is refused by its keys",
            spec.name
        );
    }
}

#[test]
fn handlers_are_total_and_change_nothing_when_they_refuse() {
    for number in 0..CommandId::COUNT as u64 {
        let Some(spec) = numbered(number).filter(|spec| handlers::of(spec.id).is_some()) else {
            continue;
        };
        let names = 1 + usize::from(spec.name.contains('|'));
        let least = (spec.arity.unsigned_abs() as usize).saturating_sub(names);
        let words = [
            "",
            "1",
            "2",
            "-1",
            "k",
            "9223372036854775807",
            "nx",
            "ex",
            "\u{ff}",
        ];
        let mut f = Fixture::new();
        f.run("SET k v");
        for case in 0..600usize {
            let count = if spec.arity < 0 { least + case % 4 } else { least };
            let mut op = vec![CALL_TAG, 0];
            put_varint(&mut op, number);
            put_varint(&mut op, count as u64);
            for index in 0..count {
                put_bytes(
                    &mut op,
                    words[(case * 7 + index * 5 + case / 9) % words.len()].as_bytes(),
                );
            }
            let command = Command::decode(&mut &op[..]).expect("its arity fits");
            let before = f.keyspace.digest();
            let mut out = Vec::new();
            f.keyspace.apply(&command, &mut ReplyWriter::new(&mut out, false));
            assert!(!out.is_empty(), "{} answers", spec.name);
            let is_refused = out[0] == b'-';
            assert!(
                !is_refused || before == f.keyspace.digest(),
                "{}: {out:?}",
                spec.name
            );
            if let Command::Call(call) = command
                && Keyspace::check_call(&call).is_err()
            {
                assert!(is_refused, "{} does what its check refuses", spec.name);
            }
        }
    }
}

#[test]
fn a_call_of_a_row_without_handler_or_of_no_row_is_refused() {
    let op = |number: u16, arguments: &[&str]| {
        let mut op = vec![CALL_TAG, 0];
        put_varint(&mut op, u64::from(number));
        put_varint(&mut op, arguments.len() as u64);
        arguments
            .iter()
            .for_each(|argument| put_bytes(&mut op, argument.as_bytes()));
        op
    };
    for (number, arguments) in [
        (CommandId::Ping.number(), &["x"][..]),
        (CommandId::COUNT as u16 - 1, &["x"]),
        (u16::MAX, &["x"]),
        (256, &["only one"]),
    ] {
        assert!(
            Command::decode(&mut &op(number, arguments)[..]).is_err(),
            "{number}"
        );
    }
    let mut f = Fixture::new();
    f.run("SET k v");
    let before = f.keyspace.digest();
    for number in [CommandId::Set.number(), CommandId::Get.number()] {
        let bytes = op(
            number,
            &["k", "w"][..if number == CommandId::Get.number() { 1 } else { 2 }],
        );
        let command = Command::decode(&mut &bytes[..]).expect("a row, and arguments of its arity");
        let mut out = Vec::new();
        f.keyspace.apply(&command, &mut ReplyWriter::new(&mut out, false));
        assert!(out.starts_with(b"-ERR internal"), "{out:?}");
    }
    assert_eq!(f.keyspace.digest(), before);
}

#[test]
fn the_keys_of_a_call_are_those_of_its_row() {
    let keys = |request: &str| {
        let request = &requests(request)[0];
        let spec = repligo_proto::command::resolve(request.view()).expect("a command");
        let mut found = Vec::new();
        let Ok(Command::Call(call)) = parse(spec, 3, request.view()) else {
            panic!("{} is no call", spec.name)
        };
        call.for_each_key(|key| found.push(String::from_utf8_lossy(key).into_owned()));
        assert_eq!(call.key_count(), found.len());
        // From the bytes of an op as from a request.
        let mut op = Vec::new();
        Command::Call(call).encode(&mut op);
        let mut again = Vec::new();
        Command::decode(&mut &op[..])
            .expect("it was encoded")
            .for_each_key(|key| again.push(String::from_utf8_lossy(key).into_owned()));
        assert_eq!(again, found);
        found.join(" ")
    };
    assert_eq!(keys("LCS a b LEN"), "a b");
    assert_eq!(keys("MSETEX 2 a 1 b 2 NX"), "a b");
    assert_eq!(keys("MSETEX 3 a 1 b 2 NX"), "");
    assert_eq!(keys("MSETEX x a 1"), "");
}

#[test]
fn a_count_of_keys_that_is_none_is_refused_before_anything_is_proposed() {
    let check = |request: &str| {
        let request = &requests(request)[0];
        let spec = repligo_proto::command::resolve(request.view()).expect("a command");
        let command = parse(spec, 0, request.view()).expect("its arity fits");
        let Command::Call(call): Command<'_> = command else {
            panic!("a call")
        };
        let _: &Call<'_> = &call;
        Keyspace::check_call(&call).map_err(|error| error.to_string())
    };
    assert_eq!(check("MSETEX 1 a 1"), Ok(()));
    assert_eq!(check("MSETEX 0 a 1"), Err("ERR invalid numkeys value".into()));
    assert_eq!(
        check("MSETEX 2 a 1"),
        Err("ERR wrong number of key-value pairs".into())
    );
    assert_eq!(
        check("MSETEX 1 a 1 EX 0"),
        Err("ERR invalid expire time in 'msetex' command".into())
    );
    assert_eq!(check("MSETEX 1 a 1 GET"), Err("ERR syntax error".into()));
}
