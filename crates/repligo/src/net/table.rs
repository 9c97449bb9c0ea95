//! The connections of a worker, by slot.
//!
//! A slot is reused after its connection has ended; the sequence numbers of its tickets go on, so an
//! answer that comes late for the ended connection matches nothing of the new one.

use super::connection::Connection;

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Box<Connection>>,
    next_sequence: u32,
    used: bool,
}

/// All connections, and free slots.
#[derive(Debug, Default)]
pub struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
}

impl Connections {
    /// Connections that are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Makes a connection in a free slot; `build` is told the slot and the first sequence number.
    pub fn insert(&mut self, build: impl FnOnce(u32, u32) -> Connection) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
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
    pub fn take(&mut self, slot: u32) -> Option<Box<Connection>> {
        self.slots.get_mut(slot as usize)?.connection.take()
    }

    /// The reverse of [`Self::take`].
    #[inline]
    pub fn put_back(&mut self, connection: Box<Connection>) {
        let slot = connection.slot as usize;
        self.slots[slot].connection = Some(connection);
    }

    /// Ends a connection that was taken out, and frees its slot.
    pub fn remove(&mut self, connection: Box<Connection>) {
        let slot = connection.slot;
        let place = &mut self.slots[slot as usize];
        assert!(
            place.used && place.connection.is_none(),
            "only a taken connection is removed"
        );
        place.used = false;
        // Skips numbers that a parked reply at the end may still count.
        place.next_sequence = connection.replies.next_sequence();
        self.free.push(slot);
        self.open -= 1;
    }

    /// The connection in a slot, unless it is free or taken out.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }

    /// All connections that are not taken out.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_deref())
    }

    /// All connections that are not taken out.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.connection.as_deref_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;
    use crate::session::replies::Shape;
    use repligo_proto::resp::RequestDecoder;

    #[test]
    fn a_reused_slot_goes_on_counting() {
        let mut table = Connections::default();
        let build =
            |slot, first| Connection::new(slot, first, None, RequestDecoder::default(), Session::new(1));
        let slot = table.insert(build);
        let old = table.get_mut(slot).map(|c| c.replies.expect(Shape::Plain, 0, 0));
        let connection = table.take(slot).expect("it was inserted");
        table.remove(connection);
        assert!(table.is_empty());
        assert_eq!(table.insert(build), slot);
        let new = table.get_mut(slot).map(|c| c.replies.expect(Shape::Plain, 0, 0));
        assert_ne!(old, new);
        assert_eq!(table.len(), 1);
    }
}
