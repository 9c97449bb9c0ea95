//! A program with a known bug, a read behind the end of an allocation: the address lane must report it, or
//! its silence about everything else means nothing. No part of the workspace; `lanes.rs` compiles it alone.

fn main() {
    let bytes = vec![1u8; 64].into_boxed_slice();
    let behind = bytes.len() + std::env::args().count() - 1;
    // SAFETY: there is none; the byte read is not part of the allocation.
    let read = unsafe { bytes.as_ptr().add(behind).read_volatile() };
    println!("read {read} behind the end, unnoticed");
}
