//! The deterministic Lua machine of Repligo.
//!
//! A [`Machine`] runs one script, or a function of a library, at a time and knows nothing of keys: when a script calls a command, [`Machine::resume`]
//! says so, and whoever drives it gives the answer as RESP. Between two slices a script stands still in the middle of
//! whatever it does, so a driver may do other things in between.
//!
//! Invariants: what a script does follows from [`Script`] and from the answers alone. Each one begins in the very same
//! memory image, at the same offsets of its arena, so that neither the order of a table with keys that are tables nor
//! the text of an address differs from replica to replica; it reads no clock, no file and no random source, and ends
//! after a number of instructions and with an amount of memory that are part of its meaning, not of its machine.
//!
//! Only this crate names the Lua library.
#![deny(missing_docs)]

mod api;
mod arena;
mod ffi;
mod host;
mod libs;
mod lua;
mod machine;
mod number;
mod random;
mod reply;
mod sandbox;
mod sha1;
mod trampoline;

pub use api::is_name;
pub use machine::{CallKind, FUNCTION_FLAGS, FunctionCall, Limits, Machine, Progress, Registered, Script};
pub use sha1::sha1_hex;
