//! Entries of long ops, which are made where the op lies.

use super::{Replica, Taken};
use crate::consensus::ProposeError;
use crate::entry::EntryBuilder;
use crate::time::Now;

impl Replica {
    /// Proposes the next batch of this node alone in an entry if it is a long op that comes next; whether it did.
    ///
    /// # Errors
    /// If nothing can be proposed now.
    #[cold]
    pub(super) fn propose_long(&mut self, now: Now) -> Result<bool, ProposeError> {
        let confined = self.impeded && self.refuses_writes();
        if confined || !self.inbound.is_empty() && self.outbox.gives_way() {
            return Ok(false);
        }
        let Some(batch) = self.outbox.next_long() else {
            return Ok(false);
        };
        if batch.ops.len() as u64 > self.room_bytes() {
            return Ok(false);
        }
        let stamped_ms = self.stamp(now);
        let mut entry = EntryBuilder::new(stamped_ms, 0);
        let mut taken = Taken {
            own: 1,
            ops: 1,
            inbound: vec![0; self.inbound.queues().count()],
            next_source: self.inbound.next_source,
            ..Taken::default()
        };
        if let Some((system_ops, system)) = self.system_batch(self.is_full()) {
            taken.system = system;
            taken.ops += system as u64;
            entry.push(&system_ops);
        }
        if !self.waiters.is_empty() {
            self.offer(batch, &mut entry, &mut taken.offers);
        }
        let Some(entry) = self.outbox.place(entry) else {
            return Ok(false);
        };
        let bytes = entry.len();
        self.consensus.propose_shared(entry)?;
        self.note_proposed(now, (stamped_ms, bytes), &taken);
        self.outbox.placed();
        Ok(true)
    }
}
