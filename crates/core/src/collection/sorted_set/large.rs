//! A large sorted set: its members by hash with their scores, and by score and member.

use super::score::Score;
use crate::collection::hashed::Hashed;
use crate::collection::ordered_tree::{BackElements, Elements, OrderedTree};
use crate::collection::tree::allocated;
use crate::collection::{Element, Remains};
use crate::packed::{Corrupt, corrupt, put_bytes, take_bytes};
use crate::table::HashSeed;

/// Members with scores.
#[derive(Clone)]
pub struct LargeSortedSet {
    /// The score of each member, and the digest.
    members: Hashed<true>,
    /// The members by score.
    order: OrderedTree<u64, false>,
}

fn ranked<'a>(element: Element<'a, u64>) -> (&'a [u8], Score) {
    (element.key, Score::from_order(element.head))
}

fn score_of(value: &[u8]) -> Score {
    Score::from_short(value).expect("every member has the bytes of a score")
}

impl LargeSortedSet {
    /// Without members. Replicas must use one seed, which clients must not know.
    pub fn new(seed: HashSeed) -> Self {
        Self {
            members: Hashed::new(seed),
            order: OrderedTree::default(),
        }
    }

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.members.len()
    }

    /// True if there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The score of a member. O(log n).
    pub fn score(&self, member: &[u8]) -> Option<Score> {
        self.members.get(member).map(score_of)
    }

    /// Gives a member a score; returns the one that it had. O(log n).
    pub fn insert(&mut self, member: &[u8], score: Score) -> Option<Score> {
        let old = self.score(member);
        if old == Some(score) {
            return old;
        }
        if let Some(old) = old {
            self.order.remove(old.to_order(), member, |_| ());
        }
        let (bytes, length) = score.to_short();
        self.members.insert(member, &bytes[..length]);
        self.order.insert(score.to_order(), member, &[], |_| ());
        old
    }

    /// Takes a member out; returns its score. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<Score> {
        let score = self.score(member)?;
        self.members.remove(member);
        self.order.remove(score.to_order(), member, |_| ());
        Some(score)
    }

    /// Takes up to `count` members out from this rank on, at most those of one block of some KiB; shows each
    /// and returns how many.
    pub fn remove_at(&mut self, rank: u64, count: u64, show: &mut dyn FnMut(&[u8], Score)) -> u64 {
        let Self { members, order } = self;
        order.remove_at(rank, count, &mut |element| {
            let (member, score) = ranked(element);
            members.remove(member);
            show(member, score);
        })
    }

    /// Number of members with a lower score, or an equal one and a lower name, and the member's score. O(log n).
    pub fn rank(&self, member: &[u8]) -> Option<(u64, Score)> {
        let score = self.score(member)?;
        Some((self.order.rank(score.to_order(), member).0, score))
    }

    /// Number of members with a lower score, or an equal one if that is asked for. O(log n).
    pub fn count_below(&self, score: Score, with_equal: bool) -> u64 {
        self.order.rank(score.to_order() + u64::from(with_equal), &[]).0
    }

    /// Number of members of this score with a lower name, or an equal one if that is asked for, and of all with a
    /// lower score. O(log n).
    pub fn count_before(&self, score: Score, member: &[u8], with_equal: bool) -> u64 {
        let (rank, is_there) = self.order.rank(score.to_order(), member);
        rank + u64::from(with_equal && is_there)
    }

    /// The member with this rank. O(log n).
    pub fn at(&self, rank: u64) -> Option<(&[u8], Score)> {
        self.order.at(rank).map(ranked)
    }

    /// The member with this index in the order of hashes. O(log n).
    pub fn at_hashed(&self, index: u64) -> Option<(&[u8], Score)> {
        let element = self.members.at(index)?;
        Some((element.key, score_of(element.value)))
    }

    /// The members from this rank on. O(log n) for the first one.
    pub fn from(&self, rank: u64) -> Ranked<'_> {
        Ranked(self.order.from(rank))
    }

    /// The members from the one before this rank back to the first one. O(log n) for the first one.
    pub fn back_from(&self, rank: u64) -> BackRanked<'_> {
        BackRanked(self.order.back_from(rank))
    }

    /// As [`Hashed::scan`].
    pub fn scan(&self, cursor: u64, count: usize, show: &mut dyn FnMut(&[u8], Score)) -> u64 {
        self.members.scan(cursor, count, &mut |element| {
            show(element.key, score_of(element.value))
        })
    }

    /// Sum over the members.
    pub fn digest(&self) -> u128 {
        self.members.digest()
    }

    /// Bytes of memory that it has allocated.
    pub fn memory_bytes(&self) -> usize {
        allocated(size_of::<Self>()) + self.members.memory_bytes() + self.order.memory_bytes()
    }

    /// Bytes that clones keep since changes had to copy them, see
    /// [`Tree::take_copied_bytes`](crate::collection::Tree::take_copied_bytes).
    pub fn take_copied_bytes(&mut self) -> usize {
        self.members.take_copied_bytes() + self.order.take_copied_bytes()
    }

    /// Gives up everything, to be freed in slices.
    pub fn discard(self, remains: &mut Remains) {
        self.members.discard(remains);
        remains.add(self.order);
    }

    /// Appends a chunk of the members from this rank on, about `budget_bytes` long and at least one
    /// member, and returns the rank behind it.
    pub fn put_chunk(&self, rank: u64, budget_bytes: usize, out: &mut Vec<u8>) -> u64 {
        let end = out.len() + budget_bytes;
        let mut next = rank;
        for (member, score) in self.from(rank) {
            let (bytes, length) = score.to_short();
            put_bytes(out, &bytes[..length]);
            put_bytes(out, member);
            next += 1;
            if out.len() >= end {
                break;
            }
        }
        next
    }

    /// Takes the next chunk of a sorted set that is rebuilt.
    ///
    /// # Errors
    /// If it is not one, or its members do not follow those before it in order.
    pub fn take_chunk(&mut self, mut chunk: &[u8]) -> Result<(), Corrupt> {
        while !chunk.is_empty() {
            let Some(score) = Score::from_short(take_bytes(&mut chunk)?) else {
                return corrupt("a score");
            };
            let member = take_bytes(&mut chunk)?;
            let is_behind = self.count_before(score, member, true) == self.len();
            if !is_behind || self.insert(member, score).is_some() {
                return corrupt("different members in the order of their scores");
            }
        }
        Ok(())
    }
}

/// Members by score.
pub struct Ranked<'a>(Elements<'a, u64, false>);

impl<'a> Iterator for Ranked<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(ranked)
    }
}

/// Members by score, from the highest to the lowest.
pub struct BackRanked<'a>(BackElements<'a, u64, false>);

impl<'a> Iterator for BackRanked<'a> {
    type Item = (&'a [u8], Score);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(ranked)
    }
}
