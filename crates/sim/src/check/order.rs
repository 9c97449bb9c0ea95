//! The order within one client: what it was told of took effect in the order in which it asked.
//!
//! A client sends several requests without waiting, so their intervals overlap and real time alone allows any order
//! of them. A session promises more: a read behind an own acknowledged write returns that value or a later one, and
//! never goes back behind what an earlier request of the same client saw. Operations of a client stand in the history
//! in the order in which it asked. Requests of unknown outcome are left out: they may take effect late.
//!
//! For registers with unique values: all operations of one value form a cluster, and clusters follow each other as a
//! whole. One comes before another if an operation of the first had ended when one of the second began, or if a
//! client asked for one of the first before one of the second. The history respects both orders iff this relation has
//! no cycle. Exact, O(n log n).

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use crate::history::{Action, Operation, Outcome, Token};

const CHECK: &str = "order within a connection";

/// For each operation the one before it that its client was told of, if it was told of this one.
pub fn predecessors(operations: &[&Operation]) -> Vec<Option<usize>> {
    let mut latest: HashMap<u32, usize> = HashMap::new();
    let of = |(index, operation): (usize, &&Operation)| {
        operation
            .is_acknowledged()
            .then(|| latest.insert(operation.client, index))
            .flatten()
    };
    operations.iter().enumerate().map(of).collect()
}

/// The value that an operation wrote or read, if that is known.
fn value_of(operation: &Operation) -> Option<Option<Token>> {
    match (operation.action, &operation.outcome) {
        (Action::Write(token), Outcome::Ok | Outcome::Unknown) => Some(Some(token)),
        (Action::Read, Outcome::Value(value)) => Some(*value),
        _ => None,
    }
}

/// A relation between numbered nodes: what comes before what.
#[derive(Debug, Default)]
struct Relation {
    later: Vec<Vec<usize>>,
    earlier_count: Vec<usize>,
}

impl Relation {
    fn node(&mut self) -> usize {
        self.later.push(Vec::new());
        self.earlier_count.push(0);
        self.later.len() - 1
    }

    fn add(&mut self, before: usize, after: usize) {
        if before != after {
            self.later[before].push(after);
            self.earlier_count[after] += 1;
        }
    }

    /// Nodes that no order can hold: those of cycles, and what comes after them.
    fn stuck(&self) -> Vec<usize> {
        let mut counts = self.earlier_count.clone();
        let nodes = || 0..counts.len();
        let mut free: Vec<usize> = nodes().filter(|node| counts[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for &after in &self.later[node] {
                counts[after] -= 1;
                if counts[after] == 0 {
                    free.push(after);
                }
            }
        }
        (0..counts.len()).filter(|node| counts[*node] > 0).collect()
    }
}

/// Judges the reads and writes of one register with unique values.
///
/// # Errors
/// Operations that no order explains.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let Some(key) = operations.first().map(|operation| operation.key) else {
        return Ok(());
    };
    let known: Vec<(&Operation, Option<Token>)> = operations
        .iter()
        .filter_map(|operation| Some((operation, value_of(operation)?)))
        .collect();
    let mut relation = Relation::default();
    let initial = relation.node();
    let mut clusters: BTreeMap<Option<Token>, usize> = BTreeMap::from([(None, initial)]);
    for (_, value) in &known {
        clusters.entry(*value).or_insert_with(|| relation.node());
    }
    let values: BTreeMap<usize, Option<Token>> =
        clusters.iter().map(|(value, node)| (*node, *value)).collect();
    for node in values.keys() {
        relation.add(initial, *node);
    }
    add_real_time(&mut relation, &known, &clusters);
    let told: Vec<&Operation> = known.iter().map(|(operation, _)| *operation).collect();
    for (index, before) in predecessors(&told).into_iter().enumerate() {
        let Some(before) = before else { continue };
        let (one, other) = (known[before].1, known[index].1);
        relation.add(clusters[&one], clusters[&other]);
        if one == other && matches!(told[index].action, Action::Write(_)) {
            let explanation = format!(
                "[{}] saw its client's later write [{}]",
                told[before], told[index]
            );
            return Err(Violation::of_key(CHECK, key, explanation));
        }
    }
    let stuck: Vec<Option<Token>> = relation
        .stuck()
        .iter()
        .filter_map(|node| values.get(node).copied())
        .collect();
    if stuck.is_empty() {
        return Ok(());
    }
    let involved = known.iter().filter(|(_, value)| stuck.contains(value));
    let lines: Vec<String> = involved
        .take(12)
        .map(|(operation, _)| format!("[{operation}]"))
        .collect();
    let explanation = format!(
        "no order of these is that of their clients and of time: {}",
        lines.join(" ")
    );
    Err(Violation::of_key(CHECK, key, explanation))
}

/// Whose earliest end is before the latest beginning of another comes before it. Clusters are the leaves of a tree, by
/// their ends; a node of it comes after all clusters below, so that a range of them takes a logarithm of edges.
fn add_real_time(
    relation: &mut Relation,
    known: &[(&Operation, Option<Token>)],
    clusters: &BTreeMap<Option<Token>, usize>,
) {
    let mut bounds: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (operation, value) in known {
        let (finish, start) = bounds.entry(clusters[value]).or_insert((u64::MAX, 0));
        *finish = (*finish).min(operation.end());
        *start = (*start).max(operation.invoked);
    }
    let mut leaves: Vec<(u64, usize)> = bounds
        .iter()
        .map(|(node, (finish, _))| (*finish, *node))
        .collect();
    leaves.sort_unstable();
    let count = leaves.len();
    let mut tree = vec![usize::MAX; 2 * count];
    for (position, (_, node)) in leaves.iter().enumerate() {
        tree[count + position] = *node;
    }
    for position in (1..count).rev() {
        tree[position] = relation.node();
        relation.add(tree[2 * position], tree[position]);
        relation.add(tree[2 * position + 1], tree[position]);
    }
    for (own, (_, cluster)) in leaves.iter().enumerate() {
        let start = bounds[cluster].1;
        let end = leaves.partition_point(|(finish, _)| *finish < start);
        // All that ended before, but for itself.
        for (mut low, mut high) in [(0, end.min(own)), (own + 1, end)] {
            (low, high) = (low + count, high + count);
            while low < high {
                if low % 2 == 1 {
                    relation.add(tree[low], *cluster);
                    low += 1;
                }
                if high % 2 == 1 {
                    high -= 1;
                    relation.add(tree[high], *cluster);
                }
                (low, high) = (low / 2, high / 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Judged, search};
    use super::check;
    use crate::history::Operation;

    fn expect(lines: &[&str], valid: bool) {
        let operations: Vec<Operation> = lines.iter().map(|line| line.parse().unwrap()).collect();
        let verdict = check(&operations);
        assert_eq!(verdict.is_ok(), valid, "{lines:?}: {verdict:?}");
        let searched = search::check(&operations, 10_000);
        assert_eq!(searched == Ok(Judged::Exactly), valid, "{lines:?}: {searched:?}");
    }

    #[test]
    fn a_read_in_a_pipeline_sees_the_write_before_it() {
        expect(&["1 0 1 9 write 5 ok", "1 0 1 9 read value 5"], true);
        expect(&["1 0 1 9 write 5 ok", "1 0 1 9 read value nil"], false);
        expect(&["1 0 1 9 read value nil", "1 0 1 9 write 5 ok"], true);
        expect(&["1 0 1 9 read value 5", "1 0 1 9 write 5 ok"], false);
        expect(&["1 0 1 - write 5 unknown", "1 0 1 9 read value nil"], true);
        expect(&["1 0 1 9 write 5 refused", "1 0 1 9 read value nil"], true);
        // Another client's write may come between; an older one may not.
        expect(
            &["2 0 1 9 write 6 ok", "1 0 1 9 write 5 ok", "1 0 1 9 read value 6"],
            true,
        );
        expect(
            &["2 0 1 2 write 6 ok", "1 0 3 9 write 5 ok", "1 0 3 9 read value 6"],
            false,
        );
    }

    #[test]
    fn nobody_goes_back_and_two_clients_agree() {
        let two_writes = ["1 0 1 9 write 5 ok", "2 0 1 9 write 6 ok"];
        let with = |reads: &[&'static str], valid| expect(&[&two_writes, reads].concat(), valid);
        with(&["3 0 1 9 read value 5", "3 0 1 9 read value 6"], true);
        with(
            &[
                "3 0 1 9 read value 5",
                "3 0 1 9 read value 6",
                "3 0 1 9 read value 5",
            ],
            false,
        );
        with(
            &[
                "3 0 1 9 read value 5",
                "3 0 1 9 read value 6",
                "4 0 1 9 read value 6",
                "4 0 1 9 read value 5",
            ],
            false,
        );
        with(&["3 0 1 9 read value 5", "3 0 1 9 read value nil"], false);
    }
}
