//! The connections of a host, by slot.
//!
//! A slot is reused after its connection has ended; the sequence numbers of its tickets go on, so an
//! answer that comes late for the ended connection matches nothing of the new one.

use crate::Session;
#[cfg(feature = "bugs")]
use crate::bugs::Bug;

/// What has a session: a host's connection.
pub trait HasSession {
    /// It.
    fn session(&self) -> &Session;
}

#[derive(Debug)]
struct Slot<C> {
    connection: Option<Box<C>>,
    next_sequence: u32,
    used: bool,
}

/// All connections, and free slots.
#[derive(Debug)]
pub struct Connections<C> {
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
    open: usize,
}

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            open: 0,
        }
    }
}

impl<C: HasSession> Connections<C> {
    /// Connections that are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Makes a connection in a free slot; `build` is told the slot and the first sequence number.
    pub fn insert(&mut self, build: impl FnOnce(u32, u32) -> C) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                connection: None,
                next_sequence: 0,
                used: false,
            });
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.connection = Some(Box::new(build(slot, place.next_sequence)));
        place.used = true;
        self.open += 1;
        slot
    }

    /// Takes a connection out while it is executed, so that it and the worker can be borrowed apart.
    #[inline]
    pub fn take(&mut self, slot: u32) -> Option<Box<C>> {
        self.slots.get_mut(slot as usize)?.connection.take()
    }

    /// The reverse of [`Self::take`].
    #[inline]
    pub fn put_back(&mut self, connection: Box<C>) {
        let slot = connection.session().slot as usize;
        self.slots[slot].connection = Some(connection);
    }

    /// Ends a connection that was taken out, and frees its slot.
    pub fn remove(&mut self, connection: &C) {
        let slot = connection.session().slot;
        let place = &mut self.slots[slot as usize];
        assert!(
            place.used && place.connection.is_none(),
            "only a taken connection is removed"
        );
        place.used = false;
        // Skips numbers that a parked reply at the end may still count.
        place.next_sequence = connection.session().replies.next_sequence();
        #[cfg(feature = "bugs")]
        if connection.session().has(Bug::SequenceNotContinued) {
            place.next_sequence = 0;
        }
        self.free.push(slot);
        self.open -= 1;
    }

    /// The connection in a slot, unless it is free or taken out.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut C> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }

    /// The same, to look at.
    pub fn get(&self, slot: u32) -> Option<&C> {
        self.slots.get(slot as usize)?.connection.as_deref()
    }

    /// All connections that are not taken out.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().filter_map(|slot| slot.connection.as_deref())
    }

    /// All connections that are not taken out.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.connection.as_deref_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replies::Shape;

    #[derive(Debug)]
    struct Plain(Session);

    impl HasSession for Plain {
        fn session(&self) -> &Session {
            &self.0
        }
    }

    #[test]
    fn a_reused_slot_goes_on_counting() {
        let mut table = Connections::default();
        let build = |slot, first| Plain(Session::new(1, slot, first, 1 << 20));
        let slot = table.insert(build);
        let old = table
            .get_mut(slot)
            .map(|c| c.0.replies.expect(Shape::Plain, 0, 0));
        let connection = table.take(slot).expect("it was inserted");
        table.remove(&connection);
        assert!(table.is_empty());
        assert_eq!(table.insert(build), slot);
        let new = table
            .get_mut(slot)
            .map(|c| c.0.replies.expect(Shape::Plain, 0, 0));
        assert_ne!(old, new);
        assert_eq!(table.len(), 1);
    }
}
