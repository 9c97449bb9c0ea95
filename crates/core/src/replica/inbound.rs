//! Batches that followers forwarded to this leader and that are not proposed yet, a queue per node.
//!
//! The nodes, this one with its own outbox, take turns in the entries, so that none of them waits for all
//! that another one has. A node holds no more than its own queue has room for (`crate::shares`); what comes
//! beyond that replaces the oldest, whose clients have been told that the outcome is unknown.
//!
//! Invariants: within a queue sequences grow and no batch is there twice; a queue holds at most
//! [`limits::FORWARDED_BYTES_MAX`] and one batch.

use std::collections::{BTreeMap, VecDeque};

use super::{Forwarder, Replica};
use crate::contract::{Outputs, PeerId, Role};
use crate::entry::Batch;
use crate::limits;

/// What one node has forwarded.
#[derive(Debug, Default)]
pub struct Forwarded {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Forwarded {
    /// Batch number `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&Batch> {
        self.batches.get(index)
    }

    fn push(&mut self, batch: Batch) {
        // A node sends again from the front of its outbox: the copies that came before are replaced.
        let incarnation = batch.incarnation;
        let is_stale =
            |last: &mut Batch| last.incarnation != incarnation || last.first_sequence >= batch.first_sequence;
        while let Some(last) = self.batches.pop_back_if(is_stale) {
            self.bytes -= last.ops.len();
        }
        self.bytes += batch.ops.len();
        self.batches.push_back(batch);
        while self.bytes > limits::FORWARDED_BYTES_MAX && self.batches.len() > 1 {
            self.take_front();
        }
    }

    fn take_front(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.ops.len();
        Some(batch)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Inbound {
    nodes: BTreeMap<PeerId, Forwarded>,
    /// Whose turn it is in the next entry: 0 is this node, then its followers in order.
    pub next_source: usize,
}

impl Inbound {
    /// A batch of a follower.
    pub fn push(&mut self, batch: Batch) {
        self.nodes.entry(batch.node).or_default().push(batch);
    }

    /// The followers and what they have forwarded, in the order of their turns.
    pub fn queues(&self) -> impl Iterator<Item = (PeerId, &Forwarded)> {
        self.nodes.iter().map(|(&node, queue)| (node, queue))
    }

    /// The first batches of each queue were proposed, as many as `counts` says in the order of
    /// [`Self::queues`].
    pub fn proposed(&mut self, counts: &[usize]) {
        for (queue, &count) in self.nodes.values_mut().zip(counts) {
            for _ in 0..count {
                queue.take_front();
            }
        }
    }

    /// Batches that wait.
    pub fn is_empty(&self) -> bool {
        self.nodes.values().all(|queue| queue.batches.is_empty())
    }

    /// Bytes of all ops that wait.
    pub fn bytes(&self) -> usize {
        self.nodes.values().map(|queue| queue.bytes).sum()
    }

    /// Ops that wait.
    pub fn ops(&self) -> u64 {
        let batches = self.nodes.values().flat_map(|queue| &queue.batches);
        batches.map(|batch| batch.count).sum()
    }

    /// A node is no member any more.
    pub fn forget(&mut self, node: PeerId) {
        self.nodes.remove(&node);
        self.next_source = 0;
    }

    /// This node leads no more.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.next_source = 0;
    }
}

impl Replica {
    /// Remembers the batch as applied; false for a copy of one that already was, or of a node's earlier
    /// life.
    pub(super) fn first_copy(&mut self, batch: &Batch) -> bool {
        let latest = Forwarder {
            incarnation: batch.incarnation,
            sequence: batch.last_sequence(),
        };
        if let Some(known) = self.forwarders.get(&batch.node) {
            let older_life = batch.incarnation < known.incarnation;
            let same_life = batch.incarnation == known.incarnation;
            if older_life || (same_life && batch.first_sequence <= known.sequence) {
                return false;
            }
        }
        self.forwarders.insert(batch.node, latest);
        true
    }

    /// Batches of a follower. Of another term than ours they are dropped: the follower finds out.
    pub(super) fn on_forward(&mut self, from: PeerId, term: u64, batches: Vec<Batch>, outputs: &mut Outputs) {
        let judge = |batch: &Batch| match batch.node == from {
            true => batch.judge(),
            false => Err("a batch of another node"),
        };
        if let Err(reason) = batches.iter().try_for_each(judge) {
            return self.refuse_peer(from, reason, outputs);
        }
        if self.consensus.role() == Role::Leader && self.consensus.term() == term {
            batches.into_iter().for_each(|batch| self.inbound.push(batch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(node: PeerId, first_sequence: u64, bytes: usize) -> Batch {
        Batch {
            node,
            incarnation: 1,
            first_sequence,
            count: 1,
            ops: Bytes::from(vec![0; bytes]),
        }
    }

    fn sequences(inbound: &Inbound, node: PeerId) -> Vec<u64> {
        let queue = &inbound.nodes[&node];
        queue.batches.iter().map(|batch| batch.first_sequence).collect()
    }

    #[test]
    fn what_a_node_sends_again_replaces_its_first_copies() {
        let mut inbound = Inbound::default();
        for sequence in [1, 2, 3, 2, 3, 4] {
            inbound.push(batch(2, sequence, 10));
        }
        inbound.push(batch(3, 1, 10));
        assert_eq!(sequences(&inbound, 2), [1, 2, 3, 4]);
        assert_eq!((inbound.bytes(), inbound.ops()), (50, 5));
        inbound.proposed(&[3, 1]);
        assert_eq!(sequences(&inbound, 2), [4]);
        assert_eq!(inbound.bytes(), 10);
        let restarted = Batch {
            incarnation: 2,
            ..batch(2, 1, 10)
        };
        inbound.push(restarted);
        assert_eq!(sequences(&inbound, 2), [1], "the earlier process is gone");
        inbound.clear();
        assert!(inbound.is_empty());
    }

    #[test]
    fn a_node_has_a_bounded_share_of_the_leader() {
        let mut inbound = Inbound::default();
        inbound.push(batch(3, 1, 10));
        let bytes = limits::FORWARDED_BYTES_MAX / 4;
        for sequence in 1..=10 {
            inbound.push(batch(2, sequence, bytes));
        }
        assert_eq!(sequences(&inbound, 2), [7, 8, 9, 10], "the oldest go");
        assert_eq!(sequences(&inbound, 3), [1], "others keep theirs");
    }
}
