//! I/O threads: sockets, their system calls and TLS on other threads than the sessions.
//!
//! A connection's session stays with the host, the thread that owns the replica. Its socket may be on an I/O thread,
//! which reads for it and writes for it; the two tell each other by whole batches, through a ring each way, with one
//! wake-up per batch. What they tell each other, and both ends of a connection between them, are below the wall
//! (`repligo_session::exchange`); here are the threads, the rings and the sockets.

pub mod line;
pub mod remote;
pub mod ring;
mod sync;
pub mod thread;

use repligo_session::exchange::batch::{Batch, Order, Report};

use super::stream::Unbound;

/// What the host orders.
pub type Orders = Batch<Order, Unbound>;
/// What an I/O thread reports.
pub type Reports = Batch<Report, Unbound>;
