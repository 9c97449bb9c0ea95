//! Groups of consumers: who reads for whom, and which entries were delivered and are not acknowledged.
//!
//! Everything lies in flat trees, so that a stream with many groups is cloned at once, too. Groups and consumers have
//! numbers, which no other group or consumer of the stream ever gets:
//!
//! | tree | by | holds |
//! |---|---|---|
//! | groups | name | number, id that was delivered last, how many entries that is |
//! | consumers | number of the group, name | number, when it was heard of last |
//! | names | number of the consumer | its name |
//! | pending | number of the group, id | number of the consumer, when and how often it was delivered |
//! | owned | number of the consumer, id | |
//!
//! Names and owned follow from the others.

use super::id::{IdKey, id_of};
use super::{Stream, StreamId};
use crate::collection::ordered_tree::OrderedTree;
use crate::collection::tree::allocated;
use crate::collection::{Remains, element_digest};
use crate::packed::{put_varint, take_varint};

/// A group of consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number, of this group alone.
    pub number: u64,
    /// The id that was delivered last.
    pub last: StreamId,
    /// How many entries of all that there ever were come up to it, if that is known.
    pub read: Option<u64>,
}

/// A consumer of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Number, of this consumer alone.
    pub number: u64,
    /// When it was heard of last, in milliseconds since the epoch.
    pub seen_ms: u64,
}

/// An entry that was delivered and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Number of the consumer that has it.
    pub consumer: u64,
    /// When it was delivered last, in milliseconds since the epoch.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub count: u64,
}

/// Names come in the order of one head.
const NAMED: u64 = 0;

#[derive(Clone, Default)]
pub(super) struct Groups {
    pub groups: OrderedTree<u64, true>,
    pub consumers: OrderedTree<u64, true>,
    names: OrderedTree<u64, true>,
    pub pending: OrderedTree<u64, true>,
    owned: OrderedTree<u64, false>,
    /// Sum over groups, consumers and pending entries.
    digest: u128,
}

fn pack(numbers: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    numbers.iter().for_each(|number| put_varint(&mut packed, *number));
    packed
}

fn unpack<const N: usize>(mut packed: &[u8]) -> [u64; N] {
    [(); N].map(|()| take_varint(&mut packed).expect("it was packed here"))
}

impl Group {
    pub(super) fn pack(self) -> Vec<u8> {
        let read = self.read.map_or(0, |read| read.wrapping_add(1));
        pack(&[self.number, self.last.ms, self.last.seq, read])
    }

    fn unpack(packed: &[u8]) -> Self {
        let [number, ms, seq, read] = unpack(packed);
        Self {
            number,
            last: StreamId { ms, seq },
            read: read.checked_sub(1),
        }
    }
}

impl Consumer {
    pub(super) fn pack(self) -> Vec<u8> {
        pack(&[self.number, self.seen_ms])
    }

    fn unpack(packed: &[u8]) -> Self {
        let [number, seen_ms] = unpack(packed);
        Self { number, seen_ms }
    }
}

impl Pending {
    pub(super) fn pack(self) -> Vec<u8> {
        pack(&[self.consumer, self.delivered_ms, self.count])
    }

    fn unpack(packed: &[u8]) -> Self {
        let [consumer, delivered_ms, count] = unpack(packed);
        Self {
            consumer,
            delivered_ms,
            count,
        }
    }
}

/// Number of elements with this head.
fn count_of<const VALUED: bool>(tree: &OrderedTree<u64, VALUED>, head: u64) -> u64 {
    tree.rank(head + 1, &[]).0 - tree.rank(head, &[]).0
}

/// What one tree's element counts for in the digest.
fn digest_of(tree: u8, (head, key): (u64, &[u8]), value: &[u8]) -> u128 {
    let mut name = Vec::with_capacity(9 + key.len());
    name.push(tree);
    name.extend_from_slice(&head.to_le_bytes());
    name.extend_from_slice(key);
    element_digest(&name, value)
}

const GROUPS: u8 = b'g';
const CONSUMERS: u8 = b'c';
const PENDING: u8 = b'p';

/// Puts an element in or replaces it, and keeps the digest.
fn put((tree, digest, tag): (&mut OrderedTree<u64, true>, &mut u128, u8), place: (u64, &[u8]), value: &[u8]) {
    let mut sum = digest.wrapping_add(digest_of(tag, place, value));
    tree.insert(place.0, place.1, value, |old| {
        sum = sum.wrapping_sub(digest_of(tag, place, old));
    });
    *digest = sum;
}

/// Takes an element out, and keeps the digest.
fn take((tree, digest, tag): (&mut OrderedTree<u64, true>, &mut u128, u8), place: (u64, &[u8])) -> bool {
    tree.remove(place.0, place.1, |old| {
        *digest = digest.wrapping_sub(digest_of(tag, place, old));
    })
}

impl Groups {
    pub fn part_count(&self) -> u64 {
        self.groups.len() + self.consumers.len() + self.pending.len()
    }

    pub fn digest(&self) -> u128 {
        self.digest
    }

    pub fn memory_bytes(&self) -> usize {
        allocated(size_of::<Self>())
            + self.groups.memory_bytes()
            + self.consumers.memory_bytes()
            + self.names.memory_bytes()
            + self.pending.memory_bytes()
            + self.owned.memory_bytes()
    }

    pub fn take_copied_bytes(&mut self) -> usize {
        self.groups.take_copied_bytes()
            + self.consumers.take_copied_bytes()
            + self.names.take_copied_bytes()
            + self.pending.take_copied_bytes()
            + self.owned.take_copied_bytes()
    }

    pub fn discard(self, remains: &mut Remains) {
        remains.add(self.groups);
        remains.add(self.consumers);
        remains.add(self.names);
        remains.add(self.pending);
        remains.add(self.owned);
    }

    fn groups_from(&self, rank: u64) -> impl Iterator<Item = (&[u8], Group)> {
        self.groups
            .from(rank)
            .map(|element| (element.key, Group::unpack(element.value)))
    }

    fn put_pending(&mut self, group: u64, id: StreamId, pending: Pending) {
        let key = IdKey::of(id);
        if let Some(old) = self.pending.get(group, &key).map(Pending::unpack)
            && old.consumer != pending.consumer
        {
            self.owned.remove(old.consumer, &key, |_| ());
        }
        put(
            (&mut self.pending, &mut self.digest, PENDING),
            (group, &key),
            &pending.pack(),
        );
        self.owned.insert(pending.consumer, &key, &[], |_| ());
    }

    fn put_consumer(&mut self, group: u64, name: &[u8], consumer: Consumer) {
        put(
            (&mut self.consumers, &mut self.digest, CONSUMERS),
            (group, name),
            &consumer.pack(),
        );
        if self.names.get(consumer.number, &[]).is_none() {
            self.names.insert(consumer.number, &[], name, |_| ());
        }
    }
}

impl Stream {
    fn groups_mut(&mut self) -> &mut Groups {
        self.groups.get_or_insert_default()
    }

    /// Number of groups.
    pub fn group_count(&self) -> u64 {
        self.groups.as_ref().map_or(0, |groups| groups.groups.len())
    }

    /// The group of this name. O(log n).
    pub fn group(&self, name: &[u8]) -> Option<Group> {
        let packed = self.groups.as_ref()?.groups.get(NAMED, name)?;
        Some(Group::unpack(packed))
    }

    /// The groups in the order of their names, from this place among them on.
    pub fn groups_from(&self, rank: u64) -> impl Iterator<Item = (&[u8], Group)> {
        self.groups
            .iter()
            .flat_map(move |groups| groups.groups_from(rank))
    }

    /// A number for a new group or consumer.
    pub fn give_number(&mut self) -> u64 {
        self.marks.numbered += 1;
        self.marks.numbered
    }

    /// Puts a group in, or changes it. O(log n).
    pub fn put_group(&mut self, name: &[u8], group: Group) {
        let groups = self.groups_mut();
        put(
            (&mut groups.groups, &mut groups.digest, GROUPS),
            (NAMED, name),
            &group.pack(),
        );
    }

    /// Takes a group out whose consumers are gone.
    pub fn remove_group(&mut self, name: &[u8]) {
        let Some(groups) = &mut self.groups else { return };
        take((&mut groups.groups, &mut groups.digest, GROUPS), (NAMED, name));
        if groups.part_count() == 0 {
            self.groups = None;
        }
    }

    /// Number of consumers of a group. O(log n).
    pub fn consumer_count(&self, group: u64) -> u64 {
        self.groups
            .as_ref()
            .map_or(0, |groups| count_of(&groups.consumers, group))
    }

    /// The consumer of this name. O(log n).
    pub fn consumer(&self, group: u64, name: &[u8]) -> Option<Consumer> {
        let packed = self.groups.as_ref()?.consumers.get(group, name)?;
        Some(Consumer::unpack(packed))
    }

    /// The consumers of a group in the order of their names, from this place among them on.
    pub fn consumers_from(&self, group: u64, rank: u64) -> impl Iterator<Item = (&[u8], Consumer)> {
        self.groups.iter().flat_map(move |groups| {
            let first = groups.consumers.rank(group, &[]).0;
            let consumers = groups.consumers.from(first + rank);
            consumers
                .take_while(move |element| element.head == group)
                .map(|element| (element.key, Consumer::unpack(element.value)))
        })
    }

    /// The name of a consumer. O(log n).
    pub fn consumer_name(&self, number: u64) -> &[u8] {
        let groups = self.groups.as_ref();
        groups
            .and_then(|groups| groups.names.get(number, &[]))
            .unwrap_or_default()
    }

    /// Puts a consumer in, or changes it. O(log n).
    pub fn put_consumer(&mut self, group: u64, name: &[u8], consumer: Consumer) {
        self.groups_mut().put_consumer(group, name, consumer);
    }

    /// Takes a consumer out that has no pending entries.
    pub fn remove_consumer(&mut self, group: u64, name: &[u8]) {
        let Some(number) = self.consumer(group, name).map(|consumer| consumer.number) else {
            return;
        };
        let groups = self.groups_mut();
        take(
            (&mut groups.consumers, &mut groups.digest, CONSUMERS),
            (group, name),
        );
        groups.names.remove(number, &[], |_| ());
    }

    /// Number of pending entries of a group. O(log n).
    pub fn pending_count(&self, group: u64) -> u64 {
        self.groups
            .as_ref()
            .map_or(0, |groups| count_of(&groups.pending, group))
    }

    /// Number of pending entries of a consumer. O(log n).
    pub fn owned_count(&self, consumer: u64) -> u64 {
        self.groups
            .as_ref()
            .map_or(0, |groups| count_of(&groups.owned, consumer))
    }

    /// A pending entry of a group. O(log n).
    pub fn pending(&self, group: u64, id: StreamId) -> Option<Pending> {
        let packed = self.groups.as_ref()?.pending.get(group, &IdKey::of(id))?;
        Some(Pending::unpack(packed))
    }

    /// The pending entries of a group from this id on.
    pub fn pending_from(&self, group: u64, id: StreamId) -> impl Iterator<Item = (StreamId, Pending)> {
        self.groups.iter().flat_map(move |groups| {
            let first = groups.pending.rank(group, &IdKey::of(id)).0;
            let pending = groups.pending.from(first);
            pending
                .take_while(move |element| element.head == group)
                .map(|element| (id_of(element.key), Pending::unpack(element.value)))
        })
    }

    /// The pending entry of a group with the highest id.
    pub fn last_pending(&self, group: u64) -> Option<StreamId> {
        let groups = self.groups.as_ref()?;
        let end = groups.pending.rank(group + 1, &[]).0;
        let last = groups.pending.at(end.checked_sub(1)?)?;
        (last.head == group).then(|| id_of(last.key))
    }

    /// The ids of the pending entries of a consumer from this one on.
    pub fn owned_from(&self, consumer: u64, id: StreamId) -> impl Iterator<Item = StreamId> {
        self.groups.iter().flat_map(move |groups| {
            let first = groups.owned.rank(consumer, &IdKey::of(id)).0;
            let owned = groups.owned.from(first);
            owned
                .take_while(move |element| element.head == consumer)
                .map(|element| id_of(element.key))
        })
    }

    /// How many pending entries of a consumer have this id or a higher one. O(log n).
    pub fn owned_count_from(&self, consumer: u64, id: StreamId) -> u64 {
        self.groups.as_ref().map_or(0, |groups| {
            groups.owned.rank(consumer + 1, &[]).0 - groups.owned.rank(consumer, &IdKey::of(id)).0
        })
    }

    /// Makes an entry pending, or changes that. O(log n).
    pub fn put_pending(&mut self, group: u64, id: StreamId, pending: Pending) {
        self.groups_mut().put_pending(group, id, pending);
    }

    /// An entry is pending no more; false if it was not. O(log n).
    pub fn remove_pending(&mut self, group: u64, id: StreamId) -> bool {
        let Some(pending) = self.pending(group, id) else {
            return false;
        };
        let groups = self.groups_mut();
        let key = IdKey::of(id);
        take((&mut groups.pending, &mut groups.digest, PENDING), (group, &key));
        groups.owned.remove(pending.consumer, &key, |_| ());
        true
    }
}
