//! I/O threads: sockets, their system calls and TLS on other threads than the sessions.
//!
//! A connection's session stays with the host, the thread that owns the replica. Its socket may be on an I/O thread,
//! which reads for it and writes for it; the two tell each other by whole batches, through a ring each way, with one
//! wake-up per batch. Both directions have windows per connection, so nothing grows that nobody counts: what the host
//! does not execute stands in the socket, and what a client does not read stays with its session.

pub mod batch;
pub mod line;
pub mod remote;
pub mod ring;
mod seat;
mod sync;
pub mod thread;
