//! Entries that are too long for a page: each has allocations of its own, and a note of the table's owner.

use std::cell::Cell;
use std::sync::Arc;

use super::super::class::SMALL_BYTES_MAX;
use super::super::leaving::Leaving;
use super::super::marks::Mark;
use super::super::{EntryRef, Meta, Noted};
use super::{Arena, LARGE};

/// A value on its way from one entry to another.
#[derive(Debug)]
pub(in crate::table) enum Moved {
    Small(Vec<u8>),
    Large { value: Arc<Vec<u8>>, note: u128 },
}

/// A copy that is being made of a value.
#[derive(Debug)]
pub(super) struct Copying {
    /// The value: while it is held here, nobody can change it where it lies.
    of: Arc<Vec<u8>>,
    copy: Vec<u8>,
}

/// An entry with its own allocation.
#[derive(Debug)]
pub(in crate::table) struct LargeEntry {
    pub(super) meta: Meta,
    pub(super) key: Box<[u8]>,
    /// Shared with pre-images, so that saving one, or moving a value to another key, copies nothing.
    pub(super) value: Arc<Vec<u8>>,
    pub(super) note: u128,
    pub(super) mark: Mark,
}

impl LargeEntry {
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Vec<u8>>() + self.key.len() + self.value.capacity()
    }

    /// The value, to be shared.
    pub(in crate::table) fn shared(&self) -> &Arc<Vec<u8>> {
        &self.value
    }

    /// The whole entry.
    pub(in crate::table) fn entry(&self) -> EntryRef<'_> {
        EntryRef {
            key: &self.key,
            value: &self.value,
            deadline_ms: self.meta.deadline_ms,
            version: self.meta.version,
            kind: self.meta.kind,
        }
    }
}

impl Arena {
    /// Stores an entry with a value that another one had; a long one is moved.
    pub(in crate::table) fn insert_moved(&mut self, key: &[u8], moved: Moved, meta: Meta) -> u32 {
        let value = match moved {
            Moved::Large { value, .. } if value.len() <= SMALL_BYTES_MAX => value,
            Moved::Large { value, note } => {
                return self.insert_large(LargeEntry {
                    meta,
                    key: key.into(),
                    value,
                    note,
                    mark: Cell::new(self.marker.fresh()),
                });
            }
            Moved::Small(value) => Arc::new(value),
        };
        self.insert(key, Noted::plain(&value), meta)
    }

    /// The value of an entry that is removed next, to be stored with another key.
    pub(in crate::table) fn take_value(&mut self, handle: u32) -> Moved {
        if handle & LARGE == 0 {
            return Moved::Small(self.entry(handle).value.to_vec());
        }
        let mut taken = Arc::default();
        self.change_large(handle, |entry, _| std::mem::swap(&mut entry.value, &mut taken));
        Moved::Large {
            value: taken,
            note: self.large(handle).note,
        }
    }

    /// What the owner noted with a large entry; 0 for a small one.
    pub(in crate::table) fn note(&self, handle: u32) -> u128 {
        if handle & LARGE == 0 {
            return 0;
        }
        self.large(handle).note
    }

    /// Notes something else with a large entry.
    pub(in crate::table) fn set_note(&mut self, handle: u32, note: u128) {
        if handle & LARGE != 0 {
            self.large_mut(handle).note = note;
        }
    }

    /// Continues the value by zeros up to `length`, so many that the entry is a large one; returns its handle
    /// from now on. What is there is copied, the zeros take no time.
    pub(in crate::table) fn stretch(&mut self, handle: u32, length: usize) -> u32 {
        assert!(length > SMALL_BYTES_MAX, "a small entry is not stretched");
        let old = self.entry(handle);
        // Memory that comes zeroed from the system is not touched.
        let mut value = vec![0; length];
        value[..old.value.len()].copy_from_slice(old.value);
        let (key, meta) = (old.key.into(), old.meta());
        let mark = Cell::new(self.mark(handle).map_or(self.marker.fresh(), Cell::get));
        let note = self.note(handle);
        self.remove(handle);
        self.insert_large(LargeEntry {
            meta,
            key,
            value: Arc::new(value),
            note,
            mark,
        })
    }

    /// Copies up to `bytes_max` bytes more of a large value that something else shares; true when the entry has a value
    /// that nothing shares, as a small one always has. To be called until then, without another key in between.
    pub(in crate::table) fn unshare(&mut self, handle: u32, bytes_max: usize) -> bool {
        if handle & LARGE == 0 || Arc::strong_count(&self.large(handle).value) == 1 {
            return true;
        }
        let begun = self.copying.take();
        let value = &self.large(handle).value;
        let begun = begun.filter(|begun| Arc::ptr_eq(&begun.of, value));
        let mut copying = begun.unwrap_or_else(|| Copying {
            of: Arc::clone(value),
            copy: Vec::with_capacity(value.len()),
        });
        let at = copying.copy.len();
        let end = copying.of.len().min(at.saturating_add(bytes_max));
        copying.copy.extend_from_slice(&copying.of[at..end]);
        if end < copying.of.len() {
            self.copying = Some(copying);
            return false;
        }
        let Copying { of, copy } = copying;
        self.change_large(handle, |entry, _| entry.value = Arc::new(copy));
        self.leaving.push(of);
        true
    }

    /// Gives up a copy that is not whole.
    pub(in crate::table) fn give_up_copy(&mut self) {
        if let Some(Copying { of, copy }) = self.copying.take() {
            self.leaving.push(of);
            self.leaving.push_buffer(copy);
        }
    }

    /// Bytes of a copy that is not whole, and of its original if that has gone meanwhile.
    pub(super) fn copying_bytes(&self) -> usize {
        self.copying.as_ref().map_or(0, |Copying { of, copy }| {
            let is_last = Arc::strong_count(of) == 1;
            copy.capacity() + if is_last { of.capacity() } else { 0 }
        })
    }

    /// Makes room for a value of `length` bytes in a large entry; no effect on a small one.
    pub(in crate::table) fn reserve(&mut self, handle: u32, length: usize) {
        if handle & LARGE != 0 {
            self.change_large(handle, |entry, _| {
                let value = Arc::make_mut(&mut entry.value);
                value.reserve_exact(length.saturating_sub(value.len()));
            });
        }
    }

    /// The value of a large entry, to be shared; `None` for a small one.
    pub(in crate::table) fn shared(&self, handle: u32) -> Option<&Arc<Vec<u8>>> {
        (handle & LARGE != 0).then(|| self.large(handle).shared())
    }

    /// A shared value is used no more.
    pub(in crate::table) fn leave(&mut self, value: Arc<Vec<u8>>) {
        self.leaving.push(value);
    }

    /// A copy of a large entry.
    ///
    /// # Panics
    /// If the entry is a small one.
    pub(in crate::table) fn copy_large(&self, handle: u32) -> LargeEntry {
        let LargeEntry {
            meta,
            key,
            value,
            note,
            ..
        } = self.large(handle);
        LargeEntry {
            meta: *meta,
            key: key.clone(),
            value: Arc::clone(value),
            note: *note,
            mark: Cell::new(0),
        }
    }

    /// Bytes of long values that are no longer in use and not yet given back.
    pub(in crate::table) fn leaving_bytes(&self) -> usize {
        self.leaving.bytes()
    }

    /// Gives back about so many of them.
    pub(in crate::table) fn release(&mut self, bytes: usize) {
        self.leaving.release(bytes);
    }

    pub(super) fn large(&self, handle: u32) -> &LargeEntry {
        self.large[(handle & !LARGE) as usize]
            .as_ref()
            .expect("a handle in use names an entry")
    }

    pub(super) fn large_mut(&mut self, handle: u32) -> &mut LargeEntry {
        self.large[(handle & !LARGE) as usize]
            .as_mut()
            .expect("a handle in use names an entry")
    }

    pub(super) fn change_large(&mut self, handle: u32, change: impl FnOnce(&mut LargeEntry, &mut Leaving)) {
        let entry = self.large[(handle & !LARGE) as usize]
            .as_mut()
            .expect("a handle in use names an entry");
        let before = entry.heap_bytes();
        change(entry, &mut self.leaving);
        let after = entry.heap_bytes();
        self.large_bytes = self.large_bytes - before + after;
    }

    pub(super) fn insert_large(&mut self, entry: LargeEntry) -> u32 {
        self.large_bytes += entry.heap_bytes();
        let number = self.unused_large.pop().unwrap_or_else(|| {
            self.large.push(None);
            self.large.len() as u32 - 1
        });
        assert!(number < LARGE, "fewer than 2^31 large entries");
        self.large[number as usize] = Some(Box::new(entry));
        LARGE | number
    }
}
