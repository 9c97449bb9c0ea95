//! Whose the databases are: what a leader does when one is another cluster's, or nobody's any more.
//!
//! Invariant: the first lane row of this cluster in a database is written only when every copy of its rows that was
//! loaded before has been dropped. So while there is such a row, nothing cached is older than another cluster's stay.

use super::super::lanes::Lanes;
use super::super::map::Mode;
use super::super::op::{OriginOp, Raise};
use super::super::phase::{Claim, Phase};
use super::super::request::{LaneId, OriginError};
use super::Flusher;
use crate::time::Now;

impl Flusher {
    /// The claim of the lane's origin.
    pub(super) fn claim(&mut self, lane: LaneId) -> &mut Claim {
        let origin = self.map.policy(lane.keyspace).origin;
        &mut self.claims[usize::from(origin)]
    }

    /// A takeover of the lane may write the first row of this cluster.
    pub(super) fn may_claim(&self, lane: LaneId) -> bool {
        let origin = self.map.policy(lane.keyspace).origin;
        self.claims[usize::from(origin)] == Claim::Allowed
    }

    /// A takeover failed. It may have claimed the database all the same, and whoever tries again much later may find
    /// that another cluster has been there since.
    pub(super) fn on_failed_claim(&mut self, lane: LaneId) {
        if self.may_claim(lane) {
            *self.claim(lane) = Claim::Unknown;
        }
    }

    /// Another cluster has the database: what was loaded before says nothing of what that one writes.
    pub(super) fn on_foreign(&mut self, now: Now, at: usize, detail: String, lanes: &Lanes) {
        let id = self.lanes[at].id;
        let unchanged = Phase::Takeover { at_us: 0 };
        let dropped = self.may_claim(id);
        self.on_error(now, at, OriginError::Foreign(detail), unchanged);
        if dropped {
            // It is asked again and again, and nothing can have been loaded meanwhile.
            *self.claim(id) = Claim::Allowed;
        } else {
            self.drop_copies(id, lanes);
        }
    }

    /// The database has no row of this cluster. If it had one before, anybody may have written since that row went.
    pub(super) fn on_unclaimed(&mut self, at: usize, lanes: &Lanes) {
        let id = self.lanes[at].id;
        self.link(id).on_other_error();
        self.drop_copies(id, lanes);
    }

    /// Proposes new generations of all lanes that share an origin with `lane`: their copies go. The position does
    /// not matter, since the database has none; pending writes are kept.
    fn drop_copies(&mut self, lane: LaneId, lanes: &Lanes) {
        let origin = self.map.policy(lane.keyspace).origin;
        *self.claim(lane) = Claim::Dropping;
        for work in &mut self.lanes {
            if self.map.policy(work.id.keyspace).origin != origin {
                continue;
            }
            let proposed = match work.phase {
                Phase::Raising { generation } => generation,
                _ => 0,
            };
            let generation = lanes.lane(work.id).generation().max(proposed) + 1;
            work.phase = Phase::Raising { generation };
            self.out.proposals.push(OriginOp::Raise(Raise {
                lane: work.id,
                generation,
                applied: 0,
            }));
        }
        // What is on its way was read before; what has arrived is proposed before the new generations are.
        for (keyspace, policy) in self.map.policies().iter().enumerate() {
            if policy.origin == origin && policy.mode == Mode::WriteThrough {
                self.loads.void_all(keyspace as u16);
            }
        }
    }

    /// Once all copies are dropped the databases may be claimed.
    pub(super) fn poll_claims(&mut self, lanes: &Lanes) {
        for (origin, claim) in self.claims.iter_mut().enumerate() {
            if *claim != Claim::Dropping {
                continue;
            }
            let is_dropped = |phase, lane: LaneId| match phase {
                Phase::Raising { generation } => lanes.lane(lane).generation() >= generation,
                _ => true,
            };
            let mut works = self.lanes.iter();
            let done = works.all(|work| {
                usize::from(self.map.policy(work.id.keyspace).origin) != origin
                    || is_dropped(work.phase, work.id)
            });
            if done {
                *claim = Claim::Allowed;
            }
        }
    }
}
