//! Sets.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::SET,
    ..row(Group::Set)
};

/// Argument 2 and all behind it are keys.
const FROM_SECOND: KeySpec = KeySpec {
    first: 2,
    last: -1,
    step: 1,
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(288),
        name: "sadd",
        arity: -3,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "1.0.0",
        complexity: "O(N), the number of members",
        summary: "Add members to a set",
        arguments: &[KEY, value("member", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(289),
        name: "srem",
        arity: -3,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "1.0.0",
        complexity: "O(N), the number of members",
        summary: "Remove members of a set, and the set with its last one",
        arguments: &[KEY, value("member", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(290),
        name: "smembers",
        arity: 2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N), the size of the set",
        summary: "Name all members of a set",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(291),
        name: "sismember",
        arity: 3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Tell whether a set has a member",
        arguments: &[KEY, value("member", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(292),
        name: "smismember",
        arity: -3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "6.2.0",
        complexity: "O(N), the number of members",
        summary: "Tell of each of several whether a set has it",
        arguments: &[KEY, value("member", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(293),
        name: "scard",
        arity: 2,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Count the members of a set",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(294),
        name: "smove",
        arity: 4,
        flags: WRITE | FAST,
        keys: BOTH,
        key_uses: &[
            key_use(ONE, &["RW", "access", "delete"]),
            key_use(SECOND, &["RW", "insert"]),
        ],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Take a member from one set to another",
        arguments: &[
            value("source", Key(0)),
            value("destination", Key(1)),
            value("member", String),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(295),
        name: "spop",
        arity: -2,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "delete"])],
        tips: &["nondeterministic_output"],
        since: "1.0.0",
        complexity: "O(N), how many are asked for",
        summary: "Take members out of a set at random",
        arguments: &[KEY, value("count", Integer).since("3.2.0").optional()],
        ..BASE
    },
    Spec {
        id: CommandId::new(296),
        name: "srandmember",
        arity: -2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "1.0.0",
        complexity: "O(N), how many are asked for",
        summary: "Take members of a set at random, without removing them",
        arguments: &[KEY, value("count", Integer).since("2.6.0").optional()],
        ..BASE
    },
    Spec {
        id: CommandId::new(297),
        name: "sscan",
        arity: -3,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) a call, O(N) the whole",
        summary: "Go through the members of a set, some with each call",
        arguments: &[
            KEY,
            value("cursor", Integer),
            value("pattern", Pattern).after("MATCH").optional(),
            value("count", Integer).after("COUNT").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(298),
        name: "sinter",
        arity: -2,
        flags: READONLY,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N × M), the smallest set and the number of sets",
        summary: "Name what all of several sets have",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(299),
        name: "sinterstore",
        arity: -3,
        flags: WRITE | DENYOOM,
        keys: ALL,
        key_uses: &[
            key_use(ONE, &["RW", "update"]),
            key_use(FROM_SECOND, &["RO", "access"]),
        ],
        since: "1.0.0",
        complexity: "O(N × M), the smallest set and the number of sets",
        summary: "Store what all of several sets have",
        arguments: &[value("destination", Key(0)), value("key", Key(1)).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(300),
        name: "sintercard",
        arity: -3,
        flags: READONLY | MOVABLE_KEYS,
        key_uses: &[counted_keys(1, 1, &["RO", "access"])],
        since: "7.0.0",
        complexity: "O(N × M), the smallest set and the number of sets",
        summary: "Count what all of several sets have",
        arguments: &[
            value("numkeys", Integer),
            KEY.multiple(),
            value("limit", Integer).after("LIMIT").optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(301),
        name: "sunion",
        arity: -2,
        flags: READONLY,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N), the members of all sets",
        summary: "Name what any of several sets has",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(302),
        name: "sunionstore",
        arity: -3,
        flags: WRITE | DENYOOM,
        keys: ALL,
        key_uses: &[
            key_use(ONE, &["OW", "update"]),
            key_use(FROM_SECOND, &["RO", "access"]),
        ],
        since: "1.0.0",
        complexity: "O(N), the members of all sets",
        summary: "Store what any of several sets has",
        arguments: &[value("destination", Key(0)), value("key", Key(1)).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(303),
        name: "sdiff",
        arity: -2,
        flags: READONLY,
        keys: ALL,
        key_uses: &[key_use(ALL, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "1.0.0",
        complexity: "O(N), the members of all sets",
        summary: "Name what the first of several sets has alone",
        arguments: &[KEY.multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(304),
        name: "sdiffstore",
        arity: -3,
        flags: WRITE | DENYOOM,
        keys: ALL,
        key_uses: &[
            key_use(ONE, &["OW", "update"]),
            key_use(FROM_SECOND, &["RO", "access"]),
        ],
        since: "1.0.0",
        complexity: "O(N), the members of all sets",
        summary: "Store what the first of several sets has alone",
        arguments: &[value("destination", Key(0)), value("key", Key(1)).multiple()],
        ..BASE
    },
];
