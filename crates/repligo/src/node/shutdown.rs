//! A clean stop: hand leadership over, answer what is in flight, then close.
//!
//! New clients are refused from the first moment; those that are connected are served while the
//! leadership moves, through the new leader too, and are closed once their requests are answered.

use crate::telemetry::Phase;
use crate::worker::Worker;

/// Patience with the handover of leadership, microseconds.
const HANDOVER_US: u64 = 2_000_000;
/// Patience with everything, microseconds.
const TOTAL_US: u64 = 5_000_000;

/// A stop that is under way.
#[derive(Debug)]
pub struct Shutdown {
    began_us: u64,
    draining: bool,
}

impl Shutdown {
    /// Begins.
    pub fn begin(worker: &mut Worker) -> Self {
        worker.phase = Phase::Stopping;
        Self {
            began_us: worker.clock.now().mono_us,
            draining: false,
        }
    }

    /// One look per tick; true when the node may end.
    pub fn is_over(&mut self, worker: &mut Worker) -> bool {
        let elapsed_us = worker.clock.now().mono_us.saturating_sub(self.began_us);
        if !self.draining {
            let handed_over = worker.replica().is_none_or(|replica| replica.prepare_shutdown());
            worker.request_turn();
            if !handed_over && elapsed_us < HANDOVER_US {
                return false;
            }
            self.draining = true;
            for connection in worker.connections.iter_mut() {
                connection.close_gently();
            }
        }
        let waiting = worker.connections.len();
        if waiting > 0 && elapsed_us < TOTAL_US {
            return false;
        }
        if waiting > 0 {
            tracing::warn!(
                clients = waiting,
                "stopped with clients that still waited; their requests are undecided"
            );
        }
        true
    }
}
