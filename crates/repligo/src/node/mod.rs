//! One node: the worker that owns the replica, and the threads around it.
//!
//! [`run`] blocks until the node has stopped. It is what `serve` calls after the command line and the
//! configuration have been turned into a [`NodeConfig`]; it reads no flag, file or environment itself.

mod alarm;
pub(crate) mod allowance;
pub mod batch;
pub mod busy;
pub mod clock;
mod config;
pub mod drivers;
pub mod formation;
mod heap;
mod journal;
mod listeners;
mod memory;
mod metrics;
mod origins;
pub mod process;
pub mod rates;
mod run;
mod shared;
mod shutdown;
mod statistics;
pub mod tracked;
pub mod turn;
pub mod worker;

pub use batch::may_stand_out;
pub use config::{AdminHook, NodeConfig, NodeError, Ready, ReadyHook, SlowlogConfig, UnixSocket};
pub use metrics::{CommandStat, Counter, LATENCY_BUCKETS, Metrics, for_all_commands};
pub use run::{Node, run};
pub use shared::{DatabaseStatus, NodeStatus, PeerStatus, Phase, Shared};
pub use statistics::block_words;
