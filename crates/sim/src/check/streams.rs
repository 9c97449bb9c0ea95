//! Judges a stream and a group of consumers: no entry is lost, ids ascend in the order in which entries were told of, the
//! group gives each entry out once and in order, and what was acknowledged is pending no more.
//!
//! An entry that was given out and told to nobody was given to a client whose outcome is unknown, so there are no
//! more of these than such clients asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::Token;

/// Id of an entry.
pub type Id = (u64, u64);

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Appended an entry with this token.
    Append(Token),
    /// Read up to so many entries that nobody was given.
    Read(usize),
    /// Acknowledged entries.
    Acknowledge(Vec<Id>),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, or that it is not known.
    Unknown,
    /// It had no effect.
    Refused,
    /// Appended under this id.
    Appended(Id),
    /// These entries.
    Got(Vec<(Id, Token)>),
    /// So many were pending.
    Acknowledged(usize),
}

/// One request and what came of it. Times as in [`crate::history::Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was asked.
    pub invoked: u64,
    /// When the answer came.
    pub returned: Option<u64>,
    /// What.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is there at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// All entries.
    pub entries: Vec<(Id, Token)>,
    /// What is pending.
    pub pending: Vec<Id>,
    /// The id that was given out last.
    pub delivered: Id,
}

struct Judge<'a> {
    name: &'a str,
    steps: &'a [Step],
    left: &'a Left,
    /// Who was told of each entry.
    told: BTreeMap<Id, &'a Step>,
}

/// Judges one stream with its group.
///
/// # Errors
/// The first broken rule.
pub fn check(name: &str, steps: &[Step], left: &Left) -> Result<(), Violation> {
    let mut judge = Judge {
        name,
        steps,
        left,
        told: BTreeMap::new(),
    };
    judge.check_entries()?;
    judge.check_order()?;
    judge.check_deliveries()?;
    judge.check_pending()
}

impl<'a> Judge<'a> {
    fn fail(&self, check: &'static str, explanation: String) -> Result<(), Violation> {
        Err(Violation {
            check,
            subject: self.name.to_owned(),
            explanation,
        })
    }

    /// Every entry is there under the id that its client was told, and none that nobody appended.
    fn check_entries(&self) -> Result<(), Violation> {
        let there: BTreeMap<Token, Id> = self
            .left
            .entries
            .iter()
            .map(|(id, token)| (*token, *id))
            .collect();
        if there.len() < self.left.entries.len() {
            return self.fail("an entry is appended once", format!("{:?}", self.left.entries));
        }
        let mut appended = BTreeSet::new();
        for step in self.steps {
            let Action::Append(token) = step.action else {
                continue;
            };
            appended.insert(token);
            let is_right = match &step.outcome {
                Outcome::Appended(id) => there.get(&token) == Some(id),
                Outcome::Refused => !there.contains_key(&token),
                _ => true,
            };
            if !is_right {
                let found = there.get(&token);
                return self.fail("entries stay", format!("{step:?}, and there is {found:?}"));
            }
        }
        match there.keys().find(|token| !appended.contains(*token)) {
            Some(token) => self.fail("entries are real", format!("nobody appended {token}")),
            None => Ok(()),
        }
    }

    /// What was told before something else was asked for has the lower ids.
    fn check_order(&self) -> Result<(), Violation> {
        let ids = |step: &Step| match &step.outcome {
            Outcome::Appended(id) => Some((*id, *id)),
            Outcome::Got(entries) => Some((entries.first()?.0, entries.last()?.0)),
            _ => None,
        };
        for is_append in [true, false] {
            let of_kind = |step: &&Step| matches!(step.action, Action::Append(_)) == is_append;
            let mut by_begin: Vec<_> = self.steps.iter().filter(of_kind).collect();
            let mut by_end = by_begin.clone();
            by_begin.sort_by_key(|step| step.invoked);
            by_end.retain(|step| step.returned.is_some() && ids(step).is_some());
            by_end.sort_by_key(|step| step.returned);
            let mut ended = by_end.into_iter().peekable();
            let mut highest: Option<(Id, &Step)> = None;
            for step in by_begin {
                while let Some(before) = ended.next_if(|before| before.returned < Some(step.invoked)) {
                    let last = ids(before).map(|(_, last)| last).unwrap_or_default();
                    if highest.is_none_or(|(id, _)| id < last) {
                        highest = Some((last, before));
                    }
                }
                if let (Some((first, _)), Some((id, before))) = (ids(step), highest)
                    && first <= id
                {
                    return self.fail("ids ascend", format!("{before:?}, and later {step:?}"));
                }
            }
        }
        Ok(())
    }

    /// No entry is given out twice, and what was given out and told to nobody is explained.
    fn check_deliveries(&mut self) -> Result<(), Violation> {
        let there: BTreeMap<Id, Token> = self.left.entries.iter().copied().collect();
        let (steps, mut unknown) = (self.steps, 0);
        for step in steps {
            let Action::Read(count) = step.action else {
                continue;
            };
            if step.outcome == Outcome::Unknown {
                unknown += count;
            }
            let Outcome::Got(entries) = &step.outcome else {
                continue;
            };
            if entries.len() > count || !entries.is_sorted_by(|one, other| one.0 < other.0) {
                return self.fail("a read keeps its bounds", format!("{step:?}"));
            }
            for (id, token) in entries {
                if there.get(id) != Some(token) || *id > self.left.delivered {
                    return self.fail("what is given out is there", format!("{id:?} by {step:?}"));
                }
                if let Some(before) = self.told.insert(*id, step) {
                    let text = format!("{id:?} by {before:?}, and by {step:?}");
                    return self.fail("an entry is given out once", text);
                }
            }
        }
        let given = there.range(..=self.left.delivered).map(|(id, _)| id);
        let untold = given.filter(|id| !self.told.contains_key(*id)).count();
        if untold > unknown {
            let text = format!("{untold} were given to nobody; unknown outcomes explain {unknown}");
            return self.fail("no entry is passed over", text);
        }
        Ok(())
    }

    /// What was acknowledged is not pending, what nobody acknowledged is.
    fn check_pending(&self) -> Result<(), Violation> {
        let pending: BTreeSet<Id> = self.left.pending.iter().copied().collect();
        let (mut tried, mut done, mut counted) = (BTreeSet::new(), BTreeSet::new(), 0);
        for step in self.steps {
            let Action::Acknowledge(ids) = &step.action else {
                continue;
            };
            match step.outcome {
                Outcome::Refused => {}
                Outcome::Acknowledged(count) => {
                    counted += count;
                    done.extend(ids.iter().copied());
                    tried.extend(ids.iter().copied());
                }
                _ => tried.extend(ids.iter().copied()),
            }
        }
        if let Some(id) = done.intersection(&pending).next() {
            return self.fail("what was acknowledged stays so", format!("{id:?} is pending"));
        }
        if counted > done.len() {
            let text = format!("{counted} of {} entries", done.len());
            return self.fail("an entry is acknowledged once", text);
        }
        let forgotten = self
            .told
            .iter()
            .find(|(id, _)| !tried.contains(*id) && !pending.contains(*id));
        if let Some((id, step)) = forgotten {
            return self.fail("what was given out is pending", format!("{id:?} of {step:?}"));
        }
        match pending.iter().find(|id| **id > self.left.delivered) {
            Some(id) => self.fail("only what was given out is pending", format!("{id:?}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(times: (u64, u64), action: Action, outcome: Outcome) -> Step {
        Step {
            invoked: times.0,
            returned: Some(times.1),
            action,
            outcome,
        }
    }

    /// Three entries, of which the first two were given out and the first one is done with.
    fn history() -> (Vec<Step>, Left) {
        let entries = vec![((1, 0), 11), ((2, 0), 12), ((3, 0), 13)];
        let mut steps: Vec<_> = (0..3)
            .map(|at| {
                let (id, token) = entries[at as usize];
                step(
                    (at * 10, at * 10 + 5),
                    Action::Append(token),
                    Outcome::Appended(id),
                )
            })
            .collect();
        steps.push(step(
            (30, 35),
            Action::Read(1),
            Outcome::Got(entries[..1].to_vec()),
        ));
        steps.push(step(
            (40, 45),
            Action::Read(1),
            Outcome::Got(entries[1..2].to_vec()),
        ));
        let acknowledged = Action::Acknowledge(vec![(1, 0)]);
        steps.push(step((50, 55), acknowledged, Outcome::Acknowledged(1)));
        let left = Left {
            entries,
            pending: vec![(2, 0)],
            delivered: (2, 0),
        };
        (steps, left)
    }

    fn refused(change: impl Fn(&mut Vec<Step>, &mut Left), rule: &str) {
        let (mut steps, mut left) = history();
        assert_eq!(check("s", &steps, &left), Ok(()));
        change(&mut steps, &mut left);
        let found = check("s", &steps, &left).map_err(|violation| violation.check);
        assert_eq!(found, Err(rule), "{steps:?} {left:?}");
    }

    #[test]
    fn corrupted_histories_are_refused() {
        refused(|_, left| left.entries.truncate(2), "entries stay");
        refused(|steps, _| steps[2].outcome = Outcome::Refused, "entries stay");
        refused(|_, left| left.entries.push(((4, 0), 99)), "entries are real");
        refused(
            |_, left| left.entries.push(((4, 0), 13)),
            "an entry is appended once",
        );
        refused(
            |steps, left| {
                steps[0].outcome = Outcome::Appended((9, 0));
                left.entries[0] = ((9, 0), 11);
            },
            "ids ascend",
        );
        refused(
            |steps, _| steps[4].outcome = steps[3].outcome.clone(),
            "ids ascend",
        );
        refused(
            |steps, _| {
                steps[4].outcome = steps[3].outcome.clone();
                steps[4].invoked = 30;
            },
            "an entry is given out once",
        );
        refused(
            |steps, _| steps[4].outcome = Outcome::Got(Vec::new()),
            "no entry is passed over",
        );
        refused(
            |steps, _| steps[3].action = Action::Read(0),
            "a read keeps its bounds",
        );
        refused(|_, left| left.delivered = (1, 0), "what is given out is there");
        refused(
            |_, left| left.pending.push((1, 0)),
            "what was acknowledged stays so",
        );
        refused(|_, left| left.pending.clear(), "what was given out is pending");
        refused(
            |steps, _| steps[5].outcome = Outcome::Acknowledged(2),
            "an entry is acknowledged once",
        );
        refused(
            |_, left| left.pending.push((3, 0)),
            "only what was given out is pending",
        );
        let (mut steps, left) = history();
        steps[4].outcome = Outcome::Unknown;
        assert_eq!(check("s", &steps, &left), Ok(()), "an unknown read explains it");
    }
}
