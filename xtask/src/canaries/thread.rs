//! A program with a known bug, two threads that write one number without any order between them: the thread lane must
//! report it, or its silence about everything else means nothing. No part of the workspace; `races.rs` compiles it alone.

use std::cell::UnsafeCell;
use std::sync::Arc;

struct Shared(UnsafeCell<u64>);

// SAFETY: there is none; that is the bug.
unsafe impl Sync for Shared {}

fn count(shared: &Shared) {
    for _ in 0..1000 {
        // SAFETY: there is none; the other thread writes here, too.
        unsafe { *shared.0.get() += 1 };
    }
}

fn main() {
    let shared = Arc::new(Shared(UnsafeCell::new(0)));
    let theirs = shared.clone();
    let other = std::thread::spawn(move || count(&theirs));
    count(&shared);
    other.join().expect("it only counts");
    println!("two threads have written one number, unnoticed");
}
