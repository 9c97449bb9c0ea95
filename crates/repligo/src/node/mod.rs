//! One node: its start, its stop and its wiring.
//!
//! [`run`] blocks until the node has stopped. It is what `serve` calls after the command line and the
//! configuration have been turned into a [`NodeConfig`]; it reads no flag, file or environment itself.

mod config;
mod descriptors;
mod directory;
mod journal;
mod keys;
mod listeners;
pub(crate) mod parameters;
mod run;
mod shutdown;
mod topology;

pub use config::{AdminHook, NodeConfig, Ready, ReadyHook, SlowlogConfig};
pub use run::run;

pub use crate::worker::NodeError;
