//! GET and SET on one node without persistence, with so many keys that memory latency counts.

use super::{Extent, System, alternate};
use crate::bench::load::closed::{self, Load};
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::{check_sample, fill};
use crate::bench::load::{Sample, redis_benchmark};
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Comparison, Goal, Row};
use crate::bench::servers::{Group, constant, memcached, redis, repligo};
use crate::run::{Failure, Outcome};

/// Bytes of a value.
pub(super) const VALUE_BYTES: usize = 32;
const CLIENTS: u32 = 50;

fn keys(extent: Extent) -> u64 {
    extent.pick(1_000_000, 200_000)
}

fn check_keys(row: &mut Row, system: &System<'_>, keys: u64, when: &str) -> Outcome {
    let name = system.name;
    let count = Client::connect(system.port)?.key_count()?;
    if count != keys {
        return Err(Failure::new(format!("{name} holds {count} keys, not {keys}")));
    }
    let samples = check_sample(system.port, keys, VALUE_BYTES, false)?;
    row.verified.push(format!(
        "{name} holds {count} keys {when}; {samples} read by a second client are right"
    ));
    Ok(())
}

/// What `redis-benchmark` is told for a test and a pipeline.
pub(super) fn options(
    extent: Extent,
    (test, pipeline): (&'static str, u32),
    keys: u64,
) -> redis_benchmark::Options {
    redis_benchmark::Options {
        test,
        clients: CLIENTS,
        pipeline,
        requests: match pipeline {
            1 => extent.pick(300_000, 100_000),
            _ => extent.pick(2_000_000, 500_000),
        },
        keys,
        value_bytes: VALUE_BYTES,
    }
}

/// Against Redis.
///
/// # Errors
/// A server failed, or a check.
pub fn get_set(extent: Extent, row: &mut Row) -> Outcome {
    let keys = keys(extent);
    let options = |test, pipeline| options(extent, (test, pipeline), keys);
    let mut groups = [repligo::single("none")?, redis::single()?, constant::single()?];
    let [ours, theirs, nothing] = &groups;
    let systems = [
        System::of("repligo", ours),
        System::of("redis", theirs),
        System::of("constant", nothing),
    ];
    let stores = &systems[..2];
    for system in stores {
        note(&format!("filling {}", system.name));
        fill(system.port, Kind::Set, keys, VALUE_BYTES)?;
        check_keys(row, system, keys, "after loading")?;
    }
    row.method.push(format!(
        "{keys} keys of 16 bytes with values of {VALUE_BYTES} bytes; Repligo with `--durability none`, Redis with \
         `--save \"\" --appendonly no`. Pipelines 1 and 16: `{}` and so on. Pipeline 64: our own client (one thread), because \
         `redis-benchmark` would be the bottleneck; it checks every reply.",
        options("get", 1).command("PORT")
    ));
    row.method.push(
        "`constant` is a loop around epoll_wait, recv and send that parses nothing and answers every request with the same \
         bytes: what it costs is the kernel's part, below which no server with these system calls can be."
            .to_owned(),
    );
    for (test, pipeline) in [("get", 1), ("set", 1), ("get", 16), ("set", 16)] {
        let title = format!("{}, pipeline {pipeline}", test.to_ascii_uppercase());
        let comparison = alternate(&title, extent.repeats, &systems, |system| {
            redis_benchmark::run(system.port, options(test, pipeline))
        })?;
        row.comparisons.push(comparison);
    }
    row.comparisons
        .push(alternate("GET, pipeline 64", extent.repeats, stores, |system| {
            closed::run(system.port, load(extent, Kind::Get, 64))
        })?);
    for system in stores {
        check_keys(row, system, keys, "at the end")?;
    }
    judge(row);
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

fn load(extent: Extent, kind: Kind, pipeline: usize) -> Load {
    Load {
        kind,
        connections: u64::from(CLIENTS),
        pipeline,
        keys: keys(extent),
        value_bytes: VALUE_BYTES,
        seconds: extent.pick(2.0, 1.0),
        turns: None,
        rate: None,
    }
}

fn judge(row: &mut Row) {
    let cpu = |comparison: &Comparison| comparison.ratios("redis", Sample::cpu_us);
    let bounds = [0.70, f64::NAN, 0.25, 0.30, 0.15];
    let mut goals = Vec::new();
    for (comparison, bound) in row.comparisons.iter().zip(bounds) {
        let what = |measure: &str| format!("{}: {measure} against Redis", comparison.title);
        if !bound.is_nan() {
            goals.push(Goal::judge(
                what("CPU per operation"),
                Bound::AtMost(bound),
                "×",
                &cpu(comparison),
            ));
        }
        if comparison.title == "GET, pipeline 1" {
            let throughput = comparison.ratios("redis", Sample::throughput);
            let p99 = comparison.ratios("redis", |sample| sample.latency.p99);
            goals.push(Goal::judge(what("throughput"), Bound::AtLeast(1.4), "×", &throughput).informative());
            goals.push(Goal::judge(what("p99"), Bound::AtMost(0.8), "×", &p99).informative());
        }
    }
    row.goals.extend(goals);
}

/// Against memcached, with Redis beside it, all driven by our own client.
///
/// # Errors
/// A server failed, or a check.
pub fn memcached(extent: Extent, row: &mut Row) -> Outcome {
    let keys = keys(extent);
    let mut groups = [repligo::single("none")?, memcached::single()?, redis::single()?];
    let [ours, cached, theirs] = &groups;
    let systems = [
        System::of("repligo", ours),
        System::of("memcached", cached),
        System::of("redis", theirs),
    ];
    for system in &systems {
        note(&format!("filling {}", system.name));
        let kind = if system.name == "memcached" {
            Kind::MemcachedSet(0)
        } else {
            Kind::Set
        };
        fill(system.port, kind, keys, VALUE_BYTES)?;
    }
    row.method.push(format!(
        "{keys} keys of 16 bytes with values of {VALUE_BYTES} bytes; memcached with one thread and its text protocol; \
         all driven by our own client (one thread, {CLIENTS} connections), which checks every reply. No goal is set."
    ));
    let kinds = [
        ("GET, pipeline 1", Kind::Get, Kind::MemcachedGet),
        ("SET, pipeline 1", Kind::Set, Kind::MemcachedSet(0)),
    ];
    for (title, kind, kind_of_memcached) in kinds {
        row.comparisons
            .push(alternate(title, extent.repeats, &systems, |system| {
                let kind = if system.name == "memcached" {
                    kind_of_memcached
                } else {
                    kind
                };
                closed::run(system.port, load(extent, kind, 1))
            })?);
    }
    row.verified
        .push("every reply of the load was compared with what its key must hold".to_owned());
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}
