//! Tests of the reply decoder: both protocols, cut and hostile input.

use super::*;
use crate::reply::ReplyWriter;
use proptest::prelude::*;

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn check(input: &[u8], expect: Value) {
    for step in [1, 2, 5, input.len()] {
        let mut decoder = ReplyDecoder::new();
        let mut end = 0;
        let got = loop {
            end = (end + step).min(input.len());
            match decoder.decode(&input[..end]).expect("a valid reply") {
                Some(got) => break got,
                None => assert!(end < input.len(), "{:?}", String::from_utf8_lossy(input)),
            }
        };
        assert_eq!(got, (expect.clone(), input.len()));
    }
    assert_eq!(
        decode_reply(&[input, b"+more\r\n"].concat()),
        Ok(Some((expect, input.len())))
    );
}

#[test]
fn every_type_of_both_protocols() {
    check(b"+OK\r\n", Value::Simple("OK".into()));
    check(b"-ERR no\r\n", Value::Error("ERR no".into()));
    check(b"!6\r\nERR\r\nx\r\n", Value::Error("ERR\r\nx".into()));
    check(b":-12\r\n", Value::Integer(-12));
    check(b"$3\r\nabc\r\n", bulk("abc"));
    check(b"$-1\r\n", Value::Null);
    check(b"_\r\n", Value::Null);
    check(b"*-1\r\n", Value::NullArray);
    check(b"*0\r\n", Value::Array(vec![]));
    check(
        b"*2\r\n:1\r\n*1\r\n+a\r\n",
        Value::Array(vec![
            Value::Integer(1),
            Value::Array(vec![Value::Simple("a".into())]),
        ]),
    );
    check(b"~1\r\n+a\r\n", Value::Set(vec![Value::Simple("a".into())]));
    check(b">1\r\n+a\r\n", Value::Push(vec![Value::Simple("a".into())]));
    check(
        b"%1\r\n+a\r\n:1\r\n",
        Value::Map(vec![(Value::Simple("a".into()), Value::Integer(1))]),
    );
    check(b"%0\r\n", Value::Map(vec![]));
    check(b",1.5\r\n", Value::Double(1.5));
    check(b",-inf\r\n", Value::Double(f64::NEG_INFINITY));
    check(b"#t\r\n", Value::Boolean(true));
    check(
        b"(123456789012345678901234567890\r\n",
        Value::BigNumber("123456789012345678901234567890".into()),
    );
    check(
        b"=8\r\ntxt:a\r\nb\r\n",
        Value::Verbatim("txt".into(), b"a\r\nb".to_vec()),
    );
    check(
        b"|1\r\n+ttl\r\n:3\r\n*1\r\n|0\r\n:2\r\n",
        Value::Array(vec![Value::Integer(2)]),
    );
}

#[test]
fn hostile_replies_are_refused() {
    let check = |input: &[u8], error| assert_eq!(decode_reply(input), Err(error));
    check(b"?\r\n", ReplyError::UnknownType(b'?'));
    check(b"$-2\r\n", ReplyError::InvalidLength);
    check(b"$18446744073709551615\r\n", ReplyError::InvalidLength);
    check(b"*18446744073709551615\r\n", ReplyError::InvalidLength);
    check(b"*2147483648\r\n", ReplyError::InvalidLength);
    check(b":1x\r\n", ReplyError::InvalidNumber);
    check(b"#x\r\n", ReplyError::InvalidNumber);
    check(b",x\r\n", ReplyError::InvalidNumber);
    check(b"+a\n", ReplyError::ExpectedTerminator);
    check(b"$1\r\nabc\r\n", ReplyError::ExpectedTerminator);
    check(b"=2\r\nab\r\n", ReplyError::InvalidLength);
    check(&vec![b'+'; 2 << 20], ReplyError::TooLongLine);
}

#[test]
fn a_claimed_count_costs_no_memory() {
    assert_eq!(decode_reply(b"*2147483647\r\n"), Ok(None));
    assert_eq!(decode_reply(b"%2147483647\r\n:1\r\n"), Ok(None));
    assert_eq!(decode_reply(b"$536870912\r\nabc"), Ok(None));
}

#[test]
fn nesting_a_million_deep_is_refused_and_not_recursed_into() {
    for header in ["*1\r\n", "%1\r\n:1\r\n", "|1\r\n:1\r\n", "~1\r\n"] {
        assert_eq!(
            decode_reply(header.repeat(1_000_000).as_bytes()),
            Err(ReplyError::TooDeep)
        );
    }
    let deepest = "*1\r\n".repeat(REPLY_DEPTH_MAX) + ":1\r\n";
    assert!(matches!(decode_reply(deepest.as_bytes()), Ok(Some(_))));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bulk),
        "[ -~]{0,10}".prop_map(Value::Simple),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>()
            .prop_filter("NaN differs from itself", |v| !v.is_nan())
            .prop_map(Value::Double),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Set),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn write(value: &Value, writer: &mut ReplyWriter) {
    match value {
        Value::Integer(value) => writer.integer(*value),
        Value::Bulk(value) => writer.bulk(value),
        Value::Simple(value) => writer.simple(value),
        Value::Boolean(value) => writer.boolean(*value),
        Value::Double(value) => writer.double(*value),
        Value::Array(list) => {
            writer.array(list.len());
            list.iter().for_each(|value| write(value, writer));
        }
        Value::Set(list) => {
            writer.set(list.len());
            list.iter().for_each(|value| write(value, writer));
        }
        Value::Map(pairs) => {
            writer.map(pairs.len());
            for (key, value) in pairs {
                write(key, writer);
                write(value, writer);
            }
        }
        _ => writer.null(),
    }
}

proptest! {
    #[test]
    fn what_the_writer_writes_the_decoder_reads(value in values()) {
        let mut out = Vec::new();
        write(&value, &mut ReplyWriter::new(&mut out, true));
        prop_assert_eq!(decode_reply(&out), Ok(Some((value, out.len()))));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(input in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode_reply(&input);
    }
}
