//! Tests of the origin map, and configurations that other tests of the origin start from.

use super::*;

/// A write-through keyspace `NAME:{id:int}` with a raw value in column `body` of table NAME.
pub(crate) fn raw(name: &str) -> KeyspaceConfig {
    KeyspaceConfig {
        name: name.to_owned(),
        pattern: format!("{name}:{{id:int}}"),
        database: 0,
        lanes: LANES,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: name.to_owned(),
        key: Vec::new(),
        value: ValueConfig::Raw {
            column: "body".to_owned(),
        },
        cache_ttl_ms: None,
        negative_ttl_ms: 2_000,
        flush_deadline_ms: 30_000,
    }
}

fn refuse(change: impl FnOnce(&mut KeyspaceConfig), expect: &str) {
    let mut config = raw("user");
    change(&mut config);
    let error = OriginMap::new(vec![raw("other"), config]).expect_err(expect);
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_key_has_one_place() {
    let map = OriginMap::new(vec![raw("user"), raw("usage")]).expect("valid");
    assert_eq!(map.place(0, b"plain"), Place::Plain);
    assert_eq!(map.place(0, b"us"), Place::Plain);
    assert_eq!(map.place(0, b""), Place::Plain);
    assert_eq!(map.place(1, b"user:7"), Place::Plain);
    assert!(
        matches!(map.place(0, b"user:7"), Place::Mapped(lane) if lane.keyspace == 0 && lane.lane < LANES)
    );
    assert!(matches!(map.place(0, b"usage:7"), Place::Mapped(lane) if lane.keyspace == 1));
    let Place::NotCanonical(policy) = map.place(0, b"user:007") else {
        panic!("user:007 names no row");
    };
    assert_eq!(
        policy.not_canonical(b"user:007"),
        "ERR key 'user:007' does not fit the pattern user:{id:int} of keyspace user: id must be a whole number of 64 bits without plus sign or leading zeros"
    );
    assert!(OriginMap::default().is_empty());
    assert_eq!(OriginMap::default().place(0, b"user:7"), Place::Plain);
}

#[test]
fn hash_tags_put_keys_into_one_lane() {
    let mut config = raw("user");
    config.pattern = "user:{tag:text}".to_owned();
    let map = OriginMap::new(vec![config]).expect("valid");
    let lanes: Vec<_> = (0..50)
        .map(|n| map.place(0, format!("user:{{x}}{n}").as_bytes()))
        .collect();
    assert!(lanes.iter().all(|lane| *lane == lanes[0]));
    let spread: std::collections::BTreeSet<_> = (0..50)
        .map(|n| map.policy(0).lane_of(format!("user:{n}").as_bytes()))
        .collect();
    assert_eq!(spread.len(), usize::from(LANES));
}

#[test]
fn wrong_configurations_are_refused_with_a_remedy() {
    refuse(|c| c.name = "other".to_owned(), "used twice");
    refuse(|c| c.name = "a b".to_owned(), "without spaces");
    refuse(|c| c.pattern = "other:x:{id:int}".to_owned(), "overlaps 'other:'");
    refuse(|c| c.pattern = "oth{id:int}".to_owned(), "overlaps 'other:'");
    refuse(|c| c.pattern = "user:".to_owned(), "no placeholder");
    refuse(
        |c| c.key = vec![("nr".to_owned(), "id".to_owned())],
        "not a placeholder",
    );
    refuse(
        |c| {
            c.pattern = "user:{a:int}:{b:int}".to_owned();
            c.key = vec![("a".to_owned(), "a".to_owned())];
        },
        "add b = \"COLUMN\"",
    );
    refuse(|c| c.lanes = 0, "lanes must be");
    refuse(|c| c.database = 16, "db must be");
    refuse(|c| c.table.clear(), "name its table");
    refuse(|c| c.origin.clear(), "name its origin");
    refuse(
        |c| {
            c.value = ValueConfig::Raw {
                column: "ID".to_owned(),
            }
        },
        "'id' is mapped twice",
    );
    refuse(|c| c.value = ValueConfig::Json { fields: vec![] }, "needs fields");
    refuse(|c| c.negative_ttl_ms = 0, "negative_ttl is too short");
    refuse(|c| c.cache_ttl_ms = Some(1), "cache_ttl is too short");
    refuse(|c| c.flush_deadline_ms = 0, "flush_deadline must be");
}

#[test]
fn the_fingerprint_tells_mappings_apart() {
    let one = OriginMap::new(vec![raw("user")]).expect("valid").fingerprint();
    assert_eq!(
        one,
        OriginMap::new(vec![raw("user")]).expect("valid").fingerprint()
    );
    let mut changed = raw("user");
    changed.cache_ttl_ms = Some(1_000);
    assert_ne!(one, OriginMap::new(vec![changed]).expect("valid").fingerprint());
    assert_ne!(one, OriginMap::default().fingerprint());
}

#[test]
fn json_values_get_their_canonical_form() {
    let mapping = ValueMapping::Json {
        members: vec!["b".to_owned(), "a".to_owned()],
        columns: vec!["b".to_owned(), "a".to_owned()],
    };
    assert_eq!(
        mapping.canonical(br#"{"a":1, "b":"x"}"#),
        Ok(Some(br#"{"b":"x","a":1}"#.to_vec()))
    );
    assert_eq!(mapping.canonical(br#"{"b":"x","a":1}"#), Ok(None));
    assert!(mapping.canonical(b"x").is_err());
}
