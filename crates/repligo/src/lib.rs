//! The thin shell around the deterministic core: sockets, disk, peer links, origin drivers, command line.
//!
//! It decides nothing about correctness; see ARCHITECTURE.md.

pub mod admin;
pub mod cli;
pub mod config;
pub mod disk;
pub mod net;
pub mod node;
pub mod origin;
pub mod private;
pub mod session;
pub mod suggest;
pub mod telemetry;
pub mod tls;
pub mod worker;
