//! Ranges of ranks, scores and names, and what is asked of them.

use std::ops::Range;

use repligo_proto::words;

use super::number;
use crate::collection::{Score, SortedSetRef};
use crate::command::{Arguments, CommandError};

/// What the ends of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Rank,
    Score,
    Name,
}

/// An end of a range of scores.
#[derive(Clone, Copy, Debug)]
struct ScoreEnd {
    score: Score,
    is_excluded: bool,
}

/// An end of a range of names.
#[derive(Clone, Copy, Debug)]
enum NameEnd<'a> {
    Least,
    Greatest,
    Name { name: &'a [u8], is_excluded: bool },
}

impl<'a> NameEnd<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        // Redis looks at a text up to a zero byte for these.
        let is_alone = text.get(1).is_none_or(|byte| *byte == 0);
        match text {
            [b'+', ..] if is_alone => Some(Self::Greatest),
            [b'-', ..] if is_alone => Some(Self::Least),
            [mark @ (b'(' | b'['), name @ ..] => Some(Self::Name {
                name,
                is_excluded: *mark == b'(',
            }),
            _ => None,
        }
    }

    /// True if a range that begins here has nothing of this name.
    fn is_above(self, other: &[u8]) -> bool {
        match self {
            Self::Least => false,
            Self::Greatest => true,
            Self::Name { name, is_excluded } => other < name || is_excluded && other == name,
        }
    }

    /// True if a range that ends here has nothing of this name.
    fn is_below(self, other: &[u8]) -> bool {
        match self {
            Self::Least => true,
            Self::Greatest => false,
            Self::Name { name, is_excluded } => other > name || is_excluded && other == name,
        }
    }

    /// How many members come before the end of a range, if all have one score. `with_equal`: a member of this name
    /// is one of them.
    fn rank(self, set: SortedSetRef<'_>, with_equal: bool) -> u64 {
        match self {
            Self::Least => 0,
            Self::Greatest => set.len(),
            Self::Name { name, .. } => set
                .at(0)
                .map_or(0, |(_, score)| set.count_before(score, name, with_equal)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Ends<'a> {
    /// Negative: from the end, -1 the last one.
    Ranks(i64, i64),
    Scores(ScoreEnd, ScoreEnd),
    Names(NameEnd<'a>, NameEnd<'a>),
}

/// Members that follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    ends: Ends<'a>,
    /// Ranks are counted from the last member.
    is_reverse: bool,
}

impl<'a> Span<'a> {
    /// From the lesser to the greater end.
    ///
    /// # Errors
    /// Redis' error for what is no end.
    pub fn parse(by: By, least: &'a [u8], most: &'a [u8]) -> Result<Self, CommandError> {
        let ends = match by {
            By::Rank => {
                let rank =
                    |text| crate::command::parse_i64(text).ok_or(CommandError::fixed(words::NOT_AN_INTEGER));
                Ends::Ranks(rank(least)?, rank(most)?)
            }
            By::Score => {
                let end = |text| {
                    let (number, is_excluded) = number::bound(text)?;
                    let score = Score::new(number)?;
                    Some(ScoreEnd { score, is_excluded })
                };
                let ends = end(least).zip(end(most));
                let (least, most) = ends.ok_or(CommandError::fixed(words::NO_SCORE_RANGE))?;
                Ends::Scores(least, most)
            }
            By::Name => {
                let ends = NameEnd::parse(least).zip(NameEnd::parse(most));
                let (least, most) = ends.ok_or(CommandError::fixed(words::NO_NAME_RANGE))?;
                Ends::Names(least, most)
            }
        };
        Ok(Self {
            ends,
            is_reverse: false,
        })
    }

    /// The next two arguments as a range.
    ///
    /// # Errors
    /// As [`Span::parse`].
    pub fn take(by: By, arguments: &mut Arguments<'a>) -> Result<Self, CommandError> {
        let (least, most) = (arguments.take(), arguments.take());
        Self::parse(by, least, most)
    }

    /// Ranks of the members.
    pub fn ranks(self, set: SortedSetRef<'_>) -> Range<u64> {
        let len = set.len();
        let range = match self.ends {
            Ends::Ranks(first, last) => {
                let place = |index: i64| match index {
                    0.. => index,
                    _ => index.saturating_add(len as i64),
                };
                let first = place(first).max(0) as u64;
                let end = place(last).saturating_add(1).max(0) as u64;
                let range = first.min(len)..end.min(len);
                match self.is_reverse {
                    false => range,
                    true => len - range.end..len - range.start,
                }
            }
            Ends::Scores(least, most) => {
                let first = set.count_below(least.score, least.is_excluded);
                first..set.count_below(most.score, !most.is_excluded)
            }
            // Where scores differ, names have no order. A small set is gone through as Redis goes through it.
            Ends::Names(least, most) => match set {
                SortedSetRef::Small(small) => {
                    let names = || small.iter().map(|(name, _)| name);
                    let first = names().take_while(|name| least.is_above(name)).count();
                    let members = names().skip(first).take_while(|name| !most.is_below(name));
                    first as u64..(first + members.count()) as u64
                }
                SortedSetRef::Large(_) => {
                    let is_excluded = |end| {
                        matches!(
                            end,
                            NameEnd::Name {
                                is_excluded: true,
                                ..
                            }
                        )
                    };
                    least.rank(set, is_excluded(least))..most.rank(set, !is_excluded(most))
                }
            },
        };
        match range.is_empty() {
            true => 0..0,
            false => range,
        }
    }
}

/// What a command of the family of ZRANGE leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// `None`: an option says it, or it is by rank.
    pub by: Option<By>,
    /// `None`: an option says it, or it is forward.
    pub is_reverse: Option<bool>,
    /// The result is stored, so there is nothing to say about scores.
    pub is_stored: bool,
}

/// A range with what is wanted of it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    span: Span<'a>,
    /// The last member comes first.
    pub is_reverse: bool,
    pub with_scores: bool,
    offset: i64,
    /// Negative: all.
    count: i64,
}

impl<'a> Request<'a> {
    /// Reads what follows the keys.
    ///
    /// # Errors
    /// Redis' error for what is no such request.
    pub fn parse(form: Form, mut arguments: Arguments<'a>) -> Result<Self, CommandError> {
        let ends = [arguments.take(), arguments.take()];
        let (mut by, mut is_reverse, mut with_scores) = (form.by, form.is_reverse, false);
        let (mut offset, mut count) = (0, -1);
        while !arguments.is_empty() {
            if !form.is_stored && arguments.take_word("withscores") {
                with_scores = true;
            } else if arguments.len() > 2 && arguments.take_word("limit") {
                (offset, count) = (arguments.take_integer()?, arguments.take_integer()?);
            } else if is_reverse.is_none() && arguments.take_word("rev") {
                is_reverse = Some(true);
            } else if by.is_none() && arguments.take_word("bylex") {
                by = Some(By::Name);
            } else if by.is_none() && arguments.take_word("byscore") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::fixed(words::SYNTAX));
            }
        }
        let (by, is_reverse) = (by.unwrap_or(By::Rank), is_reverse.unwrap_or(false));
        if count != -1 && by == By::Rank {
            return Err(CommandError::fixed(words::LIMIT_OF_RANKS));
        }
        if with_scores && by == By::Name {
            return Err(CommandError::fixed(words::SCORES_BY_NAME));
        }
        let [first, last] = ends;
        let mut span = match is_reverse && by != By::Rank {
            true => Span::parse(by, last, first)?,
            false => Span::parse(by, first, last)?,
        };
        span.is_reverse = is_reverse;
        Ok(Self {
            span,
            is_reverse,
            with_scores,
            offset,
            count,
        })
    }

    /// Ranks of the members that are wanted.
    pub fn ranks(&self, set: SortedSetRef<'_>) -> Range<u64> {
        let range = self.span.ranks(set);
        let len = range.end - range.start;
        // By ranks there is no limit, and what it says is not looked at.
        let (offset, count) = match self.span.ends {
            Ends::Ranks(..) => (0, len),
            _ => (
                u64::try_from(self.offset).map_or(len, |offset| offset.min(len)),
                u64::try_from(self.count).unwrap_or(len),
            ),
        };
        let count = count.min(len - offset);
        match self.is_reverse {
            false => range.start + offset..range.start + offset + count,
            true => range.end - offset - count..range.end - offset,
        }
    }
}
