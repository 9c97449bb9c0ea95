//! Strings that a [`WriteContext`] changes in place or writes piece by piece.

use super::super::digest::WHOLE_BYTES_MAX;
use super::super::kind;
use super::super::slices::steps_of;
use super::super::stretch::{COPIED_BYTES_MAX, PIECE_BYTES, ZEROS};
use super::super::write::NewValue;
use super::WriteContext;
use crate::limits::STEP_BYTES;
use crate::table::Meta;

impl WriteContext<'_> {
    /// What a string has beside its bytes that this command changes: over all slices it is one write with one version.
    fn changed_string(&mut self, key: &[u8], deadline_ms: Option<u64>) -> Meta {
        let hash = self.keyspace.database_mut(self.db).table().hash(key);
        let version = match self.version.filter(|(written, _)| *written == hash) {
            Some((_, version)) => version,
            None => {
                if self.keyspace.is_observed() {
                    self.keyspace.note_put(self.db, key, kind::STRING_CHANGED);
                }
                self.keyspace.next_version()
            }
        };
        self.version = Some((hash, version));
        Meta {
            deadline_ms,
            version,
            kind: kind::STRING_CHANGED,
        }
    }

    /// Makes a string at least so long, at least 1 byte, by zeros at its end, and begins one where there is no such
    /// key; false when the steps are spent before. A key of another type is none of this function.
    pub fn grow_string(&mut self, key: &[u8], length: usize) -> bool {
        if !self.keyspace.unshare(self.db, key, &mut self.steps) {
            return false;
        }
        let old = self.find(key).map(|entry| (entry.value.len(), entry.deadline_ms));
        let (mut at, deadline_ms) = old.unwrap_or_default();
        if at >= length {
            return true;
        }
        let meta = self.changed_string(key, deadline_ms);
        if old.is_none() {
            self.keyspace.put_entry(self.db, key, (b"", meta));
        }
        let database = self.keyspace.database_mut(self.db);
        if at <= COPIED_BYTES_MAX && length > WHOLE_BYTES_MAX {
            database.stretch(key, length, meta);
            at = length;
        }
        while at < length && self.steps > 0 {
            let piece = PIECE_BYTES
                .min(length - at)
                .min(self.steps.saturating_mul(STEP_BYTES));
            database.overwrite(key, (at, &ZEROS[..piece]), meta);
            at += piece;
            self.steps = self.steps.saturating_sub(steps_of(piece));
        }
        at == length
    }

    /// Overwrites a part of a string that is there, from `offset` on, which is at most its length.
    pub fn overwrite_string(&mut self, key: &[u8], (offset, bytes): (usize, &[u8])) {
        let deadline_ms = self.deadline_ms(key);
        let meta = self.changed_string(key, deadline_ms);
        self.spend_bytes(bytes.len());
        let database = self.keyspace.database_mut(self.db);
        database.overwrite(key, (offset, bytes), meta);
    }

    /// Writes the first bytes of a string that is built up to this length, whatever was there before.
    pub fn replace_string(&mut self, key: &[u8], bytes: &[u8], length: usize) {
        self.remove(key);
        let meta = self.changed_string(key, None);
        self.spend_bytes(bytes.len());
        self.keyspace.put_entry(self.db, key, (bytes, meta));
        if length > bytes.len() {
            self.keyspace.database_mut(self.db).reserve(key, length);
        }
    }

    /// Writes a string in the place of one that is there, with its deadline, or where there is no such key.
    pub fn put_changed_string(&mut self, key: &[u8], value: &[u8]) {
        let deadline_ms = self.deadline_ms(key);
        self.spend_bytes(value.len());
        let new = NewValue {
            value,
            deadline_ms,
            kind: kind::STRING_CHANGED,
        };
        self.keyspace.put(self.db, key, new);
    }
}
