//! Streams against models, and their chunks.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn id(number: u64) -> StreamId {
    StreamId {
        ms: number / 3,
        seq: number % 3,
    }
}

fn packed(number: u64) -> Vec<u8> {
    let value = "v".repeat(number as usize % 50);
    pack_words(2, [&b"f"[..], value.as_bytes()].into_iter())
}

fn rebuilt(stream: &Stream, budget_bytes: usize) -> Stream {
    let mut builder = StreamBuilder::default();
    let mut next = 0;
    while next < stream.part_count() {
        let mut chunk = Vec::new();
        next = stream.put_chunk(next, budget_bytes, &mut chunk);
        builder.take_chunk(&chunk).expect("it was put");
        assert_eq!(builder.len(), next);
    }
    builder.finish()
}

/// A stream with a group whose consumers share pending entries.
fn stream(entries: u64) -> Stream {
    let mut stream = Stream::default();
    for number in 1..=entries {
        stream.append(id(number), &packed(number));
    }
    for name in [&b"g"[..], b"h"] {
        let number = stream.give_number();
        let group = Group {
            number,
            last: id(entries / 2),
            read: None,
        };
        stream.put_group(name, group);
        for at in 0..3u64 {
            let number = stream.give_number();
            let consumer = Consumer { number, seen_ms: at };
            stream.put_consumer(group.number, &[b'c', at as u8], consumer);
            for entry in (1..=entries / 2).filter(|entry| entry % 3 == at) {
                let pending = Pending {
                    consumer: number,
                    delivered_ms: entry,
                    count: 1,
                };
                stream.put_pending(group.number, id(entry), pending);
            }
        }
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entries_are_those_of_a_map(steps in prop::collection::vec((0..8u8, 0..200u64), 1..300)) {
        let (mut stream, mut model) = (Stream::default(), BTreeMap::new());
        let mut last = 0;
        for (step, number) in steps {
            match step {
                0..=4 => {
                    last += 1 + number % 4;
                    stream.append(id(last), &packed(last));
                    model.insert(id(last), packed(last));
                }
                5 | 6 => prop_assert_eq!(stream.delete(id(number)), model.remove(&id(number)).is_some()),
                _ => {
                    let (trimmed, _) = stream.trim(number % 5);
                    prop_assert!(trimmed > 0 || model.is_empty() || number % 5 == 0);
                    (0..trimmed).for_each(|_| drop(model.pop_first()));
                }
            }
            let around = id(number);
            prop_assert_eq!(stream.len(), model.len() as u64);
            prop_assert_eq!(stream.get(around).is_some(), model.contains_key(&around));
            prop_assert_eq!(stream.count_below(around), model.range(..around).count() as u64);
            let from: Vec<_> = stream.from(around).map(|entry| entry.id).collect();
            prop_assert!(from.iter().eq(model.range(around..).map(|(id, _)| id)));
            let back: Vec<_> = stream.back_from(around).map(|entry| entry.id).collect();
            prop_assert!(back.iter().eq(model.range(..=around).rev().map(|(id, _)| id)));
        }
        prop_assert_eq!(rebuilt(&stream, 100).digest(), stream.digest());
    }
}

#[test]
fn a_stream_comes_out_of_chunks_of_any_size_as_it_went_in() {
    let whole = stream(600);
    for budget_bytes in [1, 100, 5000, usize::MAX] {
        let copy = rebuilt(&whole, budget_bytes);
        assert_eq!(copy.digest(), whole.digest());
        let parts = |stream: &Stream| {
            let mut chunk = Vec::new();
            stream.put_chunk(0, usize::MAX, &mut chunk);
            chunk
        };
        assert!(parts(&copy) == parts(&whole));
        let group = whole.group(b"h").expect("it was put");
        let consumer = whole.consumer(group.number, b"c\x02").expect("it was put");
        assert!(
            copy.owned_from(consumer.number, id(9))
                .eq(whole.owned_from(consumer.number, id(9)))
        );
        assert_eq!(copy.consumer_name(consumer.number), b"c\x02");
    }
}

#[test]
fn what_goes_and_comes_back_leaves_no_trace_in_the_digest() {
    let mut stream = stream(90);
    let before = stream.digest();
    let group = stream.group(b"g").expect("it was put");
    let pending = stream.pending(group.number, id(4)).expect("it was put");
    assert!(stream.remove_pending(group.number, id(4)));
    assert!(!stream.remove_pending(group.number, id(4)));
    assert_ne!(stream.digest(), before);
    stream.put_pending(group.number, id(4), pending);
    assert_eq!(stream.digest(), before);
    let other = stream
        .consumer(group.number, b"c\x00")
        .expect("it was put")
        .number;
    let counts = |stream: &Stream| [stream.owned_count(pending.consumer), stream.owned_count(other)];
    let [mine, others] = counts(&stream);
    let taken = Pending {
        consumer: other,
        ..pending
    };
    stream.put_pending(group.number, id(4), taken);
    assert_eq!(counts(&stream), [mine - 1, others + 1]);
    stream.put_pending(group.number, id(4), pending);
    assert_eq!(stream.digest(), before);
    assert_eq!(stream.pending_count(group.number), 45);
    assert_eq!(stream.last_pending(group.number), Some(id(45)));
}

#[test]
fn a_clone_of_a_stream_is_not_changed_with_it() {
    let mut stream = stream(300);
    let (clone, before) = (stream.clone(), stream.digest());
    stream.append(id(1000), &packed(1));
    let group = stream.group(b"g").expect("it was put").number;
    for number in 1..100 {
        stream.remove_pending(group, id(number));
        stream.delete(id(number));
    }
    assert_eq!((clone.digest(), clone.len()), (before, 300));
    assert!(stream.take_copied_bytes() > 0);
    let mut remains = Remains::default();
    stream.discard(&mut remains);
    while !remains.free(10) {}
    assert_eq!(remains.memory_bytes(), 0);
    assert_eq!(rebuilt(&clone, 1000).digest(), before);
}

#[test]
fn damaged_chunks_are_refused() {
    let mut chunk = Vec::new();
    stream(30).put_chunk(0, usize::MAX, &mut chunk);
    let take = |chunk: &[u8]| StreamBuilder::default().take_chunk(chunk);
    assert_eq!(take(&chunk), Ok(()));
    assert!(take(&chunk[1..]).is_err() && take(&[&chunk[..], &chunk[..]].concat()).is_err());
    let mut accepted = 0;
    for at in 0..chunk.len() {
        let mut damaged = chunk.clone();
        damaged[at] ^= 0x15;
        // What is still a stream differs in its digest; nothing else may happen.
        let mut builder = StreamBuilder::default();
        if builder.take_chunk(&damaged).is_ok() {
            accepted += 1;
            assert_ne!(builder.finish().digest(), stream(30).digest());
        }
    }
    assert!(accepted > 0);
}
