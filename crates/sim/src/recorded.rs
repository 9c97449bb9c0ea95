//! Judges a history that was recorded outside of the simulator, by tests of real processes.
//!
//! The format is that of [`crate::history`], one operation per line, and the judges are those of simulated
//! histories. What a key held at rest is what the auditors read: clients that asked after all others had ended,
//! numbered from a bound on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::loss::{self, Accounts, Final};
use crate::check::{Judged, check_key};
use crate::history::{Action, Operation, Outcome, Token};

/// What the judges say of a recorded history. Its text form is one line of `name number` pairs, then one line per
/// violation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Operations in the history.
    pub operations: u64,
    /// Reads that were answered with a value.
    pub reads: u64,
    /// Keys that were read at rest.
    pub audited_keys: u64,
    /// What became of the writes.
    pub accounts: Accounts,
    /// Writes that were answered with "not applied" and that a read returned nevertheless.
    pub false_outcomes: u64,
    /// Keys that no linearizable order explains.
    pub broken_keys: u64,
    /// Keys whose judge gave the search up.
    pub given_up: u64,
    /// What is wrong, one text per violation.
    pub violations: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "operations {} reads {} audited {} {} false {} broken {} given-up {}",
            self.operations,
            self.reads,
            self.audited_keys,
            self.accounts,
            self.false_outcomes,
            self.broken_keys,
            self.given_up
        )?;
        self.violations
            .iter()
            .try_for_each(|violation| write!(out, "\nviolation {violation}"))
    }
}

/// Judges a recorded history; clients from `auditors_from` on have read at rest.
///
/// # Errors
/// The first line that is no operation.
pub fn judge(text: &str, auditors_from: u32) -> Result<Verdict, String> {
    let mut operations: Vec<Operation> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let parsed = line.parse::<Operation>();
        operations.push(parsed.map_err(|error| format!("line {}: {}", index + 1, error.0))?);
    }
    let mut verdict = Verdict {
        operations: operations.len() as u64,
        reads: operations
            .iter()
            .filter(|operation| is_answered_read(operation))
            .count() as u64,
        false_outcomes: false_outcomes(&operations),
        ..Verdict::default()
    };
    let mut by_key: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
    for operation in &operations {
        by_key.entry(operation.key).or_default().push(operation.clone());
    }
    for of_key in by_key.values() {
        match check_key(of_key) {
            Ok(Judged::Exactly) => {}
            Ok(Judged::GivenUp) => verdict.given_up += 1,
            Err(violation) => {
                verdict.broken_keys += 1;
                verdict.violations.push(violation.to_string());
            }
        }
    }
    let finals = finals(&operations, auditors_from);
    verdict.audited_keys = finals.len() as u64;
    verdict.accounts = loss::account(&operations, &finals);
    if let Err(violation) = loss::check(&operations, &finals) {
        verdict.violations.push(violation.to_string());
    }
    if verdict.false_outcomes > 0 && verdict.violations.is_empty() {
        verdict
            .violations
            .push("a write that was refused was read".to_owned());
    }
    Ok(verdict)
}

fn is_answered_read(operation: &Operation) -> bool {
    operation.action == Action::Read && matches!(operation.outcome, Outcome::Value(_) | Outcome::List(_))
}

/// The token that a write leaves behind in its key.
fn token_of(operation: &Operation) -> Option<Token> {
    match operation.action {
        Action::Write(token)
        | Action::WriteVolatile(token)
        | Action::Append(token)
        | Action::Raise(token) => Some(token),
        Action::CompareAndSet { new, .. } => Some(new),
        Action::Read | Action::Delete | Action::Increment => None,
    }
}

/// Refused writes whose tokens were read.
fn false_outcomes(operations: &[Operation]) -> u64 {
    let mut seen: BTreeSet<(u32, Token)> = BTreeSet::new();
    for operation in operations {
        match &operation.outcome {
            Outcome::Value(Some(token)) => seen.extend([(operation.key, *token)]),
            Outcome::List(tokens) => seen.extend(tokens.iter().map(|token| (operation.key, *token))),
            _ => {}
        }
    }
    let is_refused = |operation: &&Operation| operation.outcome == Outcome::Refused;
    let tokens = operations.iter().filter(is_refused).filter_map(|operation| {
        let token = token_of(operation)?;
        Some((operation.key, token))
    });
    tokens.filter(|place| seen.contains(place)).count() as u64
}

/// What the first auditor read of each key; that all of them agree is what the judges of single keys see to.
fn finals(operations: &[Operation], auditors_from: u32) -> BTreeMap<u32, Final> {
    let mut finals = BTreeMap::new();
    let audits = operations
        .iter()
        .filter(|operation| operation.client >= auditors_from && operation.action == Action::Read);
    for operation in audits {
        let content = match &operation.outcome {
            Outcome::Value(value) => Final::Value(*value),
            Outcome::List(tokens) => Final::List(tokens.clone()),
            _ => continue,
        };
        finals.entry(operation.key).or_insert(content);
    }
    finals
}

#[cfg(test)]
mod tests {
    use super::judge;

    const GOOD: &str = "1 0 1 2 write 5 ok\n2 0 3 4 write 6 refused\n1 1 1 2 append 7 count 1\n\
        1 1 3 9 append 8 unknown\n100 0 20 21 read value 5\n100 1 20 21 read list 7\n101 1 22 23 read list 7";

    /// (lost, resurrected, false outcomes, broken keys) after one line was replaced by another.
    fn after(line: &str, other: &str) -> (u64, u64, u64, u64) {
        assert!(GOOD.contains(line));
        let verdict = judge(&GOOD.replace(line, other), 100).expect("it is well formed");
        let is_clean = verdict.violations.is_empty();
        let numbers = (
            verdict.accounts.lost,
            verdict.accounts.resurrected,
            verdict.false_outcomes,
            verdict.broken_keys,
        );
        assert_eq!(is_clean, numbers == (0, 0, 0, 0), "{verdict}");
        numbers
    }

    #[test]
    fn a_history_is_judged_as_a_simulated_one_is() {
        let verdict = judge(GOOD, 100).expect("it is well formed");
        assert_eq!(
            verdict.to_string(),
            "operations 7 reads 3 audited 2 acknowledged 2 unknown 1 refused 1 lost 0 resurrected 0 duplicated 0 \
             false 0 broken 0 given-up 0"
        );
        assert_eq!(after("20 21 read value 5", "20 21 read value nil"), (1, 0, 0, 1));
        assert_eq!(after("20 21 read value 5", "20 21 read value 6"), (0, 1, 1, 1));
        assert_eq!(after("22 23 read list 7", "22 23 read list "), (0, 0, 0, 1));
        assert_eq!(
            after("100 1 20 21 read list 7", "100 1 20 21 read list 7,9"),
            (0, 1, 0, 1)
        );
        assert_eq!(
            after("101 1 22 23 read list 7", "101 1 22 23 read list 7,8"),
            (0, 0, 0, 0)
        );
    }

    #[test]
    fn a_line_that_is_no_operation_is_named() {
        let error = judge("1 0 1 2 write 5 ok\nnonsense", 100).expect_err("it is malformed");
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
