//! What travels: RESP in both versions, the command table, slots, glob patterns, peer frames, and every
//! sentence of the wire.
//!
//! Shared by server, client and simulator. It decides nothing about data and performs no effect.
//!
//! Invariants by absence: nothing here knows `core`, tokio, a socket, a file, a thread or a clock; no
//! other file than `words.rs` contains the words that Redis has for leader and follower.
#![deny(missing_docs, clippy::disallowed_methods, clippy::disallowed_types)]

pub mod command;
pub mod frame;
pub mod glob;
pub mod rdb;
pub mod reply;
pub mod resp;
pub mod slot;
pub mod words;
