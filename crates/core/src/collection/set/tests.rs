//! Sets against a model, through their three forms.

use std::collections::BTreeSet;

use super::*;
use crate::collection::testing::{Random, seed};
use crate::collection::{HashedBuilder, SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX, SMALL_INTEGERS_MAX};

fn members(set: &Set) -> Vec<Vec<u8>> {
    set.as_ref().from(0).map(|item| item.to_vec()).collect()
}

fn assert_same(set: &Set, model: &BTreeSet<Vec<u8>>) {
    let all = members(set);
    assert_eq!(set.as_ref().len(), all.len() as u64);
    assert!(all.iter().cloned().collect::<BTreeSet<_>>() == *model);
    if let Set::Small(record) = set {
        assert!(SetRef::judge(record).is_ok());
    }
    for (index, member) in all.iter().enumerate().step_by(13) {
        assert_eq!(
            set.as_ref().at(index as u64).map(|item| item.to_vec()),
            Some(member.clone())
        );
        assert!(set.as_ref().contains(member));
    }
    assert!(set.as_ref().at(all.len() as u64).is_none());
}

#[test]
fn a_set_is_a_set_in_every_form() {
    for number in 0..60 {
        println!("seed {number}");
        let mut random = Random(number);
        let size = [20, 150, 700, 3_000][random.below(4) as usize];
        let wide = [1, 1 << 20, 1 << 40][random.below(3) as usize];
        let has_texts = random.below(2) == 0;
        let (mut set, mut model) = (Set::default(), BTreeSet::new());
        for step in 0..1_500 {
            let number = (random.below(size) as i64 - 10) * wide;
            let member = match has_texts && random.below(60) == 0 {
                true if random.below(20) == 0 => vec![b'x'; SMALL_ELEMENT_BYTES_MAX + 1],
                true => format!("m{number}").into_bytes(),
                false => number.to_string().into_bytes(),
            };
            if random.below(4) == 0 {
                assert_eq!(set.remove(&member), model.remove(&member));
            } else {
                assert_eq!(set.insert(&member, seed()), model.insert(member));
            }
            if step % 50 == 0 {
                assert_same(&set, &model);
            }
        }
        assert_same(&set, &model);
    }
}

#[test]
fn a_set_becomes_large_at_its_limits_and_not_before() {
    let mut integers = Set::default();
    for number in 0..SMALL_INTEGERS_MAX {
        integers.insert((number * 3).to_string().as_bytes(), seed());
    }
    assert!(matches!(integers.as_ref(), SetRef::Small(SmallSet::Integers(_))));
    assert!(members(&integers).is_sorted_by_key(|text| text.len()));
    let mut mixed = integers.clone();
    assert!(integers.insert(b"1", seed()));
    assert!(matches!(integers, Set::Large(_)));
    assert!(mixed.insert(b"a", seed()), "512 are too many members of any kind");
    assert!(matches!(mixed, Set::Large(_)));

    let mut texts = Set::default();
    for number in 0..SMALL_COUNT_MAX {
        texts.insert(format!("{:064}", number).as_bytes(), seed());
    }
    assert!(matches!(texts.as_ref(), SetRef::Small(SmallSet::Members(..))));
    let mut long = Set::default();
    long.insert(&[b'x'; SMALL_ELEMENT_BYTES_MAX + 1], seed());
    assert!(matches!(long, Set::Large(_)));
    assert!(texts.insert(b"1", seed()));
    assert!(matches!(texts, Set::Large(_)));
    members(&texts)
        .iter()
        .for_each(|member| assert!(texts.remove(member)));
    assert!(matches!(texts, Set::Large(_)), "the way is one way");

    let mut few = Set::default();
    for member in ["3", "-70000", "1", "5000000000"] {
        few.insert(member.as_bytes(), seed());
    }
    few.insert(b"x", seed());
    few.insert(b"2", seed());
    let texts: Vec<_> = members(&few)
        .into_iter()
        .map(|text| String::from_utf8(text).unwrap())
        .collect();
    assert_eq!(texts, ["-70000", "1", "3", "5000000000", "x", "2"]);
}

#[test]
fn records_and_chunks_that_are_damaged_are_refused_or_another_set() {
    let (mut integers, mut texts) = (Set::default(), Set::default());
    let mut large = Hashed::<false>::new(seed());
    for number in 0..100 {
        integers.insert((number * 1_000).to_string().as_bytes(), seed());
        texts.insert(format!("m{number}").as_bytes(), seed());
        large.insert(format!("m{number}").as_bytes(), b"");
    }
    let mut chunk = Vec::new();
    assert_eq!(large.put_chunk(0, usize::MAX >> 1, &mut chunk), 100);
    let mut refused = 0;
    for number in 0..5_000 {
        let mut random = Random(number);
        for set in [&integers, &texts] {
            let Set::Small(record) = set else { unreachable!() };
            let mut damaged = record.clone();
            random.damage(&mut damaged);
            match SetRef::judge(&damaged) {
                Ok(set) => assert_eq!(set.from(0).count() as u64, set.len()),
                Err(_) => refused += 1,
            }
        }
        let mut damaged = chunk.clone();
        random.damage(&mut damaged);
        let mut builder = HashedBuilder::<false>::new(seed());
        refused += u64::from(builder.take_chunk(&damaged).is_err());
        let rebuilt = builder.finish();
        assert_eq!(rebuilt.from(0).count() as u64, rebuilt.len());
    }
    assert!(refused > 8_000, "{refused}");
    for record in [
        &b""[..],
        &[1],
        &[2, 0],
        &[2, 1, 0, 1, 0],
        &[2, 2, 0, 1, 0],
        &[0],
        &[0, 1],
        &[0, 0, 1],
    ] {
        assert!(SetRef::judge(record).is_err(), "{record:?}");
    }
}
