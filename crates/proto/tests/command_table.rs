//! The command table against what redis-server 7.0.15 reports, recorded in a file beside this one.
//! Clients route, retry and authorise by these facts, so a row may differ only on purpose.

use repligo_proto::command::{Spec, flag, named, numbered, with_subcommands, write_introspection};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::{OwnedRequest, Value, decode_reply};

const RECORDED: &str = include_str!("redis-7.0.15-commands.txt");

/// Rows of ours that Redis 7.0 does not have.
const OURS: [&str; 21] = [
    "client|no-touch",
    "client|setinfo",
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "hsetex",
    "httl",
    "msetex",
    "repligo.backup",
    "repligo.cluster",
    "repligo.consistency",
    "repligo.invalidate",
    "repligo.session",
    "repligo.status",
];

/// Rows with an argument of a later release, with our arity and that of Redis 7.0.
const EXTENDED: [(&str, &str, &str); 2] = [("zrank", "-3", "3"), ("zrevrank", "-3", "3")];

#[test]
fn every_row_says_what_redis_says() {
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().expect("a name");
        if let Some(spec) = named(name.as_bytes()) {
            let mut facts = facts(spec);
            if let Some((name, ours, theirs)) = EXTENDED.iter().find(|(name, ..)| *name == spec.name) {
                assert!(facts.starts_with(&format!("{name} {ours} ")), "{facts}");
                facts = facts.replacen(ours, theirs, 1);
            }
            assert_eq!(facts, line);
        }
    }
}

#[test]
fn every_other_row_is_one_of_ours() {
    let recorded = |name: &str| RECORDED.lines().any(|line| line.split(' ').next() == Some(name));
    for spec in with_subcommands() {
        assert_ne!(recorded(spec.name), OURS.contains(&spec.name), "{}", spec.name);
    }
}

#[test]
fn a_row_is_consistent_in_itself() {
    for spec in with_subcommands() {
        assert!(!spec.summary.is_empty() && !spec.since.is_empty() && !spec.complexity.is_empty());
        assert!(
            spec.arity != 0 && spec.name == spec.name.to_lowercase(),
            "{}",
            spec.name
        );
        let mut uses = spec.key_uses.iter();
        let is_movable = uses
            .any(|key_use| key_use.count_at != 0 || !key_use.keyword.is_empty() || key_use.word.is_some());
        assert_eq!(spec.has(flag::MOVABLE_KEYS), is_movable, "{}", spec.name);
        assert_eq!(
            spec.keys.first == 0 && !is_movable,
            spec.key_uses.is_empty(),
            "{}",
            spec.name
        );
        assert_eq!(
            numbered(u64::from(spec.id.number())).map(|row| row.name),
            Some(spec.name)
        );
        for subcommand in spec.subcommands {
            assert!(
                subcommand.name.starts_with(&format!("{}|", spec.name)),
                "{}",
                subcommand.name
            );
            assert!(subcommand.arity.abs() >= 2, "{}", subcommand.name);
        }
    }
}

/// One line of the file, from what `COMMAND INFO` answers for a row.
fn facts(spec: &Spec) -> String {
    let info = ask(&["COMMAND", "INFO", spec.name]);
    let info = info.as_array().expect("a list of rows")[0]
        .as_array()
        .expect("a row")
        .to_vec();
    let position = |index: usize| info[index].as_integer().expect("a number");
    let uses: Vec<_> = info[8]
        .as_array()
        .expect("key uses")
        .iter()
        .map(key_use)
        .collect();
    format!(
        "{} {} {} {},{},{} {} {} {} {} {}",
        spec.name,
        position(1),
        sorted(&info[2], ","),
        position(3),
        position(4),
        position(5),
        sorted(&info[6], ","),
        sorted(&info[7], ","),
        if uses.is_empty() {
            "-".to_owned()
        } else {
            uses.join(";")
        },
        spec.since,
        spec.group.name(),
    )
}

fn key_use(value: &Value) -> String {
    let search = field(value, "begin_search");
    let begin = field(search, "spec");
    let flags = sorted(field(value, "flags"), "+");
    if field(search, "type").as_str() == Some("unknown") {
        return format!("unknown:unknown:unknown:{flags}");
    }
    let find = field(field(value, "find_keys"), "spec");
    let number = |value: &Value| value.as_integer().expect("a number");
    let place = match field(value, "find_keys") {
        keys if field(keys, "type").as_str() == Some("keynum") => format!(
            "{}+{}",
            number(field(find, "keynumidx")),
            number(field(find, "firstkey"))
        ),
        _ => number(field(find, "lastkey")).to_string(),
    };
    let begin = match field(search, "type").as_str() {
        Some("keyword") => "keyword".to_owned(),
        _ => number(field(begin, "index")).to_string(),
    };
    format!(
        "{begin}:{place}:{}:{}",
        number(field(find, "keystep")),
        sorted(field(value, "flags"), "+"),
    )
}

fn field<'a>(map: &'a Value, name: &str) -> &'a Value {
    let Value::Map(pairs) = map else {
        panic!("not a map: {map:?}")
    };
    let found = pairs.iter().find(|(key, _)| key.as_str() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name}")).1
}

fn sorted(set: &Value, separator: &str) -> String {
    let mut words: Vec<_> = set
        .as_array()
        .expect("a set")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    words.sort_unstable();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(separator)
    }
}

fn ask(words: &[&str]) -> Value {
    let request = OwnedRequest::new(words);
    let spec = named(b"command|info").expect("in the table");
    let mut out = Vec::new();
    assert!(write_introspection(
        spec,
        request.view(),
        &mut ReplyWriter::new(&mut out, true)
    ));
    decode_reply(&out).expect("valid").expect("complete").0
}
