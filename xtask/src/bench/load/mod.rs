//! Load generators: `redis-benchmark` where it is not the bottleneck, our own closed loop for what it cannot
//! do (WAIT after each SET, READONLY, memcached, etcd), and an open loop for what happens over time.

pub mod closed;
pub mod codec;
pub mod collections;
pub mod fill;
pub mod grpc;
pub mod handshakes;
pub mod open;
pub mod publish;
pub mod redis_benchmark;
pub mod target;

use serde::{Deserialize, Serialize};

use super::process::{Server, cpu_seconds_of};
use crate::run::{Failure, Outcome};

/// What one run of a load measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Operations that were answered rightly.
    pub operations: u64,
    /// How long that took.
    pub seconds: f64,
    /// User plus system time of the server processes meanwhile.
    pub cpu_seconds: f64,
    /// Latencies in microseconds.
    pub latency: Latency,
}

impl Sample {
    /// Operations per second.
    pub fn throughput(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// CPU of the servers per operation, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_seconds / self.operations as f64 * 1e6
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %; 0 where the generator does not tell it.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl Latency {
    /// From all latencies of a run, in microseconds.
    pub fn of(mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let rank = (latencies.len() as f64 * share).ceil() as usize;
            let found = latencies.get(rank.saturating_sub(1)).or(latencies.last());
            found.map_or(0.0, |us| f64::from(*us))
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// Runs a load and adds what the servers spent on it.
///
/// # Errors
/// The load failed, a server ended, or nothing was answered.
pub fn measure(servers: &[&Server], load: impl FnOnce() -> Outcome<Sample>) -> Outcome<Sample> {
    let before = cpu_seconds_of(servers)?;
    let mut sample = load()?;
    sample.cpu_seconds = cpu_seconds_of(servers)? - before;
    if sample.operations == 0 || sample.seconds <= 0.0 {
        return Err(Failure::new("nothing was answered"));
    }
    if sample.cpu_seconds <= 0.0 {
        return Err(Failure::new(
            "the server spent no CPU: it is not the one that answered",
        ));
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let latency = Latency::of((1..=1000).rev().collect());
        assert_eq!(
            [latency.p50, latency.p99, latency.p999, latency.max],
            [500.0, 990.0, 999.0, 1000.0]
        );
        assert_eq!(Latency::of(vec![7]).p99, 7.0);
    }
}
