//! Succeeding a leader whose process has ended, without waiting for an election timeout (`semantics.md`, Failover).
//!
//! When a process ends, its streams end, and its machine refuses new ones. Whoever is told so of its leader tells the
//! other voters. Once a majority of the voters has said it, the one of them with the longest log asks for votes.
//!
//! Nothing that is promised depends on any of this being true: whoever is elected waits for the old leader's lease
//! like everybody else, so a leader that only seems to have ended costs an election.

use std::collections::BTreeMap;

use super::Replica;
use crate::contract::{Event, Outputs, PeerId, Role, Send};
use crate::message::Message;

/// Who has said that the leader of a term is gone.
#[derive(Debug, Default)]
pub struct Departed {
    term: u64,
    leader: PeerId,
    /// Term and index of the last entry of each; zeros for one that may not lead.
    said: BTreeMap<PeerId, (u64, u64)>,
}

impl Departed {
    /// Notes it; what was said of others than this leader of this term is void.
    fn note(&mut self, (term, leader): (u64, PeerId), who: PeerId, last: (u64, u64)) {
        if (self.term, self.leader) != (term, leader) {
            *self = Self {
                term,
                leader,
                said: BTreeMap::new(),
            };
        }
        self.said.insert(who, last);
    }

    fn said_by(&self, who: PeerId, (term, leader): (u64, PeerId)) -> Option<(u64, u64)> {
        let is_present = (self.term, self.leader) == (term, leader);
        self.said.get(&who).copied().filter(|_| is_present)
    }

    /// Who is to succeed, if a majority has said it: the longest log, and of equal ones the lowest number.
    fn successor(&self, voters: &[PeerId]) -> Option<PeerId> {
        let said: Vec<(PeerId, (u64, u64))> = voters
            .iter()
            .filter_map(|voter| Some((*voter, *self.said.get(voter)?)))
            .collect();
        if said.len() < voters.len() / 2 + 1 {
            return None;
        }
        let best = said
            .into_iter()
            .max_by_key(|(voter, last)| (*last, std::cmp::Reverse(*voter)));
        best.filter(|(_, last)| *last != (0, 0)).map(|(voter, _)| voter)
    }
}

impl Replica {
    /// Nobody listens any more where this peer did.
    pub(super) fn on_peer_refused(&mut self, peer: PeerId, outputs: &mut Outputs) {
        let is_connected = self.peers.get(&peer).is_none_or(|known| known.connected);
        let follows = self.consensus.role() == Role::Follower && peer == self.consensus.leader();
        let me = self.settings.identity.peer;
        if is_connected || !follows || !self.membership.is_voter(me) {
            return;
        }
        let last = match self.consensus.is_barred() {
            true => (0, 0),
            false => self.consensus.last(),
        };
        self.departed.note((self.consensus.term(), peer), me, last);
        self.tell_leader_gone(None, outputs);
        self.succeed_if_due(outputs);
    }

    /// Tells a peer, or all that are connected, what this node has found of its leader.
    pub(super) fn tell_leader_gone(&self, only: Option<PeerId>, outputs: &mut Outputs) {
        let (term, leader) = (self.consensus.term(), self.consensus.leader());
        let me = self.settings.identity.peer;
        let Some(last) = self.departed.said_by(me, (term, leader)) else {
            return;
        };
        for (&to, peer) in &self.peers {
            if peer.connected && to != leader && only.is_none_or(|only| only == to) {
                let message = Message::LeaderGone { term, leader, last }.encode();
                outputs.sends.push(Send { to, message });
            }
        }
    }

    /// A peer has found the leader gone.
    pub(super) fn on_leader_gone(
        &mut self,
        from: PeerId,
        of: (u64, PeerId),
        last: (u64, u64),
        outputs: &mut Outputs,
    ) {
        if of == (self.consensus.term(), self.consensus.leader()) {
            self.departed.note(of, from, last);
            self.succeed_if_due(outputs);
        }
    }

    fn succeed_if_due(&mut self, outputs: &mut Outputs) {
        let present = (self.consensus.term(), self.consensus.leader());
        let me = self.settings.identity.peer;
        let is_known = self.departed.said_by(me, present).is_some();
        if is_known && self.departed.successor(&self.membership.voters()) == Some(me) {
            outputs.events.push(Event::LeaderGone { leader: present.1 });
            self.consensus.succeed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Departed;

    #[test]
    fn a_majority_must_say_it_and_the_longest_log_succeeds() {
        let mut departed = Departed::default();
        let voters = [1, 2, 3, 4, 5];
        departed.note((7, 1), 2, (7, 10));
        departed.note((7, 1), 3, (7, 12));
        assert_eq!(departed.successor(&voters), None);
        departed.note((7, 1), 6, (7, 20));
        assert_eq!(departed.successor(&voters), None, "6 does not vote");
        departed.note((7, 1), 5, (6, 90));
        assert_eq!(departed.successor(&voters), Some(3));
        departed.note((7, 1), 2, (7, 12));
        assert_eq!(
            departed.successor(&voters),
            Some(2),
            "of equal logs the lowest number"
        );
        departed.note((8, 1), 4, (7, 12));
        assert_eq!(
            departed.successor(&voters),
            None,
            "another term, another question"
        );
    }

    #[test]
    fn who_may_not_lead_is_counted_and_not_chosen() {
        let mut departed = Departed::default();
        departed.note((7, 1), 2, (0, 0));
        departed.note((7, 1), 3, (7, 1));
        assert_eq!(departed.successor(&[1, 2, 3]), Some(3));
        departed.note((7, 1), 3, (0, 0));
        assert_eq!(departed.successor(&[1, 2, 3]), None);
    }
}
