//! A database whose rows about its lanes are of another history than the log.

use super::Flusher;
use crate::origin::lane::Lane;
use crate::origin::op::{OriginOp, Raise};
use crate::origin::phase::Phase;
use crate::origin::request::{Fence, TakenOver};

impl Flusher {
    /// The lane row is from another history: number on from it. If the row was written by a newer leader
    /// of this history, this leader is deposed and its proposal can never commit.
    pub(super) fn raise(&mut self, at: usize, own: Fence, taken: &TakenOver, lane: &Lane) {
        let work = &mut self.lanes[at];
        let generation = own.generation.max(taken.stored.generation) + 1;
        work.phase = Phase::Raising { generation };
        self.out.proposals.push(OriginOp::Raise(Raise {
            lane: work.id,
            generation,
            applied: taken.applied,
        }));
        self.out.warnings.push(format!(
            "lane {} of keyspace {}: the origin stands at {} (generation {}, term {}), the log at {} to {} (generation {}, term {}); numbering on from the origin, cached rows of the lane are loaded anew",
            work.id.lane,
            self.map.policy(work.id.keyspace).name,
            taken.applied,
            taken.stored.generation,
            taken.stored.term,
            lane.resolved(),
            lane.highest(),
            own.generation,
            own.term,
        ));
        if taken.applied < lane.resolved() {
            self.ask_all_again(at);
        }
    }

    /// The database has lost what it had: an older copy is in its place. What is cached of its other lanes may be of the
    /// time that it has forgotten, and no write may ever come that asks about them.
    fn ask_all_again(&mut self, at: usize) {
        let origin = self.map.policy(self.lanes[at].id.keyspace).origin;
        for other in &mut self.lanes {
            let is_of_it = self.map.policy(other.id.keyspace).origin == origin;
            if is_of_it && matches!(other.phase, Phase::Ready { .. }) {
                other.phase = Phase::Takeover { at_us: 0 };
            }
        }
    }
}
