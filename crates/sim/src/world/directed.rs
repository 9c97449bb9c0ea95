//! Directed faults: scenes of several steps that chance alone would hardly ever put together, each for one rule.
//!
//! They are faults like others ([`super::faults`]): a seed enables them, they begin at any time, and nothing keeps
//! other faults away from them.

use repligo_core::contract::PeerId;
use repligo_core::limits;

use super::faults::Relief;
use super::plan::Fault;
use super::{Event, Phase, World};

/// By so much longer do answers take, so often.
const LAG_STEP_US: u64 = 320_000;
const LAG_EVERY_US: u64 = 400_000;

impl World {
    /// The lease counts on voters that remember. One node loses sight of the leader and campaigns; the
    /// others would turn it down, but their memory ends with their processes.
    ///
    /// Half of the time they end just before the campaign, and the leader, whose last round they have
    /// confirmed, does not reach them again: its lease is still valid when its successor is elected.
    pub(super) fn forgetful_voters(&mut self) {
        let Some((leader, mut others)) = self.leader_and_others() else {
            return;
        };
        let candidate = others.swap_remove(self.context.random.below(others.len() as u64) as usize);
        if self.context.random.chance(500) {
            return self.forgotten_lease(leader, candidate, others);
        }
        self.block(vec![(leader, candidate), (candidate, leader)]);
        for _ in 0..6 {
            let delay = self.context.random.between(900_000, 3_500_000);
            let sequel = Event::Relief(Relief::Restart(others.clone()));
            self.context.queue.after(delay, sequel);
        }
    }

    /// The candidate has the newest entries on its disk, and the leader does not hear of it. The others have them in
    /// memory only, since their disks have stalled: nothing is committed, while they confirm the leader's rounds. They
    /// end just before the candidate campaigns, so that it wins with entries that the leader knows to be undecided.
    ///
    /// Where the candidate can do without one of the others, that one stays as it is, with clients that wait for those
    /// entries.
    fn forgotten_lease(&mut self, leader: PeerId, candidate: PeerId, others: Vec<PeerId>) {
        let silence = others.iter().map(|other| (leader, *other)).collect();
        let votes_needed = self.context.members.voters().len() / 2;
        let others = others[others.len().saturating_sub(votes_needed)..].to_vec();
        let voters = self.context.members.voters();
        let position = voters.iter().position(|voter| *voter == candidate).unwrap_or(0);
        let timeout_ticks = limits::ELECTION_TICKS + position * limits::ELECTION_STAGGER_TICKS;
        let timeout_us = timeout_ticks as u64 * limits::TICK_US;
        let last_words_us = self.context.random.between(5_000, 100_000);
        let delay = last_words_us + timeout_us - self.context.random.between(30_000, 160_000);
        let length = delay + self.context.random.between(400_000, 1_500_000);
        let stalled_until = self.context.queue.now() + delay + 2_000;
        for other in &others {
            self.context.slow_disk_until[*other as usize - 1] = stalled_until;
        }
        self.context.say(|| {
            format!("n{leader} leads, n{candidate} is to campaign {delay} us from now, {others:?} forget")
        });
        // What it has sent arrives; what it stores now is acknowledged to nobody.
        self.cut(vec![(candidate, leader)], length);
        let last_words = Relief::Silence(vec![(leader, candidate)], length);
        self.context.queue.after(last_words_us, Event::Relief(last_words));
        let silence = Event::Relief(Relief::Silence(silence, length - delay));
        self.context.queue.after(delay, silence);
        self.context
            .queue
            .after(delay, Event::Relief(Relief::Restart(others)));
    }

    /// A vote counts when it is durable. The leader is cut off, and the others let one of them lead, who is cut off in
    /// its turn; they end and have forgotten in which term they voted, since their disks did not finish it. The old
    /// leader and they elect somebody else: if the votes had left before they were durable, in the same term.
    pub(super) fn forgotten_votes(&mut self) {
        let Some((leader, mut others)) = self.leader_and_others() else {
            return;
        };
        let voters = self.context.members.voters();
        let position = |node: &PeerId| voters.iter().position(|voter| voter == node);
        others.retain(|other| position(other).is_some());
        others.sort_by_key(position);
        if others.len() < 2 {
            return;
        }
        let candidate = others.remove(0);
        let timeout_ticks =
            limits::ELECTION_TICKS + position(&candidate).unwrap_or(0) * limits::ELECTION_STAGGER_TICKS;
        let both_ways = |one: PeerId| {
            let pairs = others
                .iter()
                .flat_map(move |other| [(one, *other), (*other, one)]);
            pairs.collect::<Vec<_>>()
        };
        let delay = timeout_ticks as u64 * limits::TICK_US + self.context.random.between(1_000, 100_000);
        self.context.say(|| {
            format!(
                "n{leader} leads, n{candidate} is to succeed it, {others:?} forget it {delay} us from now"
            )
        });
        let stalled_until = self.context.queue.now() + delay + 2_000;
        for other in &others {
            self.context.slow_disk_until[*other as usize - 1] = stalled_until;
        }
        let from_leader = both_ways(leader);
        let length = self.context.random.between(2_500_000, 4_000_000);
        let silence = Relief::Silence(both_ways(candidate), length);
        self.cut(from_leader, delay);
        self.cut(vec![(leader, candidate), (candidate, leader)], delay + length);
        self.context.queue.after(delay, Event::Relief(silence));
        self.context
            .queue
            .after(delay, Event::Relief(Relief::Restart(others)));
    }

    /// The leader and the other members, if there is one of each.
    pub(super) fn leader_and_others(&self) -> Option<(PeerId, Vec<PeerId>)> {
        let leader = self.leader()?;
        let members = self.context.members.iter().map(|(number, _)| number);
        let others: Vec<PeerId> = members.filter(|node| *node != leader).collect();
        (!others.is_empty()).then_some((leader, others))
    }

    /// A lease counts from when its round was sent. A leader that counts from the answers believes in it for as long
    /// as they were on their way, and what it no longer hears of is its successor.
    ///
    /// They get slower step by step: a leader that hears nothing at all for as long as that steps down.
    pub(super) fn late_acknowledgements(&mut self) {
        let Some((leader, others)) = self.leader_and_others() else {
            return;
        };
        let inbound: Vec<_> = others.iter().map(|other| (*other, leader)).collect();
        let steps = self.context.random.between(6, 10);
        for step in 1..=steps {
            let lag = Relief::Lag(inbound.clone(), step * LAG_STEP_US);
            self.context
                .queue
                .after((step - 1) * LAG_EVERY_US, Event::Relief(lag));
        }
        let lag_us = steps * LAG_STEP_US;
        let delay = steps * LAG_EVERY_US + self.context.random.between(10_000, 500_000);
        // What was said before is still on its way, for as long as the lag.
        let cut = others.iter().map(|other| (leader, *other)).collect();
        let silence = Relief::Silence(cut, lag_us);
        self.context.queue.after(delay, Event::Relief(silence));
        let relief = Event::Relief(Relief::Lag(inbound, 0));
        self.context.queue.after(delay + lag_us, relief);
    }

    /// Blocks directions for so long; no end of a stream loses patience and tears it down.
    pub(super) fn cut(&mut self, directions: Vec<(PeerId, PeerId)>, length_us: u64) {
        for (from, to) in &directions {
            self.context.network.set_blocked(*from, *to, true);
        }
        let relief = Event::Relief(Relief::Unblock(directions));
        self.context.queue.after(length_us, relief);
    }

    /// The leader, which alone knows of the change yet, and the new voters are cut off from all others: each side may
    /// have a majority of one of the two sets of voters.
    pub(super) fn split_joint(&mut self) {
        let Some(new) = self.context.joint_began.take() else {
            return;
        };
        let is_due = self.phase == Phase::Faults && self.context.plan.has(Fault::Replace);
        let leader = self.leader().filter(|_| is_due);
        let Some(leader) = leader.filter(|_| self.context.random.chance(700)) else {
            return;
        };
        let is_with_leader = |node: PeerId| node == leader || new.contains(&node);
        let nodes = 1..=self.context.plan.machines() as PeerId;
        let pairs = nodes
            .clone()
            .flat_map(|one| nodes.clone().map(move |other| (one, other)));
        let across = pairs.filter(|(one, other)| is_with_leader(*one) != is_with_leader(*other));
        let across = across.collect();
        let length = self.context.random.between(1_500_000, 4_000_000);
        self.cut(across, length);
    }
}
