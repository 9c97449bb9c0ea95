//! Members: changes of the membership as the log brings them, and as the leader makes them.
//!
//! A change counts when it is applied, here and for the quorums of consensus alike. The leader makes one at a time:
//! a new member learns first, and votes when it has nearly all of the log. What an operator asks for is judged and
//! proposed at once; what follows from it (a promotion, the end of a joint configuration) comes by itself, whoever
//! leads then.
//!
//! Invariants: the membership is that of the applied index; a leader proposes a promotion only of a learner that is
//! connected and lacks at most [`limits::PROMOTION_GAP_ENTRIES`]; who was removed serves nothing.

use bytes::Bytes;

use super::snapshots::Header;
use super::{Peer, Replica};
use crate::bugs::Bug;
use crate::contract::{Boot, Durability, Event, LogEntry, Outputs, PeerId, Role, Send, Settings};
use crate::limits;
use crate::membership::{Change, Member, Membership, Refusal};
use crate::message::Message;
use crate::time::Now;

/// What an operator, or a node that wants to join, asks of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// A new member; `key` is 0 when it has not come yet.
    Add {
        /// Its name.
        name: String,
        /// Where it will listen for nodes.
        address: String,
        /// Key of its directory.
        key: u128,
    },
    /// A member goes.
    Remove {
        /// Its name.
        name: String,
    },
    /// A new member takes the place of an old one.
    Replace {
        /// Name of the old one.
        old: String,
        /// Name of the new one.
        name: String,
        /// Where it will listen for nodes.
        address: String,
    },
    /// A node with an empty directory wants to be a member: as one that was announced, as one that comes back
    /// without what it knew, or as a new one.
    Join {
        /// Its name.
        name: String,
        /// Where it listens for nodes.
        address: String,
        /// Key of its directory, which is not 0.
        key: u128,
    },
    /// A member is reached elsewhere.
    Move {
        /// Its name.
        name: String,
        /// Where it listens for nodes now.
        address: String,
    },
    /// Another voter is to lead.
    Transfer {
        /// Its name.
        name: String,
    },
}

/// The latest membership that a starting node knows.
pub fn at_start(settings: &Settings, boot: &Boot) -> Membership {
    snapshot_membership(&settings.membership, boot, settings.identity.peer)
}

/// The later of what `me` has kept and what its snapshot holds.
pub(crate) fn snapshot_membership(kept: &Membership, boot: &Boot, me: PeerId) -> Membership {
    let given = kept.clone();
    let snapshot = boot.snapshot.as_ref();
    let saved = snapshot.map(|(_, _, chunks)| Header::of_chunks(chunks).membership);
    // A snapshot that does not know this node is older than its joining.
    match saved.filter(|saved| saved.get(me).is_some() && saved.index() >= given.index()) {
        Some(saved) => saved,
        None => given,
    }
}

impl Replica {
    /// The members at the applied index.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// True when this node is no member any more.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Applies a change from the log.
    pub(super) fn apply_change(&mut self, now: Now, entry: &LogEntry, outputs: &mut Outputs) {
        let Some(change) = self.consensus.change_in(entry.kind, &entry.data) else {
            return;
        };
        let before = self.membership.clone();
        if !self.membership.apply(entry.index, &change) {
            return;
        }
        // A leader that takes itself out is gone with this: the others must know the commit, or they would count by
        // the members of before, one of whom has left for good.
        let me = self.settings.identity.peer;
        if !self.membership.is_voter(me) {
            for peer in before.voters().into_iter().filter(|peer| *peer != me) {
                self.consensus.announce_commit(peer, entry.index);
            }
        }
        #[cfg(feature = "bugs")]
        if self.has(Bug::OneMajorityInJoint) {
            self.membership.skip_joint();
        }
        self.consensus.apply_change(&before, &change, &self.membership);
        // A leader that does not vote has stepped down.
        self.observe_role(now, outputs);
        self.membership_changed(&before, outputs);
    }

    /// A snapshot has brought its membership, which consensus has taken over with it.
    pub(super) fn adopt_membership(&mut self, membership: Membership, outputs: &mut Outputs) {
        let before = std::mem::replace(&mut self.membership, membership);
        self.consensus.adopt(&self.membership);
        self.membership_changed(&before, outputs);
    }

    fn membership_changed(&mut self, before: &Membership, outputs: &mut Outputs) {
        if *before == self.membership {
            return;
        }
        let me = self.settings.identity.peer;
        self.lease.set_single_voter(self.membership.decides_alone(me));
        for (number, _) in self.membership.iter().filter(|(number, _)| *number != me) {
            self.peers.entry(number).or_default();
        }
        let gone = before
            .iter()
            .filter(|(number, _)| self.membership.get(*number).is_none());
        for (number, _) in gone {
            if number == me {
                self.removed = true;
                continue;
            }
            self.tell_removed(number, outputs);
            self.peers.remove(&number);
            self.inbound.forget(number);
            self.waiters.forget(number);
            self.reads.forget_peer(number);
            self.snapshots.transfers.remove(&number);
        }
        #[cfg(feature = "bugs")]
        if self.has(Bug::ReuseNumber) {
            self.membership.reuse_numbers();
        }
        outputs.events.push(Event::Membership);
        if self.removed {
            self.end_membership(outputs);
        }
    }

    pub(super) fn tell_removed(&self, number: PeerId, outputs: &mut Outputs) {
        let index = self.membership.index();
        outputs.sends.push(Send {
            to: number,
            message: Message::Removed { index }.encode(),
        });
    }

    /// Nothing that who was removed says is heard: it would disturb elections. The sender may not know yet. True if
    /// the sender is such a one, or this node is.
    pub(super) fn turns_away(&self, from: PeerId, message: &Bytes, outputs: &mut Outputs) -> bool {
        if !self.membership.was_removed(from) {
            return self.removed;
        }
        // Two that take each other for removed would tell it to each other for ever.
        if !Message::is_removal(message) {
            self.tell_removed(from, outputs);
        }
        true
    }

    /// Another node says that this one is no member any more.
    pub(super) fn on_removed(&mut self, from: PeerId, index: u64, outputs: &mut Outputs) {
        // What is older than what this node knows has been overtaken: it was a member after it.
        if index < self.membership.index() || self.membership.get(from).is_none() {
            return;
        }
        self.end_membership(outputs);
    }

    fn end_membership(&mut self, outputs: &mut Outputs) {
        self.removed = true;
        self.confirmed = false;
        self.lease.release();
        // A leader may hear of it from those who have applied the entry, before its own disk has it.
        if self.consensus.role() == Role::Leader {
            self.consensus.step_down();
        }
        outputs.events.push(Event::Removed);
    }

    /// A stream to a node exists, whether or not it is known here already.
    pub(super) fn known_peer(&mut self, peer: PeerId) -> Option<&mut Peer> {
        if self.membership.was_removed(peer) {
            return None;
        }
        Some(self.peers.entry(peer).or_default())
    }

    fn is_alive(&self, now: Now, number: PeerId) -> bool {
        let heard = |peer: &Peer| now.mono_us.saturating_sub(peer.heard_us) < limits::MEMBER_SILENT_US;
        let is_me = number == self.settings.identity.peer;
        is_me
            || self
                .peers
                .get(&number)
                .is_some_and(|peer| peer.connected && heard(peer))
    }

    /// Carries out what an operator or a joining node asks, as far as it can be done at once: what follows comes by
    /// itself. A new member has the number that the membership then gives its name or key.
    ///
    /// # Errors
    /// Why not, and what to do; nothing has been proposed then.
    pub fn change_members(&mut self, now: Now, request: &MemberRequest) -> Result<(), Refusal> {
        if self.consensus.role() != Role::Leader {
            return Err(Refusal::NotLeader);
        }
        if !self.lease.serving() {
            return Err(Refusal::NotServing);
        }
        let change = match request {
            MemberRequest::Transfer { name } => return self.transfer_to(now, name),
            MemberRequest::Add { name, address, key } => {
                self.check_address(address, None)?;
                self.addition((name, address, *key), None)
            }
            MemberRequest::Replace { old, name, address } => {
                let (replaced, _) = self.membership.named(old).ok_or(Refusal::NoSuchMember)?;
                self.check_address(address, Some(replaced))?;
                self.addition((name, address, 0), Some(replaced))
            }
            MemberRequest::Join { name, address, key } => match self.joining(now, (name, address, *key))? {
                Some(change) => change,
                None => return Ok(()),
            },
            MemberRequest::Remove { name } => self.removal(now, name)?,
            MemberRequest::Move { name, address } => {
                let (number, member) = self.membership.named(name).ok_or(Refusal::NoSuchMember)?;
                Change::Meet {
                    number,
                    address: address.clone(),
                    key: member.key,
                }
            }
        };
        if self.settings.durability == Durability::None {
            return Err(Refusal::Volatile);
        }
        let me = self.membership.get(self.settings.identity.peer);
        let adds = matches!(change, Change::Add { .. });
        if adds && me.is_none_or(|me| me.address.is_empty()) {
            return Err(Refusal::Unreachable);
        }
        self.propose_change(&change)
    }

    /// What an operator gives as the address of a new member must not be that of another one, unless that one goes.
    fn check_address(&self, address: &str, replaced: Option<PeerId>) -> Result<(), Refusal> {
        let mut members = self.membership.iter();
        let holds = |(number, member): &(PeerId, &Member)| {
            member.address == *address && !address.is_empty() && Some(*number) != replaced
        };
        match members.find(holds) {
            None => Ok(()),
            Some((_, member)) => Err(Refusal::AddressTaken {
                address: address.to_owned(),
                name: member.name.clone(),
            }),
        }
    }

    fn addition(&self, (name, address, key): (&str, &str, u128), replaces: Option<PeerId>) -> Change {
        Change::Add {
            number: self.membership.next_number(),
            name: name.to_owned(),
            address: address.to_owned(),
            key,
            replaces,
        }
    }

    /// What makes a node that wants to join a member; `None` if it is one.
    fn joining(&self, now: Now, (name, address, key): (&str, &str, u128)) -> Result<Option<Change>, Refusal> {
        if let Some((number, member)) = self.membership.of_key(key) {
            let elsewhere = member.address != address;
            return Ok(elsewhere.then(|| Change::Meet {
                number,
                address: address.to_owned(),
                key,
            }));
        }
        let Some((number, member)) = self.membership.named(name) else {
            return Ok(Some(self.addition((name, address, key), None)));
        };
        let pending = self.membership.pending();
        let is_announced = member.key == 0 && pending.is_some_and(|pending| pending.number == number);
        if is_announced {
            return Ok(Some(Change::Meet {
                number,
                address: address.to_owned(),
                key,
            }));
        }
        if self.is_alive(now, number) {
            return Err(Refusal::StillAlive {
                name: name.to_owned(),
            });
        }
        // A learner that was wiped before it became a voter would wait for ever: it goes first.
        if pending.is_some_and(|pending| pending.number == number) {
            return Ok(Some(Change::Remove { number }));
        }
        Ok(Some(self.addition((name, address, key), Some(number))))
    }

    fn removal(&mut self, now: Now, name: &str) -> Result<Change, Refusal> {
        let (number, _) = self.membership.named(name).ok_or(Refusal::NoSuchMember)?;
        let change = Change::Remove { number };
        self.membership.check(&change)?;
        let mut voters = self.membership.voters();
        if voters.contains(&number) {
            voters.retain(|voter| *voter != number);
            let alive = voters.iter().filter(|voter| self.is_alive(now, **voter)).count();
            let needed = voters.len() / 2 + 1;
            if alive < needed {
                return Err(Refusal::NoMajority { alive, needed });
            }
        }
        if number == self.settings.identity.peer {
            self.hand_over(|_| true);
            return Err(Refusal::IsLeader);
        }
        Ok(change)
    }

    fn transfer_to(&mut self, now: Now, name: &str) -> Result<(), Refusal> {
        let (number, _) = self.membership.named(name).ok_or(Refusal::NoSuchMember)?;
        if number == self.settings.identity.peer {
            return Ok(());
        }
        if !self.membership.is_voter(number) || !self.is_alive(now, number) {
            return Err(Refusal::NotTransferable {
                name: name.to_owned(),
            });
        }
        self.offer_leadership(number);
        Ok(())
    }

    fn propose_change(&mut self, change: &Change) -> Result<(), Refusal> {
        self.membership.check(change)?;
        let proposed = self.consensus.propose_change(&self.membership, change);
        proposed.map_err(|_| Refusal::InProgress {
            name: String::new(),
            replaces: None,
        })
    }

    /// With every tick of a serving leader: who has caught up votes.
    pub(super) fn promote_if_caught_up(&mut self, now: Now) {
        if !self.lease.serving() || self.consensus.is_changing() {
            return;
        }
        let Some((number, replaced)) = self.membership.swapped() else {
            return;
        };
        let followers = self.consensus.followers();
        let matched = followers.iter().find(|follower| follower.peer == number);
        let matched = matched.map_or(0, |follower| follower.matched);
        let gap = self.consensus.last_index().saturating_sub(matched);
        let caught_up = matched > 0 && gap <= limits::PROMOTION_GAP_ENTRIES && self.is_alive(now, number);
        if !caught_up && !self.has(Bug::PromoteAtOnce) {
            return;
        }
        if replaced == Some(self.settings.identity.peer) {
            // Whoever leads next takes this node out.
            self.hand_over(|_| true);
            return;
        }
        // A failure is no news: the next tick tries again.
        let _ = self.propose_change(&Change::Promote { number });
    }

    /// Bytes of the membership, to be kept by the driver.
    pub fn membership_bytes(&self) -> Bytes {
        Bytes::from(self.membership.to_bytes())
    }
}
