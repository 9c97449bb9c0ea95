//! Sockets and bytes: what listeners bind, streams of clients, peer links and their greeting. It knows no worker.

pub mod greeting;
pub mod half_open;
pub mod hello;
pub mod io;
pub mod join;
pub mod link_log;
pub mod links;
pub mod options;
mod outgoing;
pub mod peer_stream;
pub mod refusals;
pub mod report;
pub mod socket;
pub mod stream;
pub mod tls_listener;
pub mod unix;
