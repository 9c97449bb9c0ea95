//! Lists against a model, through both forms.

use std::collections::VecDeque;

use super::*;
use crate::collection::testing::Random;
use crate::collection::tree::visits;
use crate::collection::{Remains, SMALL_LIST_BYTES_MAX};

fn all(list: &List) -> Vec<Vec<u8>> {
    list.as_ref().from(0).map(|item| item.to_vec()).collect()
}

fn assert_same(list: &List, model: &VecDeque<Vec<u8>>) {
    assert_eq!(list.as_ref().len(), model.len() as u64);
    assert!(all(list).iter().eq(model));
    let back: Vec<_> = list
        .as_ref()
        .back_from(model.len() as u64)
        .map(|item| item.to_vec())
        .collect();
    assert!(back.iter().rev().eq(model));
    for (index, element) in model.iter().enumerate().step_by(29) {
        let item = list.as_ref().get(index as u64).unwrap();
        assert!(item == element[..]);
        assert_eq!(list.as_ref().from(index as u64).count(), model.len() - index);
        assert_eq!(list.as_ref().back_from(index as u64).count(), index);
    }
    assert!(list.as_ref().get(model.len() as u64).is_none());
    match list {
        List::Small(record) => assert!(ListRef::judge(record).is_ok()),
        List::Large(large) => {
            let mut same = LargeList::default();
            model.iter().for_each(|element| same.push(End::Tail, element));
            assert_eq!(same.digest(), large.digest(), "of the contents alone");
        }
    }
}

fn element(random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => (random.next() as i64 >> random.below(64))
            .to_string()
            .into_bytes(),
        _ => {
            let length = random.length();
            random.bytes(length)
        }
    }
}

fn step(random: &mut Random, list: &mut List, model: &mut VecDeque<Vec<u8>>, growing: bool) {
    let length = model.len() as u64;
    let end = [End::Head, End::Tail][random.below(2) as usize];
    match random.below(20) {
        0..=2 => {
            let (index, element) = (random.below(length + 1), element(random));
            list.insert(index, &element);
            model.insert(index as usize, element);
        }
        3..=4 if length > 0 => {
            let index = random.below(length);
            let seen = list.remove(index, |item| item.to_vec());
            assert_eq!(seen, model.remove(index as usize));
        }
        5 if length > 0 => {
            let (index, element) = (random.below(length), element(random));
            assert!(list.set(index, &element));
            model[index as usize] = element;
        }
        6 if !growing => {
            let count = random.below(60);
            let trimmed = list.trim(end, count);
            assert!(trimmed <= count && (trimmed > 0 || count == 0 || length == 0));
            (0..trimmed).for_each(|_| {
                drop(if end == End::Head {
                    model.pop_front()
                } else {
                    model.pop_back()
                })
            });
        }
        17 if length > 0 && random.below(8) == 0 => swept(random, list, model),
        7..=13 if !growing => {
            let seen = list.pop(end, |item| item.to_vec());
            assert_eq!(
                seen,
                if end == End::Head {
                    model.pop_front()
                } else {
                    model.pop_back()
                }
            );
        }
        _ => {
            let element = element(random);
            list.push(end, &element);
            match end {
                End::Head => model.push_front(element),
                End::Tail => model.push_back(element),
            }
        }
    }
    assert!(!list.set(model.len() as u64, b"x"));
}

/// Takes elements that equal one of the list out, from an end on.
fn swept(random: &mut Random, list: &mut List, model: &mut VecDeque<Vec<u8>>) {
    let element = model[random.below(model.len() as u64) as usize].clone();
    let from = [End::Head, End::Tail][random.below(2) as usize];
    let count = [1, 2, u64::MAX][random.below(3) as usize];
    let (mut at, mut removed) = (if from == End::Head { 0 } else { list.as_ref().len() }, 0);
    loop {
        let sweep = Sweep {
            element: &element,
            from,
            count: count - removed,
        };
        let part = list.sweep(at, sweep);
        removed += part.removed;
        if part.looked == 0 {
            break;
        }
        at = match from {
            End::Head => at + part.looked - part.removed,
            End::Tail => at - part.looked,
        };
    }
    let mut indices: Vec<_> = (0..model.len())
        .filter(|index| model[*index] == element)
        .collect();
    if from == End::Head {
        indices.reverse();
    }
    let indices = indices.split_off(indices.len().saturating_sub(count.min(1 << 20) as usize));
    assert_eq!(removed, indices.len() as u64);
    let mut index = 0;
    model.retain(|_| {
        index += 1;
        !indices.contains(&(index - 1))
    });
}

#[test]
fn a_sweep_makes_each_block_anew_at_most_once() {
    let mut list = LargeList::default();
    for number in 0..100_000u32 {
        list.push(End::Tail, if number % 2 == 0 { b"even" } else { b"odd" });
    }
    let (mut list, blocks) = (List::Large(Box::new(list)), 100_000 * 6 / (8 << 10));
    visits::take();
    let (mut at, mut parts) = (0, 0);
    let sweep = Sweep {
        element: b"odd",
        from: End::Head,
        count: u64::MAX,
    };
    loop {
        let swept = list.sweep(at, sweep);
        if swept.looked == 0 {
            break;
        }
        at += swept.looked - swept.removed;
        parts += 1;
    }
    assert_eq!((at, list.as_ref().len()), (50_000, 50_000));
    assert!((blocks / 2..2 * blocks).contains(&parts), "{parts} of {blocks}");
    let visited = visits::take();
    assert!(visited < 10 * blocks, "{visited}");
}

#[test]
fn a_list_is_a_deque_and_its_clones_stay_what_they_were() {
    for number in 0..24 {
        println!("seed {number}");
        let mut random = Random(number);
        let (mut list, mut model) = (List::default(), VecDeque::new());
        let mut clones = Vec::new();
        for round in 0..8 {
            for _ in 0..[40, 1_500][number as usize % 2] {
                step(&mut random, &mut list, &mut model, round % 3 != 2);
            }
            assert_same(&list, &model);
            clones.push((list.clone(), model.clone()));
        }
        clones.iter().for_each(|(list, model)| assert_same(list, model));
        while list.trim(End::Tail, u64::MAX) > 0 {}
        assert_same(&list, &VecDeque::new());
        assert!(list.pop(End::Head, |_| ()).is_none() && list.pop(End::Tail, |_| ()).is_none());
    }
}

#[test]
fn a_list_becomes_large_behind_its_limit() {
    let mut list = List::default();
    list.push(End::Tail, &[b'x'; SMALL_LIST_BYTES_MAX]);
    assert!(matches!(list, List::Large(_)));
    let mut list = List::default();
    // Two bytes of number; three in front of an element and two behind it.
    list.push(End::Tail, &[b'x'; SMALL_LIST_BYTES_MAX - 7]);
    assert!(matches!(&list, List::Small(record) if record.len() == SMALL_LIST_BYTES_MAX));
    list.push(End::Head, b"");
    assert!(matches!(list, List::Large(_)));
    assert_eq!(all(&list).len(), 2);
    list.pop(End::Tail, |_| ());
    assert!(matches!(list, List::Large(_)), "the way is one way");
}

#[test]
fn the_ends_of_a_list_are_cheap_and_its_middle_is_not_far() {
    let mut list = LargeList::default();
    for number in 0..100_000u32 {
        list.push([End::Head, End::Tail][number as usize % 2], &number.to_le_bytes());
    }
    visits::take();
    for number in 0..10_000u32 {
        list.push(End::Tail, &number.to_le_bytes());
        list.pop(End::Head, |_| ());
    }
    assert!(visits::take() < 500, "one visit for many pushes and pops");
    let used = 100_000 * 6;
    assert!(list.memory_bytes() < used * 105 / 100, "{}", list.memory_bytes());
    let mut random = Random(1);
    for _ in 0..1_000 {
        list.get(random.below(100_000));
        assert!(visits::take() <= 3);
        list.insert(random.below(100_000), b"x");
        assert!(visits::take() <= 4);
        list.remove(random.below(100_000), |_| ());
        assert!(visits::take() <= 8);
    }
    let mut remains = Remains::default();
    list.discard(&mut remains);
    let slices = (0..1_000).take_while(|_| !remains.free(4)).count();
    assert!((15..50).contains(&slices), "{slices}");
}

#[test]
fn long_elements_are_freed_by_their_bytes_not_by_their_number() {
    let mut list = LargeList::default();
    for _ in 0..200 {
        list.push(End::Tail, &vec![1; 100_000]);
    }
    let mut remains = Remains::default();
    list.discard(&mut remains);
    let full = remains.memory_bytes();
    assert!(full > 200 * 100_000, "the ends are among it: {full}");
    let mut before = full;
    while !remains.free(16) {
        let left = remains.memory_bytes();
        assert!(before - left < 2 << 20, "{before} to {left}");
        before = left;
    }
}

#[test]
fn a_large_list_is_rebuilt_from_its_chunks() {
    let mut random = Random(5);
    let mut list = LargeList::default();
    (0..5_000).for_each(|_| list.push(End::Head, &element(&mut random)));
    let snapshot = list.clone();
    while list.trim(End::Head, 100) > 0 {}
    let (mut rebuilt, mut index, mut chunks) = (LargeList::default(), 0, Vec::new());
    while index < snapshot.len() {
        let mut chunk = Vec::new();
        index = snapshot.put_chunk(index, 4_000, &mut chunk);
        assert!(chunk.len() < 4_000 + 9_100);
        rebuilt.take_chunk(&chunk).unwrap();
        chunks.push(chunk);
    }
    assert_eq!(
        (rebuilt.len(), rebuilt.digest()),
        (snapshot.len(), snapshot.digest())
    );
    let mut refused = 0;
    for number in 0..500 {
        let mut random = Random(number);
        let mut damaged = chunks[number as usize % chunks.len()].clone();
        random.damage(&mut damaged);
        let mut rebuilt = LargeList::default();
        refused += u32::from(rebuilt.take_chunk(&damaged).is_err());
        assert_eq!(rebuilt.from(0).count() as u64, rebuilt.len());
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn records_that_are_damaged_are_refused_or_another_list() {
    let mut list = List::default();
    let mut random = Random(9);
    while let List::Small(_) = list {
        let length = random.below(400) as usize;
        match random.below(3) {
            0 => list.push(End::Tail, random.next().to_string().as_bytes()),
            _ => list.push(End::Head, &random.bytes(length)),
        }
        let List::Small(record) = &list else { break };
        for _ in 0..200 {
            let mut damaged = record.clone();
            random.damage(&mut damaged);
            if let Ok(judged) = ListRef::judge(&damaged) {
                assert_eq!(judged.from(0).count() as u64, judged.len());
                assert_eq!(judged.back_from(judged.len()).count() as u64, judged.len());
            }
        }
    }
    for record in [
        &b""[..],
        &[0],
        &[1, 0],
        &[0, 0, 0],
        &[1, 0, 0, 2],
        &[1, 0, 241, 1],
        &[1, 0, 1, b'5', 2],
        &[1, 0, 225, 0, 2],
        &[1, 0, 240, 1, 0, b'x', 4],
    ] {
        assert!(ListRef::judge(record).is_err(), "{record:?}");
    }
}

#[test]
fn a_queue_of_numbers_keeps_its_order() {
    for seed in 0..40 {
        let longest = [40, 4_000][seed as usize % 2];
        let mut random = Random(seed * 2 + 1);
        let (mut list, mut model, mut next) = (List::default(), VecDeque::new(), 240);
        let mut clones = Vec::new();
        for _ in 0..400 {
            if random.below(3) < 2 {
                for _ in 0..=random.below(longest) {
                    next += 1;
                    list.push(End::Tail, next.to_string().as_bytes());
                    model.push_back(next.to_string().into_bytes());
                }
            } else {
                for _ in 0..=random.below(longest * 3 / 4) {
                    let seen = list.pop(End::Head, |item| item.to_vec());
                    assert_eq!(seen, model.pop_front(), "seed {seed}");
                }
            }
            if random.below(10) == 0 {
                clones.push(list.clone());
            }
            if random.below(20) == 0 {
                clones.clear();
            }
        }
    }
}
