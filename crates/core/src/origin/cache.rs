//! What the lanes need from the keyspace: the cached copies of origin rows.

use crate::keyspace::{Keyspace, Known};

/// What the cache knows of a mapped key, judged by shard time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached<'a> {
    /// A copy of the row.
    Value(&'a [u8]),
    /// The row is known not to exist.
    Absent,
    /// Nothing is known: the origin has to be asked.
    Unknown,
}

/// The cached copies of origin rows; implemented by the keyspace.
pub trait Cache {
    /// What is cached of `key`.
    fn lookup(&self, database: u8, key: &[u8]) -> Cached<'_>;
    /// Caches a row, or (with `None`) that there is none. `deadline_ms` is in shard time; past it the
    /// copy is dropped, the row is not.
    fn put(&mut self, database: u8, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>);
    /// Drops what is cached of `key`; it is [`Cached::Unknown`] then.
    fn forget(&mut self, database: u8, key: &[u8]);
    /// Drops what is cached of every key of a database for which `drop_it` says so. May take time in proportion to all
    /// keys where there are rows: only for lanes whose numbering was lost, and when a database is claimed.
    fn forget_where(&mut self, database: u8, drop_it: &dyn Fn(&[u8]) -> bool);
}

impl Cache for Keyspace {
    fn lookup(&self, database: u8, key: &[u8]) -> Cached<'_> {
        match Keyspace::lookup(self, database, key) {
            Known::Value(value) => Cached::Value(value),
            Known::Negative => Cached::Absent,
            Known::Absent => Cached::Unknown,
        }
    }

    fn put(&mut self, database: u8, key: &[u8], value: Option<&[u8]>, deadline_ms: Option<u64>) {
        self.put_origin_value(database, key, value, deadline_ms);
    }

    fn forget(&mut self, database: u8, key: &[u8]) {
        Keyspace::forget(self, database, key);
    }

    fn forget_where(&mut self, database: u8, drop_it: &dyn Fn(&[u8]) -> bool) {
        self.forget_rows_where(database, drop_it);
    }
}
