//! Where keys are among the words of a request.

use super::*;

#[test]
fn key_positions_count_from_both_ends() {
    let check = |first, last, step, count, expect: &[usize]| {
        let keys = KeySpec { first, last, step };
        assert_eq!(keys.positions(count).collect::<Vec<_>>(), expect);
    };
    check(1, 1, 1, 2, &[1]);
    check(1, -1, 1, 4, &[1, 2, 3]);
    check(1, -1, 2, 5, &[1, 3]);
    check(1, 2, 1, 3, &[1, 2]);
    check(2, 2, 1, 3, &[2]);
    check(0, 0, 0, 9, &[]);
    check(1, 1, 1, 1, &[]);
}

#[test]
fn a_count_says_how_many_keys_follow_it() {
    let check = |words: &[&str], expect: &[usize]| {
        let keys = KeySpec {
            first: 2,
            last: 0,
            step: 2,
        };
        let key_use = KeyUse {
            keys,
            count_at: 1,
            keyword: "",
            word: None,
            flags: &[],
            notes: "",
        };
        let argument = |index: usize| words.get(index).map(|word| word.as_bytes());
        let found: Vec<_> = key_use.positions(words.len(), argument).collect();
        assert_eq!(found, expect, "{words:?}");
    };
    check(&["msetex", "2", "a", "1", "b", "2", "NX"], &[2, 4]);
    check(&["msetex", "1", "a", "1"], &[2]);
    for count in ["2", "0", "-1", "x", "", "01", "99999999999999999999"] {
        check(&["msetex", count, "a", "1"], &[]);
    }
}

#[test]
fn keys_of_streams_are_the_first_half_behind_a_word() {
    let keys = KeySpec {
        first: 1,
        last: -1,
        step: 1,
    };
    let key_use = KeyUse {
        keys,
        count_at: 0,
        keyword: "STREAMS",
        word: None,
        flags: &[],
        notes: "",
    };
    let check = |words: &str, expect: &[usize]| {
        let words: Vec<_> = words.split(' ').collect();
        let argument = |index: usize| words.get(index).map(|word| word.as_bytes());
        let found: Vec<_> = key_use.positions(words.len(), argument).collect();
        assert_eq!(found, expect, "{words:?}");
    };
    check("xread streams a 0", &[2]);
    check("xread count 2 BLOCK 0 streams a b 0 0", &[6, 7]);
    check("xreadgroup group streams streams noack streams streams >", &[6]);
    check("xread streams", &[]);
    check("xread streams a b 0", &[2]);
    check("xread other streams a 0", &[3]);
    check("xread block", &[]);
}
