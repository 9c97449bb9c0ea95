//! The deterministic replica of Repligo.
//!
//! Everything that decides anything lives here: consensus driving, apply, the keyspace, expiry,
//! leases, forwarding, and the origin lanes. Nothing here reads a clock, opens a socket or a file,
//! starts a thread or draws a random number: all of it arrives as [`contract::Input`] and leaves as
//! [`contract::Outputs`]. The shell (`repligo`) and the simulator (`repligo-sim`) drive the very same code.
//!
//! Invariants by absence: no module here knows tokio, `std::net`, `std::fs`, `std::thread`, a clock,
//! or a randomly seeded map; only `consensus.rs` names the consensus library.
#![deny(missing_docs)]

pub mod acl;
pub mod backup;
pub mod bugs;
pub mod codec;
pub mod collection;
pub mod command;
mod consensus;
pub mod contract;
mod driven;
pub mod entry;
pub mod eviction;
pub mod forming;
pub mod keyspace;
pub mod level;
pub mod limits;
mod log;
pub mod mapping_fit;
pub mod membership;
pub mod message;
pub mod op;
pub mod origin;
pub mod packed;
pub mod pieces;
pub mod recovery;
pub mod replica;
pub mod section;
pub mod shares;
pub mod table;
pub mod time;
pub mod token;
mod unblock;
