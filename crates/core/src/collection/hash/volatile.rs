//! A hash of which fields have deadlines, whatever its size.
//!
//! Fields without a deadline are a large hash like any other, so that one becomes volatile without being copied. Those
//! with a deadline lie in the order of deadline and field with their values, and by hash with their deadlines. What is
//! past its deadline is at the front of that order, so it is passed over, counted and taken out without a look at
//! anything else.
//!
//! The deadline of the key is kept here, too: the entry that refers to the hash has the earliest of all of them, so
//! that it stands in the order of deadlines of the table where something is to be done next.

use super::Fields;
use crate::bugs::Bug;
use crate::collection::hashed::{Hashed, HashedBuilder};
use crate::collection::ordered_tree::{OrderedBuilder, OrderedTree};
use crate::collection::tree::allocated;
use crate::collection::{Remains, element_digest};
use crate::limits::RECLAIMED_STEP_BYTES;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_varint};
use crate::table::HashSeed;

/// Fields with values, some of them with deadlines.
#[derive(Clone)]
pub struct VolatileHash {
    /// Those without a deadline.
    lasting: Hashed<true>,
    /// The deadline of each of the others, in eight bytes.
    deadlines: Hashed<true>,
    /// The others by deadline and field, with their values.
    order: OrderedTree<u64, true>,
    /// Sum over the fields of `order` with their values.
    order_digest: u128,
    key_deadline_ms: Option<u64>,
}

fn deadline_of(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("a deadline has eight bytes"))
}

impl VolatileHash {
    /// Of fields that have no deadlines, nor has the key; replicas must use one seed.
    pub fn new(lasting: Hashed<true>, seed: HashSeed) -> Self {
        Self {
            lasting,
            deadlines: Hashed::new(seed),
            order: OrderedTree::default(),
            order_digest: 0,
            key_deadline_ms: None,
        }
    }

    /// When the key expires, in milliseconds of shard time.
    pub fn key_deadline_ms(&self) -> Option<u64> {
        self.key_deadline_ms
    }

    /// Gives the key another deadline.
    pub fn set_key_deadline(&mut self, deadline_ms: Option<u64>) {
        self.key_deadline_ms = deadline_ms;
    }

    /// The deadline of its entry: the earliest of that of the key and those of the fields.
    pub fn earliest_deadline_ms(&self) -> Option<u64> {
        let field = self.order.at(0).map(|element| element.head);
        field.into_iter().chain(self.key_deadline_ms).min()
    }

    /// The earliest deadline after a time, of the key or of a field. O(log n).
    pub fn next_deadline_after(&self, time_ms: u64) -> Option<u64> {
        let field = self.order.at(self.due_count(time_ms)).map(|element| element.head);
        let key = self.key_deadline_ms.filter(|deadline_ms| *deadline_ms > time_ms);
        field.into_iter().chain(key).min()
    }

    /// Whether commands see the hash at a time: neither it nor all of its fields have expired. O(log n).
    pub fn is_alive(&self, time_ms: u64) -> bool {
        let is_kept = self
            .key_deadline_ms
            .is_none_or(|deadline_ms| deadline_ms > time_ms);
        is_kept && self.due_count(time_ms) < self.len()
    }

    /// Number of fields, those that have expired and are still here included.
    pub fn len(&self) -> u64 {
        self.lasting.len() + self.order.len()
    }

    /// True if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All fields as a hash without deadlines, while none has one.
    pub fn lasting(&self) -> Option<&Hashed<true>> {
        self.order.is_empty().then_some(&self.lasting)
    }

    /// Number of fields that have a deadline.
    pub fn volatile_count(&self) -> u64 {
        self.order.len()
    }

    /// Number of fields whose deadline is `time_ms` or earlier. O(log n).
    pub fn due_count(&self, time_ms: u64) -> u64 {
        match self.order.at(0) {
            Some(first) if first.head <= time_ms => self.order.rank(time_ms.saturating_add(1), &[]).0,
            _ => 0,
        }
    }

    /// Sets a field that has no deadline afterwards; true if there was none with that name, expired ones included.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let was_volatile = self.take_volatile(field);
        self.lasting.insert(field, value) && !was_volatile
    }

    /// Sets a field that has this deadline afterwards.
    pub fn set_volatile(&mut self, field: &[u8], value: &[u8], deadline_ms: u64) {
        if !self.take_volatile(field) {
            self.lasting.remove(field);
        }
        self.deadlines.insert(field, &deadline_ms.to_le_bytes());
        self.order.insert(deadline_ms, field, value, |_| ());
        self.order_digest = self.order_digest.wrapping_add(element_digest(field, value));
    }

    /// Takes a field out; false if there is none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        self.lasting.remove(field) || self.take_volatile(field)
    }

    /// Takes out fields whose deadline is `time_ms` or earlier, the earliest first, as many as fit into the limit, where
    /// one counts once more for each [`RECLAIMED_STEP_BYTES`] of it; with `takes_one` the first one is taken even if it
    /// does not fit. Shows the deadline of each and returns how much of the limit is used up.
    pub fn remove_due(
        &mut self,
        time_ms: u64,
        (limit, takes_one): (u64, bool),
        show: &mut dyn FnMut(u64),
    ) -> u64 {
        let (wanted, used) = self.due_within(time_ms, (limit, takes_one));
        let Self {
            deadlines,
            order,
            order_digest,
            ..
        } = self;
        let mut removed = 0;
        while removed < wanted {
            removed += order.remove_at(0, wanted - removed, &mut |element| {
                deadlines.remove(element.key);
                *order_digest = order_digest.wrapping_sub(element_digest(element.key, element.value));
                show(element.head);
            });
        }
        used
    }

    /// How many fields that are due fit into a limit, and what they use up of it.
    fn due_within(&self, time_ms: u64, (limit, takes_one): (u64, bool)) -> (u64, u64) {
        let (mut count, mut used) = (0, 0);
        for element in self.order.from(0).take_while(|element| element.head <= time_ms) {
            let bytes = element.key.len() + element.value.len();
            let after = used + 1 + (bytes / RECLAIMED_STEP_BYTES) as u64;
            if after > limit && (count > 0 || !takes_one) {
                break;
            }
            (count, used) = (count + 1, after.min(limit));
        }
        (count, used)
    }

    fn take_volatile(&mut self, field: &[u8]) -> bool {
        let Some(deadline_ms) = self.deadlines.get(field).map(deadline_of) else {
            return false;
        };
        self.deadlines.remove(field);
        let digest = &mut self.order_digest;
        self.order.remove(deadline_ms, field, |value| {
            *digest = digest.wrapping_sub(element_digest(field, value));
        })
    }

    /// Sum over the fields, their deadlines and that of the key.
    pub fn digest(&self) -> u128 {
        let key = self
            .key_deadline_ms
            .map_or(0, |deadline_ms| element_digest(b"", &deadline_ms.to_le_bytes()));
        self.lasting
            .digest()
            .wrapping_add(self.order_digest)
            .wrapping_add(self.deadlines.digest().rotate_left(1))
            .wrapping_add(key.rotate_left(2))
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        allocated(size_of::<Self>())
            + self.lasting.memory_bytes()
            + self.deadlines.memory_bytes()
            + self.order.memory_bytes()
    }

    /// As [`Hashed::take_copied_bytes`].
    pub fn take_copied_bytes(&mut self) -> usize {
        self.lasting.take_copied_bytes() + self.deadlines.take_copied_bytes() + self.order.take_copied_bytes()
    }

    /// Gives up everything, to be freed in slices.
    pub fn discard(self, remains: &mut Remains) {
        self.lasting.discard(remains);
        self.deadlines.discard(remains);
        remains.add(self.order);
    }

    /// As [`Hashed::put_chunk`]: in front of each field stands its deadline plus one, or 0.
    pub fn put_chunk(&self, index: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        let end = out.len() + budget_bytes;
        let mut next = index;
        let lasting = self.lasting.from(index.min(self.lasting.len()));
        let lasting = lasting.map(|element| (0, element.key, element.value));
        let volatile = self.order.from(index.saturating_sub(self.lasting.len()));
        let volatile = volatile.map(|element| (element.head + 1, element.key, element.value));
        for (deadline, field, value) in lasting.chain(volatile) {
            put_varint(
                out,
                if Bug::FieldDeadlineLost.is_in_force() {
                    0
                } else {
                    deadline
                },
            );
            put_bytes(out, field);
            put_bytes(out, value);
            next += 1;
            if out.len() >= end {
                break;
            }
        }
        next
    }
}

/// Rebuilds a volatile hash from its chunks in order.
pub struct VolatileHashBuilder {
    seed: HashSeed,
    lasting: HashedBuilder<true>,
    /// Of the fields with deadlines, once there is one.
    hash: Option<VolatileHash>,
    order: OrderedBuilder<u64, true>,
}

impl VolatileHashBuilder {
    /// For chunks that were made with this seed.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            seed,
            lasting: HashedBuilder::new(seed),
            hash: None,
            order: OrderedBuilder::default(),
        }
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// If it is not one, or its fields do not follow those before it in order.
    pub fn take_chunk(&mut self, mut chunk: &[u8]) -> Result<(), Corrupt> {
        while !chunk.is_empty() {
            let deadline_ms = take_varint(&mut chunk)?.checked_sub(1);
            let (field, value) = (take_bytes(&mut chunk)?, take_bytes(&mut chunk)?);
            match deadline_ms {
                None if self.hash.is_none() => self.lasting.push(field, value)?,
                None => return corrupt("fields without a deadline before those with one"),
                Some(deadline_ms) => self.push_volatile(field, value, deadline_ms)?,
            }
        }
        Ok(())
    }

    fn push_volatile(&mut self, field: &[u8], value: &[u8], deadline_ms: u64) -> Result<(), Corrupt> {
        let (lasting, seed) = (&mut self.lasting, self.seed);
        let hash = self.hash.get_or_insert_with(|| {
            let lasting = std::mem::replace(lasting, HashedBuilder::new(seed));
            VolatileHash::new(lasting.finish(), seed)
        });
        let is_known = hash.lasting.get(field).is_some();
        if is_known || !hash.deadlines.insert(field, &deadline_ms.to_le_bytes()) {
            return corrupt("different fields");
        }
        if !self.order.push(deadline_ms, field, value) {
            return corrupt("fields in the order of their deadlines");
        }
        hash.order_digest = hash.order_digest.wrapping_add(element_digest(field, value));
        Ok(())
    }

    /// Number of fields so far.
    pub fn len(&self) -> u64 {
        let lasting = self
            .hash
            .as_ref()
            .map_or(self.lasting.len(), |hash| hash.lasting.len());
        lasting + self.order.len()
    }

    /// True as long as there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was rebuilt, of a key without a deadline.
    pub fn finish(self) -> VolatileHash {
        let Self {
            seed,
            lasting,
            hash,
            order,
        } = self;
        let mut hash = hash.unwrap_or_else(|| VolatileHash::new(lasting.finish(), seed));
        hash.order = order.finish();
        hash
    }
}

/// A volatile hash as it is read at a time: what is past its deadline then is not there.
#[derive(Clone, Copy)]
pub struct VolatileRef<'a> {
    hash: &'a VolatileHash,
    time_ms: u64,
}

impl<'a> VolatileRef<'a> {
    /// As of shard time.
    pub fn new(hash: &'a VolatileHash, time_ms: u64) -> Self {
        Self { hash, time_ms }
    }

    /// Number of fields. O(log n).
    pub fn len(self) -> u64 {
        self.hash.len() - self.hash.due_count(self.time_ms)
    }

    /// True if there are no fields. O(log n).
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The deadline of a field that has one.
    fn deadline_ms(self, field: &[u8]) -> Option<u64> {
        let deadline_ms = self.hash.deadlines.get(field).map(deadline_of)?;
        (deadline_ms > self.time_ms).then_some(deadline_ms)
    }

    /// The value of a field and its deadline. O(log n).
    pub fn get(self, field: &[u8]) -> Option<(&'a [u8], Option<u64>)> {
        if let Some(value) = self.hash.lasting.get(field) {
            return Some((value, None));
        }
        let deadline_ms = self.deadline_ms(field)?;
        let value = self.hash.order.get(deadline_ms, field)?;
        Some((value, Some(deadline_ms)))
    }

    /// Field and value with this index. O(log n).
    pub fn at(self, index: u64) -> Option<(&'a [u8], &'a [u8])> {
        let volatile = match index.checked_sub(self.hash.lasting.len()) {
            None => {
                return self
                    .hash
                    .lasting
                    .at(index)
                    .map(|element| (element.key, element.value));
            }
            Some(index) => self.hash.order.at(self.hash.due_count(self.time_ms) + index)?,
        };
        Some((volatile.key, volatile.value))
    }

    /// Fields and values from this index on: those without a deadline in the order of their hashes, then those with
    /// one, the earliest first.
    pub fn from(self, index: u64) -> Fields<'a> {
        let (lasting, rank) = self.places(index);
        Fields::Volatile {
            lasting: self.hash.lasting.from(lasting),
            volatile: self.hash.order.from(rank),
        }
    }

    /// As [`VolatileRef::from`], with the deadline in front of each field.
    pub fn timed_from(self, index: u64) -> impl Iterator<Item = (Option<u64>, &'a [u8], &'a [u8])> {
        let (lasting, rank) = self.places(index);
        let lasting = self.hash.lasting.from(lasting);
        let volatile = self.hash.order.from(rank);
        lasting
            .map(|element| (None, element.key, element.value))
            .chain(volatile.map(|element| (Some(element.head), element.key, element.value)))
    }

    /// Where an index is among the fields without a deadline, and in the order of those with one.
    fn places(self, index: u64) -> (u64, u64) {
        let lasting = self.hash.lasting.len();
        let rank = self.hash.due_count(self.time_ms) + index.saturating_sub(lasting);
        (index.min(lasting), rank)
    }

    /// The earliest deadline of a field. O(log n).
    pub fn earliest_ms(self) -> Option<u64> {
        let first = self.hash.order.at(self.hash.due_count(self.time_ms))?;
        Some(first.head)
    }

    /// As [`Hashed::scan`], with fields of both kinds in one order, so that one is shown whose deadline comes or goes
    /// meanwhile.
    pub fn scan(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8], &[u8])) -> u64 {
        let mut page = Vec::new();
        let lasting = self.hash.lasting.scan(cursor, count, &mut |element| {
            page.push((element.head, element.key, element.value));
        });
        let volatile = self.hash.deadlines.scan(cursor, count, &mut |element| {
            if let Some((value, _)) = self.get(element.key) {
                page.push((element.head, element.key, value));
            }
        });
        let next = match (lasting, volatile) {
            (0, next) | (next, 0) => next,
            (lasting, volatile) => lasting.min(volatile),
        };
        let shown = page
            .iter()
            .filter(|(head, ..)| next == 0 || u64::from(*head) < next);
        shown.for_each(|(_, field, value)| show(field, value));
        next
    }
}
