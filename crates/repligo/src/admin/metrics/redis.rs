//! Metrics with the names of redis_exporter, where the meaning is the same.

use repligo_proto::words;

use super::page::Page;
use crate::telemetry::{LATENCY_BUCKETS, Metrics, NodeStatus};

/// A follower that was silent for longer is not counted as connected.
const SILENT_MS: u64 = 1000;

/// All of them.
pub(super) fn render(page: &mut Page, status: &NodeStatus, metrics: &Metrics) {
    server(page, status, metrics);
    databases(page, status);
    commands(page, metrics);
}

fn server(page: &mut Page, status: &NodeStatus, metrics: &Metrics) {
    let heard = |silent_ms: &&(u64, u64, u64)| silent_ms.2 < SILENT_MS;
    let followers = status.replica.followers.iter().filter(heard).count() as u64;
    page.gauges(&[
        (
            "redis_up",
            u64::from(status.is_serving()),
            "1 when the node can serve clients",
        ),
        (
            "redis_uptime_in_seconds",
            status.uptime_ms / 1000,
            "Seconds since the process started",
        ),
        (
            "redis_start_time_seconds",
            status.started_wall_ms / 1000,
            "Wall clock at start, since the epoch",
        ),
        (
            "redis_connected_clients",
            metrics.connections_open.get(),
            "Client connections now",
        ),
        (
            "redis_blocked_clients",
            metrics.clients_waiting.get(),
            "Clients that wait for an answer",
        ),
        (
            "redis_config_maxclients",
            status.maxclients,
            "Client connections at most",
        ),
        (
            "redis_instantaneous_ops_per_sec",
            metrics.ops_per_second.get(),
            "Commands per second, smoothed",
        ),
        (
            "redis_memory_used_bytes",
            status.used_memory_bytes,
            "Bytes of keys, values and tables",
        ),
        (
            "redis_memory_used_peak_bytes",
            status.used_memory_peak_bytes,
            "Most of it since start",
        ),
        (
            "redis_memory_max_bytes",
            status.maxmemory_bytes,
            "Configured limit, 0 for none",
        ),
    ]);
    let name = format!("redis_{}", words::INFO_CONNECTED_FOLLOWERS);
    page.gauges(&[(&name, followers, "Followers that the leader hears")]);
    page.counters(&[
        (
            "redis_connections_received_total",
            metrics.connections_received.get(),
            "Connections accepted",
        ),
        (
            "redis_rejected_connections_total",
            metrics.connections_rejected.get(),
            "Refused because of maxclients",
        ),
        (
            "redis_commands_processed_total",
            metrics.commands_processed.get(),
            "Commands executed",
        ),
        (
            "redis_net_input_bytes_total",
            metrics.bytes_in.get(),
            "Bytes read from clients",
        ),
        (
            "redis_net_output_bytes_total",
            metrics.bytes_out.get(),
            "Bytes written to clients",
        ),
        (
            "redis_keyspace_hits_total",
            metrics.keyspace_hits.get(),
            "Keys found by reads",
        ),
        (
            "redis_keyspace_misses_total",
            metrics.keyspace_misses.get(),
            "Keys not found by reads",
        ),
        (
            "redis_expired_keys_total",
            metrics.expired_keys.get(),
            "Keys that expired",
        ),
        (
            "redis_expired_subkeys_total",
            metrics.expired_fields.get(),
            "Fields of hashes that expired",
        ),
        (
            "redis_evicted_keys_total",
            metrics.evicted_keys.get(),
            "Keys that were evicted",
        ),
    ]);
    page.head("redis_errors_total", "counter", "Error replies by code word");
    for (word, count) in &status.errors {
        page.sample("redis_errors_total", &[("err", word)], count);
    }
}

fn databases(page: &mut Page, status: &NodeStatus) {
    page.head("redis_db_keys", "gauge", "Keys of a database");
    for database in &status.databases {
        let name = format!("db{}", database.database);
        page.sample("redis_db_keys", &[("db", &name)], database.keys);
    }
    page.head(
        "redis_db_keys_expiring",
        "gauge",
        "Keys of a database that have a deadline",
    );
    for database in &status.databases {
        let name = format!("db{}", database.database);
        page.sample("redis_db_keys_expiring", &[("db", &name)], database.volatile_keys);
    }
}

fn commands(page: &mut Page, metrics: &Metrics) {
    let used = || {
        metrics
            .commands
            .iter()
            .filter(|stat| stat.calls.get() + stat.rejected.get() > 0)
    };
    page.head("redis_commands_total", "counter", "Calls of a command");
    for stat in used() {
        page.sample("redis_commands_total", &[("cmd", stat.name)], stat.calls.get());
    }
    page.head(
        "redis_commands_duration_seconds_total",
        "counter",
        "Time in a command",
    );
    for stat in used() {
        let seconds = stat.nanoseconds.get() as f64 / 1e9;
        page.sample(
            "redis_commands_duration_seconds_total",
            &[("cmd", stat.name)],
            seconds,
        );
    }
    page.head(
        "redis_commands_rejected_calls_total",
        "counter",
        "Calls refused before execution",
    );
    for stat in used() {
        page.sample(
            "redis_commands_rejected_calls_total",
            &[("cmd", stat.name)],
            stat.rejected.get(),
        );
    }
    page.head(
        "redis_commands_failed_calls_total",
        "counter",
        "Calls answered with an error",
    );
    for stat in used() {
        page.sample(
            "redis_commands_failed_calls_total",
            &[("cmd", stat.name)],
            stat.failed.get(),
        );
    }
    page.head(
        "redis_commands_latencies_usec",
        "histogram",
        "Duration of a command in microseconds",
    );
    for stat in used() {
        let mut total = 0;
        for (bucket, counter) in stat.latency.iter().enumerate() {
            total += counter.get();
            let last = bucket + 1 == LATENCY_BUCKETS;
            let bound = if last {
                "+Inf".to_string()
            } else {
                (1u64 << bucket).to_string()
            };
            let labels = [("cmd", stat.name), ("le", bound.as_str())];
            page.sample("redis_commands_latencies_usec_bucket", &labels, total);
        }
        let microseconds = stat.nanoseconds.get() / 1000;
        page.sample(
            "redis_commands_latencies_usec_sum",
            &[("cmd", stat.name)],
            microseconds,
        );
        page.sample(
            "redis_commands_latencies_usec_count",
            &[("cmd", stat.name)],
            total,
        );
    }
}
