//! A bounded ring from one thread to another, whose places hold things that are used again and again.
//!
//! Passing something on exchanges it for what the place held: the producer fills a batch, and gets back one that the
//! consumer has emptied. So nothing is allocated and nothing is moved but a few words, and there is no lock. Each side
//! says when it goes to sleep, so that the other one wakes it once and only then.
//!
//! Invariants: a place belongs to the producer from the moment the consumer has counted it as taken until the producer
//! has counted it as filled, and to the consumer otherwise; a side that sleeps has looked at the ring after it said so.

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};

/// What became of something that was to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The ring is full, or empty.
    No,
    /// It was passed on, and the other side is awake.
    Done,
    /// It was passed on, and the caller has to wake the other side.
    Wakes,
}

/// Keeps what two threads write apart, so that one's writes do not take the other's cache line away.
#[repr(align(128))]
struct Apart<T>(T);

/// Whether one side sleeps.
struct Sleep(AtomicBool);

impl Sleep {
    /// Says that its side is about to sleep. It has to look at the ring once more then.
    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether its side is to be woken by the other one, which has just changed the ring.
    fn is_disturbed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}

struct Slots<T> {
    places: Box<[UnsafeCell<T>]>,
    /// Things taken so far; written by the consumer.
    taken: Apart<AtomicUsize>,
    /// Things passed on so far; written by the producer.
    passed: Apart<AtomicUsize>,
    /// The consumer waits for something.
    is_awaited: Apart<Sleep>,
    /// The producer waits for room.
    is_crowded: Apart<Sleep>,
}

// SAFETY: each place is reached by one side at a time, see the module, so sharing the ring is sending its content.
unsafe impl<T: Send> Sync for Slots<T> {}

/// The end at which things are put in.
pub struct Producer<T> {
    slots: Arc<Slots<T>>,
    passed: usize,
    /// As last seen: there may be more.
    taken: usize,
}

/// The end at which things are taken out.
pub struct Consumer<T> {
    slots: Arc<Slots<T>>,
    taken: usize,
    /// As last seen: there may be more.
    passed: usize,
}

/// A ring of so many places, each with an empty thing.
///
/// # Panics
/// If the number is not a power of two: places are found by the low bits of a count that may wrap.
pub fn ring<T: Default>(places: usize) -> (Producer<T>, Consumer<T>) {
    assert!(places.is_power_of_two(), "a ring has a power of two of places");
    let slots = Arc::new(Slots {
        places: (0..places).map(|_| UnsafeCell::new(T::default())).collect(),
        taken: Apart(AtomicUsize::new(0)),
        passed: Apart(AtomicUsize::new(0)),
        is_awaited: Apart(Sleep(AtomicBool::new(false))),
        is_crowded: Apart(Sleep(AtomicBool::new(false))),
    });
    let producer = Producer {
        slots: slots.clone(),
        passed: 0,
        taken: 0,
    };
    let consumer = Consumer {
        slots,
        taken: 0,
        passed: 0,
    };
    (producer, consumer)
}

impl<T> Slots<T> {
    fn place(&self, count: usize) -> &UnsafeCell<T> {
        &self.places[count & (self.places.len() - 1)]
    }
}

/// After a change of the ring: whether the other side sleeps.
fn passed(other: &Apart<Sleep>) -> Passed {
    if other.0.is_disturbed() {
        Passed::Wakes
    } else {
        Passed::Done
    }
}

impl<T> Producer<T> {
    /// Passes `item` on and leaves an emptied one there, unless the ring is full.
    pub fn push(&mut self, item: &mut T) -> Passed {
        if !self.has_room() {
            return Passed::No;
        }
        self.slots.place(self.passed).with_mut(|place| {
            // SAFETY: the consumer has counted this place as taken, which was read with Acquire, and will not touch
            // it before it sees the count below.
            std::mem::swap(unsafe { &mut *place }, item);
        });
        self.passed = self.passed.wrapping_add(1);
        self.slots.passed.0.store(self.passed, Ordering::Release);
        passed(&self.slots.is_awaited)
    }

    /// Whether something can be passed on.
    pub fn has_room(&mut self) -> bool {
        let places = self.slots.places.len();
        if self.passed.wrapping_sub(self.taken) == places {
            self.taken = self.slots.taken.0.load(Ordering::Acquire);
        }
        self.passed.wrapping_sub(self.taken) < places
    }

    /// Says that this side sleeps until there is room; false if there is some, and it must not.
    pub fn sleeps(&mut self) -> bool {
        self.slots.is_crowded.0.begin();
        let sleeps = !self.has_room();
        if !sleeps {
            self.slots.is_crowded.0.end();
        }
        sleeps
    }
}

impl<T> Consumer<T> {
    /// Takes the next thing in exchange for `item`, which is to be an emptied one, unless the ring is empty.
    pub fn pop(&mut self, item: &mut T) -> Passed {
        if self.is_empty() {
            return Passed::No;
        }
        self.slots.place(self.taken).with_mut(|place| {
            // SAFETY: the producer has counted this place as filled, which was read with Acquire, and will not touch
            // it before it sees the count below.
            std::mem::swap(unsafe { &mut *place }, item);
        });
        self.taken = self.taken.wrapping_add(1);
        self.slots.taken.0.store(self.taken, Ordering::Release);
        passed(&self.slots.is_crowded)
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&mut self) -> bool {
        if self.passed == self.taken {
            self.passed = self.slots.passed.0.load(Ordering::Acquire);
        }
        self.passed == self.taken
    }

    /// Says that this side sleeps until there is something; false if there is, and it must not.
    pub fn sleeps(&mut self) -> bool {
        self.slots.is_awaited.0.begin();
        let sleeps = self.is_empty();
        if !sleeps {
            self.slots.is_awaited.0.end();
        }
        sleeps
    }
}
