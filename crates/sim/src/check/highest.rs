//! Scores that only rise: one member, ZADD GT of unique scores, ZSCORE.
//!
//! The value itself shows the order of its states, so the check is exact: a read shows a score that somebody had
//! begun to give, and none below what was known before the read began: an acknowledged score, or what another read
//! had seen. Nor does a client see less than what it was told of earlier, see [`super::order`].

use std::collections::HashMap;

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "scores only rise";

/// The score that is known to be reached when the operation has returned.
fn reached(operation: &Operation) -> Option<Token> {
    match (operation.action, &operation.outcome) {
        (Action::Raise(token), Outcome::Ok) => Some(token),
        (Action::Read, Outcome::Value(score)) => *score,
        _ => None,
    }
}

/// Judges all operations of one member, in the order in which they were asked.
///
/// # Errors
/// The first broken rule.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let Some(key) = operations.first().map(|operation| operation.key) else {
        return Ok(());
    };
    let fail = |explanation: String| Err(Violation::of_key(CHECK, key, explanation));
    let mut given: HashMap<Token, &Operation> = HashMap::new();
    for operation in operations {
        if let Action::Raise(token) = operation.action {
            given.insert(token, operation);
        }
    }
    let known = operations.iter().filter(|operation| reached(operation).is_some());
    let mut ended: Vec<&Operation> = known.collect();
    ended.sort_by_key(|operation| operation.end());
    let mut reads: Vec<(usize, &Operation)> = operations.iter().enumerate().collect();
    reads.sort_by_key(|(_, operation)| operation.invoked);
    let (mut next, mut highest) = (0, None);
    for (_, read) in reads {
        while ended
            .get(next)
            .is_some_and(|earlier| earlier.end() < read.invoked)
        {
            highest = highest.max(reached(ended[next]));
            next += 1;
        }
        let (Action::Read, Outcome::Value(seen)) = (read.action, &read.outcome) else {
            continue;
        };
        if *seen < highest {
            return fail(format!("{highest:?} was reached before [{read}]"));
        }
        let Some(seen) = seen else { continue };
        let source = given.get(seen).filter(|raise| raise.invoked <= read.end());
        if source.is_none_or(|raise| raise.outcome == Outcome::Refused) {
            return fail(format!("nobody had given the score of [{read}]"));
        }
    }
    check_clients(key, operations)
}

/// A client sees no less than what it was told of before.
fn check_clients(key: u32, operations: &[Operation]) -> Result<(), Violation> {
    let mut told: HashMap<u32, Token> = HashMap::new();
    for operation in operations.iter().filter(|operation| operation.is_acknowledged()) {
        let before = told.get(&operation.client).copied();
        if let Outcome::Value(seen) = operation.outcome
            && seen < before
        {
            let explanation = format!("client was told of {before:?} before [{operation}]");
            return Err(Violation::of_key(CHECK, key, explanation));
        }
        if let Some(score) = reached(operation) {
            let highest = told.entry(operation.client).or_default();
            *highest = score.max(*highest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::history::Operation;

    fn accepts(lines: &[&str]) -> bool {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        check(&operations).is_ok()
    }

    #[test]
    fn scores_rise() {
        let base = [
            "1 0 1 2 raise 5 ok",
            "2 0 1 9 raise 7 ok",
            "2 0 3 - raise 8 unknown",
        ];
        let with = |line| accepts(&[&base[..], &[line]].concat());
        for seen in ["5", "7", "8"] {
            let line = format!("3 0 4 6 read value {seen}");
            assert!(accepts(&[base[0], base[1], base[2], &line]), "{seen}");
        }
        assert!(!with("3 0 4 6 read value nil"), "lost");
        assert!(!with("3 0 10 11 read value 5"), "lower than what is there");
        assert!(!with("3 0 4 6 read value 9"), "nobody gave it");
        assert!(
            !accepts(&["1 0 5 6 raise 7 ok", "2 0 1 3 read value 7"]),
            "not yet"
        );
        assert!(!accepts(&["1 0 1 2 raise 7 refused", "2 0 3 4 read value 7"]));
    }

    #[test]
    fn reads_do_not_go_back() {
        let raises = ["1 0 1 - raise 5 unknown", "1 0 1 - raise 7 unknown"];
        let with = |lines: &[&str]| accepts(&[&raises[..], lines].concat());
        assert!(with(&["2 0 2 3 read value 5", "3 0 4 5 read value 7"]));
        assert!(!with(&["2 0 2 3 read value 7", "3 0 4 5 read value 5"]));
        assert!(
            with(&["2 0 2 6 read value 7", "3 0 4 5 read value 5"]),
            "at the same time"
        );
        assert!(
            !with(&["2 0 2 6 read value 7", "2 0 4 7 read value 5"]),
            "one client"
        );
    }
}
