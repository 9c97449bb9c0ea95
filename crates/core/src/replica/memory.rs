//! The memory limit: what is counted, what the leader evicts, and when it refuses to add more.
//!
//! A serving leader compares, once per turn, what this node holds and what this turn will add with the
//! limit. What is too much goes: the chosen keys are an op at the front of the turn's entry, so the room
//! is there when the writes behind them are applied. Writes that need more room than one turn's victims
//! leave wait for those of the next turns. Where nothing more can go, the entry says so, and every replica
//! refuses what would add memory in that entry; requests of the leader's own clients are refused before
//! they get that far. A follower judges nothing and evicts nothing.
//!
//! Free slots count as memory in use when the node refuses, but not when it evicts: they are room for
//! entries of sizes that were here before. Where sizes change, every replica moves entries together, by
//! its own limit and out of everybody's sight, until the pages can be given back.
//!
//! Invariants: one batch of victims is under way at a time; what a turn chooses and moves is bounded.

use super::Replica;
use crate::bugs::Bug;
use crate::command::Command;
use crate::contract::{MemoryInput, Role};
use crate::eviction::{EvictionPolicy, MemoryLimit};
use crate::keyspace::{Chooser, KeyspaceMemory, Wish};
use crate::limits;
use crate::op::{Op, Transaction, Victims, VictimsBuffer};
use crate::origin::{Intent, IntentKind, Place};
use crate::time::Now;

/// What a node knows of its memory; for INFO and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// Bytes that count against the limit, as of the last turn or tick.
    pub used_bytes: u64,
    /// Of these, the log in memory.
    pub log_bytes: u64,
    /// Keys evicted by entries applied since this process started.
    pub evicted_keys: u64,
    /// This leader refuses what would add memory.
    pub full: bool,
}

/// Memory of one replica.
#[derive(Debug)]
pub(super) struct Memory {
    pub limit: MemoryLimit,
    outside_bytes: u64,
    tables: KeyspaceMemory,
    used_bytes: u64,
    /// Payload of this leader's entries that are not applied yet.
    unapplied_bytes: u64,
    /// What the victims under way will make free; `None`: none are.
    evicting: Option<u64>,
    full: bool,
    /// Writes wait for more room than the last turn could make.
    held_back: bool,
    /// Latest versions at this moment and some time before.
    versions: [u64; 2],
    versions_at_us: u64,
    /// The entry that is being applied has said [`Op::MemoryFull`].
    pub refuses: bool,
    chooser: Chooser,
    evicted_keys: u64,
}

impl Memory {
    pub fn new(seed: u64) -> Self {
        Self {
            limit: MemoryLimit::default(),
            outside_bytes: 0,
            tables: KeyspaceMemory::default(),
            used_bytes: 0,
            unapplied_bytes: 0,
            evicting: None,
            full: false,
            held_back: false,
            versions: [0; 2],
            versions_at_us: 0,
            refuses: false,
            chooser: Chooser::new(seed),
            evicted_keys: 0,
        }
    }

    /// This leader has proposed an entry of so many bytes.
    pub fn proposed(&mut self, bytes: usize) {
        self.unapplied_bytes += bytes as u64;
    }

    /// An entry was applied.
    pub fn applied(&mut self, bytes: usize) {
        self.unapplied_bytes = self.unapplied_bytes.saturating_sub(bytes as u64);
    }

    /// This node leads no more.
    pub fn lost(&mut self) {
        self.unapplied_bytes = 0;
        self.evicting = None;
        self.full = false;
        self.held_back = false;
    }

    /// What is evicted down to: a little below the limit, so that a turn's writes find room at once.
    fn target_bytes(&self) -> u64 {
        self.limit.bytes_max - self.limit.bytes_max / limits::MEMORY_SLACK_DIVISOR
    }

    /// What allocated memory must not pass: a little more than the limit, since what is evicted or deleted
    /// leaves room within pages that are not given back at once.
    fn ceiling_bytes(&self) -> u64 {
        self.limit.bytes_max + self.limit.bytes_max / limits::MEMORY_TOLERANCE_DIVISOR
    }

    /// Bytes in use, without slots that are free.
    fn live_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.tables.free)
    }

    fn has_limit(&self) -> bool {
        self.limit.bytes_max > 0
    }
}

impl Replica {
    /// What this node knows of its memory.
    pub fn memory(&self) -> MemoryStatus {
        MemoryStatus {
            used_bytes: self.memory.used_bytes,
            log_bytes: self.consensus.log().bytes(),
            evicted_keys: self.memory.evicted_keys,
            full: self.memory.full,
        }
    }

    /// Bytes of log at which it is cut.
    pub(super) fn log_trigger_bytes(&self) -> u64 {
        let max = self.log_bytes_max();
        if self.membership.is_alone() {
            max.min(limits::LONE_LOG_BYTES_MAX)
        } else {
            max
        }
    }

    /// Bytes that count against the limit, as of now.
    pub fn count_memory(&self) -> u64 {
        self.keyspace.memory().allocated
            + self.log_bytes()
            + self.blocked_bytes() as u64
            + self.memory.outside_bytes
    }

    /// The log grows to its bound and is cut again and again: with a limit it counts with its bound, or
    /// the tables would grow into its room each time it is cut, and be evicted when it comes back.
    fn log_bytes(&self) -> u64 {
        let held = self.consensus.log().bytes();
        if self.memory.has_limit() {
            held.max(self.log_trigger_bytes())
        } else {
            held
        }
    }

    pub(super) fn on_memory(&mut self, input: MemoryInput) {
        self.memory.outside_bytes = input.outside_bytes;
        let limit = MemoryLimit {
            bytes_max: input.limit.bytes_max.min(limits::MEMORY_LIMIT_BYTES_MAX),
            ..input.limit
        };
        if self.memory.limit != limit {
            self.memory.limit = limit;
            self.memory.full &= limit.bytes_max > 0;
            self.keyspace.track(limit.tracking());
        }
        self.measure_memory();
    }

    /// Bytes of log that are kept: no more than a part of the memory that there is.
    pub(super) fn log_bytes_max(&self) -> u64 {
        let configured = self.settings.log_bytes_max;
        if !self.memory.has_limit() {
            return configured;
        }
        let share = self.memory.limit.bytes_max / limits::MEMORY_LOG_DIVISOR;
        configured.min(share.max(limits::LOG_BYTES_MIN))
    }

    /// At the beginning of a turn: counts, and brings free memory together.
    pub(super) fn look_after_memory(&mut self) {
        if self.memory.has_limit() {
            self.compact_log();
            self.measure_memory();
            if self.compact_memory() {
                self.measure_memory();
            }
            self.evict_locally();
        }
    }

    /// Counts what this node holds.
    pub(super) fn measure_memory(&mut self) {
        self.memory.tables = self.keyspace.memory();
        self.memory.used_bytes = self.count_memory();
    }

    /// True when a command that adds about `bytes` must be refused before it is proposed.
    pub(super) fn has_no_room_for(&self, bytes: usize) -> bool {
        let memory = &self.memory;
        if !memory.has_limit() || self.consensus.role() != Role::Leader || !self.lease.serving() {
            return false;
        }
        // What evicts makes room, but not for what does not fit at all.
        memory.full
            || if memory.limit.policy == EvictionPolicy::NoEviction && self.settings.origin.is_empty() {
                memory.live_bytes() + self.waiting_bytes() > memory.limit.bytes_max
            } else {
                bytes as u64 > memory.limit.bytes_max
            }
    }

    /// True when a command that would add memory is refused at present; for sessions that queue commands.
    pub fn refuses_growth(&self) -> bool {
        self.has_no_room_for(0)
    }

    /// Bytes on their way into the tables.
    fn waiting_bytes(&self) -> u64 {
        let waiting = self.outbox.unsent_bytes() + self.inbound.bytes();
        self.memory.unapplied_bytes + waiting as u64
    }

    /// Makes room for what waits to be proposed. To be called by a serving leader before it proposes.
    pub(super) fn make_room(&mut self) {
        if !self.memory.has_limit() {
            return;
        }
        let waiting = self.waiting_bytes();
        let KeyspaceMemory { free, .. } = self.memory.tables;
        let live = self.memory.live_bytes();
        // Where too little is free for pages to be given back, more has to go.
        let growth = waiting.saturating_sub(free);
        let over = (self.memory.used_bytes + growth).saturating_sub(self.memory.limit.bytes_max);
        let excess = (live + waiting)
            .saturating_sub(self.memory.target_bytes())
            .max(over);
        self.memory.full = false;
        if excess > 0 && self.memory.evicting.is_none() {
            self.choose_victims(excess);
        }
        self.memory.full = self.is_short();
    }

    /// Bytes that may be proposed now, victims under way counted as gone. Evicted entries leave free slots
    /// before they leave free pages.
    pub(super) fn room_bytes(&self) -> u64 {
        let memory = &self.memory;
        if !memory.has_limit() || memory.full {
            // What is proposed while there is no room is refused as it is applied.
            return u64::MAX;
        }
        let freed = memory.evicting.unwrap_or(0);
        let below = |top: u64, held: u64| top.saturating_sub(held + memory.unapplied_bytes);
        let pages = below(
            memory.ceiling_bytes() + memory.tables.free + freed,
            memory.used_bytes,
        );
        if freed > 0 {
            pages
        } else {
            pages.min(below(memory.limit.bytes_max, memory.live_bytes()))
        }
    }

    /// True when what waits finds no room, and none is being made.
    fn is_short(&self) -> bool {
        let bytes = self.next_batch().map_or(0, |batch| batch.ops.len() as u64);
        self.memory.evicting.is_none() && self.room_bytes() < bytes.max(1)
    }

    /// A turn has proposed what finds room, or waits for something else.
    pub(super) fn note_held_back(&mut self, room_was_short: bool) {
        self.memory.held_back = room_was_short && self.memory.has_limit() && self.waits_to_be_proposed();
    }

    /// True when writes wait for room and no victims are under way: another turn can choose some.
    pub(super) fn can_make_room(&self) -> bool {
        self.memory.held_back && self.memory.evicting.is_none() && self.lease.serving()
    }

    /// At the end of a turn: what was applied in it may have made room, which the next request is to find.
    pub(super) fn judge_memory_again(&mut self) {
        if self.memory.full && self.memory.has_limit() {
            self.measure_memory();
            self.memory.full = false;
            self.memory.full = self.is_short();
        }
    }

    fn choose_victims(&mut self, bytes: u64) {
        let has_rows = !self.settings.origin.is_empty();
        if self.memory.limit.policy == EvictionPolicy::NoEviction && !has_rows {
            return;
        }
        let wish = Wish {
            policy: self.memory.limit.policy,
            bytes,
            count_max: limits::VICTIMS_PER_TURN_MAX,
            has_rows,
            // Who asked for a row on another node needs a moment to see it, and would otherwise ask for
            // it again and again while memory is short.
            row_version_max: self.memory.versions[1],
        };
        let mut victims = VictimsBuffer::default();
        let spared = |db, key: &[u8]| self.is_unflushed(db, key);
        let mut chooser = self.memory.chooser.clone();
        let freed = chooser.choose(&self.keyspace, wish, &spared, &mut victims);
        self.memory.chooser = chooser;
        if victims.is_empty() {
            return;
        }
        self.memory.evicting = Some(freed);
        let mut op = Vec::new();
        Op::Evict(victims.victims()).encode(&mut op);
        self.system.push_back(op);
    }

    /// With every tick: notes the versions that tell how long a row has been here.
    pub(super) fn age_versions(&mut self, now: Now) {
        if now.mono_us.saturating_sub(self.memory.versions_at_us) >= limits::ROW_KEPT_US {
            self.memory.versions_at_us = now.mono_us;
            self.memory.versions = [self.keyspace.latest_version(), self.memory.versions[0]];
        }
    }

    /// A key with a write that its origin has not decided is nowhere but here.
    fn is_unflushed(&self, db: u8, key: &[u8]) -> bool {
        match self.settings.origin.place(db, key) {
            Place::Mapped(lane) => self.lanes.is_pending(lane.keyspace, key),
            Place::Plain | Place::NotCanonical(_) => false,
        }
    }

    /// True when the next entry has to say that there is no room.
    pub(super) fn is_full(&self) -> bool {
        self.memory.full
    }

    /// Moves entries together where memory is short although a part of it is free.
    fn compact_memory(&mut self) -> bool {
        let memory = &self.memory;
        let is_short = memory.tables.free > 0 && memory.used_bytes > memory.target_bytes();
        if is_short {
            self.keyspace.compact(limits::RELOCATIONS_PER_TURN_MAX);
        }
        is_short
    }

    /// Applies [`Op::Evict`].
    pub(super) fn apply_evict(&mut self, victims: Victims<'_>) {
        self.memory.evicting = None;
        for victim in victims.iter() {
            self.apply_steps = self.apply_steps.saturating_sub(1);
            if self.is_unflushed(victim.db, victim.key) || !self.keyspace.evict(victim) {
                continue;
            }
            self.memory.evicted_keys += 1;
            if let Place::Mapped(lane) = self.settings.origin.place(victim.db, victim.key) {
                self.flusher.on_evict(lane.keyspace, victim.key);
            }
        }
    }

    /// Whether the entry that is being applied refuses this command.
    #[inline]
    pub(super) fn refuses_command(&self, command: &Command<'_>) -> bool {
        self.memory.refuses && command.may_grow()
    }

    pub(super) fn refuses_transaction(&self, transaction: &Transaction<'_>) -> bool {
        self.memory.refuses && transaction.may_grow()
    }

    pub(super) fn refuses_intent(&self, intent: &Intent<'_>) -> bool {
        self.memory.refuses && intent.kind == IntentKind::Store
    }

    /// The planted bug: a node makes room by itself, behind the log's back.
    fn evict_locally(&mut self) {
        if !self.has(Bug::EvictLocally) {
            return;
        }
        let excess = self.memory.used_bytes.saturating_sub(self.memory.target_bytes());
        if excess > 0 && self.consensus.role() == Role::Follower {
            let mut victims = VictimsBuffer::default();
            let wish = Wish {
                policy: self.memory.limit.policy,
                bytes: excess,
                count_max: 1,
                has_rows: false,
                row_version_max: u64::MAX,
            };
            let mut chooser = self.memory.chooser.clone();
            chooser.choose(&self.keyspace, wish, &|_, _| false, &mut victims);
            self.memory.chooser = chooser;
            victims.victims().iter().for_each(|victim| {
                self.keyspace.evict(victim);
            });
        }
    }
}
