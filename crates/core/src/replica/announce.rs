//! Who is told when that entries are committed.
//!
//! Every append carries the commit index, so under load nobody needs a message of its own to hear it. It is
//! told at once where somebody may wait for it: the node whose clients gave the ops in, a follower that asked
//! for a confirmed index, all of them when an entry holds few ops (so on a quiet shard followers are as fresh
//! as the network allows). Everything else is told by the next append, at the latest by the next tick.

use super::Replica;
use crate::contract::{PeerId, Role};

impl Replica {
    /// Marks whom the commit index concerns that consensus has reached.
    pub(super) fn note_commits(&mut self) {
        let commit = self.consensus.commit_index();
        if commit == self.commit_seen {
            return;
        }
        let mut expected = self.commit_seen;
        self.commit_seen = commit;
        if self.consensus.role() != Role::Leader {
            return;
        }
        while let Some(entry) = self.flight.committed(commit) {
            expected += 1;
            if entry.concerns_all() {
                self.await_commit(None, entry.index);
            }
            for peer in entry.waiting {
                self.await_commit(Some(peer), entry.index);
            }
        }
        if expected < commit {
            // Inherited entries, or the first of the term: rare, and everybody waits for a new leader.
            self.await_commit(None, commit);
        }
    }

    /// Marks a peer, or all of them, as waiting for a commit index.
    pub(super) fn await_commit(&mut self, peer: Option<PeerId>, index: u64) {
        let marked = self
            .peers
            .iter_mut()
            .filter(|(known, _)| peer.is_none_or(|peer| peer == **known));
        for (_, peer) in marked {
            peer.awaits_commit = peer.awaits_commit.max(index);
        }
    }

    /// Tells peers the commit index that they wait for, unless an append of this turn has told them.
    /// True if something is to be sent.
    pub(super) fn announce_commits(&mut self) -> bool {
        let mut any = false;
        for (&to, peer) in &mut self.peers {
            let index = std::mem::take(&mut peer.awaits_commit);
            if index > 0 && peer.connected {
                any |= self.consensus.announce_commit(to, index);
            }
        }
        any
    }
}
