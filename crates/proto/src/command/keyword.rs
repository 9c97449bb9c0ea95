//! Keys that stand behind a word of their own, such as STORE, and keys that no argument names.

use std::ops::Range;

/// How such keys are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWord {
    /// The word in front of the key; empty where the value of another key says which keys there are. The last one
    /// counts, as in Redis.
    pub word: &'static str,
    /// Argument that may be the word, at first.
    pub start: u8,
    /// Other words, and how many arguments behind each belong to it.
    pub others: &'static [(&'static str, u8)],
    /// COMMAND INFO says `unknown` of it, as Redis does, and not where it begins.
    pub is_unknown: bool,
}

impl KeyWord {
    /// Position of its key, or nothing, in a request of which `arguments` are those from [`KeyWord::start`] on.
    pub fn find<'a>(&self, arguments: impl Iterator<Item = &'a [u8]>) -> Range<usize> {
        let (mut found, mut left_out, mut is_next) = (0..0, 0, false);
        if self.word.is_empty() {
            return found;
        }
        for (position, argument) in (usize::from(self.start)..).zip(arguments) {
            let is = |word: &str| argument.eq_ignore_ascii_case(word.as_bytes());
            if std::mem::take(&mut is_next) {
                found = position..position + 1;
            } else if left_out > 0 {
                left_out -= 1;
            } else if is(self.word) {
                is_next = true;
            } else if let Some((_, count)) = self.others.iter().find(|(word, _)| is(word)) {
                left_out = *count;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stands_behind_the_last_word_that_is_one() {
        let word = KeyWord {
            word: "store",
            start: 2,
            others: &[("get", 1), ("limit", 2)],
            is_unknown: true,
        };
        let check = |request: &str, expect: Range<usize>| {
            let arguments = request.split(' ').skip(2).map(str::as_bytes);
            assert_eq!(word.find(arguments), expect, "{request}");
        };
        check("sort k store d", 3..4);
        check("sort k STORE d alpha Store e", 6..7);
        check("sort k get store", 0..0);
        check("sort k get store store d", 5..6);
        check("sort k limit store store store d", 6..7);
        check("sort k store get store d", 5..6);
        check("sort k store", 0..0);
        check("sort store", 0..0);
    }
}
