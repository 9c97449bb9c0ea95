//! Tests of COMMAND and its subcommands: replies against the table, in both protocols.

use super::*;
use crate::resp::{OwnedRequest, Value, decode_reply};

fn ask(words: &[&str], resp3: bool) -> Value {
    let request = OwnedRequest::new(words);
    let spec = resolve(request.view()).expect("an executable command");
    let mut out = Vec::new();
    assert!(write_introspection(
        spec,
        request.view(),
        &mut ReplyWriter::new(&mut out, resp3)
    ));
    let (value, taken) = decode_reply(&out).expect("valid").expect("complete");
    assert_eq!(taken, out.len(), "counts of aggregates must match their elements");
    value
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .expect("an array")
        .iter()
        .map(|v| v.as_str().expect("a string"))
        .collect()
}

fn check_list(words: &[&str], expect: &[&str]) {
    assert_eq!(strings(&ask(words, false)), expect);
}

fn check_error(words: &[&str], expect: &str) {
    assert_eq!(ask(words, false), Value::Error(expect.to_owned()));
}

#[test]
fn info_of_get_is_that_of_redis_in_both_protocols() {
    let request = OwnedRequest::new(["COMMAND", "INFO", "get", "nosuch"]);
    let render = |resp3| {
        let spec = resolve(request.view()).expect("COMMAND INFO");
        let mut out = Vec::new();
        write_introspection(spec, request.view(), &mut ReplyWriter::new(&mut out, resp3));
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        render(false),
        "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n\
         +@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n\
         *4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n\
         $4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n\
         $5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n"
    );
    assert_eq!(
        render(true),
        "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n+@read\r\n\
         +@string\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n\
         %2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n\
         $4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n\
         $5\r\nlimit\r\n:0\r\n~0\r\n_\r\n"
    );
}

#[test]
fn everything_renders_with_matching_counts() {
    for resp3 in [false, true] {
        let all = ask(&["COMMAND"], resp3);
        assert_eq!(all.as_array().map(<[Value]>::len), Some(COMMANDS.len()));
        assert_eq!(ask(&["command", "info"], resp3), all);
        ask(&["command", "docs"], resp3);
        for container in COMMANDS.iter().filter(|spec| !spec.subcommands.is_empty()) {
            let help = ask(&[container.name, "help"], resp3);
            assert_eq!(strings(&help).len(), 1 + 2 * container.subcommands.len());
        }
    }
    assert_eq!(
        ask(&["COMMAND", "COUNT"], false),
        Value::Integer(COMMANDS.len() as i64)
    );
}

#[test]
fn docs_skip_unknown_names_and_know_subcommands() {
    let Value::Map(pairs) = ask(&["COMMAND", "DOCS", "get|x", "foo", "client|id"], true) else {
        panic!("a map");
    };
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].0.as_str(), Some("client|id"));
}

#[test]
fn lists_can_be_filtered() {
    let all = ask(&["COMMAND", "LIST"], false);
    assert_eq!(strings(&all).len(), with_subcommands().count());
    check_list(
        &["COMMAND", "LIST", "FILTERBY", "PATTERN", "G*T"],
        &["get", "getset", "getbit", "geodist"],
    );
    check_list(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", "foo"], &[]);
    check_list(&["COMMAND", "LIST", "FILTERBY", "MODULE", "json"], &[]);
    let transaction = ask(&["COMMAND", "LIST", "FILTERBY", "aclcat", "Transaction"], false);
    assert_eq!(
        strings(&transaction),
        ["multi", "exec", "discard", "watch", "unwatch"]
    );
    check_error(&["COMMAND", "LIST", "FILTERBY", "foo", "x"], "ERR syntax error");
    check_error(&["COMMAND", "LIST", "FILTERBY", "pattern"], "ERR syntax error");
}

#[test]
fn keys_of_a_request() {
    check_list(&["COMMAND", "GETKEYS", "get", "a"], &["a"]);
    check_list(&["COMMAND", "GETKEYS", "mset", "a", "1", "b", "2"], &["a", "b"]);
    check_list(&["COMMAND", "GETKEYS", "rename", "a", "b"], &["a", "b"]);
    check_list(
        &["COMMAND", "GETKEYS", "memory", "usage", "k", "samples", "5"],
        &["k"],
    );
    check_error(&["COMMAND", "GETKEYS", "foo", "a"], words::INVALID_COMMAND);
    check_error(&["COMMAND", "GETKEYS", "client", "foo"], words::INVALID_COMMAND);
    check_error(&["COMMAND", "GETKEYS", "ping", "a"], words::NO_KEY_ARGUMENTS);
    check_error(
        &["COMMAND", "GETKEYS", "mset", "a"],
        words::INVALID_ARGUMENT_COUNT,
    );
}

#[test]
fn keys_with_flags_depend_on_the_options_of_set() {
    let flags = |words: &[&str]| {
        let Value::Array(list) = ask(words, true) else {
            panic!("an array")
        };
        let of_one = |pair: &Value| strings(&pair.as_array().expect("a pair")[1]).join(" ");
        list.iter().map(of_one).collect::<Vec<_>>()
    };
    assert_eq!(
        flags(&["COMMAND", "GETKEYSANDFLAGS", "set", "k", "v"]),
        ["OW update"]
    );
    assert_eq!(
        flags(&["COMMAND", "GETKEYSANDFLAGS", "set", "k", "v", "get"]),
        ["RW access update"]
    );
    assert_eq!(
        flags(&["COMMAND", "GETKEYSANDFLAGS", "rename", "a", "b"]),
        ["RW access delete", "OW update"]
    );
}

#[test]
fn other_commands_are_not_answered_here() {
    let request = OwnedRequest::new(["GET", "k"]);
    let spec = resolve(request.view()).expect("GET");
    let mut out = Vec::new();
    assert!(!write_introspection(
        spec,
        request.view(),
        &mut ReplyWriter::new(&mut out, false)
    ));
    assert!(out.is_empty());
}
