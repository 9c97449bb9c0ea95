//! What other threads may know of a node: a status snapshot of each tick, and live counters.
//!
//! Admin HTTP reads it without ever touching the worker, so a stalled worker is visible (the age of the
//! last tick grows) instead of stalling whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use repligo_core::contract::{OriginsStatus, PeerId, Role, Status};
use repligo_core::limits::FORWARD_HOLD_US;

use super::Metrics;

/// Where a node is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Reads its disk.
    #[default]
    Starting,
    /// Waits for the other nodes of a new cluster: names of those not yet there.
    Forming {
        /// Names of the nodes that are missing.
        waiting_for: Vec<String>,
    },
    /// Waits until a cluster that runs has made it a member.
    Joining,
    /// Part of a cluster; serves if [`Status::serving`].
    Running,
    /// Stops cleanly.
    Stopping,
}

/// One database for INFO keyspace and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Number of the database.
    pub database: u8,
    /// Keys.
    pub keys: u64,
    /// Keys with a deadline.
    pub volatile_keys: u64,
}

/// One node of the cluster as this node knows it; the rows of `nodes` in `REPLIGO.STATUS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number.
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// Where it listens for nodes, as configured.
    pub peer_address: String,
    /// Where clients reach it, as it reported; empty while unknown.
    pub client_address: String,
    /// This node itself, or a link to it is open.
    pub connected: bool,
    /// It is a member without a vote, so it counts for no majority.
    pub is_learner: bool,
    /// Role as it last reported (its own for this node).
    pub role: Role,
    /// Term as it last reported.
    pub term: u64,
    /// Leader it last reported, 0 for none.
    pub leader: PeerId,
    /// Applied index as it last reported.
    pub applied_index: u64,
    /// Commit index as it last reported.
    pub commit_index: u64,
    /// Digest of its state at `applied_index`.
    pub digest: u128,
    /// It said that it serves, not longer than a second ago.
    pub healthy: bool,
    /// Milliseconds since this node heard from it (0 for this node).
    pub lag_ms: u64,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: u64,
    /// Milliseconds since this node learned of it (0 for this node).
    pub known_ms: u64,
    /// Why there is no link to it, as one side has said lately; empty if neither has.
    pub refusal: String,
}

/// A certificate that this node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// To whom: `clients`, `nodes` or `admin`.
    pub shown_to: &'static str,
    /// When it ends, in seconds since 1970.
    pub ends_s: u64,
    /// The node issues it itself, and a new one long before that.
    pub renews_itself: bool,
}

impl CertificateStatus {
    /// Whole days until it ends, by this wall clock; negative when it has ended.
    pub fn days_left(&self, wall_ms: u64) -> i64 {
        (self.ends_s as i64 - (wall_ms / 1000) as i64).div_euclid(86_400)
    }
}

/// A snapshot of a node, replaced at every tick.
#[derive(Clone, Debug, Default)]
pub struct NodeStatus {
    /// Name of the node.
    pub name: String,
    /// Its number.
    pub peer: PeerId,
    /// Drawn when the cluster formed; 0 before.
    pub cluster_id: u128,
    /// Generation of the cluster.
    pub generation: u64,
    /// Grows with every start of the process.
    pub incarnation: u64,
    /// Random per start, 40 hex digits (`run_id` of INFO).
    pub run_id: String,
    /// Where clients connect.
    pub client_address: String,
    /// Where clients connect over TLS; empty where they cannot.
    pub tls_address: String,
    /// The certificates that it shows.
    pub certificates: Vec<CertificateStatus>,
    /// Where it is in its life.
    pub phase: Phase,
    /// The replica's own words.
    pub replica: Status,
    /// Milliseconds since the replica last served (0 while it does); `None` before the first time.
    pub unserved_ms: Option<u64>,
    /// Every node of the cluster by number, this one included.
    pub nodes: Vec<PeerStatus>,
    /// Why nodes that are no members are refused now.
    pub refused: Vec<String>,
    /// What is known of the origins.
    pub origins: Arc<OriginsStatus>,
    /// Databases that hold keys.
    pub databases: Vec<DatabaseStatus>,
    /// Bytes of keys, values and tables.
    pub used_memory_bytes: u64,
    /// Most of it since start.
    pub used_memory_peak_bytes: u64,
    /// Configured limit, 0 for none.
    pub maxmemory_bytes: u64,
    /// Most clients at once.
    pub maxclients: u64,
    /// Wall clock at start, milliseconds since the epoch.
    pub started_wall_ms: u64,
    /// Milliseconds since start.
    pub uptime_ms: u64,
    /// Error replies by code word since start.
    pub errors: Vec<(String, u64)>,
}

impl NodeStatus {
    /// Whether this node answers every request at once: it leads and serves, or follows such a leader.
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Running && self.replica.serving
    }

    /// Whether this node can take requests, those included that wait here for the next leader. Without a
    /// leader it stays ready for as long as it holds a request, so that an election costs no connection.
    pub fn is_ready(&self) -> bool {
        let held = |unserved_ms| unserved_ms < FORWARD_HOLD_US / 1000;
        self.phase == Phase::Running && (self.replica.serving || self.unserved_ms.is_some_and(held))
    }
}

/// What the worker shares with other threads.
#[derive(Debug, Default)]
pub struct Shared {
    /// Live counters.
    pub metrics: Metrics,
    status: Mutex<NodeStatus>,
    ticked_us: AtomicU64,
}

impl Shared {
    /// Starts with the given counters and an empty status.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            ..Self::default()
        }
    }

    /// The latest status. Hold it briefly: the worker replaces it at every tick.
    pub fn status(&self) -> MutexGuard<'_, NodeStatus> {
        // A reader that panicked cannot have left the snapshot half-written, since only the worker writes.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `CLOCK_BOOTTIME` of the worker's last tick, microseconds; 0 before the first. A worker that ticks
    /// less than every second is stalled.
    pub fn ticked_us(&self) -> u64 {
        self.ticked_us.load(Ordering::Relaxed)
    }

    /// Age of the last tick in microseconds, by the caller's clock sample.
    pub fn tick_age_us(&self) -> u64 {
        super::clock::boottime_us().saturating_sub(self.ticked_us())
    }

    pub(crate) fn publish(&self, ticked_us: u64, fill: impl FnOnce(&mut NodeStatus)) {
        fill(&mut self.status());
        self.ticked_us.store(ticked_us, Ordering::Relaxed);
    }
}
