//! The encoding of one element of a list: a byte that says what follows, that, and the length of both from
//! behind, so that elements are read in either direction.
//!
//! | first byte | what follows |
//! |---|---|
//! | 0 to 223 | so many bytes |
//! | 224 to 232 | an integer in 0 to 8 bytes, little-endian, sign-extended |
//! | 240 | two bytes of length, little-endian, and so many bytes |
//! | 241 | nothing: the element is stored apart |
//!
//! The length from behind is one byte below 128; otherwise the last byte has the lower seven bits and a mark, the
//! one before it the others.

use crate::collection::item::{Item, integer_of};
use crate::packed::{Corrupt, corrupt};

const SHORT_MAX: usize = 223;
const INTEGER: u8 = 224;
const SIZED: u8 = 240;
const APART: u8 = 241;

/// Longest element that can be encoded.
pub(super) const ENTRY_BYTES_MAX: usize = 8 << 10;
/// Set in the last byte of a length of two bytes.
const MARK: u8 = 0x80;
const _: () = assert!(ENTRY_BYTES_MAX + 3 < 1 << 14);

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    Item(Item<'a>),
    Apart,
}

/// Appends an element, or the place of one that is stored apart.
pub(super) fn put(out: &mut Vec<u8>, element: Option<&[u8]>) {
    let start = out.len();
    match element {
        None => out.push(APART),
        Some(bytes) => put_here(out, bytes),
    }
    let size = out.len() - start;
    if size >= usize::from(MARK) {
        out.push((size >> 7) as u8);
        out.push(size as u8 & !MARK | MARK);
    } else {
        out.push(size as u8);
    }
}

fn put_here(out: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= ENTRY_BYTES_MAX, "what is longer is stored apart");
    if let Some(integer) = integer_of(bytes) {
        let width = (0..8).find(|width| extend(&integer.to_le_bytes()[..*width]) == integer);
        let width = width.unwrap_or(8);
        out.push(INTEGER + width as u8);
        out.extend_from_slice(&integer.to_le_bytes()[..width]);
        return;
    }
    if bytes.len() <= SHORT_MAX {
        out.push(bytes.len() as u8);
    } else {
        out.push(SIZED);
        out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    }
    out.extend_from_slice(bytes);
}

/// The integer whose lower bytes these are.
fn extend(bytes: &[u8]) -> i64 {
    let sign = bytes
        .last()
        .map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xff });
    let mut all = [sign; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

/// The entry that begins here, and where the next one does.
///
/// # Errors
/// If none begins here.
pub(super) fn read(bytes: &[u8], at: usize) -> Result<(Entry<'_>, usize), Corrupt> {
    let rest = bytes.get(at..).unwrap_or_default();
    let (head, length) = match *rest {
        [kind @ INTEGER..=232, ..] => (1, usize::from(kind - INTEGER)),
        [SIZED, low, high, ..] => (3, usize::from(u16::from_le_bytes([low, high]))),
        [APART, ..] => (1, 0),
        [kind, ..] if usize::from(kind) <= SHORT_MAX => (1, usize::from(kind)),
        _ => return corrupt("the beginning of an element"),
    };
    let size = head + length;
    let Some(content) = rest.get(head..size) else {
        return corrupt("as many bytes as an element has");
    };
    let entry = match rest[0] {
        INTEGER..=232 => Entry::Item(Item::Integer(extend(content))),
        APART => Entry::Apart,
        _ => Entry::Item(Item::Bytes(content)),
    };
    Ok((entry, at + size + if size < usize::from(MARK) { 1 } else { 2 }))
}

/// Where the entry begins that ends here.
pub(super) fn start_of(bytes: &[u8], end: usize) -> usize {
    let last = bytes[end - 1];
    match last & MARK {
        0 => end - 1 - usize::from(last),
        _ => end - 2 - (usize::from(last & !MARK) | usize::from(bytes[end - 2]) << 7),
    }
}

/// How many entries these bytes hold.
///
/// # Errors
/// If they are anything else, or anything is stored apart.
pub(super) fn judge(bytes: &[u8]) -> Result<usize, Corrupt> {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let (entry, end) = read(bytes, at)?;
        let Entry::Item(item) = entry else {
            return corrupt("an element that is here");
        };
        let mut again = Vec::new();
        item.with(|text| {
            if text.len() <= ENTRY_BYTES_MAX {
                put(&mut again, Some(text));
            }
        });
        if bytes.get(at..end) != Some(&again[..]) {
            return corrupt("the one encoding of an element");
        }
        (at, count) = (end, count + 1);
    }
    Ok(count)
}
