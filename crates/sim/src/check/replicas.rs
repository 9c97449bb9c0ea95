//! Replica equality: the same applied index means the same state, on every node and after every
//! restart. Judged by the logical digest that a replica reports with its applied index.

use std::collections::HashMap;

use super::Violation;

/// All digests seen so far.
#[derive(Debug, Default)]
pub struct Digests {
    seen: HashMap<u64, (u128, u64)>,
    compared: u64,
}

impl Digests {
    /// Takes note of a node's digest at an applied index.
    ///
    /// # Errors
    /// If another digest was seen at that index, on this node or another.
    pub fn observe(&mut self, node: u64, applied_index: u64, digest: u128) -> Result<(), Violation> {
        let (known, first) = *self.seen.entry(applied_index).or_insert((digest, node));
        self.compared += u64::from(first != node);
        if known == digest {
            return Ok(());
        }
        Err(Violation {
            check: "replica equality",
            subject: format!("applied index {applied_index}"),
            explanation: format!("node {first} had digest {known:032x}, node {node} has {digest:032x}"),
        })
    }

    /// What was seen at an applied index.
    pub fn at(&self, applied_index: u64) -> Option<u128> {
        self.seen.get(&applied_index).map(|(digest, _)| *digest)
    }

    /// How many observations had another node's to be compared with. A run where this is zero proved
    /// nothing.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::Digests;

    #[test]
    fn equal_states_pass_and_a_different_one_is_rejected() {
        let mut digests = Digests::default();
        assert!(digests.observe(1, 10, 0xAB).is_ok());
        assert!(digests.observe(2, 11, 0xCD).is_ok());
        assert!(digests.observe(2, 10, 0xAB).is_ok());
        assert_eq!(digests.compared(), 1);
        assert!(digests.observe(3, 10, 0xAC).is_err());
    }

    #[test]
    fn a_node_that_replays_to_another_state_is_rejected() {
        let mut digests = Digests::default();
        assert!(digests.observe(1, 10, 0xAB).is_ok());
        assert!(digests.observe(1, 10, 0xAC).is_err());
    }
}
