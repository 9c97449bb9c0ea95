//! All lanes of a shard: what apply does with the ops of the origin. Part of the replicated state.
//!
//! Deterministic: everything follows from the ops, shard time and the cache. A value becomes visible, and
//! its client gets an answer, only when a [`Resolved`] is applied, that is after the database decided and
//! the log knows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{Cache, Cached};
use super::invalidated::Invalidated;
use super::lane::{Arrival, Lane, Pending, Requester, hash};
use super::map::{OriginMap, Place, Policy};
use super::op::{Fill, Health, Intent, IntentKind, Invalidate, Raise, Resolved};
use super::request::{Effect, LaneId};
use super::wire::{
    Corrupt, corrupt, put_optional, put_varint, take_bool, take_count, take_text, take_varint,
};
use super::words;
use crate::bugs::Bug;
use crate::contract::{OriginTrouble, OriginsStatus};

/// Undecided writes per lane; above it new ones are refused as not applied.
pub const LANE_PENDING_MAX: usize = 1 << 20;
/// Bytes of undecided writes per lane; above it new ones are refused as not applied.
pub const LANE_PENDING_BYTES_MAX: usize = 256 << 20;

/// Longest wait, in milliseconds, of a write whose origin is known to be down, where its deadline is later.
pub const DOWN_PATIENCE_MS: u64 = 5000;

/// What became of an intent at apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Queued; the answer comes with a [`Completion`].
    Pending {
        /// Its number in the lane.
        sequence: u64,
    },
    /// Not applied; the whole error, code word first.
    Refused(String),
    /// Nothing happened: the reply depends on rows that are not known. The requester loads the keys of
    /// [`Lanes::unknown_keys`] and sends the write again.
    NeedsLoad,
}

/// The reply to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// `OK`.
    Stored,
    /// How many rows existed.
    Deleted(u64),
    /// The whole error, code word first; nothing was stored.
    Rejected(&'a [u8]),
    /// The whole error, code word first; the outcome is unknown.
    Undecided(&'a str),
}

/// A write that was decided, or whose deadline passed.
#[derive(Clone, Copy, Debug)]
pub struct Completion<'a> {
    /// Its lane.
    pub lane: LaneId,
    /// Who waits for the answer; `None` when the deadline had answered before.
    pub requester: Option<Requester>,
    /// What to say.
    pub answer: Answer<'a>,
    /// Its keys. Reads that wait for one of them are to be executed again, unless `answer` is
    /// [`Answer::Undecided`].
    pub effects: &'a [Effect],
}

/// All lanes of a shard.
#[derive(Clone, Debug)]
pub struct Lanes {
    map: Arc<OriginMap>,
    lanes: Vec<Lane>,
    /// Per keyspace: the error for requests while its origin is down.
    down: Vec<Option<String>>,
    /// Follows from `down`; another one for other contents.
    down_version: u64,
    invalidated: Invalidated,
    /// Place in the log of the last write that was queued, counted over all lanes.
    order: u64,
}

impl Lanes {
    /// Empty lanes.
    pub fn new(map: Arc<OriginMap>) -> Self {
        Self {
            lanes: map.lanes().map(|_| Lane::new()).collect(),
            down: vec![None; map.policies().len()],
            down_version: 0,
            invalidated: Invalidated::default(),
            order: 0,
            map,
        }
    }

    /// The mapping.
    pub fn map(&self) -> &Arc<OriginMap> {
        &self.map
    }

    /// One lane. Panics for a lane that is not of this configuration.
    pub fn lane(&self, lane: LaneId) -> &Lane {
        &self.lanes[self.map.lane_index(lane)]
    }

    /// All lanes with their names.
    pub fn iter(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.map.lanes().zip(&self.lanes)
    }

    /// Number of undecided writes.
    pub fn pending_count(&self) -> usize {
        self.lanes.iter().map(|lane| lane.pending.len()).sum()
    }

    /// True when a write to the mapped key `key` is undecided.
    pub fn is_pending(&self, keyspace: u16, key: &[u8]) -> bool {
        let lane = self.map.policy(keyspace).lane_of(key);
        self.lane(LaneId { keyspace, lane }).is_pending(key)
    }

    /// The error for a write to a keyspace whose origin is down, or `None`: refuse it before proposing.
    pub fn refusal(&self, keyspace: u16) -> Option<&str> {
        self.down[usize::from(keyspace)].as_deref()
    }

    /// The keys whose rows must be known before `intent` can be applied: those of a delete, since its
    /// reply counts rows. Empty for others.
    pub fn unknown_keys<'a>(&self, cache: &impl Cache, intent: &Intent<'a>) -> Vec<&'a [u8]> {
        if intent.kind != IntentKind::Delete {
            return Vec::new();
        }
        let keys = intent.effects.iter().map(|effect| effect.key);
        keys.filter(|key| self.exists(cache, intent.lane, key).is_none())
            .collect()
    }

    /// Queues a write. `now_ms` is shard time.
    pub fn apply_intent(
        &mut self,
        now_ms: u64,
        cache: &impl Cache,
        requester: Requester,
        intent: &Intent<'_>,
    ) -> Applied {
        if let Some(refusal) = self.refusal(intent.lane.keyspace) {
            return Applied::Refused(refusal.to_owned());
        }
        let lane = self.lane(intent.lane);
        if lane.pending.len() >= LANE_PENDING_MAX || lane.pending_bytes() >= LANE_PENDING_BYTES_MAX {
            return Applied::Refused(words::lane_full(&self.map.policy(intent.lane.keyspace).name));
        }
        let exists: Vec<Option<bool>> = intent
            .effects
            .iter()
            .map(|effect| self.exists(cache, intent.lane, effect.key))
            .collect();
        if intent.kind == IntentKind::Delete && exists.contains(&None) {
            return Applied::NeedsLoad;
        }
        self.order += 1;
        let arrival = Arrival {
            requester,
            since_ms: now_ms,
            order: self.order,
        };
        let lane = &mut self.lanes[self.map.lane_index(intent.lane)];
        Applied::Pending {
            sequence: lane.push(intent, arrival, &exists),
        }
    }

    /// Makes decided values visible and answers their clients, in order. Says nothing when the op is of
    /// another generation or repeats what is known.
    pub fn apply_resolved(
        &mut self,
        now_ms: u64,
        cache: &mut impl Cache,
        resolved: &Resolved,
        completed: &mut impl FnMut(Completion<'_>),
    ) {
        let lane = &mut self.lanes[self.map.lane_index(resolved.lane)];
        // The origin cannot have decided an intent that is not in the log: who says so is no correct leader.
        let known = lane.resolved + 1..=lane.highest();
        if resolved.generation != lane.generation || !known.contains(&resolved.upto) {
            return;
        }
        let mut decision = Decision {
            policy: self.map.policy(resolved.lane.keyspace),
            now_ms,
            resolved,
            stale: BTreeSet::new(),
        };
        while lane.resolved < resolved.upto {
            let answered = lane.is_overdue(lane.resolved + 1);
            let Some(pending) = lane.pop(resolved.lane) else {
                unreachable!("checked above: upto is at most the highest pending intent");
            };
            let answer = decision.decide(lane, cache, &pending);
            for effect in &pending.effects {
                lane.release(&effect.key);
            }
            completed(Completion {
                lane: resolved.lane,
                requester: (!answered).then_some(pending.requester),
                answer,
                effects: &pending.effects,
            });
        }
        decision.override_with_canonical(lane, cache);
    }

    /// How many ops have invalidated rows; goes into the [`Fill`] of a load that begins now.
    pub fn invalidations(&self) -> u64 {
        self.invalidated.count()
    }

    /// Drops the copies of rows that somebody else has changed; returns how many there were. A write that is
    /// pending stays, and its row is loaded anew when it is decided.
    pub fn apply_invalidate(&mut self, cache: &mut impl Cache, invalidate: &Invalidate<'_>) -> u64 {
        self.invalidated.begin();
        let mut dropped = 0;
        for (keyspace, key) in &invalidate.rows {
            self.invalidated.add(*keyspace, key);
            let policy = self.map.policy(*keyspace);
            let lane = LaneId {
                keyspace: *keyspace,
                lane: policy.lane_of(key),
            };
            if let Some(pending) = self.lanes[self.map.lane_index(lane)].keys.get_mut(*key) {
                pending.stale = true;
            }
            dropped += u64::from(cache.lookup(policy.database, key) != Cached::Unknown);
            cache.forget(policy.database, key);
        }
        dropped
    }

    /// Caches a loaded row, unless something newer is known. Returns whether it did.
    pub fn apply_fill(&mut self, now_ms: u64, cache: &mut impl Cache, fill: &Fill) -> bool {
        let clean = !self.is_pending(fill.keyspace, &fill.key)
            && !self
                .invalidated
                .is_after(fill.invalidations, fill.keyspace, &fill.key);
        let policy = self.map.policy(fill.keyspace);
        let wanted = clean && cache.lookup(policy.database, &fill.key) == Cached::Unknown;
        if wanted {
            let deadline_ms = policy.deadline_ms(now_ms, fill.value.is_some());
            cache.put(policy.database, &fill.key, fill.value.as_deref(), deadline_ms);
        }
        wanted
    }

    /// Notes that the origin of a keyspace is down or up.
    pub fn apply_health(&mut self, health: &Health) {
        self.set_down(usize::from(health.keyspace), health.down.clone());
    }

    fn set_down(&mut self, keyspace: usize, down: Option<String>) {
        let part = |down: &Option<String>| hash(&(keyspace, down)) as u64;
        let old = std::mem::replace(&mut self.down[keyspace], down);
        self.down_version ^= part(&old) ^ part(&self.down[keyspace]);
    }

    /// Changes whenever [`Lanes::origins`] does.
    pub fn origins_version(&self) -> u64 {
        self.down_version
    }

    /// Which origins can be used.
    pub fn origins(&self) -> OriginsStatus {
        let map = &self.map;
        let mut status = OriginsStatus {
            keyspaces: map.policies().len(),
            origins: map.origins().iter().map(|name| (name.clone(), true)).collect(),
            troubles: Vec::new(),
        };
        for (policy, down) in map.policies().iter().zip(&self.down) {
            let Some(error) = down else { continue };
            let (origin, up) = &mut status.origins[usize::from(policy.origin)];
            *up = false;
            status.troubles.push(OriginTrouble {
                keyspace: policy.name.clone(),
                origin: origin.clone(),
                reason: words::reason(error).to_owned(),
            });
        }
        status
    }

    /// Numbers a lane on from the database's position and drops its cached keys. Returns false when the
    /// lane is at that generation or above it already.
    pub fn apply_raise(&mut self, cache: &mut impl Cache, raise: &Raise) -> bool {
        let lane = &mut self.lanes[self.map.lane_index(raise.lane)];
        if raise.generation <= lane.generation {
            return false;
        }
        lane.renumber(raise.lane, raise.generation, raise.applied);
        let map = &self.map;
        let database = map.policy(raise.lane.keyspace).database;
        cache.forget_where(database, &|key| {
            map.place(database, key) == Place::Mapped(raise.lane) && !Bug::CopiesOutliveClaim.is_in_force()
        });
        true
    }

    /// The next moment of shard time, in milliseconds, at which [`Lanes::expire`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.iter()
            .filter_map(|(id, lane)| {
                let down = &self.down[usize::from(id.keyspace)];
                let patience_ms = patience_ms(self.map.policy(id.keyspace), down);
                Some(lane.waiting_since_ms()? + patience_ms)
            })
            .min()
    }

    /// Answers the clients whose deadline has passed. To be called at every entry, after shard time was
    /// set to `now_ms`.
    pub fn expire(&mut self, now_ms: u64, completed: &mut impl FnMut(Completion<'_>)) {
        for (id, lane) in self.map.lanes().zip(&mut self.lanes) {
            let policy = self.map.policy(id.keyspace);
            let down = &self.down[usize::from(id.keyspace)];
            let deadline_ms = patience_ms(policy, down);
            if lane
                .waiting_since_ms()
                .is_none_or(|since_ms| since_ms + deadline_ms > now_ms)
            {
                continue;
            }
            let text = words::undecided(&policy.name, deadline_ms, down.as_deref());
            let mut answered = lane.answered;
            for pending in lane.pending_above(lane.answered) {
                if pending.since_ms + deadline_ms > now_ms {
                    break;
                }
                answered = pending.sequence;
                completed(Completion {
                    lane: id,
                    requester: Some(pending.requester),
                    answer: Answer::Undecided(&text),
                    effects: &pending.effects,
                });
            }
            lane.answered = answered;
        }
    }

    /// Content hash, equal on replicas that applied the same entries.
    pub fn digest(&self) -> u128 {
        if self.lanes.is_empty() && self.down.is_empty() {
            return 0;
        }
        let lanes = self.iter().map(|(id, lane)| lane.digest(id));
        lanes.fold(
            hash(&(&self.down, self.order, self.invalidated.digest())),
            u128::wrapping_add,
        )
    }

    /// Appends the state for a snapshot.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.map.fingerprint().to_le_bytes());
        put_varint(out, self.down.len() as u64);
        for down in &self.down {
            put_optional(out, down.as_deref().map(str::as_bytes));
        }
        put_varint(out, self.order);
        self.invalidated.encode(out);
        put_varint(out, self.lanes.len() as u64);
        for lane in &self.lanes {
            lane.encode(out);
        }
    }

    /// The state that [`Lanes::encode`] wrote, under the same mapping.
    pub fn restore(map: Arc<OriginMap>, input: &mut &[u8]) -> Result<Self, Corrupt> {
        let (fingerprint, rest) = input
            .split_first_chunk()
            .ok_or_else(|| corrupt("a fingerprint"))?;
        *input = rest;
        let mut new = Self::new(map);
        if u128::from_le_bytes(*fingerprint) != new.map.fingerprint() {
            return Err(corrupt("lanes of the configured keyspaces"));
        }
        if take_count(input)? != new.down.len() {
            return Err(corrupt("one health per keyspace"));
        }
        for keyspace in 0..new.down.len() {
            if take_bool(input)? {
                let down = take_text(input)?;
                new.set_down(keyspace, Some(down));
            }
        }
        new.order = take_varint(input)?;
        new.invalidated = Invalidated::decode(input)?;
        if take_count(input)? != new.lanes.len() {
            return Err(corrupt("all lanes"));
        }
        for (id, lane) in new.map.lanes().zip(&mut new.lanes) {
            *lane = Lane::decode(id, input)?;
            if lane.last_order() > new.order {
                return Err(corrupt("an order that covers all pending intents"));
            }
        }
        Ok(new)
    }

    /// Whether the row of `key` exists after everything decided, as far as it is known.
    fn exists(&self, cache: &impl Cache, lane: LaneId, key: &[u8]) -> Option<bool> {
        match self.lane(lane).keys.get(key) {
            Some(state) => state.exists,
            None => match cache.lookup(self.map.policy(lane.keyspace).database, key) {
                Cached::Value(_) => Some(true),
                Cached::Absent => Some(false),
                Cached::Unknown => None,
            },
        }
    }
}

/// One [`Resolved`] at work.
struct Decision<'a> {
    policy: &'a super::map::Policy,
    now_ms: u64,
    resolved: &'a Resolved,
    /// Keys whose rows somebody else has changed meanwhile.
    stale: BTreeSet<Bytes>,
}

impl<'a> Decision<'a> {
    fn decide(&mut self, lane: &mut Lane, cache: &mut impl Cache, pending: &Pending) -> Answer<'a> {
        let rejects = &self.resolved.rejects;
        if let Ok(found) = rejects.binary_search_by_key(&pending.sequence, |(sequence, _)| *sequence) {
            return Answer::Rejected(&rejects[found].1);
        }
        let mut existed = 0;
        for effect in &pending.effects {
            existed += u64::from(self.show(lane, cache, effect));
        }
        match pending.kind {
            IntentKind::Store => Answer::Stored,
            IntentKind::Delete => Answer::Deleted(existed),
        }
    }

    /// Makes one effect visible; returns whether the row existed before.
    fn show(&mut self, lane: &mut Lane, cache: &mut impl Cache, effect: &Effect) -> bool {
        let Some(state) = lane.keys.get_mut(&effect.key) else {
            unreachable!("every key of a pending intent is counted");
        };
        if state.stale {
            self.stale.insert(effect.key.clone());
        }
        if self.resolved.forget || state.stale {
            cache.forget(self.policy.database, &effect.key);
        } else {
            self.put(cache, &effect.key, effect.value.as_deref());
        }
        state.exists.replace(effect.value.is_some()) == Some(true)
    }

    fn put(&self, cache: &mut impl Cache, key: &[u8], value: Option<&[u8]>) {
        let deadline_ms = self.policy.deadline_ms(self.now_ms, value.is_some());
        cache.put(self.policy.database, key, value, deadline_ms);
    }

    fn override_with_canonical(&self, lane: &mut Lane, cache: &mut impl Cache) {
        if self.resolved.forget {
            return;
        }
        for (key, value) in &self.resolved.canonical {
            if !self.stale.contains(key) {
                self.put(cache, key, value.as_deref());
            }
            if let Some(state) = lane.keys.get_mut(key) {
                state.exists = Some(value.is_some());
            }
        }
    }
}

/// How long a write may wait: where the origin is known to be down no longer than [`DOWN_PATIENCE_MS`].
fn patience_ms(policy: &Policy, down: &Option<String>) -> u64 {
    let patience_ms = policy.flush_deadline_ms;
    match down {
        Some(_) => patience_ms.min(DOWN_PATIENCE_MS),
        None => patience_ms,
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
