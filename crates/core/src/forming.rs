//! How an empty set of nodes becomes one cluster (`semantics.md`, Forming).
//!
//! A cluster forms only when every listed node is reachable and reports an empty directory. Two phases,
//! so that a crash in between neither splits nor blocks: the node with the lowest number draws a cluster
//! id and prepares; the others prepare the same id once they see it and nobody contradicts; a node that
//! sees ALL prepared (or one formed) is formed. An empty node that meets a formed cluster is a wiped one
//! and refuses to start: it may have acknowledged what it no longer has.
//!
//! Invariants: two nodes never form under different ids; nobody forms before everybody has prepared
//! durably (a state is announced only after [`Forming::persisted`]).

use std::collections::BTreeMap;

use crate::codec::{Malformed, Reader, put_varint};
use crate::contract::PeerId;

/// What a node has on its disk about its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormingState {
    /// Nothing.
    Empty,
    /// It promised to belong to this cluster.
    Prepared(u128),
    /// It belongs to this cluster.
    Formed(u128),
}

impl FormingState {
    /// Appends the announcement of this state.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (tag, id) = match self {
            Self::Empty => (0, 0),
            Self::Prepared(id) => (1, id),
            Self::Formed(id) => (2, id),
        };
        out.push(tag);
        put_varint(out, id as u64);
        put_varint(out, (id >> 64) as u64);
    }

    /// Reads an announcement.
    pub fn decode(reader: &mut Reader) -> Result<Self, Malformed> {
        let tag = reader.u8()?;
        let id = u128::from(reader.varint()?) | u128::from(reader.varint()?) << 64;
        match tag {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Prepared(id)),
            2 => Ok(Self::Formed(id)),
            _ => Err(Malformed),
        }
    }
}

/// What the driver has to do after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormingOutput {
    /// Nothing; go on announcing [`Forming::state`] to every peer.
    Wait,
    /// Make this state durable, then call [`Forming::persisted`].
    Persist(FormingState),
    /// Stop: this node must not take part.
    Refuse(Refusal),
}

/// Why a node must not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node is empty and `peer` is not.
    Wiped {
        /// Who belongs to a formed cluster.
        peer: PeerId,
    },
    /// Two clusters meet.
    OtherCluster {
        /// Who belongs to another cluster.
        peer: PeerId,
        /// The cluster of this node.
        mine: u128,
        /// The cluster of the peer.
        theirs: u128,
    },
}

impl Refusal {
    /// The peer that contradicts.
    pub fn peer(self) -> PeerId {
        match self {
            Self::Wiped { peer } | Self::OtherCluster { peer, .. } => peer,
        }
    }

    /// What is wrong and what to do; `name` is the name of [`Self::peer`].
    pub fn explain(self, name: &str) -> String {
        match self {
            Self::Wiped { .. } => format!(
                "this node's data directory is empty, but node {name} belongs to a formed cluster: the directory \
                 was wiped or is the wrong one. It must not vote, since it may have acknowledged writes that it \
                 no longer holds. Restore the directory and start again"
            ),
            Self::OtherCluster { mine, theirs, .. } => format!(
                "this node belongs to cluster {mine:032x}, but node {name} to {theirs:032x}. Check --data-dir and \
                 --cluster of both, and start the one that has the wrong directory with its own"
            ),
        }
    }
}

/// One node's part in forming.
#[derive(Debug)]
pub struct Forming {
    me: PeerId,
    voters: Vec<PeerId>,
    state: FormingState,
    persisting: bool,
    peers: BTreeMap<PeerId, FormingState>,
    drawn_id: u128,
}

impl Forming {
    /// `drawn_id` is a fresh random cluster id, used if this node has to draw one.
    pub fn new(me: PeerId, voters: &[PeerId], state: FormingState, drawn_id: u128) -> Self {
        Self {
            me,
            voters: voters.to_vec(),
            state,
            persisting: false,
            peers: BTreeMap::new(),
            drawn_id: drawn_id | 1,
        }
    }

    /// The durable state, to be announced.
    pub fn state(&self) -> FormingState {
        self.state
    }

    /// The cluster id once this node is formed.
    pub fn formed(&self) -> Option<u128> {
        match self.state {
            FormingState::Formed(id) => Some(id),
            _ => None,
        }
    }

    /// Voters that have not announced themselves.
    pub fn missing(&self) -> Vec<PeerId> {
        self.voters
            .iter()
            .copied()
            .filter(|peer| *peer != self.me && !self.peers.contains_key(peer))
            .collect()
    }

    /// The state asked for is durable.
    pub fn persisted(&mut self, state: FormingState) -> FormingOutput {
        self.state = state;
        self.persisting = false;
        self.decide()
    }

    /// A peer is unreachable: what it said no longer counts.
    pub fn peer_lost(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// A peer announced its state; also to be called at the start of a single node.
    pub fn announced(&mut self, from: PeerId, state: FormingState) -> FormingOutput {
        if from != self.me {
            self.peers.insert(from, state);
        }
        self.decide()
    }

    fn decide(&mut self) -> FormingOutput {
        if self.persisting {
            return FormingOutput::Wait;
        }
        if let Some(reason) = self.contradiction() {
            return FormingOutput::Refuse(reason);
        }
        let next = match self.state {
            FormingState::Formed(_) => None,
            FormingState::Empty => self.may_prepare().map(FormingState::Prepared),
            FormingState::Prepared(id) => self.may_form(id).then_some(FormingState::Formed(id)),
        };
        match next {
            None => FormingOutput::Wait,
            Some(state) => {
                self.persisting = true;
                FormingOutput::Persist(state)
            }
        }
    }

    fn contradiction(&self) -> Option<Refusal> {
        self.peers
            .iter()
            .find_map(|(&peer, &state)| match (self.state, state) {
                (FormingState::Empty, FormingState::Formed(_)) => Some(Refusal::Wiped { peer }),
                (
                    FormingState::Prepared(mine) | FormingState::Formed(mine),
                    FormingState::Prepared(theirs) | FormingState::Formed(theirs),
                ) if mine != theirs => Some(Refusal::OtherCluster { peer, mine, theirs }),
                _ => None,
            })
    }

    /// The id to prepare: drawn by the lowest voter when all are empty, taken over by the others.
    fn may_prepare(&self) -> Option<u128> {
        if !self.missing().is_empty() {
            return None;
        }
        let prepared = self.peers.values().find_map(|state| match state {
            FormingState::Prepared(id) => Some(*id),
            _ => None,
        });
        let lowest = self.voters.iter().min() == Some(&self.me);
        prepared.or(lowest.then_some(self.drawn_id))
    }

    fn may_form(&self, id: u128) -> bool {
        let seen_formed = self
            .peers
            .values()
            .any(|state| *state == FormingState::Formed(id));
        let all_prepared = self.missing().is_empty()
            && self
                .peers
                .values()
                .all(|state| *state == FormingState::Prepared(id));
        seen_formed || all_prepared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers announcements in rounds until nothing changes; a node listed in `down` takes no part.
    fn run(nodes: &mut [Forming], down: &[PeerId]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for _ in 0..8 {
            for from in 0..nodes.len() {
                for to in 0..nodes.len() {
                    let (sender, receiver) = (nodes[from].me, nodes[to].me);
                    if down.contains(&sender) || down.contains(&receiver) {
                        continue;
                    }
                    let state = nodes[from].state();
                    let mut output = nodes[to].announced(sender, state);
                    while let FormingOutput::Persist(state) = output {
                        output = nodes[to].persisted(state);
                    }
                    if let FormingOutput::Refuse(refusal) = output {
                        refusals.push(refusal);
                    }
                }
            }
        }
        refusals
    }

    fn nodes(states: &[FormingState]) -> Vec<Forming> {
        let voters: Vec<PeerId> = (1..=states.len() as u64).collect();
        let make = |(i, state): (usize, &FormingState)| {
            Forming::new(i as u64 + 1, &voters, *state, 0x1000 + i as u128 * 2)
        };
        states.iter().enumerate().map(make).collect()
    }

    #[test]
    fn three_empty_nodes_form_one_cluster() {
        let mut three = nodes(&[FormingState::Empty; 3]);
        assert!(run(&mut three, &[]).is_empty());
        assert!(three.iter().all(|node| node.formed() == Some(0x1001)));
    }

    #[test]
    fn nobody_forms_while_one_is_unreachable() {
        let mut three = nodes(&[FormingState::Empty; 3]);
        assert!(run(&mut three, &[3]).is_empty());
        assert!(three.iter().all(|node| node.formed().is_none()));
        assert_eq!(three[0].missing(), vec![3]);
    }

    #[test]
    fn a_wiped_node_refuses_and_two_wiped_nodes_form_nothing() {
        let formed = FormingState::Formed(7);
        let mut three = nodes(&[formed, FormingState::Empty, FormingState::Empty]);
        let refusals = run(&mut three, &[]);
        assert!(refusals.contains(&Refusal::Wiped { peer: 1 }), "{refusals:?}");
        assert!(three[1].formed().is_none() && three[2].formed().is_none());
        let mut alone = nodes(&[formed, FormingState::Empty, FormingState::Empty]);
        assert!(run(&mut alone, &[1]).is_empty());
        assert!(alone[1].formed().is_none() && alone[2].formed().is_none());
    }

    #[test]
    fn a_crash_between_the_phases_is_finished_later() {
        let mut three = nodes(&[
            FormingState::Formed(7),
            FormingState::Formed(7),
            FormingState::Prepared(7),
        ]);
        assert!(run(&mut three, &[]).is_empty());
        assert_eq!(three[2].formed(), Some(7));
        let mut early = nodes(&[
            FormingState::Prepared(7),
            FormingState::Empty,
            FormingState::Empty,
        ]);
        assert!(run(&mut early, &[]).is_empty());
        assert!(early.iter().all(|node| node.formed() == Some(7)));
    }

    #[test]
    fn different_clusters_refuse_each_other() {
        let mut two = nodes(&[FormingState::Formed(7), FormingState::Prepared(9)]);
        let refusals = run(&mut two, &[]);
        let (mine, theirs) = (7, 9);
        assert!(
            refusals.contains(&Refusal::OtherCluster {
                peer: 2,
                mine,
                theirs
            }),
            "{refusals:?}"
        );
    }

    #[test]
    fn every_refusal_names_the_node_and_what_to_do() {
        let (mine, theirs) = (7, 9);
        for (refusal, remedy) in [
            (Refusal::Wiped { peer: 2 }, "Restore the directory"),
            (
                Refusal::OtherCluster {
                    peer: 2,
                    mine,
                    theirs,
                },
                "Check --data-dir",
            ),
        ] {
            let text = refusal.explain("n2");
            assert!(text.contains("node n2") && text.contains(remedy), "{text}");
        }
    }
}
