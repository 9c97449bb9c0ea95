//! Users and their rights: what was let through while nobody may have had the right to it, and whether all nodes
//! have seen the changes in one order.
//!
//! A change says all that counts of a user, so the latest one decides. Each carries a token that shows in the user
//! as a replica describes it. What is refused may be: a node judges by the users that it has, which may be behind.
//! But what stands in a connection's pipeline behind a change of its own is judged by that change. A read at level
//! eventual may be let through by users that are as old as what it reads.

use std::collections::BTreeMap;

use super::Violation;

/// Marks a change; shown by the users of whoever has applied it and nothing later.
pub type Token = u64;

/// What a change makes of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may read and write.
    Grant,
    /// It may read.
    ReadOnly,
    /// It may do neither.
    Nothing,
    /// It is gone, and so is who was logged in as it.
    Delete,
}

/// What somebody does by a user's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// A read.
    Read,
    /// A write.
    Write,
}

impl Kind {
    fn grants(self, right: Right) -> bool {
        matches!((self, right), (Self::Grant, _) | (Self::ReadOnly, Right::Read))
    }
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in force, or was.
    Done,
    /// It never is.
    Refused,
    /// It may be, from its request on.
    Unknown,
}

/// A change of a user.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The user.
    pub user: u32,
    /// Its token.
    pub token: Token,
    /// What it makes of the user.
    pub kind: Kind,
    /// When it was asked for.
    pub invoked: u64,
    /// When it was answered.
    pub returned: u64,
    /// With what.
    pub answer: Answer,
}

impl Change {
    /// When it was in the log at the latest.
    fn end(&self) -> u64 {
        match self.answer {
            Answer::Unknown => u64::MAX,
            _ => self.returned,
        }
    }
}

/// A request by a user's rights that was let through, or refused for want of them.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// The user.
    pub user: u32,
    /// Which right.
    pub right: Right,
    /// A read that may be at level eventual.
    pub may_be_old: bool,
    /// When its connection was told that it is logged in as the user.
    pub logged_in: u64,
    /// When it was asked for.
    pub invoked: u64,
    /// When it was answered.
    pub returned: u64,
    /// It was executed.
    pub allowed: bool,
    /// The change, by its number, that it follows in its pipeline; the connection has logged in again in between.
    pub behind: Option<usize>,
}

/// Judges all changes and uses of a run.
///
/// # Errors
/// The first broken promise.
pub fn check(changes: &[Change], uses: &[Use]) -> Result<(), Violation> {
    let mut of_user: BTreeMap<u32, Vec<(usize, Change)>> = BTreeMap::new();
    for (number, change) in changes.iter().enumerate() {
        if change.answer != Answer::Refused {
            of_user.entry(change.user).or_default().push((number, *change));
        }
    }
    let none = Vec::new();
    for used in uses {
        let changes = of_user.get(&used.user).unwrap_or(&none);
        let explanation = match used.allowed {
            true => why_not_allowed(used, changes),
            false => why_not_refused(used, changes),
        };
        if let Some(explanation) = explanation {
            return Err(Violation {
                check: "rights",
                subject: format!("user {}", used.user),
                explanation,
            });
        }
    }
    Ok(())
}

/// Why something cannot have been let through, if it cannot.
fn why_not_allowed(used: &Use, changes: &[(usize, Change)]) -> Option<String> {
    let granted = |change: &Change| change.kind.grants(used.right) && change.invoked <= used.returned;
    // Whoever has made a change and was told so at this node is judged by users which have it.
    let own = used
        .behind
        .and_then(|own| changes.iter().find(|(number, _)| *number == own));
    let is_current = own.is_some_and(|(_, own)| own.answer == Answer::Done);
    if used.may_be_old && !is_current {
        let is_granted = changes.iter().any(|(_, change)| granted(change));
        return (!is_granted).then(|| format!("{used:?}, and nothing has ever granted that"));
    }
    let is_before = |change: &Change| change.end() < used.invoked;
    let gone = |change: &Change| change.kind == Kind::Delete && change.invoked > used.logged_in;
    if let Some((_, change)) = changes
        .iter()
        .find(|(_, change)| is_before(change) && gone(change))
    {
        return Some(format!(
            "{used:?} on a connection whose user is gone since {change:?}"
        ));
    }
    // Whatever grants and ended before this began is overruled by then.
    let taken = changes
        .iter()
        .filter(|(_, change)| is_before(change) && !change.kind.grants(used.right))
        .max_by_key(|(_, change)| change.invoked);
    let overruled_before = taken.map_or(0, |(_, change)| change.invoked);
    let is_granted = changes
        .iter()
        .any(|(_, change)| granted(change) && change.end() >= overruled_before);
    (!is_granted).then(|| format!("{used:?}, and nothing grants that since {taken:?}"))
}

/// Why something cannot have been refused, if it cannot.
fn why_not_refused(used: &Use, changes: &[(usize, Change)]) -> Option<String> {
    let behind = used.behind?;
    let (_, own) = changes.iter().find(|(number, _)| *number == behind)?;
    // The answer to another change may be on its way while that is in force.
    let is_alone = changes.iter().all(|(number, other)| {
        *number == behind || other.end() < own.invoked || other.invoked > used.returned
    });
    (own.answer == Answer::Done && own.kind.grants(used.right) && is_alone)
        .then(|| format!("{used:?} behind {own:?} of its own"))
}

/// All states of the users that nodes were seen in, by the number of changes that made them.
#[derive(Debug, Default)]
pub struct States {
    seen: BTreeMap<u32, (u64, String)>,
}

impl States {
    /// Takes note of the users of a node after so many changes.
    ///
    /// # Errors
    /// If other users were seen after as many changes, on this node or another.
    pub fn observe(&mut self, node: u64, version: u32, users: &str) -> Result<(), Violation> {
        let (first, known) = self
            .seen
            .entry(version)
            .or_insert_with(|| (node, users.to_owned()));
        if known == users {
            return Ok(());
        }
        Err(Violation {
            check: "changes of users in one order",
            subject: format!("change {version}"),
            explanation: format!("node {first} had {known:?}, node {node} has {users:?}"),
        })
    }

    /// Judges the order in which changes took place against that in which they were asked for. `mark` gives what
    /// shows a token in the users.
    ///
    /// # Errors
    /// Two changes whose order is turned round.
    pub fn check_order(&self, changes: &[Change], mark: impl Fn(Token) -> String) -> Result<(), Violation> {
        let mut placed: Vec<(u32, &Change)> = Vec::new();
        for change in changes {
            let mark = mark(change.token);
            let first = self.seen.iter().find(|(_, (_, users))| users.contains(&mark));
            let Some((version, _)) = first else { continue };
            if change.answer == Answer::Refused {
                return Err(Violation {
                    check: "changes of users",
                    subject: format!("user {}", change.user),
                    explanation: format!("{change:?} is in force"),
                });
            }
            placed.push((*version, change));
        }
        for (version, change) in &placed {
            let is_turned = |(earlier, other): &&(u32, &Change)| {
                other.user == change.user && other.end() < change.invoked && earlier >= version
            };
            if let Some((_, other)) = placed.iter().find(is_turned) {
                return Err(Violation {
                    check: "changes of users in the order of requests",
                    subject: format!("user {}", change.user),
                    explanation: format!("{other:?} took place after {change:?}"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, invoked: u64, returned: u64) -> Change {
        Change {
            user: 1,
            token: invoked,
            kind,
            invoked,
            returned,
            answer: Answer::Done,
        }
    }

    fn write(invoked: u64, allowed: bool) -> Use {
        Use {
            user: 1,
            right: Right::Write,
            may_be_old: false,
            logged_in: 5,
            invoked,
            returned: invoked + 10,
            allowed,
            behind: None,
        }
    }

    fn granted_and_taken(kind: Kind) -> Vec<Change> {
        vec![change(Kind::Grant, 1, 3), change(kind, 100, 110)]
    }

    #[test]
    fn what_was_granted_is_allowed_until_it_is_known_to_be_taken() {
        for kind in [Kind::ReadOnly, Kind::Nothing, Kind::Delete] {
            let changes = granted_and_taken(kind);
            for (invoked, is_right) in [(50, true), (95, true), (110, true), (111, false), (500, false)] {
                let judged = check(&changes, &[write(invoked, true)]);
                assert_eq!(judged.is_ok(), is_right, "{kind:?} {invoked}: {judged:?}");
            }
            // A refusal may come from a node that is behind.
            assert_eq!(check(&changes, &[write(500, false), write(50, false)]), Ok(()));
        }
        let read = Use {
            right: Right::Read,
            ..write(500, true)
        };
        assert_eq!(check(&granted_and_taken(Kind::ReadOnly), &[read]), Ok(()));
        assert!(check(&granted_and_taken(Kind::Nothing), &[read]).is_err());
        assert!(check(&[], &[read]).is_err(), "nobody has made such a user");
    }

    #[test]
    fn an_eventual_read_may_be_let_through_by_old_users_but_not_behind_an_own_change() {
        let changes = granted_and_taken(Kind::Nothing);
        let read = Use {
            right: Right::Read,
            may_be_old: true,
            ..write(500, true)
        };
        assert_eq!(check(&changes, &[read]), Ok(()));
        let behind = Use {
            behind: Some(1),
            ..read
        };
        assert!(check(&changes, &[behind]).is_err());
        // Of the future it knows nothing.
        let early = Use {
            invoked: 0,
            returned: 0,
            ..read
        };
        assert!(check(&changes, &[early]).is_err());
    }

    #[test]
    fn what_is_granted_again_is_allowed_but_not_to_whom_a_deleted_user_left_behind() {
        let mut changes = granted_and_taken(Kind::Nothing);
        changes.push(change(Kind::Grant, 200, 210));
        assert_eq!(check(&changes, &[write(205, true), write(500, true)]), Ok(()));
        assert!(check(&changes, &[write(150, true)]).is_err());
        changes[1].kind = Kind::Delete;
        let stale = write(500, true);
        assert!(check(&changes, &[stale]).is_err());
        let fresh = Use {
            logged_in: 300,
            ..stale
        };
        assert_eq!(check(&changes, &[fresh]), Ok(()));
    }

    #[test]
    fn an_unknown_change_may_be_in_force_at_any_time_and_a_refused_one_never() {
        let mut changes = granted_and_taken(Kind::Nothing);
        changes.push(change(Kind::Grant, 90, 95));
        assert!(check(&changes, &[write(500, true)]).is_err());
        changes[2].answer = Answer::Unknown;
        assert_eq!(check(&changes, &[write(500, true)]), Ok(()));
        changes[2].answer = Answer::Refused;
        assert!(check(&changes, &[write(500, true)]).is_err());
        changes[1].answer = Answer::Unknown;
        assert_eq!(check(&changes, &[write(500, true)]), Ok(()));
    }

    #[test]
    fn what_follows_a_change_in_its_pipeline_is_judged_by_it() {
        let mut changes = vec![change(Kind::Nothing, 1, 3), change(Kind::Grant, 100, 110)];
        let refused = Use {
            behind: Some(1),
            ..write(100, false)
        };
        assert!(check(&changes, &[refused]).is_err());
        // Somebody else takes it at the same time.
        changes.push(change(Kind::Nothing, 105, 120));
        assert_eq!(check(&changes, &[refused]), Ok(()));
        changes[2].user = 2;
        assert!(check(&changes, &[refused]).is_err());
        changes[1].kind = Kind::ReadOnly;
        assert_eq!(check(&changes, &[refused]), Ok(()));
    }

    #[test]
    fn nodes_that_have_other_users_after_as_many_changes_are_found() {
        let mut states = States::default();
        assert_eq!(states.observe(1, 1, "a"), Ok(()));
        assert_eq!(states.observe(2, 1, "a"), Ok(()));
        assert_eq!(states.observe(2, 2, "b"), Ok(()));
        assert!(states.observe(1, 2, "a").is_err());
    }

    #[test]
    fn changes_that_took_place_in_another_order_are_found() {
        let mark = |token: Token| format!("<{token}>");
        let (first, second) = (change(Kind::Grant, 1, 3), change(Kind::Grant, 10, 13));
        for (versions, is_right) in [((1, 2), true), ((2, 1), false)] {
            let mut states = States::default();
            assert_eq!(states.observe(1, versions.0, "u <1>"), Ok(()));
            assert_eq!(states.observe(1, versions.1, "u <10>"), Ok(()));
            assert_eq!(states.check_order(&[first, second], mark).is_ok(), is_right);
        }
        let mut states = States::default();
        assert_eq!(states.observe(1, 1, "u <1>"), Ok(()));
        let refused = Change {
            answer: Answer::Refused,
            ..first
        };
        assert!(states.check_order(&[refused], mark).is_err());
    }
}
