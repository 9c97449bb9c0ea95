//! Members come and go: joins, removals, transfers, lost directories and older copies of them.
//!
//! A machine is a node with the number of the same value. A node that loses its directory, or is given an older copy
//! of it, is recognised, as its driver promises: that machine is gone, and a spare one joins under its name. At most
//! as many voters are lost at a time as leave a majority.

use repligo_core::contract::PeerId;
use repligo_core::limits::PROMOTION_GAP_ENTRIES;
use repligo_core::membership::{MemberRole, Membership};
use repligo_core::replica::MemberRequest;

use super::disk::Disk;
use super::plan::Fault;
use super::{Context, Event, Phase, World};
use crate::check::Violation;

/// Distance between two requests of a joining node.
const ASK_US: u64 = 200_000;

/// A node without a directory that asks to be a member.
#[derive(Clone, Debug)]
pub struct Joiner {
    name: String,
    key: u128,
}

/// Planted: what may have forgotten something goes on as the voter that it was.
fn goes_on_forgetful() -> bool {
    #[cfg(feature = "bugs")]
    return crate::bugs::forgetful_voter();
    #[cfg(not(feature = "bugs"))]
    false
}

impl Context {
    /// A node has applied a change of the members.
    pub(super) fn members_seen(&mut self, members: &Membership) {
        if members.index() <= self.members.index() {
            return;
        }
        self.numbers_seen(members);
        let before = std::mem::replace(&mut self.members, members.clone());
        let promoted = members
            .voters()
            .into_iter()
            .filter(|voter| !before.is_voter(*voter))
            .collect::<Vec<PeerId>>();
        let index = members.index();
        self.promoted.extend(promoted.iter().map(|voter| (*voter, index)));
        let leaves = before.voters().iter().any(|voter| !members.is_voter(*voter));
        if leaves && !promoted.is_empty() {
            self.joint_began = Some(promoted);
        }
        self.say(|| {
            format!(
                "members {:?} learners {:?} at {index}",
                members.voters(),
                members.learners()
            )
        });
    }

    /// A number is a member's for ever: what was said to one that has gone would be heard by its successor.
    fn numbers_seen(&mut self, members: &Membership) {
        for (number, member) in members.iter().filter(|(_, member)| member.key != 0) {
            let first = *self.keys_seen.entry(number).or_insert(member.key);
            if first != member.key {
                self.fail(Violation {
                    check: "a number is given once",
                    subject: format!("node {number}"),
                    explanation: format!("{} has it, and another one had it before", member.name),
                });
            }
        }
    }
}

impl World {
    /// Whoever became a voter has nearly all of the log.
    pub(super) fn judge_promotions(&mut self) {
        for (voter, index) in std::mem::take(&mut self.context.promoted) {
            let held = self.machine(voter).disk.last_index();
            if held + PROMOTION_GAP_ENTRIES + 1 < index {
                self.context.fail(Violation {
                    check: "voters have caught up",
                    subject: format!("node {voter}"),
                    explanation: format!("it votes since entry {index}, and its disk ends with entry {held}"),
                });
            }
        }
    }

    /// Every running process of a node that was removed knows it, if it knows of anybody who could say so: one whose disk
    /// has forgotten all members that came after it asks where nobody is.
    pub(super) fn removed_are_told(&self) -> bool {
        let members = &self.context.members;
        let removed = self
            .machines
            .iter()
            .filter(|machine| members.was_removed(machine.id));
        let mut replicas = removed.filter_map(|machine| machine.process.as_ref()?.replica());
        let is_there = |number: PeerId| {
            let machine = &self.machines[number as usize - 1];
            members.get(number).is_some() && machine.process.is_some()
        };
        replicas.all(|replica| {
            let knows_one = replica.membership().iter().any(|(number, _)| is_there(number));
            replica.is_removed() || !knows_one
        })
    }

    /// Whether this voter may be lost for good beside those that are.
    pub(super) fn may_lose(&self, node: PeerId) -> bool {
        let members = &self.context.members;
        let lost = self.voters_lost();
        let formed = self
            .machines
            .iter()
            .filter(|machine| !machine.spare)
            .all(|m| m.disk.is_formed());
        let calm = !members.is_joint() && members.pending().is_none() && !self.removal_pends();
        formed && calm && members.is_voter(node) && 2 * (lost + 1) < members.voters().len()
    }

    fn voters_lost(&self) -> usize {
        let is_lost = |voter: &PeerId| self.machines[*voter as usize - 1].disk.unclean;
        self.context
            .members
            .voters()
            .iter()
            .filter(|voter| is_lost(voter))
            .count()
    }

    /// A removal is in a log and may be committed at any time: then the majority is one of fewer voters.
    fn removal_pends(&self) -> bool {
        let members = &self.context.members;
        let asked = self.context.removal.as_ref();
        asked.is_some_and(|name| members.named(name).is_some())
    }

    pub(super) fn change_members(&mut self, fault: Fault) {
        let name =
            |members: &Membership, number: PeerId| members.get(number).map(|member| member.name.clone());
        let victim = self.victim();
        match fault {
            Fault::Join => {
                let name = format!("joins{}", self.draw_key() % 1_000_000);
                self.join(name);
            }
            Fault::Remove => self.remove(victim),
            Fault::Replace => self.replace(victim),
            Fault::Transfer => {
                if let Some(name) = name(&self.context.members, victim) {
                    self.on_ask(&MemberRequest::Transfer { name });
                    self.deafen_leader();
                }
            }
            Fault::Wipe => self.lose(victim),
            _ => self.restore_copy(),
        }
    }

    /// Half of the time the newest member goes and another one comes: its number is the one most easily given twice.
    fn remove(&mut self, victim: PeerId) {
        let members = &self.context.members;
        let newest = members
            .voters()
            .into_iter()
            .max()
            .filter(|_| members.voters().len() > 3);
        let Some(newest) = newest else { return };
        let again = self.context.random.chance(500);
        let gone = if again { newest } else { victim };
        if let Some(member) = self.context.members.get(gone) {
            let name = member.name.clone();
            self.on_ask(&MemberRequest::Remove { name });
        }
        if again {
            let key = self.draw_key();
            let name = format!("again{}", key % 1_000_000);
            let delay = self.context.random.between(50_000, 500_000);
            self.context.queue.after(delay, Event::Join(Joiner { name, key }));
        }
    }

    /// A new node for one that runs.
    fn replace(&mut self, victim: PeerId) {
        let name = format!("new{}", self.draw_key() % 1_000_000);
        let Some(member) = self.context.members.get(victim) else {
            return;
        };
        let old = member.name.clone();
        if self.has_spare() && self.may_lose(victim) {
            let address = format!("{name}:1");
            self.on_ask(&MemberRequest::Replace {
                old,
                name: name.clone(),
                address,
            });
            self.join(name);
        }
    }

    /// A machine loses its directory; its node comes back as a new member.
    fn lose(&mut self, node: PeerId) {
        if !self.may_lose(node) {
            return;
        }
        let member = self.context.members.get(node);
        let name = member
            .map(|member| member.name.clone())
            .expect("a voter is a member");
        self.crash(node, false);
        self.machine(node).disk.unclean = true;
        self.join(name);
    }

    /// One node falls behind, a second one is copied; then the copy takes the place of what the second one has
    /// acknowledged since, and the leader, which knows better, is cut off.
    fn restore_copy(&mut self) {
        let Some(leader) = self.leader() else { return };
        let voters = self.context.members.voters();
        let others: Vec<PeerId> = voters.into_iter().filter(|voter| *voter != leader).collect();
        if others.len() < 2 {
            return;
        }
        let place = self.context.random.below(others.len() as u64) as usize;
        let (node, late) = (others[place], others[(place + 1) % others.len()]);
        let copy = self.machine(node).disk.copy();
        self.machine(node).copy = Some(copy);
        self.block(vec![(leader, late), (late, leader), (node, late), (late, node)]);
        let after = self.context.random.between(200_000, 1_500_000);
        self.context
            .queue
            .after(after, Event::RestoreCopy { node, leader });
    }

    pub(super) fn on_restore_copy(&mut self, node: PeerId, leader: PeerId) {
        let Some(copy) = self.machine(node).copy.take() else {
            return;
        };
        if self.phase != Phase::Faults || !self.may_lose(node) {
            return;
        }
        if goes_on_forgetful() {
            self.crash(node, false);
            self.machine(node).disk = copy;
            self.context.queue.after(10_000, Event::Start { node });
        } else {
            self.lose(node);
        }
        let machines = 1..=self.context.plan.machines() as PeerId;
        let others = machines.filter(|other| *other != leader);
        let directions = others
            .flat_map(|other| [(leader, other), (other, leader)])
            .collect();
        self.block(directions);
    }

    fn join(&mut self, name: String) {
        let key = self.draw_key();
        self.on_join(Joiner { name, key });
    }

    fn draw_key(&mut self) -> u128 {
        u128::from(self.context.random.bits()) | 1
    }

    fn has_spare(&self) -> bool {
        self.context.members.next_number() as usize <= self.context.plan.machines()
    }

    /// A number was given to this name, and nobody has come for it yet.
    fn is_awaited(&self, name: &str) -> bool {
        let named = self.context.members.named(name);
        named.is_some_and(|(_, member)| member.key == 0 && member.role == MemberRole::Learner)
    }

    /// Asks until a node says that it is a member, or all spare machines are used.
    pub(super) fn on_join(&mut self, joiner: Joiner) {
        if let Some((number, _)) = self.context.members.of_key(joiner.key) {
            return self.admit(number);
        }
        if !self.has_spare() && !self.is_awaited(&joiner.name) {
            return;
        }
        self.on_ask(&MemberRequest::Join {
            name: joiner.name.clone(),
            address: format!("{}:1", joiner.name),
            key: joiner.key,
        });
        self.context.queue.after(ASK_US, Event::Join(joiner));
    }

    /// Starts the machine of a new member.
    fn admit(&mut self, number: PeerId) {
        let now = self.context.queue.now();
        let cluster_id = self.machines.iter().find_map(|machine| machine.disk.cluster_id());
        let members = self.context.members.clone();
        // Only when a number is used again is there anything to end here.
        self.crash(number, false);
        let machine = self.machine(number);
        machine.disk = Disk::admitted(cluster_id.expect("somebody has formed"), members);
        machine.spare = false;
        self.context.queue.at(now, Event::Start { node: number });
    }

    /// Somebody asks whoever leads.
    pub(super) fn on_ask(&mut self, request: &MemberRequest) {
        let now = self.context.queue.now();
        let Some(leader) = self.leader().filter(|leader| self.machine(*leader).is_awake(now)) else {
            return;
        };
        let machine = &mut self.machines[leader as usize - 1];
        let Some(process) = &mut machine.process else {
            return;
        };
        let sampled = machine.clock.read(now);
        let taken = process.change_members(sampled, request, &mut self.context);
        if let (MemberRequest::Remove { name }, true) = (request, taken) {
            self.context.removal = Some(name.clone());
        }
        self.context
            .say(|| format!("n{leader} is asked for {request:?}: {taken}"));
        self.wake(leader, now);
    }
}
