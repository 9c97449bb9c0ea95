//! Parts of a stream for snapshots: each begins with a byte that says what it is.
//!
//! | first byte | what follows |
//! |---|---|
//! | 0 | the marks: last id, deleted id, entries ever added, number given last |
//! | 1 | an entry: id, its words packed |
//! | 2 | a group: name, what it holds |
//! | 3 | a consumer: number of its group, name, what it holds |
//! | 4 | a pending entry: number of its group, id, what it holds |
//!
//! Numbers are varints, an id is two, and byte strings have their length in front. Parts come in this order.

use std::collections::BTreeMap;

use super::groups::{Consumer, Group, Pending};
use super::id::id_of;
use super::{Marks, Stream, StreamEntry, StreamId};
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};

const MARKS: u8 = 0;
const ENTRY: u8 = 1;
const GROUP: u8 = 2;
const CONSUMER: u8 = 3;
const PENDING: u8 = 4;

/// Appends a part; false when the chunk is long enough.
type PutPart<'a> = dyn FnMut(&dyn Fn(&mut Vec<u8>)) -> bool + 'a;

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn take_id(input: &mut &[u8]) -> Result<StreamId, Corrupt> {
    let [ms, seq] = [take_varint(input)?, take_varint(input)?];
    Ok(StreamId { ms, seq })
}

pub(super) fn put_marks(out: &mut Vec<u8>, marks: Marks) {
    put_id(out, marks.last);
    put_id(out, marks.deleted);
    put_varint(out, marks.added);
    put_varint(out, marks.numbered);
}

impl Stream {
    /// Appends a chunk of the parts from this index on, about `budget_bytes` long and at least one part, and
    /// returns the index behind it.
    pub fn put_chunk(&self, index: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        let end = out.len() + budget_bytes;
        let mut next = index;
        let mut put = |out: &mut Vec<u8>, part: &dyn Fn(&mut Vec<u8>)| {
            part(out);
            next += 1;
            out.len() < end
        };
        let is_going_on = index > 0
            || put(out, &|out| {
                out.push(MARKS);
                put_marks(out, self.marks);
            });
        if is_going_on {
            let entries = index.saturating_sub(1);
            for element in self.entries.from(entries) {
                let StreamEntry { id, packed } = StreamEntry::of(element);
                if !put(out, &|out| {
                    out.push(ENTRY);
                    put_id(out, id);
                    put_bytes(out, packed);
                }) {
                    return next;
                }
            }
            self.put_groups(index.saturating_sub(1 + self.len()), &mut |part| put(out, part));
        }
        next
    }

    fn put_groups(&self, index: u64, put: &mut PutPart<'_>) {
        let Some(groups) = &self.groups else { return };
        for element in groups.groups.from(index) {
            if !put(&|out| {
                out.push(GROUP);
                put_bytes(out, element.key);
                out.extend_from_slice(element.value);
            }) {
                return;
            }
        }
        let index = index.saturating_sub(groups.groups.len());
        for element in groups.consumers.from(index) {
            if !put(&|out| {
                out.push(CONSUMER);
                put_varint(out, element.head);
                put_bytes(out, element.key);
                out.extend_from_slice(element.value);
            }) {
                return;
            }
        }
        let index = index.saturating_sub(groups.consumers.len());
        for element in groups.pending.from(index) {
            if !put(&|out| {
                out.push(PENDING);
                put_varint(out, element.head);
                put_id(out, id_of(element.key));
                out.extend_from_slice(element.value);
            }) {
                return;
            }
        }
    }
}

/// Rebuilds a stream from its chunks in order.
#[derive(Default)]
pub struct StreamBuilder {
    stream: Stream,
    count: u64,
    /// The id of the last entry.
    last: Option<StreamId>,
    /// The group of each consumer, and each group itself, by their numbers.
    numbers: BTreeMap<u64, u64>,
}

impl StreamBuilder {
    /// Number of parts so far.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True as long as there are no parts.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What was rebuilt.
    pub fn finish(self) -> Stream {
        self.stream
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// If it is not one, or does not follow from those before it.
    pub fn take_chunk(&mut self, mut chunk: &[u8]) -> Result<(), Corrupt> {
        while !chunk.is_empty() {
            let kind = take_u8(&mut chunk)?;
            if (kind == MARKS) != (self.count == 0) {
                return corrupt("one part with the marks of a stream, in front");
            }
            match kind {
                MARKS => {
                    let [last, deleted] = [take_id(&mut chunk)?, take_id(&mut chunk)?];
                    self.stream.marks = Marks {
                        last,
                        deleted,
                        added: take_varint(&mut chunk)?,
                        numbered: take_varint(&mut chunk)?,
                    };
                }
                ENTRY => self.take_entry(&mut chunk)?,
                GROUP => self.take_group(&mut chunk)?,
                CONSUMER => self.take_consumer(&mut chunk)?,
                PENDING => self.take_pending(&mut chunk)?,
                _ => return corrupt("a part of a stream"),
            }
            self.count += 1;
        }
        Ok(())
    }

    fn take_entry(&mut self, chunk: &mut &[u8]) -> Result<(), Corrupt> {
        let id = take_id(chunk)?;
        let packed = take_bytes(chunk)?;
        if id > self.stream.marks.last || self.last.is_some_and(|last| id <= last) {
            return corrupt("entries in the order of their ids");
        }
        let mut rest = packed;
        let count = take_varint(&mut rest)?;
        if count > packed.len() as u64 {
            return corrupt("as many words as an entry says");
        }
        for _ in 0..count {
            take_bytes(&mut rest)?;
        }
        if !rest.is_empty() || count == 0 || count % 2 == 1 {
            return corrupt("the words of an entry");
        }
        self.last = Some(id);
        self.stream.put(id, packed);
        Ok(())
    }

    /// A number that no other group or consumer has.
    fn take_number(&mut self, chunk: &mut &[u8]) -> Result<u64, Corrupt> {
        let number = take_varint(chunk)?;
        if number == 0 || number > self.stream.marks.numbered || self.numbers.contains_key(&number) {
            return corrupt("a number that was given once");
        }
        Ok(number)
    }

    fn take_group(&mut self, chunk: &mut &[u8]) -> Result<(), Corrupt> {
        let name = take_bytes(chunk)?;
        let group = Group {
            number: self.take_number(chunk)?,
            last: take_id(chunk)?,
            read: take_varint(chunk)?.checked_sub(1),
        };
        if self.stream.group(name).is_some() {
            return corrupt("groups of different names");
        }
        self.numbers.insert(group.number, group.number);
        self.stream.put_group(name, group);
        Ok(())
    }

    /// The number of a group that is there.
    fn take_group_number(&self, chunk: &mut &[u8]) -> Result<u64, Corrupt> {
        let group = take_varint(chunk)?;
        match self.numbers.get(&group) == Some(&group) {
            true => Ok(group),
            false => corrupt("the number of a group"),
        }
    }

    fn take_consumer(&mut self, chunk: &mut &[u8]) -> Result<(), Corrupt> {
        let group = self.take_group_number(chunk)?;
        let name = take_bytes(chunk)?;
        let consumer = Consumer {
            number: self.take_number(chunk)?,
            seen_ms: take_varint(chunk)?,
        };
        if self.stream.consumer(group, name).is_some() {
            return corrupt("consumers of different names");
        }
        self.numbers.insert(consumer.number, group);
        self.stream.put_consumer(group, name, consumer);
        Ok(())
    }

    fn take_pending(&mut self, chunk: &mut &[u8]) -> Result<(), Corrupt> {
        let group = self.take_group_number(chunk)?;
        let id = take_id(chunk)?;
        let pending = Pending {
            consumer: take_varint(chunk)?,
            delivered_ms: take_varint(chunk)?,
            count: take_varint(chunk)?,
        };
        let is_of_group = self.numbers.get(&pending.consumer) == Some(&group) && pending.consumer != group;
        if !is_of_group || self.stream.pending(group, id).is_some() {
            return corrupt("a pending entry of a consumer of its group");
        }
        self.stream.put_pending(group, id, pending);
        Ok(())
    }
}
