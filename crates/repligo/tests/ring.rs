//! The ring between threads under every interleaving that the memory model allows, by loom: nothing is lost, doubled
//! or overtaken, whoever sleeps is woken, and a full ring holds its producer back.

#[path = "../src/net/io/ring.rs"]
mod ring;

/// What the ring is built on, in the kind whose interleavings are tried.
mod sync {
    pub use loom::cell::UnsafeCell;
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

use std::sync::Arc as Shared;

use loom::sync::Notify;
use ring::{Passed, ring};

/// Context switches that are forced at most: enough for each fault that was planted here, and seconds.
const PREEMPTIONS_MAX: usize = 3;

fn try_all(scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(scene);
}

#[test]
fn everything_arrives_once_and_in_order_and_nobody_sleeps_for_ever() {
    const ITEMS: usize = 3;
    try_all(|| {
        let (mut producer, mut consumer) = ring::<Vec<usize>>(2);
        let bells = Shared::new((Notify::new(), Notify::new()));
        let theirs = bells.clone();
        let sender = loom::thread::spawn(move || {
            for number in 0..ITEMS {
                let mut item = vec![number];
                loop {
                    match producer.push(&mut item) {
                        Passed::No if producer.sleeps() => theirs.0.wait(),
                        Passed::No => {}
                        Passed::Done => break,
                        Passed::Wakes => {
                            theirs.1.notify();
                            break;
                        }
                    }
                }
                assert!(item.is_empty(), "what comes back is emptied");
            }
        });
        for number in 0..ITEMS {
            let mut item = Vec::new();
            loop {
                match consumer.pop(&mut item) {
                    Passed::No if consumer.sleeps() => bells.1.wait(),
                    Passed::No => {}
                    Passed::Done => break,
                    Passed::Wakes => {
                        bells.0.notify();
                        break;
                    }
                }
            }
            assert_eq!(item, [number]);
        }
        sender.join().expect("the sender has ended well");
        assert!(consumer.is_empty());
    });
}

#[test]
fn a_full_ring_holds_its_producer_back_until_something_is_taken() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::<u32>(2);
        let mut item = 1;
        assert_eq!(producer.push(&mut item), Passed::Done);
        item = 2;
        assert_eq!(producer.push(&mut item), Passed::Done);
        item = 3;
        assert_eq!(producer.push(&mut item), Passed::No);
        assert_eq!(item, 3, "what was not passed on stays");
        assert!(producer.sleeps());
        let mut taken = 0;
        assert_eq!(consumer.pop(&mut taken), Passed::Wakes);
        assert_eq!(taken, 1);
        assert!(!producer.sleeps());
        assert_eq!(producer.push(&mut item), Passed::Done);
        assert_eq!(consumer.pop(&mut taken), Passed::Done);
        assert_eq!(consumer.pop(&mut taken), Passed::Done);
        assert_eq!(taken, 3);
        assert!(consumer.sleeps());
        assert_eq!(producer.push(&mut item), Passed::Wakes);
    });
}
