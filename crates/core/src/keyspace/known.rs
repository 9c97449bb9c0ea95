//! What the origin lanes ask of the keyspace: cached rows and rows known to be absent.
//!
//! A negative row is an entry without a value that no plain command sees: GET answers null, EXISTS 0,
//! DBSIZE does not count it, SCAN and KEYS pass over it, and WATCH sees version 0. Its deadline bounds
//! how long the absence is believed.

use super::write::NewValue;
use super::{Keyspace, kind};

/// What the cache knows of an origin key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// Nothing: the origin has to be asked.
    Absent,
    /// There is no row.
    Negative,
    /// The row's value.
    Value(&'a [u8]),
}

impl Keyspace {
    /// What is known of a key at shard time.
    #[inline]
    pub fn lookup(&self, db: u8, key: &[u8]) -> Known<'_> {
        let entry = self
            .database(db)
            .and_then(|database| database.table().get(database.table().hash(key), key))
            .filter(|entry| self.is_alive(db, entry));
        match entry {
            None => Known::Absent,
            Some(entry) if entry.kind == kind::NEGATIVE => Known::Negative,
            Some(entry) => Known::Value(entry.value),
        }
    }

    /// Remembers what the origin holds: a value, or with `None` that there is no row. It is forgotten
    /// at `cache_deadline_ms` (milliseconds since the epoch), or kept until it is overwritten.
    pub fn put_origin_value(
        &mut self,
        db: u8,
        key: &[u8],
        value: Option<&[u8]>,
        cache_deadline_ms: Option<u64>,
    ) {
        self.database_mut(db).note_row();
        self.put(
            db,
            key,
            match value {
                Some(value) => NewValue {
                    value,
                    deadline_ms: cache_deadline_ms,
                    kind: kind::ROW,
                },
                None => NewValue {
                    value: b"",
                    deadline_ms: cache_deadline_ms,
                    kind: kind::NEGATIVE,
                },
            },
        );
    }

    /// Drops whatever is known of a key, a negative row too; true when there was something.
    pub fn forget(&mut self, db: u8, key: &[u8]) -> bool {
        self.erase_if(db, key, |_, _| true)
    }

    /// [`Keyspace::forget`] for every row that `drop_it` accepts. Walks the whole database, and nothing where there were
    /// never any.
    pub fn forget_rows_where(&mut self, db: u8, drop_it: &dyn Fn(&[u8]) -> bool) {
        let Some(database) = self.database(db).filter(|database| database.may_have_rows()) else {
            return;
        };
        let entries = database.table().iter();
        let rows = entries.filter(|entry| kind::is_of_row(entry.kind) && drop_it(entry.key));
        let keys: Vec<Box<[u8]>> = rows.map(|entry| entry.key.into()).collect();
        for key in keys {
            self.forget(db, &key);
        }
    }

    /// How many entries that are no rows `matches` accepts, and the first of them. Walks everything.
    pub fn count_plain(&self, matches: &dyn Fn(u8, &[u8]) -> bool) -> (u64, Option<(u8, Vec<u8>)>) {
        let (mut count, mut first) = (0, None);
        for (number, database) in (0..).zip(&self.databases) {
            let entries = database.iter().flat_map(|database| database.table().iter());
            for entry in entries.filter(|entry| !kind::is_of_row(entry.kind) && matches(number, entry.key)) {
                count += 1;
                first.get_or_insert_with(|| (number, entry.key.to_vec()));
            }
        }
        (count, first)
    }
}
