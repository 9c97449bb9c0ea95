//! Tests of the table as a whole, from outside but for [`Table::check`].

mod eviction;
mod hashing;
mod model;
mod scale;

use super::*;

impl Table {
    /// Checks every invariant that the parts of the table keep with each other.
    fn check(&self) {
        let Store { hasher, index, arena } = &self.store;
        index.check(|handle| hasher.hash(arena.key(handle)));
        self.deadlines.check(arena);
        let volatile = self.iter().filter(|entry| entry.deadline_ms.is_some()).count();
        assert_eq!(self.volatile_len(), volatile);
        assert_eq!(
            self.next_deadline(),
            self.iter().filter_map(|entry| entry.deadline_ms).min()
        );
        arena.check();
        for now_ms in self
            .iter()
            .filter_map(|entry| entry.deadline_ms)
            .step_by(16)
            .chain([0, u64::MAX])
        {
            let deadlines = || self.iter().filter_map(|entry| entry.deadline_ms);
            let due = deadlines().filter(|&deadline_ms| deadline_ms <= now_ms).count();
            assert_eq!((self.due_len(now_ms), self.due(now_ms).count()), (due, due));
            let later = deadlines().filter(|&deadline_ms| deadline_ms > now_ms).min();
            assert_eq!(self.next_deadline_after(now_ms), later);
        }
    }
}
