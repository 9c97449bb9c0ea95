//! Our membership as the library sees it: configurations of voters and learners, and changes of them.
//!
//! The library judges and carries out changes by what it finds in an entry; whose names and addresses they are is
//! in the context of the entry, in our own encoding. Its parser is called only for what this process has just
//! proposed itself; everybody else finds the context with [`change_of`].
//!
//! Invariant: after every change that is applied, the library's configuration is the one of our membership.

use bytes::Bytes;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
#[cfg(feature = "bugs")]
use raft::eraftpb::{Message, MessageType};

use super::{Consensus, ProposeError, election_ticks};
use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::contract::{PeerId, Role};
use crate::membership::{Change, MemberRole, Membership};

/// The configuration of a membership. A joint one is left by the leader itself.
pub(super) fn conf_state(membership: &Membership) -> ConfState {
    ConfState {
        voters: membership.voters(),
        learners: membership.learners(),
        voters_outgoing: membership.outgoing(),
        auto_leave: membership.is_joint(),
        ..ConfState::default()
    }
}

/// The change that an entry of the library holds: it leaves a joint configuration with an empty one.
pub(crate) fn change_of(data: &Bytes) -> Result<Change, Malformed> {
    if data.is_empty() {
        return Ok(Change::Leave);
    }
    // Fields of the library's encoding: 1 is a number, 2 are its own changes, 3 is our context.
    let mut reader = Reader::new(data.clone());
    let mut context = None;
    while !reader.is_empty() {
        match reader.u8()? {
            0x08 => drop(reader.varint()?),
            0x12 => drop(reader.bytes()?),
            0x1a => context = Some(reader.bytes()?),
            _ => return Err(Malformed),
        }
    }
    Change::decode(context.ok_or(Malformed)?)
}

/// The bytes of an entry by which a member goes, or a joint configuration is left, as [`change_of`] reads them: for a log
/// that nobody leads.
///
/// # Panics
/// On any other change.
pub(crate) fn encode_removal(change: &Change) -> Bytes {
    let number = match change {
        Change::Leave => return Bytes::new(),
        Change::Remove { number } => *number,
        other => panic!("{other:?} is no removal"),
    };
    let (mut single, mut context, mut out) = (vec![0x08, 0x01, 0x10], Vec::new(), Vec::new());
    put_varint(&mut single, number);
    change.encode(&mut context);
    for (field, bytes) in [(0x12, single), (0x1a, context)] {
        out.push(field);
        put_bytes(&mut out, &bytes);
    }
    Bytes::from(out)
}

fn single(number: PeerId, kind: ConfChangeType) -> ConfChangeSingle {
    let mut single = ConfChangeSingle {
        node_id: number,
        ..ConfChangeSingle::default()
    };
    single.set_change_type(kind);
    single
}

/// What a change does to the configuration that `membership` stands for.
fn singles(membership: &Membership, change: &Change) -> Vec<ConfChangeSingle> {
    match change {
        Change::Add { number, .. } => vec![single(*number, ConfChangeType::AddLearnerNode)],
        Change::Promote { number } => {
            let replaced = membership.swapped().and_then(|(_, replaced)| replaced);
            let gone = replaced.map(|replaced| single(replaced, ConfChangeType::RemoveNode));
            let promoted = single(*number, ConfChangeType::AddNode);
            std::iter::once(promoted).chain(gone).collect()
        }
        Change::Remove { number } => vec![single(*number, ConfChangeType::RemoveNode)],
        Change::Meet { number, .. } => {
            let role = membership.get(*number).map(|member| member.role);
            let kind = match role {
                Some(MemberRole::Voter) => ConfChangeType::AddNode,
                _ => ConfChangeType::AddLearnerNode,
            };
            vec![single(*number, kind)]
        }
        Change::Leave => Vec::new(),
    }
}

fn conf_change(membership: &Membership, change: &Change) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: singles(membership, change).into(),
        ..ConfChangeV2::default()
    }
}

impl Consensus {
    /// True while a change of the membership may be in the log that is not applied here.
    pub fn is_changing(&self) -> bool {
        self.node.raft.has_pending_conf()
    }

    /// The change that a committed entry holds, if it holds one.
    ///
    /// # Panics
    /// If it does not decode: it was judged before it got into the log.
    pub fn change_in(&self, kind: u8, data: &Bytes) -> Option<Change> {
        (kind != 0).then(|| change_of(data).expect("changes are judged before they get into a log"))
    }

    /// Proposes a change that `membership` allows.
    pub fn propose_change(&mut self, membership: &Membership, change: &Change) -> Result<(), ProposeError> {
        if self.role() != Role::Leader {
            return Err(ProposeError::NotLeader);
        }
        if self.is_changing() {
            return Err(ProposeError::Busy);
        }
        let mut context = Vec::new();
        change.encode(&mut context);
        let mut proposal = conf_change(membership, change);
        proposal.context = Bytes::from(context);
        let proposed = self.node.propose_conf_change(Vec::new(), proposal);
        proposed.map_err(|_| ProposeError::Busy)
    }

    /// Applies a change that has just led from `before` to `after`.
    ///
    /// # Panics
    /// If the library's configuration is then not the membership's.
    pub fn apply_change(&mut self, before: &Membership, change: &Change, after: &Membership) {
        let steps = [conf_change(before, change)];
        #[cfg(feature = "bugs")]
        let steps = self.steps_of(steps, after);
        for step in steps {
            let applied = self.node.apply_conf_change(&step);
            applied.expect("the membership has judged the change");
        }
        self.adopt(after);
        if self.role() == Role::Leader && !after.is_voter(self.me) && !after.is_joint() {
            // Nobody counts on a leader that does not vote.
            let term = self.term();
            self.node.raft.become_follower(term, raft::INVALID_ID);
        }
    }

    /// Without a joint configuration, one voter comes and one goes at once.
    #[cfg(feature = "bugs")]
    fn steps_of(&self, [whole]: [ConfChangeV2; 1], after: &Membership) -> Vec<ConfChangeV2> {
        if whole.changes.len() < 2 || after.is_joint() {
            return vec![whole];
        }
        let step = |single: &ConfChangeSingle| ConfChangeV2 {
            changes: vec![single.clone()].into(),
            ..ConfChangeV2::default()
        };
        whole.changes.iter().map(step).collect()
    }

    /// Plants a bug, for the simulator.
    #[cfg(feature = "bugs")]
    pub fn plant(&mut self, bug: crate::bugs::Bug) {
        self.planted = Some(bug);
    }

    /// What a learner has stored is taken for what a voter has.
    #[cfg(feature = "bugs")]
    pub(super) fn count_learner(&mut self, message: &Message) {
        let conf = self.node.raft.prs().conf().to_conf_state();
        let is_learner = conf.learners.contains(&message.from);
        let is_append = message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject;
        let voter = conf
            .voters
            .iter()
            .copied()
            .filter(|voter| *voter != self.me)
            .min();
        if let Some(from) = voter
            && self.planted == Some(crate::bugs::Bug::LearnerCounts)
            && is_learner
            && is_append
        {
            let _ = self.node.step(Message {
                from,
                ..message.clone()
            });
        }
    }

    /// The membership is this one now: by a change, or by a snapshot.
    pub fn adopt(&mut self, membership: &Membership) {
        let mut conf = conf_state(membership);
        let mut theirs = self.node.raft.prs().conf().to_conf_state();
        for numbers in [
            &mut theirs.voters,
            &mut theirs.learners,
            &mut theirs.voters_outgoing,
        ] {
            numbers.sort_unstable();
        }
        assert_eq!(theirs, conf, "quorums are those of the membership");
        conf.auto_leave = membership.is_joint();
        self.election_ticks = election_ticks(self.me, &membership.voters());
        let store = self.node.mut_store();
        store.conf = conf;
        store.conf_index = membership.index();
        self.told.retain(|peer, _| membership.get(*peer).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Boot;
    use crate::driven::Driven;

    /// What the library puts into the log for a change that a single voter proposes.
    fn logged(consensus: &mut Consensus, membership: &Membership, change: &Change) -> Bytes {
        consensus.propose_change(membership, change).expect("it leads");
        let mut driven = Driven::default();
        consensus.drive(&mut driven);
        let entry = driven.committed.pop().expect("a single voter commits at once");
        assert_eq!(entry.kind, 2);
        consensus.applied(entry.index);
        entry.data
    }

    #[test]
    fn what_the_library_encodes_is_found_without_its_parser() {
        let mut membership = Membership::of_count(1);
        let mut consensus = Consensus::new(1, &membership, &Boot::default(), true);
        consensus.drive(&mut Driven::default());
        consensus.applied(1);
        let add = Change::Add {
            number: 2,
            name: "n2".to_owned(),
            address: "h:1".to_owned(),
            key: u128::MAX,
            replaces: None,
        };
        let meet = Change::Meet {
            number: 2,
            address: "h:2".to_owned(),
            key: 1,
        };
        for change in [add, meet, Change::Promote { number: 2 }] {
            let bytes = logged(&mut consensus, &membership, &change);
            assert_eq!(change_of(&bytes), Ok(change.clone()));
            for cut in 1..bytes.len() {
                assert!(change_of(&bytes.slice(..cut)).is_err(), "cut at {cut}");
            }
            let before = membership.clone();
            assert!(membership.apply(membership.index() + 1, &change));
            consensus.apply_change(&before, &change, &membership);
        }
        assert_eq!(change_of(&Bytes::new()), Ok(Change::Leave));
    }

    #[test]
    fn a_removal_has_the_bytes_that_the_library_would_give_it() {
        let mut membership = Membership::of_count(1);
        let mut consensus = Consensus::new(1, &membership, &Boot::default(), true);
        consensus.drive(&mut Driven::default());
        consensus.applied(1);
        let add = Change::Add {
            number: 2,
            name: "n2".to_owned(),
            address: "h:1".to_owned(),
            key: 3,
            replaces: None,
        };
        logged(&mut consensus, &membership, &add);
        let before = membership.clone();
        assert!(membership.apply(2, &add));
        consensus.apply_change(&before, &add, &membership);
        let remove = Change::Remove { number: 2 };
        assert_eq!(
            logged(&mut consensus, &membership, &remove),
            encode_removal(&remove)
        );
        assert_eq!(encode_removal(&Change::Leave), Bytes::new());
    }
}
