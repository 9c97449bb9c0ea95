//! Judges leases where they are, not by what clients happen to see: as long as a leader may answer reads alone, no
//! node of a later term has applied, and so shown to a client, an entry that this leader does not know to be
//! committed.

use repligo_core::contract::PeerId;
use repligo_core::replica::Replica;

use super::World;
use crate::check::Violation;

impl World {
    /// Compares a node that has just done something with all others, as the old leader and as the one that knows more.
    pub(super) fn judge_leases(&mut self, node: PeerId) {
        let others = (1..=self.machines.len() as PeerId).filter(|other| *other != node);
        let pairs = others.flat_map(|other| [(node, other), (other, node)]);
        let broken = pairs
            .filter_map(|(leader, other)| self.broken_lease(leader, other))
            .next();
        if let Some(violation) = broken {
            self.context.fail(violation);
        }
    }

    fn broken_lease(&self, leader: PeerId, other: PeerId) -> Option<Violation> {
        let now = self.context.queue.now();
        let machine = &self.machines[leader as usize - 1];
        if !machine.is_awake(now) {
            return None;
        }
        let (term, commit) = self.replica(leader)?.lease_position(machine.clock.read(now))?;
        let (later_term, applied) = self.replica(other)?.shown();
        (later_term > term && applied > commit).then(|| Violation {
            check: "nothing is shown while an older lease lasts",
            subject: format!("node {other}"),
            explanation: format!(
                "in term {later_term} it has applied {applied}; node {leader} may answer reads by its lease of term \
                 {term}, and knows {commit} to be committed"
            ),
        })
    }

    fn replica(&self, node: PeerId) -> Option<&Replica> {
        self.machines[node as usize - 1].process.as_ref()?.replica()
    }
}
