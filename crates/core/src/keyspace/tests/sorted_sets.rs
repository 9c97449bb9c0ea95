//! Sorted sets of both forms against a sorted list, and what Redis 7.0 does not have.

use super::{Fixture, requests};
use crate::collection::testing::Random;

/// Members in order.
type Model = Vec<(i64, String)>;

fn put(model: &mut Model, member: &str, score: i64) {
    model.retain(|(_, other)| other != member);
    model.push((score, member.to_owned()));
    model.sort();
}

fn reply_of(members: &[(i64, String)]) -> String {
    let members = members
        .iter()
        .flat_map(|(score, member)| [member.clone(), score.to_string()]);
    let members: Vec<_> = members.map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", members.join(", "))
}

/// An end of a range as a text, and the first or last score that is inside of it.
fn end(random: &mut Random, step: i64) -> (String, i64) {
    let score = random.below(60) as i64 - 5;
    match random.below(2) {
        0 => (score.to_string(), score),
        _ => (format!("({score}"), score + step),
    }
}

/// One range by score, forward or not, whole or a part of it.
fn check_scores(fixture: &mut Fixture, model: &Model, random: &mut Random) {
    let ((least, first), (most, last)) = (end(random, 1), end(random, -1));
    let inside = model.iter().filter(|(score, _)| (first..=last).contains(score));
    let mut inside: Model = inside.cloned().collect();
    let count = fixture.run(&format!("ZCOUNT z {least} {most}"));
    assert_eq!(count, inside.len().to_string(), "{least} {most}");
    let (offset, limit) = (random.below(20) as usize, random.below(30) as usize);
    let script = if random.below(2) == 0 {
        format!("ZRANGE z {least} {most} BYSCORE LIMIT {offset} {limit} WITHSCORES")
    } else {
        inside.reverse();
        format!("ZREVRANGEBYSCORE z {most} {least} WITHSCORES LIMIT {offset} {limit}")
    };
    let part: Model = inside.into_iter().skip(offset).take(limit).collect();
    assert_eq!(fixture.run(&script), reply_of(&part), "{script}");
}

/// One range by rank, and the rank of one member.
fn check_ranks(fixture: &mut Fixture, model: &Model, random: &mut Random) {
    let (start, count) = (
        random.below(model.len() as u64) as usize,
        random.below(40) as usize,
    );
    let part = &model[start..model.len().min(start + count + 1)];
    let (from_end, to_end) = (model.len() - start, model.len() as i64 - (start + count) as i64);
    let script = match to_end {
        1.. => format!("ZRANGE z -{from_end} -{to_end} WITHSCORES"),
        _ => format!("ZRANGE z {start} {} WITHSCORES", start + count),
    };
    assert_eq!(fixture.run(&script), reply_of(part), "{script}");
    let (_, member) = &model[start];
    let ranks = fixture.run(&format!("ZRANK z {member} ; ZREVRANK z {member}"));
    assert_eq!(ranks, format!("{start} ; {}", from_end - 1));
}

#[test]
fn a_sorted_set_is_a_sorted_list_in_both_forms() {
    for (seed, members) in [(1, 60), (2, 900), (3, 900)] {
        let (mut fixture, mut model, mut random) = (Fixture::new(), Model::new(), Random(seed));
        for _ in 0..members * 2 {
            let (member, score) = (format!("m{}", random.below(members)), random.below(50) as i64);
            fixture.run(&format!("ZADD z {score} {member}"));
            put(&mut model, &member, score);
        }
        for turn in 0..300 {
            check_scores(&mut fixture, &model, &mut random);
            check_ranks(&mut fixture, &model, &mut random);
            if turn % 30 == 0 {
                let rank = random.below(model.len() as u64 - 2) as usize;
                fixture.run(&format!("ZREMRANGEBYRANK z {rank} {}", rank + 1));
                model.drain(rank..rank + 2);
                let popped = model.pop().expect("it has members");
                assert_eq!(fixture.run("ZPOPMAX z"), reply_of(&[popped]));
            }
        }
        let encoding = if members > 128 { "skiplist" } else { "listpack" };
        assert_eq!(fixture.run("OBJECT ENCODING z"), format!("\"{encoding}\""));
        assert_eq!(fixture.run("ZRANGE z 0 -1 WITHSCORES"), reply_of(&model));
    }
}

#[test]
fn ranks_are_told_with_scores_as_in_redis_7_2() {
    for (resp3, score, none) in [(false, "$3\r\n2.5\r\n", "*-1\r\n"), (true, ",2.5\r\n", "_\r\n")] {
        let mut fixture = Fixture {
            resp3,
            ..Fixture::new()
        };
        fixture.run("ZADD z 1 a 2.5 b 3 c 4 d");
        for (script, expect) in [
            ("ZRANK z b WITHSCORE", format!("*2\r\n:1\r\n{score}")),
            ("ZREVRANK z b withscore", format!("*2\r\n:2\r\n{score}")),
            ("ZRANK z nothing WITHSCORE", none.to_owned()),
            ("ZREVRANK nothing b WITHSCORE", none.to_owned()),
            ("ZRANK z b x", "-ERR syntax error\r\n".to_owned()),
            ("ZRANK z b WITHSCORE x", "-ERR syntax error\r\n".to_owned()),
        ] {
            let reply = fixture.execute(&requests(script)[0]);
            assert_eq!(String::from_utf8_lossy(&reply), expect, "{script}");
        }
    }
}

#[test]
fn what_sets_have_together_is_told_with_the_sign_of_zero_and_stored_without() {
    let mut fixture = Fixture::new();
    fixture.run("ZADD z 0 a 1 b");
    for (script, expect) in [
        ("ZUNION 1 z WEIGHTS -1 WITHSCORES", r#"["b", "-1", "a", "-0"]"#),
        ("ZUNIONSTORE z 1 z WEIGHTS -1", "2"),
        ("ZRANGE z 0 -1 WITHSCORES", r#"["b", "-1", "a", "0"]"#),
    ] {
        assert_eq!(fixture.run(script), expect, "{script}");
    }
}
