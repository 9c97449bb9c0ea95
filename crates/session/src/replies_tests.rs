//! The order of replies, whatever the order of answers.

use super::*;

fn say(queue: &mut ReplyQueue, pool: &mut BufferPool, text: &str) {
    queue.push(text.as_bytes(), pool);
}

#[test]
fn replies_leave_in_request_order_whatever_the_order_of_answers() {
    let (mut queue, mut pool) = (ReplyQueue::starting_at(u32::MAX - 1), BufferPool::default());
    say(&mut queue, &mut pool, "a");
    let second = queue.expect(Shape::Plain, 0, 10);
    say(&mut queue, &mut pool, "c");
    say(&mut queue, &mut pool, "d");
    let fifth = queue.expect(Shape::Plain, 0, 10);
    let sixth = queue.expect(Shape::Plain, 0, 10);
    assert_eq!((queue.pending_bytes(), queue.held_bytes()), (3, 30));
    assert!(queue.take_waiting(sixth).is_some());
    assert_eq!(queue.held_bytes(), 20);
    queue.answer(sixth, b"f", &mut pool);
    assert_eq!(queue.sendable(), b"a");
    queue.answer(second, b"b", &mut pool);
    assert_eq!(queue.sendable(), b"abcd");
    assert_eq!(queue.waiting(), 1);
    queue.answer(fifth, b"e", &mut pool);
    assert_eq!(queue.sendable(), b"abcdef");
    assert_eq!(queue.pending_bytes(), 6);
    assert!(queue.take_waiting(fifth).is_none());
}

#[test]
fn a_long_reply_keeps_its_place_and_is_not_copied() {
    let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
    let first = queue.expect(Shape::Plain, 0, 10);
    let second = queue.expect(Shape::Plain, 0, 10);
    say(&mut queue, &mut pool, "c");
    assert!(queue.waits_plainly(second));
    queue.answer_long(second, long(&[b"sec", b"ond"]), &mut pool);
    assert_eq!(queue.sendable(), b"");
    assert_eq!(queue.pending_bytes(), 7);
    queue.answer_long(first, long(&[b"first"]), &mut pool);
    assert_eq!(queue.sendable(), b"first");
    assert_eq!(queue.pending_bytes(), 12);
    say(&mut queue, &mut pool, "d");
    for expected in ["first", "sec", "ondcd"] {
        assert_eq!(queue.sendable(), expected.as_bytes());
        queue.consume(expected.len(), &mut pool);
    }
    assert_eq!(queue.pending_bytes(), 0);
    let third = queue.expect(Shape::Plain, 0, 10);
    let bytes = vec![b'x'; 3 << 20];
    let kept = bytes.as_ptr();
    queue.answer_long(third, Pieces::from(bytes), &mut pool);
    assert_eq!(queue.sendable().as_ptr(), kept);
    queue.consume((2 << 20) + 5, &mut pool);
    assert_eq!(queue.pending_bytes(), (1 << 20) - 5);
    queue.consume((1 << 20) - 6, &mut pool);
    assert_eq!(queue.sendable(), b"x");
}

fn long(pieces: &[&[u8]]) -> Pieces {
    let mut made = Pieces::default();
    for piece in pieces {
        made.push(piece.to_vec());
    }
    made
}

#[test]
fn a_late_answer_of_a_closed_connection_matches_nothing() {
    let mut queue = ReplyQueue::default();
    let old = queue.expect(Shape::Plain, 0, 10);
    let mut next = ReplyQueue::starting_at(queue.next_sequence());
    assert!(next.take_waiting(old).is_none());
    next.expect(Shape::Plain, 0, 10);
    assert!(next.take_waiting(old).is_none());
}

#[test]
fn the_buffer_of_a_long_reply_is_let_go() {
    let mut pool = BufferPool::default();
    pool.give_rendering(Vec::with_capacity(REPLY_BUFFER_KEPT_BYTES_MAX + 1));
    assert_eq!(pool.take_rendering().capacity(), 0);
    pool.give_rendering(b"short".to_vec());
    let kept = pool.take_rendering();
    assert!(kept.capacity() > 0 && kept.is_empty());
}

#[test]
fn an_idle_queue_holds_no_buffer() {
    let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
    say(&mut queue, &mut pool, "hello");
    queue.consume(2, &mut pool);
    assert_eq!(queue.sendable(), b"llo");
    queue.consume(3, &mut pool);
    assert_eq!(queue.pending_bytes(), 0);
    assert_eq!(queue.out.capacity(), 0);
    assert_eq!(pool.free.len(), 1);
    assert_eq!(queue.memory().buffer_peak_bytes, 5);
    queue.age_peak();
    queue.age_peak();
    assert_eq!(queue.memory(), ReplyMemory::default());
}

#[test]
fn a_message_comes_behind_what_is_known_and_before_what_is_not() {
    let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
    let message = |text: &'static str| Bytes::from_static(text.as_bytes());
    say(&mut queue, &mut pool, "a");
    queue.push_message(&message("1"), &mut pool);
    let second = queue.expect(Shape::Plain, 0, 10);
    queue.push_message(&message("2"), &mut pool);
    assert_eq!(queue.sendable(), b"a12");
    let third = queue.expect(Shape::Plain, 0, 10);
    let fourth = queue.expect(Shape::Plain, 0, 10);
    assert!(queue.take_waiting(third).is_some());
    queue.answer(third, b"c", &mut pool);
    queue.push_message(&message("3"), &mut pool);
    queue.push_message(&message("4"), &mut pool);
    assert_eq!(queue.sendable(), b"a12");
    assert_eq!(queue.pending_bytes(), 6);
    assert!(queue.take_waiting(second).is_some());
    queue.answer_long(second, long(&[b"b", b"b"]), &mut pool);
    assert!(queue.take_waiting(fourth).is_some());
    queue.answer(fourth, b"d", &mut pool);
    let mut sent = Vec::new();
    while queue.pending_bytes() > 0 {
        sent.push(queue.sendable()[0]);
        queue.consume(1, &mut pool);
    }
    assert_eq!(sent, b"a12bbc34d");
}

#[test]
fn a_shared_message_is_sent_in_its_place_however_little_is_taken_at_once() {
    let (mut queue, mut pool) = (ReplyQueue::default(), BufferPool::default());
    let large = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
    let mut expected = Vec::new();
    for round in 0..4 {
        for text in ["a", "bc"].iter().take(round) {
            say(&mut queue, &mut pool, text);
            expected.extend_from_slice(text.as_bytes());
        }
        queue.push_message(&large, &mut pool);
        expected.extend_from_slice(&large);
    }
    let mut sent = Vec::new();
    while queue.pending_bytes() > 0 {
        assert_eq!(queue.pending_bytes(), expected.len() - sent.len());
        let count = queue.sendable().len().min(1000);
        sent.extend_from_slice(&queue.sendable()[..count]);
        queue.consume(count, &mut pool);
    }
    assert_eq!(sent, expected);
    say(&mut queue, &mut pool, "end");
    assert_eq!(queue.sendable(), b"end");
}
