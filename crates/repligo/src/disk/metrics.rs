//! What the disk counts about itself, for metrics and for noticing a stalled disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::handle::DiskHandle;

/// Number of buckets of the sync histogram.
pub const SYNC_BUCKETS: usize = 24;

/// A reading of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskMetrics {
    /// Persists reported durable.
    pub persists: u64,
    /// Group commits: batches of persists written with one call.
    pub batches: u64,
    /// Bytes written to the log, headers and padding included.
    pub log_bytes: u64,
    /// Bytes written to snapshots.
    pub snapshot_bytes: u64,
    /// Snapshots completed.
    pub snapshots: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Sum of their duration, microseconds.
    pub sync_us: u64,
    /// Syncs by duration: bucket `i` counts those below `2^i` microseconds and not below `2^(i-1)`;
    /// the last one also what is longer.
    pub sync_histogram: [u64; SYNC_BUCKETS],
    /// Segment files of the log.
    pub segments: u64,
    /// How long the batch in work has been going on; zero when idle. A disk stall shows here.
    pub busy: Duration,
}

/// The counters, shared by the disk's threads.
#[derive(Debug)]
pub(super) struct Counters {
    origin: Instant,
    persists: AtomicU64,
    batches: AtomicU64,
    log_bytes: AtomicU64,
    snapshot_bytes: AtomicU64,
    snapshots: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    sync_histogram: [AtomicU64; SYNC_BUCKETS],
    segments: AtomicU64,
    /// Microseconds from `origin` to the start of the batch in work, plus one; 0 when idle.
    busy_since: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Counters {
        Counters {
            origin: Instant::now(),
            persists: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_us: AtomicU64::new(0),
            sync_histogram: [const { AtomicU64::new(0) }; SYNC_BUCKETS],
            segments: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
        }
    }

    fn now_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }

    pub(super) fn begin(&self) {
        self.busy_since.store(self.now_us() + 1, Ordering::Relaxed);
    }

    pub(super) fn idle(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn batch(&self, persists: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.persists.fetch_add(persists, Ordering::Relaxed);
    }

    pub(super) fn log_bytes(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn snapshot_bytes(&self, bytes: u64) {
        self.snapshot_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn segments(&self, count: usize) {
        self.segments.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn sync(&self, took: Duration) {
        let us = took.as_micros() as u64;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.fetch_add(us, Ordering::Relaxed);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.sync_histogram[bucket.min(SYNC_BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> DiskMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let busy = match get(&self.busy_since) {
            0 => Duration::ZERO,
            since => Duration::from_micros((self.now_us() + 1).saturating_sub(since)),
        };
        DiskMetrics {
            persists: get(&self.persists),
            batches: get(&self.batches),
            log_bytes: get(&self.log_bytes),
            snapshot_bytes: get(&self.snapshot_bytes),
            snapshots: get(&self.snapshots),
            syncs: get(&self.syncs),
            sync_us: get(&self.sync_us),
            sync_histogram: std::array::from_fn(|bucket| get(&self.sync_histogram[bucket])),
            segments: get(&self.segments),
            busy,
        }
    }
}

impl DiskHandle {
    /// Bytes of snapshot pieces not yet written; a producer should pause above some limit.
    pub fn snapshot_backlog_bytes(&self) -> u64 {
        self.shared.snapshot_backlog.load(Ordering::Relaxed)
    }

    /// A reading of the counters.
    pub fn metrics(&self) -> DiskMetrics {
        self.shared.counters.read()
    }
}
