//! One node: the worker that owns the replica, and the threads around it.
//!
//! [`run`] blocks until the node has stopped. It is what `serve` calls after the command line and the
//! configuration have been turned into a [`NodeConfig`]; it reads no flag, file or environment itself.

mod alarm;
pub(crate) mod allowance;
mod config;
pub mod drivers;
pub mod formation;
mod heap;
pub mod host;
mod journal;
mod keys;
mod listeners;
mod members;
mod memory;
mod origins;
pub(crate) mod parameters;
mod run;
mod shutdown;
mod statistics;
mod topology;
pub mod turn;
mod view;
pub mod worker;

pub use config::{AdminHook, NodeConfig, NodeError, Ready, ReadyHook, SlowlogConfig};
pub use run::{Node, run};
