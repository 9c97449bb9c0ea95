//! Values as such: changed where they lie, made longer, moved to another key, and given back when they are gone.

use super::{Meta, SharedValue, Table, upkeep};

impl Table {
    /// The value of a key, to be overwritten in place. Its length stays.
    pub fn value_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut [u8]> {
        self.before_change(hash);
        let handle = self.store.index.handle(self.store.find(hash, key)?);
        Some(self.store.arena.value_mut(handle))
    }

    /// Makes the value of a key one that no snapshot shares, so that it is changed where it lies and not copied as a
    /// whole; copies up to `bytes_max` bytes of it. True when it is done, or there is nothing to do; until then it is
    /// to be called again, without another key in between.
    pub fn unshare(&mut self, hash: u64, key: &[u8], bytes_max: usize) -> bool {
        self.before_change(hash);
        let place = self.store.find(hash, key);
        place.is_none_or(|place| {
            let handle = self.store.index.handle(place);
            self.store.arena.unshare(handle, bytes_max)
        })
    }

    /// Gives up what [`Table::unshare`] has copied of a value so far: nothing shares it any more.
    pub fn give_up_copy(&mut self) {
        self.store.arena.give_up_copy();
    }

    /// A value that a snapshot has shown is used no more: if it is the last to have it, its memory is given back in
    /// pieces.
    pub fn leave(&mut self, value: SharedValue) {
        self.store.arena.leave(value);
    }

    /// Continues the value of a key by `tail`; `None` if there is no such entry, otherwise the new
    /// length. Many small additions to one value cost amortised O(1) each once it is a large value,
    /// and at most a copy of 4 KiB before.
    pub fn append(&mut self, hash: u64, key: &[u8], tail: &[u8]) -> Option<usize> {
        self.resize(hash, key, usize::MAX, tail)
    }

    /// Cuts the value of a key to at most `kept` bytes and continues it by `tail`; `None` if there is
    /// no such entry, otherwise the new length.
    pub fn resize(&mut self, hash: u64, key: &[u8], kept: usize, tail: &[u8]) -> Option<usize> {
        self.before_change(hash);
        let place = self.store.find(hash, key)?;
        let entry = self.store.arena.entry(self.store.index.handle(place));
        let kept = kept.min(entry.value.len());
        let deadline_ms = entry.deadline_ms;
        self.change(place, key, deadline_ms, |arena, handle| {
            arena.resize(handle, kept, tail)
        });
        Some(kept + tail.len())
    }

    /// The number that was noted with the value of a key, see [`super::Noted`]; 0 for a short one.
    pub fn note(&self, hash: u64, key: &[u8]) -> u128 {
        let place = self.store.find(hash, key);
        place.map_or(0, |place| self.store.arena.note(self.store.index.handle(place)))
    }

    /// Notes another number with the value of a key; no effect on a short one.
    pub fn set_note(&mut self, hash: u64, key: &[u8], note: u128) {
        if let Some(place) = self.store.find(hash, key) {
            self.store.arena.set_note(self.store.index.handle(place), note);
        }
    }

    /// Continues the value of a key by zeros to `length` bytes, [`super::NOTED_BYTES_MIN`] at least. What is there
    /// is copied, the zeros take no time. No effect without such an entry.
    pub fn stretch(&mut self, hash: u64, key: &[u8], length: usize) {
        self.before_change(hash);
        let Some(place) = self.store.find(hash, key) else {
            return;
        };
        let deadline_ms = self.store.arena.deadline_ms(self.store.index.handle(place));
        self.change(place, key, deadline_ms, |arena, handle| {
            arena.stretch(handle, length)
        });
    }

    /// Makes room for `length` bytes of the value of a key, which is to grow so far; no effect on a short one.
    pub fn reserve(&mut self, hash: u64, key: &[u8], length: usize) {
        if let Some(place) = self.store.find(hash, key) {
            let handle = self.store.index.handle(place);
            self.store.arena.reserve(handle, length);
        }
    }

    /// Moves the value of a key to another one, over what is there, and gives it other meta data; false if there
    /// is no such entry. A long value is not copied; its note goes with it.
    ///
    /// # Panics
    /// If version or kind are larger than [`super::VERSION_MAX`] and [`super::KIND_MAX`].
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), meta: Meta) -> bool {
        self.before_change(from.0);
        let Some(place) = self.store.find(from.0, from.1) else {
            return false;
        };
        let moved = self.store.arena.take_value(self.store.index.handle(place));
        self.remove(from.0, from.1);
        self.remove(to.0, to.1);
        let handle = self.store.arena.insert_moved(to.1, moved, meta);
        self.link(to.0, handle, meta);
        true
    }

    /// True while there is storage that is no longer in use and not yet given back.
    #[inline]
    pub fn is_releasing(&self) -> bool {
        self.store.arena.leaving_bytes() > 0 || !self.discarded.is_empty()
    }

    /// Bytes of long values that are no longer in use and not yet given back; [`Table::memory_bytes`] does not count
    /// them.
    pub fn leaving_bytes(&self) -> usize {
        self.store.arena.leaving_bytes()
    }

    /// Gives back about so many bytes of what is no longer in use.
    pub fn release(&mut self, bytes: usize) {
        self.store.arena.release(bytes);
        if !self.discarded.is_empty() {
            self.discard(upkeep::DISCARDS_PER_COMPACTION);
        }
    }
}
