//! What goes on in small steps, a few with each change of the table: pre-images, growth, evacuation of
//! pages, freeing of cleared storage; and what keeps index and deadlines true to a changed entry.

use super::arena::Arena;
use super::index::Place;
use super::{Store, Table};

/// Entries that one change moves at most to empty pages that are mostly free: more than the three that
/// a lasting shrinkage needs (see `pages`).
const RELOCATIONS_PER_CHANGE: usize = 4;
/// Allocations of a cleared table that one change frees, up to 64 KiB each.
pub(super) const DISCARDS_PER_CHANGE: usize = 8;
/// The same for a turn in which memory is short: tens of megabytes, within a millisecond or two.
pub(super) const DISCARDS_PER_COMPACTION: usize = 512;
/// The same for the clearing itself: all of a small table.
pub(super) const DISCARDS_PER_CLEAR: usize = 64;

impl Table {
    /// What every change begins with: the pre-image for the snapshot, and a step of everything that
    /// goes on in small steps. Entries may have other places and handles afterwards.
    #[inline]
    pub(super) fn before_change(&mut self, hash: u64) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.before_change(&self.store, hash);
        }
        if self.store.index.is_migrating() {
            self.migrate();
        }
        if self.store.arena.is_evacuating() {
            self.evacuate(RELOCATIONS_PER_CHANGE);
        }
        if !self.discarded.is_empty() {
            self.discard(DISCARDS_PER_CHANGE);
        }
    }

    /// One step of growing or shrinking.
    fn migrate(&mut self) {
        let Store { hasher, index, arena } = &mut self.store;
        let moved = index.advance(|handle| hasher.hash(arena.key(handle)));
        self.moved_per_change_max = self.moved_per_change_max.max(moved);
        for &handle in self.store.index.next_to_move() {
            self.store.prefetch_handle(handle);
        }
    }

    /// Moves up to `count` entries out of a page that is mostly free; returns how many it has moved.
    pub(super) fn evacuate(&mut self, count: usize) -> usize {
        let Store { hasher, index, arena } = &mut self.store;
        for moved_count in 0..count {
            let Some(handle) = arena.next_to_relocate() else {
                return moved_count;
            };
            let moved = arena.relocate(handle);
            let entry = arena.entry(moved);
            let place = index.find(hasher.hash(entry.key), |other| other == handle);
            index.set_handle(place.expect("an entry is in the index"), moved);
            if let Some(deadline_ms) = entry.deadline_ms {
                self.deadlines.rename((deadline_ms, entry.key), handle, moved);
            }
        }
        count
    }

    /// Frees about `count` allocations of cleared tables.
    pub(super) fn discard(&mut self, count: usize) {
        if let Some((store, deadlines)) = self.discarded.last_mut()
            && store.discard(count)
            && deadlines.discard(count)
        {
            self.discarded.pop();
        }
    }

    /// Lets `edit` change an entry, which may give it another handle, and keeps index and deadlines
    /// true to it.
    pub(super) fn change(
        &mut self,
        place: Place,
        key: &[u8],
        deadline_ms: Option<u64>,
        edit: impl FnOnce(&mut Arena, u32) -> u32,
    ) {
        let Store { index, arena, .. } = &mut self.store;
        let handle = index.handle(place);
        let old_deadline_ms = arena.deadline_ms(handle);
        let edited = edit(arena, handle);
        if edited != handle {
            index.set_handle(place, edited);
        }
        arena.touch(edited);
        self.reorder(key, (old_deadline_ms, handle), (deadline_ms, edited));
    }

    /// Keeps the order of deadlines true to an entry whose deadline or handle has just changed.
    #[inline]
    pub(super) fn reorder(&mut self, key: &[u8], old: (Option<u64>, u32), new: (Option<u64>, u32)) {
        if old == new {
            return;
        }
        match (old, new) {
            ((Some(old_ms), old), (Some(new_ms), new)) if old_ms == new_ms => {
                self.deadlines.rename((old_ms, key), old, new);
            }
            ((old_ms, old), (new_ms, new)) => {
                if let Some(old_ms) = old_ms {
                    self.deadlines.remove(&self.store.arena, (old_ms, key), old);
                }
                if new_ms.is_some() {
                    self.deadlines.insert(&self.store.arena, new);
                }
            }
        }
    }
}
