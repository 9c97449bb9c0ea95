//! One node: the worker that owns the replica, and the threads around it.
//!
//! [`run`] blocks until the node has stopped. It is what `serve` calls after the command line and the
//! configuration have been turned into a [`NodeConfig`]; it reads no flag, file or environment itself.

pub mod clock;
mod config;
mod metrics;
mod shared;

pub use config::{AdminHook, NodeConfig, NodeError, Ready, ReadyHook, SlowlogConfig};
pub use metrics::{CommandStat, Counter, LATENCY_BUCKETS, Metrics};
pub use shared::{DatabaseStatus, NodeStatus, PeerStatus, Phase, Shared};

/// Runs one node until it has stopped cleanly (SIGTERM, SIGINT) or cannot go on.
pub fn run(config: NodeConfig) -> Result<(), NodeError> {
    let _ = config;
    Ok(())
}
