//! Sorted sets: members, scores and ranks. Ranges are in [`super::sorted_set_ranges`].

use super::prelude::*;
use super::sorted_set_ranges::{READ, WITHSCORES};

const BASE: Spec = Spec {
    extra_categories: category::SORTEDSET,
    keys: ONE,
    ..row(Group::SortedSet)
};
/// A command that takes members out and tells them.
const POP: Spec = Spec {
    flags: WRITE | FAST,
    key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
    ..BASE
};
/// The same for the first key that has a member, or that gets one.
const WAITING_POP: Spec = Spec {
    arity: -3,
    flags: WRITE | NOSCRIPT | FAST | BLOCKING,
    keys: BUT_LAST,
    key_uses: &[key_use(BUT_LAST, &["RW", "access", "delete"])],
    since: "5.0.0",
    complexity: "O(log N), the size of the sorted set",
    arguments: &[KEY.multiple(), TIMEOUT],
    ..BASE
};
const MEMBER: Argument = value("member", String);
const MEMBERS: Argument = MEMBER.multiple();
const COUNT: Argument = value("count", Integer).optional();

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(384),
        name: "zadd",
        arity: -4,
        flags: WRITE | DENYOOM | FAST,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "1.2.0",
        complexity: "O(log N) for each member, the size of the sorted set",
        summary: "Give members of a sorted set their scores",
        arguments: &[
            KEY,
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")])
                .since("3.0.2")
                .optional(),
            one_of("comparison", &[token("gt", "GT"), token("lt", "LT")])
                .since("6.2.0")
                .optional(),
            token("change", "CH").since("3.0.2").optional(),
            token("increment", "INCR").since("3.0.2").optional(),
            block("score_member", &[value("score", Double), MEMBER]).multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(385),
        name: "zincrby",
        arity: 4,
        flags: WRITE | DENYOOM | FAST,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "1.2.0",
        complexity: "O(log N), the size of the sorted set",
        summary: "Add to the score of a member of a sorted set",
        arguments: &[KEY, value("increment", Integer), MEMBER],
        ..BASE
    },
    Spec {
        id: CommandId::new(386),
        name: "zrem",
        arity: -3,
        flags: WRITE | FAST,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "1.2.0",
        complexity: "O(log N) for each member, the size of the sorted set",
        summary: "Remove members of a sorted set, and the set with its last one",
        arguments: &[KEY, MEMBERS],
        ..BASE
    },
    Spec {
        id: CommandId::new(387),
        name: "zscore",
        arity: 3,
        flags: READONLY | FAST,
        since: "1.2.0",
        complexity: "O(log N), the size of the sorted set",
        summary: "Tell the score of a member of a sorted set",
        arguments: &[KEY, MEMBER],
        ..READ
    },
    Spec {
        id: CommandId::new(388),
        name: "zmscore",
        arity: -3,
        flags: READONLY | FAST,
        since: "6.2.0",
        complexity: "O(M log N), the members and the size of the sorted set",
        summary: "Tell the scores of several members of a sorted set",
        arguments: &[KEY, MEMBERS],
        ..READ
    },
    Spec {
        id: CommandId::new(389),
        name: "zcard",
        arity: 2,
        flags: READONLY | FAST,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Count the members of a sorted set",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(392),
        name: "zrank",
        arity: -3,
        flags: READONLY | FAST,
        since: "2.0.0",
        complexity: "O(log N), the size of the sorted set",
        summary: "Tell how many members of a sorted set come before one",
        arguments: &[
            KEY,
            MEMBER,
            token("withscore", "WITHSCORE").since("7.2.0").optional(),
        ],
        ..READ
    },
    Spec {
        id: CommandId::new(393),
        name: "zrevrank",
        arity: -3,
        flags: READONLY | FAST,
        since: "2.0.0",
        complexity: "O(log N), the size of the sorted set",
        summary: "Tell how many members of a sorted set come behind one",
        arguments: &[
            KEY,
            MEMBER,
            token("withscore", "WITHSCORE").since("7.2.0").optional(),
        ],
        ..READ
    },
    Spec {
        id: CommandId::new(405),
        name: "zpopmin",
        arity: -2,
        since: "5.0.0",
        complexity: "O(M log N), how many are asked for and the size of the sorted set",
        summary: "Take the members with the lowest scores out of a sorted set",
        arguments: &[KEY, COUNT],
        ..POP
    },
    Spec {
        id: CommandId::new(406),
        name: "zpopmax",
        arity: -2,
        since: "5.0.0",
        complexity: "O(M log N), how many are asked for and the size of the sorted set",
        summary: "Take the members with the highest scores out of a sorted set",
        arguments: &[KEY, COUNT],
        ..POP
    },
    Spec {
        id: CommandId::new(408),
        name: "zrandmember",
        arity: -2,
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        complexity: "O(N), how many are asked for",
        summary: "Take members of a sorted set at random, without removing them",
        arguments: &[
            KEY,
            block("options", &[value("count", Integer), WITHSCORES]).optional(),
        ],
        ..READ
    },
    Spec {
        id: CommandId::new(409),
        name: "zscan",
        arity: -3,
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) a call, O(N) the whole",
        summary: "Go through the members of a sorted set, some with each call",
        arguments: &[
            KEY,
            value("cursor", Integer),
            value("pattern", Pattern).after("MATCH").optional(),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..READ
    },
    Spec {
        id: CommandId::new(417),
        name: "bzpopmin",
        summary: "Take the member with the lowest score out of the first sorted set that has any, or wait for one",
        ..WAITING_POP
    },
    Spec {
        id: CommandId::new(418),
        name: "bzpopmax",
        summary: "Take the member with the highest score out of the first sorted set that has any, or wait for one",
        ..WAITING_POP
    },
    Spec {
        id: CommandId::new(419),
        name: "bzmpop",
        arity: -5,
        flags: WRITE | BLOCKING | MOVABLE_KEYS,
        keys: KeySpec::NONE,
        key_uses: &[counted_keys(2, 1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(K + M log N), the keys, how many are asked for and the size of the sorted set",
        summary: "Take members out of the first of several sorted sets that has any, or wait for one",
        arguments: &[
            TIMEOUT,
            value("numkeys", Integer),
            KEY.multiple(),
            one_of("where", &[token("min", "MIN"), token("max", "MAX")]),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..BASE
    },
];
