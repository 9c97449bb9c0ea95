//! What a handler is given of the keyspace: to look, or to look and write.
//!
//! All changes that handlers make go through [`WriteContext`], so what every write owes is done here and in
//! [`super::write`], once: versions are counted, deadlines that have passed remove, digests and memory are kept up.
//! A finder that wants a type refuses every other with Redis' WRONGTYPE.

mod strings;
mod whole;

use std::cell::Cell;

use repligo_proto::words;

use super::slices::steps_of;
use super::typed::{Typed, TypedRef};
use super::write::NewValue;
use super::{EventClasses, Keyspace, kind};
use crate::bugs::Bug;
use crate::command::{CommandError, Expiry};
use crate::table::{EntryRef, HashSeed, KeyHasher};

pub(super) use whole::Copying;

pub(super) const WRONG_TYPE: CommandError = CommandError::fixed(words::WRONG_TYPE);

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
    now_ms: u64,
}

impl<'a> ReadContext<'a> {
    /// With the time of the entry that is applied, as reads in it know that.
    pub(super) fn new(keyspace: &'a Keyspace, db: u8, steps: usize) -> Self {
        Self {
            keyspace,
            db,
            steps: Cell::new(steps),
            now_ms: keyspace.present_ms.max(keyspace.time_ms),
        }
    }

    /// With the time of a reader; shard time may be ahead of it.
    pub(super) fn at(self, now_ms: u64) -> Self {
        Self {
            now_ms: now_ms.max(self.keyspace.time_ms),
            ..self
        }
    }

    /// What time it is for whoever reads, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A string, or `None` for an absent key; an access to it.
    pub fn find_string(&self, key: &[u8]) -> Result<Option<&'a [u8]>, CommandError> {
        match self.keyspace.find_counted(self.db, key) {
            Some(entry) if !kind::is_string(entry.kind) => Err(WRONG_TYPE),
            entry => Ok(entry.map(|entry| entry.value)),
        }
    }

    /// A hash, set or other collection, as `T` says, or `None` for an absent key; an access to it.
    pub fn find<T: TypedRef<'a>>(&self, key: &[u8]) -> Result<Option<T>, CommandError> {
        self.typed(self.keyspace.find_counted(self.db, key))
    }

    /// As [`ReadContext::find`], for judging what a command will cost: no access, and other types are none.
    pub fn look<T: TypedRef<'a>>(&self, key: &[u8]) -> Option<T> {
        self.typed(self.keyspace.find(self.db, key)).ok().flatten()
    }

    fn typed<T: TypedRef<'a>>(&self, entry: Option<EntryRef<'a>>) -> Result<Option<T>, CommandError> {
        let Some((entry, database)) = entry.zip(self.keyspace.database(self.db)) else {
            return Ok(None);
        };
        let found = T::of(&entry, database.collections(), self.keyspace.time_ms);
        found.map(Some).ok_or(WRONG_TYPE)
    }

    /// What large collections are hashed with.
    pub fn hash_seed(&self) -> HashSeed {
        self.keyspace.hash_seed
    }

    /// A number at random, of this node alone.
    pub fn draw(&self) -> u64 {
        self.keyspace.draw()
    }

    /// Length of a string, for judging what a command will cost: no access to it.
    pub fn string_bytes(&self, key: &[u8]) -> Option<usize> {
        self.keyspace.find(self.db, key).map(|entry| entry.value.len())
    }

    /// True for a string that is copied before it is changed, if a snapshot shares it.
    pub fn may_share(&self, key: &[u8]) -> bool {
        self.keyspace.may_share(self.db, key)
    }

    /// True for a copy of a row of an origin.
    pub fn is_row(&self, key: &[u8]) -> bool {
        let entry = self.keyspace.find(self.db, key);
        entry.is_some_and(|entry| entry.kind == kind::ROW)
    }

    /// Bytes of memory that a key takes; no access to it.
    pub fn memory_bytes(&self, key: &[u8]) -> Option<usize> {
        let database = self.keyspace.database(self.db)?;
        let table = database.table();
        let entry = self.keyspace.find(self.db, key)?;
        Some(table.entry_bytes(table.hash(key), key)? + database.collection_bytes(&entry))
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
    /// The hash of the collection that was changed last, and its version.
    version: Option<(u64, u64)>,
}

impl<'a> WriteContext<'a> {
    pub(super) fn new(keyspace: &'a mut Keyspace, db: u8, steps: usize) -> Self {
        Self {
            keyspace,
            db,
            steps,
            version: None,
        }
    }

    /// A context that goes on after another one of the same command.
    pub(super) fn with_version(self, version: Option<(u64, u64)>) -> Self {
        Self { version, ..self }
    }

    /// For the context that goes on.
    pub(super) fn into_version(self) -> Option<(u64, u64)> {
        self.version
    }

    /// The stamp of the entry, in milliseconds since the epoch: the same on every replica.
    pub fn time_ms(&self) -> u64 {
        if Bug::IdByOwnClock.is_in_force() {
            return self.keyspace.present_ms.max(self.keyspace.time_ms);
        }
        self.keyspace.time_ms
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
            Expiry::Keep => self.deadline_ms(key),
        };
        self.spend_bytes(value.len());
        let new = NewValue::string(value, deadline_ms);
        Changed::from(self.keyspace.put(self.db, key, new))
    }

    /// The deadline of a key that has one.
    pub fn deadline_ms(&self, key: &[u8]) -> Option<u64> {
        self.keyspace.deadline_of(self.db, &self.find(key)?)
    }

    /// Gives a key that exists another deadline, which counts as a write. One that has passed removes it.
    pub fn put_deadline(&mut self, key: &[u8], deadline_ms: Option<u64>) {
        self.keyspace.put_deadline(self.db, key, deadline_ms);
    }

    /// Changes a hash, set or other collection, as `T` says: an empty one where there is no such key. One that is
    /// empty afterwards is gone. `change` is given the seed for what becomes large, and what it may still do.
    ///
    /// # Errors
    /// If the key holds another type; nothing is called then.
    pub fn change<T: Typed, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut T, HashSeed, &mut usize) -> (R, Changed),
    ) -> Result<R, CommandError> {
        let (time_ms, latest) = (self.keyspace.time_ms, self.keyspace.version);
        let seen = self
            .keyspace
            .is_observed()
            .then(|| self.keyspace.seen(self.db, key));
        let steps = &mut self.steps;
        let database = self.keyspace.database_mut(self.db);
        let hash = database.table().hash(key);
        // A command that goes over several slices is one write with one version, however it is cut. Two keys of
        // one command that share a hash share the version, too, which is as good.
        let kept = self.version.filter(|(written, _)| *written == hash);
        let version = kept.map_or(latest + 1, |(_, version)| version);
        let mut is_written = false;
        let result = database.change(
            (key, hash, time_ms),
            || {
                is_written = true;
                version
            },
            |collection, seed| change(collection, seed, steps),
        )?;
        let is_releasing = database.is_releasing();
        let deadline_ms = database.take_new_deadline();
        self.keyspace.is_releasing |= is_releasing;
        self.keyspace.note_deadline(deadline_ms);
        if is_written && kept.is_none() {
            self.keyspace.version = version;
            self.version = Some((hash, version));
        }
        if let Some(before) = seen {
            let after = self.keyspace.seen(self.db, key);
            if is_written || before != after {
                self.keyspace.note_change((self.db, key), before, after);
            }
        }
        Ok(result)
    }

    /// Tells who listens that something more has happened to a stream than the command is called after.
    pub fn tell_also(&mut self, key: &[u8], name: &'static str) {
        self.tell_event(key, (EventClasses::STREAM, name));
    }

    /// Tells who listens that something more has happened to a key than the command is called after.
    pub fn tell_event(&mut self, key: &[u8], event: (EventClasses, &'static str)) {
        if self.keyspace.is_observed() {
            self.keyspace.note_also((self.db, key), event);
        }
    }

    /// What large collections are hashed with.
    pub fn hash_seed(&self) -> HashSeed {
        self.keyspace.hash_seed
    }

    /// The deadline that lies so many milliseconds ahead.
    pub fn deadline_in(&self, time: u64) -> u64 {
        self.keyspace.deadline_in(time)
    }

    /// Removes a key, of whatever type.
    pub fn remove(&mut self, key: &[u8]) -> Changed {
        Changed::from(self.keyspace.erase(self.db, key))
    }

    /// Looks at the database as a read does; the steps that it spends are those of this context.
    pub fn looking<R>(&mut self, look: impl FnOnce(&ReadContext<'_>) -> R) -> R {
        let context = ReadContext::new(self.keyspace, self.db, self.steps);
        let result = look(&context);
        self.steps = context.steps();
        result
    }

    /// A number at random that is the same on every replica and that no client can foresee: it follows from the
    /// secret of the cluster, the place in the log and the key. The first one of a command counts.
    pub fn draw(&self, key: &[u8]) -> u64 {
        if Bug::PopByLocalDraw.is_in_force() {
            return self.keyspace.draw();
        }
        let place = [
            self.keyspace.version.to_le_bytes(),
            self.keyspace.time_ms.to_le_bytes(),
        ];
        let bytes = [place.as_flattened(), key].concat();
        KeyHasher::new(self.keyspace.hash_seed).hash(&bytes)
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
