//! Metrics of our own: role, term, lag, peers, worker. All are called `repligo_…`.

use repligo_core::contract::Role;

use repligo_core::keyspace::LAG_BOUNDS_MS;

use super::page::Page;
use crate::telemetry::stalls::BUSY_BOUNDS_NS;
use crate::telemetry::threads::ThreadStat;
use crate::telemetry::{Metrics, NodeStatus};

/// All of them. `tick_age_us` is the age of the worker's last tick.
pub(super) fn render(page: &mut Page, status: &NodeStatus, metrics: &Metrics, tick_age_us: u64) {
    replica(page, status);
    cluster(page, status);
    origins(page, status);
    counters(page, metrics);
    page.head(
        "repligo_tick_age_seconds",
        "gauge",
        "Age of the worker's last tick",
    );
    page.sample("repligo_tick_age_seconds", &[], tick_age_us as f64 / 1e6);
    busy(page, metrics);
    threads(page, metrics);
    certificates(page, status);
    reclaim_lag(page, metrics);
}

/// The databases behind mapped keys.
fn origins(page: &mut Page, status: &NodeStatus) {
    let origins = &status.origins;
    page.gauges(&[
        (
            "repligo_origin_keyspaces",
            origins.keyspaces as u64,
            "Keyspaces with an origin",
        ),
        (
            "repligo_origin_keyspaces_down",
            origins.troubles.len() as u64,
            "Keyspaces whose origin does not answer or does not fit",
        ),
        (
            "repligo_origin_writes_pending",
            status.replica.origin_writes_pending,
            "Writes that the origins have not decided",
        ),
    ]);
    let name = "repligo_origin_up";
    page.head(name, "gauge", "1 while all keyspaces of the origin can be used");
    for (origin, up) in &origins.origins {
        page.sample(name, &[("origin", origin)], u8::from(*up));
    }
}

/// How long the worker does not turn to anything else.
fn busy(page: &mut Page, metrics: &Metrics) {
    for (name, counter, help) in [
        (
            "repligo_turn_seconds_max",
            &metrics.busy.nanoseconds_max,
            "Longest turn of the worker by the wall clock",
        ),
        (
            "repligo_turn_cpu_seconds_max",
            &metrics.busy.cpu_nanoseconds_max,
            "Longest turn of the worker by CPU time",
        ),
    ] {
        page.head(name, "gauge", help);
        page.sample(name, &[], counter.get() as f64 / 1e9);
    }
    for (name, counters, help) in [
        (
            "repligo_long_turns_total",
            &metrics.busy.longer,
            "Turns of the worker that took longer by the wall clock",
        ),
        (
            "repligo_long_turns_cpu_total",
            &metrics.busy.cpu_longer,
            "Turns of the worker that took more CPU time",
        ),
    ] {
        page.head(name, "counter", help);
        for (counter, bound_ns) in counters.iter().zip(BUSY_BOUNDS_NS) {
            let bound = format!("{}", bound_ns as f64 / 1e9);
            page.sample(name, &[("than", &bound)], counter.get());
        }
    }
}

/// Each worker thread by its number; 0 is the host, which executes.
fn threads(page: &mut Page, metrics: &Metrics) {
    type Figure = fn(&ThreadStat) -> f64;
    let rows: [(&str, &str, &str, Figure); 4] = [
        (
            "repligo_worker_connections",
            "gauge",
            "Clients whose sockets the worker has",
            |thread| thread.connections.get() as f64,
        ),
        (
            "repligo_worker_cpu_seconds_total",
            "counter",
            "CPU time of the worker",
            |thread| thread.cpu_nanoseconds.get() as f64 / 1e9,
        ),
        (
            "repligo_worker_busy_ratio",
            "gauge",
            "Part of the last moments that the worker was busy",
            |thread| thread.busy_permille.get() as f64 / 1e3,
        ),
        (
            "repligo_worker_io_turn_cpu_seconds_max",
            "gauge",
            "Longest turn of an I/O thread by CPU time",
            |thread| thread.busy.cpu_nanoseconds_max.get() as f64 / 1e9,
        ),
    ];
    for (name, kind, help, figure) in rows {
        page.head(name, kind, help);
        for (number, thread) in metrics.threads.iter().enumerate() {
            page.sample(name, &[("worker", &number.to_string())], figure(thread));
        }
    }
}

/// The certificates that the node shows, by to whom.
fn certificates(page: &mut Page, status: &NodeStatus) {
    let wall_ms = status.started_wall_ms + status.uptime_ms;
    let name = "repligo_certificate_end_seconds";
    page.head(name, "gauge", "When the certificate ends, since 1970");
    for certificate in &status.certificates {
        page.sample(name, &[("shown_to", certificate.shown_to)], certificate.ends_s);
    }
    let name = "repligo_certificate_days_left";
    page.head(name, "gauge", "Whole days until the certificate ends");
    for certificate in &status.certificates {
        let days = certificate.days_left(wall_ms);
        page.sample(name, &[("shown_to", certificate.shown_to)], days);
    }
}

/// A histogram in the form that Prometheus wants: cumulative, in seconds.
fn reclaim_lag(page: &mut Page, metrics: &Metrics) {
    let name = "repligo_reclaim_lag_seconds";
    page.head(
        name,
        "histogram",
        "How long after its deadline an expired key was removed",
    );
    let mut sum = 0;
    for (bucket, counter) in metrics.reclaim_lag.iter().enumerate() {
        sum += counter.get();
        let bound = LAG_BOUNDS_MS.get(bucket);
        let bound = bound.map_or("+Inf".to_owned(), |&bound_ms| {
            format!("{}", bound_ms as f64 / 1e3)
        });
        page.sample(&format!("{name}_bucket"), &[("le", &bound)], sum);
    }
    page.sample(
        &format!("{name}_sum"),
        &[],
        metrics.reclaim_lag_ms_sum.get() as f64 / 1e3,
    );
    page.sample(&format!("{name}_count"), &[], sum);
    page.head("repligo_reclaim_lag_seconds_max", "gauge", "Longest reclaim lag");
    page.sample(
        "repligo_reclaim_lag_seconds_max",
        &[],
        metrics.reclaim_lag_ms_max.get() as f64 / 1e3,
    );
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower => "follower",
    }
}

fn name_of(status: &NodeStatus, peer: u64) -> &str {
    let found = status.nodes.iter().find(|node| node.peer == peer);
    found.map_or("unknown", |node| node.name.as_str())
}

fn replica(page: &mut Page, status: &NodeStatus) {
    let replica = &status.replica;
    page.head("repligo_role", "gauge", "1 for the role that this node has");
    for role in [Role::Leader, Role::Follower, Role::Candidate] {
        page.sample(
            "repligo_role",
            &[("role", role_word(role))],
            u8::from(replica.role == role),
        );
    }
    page.gauges(&[
        ("repligo_term", replica.term, "Term of the replica"),
        (
            "repligo_leader",
            replica.leader,
            "Number of the known leader, 0 for none",
        ),
        (
            "repligo_serving",
            u64::from(replica.serving),
            "1 when this replica can serve",
        ),
        (
            "repligo_disk_full",
            u64::from(replica.disk_full),
            "1 while the disk of this node has no room: it takes no writes",
        ),
        (
            "repligo_quorum_full",
            u64::from(replica.quorum_full),
            "1 while so many disks are full that no majority could store a write",
        ),
        (
            "repligo_disk_stalled_milliseconds",
            replica.disk_stalled_ms,
            "How long the disk has finished nothing, once that is too long; 0 otherwise",
        ),
        (
            "repligo_applied_index",
            replica.applied_index,
            "Last applied entry",
        ),
        (
            "repligo_commit_index",
            replica.commit_index,
            "Last entry known to be committed",
        ),
        (
            "repligo_lag_milliseconds",
            replica.lag_ms,
            "Since the leader was last heard; 0 on the leader",
        ),
        (
            "repligo_requests_waiting",
            replica.requests_waiting,
            "Requests that wait for a leader or commit",
        ),
        (
            "repligo_shard_time_milliseconds",
            replica.shard_time_ms,
            "Shard time, since the epoch",
        ),
    ]);
    page.counters(&[(
        "repligo_full_resyncs_total",
        replica.full_resyncs,
        "Snapshots installed from a leader",
    )]);
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

fn cluster(page: &mut Page, status: &NodeStatus) {
    page.head("repligo_info", "gauge", "Identity of the node; always 1");
    let labels = [
        ("name", status.name.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("cluster_id", &format!("{:032x}", status.cluster_id)),
        ("run_id", &status.run_id),
    ];
    page.sample("repligo_info", &labels, 1);
    page.gauges(&[
        (
            "repligo_incarnation",
            status.incarnation,
            "Start count of this node",
        ),
        (
            "repligo_generation",
            status.generation,
            "Generation of the cluster",
        ),
    ]);
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
    let low = (status.replica.digest & ((1 << 52) - 1)) as u64;
    page.gauges(&[(
        "repligo_digest_low52",
        low,
        "Low 52 bits of the digest at repligo_applied_index",
    )]);
}

fn counters(page: &mut Page, metrics: &Metrics) {
    page.gauges(&[(
        "repligo_client_memory_bytes",
        metrics.client_memory_bytes.get(),
        "Bytes that clients hold, bounded by maxmemory-clients",
    )]);
    page.head(
        "repligo_acl_denied_total",
        "counter",
        "Logins, commands and keys that were refused",
    );
    for (reason, counter) in [
        ("auth", &metrics.denied_logins),
        ("command", &metrics.denied_commands),
        ("key", &metrics.denied_keys),
        ("channel", &metrics.denied_channels),
    ] {
        page.sample("repligo_acl_denied_total", &[("reason", reason)], counter.get());
    }
    page.counters(&[
        (
            "repligo_evicted_clients_total",
            metrics.evicted_clients.get(),
            "Clients closed because all of them together held too much",
        ),
        (
            "repligo_login_timeouts_total",
            metrics.login_timeouts.get(),
            "Connections closed because they had not logged in",
        ),
        (
            "repligo_elections_total",
            metrics.elections.get(),
            "Changes of the term seen",
        ),
        (
            "repligo_leader_changes_total",
            metrics.leader_changes.get(),
            "Times this node became leader",
        ),
        (
            "repligo_persists_total",
            metrics.persists.get(),
            "Writes given to the disk thread",
        ),
        (
            "repligo_peer_bytes_in_total",
            metrics.peer_bytes_in.get(),
            "Bytes read from other nodes",
        ),
        (
            "repligo_peer_bytes_out_total",
            metrics.peer_bytes_out.get(),
            "Bytes written to other nodes",
        ),
        (
            "repligo_peer_connects_total",
            metrics.peer_connects.get(),
            "Peer links established",
        ),
        (
            "repligo_peer_refusals_total",
            metrics.peer_refusals.get(),
            "Peer handshakes refused",
        ),
        (
            "repligo_protocol_errors_total",
            metrics.protocol_errors.get(),
            "Protocol errors of clients",
        ),
        (
            "repligo_output_limit_disconnections_total",
            metrics.output_limit_disconnections.get(),
            "Clients disconnected because they did not read their replies",
        ),
        (
            "repligo_published_missed_total",
            metrics.published_missed.get(),
            "Frames of published messages that another node did not get, too much being on its way to it",
        ),
        ("repligo_turns_total", metrics.turns.get(), "Turns of the worker"),
    ]);
}
