//! What clients see when the leader is killed, freezes, or is asked to stop; for Repligo and for Redis with
//! three Sentinels.

use super::Extent;
use crate::bench::load::Latency;
use crate::bench::load::open::{self, Acknowledged};
use crate::bench::load::target::{PATIENCE, Target};
use crate::bench::process::signal;
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row, Table, Timeline, sorted, spread};
use crate::bench::servers::redis::{self, Patience};
use crate::bench::servers::{Group, repligo};
use crate::run::{Failure, Outcome};

/// Seconds of load before the fault.
const BEFORE: f64 = 3.0;
/// Length of an interval of the timeline.
const INTERVAL_US: u64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    Planned,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Killed, Self::Frozen, Self::Planned];

    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Planned => "planned",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum System {
    Repligo,
    Redis(Patience, &'static str),
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Repligo => "Repligo",
            Self::Redis(_, name) => name,
        }
    }

    /// How long the load goes on after the fault.
    fn seconds_after(self) -> f64 {
        match self {
            Self::Repligo => 6.0,
            Self::Redis(patience, _) => f64::from(patience.down_after_ms) / 1e3 + 8.0,
        }
    }
}

/// What one fault did.
struct Found {
    gap_seconds: f64,
    longest_seconds: f64,
    lost: u64,
    writes: u64,
    timeline: Timeline,
}

/// All faults on all systems. Redis with Sentinel's defaults once, and not in a quick run: it takes 45 s each.
///
/// # Errors
/// A server failed, writes did not go on after a fault, or Repligo lost an acknowledged write.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    row.method.push(format!(
        "Three nodes; {} clients write {} times per second in all in an open loop, each write to a key of its own and repeated \
         until it is acknowledged; its latency counts from when it was due. After {BEFORE} s the leader gets SIGKILL \
         (killed), SIGSTOP (frozen) or is asked to go (planned: SIGTERM for Repligo, `SENTINEL FAILOVER` for Redis). All clients \
         begin at the leader, wait {} ms for a reply, and then turn to the next node (Repligo) or ask a Sentinel (Redis), which also tells them at once when it has \
         made another the primary. The \
         gap is the longest time in which no client got an acknowledgement. Repligo with `--durability os`; Redis 7 with two \
         replicas, no files, no WAIT, three Sentinels with quorum 2: tuned (`down-after-milliseconds 1000`, `failover-timeout 5000`), \
         or default (30000, 180000; once). Lost: acknowledged writes that the new leader does not have.",
        open::CLIENTS,
        open::RATE,
        PATIENCE.as_millis()
    ));
    row.tables.push(Table {
        title: "Through a fault".to_owned(),
        header: [
            "system",
            "leader",
            "runs",
            "gap, s",
            "longest write, s",
            "acknowledged writes lost",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: Vec::new(),
    });
    let tuned = System::Redis(Patience::TUNED, "Redis + Sentinel, tuned");
    let mut cases = Vec::new();
    for fault in Fault::ALL {
        cases.push((System::Repligo, fault, extent.repeats));
        cases.push((tuned, fault, extent.repeats));
    }
    if !extent.quick {
        let default = System::Redis(Patience::DEFAULT, "Redis + Sentinel, default");
        cases.push((default, Fault::Killed, 1));
        cases.push((default, Fault::Frozen, 1));
    }
    // One case that fails must not hide the others.
    let failures: Vec<String> = cases
        .into_iter()
        .filter_map(|(system, fault, repeats)| several(system, fault, repeats, row).err())
        .map(|failure| failure.message)
        .collect();
    if !failures.is_empty() {
        return Err(Failure::new(failures.join("; ")));
    }
    row.verified
        .push("after each fault every acknowledged write was looked for at the new leader".to_owned());
    Ok(())
}

fn several(system: System, fault: Fault, repeats: u32, row: &mut Row) -> Outcome {
    let mut all = Vec::new();
    for repeat in 1..=repeats {
        let what = format!(
            "{}, leader {}, {repeat} of {repeats}",
            system.name(),
            fault.name()
        );
        let found =
            once(system, fault).map_err(|failure| Failure::new(format!("{what}: {}", failure.message)))?;
        note(&format!(
            "{what}: gap {:.3} s, longest write {:.3} s, {} of {} acknowledged writes lost",
            found.gap_seconds, found.longest_seconds, found.lost, found.writes
        ));
        all.push(found);
    }
    let gaps = sorted(all.iter().map(|found| found.gap_seconds).collect());
    let longest = sorted(all.iter().map(|found| found.longest_seconds).collect());
    let lost: u64 = all.iter().map(|found| found.lost).sum();
    let writes: u64 = all.iter().map(|found| found.writes).sum();
    row.tables[0].rows.push(vec![
        system.name().to_owned(),
        fault.name().to_owned(),
        repeats.to_string(),
        spread(&gaps, 3),
        spread(&longest, 3),
        format!("{lost} of {writes}"),
    ]);
    if fault == Fault::Killed {
        // The run whose gap is the median one stands for the others in the plot.
        all.sort_by(|a, b| a.gap_seconds.total_cmp(&b.gap_seconds));
        let middle = all.swap_remove(all.len() / 2);
        row.timelines.push(middle.timeline);
    }
    if matches!(system, System::Repligo) {
        judge(row, fault, &gaps);
        if lost > 0 {
            return Err(Failure::new(format!("Repligo lost {lost} acknowledged writes")));
        }
    }
    Ok(())
}

/// The goal is a p99; of so few runs the largest gap is judged.
fn judge(row: &mut Row, fault: Fault, gaps: &[f64]) {
    let bound = match fault {
        Fault::Killed => 0.5,
        Fault::Frozen => 1.5,
        Fault::Planned => 0.05,
    };
    let largest = gaps.last().copied().unwrap_or(f64::NAN);
    let mut goal = Goal::judge(
        format!("gap, leader {} (the largest of the runs)", fault.name()),
        Bound::AtMost(bound),
        " s",
        &[largest],
    );
    goal.measured = format!("{largest:.3} s");
    row.goals.push(goal);
}

fn once(system: System, fault: Fault) -> Outcome<Found> {
    let mut nodes = match system {
        System::Repligo => repligo::cluster("os")?,
        System::Redis(..) => redis::replicated(redis::Persistence::None)?,
    };
    let mut watchers = match system {
        System::Repligo => None,
        System::Redis(patience, _) => Some(redis::sentinels(&nodes, patience)?),
    };
    let target = match &watchers {
        None => {
            let mut ports = nodes.ports.clone();
            ports.rotate_left(nodes.entry);
            Target::AnyOf(ports)
        }
        Some(sentinels) => Target::Sentinels(sentinels.ports.clone()),
    };
    let pid = nodes.server().pid();
    let sentinel = watchers.as_ref().map(Group::port);
    let inject = move || match (fault, sentinel) {
        (Fault::Killed, _) => done(|| signal(pid, "KILL")),
        (Fault::Frozen, _) => done(|| signal(pid, "STOP")),
        (Fault::Planned, None) => done(|| signal(pid, "TERM")),
        (Fault::Planned, Some(port)) => redis::planned_failover(port),
    };
    let seconds = BEFORE + system.seconds_after();
    let acknowledged = open::run(&target, seconds, BEFORE, inject)?;
    let found = judge_run(system, fault, &acknowledged, &nodes);
    if fault == Fault::Frozen {
        signal(pid, "KILL");
    }
    if let Some(watchers) = &mut watchers {
        watchers.stop();
    }
    nodes.stop();
    found
}

fn done(action: impl FnOnce()) -> Outcome {
    action();
    Ok(())
}

fn judge_run(system: System, fault: Fault, acknowledged: &[Acknowledged], nodes: &Group) -> Outcome<Found> {
    let seconds = BEFORE + system.seconds_after();
    let last = acknowledged.last().map_or(0, |write| write.done_us) as f64 / 1e6;
    if last < seconds - 0.5 {
        return Err(Failure::new(format!(
            "writes did not go on within {:.0} s after the fault: the last acknowledgement came {:.1} s after it",
            seconds - BEFORE,
            last - BEFORE
        )));
    }
    let fault_us = (BEFORE * 1e6) as u64;
    let (gap_seconds, longest_seconds) = open::gap_seconds(acknowledged, fault_us);
    let survivors: Vec<u16> = nodes
        .ports
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != nodes.entry)
        .map(|(_, port)| *port)
        .collect();
    let port = survivors[leader(&survivors)?];
    let title = format!("{}, leader {}", system.name(), fault.name());
    Ok(Found {
        gap_seconds,
        longest_seconds,
        lost: count_lost(port, acknowledged)?,
        writes: acknowledged.len() as u64,
        timeline: Timeline {
            title,
            points: points(acknowledged, fault_us),
            gap_seconds,
        },
    })
}

/// Both say by ROLE who leads.
fn leader(ports: &[u16]) -> Outcome<usize> {
    repligo::leader(ports).map_err(|_| Failure::new("no survivor leads"))
}

/// Acknowledged writes whose value is not there.
fn count_lost(port: u16, acknowledged: &[Acknowledged]) -> Outcome<u64> {
    let mut client = Client::connect(port)?;
    let mut lost = 0;
    for writes in acknowledged.chunks(100) {
        for write in writes {
            client.send(&["GET", &open::key(write.number)])?;
        }
        for write in writes {
            if client.receive()?.text() != write.number.to_string() {
                lost += 1;
            }
        }
    }
    Ok(lost)
}

fn points(acknowledged: &[Acknowledged], fault_us: u64) -> Vec<(f64, f64, f64)> {
    let mut by_due = acknowledged.to_vec();
    by_due.sort_unstable_by_key(|write| write.due_us);
    by_due
        .chunk_by(|a, b| a.due_us / INTERVAL_US == b.due_us / INTERVAL_US)
        .map(|writes| {
            let all = writes.iter().map(|write| write.done_us - write.due_us);
            let latency = Latency::of(all.map(|us| u32::try_from(us).unwrap_or(u32::MAX)).collect());
            let begin = writes[0].due_us / INTERVAL_US * INTERVAL_US;
            let at = begin as f64 / 1e6 - fault_us as f64 / 1e6;
            (at, latency.p50 / 1e3, latency.p99 / 1e3)
        })
        .collect()
}
