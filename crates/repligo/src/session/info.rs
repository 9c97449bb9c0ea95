//! INFO: the fields that clients, dashboards and exporters parse, under Redis' names.
//!
//! A field that would have to lie is left out or 0; see interface notes in docs/operations.md for those
//! that mean something of our own (offsets are positions in the log, for example).

use std::fmt::Write as _;

use repligo_core::contract::{Role, Status};
use repligo_core::limits::DATABASES;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::server::host_and_port;
use super::{Client, Local, MemoryUse, handshake};
use crate::telemetry::{CommandStat, DatabaseStatus, process};

/// A section: its name, its title, and who writes its fields.
type Section = (&'static str, &'static str, fn(&Local<'_>, &Status, &mut String));

/// All sections in Redis' order.
const SECTIONS: &[Section] = &[
    ("server", "Server", server),
    ("clients", "Clients", clients),
    ("memory", "Memory", memory),
    ("persistence", "Persistence", persistence),
    ("stats", "Stats", stats),
    ("replication", "Replication", replication),
    ("cpu", "CPU", cpu),
    ("modules", "Modules", |_, _, _| {}),
    ("commandstats", "Commandstats", command_stats),
    ("errorstats", "Errorstats", error_stats),
    ("latencystats", "Latencystats", latency_stats),
    ("cluster", "Cluster", |_, _, text| {
        line(text, "cluster_enabled", 0)
    }),
    ("keyspace", "Keyspace", keyspace),
    ("origin", "Origin", origin),
    ("repligo", "Repligo", repligo),
];

/// Shown only when asked for by name, or with `all` or `everything`.
const ON_REQUEST: &[&str] = &["commandstats", "latencystats"];

/// INFO [section…].
pub(super) fn info(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let asked = request.skip(1);
    let named = |name: &str| {
        asked
            .iter()
            .any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let everything = named("all") || named("everything");
    let default = asked.is_empty() || named("default");
    let status = local.node.status();
    let mut text = String::with_capacity(4096);
    for (name, title, write) in SECTIONS {
        let shown = named(name) || everything || (default && !ON_REQUEST.contains(name));
        if !shown {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(title);
        text.push_str("\r\n");
        write(local, &status, &mut text);
    }
    local.reply(out).verbatim("txt", text.as_bytes());
}

/// Shows all clients.
fn for_each_client(local: &Local<'_>, see: &mut dyn FnMut(Client<'_>)) {
    local.node.for_each_other(see);
    see(local.own());
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}:{value}\r\n");
}

fn server(local: &Local<'_>, _status: &Status, text: &mut String) {
    let facts = local.node.facts();
    let uptime = facts.uptime_ms(local.now().mono_us) / 1000;
    line(text, "redis_version", handshake::REDIS_VERSION);
    line(text, "redis_git_sha1", "00000000");
    line(text, "redis_git_dirty", 0);
    line(text, "redis_build_id", "0");
    line(text, "redis_mode", "standalone");
    line(text, "repligo_version", env!("CARGO_PKG_VERSION"));
    line(text, "os", process::system());
    line(text, "arch_bits", usize::BITS);
    line(text, "monotonic_clock", "POSIX clock_gettime");
    line(text, "multiplexing_api", "epoll");
    line(text, "process_id", std::process::id());
    line(text, "process_supervised", "no");
    line(text, "run_id", &facts.run_id);
    line(text, "tcp_port", facts.client_port);
    line(text, "server_time_usec", local.node.wall_us());
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / 86_400);
    line(text, "hz", 40);
    line(text, "configured_hz", 40);
    line(text, "lru_clock", (local.now().wall_ms / 1000) & 0xff_ffff);
    line(
        text,
        "executable",
        std::env::current_exe().unwrap_or_default().display(),
    );
    line(text, "config_file", &facts.config_file);
    for (number, listener) in facts.listeners.iter().enumerate() {
        line(text, &format!("listener{number}"), listener);
    }
    let threads = &local.node.metrics().threads;
    line(text, "io_threads_active", u8::from(threads.len() > 1));
    line(text, "workers", threads.len());
    for (number, thread) in threads.iter().enumerate() {
        let (connections, busy) = (thread.connections.get(), thread.busy_permille.get() as f64 / 1e3);
        let milliseconds = thread.cpu_nanoseconds.get() / 1_000_000;
        line(
            text,
            &format!("worker{number}"),
            format_args!("connections={connections},busy={busy:.3},cpu_ms={milliseconds}"),
        );
    }
}

fn clients(local: &Local<'_>, _status: &Status, text: &mut String) {
    let (mut input, mut output) = (0, 0);
    for_each_client(local, &mut |client| {
        input = input.max(client.input_bytes());
        output = output.max(client.session.replies.pending_bytes());
    });
    line(text, "connected_clients", local.node.client_count());
    line(text, "cluster_connections", 0);
    line(text, "maxclients", local.node.parameters().maxclients());
    line(text, "client_recent_max_input_buffer", input);
    line(text, "client_recent_max_output_buffer", output);
    line(text, "blocked_clients", local.node.blocked_clients());
    let tracking = local.node.subscriptions().tracking();
    line(text, "tracking_clients", tracking.client_count());
    line(text, "clients_in_timeout_table", 0);
}

fn memory(local: &Local<'_>, _status: &Status, text: &mut String) {
    let MemoryUse { used, peak, startup } = local.node.memory();
    let resident = process::resident_bytes();
    let total = process::system_memory_bytes();
    let (limit, policy) = {
        let limit = local.node.parameters().memory();
        (limit.bytes_max, limit.policy.name())
    };
    let mut clients = 0;
    for_each_client(local, &mut |client| clients += client.memory_bytes());
    clients += local.node.log_bytes();
    let overhead = startup + clients as u64;
    let share = if peak == 0 {
        100.0
    } else {
        used as f64 / peak as f64 * 100.0
    };
    let ratio = if used == 0 {
        1.0
    } else {
        resident as f64 / used as f64
    };
    line(text, "used_memory", used);
    line(text, "used_memory_human", human(used));
    line(text, "used_memory_rss", resident);
    line(text, "used_memory_rss_human", human(resident));
    line(text, "used_memory_peak", peak);
    line(text, "used_memory_peak_human", human(peak));
    line(text, "used_memory_peak_perc", format_args!("{share:.2}%"));
    line(text, "used_memory_overhead", overhead);
    line(text, "used_memory_startup", startup);
    line(text, "used_memory_dataset", used.saturating_sub(overhead));
    line(text, "total_system_memory", total);
    line(text, "total_system_memory_human", human(total));
    line(text, "used_memory_lua", 0);
    let [scripts, libraries, functions] = local.node.script_counts();
    line(text, "number_of_cached_scripts", scripts);
    line(text, "number_of_functions", functions);
    line(text, "number_of_libraries", libraries);
    line(text, "maxmemory", limit);
    line(text, "maxmemory_human", human(limit));
    line(text, "maxmemory_policy", policy);
    line(text, "mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    line(text, "mem_fragmentation_bytes", resident as i64 - used as i64);
    line(text, "mem_not_counted_for_evict", clients);
    line(text, "mem_clients_normal", clients);
    line(text, "mem_allocator", "libc");
    line(text, "active_defrag_running", 0);
    line(text, "lazyfree_pending_objects", 0);
}

/// Bytes as Redis shows them to people.
fn human(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{:.2}K", value / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.2}M", value / f64::from(1 << 20)),
        _ => format!("{:.2}G", value / f64::from(1 << 30)),
    }
}

fn persistence(local: &Local<'_>, _status: &Status, text: &mut String) {
    let append_only = local.node.parameters().value("appendonly") == Some("yes");
    line(text, "loading", u8::from(local.node.is_loading()));
    line(text, "async_loading", 0);
    line(text, "current_cow_size", 0);
    line(text, "rdb_changes_since_last_save", 0);
    line(text, "rdb_bgsave_in_progress", 0);
    line(
        text,
        "rdb_last_save_time",
        local.node.facts().started_wall_ms / 1000,
    );
    line(text, "rdb_last_bgsave_status", "ok");
    line(text, "rdb_last_bgsave_time_sec", -1);
    line(text, "rdb_current_bgsave_time_sec", -1);
    line(text, "aof_enabled", u8::from(append_only));
    line(text, "aof_rewrite_in_progress", 0);
    line(text, "aof_rewrite_scheduled", 0);
    line(text, "aof_last_rewrite_time_sec", -1);
    line(text, "aof_current_rewrite_time_sec", -1);
    line(text, "aof_last_bgrewrite_status", "ok");
    line(text, "aof_last_write_status", "ok");
}

fn stats(local: &Local<'_>, status: &Status, text: &mut String) {
    let metrics = local.node.metrics();
    let (input, output) = (metrics.bytes_in.get(), metrics.bytes_out.get());
    line(
        text,
        "total_connections_received",
        metrics.connections_received.get(),
    );
    line(text, "total_commands_processed", metrics.commands_processed.get());
    line(text, "instantaneous_ops_per_sec", metrics.ops_per_second.get());
    line(text, "total_net_input_bytes", input);
    line(text, "total_net_output_bytes", output);
    line(text, "total_net_repl_input_bytes", metrics.peer_bytes_in.get());
    line(text, "total_net_repl_output_bytes", metrics.peer_bytes_out.get());
    line(
        text,
        "instantaneous_input_kbps",
        format_args!("{:.2}", local.node.rates().input_kbps()),
    );
    line(
        text,
        "instantaneous_output_kbps",
        format_args!("{:.2}", local.node.rates().output_kbps()),
    );
    line(text, "rejected_connections", metrics.connections_rejected.get());
    line(text, "sync_full", status.full_resyncs);
    line(text, "sync_partial_ok", 0);
    line(text, "sync_partial_err", 0);
    line(text, "expired_keys", metrics.expired_keys.get());
    line(text, "expired_subkeys", metrics.expired_fields.get());
    line(text, "expired_stale_perc", "0.00");
    line(text, "evicted_keys", metrics.evicted_keys.get());
    line(text, "evicted_clients", metrics.evicted_clients.get());
    line(text, "login_timeouts", metrics.login_timeouts.get());
    let (busy_wall_ns, busy_cpu_ns) = metrics.longest_turn_ns();
    for (name, value) in [
        ("expired_reclaim_lag_p99_ms", metrics.reclaim_lag_ms_p99.get()),
        ("expired_reclaim_lag_max_ms", metrics.reclaim_lag_ms_max.get()),
        ("worker_busy_cpu_max_usec", busy_cpu_ns / 1000),
        ("worker_busy_wall_max_usec", busy_wall_ns / 1000),
    ] {
        line(text, name, value);
    }
    line(text, "keyspace_hits", metrics.keyspace_hits.get());
    line(text, "keyspace_misses", metrics.keyspace_misses.get());
    let subscriptions = local.node.subscriptions();
    line(text, "pubsub_channels", subscriptions.channel_count());
    line(text, "pubsub_patterns", subscriptions.pattern_count());
    line(text, "pubsubshard_channels", subscriptions.shard_count());
    line(text, "latest_fork_usec", 0);
    line(text, "total_forks", 0);
    let tracking = subscriptions.tracking();
    line(text, "tracking_total_keys", tracking.key_count());
    line(text, "tracking_total_items", tracking.item_count());
    line(text, "tracking_total_prefixes", tracking.prefix_count());
    line(text, "unexpected_error_replies", 0);
    line(text, "total_error_replies", metrics.error_replies.get());
    line(text, "acl_access_denied_auth", metrics.denied_logins.get());
    line(text, "acl_access_denied_cmd", metrics.denied_commands.get());
    line(text, "acl_access_denied_key", metrics.denied_keys.get());
    line(text, "acl_access_denied_channel", metrics.denied_channels.get());
    line(
        text,
        "client_output_buffer_limit_disconnections",
        metrics.output_limit_disconnections.get(),
    );
}

fn replication(local: &Local<'_>, status: &Status, text: &mut String) {
    let nodes = local.node.nodes();
    let leads = status.role == Role::Leader;
    line(
        text,
        "role",
        if leads {
            words::LEADER_ROLE
        } else {
            words::FOLLOWER_ROLE
        },
    );
    if leads {
        let followers = nodes
            .iter()
            .filter(|node| node.peer != status.leader && node.connected);
        line(text, words::INFO_CONNECTED_FOLLOWERS, followers.clone().count());
        for (number, node) in followers.enumerate() {
            let (host, port) = host_and_port(&node.client_address);
            let known = status.followers.iter().find(|follower| follower.0 == node.peer);
            let (offset, heard_ms) = known.map_or((0, 0), |follower| (follower.1, follower.2));
            let value = format!(
                "ip={host},port={port},state=online,offset={offset},lag={}",
                heard_ms / 1000
            );
            line(text, &words::info_follower(number), value);
        }
    } else {
        let leader = nodes.iter().find(|node| node.peer == status.leader);
        let (host, port) = leader.map_or(("?", 0), |node| host_and_port(&node.client_address));
        let up = leader.is_some_and(|node| node.connected) && status.serving;
        line(text, words::INFO_LEADER_HOST, host);
        line(text, words::INFO_LEADER_PORT, port);
        line(
            text,
            words::INFO_LEADER_LINK_STATUS,
            if up { "up" } else { "down" },
        );
        line(text, words::INFO_LEADER_LAST_IO_SECONDS_AGO, status.lag_ms / 1000);
        line(text, words::INFO_LEADER_SYNC_IN_PROGRESS, 0);
        line(text, words::INFO_FOLLOWER_OFFSET, status.applied_index);
        line(text, words::INFO_FOLLOWER_PRIORITY, 100);
        line(text, words::INFO_FOLLOWER_READ_ONLY, 0);
        line(text, words::INFO_CONNECTED_FOLLOWERS, 0);
    }
    line(text, words::INFO_FAILOVER_STATE, "no-failover");
    // The history is the cluster's: it goes on over every change of leader.
    line(
        text,
        words::INFO_REPLICATION_ID,
        format_args!("{:040x}", local.node.identity().cluster_id),
    );
    line(text, words::INFO_REPLICATION_ID_2, format_args!("{:040x}", 0));
    line(text, words::INFO_REPLICATION_OFFSET, status.applied_index);
    line(text, "second_repl_offset", -1);
    line(text, "repl_backlog_active", u8::from(leads));
    line(text, "repl_backlog_size", 1_048_576);
    line(text, "repl_backlog_first_byte_offset", 0);
    line(text, "repl_backlog_histlen", 0);
}

fn cpu(_local: &Local<'_>, _status: &Status, text: &mut String) {
    let own = process::usage(libc::RUSAGE_SELF);
    let children = process::usage(libc::RUSAGE_CHILDREN);
    let worker = process::usage(libc::RUSAGE_THREAD);
    line(text, "used_cpu_sys", format_args!("{:.6}", own.system_seconds));
    line(text, "used_cpu_user", format_args!("{:.6}", own.user_seconds));
    line(
        text,
        "used_cpu_sys_children",
        format_args!("{:.6}", children.system_seconds),
    );
    line(
        text,
        "used_cpu_user_children",
        format_args!("{:.6}", children.user_seconds),
    );
    line(
        text,
        "used_cpu_sys_main_thread",
        format_args!("{:.6}", worker.system_seconds),
    );
    line(
        text,
        "used_cpu_user_main_thread",
        format_args!("{:.6}", worker.user_seconds),
    );
}

fn used_commands<'a>(local: &'a Local<'_>) -> impl Iterator<Item = &'a CommandStat> {
    let all = local.node.metrics().commands.iter();
    all.filter(|stat| stat.calls.get() + stat.rejected.get() + stat.failed.get() > 0)
}

fn command_stats(local: &Local<'_>, _status: &Status, text: &mut String) {
    for stat in used_commands(local) {
        let (calls, microseconds) = (stat.calls.get(), stat.nanoseconds.get() / 1000);
        let each = if calls == 0 {
            0.0
        } else {
            stat.nanoseconds.get() as f64 / 1000.0 / calls as f64
        };
        let _ = write!(
            text,
            "cmdstat_{}:calls={calls},usec={microseconds},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            stat.name,
            stat.rejected.get(),
            stat.failed.get()
        );
    }
}

fn error_stats(local: &Local<'_>, _status: &Status, text: &mut String) {
    for (word, count) in local.node.errors().iter() {
        let _ = write!(text, "errorstat_{word}:count={count}\r\n");
    }
}

fn latency_stats(local: &Local<'_>, _status: &Status, text: &mut String) {
    for stat in used_commands(local) {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| stat.percentile_us(share));
        let _ = write!(
            text,
            "latency_percentiles_usec_{}:p50={p50:.3},p99={p99:.3},p99.9={p999:.3}\r\n",
            stat.name
        );
    }
}

fn keyspace(local: &Local<'_>, _status: &Status, text: &mut String) {
    for number in 0..DATABASES as u8 {
        let DatabaseStatus {
            keys, volatile_keys, ..
        } = local.node.database(number);
        if keys > 0 {
            let _ = write!(
                text,
                "db{number}:keys={keys},expires={volatile_keys},avg_ttl=0\r\n"
            );
        }
    }
}

/// Keyspaces that are named; the rest is counted.
const ORIGIN_LINES_MAX: usize = 16;

fn origin(local: &Local<'_>, status: &Status, text: &mut String) {
    let origins = local.node.origins();
    line(text, "origin_keyspaces", origins.keyspaces);
    line(text, "origin_keyspaces_down", origins.troubles.len());
    line(text, "origin_writes_pending", status.origin_writes_pending);
    for (name, up) in &origins.origins {
        line(text, &format!("origin_{name}"), if *up { "up" } else { "down" });
    }
    for trouble in origins.troubles.iter().take(ORIGIN_LINES_MAX) {
        let name = format!("origin_down_{}", trouble.keyspace);
        line(text, &name, format_args!("{}", trouble.reason));
    }
}

fn repligo(local: &Local<'_>, status: &Status, text: &mut String) {
    let identity = local.node.identity();
    line(text, "repligo_node", &local.node.facts().name);
    line(
        text,
        "repligo_cluster_id",
        format_args!("{:032x}", identity.cluster_id),
    );
    line(text, "repligo_generation", identity.generation);
    line(text, "repligo_incarnation", identity.incarnation);
    line(text, "repligo_term", status.term);
    line(text, "repligo_serving", u8::from(status.serving));
    line(text, "repligo_applied_index", status.applied_index);
    line(text, "repligo_commit_index", status.commit_index);
    line(text, "repligo_digest", format_args!("{:032x}", status.digest));
    line(text, "repligo_requests_waiting", status.requests_waiting);
    let [own, forwarded, paused] = local.node.queued();
    line(text, "repligo_queue_bytes", own);
    line(text, "repligo_forwarded_bytes", forwarded);
    line(text, "repligo_paused_clients", paused);
}

#[cfg(test)]
mod unit {
    use super::human;

    #[test]
    fn sizes_are_shown_as_redis_shows_them() {
        for (bytes, text) in [
            (512, "512B"),
            (1024, "1.00K"),
            (1_572_864, "1.50M"),
            (3 << 30, "3.00G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
