//! Times of the commands of one batch, with few clock reads.
//!
//! Two clock reads cover a whole batch and each command is charged an even share; a command whose running
//! time may stand out is timed alone. So statistics cost nothing measurable at any pipeline depth, and
//! the slow log still names the command that was slow.

use repligo_proto::command::Spec;
use repligo_session::window::may_stand_out;

use super::clock::boottime_ns;
use super::metrics::Metrics;

/// Below this threshold of the slow log every command is timed alone.
const PRECISE_BELOW_US: i64 = 1000;

/// Commands executed since [`Batch::begin`].
#[derive(Debug, Default)]
pub struct Batch {
    shared: Vec<u16>,
    /// Command and its nanoseconds.
    alone: Vec<(u16, u64)>,
    alone_ns: u64,
}

impl Batch {
    /// Forgets the last batch.
    #[inline]
    pub fn begin(&mut self) {
        self.shared.clear();
        self.alone.clear();
        self.alone_ns = 0;
    }

    /// Counts a command, charged with its share.
    #[inline]
    pub fn count(&mut self, spec: &Spec) {
        self.shared.push(spec.id.number());
    }

    /// As [`Self::count`], by number.
    #[inline]
    pub fn count_id(&mut self, id: u16) {
        self.shared.push(id);
    }

    /// Counts a command whose nanoseconds are known, and are no part of what the batch shares.
    pub fn count_timed(&mut self, id: u16, took_ns: u64) {
        self.alone.push((id, took_ns));
    }

    /// So much of the batch's time belongs to commands that are, or will be, counted with their times.
    pub fn exclude(&mut self, took_ns: u64) {
        self.alone_ns += took_ns;
    }

    /// Commands counted since the start.
    pub fn len(&self) -> usize {
        self.shared.len() + self.alone.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a command: when, if it is timed alone, else 0.
    #[inline]
    pub fn start(&self, spec: &Spec, argument_count: usize, slowlog_threshold_us: i64) -> u64 {
        let precise = (0..PRECISE_BELOW_US).contains(&slowlog_threshold_us);
        if precise || may_stand_out(spec, argument_count) {
            boottime_ns()
        } else {
            0
        }
    }

    /// Counts the command; its nanoseconds if it was timed alone, else 0.
    #[inline]
    pub fn stop(&mut self, spec: &Spec, began_ns: u64) -> u64 {
        if began_ns == 0 {
            self.count(spec);
            return 0;
        }
        let took_ns = boottime_ns().saturating_sub(began_ns).max(1);
        self.alone.push((spec.id.number(), took_ns));
        self.alone_ns += took_ns;
        took_ns
    }

    /// What each command that was not timed alone is charged with, in a batch that took so long.
    pub fn share_ns(&self, took_ns: u64) -> u64 {
        took_ns.saturating_sub(self.alone_ns) / self.shared.len().max(1) as u64
    }

    /// Writes the statistics of a batch that took so long.
    pub fn end(&mut self, took_ns: u64, metrics: &Metrics) {
        let count = (self.shared.len() + self.alone.len()) as u64;
        if count == 0 {
            return;
        }
        metrics.commands_processed.add(count);
        for (id, took_ns) in &self.alone {
            metrics.commands[*id as usize].record(1, *took_ns);
        }
        if self.shared.is_empty() {
            return;
        }
        let share_ns = self.share_ns(took_ns);
        // Equal neighbours are recorded together: a pipeline is mostly one command.
        for run in self.shared.chunk_by(|a, b| a == b) {
            metrics.commands[run[0] as usize].record(run.len() as u64, share_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use repligo_proto::command::lookup;

    #[test]
    fn a_batch_is_shared_evenly_and_slow_kinds_are_timed_alone() {
        let metrics = super::super::metrics::for_all_commands();
        let (get, keys) = (lookup(b"get").expect("a row"), lookup(b"keys").expect("a row"));
        let mut batch = Batch::default();
        batch.begin();
        let began_ns = boottime_ns();
        for _ in 0..3 {
            let timer = batch.start(get, 2, 10_000);
            assert_eq!(batch.stop(get, timer), 0);
        }
        let timer = batch.start(keys, 2, 10_000);
        assert!(batch.stop(keys, timer) > 0);
        batch.end(boottime_ns() - began_ns, &metrics);
        assert_eq!(metrics.commands[get.id.index()].calls.get(), 3);
        assert_eq!(metrics.commands[keys.id.index()].calls.get(), 1);
        assert_eq!(metrics.commands_processed.get(), 4);
        assert_eq!(metrics.commands[get.id.index()].name, "get");
    }
}
