//! LCS: the longest sequence of bytes that two strings have in common in this order, not necessarily side by side.
//!
//! The lengths of common sequences of all pairs of beginnings are computed row by row, and only the last row is
//! kept, beside one bit per pair that says where the longer one is. From the end the bits lead back through the
//! sequence. Both walks go in slices on copies of the strings, so writes go on in between.

use std::ops::RangeInclusive;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use crate::command::{Arguments, CommandError};
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::handlers::Slice;
use crate::limits::{STRING_BYTES_MAX, WORK_PER_STEP};

/// Pairs of bytes that are one step.
const PAIRS_PER_STEP: usize = WORK_PER_STEP;
/// What Redis takes for each pair while it computes, which is what it limits.
const PAIR_BYTES: usize = 4;

/// The options behind the keys.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    length: bool,
    index: bool,
    match_bytes_min: i64,
    with_match_length: bool,
}

/// A stretch of bytes that lies in both strings.
#[derive(Clone, Debug)]
struct Match {
    left: RangeInclusive<usize>,
    right: RangeInclusive<usize>,
}

/// How far the work has come.
#[derive(Debug)]
struct Work {
    left: Box<[u8]>,
    right: Box<[u8]>,
    options: Options,
    /// Lengths for the beginnings of `left` of `row` bytes, up to `column`, and of one less behind it.
    lengths: Vec<u32>,
    /// What `lengths` held at `column` before it was overwritten.
    diagonal: u32,
    /// One bit per pair: the sequence is longer without the byte of `left` than without that of `right`.
    leads_up: Vec<u64>,
    row: usize,
    column: usize,
    /// Where the way back stands: bytes of each string before it.
    back: Option<(usize, usize)>,
    found: Vec<u8>,
    matches: Vec<Match>,
}

/// `key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`.
pub(super) fn lcs(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let all = slice.all;
    let work = slice.kept.state_or(|| begin(context, all))?;
    let is_done = work.fill(context) && work.walk_back(context);
    if is_done {
        work.render(reply);
    }
    slice.kept.is_detached = true;
    Ok(is_done)
}

/// About how many steps it takes.
pub(super) fn weigh(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> usize {
    let bytes_of = |key| context.string_bytes(key).unwrap_or(0) + 1;
    let pairs = bytes_of(arguments.take()).saturating_mul(bytes_of(arguments.take()));
    pairs / PAIRS_PER_STEP
}

fn begin(context: &ReadContext<'_>, mut arguments: Arguments<'_>) -> Result<Work, CommandError> {
    let not_strings = |_| CommandError::fixed(words::LCS_NOT_STRINGS);
    let mut take = || context.find_string(arguments.take()).map_err(not_strings);
    let (left, right) = (take()?, take()?);
    let (left, right) = (left.unwrap_or(b""), right.unwrap_or(b""));
    let options = parse(arguments)?;
    let pairs = (left.len() + 1).saturating_mul(right.len() + 1);
    if pairs.saturating_mul(PAIR_BYTES) > STRING_BYTES_MAX {
        return Err(CommandError::fixed(words::LCS_TOO_LONG));
    }
    Ok(Work {
        lengths: vec![0; right.len() + 1],
        leads_up: vec![0; pairs.div_ceil(u64::BITS as usize)],
        left: left.into(),
        right: right.into(),
        options,
        diagonal: 0,
        row: 1,
        column: 1,
        back: None,
        found: Vec::new(),
        matches: Vec::new(),
    })
}

fn parse(mut arguments: Arguments<'_>) -> Result<Options, CommandError> {
    let mut options = Options::default();
    while !arguments.is_empty() {
        if arguments.take_word("idx") {
            options.index = true;
        } else if arguments.take_word("len") {
            options.length = true;
        } else if arguments.take_word("withmatchlen") {
            options.with_match_length = true;
        } else if arguments.len() > 1 && arguments.take_word("minmatchlen") {
            options.match_bytes_min = arguments.take_integer()?.max(0);
        } else {
            return Err(CommandError::fixed(words::SYNTAX));
        }
    }
    if options.index && options.length {
        return Err(CommandError::fixed(words::LCS_LEN_AND_IDX));
    }
    Ok(options)
}

impl Work {
    /// Goes on with the lengths; true when all are known.
    fn fill(&mut self, context: &ReadContext<'_>) -> bool {
        while self.row <= self.left.len() && !self.right.is_empty() {
            if context.is_spent() {
                return false;
            }
            let end = (self.column + PAIRS_PER_STEP).min(self.right.len() + 1);
            self.fill_row(end);
            context.spend(1);
            if end > self.right.len() {
                self.row += 1;
                self.column = 1;
                self.diagonal = 0;
            }
        }
        true
    }

    fn fill_row(&mut self, end: usize) {
        let byte = self.left[self.row - 1];
        for column in self.column..end {
            let (up, before) = (self.lengths[column], self.lengths[column - 1]);
            self.lengths[column] = if byte == self.right[column - 1] {
                self.diagonal + 1
            } else {
                if up > before {
                    let pair = self.row * (self.right.len() + 1) + column;
                    self.leads_up[pair / 64] |= 1 << (pair % 64);
                }
                up.max(before)
            };
            self.diagonal = up;
        }
        self.column = end;
    }

    /// Goes on from the end to the begin, collecting what is common; true when it is there.
    fn walk_back(&mut self, context: &ReadContext<'_>) -> bool {
        if self.options.length {
            return true;
        }
        let (mut row, mut column) = self.back.unwrap_or((self.left.len(), self.right.len()));
        let mut work = 0;
        let is_done = loop {
            if row == 0 || column == 0 {
                break true;
            }
            if work == PAIRS_PER_STEP {
                work = 0;
                context.spend(1);
            }
            if context.is_spent() {
                break false;
            }
            work += 1;
            let pair = row * (self.right.len() + 1) + column;
            if self.left[row - 1] == self.right[column - 1] {
                (row, column) = (row - 1, column - 1);
                self.found.push(self.left[row]);
                self.note(row, column);
            } else if self.leads_up[pair / 64] & 1 << (pair % 64) != 0 {
                row -= 1;
            } else {
                column -= 1;
            }
        };
        self.back = Some((row, column));
        is_done
    }

    /// The bytes at these places are equal and belong to the sequence.
    fn note(&mut self, left: usize, right: usize) {
        match self.matches.last_mut() {
            Some(last) if *last.left.start() == left + 1 && *last.right.start() == right + 1 => {
                *last = Match {
                    left: left..=*last.left.end(),
                    right: right..=*last.right.end(),
                };
            }
            _ => self.matches.push(Match {
                left: left..=left,
                right: right..=right,
            }),
        }
    }

    fn render(&mut self, reply: &mut ReplyWriter<'_>) {
        let length = self.lengths.last().copied().unwrap_or(0);
        let options = self.options;
        if options.length {
            return reply.integer(i64::from(length));
        }
        if !options.index {
            self.found.reverse();
            return reply.bulk(&self.found);
        }
        let bytes_of = |found: &Match| (found.left.end() - found.left.start() + 1) as i64;
        let long_enough = |found: &&Match| bytes_of(found) >= options.match_bytes_min;
        reply.map(2);
        reply.bulk_str("matches");
        reply.array(self.matches.iter().filter(long_enough).count());
        for found in self.matches.iter().filter(long_enough) {
            reply.array(2 + usize::from(options.with_match_length));
            for range in [&found.left, &found.right] {
                reply.array(2);
                reply.integer(*range.start() as i64);
                reply.integer(*range.end() as i64);
            }
            if options.with_match_length {
                reply.integer(bytes_of(found));
            }
        }
        reply.bulk_str("len");
        reply.integer(i64::from(length));
    }
}
