//! A program with a known bug, two threads that write one place without order: the thread lane must report
//! it, or its silence about everything else means nothing. No part of the workspace; `lanes.rs` compiles it
//! alone.

static mut SHARED: u64 = 0;

fn count() {
    for _ in 0..10_000 {
        // SAFETY: there is none; nothing orders the accesses of the two threads.
        unsafe { SHARED += 1 };
    }
}

fn main() {
    let other = std::thread::spawn(count);
    count();
    other.join().expect("it only counts");
    println!("counted without order, unnoticed");
}
