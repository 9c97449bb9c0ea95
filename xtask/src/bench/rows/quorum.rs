//! SETs that a majority of three nodes holds before they are acknowledged.

use super::{Extent, System, alternate};
use crate::bench::load::closed::{self, Load};
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::check_sample;
use crate::bench::load::{Sample, fill};
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Comparison, Goal, Row};
use crate::bench::servers::{Group, etcd, redis, repligo};
use crate::run::{Failure, Outcome};

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 32;

/// Written, not synced: against Redis with WAIT 1 and no file.
///
/// # Errors
/// A server failed, or a check.
pub fn os(extent: Extent, row: &mut Row) -> Outcome {
    row.method.push(
        "Repligo with `--durability os`: a majority has written it to its log. Redis with `appendonly no` on all three, \
         each SET followed by `WAIT 1`: a replica has it in memory."
            .to_owned(),
    );
    let mut groups = [
        repligo::cluster("os")?,
        redis::replicated(redis::Persistence::None)?,
    ];
    compare(extent, row, &[("repligo", &groups[0]), ("redis", &groups[1])])?;
    judge(row, 10.0);
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

/// Synced: against Redis with appendfsync always and WAIT 1, and etcd.
///
/// # Errors
/// A server failed, or a check.
pub fn fsync(extent: Extent, row: &mut Row) -> Outcome {
    row.method.push(
        "Repligo with `--durability fsync`: a majority has synced it. Redis with `appendonly yes`, `appendfsync always` on \
         all three, each SET followed by `WAIT 1`: the primary has synced it and a replica has received it. etcd with its \
         defaults (always synced), Put over gRPC to the leader, one connection per client."
            .to_owned(),
    );
    let mut groups = [
        repligo::cluster("fsync")?,
        redis::replicated(redis::Persistence::FsyncAlways)?,
        etcd::cluster()?,
    ];
    let systems = [
        ("repligo", &groups[0]),
        ("redis", &groups[1]),
        ("etcd", &groups[2]),
    ];
    compare(extent, row, &systems)?;
    judge(row, 18.0);
    for comparison in &row.comparisons {
        row.goals.push(Goal::judge(
            format!("{}, synced: throughput against etcd", comparison.title),
            Bound::AtLeast(5.0),
            "×",
            &comparison.ratios("etcd", Sample::throughput),
        ));
    }
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

fn compare(extent: Extent, row: &mut Row, groups: &[(&'static str, &Group)]) -> Outcome {
    row.method.push(format!(
        "{KEYS} keys of 16 bytes, values of {VALUE_BYTES} bytes; clients are connected to the leader (the primary) and are \
         driven by our own client, one thread, which checks every reply. CPU is that of all three server processes."
    ));
    for (name, group) in groups.iter().filter(|(name, _)| *name != "etcd") {
        fill::fill(group.port(), Kind::Set, KEYS, VALUE_BYTES)
            .map_err(|failure| Failure::new(format!("{name}: {}", failure.message)))?;
    }
    let systems: Vec<System<'_>> = groups
        .iter()
        .map(|(name, group)| System::of(name, group))
        .collect();
    for connections in [50, 256] {
        let title = format!("quorum SET, {connections} clients");
        let comparison = alternate(&title, extent.repeats, &systems, |system| {
            let kind = match system.name {
                "etcd" => Kind::EtcdPut,
                "redis" => Kind::SetWait,
                _ => Kind::Set,
            };
            let load = Load {
                kind,
                connections,
                pipeline: 1,
                keys: KEYS,
                value_bytes: VALUE_BYTES,
                seconds: extent.pick(3.0, 1.5),
                turns: None,
                rate: None,
            };
            closed::run(system.port, load)
        })?;
        row.comparisons.push(comparison);
    }
    groups
        .iter()
        .try_for_each(|(name, group)| check(row, name, group))
}

/// Every node must hold what was written.
fn check(row: &mut Row, name: &str, group: &Group) -> Outcome {
    if name == "etcd" {
        let counts: Vec<u64> = group
            .ports
            .iter()
            .map(|port| etcd::key_count(*port))
            .collect::<Outcome<_>>()?;
        if counts[0] == 0 || counts[0] > KEYS || counts.iter().any(|count| *count != counts[0]) {
            return Err(Failure::new(format!("etcd's members hold {counts:?} keys")));
        }
        row.verified
            .push(format!("each member of etcd holds {} keys", counts[0]));
        return Ok(());
    }
    for port in &group.ports {
        let mut client = Client::connect(*port)?;
        if name == "repligo" {
            client.ask(&["READONLY"])?;
        }
        let count = client.key_count()?;
        if count != KEYS {
            return Err(Failure::new(format!(
                "{name} on port {port} holds {count} keys, not {KEYS}"
            )));
        }
        check_sample(*port, KEYS, VALUE_BYTES, name == "repligo")?;
    }
    row.verified.push(format!(
        "each of the three nodes of {name} holds {KEYS} keys; 1000 of each were read and are right"
    ));
    Ok(())
}

fn judge(row: &mut Row, cpu_us: f64) {
    let durability = if cpu_us > 10.0 { "synced" } else { "not synced" };
    let mut goals = Vec::new();
    for comparison in &row.comparisons {
        let what = |measure: &str| format!("{}, {durability}: {measure}", comparison.title);
        if is_first(comparison) {
            goals.push(Goal::judge(
                what("CPU of all nodes per SET"),
                Bound::AtMost(cpu_us),
                " µs",
                &comparison.values("repligo", Sample::cpu_us),
            ));
        }
        let throughput = comparison.ratios("redis", Sample::throughput);
        goals.push(
            Goal::judge(
                what("throughput against Redis + WAIT 1"),
                Bound::AtLeast(2.0),
                "×",
                &throughput,
            )
            .informative(),
        );
    }
    row.goals.extend(goals);
}

fn is_first(comparison: &Comparison) -> bool {
    comparison.title.contains(" 50 ")
}
