//! Keys of keyspaces with an origin: their values are rows of a database, and the cache holds copies of some.
//!
//! A server is known to map a key by what it refuses, so that nothing of its configuration is needed here.

use serde_json::Value as Json;

use super::content::{Content, Kind};
use super::format::Entry;
use super::target::Existing;

/// The keyspace that an error reply names which refuses a command for a row.
pub fn keyspace_of(error: &str) -> Option<&str> {
    let (_, behind) = error.split_once(" is not supported in keyspace ")?;
    behind
        .split([':', ';', ' '])
        .next()
        .filter(|name| !name.is_empty())
}

/// Why an entry cannot become a row, from the reply that refused it, and what can be done.
pub fn refused(entry: &Entry, existing: Existing, text: &str) -> (String, &'static str) {
    let keyspace = keyspace_of(text).unwrap_or_default();
    let kind = entry.content.kind;
    if kind != Kind::String {
        return (
            format!(
                "keyspace {keyspace} holds rows, which are strings, and this is a {}",
                kind.name()
            ),
            "leave such keys out, or import into a server that does not map them",
        );
    }
    if entry.deadline_ms.is_some() {
        return (
            format!("a row of keyspace {keyspace} has no deadline, and this key has one"),
            "write it with SET, or import into a server that does not map such keys",
        );
    }
    if existing == Existing::Replace {
        return (
            format!("keyspace {keyspace}: {text}"),
            "write the rows into its database",
        );
    }
    (
        format!("a row of keyspace {keyspace} can only be overwritten, whether it is there or not"),
        "run the same command again with --replace, or write the rows into its database",
    )
}

/// Whether both are the same row: members of JSON have no order, one that is missing is null, and numbers may be
/// written in several ways.
pub fn are_same(one: &Content, two: &Content) -> bool {
    let read = |content: &Content| match (content.kind, content.parts.as_slice()) {
        (Kind::String, [value]) => serde_json::from_slice::<Json>(value).ok(),
        _ => None,
    };
    match (read(one), read(two)) {
        (Some(one), Some(two)) => are_equal(&one, &two),
        _ => false,
    }
}

fn are_equal(one: &Json, two: &Json) -> bool {
    match (one, two) {
        (Json::Number(one), Json::Number(two)) => one == two || is_same_fraction(one, two),
        (Json::Object(one), Json::Object(two)) => one.keys().chain(two.keys()).all(|name| {
            let member = |row: &serde_json::Map<String, Json>| row.get(name).cloned().unwrap_or(Json::Null);
            are_equal(&member(one), &member(two))
        }),
        _ => one == two,
    }
}

/// Integers are compared as such: two of them may be one as fractions.
fn is_same_fraction(one: &serde_json::Number, two: &serde_json::Number) -> bool {
    (one.is_f64() || two.is_f64()) && one.as_f64() == two.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_by_what_is_refused_for_it() {
        for (error, keyspace) in [
            (
                "ERR PEXPIRETIME is not supported in keyspace users: use TTL",
                Some("users"),
            ),
            ("ERR MULTI is not supported in keyspace a-b; use GET", Some("a-b")),
            ("ERR syntax error", None),
            ("ERR X is not supported in keyspace ", None),
        ] {
            assert_eq!(keyspace_of(error), keyspace, "{error}");
        }
    }

    #[test]
    fn rows_are_compared_by_what_they_mean() {
        for (one, two, is_same) in [
            (r#"{"a":1,"b":"x"}"#, r#"{ "b": "x", "a": 1.0 }"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, false),
            (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#, false),
            ("plain", "plain text", false),
        ] {
            let content = |text: &str| Content::string(text.as_bytes().to_vec());
            assert_eq!(are_same(&content(one), &content(two)), is_same, "{one} {two}");
        }
    }

    #[test]
    fn what_cannot_be_a_row_is_refused_with_its_keyspace_and_type() {
        let entry = |kind, deadline_ms| Entry {
            key: b"users:1".to_vec(),
            content: Content {
                kind,
                parts: vec![b"x".to_vec()],
            },
            deadline_ms,
        };
        let text = "ERR MULTI is not supported in keyspace users: use GET";
        let why = |entry: &Entry, existing| refused(entry, existing, text);
        let (what, _) = why(&entry(Kind::List, None), Existing::Replace);
        assert!(what.contains("keyspace users") && what.contains("list"), "{what}");
        let (what, _) = why(&entry(Kind::String, Some(7)), Existing::Replace);
        assert!(what.contains("deadline"), "{what}");
        let (_, remedy) = why(&entry(Kind::String, None), Existing::Skip);
        assert!(remedy.contains("--replace"), "{remedy}");
    }
}
