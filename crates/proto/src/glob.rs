//! Glob patterns as KEYS, SCAN, CONFIG GET and COMMAND LIST of Redis match them.
//!
//! `?` is any byte, `*` any run of bytes, `[abc]`, `[^a]` and `[a-z]` classes, and a backslash makes the
//! next byte literal, inside classes too. Oddities of Redis that hold here as well: a class that is not
//! closed ends with the pattern; the bounds of a range may be in either order and compare as signed
//! bytes; a lone backslash at the end is literal.
//!
//! It works on bytes, not characters, and without recursion: every element but `*` takes exactly one
//! byte, so on a mismatch only the last `*` needs to try again, which bounds the time by pattern length
//! times text length. A matcher that tries again at every `*` is exponential.

/// True if `pattern` matches all of `text`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern_rest, mut text_rest) = (pattern, text);
    // Behind the last star: what to match next, and the text where the last try began.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = pattern_rest {
            if after.is_empty() {
                return true;
            }
            retry = Some((after, text_rest));
            pattern_rest = after;
            continue;
        }
        let step = match text_rest.split_first() {
            None if pattern_rest.is_empty() => return true,
            // Nothing behind the last star can match an empty text, however the star stretches.
            None => return false,
            Some((byte, text_after)) => element(pattern_rest, *byte).map(|after| (after, text_after)),
        };
        if let Some(next) = step {
            (pattern_rest, text_rest) = next;
        } else if let Some((after_star, [_, text_after @ ..])) = retry {
            retry = Some((after_star, text_after));
            (pattern_rest, text_rest) = (after_star, text_after);
        } else {
            return false;
        }
    }
}

/// True if `pattern` matches nothing but itself, so that a lookup can replace a scan.
pub fn is_literal(pattern: &[u8]) -> bool {
    memchr::memchr3(b'*', b'?', b'[', pattern).is_none() && memchr::memchr(b'\\', pattern).is_none()
}

/// Matches the element at the start of `pattern` (not a star) against one byte; returns the pattern
/// behind it.
fn element(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', b'^', class @ ..] => negate(class_match(class, byte)),
        [b'[', class @ ..] => match class_match(class, byte) {
            (true, after) => Some(after),
            (false, _) => None,
        },
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
    }
}

fn negate((matched, after): (bool, &[u8])) -> Option<&[u8]> {
    (!matched).then_some(after)
}

/// Whether a class has this byte, and the pattern behind its closing bracket.
fn class_match(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut matched = false;
    loop {
        class = match class {
            [b'\\', literal, after @ ..] => {
                matched |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (matched, after),
            [] => return (matched, class),
            [from, b'-', to, after @ ..] => {
                let (from, to, byte) = (*from as i8, *to as i8, byte as i8);
                matched |= (from.min(to)..=from.max(to)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                matched |= *literal == byte;
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern:?} {text:?}"
            );
        }
        for text in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern:?} {text:?}"
            );
        }
    }

    #[test]
    fn stars_and_question_marks() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "abc"], &[]);
        check("***", &["", "abc"], &[]);
        check("a*", &["a", "abc"], &["", "ba"]);
        check("*c", &["c", "abc", "cc"], &["", "cb"]);
        check("a*c*e", &["ace", "abcde", "accee"], &["ac", "abcd"]);
        check("h?llo", &["hello", "hallo"], &["hllo", "heello"]);
        check("?", &["a"], &["", "ab"]);
        check("*a*b", &["aab", "ab", "xaxbab"], &["aba"]);
    }

    #[test]
    fn classes() {
        check("h[ae]llo", &["hello", "hallo"], &["hillo"]);
        check("h[^e]llo", &["hallo"], &["hello"]);
        check("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("[b-a]", &["a", "b"], &["c"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[a-]", &["a"], &["x"]);
        check("[]", &[], &["", "a", "]"]);
        check("[^]", &["a", "]"], &[""]);
        check("[abc", &["a", "c"], &["d", "["]);
        check("x[*?]y", &["x*y", "x?y"], &["xay"]);
    }

    #[test]
    fn escapes() {
        check("a\\*b", &["a*b"], &["axb"]);
        check("a\\?", &["a?"], &["ab"]);
        check("\\\\", &["\\"], &["\\\\"]);
        check("a\\", &["a\\"], &["a"]);
        check("\\a", &["a"], &["\\a"]);
    }

    #[test]
    fn ranges_compare_signed_bytes_as_redis_does() {
        assert!(matches(b"[\x80-\x7f]", b"\x00"));
        assert!(matches(b"[a-\xff]", b"\x05"));
        assert!(!matches(b"[a-\xff]", b"z"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        let pattern = "a*".repeat(2000) + "b";
        let text = "a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn literals_are_recognised() {
        assert!(is_literal(b"user:1"));
        for pattern in ["a*", "a?", "[a]", "a\\b"] {
            assert!(!is_literal(pattern.as_bytes()));
        }
    }

    /// The definition, without regard for time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', after @ ..], _) => (0..=text.len()).any(|skip| naive(after, &text[skip..])),
            ([], _) | (_, []) => pattern.is_empty() && text.is_empty(),
            (_, [byte, rest @ ..]) => element(pattern, *byte).is_some_and(|after| naive(after, rest)),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in r"[ab*?\[\]^\\-]{0,10}", text in r"[ab\]^-]{0,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), naive(pattern, text));
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>()) {
            let _ = matches(&pattern, &text);
        }
    }
}
