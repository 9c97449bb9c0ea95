//! Reads at level bounded: each shows every write that was acknowledged so long before it was asked, or longer.
//!
//! Judged on counters, where an acknowledged increment tells how many there were, and on registers, where a value must
//! not be one that had been overwritten by then. What was evicted or never acknowledged says nothing.

use std::collections::HashMap;

use super::Violation;
use super::forward::EventualRead;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "bounded reads";

/// Acknowledged writes of a key: when each was acknowledged, and the most that is known of all up to it.
#[derive(Default)]
struct Acknowledged {
    /// (acknowledged, invoked): of a register, when the latest of the writes up to it was asked for.
    writes: Vec<(u64, u64)>,
    /// (acknowledged, number): of a counter.
    numbers: Vec<(u64, u64)>,
    /// When writes of these values had ended, if that is known.
    ends: HashMap<Token, u64>,
}

/// Judges reads that are bounded by so many microseconds of the checker's clock.
///
/// # Errors
/// The first read that was too old.
pub fn check(reads: &[EventualRead], operations: &[Operation], bound_us: u64) -> Result<(), Violation> {
    let mut keys: HashMap<u32, Acknowledged> = HashMap::new();
    for operation in operations {
        let key = keys.entry(operation.key).or_default();
        if let Action::Write(token) = operation.action {
            key.ends.insert(token, operation.end());
        }
        let (Some(returned), true) = (operation.returned, operation.is_acknowledged()) else {
            continue;
        };
        match (operation.action, &operation.outcome) {
            (Action::Write(_) | Action::Delete, _) => key.writes.push((returned, operation.invoked)),
            (Action::Increment, Outcome::Count(number)) => key.numbers.push((returned, *number)),
            _ => {}
        }
    }
    keys.values_mut().for_each(Acknowledged::accumulate);
    for read in reads {
        if let (Some(key), Some(before)) = (keys.get(&read.key), read.invoked.checked_sub(bound_us)) {
            key.judge(read, before)?;
        }
    }
    Ok(())
}

impl Acknowledged {
    /// Sorts by acknowledgement, and makes the most that is known of what was acknowledged up to each.
    fn accumulate(&mut self) {
        for list in [&mut self.writes, &mut self.numbers] {
            list.sort_unstable();
            let mut most = 0;
            for (_, known) in list {
                most = most.max(*known);
                *known = most;
            }
        }
    }

    fn judge(&self, read: &EventualRead, before: u64) -> Result<(), Violation> {
        let until = |list: &[(u64, u64)]| {
            let count = list.partition_point(|(acknowledged, _)| *acknowledged < before);
            count.checked_sub(1).map(|last| list[last])
        };
        if let Some((acknowledged, number)) = until(&self.numbers)
            && read.value.unwrap_or(0) < number
        {
            let explanation = format!("{number} had been acknowledged at {acknowledged}: {read:?}");
            return Err(Violation::of_key(CHECK, read.key, explanation));
        }
        let end = read.value.and_then(|token| self.ends.get(&token));
        if let (Some((acknowledged, invoked)), Some(&end)) = (until(&self.writes), end)
            && end < invoked
        {
            let explanation = format!(
                "overwritten by what was asked at {invoked}, acknowledged by {acknowledged}: {read:?}"
            );
            return Err(Violation::of_key(CHECK, read.key, explanation));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{EventualRead, check};
    use crate::history::Operation;

    /// A read that was asked at this time, with a bound of 10.
    fn valid(lines: &[&str], invoked: u64, value: Option<u64>) -> bool {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let read = EventualRead {
            node: 1,
            key: 0,
            invoked,
            returned: invoked + 5,
            value,
        };
        check(&[read], &operations, 10).is_ok()
    }

    #[test]
    fn what_was_counted_longer_ago_than_the_bound_is_seen() {
        let lines = ["1 0 1 2 increment count 1", "1 0 3 4 increment count 2"];
        assert!(valid(&lines, 15, Some(2)) && !valid(&lines, 15, Some(1)));
        assert!(valid(&lines, 14, Some(1)), "acknowledged 10 before");
        assert!(!valid(&lines, 14, None));
        assert!(valid(&lines, 12, None));
        let unknown = ["1 0 1 2 increment count 1", "1 0 3 4 increment unknown"];
        assert!(valid(&unknown, 99, Some(1)));
    }

    #[test]
    fn what_was_overwritten_longer_ago_than_the_bound_is_not_seen() {
        let lines = ["1 0 1 2 write 7 ok", "1 0 3 4 write 8 ok"];
        assert!(valid(&lines, 99, Some(8)) && !valid(&lines, 15, Some(7)));
        assert!(valid(&lines, 14, Some(7)), "acknowledged 10 before");
        assert!(
            valid(&["1 0 1 3 write 7 ok", "1 0 3 4 write 8 ok"], 99, Some(7)),
            "concurrent"
        );
        assert!(valid(
            &["1 0 1 2 write 7 unknown", "1 0 3 4 write 8 ok"],
            99,
            Some(7)
        ));
        assert!(valid(
            &["1 0 1 2 write 7 ok", "1 0 3 4 write 8 unknown"],
            99,
            Some(7)
        ));
        let between = ["1 0 1 2 write 7 ok", "1 0 3 6 write 8 ok", "1 0 4 5 write 9 ok"];
        assert!(!valid(&between, 16, Some(7)) && valid(&between, 99, Some(9)));
    }
}
