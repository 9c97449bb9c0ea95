//! One database: the hash table.
//!
//! Keys and values are bytes; beside them an entry has an optional deadline, a version and a small
//! number that says what kind of value it is. The table knows nothing of commands, of replication or
//! of a clock: an entry past its deadline stays until [`Table::expire_due`] takes it.
//!
//! - `hash` hashes keys, `index` with `region` and `bucket` maps hashes to handles and grows bucket by bucket,
//!   `arena` with `pages`, `class` and `record` holds the entries, `deadlines` orders the volatile ones,
//!   `snapshot` keeps pre-images, `upkeep` goes on with each change, `walk` reads many entries, `marks`
//!   and `ghosts` remember how entries are and were used, `sample` shows what may be evicted.
//! - Deterministic: layout and order of a scan depend on the seed and the history alone. Contents,
//!   order of expiry and validity of cursors do not even depend on the history.
//! - No operation stalls: an insertion or removal moves the entries of at most two buckets, a clear
//!   or a snapshot copies nothing but the pre-images of what changes.
//!
//! Every function that takes a hash wants the one that [`Table::hash`] returns for the key. Callers
//! hash a batch of keys, prefetch for all of them, and then execute.

mod arena;
mod bucket;
mod class;
mod deadlines;
mod entry;
mod ghosts;
mod hash;
mod index;
mod leaving;
mod marks;
mod pages;
mod prefetch;
mod record;
mod region;
mod sample;
mod snapshot;
pub(crate) mod timeline;
mod upkeep;
mod values;
mod walk;

#[cfg(test)]
mod tests;

use arena::Arena;
use deadlines::Deadlines;
pub use entry::{EntryRef, Meta, NOTED_BYTES_MIN, Noted};
pub use hash::HashSeed;
pub(crate) use hash::KeyHasher;
use index::{Index, Place, Spot};
pub(crate) use leaving::Leaving;
use marks::Marker;
pub use sample::Candidate;
use snapshot::Snapshot;
pub use snapshot::{OnEntry, SharedValue};

/// The largest version an entry can have: 48 bits are stored.
pub const VERSION_MAX: u64 = (1 << 48) - 1;
/// The largest kind an entry can have: 4 bits are stored.
pub const KIND_MAX: u8 = 15;

/// Hasher, index and arena: what belongs together when a table is cleared.
#[derive(Debug)]
struct Store {
    hasher: KeyHasher,
    index: Index,
    arena: Arena,
}

impl Store {
    fn new(hasher: KeyHasher, marker: Marker) -> Self {
        Self {
            hasher,
            index: Index::new(),
            arena: Arena::new(marker),
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        self.index.find(hash, |handle| self.arena.key(handle) == key)
    }

    fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.arena.memory_bytes()
    }

    /// Frees about `count` allocations of storage that is no longer in use; true when none is left.
    fn discard(&mut self, count: usize) -> bool {
        self.arena.discard(count) && self.index.discard(count)
    }
}

/// Where an entry is, see [`Table::prepare`].
#[derive(Clone, Copy, Debug)]
pub struct Prepared(Place);

/// One database.
#[derive(Debug)]
pub struct Table {
    store: Store,
    deadlines: Deadlines,
    snapshot: Option<Box<Snapshot>>,
    /// Storage of cleared tables, freed bit by bit.
    discarded: Vec<(Store, Deadlines)>,
    /// Most entries that one change has moved because the table grows or shrinks.
    moved_per_change_max: usize,
}

impl Table {
    /// An empty table. Replicas of one shard must use one seed, which clients must not know.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            store: Store::new(KeyHasher::new(seed), Marker::default()),
            deadlines: Deadlines::default(),
            snapshot: None,
            discarded: Vec::new(),
            moved_per_change_max: 0,
        }
    }

    /// The hash of a key in this table.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.store.hasher.hash(key)
    }

    /// Asks for the memory that a lookup of this hash reads first.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        let (spot, _) = self.store.index.route(hash);
        prefetch::read(self.store.index.bucket(spot));
    }

    /// Asks for the entries that a lookup of this hash reads next. To be called when what
    /// [`Table::prefetch`] asked for has had time to arrive.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        let (spot, tag) = self.store.index.route(hash);
        let bucket = self.store.index.bucket(spot);
        let mut is_here = false;
        for slot in bucket.matches(tag) {
            self.store.prefetch_handle(bucket.handle(slot));
            is_here = true;
        }
        if !is_here && bucket.next() != 0 {
            prefetch::read(self.store.index.bucket(Spot::Overflow(bucket.next())));
        }
    }

    /// Number of entries, expired ones that are still here included.
    pub fn len(&self) -> usize {
        self.store.index.len()
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entries with a deadline.
    pub fn volatile_len(&self) -> usize {
        self.deadlines.len()
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        self.get_with_handle(hash, key).map(|(_, entry)| entry)
    }

    /// As [`Table::get`], and it counts as an access to the entry (see [`Table::track`]).
    #[inline]
    pub fn get_touched(&self, hash: u64, key: &[u8]) -> Option<EntryRef<'_>> {
        let (handle, entry) = self.get_with_handle(hash, key)?;
        self.store.arena.touch(handle);
        Some(entry)
    }

    #[inline]
    fn get_with_handle(&self, hash: u64, key: &[u8]) -> Option<(u32, EntryRef<'_>)> {
        let Store { index, arena, .. } = &self.store;
        let mut found = None;
        // The head of an entry is read once for comparing and returning it.
        index.find(hash, |handle| {
            let entry = arena.entry(handle);
            let is_wanted = entry.key == key;
            found = is_wanted.then_some((handle, entry));
            is_wanted
        });
        found
    }

    /// The entry of a key whose deadline, version or kind are to be changed next, and its place for
    /// [`Table::set_meta_at`]. The place is good until the table is changed.
    #[inline]
    pub fn prepare(&mut self, hash: u64, key: &[u8]) -> Option<(Prepared, EntryRef<'_>)> {
        self.before_change(hash);
        let place = self.store.find(hash, key)?;
        let entry = self.store.arena.entry(self.store.index.handle(place));
        Some((Prepared(place), entry))
    }

    /// As [`Table::set_meta`], for an entry that was just [prepared](Table::prepare).
    ///
    /// # Panics
    /// If version or kind are larger than [`VERSION_MAX`] and [`KIND_MAX`].
    #[inline]
    pub fn set_meta_at(&mut self, Prepared(place): Prepared, key: &[u8], meta: Meta) {
        self.change(place, key, meta.deadline_ms, |arena, handle| {
            arena.set_meta(handle, meta)
        });
    }

    /// Sets a key to a value; true if that replaced an entry.
    ///
    /// # Panics
    /// If version or kind are larger than [`VERSION_MAX`] and [`KIND_MAX`].
    pub fn insert(&mut self, hash: u64, key: &[u8], value: &[u8], meta: Meta) -> bool {
        self.insert_over(hash, (key, Noted::plain(value)), meta, |_, _| ())
    }

    /// As [`Table::insert`], but shows the entry that it replaces, and its note, before it goes, which costs less
    /// than looking it up first.
    ///
    /// # Panics
    /// If version or kind are larger than [`VERSION_MAX`] and [`KIND_MAX`].
    #[inline]
    pub fn insert_over(
        &mut self,
        hash: u64,
        (key, new): (&[u8], Noted<'_>),
        meta: Meta,
        on_replaced: impl FnOnce(EntryRef<'_>, u128),
    ) -> bool {
        self.before_change(hash);
        if let Some(place) = self.store.find(hash, key) {
            let handle = self.store.index.handle(place);
            let mut on_replaced = Some(on_replaced);
            let mut show = |entry: EntryRef<'_>, note: u128| {
                on_replaced.take().into_iter().for_each(|show| show(entry, note));
            };
            let mut show_small = |entry: EntryRef<'_>| show(entry, 0);
            if let Some(old_deadline_ms) =
                self.store
                    .arena
                    .overwrite(handle, new.value, meta, &mut show_small)
            {
                self.store.arena.touch(handle);
                self.reorder(key, (old_deadline_ms, handle), (meta.deadline_ms, handle));
            } else {
                show(self.store.arena.entry(handle), self.store.arena.note(handle));
                self.change(place, key, meta.deadline_ms, |arena, handle| {
                    arena.replace(handle, key, new, meta)
                });
            }
            return true;
        }
        let handle = self.store.arena.insert(key, new, meta);
        self.link(hash, handle, meta);
        false
    }

    /// Makes an entry that was stored one of the table.
    #[inline]
    fn link(&mut self, hash: u64, handle: u32, meta: Meta) {
        self.store.index.insert(hash, handle);
        self.store
            .arena
            .note_inserted(hash, handle, self.store.index.len());
        if meta.deadline_ms.is_some() {
            self.deadlines.insert(&self.store.arena, handle);
        }
    }

    /// Replaces deadline, version and kind of a key; false if there is no such entry.
    ///
    /// # Panics
    /// If version or kind are larger than [`VERSION_MAX`] and [`KIND_MAX`].
    pub fn set_meta(&mut self, hash: u64, key: &[u8], meta: Meta) -> bool {
        self.before_change(hash);
        let Some(place) = self.store.find(hash, key) else {
            return false;
        };
        self.change(place, key, meta.deadline_ms, |arena, handle| {
            arena.set_meta(handle, meta)
        });
        true
    }

    /// Removes a key; false if there is no such entry.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        self.before_change(hash);
        let Some(place) = self.store.find(hash, key) else {
            return false;
        };
        let arena = &self.store.arena;
        let handle = self.store.index.handle(place);
        if let Some(deadline_ms) = arena.deadline_ms(handle) {
            self.deadlines.remove(arena, (deadline_ms, key), handle);
        }
        self.store.index.remove(hash, place);
        self.store.arena.remove(handle);
        true
    }

    /// An entry that had this frequency was removed because memory is short.
    pub fn note_evicted(&mut self, hash: u64, frequency: u8) {
        let len = self.store.index.len();
        self.store.arena.note_evicted(hash, frequency, len);
    }

    /// Removes all entries at once.
    pub fn clear(&mut self) {
        let hasher = self.store.hasher;
        let marker = Marker::new(self.store.arena.tracking());
        let old = std::mem::replace(&mut self.store, Store::new(hasher, marker));
        let old = match &mut self.snapshot {
            Some(snapshot) => snapshot.keep(old),
            None => Some(old),
        };
        let store = old.unwrap_or_else(|| Store::new(hasher, Marker::default()));
        self.discarded.push((store, std::mem::take(&mut self.deadlines)));
        self.discard(upkeep::DISCARDS_PER_CLEAR);
    }

    /// The earliest deadline of all entries, exactly.
    pub fn next_deadline(&self) -> Option<u64> {
        self.store.arena.deadline_ms(self.deadlines.first()?)
    }

    /// The entry with the earliest deadline.
    pub fn next_due(&self) -> Option<EntryRef<'_>> {
        Some(self.store.arena.entry(self.deadlines.first()?))
    }

    /// Number of entries whose deadline is `now_ms` or earlier.
    pub fn due_len(&self, now_ms: u64) -> usize {
        match self.next_deadline() {
            Some(earliest_ms) if earliest_ms <= now_ms => self.deadlines.due_len(&self.store.arena, now_ms),
            _ => 0,
        }
    }

    /// Entries whose deadline is `now_ms` or earlier, in no particular order.
    pub fn due(&self, now_ms: u64) -> impl Iterator<Item = EntryRef<'_>> {
        let entries = self
            .deadlines
            .up_to(now_ms)
            .map(|handle| self.store.arena.entry(handle));
        entries.filter(move |entry| entry.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms))
    }

    /// The earliest deadline after `now_ms`.
    pub fn next_deadline_after(&self, now_ms: u64) -> Option<u64> {
        match self.next_deadline()? {
            earliest_ms if earliest_ms > now_ms => Some(earliest_ms),
            _ => self.deadlines.next_after(&self.store.arena, now_ms),
        }
    }

    /// Removes entries whose deadline is `now_ms` or earlier, at most `limit` of them, in the order of
    /// deadline and key, and calls `on_expired` with the hash, the entry and its note of each before it goes. Ends before
    /// one of which it says false. Returns their number.
    pub fn expire_due(
        &mut self,
        now_ms: u64,
        limit: usize,
        on_expired: &mut dyn FnMut(u64, EntryRef<'_>, u128) -> bool,
    ) -> usize {
        let mut expired = 0;
        self.discard(upkeep::DISCARDS_PER_CHANGE);
        while expired < limit
            && let Some(handle) = self.deadlines.first()
        {
            let key = self.store.arena.key(handle);
            let hash = self.hash(key);
            let deadline_ms = self.store.arena.deadline_ms(handle);
            let deadline_ms = deadline_ms.expect("an indexed entry has a deadline");
            if deadline_ms > now_ms {
                break;
            }
            let (entry, note) = (self.store.arena.entry(handle), self.store.arena.note(handle));
            if !on_expired(hash, entry, note) {
                break;
            }
            self.before_change(hash);
            let handle = self
                .deadlines
                .first()
                .expect("a change keeps the order of the others");
            let Store { index, arena, .. } = &mut self.store;
            self.deadlines
                .remove(arena, (deadline_ms, arena.key(handle)), handle);
            let place = index
                .find(hash, |other| other == handle)
                .expect("a volatile entry is in the index");
            index.remove(hash, place);
            arena.remove(handle);
            expired += 1;
        }
        expired
    }

    /// Bytes of memory that the table has allocated: free slots, pre-images and what a clear has left to
    /// be freed included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.store.memory_bytes()
            + self.deadlines.memory_bytes()
            + self
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.memory_bytes())
            + self.discarded_bytes()
    }

    fn discarded_bytes(&self) -> usize {
        let cleared = self.discarded.iter();
        cleared
            .map(|(store, deadlines)| store.memory_bytes() + deadlines.memory_bytes())
            .sum()
    }

    /// Bytes of memory that one entry takes, its share of the index included.
    pub fn entry_bytes(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let handle = self.store.index.handle(self.store.find(hash, key)?);
        let share = Self::share_bytes(self.store.arena.deadline_ms(handle));
        Some(self.store.arena.entry_bytes(handle) + share)
    }

    /// About what an entry takes in the index, and in the order of deadlines.
    fn share_bytes(deadline_ms: Option<u64>) -> usize {
        const INDEX_SHARE_BYTES: usize = 8;
        const DEADLINE_SHARE_BYTES: usize = 5;
        INDEX_SHARE_BYTES + deadline_ms.map_or(0, |_| DEADLINE_SHARE_BYTES)
    }

    /// Most entries that one change had to move because the table was growing or shrinking.
    pub fn moved_per_change_max(&self) -> usize {
        self.moved_per_change_max
    }

    /// Begins a snapshot of the table as it is now. It costs one bit of memory per 64th of a bucket.
    ///
    /// # Panics
    /// If a snapshot is active.
    pub fn snapshot_begin(&mut self) {
        assert!(self.snapshot.is_none(), "one snapshot at a time");
        self.snapshot = Some(Box::new(Snapshot::new(self.store.index.bucket_count())));
    }

    /// True from [`Table::snapshot_begin`] until the last piece has been handed out.
    pub fn snapshot_active(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Hands out the next entries of the snapshot, until their keys and values exceed `budget_bytes`
    /// by at most one bucket's entries. True when the snapshot is complete, which ends it.
    ///
    /// # Panics
    /// If no snapshot is active.
    pub fn snapshot_next(&mut self, budget_bytes: usize, on_entry: &mut OnEntry<'_>) -> bool {
        let snapshot = self.snapshot.as_mut().expect("a snapshot is active");
        let done = snapshot.next(&self.store, budget_bytes, on_entry);
        if done {
            self.snapshot_abort();
        }
        done
    }

    /// Ends a snapshot before it is complete; no effect if none is active.
    pub fn snapshot_abort(&mut self) {
        if let Some(store) = self.snapshot.take().and_then(|snapshot| snapshot.into_frozen()) {
            self.discarded.push((store, Deadlines::default()));
        }
    }
}
