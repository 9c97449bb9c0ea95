//! Tests of what apply does with the ops of the origin.

use bytes::Bytes;

use super::super::testing::{FakeCache, LANE, lanes, map, push, resolve, resolved, say};
use super::*;

fn cached(cache: &FakeCache, key: &str) -> String {
    match cache.lookup(0, key.as_bytes()) {
        Cached::Value(value) => String::from_utf8_lossy(value).into_owned(),
        Cached::Absent => "absent".to_owned(),
        Cached::Unknown => "unknown".to_owned(),
    }
}

#[test]
fn a_write_is_visible_and_answered_when_it_is_resolved_and_not_before() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    cache.put(0, b"k:1", Some(b"old"), None);
    assert_eq!(
        push(&mut lanes, &cache, (1, 0), &[("k:1", Some("new"))]),
        Applied::Pending { sequence: 1 }
    );
    assert_eq!(cached(&cache, "k:1"), "old");
    assert!(lanes.is_pending(0, b"k:1"));
    assert_eq!(resolve(&mut lanes, &mut cache, &resolved(1)), ["1: OK"]);
    assert_eq!(cached(&cache, "k:1"), "new");
    assert!(!lanes.is_pending(0, b"k:1"));
    assert_eq!(
        resolve(&mut lanes, &mut cache, &resolved(1)),
        Vec::<String>::new()
    );
}

#[test]
fn a_reject_voids_its_whole_group_and_nothing_else() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    push(&mut lanes, &cache, (1, 0), &[("k:1", Some("a"))]);
    push(
        &mut lanes,
        &cache,
        (2, 0),
        &[("k:1", Some("b")), ("k:2", Some("b"))],
    );
    push(&mut lanes, &cache, (3, 0), &[("k:3", Some("c"))]);
    let decided = Resolved {
        rejects: vec![(2, Bytes::from_static(b"ERR no"))],
        ..resolved(3)
    };
    assert_eq!(
        resolve(&mut lanes, &mut cache, &decided),
        ["1: OK", "2: ERR no", "3: OK"]
    );
    assert_eq!(cached(&cache, "k:1"), "a");
    assert_eq!(cached(&cache, "k:2"), "unknown");
    assert_eq!(cached(&cache, "k:3"), "c");
}

#[test]
fn a_delete_counts_what_is_left_after_rejects() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    cache.put(0, b"k:1", None, None);
    cache.put(0, b"k:2", Some(b"x"), None);
    push(&mut lanes, &cache, (1, 0), &[("k:1", Some("bad"))]);
    push(
        &mut lanes,
        &cache,
        (2, 0),
        &[("k:1", None), ("k:2", None), ("k:2", None)],
    );
    push(&mut lanes, &cache, (3, 0), &[("k:1", Some("good"))]);
    push(&mut lanes, &cache, (4, 0), &[("k:1", None)]);
    let decided = Resolved {
        rejects: vec![(1, Bytes::from_static(b"ERR no"))],
        ..resolved(2)
    };
    assert_eq!(resolve(&mut lanes, &mut cache, &decided), ["1: ERR no", "2: 1"]);
    // What is cached of a key with pending writes may go; its existence is remembered.
    cache.rows.clear();
    assert_eq!(resolve(&mut lanes, &mut cache, &resolved(4)), ["3: OK", "4: 1"]);
    assert_eq!(cached(&cache, "k:1"), "absent");
}

#[test]
fn a_delete_of_an_unknown_row_asks_for_it_first() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    assert_eq!(
        push(&mut lanes, &cache, (1, 0), &[("k:1", None)]),
        Applied::NeedsLoad
    );
    assert_eq!(lanes.pending_count(), 0);
    // A pending write does not help: it may be rejected.
    push(&mut lanes, &cache, (2, 0), &[("k:1", Some("x"))]);
    assert_eq!(
        push(&mut lanes, &cache, (3, 0), &[("k:1", None)]),
        Applied::NeedsLoad
    );
    resolve(&mut lanes, &mut cache, &resolved(1));
    assert_eq!(
        push(&mut lanes, &cache, (4, 0), &[("k:1", None)]),
        Applied::Pending { sequence: 2 }
    );
    assert_eq!(resolve(&mut lanes, &mut cache, &resolved(2)), ["4: 1"]);
}

#[test]
fn a_fill_never_replaces_what_is_known_or_pending() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    let fill = Fill {
        keyspace: 0,
        key: Bytes::from_static(b"k:1"),
        value: Some(Bytes::from_static(b"loaded")),
        invalidations: 0,
    };
    push(&mut lanes, &cache, (1, 0), &[("k:1", Some("x"))]);
    assert!(!lanes.apply_fill(0, &mut cache, &fill));
    resolve(&mut lanes, &mut cache, &resolved(1));
    assert!(!lanes.apply_fill(0, &mut cache, &fill));
    assert_eq!(cached(&cache, "k:1"), "x");
    cache.rows.clear();
    assert!(lanes.apply_fill(500, &mut cache, &fill));
    assert_eq!(cache.rows[&b"k:1"[..]], (fill.value.clone(), u64::MAX));
    let absent = Fill {
        key: Bytes::from_static(b"k:2"),
        value: None,
        ..fill
    };
    assert!(lanes.apply_fill(500, &mut cache, &absent));
    assert_eq!(cache.rows[&b"k:2"[..]], (None, 2_500));
}

#[test]
fn the_stored_form_is_what_becomes_visible() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    push(
        &mut lanes,
        &cache,
        (1, 0),
        &[("k:1", Some("007")), ("k:2", Some("x"))],
    );
    push(&mut lanes, &cache, (2, 0), &[("k:2", Some("y"))]);
    let decided = Resolved {
        canonical: vec![
            (Bytes::from_static(b"k:1"), Some(Bytes::from_static(b"7"))),
            (Bytes::from_static(b"k:2"), None),
        ],
        ..resolved(2)
    };
    resolve(&mut lanes, &mut cache, &decided);
    assert_eq!(
        (cached(&cache, "k:1"), cached(&cache, "k:2")),
        ("7".to_owned(), "absent".to_owned())
    );
    push(&mut lanes, &cache, (3, 0), &[("k:1", Some("008"))]);
    let unseen = Resolved {
        forget: true,
        ..resolved(3)
    };
    assert_eq!(resolve(&mut lanes, &mut cache, &unseen), ["3: OK"]);
    assert_eq!(cached(&cache, "k:1"), "unknown", "how it was stored was not seen");
}

#[test]
fn a_client_waits_until_its_deadline_and_is_answered_once() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    push(&mut lanes, &cache, (1, 1_000), &[("k:1", Some("a"))]);
    push(&mut lanes, &cache, (2, 2_000), &[("k:2", Some("b"))]);
    assert_eq!(lanes.next_deadline_ms(), Some(31_000));
    let mut said = Vec::new();
    lanes.expire(30_999, &mut |completion| said.push(say(&completion)));
    assert!(said.is_empty());
    lanes.expire(31_000, &mut |completion| said.push(say(&completion)));
    assert_eq!(said, ["1: UNKNOWN"]);
    assert_eq!(lanes.next_deadline_ms(), Some(32_000));
    assert!(lanes.lane(LANE).is_overdue(1) && !lanes.lane(LANE).is_overdue(2));
    // It was with the origin already: late, and true.
    assert_eq!(resolve(&mut lanes, &mut cache, &resolved(2)), ["-: OK", "2: OK"]);
    assert_eq!(cached(&cache, "k:1"), "a");
    assert_eq!(lanes.next_deadline_ms(), None);
}

#[test]
fn a_client_waits_no_longer_than_five_seconds_for_an_origin_that_is_known_to_be_down() {
    let (mut lanes, cache) = (lanes(), FakeCache::default());
    push(&mut lanes, &cache, (1, 1_000), &[("k:1", Some("a"))]);
    lanes.apply_health(&Health {
        keyspace: 0,
        down: Some("ORIGINDOWN the file is gone; nothing was done, try again later".to_owned()),
    });
    assert_eq!(lanes.next_deadline_ms(), Some(1_000 + DOWN_PATIENCE_MS));
    let mut texts = Vec::new();
    let mut gather = |completion: Completion<'_>| match completion.answer {
        Answer::Undecided(text) => texts.push(text.to_owned()),
        other => panic!("{other:?}"),
    };
    lanes.expire(999 + DOWN_PATIENCE_MS, &mut gather);
    lanes.expire(1_000 + DOWN_PATIENCE_MS, &mut gather);
    let expect = "UNKNOWN the origin of keyspace k did not decide this write within 5 s: the file is gone; \
                  read the key once the origin is back";
    assert_eq!(texts, [expect]);
    assert!(
        lanes.lane(LANE).is_overdue(1),
        "what was given up is not written later"
    );
}

#[test]
fn writes_are_refused_while_the_origin_is_known_to_be_down() {
    let (mut lanes, cache) = (lanes(), FakeCache::default());
    lanes.apply_health(&Health {
        keyspace: 0,
        down: Some("ORIGINDOWN because".to_owned()),
    });
    assert_eq!(
        push(&mut lanes, &cache, (1, 0), &[("k:1", Some("a"))]),
        Applied::Refused("ORIGINDOWN because".to_owned())
    );
    lanes.apply_health(&Health {
        keyspace: 0,
        down: None,
    });
    assert_eq!(
        push(&mut lanes, &cache, (1, 0), &[("k:1", Some("a"))]),
        Applied::Pending { sequence: 1 }
    );
}

fn invalidate(lanes: &mut Lanes, cache: &mut FakeCache, keys: &[&str]) -> u64 {
    let rows = keys.iter().map(|key| (0, key.as_bytes())).collect();
    lanes.apply_invalidate(cache, &Invalidate { rows })
}

#[test]
fn an_invalidation_drops_copies_and_voids_the_loads_that_began_before() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    cache.put(0, b"k:1", Some(b"old"), None);
    cache.put(0, b"k:2", None, None);
    let fill = |invalidations| Fill {
        keyspace: 0,
        key: Bytes::from_static(b"k:1"),
        value: Some(Bytes::from_static(b"loaded")),
        invalidations,
    };
    let before = lanes.invalidations();
    assert_eq!(
        invalidate(&mut lanes, &mut cache, &["k:1", "k:2", "k:3", "k:1"]),
        2
    );
    assert!(
        !lanes.apply_fill(0, &mut cache, &fill(before)),
        "it may have read the row before"
    );
    assert_eq!(cached(&cache, "k:1"), "unknown");
    assert!(lanes.apply_fill(0, &mut cache, &fill(lanes.invalidations())));
    assert_eq!(cached(&cache, "k:1"), "loaded");
}

#[test]
fn an_invalidation_loses_no_pending_write_and_its_row_is_loaded_anew() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    push(
        &mut lanes,
        &cache,
        (1, 0),
        &[("k:1", Some("a")), ("k:2", Some("b"))],
    );
    push(&mut lanes, &cache, (2, 0), &[("k:1", Some("007"))]);
    assert_eq!(invalidate(&mut lanes, &mut cache, &["k:1"]), 0);
    let mut bytes = Vec::new();
    lanes.encode(&mut bytes);
    let mut lanes = Lanes::restore(map(), &mut &bytes[..]).expect("what encode wrote");
    let decided = Resolved {
        canonical: vec![(Bytes::from_static(b"k:1"), Some(Bytes::from_static(b"7")))],
        ..resolved(2)
    };
    assert_eq!(resolve(&mut lanes, &mut cache, &decided), ["1: OK", "2: OK"]);
    assert_eq!(cached(&cache, "k:1"), "unknown");
    assert_eq!(cached(&cache, "k:2"), "b");
}

#[test]
fn the_state_of_the_origins_is_told_with_its_reason() {
    let mut lanes = lanes();
    let version = lanes.origins_version();
    assert_eq!(lanes.origins().origins, [("main".to_owned(), true)]);
    lanes.apply_health(&Health {
        keyspace: 0,
        down: Some("ORIGINDOWN it is gone; nothing was done, try again later".to_owned()),
    });
    let origins = lanes.origins();
    assert_eq!((origins.keyspaces, origins.origins[0].1), (1, false));
    assert_eq!(origins.troubles[0].reason, "it is gone");
    assert_ne!(lanes.origins_version(), version);
    let mut bytes = Vec::new();
    lanes.encode(&mut bytes);
    let restored = Lanes::restore(map(), &mut &bytes[..]).expect("what encode wrote");
    assert_eq!(restored.origins_version(), lanes.origins_version());
    lanes.apply_health(&Health {
        keyspace: 0,
        down: None,
    });
    assert_eq!(lanes.origins_version(), version);
}

#[test]
fn a_new_numbering_keeps_pending_writes_and_drops_cached_rows() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    cache.put(0, b"k:9", Some(b"x"), None);
    cache.put(0, b"plain", Some(b"x"), None);
    push(&mut lanes, &cache, (1, 0), &[("k:1", Some("a"))]);
    push(&mut lanes, &cache, (2, 40_000), &[("k:2", Some("b"))]);
    lanes.expire(30_000, &mut |_| {});
    let raise = Raise {
        lane: LANE,
        generation: 5,
        applied: 100,
    };
    assert!(lanes.apply_raise(&mut cache, &raise));
    assert!(!lanes.apply_raise(&mut cache, &raise));
    assert_eq!(
        (cached(&cache, "k:9"), cached(&cache, "plain")),
        ("unknown".to_owned(), "x".to_owned())
    );
    let lane = lanes.lane(LANE);
    assert_eq!(
        (lane.generation(), lane.resolved(), lane.highest()),
        (5, 100, 102)
    );
    assert!(lane.is_overdue(101) && !lane.is_overdue(102));
    assert_eq!(
        resolve(&mut lanes, &mut cache, &resolved(2)),
        Vec::<String>::new()
    );
    let decided = Resolved {
        generation: 5,
        ..resolved(102)
    };
    assert_eq!(resolve(&mut lanes, &mut cache, &decided), ["-: OK", "2: OK"]);
    // Downwards as well: the database lost commits.
    let lower = Raise {
        generation: 6,
        applied: 3,
        ..raise
    };
    assert!(lanes.apply_raise(&mut cache, &lower));
    assert_eq!((lanes.lane(LANE).resolved(), lanes.lane(LANE).highest()), (3, 3));
}

#[test]
fn too_many_pending_writes_are_refused_as_not_applied() {
    let (mut lanes, cache) = (lanes(), FakeCache::default());
    let large = "x".repeat(LANE_PENDING_BYTES_MAX / 4);
    for number in 0..4 {
        let applied = push(&mut lanes, &cache, (number, 0), &[("k:1", Some(&large))]);
        assert_eq!(applied, Applied::Pending { sequence: number + 1 });
    }
    let Applied::Refused(error) = push(&mut lanes, &cache, (5, 0), &[("k:1", Some("x"))]) else {
        panic!("the lane is full");
    };
    assert!(error.starts_with("ORIGINDOWN too many writes wait"), "{error}");
}

#[test]
fn the_state_comes_back_from_a_snapshot() {
    let (mut lanes, mut cache) = (lanes(), FakeCache::default());
    cache.put(0, b"k:1", None, None);
    push(
        &mut lanes,
        &cache,
        (1, 0),
        &[("k:1", Some("a")), ("k:2", Some("b"))],
    );
    push(&mut lanes, &cache, (2, 5), &[("k:1", None)]);
    push(&mut lanes, &cache, (3, 6), &[("k:3", Some("c"))]);
    resolve(&mut lanes, &mut cache, &resolved(1));
    lanes.apply_health(&Health {
        keyspace: 0,
        down: Some("ORIGINDOWN x".to_owned()),
    });
    let mut bytes = Vec::new();
    lanes.encode(&mut bytes);
    let mut restored = Lanes::restore(map(), &mut &bytes[..]).expect("what encode wrote");
    assert_eq!(restored.digest(), lanes.digest());
    assert_eq!(restored.lanes, lanes.lanes);
    assert_eq!(restored.down, lanes.down);
    let mut again = cache.clone();
    assert_eq!(
        resolve(&mut restored, &mut again, &resolved(3)),
        resolve(&mut lanes, &mut cache, &resolved(3))
    );
    for length in 0..bytes.len() {
        assert!(Lanes::restore(map(), &mut &bytes[..length]).is_err(), "{length}");
    }
    let mut other = super::super::map::tests::raw("other");
    other.lanes = 1;
    let other = Arc::new(OriginMap::new(vec![other]).expect("valid"));
    assert!(Lanes::restore(other, &mut &bytes[..]).is_err(), "another mapping");
}

#[test]
fn the_digest_sees_every_difference_and_forgets_what_is_decided() {
    let digest = |effects: &[(&str, Option<&str>)]| {
        let (mut lanes, cache) = (lanes(), FakeCache::default());
        push(&mut lanes, &cache, (1, 0), effects);
        lanes.digest()
    };
    assert_eq!(digest(&[("k:1", Some("a"))]), digest(&[("k:1", Some("a"))]));
    assert_ne!(digest(&[("k:1", Some("a"))]), digest(&[("k:1", Some("b"))]));
    assert_ne!(digest(&[("k:1", Some("a"))]), digest(&[("k:2", Some("a"))]));
    let decided = |key: &str| {
        let (mut lanes, mut cache) = (lanes(), FakeCache::default());
        push(&mut lanes, &cache, (1, 0), &[(key, Some("a"))]);
        resolve(&mut lanes, &mut cache, &resolved(1));
        lanes.digest()
    };
    assert_eq!(decided("k:1"), decided("k:2"));
}
