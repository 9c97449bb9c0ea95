//! What other nodes say: each message to the part that it concerns.
//!
//! A message that does not decode, or that its sender has no right to, changes nothing.

use bytes::Bytes;

use super::Replica;
use super::reads::Question;
use crate::contract::{Outputs, PeerId, Role};
use crate::message::Message;
use crate::time::Now;

impl Replica {
    pub(super) fn on_peer(&mut self, now: Now, from: PeerId, message: Bytes, outputs: &mut Outputs) {
        if self.turns_away(from, &message, outputs) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.heard_us = now.mono_us;
        }
        if from == self.consensus.leader() {
            self.leader_heard_us = now.mono_us;
        }
        let Ok(message) = Message::decode(message) else {
            return self.refuse_peer(from, "bytes that do not decode", outputs);
        };
        match message {
            Message::Consensus(reader) => self.on_consensus(now, from, reader, outputs),
            Message::Forward { term, batches } => self.on_forward(from, term, batches, outputs),
            Message::ReadIndex { context } => {
                if self.consensus.role() == Role::Leader {
                    let arrived_ms = self.clock.estimate_ms(now);
                    self.reads.push_peer(Question {
                        peer: from,
                        context,
                        arrived_ms,
                    });
                }
            }
            reply @ Message::ReadIndexReply { .. } => self.on_read_index_reply(now, from, &reply),
            Message::SnapshotBegin { index, term } => self.on_snapshot_begin(from, index, term, outputs),
            Message::SnapshotChunk {
                index,
                number,
                chunk,
                ends,
            } => self.on_snapshot_chunk(from, (index, number), (chunk, ends), outputs),
            Message::SnapshotAck { index, number } => {
                self.on_snapshot_ack(now, (from, index, number), outputs)
            }
            Message::Removed { index } => self.on_removed(from, index, outputs),
            Message::Load { index, keyspace, key } => self.on_load(from, index, (keyspace, key)),
            Message::DiskFull { full } => self.on_peer_disk_full(from, full, outputs),
            Message::Clock { asked_us } => self.on_clock(now, from, asked_us, outputs),
            reply @ Message::ClockReply { .. } => self.on_clock_reply(now, from, &reply),
            Message::LeaderGone { term, leader, last } => {
                self.on_leader_gone(from, (term, leader), last, outputs);
            }
            Message::LeaseReleased { term } => self.on_lease_released(from, term),
            waiters @ Message::Waiters { .. } => self.on_waiters(from, waiters, outputs),
            Message::WaitersReply { again, cancelled } if from == self.consensus.leader() => {
                self.on_waiters_reply(again, &cancelled);
            }
            Message::WaitersReply { .. } => {}
            Message::LoadFailed { keyspace, key, error } => self.fail_load(&(keyspace, key), &error, outputs),
        }
    }

    pub(super) fn on_peer_connected(&mut self, now: Now, peer: PeerId, outputs: &mut Outputs) {
        if let Some(known) = self.known_peer(peer) {
            known.connected = true;
            known.heard_us = now.mono_us;
        } else {
            self.tell_removed(peer, outputs);
        }
        self.ask_clocks(now, Some(peer), outputs);
        self.tell_disk_full(Some(peer), outputs);
        self.tell_leader_gone(Some(peer), outputs);
        if peer == self.consensus.leader() {
            self.leader_changed();
        }
    }

    pub(super) fn on_peer_lost(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.connected = false;
        }
        self.consensus.peer_lost(peer);
        self.reads.forget_peer(peer);
        self.waiters.lose(peer);
        self.peer_lost_snapshots(peer);
        self.forget_disk_of(peer);
        if peer == self.consensus.leader() {
            self.leader_changed();
        }
    }
}
