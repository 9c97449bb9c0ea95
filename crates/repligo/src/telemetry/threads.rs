//! What each worker thread does: the host, which executes, and the I/O threads beside it.

use super::metrics::Counter;
use super::stalls::BusyStat;

/// Figures of one worker thread. Each counter has one writing thread.
#[derive(Debug, Default)]
pub struct ThreadStat {
    /// Connections whose sockets it has; written by the host.
    pub connections: Counter,
    /// CPU time that it has used, nanoseconds; written by itself.
    pub cpu_nanoseconds: Counter,
    /// Part of the last moments that it was busy, thousandths; written by the host.
    pub busy_permille: Counter,
    /// Its turns, unless it is the host; written by itself.
    pub busy: BusyStat,
}

/// Figures of so many worker threads, the host's first.
pub fn for_workers(count: usize) -> Box<[ThreadStat]> {
    (0..count).map(|_| ThreadStat::default()).collect()
}
