//! Snapshots on their way to a follower and from a leader, chunk by chunk, each acknowledged.
//!
//! Invariants: the consensus message that tells the receiver to take a snapshot leaves after its last
//! chunk was acknowledged; received chunks build a state beside the present one, which is replaced only
//! when consensus accepts the snapshot.

use bytes::Bytes;
use repligo_proto::words;

use super::Replica;
use super::snapshots::{Header, Incoming, Transfer};
use crate::codec::Reader;
use crate::consensus::snapshot_of;
use crate::contract::{Durability, Event, Outputs, PeerId, Send, SnapshotIo};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::message::Message;
use crate::time::Now;

impl Replica {
    /// Consensus wants a follower to have the prepared snapshot: its chunks go first.
    pub(super) fn start_transfer(
        &mut self,
        now: Now,
        (peer, index, message): (PeerId, u64, Bytes),
        outputs: &mut Outputs,
    ) {
        // Without a stream everything would be lost, and nothing would ever tell that it was.
        let connected = self.peers.get(&peer).is_some_and(|peer| peer.connected);
        let prepared = self.snapshots.prepared.as_mut();
        let Some(prepared) = prepared.filter(|prepared| connected && prepared.index == index) else {
            return self.consensus.snapshot_sent(peer, false);
        };
        prepared.used_us = now.mono_us;
        let begin = Message::SnapshotBegin {
            index,
            term: prepared.term,
        };
        outputs.sends.push(Send {
            to: peer,
            message: begin.encode(),
        });
        self.snapshots.transfers.insert(
            peer,
            Transfer {
                index,
                next: 0,
                acknowledged: 0,
                message,
                delivered: false,
                progress_us: now.mono_us,
            },
        );
        self.continue_transfer(peer, outputs);
    }

    /// Ends transfers whose followers say nothing, or acknowledge nothing, for too long: each of them holds the log.
    /// A follower that has all of one may take its time to write it, and goes on from there in the log.
    pub(super) fn drop_stuck_transfers(&mut self, now: Now) {
        if self.snapshots.transfers.is_empty() {
            return;
        }
        let since = |then_us: u64| now.mono_us.saturating_sub(then_us);
        let followers = self.consensus.followers();
        let matched = |peer: PeerId| followers.iter().find(|follower| follower.peer == peer);
        let (peers, consensus) = (&self.peers, &mut self.consensus);
        self.snapshots.transfers.retain(|peer, transfer| {
            let heard_us = peers.get(peer).map_or(0, |peer| peer.heard_us);
            let patience_us = match transfer.delivered {
                true => limits::SNAPSHOT_WRITE_US_MAX,
                false => limits::SNAPSHOT_ACK_US_MAX,
            };
            let arrived = transfer.delivered
                && matched(*peer).is_some_and(|follower| follower.matched >= transfer.index);
            let is_stuck =
                since(heard_us) > limits::SNAPSHOT_SILENT_US_MAX || since(transfer.progress_us) > patience_us;
            if is_stuck && !transfer.delivered {
                consensus.snapshot_sent(*peer, false);
            }
            !(arrived || is_stuck)
        });
        if self.snapshots.transfers.is_empty() {
            // Nobody is left for whom to hold the log; who asks again gets a new one.
            self.snapshots.prepared = None;
            self.consensus.set_prepared_snapshot(None);
        }
    }

    fn continue_transfer(&mut self, peer: PeerId, outputs: &mut Outputs) {
        let snapshots = &mut self.snapshots;
        let (Some(prepared), Some(transfer)) = (&snapshots.prepared, snapshots.transfers.get_mut(&peer))
        else {
            return;
        };
        let count = prepared.pieces.len() as u64;
        let window = limits::SNAPSHOT_CHUNKS_IN_FLIGHT as u64;
        while transfer.next < count && transfer.next < transfer.acknowledged + window {
            let piece = &prepared.pieces[transfer.next as usize];
            let message = Message::SnapshotChunk {
                index: transfer.index,
                number: transfer.next,
                chunk: piece.bytes.clone(),
                ends: piece.ends,
            };
            outputs.sends.push(Send {
                to: peer,
                message: message.encode(),
            });
            transfer.next += 1;
        }
        if transfer.acknowledged < count || transfer.delivered {
            return;
        }
        outputs.sends.push(Send {
            to: peer,
            message: transfer.message.clone(),
        });
        transfer.delivered = true;
        self.consensus.snapshot_sent(peer, true);
    }

    /// A follower has taken a chunk.
    pub(super) fn on_snapshot_ack(
        &mut self,
        now: Now,
        (from, index, number): (PeerId, u64, u64),
        outputs: &mut Outputs,
    ) {
        let Some(transfer) = self.snapshots.transfers.get_mut(&from) else {
            return;
        };
        if transfer.index == index && number < transfer.next {
            transfer.acknowledged = transfer.acknowledged.max(number + 1);
            transfer.progress_us = now.mono_us;
            if let Some(prepared) = &mut self.snapshots.prepared {
                prepared.used_us = now.mono_us;
            }
            self.continue_transfer(from, outputs);
        }
    }

    /// The stream to a peer is gone, or it could take no snapshot until now: a transfer to it starts anew.
    pub(super) fn peer_lost_snapshots(&mut self, peer: PeerId) {
        let lost = self.snapshots.transfers.remove(&peer);
        if lost.is_some_and(|transfer| !transfer.delivered) {
            self.consensus.snapshot_sent(peer, false);
        }
    }

    /// This replica no longer leads: nobody is to take its snapshot.
    pub(super) fn stop_transfers(&mut self) {
        self.snapshots.transfers.clear();
        self.snapshots.wanted.clear();
        self.snapshots.prepared = None;
        self.consensus.set_prepared_snapshot(None);
    }

    /// A snapshot for this replica begins.
    pub(super) fn on_snapshot_begin(&mut self, from: PeerId, index: u64, term: u64, outputs: &mut Outputs) {
        if !(1..=limits::POSITION_MAX).contains(&index) || !(1..=limits::POSITION_MAX).contains(&term) {
            return self.refuse_peer(from, "a snapshot of no place in a log", outputs);
        }
        // One that leads no more must not end what its successor sends. On a full disk there is no place for any: the
        // leader tries again.
        if from != self.consensus.leader() || self.space.is_full() {
            return;
        }
        self.abandon_file(outputs);
        if self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Begin { index, term });
        }
        self.snapshots.unsaved = None;
        let keyspace = Keyspace::new(self.settings.hash_seed);
        let incoming = Incoming {
            from,
            index,
            term,
            next: 0,
            unfinished: Vec::new(),
            bytes: 0,
            header: None,
            keyspace,
            offered: false,
        };
        self.snapshots.incoming = Some(Box::new(incoming));
    }

    /// Ends whatever snapshot file is unfinished: there is one at a time.
    fn abandon_file(&mut self, outputs: &mut Outputs) {
        let walk = self.snapshots.walk.take();
        if walk.is_some() {
            self.keyspace.snapshot_abort();
        }
        let walking = walk.filter(|walk| walk.to_disk).map(|walk| walk.log_bytes);
        if let Some(log_bytes) = walking {
            self.snapshots.saving = false;
            self.snapshots.applied_bytes += log_bytes;
        }
        let walking = walking.is_some();
        let incoming = self.snapshots.incoming.take().is_some();
        if (walking || incoming) && self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Abort);
        }
    }

    /// There is no room for what is being written, unless it has replaced the state: then there must be.
    pub(super) fn give_up_unaccepted_snapshot(&mut self, outputs: &mut Outputs) {
        let walks = self.snapshots.walk.as_ref().is_some_and(|walk| walk.to_disk);
        if walks || self.snapshots.incoming.is_some() {
            self.abandon_file(outputs);
        } else if let Some(log_bytes) = self.snapshots.unsaved.take() {
            self.snapshots.saving = false;
            self.snapshots.applied_bytes += log_bytes;
            outputs.snapshot.push(SnapshotIo::Abort);
        }
    }

    /// The next chunk of it, or a piece of one.
    pub(super) fn on_snapshot_chunk(
        &mut self,
        from: PeerId,
        position: (u64, u64),
        (piece, ends): (Bytes, bool),
        outputs: &mut Outputs,
    ) {
        let (index, number) = position;
        let expected =
            |incoming: &Incoming| (incoming.from, incoming.index, incoming.next) == (from, index, number);
        let Some(incoming) = self
            .snapshots
            .incoming
            .as_mut()
            .filter(|incoming| expected(incoming))
        else {
            return;
        };
        let acknowledge = Send {
            to: from,
            message: Message::SnapshotAck { index, number }.encode(),
        };
        if incoming.unfinished.len() + piece.len() > limits::SNAPSHOT_LONG_CHUNK_BYTES_MAX {
            self.refuse_peer(from, "a snapshot chunk longer than any value", outputs);
            return self.abandon_file(outputs);
        }
        if !ends {
            incoming.next += 1;
            incoming.unfinished.extend_from_slice(&piece);
            return outputs.sends.push(acknowledge);
        }
        let chunk = if incoming.unfinished.is_empty() {
            piece
        } else {
            incoming.unfinished.extend_from_slice(&piece);
            Bytes::from(std::mem::take(&mut incoming.unfinished))
        };
        let taken = if incoming.header.is_none() {
            let header = Header::decode(chunk.clone()).ok();
            incoming.header = header.filter(|header| header.is_plausible(&self.settings));
            incoming.header.is_some()
        } else {
            incoming.keyspace.restore_chunk(&chunk).is_ok()
        };
        if !taken {
            self.refuse_peer(from, "a snapshot chunk that does not decode", outputs);
            return self.abandon_file(outputs);
        }
        incoming.next += 1;
        incoming.bytes += chunk.len() as u64;
        if self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Chunk(chunk));
        }
        outputs.sends.push(acknowledge);
    }

    /// A consensus message; one that carries a snapshot counts only if its chunks are all here.
    pub(super) fn on_consensus(&mut self, now: Now, from: PeerId, reader: Reader, outputs: &mut Outputs) {
        if let Some(place) = snapshot_of(reader.clone()) {
            let complete = |incoming: &Incoming| {
                (incoming.from, incoming.index, incoming.term) == (from, place.index, place.term)
                    && incoming
                        .header
                        .as_ref()
                        .is_some_and(|header| place.is_of(&header.membership))
                    && incoming.unfinished.is_empty()
            };
            match self
                .snapshots
                .incoming
                .as_mut()
                .filter(|incoming| complete(incoming))
            {
                Some(incoming) => incoming.offered = true,
                None => return,
            }
        }
        // Shard time has been reached already, however far this node's clock is behind.
        let latest_ms = self.clock.estimate_ms(now).max(self.keyspace.time_ms());
        let latest_ms = latest_ms.saturating_add(limits::CLOCK_AHEAD_MS_MAX);
        if let Err(reason) = self.consensus.step(from, reader, latest_ms) {
            self.refuse_peer(from, reason, outputs);
        }
    }

    /// A peer has said what no correct peer says.
    pub(super) fn refuse_peer(&mut self, peer: PeerId, reason: &'static str, outputs: &mut Outputs) {
        outputs.events.push(Event::PeerImplausible { peer, reason });
    }

    /// Consensus had no use for a snapshot that was offered: the log here is at or past its end.
    pub(super) fn drop_refused_snapshot(&mut self, outputs: &mut Outputs) {
        if self
            .snapshots
            .incoming
            .as_ref()
            .is_some_and(|incoming| incoming.offered)
        {
            self.abandon_file(outputs);
        }
    }

    /// Consensus accepted the snapshot: the state beside becomes the state.
    pub(super) fn install(&mut self, now: Now, index: u64, term: u64, outputs: &mut Outputs) {
        let incoming = self
            .snapshots
            .incoming
            .take()
            .expect("only a complete snapshot is given to consensus");
        assert_eq!(
            (incoming.index, incoming.term),
            (index, term),
            "consensus accepts what was received"
        );
        let header = incoming
            .header
            .expect("only a complete snapshot is given to consensus");
        if self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::End {
                index,
                drop_log_to: index,
            });
        }
        self.abandon_entry(outputs);
        let before = std::mem::replace(&mut self.keyspace, incoming.keyspace);
        self.keyspace.observe_as(&before);
        self.slow.restart();
        self.keyspace.track(self.memory.limit.tracking());
        self.lanes = self.decode_lanes(&header.lanes);
        self.adopt_users(&header.users);
        self.forwarders = header.forwarders;
        self.adopt_membership(header.membership, outputs);
        self.held.clear();
        self.applied = index;
        self.applied_term = term;
        self.snapshots.installed += 1;
        self.snapshots.applied_bytes = 0;
        self.snapshots.disk_bytes = incoming.bytes;
        self.consensus.installed(index);
        outputs.events.push(Event::SnapshotInstalled { index });
        self.answer_skipped(outputs);
        self.restart_origin_waits(now, outputs);
        self.outbox.term_applied(term);
    }

    /// The snapshot skipped the places of some own batches: they were applied, with replies that nobody
    /// recorded.
    fn answer_skipped(&mut self, outputs: &mut Outputs) {
        let identity = self.settings.identity;
        self.give_up_blocked(outputs);
        let Some(known) = self.forwarders.get(&identity.peer).copied() else {
            return;
        };
        if known.incarnation != identity.incarnation {
            return;
        }
        for sealed in self.outbox.take_skipped(known.sequence) {
            self.fail_batch(sealed, words::UNKNOWN_SKIPPED, outputs);
        }
    }
}
