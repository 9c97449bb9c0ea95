//! Snapshots: walking the own state for the disk and for followers, sending it, and taking one in.
//!
//! A walk is consistent as of its begin while apply goes on (the table saves pre-images of what it has
//! not visited). Its first chunk is the replica's own header, the others are the keyspace's. For a
//! follower the chunks are kept until every transfer that needs them is over.
//!
//! Invariants: one walk at a time; the log is never compacted beyond a snapshot that is being sent, so
//! that the receiver can go on from its end; received chunks build a state beside the present one, which
//! is replaced only when consensus accepts the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use repligo_proto::words;

use super::{Forwarder, Replica};
use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::consensus::snapshot_index;
use crate::contract::{Durability, Event, Outputs, PeerId, Role, Send, SnapshotIo};
use crate::keyspace::Keyspace;
use crate::limits;
use crate::message::Message;
use crate::origin::Lanes;
use crate::time::Now;

const HEADER_VERSION: u8 = 1;
/// A prepared snapshot that nobody fetches is dropped after this.
const UNUSED_US: u64 = 30_000_000;
/// Chunks made per tick; bounds the time that a walk takes from one turn.
const CHUNKS_PER_TICK: usize = 8;

/// A walk over the own state.
#[derive(Debug)]
struct Walk {
    index: u64,
    term: u64,
    to_disk: bool,
    keep: bool,
    bytes: u64,
    chunks: Vec<Bytes>,
}

/// A finished walk whose chunks followers can have.
#[derive(Debug)]
struct Prepared {
    index: u64,
    term: u64,
    chunks: Vec<Bytes>,
    used_us: u64,
}

/// A snapshot on its way to one follower.
#[derive(Debug)]
struct Transfer {
    index: u64,
    next: u64,
    acknowledged: u64,
    /// The consensus message that tells the follower to take it; leaves after the last chunk.
    message: Bytes,
}

/// A snapshot on its way in.
#[derive(Debug)]
struct Incoming {
    from: PeerId,
    index: u64,
    term: u64,
    next: u64,
    header: Option<Header>,
    keyspace: Keyspace,
    /// Complete, and given to consensus.
    offered: bool,
}

/// What of a replica's state is not in the keyspace.
#[derive(Debug, Default)]
struct Header {
    forwarders: BTreeMap<PeerId, Forwarder>,
    /// Encoded origin lanes.
    lanes: Bytes,
}

/// All snapshot work of a replica.
#[derive(Debug, Default)]
pub struct Snapshots {
    walk: Option<Walk>,
    prepared: Option<Prepared>,
    wanted: BTreeSet<PeerId>,
    transfers: BTreeMap<PeerId, Transfer>,
    incoming: Option<Box<Incoming>>,
    /// Payload bytes applied since the last disk snapshot began.
    pub applied_bytes: u64,
    /// Size of the last disk snapshot: writing one costs that much, so the log may grow as long first.
    disk_bytes: u64,
    /// Snapshots taken in since start.
    pub installed: u64,
    saving: bool,
}

impl Snapshots {
    /// The disk holds the snapshot.
    pub fn saved(&mut self, _index: u64) {
        self.saving = false;
    }
}

impl Header {
    fn encode(&self) -> Bytes {
        let mut out = vec![HEADER_VERSION];
        put_varint(&mut out, self.forwarders.len() as u64);
        for (peer, forwarder) in &self.forwarders {
            put_varint(&mut out, *peer);
            put_varint(&mut out, forwarder.incarnation);
            put_varint(&mut out, forwarder.sequence);
        }
        put_bytes(&mut out, &self.lanes);
        Bytes::from(out)
    }

    fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != HEADER_VERSION {
            return Err(Malformed);
        }
        let mut header = Self::default();
        for _ in 0..reader.varint()? {
            let peer = reader.varint()?;
            let forwarder = Forwarder {
                incarnation: reader.varint()?,
                sequence: reader.varint()?,
            };
            header.forwarders.insert(peer, forwarder);
        }
        header.lanes = reader.bytes()?;
        if reader.is_empty() {
            Ok(header)
        } else {
            Err(Malformed)
        }
    }
}

impl Replica {
    /// Restores the state from a complete snapshot at start.
    pub(super) fn restore(&mut self, index: u64, term: u64, chunks: &[Bytes]) {
        let (header, rest) = chunks.split_first().expect("a snapshot has a header chunk");
        let header = Header::decode(header.clone()).expect("the driver has checked the snapshot's checksums");
        for chunk in rest {
            self.keyspace
                .restore_chunk(chunk)
                .expect("the driver has checked the snapshot's checksums");
        }
        self.forwarders = header.forwarders;
        self.lanes = self.decode_lanes(&header.lanes);
        self.applied = index;
        self.applied_term = term;
    }

    fn decode_lanes(&self, encoded: &[u8]) -> Lanes {
        Lanes::restore(self.settings.origin.clone(), &mut &encoded[..])
            .expect("the driver has checked that the snapshot is of the same configuration")
    }

    /// Starts, continues and ends walks; compacts the log in memory.
    pub(super) fn snapshot_tick(&mut self, now: Now, outputs: &mut Outputs) {
        let wanted = self.consensus.take_snapshot_wanted();
        self.snapshots.wanted.extend(wanted);
        self.drop_unused(now);
        self.start_walk_if_needed(now, outputs);
        for _ in 0..CHUNKS_PER_TICK {
            self.continue_walk(now, outputs);
        }
        self.compact_log();
    }

    fn start_walk_if_needed(&mut self, _now: Now, outputs: &mut Outputs) {
        if self.snapshots.walk.is_some() || self.snapshots.incoming.is_some() {
            return;
        }
        let keep = !self.snapshots.wanted.is_empty()
            && self.snapshots.prepared.is_none()
            && self.consensus.role() == Role::Leader;
        let durable = self.settings.durability != Durability::None;
        let to_disk = durable
            && !self.snapshots.saving
            && self.snapshots.applied_bytes > self.settings.log_bytes_max.max(self.snapshots.disk_bytes);
        if !(keep || to_disk) || self.applied == 0 {
            return;
        }
        let (index, term) = (self.applied, self.applied_term);
        let mut lanes = Vec::new();
        self.lanes.encode(&mut lanes);
        let header = Header {
            forwarders: self.forwarders.clone(),
            lanes: Bytes::from(lanes),
        }
        .encode();
        self.keyspace.snapshot_begin();
        let mut walk = Walk {
            index,
            term,
            to_disk,
            keep,
            bytes: 0,
            chunks: Vec::new(),
        };
        if to_disk {
            self.snapshots.applied_bytes = 0;
            self.snapshots.saving = true;
            outputs.snapshot.push(SnapshotIo::Begin { index, term });
        }
        take_chunk(&mut walk, header, outputs);
        self.snapshots.walk = Some(walk);
    }

    fn continue_walk(&mut self, now: Now, outputs: &mut Outputs) {
        let Some(mut walk) = self.snapshots.walk.take() else {
            return;
        };
        let mut chunk = Vec::new();
        let done = self
            .keyspace
            .snapshot_next(&mut chunk, limits::SNAPSHOT_CHUNK_BYTES);
        if !chunk.is_empty() {
            take_chunk(&mut walk, Bytes::from(chunk), outputs);
        }
        if !done {
            self.snapshots.walk = Some(walk);
            return;
        }
        let (index, term) = (walk.index, walk.term);
        if walk.to_disk {
            self.snapshots.disk_bytes = walk.bytes;
            outputs.snapshot.push(SnapshotIo::End {
                index,
                drop_log_to: index,
            });
        }
        if walk.keep {
            let prepared = Prepared {
                index,
                term,
                chunks: walk.chunks,
                used_us: now.mono_us,
            };
            self.snapshots.prepared = Some(prepared);
            self.snapshots.wanted.clear();
            self.consensus.set_prepared_snapshot(Some((index, term)));
        }
    }

    fn drop_unused(&mut self, now: Now) {
        let sending = !self.snapshots.transfers.is_empty();
        // Consensus asks again only if the prepared one is too old for the follower.
        let too_old = !sending && !self.snapshots.wanted.is_empty();
        let Some(prepared) = &mut self.snapshots.prepared else {
            return;
        };
        if sending {
            prepared.used_us = now.mono_us;
        }
        if too_old
            || now.mono_us.saturating_sub(prepared.used_us) > UNUSED_US
            || self.consensus.role() != Role::Leader
        {
            self.snapshots.prepared = None;
            self.consensus.set_prepared_snapshot(None);
        }
    }

    /// Keeps about half of the bound for followers that lag; a lone voter needs none.
    fn compact_log(&mut self) {
        let max = self.settings.log_bytes_max;
        let (trigger, keep) = if self.settings.voters.len() == 1 {
            (limits::LONE_LOG_BYTES_MAX, 0)
        } else {
            (max, max / 2)
        };
        if self.consensus.log().bytes() <= trigger {
            return;
        }
        let mut point = self.consensus.log().compaction_point(keep);
        if let Some(walk) = self.snapshots.walk.as_ref().filter(|walk| walk.keep) {
            point = point.min(walk.index);
        }
        if let Some(prepared) = &self.snapshots.prepared {
            point = point.min(prepared.index);
        }
        self.consensus.compact(point);
    }

    /// Consensus wants a follower to have the prepared snapshot: its chunks go first.
    pub(super) fn start_transfer(&mut self, peer: PeerId, index: u64, message: Bytes, outputs: &mut Outputs) {
        // Without a stream everything would be lost, and nothing would ever tell that it was.
        let connected = self.peers.get(&peer).is_some_and(|peer| peer.connected);
        let prepared = self.snapshots.prepared.as_ref();
        let Some(prepared) = prepared.filter(|prepared| connected && prepared.index == index) else {
            return self.consensus.snapshot_sent(peer, false);
        };
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
            },
        );
        self.continue_transfer(peer, outputs);
    }

    fn continue_transfer(&mut self, peer: PeerId, outputs: &mut Outputs) {
        let snapshots = &mut self.snapshots;
        let (Some(prepared), Some(transfer)) = (&snapshots.prepared, snapshots.transfers.get_mut(&peer))
        else {
            return;
        };
        let count = prepared.chunks.len() as u64;
        let window = limits::SNAPSHOT_CHUNKS_IN_FLIGHT as u64;
        while transfer.next < count && transfer.next < transfer.acknowledged + window {
            let chunk = prepared.chunks[transfer.next as usize].clone();
            let message = Message::SnapshotChunk {
                index: transfer.index,
                number: transfer.next,
                chunk,
            };
            outputs.sends.push(Send {
                to: peer,
                message: message.encode(),
            });
            transfer.next += 1;
        }
        if transfer.acknowledged < count {
            return;
        }
        outputs.sends.push(Send {
            to: peer,
            message: transfer.message.clone(),
        });
        snapshots.transfers.remove(&peer);
        self.consensus.snapshot_sent(peer, true);
    }

    /// A follower has taken a chunk.
    pub(super) fn on_snapshot_ack(&mut self, from: PeerId, index: u64, number: u64, outputs: &mut Outputs) {
        let Some(transfer) = self.snapshots.transfers.get_mut(&from) else {
            return;
        };
        if transfer.index == index && number < transfer.next {
            transfer.acknowledged = transfer.acknowledged.max(number + 1);
            self.continue_transfer(from, outputs);
        }
    }

    /// The stream to a peer is gone: transfers in both directions start anew.
    pub(super) fn peer_lost_snapshots(&mut self, peer: PeerId) {
        if self.snapshots.transfers.remove(&peer).is_some() {
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
        self.abandon_file(outputs);
        if self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Begin { index, term });
        }
        let keyspace = Keyspace::new(self.settings.hash_seed);
        let incoming = Incoming {
            from,
            index,
            term,
            next: 0,
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
        let walking = walk.is_some_and(|walk| walk.to_disk);
        if walking {
            self.snapshots.saving = false;
        }
        let incoming = self.snapshots.incoming.take().is_some();
        if (walking || incoming) && self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Abort);
        }
    }

    /// The next chunk of it.
    pub(super) fn on_snapshot_chunk(
        &mut self,
        from: PeerId,
        position: (u64, u64),
        chunk: Bytes,
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
        let taken = if number == 0 {
            Header::decode(chunk.clone())
                .map(|header| incoming.header = Some(header))
                .is_ok()
        } else {
            incoming.keyspace.restore_chunk(&chunk).is_ok()
        };
        if !taken {
            outputs.events.push(Event::Warning(format!(
                "chunk {number} of a snapshot of node {from} does not decode"
            )));
            return self.abandon_file(outputs);
        }
        incoming.next += 1;
        if self.settings.durability != Durability::None {
            outputs.snapshot.push(SnapshotIo::Chunk(chunk));
        }
        outputs.sends.push(Send {
            to: from,
            message: Message::SnapshotAck { index, number }.encode(),
        });
    }

    /// A consensus message; one that carries a snapshot counts only if its chunks are all here.
    pub(super) fn on_consensus(&mut self, from: PeerId, reader: Reader, outputs: &mut Outputs) {
        if let Some(index) = snapshot_index(reader.clone()) {
            let complete = |incoming: &Incoming| incoming.index == index && incoming.header.is_some();
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
        if self.consensus.step(from, reader).is_err() {
            outputs.events.push(Event::Warning(format!(
                "a consensus message of node {from} does not decode"
            )));
        }
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
        self.keyspace = incoming.keyspace;
        self.lanes = self.decode_lanes(&header.lanes);
        self.forwarders = header.forwarders;
        self.held.clear();
        self.applied = index;
        self.applied_term = term;
        self.snapshots.installed += 1;
        self.snapshots.applied_bytes = 0;
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

fn take_chunk(walk: &mut Walk, chunk: Bytes, outputs: &mut Outputs) {
    walk.bytes += chunk.len() as u64;
    if walk.to_disk {
        outputs.snapshot.push(SnapshotIo::Chunk(chunk.clone()));
    }
    if walk.keep {
        walk.chunks.push(chunk);
    }
}
