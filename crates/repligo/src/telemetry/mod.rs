//! What a node measures and tells of itself: counters, rates, timings, stalls, and the status that other
//! threads may see.
//!
//! It is the lowest floor of the shell beside `disk` and `origin`: it knows no socket, no session and no
//! worker, and nothing here changes what a client is answered.

pub mod audit;
pub mod clock;
pub mod descriptors;
pub mod facts;
pub mod metrics;
pub mod problems;
pub mod process;
pub mod rates;
pub mod refusal;
pub mod report;
pub mod stalls;
pub mod status;
pub mod threads;
pub mod timing;
pub mod tracked;

pub use facts::Facts;
pub use metrics::{CommandStat, Counter, LATENCY_BUCKETS, Metrics, for_all_commands};
pub use status::{CertificateStatus, DatabaseStatus, NodeStatus, PeerStatus, Phase, Shared};
