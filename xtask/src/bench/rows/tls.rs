//! What TLS costs: for clients beside Redis with TLS, and between the nodes.

use super::{Extent, System, alternate};
use crate::bench::load::closed::{self, Load};
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::{check_sample, fill};
use crate::bench::load::handshakes::{self, Kind as Handshake};
use crate::bench::load::{Sample, redis_benchmark};
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row};
use crate::bench::servers::{Group, Pki, redis, repligo};
use crate::run::{Failure, Outcome};

const VALUE_BYTES: usize = 32;
const CLIENTS: u32 = 50;
const PIPELINE: u32 = 16;
const PEER_KEYS: u64 = 100_000;
/// Names of the sides in plain text.
const PLAIN: [&str; 2] = ["repligo, plain text", "redis, plain text"];

/// GET and SET in pipelines, and handshakes, each server over TLS and in plain text.
///
/// # Errors
/// A server failed, or a check.
pub fn clients(extent: Extent, row: &mut Row) -> Outcome {
    let keys = extent.pick(1_000_000, 100_000);
    let pki = Pki::fresh()?;
    let (ours, our_tls) = repligo::single_with_tls(&pki)?;
    let (theirs, their_tls) = redis::single_with_tls(&pki)?;
    let mut groups = [ours, theirs];
    let over_tls = |name, group, port| System {
        port,
        ..System::of(name, group)
    };
    let systems = [
        over_tls("repligo", &groups[0], our_tls),
        System::of(PLAIN[0], &groups[0]),
        over_tls("redis", &groups[1], their_tls),
        System::of(PLAIN[1], &groups[1]),
    ];
    for system in [&systems[1], &systems[3]] {
        note(&format!("filling {}", system.name));
        fill(system.port, Kind::Set, keys, VALUE_BYTES)?;
    }
    describe(extent, row, keys);
    for test in ["get", "set"] {
        let options = options(extent, test, keys);
        let title = format!("{}, pipeline {PIPELINE}", test.to_ascii_uppercase());
        let comparison = alternate(&title, extent.repeats, &systems, |system| {
            match PLAIN.contains(&system.name) {
                true => redis_benchmark::run(system.port, options),
                false => redis_benchmark::run_over_tls(system.port, options, &pki.authority()),
            }
        })?;
        row.comparisons.push(comparison);
    }
    let both = [
        over_tls("repligo", &groups[0], our_tls),
        over_tls("redis", &groups[1], their_tls),
    ];
    for (title, kind) in [
        ("handshakes in full", Handshake::Full),
        ("handshakes with resumption", Handshake::Resumed),
    ] {
        let comparison = alternate(title, extent.repeats, &both, |system| {
            handshakes::run(system.port, kind, &pki.authority(), extent.pick(3.0, 1.5))
        })?;
        row.comparisons.push(comparison);
    }
    for system in [&systems[1], &systems[3]] {
        let samples = check_sample(system.port, keys, VALUE_BYTES, false)?;
        row.verified.push(format!(
            "{samples} keys of {} read by a second client are right at the end",
            system.name
        ));
    }
    judge_clients(row);
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

fn options(extent: Extent, test: &'static str, keys: u64) -> redis_benchmark::Options {
    redis_benchmark::Options {
        test,
        clients: CLIENTS,
        pipeline: PIPELINE,
        requests: extent.pick(2_000_000, 500_000),
        keys,
        value_bytes: VALUE_BYTES,
    }
}

fn describe(extent: Extent, row: &mut Row, keys: u64) {
    row.method.push(format!(
        "{keys} keys of 16 bytes with values of {VALUE_BYTES} bytes; each server is one process that listens in plain text \
         and over TLS, with the same certificate (`repligo cert server`); Repligo with `--durability none`, Redis with \
         `--save \"\" --appendonly no --tls-port`. `{}`, over TLS with `--tls --cacert FILE`.",
        options(extent, "get", keys).command("PORT")
    ));
    row.method.push(
        "A handshake is TLS 1.3, one PING and its answer; four clients of our own, which check that each handshake was \
         resumed, or was not."
            .to_owned(),
    );
}

fn judge_clients(row: &mut Row) {
    let per_cpu = |sample: &Sample| 1.0 / sample.cpu_us();
    let mut goals = Vec::new();
    for (place, comparison) in row.comparisons.iter().enumerate() {
        let title = &comparison.title;
        if place < 2 {
            goals.push(Goal::judge(
                format!("{title}: operations per CPU over TLS against plain text"),
                Bound::AtLeast(0.8),
                "×",
                &comparison.ratios(PLAIN[0], per_cpu),
            ));
        }
        let against_redis = Goal::judge(
            format!("{title}: CPU of one over TLS against Redis over TLS"),
            Bound::AtMost(1.0),
            "×",
            &comparison.ratios("redis", Sample::cpu_us),
        );
        goals.push(against_redis.informative());
    }
    row.goals.extend(goals);
}

/// Writes that a majority holds, with peer links as they are and with plain ones.
///
/// # Errors
/// A server failed, or a check.
pub fn peers(extent: Extent, row: &mut Row) -> Outcome {
    row.method.push(format!(
        "{PEER_KEYS} keys of 16 bytes, values of {VALUE_BYTES} bytes, `--durability os`; clients in plain text at the leader, \
         driven by our own client, one thread, which checks every reply. The other cluster has `--insecure-peers`. CPU is \
         that of all three nodes."
    ));
    let mut groups = [repligo::cluster("os")?, repligo::cluster_without_tls("os")?];
    let systems = [
        System::of("repligo", &groups[0]),
        System::of("repligo, plain links", &groups[1]),
    ];
    for system in &systems {
        fill(system.port, Kind::Set, PEER_KEYS, VALUE_BYTES)?;
    }
    for connections in [50, 256] {
        let title = format!("quorum SET, {connections} clients");
        let comparison = alternate(&title, extent.repeats, &systems, |system| {
            let load = Load {
                kind: Kind::Set,
                connections,
                pipeline: 1,
                keys: PEER_KEYS,
                value_bytes: VALUE_BYTES,
                seconds: extent.pick(3.0, 1.5),
                turns: None,
                rate: None,
            };
            closed::run(system.port, load)
        })?;
        row.goals.push(Goal::judge(
            format!("{title}: throughput with TLS between the nodes against without"),
            Bound::AtLeast(0.85),
            "×",
            &comparison.ratios(systems[1].name, Sample::throughput),
        ));
        row.comparisons.push(comparison);
    }
    for (system, group) in systems.iter().zip(&groups) {
        check(row, system.name, group)?;
    }
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

/// Every node must hold what was written.
fn check(row: &mut Row, name: &str, group: &Group) -> Outcome {
    for port in &group.ports {
        let mut client = Client::connect(*port)?;
        client.ask(&["READONLY"])?;
        let count = client.key_count()?;
        if count != PEER_KEYS {
            let message = format!("{name} on port {port} holds {count} keys, not {PEER_KEYS}");
            return Err(Failure::new(message));
        }
    }
    row.verified.push(format!(
        "each of the three nodes of {name} holds {PEER_KEYS} keys"
    ));
    Ok(())
}
