//! Loss accounting: what was acknowledged against what is there at the end.
//!
//! Weaker than the linearizability judges and independent of them: it looks only at the writes and at
//! one final read per key taken at rest, and it counts. Three numbers must be zero: lost (acknowledged and
//! not there), resurrected (refused and there, or never written and there) and duplicated.
//!
//! A key must be used in one way only: as a register (writes, volatile writes, deletes, compare-and-set),
//! as a counter (increments), as an append log or as a score that only rises.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

/// What a key holds at rest, read after the last operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Final {
    /// A register's value, or a counter's number.
    Value(Option<Token>),
    /// An append log's content.
    List(Vec<Token>),
}

/// The count over all keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Writes whose clients know that they were applied.
    pub acknowledged: u64,
    /// Writes of unknown outcome.
    pub unknown: u64,
    /// Writes that were definitely not applied.
    pub refused: u64,
    /// Acknowledged, and their effect is gone.
    pub lost: u64,
    /// There, though refused or never written.
    pub resurrected: u64,
    /// Applied more often than asked.
    pub duplicated: u64,
}

impl fmt::Display for Accounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "acknowledged {} unknown {} refused {} lost {} resurrected {} duplicated {}",
            self.acknowledged, self.unknown, self.refused, self.lost, self.resurrected, self.duplicated
        )
    }
}

/// Counts over a whole history. Keys without a final read are skipped.
pub fn account(operations: &[Operation], finals: &BTreeMap<u32, Final>) -> Accounts {
    let mut accounts = Accounts::default();
    let mut writes: BTreeMap<u32, Vec<&Operation>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.is_write()) {
        match operation.outcome {
            Outcome::Refused => accounts.refused += 1,
            Outcome::Unknown => accounts.unknown += 1,
            _ => accounts.acknowledged += 1,
        }
        writes.entry(operation.key).or_default().push(operation);
    }
    for (key, content) in finals {
        let writes = writes.get(key).map_or(&[][..], Vec::as_slice);
        let counter = writes.iter().any(|write| write.action == Action::Increment);
        let rises = writes
            .iter()
            .any(|write| matches!(write.action, Action::Raise(_)));
        match content {
            Final::Value(score) if rises => account_rising(writes, *score, &mut accounts),
            Final::List(tokens) => account_log(writes, tokens, &mut accounts),
            Final::Value(number) if counter => account_counter(writes, number.unwrap_or(0), &mut accounts),
            Final::Value(value) => account_register(writes, *value, &mut accounts),
        }
    }
    accounts
}

/// Fails if anything was lost, resurrected or duplicated.
///
/// # Errors
/// The accounts, as a violation.
pub fn check(operations: &[Operation], finals: &BTreeMap<u32, Final>) -> Result<Accounts, Violation> {
    let accounts = account(operations, finals);
    if accounts.lost + accounts.resurrected + accounts.duplicated == 0 {
        return Ok(accounts);
    }
    Err(Violation {
        check: "loss accounting",
        subject: "all keys".to_owned(),
        explanation: accounts.to_string(),
    })
}

fn account_log(writes: &[&Operation], tokens: &[Token], accounts: &mut Accounts) {
    let mut counts: HashMap<Token, u64> = HashMap::new();
    for token in tokens {
        *counts.entry(*token).or_default() += 1;
    }
    for write in writes {
        let Action::Append(token) = write.action else {
            continue;
        };
        let count = counts.remove(&token).unwrap_or(0);
        if count > 0 && write.outcome == Outcome::Refused {
            accounts.resurrected += 1;
        }
        if count == 0 && write.is_acknowledged() {
            accounts.lost += 1;
        }
        accounts.duplicated += count.saturating_sub(1);
    }
    accounts.resurrected += counts.len() as u64;
}

/// The greatest score stays, so whatever is greater than what is there is lost.
fn account_rising(writes: &[&Operation], score: Option<Token>, accounts: &mut Accounts) {
    let token_of = |write: &Operation| match write.action {
        Action::Raise(token) => Some(token),
        _ => None,
    };
    let is_greater = |write: &&&Operation| write.is_acknowledged() && token_of(write) > score;
    accounts.lost += writes.iter().filter(is_greater).count() as u64;
    let is_source = |write: &&Operation| token_of(write) == score && write.outcome != Outcome::Refused;
    if score.is_some() && !writes.iter().any(is_source) {
        accounts.resurrected += 1;
    }
}

fn account_counter(writes: &[&Operation], number: u64, accounts: &mut Accounts) {
    let acknowledged = writes.iter().filter(|write| write.is_acknowledged()).count() as u64;
    let unknown = writes
        .iter()
        .filter(|write| write.outcome == Outcome::Unknown)
        .count() as u64;
    accounts.lost += acknowledged.saturating_sub(number);
    accounts.duplicated += number.saturating_sub(acknowledged + unknown);
}

/// The value that a write leaves behind.
fn left_behind(write: &Operation) -> Option<Token> {
    match write.action {
        Action::Write(token) | Action::WriteVolatile(token) => Some(token),
        Action::CompareAndSet { new, .. } => Some(new),
        _ => None,
    }
}

/// A register keeps its last write only. An acknowledged write is lost if the final value comes from a
/// write that had ended before it began, and no other write may explain that.
fn account_register(writes: &[&Operation], value: Option<Token>, accounts: &mut Accounts) {
    let source_end = match value {
        Some(token) => {
            let Some(source) = writes.iter().find(|write| left_behind(write) == Some(token)) else {
                accounts.resurrected += 1;
                return;
            };
            if source.outcome == Outcome::Refused {
                accounts.resurrected += 1;
                return;
            }
            source.end()
        }
        None => {
            let removes = |write: &&&Operation| {
                matches!(write.action, Action::Delete | Action::WriteVolatile(_))
                    && write.outcome != Outcome::Refused
            };
            // Absent from the start unless something may have removed it.
            writes
                .iter()
                .filter(removes)
                .map(|write| write.end())
                .max()
                .unwrap_or(0)
        }
    };
    // A delete that removed nothing leaves no effect that could be lost.
    let effective = |write: &&&Operation| {
        let removed_nothing = write.action == Action::Delete && value.is_none();
        write.is_acknowledged() && !removed_nothing && write.invoked > source_end
    };
    accounts.lost += writes.iter().filter(effective).count() as u64;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Accounts, Final, account, check};
    use crate::history::Operation;

    fn accounts(lines: &[&str], content: Final) -> Accounts {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        account(&operations, &BTreeMap::from([(0, content)]))
    }

    fn faults(lines: &[&str], content: Final) -> (u64, u64, u64) {
        let accounts = accounts(lines, content);
        (accounts.lost, accounts.resurrected, accounts.duplicated)
    }

    #[test]
    fn logs() {
        let lines = [
            "1 0 1 2 append 5 count 1",
            "1 0 3 - append 6 unknown",
            "1 0 5 6 append 7 refused",
        ];
        assert_eq!(faults(&lines, Final::List(vec![5])), (0, 0, 0));
        assert_eq!(faults(&lines, Final::List(vec![5, 6])), (0, 0, 0));
        assert_eq!(faults(&lines, Final::List(vec![6])), (1, 0, 0));
        assert_eq!(faults(&lines, Final::List(vec![5, 7])), (0, 1, 0));
        assert_eq!(faults(&lines, Final::List(vec![5, 6, 6])), (0, 0, 1));
        assert_eq!(faults(&lines, Final::List(vec![5, 99])), (0, 1, 0));
    }

    #[test]
    fn counters() {
        let lines = [
            "1 0 1 2 increment count 1",
            "1 0 3 - increment unknown",
            "1 0 5 6 increment refused",
        ];
        assert_eq!(faults(&lines, Final::Value(Some(1))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(2))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(3))), (0, 0, 1));
        assert_eq!(faults(&lines, Final::Value(None)), (1, 0, 0));
    }

    #[test]
    fn scores_that_rise() {
        let lines = [
            "1 0 1 2 raise 5 ok",
            "1 0 3 - raise 6 unknown",
            "1 0 5 6 raise 7 refused",
        ];
        assert_eq!(faults(&lines, Final::Value(Some(5))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(6))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(7))), (0, 1, 0));
        assert_eq!(faults(&lines, Final::Value(Some(4))), (1, 1, 0));
        assert_eq!(faults(&lines, Final::Value(None)), (1, 0, 0));
    }

    #[test]
    fn registers() {
        let lines = [
            "1 0 1 2 write 5 ok",
            "1 0 3 4 write 6 ok",
            "2 0 3 - write 7 unknown",
            "2 0 9 10 write 8 refused",
        ];
        assert_eq!(faults(&lines, Final::Value(Some(6))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(7))), (0, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(5))), (1, 0, 0));
        assert_eq!(faults(&lines, Final::Value(None)), (2, 0, 0));
        assert_eq!(faults(&lines, Final::Value(Some(8))), (0, 1, 0));
        assert_eq!(faults(&lines, Final::Value(Some(9))), (0, 1, 0));
        let deleted = ["1 0 1 2 write 5 ok", "1 0 3 4 delete count 1"];
        assert_eq!(faults(&deleted, Final::Value(None)), (0, 0, 0));
        assert_eq!(faults(&deleted, Final::Value(Some(5))), (1, 0, 0));
    }

    #[test]
    fn the_check_fails_on_any_fault_and_reports_the_count() {
        let operations: Vec<Operation> = vec!["1 0 1 2 write 5 ok".parse().unwrap()];
        let good = BTreeMap::from([(0, Final::Value(Some(5)))]);
        assert_eq!(check(&operations, &good).unwrap().acknowledged, 1);
        let bad = BTreeMap::from([(0, Final::Value(None))]);
        assert!(
            check(&operations, &bad)
                .unwrap_err()
                .explanation
                .contains("lost 1")
        );
    }
}
