//! Ranges of sorted sets, by rank, score and name.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::SORTEDSET,
    keys: ONE,
    ..row(Group::SortedSet)
};
/// A command that looks at one sorted set.
pub(super) const READ: Spec = Spec {
    flags: READONLY,
    key_uses: &[key_use(ONE, &["RO", "access"])],
    ..BASE
};
/// A command that removes a range.
const REMOVE: Spec = Spec {
    arity: 4,
    flags: WRITE,
    key_uses: &[key_use(ONE, &["RW", "delete"])],
    complexity: "O(log N + M), the size of the sorted set and of the range",
    ..BASE
};
/// A command that tells a range.
const RANGE: Spec = Spec {
    arity: -4,
    complexity: "O(log N + M), the size of the sorted set and of the range",
    ..READ
};
pub(super) const WITHSCORES: Argument = token("withscores", "WITHSCORES").optional();
const LIMIT: Argument = block(
    "offset_count",
    &[value("offset", Integer), value("count", Integer)],
)
.after("LIMIT")
.optional();
const SORT_BY: Argument =
    one_of("sortby", &[token("byscore", "BYSCORE"), token("bylex", "BYLEX")]).optional();
const REV: Argument = token("rev", "REV").optional();
const MIN: Argument = value("min", Double);
const MAX: Argument = value("max", Double);
const MIN_NAME: Argument = value("min", String);
const MAX_NAME: Argument = value("max", String);

const fn replaced(replaced_by: &'static str) -> Option<Deprecation> {
    Some(Deprecation {
        since: "6.2.0",
        replaced_by,
    })
}

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(390),
        name: "zcount",
        arity: 4,
        flags: READONLY | FAST,
        complexity: "O(log N), the size of the sorted set",
        since: "2.0.0",
        summary: "Count the members of a sorted set with scores in a range",
        arguments: &[KEY, MIN, MAX],
        ..RANGE
    },
    Spec {
        id: CommandId::new(391),
        name: "zlexcount",
        arity: 4,
        flags: READONLY | FAST,
        complexity: "O(log N), the size of the sorted set",
        since: "2.8.9",
        summary: "Count the members of a sorted set with names in a range",
        arguments: &[KEY, MIN_NAME, MAX_NAME],
        ..RANGE
    },
    Spec {
        id: CommandId::new(394),
        name: "zrange",
        since: "1.2.0",
        summary: "Name the members of a sorted set in a range of ranks, scores or names",
        arguments: &[
            KEY,
            value("start", String),
            value("stop", String),
            SORT_BY.since("6.2.0"),
            REV.since("6.2.0"),
            LIMIT.since("6.2.0"),
            WITHSCORES,
        ],
        ..RANGE
    },
    Spec {
        id: CommandId::new(395),
        name: "zrangestore",
        arity: -5,
        flags: WRITE | DENYOOM,
        keys: BOTH,
        key_uses: &[
            key_use(ONE, &["OW", "update"]),
            key_use(SECOND, &["RO", "access"]),
        ],
        since: "6.2.0",
        summary: "Store the members of a sorted set in a range of ranks, scores or names",
        arguments: &[
            value("dst", Key(0)),
            value("src", Key(1)),
            MIN_NAME,
            MAX_NAME,
            SORT_BY,
            REV,
            LIMIT,
        ],
        ..RANGE
    },
    Spec {
        id: CommandId::new(396),
        name: "zrangebyscore",
        since: "1.0.5",
        summary: "Name the members of a sorted set with scores in a range",
        deprecated: replaced("`ZRANGE … BYSCORE`"),
        arguments: &[KEY, MIN, MAX, WITHSCORES.since("2.0.0"), LIMIT],
        ..RANGE
    },
    Spec {
        id: CommandId::new(397),
        name: "zrevrange",
        since: "1.2.0",
        summary: "Name the members of a sorted set in a range of ranks from the end",
        deprecated: replaced("`ZRANGE … REV`"),
        arguments: &[KEY, value("start", Integer), value("stop", Integer), WITHSCORES],
        ..RANGE
    },
    Spec {
        id: CommandId::new(398),
        name: "zrevrangebyscore",
        since: "2.2.0",
        summary: "Name the members of a sorted set with scores in a range, the highest first",
        deprecated: replaced("`ZRANGE … BYSCORE REV`"),
        arguments: &[KEY, MAX, MIN, WITHSCORES, LIMIT],
        ..RANGE
    },
    Spec {
        id: CommandId::new(399),
        name: "zrangebylex",
        since: "2.8.9",
        summary: "Name the members of a sorted set in a range of names",
        deprecated: replaced("`ZRANGE … BYLEX`"),
        arguments: &[KEY, MIN_NAME, MAX_NAME, LIMIT],
        ..RANGE
    },
    Spec {
        id: CommandId::new(400),
        name: "zrevrangebylex",
        since: "2.8.9",
        summary: "Name the members of a sorted set in a range of names, the last first",
        deprecated: replaced("`ZRANGE … BYLEX REV`"),
        arguments: &[KEY, MAX_NAME, MIN_NAME, LIMIT],
        ..RANGE
    },
    Spec {
        id: CommandId::new(401),
        name: "zremrangebyrank",
        since: "2.0.0",
        summary: "Remove the members of a sorted set in a range of ranks",
        arguments: &[KEY, value("start", Integer), value("stop", Integer)],
        ..REMOVE
    },
    Spec {
        id: CommandId::new(402),
        name: "zremrangebyscore",
        since: "1.2.0",
        summary: "Remove the members of a sorted set with scores in a range",
        arguments: &[KEY, MIN, MAX],
        ..REMOVE
    },
    Spec {
        id: CommandId::new(403),
        name: "zremrangebylex",
        since: "2.8.9",
        summary: "Remove the members of a sorted set with names in a range",
        arguments: &[KEY, MIN_NAME, MAX_NAME],
        ..REMOVE
    },
];
