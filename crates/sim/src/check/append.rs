//! Linearizability of an append log: one key, APPEND of unique tokens of fixed width, GET of the whole.
//!
//! The content itself shows the order of the writes, so the check is exact and O(n log n): every read
//! must be a prefix of the longest content seen, every acknowledged append must sit where its reply said,
//! and no operation may be ordered before another one that had returned before it was invoked. It
//! finds losses, duplicates, gaps, reordering and what came back from the dead.

use std::collections::HashMap;

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "append log";

/// Judges all operations of one append log.
///
/// # Errors
/// The first broken rule.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let Some(key) = operations.first().map(|operation| operation.key) else {
        return Ok(());
    };
    let fail = |explanation: String| Err(Violation::of_key(CHECK, key, explanation));
    let content = longest(operations);
    let mut positions: HashMap<Token, u64> = HashMap::new();
    for (position, token) in content.iter().enumerate() {
        if positions.insert(*token, position as u64 + 1).is_some() {
            return fail(format!("token {token} is in the log twice: {content:?}"));
        }
    }
    // (place in the order, invoked, end): appends take odd places, the reads after them even ones.
    let mut placed: Vec<(u64, &Operation)> = Vec::new();
    let mut written: HashMap<Token, &Operation> = HashMap::new();
    for operation in operations {
        match (operation.action, &operation.outcome) {
            (Action::Append(token), outcome) => {
                written.insert(token, operation);
                let position = positions.get(&token).copied();
                match (outcome, position) {
                    (Outcome::Refused, Some(_)) => {
                        return fail(format!("a refused append is in the log: [{operation}]"));
                    }
                    (Outcome::Count(length), Some(position)) if *length != position => {
                        return fail(format!("[{operation}] is at {position} in {content:?}"));
                    }
                    // Not seen by any read: then its own reply is its place, beyond all that was read.
                    (Outcome::Count(length), None) if *length <= content.len() as u64 => {
                        return fail(format!("lost: [{operation}] is not in {content:?}"));
                    }
                    (Outcome::Count(length), _) => placed.push((2 * length - 1, operation)),
                    (_, Some(position)) => placed.push((2 * position - 1, operation)),
                    (_, None) => {}
                }
            }
            (Action::Read, Outcome::List(seen)) => {
                if !content.starts_with(seen) {
                    return fail(format!("[{operation}] is no prefix of {content:?}"));
                }
                placed.push((2 * seen.len() as u64, operation));
            }
            (Action::Read, Outcome::Unknown | Outcome::Refused) => {}
            _ => return fail(format!("not an operation of an append log: [{operation}]")),
        }
    }
    if let Some(token) = content.iter().find(|token| !written.contains_key(token)) {
        return fail(format!("nobody appended {token}: {content:?}"));
    }
    check_clients(key, &placed)?;
    check_order(key, placed)
}

/// What a client was told of has a later place than what it was told of before, see [`super::order`].
fn check_clients(key: u32, placed: &[(u64, &Operation)]) -> Result<(), Violation> {
    let told: Vec<&(u64, &Operation)> = placed
        .iter()
        .filter(|(_, operation)| operation.is_acknowledged())
        .collect();
    let operations: Vec<&Operation> = told.iter().map(|(_, operation)| *operation).collect();
    for (index, before) in super::order::predecessors(&operations).into_iter().enumerate() {
        if let Some((place, earlier)) = before.map(|before| told[before])
            && *place > told[index].0
        {
            let explanation = format!(
                "[{earlier}] comes after [{}], which its client asked for later",
                operations[index]
            );
            return Err(Violation::of_key(CHECK, key, explanation));
        }
    }
    Ok(())
}

fn longest(operations: &[Operation]) -> &[Token] {
    let lists = operations
        .iter()
        .filter_map(|operation| match &operation.outcome {
            Outcome::List(tokens) => Some(tokens.as_slice()),
            _ => None,
        });
    lists.max_by_key(|tokens| tokens.len()).unwrap_or(&[])
}

/// From the last place to the first: whoever is placed earlier must not have begun after the end of
/// anyone placed later. Reads of the same length have the same place and no order among themselves.
fn check_order(key: u32, mut placed: Vec<(u64, &Operation)>) -> Result<(), Violation> {
    placed.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    let mut earliest_end: Option<&Operation> = None;
    let mut group_end: Option<(u64, &Operation)> = None;
    let sooner =
        |one: Option<&'_ Operation>, other: &'_ Operation| one.is_none_or(|one| other.end() < one.end());
    let mut previous_append = None;
    for (place, operation) in placed {
        if place % 2 == 1 && previous_append.replace(place) == Some(place) {
            let explanation = format!("two appends have place {}: [{operation}]", place / 2 + 1);
            return Err(Violation::of_key(CHECK, key, explanation));
        }
        if let Some((group, ended)) = group_end
            && group != place
        {
            if sooner(earliest_end, ended) {
                earliest_end = Some(ended);
            }
            group_end = None;
        }
        if let Some(later) = earliest_end
            && later.end() < operation.invoked
        {
            let explanation = format!("[{later}] had ended before [{operation}] began, yet comes after it");
            return Err(Violation::of_key(CHECK, key, explanation));
        }
        if sooner(group_end.map(|(_, ended)| ended), operation) {
            group_end = Some((place, operation));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::history::{Action, Operation, Outcome};
    use crate::random::Random;

    fn expect(lines: &[&str], valid: bool) {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let verdict = check(&operations);
        assert_eq!(verdict.is_ok(), valid, "{lines:?}: {verdict:?}");
    }

    #[test]
    fn small_cases() {
        expect(&["1 0 1 2 append 5 count 1", "2 0 3 4 read list 5"], true);
        expect(&["1 0 1 2 append 5 count 1", "2 0 3 4 read list "], false);
        expect(&["1 0 1 2 append 5 count 1", "2 0 3 4 read list 5,5"], false);
        expect(&["1 0 1 2 append 5 refused", "2 0 3 4 read list 5"], false);
        expect(&["1 0 1 - append 5 unknown", "2 0 3 4 read list 5"], true);
        expect(&["1 0 1 - append 5 unknown", "2 0 3 4 read list "], true);
        expect(
            &[
                "1 0 1 - append 5 unknown",
                "2 0 3 4 read list 5",
                "2 0 5 6 read list ",
            ],
            false,
        );
        expect(&["2 0 3 4 read list 5"], false);
        expect(
            &[
                "1 0 1 2 append 5 count 1",
                "1 0 3 4 append 6 count 2",
                "2 0 7 8 read list 6,5",
            ],
            false,
        );
        expect(&["1 0 1 2 append 5 count 1", "1 0 3 4 append 6 count 1"], false);
        // A client that does not wait sees its own appends.
        expect(&["1 0 1 9 append 5 count 1", "1 0 1 9 read list 5"], true);
        expect(&["1 0 1 9 append 5 count 1", "1 0 1 9 read list "], false);
        expect(&["1 0 1 9 read list 5", "1 0 1 9 append 5 count 1"], false);
        // Lost at the end: two later appends are acknowledged with lengths that leave no room for it.
        expect(
            &[
                "1 0 1 2 append 5 count 1",
                "1 0 3 4 append 6 count 1",
                "2 0 7 8 read list 6",
            ],
            false,
        );
    }

    #[test]
    fn corrupted_histories_are_rejected() {
        let mut random = Random::new(5);
        for _ in 0..2_000 {
            let mut content = Vec::new();
            let mut operations = Vec::new();
            for step in 0..30u64 {
                let (action, outcome) = if random.chance(500) {
                    content.push(step);
                    (Action::Append(step), Outcome::Count(content.len() as u64))
                } else {
                    (Action::Read, Outcome::List(content.clone()))
                };
                operations.push(Operation {
                    client: 0,
                    key: 0,
                    invoked: step * 10,
                    returned: Some(step * 10 + random.below(40)),
                    action,
                    outcome,
                });
            }
            operations.push(Operation {
                client: 0,
                key: 0,
                invoked: 1_000,
                returned: Some(1_001),
                action: Action::Read,
                outcome: Outcome::List(content.clone()),
            });
            assert_eq!(check(&operations), Ok(()));
            if content.len() < 3 {
                continue;
            }
            let last = operations.len() - 1;
            let mut damaged = content.clone();
            match random.below(4) {
                0 => drop(damaged.remove(random.below(content.len() as u64) as usize)),
                1 => damaged.push(damaged[0]),
                2 => damaged.swap(0, 1),
                _ => damaged.insert(1, 777),
            }
            operations[last].outcome = Outcome::List(damaged);
            assert!(check(&operations).is_err(), "{operations:#?}");
        }
    }
}
