//! Tests of the words: errors as Redis says them, and our own with their outcomes and remedies.

use super::*;
use crate::command::resolve;
use crate::resp::OwnedRequest;

fn check_unresolved(words: &[&str], expect: &str) {
    let request = OwnedRequest::new(words);
    let reason = resolve(request.view()).expect_err("not executable");
    assert_eq!(
        String::from_utf8_lossy(&unresolved(reason, request.view())),
        expect
    );
}

#[test]
fn requests_that_cannot_be_executed_are_answered_as_redis_does() {
    check_unresolved(&["foo"], "ERR unknown command 'foo', with args beginning with: ");
    check_unresolved(
        &["foo", "a b", "c"],
        "ERR unknown command 'foo', with args beginning with: 'a b' 'c' ",
    );
    check_unresolved(
        &["client", "Foo"],
        "ERR unknown subcommand 'Foo'. Try CLIENT HELP.",
    );
    check_unresolved(
        &["MIGRATE", "k", "f", "v"],
        "ERR unknown command 'MIGRATE': Redis has it, this version of Repligo does not yet; COMMAND LIST and \
         docs/commands.md have what there is",
    );
    check_unresolved(
        &["config", "REWRITE"],
        "ERR unknown subcommand 'REWRITE'. Redis has it, this version of Repligo does not yet. Try CONFIG HELP.",
    );
    check_unresolved(&["client"], "ERR wrong number of arguments for 'client' command");
    check_unresolved(
        &["CLIENT", "ID", "x"],
        "ERR wrong number of arguments for 'client|id' command",
    );
    check_unresolved(&["GET"], "ERR wrong number of arguments for 'get' command");
}

#[test]
fn a_long_request_is_quoted_in_part() {
    let (name, argument) = ("x".repeat(200), "y".repeat(100));
    let expect = format!(
        "ERR unknown command '{}', with args beginning with: '{}' '{}' ",
        &name[..128],
        argument,
        &argument[..25]
    );
    check_unresolved(&[&name, &argument, &argument, &argument], &expect);
}

/// Our own sentences: what became of the write, and a word of the remedy.
fn own_words() -> Vec<(String, Outcome, &'static str)> {
    use Outcome::{Applied, NotApplied, Unknown};
    let own = |text: &str, outcome, remedy| (text.to_owned(), outcome, remedy);
    vec![
        own(OVERLOADED, NotApplied, "retry after a pause"),
        own(NO_LEADER_IN_TIME, NotApplied, "retry"),
        own(OVERTAKEN, NotApplied, "retry"),
        own(DISK_FULL, NotApplied, "free space"),
        own(DISK_FULL_READ, NotApplied, "ask another node"),
        own(UNKNOWN_IN_TIME, Unknown, "read before you retry"),
        own(UNKNOWN_SKIPPED, Unknown, "read before you retry"),
        own(REPLY_TOO_LONG, NotApplied, "ask for less"),
        own(WRITTEN_REPLY_TOO_LONG, Unknown, "read less"),
        own(MALFORMED_OP, NotApplied, "report this"),
        own(ORIGIN_SLOW, NotApplied, "retry later"),
        own(&stale(7), NotApplied, "ask another node"),
        own(&too_large_to_replicate(2, 1), NotApplied, "split the value"),
        own(
            &not_supported_in_keyspace("append", "users"),
            NotApplied,
            "use GET",
        ),
        own("NOTALL committed", Applied, ""),
        own("REQEXPIRED too old", Unknown, ""),
    ]
}

#[test]
fn every_own_word_has_its_outcome_and_its_remedy() {
    for (text, expect, remedy) in own_words() {
        assert_eq!(outcome(text.as_bytes()), expect, "{text}");
        assert!(text.contains(remedy), "{text}");
    }
    for text in [WRONG_TYPE, EXEC_ABORT, SYNTAX] {
        assert_eq!(outcome(text.as_bytes()), Outcome::NotApplied);
    }
    assert_eq!(outcome(b"-UNKNOWN\r\n"), Outcome::Unknown);
    assert_eq!(outcome(b"ERR unknown command"), Outcome::NotApplied);
    assert_eq!(code(b"-MOVED 1 a:1\r\n"), b"MOVED");
}
