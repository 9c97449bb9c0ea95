//! What a handler is given of the keyspace: to look, or to look and write.
//!
//! All changes that handlers make go through [`WriteContext`], so what every write owes is done here and in
//! [`super::write`], once: versions are counted, deadlines that have passed remove, digests and memory are kept up.
//! A finder that wants a type refuses every other with Redis' WRONGTYPE.

use std::cell::Cell;

use super::Keyspace;
use super::slices::steps_of;
use super::write::NewValue;
use crate::command::{CommandError, Expiry};
use crate::table::EntryRef;

/// Whether a write changed anything. A handler says so, and debug builds compare it with the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Nothing,
    Something,
}

impl Changed {
    /// What two changes are together.
    pub fn or(self, other: Self) -> Self {
        Self::from(self == Self::Something || other == Self::Something)
    }
}

impl From<bool> for Changed {
    fn from(is_changed: bool) -> Self {
        if is_changed {
            Self::Something
        } else {
            Self::Nothing
        }
    }
}

/// One database to look at, and what may still be done in this slice.
#[derive(Debug)]
pub(super) struct ReadContext<'a> {
    keyspace: &'a Keyspace,
    db: u8,
    steps: Cell<usize>,
}

impl<'a> ReadContext<'a> {
    pub(super) fn new(keyspace: &'a Keyspace, db: u8, steps: usize) -> Self {
        Self {
            keyspace,
            db,
            steps: Cell::new(steps),
        }
    }

    /// A string, or `None` for an absent key; an access to it.
    pub fn find_string(&self, key: &[u8]) -> Result<Option<&'a [u8]>, CommandError> {
        let entry = self.keyspace.find_counted(self.db, key);
        Ok(entry.map(|entry| entry.value))
    }

    /// Length of a string, for judging what a command will cost: no access to it.
    pub fn string_bytes(&self, key: &[u8]) -> Option<usize> {
        self.keyspace.find(self.db, key).map(|entry| entry.value.len())
    }

    /// Bytes of memory that a key takes; no access to it.
    pub fn memory_bytes(&self, key: &[u8]) -> Option<usize> {
        self.keyspace.find(self.db, key)?;
        let table = self.keyspace.database(self.db)?.table();
        table.entry_bytes(table.hash(key), key)
    }

    /// Counts work that was done.
    pub fn spend(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_sub(steps));
    }

    /// True when the slice is over.
    pub fn is_spent(&self) -> bool {
        self.steps.get() == 0
    }

    /// Steps that are left.
    pub(super) fn steps(&self) -> usize {
        self.steps.get()
    }
}

/// One database to look at and to change, and what may still be done in this slice.
#[derive(Debug)]
pub(super) struct WriteContext<'a> {
    keyspace: &'a mut Keyspace,
    db: u8,
    steps: usize,
}

impl<'a> WriteContext<'a> {
    pub(super) fn new(keyspace: &'a mut Keyspace, db: u8, steps: usize) -> Self {
        Self { keyspace, db, steps }
    }

    /// True if there is such a key, of whatever type.
    pub fn exists(&self, key: &[u8]) -> bool {
        self.keyspace.find(self.db, key).is_some()
    }

    /// Writes a string, whatever was there before.
    pub fn put_string(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Changed {
        let deadline_ms = match expiry {
            Expiry::Never => None,
            Expiry::In(time) => Some(self.keyspace.deadline_in(time)),
            Expiry::At(time) => Some(time),
            Expiry::Keep => self.find(key).and_then(|entry| entry.deadline_ms),
        };
        self.spend_bytes(value.len());
        let new = NewValue::string(value, deadline_ms);
        Changed::from(self.keyspace.put(self.db, key, new))
    }

    /// The deadline of a key that has one.
    pub fn deadline_ms(&self, key: &[u8]) -> Option<u64> {
        self.find(key)?.deadline_ms
    }

    /// Gives a key that exists another deadline, which counts as a write. One that has passed removes it.
    pub fn put_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>) {
        self.keyspace.put_deadline(self.db, key, deadline_ms);
    }

    fn find(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.keyspace.find(self.db, key)
    }

    /// Counts work that was done.
    pub fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }

    /// Counts bytes that were copied or compared.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(steps_of(bytes));
    }

    /// True when the slice is over.
    pub fn is_spent(&self) -> bool {
        self.steps == 0
    }

    /// Steps that are left.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }
}
