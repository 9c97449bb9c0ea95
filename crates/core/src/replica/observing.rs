//! Telling the driver what is done to keys, see [`crate::keyspace::Keyspace::observe`].

use super::Replica;
use crate::keyspace::{EventClasses, Group, Naming};
use crate::op::Op;
use crate::origin::OriginOp;

impl Replica {
    /// From now on changes of keys are noted as they are applied here, or no more, if events of these classes are to
    /// be told. The driver takes them off once a turn.
    pub fn observe(&mut self, classes: EventClasses) {
        self.keyspace.observe(classes);
        self.judge_examining();
    }

    /// What was done to keys since the last call, in the order in which it was applied. No event tells of a snapshot
    /// that replaces the state: what it holds may have been written long ago.
    pub fn take_changes(&mut self) -> Vec<Group> {
        let is_in_command = self
            .applying
            .as_ref()
            .is_some_and(super::apply::Applying::is_in_command);
        self.keyspace.take_changes(is_in_command)
    }

    /// An op is about to be executed.
    pub(super) fn name_op(&mut self, mut op: &[u8]) {
        if self.keyspace.is_observed() {
            self.keyspace.name(|| match Op::decode(&mut op) {
                Ok(Op::Command(command)) => Naming::of(&command),
                _ => Naming::default(),
            });
        }
    }

    /// An op of the origin is about to be executed. A row that is loaded was written by nobody here.
    pub(super) fn name_origin_op(&mut self, mut op: &[u8]) {
        if self.keyspace.is_observed() {
            self.keyspace.name(|| match OriginOp::decode(&mut op) {
                Ok(OriginOp::Resolved(_)) => Naming::ORIGIN,
                _ => Naming::default(),
            });
        }
    }
}
