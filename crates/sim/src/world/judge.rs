//! The second phase and the verdict.
//!
//! Heal, let clients go on for a while, stop them, wait until everything is answered and all replicas
//! are equal, read every key at every node, and judge the whole history.

use std::collections::{BTreeMap, BTreeSet};

use repligo_core::contract::{PeerId, Role, Status};
use repligo_core::limits;
use repligo_proto::resp::Value;
use repligo_proto::words;

use super::keys::Class;
use super::plan::Fault;
use super::queue::Micros;
use super::workload::Expected;
use super::{Event, Phase, World};
use crate::check::loss::{self, Final};
use crate::check::{Judged, Violation, bounded, cache, check_key, forward, jobs, sessions};
use crate::history::{Action, Operation, Outcome};

/// How long clients go on after the heal.
const CALM_US: Micros = 4_500_000;
/// So long after the heal nothing may be refused any more.
const WELL_AFTER_US: Micros = 3_000_000;
/// What the change of leaders takes that follows from an outvoted clock.
const ABDICATION_US: Micros = 1_000_000;
/// Within this time after the heal everything that was open must be answered and all must be well. An
/// election, the lease wait and the longest hold of a request fit into it several times.
const SETTLE_US: Micros = 20_000_000;
/// Distance between two looks at progress.
const LOOK_US: Micros = 50_000;

impl World {
    /// A refusal of a request that was made when all had long been well. A follower that lags behind a
    /// very short log has to skip replies by a snapshot even then.
    pub(super) fn is_inexcusable(&self, expected: &Expected, value: &Value) -> bool {
        let asked_at = self.workload.asked_at(expected);
        let well = self.phase >= Phase::Calm && asked_at > self.well_from();
        let error = value.as_error().unwrap_or_default().as_bytes();
        let skipped = words::outcome(error) == words::Outcome::Unknown;
        // A compare-and-set that lost, a value that the origin must not take, or no room for more.
        let full = [words::OUT_OF_MEMORY.as_bytes(), b"EXECABORT"];
        let deserved = error.is_empty()
            || error.starts_with(b"ERR origin rejected the write")
            || (self.context.plan.memory.bytes_max > 0 && full.iter().any(|full| error.starts_with(full)));
        well && !deserved && !(skipped && self.context.plan.log_bytes_max < 1 << 20)
    }

    /// From when on nothing may be refused.
    fn well_from(&self) -> Micros {
        let plan = &self.context.plan;
        // A leader whose clock is outvoted gives up three seconds after the majority was there to say so.
        let is_outvoted = plan.wrong_clocks.is_some() && !plan.corrects_clocks;
        plan.faults_us + WELL_AFTER_US + if is_outvoted { ABDICATION_US } else { 0 }
    }

    fn enter(&mut self, phase: Phase) {
        self.context.say(|| format!("phase {phase:?}"));
        self.phase = phase;
        self.phase_began = self.context.queue.now();
    }

    pub(super) fn on_heal(&mut self) {
        self.heal_all();
        self.enter(Phase::Calm);
        self.context.queue.after(CALM_US, Event::Judge);
    }

    /// How long a phase may take. A snapshot that found no room is tried again much later.
    fn settle_us(&self) -> Micros {
        match self.context.plan.has(Fault::DiskFull) {
            true => SETTLE_US + limits::SNAPSHOT_RETRY_US,
            false => SETTLE_US,
        }
    }

    pub(super) fn on_judge(&mut self) {
        let now = self.context.queue.now();
        match self.phase {
            Phase::Calm => {
                self.enter(Phase::Draining);
                self.feed_workers();
            }
            Phase::Draining if self.is_settled() => {
                self.enter(Phase::Reading);
                self.add_auditors();
            }
            Phase::Reading
                if self.clients.iter().all(super::client::Client::is_done)
                    && self.messengers.are_done()
                    && self.trackers.are_done()
                    && self.wardens.are_done(&self.nodes_alive())
                    && self.is_settled() =>
            {
                self.verdict();
                self.enter(Phase::Over);
                return;
            }
            _ if now > self.phase_began + self.settle_us() => {
                let explanation = format!("phase {:?} does not end: {}", self.phase, self.progress());
                self.context.fail(Violation {
                    check: "liveness",
                    subject: "the cluster".to_owned(),
                    explanation,
                });
                return;
            }
            _ => {}
        }
        self.context.queue.after(LOOK_US, Event::Judge);
    }

    fn statuses(&self) -> Vec<(PeerId, Option<Status>)> {
        let members = &self.context.members;
        let alive = self
            .machines
            .iter()
            .filter(|machine| !machine.disk.unclean && members.get(machine.id).is_some());
        alive
            .map(|machine| {
                let replica = machine.process.as_ref().and_then(|process| process.replica());
                let now = machine.clock.read(self.context.queue.now());
                (machine.id, replica.map(|replica| replica.status(now)))
            })
            .collect()
    }

    /// Every request is answered and all replicas are at the same index.
    fn is_settled(&self) -> bool {
        let is_asking = !self.messengers.is_idle()
            || !self.wardens.is_idle()
            || !self.trackers.is_idle()
            || self.clients.iter().any(|client| client.open_count() > 0);
        if self.phase == Phase::Draining && is_asking {
            return false;
        }
        if !self.origin.is_claimed() || !self.removed_are_told() {
            return false;
        }
        let statuses = self.statuses();
        let Some((_, Some(first))) = statuses.first() else {
            return false;
        };
        statuses.iter().all(|(_, status)| {
            status.as_ref().is_some_and(|status| {
                status.serving && status.applied_index == first.applied_index && status.term == first.term
            })
        })
    }

    fn progress(&self) -> String {
        let open: Vec<usize> = self
            .clients
            .iter()
            .map(super::client::Client::open_count)
            .collect();
        let nodes: Vec<String> = self
            .statuses()
            .into_iter()
            .map(|(node, status)| match status {
                Some(status) => format!(
                    "n{node} {:?} term {} leader {} serving {} applied {} commit {} waiting {}",
                    status.role,
                    status.term,
                    status.leader,
                    status.serving,
                    status.applied_index,
                    status.commit_index,
                    status.requests_waiting
                ),
                None => format!("n{node} has not formed"),
            })
            .collect();
        let heard = [
            self.messengers.progress(),
            self.wardens.progress(),
            self.trackers.progress(),
        ]
        .join("; ");
        format!("open per client {open:?}; {heard}; {}", nodes.join("; "))
    }

    fn verdict(&mut self) {
        let replicas = self
            .machines
            .iter()
            .filter_map(|machine| machine.process.as_ref()?.replica());
        let evicted = replicas.map(|replica| replica.memory().evicted_keys).max();
        self.context.counts.evicted = evicted.unwrap_or(0);
        let verdict = self
            .judge_leader()
            .and_then(|()| self.judge_replicas())
            .and_then(|()| self.wardens.check(&self.context.users))
            .and_then(|()| self.judge_history())
            .and_then(|()| self.judge_backups());
        if let Err(violation) = verdict {
            self.context.fail(violation);
        }
    }

    /// A clock that a majority contradicts does not lead, where that majority is up.
    fn judge_leader(&self) -> Result<(), Violation> {
        let plan = &self.context.plan;
        let Some(wrong) = plan.wrong_clocks.as_ref().filter(|_| !plan.corrects_clocks) else {
            return Ok(());
        };
        let statuses = self.statuses();
        let voters = self.context.members.voters();
        let is_right = |node: &PeerId| !wrong.contains(node) && voters.contains(node);
        let right = statuses.iter().filter(|(node, _)| is_right(node)).count();
        let leads =
            |status: &Option<Status>| status.as_ref().is_some_and(|status| status.role == Role::Leader);
        let leader = statuses
            .iter()
            .find(|(_, status)| leads(status))
            .map(|(node, _)| *node);
        let Some(leader) = leader.filter(|leader| wrong.contains(leader) && right > voters.len() / 2) else {
            return Ok(());
        };
        let at = self.context.queue.now();
        let ahead_ms = self.machines[leader as usize - 1].clock.wall_ahead_ms(at);
        if ahead_ms.abs() < 1_500 {
            return Ok(());
        }
        Err(Violation {
            check: "an outvoted clock does not lead",
            subject: format!("node {leader}"),
            explanation: format!(
                "its wall clock is ahead by {ahead_ms} ms; all of them: {}",
                self.clocks()
            ),
        })
    }

    /// The wall clocks of all members that are up.
    fn clocks(&self) -> String {
        let at = self.context.queue.now();
        let ahead = |node: PeerId| self.machines[node as usize - 1].clock.wall_ahead_ms(at);
        let up = self.statuses().into_iter().filter(|(_, status)| status.is_some());
        let shown: Vec<String> = up
            .map(|(node, _)| format!("n{node} {:+} ms", ahead(node)))
            .collect();
        shown.join(", ")
    }

    fn judge_replicas(&mut self) -> Result<(), Violation> {
        for (node, status) in self.statuses() {
            if let Some(status) = status {
                self.context
                    .digests
                    .observe(node, status.applied_index, status.digest)?;
            }
        }
        assert!(self.context.digests.compared() > 0, "no digest was ever compared");
        self.judge_hash_seeds()
    }

    /// Each process drew a hash seed of its own; a scan that goes on at another node needs them to be one.
    fn judge_hash_seeds(&self) -> Result<(), Violation> {
        let members = &self.context.members;
        let alive = self
            .machines
            .iter()
            .filter(|machine| !machine.disk.unclean && members.get(machine.id).is_some());
        let replicas = alive.filter_map(|machine| Some((machine.id, machine.process.as_ref()?.replica()?)));
        let replicas: Vec<_> = replicas.collect();
        for pair in replicas.windows(2) {
            let [(one, first), (other, second)] = pair else {
                continue;
            };
            if !first.keyspace().hashes_like(second.keyspace()) {
                return Err(Violation {
                    check: "one hash seed",
                    subject: format!("nodes {one} and {other}"),
                    explanation: "they have applied the same log and hash keys differently".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn judge_history(&mut self) -> Result<(), Violation> {
        let mut by_key: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
        for operation in &self.workload.history {
            by_key.entry(operation.key).or_default().push(operation.clone());
        }
        for operations in by_key.values() {
            if check_key(operations)? == Judged::GivenUp {
                self.context.counts.given_up += 1;
            }
        }
        self.workload.elements.check()?;
        forward::check(&self.workload.eventual, &self.workload.history)?;
        if let Some(bound_us) = self.context.plan.bound_us() {
            bounded::check(&self.workload.eventual, &self.workload.history, bound_us)?;
        }
        sessions::check(&self.workload.travellers.journeys, &self.workload.history)?;
        let jobs = &self.workload.jobs;
        jobs::check(&jobs.history, &jobs.left, self.well_from())?;
        let finals = self.finals();
        loss::check(&self.workload.history, &finals)?;
        self.judge_origin()
    }

    /// The first auditor's view; that all auditors agree, the judges of single keys have made sure of.
    fn finals(&self) -> BTreeMap<u32, Final> {
        let auditors: BTreeSet<u32> = self
            .clients
            .iter()
            .filter_map(super::client::Client::auditor)
            .collect();
        let mut finals = BTreeMap::new();
        for operation in &self.workload.history {
            if operation.action != Action::Read || !auditors.contains(&operation.client) {
                continue;
            }
            let content = match &operation.outcome {
                Outcome::Value(value) => Final::Value(*value),
                Outcome::List(tokens) => Final::List(tokens.clone()),
                _ => continue,
            };
            finals.entry(operation.key).or_insert(content);
        }
        finals
    }

    fn judge_origin(&self) -> Result<(), Violation> {
        cache::check_decisions(&self.origin.decisions)?;
        let rest = self.context.queue.now();
        let is_mapped = |operation: &&Operation| Class::of(operation.key).is_mapped();
        let operations: Vec<Operation> = self.workload.history.iter().filter(is_mapped).cloned().collect();
        let members = &self.context.members;
        for machine in self
            .machines
            .iter()
            .filter(|machine| members.get(machine.id).is_some())
        {
            let Some(replica) = machine.process.as_ref().and_then(|process| process.replica()) else {
                continue;
            };
            let keys: BTreeSet<u32> = operations.iter().map(|operation| operation.key).collect();
            let at_rest = keys
                .into_iter()
                .map(|key| (key, self.origin.at_rest(replica, key)))
                .collect();
            cache::check(&operations, &at_rest, rest)?;
        }
        Ok(())
    }
}
