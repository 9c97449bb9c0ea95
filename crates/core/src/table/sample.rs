//! What the choice of victims asks of a table: entries at random or by deadline, how they were used,
//! and what of the memory is free.

use super::hash::split_mix;
use super::{EntryRef, Table};
use crate::eviction::Tracking;

/// An entry that may be evicted.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The entry.
    pub entry: EntryRef<'a>,
    /// About what its removal makes free.
    pub bytes: usize,
    /// The higher, the sooner it is to go; 0 where accesses are not tracked.
    pub rank: u16,
}

impl Table {
    /// What is remembered of accesses from now on. Starting to remember takes time in proportion to the
    /// table's memory: about 3 ms per GiB.
    pub fn track(&mut self, tracking: Tracking) {
        if self.store.arena.tracking() != tracking {
            self.store.arena.track(tracking);
        }
    }

    /// The entries of one bucket chosen by `seed`. Each entry of the table is as likely as any other;
    /// a call may show none.
    pub fn sample<'a>(&'a self, seed: u64, on_candidate: &mut dyn FnMut(Candidate<'a>)) {
        let (spot, _) = self.store.index.route(split_mix(&mut { seed }));
        for handle in self.store.index.chain(spot) {
            on_candidate(self.candidate(handle));
        }
    }

    /// A few entries that have a deadline, at random; none if there are none.
    pub fn sample_volatile<'a>(&'a self, seed: u64, on_candidate: &mut dyn FnMut(Candidate<'a>)) {
        for &handle in self.deadlines.sample(split_mix(&mut { seed })) {
            on_candidate(self.candidate(handle));
        }
    }

    /// The entries that have a deadline, the next to expire first. Behind the first few hundred the order
    /// is that of groups of up to 256 entries.
    pub fn by_deadline(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.deadlines.handles().map(|handle| self.candidate(handle))
    }

    /// The same as [`Table::scan`], but shows candidates.
    pub fn scan_candidates<'a>(&'a self, cursor: u64, on_candidate: &mut dyn FnMut(Candidate<'a>)) -> u64 {
        self.scan_handles(cursor, &mut |handle| on_candidate(self.candidate(handle)))
    }

    /// How often an entry was accessed of late, as a binary logarithm; 0 unless that is tracked.
    pub fn frequency(&self, hash: u64, key: &[u8]) -> Option<u8> {
        let handle = self.store.index.handle(self.store.find(hash, key)?);
        Some(self.store.arena.frequency(handle))
    }

    /// The second in which an entry was last accessed, of those told to [`Table::end_second`]; `None` if none of
    /// them has ended since, or there is no such entry.
    pub fn accessed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let handle = self.store.index.handle(self.store.find(hash, key)?);
        self.store.arena.accessed(handle)
    }

    /// A second is over: what is accessed from now on was accessed later. Seconds are counted from anywhere.
    pub fn end_second(&mut self, second: u32) {
        self.store.arena.end_second(second);
    }

    /// Bytes of [`Table::memory_bytes`] that hold no entry: slots that entries of the sizes that were here
    /// before find free, and what a clear has left to be freed.
    pub fn free_bytes(&self) -> usize {
        self.store.arena.free_bytes() + self.discarded_bytes()
    }

    /// Moves up to `count` entries out of pages that are partly free, and gives those pages back, even
    /// where less is free than pages are given back for otherwise. Returns how many it has moved: fewer
    /// than asked for when there is nothing more to gain.
    pub fn compact(&mut self, count: usize) -> usize {
        self.discard(super::upkeep::DISCARDS_PER_COMPACTION);
        let mut moved = 0;
        while moved < count && self.store.arena.press() {
            match self.evacuate(count - moved) {
                0 => break,
                some => moved += some,
            }
        }
        moved
    }

    fn candidate(&self, handle: u32) -> Candidate<'_> {
        let arena = &self.store.arena;
        let entry = arena.entry(handle);
        Candidate {
            entry,
            bytes: arena.entry_bytes(handle) + Self::share_bytes(entry.deadline_ms),
            rank: arena.rank(handle),
        }
    }
}
