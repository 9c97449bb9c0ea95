//! After every input: consensus is driven, what it decided is applied, and changes of the role are met,
//! until nothing more follows.
//!
//! Invariants: a role is observed before anything is applied under it; entries that a new leader
//! inherited stay held while [`super::lease::Lease::holds`].

use super::Replica;
use crate::bugs::Bug;
use crate::contract::{Event, Outputs, Role};
use crate::driven::Driven;
use crate::time::Now;

impl Replica {
    /// Whoever leads, or the stream to them, is new: everything that waits for them is asked again.
    pub(super) fn leader_changed(&mut self) {
        self.outbox.send_again();
        self.reads.ask_again();
        self.waits.ask_again();
        self.tell_waiters_again();
        self.confirming = false;
    }

    /// Drives consensus and applies until nothing more follows.
    pub(super) fn settle(&mut self, now: Now, outputs: &mut Outputs) {
        loop {
            self.observe_role(now, outputs);
            self.consensus.drive(&mut self.driven);
            // Before anything is applied: a replica that just became leader holds entries back.
            self.observe_role(now, outputs);
            if self.driven.is_empty() {
                break;
            }
            let mut driven = std::mem::take(&mut self.driven);
            let progressed = self.handle_driven(now, &mut driven, outputs);
            self.driven = driven;
            if !progressed {
                break;
            }
        }
        self.note_commits();
        self.apply_held(now, outputs);
        self.begin_serving(now, outputs);
        self.run_ready_reads(now, outputs);
        self.run_slow_reads(now, outputs);
        // It may have waited for them.
        self.apply_held(now, outputs);
    }

    pub(super) fn handle_driven(&mut self, now: Now, driven: &mut Driven, outputs: &mut Outputs) -> bool {
        let progressed =
            !driven.committed.is_empty() || !driven.reads.is_empty() || driven.installed.is_some();
        outputs.sends.append(&mut driven.sends);
        for (peer, index, message) in driven.snapshot_sends.drain(..) {
            self.start_transfer(now, (peer, index, message), outputs);
        }
        if let Some((index, term)) = driven.installed.take() {
            self.install(now, index, term, outputs);
        }
        if self.has(Bug::AckBeforeDurability) {
            for persist in &mut driven.persists {
                outputs.sends.append(&mut persist.then_send);
                self.consensus.persisted(persist.number);
            }
        }
        outputs.persists.append(&mut driven.persists);
        for (context, index) in driven.reads.drain(..) {
            if let Some(sent_us) = self.lease.confirmed(context) {
                self.note_fresh(now, sent_us, index);
            }
            if self.has(Bug::LeaseFromConfirmation) {
                self.lease.extend(now.mono_us);
            }
            self.leader_heard_us = now.mono_us;
            let peers = self.reads.confirmed(context, index);
            self.answer_peers(now, peers, index, outputs);
        }
        self.held.extend(driven.committed.drain(..));
        if !self.lease.holds() {
            self.apply_held(now, outputs);
        }
        progressed
    }

    pub(super) fn observe_role(&mut self, now: Now, outputs: &mut Outputs) {
        let (role, term, leader) = (
            self.consensus.role(),
            self.consensus.term(),
            self.consensus.leader(),
        );
        let before = self.seen;
        if before == (role, term, leader) {
            return;
        }
        self.seen = (role, term, leader);
        if before.0 == Role::Leader && (role != Role::Leader || term != before.1) {
            self.lease.lost();
            self.offered = None;
            self.inbound.clear();
            self.system.clear();
            self.flight.clear();
            self.memory.lost();
            self.waiters.clear();
            self.flusher.on_lost();
            self.stop_transfers();
        }
        if role == Role::Leader && (before.0 != Role::Leader || term != before.1) {
            self.lease.elected(term, now.mono_us);
            self.ask_clocks(now, None, outputs);
            if self.has(Bug::MissingNoop) || self.has(Bug::NoLeaseWait) {
                self.lease.end_hold(u64::MAX);
            }
            if self.has(Bug::MissingNoop) {
                let context = self.draw_context();
                self.lease.start_round(context, now.mono_us);
                self.lease.confirmed(context);
            }
            if self.lease.holds() && !self.has(Bug::CommitShownInWait) {
                // What was committed before is known to the old leader too; the rest stays in here.
                let cap = self.applied.max(
                    self.held
                        .front()
                        .map_or(self.consensus.commit_index(), |_| self.applied),
                );
                self.consensus.cap_commit(Some(cap));
            }
        }
        if before.2 != leader || before.1 != term {
            self.leader_changed();
        }
        self.leaderless_us = match leader {
            0 => self.leaderless_us.or(Some(now.mono_us)),
            _ => None,
        };
        self.note_impediments();
        outputs.events.push(Event::Role { role, term, leader });
    }

    pub(super) fn begin_serving(&mut self, now: Now, outputs: &mut Outputs) {
        if self.lease.end_hold(now.mono_us) {
            self.consensus.cap_commit(None);
            self.await_commit(None, self.consensus.commit_index());
            self.apply_held(now, outputs);
        }
        let all_applied = self.held.is_empty() && self.applying.is_none() && self.inherited_applied();
        let may = !self.lease.holds() && all_applied && self.knows_the_time(now);
        if may && self.lease.start_serving() {
            self.confirmed = true;
            self.stamped_ms = self.keyspace.time_ms();
            self.clock.lead(now, self.agreement.wall_ms(now), self.stamped_ms);
            self.flusher.on_leader(self.consensus.term());
            self.waits.ask_for_all();
            outputs.events.push(Event::Serving {
                term: self.consensus.term(),
            });
        }
    }

    /// An entry of this leader's own term is applied, and with it everything it inherited.
    pub(super) fn inherited_applied(&self) -> bool {
        let own = self.consensus.committed_in_term() && self.applied_term == self.consensus.term();
        own || (self.has(Bug::MissingNoop) && self.consensus.role() == Role::Leader)
    }
}
