//! The replica: one node's copy of a shard, and every decision about it.

use crate::command::Command;
use crate::contract::{Boot, Input, Outputs, ReadLevel, Served, Settings, Status};
use crate::keyspace::Keyspace;
use crate::time::Now;

/// One node's copy of a shard.
#[derive(Debug)]
pub struct Replica {
    keyspace: Keyspace,
}

impl Replica {
    /// Builds a replica from what the disk held.
    pub fn new(_settings: Settings, _boot: Boot, _now: Now) -> Self {
        Self {
            keyspace: Keyspace::default(),
        }
    }

    /// Takes one input and appends what follows from it to `outputs`.
    pub fn step(&mut self, _now: Now, _input: Input<'_>, _outputs: &mut Outputs) {}

    /// Serves a read straight away if its level allows; the fast path.
    pub fn read(
        &self,
        _now: Now,
        _command: &Command<'_>,
        _level: ReadLevel,
        _resp3: bool,
        _reply: &mut Vec<u8>,
    ) -> Served {
        Served::NotYet
    }

    /// What this replica says of itself.
    pub fn status(&self, _now: Now) -> Status {
        Status::default()
    }

    /// The state, for introspection.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Checks what must always hold; panics where it does not. Called after each step in tests.
    pub fn invariants(&self) {}
}
