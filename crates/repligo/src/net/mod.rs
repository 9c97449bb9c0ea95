//! Sockets: listeners, client connections, peer links.

pub mod connection;
pub mod dial;
pub mod gather;
mod greeting;
mod half_open;
pub mod hello;
pub mod join;
pub mod link_log;
pub mod links;
pub mod listener;
pub mod options;
mod outgoing;
mod peer_stream;
pub mod report;
pub mod socket;
mod standing;
pub mod stream;
pub mod tls_listener;
pub mod unix;
