//! Cache against origin, judged at rest: no pending intents, every node at the same index.
//!
//! 1. Every value that the cache holds (an absent row counts as a value) equals the origin's row.
//! 2. The origin's row is the outcome of the clients' history: the row, taken as a final read, is
//!    linearizable with what clients saw, so an acknowledged write is in the origin and a rejected one
//!    is not.
//! 3. The origin decided every intent of a lane once, in order, without a gap.

use std::collections::BTreeMap;

use super::{Judged, Violation, check_key};
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "cache against origin";

/// What is where at rest, per mapped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAtRest {
    /// The origin's row.
    pub row: Option<Token>,
    /// What the cache holds: `None` if it holds nothing about the key, `Some(None)` if it holds that
    /// there is no row.
    pub cached: Option<Option<Token>>,
}

/// What the origin wrote down about one decided intent, in the order of its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Keyspace and lane.
    pub lane: (u16, u16),
    /// The intent's number.
    pub sequence: u64,
    /// How many other clusters have had the database before; lanes are numbered anew after each.
    pub tenants: u32,
}

/// Judges all mapped keys. `operations` are those on mapped keys only; `rest` is the time at which
/// the rows were read.
///
/// # Errors
/// The first broken rule.
pub fn check(
    operations: &[Operation],
    keys: &BTreeMap<u32, KeyAtRest>,
    rest: u64,
) -> Result<Judged, Violation> {
    let mut judged = Judged::Exactly;
    for (key, at_rest) in keys {
        if let Some(cached) = at_rest.cached
            && cached != at_rest.row
        {
            let explanation = format!("the cache holds {cached:?}, the origin {:?}", at_rest.row);
            return Err(Violation::of_key(CHECK, *key, explanation));
        }
        let of_key = operations.iter().filter(|operation| operation.key == *key);
        let mut history: Vec<Operation> = of_key.cloned().collect();
        history.push(Operation {
            client: u32::MAX,
            key: *key,
            invoked: rest,
            returned: Some(rest),
            action: Action::Read,
            outcome: Outcome::Value(at_rest.row),
        });
        let verdict = check_key(&history).map_err(|violation| {
            let explanation = format!(
                "with the origin's row {:?} as last read: {violation}",
                at_rest.row
            );
            Violation::of_key(CHECK, *key, explanation)
        })?;
        if verdict == Judged::GivenUp {
            judged = verdict;
        }
    }
    Ok(judged)
}

/// Judges the order in which the origin decided intents.
///
/// # Errors
/// The first intent decided twice, out of order or after a gap.
pub fn check_decisions(decisions: &[Decision]) -> Result<(), Violation> {
    let mut last: BTreeMap<((u16, u16), u32), u64> = BTreeMap::new();
    for decision in decisions {
        let previous = last
            .insert((decision.lane, decision.tenants), decision.sequence)
            .unwrap_or(0);
        if decision.sequence != previous + 1 {
            return Err(Violation {
                check: "exactly once in the origin",
                subject: format!("lane {:?}", decision.lane),
                explanation: format!("intent {} was decided after {previous}", decision.sequence),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Decision, KeyAtRest, check, check_decisions};
    use crate::history::Operation;

    fn valid(lines: &[&str], row: Option<u64>, cached: Option<Option<u64>>) -> bool {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        check(
            &operations,
            &BTreeMap::from([(0, KeyAtRest { row, cached })]),
            1_000,
        )
        .is_ok()
    }

    #[test]
    fn rows_follow_from_the_history() {
        let lines = [
            "1 0 1 2 write 5 ok",
            "1 0 3 4 write 6 ok",
            "2 0 5 6 write 7 refused",
            "2 0 7 - write 8 unknown",
        ];
        assert!(valid(&lines, Some(6), None));
        assert!(valid(&lines, Some(8), None));
        assert!(!valid(&lines, Some(5), None), "an acknowledged write is missing");
        assert!(!valid(&lines, Some(7), None), "a rejected write is there");
        assert!(!valid(&lines, None, None), "all is gone");
        let deleted = ["1 0 1 2 write 5 ok", "1 0 3 4 delete count 1"];
        assert!(valid(&deleted, None, None));
        assert!(!valid(&deleted, Some(5), None), "a deleted row is there");
    }

    #[test]
    fn the_cache_equals_the_row_where_it_holds_something() {
        let lines = ["1 0 1 2 write 5 ok"];
        assert!(valid(&lines, Some(5), None));
        assert!(valid(&lines, Some(5), Some(Some(5))));
        assert!(!valid(&lines, Some(5), Some(Some(4))));
        assert!(!valid(&lines, Some(5), Some(None)));
    }

    #[test]
    fn intents_are_decided_once_and_in_order() {
        let decided = |sequences: &[u64]| {
            let decisions: Vec<Decision> = sequences
                .iter()
                .map(|sequence| Decision {
                    lane: (0, 1),
                    sequence: *sequence,
                    tenants: 0,
                })
                .collect();
            check_decisions(&decisions).is_ok()
        };
        assert!(decided(&[1, 2, 3]));
        assert!(!decided(&[1, 2, 2]), "twice");
        assert!(!decided(&[1, 3]), "a gap");
        assert!(!decided(&[2, 1]), "out of order");
    }
}
