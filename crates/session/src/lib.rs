//! Client sessions without sockets: bytes of requests in, bytes of replies out.
//!
//! What a request means to its connection before it goes to the core, and in which order it may go there:
//! decoding ahead ([`window`]), what may overtake what ([`order`]), the order of replies ([`replies`]), MULTI and
//! WATCH, read levels, silenced replies, publish and subscribe ([`subscriptions`]). Commands that the node answers of itself (INFO, CLIENT, CONFIG, …) are
//! its host's. A session's socket may be on another thread ([`exchange`]). Nothing here reads a clock, opens a socket or knows a thread, so that whoever is a [`host::Host`] can
//! drive it: the shell and the simulator both do.
//!
//! Invariants: each request gets one reply, or none where the client asked for none; a request that must wait
//! ([`Flow::Wait`], [`Flow::Pause`], [`Flow::Hold`]) has changed nothing and is given in again, whole; bytes are executed in order
//! and once; the bytes of a request that has to wait stay where they are, with all behind them.
#![deny(missing_docs)]

mod access;
mod block;
mod blocking;
pub mod bugs;
mod consistency;
mod data;
pub mod exchange;
mod execute;
pub mod host;
mod input;
mod long;
pub mod order;
mod pubsub;
pub mod replies;
mod scrutiny;
mod session;
mod subscriber;
pub mod subscriptions;
pub mod table;
mod token;
pub mod tracked;
pub mod tracking;
mod transaction;
mod users;
pub mod window;

pub use access::Access;
pub use execute::{Call, parse_database, reply_error};
pub use host::{Host, Telemetry};
pub use input::Stall;
pub use scrutiny::{Pause, Scrutiny};
pub use session::{Flow, Session, Silence};
pub use transaction::Multi;
