//! Commands as bytes: what is encoded decodes, and decoding is total.

use proptest::prelude::*;
use repligo_proto::resp::OwnedRequest;

use super::*;
use crate::op::{Item, Op, TransactionBuffer, Watched};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

/// What Redis' table flags `denyoom` is what is refused when memory is full.
#[test]
fn what_may_grow_is_what_redis_denies_without_memory() {
    use repligo_proto::command::{flag, resolve};

    let requests = [
        "SET k v",
        "SET k v XX GET",
        "SETNX k v",
        "SETEX k 1 v",
        "PSETEX k 1 v",
        "GETSET k v",
        "MSET k v",
        "MSETNX k v",
        "INCR k",
        "DECR k",
        "INCRBY k 1",
        "DECRBY k 1",
        "INCRBYFLOAT k 1",
        "APPEND k v",
        "SETRANGE k 1 v",
        "GETDEL k",
        "GETEX k",
        "GETEX k PERSIST",
        "DEL k",
        "UNLINK k",
        "EXPIRE k 1",
        "PEXPIREAT k 1",
        "PERSIST k",
        "RENAME k l",
        "RENAMENX k l",
        "FLUSHDB",
        "FLUSHALL",
        "GET k",
        "MGET k",
        "STRLEN k",
        "GETRANGE k 0 1",
        "TOUCH k",
    ];
    for text in requests {
        let request = OwnedRequest::new(text.split(' '));
        let spec = resolve(request.view()).expect("a command");
        let command = parse(spec, 0, request.view()).expect("a valid one");
        assert_eq!(command.may_grow(), spec.has(flag::DENYOOM), "{text}");
    }
}

/// Every variant, its options drawn from `numbers`.
fn commands<'a>(request: &'a OwnedRequest, db: u8, numbers: (u64, i64)) -> Vec<Command<'a>> {
    let view = request.view();
    let (key, value) = (view.get(0), view.get(1));
    let (keys, pairs) = (Keys::new(view), Pairs::new(view));
    let (time, delta) = numbers;
    let mut commands = vec![
        Command::Get { db, key },
        Command::GetDel { db, key },
        Command::MGet { db, keys },
        Command::MSet { db, pairs },
        Command::MSetNx { db, pairs },
        Command::IncrBy { db, key, delta },
        Command::IncrByFloat {
            db,
            key,
            increment: value,
        },
        Command::Append { db, key, value },
        Command::StrLen { db, key },
        Command::GetRange {
            db,
            key,
            start: delta,
            end: !delta,
        },
        Command::SetRange {
            db,
            key,
            offset: time,
            value,
        },
        Command::Del { db, keys },
        Command::Exists { db, keys },
        Command::Touch { db, keys },
        Command::Type { db, key },
        Command::Keys { db, pattern: key },
        Command::Scan {
            db,
            cursor: time,
            count: time | 1,
            pattern: None,
            kind: None,
        },
        Command::Scan {
            db,
            cursor: time,
            count: 1,
            pattern: Some(key),
            kind: None,
        },
        Command::Scan {
            db,
            cursor: time,
            count: 1,
            pattern: None,
            kind: Some(key),
        },
        Command::Scan {
            db,
            cursor: time,
            count: 1,
            pattern: Some(key),
            kind: Some(value),
        },
        Command::RandomKey { db },
        Command::Rename {
            db,
            from: key,
            to: value,
            only_if_absent: delta < 0,
        },
        Command::DbSize { db },
        Command::FlushDb { db },
        Command::FlushAll,
        Command::Watch { db, keys },
    ];
    for expiry in [Expiry::Never, Expiry::In(time), Expiry::At(time), Expiry::Keep] {
        for condition in [
            SetCondition::Always,
            SetCondition::IfAbsent,
            SetCondition::IfPresent,
        ] {
            for reply in [SetReply::Ok, SetReply::Old, SetReply::Flag] {
                commands.push(Command::Set {
                    db,
                    key,
                    value,
                    expiry,
                    condition,
                    reply,
                });
            }
        }
    }
    let refused = [DeadlineError::NotAnInteger, DeadlineError::OutOfRange].map(GetExpiry::Refused);
    let changes = [
        GetExpiry::Keep,
        GetExpiry::Persist,
        GetExpiry::In(time),
        GetExpiry::At(time),
    ];
    commands.extend(
        changes
            .into_iter()
            .chain(refused)
            .map(|expiry| Command::GetEx { db, key, expiry }),
    );
    for bits in 0..16u8 {
        let [if_none, if_some, if_later, if_earlier] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let condition = DeadlineCondition {
            if_none,
            if_some,
            if_later,
            if_earlier,
        };
        for deadline in [Deadline::In(delta), Deadline::At(delta)] {
            commands.push(Command::Expire {
                db,
                key,
                deadline,
                condition,
            });
        }
    }
    use TtlForm::{DeadlineMilliseconds, DeadlineSeconds, Milliseconds, Seconds};
    let forms = [Seconds, Milliseconds, DeadlineSeconds, DeadlineMilliseconds];
    commands.extend(forms.map(|form| Command::Ttl { db, key, form }));
    let fields = [
        ObjectField::Encoding,
        ObjectField::RefCount,
        ObjectField::IdleTime,
        ObjectField::Frequency,
    ];
    commands.extend(fields.map(|field| Command::Object { db, key, field }));
    commands
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(
        arguments in prop::collection::vec((bytes(), bytes()), 1..5),
        db in 0..16u8,
        numbers in any::<(u64, i64)>(),
    ) {
        let request = OwnedRequest::new(arguments.iter().flat_map(|(key, value)| [key, value]));
        let commands = commands(&request, db, numbers);
        let mut out = Vec::new();
        commands.iter().for_each(|command| command.encode(&mut out));
        let mut input = &out[..];
        for command in &commands {
            let decoded = Command::decode(&mut input).expect("what was encoded decodes");
            prop_assert_eq!(&decoded, command);
            // Once more, from the decoded form: one command has one encoding.
            let (mut first, mut second) = (Vec::new(), Vec::new());
            command.encode(&mut first);
            decoded.encode(&mut second);
            prop_assert_eq!(first, second);
        }
        prop_assert!(input.is_empty());
    }

    #[test]
    fn a_transaction_decodes_to_its_items(
        arguments in prop::collection::vec((bytes(), bytes()), 1..3),
        watched in prop::collection::vec((0..16u8, bytes(), any::<u64>()), 0..4),
        locals in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let request = OwnedRequest::new(arguments.iter().flat_map(|(key, value)| [key, value]));
        let commands = commands(&request, 3, (7, -7));
        let mut buffer = TransactionBuffer::default();
        for (db, key, version) in &watched {
            buffer.watch(Watched { db: *db, key, version: *version });
        }
        let mut expect = Vec::new();
        for (local, command) in locals.iter().zip(&commands) {
            if *local {
                buffer.push_local();
                expect.push(Item::Local);
            } else {
                buffer.push(command);
                expect.push(Item::Command(*command));
            }
        }
        let mut out = Vec::new();
        Op::Transaction(buffer.transaction()).encode(&mut out);
        Op::Time.encode(&mut out);
        let mut input = &out[..];
        let Ok(Op::Transaction(transaction)) = Op::decode(&mut input) else { panic!("a transaction decodes") };
        prop_assert_eq!(Op::decode(&mut input), Ok(Op::Time));
        prop_assert!(input.is_empty());
        prop_assert_eq!(transaction.items().collect::<Vec<_>>(), expect);
        let keys: Vec<_> = transaction.watched().map(|seen| (seen.db, seen.key.to_vec(), seen.version)).collect();
        prop_assert_eq!(keys, watched);
        let writes = transaction.items().any(|item| matches!(item, Item::Command(command) if command.is_write()));
        prop_assert_eq!(transaction.is_write(), writes);
    }

    #[test]
    fn decoding_is_total(first in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let bytes = [&[first][..], &bytes].concat();
        let mut input = &bytes[..];
        if let Ok(op) = Op::decode(&mut input) {
            let read = bytes.len() - input.len();
            let mut again = Vec::new();
            op.encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..read], "one op has one encoding");
        }
    }

    #[test]
    fn a_cut_or_changed_op_does_no_harm(
        arguments in prop::collection::vec((bytes(), bytes()), 1..3),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let request = OwnedRequest::new(arguments.iter().flat_map(|(key, value)| [key, value]));
        for command in commands(&request, 0, (u64::MAX, i64::MIN)) {
            let mut out = Vec::new();
            command.encode(&mut out);
            let at = cut.index(out.len());
            prop_assert!(Command::decode(&mut &out[..at]).is_err());
            out[at] = byte;
            if let Ok(Op::Command(command)) = Op::decode(&mut &out[..]) {
                command.for_each_key(|_| ());
            }
        }
    }
}

/// Released layouts never change; a log may hold them.
#[test]
fn encodings_are_fixed() {
    let request = OwnedRequest::new(["k", "vv"]);
    let (key, value) = (request.view().get(0), request.view().get(1));
    let check = |command: Command<'_>, expect: &[u8]| {
        let mut out = Vec::new();
        command.encode(&mut out);
        assert_eq!(out, expect, "{command:?}");
    };
    let set = |expiry, condition, reply| Command::Set {
        db: 2,
        key,
        value,
        expiry,
        condition,
        reply,
    };
    check(Command::Get { db: 15, key }, b"\x01\x0f\x01k");
    check(
        set(Expiry::Never, SetCondition::Always, SetReply::Ok),
        b"\x1f\x02\x01k\x02vv",
    );
    check(
        set(Expiry::In(300), SetCondition::IfAbsent, SetReply::Old),
        b"\x02\x02\x01k\x02vv\x15\xac\x02",
    );
    check(
        set(Expiry::Keep, SetCondition::IfPresent, SetReply::Flag),
        b"\x02\x02\x01k\x02vv\x3a",
    );
    check(
        Command::IncrBy {
            db: 0,
            key,
            delta: -1,
        },
        b"\x08\x00\x01k\x01",
    );
    check(
        Command::MSet {
            db: 0,
            pairs: Pairs::new(request.view()),
        },
        b"\x06\x00\x02\x01k\x02vv",
    );
    check(
        Command::Del {
            db: 0,
            keys: Keys::new(request.view()),
        },
        b"\x0e\x00\x02\x01k\x02vv",
    );
    check(Command::FlushAll, b"\x1d");
    let condition = DeadlineCondition {
        if_later: true,
        ..DeadlineCondition::default()
    };
    check(
        Command::Expire {
            db: 0,
            key,
            deadline: Deadline::At(1),
            condition,
        },
        b"\x11\x00\x01k\x14\x02",
    );
}

#[test]
fn exactly_the_data_commands_parse() {
    use repligo_proto::command::{COMMANDS, CommandId, flag};
    let rows = COMMANDS
        .iter()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    for spec in rows {
        // Numbers satisfy every command but those that want a word.
        let count = spec.arity.unsigned_abs() as usize;
        let request = OwnedRequest::new(std::iter::repeat_n("1", count.max(1)));
        let parsed = parse(spec, 0, request.view());
        assert_eq!(
            parsed.is_ok(),
            spec.is_data() || spec.id == CommandId::Watch,
            "{}: {parsed:?}",
            spec.name
        );
        if let Ok(command) = parsed {
            let table_writes = spec.is_write() && spec.name != "getex";
            assert_eq!(command.is_write(), table_writes, "{}", spec.name);
            let mut keys = 0;
            command.for_each_key(|_| keys += 1);
            let mut named = 0usize;
            spec.for_each_key(count, |index| request.view().try_get(index), |_| named += 1);
            assert_eq!(keys, named, "{}", spec.name);
            assert_eq!(command.further_keys(), named.saturating_sub(1), "{}", spec.name);
            assert_eq!(command.may_grow(), spec.has(flag::DENYOOM), "{}", spec.name);
        }
    }
}
