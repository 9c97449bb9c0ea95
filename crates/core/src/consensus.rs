//! The consensus library (`raft` 0.7.0), walled in: no file of the workspace names it but this one, its
//! `encoding.rs`, where its messages get bytes of ours, and its `members.rs`, where our membership becomes its.
//!
//! What is here: building and driving one `RawNode`, and our storage view over [`Log`]. What is not here: the
//! meaning of entries, leases, requests, snapshots' content.
//!
//! The traps of `architecture.md`, and where each is handled:
//! - thread-local random election timeouts: [`election_ticks`] pins them, distinct per replica;
//! - unsound lease reads: `ReadOnlyOption::Safe` in [`config`]; our lease is in `replica/lease.rs`;
//! - dropped `read_index`: `replica/lease.rs` starts rounds again and matches by context;
//! - changes of the membership: `members.rs`; they count once they are applied, one at a time;
//! - silent forwarding of proposals: [`Consensus::propose`] checks the role first;
//! - proposals have no ticket: batches carry (node, incarnation, sequence), `replica/requests.rs`;
//! - messages before and after durability: [`Consensus::drive`] splits them;
//! - unlimited uncommitted and committed sizes: set in [`config`];
//! - ordered streams per peer: the driver's duty; a loss is told by [`Consensus::peer_lost`];
//! - delayed or reused peer ids: refused by the driver (identity on every frame);
//! - a new leader must not expose inherited entries before the lease wait: [`Consensus::cap_commit`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use raft::eraftpb::{
    ConfState, Entry, HardState as RaftHardState, Message, MessageType, Snapshot, SnapshotMetadata,
};
use raft::storage::{GetEntriesContext, RaftState, Storage};
use raft::{Config, Error, RawNode, ReadOnlyOption, Ready, SnapshotStatus, StateRole, StorageError};

use crate::codec::Reader;
use crate::contract::{Boot, HardState, PeerId, Persist, Role, Send};
use crate::driven::{Driven, FollowerProgress};
use crate::limits;
use crate::log::Log;
use crate::membership::Membership;

mod encoding;
mod judge;
mod members;

pub use encoding::snapshot_of;
use encoding::{Encoder, decode_message, from_raft_entry, from_raft_kind, to_raft_entry};
pub use judge::Implausible;
pub(crate) use members::{change_of, encode_removal};

/// Why a proposal was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// This replica does not lead.
    NotLeader,
    /// Too much is proposed and not committed, or leadership is being handed over; try again later.
    Busy,
}

/// Our view of the log for the library. Interior mutability only for what `snapshot` is asked for.
struct LogStorage {
    log: Log,
    /// What votes, as of the last change that was applied.
    conf: ConfState,
    /// Log index of that change.
    conf_index: u64,
    /// (index, term) of a snapshot whose chunks can be sent now.
    prepared: Option<(u64, u64)>,
    /// Followers that need a snapshot and found none prepared.
    wanted: RefCell<BTreeSet<PeerId>>,
}

impl LogStorage {
    fn snapshot_of(&self, index: u64, term: u64) -> Snapshot {
        let mut metadata = SnapshotMetadata {
            index,
            term,
            ..Default::default()
        };
        metadata.set_conf_state(self.conf.clone());
        let mut snapshot = Snapshot::default();
        snapshot.set_metadata(metadata);
        snapshot
    }
}

impl Storage for LogStorage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let ours = self.log.hard_state();
        let theirs = RaftHardState {
            term: ours.term,
            vote: ours.vote,
            commit: ours.commit,
            ..Default::default()
        };
        Ok(RaftState::new(theirs, self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.log.first_index() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.log.last_index() + 1,
            "consensus asks for entries that were never given to it"
        );
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        Ok(self.log.range(low, high, bytes_max).map(to_raft_entry).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.log.term(index) {
            Some(term) => Ok(term),
            None if index < self.log.first_index() => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.first_index())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.last_index())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        match self.prepared {
            // One from before the last change of the membership would say other voters than it was made with.
            Some((index, term))
                if index >= request_index.max(self.conf_index) && index + 1 >= self.log.first_index() =>
            {
                Ok(self.snapshot_of(index, term))
            }
            _ => {
                self.wanted.borrow_mut().insert(to);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}

/// One replica's consensus state machine.
pub struct Consensus {
    node: RawNode<LogStorage>,
    me: PeerId,
    /// Election timeout of this replica, see [`election_ticks`].
    election_ticks: usize,
    /// Set by a new leader until it serves: nobody may learn a commit index above it from us.
    commit_cap: Option<u64>,
    /// Highest commit index that was known to the outside before the cap.
    applied: u64,
    /// Number of the last persist that was handed out and is not yet reported durable.
    persist_pending: u64,
    persist_done: u64,
    /// Nothing is ever written to a disk: every ready is durable at once.
    volatile: bool,
    /// The commit index has moved since the hard state was last written. It is only a hint on the disk,
    /// so it is not worth a write of its own and goes with the next entries.
    commit_unwritten: bool,
    /// As leader: the commit index that left last on the present stream to each peer.
    told: BTreeMap<PeerId, u64>,
    /// This replica does not ask for votes, see [`Consensus::set_barred`].
    barred: bool,
    /// The disk takes nothing but a little, see [`Consensus::set_confined`].
    confined: bool,
    encoder: Encoder,
    #[cfg(feature = "bugs")]
    planted: Option<crate::bugs::Bug>,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Consensus")
            .field("me", &self.me)
            .field("term", &self.term())
            .field("role", &self.role())
            .field("commit", &self.commit_index())
            .finish_non_exhaustive()
    }
}

/// Election timeout of a voter in ticks: pinned, because the library draws it from a thread-local random
/// source, and distinct per voter, so that two never campaign in lockstep. Who does not vote never campaigns.
pub fn election_ticks(me: PeerId, voters: &[PeerId]) -> usize {
    let position = voters.iter().position(|&voter| voter == me).unwrap_or(0);
    limits::ELECTION_TICKS + position * limits::ELECTION_STAGGER_TICKS
}

fn config(me: PeerId, applied: u64) -> Config {
    Config {
        id: me,
        election_tick: limits::ELECTION_TICKS,
        heartbeat_tick: limits::HEARTBEAT_TICKS,
        applied,
        max_size_per_msg: limits::APPEND_BYTES_MAX,
        max_inflight_msgs: limits::INFLIGHT_APPENDS_MAX,
        check_quorum: true,
        pre_vote: true,
        // What it draws in between is replaced before each tick, see [`Consensus::tick`].
        min_election_tick: limits::ELECTION_TICKS,
        max_election_tick: limits::ELECTION_TICKS + limits::MEMBERS_MAX * limits::ELECTION_STAGGER_TICKS,
        read_only_option: ReadOnlyOption::Safe,
        // Told with the next append, or by [`Consensus::announce_commit`].
        skip_bcast_commit: true,
        batch_append: false,
        priority: 0,
        max_uncommitted_size: limits::UNCOMMITTED_BYTES_MAX,
        max_committed_size_per_ready: limits::COMMITTED_BYTES_PER_READY_MAX,
    }
}

impl Consensus {
    /// Starts from what the disk held; `boot.snapshot` was restored by the caller already.
    ///
    /// # Panics
    /// If the log has a gap, or `me` is no member.
    pub fn new(me: PeerId, membership: &Membership, boot: &Boot, volatile: bool) -> Self {
        assert!(membership.get(me).is_some(), "a replica is a member");
        let compacted = boot
            .snapshot
            .as_ref()
            .map_or((0, 0), |(index, term, _)| (*index, *term));
        let mut hard_state = boot.hard_state;
        // The commit index in the hard state is a hint that may lag or (with a lost tail that was never
        // acknowledged) lead what the log holds.
        let log = Log::new(hard_state, compacted, boot.entries.clone());
        hard_state.commit = hard_state.commit.clamp(compacted.0, log.last_index());
        let mut log = log;
        log.set_hard_state(hard_state);
        let storage = LogStorage {
            log,
            conf: members::conf_state(membership),
            conf_index: membership.index(),
            prepared: None,
            wanted: RefCell::new(BTreeSet::new()),
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config(me, compacted.0), storage, &logger)
            .expect("the configuration is valid and our storage does not fail");
        let mut consensus = Self {
            node,
            me,
            election_ticks: election_ticks(me, &membership.voters()),
            commit_cap: None,
            applied: compacted.0,
            persist_pending: 0,
            persist_done: 0,
            volatile,
            commit_unwritten: false,
            told: BTreeMap::new(),
            barred: false,
            confined: false,
            encoder: Encoder::default(),
            #[cfg(feature = "bugs")]
            planted: None,
        };
        if membership.decides_alone(me) {
            // Nobody else can be the leader: do not make a single voter wait for its own timeout.
            consensus
                .node
                .campaign()
                .expect("a single voter may always campaign");
        }
        consensus
    }

    /// Current term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Current role.
    pub fn role(&self) -> Role {
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    /// Known leader of the current term, 0 for none.
    pub fn leader(&self) -> PeerId {
        self.node.raft.leader_id
    }

    /// Commit index as consensus knows it; a new leader keeps it to itself until it serves.
    pub fn commit_index(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// True when this leader has committed an entry of its own term.
    pub fn committed_in_term(&self) -> bool {
        self.role() == Role::Leader && self.node.raft.commit_to_current_term()
    }

    /// Index of the last entry, proposed ones included.
    pub fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// The log in memory.
    pub fn log(&self) -> &Log {
        &self.node.store().log
    }

    /// What the leader knows of its followers; empty elsewhere.
    pub fn followers(&self) -> Vec<FollowerProgress> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let tracker = self.node.raft.prs();
        let others = tracker.iter().filter(|(peer, _)| **peer != self.me);
        let mut followers: Vec<FollowerProgress> = others
            .map(|(&peer, progress)| FollowerProgress {
                peer,
                matched: progress.matched,
            })
            .collect();
        // The library's map has no order.
        followers.sort_unstable_by_key(|follower| follower.peer);
        followers
    }

    /// One tick of the logical clock.
    pub fn tick(&mut self) {
        if !self.is_installing() {
            self.node
                .raft
                .set_randomized_election_timeout(self.election_ticks);
            self.node.tick();
        }
    }

    /// True while a follower's disk does not hold a snapshot that has replaced its state. The library cannot
    /// know it as applied until then, and panics if it campaigns: it looks for the entries that are gone.
    fn is_installing(&self) -> bool {
        let replaced = self.node.store().log.first_index() > self.node.raft.raft_log.applied + 1;
        replaced && self.role() == Role::Follower
    }

    /// While barred this replica neither asks for votes nor takes leadership that is handed to it. It goes on to
    /// vote: its elections time out like any other's, only nobody hears of them.
    pub fn set_barred(&mut self, barred: bool) {
        self.barred = barred;
    }

    /// While confined, because the disk is full, this replica takes no entries but a few small ones. Others it does not
    /// hear: the leader sends them again, and counts it like one that is cut off.
    pub fn set_confined(&mut self, confined: bool) {
        self.confined = confined;
    }

    /// Takes a message of a peer; `latest_ms` is the highest time stamp that its entries may have.
    ///
    /// # Errors
    /// No correct peer says this; nothing has changed.
    pub fn step(&mut self, from: PeerId, message: Reader, latest_ms: u64) -> Result<(), Implausible> {
        let message = decode_message(from, self.me, message).map_err(|_| "bytes that do not decode")?;
        self.judge(&message, latest_ms)?;
        if (self.is_installing() || self.barred) && message.get_msg_type() == MessageType::MsgTimeoutNow {
            return Ok(());
        }
        if self.confined && judge::is_too_much(&message) {
            return Ok(());
        }
        #[cfg(feature = "bugs")]
        self.count_learner(&message);
        // The errors are "not for me" and "proposal dropped"; both are silence to the sender.
        let _ = self.node.step(message);
        Ok(())
    }

    /// Proposes one entry.
    pub fn propose(&mut self, data: Vec<u8>) -> Result<(), ProposeError> {
        if self.role() != Role::Leader {
            return Err(ProposeError::NotLeader);
        }
        self.node
            .propose(Vec::new(), data)
            .map_err(|_| ProposeError::Busy)
    }

    /// As [`Consensus::propose`], for data that others share.
    pub fn propose_shared(&mut self, data: Bytes) -> Result<(), ProposeError> {
        if self.role() != Role::Leader {
            return Err(ProposeError::NotLeader);
        }
        let entry = Entry {
            data,
            ..Default::default()
        };
        let mut message = Message {
            from: self.me,
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(vec![entry].into());
        self.node.raft.step(message).map_err(|_| ProposeError::Busy)
    }

    /// Tells a peer the commit index if it was not told anything as new as `index`; true if something was
    /// given out for it. Nothing is while its stream is being probed: the next heartbeat tells it then.
    pub fn announce_commit(&mut self, peer: PeerId, index: u64) -> bool {
        let known = self.told.get(&peer).is_some_and(|&told| told >= index);
        // The library panics over a peer that is no member: one that is not yet, or one no more, may be connected.
        let is_member = self.node.raft.prs().get(peer).is_some();
        if known || !is_member || self.role() != Role::Leader {
            return false;
        }
        self.node.raft.send_append(peer);
        true
    }

    /// Starts a ReadIndex round; its context comes back in [`Driven::reads`], or never (then ask again).
    pub fn read_index(&mut self, context: u64) {
        if self.role() == Role::Leader {
            self.node.read_index(context.to_le_bytes().to_vec());
        }
    }

    /// Asks the library to hand leadership to `peer`.
    pub fn transfer_leader(&mut self, peer: PeerId) {
        self.node.transfer_leader(peer);
    }

    /// Asks for votes at once, also of those who have heard of a leader within the election timeout. What was promised
    /// to that leader stays true, since whoever is elected waits for its lease to lapse.
    pub fn succeed(&mut self) {
        if self.is_installing() || self.barred || self.role() != Role::Follower {
            return;
        }
        let mut message = Message {
            from: self.me,
            to: self.me,
            term: self.term(),
            ..Message::default()
        };
        message.set_msg_type(MessageType::MsgTimeoutNow);
        // It only fails for messages that are not for this replica.
        let _ = self.node.step(message);
    }

    /// Term and index of the last entry.
    pub fn last(&self) -> (u64, u64) {
        (self.node.raft.raft_log.last_term(), self.last_index())
    }

    /// Whether this replica asks for no votes, see [`Self::set_barred`].
    pub fn is_barred(&self) -> bool {
        self.barred
    }

    /// The stream to a peer is gone: what was in flight must be found out anew.
    pub fn peer_lost(&mut self, peer: PeerId) {
        self.told.remove(&peer);
        self.node.report_unreachable(peer);
    }

    /// The sending of a snapshot ended, well or not.
    pub fn snapshot_sent(&mut self, peer: PeerId, complete: bool) {
        let status = if complete {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.node.report_snapshot(peer, status);
    }

    /// A snapshot with these chunks can be sent now, or (None) no more.
    pub fn set_prepared_snapshot(&mut self, prepared: Option<(u64, u64)>) {
        self.node.mut_store().prepared = prepared;
    }

    /// Followers that asked for a snapshot since the last call.
    pub fn take_snapshot_wanted(&mut self) -> BTreeSet<PeerId> {
        self.node.store().wanted.take()
    }

    /// While set, nothing above `cap` is handed out as committed, here or to others
    /// (`semantics.md`, the rule for every new leader).
    pub fn cap_commit(&mut self, cap: Option<u64>) {
        self.commit_cap = cap;
    }

    /// True while the disk has not reported everything that it was given.
    pub fn awaits_disk(&self) -> bool {
        self.persist_done < self.persist_pending
    }

    /// Leads no longer, and follows nobody.
    pub fn step_down(&mut self) {
        let term = self.term();
        self.node.raft.become_follower(term, 0);
    }

    /// Persists up to `number` are durable.
    pub fn persisted(&mut self, number: u64) {
        self.persist_done = self.persist_done.max(number);
        self.node.on_persist_ready(number);
        self.tell_applied();
    }

    /// A snapshot replaced the state; the library may learn it only once the snapshot is durable.
    pub fn installed(&mut self, index: u64) {
        self.applied = index;
    }

    /// The library must never hear of more applied than is committed and durable.
    fn tell_applied(&mut self) {
        let log = &self.node.raft.raft_log;
        let index = self.applied.min(log.committed).min(log.persisted);
        if index > log.applied {
            self.node.advance_apply_to(index);
        }
    }

    /// Everything up to `index` was applied.
    pub fn applied(&mut self, index: u64) {
        self.applied = index;
        self.tell_applied();
    }

    /// Forgets log entries up to `index`; never beyond what is applied and durable here.
    pub fn compact(&mut self, index: u64) {
        let durable = self.node.raft.raft_log.persisted;
        let index = index.min(self.applied).min(durable);
        let log = &mut self.node.mut_store().log;
        if index >= log.first_index() {
            log.compact(index);
        }
    }

    /// See [`Log::take_forgotten`].
    pub fn take_forgotten(&mut self) -> Vec<Bytes> {
        self.node.mut_store().log.take_forgotten()
    }

    /// True when [`Consensus::drive`] would do something.
    pub fn has_ready(&self) -> bool {
        self.node.has_ready()
    }

    /// Lets the library do what is due, until it has nothing more to say.
    pub fn drive(&mut self, driven: &mut Driven) {
        while self.node.has_ready() {
            self.drive_once(driven);
        }
        self.encoder.forget();
    }

    fn drive_once(&mut self, driven: &mut Driven) {
        let mut ready = self.node.ready();
        let number = ready.number();
        let mut persist = Persist {
            number,
            must_sync: false,
            ..Persist::default()
        };
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let (index, term) = (metadata.index, metadata.term);
            self.node.mut_store().log.reset((index, term));
            persist.install = Some(index);
            persist.must_sync = true;
            driven.installed = Some((index, term));
        }
        if let Some(theirs) = ready.hs() {
            let hard_state = HardState {
                term: theirs.term,
                vote: theirs.vote,
                commit: theirs.commit,
            };
            let before = self.log().hard_state();
            persist.must_sync |= (before.term, before.vote) != (hard_state.term, hard_state.vote);
            self.commit_unwritten = true;
            self.node.mut_store().log.set_hard_state(hard_state);
        }
        let entries = ready.take_entries();
        if !entries.is_empty() {
            if !self.volatile {
                persist.entries.reserve_exact(entries.len());
            }
            for entry in entries {
                let entry = from_raft_entry(entry);
                if !self.volatile {
                    persist.entries.push(entry.clone());
                }
                self.node.mut_store().log.append(entry);
            }
        }
        if self.commit_unwritten && (persist.must_sync || !persist.entries.is_empty()) {
            self.commit_unwritten = false;
            persist.hard_state = Some(self.log().hard_state());
        }
        driven
            .committed
            .extend(ready.take_committed_entries().into_iter().map(from_raft_entry));
        for state in ready.take_read_states() {
            if let Ok(context) = <[u8; 8]>::try_from(&state.request_ctx[..]) {
                driven.reads.push((u64::from_le_bytes(context), state.index));
            }
        }
        for message in ready.take_messages() {
            self.route(message, driven, None);
        }
        let unsynced_term = persist.must_sync;
        for message in ready.take_persisted_messages() {
            #[cfg(feature = "bugs")]
            if self.planted == Some(crate::bugs::Bug::VoteBeforeDurability)
                && message.get_msg_type() == MessageType::MsgRequestVoteResponse
            {
                self.route(message, driven, None);
                continue;
            }
            // A heartbeat's answer says only "I follow this term"; it may overtake entries on their way
            // to the disk, but not the term itself.
            let overtakes = message.get_msg_type() == MessageType::MsgHeartbeatResponse && !unsynced_term;
            self.route(message, driven, if overtakes { None } else { Some(&mut persist) });
        }
        if self.volatile && persist.then_send.is_empty() {
            return self.complete(ready, driven);
        }
        self.node.advance_append_async(ready);
        self.hand_out(persist, driven);
    }

    /// Nothing is to be waited for: what the entries of this ready commit is handed out in the same round.
    fn complete(&mut self, ready: Ready, driven: &mut Driven) {
        self.persist_pending = ready.number();
        self.persist_done = ready.number();
        let mut light = self.node.advance_append(ready);
        if let Some(commit) = light.commit_index() {
            let log = &mut self.node.mut_store().log;
            let before = log.hard_state();
            log.set_hard_state(HardState { commit, ..before });
        }
        for message in light.take_messages() {
            self.route(message, driven, None);
        }
        let committed = light.take_committed_entries().into_iter();
        driven.committed.extend(committed.map(from_raft_entry));
        self.tell_applied();
    }

    /// Gives a persist to the driver, or completes it here when there is nothing to wait for.
    fn hand_out(&mut self, mut persist: Persist, driven: &mut Driven) {
        let empty = persist.hard_state.is_none() && persist.entries.is_empty() && persist.install.is_none();
        if empty && persist.then_send.is_empty() && self.persist_done != self.persist_pending {
            // Nothing waits for it: the report of the pending one, or of a later one, completes it.
            return;
        }
        if self.volatile || (empty && self.persist_done == self.persist_pending) {
            self.persist_pending = persist.number;
            self.persist_done = persist.number;
            driven.sends.append(&mut persist.then_send);
            self.node.on_persist_ready(persist.number);
            self.tell_applied();
            return;
        }
        self.persist_pending = persist.number;
        driven.persists.push(persist);
    }

    fn route(&mut self, mut message: Message, driven: &mut Driven, persist: Option<&mut Persist>) {
        if self.barred && message.get_msg_type() == MessageType::MsgRequestPreVote {
            return;
        }
        if let Some(cap) = self.commit_cap {
            message.commit = message.commit.min(cap);
            message.commit_term = 0;
        }
        let to = message.to;
        if matches!(
            message.get_msg_type(),
            MessageType::MsgAppend | MessageType::MsgHeartbeat
        ) {
            let told = self.told.entry(to).or_default();
            *told = (*told).max(message.commit);
        }
        let send = Send {
            to,
            message: self.encoder.encode(&message),
        };
        if message.get_msg_type() == MessageType::MsgSnapshot {
            let index = message.get_snapshot().get_metadata().index;
            driven.snapshot_sends.push((to, index, send.message));
            return;
        }
        match persist {
            Some(persist) => persist.then_send.push(send),
            None => driven.sends.push(send),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn election_timeouts_are_distinct() {
        let voters = [1, 2, 3, 4, 5];
        let ticks: BTreeSet<usize> = voters
            .iter()
            .map(|&voter| election_ticks(voter, &voters))
            .collect();
        assert_eq!(ticks.len(), voters.len());
    }
}
