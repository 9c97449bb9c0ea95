//! The leader's lease, its ReadIndex rounds, and the wait of every new leader (`semantics.md`, Read
//! levels).
//!
//! A round is one ReadIndex through consensus: a quorum confirmed, after the round was SENT, that it
//! still follows this leader. A completed round extends the lease to its send time plus
//! [`limits::LEASE_US`]; voters do not vote for anybody else for an election timeout, which is longer.
//! That memory dies with a voter's process, therefore every new leader waits until every older lease
//! must have lapsed before it exposes anything that an older leader did not.
//!
//! One leader need not wait: the one of the term after that in which a serving leader has released its lease.
//! Leases of terms before that one had lapsed, or were released, when that leader began to serve; so none is left.
//!
//! Invariants: `serving` implies the wait is over and an entry of this term is applied; the lease is
//! never extended after it was released in this term.

use std::collections::VecDeque;

use crate::limits;

/// One ReadIndex round in flight.
#[derive(Clone, Copy, Debug)]
struct Round {
    context: u64,
    sent_us: u64,
}

/// Lease, rounds and the new leader's wait.
#[derive(Debug)]
pub struct Lease {
    /// A single voter needs no lease: nobody else can lead.
    single_voter: bool,
    term: u64,
    leading: bool,
    serving: bool,
    released: bool,
    valid_until_us: u64,
    rounds: VecDeque<Round>,
    last_round_us: u64,
    /// Until then nothing above the commit index at election may be exposed, whatever the role is.
    hold_until_us: Option<u64>,
    /// The latest term whose leader has said here that no lease is left.
    released_term: Option<u64>,
}

/// Rounds that never complete are forgotten beyond this many.
const ROUNDS_MAX: usize = 1024;

impl Lease {
    /// No lease, no leadership.
    pub fn new(single_voter: bool) -> Self {
        Self {
            single_voter,
            term: 0,
            leading: false,
            serving: false,
            released: false,
            valid_until_us: 0,
            rounds: VecDeque::new(),
            last_round_us: 0,
            hold_until_us: None,
            released_term: None,
        }
    }

    /// Whether this replica decides alone from now on.
    pub fn set_single_voter(&mut self, single_voter: bool) {
        self.single_voter = single_voter;
    }

    /// This replica was elected in `term`.
    pub fn elected(&mut self, term: u64, now_us: u64) {
        assert!(term > self.term || !self.leading, "elected twice in one term");
        self.term = term;
        self.leading = true;
        self.serving = false;
        self.released = false;
        self.valid_until_us = 0;
        self.rounds.clear();
        let is_free = self.single_voter || self.released_term == Some(term - 1);
        self.hold_until_us = (!is_free).then_some(now_us + limits::LEASE_US + limits::LEASE_DRIFT_US);
    }

    /// The leader of `term`, which served, has released its lease.
    pub fn released_by(&mut self, term: u64) {
        self.released_term = self.released_term.max(Some(term));
    }

    /// This replica no longer leads.
    pub fn lost(&mut self) {
        self.leading = false;
        self.serving = false;
        self.valid_until_us = 0;
        self.rounds.clear();
    }

    /// Leadership is being handed over: the lease ends now and is never armed again in this term. True if no other
    /// lease can be left either.
    pub fn release(&mut self) -> bool {
        self.released = true;
        self.valid_until_us = 0;
        self.serving
    }

    /// True while inherited entries must stay unexposed.
    pub fn holds(&self) -> bool {
        self.hold_until_us.is_some()
    }

    /// Ends the hold if its time is over; true if it ended now.
    pub fn end_hold(&mut self, now_us: u64) -> bool {
        let over = self.hold_until_us.is_some_and(|until| now_us >= until);
        if over {
            self.hold_until_us = None;
        }
        over
    }

    /// Everything inherited is applied and the wait is over: true if serving begins now.
    pub fn start_serving(&mut self) -> bool {
        if !self.leading || self.serving || self.hold_until_us.is_some() {
            return false;
        }
        self.serving = true;
        true
    }

    /// True when this leader may propose and answer.
    pub fn serving(&self) -> bool {
        self.serving
    }

    /// True when a linearizable read may be served from the applied state, judged by a clock sample that
    /// was taken after the read's bytes had arrived.
    pub fn valid(&self, now_us: u64) -> bool {
        self.serving && !self.released && (self.single_voter || now_us < self.valid_until_us)
    }

    /// Time for the next periodic round.
    pub fn round_due(&self, now_us: u64) -> bool {
        let period_us = limits::HEARTBEAT_TICKS as u64 * limits::TICK_US;
        self.leading && !self.single_voter && now_us >= self.last_round_us + period_us
    }

    /// Starts a round with a context that was never used before.
    pub fn start_round(&mut self, context: u64, now_us: u64) {
        self.last_round_us = now_us;
        if self.rounds.len() == ROUNDS_MAX {
            self.rounds.pop_front();
        }
        self.rounds.push_back(Round {
            context,
            sent_us: now_us,
        });
    }

    /// The lease as if a round had been sent at this time.
    pub fn extend(&mut self, sent_us: u64) {
        if !self.released && self.leading {
            self.valid_until_us = self.valid_until_us.max(sent_us + limits::LEASE_US);
        }
    }

    /// A quorum confirmed the round; earlier rounds are confirmed with it. Returns when the latest of them was sent.
    pub fn confirmed(&mut self, context: u64) -> Option<u64> {
        let mut sent_us = None;
        while let Some(round) = self.rounds.front().copied() {
            if round.context > context {
                break;
            }
            self.rounds.pop_front();
            self.extend(round.sent_us);
            sent_us = Some(round.sent_us);
        }
        sent_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_the_send_time_of_its_round() {
        let mut lease = Lease::new(false);
        lease.elected(2, 1_000);
        lease.start_round(1, 2_000);
        assert!(!lease.start_serving(), "the wait is not over");
        let over = 1_000 + limits::LEASE_US + limits::LEASE_DRIFT_US;
        assert!(!lease.end_hold(over - 1) && lease.end_hold(over));
        assert!(lease.start_serving());
        lease.confirmed(1);
        assert!(!lease.valid(over), "the round was sent a lease ago");
        lease.start_round(2, over);
        assert!(!lease.valid(over));
        lease.confirmed(2);
        assert!(lease.valid(over + limits::LEASE_US - 1) && !lease.valid(over + limits::LEASE_US));
    }

    #[test]
    fn a_released_lease_is_never_armed_again_in_its_term() {
        let mut lease = Lease::new(false);
        lease.elected(2, 0);
        assert!(lease.end_hold(u64::MAX) && lease.start_serving());
        lease.start_round(1, 10);
        lease.release();
        lease.confirmed(1);
        assert!(!lease.valid(11));
    }

    #[test]
    fn only_the_successor_of_a_leader_that_released_its_lease_need_not_wait() {
        let mut leader = Lease::new(false);
        leader.elected(2, 0);
        assert!(!leader.release(), "older leases may be left while it waits");
        leader.elected(3, 0);
        assert!(leader.end_hold(u64::MAX) && leader.start_serving() && leader.release());
        let waits = |term| {
            let mut successor = Lease::new(false);
            successor.released_by(3);
            successor.elected(term, 0);
            successor.holds()
        };
        assert!(!waits(4) && waits(5) && waits(3));
    }

    #[test]
    fn a_lone_voter_serves_without_rounds() {
        let mut lease = Lease::new(true);
        lease.elected(1, 0);
        assert!(!lease.valid(5) && lease.start_serving() && lease.valid(5));
        assert!(!lease.round_due(u64::MAX));
    }
}
