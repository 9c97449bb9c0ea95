//! What a leader does for the lanes: take them over, flush what is pending, load what is missed, and
//! watch whether the origins answer. Volatile: it dies with the leadership.
//!
//! It decides nothing by itself: what it learns becomes a [`OriginOp`], and only applying that changes
//! [`Lanes`]. Invariants: at most one takeover or flush per lane is in flight; after an unknown outcome
//! the lane row is asked before anything else is written; a data error is final only when the database
//! has every write to it that stands before the failed one in the log. The log's order is total, so of
//! lanes that wait for each other the one with the earliest write never does.

use std::sync::Arc;

use super::lane::Lane;
use super::lanes::Lanes;
use super::link::{IDLE_PROBE_US, Link, PAUSE_US_MIN};
use super::loads::Loads;
use super::map::{Mode, OriginMap};
use super::op::{Fill, Health, Intent, OriginOp, Resolved};
use super::output::FlusherOutput;
use super::phase::{Claim, KeyspaceState, Phase, Work};
use super::request::{
    Effect, Fence, Flushed, LaneId, OriginError, OriginEvent, OriginRequest, TakenOver, Takeover,
};
use super::run::{Frontier, gather};
use super::words;
use crate::time::Now;

mod claim;
mod history;

/// Pause before a keyspace whose mapping does not fit is tried again, in microseconds.
pub const MISCONFIGURED_PAUSE_US: u64 = 1_000_000;

/// What a leader knows of its origins.
#[derive(Debug)]
pub struct Flusher {
    map: Arc<OriginMap>,
    /// The own term while leading.
    term: Option<u64>,
    lanes: Vec<Work>,
    /// Per origin.
    links: Vec<Link>,
    keyspaces: Vec<KeyspaceState>,
    /// Per origin.
    claims: Vec<Claim>,
    /// Per origin, computed once per poll where a lane needs it: nothing that it says is undone meanwhile.
    frontiers: Vec<Frontier>,
    loads: Loads,
    /// Gathered between polls.
    out: FlusherOutput,
}

impl Flusher {
    /// A flusher that does not lead.
    pub fn new(map: Arc<OriginMap>) -> Self {
        let mut new = Self {
            term: None,
            lanes: Vec::new(),
            links: Vec::new(),
            keyspaces: Vec::new(),
            claims: Vec::new(),
            frontiers: Vec::new(),
            loads: Loads::new(&map),
            out: FlusherOutput::default(),
            map,
        };
        new.reset();
        new
    }

    fn reset(&mut self) {
        let writable = |id: &LaneId| self.map.policy(id.keyspace).mode == Mode::WriteThrough;
        self.lanes = self
            .map
            .lanes()
            .filter(writable)
            .map(|id| Work {
                id,
                phase: Phase::Takeover { at_us: 0 },
                proposed: 0,
            })
            .collect();
        self.links = vec![Link::default(); self.map.origins().len()];
        self.keyspaces = vec![KeyspaceState::default(); self.map.policies().len()];
        self.claims = vec![Claim::Unknown; self.map.origins().len()];
        self.out = FlusherOutput::default();
    }

    /// This node leads `term`, the lease wait is over, and every entry of earlier terms is applied.
    pub fn on_leader(&mut self, term: u64) {
        self.reset();
        self.term = Some(term);
    }

    /// This node leads no more. Loads are forgotten: their readers are the replica's to answer.
    pub fn on_lost(&mut self) {
        self.reset();
        self.term = None;
        self.loads.clear();
    }

    /// True between [`Flusher::on_leader`] and [`Flusher::on_lost`].
    pub fn is_leading(&self) -> bool {
        self.term.is_some()
    }

    /// A reader misses this mapped key. The readers of the key are to try again when a fill of it is
    /// applied or a write to it is decided, and to ask again if they still miss it.
    pub fn want_load(&mut self, now: Now, keyspace: u16, key: &[u8]) {
        self.loads.want(now.mono_us, keyspace, key);
    }

    /// An intent was applied as pending.
    pub fn on_intent(&mut self, intent: &Intent<'_>) {
        for effect in &intent.effects {
            self.loads.void(intent.lane.keyspace, effect.key);
        }
    }

    /// A write was decided; see [`super::Completion::effects`].
    pub fn on_decided(&mut self, keyspace: u16, effects: &[Effect]) {
        for effect in effects {
            self.loads.settle(keyspace, &effect.key);
        }
    }

    /// The copy of the row was dropped: the key was evicted or invalidated.
    pub fn on_evict(&mut self, keyspace: u16, key: &[u8]) {
        self.loads.void(keyspace, key);
    }

    /// A fill was applied, whether it cached the row or not.
    pub fn on_fill(&mut self, fill: &Fill) {
        self.loads.settle(fill.keyspace, &fill.key);
    }

    /// The driver answered.
    pub fn on_event(&mut self, now: Now, event: OriginEvent, lanes: &Lanes) {
        match event {
            OriginEvent::TakenOver { lane, fence, result } => {
                if let Some(at) = self.expects(lane, fence, lanes, |phase| phase == Phase::TakingOver) {
                    self.on_taken_over(now, at, result, lanes);
                }
            }
            OriginEvent::Flushed { lane, fence, result } => {
                let flushing = |phase| matches!(phase, Phase::Flushing { .. });
                if let Some(at) = self.expects(lane, fence, lanes, flushing) {
                    self.on_flushed(now, at, result, fence);
                }
            }
            OriginEvent::Loaded { id, result } => {
                let down = self
                    .loads
                    .loaded(now.mono_us, &self.map, (id, result), &mut self.out);
                if let Some(origin) = down {
                    self.links[usize::from(origin)].suspect();
                }
            }
        }
    }

    /// Moves everything along and hands out what is to be done. To be called after every input that gave
    /// the flusher or the lanes something new, and at every tick.
    pub fn poll(&mut self, now: Now, lanes: &Lanes, out: &mut FlusherOutput) {
        if let Some(term) = self.term {
            self.frontiers.clear();
            self.poll_claims(lanes);
            for at in 0..self.lanes.len() {
                self.poll_lane(now, term, at, lanes);
            }
            for origin in 0..self.links.len() {
                self.probe(now, term, origin, lanes);
            }
            for keyspace in 0..self.keyspaces.len() {
                self.poll_health(keyspace, lanes);
            }
            self.loads.poll(now.mono_us, lanes, &mut self.out);
        }
        out.requests.append(&mut self.out.requests);
        out.proposals.append(&mut self.out.proposals);
        out.failed_loads.append(&mut self.out.failed_loads);
        out.warnings.append(&mut self.out.warnings);
    }

    /// The position of `lane`, if this leadership asked with this fence and waits for the answer.
    fn expects(
        &self,
        lane: LaneId,
        fence: Fence,
        lanes: &Lanes,
        waits: impl Fn(Phase) -> bool,
    ) -> Option<usize> {
        let own = Fence {
            generation: lanes.lane(lane).generation(),
            term: self.term?,
        };
        let at = self.lanes.iter().position(|work| work.id == lane)?;
        (own == fence && waits(self.lanes[at].phase)).then_some(at)
    }

    fn poll_lane(&mut self, now: Now, term: u64, at: usize, lanes: &Lanes) {
        let work = self.lanes[at];
        let lane = lanes.lane(work.id);
        match work.phase {
            Phase::Takeover { .. } if *self.claim(work.id) == Claim::Dropping => {}
            Phase::Takeover { at_us } if now.mono_us >= at_us && self.may_ask(now, work.id) => {
                self.take_over(term, at, lane);
            }
            Phase::Raising { generation } if lane.generation() >= generation => {
                self.lanes[at].proposed = 0;
                self.lanes[at].phase = Phase::Takeover { at_us: 0 };
                self.poll_lane(now, term, at, lanes);
            }
            Phase::Ready { applied } if lane.highest() > applied && self.may_ask(now, work.id) => {
                let before = self.flushed_before(at, lanes);
                self.flush(term, at, lane, before);
            }
            Phase::Misfit { applied, .. } if lane.highest() > applied && self.may_ask(now, work.id) => {
                let before = self.flushed_before(at, lanes);
                self.flush(term, at, lane, before);
            }
            Phase::Misfit { at_us, .. } if now.mono_us >= at_us && self.may_ask(now, work.id) => {
                self.take_over(term, at, lane);
            }
            Phase::Held { applied } => {
                let Some(first) = lane.first_order_above(applied, true) else {
                    self.lanes[at].phase = Phase::Ready { applied };
                    return;
                };
                let before = self.flushed_before(at, lanes);
                let may_end = first < before || lane.is_overdue(applied + 1);
                if may_end && self.may_ask(now, work.id) {
                    self.flush(term, at, lane, before);
                }
            }
            _ => {}
        }
    }

    /// Sends what is pending; data errors of writes before `before` in the log are final.
    fn flush(&mut self, term: u64, at: usize, lane: &Lane, before: u64) {
        let (Phase::Ready { applied } | Phase::Held { applied } | Phase::Misfit { applied, .. }) =
            self.lanes[at].phase
        else {
            unreachable!("a lane flushes when nothing of it is in flight");
        };
        self.lanes[at].phase = Phase::Flushing { applied };
        let fence = Fence {
            generation: lane.generation(),
            term,
        };
        let flush = gather((self.lanes[at].id, lane), fence, (applied, before), &self.map);
        self.out.requests.push(OriginRequest::Flush(flush));
    }

    /// Every other lane of the same origin has flushed what stands before this place in the log.
    fn flushed_before(&mut self, at: usize, lanes: &Lanes) -> u64 {
        if self.frontiers.is_empty() {
            self.frontiers = vec![Frontier::EMPTY; self.links.len()];
            for (other, work) in self.lanes.iter().enumerate() {
                let lane = lanes.lane(work.id);
                let earliest = match work.phase {
                    Phase::Flushing { applied } => lane.first_order_above(applied, true),
                    Phase::Ready { applied } | Phase::Held { applied } | Phase::Misfit { applied, .. } => {
                        lane.first_order_above(applied, false)
                    }
                    // What the database has beyond that is not known yet.
                    _ => lane.first_order_above(lane.resolved(), false),
                };
                if let Some(order) = earliest {
                    let origin = self.map.policy(work.id.keyspace).origin;
                    self.frontiers[usize::from(origin)].add(other, order);
                }
            }
        }
        let origin = self.map.policy(self.lanes[at].id.keyspace).origin;
        self.frontiers[usize::from(origin)].without(at)
    }

    fn take_over(&mut self, term: u64, at: usize, lane: &Lane) {
        self.lanes[at].phase = Phase::TakingOver;
        let id = self.lanes[at].id;
        self.out.requests.push(OriginRequest::Takeover(Takeover {
            lane: id,
            claim: self.may_claim(id),
            fence: Fence {
                generation: lane.generation(),
                term,
            },
            resolved: lane.resolved(),
        }));
    }

    fn link(&mut self, lane: LaneId) -> &mut Link {
        let origin = self.map.policy(lane.keyspace).origin;
        &mut self.links[usize::from(origin)]
    }

    fn may_ask(&mut self, now: Now, lane: LaneId) -> bool {
        self.link(lane).may_ask(now.mono_us)
    }

    /// Asks an origin that is down, suspect or idle although no lane has work: writes are refused while it is
    /// down, so none would ever come. Taking an own lane over again changes nothing.
    fn probe(&mut self, now: Now, term: u64, origin: usize, lanes: &Lanes) {
        if !self.links[origin].probe_is_due(now.mono_us) {
            return;
        }
        // In turn, so that a database that was exchanged is noticed whichever lanes of it differ.
        let first = (now.mono_us / IDLE_PROBE_US) as usize;
        let mut in_turn = (0..self.lanes.len()).map(|at| (first + at) % self.lanes.len());
        let idle = in_turn.find(|at| {
            let work = &self.lanes[*at];
            usize::from(self.map.policy(work.id.keyspace).origin) == origin
                && matches!(work.phase, Phase::Ready { .. })
        });
        if let Some(at) = idle {
            self.links[origin].on_probe(now.mono_us);
            self.take_over(term, at, lanes.lane(self.lanes[at].id));
        }
    }

    fn poll_health(&mut self, keyspace: usize, lanes: &Lanes) {
        let policy = &self.map.policies()[keyspace];
        let known_down = lanes.refusal(keyspace as u16).is_some();
        let state = &mut self.keyspaces[keyspace];
        if state.proposed_down == Some(known_down) {
            state.proposed_down = None;
        }
        let link = &self.links[usize::from(policy.origin)];
        let reads = policy.mode == Mode::ReadThrough;
        let proven = if reads {
            self.loads.is_proven(keyspace)
        } else {
            link.is_proven()
        };
        let down = match (&state.misconfigured, link.down()) {
            _ if reads && self.loads.trouble(keyspace).is_some() => self.loads.trouble(keyspace).cloned(),
            (Some(error), _) => Some(error.clone()),
            (None, Some(detail)) if !reads => Some(words::origin_down(&policy.name, detail)),
            _ if proven => None,
            _ => return,
        };
        if state.proposed_down.unwrap_or(known_down) != down.is_some() {
            state.proposed_down = Some(down.is_some());
            self.out.proposals.push(OriginOp::Health(Health {
                keyspace: keyspace as u16,
                down,
            }));
        }
    }

    fn on_taken_over(&mut self, now: Now, at: usize, result: Result<TakenOver, OriginError>, lanes: &Lanes) {
        let id = self.lanes[at].id;
        let taken = match result {
            Ok(taken) => taken,
            Err(OriginError::Foreign(detail)) => return self.on_foreign(now, at, detail, lanes),
            Err(OriginError::Unclaimed) => return self.on_unclaimed(at, lanes),
            Err(error) => return self.on_error(now, at, error, Phase::Takeover { at_us: 0 }),
        };
        self.on_answer(now, id);
        *self.claim(id) = Claim::Unknown;
        let fits = taken.misfit.is_none();
        self.set_misfit(id, taken.misfit.as_deref());
        let lane = lanes.lane(id);
        let own = Fence {
            generation: lane.generation(),
            term: self.term.unwrap_or_default(),
        };
        if taken.stored > own || taken.applied > lane.highest() || taken.applied < lane.resolved() {
            return self.raise(at, own, &taken, lane);
        }
        let work = &mut self.lanes[at];
        let applied = taken.applied;
        work.phase = if fits {
            Phase::Ready { applied }
        } else {
            let at_us = now.mono_us + MISCONFIGURED_PAUSE_US;
            Phase::Misfit { applied, at_us }
        };
        if taken.applied > work.proposed.max(lane.resolved()) {
            work.proposed = taken.applied;
            self.out.proposals.push(OriginOp::Resolved(Resolved {
                lane: id,
                generation: own.generation,
                upto: taken.applied,
                rejects: taken.rejects,
                canonical: Vec::new(),
                forget: true,
            }));
        }
    }

    fn on_flushed(&mut self, now: Now, at: usize, result: Result<Flushed, OriginError>, fence: Fence) {
        let Phase::Flushing { applied } = self.lanes[at].phase else {
            unreachable!("checked by expects");
        };
        let id = self.lanes[at].id;
        match result {
            Ok(flushed) => {
                self.on_answer(now, id);
                let applied_before = applied;
                let applied = flushed.upto;
                let misfitted = self.keyspaces[usize::from(id.keyspace)].misconfigured.is_some();
                self.lanes[at].phase = if let Some(detail) = &flushed.misfit {
                    self.set_misfit(id, Some(detail));
                    let at_us = now.mono_us + MISCONFIGURED_PAUSE_US;
                    Phase::Misfit { applied, at_us }
                } else if misfitted {
                    // It may fit again, or nothing but skipped writes was sent.
                    Phase::Takeover { at_us: 0 }
                } else if flushed.held {
                    Phase::Held { applied }
                } else {
                    assert!(applied > applied_before, "a flush decides at least one intent");
                    Phase::Ready { applied }
                };
                if applied == applied_before {
                    return;
                }
                self.lanes[at].proposed = applied;
                self.out.proposals.push(OriginOp::Resolved(Resolved {
                    lane: id,
                    generation: fence.generation,
                    upto: flushed.upto,
                    rejects: flushed.rejects,
                    canonical: flushed.canonical,
                    forget: false,
                }));
            }
            Err(error) => self.on_error(now, at, error, Phase::Ready { applied }),
        }
    }

    /// `unchanged` is the phase to go back to when the request did nothing.
    fn on_error(&mut self, now: Now, at: usize, error: OriginError, unchanged: Phase) {
        let id = self.lanes[at].id;
        self.on_failed_claim(id);
        match error {
            OriginError::Down(detail) => {
                self.lanes[at].phase = unchanged;
                self.link(id).on_down(now.mono_us, &detail);
            }
            OriginError::Unknown(_) | OriginError::Fenced | OriginError::Unclaimed => {
                self.link(id).on_other_error();
                let again = matches!(unchanged, Phase::Takeover { .. });
                self.lanes[at].phase = Phase::Takeover {
                    at_us: if again { now.mono_us + PAUSE_US_MIN } else { 0 },
                };
            }
            OriginError::Configuration(detail) | OriginError::Foreign(detail) => {
                self.link(id).on_other_error();
                self.lanes[at].phase = Phase::Takeover {
                    at_us: now.mono_us + MISCONFIGURED_PAUSE_US,
                };
                self.set_misfit(id, Some(&detail));
            }
        }
    }

    /// Whether the mapping of a lane's keyspace fits, as the database says: why not.
    fn set_misfit(&mut self, lane: LaneId, detail: Option<&str>) {
        let name = &self.map.policy(lane.keyspace).name;
        let error = detail.map(|detail| words::origin_misconfigured(name, detail));
        self.keyspaces[usize::from(lane.keyspace)].misconfigured = error;
    }

    /// The origin of a lane answered.
    fn on_answer(&mut self, now: Now, lane: LaneId) {
        self.link(lane).on_answer(now.mono_us);
    }
}

#[cfg(test)]
#[path = "flusher_tests.rs"]
mod tests;
