//! Telling the driver what is done to keys, see [`crate::keyspace::Keyspace::observe`].

use super::Replica;
use super::outbox::Waiter;
use crate::keyspace::{EventClasses, Group, Naming};
use crate::op::Op;
use crate::origin::OriginOp;
use crate::time::Now;

impl Replica {
    /// From now on changes of keys are noted as they are applied here, or no more: if events of these classes are to
    /// be told, or if clients `track` what they have cached. The driver takes them off once a turn.
    pub fn observe(&mut self, classes: EventClasses, tracks: bool) {
        let was_observed = self.keyspace.is_observed();
        self.keyspace.observe(classes, tracks);
        if !was_observed && self.is_in_command() {
            // What it has done so far was not noted.
            self.keyspace.note_clear();
        }
        self.judge_examining();
    }

    /// What was done to keys since the last call, in the order in which it was applied. A snapshot that replaces the
    /// state clears it, and no event tells of what it holds, which may have been written long ago.
    pub fn take_changes(&mut self) -> Vec<Group> {
        let is_in_command = self.is_in_command();
        self.keyspace.take_changes(is_in_command)
    }

    fn is_in_command(&self) -> bool {
        self.applying
            .as_ref()
            .is_some_and(super::apply::Applying::is_in_command)
    }

    /// Notes once that what was read here may be older than an eventual read may be, and nothing tells how much. What
    /// clients have cached of it must not be used any longer than it could be read.
    pub(super) fn observe_staleness(&mut self, now: Now) {
        let is_stale = self.keyspace.is_observed() && self.too_stale_ms(now).is_some();
        if is_stale && !self.was_stale {
            self.keyspace.note_clear();
        }
        self.was_stale = is_stale;
    }

    /// An op is about to be executed.
    pub(super) fn name_op(&mut self, mut op: &[u8], waiter: &Waiter) {
        if self.keyspace.is_observed() {
            let writer = match waiter {
                Waiter::Write { ticket, .. } => Some(*ticket),
                Waiter::Silent | Waiter::Read { .. } => None,
            };
            self.keyspace.name(writer, || match Op::decode(&mut op) {
                Ok(Op::Command(command)) => Naming::of(&command),
                _ => Naming::default(),
            });
        }
    }

    /// An op of the origin is about to be executed. A row that is loaded was written by nobody here.
    pub(super) fn name_origin_op(&mut self, mut op: &[u8]) {
        if self.keyspace.is_observed() {
            self.keyspace.name(None, || match OriginOp::decode(&mut op) {
                Ok(OriginOp::Resolved(_)) => Naming::ORIGIN,
                _ => Naming::default(),
            });
        }
    }
}
