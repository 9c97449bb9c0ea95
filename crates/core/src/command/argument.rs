//! Where the byte strings of a command come from: straight from a client's request ([`ArgSlice`]) or
//! from an encoded op. [`Keys`] and [`Pairs`] hide the difference, so that commands with any number of
//! arguments are typed, `Copy`, and never collected into a `Vec`.

use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::{CommandError, parse_i64};
use crate::packed::{Corrupt, Sink, corrupt, put_bytes, put_varint, take_bytes, take_varint};

/// Any number of byte strings from either source.
#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Args(ArgSlice<'a>),
    /// Checked when it was taken: `bytes` holds exactly `count` byte strings.
    Encoded {
        count: usize,
        bytes: &'a [u8],
    },
}

impl<'a> List<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Args(args) => args.len(),
            Self::Encoded { count, .. } => *count,
        }
    }

    fn iter(&self) -> ListIter<'a> {
        ListIter { rest: *self }
    }

    fn encode(&self, out: &mut impl Sink) {
        put_varint(out, self.len() as u64);
        match self {
            Self::Args(args) => (0..args.len()).for_each(|index| put_bytes(out, args.get(index))),
            Self::Encoded { bytes, .. } => out.extend_from_slice(bytes),
        }
    }

    fn encoded(&self) -> (usize, &'a [u8]) {
        match *self {
            Self::Encoded { count, bytes } => (count, bytes),
            Self::Args(_) => panic!("only what was decoded is executed in slices"),
        }
    }

    fn get(&self, index: usize) -> Option<&'a [u8]> {
        match self {
            Self::Args(args) => args.try_get(index),
            Self::Encoded { .. } => self.iter().nth(index),
        }
    }

    fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let count = take_varint(input)?;
        // Each byte string needs at least its length byte, so this bounds the walk below.
        if count > input.len() as u64 {
            return corrupt("as many arguments as the count says");
        }
        let start = *input;
        for _ in 0..count {
            take_bytes(input)?;
        }
        let bytes = &start[..start.len() - input.len()];
        Ok(Self::Encoded {
            count: count as usize,
            bytes,
        })
    }
}

#[derive(Clone, Debug)]
struct ListIter<'a> {
    rest: List<'a>,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.rest {
            List::Args(args) => {
                let item = (!args.is_empty()).then(|| args.get(0))?;
                *args = args.skip(1);
                Some(item)
            }
            List::Encoded { count, bytes } => {
                *count = count.checked_sub(1)?;
                Some(take_bytes(bytes).expect("the list was checked when it was decoded"))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len(), Some(self.rest.len()))
    }
}

/// The arguments of a [`super::Call`] behind its name, and how far they have been taken: reading is in order. Taking
/// beyond the end gives empty arguments, so that what was checked before, and bytes of a peer that were not, need no
/// other code.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    rest: List<'a>,
    taken: usize,
}

impl<'a> Arguments<'a> {
    /// All of `args` (the name is not among them).
    pub fn new(args: ArgSlice<'a>) -> Self {
        Self {
            rest: List::Args(args),
            taken: 0,
        }
    }

    /// `count` arguments, each with its length in front, as [`Arguments::encoded`] gave them.
    pub(crate) fn from_encoded((count, bytes): (usize, &'a [u8])) -> Self {
        Self {
            rest: List::Encoded { count, bytes },
            taken: 0,
        }
    }

    /// How many are not taken yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// True when all are taken.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were taken.
    #[inline]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The next one, or an empty one at the end.
    #[inline]
    pub fn take(&mut self) -> &'a [u8] {
        let mut iter = self.rest.iter();
        let Some(argument) = iter.next() else { return b"" };
        self.rest = iter.rest;
        self.taken += 1;
        argument
    }

    /// The next one as an integer.
    ///
    /// # Errors
    /// Redis' error for one that is none.
    pub fn take_integer(&mut self) -> Result<i64, CommandError> {
        parse_i64(self.take()).ok_or(CommandError::fixed(words::NOT_AN_INTEGER))
    }

    /// Takes the next one if it is this word, whatever its case.
    pub fn take_word(&mut self, word: &str) -> bool {
        let is_next = self.peek().eq_ignore_ascii_case(word.as_bytes());
        if is_next {
            self.take();
        }
        is_next
    }

    /// The next one, which is not taken; an empty one at the end.
    #[inline]
    pub fn peek(&self) -> &'a [u8] {
        self.rest.get(0).unwrap_or(b"")
    }

    /// Leaves out the next `count`.
    pub fn skip(&mut self, count: usize) {
        (0..count.min(self.len())).for_each(|_| {
            self.take();
        });
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.rest.get(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.rest.iter()
    }

    /// Bytes of all that are not taken.
    pub(crate) fn total_bytes(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    pub(super) fn encode(&self, out: &mut impl Sink) {
        self.rest.encode(out);
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let rest = List::decode(input)?;
        Ok(Self { rest, taken: 0 })
    }

    /// Number and bytes of arguments that were decoded.
    ///
    /// # Panics
    /// If they come straight from a request.
    pub(crate) fn encoded(&self) -> (usize, &'a [u8]) {
        self.rest.encoded()
    }
}

impl PartialEq for Arguments<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Arguments<'_> {}

/// The keys of a command that takes any number of them.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a>(List<'a>);

impl<'a> Keys<'a> {
    /// All of `args` are keys (the name is not among them).
    pub fn new(args: ArgSlice<'a>) -> Self {
        Self(List::Args(args))
    }

    /// Number of keys, duplicates counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none; no parsed command is so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys in the order of the request.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.iter()
    }

    pub(super) fn encode(&self, out: &mut impl Sink) {
        self.0.encode(out);
    }

    /// Number and bytes of keys that were decoded.
    ///
    /// # Panics
    /// If they come straight from a request.
    pub(crate) fn encoded(&self) -> (usize, &'a [u8]) {
        self.0.encoded()
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        List::decode(input).map(Self)
    }
}

impl PartialEq for Keys<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Keys<'_> {}

/// The key-value pairs of MSET and MSETNX.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(List<'a>);

impl<'a> Pairs<'a> {
    /// `args` are keys and values in turn. Panics when their number is odd.
    pub fn new(args: ArgSlice<'a>) -> Self {
        assert!(args.len().is_multiple_of(2), "every key has a value");
        Self(List::Args(args))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// True when there is none; no parsed command is so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// (key, value) in the order of the request.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut list = self.0.iter();
        std::iter::from_fn(move || Some((list.next()?, list.next()?)))
    }

    pub(super) fn encode(&self, out: &mut impl Sink) {
        self.0.encode(out);
    }

    /// True for pairs that were decoded and take more than so many bytes together.
    pub(crate) fn exceed(&self, bytes_max: usize) -> bool {
        matches!(self.0, List::Encoded { bytes, .. } if bytes.len() > bytes_max)
    }

    /// Number and bytes of keys and values in turn that were decoded.
    ///
    /// # Panics
    /// If they come straight from a request.
    pub(crate) fn encoded(&self) -> (usize, &'a [u8]) {
        self.0.encoded()
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let list = List::decode(input)?;
        if !list.len().is_multiple_of(2) {
            return corrupt("an even number of arguments");
        }
        Ok(Self(list))
    }
}

impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Pairs<'_> {}
