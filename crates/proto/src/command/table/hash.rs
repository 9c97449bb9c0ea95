//! Hashes.

use super::prelude::*;

const BASE: Spec = Spec {
    extra_categories: category::HASH,
    ..row(Group::Hash)
};

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::new(272),
        name: "hset",
        arity: -4,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.0.0",
        complexity: "O(N), the number of pairs",
        summary: "Write fields of a hash",
        arguments: &[
            KEY,
            block("field_value", &[value("field", String), value("value", String)]).multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(273),
        name: "hmset",
        arity: -4,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "update"])],
        since: "2.0.0",
        complexity: "O(N), the number of pairs",
        summary: "Write fields of a hash and answer OK",
        deprecated: Some(Deprecation {
            since: "4.0.0",
            replaced_by: "`HSET`",
        }),
        arguments: &[
            KEY,
            block("field_value", &[value("field", String), value("value", String)]).multiple(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(274),
        name: "hsetnx",
        arity: 4,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "insert"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Write a field of a hash if it is not there",
        arguments: &[KEY, value("field", String), value("value", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(275),
        name: "hget",
        arity: 3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Read a field of a hash",
        arguments: &[KEY, value("field", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(276),
        name: "hmget",
        arity: -3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        since: "2.0.0",
        complexity: "O(N), the number of fields",
        summary: "Read several fields of a hash",
        arguments: &[KEY, value("field", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(277),
        name: "hdel",
        arity: -3,
        flags: WRITE | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "delete"])],
        since: "2.0.0",
        complexity: "O(N), the number of fields",
        summary: "Remove fields of a hash, and the hash with its last one",
        arguments: &[KEY, value("field", String).multiple()],
        ..BASE
    },
    Spec {
        id: CommandId::new(278),
        name: "hlen",
        arity: 2,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Count the fields of a hash",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(279),
        name: "hexists",
        arity: 3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Tell whether a hash has a field",
        arguments: &[KEY, value("field", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(280),
        name: "hstrlen",
        arity: 3,
        flags: READONLY | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO"])],
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Measure the value of a field",
        arguments: &[KEY, value("field", String)],
        ..BASE
    },
    Spec {
        id: CommandId::new(281),
        name: "hgetall",
        arity: 2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "2.0.0",
        complexity: "O(N), the size of the hash",
        summary: "Read all fields of a hash with their values",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(282),
        name: "hkeys",
        arity: 2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "2.0.0",
        complexity: "O(N), the size of the hash",
        summary: "Name all fields of a hash",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(283),
        name: "hvals",
        arity: 2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output_order"],
        since: "2.0.0",
        complexity: "O(N), the size of the hash",
        summary: "Read the values of all fields of a hash",
        arguments: &[KEY],
        ..BASE
    },
    Spec {
        id: CommandId::new(284),
        name: "hincrby",
        arity: 4,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Add an integer to a field of a hash",
        arguments: &[KEY, value("field", String), value("increment", Integer)],
        ..BASE
    },
    Spec {
        id: CommandId::new(285),
        name: "hincrbyfloat",
        arity: 4,
        flags: WRITE | DENYOOM | FAST,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RW", "access", "update"])],
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Add a fraction to a field of a hash",
        arguments: &[KEY, value("field", String), value("increment", Double)],
        ..BASE
    },
    Spec {
        id: CommandId::new(286),
        name: "hrandfield",
        arity: -2,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        complexity: "O(N), how many are asked for",
        summary: "Take fields of a hash at random, without removing them",
        arguments: &[
            KEY,
            block(
                "options",
                &[
                    value("count", Integer),
                    token("withvalues", "WITHVALUES").optional(),
                ],
            )
            .optional(),
        ],
        ..BASE
    },
    Spec {
        id: CommandId::new(287),
        name: "hscan",
        arity: -3,
        flags: READONLY,
        keys: ONE,
        key_uses: &[key_use(ONE, &["RO", "access"])],
        tips: &["nondeterministic_output"],
        since: "2.8.0",
        complexity: "O(1) a call, O(N) the whole",
        summary: "Go through the fields of a hash, some with each call",
        arguments: &[
            KEY,
            value("cursor", Integer),
            value("pattern", Pattern).after("MATCH").optional(),
            value("count", Integer).after("COUNT").optional(),
            token("novalues", "NOVALUES").since("7.4.0").optional(),
        ],
        ..BASE
    },
];
