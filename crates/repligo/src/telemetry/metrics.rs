//! Counters of one node: written by the worker alone, read by admin HTTP and INFO.
//!
//! One writer is what makes them cheap: an increment is a plain load and store, never a locked
//! instruction. I/O threads have counters of their own ([`ThreadStat`]), which are summed when they are read; bytes of
//! clients are counted by the host, through which all of them go.

use std::sync::atomic::{AtomicU64, Ordering};

use repligo_core::keyspace::LAG_BOUNDS_MS;
use repligo_proto::command::with_subcommands;

use super::stalls::BusyStat;
use super::threads::ThreadStat;

/// Buckets of a latency histogram; bucket `i` counts calls of at most `2^i` microseconds that no
/// smaller bucket counts, the last one everything longer.
pub const LATENCY_BUCKETS: usize = 26;

/// A number with one writing thread and any number of reading ones.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; for the one writing thread only.
    #[inline]
    pub fn add(&self, amount: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(amount);
        self.0.store(value, Ordering::Relaxed);
    }

    /// Replaces; for the one writing thread only.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Replaces by a larger value; for the one writing thread only.
    #[inline]
    pub fn raise(&self, value: u64) {
        self.set(self.get().max(value));
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted per command. Times are nanoseconds of the worker thread, an even share of its batch
/// where several commands were executed together.
#[derive(Debug, Default)]
pub struct CommandStat {
    /// Lower-case name, `client|list` for subcommands.
    pub name: &'static str,
    /// Executed.
    pub calls: Counter,
    /// Time in total, nanoseconds.
    pub nanoseconds: Counter,
    /// Refused before execution (arity, NOAUTH, OOM, …).
    pub rejected: Counter,
    /// Answered with an error.
    pub failed: Counter,
    /// Calls by duration, see [`LATENCY_BUCKETS`].
    pub latency: [Counter; LATENCY_BUCKETS],
}

impl CommandStat {
    /// Counts `count` calls that took `nanoseconds` each.
    #[inline]
    pub fn record(&self, count: u64, nanoseconds: u64) {
        self.calls.add(count);
        self.nanoseconds.add(count * nanoseconds);
        let microseconds = nanoseconds / 1000;
        let bucket = (64 - microseconds.saturating_sub(1).leading_zeros()) as usize;
        let bucket = if microseconds <= 1 { 0 } else { bucket };
        self.latency[bucket.min(LATENCY_BUCKETS - 1)].add(count);
    }

    /// Upper bound in microseconds of the fastest `share` of the calls, as precise as the buckets are.
    pub fn percentile_us(&self, share: f64) -> f64 {
        let total: u64 = self.latency.iter().map(Counter::get).sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut sum = 0;
        for (bucket, counter) in self.latency.iter().enumerate() {
            sum += counter.get();
            if sum >= wanted {
                return (1_u64 << bucket) as f64;
            }
        }
        0.0
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.nanoseconds, &self.rejected, &self.failed] {
            counter.set(0);
        }
        for counter in &self.latency {
            counter.set(0);
        }
    }
}

/// All counters of a node.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Per command, in the order of the command table.
    pub commands: Box<[CommandStat]>,
    /// Commands executed.
    pub commands_processed: Counter,
    /// Commands of the last second, smoothed over 16 samples.
    pub ops_per_second: Counter,
    /// Connections accepted since start.
    pub connections_received: Counter,
    /// Connections refused because of `maxclients`.
    pub connections_rejected: Counter,
    /// Clients connected now.
    pub connections_open: Counter,
    /// Clients that wait for an answer of the core now.
    pub clients_waiting: Counter,
    /// Clients disconnected because they did not read their replies.
    pub output_limit_disconnections: Counter,
    /// Clients disconnected because all of them together held too much.
    pub evicted_clients: Counter,
    /// Connections closed because they had not logged in in time, or made way for others.
    pub login_timeouts: Counter,
    /// Logins that failed.
    pub denied_logins: Counter,
    /// Commands that their users may not run.
    pub denied_commands: Counter,
    /// Commands with keys that their users may not touch.
    pub denied_keys: Counter,
    /// Commands with channels that their users may not use.
    pub denied_channels: Counter,
    /// Bytes that clients hold, as last counted.
    pub client_memory_bytes: Counter,
    /// Frames of published messages that another node did not get because too much was on its way to it.
    pub published_missed: Counter,
    /// Bytes read from clients.
    pub bytes_in: Counter,
    /// Bytes written to clients.
    pub bytes_out: Counter,
    /// Keys found by reads.
    pub keyspace_hits: Counter,
    /// Keys not found by reads.
    pub keyspace_misses: Counter,
    /// Keys that expired.
    pub expired_keys: Counter,
    /// Fields of hashes that expired.
    pub expired_fields: Counter,
    /// Keys that were evicted.
    pub evicted_keys: Counter,
    /// Error replies to clients.
    pub error_replies: Counter,
    /// Protocol errors, each of which ended a connection.
    pub protocol_errors: Counter,
    /// Bytes read from other nodes.
    pub peer_bytes_in: Counter,
    /// Bytes written to other nodes.
    pub peer_bytes_out: Counter,
    /// Peer links established since start.
    pub peer_connects: Counter,
    /// Peer handshakes refused (identity, versions, another cluster).
    pub peer_refusals: Counter,
    /// Turns of the worker.
    pub turns: Counter,
    /// How long the host is busy without a break.
    pub busy: BusyStat,
    /// Each worker thread, the host first; empty where nobody looks at them.
    pub threads: Box<[ThreadStat]>,
    /// Expired keys removed, by how late that was; see [`repligo_core::keyspace::LAG_BOUNDS_MS`].
    pub reclaim_lag: [Counter; LAG_BOUNDS_MS.len() + 1],
    /// Sum of it in milliseconds.
    pub reclaim_lag_ms_sum: Counter,
    /// Most of it in milliseconds.
    pub reclaim_lag_ms_max: Counter,
    /// What 99 of 100 keys kept, milliseconds.
    pub reclaim_lag_ms_p99: Counter,
    /// Elections seen (changes of the term).
    pub elections: Counter,
    /// Times this node became leader.
    pub leader_changes: Counter,
    /// Persists given to the disk thread.
    pub persists: Counter,
}

impl Metrics {
    /// Zeroed counters for the given commands, in table order.
    pub fn new(command_names: impl Iterator<Item = &'static str>) -> Self {
        let commands = command_names.map(|name| CommandStat {
            name,
            ..CommandStat::default()
        });
        Self {
            commands: commands.collect(),
            ..Self::default()
        }
    }

    /// Longest turn of any worker thread since the last reset, nanoseconds: by the wall clock, and by CPU time.
    pub fn longest_turn_ns(&self) -> (u64, u64) {
        let threads = self.threads.iter().map(|thread| &thread.busy);
        threads.chain([&self.busy]).fold((0, 0), |(wall, cpu), stat| {
            (
                wall.max(stat.nanoseconds_max.get()),
                cpu.max(stat.cpu_nanoseconds_max.get()),
            )
        })
    }

    /// What `CONFIG RESETSTAT` clears. Counters of other threads may count something that came before.
    pub fn reset(&self) {
        for command in &self.commands {
            command.reset();
        }
        for counter in [
            &self.commands_processed,
            &self.connections_received,
            &self.connections_rejected,
            &self.output_limit_disconnections,
            &self.evicted_clients,
            &self.login_timeouts,
            &self.denied_logins,
            &self.denied_commands,
            &self.denied_keys,
            &self.denied_channels,
            &self.bytes_in,
            &self.bytes_out,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.expired_keys,
            &self.expired_fields,
            &self.evicted_keys,
            &self.error_replies,
        ] {
            counter.set(0);
        }
        self.busy.reset();
        self.threads.iter().for_each(|thread| thread.busy.reset());
    }
}

/// Zeroed counters for every command and subcommand, indexed by `CommandId`.
pub fn for_all_commands() -> Metrics {
    let mut names: Vec<&'static str> = Vec::new();
    for spec in with_subcommands() {
        let index = spec.id.index();
        names.resize(names.len().max(index + 1), "");
        names[index] = spec.name;
    }
    Metrics::new(names.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_falls_into_the_smallest_bucket_that_holds_it() {
        for (microseconds, bucket) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (1024, 10),
            (u64::MAX / 1000, 25),
        ] {
            let stat = CommandStat::default();
            stat.record(1, microseconds * 1000);
            let found = stat.latency.iter().position(|c| c.get() == 1);
            assert_eq!(found, Some(bucket), "{microseconds} µs");
        }
    }

    #[test]
    fn reset_clears_the_statistics_of_commands() {
        let metrics = Metrics::new(["get"].into_iter());
        metrics.commands[0].record(3, 2000);
        metrics.commands_processed.add(3);
        metrics.reset();
        assert_eq!(metrics.commands[0].calls.get(), 0);
        assert_eq!(metrics.commands_processed.get(), 0);
    }
}
