//! The record of a small set. It begins with a byte: 2, 4 or 8, and members that are all integers follow, each in
//! so many bytes, little-endian, in their order; or 0, and the number of members follows as a byte, and
//! each with its length in front, in the order in which they came.

use crate::collection::item::{Item, integer_of};
use crate::collection::{SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX, SMALL_INTEGERS_MAX};
use crate::packed::{Corrupt, corrupt, put_bytes, take_bytes, take_u8};

/// Begins a record of members that are not all integers.
const MEMBERS: u8 = 0;

/// A record to be read.
#[derive(Clone, Copy, Debug)]
pub enum SmallSet<'a> {
    /// All members are integers.
    Integers(Integers<'a>),
    /// The number of members, and the bytes of all.
    Members(usize, &'a [u8]),
}

/// Integers in their order.
#[derive(Clone, Copy, Debug)]
pub struct Integers<'a> {
    width: usize,
    bytes: &'a [u8],
}

impl Integers<'_> {
    fn len(self) -> usize {
        self.bytes.len() / self.width
    }

    fn get(self, at: usize) -> i64 {
        read(&self.bytes[at * self.width..][..self.width])
    }

    fn search(self, integer: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < integer {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low < self.len() && self.get(low) == integer {
            true => Ok(low),
            false => Err(low),
        }
    }
}

/// The integer in these bytes, of which there are 2, 4 or 8.
fn read(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        _ => i64::from_le_bytes(bytes.try_into().expect("no other width is accepted")),
    }
}

/// The bytes that an integer needs.
fn width_of(integer: i64) -> usize {
    if i16::try_from(integer).is_ok() {
        2
    } else if i32::try_from(integer).is_ok() {
        4
    } else {
        8
    }
}

impl<'a> SmallSet<'a> {
    /// The record without members.
    pub(super) const EMPTY: &'static [u8] = &[2];

    /// A record that was made here or judged.
    pub fn new(record: &'a [u8]) -> Self {
        match record {
            [MEMBERS, count, bytes @ ..] => Self::Members(usize::from(*count), bytes),
            [width @ (2 | 4 | 8), bytes @ ..] => Self::Integers(Integers {
                width: usize::from(*width),
                bytes,
            }),
            _ => Self::Members(0, &[]),
        }
    }

    /// A record from a disk or a peer.
    ///
    /// # Errors
    /// If no small set is stored as this.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        let mut rest = record;
        match take_u8(&mut rest)? {
            width @ (2 | 4 | 8) => {
                let integers = Integers {
                    width: usize::from(width),
                    bytes: rest,
                };
                let count = integers.len();
                let is_whole = rest.len().is_multiple_of(integers.width) && count <= SMALL_INTEGERS_MAX;
                if !is_whole || (1..count).any(|at| integers.get(at - 1) >= integers.get(at)) {
                    return corrupt("a small number of integers in order");
                }
            }
            MEMBERS => {
                let count = usize::from(take_u8(&mut rest)?);
                let mut members = Vec::with_capacity(count);
                for _ in 0..count {
                    members.push(take_bytes(&mut rest)?);
                }
                members.sort_unstable();
                let is_small = count <= SMALL_COUNT_MAX
                    && members
                        .iter()
                        .all(|member| member.len() <= SMALL_ELEMENT_BYTES_MAX);
                if !is_small || !rest.is_empty() || members.windows(2).any(|pair| pair[0] == pair[1]) {
                    return corrupt("a small number of different members");
                }
            }
            _ => return corrupt("the kind of a small set"),
        }
        Ok(Self::new(record))
    }

    /// Number of members.
    pub fn len(self) -> usize {
        match self {
            Self::Integers(integers) => integers.len(),
            Self::Members(count, _) => count,
        }
    }

    /// True if there are no members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// True if this is a member.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Integers(integers) => {
                integer_of(member).is_some_and(|integer| integers.search(integer).is_ok())
            }
            Self::Members(_, bytes) => place(bytes, member).is_some(),
        }
    }

    /// The members in their order.
    pub fn iter(self) -> SmallMembers<'a> {
        SmallMembers { set: self, at: 0 }
    }
}

/// Members of a record.
#[derive(Clone, Debug)]
pub struct SmallMembers<'a> {
    set: SmallSet<'a>,
    /// Index of the next integer.
    at: usize,
}

impl<'a> Iterator for SmallMembers<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match &mut self.set {
            SmallSet::Integers(integers) => {
                let at = self.at;
                self.at += 1;
                (at < integers.len()).then(|| Item::Integer(integers.get(at)))
            }
            SmallSet::Members(_, rest) => take_bytes(rest).ok().map(Item::Bytes),
        }
    }
}

/// Where a member stands with its length, and where it ends.
fn place(bytes: &[u8], member: &[u8]) -> Option<(usize, usize)> {
    let mut rest = bytes;
    loop {
        let start = bytes.len() - rest.len();
        if take_bytes(&mut rest).ok()? == member {
            return Some((start, bytes.len() - rest.len()));
        }
    }
}

/// Puts a member in; `None`, and nothing changes, if the result would not be small.
pub(super) fn insert(record: &mut Vec<u8>, member: &[u8]) -> Option<bool> {
    match (SmallSet::new(record), integer_of(member)) {
        (SmallSet::Integers(integers), Some(integer)) => match integers.search(integer) {
            Ok(_) => return Some(false),
            Err(_) if integers.len() == SMALL_INTEGERS_MAX => return None,
            Err(at) => insert_integer(record, at, integer),
        },
        (set, _) => {
            if set.contains(member) {
                return Some(false);
            }
            if set.len() >= SMALL_COUNT_MAX || member.len() > SMALL_ELEMENT_BYTES_MAX {
                return None;
            }
            if let SmallSet::Integers(_) = set {
                let mut members = vec![MEMBERS, set.len() as u8];
                set.iter()
                    .for_each(|item| item.with(|bytes| put_bytes(&mut members, bytes)));
                *record = members;
            }
            record[1] += 1;
            put_bytes(record, member);
        }
    }
    Some(true)
}

fn insert_integer(record: &mut Vec<u8>, at: usize, integer: i64) {
    let width = usize::from(record[0]).max(width_of(integer));
    if width > usize::from(record[0]) {
        let mut wider = vec![width as u8];
        if let SmallSet::Integers(integers) = SmallSet::new(record) {
            (0..integers.len()).for_each(|at| wider.extend(&integers.get(at).to_le_bytes()[..width]));
        }
        *record = wider;
    }
    let start = 1 + at * width;
    record.splice(start..start, integer.to_le_bytes()[..width].iter().copied());
}

/// Takes a member out; false if it is not there.
pub(super) fn remove(record: &mut Vec<u8>, member: &[u8]) -> bool {
    match SmallSet::new(record) {
        SmallSet::Integers(integers) => {
            let Some(Ok(at)) = integer_of(member).map(|integer| integers.search(integer)) else {
                return false;
            };
            let (start, width) = (1 + at * integers.width, integers.width);
            record.drain(start..start + width);
        }
        SmallSet::Members(_, bytes) => {
            let Some((start, end)) = place(bytes, member) else {
                return false;
            };
            record.drain(2 + start..2 + end);
            record[1] -= 1;
        }
    }
    true
}
