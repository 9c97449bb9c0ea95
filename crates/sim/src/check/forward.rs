//! Reads at level eventual: each value is one that was committed, and each replica moves only forward,
//! also over its own restarts.
//!
//! Judged on counters, where forward means not smaller, and on registers, where a value must come from a
//! write that had begun and was not refused.

use std::collections::HashMap;

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "eventual reads";

/// A read at level eventual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventualRead {
    /// The node that answered.
    pub node: u64,
    /// The key.
    pub key: u32,
    /// When it was asked.
    pub invoked: u64,
    /// When the answer came.
    pub returned: u64,
    /// The answer.
    pub value: Option<Token>,
}

/// Judges all such reads against the history. A key with increments is a counter.
///
/// # Errors
/// The first broken rule.
pub fn check(reads: &[EventualRead], operations: &[Operation]) -> Result<(), Violation> {
    let mut increments: HashMap<u32, Vec<u64>> = HashMap::new();
    let mut writes: HashMap<(u32, Token), &Operation> = HashMap::new();
    for operation in operations
        .iter()
        .filter(|operation| operation.outcome != Outcome::Refused)
    {
        match operation.action {
            Action::Increment => increments
                .entry(operation.key)
                .or_default()
                .push(operation.invoked),
            Action::Write(token) => drop(writes.insert((operation.key, token), operation)),
            _ => {}
        }
    }
    increments.values_mut().for_each(|times| times.sort_unstable());
    let mut sorted: Vec<&EventualRead> = reads.iter().collect();
    sorted.sort_unstable_by_key(|read| (read.node, read.key, read.invoked));
    for group in sorted.chunk_by(|one, other| (one.node, one.key) == (other.node, other.key)) {
        match increments.get(&group[0].key) {
            Some(times) => check_counter(group, times)?,
            None => check_register(group, &writes)?,
        }
    }
    Ok(())
}

fn check_register(
    group: &[&EventualRead],
    writes: &HashMap<(u32, Token), &Operation>,
) -> Result<(), Violation> {
    for read in group {
        let Some(token) = read.value else {
            continue;
        };
        let begun = writes
            .get(&(read.key, token))
            .is_some_and(|write| write.invoked <= read.returned);
        if !begun {
            return Err(Violation::of_key(
                CHECK,
                read.key,
                format!("nobody had written it: {read:?}"),
            ));
        }
    }
    Ok(())
}

/// `group` is ordered by invocation, `increments` holds when increments were invoked, ascending.
fn check_counter(group: &[&EventualRead], increments: &[u64]) -> Result<(), Violation> {
    let mut by_end: Vec<&EventualRead> = group.to_vec();
    by_end.sort_unstable_by_key(|read| read.returned);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: Option<&EventualRead> = None;
    for read in group {
        let count = read.value.unwrap_or(0);
        let begun = increments.partition_point(|invoked| *invoked <= read.returned) as u64;
        if count > begun {
            let explanation = format!("{begun} increments had begun: {read:?}");
            return Err(Violation::of_key(CHECK, read.key, explanation));
        }
        while let Some(earlier) = ended.next_if(|earlier| earlier.returned < read.invoked) {
            if highest.is_none_or(|highest| earlier.value > highest.value) {
                highest = Some(earlier);
            }
        }
        if let Some(highest) = highest
            && highest.value.unwrap_or(0) > count
        {
            let explanation = format!("the replica went back: {highest:?}, then {read:?}");
            return Err(Violation::of_key(CHECK, read.key, explanation));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EventualRead, check};
    use crate::history::Operation;

    fn read(node: u64, invoked: u64, returned: u64, value: Option<u64>) -> EventualRead {
        EventualRead {
            node,
            key: 0,
            invoked,
            returned,
            value,
        }
    }

    fn valid(lines: &[&str], reads: &[EventualRead]) -> bool {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        check(reads, &operations).is_ok()
    }

    #[test]
    fn counters_move_forward_on_each_node() {
        let lines = ["1 0 1 2 increment count 1", "1 0 3 4 increment count 2"];
        assert!(valid(&lines, &[read(1, 5, 6, Some(2)), read(2, 7, 8, Some(1))]));
        assert!(!valid(&lines, &[read(1, 5, 6, Some(2)), read(1, 7, 8, Some(1))]));
        assert!(!valid(&lines, &[read(1, 5, 6, Some(2)), read(1, 7, 8, None)]));
        assert!(
            valid(&lines, &[read(1, 5, 9, Some(2)), read(1, 7, 8, Some(1))]),
            "concurrent"
        );
        assert!(!valid(&lines, &[read(1, 5, 6, Some(3))]), "more than was asked");
        assert!(!valid(&lines, &[read(1, 1, 2, Some(2))]), "from the future");
    }

    #[test]
    fn registers_hold_what_was_written() {
        let lines = ["1 0 1 2 write 7 ok", "1 0 3 4 write 8 refused"];
        assert!(valid(&lines, &[read(1, 5, 6, Some(7)), read(1, 7, 8, None)]));
        assert!(!valid(&lines, &[read(1, 5, 6, Some(8))]), "refused");
        assert!(!valid(&lines, &[read(1, 5, 6, Some(9))]), "unheard of");
        assert!(!valid(&lines, &[read(1, 0, 0, Some(7))]), "from the future");
    }
}
