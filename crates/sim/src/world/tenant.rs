//! Another cluster with the database: one that was restored from a backup, and was let in although this one lives.
//!
//! Who lets it in removes this cluster's lane rows, as the refusal says, and later removes those of the other one.
//! Meanwhile it changes rows. It stays longer than any call of ours takes, as whoever sets up a cluster does: no
//! claim that was made before it came arrives after it has gone.
//!
//! To clients its writes are writes of unknown outcome: a copy may be older than they are as long as nobody has
//! noticed. Judged is what is known after it was noticed: while a node says that the database is the other one's, it
//! holds no copy of a row. In the end copies equal rows, as always.

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::keyspace::Known;

use super::keys::{Class, name};
use super::origin::SLOW_US;
use super::queue::Micros;
use super::{Event, World};
use crate::check::Violation;
use crate::history::Action;

/// Who writes in the history what the other cluster writes.
const CLIENT: u32 = u32::MAX - 1;
/// Keys of the class that it changes; those that clients use most.
const KEYS: u64 = 3;
/// Calls that are under way when everything is healed take no longer.
const LAST_CALLS_US: Micros = 50_000;

/// What the other cluster does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It writes a row.
    Write,
    /// It is gone, and its lane rows with it.
    Leave,
}

impl World {
    /// Another cluster gets the database for a while.
    pub(super) fn let_tenant_in(&mut self) {
        if !self.context.plan.origin || self.origin.tenant().is_some() {
            return;
        }
        self.origin.let_in();
        let now = self.context.queue.now();
        let stay = self
            .context
            .random
            .between(SLOW_US + 1_000_000, SLOW_US + 3_000_000);
        let leaves = (now + stay).min(self.context.plan.faults_us) + LAST_CALLS_US;
        for _ in 0..self.context.random.between(1, 6) {
            let at = self.context.random.between(now, leaves);
            self.context.queue.at(at, Event::Tenant(Step::Write));
        }
        self.context.queue.at(leaves, Event::Tenant(Step::Leave));
    }

    pub(super) fn on_tenant(&mut self, step: Step) {
        let Some(tenant) = self.origin.tenant() else {
            return;
        };
        if let Err(violation) = self.judge_copies(&tenant) {
            self.context.fail(violation);
        }
        match step {
            Step::Write => {
                let now = self.context.queue.now();
                let key = Class::Mapped.key(self.context.random.below(KEYS) as u32);
                let token = self.workload.token();
                self.workload.record(CLIENT, key, Action::Write(token), now);
                self.context
                    .say(|| format!("{tenant} writes {token} to {}", name(key, "")));
                self.origin
                    .overwrite(Bytes::from(name(key, "")), Bytes::from(token.to_string()));
            }
            Step::Leave => {
                self.context.say(|| format!("{tenant} leaves the origin"));
                self.origin.let_out();
            }
        }
    }

    /// Whoever says that the database is the other cluster's has no copy that was made before.
    fn judge_copies(&self, tenant: &str) -> Result<(), Violation> {
        for (node, held) in self.copies_of_informed(tenant) {
            if let Some(key) = held {
                return Err(Violation {
                    check: "no copy outlives the database's change of hands",
                    subject: format!("node {node}, key {key}"),
                    explanation: format!("it knows that the origin belongs to {tenant}, and holds a row"),
                });
            }
        }
        Ok(())
    }

    /// Nodes that know of the other cluster, each with a mapped key that it holds, if any.
    fn copies_of_informed(&self, tenant: &str) -> Vec<(PeerId, Option<String>)> {
        let keys = self.workload.history.iter().map(|operation| operation.key);
        let mapped: std::collections::BTreeSet<u32> =
            keys.filter(|key| Class::of(*key).is_mapped()).collect();
        let mut informed = Vec::new();
        for machine in &self.machines {
            let Some(replica) = machine.process.as_ref().and_then(|process| process.replica()) else {
                continue;
            };
            let origins = replica.origins();
            if !origins
                .troubles
                .iter()
                .any(|trouble| trouble.reason.contains(tenant))
            {
                continue;
            }
            let names = mapped.iter().map(|key| name(*key, ""));
            let held = |key: &String| replica.keyspace().lookup(0, key.as_bytes()) != Known::Absent;
            informed.push((machine.id, names.into_iter().find(held)));
        }
        informed
    }
}
