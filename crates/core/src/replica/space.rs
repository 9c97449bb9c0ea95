//! Full disks: this node's and those of the others, as each of them says.
//!
//! A disk that is full keeps a reserve, in which what was proposed before, votes and a few small entries still find
//! room. So its node goes on to vote and to confirm reads, but neither proposes nor takes entries of clients. It does
//! not lead while a node with room can; where no majority has room, one of those without leads all the same,
//! for the reads.
//!
//! Invariants: a write is refused as not applied only if no copy of it has left its node; nothing counts as stored that
//! a disk has not reported.

use std::collections::BTreeSet;

use repligo_proto::words;

use super::Replica;
use crate::bugs::Bug;
use crate::contract::{Event, Outputs, PeerId, Role, Send};
use crate::limits;
use crate::message::Message;
use crate::time::Now;

/// What is known of room on disks.
#[derive(Debug, Default)]
pub struct Space {
    full: bool,
    /// Members that have said so on their present streams.
    full_peers: BTreeSet<PeerId>,
    /// It keeps this node from leading, as of the last tick.
    pub bars: bool,
    /// When leadership was offered last for that reason.
    offered_us: Option<u64>,
    /// No snapshot of this replica is begun before.
    pub snapshot_after_us: u64,
}

impl Space {
    /// This node's disk is full.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

impl Replica {
    /// So many disks are full that no majority could store a write.
    pub(super) fn quorum_is_full(&self) -> bool {
        let me = self.settings.identity.peer;
        let full = |peer: &PeerId| match *peer == me {
            true => self.space.full,
            false => self.space.full_peers.contains(peer),
        };
        let voters = self.membership.voters();
        let with_room = voters.iter().filter(|peer| !full(peer)).count();
        with_room < voters.len() / 2 + 1
    }

    /// New writes are refused here.
    pub(super) fn refuses_writes(&self) -> bool {
        self.space.full || (!self.space.full_peers.is_empty() && self.quorum_is_full())
    }

    /// To be called whenever somebody leads or not, or a disk is full or not.
    pub(super) fn note_impediments(&mut self) {
        self.impeded = self.leaderless_us.is_some() || self.refuses_writes();
    }

    /// No room for the log on this node's disk.
    pub(super) fn disk_is_full(&self) -> bool {
        self.space.full
    }

    pub(super) fn on_disk_full(&mut self, now: Now, full: bool, outputs: &mut Outputs) {
        if self.space.full == full {
            return;
        }
        self.space.full = full;
        self.consensus.set_confined(full);
        outputs.events.push(Event::Warning(if full {
            "the disk of this node is full: it takes no writes until there is room".to_owned()
        } else {
            "the disk of this node has room again: it takes writes".to_owned()
        }));
        self.space.bars = false;
        self.judge_space(now);
        self.tell_disk_full(None, outputs);
        self.space_changed(outputs);
    }

    pub(super) fn on_peer_disk_full(&mut self, peer: PeerId, full: bool, outputs: &mut Outputs) {
        match full {
            true => self.space.full_peers.insert(peer),
            false => {
                // It took no snapshot while it was full, and is not to wait until that is noticed.
                self.peer_lost_snapshots(peer);
                self.space.full_peers.remove(&peer)
            }
        };
        self.space_changed(outputs);
    }

    /// Whoever is cut off is not known to be full.
    pub(super) fn forget_disk_of(&mut self, peer: PeerId) {
        self.space.full_peers.remove(&peer);
        self.note_impediments();
    }

    fn space_changed(&mut self, outputs: &mut Outputs) {
        self.note_impediments();
        if !self.refuses_writes() {
            return;
        }
        if self.has(Bug::RefusedThoughProposed) {
            for sealed in self.outbox.take_skipped(u64::MAX) {
                self.fail_batch(sealed, words::DISK_FULL, outputs);
            }
        }
        for sealed in self.outbox.take_never_sent() {
            self.fail_batch(sealed, words::DISK_FULL, outputs);
        }
    }

    /// Tells a peer, or all that are connected, of this node's disk.
    pub(super) fn tell_disk_full(&self, only: Option<PeerId>, outputs: &mut Outputs) {
        let full = self.space.full;
        if only.is_some() && !full {
            return;
        }
        for (&to, peer) in &self.peers {
            if peer.connected && only.is_none_or(|only| only == to) {
                let message = Message::DiskFull { full }.encode();
                outputs.sends.push(Send { to, message });
            }
        }
    }

    /// Lets another node lead while there is one with room; at each tick.
    pub(super) fn judge_space(&mut self, now: Now) {
        if !self.space.full {
            return;
        }
        let leaderless = now.mono_us.saturating_sub(self.leader_heard_us) > limits::CLOCK_PATIENCE_US;
        self.space.bars = !leaderless && !self.quorum_is_full();
        let lately = |then_us: u64| now.mono_us < then_us + limits::CLOCK_HANDOVER_US;
        let leads = self.consensus.role() == Role::Leader;
        if self.space.bars && leads && !self.space.offered_us.is_some_and(lately) {
            self.space.offered_us = Some(now.mono_us);
            let full = std::mem::take(&mut self.space.full_peers);
            self.hand_over(|peer| !full.contains(&peer));
            self.space.full_peers = full;
        }
    }

    /// There is no room for the snapshot that is being written.
    pub(super) fn on_snapshot_failed(&mut self, now: Now, outputs: &mut Outputs) {
        self.space.snapshot_after_us = now.mono_us + limits::SNAPSHOT_RETRY_US;
        let seconds = limits::SNAPSHOT_RETRY_US / 1_000_000;
        outputs.events.push(Event::Warning(format!(
            "the disk of this node has no room for a snapshot beside the last one and the log: free space; it is tried \
             again in {seconds} s, and meanwhile the log grows"
        )));
        self.give_up_unaccepted_snapshot(outputs);
    }
}
