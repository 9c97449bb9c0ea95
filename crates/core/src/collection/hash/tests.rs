//! Hashes against a model, through both forms.

use std::collections::BTreeMap;

use super::*;
use crate::collection::testing::{Random, seed};
use crate::collection::{HashedBuilder, SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX};

fn assert_same(hash: &Hash, model: &[(Vec<u8>, Vec<u8>)]) {
    let hash_ref = hash.as_ref();
    assert_eq!(hash_ref.len(), model.len() as u64);
    let pairs: Vec<_> = hash_ref
        .from(0)
        .map(|(field, value)| (field.to_vec(), value.to_vec()))
        .collect();
    match hash {
        Hash::Small(record) => {
            assert!(pairs == model, "a small hash is in the order of its insertions");
            assert!(HashRef::judge(record).is_ok());
        }
        Hash::Large(_) => {
            let sorted: BTreeMap<_, _> = model.iter().cloned().collect();
            assert!(pairs.iter().cloned().collect::<BTreeMap<_, _>>() == sorted);
        }
        Hash::Volatile(..) => unreachable!("no field has a deadline"),
    }
    for (index, (field, value)) in pairs.iter().enumerate().step_by(17) {
        assert_eq!(hash_ref.at(index as u64), Some((&field[..], &value[..])));
        assert!(hash_ref.from(index as u64).count() == pairs.len() - index);
        assert_eq!(hash_ref.get(field), Some(&value[..]));
    }
    assert_eq!(hash_ref.at(pairs.len() as u64), None);
}

#[test]
fn a_hash_is_a_map_in_both_forms() {
    for number in 0..40 {
        println!("seed {number}");
        let mut random = Random(number);
        let fields = [20, SMALL_COUNT_MAX as u64, 200, 5_000][random.below(4) as usize];
        let (mut hash, mut model) = (Hash::default(), Vec::<(Vec<u8>, Vec<u8>)>::new());
        let mut was_large = false;
        for step in 0..1_500 {
            let field = format!("f{}", random.below(fields)).into_bytes();
            let at = model.iter().position(|(other, _)| *other == field);
            if random.below(3) == 0 {
                assert_eq!(hash.remove(&field), at.is_some());
                at.map(|at| model.remove(at));
            } else {
                let length = match random.below(if fields < 100 { 300 } else { 4_000 }) {
                    0 => SMALL_ELEMENT_BYTES_MAX + 1,
                    _ => random.below(SMALL_ELEMENT_BYTES_MAX as u64 + 1) as usize,
                };
                let value = random.bytes(length);
                was_large |= at.is_none() && model.len() == SMALL_COUNT_MAX;
                was_large |= length > SMALL_ELEMENT_BYTES_MAX;
                assert_eq!(hash.set(&field, &value, seed()), at.is_none());
                match at {
                    Some(at) => model[at].1 = value,
                    None => model.push((field, value)),
                }
            }
            assert_eq!(matches!(hash, Hash::Large(_)), was_large, "step {step}");
            if step % 50 == 0 {
                assert_same(&hash, &model);
            }
        }
        assert_same(&hash, &model);
    }
}

fn large(count: usize) -> Hashed<true> {
    let mut hashed = Hashed::new(seed());
    let mut random = Random(3);
    for number in 0..count {
        let length = random.length();
        hashed.insert(format!("field:{number}").as_bytes(), &random.bytes(length));
    }
    hashed
}

#[test]
fn the_digest_depends_on_the_contents_alone() {
    let (mut one, mut other) = (Hashed::<true>::new(seed()), Hashed::<true>::new(seed()));
    let empty = one.digest();
    for number in 0..3_000u32 {
        one.insert(&number.to_le_bytes(), b"value");
        other.insert(&(2_999 - number).to_le_bytes(), b"other");
    }
    assert_ne!(one.digest(), other.digest());
    for number in 0..3_000u32 {
        other.insert(&number.to_le_bytes(), b"value");
    }
    assert_eq!(one.digest(), other.digest());
    // Values that change places change the digest.
    let before = one.digest();
    one.insert(&0u32.to_le_bytes(), b"x");
    one.insert(&1u32.to_le_bytes(), b"y");
    let swapped = one.digest();
    one.insert(&0u32.to_le_bytes(), b"y");
    one.insert(&1u32.to_le_bytes(), b"x");
    assert!(one.digest() != swapped && swapped != before);
    (0..3_000u32).for_each(|number| assert!(one.remove(&number.to_le_bytes())));
    assert_eq!(one.digest(), empty);
}

fn chunks(hashed: &Hashed<true>, budget_bytes: usize) -> Vec<Vec<u8>> {
    let (mut chunks, mut index) = (Vec::new(), 0);
    while index < hashed.len() {
        let mut chunk = Vec::new();
        let next = hashed.put_chunk(index, budget_bytes, &mut chunk);
        assert!(next > index && chunk.len() < budget_bytes + 9_100);
        index = next;
        chunks.push(chunk);
    }
    chunks
}

#[test]
fn a_large_hash_is_rebuilt_from_its_chunks() {
    let mut hashed = large(5_000);
    let snapshot = hashed.clone();
    for number in 0..5_000 {
        hashed.remove(format!("field:{number}").as_bytes());
    }
    let mut builder = HashedBuilder::<true>::new(seed());
    for chunk in chunks(&snapshot, 3_000) {
        builder.take_chunk(&chunk).unwrap();
    }
    assert!(builder.memory_bytes() > 100_000);
    let rebuilt = builder.finish();
    assert_eq!(rebuilt.digest(), snapshot.digest());
    assert!(rebuilt.from(0).eq(snapshot.from(0)));
    assert!(hashed.is_empty());
}

#[test]
fn chunks_and_records_that_are_damaged_are_refused_or_another_hash() {
    let hashed = large(300);
    let chunks = chunks(&hashed, 2_000);
    let mut record = SmallHash::EMPTY.to_vec();
    for number in 0..100u32 {
        small::set(&mut record, &number.to_le_bytes(), b"value").unwrap();
    }
    let mut refused = 0;
    for number in 0..3_000 {
        let mut random = Random(number);
        let mut damaged = record.clone();
        random.damage(&mut damaged);
        match HashRef::judge(&damaged) {
            Ok(hash) => assert_eq!(hash.from(0).count() as u64, hash.len()),
            Err(_) => refused += 1,
        }
        let mut builder = HashedBuilder::<true>::new(seed());
        let result = chunks.iter().try_for_each(|chunk| {
            let mut damaged = chunk.clone();
            if random.below(4) == 0 {
                random.damage(&mut damaged);
            }
            builder.take_chunk(&damaged)
        });
        refused += u64::from(result.is_err());
        let rebuilt = builder.finish();
        assert_eq!(rebuilt.from(0).count() as u64, rebuilt.len());
    }
    assert!(refused > 2_000, "{refused}");
    let mut builder = HashedBuilder::<true>::new(seed());
    assert!(builder.take_chunk(&chunks[1]).is_ok());
    assert!(builder.take_chunk(&chunks[0]).is_err(), "out of order");
    for record in [
        &b""[..],
        &[1],
        &[1, 1, b'f'],
        &[1, 1, b'f', 1, b'v', 0],
        &[2, 0, 0, 0, 0],
    ] {
        assert!(HashRef::judge(record).is_err(), "{record:?}");
    }
}

#[test]
fn a_scan_shows_what_is_there_all_the_time() {
    for number in 0..20 {
        println!("seed {number}");
        let mut random = Random(number);
        let mut hashed = large(2_000);
        let mut seen = std::collections::BTreeSet::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = hashed.scan(cursor, 10, &mut |element| {
                seen.insert(element.key.to_vec());
            });
            calls += 1;
            if cursor == 0 {
                break;
            }
            // Every second field comes and goes.
            for _ in 0..20 {
                let field = format!("field:{}", random.below(2_000) * 2 + 1).into_bytes();
                if !hashed.remove(&field) {
                    hashed.insert(&field, b"again");
                }
            }
        }
        assert!((90..400).contains(&calls), "{calls}");
        (0..2_000)
            .step_by(2)
            .for_each(|number| assert!(seen.contains(format!("field:{number}").as_bytes())));
    }
    assert_eq!(large(1_000).scan(u64::MAX, 10, &mut |_| unreachable!()), 0);
}

type Timed = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn assert_timed(hash: &VolatileHash, model: &Timed, time_ms: u64) {
    let hash_ref = VolatileRef::new(hash, time_ms);
    let alive: Timed = (model.iter())
        .filter(|(_, (_, deadline_ms))| deadline_ms.is_none_or(|deadline_ms| deadline_ms > time_ms))
        .map(|(field, timed)| (field.clone(), timed.clone()))
        .collect();
    assert_eq!(hash_ref.len(), alive.len() as u64);
    let told: Vec<_> = hash_ref.timed_from(0).collect();
    let sorted: Timed = (told.iter())
        .map(|(deadline_ms, field, value)| (field.to_vec(), (value.to_vec(), *deadline_ms)))
        .collect();
    assert!(sorted == alive && told.len() == alive.len());
    for (index, (deadline_ms, field, value)) in told.iter().enumerate().step_by(7) {
        assert_eq!(hash_ref.at(index as u64), Some((*field, *value)));
        assert_eq!(hash_ref.from(index as u64).count(), told.len() - index);
        assert_eq!(hash_ref.get(field), Some((*value, *deadline_ms)));
    }
    assert_eq!(hash_ref.at(told.len() as u64), None);
    let later = |(_, deadline_ms): &(Vec<u8>, Option<u64>)| deadline_ms.filter(|at_ms| *at_ms > time_ms);
    assert_eq!(hash_ref.earliest_ms(), alive.values().filter_map(later).min());
    assert_eq!(
        hash.next_deadline_after(time_ms),
        alive.values().filter_map(later).min()
    );
}

/// What chunks rebuild has the same digest, and damaged ones are an error at worst.
fn assert_rebuilt(hash: &VolatileHash, random: &mut Random) {
    let mut builder = VolatileHashBuilder::new(seed());
    let mut index = 0;
    while index < hash.len() {
        let mut chunk = Vec::new();
        index = hash.put_chunk(index, 300, &mut chunk);
        builder.take_chunk(&chunk).expect("it was put");
        random.damage(&mut chunk);
        let _ = VolatileHashBuilder::new(seed()).take_chunk(&chunk);
    }
    assert_eq!(builder.len(), hash.len());
    assert_eq!(builder.finish().digest(), hash.digest());
}

#[test]
fn fields_with_deadlines_are_a_map_of_which_less_is_there_as_time_passes() {
    for number in 0..20 {
        println!("seed {number}");
        let mut random = Random(number);
        let mut hash = VolatileHash::new(Hashed::new(seed()), seed());
        let (mut model, mut time_ms) = (Timed::new(), 1_000);
        for step in 0..1_200 {
            let field = format!("f{}", random.below(150)).into_bytes();
            let value = random.bytes(step % 90);
            match random.below(6) {
                0 => assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
                1 => {
                    assert_eq!(hash.set(&field, &value), !model.contains_key(&field));
                    model.insert(field, (value, None));
                }
                2 => {
                    time_ms += random.below(30);
                    let mut due: Vec<u64> = (model.values())
                        .filter_map(|(_, deadline_ms)| deadline_ms.filter(|at_ms| *at_ms <= time_ms))
                        .collect();
                    due.sort_unstable();
                    assert_eq!(hash.due_count(time_ms), due.len() as u64);
                    assert_timed(&hash, &model, time_ms);
                    let mut shown = Vec::new();
                    hash.remove_due(time_ms, (3, false), &mut |deadline_ms| shown.push(deadline_ms));
                    assert_eq!(shown, due[..due.len().min(3)]);
                    model.retain(|field, _| VolatileRef::new(&hash, 0).get(field).is_some());
                }
                _ => {
                    let deadline_ms = time_ms + random.below(200);
                    hash.set_volatile(&field, &value, deadline_ms);
                    model.insert(field, (value, Some(deadline_ms)));
                }
            }
        }
        assert_timed(&hash, &model, time_ms);
        assert_timed(&hash, &model, 0);
        assert_rebuilt(&hash, &mut random);
        let digest = hash.digest();
        hash.set_key_deadline(Some(5));
        assert_ne!(hash.digest(), digest);
        assert_eq!(hash.earliest_deadline_ms(), Some(5));
        assert!(!hash.is_alive(5) && hash.is_alive(4));
        let fields: Vec<_> = model.into_keys().collect();
        fields.iter().for_each(|field| assert!(hash.remove(field)));
        hash.set_key_deadline(None);
        assert_eq!((hash.digest(), hash.len()), (0, 0));
    }
}

#[test]
fn a_scan_shows_fields_whose_deadlines_come_and_go() {
    for number in 0..20 {
        println!("seed {number}");
        let mut random = Random(number);
        let mut hash = VolatileHash::new(large(2_000), seed());
        let mut seen = std::collections::BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = VolatileRef::new(&hash, 10).scan(cursor, 10, &mut |field, _| {
                seen.insert(field.to_vec());
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..40 {
                let field = format!("field:{}", random.below(2_000)).into_bytes();
                match random.below(2) {
                    0 => _ = hash.set(&field, b"lasting"),
                    _ => hash.set_volatile(&field, b"volatile", 11 + random.below(9)),
                }
            }
        }
        (0..2_000).for_each(|number| assert!(seen.contains(format!("field:{number}").as_bytes())));
    }
}
