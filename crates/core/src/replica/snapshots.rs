//! Snapshots: walking the own state for the disk and for followers. Sending and receiving is in
//! `transfers.rs`.
//!
//! A walk is consistent as of its begin while apply goes on (the table saves pre-images of what it has
//! not visited). Its first chunk is the replica's own header, the others are the keyspace's. For a
//! follower the chunks are kept until every transfer that needs them is over.
//!
//! Invariants: one walk at a time; the log is never compacted beyond a snapshot that is being sent, so
//! that the receiver can go on from its end; received chunks build a state beside the present one, which
//! is replaced only when consensus accepts the snapshot.

mod header;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

pub use self::header::Header;
use super::Replica;
use crate::bugs::Bug;
use crate::contract::{Durability, Outputs, PeerId, Role, SnapshotIo};
use crate::entry::into_buffer;
use crate::keyspace::Keyspace;
use crate::limits;
use crate::origin::Lanes;
use crate::time::Now;

/// A prepared snapshot that nobody fetches is dropped after this.
const UNUSED_US: u64 = 30_000_000;
/// Chunks made between two ticks at least; those that turns have not made are made at the tick.
/// Few for the simulator, so that a walk goes on while collections change.
const CHUNKS_PER_TICK: usize = if cfg!(feature = "bugs") { 2 } else { 16 };
/// Distance of chunks that turns make: in between, requests catch up with what one held up.
const CHUNK_EVERY_US: u64 = limits::TICK_US / 32;

/// A walk over the own state.
#[derive(Debug)]
pub struct Walk {
    pub index: u64,
    pub term: u64,
    pub to_disk: bool,
    pub keep: bool,
    pub bytes: u64,
    /// Bytes of log whose place it takes on disk.
    pub log_bytes: u64,
    pub pieces: Vec<Piece>,
}

/// What one message to a follower carries.
#[derive(Clone, Debug)]
pub struct Piece {
    pub bytes: Bytes,
    /// The last one of its chunk.
    pub ends: bool,
}

/// A finished walk whose chunks followers can have.
#[derive(Debug)]
pub struct Prepared {
    pub index: u64,
    pub term: u64,
    pub pieces: Vec<Piece>,
    pub used_us: u64,
}

/// A snapshot on its way to one follower.
#[derive(Debug)]
pub struct Transfer {
    pub index: u64,
    pub next: u64,
    pub acknowledged: u64,
    /// The consensus message that tells the follower to take it; leaves after the last chunk.
    pub message: Bytes,
    /// It has left: the follower writes what it has, and goes on from its end in the log.
    pub delivered: bool,
    /// When something of it was acknowledged last, or it was delivered.
    pub progress_us: u64,
}

/// A snapshot on its way in.
#[derive(Debug)]
pub struct Incoming {
    pub from: PeerId,
    pub index: u64,
    pub term: u64,
    pub next: u64,
    /// The pieces so far of a chunk that has not ended.
    pub unfinished: Vec<u8>,
    /// Bytes of all chunks so far.
    pub bytes: u64,
    pub header: Option<Header>,
    pub keyspace: Keyspace,
    /// Complete, and given to consensus.
    pub offered: bool,
}

/// All snapshot work of a replica.
#[derive(Debug, Default)]
pub struct Snapshots {
    pub(super) walk: Option<Walk>,
    pub(super) prepared: Option<Prepared>,
    pub(super) wanted: BTreeSet<PeerId>,
    pub(super) transfers: BTreeMap<PeerId, Transfer>,
    pub(super) incoming: Option<Box<Incoming>>,
    /// Bytes of log on disk of what was applied since the last disk snapshot began.
    pub applied_bytes: u64,
    /// Size of the snapshot on disk.
    pub(super) disk_bytes: u64,
    /// Snapshots taken in since start.
    pub installed: u64,
    pub(super) saving: bool,
    /// Index of the snapshot on disk, 0 for none.
    pub(super) saved_index: u64,
    /// Somebody waits for a snapshot on disk that has everything up to here; 0 for nobody.
    pub(super) asked_index: u64,
    /// The end of an own snapshot was given out last, and is not on disk: bytes of log whose place it takes.
    pub(super) unsaved: Option<u64>,
    /// Chunks that turns have made since the last tick.
    made_since_tick: usize,
    /// When a turn made the last one.
    made_us: u64,
}

impl Snapshots {
    /// The disk holds the snapshot.
    pub fn saved(&mut self, index: u64) {
        self.saved_index = self.saved_index.max(index);
        self.saving = false;
        self.unsaved = None;
    }
}

impl Replica {
    /// Restores the state from a complete snapshot at start.
    pub(super) fn restore(&mut self, index: u64, term: u64, chunks: &[Bytes]) {
        let (_, rest) = chunks.split_first().expect("a snapshot has a header chunk");
        let header = Header::of_chunks(chunks);
        for chunk in rest {
            self.keyspace
                .restore_chunk(chunk)
                .expect("the driver has checked the snapshot's checksums");
        }
        self.snapshots.disk_bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.snapshots.saved_index = index;
        self.forwarders = header.forwarders;
        match header.lanes.is_empty() {
            true => self.begin_lanes(),
            false => self.lanes = self.decode_lanes(&header.lanes),
        }
        self.adopt_users(&header.users);
        self.applied = index;
        self.applied_term = term;
    }

    pub(super) fn decode_lanes(&self, encoded: &[u8]) -> Lanes {
        Lanes::restore(self.settings.origin.clone(), &mut &encoded[..])
            .expect("the driver has checked that the snapshot is of the same configuration")
    }

    /// Starts, continues and ends walks; compacts the log in memory.
    pub(super) fn snapshot_tick(&mut self, now: Now, outputs: &mut Outputs) {
        let wanted = self.consensus.take_snapshot_wanted();
        self.snapshots.wanted.extend(wanted);
        self.drop_stuck_transfers(now);
        self.drop_unused(now);
        self.start_walk_if_needed(now, outputs);
        let made = std::mem::take(&mut self.snapshots.made_since_tick);
        for _ in made..CHUNKS_PER_TICK {
            self.continue_walk(now, outputs);
        }
        self.compact_log();
    }

    /// With every turn: continues a walk.
    pub(super) fn snapshot_turn(&mut self, now: Now, outputs: &mut Outputs) {
        let snapshots = &mut self.snapshots;
        if snapshots.walk.is_some() && now.mono_us.saturating_sub(snapshots.made_us) >= CHUNK_EVERY_US {
            snapshots.made_us = now.mono_us;
            snapshots.made_since_tick += 1;
            self.continue_walk(now, outputs);
        }
    }

    fn start_walk_if_needed(&mut self, now: Now, outputs: &mut Outputs) {
        let snapshots = &self.snapshots;
        if snapshots.walk.is_some() || snapshots.incoming.is_some() || self.applying.is_some() || self.removed
        {
            return;
        }
        let keep = !self.snapshots.wanted.is_empty()
            && self.snapshots.prepared.is_none()
            && self.consensus.role() == Role::Leader;
        let to_disk = !self.snapshots.saving && self.wants_disk_snapshot(now);
        if !(keep || to_disk) || self.applied == 0 {
            return;
        }
        let (index, term) = (self.applied, self.applied_term);
        let mut lanes = Vec::new();
        self.lanes.encode(&mut lanes);
        let mut users = Vec::new();
        if !Bug::SnapshotWithoutUsers.is_in_force() {
            self.users.encode(&mut users);
        }
        let header = Header {
            membership: self.membership.clone(),
            forwarders: self.forwarders.clone(),
            lanes: Bytes::from(lanes),
            users: Bytes::from(users),
        }
        .encode();
        self.keyspace.snapshot_begin();
        let mut walk = Walk {
            index,
            term,
            to_disk,
            keep,
            bytes: 0,
            log_bytes: 0,
            pieces: Vec::new(),
        };
        if to_disk {
            walk.log_bytes = std::mem::take(&mut self.snapshots.applied_bytes);
            self.snapshots.saving = true;
            outputs.snapshot.push(SnapshotIo::Begin { index, term });
        }
        take_chunk(&mut walk, header, outputs);
        self.snapshots.walk = Some(walk);
    }

    /// A snapshot on disk would take the place of much log; where the disk is full, of more than it takes itself.
    fn wants_disk_snapshot(&self, now: Now) -> bool {
        if self.settings.durability == Durability::None || now.mono_us < self.space.snapshot_after_us {
            return false;
        }
        let bytes_max = match self.space.is_full() {
            true => self.snapshots.disk_bytes.max(limits::SNAPSHOT_GAIN_BYTES_MIN),
            false => self.disk_log_bytes_max(),
        };
        self.snapshots.applied_bytes > bytes_max || self.snapshots.asked_index > self.snapshots.saved_index
    }

    /// Bytes of log at which a snapshot takes their place on disk. Writing one costs its size, so the log may grow
    /// as long first; where that is little, a small multiple keeps snapshots rare, up to a bound beyond which
    /// a restart would have to read much for nothing.
    fn disk_log_bytes_max(&self) -> u64 {
        let snapshot_bytes = self.snapshots.disk_bytes;
        let multiple = limits::DISK_LOG_BYTES_MIN + 2 * snapshot_bytes;
        snapshot_bytes.max(multiple.min(self.settings.log_bytes_max))
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
            self.snapshots.unsaved = Some(walk.log_bytes);
            outputs.snapshot.push(SnapshotIo::End {
                index,
                drop_log_to: index,
            });
        }
        if walk.keep {
            let prepared = Prepared {
                index,
                term,
                pieces: walk.pieces,
                used_us: now.mono_us,
            };
            self.snapshots.prepared = Some(prepared);
            self.snapshots.wanted.clear();
            self.consensus.set_prepared_snapshot(Some((index, term)));
        }
    }

    fn drop_unused(&mut self, now: Now) {
        let sending = self
            .snapshots
            .transfers
            .values()
            .any(|transfer| !transfer.delivered);
        // Consensus asks again only if the prepared one is too old for the follower.
        let too_old = !sending && !self.snapshots.wanted.is_empty();
        let Some(prepared) = &mut self.snapshots.prepared else {
            return;
        };
        let passed = prepared.index + 1 < self.consensus.log().first_index();
        if passed {
            let transfers = std::mem::take(&mut self.snapshots.transfers);
            let open = transfers.iter().filter(|(_, transfer)| !transfer.delivered);
            open.for_each(|(peer, _)| self.consensus.snapshot_sent(*peer, false));
        }
        if too_old
            || passed
            || now.mono_us.saturating_sub(prepared.used_us) > UNUSED_US
            || self.consensus.role() != Role::Leader
        {
            self.snapshots.prepared = None;
            self.consensus.set_prepared_snapshot(None);
        }
    }

    /// Forgets the oldest entries beyond the bound: what is within it is for followers that lag. A single voter
    /// has none, and forgets all.
    pub(super) fn compact_log(&mut self) {
        self.compact_to_bound();
        for data in self.consensus.take_forgotten() {
            if let Some(buffer) = into_buffer(data) {
                self.give_back(buffer);
            }
        }
    }

    /// The buffer is used no more: its memory goes back to the system in pieces, in the turns that come, if it is long.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        self.keyspace.give_back(buffer);
    }

    fn compact_to_bound(&mut self) {
        let trigger = self.log_trigger_bytes();
        if self.consensus.log().bytes() <= trigger {
            return;
        }
        let keep = if self.membership.is_alone() { 0 } else { trigger };
        let log = self.consensus.log();
        let mut point = log.compaction_point(keep, limits::ENTRIES_FORGOTTEN_MAX);
        if log.bytes() > limits::SNAPSHOT_PIN_FACTOR * trigger.max(limits::SNAPSHOT_PIN_BYTES_MIN) {
            // Whoever receives a snapshot so slowly gets another one.
            return self.consensus.compact(point);
        }
        if let Some(walk) = self.snapshots.walk.as_ref().filter(|walk| walk.keep) {
            point = point.min(walk.index);
        }
        if let Some(prepared) = &self.snapshots.prepared {
            point = point.min(prepared.index);
        }
        let transfers = self.snapshots.transfers.values();
        point = transfers.fold(point, |point, transfer| point.min(transfer.index));
        self.consensus.compact(point);
    }
}

fn take_chunk(walk: &mut Walk, chunk: Bytes, outputs: &mut Outputs) {
    walk.bytes += chunk.len() as u64;
    if walk.to_disk {
        outputs.snapshot.push(SnapshotIo::Chunk(chunk.clone()));
    }
    if walk.keep {
        walk.pieces.extend(cut(&chunk, limits::SNAPSHOT_PIECE_BYTES_MAX));
    }
}

/// The pieces of a chunk, which share its memory.
fn cut(chunk: &Bytes, piece_bytes: usize) -> impl Iterator<Item = Piece> {
    let starts = (0..chunk.len().max(1)).step_by(piece_bytes);
    starts.map(move |start| {
        let end = (start + piece_bytes).min(chunk.len());
        Piece {
            bytes: chunk.slice(start..end),
            ends: end == chunk.len(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_their_chunk_and_only_the_last_one_ends_it() {
        for (chunk_bytes, count) in [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (9, 3)] {
            let chunk = Bytes::from_iter(0..chunk_bytes);
            let pieces: Vec<Piece> = cut(&chunk, 4).collect();
            assert_eq!(pieces.len(), count);
            assert!(
                pieces
                    .iter()
                    .rev()
                    .enumerate()
                    .all(|(at, piece)| piece.ends == (at == 0))
            );
            let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect();
            assert_eq!(whole, chunk);
        }
    }
}
