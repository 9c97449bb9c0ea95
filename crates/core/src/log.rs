//! The replicated log as this node holds it in memory: the entries after the compaction point.
//!
//! Not the log on disk (the driver owns that one). Invariants: entries are contiguous, the first one is
//! `compacted.0 + 1`; terms never fall; `bytes` is the sum of the payloads held.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::contract::{HardState, LogEntry};
use crate::limits::ENTRY_BYTES_MAX;

/// What an entry costs beside its payload, for the memory bound.
const ENTRY_OVERHEAD_BYTES: u64 = 64;

/// Contiguous entries after the compaction point, and the hard state.
#[derive(Debug, Default)]
pub struct Log {
    hard_state: HardState,
    /// (index, term) of the last entry that is no longer held.
    compacted: (u64, u64),
    entries: VecDeque<LogEntry>,
    bytes: u64,
    /// Payloads of long entries that were forgotten, see [`Log::take_forgotten`].
    forgotten: Vec<Bytes>,
}

impl Log {
    /// A log that starts after `compacted` = (index, term).
    ///
    /// # Panics
    /// If `entries` does not continue there without a gap.
    pub fn new(hard_state: HardState, compacted: (u64, u64), entries: Vec<LogEntry>) -> Self {
        let mut log = Self {
            hard_state,
            compacted,
            entries: VecDeque::new(),
            bytes: 0,
            forgotten: Vec::new(),
        };
        entries.into_iter().for_each(|entry| log.append(entry));
        log
    }

    /// Last hard state.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Remembers a new hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// First index held (one past the compaction point when empty).
    pub fn first_index(&self) -> u64 {
        self.compacted.0 + 1
    }

    /// Last index held, or the compaction point when empty.
    pub fn last_index(&self) -> u64 {
        self.compacted.0 + self.entries.len() as u64
    }

    /// Payload bytes held, with a constant per entry.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Term of the entry at `index`, if it is held or is the compaction point.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.compacted.0 {
            return Some(self.compacted.1);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The entry at `index`.
    pub fn get(&self, index: u64) -> Option<&LogEntry> {
        let offset = index.checked_sub(self.first_index())?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The entries `low..high`, cut when their payloads pass `bytes_max` (at least one is returned).
    pub fn range(&self, low: u64, high: u64, bytes_max: u64) -> impl Iterator<Item = &LogEntry> {
        let start = usize::try_from(low - self.first_index()).expect("callers ask for held entries");
        let count = usize::try_from(high - low).expect("callers ask for held entries");
        let mut total = 0u64;
        self.entries
            .range(start..start + count)
            .enumerate()
            .map_while(move |(position, entry)| {
                total += entry.data.len() as u64;
                (position == 0 || total <= bytes_max).then_some(entry)
            })
    }

    /// Appends an entry; everything from its index on is replaced.
    ///
    /// # Panics
    /// If that would leave a gap or reach behind the compaction point.
    pub fn append(&mut self, entry: LogEntry) {
        assert!(
            entry.index > self.compacted.0,
            "an appended entry is behind the compaction point"
        );
        assert!(
            entry.index <= self.last_index() + 1,
            "an appended entry leaves a gap"
        );
        while self.last_index() >= entry.index {
            self.drop_last();
        }
        self.bytes += entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
        self.entries.push_back(entry);
    }

    /// Forgets everything up to and including `index`.
    ///
    /// # Panics
    /// If `index` is past the end.
    pub fn compact(&mut self, index: u64) {
        assert!(index <= self.last_index(), "compaction past the end of the log");
        while self.compacted.0 < index {
            let entry = self
                .entries
                .pop_front()
                .expect("held, the index is not past the end");
            self.bytes -= entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
            self.compacted = (entry.index, entry.term);
            if entry.data.len() > ENTRY_BYTES_MAX {
                self.forgotten.push(entry.data);
            }
        }
    }

    /// Takes out the payloads of long entries that [`Log::compact`] has forgotten: to free one takes long.
    pub fn take_forgotten(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.forgotten)
    }

    /// Starts anew after a snapshot whose last entry is (index, term).
    pub fn reset(&mut self, compacted: (u64, u64)) {
        self.entries.clear();
        self.bytes = 0;
        self.compacted = compacted;
        self.hard_state.commit = self.hard_state.commit.max(compacted.0);
    }

    /// The index up to which compaction leaves about `keep_bytes` behind, at most `count_max` entries away.
    pub fn compaction_point(&self, keep_bytes: u64, count_max: usize) -> u64 {
        let mut excess = self.bytes.saturating_sub(keep_bytes);
        let mut index = self.compacted.0;
        for entry in self.entries.iter().take(count_max) {
            let cost = entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
            if cost > excess {
                break;
            }
            excess -= cost;
            index = entry.index;
        }
        index
    }

    fn drop_last(&mut self) {
        let entry = self
            .entries
            .pop_back()
            .expect("only called while entries are held");
        self.bytes -= entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry {
            index,
            term,
            kind: 0,
            data: Bytes::from_static(b"0123456789"),
        }
    }

    #[test]
    fn append_replaces_a_conflicting_tail() {
        let mut log = Log::new(
            HardState::default(),
            (0, 0),
            (1..=5).map(|i| entry(i, 1)).collect(),
        );
        log.append(entry(3, 2));
        assert_eq!((log.last_index(), log.term(3), log.term(4)), (3, Some(2), None));
        assert_eq!(log.bytes(), 3 * (10 + ENTRY_OVERHEAD_BYTES));
    }

    #[test]
    fn compaction_keeps_the_term_of_its_point_and_the_tail() {
        let mut log = Log::new(
            HardState::default(),
            (0, 0),
            (1..=5).map(|i| entry(i, 1)).collect(),
        );
        log.compact(3);
        assert_eq!(
            (log.first_index(), log.last_index(), log.term(3), log.term(2)),
            (4, 5, Some(1), None)
        );
        assert_eq!(log.compaction_point(0, 1), log.first_index());
        log.compact(log.compaction_point(0, usize::MAX));
        assert_eq!((log.first_index(), log.last_index(), log.bytes()), (6, 5, 0));
    }

    #[test]
    fn ranges_are_cut_by_bytes_but_never_empty() {
        let log = Log::new(
            HardState::default(),
            (0, 0),
            (1..=5).map(|i| entry(i, 1)).collect(),
        );
        assert_eq!(log.range(2, 6, 0).count(), 1);
        assert_eq!(log.range(2, 6, 25).count(), 2);
        assert_eq!(log.range(2, 6, u64::MAX).count(), 4);
    }
}
