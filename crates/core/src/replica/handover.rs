//! Leaving leadership to another: for a planned end, when this node's wall clock is outvoted, and when its
//! disk stalls; and the exchange of clocks by which the second is known.
//!
//! Invariants: the lease is released before leadership is offered, and never armed again in that term.

use super::Replica;
use crate::bugs::Bug;
use crate::contract::{Event, Outputs, PeerId, Role, Send};
use crate::limits;
use crate::message::Message;
use crate::time::Now;

impl Replica {
    /// Begins to hand leadership over, for a clean shutdown; true when there is nothing to hand over
    /// (any more). To be called again on every tick until it says so, or patience ends.
    pub fn prepare_shutdown(&mut self) -> bool {
        if self.consensus.role() != Role::Leader || self.membership.decides_alone(self.settings.identity.peer)
        {
            return true;
        }
        !self.hand_over(|_| true)
    }

    /// Offers leadership to the connected follower that has most of the log, of those that `may` lead; false if
    /// there is none. To be called for as long as this node leads: an offer that is not taken up for a while is made to
    /// another one, since who may not lead for a reason of its own does not say so.
    pub(super) fn hand_over(&mut self, may: impl Fn(PeerId) -> bool) -> bool {
        let now_us = self.last_tick_us;
        let is_open = |when_us: u64| now_us < when_us + limits::OFFER_PATIENCE_US;
        if self.offered.is_some_and(|(_, when_us)| is_open(when_us)) {
            return true;
        }
        let refused_by = self.offered.map(|(peer, _)| peer);
        let connected = |peer: &PeerId| self.peers.get(peer).is_some_and(|peer| peer.connected);
        let followers = self.consensus.followers();
        let best = followers
            .iter()
            .filter(|follower| {
                connected(&follower.peer) && self.membership.is_voter(follower.peer) && may(follower.peer)
            })
            .max_by_key(|follower| (Some(follower.peer) != refused_by, follower.matched));
        let Some(best) = best else { return false };
        self.offered = Some((best.peer, now_us));
        self.offer_leadership(best.peer);
        true
    }

    /// Offers leadership to this follower, who is told before it can be elected that no lease is left.
    pub(super) fn offer_leadership(&mut self, to: PeerId) {
        let is_released = match self.has(Bug::LeaseKeptInHandover) {
            true => self.lease.serving(),
            false => self.lease.release(),
        };
        if is_released {
            let term = self.consensus.term();
            let message = Message::LeaseReleased { term }.encode();
            self.driven.sends.push(Send { to, message });
        }
        self.consensus.transfer_leader(to);
    }

    /// A leader has released its lease.
    pub(super) fn on_lease_released(&mut self, from: PeerId, term: u64) {
        if term == self.consensus.term() && from == self.consensus.leader() {
            self.lease.released_by(term);
        }
    }

    fn quorum(&self) -> usize {
        self.membership.voters().len() / 2 + 1
    }

    /// A leader's first estimate needs the clocks of a quorum: its own may be the one that is wrong.
    pub(super) fn knows_the_time(&self, now: Now) -> bool {
        self.agreement.known(now) >= self.quorum()
    }

    /// Asks a peer, or all that are connected, for their clocks.
    pub(super) fn ask_clocks(&mut self, now: Now, only: Option<PeerId>, outputs: &mut Outputs) {
        for (&to, peer) in &self.peers {
            if !peer.connected || only.is_some_and(|only| only != to) {
                continue;
            }
            let question = Message::Clock {
                asked_us: now.mono_us,
            };
            outputs.sends.push(Send {
                to,
                message: question.encode(),
            });
        }
    }

    pub(super) fn on_clock(&mut self, now: Now, to: PeerId, asked_us: u64, outputs: &mut Outputs) {
        let answer = Message::ClockReply {
            asked_us,
            wall_ms: now.wall_ms,
            time_ms: self.clock.estimate_ms(now),
        };
        outputs.sends.push(Send {
            to,
            message: answer.encode(),
        });
    }

    pub(super) fn on_clock_reply(&mut self, now: Now, from: PeerId, reply: &Message) {
        let Message::ClockReply {
            asked_us,
            wall_ms,
            time_ms,
        } = *reply
        else {
            return;
        };
        self.agreement.heard(now, from, (asked_us, wall_ms));
        if self.consensus.role() == Role::Follower && from == self.consensus.leader() {
            self.clock.heard(now, asked_us, time_ms);
            self.leader_clock.heard(asked_us, time_ms);
        }
    }

    /// Moves the clock on and judges it, at each tick.
    pub(super) fn keep_time(&mut self, now: Now, outputs: &mut Outputs) {
        if self.agreement.ask_due(now) {
            self.ask_clocks(now, None, outputs);
        }
        #[cfg(feature = "bugs")]
        if self.has(Bug::TenthOfTheLifetime) {
            self.keyspace.cut_lifetimes();
        }
        if !self.lease.serving() {
            self.clock.follow(now, self.keyspace.time_ms());
        } else {
            self.clock.slew(now, self.agreement.wall_ms(now));
        }
        if !self.has(Bug::OutvotedClockLeads) {
            self.judge_clock(now, outputs);
        }
    }

    fn judge_clock(&mut self, now: Now, outputs: &mut Outputs) {
        let outvoted_by = self.agreement.outvoted_by(now, self.quorum());
        let outvoted = !outvoted_by.is_empty();
        if outvoted != self.outvoted {
            self.outvoted = outvoted;
            outputs.events.push(Event::Warning(if outvoted {
                let seconds = limits::CLOCK_APART_MS_MAX / 1000;
                format!(
                    "the wall clock of this node is more than {seconds} s away from that of a majority, which \
                     agrees: it does not lead until it is set right"
                )
            } else {
                "the wall clock of this node is no longer outvoted: it may lead".to_owned()
            }));
        }
        let leaderless = now.mono_us.saturating_sub(self.leader_heard_us) > limits::CLOCK_PATIENCE_US;
        self.barred_by_clock = outvoted && !leaderless;
        let leads = outvoted && self.consensus.role() == Role::Leader;
        let lately = |then_us: u64| now.mono_us < then_us + limits::CLOCK_HANDOVER_US;
        if leads && !self.handed_over_us.is_some_and(lately) {
            self.handed_over_us = Some(now.mono_us);
            self.hand_over(|peer| outvoted_by.contains(&peer));
        }
    }

    /// How long the disk has been stalled, in milliseconds; 0 if it is not.
    pub(super) fn disk_stalled_ms(&self) -> u64 {
        match self.disk_wait_ticks {
            ticks if ticks < limits::DISK_STALL_TICKS => 0,
            ticks => u64::from(ticks) * limits::TICK_US / 1000,
        }
    }

    /// Counts how long the disk has finished nothing. A leader with a stalled disk applies and answers nothing, and its
    /// heartbeats keep the others from electing one that could: it hands over, which needs no disk here, or
    /// steps down if nobody takes over soon.
    pub(super) fn judge_disk(&mut self, outputs: &mut Outputs) {
        let before = self.disk_stalled_ms() > 0;
        self.disk_wait_ticks = match self.consensus.awaits_disk() {
            true => self.disk_wait_ticks.saturating_add(1),
            false => 0,
        };
        let stalled = self.disk_stalled_ms() > 0 && !self.has(Bug::StalledDiskLeads);
        self.consensus
            .set_barred(stalled || self.barred_by_clock || self.space.bars);
        let alone = self.membership.voters().len() == 1;
        if !stalled || alone || self.consensus.role() != Role::Leader {
            return;
        }
        if !before {
            let text = "the disk of this node is stalled: it hands leadership over";
            outputs.events.push(Event::Warning(text.to_owned()));
            self.hand_over(|_| true);
        } else if self.disk_wait_ticks >= limits::DISK_STALL_TICKS + limits::DISK_STALL_HANDOVER_TICKS {
            self.consensus.step_down();
        }
    }
}
