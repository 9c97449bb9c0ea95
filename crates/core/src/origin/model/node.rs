//! What a seed enables, and one node of the model: state, truth, and what applying an op does.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::super::flusher::Flusher;
use super::super::lane::Requester;
use super::super::lanes::{Answer, Applied, Completion, Lanes};
use super::super::op::OriginOp;
use super::super::request::{Effect, LaneId, OriginEvent, OriginRequest};
use super::super::testing::FakeCache;
use super::store::{Faults, Random};

/// What of the world's mischief a seed enables, in percent per step.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub steps: u64,
    pub faults: Faults,
    pub election: u64,
    pub crash: u64,
    pub time_jump: u64,
    pub flush_all: u64,
    pub restore: u64,
    /// How often a load's answer is passed over by others.
    pub slow_loads: u64,
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5eed);
        let mut some = |most: u64| {
            if random.chance(50) {
                random.below(most + 1)
            } else {
                0
            }
        };
        Self {
            steps: 1_000,
            faults: Faults {
                down: some(20),
                misfit: some(10),
                unknown_committed: some(10),
                unknown_lost: some(10),
                unknown_delayed: some(15),
            },
            election: some(3),
            crash: some(2),
            time_jump: some(2),
            flush_all: some(2),
            restore: some(3),
            slow_loads: some(97),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Payload {
    Op(Vec<u8>),
    FlushAll,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub time_ms: u64,
    pub requester: Requester,
    pub payload: Payload,
}

pub struct Node {
    pub lanes: Lanes,
    pub cache: FakeCache,
    pub applied: usize,
    /// The truth as of `applied`: what the decided writes make of the rows.
    pub truth: BTreeMap<Bytes, Bytes>,
    pub flusher: Flusher,
    /// The term that it believes to lead.
    pub leads: Option<u64>,
    pub requests: VecDeque<OriginRequest>,
    /// Executed beside the others, in any order.
    pub loads: Vec<OriginRequest>,
    /// Answers on their way, in any order: those of loads overtake and are overtaken.
    pub events: Vec<OriginEvent>,
}

/// A completion that outlives its callback.
pub struct Noted {
    pub lane: LaneId,
    pub requester: Option<Requester>,
    pub answer: String,
    pub applied: bool,
    pub decided: bool,
    pub effects: Vec<Effect>,
}

pub fn note(completion: &Completion<'_>) -> Noted {
    let (answer, applied, decided) = match completion.answer {
        Answer::Stored => ("stored".to_owned(), true, true),
        Answer::Deleted(count) => (format!("deleted {count}"), true, true),
        Answer::Rejected(text) => (String::from_utf8_lossy(text).into_owned(), false, true),
        Answer::Undecided(text) => (text.to_owned(), false, false),
    };
    Noted {
        lane: completion.lane,
        requester: completion.requester,
        answer,
        applied,
        decided,
        effects: completion.effects.to_vec(),
    }
}

/// What a replica does with an op of the origin.
pub fn apply_op(node: &mut Node, entry: &Entry, bytes: &[u8], done: &mut Vec<Noted>) {
    let op = OriginOp::decode(&mut &bytes[..]).expect("what encode wrote");
    match op {
        OriginOp::Intent(intent) => {
            let applied = node
                .lanes
                .apply_intent(entry.time_ms, &node.cache, entry.requester, &intent);
            match applied {
                Applied::Pending { .. } => node.flusher.on_intent(&intent),
                Applied::Refused(error) => assert!(error.starts_with("ORIGINDOWN "), "{error}"),
                Applied::NeedsLoad => {
                    assert!(!node.lanes.unknown_keys(&node.cache, &intent).is_empty());
                }
            }
        }
        OriginOp::Resolved(resolved) => {
            let at = done.len();
            node.lanes
                .apply_resolved(entry.time_ms, &mut node.cache, &resolved, &mut |completion| {
                    done.push(note(&completion));
                });
            for completion in &done[at..] {
                assert!(completion.decided);
                node.flusher
                    .on_decided(completion.lane.keyspace, &completion.effects);
            }
        }
        OriginOp::Fill(fill) => {
            node.lanes.apply_fill(entry.time_ms, &mut node.cache, &fill);
            node.flusher.on_fill(&fill);
        }
        OriginOp::Health(health) => node.lanes.apply_health(&health),
        OriginOp::Invalidate(invalidate) => {
            node.lanes.apply_invalidate(&mut node.cache, &invalidate);
            for (keyspace, key) in &invalidate.rows {
                node.flusher.on_evict(*keyspace, key);
            }
        }
        OriginOp::Raise(raise) => {
            node.lanes.apply_raise(&mut node.cache, &raise);
        }
    }
}
