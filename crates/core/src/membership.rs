//! Who is a member of the cluster: with which number, name, address and role. The one place that knows.
//!
//! It is replicated state: it changes only by [`Change`]s in the log, it is a section of every snapshot, and a
//! driver keeps a copy beside its log. The first one is made when the cluster forms. Quorums are derived from
//! it and from nothing else.
//!
//! Invariants: a number is allocated once and never used again, whoever is removed; at most one member is on its
//! way to become a voter; at least one voter stays; names are unique but for a member that is being replaced by
//! one of its own name.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::PeerId;
use crate::limits;

mod encoding;
mod refusal;

pub use encoding::NAME_BYTES_MAX;
pub use refusal::Refusal;

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// Votes, and counts for commits.
    Voter,
    /// Gets the log, and counts for nothing.
    Learner,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, for people.
    pub name: String,
    /// Where it listens for nodes, `host:port`; empty where nobody needs to reach it.
    pub address: String,
    /// Drawn by the node for its data directory; 0 for a member that has not come yet, or that is there since
    /// the cluster formed.
    pub key: u128,
    /// What it is for.
    pub role: MemberRole,
    /// Votes only until the joint configuration is left, and is no member then.
    pub leaving: bool,
}

/// A member on its way to become a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The learner.
    pub number: PeerId,
    /// The member that goes when it becomes a voter.
    pub replaces: Option<PeerId>,
}

/// A change of the membership, as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new learner; it becomes a voter when it has caught up.
    Add {
        /// The next free number.
        number: PeerId,
        /// See [`Member::name`].
        name: String,
        /// See [`Member::address`].
        address: String,
        /// See [`Member::key`].
        key: u128,
        /// The member that goes when this one becomes a voter.
        replaces: Option<PeerId>,
    },
    /// The learner has caught up: it votes from now on, and whom it replaces does not.
    Promote {
        /// The learner.
        number: PeerId,
    },
    /// A member goes.
    Remove {
        /// Who.
        number: PeerId,
    },
    /// A member is reached elsewhere, or has come for the first time.
    Meet {
        /// Who.
        number: PeerId,
        /// See [`Member::address`].
        address: String,
        /// See [`Member::key`].
        key: u128,
    },
    /// The joint configuration is left.
    Leave,
}

/// All members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Log index of the last change in it, 0 as it formed.
    index: u64,
    next_number: PeerId,
    members: BTreeMap<PeerId, Member>,
    pending: Option<Pending>,
    /// Voters of the configuration that is being left; empty but in a joint one.
    outgoing: BTreeSet<PeerId>,
}

impl Membership {
    /// The first membership: voters with their names and addresses, numbered from 1 in the order of their names.
    ///
    /// # Panics
    /// If two have the same name, or there are none or too many: the driver has judged its settings.
    pub fn formed(nodes: impl IntoIterator<Item = (String, String)>) -> Self {
        let nodes: Vec<(String, String)> = nodes.into_iter().collect();
        let named: BTreeMap<String, String> = nodes.iter().cloned().collect();
        assert_eq!(named.len(), nodes.len(), "names are unique");
        assert!(
            (1..=limits::VOTERS_MAX).contains(&named.len()),
            "a cluster has voters, and not too many"
        );
        let voter = |(place, (name, address))| {
            let member = Member {
                name,
                address,
                key: 0,
                role: MemberRole::Voter,
                leaving: false,
            };
            (place as PeerId + 1, member)
        };
        let members: BTreeMap<PeerId, Member> = named.into_iter().enumerate().map(voter).collect();
        Self {
            index: 0,
            next_number: members.len() as PeerId + 1,
            members,
            pending: None,
            outgoing: BTreeSet::new(),
        }
    }

    /// Voters n1, n2 and so on, for drivers that reach nodes by their numbers.
    pub fn of_count(count: u64) -> Self {
        Self::formed((1..=count).map(|number| (format!("n{number}"), format!("n{number}:1"))))
    }

    /// Log index of the last change.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The number that the next new member gets.
    pub fn next_number(&self) -> PeerId {
        self.next_number
    }

    /// A member.
    pub fn get(&self, number: PeerId) -> Option<&Member> {
        self.members.get(&number)
    }

    /// All members with their numbers, ascending; those that leave with a joint configuration included.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &Member)> {
        self.members.iter().map(|(&number, member)| (number, member))
    }

    /// The member of this name that stays; of two, one of which replaces the other, the later one.
    pub fn named(&self, name: &str) -> Option<(PeerId, &Member)> {
        self.iter().filter(|(_, member)| member.name == name).last()
    }

    /// The member whose directory has this key.
    pub fn of_key(&self, key: u128) -> Option<(PeerId, &Member)> {
        self.iter().find(|(_, member)| key != 0 && member.key == key)
    }

    /// The member that is on its way to become a voter.
    pub fn pending(&self) -> Option<Pending> {
        self.pending
    }

    /// Was a member once and is none any more.
    pub fn was_removed(&self, number: PeerId) -> bool {
        number < self.next_number && !self.members.contains_key(&number)
    }

    /// Votes in the present configuration; in a joint one, in the one that is coming.
    pub fn is_voter(&self, number: PeerId) -> bool {
        let votes = |member: &Member| member.role == MemberRole::Voter && !member.leaving;
        self.get(number).is_some_and(votes)
    }

    /// The voters of the present configuration; in a joint one, of the one that is coming.
    pub fn voters(&self) -> Vec<PeerId> {
        self.iter()
            .map(|(number, _)| number)
            .filter(|&number| self.is_voter(number))
            .collect()
    }

    /// The voters of the configuration that is being left; empty but in a joint one.
    pub fn outgoing(&self) -> Vec<PeerId> {
        self.outgoing.iter().copied().collect()
    }

    /// The members that count for nothing.
    pub fn learners(&self) -> Vec<PeerId> {
        let learners = self
            .iter()
            .filter(|(_, member)| member.role == MemberRole::Learner);
        learners.map(|(number, _)| number).collect()
    }

    /// Two configurations are in force, and everything needs a majority of both.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Nobody else holds anything of this cluster.
    pub fn is_alone(&self) -> bool {
        self.members.len() == 1
    }

    /// This member decides by itself: nobody else can lead.
    pub fn decides_alone(&self, number: PeerId) -> bool {
        !self.is_joint() && self.is_voter(number) && self.voters().len() == 1
    }

    /// Whether a change may be made now.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check(&self, change: &Change) -> Result<(), Refusal> {
        if self.is_joint() && *change != Change::Leave {
            return Err(self.in_progress());
        }
        match change {
            Change::Add {
                number,
                name,
                address,
                replaces,
                ..
            } => self.check_add(*number, (name, address), *replaces),
            Change::Promote { number } => match self.pending {
                Some(pending) if pending.number == *number => Ok(()),
                _ => Err(Refusal::NotPending),
            },
            Change::Remove { number } => {
                if self.get(*number).is_none() {
                    return Err(Refusal::NoSuchMember);
                }
                let pending = self.pending.map(|pending| pending.number);
                if pending.is_some() && pending != Some(*number) {
                    return Err(self.in_progress());
                }
                match self.voters().as_slice() {
                    [last] if last == number => Err(Refusal::LastVoter),
                    _ => Ok(()),
                }
            }
            Change::Meet { number, address, .. } => {
                encoding::check_address(address)?;
                let known = self.get(*number).ok_or(Refusal::NoSuchMember)?;
                if known.leaving {
                    Err(Refusal::NoSuchMember)
                } else {
                    Ok(())
                }
            }
            Change::Leave if self.is_joint() => Ok(()),
            Change::Leave => Err(Refusal::NotPending),
        }
    }

    fn check_add(
        &self,
        number: PeerId,
        (name, address): (&str, &str),
        replaces: Option<PeerId>,
    ) -> Result<(), Refusal> {
        encoding::check_name(name)?;
        encoding::check_address(address)?;
        if self.pending.is_some() {
            return Err(self.in_progress());
        }
        if number != self.next_number {
            return Err(Refusal::NotPending);
        }
        if let Some(replaced) = replaces
            && self.get(replaced).is_none()
        {
            return Err(Refusal::NoSuchMember);
        }
        if let Some((known, _)) = self.named(name)
            && replaces != Some(known)
        {
            return Err(Refusal::AlreadyMember {
                name: name.to_owned(),
            });
        }
        let voters = self.voters().len();
        if voters >= limits::VOTERS_MAX && replaces.is_none() {
            return Err(Refusal::TooManyVoters);
        }
        Ok(())
    }

    fn in_progress(&self) -> Refusal {
        let name = |number: PeerId| self.get(number).map_or("?", |member| &member.name).to_owned();
        Refusal::InProgress {
            name: self
                .pending
                .map_or_else(String::new, |pending| name(pending.number)),
            replaces: self.pending.and_then(|pending| pending.replaces).map(name),
        }
    }

    /// Applies a change from the log; one that may not be made changes nothing, on every replica alike, and so does
    /// one that is in here already.
    pub fn apply(&mut self, index: u64, change: &Change) -> bool {
        if index <= self.index || self.check(change).is_err() {
            return false;
        }
        self.index = index;
        match change {
            Change::Add {
                number,
                name,
                address,
                key,
                replaces,
            } => {
                let member = Member {
                    name: name.clone(),
                    address: address.clone(),
                    key: *key,
                    role: MemberRole::Learner,
                    leaving: false,
                };
                self.members.insert(*number, member);
                self.next_number = number + 1;
                self.pending = Some(Pending {
                    number: *number,
                    replaces: *replaces,
                });
            }
            Change::Promote { number } => self.promote(*number),
            Change::Remove { number } => {
                self.members.remove(number);
                if self.pending.is_some_and(|pending| pending.number == *number) {
                    self.pending = None;
                }
            }
            Change::Meet { number, address, key } => {
                let member = self.members.get_mut(number).expect("checked above");
                member.address.clone_from(address);
                member.key = *key;
            }
            Change::Leave => {
                self.outgoing.clear();
                self.members.retain(|_, member| !member.leaving);
            }
        }
        assert!(!self.voters().is_empty(), "a cluster keeps a voter");
        true
    }

    fn promote(&mut self, number: PeerId) {
        let voters = self.voters();
        let pending = self.pending.take().expect("checked by the caller");
        let replaced = pending
            .replaces
            .filter(|replaced| self.members.contains_key(replaced));
        let member = self.members.get_mut(&number).expect("a pending member is one");
        member.role = MemberRole::Voter;
        let Some(replaced) = replaced else { return };
        self.outgoing = voters.into_iter().collect();
        match self.outgoing.contains(&replaced) {
            true => self.members.get_mut(&replaced).expect("found above").leaving = true,
            false => drop(self.members.remove(&replaced)),
        }
    }

    /// The number of whoever was removed last is free again.
    #[cfg(feature = "bugs")]
    pub(crate) fn reuse_numbers(&mut self) {
        self.next_number = self.members.keys().max().map_or(1, |number| number + 1);
    }

    /// The new configuration alone decides at once.
    #[cfg(feature = "bugs")]
    pub(crate) fn skip_joint(&mut self) {
        self.outgoing.clear();
        self.members.retain(|_, member| !member.leaving);
    }

    /// What a promotion does to the voters: who becomes one, and who goes with it.
    pub fn swapped(&self) -> Option<(PeerId, Option<PeerId>)> {
        let pending = self.pending?;
        let replaced = pending
            .replaces
            .filter(|replaced| self.members.contains_key(replaced));
        Some((pending.number, replaced))
    }
}

#[cfg(test)]
mod tests;
