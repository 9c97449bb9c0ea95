//! One lane: the queue of writes that the origin has not decided yet. Part of the replicated state.
//!
//! It numbers, holds and releases; it neither caches values nor talks to a database.
//! Invariants: pending intents are numbered `resolved + 1 ..= highest()` without gaps; `keys` counts
//! exactly the effects of pending intents.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use super::op::{Intent, IntentKind};
use super::request::{Effect, LaneId};
use super::wire::{
    Corrupt, corrupt, put_bytes, put_optional, put_varint, take_bool, take_count, take_optional, take_owned,
    take_u8, take_varint,
};

/// Who waits for an answer: opaque here, replicated, equal on all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Requester {
    /// Node that the client is connected to.
    pub node: u64,
    /// That node's incarnation.
    pub incarnation: u64,
    /// That node's number for the request.
    pub sequence: u64,
}

/// A write that waits for the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Number in the lane.
    pub sequence: u64,
    /// What it answers.
    pub kind: IntentKind,
    /// Its rows; all or none.
    pub effects: Vec<Effect>,
    /// Who waits.
    pub requester: Requester,
    /// Shard time when it was applied, in milliseconds.
    pub since_ms: u64,
    /// Its place among the writes of all lanes: ascending in the order of the log, kept when the lane is
    /// numbered anew.
    pub order: u64,
}

/// When an intent was applied, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub requester: Requester,
    pub since_ms: u64,
    pub order: u64,
}

impl Pending {
    /// Memory that it holds, roughly, in bytes.
    pub fn bytes(&self) -> usize {
        let rows = self.effects.iter().map(|effect| {
            effect.key.len() + effect.value.as_ref().map_or(0, Bytes::len) + size_of::<Effect>()
        });
        size_of::<Self>() + rows.sum::<usize>()
    }

    fn digest(&self, lane: LaneId) -> u128 {
        hash(&(
            lane,
            self.sequence,
            self.kind == IntentKind::Delete,
            self.requester,
            (self.since_ms, self.order),
            self.effects
                .iter()
                .map(|effect| (&effect.key[..], effect.value.as_deref()))
                .collect::<Vec<_>>(),
        ))
    }
}

/// Bit beside existence in the encoding of a [`PendingKey`].
const STALE: u8 = 4;

/// What is known of a key while intents on it are pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingKey {
    /// Effects of pending intents on it.
    pub count: u64,
    /// Whether its row exists after everything decided; `None` when it was not known at first.
    pub exists: Option<bool>,
    /// Somebody else changed the row meanwhile: what is decided is not cached, but loaded anew.
    pub stale: bool,
}

/// One lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    pub(super) generation: u64,
    pub(super) resolved: u64,
    /// Requesters up to here were told that the outcome is unknown.
    pub(super) answered: u64,
    pub(super) pending: VecDeque<Pending>,
    pub(super) keys: BTreeMap<Bytes, PendingKey>,
    bytes: usize,
    /// Sum of the digests of the pending intents.
    digest: u128,
}

impl Lane {
    /// An empty lane of the first generation.
    pub(super) fn new() -> Self {
        Self {
            generation: 1,
            ..Self::default()
        }
    }

    /// Which numbering this is; part of the fence.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Every intent up to here is decided and visible.
    pub fn resolved(&self) -> u64 {
        self.resolved
    }

    /// Number of the last intent.
    pub fn highest(&self) -> u64 {
        self.resolved + self.pending.len() as u64
    }

    /// Memory held by pending intents, roughly, in bytes.
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// True when an intent on `key` is not decided yet.
    pub fn is_pending(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key)
    }

    /// The pending intents above `sequence`, ascending.
    pub fn pending_above(&self, sequence: u64) -> impl Iterator<Item = &Pending> {
        let skip = sequence
            .saturating_sub(self.resolved)
            .min(self.pending.len() as u64);
        self.pending.range(skip as usize..)
    }

    /// True when the requester of this intent was told that the outcome is unknown; if the origin has not
    /// taken it yet, it must not take it any more.
    pub fn is_overdue(&self, sequence: u64) -> bool {
        sequence <= self.answered
    }

    /// The place in the log of the first intent above `sequence` that the origin may still write: one
    /// that is overdue is skipped.
    pub(super) fn first_order_above(&self, sequence: u64, overdue_too: bool) -> Option<u64> {
        let from = if overdue_too {
            sequence
        } else {
            sequence.max(self.answered)
        };
        self.pending_above(from).next().map(|pending| pending.order)
    }

    /// When the first intent that was not answered was applied, in milliseconds of shard time.
    pub(super) fn waiting_since_ms(&self) -> Option<u64> {
        self.pending_above(self.answered).next().map(|p| p.since_ms)
    }

    /// Place in the log of the last pending intent; 0 without one.
    pub(super) fn last_order(&self) -> u64 {
        self.pending.back().map_or(0, |pending| pending.order)
    }

    /// Queues an intent. `exists` says for each effect what is known of its row.
    pub(super) fn push(&mut self, intent: &Intent<'_>, arrival: Arrival, exists: &[Option<bool>]) -> u64 {
        debug_assert_eq!(intent.effects.len(), exists.len());
        let Arrival {
            requester,
            since_ms,
            order,
        } = arrival;
        assert!(order > self.last_order(), "a lane is in the order of the log");
        let mut effects = Vec::with_capacity(intent.effects.len());
        for (effect, exists) in intent.effects.iter().zip(exists) {
            let key = Bytes::copy_from_slice(effect.key);
            self.keys
                .entry(key.clone())
                .or_insert(PendingKey {
                    count: 0,
                    exists: *exists,
                    stale: false,
                })
                .count += 1;
            effects.push(Effect {
                key,
                value: effect.value.as_deref().map(Bytes::copy_from_slice),
            });
        }
        let pending = Pending {
            sequence: self.highest() + 1,
            kind: intent.kind,
            effects,
            requester,
            since_ms,
            order,
        };
        let sequence = pending.sequence;
        self.bytes += pending.bytes();
        self.digest = self.digest.wrapping_add(pending.digest(intent.lane));
        self.pending.push_back(pending);
        sequence
    }

    /// Takes the next intent out as decided. Its keys stay counted until [`Lane::release`].
    pub(super) fn pop(&mut self, lane: LaneId) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        assert_eq!(
            pending.sequence,
            self.resolved + 1,
            "pending intents have no gaps"
        );
        self.resolved = pending.sequence;
        self.answered = self.answered.max(self.resolved);
        self.bytes -= pending.bytes();
        self.digest = self.digest.wrapping_sub(pending.digest(lane));
        Some(pending)
    }

    /// One pending effect less on `key`.
    pub(super) fn release(&mut self, key: &[u8]) {
        let Some(state) = self.keys.get_mut(key) else {
            unreachable!("every key of a pending intent is counted");
        };
        state.count -= 1;
        if state.count == 0 {
            self.keys.remove(key);
        }
    }

    /// Starts a new numbering after `applied`.
    pub(super) fn renumber(&mut self, lane: LaneId, generation: u64, applied: u64) {
        let answered = self.answered - self.resolved;
        self.generation = generation;
        self.resolved = applied;
        self.answered = applied + answered;
        self.digest = 0;
        for (index, pending) in self.pending.iter_mut().enumerate() {
            pending.sequence = applied + 1 + index as u64;
            self.digest = self.digest.wrapping_add(pending.digest(lane));
        }
    }

    /// Content hash of the lane.
    pub(super) fn digest(&self, lane: LaneId) -> u128 {
        hash(&(
            lane,
            self.generation,
            self.resolved,
            self.highest(),
            self.answered,
        ))
        .wrapping_add(self.digest)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.generation);
        put_varint(out, self.resolved);
        put_varint(out, self.answered);
        put_varint(out, self.pending.len() as u64);
        for pending in &self.pending {
            out.push(u8::from(pending.kind == IntentKind::Delete));
            put_varint(out, pending.requester.node);
            put_varint(out, pending.requester.incarnation);
            put_varint(out, pending.requester.sequence);
            put_varint(out, pending.since_ms);
            put_varint(out, pending.order);
            put_varint(out, pending.effects.len() as u64);
            for effect in &pending.effects {
                put_bytes(out, &effect.key);
                put_optional(out, effect.value.as_deref());
            }
        }
        put_varint(out, self.keys.len() as u64);
        for (key, state) in &self.keys {
            put_bytes(out, key);
            let exists = match state.exists {
                None => 0,
                Some(false) => 1,
                Some(true) => 2,
            };
            out.push(exists | if state.stale { STALE } else { 0 });
        }
    }

    pub(super) fn decode(lane: LaneId, input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut new = Self {
            generation: take_varint(input)?,
            resolved: take_varint(input)?,
            answered: take_varint(input)?,
            ..Self::default()
        };
        for index in 0..take_count(input)? {
            let sequence = new.resolved + 1 + index as u64;
            let pending = take_pending(sequence, input)?;
            for effect in &pending.effects {
                new.keys
                    .entry(effect.key.clone())
                    .or_insert(PendingKey {
                        count: 0,
                        exists: None,
                        stale: false,
                    })
                    .count += 1;
            }
            new.bytes += pending.bytes();
            new.digest = new.digest.wrapping_add(pending.digest(lane));
            new.pending.push_back(pending);
        }
        for _ in 0..take_count(input)? {
            let key = take_owned(input)?;
            let state = new
                .keys
                .get_mut(&key)
                .ok_or_else(|| corrupt("the key of a pending intent"))?;
            let byte = take_u8(input)?;
            state.stale = byte & STALE != 0;
            state.exists = match byte & !STALE {
                0 => None,
                1 => Some(false),
                2 => Some(true),
                _ => return Err(corrupt("existence")),
            };
        }
        Ok(new)
    }
}

fn take_pending(sequence: u64, input: &mut &[u8]) -> Result<Pending, Corrupt> {
    let kind = if take_bool(input)? {
        IntentKind::Delete
    } else {
        IntentKind::Store
    };
    let requester = Requester {
        node: take_varint(input)?,
        incarnation: take_varint(input)?,
        sequence: take_varint(input)?,
    };
    let since_ms = take_varint(input)?;
    let order = take_varint(input)?;
    let count = take_count(input)?;
    let mut effects = Vec::with_capacity(count);
    for _ in 0..count {
        effects.push(Effect {
            key: take_owned(input)?,
            value: take_optional(input)?.map(Bytes::copy_from_slice),
        });
    }
    Ok(Pending {
        sequence,
        kind,
        effects,
        requester,
        since_ms,
        order,
    })
}

/// 128 bits of a hash that is the same on every node of one version.
pub(super) fn hash(value: &impl Hash) -> u128 {
    let half = |seed: u64| foldhash::quality::FixedState::with_seed(seed).hash_one(value);
    u128::from(half(0x6f72_6967_696e)) << 64 | u128::from(half(0x6c61_6e65))
}
