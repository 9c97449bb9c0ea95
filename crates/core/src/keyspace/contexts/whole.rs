//! Whole values in a [`WriteContext`], copied whatever their type.

use super::super::collections::Reference;
use super::super::kind;
use super::super::slices::steps_of;
use super::super::write::NewValue;
use super::WriteContext;
use crate::limits::{STEP_BYTES, VALUE_AT_ONCE_BYTES};
use crate::table::Meta;

/// Bytes that are copied with one look-up.
const PIECE_BYTES: usize = if cfg!(feature = "bugs") { 256 } else { 64 << 10 };

/// How far a long string is copied: what the copy has beside its bytes, and how many of them it has.
#[derive(Debug, Default)]
pub(in crate::keyspace) struct Copying(Option<(Meta, usize)>);

impl WriteContext<'_> {
    /// Number of the database.
    pub fn database(&self) -> u8 {
        self.db
    }

    /// Exchanges two databases, which are not the same one.
    pub fn exchange(&mut self, one: u8, other: u8) {
        self.keyspace.exchange(one, other);
    }

    /// True if there is such a key in another database, of whatever type.
    pub fn exists_in(&self, db: u8, key: &[u8]) -> bool {
        self.keyspace.find(db, key).is_some()
    }

    /// Copies the value of a key that exists, with its deadline, over what another key holds, which is not the same
    /// one. False when the steps are spent before.
    pub fn copy_value(&mut self, from: &[u8], (db, to): (u8, &[u8]), copying: &mut Copying) -> bool {
        let Some(entry) = self.keyspace.find(self.db, from) else {
            return true;
        };
        let (kind, deadline_ms, length) = (entry.kind, entry.deadline_ms, entry.value.len());
        let (meta, mut at) = match copying.0 {
            Some(progress) => progress,
            None => {
                if let Some(reference) = Reference::of(&entry) {
                    let deadline_ms = self.keyspace.deadline_of(self.db, &entry);
                    let meta = Meta {
                        deadline_ms,
                        ..entry.meta()
                    };
                    self.copy_collection((reference, meta), (db, to));
                    return true;
                }
                let first = match length {
                    0..=VALUE_AT_ONCE_BYTES => length,
                    _ => PIECE_BYTES,
                };
                let value = entry.value[..first].to_vec();
                let new = NewValue {
                    value: &value,
                    deadline_ms,
                    kind,
                };
                self.keyspace.put(db, to, new);
                self.spend(steps_of(first));
                if first < length {
                    self.keyspace.database_mut(db).reserve(to, length);
                }
                let version = self.keyspace.version;
                let meta = Meta {
                    deadline_ms,
                    version,
                    kind,
                };
                (meta, first)
            }
        };
        while at < length && self.steps > 0 {
            let piece = PIECE_BYTES
                .min(length - at)
                .min(self.steps.saturating_mul(STEP_BYTES));
            let source = self.keyspace.find(self.db, from);
            let source = source.expect("nothing else is written meanwhile");
            let bytes = source.value[at..at + piece].to_vec();
            let database = self.keyspace.database_mut(db);
            database.overwrite(to, (at, &bytes), meta);
            at += piece;
            self.spend(steps_of(piece));
        }
        copying.0 = Some((meta, at));
        at == length
    }

    fn copy_collection(&mut self, (reference, old): (Reference, Meta), (db, to): (u8, &[u8])) {
        let database = self.keyspace.database_mut(self.db);
        let large = database.collections().get(reference).clone();
        self.keyspace.erase_if(db, to, |_, _| true);
        if self.keyspace.is_observed() {
            self.keyspace.note_put(db, to, old.kind);
        }
        let version = self.keyspace.next_version();
        self.keyspace
            .put_collection(db, to, (large, Meta { version, ..old }));
        self.spend(1);
    }

    /// Writes a string, whatever was there before; with a deadline that has passed it removes that. False when the
    /// steps are spent before the end; it is to be called again with the same string.
    pub fn put_long_string(
        &mut self,
        key: &[u8],
        (value, deadline_ms): (&[u8], Option<u64>),
        copying: &mut Copying,
    ) -> bool {
        let (meta, mut at) = match copying.0 {
            Some(progress) => progress,
            None => {
                let first = match value.len() {
                    length @ 0..=VALUE_AT_ONCE_BYTES => length,
                    _ => PIECE_BYTES,
                };
                self.keyspace
                    .put(self.db, key, NewValue::string(&value[..first], deadline_ms));
                self.spend(steps_of(first));
                if self.keyspace.has_passed(deadline_ms) || first == value.len() {
                    return true;
                }
                self.keyspace.database_mut(self.db).reserve(key, value.len());
                let meta = Meta {
                    deadline_ms,
                    version: self.keyspace.version,
                    kind: kind::STRING,
                };
                (meta, first)
            }
        };
        while at < value.len() && self.steps > 0 {
            let bytes_max = PIECE_BYTES.min(self.steps.saturating_mul(STEP_BYTES));
            let piece = &value[at..value.len().min(at + bytes_max)];
            let database = self.keyspace.database_mut(self.db);
            database.overwrite(key, (at, piece), meta);
            at += piece.len();
            self.spend(steps_of(piece.len()));
        }
        copying.0 = Some((meta, at));
        at == value.len()
    }
}
