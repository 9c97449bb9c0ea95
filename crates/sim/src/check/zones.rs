//! Linearizability of one register with unique values: the zone check of Gibbons and Korach
//! ("Testing shared memories", SIAM J. Computing 26(4), 1997, the read-mapping case).
//!
//! All operations of one value (its write and the reads that returned it) form a cluster. Let `finish` be
//! the earliest end and `start` the latest invocation in it. If `finish < start` the cluster has a
//! forward zone: the register must hold that value throughout. Otherwise all its operations have an
//! instant in common, anywhere from `start` to `finish`: a backward zone. The history is linearizable iff no
//! read ends before its write begins, no two forward zones overlap, and no backward zone lies inside a
//! forward one. Exact, O(n log n), any number of clients. That clients see their own requests in order is judged
//! behind it, by [`super::order`].
//!
//! Unknown outcomes: a write without an end has its end at infinity, so only its reads narrow its zone;
//! one that nobody read may never have happened and is left out. Absent is the initial value, so it
//! holds only for keys that are never deleted and never expire ([`super::search`] judges those).

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "linearizable (zones)";

/// A cluster's bounds. Times are shifted by one, so that 0 can stand for "before everything".
#[derive(Clone, Copy, Debug)]
struct Cluster<'a> {
    value: Option<Token>,
    /// Earliest end of its operations.
    finish: u128,
    /// Latest invocation of its operations.
    start: u128,
    write: Option<&'a Operation>,
    reads: usize,
}

/// Judges the reads and writes of one key.
///
/// # Errors
/// The first broken rule.
///
/// # Panics
/// If an action is neither a read nor a plain write, or a value is written twice: the caller chose the
/// wrong judge.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let Some(key) = operations.first().map(|operation| operation.key) else {
        return Ok(());
    };
    let clusters = clusters(operations, key)?;
    let mut forward: Vec<&Cluster<'_>> = Vec::new();
    let mut backward: Vec<&Cluster<'_>> = Vec::new();
    for cluster in clusters.values() {
        let unread = cluster.reads == 0;
        if unread && cluster.write.is_some_and(|write| !write.is_acknowledged()) {
            continue;
        }
        if cluster.finish < cluster.start {
            forward.push(cluster);
        } else {
            backward.push(cluster);
        }
    }
    forward.sort_unstable_by_key(|cluster| (cluster.finish, cluster.start));
    for pair in forward.windows(2) {
        // Touching is allowed: two operations at the same position are concurrent.
        if pair[1].finish < pair[0].start {
            return Err(conflict(
                key,
                "must both be held at the same time",
                pair[0],
                pair[1],
            ));
        }
    }
    for inner in backward {
        let after = forward.partition_point(|outer| outer.finish < inner.start);
        let Some(outer) = after.checked_sub(1).map(|index| forward[index]) else {
            continue;
        };
        if inner.finish < outer.start {
            return Err(conflict(
                key,
                "the second was current in the middle of the first",
                outer,
                inner,
            ));
        }
    }
    super::order::check(operations)
}

fn conflict(key: u32, what: &str, first: &Cluster<'_>, second: &Cluster<'_>) -> Violation {
    let name = |cluster: &Cluster<'_>| match cluster.write {
        Some(write) => format!("[{write}] read {} times", cluster.reads),
        None => format!("the initial nil read {} times", cluster.reads),
    };
    Violation::of_key(
        CHECK,
        key,
        format!("{what}: {} and {}", name(first), name(second)),
    )
}

fn shifted(time: u64) -> u128 {
    u128::from(time) + 1
}

fn clusters(operations: &[Operation], key: u32) -> Result<BTreeMap<Option<Token>, Cluster<'_>>, Violation> {
    let mut clusters = BTreeMap::new();
    let initial = Cluster {
        value: None,
        finish: 0,
        start: 0,
        write: None,
        reads: 0,
    };
    clusters.insert(None, initial);
    for operation in operations {
        match operation.action {
            Action::Write(token) => {
                let cluster = Cluster {
                    value: Some(token),
                    finish: shifted(operation.end()),
                    start: shifted(operation.invoked),
                    write: Some(operation),
                    reads: 0,
                };
                let earlier = clusters.insert(Some(token), cluster);
                assert!(earlier.is_none(), "value {token} is written twice");
            }
            Action::Read => {}
            other => panic!("the zone check cannot judge {other:?}"),
        }
    }
    for read in operations {
        let Outcome::Value(value) = read.outcome else {
            continue;
        };
        let Some(cluster) = clusters.get_mut(&value) else {
            return Err(Violation::of_key(
                CHECK,
                key,
                format!("nobody wrote what [{read}] returned"),
            ));
        };
        if let Some(write) = cluster.write {
            if write.outcome == Outcome::Refused {
                let explanation = format!("[{read}] saw a refused write: [{write}]");
                return Err(Violation::of_key(CHECK, key, explanation));
            }
            if read.end() < write.invoked {
                let explanation = format!("[{read}] ended before its write began: [{write}]");
                return Err(Violation::of_key(CHECK, key, explanation));
            }
        }
        debug_assert_eq!(cluster.value, value);
        cluster.finish = cluster.finish.min(shifted(read.end()));
        cluster.start = cluster.start.max(shifted(read.invoked));
        cluster.reads += 1;
    }
    Ok(clusters)
}

#[cfg(test)]
mod tests {
    use super::super::{Judged, search};
    use super::check;
    use crate::history::{Action, Operation, Outcome};
    use crate::random::Random;

    const CLIENTS: usize = 4;

    fn history(lines: &[&str]) -> Vec<Operation> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    fn expect(lines: &[&str], linearizable: bool) {
        let operations = history(lines);
        assert_eq!(check(&operations).is_ok(), linearizable, "{lines:?}");
    }

    #[test]
    fn small_cases() {
        expect(&[], true);
        expect(&["1 0 1 2 write 5 ok", "2 0 3 4 read value 5"], true);
        expect(&["1 0 1 2 write 5 ok", "2 0 3 4 read value nil"], false);
        expect(&["1 0 1 9 write 5 ok", "2 0 3 4 read value nil"], true);
        expect(&["1 0 5 9 write 5 ok", "2 0 3 4 read value 5"], false);
        expect(&["2 0 3 4 read value 5"], false);
        // A read goes back: first the new value, then the old one.
        expect(
            &[
                "1 0 1 2 write 1 ok",
                "1 0 3 20 write 2 ok",
                "2 0 4 5 read value 2",
                "2 0 6 7 read value 1",
            ],
            false,
        );
        // An unknown write may appear at any time after it was asked, but only once.
        expect(
            &[
                "1 0 1 2 write 1 ok",
                "1 0 3 - write 2 unknown",
                "2 0 8 9 read value 1",
                "2 0 10 11 read value 2",
            ],
            true,
        );
        expect(
            &[
                "1 0 1 2 write 1 ok",
                "1 0 3 - write 2 unknown",
                "2 0 8 9 read value 2",
                "2 0 10 11 read value 1",
            ],
            false,
        );
        expect(&["1 0 1 2 write 1 refused", "2 0 8 9 read value nil"], true);
        expect(&["1 0 1 2 write 1 refused", "2 0 8 9 read value 1"], false);
    }

    /// A history that is linearizable by construction: each operation takes effect at a point drawn
    /// inside its interval.
    fn generate(random: &mut Random, count: u64) -> Vec<Operation> {
        let mut points: Vec<(u64, u64, u64)> = (0..count)
            .map(|_| {
                let point = 10 + random.below(count * 3);
                (point - random.below(8), point, point + random.below(8))
            })
            .collect();
        points.sort_unstable_by_key(|(_, point, _)| *point);
        let mut value = None;
        let mut operations = Vec::new();
        for (token, (invoked, _, returned)) in points.into_iter().enumerate() {
            let token = token as u64;
            let write = random.chance(500);
            let unknown = write && random.chance(200);
            let (action, outcome) = if !write {
                (Action::Read, Outcome::Value(value))
            } else if random.chance(100) {
                (Action::Write(token), Outcome::Refused)
            } else {
                if !unknown || random.chance(500) {
                    value = Some(token);
                }
                let outcome = if unknown { Outcome::Unknown } else { Outcome::Ok };
                (Action::Write(token), outcome)
            };
            operations.push(Operation {
                client: random.below(CLIENTS as u64) as u32,
                key: 0,
                invoked,
                returned: (!unknown).then_some(returned),
                action,
                outcome,
            });
        }
        ask_in_order(&mut operations);
        operations
    }

    /// A client asks in the order of its operations in the history.
    fn ask_in_order(operations: &mut [Operation]) {
        let mut latest = [0; CLIENTS];
        for operation in operations {
            let latest = &mut latest[operation.client as usize];
            *latest = operation.invoked.max(*latest);
            operation.invoked = *latest;
            operation.returned = operation.returned.map(|returned| returned.max(*latest));
        }
    }

    /// Changes one thing; the result may or may not still be linearizable.
    fn corrupt(random: &mut Random, operations: &mut [Operation]) {
        let count = operations.len() as u64;
        let index = random.below(count) as usize;
        let token = random.below(count);
        let written = operations
            .iter()
            .any(|operation| operation.action == Action::Write(token));
        let operation = &mut operations[index];
        match random.below(3) {
            0 if operation.action == Action::Read => {
                operation.outcome = Outcome::Value(written.then_some(token));
            }
            1 => operation.invoked = operation.invoked.saturating_sub(random.below(count)),
            _ => {
                if let Some(returned) = operation.returned {
                    operation.returned = Some(
                        operation
                            .invoked
                            .max(returned.saturating_sub(random.below(count))),
                    );
                }
            }
        }
    }

    #[test]
    fn zones_agree_with_search_on_random_small_histories() {
        let mut random = Random::new(42);
        let (mut accepted, mut rejected) = (0, 0);
        for round in 0..20_000u64 {
            let mut operations = generate(&mut random, 2 + round % 9);
            assert_eq!(check(&operations), Ok(()), "{operations:#?}");
            for _ in 0..(round % 4) * 3 {
                corrupt(&mut random, &mut operations);
            }
            ask_in_order(&mut operations);
            let zones = check(&operations).is_ok();
            let searched = match search::check(&operations, 1_000_000) {
                Ok(judged) => {
                    assert_eq!(judged, Judged::Exactly);
                    true
                }
                Err(_) => false,
            };
            assert_eq!(zones, searched, "{operations:#?}");
            if zones {
                accepted += 1;
            } else {
                rejected += 1;
            }
        }
        assert!(accepted > 5_000 && rejected > 2_000, "{accepted} {rejected}");
    }

    #[test]
    fn a_million_operations_are_judged_quickly() {
        let mut random = Random::new(3);
        let mut operations = Vec::new();
        let mut value = None;
        for point in 0..1_000_000u64 {
            let write = random.chance(300);
            let invoked = (point * 10).saturating_sub(random.below(60));
            if write {
                value = Some(point);
            }
            operations.push(Operation {
                client: (point % 7) as u32,
                key: 0,
                invoked,
                returned: Some(point * 10 + random.below(60)),
                action: if write { Action::Write(point) } else { Action::Read },
                outcome: if write { Outcome::Ok } else { Outcome::Value(value) },
            });
        }
        assert_eq!(check(&operations), Ok(()));
        let read = operations
            .iter()
            .rposition(|operation| operation.action == Action::Read);
        operations[read.unwrap()].outcome = Outcome::Value(None);
        assert!(check(&operations).is_err());
    }
}
