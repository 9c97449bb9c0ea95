//! Sorted sets against a model, through both forms.

use std::collections::BTreeMap;

use super::*;
use crate::collection::testing::{Random, seed};
use crate::collection::tree::visits;
use crate::collection::{SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX};

type Model = BTreeMap<Vec<u8>, Score>;

fn score(number: f64) -> Score {
    Score::new(number).unwrap()
}

fn sorted(model: &Model) -> Vec<(Vec<u8>, Score)> {
    let mut all: Vec<_> = model
        .iter()
        .map(|(member, score)| (member.clone(), *score))
        .collect();
    all.sort_by_key(|(member, score)| (score.to_order(), member.clone()));
    all
}

fn assert_same(set: &SortedSet, model: &Model) {
    let (set_ref, expected) = (set.as_ref(), sorted(model));
    assert_eq!(set_ref.len(), expected.len() as u64);
    let own = |(member, score): (&[u8], Score)| (member.to_vec(), score);
    assert!(set_ref.from(0).map(own).eq(expected.iter().cloned()));
    assert!(
        set_ref
            .back_from(set_ref.len())
            .map(own)
            .eq(expected.iter().rev().cloned())
    );
    for (rank, (member, score)) in expected.iter().enumerate().step_by(11) {
        let rank = rank as u64;
        let below = expected.iter().filter(|other| other.1 < *score).count() as u64;
        let up_to = expected.iter().filter(|other| other.1 <= *score).count() as u64;
        assert_eq!(set_ref.rank(member), Some((rank, *score)));
        assert_eq!(set_ref.at(rank), Some((&member[..], *score)));
        assert_eq!(set_ref.count_below(*score, false), below);
        assert_eq!(set_ref.count_below(*score, true), up_to);
        assert_eq!(set_ref.count_before(*score, member, false), rank);
        assert_eq!(set_ref.count_before(*score, member, true), rank + 1);
        assert_eq!(set_ref.back_from(rank).count() as u64, rank);
    }
    assert_eq!(set_ref.at(set_ref.len()), None);
    let mut scanned = Model::new();
    let mut cursor = 0;
    loop {
        cursor = set_ref.scan(cursor, 100, &mut |member, score| {
            assert_eq!(scanned.insert(member.to_vec(), score), None);
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(scanned == *model);
    if let SortedSet::Small(record) = set {
        assert!(SortedSetRef::judge(record).is_ok());
    }
}

fn any_score(random: &mut Random) -> Score {
    match random.below(12) {
        0 => score(f64::INFINITY),
        1 => score(f64::NEG_INFINITY),
        2 => score(-0.0),
        3 => Score::new(f64::from_bits(random.next())).unwrap_or(score(0.0)),
        _ => score(random.below(50) as f64 - 20.0),
    }
}

#[test]
fn a_sorted_set_is_a_map_in_the_order_of_its_values() {
    for number in 0..32 {
        println!("seed {number}");
        let mut random = Random(number);
        let members = [20, SMALL_COUNT_MAX as u64 + 1, 6_000][random.below(3) as usize];
        let (mut set, mut model, mut clones) = (SortedSet::default(), Model::new(), Vec::new());
        for step in 0..2_000 {
            let member = format!("member{}", random.below(members)).into_bytes();
            match random.below(10) {
                0..=2 => assert_eq!(set.remove(&member), model.remove(&member)),
                3 if step % 40 == 0 => {
                    let (rank, count) = (random.below(set.as_ref().len() + 1), random.below(50));
                    let expected = sorted(&model);
                    let mut removed = Vec::new();
                    let number = set.remove_at(rank, count, &mut |member, score| {
                        removed.push((member.to_vec(), score));
                    });
                    assert_eq!(number as usize, removed.len());
                    assert!(expected[rank as usize..].starts_with(&removed));
                    removed.iter().for_each(|(member, _)| _ = model.remove(member));
                }
                _ => {
                    let score = any_score(&mut random);
                    assert_eq!(
                        set.insert(&member, score, seed()),
                        model.insert(member.clone(), score)
                    );
                    assert_eq!(set.as_ref().score(&member), Some(score));
                }
            }
            if step % 200 == 0 {
                assert_same(&set, &model);
                clones.push((set.clone(), model.clone()));
            }
        }
        clones.iter().for_each(|(set, model)| assert_same(set, model));
        while set.remove_at(0, u64::MAX, &mut |_, _| ()) > 0 {}
        assert_same(&set, &Model::new());
    }
}

#[test]
fn a_sorted_set_becomes_large_at_its_limits_and_not_before() {
    let mut set = SortedSet::default();
    for number in 0..SMALL_COUNT_MAX {
        set.insert(format!("{number:064}").as_bytes(), score(1.0), seed());
    }
    assert!(matches!(set, SortedSet::Small(_)));
    set.insert(format!("{:064}", 1).as_bytes(), score(2.0), seed());
    assert!(matches!(set, SortedSet::Small(_)));
    set.insert(b"x", score(1.0), seed());
    assert!(matches!(set, SortedSet::Large(_)));
    let mut long = SortedSet::default();
    long.insert(&[b'x'; SMALL_ELEMENT_BYTES_MAX + 1], score(1.0), seed());
    assert!(matches!(long, SortedSet::Large(_)));
}

fn large(count: u64) -> LargeSortedSet {
    let mut set = LargeSortedSet::new(seed());
    let mut random = Random(4);
    for number in 0..count {
        set.insert(format!("member:{number}").as_bytes(), any_score(&mut random));
    }
    set
}

#[test]
fn ranks_look_at_few_nodes() {
    let set = large(100_000);
    let mut random = Random(1);
    visits::take();
    for _ in 0..1_000 {
        set.rank(format!("member:{}", random.below(100_000)).as_bytes())
            .unwrap();
        assert_eq!(visits::take(), 6);
        set.at(random.below(100_000)).unwrap();
        assert_eq!(visits::take(), 3);
        set.count_below(score(3.0), true);
        assert_eq!(visits::take(), 3);
    }
}

#[test]
fn a_large_sorted_set_is_rebuilt_from_its_chunks() {
    let set = large(3_000);
    let (mut rebuilt, mut rank, mut chunks) = (LargeSortedSet::new(seed()), 0, Vec::new());
    while rank < set.len() {
        let mut chunk = Vec::new();
        rank = set.put_chunk(rank, 2_000, &mut chunk);
        assert!(chunk.len() < 2_050);
        rebuilt.take_chunk(&chunk).unwrap();
        chunks.push(chunk);
    }
    assert_eq!((rebuilt.len(), rebuilt.digest()), (set.len(), set.digest()));
    assert!(rebuilt.from(0).eq(set.from(0)));
    let mut refused = 0;
    for number in 0..500 {
        let mut random = Random(number);
        let mut damaged = chunks[number as usize % chunks.len()].clone();
        random.damage(&mut damaged);
        let mut rebuilt = LargeSortedSet::new(seed());
        refused += u32::from(rebuilt.take_chunk(&damaged).is_err());
        assert_eq!(rebuilt.from(0).count() as u64, rebuilt.len());
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn records_that_are_damaged_are_refused_or_another_sorted_set() {
    let mut set = SortedSet::default();
    for number in 0..60 {
        set.insert(format!("m{number}").as_bytes(), score(f64::from(number)), seed());
    }
    let SortedSet::Small(record) = &set else {
        panic!("it is small")
    };
    let mut refused = 0;
    for number in 0..5_000 {
        let mut damaged = record.clone();
        Random(number).damage(&mut damaged);
        match SortedSetRef::judge(&damaged) {
            Ok(set) => assert_eq!(set.from(0).count() as u64, set.len()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 3_000, "{refused}");
    let negative_zero = (!(1u64 << 63)).to_be_bytes();
    let nan = u64::MAX.to_be_bytes();
    for order in [negative_zero, nan] {
        let record = [&[1][..], &order, &[1, b'm']].concat();
        assert!(SortedSetRef::judge(&record).is_err());
    }
}
