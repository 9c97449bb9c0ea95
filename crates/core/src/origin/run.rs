//! What one flush takes along: the run of pending writes of a lane, and up to which of them a data error is
//! final, because every other lane of the origin has flushed what stands before it in the log.

use bytes::Bytes;

use super::lane::Lane;
use super::map::OriginMap;
use super::request::{Fence, Flush, FlushIntent, LaneId};
use super::words;

/// Intents per flush.
pub const FLUSH_INTENTS_MAX: usize = 2048;
/// Bytes of intents per flush, unless a single one is larger.
pub const FLUSH_BYTES_MAX: usize = 8 << 20;

/// Where the lanes of one origin stand in the log: the earliest write that the database may still take,
/// and in which lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frontier {
    earliest: u64,
    at: usize,
    /// The same over all other lanes.
    second: u64,
}

impl Frontier {
    pub const EMPTY: Self = Self {
        earliest: u64::MAX,
        at: usize::MAX,
        second: u64::MAX,
    };

    pub fn add(&mut self, at: usize, order: u64) {
        if order < self.earliest {
            self.second = self.earliest;
            (self.earliest, self.at) = (order, at);
        } else {
            self.second = self.second.min(order);
        }
    }

    /// All lanes but this one have flushed what stands before this in the log.
    pub fn without(&self, at: usize) -> u64 {
        if self.at == at { self.second } else { self.earliest }
    }
}

/// The run of pending intents after `applied`; data errors of those before `before` in the log are final.
pub(super) fn gather(
    (id, lane): (LaneId, &Lane),
    fence: Fence,
    (applied, before): (u64, u64),
    map: &OriginMap,
) -> Flush {
    let mut flush = Flush {
        lane: id,
        keyspace_name: map.policy(id.keyspace).name.clone(),
        fence,
        from: applied,
        intents: Vec::new(),
        final_upto: applied,
    };
    let mut bytes = 0;
    for pending in lane.pending_above(applied) {
        bytes += pending.bytes();
        let full = bytes > FLUSH_BYTES_MAX && !flush.intents.is_empty();
        if full || flush.intents.len() == FLUSH_INTENTS_MAX {
            break;
        }
        if pending.order < before {
            flush.final_upto = pending.sequence;
        }
        let overdue = lane.is_overdue(pending.sequence);
        flush.intents.push(FlushIntent {
            sequence: pending.sequence,
            effects: pending.effects.clone(),
            skip: overdue.then(|| Bytes::from_static(words::SKIPPED.as_bytes())),
        });
    }
    flush
}
