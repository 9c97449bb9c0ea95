//! The server and its introspection: TIME, ROLE, SLOWLOG, LATENCY, MODULE, ACL, COMMAND, REPLIGO.STATUS.

use repligo_core::command::parse_i64;
use repligo_core::contract::Role;
use repligo_proto::command::{CommandId, Spec, with_subcommands, write_introspection};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::Local;
use super::members;
use crate::telemetry::report::Report;
use crate::telemetry::{CommandStat, PeerStatus};

/// SLOWLOG GET without a count.
const SLOWLOG_DEFAULT_COUNT: i64 = 10;

/// Answers what the other modules of the session do not.
pub(super) fn dispatch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    use CommandId as Id;
    match local.spec.id {
        Id::Time => time(local, out),
        Id::Role => role(local, out),
        Id::SlowLogGet => slowlog_get(local, request, out),
        Id::SlowLogLen => {
            let count = local.node.slowlog().len() as i64;
            local.reply(out).integer(count);
        }
        Id::SlowLogReset => {
            local.node.slowlog().reset();
            local.reply(out).ok();
        }
        Id::ConfigResetStat => {
            local.node.reset_statistics();
            local.reply(out).ok();
        }
        Id::LatencyLatest | Id::ModuleList => local.reply(out).array(0),
        // Nothing is monitored by event, so there is never one to forget.
        Id::LatencyReset => local.reply(out).integer(0),
        Id::LatencyHistogram => latency_histogram(local, request, out),
        // A script ends by its budget, on all nodes at the same instruction, and never by a clock.
        Id::ScriptKill | Id::FunctionKill if local.node.runs_script() => {
            local.reply(out).error(words::script::UNKILLABLE)
        }
        Id::ScriptKill | Id::FunctionKill => local.reply(out).error(words::script::NOTHING_TO_KILL),
        Id::RepligoStatus => status(local, out),
        Id::RepligoCluster => members::dispatch(local, request, out),
        _ => {
            let mut reply = local.reply(out);
            if !write_introspection(local.spec, request, &mut reply) {
                // A row of the table that nobody executes is a bug; the client must not wait for it.
                reply.error(&format!(
                    "ERR internal: '{}' has no executor; report this as a bug",
                    local.spec.name
                ));
            }
        }
    }
}

fn time(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let wall_us = local.node.wall_us();
    let mut reply = local.reply(out);
    reply.array(2);
    reply.bulk_str(&(wall_us / 1_000_000).to_string());
    reply.bulk_str(&(wall_us % 1_000_000).to_string());
}

/// ROLE: clients of the follower's form find the leader by it, so a follower tells where clients reach
/// the leader. Offsets are positions in the log.
fn role(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let status = local.node.status();
    let nodes = local.node.nodes();
    let mut reply = local.reply(out);
    if status.role == Role::Leader {
        let others: Vec<&PeerStatus> = nodes.iter().filter(|node| node.peer != status.leader).collect();
        let followers: Vec<_> = others.iter().filter(|node| node.connected).collect();
        reply.array(3);
        reply.bulk_str(words::LEADER_ROLE);
        reply.integer(status.applied_index as i64);
        reply.array(followers.len());
        for node in followers {
            let (host, port) = host_and_port(&node.client_address);
            let matched = status.followers.iter().find(|follower| follower.0 == node.peer);
            reply.array(3);
            reply.bulk_str(host);
            reply.bulk_str(&port.to_string());
            reply.bulk_str(&matched.map_or(0, |follower| follower.1).to_string());
        }
        return;
    }
    let leader = nodes.iter().find(|node| node.peer == status.leader);
    let (host, port) = leader.map_or(("?", 0), |node| host_and_port(&node.client_address));
    reply.array(5);
    reply.bulk_str(words::FOLLOWER_ROLE);
    reply.bulk_str(host);
    reply.integer(i64::from(port));
    reply.bulk_str(match leader {
        Some(leader) if leader.connected => "connected",
        Some(_) => "connecting",
        None => "connect",
    });
    reply.integer(status.applied_index as i64);
}

/// Host and port of `host:port`; `?` and 0 for anything else.
pub(super) fn host_and_port(address: &str) -> (&str, u16) {
    let split = address.rsplit_once(':');
    let parsed = split.and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)));
    parsed.unwrap_or(("?", 0))
}

fn slowlog_get(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    if request.len() > 3 {
        let text = words::subcommand_syntax("SLOWLOG", request.get(1));
        return local.reply(out).error_bytes(&text);
    }
    let mut count = SLOWLOG_DEFAULT_COUNT;
    if let Some(text) = request.try_get(2) {
        match parse_i64(text) {
            Some(number) if number >= -1 => count = number,
            _ => return local.reply(out).error(words::SLOWLOG_COUNT),
        }
    }
    let mut reply = local.session.reply(out);
    local.node.slowlog().render(count, &mut reply);
}

/// LATENCY HISTOGRAM [command…]: calls and a cumulative histogram in powers of two, per command.
fn latency_histogram(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let asked = request.skip(2);
    let wanted = |spec: &Spec| {
        let container = spec
            .name
            .split_once('|')
            .map_or(spec.name, |(container, _)| container);
        let named = |name: &[u8]| {
            name.eq_ignore_ascii_case(spec.name.as_bytes()) || name.eq_ignore_ascii_case(container.as_bytes())
        };
        asked.is_empty() || asked.iter().any(named)
    };
    let statistics = &local.node.metrics().commands;
    let used: Vec<&CommandStat> = with_subcommands()
        .filter(|spec| wanted(spec))
        .map(|spec| &statistics[spec.id.index()])
        .filter(|statistic| statistic.calls.get() > 0)
        .collect();
    let mut reply = local.reply(out);
    reply.map(used.len());
    for statistic in used {
        reply.bulk_str(statistic.name);
        reply.map(2);
        reply.bulk_str("calls");
        reply.integer(statistic.calls.get() as i64);
        reply.bulk_str("histogram_usec");
        let mut sum = 0;
        let cumulative = |(bucket, counter): (usize, &crate::telemetry::Counter)| {
            let count = counter.get();
            sum += count;
            (count > 0).then_some((1_i64 << bucket, sum))
        };
        let buckets: Vec<(i64, u64)> = statistic
            .latency
            .iter()
            .enumerate()
            .filter_map(cumulative)
            .collect();
        reply.map(buckets.len());
        for (microseconds, count) in buckets {
            reply.integer(microseconds);
            reply.integer(count as i64);
        }
    }
}

fn status(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let json = Report::of(&local.node.fresh_status()).to_json();
    local.reply(out).bulk_str(&json);
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        assert_eq!(host_and_port("127.0.0.1:6379"), ("127.0.0.1", 6379));
        assert_eq!(host_and_port("[::1]:6379"), ("::1", 6379));
        assert_eq!(host_and_port(""), ("?", 0));
    }
}
