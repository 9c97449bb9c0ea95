//! Linearizability of one key by search: Wing and Gong's algorithm with Lowe's memo ("Testing for
//! linearizability", 2017).
//!
//! For what zones cannot judge: DEL, INCR, compare-and-set, expiry. Exponential in the number of operations
//! open at once, so for keys with at most about eight clients and a few thousand operations; a step limit
//! keeps it bounded, and a verdict that it prevented is reported as such.
//!
//! Increments of unknown outcome are all alike: they may always be taken in the order in which they were
//! asked, which spares the search their permutations. What one client was told took effect in the order in which it
//! asked, see [`super::order`].
//!
//! Expiry in this model: a volatile value may become absent by itself at any moment, but never comes
//! back. That is what must hold whatever the clocks do; how punctual it is, is not judged here.

use std::collections::HashSet;

use super::{Judged, Violation};
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "linearizable (search)";

/// Steps after which a search is given up, as used for whole histories.
pub const STEPS_MAX: u64 = 300_000;

/// What the key holds. A counter is its number, absent counting as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct State {
    value: Option<Token>,
    volatile: bool,
}

impl State {
    fn holding(value: Option<Token>) -> Self {
        Self {
            value,
            volatile: false,
        }
    }

    /// The state after `operation`, if it can have had its outcome in this state. Exactly one state can
    /// follow, because increments do not meet volatile values (see the panic).
    fn after(self, operation: &Operation) -> Option<Self> {
        let may_be_absent = self.value.is_none() || self.volatile;
        match (operation.action, &operation.outcome) {
            (Action::Read, Outcome::Value(None)) => may_be_absent.then(Self::default),
            (Action::Read, Outcome::Value(seen)) => (*seen == self.value).then_some(self),
            (Action::Write(token), Outcome::Ok | Outcome::Unknown) => Some(Self::holding(Some(token))),
            (Action::WriteVolatile(token), Outcome::Ok | Outcome::Unknown) => Some(Self {
                value: Some(token),
                volatile: true,
            }),
            (Action::Delete, Outcome::Count(0)) => may_be_absent.then(Self::default),
            (Action::Delete, Outcome::Count(1)) => self.value.map(|_| Self::default()),
            (Action::Delete, Outcome::Unknown) => Some(Self::default()),
            (Action::Increment, outcome) => {
                assert!(!self.volatile, "increments of volatile keys are not modelled");
                let next = self.value.unwrap_or(0) + 1;
                let fits = *outcome == Outcome::Unknown || *outcome == Outcome::Count(next);
                fits.then(|| Self::holding(Some(next)))
            }
            (Action::CompareAndSet { expected, new }, Outcome::Ok) => {
                let fits = self.value == expected || (expected.is_none() && self.volatile);
                fits.then(|| Self::holding(Some(new)))
            }
            (Action::CompareAndSet { expected, new }, Outcome::Unknown) => {
                // It may come after the expiry of a volatile value, too.
                let fits = self.value == expected || (expected.is_none() && self.volatile);
                Some(if fits { Self::holding(Some(new)) } else { self })
            }
            _ => None,
        }
    }
}

/// A call or a return in the doubly linked list of events, by position.
#[derive(Clone, Copy, Debug)]
struct Link {
    operation: usize,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// The events in time order as a list from which linearized operations are lifted and put back.
/// Position 0 is the head, and also the end.
struct Events {
    links: Vec<Link>,
    /// Position of the return of an operation, 0 if it never returned.
    returns: Vec<usize>,
}

impl Events {
    fn new(operations: &[&Operation]) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            times.push((operation.invoked, false, index));
            if operation.end() != u64::MAX {
                times.push((operation.end(), true, index));
            }
        }
        // At the same position calls come before returns: such operations are concurrent.
        times.sort_unstable();
        let count = times.len();
        let mut returns = vec![0; operations.len()];
        let head = Link {
            operation: usize::MAX,
            is_call: false,
            previous: count,
            next: usize::from(count > 0),
        };
        let mut links = vec![head];
        for (position, (_, is_return, operation)) in times.into_iter().enumerate() {
            if is_return {
                returns[operation] = position + 1;
            }
            links.push(Link {
                operation,
                is_call: !is_return,
                previous: position,
                next: (position + 2) % (count + 1),
            });
        }
        Self { links, returns }
    }

    fn unlink(&mut self, position: usize) {
        let Link { previous, next, .. } = self.links[position];
        self.links[previous].next = next;
        self.links[next].previous = previous;
    }

    fn relink(&mut self, position: usize) {
        let Link { previous, next, .. } = self.links[position];
        self.links[previous].next = position;
        self.links[next].previous = position;
    }

    fn lift(&mut self, call: usize) {
        self.unlink(call);
        let end = self.returns[self.links[call].operation];
        if end != 0 {
            self.unlink(end);
        }
    }

    fn put_back(&mut self, call: usize) {
        let end = self.returns[self.links[call].operation];
        if end != 0 {
            self.relink(end);
        }
        self.relink(call);
    }
}

/// Judges all operations of one key, giving up after `steps_max` steps.
///
/// # Errors
/// The operation before which every order got stuck.
pub fn check(operations: &[Operation], steps_max: u64) -> Result<Judged, Violation> {
    let relevant: Vec<&Operation> = operations
        .iter()
        .filter(|operation| operation.outcome != Outcome::Refused)
        .filter(|operation| operation.is_write() || operation.outcome != Outcome::Unknown)
        .collect();
    let mut events = Events::new(&relevant);
    let first = prerequisites(&relevant);
    let mut open = relevant
        .iter()
        .filter(|operation| operation.end() != u64::MAX)
        .count();
    let mut linearized = vec![0u64; relevant.len().div_ceil(64)];
    let mut seen: HashSet<(Box<[u64]>, State)> = HashSet::new();
    let mut path: Vec<(usize, State)> = Vec::new();
    let mut state = State::default();
    let mut furthest = (open, None);
    let mut position = events.links[0].next;
    let mut steps = 0;
    while open > 0 {
        steps += 1;
        if steps > steps_max {
            return Ok(Judged::GivenUp);
        }
        let link = events.links[position];
        if position != 0 && link.is_call {
            let index = link.operation;
            let is_next = first[index].is_none_or(|other| linearized[other / 64] >> (other % 64) & 1 == 1);
            if is_next && let Some(after) = state.after(relevant[index]) {
                linearized[index / 64] |= 1 << (index % 64);
                if seen.insert((linearized.clone().into_boxed_slice(), after)) {
                    path.push((position, state));
                    state = after;
                    events.lift(position);
                    open -= usize::from(events.returns[index] != 0);
                    position = events.links[0].next;
                    continue;
                }
                linearized[index / 64] &= !(1 << (index % 64));
            }
            position = link.next;
            continue;
        }
        // A return is reached (or the end) and nothing more fits before it: the last choice was wrong.
        if open <= furthest.0 && position != 0 {
            furthest = (open, Some((link.operation, state)));
        }
        let Some((call, before)) = path.pop() else {
            return Err(stuck(&relevant, furthest.1));
        };
        state = before;
        let index = events.links[call].operation;
        linearized[index / 64] &= !(1 << (index % 64));
        events.put_back(call);
        open += usize::from(events.returns[index] != 0);
        position = events.links[call].next;
    }
    Ok(Judged::Exactly)
}

/// What must have been taken before an operation: before an increment of unknown outcome the one that was asked before
/// it, and before one that its client was told of the one that this client was told of before.
fn prerequisites(operations: &[&Operation]) -> Vec<Option<usize>> {
    let mut first = super::order::predecessors(operations);
    let alike = |operation: &&Operation| operation.action == Action::Increment && operation.end() == u64::MAX;
    let mut order: Vec<usize> = (0..operations.len())
        .filter(|index| alike(&operations[*index]))
        .collect();
    order.sort_by_key(|index| operations[*index].invoked);
    for pair in order.windows(2) {
        first[pair[1]] = Some(pair[0]);
    }
    first
}

fn stuck(operations: &[&Operation], furthest: Option<(usize, State)>) -> Violation {
    let key = operations.first().map_or(0, |operation| operation.key);
    let explanation = match furthest {
        Some((index, state)) => format!(
            "no order explains it; at best stuck holding {state:?} before the end of [{}]",
            operations[index]
        ),
        None => "no order explains it".to_owned(),
    };
    Violation::of_key(CHECK, key, explanation)
}

#[cfg(test)]
mod tests {
    use super::{Judged, check};
    use crate::history::{Action, Operation, Outcome};
    use crate::random::Random;

    fn expect(lines: &[&str], linearizable: bool) {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let verdict = check(&operations, 100_000);
        assert_eq!(verdict.is_ok(), linearizable, "{lines:?}: {verdict:?}");
    }

    #[test]
    fn counters() {
        expect(&["1 0 1 2 increment count 1", "2 0 3 4 increment count 2"], true);
        expect(&["1 0 1 2 increment count 1", "2 0 3 4 increment count 1"], false);
        expect(&["1 0 1 2 increment count 2", "2 0 3 4 increment count 1"], false);
        expect(&["1 0 1 9 increment count 2", "2 0 3 4 increment count 1"], true);
        expect(&["1 0 1 - increment unknown", "2 0 3 4 increment count 2"], true);
        // Executed twice: one unknown increment explains one gap, not two.
        expect(&["1 0 1 - increment unknown", "2 0 3 4 increment count 3"], false);
        expect(&["1 0 1 2 increment refused", "2 0 3 4 increment count 2"], false);
    }

    #[test]
    fn deletes() {
        expect(
            &[
                "1 0 1 2 write 7 ok",
                "2 0 3 4 delete count 1",
                "3 0 5 6 read value nil",
            ],
            true,
        );
        expect(
            &[
                "1 0 1 2 write 7 ok",
                "2 0 3 4 delete count 1",
                "3 0 5 6 read value 7",
            ],
            false,
        );
        expect(
            &[
                "1 0 1 2 write 7 ok",
                "2 0 3 4 delete count 1",
                "3 0 5 6 delete count 1",
            ],
            false,
        );
        expect(
            &[
                "1 0 1 2 write 7 ok",
                "2 0 3 - delete unknown",
                "3 0 5 6 delete count 0",
            ],
            true,
        );
        expect(&["1 0 1 2 write 7 ok", "3 0 5 6 delete count 0"], false);
    }

    #[test]
    fn a_volatile_value_goes_once_and_never_comes_back() {
        expect(
            &[
                "1 0 1 2 volatile 7 ok",
                "2 0 3 4 read value 7",
                "3 0 5 6 read value nil",
            ],
            true,
        );
        expect(
            &[
                "1 0 1 2 volatile 7 ok",
                "2 0 3 4 read value nil",
                "3 0 5 6 read value 7",
            ],
            false,
        );
        expect(
            &[
                "1 0 1 2 volatile 7 ok",
                "1 0 3 4 write 8 ok",
                "3 0 5 6 read value nil",
            ],
            false,
        );
    }

    #[test]
    fn compare_and_set() {
        expect(
            &["1 0 1 2 write 7 ok", "2 0 3 4 cas 7 8 ok", "3 0 5 6 read value 8"],
            true,
        );
        // Both saw 7 and both succeeded: the second one overwrote an update that it had not seen.
        expect(
            &["1 0 1 2 write 7 ok", "2 0 3 9 cas 7 8 ok", "3 0 3 9 cas 7 9 ok"],
            false,
        );
        expect(
            &[
                "1 0 1 2 write 7 ok",
                "2 0 3 - cas 7 8 unknown",
                "3 0 5 6 read value 7",
            ],
            true,
        );
        expect(&["2 0 3 4 cas nil 8 ok", "3 0 5 6 cas nil 9 ok"], false);
    }

    /// Runs a single register with all actions in a true order and then corrupts one answer.
    #[test]
    fn corrupted_histories_are_rejected() {
        let mut random = Random::new(9);
        let mut rejected = 0;
        for _ in 0..2_000 {
            let mut value: Option<u64> = None;
            let mut operations = Vec::new();
            for step in 0..20u64 {
                let (action, outcome) = match random.below(4) {
                    0 => (Action::Read, Outcome::Value(value)),
                    1 => (Action::Write(100 + step), Outcome::Ok),
                    2 => (Action::Delete, Outcome::Count(u64::from(value.is_some()))),
                    _ => (Action::Increment, Outcome::Count(value.unwrap_or(0) + 1)),
                };
                value = match action {
                    Action::Read => value,
                    Action::Write(token) => Some(token),
                    Action::Delete => None,
                    _ => Some(value.unwrap_or(0) + 1),
                };
                operations.push(Operation {
                    client: 0,
                    key: 0,
                    invoked: step * 10,
                    returned: Some(step * 10 + 5 + random.below(20)),
                    action,
                    outcome,
                });
            }
            assert_eq!(check(&operations, 1_000_000), Ok(Judged::Exactly));
            let Some(read) = operations
                .iter()
                .rposition(|operation| operation.action == Action::Read)
            else {
                continue;
            };
            operations[read].outcome = Outcome::Value(Some(99_999));
            assert!(check(&operations, 1_000_000).is_err());
            rejected += 1;
        }
        assert!(rejected > 1_500);
    }

    #[test]
    fn a_search_that_is_too_long_says_so() {
        let operations: Vec<Operation> = (0..40)
            .map(|index| {
                format!("{index} 0 1 100 increment count {}", 40 - index)
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(check(&operations, 10), Ok(Judged::GivenUp));
    }
}
