//! How far a group has read: counted where every entry is known, estimated at the ends, unknown where entries were
//! deleted in between.

use crate::collection::{Group, Stream, StreamId};

/// True if an entry from this id on was deleted, as far as the stream remembers.
fn has_gap_from(stream: &Stream, id: StreamId) -> bool {
    let deleted = stream.marks().deleted;
    if deleted == StreamId::MIN || deleted < id {
        return false;
    }
    stream.first().is_some_and(|first| first.id <= deleted)
}

/// How many of all entries that there ever were come up to this id; `None` where nobody knows.
pub(super) fn estimate(stream: &Stream, id: StreamId) -> Option<u64> {
    let marks = stream.marks();
    if marks.added == 0 {
        return Some(0);
    }
    let first = stream.first().map(|first| first.id);
    if first.is_none() && id < marks.last {
        return Some(marks.added);
    }
    match id.cmp(&marks.last) {
        std::cmp::Ordering::Equal => return Some(marks.added),
        std::cmp::Ordering::Greater => return None,
        std::cmp::Ordering::Less => {}
    }
    let first = first.unwrap_or_default();
    if marks.deleted == StreamId::MIN || marks.deleted < first {
        let before = marks.added.wrapping_sub(stream.len());
        match id.cmp(&first) {
            std::cmp::Ordering::Less => return Some(before),
            std::cmp::Ordering::Equal => return Some(before.wrapping_add(1)),
            std::cmp::Ordering::Greater => {}
        }
    }
    None
}

/// How many entries a group has not read; `None` where nobody knows.
pub(super) fn lag(stream: &Stream, group: &Group) -> Option<i64> {
    let added = stream.marks().added;
    if added == 0 {
        return Some(0);
    }
    let read = match group.read {
        Some(read) if !has_gap_from(stream, group.last) => Some(read),
        _ => estimate(stream, group.last),
    };
    read.map(|read| added.wrapping_sub(read) as i64)
}

/// A group has read up to this entry, the next one of the stream.
pub(super) fn advance(stream: &Stream, group: &mut Group, id: StreamId) {
    if let Some(read) = group.read.filter(|_| !has_gap_from(stream, id)) {
        group.read = Some(read.wrapping_add(1));
    } else if stream.marks().added > 0 {
        group.read = estimate(stream, id);
    }
    group.last = id;
}
