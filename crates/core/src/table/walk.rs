//! Reading many entries: by cursor, all at once, or one at random.
//!
//! A scan cursor is the upper 48 bits of the lowest hash not yet visited. It names no bucket and no
//! address, so it stays valid whatever the index does between two calls, and on every replica whose
//! table has the same seed.

use super::hash::split_mix;
use super::{EntryRef, Store, Table, prefetch};

/// Low bits of a hash that a cursor leaves out, which keeps cursors short and room for a prefix.
const CURSOR_SHIFT: u32 = 16;
/// Slots that a random probe chooses from; a chain that is longer has entries out of its reach until
/// the table has grown, and is less likely than 1 in 10⁵.
const RANDOM_SLOTS: u64 = 28;
/// Random probes before a search in order.
const RANDOM_PROBES: usize = 256;

impl Store {
    /// Calls `on_handle` with handle and hash of every entry whose hash lies in the range.
    pub(super) fn for_each_in(&self, range: std::ops::Range<u128>, on_handle: &mut dyn FnMut(u32, u64)) {
        let mut rest = range;
        while rest.start < rest.end {
            let (candidates, end) = self.index.candidates(&rest);
            for handle in candidates {
                let hash = self.hasher.hash(self.arena.key(handle));
                if rest.contains(&u128::from(hash)) {
                    on_handle(handle, hash);
                }
            }
            rest.start = end;
        }
    }

    /// Asks for the entries in the bucket of this hash.
    pub(super) fn prefetch_chain(&self, hash: u64) {
        let (spot, _) = self.index.route(hash);
        for &handle in self.index.bucket(spot).handles() {
            self.prefetch_handle(handle);
        }
    }

    #[inline]
    pub(super) fn prefetch_handle(&self, handle: u32) {
        if let Some([first, .., last]) = self.arena.memory_of(handle) {
            prefetch::read(first);
            prefetch::read(last);
        }
    }
}

impl Table {
    /// Visits one bucket's entries and returns the next cursor; 0 when the scan is complete.
    ///
    /// Start with 0. As with Redis' SCAN, every entry that is there during the whole scan is visited
    /// at least once, whatever else changes meanwhile, growth and shrinking included; only an entry that
    /// was removed and came back is in practice visited twice (two entries whose hashes share 48 bits can
    /// be, too), and a call may visit none. A cursor that no call returned starts at some bucket or ends the scan.
    pub fn scan<'a>(&'a self, cursor: u64, on_entry: &mut dyn FnMut(EntryRef<'a>)) -> u64 {
        self.scan_handles(cursor, &mut |handle| on_entry(self.store.arena.entry(handle)))
    }

    pub(super) fn scan_handles(&self, cursor: u64, on_handle: &mut dyn FnMut(u32)) -> u64 {
        if cursor >> (u64::BITS - CURSOR_SHIFT) != 0 {
            return 0;
        }
        let first = cursor << CURSOR_SHIFT;
        let mut at = first;
        loop {
            let (spot, end) = self.store.index.span(at);
            for handle in self.store.index.chain(spot) {
                if self.hash(self.store.arena.key(handle)) >= first {
                    on_handle(handle);
                }
            }
            let next = (end >> CURSOR_SHIFT) as u64;
            if end > u128::from(u64::MAX) {
                return 0;
            }
            // Where the parts before and behind a migration's boundary meet, a range can be too
            // short for the cursor to tell its ends apart.
            if next > cursor {
                return next;
            }
            at = end as u64;
        }
    }

    /// Visits the entries of one bucket whose hash is `from` or higher; returns where to go on, or `None`
    /// at the end. Start with 0. Every entry that is there during the whole walk is visited exactly once,
    /// whatever else changes meanwhile.
    pub fn visit<'a>(&'a self, from: u64, on_entry: &mut dyn FnMut(EntryRef<'a>)) -> Option<u64> {
        let (spot, end) = self.store.index.span(from);
        for handle in self.store.index.chain(spot) {
            let entry = self.store.arena.entry(handle);
            if (u128::from(from)..end).contains(&u128::from(self.hash(entry.key))) {
                on_entry(entry);
            }
        }
        u64::try_from(end).ok()
    }

    /// One entry chosen by `seed`, about evenly; `None` if the table is empty. Which entry a seed
    /// chooses depends on the layout, so it differs between replicas.
    pub fn random(&self, seed: u64) -> Option<EntryRef<'_>> {
        if self.is_empty() {
            return None;
        }
        let mut state = seed;
        for _ in 0..RANDOM_PROBES {
            let (spot, _) = self.store.index.route(split_mix(&mut state));
            let slot = ((u128::from(split_mix(&mut state)) * u128::from(RANDOM_SLOTS)) >> 64) as usize;
            if let Some(handle) = self.store.index.chain(spot).nth(slot) {
                return Some(self.store.arena.entry(handle));
            }
        }
        // The table is nearly empty: the first entry behind a random hash.
        let mut at = split_mix(&mut state);
        loop {
            let (spot, end) = self.store.index.span(at);
            if let Some(handle) = self.store.index.chain(spot).next() {
                return Some(self.store.arena.entry(handle));
            }
            at = end as u64;
        }
    }

    /// All entries, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        let index = &self.store.index;
        index
            .spots()
            .flat_map(|spot| index.chain(spot))
            .map(|handle| self.store.arena.entry(handle))
    }
}
