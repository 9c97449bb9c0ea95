//! How one small entry lies in its slot of the arena, and in a pre-image of a snapshot.
//!
//! ```text
//! byte 0      bit 7: live · bit 5: deadline has 8 bytes · bit 4: has a deadline · bits 0–3: kind
//! bytes 1–6   version, little endian
//! then        key length, value length: base-128 numbers, low bits first, 1 to 5 bytes each
//! then        deadline in ms, little endian, 6 or 8 bytes, only if byte 0 says so
//! then        key, value
//! ```
//! Sixteen bytes of key and 32 of value thus take 57 bytes, 63 with a deadline. This layout lives
//! only in memory; nothing on disk or on a wire depends on it.

use super::{EntryRef, KIND_MAX, Meta, VERSION_MAX};

/// Byte 0 of every slot that holds an entry has this bit; byte 0 of a free slot is zero.
pub(super) const LIVE: u8 = 0x80;
const DEADLINE: u8 = 0x10;
const DEADLINE_WIDE: u8 = 0x20;
const KIND_BITS: u8 = 0x0f;

/// Flags, version and one byte for each of the two lengths.
const FIXED_BYTES: usize = 7;
/// The largest deadline that six bytes hold: the year 10889.
const NARROW_DEADLINE_MAX: u64 = (1 << 48) - 1;

const _: () = assert!(KIND_MAX <= KIND_BITS && VERSION_MAX < 1 << 48);

/// Where the parts of a record lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    flags: u8,
    version: u64,
    deadline_at: usize,
    key_at: usize,
    value_at: usize,
    end: usize,
}

/// Bytes that a deadline takes.
fn deadline_bytes(deadline_ms: Option<u64>) -> usize {
    match deadline_ms {
        None => 0,
        Some(deadline) if deadline <= NARROW_DEADLINE_MAX => 6,
        Some(_) => 8,
    }
}

/// Bytes that a length takes.
fn length_bytes(length: usize) -> usize {
    (1 + (length as u64).checked_ilog2().unwrap_or(0) / 7) as usize
}

/// Bytes that the record of such an entry takes.
pub(super) fn record_bytes(key_length: usize, value_length: usize, deadline_ms: Option<u64>) -> usize {
    FIXED_BYTES
        + length_bytes(key_length)
        + length_bytes(value_length)
        + deadline_bytes(deadline_ms)
        + key_length
        + value_length
}

fn push_length(out: &mut [u8], at: &mut usize, mut length: usize) {
    while length >= 0x80 {
        out[*at] = length as u8 | 0x80;
        *at += 1;
        length >>= 7;
    }
    out[*at] = length as u8;
    *at += 1;
}

#[inline]
fn read_length(bytes: &[u8], at: &mut usize) -> usize {
    let mut byte = bytes[*at];
    *at += 1;
    let mut length = usize::from(byte & 0x7f);
    let mut shift = 7;
    while byte & 0x80 != 0 {
        byte = bytes[*at];
        *at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
    }
    length
}

/// Writes everything but the value to the start of `out` and returns where the value goes.
///
/// # Panics
/// If the meta data are out of range or `out` is too short.
pub(super) fn write_head(out: &mut [u8], key: &[u8], value_length: usize, meta: Meta) -> usize {
    assert!(
        meta.kind <= KIND_MAX && meta.version <= VERSION_MAX,
        "kind or version out of range"
    );
    let deadline_length = deadline_bytes(meta.deadline_ms);
    out[1..7].copy_from_slice(&meta.version.to_le_bytes()[..6]);
    out[0] = LIVE
        | meta.kind
        | match deadline_length {
            0 => 0,
            6 => DEADLINE,
            _ => DEADLINE | DEADLINE_WIDE,
        };
    let mut at = FIXED_BYTES;
    push_length(out, &mut at, key.len());
    push_length(out, &mut at, value_length);
    if let Some(deadline) = meta.deadline_ms {
        out[at..at + deadline_length].copy_from_slice(&deadline.to_le_bytes()[..deadline_length]);
        at += deadline_length;
    }
    out[at..at + key.len()].copy_from_slice(key);
    at + key.len()
}

/// Writes a whole record to the start of `out`, which must have [`record_bytes`] bytes.
pub(super) fn write(out: &mut [u8], key: &[u8], value: &[u8], meta: Meta) {
    let value_at = write_head(out, key, value.len(), meta);
    out[value_at..value_at + value.len()].copy_from_slice(value);
}

/// Replaces the meta data where they lie; false if the new deadline takes another number of bytes.
pub(super) fn write_meta(record: &mut [u8], meta: Meta) -> bool {
    Shape::read(record).write_meta(record, meta)
}

/// Replaces value and meta data where they lie, after it has shown the old entry, and returns the old
/// deadline; `None`, and nothing is shown or changed, if value or deadline take another number of bytes.
#[inline]
pub(super) fn overwrite(
    record: &mut [u8],
    value: &[u8],
    meta: Meta,
    show: &mut impl FnMut(EntryRef<'_>),
) -> Option<Option<u64>> {
    let shape = Shape::read(record);
    let is_same_length = shape.end - shape.value_at == value.len()
        && shape.key_at - shape.deadline_at == deadline_bytes(meta.deadline_ms);
    if !is_same_length {
        return None;
    }
    let old = shape.entry(record);
    let old_deadline_ms = old.deadline_ms;
    show(old);
    shape.write_meta(record, meta);
    record[shape.value_at..shape.end].copy_from_slice(value);
    Some(old_deadline_ms)
}

impl Shape {
    /// Reads the head of the record at the start of `bytes`.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Self {
        let head = u64::from_le_bytes(bytes[..8].try_into().expect("the range is eight bytes long"));
        let flags = head as u8;
        let mut at = FIXED_BYTES;
        let key_length = read_length(bytes, &mut at);
        let value_length = read_length(bytes, &mut at);
        let deadline_at = at;
        if flags & DEADLINE != 0 {
            at += if flags & DEADLINE_WIDE != 0 { 8 } else { 6 };
        }
        let value_at = at + key_length;
        Self {
            flags,
            version: (head >> 8) & VERSION_MAX,
            deadline_at,
            key_at: at,
            value_at,
            end: value_at + value_length,
        }
    }

    fn write_meta(&self, record: &mut [u8], meta: Meta) -> bool {
        assert!(
            meta.kind <= KIND_MAX && meta.version <= VERSION_MAX,
            "kind or version out of range"
        );
        let length = self.key_at - self.deadline_at;
        if length != deadline_bytes(meta.deadline_ms) {
            return false;
        }
        record[0] = self.flags & !KIND_BITS | meta.kind;
        record[1..7].copy_from_slice(&meta.version.to_le_bytes()[..6]);
        if let Some(deadline) = meta.deadline_ms {
            record[self.deadline_at..self.key_at].copy_from_slice(&deadline.to_le_bytes()[..length]);
        }
        true
    }

    /// Bytes of the record.
    pub(super) fn record_bytes(&self) -> usize {
        self.end
    }

    /// The key of the record.
    #[inline]
    pub(super) fn key<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        &record[self.key_at..self.value_at]
    }

    /// The value of the record.
    pub(super) fn value_mut<'a>(&self, record: &'a mut [u8]) -> &'a mut [u8] {
        &mut record[self.value_at..self.end]
    }

    /// The deadline of the record.
    #[inline]
    pub(super) fn deadline_ms(&self, record: &[u8]) -> Option<u64> {
        if self.flags & DEADLINE == 0 {
            return None;
        }
        let mut deadline = [0; 8];
        let stored = &record[self.deadline_at..self.key_at];
        deadline[..stored.len()].copy_from_slice(stored);
        Some(u64::from_le_bytes(deadline))
    }

    /// The whole entry.
    #[inline]
    pub(super) fn entry<'a>(&self, record: &'a [u8]) -> EntryRef<'a> {
        EntryRef {
            key: &record[self.key_at..self.value_at],
            value: &record[self.value_at..self.end],
            deadline_ms: self.deadline_ms(record),
            version: self.version,
            kind: self.flags & KIND_BITS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key_length: usize, value_length: usize, meta: Meta, expected_bytes: usize) {
        let key = vec![7; key_length];
        let value = vec![9; value_length];
        let bytes = record_bytes(key_length, value_length, meta.deadline_ms);
        assert_eq!(bytes, expected_bytes);
        let mut record = vec![0; bytes];
        write(&mut record, &key, &value, meta);
        let shape = Shape::read(&record);
        assert_eq!(shape.record_bytes(), bytes);
        let entry = shape.entry(&record);
        assert_eq!(
            (entry.key, entry.value, entry.meta()),
            (&key[..], &value[..], meta)
        );
        let other = Meta {
            version: 1,
            kind: 0,
            ..meta
        };
        assert!(write_meta(&mut record, other));
        assert_eq!(Shape::read(&record).entry(&record).meta(), other);
        let without = meta
            .deadline_ms
            .is_some()
            .then_some(())
            .map_or(Some(1), |()| None);
        assert!(!write_meta(
            &mut record,
            Meta {
                deadline_ms: without,
                ..meta
            }
        ));
    }

    #[test]
    fn a_record_gives_back_what_was_written() {
        let meta = |deadline_ms, version, kind| Meta {
            deadline_ms,
            version,
            kind,
        };
        check(16, 32, meta(None, 0, 0), 57);
        check(16, 32, meta(Some(1_700_000_000_000), VERSION_MAX, KIND_MAX), 63);
        check(16, 127, meta(Some(0), 5, 3), 158);
        check(0, 128, meta(Some(NARROW_DEADLINE_MAX), 5, 3), 7 + 1 + 2 + 6 + 128);
        check(
            128,
            0,
            meta(Some(NARROW_DEADLINE_MAX + 1), 5, 3),
            7 + 2 + 1 + 8 + 128,
        );
        check(1, 16_383, meta(Some(u64::MAX), 5, 3), 7 + 1 + 2 + 8 + 1 + 16_383);
        check(1, 16_384, meta(None, 5, 3), 7 + 1 + 3 + 1 + 16_384);
    }
}
