//! The record of a small sorted set: the number of members as a byte, then each in the order of score and name: eight
//! bytes that say the score and are ordered as scores are, the length as a byte, the name.

use super::score::Score;
use crate::collection::{SMALL_COUNT_MAX, SMALL_ELEMENT_BYTES_MAX};
use crate::packed::{Corrupt, corrupt, take_array, take_bytes, take_u8};

/// Bytes in front of a name.
const HEAD_BYTES: usize = 9;

/// A record to be read.
#[derive(Clone, Copy, Debug)]
pub struct SmallSortedSet<'a> {
    record: &'a [u8],
}

impl<'a> SmallSortedSet<'a> {
    /// The record without members.
    pub(super) const EMPTY: &'static [u8] = &[0];

    /// A record that was made here or judged.
    pub fn new(record: &'a [u8]) -> Self {
        Self { record }
    }

    /// A record from a disk or a peer.
    ///
    /// # Errors
    /// If no small sorted set is stored as this.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        let mut rest = record;
        let count = usize::from(take_u8(&mut rest)?);
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let order = u64::from_be_bytes(take_array(&mut rest)?);
            let member = take_bytes(&mut rest)?;
            let score = Score::new(Score::from_order(order).get());
            if score.map(Score::to_order) != Some(order) || member.len() > SMALL_ELEMENT_BYTES_MAX {
                return corrupt("a score and a short member");
            }
            all.push((order, member));
        }
        let is_sorted = all.is_sorted_by(|left, right| left < right);
        all.sort_unstable_by_key(|(_, member)| *member);
        let is_twice = all.windows(2).any(|pair| pair[0].1 == pair[1].1);
        if count > SMALL_COUNT_MAX || !rest.is_empty() || !is_sorted || is_twice {
            return corrupt("a small number of different members in order");
        }
        Ok(Self { record })
    }

    /// Number of members.
    pub fn len(self) -> usize {
        self.record.first().map_or(0, |count| usize::from(*count))
    }

    /// True if there are no members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The members in their order.
    pub fn iter(self) -> SmallRanked<'a> {
        SmallRanked {
            rest: self.record.get(1..).unwrap_or_default(),
        }
    }

    /// The score of a member.
    pub fn score(self, member: &[u8]) -> Option<Score> {
        self.iter()
            .find(|(other, _)| *other == member)
            .map(|(_, score)| score)
    }
}

/// Members of a record.
#[derive(Clone, Debug)]
pub struct SmallRanked<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for SmallRanked<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        let order = take_array(&mut self.rest).ok()?;
        let member = take_bytes(&mut self.rest).ok()?;
        Some((member, Score::from_order(u64::from_be_bytes(order))))
    }
}

/// Gives a member a score, and returns the one that it had; `None`, and nothing changes, if the result would
/// not be small.
pub(super) fn insert(record: &mut Vec<u8>, member: &[u8], score: Score) -> Option<Option<Score>> {
    let old = SmallSortedSet::new(record).score(member);
    if old == Some(score) {
        return Some(old);
    }
    let is_too_much = usize::from(record[0]) == SMALL_COUNT_MAX || member.len() > SMALL_ELEMENT_BYTES_MAX;
    match old {
        None if is_too_much => return None,
        None => (),
        Some(_) => _ = remove(record, member),
    }
    let wanted = (score.to_order(), member);
    let mut ranked = SmallSortedSet::new(record).iter();
    let mut at = 1;
    while let Some((other, score)) = ranked.next()
        && (score.to_order(), other) < wanted
    {
        at = record.len() - ranked.rest.len();
    }
    let mut entry = [0; HEAD_BYTES];
    entry[..8].copy_from_slice(&wanted.0.to_be_bytes());
    entry[8] = member.len() as u8;
    record.splice(at..at, entry.into_iter().chain(member.iter().copied()));
    record[0] += 1;
    Some(old)
}

/// Takes a member out; returns its score.
pub(super) fn remove(record: &mut Vec<u8>, member: &[u8]) -> Option<Score> {
    let mut ranked = SmallSortedSet::new(record).iter();
    let score = ranked.find(|(other, _)| *other == member)?.1;
    let end = record.len() - ranked.rest.len();
    record.drain(end - member.len() - HEAD_BYTES..end);
    record[0] -= 1;
    Some(score)
}
