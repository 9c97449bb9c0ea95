//! Whether reads on followers add up: what a GET costs a follower after READONLY, against a single node.

use super::{Extent, System, alternate};
use crate::bench::load::closed::{self, Load};
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::{check_sample, fill};
use crate::bench::results::{Bound, Comparison, Goal, Row, sorted};
use crate::bench::servers::{Group, repligo};
use crate::run::Outcome;

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 32;

/// One single node, and the leader and a follower of three.
///
/// # Errors
/// A server failed, or a check.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    row.method.push(format!(
        "{KEYS} keys; our own client asks a single node (`--durability none`), the leader of three nodes, and one of its \
         followers after READONLY. CPU is that of the asked process alone. Three processes on few cores cannot show more \
         throughput; what three machines could do follows from the CPU per GET: one over that of the leader plus two over \
         that of a follower, against one over that of the single node."
    ));
    let (mut single, mut cluster) = (repligo::single("none")?, repligo::cluster("os")?);
    for group in [&single, &cluster] {
        fill(group.port(), Kind::Set, KEYS, VALUE_BYTES)?;
    }
    let follower = (cluster.entry + 1) % cluster.ports.len();
    let samples = check_sample(cluster.ports[follower], KEYS, VALUE_BYTES, true)?;
    row.verified.push(format!(
        "{samples} keys read on the follower are right; so was every reply of the load"
    ));
    let systems = [
        one("follower", &cluster, follower),
        one("leader", &cluster, cluster.entry),
        one("single node", &single, 0),
    ];
    for pipeline in [1, 16] {
        let title = format!("GET, pipeline {pipeline}");
        let mut comparison = alternate(&title, extent.repeats, &systems, |system| {
            let load = Load {
                kind: if system.name == "follower" {
                    Kind::GetReadonly
                } else {
                    Kind::Get
                },
                connections: 50,
                pipeline,
                keys: KEYS,
                value_bytes: VALUE_BYTES,
                seconds: extent.pick(2.0, 1.0),
                turns: None,
                rate: None,
            };
            closed::run(system.port, load)
        })?;
        row.goals.push(Goal::judge(
            format!("{title}: read capacity of three nodes against one, by CPU"),
            Bound::AtLeast(2.5),
            "×",
            &capacity(&comparison),
        ));
        comparison.title = format!("{title} on one node");
        row.comparisons.push(comparison);
    }
    single.stop();
    cluster.stop();
    Ok(())
}

/// Capacity of a leader and two followers, in single nodes, repeat by repeat, sorted.
fn capacity(comparison: &Comparison) -> Vec<f64> {
    let [follower, leader, single] = [0, 1, 2].map(|index| &comparison.sides[index].samples);
    let repeats = follower.iter().zip(leader).zip(single);
    sorted(
        repeats
            .map(|((follower, leader), single)| {
                single.cpu_us() * (1.0 / leader.cpu_us() + 2.0 / follower.cpu_us())
            })
            .collect(),
    )
}

/// One process of a group, alone.
fn one<'a>(name: &'static str, group: &'a Group, index: usize) -> System<'a> {
    System {
        name,
        port: group.ports[index],
        spending: vec![&group.servers[index]],
    }
}
