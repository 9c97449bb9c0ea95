//! What patterns match, and what that costs.

use super::*;
use proptest::prelude::*;

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    Glob::new(pattern).matches(text)
}

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

/// What compiling and matching cost together, and whether the pattern matches.
fn work_of(pattern: &[u8], text: &[u8]) -> (usize, bool) {
    let (mut glob, mut progress) = (Glob::default(), Progress::default());
    let mut rest = usize::MAX;
    assert!(glob.compile(pattern, &mut rest));
    let matched = glob.advance(text, &mut progress, &mut rest);
    (usize::MAX - rest, matched == Some(true))
}

#[test]
fn a_long_class_costs_its_length_once_whatever_the_text() {
    let pattern = [b"*[", &b"a".repeat(40_000)[..], b"]"].concat();
    let (work, matched) = work_of(&pattern, &b"b".repeat(100_000));
    assert!(!matched);
    assert!(work < pattern.len() + 10, "{work}");
    let pattern = [b"*[", &b"a".repeat(40_000)[..], b"]c*"].concat();
    let (work, matched) = work_of(&pattern, &b"b".repeat(100_000));
    assert!(!matched);
    assert!(work < pattern.len() + 100_010, "{work}");
}

#[test]
fn literal_segments_are_searched_in_linear_time() {
    let almost = [&b"a".repeat(40_000)[..], b"b"].concat();
    let text = b"a".repeat(100_000);
    for pattern in [
        [b"*", &almost[..]].concat(),
        [b"*", &almost[..], b"*"].concat(),
        [&almost[..], b"*"].concat(),
        [b"*", &almost[..], b"*", &almost[..], b"*"].concat(),
    ] {
        let (work, matched) = work_of(&pattern, &text);
        assert!(!matched);
        assert!(work <= 3 * (pattern.len() + text.len()), "{work}");
    }
}

#[test]
fn no_more_work_is_done_at_once_than_allowed() {
    let pattern = [b"*?", &b"[ab]a".repeat(500)[..], b"c*"].concat();
    let text = b"a".repeat(20_000);
    let (mut glob, mut slices) = (Glob::default(), 0);
    while !glob.compile(&pattern, &mut 100) {
        slices += 1;
    }
    assert!(slices >= pattern.len() / 500, "{slices}");
    let (mut progress, mut slices) = (Progress::default(), 0u64);
    let matched = loop {
        let mut work = 1_000;
        if let Some(matched) = glob.advance(&text, &mut progress, &mut work) {
            break matched;
        }
        assert_eq!(work, 0);
        slices += 1;
    };
    assert!(!matched);
    // A segment with classes costs its length at every place, and no more.
    assert!((10_000..=20_000).contains(&slices), "{slices}");
}

#[test]
fn every_range_of_bytes_holds_what_is_between_its_bounds() {
    let ends = [0, 1, 63, 64, 100, 127, 128, 191, 192, 255];
    let starts = (0..=u8::MAX).filter(|from| !b"^\\]".contains(from));
    for (from, to) in starts.flat_map(|from| ends.map(|to| (from, to))) {
        let glob = Glob::new(&[b'[', from, b'-', to, b']']);
        let (low, high) = ((from as i8).min(to as i8), (from as i8).max(to as i8));
        for byte in 0..=u8::MAX {
            let is_between = (low..=high).contains(&(byte as i8));
            assert_eq!(glob.matches(&[byte]), is_between, "{byte} of {from} to {to}");
        }
    }
}

#[test]
fn a_compiled_pattern_takes_a_bounded_multiple_of_its_bytes() {
    for part in [
        &b"a"[..],
        b"*a",
        b"?",
        b"[ab]",
        b"*[ab]",
        b"[^a]",
        b"\\a",
        b"[a-z]?*",
    ] {
        let pattern = part.repeat(PATTERN_BYTES_MAX / part.len());
        let memory_bytes = Glob::new(&pattern).memory_bytes();
        assert!(
            memory_bytes >= pattern.len() / part.len(),
            "{memory_bytes} are counted"
        );
        assert!(
            memory_bytes <= COMPILED_PER_BYTE_MAX * pattern.len(),
            "{} bytes for {} of {}",
            memory_bytes,
            pattern.len(),
            part.escape_ascii()
        );
    }
}

#[test]
fn literals_are_recognised() {
    assert!(is_literal(b"user:1"));
    for pattern in ["a*", "a?", "[a]", "a\\b"] {
        assert!(!is_literal(pattern.as_bytes()));
    }
}

/// The definition of an element (not a star) at the start of a pattern: the pattern behind it, if it takes
/// the byte.
fn element(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', b'^', class @ ..] => {
            let (matched, after) = class_match(class, byte);
            (!matched).then_some(after)
        }
        [b'[', class @ ..] => {
            let (matched, after) = class_match(class, byte);
            matched.then_some(after)
        }
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
    }
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
    fn how_it_is_cut_changes_no_answer(
        pattern in r"[ab*?\[\]^\\-]{0,20}", text in r"[ab]{0,30}", work in 1usize..5
    ) {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        let mut glob = Glob::default();
        while !glob.compile(pattern, &mut { work }) {}
        let mut progress = Progress::default();
        let matched = loop {
            if let Some(matched) = glob.advance(text, &mut progress, &mut { work }) {
                break matched;
            }
        };
        prop_assert_eq!(matched, naive(pattern, text));
    }

    #[test]
    fn any_bytes_are_a_pattern(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>()) {
        let _ = matches(&pattern, &text);
    }
}
