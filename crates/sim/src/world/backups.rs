//! Backups of the running cluster, and new clusters that begin with them.
//!
//! As the tool does it: a node that has applied everything which the leader knew when the backup was asked for is asked
//! for a snapshot, and what it then has on its disk is taken. In the end each becomes the first node of another cluster
//! of one, of the next generation, which has to serve. Judged is what that node holds before it has done anything:
//! exactly the state that replicas had at that index, and key by key what clients had been told
//! ([`crate::check::restored`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_core::backup::founding;
use repligo_core::contract::{Boot, HardState, HashSeed, Identity, Input, Outputs, PeerId, Settings};
use repligo_core::keyspace::Known;
use repligo_core::limits::TICK_US;
use repligo_core::membership::Membership;
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_proto::resp::Value;

use super::keys::{Class, name};
use super::outcome::outcome;
use super::queue::Micros;
use super::{Event, Phase, World};
use crate::check::Violation;
use crate::check::restored::{self, Span};
use crate::history::{Action, Operation, Outcome};
use crate::random::Random;

/// Distance between two looks at what is under way.
const LOOK_US: Micros = 20_000;
/// Backups per run.
const COUNT: usize = 2;
/// A node that has made no snapshot after so long is given up.
const PATIENCE_US: Micros = 5_000_000;
/// A cluster of one serves within so many ticks.
const SERVES_TICKS: u64 = 200;

/// A snapshot that somebody waits for.
#[derive(Clone, Copy, Debug)]
struct Pending {
    node: PeerId,
    life: u32,
    asked: Micros,
    /// The leader knew as much to be committed.
    commit: u64,
    /// What the snapshot has to hold, once the node was asked for it.
    index: Option<u64>,
}

/// What was taken.
#[derive(Debug)]
struct Backup {
    span: Span,
    index: u64,
    term: u64,
    chunks: Vec<Bytes>,
}

/// All backups of a run.
#[derive(Debug)]
pub struct Backups {
    /// Of its own, so that runs without backups are what they were.
    random: Random,
    /// When the first one is asked for; none in most runs.
    pub(super) first_at: Option<Micros>,
    pending: Option<Pending>,
    taken: Vec<Backup>,
}

impl Backups {
    /// What a seed does.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xBAC0_0B5E);
        let first_at = random.chance(250).then(|| random.between(1_500_000, 8_000_000));
        Self {
            random,
            first_at,
            pending: None,
            taken: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn on_backup(&mut self) {
        if self.phase >= Phase::Draining || self.backups.taken.len() == COUNT {
            return;
        }
        match self.backups.pending.take() {
            None => self.begin_backup(),
            Some(pending) => self.go_on_with_backup(pending),
        }
        let pause = match self.backups.pending {
            Some(_) => LOOK_US,
            None => self.backups.random.between(LOOK_US, 2_000_000),
        };
        self.context.queue.after(pause, Event::Backup);
    }

    /// Whoever asks reads linearizably first: the node has to know what the leader knows now.
    fn begin_backup(&mut self) {
        let asked = self.context.queue.now();
        let mut nodes = self.nodes_alive();
        let leader = nodes.iter().find_map(|node| {
            let machine = &self.machines[*node as usize - 1];
            let replica = machine.process.as_ref().filter(|_| machine.is_awake(asked))?;
            replica.replica()?.lease_position(machine.clock.read(asked))
        });
        let Some((_, commit)) = leader else { return };
        nodes.retain(|node| self.machines[*node as usize - 1].process.is_some());
        let node = *self.backups.random.pick(&nodes);
        let Some(process) = &self.machines[node as usize - 1].process else {
            return;
        };
        self.backups.pending = Some(Pending {
            node,
            life: process.life(),
            asked,
            commit,
            index: None,
        });
    }

    fn go_on_with_backup(&mut self, mut pending: Pending) {
        let now = self.context.queue.now();
        if !self.is_life(pending.node, pending.life) || now > pending.asked + PATIENCE_US {
            return;
        }
        let machine = self.machine(pending.node);
        let is_awake = machine.is_awake(now);
        let Some(replica) = machine.process.as_mut().and_then(|process| process.replica_mut()) else {
            return;
        };
        match pending.index {
            None if is_awake && replica.shown().1 >= pending.commit => {
                match replica.ask_for_snapshot() {
                    Ok(index) => pending.index = Some(index),
                    Err(_) => return,
                };
            }
            Some(index) => {
                if let Some(saved) = machine.disk.snapshot.clone().filter(|saved| saved.index >= index) {
                    self.context
                        .say(|| format!("backup of n{}: {} for {index}", pending.node, saved.index));
                    let span = Span {
                        asked: pending.asked,
                        taken: now,
                    };
                    let (index, term, chunks) = saved.into_parts();
                    self.backups.taken.push(Backup {
                        span,
                        index,
                        term,
                        chunks,
                    });
                    return;
                }
            }
            None => {}
        }
        self.backups.pending = Some(pending);
    }

    /// Founds a cluster with each backup, and judges what it holds.
    pub(super) fn judge_backups(&mut self) -> Result<(), Violation> {
        let taken = std::mem::take(&mut self.backups.taken);
        for backup in &taken {
            let mut founder = self.found(backup)?;
            self.judge_state(backup, &founder)?;
            self.judge_keys(backup, &founder)?;
            serves(&mut founder, Now::default()).map_err(|why| wrong(backup, why))?;
        }
        self.context.counts.backups += taken.len() as u64;
        Ok(())
    }

    fn found(&self, backup: &Backup) -> Result<Replica, Violation> {
        let membership = Membership::formed([("new".to_owned(), "new:1".to_owned())]);
        let mut chunks = backup.chunks.clone();
        let first = chunks.first_mut().ok_or_else(|| wrong(backup, "it is empty"))?;
        *first = founding(first.clone(), &membership)
            .map_err(|error| wrong(backup, format!("its first chunk: {error:?}")))?;
        let settings = Settings {
            identity: Identity {
                cluster_id: !0,
                generation: 2,
                peer: 1,
                incarnation: 1,
            },
            membership,
            durability: self.context.plan.durability,
            seed: self.context.plan.seed,
            hash_seed: HashSeed::from_number(7),
            origin: std::sync::Arc::new(super::origin::map(&self.context.plan)),
            log_bytes_max: self.context.plan.log_bytes_max,
        };
        let boot = Boot {
            hard_state: HardState {
                term: backup.term,
                vote: 0,
                commit: backup.index,
            },
            snapshot: Some((backup.index, backup.term, chunks)),
            entries: Vec::new(),
        };
        Ok(Replica::new(settings, boot, Now::default()))
    }

    /// The whole state, where replicas were looked at when they had applied just that; rows of an origin are not in it.
    fn judge_state(&self, backup: &Backup, founder: &Replica) -> Result<(), Violation> {
        if founder.shown().1 != backup.index {
            let why = format!("it begins at {}", founder.shown().1);
            return Err(wrong(backup, why));
        }
        let known = self.context.digests.at(backup.index);
        match known.filter(|_| !self.context.plan.origin) {
            Some(digest) if digest != founder.digest() => Err(wrong(backup, "it is of no state of the log")),
            _ => Ok(()),
        }
    }

    fn judge_keys(&self, backup: &Backup, founder: &Replica) -> Result<(), Violation> {
        let mut by_key: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
        for operation in &self.workload.history {
            by_key.entry(operation.key).or_default().push(operation.clone());
        }
        for (key, operations) in by_key {
            if let Some(restored) = read(founder, key).map_err(|why| wrong(backup, why))? {
                restored::check(&operations, restored, backup.span)?;
            }
        }
        Ok(())
    }
}

/// What the node holds of a key, as a client would read it; none for a class that is judged as a part of the state only.
fn read(founder: &Replica, key: u32) -> Result<Option<Outcome>, String> {
    let value = |ending: &str| match founder.keyspace().lookup(0, name(key, ending).as_bytes()) {
        Known::Value(value) => Value::Bulk(value.to_vec()),
        Known::Absent | Known::Negative => Value::Null,
    };
    let value = match Class::of(key) {
        Class::Register | Class::Mixed | Class::Counter | Class::Log => value(""),
        Class::Pair => Value::Array(vec![value("x"), value("y")]),
        _ => return Ok(None),
    };
    let asked = Operation {
        client: u32::MAX,
        key,
        invoked: 0,
        returned: None,
        action: Action::Read,
        outcome: Outcome::Unknown,
    };
    outcome(&asked, &value).map(Some)
}

/// Turns the new cluster's only node until it serves; what it writes is durable at once.
fn serves(founder: &mut Replica, mut now: Now) -> Result<(), String> {
    for _ in 0..SERVES_TICKS {
        now.mono_us += TICK_US;
        now.wall_ms += TICK_US / 1_000;
        let mut numbers = step(founder, now, Input::Tick);
        while let Some(number) = numbers.pop() {
            numbers.extend(step(founder, now, Input::Persisted { number }));
        }
        if founder.status(now).serving {
            return Ok(());
        }
    }
    Err(format!("it does not serve: {:?}", founder.status(now).role))
}

/// Gives what is to be persisted.
fn step(founder: &mut Replica, now: Now, input: Input<'_>) -> Vec<u64> {
    let mut outputs = Outputs::default();
    founder.step(now, input, &mut outputs);
    founder.step(now, Input::Turn, &mut outputs);
    while founder.has_work() {
        founder.step(now, Input::Turn, &mut outputs);
    }
    founder.invariants();
    outputs
        .persists
        .iter()
        .map(|persist| persist.number)
        .rev()
        .collect()
}

fn wrong(backup: &Backup, why: impl Into<String>) -> Violation {
    Violation {
        check: "a backup is a state of the log",
        subject: format!("the backup at index {}", backup.index),
        explanation: why.into(),
    }
}
