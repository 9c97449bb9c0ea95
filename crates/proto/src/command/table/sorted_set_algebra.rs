//! What several sorted sets have together, and what is taken out of the first of several.

use super::prelude::*;
use super::sorted_set_ranges::WITHSCORES;

const BASE: Spec = Spec {
    extra_categories: category::SORTEDSET,
    flags: READONLY | MOVABLE_KEYS,
    arity: -3,
    key_uses: &[counted_keys(1, 1, &["RO", "access"])],
    since: "6.2.0",
    ..row(Group::SortedSet)
};
const STORE: Spec = Spec {
    flags: WRITE | DENYOOM | MOVABLE_KEYS,
    arity: -4,
    keys: ONE,
    key_uses: &[
        key_use(ONE, &["OW", "update"]),
        counted_keys(2, 1, &["RO", "access"]),
    ],
    ..BASE
};
const DESTINATION: Argument = value("destination", Key(0));
const NUMKEYS: Argument = value("numkeys", Integer);
const KEYS: Argument = KEY.multiple();
const SOURCES: Argument = value("key", Key(1)).multiple();
const WEIGHTS: Argument = value("weight", Integer).after("WEIGHTS").optional().multiple();
const AGGREGATE: Argument = one_of(
    "aggregate",
    &[token("sum", "SUM"), token("min", "MIN"), token("max", "MAX")],
)
.after("AGGREGATE")
.optional();
const UNION_TIME: &str = "O(N + M log M), the members of all sorted sets and of the result";
const INTERSECTION_TIME: &str = "O(N × K + M log M), the smallest sorted set, their number, the result";
const DIFFERENCE_TIME: &str = "O(N + M log M), the members of all sorted sets and of the result";

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(407),
        name: "zmpop",
        arity: -4,
        flags: WRITE | MOVABLE_KEYS,
        key_uses: &[counted_keys(1, 1, &["RW", "access", "delete"])],
        since: "7.0.0",
        complexity: "O(K + M log N), the keys, how many are asked for, the size of the sorted set",
        summary: "Take members out of the first of several sorted sets that has any",
        arguments: &[
            NUMKEYS,
            KEYS,
            one_of("where", &[token("min", "MIN"), token("max", "MAX")]),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(410),
        name: "zunion",
        complexity: UNION_TIME,
        summary: "Name what any of several sorted sets has",
        arguments: &[NUMKEYS, KEYS, WEIGHTS, AGGREGATE, WITHSCORES],
        ..BASE
    },
    Spec {
        id: CommandId::new(411),
        name: "zinter",
        complexity: INTERSECTION_TIME,
        summary: "Name what all of several sorted sets have",
        arguments: &[NUMKEYS, KEYS, WEIGHTS, AGGREGATE, WITHSCORES],
        ..BASE
    },
    Spec {
        id: CommandId::new(412),
        name: "zdiff",
        complexity: DIFFERENCE_TIME,
        summary: "Name what the first of several sorted sets has alone",
        arguments: &[NUMKEYS, KEYS, WITHSCORES],
        ..BASE
    },
    Spec {
        id: CommandId::new(413),
        name: "zintercard",
        since: "7.0.0",
        complexity: "O(N × K), the smallest sorted set and their number",
        summary: "Count what all of several sorted sets have",
        arguments: &[NUMKEYS, KEYS, value("limit", Integer).after("LIMIT").optional()],
        ..BASE
    },
    Spec {
        id: CommandId::new(414),
        name: "zunionstore",
        since: "2.0.0",
        complexity: UNION_TIME,
        summary: "Store what any of several sorted sets has",
        arguments: &[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE],
        ..STORE
    },
    Spec {
        id: CommandId::new(415),
        name: "zinterstore",
        since: "2.0.0",
        complexity: INTERSECTION_TIME,
        summary: "Store what all of several sorted sets have",
        arguments: &[DESTINATION, NUMKEYS, SOURCES, WEIGHTS, AGGREGATE],
        ..STORE
    },
    Spec {
        id: CommandId::new(416),
        name: "zdiffstore",
        complexity: DIFFERENCE_TIME,
        summary: "Store what the first of several sorted sets has alone",
        arguments: &[DESTINATION, NUMKEYS, SOURCES],
        ..STORE
    },
];
