//! Reads at level session: nobody goes back behind what was known on the connection, tokens that it took in included.
//!
//! Judged on counters, where going back means a smaller number, and on registers, where it means a value that had been
//! overwritten for certain when what is known was written. What was never acknowledged says nothing.

use std::collections::HashMap;

use super::Violation;
use crate::history::{Action, Operation, Token};

const CHECK: &str = "session reads";

/// What a client is told of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The key.
    pub key: u32,
    /// The number of a counter, or the value of a register; `None` where there is none.
    pub value: Option<Token>,
}

/// What happens to a client, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has a new connection.
    Connected,
    /// It is told a token, which covers all that it was told on this connection.
    Told,
    /// Its connection takes in the token that it was told last.
    TookIn,
    /// A write of its own is acknowledged.
    Wrote(Sight),
    /// A read is answered by this node.
    Read(u64, Sight),
}

/// What is known on a connection: of a counter its number, of a register when the latest of the writes was asked for
/// that are known to be in force.
#[derive(Clone, Debug, Default)]
struct Known {
    least: HashMap<u32, u64>,
}

/// When each write of a unique value was asked for, and when it had ended.
struct Writes {
    times: HashMap<(u32, Token), (u64, u64)>,
    counters: std::collections::HashSet<u32>,
}

impl Writes {
    fn of(operations: &[Operation]) -> Self {
        let mut writes = Self {
            times: HashMap::new(),
            counters: std::collections::HashSet::new(),
        };
        for operation in operations {
            match operation.action {
                Action::Write(token) => {
                    let times = (operation.invoked, operation.end());
                    writes.times.insert((operation.key, token), times);
                }
                Action::Increment => drop(writes.counters.insert(operation.key)),
                _ => {}
            }
        }
        writes
    }

    /// The time, or number, that the state must have reached if this was seen in it; and the highest that a state in which
    /// it is seen can have reached for certain.
    fn reach(&self, sight: Sight) -> (u64, u64) {
        match sight.value {
            None => (0, 0),
            Some(number) if self.counters.contains(&sight.key) => (number, number),
            Some(token) => match self.times.get(&(sight.key, token)) {
                Some(&(invoked, end)) => (invoked, end),
                // Nobody wrote it: for other judges.
                None => (0, u64::MAX),
            },
        }
    }
}

impl Known {
    fn learn(&mut self, key: u32, reached: u64) {
        let least = self.least.entry(key).or_default();
        *least = reached.max(*least);
    }

    fn add(&mut self, other: &Self) {
        for (key, reached) in &other.least {
            self.learn(*key, *reached);
        }
    }
}

/// Judges what each client was told, by its number.
///
/// # Errors
/// The first read that went back.
pub fn check(journeys: &HashMap<u32, Vec<Step>>, operations: &[Operation]) -> Result<(), Violation> {
    let writes = Writes::of(operations);
    for (client, steps) in journeys {
        let (mut known, mut carried) = (Known::default(), Known::default());
        for step in steps {
            match *step {
                Step::Connected => known = Known::default(),
                Step::Told => carried = known.clone(),
                Step::TookIn => known.add(&carried),
                Step::Wrote(sight) => known.learn(sight.key, writes.reach(sight).0),
                Step::Read(node, sight) => {
                    let (reached, at_most) = writes.reach(sight);
                    let least = known.least.get(&sight.key).copied().unwrap_or_default();
                    if at_most < least {
                        let explanation = format!(
                            "client {client} read {:?} at node {node} and had known {least} (a number, or when it was \
                             written) already",
                            sight.value
                        );
                        return Err(Violation::of_key(CHECK, sight.key, explanation));
                    }
                    known.learn(sight.key, reached);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Sight, Step, check};
    use crate::history::Operation;

    const COUNTER: u32 = 0;
    const REGISTER: u32 = 1;

    fn sight(key: u32, value: u64) -> Sight {
        let value = (value > 0).then_some(value);
        Sight { key, value }
    }

    fn valid(steps: &[Step]) -> bool {
        let lines = [
            "1 0 1 2 increment count 1",
            "1 0 3 4 increment count 2",
            "1 1 1 2 write 7 ok",
            "1 1 3 4 write 8 ok",
            "1 1 3 9 write 9 ok",
        ];
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        check(&[(5, steps.to_vec())].into(), &operations).is_ok()
    }

    fn read(key: u32, value: u64) -> Step {
        Step::Read(1, sight(key, value))
    }

    #[test]
    fn nobody_reads_less_than_was_read_or_written_on_the_connection() {
        assert!(valid(&[read(COUNTER, 1), read(COUNTER, 2), read(REGISTER, 0)]));
        assert!(!valid(&[read(COUNTER, 2), read(COUNTER, 1)]));
        assert!(!valid(&[read(COUNTER, 2), read(COUNTER, 0)]));
        let wrote = Step::Wrote(sight(COUNTER, 2));
        assert!(!valid(&[wrote, read(COUNTER, 1)]) && valid(&[wrote, read(COUNTER, 2)]));
        let wrote = Step::Wrote(sight(REGISTER, 8));
        assert!(!valid(&[wrote, read(REGISTER, 7)]) && !valid(&[wrote, read(REGISTER, 0)]));
        assert!(valid(&[wrote, read(REGISTER, 9)]), "concurrent");
        assert!(
            valid(&[wrote, read(REGISTER, 9), read(REGISTER, 8)]),
            "concurrent"
        );
    }

    #[test]
    fn what_is_known_is_carried_by_the_token_alone() {
        let seen = [Step::Connected, read(COUNTER, 2), Step::Told, Step::Connected];
        let then = |more: &[Step]| valid(&[&seen, more].concat());
        assert!(then(&[read(COUNTER, 1)]), "without its token it is another one");
        assert!(!then(&[Step::TookIn, read(COUNTER, 1)]));
        assert!(then(&[Step::TookIn, read(COUNTER, 2)]));
        assert!(!then(&[read(COUNTER, 1), Step::TookIn, read(COUNTER, 1)]));
        let late = [Step::Connected, read(COUNTER, 1), Step::Told, read(COUNTER, 2)];
        let after = [Step::Connected, Step::TookIn, read(COUNTER, 1)];
        assert!(valid(&[&late[..], &after].concat()), "told before it was seen");
    }
}
