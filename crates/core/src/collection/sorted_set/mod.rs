//! Sorted sets: members with scores, in the order of score and name.

mod large;
mod score;
mod small;
#[cfg(test)]
mod tests;

pub use large::{BackRanked, LargeSortedSet, Ranked};
pub use score::Score;
pub use small::{SmallRanked, SmallSortedSet};

use crate::packed::Corrupt;
use crate::table::HashSeed;

/// A sorted set to be changed.
#[derive(Clone)]
pub enum SortedSet {
    /// The record of a small one.
    Small(Vec<u8>),
    /// A large one.
    Large(Box<LargeSortedSet>),
}

/// A sorted set to be read.
#[derive(Clone, Copy)]
pub enum SortedSetRef<'a> {
    /// A small one.
    Small(SmallSortedSet<'a>),
    /// A large one.
    Large(&'a LargeSortedSet),
}

impl Default for SortedSet {
    fn default() -> Self {
        Self::Small(SmallSortedSet::EMPTY.to_vec())
    }
}

impl SortedSet {
    /// To be read.
    pub fn as_ref(&self) -> SortedSetRef<'_> {
        match self {
            Self::Small(record) => SortedSetRef::small(record),
            Self::Large(large) => SortedSetRef::Large(large),
        }
    }

    /// Gives a member a score; returns the one that it had. The seed is for a set that becomes large.
    pub fn insert(&mut self, member: &[u8], score: Score, seed: HashSeed) -> Option<Score> {
        if let Self::Small(record) = self {
            if let Some(old) = small::insert(record, member, score) {
                return old;
            }
            let mut large = Box::new(LargeSortedSet::new(seed));
            for (member, score) in SmallSortedSet::new(record).iter() {
                large.insert(member, score);
            }
            *self = Self::Large(large);
        }
        match self {
            Self::Small(_) => unreachable!("it has become large"),
            Self::Large(large) => large.insert(member, score),
        }
    }

    /// Takes a member out; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<Score> {
        match self {
            Self::Small(record) => small::remove(record, member),
            Self::Large(large) => large.remove(member),
        }
    }

    /// Takes up to `count` members out from this rank on, or a part of them if they are many; shows each and
    /// returns how many, 0 only if there are none.
    pub fn remove_at(&mut self, rank: u64, count: u64, show: &mut dyn FnMut(&[u8], Score)) -> u64 {
        match self {
            Self::Large(large) => large.remove_at(rank, count, show),
            Self::Small(record) => {
                let copy = record.clone();
                let [rank, count] = [rank, count].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
                let members = SmallSortedSet::new(&copy).iter().skip(rank).take(count);
                let mut removed = 0;
                for (member, score) in members {
                    small::remove(record, member);
                    show(member, score);
                    removed += 1;
                }
                removed
            }
        }
    }
}

impl<'a> SortedSetRef<'a> {
    /// What a record holds.
    pub fn small(record: &'a [u8]) -> Self {
        Self::Small(SmallSortedSet::new(record))
    }

    /// What a record from a disk or a peer holds.
    ///
    /// # Errors
    /// If it is not what a small sorted set is stored as.
    pub fn judge(record: &'a [u8]) -> Result<Self, Corrupt> {
        SmallSortedSet::judge(record).map(Self::Small)
    }

    /// Number of members.
    pub fn len(self) -> u64 {
        match self {
            Self::Small(small) => small.len() as u64,
            Self::Large(large) => large.len(),
        }
    }

    /// True if there are no members.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(self, member: &[u8]) -> Option<Score> {
        match self {
            Self::Small(small) => small.score(member),
            Self::Large(large) => large.score(member),
        }
    }

    /// As [`LargeSortedSet::rank`].
    pub fn rank(self, member: &[u8]) -> Option<(u64, Score)> {
        match self {
            Self::Small(small) => {
                let mut ranked = small.iter().zip(0..);
                let ((_, score), rank) = ranked.find(|((other, _), _)| *other == member)?;
                Some((rank, score))
            }
            Self::Large(large) => large.rank(member),
        }
    }

    /// As [`LargeSortedSet::count_below`].
    pub fn count_below(self, score: Score, with_equal: bool) -> u64 {
        match self {
            Self::Small(small) => {
                let is_below = |other: &Score| *other < score || with_equal && *other == score;
                small.iter().take_while(|(_, other)| is_below(other)).count() as u64
            }
            Self::Large(large) => large.count_below(score, with_equal),
        }
    }

    /// As [`LargeSortedSet::count_before`].
    pub fn count_before(self, score: Score, member: &[u8], with_equal: bool) -> u64 {
        match self {
            Self::Small(small) => {
                let wanted = (score.to_order(), member);
                let is_before = |other: &(&[u8], Score)| {
                    let other = (other.1.to_order(), other.0);
                    other < wanted || with_equal && other == wanted
                };
                small.iter().take_while(is_before).count() as u64
            }
            Self::Large(large) => large.count_before(score, member, with_equal),
        }
    }

    /// The member with this rank.
    pub fn at(self, rank: u64) -> Option<(&'a [u8], Score)> {
        match self {
            Self::Small(small) => small.iter().nth(usize::try_from(rank).ok()?),
            Self::Large(large) => large.at(rank),
        }
    }

    /// The members from this rank on.
    pub fn from(self, rank: u64) -> Members<'a> {
        match self {
            Self::Small(small) => {
                let mut ranked = small.iter();
                (0..rank).take_while(|_| ranked.next().is_some()).for_each(drop);
                Members::Small(ranked)
            }
            Self::Large(large) => Members::Large(large.from(rank)),
        }
    }

    /// The members from the one before this rank back to the first one.
    pub fn back_from(self, rank: u64) -> BackMembers<'a> {
        match self {
            Self::Small(small) => {
                let count = usize::try_from(rank).unwrap_or(usize::MAX);
                let members: Vec<_> = small.iter().take(count).collect();
                BackMembers::Small(members.into_iter().rev())
            }
            Self::Large(large) => BackMembers::Large(large.back_from(rank)),
        }
    }

    /// As [`Hashed::scan`](crate::collection::Hashed::scan); a small sorted set is shown at once.
    pub fn scan(self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8], Score)) -> u64 {
        match self {
            Self::Small(small) => {
                small.iter().for_each(|(member, score)| show(member, score));
                0
            }
            Self::Large(large) => large.scan(cursor, count, show),
        }
    }
}

/// Members in their order.
pub enum Members<'a> {
    /// Of a small sorted set.
    Small(SmallRanked<'a>),
    /// Of a large one.
    Large(Ranked<'a>),
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(ranked) => ranked.next(),
            Self::Large(ranked) => ranked.next(),
        }
    }
}

/// Members from the last to the first one.
pub enum BackMembers<'a> {
    /// Of a small sorted set.
    Small(std::iter::Rev<std::vec::IntoIter<(&'a [u8], Score)>>),
    /// Of a large one.
    Large(BackRanked<'a>),
}

impl<'a> Iterator for BackMembers<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(members) => members.next(),
            Self::Large(ranked) => ranked.next(),
        }
    }
}
