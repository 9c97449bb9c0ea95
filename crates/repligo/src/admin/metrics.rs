//! `/metrics`: Prometheus text. Names of redis_exporter where the meaning is the same, so that existing
//! dashboards work; everything of our own is `repligo_…`.

use std::fmt::{Display, Write as _};

use repligo_core::contract::Role;

use crate::node::{LATENCY_BUCKETS, Metrics, NodeStatus};

/// Renders all metrics of a node. `tick_age_us` is the age of the worker's last tick.
pub fn render(status: &NodeStatus, metrics: &Metrics, tick_age_us: u64) -> String {
    let mut page = Page {
        text: String::with_capacity(16 << 10),
    };
    server(&mut page, status, metrics);
    databases(&mut page, status);
    commands(&mut page, metrics);
    replication(&mut page, status, metrics);
    cluster(&mut page, status);
    worker(&mut page, metrics, tick_age_us);
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let escaped = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(
                self.text,
                "{}{label}=\"{escaped}\"",
                if position == 0 { '{' } else { ',' }
            );
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, &[], value);
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower => "follower",
    }
}

fn server(page: &mut Page, status: &NodeStatus, metrics: &Metrics) {
    page.gauge(
        "redis_up",
        "1 when the node can serve clients",
        u8::from(status.is_ready()),
    );
    page.gauge(
        "redis_uptime_in_seconds",
        "Seconds since the process started",
        status.uptime_ms / 1000,
    );
    page.gauge(
        "redis_start_time_seconds",
        "Wall clock at start, seconds since the epoch",
        status.started_wall_ms / 1000,
    );
    page.gauge(
        "redis_connected_clients",
        "Client connections now",
        metrics.connections_open.get(),
    );
    page.gauge(
        "redis_blocked_clients",
        "Clients that wait for an answer",
        metrics.clients_waiting.get(),
    );
    page.gauge(
        "redis_config_maxclients",
        "Client connections at most",
        status.maxclients,
    );
    page.counter(
        "redis_connections_received_total",
        "Connections accepted",
        metrics.connections_received.get(),
    );
    page.counter(
        "redis_rejected_connections_total",
        "Connections refused because of maxclients",
        metrics.connections_rejected.get(),
    );
    page.counter(
        "redis_commands_processed_total",
        "Commands executed",
        metrics.commands_processed.get(),
    );
    page.gauge(
        "redis_instantaneous_ops_per_sec",
        "Commands per second, smoothed",
        metrics.ops_per_second.get(),
    );
    page.counter(
        "redis_net_input_bytes_total",
        "Bytes read from clients",
        metrics.bytes_in.get(),
    );
    page.counter(
        "redis_net_output_bytes_total",
        "Bytes written to clients",
        metrics.bytes_out.get(),
    );
    page.gauge(
        "redis_memory_used_bytes",
        "Bytes of keys, values and tables",
        status.used_memory_bytes,
    );
    page.gauge(
        "redis_memory_used_peak_bytes",
        "Most of it since start",
        status.used_memory_peak_bytes,
    );
    page.gauge(
        "redis_memory_max_bytes",
        "Configured limit, 0 for none",
        status.maxmemory_bytes,
    );
    page.counter(
        "redis_keyspace_hits_total",
        "Keys found by reads",
        metrics.keyspace_hits.get(),
    );
    page.counter(
        "redis_keyspace_misses_total",
        "Keys not found by reads",
        metrics.keyspace_misses.get(),
    );
    page.counter(
        "redis_expired_keys_total",
        "Keys that expired",
        metrics.expired_keys.get(),
    );
    page.counter(
        "redis_evicted_keys_total",
        "Keys that were evicted",
        metrics.evicted_keys.get(),
    );
    page.head("redis_errors_total", "counter", "Error replies by code word");
    for (word, count) in &status.errors {
        page.sample("redis_errors_total", &[("err", word)], count);
    }
}

fn databases(page: &mut Page, status: &NodeStatus) {
    page.head("redis_db_keys", "gauge", "Keys of a database");
    for database in &status.databases {
        page.sample(
            "redis_db_keys",
            &[("db", &format!("db{}", database.database))],
            database.keys,
        );
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
            let bound = if bucket + 1 == LATENCY_BUCKETS {
                "+Inf".to_string()
            } else {
                (1u64 << bucket).to_string()
            };
            page.sample(
                "redis_commands_latencies_usec_bucket",
                &[("cmd", stat.name), ("le", &bound)],
                total,
            );
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

fn replication(page: &mut Page, status: &NodeStatus, metrics: &Metrics) {
    let replica = &status.replica;
    page.gauge(
        "redis_connected_slaves",
        "Followers that the leader hears",
        replica
            .followers
            .iter()
            .filter(|(_, _, silent_ms)| *silent_ms < 1000)
            .count(),
    );
    page.head("repligo_role", "gauge", "1 for the role that this node has");
    for role in [Role::Leader, Role::Follower, Role::Candidate] {
        page.sample(
            "repligo_role",
            &[("role", role_word(role))],
            u8::from(replica.role == role),
        );
    }
    page.gauge("repligo_term", "Term of the replica", replica.term);
    page.gauge(
        "repligo_leader",
        "Number of the known leader, 0 for none",
        replica.leader,
    );
    page.gauge(
        "repligo_serving",
        "1 when this replica can serve",
        u8::from(replica.serving),
    );
    page.gauge(
        "repligo_applied_index",
        "Last applied entry",
        replica.applied_index,
    );
    page.gauge(
        "repligo_commit_index",
        "Last entry known to be committed",
        replica.commit_index,
    );
    page.gauge(
        "repligo_lag_milliseconds",
        "Since the leader was last heard; 0 on the leader",
        replica.lag_ms,
    );
    page.gauge(
        "repligo_requests_waiting",
        "Requests that wait for a leader or commit",
        replica.requests_waiting,
    );
    page.gauge(
        "repligo_shard_time_milliseconds",
        "Shard time, since the epoch",
        replica.shard_time_ms,
    );
    page.counter(
        "repligo_full_resyncs_total",
        "Snapshots installed from a leader",
        replica.full_resyncs,
    );
    page.counter(
        "repligo_elections_total",
        "Changes of the term seen",
        metrics.elections.get(),
    );
    page.counter(
        "repligo_leader_changes_total",
        "Times this node became leader",
        metrics.leader_changes.get(),
    );
    page.counter(
        "repligo_persists_total",
        "Writes given to the disk thread",
        metrics.persists.get(),
    );
    page.head(
        "repligo_follower_matched_index",
        "gauge",
        "On the leader: what a follower holds",
    );
    for (peer, matched, _) in &replica.followers {
        page.sample(
            "repligo_follower_matched_index",
            &[("node", name_of(status, *peer))],
            matched,
        );
    }
    page.head(
        "repligo_follower_silent_milliseconds",
        "gauge",
        "On the leader: since a follower was heard",
    );
    for (peer, _, silent_ms) in &replica.followers {
        page.sample(
            "repligo_follower_silent_milliseconds",
            &[("node", name_of(status, *peer))],
            silent_ms,
        );
    }
}

fn name_of(status: &NodeStatus, peer: u64) -> &str {
    status
        .nodes
        .iter()
        .find(|node| node.peer == peer)
        .map_or("unknown", |node| node.name.as_str())
}

fn cluster(page: &mut Page, status: &NodeStatus) {
    page.head("repligo_info", "gauge", "Identity of the node; always 1");
    let labels = [
        ("name", status.name.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("cluster_id", &format!("{:032x}", status.cluster_id)),
        ("run_id", &status.run_id),
    ];
    page.sample("repligo_info", &labels, 1);
    page.gauge(
        "repligo_incarnation",
        "Start count of this node",
        status.incarnation,
    );
    page.gauge(
        "repligo_generation",
        "Generation of the cluster",
        status.generation,
    );
    page.head(
        "repligo_node_healthy",
        "gauge",
        "1 when a node said within a second that it serves",
    );
    for node in &status.nodes {
        page.sample(
            "repligo_node_healthy",
            &[("node", &node.name)],
            u8::from(node.healthy),
        );
    }
    page.head(
        "repligo_node_connected",
        "gauge",
        "1 when a link to the node is open",
    );
    for node in &status.nodes {
        page.sample(
            "repligo_node_connected",
            &[("node", &node.name)],
            u8::from(node.connected),
        );
    }
    page.head(
        "repligo_peer_queued_bytes",
        "gauge",
        "Bytes that wait to be sent to a node",
    );
    for node in status.nodes.iter().filter(|node| node.peer != status.peer) {
        page.sample(
            "repligo_peer_queued_bytes",
            &[("node", &node.name)],
            node.queued_bytes,
        );
    }
    // Digests are compared between nodes, not plotted: the low 52 bits survive Prometheus' floats.
    page.gauge(
        "repligo_digest_low52",
        "Low 52 bits of the state's digest at repligo_applied_index",
        status.replica.digest & ((1 << 52) - 1),
    );
}

fn worker(page: &mut Page, metrics: &Metrics, tick_age_us: u64) {
    page.counter(
        "repligo_peer_bytes_in_total",
        "Bytes read from other nodes",
        metrics.peer_bytes_in.get(),
    );
    page.counter(
        "repligo_peer_bytes_out_total",
        "Bytes written to other nodes",
        metrics.peer_bytes_out.get(),
    );
    page.counter(
        "repligo_peer_connects_total",
        "Peer links established",
        metrics.peer_connects.get(),
    );
    page.counter(
        "repligo_peer_refusals_total",
        "Peer handshakes refused",
        metrics.peer_refusals.get(),
    );
    page.counter(
        "repligo_protocol_errors_total",
        "Protocol errors of clients",
        metrics.protocol_errors.get(),
    );
    page.counter(
        "repligo_output_limit_disconnections_total",
        "Clients disconnected because they did not read their replies",
        metrics.output_limit_disconnections.get(),
    );
    page.counter("repligo_turns_total", "Turns of the worker", metrics.turns.get());
    page.gauge(
        "repligo_turn_seconds_max",
        "Longest turn since start",
        metrics.turn_nanoseconds_max.get() as f64 / 1e9,
    );
    page.gauge(
        "repligo_tick_age_seconds",
        "Age of the worker's last tick",
        tick_age_us as f64 / 1e6,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{DatabaseStatus, PeerStatus};

    #[test]
    fn every_sample_has_a_head_and_a_number() {
        let mut status = NodeStatus {
            name: "n\"1".into(),
            ..Default::default()
        };
        status.databases.push(DatabaseStatus {
            database: 3,
            keys: 7,
            volatile_keys: 1,
        });
        status.nodes.push(PeerStatus {
            peer: 2,
            name: "n2".into(),
            ..Default::default()
        });
        status.replica.followers.push((2, 10, 5));
        status.errors.push(("WRONGTYPE".into(), 4));
        let metrics = Metrics::new(["get", "client|list"].into_iter());
        metrics.commands[0].record(3, 1500);
        let text = render(&status, &metrics, 1000);
        let mut heads = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("name").to_string();
                assert!(heads.insert(name.clone()), "{name} has two heads");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("name");
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name);
                assert!(heads.contains(name) || heads.contains(base), "{line} has no head");
                let number = line.rsplit(' ').next().expect("value");
                assert!(number.parse::<f64>().is_ok(), "{line} has no number");
            }
        }
        assert!(text.contains("redis_db_keys{db=\"db3\"} 7"), "{text}");
        assert!(text.contains("redis_commands_total{cmd=\"get\"} 3"), "{text}");
        assert!(
            text.contains("redis_commands_latencies_usec_bucket{cmd=\"get\",le=\"2\"} 3"),
            "{text}"
        );
        assert!(text.contains("redis_errors_total{err=\"WRONGTYPE\"} 4"), "{text}");
        assert!(text.contains("name=\"n\\\"1\""), "labels are escaped");
        assert!(
            !text.contains("cmd=\"client|list\""),
            "unused commands are left out"
        );
    }
}
