//! One directory that survived the loss of a majority: what its log holds, and what makes its node the only member.
//!
//! All of the log counts, also what was not known to be committed: it may have been acknowledged, and nobody is left
//! who knows better. The other members go by entries of the log, as they would if they were removed one by one, so that
//! their numbers are never used again.

use crate::consensus::{change_of, encode_removal};
use crate::contract::{Boot, HardState, LogEntry, PeerId};
use crate::entry::EntryReader;
use crate::membership::{Change, Membership};
use crate::replica::snapshot_membership;

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Index and term of the last entry.
    pub last: (u64, u64),
    /// Everything up to here is known to be committed.
    pub committed: u64,
    /// Stamp of the last entry that has one, in milliseconds since the epoch; 0 if none has.
    pub written_ms: u64,
    /// The members as of the last entry.
    pub membership: Membership,
}

/// Looks at what a directory holds; `kept` are the members that it knows beside its log.
///
/// # Panics
/// If snapshot or log do not decode: the driver has checked them byte by byte.
pub fn holdings(kept: &Membership, boot: &Boot, me: PeerId) -> Holdings {
    let mut membership = snapshot_membership(kept, boot, me);
    let mut last = boot
        .snapshot
        .as_ref()
        .map_or((0, 0), |(index, term, _)| (*index, *term));
    let mut written_ms = 0;
    for entry in &boot.entries {
        last = (entry.index, entry.term);
        if entry.kind != 0 {
            let change = change_of(&entry.data).expect("changes are judged before they get into a log");
            membership.apply(entry.index, &change);
        } else if let Ok(reader) = EntryReader::new(entry.data.clone()) {
            written_ms = reader.time_ms;
        }
    }
    Holdings {
        last,
        committed: boot.hard_state.commit,
        written_ms,
        membership,
    }
}

/// What is to be written behind the log so that `me` is the only member and everything in it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Behind the last entry.
    pub entries: Vec<LogEntry>,
    /// Of a term that nobody has seen.
    pub hard_state: HardState,
    /// The members then.
    pub membership: Membership,
}

/// Makes `me` the only member.
///
/// # Errors
/// It is no voter: what it holds may lack what was committed long before.
pub fn recovery(holdings: &Holdings, hard_state: HardState, me: PeerId) -> Result<Recovery, &'static str> {
    let mut membership = holdings.membership.clone();
    if !membership.is_voter(me) {
        return Err("its node was no voter, so what was committed long ago may be missing: take another one");
    }
    let term = hard_state.term.max(holdings.last.1) + 1;
    let mut changes: Vec<Change> = membership
        .is_joint()
        .then_some(Change::Leave)
        .into_iter()
        .collect();
    let others = membership
        .iter()
        .filter(|(number, member)| *number != me && !member.leaving);
    let mut others: Vec<PeerId> = others.map(|(number, _)| number).collect();
    // Nobody else goes before whoever is on its way to become a voter.
    let pending = membership.pending().map(|pending| pending.number);
    others.sort_by_key(|number| Some(*number) != pending);
    changes.extend(others.into_iter().map(|number| Change::Remove { number }));
    let mut entries = Vec::new();
    for change in &changes {
        let index = holdings.last.0 + 1 + entries.len() as u64;
        entries.push(LogEntry {
            index,
            term,
            kind: 2,
            data: encode_removal(change),
        });
        assert!(membership.apply(index, change), "a member can be removed");
    }
    assert!(membership.is_alone(), "nobody else is left");
    let commit = holdings.last.0 + entries.len() as u64;
    Ok(Recovery {
        entries,
        hard_state: HardState {
            term,
            vote: me,
            commit,
        },
        membership,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn boot(entries: u64) -> Boot {
        let entry = |index| LogEntry {
            index,
            term: 3,
            kind: 0,
            data: Bytes::new(),
        };
        Boot {
            hard_state: HardState {
                term: 5,
                vote: 2,
                commit: 1,
            },
            snapshot: None,
            entries: (1..=entries).map(entry).collect(),
        }
    }

    #[test]
    fn the_survivor_is_the_only_member_and_all_of_its_log_counts() {
        let boot = boot(4);
        let found = holdings(&Membership::of_count(3), &boot, 2);
        assert_eq!((found.last, found.committed), ((4, 3), 1));
        let recovery = recovery(&found, boot.hard_state, 2).expect("it is a voter");
        assert_eq!(recovery.membership.voters(), [2]);
        assert!(recovery.membership.was_removed(1) && recovery.membership.was_removed(3));
        assert_eq!(recovery.membership.next_number(), 4, "numbers are not used again");
        let places: Vec<(u64, u64)> = recovery.entries.iter().map(|e| (e.index, e.term)).collect();
        assert_eq!(places, [(5, 6), (6, 6)]);
        assert_eq!(recovery.hard_state.commit, 6);
        let read: Vec<Change> = recovery
            .entries
            .iter()
            .map(|entry| change_of(&entry.data).expect("it decodes"))
            .collect();
        assert_eq!(read, [Change::Remove { number: 1 }, Change::Remove { number: 3 }]);
        // A second time there is nobody left to remove.
        let mut again = boot;
        again.entries.extend(recovery.entries);
        let found = holdings(&recovery.membership, &again, 2);
        assert_eq!(found.membership, recovery.membership);
        let twice = super::recovery(&found, recovery.hard_state, 2).expect("it is a voter");
        assert!(twice.entries.is_empty() && twice.hard_state.term == 7);
    }

    #[test]
    fn a_joint_configuration_is_left_and_a_learner_is_no_survivor() {
        let mut membership = Membership::of_count(3);
        let add = Change::Add {
            number: 4,
            name: "n4".to_owned(),
            address: "n4:1".to_owned(),
            key: 7,
            replaces: Some(1),
        };
        assert!(membership.apply(1, &add));
        let learner = holdings(&membership, &boot(2), 4);
        assert!(recovery(&learner, HardState::default(), 4).is_err());
        assert!(membership.apply(2, &Change::Promote { number: 4 }) && membership.is_joint());
        let found = holdings(&membership, &boot(2), 4);
        let recovery = recovery(&found, HardState::default(), 4).expect("it is a voter");
        assert_eq!(recovery.entries.len(), 3, "leave, and two others go");
        assert_eq!(recovery.membership.voters(), [4]);
    }
}
